"""SLIST and TALE from their formulas, as peers of NextItem on sequences: numpy and scipy alone.

SLIST: Choi et al., "Session-aware linear item-item models for session-based recommendation", WWW 2021, equations of
SLIS, SLIT and their sum. TALE: Park et al., "Temporal linear item-item model for sequential recommendation", WSDM 2025,
in the form of its published code. Sequences here have an order and no times: an interval is a number of steps, and
sessions have no age.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp

import omnireco as om
from omnireco.models.matrix.linear import ItemModel

__all__ = ["PEERS", "Slist", "Tale", "by_popularity", "choices"]

Sides = tuple[sp.csr_matrix, sp.csr_matrix]


@dataclass(frozen=True)
class Slist:
    """alpha of whole sessions against partial ones, decay of the partial ones, decay of the session asked, ridge."""

    alpha: float = 0.2
    delta: float = 1.0
    asked: float = 1.0
    ridge: float = 10.0

    def sides(self, log: om.EventLog) -> Sides:
        """Return inputs and targets; every input row has a sum of 1."""
        whole = sp.csr_matrix((np.ones(len(log)), (log.user, log.item)), (log.n_users, log.n_items))
        whole.data[:] = 1.0
        user, item, place, last = _placed(log)
        rows, first = _row_of(user, place, last)
        n = int((last[place == 0]).sum())
        event, ahead = _repeated(last - place)  # as an input of the rows after it: place itself to last - 1
        past = sp.csr_matrix((np.exp(-ahead / self.delta), (rows[event] + ahead, item[event])), (n, log.n_items))
        event, behind = _repeated(place)  # as a target of the rows before it
        row = first[event] + place[event] - 1 - behind
        later = sp.csr_matrix((np.exp(-behind / self.delta), (row, item[event])), (n, log.n_items))
        halves = ((self.alpha, _unit(whole), whole), (1 - self.alpha, _unit(past), later))
        return tuple(  # type: ignore[return-value]
            sp.vstack([math.sqrt(share) * pair[side] for share, *pair in halves], format="csr") for side in (0, 1)
        )


@dataclass(frozen=True)
class Tale:
    """tau of intervals at the fit, tau of steps of the history asked, ridge, and the floor c of the published code."""

    tau: float = 0.5
    asked: float = 2.0
    ridge: float = 200.0
    floor: float = 0.4

    def sides(self, log: om.EventLog) -> Sides:
        """Return inputs, all earlier items weighed by their interval, and the single next item."""
        user, item, place, last = _placed(log)
        rows, first = _row_of(user, place, last)
        n = int((last[place == 0]).sum())
        event, ahead = _repeated(last - place)
        weight = np.exp(-(ahead + 1) / self.tau)
        weight = weight + (weight < self.floor) * self.floor + 1
        past = sp.csr_matrix((weight, (rows[event] + ahead, item[event])), (n, log.n_items))
        aim = place > 0
        following = sp.csr_matrix((np.ones(aim.sum()), (first[aim] + place[aim] - 1, item[aim])), (n, log.n_items))
        return past, following


PEERS: dict[str, tuple[Any, dict[str, tuple[float, ...]]]] = {
    "SLIST": (Slist(), {"alpha": (0.2, 0.5, 0.8), "delta": (1, 2), "asked": (1, 2, 4), "ridge": (3, 10)}),
    "TALE": (Tale(), {"tau": (0.5, 4), "asked": (1, 2, 4), "ridge": (50, 100, 200)}),
}


def choices(name: str) -> list[Any]:
    """Return every setting of a peer's grid, those that differ in the history asked alone beside one another."""
    start, grid = PEERS[name]
    names = sorted(grid, key=lambda one: one == "asked")
    return [replace(start, **dict(zip(names, one, strict=True))) for one in product(*(grid[key] for key in names))]


def fitted(peer: Any, log: om.EventLog) -> ItemModel:
    """Return ``(Z'Z + ridge I)^-1 Z'Y`` of a peer as a model that asks with its own decay."""
    past, later = peer.sides(log)
    gram = (past.T @ past).astype(np.float32).toarray(order="F")
    gram[np.diag_indices_from(gram)] += np.float32(peer.ridge)
    lower, failed = scipy.linalg.lapack.spotrf(gram, lower=1, overwrite_a=1)
    inverse, wrong = scipy.linalg.lapack.spotri(lower, lower=1, overwrite_c=1)
    if failed or wrong:
        raise SystemExit(f"{peer}: the square has no inverse in float32.")
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    weights = np.ascontiguousarray(((past.T @ later).T.tocsr().astype(np.float32) @ inverse).T)
    chosen = np.bincount(log.item, minlength=log.n_items).astype(np.float32)
    return ItemModel(log.items, chosen, weights, asked_with(peer))


def asked_with(peer: Any) -> om.Weights:
    """Return the weights of a history: exp(-steps / asked)."""
    return om.Weights(step_half_life=peer.asked * math.log(2))


def by_popularity(log: om.EventLog, target: np.ndarray, share: float = 0.2) -> np.ndarray:
    """Return which targets are among the fifth of the items with the most events in the log: the head."""
    chosen = np.bincount(log.item, minlength=log.n_items)
    order = np.argsort(-chosen, kind="stable")
    head = np.zeros(log.n_items, np.bool_)
    head[order[: round(share * log.n_items)]] = True
    code = log.items.codes(target, missing="none")
    return np.where(code >= 0, head[np.maximum(code, 0)], False)


def _placed(log: om.EventLog) -> tuple[np.ndarray, ...]:
    """Return user, item, place in the sequence and the last place of each event, in that order."""
    order = np.lexsort([log.at, log.user])
    user, item = log.user[order], log.item[order]
    start = np.r_[True, user[1:] != user[:-1]]
    begin = np.flatnonzero(start)
    length = np.diff(np.r_[begin, user.size])
    place = np.arange(user.size) - np.repeat(begin, length)
    return user, item, place, np.repeat(length - 1, length)


def _row_of(user: np.ndarray, place: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the example that ends with each event, and the first example of its person."""
    first = np.cumsum(np.where(place == 0, last, 0)) - last  # examples of a person: as many as last
    return first + place, first


def _repeated(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each number of an event so often, and a count from 0 beside it."""
    event = np.repeat(np.arange(times.size), times)
    return event, np.arange(event.size) - np.repeat(np.cumsum(times) - times, times)


def _unit(rows: sp.csr_matrix) -> sp.csr_matrix:
    size = np.asarray(rows.sum(axis=1)).ravel()
    return sp.csr_matrix(sp.diags(1 / np.where(size > 0, size, 1)) @ rows)
