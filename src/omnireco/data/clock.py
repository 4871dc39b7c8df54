"""Local times of instants; the only importer of zoneinfo.

Instants are int64 UTC microseconds and are mapped *to* local time, never back. ``zone`` holds int32
codes into a vocabulary of IANA names, -1 where a person's zone is unknown.

A zone's offset changes a few times a year at most, so each zone is read once per period of ten years
that the data touches: probed every two days (the shortest offset period in the zone database is four) and
bisected to the second where the offset moved. Every instant is then one binary search.
"""

from __future__ import annotations

import datetime as dt
import functools
import importlib.util
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from omnireco._core.checks import check_duration, check_instant, check_integer, count_of, from_microseconds, shown
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts, freeze, instants
from omnireco._core.small import Flag, Whole
from omnireco._core.units import DAY_US, EPOCH_HOUR, HOUR_US, MINUTE_US, SECOND_US, WEEK
from omnireco.errors import ParameterError

__all__ = [
    "Slots",
    "clock_changes",
    "country_zones",
    "hour_of_local",
    "hour_of_week",
    "in_quiet_hours",
    "is_zone",
    "local_us",
    "minute_of_day",
    "slots",
    "slots_by_zone",
    "utc_offset",
    "zone_file",
    "zone_spellings",
]

_STEP = 2 * DAY_US
_PERIOD = 1827 * _STEP
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_FIRST = -62_135_596_800 * SECOND_US + 2 * DAY_US  # datetime.min, two days inside
_LAST = 253_402_300_799 * SECOND_US - 2 * DAY_US  # datetime.max, two days inside
_FARTHEST = 26 * HOUR_US  # no clock stands further from UTC, nor from itself across the date line
_MOST_SLOTS = 1_000_000
_FIXED = frozenset(
    {"CET", "CST6CDT", "EET", "EST", "EST5EDT", "Factory", "GMT", "GMT+0", "GMT-0", "GMT0", "Greenwich"}
    | {
        "HST",
        "MET",
        "MST",
        "MST7MDT",
        "PST8PDT",
        "UCT",
        "Universal",
        "WET",
        "Zulu",
        "localtime",
        "posixrules",
    }
)


class _HasIds(Protocol):
    @property
    def ids(self) -> Any: ...


def is_zone(name: object) -> bool:
    """Return whether ``name`` is an IANA region zone, such as ``"America/New_York"``, or ``"UTC"``.

    Fixed offsets (``"Etc/GMT+4"``, ``"UTC+3"``, ``"EST"``) are not zones: they ignore daylight saving,
    so quiet hours in them are wrong for half of the year.

    Parameters
    ----------
    name : object
        The name of a time zone in a data source; anything but text is no zone.

    >>> is_zone("Asia/Kathmandu"), is_zone("UTC"), is_zone("Etc/GMT+4"), is_zone("UTC+3"), is_zone(None)
    (True, True, False, False, False)
    """
    return isinstance(name, str) and _is_zone(name)


@functools.cache
def country_zones(country: str) -> tuple[str, ...]:
    """Return the IANA zones of a country, by its ISO 3166 code; none where the code is not known.

    Parameters
    ----------
    country : str
        Two letters, such as ``"DE"``.

    Raises
    ------
    ParameterError
        When this machine has no table of countries.

    >>> country_zones("NP")
    ('Asia/Kathmandu',)
    """
    begin = country.upper() + "\t"
    return tuple(sorted(line.split("\t")[2].strip() for line in _zone_table() if line.startswith(begin)))


