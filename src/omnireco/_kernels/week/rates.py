"""Kernels of the reading clock: rates of answering per hour at risk, fitted and bent from coarse to fine.

Letters: ``A`` (n, 168) answers seen and ``E`` (n, 168) answers expected per person and local hour of the week, given
when each message was sent and its effect decay; ``F`` (n, 168) a person's factor on the population's rate, 1 on
average.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from omnireco._core.parts import Parts, coded, flags, instants, numbers, probabilities
from omnireco._core.small import Each, Number
from omnireco._core.units import WEEK
from omnireco._kernels.week import hazard
from omnireco._kernels.week.delay import DEFAULT_TAU
from omnireco._kernels.week.pooling import circular_kernel

__all__ = [
    "Habits",
    "Spells",
    "appetites",
    "expected_counts",
    "fit_base",
    "fit_habits",
    "fit_open_weight",
    "habit_curves",
    "seen_counts",
]

_APPETITES = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 100.0, 1e4)
_STRENGTHS = (2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 300.0, 1e4)
_TILTS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_WEIGHTS = (0.3, 0.0, 0.1, 1.0)  # what an open is worth next to a click; the first is taken when in doubt
_CLICKS_TO_JUDGE = 100
_EVIDENCE = 30.0  # answers after which more of them no longer sharpen a person's segment much
_CUT = 0.6
LONGEST_HOURS = 24 * 366 * 10_000
"""No message is watched longer: the years that a time can lie in."""

_FLAT = np.ones((1, WEEK))


@dataclass(frozen=True, slots=True)
class Spells:
    """Messages while they lie unread: one row each.

    Attributes
    ----------
    row, channel : ndarray of int32, shape (m,)
    start : ndarray of float64
        Local hour of the week of sending.
    stop : ndarray of float64
        Age, hours, at which it was answered or is no longer watched.
    at : ndarray of int64
        When it was sent, UTC microseconds.
    human : ndarray of float64
        Probability that a person answered at ``stop``; 0 where nobody did.
    click : ndarray of bool
    weight : ndarray of float64
        What the response counts.
    """

    row: np.ndarray
    channel: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    at: np.ndarray
    human: np.ndarray
    click: np.ndarray
    weight: np.ndarray

    parts: ClassVar[Parts] = {
        "row": coded("users", "messages"),
        "channel": coded("channels", "messages"),
        "start": numbers("messages", low=0.0, high=168),
        "stop": numbers("messages", low=0.0, high=LONGEST_HOURS),
        "at": instants("messages"),
        "human": probabilities("messages"),
        "click": flags("messages"),
        "weight": numbers("messages", low=0.0),
    }

    @property
    def hour(self) -> np.ndarray:
        """The local hour of the week in which each was answered or last watched."""
        return np.asarray((self.start + self.stop).astype(np.int64) % WEEK)

    def of(self, rows: np.ndarray) -> Spells:
        """Return some of them."""
        names = ("row", "channel", "start", "stop", "at", "human", "click", "weight")
        return Spells(*(getattr(self, name)[rows] for name in names))

    def weighed(self, open_weight: float) -> Spells:
        """Return the same with opens that count ``open_weight`` of a click; 1 where there are no clicks."""
        factor = np.where(self.click, 1.0, open_weight) if self.click.any() else 1.0
        return replace(self, weight=np.asarray(self.human * factor))

    def until(self, at_us: float) -> Spells:
        """Return what was known at an instant."""
        part = self.of(np.flatnonzero(self.at < at_us))
        age = (at_us - part.at) / 3.6e9
        seen = part.stop < age
        return replace(
            part,
            stop=np.minimum(part.stop, age),
            human=part.human * seen,
            click=part.click & seen,
            weight=part.weight * seen,
        )


@dataclass(frozen=True, slots=True)
class Habits:
    """How the curves of people are bent away from the population's.

    Attributes
    ----------
    phi : ndarray of shape (G, 168)
        Factors of the segments.
    pi : ndarray of shape (G,)
    tilt : float
        Share of a curve that follows the ratio of the person's activity to the population's.
    strengths : tuple of 3 floats
        Answers after which the part of the week, the hour of the day and the hour of the week count half.
    appetite : ndarray of shape (C,)
        Answers after which half of how much somebody answers on a channel is their own.
    """

    phi: np.ndarray
    pi: np.ndarray
    tilt: float
    strengths: tuple[float, float, float]
    appetite: np.ndarray

    parts: ClassVar[Parts] = {
        "phi": numbers("kinds", 168, low=0.0),
        "pi": probabilities("kinds"),
        "tilt": Number(),
        "strengths": Each(Number(low=0.0, endless=True)),
        "appetite": numbers("channels", low=0.0, endless=True),
    }


def seen_counts(spells: Spells, n: int) -> np.ndarray:
    """Return A (n, 168)."""
    cell = spells.row.astype(np.int64) * WEEK + spells.hour
    return np.bincount(cell, weights=spells.weight, minlength=n * WEEK).reshape(n, WEEK)


def expected_counts(
    spells: Spells, n: int, tau: np.ndarray, base: np.ndarray, gain: np.ndarray | None = None
) -> np.ndarray:
    """Return E (n, 168); ``gain`` (m,) is a factor per message."""
    gain = np.ones(spells.row.size) if gain is None else gain
    return hazard.expected_counts(spells.row, spells.channel, spells.start, spells.stop, gain, tau, base, n)


def appetites(spells: Spells, n: int, tau: np.ndarray, base: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Return how much more than expected each person responds per channel, shrunk to 1, (n, C)."""
    found = np.ones((n, tau.size))
    for code in range(tau.size):
        mine = np.flatnonzero(spells.channel == code)
        expected = hazard.expected_until(spells.start[mine], spells.stop[mine], float(tau[code]), base[code])
        e = np.bincount(spells.row[mine], weights=expected, minlength=n)
        a = np.bincount(spells.row[mine], weights=spells.weight[mine], minlength=n)
        found[:, code] = (strength[code] + a) / (strength[code] + e)
    return found


