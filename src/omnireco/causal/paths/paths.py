"""Journeys as paths of channels: what people touched before a conversion, or before none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from omnireco._core.checks import (
    check_choice,
    check_duration,
    check_known,
    check_one_or_more,
    count_of,
    name_rows,
    shown,
)
from omnireco._core.contract import says_the_line
from omnireco._core.frozen import locked
from omnireco._core.notebook import shown_html
from omnireco._core.units import HOUR_US
from omnireco._kernels.log.order import distinct
from omnireco.data.dataset import dataset_of
from omnireco.data.events import EventLog, require_events
from omnireco.data.frames.columns import open_frame
from omnireco.data.messages import NEVER
from omnireco.data.vocabulary import NONE, Vocabulary, unite
from omnireco.errors import EmptyError, ParameterError, SchemaError
from omnireco.timing.machines import answers_of_people

__all__ = ["Paths"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Paths:
    """Paths of channels up to a conversion, or to none. Made by :meth:`of` or :meth:`from_frame`.

    Attributes
    ----------
    channels : Vocabulary
        Names of the channels, in the order of their codes.
    start : ndarray of shape (n + 1,), int64
        Touches ``start[p] : start[p + 1]`` belong to path p.
    channel : ndarray of shape (n_touches,), int32
        Code of the channel of each touch, path by path in order of time.
    hours : ndarray of shape (n_touches,), float64
        Before the end of the path; NaN where it is not known.
    conversions, value, nulls : ndarray of shape (n,), float64
        How often the path ended in a conversion, what that was worth in all, and how often it ended without.
    person : ndarray of shape (n,), int64
        A number per person; -1 where paths were counted before.
    undecided : int
        Journeys without a conversion whose last touch is too near to the end of the data: left out.
    unprompted : int
        Conversions without any touch before them: no channel of these is credited.
    unprompted_people : int
        By how many people these are.
    """

    channels: Vocabulary
    start: np.ndarray
    channel: np.ndarray
    hours: np.ndarray
    conversions: np.ndarray
    value: np.ndarray
    nulls: np.ndarray
    person: np.ndarray
    undecided: int = 0
    unprompted: int = 0
    unprompted_people: int = 0

    def __post_init__(self) -> None:
        for name in ("start", "channel", "hours", "conversions", "value", "nulls", "person"):
            object.__setattr__(self, name, locked(getattr(self, name)))

    def __len__(self) -> int:
        return int(self.conversions.size)

    def __repr__(self) -> str:
        return (
            f"Paths({count_of(round(float((self.conversions + self.nulls).sum())), 'journey')} over "
            f"{count_of(len(self.channels), 'channel')}, "
            f"{count_of(round(float(self.conversions.sum())), 'conversion')})"
        )

    _repr_html_ = shown_html

    @classmethod
    @says_the_line("om.causal.Paths.of(data, completes='purchase', window='30D')")
    def of(
        cls,
        data: Any,
        *,
        completes: str | Iterable[str] = "purchase",
        window: Any = "30D",
        messages: Literal["responded", "sent"] | None = "responded",
    ) -> Paths:
        """Read the journeys of a Dataset, over all its channels.

        Parameters
        ----------
        data : Dataset, EventLog or frame of events
            Touches and conversions of everybody, over all channels.
        completes : str or iterable of str
            Events that are conversions; all others are touches.
        window : str or timedelta
            Touches further apart belong to different journeys, and so does a conversion after a longer silence.
        messages : {"responded", "sent"} or None
            Messages are touches when somebody responded to them (bot opens are left out), or when they were sent.
            Responses on a channel that the events have too are taken from there alone.

        Returns
        -------
        Paths
            A path per journey.

        Raises
        ------
        ParameterError
            When an event is unknown.
        EmptyError
            When there is no journey.

        Notes
        -----
        At one instant touches come before the conversion. Deterministic; one sort.

        Examples
        --------
        >>> import omnireco as om
        >>> data = om.simulate(n_users=200, n_items=20, days=60, seed=1).dataset()
        >>> Paths.of(data, window="14D").channels.ids.tolist()
        ['app', 'email', 'push', 'web']
        """
        known = dataset_of(data, "Paths.of", ("events",))
        log = known.part("events", "Paths.of")
        require_events(log, "Paths.of")
        span = check_duration(window, "window")
        if messages is not None:
            check_choice(messages, "messages", ("responded", "sent"))
        names = check_one_or_more(completes, "completes")
        check_known(names, log.events.ids, "Paths.of: completes", missing=None)
        done = np.isin(log.event, log.events.codes(list(names)))
        table = _Rows(
            log.users, log.channels, log.user, log.channel.astype(np.int64), log.at[:], done, _worth(log, done)
        )
        if messages is not None and known.messages is not None and len(known.messages):
            table = _with_messages(table, known.messages, messages)
        return _walk(cls, table, span, known.end_us)

    @classmethod
    def from_frame(cls, frame: Any, *, columns: Mapping[str, str] | None = None, separator: str = ">") -> Paths:
        """Read paths that were counted before, one row each.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            ``path`` (channels in order, ``"email > web > store"``), ``conversions``, and where known ``value`` (of all
            conversions of the row) and ``nulls`` (how often the path ended without one).
        columns : mapping of str to str, optional
            Our name to yours: ``{"conversions": "total_conversions", "nulls": "total_null"}``.
        separator : str
            What stands between two channels of a path; ``>`` by default, spaces around it do not count.

        Returns
        -------
        Paths

        Raises
        ------
        SchemaError
            When a path is empty or has an empty channel, a count is negative, or a row has a value and no conversion.
        EmptyError
            When there is no path.

        Examples
        --------
        >>> import pandas as pd
        >>> Paths.from_frame(pd.DataFrame({"path": ["a > b", "b"], "conversions": [2, 1], "nulls": [5, 9]}))
        Paths(17 journeys over 2 channels, 3 conversions)
        """
        if not isinstance(separator, str) or not separator.strip():
            raise ParameterError(f"separator must be a text such as '>'. Got {shown(separator)}.")
        opened = open_frame(
            frame, "Paths.from_frame", needed=("path", "conversions"), optional=("value", "nulls"), columns=columns
        )
        texts, row = opened.names("path")
        if not row.size:
            raise EmptyError(
                "Paths.from_frame: the frame has no rows. Read the paths of a Dataset: om.causal.Paths.of(data)."
            )
        counts = {"conversions": opened.numbers("conversions")}
        for name in ("value", "nulls"):
            counts[name] = opened.numbers(name) if name in opened else np.zeros(row.size)
        for name in ("conversions", "nulls"):
            if (bad := counts[name] < 0).any():
                raise SchemaError(f"Paths.from_frame: {name} must be 0 or more; it is not in {name_rows(bad)}.")
        if (bad := (counts["value"] != 0) & (counts["conversions"] == 0)).any():
            raise SchemaError(
                f"Paths.from_frame: value is given without conversions in {name_rows(bad)}. It is that of all "
                "conversions of the row: 0 where there are none."
            )
        split = [[one.strip() for one in str(text).split(separator.strip())] for text in texts.ids]
        if (bad := np.array([not all(path) for path in split])[row]).any():
            raise SchemaError(
                f"Paths.from_frame: {name_rows(bad)} of path have an empty channel. Write 'email > web', with "
                f"{separator!r} "
                "between channels only."
            )
        channels, flat = Vocabulary.encode(np.array([one for path in split for one in path], object), "channel")
        length = np.array([len(path) for path in split])
        begin = np.concatenate([[0], np.cumsum(length)])
        size = length[row]
        start = np.concatenate([[0], np.cumsum(size)])
        place = np.arange(int(start[-1])) - np.repeat(start[:-1] - begin[row], size)
        return cls(
            channels,
            start,
            flat[place].astype(np.int32),
            np.full(place.size, np.nan),
            counts["conversions"],
            counts["value"],
            counts["nulls"],
            np.full(row.size, NONE, np.int64),
        )

    def people(self) -> np.ndarray:
        """Return how many people touched each channel, int64 (n_channels,); of counted paths, how many journeys."""
        path = np.repeat(np.arange(len(self)), np.diff(self.start))
        n = len(self.channels)
        if len(self) and (self.person >= 0).all():
            who = distinct(self.channel.astype(np.int64) * (int(self.person.max()) + 1) + self.person[path])
            return np.bincount(who // (int(self.person.max()) + 1), minlength=n)
        cell = distinct(path * n + self.channel)
        times = (self.conversions + self.nulls)[cell // n]
        return np.bincount(cell % n, weights=times, minlength=n).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Touches and conversions, in any order."""

    users: Vocabulary
    channels: Vocabulary
    user: np.ndarray
    channel: np.ndarray
    at: np.ndarray
    done: np.ndarray
    value: np.ndarray


