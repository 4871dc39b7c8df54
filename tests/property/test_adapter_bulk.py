"""Records that are read at once give the answer of the rules, whatever stands beside them; and files of many lines."""

import copy
import gzip
import json
import sys

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnireco import adapters
from omnireco.errors import SchemaError, StorageError

NOON = 1_746_100_800
ISO = "2025-05-01T12:00:00"


def segment(n):
    return {"type": "track", "event": "Product Viewed", "messageId": f"m{n}", "anonymousId": "a1",
            "userId": f"u{n % 3}", "channel": "browser", "timestamp": f"{ISO}Z", "context": {"sessionId": "s"},
            "properties": {"product_id": "tea", "price": 4.5, "quantity": 2}}  # fmt: skip


def ga4(n):
    return {"event_name": "view_item", "event_timestamp": (NOON + n) * 10**6, "user_id": f"u{n % 3}",
            "user_pseudo_id": "p1", "platform": "WEB", "items": [{"item_id": "tea", "price": 4.5, "quantity": 1}],
            "event_params": [{"key": "ga_session_id", "value": {"int_value": 7}}]}  # fmt: skip


def woocommerce(n):
    return {"id": n + 1, "status": "completed", "customer_id": n % 3 + 1, "date_created_gmt": ISO,
            "billing": {"email": "ann@shop.example"}, "created_via": "checkout",
            "line_items": [{"product_id": 9, "quantity": 2, "total": "9.00"}]}  # fmt: skip


def braze(n):
    what = ("Send", "Send", "Open", "Click")[n % 4]
    return {"event_type": f"users.messages.email.{what}", "id": f"e{n}", "user_id": "b1",
            "external_user_id": f"u{n % 3}",
            "time": NOON + n, "timezone": ("Europe/Berlin", "Asia/Tokyo")[n % 5 == 0], "dispatch_id": f"d{n % 3}",
            "message_variation_id": "v1", "machine_open": None}  # fmt: skip


def klaviyo(n):
    one = {"type": "event", "id": f"e{n}",
           "attributes": {"timestamp": NOON + n, "datetime": f"2025-05-01T12:00:{n % 60:02d}+00:00", "uuid": f"x{n}",
                          "event_properties": {"ProductID": "tea", "$value": 4.5}},
           "relationships": {"profile": {"data": {"type": "profile", "id": f"p{n % 3}"}},
                             "metric": {"data": {"type": "metric", "id": "M1"}}}}  # fmt: skip
    about = {"external_id": "ann", "email": "ann@shop.example", "location": {"timezone": "Asia/Tokyo"}}
    return {"data": [one], "included": [{"type": "metric", "id": "M1", "attributes": {"name": "Viewed Product"}},
                                        {"type": "profile", "id": "p1", "attributes": about}]}  # fmt: skip


def adobe_xdm(n):
    return {"_id": f"e{n}", "eventType": "commerce.productViews", "timestamp": f"{ISO}Z", "web": {"name": "tea"},
            "identityMap": {"ECID": [{"id": f"x{n}"}], "CRMID": [{"id": f"u{n % 3}", "primary": True}]},
            "productListItems": [{"SKU": "tea", "priceTotal": 4.5}]}  # fmt: skip


def opentelemetry(n):
    pairs = {"user.id": f"u{n % 3}", "item.id": "tea", "session.id": "s"}
    own = [{"key": key, "value": {"stringValue": value}} for key, value in pairs.items()]
    one = {"timeUnixNano": str((NOON + n) * 10**9), "eventName": "view",
           "attributes": [*own, {"key": "value", "value": {"doubleValue": 4.5}}]}  # fmt: skip
    shared = {"attributes": [{"key": "channel", "value": {"stringValue": "web"}}]}
    return {"resourceLogs": [{"resource": shared, "scopeLogs": [{"logRecords": [one]}]}]}


def read_otel(records):
    return adapters.opentelemetry(records, events={"view": "view"})


READERS = {
    "segment": (segment, adapters.segment, "omnireco.adapters.segment"),
    "ga4": (ga4, adapters.ga4, "omnireco.adapters.ga4"),
    "braze": (braze, adapters.braze, "omnireco.adapters.platforms.braze"),
    "klaviyo": (klaviyo, adapters.klaviyo, "omnireco.adapters.platforms.klaviyo"),
    "adobe_xdm": (adobe_xdm, adapters.adobe_xdm, "omnireco.adapters.platforms.adobe"),
    "opentelemetry": (opentelemetry, read_otel, "omnireco.adapters.platforms.opentelemetry"),
    "woocommerce": (woocommerce, adapters.woocommerce, None),
}
ODD = [None, "", "  ", "null", 0, -1, 7, 1e21, 4.5, float("nan"), True, "1.23457E+12", [], {}, [{"id": "x"}],
       {"a": {}}, "2025-05-01T12:00:00", "2025-05-01T14:00:00+02:00", 1_746_100_800_000, "Etc/Unknown", "GMT+9",
       " tea ", "purchase", "unsubscribed", [[["tea"]]], "[]", '{"id": "u9"}', "Zoë", 2**70]  # fmt: skip


