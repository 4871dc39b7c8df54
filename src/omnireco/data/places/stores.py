"""Shops: where they are, on which clock they live, and when they are open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import (
    check_integer,
    check_kind,
    check_mapping,
    check_time_of_day,
    count_of,
    name_rows,
    shown,
)
from omnireco._core.notebook import shown_html, shown_rows
from omnireco._core.parts import Array, Maybe, Parts, coded, declare, numbers
from omnireco._core.small import Value
from omnireco._core.units import DAY_US, EPOCH_DAY
from omnireco.data.clock import is_zone, local_us
from omnireco.data.frames.columns import open_frame
from omnireco.data.frames.zone_names import one_name_each
from omnireco.data.holidays import Holidays, on_holiday
from omnireco.data.parts import Ids
from omnireco.data.places.distances import DistanceDecay, decay_of
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.errors import ParameterError, SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DAYS", "Nearby", "Shops", "day_codes", "day_spans", "open_spans", "week_spans"]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday")
_EARTH_KM = 6371.0088  # mean radius (IUGG)
_BLOCK = 2_000_000


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Shops:
    """Shops with their time zones, opening hours and places.

    Parameters
    ----------
    stores : Vocabulary
        Ids of the shops, in the order of their codes.
    zones : Vocabulary
        IANA names.
    zone : ndarray of shape (n_stores,), int32
        -1 where a shop's zone is not known.
    store, day : ndarray of shape (n,), int32
        Whose hours, and on which day: 0 is Monday, 6 Sunday, 7 a public holiday.
    opens, closes : ndarray of shape (n,), int64
        Microseconds after local midnight; ``closes`` is at most 24:00.
    latitude, longitude : ndarray of shape (n_stores,), float64, or None
        Degrees; NaN where it is not known.
    holidays : Holidays or None
        Days on which the hours of ``holiday`` hold instead of those of the weekday.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"store_id": ["north"], "timezone": ["Europe/Berlin"]})
    >>> Shops.from_frame(frame, hours={"north": {"mon-fri": "09:00-20:00", "sat": "10:00-18:00"}})
    Shops(1 store, 1 with opening hours)
    """

    stores: Vocabulary
    zones: Vocabulary
    zone: np.ndarray
    store: np.ndarray
    day: np.ndarray
    opens: np.ndarray
    closes: np.ndarray
    latitude: np.ndarray | None = None
    longitude: np.ndarray | None = None
    holidays: Holidays | None = None

    parts: ClassVar[Parts] = {
        "stores": Ids(),
        "zones": Ids(text=True),
        "zone": coded("zones", "stores", none=True),
        "store": coded("stores", "n"),
        "day": Array(np.int32, ("n",), 0, 7),
        "opens": Array(np.int64, ("n",), 0, DAY_US),
        "closes": Array(np.int64, ("n",), 0, DAY_US),
        "latitude": Maybe(numbers("stores", missing=True)),
        "longitude": Maybe(numbers("stores", missing=True)),
        "holidays": Maybe(Value((Holidays,))),
    }

    def __post_init__(self) -> None:
        declare(self)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        hours: Mapping[Any, Mapping[str, Any]] | None = None,
        holidays: Holidays | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> Shops:
        """Read a frame of shops.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            ``store_id``, one row each, ``timezone`` (an IANA name) and optionally ``latitude`` and ``longitude``.
        hours : mapping of store to mapping of days to spans, optional
            ``{"north": {"mon-fri": "09:00-20:00", "sat": ["10:00-13:00", "14:00-18:00"]}}``. A day that is not named is
            closed; so is a shop without hours. ``"holiday"`` are public holidays, closed when they are not named. A
            span that ends before it begins runs past midnight. ``24:00`` is the end of a day.
        holidays : Holidays, optional
            Public holidays, for the hours named ``"holiday"``; without them no day is one.
        columns : mapping of str to str, optional
            Our name to yours.

        Raises
        ------
        SchemaError
            When a shop is listed twice, a zone is no IANA region, or a place is not on earth.
        ParameterError
            When hours name a shop that the frame does not have, a day that is none, or no span of time.
        """
        where = "Shops.from_frame"
        check_kind(holidays, Holidays, "holidays", "om.data.Holidays.from_dates({'Europe/Berlin': [...]})", none=True)
        opened = open_frame(
            frame, where, needed=("store_id", "timezone"), optional=("latitude", "longitude"), columns=columns
        )
        stores, store = opened.ids("store_id")
        if len(stores) < store.size:
            repeated = np.ones(store.size, np.bool_)
            repeated[np.unique(store, return_index=True)[1]] = False
            raise SchemaError(
                f"{where}: store_id is listed again in {name_rows(repeated)}. Keep one row per shop: "
                "frame.drop_duplicates('store_id')."
            )
        row = np.argsort(store)
        zones, zone = opened.names("timezone", allow_missing=True)
        if wrong := [name for name in zones.ids if not is_zone(name)]:
            raise SchemaError(
                f"{where}: timezone holds {shown(wrong[0])}, which is no IANA region. Write 'Europe/Berlin'; leave it "
                "missing where it is not known: such a shop counts as closed."
            )
        zones, zone, _ = one_name_each(zones, zone)  # as those of people and holidays
        place = [None if name not in opened else opened.numbers_or_nan(name)[row] for name in ("latitude", "longitude")]
        for name, known, most in zip(("latitude", "longitude"), place, (90, 180), strict=True):
            if known is not None and (bad := np.abs(known) > most).any():
                raise SchemaError(
                    f"{where}: {name} must lie within -{most} and {most} degrees; it does not in {name_rows(bad)}. "
                    "Leave it missing where it is not known."
                )
        if (place[0] is None) != (place[1] is None):
            raise SchemaError(f"{where}: a place needs both latitude and longitude. Give both, or neither.")
        whose, day, opens, closes = _hours({} if hours is None else hours, stores)
        zone = zone[row].astype(np.int32)
        return cls(stores, zones, zone, whose, day, opens, closes, place[0], place[1], holidays)

    def minutes_open(self, store: np.ndarray, at_us: np.ndarray) -> np.ndarray:
        """Return for how many minutes each shop stays open after an instant, float64 of shape (n,); 0 where closed.

        Parameters
        ----------
        store : int array, shape (n,)
            Codes of shops; -1 is closed.
        at_us : int64 array, shape (n,)
            UTC microseconds.

        Notes
        -----
        Read on the shop's own clock. A shop whose zone or hours are not known is closed. Past midnight it stays open
        where the next day opens at 00:00.
        """
        store, at = np.broadcast_arrays(np.asarray(store), np.asarray(at_us, np.int64))
        zone = np.append(self.zone, np.int32(NONE))[store]
        found = np.zeros(store.shape)
        rows = np.flatnonzero(zone >= 0)
        if not rows.size or not self.store.size:
            return found
        local = local_us(at[rows], zone[rows], self.zones)
        left = open_spans(self._table(), store[rows], local, self._days(local, zone[rows]))
        found[rows] = left / 60e6
        return found

    def _table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.store.astype(np.int64) * len(DAYS) + self.day, self.opens, self.closes

    def _days(self, local: np.ndarray, zone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the day of each local time, and the next one: 0 Monday to 6 Sunday, 7 a public holiday."""
        found = []
        for later in (0, 1):
            moved = local + later * DAY_US
            day = (moved // DAY_US + EPOCH_DAY) % 7
            if self.holidays is not None:
                day = np.where(on_holiday(moved, zone, self.zones, self.holidays), 7, day)
            found.append(day)
        return found[0], found[1]

    def near(self, homes: Any, *, k: int = 3, columns: Mapping[str, str] | None = None) -> Nearby:
        """Return the shops nearest to each person's home, over the surface of the earth.

        Parameters
        ----------
        homes : frame
            ``user_id``, one row each, ``latitude`` and ``longitude`` in degrees; they may be missing, and such a person
            has no shop.
        k : int
            How many shops for each person.
        columns : mapping of str to str, optional
            Our name to yours.

        Raises
        ------
        SchemaError
            When these shops have no places, or a person is listed twice.

        Notes
        -----
        Great-circle distances (haversine), in blocks; O(people x shops).
        """
        where = "Shops.near"
        check_integer(k, "k", low=1)
        if self.latitude is None or self.longitude is None:
            raise SchemaError(f"{where}: these shops have no places. Give latitude and longitude to Shops.from_frame.")
        opened = open_frame(homes, where, needed=("user_id", "latitude", "longitude"), columns=columns)
        users, user = opened.ids("user_id")
        if len(users) < user.size:
            raise SchemaError(f"{where}: a person is listed twice. Keep one home: frame.drop_duplicates('user_id').")
        row = np.argsort(user)
        here = np.radians([opened.numbers_or_nan(name)[row] for name in ("latitude", "longitude")])
        there = np.radians(np.array([self.latitude, self.longitude]))
        k = min(k, max(1, len(self.stores)))
        store = np.full((len(users), k), NONE, np.int32)
        distance = np.full((len(users), k), np.inf)
        step = max(1, _BLOCK // max(1, len(self.stores)))
        for begin in range(0, len(users) if len(self.stores) else 0, step):
            block = slice(begin, begin + step)
            km = _haversine(here[:, block, None], there[:, None, :])
            order = np.argsort(np.where(np.isnan(km), np.inf, km), axis=1, kind="stable")[:, :k]
            best = np.take_along_axis(km, order, axis=1)
            store[block] = np.where(np.isnan(best), NONE, order)
            distance[block] = np.where(np.isnan(best), np.inf, best)
        return Nearby(users, self.stores, store, distance)

    def __len__(self) -> int:
        return len(self.stores)

    def __repr__(self) -> str:
        return f"Shops({count_of(len(self), 'store')}, {np.unique(self.store).size:,} with opening hours)"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return one row per shop: ``store_id timezone``, and ``latitude longitude`` where known."""
        import pandas as pd

        zones = np.append(self.zones.ids, np.array([None], object))[self.zone]
        columns = {"store_id": self.stores.ids, "timezone": zones}
        columns |= {} if self.latitude is None else {"latitude": self.latitude, "longitude": self.longitude}
        return pd.DataFrame(columns)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Nearby:
    """The shops nearest to each person, nearest first.

    Parameters
    ----------
    users, stores : Vocabulary
        Ids of the people and of the shops, in the order of their codes.
    store : ndarray of shape (n_users, k), int32
        -1 where there is none.
    distance : ndarray of shape (n_users, k), float64
        Kilometres; infinite where there is no shop.

    Examples
    --------
    >>> import pandas as pd
    >>> shops = Shops.from_frame(pd.DataFrame({"store_id": ["a", "b"], "timezone": "UTC", "latitude": [52.5, 48.1],
    ...                                        "longitude": [13.4, 11.6]}))
    >>> shops.near(pd.DataFrame({"user_id": [1], "latitude": [48.0], "longitude": [11.0]}), k=1).to_frame().round(0)
       user_id store_id  distance_km
    0        1        b         46.0
    """

    users: Vocabulary
    stores: Vocabulary
    store: np.ndarray
    distance: np.ndarray

    parts: ClassVar[Parts] = {
        "users": Ids(people=True),
        "stores": Ids(),
        "store": Array(np.int32, ("users", "k"), -1, "stores"),
        "distance": Array(np.float64, ("users", "k"), 0.0, endless=True),
    }

    def __post_init__(self) -> None:
        declare(self)

    def __repr__(self) -> str:
        people, shops = count_of(len(self.users), "user"), count_of(len(self.stores), "store")
        return f"Nearby({people}, {self.store.shape[1]} of {shops} each)"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_rows("users")

    def to_frame(self) -> pd.DataFrame:
        """Return ``user_id store_id distance_km``, the nearest first."""
        import pandas as pd

        user, rank = np.nonzero(self.store >= 0)
        return pd.DataFrame(
            {
                "user_id": self.users.decode(user),
                "store_id": self.stores.decode(self.store[user, rank]),
                "distance_km": self.distance[user, rank],
            }
        )

    def decay(self, visits: Any, *, confidence: float = 0.95, least_people: int = 30) -> DistanceDecay:
        """Estimate from past visits over how many kilometres a visit becomes e times less likely.

        Parameters
        ----------
        visits : frame
            ``user_id`` and ``store_id``, one row per visit or purchase. People without a home here are left out.
        confidence : float
            Coverage of the interval.
        least_people : int
            Refuse with fewer people who chose among two shops or more; 5 at least.

        Returns
        -------
        DistanceDecay
            For :meth:`omnireco.planning.Candidates.with_shops`, ``decay_km=found.decay_km``.

        Raises
        ------
        SchemaError
            When a column is missing.
        EmptyError
            When fewer than ``least_people`` people visited one of two or more shops near.
        ParameterError
            When no effect of distance is shown: the interval of the log-odds per km includes 0.

        Warns
        -----
        DataWarning
            When most visits are to none of the nearest shops: then ``k`` of :meth:`Shops.near` is too small.

        Notes
        -----
        Which of their nearest shops people go to, given that they go to one: a conditional logit (McFadden 1974; Huff
        1964 for shops) with a level for each shop, lightly held to 0. Visits of one person hang together, so the error
        is clustered by person. Where people have favourites of their own, the slope over all of them is a little
        flatter than each one's. That they go at all may depend on distance otherwise; an earlier wave of messages to
        named shops says that better. Deterministic. Cost: a few passes of O(people k^2) and a solve of the shops cubed.

        Examples
        --------
        >>> import numpy as np, pandas as pd
        >>> rng = np.random.default_rng(0)
        >>> shops = Shops.from_frame(pd.DataFrame({"store_id": ["a", "b"], "timezone": "UTC", "latitude": [52.5, 52.6],
        ...                                        "longitude": [13.4, 13.4]}))
        >>> homes = pd.DataFrame({"user_id": range(800), "latitude": rng.uniform(52.5, 52.6, 800), "longitude": 13.4})
        >>> near = shops.near(homes, k=2)
        >>> first = rng.random(800) < 1 / (1 + np.exp(-(near.distance[:, 1] - near.distance[:, 0]) / 5.0))
        >>> went = near.stores.ids[np.where(first, near.store[:, 0], near.store[:, 1])]
        >>> found = near.decay(pd.DataFrame({"user_id": near.users.ids, "store_id": went}))
        >>> found.low < 5.0 < found.high
        True
        """
        return decay_of(
            self.users, self.stores, self.store, self.distance, visits, confidence=confidence, least_people=least_people
        )


def open_spans(
    table: tuple[np.ndarray, np.ndarray, np.ndarray],
    place: np.ndarray,
    local: np.ndarray,
    days: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Return how many microseconds each place stays open after a local time; 0 where it is closed.

    ``table`` has one row per span: place times 8 days, opens, closes. Spans of a place and day do not overlap.
    """
    key, opens, closes = table
    order = np.lexsort((opens, key))
    key, opens, closes = key[order], opens[order], closes[order]
    beyond = DAY_US + 1
    starts = key * beyond + opens
    today, tomorrow = days
    clock = local % DAY_US
    spot = np.searchsorted(starts, (place.astype(np.int64) * len(DAYS) + today) * beyond + clock, side="right") - 1
    at = np.maximum(spot, 0)
    inside = (spot >= 0) & (key[at] == place.astype(np.int64) * len(DAYS) + today) & (clock < closes[at])
    left = np.where(inside, closes[at] - clock, 0)
    next_key = place.astype(np.int64) * len(DAYS) + tomorrow
    first = np.minimum(np.searchsorted(starts, next_key * beyond), key.size - 1)
    runs_on = inside & (closes[at] == DAY_US) & (key[first] == next_key) & (opens[first] == 0)
    return np.where(runs_on, left + closes[first], left)


def day_codes(words: Any, where: str) -> list[int]:
    """Return days from their names: ``"mon"``, ``"mon-fri"``, ``"sat,sun"``, ``"holiday"``, ``"daily"``."""
    if not isinstance(words, str):
        raise ParameterError(f"{where}: days must be a text such as 'mon-fri'. Got {type(words).__name__}.")
    found: list[int] = []
    for word in words.lower().replace(" ", "").split(","):
        first, dash, last = word.partition("-")
        if word == "daily":
            found += range(7)
        elif first in DAYS and not dash:
            found.append(DAYS.index(first))
        elif first in DAYS[:7] and last in DAYS[:7]:
            begin, end = DAYS.index(first), DAYS.index(last)
            found += [(begin + step) % 7 for step in range((end - begin) % 7 + 1)]
        else:
            raise ParameterError(
                f"{where}: {shown(words)} names no days. Write 'mon', 'mon-fri', 'sat,sun', 'daily' or 'holiday'."
            )
    return list(dict.fromkeys(found))


def day_spans(spans: Any, where: str) -> list[tuple[int, int]]:
    """Return spans of a day in microseconds from texts such as ``"09:00-20:00"``; one past midnight ends above 24 h."""
    several = (spans,) if isinstance(spans, str) else tuple(spans) if isinstance(spans, Iterable) else (None,)
    found = []
    for span in several:
        first, dash, last = span.partition("-") if isinstance(span, str) else ("", "", "")
        if not dash:
            raise ParameterError(f"{where}: {shown(span)} is no span of time. Write '09:00-20:00'.")
        opens = check_time_of_day(first.strip(), where)
        closes = DAY_US if last.strip() in ("24:00", "00:00") else check_time_of_day(last.strip(), where)
        if opens == closes:
            raise ParameterError(f"{where}: {shown(span)} begins where it ends. For the whole day write '00:00-24:00'.")
        found.append((opens, closes if closes > opens else closes + DAY_US))
    return found


def week_spans(hours: Any, where: str) -> list[tuple[int, int, int]]:
    """Return (day, opens, closes) of a mapping of days to spans; what runs past midnight is cut there, and joined."""
    rows: list[tuple[int, int, int]] = []
    for words, spans in check_mapping(hours, where, "{'mon-fri': '09:00-20:00'}").items():
        for day in day_codes(words, where):
            for opens, closes in day_spans(spans, where):
                rows.append((day, opens, min(closes, DAY_US)))
                if closes > DAY_US:
                    rows.append(((day + 1) % 7 if day < 7 else 7, 0, closes - DAY_US))
    joined: list[tuple[int, int, int]] = []
    for day, opens, closes in sorted(rows):
        if joined and joined[-1][0] == day and opens <= joined[-1][2]:
            joined[-1] = (day, joined[-1][1], max(closes, joined[-1][2]))
        else:
            joined.append((day, opens, closes))
    return joined


def _hours(hours: Any, stores: Vocabulary) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the hours of all shops as (store, day, opens, closes)."""
    where = "Shops.from_frame: hours"
    rows: list[tuple[int, int, int, int]] = []
    known = {store: code for code, store in enumerate(stores.ids.tolist())}
    for store, spans in check_mapping(hours, where, "{'north': {'mon-fri': '09:00-20:00'}}").items():
        if store not in known:
            raise ParameterError(f"{where}: the frame has no shop {shown(store)}. Its ids must be those of store_id.")
        rows += [(known[store], *span) for span in week_spans(spans, where)]
    table = np.array(sorted(rows), np.int64).reshape(-1, 4)
    return table[:, 0].astype(np.int32), table[:, 1].astype(np.int32), table[:, 2].copy(), table[:, 3].copy()


def _haversine(here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Return great-circle distances in km, of places in radians, stacked (latitude, longitude)."""
    half = np.sin((there - here) / 2.0) ** 2
    a = half[0] + np.cos(here[0]) * np.cos(there[0]) * half[1]
    return 2.0 * _EARTH_KM * np.arcsin(np.sqrt(np.clip(a, 0.0, 1.0)))
