"""Candidates and constraints as one packing problem, its solution, and why each touch is not in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import sparse

from omnireco._core.checks import count_of
from omnireco._core.compute import compiled, suited
from omnireco._kernels.packing import TOLERANCE, InConflict, Solution, solve
from omnireco._kernels.packing.solving import LINEAR_TOUCHES
from omnireco.data.vocabulary import NONE
from omnireco.errors import InfeasibleError
from omnireco.planning.candidates import Candidates
from omnireco.planning.rows import Choices, Rows
from omnireco.planning.rules import Constraint
from omnireco.planning.solving.at_scale import at_scale
from omnireco.planning.solving.compiling import EACH, checked, least_of, offers_of, warm_prices

__all__ = ["Solved", "matrix_of", "solved"]

_NAMED = 5  # rows in conflict that an error names


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """The packing problem of a plan, solved.

    Attributes
    ----------
    found : Solution
        What was chosen, its value, bound, prices and reduced values.
    compiled : tuple of Rows
        What each rule became.
    matrix : csr matrix, shape (n_rows, n), or None
        All rows; those of rule ``i`` are ``first[i]`` to ``first[i + 1]``. None where people are so many that none was
        built.
    limit, least, usage : float64 arrays, shape (n_rows,)
    first : int64 array, shape (n_rules + 1,)
    block : int32 array, shape (n,)
        The rule that stands in a touch's way, the dearest of several; -1 for none.
    each : mapping of int to (float, float, float)
        Use, limit and mean price of all people whom a rule holds back, for rules without rows here.
    """

    found: Solution
    compiled: tuple[Rows, ...]
    matrix: Any
    limit: np.ndarray
    least: np.ndarray
    usage: np.ndarray
    first: np.ndarray
    block: np.ndarray
    each: Mapping[int, tuple[float, float, float]] = field(default_factory=dict)

    def prices(self, rules: Sequence[Constraint]) -> Iterator[tuple[str, str, float, float, float, float]]:
        """Yield constraint, row, used, limit, price and floor: a line per labelled row, one for all rows of people."""
        for number, (rule, rows) in enumerate(zip(rules, self.compiled, strict=True)):
            if number in self.each:
                yield (rule.name, EACH, *self.each[number], 0.0)
                continue
            part = slice(self.first[number], self.first[number + 1])
            used, limit, price, least = (x[part] for x in (self.usage, self.limit, self.found.price, self.least))
            if rows.labels is None:
                mean = float(price.mean()) if price.size else 0.0
                yield (rule.name, EACH, float(used.sum()), float(limit.sum()), mean, float(least.sum()))
                continue
            for label, u, b, p, f in zip(rows.labels, used, limit, price, least, strict=True):
                yield (
                    rule.name,
                    label,
                    float(u * rows.unit),
                    float(b * rows.unit),
                    float(p / rows.unit) if rows.unit else float(p),
                    float(f * rows.unit),
                )


def solved(
    touches: Candidates,
    rules: Sequence[Constraint],
    *,
    out: np.ndarray | None = None,
    warm: Iterable[Any] = (),
    start: np.ndarray | None = None,
    threads: int | None = None,
    matrix_needed: bool = True,
    tick: Callable[[], object] = lambda: None,
) -> Solved:
    """Return the best touches found under the rules, with everything that explains them.

    Parameters
    ----------
    touches : Candidates
    rules : sequence of Constraint
        Checked, those that the touches imply included.
    out : bool array, shape (n,), optional
        Touches of people who are held out.
    warm : iterable of objects with ``constraint``, ``row`` and ``price``
        Prices to start from, such as those of yesterday's plan.
    start : bool array, shape (n,), optional
        A plan that the result is never worse than, where it keeps every rule.
    threads : int, optional
    matrix_needed : bool
        Where not, very many people are planned without one.
    tick : callable
        Called after each of the three parts.

    Raises
    ------
    ParameterError
        When a rule's rows or choices are malformed.
    InfeasibleError
        When no plan meets the floors; it names the rows in conflict.
    """
    n = len(touches)
    known: dict[int, Rows] = {}
    if n > LINEAR_TOUCHES and not matrix_needed:
        large = at_scale(touches, rules, known, out=out, warm=warm, start=start, threads=threads)
        if large is not None:
            for _ in range(3):
                tick()
            return Solved(*large)
    kept = None if out is None or not out.any() else np.flatnonzero(~out)
    compiled, offers = _compiled(touches, rules, kept, known if kept is None else {})
    first = np.cumsum([0, *(rows.limit.size for rows in compiled)])
    matrix = _stack(compiled, first, n)
    limit = np.concatenate([np.empty(0), *(np.asarray(rows.limit, np.float64) for rows in compiled)])
    least = np.concatenate([np.empty(0), *(least_of(rows) for rows in compiled)])
    tick()
    try:
        found = solve(
            touches.value,
            matrix,
            limit,
            least=least,
            choices=[(one.group, one.option) for one in offers.values() if one is not None],
            block=touches.touches.user,
            allowed=None if out is None else ~out,
            prices=warm_prices(rules, compiled, warm),
            start=start,
            threads=threads,
        )
    except InConflict as error:
        held = kept is not None and _has_plan(touches, rules)
        raise _infeasible(rules, compiled, first, error, n - kept.size if held and kept is not None else 0) from None
    tick()
    usage = matrix @ found.chosen.astype(np.float64)
    block = _blocked(found, matrix, limit, usage, first, offers)
    tick()
    return Solved(found, compiled, matrix, limit, least, usage, first, block)


def _compiled(
    touches: Candidates, rules: Sequence[Constraint], kept: np.ndarray | None, known: Mapping[int, Rows]
) -> tuple[tuple[Rows, ...], dict[int, Choices | None]]:
    """Return what each rule says of the touches, or of those kept alone: who is held out is nobody to a rule."""
    n, t = len(touches), touches.touches if kept is None else touches.touches.take(kept)
    rows = {i: known[i] if i in known else checked(rule, rule.rows(t), len(t)) for i, rule in enumerate(rules)}
    offers = {i: offers_of(rule, rule.choices(t), len(t)) for i, rule in enumerate(rules)}
    if kept is not None:
        rows = {i: replace(one, touch=kept[np.asarray(one.touch, np.int64)]) for i, one in rows.items()}
        offers = {i: None if one is None else _spread(one, kept, n) for i, one in offers.items()}
    return tuple(rows.values()), offers


def _spread(choices: Choices, kept: np.ndarray, n: int) -> Choices:
    """Return the offers of some touches as those of all; the others carry none."""
    group, option = np.full(n, NONE, np.int64), np.full(n, NONE, np.int64)
    group[kept], option[kept] = choices.group, choices.option
    return Choices(group, option)


def _has_plan(touches: Candidates, rules: Sequence[Constraint]) -> bool:
    """Return whether all floors could be met if nobody were held out."""
    try:
        solved(touches, rules)
    except InfeasibleError:
        return False
    return True


def _stack(compiled: Sequence[Rows], first: np.ndarray, n: int) -> Any:
    """Return all rows as one sparse matrix, shape (n_rows, n)."""
    parts = [matrix_of(rows, int(size), n) for rows, size in zip(compiled, np.diff(first), strict=True)]
    return sparse.vstack(parts, format="csr", dtype=np.float64) if parts else sparse.csr_matrix((0, n))


def matrix_of(rows: Rows, n_rows: int, n: int) -> Any:
    """Return the rows of one rule; entries that stand row by row already are not sorted again."""
    row, touch, weight = np.asarray(rows.row), np.asarray(rows.touch), np.asarray(rows.weight, np.float64)
    if (row[1:] < row[:-1]).any():
        return sparse.csr_matrix((weight, (row, touch)), shape=(n_rows, n))
    start = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n_rows))])
    matrix = sparse.csr_matrix((weight, touch, start), shape=(n_rows, n))
    if not matrix.has_canonical_format:  # a touch twice in a row counts twice
        matrix = matrix.copy()
        matrix.sum_duplicates()
    return matrix


def _blocked(
    found: Solution,
    matrix: Any,
    limit: np.ndarray,
    usage: np.ndarray,
    first: np.ndarray,
    offers: dict[int, Choices | None],
) -> np.ndarray:
    """Return what stands in the way of each touch: another offer, else the dearest full row; -1 for none."""
    block = np.full(found.chosen.size, -1, np.int32)
    dearest = np.full(found.chosen.size, -1.0)
    owner = np.repeat(np.arange(first.size - 1, dtype=np.int32), np.diff(first))
    suited(_blocked_loop, matrix.nnz)(
        matrix.indptr,
        matrix.indices,
        matrix.data,
        limit * (1.0 + TOLERANCE),
        usage,
        np.maximum(found.price, 0.0),
        owner,
        found.chosen,
        dearest,
        block,
    )
    for number, choices in offers.items():
        if choices is not None:
            block[_other_offer(choices, found.chosen)] = number
    return block


@compiled
def _blocked_loop(
    start: Any,
    touch: Any,
    weight: Any,
    limit: Any,
    used: Any,
    price: Any,
    owner: Any,
    chosen: Any,
    dearest: Any,
    block: Any,
) -> None:
    """Write the rule of the dearest full row of each touch that is not chosen; of equal ones the first."""
    for r in range(limit.size):
        for e in range(start[r], start[r + 1]):
            a, w = touch[e], weight[e]
            if w > 0 and not chosen[a] and used[r] + w > limit[r] and w * price[r] > dearest[a]:
                dearest[a] = w * price[r]
                block[a] = owner[r]


def _other_offer(choices: Choices, chosen: np.ndarray) -> np.ndarray:
    """Return the touches whose group has another offer."""
    group, option = np.asarray(choices.group, np.int64), np.asarray(choices.option, np.int64)
    has = np.full(int(group.max(initial=-1)) + 1, -1, np.int64)
    mine = chosen & (group >= 0)
    has[group[mine]] = option[mine]
    offer = np.append(has, -1)[group]
    return np.asarray((group >= 0) & (offer >= 0) & (offer != option))


def _infeasible(
    rules: Sequence[Constraint], compiled: Sequence[Rows], first: np.ndarray, error: InConflict, held: int = 0
) -> InfeasibleError:
    """Return the error that names the rows in conflict; rows of single people are counted.

    ``held`` is how many touches are of people held out, where that is what stands in the way.
    """
    names: list[str] = []
    for number, (rule, rows) in enumerate(zip(rules, compiled, strict=True)):
        mine = error.rows[(error.rows >= first[number]) & (error.rows < first[number + 1])] - first[number]
        if mine.size and rows.labels is None:
            names.append(f"{rule.name} ({count_of(mine.size, 'row')} of single people)")
        elif rows.labels is not None:
            least = least_of(rows) * rows.unit
            names += [
                f"{rule.name}, {rows.labels[i]}" + (f" (at least {least[i]:g})" if least[i] > 0 else "") for i in mine
            ]
    shown = "; ".join(names[:_NAMED]) + (f"; and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    short = f", which {error.missing:.4g} more would meet" if error.missing > 0 else ""
    alone = "these rows cannot be met together" if len(names) != 1 else "this floor cannot be met"
    if held:
        return InfeasibleError(
            f"plan: with these people held out no plan meets all floors{short}: {shown or 'floors of whole touches'}. "
            f"Without the holdout one does; {count_of(held, 'touch', 'touches')} of people held out cannot count for "
            "them. Hold fewer people out, plan(touches, constraints=[...], holdout=0.05), or lower the floor."
        )
    return InfeasibleError(
        f"plan: no plan meets all floors{short}; {alone}: {shown or 'floors of whole touches'}. Lower the floor, raise "
        "the limit that stands against it, or give more touches that count for it: plan(touches, constraints=[...]) "
        "without one of these constraints has a plan."
    )
