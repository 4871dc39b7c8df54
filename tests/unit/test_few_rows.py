"""A frame of a few rows is read as the general reader reads it, or left to it."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from omnireco.data import EventLog, Vocabulary, events, interactions
from omnireco.data.frames.few_rows import few_columns, few_pairs
from omnireco.data.interactions import Interactions
from omnireco.errors import OmnirecoError, SchemaError


def pairs(**columns):
    return pd.DataFrame({"user_id": ["ann", "bob", "ann"], "item_id": ["tea", "cup", "tea"]} | columns)


@pytest.mark.parametrize(
    "frame",
    [
        pairs(),
        pairs(weight=[1.0, 0.5, 2.0]),
        pairs(weight=[1, 2, 3]),
        pairs(user_id=[7, -3, 7]),
        pairs(item_id=pd.Categorical(["tea", "cup", "tea"])),
        pairs(item_id=pd.array(["tea", "cup", "tea"], "string")),
    ],
)
@pytest.mark.parametrize("binary", [False, True])
def test_plain_pairs_are_read_alike(frame, binary, monkeypatch):
    assert few_pairs(frame) is not None
    few = Interactions.from_frame(frame, binary=binary)
    monkeypatch.setattr(interactions, "few_pairs", lambda frame: None)
    whole = Interactions.from_frame(frame, binary=binary)
    assert few.users == whole.users
    assert few.items == whole.items
    assert few.users.ids.dtype == whole.users.ids.dtype
    assert list(few.layers) == list(whole.layers)
    for name in ("data", "indices", "indptr"):
        one, other = getattr(few.csr, name), getattr(whole.csr, name)
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize(
    "frame",
    [
        pairs(user_id=["ann", None, "ann"]),
        pairs(user_id=["ann", "", "ann"]),
        pairs(user_id=["ann", 3, "ann"]),
        pairs(user_id=["ann", "\u00e9", "ann"]),
        pairs(user_id=[1.0, 2.0, 1.0]),
        pairs(user_id=[True, False, True]),
        pairs(weight=[1.0, np.nan, 1.0]),
        pairs(weight=[1.0, np.inf, 1.0]),
        pairs(weight=[1.0, -1.0, 1.0]),
        pairs(weight=[1.0, 0.0, 1.0]),
        pairs(weight=["1", "2", "3"]),
        pairs(target=[1.0, 0.0, 1.0]),
        pairs(channel="web"),
        pairs(weihgt=1.0),
        pairs().rename(columns={"user_id": "User"}),
        pairs()[["user_id", "user_id", "item_id"]],
        pairs().head(0),
        pd.concat([pairs()] * 22),
        {"user_id": ["ann"], "item_id": ["tea"]},
    ],
)
def test_everything_else_is_left_to_the_general_reader(frame):
    assert few_pairs(frame) is None


def test_the_frame_is_left_as_it_was_and_errors_stay():
    frame = pairs(weight=[1.0, 0.5, 2.0])
    before = frame.copy()
    x = Interactions.from_frame(frame)
    frame.loc[0, "weight"] = 99.0
    assert x.csr.sum() == 3.5
    assert before.loc[0, "weight"] == 1.0
    with pytest.raises(SchemaError, match="missing"):
        Interactions.from_frame(pairs(user_id=["ann", None, "ann"]))


ARROW_DATE = pd.ArrowDtype(pa.date32())
EVENTS = ("user_id", "item_id", "channel", "event", "timestamp")
TIMES = pd.to_datetime(["2025-05-03 21:00", "2025-05-01 08:00", "2025-05-01 08:00"], utc=True)


def visit(**columns):
    plain = {"user_id": "ann", "item_id": ["tea", "cup", "tea"], "channel": "web", "event": "view", "timestamp": TIMES}
    return pd.DataFrame(plain | columns)


PLAIN = {
    "strings": visit(),
    "integers": visit(user_id=[7, -3, 7], item_id=[2**62, 0, -(2**63)]),
    "columns in another order": visit()[list(reversed(EVENTS))],
    "values": visit(value=[1.5, -2.0, 0.0]),
    "whole values": visit(value=[1, 2, 3]),
    "labels": visit(session_id=["b", "a", "b"], store_id=[3, 1, 2], event_id=["x", "y", "z"]),
    "another zone": visit(timestamp=TIMES.tz_convert("Asia/Kathmandu")),
    "nanoseconds": visit(timestamp=(TIMES + pd.Timedelta(1500, "us")).as_unit("ns") + pd.Timedelta(999, "ns")),
    "microseconds": visit(timestamp=TIMES.as_unit("us")),
    "dates": visit(timestamp=pd.to_datetime(["2025-05-03", "2025-05-01", "2025-05-02"], utc=True)),
    "categories": visit(channel=pd.Categorical(["web", "app", "web"])),
    "row labels": visit().set_index(pd.Index([5, 5, 9])),
    "strings of another kind": visit(user_id=pd.array(["a", "b", "a"], "string")),
    "repeats": pd.concat([visit()] * 3),
    "as many as are few": pd.concat([visit()] * 21 + [visit().head(1)]),
}
ODD = {
    "one more than few": pd.concat([visit()] * 22),
    "missing text": visit(user_id=["ann", None, "ann"]),
    "empty text": visit(item_id=["tea", "", "tea"]),
    "mixed ids": visit(item_id=["tea", 3, "tea"]),
    "beyond ASCII": visit(item_id=["th\u00e9", "cup", "tea"]),
    "half a character": visit(item_id=pd.Series(["\ud800", "cup", "tea"], dtype=object)),
    "floats as ids": visit(user_id=[1.0, 2.0, 1.0]),
    "floats with a gap": visit(user_id=[1.0, np.nan, 1.0]),
    "truth as ids": visit(user_id=[True, False, True]),
    "small integers": visit(user_id=np.array([1, 2, 1], np.int8)),
    "unsigned integers": visit(user_id=np.array([1, 2**63 + 1, 1], np.uint64)),
    "nullable integers": visit(user_id=pd.array([1, None, 2], "Int64")),
    "dates that Python has not": visit(user_id=pd.Series(pd.array(pa.array([1 << 25] * 3, pa.date32()), ARROW_DATE))),
    "integers as names": visit(channel=[1, 2, 1]),
    "categories of integers": visit(user_id=pd.Categorical([3, 1, 3])),
    "missing names": visit(event=["view", np.nan, "view"]),
    "naive times": visit(timestamp=TIMES.tz_localize(None)),
    "missing times": visit(timestamp=[TIMES[0], pd.NaT, TIMES[2]]),
    "texts as times": visit(timestamp=["2025-05-01T08:00:00Z"] * 3),
    "integers as times": visit(timestamp=[1_746_086_400, 1_746_086_401, 1_746_086_402]),
    "objects as times": visit(timestamp=pd.Series(list(TIMES), dtype=object)),
    "naive among aware": visit(timestamp=pd.Series([TIMES[0], TIMES[1].tz_localize(None), TIMES[2]], dtype=object)),
    "times of 1970": visit(timestamp=pd.to_datetime([1_746_086, 1_746_087, 1_746_088], unit="s", utc=True)),
    "far times": visit(
        timestamp=pd.DatetimeIndex(np.array(["2025-01-01", "2200-01-01", "1500-01-01"], "M8[us]")).tz_localize("UTC")
    ),
    "seconds": visit(timestamp=TIMES.as_unit("s")),
    "missing values": visit(value=[1.0, np.nan, 2.0]),
    "no value at all": visit(value=[np.nan] * 3),
    "infinite values": visit(value=[1.0, np.inf, 2.0]),
    "texts as values": visit(value=["1", "2", "3"]),
    "truth as values": visit(value=[True, False, True]),
    "huge values": visit(value=[2**62, 1, 2]),
    "missing labels": visit(session_id=["a", None, "b"]),
    "another column": visit(weather="sun"),
    "capitals": visit().rename(columns={"user_id": "User_ID"}),
    "a misspelt option": visit(Value=1.0),
    "no channel": visit().drop(columns="channel"),
    "a column twice": visit()[[*EVENTS, "user_id"]],
    "columns by number": visit().set_axis(range(5), axis=1),
    "columns of two levels": pd.concat({"log": visit()}, axis=1),
    "no rows": visit().head(0),
    "no columns": pd.DataFrame(index=range(3)),
    "a dictionary": {name: ["a"] for name in EVENTS},
    "polars": pl.from_pandas(visit()),
    "arrow": pa.Table.from_pandas(visit()),
}


def outcome(frame, **options):
    """What a reader makes of a frame: all bytes of the log, or the error; and what it warned of."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            log = EventLog.from_frame(frame, **options)
        except OmnirecoError as error:
            return type(error), str(error), [str(one.message) for one in warned]
    arrays = [log.user, log.item, log.channel, log.event, log.at, log.value, log.dated]
    known = [log.users, log.items, log.channels, log.events]
    for name, (vocabulary, codes) in log.labels.items():
        arrays.append(codes)
        known.append((name, vocabulary.ids.tolist(), vocabulary.ids.dtype))
    read = [None if one is None else (one.dtype, one.tobytes(), one.flags.writeable) for one in arrays]
    plain = [(one.ids.dtype, one.ids.tolist()) if isinstance(one, Vocabulary) else one for one in known]
    rest = log.start_us, log.end_us, log.dates_found, repr(log.quality), list(log.labels)
    return read, plain, rest, [str(one.message) for one in warned]


