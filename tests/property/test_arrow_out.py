"""Every value with a table is an Arrow stream: what polars, DuckDB, Ibis and pyarrow read from it is its frame."""

import pandas as pd
import pyarrow as pa
import pytest

import omnireco as om
from omnireco.data import Interactions


@pytest.fixture(scope="module")
def values():
    world = om.simulate(n_users=40, n_items=15, days=60, seed=3)
    log = om.EventLog.from_frame(world.events, itemless="keep")
    train, test = log.split("2025-02-15")
    model = om.EASE().fit(train)
    recs = model.recommend(om.Dataset(train).requests(), k=4)
    report = om.evaluate({"ease": recs}, test, k=4, n_bootstrap=20)
    return {
        "log": log,
        "messages": om.MessageLog.from_frame(world.messages),
        "lists": recs,
        "no lists": model.recommend(om.Dataset(train).requests([]), k=4),
        "report": report,
        "card": om.evaluation.card(model, data=train, report=report, title="ease"),
        "audience": om.Audience.from_frame(world.users, attributes=["age_group"]),
    }


def version_of(package):
    return tuple(map(int, package.__version__.split(".")[:2]))


NAMES = ["log", "messages", "lists", "no lists", "report", "card", "audience"]


def rows(frame):
    """Return a frame as rows of plain values, instants in UTC to the microsecond and what is missing as None."""
    plain = [[None if pd.isna(one) else one for one in row] for row in frame.astype(object).to_numpy().tolist()]
    return [[one.tz_convert("UTC").floor("us").isoformat() if isinstance(one, pd.Timestamp) else one for one in row]
            for row in plain]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_libraries_read_the_frame(values, name):
    value = values[name]
    frame = value.to_frame()
    table = pa.table(value)
    assert table.column_names == list(frame.columns)
    assert rows(table.to_pandas()) == rows(frame)
    polars = pytest.importorskip("polars")
    if version_of(polars) < (1, 3):
        pytest.skip("this polars makes no frame of an Arrow stream")
    assert rows(polars.DataFrame(value).to_pandas()) == rows(frame)


@pytest.mark.parametrize("name", NAMES)
def test_duckdb_and_ibis_read_the_frame(values, name):
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    recs, frame = values[name], values[name].to_frame()
    own = duckdb.connect()
    own.execute("SET TimeZone = 'UTC'")
    found = own.sql("from recs").to_arrow_table()
    assert recs is not None
    assert found.column_names == list(frame.columns)
    assert rows(found.to_pandas()) == rows(frame)
    ibis = pytest.importorskip("ibis", reason="Ibis is not installed")
    assert ibis.memtable(pa.table(recs)).count().to_pyarrow().as_py() == len(frame)


@pytest.mark.parametrize("name", NAMES)
def test_a_value_is_a_stream_again_and_again_and_a_capsule_once(values, name):
    value = values[name]
    capsule = value.__arrow_c_stream__()
    again = value.__arrow_c_stream__()
    assert pa.table(value).equals(pa.table(value))
    del capsule, again  # never read: released, not leaked and not a crash


class Once:
    """A source whose stream can be read a single time, as a cursor of a database."""

    def __init__(self, table):
        self.reader = table.to_reader()

    def __arrow_c_stream__(self, requested_schema=None):
        return self.reader.__arrow_c_stream__(requested_schema)


EVENTS = pa.table({"user_id": ["a", "a", "b"], "item_id": ["x", "y", "x"], "channel": ["web"] * 3,
                   "event": ["view"] * 3,
                   "timestamp": pd.to_datetime(["2025-01-01T12:00:00.123456Z"] * 3)})  # fmt: skip
FORMS = {
    "large_string": lambda c: c.cast(pa.large_string()) if pa.types.is_string(c.type) else c,
    "string_view": lambda c: c.cast(pa.string_view()) if pa.types.is_string(c.type) else c,
    "dictionary": lambda c: c.dictionary_encode() if pa.types.is_string(c.type) else c,
    "ns": lambda c: c.cast(pa.timestamp("ns", "UTC")) if pa.types.is_timestamp(c.type) else c,
    "us": lambda c: c.cast(pa.timestamp("us", "UTC")) if pa.types.is_timestamp(c.type) else c,
    "Tokyo": lambda c: c.cast(pa.timestamp("us", "Asia/Tokyo")) if pa.types.is_timestamp(c.type) else c,
    "chunks": lambda c: pa.chunked_array([c.combine_chunks()[:1], c.combine_chunks()[1:1], c.combine_chunks()[1:]]),
}


if version_of(pa) < (19, 0):
    del FORMS["string_view"]  # the reader of pyarrow itself ends the process


@pytest.mark.parametrize("form", FORMS)
def test_every_arrow_form_is_the_same_log(form):
    expected = om.EventLog.from_frame(EVENTS.to_pandas())
    table = pa.table({name: FORMS[form](EVENTS[name]) for name in EVENTS.column_names})
    for source in (table, Once(table)):
        assert om.data.fingerprint(om.EventLog.from_frame(source)) == om.data.fingerprint(expected)
    milli = table.set_column(4, "timestamp", EVENTS["timestamp"].cast(pa.timestamp("ms", "UTC"), safe=False))
    found = om.EventLog.from_frame(milli).to_frame()["timestamp"]
    assert set(found) == {pd.Timestamp("2025-01-01T12:00:00.123Z")}


class Spent:
    """A source that gives the capsule that it has given before."""

    def __init__(self, table):
        self.capsule = table.__arrow_c_stream__()

    def __arrow_c_stream__(self, requested_schema=None):
        return self.capsule


def test_a_capsule_that_was_read_is_refused():
    source = Spent(EVENTS)
    om.EventLog.from_frame(source)
    with pytest.raises(om.errors.SchemaError, match="stream"):
        om.EventLog.from_frame(source)


def test_matrices_come_in_as_streams():
    cells = pa.table({"user_id": ["a", "b"], "item_id": ["x", "y"], "weight": [1.0, 2.0]})
    found = Interactions.from_frame(Once(cells))
    assert found.csr.toarray().tolist() == Interactions.from_frame(cells.to_pandas()).csr.toarray().tolist()
