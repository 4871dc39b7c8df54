"""Packing with a proof: choose touches of the greatest value under shared and personal limits.

Arrays in, arrays out. The problem is

    max v.x   subject to   A x <= b,   x in {0, 1}^n,   A >= 0

and nothing here knows whether a row of ``A`` is a budget, an hour of a call centre or one person's
week. For any prices l >= 0, with reduced values q = v - A'l,

    L(l) = sum_a max(q_a, 0) + b.l   >=   the best plan        (weak duality)

so every price vector proves a bound. Good prices come from minimising a smoothed L; a plan comes from
taking touches by reduced value; where the two do not meet, the touches whose reduced value is near
zero go to HiGHS.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from omnireco._core.compute import compiled, one_blas_thread, suited

__all__ = ["Solution", "dual_bound", "fill", "lagrange_prices", "solve"]

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

EXACT_TOUCHES = 3_000  # a core of this many touches goes to HiGHS whole
LINEAR_TOUCHES = 100_000  # up to this many are priced by the simplex method, whose vertex also breaks ties
NODES = (20, 1_000)  # least and most nodes of its search tree, a count, not seconds, so that answers repeat
NODE_TOUCHES = 100_000  # nodes times touches, between those
GOOD_GAP = 1e-4  # a large plan this close to its bound is left alone
LARGE = 200_000  # entries of A from which compiled code pays for the greedy loop
TEMPERATURES = (0.1, 0.03, 0.01, 0.003, 0.001)  # of the smoothing, in mean values
TOLERANCE = 1e-9  # by how much of itself a limit may be passed: float sums, nothing else
ENOUGH = 2e-5  # a fall of the bound, as a share of itself, that does not pay for a colder run
MEMORY = 10  # past moves that L-BFGS keeps
PROVEN = 1e-9  # a gap that is rounding, and no better plan


@dataclass(frozen=True, slots=True)
class Solution:
    """A plan with its proof, in the order of the touches given to ``solve``.

    Attributes
    ----------
    chosen : bool array, shape (n,)
        The touches of the plan; ``A @ chosen <= b`` holds.
    value, bound : float
        Value of the plan, and a number that no plan exceeds.
    price : float64 array, shape (n_rows,)
        What one more unit of each limit is worth; never negative.
    exact : bool
        Whether a search proved the plan best to within HiGHS's tolerance.
    """

    chosen: Bools
    value: float
    bound: float
    price: Floats
    exact: bool

    @property
    def gap(self) -> float:
        """Return (bound - value) / bound, and 0 when nothing can be earned."""
        return (self.bound - self.value) / self.bound if self.bound > 0 else 0.0


def solve(
    value: Floats,
    matrix: Any,
    limit: Floats,
    *,
    exact_touches: int = EXACT_TOUCHES,
    linear_touches: int = LINEAR_TOUCHES,
) -> Solution:
    """Return a plan of the greatest value found, and a bound that no plan exceeds.

    Parameters
    ----------
    value : float64 array, shape (n,)
        What each touch is worth; only those above 0 are ever chosen.
    matrix : scipy sparse matrix, shape (n_rows, n)
        How much of each limit a touch uses, never negative.
    limit : float64 array, shape (n_rows,)
        The limits, never negative.
    exact_touches : int, default 3000
        Up to this many undecided touches are searched by branch and bound.
    linear_touches : int, default 100000
        Up to this many touches are priced by the linear program itself, the others by the smoothed dual.

    Returns
    -------
    Solution

    Notes
    -----
    Deterministic: the same arrays give the same plan, whatever the machine's load or threads. Memory is
    a few copies of ``matrix``; a million touches under 50,000 rows take seconds (``benchmarks/plan.py``).

    References
    ----------
    M. L. Fisher, "The Lagrangian relaxation method for solving integer programming problems",
    Management Science 27 (1981). R. Basu et al., "ECLIPSE", ICML 2020, for the smoothed dual at scale.

    Examples
    --------
    Two touches fit the first limit; the best pair is worth 5:

    >>> import numpy as np
    >>> from scipy import sparse
    >>> s = solve(np.array([3.0, 2.0, 1.0]), sparse.csr_matrix(np.ones((1, 3))), np.array([2.0]))
    >>> s.chosen.tolist(), s.value, round(s.bound, 6)
    ([True, True, False], 5.0, 5.0)
    """
    value = np.asarray(value, dtype=np.float64)
    limit = np.asarray(limit, dtype=np.float64)
    matrix = sparse.csr_matrix(matrix, dtype=np.float64)
    touches, rows, small = _presolve(value, matrix, limit)
    chosen = np.zeros(value.size, dtype=np.bool_)
    price = np.zeros(limit.size)
    if touches.size == 0:
        return Solution(chosen, 0.0, 0.0, price, True)
    if rows.size == 0:
        chosen[touches] = True
        total = math.fsum(value[touches])
        return Solution(chosen, total, total, price, True)
    scale = 1.0 / max(float(value[touches].max()), np.finfo(np.float64).tiny)  # 1 / 1e-320 is infinite
    with one_blas_thread():
        picked, prices, bound, exact = _solve_core(
            value[touches] * scale, small, limit[rows], exact_touches, linear_touches
        )
    chosen[touches[picked]] = True
    price[rows] = prices / scale
    total = math.fsum(value[chosen])
    bound = max(bound / scale, total)
    return Solution(chosen, total, bound, price, exact or bound - total <= PROVEN * bound)


def dual_bound(value: Floats, matrix: Any, limit: Floats, price: Floats) -> float:
    """Return L(price), raised by the largest rounding error its sum can have made.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> one = sparse.csr_matrix(np.ones((1, 3)))
    >>> round(dual_bound(np.array([3.0, 2.0, 1.0]), one, np.array([2.0]), np.array([1.5])), 9)
    5.0
    """
    price = np.maximum(price, 0.0)
    used = matrix.T @ price
    total = math.fsum(np.maximum(value - used, 0.0)) + math.fsum(price * limit)
    terms = 4 + int(np.diff(sparse.csc_matrix(matrix).indptr).max(initial=0))
    size = float(np.abs(value).sum() + used.sum() + (price * limit).sum())
    return total + terms * float(np.finfo(np.float64).eps) * size


def lagrange_prices(value: Floats, matrix: Any, limit: Floats, *, steps: int = 40) -> Floats:
    """Return prices that make the dual bound nearly as low as the linear program's optimum.

    Parameters
    ----------
    value, matrix, limit : arrays of shapes (n,), (n_rows, n), (n_rows,)
        The problem, values above 0.
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
    scale = 1.0 / np.sqrt(np.maximum(limit, 1.0))
    unit = 1e3 / float(value.sum())
    state = np.zeros(limit.size)
    best, lowest = state, math.inf
    for temperature in np.array(TEMPERATURES) * float(value.mean()):

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
        fall = (lowest - height) / height
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


