"""Which offer each of a few groups gets: a search by exchange, each trial a linear program, most of them ruled out."""

from __future__ import annotations

import heapq
import math

import numpy as np

from omnireco._kernels.packing.bounds import dual_bound, meant
from omnireco._kernels.packing.exact import linear_program
from omnireco._kernels.packing.problem import Bools, Floats, InConflict, Integers, Problem, tied

__all__ = ["FEW_GROUPS", "chosen_offers", "narrowed", "offers_bound", "spread", "with_offers"]

FEW_GROUPS = 200  # above, groups are people or nearly so, and touches are searched, not offers
_TRIALS = 80  # linear programs of the search, and of the proof
_BRANCHES = 60
_CLOSE = 1e-3  # a plan so near to the bound needs no further proof


def with_offers(problem: Problem, offer: Integers) -> Integers:
    """Return the touches that carry the offer of their group, or none. ``offer`` is per group of the first choice."""
    group, option = problem.choices[0]
    return np.flatnonzero((group < 0) | (np.append(offer, -1)[group] == option))


def narrowed(problem: Problem, touch: Integers) -> Problem:
    """Return the problem of some touches without the first choice."""
    choices = tuple((group[touch], option[touch]) for group, option in problem.choices[1:])
    return problem._replace(
        touch=touch,
        value=problem.value[touch],
        matrix=problem.matrix[:, touch],
        choices=tuple(pair for pair in choices if (pair[0] >= 0).any()),
        block=None if problem.block is None else problem.block[touch],
    )


def chosen_offers(problem: Problem, share: Floats, n_groups: int = 0) -> Integers | None:
    """Return an offer for each group of the first choice, by exchanges from what the relaxed program sends most.

    At prices that price every row, a group's offer cannot earn more than the sum of its positive reduced values; where
    the program's own offer earns as much, no exchange helps. What is left is tried, the most promising first, all
    groups
    at once before one by one. ``n_groups`` where more groups are known than these touches have.
    """
    group, option = problem.choices[0]
    n_groups, n_options = max(n_groups, int(group.max()) + 1), int(option.max()) + 1
    mine = np.flatnonzero(group >= 0)
    pair = group[mine] * n_options + option[mine]

    def summed(weight: Floats) -> Floats:
        total = np.bincount(pair, weight[mine], minlength=n_groups * n_options)
        return np.asarray(total, np.float64).reshape(n_groups, n_options)

    there = summed(np.ones(group.size)) > 0
    there[~there.any(axis=1)] = True  # a group without touches is indifferent
    offer = np.where(there, summed(share * problem.value), -np.inf).argmax(axis=1)
    worth, price = _priced(problem, offer)
    tried: set[bytes] = {offer.tobytes()}
    trials = 1
    while trials < _TRIALS and price is not None:
        most = np.where(there, summed(np.maximum(problem.value - problem.matrix.T @ price, 0.0)), -np.inf)
        gain = most - most[np.arange(n_groups), offer][:, None]
        together = np.where(gain.max(axis=1) > 1e-9, gain.argmax(axis=1), offer)
        moves = [together]
        for at in np.argsort(-gain, axis=None, kind="stable"):
            g, o = divmod(int(at), n_options)
            if gain[g, o] <= 1e-9:
                break
            one = offer.copy()
            one[g] = o
            moves.append(one)
        better = False
        for trial in moves:
            if trial.tobytes() in tried or trials >= _TRIALS:
                continue
            tried.add(trial.tobytes())
            trials += 1
            found, its_price = _priced(problem, trial)
            if found > worth + 1e-9 * abs(worth):
                offer, worth, price, better = trial, found, its_price, True
                break
        if not better:
            break
    return offer if price is not None else None


