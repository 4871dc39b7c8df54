"""Compiled curves, one person after another: 168 numbers that stay in the L1 cache.

`profiles.pool` and `delay.send_value` say the same for whole matrices, and are what the tests hold this against.
A million people times 168 hours would be 1.3 GB per step; here each person's sessions become a profile, the profile
a curve of values, and the curve one slot, before the next person is read.

Letters: ``t`` the `Tables` of pooling; a person's cells are ``hour[a:b]`` and ``weight[a:b]``; ``p`` (168,) profile.
"""

# mypy: ignore-errors
from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.compute import compiled
from omnireco._core.units import WEEK
from omnireco._kernels.week.pooling import EVEN, EVIDENCE, PART_HOURS, Base, Pooling, circular_kernel

__all__ = ["Channel", "Tables", "best_slots", "chances", "profiles", "tables"]


class Tables(NamedTuple):
    """What pooling needs, laid out for reading in order."""

    log_phi: np.ndarray  # (168, G)
    log_pi: np.ndarray  # (K, G): what is known of the segments of K groups of people before any session
    start: np.ndarray  # (K, 168): their profiles then
    group: np.ndarray  # (n_users,) of each person, or (0,): all are of the first group
    phi: np.ndarray  # (G, 168)
    theta: np.ndarray  # (168,)
    part: np.ndarray  # (335,): from any hour on, what it says about 168 hours
    part_share: np.ndarray  # (168,): 1 / what the part of the week around an hour holds of theta
    near: np.ndarray  # (2 reach + 1,): beyond its reach the kernel holds nothing that a float64 could keep
    by_day: np.ndarray  # (24, 24)
    day_share: np.ndarray  # (168,)
    strengths: np.ndarray  # (4,)


class Channel(NamedTuple):
    """What a channel makes of profiles."""

    reading: np.ndarray  # (168,), or (0,): everybody reads as they are active
    own: float  # share of reading that is like the person's own activity
    follows: np.ndarray  # (G, G)
    psi: np.ndarray  # (G, 168): weeks of the kinds of people, rows summing to 1
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
    week = base.theta.reshape(7, 24)
    return Tables(
        log_phi=np.ascontiguousarray(np.log(base.phi).T),
        log_pi=_log(prior),
        start=np.array(start),
        group=group,
        phi=np.array(base.phi),
        theta=np.array(base.theta),
        part=_turned(part),
        part_share=1.0 / (part @ base.theta),
        near=_middle(circular_kernel(WEEK, pooling.hour_width)),
        by_day=circular_kernel(24, pooling.day_width),
        day_share=np.ascontiguousarray((week / week.sum(axis=0)).reshape(WEEK)),
        strengths=np.array(pooling.strengths),
    )


def _log(x: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(x))


def _turned(kernel: np.ndarray) -> np.ndarray:
    """Return the row of a circular kernel twice, so that ``found[167 - b:][:168]`` is the row of hour b."""
    return np.concatenate([kernel[WEEK - 1], kernel[WEEK - 1]])[: 2 * WEEK - 1].copy()


