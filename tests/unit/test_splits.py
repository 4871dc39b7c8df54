"""Splits: nothing of the test in the train, ties together, and a hash that says which split it was."""

import itertools

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import EmptyError, ParameterError

DAY = 86_400_000_000


def log_of(rows):
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "day"])
    stamps = pd.Timestamp("2025-05-01", tz="UTC") + pd.to_timedelta(frame["day"], unit="D")
    return om.EventLog.from_frame(frame.assign(channel="web", event="buy", timestamp=stamps).drop(columns="day"))


@pytest.fixture(scope="module")
def log():
    return om.EventLog.from_frame(om.simulate(n_users=60, n_items=20, days=60, seed=2).events, itemless="keep")


def pairs(log):
    return set(zip(log.users.decode(log.user), log.at.tolist(), strict=True))


def test_rolling_windows_touch_and_end_with_the_log(log):
    splits = om.data.split_rolling(log, horizon="10D", n=3)
    assert len(splits) == 3
    assert splits[-1].test.end_us == log.end_us
    for before, after in itertools.pairwise(splits):
        assert before.test.end_us == after.test.start_us
    for train, test in splits:
        assert train.at.max() < train.end_us == test.start_us <= test.at.min()
        assert set(train.users.ids) <= set(train.users.decode(train.user))


def test_a_gap_keeps_train_away_from_test(log):
    ((train, test),) = om.data.split_rolling(log, horizon="10D", n=1, embargo="2D")
    assert test.start_us - train.end_us == 2 * DAY
    with pytest.raises(EmptyError, match=r"no event lies before .* cut 1 of 9"):
        om.data.split_rolling(log, horizon="10D", n=9)


def test_leave_last_by_hand():
    log = log_of([(1, "a", 0), (1, "b", 1), (1, "c", 2), (2, "a", 5), (3, "a", 1), (3, "b", 2), (3, "c", 2)])
    train, test = om.data.leave_last(log)
    assert test.to_frame()[["user_id", "item_id"]].to_numpy().tolist() == [[1, "c"], [3, "b"], [3, "c"]]
    assert sorted(train.to_frame()["user_id"]) == [1, 1, 2, 3]
    train, test = om.data.leave_last(log, skip=1)  # only person 1 has three steps
    assert test.to_frame()[["user_id", "item_id"]].to_numpy().tolist() == [[1, "b"]]
    assert sorted(train.to_frame()["user_id"]) == [1, 2, 3, 3, 3]
    with pytest.raises(EmptyError, match="none of 3 people has more than 9 steps"):
        om.data.leave_last(log, steps=9)


def test_leave_last_forgets_the_order_of_rows():
    rows = [(1, "a", 0), (1, "b", 1), (1, "c", 1), (2, "b", 0), (2, "a", 0), (2, "c", 4)]
    one, other = (om.data.leave_last(log_of(part)) for part in (rows, rows[::-1]))
    assert om.data.fingerprint(*one) == om.data.fingerprint(*other)


def test_people_stay_on_their_side(log):
    train, test = om.data.split_people(log, share=0.3, seed=1)
    assert not set(train.users.ids) & set(test.users.ids)
    assert len(train) + len(test) == len(log)
    fewer = log.before(log.start + (log.end - log.start) / 2)
    assert set(om.data.split_people(fewer, share=0.3, seed=1).test.users.ids) <= set(test.users.ids)
    assert set(om.data.split_people(log, share=0.3, seed=2).test.users.ids) != set(test.users.ids)
    with pytest.raises(EmptyError, match="leaves one side empty"):
        om.data.split_people(log_of([(1, "a", 0), (1, "b", 1)]), share=0.5)
    with pytest.raises(ParameterError, match="share must be between 0 and 1"):
        om.data.split_people(log, share=1.0)


def test_a_fingerprint_tells_splits_apart(log):
    cut = log.start + (log.end - log.start) / 2
    train, test = log.split(cut)
    assert om.data.fingerprint(train, test) == om.data.fingerprint(*log.split(cut))
    assert om.data.fingerprint(train, test) != om.data.fingerprint(test, train)
    assert om.data.fingerprint(train.matrix()) != om.data.fingerprint(train)
    assert np.unique([len(om.data.fingerprint(part)) for part in (train, test)]).tolist() == [16]
    with pytest.raises(ParameterError, match=r"takes EventLog or Interactions\. Got list"):
        om.data.fingerprint([1])
