"""The compiled integral of the highest where it is one of hundreds, none much narrower than the one that is asked.

The log probability that all rivals lie below s, G(s), is then so smooth that log(-G) is a polynomial of low degree:
it is summed over the rivals at a dozen Chebyshev nodes instead of at each place of the quadrature. The two highest
coefficients say how far the answer may be off, and where that is too much the caller takes the long way.
"""

# mypy: ignore-errors
# Types are numba's to find.
from __future__ import annotations

import math

import numpy as np

from omnireco._core.compute import compiled

__all__ = ["CROWD", "chance_in_crowd", "crowd_table", "parabolas"]

CROWD = 128  # rivals from which it pays
NODES, PLACES = 11, 32  # where G is summed, and where the integral is
EDGE, ABOVE = 5.5, 1.8989562465887718e-08  # standard deviations above which all rivals count as below; the tail there
DARK, FADED = -25.0, -18.0  # log of what is left out below: aimed at, and what may come out
SLIM = 0.25  # the narrowest rival, in widths of the one asked
DOUBT = 1e-8  # what the two highest coefficients may be worth in the probability
STEEPEST = 0.36787944117144233  # the most that exp(-exp(y)) moves where y does
SAMPLE = 32  # rivals that say where the integral begins
REACH, CELLS = 8.0, 128.0  # of the table of log Phi, and its cells a standard deviation
LAST_CELL, NO_RIVAL = 2047.9999, 1984.0  # from 7.5 standard deviations on nobody is a rival
MASK = np.uint64(2047)


def crowd_table() -> np.ndarray:
    """Return T (2 + NODES, PLACES + 3): what is fixed about nodes and places.

    Rows 0 and 1: places and weights of Gauss and Legendre. The others, one a node: what a value there adds to the
    polynomial at every place, and to its two highest coefficients, and the node itself.
    """
    nodes = np.cos(np.pi * np.arange(NODES) / (NODES - 1))
    place, weight = np.polynomial.legendre.leggauss(PLACES)
    to_powers = np.linalg.inv(np.polynomial.chebyshev.chebvander(nodes, NODES - 1))
    table = np.zeros((2 + NODES, PLACES + 3))
    table[0, :PLACES], table[1, :PLACES] = place, weight
    table[2:, :PLACES] = (np.polynomial.chebyshev.chebvander(place, NODES - 1) @ to_powers).T
    table[2:, PLACES : PLACES + 2], table[2:, PLACES + 2] = to_powers[-2:].T, nodes
    return table


def parabolas() -> np.ndarray:
    """Return T (2048, 3): log Phi on cells of 1/128 from -8 to 8, as parabolas in the place within the cell.

    Each through three Chebyshev places of its cell: the error is below 1e-9, and half of it is above, half below.
    """
    from scipy.special import log_ndtr

    inside = 0.5 - 0.5 * np.cos(np.pi * np.array([1.0, 3.0, 5.0]) / 6.0)
    first = np.arange(round(2 * REACH * CELLS))[:, None]
    values = log_ndtr((first + inside) / CELLS - REACH)
    return np.ascontiguousarray(values @ np.linalg.inv(inside[:, None] ** np.arange(3.0)).T)


@compiled
def in_cell(x, logs):
    """Return log Phi at x cells from the first, x clipped to the table."""
    x = min(max(x, 0.0), LAST_CELL)
    cell = np.int64(x)
    u = x - np.float64(cell)
    return logs[cell, 0] + u * (logs[cell, 1] + u * logs[cell, 2])


@compiled
def begins_at(low, high, c, w, centre, spread, n, logs):
    """Return the place below which nothing matters, by halving, as a sample of the rivals says."""
    stride = n // SAMPLE
    times = n / ((n + stride - 1) // stride)
    for _ in range(7):
        s, found = 0.5 * (low + high), 0.0
        for at in range(0, n, stride):
            found += in_cell(((s - centre[at]) / spread[at] + REACH) * CELLS, logs)
        t = (s - c) / w
        if found * times - 0.5 * t * t < DARK:
            low = s
        else:
            high = s
    return low


@compiled
def as_lines(low, high, centre, spread, n, slope, start):
    """Fill slope and start (n,): the cell of rival r at s is slope_r s + start_r.

    Those inside the table everywhere between low and high stand in front, those that must be clipped at the end, and
    those that are below for sure nowhere. Returns how many are in front and where the others begin.
    """
    front, back = 0, n
    for at in range(n):
        k = CELLS / spread[at]
        z = REACH * CELLS - centre[at] * k
        first, last = low * k + z, high * k + z
        if first >= NO_RIVAL:
            continue
        if first >= 1.0 and last < LAST_CELL - 1.0:
            slope[front], start[front] = k, z
            front += 1
        else:
            back -= 1
            slope[back], start[back] = k, z
    return front, back


@compiled
def all_below(s, slope, start, front, back, n, logs):
    """Return the log probability that all rivals lie below s."""
    even, odd = 0.0, 0.0  # two sums: neither waits for the other
    for at in range(0, front - 1, 2):
        x = s * slope[at] + start[at]
        cell = np.int64(x)
        u = x - np.float64(cell)
        spot = np.uint64(cell) & MASK  # changes nothing, and spares a test for negative places
        even += logs[spot, 0] + u * (logs[spot, 1] + u * logs[spot, 2])
        x = s * slope[at + 1] + start[at + 1]
        cell = np.int64(x)
        u = x - np.float64(cell)
        spot = np.uint64(cell) & MASK
        odd += logs[spot, 0] + u * (logs[spot, 1] + u * logs[spot, 2])
    if front & 1:
        even += in_cell(s * slope[front - 1] + start[front - 1], logs)
    for at in range(back, n):
        odd += in_cell(s * slope[at] + start[at], logs)
    return even + odd


@compiled
def chance_in_crowd(centre, spread, n, c, w, low, crowd):
    """Return the probability that N(c, w^2) is above all of n rivals, or -1 where that is too uneven for so few nodes.

    `low` is the lowest place at which the highest can be.
    """
    logs, fixed = crowd
    for at in range(n):
        if spread[at] < SLIM * w:
            return -1.0
    low, high = max(low, c - 7.0 * w), c + EDGE * w
    if low >= high:
        return -1.0
    edge = low
    low = begins_at(low, high, c, w, centre, spread, n, logs)
    slope, start = np.empty(n), np.empty(n)
    front, back = as_lines(low, high, centre, spread, n, slope, start)
    middle, half = 0.5 * (high + low), 0.5 * (high - low)
    power, top = np.zeros(PLACES + 2), 0.0
    for node in range(NODES):
        row = fixed[2 + node]
        s = middle + half * row[PLACES + 2]
        below = all_below(s, slope, start, front, back, n, logs)
        if node == 0:
            top = below
        if node == NODES - 1 and low > edge:
            t = (s - c) / w
            if below - 0.5 * t * t > FADED:
                return -1.0
        y = math.log(max(-below, 1e-300))
        for at in range(PLACES + 2):
            power[at] += y * row[at]
    found = 0.0
    for at in range(PLACES):
        t = (middle + half * fixed[0, at] - c) / w
        found += fixed[1, at] * math.exp(-math.exp(power[at]) - 0.5 * t * t)
    scale = half / w * 0.3989422804014327
    if not STEEPEST * (abs(power[PLACES]) + abs(power[PLACES + 1])) * found * scale <= DOUBT:
        return -1.0
    return min(1.0, found * scale + ABOVE * math.exp(top))
