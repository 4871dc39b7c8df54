"""Histories of the users of requests: what each had done before the instant of the request."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_duration, from_microseconds
from omnireco._core.parts import some_of
from omnireco._kernels.log.cells import Coded
from omnireco.data.asking.asof import histories_at
from omnireco.data.asking.requests import Requests
from omnireco.data.events import EventLog
from omnireco.data.interactions import Interactions
from omnireco.data.vocabulary import NONE, Vocabulary, codes_among
from omnireco.data.weights import Weights, event_targets, event_weights, weights_at
from omnireco.errors import SchemaError

__all__ = ["data_of", "events_of_few", "faded_items", "histories_of", "people_asking", "rows_by_code"]

_HALVINGS = 100  # of any weight above 2e-15
_FEW_PEOPLE, _LOOKS = 64, 3


def histories_of(
    requests: Requests,
    weights: Weights,
    items: Vocabulary,
    where: str,
    read: Callable[[EventLog], EventLog] = lambda log: log,
    *,
    layers: bool = True,
) -> Interactions:
    """Return one history per request, over the items of a model.

    Parameters
    ----------
    requests : Requests
        Of a Dataset: ``data.requests()``, or ``requests.on(data)``.
    weights : Weights
        Event weights of the model.
    items : Vocabulary
        Of the model; items that it does not know are left out.
    where : str
        Begins an error.
    read : callable
        Turns the events into those that histories are made of.
    layers : bool
        Whether to keep one layer per channel.

    Returns
    -------
    Interactions
        Row r belongs to request r; only what happened strictly before its instant counts, decayed to it. Items that
        lie in the basket (``given``) are added with a weight of 1.

    Notes
    -----
    Everybody who asks at the end of the Dataset shares one matrix; other instants are read event by event. A row
    depends on its own request only, so only the events of those who ask are weighed: a few people cost one look at
    whose each event is, and what their own events cost.
    """
    log, person = events_of_few(*people_asking(requests, where))
    log = read(log)
    data = requests.data
    decays = weights.half_life is not None
    now = requests.at == data.end_us if decays else requests.at >= data.end_us
    if now.all():
        found = _rows_at(log, weights, data.end, items, person, requests.ids, layers=layers)
    elif weights.targets is not None and (requests.at >= data.end_us).all():  # every verdict is known by then
        found = _at_later_instants(requests, log, person, weights, items, layers=layers)
    elif not now.any():
        found = _named(
            histories_at(log, weights, person, requests.at, layers=layers).with_items(items), requests.ids, weights
        )
    else:
        late, early = np.flatnonzero(now), np.flatnonzero(~now)
        some = Vocabulary(np.arange(late.size))
        shared = _rows_at(log, weights, data.end, items, person[late], some, layers=layers)
        own = histories_at(log, weights, person[early], requests.at[early], layers=layers).with_items(items)
        found = _woven([shared, own], np.r_[late, early], requests.ids, weights)
    return found if requests.given is None else _with_baskets(found, requests.given.matrix(items, "given="))


def faded_items(requests: Requests, weights: Weights, items: Vocabulary, where: str) -> sp.csr_matrix | None:
    """Return every item that each person had had, as ones (n, n_items), where weights may have faded to nothing.

    A weight halves 149 times until float32 knows it no longer: the history forgets the item, and it must not be
    recommended as if it were new. None where no weight can have faded so far.
    """
    if weights.half_life is None and weights.step_half_life is None:
        return None
    whole, person = people_asking(requests, where)
    late = int(requests.at.max()) if len(requests) else 0
    if weights.step_half_life is None and not (len(whole) and _may_fade(whole, weights, late)):
        return None  # not even of the earliest event
    log, person = events_of_few(whole, person)
    if not len(log) or not len(requests) or not _may_fade(log, weights, int(requests.at.max())):
        return None
    plain = replace(weights, half_life=None, step_half_life=None, targets=None, verdicts=None, binary=False, cap=None)
    found = histories_at(log, plain, person, requests.at, layers=False).with_items(items).csr
    return sp.csr_matrix((np.ones(found.nnz, np.float32), found.indices, found.indptr), found.shape)


def _may_fade(log: EventLog, weights: Weights, at_us: int) -> bool:
    half_life, steps = weights.half_life, weights.step_half_life
    halved = 0.0 if half_life is None else (at_us - int(log.at[0])) / check_duration(half_life, "half_life")
    halved += 0.0 if steps is None else int(np.bincount(log.user).max()) / steps
    return halved > _HALVINGS


def _at_later_instants(
    requests: Requests, log: EventLog, person: np.ndarray, weights: Weights, items: Vocabulary, *, layers: bool
) -> Interactions:
    """Return histories at instants after all events, by one matrix per instant of those who ask at it."""
    rows = [np.flatnonzero(requests.at == at) for at in np.unique(requests.at)]
    parts = []
    for some in rows:
        part, code = events_of_few(log, person[some])
        at = from_microseconds(int(requests.at[some[0]]))
        parts.append(_rows_at(part, weights, at, items, code, requests.ids.take(some), layers=layers))
    return _woven(parts, np.concatenate(rows), requests.ids, weights)


def _rows_at(
    log: EventLog,
    weights: Weights,
    at: dt.datetime,
    items: Vocabulary,
    person: np.ndarray,
    ids: Vocabulary,
    *,
    layers: bool,
) -> Interactions:
    """Return rows of the matrix of all events, weighed at an instant after them, over the items of a model.

    What ``log.matrix(weights, at=at).with_items(items)`` holds, in one step: events of unknown items are left out
    before they are summed.
    """
    weights, clock = weights_at(log, weights, at)
    amount, target = event_weights(log, weights, clock), event_targets(log, weights)
    all_in_order = person.size == log.n_users and bool((person == np.arange(person.size)).all())
    x = Interactions.from_cells(
        ids if all_in_order else log.users,
        items,
        Coded(log.user, codes_among(log.items, log.item, items), log.channel if layers else None, amount),
        channels=log.channels if layers else None,
        target=target,
        cap=weights.cap,
        binary=weights.binary,
        at_us=clock,
        weights=weights,
    )
    return x if all_in_order else rows_by_code(x, person, ids)


def events_of_few(log: EventLog, person: np.ndarray) -> tuple[EventLog, np.ndarray]:
    """Return the events of some people, and the new code of each request's person, -1 for strangers.

    Items, channels and event types keep their codes; labels go. Where half of the people ask, the log stays whole.
    """
    few = np.unique(person)
    few = few[few != NONE]
    if 2 * few.size >= log.n_users:
        return log, person
    rows = _rows_of(log, few)
    columns: dict[str, Any] = {name: getattr(log, name)[rows] for name in ("item", "channel", "event", "at")}
    value = None if log.value is None else log.value[rows]
    user = np.searchsorted(few, log.user[rows]).astype(np.int32)
    code = np.where(person == NONE, NONE, np.searchsorted(few, person)).astype(np.int32)
    return some_of(log, users=log.users.take(few), user=user, value=value, labels={}, dated=None, **columns), code


def _rows_of(log: EventLog, few: np.ndarray) -> np.ndarray:
    """Return the rows of some people, ascending.

    One look at whose each event is costs less than an index of the log, and a service asks again and again: from the
    fourth time on there is an index.
    """
    if few.size > _FEW_PEOPLE:
        wanted = np.zeros(log.n_users + 1, np.bool_)  # the last for events of nobody
        wanted[few] = True
        return np.flatnonzero(wanted[log.user])
    of, looks, index = log.users._cache.get("rows", (None, 0, None))
    if of is not log.user:
        looks, index = 0, None
    if index is None and looks >= _LOOKS:
        column = np.where(log.user == NONE, log.n_users, log.user)
        index = sp.csr_matrix(
            (np.ones(column.size, np.bool_), (column, np.arange(column.size))), (log.n_users + 1, column.size)
        )
    log.users._cache["rows"] = (log.user, looks + 1, index)
    if index is None:
        return np.flatnonzero(np.isin(log.user, few))
    found = [index.indices[index.indptr[one] : index.indptr[one + 1]] for one in few]
    return np.sort(np.concatenate([*found, np.empty(0, np.int32)]))


def people_asking(requests: Requests, where: str) -> tuple[EventLog, np.ndarray]:
    """Return the events of the Dataset of requests, and the code of each request's person in it, -1 for strangers."""
    log = data_of(requests, where).part("events", where)
    return log, codes_among(requests.users, requests.user, log.users)


