"""Hostile frames at the doors: a right answer or an error that helps, and the caller's frame as it was."""

import datetime as dt
import decimal
import zoneinfo

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from omnireco.data import Audience, Catalog, EventLog, Interactions, MessageLog, Weights
from omnireco.data.recommendations import Recommendations
from omnireco.errors import EmptyError, OmnirecoError, ParameterError, SchemaError

quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
pytestmark = pytest.mark.filterwarnings("ignore:.*lies in January 1970:omnireco.errors.DataWarning")  # drawn
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ZONES = ["UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"]
DOORS = {
    "events": (EventLog.from_frame, ("user_id", "item_id", "channel", "event", "timestamp", "value", "store_id")),
    "messages": (MessageLog.from_frame, ("user_id", "channel", "sent_at", "responded_at", "item_id", "propensity")),
    "audience": (Audience.from_frame, ("user_id", "timezone", "consent_push", "reachable_push")),
    "catalog": (Catalog.from_frame, ("item_id", "category", "price")),
    "pairs": (Interactions.from_frame, ("user_id", "item_id", "weight", "channel")),
    "lists": (Recommendations.from_frame, ("user_id", "item_id", "rank", "score")),
}


def microseconds(at):
    return (at - EPOCH) // dt.timedelta(microseconds=1)


# ---- any column at all --------------------------------------------------------------------------------

SECRET = "secret-person"
naive = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30))
aware = st.builds(
    lambda at, zone, fold: at.replace(tzinfo=zoneinfo.ZoneInfo(zone), fold=fold),
    st.one_of(st.datetimes(dt.datetime(1960, 1, 1), dt.datetime(2060, 1, 1)), naive),
    st.sampled_from(ZONES),
    st.integers(0, 1),
)
cell = st.one_of(
    st.none(),
    st.just(float("nan")),
    st.just(pd.NA),
    st.just(pd.NaT),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from([SECRET, "\ud800", "e\u0301", "\u00e9", "", "\0", "NaN", "Asia/Tokyo"]),
    st.binary(max_size=2),
    st.dates(),
    naive,
    aware,
    st.timedeltas(),
    st.decimals().filter(lambda number: not number.is_snan()),  # pandas cannot even print those
    st.lists(st.integers(), max_size=2),
    st.builds(object),
)
DTYPES = [
    "object", "category", "str", "Int64", "UInt64", "boolean", "float32", "int8", "complex128", "datetime64[s]",
    "datetime64[ns, UTC]", "timedelta64[us]", pd.PeriodDtype("D"), pd.SparseDtype("float64"),
    *[pd.ArrowDtype(kind) for kind in (
        pa.string_view(), pa.large_string(), pa.dictionary(pa.int8(), pa.string()), pa.decimal128(30, 2), pa.bool_(),
        pa.timestamp("s", "UTC"), pa.timestamp("ms", "Asia/Tokyo"), pa.timestamp("ns", "+05:30"), pa.timestamp("us"),
        pa.date32(), pa.uint64(), pa.float16(), pa.null(), pa.binary(), pa.list_(pa.int64()), pa.duration("s"),
    )],
]  # fmt: skip


@st.composite
def columns(draw, n):
    """A column of one kind or of several, in any dtype that will hold it."""
    kind = draw(st.one_of(st.just(cell), cell.map(st.just), st.sampled_from([aware, naive, st.integers(0, 5)])))
    values = draw(st.lists(kind, min_size=n, max_size=n))
    series = pd.Series(values, dtype=object)
    dtype = draw(st.sampled_from(DTYPES))
    try:
        return series.astype(dtype)
    except Exception:  # noqa: BLE001  this dtype cannot hold them: as they are, then
        return series


class Unprinted:
    """A column that hypothesis does not print: older pandas crash when they show string views or far times."""

    def __init__(self, column):
        self.column = column

    def __repr__(self):
        return f"a column of {getattr(self.column, 'dtype', type(self.column).__name__)}"


@st.composite
def unprinted(draw, n):
    return Unprinted(draw(columns(n)))


