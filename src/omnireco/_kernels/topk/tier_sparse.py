"""Histories times item-to-item weights with the top-K taken on the way, never users x items at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from omnireco._core.checks import name_rows
from omnireco._kernels.topk import tier_numpy
from omnireco._kernels.topk.inputs import Rules, frozen
from omnireco.errors import ParameterError

__all__ = ["as_histories", "as_weights", "cells_read", "worker"]

_BLOCK = 1 << 21  # scores held at once: 8 or 16 MB
_STREAM, _ROWS = 2048, 64  # items whose float64 sums stay in the nearest cache, and histories between scans


def as_histories(histories: Any) -> sparse.csr_matrix:
    """Return histories as a CSR matrix of finite float32, in the order they are stored."""
    if not sparse.issparse(histories):
        raise ParameterError(
            f"histories must be a scipy sparse matrix. Got {type(histories).__name__}. "
            "Write sparse.csr_matrix(histories), or interactions.to_scipy()."
        )
    csr = histories.tocsr()
    return _finite_csr(csr, "histories")


def as_weights(weights: Any, m: int) -> np.ndarray | sparse.csr_matrix:
    """Return item-to-item weights with m rows, as a C-contiguous float32 array or a CSR matrix of float32."""
    if sparse.issparse(weights):
        checked: np.ndarray | sparse.csr_matrix = _finite_csr(weights.tocsr(), "weights")
    else:
        array = np.asarray(weights)
        if array.ndim != 2 or array.dtype.kind not in "fiu":
            raise ParameterError(
                "weights must be a 2-D array of numbers or a scipy sparse matrix. "
                f"Got shape {array.shape} of {array.dtype}. Pass the item-to-item matrix of the model."
            )
        with np.errstate(over="ignore", under="ignore"):
            checked = np.ascontiguousarray(array, dtype=np.float32)
        if not np.isfinite(checked.sum(dtype=np.float64)):
            bad = name_rows(~np.isfinite(checked).all(axis=1))
            raise ParameterError(
                f"weights must be finite float32 numbers. Got NaN or infinity in {bad}. "
                "Replace them: np.nan_to_num(weights)."
            )
    if checked.shape[0] != m:
        raise ParameterError(
            f"weights must have one row per column of histories. Got {checked.shape[0]} rows and {m} "
            "columns. Use histories and weights with the same items."
        )
    return checked


def worker(
    histories: sparse.csr_matrix,
    weights: np.ndarray | sparse.csr_matrix,
    k: int,
    rules: Rules,
    bias: np.ndarray | None,
    codes: np.ndarray,
    scores: np.ndarray,
    *,
    chosen: str,
) -> Callable[[int, int], None]:
    """Return a function that ranks rows ``first`` to ``last`` of histories into codes and scores (n, k)."""
    if chosen == "numpy":
        return _numpy_worker(histories, weights, k, rules, bias, codes, scores)
    from omnireco._kernels.topk import kernels as kernels
    from omnireco._kernels.topk.packing import TILE

    limits = kernels.Limits(rules.indptr, rules.indices, rules.masks, rules.group)
    no_bias = frozen(np.zeros(0, np.float32))
    parts = _parts(histories)
    if isinstance(weights, np.ndarray):
        dense, matrix = frozen(weights), _parts(sparse.csr_matrix((0, 0), dtype=np.float32))
    else:
        dense, matrix = frozen(np.zeros((0, weights.shape[1]), np.float32)), _parts(weights)
    m = weights.shape[1]
    chunk = min(m, _STREAM) if isinstance(weights, np.ndarray) else m
    width = -(-chunk // TILE) * TILE
    rows = max(1, min(_ROWS, _BLOCK // width))
    nothing = frozen(np.zeros((histories.shape[0], 1), np.float32))
    unmoved, everybody = frozen(np.zeros(0, np.int32)), np.arange(rows)
    added = no_bias if bias is None else bias

    def work(first_row: int, last_row: int) -> None:
        total, exact = np.empty(chunk), np.zeros(rows)
        most = min(rows, last_row - first_row)
        scratch, state = np.empty((most, width), np.float32), kernels.reservoirs(most, k, 1)
        for first in range(first_row, last_row, rows):
            b = min(rows, last_row - first)
            block = scratch[:b]
            for start in range(0, m, chunk):
                c = min(chunk, m - start)
                kernels.score_histories(*parts, dense, *matrix, added, first, start, c, total, block)
                kernels.scan_block(
                    block, c, everybody[:b], start, unmoved, unmoved, exact[:b], k, first, nothing, nothing[:, 0],
                    no_bias, limits, state, start + chunk >= m, codes, scores,
                )  # fmt: skip

    return work


def cells_read(histories: sparse.csr_matrix, weights: np.ndarray | sparse.csr_matrix) -> int:
    """Return about how many weights all histories read."""
    per_cell = weights.shape[1] if isinstance(weights, np.ndarray) else weights.nnz / max(1, weights.shape[0])
    return int(histories.nnz * per_cell)


def _parts(csr: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return indptr, indices and values in the types the kernel is compiled for."""
    indptr, indices = csr.indptr.astype(np.int64, copy=False), csr.indices.astype(np.int32, copy=False)
    return frozen(indptr), frozen(indices), frozen(csr.data)


def _numpy_worker(
    histories: sparse.csr_matrix,
    weights: np.ndarray | sparse.csr_matrix,
    k: int,
    rules: Rules,
    bias: np.ndarray | None,
    codes: np.ndarray,
    scores: np.ndarray,
) -> Callable[[int, int], None]:
    """Return the same with scipy's product, which adds row by row of the weights in stored order."""
    m = weights.shape[1]
    used, column = np.unique(histories.indices, return_inverse=True)  # a few histories read a few rows of weights
    shape = (histories.shape[0], used.size)
    asked = sparse.csr_matrix((histories.data.astype(np.float64), column.ravel(), histories.indptr), shape)
    wide = weights[used].astype(np.float64)
    rows = max(1, _BLOCK // max(1, m))

    def work(first_row: int, last_row: int) -> None:
        for first in range(first_row, last_row, rows):
            part = slice(first, min(first + rows, last_row))
            total = asked[part] @ wide
            total = total.toarray() if sparse.issparse(total) else np.asarray(total)
            if bias is not None:
                total += bias
            block = tier_numpy.rounded(total)
            rules.hide(block, first, 0)
            codes[part], scores[part] = tier_numpy.rank_scores(block, k)

    return work


def _finite_csr(csr: sparse.csr_matrix, name: str) -> sparse.csr_matrix:
    """Return the matrix with finite float32 values; the order of its cells stays."""
    if csr.dtype.kind not in "fiub":
        raise ParameterError(f"{name} must hold numbers. Got {csr.dtype}. Convert them: {name}.astype('float32').")
    with np.errstate(over="ignore", under="ignore"):
        csr = csr.astype(np.float32, copy=False)
    if not np.isfinite(csr.data).all():
        rows = np.repeat(np.arange(csr.shape[0]), np.diff(csr.indptr))
        bad = name_rows(np.unique(rows[~np.isfinite(csr.data)]))
        raise ParameterError(
            f"{name} must be finite float32 numbers. Got NaN or infinity in {bad}. "
            f"Repair them: {name}.data = np.nan_to_num({name}.data)."
        )
    return csr
