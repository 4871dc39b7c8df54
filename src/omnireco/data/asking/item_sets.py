"""Sets of items, one per request: a basket, or what must not be shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import count_of
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Offsets, Parts, coded, declare
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import ParameterError

__all__ = ["ItemSets"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ItemSets:
    """Items per request, coded once.

    Parameters
    ----------
    items : Vocabulary
    indptr : ndarray of shape (n + 1,), int64
        The items of request r are ``item[indptr[r]:indptr[r + 1]]``.
    item : ndarray of shape (m,), int32
    """

    items: Vocabulary
    indptr: np.ndarray
    item: np.ndarray

    parts: ClassVar[Parts] = {"items": Ids(), "indptr": Offsets("ids", "cells"), "item": coded("items", "cells")}

    def __post_init__(self) -> None:
        declare(self)

    @classmethod
    def read(cls, sets: Any, n: int, name: str) -> ItemSets | None:
        """Read one collection of item ids per request; None is none.

        Raises
        ------
        ParameterError
            When there are not as many as requests, or one is not a collection of ids.
        """
        if sets is None:
            return None
        if isinstance(sets, ItemSets):
            if len(sets) != n:
                raise ParameterError(
                    f"{name} has {len(sets):,} sets of items for {n:,} requests. Give one per request."
                )
            return sets
        example = f"Write {name}=[['tea', 'cup'], []]: one list of item ids per request."
        if isinstance(sets, (str, bytes, Mapping, Set)) or not isinstance(sets, Iterable):
            raise ParameterError(f"{name} must be a list of lists of item ids. Got {type(sets).__name__}. {example}")
        listed = list(sets)
        if len(listed) != n:
            raise ParameterError(f"{name} has {len(listed):,} sets of items for {n:,} requests. {example}")
        wrong = [one for one in listed if isinstance(one, (str, bytes, Mapping)) or not isinstance(one, Iterable)]
        if wrong:
            raise ParameterError(
                f"{name} holds one {type(wrong[0]).__name__} in place of a list of item ids. {example}"
            )
        rows = [list(one) for one in listed]
        indptr = np.r_[0, np.cumsum([len(row) for row in rows], dtype=np.int64)].astype(np.int64)
        flat = [item for row in rows for item in row]
        if not flat:
            return cls(Vocabulary(np.empty(0, np.int64)), indptr, np.empty(0, np.int32))
        items, item = Vocabulary.encode(flat, "item_id")
        return cls(items, indptr, item)

    def __len__(self) -> int:
        return int(self.indptr.size - 1)

    def __repr__(self) -> str:
        return f"ItemSets({count_of(int(self.item.size), 'item')} in {count_of(len(self), 'set')})"

    _repr_html_ = shown_html

    def take(self, rows: np.ndarray) -> ItemSets:
        """Return the sets of some requests, in the order given."""
        picked = self.over(len(self.items), np.arange(len(self.items)))[np.asarray(rows, np.int64)]
        return ItemSets(self.items, picked.indptr.astype(np.int64), picked.indices.astype(np.int32))

    def matrix(self, items: Vocabulary, where: str) -> sp.csr_matrix:
        """Return the sets over another catalogue, float32 (n, n_items); what it does not know is left out.

        Raises
        ------
        IdKindError
            When the ids are of another kind.
        """
        return self.over(len(items), match(items, self.items, ("the model", where), column="item_id"))

    def over(self, n_items: int, position: np.ndarray) -> sp.csr_matrix:
        """Return the sets as ones (n, n_items), by the place of each item; -1 is left out."""
        column = position[self.item] if self.item.size else self.item
        row = np.repeat(np.arange(len(self)), np.diff(self.indptr))
        kept = column != NONE
        found = sp.csr_matrix((np.ones(int(kept.sum()), np.float32), (row[kept], column[kept])), (len(self), n_items))
        found.sum_duplicates()
        found.data[:] = 1.0
        return found
