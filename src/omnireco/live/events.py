"""What a service says that one person did: one mapping per event, read and checked before anything is kept."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.checks import check_instant, count_of, from_microseconds, shown
from omnireco._core.frozen import ReadOnly
from omnireco.errors import ParameterError, SchemaError, StorageError

__all__ = ["ROLES", "Event", "read_events"]

ROLES = ReadOnly(
    {
        "impression": "impression",
        "like": "like",
        "dislike": "dislike",
        "hide": "dislike",
        "undo": "undo",
        "consent": "consent",
        "sent": "sent",
        "response": "response",
        "unsubscribed": "unsubscribed",
    }
)
"""What events of these types mean besides having happened; every other type is an activity and nothing else."""

KINDS = ("impression", "like", "dislike", "undo", "consent", "sent", "response", "unsubscribed")
ACTIVITY = "activity"
_FIELDS = (
    "user_id", "event", "channel", "timestamp", "item_id", "value", "event_id", "consent", "purpose", "refers_to",
    "kind",
)  # fmt: skip
_NEEDED = ("user_id", "event", "channel", "timestamp")
_EMPTY = (None,) * 8
_ENCODE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_LONGEST = 512  # characters of an id or a name


class Event(NamedTuple):
    """One event of one person, without the person.

    Parameters
    ----------
    at_us : int
        UTC microseconds.
    event, channel : str
    item : int, str or None
    value : float or None
    event_id : str
    consent : bool or None
        Of an event that gives or withdraws consent.
    purpose : str or None
        What the consent is for; None is messages on the channel.
    refers_to : str or None
        The id of the event that is undone, or of the message that was answered.
    kind : str or None
        Of a message that was sent, such as ``"nudge"``: what ``FrequencyCap(kinds=)`` counts.
    """

    at_us: int
    event: str
    channel: str
    item: Any = None
    value: float | None = None
    event_id: str = ""
    consent: bool | None = None
    purpose: str | None = None
    refers_to: str | None = None
    kind: str | None = None

    def __repr__(self) -> str:
        return (
            f"Event({self.event!r} on {self.channel!r}, {from_microseconds(self.at_us).isoformat(timespec='seconds')})"
        )

    def order(self) -> tuple[Any, ...]:
        """Return what events of one person are ordered by: as the rows of an EventLog, then by their ids."""
        value = math.inf if self.value is None else self.value
        bare = self.item is None
        return self.at_us, not bare, 0 if bare else self.item, self.channel, self.event, value, self.event_id

    def body(self) -> bytes:
        """Return what a store keeps besides person, event id and instant: a list, without its empty end."""
        found = [self.event, self.channel, self.item, self.value, self.consent, self.purpose, self.refers_to]
        found.append(self.kind)
        while found[-1] is None:
            found.pop()
        return _ENCODE(found).encode()

    @classmethod
    def of(cls, event_id: str, at_us: int, body: bytes) -> Event:
        """Return the event that a store kept."""
        return events_of([(event_id, at_us, body)])[0]


def events_of(rows: Iterable[tuple[str, int, bytes]]) -> list[Event]:
    """Return the events of (event id, instant, body), as stores keep them."""
    listed = list(rows)
    try:
        bodies: list[list[Any]] = json.loads(b"[" + b",".join([row[2] for row in listed]) + b"]")
        return [_of_body(*row, body) for row, body in zip(listed, bodies, strict=True)]
    except (ValueError, TypeError, IndexError):
        raise StorageError(
            "The store gave back events that nobody put there: it is damaged. Restore a copy of it."
        ) from None


def _of_body(event_id: str, at_us: int, _: bytes, body: list[Any]) -> Event:
    if type(body) is not list or type(body[0]) is not str or type(body[1]) is not str:
        raise TypeError
    if len(body) == 3:  # most of them
        return Event(at_us, body[0], body[1], body[2], None, event_id)
    whole: list[Any] = [*body, *_EMPTY[: 8 - len(body)]]
    event, channel, item, value, consent, purpose, refers_to, kind = whole
    return Event(at_us, event, channel, item, value, event_id, consent, purpose, refers_to, kind)


def read_events(events: Any, roles: Mapping[str, str]) -> list[tuple[Any, Event]]:
    """Return (user id, event) of one mapping or of several, all checked before any is used.

    Raises
    ------
    SchemaError
        When a field is missing, unknown, or of another kind.
    """
    if isinstance(events, Mapping):
        return [_read(events, roles, "")]
    if isinstance(events, (str, bytes)) or not isinstance(events, Iterable) or hasattr(events, "columns"):
        raise SchemaError(
            f"observe takes an event, or a list of them. Got {type(events).__name__}. Write live.observe({{'user_id': "
            "user, 'event': 'view', 'channel': 'web', 'item_id': item, 'timestamp': at}); a log goes in by "
            "live.backfill(data)."
        )
    listed = list(events)
    return [_read(one, roles, f" (event {place} of {len(listed):,})") for place, one in enumerate(listed)]


def _read(event: Any, roles: Mapping[str, str], place: str) -> tuple[Any, Event]:
    where = f"observe{place}"
    if not isinstance(event, Mapping):
        raise SchemaError(f"{where}: an event is a mapping of field to value. Got {type(event).__name__}.")
    if strange := [name for name in event if name not in _FIELDS]:
        raise SchemaError(
            f"{where}: {count_of(len(strange), 'field')} of the event {'is' if len(strange) == 1 else 'are'} unknown: "
            f"{', '.join(shown(name) for name in strange[:3])}. Known are {', '.join(_FIELDS)}. Keep those: "
            "{name: event[name] for name in event if name in known}."
        )
    held = {name: None if _is_missing(value) else value for name, value in event.items()}
    if missing := [name for name in _NEEDED if held.get(name) is None]:
        raise SchemaError(
            f"{where}: the event has no {' and no '.join(missing)}. Every event needs {', '.join(_NEEDED)}."
        )
    at_us = check_instant(held["timestamp"], f"{where}: timestamp")
    name, channel = (_text(held[field], f"{where}: {field}") for field in ("event", "channel"))
    texts = {
        field: None if held.get(field) is None else _text(held[field], f"{where}: {field}")
        for field in ("event_id", "purpose", "refers_to", "kind")
    }
    found = Event(
        at_us,
        name,
        channel,
        None if held.get("item_id") is None else check_id(held["item_id"], f"{where}: item_id"),
        _number(held.get("value"), where),
        texts["event_id"] or secrets.token_hex(12),
        _answer(held.get("consent"), where),
        texts["purpose"],
        texts["refers_to"],
        texts["kind"],
    )
    _check_role(found, roles.get(name, ACTIVITY), where)
    return check_id(held["user_id"], f"{where}: user_id"), found


def _check_role(event: Event, role: str, where: str) -> None:
    """Refuse an event that lacks what its role needs, or says what its role cannot."""
    if role in ("undo", "response") and event.refers_to is None:
        raise SchemaError(
            f"{where}: an event of the type {shown(event.event)} needs refers_to, the event_id of "
            f"{'what is undone' if role == 'undo' else 'the message'}."
        )
    if (role == "consent") != (event.consent is not None):
        raise SchemaError(
            f"{where}: consent, True or False, belongs to an event that gives or withdraws it, and to no other. Write "
            "{'event': 'consent', 'consent': False, ...}."
        )
    if event.kind is not None and role != "sent":
        raise SchemaError(
            f"{where}: kind belongs to a message that was sent, and to no other event. Write {{'event': 'sent', "
            "'kind': 'nudge', ...}."
        )
    if role in ("impression", "like", "dislike") and event.item is None:
        raise SchemaError(f"{where}: an event of the type {shown(event.event)} needs an item_id.")


def check_id(value: Any, where: str) -> Any:
    """Return an id as a Python int or str; it is never repeated in an error."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str) and 0 < len(value) <= _LONGEST:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise SchemaError(f"{where} is a text that is no Unicode: it holds half a character.") from None
        return value
    if isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63:
        return value
    raise SchemaError(
        f"{where} must be an id: an integer of 64 bits or a text of 1 to {_LONGEST} characters. Got "
        f"{type(value).__name__}."
    )


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise SchemaError(f"{where} must be a text. Got {type(value).__name__}: write str(value).")
    return str(check_id(value, where))


def _number(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise SchemaError(f"{where}: value must be a number. Got {type(value).__name__}: write float(value).")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SchemaError(f"{where}: value must be finite. Leave it out where it is not known.")
    return number


def _answer(value: Any, where: str) -> bool | None:
    if value is None or isinstance(value, (bool, np.bool_)):
        return None if value is None else bool(value)
    raise SchemaError(f"{where}: consent must be True or False. Got {type(value).__name__}.")


def _is_missing(value: Any) -> bool:
    if value is None or (isinstance(value, str) and value == ""):
        return True
    if isinstance(value, (float, np.floating)):
        return bool(value != value)
    return type(value).__name__ in ("NaTType", "NAType")


def check_roles(roles: Any) -> Mapping[str, str]:
    """Return what event types mean, checked."""
    if not isinstance(roles, Mapping) or not all(isinstance(name, str) and name for name in roles):
        raise ParameterError(f"roles must map event types to {', '.join(KINDS)}. Got {shown(roles)}.")
    if wrong := [role for role in roles.values() if role not in KINDS]:
        raise ParameterError(f"roles: {shown(wrong[0])} is no role. There are {', '.join(KINDS)}.")
    return ReadOnly({str(name): str(role) for name, role in roles.items()})
