"""A million records of each convention, read into frames: seconds, and how many times the parsing of their JSON.

    python benchmarks/adapters.py [--records 1000000] [--only READER...] [--repeats 3] [--quick]

Each reader reads a file of JSON lines (CSV for REES46) as its tool writes it, to the frames of ``Adapted``.
The peer is ``json.loads`` line by line; the floor is what pyarrow takes to parse the file. CPU seconds, medians
of rounds in which each runs once. Writes results/adapters.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
from _common import header, headline
from _common import options as options_of
from _common import write as write_result

from omnireco import adapters

NOON = 1_746_100_800
USERS, ITEMS = 50_000, 5_000
Draws = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def draws(n: int) -> Draws:
    """Return a person, an item, a second and a kind of each record."""
    draw = np.random.default_rng(0)
    return (
        draw.integers(0, USERS, n),
        (draw.random(n) ** 2 * ITEMS).astype(int),
        np.sort(draw.integers(0, 90 * 86_400, n)),
        draw.integers(0, 10, n),
    )


def stamp(second: int) -> str:
    return str(np.datetime64(NOON + int(second), "s")) + "Z"


def segment(n: int) -> Iterator[dict[str, Any]]:
    for row, (user, item, second, kind) in enumerate(zip(*draws(n), strict=True)):
        yield {
            "type": "track",
            "event": "Product Viewed" if kind else "Product Added",
            "messageId": f"m{row}",
            "anonymousId": f"a{user}",
            "userId": f"u{user}",
            "channel": "browser",
            "timestamp": stamp(second),
            "properties": {"product_id": f"sku-{item}", "price": 4.5, "quantity": 1, "name": "Tea", "category": "Hot"},
            "context": {"library": {"name": "analytics.js", "version": "2"}, "userAgent": "Mozilla/5.0"},
        }


def ga4(n: int) -> Iterator[dict[str, Any]]:
    for user, item, second, kind in zip(*draws(n), strict=True):
        yield {
            "event_name": "view_item" if kind else "add_to_cart",
            "event_timestamp": (NOON + int(second)) * 1_000_000,
            "user_id": f"u{user}",
            "user_pseudo_id": f"p{user}",
            "platform": "WEB",
            "event_params": [{"key": "ga_session_id", "value": {"int_value": int(second) // 1800}}],
            "items": [{"item_id": f"sku-{item}", "price": 4.5, "quantity": 1}],
        }


def woocommerce(n: int) -> Iterator[dict[str, Any]]:
    for row, (user, item, second, kind) in enumerate(zip(*draws(n), strict=True)):
        yield {
            "id": row + 1,
            "status": "completed" if kind else "on-hold",
            "customer_id": int(user) + 1,
            "date_created_gmt": stamp(second)[:-1],
            "date_modified_gmt": stamp(second)[:-1],
            "created_via": "checkout",
            "cart_tax": "0.00",
            "total": "9.00",
            "billing": {"email": f"u{user}@shop.example"},
            "line_items": [{"product_id": int(item) + 1, "quantity": 2, "total": "9.00", "price": 4.5, "name": "Tea"}],
            "refunds": [],
        }


def shopify(n: int) -> Iterator[dict[str, Any]]:
    """One order and its two lines are three records, as a bulk operation writes them."""
    for row, (user, item, second, kind) in enumerate(zip(*draws(n // 3 + 1), strict=True)):
        order = f"gid://shopify/Order/{row + 1}"
        yield {
            "id": order,
            "createdAt": stamp(second),
            "processedAt": stamp(second),
            "updatedAt": stamp(second),
            "displayFinancialStatus": "PAID" if kind else "PENDING",
            "sourceName": "web",
            "customer": {"id": f"gid://shopify/Customer/{user + 1}"},
        }
        for line in range(2):
            yield {
                "id": f"gid://shopify/LineItem/{2 * row + line + 1}",
                "quantity": 1,
                "originalUnitPriceSet": {"shopMoney": {"amount": "4.50", "currencyCode": "EUR"}},
                "product": {"id": f"gid://shopify/Product/{(item + line) % ITEMS + 1}"},
                "__parentId": order,
            }


def braze(n: int) -> Iterator[dict[str, Any]]:
    people, _, seconds, kinds = draws(n)
    for row, (user, second, kind) in enumerate(zip(people, seconds, kinds, strict=True)):
        what = "Send" if kind < 7 else "Open" if kind < 9 else "Click"
        yield {
            "event_type": f"users.messages.email.{what}",
            "id": f"e{row}",
            "user_id": f"b{user}",
            "external_user_id": f"u{user}",
            "time": NOON + int(second),
            "timezone": "Europe/Berlin",
            "campaign_id": "c1",
            "dispatch_id": f"d{int(second) // 86_400}",
            "message_variation_id": "v1",
            "user_agent": None,
        }


def klaviyo(n: int) -> Iterator[dict[str, Any]]:
    """Pages of a thousand events."""
    rows = list(zip(*draws(n), strict=True))
    metrics = [{"type": "metric", "id": "M1", "attributes": {"name": "Viewed Product"}},
               {"type": "metric", "id": "M2", "attributes": {"name": "Added to Cart"}}]  # fmt: skip
    for start in range(0, n, 1000):
        page = [
            {
                "type": "event",
                "id": f"e{start + at}",
                "attributes": {
                    "timestamp": NOON + int(second),
                    "datetime": stamp(second)[:-1] + "+00:00",
                    "uuid": f"x{start + at}",
                    "event_properties": {"ProductID": f"sku-{item}", "$value": 4.5},
                },
                "relationships": {
                    "profile": {"data": {"type": "profile", "id": f"p{user}"}},
                    "metric": {"data": {"type": "metric", "id": "M1" if kind else "M2"}},
                },
            }
            for at, (user, item, second, kind) in enumerate(rows[start : start + 1000])
        ]
        yield {"data": page, "included": metrics}


def adobe_xdm(n: int) -> Iterator[dict[str, Any]]:
    for row, (user, item, second, kind) in enumerate(zip(*draws(n), strict=True)):
        yield {
            "_id": f"e{row}",
            "eventType": "commerce.productViews" if kind else "commerce.productListAdds",
            "timestamp": stamp(second),
            "identityMap": {"ECID": [{"id": f"x{user}"}], "CRMID": [{"id": f"u{user}", "primary": True}]},
            "web": {"webPageDetails": {"name": "tea"}},
            "productListItems": [{"SKU": f"sku-{item}", "priceTotal": 4.5, "quantity": 1}],
        }


def opentelemetry(n: int) -> Iterator[dict[str, Any]]:
    """Lines of a hundred log records."""
    rows = list(zip(*draws(n), strict=True))
    for start in range(0, n, 100):
        records = [
            {
                "timeUnixNano": str((NOON + int(second)) * 1_000_000_000),
                "eventName": "product.viewed" if kind else "product.added",
                "attributes": [
                    {"key": "user.id", "value": {"stringValue": f"u{user}"}},
                    {"key": "item.id", "value": {"stringValue": f"sku-{item}"}},
                    {"key": "session.id", "value": {"stringValue": f"s{int(second) // 1800}"}},
                    {"key": "value", "value": {"doubleValue": 4.5}},
                ],
            }
            for user, item, second, kind in rows[start : start + 100]
        ]
        shared = {"attributes": [{"key": "channel", "value": {"stringValue": "web"}}]}
        yield {"resourceLogs": [{"resource": shared, "scopeLogs": [{"logRecords": records}]}]}


def rees46(n: int) -> Iterator[dict[str, Any]]:
    people, _, seconds, kinds = draws(n)
    for row, (user, second, kind) in enumerate(zip(people, seconds, kinds, strict=True)):
        text = stamp(second)[:-1].replace("T", " ")
        opened = stamp(second + 4000)[:-1].replace("T", " ") if kind > 7 else ""
        yield {
            "id": row,
            "client_id": f"{user}",
            "user_id": "",
            "channel": "email",
            "message_type": "bulk",
            "campaign_id": "7",
            "sent_at": text,
            "opened_first_time_at": opened,
            "clicked_first_time_at": "",
            "unsubscribed_at": "",
            "complained_at": "",
            "purchased_at": "",
        }


READERS: dict[str, tuple[Callable[[int], Iterator[dict[str, Any]]], Callable[[Path], Any]]] = {
    "segment": (segment, adapters.segment),
    "ga4": (ga4, adapters.ga4),
    "woocommerce": (woocommerce, adapters.woocommerce),
    "shopify": (shopify, adapters.shopify),
    "braze": (braze, adapters.braze),
    "klaviyo": (klaviyo, adapters.klaviyo),
    "adobe_xdm": (adobe_xdm, adapters.adobe_xdm),
    "opentelemetry": (
        opentelemetry,
        lambda path: adapters.opentelemetry(path, events={"product.viewed": "view", "product.added": "add_to_cart"}),
    ),
    "rees46_messages": (rees46, lambda path: adapters.rees46_messages(path, timezone="UTC")),
}


def write(name: str, n: int, folder: Path) -> Path:
    path = folder / f"{name}.txt"
    records = READERS[name][0](n)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        if name == "rees46_messages":
            first = next(records)
            table = csv.DictWriter(file, list(first))
            table.writeheader()
            table.writerow(first)
            table.writerows(records)
        else:
            file.writelines(json.dumps(record) + "\n" for record in records)
    return path


def parsed(path: Path) -> None:
    """The peer: parse every line, or every row of CSV, and keep nothing."""
    with path.open(encoding="utf-8", newline="") as file:
        if path.stem == "rees46_messages":
            for _ in csv.reader(file):
                pass
        else:
            for line in file:
                json.loads(line)


def floor(path: Path) -> None:
    """The floor: pyarrow's own parsers on one thread, all fields, types as they guess."""
    if path.stem == "rees46_messages":
        pa_csv.read_csv(path, read_options=pa_csv.ReadOptions(use_threads=False))
    else:
        pa_json.read_json(path, read_options=pa_json.ReadOptions(use_threads=False, block_size=8 << 20))


