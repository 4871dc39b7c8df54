"""What must hold of send times for any people, clocks and numbers of threads."""

import datetime as dt
import zoneinfo

import numpy as np
import pandas as pd
import pytest

import omnireco as om

ZONES = np.array(
    [
        "Europe/Berlin",
        "America/New_York",
        "America/Los_Angeles",
        "America/St_Johns",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Asia/Tokyo",
        "Australia/Sydney",
        "Australia/Lord_Howe",
        "Australia/Adelaide",
        "Pacific/Apia",
        "Pacific/Chatham",
        "Pacific/Kiritimati",
        "Africa/Cairo",
        "Africa/Casablanca",
        "America/Sao_Paulo",
        "America/Santiago",
        "Europe/London",
        "Asia/Tehran",
        "UTC",
    ],
    object,
)


@pytest.fixture(scope="module")
def world():
    return om.simulate(120, 20, days=60, seed=5, company=om.worlds.Company(messages_per_week=4, answer_rate=2.0))


@pytest.fixture(scope="module")
def nouns(world):
    log, audience = om.EventLog.from_frame(world.events), om.Audience.from_frame(world.users)
    return log, om.MessageLog.from_frame(world.messages), audience


@pytest.fixture(scope="module")
def data(nouns):
    log, sent, audience = nouns
    return om.Dataset(log, messages=sent, audience=audience)


@pytest.fixture(scope="module")
def model(data):
    return om.SendTime().fit(data)


def test_a_million_choices_and_none_in_quiet_hours(model):
    """Random zones and quiet hours over the days on which clocks change, read by another library's clock."""
    rng = np.random.default_rng(0)
    n, days = 125_000, ("2025-03-08", "2025-03-29", "2025-04-05", "2025-10-03", "2025-10-25", "2025-11-01")
    zone = ZONES[rng.integers(0, ZONES.size, n)]
    people = {"user_id": np.arange(n), "timezone": np.where(rng.random(n) < 0.02, None, zone), "consent_push": True}
    audience = om.Audience.from_frame(pd.DataFrame(people))
    answered = 0
    for trial in range(8):
        start, length = int(rng.integers(0, 96)) * 15, int(rng.integers(1, 90)) * 15
        end = (start + length) % 1440
        quiet = tuple(f"{minute // 60:02d}:{minute % 60:02d}" for minute in (start, end))
        best = model.best(
            om.Dataset(audience=audience),
            om.slots(days[trial % 6], days=2, every="30min"),
            channel="push",
            quiet_hours=quiet,
        )
        answered += len(best)
        zones = people["timezone"][best["user_id"]]
        for name, some in best.groupby(zones):
            wall = some["send_at"].dt.tz_convert(name)
            minute = (wall.dt.hour * 60 + wall.dt.minute).to_numpy()
            assert not ((minute - start) % 1440 < length).any(), (name, quiet)
            assert (some["send_at_local"] == wall.dt.tz_localize(None)).all()
        assert not pd.isna(zones).any()  # no clock, no message
    assert answered > 900_000


