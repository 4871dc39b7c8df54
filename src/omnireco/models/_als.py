"""The compiled half-sweep of ALS: one ridge regression per row, by a few steps of conjugate gradients.

What makes it fast: each row's cells are gathered once into a contiguous buffer, which stays in the cache for the
four passes that follow (the residual and three steps); sums stay in registers; and four rows walk in lockstep
through the Gram matrix, so that it is read once for four. Each row is a function of its own cells only, in an
order of summation that the code spells out: groups, blocks and threads change no byte.
"""

from __future__ import annotations

import numpy as np

from omnireco._compute import compiled
from omnireco._simd import fma, load, prefetch, spread, store, sums_of_8, total

__all__ = ["PAD", "solve_rows"]

PAD = 32  # factors are padded with zeros to a multiple of this: two registers
STEPS = 3
HELD = 8_192  # cells held at once: longer rows are gathered again in every pass
SOLVED = 1e-20  # squared residual below which a row is left as it is
ZERO, ONE = np.float32(0), np.float32(1)


@compiled
def add_cells(indices, weight, pull, first, last, fixed, d, v, j, signed, pulled, c, out, ahead, until):  # type: ignore[no-untyped-def]
    """Add sum_k (pulled * pull_k + signed * weight_k (y_k . v_j)) y_k to row j of out (4*d,), k = first..last.

    y_k is the row of fixed (m*d,) that indices[k] names; v (4*d,), and c (16,) is scratch. Cells go by eight; a
    last group is filled up with a cell whose coefficient is 0. Meanwhile the rows of cells `ahead`..`until`, which
    come next, are fetched from memory, two per group; returns how far that came.
    """
    end = last - 1
    for k in range(first, last, 8):
        p0, p1 = np.int64(indices[k]) * d, np.int64(indices[min(k + 1, end)]) * d
        p2, p3 = np.int64(indices[min(k + 2, end)]) * d, np.int64(indices[min(k + 3, end)]) * d
        p4, p5 = np.int64(indices[min(k + 4, end)]) * d, np.int64(indices[min(k + 5, end)]) * d
        p6, p7 = np.int64(indices[min(k + 6, end)]) * d, np.int64(indices[min(k + 7, end)]) * d
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = spread(ZERO)
        for f in range(0, d, 16):
            part = load(v, j * d + f)
            s0, s1 = fma(part, load(fixed, p0 + f), s0), fma(part, load(fixed, p1 + f), s1)
            s2, s3 = fma(part, load(fixed, p2 + f), s2), fma(part, load(fixed, p3 + f), s3)
            s4, s5 = fma(part, load(fixed, p4 + f), s4), fma(part, load(fixed, p5 + f), s5)
            s6, s7 = fma(part, load(fixed, p6 + f), s6), fma(part, load(fixed, p7 + f), s7)
        store(c, 0, sums_of_8(s0, s1, s2, s3, s4, s5, s6, s7))
        for r in range(8):
            c[r] = pulled * pull[k + r] + signed * (weight[k + r] * c[r]) if k + r < last else ZERO
        c0, c1, c2, c3 = spread(c[0]), spread(c[1]), spread(c[2]), spread(c[3])
        c4, c5, c6, c7 = spread(c[4]), spread(c[5]), spread(c[6]), spread(c[7])
        for f in range(0, d, 16):
            even, odd = fma(c0, load(fixed, p0 + f), load(out, j * d + f)), fma(c1, load(fixed, p1 + f), spread(ZERO))
            even, odd = fma(c2, load(fixed, p2 + f), even), fma(c3, load(fixed, p3 + f), odd)
            even, odd = fma(c4, load(fixed, p4 + f), even), fma(c5, load(fixed, p5 + f), odd)
            even, odd = fma(c6, load(fixed, p6 + f), even), fma(c7, load(fixed, p7 + f), odd)
            store(out, j * d + f, fma(even, spread(ONE), odd))
        for _ in range(2):
            if ahead < until:
                row = np.int64(indices[ahead]) * d
                for f in range(0, d, 16):
                    prefetch(fixed, row + f)
                ahead += 1
    return ahead


