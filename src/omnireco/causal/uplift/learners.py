"""Nuisance models and effect learners: arrays in, arrays out; no row is predicted by models that saw its person."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.compute import row_blocks
from omnireco._core.random import stream
from omnireco.errors import ParameterError

__all__ = [
    "Linear",
    "contrasts",
    "estimated_propensity",
    "folds_of",
    "linear_effects",
    "outcome_models",
    "second_stage",
]

_PENALTY = 1.0  # rows' worth, on standardised features
_MOST_ROWS = 200_000  # from which propensities are estimated: a logistic curve needs no more

Predict = Callable[[np.ndarray], np.ndarray]


def folds_of(user: np.ndarray, n_users: int, folds: int, seed: int) -> np.ndarray:
    """Return the fold of each row, int8 or int16 (n,): people are dealt whole."""
    fold = np.empty(n_users, np.int16)
    fold[stream(seed, "uplift/folds").permutation(n_users)] = np.arange(n_users) % folds
    return fold[user]


def trees(binary: bool, seed: int) -> Any:
    """Return the default model of outcomes: few, small boosted trees."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if binary else HistGradientBoostingRegressor
    return kind(
        max_iter=60, learning_rate=0.08, max_leaf_nodes=8, min_samples_leaf=40, early_stopping=False, random_state=seed
    )


def predicted(model: Any, x: np.ndarray) -> np.ndarray:
    """Return the mean outcome, float64 (n,): a classifier's probability of 1."""
    from sklearn.base import is_classifier

    if not isinstance(model, _Constant) and is_classifier(model):
        chance = model.predict_proba(x) @ np.asarray(model.classes_, np.float64)
        return np.asarray(chance, np.float64)
    return np.asarray(model.predict(x), np.float64)


class _Constant:
    """What is predicted where all outcomes are equal, or nothing is known of people."""

    def __init__(self, value: float) -> None:
        self.value = value

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.full(x.shape[0], self.value)


