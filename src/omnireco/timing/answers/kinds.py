"""Hours of a kind of message (offer, service, nudge) relative to all messages of its channel."""

from __future__ import annotations

import numpy as np

from omnireco._core.units import WEEK
from omnireco._kernels.week.smoothing import smooth_rates
from omnireco.data.vocabulary import NONE

__all__ = ["hours_of_kinds"]


def hours_of_kinds(
    kind: np.ndarray, n_kinds: int, hour: np.ndarray, answered: np.ndarray, expected: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much the log rate of each kind departs from the channel's at each hour of sending, and how well.

    Parameters
    ----------
    kind : ndarray of int, shape (m,)
        -1 where it is not known.
    hour : ndarray of int, shape (m,)
        Local hour of sending, -1 unknown.
    answered, expected, weight : ndarray of shape (m,)
        Whether there was a response, and the responses that the model of the channel expected.

    Returns
    -------
    (ndarray, ndarray)
        Mean and standard deviation, (n_kinds, 169) each; the last is without timing. Both are 0 for the only kind.

    Notes
    -----
    The departure is smooth over the hours, and 0 before the data: a kind with few messages has the channel's hours.
    """
    more, sd = np.zeros((n_kinds, WEEK + 1)), np.zeros((n_kinds, WEEK + 1))
    if (kind != NONE).all() and np.unique(kind).size < 2:
        return more, sd
    until = expected * (1.0 - 0.5 * answered)
    for k in range(n_kinds):
        mine = np.flatnonzero(kind == k)
        known = mine[hour[mine] >= 0]
        seen, at_risk = (
            np.bincount(hour[known], weights=weight[known] * x[known], minlength=WEEK) for x in (answered, until)
        )
        mean, variance = smooth_rates(seen, at_risk).moments()
        level = np.log((1.0 + weight[mine] @ answered[mine]) / (1.0 + weight[mine] @ until[mine]))
        more[k], sd[k] = np.append(mean, level), np.sqrt(np.append(variance, variance.min()))
    return more, sd
