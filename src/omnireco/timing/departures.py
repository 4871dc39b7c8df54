"""Individual deviations from the population: relative value of each hour, through the compiled curves of `_curves`.

``profile`` holds weeks of activity, ``rate`` (n_users,) sessions a week; a ``channel`` is `_curves.Channel`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.compute import in_threads, row_blocks
from omnireco._core.units import WEEK
from omnireco._kernels.week.kinds import Follows
from omnireco._kernels.week.pooling import EVEN, circular_kernel
from omnireco.data.vocabulary import NONE
from omnireco.timing.activity import ActivityModel

__all__ = [
    "HIGHEST",
    "LEAST",
    "Sent",
    "blocks",
    "departure_sd",
    "log_activity",
    "mean_rate",
    "per_message",
    "reading_weeks",
    "settings",
    "shares",
    "supported",
    "values",
    "weeks",
    "worth",
]

HIGHEST = 0.99
LEAST = 1024  # people to a thread
_LEAST_BELIEVED = 0.1  # of what exceeds the best hour tried
_NEAR_HOURS, _FEW_SESSIONS = 2.0, 4.0  # hours whose sessions speak for an hour, and what they are worth before any
_MOST_SD = 1.5
_OWN_HOUR = 2.0  # hours around that of people who answer at one hour of the day
_ANY_HOUR = 0.2  # share of their reading that is like everybody's
_DOUBT = 0.35  # standard deviation of a log rate at which half of its excess over the usual is believed


class Sent(NamedTuple):
    """Messages of one channel, (m,) each.

    ``person`` and ``profile`` are codes of the message log and of the activity model; ``hour`` local, -1 unknown;
    ``delay`` whole hours until the response, ``watched`` until nobody looks any longer; ``weight`` of the message, of
    which ``recent`` is what its age leaves.
    """

    person: np.ndarray
    profile: np.ndarray
    hour: np.ndarray
    answered: np.ndarray
    delay: np.ndarray
    watched: np.ndarray
    weight: np.ndarray
    recent: np.ndarray

    def of(self, rows: np.ndarray) -> Sent:
        """Return some of the messages."""
        return Sent(*(part[rows] for part in self))


def supported(
    channel: Any,
    everybody: np.ndarray,
    log_rate: np.ndarray,
    sd: np.ndarray,
    tried: np.ndarray,
    slope: float,
    slope_sd: float,
) -> Any:
    """Return the settings of a channel with probabilities that its log supports; arrays as in `SendTimeModel`."""
    beyond = _proven(slope, slope_sd)
    offset = _believed(log_rate, sd, tried, beyond) - slope * np.append(everybody, 0.0)
    return channel._replace(offset=offset, slope=slope, tried=tried.copy(), beyond=beyond)


def _proven(slope: float, slope_sd: float) -> float:
    """Return the weight of the excess over the best tried hour: 0.1, or 1 where activity predicts responses.

    That responses follow activity is established by the log when the slope is many standard deviations above 0;
    it then carries to hours that were not tried.
    """
    return float(np.clip(1.0 - (2.0 * slope_sd / max(slope, 1e-9)) ** 2, _LEAST_BELIEVED, 1.0))


def _believed(log_rate: np.ndarray, sd: np.ndarray, tried: np.ndarray, beyond: float) -> np.ndarray:
    """Return everybody's log rate per hour, (169,), as far as the log supports it; the last is without timing.

    The excess of an hour with hardly any sends over the usual rate is shrunk by its uncertainty, and of
    what exceeds the best hour that was tried ``beyond`` counts; with ``beyond=1`` there is no correction. The order
    stays, so such hours are explored where nothing else is known. Where no hour was tried there is no correction; the
    intervals are wide.
    """
    if not tried.any() or tried.all():
        return log_rate
    usual, hours, sd = log_rate[WEEK], log_rate[:WEEK], sd[:WEEK]
    best = float(hours.reshape(7, 24).mean(axis=0)[tried[:24]].max())
    share = beyond + (1.0 - beyond) / (1.0 + (sd / _DOUBT) ** 2)
    doubted = np.minimum(hours, usual) + share * np.maximum(hours - usual, 0.0)
    doubted = np.where(doubted > best, best + beyond * (doubted - best), doubted)
    return np.append(np.where(tried, hours, doubted), usual)


def mean_rate(rate: np.ndarray) -> float:
    """Return the rate of somebody unknown."""
    return float(rate.mean()) if rate.size and rate.mean() > 0 else 1.0


def log_activity(rate: np.ndarray, user: np.ndarray) -> np.ndarray:
    """Return the log of how much more active than average people are; 0 for the unknown (-1)."""
    mean = mean_rate(rate)
    relative = np.append(np.maximum(rate, 1e-3 * mean) / mean, 1.0)
    return np.asarray(np.log(relative)[user])


def reading_weeks(
    profile: ActivityModel, channel: Any, code: np.ndarray, kind_row: np.ndarray, kinds: np.ndarray
) -> np.ndarray:
    """Return the reading weeks of people, (n, 168), by their activity and by what their responses say of their kind."""
    p = profile.profiles(code)
    r = shares(p, channel.reading) if channel.reading.size else p / p.sum(axis=1, keepdims=True)
    if channel.own == 1.0:
        return np.asarray(r)
    kind, known = profile.memberships(code) @ channel.follows, kind_row >= 0
    kind[known] = kinds[kind_row[known]]
    return np.asarray(channel.own * r + (1.0 - channel.own) * kind @ channel.psi)


def departure_sd(
    profile: ActivityModel, channel: Any, code: np.ndarray, kind_row: np.ndarray, kinds: np.ndarray
) -> np.ndarray:
    """Return how little is known of the log relative value of each hour for people, (n, 169), as standard deviations.

    Of the person's own activity: a Gamma posterior of the sessions near the hour of the day, with a weight of
    a few. Of the kind of people: the variance over the kinds that the person may be of. Both as if what is
    wrong in one hour were wrong in all that a message lies in.
    """
    p, own = profile.profiles(code), channel.own
    near = circular_kernel(24, _NEAR_HOURS)
    near = near / near[0, 0]
    sessions = profile._effective(code)[:, None] * (p.reshape(-1, 7, 24).sum(axis=1) @ near)
    r = shares(p, channel.reading) if channel.reading.size else p
    variance = own**2 * r**2 * np.tile(1.0 / (_FEW_SESSIONS + sessions), 7)
    q = own * r
    if own < 1.0:
        known = kind_row >= 0
        kind = profile.memberships(code) @ channel.follows
        kind[known] = kinds[kind_row[known]]
        mean = kind @ channel.psi
        variance += (1.0 - own) ** 2 * np.maximum(kind @ channel.psi**2 - mean**2, 0.0)
        q = q + (1.0 - own) * mean
    ahead = channel.rho ** np.minimum(np.arange(WEEK), 700)
    shift = (np.arange(WEEK)[None, :] - np.arange(WEEK)[:, None]) % WEEK
    found = channel.slope * (np.sqrt(variance) @ ahead[shift].T) / (q @ ahead[shift].T)
    return np.append(np.minimum(found, _MOST_SD), np.zeros((code.size, 1)), axis=1)


def blocks(sent: Sent) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield people, rows of their messages, the place of each row among the people, and their codes in the profile."""
    order = np.argsort(sent.person, kind="stable")
    people, first = np.unique(sent.person[order], return_index=True)
    edges = np.append(first, order.size)
    for block in row_blocks(people.size, 8 * 8 * WEEK):
        rows = order[edges[block.start] : edges[block.stop]]
        code = sent.profile[order[first[block]]]
        yield people[block], rows, np.searchsorted(people[block], sent.person[rows]), code


