"""Fold-in: the vector that explains a history, given the item factors; arrays in, arrays out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from omnireco._compute import aligned, split_evenly, usable_threads

__all__ = ["fold_in", "padded_gram"]

_FEW = 64  # rows below which starting threads costs more than it saves


def padded_gram(gram: np.ndarray) -> np.ndarray:
    """Return a Gram matrix (d, d) as the kernel reads it: float64, flat, padded with a unit diagonal, read-only."""
    from omnireco.models._fold_in import PAD

    d = gram.shape[0]
    width = -(-d // PAD) * PAD
    flat = aligned(width * width, np.float64)
    square = flat.reshape(width, width)
    square[np.diag_indices(width)] = 1.0
    square[:d, :d] = gram
    flat.setflags(write=False)
    return flat


def fold_in(
    indptr: np.ndarray,
    indices: np.ndarray,
    weight: np.ndarray,
    pull: np.ndarray,
    *,
    factors: np.ndarray,
    gram: np.ndarray,
    ridge: np.ndarray,
    threads: int | None = None,
) -> np.ndarray:
    """Solve one ridge regression per row, exactly.

    Each row u minimises ``sum_i weight_ui (x . y_i)^2 - 2 pull_ui (x . y_i) + x' gram x + ridge_u |x|^2``,
    that is ``(gram + ridge_u I + sum weight y y') x = sum pull y``. A row without cells gets zeros.

    Parameters
    ----------
    indptr, indices : ndarray of shape (n + 1,) and (nnz,), integers
        CSR structure of the histories.
    weight, pull : ndarray of shape (nnz,), float64
        Weight of each cell in the quadratic part (0 or greater), and in the linear part.
    factors : ndarray of shape (n_items, d), float32
    gram : ndarray of shape (d * d,) or so, float64
        Of the cells nobody touched, as :func:`padded_gram` gives it.
    ridge : ndarray of shape (n,), float64
    threads : int, optional

    Returns
    -------
    ndarray of shape (n, d), float32
        Each row depends on its own history only, so batches, blocks and threads never change a byte.

    Notes
    -----
    O(nnz d^2 / 2 + n d^3 / 6) float64 multiply-adds by Cholesky; compiled by numba on first use and cached. One
    person with 64 factors takes a few microseconds: less than the updates of an inverse that would avoid it.
    """
    from omnireco.models._fold_in import HELD, fold_in_rows

    n, width = indptr.size - 1, int(gram.size**0.5 + 0.5)
    vectors = np.empty((n, factors.shape[1]), np.float32)
    arrays = (
        indptr.astype(np.int64),
        indices.astype(np.int32, copy=False),
        weight,
        pull,
        factors,
        gram,
        ridge,
    )
    for array in arrays:  # one type of array, one compiled kernel
        array.setflags(write=False)

    def solve(start: int, stop: int) -> None:
        scratch = aligned(2 * width * width + 2 * HELD * width + 3 * width, np.float64)
        fold_in_rows(*arrays, start, stop, scratch, vectors)

    workers = min(usable_threads(threads), max(1, n // _FEW))
    if workers == 1:
        solve(0, n)
        return vectors
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(solve, rows.start, rows.stop) for rows in split_evenly(n, 4 * workers)]
        for job in jobs:
            job.result()
    return vectors
