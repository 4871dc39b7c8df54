"""Kernels of the hour-of-week profile: smoothing on the circle, segments, and pooling from coarse to fine.

Letters: ``counts`` C (m, 168) decayed sessions per local hour of the week, Monday 00:00 first; ``n`` (m,) their
sums; ``theta`` (168,) the population's profile; G segments with profiles ``phi`` (G, 168) and shares ``pi`` (G,).
All float64. Everything commutes with a rotation of the week: no hour or day is special except through data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from omnireco._core.parts import Parts, numbers, probabilities
from omnireco._core.small import Each, Number
from omnireco._core.units import WEEK

__all__ = [
    "DEFAULT",
    "EVEN",
    "EVIDENCE",
    "NOT_COUNTED",
    "PART_HOURS",
    "Base",
    "Pooling",
    "base_profiles",
    "circular_kernel",
    "day_kernel",
    "fit_segments",
    "given_segments",
    "half_strength",
    "memberships",
    "part_kernel",
    "pool",
    "population_profile",
]

NOT_COUNTED = 255  # the hour of an event that is not counted

EVEN = 0.02  # share of an even week in what people read, against hours in which hardly anybody is active
PART_HOURS = 18.0  # how far one session speaks for the part of the week around it
_UNIFORM = 24.0  # sessions' worth of "any hour" in the population
EVIDENCE = 30.0  # sessions after which more of them no longer sharpen a person's segment much
_PEOPLE_FOR_WIDTH = 400  # enough to choose one of seven widths
_SEGMENT_PRIOR = 50.0  # sessions' worth of population in each segment


@dataclass(frozen=True, slots=True)
class Pooling:
    """How strongly a profile is pooled, level by level, and how wide one session is.

    Attributes
    ----------
    strengths : tuple of 4 floats
        Sessions after which a level counts as much as the coarser one below it: the person's segment; the part
        of the week; the hour of the day (any day); the hour of the week.
    hour_width, day_width : float
        Standard deviation, in hours, of the kernels of the hour of the week and of the hour of the day.
    """

    strengths: tuple[float, float, float, float]
    hour_width: float
    day_width: float

    parts: ClassVar[Parts] = {
        "strengths": Each(Number(low=0.0, endless=True)),
        "hour_width": Number(0.01, 1e3),
        "day_width": Number(0.01, 1e3),
    }

    def with_half_strength(self, sessions: float) -> Pooling:
        """Return the same pooling, the person's levels scaled so that ``sessions`` of history weigh one half."""
        factor = sessions / half_strength(self)
        segment, part, day, hour = self.strengths
        return Pooling((segment, part * factor, day * factor, hour * factor), self.hour_width, self.day_width)


DEFAULT = Pooling((5.0, 35.0, 20.0, 200.0), 1.0, 1.0)
"""What is assumed before any data: the strengths found on commits and on purchases, rounded."""


@dataclass(frozen=True, slots=True)
class Base:
    """The profiles that nobody owns: the population's and the segments'.

    Attributes
    ----------
    theta : ndarray of shape (168,)
    phi : ndarray of shape (G, 168)
    pi : ndarray of shape (G,)
    """

    theta: np.ndarray
    phi: np.ndarray
    pi: np.ndarray

    parts: ClassVar[Parts] = {
        "theta": numbers(168, low=0.0),
        "phi": numbers("segments", 168, low=0.0),
        "pi": probabilities("segments"),
    }


def circular_kernel(size: int, width: float) -> np.ndarray:
    """Return the (size, size) wrapped Gaussian kernel; rows sum to 1, width 0 is the identity."""
    away = np.abs(np.arange(size)[:, None] - np.arange(size)[None, :])
    away = np.minimum(away, size - away)
    kernel = np.exp(-0.5 * (away / width) ** 2) if width > 0 else np.eye(size)
    return np.asarray(kernel / kernel.sum(axis=1, keepdims=True))


def day_kernel(theta: np.ndarray, width: float) -> np.ndarray:
    """Return the (24, 168) kernel from an hour of the day to the week: near hours, on days as the population's."""
    week = theta.reshape(7, 24)
    share_of_day = week / week.sum(axis=0)
    return np.asarray((circular_kernel(24, width)[:, None, :] * share_of_day[None]).reshape(24, WEEK))


def part_kernel(theta: np.ndarray, width: float = PART_HOURS) -> np.ndarray:
    """Return the (168, 168) kernel from an hour to the part of the week around it, filled as the population does."""
    kernel = circular_kernel(WEEK, width) * theta[None, :]
    return np.asarray(kernel / kernel.sum(axis=1, keepdims=True))


