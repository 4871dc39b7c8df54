"""The fitted blend: a weighted sum of the scores of models that know the same items."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_choice, check_mapping, check_number, count_of, shown
from omnireco._core.compute import row_blocks
from omnireco._kernels.topk.exact import select
from omnireco.data.interactions import Interactions
from omnireco.data.recommendations import to_float32
from omnireco.data.vocabulary import Vocabulary
from omnireco.data.weights import Weights, agree
from omnireco.errors import ParameterError
from omnireco.models.base import Model, Past, Reader, either

__all__ = ["SCALES", "BlendModel", "Scale", "all_scores", "check_blend_weights", "scaled"]

Scale = Literal["none", "deviation", "rank"]
SCALES = ("none", "deviation", "rank")
_RANK_OFFSET = 60.0  # Cormack et al.; keeps the very first ranks from deciding alone


@dataclass(frozen=True, slots=True, eq=False)
class BlendModel(Model):
    """A weighted sum of the scores of fitted models that know the same items.

    Parameters
    ----------
    items : Vocabulary
        Ids of the items that it knows, in the order of their codes.
    popularity : ndarray of shape (n_items,), float32
        That of the first model: the ranking for people without a history.
    names : tuple of str
        Names of the members.
    models : tuple of Model
        The fitted members, in this order.
    weights : tuple of float
        Weight of each member, in this order.
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
        check_choice(scale, "scale", SCALES)
        factor = check_blend_weights(weights, models)
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
        """The event weights of all members; None where they differ."""
        first = self.models[0].event_weights
        return first if all(agree(first, model.event_weights) for model in self.models) else None

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} x {weight:g}" for name, weight in zip(self.names, self.weights, strict=True))
        return f"BlendModel({count_of(len(self.items), 'item')}, {parts}, scale={self.scale!r})"

    def _on_channel(self, channel: str) -> Model:
        members = tuple(model._on_channel(channel) for model in self.models)
        if all(one is other for one, other in zip(members, self.models, strict=True)):
            return self
        return replace(self, models=members, popularity=members[0].popularity)

    def _all_weights(self) -> tuple[Weights, ...]:
        return tuple(weights for model in self.models for weights in model._all_weights())

    def _reading(self) -> Hashable:
        forms = tuple(model._reading() for model in self.models)
        return forms if any(form is not None for form in forms) else None

    def _read(self, reader: Reader) -> Past:
        return _together([model._read(reader) for model in self.models])

    def _past_of(self, histories: Interactions) -> Past:
        return _together([model._past_of(histories) for model in self.models])

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
        past = Past(histories, targets, histories)
        return self._rank_past(past, k=k, exclude=exclude, eligible=eligible, threads=threads)

    def _rank_past(
        self, past: Past, *, k: int, exclude: sp.csr_matrix | None, eligible: Any, threads: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        n = len(past)
        codes, scores = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
        for rows in row_blocks(n, 24 * len(self.items)):
            some = eligible if not isinstance(eligible, tuple) else (eligible[0], eligible[1][rows])
            seen = None if exclude is None else exclude[rows]
            codes[rows], scores[rows] = select(self._all(past[rows]), k=k, exclude=seen, eligible=some)
        return codes, scores

    def _score(self, histories: sp.csr_matrix, codes: np.ndarray, targets: sp.csr_matrix | None = None) -> np.ndarray:
        return self._all(Past(histories, targets, histories))[:, codes]

    def _score_past(self, past: Past, codes: np.ndarray) -> np.ndarray:
        return self._all(past)[:, codes]

    def _similar(
        self, codes: np.ndarray, *, k: int, eligible: Any, threads: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        one_item = sp.csr_matrix(
            (np.ones(codes.size, np.float32), codes, np.arange(codes.size + 1)), (codes.size, len(self.items))
        )
        queries = Interactions(Vocabulary(np.arange(codes.size)), self.items, one_item, {"all": one_item})
        return select(self._all(self._past_of(queries)), k=k, exclude=one_item, eligible=eligible)

    def _contributions(self, history: sp.csr_matrix, targets: np.ndarray | None, shown_items: np.ndarray) -> np.ndarray:
        if self.scale == "rank":
            return Model._contributions(self, history, targets, shown_items)
        total = np.zeros((history.indices.size, shown_items.size))
        for member, factor in zip(self.models, self.weights, strict=True):
            if not factor:
                continue
            if self.scale == "deviation":
                cells = (
                    None
                    if targets is None
                    else sp.csr_matrix((targets, history.indices, history.indptr), history.shape)
                )
                factor /= float(all_scores(member, history, cells).astype(np.float64).std()) or 1.0
            total += factor * member._contributions(history, targets, shown_items)
        return total

    def _all(self, past: Past) -> np.ndarray:
        """Return the score of every item, float32 (n, n_items); each row depends on its own history only.

        A member without a history of a user adds nothing for them.
        """
        total, every = np.zeros((len(past), len(self.items))), np.arange(len(self.items))
        for number, (model, weight) in enumerate(zip(self.models, self.weights, strict=True)):
            if not weight:
                continue
            if not past.parts:  # all members read the same cells
                total += weight * scaled(all_scores(model, past.cells, past.targets), self.scale)
                continue
            own = past.parts[number]
            warm = np.flatnonzero(~own.silent())
            if warm.size:
                some = own if warm.size == len(own) else own[warm]
                found = model._score_all(some.cells, some.targets) if not some.parts else model._score_past(some, every)
                total[warm] += weight * scaled(found, self.scale)
        return to_float32(total)


def _together(parts: list[Past]) -> Past:
    """Return what the members of a blend read, and what any of them has seen or knows as rejected."""
    seen, rejected = parts[0].seen, parts[0].rejected
    for part in parts[1:]:
        if part.seen is not seen:
            seen = either(seen, part.seen)
        if part.rejected is not None:
            rejected = part.rejected if rejected is None else either(rejected, part.rejected)
    return Past(seen, None, seen, rejected, tuple(parts))


def all_scores(model: Model, histories: sp.csr_matrix, targets: sp.csr_matrix | None = None) -> np.ndarray:
    """Return a model's score of every item, (n, n_items), for histories none of which is empty."""
    if targets is not None and not model.takes_targets:
        histories = sp.csr_matrix((histories.data * targets.data, histories.indices, histories.indptr), histories.shape)
        targets = None
    return model._score_all(histories, targets)


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


def check_blend_weights(weights: Mapping[str, float] | None, models: Mapping[str, Any]) -> dict[str, float]:
    """Return the weights of a blend by name; a name that no model has, or nothing but zeros, is an error."""
    weights = check_mapping(weights, "weights", "{'ease': 0.5}")
    if unknown := [name for name in weights if name not in models]:
        raise ParameterError(
            f"weights names {', '.join(map(shown, unknown))}, and the models are {', '.join(map(repr, models))}."
        )
    found = {str(name): check_number(weight, f"weights[{shown(name)}]") for name, weight in weights.items()}
    if not any(found.get(str(name), 1.0) for name in models):
        raise ParameterError("weights are all 0, and nothing would be ranked. Give at least one model another weight.")
    return found
