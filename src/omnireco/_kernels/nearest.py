"""The compiled search for the most similar rows of a sparse matrix: it visits only rows that share a column."""

# mypy: ignore-errors
# Types are numba's to find.
from __future__ import annotations

from typing import Any

import numpy as np

from omnireco._core.compute import compiled

__all__ = ["near_rows", "reach_rows"]


def _similar_row(row, some, others, rules, product, common, touched, found):
    """Write the rows of ``others`` that are like one row of ``some`` into touched and found; return how many.

    some: (indptr, indices, data, lengths) by row. others: (indptr, rows, data) by column, and (lengths, sizes) by row.
    rules: (jaccard, shrinkage, leave_out_equals). product, common (m,) float64 are zero on entry and on return;
    touched (m,) int32 comes out in no order, found (m,) float32 beside it holds similarities above 0.
    """
    indptr, indices, data, lengths = some
    by_column, person, value, other_lengths, other_sizes = others
    jaccard, shrinkage, leave_out = rules
    n = 0
    for p in range(indptr[row], indptr[row + 1]):
        column, weight = indices[p], np.float64(data[p])
        for q in range(by_column[column], by_column[column + 1]):
            other = person[q]
            if common[other] == 0.0:
                touched[n] = other
                n += 1
            product[other] += weight * np.float64(value[q])
            common[other] += 1.0
    size, kept = np.float64(indptr[row + 1] - indptr[row]), 0
    for t in range(n):
        other = touched[t]
        both, dot = common[other], product[other]
        common[other] = product[other] = 0.0
        if leave_out and both == size and both == other_sizes[other]:
            continue
        if jaccard:
            dot, scale = both, size + other_sizes[other] - both + shrinkage
        else:
            scale = lengths[row] * other_lengths[other] + shrinkage
        alike = np.float32(dot / scale) if scale > 0.0 else np.float32(0.0)
        if alike > 0.0:
            touched[kept], found[kept] = other, alike
            kept += 1
    return kept


similar_row: Any = compiled(_similar_row)


def _reach_rows(start, stop, some, others, rules, neighbors, reach):
    """Write into reach[start:stop] the similarity of the last of each row's neighbours; 0 where there are fewer."""
    m = others[3].size
    product, common, touched, found = np.zeros(m), np.zeros(m), np.empty(m, np.int32), np.empty(m, np.float32)
    for row in range(start, stop):
        n = similar_row(row, some, others, rules, product, common, touched, found)
        if n >= neighbors:
            reach[row] = np.partition(found[:n], n - neighbors)[n - neighbors]


reach_rows: Any = compiled(_reach_rows)


def _near_rows(start, stop, some, others, rules, neighbors, reach):
    """Return (counts, codes, similarities) of those who count for rows [start, stop), codes ascending.

    With a reach (m,), whoever is as similar as that; with an empty one, the ``neighbors`` most similar, ties to the
    lower code.
    """
    m = others[3].size
    product, common, touched, found = np.zeros(m), np.zeros(m), np.empty(m, np.int32), np.empty(m, np.float32)
    counts, filled = np.zeros(stop - start, np.int64), 0
    codes, values = np.empty(1024, np.int32), np.empty(1024, np.float32)
    for row in range(start, stop):
        n = similar_row(row, some, others, rules, product, common, touched, found)
        order = np.argsort(touched[:n])
        keep = np.ones(n, np.bool_)
        if reach.size:
            for t in range(n):
                keep[t] = found[t] >= reach[touched[t]]
        elif n > neighbors:
            keep[order[np.argsort(-found[:n][order], kind="mergesort")[neighbors:]]] = False
        if filled + n > codes.size:
            room = 2 * (filled + n)
            codes, values = (
                np.concatenate((codes[:filled], np.empty(room - filled, np.int32))),
                np.concatenate((values[:filled], np.empty(room - filled, np.float32))),
            )
        for t in order:
            if keep[t]:
                codes[filled], values[filled] = touched[t], found[t]
                filled += 1
                counts[row - start] += 1
    return counts, codes[:filled], values[:filled]


near_rows: Any = compiled(_near_rows)