@pytest.mark.parametrize(
    "options", [{}, {"timestamp": "date"}, {"timestamp": "instant"}, {"itemless": "keep"}], ids=str
)
@pytest.mark.parametrize("name", [*PLAIN, *ODD])
def test_a_small_frame_is_read_and_refused_as_a_large_one(name, options, monkeypatch):
    frame = (PLAIN | ODD)[name]
    assert (few_columns(frame, events._NEEDED, events._OPTIONAL) is not None) == (name in PLAIN)
    few = outcome(frame, **options)
    monkeypatch.setattr(events, "few_columns", lambda *frame: None)
    assert few == outcome(frame, **options)


@pytest.mark.parametrize("name", PLAIN)
def test_other_arguments_are_read_by_the_general_reader_alike(name):
    frame = PLAIN[name]
    assert outcome(frame, on_invalid="drop") == outcome(frame)
    other = frame.rename(columns={"user_id": "household"})
    assert outcome(other, columns={"user_id": "household"}) == outcome(frame)
    assert outcome(frame, context=["channel"])[0][:7] == outcome(frame)[0][:7]


def test_a_log_of_a_small_frame_keeps_nothing_of_the_frame():
    frame = visit(value=[1.0, 2.0, 3.0])
    log = EventLog.from_frame(frame)
    frame.loc[:, "value"] = 9.0
    frame.loc[:, "item_id"] = "drum"
    assert log.value.tolist() == [2.0, 3.0, 1.0]
    assert log.items.ids.tolist() == ["cup", "tea"]
