"""The compiled passes that make rows of single people: windows of time, one per item, caps."""

from __future__ import annotations

from typing import Any

import numpy as np

from omnireco._core.compute import compiled
from omnireco._kernels.packing.lean.loops import spread

__all__ = ["explain_people_loop", "hash_people_loop", "rows_loop", "size_loop"]

_FEW = 64  # events of a person that are put in order by insertion
_TURNS = 3  # in which the rows of a person are priced


@compiled
def most_events(u0: int, u1: int, start: Any, user: Any, past: Any) -> int:
    """Return the most events that a rule meets in one of the people u0 to u1."""
    longest = 1
    for i in range(u0, u1):
        n = start[i + 1] - start[i]
        for r in range(past.shape[0]):
            longest = max(longest, n + past[r, user[i] + 1] - past[r, user[i]])
        longest = max(longest, n)
    return int(longest)


@compiled
def scratch(longest: int, n_rules: int) -> Any:
    """Return room for the rows of one person, as :func:`person_rows` writes them, from ``keys`` to ``last``."""
    keys, times, who = np.empty(longest, np.int64), np.empty(longest, np.int64), np.empty(longest, np.int64)
    low, high = np.empty((n_rules, longest), np.int64), np.empty((n_rules, longest), np.int64)
    limit, size = np.empty(n_rules * longest, np.float64), np.empty(n_rules * longest, np.int64)
    return keys, times, who, low, high, limit, size, np.empty(n_rules, np.int64)


@compiled
def events_of(
    r: int,
    u: int,
    a0: int,
    n: int,
    order: Any,
    at: Any,
    key: Any,
    which: Any,
    length: Any,
    past: Any,
    past_at: Any,
    keys: Any,
    times: Any,
    who: Any,
) -> int:
    """Write what rule ``r`` counts of a person by key and time, messages of the past as -1; return how many."""
    count, column = 0, which[r]
    for i in range(n):
        a = order[a0 + i]
        k = 0 if column < 0 else key[column, a]
        if k >= 0:
            keys[count], times[count], who[count] = k, at[a] if length[r] >= 0 else 0, i
            count += 1
    if past.shape[0] > 0:
        for e in range(past[r, u], past[r, u + 1]):
            keys[count], times[count], who[count] = 0, past_at[e] if length[r] >= 0 else 0, -1
            count += 1
    if count <= _FEW:
        for i in range(1, count):
            k, t, w = keys[i], times[i], who[i]
            place = i
            while place > 0 and (keys[place - 1] > k or (keys[place - 1] == k and times[place - 1] > t)):
                keys[place], times[place], who[place] = keys[place - 1], times[place - 1], who[place - 1]
                place -= 1
            keys[place], times[place], who[place] = k, t, w
    else:
        by = np.argsort(times[:count], kind="mergesort")
        by = by[np.argsort(keys[:count][by], kind="mergesort")]
        k2, t2, w2 = keys[:count][by], times[:count][by], who[:count][by]
        for i in range(count):
            keys[i], times[i], who[i] = k2[i], t2[i], w2[i]
    return count


@compiled
def rows_of(
    count: int, most: int, length: int, base: int, keys: Any, times: Any, who: Any, low: Any, high: Any, limit: Any,
    size: Any,
) -> int:  # fmt: skip
    """Number the longest windows with more events than may be, from ``base`` on; return how many.

    Touch i of the person is in the rows ``low[i]`` to ``high[i]``; ``limit`` is what the past leaves of a row, and
    ``size`` how many touches it has.
    """
    rows, end, had = 0, 0, 0
    for first in range(count):
        before = end
        while end < count and keys[end] == keys[first] and (length < 0 or times[end] - times[first] < length):
            if who[end] < 0:
                had += 1
            end += 1
        if end > before and end - first > most and end - first > had:
            number = base + rows
            for j in range(first, end):
                i = who[j]
                if i >= 0:
                    if high[i] <= base:
                        low[i] = number
                    high[i] = number + 1
            limit[number] = max(most - had, 0)
            size[number] = end - first - had
            rows += 1
        if who[first] < 0:
            had -= 1
    return rows