def paths(value, path=()):
    """Return the places of all values of a record."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [place for key, part in items for place in paths(part, (*path, key))]


def put(record, path, value):
    for key in path[:-1]:
        record = record[key]
    record[path[-1]] = value


def same(one, other):
    assert one.n_records == other.n_records
    for name in ("counts", "events", "messages", "users", "links"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name), obj=name, check_dtype=False)


def by_rules(reader, module, records):
    if module is None:
        return reader(records)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[module], "_quick", lambda *given: lambda one: False)
        return reader(records)


@pytest.mark.parametrize("name", [name for name in READERS if READERS[name][2]])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(draw=st.data())
def test_read_at_once_is_read_by_the_rules(name, draw):
    make, reader, module = READERS[name]
    records = [make(n) for n in range(8)]
    for _ in range(draw.draw(st.integers(0, 6))):
        record = records[draw.draw(st.integers(0, 7))]
        places = paths(record)
        put(record, draw.draw(st.sampled_from(places)), copy.deepcopy(draw.draw(st.sampled_from(ODD))))
    if draw.draw(st.booleans()):
        records[0]["Another.field"] = "x"
    same(reader(copy.deepcopy(records)), by_rules(reader, module, copy.deepcopy(records)))


@pytest.mark.parametrize("name", READERS)
def test_a_file_is_its_records(name, tmp_path):
    """Lines with a byte-order mark, with Windows' ends, by gzip, as UTF-16, and as the list that they are."""
    make, reader, _ = READERS[name]
    records = [make(n) for n in range(1500)]
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\r\n" for one in records)
    expected = reader(records)
    assert expected.n_records >= 1500
    assert expected.unused["records"].sum() <= (name == "braze")  # a click whose mail comes later
    forms = {"bom": lines.encode("utf-8-sig"), "gz": gzip.compress(lines.encode()), "wide": lines.encode("utf-16"),
             "list": json.dumps(records).encode(), "gap": lines.replace("\r\n", "\n\n").encode()}  # fmt: skip
    for form, content in forms.items():
        path = tmp_path / f"{form}.of.today"
        path.write_bytes(content)
        same(reader(path), expected)


@pytest.mark.parametrize("name", READERS)
def test_one_bad_line_among_many_is_named(name, tmp_path):
    make, reader, _ = READERS[name]
    lines = [json.dumps(make(n)) for n in range(3000)]
    path = tmp_path / "export.jsonl"
    for bad, at in ((lines[2000][:-9], 2000), (lines[2000] + ",", 2000), ("<html>", 2999)):
        path.write_text("\n".join([*lines[:at], bad, *lines[at + 1 :]]), encoding="utf-8")
        with pytest.raises(SchemaError, match=rf"line {at + 1:,} of 'export.jsonl' is not JSON"):
            reader(path)
    path.write_bytes(gzip.compress("\n".join(lines).encode())[:-200])
    with pytest.raises(StorageError, match="cut off or damaged"):
        reader(path)
    path.write_bytes("\n".join(lines).encode().replace(b"tea", b"t\xe9") + b"\n\xff")
    with pytest.raises(StorageError, match="is not UTF-8"):
        reader(path)


@pytest.mark.parametrize("name", ["segment", "ga4", "braze", "adobe_xdm", "opentelemetry"])
def test_a_record_without_its_time_or_its_zone_is_counted_and_makes_nothing(name):
    make, reader, _ = READERS[name]
    field = {"segment": "timestamp", "ga4": "event_timestamp", "braze": "time", "adobe_xdm": "timestamp"}.get(name)
    records = [make(n) for n in range(1200)]
    for n, value in ((5, None), (600, "2025-05-01T12:00:00"), (1100, "31.12.2025")):
        record = records[n]
        if name == "opentelemetry":
            record = record["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
        record[field or "timeUnixNano"] = value
    read = reader(records)
    lost = read.counts[read.counts["became"] == "invalid"]
    assert lost["records"].sum() >= 3
    assert len(read.events) + len(read.messages) <= 1197


def test_an_order_of_a_bulk_export_has_its_lines_wherever_they_stand():
    """Shopify's documentation: a line of a nested connection names its parent, and follows it."""
    order = {"id": "gid://shopify/Order/1", "createdAt": f"{ISO}Z", "displayFinancialStatus": "PAID",
             "customer": {"id": "gid://shopify/Customer/5"}}  # fmt: skip
    lines = [
        {"id": f"gid://shopify/LineItem/{n}", "quantity": 1, "product": {"id": f"gid://shopify/Product/{n}"},
         "originalUnitPriceSet": {"shopMoney": {"amount": "4.50"}}, "__parentId": order["id"]}
        for n in range(2000)
    ]  # fmt: skip
    expected = adapters.shopify([order, *lines])
    assert len(expected.events) == 2000
    assert expected.events["value"].sum() == 9000
    other = {**order, "id": "gid://shopify/Order/2"}
    mixed = adapters.shopify([*lines[:900], other, order, *lines[900:]])  # orders without lines are invalid
    assert sorted(mixed.events["item_id"]) == sorted(expected.events["item_id"])
    assert mixed.counts.groupby("became")["records"].sum().to_dict() == {"event": 2001, "invalid": 1}
    strange = adapters.shopify([order, lines[0], {**lines[1], "__parentId": "gid://shopify/Order/77"}])
    assert strange.unused["why"].tolist() == ["its order is not among the records"]
