"""What people did, were sent, and are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from omnireco._core.form import Form
from omnireco._core.parts import (
    Array,
    Maybe,
    Offsets,
    Part,
    Record,
    Scope,
    chances,
    codes,
    demand,
    flags,
    instants,
    numbers,
)
from omnireco._core.small import INSTANT, Each, Flag, Settings, Table, Text, Value, Whole, settings
from omnireco.data.audience import Audience
from omnireco.data.catalog import Catalog
from omnireco.data.clock import Slots, is_zone
from omnireco.data.events import EventLog
from omnireco.data.frames.quality import Finding, QualityReport
from omnireco.data.interactions import Interactions
from omnireco.data.messages import MessageLog
from omnireco.data.parts import Column, Ids, Labels, Matrix
from omnireco.data.requests import Requests
from omnireco.data.resolving import ResolveReport
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.data.weights import Weights
from omnireco.identity.identities import Identities
from omnireco.identity.linking import LinkRules
from omnireco.identity.zones import ZonePosterior

__all__ = ["FORMS"]


_PRICES = numbers("items", missing=True)


class _Zones(Part):
    """The zone of each person. A file's code below -1 is read as -1: in doubt no zone, so no message in quiet hours."""

    known = codes("zones", "users", none=True)

    def write(self, scope: Scope, name: str, value: np.ndarray) -> None:
        self.known.write(scope, name, value)

    def read(self, scope: Scope, name: str) -> np.ndarray:
        found = scope.take(name)
        demand(found.dtype == np.int32, f"{name} is not of type int32")
        np.maximum(found, NONE, out=found)
        self.known.check(found, scope.start + name, scope.sizes)
        return found


