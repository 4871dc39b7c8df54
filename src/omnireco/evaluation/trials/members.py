"""A blend tuned member by member, and then its weights: a sum of spaces instead of their product."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from omnireco.data.interactions import Interactions
from omnireco.errors import DataWarning, OmnirecoError
from omnireco.evaluation.learn_blend import learn_blend
from omnireco.evaluation.metrics import Metric
from omnireco.evaluation.trials.judging import truth_of
from omnireco.evaluation.trials.shares import Sides
from omnireco.evaluation.trials.space import Trials, small_space

__all__ = ["foretold", "is_blend", "lighter", "repeats", "spaces_of", "weighed"]

_WHOLE = 20_000  # items whose square is solved within a minute; time grows with their cube
_NEIGHBORS = 100
_SQUARE_SECONDS, _SQUARE_ITEMS = 374.0, 40_981  # CPU seconds of one whole regression on so many items, measured
_LONG = 20.0  # CPU minutes of a search that are said before it begins


def is_blend(estimator: Any) -> bool:
    """Return whether an estimator is a blend of others."""
    params = getattr(estimator, "get_params", dict)
    return {"models", "weights", "scale"} == set(params(deep=False)) if callable(params) else False


def repeats(estimator: Any) -> bool:
    """Return whether its lists are mostly of what people had before."""
    if is_blend(estimator):
        return any(repeats(one) for one in estimator.get_params(deep=False)["models"].values())
    return bool(getattr(estimator, "ranks_repeats", False))


def lighter(estimator: Any, n_items: int) -> Any:
    """Return the estimator, and of many items one that regresses each item on a hundred others, with a DataWarning."""
    if n_items <= _WHOLE:
        return estimator
    light = _lighter(estimator)
    if light is not estimator:
        where = "models__ease__" if is_blend(estimator) else ""
        warnings.warn(
            f"tune: a regression on all of {n_items:,} items takes minutes, and a search some twenty of them. Tuned is "
            f"EASE(neighbors={_NEIGHBORS}) in its place. Fit the whole one with the settings that are found: "
            f"found.estimator.replace({where}neighbors=None).fit(data). Or give a space, tune(estimator, data, "
            "{'regularization': [100, 300]}), to tune the whole one.",
            DataWarning,
            stacklevel=3,
        )
    return light


def foretold(estimator: Any, n_items: int, n_fits: int) -> None:
    """Warn before a search whose regressions on all items take long; fits with neighbors, and of few items, do not."""
    own = estimator.get_params(deep=False)
    members = list(own["models"].values()) if is_blend(estimator) else [estimator]
    whole = sum(_is_whole(one) for one in members)
    minutes = whole * n_fits * _SQUARE_SECONDS * (n_items / _SQUARE_ITEMS) ** 3 / 60
    if minutes > _LONG:
        warnings.warn(
            f"tune: {n_fits} fits with a regression on all of {n_items:,} items take about {minutes:,.0f} CPU minutes. "
            "Say fewer trials (trials=4), tune EASE(neighbors=100) and fit the whole one with its settings, or wait "
            "with progress=True.",
            DataWarning,
            stacklevel=3,
        )


def _is_whole(estimator: Any) -> bool:
    own = estimator.get_params(deep=False)
    return _is_ease_of_all(own) or {"regularization", "context_steps"} <= own.keys()


def _is_ease_of_all(own: dict[str, Any]) -> bool:
    return {"regularization", "neighbors", "dropout"} <= own.keys() and own["neighbors"] is None


def _lighter(estimator: Any) -> Any:
    own = estimator.get_params(deep=False)
    if is_blend(estimator):
        light = {name: _lighter(one) for name, one in own["models"].items()}
        same = all(light[name] is one for name, one in own["models"].items())
        return estimator if same else estimator.replace(models=light)
    if not _is_ease_of_all(own) or own["diagonal"] or own["kept_weight"]:
        return estimator
    return estimator.replace(neighbors=_NEIGHBORS)


def spaces_of(blend: Any, data: Any, trials: Trials) -> dict[str, tuple[Any, dict[str, Any], int]]:
    """Return each member that has something to tune, its small space, and how many settings of it to try."""
    found = {}
    for name, member in blend.get_params(deep=False)["models"].items():
        try:
            found[name] = (member, small_space(member, data))
        except OmnirecoError:  # nothing to tune: it joins as it is
            continue
    each = max(1, trials.n // max(1, len(found)))
    return {name: (member, space, each) for name, (member, space) in found.items()}


def weighed(
    blend: Any,
    members: dict[str, Any],
    cut: Sides,
    *,
    k: int,
    metric: Metric,
    seed: int,
    counts: Any,
    exclude_seen: bool,
) -> tuple[Any, float]:
    """Return the blend of tuned members with learned weights, those of weight 0 left out, and its value."""
    asked = dict(blend.get_params(deep=False)["models"]) | members
    later = cut.later if isinstance(cut.later, Interactions) else truth_of(cut.later, counts, "tune")
    learned = learn_blend(
        blend.replace(models=asked, weights=None), cut.past, later, k=k, metric=metric, exclude_seen=exclude_seen,
        seed=seed, people=2_000,
    )  # fmt: skip
    kept = {name: weight for name, weight in learned.weights.items() if weight}
    best = blend.replace(models={name: asked[name] for name in kept}, weights=kept)
    return best, float(np.max([mean for _, mean in learned.trials]))
