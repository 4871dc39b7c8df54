"""One offer for each of a few segments of very many people: from a sample, and proven for everybody."""

from __future__ import annotations

import numpy as np

from omnireco._kernels.packing.large import crowd_of, raised
from omnireco._kernels.packing.offers import FEW_GROUPS
from omnireco._kernels.packing.people import pass_over
from omnireco._kernels.packing.problem import Floats, Integers, Problem

__all__ = ["coupled_bound", "sampled", "segmented"]

_SAMPLE_TOUCHES = 30_000


def segmented(problem: Problem) -> bool:
    """Return whether the problem has one choice of a few groups, and nobody is in two of them."""
    if problem.block is None or len(problem.choices) != 1:
        return False
    group = problem.choices[0][0]
    mine = group >= 0
    if group.max(initial=-1) >= FEW_GROUPS:
        return False
    pairs = np.unique(np.stack([problem.block[mine], group[mine]], axis=1), axis=0)
    return bool(np.unique(pairs[:, 0]).size == pairs.shape[0])


def sampled(problem: Problem) -> tuple[Problem, Integers]:
    """Return the problem of some people under limits in proportion, and its touches."""
    block = np.asarray(problem.block)
    people = int(block.max()) + 1
    step = max(1, problem.value.size // _SAMPLE_TOUCHES)
    share = 1.0 / step
    touch = np.flatnonzero(np.arange(people)[block] % step == 0)
    matrix = problem.matrix[:, touch]
    whose = block[problem.matrix.indices]
    sizes = np.diff(problem.matrix.indptr)
    first = np.append(whose, 0)[problem.matrix.indptr[:-1]]
    other = np.zeros(sizes.size, np.bool_)
    other[np.repeat(np.arange(sizes.size), sizes)[whose != np.repeat(first, sizes)]] = True
    part = problem._replace(
        touch=touch,
        value=problem.value[touch],
        matrix=matrix,
        limit=np.where(other, problem.limit * share, problem.limit),
        least=np.where(other, problem.least * share, problem.least),
        choices=tuple((group[touch], option[touch]) for group, option in problem.choices),
        block=block[touch],
    )
    return part, touch


def coupled_bound(
    problem: Problem, price: Floats, n_groups: int, threads: int | None
) -> tuple[float, Floats] | tuple[None, None]:
    """Return what no plan exceeds at the prices of the shared rows, and what each group could earn by each offer.

    Of each group the best offer counts, shape (n_groups, n_options): minus infinity for what the group does not have.
    """
    group, option = problem.choices[0]
    worth = np.full((n_groups, int(option.max()) + 1), -np.inf)
    bound, rounding = 0.0, 0.0
    for one in range(worth.shape[1]):
        for g in np.unique(group[(option == one) & (group >= 0)]):
            worth[g, one] = 0.0
    block = np.asarray(problem.block)
    segment = np.full(int(block.max()) + 1, -1, np.int64)
    segment[block[group >= 0]] = group[group >= 0]
    zero = np.zeros(problem.limit.size)
    for one in range(-1, worth.shape[1]):
        for g in range(-1, n_groups) if one >= 0 else (-1,):
            if (g < 0) != (one < 0) or (g >= 0 and worth[g, one] < 0):
                continue
            touch = np.flatnonzero((segment[block] == g) & ((group < 0) | (option == one)))
            part = problem._replace(
                value=problem.value[touch], matrix=problem.matrix[:, touch], choices=(), block=block[touch]
            )
            if touch.size == 0:
                continue
            crowd = crowd_of(part, shared=np.flatnonzero(price != 0))
            if crowd is None:
                return None, None
            its = price[crowd.shared]
            found = pass_over(crowd.people, its, zero[: its.size], zero[: its.size], 0.0, threads).height
            rounding += raised(crowd.people, its, found) - found
            if g < 0:
                bound += found
            else:
                worth[g, one] = found
    paid = float(price[price > 0] @ problem.limit[price > 0] + price[price < 0] @ problem.least[price < 0])
    best = np.maximum(worth.max(axis=1), 0.0) if n_groups else np.zeros(0)
    return bound + float(best.sum()) + paid + rounding, worth
