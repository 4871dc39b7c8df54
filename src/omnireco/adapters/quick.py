"""Records of the usual shape, read without asking what every value might be; the rules read all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omnireco.adapters.people import ZONE, Fact, withdrawn_channel
from omnireco.adapters.records import Collector
from omnireco.adapters.values import Known, as_person
from omnireco.data.frames.suspicion import is_return
from omnireco.data.frames.zone_names import one_name

__all__ = [
    "Known",
    "Odd",
    "Zones",
    "add_event",
    "first_id",
    "id_of",
    "instant_of",
    "number_of",
    "part_of",
    "persons",
    "plain_names",
    "usual",
]

_LARGE = 2**53


class Odd(Exception):
    """A value is not of its usual type: the rules read its record."""


def persons() -> Known:
    """Return the ids of persons by their texts."""
    return Known(lambda text: as_person(text) if text is None or type(text) in (str, int) else _odd())


def plain_names(named: Mapping[str, Any], *, lower: bool = False) -> Known:
    """Return our name of an event, None where the rules must read it: orders, returns, withdrawals, unknown ones."""

    def rule(event: Any) -> str | None:
        if type(event) is not str or event != event.strip():
            return None
        ours = named.get(event.lower() if lower else event)
        if ours is None or type(ours) is not str or ours == "purchase" or is_return(ours):
            return None
        return ours if all(withdrawn_channel(one) is None for one in (event, ours)) else None

    return Known(rule)


def usual(strange: frozenset[str]) -> Known:
    """Return whether a record of these fields may be read here: no nested names, none of another spelling."""
    return Known(lambda shape: all(type(name) is str and "." not in name and name not in strange for name in shape))


def _odd() -> Any:
    raise Odd


def id_of(value: Any) -> str | None:
    """Return an id; Odd where it is not text, whole number or None."""
    kind = type(value)
    if kind is str:
        return value.strip() or None
    if value is None:
        return None
    return str(value) if kind is int else _odd()


def number_of(value: Any) -> float | None:
    """Return a number; Odd where it is not one, or so large that a rule must judge it."""
    kind = type(value)
    if kind is float or kind is int:
        return float(value) if -_LARGE < value < _LARGE else _odd()
    return None if value is None else _odd()


def instant_of(value: Any) -> Any:
    """Return a time as it stands; Odd where it is missing, or neither text nor a count."""
    kind = type(value)
    if (kind is str and value[:1].isdigit()) or kind is int:
        return value
    raise Odd


def part_of(value: Any) -> dict[str, Any]:
    """Return a nested mapping; Odd where something else stands for it."""
    return value if type(value) is dict else {} if value is None else _odd()


def first_id(record: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of some fields that is there, as an id; Odd as :func:`id_of`."""
    for name in names:
        if (value := record.get(name)) is not None and (found := id_of(value)) is not None:
            return found
    return None


class Zones:
    """Zones of persons as records repeat them: a zone that is stated again later replaces what it repeats."""

    def __init__(self, out: Collector) -> None:
        self.out = out
        self.read = Known(lambda zone: one_name(zone) is not None)
        self.last: dict[str, int] = {}

    def note(self, user: str, at: Any, zone: Any) -> None:
        """Note that a person is in a zone from an instant on."""
        facts, position = self.out.facts, self.last.get(user)
        if position is not None and facts[position].value == zone and _not_before(at, facts[position].at):
            facts[position] = Fact(facts[position].record, user, ZONE, at, zone)
            return
        self.last[user] = len(facts)
        self.out.user(user, at=at, timezone=zone)


def _not_before(at: Any, before: Any) -> bool:
    """Return whether an instant is certainly not before another, of the same form and unit."""
    if type(at) is int:
        return type(before) is int and before <= at < 2 * before
    same = type(before) is str and len(at) == len(before) == 25 and at[19:] == before[19:] == "+00:00"
    return same and bool(at >= before)


def add_event(
    out: Collector,
    name: str,
    ours: str,
    user: str,
    at: Any,
    channel: str,
    lines: list[tuple[str | None, float | None]],
    ids: tuple[str | None, str | None, str | None],
) -> None:
    """Add a record and its events, as ``record`` and ``event`` of the collector do; ``ids``: session, store, event."""
    record, (session, store, unique) = len(out.names), ids
    out.names.append(name)
    out.became.append(("event", ""))
    if not lines:
        out.unpriced.append(len(out.events))
        lines = [(None, None)]
    several = unique is not None and len(lines) > 1
    for number, (item, value) in enumerate(lines):
        one = f"{unique}/{number}" if several else unique
        out.events.append((record, user, item, channel, ours, at, value, session, store, one))
