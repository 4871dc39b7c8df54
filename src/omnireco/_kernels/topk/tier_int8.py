"""The int8 tier: items quantised to bytes in tiles, scanned by the kernels, re-ranked exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from omnireco._kernels.topk import kernels as kernels
from omnireco._kernels.topk.inputs import Rules, frozen
from omnireco._kernels.topk.vnni import TILE

__all__ = ["tiles_of", "worker"]

_LIKE_SCALES = 2048  # items of about equal norm, among which neighbours are chosen to share a scale


def tiles_of(items: np.ndarray, norms: np.ndarray) -> kernels.Tiles:
    """Return items (m, d) quantised, in an order of falling norm."""
    m, d = items.shape
    order = np.full(-(-m // TILE) * TILE, -1, dtype=np.int32)
    largest = np.abs(items).max(axis=1)
    by_norm = np.argsort(-norms, kind="stable")
    block = np.arange(m) // _LIKE_SCALES
    order[:m] = by_norm[np.lexsort((-largest[by_norm], block))]
    size = order.size * (-(-d // 4) * 4)
    spare = np.zeros(size + 64, dtype=np.int8)
    first = -spare.ctypes.data % 64  # whole cache lines: vectors that straddle two are slower
    return kernels.pack_tiles(items, order, norms, spare[first : first + size])


def worker(
    tiles: kernels.Tiles,
    queries: np.ndarray,
    items: np.ndarray,
    norms: np.ndarray,
    k: int,
    rules: Rules,
    bias: np.ndarray | None,
    codes: np.ndarray,
    scores: np.ndarray,
) -> Callable[[int, int], None]:
    """Return a function that ranks rows ``first`` to ``last`` of queries into codes and scores (n, k)."""
    limits = kernels.Limits(rules.indptr, rules.indices, rules.masks, rules.group)
    no_bias = tile_bias = frozen(np.zeros(0, np.float32))
    if bias is not None:
        no_bias = bias
        tile_bias = frozen(np.where(tiles.order >= 0, bias[tiles.order], np.float32(-np.inf)))

    def work(first: int, last: int) -> None:
        kernels.rank_tiles(tiles, items, queries, norms, k, limits, no_bias, tile_bias, codes, scores, first, last)

    return work
