"""What stands inside of records: read in every dress that a library gives it, or counted as unread."""

import base64
import collections
import decimal
import json
import sqlite3

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from omnireco import adapters
from omnireco.errors import SchemaError

ITEMS = [{"item_id": "shirt", "price": 20.0, "quantity": 2}, {"item_id": "cap", "price": 5.0, "quantity": 1}]
PARAMS = [{"key": "engaged", "value": {"int_value": 0}}, {"key": "ga_session_id", "value": {"int_value": 77}}]
ROW = {
    "event_name": "add_to_cart",
    "event_timestamp": 1_611_928_000_000_000,
    "user_pseudo_id": "1026.44",
    "platform": "WEB",
    "event_params": PARAMS,
    "items": ITEMS,
}
Item = collections.namedtuple("Item", ["item_id", "price", "quantity"])

DRESSES = {
    "tuples": {"items": tuple(ITEMS), "event_params": tuple(PARAMS)},
    "arrays": {"items": np.array(ITEMS, dtype=object), "event_params": np.array(PARAMS, dtype=object)},
    "series": {"items": pd.Series(ITEMS)},
    "pyarrow arrays": {"items": pa.array(ITEMS), "event_params": pa.array(PARAMS)},
    "pyarrow scalars": {name: pa.scalar(part) for name, part in ROW.items()},
    "JSON": {"items": json.dumps(ITEMS), "event_params": json.dumps(PARAMS)},
    "bytes of JSON": {"items": json.dumps(ITEMS).encode()},
    "JSON in a list": {"items": [json.dumps(item) for item in ITEMS]},
    "texts for numbers": {
        "event_timestamp": "1611928000000000",
        "items": [{name: str(part) for name, part in item.items()} for item in ITEMS],
        "event_params": [{"key": "ga_session_id", "value": {"int_value": "77"}}],
    },
    "numpy scalars": {
        "event_timestamp": np.int64(1_611_928_000_000_000),
        "items": [{"item_id": np.str_("shirt"), "price": np.float32(20), "quantity": np.array(2)}, ITEMS[1]],
    },
    "decimals": {
        "event_timestamp": decimal.Decimal("1611928000000000"),
        "items": [ITEMS[0] | {"price": decimal.Decimal("20.00")}, ITEMS[1]],
    },
    "float time": {"event_timestamp": 1_611_928_000_000_000.0},
    "parameters in a mapping": {"event_params": {"ga_session_id": 77}},
    "parameters in pairs": {"event_params": [("ga_session_id", {"int_value": 77})]},
    "lists of parquet": {"items": {"list": [{"element": item} for item in ITEMS]}},
    "arrays of PHP": {"items": {"0": ITEMS[0], "3": ITEMS[1]}},
    "columns": {"items": {name: [item[name] for item in ITEMS] for name in ITEMS[0]}},
    "named tuples": {"items": [Item(**item) for item in ITEMS]},
    "gaps": {"items": [None, ITEMS[0], pd.NA, np.nan, ITEMS[1], {}]},
}


@pytest.mark.parametrize("dress", DRESSES)
def test_nested_values_are_read_in_every_dress(dress):
    read = adapters.ga4([ROW | DRESSES[dress]])
    assert read.events[["item_id", "value", "session_id"]].values.tolist() == [
        ["shirt", 40.0, "77"],
        ["cap", 5.0, "77"],
    ]


@pytest.mark.parametrize(
    "dress",
    [pd.DataFrame, pa.Table.from_pylist, lambda rows: pa.Table.from_pylist(rows).to_pandas(types_mapper=pd.ArrowDtype)],
)
def test_nested_values_are_read_in_every_frame(dress):
    assert adapters.ga4(dress([ROW])).events["item_id"].tolist() == ["shirt", "cap"]


