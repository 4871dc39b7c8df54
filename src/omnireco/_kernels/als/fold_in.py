"""Fold-in: the vector that explains a history, given the item factors; arrays in, arrays out."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from omnireco._core.compute import aligned, in_parallel, one_blas_thread, pays, row_blocks, split_evenly, usable_threads

__all__ = ["Space", "fold_in"]

LARGE = 1 << 17  # numbers of all item factors from which compiled code pays: 2,000 items of 64
_FEW = 64  # rows below which starting threads costs more than it saves
_WELL = 1e13  # condition numbers up to which rounding leaves a matrix positive definite
_PAD = 16  # the kernel's blocks are so many columns wide
_BLOCK = 8192
_LOCAL = threading.local()  # one scratch per thread: for one person, fresh memory would cost more than the solution


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Item factors in coordinates where the Gram matrix of the untouched cells is diagonal, ready for the kernel.

    Parameters
    ----------
    turned : ndarray of shape (n_items * width,), float32
        Factors times the eigenvectors, padded with zeros to ``width``, a multiple of 16.
    spectrum : ndarray of shape (width,), float64
        Eigenvalues, and 0 for the padding.
    turn : ndarray of shape (width * width,), float64
        Row f is eigenvector f in the caller's coordinates.
    n_factors : int
    """

    turned: np.ndarray
    spectrum: np.ndarray
    turn: np.ndarray
    n_factors: int

    @classmethod
    def of(cls, factors: np.ndarray, unobserved_weight: float) -> Space:
        """Prepare factors (n_items, d) float32, whose Gram matrix counts ``unobserved_weight``."""
        n, d = factors.shape
        width = -(-d // _PAD) * _PAD
        gram, turn = np.zeros((d, d)), np.eye(width)
        turned = aligned(n * width, np.float32)
        spectrum, turned[:] = np.zeros(width), 0.0
        with one_blas_thread():  # one order of summation, whatever else the process does
            for rows in row_blocks(n, 1, most=_BLOCK):
                wide = factors[rows].astype(np.float64)
                gram += wide.T @ wide
            values, vectors = np.linalg.eigh(gram)
            for rows in row_blocks(n, 1, most=_BLOCK):
                turned.reshape(n, width)[rows, :d] = factors[rows].astype(np.float64) @ vectors
        spectrum[:d] = unobserved_weight * np.maximum(values, 0.0)
        turn[:d, :d] = vectors.T
        flat = aligned(turn.size, np.float64)
        flat[:] = turn.reshape(-1)
        for array in (turned, spectrum, flat):
            array.setflags(write=False)
        return cls(turned, spectrum, flat, d)


def fold_in(
    indptr: np.ndarray,
    indices: np.ndarray,
    weight: np.ndarray,
    pull: np.ndarray,
    *,
    space: Space,
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
        Weight of each cell in the quadratic part (greater than 0), and in the linear part.
    space : Space
        The items.
    ridge : ndarray of shape (n,), float64
        Greater than 0.
    threads : int, optional

    Returns
    -------
    ndarray of shape (n, d), float32
        Each row depends on its own history only, so batches, blocks and threads never change a byte.

    Notes
    -----
    A history of n cells costs O(n^2 d + n^3 + d^2) when it is shorter than d / 2, else O(n d^2 + d^3), in float64.
    Small models are served by numpy, the others by compiled code: the model decides, so that one person is answered
    like all together. One person with 20 cells and 64 factors takes a few microseconds:
    less than the update of a stored inverse would, so one more event is simply solved anew.
    """
    if not pays(space.turned.size, LARGE):
        return _together(indptr, indices, weight, pull, space=space, ridge=ridge, threads=threads)
    from omnireco._kernels.als.fold_in_loops import HELD, fold_in_rows

    n, width, d = indptr.size - 1, space.spectrum.size, space.n_factors
    vectors = np.empty(n * d, np.float32)
    cells = (indptr.astype(np.int64), indices.astype(np.int32, copy=False), weight, pull)
    arrays = (*cells, space.turned, space.spectrum, space.turn, ridge)
    for array in arrays:  # one type of array, one compiled kernel
        array.setflags(write=False)

    def solve(start: int, stop: int) -> None:
        fold_in_rows(*arrays, d, start, stop, _scratch(2 * width * width + (2 * HELD + 5) * width), vectors)

    workers = min(usable_threads(threads), max(1, n // _FEW))
    if workers == 1:
        solve(0, n)
        return vectors.reshape(n, d)
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(solve, rows.start, rows.stop) for rows in split_evenly(n, 4 * workers)]
        for job in jobs:
            job.result()
    return vectors.reshape(n, d)


def _together(
    indptr: np.ndarray,
    indices: np.ndarray,
    weight: np.ndarray,
    pull: np.ndarray,
    *,
    space: Space,
    ridge: np.ndarray,
    threads: int | None,
) -> np.ndarray:
    """Do what the kernel does, with LAPACK: histories of one length side by side, each in matrices of its own."""
    n, d, lengths = indptr.size - 1, space.n_factors, np.diff(indptr)
    items = space.turned.reshape(-1, space.spectrum.size)[:, :d]
    turn = np.ascontiguousarray(space.turn.reshape(space.spectrum.size, -1)[:d, :d])
    vectors = np.zeros((n, d), np.float32)

    def solve(rows: np.ndarray, cells: int, short: bool) -> None:
        at = indptr[rows][:, None] + np.arange(cells)
        z, w, target = items[indices[at]].astype(np.float64), weight[at], pull[at]
        diagonal = space.spectrum[:d] + ridge[rows, None]
        if short:  # as many equations as cells
            root, each = 1.0 / np.sqrt(diagonal), np.sqrt(w)
            s = z * root[:, None] * each[:, :, None]
            a = s @ s.transpose(0, 2, 1) + np.eye(cells)
            y = _solved(a, np.ones(rows.size), (target / each)[:, :, None])
            x = (s.transpose(0, 2, 1) @ y)[:, :, 0] * root
        else:
            a = (z * w[:, :, None]).transpose(0, 2, 1) @ z
            a[:, np.arange(d), np.arange(d)] += diagonal
            least = np.where((w > 0).all(axis=1), diagonal.min(axis=1), ridge[rows])
            x = _solved(a, least, z.transpose(0, 2, 1) @ target[:, :, None])[:, :, 0]
        vectors[rows] = (x[:, None] @ turn)[:, 0]

    rooted = np.ones(n, np.bool_)  # whether the weights of a row have square roots to divide by
    rooted[np.searchsorted(indptr, np.flatnonzero(weight <= 0), side="right") - 1] = False
    jobs = [
        partial(solve, rows[block], cells, short)
        for cells in np.unique(lengths[lengths > 0]).tolist()
        for short in (True, False)
        for rows in [np.flatnonzero((lengths == cells) & ((rooted & (cells <= d // 2)) == short))]
        for block in row_blocks(rows.size, 8 * d * (cells + d), memory=1 << 22)
    ]
    with one_blas_thread(), np.errstate(all="ignore"):
        in_parallel(jobs, threads)
    return vectors


def _solved(a: np.ndarray, least: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the solutions of a x = right, (b, n, n) and (b, n, 1); NaN where rounding left no definite matrix.

    ``least`` (b,) is the lowest eigenvalue that each matrix has in exact arithmetic.
    """
    doubtful = np.flatnonzero(~(np.trace(a, axis1=1, axis2=2) < _WELL * least))
    own = a[doubtful]
    a[doubtful] = np.eye(a.shape[1])
    x = np.linalg.solve(a, right)
    for at, matrix in zip(doubtful, own, strict=True):
        try:
            np.linalg.cholesky(matrix)
            x[at] = np.linalg.solve(matrix, right[at])
        except np.linalg.LinAlgError:
            x[at] = np.nan
    return np.asarray(x)


def _scratch(size: int) -> np.ndarray:
    """Return this thread's float64 scratch of at least ``size`` numbers; its content does not matter."""
    scratch: np.ndarray | None = getattr(_LOCAL, "scratch", None)
    if scratch is None or scratch.size < size:
        scratch = _LOCAL.scratch = aligned(size, np.float64)
    return scratch
