"""Numbers that describe a candidate for a request: gathers from tables, block by block, never a loop over rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnireco._core.checks import name_rows
from omnireco._core.units import DAY_US as _DAY
from omnireco._core.units import MINUTE_US
from omnireco.data.asking.asof import AsOf
from omnireco.data.asking.requests import Requests
from omnireco.data.events import EventLog
from omnireco.data.frames.columns import open_frame
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.errors import ParameterError, SchemaError
from omnireco.models.together.population import (
    HOUR,
    Clocks,
    Population,
    field_of_log,
    field_of_requests,
    values_of_requests,
)

__all__ = ["Facts", "Pasts", "describe"]

_SESSION = 20 * MINUTE_US * np.log(2)  # exp(-age / 20 min), as a half-life
_LAST = 10  # events of the session that count
_DAYPARTS = 8  # six hours of a working day or of the weekend
_NEVER = 400.0  # days


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """Numbers known from elsewhere, per item, person or situation: what is on display in a shop in a week.

    Parameters
    ----------
    keys : tuple of str
        ``item_id``, ``user_id`` or context fields.
    names : tuple of str
    key : ndarray of shape (n,), int64, sorted
    values : ndarray of shape (n, f), float64
    vocabularies : tuple of Vocabulary
        Those of the keys: a week or a shop that the log has not seen yet may be named.
    """

    keys: tuple[str, ...]
    names: tuple[str, ...]
    key: np.ndarray
    values: np.ndarray
    vocabularies: tuple[Vocabulary, ...]

    @classmethod
    def read(cls, frame: Any, population: Population) -> Facts:
        """Read a frame whose key columns are item_id, user_id or fields of the context; the others are numbers."""
        known = ["item_id", "user_id", *(field.name for field in population.fields)]
        columns = open_frame(frame, "facts", needed=()).others
        keys, names = [name for name in columns if name in known], [name for name in columns if name not in known]
        if not keys or not names:
            raise SchemaError(
                f"facts: a frame needs a key column ({', '.join(map(repr, known))}) and a column of numbers. It has "
                f"{', '.join(map(repr, columns)) or 'no columns'}."
            )
        opened = open_frame(frame, "facts", needed=(*keys, *names))
        values = np.stack([opened.numbers(name) for name in names], axis=1)
        radix, key, own = 1, np.zeros(len(values), np.int64), []
        for name in keys:
            vocabulary, code = opened.ids(name)
            own.append(vocabulary)
            key, radix = key * max(1, len(vocabulary)) + code, radix * max(1, len(vocabulary))
        if radix >= 2**62:
            raise ParameterError(f"facts: {' x '.join(keys)} has too many possible cells. Join fewer keys per frame.")
        order = np.argsort(key, kind="stable")
        if (twice := key[order][1:] == key[order][:-1]).any():
            raise SchemaError(
                f"facts: {int(twice.sum()):,} of {len(values):,} rows repeat a key ({', '.join(keys)}), the first at "
                f"{name_rows(np.sort(order[1:][twice]))}. Keep one row each: frame.drop_duplicates({keys})."
            )
        return cls(tuple(keys), tuple(names), key[order], values[order], tuple(own))

    def look_up(self, codes: Mapping[str, tuple[Vocabulary, np.ndarray]], n: int) -> np.ndarray:
        """Return the numbers of each of n rows, 0 where nothing is known; shape (n, f)."""
        key, inside = np.zeros(n, np.int64), np.ones(n, np.bool_)
        for name, own in zip(self.keys, self.vocabularies, strict=True):
            given, code = codes[name]
            moved = np.append(own.codes(given.ids, missing="none"), NONE)[code]
            inside &= moved != NONE
            key = key * max(1, len(own)) + moved
        if not self.key.size:
            return np.zeros((n, len(self.names)))
        place = np.minimum(np.searchsorted(self.key, key), self.key.size - 1)
        return np.where((inside & (self.key[place] == key))[:, None], self.values[place], 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Pasts:
    """A log of people's pasts, indexed by the instant of any request."""

    log: EventLog
    population: Population
    item: np.ndarray
    pair: AsOf
    gaps: AsOf
    person: AsOf
    category: AsOf
    events: tuple[AsOf, ...]
    fields: tuple[AsOf, ...]
    disliked: AsOf
    order: np.ndarray
    place: np.ndarray

    @classmethod
    def of(
        cls,
        log: EventLog,
        population: Population,
        *,
        events: tuple[str, ...],
        dislikes: tuple[str, ...],
        clocks: Clocks,
        half_lives: tuple[float, float],
    ) -> Pasts:
        """Index a log.

        Parameters
        ----------
        events : tuple of str
            Types that are counted one by one.
        half_lives : (float, float)
            Microseconds, the shorter first.
        """
        m = max(1, len(population.items))
        item = np.append(population.items.codes(log.items.ids, missing="none"), NONE)[log.item].astype(np.int64)
        lives = (_SESSION, *half_lives)
        user = log.user.astype(np.int64)
        rows = np.flatnonzero(item != NONE)
        key = user[rows] * m + item[rows]
        moments = rows[_first_of_moment(key, log.at[rows])]  # three jars in one basket are one choice
        key = user[moments] * m + item[moments]
        n_categories = int(population.category.max(initial=-1)) + 1
        kind = population.category[item]
        in_category = rows[kind[rows] != NONE]
        within = user[in_category] * n_categories + kind[in_category]
        codes = log.events.codes(list(events), missing="none") if events else np.empty(0, np.int32)
        against = np.isin(log.event, log.events.codes(list(dislikes), missing="none")) if dislikes else None
        no = in_category if against is None else in_category[against[in_category]]
        no = no[:0] if against is None else no
        fields = []
        for field in population.fields:
            situation, n = _situation(log, field, clocks)
            some = moments[situation[moments] != NONE]
            fields.append(AsOf.of(log.at, some, (user[some] * n + situation[some]) * m + item[some], (half_lives[1],)))
        order = rows[np.lexsort([rows, user[rows]])]
        return cls(
            log,
            population,
            item,
            AsOf.of(log.at, moments, key, lives),
            AsOf.of(log.at, moments, key, (np.inf,), _since_last(key, log.at[moments]) / _DAY),
            AsOf.of(log.at, np.arange(len(log)), user, lives),
            AsOf.of(log.at, in_category, within, lives),
            tuple(
                AsOf.of(log.at, some, user[some] * m + item[some], (half_lives[1],))
                for code in codes
                for some in [rows[log.event[rows] == code]]
            ),
            tuple(fields),
            AsOf.of(log.at, no, user[no] * max(1, n_categories) + kind[no], (half_lives[1],)),
            order,
            user[order] * (len(log) + 1) + order,
        )


