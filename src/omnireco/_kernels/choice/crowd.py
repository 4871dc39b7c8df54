"""The compiled integral of the highest where it is one of hundreds, and none is much narrower than the one that is asked.

The log probability that all rivals lie below s, G(s), is then so smooth in s that log(-G) is a polynomial of low degree:
it is summed over the rivals at a dozen Chebyshev places instead of at each place of the quadrature. What the two highest
coefficients change in the answer says how far it may be off, and where that is too much the caller takes the long way.
"""

# mypy: ignore-errors
# Types are numba's to find.
from __future__ import annotations

import math

import numpy as np

from omnireco._core.compute import compiled

__all__ = ["CROWD", "chance_in_crowd", "crowd_table"]

CROWD = 128  # rivals from which it pays
NODES, PLACES = 11, 40  # where G is summed, and where the integral is
EDGE, ABOVE = 5.5, 1.8989562465887718e-08  # standard deviations above which all rivals count as below; the tail there
DARK, FADED = -25.0, -18.0  # log of what is left out below: aimed at, and what may come out
SLIM = 0.25  # the narrowest rival, in widths of the one asked
DOUBT = 1e-8  # what the two highest coefficients may change in the probability
SAMPLE = 64  # rivals that say where the integral begins
LAST_CELL, NO_RIVAL = 1023.9999, 992.0  # of the table of log Phi; from 7.5 standard deviations on nobody is a rival


def crowd_table() -> np.ndarray:
    """Return T (2 + NODES, 2 PLACES): places and weights of Gauss and Legendre, then what each node adds to them.

    Row 0 is places, and nodes behind them; row 1 weights. The first PLACES columns of the others interpolate through
    all nodes, the rest with the two highest coefficients left out.
    """
    nodes = np.cos(np.pi * np.arange(NODES) / (NODES - 1))
    place, weight = np.polynomial.legendre.leggauss(PLACES)
    to_powers = np.linalg.inv(np.polynomial.chebyshev.chebvander(nodes, NODES - 1))
    at_places = np.polynomial.chebyshev.chebvander(place, NODES - 1)
    table = np.zeros((2 + NODES, 2 * PLACES))
    table[0, :PLACES], table[0, PLACES : PLACES + NODES] = place, nodes
    table[1, :PLACES] = weight
    table[2:, :PLACES] = (at_places @ to_powers).T
    table[2:, PLACES:] = (at_places[:, :-2] @ to_powers[:-2]).T
    return table


@compiled
def log_phi(t, logs):
    """Return log Phi(t), of t clipped to [-8, 8]."""
    x = min(max(t + 8.0, 0.0) * 64.0, LAST_CELL)
    cell = np.int32(x)
    u = x - cell
    return logs[cell, 0] + u * (logs[cell, 1] + u * (logs[cell, 2] + u * logs[cell, 3]))


@compiled
def begins_at(low, high, c, w, centre, spread, n, logs):
    """Return the place below which nothing matters, by halving, as a sample of the rivals says."""
    stride = n // SAMPLE
    times = n / ((n + stride - 1) // stride)
    for _ in range(8):
        s, found = 0.5 * (low + high), 0.0
        for at in range(0, n, stride):
            found += log_phi((s - centre[at]) / spread[at], logs)
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
        k = 64.0 / spread[at]
        z = 512.0 - centre[at] * k
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
        cell = np.int32(x) & 1023  # the mask changes nothing and keeps the address free of a test for signs
        u = x - cell
        even += logs[cell, 0] + u * (logs[cell, 1] + u * (logs[cell, 2] + u * logs[cell, 3]))
        x = s * slope[at + 1] + start[at + 1]
        cell = np.int32(x) & 1023
        u = x - cell
        odd += logs[cell, 0] + u * (logs[cell, 1] + u * (logs[cell, 2] + u * logs[cell, 3]))
    if front & 1:
        even += log_phi((s * slope[front - 1] + start[front - 1]) / 64.0 - 8.0, logs)
    for at in range(back, n):
        odd += log_phi((s * slope[at] + start[at]) / 64.0 - 8.0, logs)
    return even + odd


@compiled
def chance_in_crowd(centre, spread, n, c, w, low, logs, crowd):
    """Return the probability that N(c, w^2) lies above all of n rivals, or -1 where that is too uneven for so few nodes.

    `low` is the lowest place at which the highest can be.
    """
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
    power, top = np.zeros(2 * PLACES), 0.0
    for node in range(NODES):
        s = middle + half * crowd[0, PLACES + node]
        below = all_below(s, slope, start, front, back, n, logs)
        if node == 0:
            top = below
        if node == NODES - 1 and low > edge:
            t = (s - c) / w
            if below - 0.5 * t * t > FADED:
                return -1.0
        y = math.log(max(-below, 1e-300))
        for at in range(2 * PLACES):
            power[at] += y * crowd[2 + node, at]
    found, rough = 0.0, 0.0
    for at in range(PLACES):
        t = (middle + half * crowd[0, at] - c) / w
        found += crowd[1, at] * math.exp(-math.exp(power[at]) - 0.5 * t * t)
        rough += crowd[1, at] * math.exp(-math.exp(power[PLACES + at]) - 0.5 * t * t)
    scale = half / w * 0.3989422804014327
    if not abs(found - rough) * scale <= DOUBT:
        return -1.0
    return min(1.0, found * scale + ABOVE * math.exp(top))
