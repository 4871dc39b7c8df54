"""A large file is read as columns and by the rules with the same result, to the byte, or with the same refusal."""

import copy
import csv
import gzip
import io
import json
import os
import sys
import warnings

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnireco import adapters
from omnireco.adapters.columns import blocks
from omnireco.errors import SchemaError, StorageError

NOON = 1_746_100_800
EXAMPLES = int(os.environ.get("OMNIRECO_EXAMPLES", "60"))
FRAMES = ("events", "messages", "users", "links", "counts")


def segment(n):
    return {"type": "track", "event": "Product Viewed", "messageId": f"m{n}", "anonymousId": f"a{n % 4}",
            "userId": f"u{n % 3}", "channel": "browser", "timestamp": f"2025-05-01T12:00:{n % 60:02d}Z",
            "context": {"sessionId": "s"},
            "properties": {"product_id": "tea", "price": 4.5, "quantity": 2}}  # fmt: skip


def ga4(n):
    return {"event_name": "view_item", "event_timestamp": (NOON + n) * 10**6, "user_id": f"u{n % 3}",
            "user_pseudo_id": f"p{n % 4}", "platform": "WEB",
            "items": [{"item_id": "tea", "price": 4.5, "quantity": 1, "location_id": "L1"},
                      {"item_id": "cup", "price": 2, "quantity": None}][: n % 3],
            "event_params": [{"key": "page", "value": {"string_value": "/tea"}},
                             {"key": "ga_session_id", "value": {"int_value": 7}}]}  # fmt: skip


def ga4_of_bigquery(n):
    """As BigQuery writes JSON: whole numbers are texts."""
    row = ga4(n) | {"event_timestamp": str((NOON + n) * 10**6)}
    row["event_params"][1]["value"]["int_value"] = "7"
    for item in row["items"]:
        item["quantity"] = "2"
    return row


def braze(n):
    what = ("Send", "Send", "Open", "Click")[n % 4]
    return {"event_type": f"users.messages.email.{what}", "id": f"e{n}", "user_id": f"b{n % 4}",
            "external_user_id": f"u{n % 3}", "time": NOON + 900 * n,
            "timezone": ("Europe/Berlin", "Asia/Tokyo")[n % 5 == 0],
            "dispatch_id": f"d{n % 3}", "message_variation_id": "v1", "machine_open": None,
            "user_agent": "Mozilla/5.0"}  # fmt: skip


def klaviyo(n):
    """Return a page; the metric of some events is named by a later page only."""
    page = [
        {"type": "event", "id": f"e{n}-{at}",
         "attributes": {"timestamp": NOON + n, "datetime": f"2025-05-01T12:00:{n % 60:02d}+00:00", "uuid": f"x{n}{at}",
                        "event_properties": {"ProductID": "tea", "$value": 4.5, "Campaign Name": "May"}},
         "relationships": {"profile": {"data": {"type": "profile", "id": f"p{at}"}},
                           "metric": {"data": {"type": "metric", "id": f"M{(n + at) % 4}"}}}}
        for at in range(n % 4)
    ]  # fmt: skip
    titles = ("Viewed Product", "Added to Cart", "Received Email", "Placed Order")
    about = {"external_id": "ann", "email": "ann@shop.org", "location": {"timezone": "Asia/Tokyo"}}
    return {"data": page, "included": [
        {"type": "metric", "id": f"M{n % 4}", "attributes": {"name": titles[n % 4]}},
        *([{"type": "profile", "id": f"p{n % 3}", "attributes": about}] if n % 5 == 1 else []),
    ]}  # fmt: skip


def opentelemetry(n):
    def attribute(key, value, kind="stringValue"):
        return {"key": key, "value": {kind: value}}

    logs = [{"timeUnixNano": str((NOON + n) * 10**9 + 1234), "eventName": "view", "body": {"stringValue": "x"},
             "attributes": [attribute("user.id", f"u{n % 3}"), attribute("item.id", "tea"),
                            attribute("session.id", "s"), attribute("value", 4.5, "doubleValue"),
                            attribute("ok", True, "boolValue"),
                            attribute("count", "3", "intValue")]} for _ in range(n % 4)]  # fmt: skip
    shared = {"attributes": [attribute("channel", "web"), attribute("user.id", "nobody")]}
    return {"resourceLogs": [{"resource": shared, "scopeLogs": [{"logRecords": logs}, {"logRecords": logs[:1]}]},
                             {"resource": {}, "scopeLogs": [{"logRecords": logs[:2]}]}]}  # fmt: skip