def test_a_frame_of_mixed_cells_is_read():
    frame = pd.DataFrame([ROW, ROW | {"items": [{"item_id": "hat", "price": "7.00"}]}])
    assert adapters.ga4(frame).events["value"].tolist() == [40.0, 5.0, 7.0]
    with pytest.raises(SchemaError, match="two columns of one name"):
        adapters.ga4(pd.DataFrame([[1, 2]], columns=["event_name", "event_name"]))


@pytest.mark.parametrize(
    "items", [str(ITEMS), 5, [["a"]], "shirt", [ITEMS[0], "x"], '[{"item_id": "a"', {"a": [1], "b": [1, 2]}]
)
def test_what_cannot_be_read_is_counted_and_makes_no_event(items):
    read = adapters.ga4([ROW | {"items": items}, ROW])
    assert len(read.events) == 2
    assert read.unused[["became", "why"]].values.tolist() == [["invalid", "items cannot be read"]]


NESTED = {
    adapters.segment: lambda part: {
        "type": "track",
        "event": "Product Added",
        "userId": "a",
        "timestamp": "2025-05-01T08:00:00Z",
        "properties": part,
    },
    adapters.cloudevents: lambda part: {
        "specversion": "1.0",
        "id": "1",
        "source": "s",
        "type": "omnireco.event.v1",
        "time": "2025-05-01T08:00:00Z",
        "subject": "a",
        "data": part,
    },
    adapters.snowplow: lambda part: {
        "event_name": "snowplow_ecommerce_action",
        "derived_tstamp": "2025-05-01 08:00:00",
        "user_id": "a",
        "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1": {"type": "add_to_cart"},
        "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1": part,
    },
    adapters.shopify: lambda part: {
        "id": 1,
        "created_at": "2025-05-01T08:00:00Z",
        "customer": {"id": 7},
        "line_items": part,
    },
    adapters.woocommerce: lambda part: {
        "id": 1,
        "status": "completed",
        "date_created_gmt": "2025-05-01T08:00:00",
        "customer_id": 7,
        "line_items": part,
    },
}
PART = {"event": "add_to_cart", "product_id": "tea", "id": "tea", "price": 4, "total": "4", "value": 4}


@pytest.mark.parametrize("read", NESTED)
@pytest.mark.parametrize(
    "dress",
    [
        dict,
        json.dumps,
        lambda part: json.dumps(part).encode(),
        lambda part: [part],
        lambda part: (part,),
        lambda part: np.array([part], dtype=object),
        lambda part: pa.scalar(part),
    ],
)
def test_every_reader_reads_every_dress(read, dress):
    found = read([NESTED[read](dress(PART))])
    assert found.events[["item_id", "value"]].values.tolist() == [["tea", 4.0]]


@pytest.mark.parametrize("read", NESTED)
@pytest.mark.parametrize("part", ["tea", 5, "{'product_id': 'tea'}", [[1]], '{"product_id": "tea"'])
def test_every_reader_counts_what_it_cannot_read(read, part):
    found = read([NESTED[read](part)])
    assert len(found.events) == 0
    assert found.unused["became"].tolist() == ["invalid"]


@pytest.mark.parametrize(
    "nothing", [None, np.nan, pd.NaT, pd.NA, "", " ", float("nan"), np.datetime64("NaT"), decimal.Decimal("NaN")]
)
def test_missing_is_missing_in_every_dress(nothing):
    page = {"event_name": "page_view", "user_id": nothing, "items": nothing, "event_params": nothing}
    read = adapters.ga4([ROW | page])
    assert read.events["user_id"].tolist() == ["1026.44"]
    assert len(read.links) == 0
    action = "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_"
    snow = adapters.snowplow(
        [
            {
                "event_name": "snowplow_ecommerce_action",
                "event": nothing,
                "derived_tstamp": nothing,
                "collector_tstamp": "2025-05-01 08:00:00",
                "user_id": nothing,
                "domain_userid": "d",
                f"{action}1_0_1": {"type": "product_view"},
                f"{action}1_0_2": nothing,
            }
        ]
    )
    assert snow.events[["user_id", "event"]].values.tolist() == [["d", "view"]]
    shop = NESTED[adapters.shopify](PART) | {"cancelled_at": nothing, "test": nothing, "financial_status": nothing}
    assert adapters.shopify([shop | {"processed_at": nothing, "refunds": nothing}]).events["item_id"].tolist() == [
        "tea"
    ]


