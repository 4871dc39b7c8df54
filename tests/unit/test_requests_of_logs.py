"""Requests: who asks, when, in which situation; by hand. What was known at each is in test_asof.py."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import EmptyError, SchemaError

FRAME = pd.DataFrame(
    {
        "request_id": ["r3", "r1", "r2"],
        "user_id": ["ann", "bob", "ann"],
        "timestamp": pd.to_datetime(["2025-05-01 08:00", "2025-05-01 09:00", "2025-05-02 08:00"], utc=True),
        "channel": ["app", None, "web"],
    }
)


def log_of(minutes, events="purchase"):
    """Events of one person at these minutes."""
    at = pd.Timestamp("2025-05-01", tz="UTC") + pd.to_timedelta(minutes, unit="min")
    frame = pd.DataFrame({"item_id": list("abcdefgh"[: len(minutes)]), "event": events, "timestamp": at})
    return om.EventLog.from_frame(frame.assign(user_id="ann", channel="web"))


def test_rows_keep_their_order_and_their_situation():
    requests = om.Requests.from_frame(FRAME, context=["channel"])
    assert requests.ids.ids.tolist() == ["r3", "r1", "r2"]
    assert requests.users.decode(requests.user).tolist() == ["ann", "bob", "ann"]
    known, code = requests.labels["channel"]
    assert [None if c < 0 else known.ids[c] for c in code] == ["app", None, "web"]
    assert repr(requests) == "Requests(3 of 2 users, context: channel)"
    back = requests.to_frame()
    assert back["request_id"].tolist() == ["r3", "r1", "r2"]
    assert (back["timestamp"] == FRAME["timestamp"]).all()


def test_some_of_them_in_another_order():
    part = om.Requests.from_frame(FRAME, context=["channel"]).take(np.array([2, 0]))
    assert part.to_frame()["request_id"].tolist() == ["r2", "r3"]
    assert part.to_frame()["channel"].tolist() == ["web", "app"]


def test_arrays_are_read_only():
    requests = om.Requests.from_frame(FRAME)
    with pytest.raises(ValueError, match="read-only"):
        requests.user[0] = 0


def test_a_name_given_twice_is_refused_without_the_name():
    with pytest.raises(SchemaError, match="request_id is listed again in 1 row") as caught:
        om.Requests.from_frame(FRAME.assign(request_id=["secret", "r1", "secret"]))
    assert "secret" not in str(caught.value)


def test_a_pause_of_exactly_the_gap_begins_another_request():
    requests, chosen = om.Requests.from_log(log_of([0, 29, 59, 88]), gap="30min")
    assert len(requests) == 2  # 0 and 29; 59 comes 30 minutes later, and 88 belongs to it
    assert chosen.to_scipy().toarray().tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]
    first = pd.Timestamp("2025-05-01", tz="UTC")
    assert requests.to_frame()["timestamp"].tolist() == [first, first + pd.Timedelta("59min")]


def test_only_choices_count():
    requests, chosen = om.Requests.from_log(log_of([0, 50], ["view", "purchase"]), events=["purchase"])
    assert (chosen.items.ids.tolist(), chosen.to_scipy().toarray().tolist()) == (["b"], [[1]])
    assert requests.to_frame()["timestamp"].tolist() == [pd.Timestamp("2025-05-01 00:50", tz="UTC")]
    call = pd.DataFrame({"user_id": ["ann"], "item_id": [None], "channel": "phone", "event": "call"})
    log = om.EventLog.from_frame(call.assign(timestamp=FRAME["timestamp"][:1]), itemless="keep")
    with pytest.raises(EmptyError, match="none of 1 events is a choice of an item"):
        om.Requests.from_log(log)


def test_one_request_of_a_person_is_drawn_by_the_seed():
    log = log_of([0, 60, 120, 180])
    drawn = [om.Requests.from_log(log, per_user=1, seed=seed).requests.at for seed in range(12)]
    assert all(at.size == 1 for at in drawn)
    assert len({int(at[0]) for at in drawn}) > 1
    assert (drawn[3] == om.Requests.from_log(log, per_user=1, seed=3).requests.at).all()
