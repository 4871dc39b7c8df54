"""Calibration of scores to probabilities, and the calibration error. Arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from omnireco._core.checks import check_integer, check_numbers
from omnireco._core.parts import Parts, freeze, numbers, probabilities
from omnireco.errors import EmptyError, ParameterError

__all__ = ["Isotonic", "calibration_error", "check_outcomes"]

_IMAGINED = 10.0  # choices at the overall rate, added at either end: a probability is never 0 or 1


@dataclass(frozen=True, slots=True, eq=False)
class Isotonic:
    """A rising curve from score to probability: linear interpolation between the centres of pooled blocks.

    Interpolated, so that two scores in one block have different probabilities and no order is lost between the
    outermost blocks.

    Parameters
    ----------
    score, probability : ndarray of shape (b,), float64, ascending
    """

    score: np.ndarray
    probability: np.ndarray

    parts: ClassVar[Parts] = {"score": numbers("points", order="rising"), "probability": probabilities("points")}

    def __post_init__(self) -> None:
        freeze(self)

    @classmethod
    def fit(cls, score: np.ndarray, outcome: np.ndarray) -> Isotonic:
        """Pool adjacent violators, in groups of equal mass so that a block is never a handful of rows.

        References
        ----------
        Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD 2002.
        """
        from sklearn.isotonic import IsotonicRegression

        order = np.argsort(score, kind="stable")
        s, y = np.asarray(score, np.float64)[order], np.asarray(outcome, np.float64)[order]
        groups = np.array_split(np.arange(s.size), max(1, min(200, s.size // 50)))
        x = np.array([s[rows].mean() for rows in groups])
        rate = y.mean()
        taken = np.array([y[rows].sum() for rows in groups])
        size = np.array([rows.size for rows in groups], np.float64)
        pulled = _IMAGINED / len(groups)
        raised = IsotonicRegression().fit(x, (taken + pulled * rate) / (size + pulled), sample_weight=size + pulled)
        fitted = raised.predict(x)
        first = np.flatnonzero(np.r_[True, np.diff(fitted) > 0])
        edges = np.r_[first, x.size]
        centre = np.array([x[a:b].mean() for a, b in pairwise(edges)])
        return cls(centre, fitted[first])

    def __call__(self, score: np.ndarray) -> np.ndarray:
        """Return the probability at each score, float64; a tilt of a thousandth keeps flat stretches in order."""
        middle = 0.5 * (self.score[0] + self.score[-1])
        spread = max(1e-9, float(self.score[-1] - self.score[0]))
        tilt = 1.0 + 1e-3 * np.tanh((np.asarray(score) - middle) / spread)
        return np.minimum(np.interp(score, self.score, self.probability) * tilt, 1.0)


def calibration_error(probability: Any, outcome: Any, *, n_bins: int = 15) -> float:
    """Return the expected calibration error: mean distance of predicted from observed frequencies.

    Probabilities are multiplied with money before anything is planned, so they must be calibrated: of all the
    things given 0.2, one in five should happen.

    Parameters
    ----------
    probability : array-like of shape (n,)
        Between 0 and 1.
    outcome : array-like of shape (n,)
        0 and 1, or booleans.
    n_bins : int
        Groups of equal size, by falling probability.

    Returns
    -------
    float
        The mean over groups of abs(mean probability - share that happened); 0 is perfect.

    Raises
    ------
    ParameterError
        When the shapes differ, a probability lies outside [0, 1] or an outcome is neither 0 nor 1.

    Notes
    -----
    Bins of equal mass, since rare choices put nearly all probabilities into the first of ten equally wide ones. Random
    error alone gives a value above 0, about ``0.8 * sqrt(p (1 - p) n_bins / n)``. Deterministic.

    References
    ----------
    Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015; equal
    mass: Nguyen and O'Connor, EMNLP 2015.

    Examples
    --------
    >>> calibration_error([0.5, 0.5, 0.5, 0.5], [1, 0, 1, 0], n_bins=1)
    0.0
    >>> calibration_error([0.9, 0.9], [1, 0], n_bins=1)
    0.4
    """
    p, y = check_outcomes(probability, outcome, "calibration_error")
    bins = check_integer(n_bins, "n_bins", low=1)
    order = np.argsort(-p, kind="stable")
    groups = np.array_split(order, min(bins, p.size))
    return float(sum(abs(p[rows].mean() - y[rows].mean()) * rows.size for rows in groups) / p.size)


def check_outcomes(probability: Any, outcome: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and outcomes as arrays of one length, within [0, 1], and 0 or 1."""
    p, y = check_numbers(probability, "probability").ravel(), check_numbers(outcome, "outcome").ravel()
    if p.shape != y.shape:
        raise ParameterError(f"{where}: {p.size:,} probabilities and {y.size:,} outcomes. Give one of each.")
    if not p.size:
        raise EmptyError(f"{where}: there is nothing to compare. Give at least one probability.")
    if not ((p >= 0) & (p <= 1)).all():
        raise ParameterError(f"{where}: a probability lies outside [0, 1] or is missing. Calibrate scores first.")
    if not ((y == 0) | (y == 1)).all():
        raise ParameterError(f"{where}: outcomes must be 0 and 1 (or False and True).")
    return p, y
