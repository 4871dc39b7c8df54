"""The items most like each item, visiting only what people have beside it."""

# mypy: ignore-errors
# Types are numba's to find.
from __future__ import annotations

from typing import Any

import numpy as np

from omnireco._core.compute import compiled

__all__ = ["beside", "near_items"]


@compiled
def scale_of(kind, product, own, other, left, right, alpha, beta):
    """Return what a product is divided by: see :func:`omnireco._kernels.similarity.nearest`."""
    if kind == 0:
        return left * right
    if kind == 1:
        return own + other - product
    if kind == 2:
        return (own + other) / 2
    return product + alpha * (own - product) + beta * (other - product)


@compiled
def beside(item, item_indptr, users, weights, indptr, items, values, product, stamp, near):
    """Write the item's row of X'X into product (n_items,), and the other items of it into near; return how many.

    Only what people have beside the item is visited: a place of product counts where stamp (n_items,) is the item.
    """
    n = 0
    for p in range(item_indptr[item], item_indptr[item + 1]):
        user, weight = users[p], np.float64(weights[p])
        for q in range(indptr[user], indptr[user + 1]):
            other = items[q]
            if stamp[other] != item:
                stamp[other] = item
                product[other] = 0.0
                if other != item:
                    near[n] = other
                    n += 1
            product[other] += weight * np.float64(values[q])
    return n


def _near_items(by_item, by_user, rules, size, left, right, start, stop, index, value, count):
    """Fill rows start..stop of index and value (n_items, k) with each item's neighbours, and count (n_items,).

    by_item and by_user: (indptr, indices, data) of X' and X, with sorted indices; rules: (kind, alpha, beta,
    shrinkage); size (n_items,) are squared lengths, left and right (n_items,) what a cosine is divided by. Sums run in
    the order of the people. Neighbours come in order of their codes; ties at the last place go to lower codes.
    """
    item_indptr, users, weights = by_item
    indptr, items, values = by_user
    kind, alpha, beta, shrinkage = rules
    n_items, k = index.shape
    product, stamp = np.zeros(n_items), np.full(n_items, -1, np.int64)
    near, found = np.empty(n_items, np.int64), np.empty(n_items, np.float32)
    for item in range(start, stop):
        n = beside(item, item_indptr, users, weights, indptr, items, values, product, stamp, near)
        m = 0
        for a in range(n):
            other = near[a]
            scale = shrinkage + scale_of(
                kind, product[other], size[item], size[other], left[item], right[other], alpha, beta
            )
            alike = np.float32(product[other] / scale) if scale > 0.0 else np.float32(0.0)
            if alike != 0.0 and np.isfinite(alike):
                near[m], found[m] = other, alike
                m += 1
        least, ties = np.float32(-np.inf), 0
        if m > k:
            least = np.partition(found[:m], m - k)[m - k]
            ties = k - np.sum(found[:m] > least)
        kept = 0
        if m > k and ties < np.sum(found[:m] == least):  # the lower codes of those that are equal
            equal = np.sort(near[:m][found[:m] == least])
            last = equal[ties - 1]
        else:
            last = n_items
        for a in range(m):
            if found[a] > least or (found[a] == least and near[a] <= last):
                index[item, kept], value[item, kept] = near[a], found[a]
                kept += 1
        order = np.argsort(index[item, :kept])
        index[item, :kept], value[item, :kept] = index[item, :kept][order], value[item, :kept][order]
        count[item] = kept


near_items: Any = compiled(_near_items)
