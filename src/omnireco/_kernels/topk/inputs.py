"""Inputs of the top-K kernels, checked once: factors, exclusions, eligibility, bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from omnireco._core.checks import as_csr, check_array, check_k, csr_fault, name_rows, unmasked
from omnireco.errors import ParameterError

__all__ = ["NOTHING", "Rules", "as_bias", "as_factors", "as_k", "as_rules", "frozen", "row_norms"]

_NO_INDPTR = np.zeros(1, dtype=np.int64)
_NO_INDICES = np.zeros(0, dtype=np.int32)
_NO_MASKS = np.zeros((0, 0), dtype=np.bool_)
_NO_GROUP = np.zeros(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Rules:
    """What may not be returned, for n rows and m items.

    ``indptr`` (n+1,) int64 and ``indices`` int32 are each row's exclusions, sorted within the row; both
    are empty when nothing is excluded (``indptr`` has then length 1). ``masks`` (g, m) bool and ``group``
    (n,) int32 say which items each row may get; ``masks`` has no rows when every item is eligible, and
    ``group`` is empty when all rows share the one mask.
    """

    indptr: np.ndarray
    indices: np.ndarray
    masks: np.ndarray
    group: np.ndarray

    @property
    def excludes(self) -> bool:
        """Return whether any row excludes anything."""
        return bool(self.indptr.size > 1)

    @property
    def masked(self) -> bool:
        """Return whether eligibility is restricted."""
        return bool(self.masks.shape[0])

    def rows(self, rows: np.ndarray) -> Rules:
        """Return the rules of some rows, in the order given."""
        indptr, indices = self.indptr, self.indices
        if self.excludes:
            lengths = np.diff(indptr)[rows]
            out = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
            shift = np.repeat(indptr[:-1][rows] - out[:-1], lengths)
            indices = indices[np.arange(out[-1]) + shift]
            indptr = out
        group = self.group[rows] if self.group.size else self.group
        return Rules(frozen(indptr), frozen(indices), self.masks, frozen(group))

    def hide(
        self,
        block: np.ndarray,
        first_row: int,
        first_item: int,
        order: np.ndarray = _NO_GROUP,
        place: np.ndarray = _NO_GROUP,
    ) -> None:
        """Overwrite with -inf what may not be returned in ``block`` (b, c): rows and items counted from the firsts.

        ``order`` (m,) is the code at each place and ``place`` its inverse, where items are not in the order of codes.
        """
        b, c = block.shape
        if self.excludes:
            start, stop = self.indptr[first_row], self.indptr[first_row + b]
            row = np.repeat(np.arange(b), np.diff(self.indptr[first_row : first_row + b + 1]))
            item = self.indices[start:stop]
            item = (place[item] if place.size else item) - first_item
            inside = (item >= 0) & (item < c)
            block[row[inside], item[inside]] = -np.inf
        if self.masked:
            code = order[first_item : first_item + c]
            masks = self.masks[:, code] if order.size else self.masks[:, first_item : first_item + c]
            if not self.group.size:
                block[:, ~masks[0]] = -np.inf
                return
            group = self.group[first_row : first_row + b]
            for g in np.unique(group):
                block[np.ix_(group == g, ~masks[g])] = -np.inf


def frozen(array: np.ndarray) -> np.ndarray:
    """Return a read-only view: kernels are compiled once for it, not again for arrays that can be written."""
    view = array.view()
    view.setflags(write=False)
    return view


NOTHING = Rules(frozen(_NO_INDPTR), frozen(_NO_INDICES), frozen(_NO_MASKS), frozen(_NO_GROUP))


def as_k(k: Any) -> int:
    """Return k as an int of at least 1."""
    return check_k(k)


def as_factors(values: Any, name: str) -> np.ndarray:
    """Return a C-contiguous float32 (rows, d) array; finiteness is checked with the norms."""
    array = check_array(unmasked(values, name), name)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise ParameterError(
            f"{name} must be a 2-D array of numbers, one row of factors each. Got {_shape(array)}. "
            f"For one vector write {name}[None, :]."
        )
    if array.shape[1] == 0:
        raise ParameterError(f"{name} must have at least one factor per row. Got {_shape(array)}.")
    if array.dtype == np.float32:
        return frozen(np.ascontiguousarray(array))
    with np.errstate(over="ignore", under="ignore"):
        return frozen(np.ascontiguousarray(array, dtype=np.float32))


def row_norms(array: np.ndarray, name: str) -> np.ndarray:
    """Return float64 norms (rows,) of float32 ``array``, rounded up; refuse NaN and infinity."""
    squares = np.empty(array.shape[0], dtype=np.float64)
    step = max(1, (1 << 20) // array.shape[1])
    for start in range(0, array.shape[0], step):
        wide = array[start : start + step].astype(np.float64)
        np.einsum("ij,ij->i", wide, wide, out=squares[start : start + step])  # each row by itself, in any batch
    if not np.isfinite(squares).all():
        bad = ~np.isfinite(squares)
        raise ParameterError(
            f"{name} must be finite float32 numbers. Got NaN or infinity in {name_rows(bad)}. "
            f"Remove or repair them: {name}[np.isfinite({name}).all(axis=1)]."
        )
    return frozen(np.sqrt(squares) * (1.0 + 1e-9))


def as_bias(bias: Any, n_items: int) -> np.ndarray | None:
    """Return a float32 (m,) array, or None."""
    if bias is None:
        return None
    array = check_array(unmasked(bias, "bias"), "bias")
    if array.shape != (n_items,) or array.dtype.kind not in "fiu":
        raise ParameterError(
            f"bias must hold one number per item, shape ({n_items},). Got {_shape(array)}. Pass bias=None for no bias."
        )
    with np.errstate(over="ignore", under="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(array).all():
        bad = name_rows(~np.isfinite(array))
        raise ParameterError(
            f"bias must be finite. Got NaN or infinity in {bad}. To hide items, use eligible= instead."
        )
    return frozen(array)


def as_rules(exclude: Any, eligible: Any, n: int, m: int) -> Rules:
    """Return checked exclusions and eligibility for ``n`` rows and ``m`` items."""
    indptr, indices = (_NO_INDPTR, _NO_INDICES) if exclude is None else _exclusions(exclude, n, m)
    masks, group = (_NO_MASKS, _NO_GROUP) if eligible is None else _eligibility(eligible, n, m)
    return Rules(frozen(indptr), frozen(indices), frozen(masks), frozen(group))


def _exclusions(exclude: Any, n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (indptr int64, indices int32) with indices sorted within each row."""
    if sparse.issparse(exclude):
        if exclude.shape != (n, m):
            raise ParameterError(
                f"exclude must have one row per query and one column per item, shape ({n}, {m}). "
                f"Got {exclude.shape}. Select the same rows first: exclude=seen[rows]."
            )
        csr = exclude
        if exclude.format != "csr" or csr_fault(csr.indptr, csr.indices, csr.shape):  # another form, or not in order
            csr = as_csr(exclude, "exclude").copy()
            csr.has_sorted_indices = False  # whatever its flag
            csr.sort_indices()
        return csr.indptr.astype(np.int64, copy=False), csr.indices.astype(np.int32, copy=False)
    if not isinstance(exclude, tuple) or len(exclude) != 2:
        raise ParameterError(
            "exclude must be a scipy sparse matrix or a pair (indptr, indices). "
            f"Got {type(exclude).__name__}. Write exclude=sparse.csr_matrix(seen)."
        )
    indptr, indices = (np.asarray(part) for part in exclude)
    if indptr.shape != (n + 1,) or indices.ndim != 1 or {indptr.dtype.kind, indices.dtype.kind} - set("iu"):
        raise ParameterError(
            f"exclude=(indptr, indices) must be integers with indptr of length {n + 1}. "
            f"Got {_shape(indptr)} and {_shape(indices)}. Write exclude=(csr.indptr, csr.indices)."
        )
    indptr = indptr.astype(np.int64, copy=False)
    if indptr[0] != 0 or indptr[-1] != indices.size or (np.diff(indptr) < 0).any():
        raise ParameterError(
            f"exclude=(indptr, indices) must have indptr rising from 0 to {indices.size}. Got "
            f"{int(indptr[0])} to {int(indptr[-1])}. Write exclude=(csr.indptr, csr.indices)."
        )
    if indices.size and (indices.min() < 0 or indices.max() >= m):
        bad = int(((indices < 0) | (indices >= m)).sum())
        raise ParameterError(
            f"exclude names item codes outside 0 to {m - 1}: {bad} of {indices.size}. "
            "Encode the exclusions with the vocabulary of the items."
        )
    indices = indices.astype(np.int32, copy=False)
    falls = indices[1:] < indices[:-1]
    if falls.any() and not np.isin(np.flatnonzero(falls) + 1, indptr).all():
        csr = sparse.csr_matrix((np.ones(indices.size, dtype=np.bool_), indices, indptr), shape=(n, m))
        indices = csr.sorted_indices().indices.astype(np.int32, copy=False)
    return indptr, indices


