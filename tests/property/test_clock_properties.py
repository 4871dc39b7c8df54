"""The vectorised clock agrees with zoneinfo, one instant at a time, in every zone there is."""

import datetime as dt
import zoneinfo
from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from omnireco.data.clock import hour_of_week, is_zone, local_us, minute_of_day, utc_offset

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
NAMES = sorted(name for name in zoneinfo.available_timezones() if is_zone(name))
ZONES = SimpleNamespace(ids=np.array(NAMES, dtype=object))

zone = st.one_of(
    st.integers(0, len(NAMES) - 1),
    st.sampled_from(["Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "Asia/Gaza"]).map(NAMES.index),
)
instant = st.one_of(
    st.datetimes(dt.datetime(1850, 1, 1), dt.datetime(2150, 1, 1)),
    st.datetimes(dt.datetime(2005, 1, 1), dt.datetime(2035, 1, 1)),
)


def microseconds(naive):
    return (naive.replace(tzinfo=dt.UTC) - EPOCH) // dt.timedelta(microseconds=1)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(zone, instant), min_size=1, max_size=40))
def test_agrees_with_zoneinfo(pairs):
    at = np.array([microseconds(naive) for _, naive in pairs])
    code = np.array([code for code, _ in pairs], np.int32)
    local = [naive.replace(tzinfo=dt.UTC).astimezone(zoneinfo.ZoneInfo(NAMES[code])) for code, naive in pairs]
    assert utc_offset(at, code, ZONES).tolist() == [wall.utcoffset() // dt.timedelta(microseconds=1) for wall in local]
    assert local_us(at, code, ZONES).tolist() == [microseconds(wall.replace(tzinfo=None)) for wall in local]
    assert hour_of_week(at, code, ZONES).tolist() == [wall.weekday() * 24 + wall.hour for wall in local]
    assert minute_of_day(at, code, ZONES).tolist() == [wall.hour * 60 + wall.minute for wall in local]


def test_a_whole_year_in_many_zones():
    """2025 in all zones, hourly: nothing is skipped between two probes."""
    at = microseconds(dt.datetime(2025, 1, 1)) + 3_600_000_000 * np.arange(0, 24 * 365, 7)
    for code in range(0, len(NAMES), 23):
        info = zoneinfo.ZoneInfo(NAMES[code])
        slow = [(EPOCH + dt.timedelta(microseconds=int(t))).astimezone(info).utcoffset() for t in at]
        fast = utc_offset(at, np.full(at.size, code), ZONES)
        assert fast.tolist() == [offset // dt.timedelta(microseconds=1) for offset in slow]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(zone, instant), min_size=2, max_size=20), st.randoms())
def test_row_order_does_not_matter(pairs, random):
    at = np.array([microseconds(naive) for _, naive in pairs])
    code = np.array([code for code, _ in pairs], np.int32)
    order = list(range(len(pairs)))
    random.shuffle(order)
    assert (hour_of_week(at, code, ZONES)[order] == hour_of_week(at[order], code[order], ZONES)).all()
