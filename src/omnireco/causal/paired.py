"""Two policies on one log, compared on the same rows: the difference of their values, with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.checks import shown
from omnireco._kernels.log.order import distinct
from omnireco.causal.estimating import (
    Estimated,
    Target,
    carries_all,
    clustered_error,
    ends,
    estimated,
    grown_by_bias,
)
from omnireco.causal.logged import LoggedDecisions
from omnireco.causal.shrinking import FORMS
from omnireco.errors import ParameterError

__all__ = ["DIFFERENCES", "Side", "differences", "no_difference", "sentence", "with_reference"]

DIFFERENCES = ("difference", "difference_low", "difference_high")


class Side(NamedTuple):
    """One policy of a pair: its name, its importance weights before clipping, and what was estimated of it."""

    name: Any
    target: Target  # with the weights that were used
    whole: np.ndarray
    one: Estimated


def with_reference(policy: Any, against: Any) -> tuple[dict[Any, Any], Any]:
    """Return all policies by name, and the name of the one that the others are compared with."""
    policies = dict(policy) if isinstance(policy, Mapping) else {"target": policy}
    if np.isscalar(against):
        if not isinstance(policy, Mapping) or against not in policies:
            raise ParameterError(
                f"against={shown(against)} names none of policy={{...}}. Write the name of one of them, or give the "
                "probabilities of another policy: against={'now': probabilities}."
            )
        return policies, against
    given = dict(against) if isinstance(against, Mapping) else {"other": against}
    if len(given) != 1:
        raise ParameterError(
            f"against holds {len(given)} policies, and all are compared with one: against={{'now': probabilities}}."
        )
    name = next(iter(given))
    if name in policies:
        raise ParameterError(
            f"against and policy both hold {shown(name)}. Write against={shown(name)} for the one in policy, or give "
            "the other another name."
        )
    return policies | given, name


def differences(
    sides: list[Side], reference: Any, wanted: tuple[str, ...], decisions: LoggedDecisions, confidence: float, k: int
) -> tuple[list[tuple[float, float, float]], list[tuple[float, str]]]:
    """Return per policy and estimator the difference to the reference with its interval, and per policy two checks.

    The checks are the share of decisions that the two policies weigh differently, and why there is no difference.
    """
    cluster, _ = decisions.clusters
    other = next(side for side in sides if side.name == reference)
    found, checks = [], []
    for side in sides:
        differ = side.whole != other.whole
        why = no_difference(differ, cluster, k)
        checks.append((float(differ.mean()), why))
        straight = [_straight(one, wanted, decisions, confidence) for one in (side, other)]
        for estimator in wanted:
            if why or (estimator == "mips" and not _groups_carry(side, other, decisions)):
                found.append((np.nan, np.nan, np.nan))
            else:
                found.append(_difference(estimator, (side.one, other.one), straight, confidence))
    return found, checks


def no_difference(differ: np.ndarray, cluster: np.ndarray, k: int) -> str:
    """Return why two policies that choose differently for fewer than k people get no difference, or nothing."""
    if not differ.any() or distinct(cluster[differ].astype(np.int64)).size >= k:
        return ""
    return (
        f"The two differ in decisions about fewer than k={k} people, so their difference would be what these few did."
    )


def sentence(row: dict[str, Any], reference: str, differing: float) -> str:
    """Return what a difference means, in words."""
    start = f"{row['policy']} against {reference}: "
    if np.isnan(row["difference"]):
        return f"{start}no difference, because one of the two has no value."
    if np.isnan(row["difference_low"]):
        return f"{start}{row['difference']:+.4g} by {row['estimator']}, without an interval."
    if row["difference_low"] > 0:
        words = "better"
    elif row["difference_high"] < 0:
        words = "worse"
    else:
        words = "not significantly different"
    return (
        f"{start}{words}, {row['difference']:+.4g} ({row['difference_low']:+.4g} to {row['difference_high']:+.4g}) by "
        f"{row['estimator']}; they weigh {differing:.0%} of the decisions differently."
    )


def _straight(side: Side, wanted: tuple[str, ...], decisions: LoggedDecisions, confidence: float) -> Estimated:
    """Return the estimates without clipping and shrinking, which have no bias of their own."""
    if not (side.target.weight < side.whole).any() and not set(FORMS) & set(wanted):
        return side.one
    names = tuple(dict.fromkeys((*(name for name in wanted if name not in FORMS), *_DR[side.target.model is None])))
    target = side.target._replace(weight=side.whole)
    return estimated(target, names, decisions.rewards, decisions.clusters[0], decisions.logger, confidence=confidence)


_DR: dict[bool, tuple[str, ...]] = {True: (), False: ("dr",)}


def _difference(
    estimator: str, pair: tuple[Estimated, Estimated], straight: list[Estimated], confidence: float
) -> tuple[float, float, float]:
    """Return the difference of two estimates of one log, and its interval.

    People move both estimates at once: their influences are subtracted before they are squared, so what both policies
    share cancels. Where weights were clipped or shrunken, the difference to the same pair without that is the bias, and
    the interval allows for it.
    """
    value, influence = _apart(estimator, pair)
    if np.isnan(value):
        return np.nan, np.nan, np.nan
    if estimator == "dm":
        return value, np.nan, np.nan
    plain, plain_influence = _apart("dr" if estimator in FORMS else estimator, straight)
    grown = grown_by_bias(value - plain, influence, influence - plain_influence, confidence)
    return (value, *ends(value, influence, confidence, grown=grown))


def _apart(estimator: str, pair: Any) -> tuple[float, np.ndarray]:
    one, other = pair
    return one.value[estimator] - other.value[estimator], one.influence[estimator] - other.influence[estimator]


def _groups_carry(side: Side, other: Side, decisions: LoggedDecisions) -> bool:
    """Return whether groups of actions may carry the whole difference, as for one policy."""
    one, two = side.target, other.target
    if one.grouped is None or two.grouped is None:
        return True
    apart = ((one.grouped - one.weight) - (two.grouped - two.weight)) * decisions.rewards
    cluster, n_people = decisions.clusters
    error = clustered_error(apart, cluster, n_people)
    return carries_all(float(apart.mean() / error) if error > 0 else 0.0)