def population_profile(counts: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return the population's profile: pooled sessions, smoothed with the width that predicts people left out.

    Parameters
    ----------
    counts : ndarray of shape (m, 168)
        Sessions of a sample of people: they choose the width.
    total : ndarray of shape (168,)
        Sessions of everybody: they are smoothed.
    """
    best, width = -np.inf, 1.0
    counts = counts[counts.any(axis=1)][:_PEOPLE_FOR_WIDTH]
    if counts.shape[0] > 1:
        rest = counts.sum(axis=0)[None, :] - counts
        for candidate in (0.0, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0):
            found = float((counts * np.log(_filled(rest, candidate))).sum())
            if found > best + 1e-9 * max(1.0, abs(found)):
                best, width = found, candidate
    return np.asarray(_filled(total[None, :], width)[0])


def fit_segments(counts: np.ndarray, theta: np.ndarray, n_segments: int, *, most_steps: int = 50) -> Base:
    """Find segments of people by EM of a mixture; the start is the most different people, so no draw is needed.

    Each person counts with the square root of their sessions (bursts are not independent), and each segment holds
    50 sessions' worth of the population.
    """
    people = counts[counts.sum(axis=1) > 0]
    if n_segments <= 1 or people.shape[0] < 2:
        return Base(theta, theta[None, :].copy(), np.ones(1))
    smooth = people @ circular_kernel(WEEK, 0.75)
    n = people.sum(axis=1, keepdims=True)
    phi = _most_different((EVIDENCE * theta + smooth) / (EVIDENCE + n), theta, n_segments)
    pi = np.full(len(phi), 1.0 / len(phi))
    smoothed = smooth / np.sqrt(np.maximum(n, 1.0))
    before = np.zeros((people.shape[0], len(phi)))
    for _ in range(most_steps):
        member = memberships(people, Base(theta, phi, pi))
        phi = _SEGMENT_PRIOR * theta + member.T @ smoothed
        phi /= phi.sum(axis=1, keepdims=True)
        pi = (member.sum(axis=0) + 1.0) / (people.shape[0] + len(phi))
        if np.abs(member - before).max() < 1e-3:
            break
        before = member
    return Base(theta, phi, pi)


def given_segments(counts: np.ndarray, theta: np.ndarray, segment: np.ndarray, n_segments: int) -> Base:
    """Return the profiles of segments that somebody named, (m,) codes of people, -1 unknown; as in `fit_segments`."""
    given = np.flatnonzero((segment >= 0) & (counts.sum(axis=1) > 0))
    smoothed = counts[given] @ circular_kernel(WEEK, 0.75)
    smoothed /= np.sqrt(np.maximum(smoothed.sum(axis=1, keepdims=True), 1.0))
    phi = np.tile(_SEGMENT_PRIOR * theta, (n_segments, 1))
    np.add.at(phi, segment[given], smoothed)
    pi = np.bincount(segment[segment >= 0], minlength=n_segments) + 1.0
    return Base(theta, phi / phi.sum(axis=1, keepdims=True), pi / pi.sum())


def memberships(counts: np.ndarray, base: Base, prior: np.ndarray | None = None) -> np.ndarray:
    """Return how probable each segment is for each person, (m, G); bursty evidence saturates.

    ``prior`` (m, G) says what is known of each before any session; None: the shares of the segments.
    """
    n = counts.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        before = np.log(base.pi if prior is None else prior)
    score = (counts @ np.log(base.phi).T) * (EVIDENCE / (EVIDENCE + n)) + before
    score -= score.max(axis=1, keepdims=True)
    member = np.exp(score)
    return np.asarray(member / member.sum(axis=1, keepdims=True))


def base_profiles(counts: np.ndarray, base: Base) -> np.ndarray:
    """Return the profile of each person's segments, (m, 168)."""
    return np.asarray(memberships(counts, base) @ base.phi)


def pool(counts: np.ndarray, base: Base, pooling: Pooling) -> np.ndarray:
    """Return each person's profile, (m, 168), rows summing to 1: population, segment, part, hour of day, hour.

    Each level is the mean of a Dirichlet whose prior is the level before:
    ``p <- (k p + counts @ kernel) / (k + n)``. No history gives the population exactly.
    """
    n = counts.sum(axis=1, keepdims=True)
    k_segment, k_part, k_day, k_hour = pooling.strengths
    by_hour_of_day = counts.reshape(-1, 7, 24).sum(axis=1)
    p = _level(base.theta[None, :], n * base_profiles(counts, base), n, k_segment)
    p = _level(p, counts @ part_kernel(base.theta), n, k_part)
    p = _level(p, by_hour_of_day @ day_kernel(base.theta, pooling.day_width), n, k_day)
    p = _level(p, counts @ circular_kernel(WEEK, pooling.hour_width), n, k_hour)
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def half_strength(pooling: Pooling) -> float:
    """Return how many sessions make half of a profile the person's own rather than that of their segment."""
    strengths = np.array(pooling.strengths[1:])
    if not np.isfinite(strengths).any():
        return float("inf")
    low, high = -9.0, 40.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if np.log1p(np.exp(middle) / strengths).sum() < np.log(2.0) else (low, middle)
    return float(np.exp(high))


def _level(prior: np.ndarray, evidence: np.ndarray, n: np.ndarray, strength: float) -> np.ndarray:
    """Return the posterior mean of one level; infinite strength is the prior."""
    if not np.isfinite(strength):
        return np.broadcast_to(prior, evidence.shape)
    return np.asarray((strength * prior + evidence) / (strength + n))


def _filled(counts: np.ndarray, width: float) -> np.ndarray:
    """Return smoothed shares with a little of every hour."""
    filled = counts @ circular_kernel(WEEK, width) + _UNIFORM / WEEK
    return np.asarray(filled / filled.sum(axis=1, keepdims=True))


def _most_different(profiles: np.ndarray, theta: np.ndarray, n_segments: int) -> np.ndarray:
    """Return up to ``n_segments`` profiles: the farthest from the population, then the farthest from all chosen."""
    log_profiles = np.log(profiles)
    entropy = (profiles * log_profiles).sum(axis=1)
    distance = entropy - profiles @ np.log(theta)
    chosen: list[int] = []
    for _ in range(n_segments):
        farthest = int(np.argmax(distance))
        if distance[farthest] <= 1e-12:
            break
        chosen.append(farthest)
        distance = np.minimum(distance, entropy - profiles @ log_profiles[farthest])
    return profiles[chosen] if chosen else theta[None, :].copy()
