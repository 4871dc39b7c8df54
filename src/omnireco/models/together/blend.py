"""Blends: several models, one ranking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_choice, check_mapping, check_number, count_of, shown
from omnireco._core.compute import Progress, row_blocks
from omnireco._core.contract import Estimator
from omnireco._core.frozen import ReadOnly
from omnireco._kernels.topk.exact import select
from omnireco.data.interactions import Interactions
from omnireco.data.recommendations import to_float32
from omnireco.data.vocabulary import Vocabulary
from omnireco.data.weights import Weights, agree
from omnireco.errors import ParameterError
from omnireco.models.base import Model, require_interactions
from omnireco.models.matrix.linear import ItemModel

__all__ = ["Blend", "BlendModel"]

Scale = Literal["none", "deviation", "rank"]
_SCALES = ("none", "deviation", "rank")
_RANK_OFFSET = 60.0  # Cormack et al.; keeps the very first ranks from deciding alone


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Blend(Estimator):
    """Fit several models on the same matrix and add up their scores.

    Models err in different ways; a sum of two good ones is often better than the best of them. Choose the
    weights with :func:`omnireco.evaluation.learn_blend`.

    Parameters
    ----------
    models : mapping of str to estimator
        What to fit, such as ``{"ease": EASE(), "slim": SLIM()}``.
    weights : mapping of str to float, optional
        What each counts; 1 where not listed.
    scale : {"deviation", "rank", "none"}
        How scores are made comparable, for each person: divided by their standard deviation over all items;
        replaced by 1 / (60 + rank); or taken as they are, which suits linear models with the same units.

    Notes
    -----
    A dislike says in a blend what it says in its members. Deterministic. Scores every item for everybody with
    every model: cost O(people x items) per model.

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

    models: Mapping[str, Any]
    weights: Mapping[str, float] | None = None
    scale: Scale = "deviation"

    def __post_init__(self) -> None:
        if not isinstance(self.models, Mapping) or not self.models:
            raise ParameterError(
                f"models must map names to estimators, such as {{'ease': EASE()}}. Got {shown(self.models)}."
            )
        object.__setattr__(self, "models", ReadOnly(dict(self.models)))
        if self.weights is not None:
            object.__setattr__(self, "weights", ReadOnly(_check_weights(self.weights, self.models)))
        check_choice(self.scale, "scale", _SCALES)

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
        fitted = {name: one.fit(data, threads=threads, progress=progress) for name, one in self.models.items()}
        return BlendModel.of(fitted, weights=self.weights, scale=self.scale)


