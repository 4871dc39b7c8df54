"""Alternating least squares on arrays: sweeps, the Gram matrices between them, and the loss they lower."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse as sp

from omnireco._core.compute import aligned, one_blas_thread, pays, row_blocks
from omnireco._kernels.als.loss import Loss
from omnireco.errors import ParameterError

__all__ = ["diverged", "full_loss", "learn"]

LARGE = 1_500_000_000  # cells x factors x passes over them from which compiled code pays for being loaded
PAD = 16  # factors are padded with zeros to a multiple of this: one register
_BLOCK = 8192  # rows per matrix product: fixed, so that no sum depends on the number of threads
_TASKS = 8  # pieces of a half-sweep per thread, of about equal work
_CELLS = 1 << 15  # cells whose factors numpy holds at a time, so that they stay in the cache
_SOLVED = np.float32(1e-25)  # preconditioned squared residual below which a row is left as it is
_ROOM = 16  # numbers a kernel may read past the last cell


def learn(
    cells: sp.csr_matrix,
    targets: np.ndarray | None,
    loss: Loss,
    users: np.ndarray,
    items: np.ndarray,
    *,
    iterations: int,
    steps: int = 2,
    threads: int,
    tick: Callable[[], object] = lambda: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Improve factors of users and items by ``iterations`` sweeps: users given items, then items given users.

    Parameters
    ----------
    cells : csr_matrix of shape (n_users, n_items)
    targets : ndarray of shape (nnz,), optional
        Target of each cell; by the loss's own rule when absent.
    loss : Loss
    users, items : ndarray of shape (n_users, d) and (n_items, d), float32
        Where to start.
    iterations, steps, threads : int
        Sweeps; conjugate gradient steps per row in each.
    tick : callable
        Called after each sweep.

    Returns
    -------
    (users, items) : ndarrays of shape (n_users, d) and (n_items, d), float32
        In coordinates of their own: each half-sweep turns both sides so that one Gram matrix is diagonal, which
        changes no score.

    Raises
    ------
    ParameterError
        When the factors overflow.
    """
    d = users.shape[1]
    mine, other = _padded(users), _padded(items)
    sides = _sides(cells, targets, loss)
    passes = 4 * iterations * (steps + 1)
    solve = _solve_compiled if pays(cells.nnz * d * passes, LARGE) else _solve_numpy
    quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")  # what overflows is refused below
    with one_blas_thread(), quiet, ThreadPoolExecutor(threads) as pool:
        for _ in range(iterations):
            for side, free, fixed in ((sides[0], mine, other), (sides[1], other, mine)):
                spectrum = np.zeros(free.shape[1], np.float32)
                spectrum[:d] = loss.unobserved_weight * _diagonalize(free[:, :d], fixed[:, :d], pool)
                solve(side, spectrum, free, fixed, steps, pool, threads)
            if not (np.isfinite(mine).all() and np.isfinite(other).all()):
                raise diverged("ALS.fit")
            tick()
    return np.ascontiguousarray(mine[:, :d]), np.ascontiguousarray(other[:, :d])


def diverged(verb: str) -> ParameterError:
    """Return the error of a verb whose least-squares problem has no solution in numbers."""
    return ParameterError(
        f"{verb}: the weights are too large for a least-squares problem, whose solution is not a number. Scale them "
        "down or hold them, Weights(value='log', cap=100), or raise regularization."
    )


def full_loss(
    cells: sp.csr_matrix, targets: np.ndarray | None, loss: Loss, users: np.ndarray, items: np.ndarray
) -> float:
    """Return the loss of factors (n_users, d) and (n_items, d), in float64.

    ``sum_cells w (t - s)^2 + unobserved_weight sum_all s^2 + sum_u ridge_u |x_u|^2 + sum_i ridge_i |y_i|^2``, where
    ``confidence`` takes the unobserved pull off the cells that were touched.
    """
    x, y = users.astype(np.float64), items.astype(np.float64)
    weight, pull, target = loss.cells(cells.data, targets)
    start, value = 0, 0.0
    for rows in row_blocks(x.shape[0], 16 * x.shape[1], most=4096):
        lengths = np.diff(cells.indptr[rows.start : rows.stop + 1])
        part = slice(start, start + int(lengths.sum()))
        score = np.einsum("kd,kd->k", np.repeat(x[rows], lengths, axis=0), y[cells.indices[part]])
        value += float((weight[part] * score**2 - 2 * pull[part] * score + pull[part] * target[part]).sum())
        start = part.stop
    with one_blas_thread():
        value += loss.unobserved_weight * float(((x.T @ x) * (y.T @ y)).sum())
    for factors, counts, n_others in (
        (x, np.diff(cells.indptr), y.shape[0]),
        (y, np.bincount(cells.indices, minlength=y.shape[0]), x.shape[0]),
    ):
        value += float((loss.ridge(counts, n_others) * (factors**2).sum(axis=1)).sum())
    return value


def _sides(cells: sp.csr_matrix, targets: np.ndarray | None, loss: Loss) -> list[tuple[np.ndarray, ...]]:
    """Return (indptr, indices, weight, pull, ridge) of the users' rows, and of the items'."""
    weight, pull, _ = loss.cells(cells.data, targets)
    order = sp.csr_matrix((np.arange(cells.nnz, dtype=np.int64), cells.indices, cells.indptr), cells.shape).tocsc()
    order.sort_indices()
    return [
        _side(cells.indptr, cells.indices, weight, pull, loss, cells.shape[1]),
        _side(order.indptr, order.indices, weight[order.data], pull[order.data], loss, cells.shape[0]),
    ]


