"""What any prices prove: an upper bound of every plan."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import sparse

from omnireco._kernels.packing.problem import Floats

__all__ = ["dual_bound", "meant"]


def meant(price: Floats, limit: Floats, least: Floats | None = None) -> Floats:
    """Return prices of which each has a side: above 0 only where there is a limit, below only where there is a floor."""
    high = np.where(np.isfinite(limit), np.maximum(price, 0.0), 0.0)
    return high if least is None else high + np.where(least > 0, np.minimum(price, 0.0), 0.0)


def dual_bound(value: Floats, matrix: Any, limit: Floats, price: Floats, least: Floats | None = None) -> float:
    """Return L(price), raised by the largest rounding error its sum can have made.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> one = sparse.csr_matrix(np.ones((1, 3)))
    >>> round(dual_bound(np.array([3.0, 2.0, 1.0]), one, np.array([2.0]), np.array([1.5])), 9)
    5.0
    """
    price = meant(price, limit, least)
    used = matrix.T @ price
    paid = price * np.where(price > 0, limit, 0.0)
    if least is not None:
        paid = np.where(price < 0, price * np.where(price < 0, least, 0.0), np.where(price > 0, paid, 0.0))
    paid = np.where(price == 0, 0.0, paid)
    total = math.fsum(np.maximum(value - used, 0.0)) + math.fsum(paid)
    terms = 4 + int(np.diff(sparse.csc_matrix(matrix).indptr).max(initial=0))
    size = float(np.abs(value).sum() + (abs(matrix).T @ np.abs(price)).sum() + np.abs(paid).sum())
    return total + terms * float(np.finfo(np.float64).eps) * size
