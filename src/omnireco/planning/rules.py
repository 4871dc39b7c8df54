"""May this touch be sent, and how many together: the two families of rules.

:class:`Eligibility` looks at touches one by one and gives a mask; :class:`Constraint` looks at all of
them and gives rows of a packing problem. Both are plain objects in a list. To write your own, inherit
from one of them and implement its single method (see their examples); the planner needs nothing else.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np

from omnireco._core.checks import (
    check_choice,
    check_duration,
    check_integer,
    check_kind,
    check_number,
    check_time_of_day,
    from_microseconds,
    shown,
)
from omnireco.data.asking.touches import Past, Touches
from omnireco.data.clock import in_quiet_hours
from omnireco.data.vocabulary import NONE
from omnireco.data.vocabulary import match as match_ids
from omnireco.errors import ParameterError
from omnireco.identity.zones import ZonePosterior
from omnireco.planning.rows import Choices, Rows

__all__ = [
    "Budget",
    "Capacity",
    "Choices",
    "Consent",
    "Constraint",
    "Eligibility",
    "FrequencyCap",
    "OncePerItem",
    "Past",
    "QuietHours",
    "Reachable",
    "Rows",
]

_MISSING = ("raise", "ignore")
_MANY = 2**53  # more than any limit that is ever met
_YEAR_1 = -62_135_596_800_000_000


class Eligibility(ABC):
    """May this one touch be sent? A mask, applied before any pruning.

    A rule must be pure (the same touches give the same answer), decide each touch independently, and
    return one bool per touch; rules are stacked with "and", so another rule never lets more through.

    Examples
    --------
    A rule of one's own: no message on Sundays, and none to people whose Sunday is not known.

    >>> class NotOnSundays(Eligibility):
    ...     needs_audience = True
    ...
    ...     def mask(self, touches):
    ...         day = touches.local_at // 86_400_000_000 + 3  # 1970-01-01 was a Thursday
    ...         return touches.zone_known & (day % 7 != 6)
    >>> NotOnSundays().name
    'NotOnSundays'
    """

    __slots__ = ()
    needs_audience: ClassVar[bool] = False
    """Whether the rule reads what only an Audience knows (zones, consent)."""

    @property
    def name(self) -> str:
        """What reports call this rule."""
        return type(self).__name__

    @abstractmethod
    def mask(self, touches: Touches) -> np.ndarray:
        """Return which touches may be sent, bool of shape (n,)."""


class Constraint(ABC):
    """How many touches together? Rows of a packing problem, which the planner solves without knowing their names.

    A row says "at most" (``limit``), "at least" (``least``), or both; :meth:`choices` says which touches are one offer.

    Examples
    --------
    A rule of one's own: at most ``n`` touches for each item.

    >>> import numpy as np
    >>> class Stock(Constraint):
    ...     def __init__(self, n):
    ...         self.n = n
    ...
    ...     def rows(self, touches):
    ...         return Rows(
    ...             row=touches.item,
    ...             touch=np.arange(len(touches)),
    ...             weight=np.ones(len(touches)),
    ...             limit=np.full(len(touches.items), float(self.n)),
    ...             labels=tuple(f"item {i}" for i in range(len(touches.items))),
    ...         )
    >>> Stock(5).name
    'Stock'
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """What reports call this constraint."""
        return type(self).__name__

    @abstractmethod
    def rows(self, touches: Touches) -> Rows:
        """Return this constraint as rows over the given touches."""

    def choices(self, touches: Touches) -> Choices | None:
        """Return which touches carry which offer of whom, where only one may be chosen; None, the default, for no such.

        A constraint that says only this returns ``Rows.none()`` from :meth:`rows`.
        """
        return None


@dataclass(frozen=True, slots=True)
class Consent(Eligibility):
    """A person is written to only on channels they have agreed to; always in force, listed or not.

    Notes
    -----
    It combines all sources that :func:`candidates` and ``Candidates.from_frame`` are given: the audience's
    ``consent_<channel>``, ``unsubscribed_at`` of the message log, and the events of ``withdrawals=``. The newest known
    instant decides; on equal instants, and where the yes has none, the no wins:

    - A withdrawal counts whenever it was made, also after the touch would leave: what is known is kept.
    - A yes undoes an older withdrawal only with an instant, ``consent_<channel>_at`` of the audience, that is later. It
      counts from that instant on: a touch before it has no consent.
    - A withdrawal that followed a message stops the channel of that message. An event of ``withdrawals=`` stops its
      channel where the audience (or, without one, the touches) knows it, and else every channel: a click on a web page
      is ambiguous, so it closes all. Withdrawals possibly made by a bot count too.

    Consent is kept per channel. A purpose is a channel of its own, such as ``email_news``: who withdraws from ``email``
    has withdrawn from it too, and not the other way round.

    Examples
    --------
    >>> Consent()
    Consent()
    """

    needs_audience: ClassVar[bool] = True

    def mask(self, touches: Touches) -> np.ndarray:
        """Return which touches have their person's consent."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        return touches.consent


@dataclass(frozen=True, slots=True)
class Reachable(Eligibility):
    """A person is written to only where there is an address; always in force, listed or not.

    Examples
    --------
    >>> Reachable()
    Reachable()
    """

    needs_audience: ClassVar[bool] = True

    def mask(self, touches: Touches) -> np.ndarray:
        """Return which touches can arrive."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        return touches.reachable


