"""What messages left out say of predicted response rates: a monotone correction, and what remains unexplained.

Rates are predicted for each third of the messages from the others. Noise in a curve, or in what is known of a
person, makes the lowest of them too low and the highest too high; by how much is seen there.
"""

from __future__ import annotations

import numpy as np

from omnireco.timing.calibration import person_factors

__all__ = ["FOLDS", "KNOTS", "corrected", "fit_correction", "folds", "no_correction", "some_people", "unexplained"]

KNOTS = 14
"""Points that a correction is kept at; the first and the last lie far out."""
FOLDS = 3
"""Parts of the messages, each of which is predicted from the others."""
_FAR = 60.0
_ANSWERS = 100.0  # to fit a correction on
_WEIGHT = 5.0  # answers' worth of "predicted rightly", in each bin
_LEAST_SLOPE = 0.1  # the order of hours stays
_PART = 4  # hours of the day whose answers are taken together
_MOST_SD = 1.5


def folds(person: np.ndarray, age: np.ndarray, n_people: int) -> np.ndarray:
    """Return the part of each message, 0 to `FOLDS` - 1, by hashing when it was sent and to whom: no order, no names.

    A person enters by all that was sent to them, so renaming or reordering people, or turning the clock, changes
    nothing.
    """
    when = _mixed(age.astype(np.uint64))
    return np.asarray(_mixed(when ^ _people(person, when, n_people)[person]) % np.uint64(FOLDS)).astype(np.int64)


def some_people(person: np.ndarray, age: np.ndarray, n_people: int, share: float) -> np.ndarray:
    """Return the messages of a share of the people, bool (m,), by the same hash."""
    who = _people(person, _mixed(age.astype(np.uint64)), n_people)
    return np.asarray(((who >> np.uint64(11)).astype(np.float64) < share * 2.0**53)[person])


def _people(person: np.ndarray, when: np.ndarray, n_people: int) -> np.ndarray:
    """Return a hash of each person by when messages were sent to them, uint64 (n_people,)."""
    part = (when >> np.uint64(40)).astype(np.float64)  # sums of 24 bits are exact
    return _mixed(np.bincount(person, weights=part, minlength=n_people).astype(np.uint64))


def _mixed(x: np.ndarray) -> np.ndarray:
    """Return integers whose bits depend on all bits of x (the finalizer of SplitMix64)."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def no_correction() -> np.ndarray:
    """Return the correction that changes nothing, (2, KNOTS)."""
    x = np.linspace(-_FAR, _FAR, KNOTS)
    return np.stack([x, x])


def corrected(log_rate: np.ndarray, correction: np.ndarray) -> np.ndarray:
    """Return log rates after a correction: linear between its points."""
    x, y = correction
    if (x == y).all():
        return log_rate
    return np.asarray(np.interp(log_rate, x, y))


def fit_correction(log_rate: np.ndarray, answered: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the correction of log rates, (2, KNOTS), that messages left out call for.

    Parameters
    ----------
    log_rate, answered, weight : ndarray of shape (m,)
        Log of the expected responses of each message, from other messages; whether it was answered.

    Notes
    -----
    Isotonic on bins of equally many messages, each shrunk to what was predicted. The order of rates stays.
    """
    if float(weight @ answered) < _ANSWERS:
        return no_correction()
    order = np.argsort(log_rate, kind="stable")
    edges = np.searchsorted(np.cumsum(weight[order]) / weight.sum(), np.arange(1, KNOTS - 2) / (KNOTS - 2))
    bins = [rows for rows in np.split(order, edges) if rows.size]
    rate = np.exp(log_rate)
    predicted = np.array([weight[rows] @ -np.expm1(-rate[rows]) for rows in bins])
    seen = np.array([weight[rows] @ answered[rows] for rows in bins])
    x = np.array([float(np.average(log_rate[rows], weights=weight[rows])) for rows in bins])
    y = x + np.log((_WEIGHT + seen) / (_WEIGHT + predicted))
    y = _rising(y, seen + _WEIGHT)
    gap = np.diff(x)
    if not (gap > 1e-6).all():
        return no_correction()
    slope = np.diff(y) / gap
    slope = np.maximum(slope, _LEAST_SLOPE)
    y = y[0] + np.r_[0.0, np.cumsum(slope * gap)]
    x = np.r_[x[0] - _FAR, x, x[-1] + _FAR]
    y = np.r_[y[0] - _FAR, y, y[-1] + _FAR]
    short = KNOTS - x.size
    return np.stack([np.r_[x, x[-1] + 1.0 + np.arange(short)], np.r_[y, y[-1] + 1.0 + np.arange(short)]])


def unexplained(person: np.ndarray, hour: np.ndarray, expected: np.ndarray, answered: np.ndarray) -> float:
    """Return the standard deviation of the log of a person's rate in a part of the day that was not predicted."""
    known = np.flatnonzero(hour >= 0)
    cell = person[known] * (24 // _PART) + hour[known] % 24 // _PART
    _, cell = np.unique(cell, return_inverse=True)
    if not cell.size:
        return 0.0
    strength = person_factors(cell, expected[known], answered[known].astype(np.float64), int(cell.max()) + 1)[1]
    return float(min(1.0 / np.sqrt(strength), _MOST_SD))


def _rising(y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the nearest values that do not fall, by pooling adjacent violators."""
    level: list[list[float]] = []
    for value, w in zip(y.tolist(), weight.tolist(), strict=True):
        level.append([value, w, 1])
        while len(level) > 1 and level[-2][0] > level[-1][0]:
            v, b, k = level.pop()
            u, a, j = level.pop()
            level.append([(a * u + b * v) / (a + b), a + b, j + k])
    return np.repeat([part[0] for part in level], [int(part[2]) for part in level])
