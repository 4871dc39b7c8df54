"""Public holidays of places: days on which people live as on a Sunday."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_integer, check_mapping, count_of, shown
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Array, Parts, coded, declare
from omnireco._core.units import DAY_US, EPOCH_DAY
from omnireco.data import clock
from omnireco.data.clock import country_zones, is_zone, local_us
from omnireco.data.frames.zone_names import one_name
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Holidays", "as_sunday", "clock_changes", "hour_of_week", "on_holiday"]

_SUNDAY = 6 * 24

_MOST_DAYS = 200 * 366
_EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Holidays:
    """Public holidays by time zone: an hour of such a day counts as the same hour of a Sunday.

    Give them to an audience, ``Audience.from_frame(frame, holidays=...)``: profiles of activity, response probabilities
    and the best hours then know that a holiday is no working day. Limits of the law (quiet hours) and local dates in
    results stay those of the calendar.

    Attributes
    ----------
    zones : Vocabulary
        IANA names, such as ``"Europe/Berlin"``.
    zone : ndarray of shape (n,), int32
        Code of the zone of each holiday.
    day : ndarray of shape (n,), int32
        Its local date, in days since 1970-01-01.

    Examples
    --------
    >>> days = Holidays.from_dates({"Europe/Berlin": ["2025-05-01", "2025-12-25"], "America/New_York": ["2025-07-04"]})
    >>> days
    Holidays(3 holidays, 2 zones, 2025-05-01 to 2025-12-25)
    """

    zones: Vocabulary
    zone: np.ndarray
    day: np.ndarray

    parts: ClassVar[Parts] = {
        "zones": Ids(text=True),
        "zone": coded("zones", "n"),
        "day": Array(np.int32, ("n",), -719_162, 2_932_896),  # years 1 to 9999
    }

    def __post_init__(self) -> None:
        declare(self)
        if self.day.size and int(self.day.max()) - int(self.day.min()) > _MOST_DAYS:
            first, last = _date(self.day.min()), _date(self.day.max())
            raise ParameterError(
                f"Holidays: the dates run from {first} to {last}, over more than 200 years. Leave out what is no date "
                "of your log or plan."
            )

    @classmethod
    def from_dates(cls, dates: Mapping[str, Iterable[Any]]) -> Holidays:
        """Return the holidays of given dates.

        Parameters
        ----------
        dates : mapping of str to iterable of dates
            IANA zone to local dates: ``datetime.date`` or ``"2025-12-25"``. A date given twice counts once.

        Raises
        ------
        ParameterError
            When a name is no IANA zone, or a date is none.
        """
        found: set[tuple[str, int]] = set()
        example = "{'Europe/Berlin': ['2025-12-25']}"
        for zone, days in check_mapping(dates, "dates", example).items():
            name = one_name(zone) if is_zone(zone) else None  # the audience's zones have one name each
            if name is None:
                raise ParameterError(
                    f"Holidays.from_dates: {shown(zone)} is not an IANA time zone. Write for example {example}."
                )
            if isinstance(days, (str, bytes)) or not isinstance(days, Iterable):
                raise ParameterError(
                    f"Holidays.from_dates: the dates of {zone} must be a list. Got {shown(days)}. Write {example}."
                )
            found |= {(name, _day(one, zone)) for one in days}
        rows = sorted(found)
        zones, zone_code = Vocabulary.encode(np.array([zone for zone, _ in rows], object), "dates")
        return cls(zones, zone_code, np.array([day for _, day in rows], np.int32))

    @classmethod
    def of_countries(cls, countries: Iterable[str], *, years: Iterable[int]) -> Holidays:
        """Return the public holidays of countries, for all their time zones; needs ``pip install omnireco[holidays]``.

        Parameters
        ----------
        countries : iterable of str
            ISO 3166 codes, such as ``["DE", "US"]``; with a subdivision, ``"DE-BY"``, its own days are in.
        years : iterable of int
            Which years: those of the log and of the plan.

        Raises
        ------
        ParameterError
            When the package is not installed, does not know a country, two of the countries share a zone (give these by
            :meth:`from_dates`), or a year is none.
        """
        if isinstance(countries, (str, bytes)) or not isinstance(countries, Iterable):
            raise ParameterError(f"countries must be a list of codes, such as ['DE', 'US']. Got {shown(countries)}.")
        if isinstance(years, (str, bytes)) or not isinstance(years, Iterable):
            raise ParameterError(f"years must be a list of years, such as [2025, 2026]. Got {shown(years)}.")
        wanted = [check_integer(year, "years", low=1, high=9999) for year in years]
        dates: dict[str, list[dt.date]] = {}
        owner: dict[str, str] = {}
        for name in countries:
            days = _days_of(name, wanted)
            for zone in country_zones(name.partition("-")[0]):
                if zone in owner:
                    raise ParameterError(
                        f"Holidays.of_countries: {zone} is a zone of {shown(owner[zone])} and of {shown(name)}, and a "
                        "person's zone does not say in which of them they live. Name one of the two."
                    )
                owner[zone], dates[zone] = name, days
        return cls.from_dates(dates)

    def __len__(self) -> int:
        return int(self.day.size)

    def __repr__(self) -> str:
        when = f", {_date(self.day.min())} to {_date(self.day.max())}" if len(self) else ""
        return f"Holidays({count_of(len(self), 'holiday')}, {count_of(len(self.zones), 'zone')}{when})"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return one row per holiday: ``timezone date``."""
        import pandas as pd

        when = self.day.astype("datetime64[D]").astype("datetime64[s]")
        return pd.DataFrame({"timezone": self.zones.ids[self.zone], "date": when})


