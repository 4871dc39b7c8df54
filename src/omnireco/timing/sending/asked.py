"""What is asked of a model of send times: slots, hours, people, confidence and quiet hours, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from omnireco._core.checks import (
    check_array,
    check_number,
    check_time_of_day,
    shown,
)
from omnireco._core.units import WEEK
from omnireco.data.audience import Audience
from omnireco.data.clock import Slots, in_quiet_hours, local_us, slots
from omnireco.data.holidays import hour_of_week
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError, SchemaError

__all__ = [
    "allowed_slots",
    "check_instants",
    "check_rows",
    "deviations_of",
    "distinct_ids",
    "hours_by_zone",
    "slots_asked",
]

_YEAR_9999 = 253_402_300_800_000_000.0


def slots_asked(start: Any, days: int | None) -> Slots:
    """Return the slots that are given, or every hour of some days."""
    if not isinstance(start, Slots):
        if days is None:
            raise ParameterError("best: how many days? Write best(data, '2025-06-01', 7, channel='email').")
        return slots(start, days=days)
    if days is not None:
        raise ParameterError(
            "best: days is a part of the slots. Write best(data, om.slots('2025-06-01', days=7), ...)."
        )
    return start


def hours_by_zone(audience: Audience, at_us: np.ndarray) -> np.ndarray:
    """Return the local hour of slots in each zone, (n_zones + 1, n_slots); the last row, 168, is an unknown zone."""
    zones = np.arange(len(audience.zones), dtype=np.int32)
    hour = hour_of_week(at_us[None, :], zones[:, None], audience.zones, audience.holidays)
    return np.concatenate([hour, np.full((1, at_us.size), WEEK, np.int32)]).astype(np.int64)


def check_instants(value: Any, name: str) -> np.ndarray:
    """Return instants as UTC microseconds."""
    at = check_array(value, name)
    if at.dtype.kind == "M":
        at = at.astype("datetime64[us]").astype(np.int64)
    if at.ndim != 1 or (at.dtype.kind not in "iu" and at.size) or (np.abs(at.astype(np.float64)) > _YEAR_9999).any():
        raise SchemaError(
            f"{name} must be UTC microseconds, int64 of shape (n,), of years up to 9999. Got {at.dtype} {at.shape}: "
            "write om.slots('2025-03-03', days=7).at."
        )
    return at.astype(np.int64)


def check_rows(value: Any, audience: Audience) -> np.ndarray:
    """Return rows of an audience."""
    rows = check_array(value, "rows")
    if rows.ndim != 1 or (rows.dtype.kind not in "iu" and rows.size):
        raise SchemaError(
            f"rows must be rows of the audience, integers of shape (n,). Got {rows.dtype} {rows.shape}: "
            "write audience.users.codes(user_ids)."
        )
    if ((rows < 0) | (rows >= audience.n_users)).any():
        bad = int(((rows < 0) | (rows >= audience.n_users)).sum())
        raise SchemaError(
            f"rows must lie in 0 to {audience.n_users - 1:,}, the rows of the audience. {bad:,} of {rows.size:,} do "
            "not: write audience.users.codes(user_ids)."
        )
    return rows.astype(np.int64)


def deviations_of(confidence: float) -> float:
    """Return the standard deviations on each side of an interval, to two digits as in tables: 1.96 for 95 %."""
    from scipy.special import ndtri

    inside = check_number(confidence, "confidence", above=0.0, high=1.0)
    if inside == 1.0:
        raise ParameterError("confidence must lie below 1. Write confidence=0.95.")
    return round(float(ndtri(0.5 + 0.5 * inside)), 2)


def distinct_ids(ids: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct ids and the place of each row among them."""
    vocabulary = Vocabulary.from_ids(ids, "user_ids")
    return vocabulary.ids, vocabulary.codes(ids)


def allowed_slots(audience: Audience, at: np.ndarray, quiet_hours: Any) -> np.ndarray:
    """Return which slots are allowed in each zone, bool (n_zones + 1, n_slots); the last row is an unknown zone."""
    n_zones = len(audience.zones)
    allowed = np.ones((n_zones + 1, at.size), np.bool_)
    if quiet_hours is None:
        return allowed
    zone = np.arange(n_zones, dtype=np.int32)[:, None]
    if isinstance(quiet_hours, np.ndarray):
        if quiet_hours.shape != (WEEK,) or quiet_hours.dtype != np.bool_:
            raise ParameterError(
                f"quiet_hours as a mask must be bool of shape (168,). Got {quiet_hours.dtype} {quiet_hours.shape}."
            )
        allowed[:n_zones] = ~quiet_hours[hour_of_week(at[None, :], zone, audience.zones, audience.holidays)]
    else:
        start, end = _quiet_times(quiet_hours)
        allowed[:n_zones] = ~in_quiet_hours(local_us(at[None, :], zone, audience.zones), start, end)
    allowed[n_zones] = False
    return allowed


def _quiet_times(quiet_hours: Any) -> tuple[int, int]:
    """Return two local times as microseconds after midnight."""
    pair = tuple(quiet_hours) if isinstance(quiet_hours, (list, tuple)) else ()
    if len(pair) != 2:
        raise ParameterError(
            "quiet_hours must be two local times, such as ('21:00', '08:00'), or a bool mask. Got "
            f"{shown(quiet_hours)}."
        )
    start, end = check_time_of_day(pair[0], "quiet_hours: start"), check_time_of_day(pair[1], "quiet_hours: end")
    if start == end:
        raise ParameterError(f"quiet_hours must start and end at different times. Got {shown(pair[0])} twice.")
    return start, end
