"""From sessions to values of hours: each person's profile, the value of sending at each hour, probabilities.

The steps of matrices are in numpy, and every number of a person depends on that person's row only, to the bit: no sum
is left to BLAS, whose order depends on the number of rows. Above the size of `size.small` the sums over sessions are
compiled (`walks`); `pooling.pool` and `delay.send_value` are what all of it is compared with in the tests.

Letters: ``t`` the `Tables` of pooling; ``p`` (n, 168) profiles; a person's cells are ``hour[a:b]`` and ``weight[a:b]``
with a and b in ``indptr``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.compute import in_threads, read_only
from omnireco._core.units import WEEK
from omnireco._kernels.week.pooling import EVEN, EVIDENCE, PART_HOURS, Base, Pooling, circular_kernel
from omnireco._kernels.week.size import small

__all__ = [
    "Cells",
    "Channel",
    "People",
    "Tables",
    "best_slots",
    "chances",
    "in_blocks",
    "log_in_time",
    "pooled",
    "profiles",
    "scores",
    "tables",
    "values",
]

_BLOCK = 512  # people at a time: what is between the steps stays in the L2 cache
_HIGHEST_SCORE = 50.0


class Cells(NamedTuple):
    """Decayed sessions of people per local hour, as rows of a sparse matrix (n_users, 168)."""

    indptr: np.ndarray
    hour: np.ndarray
    weight: np.ndarray

    def of(self, person: np.ndarray) -> Cells:
        """Return those of some people; -1 has none."""
        start, size = np.zeros((2, person.size), np.int64)
        known = np.flatnonzero(person >= 0)
        start[known] = self.indptr[person[known]]
        size[known] = self.indptr[person[known] + 1] - start[known]
        ends = np.cumsum(size)
        cell = np.arange(int(ends[-1]) if ends.size else 0) + np.repeat(start - ends + size, size)
        return Cells(np.append(np.zeros(1, np.int64), ends), self.hour[cell], self.weight[cell])


class People(NamedTuple):
    """Some people, (n,) each, for `values`.

    Attributes
    ----------
    person : ndarray of int64
        Rows of the cells, -1 for the unknown.
    trust : ndarray
        Share of the personal profile, negative without a history.
    rate : ndarray
        Sessions a week.
    kind_row : ndarray of int64
        Row of ``kind``, or -1: the kinds that follow the person's segments.
    kind : ndarray of shape (m, K), float32
        The probability of each kind.
    """

    person: np.ndarray
    trust: np.ndarray
    rate: np.ndarray
    kind_row: np.ndarray
    kind: np.ndarray

    def of(self, rows: slice) -> People:
        """Return some of them."""
        return People(self.person[rows], self.trust[rows], self.rate[rows], self.kind_row[rows], self.kind)


class Tables(NamedTuple):
    """What pooling needs, laid out for reading in order."""

    log_phi: np.ndarray  # (168, G)
    log_pi: np.ndarray  # (K, G): what is known of the segments of K groups of people before any session
    start: np.ndarray  # (K, 168): their profiles then
    group: np.ndarray  # (n_users,) of each person, or (0,): all are of the first group
    phi: np.ndarray  # (G, 168)
    theta: np.ndarray  # (168,)
    wide: np.ndarray  # (168, 168): what a session at each hour says of the part of the week around it, before theta
    near: np.ndarray  # (2 reach + 1,): beyond its reach the kernel holds nothing that a float64 could keep
    by_day: np.ndarray  # (24, 24)
    day_share: np.ndarray  # (168,)
    strengths: np.ndarray  # (4,)
    of_hour: np.ndarray  # (168, G + 1 + 24 + 168 + 168): what one session says of segments, of 1, day, hour, part


class Channel(NamedTuple):
    """What a channel makes of profiles."""

    reading: np.ndarray  # (168,), or (0,): everybody reads as they are active
    own: float  # share of reading that is like the person's own activity
    follows: np.ndarray  # (G, K)
    psi: np.ndarray  # (K, 168): weeks of the kinds of people, rows summing to 1
    rho: float
    life: int  # hours; 0 for ever
    offset: np.ndarray  # (169,): log rate of responses at each hour, less the slope times the hour's value for all
    slope: float
    tried: np.ndarray  # (168,) bool: hours that enough was sent at to know what it earns
    beyond: float  # how much of what exceeds the best hour tried is believed
    highest: float


def tables(base: Base, pooling: Pooling, prior: np.ndarray, start: np.ndarray, group: np.ndarray) -> Tables:
    """Lay out the numbers of pooling."""
    part = circular_kernel(WEEK, PART_HOURS)
    near, by_day = circular_kernel(WEEK, pooling.hour_width), circular_kernel(24, pooling.day_width)
    week = base.theta.reshape(7, 24)
    log_phi, wide = np.ascontiguousarray(np.log(base.phi).T), part / (part @ base.theta)[:, None]
    one = np.ones((WEEK, 1))
    return Tables(
        log_phi=log_phi,
        log_pi=_log(prior),
        start=np.array(start),
        group=group,
        phi=np.array(base.phi),
        theta=np.array(base.theta),
        wide=wide,
        near=_middle(near),
        by_day=by_day,
        day_share=np.ascontiguousarray((week / week.sum(axis=0)).reshape(WEEK)),
        strengths=np.array(pooling.strengths),
        of_hour=np.concatenate([log_phi, one, np.tile(by_day, (7, 1)), near, wide], axis=1),
    )


def _log(x: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(x))


def _middle(kernel: np.ndarray) -> np.ndarray:
    """Return the part of the row of a circular kernel that is not as good as nothing, the same to both sides."""
    reach = int(np.flatnonzero(kernel[0, : WEEK // 2] > 1e-19)[-1])
    return np.roll(kernel[0], reach)[: 2 * reach + 1].copy()


def profiles(person: np.ndarray, trust: np.ndarray, cells: Cells, t: Tables, *, threads: int | None = 1) -> np.ndarray:
    """Return profiles, (n, 168); people without sessions have their group's."""
    found = np.empty((person.size, WEEK))

    def fill(rows: slice) -> None:
        found[rows] = pooled(person[rows], trust[rows], cells, t)[0]

    in_blocks(fill, person.size, threads)
    return found


