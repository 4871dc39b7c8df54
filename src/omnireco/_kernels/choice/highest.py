"""The compiled integral behind propensities: how probable it is that one of some independent normals is the highest.

P(i is the highest) = integral of phi_i(s) times the product of Phi_j(s) over the others, by the trapezoid rule, which
is exact to rounding for such bells as long as its step is below the width of the narrowest. A two million times tried
arm beside a new one is a thousand times as narrow, so steps grow with the distance from the narrowest arm:
s = centre + b sinh(v), even steps in v. That is enough, because an arm that lies d away and still matters is at least
d / 14 wide: all of them reach the same place, the lowest at which the highest can be.
"""

# mypy: ignore-errors
# Types are numba's to find.
from __future__ import annotations

import math

import numpy as np

from omnireco._core.compute import compiled
from omnireco._kernels.choice.crowd import CROWD, chance_in_crowd

__all__ = ["REACH", "chance_of", "chances", "chances_of", "log_cdf_table", "start_row"]

STEP, REACH = 1.0 / 64.0, 8.0  # of the table of log Phi
NEGLIGIBLE = -30.0  # exp(-30): what is left out of an integral
FAR = 7.0  # standard deviations beyond which nothing is asked: 1e-12
BEND = 8.0  # widths of the narrowest arm within which steps are even
FINE = 0.7  # standard deviations of a bell per step: error below 1e-7 for the highest of a thousand arms, 1e-10 of ten
SURE = 1e-250  # a width below this share of the widest is none
TINY = 1e-300  # a unit of width that has an inverse
POINT = 1e-10  # width given to a sure score, in widths of the narrowest other


def log_cdf_table() -> np.ndarray:
    """Return T (1024, 4): log Phi on cells of 1/64 from -8 to 8, as cubics in the place within the cell.

    Hermite interpolation of values and slopes; the error is below 1e-9.
    """
    from scipy.special import log_ndtr

    t = np.linspace(-REACH, REACH, round(2 * REACH / STEP) + 1)
    value = log_ndtr(t)
    slope = np.exp(-0.5 * t * t - 0.5 * np.log(2 * np.pi) - value) * STEP
    rise = np.diff(value)
    return np.stack(
        [value[:-1], slope[:-1], 3 * rise - 2 * slope[:-1] - slope[1:], slope[:-1] + slope[1:] - 2 * rise], axis=1
    )


@compiled
def start_row(allowed, everywhere, row, is_open):
    """Fill is_open (K,) and return how many arms may be chosen."""
    count = 0
    for arm in range(is_open.size):
        is_open[arm] = everywhere or allowed[row, arm]
        count += is_open[arm]
    return count


@compiled
def lowest_arm(mean, width, is_open):
    """Return the arm that says where the highest can lie at the lowest, and the greatest width; ties by position."""
    first, low, widest = -1, -np.inf, 0.0
    for arm in range(mean.size):  # two loops: in one, each maximum waits for the other
        if is_open[arm]:
            spread = np.float64(width[arm])
            if spread > widest:
                widest = spread
    for arm in range(mean.size):
        if is_open[arm]:
            edge = np.float64(mean[arm]) - FAR * np.float64(width[arm])
            if edge > low:
                first, low = arm, edge
    return first, widest


@compiled
def rivals_of(mean, width, is_open, index, centre, spread):
    """Fill index, centre, spread (K,) with the arms that may be the highest, the narrowest at 0 and the widest 1 wide.

    Returns (how many, the lowest and the highest place of the highest, the width of the narrowest). Of arms without
    width only the best counts, the first of equal ones, and it is a very narrow one.
    """
    first, widest = lowest_arm(mean, width, is_open)
    n = 0
    if first < 0:
        return n, 0.0, 0.0, 1.0
    if not widest > 0.0:
        index[0], centre[0], spread[0] = first, 0.0, 1.0
        return 1, -FAR, FAR, 1.0
    scale = 1.0 / max(widest, TINY)
    origin, edge = np.float64(mean[first]), FAR * (np.float64(width[first]) * scale)
    narrow, place, sure = np.inf, 0.0, -1
    for arm in range(mean.size):
        if not is_open[arm]:
            continue
        c, w = (np.float64(mean[arm]) - origin) * scale, np.float64(width[arm]) * scale
        if c + FAR * w < -edge:
            continue
        if w < SURE:
            if sure < 0 or c > centre[sure]:
                if sure < 0:
                    sure = n
                    n += 1
                index[sure], centre[sure], spread[sure] = arm, c, 0.0
            continue
        if w < narrow:
            narrow, place = w, np.float64(mean[arm])
        index[n], centre[n], spread[n] = arm, c, w
        n += 1
    if sure >= 0:
        narrow = POINT * min(narrow, 1.0)
        place, spread[sure] = np.float64(mean[index[sure]]), narrow
    low, high = -np.inf, -np.inf
    for at in range(n):
        c, reach = (np.float64(mean[index[at]]) - place) * scale, FAR * spread[at]
        centre[at] = c
        if c - reach > low:
            low = c - reach
        if c + reach > high:
            high = c + reach
    shift = max(low, 0.0)
    for at in range(n):
        centre[at] -= shift
    return n, low - shift, high - shift, narrow


