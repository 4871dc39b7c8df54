"""Choose touches of the greatest value under limits, floors and offers, and prove how good the choice is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from omnireco._core.compute import one_blas_thread
from omnireco._kernels.packing.bounds import dual_bound, meant
from omnireco._kernels.packing.exact import linear_program
from omnireco._kernels.packing.large import Crowd, crowd_of, personal_prices, rough
from omnireco._kernels.packing.offers import FEW_GROUPS, chosen_offers, narrowed, offers_bound, spread, with_offers
from omnireco._kernels.packing.order import nameless
from omnireco._kernels.packing.plans import best_of, greedy, lacks, search, search_linear, worth
from omnireco._kernels.packing.prices import smoothed_prices
from omnireco._kernels.packing.problem import (
    Bools,
    Floats,
    InConflict,
    Integers,
    Problem,
    Solution,
    problem_of,
    slack,
    tied,
)
from omnireco._kernels.packing.segments import coupled_bound, sampled, segmented

__all__ = ["solve", "solved_whole"]

EXACT_TOUCHES = 3_000  # a core of this many touches goes to HiGHS whole
LINEAR_TOUCHES = 100_000  # up to this many are priced by the simplex method, whose vertex also breaks ties
_EXCHANGES = 4  # rounds in which segments of many people change offers
CORE_TOUCHES = 20_000  # of a large problem, that are solved anew around its plan
PROVEN = 1e-9  # a gap that is rounding, and no better plan


def solve(
    value: Floats,
    matrix: Any,
    limit: Floats,
    *,
    least: Floats | None = None,
    choices: Sequence[tuple[Any, Any]] = (),
    block: Any = None,
    allowed: Bools | None = None,
    prices: Floats | None = None,
    start: Bools | None = None,
    threads: int | None = None,
    exact_touches: int = EXACT_TOUCHES,
    linear_touches: int = LINEAR_TOUCHES,
) -> Solution:
    """Return a plan of the greatest value found, and a bound that no plan exceeds.

    Parameters
    ----------
    value : float64 array, shape (n,)
        What each touch is worth; those of 0 or less are chosen only to meet a floor.
    matrix : scipy sparse matrix, shape (n_rows, n)
        How much of each limit a touch uses; below 0 it gives room.
    limit : float64 array, shape (n_rows,)
        The limits, never negative; infinite for none.
    least : float64 array, shape (n_rows,), optional
        Floors; 0 for none.
    choices : sequence of (group, option), int64 arrays of shape (n,)
        Of each group one option at most; -1 for touches of none.
    block : int array, shape (n,), optional
        Whose touch it is: rows that lie within one person need no price then, where the problem is large.
    allowed : bool array, shape (n,), optional
        Touches that may be chosen; all by default.
    prices : float64 array, shape (n_rows,), optional
        Where to start from, such as yesterday's.
    start : bool array, shape (n,), optional
        A plan to improve on: the result is never worth less, where this one keeps everything.
    threads : int, optional
        All cores by default. The plan does not depend on it.
    exact_touches : int, default 3000
        Up to this many undecided touches are searched by branch and bound.
    linear_touches : int, default 100000
        Up to this many touches are priced by the linear program itself, the others by a dual method.

    Returns
    -------
    Solution

    Raises
    ------
    InConflict
        When no plan meets the floors; with the rows that stand against one another.

    Notes
    -----
    Deterministic: the same arrays give the same plan, whatever the machine's load or threads, and however people, items
    and rows are numbered. Memory is a few copies of ``matrix``; times of many sizes are in ``benchmarks/planning.py``.

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
    whole = problem_of(value, matrix, limit, least, choices, block, allowed)
    chosen, price = np.zeros(value.size, dtype=np.bool_), np.zeros(limit.size)
    if whole.row.size == 0 and not whole.choices:
        chosen[whole.touch] = True
        total = math.fsum(value[whole.touch])
        return Solution(chosen, total, total, price, True, value.copy())
    problem = _named_by_content(whole)
    scale = 1.0 / max(
        float(np.abs(problem.value).max(initial=0.0)), np.finfo(np.float64).tiny
    )  # 1 / 1e-320 is infinite
    first = None if prices is None else np.asarray(prices, np.float64)[problem.row] * scale
    known = None if start is None else np.asarray(start, np.bool_)[problem.touch]
    try:
        with one_blas_thread():
            picked, found, bound, exact = _solved(
                problem._replace(value=problem.value * scale), known, first, exact_touches, linear_touches, threads
            )
    except InConflict as error:
        unpruned = problem_of(value, matrix, limit, least, choices, block, allowed, pruned=False)
        raise _explained(unpruned, error) from None
    chosen[problem.touch[picked]] = True
    price[problem.row] = found / scale
    total = math.fsum(value[chosen])
    bound = max(bound / scale, total)
    proven = exact or bound - total <= PROVEN * abs(bound)
    return Solution(chosen, total, bound, price, proven, value - matrix.T @ price)


