"""Similarity of matrix columns: term weighting, similarities, nearest neighbours."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from omnireco._core.compute import in_threads, pays, row_blocks
from omnireco._kernels.topk.exact import select

__all__ = ["nearest", "weigh"]

_PRODUCTS, _ROWS = 20_000_000, 64  # what numpy does in a second; items for a thread
_Rules = tuple[str, float, float, float]
_Cells = tuple[np.ndarray, np.ndarray, np.ndarray]


def weigh(x: sp.csr_matrix, scheme: str, *, smooth: bool, k1: float, b: float) -> sp.csr_matrix:
    """Return the matrix with term weights (BM25, TF-IDF): people are terms, items documents.

    A person counts by idf, the less the more they chose: ``log(n_items / (1 + chosen))``, at least 0, or
    ``log(1 + n_items / chosen)`` when ``smooth``. A cell counts its root ("tfidf"), or what BM25 makes of it.
    """
    weighted = x.astype(np.float64)
    n_items, chosen = x.shape[1], np.maximum(np.diff(x.indptr), 1)
    idf = np.log(1 + n_items / chosen) if smooth else np.maximum(np.log(n_items / (1 + chosen)), 0.0)
    amount = np.maximum(weighted.data, 0)
    if scheme == "tfidf":
        frequency = np.sqrt(amount)
    else:
        mass = np.bincount(x.indices, weights=amount, minlength=n_items)
        length = 1 - b + b * mass / (mass.mean() or 1.0)
        frequency = amount * (k1 + 1) / (amount + k1 * length[x.indices])
    weighted.data = frequency * np.repeat(idf, np.diff(x.indptr))
    return weighted


def nearest(
    x: sp.csr_matrix,
    similarity: str,
    *,
    neighbors: int,
    shrinkage: float,
    alpha: float,
    beta: float,
    threads: int | None = None,
) -> sp.csr_matrix:
    """Return similarities, float32 (n_items, n_items): column i holds the ``neighbors`` most like item i.

    Compiled above some millions of products, with the same bits; each row is a sum in the order of the people, so
    threads change nothing.
    """
    wide = _sets(x) if similarity in ("jaccard", "dice", "tversky") else x.astype(np.float64)
    wide.sort_indices()
    size = np.bincount(wide.indices, weights=wide.data**2, minlength=x.shape[1])  # squared length; of a set, its size
    if similarity == "asymmetric":
        left, right = (np.where(size > 0, size**power, 0.0) for power in (alpha, 1 - alpha))
    else:
        left = right = np.sqrt(size)
    rules = similarity, alpha, beta, shrinkage
    products = float((np.diff(wide.indptr).astype(np.float64) ** 2).sum())
    if pays(products, _PRODUCTS):
        item, neighbor, value = _of_many(wide, rules, size, left, right, neighbors, threads)
    else:
        item, neighbor, value = _of_few(wide, rules, size, left, right, neighbors)
    weights = sp.csr_matrix((value, (neighbor, item)), (x.shape[1], x.shape[1]), dtype=np.float32)
    weights.sort_indices()
    return weights


def _of_few(
    wide: sp.csr_matrix, rules: _Rules, size: np.ndarray, left: np.ndarray, right: np.ndarray, neighbors: int
) -> _Cells:
    """Return (item, neighbor, value) by dense blocks of similarities."""
    n_items = wide.shape[1]
    similarity, alpha, beta, shrinkage = rules
    columns = sp.csr_matrix(wide.T)
    item, neighbor, value = [], [], []
    for rows in row_blocks(n_items, 24 * n_items):
        product = (columns[rows] @ wide).toarray()
        own, other = size[rows, None], size[None, :]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            if similarity in ("cosine", "asymmetric"):
                scale = left[rows, None] * right[None, :]
            elif similarity == "jaccard":
                scale = own + other - product
            elif similarity == "dice":
                scale = (own + other) / 2
            else:
                scale = product + alpha * (own - product) + beta * (other - product)
            scale += shrinkage
            similar = np.where(scale > 0, product / scale, 0.0).astype(np.float32)
        similar[np.arange(rows.stop - rows.start), np.arange(rows.start, rows.stop)] = 0.0
        similar[~np.isfinite(similar) | (similar == 0)] = -np.inf
        codes, scores = select(similar, k=min(neighbors, n_items))
        row, place = np.nonzero(codes >= 0)
        item.append(row + rows.start)
        neighbor.append(codes[row, place])
        value.append(scores[row, place])
    return np.concatenate(item), np.concatenate(neighbor), np.concatenate(value)


def _of_many(
    wide: sp.csr_matrix,
    rules: _Rules,
    size: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    neighbors: int,
    threads: int | None,
) -> _Cells:
    """Return what :func:`_of_few` does, visiting only items that somebody has beside the item."""
    from omnireco._kernels.near_items import near_items

    n_items = wide.shape[1]
    kind = {"jaccard": 1, "dice": 2, "tversky": 3}.get(rules[0], 0)
    k = min(neighbors, n_items)
    columns = wide.tocsc()
    by_item, by_user = ((part.indptr, part.indices, part.data) for part in (columns, wide))
    index, value = np.empty((n_items, k), np.int32), np.empty((n_items, k), np.float32)
    count = np.zeros(n_items, np.int64)
    numbers = kind, float(rules[1]), float(rules[2]), float(rules[3])

    def work(start: int, stop: int) -> None:
        near_items(by_item, by_user, numbers, size, left, right, start, stop, index, value, count)

    in_threads(work, n_items, threads=threads, least=_ROWS)
    filled = np.arange(k) < count[:, None]
    return np.repeat(np.arange(n_items), count), index[filled], value[filled]


def _sets(x: sp.csr_matrix) -> sp.csr_matrix:
    """Return 1 where a cell is above 0, and nothing elsewhere, float64."""
    chosen = sp.csr_matrix(((x.data > 0).astype(np.float64), x.indices.copy(), x.indptr.copy()), x.shape)
    chosen.eliminate_zeros()
    return chosen
