"""Fold-in: the vector that explains a history, given the item factors; arrays in, arrays out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from omnireco._compute import split_evenly, usable_threads

__all__ = ["fold_in"]

_FEW = 64  # rows below which starting threads costs more than it saves


def fold_in(
    indptr: np.ndarray,
    indices: np.ndarray,
    weight: np.ndarray,
    pull: np.ndarray,
    *,
    factors: np.ndarray,
    gram: np.ndarray,
    regularization: float,
    threads: int | None = None,
) -> np.ndarray:
    """Solve one ridge regression per row.

    Each row u minimises ``sum_i weight_ui (x . y_i)^2 - 2 pull_ui (x . y_i) + x' gram x + regularization |x|^2``,
    that is ``(gram + regularization I + sum weight y y') x = sum pull y``.

    Parameters
    ----------
    indptr, indices : ndarray of shape (n + 1,) and (nnz,)
        CSR structure of the histories.
    weight, pull : ndarray of shape (nnz,), float64
        Weight of each cell in the quadratic part (0 or greater), and in the linear part.
    factors : ndarray of shape (n_items, d), float32
    gram : ndarray of shape (d, d), float64
        Of the cells nobody touched.
    regularization : float
    threads : int, optional

    Returns
    -------
    ndarray of shape (n, d), float32
        Each row depends on its own history only, so batches, blocks and threads never change a byte.

    Notes
    -----
    O(nnz d^2 / 2 + n d^3 / 3) float64 operations by Cholesky; compiled by numba on first use and cached.
    """
    n, d = indptr.size - 1, gram.shape[0]
    base = gram + regularization * np.eye(d)
    vectors = np.empty((n, d), np.float32)
    solve = _compiled()
    workers = min(usable_threads(threads), max(1, n // _FEW))
    if workers == 1:
        solve(indptr, indices, weight, pull, factors, base, 0, n, vectors)
        return vectors
    with ThreadPoolExecutor(workers) as pool:
        jobs = [
            pool.submit(solve, indptr, indices, weight, pull, factors, base, rows.start, rows.stop, vectors)
            for rows in split_evenly(n, 4 * workers)
        ]
        for job in jobs:
            job.result()
    return vectors


@functools.cache
def _compiled() -> Callable[..., Any]:
    import numba

    try:
        return numba.njit(cache=True, nogil=True)(_solve_rows)
    except RuntimeError:  # no folder to cache in: compile anew in every process
        return numba.njit(nogil=True)(_solve_rows)


def _solve_rows(
    indptr: Any, indices: Any, weight: Any, pull: Any, factors: Any, base: Any, start: int, stop: int, out: Any
) -> None:
    """Solve rows [start, stop): base (d, d), factors (n_items, d), out (n, d). One Cholesky per row."""
    d = base.shape[0]
    a = np.empty((d, d))
    x = np.empty(d)
    y = np.empty(d)
    for u in range(start, stop):
        a[:] = base
        x[:] = 0.0
        for p in range(indptr[u], indptr[u + 1]):
            w, b = weight[p], pull[p]
            for i in range(d):
                y[i] = factors[indices[p], i]
            for i in range(d):
                x[i] += b * y[i]
                wy = w * y[i]
                for j in range(i + 1):
                    a[i, j] += wy * y[j]
        for j in range(d):  # a = L L', lower triangle in place
            for i in range(j, d):
                s = a[i, j]
                for m in range(j):
                    s -= a[i, m] * a[j, m]
                a[i, j] = np.sqrt(s) if i == j else s / a[j, j]
        for i in range(d):  # L z = b
            s = x[i]
            for m in range(i):
                s -= a[i, m] * x[m]
            x[i] = s / a[i, i]
        for i in range(d - 1, -1, -1):  # L' x = z
            s = x[i]
            for m in range(i + 1, d):
                s -= a[m, i] * x[m]
            x[i] = s / a[i, i]
        for i in range(d):
            out[u, i] = x[i]