def _explained(problem: Problem, error: InConflict) -> InConflict:
    """Return the conflict in rows of what was given; where parts of touches would do, all floors are named."""
    whole = tied(problem)
    try:
        linear_program(whole)
    except InConflict as found:
        return InConflict(problem.row[found.rows[found.rows < problem.row.size]], found.missing)
    return InConflict(problem.row[_floors(problem)], error.missing)


def _named_by_content(problem: Problem) -> Problem:
    """Return the problem with touches and rows in an order that knows no names."""
    columns = sparse.csc_matrix(problem.matrix)
    touch, row = nameless(problem.value, problem.matrix, problem.limit, problem.least, problem.choices, columns)
    place = np.empty(row.size, problem.matrix.indices.dtype)
    place[row] = np.arange(row.size)
    columns = columns[:, touch]
    columns = sparse.csc_matrix((columns.data, place[columns.indices], columns.indptr), shape=columns.shape)
    matrix = columns.tocsr()  # which sorts
    return Problem(
        problem.touch[touch],
        problem.row[row],
        problem.value[touch],
        matrix,
        problem.limit[row],
        problem.least[row],
        tuple((_by_first(group[touch]), _by_first(option[touch])) for group, option in problem.choices),
        None if problem.block is None else problem.block[touch],
    )


def _by_first(code: Integers) -> Integers:
    """Return codes numbered anew in the order in which they first stand; -1 stays."""
    known, at, to = np.unique(code, return_index=True, return_inverse=True)
    rank = np.empty(known.size, np.int64)
    mine = known >= 0
    rank[~mine] = -1
    rank[np.flatnonzero(mine)[np.argsort(at[mine], kind="stable")]] = np.arange(int(mine.sum()))
    return rank[np.ravel(to)]


def _solved(
    problem: Problem,
    start: Bools | None,
    prices: Floats | None,
    exact_touches: int,
    linear_touches: int,
    threads: int | None,
) -> tuple[Bools, Floats, float, bool]:
    """Return the plan, prices, bound and whether it is proven best, for values of at most 1."""
    crowd = crowd_of(problem) if problem.value.size > linear_touches else None
    if crowd is not None:
        return _solved_by_person(problem, crowd, start, prices, exact_touches, threads)
    if problem.value.size > linear_touches and segmented(problem):
        found = _solved_by_segment(problem, start, prices, exact_touches, threads)
        if found is not None:
            return found
    return solved_whole(problem, start, exact_touches, linear_touches)


def _solved_by_person(
    problem: Problem,
    crowd: Crowd,
    start: Bools | None,
    prices: Floats | None,
    exact_touches: int,
    threads: int | None,
) -> tuple[Bools, Floats, float, bool]:
    """Return plan, prices and bound of a large problem; a core of the least decided touches is searched."""
    over = slack(problem)[0]
    first = None if prices is None else prices[crowd.shared]
    found = rough(crowd.people, crowd.limit, crowd.least, over[crowd.shared], first, threads)
    plan, margin = np.zeros(problem.value.size, np.bool_), np.empty(problem.value.size)
    plan[crowd.order], margin[crowd.order] = found.chosen, found.margin
    best = best_of(problem, [plan] if start is None else [start, plan])
    if best is not None and not lacks(problem, found.bound, best):
        plan = best
    else:
        plan = _searched_core(problem, plan if best is None else best, margin, exact_touches, best is None)
    price = np.zeros(problem.limit.size)
    price[crowd.shared] = found.price
    reduced = problem.value - problem.matrix.T @ price
    price[crowd.personal] = personal_prices(problem.matrix[crowd.personal], problem.limit[crowd.personal], reduced)
    return plan, price, found.bound, False


def _solved_by_segment(
    problem: Problem, start: Bools | None, prices: Floats | None, exact_touches: int, threads: int | None
) -> tuple[Bools, Floats, float, bool] | None:
    """Return plan, prices and bound of many people in a few groups: offers from a sample, then people.

    At the prices found, a group whose other offer is worth more gets that one, and people are solved again, while it
    pays.
    """
    group, _ = problem.choices[0]
    n_groups = int(group.max()) + 1
    part, _ = sampled(problem)
    try:
        share, _ = linear_program(tied(part))
        offer = None if share is None else chosen_offers(part, share[: part.value.size], n_groups)
    except InConflict:
        offer = None
    best, lowest, at = None, math.inf, np.zeros(problem.limit.size)
    for _ in range(_EXCHANGES):
        if offer is None:
            break
        touch = with_offers(problem, offer)
        few = narrowed(problem, touch)
        crowd = crowd_of(few)
        if crowd is None:
            return None
        try:
            chosen, price, _, _ = _solved_by_person(few, crowd, None, prices, exact_touches, threads)
        except InConflict:
            break
        shared = np.zeros(problem.limit.size)
        shared[crowd.shared] = price[crowd.shared]
        bound, worth_of = coupled_bound(problem, shared, n_groups, threads)
        if bound is None or worth_of is None:
            return None
        if bound < lowest:
            lowest, at = bound, price
        plan = spread(problem, touch, chosen)
        better = best_of(problem, [one for one in (best, plan) if one is not None])
        if better is best:
            break
        best, now = better, worth_of.argmax(axis=1)
        if (now == offer).all():
            break
        offer = now
    best = best_of(problem, [one for one in (start, best) if one is not None])
    return None if best is None else (best, at, lowest, False)


