"""The compiled steps of curves, one person after another: rows that stay in the L1 cache.

`curves` says the same for blocks of people in numpy, and is what these are compared with. Plain functions of arrays,
for a compiler takes its time over each loop and each level of calls; exponentials and logarithms are left to numpy.
"""

# mypy: ignore-errors
from __future__ import annotations

import math

import numpy as np

from omnireco._core.compute import compiled
from omnireco._kernels.week.pooling import EVIDENCE

__all__ = ["mixed", "pooled", "swept"]


@compiled
def pooled(
    person,
    trust,
    group,
    indptr,
    hour,
    weight,
    log_phi,
    log_pi,
    start,
    phi,
    theta,
    wide,
    near,
    by_day,
    day_share,
    strengths,
    first,
    last,
    member,
    out,
):
    """Fill rows first..last of ``member`` (n, G) with segments and of ``out`` (n, 168) with profiles.

    ``group`` (n,) is that of each person; for the tables see `curves.Tables`.
    """
    n_segments, reach = log_phi.shape[1], near.size // 2
    k_segment, k_part, k_day, k_hour = strengths[0], strengths[1], strengths[2], strengths[3]
    part, hours, day, at_this = np.empty(168), np.empty(168 + 2 * 84), np.empty(24), np.empty(24)
    for row in range(first, last):
        who = max(person[row], 0)
        a, b = indptr[who], indptr[who + 1]
        if person[row] < 0 or trust[row] < 0.0:
            b = a
        p, m = out[row], member[row]
        begun = start[group[row]]
        m[:] = 0.0
        part[:] = 0.0
        hours[:] = 0.0
        day[:] = 0.0
        at_this[:] = 0.0
        n = 0.0
        for k in range(a, b):
            h, w = np.int64(hour[k]), np.float64(weight[k])
            n += w
            at_this[h % 24] += w
            for g in range(n_segments):
                m[g] += w * log_phi[h, g]
            for i in range(near.size):
                hours[84 + h - reach + i] += w * near[i]
        for k in range(a, b - 1, 2):  # two at a time: sums are written to memory half as often
            w0, w1 = np.float64(weight[k]), np.float64(weight[k + 1])
            wide0, wide1 = wide[hour[k]], wide[hour[k + 1]]
            for i in range(168):
                part[i] += w0 * wide0[i] + w1 * wide1[i]
        if (b - a) % 2:
            w0, wide0 = np.float64(weight[b - 1]), wide[hour[b - 1]]
            for i in range(168):
                part[i] += w0 * wide0[i]
        for h in range(24):
            if at_this[h] > 0.0:
                for i in range(24):
                    day[i] += at_this[h] * by_day[h, i]
        most = -np.inf
        for g in range(n_segments):
            m[g] = m[g] * (EVIDENCE / (EVIDENCE + n)) + log_pi[group[row], g]
            most = max(most, m[g])
        total = 0.0
        for g in range(n_segments):
            m[g] = math.exp(m[g] - most)
            total += m[g]
        p[:] = 0.0
        for g in range(n_segments):
            m[g] /= total
            for i in range(168):
                p[i] += m[g] * phi[g, i]
        share = n / (k_segment + n) if n > 0.0 else 0.0
        for i in range(168):
            p[i] = share * p[i] + (1.0 - share) * begun[i]
        if n > 0.0:
            x, y, z = n / (k_part + n), n / (k_day + n), n / (k_hour + n)
            for i in range(84):  # what reached over the ends of the week
                hours[168 + i] += hours[i]
                hours[84 + i] += hours[252 + i]
            total = 0.0
            for d in range(0, 168, 24):
                for i in range(d, d + 24):
                    p[i] = (1.0 - x) * p[i] + x / n * part[i] * theta[i]
                    p[i] = (1.0 - y) * p[i] + y / n * day[i - d] * day_share[i]
                    p[i] = (1.0 - z) * p[i] + z / n * hours[84 + i]
            for i in range(168):
                total += p[i]
            own = trust[row] / total
            for i in range(168):
                p[i] = own * p[i] + (1.0 - trust[row]) * begun[i]


@compiled
def mixed(share, weeks, out):
    """Fill ``out`` (n, H) with ``share @ weeks`` of shapes (n, K) and (K, H), row by row."""
    for row in range(share.shape[0]):
        x = out[row]
        x[:] = 0.0
        for k in range(share.shape[1]):
            if share[row, k] != 0.0:
                for i in range(weeks.shape[1]):
                    x[i] += share[row, k] * weeks[k, i]


@compiled
def swept(x, rho, out):
    """Fill ``out`` (n, 168) with F_h = x_h + (1 - x_h) rho F_{h+1} on the circle.

    Each step waits for the one before, so the seven days are swept side by side; see `curves`.
    """
    q, sums, products = np.empty(168), np.empty(8), np.empty(8)
    for row in range(x.shape[0]):
        sums[:] = 0.0
        products[:] = 1.0
        for i in range(168):
            q[i] = (1.0 - x[row, i]) * rho
        for i in range(23, -1, -1):
            for d in range(7):
                sums[d] = x[row, 24 * d + i] + q[24 * d + i] * sums[d]
                products[d] *= q[24 * d + i]
        total, product = 0.0, 1.0
        for d in range(6, -1, -1):
            total = sums[d] + products[d] * total
            product *= products[d]
        sums[7] = total / (1.0 - product)  # the value at Monday 00:00 closes the circle
        for d in range(6, -1, -1):
            sums[d] += products[d] * sums[d + 1]
        for i in range(23, -1, -1):
            for d in range(7):
                sums[d + 1] = x[row, 24 * d + i] + q[24 * d + i] * sums[d + 1]
                out[row, 24 * d + i] = sums[d + 1]