def fill(order: NDArray[np.int64], matrix: Any, limit: Floats, chosen: Bools) -> Bools:
    """Return ``chosen`` with every touch added, in ``order``, that still fits all its rows.

    Cost: one pass over the entries of ``matrix``; compiled when there are many.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> one = sparse.csr_matrix(np.ones((1, 3)))
    >>> fill(np.array([2, 0, 1]), one, np.array([2.0]), np.zeros(3, dtype=bool)).tolist()
    [True, False, True]
    """
    columns = sparse.csc_matrix(matrix)
    room = limit * (1.0 + TOLERANCE) - matrix @ chosen.astype(np.float64)
    taken = chosen.copy()
    suited(_fill_loop, columns.nnz, least=LARGE)(
        np.asarray(order, dtype=np.int64),
        columns.indptr.astype(np.int64),
        columns.indices.astype(np.int64),
        columns.data,
        room,
        taken,
    )
    return taken


@compiled
def _fill_loop(order: Any, start: Any, row: Any, weight: Any, room: Any, taken: Any) -> None:
    """Take touches in order while they fit; ``room`` and ``taken`` change in place."""
    for a in order:
        if taken[a]:
            continue
        fits = True
        for i in range(start[a], start[a + 1]):
            if weight[i] > room[row[i]]:
                fits = False
                break
        if fits:
            taken[a] = True
            for i in range(start[a], start[a + 1]):
                room[row[i]] -= weight[i]