@compiled
def person_rows(
    u: int,
    a0: int,
    n: int,
    order: Any,
    at: Any,
    key: Any,
    which: Any,
    most: Any,
    length: Any,
    past: Any,
    past_at: Any,
    keys: Any,
    times: Any,
    who: Any,
    low: Any,
    high: Any,
    limit: Any,
    size: Any,
    last: Any,
) -> int:
    """Write the rows of all rules for one person, those of rule r up to ``last[r]``; return how many there are."""
    rows = 0
    for r in range(which.size):
        for i in range(n):
            low[r, i], high[r, i] = rows, rows
        count = events_of(r, u, a0, n, order, at, key, which, length, past, past_at, keys, times, who)
        cap = most[r, u] if most.shape[1] > 1 else most[r, 0]
        if count > cap:
            rows += rows_of(count, cap, length[r], rows, keys, times, who, low[r], high[r], limit, size)
        last[r] = rows
    return rows


@compiled
def hash_people_loop(
    u0: int,
    u1: int,
    start: Any,
    order: Any,
    user: Any,
    at: Any,
    key: Any,
    which: Any,
    most: Any,
    length: Any,
    past: Any,
    past_at: Any,
    hashes: Any,
    person: Any,
) -> None:
    """Add to the hashes of touches those of their rows, which know their touches; and to those of people."""
    keys, times, who, low, high, limit, size, last = scratch(most_events(u0, u1, start, user, past), which.size)
    known = np.empty(limit.size, np.uint64)
    for p in range(u0, u1):
        a0, n, u = start[p], start[p + 1] - start[p], user[p]
        rows = person_rows(
            u, a0, n, order, at, key, which, most, length, past, past_at, keys, times, who, low, high, limit, size, last
        )
        if rows == 0:
            continue
        for k in range(rows):
            known[k] = np.uint64(np.int64(limit[k]))
        for i in range(n):
            mine = spread(hashes[order[a0 + i]])
            for r in range(which.size):
                for k in range(low[r, i], high[r, i]):
                    known[k] += mine
        for k in range(rows):
            known[k] = spread(known[k])
        for i in range(n):
            total = hashes[order[a0 + i]]
            for r in range(which.size):
                for k in range(low[r, i], high[r, i]):
                    total += known[k]
            hashes[order[a0 + i]] = spread(total)
            person[u] += spread(total)


@compiled
def size_loop(
    u0: int,
    u1: int,
    start: Any,
    order: Any,
    user: Any,
    at: Any,
    key: Any,
    which: Any,
    most: Any,
    length: Any,
    past: Any,
    past_at: Any,
    entries: Any,
    n_rows: Any,
) -> None:
    """Count the rows of people, and in how many rows each touch is."""
    keys, times, who, low, high, limit, size, last = scratch(most_events(u0, u1, start, user, past), which.size)
    for p in range(u0, u1):
        a0, n, u = start[p], start[p + 1] - start[p], user[p]
        n_rows[p] = person_rows(
            u, a0, n, order, at, key, which, most, length, past, past_at, keys, times, who, low, high, limit, size, last
        )
        for i in range(n):
            for r in range(which.size):
                entries[a0 + i] += high[r, i] - low[r, i]


@compiled
def rows_loop(
    u0: int,
    u1: int,
    start: Any,
    order: Any,
    user: Any,
    at: Any,
    key: Any,
    which: Any,
    most: Any,
    length: Any,
    past: Any,
    past_at: Any,
    entry: Any,
    first: Any,
    row: Any,
    cover: Any,
    out_limit: Any,
) -> None:
    """Write the rows of each touch, their limits, and of each touch its longest row that no two touches fit into."""
    keys, times, who, low, high, limit, size, last = scratch(most_events(u0, u1, start, user, past), which.size)
    for p in range(u0, u1):
        a0, n, u = start[p], start[p + 1] - start[p], user[p]
        rows = person_rows(
            u, a0, n, order, at, key, which, most, length, past, past_at, keys, times, who, low, high, limit, size, last
        )
        for k in range(rows):
            out_limit[first[p] + k] = limit[k]
        for i in range(n):
            e, widest = entry[a0 + i], 1
            for r in range(which.size):
                for k in range(low[r, i], high[r, i]):
                    row[e] = k
                    e += 1
                    if limit[k] < 2.0 and size[k] > widest:
                        cover[a0 + i], widest = k, size[k]


