"""The compiled part of identity: union-find that never lets a group outgrow a cap."""

from __future__ import annotations

import numpy as np

from omnireco._core.compute import compiled

__all__ = ["capped_groups"]


@compiled
def _find(parent: np.ndarray, node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]  # path halving
        node = parent[node]
    return node


@compiled
def capped_groups(a: np.ndarray, b: np.ndarray, level: np.ndarray, n: int, cap: int) -> np.ndarray:
    """Return the group of each of n nodes; edges (a, b) come strongest first, equal ``level`` for equal strength.

    ``whole`` joins every edge; ``kept`` joins those of a level only where the whole stays within the cap. Sizes
    only grow from level to level, so what once was too large never joins again.
    """
    whole, kept = np.arange(n), np.arange(n)
    size = np.ones(n, np.int64)
    start = 0
    while start < a.size:
        stop = start
        while stop < a.size and level[stop] == level[start]:
            one, other = _find(whole, a[stop]), _find(whole, b[stop])
            if one != other:
                whole[other] = one
                size[one] += size[other]
            stop += 1
        for edge in range(start, stop):
            if size[_find(whole, a[edge])] <= cap:
                one, other = _find(kept, a[edge]), _find(kept, b[edge])
                if one != other:
                    kept[other] = one
        start = stop
    for node in range(n):
        kept[node] = _find(kept, node)
    return kept
