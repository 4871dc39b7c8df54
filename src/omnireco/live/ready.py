"""What a factor model computes of its factors before it answers, kept in the snapshot for workers to share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from omnireco._core.parts import Parts, declare, demand, numbers
from omnireco._core.small import Text
from omnireco._kernels.als.fold_in import Space
from omnireco._kernels.topk.exact import tier
from omnireco._kernels.topk.packing import TILE, Tiles
from omnireco.models.matrix.factors import FactorModel

__all__ = ["Ready"]

_TIERS = ("int8-vnni", "int8-avx2", "")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Ready:
    """Arrays that follow from the factors of a model; see :class:`Space` and :class:`Tiles`.

    ``made_for`` is the tier whose tiles these are; another machine makes its own.
    """

    turned: np.ndarray
    spectrum: np.ndarray
    turn: np.ndarray
    made_for: str
    packed: np.ndarray
    start: np.ndarray
    order: np.ndarray
    place: np.ndarray
    facts: np.ndarray

    parts: ClassVar[Parts] = {
        "turned": numbers("turned", dtype=np.float32),
        **{name: numbers(name) for name in ("spectrum", "turn")},
        "made_for": Text(_TIERS),
        "packed": numbers("packed", dtype=np.uint8),
        **{name: numbers(name, dtype=np.int32) for name in ("start", "order", "place")},
        "facts": numbers("tiles", 4),
    }

    def __post_init__(self) -> None:
        declare(self)

    def __repr__(self) -> str:
        return f"Ready({self.made_for or 'any tier'})"

    @classmethod
    def of(cls, model: Any) -> Ready | None:
        """Return what a model computes before it answers; None for one that has no such arrays."""
        if not isinstance(model, FactorModel) or not len(model.items):
            return None
        made_for = tier() if tier().startswith("int8") else ""
        tiles = model._index._quantised(made_for) if made_for else _NO_TILES
        space = model._space
        return cls(
            space.turned,
            space.spectrum,
            space.turn,
            made_for,
            tiles.packed.view(np.uint8),
            *(tiles[1:]),
        )

    def put_into(self, model: FactorModel) -> FactorModel:
        """Return the model with these arrays in place of those that it computed, after checks.

        Compiled code reads them by the codes of items, so every length and code is looked at.
        """
        m, d = model.factors.shape
        width = model._space.spectrum.size
        demand(self.turned.size == m * width and self.spectrum.size == width, "its factors do not fit its model")
        demand(self.turn.size == width * width, "its factors do not fit its model")
        space = Space(self.turned, self.spectrum, self.turn, d)
        if self.made_for:
            model._index._tiles[self.made_for] = self._tiles(m, d)
        return replace(model, _space=space)

    def _tiles(self, m: int, d: int) -> Tiles:
        t, steps = -(-m // TILE), -(-d // 4)
        vnni = self.made_for == "int8-vnni"
        sizes = (self.packed.size, self.start.size, self.order.size, self.place.size, self.facts.shape[0])
        demand(
            sizes == (t * steps * 4 * TILE, t * TILE if vnni else 0, t * TILE, m, t), "its tiles do not fit its model"
        )
        codes = np.arange(m, dtype=np.int32)
        inside = self.place.size == 0 or (self.place.min() >= 0 and self.place.max() < t * TILE)
        demand(inside and np.array_equal(self.order[self.place], codes), "its tiles do not hold every item")
        demand((self.order >= 0).sum() == m and (self.order >= -1).all(), "its tiles hold an item twice")
        return Tiles(self.packed.view(np.int8) if vnni else self.packed, self.start, self.order, self.place, self.facts)


_NONE = np.empty(0, np.int32)
_NO_TILES = Tiles(np.empty(0, np.uint8), _NONE, _NONE, _NONE, np.empty((0, 4)))
