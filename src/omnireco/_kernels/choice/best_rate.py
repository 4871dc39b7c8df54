"""The integral behind ``p_best``: how probable it is that one of some independent Beta rates is the highest.

In log-odds y, where rates of one in a thousand are as easy as one half: P(i is the highest) = integral of f_i(y) times
the product of F_j(y) over the others, from the top down. Panels of Gauss and Legendre give the densities' own integrals
F on the way (the integral of the polynomial through the same points). A panel is as long as the sharpest density near
it allows, so one that is ten thousand times as sharp as another costs a dozen panels more.
"""

from __future__ import annotations

import numpy as np

from omnireco._core.compute import in_threads, row_blocks

__all__ = ["best_rates", "panel"]

_NODES = 10
_ROWS = 1_024  # whose panels fit the cache
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


def best_rates(
    a: np.ndarray, b: np.ndarray, allowed: np.ndarray, place: np.ndarray, weight: np.ndarray, inner: np.ndarray
) -> np.ndarray:
    """Return the probability of each allowed Beta(a, b), all (n, C), to be the highest of its row; 0 elsewhere.

    All rows of a block take their panels side by side; a row's numbers depend on itself alone.
    """
    out = np.where(allowed & (allowed.sum(axis=1, keepdims=True) == 1), 1.0, 0.0)
    several = np.flatnonzero(allowed.sum(axis=1) > 1)

    def work(start: int, stop: int) -> None:
        for block in row_blocks(stop - start, 1, most=_ROWS):
            rows = several[start:stop][block]
            out[rows] = _integrals(a[rows], b[rows], allowed[rows], place, weight, inner)

    in_threads(work, several.size, least=_ROWS)
    return out


def _integrals(
    a: np.ndarray, b: np.ndarray, allowed: np.ndarray, place: np.ndarray, weight: np.ndarray, inner: np.ndarray
) -> np.ndarray:
    """Return what best_rates does, of rows with two arms or more."""
    from scipy.special import gammaln

    p, q = np.where(allowed, a, 1.0), np.where(allowed, b, 1.0)
    centre, scale = np.log((p + 1.0) / (q + 1.0)), np.sqrt(1.0 / (p + 1.0) + 1.0 / (q + 1.0))
    norm = gammaln(p + q) - gammaln(p) - gammaln(q)
    low = np.where(allowed, centre - FAR * scale - TAIL / p, np.inf).min(axis=1)
    top = np.where(allowed, centre + FAR * scale + TAIL / q, -np.inf).max(axis=1)
    core = np.where(allowed, CORE * scale, np.inf)
    above, found, open_rows = np.zeros(p.shape), np.zeros(p.shape), np.arange(len(p))
    while open_rows.size:
        at = open_rows
        t, used = top[at], allowed[at][:, :, None]
        length = np.maximum(core[at], APART * np.abs(t[:, None] - centre[at])).min(axis=1)
        length = np.maximum(np.minimum(length, t - low[at]), ROUND * (1.0 + np.abs(t)))
        y = (t - length)[:, None] + length[:, None] * place
        soft = np.maximum(y, 0.0) + np.log1p(np.exp(-np.abs(y)))
        power = norm[at][:, :, None] + p[at][:, :, None] * y[:, None] - (p + q)[at][:, :, None] * soft[:, None]
        density = np.where(used, np.exp(power), 0.0)
        part = np.zeros(density.shape)
        for m in range(place.size):  # in one order for every row, which a product of matrices would not promise
            part += inner[:, m] * density[:, :, m, None]
        part *= -length[:, None, None]
        part += 1.0 - above[at][:, :, None]
        below = np.where(used, np.maximum(part, LEAST), 1.0)
        product = length[:, None] * weight * below.prod(axis=1)
        found[at] += (product[:, None] / below * density).sum(axis=2)
        above[at] += (length[:, None, None] * weight * density).sum(axis=2)
        top[at] = t - length
        open_rows = at[top[at] > low[at]]
    return np.where(allowed, found, 0.0)
