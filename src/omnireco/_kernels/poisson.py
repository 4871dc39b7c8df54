"""Poisson bootstrap of sums over ordered groups of rows: the weight of a person is a hash of who and which draw.

A row's weight depends on its person and the number of the draw alone, never on the order, the block or the other
rows. So rows of one person are drawn together wherever they lie, two statistics of the same people are paired, and no
matrix of weights is ever held.
"""

from __future__ import annotations

from math import exp, factorial

import numpy as np

from omnireco._core.compute import in_parallel, one_blas_thread
from omnireco._core.random import stream

__all__ = ["person_keys", "poisson_weights", "resampled_sums"]

_ROWS = 2048  # of one block of weights: with a thousand draws 16 MB
_STEP, _FIRST, _SECOND = (
    np.uint64(one) for one in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)  # SplitMix64
_CDF = np.cumsum([exp(-1.0) / factorial(k) for k in range(9)])
_TABLE = np.searchsorted(np.round(_CDF * 65536), np.arange(65536), side="right").astype(np.float64)


def person_keys(code: np.ndarray, seed: int) -> np.ndarray:
    """Return a key per row from the code of its person, uint64 (n,)."""
    start = np.uint64(stream(seed, "uplift/bootstrap").integers(1 << 63))
    return _mixed((code.astype(np.uint64) + np.uint64(1)) * _STEP + start)


def poisson_weights(keys: np.ndarray, n_draws: int) -> np.ndarray:
    """Return how often each row is drawn in each resample, Poisson with mean 1, float64 (n, n_draws).

    16 bits of a hash make one weight (mean 1 within 1e-4), 64 bits four.

    References
    ----------
    Steele, Lea and Flood (2014), "Fast Splittable Pseudorandom Number Generators", for the mixing; Hanley and MacGibbon
    (2006), "Creating non-parametric bootstrap samples using Poisson frequencies".
    """
    rounds = -(-n_draws // 4)
    steps = (np.arange(1, rounds + 1, dtype=np.uint64)) * _STEP
    mixed = _mixed(keys[:, None] + steps[None, :]).astype("<u8", copy=False)
    found: np.ndarray = _TABLE[mixed.view("<u2")[:, :n_draws]]
    return found


def resampled_sums(
    keys: np.ndarray, values: np.ndarray, ends: np.ndarray, *, n_draws: int, threads: int | None = None
) -> np.ndarray:
    """Return Poisson-resampled sums of consecutive groups of rows, float64 (n_draws, n_groups, c).

    Parameters
    ----------
    keys : uint64 array, shape (n,)
    values : float64 array, shape (n, c)
    ends : int array, shape (n_groups,)
        Where each group ends, rising to n.
    n_draws : int
    threads : int, optional
        Never changes a number.

    Notes
    -----
    About 6 ns for each row and draw on one thread; memory 16 MB a thread besides the answer.
    """
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    found = np.zeros((n_draws, ends.size, values.shape[1]))

    def work(first: int, last: int) -> None:
        for group in range(first, last):
            for start in range(int(starts[group]), int(ends[group]), _ROWS):
                rows = slice(start, min(start + _ROWS, int(ends[group])))
                found[:, group] += poisson_weights(keys[rows], n_draws).T @ values[rows]

    parts = np.linspace(0, ends.size, min(32, max(ends.size, 1)) + 1).astype(int)
    steps = [lambda a=a, b=b: work(a, b) for a, b in zip(parts[:-1].tolist(), parts[1:].tolist(), strict=True)]
    with one_blas_thread():
        in_parallel(steps, threads)
    return found


def _mixed(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))
