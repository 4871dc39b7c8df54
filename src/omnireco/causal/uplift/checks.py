"""What can be seen of a false assumption: imbalance, arms in wrong shares, effects on what came before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco._core.checks import count_of
from omnireco._core.compute import row_blocks
from omnireco.causal.uplift.effects import LEAST_PEOPLE, Effects, line, z_of
from omnireco.causal.uplift.experiment import Experiment, feature_names
from omnireco.causal.uplift.learners import contrasts, design, estimated_propensity, folds_of, standards
from omnireco.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["balance_table", "placebo_effects", "ratio_mismatch", "verdict"]

SURE = 1e-4  # a test that a right experiment fails once in ten thousand
_FEW = 10  # rows of an arm that differ from the usual outcome, under which no interval can be trusted
_LARGE = 0.1  # standardised difference


def ratio_mismatch(propensity: np.ndarray, arm: np.ndarray, user: np.ndarray) -> float:
    """Return the p-value of the counts of the arms under known propensities: a chi-square of sums of lots.

    Where people have several rows their lots may hang together, and the covariance is that over people.
    """
    from scipy.stats import chi2

    n_arms = propensity.shape[1]
    _, person = np.unique(user, return_inverse=True)
    away = (np.bincount(arm, minlength=n_arms) - propensity.sum(axis=0))[1:]
    if int(person.max(initial=-1)) + 1 == arm.size:
        spread = np.diag(propensity.sum(axis=0)) - propensity.T @ propensity
    else:
        each = np.column_stack([np.bincount(person, weights=(arm == k) - propensity[:, k]) for k in range(n_arms)])
        spread = each.T @ each
    spread = spread[1:, 1:]
    return float(chi2.sf(away @ np.linalg.pinv(spread, hermitian=True) @ away, n_arms - 1))


def balance_table(experiment: Experiment, propensity: np.ndarray, overlap: np.ndarray) -> pd.DataFrame:
    """Return standardised differences of every feature, before and after weighting."""
    import pandas as pd

    x, names = experiment.x[overlap], feature_names(experiment)
    arm = experiment.arm[overlap]
    weight = 1.0 / propensity[overlap][np.arange(arm.size), arm]
    scale = standards(x)[1]
    means = [
        [np.average(x[arm == code], axis=0, weights=w[arm == code]) for code in range(len(experiment.arms))]
        for w in (np.ones(arm.size), weight)
    ]
    rows = [
        (name, feature, *((kind[code][column] - kind[0][column]) / scale[column] for kind in means))
        for code, name in enumerate(experiment.arms[1:], 1)
        for column, feature in enumerate(names)
    ]
    return pd.DataFrame(rows, columns=["arm", "feature", "before", "after"])


def placebo_effects(
    experiment: Experiment, propensity: np.ndarray, overlap: np.ndarray, known: bool, confidence: float
) -> Effects:
    """Return doubly robust effects on the placebo outcome, by linear models of what was known before it."""
    import pandas as pd

    if experiment.placebo is None:
        raise ParameterError(
            "placebo: the experiment has no outcome from before the treatment. Give one: "
            "Experiment.from_frame(..., placebo='spend_before')."
        )
    z = z_of(confidence)
    x = experiment.x if experiment.placebo_x is None else experiment.placebo_x
    rows = np.flatnonzero(overlap)
    x, arm, y, user = x[rows], experiment.arm[rows], experiment.placebo[rows], experiment.user[rows]
    fold = folds_of(user, len(experiment.users), 2, 0)
    n_arms = len(experiment.arms)
    if known:
        p = propensity[rows]
    else:
        p = np.clip(estimated_propensity(x, arm, n_arms, fold, 2, 0), 0.01, 1.0)
        p /= p.sum(axis=1, keepdims=True)
    psi = contrasts(y, arm, p, _linear_outcomes(x, arm, y, n_arms, fold))
    table = [line(name, "placebo", psi[:, at], user, z, LEAST_PEOPLE) for at, name in enumerate(experiment.arms[1:])]
    columns = ["arm", "group", "effect", "low", "high", "rows", "people"]
    return Effects("effect on what came before", pd.DataFrame(table, columns=columns), float(confidence), rows.size)


def _linear_outcomes(x: np.ndarray, arm: np.ndarray, y: np.ndarray, n_arms: int, fold: np.ndarray) -> np.ndarray:
    """Return out-of-fold means of the outcome under every arm by ridge regressions, (n, n_arms)."""
    center, scale = standards(x)
    d, mu = x.shape[1] + 1, np.empty((x.shape[0], n_arms))
    for part in (0, 1):
        for code in range(n_arms):
            rows = np.flatnonzero((fold != part) & (arm == code))
            gram, moment = np.diag([1e-9, *[1.0] * (d - 1)]), np.zeros(d)
            for block in row_blocks(rows.size, 16 * d):
                z = design(x[rows[block]], center, scale)
                gram += z.T @ z
                moment += z.T @ y[rows[block]]
            beta = np.linalg.solve(gram, moment)
            test = np.flatnonzero(fold == part)
            for block in row_blocks(test.size, 16 * d):
                mu[test[block], code] = design(x[test[block]], center, scale) @ beta
    return mu


def _noise(model: Any) -> dict[str, float]:
    """Return the standard error of a balanced feature's difference, by arm, from the effective numbers of rows."""
    arm = model.experiment.arm[model.overlap]
    weight = 1.0 / model.propensity[model.overlap][np.arange(arm.size), arm]
    total, square = (np.bincount(arm, weights=w, minlength=len(model.experiment.arms)) for w in (weight, weight**2))
    share = square / np.maximum(total, 1e-300) ** 2
    return {name: float(np.sqrt(share[0] + share[code])) for code, name in enumerate(model.experiment.arms)}