def test_names_joined_by_points_are_nested_again():
    frame = pd.json_normalize(NESTED[adapters.segment](PART))
    assert "properties.product_id" in frame
    assert adapters.segment(frame).events["item_id"].tolist() == ["tea"]


def test_rows_of_a_database_are_records():
    with sqlite3.connect(":memory:") as base:
        base.row_factory = sqlite3.Row
        rows = base.execute("select 'page_view' as event_name, 1611928000000000 as event_timestamp, 'u' as user_id")
        assert adapters.ga4(rows.fetchall()).events["user_id"].tolist() == ["u"]


def test_data_in_base_64():
    packed = base64.b64encode(json.dumps(PART).encode()).decode()
    envelope = NESTED[adapters.cloudevents](None)
    assert adapters.cloudevents([envelope | {"data_base64": packed}]).events["item_id"].tolist() == ["tea"]
    assert adapters.cloudevents([envelope | {"data_base64": "?"}]).unused["why"].tolist() == [
        "data_base64 cannot be read"
    ]


def test_a_record_nested_too_deeply():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(SchemaError, match="record 0 is nested too deeply"):
        adapters.ga4([ROW | {"items": deep}])


# ---- Snowplow's versions ----------------------------------------------------------------------------------------

BASE = {"event_name": "snowplow_ecommerce_action", "derived_tstamp": "2025-05-01 08:00:00.123", "user_id": "u"}
ACTION = "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1"
PRODUCT = "contexts_com_snowplowanalytics_snowplow_ecommerce_product_"


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("empty", [None, [], "[]", np.nan, "", [None]])
def test_the_filled_version_of_a_schema_wins(empty, order):
    columns = [(f"{PRODUCT}1_0_0", [{"id": "p", "price": 2}]), (f"{PRODUCT}1_0_1", empty)]
    read = adapters.snowplow([BASE | {ACTION: {"type": "product_view"}} | dict(columns[::order])])
    assert read.events[["item_id", "value"]].values.tolist() == [["p", 2.0]]


def test_of_one_product_in_two_versions_the_newest_counts_once():
    columns = {
        f"{PRODUCT}1_0_2": [{"id": "p", "price": 2}, {"id": "q", "price": 1}],
        f"{PRODUCT}1_0_10": [{"id": "p", "price": 3}],
    }
    read = adapters.snowplow([BASE | {ACTION: {"type": "add_to_cart"}} | columns])
    assert read.events[["item_id", "value"]].values.tolist() == [["p", 3.0], ["q", 1.0]]


def test_columns_in_capitals_and_self_describing_json():
    rows = [
        {
            name.upper(): part
            for name, part in (BASE | {ACTION: '{"type": "add_to_cart"}', f"{PRODUCT}1": '[{"id": "p"}]'}).items()
        }
    ]
    schema = "iglu:com.snowplowanalytics.snowplow.ecommerce/{}/jsonschema/1-0-0"
    rows.append(
        BASE
        | {
            "unstruct_event": json.dumps(
                {
                    "schema": "iglu:x/unstruct_event/jsonschema/1-0-0",
                    "data": {"schema": schema.format("snowplow_ecommerce_action"), "data": {"type": "add_to_cart"}},
                }
            ),
            "contexts": {
                "schema": "iglu:x/contexts/jsonschema/1-0-0",
                "data": [{"schema": schema.format("product"), "data": {"id": "p"}}, {"schema": "iglu:x/y", "data": {}}],
            },
        }
    )
    assert adapters.snowplow(rows).events[["event", "item_id"]].values.tolist() == [["add_to_cart", "p"]] * 2
