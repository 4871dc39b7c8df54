"""A message sent at one hour is read at another: kernels of the delay between them.

Letters: ``p`` (n, 168) chance of a reading session per local hour of the week; ``tau`` hours after which a message's
pull has fallen to 1/e; ``rho = exp(-1/tau)``. Reading profiles ``r`` (n, 168) are shares, rows summing to 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from omnireco.response.profiles import WEEK, circular_kernel

__all__ = ["DEFAULT_TAU", "fit_reading", "fit_tau", "occurrence_to_exposure", "reading_after", "send_value"]

DEFAULT_TAU = 6.0
_TAUS = np.array([1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 12.0, 18.0, 24.0, 48.0, 96.0, 168.0, 336.0])
_PRIORS = (100.0, 30.0, 10.0, 3.0, 1.0)  # answers' worth of "as the profiles say" in each hour


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
    """Return the pull-weighted reading in the hours after each hour: ``G_h = r_h + rho G_{h+1}``, (n, 168)."""
    kernel = np.exp(-np.arange(WEEK) / tau) / -np.expm1(-WEEK / tau)
    shift = (np.arange(WEEK)[None, :] - np.arange(WEEK)[:, None]) % WEEK
    return np.asarray(r @ kernel[shift].T)


def fit_tau(
    r: np.ndarray, person: np.ndarray, sent: np.ndarray, delay: np.ndarray, *, prior: float = DEFAULT_TAU
) -> float:
    """Return the pull's e-folding time, hours, under which the delays of the answered messages are most likely.

    An answer ``j`` hours after a message sent at ``h`` has the probability ``rho^j r_{h+j} / G_h``: reading habits
    explain the part of the delay that is only waiting for the person's next hour.

    Parameters
    ----------
    r : ndarray of shape (n, 168)
        Reading profiles.
    person, sent, delay : ndarrays of int, shape (m,)
        Row of ``r``, local hour of sending, whole hours until the answer.
    prior : float
        What is assumed before any answer, with the weight of a few.
    """
    score = -0.5 * (np.log(_TAUS / prior) / 1.0) ** 2
    for i, tau in enumerate(_TAUS):
        normaliser = reading_after(r, tau)[person, sent]
        score[i] += float((-delay / tau - np.log(normaliser)).sum())
    best = int(np.argmax(score))
    if 0 < best < _TAUS.size - 1:  # the top of the parabola through three points, on the log scale
        x, y = np.log(_TAUS[best - 1 : best + 2]), score[best - 1 : best + 2]
        a, b, _ = np.polyfit(x - x[1], y - y[1], 2)
        if a < 0:
            return float(np.exp(np.clip(x[1] - b / (2 * a), x[0], x[2])))
    return float(_TAUS[best])


def fit_reading(
    r: np.ndarray, member: np.ndarray, person: np.ndarray, sent: np.ndarray, answered: np.ndarray, tau: float
) -> np.ndarray:
    """Return reading relative to activity, (G, 168), as far as it foresees the answers of people left out.

    The correction is learned on half of the people and judged on the other half, both ways, for several prior
    strengths; infinite strength, no correction at all, is among them and wins when nothing else pays clearly.
    """
    n_segments = member.shape[1]
    half = person % 2 == 0
    best, strength = 1.0 + float(answered.size) * 1e-4, np.inf
    for candidate in _PRIORS:
        gain = 0.0
        for learn in (half, ~half):
            if not learn.any() or learn.all():
                continue
            ratio = occurrence_to_exposure(r, member, person[learn], sent[learn], answered[learn], tau, prior=candidate)
            gain += _answer_gain(r, member, ratio, person[~learn], sent[~learn], answered[~learn], tau)
        if gain > best:
            best, strength = gain, candidate
    if np.isinf(strength):
        return np.ones((n_segments, WEEK))
    return occurrence_to_exposure(r, member, person, sent, answered, tau, prior=strength)


def occurrence_to_exposure(
    r: np.ndarray,
    member: np.ndarray,
    person: np.ndarray,
    sent: np.ndarray,
    answered: np.ndarray,
    tau: float,
    *,
    prior: float = 1.0,
) -> np.ndarray:
    """Return how much more is read in each hour than the profiles say, by segment, (G, 168).

    Counts of answers per hour show when messages were sent as much as when they are read. Their ratio to the
    answers expected in each hour, given when each was sent and how its pull fades, does not.

    Parameters
    ----------
    r : ndarray of shape (n, 168)
    member : ndarray of shape (n, G)
        How far each person belongs to each segment.
    person, sent, answered : ndarrays of int, shape (m,)
        Row of ``r``, local hour of sending and of the answer.
    prior : float
        Answers' worth of "as the profiles say" in each hour, before any.
    """
    n_segments = member.shape[1]
    seen, expected = np.zeros((n_segments, WEEK)), np.zeros((n_segments, WEEK))
    for rows, chance in _chance_of_hours(r, person, sent, tau):
        weight = member[person[rows]]
        expected += weight.T @ chance
        for segment in range(n_segments):
            seen[segment] += np.bincount(answered[rows], weights=weight[:, segment], minlength=WEEK)
    whole = _ratio(seen.sum(axis=0), expected.sum(axis=0), prior)
    return np.stack([whole * _ratio(seen[g], expected[g] * whole, prior) for g in range(n_segments)])


def _chance_of_hours(
    r: np.ndarray, person: np.ndarray, sent: np.ndarray, tau: float
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield blocks of answers and the chance, (m, 168), that each fell into each hour of the week."""
    pull = np.exp(-((np.arange(WEEK)[None, :] - np.arange(WEEK)[:, None]) % WEEK) / tau)
    for start in range(0, person.size, 20_000):
        rows = slice(start, start + 20_000)
        chance = pull[sent[rows]] * r[person[rows]]
        yield rows, chance / chance.sum(axis=1, keepdims=True)


