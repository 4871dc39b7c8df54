"""Braze: the events of Currents."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from omnireco._core.checks import check_mapping
from omnireco.adapters.columns.fields import ID, PART, TEXT, TIME, Rows, spelled
from omnireco.adapters.columns.road import Chunk, Columns, Found, first_known, links_of, zones_of
from omnireco.adapters.people import withdrawn_channel
from omnireco.adapters.quick import Known, Odd, Zones, first_id, id_of, instant_of, persons, usual
from omnireco.adapters.records import Adapted, Collector, Records, Source, Wanted, first_of, mapping, read_all
from omnireco.adapters.values import as_id, as_number, as_person
from omnireco.errors import ParameterError

__all__ = ["braze"]

_MESSAGE = re.compile(r"(?:users\.)?messages\.(?P<channel>\w+)\.(?P<what>\w+)", re.IGNORECASE)
_CHANNELS = {"email": "email", "pushnotification": "push", "sms": "sms", "whatsapp": "whatsapp"}
_KINDS = {
    "send": "sent",
    "delivery": "delivered",
    "open": "open",
    "read": "open",
    "click": "click",
    "shortlinkclick": "click",
    "unsubscribe": "unsubscribe",
    "markasspam": "unsubscribe",
    "bounce": "bounce",
}
_MESSAGES = ("dispatch_id", "send_id", "campaign_id", "canvas_step_id")
_CREATIVES = ("message_variation_id", "canvas_step_message_variation_id", "campaign_id")
_FIELDS = {
    **dict.fromkeys(["event_type", "timezone", "machine_open"], TEXT),
    "time": TIME,
    **dict.fromkeys(["external_user_id", "user_id", "user_agent", *_MESSAGES, *_CREATIVES], ID),
    **dict.fromkeys(["user", "properties"], PART),
}
_WANTED = Wanted(
    "adapters.braze",
    frozenset(["event_type", "external_user_id", "user_id", "time", "user"]),
    ("events", "rows", "data", "records"),
)


def braze(records: Records, *, event_type: str | None = None, events: Mapping[str, str] | None = None) -> Adapted:
    """Read the events that Braze Currents exports.

    Parameters
    ----------
    records : list of dict, path or frame
        Flat records of a storage export, or those of an HTTP connector with ``user`` and ``properties``.
    event_type : str, optional
        The type of records that do not state theirs: a storage export has a folder per type, such as
        ``"users.messages.email.Open"``.
    events : mapping of str to str, optional
        Names of your custom events to names of ours: ``{"viewed_item": "view"}``.

    Returns
    -------
    Adapted
        A person is ``external_user_id``, or Braze's own ``user_id`` where there is none; links join the two (kinds
        "user", "braze"). E-mail, push, SMS and WhatsApp are messages; answers belong to the newest delivery before them
        with the same ``dispatch_id``, else campaign or step. A purchase is one event of its ``product_id``, worth its
        ``price``. ``timezone`` is the person's zone.

    Raises
    ------
    ParameterError
        When ``event_type`` is no text.
    SchemaError, StorageError
        When the records cannot be read at all.

    Notes
    -----
    Names of types and fields by the event glossary of Braze's Currents, "Message engagement events" and "Customer
    behavior events" (braze.com/docs/user_guide/data/distribution/braze_currents/event_glossary): ``time`` counts
    seconds, ``machine_open`` is "true" or null. In-app messages and content cards are shown, not sent: they are
    ignored. A soft bounce and an abort never arrived.

    Examples
    --------
    >>> from omnireco import adapters
    >>> mail = {"external_user_id": "ann", "dispatch_id": "d1"}
    >>> adapters.braze([
    ...     {"event_type": "users.messages.email.Send", "time": 1746086400, **mail},
    ...     {"event_type": "users.messages.email.Open", "time": 1746090000, **mail},
    ... ])
    Adapted(2 records: 0 events, 1 message, 0 users, 0 links; 0 records not used)
    """
    if event_type is not None and (not isinstance(event_type, str) or not event_type.strip()):
        raise ParameterError(
            f"event_type must be a text such as 'users.messages.email.Open'. Got {type(event_type).__name__}."
        )
    named = {str(name).lower(): ours for name, ours in check_mapping(events, "events", "{'viewed': 'view'}").items()}
    return read_all(
        records,
        Source(
            _WANTED,
            Collector,
            _quick,
            lambda _: Columns(_FIELDS, lambda rows, _: _columns(rows)),
            lambda out, one: _one(out, one, event_type, named),
        ),
    )


def _quick(out: Collector) -> Callable[[dict[str, Any]], bool]:
    """Return a reader of the usual flat record of a message, which says whether it read it."""
    people, shapes, zones = persons(), usual(frozenset(["user", "properties"])), Zones(out)
    kinds = Known(_usual_kind)

    def read(one: dict[str, Any]) -> bool:
        name, zone, flag = one.get("event_type"), one.get("timezone"), one.get("machine_open")
        found = kinds[name] if type(name) is str else None
        if found is None or not shapes[tuple(one)]:
            return False
        try:
            external, own = people[one.get("external_user_id")], people[one.get("user_id")]
            user, at = external or own, instant_of(one.get("time"))
            if user is None or not (zone is None or (type(zone) is str and zones.read[zone])):
                return False
            if not (flag is None or (type(flag) is str and flag.strip())):
                return False
            message = first_id(one, *_MESSAGES)
            creative = first_id(one, *_CREATIVES)
            agent = id_of(one.get("user_agent"))
        except (Odd, TypeError):  # a value that cannot be a key of a mapping
            return False
        out.names.append(str(name))
        out.became.append(("message", ""))
        out.link(("braze", own), ("user", external), at)
        if zone is not None:
            zones.note(user, at, zone)
        out.touches.append(
            (len(out.names) - 1, user, found[0], message, found[1], at, None, creative, agent, flag, name)
        )
        return True

    return read


def _columns(rows: Rows) -> Found:
    """Read usual flat records of messages as columns."""
    rows.absent("user", "properties")
    code, titles, kinds = rows.titles("event_type", Known(_usual_kind))
    channel, kind = (spelled(code, [one and one[part] for one in kinds]) for part in (0, 1))
    external, own = rows.person("external_user_id"), rows.person("user_id")
    user, at = first_known(rows, external, own), rows.instant("time")
    rows.blank("machine_open")
    columns = {
        "user_id": user,
        "channel": channel,
        "message": rows.first_id(*_MESSAGES),
        "kind": kind,
        "at": at,
        "item_id": None,
        "creative_id": rows.first_id(*_CREATIVES),
        "agent": rows.id("user_agent"),
        "flag": rows.column("machine_open"),
        "name": spelled(code, titles),
    }
    touches = Chunk(np.arange(len(rows)), columns)
    links = links_of(("braze", own), ("user", external), at)
    return Found(
        (code, titles), ("message", ""), None, (links,), touches, zones_of(rows, rows.column("timezone"), user, at)
    )


def _usual_kind(name: str) -> tuple[str, str] | None:
    """Return the channel of a type of record and what happened, None where the rules must read it."""
    found = _MESSAGE.fullmatch(name)
    channel, what = (None, None) if found is None else (found["channel"].lower(), found["what"].lower())
    if channel not in _CHANNELS or what not in {"send", "delivery", "open", "read", "click", "shortlinkclick"}:
        return None
    return _CHANNELS[channel], _KINDS[what]


def _one(out: Collector, record: Mapping[str, Any], stated: str | None, named: Mapping[str, str]) -> None:
    kind = as_id(record.get("event_type")) or stated
    out.record(kind)
    one = {**mapping(record.get("properties"), "properties"), **mapping(record.get("user"), "user"), **record}
    external, own = as_person(one.get("external_user_id")), as_person(one.get("user_id"))
    user, at = external or own, one.get("time")
    if kind is None:
        return
    out.link(("braze", own), ("user", external), at)
    if user is not None and as_id(one.get("timezone")):
        out.user(user, at=at, timezone=one.get("timezone"))
    if found := _MESSAGE.fullmatch(kind):
        _message(out, one, user, at, found["channel"].lower(), found["what"].lower())
    else:
        _behavior(out, one, user, at, kind.lower().rsplit(".", 1)[-1], named)


def _message(out: Collector, one: Mapping[str, Any], user: str | None, at: Any, channel: str, what: str) -> None:
    if channel not in _CHANNELS:
        out.set("ignored", "is shown, not sent")
    elif what not in _KINDS:
        out.set("ignored", "was never delivered, or is no answer")
    else:
        if what == "bounce":
            out.set("ignored", "was never delivered")
        out.touch(
            user,
            _CHANNELS[channel],
            _KINDS[what],
            at,
            first_of(one, *_MESSAGES),
            creative=first_of(one, *_CREATIVES),
            user_agent=as_id(one.get("user_agent")),
            flag=one.get("machine_open"),
        )


def _behavior(
    out: Collector, one: Mapping[str, Any], user: str | None, at: Any, what: str, named: Mapping[str, str]
) -> None:
    channel = "app" if as_id(one.get("platform")) in {"ios", "android"} else as_id(one.get("platform")) or "unknown"
    if what == "purchase":
        lines = [(as_id(one.get("product_id")), as_number(one.get("price")))]
        out.event(user, "purchase", at, channel, lines, event_id=one.get("id"))
    elif what == "sessionstart":
        out.event(user, "open_session", at, channel, [], event_id=one.get("id"), session=one.get("session_id"))
    elif what in {"statechange", "globalstatechange"}:
        _subscription(out, one, user, at)
    elif what == "customevent":
        name = as_id(one.get("name"))
        out.names[-1] = f"{out.names[-1]}: {name}"
        if name is not None and name.lower() in named:
            line = (as_id(one.get("product_id")) or as_id(one.get("item_id")), as_number(one.get("price")))
            out.event(user, named[name.lower()], at, channel, [line], event_id=one.get("id"))
        elif name is not None and withdrawn_channel(name) is not None:
            out.withdrawal(user, name, at)
    else:
        out.withdrawal(user, what, at)


def _subscription(out: Collector, one: Mapping[str, Any], user: str | None, at: Any) -> None:
    """Record a change of subscription: only an explicit opt-in is a consent, and every no is one."""
    status = re.sub(r"[^a-z]", "", (as_id(one.get("subscription_status")) or "").lower())
    channel = (as_id(one.get("channel")) or "").lower()
    if user is None:
        out.set("invalid", "no user id")
        return
    out.set("identity")
    if status == "optedin" and channel:
        out.consent(user, f"consent_{_CHANNELS.get(channel, channel)}", at, True)
    elif status not in {"subscribed", "optedin"}:
        out.withdraw(user, _CHANNELS.get(channel, channel), at)