def weeks(profile: ActivityModel, reading: np.ndarray, n_kinds: int | None = None) -> np.ndarray:
    """Return the reading weeks of the kinds of people, (K, 168): the segments, everybody, people of one hour each.

    Of the first ``n_kinds``, the segments by default.
    """
    n_segments = len(profile.base.phi)
    n_kinds = n_segments if n_kinds is None else n_kinds
    if n_kinds <= n_segments:
        return shares(profile.base.phi, reading) if reading.size else np.array(profile.base.phi)
    theta = (1.0 - EVEN) * profile.population + EVEN / WEEK
    all_alike = theta * reading
    near = np.tile(circular_kernel(24, _OWN_HOUR), (1, 7))
    one_hour = near * (all_alike / all_alike.sum())
    one_hour /= one_hour.sum(axis=1, keepdims=True)
    one_hour = (1.0 - _ANY_HOUR) * one_hour + _ANY_HOUR * all_alike / all_alike.sum()
    more = np.concatenate([all_alike[None] / all_alike.sum(), one_hour])
    return np.concatenate([shares(profile.base.phi, reading), more])[:n_kinds]


def shares(p: np.ndarray, reading: np.ndarray) -> np.ndarray:
    """Return reading weeks, (n, 168): profiles with a little of every hour, times reading relative to activity."""
    r = ((1.0 - EVEN) * p + EVEN / WEEK) * reading
    return np.asarray(r / r.sum(axis=1, keepdims=True))