@pytest.mark.skipif(
    tuple(map(int, pd.__version__.split(".")[:2])) < (2, 2),
    reason="older pandas crash when hypothesis shows columns of string views or far times",
)
@pytest.mark.filterwarnings("ignore")  # building such frames warns; reading them must not
@pytest.mark.parametrize("door", DOORS)
@settings(quick, max_examples=30)
@given(data=st.data())
def test_any_column_is_read_or_refused_in_words(door, data):
    read, names = DOORS[door]
    n = data.draw(st.integers(0, 4), label="rows")
    good = {
        "user_id": pd.Series([f"{SECRET} {i}" for i in range(n)], dtype=object),
        "item_id": pd.Series(range(n)),
        "channel": pd.Series(["push"] * n, dtype=object),
        "event": pd.Series(["view"] * n, dtype=object),
    }
    stamps = pd.Series(pd.DatetimeIndex(["2025-01-01"] * n, tz="UTC"))
    good |= dict.fromkeys(("timestamp", "sent_at", "responded_at"), stamps)
    good |= {name: pd.Series(np.ones(n)) for name in ("value", "weight", "price", "propensity", "rank", "score")}
    good |= {name: pd.Series([None] * n, dtype=object) for name in ("timezone", "category", "store_id")}
    good |= {name: pd.Series([True] * n) for name in ("consent_push", "reachable_push")}
    chosen = {name: good[name] for name in names}
    hostile = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True), label="hostile")
    chosen |= {name: data.draw(unprinted(n), label=name).column for name in hostile}
    frame = pd.DataFrame(chosen)
    before = frame.copy(deep=True)
    try:
        value = read(frame)
    except OmnirecoError as error:
        said = str(error)
        assert SECRET not in said
        assert len(said) > 40
    else:
        assert len(value if door != "pairs" else value.users) <= n
        assert SECRET not in repr(value)
        again = value.to_frame()
        assert len(again) <= n
    assert frame.equals(before)  # assert_frame_equal overflows on dates far away


@pytest.mark.skipif(
    tuple(map(int, pd.__version__.split(".")[:2])) < (2, 2),
    reason="older pandas crash when hypothesis shows columns of string views or far times",
)
@pytest.mark.filterwarnings("ignore")
@settings(quick, max_examples=60)
@given(data=st.data())
def test_rows_in_are_rows_kept_and_rows_dropped(data):
    n = data.draw(st.integers(0, 6), label="rows")
    good = {
        "user_id": pd.Series([f"{SECRET} {i % 2}" for i in range(n)], dtype=object),
        "item_id": pd.Series(range(n)),
        "channel": pd.Series(["push"] * n, dtype=object),
        "event": pd.Series(["view"] * n, dtype=object),
        "timestamp": pd.Series(pd.DatetimeIndex(["2025-01-01"] * n, tz="UTC")),
        "value": pd.Series(np.ones(n)),
        "store_id": pd.Series([None] * n, dtype=object),
    }
    hostile = data.draw(st.lists(st.sampled_from(list(good)), min_size=1, max_size=2, unique=True), label="hostile")
    frame = pd.DataFrame(good | {name: data.draw(unprinted(n), label=name).column for name in hostile})
    before = frame.copy(deep=True)
    try:
        log = EventLog.from_frame(frame, on_invalid="drop")
    except OmnirecoError:
        return  # a whole column of the wrong kind: the words are tested above
    finally:
        pd.testing.assert_frame_equal(frame, before)
    report = log.quality
    assert report.n_rows == n
    assert len(log) + report.n_dropped == n
    assert report.rows().tolist() == report.dropped.tolist()
    assert SECRET not in str(report)
    kept = frame.drop(index=report.dropped)
    again = EventLog.from_frame(kept, on_invalid="drop").to_frame()
    pd.testing.assert_frame_equal(log.to_frame(), again, check_dtype=len(again) > 0)
    try:
        strict = EventLog.from_frame(frame)
    except OmnirecoError:
        return  # refused as a whole: dropping may still find rows to keep
    assert report.ok
    pd.testing.assert_frame_equal(log.to_frame(), strict.to_frame())


# ---- good rows, in every dress ---------------------------------------------------------------------------

