"""The compiled paths of long logs give what the short ones give: strings, order, cells; on any rows and threads."""

import contextlib
import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import omnireco as om
from omnireco._core import compute as _compute
from omnireco._kernels.log import cells, order, strings
from omnireco._kernels.log.cells import Coded, sum_cells
from omnireco.data import EventLog, Weights, vocabulary
from omnireco.errors import SchemaError

quick = settings(max_examples=25, deadline=None)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
word = st.one_of(text, st.sampled_from(["", "\0", "a", "a\0", "a\0\0", "abcdefg", "abcdefgh", "abcdefghi", "é" * 20]))


@contextlib.contextmanager
def limits(size):
    """Send everything with at least ``size`` rows through the compiled paths, on two threads."""
    saved = vocabulary._MANY, order.LARGE, cells.LARGE, cells._BLOCK, _compute.usable_threads
    vocabulary._MANY, order.LARGE, cells.LARGE, cells._BLOCK = size, size, size, 4
    try:
        yield
    finally:
        vocabulary._MANY, order.LARGE, cells.LARGE, cells._BLOCK, _compute.usable_threads = saved


@quick
@given(
    rows=st.lists(st.one_of(st.none(), word), max_size=40),
    threads=st.integers(1, 3),
    large=st.booleans(),
    cut=st.integers(0, 3),
)
def test_strings_are_coded_as_arrow_codes_them(rows, threads, large, cut):
    array = pa.array(rows, pa.large_string() if large else pa.string())[cut:]
    expected_ids, expected = vocabulary._encode_strings(array)
    ids, codes = strings.encode_long(array, threads=threads)
    assert ids.tolist() == expected_ids.tolist()
    assert codes.tolist() == expected.tolist()
    assert ids.dtype == object
    assert codes.dtype == np.int32


def test_many_strings_outgrow_their_table():
    draw = np.random.default_rng(0)
    rows = [f"customer-{n}" for n in draw.integers(0, 9_000, 20_000)]
    ids, codes = strings.encode_long(pa.array(rows), threads=2)
    assert ids[codes].tolist() == rows
    assert ids.tolist() == sorted(set(rows))


def test_a_very_long_string_goes_another_way():
    array = pa.array(["a", "b" * 128])
    assert strings.encode_long(array) is None
    assert strings.encode_long(pa.array(["a", "b" * 127]))[1].tolist() == [0, 1]


times = st.one_of(st.integers(0, 3), st.integers(-(2**50), 2**50), st.just(0))


@quick
@given(
    rows=st.lists(st.tuples(times, *[st.integers(0, 2)] * 4, st.integers(0, 1)), max_size=120),
    ordered=st.booleans(),
    threads=st.integers(1, 3),
)
def test_the_order_is_that_of_a_lexsort(rows, ordered, threads):
    table = np.array(sorted(rows) if ordered else rows, np.int64).reshape(-1, 6)
    at, codes = table[:, 0].copy(), [table[:, k].astype(np.int32) for k in range(1, 5)]
    extra = [table[:, 5].astype(np.float64)]
    expected = np.lexsort([*extra, *reversed(codes), at])
    with limits(1):
        found = order.time_order(at, codes, extra, threads=threads)
    found, times = (np.arange(len(at)), at) if found is None else found
    assert table[found].tolist() == table[expected].tolist()
    assert times.tolist() == at[expected].tolist()


def test_many_events_of_one_instant_and_of_any_time():
    draw = np.random.default_rng(1)
    n = 5_000
    codes = [draw.integers(0, 40, n).astype(np.int32) for _ in range(4)]
    for at in (np.zeros(n, np.int64), draw.integers(-(2**62), 2**62, n), draw.integers(0, 20, n)):
        expected = np.lexsort([*reversed(codes), at])
        with limits(1):
            found, times = order.time_order(at, codes)
        assert times.tolist() == at[expected].tolist()
        assert [c[found].tolist() for c in (at, *codes)] == [c[expected].tolist() for c in (at, *codes)]
    assert order.time_order(np.arange(3), [np.zeros(3, np.int32)] * 4) is None


event = st.tuples(
    st.integers(0, 5), st.integers(-1, 4), st.integers(0, 2), st.sampled_from([0.0, 1.0, -1.0, 0.1, 2.5, 1e-50, -7.3])
)


@quick
@given(
    rows=st.lists(event, max_size=60),
    layers=st.booleans(),
    cap=st.sampled_from([None, 1.0]),
    binary=st.booleans(),
    threads=st.integers(1, 3),
    cut=st.integers(0, 60),
)
def test_cells_are_those_of_plain_numpy(rows, layers, cap, binary, threads, cut):
    columns = list(zip(*rows, strict=True)) or [()] * 4
    kinds = (np.int32, np.int32, np.int32, np.float64)
    coded = Coded(*(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))
    n = 3 if layers else 0
    expected = sum_cells([coded], (7, 5), n, cap=cap, binary=binary)
    parts = [Coded(*(column[part] for column in coded)) for part in (slice(cut, None), slice(0, cut))]
    with limits(0):
        found = sum_cells(parts, (7, 5), n, cap=cap, binary=binary, threads=threads)
    for mine, theirs in zip([found[0], *found[1]], [expected[0], *expected[1]], strict=True):
        np.testing.assert_allclose(mine.toarray(), theirs.toarray(), rtol=1e-6, atol=1e-12)
        assert mine.has_canonical_format
        assert (mine.dtype, mine.indices.dtype) == (np.float32, np.int32)
        assert np.all(mine.data != 0)
        mine.check_format()