def values(people: People, cells: Cells, t: Tables, channel: Channel, *, threads: int | None = 1) -> np.ndarray:
    """Return the log of the value of sending at each hour relative to the person's average hour, (n, 168)."""
    found, few = np.empty((people.person.size, WEEK)), small(cells.indptr.size - 1)

    def fill(rows: slice) -> None:
        some = people.of(rows)
        np.log(_valued(*pooled(some.person, some.trust, cells, t), some, channel, few), out=found[rows])

    in_blocks(fill, people.person.size, threads)
    return found


def _walks() -> Any:
    """Return the compiled steps; a compiler is imported with them."""
    from omnireco._kernels.week import walks

    return walks


def in_blocks(fill: Callable[[slice], None], n: int, threads: int | None) -> None:
    """Call ``fill(rows)`` for blocks of n people, each on a thread."""

    def work(first: int, last: int) -> None:
        for start in range(first, last, _BLOCK):
            fill(slice(start, min(start + _BLOCK, last)))

    in_threads(work, n, threads=threads, least=_BLOCK)


def pooled(person: np.ndarray, trust: np.ndarray, cells: Cells, t: Tables) -> tuple[np.ndarray, np.ndarray]:
    """Return profiles (see `pooling.pool`), blended with where they started by ``1 - trust``, and segments (n, G)."""
    group = np.zeros(person.size, np.int64)
    if t.group.size:
        known = np.flatnonzero(person >= 0)
        group[known] = t.group[person[known]]
    if small(cells.indptr.size - 1):
        return _pooled(person, trust, group, cells, t)
    member, found = np.empty((person.size, len(t.phi))), np.empty((person.size, WEEK))
    whose = (read_only(person, np.int64), read_only(trust, np.float64), read_only(group, np.int64))
    kinds = (np.int64, np.uint8, np.float32)
    sessions = (read_only(part, kind) for part, kind in zip(cells, kinds, strict=True))
    numbers = (t.log_phi, t.log_pi, t.start, t.phi, t.theta, t.wide, t.near, t.by_day, t.day_share, t.strengths)
    known_of = (read_only(part, np.float64) for part in numbers)  # of one type whatever was asked: compiled once
    _walks().pooled(*whose, *sessions, *known_of, 0, person.size, member, found)
    return found, member