ids = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4), min_size=1, max_size=6),
    st.lists(st.sampled_from(["e\u0301", "\u00e9", " ", "\0", "a\0", "NaN", "null", "\U0001f6d2"]), min_size=1),
)


@st.composite
def events(draw, max_rows=12):
    """Rows of a log as a dict of lists: user_id, item_id, channel, event, timestamp (aware), value."""
    n = draw(st.integers(1, max_rows))

    def pick(pool):
        return draw(st.lists(st.sampled_from(pool), min_size=n, max_size=n))

    instants = draw(st.lists(aware.filter(lambda at: 2 < at.year < 9998), min_size=1, max_size=5))
    return {
        "user_id": pick(draw(ids)),
        "item_id": pick(draw(ids)),
        "channel": pick(["app", "web", "store"]),
        "event": pick(["view", "purchase"]),
        "timestamp": pick(instants),
        "value": pick([0.0, 1.5, -2.0, 1e9, 1e-9]),
    }


def dress(rows, how, unit="us", zone="UTC"):
    """The same rows as a frame of another library or dtype."""
    at = pa.array([microseconds(t) for t in rows["timestamp"]], pa.timestamp("us", "UTC"))
    table = pa.table(rows | {"timestamp": at.cast(pa.timestamp(unit, zone), safe=False)})
    words = [name for name in table.column_names if pa.types.is_string(table.schema.field(name).type)]
    if how == "large_string":
        for name in words:
            table = table.set_column(table.column_names.index(name), name, table[name].cast(pa.large_string()))
    if how == "string_view":
        for name in words:
            table = table.set_column(table.column_names.index(name), name, table[name].cast(pa.string_view()))
    if how == "dictionary":
        for name in words:
            table = table.set_column(table.column_names.index(name), name, table[name].dictionary_encode())
    if how == "chunks":
        table = pa.concat_tables([table[:1], table[1:1], table[1:]])
    if how == "polars":
        return pl.DataFrame(table)
    if how == "polars categorical":
        return pl.DataFrame(table).with_columns(pl.col("channel", "event").cast(pl.Categorical))
    if how == "pandas":
        return table.to_pandas()
    if how == "pandas objects":
        return pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in rows.items()})
    if how == "pandas arrow":
        return table.to_pandas(types_mapper=pd.ArrowDtype)
    if how == "pandas categories":
        frame = table.to_pandas()
        for name in ("user_id", "item_id", "channel"):
            frame[name] = pd.Categorical(frame[name], categories=sorted(set(frame[name]), reverse=True))
            unused = "zzz" if isinstance(rows[name][0], str) else 7
            if unused not in frame[name].cat.categories:
                frame[name] = frame[name].cat.add_categories([unused])
        return frame
    if how == "narwhals":
        return nw.from_native(table.to_pandas(), eager_only=True)
    return table


DRESSES = [
    "pyarrow", "large_string", "string_view", "dictionary", "chunks", "polars", "polars categorical", "pandas",
    "pandas objects", "pandas arrow", "pandas categories", "narwhals",
]  # fmt: skip


def contents(log):
    frame = log.to_frame()
    return [list(map(tuple, frame.itertuples(index=False))), log.start_us, log.end_us]