def data_of(requests: Requests, where: str) -> Any:
    """Return the Dataset of requests."""
    if not isinstance(requests, Requests):
        raise SchemaError(
            f"{where} takes Requests. Got {type(requests).__name__}: write data.requests(), where data is an "
            "om.Dataset, or om.Requests.from_frame(frame).on(data)."
        )
    if requests.data is None:
        raise SchemaError(
            f"{where}: these requests have no Dataset to read histories from. Use data.requests(...), or "
            "requests.on(data) where data is an om.Dataset."
        )
    return requests.data


def rows_by_code(x: Interactions, person: np.ndarray, ids: Vocabulary) -> Interactions:
    """Return rows of a matrix by code, under other names; -1 is an empty row."""
    if person.size == x.n_users and (person == np.arange(x.n_users)).all():
        return x if ids is x.users else replace(x, users=ids)
    rows = np.where(person == NONE, x.n_users, person)

    def taken(matrix: sp.csr_matrix) -> sp.csr_matrix:
        wide = sp.csr_matrix(
            (matrix.data, matrix.indices, np.append(matrix.indptr, matrix.indptr[-1])),
            (matrix.shape[0] + 1, matrix.shape[1]),
        )
        return wide[rows]

    return _made(x, ids, taken)


def _named(x: Interactions, ids: Vocabulary, weights: Weights) -> Interactions:
    return replace(x, users=ids, weights=weights)