def utc_offset(at_us: np.ndarray, zone: np.ndarray, zones: _HasIds) -> np.ndarray:
    """Return the UTC offset of local clocks at given instants, in microseconds (east is positive).

    Parameters
    ----------
    at_us : ndarray of int64, shape (n,)
        Instants, UTC microseconds since 1970.
    zone : ndarray of int32, shape (n,)
        Codes into ``zones``; -1 where unknown. Shapes are broadcast against each other.
    zones : Vocabulary
        IANA names in code order (anything with ``.ids``).

    Returns
    -------
    ndarray of int64, shape (n,)
        0 where the zone is unknown.

    Raises
    ------
    ParameterError
        A code outside the vocabulary, or a name in use that is no IANA zone.

    Notes
    -----
    Deterministic; 5 to 30 million instants a second, plus some 2 ms the first time a zone is met in a
    period of ten years. Before year 1 and after year 9999 the nearest known offset is used.

    >>> from types import SimpleNamespace
    >>> zones = SimpleNamespace(ids=np.array(["America/New_York", "Asia/Kolkata"], dtype=object))
    >>> utc_offset(np.zeros(3, np.int64), np.array([0, 1, -1], np.int32), zones) / 3_600_000_000
    array([-5. ,  5.5,  0. ])
    """
    at_us, zone = np.broadcast_arrays(np.asarray(at_us, np.int64), np.asarray(zone))
    names = zones.ids
    _check_codes(zone, len(names))
    flat_at, flat_zone = at_us.ravel(), zone.ravel()
    offset = np.zeros(flat_at.size, np.int64)
    groups: list[Any] = [slice(None)]
    if flat_at.size == 0:
        return offset.reshape(at_us.shape)
    if flat_zone[0] != flat_zone[-1] or np.any(flat_zone != flat_zone[0]):
        order = np.argsort(flat_zone, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(flat_zone[order])) + 1)
    for rows in groups:
        code = int(flat_zone[rows][0])
        if code >= 0:
            offset[rows] = _offset_in(str(names[code]), flat_at[rows])
    return offset.reshape(at_us.shape)


def local_us(at_us: np.ndarray, zone: np.ndarray, zones: _HasIds) -> np.ndarray:
    """Return the wall clock at given instants, as microseconds since local 1970-01-01 00:00.

    The person's own clock; where the zone is unknown (-1) it is UTC, so mask those.

    Parameters
    ----------
    at_us, zone, zones
        As in `utc_offset`.

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    ParameterError
        As in `utc_offset`.

    >>> from types import SimpleNamespace
    >>> zones = SimpleNamespace(ids=np.array(["Asia/Kathmandu"], dtype=object))
    >>> local_us(np.array([1_700_000_000_000_000]), np.array([0]), zones).astype("datetime64[us]")
    array(['2023-11-15T03:58:20.000000'], dtype='datetime64[us]')
    """
    local: np.ndarray = np.asarray(at_us, np.int64) + utc_offset(at_us, zone, zones)
    return local


def hour_of_week(at_us: np.ndarray, zone: np.ndarray, zones: _HasIds) -> np.ndarray:
    """Return the local hour of the week, 0 = Monday 00:00 to 167 = Sunday 23:00; -1 without a zone.

    Parameters
    ----------
    at_us, zone, zones
        As in `utc_offset`.

    Returns
    -------
    ndarray of int32, shape (n,)

    Raises
    ------
    ParameterError
        As in `utc_offset`.

    The hour that New York repeats on 2025-11-02 (a Sunday) is hour 145 twice:

    >>> from types import SimpleNamespace
    >>> zones = SimpleNamespace(ids=np.array(["America/New_York"], dtype=object))
    >>> first = 1_762_059_600_000_000  # 05:00 UTC
    >>> hour_of_week(first + 3_600_000_000 * np.arange(3), np.zeros(3, np.int32), zones)
    array([145, 145, 146], dtype=int32)
    """
    return hour_of_local(local_us(at_us, zone, zones), zone)