def expected(rows, unit_us=1):
    """The rows as a door must understand them, by plain Python: in UTC, in order."""
    at = [microseconds(t) // unit_us * unit_us for t in rows["timestamp"]]
    names = ("user_id", "item_id", "channel", "event", "value")
    return sorted(zip(at, *(rows[name] for name in names), strict=True))


@quick
@given(rows=events(), how=st.sampled_from(DRESSES), zone=st.sampled_from(ZONES))
def test_every_dress_of_the_same_rows_is_the_same_log(rows, how, zone):
    log = EventLog.from_frame(dress(rows, how, zone=zone))
    assert contents(log) == contents(EventLog.from_frame(dress(rows, "pyarrow")))
    assert log.users.ids.tolist() == sorted(set(rows["user_id"]))
    found = zip(
        log.at.tolist(),
        log.users.decode(log.user).tolist(),
        log.items.decode(log.item).tolist(),
        log.channels.decode(log.channel).tolist(),
        log.events.decode(log.event).tolist(),
        log.value.tolist(),
        strict=True,
    )
    assert list(found) == expected(rows)


@quick
@given(rows=events(), unit=st.sampled_from(["s", "ms", "us"]))
def test_coarser_units_lose_only_what_they_cannot_hold(rows, unit):
    scale = {"s": 1_000_000, "ms": 1_000, "us": 1}[unit]
    at = [microseconds(t) // scale * scale for t in rows["timestamp"]]
    rows["timestamp"] = [EPOCH + dt.timedelta(microseconds=t) for t in at]
    log = EventLog.from_frame(dress(rows, "pyarrow", unit=unit))
    assert log.at.tolist() == [row[0] for row in expected(rows)]


@quick
@given(st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1, max_size=5))
def test_nanoseconds_round_down_on_both_sides_of_1970(nanoseconds):
    n = len(nanoseconds)
    table = pa.table({"user_id": [1] * n, "item_id": [1] * n, "channel": ["a"] * n, "event": ["b"] * n})
    table = table.append_column("timestamp", pa.array(nanoseconds, pa.timestamp("ns", "UTC")))
    assert EventLog.from_frame(table).at.tolist() == sorted(ns // 1000 for ns in nanoseconds)


@quick
@given(rows=events(), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_changes_nothing(rows, seed):
    frame = dress(rows, "pandas")
    shuffled = frame.sample(frac=1, random_state=seed)
    weights = Weights(events={"purchase": 3.3}, half_life="7D", value="log", deduplicate="1h", missing="ignore")
    one, two = EventLog.from_frame(frame), EventLog.from_frame(shuffled)
    assert contents(one) == contents(two)
    first, second = one.matrix(weights), two.matrix(weights)
    assert first.csr.data.tobytes() == second.csr.data.tobytes()
    assert (first.csr != second.csr).nnz == 0


@quick
@given(rows=events())
def test_a_round_trip_through_to_frame_is_equal(rows):
    log = EventLog.from_frame(dress(rows, "pyarrow"))
    again = EventLog.from_frame(log.to_frame())
    assert contents(again) == contents(log)
    assert again.users == log.users
    x = log.matrix()
    back = Interactions.from_frame(x.to_frame())
    assert (back.csr != x.csr).nnz == 0
    assert back.users == x.users


@quick
@given(rows=events(), where=st.integers(0, 11), days=st.one_of(st.none(), st.integers(1, 40_000)))
def test_split_parts_share_no_event_and_know_only_their_own_ids(rows, where, days):
    log = EventLog.from_frame(dress(rows, "pyarrow"))
    cut = EPOCH + dt.timedelta(microseconds=log.at.tolist()[where % len(log)])
    horizon = None if days is None else f"{days}D"
    try:
        train, test = log.split(cut, horizon=horizon)
    except EmptyError:
        assert microseconds(cut) == log.start_us
        return
    stop = log.end_us if days is None else min(log.end_us, microseconds(cut) + days * 86_400_000_000)
    assert train.end_us == test.start_us == microseconds(cut)
    assert test.end_us == stop
    rows_of = lambda part: contents(part)[0]  # noqa: E731
    assert rows_of(train) + rows_of(test) == [row for row, at in zip(rows_of(log), log.at, strict=True) if at < stop]
    for part in (train, test):
        for vocabulary, codes in ((part.users, part.user), (part.items, part.item), (part.channels, part.channel)):
            assert sorted(set(codes.tolist())) == list(range(len(vocabulary)))
    assert log.before(cut).users == train.users


# ---- the matrix against a plain loop ---------------------------------------------------------------------


def oracle(rows, w, clock):
    """What ``matrix`` promises, one event at a time: {(user, item): {channel: weight}}."""
    cells, last = {}, {}
    for at, user, item, channel, event, value in expected(rows):
        key = (user, item, channel, event)
        gap = at - last.get(key, -(2**62))
        last[key] = at
        if w.deduplicate and gap < 3_600_000_000:
            continue
        amount = (w.events or {}).get(event, 1.0) * (w.channels or {}).get(channel, 1.0)
        if w.value:
            amount *= value if w.value == "linear" else np.sign(value) * np.log1p(abs(value))
        if w.half_life:
            amount *= 2.0 ** (-(clock - at) / (10 * 86_400_000_000))
        layers = cells.setdefault((user, item), {})
        layers[channel] = layers.get(channel, 0.0) + amount
    for layers in cells.values():
        whole = sum(layers.values())
        final = float(whole > 0) if w.binary else whole
        final = final if w.cap is None else max(-w.cap, min(w.cap, final))
        if final != whole and whole:
            for channel in layers:
                layers[channel] *= final / whole
    return cells


@st.composite
def recent_events(draw):
    rows = draw(events(max_rows=20))
    start = dt.datetime(2024, 10, 26, tzinfo=dt.UTC)
    minutes = draw(st.lists(st.integers(0, 3000), min_size=len(rows["event"]), max_size=len(rows["event"])))
    rows["timestamp"] = [start + dt.timedelta(minutes=20 * m) for m in minutes]
    return rows


@settings(quick, max_examples=60)
@given(
    rows=recent_events(),
    weights=st.builds(
        Weights,
        events=st.sampled_from([None, {"view": 1, "purchase": 8}, {"view": 0}, {"purchase": -2.5}]),
        channels=st.sampled_from([None, {"store": 2, "fax": 9}, {"app": 0.125}]),
        half_life=st.sampled_from([None, "10D", dt.timedelta(days=10)]),
        value=st.sampled_from([None, "linear", "log"]),
        cap=st.sampled_from([None, 0.5, 3]),
        deduplicate=st.sampled_from([None, "1h"]),
        binary=st.booleans(),
        missing=st.just("ignore"),
    ),
)
def test_the_matrix_is_what_a_plain_loop_says_and_its_layers_add_up(rows, weights):
    log = EventLog.from_frame(dress(rows, "pyarrow"))
    x = log.matrix(weights)
    truth = oracle(rows, weights, log.end_us)
    scale = 1 + max(abs(v) for layers in truth.values() for v in layers.values())
    for (user, item), layers in truth.items():
        u, i = x.users.codes([user])[0], x.items.codes([item])[0]
        if abs(sum(layers.values())) < 1e-9 * scale:
            continue  # a cell that cancels: the sign of the rounding decides
        assert x.csr[u, i] == pytest.approx(sum(layers.values()), rel=1e-4, abs=1e-6 * scale)
        for channel, value in layers.items():
            assert x.layers[channel][u, i] == pytest.approx(value, rel=1e-4, abs=1e-6 * scale)
    known = {(x.users.codes([user])[0], x.items.codes([item])[0]) for user, item in truth}
    assert set(zip(*x.csr.nonzero(), strict=True)) <= known
    total = sum((layer.astype(np.float64) for layer in x.layers.values()), np.float64(0) * x.csr.astype(np.float64))
    size = sum((abs(layer) for layer in x.layers.values()), 0 * x.csr)
    cancelled = abs(total - x.csr).toarray() - 1e-6 * size.toarray()
    assert cancelled.max() <= 1e-30
    for layer in (x.csr, *x.layers.values()):
        assert layer.has_sorted_indices
        assert layer.has_canonical_format
        assert (layer.data != 0).all()


# ---- named cases ----------------------------------------------------------------------------------------


def frame(**changes):
    return pd.DataFrame(
        {
            "user_id": [1, 2],
            "item_id": ["a", "b"],
            "channel": ["app", "web"],
            "event": ["view", "view"],
            "timestamp": pd.to_datetime(["2025-01-01", "2025-01-02"], utc=True),
        }
        | changes
    )


AWARE, NAIVE = dt.datetime(2025, 1, 1, tzinfo=zoneinfo.ZoneInfo("Asia/Tokyo")), dt.datetime(2025, 1, 1)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"timestamp": pd.Series([AWARE, NAIVE], dtype=object)}, r"no time zone in 1 row \(position 1\), among times"),
        ({"timestamp": pd.Series([NAIVE, AWARE], dtype=object)}, "timestamp has no time zone"),
        ({"timestamp": pd.to_datetime(["2025-01-01"] * 2)}, r"tz_localize\('UTC'\)"),
        ({"timestamp": [1735689600, 1735689601]}, r"unit='s', utc=True"),
        ({"timestamp": ["2025-01-01", "2025-01-02"]}, r"texts have no zone; give it.*tz_localize"),
        ({"timestamp": [dt.date(2025, 1, 1)] * 2}, "A date is not an instant"),
        ({"timestamp": pd.Series([AWARE, None], dtype=object)}, r"timestamp is missing in 1 row \(position 1\)"),
        (
            {"user_id": [1.0, np.nan]},
            r"user_id is missing in 1 row \(position 1\)\. Fill them in upstream, or pass on_invalid",
        ),
        ({"user_id": [1.5, 2.5]}, r"user_id must hold integers or strings. Got double"),
        ({"user_id": pd.Series([1, "a"], dtype=object)}, "values of several kinds"),
        ({"user_id": np.array([2**63, 1], np.uint64)}, r"integers above 2\*\*63 - 1"),
        ({"user_id": [True, False]}, "Got bool"),
        ({"user_id": pd.Series([b"a", b"b"], dtype=object)}, r"str\.decode\('utf-8'\)"),
        ({"user_id": pd.Series([decimal.Decimal(1)] * 2, dtype=object)}, r"Got decimal.*astype\('int64'\)"),
        ({"user_id": pd.PeriodIndex(["2025-01", "2025-02"], freq="M")}, "Got extension<pandas.period"),
        ({"user_id": pd.Categorical([1.0, 2.0])}, "Got double"),
        ({"user_id": pd.Categorical(["b", None])}, r"user_id is missing in 1 row \(position 1\)"),
        ({"user_id": pd.Series(["\ud800", "a"], dtype=object)}, "UnicodeEncodeError"),
        ({"channel": [1, 2]}, "channel must hold strings"),
        ({"value": [np.inf, 1]}, r"value is infinite in 1 row \(position 0\)\. Make it missing"),
        ({"value": ["1", "2"]}, "value must hold numbers"),
        ({"value": [True, False]}, "value must hold numbers. Got bool"),
    ],
)
def test_a_column_that_cannot_be_read_says_how_to_repair_it(changes, match):
    with pytest.raises(SchemaError, match=match):
        EventLog.from_frame(frame(**changes))


