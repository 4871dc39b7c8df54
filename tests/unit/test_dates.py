"""Dates taken for midnight: no hour is learned from rows that carry none, whatever zone their midnight is of."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data.frames.dates import are_midnights, dates_among
from omnireco.errors import DataWarning, ParameterError

ZONES = [
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Asia/Tokyo",
]


def midnights(zone, days=400, start="2024-03-01"):
    return pd.date_range(start, periods=days, freq="D", tz=zone).tz_convert("UTC")


def log_of(*parts, **how):
    """Return a log of (channel, times) parts."""
    frames = [
        pd.DataFrame(
            {"user_id": np.arange(len(at)) % 9, "item_id": "tea", "channel": channel, "event": "buy", "timestamp": at}
        )
        for channel, at in parts
    ]
    return om.EventLog.from_frame(pd.concat(frames, ignore_index=True), **how)


def people(zone="America/New_York"):
    return om.Audience.from_frame(pd.DataFrame({"user_id": range(9), "timezone": zone, "consent_email": True}))


def some_times(n=400, seed=0):
    minutes = np.random.default_rng(seed).integers(0, 300 * 1440, n)
    return pd.Timestamp("2024-03-01", tz="UTC") + pd.to_timedelta(minutes, unit="min")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("days", [6, 60, 400])
def test_midnights_of_any_zone_are_dates_and_one_real_time_is_one(zone, days):
    at = midnights(zone, days)
    log = log_of(("store", at))
    assert not log.timed.any()
    other = at.to_series().reset_index(drop=True)
    other[2] += pd.Timedelta("37min")
    assert log_of(("store", other)).timed.sum() == (1 if days > 6 else 6)  # of six rows nobody can tell


def test_two_sources_on_one_channel_are_told_apart_where_most_are_midnights_of_utc():
    times = some_times(50)
    log = log_of(("store", midnights("UTC", 60).append(times)))
    assert log.timed.sum() == 50
    assert log_of(("store", midnights("UTC", 40).append(times))).timed.all()
    assert log_of(("store", midnights("America/New_York", 60).append(times))).timed.all()
    found = log_of(("store", midnights("UTC", 40).append(times))).check().findings
    assert "midnight" in {one.problem for one in found}


def test_answers_that_are_dates_have_no_hour_of_reading():
    sent = pd.date_range("2025-03-01 09:13", periods=90, freq="D", tz="UTC")
    answers = sent.ceil("D").to_series(index=range(90)).where(np.arange(90) % 3 == 0)
    frame = pd.DataFrame({"user_id": np.arange(90) % 9, "channel": "email", "sent_at": sent, "responded_at": answers})
    with pytest.warns(DataWarning, match=r"all responses on 'email' are at midnight, so they carry dates and no hours"):
        model = om.timing.ReadingClock().fit(om.Dataset(messages=om.MessageLog.from_frame(frame), audience=people()))
    hours = model.hour_of_week(np.arange(9), "email")
    assert np.ptp(hours) == pytest.approx(0.0, abs=1e-9)
    both = pd.concat([frame, frame.assign(channel="push", responded_at=sent + pd.to_timedelta(np.arange(90), "min"))])
    with pytest.warns(DataWarning, match="on 'email' are at midnight"):
        model = om.timing.ReadingClock().fit(om.Dataset(messages=om.MessageLog.from_frame(both), audience=people()))
    assert np.ptp(model.hour_of_week(np.arange(9), "push")) > 0.0


@pytest.mark.parametrize("zone", ZONES)
def test_in_a_mixed_log_the_rows_of_a_kind_are_dates(zone):
    log = log_of(("store", midnights(zone, 90)), ("web", some_times()))
    store = int(log.channels.codes(["store"])[0])
    assert (log.timed == (log.channel != store)).all()


def test_a_few_rows_or_hours_of_every_kind_are_times():
    assert log_of(("web", pd.to_datetime(["2025-05-01", "2025-05-02"], utc=True))).timed.all()
    assert log_of(("web", pd.date_range("2025-05-01", periods=500, freq="h", tz="UTC"))).timed.all()
    assert not are_midnights(np.arange(20) * 86_400_000_000 + np.arange(20) % 2 * 3_600_000_000)  # by turns, every day
    assert dates_among(np.empty(0, np.int64), np.empty(0, np.int64)).size == 0


def test_the_caller_may_say_what_times_are():
    at = midnights("UTC", 30)
    assert log_of(("store", at), timestamp="instant").timed.all()
    assert not log_of(("store", some_times()), timestamp="date").timed.any()
    with pytest.raises(ParameterError, match="timestamp must be one of"):
        log_of(("store", at), timestamp="day")


def test_parts_joins_and_files_keep_the_mark(tmp_path):
    log = log_of(("store", midnights("UTC", 60)), ("web", some_times()))
    dated = int((~log.timed).sum())
    assert not log.select(channels=["store"]).timed.any()
    assert (~log.before("2024-04-01").timed).sum() == 31
    parts = log.split("2024-04-01")
    assert (om.EventLog.concat(parts).timed == log.timed).all()
    om.save(log, tmp_path / "log")
    assert (~om.load(tmp_path / "log").timed).sum() == dated == 60
    assert not log.timed[log.timed == 0].any()


def test_no_hour_is_learned_from_dates():
    web = log_of(("web", some_times()))
    mixed = log_of(("web", some_times()), ("store", midnights("UTC", 300)))
    one, other = (
        om.timing.ActivityProfile(half_life="60D").fit(om.Dataset(log, audience=people())) for log in (web, mixed)
    )
    assert one.history.tolist() == other.history.tolist()
    np.testing.assert_allclose(one.population, other.population)
    assert om.timing.by_hour(om.Dataset(mixed, audience=people()), per="day").csr.sum() == pytest.approx(len(web))


def test_a_log_of_dates_alone_is_said_to_teach_no_hours():
    log = log_of(("store", midnights("Europe/Berlin", 100)))
    with pytest.warns(DataWarning, match="all 100 events carry a date and no hour"):
        model = om.SendTime().fit(om.Dataset(log, audience=people()))
    np.testing.assert_allclose(model.activity.population, 1 / 168)
    chance = model.slot_probability(people(), np.arange(9), "email", om.slots("2025-06-02", days=1).at)
    np.testing.assert_allclose(chance, chance[0, 0])


@pytest.mark.parametrize(
    ("rounded", "problem"), [("D", "midnight"), ("h", "round hour"), ("min", "round minute"), (None, None)]
)
def test_check_finds_rounded_times_with_their_share(rounded, problem):
    seconds = np.random.default_rng(1).integers(0, 90 * 86_400, 1000)
    at = (pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(seconds, unit="s")).to_series().reset_index(drop=True)
    if rounded:
        at[:600] = at[:600].dt.floor(rounded)
    found = {one.problem: one for one in log_of(("web", at), timestamp="instant").check().findings}
    looked_for = {"midnight", "round hour", "round minute", "date only"}
    assert set(found) & looked_for - {"round hour"} == ({problem} - {None, "round hour"})
    if problem:
        assert "60%" in found[problem].what or "61%" in found[problem].what
    assert {"date only"} == {one.problem for one in log_of(("web", midnights("UTC", 9))).check().findings}


def test_check_finds_a_clock_that_runs_ahead():
    at = some_times().to_series().reset_index(drop=True)
    assert log_of(("web", at)).check().rows("future").size == 0
    at[5] = pd.Timestamp("2099-12-31", tz="UTC")
    log = log_of(("web", at))
    assert log.check().rows("future").tolist() == [len(log) - 1]


def test_a_part_without_dates_is_the_log_of_its_rows():
    mixed = log_of(("store", midnights("UTC", 60)), ("web", some_times()))
    alone = log_of(("web", some_times()))
    part = mixed.select(channels=["web"])
    assert part.dated is None
    assert part.timed.all()
    assert len(part) == len(alone)