def seconds(work: Callable[[Path], Any], path: Path) -> float:
    began = process_time()
    work(path)
    return process_time() - began


def main() -> None:
    parser = options_of(__doc__, quick="20,000 records, one repeat")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=READERS)
    options: argparse.Namespace = parser.parse_args()
    header(__doc__)
    if options.quick:
        options.records, options.repeats = 20_000, 1
    print(f"{options.records:,} records; CPU seconds, medians of {options.repeats}")
    print(
        f"{'reader':18}{'seconds':>9}{'per 1 M':>9}{'json.loads':>12}{'ratio':>8}{'pyarrow':>9}{'ratio':>8}{'used':>8}"
    )
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only or READERS:
            reader = READERS[name][1]
            reader(write(name, 3000, Path(folder)))  # loads what it needs
            path = write(name, options.records, Path(folder))
            rounds = [
                (seconds(reader, path), seconds(parsed, path), seconds(floor, path)) for _ in range(options.repeats)
            ]
            own, peer, arrow = (float(np.median(column)) for column in zip(*rounds, strict=True))
            ratio = float(np.median([a / b for a, b, _ in rounds]))
            read = reader(path)
            used = 1 - read.unused["records"].sum() / read.n_records
            found[name] = {"seconds": own, "parsing": peer, "ratio": ratio, "pyarrow": arrow, "records": read.n_records}
            million = own * 1e6 / read.n_records
            print(
                f"{name:18}{own:9.2f}{million:9.2f}{peer:12.2f}{ratio:8.2f}{arrow:9.2f}{own / arrow:8.2f}{used:8.0%}",
                flush=True,
            )
            path.unlink()
            what = f"{read.n_records:,} records of {name}"
            headline(what, own, "CPU s", beside="json.loads" if name != "rees46_messages" else "csv", theirs=peer)
    if not options.quick:
        write_result("adapters", found)


if __name__ == "__main__":
    main()