def _presolve(value: Floats, matrix: Any, limit: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64], Any]:
    """Return the touches that could be sent, the rows that could bind, and their part of the matrix."""
    entry_row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    too_big = matrix.data > limit[entry_row] * (1.0 + TOLERANCE)
    never = np.zeros(value.size, dtype=np.bool_)
    never[matrix.indices[too_big]] = True
    touches = np.flatnonzero((value > 0) & ~never)
    kept = matrix[:, touches]
    use = np.asarray(kept.sum(axis=1)).ravel()
    rows = np.flatnonzero(use > limit * (1.0 + TOLERANCE))
    small = kept[rows]
    small.eliminate_zeros()
    small.sort_indices()
    return touches, rows, small


def _solve_core(
    value: Floats, matrix: Any, limit: Floats, exact_touches: int, linear_touches: int
) -> tuple[Bools, Floats, float, bool]:
    """Return the plan, prices, bound and whether it is proven best, for values of at most 1."""
    small = value.size <= linear_touches
    share, price = _linear_program(value, matrix, limit) if small else (None, None)
    if price is None:
        price = lagrange_prices(value, matrix, limit)
    bound = dual_bound(value, matrix, limit, price)
    reduced = value - matrix.T @ price
    chosen = _best_greedy(value, reduced, matrix, limit, share)
    if not small and _lacks(bound, value, chosen):
        chosen = _search_linear(value, reduced, matrix, limit, chosen, linear_touches)
    if value.size > exact_touches and not _lacks(bound, value, chosen):
        return chosen, price, bound, False
    chosen, proven = _search(value, reduced, matrix, limit, chosen, bound, exact_touches)
    return chosen, price, min(bound, proven), proven < math.inf


def _lacks(bound: float, value: Floats, chosen: Bools) -> bool:
    """Return whether a plan is further from its bound than a good one."""
    return bound - math.fsum(value[chosen]) > GOOD_GAP * bound


def _best_greedy(value: Floats, reduced: Floats, matrix: Any, limit: Floats, share: Floats | None) -> Bools:
    """Return the best of a few greedy plans: by the program's own shares, reduced value, and value.

    The shares of a vertex are nearly all 0 or 1, also where equal values leave the prices undecided.
    """
    nothing = np.zeros(value.size, dtype=np.bool_)
    index = np.arange(value.size)
    orders = [np.lexsort((index, -value, -reduced)), np.lexsort((index, -value, reduced <= 0))]
    if share is not None:
        orders.append(np.lexsort((index, -value, -reduced, -np.round(share, 6))))
    plans = [fill(order, matrix, limit, nothing) for order in orders]
    return max(plans, key=lambda plan: math.fsum(value[plan]))


def _nearest(reduced: Floats, most: int) -> Bools:
    """Return the ``most`` touches whose reduced value is nearest to zero: the prices decide least about these."""
    free = np.zeros(reduced.size, dtype=np.bool_)
    free[np.lexsort((np.arange(reduced.size), np.abs(reduced)))[:most]] = True
    return free


def _search_linear(value: Floats, reduced: Floats, matrix: Any, limit: Floats, chosen: Bools, most: int) -> Bools:
    """Return ``chosen`` or a better plan, from the linear program of the touches nearest to zero."""
    free = np.flatnonzero(_nearest(reduced, most))
    trial = chosen.copy()
    trial[free] = False
    room = np.maximum(limit - matrix @ trial.astype(np.float64), 0.0)
    share, _ = _linear_program(value[free], matrix[:, free], room)
    if share is None:
        return chosen
    order = free[np.lexsort((free, -value[free], -reduced[free], -np.round(share, 6)))]
    trial = fill(order, matrix, limit, trial)
    rest = np.lexsort((np.arange(value.size), -value, -reduced))
    trial = fill(rest, matrix, limit, trial)
    return trial if math.fsum(value[trial]) > math.fsum(value[chosen]) else chosen


