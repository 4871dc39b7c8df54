"""The compiled kernels of the numba and int8 tiers; imported when first needed, since numba is heavy.

Both tiers work alike. A cheap approximate score with a proven error comes by; a **reservoir** per user keeps
every item that may still belong to its k best, as an interval that contains the canonical score::

    low                high             least = k-th largest low so far: k items are surely this good
     |--- item 17 ------|
                  |--- item 4 ------|   an item with high < least can never return: dropped, or never
       |--- item 99 --|                 let in, which is all that happens to nearly every item
                 ^ least

At the end the few survivors get their canonical score (float64, in factor order) and are sorted by (score
down, code up). A reservoir that fills up with ties is settled early: canonical scores now, only the k best
stay. So nothing overflows, and nothing that could belong to the answer is dropped.
"""

# Inside compiled code int and numpy's integers are one thing, which mypy cannot know.
# mypy: disable-error-code="assignment, no-any-return, return-value"

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from omnireco._core.compute import compiled
from omnireco._kernels.topk.vnni import (
    GROUP,
    TILE,
    bits_of,
    eight_sums,
    fetch_row,
    float_of,
    lowest_bit,
    reach_count,
    reach_mask,
    tile_hits,
    tile_hits_bias,
    tile_hits_bias_one,
    tile_hits_one,
)

__all__ = [
    "CHUNK",
    "Limits",
    "Reservoirs",
    "Tiles",
    "begin",
    "finish_all",
    "pack_tiles",
    "rank_tiles",
    "scan_block",
    "score_histories",
]

BLOOM = 16  # words of 64 bits: a filter of 1,024 bits answers most questions "is this item excluded?"
STEPS = 32  # tiles per block: 2,048 items, which stay in the cache while all users pass
CHUNK = 240  # users whose reservoirs are open at once
ROUNDING = 2.0**-20  # float32 rounding of bounds and scores, with room to spare, relative to the norms
NONE, ALL = -(2.0**30) + 1, 2.0**30  # integer thresholds that everything and nothing reaches
MOST = 3.4028234663852886e38  # the same for float32: its largest number
ONE = np.uint64(1)
TINY = 1e-43  # the same near zero, absolute
TINY_FLOAT = 1e-35  # the same where the integer product is scaled in float32


class Tiles(NamedTuple):
    """Quantised items: t tiles of 64, in an order of falling norm; d padded to 4 s factors."""

    packed: np.ndarray  # (t*s*256,) int8: [tile][step][item][4 factors]
    start: np.ndarray  # (t*64,) int32: -128 * sum of the item's bytes; -2**30 where there is no item
    order: np.ndarray  # (t*64,) int32: the original code, -1 where there is no item
    place: np.ndarray  # (m,) int32: where in the order a code is
    scale: np.ndarray  # (t,) float64: factor = scale * byte
    norm: np.ndarray  # (t,) float64: largest norm of the tile's items
    error: np.ndarray  # (t,) float64: largest norm of (item - quantised item)
    rest: np.ndarray  # (t,) float64: largest norm in this tile or any later one


class Asked(NamedTuple):
    """Quantised users: factor = scale * (byte - 128)."""

    words: np.ndarray  # (b, s) int32, four bytes each
    scale: np.ndarray  # (b,) float64
    error: np.ndarray  # (b,) float64: norm of (user - quantised user), and rounding
    length: np.ndarray  # (b,) float64: at least the norm of the user and of the quantised user


class Lanes(NamedTuple):
    """What one tile takes from and gives to the users of a group."""

    words: np.ndarray  # (s*group,) int32: the bytes of the users, side by side
    about: np.ndarray  # (4, 8) float64: least, error, length and 1 / scale of the users
    least: np.ndarray  # (8,) int32: thresholds in units of both scales
    least_float: np.ndarray  # (8,) float32: thresholds, when there is a bias
    scale: np.ndarray  # (8,) float32: both scales, when there is a bias
    masks: np.ndarray  # (8,) uint64: which items reached the threshold
    sums: np.ndarray  # (group*64,) int32: integer products, written for users with a hit
    lows: np.ndarray  # (group, first items) float32: lower bounds of the scores in the first tiles
    bands: np.ndarray  # (group, first tiles) float64: how far the upper bounds are above them


