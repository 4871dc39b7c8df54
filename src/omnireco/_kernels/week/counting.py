"""Compiled passes from events to decayed sessions per person and local hour.

Events come in order of time, so everything is one walk: the last event of each person tells whether a session
begins, the clock of each zone is a number that changes twice a year, and the last message to each person tells
whether we caused the visit. Threads take stretches of time; a stretch looks back one session gap, because nothing
older can join its first events to a session.

Letters: ``user`` (n,) int32 codes and ``at`` (n,) int64 UTC microseconds of events, ascending in ``at``; ``zone``
(n_users,) int32, -1 unknown; changes of clocks ``change_at``, ``change_zone``, ``change_offset`` (k,), ascending;
``touch_user`` and ``touch_at`` (t,) of messages and responses, ascending.
"""

# mypy: ignore-errors
from __future__ import annotations

import math
from typing import Any

import numpy as np

from omnireco._core.compute import compiled
from omnireco._core.simd import prefetch
from omnireco._core.units import EPOCH_HOUR, HOUR_US
from omnireco._kernels.week.pooling import NOT_COUNTED

__all__ = ["mark", "scatter", "squeeze"]

_LN_HALF = math.log(0.5)
_LONG_AGO = np.iinfo(np.int64).min // 4
_NEVER = np.iinfo(np.int64).max
_AHEAD = 24  # events
_ZONE, _LOCAL, _LOST, _ONE = (1 << 20) - 1, 1 << 20, 1 << 21, 1 << 24


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
    found,
    counted,
    total,
):
    """Write the local hour of the week of each counted session that begins at events first..last, 255 elsewhere.

    ``own`` (n,) int16 or empty: the event's own local hour, -1 unknown, which then replaces the person's clock.
    Writes per person whether sessions with (1) and without (2) a local hour were ``found``, and how many ``counted``;
    and per hour. Returns how many sessions a message caused.

    What is known of a person lies in one place of 16 bytes, fetched some events ahead: at a million people each
    event waits for memory once.
    """
    if first >= last:
        return 0
    n_users = zone.size
    state = np.empty(2 * n_users, np.int64)  # last seen; zone + 1, then bits of what was found, then the count
    for who in range(n_users):
        state[2 * who] = _LONG_AGO
        state[2 * who + 1] = zone[who] + 1
    touched = np.full(n_users if touch_at.size else 0, _LONG_AGO)
    offset = np.zeros(n_zones + 1, np.int64)
    begin = at[first] - gap
    before = first  # events of the gap before this stretch still belong to sessions that may reach into it
    while before > 0 and at[before - 1] >= begin:
        before -= 1
    for i in range(before, first):
        state[2 * user[i]] = at[i]
    change = touch = caused = 0
    while touch < touch_at.size and touch_at[touch] < begin:
        touch += 1
    next_change = change_at[0] if change_at.size else _NEVER
    next_touch = touch_at[touch] if touch < touch_at.size else _NEVER
    for i in range(first, last):
        prefetch(state, 2 * np.int64(user[min(i + _AHEAD, last - 1)]))
        now, here = at[i], 2 * np.int64(user[i])
        while next_change <= now:
            offset[change_zone[change]] = change_offset[change]
            change += 1
            next_change = change_at[change] if change < change_at.size else _NEVER
        while next_touch <= now:
            touched[touch_user[touch]] = touch_at[touch]
            touch += 1
            next_touch = touch_at[touch] if touch < touch_at.size else _NEVER
        hour[i] = NOT_COUNTED
        starts = now - state[here] > gap
        state[here] = now
        if not starts:
            continue
        known = state[here + 1]
        clock = (known & _ZONE) - 1
        if own.size:
            local = np.int64(own[i])
        elif clock >= 0:
            local = ((now + offset[clock]) // HOUR_US + EPOCH_HOUR) % 168
        else:
            local = np.int64(-1)
        if local < 0:
            state[here + 1] = known | _LOST
            continue
        known |= _LOCAL
        if touch_at.size and now - touched[user[i]] <= gap:
            caused += 1
        else:
            hour[i] = local
            total[local] += 1
            known += _ONE
        state[here + 1] = known
    for who in range(n_users):
        found[who] = (state[2 * who + 1] >> 20) & 3
        counted[who] = state[2 * who + 1] >> 24
    return caused


def _scatter(user, at, hour, first, last, now_us, half_life, place, found_hour, found_weight):
    """Move the counted sessions of events first..last to their persons' places, with what age has left of them."""
    for i in range(first, last):
        prefetch(place, np.int64(user[min(i + _AHEAD, last - 1)]))
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
