"""When something happened on a person's own clock: the local hour of the week of events."""

from __future__ import annotations

import numpy as np

from omnireco._core.checks import check_kind
from omnireco._core.units import EPOCH_HOUR, HOUR_US, MINUTE_US, WEEK
from omnireco.data.audience import Audience
from omnireco.data.frames.zone_names import one_name_each
from omnireco.data.holidays import as_sunday, hour_of_week, on_holiday
from omnireco.data.shapes import Events
from omnireco.data.vocabulary import NONE, match

__all__ = ["local_hours", "offset_minutes"]


def local_hours(log: Events, audience: Audience, rows: np.ndarray, *, earlier_us: int = 0) -> np.ndarray:
    """Return the local hour of the week of some events of a log, int32; -1 where the clock is not known.

    The clock is the event's own where the log keeps one (``context=["utc_offset_min"]``, minutes east of UTC, or
    ``context=["timezone"]``, IANA names: people travel), and the person's zone in the audience otherwise. An event that
    carries a date only has no hour.

    Raises
    ------
    ParameterError
        When ``audience`` is none.
    """
    check_kind(audience, Audience, "audience", "Audience.from_frame(frame)")
    person = match(audience.users, log.users, ("audience", "events"))
    zone_of = np.append(audience.zone, np.int32(NONE))[person]
    user, at = log.user[rows], log.at[rows] - earlier_us
    hours = hour_of_week(at, zone_of[user], audience.zones, audience.holidays)
    if "timezone" in log.labels:
        names, own, _ = one_name_each(log.labels["timezone"][0], log.labels["timezone"][1][rows])
        hours = np.where(own >= 0, hour_of_week(at, own, names, audience.holidays), hours)
    if "utc_offset_min" in log.labels:
        offsets, code = log.labels["utc_offset_min"]
        minutes = np.array([offset_minutes(text) for text in offsets.ids] + [np.nan])[code[rows]]
        known = np.isfinite(minutes)
        local = at + np.where(known, minutes, 0).astype(np.int64) * MINUTE_US
        own_hour = (local // HOUR_US + EPOCH_HOUR) % WEEK
        if audience.holidays is not None:
            free = on_holiday(local, zone_of[user], audience.zones, audience.holidays)
            own_hour = as_sunday(own_hour, free)
        hours = np.where(known, own_hour, hours)
    return np.where(log.timed[rows], hours, NONE).astype(np.int32)


def offset_minutes(value: object) -> float:
    """Return an offset label as minutes east of UTC, NaN where it is not one."""
    try:
        minutes = float(str(value))
    except ValueError:
        return np.nan
    return minutes if abs(minutes) <= 18 * 60 else np.nan
