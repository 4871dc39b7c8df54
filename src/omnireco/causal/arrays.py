"""Numbers of decisions as arrays: one per decision, or a row each, all finite."""

from __future__ import annotations

from typing import Any

import numpy as np

from omnireco._core.checks import check_numbers
from omnireco.errors import ParameterError

__all__ = ["LEAST_CHANCE", "matrix", "vector"]

_LARGEST, LEAST_CHANCE = 1e100, 1e-100  # squares of rewards and weights stay finite


def vector(values: Any, name: str, n: int | None = None) -> np.ndarray:
    """Return finite numbers, float64 (n,)."""
    array = check_numbers(values, name)
    if array.ndim != 1 or (n is not None and array.size != n):
        raise ParameterError(f"{name} must have one number per decision{f', {n:,}' if n else ''}. Got {array.shape}.")
    return _finite(array, name)


def matrix(values: Any, name: str, n: int) -> np.ndarray:
    """Return finite numbers, float64 (n, any)."""
    array = check_numbers(values, name)
    if array.ndim != 2 or array.shape[0] != n:
        raise ParameterError(f"{name} must have {n:,} rows and a column each. Got the shape {array.shape}.")
    return _finite(array, name)


def _finite(array: np.ndarray, name: str) -> np.ndarray:
    bad = int(array.size - np.isfinite(array).sum())
    if bad:
        raise ParameterError(f"{name} holds {bad:,} numbers that are missing or not finite. Leave those decisions out.")
    if np.abs(array).max(initial=0.0) > _LARGEST:
        raise ParameterError(f"{name} holds numbers beyond {_LARGEST:g}, whose squares have no place. Scale them down.")
    return array
