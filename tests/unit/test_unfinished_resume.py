"""Where somebody left off: several beginnings and ends, positions, devices, ended on any channel."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError

START = pd.Timestamp("2025-01-01", tz="UTC")
NOW = START + pd.Timedelta("10D")

ROWS = [  # person, item, day, event, channel, value, device
    (1, "film", 0.0, "play", "app", np.nan, "phone"),
    (1, "film", 0.1, "watch", "app", 0.3, "phone"),
    (1, "film", 1.0, "watch", "web", 0.2, None),
    (2, "film", 0.0, "play", "tv", np.nan, "tv"),
    (2, "film", 0.1, "watch", "tv", 0.95, "tv"),
    (3, "film", 0.0, "trailer", "web", np.nan, "laptop"),
    (4, "film", 0.0, "play", "app", np.nan, "phone"),
    (4, "film", 0.5, "watch", "app", 0.5, "phone"),
    (4, "film", 1.0, "rented in the shop", "shop", np.nan, None),
    (5, "film", 0.0, "play", "app", np.nan, "phone"),
    (5, "film", 0.5, "watch", "app", 0.5, "phone"),
    (5, None, 2.0, "watched", "call", np.nan, None),
    (6, "film", 0.0, "watch", "app", 0.7, "phone"),
    (6, "film", 1.0, "play", "app", np.nan, "tv"),
]


def log():
    frame = pd.DataFrame(ROWS, columns=["user_id", "item_id", "day", "event", "channel", "value", "device"])
    frame["timestamp"] = START + pd.to_timedelta(frame.pop("day"), unit="D")
    return om.EventLog.from_frame(frame, context=["device"], itemless="keep")


def left(**more):
    asked = {"at": NOW, "begun": ["play", "trailer"], "finished": ["watched", "rented in the shop"]}
    return om.journeys.unfinished(log(), **asked | more)


def test_several_beginnings_and_ends_on_any_channel():
    assert sorted(left()["user_id"]) == [1, 2, 3, 6]
    assert sorted(left(finished="rented in the shop")["user_id"]) == [1, 2, 3, 5, 6]
    assert sorted(left(begun="trailer")["user_id"]) == [3]


def test_the_last_position_and_device_and_the_furthest():
    found = left(position="watch", device="device").set_index("user_id")
    assert found.loc[1, ["position", "progress", "device"]].tolist() == [0.2, 0.3, "phone"]
    assert found.loc[2, ["position", "progress", "device"]].tolist() == [0.95, 0.95, "tv"]
    assert np.isnan(found.loc[6, "progress"])  # what was watched before it was begun anew does not count
    assert found.loc[6, "device"] == "tv"


def test_only_those_between_two_positions():
    assert left(position="watch", between=(0.05, 0.9))["user_id"].tolist() == [1]


def test_what_was_left_off_is_carried_into_the_plan():
    open_films = left(position="watch", device="device")
    touches = pd.DataFrame({"user_id": open_films["user_id"], "item_id": "film", "channel": "push", "value": 1.0})
    touches["send_at"] = NOW + pd.Timedelta("1D")
    found = om.planning.Candidates.from_frame(touches)
    found = found.with_columns(open_films[["user_id", "item_id", "position", "device"]])
    sent = om.plan(found).to_frame().set_index("user_id")
    assert sent.loc[2, ["position", "device"]].tolist() == [0.95, "tv"]


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"position": "wotch"}, "position: 'wotch' is a name that nothing here has"),
        ({"between": (0.1, 0.9)}, "between must be two positions, and needs position="),
        ({"position": "watch", "between": (0.9, 0.1)}, r"between\[1\] must be greater than 0.9"),
        ({"device": "browser"}, r"device \(a label of the log\): 'browser' is a name that nothing here has"),
        ({"begun": []}, "begun"),
    ],
)
def test_refuses(wrong, match):
    with pytest.raises(ParameterError, match=match):
        left(**wrong)


def test_positions_need_values():
    frame = pd.DataFrame({"user_id": [1], "item_id": ["a"], "event": "play", "channel": "app", "timestamp": [START]})
    with pytest.raises(ParameterError, match="no event of this log has a value"):
        om.journeys.unfinished(
            om.EventLog.from_frame(frame), begun="play", finished="x", position="play", missing="ignore"
        )
