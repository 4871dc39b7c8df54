"""The clock on designed days: both daylight-saving days, odd offsets, Samoa's missing day, before 1970."""

import datetime as dt
from types import SimpleNamespace

import numpy as np
import pytest

from omnireco.data.clock import hour_of_week, is_zone, local_us, minute_of_day, slots, slots_by_zone, utc_offset
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError

HOUR = 3_600_000_000


def us(text):
    return int(np.datetime64(text, "us").astype(np.int64))


def zones(*names):
    return SimpleNamespace(ids=np.array(names, dtype=object))


def walls(zone, *instants):
    at = np.array([us(text) for text in instants])
    local = local_us(at, np.zeros(at.size, np.int32), zones(zone))
    return [str(t)[:16] for t in local.astype("datetime64[us]")]


def test_spring_day_skips_an_hour():
    assert walls("America/New_York", "2025-03-09T06:59", "2025-03-09T07:00") == [
        "2025-03-09T01:59",
        "2025-03-09T03:00",
    ]


def test_autumn_day_repeats_an_hour():
    assert walls("Europe/Berlin", "2025-10-26T00:30", "2025-10-26T01:30") == ["2025-10-26T02:30"] * 2


def test_southern_summer_is_the_other_way_round():
    assert walls("America/Santiago", "2025-01-15T12:00", "2025-07-15T12:00") == [
        "2025-01-15T09:00",
        "2025-07-15T08:00",
    ]


@pytest.mark.parametrize(
    ("zone", "local"),
    [
        ("Asia/Kolkata", "2025-01-01T05:30"),
        ("Asia/Kathmandu", "2025-01-01T05:45"),
        ("Australia/Lord_Howe", "2025-01-01T11:00"),
        ("Australia/Eucla", "2025-01-01T08:45"),
        ("Pacific/Kiritimati", "2025-01-01T14:00"),
        ("UTC", "2025-01-01T00:00"),
    ],
)
def test_odd_offsets(zone, local):
    assert walls(zone, "2025-01-01T00:00") == [local]


def test_lord_howe_moves_by_half_an_hour():
    assert walls("Australia/Lord_Howe", "2025-04-05T14:59", "2025-04-05T15:00", "2025-10-04T15:30") == [
        "2025-04-06T01:59",
        "2025-04-06T01:30",
        "2025-10-05T02:30",
    ]


def test_samoa_had_no_30_december_2011():
    assert walls("Pacific/Apia", "2011-12-30T09:59", "2011-12-30T10:00") == [
        "2011-12-29T23:59",
        "2011-12-31T00:00",
    ]


def test_before_1970():
    assert walls("Europe/London", "1944-06-15T12:00", "1969-12-31T23:30") == [
        "1944-06-15T14:00",  # double summer time
        "1970-01-01T00:30",  # British Standard Time all year round
    ]
    # local mean time, with seconds
    assert utc_offset(np.array([us("1850-01-01")]), np.zeros(1, int), zones("Europe/Amsterdam"))[0] > 0


def test_hour_of_week_starts_on_monday():
    monday = us("2025-06-02T00:00")
    at = monday + HOUR * np.arange(-1, 169)
    hours = hour_of_week(at, np.zeros(at.size, np.int32), zones("UTC"))
    assert hours.tolist() == [167, *range(168), 0]
    assert hours.dtype == np.int32


def test_minutes_before_1970_stay_inside_the_day():
    at = np.array([us("1969-12-31T23:59:30"), us("1960-02-29T00:00")])
    assert minute_of_day(at, np.zeros(2, np.int32), zones("UTC")).tolist() == [1439, 0]


def test_unknown_zone_fails_closed():
    at, zone = np.array([0, 0]), np.array([-1, 0])
    assert hour_of_week(at, zone, zones("UTC")).tolist() == [-1, 72]
    assert minute_of_day(at, zone, zones("UTC")).tolist() == [-1, 0]
    assert utc_offset(at, np.array([-1, -1]), zones()).tolist() == [0, 0]


def test_empty_and_grid():
    assert hour_of_week(np.zeros(0, np.int64), np.zeros(0, np.int32), zones("UTC")).shape == (0,)
    grid = hour_of_week(HOUR * np.arange(5), np.array([[0], [1], [-1]]), zones("UTC", "Asia/Tokyo"))
    assert grid.tolist() == [[72, 73, 74, 75, 76], [81, 82, 83, 84, 85], [-1] * 5]