def _pooled(
    person: np.ndarray, trust: np.ndarray, group: np.ndarray, cells: Cells, t: Tables
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `pooled` does, by a sparse matrix of sessions."""
    from scipy.sparse import csr_array

    indptr, hour, weight = cells.of(np.where(trust >= 0.0, person, -1))
    sessions = (weight.astype(np.float64), hour.astype(np.int32), indptr.astype(np.int32))
    sums = csr_array(sessions, shape=(person.size, WEEK)) @ t.of_hour
    score, n, day, near, part = np.split(sums, np.cumsum([len(t.phi), 1, 24, WEEK]), axis=1)
    member = score * (EVIDENCE / (EVIDENCE + n)) + t.log_pi[group]
    member = np.exp(member - member.max(axis=1, keepdims=True))
    member /= member.sum(axis=1, keepdims=True)
    begun, some = t.start[group], np.where(n > 0.0, n, 1.0)  # without sessions a level says what the coarser one does
    p = begun
    for strength, evidence in (
        (t.strengths[0], some * _mixed(member, t.phi, True)),
        (t.strengths[1], part * t.theta),
        (t.strengths[2], np.tile(day, 7) * t.day_share),
        (t.strengths[3], near),
    ):
        share = np.where(n > 0.0, some / (strength + some), 0.0)
        p = (1.0 - share) * p + share / some * evidence
    own = np.maximum(trust, 0.0)[:, None]
    return own / p.sum(axis=1, keepdims=True) * p + (1.0 - own) * begun, member


def _mixed(share: np.ndarray, weeks: np.ndarray, few: bool) -> np.ndarray:
    """Return ``share @ weeks``, each row summed in the same order however many there are."""
    n, k = share.shape
    if not few:
        found = np.empty((n, weeks.shape[1]))
        _walks().mixed(read_only(share, np.float64), read_only(weeks, np.float64), found)
        return found
    from scipy.sparse import csr_array

    kind, indptr = np.tile(np.arange(k, dtype=np.int32), n), np.arange(0, n * k + 1, k, dtype=np.int32)
    return np.asarray(csr_array((share.ravel(), kind, indptr), shape=share.shape) @ weeks)


def log_in_time(
    people: People, cells: Cells, t: Tables, channel: Channel, hour: np.ndarray, left: np.ndarray
) -> np.ndarray:
    """Return the log of the share of the value of sending at ``hour`` (n, S) that comes within ``left`` hours.

    Of what is ahead of a message, that which lies behind the end is taken off: what its reader comes to after as many
    hours in which it was not seen, at the pull that is left (see `delay.send_value`). ``left`` is (n, S) or (1, S),
    whole hours; an hour of 168 is that of somebody without a clock.
    """
    few, known = small(cells.indptr.size - 1), np.where(hour == WEEK, 0, hour)
    n = np.arange(len(hour))[:, None]
    x = _reads(*pooled(people.person, people.trust, cells, t), people, channel, few)
    value, sums = _swept(x, channel.rho, few), _log_passed((1.0 - x) * channel.rho)

    def behind(after: np.ndarray) -> np.ndarray:
        turns, rest = np.divmod(after, WEEK)
        passed = np.exp(turns * sums[:, WEEK, None] + sums[n, known + rest] - sums[n, known])
        return np.asarray(passed * value[n, (known + after) % WEEK])

    left = np.broadcast_to(left, hour.shape)
    all_ahead, unseen = value[n, known], -np.expm1(np.log(channel.rho) * left)
    if channel.life > 0:
        left = np.minimum(left, channel.life)
        all_ahead = all_ahead - behind(np.full(hour.shape, channel.life))
        unseen = np.minimum(unseen / -np.expm1(np.log(channel.rho) * channel.life), 1.0)
    share = np.clip((value[n, known] - behind(left)) / np.maximum(all_ahead, 1e-300), 0.0, 1.0)
    return _log(np.where(hour == WEEK, unseen, np.where(left > 0, share, 0.0)))


def _log_passed(q: np.ndarray) -> np.ndarray:
    """Return sums of the log of q over the hours from Monday 00:00 on, for two weeks, (n, 337)."""
    logs = np.log(np.maximum(q, 1e-300))
    return np.concatenate([np.zeros((q.shape[0], 1)), np.cumsum(np.tile(logs, 2), axis=1)], axis=1)


def _reads(p: np.ndarray, member: np.ndarray, people: People, channel: Channel, few: bool) -> np.ndarray:
    """Return the probability that each person reads in each hour, (n, 168)."""
    x, rate = p, people.rate[:, None]
    if channel.reading.size:
        x = p * ((1.0 - EVEN) * channel.reading)
        x += EVEN / WEEK * channel.reading
    x = rate * channel.own / x.sum(axis=1, keepdims=True) * x
    if channel.own < 1.0:
        kind = _kinds(member, people, channel, few)
        x += _mixed(rate * (1.0 - channel.own) * kind, channel.psi, few)
    np.negative(np.expm1(np.negative(x, out=x), out=x), out=x)
    return x


def _valued(p: np.ndarray, member: np.ndarray, people: People, channel: Channel, few: bool) -> np.ndarray:
    """Return the value of sending at each hour relative to the person's average hour (see `delay.send_value`)."""
    x = _reads(p, member, people, channel, few)
    value = _swept(x, channel.rho, few)
    if channel.life > 0:
        value = _until(value, (1.0 - x) * channel.rho, channel.life)
    value *= WEEK / value.sum(axis=1, keepdims=True)
    return value


def _kinds(member: np.ndarray, people: People, channel: Channel, few: bool) -> np.ndarray:
    """Return the probability of each kind, (n, K): given the person's responses, or as they follow their segments."""
    kind = np.empty((member.shape[0], len(channel.psi)))
    told = people.kind_row >= 0
    kind[told] = people.kind[people.kind_row[told]]
    if not told.all():
        kind[~told] = _mixed(member[~told], channel.follows, few)
    return kind


def _swept(x: np.ndarray, rho: float, few: bool) -> np.ndarray:
    """Return F_h = x_h + (1 - x_h) rho F_{h+1} on the circle, (n, 168).

    Each step waits for the one before, so the seven days are swept side by side; a first sweep finds what each
    day hands on to the evening before, and the second fills in.
    """
    n = x.shape[0]
    if not few:
        found = np.empty((n, WEEK))
        _walks().swept(read_only(x, np.float64), rho, found)
        return found
    x = np.ascontiguousarray(x.T).reshape(7, 24, n)
    q = (1.0 - x) * rho
    first, product = np.zeros((7, n)), np.ones((7, n))
    for hour in range(23, -1, -1):
        first *= q[:, hour]
        first += x[:, hour]
        product *= q[:, hour]
    total, whole = np.zeros(n), np.ones(n)
    for day in range(6, -1, -1):
        total = first[day] + product[day] * total
        whole = whole * product[day]
    after = np.empty((8, n))
    after[7] = total / (1.0 - whole)  # the value at Monday 00:00 closes the circle
    for day in range(6, -1, -1):
        after[day] = first[day] + product[day] * after[day + 1]
    now, value = after[1:].copy(), np.empty_like(x)
    for hour in range(23, -1, -1):
        now *= q[:, hour]
        now += x[:, hour]
        value[:, hour] = now
    return np.ascontiguousarray(value.reshape(WEEK, n).T)


def _until(value: np.ndarray, q: np.ndarray, life: int) -> np.ndarray:
    """Take off what lies more than ``life`` hours after each hour: the product of q on the way, times the value."""
    sums = _log_passed(q)
    turns, rest = divmod(life, WEEK)
    hour = np.arange(WEEK)
    passed = np.exp(turns * sums[:, WEEK, None] + sums[:, hour + rest] - sums[:, hour])
    return np.maximum(value - passed * value[:, (hour + life) % WEEK], 1e-300)


def scores(log_value: np.ndarray, channel: Channel) -> np.ndarray:
    """Return log rates of responses per hour, (n, 169); the last is without timing.

    Where some hours were not tried, little counts there of what exceeds the person's best hour of the day that was.
    """
    found = np.empty((log_value.shape[0], WEEK + 1))
    hours = found[:, :WEEK]
    np.multiply(log_value, channel.slope, out=hours)
    hours += channel.offset[:WEEK]
    found[:, WEEK] = channel.offset[WEEK]
    tried = channel.tried[:24]
    if tried.any() and not channel.tried.all():
        usual = hours[:, :24].copy()
        for day in range(1, 7):
            usual += hours[:, 24 * day : 24 * day + 24]
        limit = usual[:, tried].max(axis=1, keepdims=True) / 7.0
        beyond = np.flatnonzero(~channel.tried)
        doubted = hours[:, beyond]
        hours[:, beyond] = np.where(doubted > limit, limit + channel.beyond * (doubted - limit), doubted)
    return found


def chances(score: np.ndarray, shift: np.ndarray, factor: np.ndarray, highest: float) -> np.ndarray:
    """Return response probabilities from log rates; ``shift`` and ``factor`` are the person's."""
    rate = np.exp(np.minimum(score + shift, _HIGHEST_SCORE)) * factor
    return np.asarray(np.minimum(-np.expm1(-rate), highest))


def best_slots(
    score: np.ndarray, zone: np.ndarray, clock: np.ndarray, allowed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return each person's best allowed slot, the earliest of equal ones, and its score; -1 where none is allowed.

    Parameters
    ----------
    score : ndarray of shape (n, 169)
    zone : ndarray of shape (n,)
        Row of ``clock`` and ``allowed``.
    clock : ndarray of shape (Z, S)
        The local hours of the slots, 168 for no clock.
    allowed : ndarray of shape (Z, S), bool
    """
    slot, best = np.full(zone.size, -1), np.full(zone.size, -np.inf)
    for code in np.unique(zone):
        open_ = np.flatnonzero(allowed[code])
        rows = np.flatnonzero(zone == code)
        if open_.size:
            found = score[rows[:, None], clock[code, open_]]
            place = found.argmax(axis=1)
            slot[rows], best[rows] = open_[place], found[np.arange(rows.size), place]
    return slot, best
