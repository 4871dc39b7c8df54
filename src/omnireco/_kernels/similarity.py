"""Similarity of matrix columns: term weighting, similarities, nearest neighbours."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from omnireco._core.compute import row_blocks
from omnireco._kernels.topk.exact import select

__all__ = ["nearest", "weigh"]


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
    x: sp.csr_matrix, similarity: str, *, neighbors: int, shrinkage: float, alpha: float, beta: float
) -> sp.csr_matrix:
    """Return similarities, float32 (n_items, n_items): column i holds the ``neighbors`` most like item i."""
    n_items = x.shape[1]
    sets = similarity in ("jaccard", "dice", "tversky")
    wide = _sets(x) if sets else x.astype(np.float64)
    size = np.bincount(wide.indices, weights=wide.data**2, minlength=n_items)  # squared length; of a set, its size
    columns = sp.csr_matrix(wide.T)
    item, neighbor, value = [], [], []
    for rows in row_blocks(n_items, 24 * n_items):
        product = (columns[rows] @ wide).toarray()
        own, other = size[rows, None], size[None, :]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            if similarity == "cosine":
                scale = np.sqrt(own) * np.sqrt(other)
            elif similarity == "asymmetric":
                scale = np.where((own > 0) & (other > 0), own**alpha * other ** (1 - alpha), 0.0)
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
    cells = (np.concatenate(value), (np.concatenate(neighbor), np.concatenate(item)))
    weights = sp.csr_matrix(cells, (n_items, n_items), dtype=np.float32)
    weights.sort_indices()
    return weights


def _sets(x: sp.csr_matrix) -> sp.csr_matrix:
    """Return 1 where a cell is above 0, and nothing elsewhere, float64."""
    chosen = sp.csr_matrix(((x.data > 0).astype(np.float64), x.indices.copy(), x.indptr.copy()), x.shape)
    chosen.eliminate_zeros()
    return chosen
