"""More events: a matrix that is updated equals one that is built again; logs in any order are one log."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import omnireco as om
from omnireco.errors import EmptyError, ParameterError, SchemaError

quick = settings(max_examples=25, deadline=None)
HOW = om.Weights(events={"purchase": 3, "return": -1.5}, channels={"store": 2}, half_life="20D", missing="ignore")


def rows(n, seed, people=12, goods=9):
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user_id": [f"u{k}" for k in draw.integers(0, people, n)],
            "item_id": draw.integers(0, goods, n),
            "channel": draw.choice(["web", "app", "store"], n),
            "event": draw.choice(["view", "purchase", "return"], n),
            "timestamp": pd.to_datetime(draw.integers(1.7e9, 1.71e9, n), unit="s", utc=True),
            "value": draw.integers(0, 5, n).astype(float),
            "store_id": draw.choice(["s1", "s2"], n),
        }
    )


def same(x, expected, tolerance=2e-6):
    assert x.users == expected.users
    assert x.items == expected.items
    assert x.at_us == expected.at_us
    for name in {*x.layers, *expected.layers}:
        empty = np.zeros(x.shape)
        mine, theirs = (m.layers[name].toarray() if name in m.layers else empty for m in (x, expected))
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(x.csr.toarray(), expected.csr.toarray(), rtol=tolerance, atol=tolerance)
    x.csr.check_format()


@quick
@given(
    n=st.integers(2, 60),
    seed=st.integers(0, 20),
    batches=st.integers(2, 4),
    by_time=st.booleans(),
    half_life=st.sampled_from([None, "1D", "20D"]),
    value=st.sampled_from([None, "log"]),
    later=st.booleans(),
)
def test_updating_is_building_again(n, seed, batches, by_time, half_life, value, later):
    events = rows(n, seed).sort_values("timestamp") if by_time else rows(n, seed)
    how = replace(HOW, half_life=half_life, value=value)
    parts = [part for part in np.array_split(np.arange(n), batches) if part.size]
    logs = [om.EventLog.from_frame(events.iloc[part]) for part in parts]
    x = logs[0].matrix(how)
    for log in logs[1:]:
        x = x.updated(log)
    whole = om.EventLog.from_frame(events)
    at = "2025-01-01" if later else None
    if later:
        x = x.updated(logs[0].before(logs[0].start), at=at)  # no new event, a later clock
    same(x, whole.matrix(how, at=at))


@quick
@given(n=st.integers(1, 50), seed=st.integers(0, 20), cuts=st.lists(st.integers(0, 50), max_size=3), turn=st.randoms())
def test_logs_in_any_order_are_one(n, seed, cuts, turn):
    events = rows(n, seed)
    parts = [part for part in np.split(events.index.to_numpy(), sorted(min(c, n) for c in cuts)) if part.size]
    turn.shuffle(parts)
    log = om.EventLog.concat(om.EventLog.from_frame(events.loc[part]) for part in parts)
    expected = om.EventLog.from_frame(events)
    assert om.data.fingerprint(log) == om.data.fingerprint(expected)
    pd.testing.assert_frame_equal(log.to_frame(), expected.to_frame())
    assert om.data.fingerprint(log.matrix(HOW)) == om.data.fingerprint(expected.matrix(HOW))


def test_a_year_of_nightly_updates_keeps_float32():
    draw = np.random.default_rng(5)
    events = rows(3_000, 5, people=20)
    events["timestamp"] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(draw.integers(0, 365 * 24, 3_000), "h")
    log = om.EventLog.from_frame(events)
    x = log.before("2024-01-02").matrix(HOW)
    for day in pd.date_range("2024-01-02", "2024-12-30", tz="UTC"):
        x = x.updated(log.between(day, day + pd.Timedelta("1D")), at=day + pd.Timedelta("1D"))
    same(x, log.matrix(HOW, at="2024-12-31"), tolerance=1e-5)


def test_what_cannot_be_updated_says_why(tmp_path):
    log = om.EventLog.from_frame(rows(30, 1))
    old, new = log.split(log.start + (log.end - log.start) / 2)
    for name, value in {
        "cap": 3,
        "binary": True,
        "deduplicate": "1h",
        "step_half_life": 2,
        "targets": {"return": 0},
    }.items():
        with pytest.raises(ParameterError, match=rf"Weights\({name}=...\) cannot be updated exactly, because"):
            old.matrix(om.Weights(**{name: value})).updated(new)
    for x in (old.matrix(HOW).weighted("log1p"), om.Interactions.from_frame(rows(30, 1)[["user_id", "item_id"]])):
        with pytest.raises(ParameterError, match="does not know what its events were worth"):
            x.updated(new)
    with pytest.raises(ParameterError, match="at lies before the clock of the matrix"):
        old.matrix(HOW).updated(new, at=old.start)
    with pytest.raises(ParameterError, match="or before a new event"):
        old.matrix(HOW).updated(new, at=old.end)
    with pytest.raises(SchemaError, match=r"updated takes an EventLog\. Got DataFrame"):
        old.matrix(HOW).updated(rows(3, 1))
    sent = om.MessageLog.from_frame(rows(3, 1).rename(columns={"timestamp": "sent_at"}).assign(responded_at=pd.NaT))
    with pytest.raises(SchemaError, match=r"updated takes an EventLog\. Got MessageLog"):
        old.matrix(HOW).updated(sent)
    with pytest.raises(SchemaError, match=r"concat takes EventLogs\. Got MessageLog"):
        om.EventLog.concat([old, sent])
    other = om.EventLog.from_frame(rows(3, 1).assign(user_id=[1, 2, 3]))
    with pytest.raises(SchemaError, match="users are integers in one and strings in another"):
        old.matrix(HOW).updated(other)
    x = om.load(om.save(old.matrix(HOW), tmp_path / "x.omni") or tmp_path / "x.omni")
    assert x.weights == HOW
    same(x.updated(new), log.matrix(HOW))


def test_logs_that_do_not_fit_together():
    log = om.EventLog.from_frame(rows(5, 1))
    with pytest.raises(EmptyError, match="there is no log to join"):
        om.EventLog.concat([])
    with pytest.raises(SchemaError, match="1 of 2 logs have values"):
        om.EventLog.concat([log, om.EventLog.from_frame(rows(5, 1).drop(columns="value"))])
    with pytest.raises(SchemaError, match="1 of 2 logs have the same labels"):
        om.EventLog.concat([log, om.EventLog.from_frame(rows(5, 1).drop(columns="store_id"))])
    with pytest.raises(SchemaError, match=r"concat takes EventLogs\. Got DataFrame"):
        om.EventLog.concat([log, rows(5, 1)])
    assert len(om.EventLog.concat([log, log])) == 10
    assert len(om.EventLog.concat(log)) == 5
