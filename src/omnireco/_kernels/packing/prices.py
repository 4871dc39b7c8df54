"""Prices by a smoothed dual: for many rows at once, those of single people among them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from omnireco._kernels.packing.problem import Floats, Tied

__all__ = ["lagrange_prices", "one_sided", "smoothed_prices"]

TEMPERATURES = (0.1, 0.03, 0.01, 0.003, 0.001)  # of the smoothing, in mean values
ENOUGH = 2e-5  # a fall of the bound, as a share of itself, that does not pay for a colder run
MEMORY = 10  # past moves that L-BFGS keeps


def one_sided(tied: Tied) -> tuple[Any, Floats, Callable[[Floats], Floats]]:
    """Return rows that are limits alone, floors turned round, and what gives the signed price of each row."""
    floor, top = np.flatnonzero(np.isfinite(tied.least)), np.flatnonzero(np.isfinite(tied.limit))

    def signed(dual: Floats) -> Floats:
        price = np.zeros(tied.limit.size)
        price[top] = dual[: top.size]
        price[floor] -= dual[top.size :]
        return price

    if floor.size == 0 and top.size == tied.limit.size:
        return tied.matrix, tied.limit, signed
    matrix = sparse.vstack([tied.matrix[top], -tied.matrix[floor]], format="csr")
    return matrix, np.concatenate([tied.limit[top], -tied.least[floor]]), signed


def smoothed_prices(tied: Tied) -> Floats:
    """Return the signed price of each row."""
    matrix, limit, signed = one_sided(tied)
    return signed(lagrange_prices(tied.value, matrix, limit))


def lagrange_prices(value: Floats, matrix: Any, limit: Floats, *, steps: int = 40) -> Floats:
    """Return prices that make the dual bound nearly as low as the linear program's optimum.

    Parameters
    ----------
    value, matrix, limit : arrays of shapes (n,), (n_rows, n), (n_rows,)
        The problem, limits may be below 0 where weights are.
    steps : int, default 40
        L-BFGS steps at each temperature.

    Returns
    -------
    float64 array, shape (n_rows,)

    Notes
    -----
    max(q, 0) is smoothed to T log(1 + exp(q / T)), whose slope is the share of the touch in use; T falls
    from a tenth to a thousandth of the mean value, each run starting where the last one stopped. A price
    is scaled by the square root of its limit, so that a person's row and a city's row bend alike.
    """
    turned = matrix.T.tocsr()
    scale = 1.0 / np.sqrt(np.maximum(np.abs(limit), 1.0))
    unit = 1e3 / float(np.abs(value).sum())
    state = np.zeros(limit.size)
    best, lowest = state, math.inf
    for temperature in np.array(TEMPERATURES) * float(np.abs(value).mean()):

        def smoothed(y: Floats, t: float = float(temperature)) -> tuple[float, Floats]:
            price = y * scale
            z = (value - turned @ price) / t
            decay = np.exp(-np.abs(z))
            share = np.where(z >= 0, 1.0, decay) / (1.0 + decay)
            height = t * float((np.maximum(z, 0.0) + np.log1p(decay)).sum()) + float(limit @ price)
            return height * unit, (limit - matrix @ share) * scale * unit

        state = _descend(smoothed, state, steps)
        price = state * scale
        height = float(np.maximum(value - turned @ price, 0.0).sum() + limit @ price)
        fall = (lowest - height) / max(abs(height), np.finfo(np.float64).tiny)
        if height < lowest:
            best, lowest = price, height
        if fall < ENOUGH:
            break
    return best


def _descend(function: Callable[[Floats], tuple[float, Floats]], start: Floats, steps: int) -> Floats:
    """Return a lower point of a smooth convex function of y >= 0, by projected L-BFGS.

    Coordinates at 0 that want to fall stay there; the others take the quasi-Newton step, cut back until
    the function has fallen enough (Armijo). scipy's L-BFGS-B sorts its breakpoints at each step, and with
    200,000 personal rows that took five times as long as everything else together.
    """
    point, (height, slope) = start, function(start)
    moves: list[tuple[Floats, Floats]] = []
    for _ in range(steps):
        free = (point > 0) | (slope < 0)
        gradient = np.where(free, slope, 0.0)
        direction = np.where(free, -_inverse_hessian_times(gradient, moves), 0.0)
        if not direction @ gradient < 0:
            if not gradient.any():
                break
            moves.clear()
            direction = -gradient / np.abs(gradient).max()
        length = 1.0
        while True:
            trial = np.maximum(point + length * direction, 0.0)
            trial_height, trial_slope = function(trial)
            if trial_height <= height + 1e-4 * float(slope @ (trial - point)) or length < 1e-6:
                break
            length *= 0.4
        fall = height - trial_height
        if not fall > 0:
            break
        move, bend = trial - point, trial_slope - slope
        if move @ bend > 1e-12 * (bend @ bend):
            moves = [*moves, (move, bend)][-MEMORY:]
        point, height, slope = trial, trial_height, trial_slope
        if fall <= 1e-9 * abs(height):
            break
    return point


def _inverse_hessian_times(gradient: Floats, moves: list[tuple[Floats, Floats]]) -> Floats:
    """Return H g by the two-loop recursion of L-BFGS (Nocedal and Wright 2006, algorithm 7.4)."""
    result = gradient.copy()
    if not moves:
        return result / max(1.0, float(np.abs(gradient).max()))
    shares = []
    for move, bend in reversed(moves):
        share = float(move @ result) / float(move @ bend)
        shares.append(share)
        result -= share * bend
    move, bend = moves[-1]
    result *= float(move @ bend) / float(bend @ bend)
    for (move, bend), share in zip(moves, reversed(shares), strict=True):
        result += (share - float(bend @ result) / float(move @ bend)) * move
    return result
