"""Responses expected of messages in the local hours they live in, while their effect decays.

A message lies for a part of its first hour, for k whole hours, and for a part of its last one. What the whole hours
hold is a geometric sum on the circle, so a message costs the same however long it lives.

Arrays of messages (m,): ``row`` of a table, ``channel``, ``start`` local hour of the week of sending (a fraction),
``stop`` age in hours at which the message was read or is no longer watched, ``gain`` a factor. ``tau`` (C,) hours
after which a channel's pull has fallen to 1/e; ``base`` (C, 168) the rate of reading per hour at full pull.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from omnireco._core.units import WEEK

__all__ = ["expected_counts", "expected_until"]

_FADED = 12.0  # after 12 tau a message's pull is 6e-6


class _Lives(NamedTuple):
    """How the pull of messages is spread, (m,) each.

    The local ``hour`` of sending, the pull spent in it, how many ``whole`` hours follow, the pull with which they
    begin, and that spent in the ``last`` hour.
    """

    hour: np.ndarray
    whole: np.ndarray
    first: np.ndarray
    begun: np.ndarray
    last: np.ndarray


def _lives(start: np.ndarray, stop: np.ndarray, tau: float) -> _Lives:
    """Return how the pull of each message is spread over its hours; the integral of ``exp(-age / tau)``, over tau."""
    limit = np.minimum(stop, _FADED * tau)
    edge = 1.0 - (start - np.floor(start))  # of its first hour
    longer = limit > edge
    whole = np.where(longer, np.ceil(limit - edge) - 1.0, 0.0)
    first = -np.expm1(-np.minimum(edge, limit) / tau)
    begun = np.where(longer, np.exp(-edge / tau), 0.0)
    last = np.where(longer, np.exp(-limit / tau) * np.expm1(np.maximum(limit - edge - whole, 0.0) / tau), 0.0)
    return _Lives(start.astype(np.int64) % WEEK, whole.astype(np.int64), first, begun, last)


def expected_counts(
    row: np.ndarray,
    channel: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    gain: np.ndarray,
    tau: np.ndarray,
    base: np.ndarray,
    n: int,
) -> np.ndarray:
    """Return the readings expected in each hour, (n, 168): gain x base x the integral of ``exp(-age / tau)``."""
    out = np.zeros((n, WEEK))
    for code, fade in enumerate(tau.tolist()):
        mine = np.flatnonzero(channel == code)
        if not mine.size:
            continue
        life, weight, cell = _lives(start[mine], stop[mine], fade), gain[mine], row[mine].astype(np.int64) * WEEK
        after = life.hour + 1
        end = cell + (after + life.whole) % WEEK
        edges = _added(cell + life.hour, weight * life.first, n) + _added(end, weight * life.last, n)
        pull = -np.expm1(-1.0 / fade) * weight * life.begun
        begun = _added(cell + after % WEEK, pull, n) - _added(end, pull * np.exp(-life.whole / fade), n)
        out += base[code] * fade * (edges + np.maximum(begun @ _onwards(fade), 0.0))
    return out


def _added(cell: np.ndarray, weight: np.ndarray, n: int) -> np.ndarray:
    return np.bincount(cell, weights=weight, minlength=n * WEEK).reshape(n, WEEK)


def _onwards(tau: float) -> np.ndarray:
    """Return the pull in each hour of what begins at each, for ever, on the circle, (168, 168)."""
    age = (np.arange(WEEK)[None, :] - np.arange(WEEK)[:, None]) % WEEK
    return np.asarray((np.exp(-np.arange(WEEK) / tau) / -np.expm1(-WEEK / tau))[age])


def expected_until(start: np.ndarray, stop: np.ndarray, tau: float, base: np.ndarray) -> np.ndarray:
    """Return the readings expected of each message, (m,), by the rates ``base`` (168,)."""
    life = _lives(start, stop, tau)
    after = (life.hour + 1) % WEEK
    hour = np.arange(WEEK)
    ahead = base[(hour[:, None] + hour) % WEEK] * np.exp(-hour / tau)
    held = np.concatenate([np.zeros((WEEK, 1)), np.cumsum(ahead, axis=1)], axis=1)  # by the hours from each hour on
    turns, rest = np.divmod(life.whole, WEEK)
    passed = np.exp(-turns * WEEK / tau)
    weeks = held[after, WEEK] * -np.expm1(-turns * WEEK / tau) / -np.expm1(-WEEK / tau)
    within = -np.expm1(-1.0 / tau) * life.begun * (weeks + passed * held[after, rest])
    ends = base[life.hour] * life.first + base[(after + life.whole) % WEEK] * life.last
    return np.asarray(tau * (ends + within))