def _log_in_window(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    start, end, at = parts["start_us"], parts["end_us"], parts["at"]
    demand(
        start <= end and (not at.size or (start <= at[0] and at[-1] < end)), "events lie outside the window of the log"
    )


def _sent_before_the_end(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    demand(not parts["sent_at"].size or parts["sent_at"][-1] < parts["end_us"], "messages lie after the end of the log")


def _known_zones(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    demand(all(is_zone(name) for name in parts["zones"].ids), "zones holds what is no time zone")


def _distributions(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    _known_zones(parts, sizes)
    indptr, chance = parts["indptr"], parts["probability"]
    sums = np.add.reduceat(np.append(chance, 0.0), indptr[:-1]) if indptr.size > 1 else np.ones(0)
    demand((np.diff(indptr) > 0).all() and np.allclose(sums, 1.0, atol=2e-3), "probabilities do not sum to 1")


def _some_slots(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    demand(sizes["at"], "there is no slot")


def _ordered_links(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    demand((parts["a"] <= parts["b"]).all(), "a link has its ends in the wrong order")


def _take_interactions(x: Interactions) -> dict[str, Any]:
    """Return the parts; a layer that is the whole is written once."""
    layers = {name: None if layer is x.csr else layer for name, layer in x.layers.items()}
    return {name: getattr(x, name) for name in ("users", "items", "csr", "at_us", "targets", "weights")} | {
        "layers": layers
    }


def _build_interactions(csr: Any, layers: Mapping[str, Any], **rest: Any) -> Interactions:
    return Interactions(
        csr=csr, layers={name: csr if layer is None else layer for name, layer in layers.items()}, **rest
    )


_FINDING = {
    "problem": Text(),
    "column": Text(),
    "rows": Array(np.int64, ("rows",), 0, order="distinct"),
    "what": Text(),
    "fix": Text(),
    "people": Maybe(Whole()),
}

FORMS = (
    Form(
        EventLog,
        "event log",
        {
            **{name: Ids() for name in ("users", "items")},
            **{name: Ids(text=True) for name in ("channels", "events")},
            "user": codes("users", "n"),
            "item": codes("items", "n", none=True),
            "channel": codes("channels", "n"),
            "event": codes("events", "n"),
            "at": instants("n", order="rising"),
            "value": Maybe(numbers("n", missing=True)),
            "labels": Labels("n"),
            "start_us": INSTANT,
            "end_us": INSTANT,
            "quality": Maybe(Value((QualityReport,))),
            "resolution": Maybe(Value((ResolveReport,))),
            "dated": Maybe(flags("n")),
        },
        check=_log_in_window,
    ),
    Form(
        MessageLog,
        "message log",
        {
            "users": Ids(),
            "channels": Ids(text=True),
            **{name: Ids() for name in ("items", "creatives")},
            "user": codes("users", "n"),
            "channel": codes("channels", "n"),
            "item": codes("items", "n", none=True),
            "creative": codes("creatives", "n", none=True),
            "sent_at": instants("n", order="rising"),
            "responded_at": instants("n", never=True),
            "propensity": Maybe(chances("n", missing=True)),
            "end_us": INSTANT,
            "machine": Maybe(chances("n", missing=True)),
            "clicked_at": Maybe(instants("n", never=True)),
            "unsubscribed_at": Maybe(instants("n", never=True)),
            "quality": Maybe(Value((QualityReport,))),
        },
        check=_sent_before_the_end,
    ),
    Form(
        Audience,
        "audience",
        {
            "users": Ids(),
            **{name: Ids(text=True) for name in ("zones", "channels")},
            "zone": _Zones(),
            "consent": flags("users", "channels"),
            "reachable": flags("users", "channels"),
            "attributes": Labels("users"),
            "consent_at": Maybe(instants("users", "channels", never=True)),
            "quality": Maybe(Value((QualityReport,))),
        },
        check=_known_zones,
    ),
    Form(
        ZonePosterior,
        "zone posterior",
        {
            "users": Ids(),
            "zones": Ids(text=True),
            "indptr": Offsets("distributions", "cells"),
            "row": codes("distributions", "users", dtype=np.int64),
            "zone": codes("zones", "cells"),
            "probability": chances("cells"),
        },
        check=_distributions,
    ),
    Form(
        Catalog,
        "catalog",
        {
            "items": Ids(),
            "category": Maybe(Column("items")),
            "name": Maybe(Column("items")),
            "price": Maybe(_PRICES),
            "margin": Maybe(_PRICES),
        },
    ),
    Form(
        Identities,
        "identities",
        {
            "kinds": Ids(text=True),
            "ids": Ids(),
            "people": Ids(),
            "node_kind": codes("kinds", "nodes"),
            "node_id": codes("ids", "nodes"),
            "person": codes("people", "nodes"),
            "a": codes("nodes", "links"),
            "b": codes("nodes", "links"),
            "strength": chances("links"),
            "linked_at": instants("links", never=True),
            "status": Array(np.int8, ("links",), 0, 16),
            "rules": Settings(LinkRules),
            "trusted": Each(Text()),
            "at_us": Maybe(INSTANT),
        },
        check=_ordered_links,
    ),
    Form(
        Interactions,
        "interactions",
        {
            **{name: Ids() for name in ("users", "items")},
            "csr": Matrix("users", "items"),
            "layers": Table(Maybe(Matrix("users", "items"))),
            "at_us": Maybe(INSTANT),
            "targets": Maybe(Matrix("users", "items")),
            "weights": Maybe(Settings(Weights)),
        },
        take=_take_interactions,
        build=_build_interactions,
    ),
    Form(
        Requests,
        "requests",
        {"ids": Ids(), "users": Ids(), "user": codes("users", "ids"), "at": instants("ids"), "labels": Labels("ids")},
    ),
    Form(
        QualityReport,
        "quality report",
        {
            "where": Text(),
            "n_rows": Whole(),
            "findings": Each(Record(Finding, _FINDING)),
            "dropped": Array(np.int64, ("dropped",), 0, order="distinct"),
            "fingerprint": Maybe(Whole(-(1 << 63))),
        },
    ),
    Form(
        Slots,
        "slots",
        {"at": instants("at", order="rising"), "every_us": Whole(1), "local_days": Flag()},
        check=_some_slots,
    ),
    Form(Vocabulary, "vocabulary", {"ids": Ids()}, take=lambda known: {"ids": known}, build=lambda ids: ids),
    *settings(LinkRules, ResolveReport, Weights),
)
