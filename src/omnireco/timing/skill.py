"""Predictive skill of activity profiles: nats over the population's week, hits, and for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from omnireco._core.checks import check_integer, check_mapping, check_numbers, shown
from omnireco._core.random import stream
from omnireco._core.units import WEEK
from omnireco.errors import EmptyError, ParameterError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HISTORY", "timing_skill"]

HISTORY: tuple[tuple[int, float], ...] = ((1, 5), (6, 20), (21, 100), (101, np.inf))
"""Sessions of history that skill is stratified by."""


def timing_skill(
    profiles: Mapping[str, np.ndarray],
    baseline: np.ndarray,
    held_out: np.ndarray,
    history: np.ndarray,
    *,
    strata: Sequence[tuple[int, float]] = HISTORY,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare profiles on later sessions, apart by how much history people have.

    Anybody can beat the population for people with hundreds of sessions. The question is whether a personal hour
    harms those with three; so the table has a row for each stratum of history, and an interval.

    Parameters
    ----------
    profiles : mapping of str to ndarray of shape (n, 168)
        Profiles per name of a method; rows sum to 1.
    baseline : ndarray of shape (168,) or (n, 168)
        The profile to beat: usually the population's weekday x hour.
    held_out : ndarray of shape (n, 168)
        Later sessions per person and local hour of the week.
    history : ndarray of shape (n,)
        Sessions per person that the profiles could know.
    strata : sequence of (low, high)
        Ranges of history, both ends included. A last row has everybody with any history.
    n_bootstrap, seed : int
        Draws of people for the 95 % intervals.

    Returns
    -------
    pandas.DataFrame
        ``model history people sessions nats low high hit_1 hit_3``: nats is the mean log likelihood per session over
        the baseline's; a hit is a session in one of the profile's 1 or 3 highest hours of its weekday's 24.

    Raises
    ------
    ParameterError
        When shapes disagree, or a profile gives a session no chance at all.
    EmptyError
        When no session was held out of anybody with a history.

    Notes
    -----
    Intervals are of the ratio of sums under resampling of *people*: sessions of one person are not independent.

    Examples
    --------
    >>> even = np.full((2, 168), 1 / 168)
    >>> sharp = even.copy(); sharp[:, 9] += 1.0; sharp /= 2.0
    >>> later = np.zeros((2, 168)); later[:, 9] = 3
    >>> timing_skill({"sharp": sharp}, even[0], later, np.array([4, 30]))[["history", "people", "nats"]].round(2)
      history  people  nats
    0     1-5       1  4.44
    1  21-100       1  4.44
    2     all       2  4.44
    """
    import pandas as pd

    held_out, history = check_numbers(held_out, "held_out"), check_numbers(history, "history")
    n = history.size
    check_integer(n_bootstrap, "n_bootstrap", low=1, high=1_000_000)
    if held_out.shape != (n, WEEK):
        raise ParameterError(f"held_out must have the shape ({n}, 168) of the history. Got {held_out.shape}.")
    sessions = held_out.sum(axis=1)
    rows = []
    if not (sessions * (history >= 1)).any():
        raise EmptyError("timing_skill: nobody with a history has a later session. Move the cut, or hold out more.")
    baseline = check_numbers(baseline, "baseline")
    if baseline.shape not in ((WEEK,), (n, WEEK)):
        raise ParameterError(f"baseline must have the shape (168,) or ({n}, 168). Got {baseline.shape}.")
    reference = _log_likelihood(np.broadcast_to(baseline, (n, WEEK)), held_out, "baseline")
    pairs = check_numbers(strata, "strata")
    if pairs.ndim != 2 or pairs.shape[1:] != (2,) or np.isnan(pairs).any():
        raise ParameterError("strata must be pairs of the fewest and the most events, such as [(0, 4), (5, 20)].")
    groups = [(_name(low, high), (history >= low) & (history <= high)) for low, high in strata]
    groups.append(("all", history >= 1))
    for model, given in check_mapping(profiles, "profiles", "{'mine': model.hour_of_week(ids)}").items():
        profile = check_numbers(given, f"profiles[{shown(model)}]")
        if profile.shape != (n, WEEK):
            raise ParameterError(f"profiles[{shown(model)}] must have the shape ({n}, 168). Got {np.shape(profile)}.")
        gain = _log_likelihood(profile, held_out, f"profiles[{shown(model)}]") - reference
        hits = {k: _hits(profile, held_out, k) for k in (1, 3)}
        for name, inside in groups:
            inside = inside & (sessions > 0)
            if not inside.any():
                continue
            total = sessions[inside].sum()
            low, high = _interval(gain[inside], sessions[inside], n_bootstrap, seed, name)
            rows.append(
                (
                    model,
                    name,
                    int(inside.sum()),
                    round(float(total)),
                    gain[inside].sum() / total,
                    low,
                    high,
                    hits[1][inside].sum() / total,
                    hits[3][inside].sum() / total,
                )
            )
    columns = ["model", "history", "people", "sessions", "nats", "low", "high", "hit_1", "hit_3"]
    return pd.DataFrame(rows, columns=columns)


def _log_likelihood(profile: np.ndarray, held_out: np.ndarray, name: str) -> np.ndarray:
    """Return the log likelihood of each person's held-out sessions."""
    row, hour = np.nonzero(held_out)
    chance = np.asarray(profile, np.float64)[row, hour]
    if not np.all(chance > 0):
        bad = int(np.count_nonzero(~(chance > 0)))
        raise ParameterError(
            f"{name} gives {bad} of the held-out hours no chance at all, so its likelihood is minus infinity. "
            "Add a little of every hour: 0.99 * profile + 0.01 / 168."
        )
    return np.bincount(row, weights=held_out[row, hour] * np.log(chance), minlength=held_out.shape[0])


def _hits(profile: np.ndarray, held_out: np.ndarray, k: int) -> np.ndarray:
    """Return how many held-out sessions fall into the k highest hours of their weekday; of equal hours the earliest."""
    by_day = np.asarray(profile, np.float64).reshape(-1, 7, 24)
    rank = np.argsort(np.argsort(-by_day, axis=2, kind="stable"), axis=2, kind="stable").reshape(-1, WEEK)
    return np.asarray((held_out * (rank < k)).sum(axis=1))


def _interval(gain: np.ndarray, sessions: np.ndarray, draws: int, seed: int, name: str) -> tuple[float, float]:
    """Return the 95 % interval of the ratio of sums under resampling of people."""
    rng = stream(seed, "timing/bootstrap", name)
    found = np.empty(draws)
    for i in range(draws):
        drawn = rng.integers(0, gain.size, gain.size)
        found[i] = gain[drawn].sum() / sessions[drawn].sum()
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _name(low: int, high: float) -> str:
    return f"{low}+" if np.isinf(high) else f"{low}-{int(high)}"
