"""Large problems: people solved exactly inside, shared rows priced, a plan by margins, a core solved anew."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from omnireco._core.compute import compiled, suited
from omnireco._kernels.packing.bounds import meant
from omnireco._kernels.packing.order import in_groups
from omnireco._kernels.packing.people import Own, People, newton_prices, pass_over
from omnireco._kernels.packing.problem import Bools, Floats, Integers, Problem
from omnireco._kernels.packing.rounding import nearly, rounded

__all__ = ["Crowd", "Rough", "crowd_of", "personal_prices", "rough"]

MOST_SHARED = 3_000  # rows whose bend fits: its square is solved at each step
_NEAR = 0.25  # of the mean value: touches left by less are tried where there is room
_WIDTH = 8  # shared rows of one touch


class Crowd(NamedTuple):
    """A problem person by person: ``order`` are the touches by person, ``shared`` and ``personal`` its rows."""

    people: People
    order: Integers
    shared: Integers
    personal: Integers
    limit: Floats
    least: Floats


class Rough(NamedTuple):
    """A plan that keeps every limit, prices of the shared rows, what they prove, and how sure each touch is."""

    chosen: Bools
    price: Floats
    bound: float
    margin: Floats


def crowd_of(problem: Problem, shared: Integers | None = None) -> Crowd | None:
    """Return the problem person by person; None where it has no people, or rows that the passes do not know.

    ``shared`` rows are those of several people, found here where they are not given.
    """
    if problem.block is None or len(problem.choices) > 1:
        return None
    order, start = _by_person(problem.block)
    person = np.empty(order.size, np.int64)
    person[order] = np.repeat(np.arange(start.size - 1), np.diff(start))
    matrix = problem.matrix
    sizes = np.diff(matrix.indptr)
    owner = person[matrix.indices]
    first = np.append(owner, 0)[matrix.indptr[:-1]]
    same = owner == np.repeat(first, sizes)
    alone = np.ones(sizes.size, np.bool_)
    alone[np.repeat(np.arange(sizes.size), sizes)[~same]] = False
    alone &= (problem.least <= 0) & (sizes > 0)
    alone[np.repeat(np.arange(sizes.size), sizes)[matrix.data < 0]] = False
    if shared is not None:
        alone &= sizes > 0
        alone[shared] = False
    personal = np.flatnonzero(alone)
    shared = np.flatnonzero(~alone) if shared is None else shared
    cap, rest = _caps(problem, personal, first, np.diff(start))
    whose = _within(problem, person)
    columns = sparse.csc_matrix(matrix[shared])
    width = int(np.diff(columns.indptr).max(initial=0))
    if whose is None or shared.size > MOST_SHARED or width > _WIDTH:
        return None
    row, weight = _padded(columns, order, max(width, 1), shared.size)
    return Crowd(
        People(start, problem.value[order], row, weight, cap, _own(problem, rest, first, order, start.size - 1)),
        order,
        shared,
        personal,
        problem.limit[shared],
        problem.least[shared],
    )


def _by_person(block: Integers) -> tuple[Integers, Integers]:
    """Return touches by person, and where each person starts; people in the order of their first touch."""
    n = block.size
    at = np.full(int(block.max(initial=-1)) + 1, n, np.int64)
    at[block[::-1]] = np.arange(n - 1, -1, -1)  # of several the last one written, which stands first
    people = np.argsort(at)[: int((at < n).sum())]
    rank = np.empty(at.size, np.int64)
    rank[people] = np.arange(people.size)
    return in_groups(rank[block], people.size)


def _caps(problem: Problem, personal: Integers, first: Integers, length: Integers) -> tuple[Integers, Integers]:
    """Return how many touches each person may have, and the personal rows that say something else."""
    rows = problem.matrix[personal]
    sizes = np.diff(rows.indptr)
    one = np.ones(personal.size, np.bool_)
    one[np.repeat(np.arange(personal.size), sizes)[rows.data != 1.0]] = False
    one &= sizes == length[first[personal]]
    cap = length.copy()
    most = np.floor(problem.limit[personal[one]] * (1.0 + 1e-9)).astype(np.int64)
    np.minimum.at(cap, first[personal[one]], most)
    return cap, personal[~one]


def _within(problem: Problem, person: Integers) -> bool | None:
    """Return whether offers are of single people; None where a group has several."""
    for group, _ in problem.choices:
        mine = np.flatnonzero(group >= 0)
        pairs = np.unique(np.stack([person[mine], group[mine]], axis=1), axis=0)
        if np.unique(pairs[:, 1]).size < pairs.shape[0] or np.unique(pairs[:, 0]).size < pairs.shape[0]:
            return None
    return True


def _own(problem: Problem, rest: Integers, whose: Integers, order: Integers, n_people: int) -> Own | None:
    """Return the rows of single people that are no caps, and their offers; None for neither."""
    if rest.size == 0 and not problem.choices:
        return None
    rest = rest[np.argsort(whose[rest], kind="stable")]
    first = np.searchsorted(whose[rest], np.arange(n_people + 1))
    rows = problem.matrix[rest]
    columns = sparse.csc_matrix(rows[:, order])
    local = np.arange(rest.size) - first[whose[rest]]
    limit = problem.limit[rest] * (1.0 + 1e-9)
    sizes = np.diff(rows.indptr)
    single = np.ones(rest.size, np.bool_)  # of which no two touches fit
    single[np.repeat(np.arange(rest.size), sizes)[rows.data <= np.repeat(limit / 2, sizes)]] = False
    cover = np.full(order.size, -1, np.int64)
    entry = np.repeat(np.arange(order.size), np.diff(columns.indptr))
    mine = np.flatnonzero(single[columns.indices])
    mine = mine[np.argsort(sizes[columns.indices[mine]], kind="stable")]
    cover[entry[mine]] = local[columns.indices[mine]]  # the longest is written last
    option = problem.choices[0][1][order] if problem.choices else np.empty(0, np.int64)
    return Own(columns.indptr.astype(np.int64), local[columns.indices], columns.data, first, limit, option, cover)


def _padded(columns: Any, order: Integers, width: int, n_rows: int) -> tuple[Any, Floats]:
    """Return rows and weights of each touch side by side, ``n_rows`` where there is none."""
    kind = np.int16 if n_rows < np.iinfo(np.int16).max else np.int32
    length = np.diff(columns.indptr)[order]
    row = np.full((order.size, width), n_rows, kind)
    ones = bool((columns.data == 1.0).all())
    weight = np.zeros((0 if ones else order.size, width))
    for k in range(width):
        has = np.flatnonzero(length > k)
        at = columns.indptr[order[has]] + k
        row[has, k] = columns.indices[at]
        if not ones:
            weight[has, k] = columns.data[at]
    return row, weight


def rough(
    people: People,
    limit: Floats,
    least: Floats,
    over: Floats,
    start: Floats | None = None,
    threads: int | None = None,
) -> Rough:
    """Return a plan by margins at the best prices found, in the order of the touches of ``people``."""
    first = None if start is None else meant(start, limit, least)
    price, _ = newton_prices(people, limit, least, first, threads)
    bound = pass_over(people, price, limit, least, 0.0, threads).height
    near = _NEAR * float(np.abs(people.value[:: max(1, people.value.size // 100_000)]).mean())
    found = nearly(people, price, near, threads)
    chosen, _, _ = rounded(people, found, limit, over)
    margin = np.full(people.value.size, -np.inf)
    margin[found.touch] = found.margin
    return Rough(chosen, price, raised(people, price, bound), margin)


def raised(people: People, price: Floats, bound: float) -> float:
    """Return a bound raised by the largest rounding error that its sum can have made."""
    terms = 8 + people.cap.size + int(people.row.shape[1])
    sizes = float(np.maximum(people.value, 0.0).sum()) + float(np.abs(price).sum())
    return (
        bound
        + terms * float(np.finfo(np.float64).eps) * (abs(bound) + sizes / people.cap.size)
        + (0.0 if people.own is None else 1e-11 * abs(bound))
    )


def personal_prices(matrix: Any, limit: Floats, reduced: Floats) -> Floats:
    """Return prices of rows of single people, at which each row alone is sold out to those who pay most.

    Rows are taken in turn, three times over, each at what the best touch left without room would pay (coordinate
    descent
    on the person's own dual).
    """
    price, left = np.zeros(limit.size), reduced.copy()
    rows = sparse.csr_matrix(matrix)
    widest = int(np.diff(rows.indptr).max(initial=1))
    turns = 1 if not rows.nnz or np.bincount(rows.indices).max() <= 1 else 3  # rows that share no touch need one
    suited(_row_price_loop, 3 * rows.nnz)(
        rows.indptr.astype(np.int64),
        rows.indices.astype(np.int64),
        rows.data,
        limit,
        left,
        price,
        widest,
        turns,
    )
    return price


@compiled
def _row_price_loop(
    start: Any, touch: Any, weight: Any, limit: Any, left: Any, price: Any, widest: int, turns: int
) -> None:
    """Price rows in turn; ``left`` (reduced values) and ``price`` change in place."""
    rate = np.empty(widest, np.float64)
    for _ in range(turns):
        for r in range(limit.size):
            n = start[r + 1] - start[r]
            for i in range(n):
                at = start[r] + i
                left[touch[at]] += weight[at] * price[r]
                rate[i] = left[touch[at]] / weight[at] if weight[at] > 0 else -1.0
            order = np.argsort(-rate[:n])
            room, sold = limit[r], 0.0
            for i in range(n):
                at = start[r] + order[i]
                if rate[order[i]] <= 0:
                    break
                room -= weight[at]
                if room < -1e-9 * limit[r]:
                    sold = rate[order[i]]
                    break
            price[r] = sold
            for i in range(n):
                at = start[r] + i
                left[touch[at]] -= weight[at] * sold
