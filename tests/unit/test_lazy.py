"""Lazy frames of engines: one query, the same matrix as from the whole log; what is refused."""

import importlib.util

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import omnireco as om
from omnireco.data import LazyEvents
from omnireco.errors import EmptyError, IdKindError, ParameterError, SchemaError

WEIGHTS = [
    om.Weights(),
    om.Weights(events={"purchase": 5, "view": 0.5, "play": 0}, half_life="14D", missing="ignore"),
    om.Weights(events={"purchase": 8}, value="log", cap=3, missing="ignore"),
    om.Weights(channels={"web": 2}, binary=True, missing="ignore"),
]


def _polars(frame):
    return pl.from_pandas(frame).lazy()


def _duckdb(frame):
    return pytest.importorskip("duckdb", reason="DuckDB is not installed").from_df(frame)


def _ibis(frame):
    if importlib.util.find_spec("duckdb") is None:
        pytest.skip("DuckDB, which runs Ibis here, is not installed")
    return pytest.importorskip("ibis", reason="Ibis is not installed").memtable(
        pa.Table.from_pandas(frame, preserve_index=False)
    )


ENGINES = {"polars": _polars, "duckdb": _duckdb, "ibis": _ibis}


@pytest.fixture(scope="module")
def events():
    return om.simulate(n_users=80, n_items=30, seed=2).events


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("weights", WEIGHTS, ids=range(len(WEIGHTS)))
def test_the_matrix_is_that_of_the_whole_log(events, engine, weights):
    frame = events.assign(value=events["value"].fillna(1.0))
    x = om.EventLog.from_frame(frame).matrix(weights)
    y = om.EventLog.scan(ENGINES[engine](frame)).matrix(weights)
    assert x.users == y.users
    assert x.items == y.items
    assert x.layers.keys() == y.layers.keys()
    for one, other in zip((x.csr, *x.layers.values()), (y.csr, *y.layers.values()), strict=True):
        assert np.array_equal(one.indptr, other.indptr)
        assert np.array_equal(one.indices, other.indices)
        np.testing.assert_allclose(one.data, other.data, rtol=1e-6)
    assert (
        om.ALS(factors=4, iterations=2, weights=weights).fit(om.EventLog.scan(ENGINES[engine](frame))).items == x.items
    )


def test_names_are_mapped_and_events_without_an_item_kept(events):
    frame = events.rename(columns={"user_id": "member"}).astype({"item_id": object})
    frame.loc[frame.index[:20], "item_id"] = None
    lazy = _polars(frame)
    x = om.EventLog.scan(lazy, columns={"user_id": "member"}, itemless="keep").matrix()
    assert x.n_users == events["user_id"].nunique()
    with pytest.raises(SchemaError, match=r"item_id is missing in 20 of .* itemless='keep'"):
        om.EventLog.scan(lazy, columns={"user_id": "member"}).matrix()


def test_a_part_of_it_is_a_log(events):
    scan = om.EventLog.scan(_polars(events))
    assert isinstance(scan, LazyEvents)
    assert repr(scan) == "LazyEvents(polars, nothing read yet)"
    ids = np.unique(events["user_id"])[:5]
    log = scan.log(users=ids, start="2025-01-10", end="2025-02-01", events=["view"])
    at = events["timestamp"]
    kept = events[
        events["user_id"].isin(ids) & (events["event"] == "view") & (at >= "2025-01-10") & (at < "2025-02-01")
    ]
    assert log.to_frame().equals(om.EventLog.from_frame(kept).to_frame())


def test_refusals(events):
    lazy = _polars(events)
    with pytest.raises(SchemaError, match=r"no time zone.*replace_time_zone"):
        om.EventLog.scan(lazy.with_columns(pl.col("timestamp").dt.replace_time_zone(None)))
    om.EventLog.scan(  # the advice
        lazy.with_columns(pl.col("timestamp").dt.replace_time_zone(None)).with_columns(
            pl.col("timestamp").dt.replace_time_zone("UTC")
        )
    ).matrix()
    with pytest.raises(SchemaError, match="must hold times with a time zone"):
        om.EventLog.scan(lazy.with_columns(pl.col("timestamp").cast(pl.String)))
    with pytest.raises(SchemaError, match="channel"):
        om.EventLog.scan(lazy.drop("channel"))
    with pytest.raises(SchemaError, match="timestamp is missing in 1 of"):
        om.EventLog.scan(
            lazy.with_row_index().with_columns(timestamp=pl.when(pl.col("index") > 0).then(pl.col("timestamp")))
        ).matrix()
    scan = om.EventLog.scan(lazy)
    with pytest.raises(ParameterError, match="lies after at="):
        scan.matrix(at="2025-01-10")
    with pytest.raises(ParameterError, match="side by side"):
        scan.matrix(om.Weights(deduplicate="1h"))
    with pytest.raises(ParameterError, match="wiew"):
        scan.matrix(om.Weights(events={"wiew": 1}))
    with pytest.raises(SchemaError, match=r"value.*missing in"):
        om.EventLog.scan(lazy.with_columns(value=pl.lit(None, pl.Float64))).matrix(om.Weights(value="linear"))
    with pytest.raises(IdKindError, match="user_id holds integers"):
        scan.log(users=["1"])
    with pytest.raises(EmptyError):
        scan.log(start="2031-01-01")
    with pytest.raises(ParameterError, match="a name that nothing here has"):
        scan.log(channels=["sms2"])


def test_nothing_at_all_is_an_empty_matrix(events):
    x = om.EventLog.scan(_polars(events.iloc[:0])).matrix()
    assert x.shape == (0, 0)


def test_times_of_any_unit_and_zone_are_the_same_instants(events):
    for unit, zone in (("ms", "Asia/Tokyo"), ("ns", "America/New_York")):
        frame = events.assign(timestamp=events["timestamp"].dt.floor("s"))
        lazy = _polars(frame).with_columns(pl.col("timestamp").dt.cast_time_unit(unit).dt.convert_time_zone(zone))
        x = om.EventLog.scan(lazy).matrix(om.Weights(half_life="1D"))
        y = om.EventLog.from_frame(frame).matrix(om.Weights(half_life="1D"))
        np.testing.assert_allclose(x.csr.data, y.csr.data, rtol=1e-6)