def woocommerce(n):
    """Return an order; some come again in another state, and some were refunded."""
    return {"id": n % 30 + 1, "status": ("completed", "completed", "on-hold", "wc-processing", "refunded")[n % 5],
            "parent_id": 0, "customer_id": n % 4, "date_created_gmt": f"2025-05-01T12:00:{n % 60:02d}",
            "date_modified_gmt": f"2025-05-02T12:{7 * n % 60:02d}:00", "created_via": ("checkout", "admin", "")[n % 3],
            "cart_tax": "0.00", "billing": {"email": f"u{n % 5}@shop.org"},
            "line_items": [{"id": at, "product_id": (7 * n + at) % 5, "quantity": 2, "total": "9.00", "price": 4.5,
                            "sku": "tea"} for at in range(1 + n % 3)],
            "refunds": [{"id": n, "total": "-4.00"}] if n % 6 == 5 else []}  # fmt: skip


def shopify(n):
    stated = {"state": ("subscribed", "not_subscribed", "unsubscribed")[n % 3],
              "consent_updated_at": (None, f"2025-04-01T12:{11 * n % 60:02d}:00+02:00")[n % 2]}  # fmt: skip
    customer = {"id": 100 + n % 4, "email": f"u{n % 4}@shop.org", "email_marketing_consent": stated,
                "sms_marketing_consent": (None, stated)[n % 4 == 3]}  # fmt: skip
    return {"id": n % 30 + 1, "financial_status": ("paid", "pending", "paid", "partially_refunded")[n % 4],
            "created_at": f"2025-05-01T12:00:{n % 60:02d}Z", "processed_at": f"2025-05-01T14:00:{n % 60:02d}+02:00",
            "updated_at": f"2025-05-02T12:{7 * n % 60:02d}:00Z", "source_name": ("web", "pos", "1234")[n % 3],
            "location_id": (None, 5)[n % 2], "test": False, "cancelled_at": None, "email": "", "contact_email": None,
            "buyer_accepts_marketing": n % 5 == 0, "customer": (customer, customer, None)[n % 3], "refunds": [],
            "line_items": [{"id": at, "product_id": (None, at % 2)[n % 2], "sku": "tea", "quantity": 2,
                            "price": "4.50", "price_set": {"shop_money": {"amount": "4.50"}}}
                           for at in range(1 + n % 3)]}  # fmt: skip


