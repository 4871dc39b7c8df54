"""A packing problem, what of it can matter, and the answer with its proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = [
    "TOLERANCE",
    "Bools",
    "Floats",
    "InConflict",
    "Integers",
    "Problem",
    "Solution",
    "Tied",
    "keeps",
    "problem_of",
    "slack",
    "tied",
]

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Integers: TypeAlias = NDArray[np.int64]

TOLERANCE = 1e-9  # by how much of itself a limit may be passed: float sums, nothing else
_SIGNED = 1e-12  # of the sum of sizes, where weights of both signs meet


class InConflict(Exception):
    """No plan meets these rows together: their positions, and how much is missing at least."""

    def __init__(self, rows: Integers, missing: float) -> None:
        super().__init__("no plan meets these rows together")
        self.rows, self.missing = rows, missing


@dataclass(frozen=True, slots=True)
class Solution:
    """A plan with its proof, in the order of the touches given to ``solve``.

    Attributes
    ----------
    chosen : bool array, shape (n,)
        The touches of the plan; ``least <= A @ chosen <= limit`` holds, and one option per group.
    value, bound : float
        Value of the plan, and a number that no plan exceeds.
    price : float64 array, shape (n_rows,)
        What one more unit of each limit is worth, where above 0; below 0, what one unit less of the floor is worth.
    exact : bool
        Whether a search proved the plan best to within HiGHS's tolerance.
    reduced : float64 array, shape (n,)
        Value of each touch less what it uses at these prices.
    """

    chosen: Bools
    value: float
    bound: float
    price: Floats
    exact: bool
    reduced: Floats

    @property
    def gap(self) -> float:
        """Return (bound - value) / bound, and 0 when nothing can be earned."""
        return (self.bound - self.value) / self.bound if self.bound > 0 else 0.0


class Problem(NamedTuple):
    """The touches and rows that can matter, touches in an order that knows no names.

    ``touch`` and ``row`` are positions in what was given; ``matrix`` is csr, shape (rows, touches); ``least`` is
    minus infinity for none; ``choices`` are
    pairs of arrays (group, option), groups numbered from 0 and -1 for none; ``block`` is the person, or None.
    """

    touch: Integers
    row: Integers
    value: Floats
    matrix: Any
    limit: Floats
    least: Floats
    choices: tuple[tuple[Integers, Integers], ...]
    block: Integers | None


def problem_of(
    value: Floats,
    matrix: Any,
    limit: Floats,
    least: Floats | None,
    choices: Sequence[tuple[Any, Any]],
    block: Any,
    allowed: Any,
    *,
    pruned: bool = True,
) -> Problem:
    """Return what can matter of a problem: touches that could be sent, rows that could bind.

    A touch without value of its own can be sent only to meet a floor. ``pruned`` leaves out touches too big for a row.
    """
    least = np.full(limit.size, -np.inf) if least is None else np.where(np.asarray(least) > 0, least, -np.inf)
    entry_row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    signed = np.zeros(limit.size, np.bool_)
    signed[entry_row[matrix.data < 0]] = True
    useful = value > 0
    useful[matrix.indices[(matrix.data > 0) & (least[entry_row] > 0)]] = True
    if pruned:
        useful[matrix.indices[(matrix.data > (limit * (1.0 + TOLERANCE))[entry_row]) & ~signed[entry_row]]] = False
    if allowed is not None:
        useful &= np.asarray(allowed, np.bool_)
    touch = np.flatnonzero(useful)
    kept = matrix if touch.size == value.size else matrix[:, touch]
    most = np.asarray((kept.maximum(0) if signed.any() else kept).sum(axis=1)).ravel()
    row = np.flatnonzero((most > limit * (1.0 + TOLERANCE)) | (least > 0))
    small = kept[row]  # always a copy
    small.eliminate_zeros()
    small.sort_indices()
    pairs = []
    for group, option in choices:
        code = np.asarray(group, np.int64)[touch]
        mine = np.flatnonzero(code >= 0)
        if mine.size:
            code[mine] = np.unique(code[mine], return_inverse=True)[1]
            pairs.append((code, np.where(code >= 0, np.asarray(option, np.int64)[touch], -1)))
    person = None if block is None else _numbered(np.asarray(block)[touch])
    return Problem(touch, row, value[touch], small, limit[row], least[row], tuple(pairs), person)


def _numbered(code: Any) -> Integers:
    """Return codes numbered from 0 without gaps, in their order."""
    if not code.size or code.min() < 0 or code.max() >= 4 * code.size:
        return np.asarray(np.unique(code, return_inverse=True)[1], np.int64)
    known = np.zeros(int(code.max()) + 1, np.bool_)
    known[code] = True
    return np.asarray((np.cumsum(known) - 1)[code], np.int64)


def slack(problem: Problem) -> tuple[Floats, Floats]:
    """Return by how much limits may be passed and floors missed: rounding of sums, nothing else."""
    rounding = np.zeros(problem.limit.size)
    if (problem.matrix.data < 0).any():
        entry_row = np.repeat(np.arange(problem.limit.size), np.diff(problem.matrix.indptr))
        size = np.bincount(entry_row, np.abs(problem.matrix.data), problem.limit.size)
        signed = np.unique(entry_row[problem.matrix.data < 0])
        rounding[signed] = _SIGNED * size[signed]
    finite = np.where(np.isfinite(problem.limit), problem.limit, 0.0)
    return TOLERANCE * finite + rounding, TOLERANCE * np.maximum(problem.least, 0.0) + rounding


def keeps(problem: Problem, chosen: Bools) -> bool:
    """Return whether a plan keeps every row, and one option per group."""
    used = problem.matrix @ chosen.astype(np.float64)
    over, under = slack(problem)
    if (used > problem.limit + over).any() or (used < problem.least - under).any():
        return False
    return all(_one_each(group[chosen], option[chosen]) for group, option in problem.choices)


def _one_each(group: Integers, option: Integers) -> bool:
    """Return whether no group has two options."""
    mine = group >= 0
    pairs = np.unique(np.stack([group[mine], option[mine]], axis=1), axis=0)
    return bool(np.unique(pairs[:, 0]).size == pairs.shape[0])


class Tied(NamedTuple):
    """A problem whose columns are touches and then offers, and whose first rows are those of the problem."""

    value: Floats
    matrix: Any
    limit: Floats
    least: Floats  # minus infinity where there is no floor


def tied(problem: Problem) -> Tied:
    """Return the problem with one more column per group and option, and the rows that tie them.

    A touch is at most the column of its offer, and the columns of a group sum to one at most.
    """
    n, limits, width = problem.value.size, [problem.limit], 0
    blocks: list[tuple[Any, Any, Any]] = []
    for group, option in problem.choices:
        mine = np.flatnonzero(group >= 0)
        pairs, column = np.unique(np.stack([group[mine], option[mine]], axis=1), axis=0, return_inverse=True)
        size, offers = mine.size, pairs.shape[0]
        groups = int(pairs[:, 0].max()) + 1
        touch = sparse.csr_matrix((np.ones(size), (np.arange(size), mine)), shape=(size, n))
        offer = sparse.csr_matrix((-np.ones(size), (np.arange(size), np.ravel(column))), shape=(size, offers))
        one = sparse.csr_matrix((np.ones(offers), (pairs[:, 0], np.arange(offers))), shape=(groups, offers))
        blocks.append((touch, offer, one))
        limits += [np.zeros(size), np.ones(groups)]
        width += offers
    rows: list[list[Any]] = [[problem.matrix, *([None] * len(blocks))]]
    for at, (touch, offer, one) in enumerate(blocks):
        rows.append([touch, *(offer if i == at else None for i in range(len(blocks)))])
        rows.append([None, *(one if i == at else None for i in range(len(blocks)))])
    limit = np.concatenate(limits)
    least = np.full(limit.size, -np.inf)
    least[: problem.limit.size] = problem.least
    matrix = problem.matrix if not blocks else sparse.bmat(rows, format="csr")
    return Tied(np.concatenate([problem.value, np.zeros(width)]), matrix, limit, least)
