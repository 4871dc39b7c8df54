"""Histories of the users of requests: what each had done before the instant of the request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco.data.asking.asof import histories_at
from omnireco.data.asking.requests import Requests
from omnireco.data.events import EventLog
from omnireco.data.interactions import Interactions
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.data.weights import Weights
from omnireco.errors import SchemaError

__all__ = ["data_of", "histories_of", "people_asking", "rows_by_code"]


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
    Requests at the end of the Dataset share one matrix; other instants are read event by event. A row
    depends on its own request only.
    """
    log, person = people_asking(requests, where, read)
    data = requests.data
    decays = weights.half_life is not None
    now = requests.at == data.end_us if decays else requests.at >= data.end_us
    if now.all():
        found = rows_by_code(_shared(log, weights, data, items, layers=layers), person, requests.ids)
    elif not now.any():
        found = _named(
            histories_at(log, weights, person, requests.at, layers=layers).with_items(items), requests.ids, weights
        )
    else:
        late, early = np.flatnonzero(now), np.flatnonzero(~now)
        some = Vocabulary(np.arange(late.size))
        shared = rows_by_code(_shared(log, weights, data, items, layers=layers), person[late], some)
        own = histories_at(log, weights, person[early], requests.at[early], layers=layers).with_items(items)
        found = _woven(shared, own, np.argsort(np.r_[late, early], kind="stable"), requests.ids, weights)
    return found if requests.given is None else _with_baskets(found, requests.given.matrix(items, "given="))


def _shared(log: EventLog, weights: Weights, data: Any, items: Vocabulary, *, layers: bool) -> Interactions:
    """Return the matrix of all events at the end of the data."""
    x = log.matrix(weights, at=data.end)
    if not layers:
        x = Interactions(x.users, x.items, x.csr, {"all": x.csr}, x.at_us, x.targets, x.weights)
    return x.with_items(items)


def people_asking(
    requests: Requests, where: str, read: Callable[[EventLog], EventLog] = lambda log: log
) -> tuple[EventLog, np.ndarray]:
    """Return the events of the Dataset of requests, and each request's person as a code, -1 for unknown users."""
    log = read(data_of(requests, where).part("events", where))
    users = log.users.codes(requests.users.ids, missing="none")
    return log, np.append(users, np.int32(NONE))[requests.user]


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


def _woven(
    one: Interactions, other: Interactions, order: np.ndarray, ids: Vocabulary, weights: Weights
) -> Interactions:
    """Return the rows of two matrices over the same items, in another order."""

    def both(first: Any, second: Any) -> sp.csr_matrix:
        empty = [sp.csr_matrix(x.shape, dtype=np.float32) for x in (one, other)]
        parts = [part if part is not None else none for part, none in zip((first, second), empty, strict=True)]
        return sp.vstack(parts, format="csr")[order]

    names = dict.fromkeys([*one.layers, *other.layers])
    layers = {name: both(one.layers.get(name), other.layers.get(name)) for name in names}
    return Interactions(ids, one.items, both(one.csr, other.csr), layers, one.at_us, None, weights)


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
