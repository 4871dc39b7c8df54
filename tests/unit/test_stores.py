"""Opening hours on the shop's own clock, and the nearest shops."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data import Shops
from omnireco.errors import ParameterError, SchemaError

FRAME = pd.DataFrame(
    {
        "store_id": ["berlin", "tokyo", "nowhere", "bar"],
        "timezone": ["Europe/Berlin", "Asia/Tokyo", None, "Europe/Berlin"],
        "latitude": [52.52, 35.68, np.nan, 48.14],
        "longitude": [13.40, 139.69, np.nan, 11.58],
    }
)
HOURS = {
    "berlin": {"mon-fri": ["09:00-13:00", "14:00-20:00"], "sat": "10:00-16:00"},
    "tokyo": {"daily": "00:00-24:00", "holiday": "00:00-24:00"},
    "nowhere": {"daily": "00:00-24:00"},
    "bar": {"fri": "20:00-03:00", "sat": "20:00-24:00", "sun": "00:00-02:00"},
}


def shops(**more):
    return Shops.from_frame(FRAME, hours=HOURS, **more)


def minutes(store, at, **more):
    found = shops(**more)
    code = found.stores.codes([store])
    return float(found.minutes_open(code, np.array([pd.Timestamp(at).value // 1000]))[0])


@pytest.mark.parametrize(
    ("store", "at", "left"),
    [
        ("berlin", "2025-06-02 06:59Z", 0),  # Monday 08:59 in Berlin
        ("berlin", "2025-06-02 07:00Z", 240),
        ("berlin", "2025-06-02 11:00Z", 0),  # the break, half-open
        ("berlin", "2025-06-02 17:59Z", 1),
        ("berlin", "2025-06-07 07:30Z", 0),  # Saturday, 09:30
        ("berlin", "2025-06-07 08:00Z", 360),
        ("berlin", "2025-06-08 10:00Z", 0),  # Sunday is not named
        ("berlin", "2025-03-31 07:00Z", 240),  # the Monday after the clock went forward
        ("berlin", "2025-03-28 08:00Z", 240),  # the Friday before
        ("nowhere", "2025-06-02 10:00Z", 0),
        ("bar", "2025-06-06 18:00Z", 420),  # Friday 20:00 to 03:00
        ("bar", "2025-06-07 00:59Z", 1),  # Saturday 02:59
        ("bar", "2025-06-07 01:00Z", 0),
        ("bar", "2025-06-07 21:00Z", 180),  # Saturday 23:00 runs on into Sunday until 02:00
    ],
)
def test_open_on_its_own_clock(store, at, left):
    assert minutes(store, at) == left


def test_holidays_are_closed_unless_they_are_named():
    free = om.data.Holidays.from_dates({"Europe/Berlin": ["2025-06-09"], "Asia/Tokyo": ["2025-06-09"]})
    assert minutes("berlin", "2025-06-09 08:00Z", holidays=free) == 0
    assert minutes("berlin", "2025-06-09 08:00Z") == 180
    assert minutes("tokyo", "2025-06-09 08:00Z", holidays=free) > 0


def test_a_code_of_no_shop_is_closed():
    assert shops().minutes_open(np.array([-1]), np.array([0])).tolist() == [0.0]
    assert Shops.from_frame(FRAME).minutes_open(np.array([0, 1]), np.array([0, 0])).tolist() == [0.0, 0.0]


def test_the_nearest_shops():
    homes = pd.DataFrame(
        {"user_id": ["m", "t", "x"], "latitude": [48.2, 35.0, np.nan], "longitude": [11.5, 139.0, np.nan]}
    )
    near = shops().near(homes, k=2).to_frame()
    assert near[["user_id", "store_id"]].values.tolist() == [
        ["m", "bar"], ["m", "berlin"], ["t", "tokyo"], ["t", "berlin"],
    ]  # fmt: skip
    berlin = om.data.Shops.from_frame(FRAME.iloc[[0]]).near(
        homes.iloc[[0]].assign(latitude=48.14, longitude=11.58), k=9
    )
    assert berlin.distance[0, 0] == pytest.approx(504, abs=1.5)  # Munich to Berlin, as the crow flies


@pytest.mark.parametrize(
    ("hours", "match"),
    [
        ({"paris": {"mon": "09:00-10:00"}}, "the frame has no shop 'paris'"),
        ({"berlin": {"mon-xyz": "09:00-10:00"}}, "names no days"),
        ({"berlin": {"mon": "9 to 10"}}, "no span of time"),
        ({"berlin": {"mon": "09:00-09:00"}}, "begins where it ends"),
        ({"berlin": {"mon": 9}}, "no span of time"),
        ({"berlin": "always"}, "mapping"),
    ],
)
def test_refuses_hours(hours, match):
    with pytest.raises(ParameterError, match=match):
        Shops.from_frame(FRAME, hours=hours)


@pytest.mark.parametrize(
    ("frame", "match"),
    [
        (pd.concat([FRAME, FRAME]), "listed again"),
        (FRAME.assign(timezone="CET+1"), "no IANA region"),
        (FRAME.assign(latitude=99.0), "latitude must lie within -90 and 90"),
        (FRAME.drop(columns="longitude"), "needs both latitude and longitude"),
    ],
)
def test_refuses_frames(frame, match):
    with pytest.raises(SchemaError, match=match):
        Shops.from_frame(frame)


def test_without_places_there_is_no_nearest():
    with pytest.raises(SchemaError, match="these shops have no places"):
        Shops.from_frame(FRAME[["store_id", "timezone"]]).near(
            pd.DataFrame({"user_id": [1], "latitude": 1.0, "longitude": 1.0})
        )
