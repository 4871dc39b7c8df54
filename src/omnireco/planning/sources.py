"""What candidates are made from: an audience, what was sent before, what was withdrawn, and the rules.

Every source of a withdrawal is read here, into one instant per person and channel from which consent holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from omnireco._core.checks import plain_name
from omnireco._core.parts import Maybe, Parts
from omnireco._core.small import Each, Flag, Value
from omnireco.data.asking.touches import Past
from omnireco.data.audience import Audience
from omnireco.data.events import EventLog
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import SchemaError
from omnireco.planning.rules import Eligibility

__all__ = ["FORBIDDEN", "Sources", "audience_rows", "channel_names", "consent_since", "past_messages"]

FORBIDDEN = int(np.iinfo(np.int64).max)
"""The instant from which consent holds where there is none."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Sources:
    """What a set of candidates was made from, kept so that sets can be joined without loosening a rule.

    Attributes
    ----------
    audience : Audience or None
    messages : tuple of MessageLog
    withdrawals : tuple of EventLog
    rules : tuple of Eligibility
        Beyond consent and reachability.
    complete : bool
        False where this is not all: a plan read from a file has its touches, and no rules to plan them again by.
    """

    audience: Audience | None = None
    messages: tuple[MessageLog, ...] = ()
    withdrawals: tuple[EventLog, ...] = ()
    rules: tuple[Eligibility, ...] = ()
    complete: bool = True

    parts: ClassVar[Parts] = {
        "audience": Maybe(Value((Audience,))),
        "messages": Each(Value((MessageLog,))),
        "withdrawals": Each(Value((EventLog,))),
        "rules": Each(Value((Eligibility,))),
        "complete": Flag(),
    }

    @property
    def know_consent(self) -> bool:
        """Whether there is any source of consent."""
        return self.audience is not None or bool(self.messages) or bool(self.withdrawals)


def channel_names(channels: Vocabulary, sources: Sources) -> tuple[str, ...]:
    """Return every name of a channel: those of the touches first, then of audience and message logs.

    One channel in two spellings is an error: history, consent and rules would not meet, and nothing would say so.
    """
    tables = [("touches", channels)]
    tables += [] if sources.audience is None else [("audience", sources.audience.channels)]
    tables += [("message log", log.channels) for log in sources.messages]
    seen: dict[str, tuple[str, str]] = {}
    for table, known in tables:
        for name in map(str, known.ids):
            first, where = seen.setdefault(plain_name(name), (name, table))
            if first != name:
                raise SchemaError(
                    f"channel is {first!r} in the {where} and {name!r} in the {table}: one channel in two spellings, "
                    f"which would never meet. Rename one before it is read: "
                    f"frame['channel'] = frame['channel'].replace({name!r}, {first!r}), or the column consent_{name}."
                )
    return tuple(dict.fromkeys(str(name) for _, known in tables for name in known.ids))


def past_messages(users: Vocabulary, named: tuple[str, ...], logs: Iterable[MessageLog]) -> Past:
    """Return the messages that these people had; one that stands in several logs counts once."""
    parts = [_past_of(users, named, log) for log in logs]
    if not parts:
        return Past(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))
    whole = parts[0]
    for more in parts[1:]:
        fresh = ~_stands_in(more, whole)
        pairs = [(getattr(whole, name), getattr(more, name)[fresh]) for name in ("user", "channel", "sent_at")]
        whole = Past(*(np.concatenate(pair) for pair in pairs))
    return whole


def audience_rows(audience: Audience, users: Vocabulary) -> np.ndarray:
    """Return each person's row in the audience, -1 for unknown users; ids of another kind are an error."""
    return match(audience.users, users, ("the audience", "the candidates"))


