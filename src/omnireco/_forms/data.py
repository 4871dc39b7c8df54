"""File forms of what people did, were sent, and are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from omnireco._checks import check_duration
from omnireco._forms.parts import Reader, Writer
from omnireco.data.audience import Audience
from omnireco.data.catalog import Catalog
from omnireco.data.events import EventLog
from omnireco.data.identity import Identities
from omnireco.data.interactions import Interactions
from omnireco.data.linking import LinkRules
from omnireco.data.messages import MessageLog
from omnireco.data.weights import Weights
from omnireco.data.zones import ZonePosterior

__all__ = [
    "pack_audience",
    "pack_catalog",
    "pack_events",
    "pack_identities",
    "pack_interactions",
    "pack_messages",
    "pack_zones",
    "plain_weights",
    "unpack_audience",
    "unpack_catalog",
    "unpack_events",
    "unpack_identities",
    "unpack_interactions",
    "unpack_messages",
    "unpack_zones",
]

_OF_IDENTITIES = ("node_kind", "node_id", "person", "a", "b", "strength", "linked_at", "status")


_OF_SOME_MESSAGES = ("propensity", "machine", "clicked_at", "unsubscribed_at")


def pack_events(log: EventLog, out: Writer) -> None:
    for name in ("users", "items", "channels", "events"):
        out.vocabulary(name, getattr(log, name))
    for name in ("user", "item", "channel", "event", "at", "value", "dated"):
        out.array(name, getattr(log, name))
    out.labels("labels", log.labels)
    out.fields["window"] = [log.start_us, log.end_us]


def unpack_events(parts: Reader) -> EventLog:
    known = parts.parts(("users", "items", "channels", "events"), ("user", "item", "channel", "event", "at"))
    start, end = parts.fields["window"]
    return EventLog(
        **known,
        value=parts.optional("value"),
        labels=parts.labels("labels"),
        start_us=int(start),
        end_us=int(end),
        dated=parts.optional("dated"),
    )


def pack_messages(log: MessageLog, out: Writer) -> None:
    for name in ("users", "channels", "items", "creatives"):
        out.vocabulary(name, getattr(log, name))
    for name in ("user", "channel", "item", "creative", "sent_at", "responded_at", *_OF_SOME_MESSAGES):
        out.array(name, getattr(log, name))
    out.fields["end_us"] = log.end_us


def unpack_messages(parts: Reader) -> MessageLog:
    known = parts.parts(
        ("users", "channels", "items", "creatives"),
        ("user", "channel", "item", "creative", "sent_at", "responded_at"),
    )
    optional: dict[str, Any] = {name: parts.optional(name) for name in _OF_SOME_MESSAGES}
    return MessageLog(**known, **optional, end_us=int(parts.fields["end_us"]))


def pack_audience(audience: Audience, out: Writer) -> None:
    for name in ("users", "zones", "channels"):
        out.vocabulary(name, getattr(audience, name))
    for name in ("zone", "consent", "reachable"):
        out.array(name, getattr(audience, name))
    out.array("consent_at", audience.consent_at)
    out.labels("attributes", audience.attributes)


def unpack_audience(parts: Reader) -> Audience:
    known = parts.parts(("users", "zones", "channels"), ("zone", "consent", "reachable"))
    return Audience(**known, attributes=parts.labels("attributes"), consent_at=parts.optional("consent_at"))


def pack_zones(found: ZonePosterior, out: Writer) -> None:
    for name in ("users", "zones"):
        out.vocabulary(name, getattr(found, name))
    for name in ("row", "indptr", "zone", "probability"):
        out.array(name, getattr(found, name))


def unpack_zones(parts: Reader) -> ZonePosterior:
    return ZonePosterior(**parts.parts(("users", "zones"), ("row", "indptr", "zone", "probability")))


def pack_identities(identities: Identities, out: Writer) -> None:
    for name in ("kinds", "ids", "people"):
        out.vocabulary(name, getattr(identities, name))
    for name in _OF_IDENTITIES:
        out.array(name, getattr(identities, name))
    rules = identities.rules
    out.fields["rules"] = {
        "max_ids": rules.max_ids,
        "max_links": None if rules.max_links is None else [[key, most] for key, most in rules.max_links.items()],
        "min_strength": _by_kind(rules.min_strength),
        "expiry": _by_kind(rules.expiry, lambda value: f"{check_duration(value, 'expiry')}us"),
    }
    out.fields["trusted"], out.fields["at_us"] = list(identities.trusted), identities.at_us


def _by_kind(rule: Any, spell: Callable[[Any], Any] = float) -> Any:
    """Return a rule, one value or one by kind, as JSON holds it."""
    if isinstance(rule, Mapping):
        return {kind: spell(value) for kind, value in rule.items()}
    return None if rule is None else spell(rule)


def unpack_identities(parts: Reader) -> Identities:
    rules = dict(parts.fields["rules"])
    if rules["max_links"] is not None:  # a pair of kinds comes back as a list
        rules["max_links"] = {key if isinstance(key, str) else tuple(key): most for key, most in rules["max_links"]}
    known = parts.parts(("kinds", "ids", "people"), _OF_IDENTITIES)
    trusted, at_us = tuple(parts.fields["trusted"]), parts.fields["at_us"]
    return Identities(**known, rules=LinkRules(**rules), trusted=trusted, at_us=at_us)


def pack_catalog(catalog: Catalog, out: Writer) -> None:
    out.vocabulary("items", catalog.items)
    labels = {"category": catalog.category, "name": catalog.name}
    out.labels("labels", {name: pair for name, pair in labels.items() if pair is not None})
    out.array("price", catalog.price)
    out.array("margin", catalog.margin)


def unpack_catalog(parts: Reader) -> Catalog:
    labels = parts.labels("labels")
    return Catalog(
        parts.vocabulary("items"),
        labels.get("category"),
        labels.get("name"),
        parts.optional("price"),
        parts.optional("margin"),
    )


def pack_interactions(x: Interactions, out: Writer) -> None:
    out.vocabulary("users", x.users)
    out.vocabulary("items", x.items)
    out.csr("csr", x.csr)
    out.fields["at_us"] = x.at_us
    out.fields["weights"] = _weights_to_json(x.weights)
    out.fields["layers"] = list(x.layers)
    for position, layer in enumerate(x.layers.values()):
        if layer is not x.csr:
            out.csr(f"layer/{position}", layer)
    if x.targets is not None:
        out.csr("targets", x.targets)


def unpack_interactions(parts: Reader) -> Interactions:
    csr = parts.csr("csr")
    layers = {
        name: parts.csr(f"layer/{position}") if f"layer/{position}" in parts.fields else csr
        for position, name in enumerate(parts.fields["layers"])
    }
    targets = parts.csr("targets") if "targets" in parts.fields else None
    known = _weights_from_json(parts.fields.get("weights"))
    users, items = parts.vocabulary("users"), parts.vocabulary("items")
    return Interactions(users, items, csr, layers, parts.fields["at_us"], targets, known)


def _weights_to_json(weights: Weights | None) -> dict[str, Any] | None:
    if weights is None or weights.targets is not None or weights.verdicts is not None:
        return None  # such a matrix cannot be updated, which is what the weights are kept for
    return plain_weights(weights)


def _weights_from_json(found: dict[str, Any] | None) -> Weights | None:
    return None if found is None else Weights(**found)


def plain_weights(weights: Weights) -> dict[str, Any]:
    """Return the parameters of a Weights as JSON can hold them; durations as text."""
    plain: dict[str, Any] = {name: getattr(weights, name) for name in ("value", "cap", "binary", "step_half_life")}
    for name in ("events", "channels"):
        table = getattr(weights, name)
        plain[name] = None if table is None else dict(table)
    for name in ("half_life", "deduplicate"):
        given = getattr(weights, name)
        plain[name] = None if given is None else f"{check_duration(given, name)}us"
    return plain