@dataclass(frozen=True, slots=True)
class QuietHours(Eligibility):
    """No message from ``start`` until just before ``end`` on the person's own clock.

    Parameters
    ----------
    start, end : str ("21:00") or datetime.time
        Wall-clock times, half-open: 21:00 is quiet, 08:00 is not. They may wrap midnight.
    channels : str or iterable of str, optional
        Channels that keep quiet; all by default.
    missing : {"raise", "ignore"}, default "raise"
        Whether a channel that neither the touches nor the audience nor the message log has is an error.
    zones : ZonePosterior, optional
        Where people may be, of `omnireco.timing.infer_zones`. Everybody in it is written to only when it is allowed in
        *all* zones that hold ``zone_probability`` of their posterior; others in their zone of the audience.
    zone_probability : float, default 0.99
        How much of the posterior must allow it.

    Raises
    ------
    ParameterError
        When a time is not a time of day, both are the same, or ``zone_probability`` is not in (0, 1]; from :meth:`mask`
        for a channel that nothing has.

    Notes
    -----
    Fails closed: a person whose time zone is unknown, and who is not in ``zones``, gets nothing on these channels; who
    may be anywhere in the world gets nothing either, as somewhere it is always night. The wall clock is
    read at the instant of sending, so both daylight-saving days and zones of half and quarter hours are right.

    Examples
    --------
    >>> QuietHours("21:00", "08:00", channels="push")
    QuietHours(start='21:00', end='08:00', channels=('push',))
    """

    needs_audience: ClassVar[bool] = True
    start: str | dt.time
    end: str | dt.time
    channels: str | Iterable[str] | None = field(default=None, kw_only=True)
    zones: ZonePosterior | None = field(default=None, kw_only=True, repr=False)
    zone_probability: float = field(default=0.99, kw_only=True, repr=False)
    missing: str = field(default="raise", kw_only=True, repr=False)

    def __post_init__(self) -> None:
        check_choice(self.missing, "QuietHours: missing", _MISSING)
        if self.zones is not None and not isinstance(self.zones, ZonePosterior):
            raise ParameterError(
                f"QuietHours: zones must be a ZonePosterior. Got {type(self.zones).__name__}: "
                "write zones=om.timing.infer_zones(data)."
            )
        check_number(self.zone_probability, "QuietHours: zone_probability", above=0.0, high=1.0)
        start, end = self._times()
        if start == end:
            raise ParameterError(
                f"QuietHours: start and end are both {shown(self.start)}, which is either the whole day or nothing. "
                "For no message at all leave the channel out of channels=; for no quiet hours leave the rule out."
            )
        object.__setattr__(self, "channels", _names(self.channels, "QuietHours"))

    def _times(self) -> tuple[int, int]:
        """Return start and end as microseconds after midnight."""
        return check_time_of_day(self.start, "QuietHours: start"), check_time_of_day(self.end, "QuietHours: end")

    def mask(self, touches: Touches) -> np.ndarray:
        """Return which touches are not in their person's quiet hours."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        start, end = self._times()
        covered = touches.on(self.channels, "QuietHours: channels", missing=self.missing)  # type: ignore[arg-type]
        fine = ~in_quiet_hours(touches.local_at, start, end) & touches.zone_known
        if self.zones is not None:
            code = match_ids(self.zones.users, touches.users, ("the zones", "the candidates"))[touches.user]
            rows = np.flatnonzero(covered & (code >= 0))
            fine[rows] = self.zones.allowed_codes(
                code[rows], touches.send_at[rows], (start, end), self.zone_probability
            )
        return ~covered | fine


@dataclass(frozen=True, slots=True)
class FrequencyCap(Constraint):
    """At most ``n`` touches per person in any window of length ``per``.

    Parameters
    ----------
    n : int
        0 or more.
    per : duration such as "7D", or None
        Length of the sliding window, half-open: two touches exactly ``per`` apart are in no common window.
        None means the whole plan.
    channels : str or iterable of str, optional
        Channels that count (together); all by default.
    missing : {"raise", "ignore"}, default "raise"
        Whether a channel that neither the touches nor the audience nor the message log has is an error.

    Notes
    -----
    Exact for every window, wherever it starts, not only calendar days. With a ``per``, messages that the
    person already had (``messages=`` of :func:`candidates`) count too. ``FrequencyCap(1, per="4h")`` is a
    minimum gap of four hours.

    Examples
    --------
    >>> FrequencyCap(3, per="7D").name
    "FrequencyCap(3, per='7D')"
    """

    n: int
    per: str | dt.timedelta | None = field(default=None, kw_only=True)
    channels: str | Iterable[str] | None = field(default=None, kw_only=True)
    missing: str = field(default="raise", kw_only=True, repr=False)

    def __post_init__(self) -> None:
        check_choice(self.missing, "FrequencyCap: missing", _MISSING)
        object.__setattr__(self, "n", check_integer(self.n, "FrequencyCap: n", low=0))
        if self.per is not None:
            check_duration(self.per, "FrequencyCap: per")
        object.__setattr__(self, "channels", _names(self.channels, "FrequencyCap"))

    @property
    def name(self) -> str:
        """What reports call this constraint."""
        channels = "" if self.channels is None else f", channels={list(self.channels)}"
        return f"FrequencyCap({self.n}, per={self.per!r}{channels})"

    def rows(self, touches: Touches) -> Rows:
        """Return one row for each window of each person that holds more than ``n`` touches."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        channels: Any = self.channels
        where, n = "FrequencyCap: channels", min(self.n, _MANY)
        covered = np.flatnonzero(touches.on(channels, where, missing=self.missing))
        user, at = touches.user[covered], touches.send_at[covered]
        if self.per is None:
            return _windows(user, np.zeros_like(at), covered, n, 1)
        length = check_duration(self.per, "FrequencyCap: per")
        past, earlier = touches.past, touches.past_on(channels, where, missing=self.missing)
        touch = np.concatenate([np.full(int(earlier.sum()), NONE), covered])
        user = np.concatenate([past.user[earlier], user])
        at = np.concatenate([past.sent_at[earlier], at])
        return _windows(user, at, touch, n, length)


