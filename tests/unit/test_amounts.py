"""Points are earned and spent on any channel."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data import UserAmounts
from omnireco.errors import ParameterError, SchemaError

ROWS = [  # person, event, channel, value, day
    ("ann", "purchase", "shop", 4.0, 1),
    ("ann", "purchase", "app", 6.0, 2),
    ("ann", "redeem", "web", np.nan, 3),
    ("bob", "purchase", "web", 9.0, 2),
    ("cid", "visit", "shop", np.nan, 1),
]


def log(rows=ROWS):
    frame = pd.DataFrame(rows, columns=["user_id", "event", "channel", "value", "day"])
    frame["timestamp"] = pd.Timestamp("2025-05-01", tz="UTC") + pd.to_timedelta(frame.pop("day"), unit="D")
    return om.EventLog.from_frame(frame.assign(item_id="latte"))


def test_points_of_all_channels_count_and_rewards_are_taken_off():
    found = UserAmounts.from_events(log(), per_value={"purchase": 10}, each={"redeem": -80, "visit": 5})
    assert dict(found.to_frame().values.tolist()) == {"ann": 20.0, "bob": 90.0, "cid": 5.0}
    early = UserAmounts.from_events(log(), per_value={"purchase": 10}, each={"redeem": -80}, at="2025-05-03")
    assert early.of(found.users).tolist() == [40.0, 0.0, 0.0]


def test_strangers_have_what_is_said_for_them():
    found = UserAmounts.from_frame(pd.DataFrame({"user_id": ["b", "a"], "amount": [2, 1]}))
    asked = om.data.Vocabulary.from_ids(["a", "z"])
    assert found.of(asked, missing=0.0).tolist() == [1.0, 0.0]
    assert np.isnan(found.of(asked)[1])


def test_an_event_that_counts_by_a_value_it_does_not_have_is_refused():
    with pytest.raises(SchemaError, match=r"1 event of 1 that count by their value have none"):
        UserAmounts.from_events(log(), per_value={"visit": 1.0})


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({}, "nothing says what an event is worth"),
        ({"each": {"buy": 1}}, "each: 'buy' is a name that nothing here has"),
        ({"each": {"visit": "x"}}, "number"),
    ],
)
def test_refuses_rates(how, match):
    with pytest.raises(ParameterError, match=match):
        UserAmounts.from_events(log(), **how)


def test_refuses_frames():
    with pytest.raises(SchemaError, match=r"user_id is listed again in 1 row .position 1"):
        UserAmounts.from_frame(pd.DataFrame({"user_id": [1, 1], "amount": [2, 1]}))
    with pytest.raises(SchemaError, match=r"amount is missing or infinite in 1 row .position 0"):
        UserAmounts.from_frame(pd.DataFrame({"user_id": [1, 2], "amount": [np.nan, 1]}))
