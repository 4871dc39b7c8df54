"""Logs of a Dataset as rows of a store: what people did before the service began."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from omnireco.data.dataset import Dataset
from omnireco.data.messages import NEVER
from omnireco.data.vocabulary import NONE
from omnireco.errors import ParameterError
from omnireco.live.events import ACTIVITY, Event
from omnireco.live.privacy import key_of_user
from omnireco.live.store import Row

__all__ = ["rows_of_data"]

_AT_ONCE = 2000


def rows_of_data(data: Dataset, key: bytes | None, roles: Mapping[str, str]) -> Iterator[list[Row]]:
    """Give the events and messages of a Dataset as rows, some thousand at a time."""
    rows: list[Row] = []
    for user, event in _events(data, roles):
        rows.append(Row(key_of_user(user, key), event.event_id, event.at_us, event.body()))
        if len(rows) == _AT_ONCE:
            yield rows
            rows = []
    if rows:
        yield rows


def _events(data: Dataset, roles: Mapping[str, str]) -> Iterator[tuple[Any, Event]]:
    if data.events is not None:
        yield from _of_log(data.events, roles)
    if data.messages is not None:
        yield from _of_messages(data.messages, roles)


def _of_log(log: Any, roles: Mapping[str, str]) -> Iterator[tuple[Any, Event]]:
    odd = [str(name) for name in log.events.ids if roles.get(str(name), ACTIVITY) not in (ACTIVITY, "like", "dislike")]
    if odd:
        raise ParameterError(
            f"backfill: the log has events of the type {odd[0]!r}, which the rules read as {roles[odd[0]]!r}. Leave "
            "them out, log.select(events=[...]), and send them through live.observe, which takes all of it."
        )
    times: dict[tuple[Any, ...], int] = {}
    values = np.full(len(log), np.nan) if log.value is None else log.value
    users, items, channels, kinds = (known.ids for known in (log.users, log.items, log.channels, log.events))
    columns = (log.user, log.item, log.channel, log.event, log.at, values)
    for user, item, channel, kind, at, value in zip(*(column.tolist() for column in columns), strict=True):
        event = Event(
            at,
            str(kinds[kind]),
            str(channels[channel]),
            None if item == NONE else _plain(items[item]),
            None if value != value else value,
        )
        same = user, event.at_us, event.body()
        times[same] = times.get(same, 0) + 1  # two equal rows are two events
        name = hashlib.blake2b(f"{at} {times[same]} ".encode() + event.body(), digest_size=12).hexdigest()
        yield _plain(users[user]), event._replace(event_id=name)


def _of_messages(sent: Any, roles: Mapping[str, str]) -> Iterator[tuple[Any, Event]]:
    named = {role: name for name, role in reversed(list(roles.items()))}
    if missing := [role for role in ("sent", "response", "unsubscribed") if role not in named]:
        raise ParameterError(f"backfill: the rules have no event type with the role {missing[0]!r}. Name one in roles.")
    users, items, channels = (known.ids for known in (sent.users, sent.items, sent.channels))
    for place in range(len(sent)):
        channel, item = str(channels[sent.channel[place]]), int(sent.item[place])
        kind = NONE if sent.kind is None else int(sent.kind[place])
        event = Event(
            int(sent.sent_at[place]),
            named["sent"],
            channel,
            None if item == NONE else _plain(items[item]),
            kind=None if kind == NONE else str(sent.kinds.ids[kind]),
        )
        name = hashlib.blake2b(f"{event.at_us} {place} ".encode() + event.body(), digest_size=12).hexdigest()
        user = _plain(users[sent.user[place]])
        yield user, event._replace(event_id=name)
        for role, column in (("response", sent.responded_at), ("unsubscribed", sent.unsubscribed_at)):
            if column is not None and column[place] != NEVER:
                at = int(column[place])
                yield user, Event(at, named[role], channel, event_id=f"{name}-{role}", refers_to=name)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