def hour_of_week(at_us: np.ndarray, zone: np.ndarray, zones: Any, holidays: Holidays | None) -> np.ndarray:
    """Return the local hour of the week, as `omnireco.data.clock.hour_of_week`; on holidays that of a Sunday."""
    local = local_us(at_us, zone, zones)
    hour = clock.hour_of_local(local, zone)
    return hour if holidays is None else as_sunday(hour, on_holiday(local, zone, zones, holidays))


def on_holiday(local: np.ndarray, zone: np.ndarray, zones: Any, holidays: Holidays) -> np.ndarray:
    """Return whether local times (microseconds) fall on a holiday of their zone, bool; False where it is unknown."""
    local, zone = np.broadcast_arrays(local, zone)
    if not len(holidays) or not len(zones.ids):
        return np.zeros(local.shape, np.bool_)
    first, last = int(holidays.day.min()), int(holidays.day.max())
    table = np.zeros((len(holidays.zones) + 1, last - first + 2), np.bool_)  # the last row and column: never
    table[holidays.zone, holidays.day - first] = True
    row = np.append(holidays.zones.codes(zones.ids, missing="none"), -1)[zone]
    day = local // DAY_US - first
    return np.asarray(table[row, np.where((day < 0) | (day > last - first), -1, day)])


def as_sunday(hour: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return hours of the week, those of free days as the same hour of a Sunday; -1 stays."""
    return np.where(free & (hour >= 0), _SUNDAY + hour % 24, hour).astype(np.int32)


def clock_changes(
    zones: Any, used: np.ndarray, first_us: int, last_us: int, holidays: Holidays | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return clock changes as `omnireco.data.clock.clock_changes`, for kernels that read hours of the week.

    At the start of a holiday the clock is put forward to the Sunday of its week, and at the end back again.
    """
    at, zone, offset = clock.clock_changes(zones, used, first_us, last_us)
    if holidays is None or not len(holidays):
        return at, zone, offset
    known = holidays.zones.codes(zones.ids, missing="none")
    when, where, east = [], [], []
    for code in np.asarray(used).tolist():
        mine = zone == code
        own_at, own = at[mine], offset[mine]
        days = holidays.day[holidays.zone == known[code]].astype(np.int64)
        edges = DAY_US * np.concatenate([days, days + 1])[:, None] - np.unique(own)[None, :]
        found = np.unique(np.concatenate([own_at, edges[(edges > own_at[0]) & (edges <= last_us)]]))
        local = found + own[np.searchsorted(own_at, found, side="right") - 1]
        day = local // DAY_US
        free = np.isin(day, days)
        when.append(found)
        where.append(np.full(found.size, code, np.int32))
        east.append(local - found + np.where(free, (6 - (day + EPOCH_DAY)) % 7, 0) * DAY_US)
    order = np.argsort(np.concatenate(when), kind="stable")
    return np.concatenate(when)[order], np.concatenate(where)[order], np.concatenate(east)[order]


def _day(value: Any, zone: str) -> int:
    """Return a date as days since 1970."""
    one = value
    if isinstance(value, str):
        try:
            one = dt.date.fromisoformat(value.strip())
        except ValueError:
            one = None
    if isinstance(one, np.datetime64) and not np.isnat(one):
        one = one.astype("datetime64[D]").item()
    if not isinstance(one, dt.date) or one != one or (isinstance(one, dt.datetime) and one.time() != dt.time()):
        raise ParameterError(
            f"Holidays: a date of {zone} must be a local date such as '2025-12-25'. Got {shown(value)}."
        )
    return (dt.date(one.year, one.month, one.day) - _EPOCH).days


def _date(day: Any) -> str:
    return (_EPOCH + dt.timedelta(days=int(day))).isoformat()


def _days_of(name: Any, years: list[int]) -> list[dt.date]:
    """Return the public holidays of a country, or of a part of it."""
    try:
        import holidays
    except ImportError as error:
        raise ParameterError(
            "Holidays.of_countries needs the package holidays, which is not installed: pip install "
            "'omnireco[holidays]'. Or give the dates yourself: Holidays.from_dates({'Europe/Berlin': ['2025-12-25']})."
        ) from error
    if not isinstance(name, str):
        raise ParameterError(f"countries must be ISO 3166 codes, such as 'DE' or 'DE-BY'. Got {shown(name)}.")
    country, _, part = name.partition("-")
    try:
        return sorted(holidays.country_holidays(country, subdiv=part or None, years=years))
    except NotImplementedError as error:
        raise ParameterError(
            f"Holidays.of_countries: the package holidays does not know {shown(name)}. Write an ISO 3166 code such as "
            "'DE' or 'DE-BY', or give the dates: Holidays.from_dates({'Europe/Berlin': ['2025-12-25']})."
        ) from error
