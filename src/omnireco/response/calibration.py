"""From the value of an hour to a chance: kernels that make predictions agree with the log."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Curve", "fit_curve", "person_factors", "sigmoid"]

_RATES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e6)


@dataclass(frozen=True, slots=True)
class Curve:
    """One channel's curve: chance = sigmoid(intercept + slope x log relative value + lift x log activity)."""

    intercept: float
    slope: float
    lift: float

    def chance(self, log_value: np.ndarray, log_activity: np.ndarray) -> np.ndarray:
        """Return the chance of an answer by the average person."""
        return sigmoid(self.intercept + self.slope * log_value + self.lift * log_activity)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x))."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


def fit_curve(log_value: np.ndarray, log_activity: np.ndarray, answered: np.ndarray, *, base_rate: float) -> Curve:
    """Fit one channel's curve by penalised logistic regression (Newton).

    The intercept is free, so the mean chance equals the observed rate; the slope starts from 1 (the delay model is
    right) and the lift from 0, each with a standard deviation of 0.5 before the data. Without both answers and
    silences there is nothing to fit: the rate is shrunk to ``base_rate`` with the weight of 20 messages.
    """
    n, answers = answered.size, float(answered.sum())
    if answers == 0 or answers == n:
        rate = (answers + 20.0 * base_rate) / (n + 20.0)
        return Curve(float(np.log(rate / (1.0 - rate))), 1.0, 0.0)
    x = np.stack([np.ones(n), log_value, log_activity], axis=1)
    centre, weight = np.array([0.0, 1.0, 0.0]), np.array([0.0, 4.0, 4.0])
    beta = np.array([np.log(answers / (n - answers)), 1.0, 0.0])
    beta[0] -= float(np.mean(x[:, 1]))
    best = _penalised(x, answered, beta, centre, weight)
    for _ in range(60):
        chance = sigmoid(x @ beta)
        slope = x.T @ (answered - chance) - weight * (beta - centre)
        curvature = (x * (chance * (1.0 - chance))[:, None]).T @ x + np.diag(weight) + 1e-12 * np.eye(3)
        step = np.linalg.solve(curvature, slope)
        for _ in range(30):
            found = _penalised(x, answered, beta + step, centre, weight)
            if found >= best - 1e-12 * abs(best):
                break
            step /= 2.0
        beta, best = beta + step, max(best, found)
        if np.abs(step).max() < 1e-10:
            break
    return Curve(float(beta[0]), float(beta[1]), float(beta[2]))


def person_factors(
    person: np.ndarray, expected: np.ndarray, answered: np.ndarray, n_people: int
) -> tuple[np.ndarray, float]:
    """Return how much more than expected each person answers, shrunk to 1, and the strength of the shrinkage.

    ``(m + answers) / (m + expected answers)``: the posterior mean of a Gamma(m, m) factor on a Poisson rate; ``m`` by
    type-II maximum likelihood.
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


def _penalised(x: np.ndarray, y: np.ndarray, beta: np.ndarray, centre: np.ndarray, weight: np.ndarray) -> float:
    """Return the penalised log likelihood of a logistic regression."""
    eta = x @ beta
    return float(y @ eta - np.logaddexp(0.0, eta).sum() - 0.5 * weight @ (beta - centre) ** 2)
