"""What a log says of items in situations: learned up to an instant, looked up for later requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from omnireco._core.checks import check_kind, shown
from omnireco._core.parts import Array, Parts, Record, chances, freeze, numbers
from omnireco._core.small import INSTANT, Each, Text
from omnireco._core.units import DAY_US as _DAY
from omnireco.data.asking.requests import Requests
from omnireco.data.audience import Audience
from omnireco.data.catalog import Catalog
from omnireco.data.clock import hour_of_week, is_zone
from omnireco.data.events import EventLog
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import ParameterError, SchemaError
from omnireco.models.matrix.svd import right_singular_vectors

__all__ = [
    "HOUR",
    "Clocks",
    "Field",
    "Population",
    "field_of_log",
    "field_of_requests",
    "repeat_gap",
    "values_of_requests",
]

HOUR = "hour"
_HOURS = Vocabulary(np.arange(168))
_PRIOR = 5.0  # imagined events of an item per value of a field, at the rate of everybody
_VECTOR = 32
_CIRCLE = ((0, 1.0), (1, 0.6), (-1, 0.6), (2, 0.2), (-2, 0.2), (24, 0.3), (-24, 0.3))


@dataclass(frozen=True, slots=True, eq=False)
class Clocks:
    """Whose clock the local hour of a request is read on: each person's own, or one for all."""

    zones: Vocabulary
    people: Vocabulary | None
    zone: np.ndarray | None
    attributes: Mapping[str, tuple[Vocabulary, np.ndarray]]
    same: bool = False

    @classmethod
    def of(cls, audience: Audience | None, timezone: str | None) -> Clocks:
        """Return the clocks of an audience, or one zone for everybody; UTC where there is neither."""
        if timezone is not None and not is_zone(timezone):
            raise ParameterError(
                f"timezone must be an IANA region name, such as 'Europe/Paris'. Got {shown(timezone)}: fixed "
                "offsets know "
                "no daylight-saving days."
            )
        if audience is None:
            return cls(Vocabulary(np.array([timezone or "UTC"], object)), None, None, {})
        check_kind(audience, Audience, "audience", "Audience.from_frame(frame)")
        if timezone is not None:  # one clock for everybody; their attributes are their own
            one = Vocabulary(np.array([timezone], object))
            return cls(one, audience.users, np.zeros(audience.n_users, np.int32), audience.attributes, same=True)
        return cls(audience.zones, audience.users, audience.zone, audience.attributes)

    def hours(self, users: Vocabulary, user: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Return the local hour of the week per row, -1 where the person's zone is unknown."""
        zone = np.zeros(at.size, np.int32)
        if self.people is not None and self.zone is not None and not self.same:
            zone = self.of_people(users, self.zone)[user]
        return hour_of_week(at, zone, self.zones)

    def of_people(self, users: Vocabulary, codes: np.ndarray) -> np.ndarray:
        """Return a person's code for each of ``users``, -1 for people who are not in the audience."""
        assert self.people is not None
        row = match(self.people, users, ("audience", "events"))
        return np.where(row >= 0, np.append(codes, NONE)[row], NONE)


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One thing that is known of a situation: its values, and how often each item was chosen under each.

    Parameters
    ----------
    name : str
    values : Vocabulary
    key : ndarray of shape (n,), int64, sorted
        ``value * n_items + item`` of the cells that occurred.
    count : ndarray of shape (n,), float64
    total : ndarray of shape (n_values,), float64
    """

    name: str
    values: Vocabulary
    key: np.ndarray
    count: np.ndarray
    total: np.ndarray

    parts: ClassVar[Parts] = {
        "name": Text(),
        "values": Ids(),
        "key": Array(np.int64, ("cells",), 0, order="distinct"),
        "count": numbers("cells", low=0.0),
        "total": numbers("values", low=0.0),
    }

    def lift(self, code: np.ndarray, item: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Return log((n + prior) / (expected + prior)): 0 where nothing is known, shrunk to it where little is.

        A Gamma-Poisson shrinkage of observed over expected counts (DuMouchel, The American Statistician 1999), so
        that a rare item seen once in a small shop is no bestseller there.
        """
        known = code >= 0
        key = np.where(known, code.astype(np.int64) * share.size + item, -1)
        place = np.minimum(np.searchsorted(self.key, key), max(0, self.key.size - 1))
        if not self.key.size:
            return np.zeros(code.size)
        found = np.where(self.key[place] == key, self.count[place], 0.0)
        expected = self.total[np.maximum(code, 0)] * share[item]
        return np.where(known, np.log((found + _PRIOR) / (expected + _PRIOR)), 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """All that is learned of items; nothing of it comes from ``end_us`` or later.

    Parameters
    ----------
    items : Vocabulary
    end_us : int
    fields : tuple of Field
    share : ndarray of shape (n_items,), float64
        Part of all choices.
    facts : ndarray of shape (n_items, f), float64
        Columns about items alone: popularity, trend, price, margin, rate of dislikes; ``fact_names`` names them.
    gap : ndarray of shape (n_items,), float64
        Days between two choices of it by one person.
    category : ndarray of shape (n_items,), int32
    vectors : ndarray of shape (n_items, d), float32
        Unit vectors of what is chosen by the same people.
    """

    items: Vocabulary
    end_us: int
    fields: tuple[Field, ...]
    share: np.ndarray
    facts: np.ndarray
    fact_names: tuple[str, ...]
    gap: np.ndarray
    category: np.ndarray
    vectors: np.ndarray

    parts: ClassVar[Parts] = {
        "end_us": INSTANT,
        "fields": Each(Record(Field)),
        "share": chances("items"),
        "fact_names": Each(Text(), "facts"),
        "facts": numbers("items", "facts", missing=True),
        "gap": numbers("items", missing=True, endless=True),
        "category": Array(np.int32, ("items",), -1),
        "vectors": numbers("items", "d", dtype=np.float32),
    }

    def __post_init__(self) -> None:
        freeze(self)

    @classmethod
    def learn(
        cls,
        log: EventLog,
        *,
        context: tuple[str, ...],
        chosen: np.ndarray,
        disliked: np.ndarray,
        catalog: Catalog | None,
        clocks: Clocks,
        x: Any,
    ) -> Population:
        """Count what was chosen, by whom and in which situation.

        Parameters
        ----------
        chosen, disliked : ndarray of shape (n_events,), bool
            Which events of the log are choices, and which say no.
        x : Interactions
            The matrix that the candidate models learn from.
        """
        m = log.n_items
        rows = np.flatnonzero(chosen & (log.item != NONE))
        item = log.item[rows]
        count = np.bincount(item, minlength=m).astype(np.float64)
        share = (count + 0.5) / (count.sum() + 0.5 * m)
        fields = []
        for name in context:
            values, code = field_of_log(log, name, clocks)
            fields.append(_count_field(name, values, code[rows], item, m))
        facts = {"popularity": np.log(share) - np.log(share).mean(), "trend": _trend(log, rows, m)}
        if disliked.any():
            against = np.bincount(log.item[disliked & (log.item != NONE)], minlength=m)
            facts["disliked_rate"] = (against + 0.5) / (count + against + 5.0)
        category = np.full(m, NONE, np.int32)
        check_kind(catalog, Catalog, "catalog", "Catalog.from_frame(frame)", none=True)
        if catalog is not None:
            place = match(catalog.items, log.items, ("catalog", "events"), column="item_id")
            if catalog.category is not None:
                category = np.append(catalog.category[1], NONE)[place].astype(np.int32)
            for name in ("price", "margin"):
                if (given := getattr(catalog, name)) is not None:
                    value = np.append(np.sign(given) * np.log1p(np.abs(given)), np.nan)[place]
                    facts[name] = np.where(np.isnan(value), np.nanmean(value) if (place >= 0).any() else 0.0, value)
        return cls(
            log.items,
            log.end_us,
            tuple(fields),
            share,
            np.stack(list(facts.values()), axis=1),
            tuple(facts),
            repeat_gap(log.user[rows], item, log.at[rows], m),
            category,
            _vectors(x),
        )


def field_of_log(log: EventLog, name: str, clocks: Clocks) -> tuple[Vocabulary, np.ndarray]:
    """Return (values, code per event) of a field of a log."""
    if name == "channel":
        return log.channels, log.channel
    if name in log.labels:
        return log.labels[name]
    if name == HOUR:
        return _HOURS, clocks.hours(log.users, log.user, log.at)
    if name in clocks.attributes:
        values, codes = clocks.attributes[name]
        return values, clocks.of_people(log.users, codes)[log.user]
    known = ["channel", "hour", *log.labels, *clocks.attributes]
    raise ParameterError(
        f"context names {shown(name)}, which is neither a column of the log nor an attribute of the audience: "
        f"{', '.join(map(repr, known))}. Keep it: EventLog.from_frame(frame, context=[{shown(name)}])."
    )


def field_of_requests(requests: Requests, field: Field, clocks: Clocks) -> np.ndarray:
    """Return the code of a field's value per request, -1 where it is unknown or new."""
    values, code = values_of_requests(requests, field, clocks)
    return np.append(field.values.codes(values.ids, missing="none"), NONE)[code]


def values_of_requests(requests: Requests, field: Field, clocks: Clocks) -> tuple[Vocabulary, np.ndarray]:
    """Return (values, code per request) of a field as the requests name it, known to the tables or not."""
    if field.name in requests.labels:
        return requests.labels[field.name]
    if field.name == HOUR:
        return _HOURS, clocks.hours(requests.users, requests.user, requests.at)
    if field.name in clocks.attributes:
        values, codes = clocks.attributes[field.name]
        return values, clocks.of_people(requests.users, codes)[requests.user]
    raise SchemaError(
        f"the requests lack the context column {field.name!r} that the ranker was fitted with. Give it: "
        f"Requests.from_frame(frame, context=[{field.name!r}, ...])."
    )


def repeat_gap(user: np.ndarray, item: np.ndarray, at: np.ndarray, n_items: int) -> np.ndarray:
    """Return, per item, the days between two choices of it by one person: a shrunk geometric mean."""
    order = np.lexsort([at, item, user])
    user, item, at = user[order], item[order], at[order]
    again = (user[1:] == user[:-1]) & (item[1:] == item[:-1]) & (at[1:] > at[:-1])
    log_gap = np.log(np.maximum(np.diff(at)[again] / _DAY, 1 / 1440))
    of = item[1:][again]
    mean = float(log_gap.mean()) if log_gap.size else np.log(30.0)
    total = np.bincount(of, weights=log_gap, minlength=n_items)
    return np.exp((total + 5.0 * mean) / (np.bincount(of, minlength=n_items) + 5.0))


def _count_field(name: str, values: Vocabulary, code: np.ndarray, item: np.ndarray, m: int) -> Field:
    known = code != NONE
    code, item = code[known].astype(np.int64), item[known]
    weight = np.ones(code.size)
    if (
        name == HOUR and values is _HOURS
    ):  # hours lie on a circle: neighbours, and the same hour of other days, speak too
        scale = sum(part for _, part in _CIRCLE)
        weight = np.repeat([part / scale for _, part in _CIRCLE], code.size)
        code = np.concatenate([(code + shift) % 168 for shift, _ in _CIRCLE])
        item = np.tile(item, len(_CIRCLE))
    key, place = np.unique(code * m + item, return_inverse=True)
    count = np.bincount(place, weights=weight, minlength=key.size)
    return Field(name, values, key, count, np.bincount(code, weights=weight, minlength=len(values)))


def _trend(log: EventLog, rows: np.ndarray, m: int) -> np.ndarray:
    """Return the log of how much more often an item is chosen in the last fifth of the log than before, shrunk."""
    late = log.at[rows] >= log.end_us - (log.end_us - log.start_us) // 5
    now = np.bincount(log.item[rows][late], minlength=m).astype(np.float64)
    whole = np.bincount(log.item[rows], minlength=m) * (late.mean() if late.size else 0.0)
    return np.log((now + _PRIOR) / (whole + _PRIOR))


def _vectors(x: Any) -> np.ndarray:
    """Return unit vectors of items: right singular vectors of the matrix of who chose what."""
    binary = x.to_scipy()
    binary.data[:] = 1.0
    factors = min(_VECTOR, min(binary.shape) - 1)
    if factors < 1 or not binary.nnz:
        return np.zeros((x.n_items, 1), np.float32)
    vectors, values = right_singular_vectors(binary, factors)
    scaled = vectors * np.sqrt(np.maximum(values, 0))
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    return (scaled / np.where(length > 1e-9, length, 1.0)).astype(np.float32)