def test_times_that_no_datetime_can_hold_are_refused_and_the_outermost_are_not():
    first, last = -62_135_596_800_000_000, 253_402_300_799_999_998
    table = pa.table({"user_id": [1], "item_id": [1], "channel": ["a"], "event": ["b"]})
    for at in (first, last):
        log = EventLog.from_frame(table.append_column("timestamp", pa.array([at], pa.timestamp("us", "UTC"))))
        assert log.at.tolist() == [at]
        assert log.end > log.start
        assert len(repr(log)) > 0
    for at in (first - 1, last + 2):
        with pytest.raises(SchemaError, match=r"outside the years 1 to 9999 in 1 row \(position 0\)"):
            EventLog.from_frame(table.append_column("timestamp", pa.array([at], pa.timestamp("us", "UTC"))))
    for unit in ("s", "ms"):
        with pytest.raises(SchemaError, match="outside the years 1 to 9999"):
            EventLog.from_frame(table.append_column("timestamp", pa.array([2**62], pa.timestamp(unit, "UTC"))))


def test_both_hours_of_the_fold_are_two_instants():
    zone = zoneinfo.ZoneInfo("America/New_York")
    at = [dt.datetime(2025, 11, 2, 1, 30, fold=fold, tzinfo=zone) for fold in (0, 1)]
    log = EventLog.from_frame(frame(timestamp=pd.Series(at, dtype=object)))
    assert np.diff(log.at).tolist() == [3_600_000_000]


