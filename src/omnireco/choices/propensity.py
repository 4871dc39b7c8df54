"""The probability that an arm is chosen by Thompson sampling, by quadrature instead of a thousand draws."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from omnireco._core.checks import check_number, check_numbers
from omnireco._core.compute import suited
from omnireco.errors import ParameterError

__all__ = ["PLACES", "best_rate_chances", "tables", "thompson_propensities"]

_LARGEST = 1e150
PLACES = 40  # of a quadrature, roughly


def thompson_propensities(mean: Any, width: Any, *, eligible: Any = None, floor: float = 0.0) -> np.ndarray:
    """Return the probability of each arm to have the highest of independent normal scores.

    What off-policy evaluation needs, and what sampling alone does not give: ``p_a = integral of phi_a(s) times the
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
    The trapezoid rule, whose error falls exponentially for such integrands (Trefethen and Weideman 2014), with steps
    that grow with the distance from the narrowest arm that matters, so widths may differ by any ratio. Rows are not
    normalised: what they lack to 1 is the error. Of arms without width the best takes all that the others leave, the
    first of equal ones. Deterministic. About 10 ns times arms times places, of which there are 30 for a few arms alike
    and some 200 where widths differ a hundred million times; arms too far below to matter are left out.

    Examples
    --------
    >>> thompson_propensities([[0.0, 0.0, 1.0]], [[1.0, 1.0, 1.0]]).round(4)
    array([[0.1831, 0.1831, 0.6337]])
    """
    from omnireco._kernels.choice.highest import chances

    mean, width = (
        np.ascontiguousarray(check_numbers(given, f"thompson_propensities: {name}"))
        for given, name in ((mean, "mean"), (width, "width"))
    )
    allowed = np.ones(mean.shape, np.bool_) if eligible is None else _mask(eligible)
    if mean.ndim != 2 or width.shape != mean.shape or allowed.shape != mean.shape or allowed.dtype != np.bool_:
        raise ParameterError(
            "thompson_propensities: mean, width and eligible (bool) must share one shape (n, k). "
            f"Got {mean.shape}, {width.shape} and {allowed.dtype} {allowed.shape}."
        )
    if not (np.isfinite(mean).all() and np.isfinite(width).all() and (width >= 0).all()):
        raise ParameterError("thompson_propensities: means must be finite and widths finite and 0 or greater.")
    if max(np.abs(mean).max(initial=0.0), width.max(initial=0.0)) > _LARGEST:
        raise ParameterError(f"thompson_propensities: means and widths must not exceed {_LARGEST:g}. Scale them down.")
    floor = check_number(floor, "floor", low=0.0, high=1.0)
    out = np.zeros(mean.shape)
    suited(chances, PLACES * mean.size)(mean, width, allowed, False, tables()[1], out)
    if floor == 0.0:
        return out
    even = allowed / np.maximum(allowed.sum(axis=1, keepdims=True), 1)
    return (1.0 - floor) * out + floor * even


def best_rate_chances(a: np.ndarray, b: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Return the probability of each allowed Beta(a, b), all (n, k), to be the highest of its row; 0 elsewhere.

    By quadrature of the Betas themselves, in log-odds: rates of people with a handful of messages are far from normal.
    Rows sum to 1 within 1e-6.
    """
    from omnireco._kernels.choice.best_rate import best_rates

    return best_rates(np.asarray(a, np.float64), np.asarray(b, np.float64), np.asarray(allowed, np.bool_), *_panel())


def _mask(eligible: Any) -> np.ndarray:
    try:
        return np.ascontiguousarray(eligible)
    except (TypeError, ValueError):  # rows of different lengths
        return np.empty(0, object)


@cache
def _panel() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from omnireco._kernels.choice.best_rate import panel

    return panel()


@cache
def tables() -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return what the kernels read: normal quantiles, log Phi, and for crowds its parabolas, places and nodes."""
    from omnireco._kernels.choice.bandit_loops import normal_table
    from omnireco._kernels.choice.crowd import crowd_table, parabolas
    from omnireco._kernels.choice.highest import log_cdf_table

    return normal_table(), log_cdf_table(), (parabolas(), crowd_table())
