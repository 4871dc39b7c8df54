"""Resampling of users: bootstrap intervals of means over users. Arrays in, arrays out."""

from __future__ import annotations

import numpy as np

from omnireco._core.compute import one_blas_thread
from omnireco._core.random import stream

__all__ = ["chance_of_sign", "percentile_interval", "resampled_means"]

# Fixed, not fitted to the machine: a block's size may move the last bit of a sum.
_BLOCK_CELLS, _MOST_DRAWS = 1 << 20, 64


def resampled_means(values: np.ndarray, *, n_draws: int, seed: int) -> np.ndarray:
    """Return the mean of every column in ``n_draws`` resamples of the rows, with replacement.

    All columns see the same resamples, which is what makes differences of columns paired. NaN cells are
    left out of their column's mean.

    Parameters
    ----------
    values : ndarray of shape (n, q), float64
    n_draws : int
    seed : int

    Returns
    -------
    ndarray of shape (n_draws, q), float64
        NaN where a resample holds no defined cell of the column.

    Notes
    -----
    A resample is a row of counts, so a block of them times the values is one matrix product. Time is
    n_draws * n draws and n_draws * n * q multiplications; memory about 32 MB whatever n_draws.

    References
    ----------
    Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapters 6 and 13.

    Examples
    --------
    >>> means = resampled_means(np.array([[0.0], [1.0]]), n_draws=1000, seed=0)
    >>> sorted(set(means[:, 0].tolist()))          # two heads, one, or none
    [0.0, 0.5, 1.0]
    """
    n = values.shape[0]
    defined = ~np.isnan(values)
    partial = np.flatnonzero(~defined.all(0))
    centre = np.where(defined.any(0), np.nansum(values, 0) / np.maximum(defined.sum(0), 1), np.nan)
    # Around the mean the sums stay small: a constant column comes back exactly.
    offset = np.where(defined, values - centre, 0.0)
    weight = defined[:, partial].astype(np.float64)
    random = stream(seed, "evaluate/bootstrap")
    means = np.empty((n_draws, values.shape[1]))
    block = max(1, min(_MOST_DRAWS, _BLOCK_CELLS // max(n, 1)))
    with one_blas_thread():
        for start in range(0, n_draws, block):
            counts = _draw_counts(random, n, min(block, n_draws - start))
            drawn = counts @ offset
            size = np.full(drawn.shape, float(n))
            size[:, partial] = counts @ weight
            drawn = np.divide(drawn, size, out=np.full(drawn.shape, np.nan), where=size > 0)
            means[start : start + block] = drawn + centre
    return means


def percentile_interval(draws: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle ``confidence`` of each column of (b, q) draws as (low, high), each (q,)."""
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    if not np.isnan(draws).any():
        low, high = np.quantile(draws, ends, axis=0)
        return low, high
    low, high = np.full(draws.shape[1], np.nan), np.full(draws.shape[1], np.nan)
    for column in range(draws.shape[1]):
        kept = draws[~np.isnan(draws[:, column]), column]
        if kept.size:
            low[column], high[column] = np.quantile(kept, ends)
    return low, high


def chance_of_sign(draws: np.ndarray) -> np.ndarray:
    """Return, per column of (b, q) drawn differences, the two-sided p that the true one is 0.

    Twice the share of resamples on the rarer side of 0 (a draw of exactly 0 counts on both), with one
    added to each count so that it is never 0: with 1,000 draws the smallest p is 0.002.
    """
    b = (~np.isnan(draws)).sum(0)
    rarer = np.minimum((draws <= 0).sum(0), (draws >= 0).sum(0))
    return np.where(b > 0, np.minimum(1.0, 2 * (rarer + 1) / (b + 1)), np.nan)


def _draw_counts(random: np.random.Generator, n: int, n_draws: int) -> np.ndarray:
    """Return how often each of n rows is drawn in each of n_draws resamples, (n_draws, n) float64."""
    cells = random.integers(n, size=(n_draws, n))
    cells += np.arange(n_draws)[:, None] * n
    return np.bincount(cells.ravel(), minlength=n_draws * n).reshape(n_draws, n).astype(np.float64)
