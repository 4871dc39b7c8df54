"""The arrays of a value, checked where it is made: compiled code walks them without looking again.

A value that comes out of ``fit`` is sound; one that somebody builds from arrays of their own, field by field, passes
here. What is wrong is a SchemaError that names the field; what is right is kept, read-only, as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import as_csr, csr_fault
from omnireco._core.frozen import ReadOnly
from omnireco.errors import SchemaError

__all__ = ["Cells", "Offsets", "Sound", "keep", "keep_given", "numbers", "places", "sound_labels"]

Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Sound:
    """An array of one type and shape (None: any length), in a range, finite where nothing else is said."""

    shape: Shape
    dtype: Any
    low: float | None = None
    high: float | None = None
    missing: bool = False
    endless: bool = False

    def of(self, array: Any, where: str) -> np.ndarray:
        """Return the array, of its type, read-only."""
        found = _typed(array, np.dtype(self.dtype), where)
        if found.ndim != len(self.shape) or any(
            want not in (None, have) for want, have in zip(self.shape, found.shape, strict=True)
        ):
            wanted = ", ".join("n" if length is None else f"{length:,}" for length in self.shape)
            raise SchemaError(f"{where} must have the shape ({wanted}). Got {found.shape}.")
        if found.size and found.dtype != np.bool_:
            self._check_range(found, where)
        found.setflags(write=False)
        return found

    def _check_range(self, found: np.ndarray, where: str) -> None:
        ends = [found.min(), found.max()]
        if self.missing and np.isnan(ends[0]):
            there = found[~np.isnan(found)]
            ends = [there.min(), there.max()] if there.size else []
        if not (self.endless or np.isfinite(ends).all()) or np.isnan(ends).any():
            raise SchemaError(f"{where} holds NaN or infinity. Leave such rows out, or numpy.nan_to_num.")
        low, high = -np.inf if self.low is None else self.low, np.inf if self.high is None else self.high
        for end in ends:
            if not low <= end <= high:
                raise SchemaError(f"{where} must lie within {low:g} to {high:g}. Got {end:g}.")


@dataclass(frozen=True, slots=True)
class Cells:
    """A sparse matrix by rows, float32 and finite, its columns rising inside each row."""

    shape: tuple[int, int]
    sides: tuple[str, str] = ("rows", "columns")

    def of(self, matrix: Any, where: str) -> sp.csr_matrix:
        """Return the matrix itself when it is sound, or a sorted copy of its type."""
        if not sp.issparse(matrix):
            raise SchemaError(f"{where} must be a scipy sparse matrix. Got {type(matrix).__name__}.")
        if matrix.shape != self.shape:
            raise SchemaError(
                f"{where}: a matrix of shape {matrix.shape} does not fit {self.shape[0]:,} {self.sides[0]} x "
                f"{self.shape[1]:,} {self.sides[1]}. Pass matching vocabularies."
            )
        found = matrix if self._is_sound(matrix) else _sorted(as_csr(matrix, where))
        if found.nnz and not np.isfinite([found.data.min(), found.data.max()]).all():
            raise SchemaError(f"{where} holds NaN or infinity. Leave such cells out before building the matrix.")
        for array in (found.data, found.indices, found.indptr):
            array.setflags(write=False)
        return found

    def _is_sound(self, matrix: Any) -> bool:
        if matrix.format != "csr" or matrix.data.dtype != np.float32 or matrix.data.shape != matrix.indices.shape:
            return False
        return not csr_fault(matrix.indptr, matrix.indices, self.shape)


def _sorted(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Return a copy with sorted columns, each once, in float32."""
    copy = matrix.copy()
    copy.sum_duplicates()
    with np.errstate(over="ignore"):  # infinity is refused next
        return sp.csr_matrix(copy.astype(np.float32))


def _typed(array: Any, wanted: np.dtype[Any], where: str) -> np.ndarray:
    """Return an array of a type: numbers become floats, integers stay exact, and nothing else becomes a number."""
    try:
        found = np.asarray(array)
    except (ValueError, TypeError):
        found = np.empty(0, object)
    fits = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}[wanted.kind]
    if found.size and found.dtype.kind not in fits:
        raise SchemaError(f"{where} must be an array of {wanted}. Got {found.dtype} of {type(array).__name__}.")
    if found.dtype == wanted:
        return found
    with np.errstate(over="ignore"):  # infinity is refused next
        cast = found.astype(wanted)
    if wanted.kind in "iu" and not (cast == found).all():
        raise SchemaError(f"{where} does not fit into {wanted}: its numbers are too large.")
    return cast


def numbers(*shape: int | None, low: float | None = None, high: float | None = None, dtype: Any = np.float64,
            missing: bool = False, endless: bool = False) -> Sound:  # fmt: skip
    """Return what an array of real numbers must be."""
    return Sound(shape, dtype, low, high, missing, endless)


def places(n_known: int, *shape: int | None, none: bool = False, dtype: Any = np.int32) -> Sound:
    """Return what an array of positions among ``n_known`` must be; -1 only where there may be none."""
    return Sound(shape, dtype, -1 if none else 0, n_known - 1)


@dataclass(frozen=True, slots=True)
class Offsets:
    """Where each of ``n`` rows begins among ``m`` cells: (n + 1,), rising from 0 to m."""

    n: int | None
    m: int

    def of(self, array: Any, where: str) -> np.ndarray:
        """Return the array, read-only."""
        found = Sound((None if self.n is None else self.n + 1,), np.int64, 0, self.m).of(array, where)
        if not found.size or found[0] != 0 or found[-1] != self.m or (found[:-1] > found[1:]).any():
            raise SchemaError(f"{where} must rise from 0 to {self.m:,}, the number of cells.")
        return found


def keep(value: Any, /, **parts: Sound | Cells | Offsets) -> None:
    """Put checked arrays in place of the fields of a frozen value."""
    for name, part in parts.items():
        object.__setattr__(value, name, part.of(getattr(value, name), f"{type(value).__name__}: {name}"))


def keep_given(value: Any, /, **parts: Sound | Cells | Offsets) -> None:
    """Do the same with fields that may be None."""
    keep(value, **{name: part for name, part in parts.items() if getattr(value, name) is not None})


def sound_labels(
    labels: Mapping[str, tuple[Any, np.ndarray]], n: int, where: str
) -> ReadOnly[str, tuple[Any, np.ndarray]]:
    """Return columns of ids, a vocabulary and a code per row each, checked and read-only."""
    return ReadOnly(
        {
            name: (known, places(len(known), n, none=True).of(found, f"{where}: {name}"))
            for name, (known, found) in labels.items()
        }
    )
