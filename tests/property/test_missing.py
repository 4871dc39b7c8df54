"""Missing in every dress: None, NaN, NaT, pandas.NA and "" are one and the same at every door and in every column."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import omnireco as om
from omnireco.data import Catalog, Interactions
from omnireco.errors import SchemaError

DAY = pd.Timestamp("2025-05-01 09:30", tz="UTC")
DRESSES = [None, float("nan"), pd.NaT, pd.NA, ""]


def events(n):
    return pd.DataFrame(
        {
            "user_id": [f"u{i}" for i in range(n)],
            "item_id": [f"i{i}" for i in range(n)],
            "channel": "web",
            "event": "view",
            "timestamp": pd.date_range(DAY, periods=n, freq="h"),
        }
    )


def messages(n):
    sent = pd.date_range(DAY, periods=n, freq="h")
    return pd.DataFrame(
        {"user_id": [f"u{i}" for i in range(n)], "channel": "email", "sent_at": sent, "responded_at": sent}
    )


def people(n):
    return pd.DataFrame({"user_id": [f"u{i}" for i in range(n)], "timezone": "Asia/Tokyo", "consent_email": True})


def goods(n):
    return pd.DataFrame({"item_id": [f"i{i}" for i in range(n)]})


def label(name):
    return lambda frame: om.EventLog.from_frame(frame, context=["device"] if name == "device" else []).labels[name][1]


OPTIONAL = {  # door and column: (frame, reader of the column's codes by row, what the column holds)
    **{name: (events, label(name), "id") for name in ("store_id", "session_id", "event_id", "device")},
    "item_id": (events, lambda frame: om.EventLog.from_frame(frame, itemless="keep").item, "id"),
    "message item_id": (messages, lambda frame: om.MessageLog.from_frame(frame).item, "id"),
    "creative_id": (messages, lambda frame: om.MessageLog.from_frame(frame).creative, "id"),
    "timezone": (people, lambda frame: om.Audience.from_frame(frame).zone, "zone"),
    "segment": (
        people,
        lambda frame: om.Audience.from_frame(frame, attributes=["segment"]).attributes["segment"][1],
        "id",
    ),
    "category": (goods, lambda frame: Catalog.from_frame(frame).category[1], "id"),
    "name": (goods, lambda frame: Catalog.from_frame(frame).name[1], "id"),
}
TIMES = {
    "responded_at": lambda frame: om.MessageLog.from_frame(frame).responded_at,
    "clicked_at": lambda frame: om.MessageLog.from_frame(frame).clicked_at,
    "unsubscribed_at": lambda frame: om.MessageLog.from_frame(frame).unsubscribed_at,
}
NEVER = np.iinfo(np.int64).min
gaps = st.lists(st.integers(-1, len(DRESSES) - 1), min_size=1, max_size=6)  # -1: a cell that is there


def filled(cells, what):
    values = [what(i) if cell < 0 else DRESSES[cell] for i, cell in enumerate(cells)]
    return values, np.array(cells) >= 0


VALUES = {
    "text": lambda i: f"x{i}",
    "integer": lambda i: 1_611_928_000 + i,
    "zone": lambda i: ["Asia/Tokyo", "Europe/Berlin"][i % 2],
}


@pytest.mark.parametrize("column", OPTIONAL)
@given(cells=gaps, kind=st.sampled_from(["text", "integer"]))
def test_optional_ids(column, cells, kind):
    frame, read, holds = OPTIONAL[column]
    values, missing = filled(cells, VALUES["zone" if holds == "zone" else kind])
    table = frame(len(cells)).assign(**{column.split()[-1]: pd.Series(values, dtype=object)})
    assert (read(table) == -1).tolist() == missing.tolist()


@pytest.mark.parametrize("column", TIMES)
@given(cells=gaps)
def test_optional_times(column, cells):
    values, missing = filled(cells, lambda i: DAY + pd.Timedelta(days=1))
    table = messages(len(cells)).assign(**{column: pd.Series(values, dtype=object)})
    assert (TIMES[column](table) == NEVER).tolist() == missing.tolist()


@given(cells=gaps, name=st.sampled_from(["consent_email", "reachable_email"]))
def test_consent_is_no_where_it_is_missing(cells, name):
    values, missing = filled(cells, lambda i: True)
    people_ = om.Audience.from_frame(people(len(cells)).assign(**{name: pd.Series(values, dtype=object)}))
    assert (people_.consent if name == "consent_email" else people_.reachable)[:, 0].tolist() == (~missing).tolist()


ALL_MISSING = {
    "float": lambda n: pd.Series(np.full(n, np.nan)),
    "half float": lambda n: pd.Series(np.full(n, np.nan, np.float16)),
    "object": lambda n: pd.Series([None] * n, dtype=object),
    "empty texts": lambda n: pd.Series([""] * n),
    "naive times": lambda n: pd.Series([pd.NaT] * n),
    "aware times": lambda n: pd.Series([pd.NaT] * n).dt.tz_localize("UTC"),
    "Int64": lambda n: pd.Series([pd.NA] * n, dtype="Int64"),
    "boolean": lambda n: pd.Series([pd.NA] * n, dtype="boolean"),
    "string": lambda n: pd.Series([pd.NA] * n, dtype="string"),
    "category": lambda n: pd.Series(pd.Categorical([None] * n, categories=["a"])),
    "category of empty texts": lambda n: pd.Series(pd.Categorical([""] * n)),
    "mixed": lambda n: pd.Series([DRESSES[i % len(DRESSES)] for i in range(n)], dtype=object),
}


@pytest.mark.parametrize("column", OPTIONAL)
@pytest.mark.parametrize("dress", ALL_MISSING)
def test_a_column_that_is_missing_for_everybody(column, dress):
    frame, read, _ = OPTIONAL[column]
    assert (read(frame(6).assign(**{column.split()[-1]: ALL_MISSING[dress](6)})) == -1).all()


@pytest.mark.parametrize("column", TIMES)
@pytest.mark.parametrize("dress", ALL_MISSING)
def test_a_time_that_is_missing_for_everybody(column, dress):
    assert (TIMES[column](messages(6).assign(**{column: ALL_MISSING[dress](6)})) == NEVER).all()


@pytest.mark.parametrize("dress", ALL_MISSING)
def test_numbers_that_are_missing_for_everybody_are_no_column(dress):
    gap = ALL_MISSING[dress](6)
    for how in ("raise", "drop"):
        log = om.EventLog.from_frame(events(6).assign(value=gap), on_invalid=how)
        assert (len(log), log.value) == (6, None)
        sent = om.MessageLog.from_frame(messages(6).assign(propensity=gap, machine=gap), on_invalid=how)
        assert (len(sent), sent.propensity) == (6, None)
        assert np.isnan(sent.machine).all()
    assert Catalog.from_frame(goods(6).assign(price=gap, margin=gap)).price is None
    with pytest.raises(SchemaError, match=r"weight is missing in all 6 rows\. .*fillna\(1\)"):
        Interactions.from_frame(events(6).assign(weight=gap))


REQUIRED = {
    "user_id": (events, om.EventLog.from_frame),
    "item_id": (events, om.EventLog.from_frame),
    "channel": (events, om.EventLog.from_frame),
    "event": (events, om.EventLog.from_frame),
    "timestamp": (events, om.EventLog.from_frame),
    "message user_id": (messages, om.MessageLog.from_frame),
    "message channel": (messages, om.MessageLog.from_frame),
    "sent_at": (messages, om.MessageLog.from_frame),
    "people user_id": (people, om.Audience.from_frame),
}


@pytest.mark.parametrize("dress", DRESSES, ids=repr)
@pytest.mark.parametrize("column", REQUIRED)
def test_required_columns_say_so_and_their_advice_works(column, dress):
    frame, read = REQUIRED[column]
    name = column.split()[-1]
    table = frame(6).astype({name: object})
    table.loc[[1, 4], name] = dress
    with pytest.raises(SchemaError, match=rf"{name} is missing in 2 rows \(positions 1, 4\).*on_invalid='drop'"):
        read(table)
    kept = read(table, on_invalid="drop")
    assert len(kept) == 4
    assert kept.quality.rows("missing").tolist() == kept.quality.dropped.tolist() == [1, 4]


@pytest.mark.parametrize("dress", DRESSES, ids=repr)
def test_doors_without_a_way_to_drop(dress):
    table = events(3).astype({"item_id": object})
    table.loc[1, "item_id"] = dress
    for read in (Catalog.from_frame, Interactions.from_frame):
        with pytest.raises(SchemaError, match=r"item_id is missing in 1 row \(position 1\)\. Fill them in upstream"):
            read(table)
    with pytest.raises(SchemaError, match=r"user_id is missing in 1 row"):
        om.Requests.from_frame(table.assign(user_id=table["item_id"]))


@pytest.mark.parametrize("make", [pl.from_pandas, pa.Table.from_pandas], ids=["polars", "pyarrow"])
def test_other_frames(make):
    table = events(4).assign(store_id=["a", "", None, "b"], session_id=[7.0, np.nan, 9.0, np.nan])
    log = om.EventLog.from_frame(make(table))
    assert log.labels["store_id"][1].tolist() == [0, -1, -1, 1]
    assert log.labels["session_id"][0].ids.tolist() == [7, 9]
    nobody = pl.DataFrame({"user_id": ["a"], "timezone": [float("nan")], "consent_email": [None]})
    assert om.Audience.from_frame(nobody).zone.tolist() == [-1]


def test_long_columns_and_files_of_them(tmp_path):
    n = 120_000  # strings enough for compiled code
    table = events(n).assign(store_id=np.where(np.arange(n) % 3, "s1", ""), channel="web")
    log = om.EventLog.from_frame(table)
    assert (log.labels["store_id"][1] == -1).sum() == n // 3
    assert log.labels["store_id"][0].ids.tolist() == ["s1"]
    table = events(4).assign(item_id=["x", "", None, "y"])
    table.to_parquet(tmp_path / "events.parquet")
    scan = om.EventLog.scan(tmp_path, itemless="keep")
    assert scan.matrix().items.ids.tolist() == scan.log().items.ids.tolist() == ["x", "y"]
    with pytest.raises(SchemaError, match=r"item_id is missing in 2 rows"):
        om.EventLog.scan(tmp_path).matrix()
    events(4).assign(item_id=[3.0, np.nan, 4.0, 3.0]).to_parquet(tmp_path / "events.parquet")
    assert om.EventLog.scan(tmp_path, itemless="keep").matrix().items.ids.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("cells", "match"),
    [
        ([1.5, np.nan], r"not whole are no ids: 1 row \(position 0\)"),
        ([2.0**53 + 2, np.nan], r"no longer tell integers above 2\*\*53 apart, as in 1 row \(position 0\)"),
        ([np.inf, np.nan], "no longer tell integers above"),
        ([True, None], "must hold integers or strings. Got bool"),
    ],
)
def test_floats_that_are_no_ids(cells, match):
    with pytest.raises(SchemaError, match=match):
        om.EventLog.from_frame(events(2).assign(session_id=cells))


def test_ids_with_gaps_are_the_integers_they_were():
    gappy = om.EventLog.from_frame(events(3).assign(session_id=[1_611_928_000.0, np.nan, 1_611_928_001.0]))
    whole = om.EventLog.from_frame(
        events(3).assign(session_id=pd.array([1_611_928_000, pd.NA, 1_611_928_001], "Int64"))
    )
    assert om.data.fingerprint(gappy) == om.data.fingerprint(whole)
    assert gappy.to_frame()["session_id"].tolist()[::2] == [1_611_928_000, 1_611_928_001]
