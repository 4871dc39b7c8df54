"""What another policy would have earned with lists of several places, from lists of known probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnireco._core.checks import check_array, check_integer, check_names, check_number, check_numbers, count_of, shown
from omnireco._core.contract import says_the_line
from omnireco._core.frozen import locked
from omnireco._core.notebook import shown_html
from omnireco.causal.arrays import LEAST_CHANCE, matrix
from omnireco.causal.estimating import carries_all, clustered_error, ends, ratios
from omnireco.causal.logged import check_people
from omnireco.causal.off_policy import OffPolicy, check_enough, check_frames, refusal, too_few, warn_of_weights
from omnireco.causal.paired import DIFFERENCES, no_difference
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import EmptyError, ParameterError

__all__ = ["SLATE_ESTIMATORS", "LoggedSlates", "off_policy_slates"]

SLATE_ESTIMATORS = ("sips", "rips", "cascade_dr", "iips")
"""Weights of the whole list, of the places so far (cascade), of these with a reward model, and of each place alone."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LoggedSlates:
    """Lists that were shown, the probability of each place, and what each place earned.

    Parameters
    ----------
    rewards : array-like of shape (n, n_places)
        What each place earned, from the top.
    propensity : array-like of shape (n, n_places)
        The probability with which the item at each place was drawn, given the places above it, in (0, 1].
    people : array-like of shape (n,), optional
        Whom each list was shown to; whole people are resampled.

    Raises
    ------
    ParameterError
        When shapes disagree, a number is missing or a propensity lies outside (0, 1].

    Examples
    --------
    >>> LoggedSlates([[1.0, 0.0]], [[0.5, 0.5]])
    LoggedSlates(1 list of 2 places)
    """

    rewards: Any
    propensity: Any
    people: Any = None

    def __post_init__(self) -> None:
        n = check_array(self.rewards, "rewards").shape[0] if np.ndim(self.rewards) else 0
        rewards = matrix(self.rewards, "rewards", n)
        propensity = matrix(self.propensity, "propensity", n)
        _same(propensity, rewards, "propensity")
        if bad := int((~((propensity > LEAST_CHANCE) & (propensity <= 1))).sum()):
            raise ParameterError(f"propensity has {count_of(bad, 'probability', 'probabilities')} outside (0, 1].")
        people = None if self.people is None else check_people(self.people, n)
        for name, value in (("rewards", rewards), ("propensity", propensity), ("people", people)):
            object.__setattr__(self, name, None if value is None else locked(value))

    def __len__(self) -> int:
        return int(self.rewards.shape[0])

    def __repr__(self) -> str:
        return f"LoggedSlates({count_of(len(self), 'list')} of {count_of(self.rewards.shape[1], 'place')})"

    _repr_html_ = shown_html

    @property
    def clusters(self) -> tuple[np.ndarray, int]:
        """A code per list, (n,), and how many distinct there are: people, or else every list by itself."""
        if self.people is None:
            return np.arange(len(self)), len(self)
        distinct, code = Vocabulary.encode(self.people, "people")
        return code, len(distinct)


