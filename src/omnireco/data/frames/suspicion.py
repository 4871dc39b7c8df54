"""Data quality checks of a log: duplicates, wrong clocks, bots, placeholder ids, returns."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from omnireco._core.checks import check_duration, check_instant, check_integer, from_microseconds, shown
from omnireco._core.units import DAY_US, HOUR_US, MINUTE_US, QUARTER_US
from omnireco.data.frames.placeholders import placeholders
from omnireco.data.frames.quality import Finding, QualityReport, all_kept, finding
from omnireco.data.shapes import Events
from omnireco.data.vocabulary import NONE
from omnireco.errors import ParameterError

__all__ = ["check_events", "fingerprint", "is_return", "late_outliers", "repeats"]

RATES = {"1min": 60, "1h": 1000, "1D": 5000}
_FEWEST_ROUND, _MOST_AT_ONCE, _MOST_ROUND = 20, 0.125, 0.05  # shares that times of people stay far below
_PAUSE_US = 2 * HOUR_US
_1971_US = 365 * DAY_US
_RETURN = re.compile(r"return|refund|chargeback|cancel", re.IGNORECASE)


def check_events(log: Events, *, at: Any, rates: Mapping[str, int] | None, sleepless: Any) -> QualityReport:
    """Return the findings of ``EventLog.check``, where they are described."""
    found = (
        _duplicates(log)
        + _clocks(log, at)
        + _round_times(log)
        + _placeholders(log)
        + _bots(log, rates, sleepless)
        + _returns(log)
    )
    return replace(all_kept("EventLog.check", len(log), found), fingerprint=fingerprint(log))


def fingerprint(log: Events) -> int:
    """Return a checksum of a log: the report of one log does not apply to another."""
    found = 0
    for codes in (log.at, log.user, log.item, log.channel, log.event):
        found = zlib.crc32(np.ascontiguousarray(codes).data, found)
    return found


def repeats(log: Events) -> np.ndarray:
    """Return a mask of the events that repeat an earlier one: by ``event_id``, else by equality in all columns."""
    again = np.zeros(len(log), np.bool_)
    code = log.labels["event_id"][1] if "event_id" in log.labels else np.full(len(log), NONE, np.int32)
    named = np.flatnonzero(code != NONE)
    again[named] = True
    again[named[np.unique(code[named], return_index=True)[1]]] = False
    rest = np.flatnonzero(code == NONE)  # equal events are neighbours in the order of a log
    if rest.size > 1:
        columns = [log.at, log.user, log.item, log.channel, log.event]
        columns += [log.value] if log.value is not None else []
        columns += [codes for _, codes in log.labels.values()]
        same = np.ones(rest.size - 1, np.bool_)
        for column in columns:
            one, other = column[rest[1:]], column[rest[:-1]]
            same &= (one == other) | ((one != one) & (other != other))  # two missing values are equal
        again[rest[1:][same]] = True
    return again


def _duplicates(log: Events) -> list[Finding]:
    by_id = "event_id" in log.labels
    what = "the event equals another in every column"
    if by_id:
        every = bool((log.labels["event_id"][1] != NONE).all())
        what = "event_id repeats that of an earlier event" + ("" if every else f"; or, without one, {what}")
    fix = "log.deduplicated() keeps one of each" + (
        "." if by_id else ", if a basket cannot hold the same line twice; an event_id column tells them apart."
    )
    return _about(log, "duplicate", "event_id" if by_id else "timestamp", np.flatnonzero(repeats(log)), what, fix)


def _clocks(log: Events, at: Any) -> list[Finding]:
    found = _about(
        log,
        "epoch",
        "timestamp",
        np.flatnonzero(log.at < _1971_US),
        "the time lies before 1971",
        "An empty field, or seconds read as milliseconds? pd.to_datetime(frame['timestamp'], unit='s', utc=True).",
    )
    if at is None:
        late = late_outliers(log.at)
        return found + _about(
            log,
            "future",
            "timestamp",
            np.arange(len(log) - late, len(log)),
            "the event lies long after all others: a clock in the future",
            "Use the server's clock instead of the device's, or leave them out: log.without(report, 'future').",
        )
    cut = check_instant(at, "at")
    return found + _about(
        log,
        "future",
        "timestamp",
        np.flatnonzero(log.at >= cut),
        f"the event lies at or after {from_microseconds(cut).isoformat()}",
        "Use the server's clock instead of the device's, or leave them out: log.before(at).",
    )


def late_outliers(at: np.ndarray) -> int:
    """Return how many of the last instants lie so long after all others that their clocks must be wrong.

    At most one in a hundred, after a pause of a sixth of all the time before it, or of 28 days where that is less, and
    of a day at least; of fewer than a hundred instants the last one, after a pause longer than all the time before it.

    Parameters
    ----------
    at : ndarray of int64, shape (n,)
        UTC microseconds, ascending.
    """
    few = at.size < 100
    most = 1 if few else at.size // 100
    if at.size < 10:
        return 0
    tail = at[at.size - most - 1 :]
    span = tail[:-1] - at[0]
    least = span if few else np.clip(span // 6, DAY_US, 28 * DAY_US)
    late = np.flatnonzero(tail[1:] - tail[:-1] > least)
    return int(most - late[0]) if late.size else 0


def _round_times(log: Events) -> list[Finding]:
    """Find times rounded to a day, an hour or a minute, and dates without an hour."""
    if not len(log):
        return []
    fix = "Join the real time of the event, or read them as dates: EventLog.from_frame(frame, timestamp='date')."
    what = "the event has a date and no hour, so hours are not learned from it"
    found = _about(log, "date only", "timestamp", np.flatnonzero(~log.timed), what, fix)
    timed = np.flatnonzero(log.timed)
    clock = log.at[timed] % DAY_US
    quarters = np.bincount(clock[clock % QUARTER_US == 0] // QUARTER_US, minlength=96)
    often = int(quarters.argmax())
    if quarters[often] >= _FEWEST_ROUND and quarters[often] > _MOST_AT_ONCE * timed.size:
        rows = timed[clock == often * QUARTER_US]
        what = (
            f"the time is exactly {often // 4:02d}:{often % 4 * 15:02d} UTC, which may be somebody's midnight, in "
            f"{rows.size / timed.size:.0%} of the events that have an hour"
        )
        found += _about(log, "midnight", "timestamp", rows, what, fix)
    hours = timed[clock % HOUR_US == 0]
    if hours.size >= _FEWEST_ROUND and hours.size > _MOST_ROUND * timed.size:
        what = f"the time is a whole hour in {hours.size / timed.size:.0%} of the events that have an hour"
        return [*found, *_about(log, "round hour", "timestamp", hours, what, fix)]
    rows = timed[log.at[timed] % MINUTE_US == 0]
    if rows.size < _FEWEST_ROUND or rows.size < timed.size / 2:
        return found
    what = f"the time is a whole minute in {rows.size / timed.size:.0%} of the events that have an hour"
    fix = "Harmless for hours; the order of events within a minute is not known."
    return [*found, *_about(log, "round minute", "timestamp", rows, what, fix)]


def _placeholders(log: Events) -> list[Finding]:
    return _about(
        log,
        "placeholder",
        "user_id",
        np.flatnonzero(placeholders(log.users.ids)[log.user]) if len(log) else np.empty(0, np.int64),
        "user_id is a placeholder (an empty or default value)",
        "Many people would become one: log.without(report, 'placeholder'), or the device's id where there is one.",
    )


def _bots(log: Events, rates: Mapping[str, int] | None, sleepless: Any) -> list[Finding]:
    rates = RATES if rates is None else rates
    if not isinstance(rates, Mapping):
        raise ParameterError(f"rates must map durations to counts, such as {{'1min': 60}}. Got {shown(rates)}.")
    order = np.lexsort([log.at, log.user])
    user, at = log.user[order], log.at[order]
    fresh = np.r_[True, (user[1:] != user[:-1]) | (at[1:] != at[:-1])][: order.size]
    user, at = user[fresh], at[fresh]  # a basket of many lines is one instant
    reasons, machine = [], np.zeros(log.n_users, np.bool_)
    for window, most in rates.items():
        limit = check_integer(most, f"rates[{shown(window)}]", low=1)
        span = check_duration(window, "rates")
        fast = (user[limit:] == user[:-limit]) & (at[limit:] - at[:-limit] < span)
        reasons.append((f"more than {limit:,} instants within {window}", np.unique(user[limit:][fast])))
    if sleepless is not None and user.size:
        reach = check_duration(sleepless, "sleepless")
        start = np.flatnonzero(np.r_[True, (user[1:] != user[:-1]) | (np.diff(at) > _PAUSE_US)])
        stop = np.r_[start[1:], user.size] - 1
        awake = at[stop] - at[start] >= reach
        reasons.append((f"active for {sleepless} without a pause of two hours", np.unique(user[start[awake]])))
    for _, people in reasons:
        machine[people] = True
    reason = "; ".join(f"{why}: {people.size:,} people" for why, people in reasons if people.size)
    return _about(
        log,
        "bot",
        "user_id",
        np.flatnonzero(machine[log.user]),
        f"no person is this active ({reason})",
        "A crawler, a monitor or a shared device: log.without(report, 'bot').",
    )


def is_return(event: str) -> bool:
    """Return whether an event is a return, refund, chargeback or cancellation, by its name."""
    return _RETURN.search(event) is not None


def _returns(log: Events) -> list[Finding]:
    names = np.array([is_return(name) for name in log.events.ids], np.bool_)
    back = np.flatnonzero(names[log.event]) if names.any() else np.empty(0, np.int64)
    found = _about(
        log,
        "return",
        "event",
        back,
        "the event is a return, refund or cancellation",
        "Give it a negative or zero weight: om.Weights(events={'return': -8}).",
    )
    if log.value is None:
        return found
    return found + _about(
        log,
        "negative",
        "value",
        np.flatnonzero(log.value < 0),
        "value is below 0",
        "A return booked as a sale? Give it its own event name, so that Weights can tell them apart.",
    )


def _about(log: Events, problem: str, column: str, rows: np.ndarray, what: str, fix: str) -> list[Finding]:
    return finding(problem, column, rows, what, fix, people=int(np.unique(log.user[rows]).size))
