"""At which hours of a person's own clock nothing is sent: their quiet hours, and those of the law."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from omnireco._core.checks import (
    check_choice,
    check_kind,
    check_mapping,
    check_number,
    check_time_of_day,
    count_of,
    shown,
)
from omnireco._core.frozen import ReadOnly
from omnireco._core.units import DAY_US, EPOCH_DAY
from omnireco.data.asking.touches import Touches
from omnireco.data.clock import country_zones, in_quiet_hours, is_zone
from omnireco.data.frames.zone_names import one_name
from omnireco.data.holidays import Holidays, on_holiday
from omnireco.data.places.stores import DAYS, open_spans, week_spans
from omnireco.data.vocabulary import NONE
from omnireco.data.vocabulary import match as match_ids
from omnireco.errors import ParameterError
from omnireco.identity.zones import ZonePosterior
from omnireco.planning.rules.base import Eligibility
from omnireco.planning.rules.naming import MISSING, names_of

__all__ = ["LegalHours", "QuietHours"]


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
        check_choice(self.missing, "QuietHours: missing", MISSING)
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
        object.__setattr__(self, "channels", names_of(self.channels, "QuietHours"))

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


@dataclass(frozen=True, slots=True, repr=False)
class LegalHours(Eligibility):
    """At which hours the law of a person's place lets a business write or call, as data.

    Parameters
    ----------
    hours : mapping of place to mapping of days to spans
        A place is a country by its ISO 3166 code (``"GB"`` is all of it), or an IANA zone, which goes before its
        country:
        ``{"FR": {"mon-fri": ["10:00-13:00", "14:00-20:00"]}}``. A day that is not named is closed, and so are public
        holidays unless ``"holiday"`` is named. ``"daily"`` is every weekday.
    channels : str or iterable of str, optional
        Channels that the law is about; all by default.
    holidays : Holidays, optional
        Public holidays by zone; by default those of the audience.
    elsewhere : {"deny", "allow"}
        What holds for people in a place without an entry. Whose zone is not known gets nothing on these channels.

    Raises
    ------
    ParameterError
        When a place is no country and no zone, or days and spans cannot be read; from :meth:`mask`, when a law names
        of holidays and neither the rule nor the audience knows any.

    Notes
    -----
    The library knows no law: give the hours that your lawyers say, per channel. France, for calls to sell something:
    Monday to Friday 10-13 and 14-20 h, never on holidays (decree 2022-1313). United States, calls and texts: 8-21 h on
    the person's clock (47 CFR 64.1200). The wall clock is read at the instant of sending.

    Examples
    --------
    >>> LegalHours({"FR": {"mon-fri": ["10:00-13:00", "14:00-20:00"]}, "US": {"daily": "08:00-21:00",
    ...             "holiday": "08:00-21:00"}}, channels="call")
    LegalHours(2 places, channels=('call',), elsewhere='deny')
    """

    needs_audience: ClassVar[bool] = True
    hours: Mapping[str, Mapping[str, Any]] = field(repr=False)
    channels: str | Iterable[str] | None = field(default=None, kw_only=True)
    holidays: Holidays | None = field(default=None, kw_only=True, repr=False)
    elsewhere: str = field(default="deny", kw_only=True)

    def __post_init__(self) -> None:
        check_choice(self.elsewhere, "LegalHours: elsewhere", ("deny", "allow"))
        check_kind(
            self.holidays,
            Holidays,
            "LegalHours: holidays",
            "om.data.Holidays.of_countries(['FR'], years=[2025])",
            none=True,
        )
        object.__setattr__(self, "channels", names_of(self.channels, "LegalHours"))
        table = check_mapping(self.hours, "LegalHours: hours", "{'FR': {'mon-fri': '10:00-20:00'}}")
        for place, days in table.items():
            if not (_is_country(place) or is_zone(place)):
                raise ParameterError(
                    f"LegalHours: {shown(place)} is no country by its two letters (ISO 3166) and no IANA zone. Write "
                    "'FR', or 'Europe/Paris'."
                )
            week_spans(days, f"LegalHours: hours[{place!r}]")
        names = [place.upper() if _is_country(place) else str(one_name(place)) for place in table]
        if again := [place for place, name in zip(table, names, strict=True) if names.count(name) > 1]:
            raise ParameterError(
                f"LegalHours: {' and '.join(map(shown, again))} are one place, with a law each. Keep one of them."
            )
        plain = {
            place: ReadOnly({d: s if isinstance(s, str) else tuple(s) for d, s in days.items()})
            for place, days in table.items()
        }
        object.__setattr__(self, "hours", ReadOnly(plain))

    def __repr__(self) -> str:
        places = count_of(len(self.hours), "place")
        return f"LegalHours({places}, channels={self.channels!r}, elsewhere={self.elsewhere!r})"

    def mask(self, touches: Touches) -> np.ndarray:
        """Return which touches leave at hours that the law of their person's place allows."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        covered = touches.on(self.channels, "LegalHours: channels")  # type: ignore[arg-type]
        zones, zone = touches.trait("timezone")
        rows = np.flatnonzero(covered & touches.zone_known & (zone >= 0))
        fine = ~covered
        if not rows.size:
            return fine
        place = np.append(self._places(zones.ids.tolist()), NONE)[zone[rows]]
        local = touches.local_at[rows]
        day = (local // DAY_US + EPOCH_DAY) % 7
        day = np.where(self._free(touches, rows, zones, zone), 7, day)
        table = self._table()
        fine[rows] = (open_spans(table, place, local, (day, day)) > 0) if table[0].size else False
        fine[rows] = np.where(place == NONE, self.elsewhere == "allow", fine[rows])
        return fine

    def _places(self, zones: Sequence[str]) -> np.ndarray:
        """Return the number of the law of each zone, -1 for none; a zone goes before its country."""
        law = {}
        for number, place in enumerate(self.hours):
            for zone in country_zones(place) if _is_country(place) else ():
                law[zone] = number
        law |= {str(one_name(place)): number for number, place in enumerate(self.hours) if not _is_country(place)}
        return np.array([law.get(zone, NONE) for zone in zones], np.int64)

    def _table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = [
            (number * len(DAYS) + day, opens, closes)
            for number, (place, days) in enumerate(self.hours.items())
            for day, opens, closes in week_spans(days, f"LegalHours: hours[{place!r}]")
        ]
        key, opens, closes = np.array(rows, np.int64).reshape(-1, 3).T
        return key, opens, closes

    def _free(self, touches: Touches, rows: np.ndarray, zones: Any, zone: np.ndarray) -> np.ndarray:
        """Return which touches leave on a public holiday."""
        if self.holidays is not None:
            return on_holiday(touches.local_at[rows], zone[rows], zones, self.holidays)
        if touches.holiday is not None:
            return np.asarray(touches.holiday[rows], np.bool_)
        if any("holiday" in words for days in self.hours.values() for words in days):
            raise ParameterError(
                "LegalHours: this law names holidays, and nobody says which days they are. Give holidays=om.data."
                "Holidays.of_countries(['FR'], years=[2025]), or to the audience."
            )
        return np.zeros(rows.size, np.bool_)


def _is_country(place: object) -> bool:
    """Return whether a place is a country: ``"GB"`` and ``"NZ"`` are names of zones too, which nobody means."""
    return isinstance(place, str) and len(place) == 2 and bool(country_zones(place))