def describe(
    pasts: Pasts,
    requests: Requests,
    row: np.ndarray,
    item: np.ndarray,
    *,
    events: tuple[str, ...],
    unfinished: tuple[str, str] | None,
    facts: Iterable[Facts],
    clocks: Clocks,
) -> dict[str, np.ndarray]:
    """Return the features of candidates by name.

    Parameters
    ----------
    requests : Requests
        A block of them.
    row, item : ndarray of shape (n,), int64
        A request of the block, and an item of the population.

    Returns
    -------
    dict of str to ndarray of shape (n,), float64
    """
    population, log = pasts.population, pasts.log
    m = max(1, len(population.items))
    person = np.append(log.users.codes(requests.users.ids, missing="none"), NONE)[requests.user].astype(np.int64)
    user, at = person[row], requests.at[row]
    pair_key = _key(user, m, item)
    visits, away, pace = pasts.person.ask(person, requests.at)
    count, age, (seen, recent, lately) = _split(pasts.pair.ask(pair_key, at))
    gaps = pasts.gaps.ask(pair_key, at)[2][:, 0]
    days = np.minimum(age / _DAY, _NEVER)
    typical = population.gap[item]
    gap = np.exp(
        (np.log(typical) * 2.0 + np.log(np.maximum(gaps / np.maximum(count - 1, 1), 1 / 24)) * (count - 1))
        / (count + 1.0)
    )
    own_gap = np.where(count >= 2, gap, typical)
    mine = count > 0
    columns = {
        "pair/count": np.log1p(count),
        "pair/short": np.log1p(recent),
        "pair/long": np.log1p(lately),
        "pair/share": lately / (pace[row, 2] + 1.0),
        "pair/days": np.where(mine, np.log1p(days), np.log1p(_NEVER)),
        "pair/due": np.where(mine, np.clip(np.log(np.maximum(days, 1e-3) / own_gap), -4.0, 4.0), 0.0),
        "pair/ripe": np.where(mine, np.exp(-np.abs(np.log(np.maximum(days, 1e-3) / own_gap))), 0.0),
        "session/seen": np.log1p(seen),
    }
    if len(events) > 1:
        for name, table in zip(events, pasts.events, strict=True):
            columns[f"pair/{name}"] = np.log1p(table.ask(pair_key, at)[2][:, 0])
    if unfinished is not None:
        began, done = (pasts.events[events.index(name)].ask(pair_key, at)[1] for name in unfinished)
        columns["pair/unfinished"] = np.where(began < done, np.exp(-np.minimum(began, 400 * _DAY) / (7 * _DAY)), 0.0)
    kind, n_kinds = population.category[item].astype(np.int64), int(population.category.max(initial=-1)) + 1
    if n_kinds:
        key = np.where(kind >= 0, _key(user, n_kinds, kind), -1)
        _, kind_age, (kind_seen, _, kind_long) = _split(pasts.category.ask(key, at))
        columns["category/interest"] = kind_long / (pace[row, 2] + 1.0)
        columns["category/session"] = np.log1p(kind_seen)
        columns["category/days"] = np.log1p(np.minimum(kind_age / _DAY, _NEVER))
        if pasts.disliked.keys.size or "disliked_rate" in population.fact_names:
            columns["category/disliked"] = pasts.disliked.ask(key, at)[2][:, 0] / (kind_long + 1.0)
    columns |= {f"item/{name}": population.facts[item, n] for n, name in enumerate(population.fact_names)}
    columns |= _interest(pasts, person, requests.at, row, item)
    for field, table in zip(population.fields, pasts.fields, strict=True):
        value = field_of_requests(requests, field, clocks)
        columns[f"context/{field.name}/lift"] = field.lift(value[row], item, population.share)
        situation, n = _situation_of(value, field)
        held = table.ask(np.where(situation[row] >= 0, (_key(user, n, situation[row])) * m + item, -1), at)[2][:, 0]
        columns[f"context/{field.name}/pair"] = np.log1p(held)
        columns[f"context/{field.name}/share"] = held / (lately + 1.0)
        if field.name == HOUR:
            angle = 2 * np.pi * value / 24
            for name, wave in (("sin", np.sin(angle)), ("cos", np.cos(angle))):
                columns[f"context/hour/{name}"] = np.where(value >= 0, wave, 0.0)[row]
            columns["context/hour/weekend"] = (value >= 120).astype(np.float64)[row]
    columns["person/away"] = np.log1p(np.minimum(away / _DAY, _NEVER))[row]
    columns["person/history"] = np.log1p(visits)[row]
    columns["person/session"] = np.log1p(pace[:, 0])[row]
    wanted = {name for table_of in facts for name in table_of.keys}
    codes = {"item_id": (population.items, item), "user_id": (requests.users, requests.user[row])}
    for field in population.fields:
        if field.name in wanted:
            given, code = values_of_requests(requests, field, clocks)
            codes[field.name] = given, code[row]
    for table_of in facts:
        found = table_of.look_up(codes, row.size)
        columns |= {f"fact/{name}": found[:, n] for n, name in enumerate(table_of.names)}
    return columns


