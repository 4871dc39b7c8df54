"""The compiled half-sweep of ALS: one ridge regression per row, by a few steps of conjugate gradients.

The caller turns the coordinates so that the Gram matrix of the fixed side is diagonal. Then a step of conjugate
gradients costs two passes over the row's own cells and nothing else, and the inverse diagonal is a preconditioner
that makes two steps do the work of more. Sums stay in registers, and the rows that come next are fetched from memory
meanwhile. Each row is a function of its own cells only, in an order of summation that the code spells out:
blocks and threads change no byte.
"""

# mypy: ignore-errors
# Types are numba's to find: registers have none that mypy knows.
from __future__ import annotations

from typing import Any

import numpy as np

from omnireco._core.compute import compiled
from omnireco._core.simd import divide, fma, load, prefetch, spread, store, sums_of_8, total

__all__ = ["solve_rows"]

SOLVED = np.float32(1e-25)  # preconditioned squared residual below which a row is left as it is
ZERO, ONE = np.float32(0), np.float32(1)


@compiled
def add_cells(indices, weight, pull, first, last, fixed, d, v, signed, pulled, mask, c, out, ahead, until):
    """Add sum_k (pulled * pull_k + signed * weight_k (y_k . v)) y_k to out (d,), over the cells k = first..last.

    y_k is the row of fixed (m*d,) that indices[k] names; mask (32,) is 16 ones and 16 zeros, c (16,) scratch, and
    weight and pull run on for 16 numbers after the last cell. Cells go by eight; a last group is filled up with a
    cell whose coefficient is 0. Meanwhile the rows of cells `ahead`..`until`, which come next, are fetched
    from memory; returns how far that came.
    """
    end = last - 1
    for k in range(first, last, 8):
        p0, p1 = np.int64(indices[k]) * d, np.int64(indices[min(k + 1, end)]) * d
        p2, p3 = np.int64(indices[min(k + 2, end)]) * d, np.int64(indices[min(k + 3, end)]) * d
        p4, p5 = np.int64(indices[min(k + 4, end)]) * d, np.int64(indices[min(k + 5, end)]) * d
        p6, p7 = np.int64(indices[min(k + 6, end)]) * d, np.int64(indices[min(k + 7, end)]) * d
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = spread(ZERO)
        for f in range(0, d, 16):
            part = load(v, f)
            s0, s1 = fma(part, load(fixed, p0 + f), s0), fma(part, load(fixed, p1 + f), s1)
            s2, s3 = fma(part, load(fixed, p2 + f), s2), fma(part, load(fixed, p3 + f), s3)
            s4, s5 = fma(part, load(fixed, p4 + f), s4), fma(part, load(fixed, p5 + f), s5)
            s6, s7 = fma(part, load(fixed, p6 + f), s6), fma(part, load(fixed, p7 + f), s7)
        s0 = fma(load(weight, k), sums_of_8(s0, s1, s2, s3, s4, s5, s6, s7), spread(ZERO))
        s0 = fma(spread(signed), s0, fma(spread(pulled), load(pull, k), spread(ZERO)))
        store(c, 0, fma(s0, load(mask, 16 - min(last - k, 8)), spread(ZERO)))
        c0, c1, c2, c3 = spread(c[0]), spread(c[1]), spread(c[2]), spread(c[3])
        c4, c5, c6, c7 = spread(c[4]), spread(c[5]), spread(c[6]), spread(c[7])
        for f in range(0, d, 16):
            even, odd = fma(c0, load(fixed, p0 + f), load(out, f)), fma(c1, load(fixed, p1 + f), spread(ZERO))
            even, odd = fma(c2, load(fixed, p2 + f), even), fma(c3, load(fixed, p3 + f), odd)
            even, odd = fma(c4, load(fixed, p4 + f), even), fma(c5, load(fixed, p5 + f), odd)
            even, odd = fma(c6, load(fixed, p6 + f), even), fma(c7, load(fixed, p7 + f), odd)
            store(out, f, fma(even, spread(ONE), odd))
        for _ in range(3):
            if ahead < until:
                row = np.int64(indices[ahead]) * d
                for f in range(0, d, 16):
                    prefetch(fixed, row + f)
                ahead += 1
    return ahead


def _solve_rows(indptr, indices, weight, pull, fixed, gram, ridge, d, start, stop, steps, scratch, out):
    """Improve rows start..stop of out (n*d,) by conjugate gradients from where they are.

    Row u minimises sum_f (gram_f + ridge_u) x_f^2 + sum_k weight_k (y_k . x)^2 - 2 pull_k (y_k . x) over its cells k,
    with y the rows of fixed (m*d,) that indices name, and gram (d,). scratch (5*d + 48,) is aligned to 64 bytes.
    """
    r, p, q = scratch[:d], scratch[d : 2 * d], scratch[2 * d : 3 * d]
    x, base = scratch[3 * d : 4 * d], scratch[4 * d : 5 * d]
    c, mask = scratch[5 * d : 5 * d + 16], scratch[5 * d + 16 : 5 * d + 48]
    mask[:16], mask[16:] = ONE, ZERO
    zero, one, minus = spread(ZERO), spread(ONE), spread(-ONE)
    for u in range(start, stop):
        first, last, at = indptr[u], indptr[u + 1], u * d
        if first == last:
            out[at : at + d] = ZERO
            continue
        ahead, until, own = last, indptr[min(u + 2, stop)], spread(ridge[u])
        for f in range(0, d, 16):  # r = b - A x
            diagonal = fma(own, one, load(gram, f))
            now = load(out, at + f)
            store(base, f, diagonal)
            store(x, f, now)
            store(r, f, fma(fma(minus, diagonal, zero), now, zero))
        ahead = add_cells(indices, weight, pull, first, last, fixed, d, x, -ONE, ONE, mask, c, r, ahead, until)
        part = zero
        for f in range(0, d, 16):  # p = r / diagonal
            residual = load(r, f)
            scaled = divide(residual, load(base, f))
            store(p, f, scaled)
            part = fma(residual, scaled, part)
        size = total(part)
        for _ in range(steps):
            if not size > SOLVED:
                break
            for f in range(0, d, 16):  # q = A p
                store(q, f, fma(load(base, f), load(p, f), zero))
            ahead = add_cells(indices, weight, pull, first, last, fixed, d, p, ONE, ZERO, mask, c, q, ahead, until)
            part = zero
            for f in range(0, d, 16):
                part = fma(load(p, f), load(q, f), part)
            step = size / total(part)
            forth, back, part = spread(step), spread(-step), zero
            for f in range(0, d, 16):
                store(x, f, fma(forth, load(p, f), load(x, f)))
                residual = fma(back, load(q, f), load(r, f))
                scaled = divide(residual, load(base, f))
                store(r, f, residual)
                store(q, f, scaled)
                part = fma(residual, scaled, part)
            new = total(part)
            turn = spread(new / size)
            for f in range(0, d, 16):
                store(p, f, fma(turn, load(p, f), load(q, f)))
            size = new
        for f in range(0, d, 16):
            store(out, at + f, load(x, f))


solve_rows: Any = compiled(_solve_rows)