@says_the_line("om.causal.off_policy_slates(om.causal.LoggedSlates(rewards, propensity), policy)")
def off_policy_slates(
    logged: LoggedSlates,
    policy: Any,
    *,
    predicted: Any = None,
    expected: Any = None,
    estimators: Iterable[str] | None = None,
    place_weights: Any = None,
    least_effective: float = 1000,
    confidence: float = 0.95,
    k: int = 5,
    against: Any = None,
) -> OffPolicy:
    """Estimate what another policy would have earned with its lists, or refuse.

    Parameters
    ----------
    logged : LoggedSlates
        Lists that were shown, with the rewards and propensities of their places.
    policy : array-like of shape (n, n_places)
        The probability with which the policy puts the logged item at each place, given the places above it.
    predicted : array-like of shape (n, n_places), optional
        What a model that did not see the row predicts that this place **and all below it** earn, given the logged
        items down to it. With ``expected`` it brings ``cascade_dr``.
    expected : array-like of shape (n, n_places), optional
        The same prediction, averaged over the policy's choice at this place, given the logged items above.
    estimators : iterable of str, optional
        Some of ``sips rips cascade_dr iips``; by default all that the input allows but ``iips``.
    place_weights : array-like of shape (n_places,), optional
        What a reward counts at each place; 1 by default. Predictions are of weighted rewards.
    least_effective : float
        Refuse a policy whose effective sample size is smaller, per estimator.
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    k : int
        Refuse a policy whose weights are about fewer people, as in :func:`off_policy`.
    against : array-like of shape (n, n_places), or dict, optional
        Another policy to compare with, as in :func:`off_policy`. For ``cascade_dr`` a dict with the keys ``policy
        predicted expected``, since what a place and all below it earn depends on the policy.

    Returns
    -------
    OffPolicy
        The value is the mean weighted reward of a list. ``mips_gap`` is the difference of ``rips`` to ``sips`` in
        standard errors.

    Raises
    ------
    ParameterError
        When shapes disagree, or an estimator lacks its input.
    EmptyError
        When there is no list, or all are about fewer than ``k`` people.

    Notes
    -----
    With w_1..l the product of policy / propensity over the places down to l: ``sips`` weighs every reward with the
    product over all places and assumes nothing; ``rips`` with the product down to its place, right where people read
    from the top and lower places do not change what upper ones earn (McInerney et al. 2020); ``cascade_dr`` adds a
    reward model to it, sum_l w_1..l (r_l - Q_l) + w_1..l-1 E[Q_l] (Kiyohara et al. 2022, equation 8); ``iips`` takes
    each place alone (Li et al. 2018), right only without any interaction. Where a cascade is contradicted, that is
    where ``rips`` differs from ``sips`` by more than 3 standard errors, ``rips`` and ``cascade_dr`` have no value.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> click = (rng.random((4000, 2)) < 0.3).astype(float)
    >>> half = np.full((4000, 2), 0.5)
    >>> found = off_policy_slates(LoggedSlates(click, half), half)
    >>> found.table["estimator"].tolist(), bool(np.isclose(found.table["value"], click.sum(axis=1).mean()).all())
    (['sips', 'rips'], True)
    """
    if not isinstance(logged, LoggedSlates):
        raise ParameterError(
            f"off_policy_slates takes LoggedSlates. Got {type(logged).__name__}. Write "
            "om.causal.LoggedSlates(rewards, propensity)."
        )
    n, places = logged.rewards.shape
    if not n or not places:
        raise EmptyError("off_policy_slates: there is no list to learn from.")
    check_number(least_effective, "least_effective", low=1)
    check_number(confidence, "confidence", above=0, high=0.999)
    wanted = _wanted(estimators, predicted is not None)
    counts = np.ones(places) if place_weights is None else check_numbers(place_weights, "place_weights")
    if counts.shape != (places,) or not np.isfinite(counts).all():
        raise ParameterError(f"place_weights must be {places} finite numbers, one per place.")
    rewards = logged.rewards * counts
    cluster, n_people = logged.clusters
    k = check_integer(k, "k", low=1)
    asked = {"target": (policy, predicted, expected)}
    if against is not None:
        asked["other"] = _reference(against, predicted is not None)
    sides = {name: _side(logged, rewards, given, name) for name, given in asked.items()}
    check_enough(n_people, k, "off_policy_slates")
    size = np.bincount(cluster, minlength=n_people).astype(np.float64)
    totals = np.bincount(cluster, weights=rewards.sum(axis=1), minlength=n_people)
    base, base_influence = ratios([(totals, size)])
    constant = np.ptp(rewards, axis=0).max() == 0  # nothing was seen that could tell how rewards vary
    rows: list[tuple[Any, ...]] = []
    checks: list[tuple[Any, ...]] = []
    earned: dict[tuple[str, str], tuple[float, np.ndarray]] = {}
    for name, (values, whole) in sides.items():
        apart = values["rips"] - values["sips"]
        error = clustered_error(apart, cluster, n_people)
        gap = float(apart.mean() / error) if error > 0 else 0.0
        effective = float(whole.sum() ** 2 / max((whole**2).sum(), 1e-300))
        refused = refusal(effective, least_effective) or too_few(whole, cluster, k)
        for estimator in wanted:
            contradicted = estimator in ("rips", "cascade_dr", "iips") and not carries_all(gap)
            if refused or contradicted:
                rows.append((name, estimator, *[np.nan] * 6))
                continue
            value, influence = ratios([(np.bincount(cluster, weights=values[estimator], minlength=n_people), size)])
            if constant:
                influence = np.full(n_people, np.nan)
            earned[name, estimator] = (value, influence)
            found = ends(value, influence, confidence)
            lifted = ends(value - base, influence - base_influence, confidence)
            rows.append((name, estimator, value, *found, value - base, *lifted))
        mean_error = clustered_error(whole, cluster, n_people)
        checks.append(
            (name, effective, whole.mean(), mean_error, whole.max(), 0.0, np.nan, refused, np.nan, np.nan, gap)
        )
    warn_of_weights(checks, "off_policy_slates")
    table, diagnostics = check_frames(rows, checks)
    if against is None:
        return OffPolicy(table, diagnostics, base, n, n_people, confidence)
    differ = sides["target"][1] != sides["other"][1]
    why = no_difference(differ, cluster, k)
    apart_rows = []
    for name, estimator in zip(table["policy"], table["estimator"], strict=True):
        pair = [earned.get((side, estimator)) for side in (name, "other")]
        apart_rows.append((np.nan,) * 3 if why or None in pair else _apart(pair, confidence))
    table[list(DIFFERENCES)] = np.array(apart_rows)
    diagnostics["differing"], diagnostics["no_difference"] = [float(differ.mean()), 0.0], [why, ""]
    return OffPolicy(table, diagnostics, base, n, n_people, confidence, against="other")


