"""Squares of items, dense: X'X, its inverse with a ridge, and whether float32 is enough for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import scipy.sparse as sp

from omnireco._core.compute import (
    Progress,
    in_parallel,
    one_blas_thread,
    pays,
    row_blocks,
    split_evenly,
    ticker,
    usable_threads,
)
from omnireco._kernels.inverse import invert_in_place, n_steps
from omnireco.errors import ParameterError

__all__ = [
    "BLOCK_ROWS",
    "CELL_BYTES",
    "gram_matrix",
    "in_blocks",
    "in_float32",
    "invert_ridge",
    "is_single",
    "mirrored",
    "ridge_scratch",
]

_CONDITION = 500.0  # up to which float32 moves EASE's weights by about a millionth
_WIDE, _WIDE_CONDITION = 16_384, 5_000.0  # items from which memory decides, and float32 may move weights by 2e-5
_POWER_STEPS = 12  # of the bound of the largest eigenvalue; it is tight within a few per cent after five
_GRAM_STEPS = 3e7  # products of cells, or cells of the square, from which compiled code pays

BLOCK_ROWS = 512  # of a square matrix, mirrored or divided at once
CELL_BYTES = 40  # of a sparse matrix that is read by rows and by columns


def is_single(x: sp.csr_matrix, regularization: float) -> bool:
    """Return whether float32 is enough for (X'X + regularization I)^-1, by a bound of its condition number.

    No eigenvalue of X'X exceeds the largest of ``(|X|'|X| v)_i / v_i``, whatever the positive vector v (Collatz and
    Wielandt). With ones that is the largest row sum, some 30 times too much where items differ in popularity; powers of
    the matrix make it tight.
    """
    most = (_CONDITION if x.shape[1] < _WIDE else _WIDE_CONDITION) * regularization
    size, v = abs(x).astype(np.float64), np.ones(x.shape[1])
    for _ in range(_POWER_STEPS):
        image = size.T @ (size @ v)
        if float((image / v).max(initial=0.0)) <= most:
            return True
        v = np.maximum(image / image.max(), 1e-3)
    return False


def ridge_scratch(n: int, cells: int, *, single: bool) -> int:
    """Return the bytes that a ridge takes beside its squares of ``n`` columns: cells by column, and blocks of rows."""
    return CELL_BYTES * cells + 4 * (4 if single else 8) * BLOCK_ROWS * n


def gram_matrix(x: sp.csr_matrix, dtype: type, *, threads: int | None = None) -> np.ndarray:
    """Return X'X, dense (n_items, n_items), of which only the upper triangle counts, summed in float64."""
    steps = float((np.diff(x.indptr).astype(np.float64) ** 2).sum())
    if not pays(max(steps, float(x.shape[1]) ** 2), _GRAM_STEPS):  # the same sums in the same order, to the bit
        doubled = x.astype(np.float32).astype(np.float64)
        by_item, gram = doubled.T.tocsr(), np.empty((x.shape[1], x.shape[1]), dtype)
        for rows in row_blocks(x.shape[1], 8 * x.shape[1], memory=8 << 20):
            gram[rows] = (by_item[rows] @ doubled).toarray()
        return gram
    from omnireco._kernels.gram import gram_rows

    columns = x.tocsc()
    columns.sort_indices()
    parts = (columns.indptr, columns.indices, columns.data, x.indptr, x.indices, x.data)
    wide = [part.astype(np.float32 if part.dtype.kind == "f" else np.int64) for part in parts]
    gram = np.zeros((x.shape[1], x.shape[1]), dtype)

    def work(rows: slice) -> None:
        gram_rows(*wide, rows.start, rows.stop, np.empty(x.shape[1]), gram)

    workers = usable_threads(threads)
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, split_evenly(x.shape[1], 16 * workers)))
    return gram


def mirrored(square: np.ndarray) -> np.ndarray:
    """Return a square matrix, written into, whose upper triangle counts, with the lower one filled block by block."""
    for rows in row_blocks(len(square), 1, most=BLOCK_ROWS):
        corner = np.triu(square[rows, rows])
        square[rows, rows] = corner + np.triu(corner, 1).T
        square[rows.stop :, rows] = square[rows, rows.stop :].T.copy()
    return square


def in_blocks(fill: Callable[[slice], object], n: int, threads: int | None) -> None:
    """Call ``fill`` on blocks of rows that depend on n alone; all threads together are in 512 rows at most."""
    steps = [partial(fill, rows) for rows in row_blocks(n, 1, most=BLOCK_ROWS // 8)]
    with one_blas_thread():
        in_parallel(steps, min(usable_threads(threads), 8))


def invert_ridge(
    gram: np.ndarray,
    regularization: float | np.ndarray,
    verb: str,
    *,
    threads: int | None = None,
    progress: Progress = False,
) -> np.ndarray:
    """Return (gram + regularization I)^-1, of which the upper triangle counts, as it does in ``gram``, used up."""
    gram[np.diag_indices_from(gram)] += regularization
    with ticker(n_steps(len(gram)), progress, label="inverse") as tick:
        if invert_in_place(gram, usable_threads(threads), tick):
            return gram
    raise ParameterError(
        f"{verb}: the Gram matrix is not positive definite at regularization {np.min(regularization):g}. Raise it."
    )


def in_float32(square: np.ndarray) -> np.ndarray:
    """Return a square matrix that nobody else holds as float32, in the place where it is."""
    if square.dtype == np.float32:
        return square
    n = len(square)
    narrow = square.reshape(-1).view(np.float32)
    for row in range(n):  # each ends where the next one to be read begins, or before
        narrow[row * n : (row + 1) * n] = square[row].astype(np.float32)
    del narrow
    square.resize((n * n + 1) // 2, refcheck=False)  # gives the other half back
    return square.view(np.float32)[: n * n].reshape(n, n)
