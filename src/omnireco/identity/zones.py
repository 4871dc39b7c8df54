"""Unknown time zones: a posterior over IANA zones per person, and its credible sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import (
    check_instant,
    check_instants,
    check_integer,
    check_kind,
    check_number,
    count_of,
    name_rows,
    shown,
)
from omnireco._core.compute import row_blocks
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import shown_rows
from omnireco._core.parts import Offsets, Parts, coded, declare, probabilities
from omnireco._core.units import DAY_US
from omnireco.data.audience import Audience
from omnireco.data.clock import in_quiet_hours, is_zone, utc_offset
from omnireco.data.frames.columns import open_frame
from omnireco.data.frames.zone_names import one_name_each
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import ParameterError, SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WORLD", "ZonePosterior"]

# fmt: off
WORLD = (
    "Africa/Abidjan", "Africa/Cairo", "Africa/Casablanca", "Africa/Johannesburg", "Africa/Lagos", "America/Adak",
    "America/Anchorage", "America/Bogota", "America/Chicago", "America/Denver", "America/Halifax",
    "America/Los_Angeles", "America/Mexico_City", "America/New_York", "America/Noronha", "America/Nuuk",
    "America/Phoenix", "America/Puerto_Rico", "America/Santiago", "America/Sao_Paulo", "America/St_Johns",
    "Asia/Almaty", "Asia/Bangkok", "Asia/Beirut", "Asia/Dhaka", "Asia/Dubai", "Asia/Jerusalem", "Asia/Kabul",
    "Asia/Kamchatka", "Asia/Karachi", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Magadan", "Asia/Shanghai",
    "Asia/Tehran", "Asia/Tokyo", "Asia/Yangon", "Atlantic/Azores", "Atlantic/Cape_Verde", "Australia/Adelaide",
    "Australia/Brisbane", "Australia/Darwin", "Australia/Eucla", "Australia/Lord_Howe", "Australia/Sydney",
    "Europe/Athens", "Europe/Berlin", "Europe/Istanbul", "Europe/London", "Pacific/Apia", "Pacific/Auckland",
    "Pacific/Chatham", "Pacific/Easter", "Pacific/Gambier", "Pacific/Honolulu", "Pacific/Kiritimati",
    "Pacific/Marquesas", "Pacific/Norfolk", "Pacific/Pago_Pago", "Pacific/Pitcairn",
)
# fmt: on
"""One zone for nearly every distinct clock in use."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ZonePosterior:
    """Posterior probability of each time zone, per person.

    With `QuietHours(zones=...)` a message is sent only when it is allowed in *all* zones of the person's 99 % credible
    set. Made by `omnireco.timing.infer_zones`, or from your own probabilities.

    Parameters
    ----------
    users, zones : Vocabulary
        People, and IANA names.
    row : ndarray of shape (n_users,), int64
        Each person's distribution; people with the same data share one.
    indptr : ndarray of shape (n_rows + 1,), int64
        Start of each distribution in ``zone``.
    zone : ndarray of int32
        Codes into ``zones``, the most probable first.
    probability : ndarray of float64
        Those of a distribution sum to 1.
    """

    users: Vocabulary
    zones: Vocabulary
    row: np.ndarray
    indptr: np.ndarray
    zone: np.ndarray
    probability: np.ndarray

    parts: ClassVar[Parts] = {
        "users": Ids(people=True),
        "zones": Ids(text=True),
        "indptr": Offsets("distributions", "cells"),
        "row": coded("distributions", "users", dtype=np.int64),
        "zone": coded("zones", "cells"),
        "probability": probabilities("cells"),
    }

    def __post_init__(self) -> None:
        declare(self)
        sums = (
            np.add.reduceat(np.append(self.probability, 0.0), self.indptr[:-1]) if self.indptr.size > 1 else np.ones(0)
        )
        if not ((np.diff(self.indptr) > 0).all() and np.allclose(sums, 1.0, atol=2e-3)):
            raise SchemaError("ZonePosterior: the probabilities of each row must sum to 1. Divide by their sum.")

    @classmethod
    def from_frame(cls, frame: Any, *, columns: Mapping[str, str] | None = None) -> ZonePosterior:
        """Read a frame of ``user_id``, ``timezone`` and ``probability``, several rows per person.

        Raises
        ------
        SchemaError
            When a zone is no IANA region, a probability is negative, or a person's do not sum to 1.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"user_id": [1, 1], "timezone": ["Europe/Berlin", "Europe/London"],
        ...                       "probability": [0.7, 0.3]})
        >>> ZonePosterior.from_frame(frame)
        ZonePosterior(1 user, 2 zones, 0 users in one zone at 99 %)
        """
        opened = open_frame(
            frame, "ZonePosterior.from_frame", needed=("user_id", "timezone", "probability"), columns=columns
        )
        users, user = opened.ids("user_id")
        zones, zone = opened.names("timezone")
        zones, zone, wrong = one_name_each(zones, zone)
        if wrong.any():
            raise SchemaError(
                f"ZonePosterior.from_frame: timezone is not an IANA region in {name_rows(wrong)}. "
                "Write 'Europe/Berlin'; a fixed offset is wrong after the next clock change."
            )
        probability = opened.numbers("probability")
        total = np.bincount(user, weights=probability, minlength=len(users))
        if (probability < 0).any() or not np.allclose(total, 1.0, atol=1e-3):
            bad = (probability < 0) | (np.abs(total - 1.0) > 1e-3)[user]
            raise SchemaError(
                "ZonePosterior.from_frame: the probabilities of a person must be 0 or more and sum to 1; "
                f"they do not in {name_rows(bad)}. Divide by their sum."
            )
        cell, where = np.unique(user.astype(np.int64) * max(1, len(zones)) + zone, return_inverse=True)
        user, zone = cell // max(1, len(zones)), cell % max(1, len(zones))
        probability = np.bincount(where, weights=probability, minlength=cell.size) / total[user]
        order = np.lexsort([-probability, user])
        user, zone, probability = user[order], zone[order], probability[order]
        keep = probability >= 1e-6  # a person's largest is at least 1 of the number of zones
        kept = np.bincount(user[keep], weights=probability[keep], minlength=len(users))
        indptr = np.concatenate([[0], np.cumsum(np.bincount(user[keep], minlength=len(users)))]).astype(np.int64)
        alone = np.arange(len(users))
        return cls(users, zones, alone, indptr, zone[keep].astype(np.int32), (probability / kept[user])[keep])

    @classmethod
    def from_table(cls, users: Vocabulary, zones: Vocabulary, table: np.ndarray) -> ZonePosterior:
        """Return the posterior of a dense table (n_users, n_zones), rows summing to 1; below 1e-6 is dropped."""
        return cls.from_tables(users, zones, np.arange(len(users)), [table])

    @classmethod
    def from_tables(
        cls, users: Vocabulary, zones: Vocabulary, row: np.ndarray, tables: Iterable[np.ndarray]
    ) -> ZonePosterior:
        """Return the posterior of dense tables (any rows, n_zones) one below the other, rows summing to 1.

        ``row`` is the row of each person. Probabilities below 1e-6 are dropped.
        """
        sizes, codes, probabilities = [np.zeros(1, np.int64)], [np.empty(0, np.int32)], [np.empty(0)]
        for table in tables:
            for block in row_blocks(len(table), 8 * 5 * max(1, len(zones)), memory=64 << 20):
                order = np.argsort(-table[block], axis=1, kind="stable")
                ranked = np.take_along_axis(table[block], order, axis=1)
                keep = ranked >= np.minimum(1e-6, ranked[:, :1])
                ranked *= keep
                ranked /= ranked.sum(axis=1, keepdims=True)
                sizes.append(keep.sum(axis=1))
                codes.append(order[keep].astype(np.int32))
                probabilities.append(ranked[keep])
        indptr = np.cumsum(np.concatenate(sizes), dtype=np.int64)
        return cls(users, zones, row.astype(np.int64), indptr, np.concatenate(codes), np.concatenate(probabilities))

    def __len__(self) -> int:
        return len(self.users)

    def __repr__(self) -> str:
        n, z, sure = len(self), len(self.zones), int((np.diff(self._row_sets(0.99)[0]) == 1)[self.row].sum())
        return (
            f"ZonePosterior({count_of(n, 'user')}, {count_of(z, 'zone')}, {count_of(sure, 'user')} in one zone at 99 %)"
        )

    @says_the_line("zones.sets(zone_probability=0.99)")
    def sets(self, zone_probability: float = 0.99) -> tuple[np.ndarray, np.ndarray]:
        """Return each person's credible set: the smallest set of zones with probability ``zone_probability``.

        Returns
        -------
        (indptr, zone)
            int64 (n_users + 1,) and int32 codes into ``zones``.
        """
        indptr, zone = self._row_sets(zone_probability)
        size = np.diff(indptr)[self.row]
        ends = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
        place = np.arange(ends[-1])
        place += np.repeat(indptr[self.row] - ends[:-1], size)
        return ends, zone[place]

    def _row_sets(self, zone_probability: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the same per distribution: ``indptr`` (n_rows + 1,) and codes."""
        check_number(zone_probability, "zone_probability", above=0.0, high=1.0)
        n_rows = self.indptr.size - 1
        row = np.repeat(np.arange(n_rows), np.diff(self.indptr))
        total = np.cumsum(self.probability)
        before = total - self.probability
        before -= np.append(before, 0.0)[self.indptr[:-1]][row] if row.size else 0.0
        keep = before < max(zone_probability - 1e-9, 1e-12)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(row[keep], minlength=n_rows))])
        return indptr.astype(np.int64), self.zone[keep]

    def best(self, user_ids: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return each person's most probable zone (None for unknown people), object (n,), and its probability, (n,)."""
        codes = self.users.codes(user_ids, missing="none")
        known = codes >= 0
        first = np.zeros(codes.size, np.int64)
        first[known] = self.indptr[self.row[codes[known]]]
        names = np.full(codes.size, None, object)
        names[known] = self.zones.ids[self.zone[first[known]]]
        return names, np.where(known, np.append(self.probability, 0.0)[first], 0.0)

    @says_the_line("zones.allowed(user_ids, at_us, (21 * 60, 8 * 60), zone_probability=0.99)")
    def allowed(
        self, user_ids: Any, at_us: Any, quiet: tuple[int, int], *, zone_probability: float = 0.99
    ) -> np.ndarray:
        """Return which instants lie outside the quiet hours in all zones of the credible set, bool (n,).

        Parameters
        ----------
        user_ids : array-like of shape (n,)
            Unknown people are not allowed.
        at_us : array-like of int64, shape (n,)
            Instants, UTC microseconds.
        quiet : (int, int)
            Start and end of the quiet hours, microseconds after local midnight; half-open, may wrap midnight.
        zone_probability : float
            Probability of the credible set of zones, in (0, 1]; 0.99 by default.
        """
        code = self.users.codes(user_ids, missing="none")
        at_us = np.broadcast_to(check_instants(at_us, "at_us", n=code.size), code.shape)
        if not isinstance(quiet, tuple) or len(quiet) != 2:
            raise ParameterError(f"quiet must be (start, end), microseconds after midnight. Got {shown(quiet)}.")
        start, end = (check_integer(one, "quiet", low=0, high=DAY_US) for one in quiet)
        return self.allowed_codes(
            code, at_us, (start, end), check_number(zone_probability, "zone_probability", above=0, high=1)
        )

    def allowed_codes(
        self, code: np.ndarray, at_us: np.ndarray, quiet: tuple[int, int], zone_probability: float
    ) -> np.ndarray:
        """Return the same for people given by code, -1 for unknown ones."""
        indptr, zone = self._row_sets(zone_probability)
        row = np.append(self.row, 0)[code]
        instants, slot = np.unique(at_us, return_inverse=True)
        names = np.arange(len(self.zones), dtype=np.int32)[:, None]
        local = instants[None, :] + utc_offset(instants[None, :], names, self.zones)
        silent = in_quiet_hours(local, *quiet)
        size = np.where(code >= 0, np.append(np.diff(indptr), 0)[row], 0)
        found, rows, rank = size > 0, np.flatnonzero(size), 0
        while rows.size:  # one pass per rank of zone: few people have more than two
            found[rows] &= ~silent[zone[indptr[row[rows]] + rank], slot[rows]]
            rank += 1
            rows = rows[(size[rows] > rank) & found[rows]]
        return found

    @says_the_line("zones.fill(audience, zone_probability=0.99)")
    def fill(self, audience: Audience, *, zone_probability: float = 0.99, at: Any = "2025-01-01") -> Audience:
        """Return the audience with zones filled in where one has ``zone_probability``; known zones stay.

        Parameters
        ----------
        audience : Audience
            Its missing zones are filled in.
        zone_probability : float
            Smallest probability with which a zone is filled in, in (0, 1]; 0.99 by default.
        at : date, aware datetime or str
            Zones whose clocks agree for the three years from this instant count as one clock.

        Returns
        -------
        Audience
            Zones that stay unknown fail closed in quiet hours.
        """
        check_kind(audience, Audience, "audience", "Audience.from_frame(frame)")
        start = check_instant(at, "at")
        days = start + np.arange(0, 3 * 366, 2, dtype=np.int64)[None, :] * DAY_US
        clocks = utc_offset(days, np.arange(len(self.zones), dtype=np.int32)[:, None], self.zones)
        clock = np.unique(clocks, axis=0, return_inverse=True)[1].ravel() if len(self.zones) else np.empty(0, int)
        indptr, zone = self._row_sets(zone_probability)
        first = clock[zone[indptr[:-1]]] if zone.size else np.empty(0, int)
        row = np.repeat(np.arange(first.size), np.diff(indptr))
        same = np.bincount(row, weights=clock[zone] != first[row], minlength=first.size) == 0
        names = Vocabulary.from_ids([*self.zones.ids, *audience.zones.ids])
        code = match(self.users, audience.users, ("zones", "audience"))
        sure = np.flatnonzero((audience.zone == NONE) & (code >= 0))
        sure = sure[same[self.row[code[sure]]]]
        given = np.append(names.codes(audience.zones.ids), np.int32(NONE)) if len(audience.zones) else np.array([NONE])
        filled = given[audience.zone].astype(np.int32)
        filled[sure] = names.codes(self.zones.ids)[self.zone[self.indptr[self.row[code[sure]]]]]
        return replace(audience, zones=names, zone=filled)

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_rows("users")

    def to_frame(self) -> pd.DataFrame:
        """Return ``user_id timezone probability`` as a pandas frame, the most probable zone first."""
        import pandas as pd

        size = np.diff(self.indptr)[self.row]
        user = np.repeat(np.arange(len(self)), size)
        place = np.arange(user.size) + np.repeat(self.indptr[self.row] - (np.cumsum(size) - size), size)
        return pd.DataFrame(
            {
                "user_id": self.users.decode(user),
                "timezone": self.zones.decode(self.zone[place]),
                "probability": self.probability[place],
            }
        )


def check_zone_names(names: Any, where: str) -> tuple[str, ...]:
    """Return IANA zones as a tuple, or raise for those that are not."""
    found = (names,) if isinstance(names, str) or not isinstance(names, Iterable) else tuple(names)
    wrong = [name for name in found if not is_zone(name)]
    if wrong or not found:
        raise ParameterError(
            f"{where} must hold IANA zones such as 'Europe/Berlin'. Got {', '.join(map(shown, wrong[:3])) or 'none'}."
        )
    return found