def test_sums_beyond_float32_are_refused_in_long_logs_too():
    codes = np.zeros(3, np.int32)
    with limits(0), pytest.raises(SchemaError, match=r"exceeds 3\.4e38"):
        sum_cells([Coded(codes, codes, codes, np.full(3, 2e38))], (1, 1), 1)


def frame(n, seed=0):
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user_id": [f"u{k}" for k in draw.integers(0, 50, n)],
            "item_id": [f"i{k}" if k else None for k in draw.integers(0, 30, n)],
            "channel": draw.choice(["web", "app", "store"], n),
            "event": draw.choice(["view", "purchase"], n),
            "timestamp": pd.to_datetime(draw.integers(1.7e9, 1.7e9 + 900, n), unit="s", utc=True),
            "value": draw.integers(0, 3, n).astype(float),
            "store_id": [f"s{k}" if k else None for k in draw.integers(0, 4, n)],
        }
    )


@pytest.mark.parametrize("n", [1, 700])
def test_a_log_and_its_matrix_are_the_same_either_way(n):
    raw = frame(n)
    how = Weights(
        events={"purchase": 3},
        channels={"store": 2},
        missing="ignore",
        half_life="5min",
        value="log",
        deduplicate="10s",
        cap=4,
    )
    log = EventLog.from_frame(raw, itemless="keep")
    with limits(1):
        again = EventLog.from_frame(raw[::-1].reset_index(drop=True), itemless="keep")
        x = again.matrix(how)
    pd.testing.assert_frame_equal(again.to_frame(), log.to_frame())
    expected = log.matrix(how)
    assert (x.users, x.items, list(x.layers)) == (expected.users, expected.items, list(expected.layers))
    for mine, theirs in zip([x.csr, *x.layers.values()], [expected.csr, *expected.layers.values()], strict=True):
        np.testing.assert_allclose(mine.toarray(), theirs.toarray(), rtol=1e-6)


@quick
@given(
    rows=st.lists(st.one_of(st.none(), word), max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=3),
    threads=st.integers(1, 3),
    size=st.integers(1, 9),
    kind=st.sampled_from([pa.string(), pa.large_string(), pa.string_view()]),
)
def test_chunks_and_slices_of_views_are_coded_as_one_array_is(rows, cuts, threads, size, kind):
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    chunks = [pa.array(rows[a:b], pa.string()).cast(kind) for a, b in itertools.pairwise(edges)]
    expected_ids, expected = vocabulary._encode_strings(pa.array(rows, pa.string()))
    for column in (pa.chunked_array(chunks, kind), pa.chunked_array([chunks[0].slice(0, 0), *chunks], kind)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(strings, "_SLICE", size)
            ids, codes = strings.encode_long(column, threads=threads)
        assert ids.tolist() == expected_ids.tolist()
        assert codes.tolist() == expected.tolist()
    whole, rows_codes = vocabulary._encode_strings(pa.chunked_array(chunks, kind))  # a short one, and one too long
    assert (whole.tolist(), rows_codes.tolist()) == (expected_ids.tolist(), expected.tolist())


@pytest.mark.parametrize("kind", ["string", "categorical", "enum", "chunks"])
def test_a_log_of_a_polars_frame_is_the_log_of_a_pandas_frame(monkeypatch, kind):
    pl = pytest.importorskip("polars")
    monkeypatch.setattr(vocabulary, "_MANY", 50)
    monkeypatch.setattr(strings, "_SLICE", 7)
    draw = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "user_id": [f"u{k}" * (1 + k % 5) for k in draw.integers(0, 30, 400)],
            "item_id": [None if k == 0 else f"an item with a long name {k}" for k in draw.integers(0, 20, 400)],
            "channel": draw.choice(["web", "app", "boutique à Orléans"], 400),
            "event": draw.choice(["view", "purchase"], 400),
            "timestamp": pd.to_datetime(draw.integers(1.7e9, 1.71e9, 400), unit="s", utc=True),
        }
    )
    expected = om.EventLog.from_frame(frame, itemless="keep")
    given_frame = pl.from_pandas(frame)
    texts = ["user_id", "item_id", "channel", "event"]
    if kind == "chunks":
        given_frame = pl.concat([given_frame[:3], given_frame[3:150], given_frame[150:]], rechunk=False)
    elif kind == "categorical":
        given_frame = given_frame.with_columns(pl.col(texts).cast(pl.Categorical))
    elif kind == "enum":
        given_frame = given_frame.with_columns(
            pl.col(name).cast(pl.Enum(sorted(set(frame[name].dropna()), reverse=True))) for name in texts
        )
    for native in (given_frame, given_frame.to_arrow()):
        log = om.EventLog.from_frame(native, itemless="keep")
        for name in ("users", "items", "channels", "events"):
            assert getattr(log, name) == getattr(expected, name)
        for name in ("user", "item", "channel", "event", "at"):
            np.testing.assert_array_equal(getattr(log, name), getattr(expected, name))
    with pytest.raises(SchemaError, match="timestamp must hold times with a time zone"):
        om.EventLog.from_frame(given_frame.with_columns(pl.lit("noon").alias("timestamp")), itemless="keep")
    with pytest.raises(SchemaError, match="item_id is missing in"):
        om.EventLog.from_frame(given_frame)