def shopify_bulk(n):
    """Return an order or one of its two lines, some of which come before it."""
    order = f"gid://shopify/Order/{n // 3 + 1}"
    if n % 3 == (n // 3) % 2:
        return {"id": order, "createdAt": f"2025-05-01T12:00:{n % 60:02d}Z", "processedAt": None,
                "updatedAt": f"2025-05-01T12:00:{n % 60:02d}Z", "sourceName": "web", "email": "ann@shop.org",
                "displayFinancialStatus": ("PAID", "PENDING", "PAID", "PARTIALLY_REFUNDED")[n // 3 % 4],
                "customer": {"id": f"gid://shopify/Customer/{n % 4 + 1}"}}  # fmt: skip
    price = {"shopMoney": {"amount": "4.50", "currencyCode": "EUR"}}
    return {"id": f"gid://shopify/LineItem/{n}", "quantity": 1 + n % 2, "originalUnitPriceSet": price, "sku": "tea",
            "product": ({"id": f"gid://shopify/Product/{n % 5 + 1}"}, None)[n % 4 == 3],
            "__parentId": order}  # fmt: skip


def read_otel(records):
    return adapters.opentelemetry(records, events={"view": "view"})


SOURCES = {
    "klaviyo": (klaviyo, adapters.klaviyo),
    "opentelemetry": (opentelemetry, read_otel),
    "braze": (braze, adapters.braze),
    "segment": (segment, adapters.segment),
    "ga4": (ga4, adapters.ga4),
    "woocommerce": (woocommerce, adapters.woocommerce),
    "shopify": (shopify, adapters.shopify),
    "shopify_bulk": (shopify_bulk, adapters.shopify),
    "ga4_of_bigquery": (ga4_of_bigquery, adapters.ga4),
}
ODD = [None, "", "  ", "null", 0, -1, 7, 1e21, 4.5, -0.0, True, "1.23457E+12", [], {}, [{"id": "x"}], {"a": {}},
       "2025-05-01T12:00:00", "2025-05-01T14:00:00+02:00", "2025-05-01T12:00:00.123456789Z", "2025-02-30T12:00:00Z",
       "2025-05-01T24:00:00Z", "2025-05-01T12:00:60Z", "2025-05-01", "1969-05-01T12:00:00Z", "31.12.2025",
       1_746_100_800_000, "1746100800000", 1_746_100_800_123_456_789, 2**53, 2**53 + 1, 2**63, 2**70, "GMT+9",
       "Etc/Unknown", " tea ", "\u00a0tea", "tea\u2003", "Zoë", "0", "00", "-1", "12,50", "EUR 3.00", "purchase",
       "Unsubscribed", [[["tea"]]], "[]", '{"id": "u9"}', [None], [{}], "da39a3ee5e6b4b0d3255bfef95601890afd80709",
       "(not set)", "4.50", "\U0001f375", "a\u0000b", "9774d56d682e549c"]  # fmt: skip
RAW = ["1e400", "-1e400", "NaN", "Infinity", "-Infinity", "Inf", "-NaN", "-0", "1.0", "1746100800.5", "0.1e-400", "01",
       "tru", "5e-324", "123456789012345678901234567890", "9" * 5000, "[" * 450 + "]" * 450,
       "[" * 100_000 + "]" * 100_000,
       '{"a":' * 300 + "1" + "}" * 300, '"\\udc00"', '"\\ud83c\\udf75"', '"\\u0074ea"', "1 2", "'x'",
       '"a\tb"', ""]  # fmt: skip
LINES = ["", "   ", "\t", "\r", "\x1e", "\ufeff", "[]", "{}", "5", "null", '"x"', "[1]", "<html>", "{", "}", "\0"]
OTHERS = [
    {"type": "identify", "userId": "u1", "timestamp": "2025-05-01T12:00:00Z", "traits": {"consent_email": True}},
    {"type": "page", "userId": "u8", "timestamp": "2025-05-01T12:00:00Z", "messageId": "m1"},
    {"type": "track", "event": "Order Completed", "userId": "u1", "timestamp": "2025-05-01T12:00:00Z",
     "properties": {"order_id": "1", "products": [{"product_id": "tea", "price": 2}]}},
    {"type": "track", "event": "Email Delivered", "userId": "u1", "timestamp": "2025-05-01T12:00:00.1234567Z"},
    {"event_name": "purchase", "event_timestamp": NOON * 10**6, "user_id": "u1", "items": [{"item_id": "tea"}]},
    {"rows": [segment(1), ga4(1)]},
    {"data": [], "included": []},
    {"metric_name": "Viewed Product", "external_id": "u9", "attributes": {"datetime": "2025-05-01T12:00:00+00:00"}},
    {"eventName": "view", "timeUnixNano": str(NOON * 10**9), "attributes": {"user.id": "u4", "item.id": "cup"}},
    {"resourceLogs": 5},
    woocommerce(7) | {"id": 3, "date_modified_gmt": "2026-01-01T00:00:00", "status": "refunded"},
    {"id": 77, "type": "shop_order_refund", "parent_id": 2, "amount": "3.00",
     "date_created_gmt": "2025-05-03T08:00:00"},
    {"id": 78, "order_id": 2, "created_at": "2025-05-03T08:00:00Z", "refund_line_items": [],
     "transactions": [{"amount": "3.00"}]},
    shopify(4) | {"id": 3, "updated_at": "2026-01-01T00:00:00Z", "cancelled_at": "2025-06-01T00:00:00Z"},
    shopify(6), shopify(7), woocommerce(6), shopify_bulk(0), shopify_bulk(1),
    shopify_bulk(4) | {"__parentId": "gid://shopify/Order/99"}, {"id": "gid://shopify/Order/1", "createdAt": None},
    {"id": "gid://shopify/Order/2", "__parentId": None}, {"orders": [shopify(8), shopify(9)]},
    {"event_type": "users.messages.email.Bounce", "time": NOON, "external_user_id": "u1"},
    {"event_type": "users.messages.email.Unsubscribe", "time": NOON, "external_user_id": "u2", "dispatch_id": "d1"},
    {"event_type": "users.behaviors.Purchase", "time": NOON, "external_user_id": "u1", "product_id": "tea", "price": 2},
]  # fmt: skip


def paths(value, path=()):
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [place for key, part in items for place in paths(part, (*path, key))]


def put(record, path, value):
    for key in path[:-1]:
        record = record[key]
    if value == "drop":
        if isinstance(record, list) or path[-1] in record:  # of an empty record nothing can be dropped
            del record[path[-1]]
    else:
        record[path[-1]] = value


@st.composite
def files(draw, name):
    """Draw a file of mostly ordinary lines: values, lines and bytes are changed."""
    records = [SOURCES[name][0](n) for n in range(draw(st.sampled_from([2, 7, 40])))]
    raw = {}
    for number in range(draw(st.integers(0, 5))):
        record = draw(st.sampled_from(records))
        path = draw(st.sampled_from(paths(record) or [("x",)]))
        kind = draw(st.sampled_from(["odd", "odd", "odd", "raw", "drop", "point"]))
        if kind == "raw":
            raw[f'"@{number}@"'] = draw(st.sampled_from(RAW))
            put(record, path, f"@{number}@")
        elif kind == "point":
            record[".".join(map(str, path))] = draw(st.sampled_from(ODD))
        else:
            put(record, path, "drop" if kind == "drop" else copy.deepcopy(draw(st.sampled_from(ODD))))
    lines = [json.dumps(one, ensure_ascii=draw(st.booleans())) for one in records]
    for mark, text in raw.items():
        lines = [line.replace(mark, text) for line in lines]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        change = draw(st.sampled_from(["line", "other", "twice", "double", "cut", "split", "blanks", "infinite"]))
        if change == "line":
            lines.insert(at, draw(st.sampled_from(LINES)))
        elif change == "other":
            lines.insert(at, json.dumps(draw(st.sampled_from(OTHERS))))
        elif change == "twice":  # a key that is there twice
            key = draw(
                st.sampled_from(
                    ["event", "userId", "event_name", "items", "properties", "time", "id", "line_items", "created_at"]
                )
            )
            value = json.dumps(draw(st.sampled_from(ODD)))
            lines[at] = f'{{"{key}": {value}, {lines[at][1:]}'
        elif change == "double":
            lines[at] += draw(st.sampled_from([" ", "", ","])) + lines[draw(st.integers(0, len(lines) - 1))]
        elif change == "cut":
            lines[at] = lines[at][: -draw(st.integers(1, 9))]
        elif change == "split":
            lines[at] = lines[at].replace(",", draw(st.sampled_from([",\n", ",\r", ", \t"])), 1)
        elif change == "infinite":
            lines[at] = '{"unread": ' + draw(st.sampled_from(RAW)) + ", " + lines[at][1:]
        else:
            lines[at] = f" {lines[at]}\t "
    text = draw(st.sampled_from(["\n", "\n", "\r\n", "\n\n"])).join(lines) + draw(st.sampled_from(["\n", ""]))
    content = text.encode("utf-8", "surrogatepass")
    content = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + content
    if draw(st.integers(0, 9)) == 9:
        content = content.replace(b"tea", b"t\xe9a", 1)
    packed = draw(st.integers(0, 9))
    return content if packed < 8 else gzip.compress(content)[: None if packed < 9 else -9]


def outcome(reader, path):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return reader(path)
    except (SchemaError, StorageError) as error:
        return type(error), str(error)


def both(reader, path, block=600):
    """Return what the rules and the columns make of a file; small blocks, so that some begin anywhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_LARGE", 10**12)
        by_rules = outcome(reader, path)
        patch.setattr(blocks, "_LARGE", 0)
        patch.setattr(blocks, "_BLOCK", block)
        return by_rules, outcome(reader, path)


def same(one, other):
    if isinstance(one, tuple) or isinstance(other, tuple):
        assert one == other
        return
    assert one.n_records == other.n_records
    for name in FRAMES:
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name), obj=name, check_exact=True)


@pytest.mark.parametrize("name", SOURCES)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(draw=st.data())
def test_columns_are_the_rules(name, draw, tmp_path_factory):
    content = draw.draw(files(name))
    path = tmp_path_factory.mktemp("columns") / "export.jsonl"
    path.write_bytes(content)
    same(*both(SOURCES[name][1], path, draw.draw(st.sampled_from([300, 5000, 1 << 20]))))


@pytest.mark.parametrize("name", SOURCES)
def test_columns_do_read_ordinary_lines(name, tmp_path, monkeypatch):
    """The property would hold, too, if every line went to the rules: of ordinary lines few may."""
    make, reader = SOURCES[name]
    path = tmp_path / "export.jsonl"
    path.write_text("".join(json.dumps(make(n)) + "\n" for n in range(200)), encoding="utf-8")
    monkeypatch.setattr(blocks, "_LARGE", 0)
    modules = [one for name, one in sorted(sys.modules.items()) if name.startswith("omnireco.adapters.")]
    for module in modules:
        if "_quick" in vars(module) and name != "klaviyo":  # mails and orders are among its events
            monkeypatch.setattr(module, "_quick", refuse)
    assert reader(path).n_records >= 200


def refuse(*_):
    def read(one):
        raise AssertionError("an ordinary record was left to the rules")

    return read


CELLS = ["", "7", "u1", "2021-05-01 08:00:00", "2021-05-01 08:00:00.5", "2021-05-01 08:00:00+00", "NA", "null", "None",
         "nan", "2021-03-28 02:30:00", "0", "email", "t", "f", "1969-01-01 00:00:00", "2021-02-30 00:00:00", " x ",
         "Zoë"]  # fmt: skip


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(draw=st.data())
def test_csv_as_columns_is_csv_of_pandas(draw, tmp_path_factory):
    names = ["id", "client_id", "user_id", "channel", "message_type", "campaign_id", "sent_at", "opened_first_time_at",
             "clicked_first_time_at", "unsubscribed_at", "complained_at", "purchased_at", "is_opened",
             "another"]  # fmt: skip
    usual = ["1", "7", "", "email", "bulk", "3", "2021-05-01 08:00:00", "2021-05-01 09:00:00", "", "", "", "", "t", ""]
    rows = [[str(n), *usual[1:]] for n in range(draw.draw(st.sampled_from([1, 30])))]
    for _ in range(draw.draw(st.integers(0, 12))):
        row = draw.draw(st.sampled_from(rows))
        row[draw.draw(st.integers(0, 13))] = draw.draw(st.sampled_from(CELLS))
    text = io.StringIO()
    csv.writer(text, lineterminator=draw.draw(st.sampled_from(["\n", "\r\n"]))).writerows([names, *rows])
    content = text.getvalue()
    change = draw.draw(st.sampled_from(["", "", "", '"x,y"', "short", "long", "blank", "bom", "\r", "twice", "latin"]))
    lines = content.splitlines(keepends=True)
    lines[-1] = {"short": "1,2\n", "long": f"{lines[-1].strip()},8,9\n", '"x,y"': lines[-1].replace("7", '"x,y"'),
                 "\r": lines[-1].replace("7", "\r")}.get(change, lines[-1])  # fmt: skip
    content = "\ufeff" * (change == "bom") + "".join(lines) + "\n\n" * (change == "blank")
    path = tmp_path_factory.mktemp("csv") / "messages.csv"
    content = content.replace("another", "id") if change == "twice" else content
    path.write_bytes(content.encode("latin-1" if change == "latin" and content.isascii() is False else "utf-8"))

    def reader(file):
        return adapters.rees46_messages(file, timezone="Europe/Berlin")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("omnireco.adapters.platforms.rees46._MANY", 10**9)
        expected, _ = both(reader, path)
        patch.setattr("omnireco.adapters.platforms.rees46._MANY", 0)
        same(expected, both(reader, path)[1])
