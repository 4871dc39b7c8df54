"""The hazard of the next visit: piecewise in the time since the last one, with a gamma rate and a chance to leave."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from omnireco._core.compute import row_blocks
from omnireco._core.units import HOUR_US, WEEK

__all__ = ["EDGES", "Hazard", "States", "clock", "fit_hazard", "return_chance", "return_interval", "states_of"]

EDGES = np.array([0.0, 3.0, 6.0, 12.0, 24.0, 48.0, 96.0, 192.0, 384.0, 768.0, 1536.0, np.inf])
"""Hours since the last visit between which the hazard is constant."""
_STRENGTHS = np.geomspace(0.05, 50.0, 28)
_FEW = 50_000  # people on whom the strength is chosen
_ROUNDS = 200
_PSEUDO = 10.0  # visits at the mean rate, in every bin before any data
_QUANTILES = 33


class States(NamedTuple):
    """What is known of each person at an instant: visits by themselves, and hours at risk per bin.

    ``own`` (n,) visits by themselves after the first visit; ``visits`` (n,) all of them; ``closed`` (n, b) hours at
    risk up to the last visit; ``since`` (n,) hours since then, NaN without any visit; ``ended`` (b,) gaps that a visit
    by themselves ended.
    """

    own: np.ndarray
    visits: np.ndarray
    closed: np.ndarray
    since: np.ndarray
    ended: np.ndarray


class Hazard(NamedTuple):
    """What is learned of everybody.

    ``rate`` (b,) visits per hour at risk; ``strength`` of the gamma prior; ``groups`` (g,) rates relative to all;
    ``leaving`` the probability that a visit is the last.
    """

    rate: np.ndarray
    strength: float
    groups: np.ndarray
    leaving: float


def clock(at: np.ndarray, week: np.ndarray) -> np.ndarray:
    """Return instants (UTC microseconds) on a clock that runs as fast as people come at that hour of the week."""
    hours = np.asarray(at, np.int64)
    whole = hours // HOUR_US
    place = whole % WEEK
    upto = np.concatenate([[0.0], np.cumsum(week)])
    return (whole // WEEK) * upto[-1] + upto[place] + (hours - whole * HOUR_US) / HOUR_US * week[place]


def _at_risk(hours: np.ndarray) -> np.ndarray:
    """Return how many of some hours since a visit lie in each bin, (n, b)."""
    return np.clip(np.nan_to_num(hours)[:, None] - EDGES[:-1], 0.0, np.diff(EDGES))


def states_of(owner: np.ndarray, when: np.ndarray, own: np.ndarray, now: np.ndarray, masked: float = 0.0) -> States:
    """Return the states of owners 0 to n - 1 at ``now`` (n,), from visits in order of (owner, when), on one clock.

    For ``masked`` hours before a visit that a message caused, one by themselves would have been taken for it: no hours
    at risk.
    """
    n, bins = now.size, EDGES.size - 1
    again = np.flatnonzero(owner[1:] == owner[:-1]) + 1
    gap = np.maximum(when[again] - when[again - 1], 0.0)
    whose, ends = owner[again], own[again]
    gap = np.where(ends, gap, np.maximum(gap - masked, 0.0))
    closed = np.zeros((n, bins))
    for b in range(bins):
        closed[:, b] = np.bincount(whose, np.clip(gap - EDGES[b], 0.0, EDGES[b + 1] - EDGES[b]), minlength=n)
    place = np.minimum(np.searchsorted(EDGES, gap[ends], side="right") - 1, bins - 1)
    since = np.full(n, np.nan)
    last = np.flatnonzero(np.r_[owner[1:] != owner[:-1], True][: owner.size])
    since[owner[last]] = np.maximum(now[owner[last]] - when[last], 0.0)
    return States(
        np.bincount(whose[ends], minlength=n).astype(np.float64),
        np.bincount(owner, minlength=n),
        closed,
        since,
        np.bincount(place, minlength=bins).astype(np.float64),
    )


def fit_hazard(states: States, group: np.ndarray, n_groups: int, strength: float | None) -> Hazard:
    """Fit the hazard by EM over rates and over whether each person has left.

    With ``theta_i ~ Gamma(a, a / m_g)``, hazard ``theta_i h(r)`` at r hours since the last visit, and a probability p
    that a visit is the last (Fader, Hardie and Lee 2005, with h constant).
    """
    known = np.flatnonzero(np.isfinite(states.since))
    own, closed, group = states.own[known], states.closed[known], group[known]
    waiting = _at_risk(states.since[known])
    gaps = float(states.visits[known].sum())
    total = closed.sum(axis=0) + waiting.sum(axis=0)
    base = max(float(states.ended.sum()), 0.5) / max(float(total.sum()), 1e-9)
    rate = (states.ended + _PSEUDO) / (total + _PSEUDO / base)
    a, relative, leaving = (1.0 if strength is None else strength), np.ones(n_groups), 0.1
    step = max(1, known.size // _FEW)
    size = np.bincount(group, minlength=n_groups)
    for turn in range(_ROUNDS):
        before = rate, leaving, a
        upto, open_ = a / relative[group] + closed @ rate, waiting @ rate
        stays = _staying(a + own, upto, open_, leaving)
        here, gone = (a + own) / (upto + open_), (a + own) / upto
        mean = stays * here + (1.0 - stays) * gone
        exposed = mean @ closed + (stays * here) @ waiting
        relative = (20.0 + np.bincount(group, mean, minlength=n_groups)) / (20.0 + size)
        centre = float(relative @ size) / max(1, known.size)
        relative = relative / centre
        rate = (states.ended + _PSEUDO) / (exposed / centre + _PSEUDO / base)
        leaving = (float((1.0 - stays).sum()) + 1.0) / (gaps + 10.0)
        if strength is None and turn % 4 == 3:
            few = slice(None, None, step)
            a = _best_strength(own[few], closed[few] @ rate, waiting[few] @ rate, relative[group[few]], leaving)
        moved = max(abs(leaving - before[1]), float(np.abs(rate / before[0] - 1.0).max()), abs(a / before[2] - 1.0))
        if moved < 1e-5 and turn > 8:
            break
    return Hazard(rate, float(a), relative, float(leaving))


def _staying(shape: np.ndarray, upto: np.ndarray, waiting: np.ndarray, leaving: float) -> np.ndarray:
    """Return the probability that somebody has not left, given the time that they have been silent."""
    silent = np.exp(shape * np.log(upto / (upto + waiting)))
    return (1.0 - leaving) * silent / ((1.0 - leaving) * silent + leaving)


def _best_strength(
    own: np.ndarray, upto: np.ndarray, waiting: np.ndarray, relative: np.ndarray, leaving: float
) -> float:
    """Return the strength of the prior under which the log is most likely."""
    from scipy.special import gammaln

    found = []
    for a in _STRENGTHS:
        shape, scale = a + own, a / relative
        stays = np.log1p(-leaving) - shape * np.log(scale + upto + waiting)
        goes = np.log(leaving) - shape * np.log(scale + upto)
        found.append(float((gammaln(shape) - gammaln(a) + a * np.log(scale) + np.logaddexp(stays, goes)).sum()))
    return float(_STRENGTHS[int(np.argmax(found))])


def return_chance(hazard: Hazard, states: States, group: np.ndarray, hours: np.ndarray) -> np.ndarray:
    """Return the probability of a visit within the next hours (on the same clock), float64 (n,); NaN if unknown."""
    shape, upto, waiting, ahead = _posterior(hazard, states, group, hours)
    stays = _staying(shape, upto, waiting, hazard.leaving)
    chance = stays * -np.expm1(shape * np.log((upto + waiting) / (upto + waiting + ahead)))
    return np.where(np.isfinite(states.since), np.clip(chance, 0.0, 1.0), np.nan)


def return_interval(
    hazard: Hazard, states: States, group: np.ndarray, hours: np.ndarray, log_sd: float, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return quantiles of the probability over what is not known: the rate, whether they left, and the season.

    The posterior of the rate is a mixture of two gammas (stayed, left); their quantiles by Wilson and Hilferty (1931).
    """
    from scipy.special import ndtri

    low, high = np.full(states.since.size, np.nan), np.full(states.since.size, np.nan)
    at = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    normal = ndtri(at)
    for block in row_blocks(states.since.size, 8 * 12 * _QUANTILES):
        some = States(states.own[block], states.visits[block], states.closed[block], states.since[block], states.ended)
        shape, upto, waiting, ahead = _posterior(hazard, some, group[block], hours[block])
        stays = _staying(shape, upto, waiting, hazard.leaving)[:, None]
        wide = 1.0 / (1.0 / shape + (1.0 + 1.0 / shape) * np.expm1(log_sd**2))  # the season multiplies the rate
        unit = np.maximum(1.0 - 1.0 / (9.0 * wide[:, None]) + normal / (3.0 * np.sqrt(wide[:, None])), 0.0) ** 3
        theta = np.concatenate([unit * (shape / (upto + waiting))[:, None], unit * (shape / upto)[:, None]], axis=1)
        silent = np.exp(-theta * waiting[:, None])
        alive = (1.0 - hazard.leaving) * silent / ((1.0 - hazard.leaving) * silent + hazard.leaving)
        value = alive * -np.expm1(-theta * ahead[:, None])
        weight = np.repeat(np.concatenate([stays, 1.0 - stays], axis=1) / _QUANTILES, _QUANTILES, axis=1)
        order = np.argsort(value, axis=1)
        value, upon = np.take_along_axis(value, order, 1), np.cumsum(np.take_along_axis(weight, order, 1), axis=1)
        ends = [(1.0 - confidence) / 2, (1.0 + confidence) / 2]
        found = [value[np.arange(len(value)), np.minimum((upon < end).sum(axis=1), value.shape[1] - 1)] for end in ends]
        known = np.isfinite(some.since)
        low[block], high[block] = (np.where(known, part, np.nan) for part in found)
    return low, high


def _posterior(
    hazard: Hazard, states: States, group: np.ndarray, hours: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return shape and rate of everybody's gamma up to the last visit, the hazard waited since, and that to come."""
    upto = hazard.strength / hazard.groups[group] + states.closed @ hazard.rate
    waiting = _at_risk(states.since) @ hazard.rate
    ahead = _at_risk(states.since + hours) @ hazard.rate - waiting
    return hazard.strength + states.own, upto, waiting, ahead
