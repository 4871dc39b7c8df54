"""Individual deviations from the population: relative value of each hour.

``profile`` holds weeks of activity, ``rate`` (n_users,) sessions a week; a ``channel`` is `curves.Channel`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from omnireco._core.compute import in_parallel, row_blocks
from omnireco._core.units import WEEK
from omnireco._kernels.week.curves import Channel, People, scores, values
from omnireco._kernels.week.kinds import Follows
from omnireco._kernels.week.pooling import EVEN, circular_kernel
from omnireco.data.vocabulary import NONE
from omnireco.timing.activity import ActivityModel, profiles_and_segments

__all__ = [
    "HIGHEST",
    "Sent",
    "blocks",
    "by_person",
    "departure_sd",
    "known_kinds",
    "log_activity",
    "log_rates",
    "mean_rate",
    "per_message",
    "relative_activity",
    "settings",
    "shares",
    "supported",
    "weeks",
    "worth",
]

HIGHEST = 0.99
_BLOCK = 1_024  # people at a time: what is between the steps stays in the cache
_LEAST_BELIEVED = 0.1  # of what exceeds the best hour tried
_NEAR_HOURS, _FEW_SESSIONS = 2.0, 4.0  # hours whose sessions speak for an hour, and what they are worth before any
_MOST_SD = 1.5
_OWN_HOUR = 2.0  # hours around that of people who answer at one hour of the day
_ANY_HOUR = 0.2  # share of their reading that is like everybody's
_UNTRIED = 0.02  # of the log rate of an hour that was not tried: slow answers alone make none the best
_DOUBT = 0.35  # standard deviation of a log rate at which half of its excess over the usual is believed


class Sent(NamedTuple):
    """Messages of one channel, (m,) each.

    ``person`` and ``profile`` are codes of the message log and of the activity model; ``hour`` local, -1 unknown;
    ``delay`` whole hours until the response, ``watched`` until nobody looks any longer; ``weight`` of the message, of
    which ``recent`` is what its age leaves; ``age`` whole hours from sending to the end of the log.
    """

    person: np.ndarray
    profile: np.ndarray
    hour: np.ndarray
    answered: np.ndarray
    delay: np.ndarray
    watched: np.ndarray
    weight: np.ndarray
    recent: np.ndarray
    age: np.ndarray

    def of(self, rows: np.ndarray) -> Sent:
        """Return some of the messages."""
        return Sent(*(part[rows] for part in self))


def supported(
    channel: Channel,
    everybody: np.ndarray,
    log_rate: np.ndarray,
    sd: np.ndarray,
    tried: np.ndarray,
    slope: float,
    slope_sd: float,
) -> Channel:
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
    intervals are wide. Of hours as good as each other, one that was tried comes first.
    """
    if not tried.any() or tried.all():
        return log_rate
    usual, hours, sd = log_rate[WEEK], log_rate[:WEEK], sd[:WEEK]
    best = float(hours.reshape(7, 24).mean(axis=0)[tried[:24]].max())
    share = beyond + (1.0 - beyond) / (1.0 + (sd / _DOUBT) ** 2)
    doubted = np.minimum(hours, usual) + share * np.maximum(hours - usual, 0.0)
    doubted = np.where(doubted > best, best + beyond * (doubted - best), doubted)
    return np.append(np.where(tried, hours, doubted - (1.0 - beyond) * _UNTRIED), usual)


def mean_rate(rate: np.ndarray) -> float:
    """Return the rate of somebody unknown."""
    return float(rate.mean()) if rate.size and rate.mean() > 0 else 1.0


def log_activity(rate: np.ndarray, user: np.ndarray) -> np.ndarray:
    """Return the log of how much more active than average people are; 0 for the unknown (-1)."""
    mean = mean_rate(rate)
    return relative_activity(np.append(rate, mean), mean)[user]


def relative_activity(rate: np.ndarray, mean: float) -> np.ndarray:
    """Return the log of sessions a week relative to the mean."""
    return np.asarray(np.log(np.maximum(rate, 1e-3 * mean) / mean))


