"""Compiled walks of a message through the local hours it lives in, while its effect decays.

Arrays of messages (m,): ``row`` of a table, ``channel``, ``start`` local hour of the week of sending (a fraction),
``stop`` age in hours at which the message was read or is no longer watched, ``gain`` a factor. ``tau`` (C,) hours
after which a channel's pull has fallen to 1/e; ``base`` (C, 168) the rate of reading per hour at full pull.
"""

from __future__ import annotations

import numpy as np

from omnireco._core.compute import compiled

__all__ = ["add_expected", "expected_until"]

_FADED = 12.0  # after 12 tau a message's pull is 6e-6


@compiled
def add_expected(
    row: np.ndarray,
    channel: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    gain: np.ndarray,
    tau: np.ndarray,
    base: np.ndarray,
    out: np.ndarray,
) -> None:
    """Add to ``out`` (n, 168) the readings expected in each hour: gain x base x the integral of ``exp(-age / tau)``."""
    for i in range(row.size):
        code, hour = channel[i], int(start[i]) % 168
        fade = tau[code]
        step = np.exp(-1.0 / fade)
        limit = min(stop[i], _FADED * fade)
        edge = 1.0 - (start[i] - np.floor(start[i]))
        pull, after = 1.0, np.exp(-edge / fade)
        while True:
            if edge >= limit:
                out[row[i], hour] += gain[i] * base[code, hour] * fade * (pull - np.exp(-limit / fade))
                break
            out[row[i], hour] += gain[i] * base[code, hour] * fade * (pull - after)
            pull, after, edge = after, after * step, edge + 1.0
            hour = hour + 1 if hour < 167 else 0


@compiled
def expected_until(start: np.ndarray, stop: np.ndarray, tau: float, base: np.ndarray, out: np.ndarray) -> None:
    """Fill ``out`` (m,) with the readings expected of each message, by the rates ``base`` (168,)."""
    step = np.exp(-1.0 / tau)
    for i in range(start.size):
        hour = int(start[i]) % 168
        limit = min(stop[i], _FADED * tau)
        edge = 1.0 - (start[i] - np.floor(start[i]))
        pull, after, total = 1.0, np.exp(-edge / tau), 0.0
        while edge < limit:
            total += base[hour] * (pull - after)
            pull, after, edge = after, after * step, edge + 1.0
            hour = hour + 1 if hour < 167 else 0
        out[i] = tau * (total + base[hour] * (pull - np.exp(-limit / tau)))
