"""The numba tier, for any CPU: a float32 product of a block, and one compiled pass over it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from omnireco._kernels.topk import kernels as kernels
from omnireco._kernels.topk.by_norm import ByNorm
from omnireco._kernels.topk.inputs import Rules, frozen
from omnireco._kernels.topk.packing import TILE

__all__ = ["worker"]

_ROWS, _ITEMS = 504, 1024  # a block of products: 2 MB, still in the cache when it is scanned
_ITEMS_OF_ONE = 8192  # for one row: 32 KB, and a call of two libraries for each block is what costs


def worker(
    queries: np.ndarray,
    ranked: ByNorm,
    norms: np.ndarray,
    error: np.ndarray,
    k: int,
    rules: Rules,
    bias: np.ndarray | None,
    codes: np.ndarray,
    scores: np.ndarray,
    *,
    rows: int = _ROWS,
    chunk: int | None = None,
) -> Callable[[int, int], None]:
    """Return a function that ranks rows ``first`` to ``last`` of queries (n, d) into codes and scores (n, k).

    ``error`` (n,) bounds the distance of float32 products from canonical scores. People leave when they can find
    nothing better: norm times largest norm that is left, plus the largest bias, is below their k-th score.
    """
    limits = kernels.Limits(rules.indptr, rules.indices, rules.masks, rules.group)
    no_bias = frozen(np.zeros(0, np.float32)) if bias is None else bias
    most_bias = 0.0 if bias is None else float(bias.max())
    error = error * 1.5 + kernels.TINY  # the reservoirs keep bounds in float32: half as much again is plenty
    items, flat = ranked.items, ranked.codes.reshape(-1)
    m = len(items)

    def work(first_row: int, last_row: int) -> None:
        many = chunk or (_ITEMS_OF_ONE if last_row - first_row == 1 else _ITEMS)
        width = -(-min(many, m) // TILE) * TILE
        most = min(rows, last_row - first_row)
        scratch = np.empty((most, width), dtype=np.float32)
        state = kernels.reservoirs(most, k, queries.shape[1])
        for first in range(first_row, last_row, rows):
            last = min(first + rows, last_row)
            members, asked = np.arange(last - first), queries[first:last]
            for start in range(0, m, many):
                part = items[start : start + many]
                if ranked.order.size and start:
                    reach = norms[first:last] * (ranked.rest[start] * (1 + 1e-5)) + (most_bias + error[first:last])
                    still = np.flatnonzero(reach >= state.least[: last - first])
                    if still.size < members.size:
                        members, asked = still, queries[first + still]
                c, ends = len(part), not members.size or start + many >= m
                block = scratch[: members.size]
                np.matmul(asked, part.T, out=block[:, :c])
                kernels.scan_block(
                    block, c, members, start, ranked.order, ranked.place, error[first:last], k, first, queries, flat,
                    no_bias, limits, state, ends, codes, scores,
                )  # fmt: skip
                if ends:
                    break

    return work
