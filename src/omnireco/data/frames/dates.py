"""Dates among times: rows with a day and no hour.

A table of orders by day becomes midnight of some zone in every row. Read as times, everybody would be active
at 20:00 in New York. So rows of one kind that all lie at midnight, of UTC or of any one zone, are marked as dates.
"""

from __future__ import annotations

import numpy as np

from omnireco._core.units import DAY_US, HOUR_US, QUARTER_US

__all__ = ["FEWEST_MIXED", "FEWEST_OF_UTC", "are_midnights", "dates_among"]

_SHIFTS = (HOUR_US // 2, HOUR_US, 2 * HOUR_US)  # by which clocks are put forward
FEWEST_OF_UTC, FEWEST_MIXED = 3, 20
_FEWEST_DAYS = 5
_MOST_OF_UTC, _MOST_OF_OTHERS = 0.5, 0.95


def dates_among(at: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return which rows are dates.

    Parameters
    ----------
    at : ndarray of int64, shape (n,)
        Instants, UTC microseconds since 1970.
    group : ndarray of int64, shape (n,)
        The kind of each row, such as its channel and event type, by small numbers of 0 or more.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for every row where all rows are midnights of UTC, on at least 3 days, or of one zone, on at least 5; else
        for the groups of rows that are. One zone is one time of day, a whole quarter of an hour, or two of them that
        alternate with the seasons. In a group of 20 rows or more the midnights are dates too where they are more than
        half of it, of UTC, or more than 95 %, of one zone: two sources were merged, or one row is a test.

    >>> days = 1_746_057_600_000_000 + np.arange(10) * 86_400_000_000  # from 2025-05-01 00:00 UTC on
    >>> int(dates_among(np.r_[days, days + 34_000_000], np.repeat([0, 1], 10)).sum())
    10
    """
    found = np.zeros(at.size, np.bool_)
    whole = _quarters(at)  # few where these are times, and all that is looked at from here on
    if whole.size < FEWEST_OF_UTC:
        return found
    if whole.size == at.size and are_midnights(at):
        return np.ones(at.size, np.bool_)
    rows, own = np.bincount(group), group[whole]
    n_whole = np.bincount(own, minlength=rows.size)
    for kind in np.flatnonzero((rows >= FEWEST_OF_UTC) & (n_whole == rows)).tolist():
        inside = whole[own == kind]
        found[inside] = are_midnights(at[inside])
    for kind in np.flatnonzero((rows >= FEWEST_MIXED) & (2 * n_whole > rows)).tolist():
        inside = whole[own == kind]
        found[_mostly_midnights(at, inside, int(rows[kind]))] = True
    return found


def _quarters(at: np.ndarray) -> np.ndarray:
    """Return the positions of instants at a whole quarter of an hour: a multiple of 256 microseconds, to begin with."""
    some = np.flatnonzero((at & 255) == 0)
    return some[at[some] % QUARTER_US == 0]


def _mostly_midnights(at: np.ndarray, inside: np.ndarray, n_rows: int) -> np.ndarray:
    """Return the midnights of a group that holds little else: one other time does not turn dates into times.

    `inside` are the positions of its whole quarters of an hour.
    """
    clock = at[inside] % DAY_US
    hours, often = np.unique(clock, return_counts=True)
    for some in (hours[hours == 0], hours[np.argsort(-often, kind="stable")[:2]], hours[[often.argmax()]]):
        chosen = inside[np.isin(clock, some)]
        share = _MOST_OF_UTC if not some.any() else _MOST_OF_OTHERS
        if chosen.size > share * n_rows and are_midnights(at[chosen]):
            return chosen
    return inside[:0]


def are_midnights(at: np.ndarray) -> bool:
    """Return whether instants on some days (3 of UTC, 5 of others) are all midnight in one zone, whichever it is."""
    if (at % QUARTER_US).any():
        return False
    days = np.unique(at)
    clock = days % DAY_US
    hours = np.unique(clock)
    if days.size < (FEWEST_OF_UTC if not clock.any() else _FEWEST_DAYS) or hours.size > 2:
        return False
    if hours.size == 1:
        return True
    if min(hours[1] - hours[0], DAY_US - hours[1] + hours[0]) not in _SHIFTS:
        return False
    turns = int((clock[1:] != clock[:-1]).sum())
    years = (days[-1] - days[0]) / (365 * DAY_US)
    return turns <= 2 * years + 2
