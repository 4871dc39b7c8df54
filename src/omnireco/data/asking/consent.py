"""Consent to messages: from when on it holds, out of every place that may say that it was given or withdrawn.

Every source of a withdrawal is read here, into one instant per person and channel from which consent holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from omnireco._core.checks import plain_name
from omnireco.data.audience import Audience
from omnireco.data.events import EventLog
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import ParameterError, SchemaError

__all__ = ["FORBIDDEN", "audience_rows", "channel_names", "consent_since", "open_to", "withdrawals_of"]

FORBIDDEN = int(np.iinfo(np.int64).max)
"""The instant from which consent holds where there is none."""


def channel_names(channels: Vocabulary, audience: Audience | None, messages: Iterable[MessageLog]) -> tuple[str, ...]:
    """Return every name of a channel: those of the touches first, then of audience and message logs.

    One channel in two spellings is an error: history, consent and rules would not meet, and nothing would say so.
    """
    tables = [("touches", channels)]
    tables += [] if audience is None else [("audience", audience.channels)]
    tables += [("message log", log.channels) for log in messages]
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


def audience_rows(audience: Audience, users: Vocabulary) -> np.ndarray:
    """Return each person's row in the audience, -1 for strangers; ids of another kind are an error."""
    return match(audience.users, users, ("the audience", "the candidates"))


def consent_since(
    users: Vocabulary,
    channels: Vocabulary,
    audience: Audience | None,
    messages: Iterable[MessageLog] = (),
    withdrawals: Iterable[EventLog] = (),
) -> np.ndarray:
    """Return the instant from which each person's consent on each channel holds, int64 (n_users, n_channels).

    UTC microseconds: :data:`NEVER` (before any) where it always does, :data:`FORBIDDEN` where there is none. The newest
    known instant decides; on equal instants the withdrawal wins, and over a yes without an instant always.
    """
    yes, given_at = _given(users, channels, audience)
    withdrawn_at = np.full(yes.shape, NEVER)
    for log in messages:
        _withdraw_after_messages(withdrawn_at, users, channels, log)
    for events in withdrawals:
        _withdraw_by_events(withdrawn_at, users, channels, events, audience)
    holds = yes & ((withdrawn_at == NEVER) | (given_at > withdrawn_at))
    return np.where(holds, given_at, FORBIDDEN)


def _given(users: Vocabulary, channels: Vocabulary, audience: Audience | None) -> tuple[np.ndarray, np.ndarray]:
    """Return what the audience says: yes or no, and since when; without an audience always yes."""
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


def open_to(data: Any, channels: Vocabulary, at_us: int | None, where: str, withdrawals: Any = None) -> np.ndarray:
    """Return who of the audience of a Dataset may be written to on each channel from an instant on.

    Parameters
    ----------
    data : Dataset
    channels : Vocabulary
    at_us : int or None
        UTC microseconds; None is any time.
    where : str
        Begins an error: ``"best"``.
    withdrawals : optional
        As :func:`withdrawals_of` takes them.

    Returns
    -------
    ndarray of shape (n_users, n_channels), bool
        Whether there is a consent, which nothing has withdrawn, and an address.
    """
    audience: Audience = data.part("audience", where)
    messages = () if data.messages is None else (data.messages,)
    channel_names(channels, audience, messages)
    since = consent_since(audience.users, channels, audience, messages, withdrawals_of(withdrawals, data, where))
    column = audience.channels.codes(channels.ids, missing="none")
    reachable = np.pad(audience.reachable, ((0, 0), (0, 1)))[:, column]  # -1 was asked about by nobody
    return np.asarray(reachable & (since <= (FORBIDDEN - 1 if at_us is None else at_us)))


def withdrawals_of(withdrawals: Any, data: Any, where: str) -> tuple[EventLog, ...]:
    """Return the events that withdraw consent: a log of them, or those of the data with these names.

    Where the data has identities, those of a log are those of the people behind its ids.
    """
    if withdrawals is None:
        return ()
    if isinstance(withdrawals, EventLog):
        as_given = data.identities is None or withdrawals.resolution is not None
        return (withdrawals if as_given else withdrawals.resolve(data.identities),)
    listed = isinstance(withdrawals, Iterable) and not isinstance(withdrawals, (bytes, Mapping))
    listed = listed and not hasattr(withdrawals, "columns")  # a frame, whose columns are no events
    names = (withdrawals,) if isinstance(withdrawals, str) else tuple(withdrawals) if listed else (None,)
    if not all(isinstance(name, str) for name in names):
        raise ParameterError(
            f"withdrawals must be names of events of the data, or an EventLog. Got {type(withdrawals).__name__}. Write "
            "withdrawals=['unsubscribed'], or withdrawals=log.select(events=['unsubscribed'])."
        )
    if not names:
        return ()
    return (data.part("events", where).select(events=names),)
