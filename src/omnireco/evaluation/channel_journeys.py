"""Journeys of a log over channels: where they start, where they are completed, and how long that takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from omnireco._core.units import HOUR_US
from omnireco._kernels.disclosure import hidden_cells
from omnireco._kernels.log.order import distinct
from omnireco.data.events import EventLog
from omnireco.data.vocabulary import NONE

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["crossings", "few_hidden", "hidden", "journeys", "journeys_of", "times_between", "walk"]

_Z = 1.959963984540054  # 97.5 % of the normal distribution


def hidden(table: pd.DataFrame, hide: np.ndarray, keep: tuple[str, ...]) -> pd.DataFrame:
    """Return a table without the numbers of some rows; columns stay as they are where nothing is hidden."""
    if not hide.any():
        return table
    table = table.copy()
    for column in table.columns:
        if column not in keep:
            table[column] = table[column].astype(np.float64).mask(hide)
    return table


def few_hidden(table: pd.DataFrame, k: int, keep: tuple[str, ...]) -> pd.DataFrame:
    """Return a table without the numbers of rows about too few people, where no total tells them."""
    return hidden(table, hidden_cells(table["people"].to_numpy(), k), keep)


@dataclass(frozen=True, slots=True)
class _Walked:
    """One entry per decided journey: who, where it started and was completed (-1: nowhere), and how long it took."""

    user: np.ndarray
    start: np.ndarray
    end: np.ndarray
    hours: np.ndarray
    undecided: int
    unprompted: int


def walk(log: EventLog, touch: np.ndarray, done: np.ndarray, window: int, same_item: bool) -> _Walked:
    """Return the journeys of a log: touches not further apart than the window, and what completed them."""
    rows = np.flatnonzero((touch | done) & ((log.item != NONE) if same_item else True))
    key = log.user[rows].astype(np.int64)
    if same_item:
        key = key * max(1, log.n_items) + log.item[rows]
    order = np.lexsort([done[rows], log.at.take(rows), key])  # at one instant, the touch comes before what it completes
    rows, key = rows[order], key[order]
    when = log.at
    at, ends = when.take(rows), done[rows]
    joined = np.zeros(rows.size, np.bool_)  # does a row belong to the journey of the row before?
    joined[1:] = (key[1:] == key[:-1]) & (at[1:] - at[:-1] <= window) & ~ends[:-1]
    first = np.flatnonzero(~joined)
    last = np.r_[first[1:], rows.size][: first.size] - 1
    begun = ~ends[first]  # a completion that nothing led to is no journey
    completed = ends[last] & begun
    touched = at[np.where(completed, last - 1, last)]  # the last touch: a journey of one row ends with it
    decided = begun & (touched <= log.end_us - window)
    a, z = rows[first[decided]], rows[last[decided]]
    end = np.where(completed[decided], log.channel[z], NONE)
    hours = np.where(completed[decided], (when[z] - when[a]) / HOUR_US, np.nan)
    return _Walked(log.user[a], log.channel[a], end, hours, int((begun & ~decided).sum()), int((~begun).sum()))


def journeys_of(log: EventLog, begins: np.ndarray, ends: np.ndarray, window: int, *, same_item: bool) -> _Walked:
    """Return the decided journeys of a log, from which event types begin and complete them, bool (n_event_types,)."""
    return walk(log, begins[log.event], ends[log.event], window, same_item)


def journeys(log: EventLog, walked: _Walked, k: int) -> pd.DataFrame:
    """Return where journeys start, and how many are completed, without what few people stand behind."""
    import pandas as pd

    c = len(log.channels)
    completed = walked.end != NONE
    begun = np.bincount(walked.start, minlength=c)
    done = np.bincount(walked.start, weights=completed, minlength=c)
    away = np.bincount(walked.start, weights=completed & (walked.end != walked.start), minlength=c)
    rate = np.divide(done, begun, out=np.full(c, np.nan), where=begun > 0)
    cells, cell = np.unique(walked.start.astype(np.int64) * log.n_users + walked.user, return_inverse=True)
    of_channel = cells // log.n_users
    residual = np.bincount(cell, weights=completed - rate[walked.start], minlength=cells.size)
    people = np.bincount(of_channel, minlength=c)
    spread = np.bincount(of_channel, weights=residual**2, minlength=c) * people / np.maximum(1, people - 1)
    error = np.where(people > 1, np.sqrt(spread) / np.maximum(1, begun), np.nan)
    quartiles = _quartiles(walked.start[completed], walked.hours[completed], c)
    table = pd.DataFrame(
        {
            "started_on": log.channels.ids,
            "people": people,
            "journeys": begun,
            "completed": done.astype(np.int64),
            "rate": rate,
            "low": np.clip(rate - _Z * error, 0, 1),
            "high": np.clip(rate + _Z * error, 0, 1),
            "elsewhere": away.astype(np.int64),
            "median_hours": quartiles[:, 1],
        }
    )
    # Who completed, and who did so elsewhere, are groups of their own.
    pair = walked.start.astype(np.int64) * log.n_users + walked.user
    by, moved = completed, completed & (walked.end != walked.start)
    finishers, leavers = (np.bincount(distinct(pair[one]) // log.n_users, minlength=c) for one in (by, moved))
    stayers = np.bincount(distinct(pair[by & ~moved]) // log.n_users, minlength=c)
    few = hidden_cells(finishers, k)
    table = hidden(table, few, ("started_on", "people", "journeys"))
    apart = hidden_cells(leavers, k) | hidden_cells(stayers, k)
    table = hidden(table, apart, tuple(name for name in table.columns if name != "elsewhere"))
    return few_hidden(table, k, ("started_on",))


def crossings(log: EventLog, walked: _Walked, k: int) -> pd.DataFrame:
    """Return where journeys of each start are completed, without what few people stand behind."""
    import pandas as pd

    c = len(log.channels)
    done = walked.end != NONE
    pair = walked.start[done].astype(np.int64) * c + walked.end[done]
    begun = np.bincount(walked.start, minlength=c)
    count = np.bincount(pair, minlength=c * c)
    start, end = np.divmod(np.arange(c * c), c)
    table = pd.DataFrame(
        {
            "started_on": log.channels.ids[start],
            "completed_on": log.channels.ids[end],
            "journeys": count,
            "share": np.divide(count, begun[start], out=np.zeros(c * c), where=begun[start] > 0),
            "median_hours": _quartiles(pair, walked.hours[done], c * c)[:, 1],
        }
    )
    # Crossings of a channel add up to its completed journeys, which the other table shows.
    whose = distinct(pair * log.n_users + walked.user[done]) // log.n_users
    hide = hidden_cells(np.bincount(whose, minlength=c * c).reshape(c, c), k, (1,)).ravel()
    table = hidden(table, hide, ("started_on", "completed_on"))
    return table[begun[start] > 0].reset_index(drop=True)


def times_between(log: EventLog) -> pd.DataFrame:
    """Return how often, and how soon, the next thing that people did was on another channel."""
    import pandas as pd

    c = len(log.channels)
    order = np.lexsort([log.channel, log.at, log.user])
    user, at, channel = log.user[order], log.at.take(order), log.channel[order].astype(np.int64)
    move = np.flatnonzero((user[1:] == user[:-1]) & (channel[1:] != channel[:-1]))
    pair = channel[move] * c + channel[move + 1]
    hours = (at[move + 1] - at[move]) / HOUR_US
    people = np.bincount(distinct(pair * log.n_users + user[move]) // log.n_users, minlength=c * c)
    quartiles = _quartiles(pair, hours, c * c)
    start, end = np.divmod(np.arange(c * c), c)
    table = pd.DataFrame(
        {
            "from": log.channels.ids[start],
            "to": log.channels.ids[end],
            "moves": np.bincount(pair, minlength=c * c),
            "people": people,
            "hours_25": quartiles[:, 0],
            "hours_50": quartiles[:, 1],
            "hours_75": quartiles[:, 2],
        }
    )
    return table[table["moves"] > 0].reset_index(drop=True)


def _quartiles(group: np.ndarray, values: np.ndarray, n_groups: int) -> np.ndarray:
    """Return the quartiles of each group's values, float64 of shape (n_groups, 3); NaN where a group is empty."""
    values = values[np.lexsort([values, group])]
    size = np.bincount(group, minlength=n_groups)
    start = np.cumsum(size) - size
    out = np.full((n_groups, 3), np.nan)
    some = size > 0
    for column, share in enumerate((0.25, 0.5, 0.75)):
        place = share * (size[some] - 1)
        low = np.floor(place).astype(np.int64)
        high = np.minimum(low + 1, size[some] - 1)
        part = place - low
        out[some, column] = values[start[some] + low] * (1 - part) + values[start[some] + high] * part
    return out
