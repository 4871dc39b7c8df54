"""Time decay of responses: habits drift.

``at`` (m,) int64 instants of sending, ``hour`` (m,) local, -1 unknown, ``answered`` (m,) bool.
"""

from __future__ import annotations

import numpy as np

from omnireco._core.units import WEEK
from omnireco._kernels.week.smoothing import FEW_WAYS, smooth_rates

__all__ = ["recency"]

_LATER = 0.75  # share of the messages that the rest are foreseen from
_SPANS = (0.5, 0.25, 0.125, 0.0625)  # half-lives that are tried, in time spans of the log
_ENOUGH = 100  # answers, before and after the cut each, to judge on
_MOST = 400_000  # messages, spread evenly over people, that are judged
_CLEARLY = 3.0  # nats by which forgetting must foresee better


def recency(at: np.ndarray, hour: np.ndarray, answered: np.ndarray) -> np.ndarray:
    """Return the weight of each message by its age, (m,) in (0, 1]; all 1 where nothing is gained by forgetting.

    The response hours of the later messages are predicted from the earlier ones, with several half-lives;
    forgetting nothing stands until one of them is clearly better.
    """
    if not at.size:
        return np.ones(0)
    age = (at.max() - at) / max(float(at.max() - at.min()), 1.0)
    half_life = _half_life(*(x[:: max(1, at.size // _MOST)] for x in (age, hour, answered)))
    return np.broadcast_to(1.0, at.size) if half_life is None else np.asarray(0.5 ** (age / half_life))


def _half_life(age: np.ndarray, hour: np.ndarray, answered: np.ndarray) -> float | None:
    """Return the half-life, in time spans of the log, that is clearly better than to forget nothing."""
    known = hour >= 0
    cut = np.quantile(age, 1.0 - _LATER)
    past, later = known & (age > cut), known & (age <= cut)
    if min(answered[past].sum(), answered[later].sum()) < _ENOUGH:
        return None
    best, span = _foreseen(np.ones(age.size), hour, answered, past, later) + _CLEARLY, None
    for half_life in _SPANS:
        found = _foreseen(0.5 ** (age / half_life), hour, answered, past, later)
        if found > best:
            best, span = found, half_life
    return span


def _foreseen(weight: np.ndarray, hour: np.ndarray, answered: np.ndarray, past: np.ndarray, later: np.ndarray) -> float:
    """Return the log likelihood of the hours of sending of the later responses, given how many there are."""
    seen, sent = (np.bincount(hour[past], weights=weight[past] * x[past], minlength=WEEK) for x in (answered, past))
    rate = np.exp(smooth_rates(seen, sent, ways=FEW_WAYS).log_rate)
    expected = np.bincount(hour[later], minlength=WEEK) * rate
    hours = np.bincount(hour[later & answered], minlength=WEEK)
    use = hours > 0
    return float(hours[use] @ np.log(expected[use] / expected.sum()))
