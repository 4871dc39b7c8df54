"""CloudEvents: the envelope is a standard, what is inside is yours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from omnireco.adapters.outbound import DECISION
from omnireco.adapters.records import Adapted, Collector, Records, read_records
from omnireco.adapters.values import as_id, as_number, as_person

__all__ = ["cloudevents"]

OWN = "omnireco.event.v1"


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
        unique.

    Notes
    -----
    CloudEvents 1.0, cloudevents.io. Decisions that :func:`~omnireco.adapters.to_cloudevents` wrote are ignored: what
    was decided has not happened yet.
    """
    named: dict[str, str | None] = {OWN: None, **(types or {})}
    out = Collector()
    for envelope in read_records(records, "adapters.cloudevents"):
        kind = as_id(envelope.get("type"))
        out.record(kind)
        data = _data(envelope.get("data"))
        if kind == DECISION:
            out.set("ignored", "a decision has not happened yet")
        elif kind in named:
            name = named[kind] or as_id(data.get("event"))
            if name is None:
                out.set("invalid", "the data names no event")
                continue
            item = as_id(data.get("item_id")) or as_id(data.get("product_id"))
            unique = as_id(envelope.get("id"))
            out.event(
                as_person(data.get("user_id"), envelope.get("subject")),
                name,
                envelope.get("time"),
                as_id(data.get("channel")) or channel,
                [(item, as_number(data.get("value")))],
                event_id=None if unique is None else f"{as_id(envelope.get('source')) or ''}/{unique}",
                session=data.get("session_id"),
                store=data.get("store_id"),
            )
    return out.finish()


def _data(data: Any) -> Mapping[str, Any]:
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except ValueError:
            return {}
    return data if isinstance(data, Mapping) else {}
