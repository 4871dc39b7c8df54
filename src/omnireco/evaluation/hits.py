"""Which listed items are relevant to their user."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from omnireco._core.compute import row_blocks

__all__ = ["find_hits"]


def find_hits(codes: np.ndarray, relevant: sp.csr_matrix) -> np.ndarray:
    """Return which listed items are relevant to their user.

    Parameters
    ----------
    codes : ndarray of shape (n, k), int32
        Listed items; -1 for none.
    relevant : scipy.sparse.csr_matrix of shape (n, n_items)
        A stored cell for every relevant pair.

    Returns
    -------
    ndarray of shape (n, k), bool

    Notes
    -----
    Each block of users gets a board of flags, one per item: one write per relevant pair, one read per listed
    item, no sorting or searching. A block is small enough (2 MB) for its board to stay in the cache.
    """
    n, width = codes.shape[0], relevant.shape[1] + 1  # one more column, never set: the code -1 points at it
    hits = np.zeros(codes.shape, np.bool_)
    board = np.zeros((0, width), np.bool_)
    for rows in row_blocks(n, width, memory=2 << 20):
        size = rows.stop - rows.start
        if board.shape[0] < size:
            board = np.zeros((size, width), np.bool_)
        first, last = relevant.indptr[rows.start], relevant.indptr[rows.stop]
        row = np.repeat(np.arange(size), np.diff(relevant.indptr[rows.start : rows.stop + 1]))
        item = relevant.indices[first:last]
        board[row, item] = True
        hits[rows] = board[np.arange(size)[:, None], codes[rows]]
        board[row, item] = False
    return hits