def fit_base(
    spells: Spells, n: int, n_channels: int, shape: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return per channel ``tau``, the population's rates (C, 168) at full pull, and the strength of appetites (C,).

    ``shape`` (168,) is what the population does on its own, where that is known: rates start from it.
    """
    tau, base = np.full(n_channels, DEFAULT_TAU), np.empty((n_channels, WEEK))
    strength = np.full(n_channels, 10.0)
    for code in range(n_channels):
        mine = spells.of(np.flatnonzero(spells.channel == code))
        if mine.weight.sum() > 0:
            tau[code], base[code], strength[code] = _fit_channel(mine, n, shape)
        else:  # nothing to learn from: as if one answer had been seen in all the time watched
            hours = expected_counts(replace(mine, row=np.zeros_like(mine.row), channel=np.zeros_like(mine.channel)),
                                    1, tau[code : code + 1], _FLAT)  # fmt: skip
            base[code] = 1.0 / max(float(hours.sum()), 20.0)
    return tau, base, strength


def _fit_channel(spells: Spells, n: int, shape: np.ndarray | None) -> tuple[float, np.ndarray, float]:
    """Fit one channel by maximum likelihood, a Gamma factor per person integrated out."""
    from scipy.optimize import minimize_scalar

    spells = replace(spells, channel=np.zeros_like(spells.channel))
    everybody = replace(spells, row=np.zeros_like(spells.row))
    seen = seen_counts(everybody, 1)[0]
    answers = np.bincount(spells.row, weights=spells.weight, minlength=n)
    at, ages = spells.hour, float(spells.weight @ spells.stop)

    def rates(tau: float, gain: np.ndarray | None = None) -> np.ndarray:
        hours = expected_counts(everybody, 1, np.array([tau]), _FLAT, gain)[0]
        return _population_rate(seen, hours, shape)

    def people(tau: float, base: np.ndarray) -> np.ndarray:
        expected = hazard.expected_until(spells.start, spells.stop, tau, base)
        return np.bincount(spells.row, weights=expected, minlength=n)

    def loss(log_tau: float) -> float:
        tau = float(np.exp(log_tau))
        base = rates(tau)
        score = max(_frailty(answers, people(tau, base)))
        score += float(spells.weight @ np.log(base[at])) - ages / tau
        return -score + 0.5 * (log_tau - np.log(DEFAULT_TAU)) ** 2

    best = minimize_scalar(loss, bounds=(np.log(0.25), np.log(336.0)), method="bounded", options={"xatol": 0.02})
    tau = float(np.exp(best.x))
    base, strength = rates(tau), 10.0
    for _ in range(2):
        e = people(tau, base)
        strength = _APPETITES[int(np.argmax(_frailty(answers, e)))]
        base = rates(tau, ((strength + answers) / (strength + e))[spells.row])
    return tau, base, strength


def _frailty(a: np.ndarray, e: np.ndarray) -> list[float]:
    """Return the log evidence of a Gamma(k, k) factor per person, for each k of `_APPETITES`."""
    from scipy.special import gammaln

    a, e = a[e > 0], e[e > 0]
    return [float((gammaln(k + a) - gammaln(k) + k * np.log(k) - (k + a) * np.log(k + e)).sum()) for k in _APPETITES]


def _population_rate(seen: np.ndarray, hours: np.ndarray, shape: np.ndarray | None) -> np.ndarray:
    """Return responses per hour at risk, (168,): the mean, then by hour of the day, then by hour of the week."""
    shape, prior = (np.ones(WEEK), 1.0) if shape is None else (shape, 10.0)
    rate = shape * (float(seen.sum()) / max(float(shape @ hours), 1e-300))
    kernel = circular_kernel(24, 0.7)
    day_seen = kernel @ seen.reshape(7, 24).sum(axis=0)
    rate *= np.tile((prior + day_seen) / (prior + kernel @ (rate * hours).reshape(7, 24).sum(axis=0)), 7)
    kernel = circular_kernel(WEEK, 1.0)
    rate *= (3.0 * prior + kernel @ seen) / (3.0 * prior + kernel @ (rate * hours))
    return rate


def habit_curves(
    seen: np.ndarray, expected: np.ndarray, habits: Habits, tilt: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return F (n, 168) and its relative variance: each level is the mean of a Gamma factor on the one before."""
    curve = _memberships(seen, expected, habits.phi, habits.pi) @ habits.phi
    if tilt is not None and habits.tilt:
        curve = (1.0 - habits.tilt) * curve + habits.tilt * tilt
    curve = _level_kept(curve, expected)
    variance = np.zeros_like(curve)
    part, day, hour = habits.strengths
    for strength, kernel, by_day in (
        (part, _peak_one(WEEK, 18.0), False),
        (day, _peak_one(24, 1.5), True),
        (hour, _peak_one(WEEK, 1.0), False),
    ):
        a, e = seen, curve * expected
        if by_day:
            a, e = (x.reshape(-1, 7, 24).sum(axis=1) for x in (a, e))
        near = strength + a @ kernel
        ratio = near / (strength + e @ kernel)
        curve = _level_kept(curve * (np.tile(ratio, 7) if by_day else ratio), expected)
        variance += np.tile(1.0 / near, 7) if by_day else 1.0 / near
    return curve, variance


def _peak_one(size: int, width: float) -> np.ndarray:
    """Return a circular kernel in which a response counts 1 in its own hour."""
    kernel = circular_kernel(size, width)
    return np.asarray(kernel / kernel[0, 0])


def _level_kept(curve: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return curves scaled so that they expect as many responses as before: a habit says when, not how much."""
    total = expected.sum(axis=1)
    weight = np.where(total[:, None] > 0, expected, 1.0)
    return np.asarray(curve * (weight.sum(axis=1) / (curve * weight).sum(axis=1))[:, None])


def _memberships(seen: np.ndarray, expected: np.ndarray, phi: np.ndarray, pi: np.ndarray) -> np.ndarray:
    """Return how probable each segment is for each person, (n, G); evidence saturates."""
    n = seen.sum(axis=1, keepdims=True)
    score = (seen @ np.log(phi).T - expected @ phi.T) * (_EVIDENCE / (_EVIDENCE + n)) + np.log(pi)
    score -= score.max(axis=1, keepdims=True)
    member = np.exp(score)
    return np.asarray(member / member.sum(axis=1, keepdims=True))


def _fit_segments(seen: np.ndarray, expected: np.ndarray, n_segments: int) -> tuple[np.ndarray, np.ndarray]:
    """Return segments (phi, pi) by EM of a Poisson mixture, started from the most different people."""
    use = seen.sum(axis=1) > 0
    seen, expected = seen[use], expected[use]
    if n_segments <= 1 or seen.shape[0] < 2 * n_segments:
        return _FLAT.copy(), np.ones(1)
    near = circular_kernel(WEEK, 1.5)
    smooth = (1.0 + 5.0 * seen @ near) / (1.0 + 5.0 * expected @ near)
    log_smooth = np.log(smooth / smooth.mean(axis=1, keepdims=True))
    chosen = [int(np.argmax((log_smooth**2).sum(axis=1)))]
    distance = np.full(seen.shape[0], np.inf)
    while len(chosen) < n_segments:
        distance = np.minimum(distance, ((log_smooth - log_smooth[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(np.argmax(distance)))
    phi, pi = np.exp(log_smooth[chosen]), np.full(n_segments, 1.0 / n_segments)
    kernel, before = circular_kernel(WEEK, 0.75), np.zeros((seen.shape[0], n_segments))
    for _ in range(60):
        member = _memberships(seen, expected, phi, pi)
        phi = (3.0 + member.T @ seen @ kernel) / (3.0 + member.T @ expected @ kernel)
        pi = (member.sum(axis=0) + 1.0) / (seen.shape[0] + n_segments)
        if np.abs(member - before).max() < 1e-3:
            break
        before = member
    return phi, pi


def fit_habits(
    spells: Spells,
    n: int,
    tau: np.ndarray,
    base: np.ndarray,
    appetite: np.ndarray,
    n_segments: int,
    tilt: np.ndarray | None,
) -> Habits:
    """Return the habits whose curves, learned on earlier messages, predict the hours of later responses best."""
    strengths = (30.0, 10.0, 50.0)
    past, seen, expected = _split(spells, n, tau, base, appetite)
    flat = Habits(_FLAT.copy(), np.ones(1), 0.0, strengths, appetite)
    if seen.sum() < 30.0 or past[0].sum() < 30.0:
        return flat
    segments = {g: _fit_segments(*past, g) for g in dict.fromkeys((1, n_segments))}

    def score(habits: Habits) -> float:
        curve = habit_curves(*past, habits, tilt)[0]
        away = np.log(np.array(habits.strengths) / np.array(strengths))
        return hour_likelihood(curve, seen, expected) - 0.5 * float(away @ away) / 2.25

    best = flat
    found = score(best)
    for _ in range(2):
        options = [replace(best, phi=phi, pi=pi) for phi, pi in segments.values()]
        options += [replace(best, tilt=tilt_) for tilt_ in (_TILTS if tilt is not None else ())]
        best, found = _better(best, found, options, score)
        for level in range(3):
            options = [_with_strength(best, level, k) for k in _STRENGTHS]
            best, found = _better(best, found, options, score)
    if len(best.pi) > 1:
        everything = _counts(spells, n, tau, base, appetite)
        phi, pi = _fit_segments(*everything, n_segments)
        best = replace(best, phi=phi, pi=pi)
    return best


def _with_strength(habits: Habits, level: int, strength: float) -> Habits:
    part, day, hour = (strength if i == level else k for i, k in enumerate(habits.strengths))
    return replace(habits, strengths=(part, day, hour))


def _better(best: Habits, found: float, options: list[Habits], score: object) -> tuple[Habits, float]:
    """Return the best of some options and its score; the one that stands when none is better."""
    for option in options:
        got = score(option)  # type: ignore[operator]
        if got > found + 1e-9:
            best, found = option, got
    return best, found


def hour_likelihood(curve: np.ndarray, seen: np.ndarray, expected: np.ndarray) -> float:
    """Return the log likelihood of the hours of responses, given how many each person gave."""
    total = (curve * expected).sum(axis=1)
    use = total > 0
    return float((seen * np.log(curve)).sum() - seen.sum(axis=1)[use] @ np.log(total[use]))


def _counts(
    spells: Spells, n: int, tau: np.ndarray, base: np.ndarray, strength: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return A and E, each person's appetite per channel taken out."""
    gain = appetites(spells, n, tau, base, strength)[spells.row, spells.channel]
    return seen_counts(spells, n), expected_counts(spells, n, tau, base, gain)


def _split(
    spells: Spells, n: int, tau: np.ndarray, base: np.ndarray, strength: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
    """Return (A, E) of the earlier messages as they stood then, and A and E of the later ones."""
    if not spells.at.size:
        return (np.zeros((n, WEEK)), np.zeros((n, WEEK))), np.zeros((n, WEEK)), np.zeros((n, WEEK))
    cut = float(np.quantile(spells.at, _CUT))
    later = spells.of(np.flatnonzero(spells.at >= cut))
    return (
        _counts(spells.until(cut), n, tau, base, strength),
        seen_counts(later, n),
        expected_counts(later, n, tau, base),
    )


def fit_open_weight(spells: Spells, n: int, n_channels: int) -> float:
    """Return the weight of an open relative to a click: that whose curves predict later clicks best."""
    if not spells.click.any():
        return 1.0
    cut = float(np.quantile(spells.at, _CUT))
    later = spells.of(np.flatnonzero(spells.at >= cut))
    clicks = replace(later, weight=np.where(later.click, later.human, 0.0))
    if clicks.weight.sum() < _CLICKS_TO_JUDGE:
        return _WEIGHTS[0]
    seen, found = seen_counts(clicks, n), []
    for weight in _WEIGHTS:
        past = spells.until(cut).weighed(weight)
        tau, base, strength = fit_base(past, n, n_channels)
        habits = Habits(_FLAT.copy(), np.ones(1), 0.0, (30.0, 10.0, 50.0), strength)
        a, e = _counts(past, n, tau, base, strength)
        curve = habit_curves(a, e, habits, None)[0]
        found.append(hour_likelihood(curve, seen, expected_counts(later, n, tau, base)))
    best = int(np.argmax(found))
    return _WEIGHTS[best] if found[best] > found[0] + 2.0 else _WEIGHTS[0]  # two nats: no wavering