def _woven(parts: Sequence[Interactions], rows: np.ndarray, ids: Vocabulary, weights: Weights) -> Interactions:
    """Return matrices over the same items as one: their rows, one part after the other, belong to the given places."""
    order = np.argsort(rows, kind="stable")

    def joined(matrices: Sequence[Any]) -> sp.csr_matrix:
        empty = [sp.csr_matrix(part.shape, dtype=np.float32) for part in parts]
        held = [none if matrix is None else matrix for matrix, none in zip(matrices, empty, strict=True)]
        return sp.vstack(held, format="csr")[order]

    names = dict.fromkeys(name for part in parts for name in part.layers)
    layers = {name: joined([part.layers.get(name) for part in parts]) for name in names}
    targets = None if weights.targets is None else joined([part.targets for part in parts])
    return Interactions(
        ids, parts[0].items, joined([part.csr for part in parts]), layers, parts[0].at_us, targets, weights
    )


def _made(x: Interactions, ids: Vocabulary, taken: Any) -> Interactions:
    csr = taken(x.csr)
    layers = {name: csr if layer is x.csr else taken(layer) for name, layer in x.layers.items()}
    return Interactions(ids, x.items, csr, layers, x.at_us, None if x.targets is None else taken(x.targets), x.weights)


def _with_baskets(x: Interactions, baskets: sp.csr_matrix) -> Interactions:
    """Return histories with baskets added, a weight of 1 per item; an item in the basket is wanted."""
    if not baskets.nnz:
        return x
    csr = sp.csr_matrix(x.csr + baskets)
    csr.sort_indices()
    layers = dict(x.layers)
    name = "basket" if len(layers) > 1 or "basket" in layers else next(iter(layers))
    held = layers.get(name)
    layers[name] = (
        csr if len(layers) == 1 and name in layers else sp.csr_matrix(baskets if held is None else held + baskets)
    )
    targets = x.targets
    if targets is not None:
        pattern = sp.csr_matrix((np.ones_like(csr.data), csr.indices, csr.indptr), csr.shape)
        aim = sp.csr_matrix(
            (targets.data + 2.0, targets.indices, targets.indptr), targets.shape
        )  # no stored zero is lost
        wanted = (pattern - pattern.multiply(aim > 0)) * 3.0  # cells that only the basket has: target 1
        targets = sp.csr_matrix(aim + wanted)
        targets.sort_indices()
        targets.data = targets.data - 2.0
    return Interactions(x.users, x.items, csr, layers, x.at_us, targets, x.weights)
