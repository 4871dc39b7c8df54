"""What candidates are made from: an audience, what was sent before, what was withdrawn, and the rules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from omnireco._core.parts import Maybe, Parts
from omnireco._core.small import Each, Flag, Value
from omnireco.data.asking import consent
from omnireco.data.asking.consent import FORBIDDEN, audience_rows
from omnireco.data.asking.touches import Past
from omnireco.data.audience import Audience
from omnireco.data.events import EventLog
from omnireco.data.messages import MessageLog
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.planning.rules import Eligibility

__all__ = ["FORBIDDEN", "Sources", "audience_rows", "channel_names", "consent_since", "past_messages"]


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
    """Return every name of a channel: those of the touches first, then of audience and message logs."""
    return consent.channel_names(channels, sources.audience, sources.messages)


def past_messages(users: Vocabulary, named: tuple[str, ...], logs: Iterable[MessageLog]) -> Past:
    """Return the messages that these people had; one that stands in several logs counts once."""
    several = tuple(logs)
    kinds = tuple(dict.fromkeys(str(name) for log in several if log.kinds is not None for name in log.kinds.ids))
    parts = [_past_of(users, named, log, kinds) for log in several]
    if not parts:
        return Past(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))
    whole = parts[0]
    for more in parts[1:]:
        fresh = ~_stands_in(more, whole)
        names = ("user", "channel", "sent_at", "kind")
        user, channel, sent_at, kind = (
            np.concatenate([getattr(whole, name), getattr(more, name)[fresh]]) for name in names
        )
        whole = Past(user, channel, sent_at, kinds, kind)
    return whole


def consent_since(users: Vocabulary, channels: Vocabulary, sources: Sources) -> np.ndarray:
    """Return the instant from which each person's consent on each channel holds, int64 (n_users, n_channels)."""
    return consent.consent_since(users, channels, sources.audience, sources.messages, sources.withdrawals)


def _past_of(users: Vocabulary, named: tuple[str, ...], log: MessageLog, kinds: tuple[str, ...]) -> Past:
    user = match(users, log.users, ("the candidates", "the message log"))[log.user]
    place = {name: code for code, name in enumerate(named)}
    table = np.array([*(place.get(str(name), NONE) for name in log.channels.ids), NONE], np.int32)
    mine = user != NONE
    kind = np.full(mine.size, NONE, np.int32)
    if log.kinds is not None and log.kind is not None:
        kind = np.array([*(kinds.index(str(name)) for name in log.kinds.ids), NONE], np.int32)[log.kind]
    return Past(user[mine], table[log.channel[mine]], log.sent_at[mine], kinds, kind[mine])


def _stands_in(more: Past, whole: Past) -> np.ndarray:
    """Return which messages have the person, channel and instant of one in ``whole``, bool."""
    import pandas as pd

    names = ["user", "channel", "sent_at"]
    wanted, known = (pd.MultiIndex.from_arrays([getattr(past, name) for name in names]) for past in (more, whole))
    return np.asarray(wanted.isin(known), np.bool_)
