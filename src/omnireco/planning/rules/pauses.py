"""When a person is left alone, or may be answered: after a purchase, a complaint, a message of their own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from omnireco._core.checks import check_choice, check_duration, check_kind, check_known, check_one_or_more
from omnireco.data.asking.touches import Touches
from omnireco.data.events import EventLog
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import ParameterError
from omnireco.planning.rules.base import Eligibility
from omnireco.planning.rules.naming import names_of

__all__ = ["CoolDown", "ServiceWindow", "last_before"]


@dataclass(frozen=True, slots=True, eq=False)
class CoolDown(Eligibility):
    """No message for a while after a purchase, a complaint, or an answer.

    Parameters
    ----------
    length : duration such as "7D"
        Half-open: a touch exactly ``length`` after the event may be sent.
    log : EventLog or MessageLog
        Events after which people are left alone; of a message log the responses.
    events : str or iterable of str, optional
        Types of event, ``["purchase", "complaint"]``; needed for an EventLog.
    by : {"user", "item"}
        Whether nothing is sent, or nothing about the item that the event was about.
    channels : str or iterable of str, optional
        Channels that keep quiet; all by default.

    Raises
    ------
    ParameterError
        When the log has no event of a type.

    Notes
    -----
    One sort of the events, one search for each touch. What happens after the log ends is not known: read it anew on the
    day that the messages leave. Under ``by="item"`` an event without an item silences all items.

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> log = om.EventLog.from_frame(pd.DataFrame({"user_id": [1], "item_id": ["tea"], "channel": "shop",
    ...     "event": "purchase", "timestamp": pd.to_datetime(["2025-05-30 10:00"], utc=True)}))
    >>> CoolDown("7D", log, events="purchase", by="item").name
    "CoolDown('7D', events=['purchase'], by='item')"
    """

    length: str | dt.timedelta
    log: EventLog | MessageLog = field(repr=False)
    events: str | Iterable[str] | None = field(default=None, kw_only=True)
    by: str = field(default="user", kw_only=True)
    channels: str | Iterable[str] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_duration(self.length, "CoolDown: length")
        check_choice(self.by, "CoolDown: by", ("user", "item"))
        object.__setattr__(self, "channels", names_of(self.channels, "CoolDown"))
        check_kind(self.log, (EventLog, MessageLog), "CoolDown: log", "CoolDown('7D', data.events, events='purchase')")
        if isinstance(self.log, MessageLog):
            if self.events is not None:
                raise ParameterError(
                    "CoolDown: events are of an EventLog; of a MessageLog the responses count. Leave it out."
                )
            return
        if self.events is None:
            raise ParameterError("CoolDown: events is missing. Write CoolDown('7D', data.events, events=['purchase']).")
        names = check_one_or_more(self.events, "CoolDown: events")
        check_known(names, self.log.events.ids, "CoolDown: events", missing=None)
        object.__setattr__(self, "events", names)

    @property
    def name(self) -> str:
        """What reports call this rule."""
        events = "responses" if self.events is None else list(self.events)
        return f"CoolDown({self.length!r}, events={events!r}{', by=' + repr(self.by) if self.by != 'user' else ''})"

    def mask(self, touches: Touches) -> np.ndarray:
        """Return which touches are not too soon after an event."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        length = check_duration(self.length, "CoolDown: length")
        user, item, at = self._events()
        known, goods = self.log.users, self.log.items
        last = last_before(touches, known, user, at)
        if self.by == "item":
            about = last_before(touches, known, user, at, items=(goods, item))
            nothing = item == NONE
            last = np.maximum(about, last_before(touches, known, user[nothing], at[nothing]))
        soon = (last != NEVER) & (touches.send_at - np.where(last == NEVER, touches.send_at, last) < length)
        return ~(touches.on(self.channels, "CoolDown: channels") & soon)  # type: ignore[arg-type]

    def _events(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return person, item and instant of each event that counts."""
        if isinstance(self.log, MessageLog):
            rows = np.flatnonzero(self.log.responded_at != NEVER)
            return self.log.user[rows], self.log.item[rows], self.log.responded_at[rows]
        rows = np.flatnonzero(np.isin(self.log.event, self.log.events.codes(list(self.events or ()))))
        return self.log.user[rows], self.log.item[rows], self.log.at[rows]


@dataclass(frozen=True, slots=True, eq=False)
class ServiceWindow(Eligibility):
    """On a chat, a business may write only for a while after the person's own message.

    Parameters
    ----------
    log : EventLog
        With the messages that people wrote themselves.
    events : str or iterable of str
        Their types, such as ``"message_in"``.
    channels : str or iterable of str
        The chat: the channel of the touches and of these events.
    length : duration, default "24h"
        WhatsApp, Messenger and Instagram allow 24 hours after the person's last message.

    Raises
    ------
    ParameterError
        When the log has no event of a type; from :meth:`mask` for a channel that nothing has.

    Notes
    -----
    Fails closed: who has written nothing gets nothing there. Half-open: exactly ``length`` after is too late.

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> log = om.EventLog.from_frame(pd.DataFrame({"user_id": [1], "item_id": [None], "channel": "chat",
    ...     "event": "message_in", "timestamp": pd.to_datetime(["2025-05-30 10:00"], utc=True)}), itemless="keep")
    >>> ServiceWindow(log, events="message_in", channels="chat")
    ServiceWindow(events=('message_in',), channels=('chat',), length='24h')
    """

    log: EventLog = field(repr=False)
    events: str | Iterable[str] = field(kw_only=True)
    channels: str | Iterable[str] = field(kw_only=True)
    length: str | dt.timedelta = field(default="24h", kw_only=True)

    def __post_init__(self) -> None:
        check_kind(
            self.log, EventLog, "ServiceWindow: log", "ServiceWindow(data.events, events='message_in', channels='chat')"
        )
        check_duration(self.length, "ServiceWindow: length")
        object.__setattr__(self, "channels", names_of(self.channels, "ServiceWindow"))
        if self.channels is None:
            raise ParameterError("ServiceWindow: channels must name the chat. Write channels='chat'.")
        names = check_one_or_more(self.events, "ServiceWindow: events")
        check_known(names, self.log.events.ids, "ServiceWindow: events", missing=None)
        object.__setattr__(self, "events", names)

    def mask(self, touches: Touches) -> np.ndarray:
        """Return which touches answer a message of the person in time."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        length = check_duration(self.length, "ServiceWindow: length")
        log, fine = self.log, np.ones(len(touches), np.bool_)
        for name in self.channels:
            mine = np.flatnonzero(touches.on((name,), "ServiceWindow: channels"))
            wrote = np.isin(log.event, log.events.codes(list(self.events)))
            wrote &= np.isin(log.channel, log.channels.codes([name], missing="none"))
            rows = np.flatnonzero(wrote)
            some = touches.take(mine)
            last = last_before(some, log.users, log.user[rows], log.at[rows])
            fine[mine] = (last != NEVER) & (some.send_at - np.where(last == NEVER, some.send_at, last) < length)
        return fine


def last_before(
    touches: Touches,
    users: Vocabulary,
    user: np.ndarray,
    at: np.ndarray,
    *,
    items: tuple[Vocabulary, Any] | None = None,
) -> np.ndarray:
    """Return when each touch's person (and item) last had an event at or before it, int64 (n,); NEVER for none.

    ``user`` are codes of ``users``; ``items`` are the vocabulary of the events' items and their codes.
    """
    here = match(touches.users, users, ("the touches", "the events"))[user].astype(np.int64)
    asked = touches.user.astype(np.int64)
    if items is not None:
        known, code = items
        goods = np.append(match(touches.items, known, ("the touches", "the events"), column="item_id"), np.int32(NONE))
        width = max(1, len(touches.items))
        thing = goods[code].astype(np.int64)
        here = np.where((here >= 0) & (thing >= 0), here * width + thing, NONE)
        asked = np.where(touches.item >= 0, asked * width + touches.item, -2)
    mine = here >= 0
    here, at = here[mine], at[mine]
    if not here.size:
        return np.full(len(touches), NEVER)
    order = np.lexsort((at, here))
    here, at = here[order], at[order]
    times = np.unique(at)
    wide = times.size + 1
    keys = here * wide + np.searchsorted(times, at, side="right")
    wanted = asked * wide + np.searchsorted(times, touches.send_at, side="right")
    spot = np.searchsorted(keys, wanted, side="right") - 1
    place = np.maximum(spot, 0)
    return np.where((spot >= 0) & (here[place] == asked), at[place], NEVER)
