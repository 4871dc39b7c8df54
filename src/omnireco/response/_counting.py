"""Compiled passes from events to decayed sessions per person and local hour.

Events come in order of time, so everything is one walk: the last event of each person tells whether a session
begins, the clock of each zone is a number that changes twice a year, and the last message to each person tells
whether we caused the visit. Threads take stretches of time; a stretch looks back one session gap, because nothing
older can join its first events to a session.

Letters: ``user`` (n,) int32 codes and ``at`` (n,) int64 UTC microseconds of events, ascending in ``at``; ``zone``
(n_users,) int32, -1 unknown; changes of clocks ``change_at``, ``change_zone``, ``change_offset`` (k,), ascending;
``touch_user`` and ``touch_at`` (t,) of messages and answers, ascending.
"""

# mypy: ignore-errors
from __future__ import annotations

import math
from typing import Any

import numpy as np

from omnireco._compute import compiled
from omnireco.response.sessions import NOT_COUNTED

__all__ = ["mark", "scatter", "squeeze"]

_HOUR = 3_600_000_000
_THURSDAY = 72
_LN_HALF = math.log(0.5)
_LONG_AGO = np.iinfo(np.int64).min // 4


def _mark(
    user,
    at,
    gap,
    first,
    last,
    zone,
    change_at,
    change_zone,
    change_offset,
    n_zones,
    own,
    touch_user,
    touch_at,
    hour,
    n_local,
    n_lost,
    n_counted,
    total,
):
    """Write the local hour of the week of each counted session that begins at events first..last, 255 elsewhere.

    ``own`` (n,) int16 or empty: the event's own local hour, -1 unknown, which then replaces the person's clock.
    Sums up per person: sessions with and without a local hour, sessions counted; and per hour. Returns how many
    sessions a message caused.
    """
    n_users = zone.size
    seen = np.full(n_users, _LONG_AGO)
    touched = np.full(n_users if touch_at.size else 0, _LONG_AGO)
    offset = np.zeros(n_zones + 1, np.int64)
    if first >= last:
        return 0
    begin = at[first] - gap
    before = first  # events of the gap before this stretch still belong to sessions that may reach into it
    while before > 0 and at[before - 1] >= begin:
        before -= 1
    for i in range(before, first):
        seen[user[i]] = at[i]
    change = touch = caused = 0
    while touch < touch_at.size and touch_at[touch] < begin:
        touch += 1
    for i in range(first, last):
        now, who = at[i], user[i]
        while change < change_at.size and change_at[change] <= now:
            offset[change_zone[change]] = change_offset[change]
            change += 1
        while touch < touch_at.size and touch_at[touch] <= now:
            touched[touch_user[touch]] = touch_at[touch]
            touch += 1
        hour[i] = NOT_COUNTED
        starts = now - seen[who] > gap
        seen[who] = now
        if not starts:
            continue
        if own.size:
            local = np.int64(own[i])
        elif zone[who] >= 0:
            local = ((now + offset[zone[who]]) // _HOUR + _THURSDAY) % 168
        else:
            local = np.int64(-1)
        if local < 0:
            n_lost[who] += 1
            continue
        n_local[who] += 1
        if touch_at.size and now - touched[who] <= gap:
            caused += 1
            continue
        hour[i] = local
        n_counted[who] += 1
        total[local] += 1
    return caused


def _scatter(user, at, hour, first, last, now_us, half_life, place, found_hour, found_weight):
    """Move the counted sessions of events first..last to their persons' places, with what age has left of them."""
    for i in range(first, last):
        if hour[i] == NOT_COUNTED:
            continue
        spot = place[user[i]]
        place[user[i]] = spot + 1
        found_hour[spot] = hour[i]
        found_weight[spot] = math.exp(_LN_HALF * ((now_us - at[i]) / half_life)) if half_life > 0 else 1.0


def _squeeze(indptr, first, last, hour, weight, size):
    """Add up the sessions of persons first..last hour by hour, in place and packed from ``indptr[first]`` on.

    Writes the number of different hours per person to ``size`` and returns where the packed cells end.
    """
    sums = np.zeros(168)
    out = indptr[first]
    for person in range(first, last):
        start, stop = indptr[person], indptr[person + 1]
        for k in range(start, stop):
            sums[hour[k]] += weight[k]
        begin = out
        if stop > start:
            for b in range(168):
                if sums[b] > 0.0:
                    hour[out] = b
                    weight[out] = sums[b]
                    out += 1
                    sums[b] = 0.0
        size[person] = out - begin
    return out


mark: Any = compiled(_mark)
scatter: Any = compiled(_scatter)
squeeze: Any = compiled(_squeeze)
