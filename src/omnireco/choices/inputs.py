"""Contexts, rewards and keys of decisions, and attributes of creatives, as arrays of finite numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_numbers, name_rows
from omnireco._core.random import numbers_of_ids
from omnireco.data.frames.columns import open_frame
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import EmptyError, SchemaError

__all__ = [
    "MOST",
    "MOST_REWARD",
    "MOST_WEIGHT",
    "key_numbers",
    "matrix_of_numbers",
    "numbers_or_flags",
    "read_creatives",
    "repeated",
    "too_large",
]

MOST = 1e6  # of a context or feature: squares of it times rounding still leave variances above 0
MOST_REWARD = 1e15
MOST_WEIGHT = 1e12


def matrix_of_numbers(table: Any, name: str) -> np.ndarray:
    """Return a table of finite numbers as float64 (n, d)."""
    x = table.toarray() if sp.issparse(table) else table
    try:
        x = check_numbers(x, name, error=SchemaError)
    except SchemaError:
        raise SchemaError(f"{name} must hold numbers, shape (n, d). Encode other columns: pd.get_dummies.") from None
    if x.ndim != 2:
        raise SchemaError(f"{name} must have the shape (n, d). Got {x.shape}. One row: {name}[None, :].")
    if not np.isfinite(x).all():
        raise SchemaError(
            f"{name} is missing or infinite in {name_rows(~np.isfinite(x).all(axis=1))}. Fill or drop it."
        )
    if (large := np.abs(x).max(axis=1, initial=0.0) > MOST).any():
        raise SchemaError(too_large(name, MOST, large))
    return x


def key_numbers(keys: Any) -> np.ndarray:
    """Return the number behind each key, int64 (n,)."""
    try:
        given = np.asarray(keys)
    except ValueError:  # rows of different lengths
        given = np.empty(0, np.float64)
    if given.dtype.kind not in "iuUO" or given.ndim != 1:
        raise SchemaError(f"keys must be integers or strings, one per context. Got {given.dtype} {given.shape}.")
    return np.asarray(numbers_of_ids(given).view(np.int64))


def too_large(what: str, most: float, rows: np.ndarray) -> str:
    """Return the error for numbers beyond a limit in some rows."""
    return f"{what} is larger than {most:g} in {name_rows(rows)}. Scale contexts and rewards to about 1."


def repeated(ids: np.ndarray) -> np.ndarray:
    """Return positions of ids that stood before."""
    again = np.ones(ids.size, np.bool_)
    again[np.unique(ids, return_index=True)[1]] = False
    return np.flatnonzero(again)


def numbers_or_flags(opened: Any, name: str) -> np.ndarray:
    """Return a column of numbers, or of True and False, as float64 (n,)."""
    import pyarrow.types as pt

    if pt.is_boolean(opened.columns[name].type):
        return np.asarray(opened.flags(name, missing=False), np.float64)
    return np.asarray(opened.numbers(name))


def read_creatives(frame: Any) -> tuple[Vocabulary, Vocabulary, np.ndarray, np.ndarray]:
    """Return creatives, items, the item of each creative, and its tags (n_creatives, q)."""
    opened = open_frame(frame, "Creatives.fit", needed=("creative_id", "item_id"))
    if opened.others:
        opened = open_frame(frame, "Creatives.fit", needed=("creative_id", "item_id", *opened.others))
    known, code = opened.ids("creative_id")
    items, item = opened.ids("item_id")
    if not len(known):
        raise EmptyError("Creatives.fit: the frame of creatives is empty.")
    if len(known) < code.size:
        raise SchemaError(
            f"Creatives.fit: {code.size - len(known):,} creatives are listed twice. A creative belongs to one item: "
            "frame.drop_duplicates('creative_id')."
        )
    order = np.argsort(code)
    names = [name for name in opened.columns if name not in ("creative_id", "item_id")]
    tags = [numbers_or_flags(opened, name)[order] for name in names]
    return known, items, item[order], np.stack(tags, axis=1) if tags else np.empty((code.size, 0))
