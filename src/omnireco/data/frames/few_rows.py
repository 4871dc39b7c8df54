"""A frame of a few rows, as a service makes it for one visitor, read without the machinery for large ones."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np

from omnireco._kernels.log.cells import Coded
from omnireco.data.vocabulary import Vocabulary

__all__ = ["FewPairs", "few_pairs"]

_MOST = 64  # rows
_LARGEST = 1e15  # a weight beyond is looked at with care, elsewhere


class FewPairs(NamedTuple):
    """Pairs of users and items, coded."""

    users: Vocabulary
    items: Vocabulary
    cells: Coded


def few_pairs(frame: Any) -> FewPairs | None:
    """Return the pairs of a small pandas frame in the plainest form, None for all others.

    Plain: at most 64 rows; ``user_id``, ``item_id`` and perhaps ``weight``, nothing else; ids that are all integers
    of 64 bits or all non-empty ASCII strings; weights above 0. Whatever is odd, wrong or large is left to the general
    reader, which gives the same for these.
    """
    pandas = sys.modules.get("pandas")
    if pandas is None or type(frame) is not pandas.DataFrame or not 0 < len(frame) <= _MOST:
        return None
    names = frame.columns.tolist()
    if names not in (["user_id", "item_id"], ["user_id", "item_id", "weight"]):
        return None
    users, items = _ids(frame["user_id"]), _ids(frame["item_id"])
    if users is None or items is None:
        return None
    weight = np.ones(len(frame))
    if len(names) == 3:
        if frame["weight"].dtype not in (np.float64, np.int64):
            return None
        weight = frame["weight"].to_numpy(np.float64, copy=True)
        if not (weight.min() > 0 and weight.max() < _LARGEST):
            return None
    return FewPairs(users[0], items[0], Coded(users[1], items[1], None, weight))


def _ids(column: Any) -> tuple[Vocabulary, np.ndarray] | None:
    """Return a column of ids as (Vocabulary, int32 codes), None where it is not plain."""
    values = column.tolist()
    if column.dtype == np.int64:
        known: np.ndarray = np.array(sorted(set(values)), np.int64)
    elif all(type(value) is str and value and value.isascii() for value in values):
        known = np.array(sorted(set(values)), object)
    else:
        return None
    place = {value: code for code, value in enumerate(known.tolist())}
    return Vocabulary(known), np.array([place[value] for value in values], np.int32)
