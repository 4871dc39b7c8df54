"""A plan of very many people, from touches as they lie in memory: no matrix, and no row for a person's cap."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from omnireco._core.compute import in_parallel, one_blas_thread, split_evenly
from omnireco._kernels.packing.large import rough
from omnireco._kernels.packing.lean.loops import (
    explain_loop,
    gather_loop,
    group_loop,
    hash_loop,
    mark_loop,
    person_price_loop,
    row_hash_loop,
)
from omnireco._kernels.packing.lean.placing import Placed
from omnireco._kernels.packing.lean.window_loops import explain_people_loop
from omnireco._kernels.packing.lean.windows import Windows, hashed_people, own_rows
from omnireco._kernels.packing.order import mixed
from omnireco._kernels.packing.people import People, entries_of, stretches
from omnireco._kernels.packing.plans import GOOD_GAP
from omnireco._kernels.packing.problem import TOLERANCE, Bools, Floats, Integers, Problem
from omnireco._kernels.packing.solving import CORE_TOUCHES, EXACT_TOUCHES, PROVEN, solved_whole

__all__ = [
    "Explained",
    "LeanSolution",
    "explained",
    "explained_people",
    "ordered",
    "person_prices",
    "priced_people",
    "solve_people",
    "used_by",
]

_CHUNKS = 8  # sums are taken by chunk and then over chunks, whatever the threads
_STRETCH = 1 << 16  # touches of a piece of work


class LeanSolution(NamedTuple):
    """A plan with its proof, in the order of the touches given; ``person`` is what one more touch of each is worth."""

    chosen: Bools
    value: float
    bound: float
    price: Floats
    person: Floats
    exact: bool


class Ordered(NamedTuple):
    """Touches person by person in an order that knows no names; ``touch`` and ``user`` are their positions before."""

    people: People
    touch: np.ndarray
    user: Integers
    rank: Integers


def solve_people(
    value: Floats,
    user: np.ndarray,
    placed: Placed,
    cap: Integers,
    *,
    windows: Windows | None = None,
    allowed: Bools | None = None,
    prices: Floats | None = None,
    start: Bools | None = None,
    threads: int | None = None,
) -> LeanSolution:
    """Return a plan of the greatest value found, and a bound that no plan exceeds.

    Parameters
    ----------
    value : float64 array, shape (n,)
    user : int array, shape (n,)
        Whose touch it is, from 0.
    placed : Placed
        Shared rows of each touch: weights above 0 and limits alone.
    cap : int64 array, shape (n_users,)
        How many touches each person may get.
    windows : Windows, optional
        What else single people may get, counted in windows of time or by item.
    allowed, prices, start, threads
        As in :func:`omnireco._kernels.packing.solve`.

    Returns
    -------
    LeanSolution

    Notes
    -----
    The same method as :func:`omnireco._kernels.packing.solve` takes for many people. Beyond what is given it holds
    some 30 bytes a touch, and where there are windows some 10 more. Deterministic, and independent of names and
    threads.

    Examples
    --------
    Two people, a row that two touches use and one may; each may get one:

    >>> placed = Placed(3)
    >>> placed.add(np.zeros(2, int), np.array([0, 2]), np.ones(2), np.ones(1))
    True
    >>> found = solve_people(np.array([3.0, 2.0, 4.0]), np.array([0, 0, 1]), placed, np.array([1, 1]))
    >>> found.chosen.tolist(), found.value
    ([False, True, True], 6.0)
    """
    limit = np.concatenate([np.empty(0), *placed.limit])
    scale = 1.0 / max(float(value.max(initial=0.0)), np.finfo(np.float64).tiny)
    useful = np.ones(value.size, np.bool_) if allowed is None else np.array(allowed, np.bool_)
    with one_blas_thread():
        found = ordered(value, user, placed, cap, limit, useful, scale, threads, windows=windows)
        people, rank = found.people, found.rank
        inside = np.empty(limit.size)
        inside[rank] = limit
        first = None
        if prices is not None:
            first = np.empty(limit.size)
            first[rank] = prices * scale
        chosen, price, bound = priced_people(people, inside, first, threads)
        if start is not None:
            chosen = _better(people, inside, chosen, np.asarray(start, np.bool_)[found.touch])
        person = np.zeros(cap.size)
        if windows is None:
            person[found.user] = person_prices(people, price, threads)
    plan = np.zeros(value.size, np.bool_)
    plan[found.touch[chosen]] = True
    total = math.fsum(value[plan])
    bound = max(bound / scale, total)
    return LeanSolution(plan, total, bound, price[rank] / scale, person / scale, bound - total <= PROVEN * abs(bound))


def priced_people(
    people: People, limit: Floats, first: Floats | None, threads: int | None
) -> tuple[Bools, Floats, float]:
    """Return plan, prices and bound; the core of the touches decided least is solved anew where the gap is wide."""
    if not people.cap.size:
        return np.zeros(0, np.bool_), np.zeros(limit.size), 0.0
    found = rough(people, limit, np.full(limit.size, -np.inf), TOLERANCE * limit, first, threads)
    chosen = found.chosen
    if found.bound - float(people.value[chosen].sum()) > GOOD_GAP * abs(found.bound):
        chosen = _searched_core(people, limit, chosen, found.margin)
    return chosen, found.price, found.bound


def ordered(
    value: Floats,
    user: np.ndarray,
    placed: Placed,
    cap: Integers,
    limit: Floats,
    useful: Bools,
    scale: float,
    threads: int | None,
    *,
    rank: Integers | None = None,
    none: int | None = None,
    windows: Windows | None = None,
) -> Ordered:
    """Return the useful touches person by person; people, their touches and rows stand in the order of their hashes.

    ``rank`` are other numbers of the rows, and ``none`` that of no row.
    """
    row, weight, n = placed.row, placed.weight, value.size
    parts = split_evenly(n, max(1, min(_CHUNKS, n // _STRETCH)))

    def over_parts(loop: Any, *fixed: Any, each: Any = None) -> None:
        own = [() if each is None else tuple(x[i] for x in each) for i in range(len(parts))]
        in_parallel([partial(loop, p.start, p.stop, *fixed, *o) for p, o in zip(parts, own, strict=True)], threads)

    over_parts(mark_loop, value, user, row, weight, cap, limit, useful)
    sums = np.zeros((len(parts), limit.size), np.uint64)
    over_parts(row_hash_loop, scale, value, row, weight, useful, each=(sums,))
    known = mixed(sums.sum(axis=0, dtype=np.uint64) + mixed(limit.view(np.uint64)))
    hashes = np.empty(n, np.uint64)
    person, count = np.zeros((len(parts), cap.size), np.uint64), np.zeros((len(parts), cap.size), np.int32)
    over_parts(
        hash_loop, scale, value, user, row, weight, useful, known,
        each=([hashes] * len(parts), person, count),
    )  # fmt: skip
    total, summed = count.sum(axis=0, dtype=np.int64), person.sum(axis=0, dtype=np.uint64)
    mine = np.flatnonzero(total)
    del person

    def grouped() -> tuple[np.ndarray, np.ndarray]:
        """Return the touches of ``mine`` in turn, and where each person starts."""
        start = np.concatenate([[0], np.cumsum(total[mine])])
        place = np.zeros((len(parts), cap.size), np.int64)
        place[0, mine] = start[:-1]
        for i in range(1, len(parts)):
            place[i] = place[i - 1] + count[i - 1]
        order = np.empty(int(start[-1]), np.int32 if n < np.iinfo(np.int32).max else np.int64)
        over_parts(group_loop, user, useful, each=(place, [order] * len(parts)))
        return start, order

    if windows is not None:
        hashed_people(windows, *grouped(), mine, hashes, summed, threads)
    mine = mine[np.argsort(mixed(summed[mine] + mixed(cap[mine])), kind="stable")]
    start, order = grouped()
    if rank is None:
        rank = np.empty(limit.size, np.int64)
        rank[np.argsort(known, kind="stable")] = np.arange(limit.size)
    width = row.shape[1]
    out = (np.empty(order.size), np.empty((order.size, width), row.dtype), np.empty((0, width)))
    if weight.shape[0]:
        out = (*out[:2], np.empty((order.size, width)))
    ranks = np.append(rank, 0).astype(np.int64)
    last = limit.size if none is None else none
    fixed = (start, order, hashes, value, scale, row, weight, ranks, last, *out)
    steps = [partial(gather_loop, p.start, p.stop, *fixed) for p in split_evenly(mine.size, 4 * _CHUNKS)]
    in_parallel(steps, threads)
    own = None if windows is None else own_rows(windows, start, order, mine, threads)
    return Ordered(People(start, *out, cap[mine].astype(np.int64), own), order, mine, rank)


def person_prices(people: People, price: Floats, threads: int | None) -> Floats:
    """Return what one more touch of each person is worth, in their order."""
    found, padded = np.zeros(people.cap.size), np.append(price, 0.0)
    fixed = (*people[:5], padded, found)
    steps = [partial(person_price_loop, p.start, p.stop, *fixed) for p in split_evenly(people.cap.size, _CHUNKS)]
    in_parallel(steps, threads)
    return found


def _better(people: People, limit: Floats, plan: Bools, start: Bools) -> Bools:
    """Return the plan, or one known before where it keeps everything and is worth more."""
    counts = np.add.reduceat(start, people.start[:-1], dtype=np.int64) if start.size else np.zeros(0, np.int64)
    if (counts > people.cap).any() or (_used(people, start, limit.size) > limit * (1.0 + TOLERANCE)).any():
        return plan
    if people.own is not None:
        _, row = entries_of(people, np.flatnonzero(start))
        known, count = np.unique(row, return_counts=True)
        if (count > people.own.limit[known]).any():
            return plan
    return start if people.value[start].sum() > people.value[plan].sum() else plan


def _used(people: People, chosen: Bools, n_rows: int) -> Floats:
    """Return how much of each row a plan uses."""
    at = np.flatnonzero(chosen)
    rows = people.row[at].ravel()
    weight = None if people.weight.shape[0] == 0 else people.weight[at].ravel()
    return np.bincount(rows, weight, n_rows + 1)[:n_rows].astype(np.float64)


def _searched_core(people: People, limit: Floats, plan: Bools, margin: Floats) -> Bools:
    """Return a plan no worse: all is kept but the touches nearest to a change, which are solved anew."""
    size = min(CORE_TOUCHES, margin.size)
    free = np.sort(np.argsort(np.abs(margin), kind="stable")[:size])
    fixed = plan.copy()
    fixed[free] = False
    room = np.maximum(limit - _used(people, fixed, limit.size), 0.0)
    owner = np.searchsorted(people.start, free, side="right") - 1
    whose, person = np.unique(owner, return_inverse=True)
    counts = np.concatenate([[0], np.cumsum(fixed)])
    spare = people.cap[whose] - (counts[people.start[whose + 1]] - counts[people.start[whose]])
    row, at = people.row[free].astype(np.int64), np.arange(free.size)
    weight = np.ones(row.shape) if people.weight.shape[0] == 0 else people.weight[free]
    mine = row < limit.size
    own, own_at, own_room = _own_core(people, fixed, free, whose)
    entry = (
        np.concatenate([weight[mine], np.ones(free.size + own.size)]),
        (
            np.concatenate([row[mine], limit.size + np.ravel(person), limit.size + whose.size + own]),
            np.concatenate([np.repeat(at, mine.sum(axis=1)), at, own_at]),
        ),
    )
    room = np.concatenate([room, spare.astype(np.float64), own_room])
    matrix = sparse.csr_matrix(entry, shape=(room.size, free.size))
    none = np.full(room.size, -np.inf)
    part = Problem(free, np.arange(room.size), people.value[free], matrix, room, none, (), None)
    picked = solved_whole(part, plan[free], EXACT_TOUCHES, size)[0]
    fixed[free[picked]] = True
    kept = (_used(people, fixed, limit.size) <= limit * (1.0 + TOLERANCE)).all()
    return fixed if kept and people.value[fixed].sum() > people.value[plan].sum() else plan


def _own_core(people: People, fixed: Bools, free: Integers, whose: Integers) -> tuple[Integers, Integers, Floats]:
    """Return entries (row, touch) of the free touches in rows of their people, and what the fixed ones leave there."""
    if people.own is None:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    at, row = entries_of(people, free)
    known, code = np.unique(row, return_inverse=True)
    every = stretches(people.start, whose)[1]
    _, theirs = entries_of(people, every[fixed[every]])
    place = np.searchsorted(known, theirs)
    hit = known[np.minimum(place, known.size - 1)] == theirs if known.size else np.zeros(0, np.bool_)
    used = np.bincount(place[hit], minlength=known.size)
    return np.ravel(code), at, np.maximum(people.own.limit[known] - used, 0.0)


class Explained(NamedTuple):
    """What each touch is worth less all prices, and which rule stands in the way of those left out (-1: none)."""

    reduced: Floats
    block: np.ndarray
    used: Floats


def explained(
    value: Floats,
    user: np.ndarray,
    placed: Placed,
    owner: Integers,
    found: LeanSolution,
    caps: tuple[Integers, Bools, Floats],
    used: Floats | None = None,
    threads: int | None = None,
) -> Explained:
    """Return reduced values and what stands in the way of each touch, in one pass.

    ``owner`` is the rule of each shared row; ``caps`` are the rules of caps, where each is used up, and its price per
    person, shapes (caps,), (caps, n_users) and (caps, n_users). ``used`` is the use of each row, where others use them
    too.
    """
    limit = np.concatenate([np.empty(0), *placed.limit])
    used = used_by(placed, found.chosen) if used is None else used
    reduced, block = np.empty(value.size), np.empty(value.size, np.int32)
    high = limit * (1.0 + TOLERANCE)
    own = (owner, *caps, found.chosen, reduced, block)
    fixed = (value, user, placed.row, placed.weight, found.price, used, high, *own)
    parts = split_evenly(value.size, max(1, min(_CHUNKS, value.size // _STRETCH)))
    steps = [partial(explain_loop, p.start, p.stop, *fixed) for p in parts]
    in_parallel(steps, threads)
    return Explained(reduced, block, used)


def explained_people(
    value: Floats,
    user: np.ndarray,
    placed: Placed,
    owner: Integers,
    found: LeanSolution,
    windows: Windows,
    number: Integers,
    n_users: int,
    held: Bools | None = None,
    threads: int | None = None,
) -> tuple[Explained, Floats]:
    """Return the same where people have windows, caps among them: ``number`` are their rules.

    Last are use, limits, prices and how many rows there are of each, summed over people, shape (rules, 4).
    """
    limit = np.concatenate([np.empty(0), *placed.limit])
    used = used_by(placed, found.chosen)
    reduced, block = np.empty(value.size), np.empty(value.size, np.int32)
    useful = value > 0 if held is None else (value > 0) & ~held
    held = np.zeros(0, np.bool_) if held is None else held
    count = np.bincount(user, minlength=n_users)
    start = np.concatenate([[0], np.cumsum(count)])
    order = np.empty(value.size, np.int32 if value.size < np.iinfo(np.int32).max else np.int64)
    group_loop(0, value.size, user, np.ones(value.size, np.bool_), start[:-1].copy(), order)
    parts = split_evenly(n_users, _CHUNKS)
    lines = np.zeros((len(parts), number.size, 4))
    fixed = (number, value, placed.row, placed.weight, found.price, used, limit * (1.0 + TOLERANCE), owner)
    own = (useful, held, found.chosen, reduced, block)
    who = np.arange(n_users)
    steps = [
        partial(explain_people_loop, p.start, p.stop, start, order, who, *windows, *fixed, *own, lines[i])
        for i, p in enumerate(parts)
    ]
    in_parallel(steps, threads)
    return Explained(reduced, block, used), lines.sum(axis=0)


def used_by(placed: Placed, chosen: Bools) -> Floats:
    """Return how much of each row some touches use."""
    at = np.flatnonzero(chosen)
    rows = placed.row[at].ravel()
    weight = None if placed.weight.shape[0] == 0 else placed.weight[at].ravel()[rows >= 0]
    return np.bincount(rows[rows >= 0], weight, placed.n_rows).astype(np.float64)