def fitted(model: Any, x: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> Any:
    """Return a clone fitted to some rows."""
    from sklearn.base import clone

    if x.shape[1] == 0 or not y.size or (y == y[0]).all():
        mean = float(np.average(y, weights=weight)) if y.size else 0.0
        return _Constant(mean)
    return clone(model).fit(x, y) if weight is None else clone(model).fit(x, y, sample_weight=weight)


def outcome_models(
    x: np.ndarray, arm: np.ndarray, y: np.ndarray, n_arms: int, fold: np.ndarray, folds: int, model: Any, single: bool
) -> tuple[np.ndarray, list[Any]]:
    """Return the mean outcome of every row under every arm, (n, n_arms), out of fold, and the models of the folds.

    One model for all arms, which are then features (the S learner), or one per arm (all others).
    """
    mu, models = np.empty((x.shape[0], n_arms)), []
    for part in range(folds):
        train, test = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
        if single:
            one = fitted(model, with_arm(x[train], arm[train], n_arms), y[train])
            models.append(one)
            for code in range(n_arms):
                mu[test, code] = predicted(one, with_arm(x[test], np.full(test.size, code), n_arms))
            continue
        several = []
        for code in range(n_arms):
            rows = train[arm[train] == code]
            if not rows.size:
                raise ParameterError(
                    f"Uplift.fit: arm {code} was given to people of one fold alone, so nobody is left to learn it "
                    "from. "
                    "Gather more, or leave the arm out (experiment.take)."
                )
            several.append(fitted(model, x[rows], y[rows]))
            for block in row_blocks(test.size, 16 * max(x.shape[1], 1)):
                mu[test[block], code] = predicted(several[-1], x[test[block]])
        models.append(several)
    return mu, models


def with_arm(x: np.ndarray, arm: np.ndarray, n_arms: int) -> np.ndarray:
    """Return features and an indicator of every arm but the control."""
    return np.column_stack([x, (arm[:, None] == np.arange(1, n_arms)).astype(np.float64)])


def estimated_propensity(
    x: np.ndarray, arm: np.ndarray, n_arms: int, fold: np.ndarray, folds: int, seed: int
) -> np.ndarray:
    """Return the probability of every arm by a multinomial logistic regression, (n, n_arms), out of fold."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = np.empty((x.shape[0], n_arms))
    random = stream(seed, "uplift/propensity")
    for part in range(folds):
        train, test = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
        if train.size > _MOST_ROWS:
            train = np.sort(random.choice(train, _MOST_ROWS, replace=False))
        if not x.shape[1]:
            found[test] = np.bincount(arm[train], minlength=n_arms) / train.size
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(x[train], arm[train])
        found[test] = 0.0
        for block in row_blocks(test.size, 16 * x.shape[1]):
            found[np.ix_(test[block], model.classes_)] = model.predict_proba(x[test[block]])
    return found


def contrasts(y: np.ndarray, arm: np.ndarray, p: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """Return the doubly robust pseudo-outcomes of every arm against the control, (n, n_arms - 1).

    ``psi_k = mu_k - mu_0 + 1[A=k] (Y - mu_k) / p_k - 1[A=0] (Y - mu_0) / p_0``.
    """
    psi = mu[:, 1:] - mu[:, :1]
    row = np.arange(y.size)
    residual = (y - mu[row, arm]) / p[row, arm]
    treated = arm > 0
    psi[row[treated], arm[treated] - 1] += residual[treated]
    psi[~treated] -= residual[~treated, None]
    return np.asarray(psi)


class Linear(NamedTuple):
    """Effects that are linear in standardised features, with their covariance (a sandwich, by person)."""

    center: np.ndarray
    scale: np.ndarray
    coefficient: np.ndarray
    covariance: np.ndarray

    def predict(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return effects and standard errors, (n, n_contrasts) each."""
        effect = np.empty((x.shape[0], self.coefficient.shape[0]))
        error = np.empty_like(effect)
        for block in row_blocks(x.shape[0], 32 * (x.shape[1] + 1)):
            z = design(x[block], self.center, self.scale)
            effect[block] = z @ self.coefficient.T
            for k, covariance in enumerate(self.covariance):
                error[block, k] = np.sqrt(np.maximum(np.einsum("ij,ij->i", z @ covariance, z), 0.0))
        return effect, error


def design(x: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return 1 and standardised features, (n, d + 1)."""
    z = np.empty((x.shape[0], x.shape[1] + 1))
    z[:, 0] = 1.0
    np.subtract(x, center, out=z[:, 1:])
    z[:, 1:] /= scale
    return z


def standards(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and standard deviation of each feature; 1 for a constant one."""
    if not x.shape[0]:
        return np.zeros(x.shape[1]), np.ones(x.shape[1])
    total, square = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    center = x.mean(axis=0)
    for block in row_blocks(x.shape[0], 16 * max(x.shape[1], 1)):
        away = x[block] - center
        total += away.sum(axis=0)
        square += (away**2).sum(axis=0)
    scale = np.sqrt(np.maximum(square / x.shape[0] - (total / x.shape[0]) ** 2, 0.0))
    return center, np.where(scale > 1e-12 * np.maximum(np.abs(center), 1.0), scale, 1.0)


def linear_effects(
    x: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    fold: np.ndarray,
    folds: int,
    person: np.ndarray | None,
) -> tuple[np.ndarray, Linear]:
    """Return out-of-fold effects (n, n_contrasts), and the effects learned from all rows.

    Weighted ridge regression of ``target`` (n, n_contrasts) on standardised features; ``weight`` has its shape, or is
    None. ``person`` is the code of each row's person where somebody has several rows.
    """
    center, scale = standards(x)
    n, q, d = x.shape[0], target.shape[1], x.shape[1] + 1
    gram, moment = np.zeros((folds, q, d, d)), np.zeros((folds, q, d))
    for rows, z in _designs(x, center, scale):
        for part in range(folds):
            mine = np.flatnonzero(fold[rows] == part)
            zf, tf = z[mine], target[rows][mine]
            for k in range(q if weight is not None else 1):
                zw = zf if weight is None else zf * weight[rows][mine, k, None]
                gram[part, k] += zf.T @ zw
                if weight is not None:
                    moment[part, k] += zw.T @ tf[:, k]
            if weight is None:
                moment[part] += tf.T @ zf
    if weight is None:
        gram[:] = gram[:, :1]
    penalty = np.diag([0.0, *[_PENALTY] * (d - 1)])
    whole, inverse = np.empty((q, d)), np.empty((q, d, d))
    apart = np.empty((folds, q, d))
    for k in range(q):
        inverse[k] = np.linalg.pinv(gram[:, k].sum(axis=0) + penalty, hermitian=True)
        whole[k] = inverse[k] @ moment[:, k].sum(axis=0)
        for part in range(folds):
            rest = gram[:, k].sum(axis=0) - gram[part, k] + penalty
            apart[part, k] = np.linalg.pinv(rest, hermitian=True) @ (moment[:, k].sum(axis=0) - moment[part, k])
    effect, meat = np.empty((n, q)), np.zeros((q, d, d))
    n_people = 0 if person is None else int(person.max(initial=-1)) + 1
    sums = None if person is None else np.zeros((q, n_people, d))
    for rows, z in _designs(x, center, scale):
        effect[rows] = np.einsum("ij,ikj->ik", z, apart[fold[rows]])
        residual = target[rows] - z @ whole.T
        if weight is not None:
            residual = residual * weight[rows]
        for k in range(q):
            score = z * residual[:, k, None]
            if sums is None or person is None:
                meat[k] += score.T @ score
            else:
                for column in range(d):
                    sums[k, :, column] += np.bincount(person[rows], weights=score[:, column], minlength=n_people)
    if sums is not None:
        meat = np.einsum("kui,kuj->kij", sums, sums)
        n = n_people
    small = n / max(n - d, 1)
    covariance = np.stack([small * (i @ m @ i) for i, m in zip(inverse, meat, strict=True)])
    return effect, Linear(center, scale, whole, covariance)


def second_stage(
    x: np.ndarray, target: np.ndarray, weight: np.ndarray | None, fold: np.ndarray, folds: int, model: Any
) -> tuple[np.ndarray, Predict]:
    """Return out-of-fold effects by a regressor of the caller's, and what predicts for others (all rows)."""
    effect = np.empty_like(target)
    whole = []
    for k in range(target.shape[1]):
        w = None if weight is None else weight[:, k]
        rows = np.arange(x.shape[0]) if w is None else np.flatnonzero(w > 0)
        for part in range(folds):
            train, test = rows[fold[rows] != part], np.flatnonzero(fold == part)
            one = fitted(model, x[train], target[train, k], None if w is None else w[train])
            effect[test, k] = predicted(one, x[test])
        whole.append(fitted(model, x[rows], target[rows, k], None if w is None else w[rows]))
    return effect, lambda new: np.column_stack([predicted(one, new) for one in whole])


def _designs(x: np.ndarray, center: np.ndarray, scale: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    for block in row_blocks(x.shape[0], 40 * (x.shape[1] + 1)):
        yield block, design(x[block], center, scale)
