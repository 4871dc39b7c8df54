"""Each item regressed on its few best predictors: EASE for catalogues whose square is too large."""

# mypy: ignore-errors
# Types are numba's to find.
from __future__ import annotations

from typing import Any

import numpy as np

from omnireco._core.compute import compiled
from omnireco._kernels.near_items import beside

__all__ = ["solve_items"]


def _solve_items(
    item_indptr,
    users,
    weights,
    indptr,
    items,
    values,
    total_of,
    variance,
    n_people,
    ridge,
    start,
    stop,
    n_kept,
    index,
    value,
    count,
):
    """Fill rows start..stop of index and value (n_items, n_kept): what each item is regressed on, and its weights.

    X is given by items (item_indptr, users, weights) and by users (indptr, items, values), both with sorted
    indices. total_of (n_items,) are the sums of the columns, variance (n_items,) the squares about their means,
    n_people how many the means are over, ridge (n_items,), count (n_items,) how many places of a row are filled.
    """
    n_items, n_users = variance.size, indptr.size - 1
    product, stamp = np.zeros(n_items), np.full(n_items, -1, np.int64)
    near, of_user = np.empty(n_items, np.int64), np.zeros(n_users + 1, np.int64)
    met = np.empty(n_users, np.int64)
    place, cell = np.empty(1024, np.int64), np.empty(1024)
    gram, right = np.empty((n_kept, n_kept)), np.empty(n_kept)
    for item in range(start, stop):
        n_near = beside(item, item_indptr, users, weights, indptr, items, values, product, stamp, near)
        kept = np.sort(near[:n_near])
        if n_near > n_kept:  # what one regressor alone would explain beyond the means; ties to the lower code
            gain = np.empty(n_near)
            for a in range(n_near):
                beyond = product[kept[a]] - total_of[kept[a]] * total_of[item] / n_people
                gain[a] = beyond**2 / (variance[kept[a]] + ridge[kept[a]])
            least = np.partition(gain, n_near - n_kept)[n_near - n_kept]
            ties = n_kept - np.sum(gain > least)
            m = 0
            for a in range(n_near):
                if gain[a] > least:
                    kept[m] = kept[a]
                    m += 1
                elif gain[a] == least and ties > 0:
                    kept[m] = kept[a]
                    m, ties = m + 1, ties - 1
        n = min(n_near, n_kept)
        count[item] = n
        total, n_met = 0, 0
        for a in range(n):  # how many of the kept items each person has
            for p in range(item_indptr[kept[a]], item_indptr[kept[a] + 1]):
                user = users[p]
                if of_user[user] == 0:
                    met[n_met] = user
                    n_met += 1
                of_user[user] += 1
                total += 1
        if total > place.size:
            place, cell = np.empty(2 * total, np.int64), np.empty(2 * total)
        at = 0
        for m in range(n_met):
            user = met[m]
            at, of_user[user] = at + of_user[user], at
        for a in range(n):
            for p in range(item_indptr[kept[a]], item_indptr[kept[a] + 1]):
                user = users[p]
                place[of_user[user]], cell[of_user[user]] = a, weights[p]
                of_user[user] += 1
        gram[:n, :n] = 0.0
        first = 0
        for m in range(n_met):
            last = of_user[met[m]]
            for p in range(first, last):
                row, weight = place[p], cell[p]
                for q in range(p, last):
                    gram[row, place[q]] += weight * cell[q]
            first = last
            of_user[met[m]] = 0
        for a in range(n):
            gram[a, a] += ridge[kept[a]]
            right[a] = product[kept[a]]
        for a in range(n):  # L D L', by rows of the upper triangle
            pivot = gram[a, a]
            for b in range(a + 1, n):
                factor = gram[a, b] / pivot
                if factor != 0.0:
                    for c in range(b, n):
                        gram[b, c] -= factor * gram[a, c]
                    right[b] -= factor * right[a]
        for a in range(n - 1, -1, -1):
            rest = right[a]
            for b in range(a + 1, n):
                rest -= gram[a, b] * right[b]
            right[a] = rest / gram[a, a]
        for a in range(n):
            index[item, a], value[item, a] = kept[a], right[a]


solve_items: Any = compiled(_solve_items)