def _worth(log: EventLog, done: np.ndarray) -> np.ndarray:
    return np.zeros(len(log)) if log.value is None else np.nan_to_num(np.where(done, log.value, 0.0))


def _with_messages(table: _Rows, messages: Any, which: str) -> _Rows:
    """Return touches and those by messages."""
    if which == "sent":
        rows, at = np.arange(len(messages)), messages.sent_at
    else:
        answered, _ = answers_of_people(messages)
        touched = table.channels.ids[distinct(table.channel[~table.done])]
        there = np.isin(messages.channels.ids.astype(str), touched.astype(str))[messages.channel]
        rows = np.flatnonzero((answered != NEVER) & ~there)
        at = answered[rows]
    if not rows.size:
        return table
    users, (mine, theirs) = unite([table.users, messages.users], "user_id")
    channels, (here, there_) = unite([table.channels, messages.channels], "channel")
    return _Rows(
        users,
        channels,
        np.concatenate([mine[table.user], theirs[messages.user[rows]]]),
        np.concatenate([here[table.channel], there_[messages.channel[rows]]]),
        np.concatenate([table.at, at]),
        np.concatenate([table.done, np.zeros(rows.size, np.bool_)]),
        np.concatenate([table.value, np.zeros(rows.size)]),
    )


def _walk(cls: type[Paths], table: _Rows, span: int, end_us: int) -> Paths:
    """Return the journeys: touches not further apart than the window, up to a conversion."""
    order = np.lexsort([table.channel, table.done, table.at, table.user])
    user, at, done = table.user[order], table.at[order], table.done[order]
    joined = np.zeros(order.size, np.bool_)
    joined[1:] = (user[1:] == user[:-1]) & (at[1:] - at[:-1] <= span) & ~done[:-1]
    first = np.flatnonzero(~joined)
    last = np.r_[first[1:], order.size][: first.size] - 1
    begun = ~done[first]
    ends = done[last] & begun
    decided = begun & (ends | (at[last] <= end_us - span))
    if not decided.any():
        raise EmptyError(
            "Paths.of: there is no journey: no touch before a conversion, and none old enough to have led to none. "
            "Give a "
            "longer log or a shorter window: om.causal.Paths.of(data, window='7D')."
        )
    a, z, ended = first[decided], last[decided], ends[decided]
    size = z - a + 1 - ended
    start = np.concatenate([[0], np.cumsum(size)])
    place = np.arange(int(start[-1])) - np.repeat(start[:-1] - a, size)
    until = np.repeat(at[z], size)
    used, channel = np.unique(table.channel[order][place], return_inverse=True)
    return cls(
        table.channels.take(used),
        start,
        channel.astype(np.int32),
        (until - at[place]) / HOUR_US,
        ended.astype(np.float64),
        np.where(ended, table.value[order][z], 0.0),
        (~ended).astype(np.float64),
        user[a].astype(np.int64),
        int((begun & ~decided).sum()),
        int((~begun).sum()),
        distinct(user[first[~begun]].astype(np.int64)).size,
    )
