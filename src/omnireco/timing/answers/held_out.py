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
_BY_ANSWERS = 0.3  # share of a bin's size that is measured in answers, not in messages
_BEND_SD = 0.3  # of the slope and the bend of a correction, per standard deviation of the log rates
_FARTHEST = 4.0  # standard deviations from which a parabola is level
_MOST = 5.0  # log of a rate beyond which a probability is 1
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
    First a parabola by penalised likelihood, which needs few answers; then isotonic on bins, each shrunk to what the
    parabola says. Bins hold as many messages, and of the rarest answered more. The order of rates stays.
    """
    if float(weight @ answered) < _ANSWERS:
        return no_correction()
    bent = log_rate + _parabola(log_rate, answered, weight)
    chance = -np.expm1(-np.exp(np.minimum(bent, _MOST)))
    order = np.argsort(log_rate, kind="stable")
    share = (1.0 - _BY_ANSWERS) * weight / weight.sum() + _BY_ANSWERS * weight * chance / (weight @ chance)
    edges = np.searchsorted(np.cumsum(share[order]), np.arange(1, KNOTS - 2) / (KNOTS - 2))
    bins = [rows for rows in np.split(order, edges) if rows.size]
    predicted = np.array([weight[rows] @ chance[rows] for rows in bins])
    seen = np.array([weight[rows] @ answered[rows] for rows in bins])
    x, y = (
        np.array([float(np.average(part[rows], weights=weight[rows])) for rows in bins]) for part in (log_rate, bent)
    )
    y = _rising(y + np.log((_WEIGHT + seen) / (_WEIGHT + predicted)), seen + _WEIGHT)
    gap = np.diff(x)
    if not gap.size or not (gap > 1e-6).all():
        return no_correction()
    slope = np.maximum(np.diff(y) / gap, _LEAST_SLOPE)
    y = y[0] + np.r_[0.0, np.cumsum(slope * gap)]
    x = np.r_[x[0] - _FAR, x, x[-1] + _FAR]
    y = np.r_[y[0] - _FAR, y, y[-1] + _FAR]
    short = KNOTS - x.size
    return np.stack([np.r_[x, x[-1] + 1.0 + np.arange(short)], np.r_[y, y[-1] + 1.0 + np.arange(short)]])


def _parabola(log_rate: np.ndarray, answered: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return a parabola of the log rates, (m,), to be added to them: level, slope and bend by Fisher scoring."""
    centre = float(np.average(log_rate, weights=weight))
    sd = max(float(np.sqrt(np.average((log_rate - centre) ** 2, weights=weight))), 1e-9)
    z = np.clip((log_rate - centre) / sd, -_FARTHEST, _FARTHEST)
    x = np.stack([np.ones(z.size), z, z**2 - 1.0], axis=1)
    pull, beta = np.array([0.01, 1.0, 1.0]) / np.array([1.0, _BEND_SD, _BEND_SD]) ** 2, np.zeros(3)
    for _ in range(50):
        rate = np.exp(np.minimum(log_rate + x @ beta, _MOST))
        chance = np.maximum(-np.expm1(-rate), 1e-300)
        slope = x.T @ (weight * rate * (answered / chance - 1.0)) - pull * beta
        curvature = (x * (weight * rate**2 * np.exp(-rate) / chance)[:, None]).T @ x + np.diag(pull)
        step = np.linalg.solve(curvature, slope)
        step /= max(1.0, 2.0 * float(np.abs(step).max()))  # half a unit at most
        beta = beta + step
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(x @ beta)


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