def test_a_million_touches_against_zoneinfo():
    """Random people and instants around changes of clocks; zoneinfo is asked per zone and quarter of an hour."""
    rng = np.random.default_rng(1)
    n, quarter = 1_000_000, 900_000_000
    named = np.append(ZONES, None)
    who = rng.integers(0, 21, n)
    # nights on which clocks change somewhere; Samoa had no 30 December 2011
    days = pd.to_datetime(["2011-12-29", "2025-03-09", "2025-03-30", "2025-04-05", "2025-10-26"], utc=True)
    slot = days.as_unit("us").asi8[rng.integers(0, 5, n)] // quarter + rng.integers(0, 144, n)
    at = slot * quarter + rng.integers(0, quarter, n)
    frame = pd.DataFrame({"user_id": who, "item_id": "x", "channel": "push", "value": 1.0})
    frame["send_at"] = pd.to_datetime(at, unit="us", utc=True)
    people = pd.DataFrame({"user_id": np.arange(21), "timezone": named, "consent_push": True})
    touches = om.planning.Candidates.from_frame(frame, om.Dataset(audience=om.Audience.from_frame(people))).touches
    assert (np.sort(touches.send_at) == np.sort(at)).all()
    who, slot = touches.users.ids[touches.user], touches.send_at // quarter
    pairs, place = np.unique(who * 10_000_000 + slot, return_inverse=True)
    minute = np.full(pairs.size, -1)
    for i, pair in enumerate(pairs.tolist()):
        if named[pair // 10_000_000] is not None:
            moment = dt.datetime.fromtimestamp(pair % 10_000_000 * 900, dt.UTC)
            wall = moment.astimezone(zoneinfo.ZoneInfo(named[pair // 10_000_000]))
            minute[i] = wall.hour * 60 + wall.minute
    minute = minute[place]
    for start, end in (("21:00", "08:00"), ("12:30", "14:15"), ("23:45", "00:15")):
        first, last = (int(text[:2]) * 60 + int(text[3:]) for text in (start, end))
        fine = (minute >= 0) & ((minute - first) % 1440 >= (last - first) % 1440)
        found = om.QuietHours(start, end).mask(touches)
        assert (found == fine).all()
        assert 0 < found.sum() < n


def test_turning_everybodys_clock_turns_the_curve(world):
    hours = 101
    later = pd.Timedelta(hours=hours)
    events, sent = world.events.copy(), world.messages.copy()
    events["timestamp"] += later
    sent["sent_at"] += later
    sent["responded_at"] += later
    still = world.users.assign(timezone="UTC")
    audience = om.Audience.from_frame(still)
    here = om.SendTime().fit(
        om.Dataset(
            om.EventLog.from_frame(world.events), messages=om.MessageLog.from_frame(world.messages), audience=audience
        )
    )
    there = om.SendTime().fit(
        om.Dataset(om.EventLog.from_frame(events), messages=om.MessageLog.from_frame(sent), audience=audience)
    )
    people = [1001, 1050, -1]
    turned = np.roll(here.hour_probability(people, "email"), hours, axis=1)
    np.testing.assert_allclose(there.hour_probability(people, "email"), turned, rtol=1e-5)


def test_threads_change_nothing(world, data, model, monkeypatch):
    monkeypatch.setattr("omnireco.timing.sessions._STRETCH", 100)
    again = om.SendTime().fit(data, threads=3)
    rows, at = np.arange(120), om.slots("2025-03-20", days=2).at
    asked = om.Audience.from_frame(world.users.assign(consent_sms=True))
    for channel in ("email", "push", "sms"):
        one = model.slot_probability(asked, rows, channel, at, threads=1)
        assert (again.slot_probability(asked, rows, channel, at, threads=3) == one).all()


def test_people_together_are_the_population(model):
    """Weighted by how often they come, personal profiles add up to nearly that of everybody."""
    profile = model.activity
    p = profile.profiles(np.arange(len(profile)))
    together = profile.history @ p / profile.history.sum()
    assert 0.5 * np.abs(together - profile.population).sum() < 0.06


def test_one_person_one_event_no_message():
    at = pd.to_datetime(["2025-01-06 09:00"], utc=True)
    log = om.EventLog.from_frame(
        pd.DataFrame({"user_id": ["x"], "item_id": ["a"], "channel": "web", "event": "view", "timestamp": at})
    )
    people = pd.DataFrame({"user_id": ["x", "y"], "timezone": ["Asia/Tokyo", None], "consent_email": True})
    audience = om.Audience.from_frame(people)
    model = om.SendTime().fit(om.Dataset(log, audience=audience))
    best = model.best(om.Dataset(audience=audience), "2025-01-13", 1, channel="email", quiet_hours=("21:00", "08:00"))
    assert best["user_id"].tolist() == ["x"]
    assert 0.0 < best["probability"][0] < 0.5
