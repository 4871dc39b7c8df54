"""Shared rows side by side: of each touch the rows that it uses, in the order of the rules."""

from __future__ import annotations

from typing import Any

import numpy as np

from omnireco._kernels.packing.lean.loops import count_loop, place_loop

__all__ = ["WIDEST", "Placed"]

WIDEST = 8  # shared rows of one touch


class Placed:
    """Rows placed one rule after another: arrays (n, width) that grow where a touch needs another place.

    Attributes
    ----------
    row : int16 or int32 array, shape (n, width)
        -1 for an empty place.
    weight : float64 array, shape (n, width), or (0, width) while all weights are 1
    limit : list of float64 arrays
        Of the rules so far.
    """

    def __init__(self, n: int) -> None:
        self.row = np.full((n, 1), -1, np.int16)
        self.weight = np.empty((0, 1))
        self.limit: list[np.ndarray] = []
        self._used = np.zeros(n, np.int8)

    @property
    def n_rows(self) -> int:
        """How many rows there are so far."""
        return sum(limit.size for limit in self.limit)

    def add(self, row: Any, touch: Any, weight: Any, limit: Any) -> bool:
        """Place the rows of a rule; return whether they fit: not where a touch stands twice in one, or in too many."""
        first = self.n_rows
        self.limit.append(np.asarray(limit, np.float64))
        row, touch, weight = (np.asarray(x) for x in (row, touch, weight))
        if not touch.size:
            return True
        widest = int(count_loop(touch, weight, self._used))
        if widest > WIDEST:
            return False
        self._widen(widest, self.n_rows)
        if self.weight.shape[0] == 0 and not (weight == 1.0).all():
            self.weight = np.ones(self.row.shape)
        return bool(place_loop(row, touch, weight, first, self._used, self.row, self.weight))

    def _widen(self, width: int, n_rows: int) -> None:
        """Make room for more places, and for greater numbers of rows."""
        kind = np.int16 if n_rows < np.iinfo(np.int16).max else np.int32
        n, before = self.row.shape
        if width > before or self.row.dtype != kind:
            row = np.full((n, max(width, before)), -1, kind)
            row[:, :before] = self.row
            self.row = row
        if width > before:
            weight = np.ones((self.weight.shape[0], width))
            weight[:, :before] = self.weight
            self.weight = weight
