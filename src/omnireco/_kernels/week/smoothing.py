"""Rates per hour of the week from counts and times at risk: a smooth curve on the circle, and how well it is known.

``seen`` A (168,) responses in each hour; ``expected`` E (168,) how much lay at risk there; A_b is Poisson with the mean
E_b exp(eta_b). The log rate eta is a level, a share of a given ``shape`` and two smooth functions, of the hour of the
day and of the hour of the week. Everything commutes with a rotation of the week.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from omnireco._core.units import WEEK
from omnireco._kernels.week.pooling import circular_kernel

__all__ = ["FEW_WAYS", "WAYS", "Smooth", "smooth_rates"]

_SHARES = ((1.0, 0.5), (0.5, 0.3), (0.0, 0.2))  # of the given shape, and how probable each is before any answer
WAYS = tuple(itertools.product((1.0, 2.5), (0.05, 0.3, 0.7, 1.4), (0.03, 0.25)))
FEW_WAYS = tuple(itertools.product((1.5,), (0.05, 0.4, 1.4), (0.0,)))
_WEEK_WIDTH = 2.0
_LEVEL_SD = 1.0
_LEAST_WEIGHT = 1e-3
_PROBABLE = 0.02  # options that a curve like this one is fitted with
_LEAST_AT_RISK = 1e-9  # of the hour most at risk: a pull that fades at once leaves 1e-47, which is rounding
_STEPS = 50
_HIGHEST = 50.0  # log rate beyond which nothing is told apart


Way = tuple[float, float, float]
Options = tuple[tuple[tuple[float, float], Way], ...]


class _Mode(NamedTuple):
    """The most probable curve of one way in which it may be shaped, and how probable that way is.

    The log rate is ``start + away`` with ``away = covariance @ pull``.
    """

    log_weight: float
    start: np.ndarray
    away: np.ndarray


@dataclass(frozen=True, slots=True)
class Smooth:
    """The posterior of a log rate per hour of the week: a mixture of normals over ways in which it may be shaped.

    Attributes
    ----------
    weight : ndarray of shape (k,)
        How probable each way is, summing to 1.
    eta : ndarray of shape (k, 168)
        Mean of the log rate.
    expected : ndarray of shape (168,)
        How much lay at risk.
    features : tuple of k ndarrays of shape (168, d)
        Functions whose sum with standard normal weights is the curve before any data.
    log_evidence : float
        Log probability of the responses under all ways together, up to what does not depend on the time at risk.
    options : tuple of (share, way)
        Those that are not improbable, to fit a curve that is like this one.
    """

    weight: np.ndarray
    eta: np.ndarray
    expected: np.ndarray
    features: tuple[np.ndarray, ...]
    log_evidence: float
    options: Options

    @property
    def log_rate(self) -> np.ndarray:
        """Mean of the log rate, (168,)."""
        return np.asarray(self.weight @ self.eta)

    def log_mean(self, kernel: np.ndarray) -> np.ndarray:
        """Return the mean of the log of ``kernel @ rate``, (168,), as `moments` does."""
        return np.asarray(self.weight @ np.log(np.exp(self.eta) @ kernel.T))

    def moments(self, kernel: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance, (168,) each, of the log rate, or of the log of ``kernel @ rate`` (delta method)."""
        mean, variance = [], []
        for eta, phi in zip(self.eta, self.features, strict=True):
            root = _root(self.expected * np.exp(eta), phi)
            if kernel is not None:
                part = kernel * np.exp(eta)
                total = part.sum(axis=1)
                eta, root = np.log(total), (part / total[:, None]) @ root
            mean.append(eta)
            variance.append((root**2).sum(axis=1))
        middle = self.weight @ np.array(mean)
        return middle, self.weight @ (np.array(variance) + (np.array(mean) - middle) ** 2)


def smooth_rates(
    seen: np.ndarray,
    expected: np.ndarray,
    shape: np.ndarray | None = None,
    *,
    prior_rate: float = 1.0,
    ways: tuple[Way, ...] = WAYS,
    options: Options | None = None,
) -> Smooth:
    """Return the posterior of the log rate, averaged over widths, heights and shares of the shape by their evidence.

    Parameters
    ----------
    seen, expected : ndarray of shape (168,)
        Answers and time at risk per hour; either may be 0.
    shape : ndarray of shape (168,), optional
        A log rate that may hold, in whole or in part: that of activity. None: even.
    prior_rate : float
        The rate before any answer, with the weight of one answer.
    ways : tuple of (float, float, float)
        Width in hours and standard deviation of the function of the hour of the day, and standard deviation of that of
        the hour of the week.
    options : tuple of (share, way), optional
        Those of a curve like this one, in place of all shares of the shape and ``ways``.

    Notes
    -----
    Laplace's approximation for each way and share of the shape, by Newton's method. Where nothing lay at risk the curve
    returns to the level and the shape, and its variance to that before the data.
    """
    shares = ((0.0, 1.0),) if shape is None else _SHARES
    expected = np.maximum(expected, _LEAST_AT_RISK * expected.max())
    tilt = np.zeros(WEEK) if shape is None else shape - shape.mean()
    modes: list[_Mode] = []
    tried = tuple(itertools.product(shares, ways)) if options is None else options
    for (share, before), way in tried:
        near = modes[-1].away if modes else None
        modes.append(_mode(seen, expected, share * tilt, _prior(*way), prior_rate, float(np.log(before)), near))
    log_weight = np.array([mode.log_weight for mode in modes])
    top = float(log_weight.max())
    weight = np.exp(log_weight - top)
    evidence = top + float(np.log(weight.mean()))
    keep = np.flatnonzero(weight > _LEAST_WEIGHT)
    eta = np.array([modes[i].start + modes[i].away for i in keep])
    features = tuple(_features(*tried[i][1]) for i in keep)
    weight /= weight.sum()
    likely = tuple(tried[i] for i in np.flatnonzero(weight >= min(_PROBABLE, weight.max())))
    return Smooth(weight[keep] / weight[keep].sum(), eta, expected, features, evidence, likely)