def consent_since(users: Vocabulary, channels: Vocabulary, sources: Sources) -> np.ndarray:
    """Return the instant from which each person's consent on each channel holds, int64 (n_users, n_channels).

    UTC microseconds: :data:`NEVER` (before any) where it always does, :data:`FORBIDDEN` where there is none. The newest
    known instant decides; on equal instants the withdrawal wins, and over a yes without an instant always.
    """
    yes, given_at = _given(users, channels, sources.audience)
    withdrawn_at = np.full(yes.shape, NEVER)
    for log in sources.messages:
        _withdraw_after_messages(withdrawn_at, users, channels, log)
    for events in sources.withdrawals:
        _withdraw_by_events(withdrawn_at, users, channels, events, sources.audience)
    holds = yes & ((withdrawn_at == NEVER) | (given_at > withdrawn_at))
    return np.where(holds, given_at, FORBIDDEN)


def _given(users: Vocabulary, channels: Vocabulary, audience: Audience | None) -> tuple[np.ndarray, np.ndarray]:
    """Return consent and its instant in the audience; always True without an audience."""
    shape = (len(users), len(channels))
    if audience is None:
        return np.ones(shape, np.bool_), np.full(shape, NEVER)
    row = audience_rows(audience, users)[:, None]
    column = audience.channels.codes(channels.ids, missing="none")[None, :]
    known = (row >= 0) & (column >= 0)
    yes, at = np.zeros(shape, np.bool_), np.full(shape, NEVER)
    if known.any():
        yes[known] = audience.consent[row, column][known]
        if audience.consent_at is not None:
            at[known] = audience.consent_at[row, column][known]
    return yes, at


def _withdraw_after_messages(at: np.ndarray, users: Vocabulary, channels: Vocabulary, log: MessageLog) -> None:
    """Enter the unsubscriptions that followed messages: each stops the channel of its message."""
    if log.unsubscribed_at is None:
        return
    row = np.flatnonzero(log.unsubscribed_at != NEVER)
    user = match(users, log.users, ("the candidates", "the message log"))[log.user[row]]
    for column, name in enumerate(channels.ids):
        closed = np.array([_closes(str(of), str(name)) for of in log.channels.ids], np.bool_)
        mine = np.flatnonzero(closed[log.channel[row]] & (user != NONE)) if row.size else row
        np.maximum.at(at, (user[mine], np.full(mine.size, column)), log.unsubscribed_at[row[mine]])


def _withdraw_by_events(
    at: np.ndarray, users: Vocabulary, channels: Vocabulary, log: EventLog, audience: Audience | None
) -> None:
    """Enter events that withdraw: from their channel where it is one of messages, else from every channel."""
    known = {plain_name(str(name)) for name in (channels if audience is None else audience.channels).ids}
    of = [(str(name), plain_name(str(name))) for name in log.channels.ids]
    user = match(users, log.users, ("the candidates", "the withdrawals"))[log.user]
    for column, name in enumerate(channels.ids):
        stops = [_closes(raw, str(name)) or plain == plain_name(str(name)) or plain not in known for raw, plain in of]
        closed = np.array(stops, np.bool_)
        mine = np.flatnonzero(closed[log.channel] & (user != NONE)) if of else np.empty(0, np.int64)
        np.maximum.at(at, (user[mine], np.full(mine.size, column)), log.at[mine])


def _closes(withdrawn: str, channel: str) -> bool:
    """Return whether a withdrawal from one channel closes another: itself, and purposes of it (``email_news``)."""
    return channel == withdrawn or channel.startswith(f"{withdrawn}_")


def _past_of(users: Vocabulary, named: tuple[str, ...], log: MessageLog) -> Past:
    user = match(users, log.users, ("the candidates", "the message log"))[log.user]
    place = {name: code for code, name in enumerate(named)}
    table = np.array([*(place.get(str(name), NONE) for name in log.channels.ids), NONE], np.int32)
    mine = user != NONE
    return Past(user[mine], table[log.channel[mine]], log.sent_at[mine])


def _stands_in(more: Past, whole: Past) -> np.ndarray:
    """Return which messages have the person, channel and instant of one in ``whole``, bool."""
    import pandas as pd

    names = ["user", "channel", "sent_at"]
    wanted, known = (pd.MultiIndex.from_arrays([getattr(past, name) for name in names]) for past in (more, whole))
    return np.asarray(wanted.isin(known), np.bool_)