@dataclass(frozen=True, slots=True, eq=False)
class BlendModel(Model):
    """A weighted sum of the scores of fitted models that know the same items.

    Parameters
    ----------
    items : Vocabulary
    popularity : ndarray of shape (n_items,), float32
        That of the first model: the ranking for people without a history.
    names : tuple of str
    models : tuple of Model
    weights : tuple of float
    scale : {"deviation", "rank", "none"}
        See :class:`Blend`.
    """

    items: Vocabulary
    popularity: np.ndarray
    names: tuple[str, ...]
    models: tuple[Model, ...]
    weights: tuple[float, ...]
    scale: Scale

    takes_targets: ClassVar[bool] = True

    @classmethod
    def of(
        cls, models: Mapping[str, Model], *, weights: Mapping[str, float] | None = None, scale: Scale = "deviation"
    ) -> BlendModel:
        """Blend fitted models, whatever they were fitted on, as long as they know the same items.

        Raises
        ------
        ParameterError
            When they do not, or a weight names no model.
        """
        if not isinstance(models, Mapping) or not all(isinstance(model, Model) for model in models.values()):
            raise ParameterError("BlendModel.of takes a mapping of names to fitted models: {'ease': EASE().fit(x)}.")
        if not models:
            raise ParameterError("BlendModel.of: there is no model to blend. Give at least one.")
        check_choice(scale, "scale", _SCALES)
        factor = _check_weights(weights, models)
        first = next(iter(models.values()))
        strange = [name for name, model in models.items() if model.items != first.items]
        if strange:
            raise ParameterError(
                f"BlendModel.of: {', '.join(map(shown, strange))} and the first model know other items. Fit all of "
                "them on matrices with the same items: x.with_items(vocabulary)."
            )
        return cls(
            first.items,
            first.popularity,
            tuple(models),
            tuple(models.values()),
            tuple(factor.get(name, 1.0) for name in models),
            scale,
        )

    @property
    def event_weights(self) -> Weights | None:  # type: ignore[override]
        """What all members are asked with; None where they differ."""
        first = self.models[0].event_weights
        return first if all(agree(first, model.event_weights) for model in self.models) else None

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} x {weight:g}" for name, weight in zip(self.names, self.weights, strict=True))
        return f"BlendModel({count_of(len(self.items), 'item')}, {parts}, scale={self.scale!r})"

    def _rank(
        self,
        histories: sp.csr_matrix,
        *,
        k: int,
        exclude: sp.csr_matrix | None,
        eligible: Any,
        threads: int | None,
        targets: sp.csr_matrix | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        n = histories.shape[0]
        codes, scores = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
        for rows in row_blocks(n, 24 * len(self.items)):
            some = eligible if not isinstance(eligible, tuple) else (eligible[0], eligible[1][rows])
            seen = None if exclude is None else exclude[rows]
            aims = None if targets is None else targets[rows]
            codes[rows], scores[rows] = select(self._all(histories[rows], aims), k=k, exclude=seen, eligible=some)
        return codes, scores

    def _score(self, histories: sp.csr_matrix, codes: np.ndarray, targets: sp.csr_matrix | None = None) -> np.ndarray:
        return self._all(histories, targets)[:, codes]

    def _similar(self, codes: np.ndarray, *, k: int) -> tuple[np.ndarray, np.ndarray]:
        one_item = sp.csr_matrix(
            (np.ones(codes.size, np.float32), codes, np.arange(codes.size + 1)), (codes.size, len(self.items))
        )
        return select(self._all(one_item), k=k, exclude=one_item)

    def _all(self, histories: sp.csr_matrix, targets: sp.csr_matrix | None = None) -> np.ndarray:
        """Return the score of every item, float32 (n, n_items); each row depends on its own history only."""
        total = np.zeros(histories.shape)
        for model, weight in zip(self.models, self.weights, strict=True):
            if weight:
                total += weight * scaled(all_scores(model, histories, targets), self.scale)
        return to_float32(total)


def all_scores(model: Model, histories: sp.csr_matrix, targets: sp.csr_matrix | None = None) -> np.ndarray:
    """Return a model's score of every item, (n, n_items), for histories none of which is empty."""
    if targets is not None:
        if model.takes_targets:
            told: Any = model  # whose _score has one more keyword
            return np.asarray(told._score(histories, np.arange(len(model.items)), targets=targets))
        histories = sp.csr_matrix((histories.data * targets.data, histories.indices, histories.indptr), histories.shape)
    if isinstance(model, ItemModel):  # its _score would copy the weights to pick columns
        product = histories @ model.weights
        return product.toarray() if sp.issparse(product) else np.asarray(product)
    return model._score(histories, np.arange(len(model.items)))


def scaled(scores: np.ndarray, scale: Scale) -> np.ndarray:
    """Return scores (n, n_items) on a scale that different models share, float64."""
    wide = scores.astype(np.float64)
    if scale == "none":
        return wide
    if scale == "deviation":
        spread = wide.std(axis=1, keepdims=True)
        return wide / np.where(spread > 0, spread, 1.0)
    order = np.argsort(-wide, axis=1, kind="stable")  # ties by code
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(1, wide.shape[1] + 1)[None, :].repeat(len(wide), axis=0), axis=1)
    return 1.0 / (_RANK_OFFSET + rank)


def _check_weights(weights: Mapping[str, float] | None, models: Mapping[str, Any]) -> dict[str, float]:
    weights = check_mapping(weights, "weights", "{'ease': 0.5}")
    if unknown := [name for name in weights if name not in models]:
        raise ParameterError(
            f"weights names {', '.join(map(shown, unknown))}, and the models are {', '.join(map(repr, models))}."
        )
    found = {str(name): check_number(weight, f"weights[{shown(name)}]") for name, weight in weights.items()}
    if not any(found.get(str(name), 1.0) for name in models):
        raise ParameterError("weights are all 0, and nothing would be ranked. Give at least one model another weight.")
    return found
