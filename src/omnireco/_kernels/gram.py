"""The compiled Gram matrix of a sparse matrix: one dense row at a time, which stays in the cache."""

# mypy: ignore-errors
# Types are numba's to find: registers have none that mypy knows.
from __future__ import annotations

from typing import Any

import numpy as np

from omnireco._core.compute import compiled

__all__ = ["gram_rows"]


def _gram_rows(item_indptr, users, weights, indptr, items, values, start, stop, row, out):
    """Write rows start..stop of X'X, from the diagonal on, into out (n_items, n_items), summed in float64.

    X is given by items (item_indptr, users, weights) and by users (indptr, items, values), both with sorted
    indices; row (n_items,) float64 is scratch. Each row is summed in the order of its users.
    """
    n = out.shape[0]
    for i in range(start, stop):
        row[i:] = 0.0
        for p in range(item_indptr[i], item_indptr[i + 1]):
            user, weight = users[p], np.float64(weights[p])
            q = indptr[user + 1] - 1
            while q >= indptr[user] and items[q] >= i:
                row[items[q]] += weight * values[q]
                q -= 1
        for j in range(i, n):
            out[i, j] = row[j]


gram_rows: Any = compiled(_gram_rows)
