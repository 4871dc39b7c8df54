"""Plans of very many people: rules of shared rows, and what counts messages of one person, without a matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from omnireco._kernels.packing import Solution
from omnireco._kernels.packing.large import MOST_SHARED
from omnireco._kernels.packing.lean import (
    Explained,
    LeanSolution,
    Placed,
    Window,
    explained,
    explained_people,
    solve_people,
    windows_of,
)
from omnireco.planning.candidates import Candidates
from omnireco.planning.rows import Rows
from omnireco.planning.rules import Constraint
from omnireco.planning.solving.compiling import checked, warm_prices

__all__ = ["NO_CAP", "Large", "at_scale", "of_caps"]

NO_CAP = np.iinfo(np.int64).max // 4
_NONE = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


class Large(NamedTuple):
    """The fields of :class:`omnireco.planning.solving.Solved`; rows are the shared ones, without their entries."""

    found: Solution
    compiled: tuple[Rows, ...]
    matrix: None
    limit: np.ndarray
    least: np.ndarray
    usage: np.ndarray
    first: np.ndarray
    block: np.ndarray
    each: dict[int, tuple[float, float, float]]


def at_scale(
    touches: Candidates,
    rules: Sequence[Constraint],
    known: dict[int, Rows],
    *,
    out: np.ndarray | None = None,
    warm: Iterable[Any] = (),
    start: np.ndarray | None = None,
    threads: int | None = None,
) -> Large | None:
    """Return the plan, or None where a rule is more than limits over labelled rows or a count of messages per person.

    Rows that were made before such a rule was met are left in ``known``.
    """
    t, n = touches.touches, len(touches)
    if any(rule.choices(t) is not None for rule in rules):
        return None
    each = {i: cap for i, rule in enumerate(rules) if (cap := rule._each_person(t)) is not None}
    within = {i: w for i, rule in enumerate(rules) if i not in each and (w := rule._in_windows(t)) is not None}
    placed, compiled = Placed(n), []
    for i, rule in enumerate(rules):
        if i in each or i in within:
            compiled.append(Rows.none())
            continue
        rows = known[i] = checked(rule, rule.rows(t), n)
        if not _plain(rows) or placed.n_rows + rows.limit.size > MOST_SHARED:
            return None
        if not placed.add(rows.row, rows.touch, rows.weight, rows.limit):
            return None
        compiled.append(Rows(*_NONE, np.asarray(rows.limit, np.float64), rows.labels, rows.unit))
        if i > 0 and sum(known[k].row.size for k in known) > 4 * n:
            return None
    known.clear()
    cap = np.full(len(t.users), NO_CAP, np.int64)
    for most in each.values():
        np.minimum(cap, most, out=cap)
    windows = windows_of(t.send_at, list(within.values()), cap.size) if within else None
    found = solve_people(
        touches.value,
        t.user,
        placed,
        cap,
        windows=windows,
        allowed=None if out is None else ~out,
        prices=warm_prices(rules, compiled, warm),
        start=start,
        threads=threads,
    )
    del windows
    if within:
        within |= {i: Window(None, most) for i, most in each.items()}
        return _explained_within(touches, tuple(compiled), placed, dict(sorted(within.items())), found, out, threads)
    return _explained(touches, tuple(compiled), placed, each, cap, found, out, threads)


def _plain(rows: Rows) -> bool:
    """Return whether rows are limits that several people share, without floors and weights below 0."""
    if rows.labels is None:
        return not np.asarray(rows.limit).size
    finite = bool(np.isfinite(rows.limit).all())
    floors = rows.least is not None and bool((np.asarray(rows.least) > 0).any())
    return finite and not floors and not bool((np.asarray(rows.weight) < 0).any())


def _explained(
    touches: Candidates,
    compiled: tuple[Rows, ...],
    placed: Placed,
    each: dict[int, np.ndarray],
    cap: np.ndarray,
    found: LeanSolution,
    out: np.ndarray | None,
    threads: int | None,
) -> Large:
    """Return what a plan is shown with: reduced values, reasons, and the use of rows and caps."""
    caps, lines = of_caps(touches.touches.user, each, cap, found, out)
    first, owner = _owners(compiled)
    shown = explained(touches.value, touches.touches.user, placed, owner, found, caps, threads=threads)
    return _shown(compiled, placed, first, found, shown, lines)


def _explained_within(
    touches: Candidates,
    compiled: tuple[Rows, ...],
    placed: Placed,
    within: dict[int, Window],
    found: LeanSolution,
    out: np.ndarray | None,
    threads: int | None,
) -> Large:
    """Return the same where people have windows, caps over the whole plan among them."""
    t = touches.touches
    first, owner = _owners(compiled)
    windows = windows_of(t.send_at, list(within.values()), len(t.users))
    number = np.array(list(within), np.int64)
    shown, sums = explained_people(
        touches.value, t.user, placed, owner, found, windows, number, len(t.users), out, threads
    )
    lines = {i: (line[0], line[1], line[2], int(line[3])) for i, line in zip(within, sums.tolist(), strict=True)}
    return _shown(compiled, placed, first, found, shown, lines)


def _owners(compiled: tuple[Rows, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return where the shared rows of each rule start, and the rule of each row."""
    first = np.cumsum([0, *(rows.limit.size for rows in compiled)])
    return first, np.repeat(np.arange(len(compiled)), np.diff(first))


def _shown(
    compiled: tuple[Rows, ...],
    placed: Placed,
    first: np.ndarray,
    found: LeanSolution,
    shown: Explained,
    lines: dict[int, tuple[float, float, float, int]],
) -> Large:
    limit = np.concatenate([np.empty(0), *placed.limit])
    solution = Solution(found.chosen, found.value, found.bound, found.price, found.exact, shown.reduced)
    means = {number: (used, most, paid / max(n, 1)) for number, (used, most, paid, n) in lines.items()}
    return Large(solution, compiled, None, limit, np.zeros(limit.size), shown.used, first, shown.block, means)


def of_caps(
    user: np.ndarray,
    each: dict[int, np.ndarray],
    cap: np.ndarray,
    found: LeanSolution,
    out: np.ndarray | None = None,
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], dict[int, tuple[float, float, float, int]]]:
    """Return where caps are used up, with their prices; and of each cap use, limit and price summed over people.

    The strictest cap of a person has the price; the last number is of how many people a cap holds back.
    """
    have = np.bincount(user if out is None else user[~out], minlength=cap.size)
    got = np.bincount(user[found.chosen], minlength=cap.size)
    price, full = np.zeros((len(each), cap.size)), np.zeros((len(each), cap.size), np.bool_)
    lines: dict[int, tuple[float, float, float, int]] = {}
    paid = np.zeros(cap.size, np.bool_)
    for c, (number, most) in enumerate(each.items()):
        binds = have > most  # of others there is no row
        price[c] = np.where(binds & (most == cap) & ~paid, found.person, 0.0)
        paid |= most == cap
        full[c] = binds & (got + 1 > most)
        lines[number] = (float(got[binds].sum()), float(most[binds].sum()), float(price[c].sum()), int(binds.sum()))
    return (np.array(list(each), np.int64), full, price), lines