@compiled
def step_for(n):
    """Return the step in v: the highest of n is about 1 / sqrt(2 log n) times as wide as each."""
    return FINE / (BEND * math.sqrt(1.0 + 2.0 * math.log(max(n, 1))))


@compiled
def log_phi(t, logs):
    """Return log Phi(t), of t clipped to [-8, 8]."""
    x = min(max(t + REACH, 0.0) * 64.0, 1023.9999)
    cell = np.int32(x)
    u = x - cell
    return logs[cell, 0] + u * (logs[cell, 1] + u * (logs[cell, 2] + u * logs[cell, 3]))


@compiled
def log_below(s, centre, inverse, n, logs):
    """Return sum_r log Phi((s - centre_r) * inverse_r) over n rivals: the log probability that all lie below s."""
    even, odd = 0.0, 0.0  # two sums: neither waits for the other
    for at in range(n):
        value = log_phi((s - centre[at]) * inverse[at], logs)
        if at & 1:
            odd += value
        else:
            even += value
    return even + odd


@compiled
def chance_of(mean, width, is_open, chosen, logs, crowd):
    """Return the probability that independent N(mean, width^2) have their highest at `chosen`, among the open.

    From the top down, until all that is left lies below exp(-30); among hundreds alike by way of a few nodes.
    """
    index, centre, spread = np.empty(mean.size, np.int64), np.empty(mean.size), np.empty(mean.size)
    n, low, high, narrow = rivals_of(mean, width, is_open, index, centre, spread)
    own = -1
    for at in range(n):
        if index[at] == chosen:
            own = at
    if own < 0:
        return 0.0
    if n == 1:
        return 1.0
    step = step_for(n)
    c, inverse_w = centre[own], 1.0 / spread[own]
    n -= 1
    centre[own], spread[own] = centre[n], spread[n]
    if n >= CROWD:
        found = chance_in_crowd(centre, spread, n, c, 1.0 / inverse_w, low, crowd)
        if found >= 0.0:
            return found
    for at in range(n):
        spread[at] = 1.0 / spread[at]
    b = 0.5 * BEND * narrow
    grow = math.exp(math.asinh(min(high, c + FAR / inverse_w) / (2.0 * b)))
    shrink, total = math.exp(-step), 0.0
    while True:
        s = b * (grow - 1.0 / grow)
        t = (s - c) * inverse_w
        if s < low or t < -REACH:
            break
        below = log_below(s, centre, spread, n, logs)
        if below < NEGLIGIBLE:
            break
        total += math.exp(below - 0.5 * t * t) * (grow + 1.0 / grow)
        grow *= shrink
    return min(1.0, total * step * b * inverse_w * 0.3989422804014327)


@compiled
def chances(mean, width, allowed, everywhere, logs, out) -> None:
    """Fill out (m, K) with the probability of each arm to be the highest.

    All arms on the same places, so the product over all is made once at each and every arm's own factor taken out.
    """
    m, n_arms = mean.shape
    is_open, index = np.empty(n_arms, np.bool_), np.empty(n_arms, np.int64)
    centre, spread, own = np.empty(n_arms), np.empty(n_arms), np.empty(n_arms)
    for row in range(m):
        out[row] = 0.0
        start_row(allowed, everywhere, row, is_open)
        n, low, high, narrow = rivals_of(mean[row], width[row], is_open, index, centre, spread)
        if n == 1:
            out[row, index[0]] = 1.0
        if n < 2:
            continue
        for at in range(n):
            spread[at] = 1.0 / spread[at]
        step, b = step_for(n), 0.5 * BEND * narrow
        grow, shrink = math.exp(math.asinh(high / (2.0 * b))), math.exp(-step)
        while True:
            s, below = b * (grow - 1.0 / grow), 0.0
            for at in range(n):
                own[at] = log_phi((s - centre[at]) * spread[at], logs)
                below += own[at]
            if s < low or below < NEGLIGIBLE:
                break
            wide = (grow + 1.0 / grow) * step * b * 0.3989422804014327
            for at in range(n):
                t = (s - centre[at]) * spread[at]
                power = below - own[at] - 0.5 * t * t
                if power > NEGLIGIBLE and -REACH < t < REACH:
                    out[row, index[at]] += math.exp(power) * spread[at] * wide
            grow *= shrink


@compiled
def chances_of(mean, width, allowed, everywhere, chosen, floor, logs, crowd, out) -> None:
    """Fill out (m,) with the probability of the chosen arm of each row, the even share `floor` mixed in."""
    m, n_arms = mean.shape
    is_open = np.empty(n_arms, np.bool_)
    for row in range(m):
        n_open = start_row(allowed, everywhere, row, is_open)
        if n_open == 0:
            out[row] = 0.0
        else:
            p = chance_of(mean[row], width[row], is_open, chosen[row], logs, crowd)
            out[row] = (1.0 - floor) * p + floor / n_open