def _imbalanced(model: Any) -> str:
    """Return what shows that known propensities are not those of the draw, or an empty string."""
    from scipy.special import ndtri

    names = feature_names(model.experiment)
    x, arm, user = (part[model.overlap] for part in (model.experiment.x, model.experiment.arm, model.experiment.user))
    weight = 1.0 / model.propensity[model.overlap][np.arange(arm.size), arm]
    n_arms = len(model.experiment.arms)
    limit = -float(ndtri(SURE / 2 / max(1, len(names) * (n_arms - 1)))) + 1.0  # and some room: tails are not normal
    person = np.unique(user, return_inverse=True)[1]
    total = np.bincount(arm, weights=weight, minlength=n_arms)
    worst, found = limit, ""
    for column, name in enumerate(names):
        values = x[:, column]
        if np.ptp(values) == 0 or min(np.bincount(arm, values != np.median(values), minlength=n_arms)) < _FEW:
            continue  # too rare for a normal approximation
        mean = np.bincount(arm, weights=weight * values, minlength=n_arms) / total
        influence = weight * (values - mean[arm]) / total[arm]
        for code in range(1, n_arms):
            mine = (arm == code) | (arm == 0)
            error = float(np.sqrt((np.bincount(person[mine], weights=influence[mine]) ** 2).sum()))
            z = abs(mean[code] - mean[0]) / max(error, 1e-300)
            if z > worst:
                worst = z
                found = (
                    f"{name} differs between {model.experiment.arms[code]} and {model.experiment.arms[0]} by "
                    f"{(mean[code] - mean[0]) / values.std():+.2f} standard deviations, which no draw with "
                    f"these propensities "
                    "does: it decided who was treated. Leave propensity= out to have them estimated, and name "
                    "everything "
                    "that decided among the features."
                )
    return found


def warnings_of(model: Any) -> list[str]:
    """Return what is evidence against the estimates, a sentence each."""
    found = []
    y, arm = model.experiment.outcome, model.experiment.arm
    differ = np.bincount(arm[y != np.median(y)], minlength=len(model.experiment.arms))
    if scarce := [name for name, n in zip(model.experiment.arms, differ, strict=True) if n < _FEW]:
        found.append(
            f"In {', '.join(map(repr, scarce[:3]))} hardly anybody differs in the outcome (fewer than {_FEW} rows): "
            "intervals are too narrow for that. Gather more."
        )
    if model.imbalance < SURE:
        found.append(
            f"The arms have other sizes than their propensities say (p = {model.imbalance:.1e}): people were lost "
            "after "
            "the draw, or it was another draw."
        )
    if model.known and model.experiment.x.shape[1] and (worst_of := _imbalanced(model)):
        found.append(worst_of)
    if not model.known and model.experiment.x.shape[1]:
        table = model.balance()
        noise = table["arm"].map(_noise(model))  # of a difference of means, in standard deviations
        worst = table[table["after"].abs() > _LARGE + 4 * noise]
        if len(worst):
            one = worst.loc[worst["after"].abs().idxmax()]
            found.append(
                f"After weighting, {count_of(len(worst), 'feature')} still differ from the control, {one['feature']} "
                "by "
                f"{one['after']:+.2f} standard deviations: the estimated propensities do not fit."
            )
    if model.experiment.placebo is not None:
        table = model.placebo(confidence=1 - SURE / len(model.arms)).table
        wrong = table[(table["low"] > 0) | (table["high"] < 0)]
        if len(wrong):
            one = wrong.iloc[0]
            found.append(
                f"{one['arm']} seems to have changed what came before it ({one['effect']:+.3g}, {one['low']:+.3g} to "
                f"{one['high']:+.3g}): who got it would have done otherwise anyway, and the effects are confounded."
            )
    return found


def verdict(model: Any) -> str:
    """Return the average effects, what is evidence against them, and what nobody can see, in words."""
    control, lines = model.experiment.arms[0], []
    rows: list[dict[str, Any]] = model.average().table.to_dict("records")
    for row in rows:
        word = "adds" if row["low"] > 0 else "takes away" if row["high"] < 0 else "has no effect that could be shown"
        lines.append(
            f"{row['arm']}: {word}, {row['effect']:+.4g} ({row['low']:+.4g} to {row['high']:+.4g}) on {control}."
        )
    lost = int((~model.overlap).sum())
    if lost:
        lines.append(f"{count_of(lost, 'row')} left out: some arm was hardly possible there.")
    lines += [f"Beware: {one}" for one in warnings_of(model)]
    if not model.known:
        lines.append(
            "Nobody drew lots: this holds only if everything that decided who was treated, and matters for the "
            "outcome, "
            "is among the features. That cannot be tested; a holdout by lot can (propensity=)."
        )
    return "\n".join(lines)