def test_wild_instants_get_the_nearest_known_offset():
    at = np.array([np.iinfo(np.int64).min // 2, us("2025-07-01"), np.iinfo(np.int64).max // 2])
    offset = utc_offset(at, np.zeros(3, int), zones("America/New_York"))
    assert offset[1] == -4 * HOUR
    assert offset[2] == -5 * HOUR


def test_codes_outside_the_vocabulary():
    with pytest.raises(ParameterError, match=r"zone holds 2 codes outside -1..0"):
        utc_offset(np.zeros(3), np.array([0, 1, -2]), zones("UTC"))
    with pytest.raises(ParameterError, match="integer codes"):
        utc_offset(np.zeros(1), np.array([0.5]), zones("UTC"))


def test_a_fixed_offset_is_refused():
    with pytest.raises(ParameterError, match="'Etc/GMT\\+4' is not an IANA time zone"):
        utc_offset(np.zeros(1), np.zeros(1, int), zones("Etc/GMT+4"))


@pytest.mark.parametrize("name", ["America/New_York", "UTC", "Etc/UTC", "Asia/Kolkata", "US/Eastern"])
def test_zones(name):
    assert is_zone(name)


@pytest.mark.parametrize(
    "name",
    ["Etc/GMT+4", "UTC+3", "EST", "EST5EDT", "GMT", "America", "America/Argentina", "", "Mars/Olympus",
     "../etc/passwd", "/etc/localtime", "\0", None, float("nan"), 3, b"UTC"],
)  # fmt: skip
def test_not_zones(name):
    assert not is_zone(name)


def test_slots():
    week = slots("2025-06-01", days=7)
    assert len(week) == 168
    assert week.at.dtype == np.int64
    assert int(week.at[0]) == us("2025-06-01")
    assert set(np.diff(week.at)) == {HOUR} == {week.every_us}
    assert not week.at.flags.writeable
    quarter = slots(dt.datetime(2025, 6, 1, tzinfo=dt.UTC), days=1, every=dt.timedelta(minutes=15))
    assert len(quarter) == 96
    assert repr(quarter) == "Slots(96 slots, every 0.25 h, from 2025-06-01T00:00:00+00:00)"


def test_slots_refuse_nonsense():
    with pytest.raises(ParameterError, match="every must divide a day"):
        slots("2025-06-01", days=1, every="7h")
    with pytest.raises(ParameterError, match="days must be an integer of at least 1"):
        slots("2025-06-01", days=0)
    with pytest.raises(ParameterError, match="start has no time zone"):
        slots("2025-06-01T00:00", days=1)


def test_a_date_is_a_day_of_everybody_and_an_instant_is_not():
    zones = Vocabulary(np.array(["America/New_York", "Asia/Singapore", "Pacific/Kiritimati", "UTC"], object))
    at, inside = slots_by_zone(slots("2025-06-03", days=2), zones)
    for code, name in enumerate(zones.ids):
        local = local_us(at[inside[code]], np.int32(code), zones)
        assert (name, local.tolist()) == (name, slots("2025-06-03", days=2).at.tolist())
    assert (at[inside[4]] == slots("2025-06-03", days=2).at).all()  # whose zone is not known
    same, everybody = slots_by_zone(slots("2025-06-03T00:00Z", days=2), zones)
    assert (same == slots("2025-06-03", days=2).at).all()
    assert everybody.all()


def test_days_of_a_clock_change_have_23_and_25_hours():
    zones = Vocabulary(np.array(["America/New_York"], object))
    for day, hours in (("2025-03-09", 23), ("2025-11-02", 25), ("2025-06-01", 24)):
        assert slots_by_zone(slots(day, days=1), zones)[1][0].sum() == hours


@pytest.mark.parametrize(("start", "first"), [("09:17:00.000001", "10:00"), ("09:00:30", "10:00"), ("09:17", "09:17")])
def test_an_instant_that_is_no_whole_minute_is_moved_to_the_next_slot(start, first):
    found = slots(f"2025-06-01T{start}+00:00", days=1)
    assert int(found.at[0]) == us(f"2025-06-01T{first}")


@pytest.mark.parametrize("days", [10**6, 10**9, 10**30])
def test_endless_slots_are_refused_before_any_memory_is_taken(days):
    with pytest.raises(ParameterError, match="slots; at most 1,000,000"):
        slots("2025-06-01", days=days)
    with pytest.raises(ParameterError, match="at most 1,000,000"):
        slots("2025-06-01", days=1, every="1us")
    with pytest.raises(ParameterError, match="every must divide a day"):
        slots("2025-06-01", days=1, every="9999D")
    with pytest.raises(ParameterError, match="years 1 to 9999"):
        slots("9999-12-30", days=30)