def known_kinds(person: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Return the row of ``kinds`` (n_people, K) of each person, -1 for those whose responses say nothing of theirs."""
    found = np.full(person.size, NONE, np.int64)
    known = np.flatnonzero(person >= 0)
    known = known[kinds[person[known]].any(axis=1)] if kinds.size else known[:0]
    found[known] = person[known]
    return found


def _kinds(member: np.ndarray, channel: Channel, people: People) -> np.ndarray:
    """Return how probable each kind is for people, (n, K)."""
    kind, known = member @ channel.follows, people.kind_row >= 0
    kind[known] = people.kind[people.kind_row[known]]
    return np.asarray(kind)


def departure_sd(profile: ActivityModel, channel: Channel, people: People) -> np.ndarray:
    """Return how little is known of the log relative value of each hour for people, (n, 169), as standard deviations.

    Of the person's own activity: a Gamma posterior of the sessions near the hour of the day, with a weight of
    a few. Of the kind of people: the variance over the kinds that the person may be of. Both as if what is
    wrong in one hour were wrong in all that a message lies in.
    """
    (p, member), own = profiles_and_segments(profile, people.person), channel.own
    near = circular_kernel(24, _NEAR_HOURS)
    near = near / near[0, 0]
    sessions = profile._effective(people.person)[:, None] * (p.reshape(-1, 7, 24).sum(axis=1) @ near)
    r = shares(p, channel.reading) if channel.reading.size else p
    variance = own**2 * r**2 * np.tile(1.0 / (_FEW_SESSIONS + sessions), 7)
    q = own * r
    if own < 1.0:
        kind = _kinds(member, channel, people)
        mean = kind @ channel.psi
        variance += (1.0 - own) ** 2 * np.maximum(kind @ channel.psi**2 - mean**2, 0.0)
        q = q + (1.0 - own) * mean
    ahead = channel.rho ** np.minimum(np.arange(WEEK), 700)
    shift = (np.arange(WEEK)[None, :] - np.arange(WEEK)[:, None]) % WEEK
    found = channel.slope * (np.sqrt(variance) @ ahead[shift].T) / (q @ ahead[shift].T)
    return np.append(np.minimum(found, _MOST_SD), np.zeros((len(p), 1)), axis=1)


def blocks(sent: Sent) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield people, rows of their messages, the place of each row among the people, and their codes in the profile."""
    order = by_person(sent.person)
    person = sent.person[order]
    first = np.flatnonzero(np.append(True, person[1:] != person[:-1])) if person.size else np.empty(0, np.int64)
    edges = np.append(first, order.size)
    for block in row_blocks(first.size, 1, most=_BLOCK):
        rows = order[edges[block.start] : edges[block.stop]]
        begin = order[first[block]]
        size = np.diff(edges[block.start : block.stop + 1])
        yield sent.person[begin], rows, np.repeat(np.arange(begin.size), size), sent.profile[begin]


def by_person(person: np.ndarray) -> np.ndarray:
    """Return rows in order of their person, and of one person in the order they stand in."""
    if (person[1:] >= person[:-1]).all():
        return np.arange(person.size)
    key = person.astype(np.int64) << 32 | np.arange(person.size)  # a sort of numbers is vectorised, one by keys not
    key.sort()
    return np.asarray(key & 0xFFFFFFFF)


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
) -> Channel:
    """Return what the kernels need of a channel, with a curve that is the log of the relative value."""
    follows = follows if follows is not None else Follows(1.0, np.eye(len(profile.base.pi)))
    return Channel(
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
    channel: Channel,
    kinds: np.ndarray | None,
    threads: int | None,
) -> np.ndarray:
    """Return the log relative value of each message's hour for its reader, (m,).

    Without timing where no clock is known. Without ``kinds`` (n_people, K) people are of the kinds that follow their
    segments.
    """
    return _looked_up(sent, profile, rate, channel, kinds, threads, lambda value: value)


def log_rates(
    sent: Sent,
    profile: ActivityModel,
    rate: np.ndarray,
    channel: Channel,
    kinds: np.ndarray | None,
    threads: int | None,
) -> np.ndarray:
    """Return the log rate of responses to each message, (m,), by its hour and its reader; see `per_message`."""
    return _looked_up(sent, profile, rate, channel, kinds, threads, lambda value: scores(value[:, :WEEK], channel))


def _looked_up(
    sent: Sent,
    profile: ActivityModel,
    rate: np.ndarray,
    channel: Channel,
    kinds: np.ndarray | None,
    threads: int | None,
    per_hour: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Return what `per_hour` makes of log relative values, (n, 169), at the hour of each message, (m,)."""
    found, usual = np.zeros(sent.hour.size), mean_rate(rate)
    often = np.append(rate, usual)

    def look_up(people: np.ndarray, rows: np.ndarray, place: np.ndarray, code: np.ndarray) -> None:
        kind_row = np.full(people.size, NONE) if kinds is None else known_kinds(people, kinds)
        value = per_hour(_worth(code.astype(np.int64), kind_row, kinds, profile, often, channel))
        found[rows] = value[place, sent.hour[rows]]  # -1: the last, without timing

    in_parallel([partial(look_up, *block) for block in blocks(sent)], threads)
    return found


def worth(
    code: np.ndarray,
    kind_row: np.ndarray,
    kinds: np.ndarray | None,
    profile: ActivityModel,
    rate: np.ndarray,
    channel: Channel,
) -> np.ndarray:
    """Return the log relative value of each hour for people given by their codes, (n, 169); the last is no timing."""
    return _worth(code, kind_row, kinds, profile, np.append(rate, mean_rate(rate)), channel)


def _worth(
    code: np.ndarray,
    kind_row: np.ndarray,
    kinds: np.ndarray | None,
    profile: ActivityModel,
    often: np.ndarray,
    channel: Channel,
) -> np.ndarray:
    """Return what `worth` does; the last of ``often`` is the rate of the unknown."""
    kinds = np.empty((0, len(channel.psi)), np.float32) if kinds is None else kinds
    people = People(code, profile.trust_in(code), often[code], kind_row, kinds)
    value = values(people, profile.cells, profile.tables(), channel)
    return np.concatenate([value, np.zeros((code.size, 1))], axis=1)
