"""Two parts of a matrix held out: one that chooses among settings, one that compares what was chosen with the default.

A matrix has no times, so what a Dataset does with its last two windows is done here with random cells of people.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_number
from omnireco._core.random import stream
from omnireco.data.dataset import Dataset, dataset_of
from omnireco.data.events import Split
from omnireco.data.interactions import Interactions
from omnireco.data.splits import leave_last
from omnireco.errors import EmptyError, ParameterError

__all__ = ["SHARE", "Sides", "check_size", "cuts_of", "is_wide", "n_items", "some_rows"]

SHARE = 0.1
LAST = "last"  # horizon: a step of each person, in place of a window of time
PEOPLE = 5_000  # asked at most, drawn: enough for differences of 1 %, and lists of everybody take longer than fits
WIDE = 8_192  # items whose square is so large that fits stand one after another


class Sides(NamedTuple):
    """What is known and what is asked for: two Datasets, or two matrices."""

    past: Any
    later: Any


def cuts_of(data: Any, horizon: Any, needs: tuple[str, ...], seed: int) -> tuple[Sides, Sides]:
    """Return what chooses and what compares: the last two windows of a Dataset, or two shares of a matrix's cells."""
    if isinstance(data, Interactions):
        return _shares(data, SHARE if horizon is None else horizon, seed)
    past = dataset_of(data, "tune", needs)
    if horizon is None or isinstance(horizon, float):
        raise ParameterError(
            "tune: horizon must be the length of a window of events, such as '14D', or 'last' where only each person's "
            f"order of steps is real. Got {horizon!r}: a share of cells is for a matrix, tune(estimator, "
            "data.matrix(weights), horizon=0.1)."
        )
    if isinstance(horizon, str) and horizon == LAST:
        return _lasts(past, needs)
    choose, compare = past.rolling(horizon=horizon, n=2)
    return Sides(*choose), Sides(*compare)


def _lasts(data: Dataset, needs: tuple[str, ...]) -> tuple[Sides, Sides]:
    """Return what chooses and what compares: everybody's last step but one, and their last one."""
    if not needs:
        raise ParameterError(
            "tune: horizon='last' holds out people's last steps with an item, and this estimator learns from messages. "
            "Give the length of a window: horizon='14D'."
        )
    events = data.part("events", "tune")
    return _sides(data, leave_last(events, skip=1)), _sides(data, leave_last(events))


def _sides(data: Dataset, split: Split) -> Sides:
    known = {name: getattr(data, name) for name in ("audience", "catalog", "attributes")}
    return Sides(Dataset(split.train, **known), Dataset(split.test))


def _shares(x: Interactions, share: Any, seed: int) -> tuple[Sides, Sides]:
    if isinstance(share, str) or not isinstance(share, (int, float, np.floating)):
        raise ParameterError(
            f"tune: a matrix has no times, so horizon is a share of its cells. Got {share!r}: write horizon=0.1, or "
            "give the Dataset."
        )
    share = check_number(share, "horizon", above=0, high=0.4)
    if x.targets is not None:
        raise ParameterError("tune: the matrix has targets, and cells are held out without. Give the Dataset instead.")
    drawn = stream(seed, "tune/cells").random(x.csr.nnz)
    last = drawn < share
    before = last | (drawn < 2 * share)
    return _cut(x, before, before & ~last, seed), _cut(x, last, last, seed)


def _cut(x: Interactions, hidden: np.ndarray, asked: np.ndarray, seed: int) -> Sides:
    """Return the matrix without hidden cells, and those that are asked for, of some people who have a history left."""
    past, later = _kept(x, ~hidden), _kept(x, asked & (x.csr.data > 0))
    both = np.flatnonzero((np.diff(past.csr.indptr) > 0) & (np.diff(later.csr.indptr) > 0))
    if not both.size:
        raise EmptyError("tune: nobody has both a history and held-out cells. Give more cells, or a larger horizon.")
    if both.size > PEOPLE:
        both = np.sort(stream(seed, "tune/asked").choice(both, PEOPLE, replace=False))
    return Sides(past, later.take(both))


def _kept(x: Interactions, keep: np.ndarray) -> Interactions:
    indptr = np.concatenate([[0], np.cumsum(keep)])[x.csr.indptr]
    csr = sp.csr_matrix((x.csr.data[keep], x.csr.indices[keep], indptr), x.shape)
    return Interactions(x.users, x.items, csr, {"all": csr}, x.at_us, None, x.weights)


def some_rows(cut: Sides, keep: Any, least: int) -> Sides | None:
    """Return both sides with the people whom ``keep(users)`` marks; None for too few."""
    sides: list[Any] = []
    for side in (cut.past, cut.later):
        rows = np.flatnonzero(keep(side.users))
        if rows.size < least:
            return None
        sides.append(side.take(rows))
    return Sides(*sides)


def is_wide(cut: Sides) -> bool:
    """Return whether a square of all items is too large to have one for each thread."""
    return n_items(cut) > WIDE


def n_items(cut: Sides) -> int:
    """Return how many items the past knows, of events or of a matrix; 0 where it has neither."""
    known = cut.past if isinstance(cut.past, Interactions) else cut.past.events
    return 0 if known is None else len(known.items)


def check_size(cut: Sides, estimator: Any) -> None:
    """Refuse a matrix for what needs events."""
    if isinstance(cut.past, Interactions) and "recommend" not in getattr(estimator, "verbs", ("recommend",)):
        raise ParameterError(f"tune: {type(estimator).__name__} learns from events. Give the Dataset, not a matrix.")
