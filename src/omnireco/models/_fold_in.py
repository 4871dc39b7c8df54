"""The compiled fold-in: one exact ridge regression per row, by a Cholesky factorisation that stays in registers.

The normal equations of a row are A = gram + ridge I + sum_k weight_k y_k y_k'. Both halves of the work, adding the
cells' products and taking away those of the factor's earlier rows (A = U'U), are one thing: a block of 4 x 16
numbers held in 8 registers while k runs. All in float64, in an order that the code spells out: a row's answer is
a function of its own history.
"""

from __future__ import annotations

import numpy as np

from omnireco._compute import compiled
from omnireco._simd import fma, load, spread, store, total

__all__ = ["PAD", "fold_in_rows"]

PAD = 16  # columns of a block: two registers of float64
HELD = 64  # cells added at once


@compiled
def add_products(left, right, n, d, i, j, out):  # type: ignore[no-untyped-def]
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
def add_row(a, x, at, to, start, d, out):  # type: ignore[no-untyped-def]
    """Add a * x[at : at+d] to out[to : to+d], from column `start` (a multiple of 8) on."""
    scale = spread(a)
    for f in range(start, d, 8):
        store(out, to + f, fma(scale, load(x, at + f), load(out, to + f)))


@compiled
def factorize(u, minus, inverse, d):  # type: ignore[no-untyped-def]
    """Turn the upper triangle of u (d*d,) into U with U'U = u; minus becomes -U, inverse (d,) one over its diagonal.

    Four rows at a time: what earlier rows take away by blocks, then the four among themselves. Below the diagonal
    u keeps numbers of no meaning.
    """
    for i in range(0, d, 4):
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
def substitute(u, inverse, d, b, z):  # type: ignore[no-untyped-def]
    """Solve U'U x = b: u (d*d,) upper, b and z (d,), all float64; the answer replaces z, and b is used up."""
    for k in range(d):
        z[k] = b[k] * inverse[k]
        add_row(-z[k], u, k * d, 0, k // 8 * 8, d, b)
    for k in range(d):
        b[k] = 0.0
    for k in range(d - 1, -1, -1):
        part = spread(0.0)
        for f in range(k // 8 * 8, d, 8):
            part = fma(load(u, k * d + f), load(b, f), part)
        b[k] = (z[k] - total(part)) * inverse[k]
    z[:] = b


@compiled
def fold_in_rows(indptr, indices, weight, pull, factors, gram, ridge, start, stop, scratch, out):  # type: ignore[no-untyped-def]
    """Solve rows start..stop of out (n, w) float32 for factors (n_items, w) float32.

    gram (d*d,) float64 with w padded to d, a multiple of 16, by a unit diagonal; weight, pull (nnz,) and ridge (n,)
    float64; scratch (2*d*d + 2*64*d + 3*d,) float64, aligned to 64 bytes.
    """
    width, size = factors.shape[1], gram.size
    d = int(np.sqrt(size) + 0.5)
    a, minus = scratch[:size], scratch[size : 2 * size]
    y, wy = scratch[2 * size : 2 * size + HELD * d], scratch[2 * size + HELD * d : 2 * size + 2 * HELD * d]
    rest = scratch[2 * size + 2 * HELD * d :]
    b, z, inverse = rest[:d], rest[d : 2 * d], rest[2 * d : 3 * d]
    for f in range(2 * HELD * d):
        scratch[2 * size + f] = 0.0
    for u in range(start, stop):
        first, last = indptr[u], indptr[u + 1]
        if first == last:
            out[u] = np.float32(0)
            continue
        for f in range(0, size, 8):
            store(a, f, load(gram, f))
        for f in range(d):
            a[f * d + f] += ridge[u]
            b[f] = 0.0
        for begin in range(first, last, HELD):
            n = min(HELD, last - begin)
            for k in range(n):
                row, w = indices[begin + k], weight[begin + k]
                for f in range(width):
                    y[k * d + f] = np.float64(factors[row, f])
                scale, at = spread(w), k * d
                for f in range(0, d, 8):
                    store(wy, at + f, fma(scale, load(y, at + f), spread(0.0)))
                add_row(pull[begin + k], y, at, 0, 0, d, b)
            for i in range(0, d, 4):
                for j in range(i // 16 * 16, d, 16):
                    add_products(wy, y, n, d, i, j, a)
        factorize(a, minus, inverse, d)
        substitute(a, inverse, d, b, z)
        for f in range(width):
            out[u, f] = np.float32(z[f])
