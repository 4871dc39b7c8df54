"""How many messages a person gets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from omnireco._core.checks import (
    check_choice,
    check_duration,
    check_integer,
    check_kind,
    check_known,
    check_one_or_more,
)
from omnireco._kernels.packing.lean import Window
from omnireco._kernels.packing.order import in_groups
from omnireco.data.asking.touches import Touches
from omnireco.data.vocabulary import NONE
from omnireco.planning.rows import Rows
from omnireco.planning.rules.base import Constraint
from omnireco.planning.rules.naming import MANY, MISSING, names_of

__all__ = ["FrequencyCap", "OncePerItem"]


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
    kinds : str or iterable of str, optional
        Kinds of messages that count (together), such as ``"nudge"``: values of the column ``kind`` of the touches and
        of the message log. All by default. A touch or message whose kind is not known counts.
    missing : {"raise", "ignore"}, default "raise"
        Whether a channel that neither the touches nor the audience nor the message log has is an error; or a kind that
        neither the touches nor the message log has.

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
    kinds: str | Iterable[str] | None = field(default=None, kw_only=True)
    missing: str = field(default="raise", kw_only=True, repr=False)

    def __post_init__(self) -> None:
        check_choice(self.missing, "FrequencyCap: missing", MISSING)
        object.__setattr__(self, "n", check_integer(self.n, "FrequencyCap: n", low=0))
        if self.per is not None:
            check_duration(self.per, "FrequencyCap: per")
        object.__setattr__(self, "channels", names_of(self.channels, "FrequencyCap"))
        if self.kinds is not None:
            object.__setattr__(self, "kinds", check_one_or_more(self.kinds, "FrequencyCap: kinds"))

    @property
    def name(self) -> str:
        """What reports call this constraint."""
        channels = "" if self.channels is None else f", channels={list(self.channels)}"
        kinds = "" if self.kinds is None else f", kinds={list(self.kinds)}"
        return f"FrequencyCap({self.n}, per={self.per!r}{channels}{kinds})"

    def rows(self, touches: Touches) -> Rows:
        """Return one row for each window of each person that holds more than ``n`` touches."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        channels: Any = self.channels
        where, n = "FrequencyCap: channels", min(self.n, MANY)
        counts, counted = self._of_kind(touches)
        covered = np.flatnonzero(touches.on(channels, where, missing=self.missing) & counts)
        user, at = touches.user[covered], touches.send_at[covered]
        if self.per is None:
            return windows(user, np.zeros_like(at), covered, n, 1)
        length = check_duration(self.per, "FrequencyCap: per")
        past, earlier = touches.past, touches.past_on(channels, where, missing=self.missing) & counted
        touch = np.concatenate([np.full(int(earlier.sum()), NONE), covered])
        user = np.concatenate([past.user[earlier], user])
        at = np.concatenate([past.sent_at[earlier], at])
        return windows(user, at, touch, n, length)

    def _each_person(self, touches: Touches) -> np.ndarray | None:
        """Return what each person may still get, where one window holds all that counts; None for several windows."""
        channels: Any = self.channels
        n_users, most, where = len(touches.users), min(self.n, MANY), "FrequencyCap: channels"
        if type(self) is not FrequencyCap or self.kinds is not None:
            return None
        if not touches.on(channels, where, missing=self.missing).all():
            return None
        if self.per is None or not len(touches):
            return np.full(n_users, most, np.int64)
        length = check_duration(self.per, "FrequencyCap: per")
        first, last = int(touches.send_at.min()), int(touches.send_at.max())
        earlier = touches.past_on(channels, where, missing=self.missing)
        at, user = touches.past.sent_at[earlier], touches.past.user[earlier]
        near = (at > first - length) & (at < last + length)  # others share no window with a touch
        if max(last, int(at[near].max(initial=last))) - min(first, int(at[near].min(initial=first))) >= length:
            return None
        return np.maximum(most - np.bincount(user[near], minlength=n_users), 0).astype(np.int64)

    def _in_windows(self, touches: Touches) -> Window | None:
        """Return which touches and messages of the past count together, and in windows of which length."""
        if type(self) is not FrequencyCap:
            return None
        channels: Any = self.channels
        where, most = "FrequencyCap: channels", min(self.n, MANY)
        counts, counted = self._of_kind(touches)
        covered = touches.on(channels, where, missing=self.missing) & counts
        key = None if covered.all() else np.where(covered, 0, NONE).astype(np.int32)
        if self.per is None:
            return Window(key, most)
        length = check_duration(self.per, "FrequencyCap: per")
        earlier = touches.past_on(channels, where, missing=self.missing) & counted
        if len(touches):
            at = touches.past.sent_at  # others share no window with a touch
            earlier &= (at > int(touches.send_at.min()) - length) & (at < int(touches.send_at.max()) + length)
        return Window(key, most, length, touches.past.user[earlier], touches.past.sent_at[earlier])

    def _of_kind(self, touches: Touches) -> tuple[np.ndarray, np.ndarray]:
        """Return which touches, and which messages of the past, are of a kind that counts, or of one not known."""
        past = touches.past
        if self.kinds is None:
            return np.ones(len(touches), np.bool_), np.ones(past.user.size, np.bool_)
        known, code = touches.label("kind")
        check_known(self.kinds, [*known.ids, *past.kinds], "FrequencyCap: kinds", missing=self.missing)
        mine = np.array([*(name in self.kinds for name in known.ids), True], np.bool_)  # the last stands for -1
        theirs = np.array([*(name in self.kinds for name in past.kinds), True], np.bool_)
        return mine[code], theirs[np.asarray(past.kind)]


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
        return windows(pair, np.zeros(len(touches), np.int64), np.arange(len(touches)), 1, 1)

    def _in_windows(self, touches: Touches) -> Window | None:
        """Return that touches of one item count together."""
        return Window(touches.item, 1) if type(self) is OncePerItem else None


def _by_group(group: np.ndarray, at: np.ndarray, touch: np.ndarray) -> np.ndarray:
    """Return the order by group, instant and touch; events that stand in time already are only grouped."""
    later, same = at[1:] > at[:-1], at[1:] == at[:-1]
    if not (later | (same & (touch[1:] >= touch[:-1]))).all():
        return np.lexsort((touch, at, group))
    if group.min() >= 0 and group.max() < 2 * group.size:
        return in_groups(group, int(group.max()) + 1)[0]
    return np.argsort(group, kind="stable")


def windows(group: np.ndarray, at: np.ndarray, touch: np.ndarray, n: int, length: int) -> Rows:
    """Return a row for each maximal window [t, t + length) of a group that holds more than ``n`` events.

    ``touch`` is the position of each event's touch, or -1 for a message of the past, which uses up the limit.
    A window that starts at an event and reaches no further than the one before it is contained in that one.
    """
    if group.size == 0:
        return Rows(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0))
    order = _by_group(group, at, touch)
    group, at, touch = group[order].astype(np.int64), at[order], touch[order]
    times, rank = np.unique(at, return_inverse=True) if at.min() < at.max() else (at[:1], np.zeros(at.size, np.int64))
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
