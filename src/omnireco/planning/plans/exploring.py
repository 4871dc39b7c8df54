"""Exploration of a plan: some people get another touch than the best one, by lot, inside every limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy import sparse

from omnireco._core.checks import check_choice, check_integer, check_number, shown
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Array, Maybe, Parts, Record, numbers, probabilities
from omnireco._core.random import lot
from omnireco._core.small import Number, Text, Whole
from omnireco._kernels.packing import TOLERANCE, fill
from omnireco.choices.propensity import thompson_propensities
from omnireco.data.vocabulary import NONE
from omnireco.errors import ParameterError
from omnireco.planning.candidates import Candidates
from omnireco.planning.rows import Choices

__all__ = ["Explored", "Problem", "Swaps", "as_swaps", "explored"]

BY = ("value", "posterior", "even")
_EVEN = 0.5  # of the draws by value or posterior, so that no alternative is hardly ever seen
_BLOCK = 1 << 18  # candidates that are worked through together


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Swaps:
    """Exploration: by lot, a person gets a feasible alternative in place of one planned touch.

    What a plan never sends, nobody learns about. With ``om.plan(touches, explore=0.05)`` one person in twenty, drawn by
    lot, gets another touch than the best one, and the frame of the plan has the exact probability of every touch.

    Parameters
    ----------
    share : float
        Probability, in (0, 1), with which a person who has a feasible alternative gets one.
    by : {"value", "posterior", "even"}
        Which alternative: ``"value"`` by a softmax of reduced values, ``"posterior"`` by the probability that it is the
        best of them (Thompson sampling; needs ``errors``), ``"even"`` each alike. Of the first two, half of the draws
        are even, so that propensities stay away from 0.
    alternatives : int
        Most alternatives per person, those of the highest reduced value.
    temperature : float
        Of the softmax, in mean values of the touches that are sent.
    errors : ndarray of shape (n,), optional
        Standard error of the value of each candidate, in the order of the candidates.

    Raises
    ------
    ParameterError
        When a number is out of range, or ``by="posterior"`` has no errors.

    Examples
    --------
    >>> import omnireco as om
    >>> om.planning.Swaps(share=0.1, by="even")
    Swaps(share=0.1, by='even', alternatives=4, temperature=1.0)
    """

    share: float
    by: str = "value"
    alternatives: int = 4
    temperature: float = 1.0
    errors: np.ndarray | None = None

    parts: ClassVar[Parts] = {
        "share": Number(0.0, 1.0),
        "by": Text(BY),
        "alternatives": Whole(1),
        "temperature": Number(0.0),
        "errors": Maybe(numbers("touches.n", low=0.0)),
    }

    def __post_init__(self) -> None:
        share = check_number(self.share, "share", above=0.0)
        if share >= 1:
            raise ParameterError(f"share must be between 0 and 1, both outside. Got {share:g}. Write share=0.05.")
        check_choice(self.by, "by", BY)
        check_integer(self.alternatives, "alternatives", low=1)
        check_number(self.temperature, "temperature", above=0.0)
        if (self.by == "posterior") == (self.errors is None):
            raise ParameterError(
                "Swaps: by='posterior' takes errors=, the standard error of each candidate's value, and no other by= "
                "does. Write Swaps(share=0.05, by='posterior', errors=errors), or by='value' without them."
            )
        if self.errors is not None:
            errors = np.array(self.errors, np.float64)
            if errors.ndim != 1 or not (np.isfinite(errors) & (errors >= 0)).all():
                raise ParameterError(
                    f"Swaps: errors must be finite numbers of 0 or more, one per candidate. Got {shown(self.errors)}."
                )
            errors.setflags(write=False)
            object.__setattr__(self, "errors", errors)

    def __repr__(self) -> str:
        return (
            f"Swaps(share={self.share:g}, by={self.by!r}, alternatives={self.alternatives}, "
            f"temperature={self.temperature})"
        )

    _repr_html_ = shown_html


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Explored:
    """How a plan was explored: which touches were alternatives of which, and the probability of each.

    Attributes
    ----------
    swaps : Swaps
    instead_of : int64 array, shape (n,)
        Per candidate the position of the planned touch that it would have replaced; of a planned touch its own; -1 for
        all others.
    propensity : float64 array, shape (n,)
        Probability with which each candidate is sent to a person who is not held out; 0 for those that never are.
    seed : int
    """

    swaps: Swaps
    instead_of: np.ndarray
    propensity: np.ndarray
    seed: int = 0

    parts: ClassVar[Parts] = {
        "swaps": Record(Swaps),
        "seed": Whole(),
        "instead_of": Array(np.int64, ("touches.n",), -1),
        "propensity": probabilities("touches.n"),
    }

    @property
    def planned(self) -> np.ndarray:
        """Which candidates the plan sends without exploration, bool of shape (n,)."""
        return np.asarray(self.instead_of == np.arange(self.instead_of.size))


class Problem(NamedTuple):
    """What exploration must keep: the packing problem, and which touches are one and the same offer."""

    matrix: Any
    limit: np.ndarray
    least: np.ndarray
    choices: Sequence[Choices]


def as_swaps(explore: Any, n: int) -> Swaps | None:
    """Return the exploration asked for; a number is its share."""
    if explore is None:
        return None
    found = explore if isinstance(explore, Swaps) else Swaps(share=check_number(explore, "explore", above=0.0))
    if found.errors is not None and found.errors.size != n:
        raise ParameterError(
            f"explore: errors has {found.errors.size:,} numbers for {n:,} candidates. Give one per candidate, in their "
            "order."
        )
    return found


def explored(
    touches: Candidates, chosen: np.ndarray, reduced: np.ndarray, problem: Problem, swaps: Swaps, *, out: Any, seed: int
) -> tuple[np.ndarray, Explored]:
    """Return which touches are sent after exploration, bool of shape (n,), and with which probabilities.

    A person has some alternatives, each beside the one planned touch that it replaces; at most one is drawn. All
    limits that only this person uses are checked for each alternative. Of limits that people share, each alternative
    reserves what it would use beyond the planned touch, whether it is drawn or not: so all draws together keep every
    limit, and each person's draw is independent of everybody else's.
    """
    t = touches.touches
    open_to = ~chosen & (touches.value > 0) & (True if out is None else ~out)
    k = _best(t.user, reduced, open_to & np.isin(t.user, t.user[chosen]), swaps.alternatives)
    k = k[_same_offer(k, chosen, problem.choices)]
    j = _replaced(touches, chosen, k, problem)
    k, j = k[j != NONE], j[j != NONE]
    name = f"plan/{int(t.send_at.min()) if len(t) else 0}"
    kept = _reserved(t, k, j, chosen, reduced, problem, seed, name)
    k, j = k[kept], j[kept]
    order = np.lexsort((k, t.user[k]))
    k, j = k[order], j[order]
    chance = _chances(touches, k, reduced, chosen, swaps)
    instead_of = np.where(chosen, np.arange(chosen.size), NONE)
    instead_of[k] = j
    propensity = chosen.astype(np.float64)
    propensity[k] = swaps.share * chance
    np.subtract.at(propensity, j, swaps.share * chance)
    drawn = _drawn(t, k, chance, swaps.share, seed, name)
    sent = chosen.copy()
    sent[j[drawn]], sent[k[drawn]] = False, True
    return sent, Explored(swaps, instead_of, np.clip(propensity, 0.0, 1.0), seed)


def _best(user: np.ndarray, reduced: np.ndarray, among: np.ndarray, most: int) -> np.ndarray:
    """Return the positions of the ``most`` candidates of each person with the highest reduced value."""
    rows = np.flatnonzero(among)
    rows = rows[np.lexsort((rows, -reduced[rows], user[rows]))]
    return rows[_place(user[rows]) < most]


def _place(group: np.ndarray) -> np.ndarray:
    """Return the position of each entry within its run of equal groups."""
    fresh = np.ones(group.size, np.bool_)
    fresh[1:] = group[1:] != group[:-1]
    at = np.arange(group.size)
    return at - np.maximum.accumulate(np.where(fresh, at, 0)) if group.size else at


def _same_offer(k: np.ndarray, chosen: np.ndarray, choices: Sequence[Choices]) -> np.ndarray:
    """Return which alternatives carry the offer that their group has already, or none."""
    fine = np.ones(k.size, np.bool_)
    for rule in choices:
        group, option = np.asarray(rule.group), np.asarray(rule.option)
        used = np.full(int(group.max(initial=0)) + 1, NONE, np.int64)
        mine = chosen & (group >= 0)
        used[group[mine]] = option[mine]
        fine &= (group[k] < 0) | (used[group[k]] == option[k])
    return fine


def _replaced(touches: Candidates, chosen: np.ndarray, k: np.ndarray, problem: Problem) -> np.ndarray:
    """Return for each alternative the planned touch of its person that it can replace, -1 for none.

    That of the same item first, then the one of the least value, among those with which every limit holds when nobody
    else changes anything.
    """
    t = touches.touches
    sent = np.flatnonzero(chosen)
    sent = sent[np.lexsort((sent, touches.value[sent], t.user[sent]))]
    start = np.searchsorted(t.user[sent], np.arange(len(t.users) + 1))
    columns = problem.matrix.tocsc()
    usage = problem.matrix @ chosen.astype(np.float64)
    found = np.full(k.size, NONE, np.int64)
    for first in range(0, k.size, _BLOCK):
        mine = k[first : first + _BLOCK]
        size = np.diff(start)[t.user[mine]]
        which = np.repeat(np.arange(mine.size), size)
        other = sent[np.repeat(start[t.user[mine]], size) + _place(which)]
        order = np.lexsort((np.arange(which.size), t.item[other] != t.item[mine[which]], which))
        other = other[order]
        turn, todo = _place(which), np.ones(mine.size, np.bool_)
        for attempt in range(int(turn.max(initial=-1)) + 1):
            now = np.flatnonzero((turn == attempt) & todo[which])
            fits = _fits(columns, usage, mine[which[now]], other[now], problem)
            hit = now[fits]
            found[first + which[hit]], todo[which[hit]] = other[hit], False
    return found


def _differences(columns: Any, k: np.ndarray, j: np.ndarray) -> Any:
    """Return what each swap changes in each row, sparse (n_rows, n_swaps)."""
    return sparse.csc_matrix(columns[:, k] - columns[:, j])


def _fits(columns: Any, usage: np.ndarray, k: np.ndarray, j: np.ndarray, problem: Problem) -> np.ndarray:
    """Return which swaps keep every row when nobody else changes anything."""
    change = _differences(columns, k, j)
    after = usage[change.indices] + change.data
    over = (change.data > 0) & (after > problem.limit[change.indices] * (1.0 + TOLERANCE))
    under = (change.data < 0) & (after < problem.least[change.indices] * (1.0 - TOLERANCE))
    under &= problem.least[change.indices] > 0
    bad = np.zeros(k.size, np.bool_)
    bad[np.repeat(np.arange(k.size), np.diff(change.indptr))[over | under]] = True
    return ~bad


def _reserved(
    t: Any,
    k: np.ndarray,
    j: np.ndarray,
    chosen: np.ndarray,
    reduced: np.ndarray,
    problem: Problem,
    seed: int,
    name: str,
) -> np.ndarray:
    """Return which swaps fit together, whoever is drawn: bool of shape (n_swaps,).

    Rows that one person alone uses need nothing: a person gets one swap at most, and each was checked. In the others
    every swap takes the room that it could need; the best of each person first, people in the order of their lots.
    """
    shared = _shared(problem.matrix, t.user)
    usage = problem.matrix @ chosen.astype(np.float64)
    change = _differences(problem.matrix.tocsc(), k, j).tocsr()[shared]
    more, less = change.copy(), change.copy()
    more.data, less.data = np.maximum(more.data, 0.0), np.maximum(-less.data, 0.0)
    floors = problem.least[shared] > 0
    capped = np.isfinite(problem.limit[shared])
    rows = sparse.vstack([more[capped], less[floors]]).tocsr()
    rows.eliminate_zeros()
    limit, least = problem.limit[shared][capped], problem.least[shared][floors]
    room = np.concatenate([limit - usage[shared][capped], usage[shared][floors] - least])
    turn = np.empty(k.size, np.int64)
    order = np.lexsort((k, -reduced[k], t.user[k]))
    turn[order] = _place(t.user[k][order])
    order = np.lexsort((k, lot(seed, f"{name}/order", t.users.ids)[t.user[k]], turn))
    return fill(order, rows, np.maximum(room, 0.0), np.zeros(k.size, np.bool_))


def _shared(matrix: Any, user: np.ndarray) -> np.ndarray:
    """Return which rows more than one person uses, bool of shape (n_rows,)."""
    rows = sparse.csr_matrix(matrix)
    of = user[rows.indices].astype(np.int64)
    filled = np.flatnonzero(np.diff(rows.indptr))
    found = np.zeros(rows.shape[0], np.bool_)
    if filled.size:
        start = rows.indptr[filled]
        found[filled] = np.maximum.reduceat(of, start) > np.minimum.reduceat(of, start)
    return found


def _chances(touches: Candidates, k: np.ndarray, reduced: np.ndarray, chosen: np.ndarray, swaps: Swaps) -> np.ndarray:
    """Return the probability of each alternative, given that its person gets one; ``k`` lies together by person."""
    user = touches.touches.user[k]
    person = np.cumsum(_place(user) == 0) - 1
    size = np.bincount(person)[person] if k.size else np.empty(0)
    if swaps.by == "even" or not k.size:
        return 1.0 / size
    if swaps.by == "value":
        z = reduced[k] / (swaps.temperature * float(touches.value[chosen].mean()))
        top = np.full(int(person[-1]) + 1, -np.inf)
        np.maximum.at(top, person, z)
        weight = np.exp(z - top[person])
        share = weight / np.bincount(person, weights=weight)[person]
    else:
        share = _best_by_posterior(touches.value[k], np.asarray(swaps.errors)[k], person, swaps.alternatives)
    return (1.0 - _EVEN) * share + _EVEN / size


def _best_by_posterior(value: np.ndarray, error: np.ndarray, person: np.ndarray, most: int) -> np.ndarray:
    """Return the probability that each alternative is the best of its person's."""
    shape = (int(person[-1]) + 1, most)
    mean, width, there = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.bool_)
    place = _place(person)
    mean[person, place], width[person, place], there[person, place] = value, error, True
    found = thompson_propensities(mean, width, eligible=there)
    return np.asarray((found / found.sum(axis=1, keepdims=True))[person, place])


def _drawn(t: Any, k: np.ndarray, chance: np.ndarray, share: float, seed: int, name: str) -> np.ndarray:
    """Return which alternatives are drawn: at most one of a person, by two lots of theirs."""
    if not k.size:
        return np.zeros(0, np.bool_)
    people, at = np.unique(t.user[k], return_inverse=True)
    ids = t.users.ids[people]
    explores = lot(seed, f"{name}/who", ids) < share
    first = np.flatnonzero(_place(at) == 0)
    total = np.cumsum(chance)
    upper = total - np.concatenate([[0.0], total])[first][at]
    upper[np.append(first[1:], k.size) - 1] = 1.0
    lower = np.concatenate([[0.0], upper[:-1]])
    lower[first] = 0.0
    mark = lot(seed, f"{name}/which", ids)[at]
    return np.asarray(explores[at] & (lower < mark) & (mark <= upper))
