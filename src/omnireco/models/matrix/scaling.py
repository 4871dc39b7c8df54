"""Defaults that follow the data: the weight of the unobserved against the observed, the ridge against histories."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

__all__ = ["UNOBSERVED_SHARE", "ridge_of", "unobserved_weight_of"]

UNOBSERVED_SHARE = 15.0  # what all unobserved cells together weigh, against all observed ones
_DENSE_WEIGHT = 0.5  # of the weight of an observed cell, which no unobserved one exceeds
_RIDGE = 5.0  # in units of the squared length of a history
_SHORT = 8.0  # cells: shorter histories count as so long, since of few people together little is known


def unobserved_weight_of(cells: sp.csr_matrix, weight: np.ndarray) -> float:
    """Return the weight of the unobserved cells of ALS, where the observed cells (nnz,) have these weights.

    All cells of people with a history and of items that somebody chose weigh ``UNOBSERVED_SHARE`` times what was
    observed, so that neither more items nor heavier events change what the two sides of the loss mean to one another.
    On dense data, where that is more than half the weight of an observed cell, half of it.
    """
    total = float(weight.sum())
    rows, columns = int(np.count_nonzero(np.diff(cells.indptr))), int(np.unique(cells.indices).size)
    if not total > 0:
        return 0.0
    return min(UNOBSERVED_SHARE * total / (rows * columns), _DENSE_WEIGHT * total / weight.size)


def ridge_of(cells: sp.csr_matrix) -> float:
    """Return the ridge of EASE: some squared lengths of the mean history, which is what noise in X'X grows with.

    A mean history of fewer than ``_SHORT`` cells counts as one of so many.
    """
    squares = float((cells.data.astype(np.float64) ** 2).sum())
    people = max(1, int(np.count_nonzero(np.diff(cells.indptr))))
    longer = max(1.0, _SHORT * people / max(1, int(np.count_nonzero(cells.data))))
    return max(1.0, _RIDGE * longer * squares / people) if squares > 0 else 1.0
