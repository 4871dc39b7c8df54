"""When people came by themselves: events joined into sessions, on the person's own clock.

Kernels take arrays: ``user`` int32 codes, ``at`` int64 UTC microseconds, both of shape (n,) and in order of time.
`count_sessions` does all of it in one compiled pass where there is much to count, for a million people in a second; the
functions of arrays below it are the single steps, which are taken where there is little.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from omnireco._core.checks import check_choice, count_of
from omnireco._core.compute import in_parallel, split_evenly, usable_threads
from omnireco._core.units import DAY_US, EPOCH_DAY, EPOCH_HOUR, HOUR_US, MINUTE_US, WEEK, WEEK_US
from omnireco._kernels.log.cells import Coded
from omnireco._kernels.week.pooling import NOT_COUNTED
from omnireco._kernels.week.size import small
from omnireco.data.audience import Audience
from omnireco.data.clock import local_us
from omnireco.data.dataset import dataset_of
from omnireco.data.events import EventLog
from omnireco.data.holidays import clock_changes, on_holiday
from omnireco.data.hours import local_hours
from omnireco.data.interactions import Interactions
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.data.weights import Weights, event_weights, weights_at
from omnireco.errors import DataWarning

__all__ = [
    "NOT_COUNTED",
    "Counted",
    "by_hour",
    "caused_by_messages",
    "check_holidays",
    "count_sessions",
    "local_hours",
    "local_quarters",
    "session_starts",
    "timed_events",
]

_LONGEST_WALK = 200 * 365 * DAY_US  # beyond it the clocks of all years in between would have to be read
_NATS_TO_DOUBT, _SESSIONS_TO_DOUBT = 5.0, 30  # by how much, on how many, holidays look like working days
_STRETCH = 50_000  # events below which a second thread does not pay


@dataclass(frozen=True, slots=True)
class Counted:
    """Which events of a log begin a session that counts, and when that was on the person's clock.

    Attributes
    ----------
    hour : ndarray of shape (n_events,), uint8
        Local hour of the week where a counted session begins, 255 elsewhere.
    stretches : tuple of slices
        The events that each thread walked.
    per_stretch : ndarray of shape (n_stretches, n_users), int32
        Counted sessions of each person in each stretch.
    total : ndarray of shape (168,), int64
        Counted sessions per hour.
    n_caused, n_without_zone : int
        Sessions left out because a message caused them; people whose sessions have no local hour.
    """

    hour: np.ndarray
    stretches: tuple[slice, ...]
    per_stretch: np.ndarray
    total: np.ndarray
    n_caused: int
    n_without_zone: int

    def of_channel(self, log: EventLog, channel: int) -> Counted:
        """Return the sessions that began on a channel."""
        hour = np.where(log.channel == channel, self.hour, NOT_COUNTED).astype(np.uint8)
        inside = hour != NOT_COUNTED
        counted = [np.bincount(log.user[part][inside[part]], minlength=log.n_users) for part in self.stretches]
        total = np.bincount(hour[inside], minlength=WEEK)
        per_stretch = np.array(counted, np.int32).reshape(-1, log.n_users)
        return Counted(hour, self.stretches, per_stretch, total, self.n_caused, self.n_without_zone)

    @property
    def history(self) -> np.ndarray:
        """Counted sessions per person, int32 (n_users,)."""
        return np.asarray(self.per_stretch.sum(axis=0, dtype=np.int32))

    def cells(
        self, log: EventLog, half_life_us: int | None, *, threads: int | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return decayed sessions per person and hour as rows of a sparse matrix: indptr, hour, weight."""
        if small(log.n_users, len(log)):
            return self._cells_of_few(log, half_life_us)
        from omnireco._kernels.week import counting as kernels

        upto = np.cumsum(self.per_stretch, axis=0, dtype=np.int64)
        ends = np.cumsum(upto[-1])
        indptr = np.concatenate([np.zeros(1, np.int64), ends])
        place = indptr[:-1] + upto - self.per_stretch
        hour, weight = np.empty(int(indptr[-1]), np.uint8), np.empty(int(indptr[-1]), np.float32)
        decay = float(half_life_us or 0)
        in_parallel(
            [
                partial(
                    kernels.scatter,
                    log.user,
                    log.at,
                    self.hour,
                    part.start,
                    part.stop,
                    log.end_us,
                    decay,
                    place[i],
                    hour,
                    weight,
                )
                for i, part in enumerate(self.stretches)
            ],
            threads,
        )
        del place, upto
        size = np.zeros(log.n_users, np.int64)
        people = split_evenly(log.n_users, len(self.stretches)) if log.n_users else []
        stops = in_parallel(
            [partial(kernels.squeeze, indptr, part.start, part.stop, hour, weight, size) for part in people],
            threads,
        )
        packed = [slice(int(indptr[part.start]), int(stop)) for part, stop in zip(people, stops, strict=True)]
        return (
            np.concatenate([np.zeros(1, np.int64), np.cumsum(size)]),
            np.concatenate([hour[part] for part in packed]) if packed else hour,
            np.concatenate([weight[part] for part in packed]) if packed else weight,
        )

    def _cells_of_few(self, log: EventLog, half_life_us: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what `cells` does, by way of a table of all people and hours."""
        rows = np.flatnonzero(self.hour != NOT_COUNTED)
        weight = np.ones(rows.size, np.float32)
        if half_life_us is not None:
            weight = np.exp(np.log(0.5) * ((log.end_us - log.at[rows]) / half_life_us)).astype(np.float32)
        cell = log.user[rows].astype(np.int64) * WEEK + self.hour[rows]
        table = np.bincount(cell, weights=weight.astype(np.float64), minlength=log.n_users * WEEK)
        found = np.flatnonzero(table > 0.0)
        indptr = np.searchsorted(found, np.arange(log.n_users + 1) * WEEK)
        return indptr.astype(np.int64), (found % WEEK).astype(np.uint8), table[found].astype(np.float32)


def timed_events(log: EventLog) -> EventLog:
    """Return the events whose hour is known, of a log with the same people, items and names.

    Warns
    -----
    DataWarning
        When every event carries a date only, so that no hour can be learned.
    """
    if log.dated is None:
        return log
    rows = np.flatnonzero(log.timed)
    if len(log) and not rows.size:
        warnings.warn(
            f"all {len(log):,} events carry a date and no hour (each is midnight, in UTC or in one zone), so no hours "
            "of activity are learned: everybody is taken to be as active at any hour. Join the real times; if midnight "
            "is the real time, read them so: EventLog.from_frame(frame, timestamp='instant').",
            DataWarning,
            stacklevel=5,
        )
    return replace(
        log,
        **{name: getattr(log, name)[rows] for name in ("user", "item", "channel", "event", "at")},
        value=None if log.value is None else log.value[rows],
        labels={name: (known, codes[rows]) for name, (known, codes) in log.labels.items()},
        dated=None,
        dates_found=False,
    )


def count_sessions(
    log: EventLog, audience: Audience, messages: MessageLog | None, gap_us: int, *, threads: int | None = None
) -> Counted:
    """Find the sessions that have a local hour and no message behind them, in one pass over the events."""
    if small(log.n_users, len(log)):
        return _count_few(log, audience, messages, gap_us)
    from omnireco._kernels.week import counting as kernels

    n, n_users = len(log), log.n_users
    zone, own = _clock_of(log, audience)
    changes = (np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int64))
    if not own.size and n:
        known = np.unique(zone[zone >= 0])
        changes = clock_changes(audience.zones, known, int(log.at[0]), int(log.at[-1]), audience.holidays)
    touch_user, touch_at = _touches(messages, log.users)
    stretches = tuple(split_evenly(n, min(usable_threads(threads), max(1, n // _STRETCH)))) if n else ()
    hour = np.empty(n, np.uint8)
    parts = max(1, len(stretches))
    found, counted = np.zeros((parts, n_users), np.uint8), np.zeros((parts, n_users), np.int32)
    total = np.zeros((parts, WEEK), np.int64)
    caused = in_parallel(
        [
            partial(
                kernels.mark, log.user, log.at, gap_us, part.start, part.stop, zone, *changes, len(audience.zones),
                own, touch_user, touch_at, hour, found[i], counted[i], total[i],
            )
            for i, part in enumerate(stretches)
        ],
        threads,
    )  # fmt: skip
    without = int((np.bitwise_or.reduce(found, axis=0) == 2).sum())  # sessions, but none with a local hour
    return Counted(hour, stretches, counted, total.sum(axis=0), int(sum(caused)), without)


def check_holidays(log: EventLog, audience: Audience, counted: Counted) -> None:
    """Warn when people are active on the public holidays of an audience as on working days, not as on Sundays.

    Poisson likelihood of the sessions of those days under the usual rates of a Sunday and of their own weekday.

    Warns
    -----
    DataWarning
        When their own weekdays explain the holidays better.
    """
    if audience.holidays is None:
        return
    rows = np.flatnonzero(counted.hour != NOT_COUNTED)
    zone = np.append(audience.zone, np.int32(NONE))[match(audience.users, log.users, ("audience", "events"))]
    zone = zone[log.user[rows]]
    rows, zone = rows[zone >= 0], zone[zone >= 0]
    if not rows.size:
        return
    local = local_us(log.at[rows], zone, audience.zones)
    free = on_holiday(local, zone, audience.zones, audience.holidays)
    usual = np.bincount((local[~free] // HOUR_US + EPOCH_HOUR) % WEEK, minlength=WEEK) + 0.5
    usual = usual.reshape(7, 24) / max(1.0, (int(local.max()) - int(local.min())) / WEEK_US)
    share = np.bincount(zone, minlength=len(audience.zones)) / zone.size
    code = audience.zones.codes(audience.holidays.zones.ids, missing="none")[audience.holidays.zone]
    day = audience.holidays.day.astype(np.int64)
    inside = (code != NONE) & (day > int(local.min()) // DAY_US) & (day < int(local.max()) // DAY_US)
    expected = usual.sum(axis=1)
    more = share[code[inside]] @ (expected[6] - expected[(day[inside] + EPOCH_DAY) % 7])
    own = (local[free] // HOUR_US + EPOCH_HOUR) % WEEK
    gain = float(np.log(usual[6][own % 24] / usual.ravel()[own]).sum() - more)
    if gain < -_NATS_TO_DOUBT and int(free.sum()) >= _SESSIONS_TO_DOUBT:
        warnings.warn(
            f"people are active on the public holidays of the audience as on working days, not as on Sundays "
            f"({int(free.sum()):,} sessions on {count_of(int(inside.sum()), 'holiday')}, {-gain:.0f} nats). Leave "
            "holidays out: Audience.from_frame(frame).",
            DataWarning,
            stacklevel=4,
        )


def _count_few(log: EventLog, audience: Audience, messages: MessageLog | None, gap_us: int) -> Counted:
    """Find what `count_sessions` does, step by step."""
    rows = session_starts(log.user, log.at, gap_us)
    user, hours = log.user[rows], local_hours(log, audience, rows)
    caused = np.zeros(rows.size, np.bool_)
    if messages is not None:
        caused = caused_by_messages(user, log.at[rows], messages, log.users, gap_us)
    keep = (hours >= 0) & ~caused
    hour = np.full(len(log), NOT_COUNTED, np.uint8)
    hour[rows[keep]] = hours[keep]
    local, lost = (np.bincount(user[has], minlength=log.n_users) > 0 for has in (hours >= 0, hours < 0))
    return Counted(
        hour,
        (slice(0, len(log)),),
        np.bincount(user[keep], minlength=log.n_users).astype(np.int32)[None],
        np.bincount(hours[keep], minlength=WEEK),
        int((caused & (hours >= 0)).sum()),
        int((lost & ~local).sum()),
    )


def _clock_of(log: EventLog, audience: Audience) -> tuple[np.ndarray, np.ndarray]:
    """Return each person's zone, and the local hours of the events where these cannot come from the zones alone."""
    zone = np.append(audience.zone, np.int32(NONE))[match(audience.users, log.users, ("audience", "events"))]
    labelled = {"timezone", "utc_offset_min"} & set(log.labels)
    if labelled or (len(log) and int(log.at[-1]) - int(log.at[0]) > _LONGEST_WALK):
        return zone, local_hours(log, audience, np.arange(len(log))).astype(np.int16)
    return zone, np.empty(0, np.int16)


def _touches(messages: MessageLog | None, users: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Return the users and instants of messages and responses, in order of time."""
    if messages is None or not len(messages):
        return np.empty(0, np.int32), np.empty(0, np.int64)
    code = users.codes(messages.users.ids, missing="none")[messages.user]
    answered = messages.responded_at != NEVER
    who = np.concatenate([code, code[answered]])
    when = np.concatenate([messages.sent_at, messages.responded_at[answered]])
    order = np.argsort(when, kind="stable")
    order = order[who[order] != NONE]
    return who[order], when[order]


def session_starts(user: np.ndarray, at: np.ndarray, gap_us: int) -> np.ndarray:
    """Return the positions of session starts, by (user, time): events of one person closer than a gap count once."""
    order = np.argsort(user, kind="stable")
    who, when = user[order], at[order]
    fresh = np.ones(who.size, np.bool_)
    fresh[1:] = (who[1:] != who[:-1]) | (when[1:] - when[:-1] > gap_us)
    starts: np.ndarray = order[fresh]
    return starts


def caused_by_messages(
    user: np.ndarray, at: np.ndarray, sent: MessageLog, users: Vocabulary, gap_us: int
) -> np.ndarray:
    """Return which sessions a message caused: they start within a gap after its delivery or its response.

    Without this a profile learns our own timetable.
    """
    code = users.codes(sent.users.ids, missing="none")[sent.user]
    answered = sent.responded_at != NEVER
    who = np.concatenate([code, code[answered]])
    when = np.concatenate([sent.sent_at, sent.responded_at[answered]])
    known = who != NONE
    who, when = who[known], when[known]
    written_to = np.zeros(len(users), np.bool_)
    written_to[who] = True
    messaged = np.flatnonzero(written_to[user])
    found = np.zeros(user.size, np.bool_)
    if not messaged.size:
        return found
    user, at = user[messaged], at[messaged]
    # one order of (user, time, messages first); each session looks back to the last message before it
    both_who, both_when = np.concatenate([who, user]), np.concatenate([when, at])
    is_session = np.r_[np.zeros(who.size, np.int8), np.ones(user.size, np.int8)]
    order = np.lexsort([is_session, both_when, both_who])
    place = np.where(is_session[order] == 0, np.arange(order.size), -1)
    last = order[np.maximum(np.maximum.accumulate(place), 0)]
    near = (place.size > 0) & (both_who[last] == both_who[order]) & (both_when[order] - both_when[last] <= gap_us)
    near &= (is_session[order] == 1) & (is_session[last] == 0)
    caused = np.zeros(order.size, np.bool_)
    caused[order] = near
    found[messaged] = caused[who.size :]
    return found


def local_quarters(log: EventLog, audience: Audience, rows: np.ndarray) -> np.ndarray:
    """Return the local quarter of the hour, 0 to 3, of some events with a local clock."""
    hours = local_hours(log, audience, rows)
    back = [local_hours(log, audience, rows, earlier_us=15 * k * MINUTE_US) == hours for k in (1, 2, 3)]
    return np.asarray(np.sum(back, axis=0))


def by_hour(
    data: Any, weights: Weights | None = None, *, per: Literal["week", "day"] = "week", at: Any = None
) -> Interactions:
    """Build people x hours: when each of them does things, on their own clock.

    Parameters
    ----------
    data : Dataset
        Events, and an audience for the time zone of people. An event whose person has none is left out, unless the log
        keeps the event's own (``context=["timezone"]`` or ``["utc_offset_min"]``).
    weights, at
        As in ``log.matrix``. Events about no item count here.
    per : {"week", "day"}
        168 hours from Monday 00:00, or 24.

    Returns
    -------
    Interactions
        Its items are the hours; one layer per channel. For the curve that an hour deserves when a person is
        known little, see :class:`ActivityProfile`.

    Raises
    ------
    SchemaError
        When the data lacks events or an audience.
    ParameterError
        When ``per`` is another name, or a weight names what the log does not have.

    Notes
    -----
    Deterministic. O(n log n) in the events.

    Examples
    --------
    >>> import omnireco as om
    >>> data = om.simulate(n_users=50, n_items=20, seed=1).dataset()
    >>> om.timing.by_hour(data, per="day").n_items
    24
    """
    hours = {"week": WEEK, "day": 24}[check_choice(per, "per", ("week", "day"))]
    known = dataset_of(data, "by_hour", ("events", "audience"))
    log = known.part("events", "by_hour")
    weights, clock = weights_at(log, weights, at)
    hour = local_hours(log, known.part("audience", "by_hour"), np.arange(len(log)))
    item = np.where(hour >= 0, hour % hours, NONE).astype(np.int32)
    return Interactions.from_cells(
        log.users,
        Vocabulary(np.arange(hours)),
        Coded(log.user, item, log.channel, event_weights(log, weights, clock)),
        channels=log.channels,
        cap=weights.cap,
        binary=weights.binary,
        at_us=clock,
    )