@dataclass(frozen=True, slots=True)
class OncePerItem(Constraint):
    """A person gets an item at most once in the plan, on whichever channel and hour is best.

    ``candidates`` puts it on by itself: its touches of one person and item are alternatives.

    Examples
    --------
    >>> OncePerItem()
    OncePerItem()
    """

    def rows(self, touches: Touches) -> Rows:
        """Return one row for each person and item with several touches."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        pair = touches.user.astype(np.int64) * max(1, len(touches.items)) + touches.item
        return _windows(pair, np.zeros(len(touches), np.int64), np.arange(len(touches)), 1, 1)


@dataclass(frozen=True, slots=True)
class Budget(Constraint):
    """What the touches of a channel cost together stays within ``total``.

    Parameters
    ----------
    channel : str
    cost : float
        Cost of one touch, 0 or more.
    total : float
        What may be spent, 0 or more, in the same currency.
    missing : {"raise", "ignore"}, default "raise"
        Whether a channel that neither the touches nor the audience nor the message log has is an error.

    Notes
    -----
    The number of touches that can be paid is computed in decimals, as written: 0.3 pays three at 0.1.

    Examples
    --------
    >>> Budget("email", cost=0.01, total=500).name
    "Budget('email')"
    """

    channel: str
    cost: float = field(kw_only=True)
    total: float = field(kw_only=True)
    missing: str = field(default="raise", kw_only=True, repr=False)

    def __post_init__(self) -> None:
        _one_name(self.channel, "Budget")
        check_choice(self.missing, "Budget: missing", _MISSING)
        object.__setattr__(self, "cost", check_number(self.cost, "Budget: cost", low=0))
        object.__setattr__(self, "total", check_number(self.total, "Budget: total", low=0))

    @property
    def name(self) -> str:
        """What reports call this constraint."""
        return f"Budget({self.channel!r})"

    def rows(self, touches: Touches) -> Rows:
        """Return one row: the touches that can be paid."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        touch = np.flatnonzero(touches.on((self.channel,), "Budget: channel", missing=self.missing))
        if not self.cost:
            return Rows(touch[:0], touch[:0], np.empty(0), np.empty(0), ())
        limit = np.array([_affordable(self.total, self.cost)])
        return Rows(np.zeros(touch.size, np.int64), touch, np.ones(touch.size), limit, (self.channel,), self.cost)