class Limits(NamedTuple):
    """Exclusions and eligibility, as in Rules."""

    indptr: np.ndarray
    indices: np.ndarray
    masks: np.ndarray
    group: np.ndarray


class Reservoirs(NamedTuple):
    """What may still belong to the answers of b users."""

    low: np.ndarray  # (b, cap) float32
    high: np.ndarray  # (b, cap) float32
    code: np.ndarray  # (b, cap) int32
    count: np.ndarray  # (b,) int64
    least: np.ndarray  # (b,) float64: k items have at least this canonical score
    bloom: np.ndarray  # (b, BLOOM) uint64
    work: np.ndarray  # (cap + 16,) int32, scratch
    maxima: np.ndarray  # (64 * groups of tiles,) float32, scratch: at least 2 k
    keys: np.ndarray  # (2 cap,) uint64, scratch


@compiled
def begin(b: int, k: int, first_row: int, limits: Limits) -> Reservoirs:
    """Return empty reservoirs for the b users from ``first_row`` on."""
    cap = 5 * k + 50 + TILE  # room to let some pass before looking again, and for one more tile
    bloom = np.zeros((b, BLOOM), np.uint64)
    if limits.indptr.size > 1:
        for u in range(b):
            for p in range(limits.indptr[first_row + u], limits.indptr[first_row + u + 1]):
                code = limits.indices[p]
                bloom[u, (code >> 6) & (BLOOM - 1)] |= np.uint64(1) << np.uint64(code & 63)
    return Reservoirs(
        np.empty((b, cap), np.float32),
        np.empty((b, cap), np.float32),
        np.empty((b, cap), np.int32),
        np.zeros(b, np.int64),
        np.full(b, -np.inf),
        bloom,
        np.empty(cap + 16, np.int32),  # also for the keys of the maxima: 2 k and a tile fit
        np.empty(-(-2 * k // TILE) * TILE, np.float32),
        np.empty(2 * cap, np.uint64),
    )


@compiled
def _is_listed(code: int, indices: np.ndarray, low: int, high: int) -> bool:
    """Return whether the sorted ``indices[low:high]`` hold the code."""
    end = high
    while low < high:
        middle = (low + high) >> 1
        if indices[middle] < code:
            low = middle + 1
        else:
            high = middle
    return bool(low < end and indices[low] == code)


@compiled
def _ordered_bits(value: float) -> int:
    """Return an int32 that orders like the float32."""
    bits = bits_of(value)
    return np.int32(bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF)))


@compiled
def _kth_largest(values: np.ndarray, n: int, k: int, work: np.ndarray) -> float:
    """Return a number that at least k of the n values reach: their k-th largest, or a little less.

    Bisection on integers that order like the values; ``work`` has room for n of them and 16 more.
    """
    low, high = np.int64(_ordered_bits(values[0])), np.int64(_ordered_bits(values[0]))
    for i in range(n):
        bits = _ordered_bits(values[i])
        work[i] = bits
        low, high = min(low, np.int64(bits)), max(high, np.int64(bits))
    vectors = (n + 15) >> 4
    for i in range(n, vectors << 4):
        work[i] = np.int32(-(2**31))
    while low < high:
        middle = (low + high + 1) >> 1
        reached = reach_count(work, vectors, np.int32(middle))
        if reached >= k:
            low = middle
            if reached == k:
                break
        else:
            high = middle - 1
    bits = np.int32(low)
    return np.float64(float_of(np.int32(bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF)))))


@compiled
def _shrink(
    low: np.ndarray, high: np.ndarray, code: np.ndarray, n: int, k: int, least: float, work: np.ndarray
) -> tuple[int, float]:
    """Drop what can no longer belong to the k best of one reservoir; return its new size and ``least``."""
    if n >= k:
        least = max(least, np.float64(_kth_largest(low, n, k, work)))
    kept = 0
    for i in range(n):
        if high[i] >= least:
            low[kept], high[kept], code[kept] = low[i], high[i], code[i]
            kept += 1
    return kept, least


@compiled
def _first_least(values: np.ndarray, n: int, k: int, maxima: np.ndarray, work: np.ndarray) -> float:
    """Return a number that at least k of the first n values reach: the k-th largest of group maxima.

    Values g, g + G, g + 2G, ... make a group, with G at least 2k; maxima of k groups are k different values.
    """
    groups = min(n, maxima.size)
    if k > groups:
        return -np.inf
    for g in range(groups):
        maxima[g] = values[g]
    for first in range(groups, n, groups):
        for g in range(min(groups, n - first)):
            maxima[g] = max(maxima[g], values[first + g])
    return _kth_largest(maxima, groups, k, work)


