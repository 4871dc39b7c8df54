"""The arithmetic of off-policy estimators: sums per person, the estimate from their means, and its draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from omnireco._kernels.bootstrap import percentile_interval, resampled_means
from omnireco.causal.shrinking import FORMS, allowance, tuned

__all__ = [
    "ESTIMATORS",
    "NEED_MODEL",
    "PREFERRED",
    "Estimated",
    "Target",
    "carries_all",
    "clustered_error",
    "estimated",
    "mediation_gap",
]

ESTIMATORS = ("ips", "snips", "dm", "dr", "sndr", "switch_dr", "dros", "mips", "weighted_ips", "weighted_dr")
"""Inverse propensity scoring, self-normalised, direct method, doubly robust, self-normalised doubly robust, switching,
with optimistic shrinkage, marginalised over groups of actions, and loggers weighted by precision."""
NEED_MODEL = ("dm", "dr", "sndr", "switch_dr", "dros", "weighted_dr")
PREFERRED: tuple[str, ...] = (
    *("sndr", "dr", "weighted_dr", "dros", "switch_dr", "snips", "weighted_ips", "ips", "mips", "dm"),
    *("cascade_dr", "rips", "sips", "iips"),
)
"""Of the estimators asked for, the first is shown in words."""
_CLEAR = 3.0  # standard errors between mips and ips that show that the groups do not carry the whole effect


class Target(NamedTuple):
    """One policy on a log: importance weights of rows, weights over groups, and what a model predicts."""

    weight: np.ndarray
    grouped: np.ndarray | None
    model: np.ndarray | None  # expected predicted reward of the policy, (n,)
    fitted: np.ndarray | None  # predicted reward of the logged action, (n,)


class Estimated(NamedTuple):
    """What was estimated of one policy: by estimator the value, its draws, and the growth of its interval."""

    value: dict[str, float]
    draws: dict[str, np.ndarray]
    grows: dict[str, float]
    base: float
    base_draws: np.ndarray
    at: dict[str, float]  # chosen hyper-parameters

    def interval(self, estimator: str, confidence: float, *, lift: bool = False) -> tuple[float, float]:
        """Return the interval of a value, or of its difference to what was logged."""
        value = self.value[estimator] - (self.base if lift else 0.0)
        draws = self.draws[estimator] - (self.base_draws if lift else 0.0)
        low, high = percentile_interval(draws[:, None], confidence)
        grown = self.grows.get(estimator, 1.0)
        return float(value - grown * (value - low[0])), float(value + grown * (high[0] - value))


def clustered_error(values: np.ndarray, cluster: np.ndarray, n_people: int) -> float:
    """Return the standard error of a mean over rows whose people hang together."""
    by_person = np.bincount(cluster, weights=values - values.mean(), minlength=n_people)
    return float(np.sqrt((by_person**2).sum()) / values.size)


def mediation_gap(target: Target, rewards: np.ndarray, cluster: np.ndarray, n_people: int) -> tuple[float, float]:
    """Return by how much mips differs from ips, in rewards and in standard errors; NaN without groups."""
    if target.grouped is None:
        return float("nan"), float("nan")
    apart = (target.grouped - target.weight) * rewards
    error = clustered_error(apart, cluster, n_people)
    return float(apart.mean()), float(apart.mean() / error) if error > 0 else 0.0


def carries_all(gap: float) -> bool:
    """Return whether groups may carry the whole effect, from the gap in standard errors."""
    return bool(np.isnan(gap) or abs(gap) <= _CLEAR)


def estimated(
    target: Target,
    wanted: tuple[str, ...],
    rewards: np.ndarray,
    cluster: np.ndarray,
    logger: np.ndarray | None,
    *,
    confidence: float,
    n_draws: int,
    seed: int,
) -> Estimated:
    """Return the estimates of one policy and their draws over people."""
    n_people = int(cluster.max()) + 1
    w, r = target.weight, rewards
    columns = {"n": np.ones(r.size), "r": r, "w": w, "wr": w * r}
    grows, at = {}, {}
    if target.model is not None and target.fitted is not None:
        residual = r - target.fitted
        columns |= {"q": target.model, "wd": w * residual}
        for form in FORMS:
            if form in wanted:
                found = tuned(w, form, residual, target.model, cluster)
                columns[form] = target.model + found.weight * residual
                grows[form], at[form] = allowance(found.bias, confidence), found.at
        if "weighted_dr" in wanted:
            factor = _by_precision(target.model + w * residual, logger)
            columns["weighted_dr"] = target.model + factor * w * residual
    if target.grouped is not None:
        columns["mips"] = target.grouped * r
    if "weighted_ips" in wanted:
        columns["weighted_ips"] = _by_precision(w * r, logger) * w * r
    keys = list(columns)
    sums = [np.bincount(cluster, weights=columns[key], minlength=n_people) for key in keys]
    point = {key: np.float64(total.mean()) for key, total in zip(keys, sums, strict=True)}
    draws = resampled_means(np.column_stack(sums), n_draws=n_draws, seed=seed)
    drawn = {key: draws[:, i] for i, key in enumerate(keys)}
    return Estimated(
        {name: float(_estimate(name, point)) for name in wanted},
        {name: _estimate(name, drawn) for name in wanted},
        grows,
        point["r"] / point["n"],
        drawn["r"] / drawn["n"],
        at,
    )


def _by_precision(values: np.ndarray, logger: np.ndarray | None) -> np.ndarray:
    """Return factors of rows that weigh the mean of each logger by its inverse variance; NaN where one has none."""
    code = np.zeros(values.size, np.int64) if logger is None else np.unique(logger, return_inverse=True)[1]
    size = np.bincount(code)
    mean = np.bincount(code, weights=values) / size
    variance = np.bincount(code, weights=(values - mean[code]) ** 2) / size
    if (size < 2).any() or (variance <= 0).any():
        return np.full(values.size, np.nan)
    share = (size / variance) / (size / variance).sum()
    factor: np.ndarray = (share / size)[code] * values.size
    return factor


def _estimate(name: str, mean: Mapping[str, Any]) -> Any:
    """Return one estimator from means over people of sums over their decisions; scalars or draws alike."""
    n = mean["n"]
    with np.errstate(invalid="ignore", divide="ignore"):
        if name == "ips":
            return mean["wr"] / n
        if name == "snips":
            return mean["wr"] / mean["w"]
        if name == "dm":
            return mean["q"] / n
        if name == "dr":
            return (mean["q"] + mean["wd"]) / n
        if name == "sndr":
            return mean["q"] / n + mean["wd"] / mean["w"]
        return mean[name] / n
