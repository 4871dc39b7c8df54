"""How the settings of the next basket are found: some people's last baskets, held out, against a small grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco._core.compute import row_blocks
from omnireco._core.random import stream
from omnireco.data.events import EventLog, rows_of
from omnireco.data.vocabulary import NONE
from omnireco.data.weights import Weights, event_weights, person_steps

__all__ = ["Found", "Held", "held_out", "search"]

_CROWD, _ASKED, _FEWEST = 20_000, 800, 50  # people searched at most, asked at most, asked at least
_STEPS = (20.0, None, 40.0, 10.0, 5.0)
_DAYS = ("90D", None, "365D", "30D")
_NEIGHBORS = (100, 30, 300)
_WEIGHTS = (0.3, 0.03, 0.1, 1.0, 3.0, 10.0)
_K = 10
_KEPT = 20  # the best so many of each term are compared; the first ten of their sum are among them

Terms = Callable[[Weights, np.ndarray, Sequence[int]], tuple[Any, Sequence[Any], Any]]


@dataclass(frozen=True, slots=True)
class Held:
    """A log without the last basket of some people, and these baskets.

    Parameters
    ----------
    past : EventLog
    asked : ndarray of shape (n,), int64
        Codes in ``past.users`` of those whose last basket is held out.
    truth : csr_matrix of shape (n, n_items)
        Their last baskets, over ``past.items``.
    sizes : ndarray of shape (n,), int64
        Goods of these baskets, whether the past knows them or not.
    """

    past: EventLog
    asked: np.ndarray
    truth: sp.csr_matrix
    sizes: np.ndarray


@dataclass(frozen=True, slots=True)
class Found:
    """The setting that ranked the held-out baskets best."""

    weights: Weights
    neighbors: int
    neighbors_weight: float
    linear_weight: float


def held_out(log: EventLog, weights: Weights) -> Held | None:
    """Return some people's last baskets apart from the rest; None where fewer than 50 people have two of them."""
    amount = event_weights(log, weights, log.end_us)
    rows = np.flatnonzero((log.item != NONE) & (amount > 0))
    if not rows.size:
        return None
    user, item = log.user[rows], log.item[rows]
    step, last = person_steps(user, log.at[rows])
    draw = stream(0, "next-basket/search")
    crowd = np.ones(log.n_users, np.bool_)
    if log.n_users > _CROWD:
        crowd = np.isin(np.arange(log.n_users), draw.choice(log.n_users, _CROWD, replace=False))
    able = np.unique(user[(last > 0) & crowd[user]])
    if able.size < _FEWEST:
        return None
    if able.size > _ASKED:
        able = np.sort(draw.choice(able, _ASKED, replace=False))
    hidden = np.isin(user, able) & (step == last)
    past = rows_of(log, rows[crowd[user] & ~hidden])
    person = np.searchsorted(able, user[hidden])
    cells = np.unique(person * np.int64(log.n_items) + item[hidden])
    person, item = cells // log.n_items, cells % log.n_items
    known = past.items.codes(log.items.ids[item], missing="none")
    there = known != NONE
    truth = sp.csr_matrix((np.ones(there.sum()), (person[there], known[there])), (able.size, past.n_items))
    asked = past.users.codes(log.users.ids[able]).astype(np.int64)
    return Held(past, asked, truth, np.bincount(person, minlength=able.size))


def search(
    held: Held,
    terms: Terms,
    *,
    weights: Weights | None,
    neighbors: int | None,
    neighbors_weight: float | None,
    linear_weight: float | None,
) -> Found:
    """Return the best setting by NDCG@10 of the held-out baskets; what is not None stays.

    ``terms(weights, asked, neighbors)`` returns the scaled histories, the neighbours' means for each number of
    neighbours, and the co-purchases, each of shape (n, n_items). Steps with 90 days and
    with none, then other days; for each of them all numbers of neighbours and both weights. Of equals the first tried.
    """
    counts = _NEIGHBORS if neighbors is None else (neighbors,)
    near = _WEIGHTS if neighbors_weight is None else (neighbors_weight,)
    linear = _WEIGHTS[:-1] if linear_weight is None else (linear_weight,)
    tried: dict[Weights, tuple[float, Found]] = {}

    def best(one: Weights) -> tuple[float, Found]:
        if one not in tried:
            value, (n, a, b) = _value(held, terms(one, held.asked, counts), near, linear)
            tried[one] = value, Found(one, counts[n], a, b)
        return tried[one]

    if weights is not None:
        return best(weights)[1]
    pairs = [(steps, days) for days in _DAYS[:2] for steps in _STEPS]
    top = max((best(_weighed(*pair)) for pair in pairs), key=lambda pair: pair[0])
    others = (best(_weighed(top[1].weights.step_half_life, days)) for days in _DAYS[2:])
    top = max((top, *others), key=lambda pair: pair[0])
    return top[1]


def _weighed(steps: float | None, days: str | None) -> Weights:
    return Weights(step_half_life=steps, half_life=days)


def _value(
    held: Held, terms: tuple[Any, Sequence[Any], Any], near: Sequence[float], linear: Sequence[float]
) -> tuple[float, tuple[int, float, float]]:
    """Return the best NDCG@10 over the grid, and which one of neighbours and weights gave it."""
    own, means, together = terms
    cells = [(n, a, b) for n in range(len(means)) for a in near for b in linear]
    gains = np.zeros(len(cells))
    discount = 1 / np.log2(np.arange(_K) + 2)
    ideal = np.cumsum(discount)[np.minimum(held.sizes, _K) - 1]
    for rows in row_blocks(held.asked.size, 64 * held.truth.shape[1]):
        parts = [_dense(one[rows]) for one in (own, together, *means)]
        picked = np.concatenate([_first(one) for one in parts], axis=1)
        picked.sort(axis=1)
        again = np.zeros(picked.shape, np.bool_)
        again[:, 1:] = picked[:, 1:] == picked[:, :-1]
        mine, goes, *close = (np.take_along_axis(one, picked, axis=1) for one in parts)
        mine[again] = -np.inf
        row, place = np.nonzero((np.take_along_axis(_dense(held.truth[rows]), picked, axis=1) > 0) & ~again)
        earlier = np.arange(picked.shape[1]) < place[:, None]  # of equal scores the lower code comes first
        worth = 1 / ideal[rows][row]
        for at, (n, a, b) in enumerate(cells):
            score = mine + a * close[n] + b * goes
            all_of, own_one = score[row], score[row, place][:, None]
            rank = ((all_of > own_one) | ((all_of == own_one) & earlier)).sum(axis=1)
            top = rank < _K
            gains[at] += float((discount[rank[top]] * worth[top]).sum())
    best = int(np.argmax(gains))
    return float(gains[best]), cells[best]


def _first(scores: np.ndarray) -> np.ndarray:
    kept = min(_KEPT, scores.shape[1])
    return np.argpartition(-scores, kept - 1, axis=1)[:, :kept]


def _dense(rows: Any) -> np.ndarray:
    return np.asarray(rows.toarray() if sp.issparse(rows) else rows, np.float64)