def _middle(kernel: np.ndarray) -> np.ndarray:
    """Return the part of the row of a circular kernel that is not as good as nothing, the same to both sides."""
    reach = int(np.flatnonzero(kernel[0, : WEEK // 2] > 1e-19)[-1])
    return np.roll(kernel[0], reach)[: 2 * reach + 1].copy()


@compiled
def membership(hour, weight, a, b, t, group, member):
    """Write how probable each segment is (see `profiles.memberships`); return the sum of the sessions."""
    n = 0.0
    member[:] = 0.0
    fours = a + (b - a) // 4 * 4
    for k in range(a, fours, 4):  # four at a time: sums are written to memory a quarter as often
        w0, w1 = np.float64(weight[k]), np.float64(weight[k + 1])
        w2, w3 = np.float64(weight[k + 2]), np.float64(weight[k + 3])
        n += w0 + w1 + w2 + w3
        phi0, phi1, phi2, phi3 = (
            t.log_phi[hour[k]],
            t.log_phi[hour[k + 1]],
            t.log_phi[hour[k + 2]],
            t.log_phi[hour[k + 3]],
        )
        for g in range(member.size):
            member[g] += w0 * phi0[g] + w1 * phi1[g] + w2 * phi2[g] + w3 * phi3[g]
    for k in range(fours, b):
        w = np.float64(weight[k])
        n += w
        for g in range(member.size):
            member[g] += w * t.log_phi[hour[k], g]
    most = -np.inf
    for g in range(member.size):
        member[g] = member[g] * (EVIDENCE / (EVIDENCE + n)) + t.log_pi[group, g]
        most = max(most, member[g])
    total = 0.0
    for g in range(member.size):
        member[g] = math.exp(member[g] - most)
        total += member[g]
    member /= total
    return n


@compiled
def pooled(hour, weight, a, b, trust, t, group, member, day, part, near, p):
    """Write one person's profile (see `profiles.pool`), blended with where it started by ``1 - trust``."""
    n = membership(hour, weight, a, b, t, group, member)
    k_segment, k_part, k_day, k_hour = t.strengths[0], t.strengths[1], t.strengths[2], t.strengths[3]
    p[:] = t.start[group]
    if not np.isinf(k_segment):
        part[:] = 0.0
        for g in range(member.size):
            m = member[g]
            for i in range(168):
                part[i] += m * t.phi[g, i]
        for i in range(168):
            p[i] = (k_segment * p[i] + n * part[i]) / (k_segment + n)
    if not np.isinf(k_part):
        _spread(hour, weight, a, b, t, part)
    near[:] = 0.0
    day[:] = 0.0
    at_this = np.zeros(24)
    reach = t.near.size // 2
    for k in range(a, b):
        w = np.float64(weight[k])
        around = near[84 + np.int64(hour[k]) - reach : 85 + np.int64(hour[k]) + reach]
        for i in range(t.near.size):
            around[i] += w * t.near[i]
        at_this[hour[k] % 24] += w
    for h in range(0, 24, 4):
        a0, a1, a2, a3 = at_this[h], at_this[h + 1], at_this[h + 2], at_this[h + 3]
        for i in range(24):
            day[i] += a0 * t.by_day[h, i] + a1 * t.by_day[h + 1, i] + a2 * t.by_day[h + 2, i] + a3 * t.by_day[h + 3, i]
    for i in range(84):  # what reached over the ends of the week
        near[168 + i] += near[i]
        near[84 + i] += near[252 + i]
    if n > 0.0:
        x, y, z = _share(k_part, n), _share(k_day, n), _share(k_hour, n)
        u, v, w = (1.0 - x) / n, (1.0 - y) / n, (1.0 - z) / n
        if not np.isinf(k_part):
            for i in range(168):
                p[i] = x * p[i] + u * (part[i] * t.theta[i])
        for d in range(0, 168, 24):
            for i in range(24):
                p[d + i] = y * p[d + i] + v * (day[i] * t.day_share[d + i])
        for i in range(168):
            p[i] = z * p[i] + w * near[84 + i]
    total = 0.0
    for i in range(168):
        total += p[i]
    own = trust / total
    for i in range(168):
        p[i] = own * p[i] + (1.0 - trust) * t.start[group, i]


@compiled
def _spread(hour, weight, a, b, t, part):
    """Write what the sessions say about the part of the week around them, before the population fills it."""
    part[:] = 0.0
    fours = a + (b - a) // 4 * 4
    for k in range(a, fours, 4):
        s0, wide0 = _around(hour[k], weight[k], t)
        s1, wide1 = _around(hour[k + 1], weight[k + 1], t)
        s2, wide2 = _around(hour[k + 2], weight[k + 2], t)
        s3, wide3 = _around(hour[k + 3], weight[k + 3], t)
        for i in range(168):
            part[i] += s0 * wide0[i] + s1 * wide1[i] + s2 * wide2[i] + s3 * wide3[i]
    for k in range(fours, b):
        s0, wide0 = _around(hour[k], weight[k], t)
        for i in range(168):
            part[i] += s0 * wide0[i]


@compiled
def _around(hour, weight, t):
    """Return how much a session says about the part of the week around it, and that part."""
    start = 167 - np.int64(hour)
    return np.float64(weight) * t.part_share[hour], t.part[start : start + 168]


@compiled
def _group(t, who):
    """Return the group of a person; unknown users and all of a model without groups are of the first."""
    return np.int64(t.group[who]) if who >= 0 and t.group.size else np.int64(0)


@compiled
def _share(k, n):
    """Return the weight of the coarser level, 1 for infinite strength."""
    return 1.0 if np.isinf(k) else k / (k + n)


@compiled
def valued(p, member, kind, row, rate, channel, x, q, value):
    """Write the value of sending at each hour relative to the person's average hour (see `delay.send_value`).

    The kinds of the person are row ``row`` of ``kind`` (m, G), or with -1 those that follow their segments.
    """
    total = 0.0
    x[:] = p
    if channel.reading.size:
        for i in range(168):
            x[i] = ((1.0 - EVEN) * x[i] + EVEN / WEEK) * channel.reading[i]
    for i in range(168):
        total += x[i]
    own = rate * channel.own / total
    for i in range(168):
        x[i] *= own
    if channel.own < 1.0:
        for k in range(channel.psi.shape[0]):
            share = 0.0
            if row >= 0:
                share = np.float64(kind[row, k])
            else:
                for g in range(member.size):
                    share += member[g] * channel.follows[g, k]
            share *= rate * (1.0 - channel.own)
            for i in range(168):
                x[i] += share * channel.psi[k, i]
    highest = 0.0
    for i in range(168):
        highest = max(highest, x[i])
    _come(x, highest)
    _attract(x, channel.rho, q, value)
    if channel.life > 0:
        _expire(value, q, channel.life, x)
    total = 0.0
    for i in range(168):
        total += value[i]
    whole = 168.0 / total
    for i in range(168):
        value[i] *= whole


@compiled
def _attract(x, rho, q, value):
    """Write F_h = x_h + (1 - x_h) rho F_{h+1} on the circle.

    Each step waits for the one before, so the seven days are swept side by side; a first sweep finds what each
    day hands on to the evening before, and the second fills in.
    """
    sums, products = np.zeros(8), np.ones(8)
    for i in range(168):
        q[i] = (1.0 - x[i]) * rho
    for i in range(23, -1, -1):
        for d in range(7):
            h = 24 * d + i
            sums[d] = x[h] + q[h] * sums[d]
            products[d] *= q[h]
    total, product = 0.0, 1.0
    for d in range(6, -1, -1):
        total = sums[d] + products[d] * total
        product *= products[d]
    sums[7] = total / (1.0 - product)  # the value at Monday 00:00 closes the circle
    for d in range(6, -1, -1):
        sums[d] += products[d] * sums[d + 1]
    for i in range(23, -1, -1):
        for d in range(7):
            h = 24 * d + i
            sums[d + 1] = x[h] + q[h] * sums[d + 1]
            value[h] = sums[d + 1]


@compiled
def _come(x, highest):
    """Replace expected sessions x by the probability 1 - exp(-x) of any; a series in registers when x is small."""
    if highest >= 1.0:
        for i in range(x.size):
            x[i] = -math.expm1(-x[i])
        return
    if highest < 0.2:  # y^8 / 9! is then below what a float64 keeps
        for i in range(x.size):
            y = 0.25 * x[i]
            c = 1.0 - y * (1 / 5) * (1.0 - y * (1 / 6) * (1.0 - y * (1 / 7) * (1.0 - y * (1 / 8))))
            c = y * (1.0 - y * (1 / 2) * (1.0 - y * (1 / 3) * (1.0 - y * (1 / 4) * c)))
            c *= 2.0 - c
            x[i] = c * (2.0 - c)
        return
    for i in range(x.size):  # of a quarter of x, then 1 - (1 - c)^2 = c (2 - c) twice
        y = 0.25 * x[i]
        c = 1.0 - y * (1 / 9) * (1.0 - y * (1 / 10) * (1.0 - y * (1 / 11) * (1.0 - y * (1 / 12) * (1.0 - y / 13))))
        c = 1.0 - y * (1 / 5) * (1.0 - y * (1 / 6) * (1.0 - y * (1 / 7) * (1.0 - y * (1 / 8) * c)))
        c = y * (1.0 - y * (1 / 2) * (1.0 - y * (1 / 3) * (1.0 - y * (1 / 4) * c)))
        c *= 2.0 - c
        x[i] = c * (2.0 - c)


@compiled
def _expire(value, q, life, passed):
    """Take off what lies more than ``life`` hours after each hour: the product of q on the way, times the value."""
    sums = np.zeros(337)
    for i in range(336):
        sums[i + 1] = sums[i] + math.log(max(q[i % 168], 1e-300))
    turns, rest = life // 168, life % 168
    for i in range(168):
        passed[i] = math.exp(turns * sums[168] + sums[i + rest] - sums[i]) * value[(i + life) % 168]
    for i in range(168):
        value[i] = max(value[i] - passed[i], 1e-300)


def _profiles(person, trust, indptr, hour, weight, t, first, last, out):
    """Fill rows first..last of out (n, 168) with profiles; people without sessions have their group's."""
    member, day, part, near = np.empty(t.log_pi.shape[1]), np.empty(24), np.empty(168), np.empty(336)
    for row in range(first, last):
        who = person[row]
        if who < 0 or trust[row] < 0.0:
            out[row] = t.start[_group(t, who)]
        else:
            pooled(
                hour,
                weight,
                indptr[who],
                indptr[who + 1],
                trust[row],
                t,
                _group(t, who),
                member,
                day,
                part,
                near,
                out[row],
            )


def _chances(
    person,
    trust,
    rate,
    shift,
    factor,
    kind_row,
    kind,
    indptr,
    hour,
    weight,
    t,
    channel,
    zone,
    clock,
    as_log,
    first,
    last,
    out,
):
    """Fill rows first..last of out (n, S): probabilities at the S slots, whose local hours are ``clock[zone]`` (Z, S).

    Hour 168 is no clock and no timing. With ``as_log`` the log of the relative value instead of a probability.
    """
    member, day, part, near = np.empty(t.log_pi.shape[1]), np.empty(24), np.empty(168), np.empty(336)
    p, value, curve = np.empty(168), np.empty(168), np.empty(169)
    for row in range(first, last):
        who = max(person[row], 0)
        a, b = (indptr[who], indptr[who + 1]) if person[row] >= 0 and trust[row] >= 0.0 else (0, 0)
        pooled(hour, weight, a, b, max(trust[row], 0.0), t, _group(t, person[row]), member, day, part, near, p)
        valued(p, member, kind, kind_row[row], rate[row], channel, part, near[:168], value)
        curve[:] = np.nan
        limit = np.inf if as_log else _limit(value, channel)
        for s in range(out.shape[1]):
            h = clock[zone[row], s]
            if np.isnan(curve[h]):
                if as_log:
                    curve[h] = math.log(value[h]) if h < 168 else 0.0
                else:
                    curve[h] = _chance(_score(value, h, limit, channel), shift[row], factor[row], channel)
            out[row, s] = curve[h]


@compiled
def _limit(value, channel):
    """Return the person's highest log rate of an hour of the day that was tried, infinite where none or all were."""
    found, untried = -np.inf, False
    for h in range(24):
        if channel.tried[h]:
            mean = 0.0
            for d in range(0, 168, 24):
                mean += channel.offset[d + h] + channel.slope * math.log(value[d + h])
            found = max(found, mean / 7.0)
        else:
            untried = True
    return found if untried and found > -np.inf else np.inf


@compiled
def _score(value, h, limit, channel):
    """Return the log rate at an hour; at one that was not tried little of what exceeds the best that was."""
    if h == 168:
        return channel.offset[168]
    found = channel.offset[h] + channel.slope * math.log(value[h])
    if found > limit and not channel.tried[h]:
        found = limit + channel.beyond * (found - limit)
    return found


@compiled
def _chance(score, shift, factor, channel):
    """Return the response probability."""
    return min(-math.expm1(-math.exp(min(score + shift, 50.0)) * factor), channel.highest)


def _best_slots(
    person,
    trust,
    rate,
    shift,
    factor,
    kind_row,
    kind,
    indptr,
    hour,
    weight,
    t,
    channel,
    zone,
    clock,
    allowed,
    first,
    last,
    slot,
    chance,
):
    """Choose the best allowed slot of rows first..last, the earliest of equal ones; -1 where none is allowed."""
    member, day, part, near = np.empty(t.log_pi.shape[1]), np.empty(24), np.empty(168), np.empty(336)
    p, value, score = np.empty(168), np.empty(168), np.empty(169)
    for row in range(first, last):
        who = max(person[row], 0)
        a, b = (indptr[who], indptr[who + 1]) if person[row] >= 0 and trust[row] >= 0.0 else (0, 0)
        pooled(hour, weight, a, b, max(trust[row], 0.0), t, _group(t, person[row]), member, day, part, near, p)
        valued(p, member, kind, kind_row[row], rate[row], channel, part, near[:168], value)
        limit = _limit(value, channel)
        score[:] = np.nan
        best, found = -np.inf, -1
        for s in range(clock.shape[1]):
            if not allowed[zone[row], s]:
                continue
            h = clock[zone[row], s]
            if np.isnan(score[h]):
                score[h] = _score(value, h, limit, channel)
            if score[h] > best:
                best, found = score[h], s
        slot[row] = found
        chance[row] = _chance(best, shift[row], factor[row], channel) if found >= 0 else -1.0


profiles: Any = compiled(_profiles)
chances: Any = compiled(_chances)
best_slots: Any = compiled(_best_slots)
