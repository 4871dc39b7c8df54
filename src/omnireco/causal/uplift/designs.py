"""Effects of whole experiments: with less variance, of those who were reached, and of a policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from omnireco._core.checks import check_choice, check_integer, check_number, shown
from omnireco._core.contract import says_the_line
from omnireco._kernels.bootstrap import percentile_interval
from omnireco._kernels.poisson import person_keys, resampled_sums
from omnireco.causal.arrays import matrix, vector
from omnireco.causal.uplift.curves import check_arms, check_experiment, propensities_of
from omnireco.causal.uplift.effects import Effects, clustered_mean, z_of
from omnireco.causal.uplift.experiment import Experiment
from omnireco.errors import EmptyError, ParameterError

__all__ = ["complier_effect", "cuped", "policy_value"]


@says_the_line("om.causal.cuped(experiment, before=frame['spend_before'])")
def cuped(experiment: Experiment, *, before: Any = None, confidence: float = 0.95, k: int = 5) -> Effects:
    """Return average effects of a randomised experiment with the variance that an earlier outcome explains taken out.

    Parameters
    ----------
    experiment : Experiment
        With propensities known: without a draw by lot nothing may be left unadjusted (:class:`Uplift`).
    before : array-like of shape (n,), optional
        The same outcome before the experiment, or anything known before that goes with it; by default its placebo.
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    k : int
        An experiment with fewer people in an arm is refused.

    Returns
    -------
    Effects
        Further columns ``unadjusted low_unadjusted high_unadjusted``, and ``variance_ratio``: 1 - correlation^2.

    Raises
    ------
    ParameterError
        When propensities are not known, or there is no earlier outcome.
    EmptyError
        When an arm has fewer than ``k`` people, or 2.

    Notes
    -----
    ``Y - theta (B - mean B)`` with ``theta = cov(Y, B) / var(B)``, both within arms; then differences of means,
    weighted by 1 / propensity. The expectation is the same, the variance ``1 - corr(Y, B)^2`` of it. Standard errors
    are over people. Deterministic; one pass.

    References
    ----------
    Deng, Xu, Kohavi and Walker (2013), "Improving the sensitivity of online controlled experiments by utilizing
    pre-experiment data", equations 4 and 5.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from omnireco.causal import Experiment, cuped
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"mail": rng.choice(["yes", "no"], 2000), "before": rng.normal(size=2000)})
    >>> frame["spend"] = frame["before"] + 0.1 * (frame["mail"] == "yes") + 0.5 * rng.normal(size=2000)
    >>> test = Experiment.from_frame(frame, treatment="mail", control="no", outcome="spend", placebo="before",
    ...                              propensity={"yes": 0.5, "no": 0.5})
    >>> cuped(test).table["variance_ratio"].round(1).tolist()
    [0.2]
    """
    import pandas as pd

    check_experiment(experiment)
    p = propensities_of(experiment, None, "cuped")
    given = experiment.placebo if before is None else before
    if given is None:
        raise ParameterError(
            "cuped: the experiment has no outcome from before. Give it: cuped(experiment, "
            "before=frame['spend_before'])."
        )
    b, z = vector(given, "before", len(experiment)), z_of(confidence)
    y, arm, user = experiment.outcome, experiment.arm, experiment.user
    weight = 1.0 / p[np.arange(arm.size), arm]
    check_arms(experiment, None, max(2, check_integer(k, "k", low=1)), "cuped")
    away_y, away_b = (values - _arm_means(values, arm, weight, len(experiment.arms))[arm] for values in (y, b))
    spread = float((weight * away_b**2).sum())
    theta = float((weight * away_b * away_y).sum()) / spread if spread > 0 else 0.0
    left = away_y - theta * away_b
    ratio = float((weight * left**2).sum() / max((weight * away_y**2).sum(), 1e-300))
    rows = []
    for code, name in enumerate(experiment.arms[1:], 1):
        plain, adjusted = (
            _difference(values, arm, weight, user, code)
            for values in (y, y - theta * (b - np.average(b, weights=weight)))
        )
        (effect, error, n_people), (raw, raw_error, _) = adjusted, plain
        rows.append(
            (name, "all", effect, effect - z * error, effect + z * error, arm.size, n_people, raw, raw - z * raw_error,
             raw + z * raw_error, ratio)
        )  # fmt: skip
    columns = ["arm", "group", "effect", "low", "high", "rows", "people", "unadjusted", "low_unadjusted"]
    table = pd.DataFrame(rows, columns=[*columns, "high_unadjusted", "variance_ratio"])
    return Effects(f"difference to {experiment.arms[0]}, by CUPED", table, float(confidence), len(experiment))


@says_the_line("om.causal.complier_effect(experiment)")
def complier_effect(experiment: Experiment, *, confidence: float = 0.95, k: int = 5) -> Effects:
    """Return the effect of a treatment on those whom the assignment reached: not everybody who is called answers.

    Parameters
    ----------
    experiment : Experiment
        ``arm`` is what was drawn by lot, ``received`` whether it arrived (``from_frame(..., received=)``); propensities
        known.
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    k : int
        An experiment with fewer people in an arm is refused.

    Returns
    -------
    Effects
        The effect on compliers (the local average treatment effect). Further columns ``assigned low_assigned
        high_assigned`` (the effect of the assignment, reached or not), ``reached`` (by how much the assignment raised
        the share of those treated) and ``strength`` (its F statistic). ``low`` and ``high`` are of Anderson and Rubin,
        right however few were reached; they may be infinite, and are NaN where the set is no interval.

    Raises
    ------
    ParameterError
        When it is not known who received the treatment, propensities are not known, or an assignment reached nobody.
    EmptyError
        When an arm has fewer than ``k`` people, or 2.

    Notes
    -----
    (difference in outcomes) / (difference in share treated), weighted by 1 / propensity. It assumes that the assignment
    works through the treatment alone, and makes nobody refuse who else had taken it. Comparing those reached with
    those not reached is no substitute: people who answer the phone differ. Standard errors are over people.

    References
    ----------
    Angrist, Imbens and Rubin (1996), "Identification of causal effects using instrumental variables"; Anderson and
    Rubin (1949) and Fieller (1954) for the interval; Gerber and Green (2000) for the data of New Haven.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from omnireco.causal import Experiment, complier_effect
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"call": rng.choice(["yes", "no"], 20000), "home": rng.random(20000) < 0.3})
    >>> frame["reached"] = ((frame["call"] == "yes") & frame["home"]).astype(int)
    >>> frame["voted"] = (rng.random(20000) < 0.4 + 0.2 * frame["reached"] + 0.1 * frame["home"]).astype(int)
    >>> test = Experiment.from_frame(frame, treatment="call", control="no", outcome="voted", received="reached",
    ...                              propensity={"yes": 0.5, "no": 0.5})
    >>> complier_effect(test).table[["effect", "reached"]].round(1).values.tolist()
    [[0.2, 0.3]]
    """
    import pandas as pd

    check_experiment(experiment)
    p = propensities_of(experiment, None, "complier_effect")
    if experiment.received is None:
        raise ParameterError(
            "complier_effect: it is not known who received the treatment. Name the column: "
            "Experiment.from_frame(..., received='reached')."
        )
    z = z_of(confidence)
    k = check_integer(k, "k", low=1)
    check_arms(experiment, None, max(2, k), "complier_effect")
    _check_reached(experiment, experiment.received, k)
    y, d, arm, user = experiment.outcome, experiment.received, experiment.arm, experiment.user
    weight = 1.0 / p[np.arange(arm.size), arm]
    rows = []
    for code, name in enumerate(experiment.arms[1:], 1):
        itt, itt_error, n_people = _difference(y, arm, weight, user, code)
        reached, reached_error, _ = _difference(d, arm, weight, user, code)
        if reached <= 0 and reached_error == 0:
            raise ParameterError(
                f"complier_effect: the assignment of {shown(name)} changed nobody's treatment, so nothing can be said "
                "of "
                "the treatment itself. Is received= the right column?"
            )
        both = _covariance(y, d, arm, weight, user, code)
        low, high = _fieller(itt, reached, itt_error**2, reached_error**2, both, z)
        strength = (reached / reached_error) ** 2 if reached_error > 0 else np.inf
        ends = itt - z * itt_error, itt + z * itt_error
        effect = itt / reached if reached != 0 else np.nan
        rows.append((name, "compliers", effect, low, high, arm.size, n_people, itt, *ends, reached, strength))
    columns = ["arm", "group", "effect", "low", "high", "rows", "people", "assigned", "low_assigned", "high_assigned"]
    table = pd.DataFrame(rows, columns=[*columns, "reached", "strength"])
    return Effects(f"difference to {experiment.arms[0]}, of compliers", table, float(confidence), len(experiment))


@says_the_line("om.causal.policy_value(experiment, {'two mails': model.policy()}, predicted=model.outcomes)")
def policy_value(
    experiment: Experiment,
    policies: Any,
    *,
    against: str | None = None,
    propensity: Any = None,
    predicted: Any = None,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    k: int = 5,
) -> Effects:
    """Return what policies earn per row, and by how much more than one of them, on the same people.

    Parameters
    ----------
    experiment : Experiment
        Arms, outcomes and propensities, one row per person and occasion.
    policies : array-like of shape (n, n_arms), or mapping of str to array-like
        The probability with which a policy gives each arm (``model.policy()``). Every arm for all is there by itself,
        under the arm's name.
    against : str, optional
        The policy that others are compared with; by default the control for all.
    propensity : array-like of shape (n, n_arms), optional
        Where the experiment has none: estimated ones (``model.propensity``).
    predicted : array-like of shape (n, n_arms), optional
        Expected outcomes under every arm, by models that did not see the row: the value is then doubly robust.
    n_bootstrap, seed : int
        Resamples of people.
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    k : int
        An experiment with fewer people in an arm is refused.

    Returns
    -------
    Effects
        ``arm`` is the policy; further columns ``value value_low value_high``.

    Raises
    ------
    ParameterError
        When shapes disagree, rows of a policy do not sum to 1, or a name is unknown.
    EmptyError
        When an arm has fewer than ``k`` people.

    Notes
    -----
    ``value = mean of sum_a pi(a|x) [mu_a(x) + 1[A=a] (Y - mu_a(x)) / p_a]``, the doubly robust estimator of
    :func:`off_policy`; here the difference of two policies has its own, paired, interval. A policy learned from these
    very outcomes is overvalued: learn it on other rows, or use effects out of fold, as ``model.policy()`` does.

    References
    ----------
    Dudik et al. (2014), "Doubly Robust Policy Evaluation and Optimization".

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from omnireco.causal import Experiment, policy_value
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"mail": rng.choice(["yes", "no"], 4000), "likes": rng.integers(0, 2, 4000)})
    >>> frame["spend"] = rng.normal(size=4000) + np.where(frame["likes"] == 1, 1, -1) * (frame["mail"] == "yes")
    >>> test = Experiment.from_frame(frame, treatment="mail", control="no", outcome="spend",
    ...                              propensity={"yes": 0.5, "no": 0.5})
    >>> found = policy_value(test, {"those who like it": np.eye(2)[frame["likes"]]}, against="yes")
    >>> found.table[["arm", "effect"]].round(1).values.tolist()
    [['those who like it', 0.5], ['no', 0.0]]
    """
    import pandas as pd

    check_experiment(experiment)
    n, n_arms = len(experiment), len(experiment.arms)
    p = propensities_of(experiment, propensity, "policy_value")
    check_number(confidence, "confidence", above=0, high=0.999)
    n_bootstrap = check_integer(n_bootstrap, "n_bootstrap", low=1, high=100_000)
    asked = dict(policies) if isinstance(policies, Mapping) else {"policy": policies}
    if taken := [str(name) for name in asked if str(name) in experiment.arms]:
        raise ParameterError(
            f"policy_value: a policy has the name of the arm {shown(taken[0])}, which is valued by itself. Give it "
            "another name: {'by person': ...}."
        )
    given = {str(name): _policy(one, str(name), n, n_arms) for name, one in asked.items()}
    every = given | {
        name: np.tile(np.eye(n_arms)[code], (n, 1)) for code, name in enumerate(experiment.arms) if name not in given
    }
    base = experiment.arms[0] if against is None else check_choice(against, "against", list(every))
    mu = (
        np.full((n, n_arms), float(experiment.outcome.mean()))
        if predicted is None
        else matrix(predicted, "predicted", n)
    )
    if mu.shape[1] != n_arms:
        raise ParameterError(f"predicted has {mu.shape[1]} columns for {n_arms} arms, the control first.")
    check_arms(experiment, None, check_integer(k, "k", low=1), "policy_value")
    row = np.arange(n)
    scores = mu.copy()
    scores[row, experiment.arm] += (experiment.outcome - mu[row, experiment.arm]) / p[row, experiment.arm]
    columns = np.column_stack([np.ones(n), *((one * scores).sum(axis=1) for one in every.values())])
    parts = np.unique(np.linspace(0, n, 65).astype(np.int64)[1:])
    sums = resampled_sums(person_keys(experiment.user, seed), columns, parts, n_draws=n_bootstrap).sum(axis=1)
    drawn, names = sums[:, 1:] / sums[:, :1], list(every)
    mean, at = columns[:, 1:].mean(axis=0), names.index(base)
    low, high = percentile_interval(drawn, confidence)
    less, more = percentile_interval(drawn - drawn[:, [at]], confidence)
    people = int(np.unique(experiment.user).size)
    table = pd.DataFrame({"arm": names, "group": "all", "effect": mean - mean[at], "low": less, "high": more})
    table = table.assign(rows=n, people=people, value=mean, value_low=low, value_high=high)
    kept = table[table["arm"] != base].reset_index(drop=True)
    return Effects(f"value per row above {base}", kept, float(confidence), n)


def _check_reached(experiment: Experiment, received: np.ndarray, k: int) -> None:
    """Refuse an arm of which fewer than ``k`` people were treated, or were not: their number would be known."""
    for code, name in enumerate(experiment.arms):
        for treated in (True, False):
            rows = (experiment.arm == code) & ((received > 0) == treated)
            if 0 < np.unique(experiment.user[rows]).size < k:
                raise EmptyError(
                    f"complier_effect: of the arm {shown(name)} fewer than k={k} people were "
                    f"{'' if treated else 'not '}treated; of so few nothing is said. Wait for more, or write k=1 for "
                    "yourself only."
                )


def _arm_means(values: np.ndarray, arm: np.ndarray, weight: np.ndarray, n_arms: int) -> np.ndarray:
    top = np.bincount(arm, weights=values * weight, minlength=n_arms)
    return np.asarray(top / np.bincount(arm, weights=weight, minlength=n_arms))


def _influence(values: np.ndarray, arm: np.ndarray, weight: np.ndarray, code: int) -> tuple[float, np.ndarray]:
    """Return the difference of weighted means of an arm and the control, and each row's influence on it."""
    found, rows = np.zeros(2), np.zeros(values.size)
    for side, one in enumerate((0, code)):
        mine = arm == one
        total = weight[mine].sum()
        found[side] = float(values[mine] @ weight[mine]) / total
        rows[mine] += (1 if side else -1) * weight[mine] * (values[mine] - found[side]) * values.size / total
    return float(found[1] - found[0]), rows


