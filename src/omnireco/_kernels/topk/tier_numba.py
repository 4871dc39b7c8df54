"""The numba tier, for any CPU: a float32 product of a block, and one compiled pass over it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from omnireco._kernels.topk import kernels as kernels
from omnireco._kernels.topk.inputs import Rules, frozen
from omnireco._kernels.topk.vnni import TILE

__all__ = ["worker"]

_ROWS, _ITEMS = 504, 1024  # a block of products: 2 MB, still in the cache when it is scanned


def worker(
    queries: np.ndarray,
    items: np.ndarray,
    error: np.ndarray,
    k: int,
    rules: Rules,
    bias: np.ndarray | None,
    codes: np.ndarray,
    scores: np.ndarray,
    *,
    rows: int = _ROWS,
    chunk: int = _ITEMS,
) -> Callable[[int, int], None]:
    """Return a function that ranks rows ``first`` to ``last`` of queries (n, d) into codes and scores (n, k).

    ``error`` (n,) bounds the distance of float32 products from canonical scores.
    """
    limits = kernels.Limits(rules.indptr, rules.indices, rules.masks, rules.group)
    no_bias = frozen(np.zeros(0, np.float32)) if bias is None else bias
    error = error * 1.5 + kernels.TINY  # the reservoirs keep bounds in float32: half as much again is plenty

    def work(first_row: int, last_row: int) -> None:
        width = -(-min(chunk, items.shape[0]) // TILE) * TILE
        scratch = np.empty((min(rows, last_row - first_row), width), dtype=np.float32)
        for first in range(first_row, last_row, rows):
            last = min(first + rows, last_row)
            state = kernels.begin(last - first, k, first, limits)
            for start in range(0, items.shape[0], chunk):
                part = items[start : start + chunk]
                c, block = part.shape[0], scratch[: last - first]
                np.matmul(queries[first:last], part.T, out=block[:, :c])
                kernels.scan_block(block, c, start, error[first:last], k, first, queries, items, no_bias, limits, state)
            kernels.finish_all(k, first, queries, items, no_bias, state, codes, scores)

    return work