def _side(
    indptr: np.ndarray, indices: np.ndarray, weight: np.ndarray, pull: np.ndarray, loss: Loss, n_others: int
) -> tuple[np.ndarray, ...]:
    """Return one orientation as the kernel reads it: fixed types, and room behind the last cell."""
    room = np.zeros(_ROOM)
    arrays = (
        indptr.astype(np.int64),
        indices.astype(np.int32),
        np.concatenate([weight, room]).astype(np.float32),
        np.concatenate([pull, room]).astype(np.float32),
        loss.ridge(np.diff(indptr), n_others).astype(np.float32),
    )
    for array in arrays:
        array.setflags(write=False)
    return arrays


def _solve_compiled(
    side: tuple[np.ndarray, ...],
    spectrum: np.ndarray,
    free: np.ndarray,
    fixed: np.ndarray,
    steps: int,
    pool: ThreadPoolExecutor,
    threads: int,
) -> None:
    """Improve the rows of ``free`` given ``fixed``, both (rows, padded d) float32, in place."""
    from omnireco._kernels.als.sweeps import solve_rows

    indptr, indices, weight, pull, ridge = side
    edges = np.searchsorted(indptr, np.linspace(0, indptr[-1], _TASKS * threads + 1)[1:-1])
    edges = np.unique(np.concatenate([[0], edges, [free.shape[0]]]))
    read = fixed.reshape(-1).view()
    for array in (read, spectrum):
        array.setflags(write=False)

    def work(start: int, stop: int) -> None:
        width = free.shape[1]
        scratch = aligned(5 * width + 48, np.float32)
        solve_rows(
            indptr, indices, weight, pull, read, spectrum, ridge, width, start, stop, steps, scratch, free.reshape(-1)
        )

    for job in [pool.submit(work, int(a), int(b)) for a, b in itertools.pairwise(edges)]:
        job.result()


def _solve_numpy(
    side: tuple[np.ndarray, ...],
    spectrum: np.ndarray,
    free: np.ndarray,
    fixed: np.ndarray,
    steps: int,
    pool: ThreadPoolExecutor,
    threads: int,
) -> None:
    """Do what :func:`_solve_compiled` does, the steps of all rows of a block side by side."""
    indptr, indices, weight, pull, ridge = side
    for rows in _cell_blocks(indptr, _CELLS):
        first, last = int(indptr[rows.start]), int(indptr[rows.stop])
        own, column = indptr[rows.start : rows.stop + 1] - first, indices[first:last]
        row = np.repeat(np.arange(rows.stop - rows.start), np.diff(own))
        near, w = fixed[column], weight[first:last]
        diagonal = spectrum + ridge[rows, None]

        def sums(coefficient: np.ndarray, own: np.ndarray = own, column: np.ndarray = column) -> np.ndarray:
            """Return sum_k coefficient_k y_k of each row."""
            return np.asarray(sp.csr_matrix((coefficient, column, own), (own.size - 1, fixed.shape[0])) @ fixed)

        def scores(x: np.ndarray, near: np.ndarray = near, row: np.ndarray = row) -> np.ndarray:
            return np.asarray(np.einsum("kf,kf->k", near, x[row]))

        x = free[rows]
        residual = sums(pull[first:last] - w * scores(x)) - diagonal * x
        direction = residual / diagonal
        size = np.einsum("uf,uf->u", residual, direction)
        for _ in range(steps):
            going = size > _SOLVED
            image = diagonal * direction + sums(w * scores(direction))
            curvature = np.einsum("uf,uf->u", direction, image)
            step = np.where(going, size, 0.0) / np.where(going, curvature, 1.0)
            x = x + step[:, None] * direction
            residual = residual - step[:, None] * image
            scaled = residual / diagonal
            new = np.einsum("uf,uf->u", residual, scaled)
            direction = scaled + (np.where(going, new, 0.0) / np.where(going, size, 1.0))[:, None] * direction
            size = np.where(going, new, 0.0)
        x[np.diff(own) == 0] = 0.0
        free[rows] = x


def _cell_blocks(indptr: np.ndarray, most: int) -> Iterator[slice]:
    """Yield slices over rows of at most ``most`` cells each (and at least one row)."""
    start, n = 0, indptr.size - 1
    while start < n:
        stop = max(start + 1, int(np.searchsorted(indptr, indptr[start] + most, "right")) - 1)
        yield slice(start, stop)
        start = stop


def _diagonalize(free: np.ndarray, fixed: np.ndarray, pool: ThreadPoolExecutor) -> np.ndarray:
    """Turn both sides so that the Gram matrix of ``fixed`` is diagonal; return that diagonal, float64 (d,)."""

    def gram(rows: slice) -> np.ndarray:
        return np.asarray(fixed[rows].T @ fixed[rows])

    parts = pool.map(gram, row_blocks(fixed.shape[0], 1, most=_BLOCK))
    whole = sum((part.astype(np.float64) for part in parts), np.zeros((fixed.shape[1],) * 2))
    if not np.isfinite(whole).all():
        return np.full(fixed.shape[1], np.nan)
    spectrum, turn = np.linalg.eigh(whole)
    turn = turn.astype(np.float32)

    def rotate(job: tuple[np.ndarray, slice]) -> None:
        side, rows = job
        side[rows] = side[rows] @ turn

    jobs = [(side, rows) for side in (free, fixed) for rows in row_blocks(side.shape[0], 1, most=_BLOCK)]
    list(pool.map(rotate, jobs))
    return np.maximum(spectrum, 0.0)


def _padded(factors: np.ndarray) -> np.ndarray:
    """Return a copy with zeros up to a multiple of the register's width, aligned to it."""
    n, d = factors.shape
    width = -(-d // PAD) * PAD
    array = aligned(n * width, np.float32).reshape(n, width)
    array[:, :d], array[:, d:] = factors, 0.0
    return array