@compiled
def times_gram(gram, ridge, u, m, d, v, out):  # type: ignore[no-untyped-def]
    """Set the four rows of out (4*d,) to (gram + ridge_u I) v: gram (d*d,), v (4*d,); rows m..3 have no ridge."""
    r0 = ridge[u]
    r1, r2, r3 = (ridge[u + 1], ridge[u + 2], ridge[u + 3]) if m == 4 else (ZERO, ZERO, ZERO)
    for f in range(0, d, 32):
        g = f + 16
        a0, b0 = spread(r0), spread(r0)
        a0, b0 = fma(a0, load(v, f), spread(ZERO)), fma(b0, load(v, g), spread(ZERO))
        a1, b1 = fma(spread(r1), load(v, d + f), spread(ZERO)), fma(spread(r1), load(v, d + g), spread(ZERO))
        a2, b2 = fma(spread(r2), load(v, 2 * d + f), spread(ZERO)), fma(spread(r2), load(v, 2 * d + g), spread(ZERO))
        a3, b3 = fma(spread(r3), load(v, 3 * d + f), spread(ZERO)), fma(spread(r3), load(v, 3 * d + g), spread(ZERO))
        for i in range(d):
            a, b = load(gram, i * d + f), load(gram, i * d + g)
            x = spread(v[i])
            a0, b0 = fma(x, a, a0), fma(x, b, b0)
            x = spread(v[d + i])
            a1, b1 = fma(x, a, a1), fma(x, b, b1)
            x = spread(v[2 * d + i])
            a2, b2 = fma(x, a, a2), fma(x, b, b2)
            x = spread(v[3 * d + i])
            a3, b3 = fma(x, a, a3), fma(x, b, b3)
        store(out, f, a0)
        store(out, g, b0)
        store(out, d + f, a1)
        store(out, d + g, b1)
        store(out, 2 * d + f, a2)
        store(out, 2 * d + g, b2)
        store(out, 3 * d + f, a3)
        store(out, 3 * d + g, b3)


@compiled
def dot(a, b, at, d):  # type: ignore[no-untyped-def]
    """Return the inner product of a and b (4*d,) over the row at `at`."""
    even = odd = spread(ZERO)
    for f in range(at, at + d, 32):
        even, odd = fma(load(a, f), load(b, f), even), fma(load(a, f + 16), load(b, f + 16), odd)
    return total(fma(even, spread(ONE), odd))


@compiled
def add_scaled(a, x, z, at, out, to, d):  # type: ignore[no-untyped-def]
    """Set d numbers of out from `to` on to a * x + z, both from `at` on."""
    s = spread(a)
    for f in range(0, d, 16):
        store(out, to + f, fma(s, load(x, at + f), load(z, at + f)))


@compiled
def solve_rows(indptr, indices, weight, pull, fixed, gram, ridge, d, start, stop, scratch, out):  # type: ignore[no-untyped-def]
    """Improve rows start..stop of out (n*d,) by conjugate gradients from where they are.

    Row u minimises x' (gram + ridge_u I) x + sum_k weight_k (y_k . x)^2 - 2 pull_k (y_k . x) over its cells k, with
    y the rows of fixed (m*d,) that indices name, and gram (d*d,). scratch is (16*d + 16,) zeros.
    """
    x, r, p, q = scratch[: 4 * d], scratch[4 * d : 8 * d], scratch[8 * d : 12 * d], scratch[12 * d : 16 * d]
    c, rs = scratch[16 * d :], np.zeros(4, np.float32)
    for u in range(start, stop, 4):
        m = min(4, stop - u)
        ahead, until = indptr[u + m], indptr[min(u + m + 4, stop)]
        x[: m * d] = out[u * d : (u + m) * d]
        times_gram(gram, ridge, u, m, d, x, q)
        for j in range(m):
            first, last = indptr[u + j], indptr[u + j + 1]
            if first == last:
                x[j * d : j * d + d] = q[j * d : j * d + d] = ZERO
            for f in range(j * d, j * d + d):
                r[f] = -q[f]
            ahead = add_cells(indices, weight, pull, first, last, fixed, d, x, j, -ONE, ONE, c, r, ahead, until)
            rs[j] = dot(r, r, j * d, d)
        p[:] = r
        for _ in range(STEPS):
            times_gram(gram, ridge, u, m, d, p, q)
            for j in range(m):
                if rs[j] > SOLVED:
                    first, last = indptr[u + j], indptr[u + j + 1]
                    ahead = add_cells(indices, weight, pull, first, last, fixed, d, p, j, ONE, ZERO, c, q, ahead, until)
                    step = rs[j] / dot(p, q, j * d, d)
                    add_scaled(step, p, x, j * d, x, j * d, d)
                    add_scaled(-step, q, r, j * d, r, j * d, d)
                    new = dot(r, r, j * d, d)
                    add_scaled(new / rs[j], p, r, j * d, p, j * d, d)
                    rs[j] = new
        out[u * d : (u + m) * d] = x[: m * d]