@compiled
def explain_people_loop(
    u0: int,
    u1: int,
    start: Any,
    order: Any,
    user: Any,
    at: Any,
    key: Any,
    which: Any,
    most: Any,
    length: Any,
    past: Any,
    past_at: Any,
    number: Any,
    value: Any,
    row: Any,
    weight: Any,
    shared: Any,
    used: Any,
    high_limit: Any,
    owner: Any,
    useful: Any,
    held: Any,
    chosen: Any,
    reduced: Any,
    block: Any,
    lines: Any,
) -> None:
    """Write what each touch is worth less all prices, and the rule of the dearest full row of each one left out.

    Rows of people are priced in turn at what the best touch left without room would pay; ``number`` are the rules of
    the windows, and ``lines`` their use, limits, prices and how many rows there are, shape (rules, 4), without people
    held out.
    """
    ones = weight.shape[0] == 0
    keys, times, who, low, high, limit, size, last = scratch(most_events(u0, u1, start, user, past), which.size)
    price, got = np.empty(limit.size, np.float64), np.empty(limit.size, np.float64)
    left, top = np.empty(keys.size, np.float64), np.empty(keys.size + 1)
    for p in range(u0, u1):
        a0, n, u = start[p], start[p + 1] - start[p], user[p]
        rows = person_rows(
            u, a0, n, order, at, key, which, most, length, past, past_at, keys, times, who, low, high, limit, size, last
        )
        for k in range(rows):
            price[k], got[k] = 0.0, 0.0
        for i in range(n):
            a = order[a0 + i]
            left[i] = value[a]
            for k in range(row.shape[1]):
                s = row[a, k]
                if s < 0:
                    break
                left[i] -= shared[s] if ones else weight[a, k] * shared[s]
            if chosen[a]:
                for r in range(which.size):
                    for k in range(low[r, i], high[r, i]):
                        got[k] += 1.0
        for _ in range(_TURNS):
            r, moved = 0, False
            for k in range(rows):
                while k >= last[r]:
                    r += 1
                found, room = 0, int(limit[k])
                for i in range(n):  # the room + 1 best, the best first
                    if low[r, i] <= k < high[r, i] and useful[order[a0 + i]]:
                        q = left[i] + price[k]
                        if q <= 0 or (found > room and q <= top[room]):
                            continue
                        place = room if found > room else found
                        found = min(found + 1, room + 1)
                        while place > 0 and top[place - 1] < q:
                            top[place] = top[place - 1]
                            place -= 1
                        top[place] = q
                sold = top[room] if found > room else 0.0
                if sold != price[k]:
                    moved = True
                    for i in range(n):
                        if low[r, i] <= k < high[r, i]:
                            left[i] += price[k] - sold
                    price[k] = sold
            if not moved:
                break
        k = 0
        for r in range(which.size if n == 0 or held.shape[0] == 0 or not held[order[a0]] else 0):
            while k < last[r]:
                lines[r, 0] += got[k]
                lines[r, 1] += limit[k]
                lines[r, 2] += price[k]
                lines[r, 3] += 1.0
                k += 1
        for i in range(n):
            a = order[a0 + i]
            reduced[a] = left[i]
            block[a] = -1
            if chosen[a]:
                continue
            dearest, rule = -1.0, -1
            for k in range(row.shape[1]):
                s = row[a, k]
                if s < 0:
                    break
                w = 1.0 if ones else weight[a, k]
                if used[s] + w > high_limit[s] and (
                    w * shared[s] > dearest or (w * shared[s] == dearest and owner[s] < rule)
                ):
                    dearest, rule = w * shared[s], owner[s]
            for r in range(which.size):
                for k in range(low[r, i], high[r, i]):
                    if got[k] + 1.0 > limit[k] and (price[k] > dearest or (price[k] == dearest and number[r] < rule)):
                        dearest, rule = price[k], number[r]
            block[a] = rule
