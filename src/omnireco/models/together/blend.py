"""Blends: several models, one ranking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omnireco._core.checks import check_choice, shown
from omnireco._core.compute import Progress
from omnireco._core.contract import Estimator
from omnireco._core.frozen import ReadOnly
from omnireco.data.interactions import Interactions
from omnireco.errors import ParameterError
from omnireco.models.base import require_interactions
from omnireco.models.matrix.factors import ALS
from omnireco.models.matrix.graph import GFCF
from omnireco.models.matrix.linear import EASE
from omnireco.models.matrix.neighbors import UserKNN
from omnireco.models.together.blended import (
    SCALES,
    BlendModel,
    Scale,
    check_blend_weights,
)

__all__ = ["Blend"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Blend(Estimator):
    """Fit several models on the same data and add up their scores.

    Models err in different ways; a sum of two good ones is often better than the best of them. Choose the
    weights with :func:`omnireco.evaluation.learn_blend`.

    Parameters
    ----------
    models : mapping of str to estimator, optional
        What to fit, such as ``{"ease": EASE(), "slim": SLIM()}``. By default four that err differently and whose
        defaults follow the data: ``EASE(dropout=0.25, user_power=0.25)``, ``GFCF(dense=False)``,
        ``ALS(factors=128)`` and ``UserKNN()``; ``om.tune(om.Blend(), x)`` finds their settings and weights inside the
        training set.
    weights : mapping of str to float, optional
        What each counts; 1 where not listed.
    scale : {"deviation", "rank", "none"}
        How scores are made comparable, for each person: divided by their standard deviation over all items;
        replaced by 1 / (60 + rank); or taken as they are, which suits linear models with the same units.

    Notes
    -----
    Members may weigh events differently (ALS on purchases, NextItem on the order of steps): with ``data.requests()``,
    each reads histories of its own; one without a history of a user adds nothing for them. Seen is what any member has
    seen. Dislikes act as in the members. Deterministic. Scores every item for everybody with every model: cost O(people
    x items) per model.

    References
    ----------
    Ranks: Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet and individual rank
    learning methods", SIGIR 2009.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.data import Interactions
    >>> from omnireco.models import EASE, ItemKNN
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": list("ababa")}))
    >>> model = Blend(models={"ease": EASE(), "knn": ItemKNN()}, weights={"knn": 0.5}).fit(x)
    >>> model.recommend(x.rows([3]), k=1).to_frame()["item_id"].tolist()
    ['b']
    """

    models: Mapping[str, Any] | None = None
    weights: Mapping[str, float] | None = None
    scale: Scale = "deviation"

    def __post_init__(self) -> None:
        if self.models is None:
            object.__setattr__(self, "models", _four())
        if not isinstance(self.models, Mapping) or not self.models:
            raise ParameterError(
                f"models must map names to estimators, such as {{'ease': EASE()}}. Got {shown(self.models)}."
            )
        for name, model in self.models.items():
            if isinstance(model, type) or not callable(getattr(model, "fit", None)):
                raise ParameterError(f"models[{shown(name)}] must be an estimator, such as EASE(). Got {shown(model)}.")
        object.__setattr__(self, "models", ReadOnly(dict(self.models)))
        if self.weights is not None:
            object.__setattr__(self, "weights", ReadOnly(check_blend_weights(self.weights, self.models)))
        check_choice(self.scale, "scale", SCALES)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> BlendModel:
        """Return the blend of the fitted models.

        Parameters
        ----------
        data : Dataset, EventLog, EventScan or Interactions
            Handed to every estimator, which weighs events by weights of its own.
        threads, progress : optional
            Handed to every estimator.
        """
        if isinstance(data, Interactions):
            data = require_interactions(data, "Blend.fit", targets=True)
        fitted = {name: one.fit(data, threads=threads, progress=progress) for name, one in (self.models or {}).items()}
        return BlendModel.of(fitted, weights=self.weights, scale=self.scale)


def _four() -> dict[str, Any]:
    """Return estimators that err differently, of which none takes more than a matrix of items squared."""
    return {
        "ease": EASE(dropout=0.25, user_power=0.25),
        "gfcf": GFCF(dense=False),
        "als": ALS(factors=128),
        "users": UserKNN(),
    }
