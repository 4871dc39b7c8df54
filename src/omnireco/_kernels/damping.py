"""Cell weighting by log, TF-IDF and BM25, and item-item co-occurrence."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

__all__ = ["bm25", "item_pairs", "log1p", "tfidf"]


def log1p(csr: sp.csr_matrix) -> np.ndarray:
    """Return the cells as log(1 + x), float64; a negative cell keeps its sign."""
    cells = csr.data.astype(np.float64)
    return np.sign(cells) * np.log1p(np.abs(cells))


def tfidf(csr: sp.csr_matrix) -> np.ndarray:
    """Return the cells times ``1 + log((1 + N) / (1 + n))`` of their column, float64.

    N people, n of them with the item: the smoothed form of scikit-learn's TfidfTransformer, without its norm.
    """
    n_people, people = csr.shape[0], np.bincount(csr.indices, minlength=csr.shape[1])
    found: np.ndarray = csr.data.astype(np.float64) * (1 + np.log((1 + n_people) / (1 + people)))[csr.indices]
    return found


def bm25(csr: sp.csr_matrix, k1: float, b: float) -> np.ndarray:
    """Return the cells as ``idf (k1 + 1) x / (x + k1 (1 - b + b length / mean length))``, float64.

    The length of a person is the sum of their cells, without signs; idf is ``log(1 + (N - n + 0.5) / (n + 0.5))``.
    Stephen Robertson and Hugo Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009), with the idf
    that stays above 0 for items of more than half of the people.
    """
    cells = np.abs(csr.data.astype(np.float64))
    row = np.repeat(np.arange(csr.shape[0]), np.diff(csr.indptr))
    length = np.bincount(row, weights=cells, minlength=csr.shape[0])
    active = length > 0
    mean = length[active].mean() if active.any() else 1.0
    people = np.bincount(csr.indices, minlength=csr.shape[1])
    idf = np.log1p((csr.shape[0] - people + 0.5) / (people + 0.5))
    pull = k1 * (1 - b + b * length / mean)
    found: np.ndarray = np.sign(csr.data) * idf[csr.indices] * (k1 + 1) * cells / (cells + pull[row])
    return found


def item_pairs(csr: sp.csr_matrix, measure: str) -> sp.csr_matrix:
    """Return the item-item matrix over people, shape (n_items, n_items), float32, without a diagonal."""
    if measure == "weight":
        pairs = sp.csr_matrix(csr.T @ csr, dtype=np.float64)
    else:
        chosen = sp.csr_matrix(((csr.data > 0).astype(np.float64), csr.indices, csr.indptr), csr.shape, copy=True)
        chosen.eliminate_zeros()
        pairs = sp.csr_matrix(chosen.T @ chosen)
        people = np.bincount(chosen.indices, minlength=csr.shape[1]).astype(np.float64)
        row = np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.indptr))
        mine, other, both = people[row], people[pairs.indices], pairs.data
        if measure == "cosine":
            pairs.data = both / np.sqrt(mine * other)
        elif measure == "jaccard":
            pairs.data = both / (mine + other - both)
        elif measure == "lift":
            pairs.data = both * csr.shape[0] / (mine * other)
    pairs.setdiag(0)
    pairs.eliminate_zeros()
    pairs.sort_indices()
    return sp.csr_matrix(pairs, dtype=np.float32)
