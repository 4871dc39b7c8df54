"""More events: the parts of a matrix that ages and takes them in, and of logs joined into one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_duration, check_instant, shown
from omnireco._kernels.log.cells import Coded, sum_cells
from omnireco.data.shapes import Events
from omnireco.data.vocabulary import NONE, Vocabulary, unite
from omnireco.data.weights import Weights, check_names_of, event_weights
from omnireco.errors import EmptyError, ParameterError, SchemaError

__all__ = ["UpdatedCells", "check_updates", "joined_columns", "updated_cells"]

_NEEDS_EVENTS = {
    "cap": "a capped cell does not say how far above the cap it was",
    "binary": "a cell of 1 does not say what it was the sum of",
    "deduplicate": "a new event may repeat an old one",
    "targets": "a mean of targets does not say how much each event weighed in it",
    "verdicts": "a later verdict takes the place of earlier events",
    "step_half_life": "every new step ages the old ones of its person",
}


class Weighed(Protocol):
    """What is read of a matrix: its ids, its layers, its clock and what its events were worth."""

    @property
    def users(self) -> Vocabulary:
        """The people."""

    @property
    def items(self) -> Vocabulary:
        """The items."""

    @property
    def layers(self) -> Mapping[str, sp.csr_matrix]:
        """One matrix per channel."""

    @property
    def at_us(self) -> int | None:
        """The clock of the decay."""

    @property
    def weights(self) -> Weights | None:
        """What an event was worth."""


class UpdatedCells(NamedTuple):
    """The parts of a behaviour matrix with more events in it."""

    users: Vocabulary
    items: Vocabulary
    csr: sp.csr_matrix
    layers: dict[str, sp.csr_matrix]
    at_us: int
    weights: Weights


def updated_cells(x: Weighed, new: Events, at: Any, weights: Weights | None) -> UpdatedCells:
    """Return the parts of a matrix with more events in it; see :meth:`Interactions.updated`."""
    if not isinstance(new, Events):
        raise SchemaError(f"updated takes an EventLog. Got {type(new).__name__}: write EventLog.from_frame(frame).")
    weights, before_us = check_updates(x, weights)
    clock = max(before_us, new.end_us) if at is None else check_instant(at, "at")
    if clock < before_us or (len(new) and clock < int(new.at[-1])):
        raise ParameterError(
            "updated: at lies before the clock of the matrix, or before a new event, whose weight would exceed 1. "
            "Take a later at, or leave it out."
        )
    _check_weight_names(weights, x, new)
    factor = 1.0
    if weights.half_life is not None:
        factor = float(np.exp2(-(clock - before_us) / check_duration(weights.half_life, "half_life")))
    users, (old_user, new_user) = unite([x.users, new.users], "users")
    items, (old_item, new_item) = unite([x.items, new.items], "items")
    before = Vocabulary(np.array(list(x.layers), object))
    channels, (old_channel, new_channel) = unite([before, new.channels], "channels")
    parts = [
        Coded(
            np.repeat(old_user, np.diff(layer.indptr)),
            old_item[layer.indices],
            np.full(layer.nnz, channel, np.int32),
            layer.data * factor,
        )
        for channel, layer in zip(old_channel, x.layers.values(), strict=True)
    ]
    item = np.append(new_item, np.int32(NONE))[new.item]
    parts.append(Coded(new_user[new.user], item, new_channel[new.channel], event_weights(new, weights, clock)))
    csr, layers = sum_cells(parts, (len(users), len(items)), len(channels))
    named = {str(name): layer for name, layer in zip(channels.ids, layers, strict=True)}
    return UpdatedCells(users, items, csr, named, clock, weights)


def check_updates(x: Weighed, weights: Weights | None) -> tuple[Weights, int]:
    """Return the weights and the clock of a matrix that can take more events, or say why it cannot."""
    weights = x.weights if weights is None else weights
    if not isinstance(weights, Weights) or x.at_us is None:
        raise ParameterError(
            "updated: this matrix does not know what its events were worth, because it was not built from a log, or "
            "was damped since. Update the matrix of log.matrix(weights), and damp what comes out."
        )
    for name, why in _NEEDS_EVENTS.items():
        if getattr(weights, name):
            raise ParameterError(
                f"updated: a matrix of Weights({name}=...) cannot be updated exactly, because {why}. Build it again "
                "from all events: EventLog.concat([old, new]).matrix(weights)."
            )
    return weights, x.at_us


def _check_weight_names(weights: Weights, x: Weighed, new: Events) -> None:
    """Refuse unknown names; a new log may lack a type that the matrix was built with."""
    events = [*new.events.ids, *(x.weights.events or () if x.weights is not None else ())]
    channels = [*new.channels.ids, *x.layers, *(x.weights.channels or () if x.weights is not None else ())]
    check_names_of(weights, events, channels)


def joined_columns(logs: Any) -> dict[str, Any]:
    """Return the columns of one log of all events of several, log after log; see :meth:`EventLog.concat`."""
    if not isinstance(logs, (Events, Iterable)):
        raise SchemaError(f"EventLog.concat takes EventLogs. Got {shown(logs)}. Write EventLog.concat([log, other]).")
    parts: list[Events] = [logs] if isinstance(logs, Events) else list(logs)
    for part in parts:
        if not isinstance(part, Events):
            raise SchemaError(f"EventLog.concat takes EventLogs. Got {type(part).__name__}.")
    if not parts:
        raise EmptyError("EventLog.concat: there is no log to join. Pass at least one.")
    parts = [part for part in parts if len(part)] or parts[:1]
    columns: dict[str, Any] = {"at": np.concatenate([part.at for part in parts])}
    for plural, singular in (("users", "user"), ("items", "item"), ("channels", "channel"), ("events", "event")):
        known, tables = unite([getattr(part, plural) for part in parts], plural)
        columns[plural] = known
        columns[singular] = _joined(tables, [getattr(part, singular) for part in parts])
    for what, has in (
        ("values", [part.value is not None for part in parts]),
        ("the same labels", [set(part.labels) == set(parts[0].labels) for part in parts]),
    ):
        if len(set(has)) > 1:
            raise SchemaError(
                f"EventLog.concat: {sum(has)} of {len(parts)} logs have {what}. Read all of them with the same columns."
            )
    values = [part.value for part in parts if part.value is not None]
    labels = {}
    for name in parts[0].labels:
        known, tables = unite([part.labels[name][0] for part in parts], name)
        labels[name] = known, _joined(tables, [part.labels[name][1] for part in parts])
    return columns | {
        "value": np.concatenate(values) if values else None,
        "labels": labels,
        "start_us": min(part.start_us for part in parts),
        "end_us": max(part.end_us for part in parts),
        "dated": None if all(part.dated is None for part in parts) else ~np.concatenate([p.timed for p in parts]),
        "dates_found": all(part.dates_found for part in parts),
    }


def _joined(tables: list[np.ndarray], codes: list[np.ndarray]) -> np.ndarray:
    """Return the codes of all parts in the joined vocabulary; -1 stays -1."""
    return np.concatenate(
        [np.append(table, np.int32(NONE))[part] for table, part in zip(tables, codes, strict=True)]
    ).astype(np.int32)
