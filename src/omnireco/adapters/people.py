"""Traits and consents of people, merged from records: the newest known instant decides, and doubt means no consent."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from omnireco.adapters.values import as_id, filled, instants, time_fault
from omnireco.data.frames.answers import as_consent, is_missing
from omnireco.data.frames.placeholders import is_placeholder
from omnireco.data.frames.zone_names import one_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CONSENT",
    "REACHABLE",
    "ZONE",
    "Fact",
    "mark_withdrawn",
    "merged",
    "plain_words",
    "stated_consents",
    "withdrawn_channel",
]

CONSENT, REACHABLE, ZONE = "consent_", "reachable_", "timezone"

_WITHDRAWN = re.compile(
    r"\bunsubscribe(s|d)?\b|\bopt(s|ed)? ?out\b|\bspam (report(ed)?|complaint)$"
    r"|\b(marked|reported) as spam$|(^|\bemail )complain(t|ed)$|\bspamreport$"
    r"|\bconsent (withdrawn|revoked|removed|denied)$|\b(withdrew|withdraw|revoked?|removed?) consent$"
)
_NOT_WITHDRAWN = (
    re.compile(  # somebody looked at the page, it did not work, or it is about something else than messages
        r"\b(view(s|ed)?|pages?|shown|display(s|ed)?|fail(s|ed)?|undone|cookies?|tracking|analytics|ads?|beta|trial)\b"
    )
)
_AGREED = re.compile(r"\bopt(ed)? ?in$|\b(e ?mail|newsletter|sms|push|whats ?app) subscribed?$")
_TRAIT = re.compile(r"(?i:consent)(?:[\s_-]+|(?=[A-Z]))(\w.*)")
_AT = "_at"
_WORDS = {
    "email": re.compile(r"\b(e ?mails?|newsletters?|spam\w*)\b"),
    "sms": re.compile(r"\b(sms|mms|text messages?)\b"),
    "push": re.compile(r"\bpush\b"),
    "whatsapp": re.compile(r"\bwhats ?app\b"),
}
_PLACES = {"web", "app", "server", "store", "unknown", "desktop", "console", "iot", "tv", "phone"}


@dataclass(frozen=True, slots=True)
class Fact:
    """One trait or consent of a person in a record.

    ``name`` is ``timezone``, ``consent_<channel>`` or ``reachable_<channel>``. With a ``*`` behind it a consent stands
    for those to purposes of the channel too, such as ``consent_email_news``; ``consent_*`` is every consent.
    """

    record: int
    user: str
    name: str
    at: Any
    value: Any


@lru_cache(maxsize=4096)  # a source has few names of events, and each record has one
def plain_words(name: str) -> str:
    """Return the name of an event in lower case with single blanks: ``emailUnsubscribed`` is "email unsubscribed"."""
    return " ".join(re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).lower().split())


@lru_cache(maxsize=4096)
def withdrawn_channel(event: str, channel: str | None = None) -> str | None:
    """Return the channel on which an event of this name withdraws consent, None where it withdraws none.

    A name without a channel, of an event on none that carries messages, means every channel: "".
    """
    words = plain_words(event)
    if not _WITHDRAWN.search(words) or _NOT_WITHDRAWN.search(words):
        return None
    if channel is not None and channel not in _PLACES:
        return channel
    return next((name for name, word in _WORDS.items() if word.search(words)), "")


def stated_consents(traits: Mapping[str, Any], at: Any) -> list[tuple[str, Any, Any]]:
    """Return (name, instant, value) of each consent among the traits of a person, however it is spelled.

    ``consent_<channel>`` holds from ``consent_<channel>_at`` where that is there, else from ``at``. A trait that is an
    unsubscription by its name (``unsubscribed``, ``emailOptOut``) withdraws unless its value is false, and an
    ``email_opt_in`` that is false withdraws too; neither gives a consent.

    >>> stated_consents({"consentEmail": True, "consent_email_at": "2025-05-01T08:00Z", "smsOptOut": 1}, "now")
    [('consent_email', '2025-05-01T08:00Z', True), ('consent_sms*', 'now', False)]
    """
    named: dict[str, list[Any]] = {
        f"{CONSENT}{match[1].lower()}": [] for name in traits if (match := _TRAIT.fullmatch(str(name)))
    }
    withdrawn: list[tuple[str, Any, Any]] = []
    for name, value in traits.items():
        if match := _TRAIT.fullmatch(str(name)):
            named[f"{CONSENT}{match[1].lower()}"].append(value)
        elif (channel := _withdrawn_by_trait(str(name), value)) is not None:
            withdrawn.append((f"{CONSENT}{channel}*", at, False))
    stamps = {name for name in named if name.endswith(_AT) and name.removesuffix(_AT) in named}
    return [
        (name, filled(*named.get(name + _AT, [])) or at, value)
        for name in named
        if name not in stamps
        for value in named[name]
    ] + withdrawn


def _withdrawn_by_trait(name: str, value: Any) -> str | None:
    """Return the channel that a trait withdraws by its name and value, "" for every channel, None for none."""
    words, yes = plain_words(name), as_consent(value)
    if _AGREED.search(words) and yes is False and not is_missing(value):
        return next((channel for channel, word in _WORDS.items() if word.search(words)), "")
    return None if yes is False else withdrawn_channel(name)


def mark_withdrawn(messages: pd.DataFrame, facts: Iterable[Fact], *, naive: bool = False) -> pd.DataFrame:
    """Return messages with every withdrawal of consent in ``unsubscribed_at``, so that they alone suffice.

    One without a message id is recorded on the newest message of its person and channel before it.
    """
    facts = [fact for fact in facts if fact.name.endswith("*") and fact.value is False]
    if not facts or messages.empty:
        return messages
    own = messages.groupby("user_id", sort=False).indices
    channel, sent, gone = (messages[name].tolist() for name in ("channel", "sent_at", "unsubscribed_at"))
    for fact, at in zip(facts, instants([fact.at for fact in facts], naive=naive), strict=True):
        last: dict[str, int] = {}
        for row in own.get(fact.user, []):  # in the order of sending
            if at >= sent[row] and _concerns(fact.name, CONSENT + channel[row]):
                last[channel[row]] = row
        known = {channel[row] for row in own.get(fact.user, []) if gone[row] == at}
        for row in (row for name, row in last.items() if name not in known):
            gone[row] = at if is_missing(gone[row]) else max(gone[row], at)
    return messages.assign(unsubscribed_at=instants(gone))


def merged(facts: Iterable[Fact], *, naive: bool = False) -> tuple[pd.DataFrame, list[tuple[int, str]]]:
    """Return one row per person, and (record, reason) for everything that was not read.

    Of each column the newest known instant decides, whatever the order of facts, and ``consent_<channel>_at`` says
    which it was: a yes undoes an unsubscription that other data know of only by its instant. On equal instants, and
    where a value or its instant cannot be read, a no wins: a no without an instant holds for good, a yes without one is
    none. A zone that is missing does not overwrite; one that is no IANA region, or that two facts of one instant know
    differently, is none.
    """
    import pandas as pd

    facts = list(facts)
    dated = zip(facts, instants([fact.at for fact in facts], naive=naive), strict=True)
    known: dict[str, dict[str, list[tuple[Fact, Any]]]] = {fact.user: defaultdict(list) for fact in facts}
    for fact, at in dated:
        known[fact.user][fact.name].append((fact, None if pd.isna(at) else at))
    names = _columns(facts)
    notes: list[tuple[int, str]] = []
    rows = []
    for user, own in known.items():
        row: dict[str, Any] = {"user_id": user, ZONE: _zone(own[ZONE], notes)}
        for name in names:
            found = [one for key in own if _concerns(key, name) for one in own[key]]
            if found:
                row[name] = _yes(found, notes)
                if name.startswith(CONSENT):
                    row[name + _AT] = max((at for _, at in found if at is not None), default=None)
            elif name.startswith(REACHABLE):
                row[name] = True
        rows.append(row)
    dates = [name + _AT for name in names if name.startswith(CONSENT)]
    users = pd.DataFrame(rows, columns=["user_id", ZONE, *names, *dates], dtype=object if not rows else None)
    for name in dates:
        users[name] = pd.to_datetime(users[name], utc=True)
    return users, sorted(set(notes))


def _columns(facts: list[Fact]) -> list[str]:
    """Return the columns in order of first mention; reachable only beside a consent, and where one is False."""
    names = dict.fromkeys(fact.name.rstrip("*") for fact in facts if fact.name.startswith(CONSENT))
    names.pop(CONSENT, None)
    lost = dict.fromkeys(fact.name for fact in facts if fact.name.startswith(REACHABLE) and fact.value is False)
    return list(names | dict.fromkeys(CONSENT + name.removeprefix(REACHABLE) for name in lost) | lost)


def _concerns(column: str, name: str) -> bool:
    """Return whether a fact about one column applies to another."""
    rest = name.removeprefix(column.rstrip("*"))
    prefix = column.endswith("*") and rest != name
    return column == name or (prefix and (column == f"{CONSENT}*" or not rest[:1].isalnum()))


def _yes(found: list[tuple[Fact, Any]], notes: list[tuple[int, str]]) -> bool:
    """Return whether consent is given."""
    dated = [(at, as_consent(fact.value), fact) for fact, at in found]
    for at, yes, fact in dated:
        if yes is None:
            notes.append((fact.record, "unreadable consent, taken for none"))
        elif at is None:
            why = "consent without a time does not count" if yes else "a refusal without a time always counts"
            notes.append((fact.record, why))
    newest = max((at for at, _, _ in dated if at is not None), default=None)
    last = [(yes, fact) for at, yes, fact in dated if at == newest]
    if any(yes for at, yes, _ in dated if at is not None):
        notes += [(fact.record, "empty consent, taken for none") for _, fact in last if is_missing(fact.value)]
    undated_no = any(at is None and not yes for at, yes, _ in dated)
    return newest is not None and not undated_no and all(yes for yes, _ in last)


@lru_cache(maxsize=4096)  # there are few zones, and many people
def _zone_by_name(name: str | None) -> tuple[str | None, bool]:
    """Return the region of a name, and whether the name is no placeholder."""
    return one_name(name), name is not None and not is_placeholder(name) and name.lower() != "etc/unknown"


def _zone(found: list[tuple[Fact, Any]], notes: list[tuple[int, str]]) -> str | None:
    """Return the newest zone."""
    named: list[tuple[Any, str | None]] = []
    for fact, at in found:
        name = as_id(fact.value)
        zone, stated = _zone_by_name(name)
        if at is None and not is_missing(fact.at):
            notes.append((fact.record, time_fault(fact.at)))
        if not is_missing(fact.value) and zone is None:
            notes.append((fact.record, "a time zone that cannot be read is missing"))
        if stated:
            named.append((at, zone))
    newest = max((at for at, _ in named if at is not None), default=None)
    last = {name for at, name in named if at == newest}
    return last.pop() if len(last) == 1 else None