def _mode(
    seen: np.ndarray,
    expected: np.ndarray,
    tilt: np.ndarray,
    prior: _Prior,
    prior_rate: float,
    log_before: float,
    near: np.ndarray | None,
) -> _Mode:
    """Return the mode of one way and its evidence; ``near``, the curve of another way, is where the search may begin.

    Newton's method on the curve itself (Rasmussen and Williams 2006, algorithm 3.1): a step costs one Cholesky factor.
    """
    at_risk = float(expected @ np.exp(tilt))
    start = tilt + np.log((seen.sum() + 1.0) / (at_risk + 1.0 / prior_rate))
    pull, away = np.zeros(WEEK), np.zeros(WEEK)
    found = _log_posterior(seen, expected, start, pull, away)
    if near is not None:  # the whole step from there, if it leads higher than no curve at all
        there = _newton(seen, expected, start, prior, near)
        value = _log_posterior(seen, expected, start, there, prior.covariance @ there)
        if value > found:
            pull, away, found = there, prior.covariance @ there, value
    for _ in range(_STEPS):
        step = _newton(seen, expected, start, prior, away) - pull
        further = prior.covariance @ step
        for _ in range(30):
            after = _log_posterior(seen, expected, start, pull + step, away + further)
            if after >= found - 1e-12 * abs(found):
                break
            step, further = step / 2.0, further / 2.0
        pull, away, gain, found = pull + step, away + further, after - found, max(after, found)
        if abs(gain) < 1e-9 * (1.0 + abs(found)):
            break
    lower = prior.factor(expected * np.exp(start + away))
    return _Mode(log_before + found - float(np.log(np.diag(lower)).sum()), start, away)


def _newton(seen: np.ndarray, expected: np.ndarray, start: np.ndarray, prior: _Prior, away: np.ndarray) -> np.ndarray:
    """Return the pull to which Newton's method leads from a curve."""
    from scipy.linalg import cho_solve

    mean = expected * np.exp(np.minimum(start + away, _HIGHEST))
    b, lower = mean * away + (seen - mean), prior.factor(mean)
    if prior.features is not None:
        phi = prior.features
        return np.asarray(b - mean * (phi @ cho_solve((lower, True), phi.T @ b, check_finite=False)))
    root = np.sqrt(mean)
    return np.asarray(b - root * cho_solve((lower, True), root * (prior.covariance @ b), check_finite=False))


def _root(mean: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """Return what the posterior covariance of the log rate is the square of, (168, d)."""
    lower = np.linalg.cholesky((phi.T * mean) @ phi + np.eye(phi.shape[1]))
    return np.asarray(np.linalg.solve(lower, phi.T).T)


def _log_posterior(
    seen: np.ndarray, expected: np.ndarray, start: np.ndarray, pull: np.ndarray, away: np.ndarray
) -> float:
    eta = np.minimum(start + away, _HIGHEST)
    return float(seen @ eta - expected @ np.exp(eta) - 0.5 * pull @ away)


class _Prior(NamedTuple):
    """What is known of the curve before any data: its covariance (168, 168), and its few functions (168, d), if few."""

    covariance: np.ndarray
    features: np.ndarray | None

    def factor(self, mean: np.ndarray) -> np.ndarray:
        """Return the Cholesky factor of ``I + phi' mean phi``, or of ``I + root covariance root``: one determinant."""
        if self.features is not None:
            inner = (self.features.T * mean) @ self.features
        else:
            root = np.sqrt(mean)
            inner = self.covariance * root[:, None] * root
        inner.flat[:: inner.shape[0] + 1] += 1.0
        return np.linalg.cholesky(inner)


@lru_cache(maxsize=64)
def _prior(width: float, day_sd: float, week_sd: float) -> _Prior:
    """Return what is known of a way before any data."""
    phi = _features(width, day_sd, week_sd)
    covariance = phi @ phi.T
    covariance.setflags(write=False)
    return _Prior(covariance, phi if 2 * phi.shape[1] < WEEK else None)


@lru_cache(maxsize=64)
def _features(width: float, day_sd: float, week_sd: float) -> np.ndarray:
    """Return functions on the week, (168, d), whose sum with standard normal weights is the curve before any data."""
    parts = [np.full((WEEK, 1), _LEVEL_SD), day_sd * np.tile(_waves(24, width), (7, 1))]
    if week_sd > 0:
        parts.append(week_sd * _waves(WEEK, _WEEK_WIDTH))
    found = np.concatenate(parts, axis=1)
    found.setflags(write=False)
    return found


def _waves(size: int, width: float) -> np.ndarray:
    """Return sines and cosines, (size, d), that add up to a smooth function on the circle with variance 1."""
    kernel = circular_kernel(size, width)
    power = np.fft.rfft(kernel[0] / kernel[0, 0]).real
    keep = np.flatnonzero(power > 1e-4 * power[0])
    angle = 2.0 * np.pi * np.outer(np.arange(size), keep) / size
    scale = np.sqrt(power[keep] * np.where((keep == 0) | (2 * keep == size), 1.0, 2.0) / size)
    return np.concatenate([np.cos(angle) * scale, (np.sin(angle) * scale)[:, keep > 0]], axis=1)