def _eligibility(eligible: Any, n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (masks (g, m) bool, group (n,) int32 or empty)."""
    if not isinstance(eligible, tuple):
        mask = check_array(eligible, "eligible")
        if mask.shape != (m,) or mask.dtype != np.bool_:
            raise ParameterError(
                f"eligible must be booleans of shape ({m},), or a pair (masks, group). "
                f"Got {_shape(mask)}. Write eligible=np.isin(np.arange({m}), codes)."
            )
        return np.ascontiguousarray(mask[None, :]), _NO_GROUP
    if len(eligible) != 2:
        raise ParameterError(
            f"eligible=(masks, group) needs two arrays. Got {len(eligible)}. "
            "masks is bool (g, m), group an integer row of masks for each query."
        )
    masks, group = (np.asarray(part) for part in eligible)
    if masks.ndim != 2 or masks.shape[1] != m or masks.shape[0] == 0 or masks.dtype != np.bool_:
        raise ParameterError(
            f"eligible=(masks, group) needs boolean masks of shape (groups, {m}). Got {_shape(masks)}. "
            "Stack one row per group: np.stack([mask_of_group_0, mask_of_group_1])."
        )
    if group.shape != (n,) or group.dtype.kind not in "iu":
        raise ParameterError(
            f"eligible=(masks, group) needs one integer group per query, shape ({n},). "
            f"Got {_shape(group)}. Write np.zeros({n}, dtype=int) for one common group."
        )
    if n and (group.min() < 0 or group.max() >= masks.shape[0]):
        bad = int(((group < 0) | (group >= masks.shape[0])).sum())
        raise ParameterError(
            f"eligible=(masks, group) has groups outside 0 to {masks.shape[0] - 1}: {bad} of {n}. "
            "Number the groups as the rows of masks."
        )
    return np.ascontiguousarray(masks), group.astype(np.int32)


def _shape(array: np.ndarray) -> str:
    return f"shape {array.shape} of {array.dtype}"
