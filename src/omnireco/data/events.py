"""What people did, on every channel: coded, sorted by time, frozen."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import (
    check_choice,
    check_duration,
    check_flag,
    check_instant,
    check_known,
    check_names,
    count_of,
    from_microseconds,
)
from omnireco._core.notebook import html_table, shown_html
from omnireco._core.parts import Maybe, Parts, coded, declare, flags, instants, numbers
from omnireco._core.small import INSTANT, Flag, Value
from omnireco._kernels.log.cells import Coded
from omnireco._kernels.log.order import distinct, taken, time_order
from omnireco.data.frames.columns import decode_optional, instants_to_pandas, open_frame
from omnireco.data.frames.dates import dates_among
from omnireco.data.frames.few_rows import few_columns
from omnireco.data.frames.quality import QualityReport, all_kept, check_on_invalid, sift
from omnireco.data.frames.suspicion import check_events, fingerprint, repeats
from omnireco.data.interactions import Interactions
from omnireco.data.large.lazy import LazyEvents, is_lazy, lazy_events
from omnireco.data.large.scan import EventScan, scan
from omnireco.data.large.update import joined_columns
from omnireco.data.parts import Ids, Labels
from omnireco.data.resolving import People, ResolveReport, resolved_users
from omnireco.data.vocabulary import NONE, Vocabulary, compress
from omnireco.data.weights import Weights, event_targets, event_weights, weights_at
from omnireco.errors import EmptyError, ParameterError, SchemaError

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["EventLog", "Split"]

_log = logging.getLogger(__name__)
_LABELS = ("store_id", "session_id", "event_id")
_ITEMLESS = " Events that are about no item (a call, an app start) are read by itemless='keep'."
_INFINITE = "Make it missing where it is not known: frame['value'].replace([numpy.inf, -numpy.inf], numpy.nan)."
_NEEDED = {"user_id": "id", "item_id": "id", "channel": "name", "event": "name", "timestamp": "instant"}
_KINDS = _NEEDED | {"value": "amount"}
_OPTIONAL = {"value": "amount", **dict.fromkeys(_LABELS, "id")}
_FROM_FRAME = "EventLog.from_frame"


class Split(NamedTuple):
    """The two sides of a cut in time."""

    train: EventLog
    test: EventLog

    def _repr_html_(self) -> str:
        return shown_html(self)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EventLog:
    """What people did, on every channel, in order of time.

    One value for the website, the app, the shop, the call centre and the rest, so that a view on the
    phone can count next to a purchase in the shop. Made by :meth:`from_frame`.

    Parameters
    ----------
    users, items, channels, events : Vocabulary
        The ids behind the codes; channels and events are strings.
    user, item, channel, event : ndarray of shape (n,), int32
        One code per event; ``item`` is -1 where the event was about no item.
    at : ndarray of shape (n,), int64
        Instants, UTC microseconds since 1970, ascending.
    value : ndarray of shape (n,), float64, or None
        Money, quantity or seconds, as the caller has it; NaN where it is missing. None where no event has one.
    labels : mapping of str to (Vocabulary, ndarray of int32)
        Further columns: ``store_id``, ``session_id``, ``event_id`` and those of ``context=``.
    start_us, end_us : int
        The observed window [start, end) in UTC microseconds. After a split, ``end`` of the first part is
        the cut: nothing in it can know what happened later.
    quality : QualityReport or None
        What was wrong with the frame that was read, and which of its rows were dropped. A part of a log keeps it.
    dated : ndarray of shape (n,), bool, or None
        Which events carry a date and no hour (see ``timestamp=`` of :meth:`from_frame`); None where none does.
    dates_found : bool
        Whether ``dated`` was found by looking at all times (``timestamp="detect"``). What is known before an instant is
        then looked at anew: later midnights must not say that earlier ones were dates.

    Notes
    -----
    Events are ordered by (time, user, item, channel, event, value), so the order of the caller's rows
    never matters. A log only knows ids that occur in it.
    """

    users: Vocabulary
    items: Vocabulary
    channels: Vocabulary
    events: Vocabulary
    user: np.ndarray
    item: np.ndarray
    channel: np.ndarray
    event: np.ndarray
    at: np.ndarray
    value: np.ndarray | None
    labels: Mapping[str, tuple[Vocabulary, np.ndarray]]
    start_us: int
    end_us: int
    quality: QualityReport | None = None
    resolution: ResolveReport | None = None
    dated: np.ndarray | None = None
    dates_found: bool = False

    parts: ClassVar[Parts] = {
        "users": Ids(people=True),
        "items": Ids(),
        **{name: Ids(text=True) for name in ("channels", "events")},
        "user": coded("users", "n"),
        "item": coded("items", "n", none=True),
        "channel": coded("channels", "n"),
        "event": coded("events", "n"),
        "at": instants("n", order="rising"),
        "value": Maybe(numbers("n", missing=True)),
        "labels": Labels("n"),
        "start_us": INSTANT,
        "end_us": INSTANT,
        "quality": Maybe(Value((QualityReport,))),
        "resolution": Maybe(Value((ResolveReport,))),
        "dated": Maybe(flags("n")),
        "dates_found": Flag(),
    }

    def __post_init__(self) -> None:
        declare(self)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        columns: Mapping[str, str] | None = None,
        context: Iterable[str] = (),
        itemless: Literal["raise", "keep"] = "raise",
        on_invalid: Literal["raise", "drop"] = "raise",
        timestamp: Literal["detect", "instant", "date"] = "detect",
    ) -> EventLog:
        """Read a frame of events.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            One row per event with the columns ``user_id``, ``item_id`` (integers or strings), ``channel``,
            ``event`` (strings), ``timestamp`` (with a time zone), and optionally ``value`` (a number),
            ``store_id``, ``session_id`` and ``event_id`` (by which repeats are known). These optional ones may be
            missing: a price that nobody knows is no 0. None, NaN, NaT, pandas.NA and ``""`` are all the same missing,
            a column of nothing else is missing for everybody, and whole numbers that gaps made floats (1611928000.0,
            NaN) are read as the integers they were. The frame is not changed.
        columns : mapping of str to str, optional
            Our name to yours: ``{"user_id": "household_id"}``.
        context : iterable of str
            Names of further id or string columns to keep as ``labels``.
        itemless : {"raise", "keep"}
            Whether a missing ``item_id`` is an error, or an event about no item (a call, an app start).
            Such events shape activity profiles and stay out of behaviour matrices.
        on_invalid : {"raise", "drop"}
            Whether a row with a missing id or time, a value that is infinite or no number, or a cell of another kind
            than its column is an error, or is left out. ``log.quality`` says which rows were left out and why, by
            position: none is lost silently. A column that is wholly of the wrong kind is an error either way.
        timestamp : {"detect", "instant", "date"}
            Whether times are instants, or dates without a meaningful hour. ``"detect"`` takes them for dates where
            all rows, or all rows of a channel and event type, are midnight of UTC (on at least 3 days) or of one other
            zone (on at least 5). Among 20 rows or more of a channel and type the midnights are dates where they are
            more than half, of UTC, or more than 95 %, of one zone. No hour is learned from dates; ``log.timed`` says
            which rows are none.

        Raises
        ------
        SchemaError
            When a column is missing or of the wrong kind, times carry no zone, or (``on_invalid="raise"``) an id or
            time is missing, or a value infinite.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({
        ...     "user_id": ["ann", "ann", "bob"],
        ...     "item_id": ["tea", "cup", "tea"],
        ...     "channel": ["web", "store", "app"],
        ...     "event": ["view", "purchase", "view"],
        ...     "timestamp": pd.to_datetime(["2025-05-01 08:00", "2025-05-02 17:30", "2025-05-03 21:00"], utc=True),
        ... })
        >>> EventLog.from_frame(frame)
        EventLog(3 events, 2 users, 2 items, 3 channels, 2025-05-01 to 2025-05-03)
        >>> frame.loc[1, "user_id"] = None
        >>> EventLog.from_frame(frame, on_invalid="drop").quality
        QualityReport(EventLog.from_frame: 3 rows, 1 dropped; user_id missing 1)
        """
        context = check_names(context, "context")
        check_choice(itemless, "itemless", ("raise", "keep"))
        check_choice(timestamp, "timestamp", ("detect", "instant", "date"))
        drop = check_on_invalid(on_invalid)
        quick = not (drop or context or columns is not None)
        found = few_columns(frame, _NEEDED, _OPTIONAL) if quick else None
        quality = None
        if found is None:
            found, quality = _read(frame, columns, context, itemless, drop=drop)
        (users, user), (items, item) = found["user_id"], found["item_id"]
        (channels, channel), (events, event) = found["channel"], found["event"]
        labels = {name: found[name] for name in (*_LABELS, *context) if name in found}
        rows = {"user": user, "item": item, "channel": channel, "event": event, "at": found["timestamp"]}
        rows |= {"value": found.get("value"), "labels": labels}
        del found, user, item, channel, event  # their memory can serve the columns in order
        rows = _ordered(rows) or rows
        at = rows["at"]
        if timestamp != "instant":
            rows["dated"] = _dated(rows, len(events), everything=timestamp == "date")
            rows["dates_found"] = timestamp == "detect"
        start, end = (int(at[0]), int(at[-1]) + 1) if at.size else (0, 0)
        quality = quality or all_kept(_FROM_FRAME, at.size)
        log = cls(users, items, channels, events, start_us=start, end_us=end, quality=quality, **rows)
        _log.info("read %r", log)
        return log

    @classmethod
    def concat(cls, logs: Iterable[EventLog]) -> EventLog:
        """Return one log of all events of several, in whatever order they are given.

        Parameters
        ----------
        logs : iterable of EventLog
            They must agree on having values and on their labels. Nothing is taken for a repeat; see
            :meth:`deduplicated`.

        Returns
        -------
        EventLog
            Its window spans those of the logs.

        Raises
        ------
        SchemaError
            When ids are integers in one and strings in another, or one lacks a column.
        EmptyError
            When there is no log.

        Examples
        --------
        >>> import omnireco as om
        >>> log = om.EventLog.from_frame(om.simulate(n_users=50, n_items=20, seed=1).events)
        >>> parts = log.split("2025-01-10")
        >>> om.data.fingerprint(om.EventLog.concat(parts[::-1])) == om.data.fingerprint(log)
        True
        """
        return in_time_order(cls(**joined_columns(logs)))

    @classmethod
    def scan(
        cls,
        path: Any,
        *,
        columns: Mapping[str, str] | None = None,
        itemless: Literal["raise", "keep"] = "raise",
    ) -> EventScan[EventLog] | LazyEvents[EventLog]:
        """Open events that need not fit in memory: parquet files, or a lazy frame of an engine.

        Nothing but the files' footers (or the engine's schema) is read now. ``scan.matrix(weights)`` gives the
        behaviour matrix of all events: from files batch by batch, from an engine by one query that groups them there.
        ``scan.log(users=..., start=...)`` reads a part as a log.

        Parameters
        ----------
        path : str, path, or polars.LazyFrame, DuckDB relation, Ibis table or PySpark DataFrame
            Of files: one file, or a folder whose ``*.parquet`` files, in folders below too, are one log in any order. A
            folder called ``channel=web`` gives its files that column, percent-decoded as Hive and Spark write it;
            ``__HIVE_DEFAULT_PARTITION__`` is a missing value. A column in the file itself goes before.
        columns : mapping of str to str, optional
            Our name to yours.
        itemless : {"raise", "keep"}
            As in :meth:`from_frame`.

        Returns
        -------
        EventScan or LazyEvents

        Raises
        ------
        StorageError
            When there is no such file, or one is no parquet.
        SchemaError
            When a file lacks a column; the message names it.
        """
        if is_lazy(path):
            return lazy_events(path, cls, columns=columns, itemless=itemless)
        return scan(path, cls, columns=columns, itemless=itemless)

    def __len__(self) -> int:
        return int(self.at.size)

    def __repr__(self) -> str:
        span = f"{_day(self.start_us)} to {_day(self.end_us - 1)}" if len(self) else "no time"
        return (
            f"EventLog({count_of(len(self), 'event')}, {count_of(self.n_users, 'user')}, "
            f"{count_of(self.n_items, 'item')}, {count_of(len(self.channels), 'channel')}, {span})"
        )

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>{html_table(self.summary())}" if len(self) else f"<p>{self!r}</p>"

    @property
    def n_users(self) -> int:
        """How many people occur."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """How many items occur."""
        return len(self.items)

    @property
    def timed(self) -> np.ndarray:
        """Whether the hour of each event is known, bool of shape (n,): False where it carries a date only."""
        return np.ones(len(self), np.bool_) if self.dated is None else ~self.dated

    @property
    def start(self) -> dt.datetime:
        """Start of the observed window, UTC."""
        return from_microseconds(self.start_us)

    @property
    def end(self) -> dt.datetime:
        """End of the observed window, UTC, exclusive: the cut after a split."""
        return from_microseconds(self.end_us)

    def split(self, at: Any, *, horizon: Any = None) -> Split:
        """Cut the log in time: what was known before an instant, and what came after it.

        Parameters
        ----------
        at : datetime, date or str
            The cut. A plain date means 00:00 UTC; an event exactly at the cut belongs to ``test``.
        horizon : str or timedelta, optional
            How far ``test`` reaches beyond the cut, such as ``"14D"``; to the end of the log by default.

        Returns
        -------
        Split of (train, test)
            Two logs, each with only the ids that occur in it: nothing that lies behind the cut can be
            reached from ``train``.

        Raises
        ------
        EmptyError
            When no event lies before the cut, or none lies in the test window.
        """
        cut = check_instant(at, "at")
        stop = self.end_us if horizon is None else min(self.end_us, cut + check_duration(horizon, "horizon"))
        train, test = self.before(at), self._window(cut, max(stop, cut))
        for side, part in (("before", train), ("in the test window after", test)):
            if not len(part):
                raise EmptyError(
                    f"split: none of {len(self):,} events lies {side} {from_microseconds(cut).isoformat()}. The log "
                    f"runs from {self.start.isoformat()} to {self.end.isoformat()}: choose a cut inside it."
                )
        return Split(train, test)

    def before(self, at: Any) -> EventLog:
        """Return the events before an instant; its ``end`` is that instant."""
        cut = check_instant(at, "at")
        part = self._window(min(self.start_us, cut), cut)
        if not (self.dates_found and cut < self.end_us):
            return part
        rows = {"channel": part.channel, "event": part.event, "at": part.at}
        return replace(part, dated=_dated(rows, len(part.events), everything=False))

    def between(self, start: Any, end: Any) -> EventLog:
        """Return the events with start <= time < end."""
        first, last = check_instant(start, "start"), check_instant(end, "end")
        if last <= first:
            raise ParameterError("between: end must come after start. Swap them, or move end forward.")
        return self._window(first, last)

    def select(
        self,
        *,
        channels: Iterable[str] | None = None,
        events: Iterable[str] | None = None,
        missing: Literal["raise", "ignore"] = "raise",
    ) -> EventLog:
        """Return the events on some channels, or of some types; the window stays the same.

        Parameters
        ----------
        channels, events : list of str, optional
            Names to keep; all by default.
        missing : {"raise", "ignore"}
            Whether a name that the log does not have is an error, or selects nothing.

        Raises
        ------
        ParameterError
            For a name that the log does not have.
        """
        keep = np.ones(len(self), np.bool_)
        for names, vocabulary, codes, what in (
            (channels, self.channels, self.channel, "channel"),
            (events, self.events, self.event, "event"),
        ):
            if names is None:
                continue
            names = check_known(
                check_names(names, f"select: {what}s"), vocabulary.ids, f"select: {what}s", missing=missing
            )
            keep &= np.isin(codes, vocabulary.codes(names))
        return self._rows(np.flatnonzero(keep))

    def deduplicated(self) -> EventLog:
        """Return the log without repeats.

        A repeat has the ``event_id`` of an earlier event. Events without one, or all where the log has none, repeat
        another when user, item, channel, event, time, value and labels are equal.
        """
        return self._rows(np.flatnonzero(~repeats(self)))

    def check(
        self,
        *,
        at: Any = None,
        rates: Mapping[str, int] | None = None,
        sleepless: Any = "72h",
    ) -> QualityReport:
        """Look for rows that are well formed and still wrong: repeats, clocks, machines, returns.

        Parameters
        ----------
        at : datetime, date or str, optional
            An instant by which all of this must have happened, such as the day of the export. Events at or after
            it are in the ``"future"``: some clock is wrong. Not looked for where it is not given.
        rates : mapping of str to int, optional
            How many distinct instants within a duration a person can reach; whoever has more anywhere is a
            ``"bot"``. ``{"1min": 60, "1h": 1000, "1D": 5000}`` by default; ``{}`` to look for none.
        sleepless : str or timedelta, optional
            Whoever is active for this long with no pause above two hours is a ``"bot"`` too (or a shared kiosk);
            None to look for none.

        Returns
        -------
        QualityReport
            Nothing is dropped; positions count the events of this log. The problems: ``"duplicate"`` (see
            :meth:`deduplicated`), ``"future"`` (at or after ``at``; without it, long after all others), ``"epoch"``
            (times before 1971: an empty field, a wrong unit), ``"date only"``, ``"midnight"``, ``"round hour"`` and
            ``"round minute"`` (times that were rounded, or never known, in a larger share than people's are),
            ``"placeholder"`` (``"null"``, ``""``, the all-zero device id and the like as a person), ``"bot"``,
            ``"return"`` (events called return, refund, cancel or chargeback) and ``"negative"`` (values below 0).

        Notes
        -----
        A basket of two hundred lines is one instant. Cost: one sort of the events by person and time.

        Examples
        --------
        >>> from omnireco.worlds.simulate import simulate
        >>> log = EventLog.from_frame(simulate(n_users=50, n_items=20, seed=1).events)
        >>> report = log.check(at=log.end)
        >>> len(log.without(report, ["bot", "duplicate"])) == len(log) - report.rows(["bot", "duplicate"]).size
        True
        """
        return check_events(self, at=at, rates=rates, sleepless=sleepless)

    def without(self, report: QualityReport, problems: str | Iterable[str]) -> EventLog:
        """Return the log without the events that a check of it found to have some problems.

        Parameters
        ----------
        report : QualityReport
            What :meth:`check` of this very log returned.
        problems : str or iterable of str
            Such as ``["duplicate", "bot"]``.

        Returns
        -------
        EventLog
            Its ``quality`` is the report, with the events that were dropped. Nobody's id is shown.
        """
        mine = isinstance(report, QualityReport) and (report.where, report.n_rows) == ("EventLog.check", len(self))
        if not mine or report.fingerprint != fingerprint(self):
            raise ParameterError(
                "without: the report must come from this very log. Write log.without(log.check(), ...)."
            )
        dropped = report.rows(problems)
        part = self._rows(np.setdiff1d(np.arange(len(self)), dropped, assume_unique=True))
        return replace(part, quality=replace(report, dropped=dropped))

    def resolve(self, identities: People, *, kind: str | Mapping[str, str] | None = None) -> EventLog:
        """Return the log of people: every user id becomes the person it belongs to, and an unknown one stays itself.

        Parameters
        ----------
        identities : Identities
            Who is who. To evaluate on the past, ``identities.as_of(cut)``: later links must not tell.
        kind : str or mapping of channel to str, optional
            The kind of the log's user ids, for all channels or by channel:
            ``{"store": "card", "web": "cookie", "app": "device"}``. Without it an id is known by its text, which must
            then be of one kind only.

        Returns
        -------
        EventLog
            With the same events, none lost and none counted twice. Its ``resolution`` says how many events, ids, people
            and people on several channels that made.

        Examples
        --------
        >>> import pandas as pd, omnireco as om
        >>> frame = pd.DataFrame({"user_id": ["k1", "36", "k2"], "item_id": ["tea", "tea", "cup"],
        ...     "channel": ["web", "store", "web"], "event": ["view", "purchase", "view"],
        ...     "timestamp": pd.to_datetime(["2025-05-01", "2025-05-02", "2025-05-03"], utc=True)})
        >>> links = pd.DataFrame({"id_a": ["k1"], "kind_a": "cookie", "id_b": ["36"], "kind_b": "card"})
        >>> log = EventLog.from_frame(frame).resolve(om.identity.Identities.from_links(links, trusted=["card"]))
        >>> log.users.ids.tolist(), log.resolution.cross_channel_after
        (['36', 'k2'], 1)
        """
        users, user, report = resolved_users(identities, self.users, self.user, kind, (self.channels, self.channel))
        log = replace(self, users=users, user=user, resolution=report)
        return in_time_order(log)

    def matrix(self, weights: Weights | None = None, *, at: Any = None) -> Interactions:
        """Build the behaviour matrix: users x items, one number for all that a person did with an item.

        Parameters
        ----------
        weights : Weights, optional
            Event weight by type, channel, value and age, and target; every event counts
            1 by default.
        at : datetime, date or str, optional
            The clock of the decay; the end of the log by default. It must not precede an event.

        Returns
        -------
        Interactions
            With one layer per channel; the sum of the layers equals the whole.

        Notes
        -----
        Cost: one sort of the (user, item, channel) cells, O(n log n) time and O(n) memory. Deterministic, and
        independent of the order of rows.

        Examples
        --------
        >>> from omnireco.worlds.simulate import simulate
        >>> log = EventLog.from_frame(simulate(n_users=50, n_items=20, seed=1).events)
        >>> x = log.matrix(Weights(events={"view": 1, "purchase": 8}, half_life="30D"))
        >>> x.n_users == log.n_users
        True
        """
        weights, clock = weights_at(self, weights, at)
        amount, target = event_weights(self, weights, clock), event_targets(self, weights)
        x = Interactions.from_cells(
            self.users,
            self.items,
            Coded(self.user, self.item, self.channel, amount),
            channels=self.channels,
            target=target,
            cap=weights.cap,
            binary=weights.binary,
            at_us=clock,
            weights=weights,
        )
        _log.info("built %r", x)
        return x

    def sessions(self, gap: Any = "30min", *, per_channel: bool = False) -> np.ndarray:
        """Return the session of every event: what a person did without a pause longer than ``gap``.

        Parameters
        ----------
        gap : str or timedelta
            The longest pause inside a session; it is counted from event to event, so a session may last longer.
        per_channel : bool
            Whether another channel is another session. By default a visit that begins in the app and ends on the
            website is one.

        Returns
        -------
        ndarray of shape (n,), int32
            Codes 0, 1, ... in order of the sessions' starts (at one instant: of the people, then the channels).

        Examples
        --------
        >>> import pandas as pd
        >>> times = [f"2025-05-01 {hour}" for hour in ("08:00", "08:20", "08:30", "09:10")]
        >>> frame = pd.DataFrame({"user_id": [1, 1, 2, 1], "item_id": list("abca"), "channel": list("wawa"),
        ...                       "event": "view", "timestamp": pd.to_datetime(times, utc=True)})
        >>> EventLog.from_frame(frame).sessions("30min")
        array([0, 0, 1, 2], dtype=int32)
        """
        pause = check_duration(gap, "gap")
        by = [self.channel] if check_flag(per_channel, "per_channel") else []
        order = np.lexsort([self.at, *by, self.user])
        fresh = np.ones(len(self), np.bool_)
        fresh[1:] = self.at[order][1:] - self.at[order][:-1] > pause
        for codes in (self.user, *by):
            fresh[1:] |= codes[order][1:] != codes[order][:-1]
        start = order[fresh]  # by person; renumber by time, and by person and channel at one instant
        rank = np.empty(start.size, np.int32)
        rank[np.lexsort([*(codes[start] for codes in by), self.user[start], self.at[start]])] = np.arange(start.size)
        session = np.empty(len(self), np.int32)
        session[order] = rank[np.cumsum(fresh) - 1]
        return session

    def summary(self) -> pd.DataFrame:
        """Return a table per channel and event type: events, people, items, share of events, sum of known values."""
        import pandas as pd

        n_events = max(1, len(self.events))
        cell = self.channel.astype(np.int64) * n_events + self.event
        kinds, group = np.unique(cell, return_inverse=True)
        table = pd.DataFrame(
            {
                "channel": self.channels.decode(kinds // n_events),
                "event": self.events.decode(kinds % n_events),
                "events": np.bincount(group, minlength=kinds.size),
                "users": _distinct(group, self.user, kinds.size),
                "items": _distinct(group[self.item != NONE], self.item[self.item != NONE], kinds.size),
            }
        )
        table["share"] = table["events"] / max(1, len(self))
        if self.value is not None:
            table["value"] = np.bincount(group, weights=np.nan_to_num(self.value), minlength=kinds.size)
        return table

    __arrow_c_stream__ = arrow_stream

    def to_frame(self) -> pd.DataFrame:
        """Return the events as a pandas frame with the columns that from_frame takes."""
        import pandas as pd

        columns: dict[str, Any] = {
            "user_id": self.users.decode(self.user),
            "item_id": decode_optional(self.items, self.item),
            "channel": self.channels.decode(self.channel),
            "event": self.events.decode(self.event),
            "timestamp": instants_to_pandas(self.at),
        }
        if self.value is not None:
            columns["value"] = self.value
        for name, (vocabulary, codes) in self.labels.items():
            columns[name] = decode_optional(vocabulary, codes)
        return pd.DataFrame(columns)

    def _window(self, start: int, stop: int) -> EventLog:
        low, high = np.searchsorted(self.at, [start, stop])
        part = self._rows(np.arange(low, high))
        return replace(part, start_us=start, end_us=stop)

    def _rows(self, rows: np.ndarray) -> EventLog:
        """Return some rows, in the order given, with vocabularies that know only what occurs in them."""
        users, user = compress(self.users, self.user[rows])
        items, item = compress(self.items, self.item[rows])
        channels, channel = compress(self.channels, self.channel[rows])
        events, event = compress(self.events, self.event[rows])
        labels = {name: compress(known, codes[rows]) for name, (known, codes) in self.labels.items()}
        value = None if self.value is None else self.value[rows]
        dated = None if self.dated is None or not self.dated[rows].any() else self.dated[rows]
        return EventLog(
            users,
            items,
            channels,
            events,
            user,
            item,
            channel,
            event,
            self.at[rows],
            value,
            labels,
            self.start_us,
            self.end_us,
            self.quality,
            self.resolution,
            dated,
            self.dates_found,
        )


def _distinct(group: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    """Return how many distinct codes each group holds."""
    if codes.size == 0:
        return np.zeros(n_groups, np.int64)
    span = int(codes.max()) + 1
    return np.bincount(distinct(group.astype(np.int64) * span + codes) // span, minlength=n_groups)


def _day(at: int) -> str:
    return from_microseconds(at).date().isoformat()


def _read(
    frame: Any, columns: Mapping[str, str] | None, context: tuple[str, ...], itemless: str, *, drop: bool
) -> tuple[dict[str, Any], QualityReport]:
    """Return the columns of any frame of events, by our names: (Vocabulary, codes) or numbers; and its quality."""
    labelled = tuple(dict.fromkeys((*_LABELS, *context)))
    kinds = _KINDS | dict.fromkeys(labelled, "id")
    opened = open_frame(
        frame,
        _FROM_FRAME,
        needed=(*_NEEDED, *context),
        optional=("value", *_LABELS),
        columns=columns,
        lenient=kinds if drop else None,
        drops=True,
    )
    quality = all_kept(_FROM_FRAME, opened.n_rows)
    if drop:
        may_miss = ("value", *labelled, *(["item_id"] if itemless == "keep" else []))
        opened, quality = sift(opened, kinds, may_miss=may_miss)
    found: dict[str, Any] = {"user_id": opened.ids("user_id")}
    found["item_id"] = opened.ids("item_id", allow_missing=itemless == "keep", fix=_ITEMLESS)
    found["channel"], found["event"] = opened.names("channel"), opened.names("event")
    found["timestamp"] = opened.instants("timestamp")
    found["value"] = opened.numbers_if_any("value", _INFINITE, allow_missing=True)
    labels = {name: opened.ids(name, allow_missing=True) for name in labelled if name in opened}
    return labels | found, quality


def in_time_order(log: EventLog) -> EventLog:
    """Return the log with its rows by (time, user, item, channel, event, value, labels)."""
    names = ("user", "item", "channel", "event", "at", "value", "labels", "dated")
    found = _ordered({name: getattr(log, name) for name in names})
    return log if found is None else replace(log, **found)


def _ordered(rows: dict[str, Any]) -> dict[str, Any] | None:
    """Return the columns of a log, by their names in it, in its order; None where they are in that order.

    Each column leaves ``rows`` when it has been taken: new memory costs more than the work.
    """
    value, dated = rows["value"], rows.get("dated")
    extra = [codes for _, codes in rows["labels"].values()] + ([value] if value is not None else [])
    found = time_order(rows["at"], (rows["user"], rows["item"], rows["channel"], rows["event"]), extra)
    if found is None:
        return None
    order, at = found
    del found, rows["at"]
    columns: dict[str, Any] = {"at": at}
    for name in ("user", "item", "channel", "event"):
        columns[name] = taken(rows.pop(name), order)
    columns["value"] = None if value is None else taken(value, order)
    columns["labels"] = {name: (known, taken(codes, order)) for name, (known, codes) in rows["labels"].items()}
    columns["dated"] = None if dated is None else taken(dated, order)
    return columns


def rows_of(log: EventLog, rows: np.ndarray) -> EventLog:
    """Return some rows of a log by position, in the order given, with the ids that occur in them; same window."""
    return log._rows(rows)


def _dated(rows: Mapping[str, Any], n_events: int, *, everything: bool) -> np.ndarray | None:
    """Return which events carry a date only, by the columns of a log, or None where none does."""
    kind = rows["channel"].astype(np.int64) * max(1, n_events) + rows["event"]
    dated = np.ones(kind.size, np.bool_) if everything else dates_among(rows["at"], kind)
    return dated if dated.any() else None


def require_events(log: EventLog, verb: str) -> None:
    """Raise when a log is empty or not a log at all."""
    if not isinstance(log, EventLog):
        raise SchemaError(f"{verb} takes an EventLog. Got {type(log).__name__}: write EventLog.from_frame(frame).")
    if not len(log):
        raise EmptyError(f"{verb}: the log has no events. Check the split or the filters before it.")
