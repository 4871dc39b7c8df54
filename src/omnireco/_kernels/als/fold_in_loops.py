"""The compiled fold-in: one exact ridge regression per row, by a Cholesky factorisation that stays in registers.

In coordinates where the Gram matrix is diagonal, the normal equations of a row are (D + Z'WZ) x = Z'b, with Z the
factors of its cells and D the diagonal plus the ridge. A long history solves them as they stand. A short one, of at
most half as many cells as factors, solves as many equations as it has cells: with S = W^1/2 Z D^-1/2 and b = W c,
x = D^-1/2 S' (I + SS')^-1 W^1/2 c, which is Woodbury's identity without its subtraction. The length alone decides.

Products and factorisation (A = U'U) are one thing: a block of 4 x 16 numbers held in 8 registers while k runs. All
in float64, in an order that the code spells out: a row's answer is a function of its own history.
"""

# mypy: ignore-errors
# Types are numba's to find: registers have none that mypy knows.
from __future__ import annotations

from typing import Any

import numpy as np

from omnireco._core.compute import compiled
from omnireco._core.simd import fma, load, load_wide, spread, store, sums_of_8, total

__all__ = ["PAD", "fold_in_rows"]

PAD = 16  # columns of a block: two registers of float64
HELD = 64  # cells of a long history that are added at once
ZERO = 0.0


@compiled
def add_products(left, right, n, d, i, j, out):
    """Add sum_k left[k, i : i+4]' right[k, j : j+16], k = 0..n-1, to that block of out; all (rows, d), flat."""
    o = i * d + j
    a0, b0 = load(out, o), load(out, o + 8)
    a1, b1 = load(out, o + d), load(out, o + d + 8)
    a2, b2 = load(out, o + 2 * d), load(out, o + 2 * d + 8)
    a3, b3 = load(out, o + 3 * d), load(out, o + 3 * d + 8)
    for k in range(n):
        at = k * d
        a, b = load(right, at + j), load(right, at + j + 8)
        x = spread(left[at + i])
        a0, b0 = fma(x, a, a0), fma(x, b, b0)
        x = spread(left[at + i + 1])
        a1, b1 = fma(x, a, a1), fma(x, b, b1)
        x = spread(left[at + i + 2])
        a2, b2 = fma(x, a, a2), fma(x, b, b2)
        x = spread(left[at + i + 3])
        a3, b3 = fma(x, a, a3), fma(x, b, b3)
    store(out, o, a0)
    store(out, o + 8, b0)
    store(out, o + d, a1)
    store(out, o + d + 8, b1)
    store(out, o + 2 * d, a2)
    store(out, o + 2 * d + 8, b2)
    store(out, o + 3 * d, a3)
    store(out, o + 3 * d + 8, b3)


@compiled
def add_row(a, x, at, to, start, d, out):
    """Add a * x[at : at+d] to out[to : to+d], from column `start` (a multiple of 8) on."""
    scale = spread(a)
    for f in range(start, d, 8):
        store(out, to + f, fma(scale, load(x, at + f), load(out, to + f)))


