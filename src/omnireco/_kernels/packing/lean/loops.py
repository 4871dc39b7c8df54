"""The compiled passes of large problems without a matrix; each goes over touches once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from omnireco._core.compute import compiled

__all__ = [
    "count_loop",
    "explain_loop",
    "gather_loop",
    "group_loop",
    "hash_loop",
    "mark_loop",
    "person_price_loop",
    "place_loop",
    "row_hash_loop",
    "spread",
]

_STEP, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_U27, _U30, _U31, _U40 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(40)
_FEW = 64  # touches of a person that are put in order by insertion
_ROUNDING = 1e-9  # by how much of itself a limit may be passed


@compiled
def count_loop(touch: Any, weight: Any, used: Any) -> int:
    """Return the most places that a touch will need."""
    most = 1
    for e in range(touch.size):
        if weight[e] != 0.0:
            used[touch[e]] += 1
            most = max(most, used[touch[e]])
            if most > 100:
                break
    return most


@compiled
def place_loop(row: Any, touch: Any, weight: Any, first: int, used: Any, rows: Any, weights: Any) -> bool:
    """Write rows and weights into the places before ``used``; return whether no touch stands twice in a row."""
    ones = weights.shape[0] == 0
    for e in range(touch.size):
        if weight[e] == 0.0:
            continue
        a, r = touch[e], first + row[e]
        k = 0
        while rows[a, k] >= 0:
            if rows[a, k] == r:
                return False
            k += 1
        rows[a, k] = r
        if not ones:
            weights[a, k] = weight[e]
    return True


@compiled
def spread(z: Any) -> Any:
    z = z + _STEP
    z = (z ^ (z >> _U30)) * _FIRST
    z = (z ^ (z >> _U27)) * _SECOND
    return z ^ (z >> _U31)


@compiled
def _number(x: float) -> Any:
    """Return a number to 32 bits as a hash."""
    mantissa, exponent = math.frexp(x)
    return spread(np.uint64(np.int64(round(mantissa * 4294967296.0))) ^ (np.uint64(exponent + 2048) << _U40))


@compiled
def mark_loop(
    i0: int, i1: int, value: Any, user: Any, row: Any, weight: Any, cap: Any, limit: Any, useful: Any
) -> None:
    """Unmark touches that no plan has: without value, too big for a row, or of a person who may get none."""
    ones = weight.shape[0] == 0
    for i in range(i0, i1):
        good = useful[i] and value[i] > 0.0 and cap[user[i]] > 0
        for k in range(row.shape[1]):
            r = row[i, k]
            if r < 0:
                break
            w = 1.0 if ones else weight[i, k]
            if w > limit[r] * (1.0 + _ROUNDING):
                good = False
        useful[i] = good


@compiled
def row_hash_loop(i0: int, i1: int, share: float, value: Any, row: Any, weight: Any, useful: Any, out: Any) -> None:
    """Add to each row the hashes of its touches."""
    ones = weight.shape[0] == 0
    for i in range(i0, i1):
        if not useful[i]:
            continue
        own = _number(value[i] * share)
        for k in range(row.shape[1]):
            r = row[i, k]
            if r < 0:
                break
            out[r] += spread(own if ones else own ^ _number(weight[i, k]))


@compiled
def hash_loop(
    i0: int,
    i1: int,
    share: float,
    value: Any,
    user: Any,
    row: Any,
    weight: Any,
    useful: Any,
    known: Any,
    touch: Any,
    person: Any,
    count: Any,
) -> None:
    """Write the hash of each touch; add them to those of people, and count the touches of each."""
    ones = weight.shape[0] == 0
    for i in range(i0, i1):
        if not useful[i]:
            continue
        total = _number(value[i] * share)
        for k in range(row.shape[1]):
            r = row[i, k]
            if r < 0:
                break
            total += spread(known[r] if ones else known[r] ^ _number(weight[i, k]))
        touch[i] = spread(total)
        person[user[i]] += spread(touch[i])
        count[user[i]] += 1


@compiled
def group_loop(i0: int, i1: int, user: Any, useful: Any, place: Any, order: Any) -> None:
    """Write the touches of each person from their place on; ``place`` moves."""
    for i in range(i0, i1):
        if useful[i]:
            order[place[user[i]]] = i
            place[user[i]] += 1


@compiled
def gather_loop(
    u0: int,
    u1: int,
    start: Any,
    order: Any,
    hashes: Any,
    value: Any,
    scale: float,
    row: Any,
    weight: Any,
    rank: Any,
    none: int,
    out_value: Any,
    out_row: Any,
    out_weight: Any,
) -> None:
    """Put the touches of each person in order by hash, and write their values, rows and weights."""
    ones = weight.shape[0] == 0
    width = row.shape[1]
    key = np.empty(_FEW, np.uint64)
    for u in range(u0, u1):
        a0, n = start[u], start[u + 1] - start[u]
        if n <= _FEW:
            for i in range(n):
                a = order[a0 + i]
                h = hashes[a]
                at = i
                while at > 0 and key[at - 1] > h:
                    key[at] = key[at - 1]
                    order[a0 + at] = order[a0 + at - 1]
                    at -= 1
                key[at] = h
                order[a0 + at] = a
        else:
            mine = order[a0 : a0 + n].copy()
            long = np.empty(n, np.uint64)
            for i in range(n):
                long[i] = hashes[mine[i]]
            by = np.argsort(long, kind="mergesort")
            for i in range(n):
                order[a0 + i] = mine[by[i]]
        for i in range(a0, a0 + n):
            a = order[i]
            out_value[i] = value[a] * scale
            for k in range(width):
                r = row[a, k]
                out_row[i, k] = rank[r] if r >= 0 else none
                if not ones:
                    out_weight[i, k] = weight[a, k] if r >= 0 else 0.0


@compiled
def person_price_loop(
    u0: int, u1: int, start: Any, value: Any, row: Any, weight: Any, cap: Any, price: Any, out: Any
) -> None:
    """Write what one more touch is worth to each person whose cap binds: their best touch left at the prices."""
    ones = weight.shape[0] == 0
    most = 1
    for u in range(u0, u1):
        most = max(most, min(cap[u], start[u + 1] - start[u]) + 1)
    top = np.empty(most, np.float64)
    for u in range(u0, u1):
        n, m = 0, cap[u] + 1
        out[u] = 0.0
        if start[u + 1] - start[u] < m:
            continue
        for a in range(start[u], start[u + 1]):
            q = value[a]
            for k in range(row.shape[1]):
                q -= price[row[a, k]] if ones else weight[a, k] * price[row[a, k]]
            if q <= 0 or (n == m and q <= top[m - 1]):
                continue
            at = m - 1 if n == m else n
            n = min(n + 1, m)
            while at > 0 and top[at - 1] < q:
                top[at] = top[at - 1]
                at -= 1
            top[at] = q
        if n == m:
            out[u] = top[m - 1]


@compiled
def explain_loop(
    i0: int,
    i1: int,
    value: Any,
    user: Any,
    row: Any,
    weight: Any,
    price: Any,
    used: Any,
    limit: Any,
    owner: Any,
    cap_owner: Any,
    full: Any,
    person: Any,
    chosen: Any,
    reduced: Any,
    block: Any,
) -> None:
    """Write what each touch is worth less all prices, and the rule of the dearest full row of each one left out.

    ``full`` and ``person``, shape (caps, people), are where a person has all that a cap allows, and its price.
    """
    ones = weight.shape[0] == 0
    for i in range(i0, i1):
        left, dearest, rule = value[i], -1.0, -1
        for k in range(row.shape[1]):
            r = row[i, k]
            if r < 0:
                break
            w = 1.0 if ones else weight[i, k]
            paid = w * price[r]
            left -= paid
            if used[r] + w > limit[r] and paid > dearest:
                dearest, rule = paid, owner[r]
        for c in range(cap_owner.size):
            paid = person[c, user[i]]
            left -= paid
            if full[c, user[i]] and (paid > dearest or (paid == dearest and cap_owner[c] < rule)):
                dearest, rule = paid, cap_owner[c]
        reduced[i] = left
        block[i] = -1 if chosen[i] else rule
