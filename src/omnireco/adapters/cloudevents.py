"""CloudEvents: a standard envelope around your own event types."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

from omnireco._core.checks import check_kind, check_mapping
from omnireco.adapters.outbound import DECISION
from omnireco.adapters.people import withdrawn_channel
from omnireco.adapters.quick import (
    Known,
    Odd,
    add_event,
    id_of,
    instant_of,
    number_of,
    part_of,
    persons,
    usual,
)
from omnireco.adapters.records import (
    Adapted,
    Collector,
    Records,
    Unreadable,
    Wanted,
    mapping,
    read_each,
    read_records,
)
from omnireco.adapters.values import as_id, as_number, as_person

__all__ = ["cloudevents"]

OWN = "omnireco.event.v1"
_VERSIONS = re.compile(r"1(\.\d+)?|0\.3")
_WANTED = Wanted("adapters.cloudevents", frozenset(["specversion", "type", "source"]), ("events", "batch", "records"))


def cloudevents(records: Records, *, types: Mapping[str, str] | None = None, channel: str = "unknown") -> Adapted:
    """Read events in CloudEvents envelopes (structured mode, JSON).

    Parameters
    ----------
    records : list of dict, path or frame
        Envelopes with ``id``, ``source``, ``type``, ``time``, ``subject`` and ``data``.
    types : mapping of str to str
        The ``type`` of an envelope to the name of an event: ``{"com.shop.product.viewed": "view"}``. The type
        ``omnireco.event.v1`` is known: its data names the event.
    channel : str
        The channel where the data names none.

    Returns
    -------
    Adapted
        Of ``data`` are read ``user_id`` (else the envelope's ``subject``), ``item_id`` or ``product_id``, ``channel``,
        ``value``, ``session_id`` and ``store_id``. The event's id is ``source`` and ``id``, which the standard makes
        unique. ``data`` may be JSON text or ``data_base64``; an envelope in which it cannot be read, that has both, or
        a version other than 1.x and 0.3 is invalid.

    Notes
    -----
    CloudEvents 1.0, cloudevents.io. Decisions that :func:`~omnireco.adapters.to_cloudevents` wrote are ignored: what
    was decided has not happened yet.
    """
    check_kind(channel, str, "channel", "channel='web'")
    named: dict[str, str | None] = {OWN: None, **check_mapping(types, "types", "{'com.shop.viewed': 'view'}")}
    out = Collector()
    envelopes = read_records(records, _WANTED, _quick(out, named, channel))
    return read_each(out, envelopes, lambda out, one: _one(out, one, named, channel))


def _quick(out: Collector, named: Mapping[str, str | None], channel: str) -> Callable[[dict[str, Any]], bool]:
    """Return a reader of the usual envelope, which says whether it read it."""
    people, shapes = persons(), usual(frozenset(["data_base64"]))
    loud = Known(lambda name: withdrawn_channel(name) is not None)

    def read(envelope: dict[str, Any]) -> bool:
        kind = envelope.get("type")
        if type(kind) is not str or kind not in named or kind != kind.strip() or not shapes[tuple(envelope)]:
            return False
        try:
            if envelope.get("specversion", "1.0") != "1.0":
                return False
            data, source = part_of(envelope.get("data")), id_of(envelope.get("source"))
            name = named[kind] or id_of(data.get("event"))
            user = people[data.get("user_id")] or people[envelope.get("subject")]
            if type(name) is not str or user is None or loud[name] or loud[kind]:
                return False
            item = id_of(data.get("item_id")) or id_of(data.get("product_id"))
            at, value, unique = (
                instant_of(envelope.get("time")),
                number_of(data.get("value")),
                id_of(envelope.get("id")),
            )
            place = id_of(data.get("channel")) or channel
            session, store = id_of(data.get("session_id")), id_of(data.get("store_id"))
        except (Odd, TypeError):  # a value that cannot be a key of a mapping
            return False
        unique = None if unique is None else f"{source or ''}/{unique}"
        add_event(out, kind, name, user, at, place, [(item, value)], (session, store, unique))
        return True

    return read


def _one(out: Collector, envelope: Mapping[str, Any], named: Mapping[str, str | None], channel: str) -> None:
    kind = as_id(envelope.get("type"))
    out.record(kind)
    if kind == DECISION:
        out.set("ignored", "a decision, not an event")
        return
    if kind is None:
        return
    if kind not in named:
        _withdrawal(out, envelope, kind)
        return
    if not _version_is_known(envelope.get("specversion")):
        out.set("invalid", "a specversion that is neither 1.x nor 0.3")
        return
    data = _data(envelope)
    name = named[kind] or as_id(data.get("event"))
    if name is None:
        out.set("invalid", "the data names no event")
        return
    item = as_id(data.get("item_id")) or as_id(data.get("product_id"))
    unique = as_id(envelope.get("id"))
    out.event(
        _person(envelope, data),
        name,
        envelope.get("time"),
        as_id(data.get("channel")) or channel,
        [(item, as_number(data.get("value")))],
        event_id=None if unique is None else f"{as_id(envelope.get('source')) or ''}/{unique}",
        session=data.get("session_id"),
        store=data.get("store_id"),
    )


def _version_is_known(given: Any) -> bool:
    """Return whether a specversion is 1.x or 0.3; most writers mean 1.0 where they leave it out."""
    known = as_id(given)
    return (
        not isinstance(given, bool) and _VERSIONS.fullmatch(known or ("1.0" if given in (None, "") else "")) is not None
    )


def _withdrawal(out: Collector, envelope: Mapping[str, Any], kind: str) -> None:
    """Record an unsubscription by the name of its type, such as ``com.shop.newsletter.unsubscribed.v1``."""
    name = re.sub(r"\W+v\d+(\.\d+)*$", "", kind)
    if withdrawn_channel(name) is None:
        return
    data = _data(envelope)
    channel = as_id(data.get("channel"))
    out.withdrawal(_person(envelope, data), name, envelope.get("time"), channel.lower() if channel else None)


def _person(envelope: Mapping[str, Any], data: Mapping[str, Any]) -> str | None:
    return as_person(data.get("user_id"), envelope.get("subject"))


def _data(envelope: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the data of an envelope: a mapping, its JSON, or that in base 64."""
    packed = envelope.get("data_base64")
    if envelope.get("data") is not None and packed is not None:
        raise Unreadable("data and data_base64, of which one may be there")
    if packed is not None:
        if not isinstance(packed, str):
            raise Unreadable("data_base64 is no text")
        try:
            return mapping(base64.b64decode(packed, validate=True).decode(), "data_base64")
        except ValueError:
            raise Unreadable("data_base64 cannot be read") from None
    return mapping(envelope.get("data"), "data")
