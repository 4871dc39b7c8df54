"""Channels simulated around purchases: they say so, follow their laws, and leave the purchases as they are."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._demo.around import APP, EMAIL, PUSH, WEB, around
from omnireco._demo.inputs import Inputs
from omnireco._demo.worth import Check, check_chances

ZONE = "America/New_York"


@pytest.fixture(scope="module")
def shop():
    rng = np.random.default_rng(3)
    n = 24_000
    frame = pd.DataFrame(
        {
            "user_id": rng.integers(0, 200, n),
            "item_id": [f"i{code}" for code in rng.integers(0, 60, n)],
            "channel": "store",
            "event": "purchase",
            "timestamp": pd.Timestamp("2025-01-01T05:00:00Z")
            + pd.to_timedelta(rng.integers(0, 364 * 24, n) * 60, "min"),
            "value": 2.0,
            "store_id": pd.array(rng.integers(1, 4, n), dtype="Int64"),
        }
    )
    frame["session_id"] = pd.array(frame["user_id"] * 1000 + frame["timestamp"].dt.day_of_year, dtype="Int64")
    people = pd.DataFrame({"user_id": np.arange(200), "timezone": ZONE})
    people = people.assign(**{f"consent_{EMAIL}": people["user_id"] % 2 == 0, f"consent_{PUSH}": True})
    return om.EventLog.from_frame(frame), om.Audience.from_frame(people)


@pytest.fixture(scope="module")
def world(shop):
    return around(*shop, zone=ZONE, seed=0)


def test_every_simulated_channel_says_so(shop, world):
    log, sent = world
    assert set(log.channels.ids) == {"store", WEB, APP}
    assert set(sent.channels.ids) == {EMAIL, PUSH}
    assert all("(simulated)" in name for name in (WEB, APP, EMAIL, PUSH))


def test_purchases_stay_as_they_are(shop, world):
    kept = world[0].select(channels=["store"])
    assert len(kept) == len(shop[0])
    np.testing.assert_array_equal(kept.at, shop[0].at)
    assert "purchase" not in world[0].select(channels=[WEB, APP]).events


def test_equal_seeds_give_equal_worlds(shop, world):
    log, sent = around(*shop, zone=ZONE, seed=0)
    np.testing.assert_array_equal(log.at, world[0].at)
    np.testing.assert_array_equal(sent.responded_at, world[1].responded_at)
    assert len(around(*shop, zone=ZONE, seed=1)[0]) != len(log)


def test_messages_go_to_those_who_agreed_and_record_their_propensity(shop, world):
    frame = world[1].to_frame()
    assert (frame.loc[frame["channel"] == EMAIL, "user_id"] % 2 == 0).all()
    hour = frame["sent_at"].dt.tz_convert(ZONE).dt.hour
    assert hour.between(8, 20).all()
    at_ten = frame["propensity"] > 0.5
    assert (hour[at_ten] == 10).all()
    assert (hour[~at_ten] != 10).all()
    assert at_ten.mean() == pytest.approx(2 / 3 + 1 / 39, abs=0.02)


def test_nothing_happens_after_the_log_ends(shop, world):
    assert world[0].end_us <= shop[0].end_us
    answered = world[1].responded
    assert (world[1].responded_at[answered] > world[1].sent_at[answered]).all()
    assert (world[1].responded_at[answered] < shop[0].end_us).all()


def test_chances_are_held_against_later_answers(shop, world):
    log, sent = world
    inputs = Inputs("a shop", log, log, shop[0], sent, shop[1], None)
    check = check_chances(inputs, shop[1])
    assert check is not None
    assert 0.6 < check.low < check.ratio < check.high < 1.8
    assert f"{check.came:,} answers came" in check.words


def test_too_few_answers_make_no_check(shop):
    log, people = shop
    assert check_chances(Inputs("a shop", log, log, log, None, people, None), people) is None
    assert Check(28, 100, 50.0, 40, 0.6, 1.0).ratio == 0.8
