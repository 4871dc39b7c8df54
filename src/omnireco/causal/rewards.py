"""Rewards of every action in every logged context, predicted by models that never saw the row's person."""

from __future__ import annotations

from typing import Any

import numpy as np

from omnireco._core.checks import check_integer, shown
from omnireco._core.compute import Progress, check_progress, track
from omnireco._core.contract import says_the_line
from omnireco._core.random import stream
from omnireco.causal.arrays import matrix
from omnireco.causal.logged import logged_decisions
from omnireco.errors import ParameterError

__all__ = ["cross_fitted_rewards"]

_MOST_ACTIONS = 10_000


@says_the_line(
    "om.causal.cross_fitted_rewards(om.causal.LoggedDecisions(rewards, propensity, actions=actions), contexts)"
)
def cross_fitted_rewards(
    logged: Any,
    contexts: Any,
    *,
    n_actions: int | None = None,
    model: Any = None,
    folds: int = 5,
    seed: int = 0,
    progress: Progress = False,
) -> np.ndarray:
    """Predict the reward of every action in every logged context, by models that never saw the row's person.

    Parameters
    ----------
    logged : LoggedDecisions
        With actions. A person's decisions stay in one fold.
    contexts : array-like of shape (n, d)
        Numbers known before the choice.
    n_actions : int, optional
        Number of actions; by default one more than the largest.
    model : scikit-learn classifier or regressor, optional
        Cloned for every fold. By default a logistic regression when rewards are 0 and 1, else a ridge regression, on
        standardised contexts and an indicator of the action.
    folds : int
        Number of parts.
    seed : int
        Names the deal of people into folds.
    progress : bool or callable(done, total)
        A bar over the folds.

    Returns
    -------
    ndarray of shape (n, n_actions), float64
        What ``off_policy(predicted=)`` takes.

    Raises
    ------
    ParameterError
        When shapes disagree, there are fewer people than folds, or a context is not finite.

    References
    ----------
    Chernozhukov et al. (2018), "Double/Debiased Machine Learning", for the cross-fitting.

    Examples
    --------
    >>> import numpy as np
    >>> from omnireco.causal import LoggedDecisions, cross_fitted_rewards
    >>> rng = np.random.default_rng(0)
    >>> x, a = rng.normal(size=(400, 1)), rng.integers(0, 2, 400)
    >>> logged = LoggedDecisions(x[:, 0] + 2 * a, np.full(400, 0.5), actions=a)
    >>> found = cross_fitted_rewards(logged, x)
    >>> round(float((found[:, 1] - found[:, 0]).mean()), 1)
    2.0
    """
    from sklearn.base import clone, is_classifier
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    check_progress(progress)
    decisions = logged_decisions(logged, "cross_fitted_rewards")
    r, chosen = decisions.rewards, decisions.actions
    n = r.size
    x = matrix(contexts, "contexts", n)
    if chosen is None:
        raise ParameterError("actions, the action of each row, is missing: LoggedDecisions(..., actions=).")
    check_integer(folds, "folds", low=2)
    total = (
        int(chosen.max(initial=-1)) + 1
        if n_actions is None
        else check_integer(n_actions, "n_actions", low=1, high=_MOST_ACTIONS)
    )
    if chosen.max(initial=-1) >= total:
        raise ParameterError(
            f"actions holds {int(chosen.max())}, and n_actions is {total}: the largest is {total - 1}."
        )
    cluster, n_people = decisions.clusters
    if n_people < folds:
        raise ParameterError(f"{n_people} people cannot be dealt into {folds} folds. Pass folds={max(n_people, 2)}.")
    fold = np.empty(n_people, np.int64)
    fold[stream(seed, "offpolicy/folds").permutation(n_people)] = np.arange(n_people) % folds
    fold = fold[cluster]
    if model is None:
        binary = bool(np.isin(r, (0.0, 1.0)).all())
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500) if binary else Ridge(1.0))
    elif not callable(getattr(model, "fit", None)) or isinstance(model, type):
        raise ParameterError(f"model must be an estimator of scikit-learn, such as Ridge(). Got {shown(model)}.")
    indicator = np.eye(total)
    found = np.empty((n, total))
    for part in track(range(folds), progress, label="cross_fitted_rewards"):
        inside, outside = fold == part, fold != part
        known = r[outside]
        if is_classifier(model) and np.unique(known).size == 1:
            found[inside] = known[0]
            continue
        fitted = clone(model).fit(np.column_stack([x[outside], indicator[chosen[outside]]]), known)
        for action in range(total):
            inputs = np.column_stack([x[inside], np.broadcast_to(indicator[action], (int(inside.sum()), total))])
            if is_classifier(model):
                found[inside, action] = fitted.predict_proba(inputs) @ fitted.classes_
            else:
                found[inside, action] = fitted.predict(inputs)
    return found
