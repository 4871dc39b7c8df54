"""A message sent at one hour is read at another: kernels of the delay between them.

Letters: ``p`` (n, 168) probability of a reading session per local hour of the week; ``tau`` hours after which a
message's pull has fallen to 1/e; ``rho = exp(-1/tau)``. Reading profiles ``r`` (n, 168) are shares, rows summing to 1.
"""

from __future__ import annotations

import numpy as np

from omnireco._core.units import WEEK

__all__ = ["DEFAULT_TAU", "TAUS", "best_tau", "log_delays", "reading_after", "send_value"]

DEFAULT_TAU = 6.0
TAUS = np.array(
    [0.15, 0.25, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 12.0, 18.0, 24.0, 48.0, 96.0, 168.0, 336.0]
)
"""Times that are tried for the pull, hours."""


def send_value(p: np.ndarray, tau: float, *, life: int | None = None) -> np.ndarray:
    """Return the attention that a message sent at each hour will get, (n, 168).

    ``F_h = p_h + (1 - p_h) rho F_{h+1}`` on the circle: the message is seen in its first hour, or lies there with
    a pull of ``rho`` the hour after. Sweeping backwards from ``F_168 = 0`` gives ``F_0 = A`` and the product of the
    factors ``M``, so ``F_0 = A / (1 - M)`` closes the circle and a second sweep fills it.

    Parameters
    ----------
    p : ndarray of shape (n, 168)
    tau : float
        Hours.
    life : int, optional
        Whole hours after which the offer is gone; what lies beyond is subtracted.
    """
    p = p.T
    q = (1.0 - p) * np.exp(-1.0 / tau)
    first, product = np.zeros(p.shape[1]), np.ones(p.shape[1])
    for hour in range(WEEK - 1, -1, -1):
        first = p[hour] + q[hour] * first
        product *= q[hour]
    after = first / (1.0 - product)
    value = np.empty_like(p)
    for hour in range(WEEK - 1, -1, -1):
        after = p[hour] + q[hour] * after
        value[hour] = after
    if life is not None:
        value = value - _pull_after(q, life) * value[(np.arange(WEEK) + life) % WEEK]
    return np.asarray(value.T)


def reading_after(r: np.ndarray, tau: float) -> np.ndarray:
    """Return the pull-weighted reading in the hours after each hour, ``G_h = r_h + rho G_{h+1}``, (n, 168).

    The seven days are swept side by side: a first sweep finds what each day holds, the second fills in what is ahead.
    """
    n, rho = r.shape[0], np.exp(-1.0 / tau)
    r = np.ascontiguousarray(r.T).reshape(7, 24, n)
    ahead = np.zeros((7, n))
    for hour in range(23, -1, -1):
        ahead *= rho
        ahead += r[:, hour]
    a_day = np.exp(-24.0 / tau) ** ((np.arange(7)[None, :] - np.arange(1, 8)[:, None]) % 7)
    ahead = np.einsum("de,en->dn", a_day / -np.expm1(-WEEK / tau), ahead)  # what lies ahead of midnight
    found = np.empty_like(r)
    for hour in range(23, -1, -1):
        ahead *= rho
        ahead += r[:, hour]
        found[:, hour] = ahead
    return np.ascontiguousarray(found.reshape(WEEK, n).T)


def log_delays(r: np.ndarray, person: np.ndarray, sent: np.ndarray, delay: np.ndarray, tau: float) -> np.ndarray:
    """Return the log probability of the delays of answered messages, (m,), up to what does not depend on ``tau``.

    A response ``j`` hours after a message sent at ``h`` has the probability ``rho^j r_{h+j} / G_h``: reading habits
    explain the part of the delay that is only waiting for the person's next hour.

    Parameters
    ----------
    r : ndarray of shape (n, 168)
        Reading profiles.
    person, sent, delay : ndarrays of int, shape (m,)
        Row of ``r``, local hour of sending, whole hours until the response.
    """
    read = np.log(r[person, (sent + delay) % WEEK])
    return np.asarray(read - delay / tau - np.log(reading_after(r, tau)[person, sent]))


def best_tau(score: np.ndarray) -> float:
    """Return the pull's e-folding time, hours, with the best of the scores of `TAUS`: the top of a parabola."""
    best = int(np.argmax(score))
    if 0 < best < TAUS.size - 1:  # through three points, on the log scale
        x, y = np.log(TAUS[best - 1 : best + 2]), score[best - 1 : best + 2]
        a, b, _ = np.polyfit(x - x[1], y - y[1], 2)
        if a < 0:
            return float(np.exp(np.clip(x[1] - b / (2 * a), x[0], x[2])))
    return float(TAUS[best])


def _pull_after(q: np.ndarray, life: int) -> np.ndarray:
    """Return the product of q over the ``life`` hours from each hour on, (168, n)."""
    logs = np.log(np.maximum(q, 1e-300))
    turns, rest = divmod(life, WEEK)
    twice = np.concatenate([np.zeros((1, q.shape[1])), np.cumsum(np.concatenate([logs, logs]), axis=0)])
    start = np.arange(WEEK)
    return np.asarray(np.exp(turns * logs.sum(axis=0) + twice[start + rest] - twice[start]))