def _searched_core(problem: Problem, plan: Bools, margin: Floats, exact_touches: int, broken: bool) -> Bools:
    """Return a plan no worse than ``plan``: all is kept but the touches nearest to a change, which are solved anew.

    Where ``plan`` misses a floor, the core grows until it has a plan that does not.
    """
    size = CORE_TOUCHES
    while True:
        free = np.sort(np.argsort(np.abs(margin), kind="stable")[:size])
        fixed = plan.copy()
        fixed[free] = False
        used = problem.matrix @ fixed.astype(np.float64)
        free, choices = _open(problem, fixed, free)
        kept = {
            "value": problem.value[free],
            "matrix": problem.matrix[:, free],
            "limit": np.maximum(problem.limit - used, 0.0),
            "least": np.where(problem.least > used, problem.least - used, -np.inf),
            "touch": free,
            "choices": choices,
            "block": None,
        }
        try:
            part = solved_whole(problem._replace(**kept), None if broken else plan[free], exact_touches, size)[0]
        except InConflict:
            if size >= problem.value.size:
                raise
            size *= 4
            continue
        fixed[free[part]] = True
        best = best_of(problem, [plan, fixed])
        return fixed if best is None else best


def _open(problem: Problem, fixed: Bools, free: Integers) -> tuple[Integers, tuple[tuple[Integers, Integers], ...]]:
    """Return the free touches that carry no other offer than those fixed, and their choices."""
    good = np.ones(free.size, np.bool_)
    for group, option in problem.choices:
        has = np.full(int(group.max(initial=-1)) + 2, -1, np.int64)  # the last one is that of no group
        mine = fixed & (group >= 0)
        has[group[mine]] = option[mine]
        good &= (group[free] < 0) | (has[group[free]] < 0) | (has[group[free]] == option[free])
    free = free[good]
    pairs = ((_by_first(group[free]), option[free]) for group, option in problem.choices)
    return free, tuple(pair for pair in pairs if (pair[0] >= 0).any())


def solved_whole(
    problem: Problem, start: Bools | None, exact_touches: int, linear_touches: int
) -> tuple[Bools, Floats, float, bool]:
    """Return plan, prices, bound and whether it is proven best, with a price on every row."""
    whole = tied(problem)
    n, rows = problem.value.size, problem.limit.size
    small = n <= linear_touches
    share, price = linear_program(whole) if small else (None, None)
    if price is None:
        price = smoothed_prices(whole)
    least = np.where(np.isfinite(whole.least), whole.least, 0.0)
    price = meant(price, whole.limit, least)
    bound = dual_bound(whole.value, whole.matrix, whole.limit, price, least)
    reduced = whole.value - whole.matrix.T @ price
    plans = greedy(problem, reduced[:n], None if share is None else share[:n])
    more, bound = _by_offers(problem, share, bound, exact_touches, linear_touches)
    plans += more
    plan = best_of(problem, plans if start is None else [start, *plans])
    if not small and plan is not None and not problem.choices and lacks(problem, bound, plan):
        plan = search_linear(problem, reduced, plan, linear_touches)
    if plan is not None and n > exact_touches and not lacks(problem, bound, plan):
        return plan, price[:rows], bound, False
    most = exact_touches
    while True:
        plan, proven, ended = search(problem, whole, reduced, plan, bound, most)
        if plan is not None:
            return plan, price[:rows], min(bound, proven), ended
        if most >= n:
            raise InConflict(_floors(problem), 0.0)
        most = max(4 * most, EXACT_TOUCHES)


def _by_offers(
    problem: Problem, share: Floats | None, bound: float, exact_touches: int, linear_touches: int
) -> tuple[list[Bools], float]:
    """Return plans with offers of a few groups chosen first, where touches are too many for a search, and a bound."""
    n = problem.value.size
    if share is None or n <= exact_touches or not problem.choices or problem.choices[0][0].max() >= FEW_GROUPS:
        return [], bound

    def planned(offer: Integers) -> list[Bools]:
        touch = with_offers(problem, offer)
        try:
            part = solved_whole(narrowed(problem, touch), None, exact_touches, linear_touches)[0]
        except InConflict:
            return []
        return [spread(problem, touch, part)]

    offer = chosen_offers(problem, share[:n])
    if offer is None:
        return [], bound
    plans = planned(offer)
    best = best_of(problem, plans)
    if best is not None and lacks(problem, bound, best):
        bound, other = offers_bound(problem, worth(problem, best), bound)
        plans += [] if other is None else planned(other)
    return plans, bound


def _floors(problem: Problem) -> Integers:
    """Return the rows that have a floor."""
    return np.flatnonzero(problem.least > 0)
