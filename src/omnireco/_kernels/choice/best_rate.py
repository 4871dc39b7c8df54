"""The compiled integral behind ``p_best``: how probable it is that one of some independent Beta rates is the highest.

In log-odds y, where rates of one in a thousand are as easy as one half: P(i is the highest) = integral of f_i(y) times
the product of F_j(y) over the others, from the top down. Panels of Gauss and Legendre give the densities' own integrals
F on the way (the integral of the polynomial through the same points). A panel is as long as the sharpest density near
it allows, so one that is ten thousand times as sharp as another costs a dozen panels more.
"""

# mypy: ignore-errors
# Types are numba's to find.
from __future__ import annotations

import math

import numpy as np

from omnireco._core.compute import compiled

__all__ = ["best_rates", "panel"]

_NODES = 10
CORE = 2.5  # length of a panel in the middle of a density, in its widths
APART = 0.5  # length of a panel elsewhere, in distances to the next middle
FAR, TAIL = 8.0, 28.0  # widths, and powers of e, beyond which a density is nothing
LEAST, ROUND = 1e-300, 1e-12


def panel() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return places (10,) and weights (10,) on [0, 1], and the weights (10, 10) of integrals from each place to 1."""
    place, weight = np.polynomial.legendre.leggauss(_NODES)
    place, weight = (place + 1.0) / 2.0, weight / 2.0
    inner = np.empty((_NODES, _NODES))
    for at in range(_NODES):
        others = np.delete(place, at)
        basis = np.polynomial.Polynomial.fromroots(others) / np.prod(place[at] - others)
        whole = basis.integ()
        inner[:, at] = whole(1.0) - whole(place)
    return place, weight, inner


@compiled
def best_rates(a, b, allowed, place, weight, inner, out) -> None:
    """Fill out (n, C) with the probability of each allowed Beta(a, b) to be the highest of its row; 0 elsewhere."""
    n, width = a.shape
    size = place.size
    arm, centre, scale = np.empty(width, np.int64), np.empty(width), np.empty(width)
    above, norm = np.empty(width), np.empty(width)
    density, below = np.empty((width, size)), np.empty((width, size))
    for row in range(n):
        out[row] = 0.0
        low, high, count = -np.inf, -np.inf, 0
        for c in range(width):
            if allowed[row, c]:
                p, q = a[row, c], b[row, c]
                arm[count] = c
                centre[count] = math.log((p + 1.0) / (q + 1.0))
                scale[count] = math.sqrt(1.0 / (p + 1.0) + 1.0 / (q + 1.0))
                norm[count] = math.lgamma(p + q) - math.lgamma(p) - math.lgamma(q)
                above[count] = 0.0
                low = max(low, centre[count] - FAR * scale[count] - TAIL / p)
                high = max(high, centre[count] + FAR * scale[count] + TAIL / q)
                count += 1
        if count == 1:
            out[row, arm[0]] = 1.0
        if count < 2:
            continue
        top = high
        while top > low:
            length = top - low
            for j in range(count):
                length = min(length, max(CORE * scale[j], APART * abs(top - centre[j])))
            length = max(length, ROUND * (1.0 + abs(top)))
            for k in range(size):
                y = top - length + length * place[k]
                soft = max(y, 0.0) + math.log1p(math.exp(-abs(y)))
                for j in range(count):
                    p, q = a[row, arm[j]], b[row, arm[j]]
                    density[j, k] = math.exp(norm[j] + p * y - (p + q) * soft)
            for j in range(count):
                for k in range(size):
                    total = 0.0
                    for m in range(size):
                        total += inner[k, m] * density[j, m]
                    below[j, k] = max(1.0 - above[j] - length * total, LEAST)
            for k in range(size):
                product = length * weight[k]
                for j in range(count):
                    product *= below[j, k]
                for j in range(count):
                    out[row, arm[j]] += product / below[j, k] * density[j, k]
            for j in range(count):
                for k in range(size):
                    above[j] += length * weight[k] * density[j, k]
            top -= length
