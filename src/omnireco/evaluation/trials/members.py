"""A blend tuned member by member, and then its weights: a sum of spaces instead of their product."""

from __future__ import annotations

from typing import Any

import numpy as np

from omnireco.errors import OmnirecoError
from omnireco.evaluation.learn_blend import learn_blend
from omnireco.evaluation.metrics import Metric
from omnireco.evaluation.trials.shares import Sides
from omnireco.evaluation.trials.space import Trials, small_space

__all__ = ["is_blend", "spaces_of", "weighed"]


def is_blend(estimator: Any) -> bool:
    """Return whether an estimator is a blend of others."""
    params = getattr(estimator, "get_params", dict)
    return {"models", "weights", "scale"} == set(params(deep=False)) if callable(params) else False


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


def weighed(blend: Any, members: dict[str, Any], cut: Sides, *, k: int, metric: Metric, seed: int) -> tuple[Any, float]:
    """Return the blend of tuned members with learned weights, those of weight 0 left out, and its value."""
    asked = dict(blend.get_params(deep=False)["models"]) | members
    learned = learn_blend(
        blend.replace(models=asked, weights=None), cut.past, cut.later, k=k, metric=metric, seed=seed, people=2_000
    )
    kept = {name: weight for name, weight in learned.weights.items() if weight}
    best = blend.replace(models={name: asked[name] for name in kept}, weights=kept)
    return best, float(np.max([mean for _, mean in learned.trials]))
