"""Candidates and constraints as one packing problem, its solution, and why each touch is not in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from omnireco._kernels.packing import TOLERANCE, Solution, solve
from omnireco.errors import ParameterError
from omnireco.planning.candidates import Candidates
from omnireco.planning.rows import Rows
from omnireco.planning.rules import Constraint

__all__ = ["Solved", "solved"]


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """The packing problem of a plan, solved."""

    found: Any
    compiled: tuple[Rows, ...]
    matrix: Any
    limit: np.ndarray
    least: np.ndarray
    usage: np.ndarray
    first: np.ndarray
    block: np.ndarray

    def prices(self, rules: Sequence[Constraint]) -> Iterator[tuple[str, str, float, float, float, float]]:
        """Yield what each labelled row allows and uses, and one line for all rows of single people of a constraint."""
        for line in _prices(tuple(rules), list(self.compiled), self.usage, self.found.price):
            yield (*line, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    chosen: np.ndarray
    value: float
    bound: float
    price: np.ndarray
    reduced: np.ndarray
    exact: bool


def solved(
    touches: Candidates,
    rules: Sequence[Constraint],
    *,
    out: np.ndarray | None = None,
    warm: Iterable[Any] = (),
    start: np.ndarray | None = None,
    threads: int | None = None,
) -> Solved:
    """Return the best touches found under the rules, with everything that explains them."""
    compiled = [_checked(rule, rule.rows(touches.touches), len(touches)) for rule in rules]
    matrix = _stack(compiled, len(touches))
    limit = np.concatenate([rows.limit for rows in compiled]) if compiled else np.empty(0)
    value = touches.value if out is None else np.where(out, 0.0, touches.value)
    one = solve(value, matrix, limit)
    usage = matrix @ one.chosen.astype(np.float64)
    found = _Found(one.chosen, one.value, one.bound, one.price, touches.value - matrix.T @ one.price, one.exact)
    block = _reasons(touches, one, matrix, limit, usage, compiled).astype(np.int64) - 3
    first = np.cumsum([0, *(rows.limit.size for rows in compiled)])
    least = np.concatenate([np.zeros(0), *(np.zeros(r.limit.size) if r.least is None else r.least for r in compiled)])
    return Solved(found, tuple(compiled), matrix, limit, least, usage, first, np.maximum(block, -1))


def _checked(rule: Constraint, rows: Rows, n: int) -> Rows:
    """Return a constraint's rows when they are rows of a packing problem over ``n`` touches."""
    if not isinstance(rows, Rows):
        raise ParameterError(
            f"{rule.name}.rows must return Rows. Got {type(rows).__name__}. Write return Rows(row=, touch=, weight=, "
            "limit=)."
        )
    row, touch, weight, limit = (np.asarray(a) for a in (rows.row, rows.touch, rows.weight, rows.limit))
    problems = [
        (not row.shape == touch.shape == weight.shape == (row.size,), "row, touch and weight differ in length"),
        (limit.ndim != 1, "limit is not one-dimensional"),
        (row.size > 0 and (row.min() < 0 or row.max() >= limit.size), "row points outside limit"),
        (touch.size > 0 and (touch.min() < 0 or touch.max() >= n), "touch points outside the touches"),
        (not (np.isfinite(weight).all() and (weight >= 0).all()), "a weight is negative or not finite"),
        (not (np.isfinite(limit).all() and (limit >= 0).all()), "a limit is negative or not finite"),
        (rows.labels is not None and len(rows.labels) != limit.size, "there is not one label per limit"),
    ]
    wrong = [what for bad, what in problems if bad]
    if wrong:
        raise ParameterError(
            f"{rule.name}.rows does not describe a packing problem over {n} touches: {'; '.join(wrong)}. "
            "Return Rows(row=, touch=, weight=, limit=): sums of weights of sent touches that stay below limits."
        )
    return rows


def _stack(compiled: list[Rows], n: int) -> Any:
    """Return all rows as one sparse matrix, shape (n_rows, n)."""
    start = np.cumsum([0, *(rows.limit.size for rows in compiled)])
    row = [np.asarray(rows.row, np.int64) + at for rows, at in zip(compiled, start, strict=False)]
    entries = [np.concatenate([np.empty(0), *(rows.weight for rows in compiled)])]
    where = (
        np.concatenate([np.empty(0, np.int64), *row]),
        np.concatenate([np.empty(0, np.int64), *(rows.touch for rows in compiled)]),
    )
    return sparse.csr_matrix((entries[0], where), shape=(int(start[-1]), n))


def _reasons(
    touches: Candidates, found: Solution, matrix: Any, limit: np.ndarray, usage: np.ndarray, compiled: list[Rows]
) -> np.ndarray:
    """Return why each touch is not sent: the binding constraint with the highest shadow price."""
    reason = np.full(len(touches), 2, np.int32)
    reason[found.chosen] = 0
    dearest = np.full(len(touches), -1.0)
    entries = matrix.tocoo()
    blocked = usage[entries.row] + entries.data > limit[entries.row] * (1.0 + TOLERANCE)
    start = np.cumsum([0, *(rows.limit.size for rows in compiled)])
    owner = np.searchsorted(start, entries.row, side="right") - 1
    for number in range(len(compiled)):
        mine = blocked & (owner == number)
        cost = np.full(len(touches), -1.0)
        np.maximum.at(cost, entries.col[mine], entries.data[mine] * found.price[entries.row[mine]])
        better = (cost > dearest) & (reason != 0)
        reason[better] = number + 3
        dearest[better] = cost[better]
    reason[touches.value <= 0] = 1
    return reason


def _prices(
    used: tuple[Constraint, ...], compiled: list[Rows], usage: np.ndarray, price: np.ndarray
) -> Iterator[tuple[str, str, float, float, float]]:
    """Yield one line per labelled row, and one for all rows of single people of a constraint."""
    at = 0
    for rule, rows in zip(used, compiled, strict=True):
        part = slice(at, at + rows.limit.size)
        at += rows.limit.size
        if rows.labels is None:
            mean = float(price[part].mean()) if rows.limit.size else 0.0
            yield (rule.name, "each person", float(usage[part].sum()), float(rows.limit.sum()), mean)
            continue
        for label, u, b, p in zip(rows.labels, usage[part], rows.limit, price[part], strict=True):
            yield (rule.name, label, float(u * rows.unit), float(b * rows.unit), float(p / rows.unit))