def _apart(pair: Any, confidence: float) -> tuple[float, float, float]:
    """Return the difference of two estimates of one log, and its interval."""
    (value, influence), (other, its) = pair
    return (value - other, *ends(value - other, influence - its, confidence))


def _reference(against: Any, has_model: bool) -> tuple[Any, Any, Any]:
    """Return the policy to compare with, and what a model predicts under it."""
    if not isinstance(against, Mapping):
        if has_model:
            raise ParameterError(
                "against= needs a model of its own where predicted= is given: "
                "against={'policy': probabilities, 'predicted': q, 'expected': v}."
            )
        return against, None, None
    names = {"policy", "predicted", "expected"} if has_model else {"policy"}
    if set(against) != names:
        raise ParameterError(f"against must hold {', '.join(sorted(names))}. It has {count_of(len(against), 'key')}.")
    return against["policy"], against.get("predicted"), against.get("expected")


def _side(
    logged: LoggedSlates, rewards: np.ndarray, given: tuple[Any, Any, Any], name: str
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the values of every list under one policy, by estimator, and the weights of the lists."""
    policy, predicted, expected = given
    n, label = len(logged), "policy" if name == "target" else "against"
    target = matrix(policy, label, n)
    _same(target, rewards, label)
    if target.min() < 0 or target.max() > 1 + 1e-9:
        raise ParameterError(f"{label} holds numbers outside [0, 1]: it must be probabilities.")
    if (predicted is None) != (expected is None):
        raise ParameterError("predicted= and expected= belong together: give both, or neither.")
    ratio = target / logged.propensity
    down = np.cumprod(ratio, axis=1)
    whole = down[:, -1]
    values = {
        "sips": whole * rewards.sum(axis=1),
        "rips": (down * rewards).sum(axis=1),
        "iips": (ratio * rewards).sum(axis=1),
    }
    if predicted is not None:
        q, v = matrix(predicted, "predicted", n), matrix(expected, "expected", n)
        _same(q, rewards, "predicted")
        _same(v, rewards, "expected")
        above = np.column_stack([np.ones(n), down[:, :-1]])
        values["cascade_dr"] = (down * (rewards - q) + above * v).sum(axis=1)
    return values, whole


def _same(array: np.ndarray, rewards: np.ndarray, name: str) -> None:
    if array.shape != rewards.shape:
        raise ParameterError(f"{name} has the shape {array.shape} and rewards {rewards.shape}: they must agree.")


def _wanted(given: Iterable[str] | None, has_model: bool) -> tuple[str, ...]:
    if given is None:
        return ("sips", "rips", "cascade_dr") if has_model else ("sips", "rips")
    names = tuple(dict.fromkeys(check_names(given, "estimators")))
    if not names:
        raise ParameterError("estimators is empty. Leave it out, or write estimators=['sips'].")
    for name in names:
        if not isinstance(name, str) or name not in SLATE_ESTIMATORS:
            raise ParameterError(f"estimators must be some of {', '.join(SLATE_ESTIMATORS)}. Got {shown(name)}.")
        if name == "cascade_dr" and not has_model:
            raise ParameterError("cascade_dr needs predicted= and expected=, what a model predicts.")
    return names
