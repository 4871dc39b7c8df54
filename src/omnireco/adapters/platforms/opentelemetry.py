"""OpenTelemetry: events in its logs, as JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from omnireco._core.checks import check_mapping
from omnireco.adapters.columns.blocks import Doubtful
from omnireco.adapters.columns.fields import ABSENT, ID, NUMBER, TEXT, TIME, TRUTH, Rows, joined, parents, places
from omnireco.adapters.columns.road import Columns, Found, events_of, first_known, one_line
from omnireco.adapters.nesting import parsed, plain
from omnireco.adapters.quick import Odd, add_event, id_of, instant_of, number_of, part_of, persons, plain_names, usual
from omnireco.adapters.records import (
    Adapted,
    Collector,
    Records,
    Refused,
    Source,
    Unreadable,
    Wanted,
    first_of,
    listed,
    read_all,
)
from omnireco.adapters.values import as_id, as_number, as_person
from omnireco.errors import ParameterError

__all__ = ["opentelemetry"]

_WANTED = Wanted(
    "adapters.opentelemetry",
    frozenset(["resourcelogs", "timeunixnano", "eventname", "attributes", "body"]),
    ("logs", "records", "logRecords"),
)
_RECORDS = "resourceLogs[]/scopeLogs[]/logRecords[]"
_TYPED = ("stringValue", "intValue", "doubleValue", "boolValue")
_VALUES = dict(zip(_TYPED, (TEXT, ID, NUMBER, TRUTH), strict=True))
_FIELDS = {
    f"{_RECORDS}/eventName": TEXT,
    f"{_RECORDS}/timeUnixNano": TIME,
    **{f"{_RECORDS}/{name}": ABSENT for name in ("event_name", "EventName", "Resource", "Attributes")},
    **{
        f"{place}/attributes[]/{name}": kind
        for place in ("resourceLogs[]/resource", _RECORDS)
        for name, kind in [("key", TEXT), *((f"value/{typed}", kind) for typed, kind in _VALUES.items())]
    },
}


def opentelemetry(
    records: Records,
    *,
    events: Mapping[str, str],
    item: str = "item.id",
    value: str = "value",
    channel: str = "channel",
) -> Adapted:
    """Read events from OpenTelemetry's log records.

    Parameters
    ----------
    records : list of dict, path or frame
        Lines of OTLP's JSON (``resourceLogs``, ``scopeLogs``, ``logRecords``), or log records alone; attributes as
        lists of key and typed value or as plain mappings.
    events : mapping of str to str
        The name of an event (``eventName``, else the attribute ``event.name``) to a name of ours.
    item, value, channel : str
        The attributes that hold the item, what the event is worth, and the channel ("unknown" where it is missing).

    Returns
    -------
    Adapted
        A person is the attribute ``user.id``, else ``enduser.id``; a session is ``session.id``. Attributes of the
        resource hold where the record states none. Times are ``timeUnixNano``, else ``observedTimeUnixNano``.

    Raises
    ------
    ParameterError
        When a name of an attribute is no text, or ``events`` is empty.
    SchemaError, StorageError
        When the records cannot be read at all.

    Notes
    -----
    OpenTelemetry's "Logs data model" and its semantic conventions for users and sessions; they have none for goods.
    A log line that is no event (it has no name) is ignored.

    Examples
    --------
    >>> from omnireco import adapters
    >>> line = {"eventName": "product.viewed", "timeUnixNano": "1746086400000000000",
    ...         "attributes": [{"key": "user.id", "value": {"stringValue": "ann"}},
    ...                        {"key": "item.id", "value": {"stringValue": "tea"}}]}
    >>> adapters.opentelemetry([line], events={"product.viewed": "view"})
    Adapted(1 record: 1 event, 0 messages, 0 users, 0 links; 0 records not used)
    """
    named = dict(check_mapping(events, "events", "{'product.viewed': 'view'}"))
    if not named:
        raise ParameterError("events must name an event to read. Got none: write events={'product.viewed': 'view'}.")
    for parameter, name in (("item", item), ("value", value), ("channel", channel)):
        if not isinstance(name, str) or not name:
            kind = type(name).__name__
            raise ParameterError(f"{parameter} must be the name of an attribute such as 'item.id'. Got {kind}.")
    wanted = (item, value, channel)
    return read_all(
        records,
        Source(
            _WANTED,
            Collector,
            lambda out: _quick(out, named, wanted),
            lambda _: Columns(_FIELDS, lambda rows, lines: _columns(rows, lines, named, wanted), _RECORDS, _parts),
            lambda out, one: _one(out, one, named, wanted),
            _log_records,
        ),
    )


def _parts(line: Any, n: int) -> list[Any]:
    found = list(_log_records(iter([plain(line)])))
    if len(found) != n or any(isinstance(one, Refused) for one in found):
        raise Doubtful
    return found


def _columns(rows: Rows, lines: Rows, named: Mapping[str, str], wanted: tuple[str, str, str]) -> Found:
    """Read usual log records that are no orders as columns."""
    lines.absent()
    rows.absent("event_name", "EventName", "Resource", "Attributes")
    code, titles, ours = rows.titles("eventName", plain_names(named))
    rows.mark(~rows.given("attributes"))
    own, shared, resource = rows.within("attributes[]"), *_shared(rows, lines)
    own.mark(~own.given("key") | ~own.given("value"))
    both = own.array if not len(shared) else joined(own.array, shared.array)

    def attribute(name: str) -> Rows:
        place, of = own.last("key", name), shared.last("key", name)[resource]
        place = np.where(place < 0, np.where(of < 0, -1, of + len(own)), place)
        return Rows(both.take(places(place)), rows.odd)

    user = first_known(rows, *(_id(attribute(name), people=True) for name in ("user.id", "enduser.id")))
    at = rows.instant("timeUnixNano")
    item, place, session, unique = (_id(attribute(n)) for n in (wanted[0], wanted[2], "session.id", "event.id"))
    lines_of = one_line(item, _number(attribute(wanted[1])), bare=False)
    channel = place.fill_null("unknown")
    events = events_of(rows, user, (code, ours), channel, at, lines_of, (session, None, unique))
    return Found((code, titles), ("event", ""), events)


def _shared(rows: Rows, lines: Rows) -> tuple[Rows, np.ndarray]:
    """Return the attributes of resources, and the resource of each log record."""
    resources = lines.within("resourceLogs[]")
    alone = Rows(resources.array, np.zeros(len(resources), np.bool_))
    scopes = alone.within("scopeLogs[]")
    records = Rows(scopes.array, np.zeros(len(scopes), np.bool_)).within("logRecords[]")
    resource = parents(scopes)[parents(records)]
    shared = Rows(resources.array, np.zeros(len(resources), np.bool_)).within("resource/attributes[]")
    shared.mark(~shared.given("key") | ~shared.given("value"))
    rows.mark(shared.odd[resource])
    return shared, resource


def _id(found: Rows, *, people: bool = False) -> Any:
    """Return an attribute as an id; a row is odd where its type is another than text and whole number."""
    import pyarrow.compute as pc

    text, whole = (f"value/{kind}" for kind in _TYPED[:2])
    found.blank(text)
    others = found.given(f"value/{_TYPED[2]}") | found.given(f"value/{_TYPED[3]}")
    found.mark(others & ~found.given(text) & ~found.given(whole))
    read = found.person if people else found.id
    return pc.coalesce(read(text), read(whole))


def _number(found: Rows) -> np.ndarray:
    """Return an attribute as a number; a row is odd where its type is another."""
    whole, real = f"value/{_TYPED[1]}", f"value/{_TYPED[2]}"
    found.absent("value/stringValue", "value/boolValue")
    if found.texts(whole):
        found.absent(whole)
        return found.number(real)
    return np.where(found.given(whole), found.number(whole), found.number(real))


def _quick(out: Collector, named: Mapping[str, str], wanted: tuple[str, str, str]) -> Callable[[Any], bool]:
    """Return a reader of the usual log record of OTLP that is no order, which says whether it read it."""
    names, people = plain_names(named), persons()
    shapes = usual(frozenset(["event_name", "EventName", "Resource", "Attributes"]))
    shared: list[Any] = [None, {}]  # the resource at hand and its attributes: those of many records
    item, value, channel = wanted

    def attributes(stated: Any) -> dict[str, Any]:
        found = {}
        for one in stated:
            typed = one.get("value") if type(one) is dict else None
            key = one.get("key") if typed is not None else None
            if type(key) is not str or type(typed) is not dict:
                raise Odd
            found[key] = next((typed[kind] for kind in _TYPED if typed.get(kind) is not None), None)
        return found

    def read(one: Any) -> bool:
        if type(one) is not dict:
            return False
        name, stated, resource = one.get("eventName"), one.get("attributes"), one.get("resource")
        ours = names[name] if type(name) is str else None
        if ours is None or type(stated) is not list or not shapes[tuple(one)]:
            return False
        try:
            if resource is not shared[0]:
                of = part_of(resource).get("attributes")
                if of is not None and type(of) is not list:
                    return False
                shared[1], shared[0] = attributes(of or []), resource
            found = attributes(stated) if not shared[1] else {**shared[1], **attributes(stated)}
            user = people[found.get("user.id")] or people[found.get("enduser.id")]
            at = instant_of(one.get("timeUnixNano"))
            line = (id_of(found.get(item)), number_of(found.get(value)))
            place, session = id_of(found.get(channel)) or "unknown", id_of(found.get("session.id"))
            unique = id_of(found.get("event.id"))
        except (Odd, TypeError):  # a value that cannot be a key of a mapping
            return False
        if user is None:
            return False
        add_event(out, str(name), ours, user, at, place, [line], (session, None, unique))
        return True

    return read


def _log_records(lines: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any] | Refused]:
    for line in lines:
        if "resourceLogs" not in line:
            yield line
            continue
        try:
            for resource in listed(line["resourceLogs"], "resourceLogs"):
                shared = resource.get("resource") or {}
                for scope in listed(resource.get("scopeLogs"), "scopeLogs"):
                    for one in listed(scope.get("logRecords"), "logRecords"):
                        yield {**one, "resource": shared}
        except Unreadable as error:
            yield Refused(str(error))


def _one(out: Collector, one: Mapping[str, Any], named: Mapping[str, str], wanted: tuple[str, str, str]) -> None:
    resource = one.get("resource") or one.get("Resource")
    if isinstance(resource, Mapping) and "attributes" in resource:
        resource = resource["attributes"]
    found = {**_attributes(resource), **_attributes(one.get("attributes") or one.get("Attributes"))}
    name = as_id(first_of(one, "eventName", "event_name", "EventName")) or as_id(found.get("event.name"))
    out.record(name)
    if name is None:
        out.set("ignored", "a log line, not an event")
        return
    user = as_person(found.get("user.id"), found.get("enduser.id"))
    at = first_of(one, "timeUnixNano", "observedTimeUnixNano", "Timestamp", "timestamp")
    if name not in named:
        out.withdrawal(user, name, at)
        return
    item, value, channel = (found.get(key) for key in wanted)
    out.event(
        user,
        named[name],
        at,
        as_id(channel) or "unknown",
        [(as_id(item), as_number(value))],
        event_id=found.get("event.id"),
        session=found.get("session.id"),
    )


def _attributes(value: Any) -> dict[str, Any]:
    """Return attributes as a flat mapping, from OTLP's list of key and typed value or from a mapping."""
    found = parsed(value)
    if found is None:
        return {}
    if isinstance(found, Mapping):
        return _flat(found)
    return {str(one.get("key")): _typed(one.get("value")) for one in listed(found, "attributes")}


def _flat(found: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a mapping with the names of nested parts joined by points, as the conventions write them."""
    flat: dict[str, Any] = {}
    for name, part in found.items():
        flat |= _flat(part, f"{prefix}{name}.") if isinstance(part, Mapping) else {f"{prefix}{name}": part}
    return flat


def _typed(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return next((value[kind] for kind in _TYPED if value.get(kind) is not None), None)