@dataclass(frozen=True, slots=True)
class Capacity(Constraint):
    """At most ``limit`` touches of a channel leave in each cell of time of length ``per``.

    Parameters
    ----------
    channel : str
    per : duration, default "1h"
        Length of a cell; cells lie end to end from 1970-01-01 00:00 UTC.
    limit : int
        0 or more.
    missing : {"raise", "ignore"}, default "raise"
        Whether a channel that neither the touches nor the audience nor the message log has is an error.

    Examples
    --------
    >>> Capacity("call", per="15min", limit=40).name
    "Capacity('call', per='15min')"
    """

    channel: str
    per: str | dt.timedelta = field(default="1h", kw_only=True)
    limit: int = field(kw_only=True)
    missing: str = field(default="raise", kw_only=True, repr=False)

    def __post_init__(self) -> None:
        _one_name(self.channel, "Capacity")
        check_choice(self.missing, "Capacity: missing", _MISSING)
        check_duration(self.per, "Capacity: per")
        object.__setattr__(self, "limit", check_integer(self.limit, "Capacity: limit", low=0))

    @property
    def name(self) -> str:
        """What reports call this constraint."""
        return f"Capacity({self.channel!r}, per={self.per!r})"

    def rows(self, touches: Touches) -> Rows:
        """Return one row for each cell of time in which a touch could leave."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        length = check_duration(self.per, "Capacity: per")
        touch = np.flatnonzero(touches.on((self.channel,), "Capacity: channel", missing=self.missing))
        cells, row = np.unique(touches.send_at[touch] // length, return_inverse=True)
        starts = (from_microseconds(max(int(cell) * length, _YEAR_1)) for cell in cells)
        labels = tuple(f"{self.channel} {start:%Y-%m-%d %H:%M} UTC" for start in starts)
        return Rows(
            row.astype(np.int64), touch, np.ones(touch.size), np.full(cells.size, float(min(self.limit, _MANY))), labels
        )


def _windows(group: np.ndarray, at: np.ndarray, touch: np.ndarray, n: int, length: int) -> Rows:
    """Return a row for each maximal window [t, t + length) of a group that holds more than ``n`` events.

    ``touch`` is the position of each event's touch, or -1 for a message of the past, which uses up the limit.
    A window that starts at an event and reaches no further than the one before it is contained in that one.
    """
    if group.size == 0:
        return Rows(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0))
    order = np.lexsort((touch, at, group))
    group, at, touch = group[order].astype(np.int64), at[order], touch[order]
    times, rank = np.unique(at, return_inverse=True)
    wide = times.size + 1
    end = np.searchsorted(group * wide + rank, group * wide + np.searchsorted(times, times + length)[rank])
    reaches = end > np.concatenate([[0], end[:-1]])
    before = np.concatenate([[0], np.cumsum(touch == NONE)])
    start = np.arange(group.size)
    had = before[end] - before[start]
    keep = np.flatnonzero(reaches & (end - start > n) & (end - start > had))
    start, size, had = start[keep], (end - start)[keep], had[keep]
    row = np.repeat(np.arange(keep.size), size)
    first = np.concatenate([[0], np.cumsum(size)[:-1]]) if keep.size else np.empty(0, np.int64)
    entry = touch[np.arange(row.size) - np.repeat(first - start, size)]
    mine = entry != NONE
    limit = np.maximum(n - had, 0).astype(np.float64)
    return Rows(row[mine], entry[mine], np.ones(int(mine.sum())), limit)


def _affordable(total: float, cost: float) -> float:
    """Return how many touches can be paid, in decimals as written; beyond any count in floats."""
    if total / _MANY > cost:
        return float(_MANY)
    return float(Decimal(repr(total)) // Decimal(repr(cost)))


def _names(channels: Any, where: str) -> tuple[str, ...] | None:
    """Return channel names as a tuple; one name is a tuple of one."""
    if channels is None:
        return None
    try:
        names = (channels,) if isinstance(channels, str) else tuple(channels)
    except TypeError:
        names = ()
    if not names or not all(isinstance(name, str) for name in names):
        raise ParameterError(
            f"{where}: channels must be names of channels. Got {type(channels).__name__}. "
            "Write channels=['push', 'email'], or leave it out for all channels."
        )
    return names


def _one_name(channel: Any, where: str) -> None:
    """Refuse anything but the name of a channel."""
    if not isinstance(channel, str):
        raise ParameterError(
            f"{where}: channel must be the name of one channel. Got {type(channel).__name__}. "
            f"Write {where}('email', ...), one rule per channel."
        )