def _search(
    value: Floats, reduced: Floats, matrix: Any, limit: Floats, chosen: Bools, bound: float, most: int
) -> tuple[Bools, float]:
    """Return a plan no worse than ``chosen`` and the bound that the search proved (inf if none).

    Changing a touch whose reduced value is further from zero than bound - value cannot pay (reduced-cost
    fixing), so searching the others settles the whole problem when they are few. When they are many, the
    nearest to zero are searched around the plan at hand, and nothing is proven.
    """
    lacking = max(bound - math.fsum(value[chosen]), 0.0) * (1.0 + 1e-9) + 1e-12
    distance = np.abs(reduced)
    free = distance <= lacking
    whole = int(free.sum()) <= most
    if whole:
        fixed = ~free & (reduced > 0)
    else:
        free = _nearest(reduced, most)
        fixed = chosen & ~free
    room = limit - matrix @ fixed.astype(np.float64)
    best = math.fsum(value[chosen])
    if (room < -TOLERANCE * np.maximum(limit, 1.0)).any():
        return chosen, best * (1.0 + 1e-12)  # no plan keeps what any better plan must keep
    touches = np.flatnonzero(free)
    picked, proven = _branch_and_bound(value[touches], matrix[:, touches], np.maximum(room, 0.0))
    trial = fixed.copy()
    trial[touches[picked]] = True
    over = matrix @ trial.astype(np.float64) > limit + TOLERANCE * np.maximum(limit, 1.0)
    if not over.any():
        index = np.arange(value.size)
        trial = fill(np.lexsort((index, -value, -reduced)), matrix, limit, trial)
        if math.fsum(value[trial]) > best:
            chosen, best = trial, math.fsum(value[trial])
    if not whole or proven == math.inf:
        return chosen, math.inf
    return chosen, max(best, math.fsum(value[fixed]) + proven)


def _branch_and_bound(value: Floats, matrix: Any, limit: Floats) -> tuple[Bools, float]:
    """Return HiGHS's choice and its own upper bound plus its tolerance; inf when it was cut short."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    nothing = np.zeros(value.size, dtype=np.bool_)
    if value.size == 0:
        return nothing, 0.0
    binding = np.flatnonzero(np.asarray(matrix.sum(axis=1)).ravel() > limit)
    if binding.size == 0:
        return ~nothing, math.fsum(value)
    result = milp(
        -1e3 * value,
        constraints=LinearConstraint(matrix[binding], -np.inf, limit[binding]),
        integrality=np.ones(value.size),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0, "node_limit": int(np.clip(NODE_TOUCHES // value.size, *NODES))},
    )
    picked = nothing if result.x is None else result.x > 0.5
    if result.status != 0 or result.mip_dual_bound is None:
        return picked, math.inf
    upper = -float(result.mip_dual_bound) / 1e3
    return picked, upper * (1.0 + 1e-9) + 1e-9


def _linear_program(value: Floats, matrix: Any, limit: Floats) -> tuple[Floats, Floats] | tuple[None, None]:
    """Return how much of each touch the linear program sends, at a vertex, and the price of each row."""
    from scipy.optimize import linprog

    if value.size == 0 or limit.size == 0:
        return None, None
    found = linprog(-value, A_ub=matrix, b_ub=limit, bounds=(0, 1), method="highs-ds")
    if found.status != 0:
        return None, None
    price = np.maximum(-np.asarray(found.ineqlin.marginals, dtype=np.float64), 0.0)
    return np.asarray(found.x, dtype=np.float64), price
