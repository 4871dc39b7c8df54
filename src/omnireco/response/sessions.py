"""When people came by themselves: events joined into sessions, on the person's own clock.

Kernels take arrays: ``user`` int32 codes, ``at`` int64 UTC microseconds, both of shape (n,) and in order of time.
"""

from __future__ import annotations

import numpy as np

from omnireco.data.audience import Audience
from omnireco.data.clock import hour_of_week, is_zone
from omnireco.data.events import EventLog
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.vocabulary import NONE, Vocabulary

__all__ = ["caused_by_messages", "local_hours", "session_starts"]

_HOUR = 3_600_000_000
_MINUTE = 60_000_000


def session_starts(user: np.ndarray, at: np.ndarray, gap_us: int) -> np.ndarray:
    """Return the positions of session starts, by (user, time): events of one person closer than a gap count once."""
    order = np.argsort(user, kind="stable")
    who, when = user[order], at[order]
    fresh = np.ones(who.size, np.bool_)
    fresh[1:] = (who[1:] != who[:-1]) | (when[1:] - when[:-1] > gap_us)
    starts: np.ndarray = order[fresh]
    return starts


def caused_by_messages(
    user: np.ndarray, at: np.ndarray, sent: MessageLog, users: Vocabulary, gap_us: int
) -> np.ndarray:
    """Return which sessions a message caused: they start within a gap after its delivery or its answer.

    Without this a profile learns our own timetable.
    """
    code = users.codes(sent.users.ids, missing="none")[sent.user]
    answered = sent.responded_at != NEVER
    who = np.concatenate([code, code[answered]])
    when = np.concatenate([sent.sent_at, sent.responded_at[answered]])
    known = who != NONE
    who, when = who[known], when[known]
    written_to = np.zeros(len(users), np.bool_)
    written_to[who] = True
    asked = np.flatnonzero(written_to[user])
    found = np.zeros(user.size, np.bool_)
    if not asked.size:
        return found
    user, at = user[asked], at[asked]
    # one order of (user, time, messages first); each session looks back to the last message before it
    both_who, both_when = np.concatenate([who, user]), np.concatenate([when, at])
    is_session = np.r_[np.zeros(who.size, np.int8), np.ones(user.size, np.int8)]
    order = np.lexsort([is_session, both_when, both_who])
    place = np.where(is_session[order] == 0, np.arange(order.size), -1)
    last = order[np.maximum(np.maximum.accumulate(place), 0)]
    near = (place.size > 0) & (both_who[last] == both_who[order]) & (both_when[order] - both_when[last] <= gap_us)
    near &= (is_session[order] == 1) & (is_session[last] == 0)
    caused = np.zeros(order.size, np.bool_)
    caused[order] = near
    found[asked] = caused[who.size :]
    return found


def local_hours(log: EventLog, audience: Audience, rows: np.ndarray) -> np.ndarray:
    """Return the local hour of the week of some events of a log, int32; -1 where the clock is not known.

    The clock is the event's own where the log keeps one (``context=["utc_offset_min"]``, minutes east of UTC, or
    ``context=["timezone"]``, IANA names: people travel), and the person's zone in the audience otherwise.
    """
    person = audience.users.codes(log.users.ids, missing="none")
    zone_of = np.append(audience.zone, np.int32(NONE))[person]
    user, at = log.user[rows], log.at[rows]
    hours = hour_of_week(at, zone_of[user], audience.zones)
    if "timezone" in log.labels:
        names, code = log.labels["timezone"]
        valid = np.array([is_zone(name) for name in names.ids], np.bool_)
        own = np.where(np.append(valid, False)[code[rows]], code[rows], NONE).astype(np.int32)
        hours = np.where(own >= 0, hour_of_week(at, own, names), hours)
    if "utc_offset_min" in log.labels:
        offsets, code = log.labels["utc_offset_min"]
        minutes = np.array([_minutes(text) for text in offsets.ids] + [np.nan])[code[rows]]
        told = np.isfinite(minutes)
        own_hour = (at + np.where(told, minutes, 0).astype(np.int64) * _MINUTE) // _HOUR + 72
        hours = np.where(told, own_hour % 168, hours)
    return hours.astype(np.int32)


def _minutes(value: object) -> float:
    """Return an offset label as minutes east of UTC, NaN where it is not one."""
    try:
        minutes = float(str(value))
    except ValueError:
        return np.nan
    return minutes if abs(minutes) <= 18 * 60 else np.nan
