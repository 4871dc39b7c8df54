"""The int8 tier: items quantised to bytes in tiles, scanned by the kernels, re-ranked exactly."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from omnireco._kernels.topk import kernels as kernels
from omnireco._kernels.topk.inputs import Rules, frozen
from omnireco._kernels.topk.packing import Tiles
from omnireco._kernels.topk.tile_product import SHAPES

__all__ = ["worker"]

_NO_BIAS, _NO_TILE_BIAS = frozen(np.zeros(0, np.float32)), frozen(np.zeros(0))


def worker(
    tiles: Tiles,
    queries: np.ndarray,
    items: np.ndarray,
    norms: np.ndarray,
    k: int,
    rules: Rules,
    bias: np.ndarray | None,
    codes: np.ndarray,
    scores: np.ndarray,
    *,
    shape: str,
) -> Callable[[int, int], None]:
    """Return a function that ranks rows ``first`` to ``last`` of queries into codes and scores (n, k)."""
    limits = kernels.Limits(rules.indptr, rules.indices, rules.masks, rules.group)
    no_bias, tile_bias = _NO_BIAS, _NO_TILE_BIAS
    if bias is not None:
        no_bias = bias
        largest = np.where(tiles.order >= 0, bias[tiles.order], np.float32(-np.inf)).reshape(-1, 64).max(axis=1)
        tile_bias = frozen(np.append(largest, largest.max()).astype(np.float64))
    flat, d = items.reshape(-1), items.shape[1]

    def work(first: int, last: int) -> None:
        b = min(kernels.CHUNK, last - first)
        if last - first == 1:
            state, scan = _memory_of_one(k, d, tiles)
        else:
            state = kernels.reservoirs(b, k, d)
            scan = kernels.work(b, k, d, tiles, SHAPES[shape].users)
        kernels.rank_tiles(
            tiles, flat, queries, norms, k, limits, no_bias, tile_bias, state, scan, codes, scores, first, last
        )

    return work


_LOCAL = threading.local()  # for one person, fresh memory would cost as much as the fold-in
_KEPT = 1000  # items of a list up to which a thread keeps it


def _memory_of_one(k: int, d: int, tiles: Tiles) -> Any:
    """Return this thread's memory for one row; its content does not matter."""
    size = k, d, len(tiles.facts)
    held = getattr(_LOCAL, "held", None)
    if held is None or held[0] != size:
        held = size, (kernels.reservoirs(1, k, d), kernels.work(1, k, d, tiles, 1))
        if k <= _KEPT:
            _LOCAL.held = held
    return held[1]
