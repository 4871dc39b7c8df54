"""Calibration of response rates to the log."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Curve", "fit_curve", "person_factors"]

_CENTRE, _PULL = np.array([0.0, 1.0, 0.0]), np.array([0.25, 4.0, 4.0])  # of level, slope, lift before the data
_STEEPEST = 1.5
_MOST = 5.0  # log of a rate beyond which a probability is 1
_RATES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e6)


@dataclass(frozen=True, slots=True)
class Curve:
    """One channel's curve: log rate = level + that of the hour + slope x departure + lift x log activity.

    Attributes
    ----------
    level, slope, lift : float
    slope_sd : float
        Posterior standard deviation of the slope.
    """

    level: float
    slope: float
    lift: float
    slope_sd: float

    def rate(self, log_rate: np.ndarray, departure: np.ndarray, log_activity: np.ndarray) -> np.ndarray:
        """Return the responses to be expected of a message; the probability of any is ``1 - exp(-rate)``."""
        score = self.level + log_rate + self.slope * departure + self.lift * log_activity
        return np.asarray(np.exp(np.minimum(score, _MOST)))


def fit_curve(
    log_rate: np.ndarray,
    departure: np.ndarray,
    log_activity: np.ndarray,
    answered: np.ndarray,
    weight: np.ndarray,
    slope_before: tuple[float, float] | None = None,
) -> Curve:
    """Fit one channel's curve to messages by penalised likelihood (Fisher scoring).

    Parameters
    ----------
    log_rate : ndarray of shape (m,)
        Log population rate of each message's hour.
    departure : ndarray of shape (m,)
        Log relative value of the hour for the person, by the person's activity.
    log_activity : ndarray of shape (m,)
    answered, weight : ndarray of shape (m,)
    slope_before : (float, float), optional
        A slope that was found elsewhere, and its precision.

    Notes
    -----
    Before the data the level is 0 (standard deviation 2), the slope 1 and the lift 0 (0.5 each). The slope is how far
    individuals deviate from the population as their activity does. It lies in [0, 1.5]: activity may be uninformative,
    but not negatively related.
    """
    x = np.stack([np.ones(answered.size), departure, log_activity], axis=1)
    prior = _CENTRE, _PULL
    if slope_before is not None:
        pull = np.array([_PULL[0], _PULL[1] + slope_before[1], _PULL[2]])
        prior = np.array([0.0, (_PULL[1] + slope_before[0] * slope_before[1]) / pull[1], 0.0]), pull
    beta, curvature = _scored(x, log_rate, answered, weight, np.array([0.0, 1.0, 0.0]), np.ones(3, np.bool_), prior)
    if not 0.0 <= beta[1] <= _STEEPEST:
        start = np.array([beta[0], np.clip(beta[1], 0.0, _STEEPEST), beta[2]])
        beta = _scored(x, log_rate, answered, weight, start, np.array([True, False, True]), prior)[0]
    level, slope, lift = (float(value) for value in beta)
    return Curve(level, slope, lift, float(np.sqrt(np.linalg.inv(curvature)[1, 1])))


def _scored(
    x: np.ndarray,
    log_rate: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    beta: np.ndarray,
    free: np.ndarray,
    prior: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the most probable coefficients, those that are free, and the curvature there."""
    centre, pull = prior
    best = _penalised(x, log_rate, y, weight, beta, prior)
    for _ in range(60):
        rate = np.exp(np.minimum(log_rate + x @ beta, _MOST))
        chance = np.maximum(-np.expm1(-rate), 1e-300)
        slope = x.T @ (weight * rate * (y / chance - 1.0)) - pull * (beta - centre)
        curvature = (x * (weight * rate**2 * np.exp(-rate) / chance)[:, None]).T @ x + np.diag(pull)
        step = np.zeros(3)
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)], slope[free])
        for _ in range(30):
            found = _penalised(x, log_rate, y, weight, beta + step, prior)
            if found >= best - 1e-12 * abs(best):
                break
            step /= 2.0
        beta, best = beta + step, max(best, found)
        if np.abs(step).max() < 1e-10:
            break
    return beta, curvature


def _penalised(
    x: np.ndarray,
    log_rate: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    beta: np.ndarray,
    prior: tuple[np.ndarray, np.ndarray],
) -> float:
    """Return the penalised log likelihood of responses whose probability is ``1 - exp(-rate)``."""
    rate = np.exp(np.minimum(log_rate + x @ beta, _MOST))
    found = np.where(y > 0, np.log(np.maximum(-np.expm1(-rate), 1e-300)), -rate)
    return float(weight @ found - 0.5 * prior[1] @ (beta - prior[0]) ** 2)


def person_factors(
    person: np.ndarray, expected: np.ndarray, answered: np.ndarray, n_people: int
) -> tuple[np.ndarray, float]:
    """Return each person's ratio of observed to expected responses, shrunk to 1, and the strength of the shrinkage.

    ``(m + responses) / (m + expected responses)``: the posterior mean of a Gamma(m, m) factor on a Poisson rate; ``m``
    by type-II maximum likelihood.
    """
    from scipy.special import gammaln

    e = np.bincount(person, weights=expected, minlength=n_people)
    s = np.bincount(person, weights=answered, minlength=n_people)
    seen = e > 0
    score = [
        float((gammaln(m + s[seen]) - gammaln(m) + m * np.log(m / (m + e[seen])) - s[seen] * np.log(m + e[seen])).sum())
        for m in _RATES
    ]
    m = _RATES[int(np.argmax(np.array(score) + 1e-9 * np.arange(len(_RATES))))]
    return (m + s) / (m + e), m
