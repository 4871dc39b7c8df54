"""Funnels by hand, on people whose steps are known."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError
from omnireco.journeys import funnel

START = pd.Timestamp("2025-01-01", tz="UTC")
STEPS = {"looked": "view", "reserved": ("reserve", "app"), "bought": [("purchase", "store"), ("purchase", "web")]}


def log_of(rows):
    frame = pd.DataFrame(rows, columns=["user_id", "hour", "event", "channel"])
    at = START + pd.to_timedelta(frame.pop("hour"), unit="h")
    return om.EventLog.from_frame(frame.assign(item_id="shoe", timestamp=at))


def ten_people():
    rows = []
    for person in range(10):
        rows.append((person, 0, "view", "web" if person < 6 else "app"))
        if person < 8:
            rows.append((person, 10, "reserve", "app"))
        if person < 5:
            rows.append((person, 34, "purchase", "store"))
    rows += [(3, 5, "reserve", "web"), (9, 2, "purchase", "store")]  # another channel; out of order
    return log_of(rows)


def test_steps_on_different_channels_by_hand():
    found = funnel(ten_people(), STEPS, within="5D", at="2025-02-01", k=1)
    table = found.table.set_index("step")
    assert table["people"].tolist() == [10, 8, 5]
    np.testing.assert_allclose(table["share"], [1, 0.8, 0.625])
    np.testing.assert_allclose(table["share_of_start"], [1, 0.8, 0.5])
    np.testing.assert_allclose(table["median_hours"], [np.nan, 10, 24])
    assert table["lost"].tolist() == [2, 3, 0]
    assert table["stuck"].tolist() == [0, 0, 0]
    assert found.waiting.empty
    by = found.channels.set_index(["step", "channel"])["attempts"]
    assert (by["looked", "web"], by["looked", "app"], by["bought", "store"]) == (6, 4, 5)


def test_people_who_still_have_time_are_stuck_and_in_no_share():
    found = funnel(ten_people(), STEPS, within="5D", at="2025-01-01T20:00:00+00:00", k=1)
    table = found.table.set_index("step")
    assert table["stuck"].tolist() == [2, 8, 0]
    assert np.isnan(table.loc["bought", "share"])
    assert set(found.waiting["step"]) == {"looked", "reserved"}
    assert found.waiting["hours"].iloc[0] == 20


def test_cells_of_few_people_are_left_out():
    found = funnel(ten_people(), STEPS, within="5D", at="2025-02-01", k=6)
    assert found.table.set_index("step").loc["bought", "people":"median_hours"].isna().all()
    assert set(found.channels["attempts"]) <= {6, 8}
    assert np.isnan(found.table.set_index("step").loc["looked", "lost"])


def test_somebody_may_try_again():
    rows = [(1, 0, "view", "web"), (1, 1, "purchase", "web"), (1, 50, "view", "web"), (1, 51, "purchase", "store")]
    rows += [(2, 0, "view", "web"), (2, 30 * 24, "view", "web"), (2, 30 * 24 + 1, "purchase", "web")]
    found = funnel(log_of(rows), {"looked": "view", "bought": "purchase"}, within="2D", at="2025-03-01", k=1)
    assert found.table["attempts"].tolist() == [4, 3]
    assert found.table["people"].tolist() == [2, 2]


def test_the_first_step_counts_before_the_second_at_one_instant_only_in_order():
    rows = [(1, 0, "purchase", "web"), (1, 1, "view", "web")]
    found = funnel(log_of(rows), {"looked": "view", "bought": "purchase"}, within="2D", at="2025-03-01", k=1)
    assert found.table["attempts"].tolist() == [1, 0]


def test_attempts_of_one_item():
    frame = pd.DataFrame(
        {"user_id": 1, "item_id": ["a", "b", "b"], "event": ["view", "view", "purchase"], "channel": "web"}
    )
    frame["timestamp"] = START + pd.to_timedelta([0, 1, 2], unit="h")
    steps = {"looked": "view", "bought": "purchase"}
    log = om.EventLog.from_frame(frame)
    assert funnel(log, steps, at="2025-03-01", k=1).table["attempts"].tolist() == [1, 1]
    assert funnel(log, steps, at="2025-03-01", k=1, same_item=True).table["attempts"].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ({"looked": "view"}, "two names or more"),
        (["view", "purchase"], "two names or more"),
        ({"looked": "view", "bought": "purchas"}, "Did you mean 'purchase'"),
        ({"looked": ("view", "shop"), "bought": "purchase"}, "the channel of 'looked'"),
        ({"looked": 3, "bought": "purchase"}, "must be an event"),
    ],
)
def test_steps_that_nothing_has_are_refused(steps, words):
    with pytest.raises(ParameterError, match=words):
        funnel(ten_people(), steps)


def test_it_runs_in_one_look_per_attempt_on_many_people():
    data = om.simulate(n_users=300, n_items=20, days=60, seed=2).dataset()
    found = funnel(data, {"looked": "view", "cart": "add_to_cart", "bought": "purchase"}, within="7D")
    table = found.table
    assert (table["people"].diff().dropna() <= 0).all()
    assert ((table["low"] <= table["share"]) | table["low"].isna()).all()
