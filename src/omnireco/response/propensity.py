"""The probability that an arm is chosen by Thompson sampling, by quadrature instead of a thousand draws."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from omnireco._checks import shown
from omnireco.errors import ParameterError

__all__ = ["tables", "thompson_propensities"]


def thompson_propensities(mean: Any, width: Any, *, eligible: Any = None, floor: float = 0.0) -> np.ndarray:
    """Return the probability of each arm to have the highest of independent normal scores.

    What off-policy evaluation needs, and what sampling alone never says: ``p_a = integral of phi_a(s) times the
    product of Phi_b(s) over the other arms``.

    Parameters
    ----------
    mean, width : array-like of shape (n, k)
        Mean and standard deviation of each arm's score; width 0 is a sure score.
    eligible : array-like of bool, shape (n, k), optional
        Arms outside have probability 0.
    floor : float, default 0
        Share of choices that is even over the eligible arms, mixed in.

    Returns
    -------
    ndarray of shape (n, k), float64
        Rows sum to 1 within 1e-6, and to 0 where no arm is eligible.

    Raises
    ------
    ParameterError
        When shapes disagree, or a number is not finite or negative.

    Notes
    -----
    The trapezoid rule, whose error falls exponentially for such integrands (Trefethen and Weideman 2014), with a step
    below the width of the narrowest relevant arm. Deterministic. For one arm about 5 ns
    times arms times nodes, of which there are 30 and more; arms too far below to matter are left out.

    Examples
    --------
    >>> thompson_propensities([[0.0, 0.0, 1.0]], [[1.0, 1.0, 1.0]]).round(4)
    array([[0.1831, 0.1831, 0.6337]])
    """
    from omnireco.response import _bandit_kernels as kernels

    mean, width = np.ascontiguousarray(mean, np.float64), np.ascontiguousarray(width, np.float64)
    allowed = np.ones(mean.shape, np.bool_) if eligible is None else np.ascontiguousarray(eligible)
    if mean.ndim != 2 or width.shape != mean.shape or allowed.shape != mean.shape or allowed.dtype != np.bool_:
        raise ParameterError(
            "thompson_propensities: mean, width and eligible (bool) must share one shape (n, k). "
            f"Got {mean.shape}, {width.shape} and {allowed.dtype} {allowed.shape}."
        )
    if not (np.isfinite(mean).all() and np.isfinite(width).all() and (width >= 0).all()):
        raise ParameterError("thompson_propensities: means must be finite and widths finite and 0 or greater.")
    if not 0.0 <= floor <= 1.0:
        raise ParameterError(f"floor must be a number in the range [0, 1]. Got {shown(floor)}.")
    out = np.zeros(mean.shape)
    kernels.chances(mean, width, allowed, False, tables()[1], out)
    if floor == 0.0:
        return out
    even = allowed / np.maximum(allowed.sum(axis=1, keepdims=True), 1)
    return (1.0 - floor) * out + floor * even


@cache
def tables() -> tuple[np.ndarray, np.ndarray]:
    """Return the tables of normal quantiles and of log Phi that the kernels read."""
    from omnireco.response import _bandit_kernels as kernels

    return kernels.normal_table(), kernels.log_cdf_table()