@compiled
def factorize(u, minus, inverse, n, d):
    """Turn the upper triangle of u (d*d,) into U with U'U = u; minus becomes -U, inverse (d,) one over its diagonal.

    Only the first n rows, rounded up to 4, are factorised. Four rows at a time: what earlier rows take away by
    blocks, then the four among themselves. Below the diagonal u keeps numbers of no meaning.
    """
    for i in range(0, n, 4):
        for j in range(i // 16 * 16, d, 16):
            add_products(minus, u, i, d, i, j, u)
        tile = i // 8 * 8
        for row in range(i, i + 4):
            for above in range(i, row):
                add_row(minus[above * d + row], u, above * d, row * d, tile, d, u)
            inverse[row] = 1.0 / np.sqrt(u[row * d + row])
            scale, zero = spread(inverse[row]), spread(0.0)
            for f in range(row * d + tile, row * d + d, 8):
                scaled = fma(scale, load(u, f), zero)
                store(u, f, scaled)
                store(minus, f, fma(spread(-1.0), scaled, zero))


@compiled
def substitute(u, inverse, n, d, b, z):
    """Solve U'U x = b for the first n of d: u (d*d,) upper, b and z (d,); the answer replaces b, 0 from n on."""
    for k in range(n):
        z[k] = b[k] * inverse[k]
        add_row(-z[k], u, k * d, 0, k // 8 * 8, d, b)
    for k in range(d):
        b[k] = 0.0
    for k in range(n - 1, -1, -1):
        part = spread(0.0)
        for f in range(k // 8 * 8, d, 8):
            part = fma(load(u, k * d + f), load(b, f), part)
        b[k] = (z[k] - total(part)) * inverse[k]


@compiled
def solve_long(indices, weight, pull, turned, diagonal, first, last, d, a, minus, y, wy, inverse, b, z):
    """Leave the solution for the cells first..last in b (d,): d equations. y, wy (64*d,), a, minus (d*d,) scratch."""
    for f in range(0, d * d, 8):
        store(a, f, spread(ZERO))
    for f in range(d):
        a[f * d + f] = diagonal[f]
        b[f] = ZERO
    for begin in range(first, last, HELD):
        n = min(HELD, last - begin)
        for k in range(n):
            row, w, p = np.int64(indices[begin + k]) * d, spread(weight[begin + k]), spread(pull[begin + k])
            for f in range(0, d, 8):
                one = load_wide(turned, row + f)
                store(y, k * d + f, one)
                store(wy, k * d + f, fma(w, one, spread(ZERO)))
                store(b, f, fma(p, one, load(b, f)))
        for i in range(0, d, 4):
            for j in range(i // 16 * 16, d, 16):
                add_products(wy, y, n, d, i, j, a)
    factorize(a, minus, inverse, d, d)
    substitute(a, inverse, d, d, b, z)


@compiled
def solve_short(indices, weight, pull, turned, root, first, last, d, a, minus, s, inverse, b, z):
    """Leave the solution for the cells first..last in b (d,): one equation per cell. root (d,) is D^-1/2."""
    n = last - first
    e = (n + 15) // 16 * 16
    for k in range(n):
        w = np.sqrt(weight[first + k])
        row, scale = np.int64(indices[first + k]) * d, spread(w)
        z[k] = pull[first + k] / w
        for f in range(0, d, 8):
            store(s, k * d + f, fma(fma(scale, load(root, f), spread(ZERO)), load_wide(turned, row + f), spread(ZERO)))
    for k in range(n, e):
        z[k] = ZERO
        for f in range(0, d, 8):
            store(s, k * d + f, spread(ZERO))
    for i in range(e):  # a = I + SS', from the diagonal's group of 8 on
        for j in range(i // 8 * 8, e, 8):
            s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = spread(ZERO)
            for f in range(0, d, 8):
                one, at = load(s, i * d + f), j * d + f
                s0, s1 = fma(one, load(s, at), s0), fma(one, load(s, at + d), s1)
                s2, s3 = fma(one, load(s, at + 2 * d), s2), fma(one, load(s, at + 3 * d), s3)
                s4, s5 = fma(one, load(s, at + 4 * d), s4), fma(one, load(s, at + 5 * d), s5)
                s6, s7 = fma(one, load(s, at + 6 * d), s6), fma(one, load(s, at + 7 * d), s7)
            store(a, i * e + j, sums_of_8(s0, s1, s2, s3, s4, s5, s6, s7))
        a[i * e + i] += 1.0
        if i // 8 * 8 > i // 16 * 16:
            store(a, i * e + i // 16 * 16, spread(ZERO))
    factorize(a, minus, inverse, n, e)
    for k in range(e):
        b[k] = z[k]
    substitute(a, inverse, n, e, b, z)
    for k in range(n):
        z[k] = b[k]
    for f in range(0, d, 8):
        store(b, f, spread(ZERO))
    for k in range(n):
        add_row(z[k], s, k * d, 0, 0, d, b)
    for f in range(0, d, 8):
        store(b, f, fma(load(root, f), load(b, f), spread(ZERO)))


def _fold_in_rows(indptr, indices, weight, pull, turned, spectrum, turn, ridge, width, start, stop, scratch, out):
    """Solve rows start..stop of out (n*width,) float32.

    turned (n_items*d,) float32, spectrum (d,) and turn (d*d,) float64: items, Gram matrix and the way back (row f
    holds factor f in the caller's coordinates), with d a multiple of 16; weight, pull (nnz,) and ridge (n,) float64.
    scratch (2*d*d + 128*d + 5*d,) float64, aligned to 64 bytes.
    """
    d, size = spectrum.size, turn.size
    a, minus = scratch[:size], scratch[size : 2 * size]
    y, wy = scratch[2 * size : 2 * size + HELD * d], scratch[2 * size + HELD * d : 2 * size + 2 * HELD * d]
    rest = scratch[2 * size + 2 * HELD * d :]
    b, z, inverse = rest[:d], rest[d : 2 * d], rest[2 * d : 3 * d]
    diagonal, root = rest[3 * d : 4 * d], rest[4 * d : 5 * d]
    for u in range(start, stop):
        first, last = indptr[u], indptr[u + 1]
        if first == last:
            out[u * width : (u + 1) * width] = np.float32(0)
            continue
        short = last - first <= d // 2
        for k in range(first, last):
            if weight[k] <= ZERO:  # no square root of it
                short = False
        for f in range(d):
            diagonal[f] = spectrum[f] + ridge[u]
            if short:
                root[f] = 1.0 / np.sqrt(diagonal[f])
        if short:
            solve_short(indices, weight, pull, turned, root, first, last, d, a, minus, y, inverse, b, z)
        else:
            solve_long(indices, weight, pull, turned, diagonal, first, last, d, a, minus, y, wy, inverse, b, z)
        for f in range(0, d, 8):
            store(z, f, spread(ZERO))
        for f in range(d):
            add_row(b[f], turn, f * d, 0, 0, d, z)
        for f in range(width):
            out[u * width + f] = np.float32(z[f])


fold_in_rows: Any = compiled(_fold_in_rows)
