"""Touches that are asked about: who, on which channel, when, on the person's own clock."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data.asking.touches import check_touches, hours_of_touches
from omnireco.data.messages import NEVER
from omnireco.errors import IdKindError, ParameterError, SchemaError, UnknownIdError

PEOPLE = pd.DataFrame({"user_id": [1, 2, 3], "timezone": ["Asia/Tokyo", None, "UTC"], "consent_email": True})
NINE = "2025-06-02T09:00:00Z"  # a Monday


@pytest.fixture
def data():
    sent = pd.DataFrame({"user_id": [1], "channel": "push", "sent_at": pd.to_datetime(["2025-06-01"], utc=True)})
    sent["responded_at"] = pd.to_datetime([None], utc=True)
    return om.Dataset(messages=om.MessageLog.from_frame(sent), audience=om.Audience.from_frame(PEOPLE))


def of(data, users=(1, 2, 3), **more):
    return om.data.Touches.of(data, list(users), **({"channel": "email", "at": NINE} | more))


def test_local_hours_are_those_of_the_person_and_unknown_without_a_zone(data):
    touches = of(data)
    assert touches.hour_of_week.tolist() == [18, -1, 9]
    assert touches.hour_of_week.dtype == np.int32
    assert touches.zone_known.tolist() == [True, False, True]
    assert touches.local_at[1] == NEVER  # not UTC taken for somebody's clock
    nowhere = om.data.Touches.of(om.Dataset(messages=data.messages), [1], channel="push", at=NINE)
    assert nowhere.hour_of_week.tolist() == [-1]


def test_hours_of_the_week_count_from_monday():
    audience = om.Audience.from_frame(PEOPLE[2:])
    days = pd.date_range("2025-06-02", periods=7, freq="25h", tz="UTC")
    touches = om.data.Touches.of(om.Dataset(audience=audience), [3] * 7, channel="email", at=days)
    assert touches.hour_of_week.tolist() == [25 * day for day in range(7)]
    early = om.data.Touches.of(om.Dataset(audience=audience), [3], channel="email", at="1969-12-31T23:30:00Z")
    assert early.hour_of_week.tolist() == [71]


def test_rows_stand_in_the_order_asked(data):
    touches = of(data, [3, 1, 3], channel=["email", "push", "push"], items=["tea", None, "cup"])
    assert touches.users.decode(touches.user).tolist() == [3, 1, 3]
    assert touches.channels.decode(touches.channel).tolist() == ["email", "push", "push"]
    assert touches.item.tolist() == [1, -1, 0]
    assert not touches.consent.any()  # asking is not sending
    assert not touches.reachable.any()


def test_strangers_are_an_error_or_said_to_be_new(data):
    with pytest.raises(UnknownIdError, match="1 of 2 people are in no part of the data"):
        of(data, [1, 9])
    assert of(data, [1, 9], new_users=True).hour_of_week.tolist() == [18, -1]


def test_a_channel_is_one_of_the_messages_or_of_the_audience(data):
    with pytest.raises(ParameterError, match=r"\('push', 'email'\). Got 'emial': add a column consent_emial"):
        of(data, channel="emial")
    for missing in (None, ["email", None, "push"]):
        with pytest.raises(ParameterError, match="channel is missing for"):
            of(data, channel=missing)
    log = om.EventLog.from_frame(
        pd.DataFrame(
            {
                "user_id": [1],
                "item_id": "tea",
                "channel": "web",
                "event": "view",
                "timestamp": pd.to_datetime([NINE], utc=True),
            }
        )
    )
    assert len(of(om.Dataset(log), [1], channel="anything")) == 1  # nothing says which channels there are


def test_what_is_no_dataset_and_what_are_no_touches(data):
    for wrong in (data.audience, None, PEOPLE, om.Dataset):
        with pytest.raises(SchemaError, match=r"Touches.of takes a Dataset. Got"):
            of(wrong)
    with pytest.raises(TypeError, match=r"Write om.data.Touches.of\(data, users, channel="):
        om.data.Touches.of(data, [1])
    with pytest.raises(IdKindError, match="integers"):
        of(data, ["1"])
    with pytest.raises(SchemaError, match=r"it takes Touches. Got list"):
        check_touches([1], "it")
    check_touches(of(data), "it")


def test_some_of_the_touches(data):
    touches = of(data, creatives=["a", "b", "a"])
    some = touches.take(np.array([2, 0]))
    assert some.users.decode(some.user).tolist() == [3, 1]
    assert some.hour_of_week.tolist() == [9, 18]
    known, code = some.labels["creative_id"]
    assert known.decode(code).tolist() == ["a", "a"]


def test_each_touch_is_looked_up_at_its_person_and_hour(data, monkeypatch):
    """In blocks of one person, with a table that says whom it was asked for and at which hour."""
    monkeypatch.setattr("omnireco.data.asking.touches.row_blocks", lambda n, size: [slice(i, i + 1) for i in range(n)])
    touches = of(data, [3, 1, 2, 1], channel=["email", "push", "email", "email"])

    def table(ids, channel):
        return 1000.0 * ids[:, None] + 500 * (channel == "push") + np.arange(169)

    assert hours_of_touches(touches, table, "it").tolist() == [3009, 1518, 2168, 1018]
    with pytest.raises(SchemaError, match=r"it takes Touches. Got NoneType"):
        hours_of_touches(None, table, "it")