def _difference(
    values: np.ndarray, arm: np.ndarray, weight: np.ndarray, user: np.ndarray, code: int
) -> tuple[float, float, int]:
    difference, rows = _influence(values, arm, weight, code)
    _, error, people = clustered_mean(rows, user)
    return difference, error, people


def _covariance(
    y: np.ndarray, d: np.ndarray, arm: np.ndarray, weight: np.ndarray, user: np.ndarray, code: int
) -> float:
    """Return the covariance of the differences of two outcomes, over people."""
    a, b = _influence(y, arm, weight, code)[1], _influence(d, arm, weight, code)[1]
    plus, minus = clustered_mean(a + b, user)[1], clustered_mean(a - b, user)[1]
    return float((plus**2 - minus**2) / 4)


def _fieller(a: float, b: float, va: float, vb: float, vab: float, z: float) -> tuple[float, float]:
    """Return the interval of a ratio: where (a - r b)^2 <= z^2 (va - 2 r vab + r^2 vb)."""
    p, q, s = b * b - z * z * vb, a * b - z * z * vab, a * a - z * z * va
    inside = q * q - p * s
    if p > 0:
        root = np.sqrt(max(inside, 0.0))
        return float((q - root) / p), float((q + root) / p)
    return (-np.inf, np.inf) if inside <= 0 else (np.nan, np.nan)


def _policy(given: Any, name: str, n: int, n_arms: int) -> np.ndarray:
    found = matrix(given, f"policy {shown(name)}", n)
    if found.shape[1] != n_arms:
        raise ParameterError(f"policy {shown(name)} has {found.shape[1]} columns for {n_arms} arms, the control first.")
    if (found < 0).any() or (np.abs(found.sum(axis=1) - 1) > 1e-6).any():
        raise ParameterError(f"policy {shown(name)}: rows must be probabilities that sum to 1.")
    return found