def _interest(
    pasts: Pasts, person: np.ndarray, at: np.ndarray, row: np.ndarray, item: np.ndarray
) -> dict[str, np.ndarray]:
    """Return how close each candidate is to the last events, to those of the session and to the last of all."""
    vectors = pasts.population.vectors
    n = len(pasts.log) + 1
    first = np.searchsorted(pasts.place, np.maximum(person, 0) * n)
    stop = np.searchsorted(pasts.place, np.maximum(person, 0) * n + np.searchsorted(pasts.log.at, at))
    sums = np.zeros((2, person.size, vectors.shape[1]))
    last = np.zeros((person.size, vectors.shape[1]))
    for back in range(1, _LAST + 1):
        have = (person >= 0) & (stop - back >= first)
        event = pasts.order[np.where(have, stop - back, 0)] if pasts.order.size else np.zeros(person.size, np.int64)
        if not pasts.order.size:
            break
        vector = vectors[np.maximum(pasts.item[event], 0)] * have[:, None]
        age = np.maximum(at - pasts.log.at[event], 0)
        sums[0] += vector
        sums[1] += vector * np.exp2(-age / _SESSION)[:, None]
        if back == 1:
            last = vector
    aim = vectors[item]
    named = {"interest/last_events": sums[0], "interest/session": sums[1], "interest/last_item": last}
    return {name: np.einsum("nd,nd->n", held[row], aim, dtype=np.float64) for name, held in named.items()}


def _split(answer: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count, age, sums = answer
    return count, age, sums.T


def _key(user: np.ndarray, width: int, code: np.ndarray) -> np.ndarray:
    return np.where(user >= 0, user * width + code, -1)


def _situation(log: EventLog, field: Any, clocks: Clocks) -> tuple[np.ndarray, int]:
    values, code = field_of_log(log, field.name, clocks)
    moved = np.append(field.values.codes(values.ids, missing="none"), NONE)[code]
    return _situation_of(moved, field)


def _situation_of(code: np.ndarray, field: Any) -> tuple[np.ndarray, int]:
    """Return (what a person's habits are counted by, how many there are): hours of the week in eight parts."""
    if field.name != HOUR:
        return code.astype(np.int64), max(1, len(field.values))
    return np.where(code >= 0, (code % 24) // 6 + 4 * (code >= 120), NONE).astype(np.int64), _DAYPARTS


def _first_of_moment(key: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the positions of the first of equal (key, time), ascending."""
    order = np.lexsort([np.arange(key.size), at, key])
    fresh = np.r_[True, (np.diff(key[order]) != 0) | (np.diff(at[order]) != 0)][: order.size]
    return np.sort(order[fresh])


def _since_last(key: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the time since the event before under the same key; 0 for the first."""
    order = np.lexsort([at, key])
    gap = np.zeros(key.size)
    same = np.diff(key[order]) == 0
    gap[order[1:][same]] = np.diff(at[order])[same]
    return gap
