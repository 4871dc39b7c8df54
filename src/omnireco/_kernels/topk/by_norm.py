"""Items in an order of falling norm, where that lets a search stop early."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnireco._kernels.topk.inputs import frozen

__all__ = ["ByNorm"]

_SPREAD = 0.8  # a median norm below this share of the largest: then some items are out of reach for most people
_NOWHERE = frozen(np.zeros(0, np.int32))


@dataclass(frozen=True, slots=True)
class ByNorm:
    """Items (m, d) as the tiers that multiply floats read them.

    ``order`` (m,) int32 is the code at each place and ``place`` (m,) its inverse; both are empty when the items are in
    the order of their codes, because their norms are so alike that no order would help. ``rest`` (m,) float64 is the
    largest norm at a place or behind it.
    """

    items: np.ndarray
    codes: np.ndarray
    order: np.ndarray
    place: np.ndarray
    rest: np.ndarray

    @classmethod
    def of(cls, items: np.ndarray, norms: np.ndarray, some: np.ndarray | None = None) -> ByNorm:
        """Return items (m, d) with norms (m,), sorted (a copy) where their norms differ enough.

        Of ``some`` of them, ascending codes, always a sorted copy; the others have a place behind the last.
        """
        if some is not None:
            order = some[np.argsort(-norms[some], kind="stable")].astype(np.int32)
            place = np.full(norms.size, order.size, np.int32)
            place[order] = np.arange(order.size, dtype=np.int32)
            return cls(frozen(items[order]), items, frozen(order), frozen(place), frozen(norms[order]))
        if not norms.size or np.median(norms) >= _SPREAD * norms.max():
            rest = np.full(norms.size, norms.max(initial=0.0))
            return cls(items, items, _NOWHERE, _NOWHERE, frozen(rest))
        order = np.argsort(-norms, kind="stable").astype(np.int32)
        place = np.empty(order.size, np.int32)
        place[order] = np.arange(order.size, dtype=np.int32)
        return cls(frozen(items[order]), items, frozen(order), frozen(place), frozen(norms[order]))

    @property
    def differ(self) -> bool:
        """Whether norms differ so much that a search may stop early."""
        return bool(self.rest.size) and bool(self.rest[self.rest.size // 2] < _SPREAD * self.rest[0])

    def codes_of(self, places: np.ndarray) -> np.ndarray:
        """Return the codes at some places."""
        return self.order[places] if self.order.size else places
