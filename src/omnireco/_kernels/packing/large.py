"""Large problems: people solved exactly inside, shared rows priced, a plan by margins, and a core for what is undecided."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from omnireco._core.compute import compiled, suited
from omnireco._kernels.packing.bounds import meant
from omnireco._kernels.packing.people import People, newton_prices, pass_over
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


def crowd_of(problem: Problem) -> Crowd | None:
    """Return the problem person by person; None where it has no people, or rows that the passes do not know."""
    if problem.block is None or problem.choices:
        return None
    order, start = _by_person(problem.block)
    person = np.empty(order.size, np.int64)
    person[order] = np.repeat(np.arange(start.size - 1), np.diff(start))
    matrix = problem.matrix
    sizes = np.diff(matrix.indptr)
    owner = person[matrix.indices]
    first = owner[np.minimum(matrix.indptr[:-1], max(owner.size - 1, 0))]
    same = owner == np.repeat(first, sizes)
    alone = np.ones(sizes.size, np.bool_)
    alone[np.repeat(np.arange(sizes.size), sizes)[~same]] = False
    alone &= (problem.least <= 0) & (sizes > 0)
    personal, shared = np.flatnonzero(alone), np.flatnonzero(~alone)
    cap = _caps(problem, personal, first, np.diff(start))
    columns = sparse.csc_matrix(matrix[shared])
    width = int(np.diff(columns.indptr).max(initial=0))
    if cap is None or shared.size > MOST_SHARED or width > _WIDTH:
        return None
    row, weight = _padded(columns, order, max(width, 1), shared.size)
    return Crowd(
        People(start, problem.value[order], row, weight, cap),
        order,
        shared,
        personal,
        problem.limit[shared],
        problem.least[shared],
    )


def _by_person(block: Integers) -> tuple[Integers, Integers]:
    """Return touches by person, and where each person starts; people in the order of their first touch."""
    _, at, code = np.unique(block, return_index=True, return_inverse=True)
    rank = np.empty(at.size, np.int64)
    rank[np.argsort(at, kind="stable")] = np.arange(at.size)
    person = rank[np.ravel(code)]
    order = np.argsort(person, kind="stable")
    return order, np.concatenate([[0], np.cumsum(np.bincount(person, minlength=at.size))])


def _caps(problem: Problem, personal: Integers, first: Integers, length: Integers) -> Integers | None:
    """Return how many touches each person may have; None where their rows say more than one number."""
    rows = problem.matrix[personal]
    if (rows.data != 1.0).any() or (np.diff(rows.indptr) != length[first[personal]]).any():
        return None
    cap = length.copy()
    np.minimum.at(cap, first[personal], np.floor(problem.limit[personal] * (1.0 + 1e-9)).astype(np.int64))
    return cap


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
    return bound + terms * float(np.finfo(np.float64).eps) * (abs(bound) + sizes / people.cap.size)


def personal_prices(matrix: Any, limit: Floats, reduced: Floats) -> Floats:
    """Return prices of rows of single people, at which each row alone is sold out to those who pay most.

    Rows are taken in turn, three times over, each at what the best touch left without room would pay (coordinate descent
    on the person's own dual).
    """
    price, left = np.zeros(limit.size), reduced.copy()
    rows = sparse.csr_matrix(matrix)
    widest = int(np.diff(rows.indptr).max(initial=1))
    suited(_row_price_loop, 3 * rows.nnz)(
        rows.indptr.astype(np.int64), rows.indices.astype(np.int64), rows.data, limit, left, price, widest
    )
    return price


@compiled
def _row_price_loop(start: Any, touch: Any, weight: Any, limit: Any, left: Any, price: Any, widest: int) -> None:
    """Price rows in turn; ``left`` (reduced values) and ``price`` change in place."""
    rate = np.empty(widest, np.float64)
    for _ in range(3):
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