@compiled
def _canonical(
    query: np.ndarray,
    items: np.ndarray,
    code: np.ndarray,
    first: int,
    n: int,
    bias: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> None:
    """Replace bounds ``first`` to ``n`` by canonical scores, eight at a time."""
    d = query.shape[0]
    flat = items.reshape(items.size)
    places, sums = np.empty(8, np.int64), np.empty(8)
    asked = query.astype(np.float64)
    for i in range(first, n, 8):
        for p in range(8):
            places[p], sums[p] = np.int64(code[min(i + p, n - 1)]) * d, 0.0
        eight_sums(flat, places, asked, d // 8, sums)
        for p in range(min(8, n - i)):
            total = sums[p]
            for j in range(d // 8 * 8, d):
                total += asked[j] * np.float64(items[code[i + p], j])
            if bias.size > 0:
                total += np.float64(bias[code[i + p]])
            low[i + p] = high[i + p] = np.float32(total) + np.float32(0.0)


@compiled
def _tighten(u: int, k: int, state: Reservoirs, query: np.ndarray, items: np.ndarray, bias: np.ndarray) -> int:
    """Replace what survives in a reservoir by canonical scores, and keep what reaches the k-th of them."""
    low, high, code, n, least = state.low[u], state.high[u], state.code[u], state.count[u], state.least[u]
    while True:
        n, least = _shrink(low, high, code, n, k, least, state.work)
        exact = 0
        while exact < n and low[exact] == high[exact]:
            exact += 1
        if exact == n:
            break
        _canonical(query, items, code, exact, n, bias, low, high)
    state.count[u], state.least[u] = n, least
    return n


@compiled
def _sort_best(u: int, k: int, state: Reservoirs) -> int:
    """Keep the user's k best canonical scores by (score down, code up), sorted; return how many there are."""
    low, high, code, keys, n = state.low[u], state.high[u], state.code[u], state.keys, state.count[u]
    for i in range(n):
        down = np.int64(0x7FFFFFFF) - np.int64(_ordered_bits(low[i]))
        keys[i] = np.uint64((down << 32) | np.int64(code[i]))
    ranked = _sorted_keys(keys, n)
    kept = min(n, k)
    for i in range(kept):
        key = np.int64(ranked[i] >> np.uint64(32))
        bits = np.int32(np.int64(0x7FFFFFFF) - key)
        low[i] = high[i] = float_of(np.int32(bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))))
        code[i] = np.int32(ranked[i] & np.uint64(0xFFFFFFFF))
    state.count[u] = kept
    return kept


@compiled
def _sorted_keys(keys: np.ndarray, n: int) -> np.ndarray:
    """Return the n different keys in rising order; counting the smaller ones is fastest for a few."""
    if n <= 256:
        ranked = keys[keys.size // 2 :]
        for i in range(n):
            rank = 0
            for j in range(n):
                rank += np.int64(keys[j] < keys[i])
            ranked[rank] = keys[i]
        return ranked
    gap = n // 2  # Shell's sort, for many: short, and compiled in no time
    while gap > 0:
        for i in range(gap, n):
            key, j = keys[i], i
            while j >= gap and keys[j - gap] > key:
                keys[j] = keys[j - gap]
                j -= gap
            keys[j] = key
        gap = 1 if gap == 2 else gap * 5 // 11
    return keys


@compiled
def _make_room(u: int, k: int, state: Reservoirs, query: np.ndarray, items: np.ndarray, bias: np.ndarray) -> None:
    """Free at least 64 places in a full reservoir; when nearly all are ties, only the k best stay."""
    if _tighten(u, k, state, query, items, bias) > state.code.shape[1] - TILE:
        _sort_best(u, k, state)


@compiled
def finish(
    u: int,
    k: int,
    state: Reservoirs,
    query: np.ndarray,
    items: np.ndarray,
    bias: np.ndarray,
    codes: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Write the answer of one user."""
    _tighten(u, k, state, query, items, bias)
    kept = _sort_best(u, k, state)
    for i in range(kept):
        codes[i], scores[i] = state.code[u, i], state.low[u, i]
    for i in range(kept, k):
        codes[i], scores[i] = -1, -np.inf


@compiled
def scan_block(
    block: np.ndarray,
    c: int,
    first_item: int,
    error: np.ndarray,
    k: int,
    first_row: int,
    queries: np.ndarray,
    items: np.ndarray,
    bias: np.ndarray,
    limits: Limits,
    state: Reservoirs,
) -> None:
    """Take float32 products with the c items from ``first_item`` on into the reservoirs.

    ``block`` (b, width) holds them in its first c columns; width is a multiple of 64. ``error`` (b,) bounds
    the distance of product + bias from the canonical score.
    """
    b, width = block.shape
    flat = block.reshape(block.size)
    low, high, codes, count, least = state.low, state.high, state.code, state.count, state.least
    full = state.code.shape[1] - TILE
    indptr, indices, masks, groups = limits.indptr, limits.indices, limits.masks, limits.group
    for u in range(b):
        row = first_row + u
        if bias.size > 0:
            for i in range(c):
                block[u, i] += bias[first_item + i]
        if masks.shape[0] > 0:
            group = groups[row] if groups.size > 0 else 0
            for i in range(c):
                block[u, i] = block[u, i] if masks[group, first_item + i] else -np.inf
        if indptr.size > 1:
            start, stop = indptr[row], indptr[row + 1]
            place = start + np.searchsorted(indices[start:stop], first_item)
            while place < stop and indices[place] < first_item + c:
                block[u, indices[place] - first_item] = -np.inf
                place += 1
        for i in range(c, width):
            block[u, i] = -np.inf
        if first_item == 0:
            kth = _first_least(block[u], c, k, state.maxima, state.work)
            least[u] = max(least[u], kth - error[u] - 1e-6 * abs(kth))
        for first in range(0, c, TILE):
            near = least[u] - error[u]
            lowest = np.float32(max(near - 1e-6 * abs(near), -MOST))
            mask = reach_mask(flat, u * width + first, lowest)
            if mask == 0:
                continue
            n = count[u]
            while mask != 0:
                i = first + lowest_bit(mask)
                mask &= mask - ONE
                score = np.float64(block[u, i])
                low[u, n], high[u, n], codes[u, n] = score - error[u], score + error[u], first_item + i
                n += 1
            count[u] = n
            if n > full:
                _make_room(u, k, state, queries[row], items, bias)


@compiled
def finish_all(
    k: int,
    first_row: int,
    queries: np.ndarray,
    items: np.ndarray,
    bias: np.ndarray,
    state: Reservoirs,
    codes: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Write the answers of all users whose reservoirs are open."""
    for u in range(state.count.size):
        row = first_row + u
        finish(u, k, state, queries[row], items, bias, codes[row], scores[row])


@compiled
def pack_tiles(items: np.ndarray, order: np.ndarray, norms: np.ndarray, packed: np.ndarray) -> Tiles:
    """Quantise items (m, d) in the given order, 64 to a tile, into ``packed``.

    ``order`` (t*64,) int32 ends in -1 where there is no item; ``norms`` (m,) are rounded up.
    """
    t, d = order.size // TILE, items.shape[1]
    steps = (d + 3) // 4
    start, place = np.empty(t * TILE, np.int32), np.empty(items.shape[0], np.int32)
    scale, norm, error, rest = np.ones(t), np.zeros(t), np.zeros(t), np.zeros(t)
    for tile in range(t):
        largest = 0.0
        for i in range(TILE):
            code = order[tile * TILE + i]
            if code >= 0:
                norm[tile] = max(norm[tile], norms[code])
                for j in range(d):
                    largest = max(largest, abs(np.float64(items[code, j])))
        if largest > 0.0:
            scale[tile] = largest / 127.0
        inverse = 1.0 / scale[tile]
        for i in range(TILE):
            code = order[tile * TILE + i]
            start[tile * TILE + i] = -(1 << 30)
            if code < 0:
                continue
            place[code] = tile * TILE + i
            total, off = 0, 0.0
            for j in range(d):
                value = np.float64(items[code, j])
                byte = np.rint(value * inverse)
                away = value - byte * scale[tile]
                off += away * away
                total += np.int32(byte)
                packed[((tile * steps + j // 4) * TILE + i) * 4 + j % 4] = np.int8(byte)
            start[tile * TILE + i] = -128 * total
            error[tile] = max(error[tile], np.sqrt(off) * (1.0 + 1e-9) + 1e-12 * norms[code])
    reach = 0.0
    for tile in range(t - 1, -1, -1):
        reach = max(reach, norm[tile])
        rest[tile] = reach
    return Tiles(packed, start, order, place, scale, norm, error, rest)


@compiled
def _quantise_queries(queries: np.ndarray, first: int, steps: int, norms: np.ndarray, state: Reservoirs) -> Asked:
    """Quantise the users whose reservoirs are open to bytes 1..255."""
    b, d = state.count.size, queries.shape[1]
    words = np.empty((b, steps), np.int32)
    scale, error, length = np.empty(b), np.empty(b), np.empty(b)
    for u in range(b):
        largest = 0.0
        for j in range(d):
            largest = max(largest, abs(np.float64(queries[first + u, j])))
        scale[u] = largest / 127.0
        inverse = 1.0 / scale[u]
        off = 0.0
        for s in range(steps):
            word = np.uint32(0)
            for j in range(4 * s, 4 * s + 4):
                byte = 0.0
                if j < d:
                    value = np.float64(queries[first + u, j])
                    byte = np.rint(value * inverse)
                    away = value - byte * scale[u]
                    off += away * away
                word |= np.uint32(np.int64(byte) + 128) << np.uint32(8 * (j & 3))
            words[u, s] = np.int32(word)
        norm = norms[first + u]
        # |q.x - q^.x^| <= |q - q^| |x| + |q^| |x - x^|, and rounding in proportion to |q| |x|
        error[u] = np.sqrt(off) * (1.0 + 1e-9) + ROUNDING * norm
        length[u] = (norm + np.sqrt(off)) * (1.0 + 1e-9)
    return Asked(words, scale, error, length)


@compiled
def rank_tiles(
    tiles: Tiles,
    items: np.ndarray,
    queries: np.ndarray,
    norms: np.ndarray,
    k: int,
    limits: Limits,
    bias: np.ndarray,
    tile_bias: np.ndarray,
    codes: np.ndarray,
    scores: np.ndarray,
    first_row: int,
    last_row: int,
) -> None:
    """Rank rows ``first_row`` to ``last_row`` of queries (n, d) into codes and scores (n, k).

    ``bias`` (m,) and ``tile_bias`` (t*64,), the same in tile order with -inf where there is no item, are both
    empty when there is none.
    """
    most_bias, slack = -np.inf, TINY_FLOAT
    for i in range(bias.size):
        most_bias = max(most_bias, np.float64(bias[i]))
        slack = max(slack, ROUNDING * abs(np.float64(bias[i])) + TINY_FLOAT)
    if bias.size == 0:
        most_bias, slack = 0.0, TINY
    t, steps = tiles.scale.size, (items.shape[1] + 3) // 4
    head = min(t, max(STEPS, (2 * k + TILE) // (TILE // 4)))  # tiles for the first threshold
    group = GROUP if last_row - first_row > 1 else 1
    lanes = Lanes(
        np.empty(steps * group, np.int32),
        np.empty((4, 8)),
        np.empty(8, np.int32),
        np.empty(8, np.float32),
        np.empty(8, np.float32),
        np.empty(8, np.uint64),
        np.empty(group * TILE, np.int32),
        np.empty((group, head * TILE), np.float32),
        np.empty((group, head)),
    )
    rest = tiles.rest
    for row in range(first_row, last_row, CHUNK):
        b = min(CHUNK, last_row - row)
        state = begin(b, k, row, limits)
        asked = _quantise_queries(queries, row, steps, norms, state)
        length, least = asked.length, state.least
        active = np.arange(b)
        n_active, first = b, 0 * t
        while first < t:  # block by block, until nobody can find anything better
            last = min(first + (STEPS if first > 0 else head), t)
            reach, still = rest[first] * (1.0 + 1e-5), 0
            for i in range(n_active):
                u = active[i]
                active[still] = u
                still += np.int64(length[u] * reach + most_bias + slack >= least[u])
            n_active = still
            for start in range(0, n_active, group):
                members = active[start : min(start + group, n_active)]
                _scan_group(
                    tiles, first, last, items, queries, asked, members, k, limits, bias, tile_bias, slack,
                    row, state, lanes,
                )  # fmt: skip
            first = last if n_active > 0 else t
        finish_all(k, row, queries, items, bias, state, codes, scores)


@compiled
def _take_head(
    tiles: Tiles,
    n_head: int,
    mine: np.ndarray,
    bands: np.ndarray,
    u: int,
    k: int,
    query: np.ndarray,
    items: np.ndarray,
    bias: np.ndarray,
    row: int,
    limits: Limits,
    state: Reservoirs,
) -> None:
    """Find a user's first threshold in lower bounds (n_head,) of the first items; keep what reaches it."""
    order, place_of = tiles.order, tiles.place
    indptr, indices, masks, groups = limits.indptr, limits.indices, limits.masks, limits.group
    low, high, codes, flat = state.low[u], state.high[u], state.code[u], items.reshape(items.size)
    if indptr.size > 1:
        for p in range(indptr[row], indptr[row + 1]):
            if place_of[indices[p]] < n_head:
                mine[place_of[indices[p]]] = -np.inf
    if masks.shape[0] > 0:
        group = groups[row] if groups.size > 0 else 0
        for i in range(n_head):
            if order[i] >= 0 and not masks[group, order[i]]:
                mine[i] = -np.inf
    for i in range(max(0, n_head - TILE), n_head):
        if order[i] < 0:
            mine[i] = -np.inf
    state.least[u] = max(state.least[u], _first_least(mine, n_head, k, state.maxima, state.work))
    for tile in range(n_head // TILE):
        near = state.least[u] - bands[tile]
        mask = reach_mask(mine, tile * TILE, np.float32(max(near - ROUNDING * abs(near), -MOST)))
        n = state.count[u]
        while mask != 0:
            i = tile * TILE + lowest_bit(mask)
            mask &= mask - ONE
            low[n], high[n], codes[n] = mine[i], mine[i] + bands[tile], order[i]
            fetch_row(flat, np.int64(order[i]) * items.shape[1])
            n += 1
        state.count[u] = n
        if n > codes.size - TILE:
            _make_room(u, k, state, query, items, bias)


@compiled
def _scan_group(
    tiles: Tiles,
    first: int,
    last: int,
    items: np.ndarray,
    queries: np.ndarray,
    asked: Asked,
    members: np.ndarray,
    k: int,
    limits: Limits,
    bias: np.ndarray,
    tile_bias: np.ndarray,
    slack: float,
    first_row: int,
    state: Reservoirs,
    lanes: Lanes,
) -> None:
    """Hold one group of users against tiles ``first`` to ``last``; take the hits into their reservoirs.

    The call with ``first == 0`` keeps the scores of all its tiles, for a first threshold.
    """
    # every array gets a name of its own here: numba counts references each time a tuple is opened
    packed, start, order = tiles.packed, tiles.start, tiles.order
    tile_norm, tile_error, tile_scale = tiles.norm, tiles.error, tiles.scale
    scale, error, length = asked.scale, asked.error, asked.length
    words, about, least_int, least_float = lanes.words, lanes.about, lanes.least, lanes.least_float
    lane_scale, masks, sums, lows, bands = lanes.scale, lanes.masks, lanes.sums, lanes.lows, lanes.bands
    low, high, codes, count = state.low, state.high, state.code, state.count
    least, bloom, full = state.least, state.bloom, state.code.shape[1] - TILE
    indptr, indices, eligible, groups = limits.indptr, limits.indices, limits.masks, limits.group
    excludes, masked = indptr.size > 1, eligible.shape[0] > 0
    group, steps, biased = sums.size // TILE, asked.words.shape[1], bias.size > 0
    head, n_head, d, flat = first == 0, last * TILE, items.shape[1], items.reshape(items.size)
    for v in range(group):
        u = members[min(v, members.size - 1)]
        for s in range(steps):
            words[s * group + v] = asked.words[u, s]
    for v in range(8):
        u = members[min(v, members.size - 1)]
        about[0, v] = -np.inf if head else least[u] - slack if v < members.size else np.inf
        about[1, v], about[2, v], about[3, v] = error[u], length[u], 1.0 / scale[u]
    for tile in range(first, last):
        norm, off, size = tile_norm[tile], tile_error[tile], tile_scale[tile]
        if biased:
            for v in range(8):
                near = about[0, v] - (about[1, v] * norm + about[2, v] * off)
                lane_scale[v] = size / about[3, v]
                least_float[v] = max(near * (1.0 - ROUNDING if near > 0.0 else 1.0 + ROUNDING), -MOST)
        else:
            inverse = 1.0 / size
            for v in range(8):
                near = about[0, v] - (about[1, v] * norm + about[2, v] * off)
                least_int[v] = np.int32(min(max(near * (about[3, v] * inverse) - 1.0, NONE), ALL))
        at, place = tile * steps * (4 * TILE), tile * TILE
        if not biased:
            if group > 1:
                hits = tile_hits(packed, at, start, place, words, steps, least_int, masks, sums)
            else:
                hits = tile_hits_one(packed, at, start, place, words, steps, least_int, masks, sums)
        elif group > 1:
            hits = tile_hits_bias(
                packed, at, start, place, words, steps, least_int, masks, sums,
                tile_bias, least_float, lane_scale,
            )  # fmt: skip
        else:
            hits = tile_hits_bias_one(
                packed, at, start, place, words, steps, least_int, masks, sums,
                tile_bias, least_float, lane_scale,
            )  # fmt: skip
        if hits == 0:
            continue
        if head:
            for v in range(members.size):
                u = members[v]
                unit = scale[u] * size
                away = error[u] * norm + length[u] * off + slack
                bands[v, tile] = 2.0 * away
                for i in range(TILE):
                    lows[v, place + i] = sums[v * TILE + i] * unit - away
                if biased:
                    for i in range(TILE):
                        lows[v, place + i] += tile_bias[place + i]
            continue
        for v in range(members.size):
            mask = masks[v]
            if mask == 0:
                continue
            u = members[v]
            row = first_row + u
            unit = scale[u] * size
            away = error[u] * norm + length[u] * off + slack
            begin_list, end_list = (indptr[row], indptr[row + 1]) if excludes else (0, 0)
            n = count[u]
            while mask != 0:
                bit = lowest_bit(mask)
                mask &= mask - ONE
                code = order[place + bit]
                if code < 0 or (masked and not eligible[groups[row] if groups.size > 0 else 0, code]):
                    continue
                maybe = (bloom[u, (code >> 6) & (BLOOM - 1)] >> np.uint64(code & 63)) & ONE
                if maybe != 0 and _is_listed(code, indices, begin_list, end_list):
                    continue
                score = sums[v * TILE + bit] * unit
                if biased:
                    score += bias[code]
                low[u, n], high[u, n], codes[u, n] = score - away, score + away, code
                fetch_row(flat, np.int64(code) * d)
                n += 1
            count[u] = n
            if n > full:
                _make_room(u, k, state, queries[row], items, bias)
                about[0, v] = least[u] - slack
    if head:
        for v in range(members.size):
            u = members[v]
            row = first_row + u
            mine = lows[v, :n_head]
            _take_head(tiles, n_head, mine, bands[v], u, k, queries[row], items, bias, row, limits, state)


@compiled
def score_histories(
    indptr: np.ndarray,
    indices: np.ndarray,
    data: np.ndarray,
    dense: np.ndarray,
    weight_indptr: np.ndarray,
    weight_indices: np.ndarray,
    weight_data: np.ndarray,
    bias: np.ndarray,
    first_row: int,
    first: int,
    c: int,
    total: np.ndarray,
    block: np.ndarray,
) -> None:
    """Write scores of histories from ``first_row`` on, of c items from ``first`` on, into ``block`` (b, c).

    Histories (n, h) and weights (h, m) are CSR, except that weights are ``dense`` (h, m) when that has rows;
    CSR weights take all items at once. A score is summed in float64 (``total``, scratch) in the stored order
    of the history: it is canonical at once.
    """
    for u in range(block.shape[0]):
        total[:c] = 0.0
        for p in range(indptr[first_row + u], indptr[first_row + u + 1]):
            j, value = indices[p], np.float64(data[p])
            if dense.shape[0] > 0:
                for i in range(c):
                    total[i] += value * np.float64(dense[j, first + i])
            else:
                for q in range(weight_indptr[j], weight_indptr[j + 1]):
                    total[weight_indices[q]] += value * np.float64(weight_data[q])
        for i in range(c):
            added = np.float64(bias[first + i]) if bias.size > 0 else 0.0
            block[u, i] = np.float32(min(max(total[i] + added, -MOST), MOST)) + np.float32(0.0)
