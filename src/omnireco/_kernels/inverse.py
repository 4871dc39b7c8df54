"""The inverse of a positive definite matrix in its own place, on any number of threads, with equal bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from omnireco._core.compute import one_blas_thread

__all__ = ["BLOCK", "invert_in_place", "n_steps"]

BLOCK = 512  # a tile of it and what it is made of stay in L2, and the part that is no product is small beside n
_SMALL = 128  # of a triangle, inverted
_ALONE = 1024  # up to so many rows, threads cost more than they bring

_Run = Callable[[Callable[[slice], object], Iterable[slice]], object]


def n_steps(n: int) -> int:
    """Return how often :func:`invert_in_place` ticks for n rows."""
    return 3 * -(-n // BLOCK)


def invert_in_place(square: np.ndarray, threads: int, tick: Callable[[], object] = lambda: None) -> bool:
    """Replace a positive definite matrix (n, n) by its inverse; False, and rubbish in it, when it is none.

    Reads and writes the upper triangle (and the blocks on the diagonal). As LAPACK's ``potrf`` and ``potri``: ``A =
    U'U``, ``W = U^-1``, ``A^-1 = W W'``, n^3 multiplications and additions in all. Each block of 512 rows or columns
    is a sum over everything before or behind it, so nearly all of the work is in products of tiles, 512 wide and as
    deep as they can be; they depend on n alone, each is one call of BLAS on one thread, and ``threads`` take them in
    turn. Memory beside the square: 512 rows, and 3 tiles of 512 x 512 for each thread. Gauss-Jordan sweeps need one
    loop instead of three and the same arithmetic; they were measured to lose up to six digits where the condition
    number is 10^8 (their error grows with its 3/2 power: Higham, "Accuracy and stability of numerical algorithms", 2nd
    ed., section 14.4), and a quarter slower.
    """
    n = len(square)
    workers = 1 if n <= _ALONE else threads
    with one_blas_thread(), ThreadPoolExecutor(workers) as pool:

        def run(work: Callable[[slice], object], tiles: Iterable[slice]) -> None:
            for _ in map(work, tiles) if workers == 1 else pool.map(work, tiles):
                pass

        room = np.empty(min(BLOCK, n) * n, square.dtype)
        if not _factorize(square, run, tick):
            return False
        _invert_factor(square, room, run, tick)
        _multiply(square, room, run, tick)
    return True


def _tiles(start: int, stop: int) -> list[slice]:
    return [slice(at, min(at + BLOCK, stop)) for at in range(start, stop, BLOCK)]


class _Lower:
    """A lower triangle (b, b) and the inverses of the small ones on its diagonal, to solve with by products alone."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix.copy()
        self._parts = [slice(at, at + _SMALL) for at in range(0, len(matrix), _SMALL)]
        self._inverses = [_inverse(self.matrix[part, part]).astype(matrix.dtype) for part in self._parts]

    def solve(self, right: np.ndarray) -> np.ndarray:
        """Return X (b, m) with ``matrix @ X = right``."""
        out = np.empty(right.shape, right.dtype)
        for part, inverse in zip(self._parts, self._inverses, strict=True):
            rest = right[part]
            if part.start:
                rest = rest - self.matrix[part, : part.start] @ out[: part.start]
            np.matmul(inverse, rest, out=out[part])
        return out


def _inverse(lower: np.ndarray) -> np.ndarray:
    """Return the inverse of a lower triangle, float64."""
    from scipy.linalg import lapack

    return np.tril(lapack.dtrtri(lower.astype(np.float64, order="F"), lower=1)[0])


def _factorize(a: np.ndarray, run: _Run, tick: Callable[[], object]) -> bool:
    """Replace A (n, n) by U with ``A = U'U``, one block of rows after the other."""
    from scipy.linalg import lapack

    n = len(a)
    for own in _tiles(0, n):
        above = slice(0, own.start)

        def subtract(columns: slice, own: slice = own, above: slice = above) -> None:
            a[own, columns] -= a[above, own].T @ a[above, columns]

        if own.start:
            run(subtract, _tiles(own.start, n))
        factor, failed = lapack.dpotrf(a[own, own].T.astype(np.float64, order="F"), lower=1, overwrite_a=1)
        if failed:
            return False
        a[own, own] = factor.T
        lower = _Lower(a[own, own].T)

        def solve(columns: slice, own: slice = own, lower: _Lower = lower) -> None:
            a[own, columns] = lower.solve(a[own, columns])

        run(solve, _tiles(own.stop, n))
        tick()
    return True


def _invert_factor(u: np.ndarray, room: np.ndarray, run: _Run, tick: Callable[[], object]) -> None:
    """Replace U (n, n) by its inverse, one block of columns after the other."""
    for own in _tiles(0, len(u)):
        behind = room[: own.start * (own.stop - own.start)].reshape(own.start, own.stop - own.start)
        behind[:] = u[: own.start, own]
        lower = _Lower(u[own, own].T)

        def solve(rows: slice, own: slice = own, behind: np.ndarray = behind, lower: _Lower = lower) -> None:
            product = u[rows, rows.start : own.start] @ behind[rows.start :]
            np.negative(lower.solve(product.T).T, out=u[rows, own])

        run(solve, _tiles(0, own.start))
        u[own, own] = _inverse(lower.matrix).T
        tick()


def _multiply(w: np.ndarray, room: np.ndarray, run: _Run, tick: Callable[[], object]) -> None:
    """Replace W (n, n), upper, by the upper triangle of ``W W'``, one block of columns after the other."""
    n = len(w)
    for own in _tiles(0, n):
        right = room[: (own.stop - own.start) * (n - own.start)].reshape(own.stop - own.start, n - own.start)
        right[:] = w[own, own.start :]

        def product(rows: slice, own: slice = own, right: np.ndarray = right) -> None:
            w[rows, own] = w[rows, own.start :] @ right.T

        run(product, _tiles(0, own.stop))
        tick()
