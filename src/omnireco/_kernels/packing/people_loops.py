"""The compiled passes over people: each takes the best of their touches at given prices, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np

from omnireco._core.compute import compiled

__all__ = ["best_loop", "margin_loop", "reduced_loop"]


@compiled
def reduced_loop(a0: int, a1: int, value: Any, row: Any, weight: Any, price: Any, q: Any) -> None:
    """Write value less price of the touches a0 to a1 into ``q`` (from 0 on)."""
    ones = weight.shape[0] == 0
    for a in range(a0, a1):
        left = value[a]
        for k in range(row.shape[1]):
            if ones:
                left -= price[row[a, k]]
            else:
                left -= weight[a, k] * price[row[a, k]]
        q[a - a0] = left


@compiled
def best_loop(
    u0: int,
    u1: int,
    start: Any,
    value: Any,
    row: Any,
    weight: Any,
    cap: Any,
    price: Any,
    used: Any,
    bend: Any,
    band: float,
) -> float:
    """Return what the people u0 to u1 are worth at the prices; add what they use, and how use bends with prices.

    Of each person the best ``cap`` touches above 0 are taken. ``bend`` is the density of people about to change their
    mind: those whose last touch taken is less than ``band`` better than the best one left.
    """
    ones = weight.shape[0] == 0
    width = row.shape[1]
    dummy = price.size - 1
    bends = bend.shape[0] > 0
    most = 1
    for u in range(u0, u1):
        most = max(most, min(cap[u], start[u + 1] - start[u]))
    top = np.empty(most + 1, np.float64)
    who = np.empty(most + 1, np.int64)
    side = np.empty(2 * width, np.int64)
    size = np.empty(2 * width, np.float64)
    total = 0.0
    for u in range(u0, u1):
        a0, a1 = start[u], start[u + 1]
        m = min(cap[u], a1 - a0)
        n = 0
        next_q, next_a = -1e300, -1
        for a in range(a0, a1):
            q = value[a]
            for k in range(width):
                if ones:
                    q -= price[row[a, k]]
                else:
                    q -= weight[a, k] * price[row[a, k]]
            if q <= next_q:
                continue
            if q <= 0 or (n == m and (m == 0 or q <= top[m - 1])):
                next_q, next_a = q, a
                continue
            if n == m:
                next_q, next_a = top[m - 1], who[m - 1]
                at = m - 1
            else:
                at = n
                n += 1
            while at > 0 and top[at - 1] < q:
                top[at], who[at] = top[at - 1], who[at - 1]
                at -= 1
            top[at], who[at] = q, a
        for i in range(n):
            total += top[i]
            for k in range(width):
                used[row[who[i], k]] += 1.0 if ones else weight[who[i], k]
        if not bends or m == 0:
            continue
        if n == m and next_q > 0:
            gap = top[m - 1] - next_q
            if gap < band:
                for k in range(width):
                    side[k] = row[who[m - 1], k]
                    size[k] = 1.0 if ones else weight[who[m - 1], k]
                    side[width + k] = row[next_a, k]
                    size[width + k] = -1.0 if ones else -weight[next_a, k]
                for i in range(2 * width):
                    if side[i] != dummy:
                        for j in range(2 * width):
                            bend[side[i], side[j]] += size[i] * size[j] / band
            continue
        for i in range(n, -1, -1):
            if i == n:
                if n == m or next_a < 0:
                    continue
                q, a = next_q, next_a
            else:
                q, a = top[i], who[i]
            if q > band:
                break
            if q > -band:
                for k in range(width):
                    for j in range(width):
                        if ones:
                            bend[row[a, k], row[a, j]] += 0.5 / band
                        else:
                            bend[row[a, k], row[a, j]] += 0.5 * weight[a, k] * weight[a, j] / band
    return total


@compiled
def margin_loop(
    u0: int,
    u1: int,
    start: Any,
    value: Any,
    row: Any,
    weight: Any,
    cap: Any,
    price: Any,
    near: float,
    touch: Any,
    margin: Any,
    taken: Any,
) -> int:
    """Write the touches that the people u0 to u1 take or nearly take, and by how much; return how many.

    A touch taken is ahead of the best one left (or of none) by its margin; one left is behind the last one taken (or
    none), by less than ``near``. The order is that of the touches.
    """
    ones = weight.shape[0] == 0
    width = row.shape[1]
    most, longest = 1, 1
    for u in range(u0, u1):
        longest = max(longest, start[u + 1] - start[u])
        most = max(most, min(cap[u], start[u + 1] - start[u]))
    top = np.empty(most + 1, np.float64)
    left = np.empty(longest, np.float64)
    count = 0
    for u in range(u0, u1):
        a0, a1 = start[u], start[u + 1]
        m = min(cap[u], a1 - a0)
        if m == 0:
            continue
        n = 0
        after = 0.0
        for a in range(a0, a1):
            q = value[a]
            for k in range(width):
                if ones:
                    q -= price[row[a, k]]
                else:
                    q -= weight[a, k] * price[row[a, k]]
            left[a - a0] = q
            if q <= 0 or (n == m and q <= top[m - 1]):
                if q > after:
                    after = q
                continue
            if n == m:
                if top[m - 1] > after:
                    after = top[m - 1]
                at = m - 1
            else:
                at = n
                n += 1
            while at > 0 and top[at - 1] < q:
                top[at] = top[at - 1]
                at -= 1
            top[at] = q
        last = top[m - 1] if n == m else 0.0
        strict = 0
        for i in range(n):
            if top[i] > last:
                strict += 1
        equal = n - strict  # of those as good as the last one, so many are taken, the first
        for a in range(a0, a1):
            q = left[a - a0]
            takes = False
            if n < m:
                takes = q > 0
            elif q > last:
                takes = True
            elif q == last and equal > 0:
                takes = True
                equal -= 1
            if takes:
                touch[count], margin[count], taken[count] = a, q - after, True
                count += 1
            elif q - last > -near:
                touch[count], margin[count], taken[count] = a, q - last, False
                count += 1
    return count
