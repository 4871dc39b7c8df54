"""A frame of a few rows, as a service makes it for one visitor, read without the machinery for large ones."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from omnireco._kernels.log.cells import Coded
from omnireco.data.vocabulary import Vocabulary

__all__ = ["FewPairs", "few_columns", "few_pairs"]

_MOST = 64  # rows
_LARGEST = 1e15  # a weight beyond is looked at with care, elsewhere
_FIRST_US, _LAST_US = 31_536_000_000_000, 4_102_444_800_000_000  # 1971 and 2100: times beyond are doubted, elsewhere
_PER_US = {"ns": 1_000, "us": 1}


class FewPairs(NamedTuple):
    """Pairs of users and items, coded."""

    users: Vocabulary
    items: Vocabulary
    cells: Coded


def few_pairs(frame: Any) -> FewPairs | None:
    """Return the pairs of a small pandas frame in the plainest form, None for all others.

    Plain: as :func:`few_columns` says; ``user_id``, ``item_id`` and perhaps ``weight``, nothing else.
    """
    found = few_columns(frame, {"user_id": "id", "item_id": "id"}, {"weight": "weight"})
    if found is None:
        return None
    (users, user), (items, item) = found["user_id"], found["item_id"]
    return FewPairs(users, items, Coded(user, item, None, found.get("weight", np.ones(user.size))))


def few_columns(frame: Any, needed: Mapping[str, str], optional: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the columns of a small pandas frame in the plainest form, None for all others.

    Plain: at most 64 rows; the columns needed, perhaps optional ones, and nothing else; ids that are all integers of
    64 bits or all non-empty ASCII strings, names that are strings; instants of a known zone between 1971 and 2100;
    finite amounts, and weights above 0. Whatever is odd, wrong or large is left to the general reader, which gives the
    same for these.

    Parameters
    ----------
    frame : any
    needed, optional : mapping of str to {"id", "name", "instant", "amount", "weight"}

    Returns
    -------
    dict or None
        (Vocabulary, int32 codes) for ids and names, int64 UTC microseconds for instants, float64 for numbers.
    """
    pandas = sys.modules.get("pandas")
    if pandas is None or type(frame) is not pandas.DataFrame or not 0 < len(frame) <= _MOST:
        return None
    names, kinds = frame.columns.tolist(), {**needed, **optional}
    if len(set(names)) < len(names) or any(name not in names for name in needed):
        return None
    found: dict[str, Any] = {}
    for name in names:
        kind = kinds.get(name) if type(name) is str else None
        column = None if kind is None else _READ[kind](frame[name])
        if column is None:
            return None
        found[name] = column
    return found


def _ids(column: Any) -> tuple[Vocabulary, np.ndarray] | None:
    """Return a column of ids as (Vocabulary, int32 codes), None where it is not plain."""
    kind = getattr(column.dtype, "categories", column).dtype
    if kind not in (np.int64, object) and not isinstance(kind, sys.modules["pandas"].StringDtype):
        return None  # cells of other kinds need not even be objects of Python: dates beyond the year 9999
    values = column.tolist()
    if column.dtype == np.int64:
        known: np.ndarray = np.array(sorted(set(values)), np.int64)
    elif all(type(value) is str and value and value.isascii() for value in values):
        known = np.array(sorted(set(values)), object)
    else:
        return None
    place = {value: code for code, value in enumerate(known.tolist())}
    return Vocabulary(known), np.array([place[value] for value in values], np.int32)


def _names(column: Any) -> tuple[Vocabulary, np.ndarray] | None:
    return None if column.dtype == np.int64 else _ids(column)


def _instants(column: Any) -> np.ndarray | None:
    """Return aware times as UTC microseconds, None where one is missing, far off, or they are no column of times."""
    kind = column.dtype
    per_us = _PER_US.get(getattr(kind, "unit", "")) if getattr(kind, "tz", None) is not None else None
    if per_us is None or not isinstance(kind, sys.modules["pandas"].DatetimeTZDtype):
        return None
    at = np.asarray(column.array, f"M8[{kind.unit}]").view(np.int64) // per_us
    return at if at.min() >= _FIRST_US and at.max() < _LAST_US else None


def _amounts(column: Any) -> np.ndarray | None:
    """Return finite numbers as float64."""
    if column.dtype not in (np.float64, np.int64):
        return None
    values: np.ndarray = column.to_numpy(np.float64, copy=True)
    return values if np.abs(values).max() < _LARGEST else None


def _weights(column: Any) -> np.ndarray | None:
    values = _amounts(column)
    return None if values is None or values.min() <= 0 else values


_READ = {"id": _ids, "name": _names, "instant": _instants, "amount": _amounts, "weight": _weights}