def test_categories_that_are_not_used_are_not_ids_and_doubled_entries_are_one():
    log = EventLog.from_frame(frame(user_id=pd.Categorical(["b", "a"], categories=["z", "b", "a"])))
    assert log.users.ids.tolist() == ["a", "b"]
    twice = pa.DictionaryArray.from_arrays(pa.array([0, 2, 1, None]), pa.array(["x", "y", "x"]))
    x = Interactions.from_frame(pa.table({"user_id": twice[:3], "item_id": [1, 1, 1]}))
    assert x.users.ids.tolist() == ["x", "y"]
    assert x.csr.toarray().tolist() == [[2.0], [1.0]]


@pytest.mark.parametrize(
    "wrong", [None, [], {"user_id": [1]}, np.zeros((2, 2)), "events.parquet", pd.Series([1]), pl.Series([1]), frame]
)
@pytest.mark.parametrize("door", DOORS)
def test_what_is_no_frame_is_refused(door, wrong):
    with pytest.raises(SchemaError, match="takes a pandas, polars or pyarrow frame held in memory"):
        DOORS[door][0](wrong)


def test_lazy_frames_are_refused_with_the_fix():
    lazy = pl.DataFrame({"user_id": [1], "item_id": [1]}).lazy()
    for one in (lazy, nw.from_native(lazy)):
        with pytest.raises(SchemaError, match="Collect a lazy frame first"):
            Interactions.from_frame(one)


