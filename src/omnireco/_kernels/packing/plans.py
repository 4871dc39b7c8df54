"""From prices to plans: greedy orders, and searches of the touches about which the prices decide least."""

from __future__ import annotations

import math

import numpy as np

from omnireco._kernels.packing.exact import branch_and_bound, linear_program
from omnireco._kernels.packing.filling import fill
from omnireco._kernels.packing.problem import Bools, Floats, InConflict, Integers, Problem, Tied, keeps, slack

__all__ = ["best_of", "greedy", "lacks", "search", "search_linear", "worth"]

GOOD_GAP = 1e-4  # a large plan this close to its bound is left alone


def worth(problem: Problem, plan: Bools | None) -> float:
    """Return the value of a plan; no plan is worth minus infinity."""
    return -math.inf if plan is None else math.fsum(problem.value[plan])


def best_of(problem: Problem, plans: list[Bools]) -> Bools | None:
    """Return the best plan that keeps everything; the first of equals."""
    fine = [plan for plan in plans if keeps(problem, plan)]
    return max(fine, key=lambda plan: worth(problem, plan)) if fine else None


def lacks(problem: Problem, bound: float, plan: Bools | None) -> bool:
    """Return whether a plan is further from its bound than a good one."""
    return bound - worth(problem, plan) > GOOD_GAP * abs(bound)


def greedy(problem: Problem, reduced: Floats, share: Floats | None) -> list[Bools]:
    """Return a few greedy plans: by the program's own shares, reduced value, and value.

    The shares of a vertex are nearly all 0 or 1, also where equal values leave the prices undecided.
    """
    value, index = problem.value, np.arange(problem.value.size)
    orders = [np.lexsort((index, -value, -reduced)), np.lexsort((index, -value, reduced <= 0))]
    if share is not None:
        orders.append(np.lexsort((index, -value, -reduced, -np.round(share, 6))))
    return [filled(problem, order, np.zeros(value.size, np.bool_), reduced) for order in orders]


def filled(problem: Problem, order: Integers, plan: Bools, reduced: Floats) -> Bools:
    """Return a plan with every touch added that fits; those without value only where their prices want them."""
    order = order[(problem.value[order] > 0) | (reduced[order] > 0)]
    return fill(order, problem.matrix, problem.limit, plan, problem.choices, over=slack(problem)[0])


def search_linear(problem: Problem, reduced: Floats, plan: Bools, most: int) -> Bools:
    """Return ``plan`` or a better one, from the linear program of the touches nearest to zero."""
    free = np.flatnonzero(_nearest(reduced, most))
    trial = plan.copy()
    trial[free] = False
    used = problem.matrix @ trial.astype(np.float64)
    near = Tied(
        problem.value[free],
        problem.matrix[:, free],
        np.maximum(problem.limit - used, 0.0),
        problem.least - used,
    )
    try:
        share, _ = linear_program(near)
    except InConflict:
        return plan
    if share is None:
        return plan
    value, index = problem.value, np.arange(problem.value.size)
    order = free[np.lexsort((free, -value[free], -reduced[free], -np.round(share, 6)))]
    trial = filled(problem, order, trial, reduced)
    trial = filled(problem, np.lexsort((index, -value, -reduced)), trial, reduced)
    return best_of(problem, [plan, trial]) if keeps(problem, plan) else trial  # type: ignore[return-value]


def search(
    problem: Problem, whole: Tied, reduced: Floats, plan: Bools | None, bound: float, most: int
) -> tuple[Bools | None, float, bool]:
    """Return a plan no worse than ``plan``, the bound that the search proved (inf if none), and whether it ended.

    Changing a column whose reduced value is further from zero than bound - value cannot pay (reduced-cost
    fixing), so searching the others settles the whole problem when they are few. When they are many, the
    nearest to zero are searched around the plan at hand, and nothing is proven.

    Raises
    ------
    InConflict
        When no plan meets the floors.
    """
    n, best = problem.value.size, worth(problem, plan)
    lacking = max(bound - best, 0.0) * (1.0 + 1e-9) + 1e-12
    free = np.abs(reduced) <= lacking
    settled = int(free[:n].sum()) <= most
    if settled:
        fixed = ~free & (reduced > 0)
    else:
        free = np.concatenate([_nearest(reduced[:n], most), np.ones(reduced.size - n, np.bool_)])
        fixed = np.concatenate([_rounded(reduced[:n]) if plan is None else plan, np.zeros(reduced.size - n, np.bool_)])
        fixed &= ~free
    column = np.flatnonzero(free)
    used = whole.matrix @ fixed.astype(np.float64)
    over, under = slack(problem)
    room, floor = whole.limit - used, whole.least - used
    room[: over.size] = np.where((room[: over.size] < 0) & (room[: over.size] >= -over), 0.0, room[: over.size])
    floor[: under.size] = np.where((floor[: under.size] > 0) & (floor[: under.size] <= under), 0.0, floor[: under.size])
    part = Tied(whole.value[column], whole.matrix[:, column], room, floor)
    try:
        picked, proven, ended = branch_and_bound(part, column.size)
    except InConflict:
        if plan is None and settled:
            raise
        return plan, best * (1.0 + 1e-12) if settled else math.inf, settled
    if picked is not None:
        trial = fixed.copy()
        trial[column[picked]] = True
        after = filled(problem, np.lexsort((np.arange(n), -problem.value, -reduced[:n])), trial[:n], reduced[:n])
        plan = best_of(problem, [one for one in (plan, trial[:n], after) if one is not None])
    if not settled or proven == math.inf:
        return plan, math.inf, False
    return plan, max(worth(problem, plan), math.fsum(whole.value[fixed]) + proven), ended


def _rounded(reduced: Floats) -> Bools:
    """Return the touches that the prices want."""
    return np.asarray(reduced > 0)


def _nearest(reduced: Floats, most: int) -> Bools:
    """Return the ``most`` touches whose reduced value is nearest to zero: the prices decide least about these."""
    free = np.zeros(reduced.size, dtype=np.bool_)
    free[np.lexsort((np.arange(reduced.size), np.abs(reduced)))[:most]] = True
    return free