def hour_of_local(local: np.ndarray, zone: np.ndarray) -> np.ndarray:
    """Return the hour of the week of wall clocks (see `local_us`), int32; -1 without a zone.

    Parameters
    ----------
    local : ndarray of int64
        Microseconds since local 1970-01-01 00:00.
    zone : ndarray of int32
        -1 where unknown.

    >>> hour_of_local(np.array([0, 3_600_000_000]), np.array([0, -1]))  # 1970 began on a Thursday
    array([72, -1], dtype=int32)
    """
    hours = (local // HOUR_US + EPOCH_HOUR) % WEEK
    return np.where(np.asarray(zone) >= 0, hours, -1).astype(np.int32)


def minute_of_day(at_us: np.ndarray, zone: np.ndarray, zones: _HasIds) -> np.ndarray:
    """Return the local minute of the day, 0 to 1439; -1 without a zone.

    Parameters
    ----------
    at_us, zone, zones
        As in `utc_offset`.

    Returns
    -------
    ndarray of int32, shape (n,)

    Raises
    ------
    ParameterError
        As in `utc_offset`.

    >>> from types import SimpleNamespace
    >>> zones = SimpleNamespace(ids=np.array(["Asia/Kathmandu"], dtype=object))
    >>> minute_of_day(np.zeros(2, np.int64), np.array([0, -1]), zones)  # 05:30 in 1970, since 1986 05:45
    array([330,  -1], dtype=int32)
    """
    minutes = local_us(at_us, zone, zones) // MINUTE_US
    return np.where(np.asarray(zone) >= 0, minutes % 1440, -1).astype(np.int32)


def clock_changes(
    zones: _HasIds, used: np.ndarray, first_us: int, last_us: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return when and how the clocks of zones change between two instants, in order of time.

    For kernels that process events in order of time with one current offset per zone. Each zone in use has a
    first change at or before ``first_us``.

    Parameters
    ----------
    zones : Vocabulary
        IANA names in code order.
    used : ndarray of int
        Codes of the zones of interest.
    first_us, last_us : int
        UTC microseconds, both included. Each zone and ten years of span cost some 2 ms the first time.

    Returns
    -------
    at, zone, offset : ndarrays of int64, int32 and int64, shape (n_changes,)
        From ``at`` on the clocks of the zone are ``offset`` microseconds east of UTC.

    >>> from types import SimpleNamespace
    >>> zones = SimpleNamespace(ids=np.array(["America/New_York"], dtype=object))
    >>> at, zone, offset = clock_changes(zones, np.array([0]), 1_735_689_600_000_000, 1_759_276_800_000_000)  # 2025
    >>> (float(offset[-1] / 3_600_000_000), at[-1].astype("datetime64[us]").item().isoformat())
    (-4.0, '2025-03-09T07:00:00')
    """
    low, high = (min(max(us, _FIRST), _LAST) // _PERIOD for us in (first_us, last_us))
    at, zone, offset = [], [], []
    for code in np.asarray(used).tolist():
        tables = [_period_table(str(zones.ids[code]), period) for period in range(low, high + 1)]
        starts = np.concatenate([table[0] for table in tables])
        offsets = np.concatenate([table[1] for table in tables])
        begin = max(0, int(np.searchsorted(starts, first_us, side="right")) - 1)
        keep = slice(begin, max(begin + 1, int(np.searchsorted(starts, last_us, side="right"))))
        at.append(np.r_[min(first_us, int(starts[begin])), starts[keep][1:]])
        offset.append(offsets[keep])
        zone.append(np.full(at[-1].size, code, np.int32))
    if not at:
        return np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int64)
    order = np.argsort(np.concatenate(at), kind="stable")
    return (
        np.concatenate(at)[order].astype(np.int64),
        np.concatenate(zone)[order],
        np.concatenate(offset)[order].astype(np.int64),
    )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Slots:
    """Instants at which a message may leave, evenly spaced in UTC.

    Attributes
    ----------
    at : ndarray of int64, shape (n_slots,)
        Start of each slot, UTC microseconds since 1970, read-only. Of whole days: those of a person in UTC.
    every_us : int
        Microseconds between slots.
    local_days : bool
        Whether the slots stand for whole days of everybody's own calendar, as when they begin with a plain date.
    """

    at: np.ndarray
    every_us: int = field(default=HOUR_US)
    local_days: bool = False

    parts: ClassVar[Parts] = {"at": instants("at", order="rising"), "every_us": Whole(1), "local_days": Flag()}

    def __post_init__(self) -> None:
        freeze(self)

    def __len__(self) -> int:
        return int(self.at.size)

    @property
    def first_us(self) -> int:
        """Start of the first slot, UTC microseconds since 1970."""
        return int(self.at.min())

    def __repr__(self) -> str:
        first = from_microseconds(self.first_us).isoformat()
        n = f"{len(self):,} slot{'' if len(self) == 1 else 's'}"
        return f"Slots({n}, every {self.every_us / HOUR_US:g} h, from {first})"

    _repr_html_ = shown_html


def slots(start: object, *, days: int, every: str | dt.timedelta = "1h") -> Slots:
    """Return the instants of a campaign: every hour (by default) of a number of days.

    A plain date begins a day of everybody's own calendar: a week from Tuesday begins on Tuesday 00:00 in New York and
    on Tuesday 00:00 in Tokyo, half a day earlier. An instant begins days of 24 hours that are the same for everybody.

    Parameters
    ----------
    start : date, aware datetime or str
        First day, or first slot. An instant that is no whole minute (``log.end`` is a microsecond after the last
        event) is moved up to the next slot, counted from 00:00 UTC.
    days : int
        How many days, 1 or more.
    every : duration, default "1h"
        Distance between slots; it must divide a day.

    Raises
    ------
    ParameterError
        A naive time, no day, a distance that does not divide a day, more than a million slots, or slots after the
        year 9999.

    Examples
    --------
    >>> week = slots("2025-06-01", days=7, every="1h")
    >>> week
    Slots(168 slots, every 1 h, from 2025-06-01T00:00:00+00:00)
    >>> len(week)
    168
    """
    first = check_instant(start, "start")
    n_days = check_integer(days, "days", low=1)
    step = check_duration(every, "every")
    if DAY_US % step:
        raise ParameterError(
            f"every must divide a day, so that each day has the same slots. Got {shown(every)}. "
            "Write for example every='1h', '30min' or '15min'."
        )
    if first % MINUTE_US:
        first = -(-first // step) * step
    n = n_days * (DAY_US // step)
    if n > _MOST_SLOTS:
        raise ParameterError(
            f"slots: days={n_days} and every={every!r} make {n:,} slots; at most {_MOST_SLOTS:,} are allowed. Take "
            "fewer days, or slots further apart."
        )
    if first + n_days * DAY_US > _LAST or first < _FIRST:
        raise ParameterError(
            f"slots: {count_of(n_days, 'day')} from {start!r} on lie outside the years 1 to 9999. Move start."
        )
    at = first + step * np.arange(n, dtype=np.int64)
    return Slots(at=at, every_us=step, local_days=_is_date(start))


def in_quiet_hours(local: np.ndarray, start: int, end: int) -> np.ndarray:
    """Return which local times lie in the quiet hours of their day, half-open; they may run over midnight.

    Parameters
    ----------
    local : ndarray of int64
        Local instants, microseconds; the day does not matter.
    start, end : int
        Microseconds after midnight; equal ones are the whole day.

    >>> hour = 3_600_000_000
    >>> in_quiet_hours(np.array([20, 21, 31, 32]) * hour, 21 * hour, 8 * hour)
    array([False,  True,  True, False])
    """
    clock = local % DAY_US
    return np.asarray((clock >= start) & (clock < end) if start < end else (clock >= start) | (clock < end))


def slots_by_zone(slots: Slots, zones: _HasIds) -> tuple[np.ndarray, np.ndarray]:
    """Return the instants that are a slot in some zone, and in which zones.

    Parameters
    ----------
    slots : Slots
    zones : Vocabulary
        IANA names in code order (anything with ``.ids``).

    Returns
    -------
    (ndarray of int64, shape (n,); ndarray of bool, shape (n_zones + 1, n))
        UTC microseconds, ascending; and whether each is a slot in each zone. The last row is for people whose zone is
        not known: they have the days of UTC.
    """
    n_zones = len(zones.ids)
    if not slots.local_days or not n_zones:
        return slots.at, np.ones((n_zones + 1, len(slots)), np.bool_)
    start, step = slots.first_us, slots.every_us
    stop = int(slots.at[-1]) + step
    reach = -(-_FARTHEST // step)
    at = start + step * np.arange(-reach, len(slots) + reach, dtype=np.int64)
    wall = local_us(at[None, :], np.arange(n_zones, dtype=np.int32)[:, None], zones)
    wall = np.concatenate([wall, at[None, :]])
    inside = (wall >= start) & (wall < stop)
    used = inside.any(axis=0)
    return at[used], inside[:, used]


def _is_date(start: object) -> bool:
    """Return whether ``start`` is a day and no instant."""
    if isinstance(start, str):
        return len(start.strip()) == len("2025-06-01")
    return isinstance(start, dt.date) and not isinstance(start, dt.datetime)


@functools.cache
def _is_zone(name: str) -> bool:
    if name in _FIXED or (name.startswith(("Etc/", "posix/", "right/")) and name != "Etc/UTC"):
        return False
    try:
        zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


@functools.cache
def zone_spellings() -> dict[str, str]:
    """Return the spelling of every name of the zone database, by its lower case."""
    return {name.casefold(): name for name in sorted(zoneinfo.available_timezones())}


@functools.cache
def zone_file(name: str) -> tuple[str, ...]:
    """Return the lines of a text of the zone database, comments left out; none where this machine has no such file."""
    folders: list[Any] = [Path(path) for path in zoneinfo.TZPATH]
    if importlib.util.find_spec("tzdata") is not None:
        folders.append(resources.files("tzdata") / "zoneinfo")
    for table in (folder / name for folder in folders):
        if table.is_file():
            return tuple(line for line in table.read_text("utf-8").splitlines() if not line.startswith("#"))
    return ()


def _zone_table() -> tuple[str, ...]:
    """Return the lines of zone.tab, the zone database's list of countries."""
    if lines := zone_file("zone.tab"):
        return lines
    raise ParameterError(
        "this machine has no table of the zones of countries. Install one (pip install tzdata), or give the zones: "
        "countries={'US': ['America/New_York', 'America/Chicago']}."
    )


def _check_codes(zone: np.ndarray, n_zones: int) -> None:
    """Refuse codes outside the vocabulary."""
    if zone.dtype.kind not in "iu":
        raise ParameterError(f"zone must hold integer codes. Got an array of {zone.dtype}.")
    if zone.size and (int(zone.max()) >= n_zones or int(zone.min()) < -1):
        bad = int(np.count_nonzero((zone >= n_zones) | (zone < -1)))
        raise ParameterError(
            f"zone holds {bad} code{'s' if bad > 1 else ''} outside -1..{n_zones - 1}. Make codes with "
            "zones.codes(names, missing='none')."
        )


def _offset_in(name: str, at_us: np.ndarray) -> np.ndarray:
    """Return the offsets of one zone: a binary search in the transitions of the periods touched."""
    low, high = int(at_us.min()) // _PERIOD, int(at_us.max()) // _PERIOD
    low, high = max(low, _FIRST // _PERIOD), min(high, _LAST // _PERIOD)
    periods: Iterable[int] = range(low, high + 1)
    if high - low > 16:  # outlying instants: read only the periods that hold data
        periods = np.unique(np.clip(at_us // _PERIOD, low, high)).tolist()
    tables = [_period_table(name, int(period)) for period in periods]
    starts = np.concatenate([table[0] for table in tables])
    offsets = np.concatenate([table[1] for table in tables])
    if offsets.size == 1 or not np.any(offsets != offsets[0]):
        return np.full(at_us.size, offsets[0])
    found: np.ndarray = offsets[np.maximum(np.searchsorted(starts, at_us, side="right") - 1, 0)]
    return found


@functools.lru_cache(maxsize=8192)
def _period_table(name: str, period: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the offset periods of one zone in one period: their first instants and offsets, microseconds."""
    if not _is_zone(name):
        raise ParameterError(
            f"{shown(name)} is not an IANA time zone. Use a region such as 'America/New_York', "
            "and leave the zone empty (code -1) where it is not known."
        )
    zone = zoneinfo.ZoneInfo(name)
    probes = _probes(period)
    offset = [probe.astimezone(zone).utcoffset() for probe in probes]
    starts, spells = [period * _PERIOD], [offset[0]]
    for i in range(1, len(probes)):
        if offset[i] != offset[i - 1]:
            starts.append(_bisect(zone, probes[i - 1], probes[i]))
            spells.append(offset[i])
    microsecond = dt.timedelta(microseconds=1)
    return np.array(starts, np.int64), np.array([spell // microsecond for spell in spells if spell is not None])


@functools.lru_cache(maxsize=64)
def _probes(period: int) -> list[dt.datetime]:
    """Return one instant every two days of a period, both ends included, inside datetime's years."""
    start = period * _PERIOD
    instants = [min(max(start + i * _STEP, _FIRST), _LAST) for i in range(_PERIOD // _STEP + 1)]
    return [from_microseconds(instant) for instant in instants]


def _bisect(zone: zoneinfo.ZoneInfo, before: dt.datetime, after: dt.datetime) -> int:
    """Return the first second, in microseconds since 1970, at which the offset is that of ``after``."""
    low, high = (round((probe - _EPOCH).total_seconds()) for probe in (before, after))
    goal = after.astimezone(zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        moved = (_EPOCH + dt.timedelta(seconds=middle)).astimezone(zone).utcoffset() == goal
        low, high = (low, middle) if moved else (middle, high)
    return high * SECOND_US
