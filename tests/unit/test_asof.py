"""What was known at an instant, held against plain loops."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnireco.data import EventLog, Weights
from omnireco.data.asking.asof import AsOf, histories_at
from omnireco.data.asking.requests import Requests
from omnireco.errors import EmptyError, ParameterError, SchemaError

DAY = 86_400_000_000


def small_log(seed, n=60):
    draw = np.random.default_rng(seed)
    hours = np.sort(draw.integers(0, 20, n))  # many equal times
    frame = pd.DataFrame(
        {
            "user_id": draw.integers(0, 4, n),
            "item_id": draw.integers(0, 5, n),
            "channel": draw.choice(["web", "app"], n),
            "event": draw.choice(["view", "purchase"], n),
            "timestamp": pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(hours, unit="h"),
            "value": draw.integers(1, 4, n).astype(float),
        }
    )
    return EventLog.from_frame(frame)


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_sums_are_those_of_a_loop_over_strictly_earlier_events(seed):
    log = small_log(seed)
    key = log.user.astype(np.int64) * 10 + log.item
    lives = (2 * 3_600_000_000.0, np.inf)
    table = AsOf.of(log.at, np.arange(len(log)), key, lives, log.value)
    asked = np.r_[np.repeat(np.unique(key), 3), -1, 999]
    when = np.random.default_rng(seed).choice(log.at, asked.size)
    count, age, sums = table.ask(asked, when)
    for k, t, n, days, total in zip(asked, when, count, age, sums, strict=True):
        before = (key == k) & (log.at < t)
        assert n == before.sum()
        ages = (t - log.at)[before]
        assert days == (ages.min() if before.any() else np.inf)
        want = [(log.value[before] * 2.0 ** (-ages / life)).sum() for life in lives]
        assert total == pytest.approx(want)


@pytest.mark.parametrize(
    "weights",
    [
        Weights(),
        Weights(events={"purchase": 3}, half_life="5h", cap=4),
        Weights(step_half_life=2),
        Weights(binary=True),
    ],
    ids=["plain", "decayed", "steps", "binary"],
)
def test_a_history_is_the_matrix_of_the_log_cut_at_its_instant(weights):
    log = small_log(3)
    clock = log.at
    user, when = np.array([0, 1, 3, -1, 2]), np.array([clock[30], clock[5], log.end_us, log.end_us, log.start_us])
    found = histories_at(log, weights, user, when)
    for row, (person, t) in enumerate(zip(user, when, strict=True)):
        mine = found.csr[row].toarray().ravel()
        before = np.flatnonzero((log.user == person) & (log.at < t))
        if person < 0 or not before.size:
            assert not mine.any()
            continue
        part = log._rows(before)
        at = pd.Timestamp(int(t), unit="us", tz="UTC").to_pydatetime()
        want = part.matrix(weights, at=at).with_items(log.items).csr.toarray().ravel()
        np.testing.assert_allclose(mine, want, rtol=1e-5)


def test_requests_join_what_happens_within_a_pause():
    times = pd.to_datetime(["2025-01-01 10:00", "2025-01-01 10:20", "2025-01-01 11:00", "2025-01-01 10:05"], utc=True)
    frame = pd.DataFrame(
        {"user_id": [1, 1, 1, 2], "item_id": ["a", "b", "c", "a"], "channel": ["web", "app", "app", "web"]}
    )
    log = EventLog.from_frame(frame.assign(event="purchase", timestamp=times))
    requests, chosen = Requests.from_log(log, context=["channel"])
    assert requests.to_frame()["user_id"].tolist() == [1, 1, 2]
    assert requests.to_frame()["channel"].tolist() == ["web", "app", "web"]
    assert chosen.to_scipy().toarray().tolist() == [[1, 1, 0], [0, 0, 1], [1, 0, 0]]
    one, _ = Requests.from_log(log, per_user=1, seed=3)
    assert len(one) == 2
    again = Requests.from_frame(requests.to_frame(), context=["channel"])
    assert (again.at == requests.at).all()
    assert again.ids.ids.tolist() == requests.ids.ids.tolist()


def test_bad_requests_are_refused():
    frame = pd.DataFrame({"user_id": ["s1", "s1"], "timestamp": pd.to_datetime(["2025-01-01"] * 2, utc=True)})
    with pytest.raises(SchemaError, match=r"user_id is listed again in 1 row.*request_id=range"):
        Requests.from_frame(frame)
    assert len(Requests.from_frame(frame.assign(request_id=[5, 4]))) == 2
    with pytest.raises(SchemaError, match="no time zone"):
        Requests.from_frame(frame.assign(timestamp=frame["timestamp"].dt.tz_localize(None)))
    log = small_log(1)
    with pytest.raises(ParameterError, match=r"no column 'device'.*context=\['device'\]"):
        Requests.from_log(log, context=["device"])
    with pytest.raises(EmptyError, match="no events"):
        Requests.from_log(log._rows(np.arange(0)))
