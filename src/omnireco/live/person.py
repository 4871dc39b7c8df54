"""One person, folded from their events: history, session, opinions, impressions, consents, messages and points."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.checks import count_of
from omnireco._core.frozen import ReadOnly
from omnireco.data.events import EventLog
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.live.events import ACTIVITY, Event

__all__ = ["Message", "Person"]

_AT = attrgetter("at_us")
_GROUPS: Mapping[str, tuple[str, ...]] = {
    ACTIVITY: ("history",),
    "like": ("history", "opinion"),
    "dislike": ("history", "opinion"),
    "unsubscribed": ("consent",),
    **{name: (name,) for name in ("impression", "undo", "consent", "sent", "response")},
}


class Message(NamedTuple):
    """A message that a person was sent, and what came of it, UTC microseconds."""

    sent_at: int
    channel: str
    item: Any = None
    responded_at: int = NEVER
    kind: str | None = None


@dataclass(slots=True, eq=False, repr=False)
class Person:
    """What is known of one person; a new one is made for every event, and none is changed.

    Parameters
    ----------
    user : id
    version : int
        Of the store that the events were read from.
    events : tuple of Event
        In order, those too that were undone.
    roles : mapping of str to str
        What event types mean.
    groups : mapping of str to tuple of Event
        Those that were not undone, by what they mean; ``history`` is what the person did, with opinions and without
        impressions, messages or consents.
    made : dict
        What was computed of the history, and grows with it.
    """

    user: Any
    version: int
    events: tuple[Event, ...]
    roles: Mapping[str, str]
    groups: Mapping[str, tuple[Event, ...]]
    made: dict[Any, Any]

    @classmethod
    def of(cls, user: Any, version: int, events: Iterable[Event], roles: Mapping[str, str]) -> Person:
        """Return the person of some events, in whatever order they came; what is undone stays so, whenever it comes."""
        ordered = sorted(events, key=_AT)
        if len({one.at_us for one in ordered}) < len(ordered):
            ordered.sort(key=Event.order)
        whole = tuple(ordered)
        if all(roles.get(name, ACTIVITY) == ACTIVITY for name in {one.event for one in whole}):
            return cls(user, version, whole, roles, {"history": whole} if whole else {}, {})
        undone = {one.refers_to for one in ordered if roles.get(one.event) == "undo"}
        groups: dict[str, list[Event]] = {}
        for one in ordered:
            if one.event_id not in undone:
                for name in _GROUPS[roles.get(one.event, ACTIVITY)]:
                    groups.setdefault(name, []).append(one)
        return cls(user, version, whole, roles, {name: tuple(some) for name, some in groups.items()}, {})

    def __repr__(self) -> str:
        return f"Person({count_of(len(self.events), 'event')})"

    def with_event(self, event: Event, version: int) -> Person:
        """Return the person with one event more, which may be older than others."""
        role = self.roles.get(event.event, ACTIVITY)
        undone = self.groups.get("undo", ())
        if role == "undo" or (undone and any(one.refers_to == event.event_id for one in undone)):
            return Person.of(self.user, version, (*self.events, event), self.roles)
        groups, made = dict(self.groups), dict(self.made)
        for name in _GROUPS[role]:
            groups[name], place = _put(groups.get(name, ()), event)
            if name == "history":
                made = {key: grow(event, place) for key, held in made.items() if (grow := held.grow) is not None}
        return Person(self.user, version, _put(self.events, event)[0], self.roles, groups, made)

    @property
    def history(self) -> tuple[Event, ...]:
        """What the person did: activities and opinions; no impressions, messages or consents."""
        return self.groups.get("history", ())

    def before(self, at_us: int) -> tuple[Event, ...]:
        """Return the history strictly before an instant."""
        past = self.history
        return past if not past or past[-1].at_us < at_us else past[: bisect.bisect_left(past, at_us, key=_AT)]

    def log(self, at_us: int, names: tuple[Sequence[str], Sequence[str]]) -> EventLog:
        """Return the history strictly before an instant as a log.

        ``names`` are event types and channels that the log knows besides those in it: what weights may name.
        """
        past = self.before(at_us)
        held = self.made.get("log")
        if held is not None and held.n == len(past) and held.names is names:
            log: EventLog = held.log
            return log
        log = log_of(self.user, past, names)
        self.made["log"] = _Log(len(past), names, log)
        return log

    def session(self, at_us: int, gap_us: int) -> tuple[Event, ...]:
        """Return the events of the visit that goes on at an instant: none where the last one is a pause ago."""
        past = self.before(at_us)
        start, last = len(past), at_us
        while start and last - past[start - 1].at_us < gap_us:
            start -= 1
            last = past[start].at_us
        return past[start:]

    def opinions(self, at_us: int) -> Mapping[Any, bool]:
        """Return the newest opinion on each item before an instant: liked or not; at one instant no."""
        found: dict[Any, tuple[int, bool]] = {}
        for one in self.groups.get("opinion", ()):
            if one.at_us >= at_us:
                break
            role = self.roles.get(one.event)
            older = found.get(one.item)
            liked = role == "like" and not (older is not None and older[0] == one.at_us and not older[1])
            found[one.item] = (one.at_us, liked)
        return ReadOnly({item: liked for item, (_, liked) in found.items()})

    def impressions(self, at_us: int, since_us: int) -> Mapping[Any, int]:
        """Return what was shown in [since, at) and when last, the longest ago first."""
        found: dict[Any, int] = {}
        some = self.groups.get("impression", ())
        for one in some[bisect.bisect_left(some, since_us, key=_AT) :]:
            if one.at_us < at_us:
                found.pop(one.item, None)
                found[one.item] = one.at_us
        return found

    def consents(self, at_us: int, ahead_us: int = 0) -> Mapping[tuple[str, str | None], tuple[int, bool]]:
        """Return the newest consent by channel and purpose until an instant; at one instant no.

        An unsubscription is a withdrawal from the channel. A withdrawal counts ``ahead_us`` before its time stamp,
        which a fast clock may have made.
        """
        found: dict[tuple[str, str | None], tuple[int, bool]] = {}
        for one in self.groups.get("consent", ()):
            if one.at_us > at_us + ahead_us:
                break
            if one.at_us > at_us and one.consent:
                continue
            yes = self.roles.get(one.event) == "consent" and bool(one.consent)
            key = (one.channel, one.purpose)
            older = found.get(key)
            found[key] = (one.at_us, yes and not (older is not None and older[0] == one.at_us and not older[1]))
        return found

    def withdrawals(self, at_us: int, ahead_us: int = 0) -> list[tuple[str, int]]:
        """Return the channel and instant of every withdrawal from messages until an instant."""
        return [
            (one.channel, one.at_us)
            for one in self.groups.get("consent", ())
            if not one.consent and one.purpose is None and one.at_us <= at_us + ahead_us
        ]

    def allows(self, purpose: str, at_us: int, ahead_us: int = 0) -> bool:
        """Return whether the newest consent to a purpose, on whatever channel it was given, is a yes."""
        newest: tuple[int, bool] | None = None
        for (_, of), (at, yes) in self.consents(at_us, ahead_us).items():
            if of == purpose and (newest is None or (at, not yes) > (newest[0], not newest[1])):
                newest = (at, yes)
        return newest is not None and newest[1]

    def messages(self, at_us: int) -> tuple[Message, ...]:
        """Return what the person was sent strictly before an instant, with the first response before it."""
        answers: dict[str, int] = {}
        for one in self.groups.get("response", ()):
            if one.at_us < at_us and one.refers_to is not None:
                answers.setdefault(one.refers_to, one.at_us)
        return tuple(
            Message(
                one.at_us,
                one.channel,
                one.item,
                max(one.at_us, answers[one.event_id]) if one.event_id in answers else NEVER,
                one.kind,
            )
            for one in self.groups.get("sent", ())
            if one.at_us < at_us
        )

    def points(self, at_us: int, rates: Mapping[str, float]) -> float:
        """Return the balance before an instant: the sum of rate times value; an event without a value counts 1."""
        return float(
            sum(
                rates[one.event] * (1.0 if one.value is None else one.value)
                for one in self.before(at_us)
                if one.event in rates
            )
        )


class _Log(NamedTuple):
    """The log of the first ``n`` events of a history."""

    n: int
    names: Any
    log: EventLog
    grow: None = None  # made anew when an event comes


def _put(events: tuple[Event, ...], event: Event) -> tuple[tuple[Event, ...], int]:
    """Return events in order with one more, and its place."""
    place = len(events)
    if place and events[-1].at_us >= event.at_us:
        place = bisect.bisect(events, event.order(), key=Event.order)
    return (*events[:place], event, *events[place:]), place


def log_of(user: Any, past: Sequence[Event], names: tuple[Sequence[str], Sequence[str]]) -> EventLog:
    """Return the log of one person's events, which are in its order."""
    n = len(past)
    items = sorted({one.item for one in past if one.item is not None})
    kinds, places = (sorted({*known, *seen}) for known, seen in zip(names, _names(past), strict=True))
    item_code, kind_code, place_code = ({name: code for code, name in enumerate(of)} for of in (items, kinds, places))
    item_code[None] = NONE
    values = None
    if any(one.value is not None for one in past):
        values = np.fromiter((np.nan if one.value is None else one.value for one in past), np.float64, n)
    at = np.fromiter((one.at_us for one in past), np.int64, n)
    return EventLog(
        vocabulary([user]),
        vocabulary(items),
        vocabulary(places, text=True),
        vocabulary(kinds, text=True),
        np.zeros(n, np.int32),
        np.fromiter((item_code[one.item] for one in past), np.int32, n),
        np.fromiter((place_code[one.channel] for one in past), np.int32, n),
        np.fromiter((kind_code[one.event] for one in past), np.int32, n),
        at,
        values,
        {},
        int(at[0]) if n else 0,
        int(at[-1]) + 1 if n else 0,
    )