def _answer_gain(
    r: np.ndarray,
    member: np.ndarray,
    ratio: np.ndarray,
    person: np.ndarray,
    sent: np.ndarray,
    answered: np.ndarray,
    tau: float,
) -> float:
    """Return the nats that a reading ratio gains on the hours of some answers."""
    gain = 0.0
    for rows, chance in _chance_of_hours(r, person, sent, tau):
        factor = member[person[rows]] @ ratio
        gain += float(np.log(factor[np.arange(factor.shape[0]), answered[rows]] / (chance * factor).sum(axis=1)).sum())
    return gain


def _ratio(seen: np.ndarray, expected: np.ndarray, prior: float) -> np.ndarray:
    """Return seen over expected per hour of the week, first by hour of the day, both with a Gamma prior at 1."""
    expected = expected * (seen.sum() / max(float(expected.sum()), 1e-300))
    kernel = circular_kernel(24, 1.0)
    by_day = kernel @ seen.reshape(7, 24).sum(axis=0) + 3.0 * prior
    day = np.tile(by_day / (kernel @ expected.reshape(7, 24).sum(axis=0) + 3.0 * prior), 7)
    kernel = circular_kernel(WEEK, 1.0)
    week = (kernel @ seen + prior) / (kernel @ (expected * day) + prior)
    return np.asarray(day * week)


def _pull_after(q: np.ndarray, life: int) -> np.ndarray:
    """Return the product of q over the ``life`` hours from each hour on, (168, n)."""
    logs = np.log(np.maximum(q, 1e-300))
    turns, rest = divmod(life, WEEK)
    twice = np.concatenate([np.zeros((1, q.shape[1])), np.cumsum(np.concatenate([logs, logs]), axis=0)])
    start = np.arange(WEEK)
    return np.asarray(np.exp(turns * logs.sum(axis=0) + twice[start + rest] - twice[start]))