def test_columns_named_twice_by_number_or_by_tuple():
    with pytest.raises(SchemaError, match="user_id"):
        EventLog.from_frame(pd.concat([frame(), frame()], axis=1))
    with pytest.raises(SchemaError, match="user_id"):
        Interactions.from_frame(pa.table([pa.array([1])] * 3, names=["user_id", "user_id", "item_id"]))
    names = ["user_id", "item_id", "channel", "event", "timestamp"]
    numbered = frame()
    numbered.columns = range(5)
    assert len(EventLog.from_frame(numbered, columns=dict(zip(names, range(5), strict=True)))) == 2
    stacked = frame()
    stacked.columns = pd.MultiIndex.from_product([["web shop"], names])
    with pytest.raises(SchemaError, match="needs the columns 'user_id'"):
        EventLog.from_frame(stacked)
    assert len(EventLog.from_frame(stacked, columns={name: ("web shop", name) for name in names})) == 2


@pytest.mark.parametrize(
    ("error", "columns", "match"),
    [
        (ParameterError, "user_id", "columns= must map our name to yours"),
        (ParameterError, ["user_id"], "columns= must map our name to yours"),
        (ParameterError, {"user": "user_id"}, "'user' is not one of ours: 'user_id', 'item_id'"),
        (SchemaError, {"user_id": "buyer"}, "maps 'user_id' to 'buyer', which the frame does not have"),
    ],
)
def test_a_wrong_mapping_of_columns(error, columns, match):
    with pytest.raises(error, match=match):
        EventLog.from_frame(frame(), columns=columns)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", ["pandas", "pandas objects", "polars", "pyarrow"])
def test_empty_frames_are_empty_values(door, kind):
    read, names = DOORS[door]
    empty = {
        "pandas": lambda: pd.DataFrame({name: [] for name in names}),
        "pandas objects": lambda: pd.DataFrame(columns=list(names)),
        "polars": lambda: pl.DataFrame({name: [] for name in names}),
        "pyarrow": lambda: pa.table({name: pa.array([], pa.null()) for name in names}),
    }[kind]()
    value = read(empty)
    assert len(value.users if door == "pairs" else value) == 0
    assert len(value.to_frame()) == 0
    assert "0 " in repr(value)


@quick
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8))
def test_lists_with_a_repeated_item_are_refused_and_others_kept(pairs):
    user, item = [list(side) for side in zip(*pairs, strict=True)] or [[], []] if pairs else ([], [])
    lists = pd.DataFrame({"user_id": user, "item_id": item, "rank": range(len(user))})
    if len(set(pairs)) < len(pairs):
        with pytest.raises(SchemaError, match="repeat an item in one person's list"):
            Recommendations.from_frame(lists)
        return
    assume(pairs)
    recs = Recommendations.from_frame(lists.sample(frac=1, random_state=1))
    for person in set(user):
        mine = recs.to_frame().query("user_id == @person")
        assert mine["item_id"].tolist() == [i for u, i in pairs if u == person]
        assert mine["rank"].tolist() == list(range(1, len(mine) + 1))