def messages_of(user: Any, sent: Sequence[Message], end_us: int, *, none: bool = False) -> MessageLog | None:
    """Return the log of one person's messages; where there is none, None, or with ``none`` an empty log."""
    if not sent and not none:
        return None
    n = len(sent)
    items, channels = sorted({one.item for one in sent if one.item is not None}), sorted({one.channel for one in sent})
    item_code: dict[Any, int] = {None: NONE, **{item: code for code, item in enumerate(items)}}
    channel_code = {name: code for code, name in enumerate(channels)}
    kinds = sorted({one.kind for one in sent if one.kind is not None})
    kind_code: dict[str | None, int] = {None: NONE, **{name: code for code, name in enumerate(kinds)}}
    return MessageLog(
        vocabulary([user]),
        vocabulary(channels, text=True),
        vocabulary(items),
        vocabulary([], text=True),
        np.zeros(n, np.int32),
        np.fromiter((channel_code[one.channel] for one in sent), np.int32, n),
        np.fromiter((item_code[one.item] for one in sent), np.int32, n),
        np.full(n, NONE, np.int32),
        np.fromiter((one.sent_at for one in sent), np.int64, n),
        np.fromiter((one.responded_at for one in sent), np.int64, n),
        None,
        end_us,
        kinds=vocabulary(kinds, text=True) if kinds else None,
        kind=np.fromiter((kind_code[one.kind] for one in sent), np.int32, n) if kinds else None,
    )


def vocabulary(ids: Sequence[Any], *, text: bool = False) -> Vocabulary:
    """Return sorted ids of one kind as a vocabulary."""
    kind = object if text or not ids or isinstance(ids[0], str) else np.int64
    found = np.empty(len(ids), kind)
    found[:] = ids
    return Vocabulary(found)


def _names(past: Sequence[Event]) -> tuple[set[str], set[str]]:
    return {one.event for one in past}, {one.channel for one in past}