def _priced(problem: Problem, offer: Integers) -> tuple[float, Floats | None]:
    """Return what the linear program earns with these offers, and its prices; -inf where floors are missed."""
    part = narrowed(problem, with_offers(problem, offer))
    whole = tied(part)
    try:
        share, price = linear_program(whole)
    except InConflict:
        return -math.inf, None
    if share is None or price is None:
        return math.fsum(part.value[part.value > 0]), np.zeros(problem.limit.size)
    return float(share @ whole.value), price[: problem.limit.size]


def spread(problem: Problem, touch: Integers, plan: Bools) -> Bools:
    """Return a plan of some touches as one of all."""
    whole = np.zeros(problem.value.size, np.bool_)
    whole[touch[plan]] = True
    return whole


def offers_bound(problem: Problem, worth: float, bound: float) -> tuple[float, Integers | None]:
    """Return a lower bound by branching on offers, and the best offers met on the way that earn more than ``worth``.

    Of a group whose offers the program mixes, each offer is tried alone; of all open branches, the one with the
    greatest
    bound is parted next. What earns less than the best plan is dropped.
    """
    group, option = problem.choices[0]
    n_groups = int(group.max()) + 1
    best, offers = worth, None
    heap: list[tuple[float, int, Integers]] = [(-bound, 0, np.full(n_groups, -1, np.int64))]
    trials = count = 0
    while heap and trials < _BRANCHES:
        top, _, fixed = heap[0]
        if -top <= best * (1.0 + _CLOSE):
            break
        touch = np.flatnonzero((group < 0) | (fixed[group] < 0) | (fixed[group] == option))
        part = problem._replace(
            value=problem.value[touch],
            matrix=problem.matrix[:, touch],
            choices=tuple((g[touch], o[touch]) for g, o in problem.choices),
        )
        whole = tied(part)
        try:
            share, price = linear_program(whole)
        except InConflict:
            heapq.heappop(heap)
            continue
        trials += 1
        if share is None or price is None:
            return bound, None
        least = np.where(np.isfinite(whole.least), whole.least, 0.0)
        its = dual_bound(whole.value, whole.matrix, whole.limit, meant(price, whole.limit, least), least)
        heapq.heappop(heap)
        if its < -top - 1e-9 * abs(top):  # the bound of its parent was too high: back into the line
            count += 1
            heapq.heappush(heap, (-its, count, fixed))
            if heap[0][2] is not fixed:
                continue
            heapq.heappop(heap)
        mixed = _mixture(part, share[: touch.size], fixed, n_groups)
        if mixed < 0:
            chosen = _pure(part, share[: touch.size], fixed, n_groups)
            if its > best:
                best, offers = its, chosen
            heapq.heappush(heap, (-its, count, fixed))
            break
        for one in np.unique(option[group == mixed]):
            child = fixed.copy()
            child[mixed] = one
            count += 1
            heapq.heappush(heap, (-its, count, child))
    return max(worth, min(bound, -heap[0][0] if heap else worth)), offers


def _mixture(part: Problem, share: Floats, fixed: Integers, n_groups: int) -> int:
    """Return the open group that earns most under other offers than its first; -1 where none is mixed."""
    earned = _earned(part, share, n_groups)
    lost = np.where(fixed < 0, earned.sum(axis=1) - earned.max(axis=1), 0.0)
    return int(lost.argmax()) if lost.max() > 1e-9 else -1


def _pure(part: Problem, share: Floats, fixed: Integers, n_groups: int) -> Integers:
    """Return the offer of each group of which most is sent."""
    return np.where(fixed < 0, _earned(part, share, n_groups).argmax(axis=1), fixed)


def _earned(part: Problem, share: Floats, n_groups: int) -> Floats:
    """Return what each group's offers earn in the program, shape (n_groups, n_options)."""
    group, option = part.choices[0]
    mine = np.flatnonzero(group >= 0)
    n_options = int(option.max()) + 1
    total = np.bincount(group[mine] * n_options + option[mine], (share * part.value)[mine], n_groups * n_options)
    return np.asarray(total, np.float64).reshape(n_groups, n_options)
