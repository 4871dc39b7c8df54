"""The linear program and the integer program, by HiGHS; and which rows no plan can meet together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import sparse

from omnireco._core.quiet import without_lines
from omnireco._kernels.packing.prices import one_sided
from omnireco._kernels.packing.problem import Bools, Floats, InConflict, Tied

__all__ = ["NODES", "NODE_TOUCHES", "branch_and_bound", "conflict", "linear_program"]

NODES = (200, 2_000)  # least and most nodes of a search tree, a count, not seconds, so that answers repeat
NODE_TOUCHES = 400_000  # nodes times columns, between those
_CUT_SHORT, _INFEASIBLE = 1, 2  # status of linprog and milp


def linear_program(tied: Tied) -> tuple[Floats, Floats] | tuple[None, None]:
    """Return how much of each column the linear program sends, at a vertex, and the price of each row.

    Raises
    ------
    InConflict
        When floors cannot be met.
    """
    from scipy.optimize import linprog

    if tied.value.size == 0 or tied.limit.size == 0:
        if (tied.least > 0).any():
            raise InConflict(np.flatnonzero(tied.least > 0)[:1], float(tied.least.max()))
        return None, None
    matrix, limit, signed = one_sided(tied)
    found = linprog(-tied.value, A_ub=matrix, b_ub=limit, bounds=(0, 1), method="highs-ds")
    if found.status == _INFEASIBLE:
        raise conflict(tied)
    if found.status != 0:
        return None, None
    dual = np.maximum(-np.asarray(found.ineqlin.marginals, dtype=np.float64), 0.0)
    return np.asarray(found.x, dtype=np.float64), signed(dual)


def conflict(tied: Tied) -> InConflict:
    """Return the rows of which no part could be left out for the others to be met, and what is missing.

    The elastic program misses the floors by as little as it can; rows without a price in it are no part of the
    conflict,
    and of the others each is tried without.
    """
    from scipy.optimize import linprog

    floor = np.flatnonzero(np.isfinite(tied.least))
    n = tied.value.size

    def short(limits: np.ndarray, floors: np.ndarray) -> tuple[float, Any]:
        limits = limits[np.isfinite(tied.limit[limits])]
        matrix = sparse.vstack(
            [
                sparse.hstack([tied.matrix[limits], sparse.csr_matrix((limits.size, floors.size))]),
                sparse.hstack([-tied.matrix[floors], -sparse.eye(floors.size)]),
            ],
            format="csr",
        )
        cost = np.concatenate([np.zeros(n), 1.0 / np.maximum(tied.least[floors], 1.0)])
        found = linprog(
            cost,
            A_ub=matrix,
            b_ub=np.concatenate([tied.limit[limits], -tied.least[floors]]),
            bounds=[(0, 1)] * n + [(0, None)] * floors.size,
            method="highs-ds",
        )
        return float(found.fun), found

    limits = np.arange(tied.limit.size)
    missing, found = short(limits, floor)
    finite = limits[np.isfinite(tied.limit)]
    dual = np.abs(np.asarray(found.ineqlin.marginals))
    limits, floors = finite[dual[: finite.size] > 1e-12], floor[dual[finite.size :] > 1e-12]
    amount = float(np.asarray(found.x)[n:].sum())
    for kind in (0, 1):
        for row in (limits, floors)[kind][:200]:
            fewer = (limits[limits != row], floors) if kind == 0 else (limits, floors[floors != row])
            if fewer[1].size and short(*fewer)[0] > 1e-9 * max(missing, 1e-9):
                limits, floors = fewer
    return InConflict(np.unique(np.concatenate([limits, floors])), amount)


def branch_and_bound(tied: Tied, whole: int, *, nodes: int | None = None) -> tuple[Bools | None, float, bool]:
    """Return HiGHS's choice, its own upper bound plus its tolerance, and whether it was not cut short.

    The first ``whole`` columns are touches and must be whole; so must the offers behind them. None: no plan was found.
    Now and then HiGHS says that it mends a solution, in a line that no option stops and that is kept from the output.

    Raises
    ------
    InConflict
        When there is none: the floors cannot be met by whole touches.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    nothing = np.zeros(whole, dtype=np.bool_)
    needed = tied.least > 0
    if tied.value.size == 0:
        if needed.any():
            raise InConflict(np.flatnonzero(needed), float(tied.least[needed].sum()))
        return nothing, 0.0, True
    most = np.asarray(tied.matrix.maximum(0).sum(axis=1)).ravel()
    low = np.asarray(tied.matrix.minimum(0).sum(axis=1)).ravel()
    binding = np.flatnonzero((most > tied.limit) | (low < tied.least))
    if binding.size == 0:
        chosen = tied.value[:whole] > 0
        return chosen, math.fsum(tied.value[:whole][chosen]), True
    if nodes is None:
        nodes = int(np.clip(NODE_TOUCHES // tied.value.size, *NODES))
    with without_lines(b"HighsMipSolverData"):
        result = milp(
            -1e3 * tied.value,
            constraints=LinearConstraint(tied.matrix[binding], tied.least[binding], tied.limit[binding]),
            integrality=np.ones(tied.value.size),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": 0.0, "node_limit": nodes},
        )
    if result.status == _INFEASIBLE:
        raise InConflict(np.flatnonzero(needed), 0.0)
    picked = None if result.x is None else np.asarray(result.x)[:whole] > 0.5
    if result.status not in (0, _CUT_SHORT) or result.mip_dual_bound is None:
        return picked, math.inf, False
    upper = -float(result.mip_dual_bound) / 1e3
    return picked, upper * (1.0 + math.copysign(1e-9, upper)) + 1e-9, result.status == 0