def settings(
    profile: ActivityModel, tau: float, reading: np.ndarray, follows: Follows | None, expiry: int | None
) -> Any:
    """Return what the kernels need of a channel, with a curve that is the log of the relative value."""
    from omnireco._kernels.week import curves as kernels

    follows = follows if follows is not None else Follows(1.0, np.eye(len(profile.base.pi)))
    return kernels.Channel(
        reading=np.array(reading),
        own=follows.own,
        follows=np.array(follows.follows),
        psi=weeks(profile, reading, follows.follows.shape[1]),
        rho=float(np.exp(-1.0 / tau)),
        life=expiry or 0,
        offset=np.zeros(WEEK + 1),
        slope=1.0,
        tried=np.zeros(WEEK, np.bool_),
        beyond=1.0,
        highest=1.0,
    )


def per_message(
    sent: Sent,
    profile: ActivityModel,
    rate: np.ndarray,
    channel: Any,
    kinds: np.ndarray | None,
    threads: int | None,
    *,
    as_log: bool = True,
) -> np.ndarray:
    """Return the log relative value of each message's hour for its reader, (m,), or their probability.

    Without timing where no clock is known. Without ``kinds`` (n_people, G) people are of the kinds that follow their
    segments.
    """
    found = np.zeros(sent.hour.size)
    for people, rows, place, code in blocks(sent):
        kind_row = np.full(people.size, NONE) if kinds is None else people.astype(np.int64)
        value = worth(code.astype(np.int64), kind_row, kinds, profile, rate, channel, threads, as_log)
        found[rows] = value[place, sent.hour[rows]]  # -1: the last, without timing
    return found


def worth(
    code: np.ndarray,
    kind_row: np.ndarray,
    kinds: np.ndarray | None,
    profile: ActivityModel,
    rate: np.ndarray,
    channel: Any,
    threads: int | None,
    as_log: bool = True,
) -> np.ndarray:
    """Return `values` of people given by their codes in the profile, (n, 169)."""
    kinds = np.empty((0, len(profile.base.pi)), np.float32) if kinds is None else kinds
    often, cells = np.append(rate, mean_rate(rate))[code], (profile.indptr, profile.hour, profile.weight)
    trust, tables = profile.trust_in(code), profile.tables()
    return values(code, kind_row, kinds, trust, often, cells, tables, channel, threads, as_log=as_log)


def values(
    code: np.ndarray,
    kind_row: np.ndarray,
    kinds: np.ndarray,
    trust: np.ndarray,
    rate: np.ndarray,
    cells: tuple[np.ndarray, ...],
    tables: Any,
    channel: Any,
    threads: int | None,
    *,
    as_log: bool = True,
) -> np.ndarray:
    """Return the log relative value of each hour, or the probability, (n, 169); the last is without timing."""
    from omnireco._kernels.week import curves as kernels

    even, one, value = np.zeros(code.size), np.ones(code.size), np.empty((code.size, WEEK + 1))
    clock, hours = even.astype(np.int32), np.arange(WEEK + 1)[None, :]
    person = (code, trust, rate, even, one, kind_row, kinds, *cells, tables, channel, clock, hours)
    in_threads(partial(kernels.chances, *person, as_log, out=value), code.size, threads=threads, least=LEAST)
    return value
