"""The reservoirs of the compiled tiers: what may still belong to the answer of each user, and how that is settled.

:mod:`~omnireco._kernels.topk.kernels` says what a reservoir is.
"""

# Inside compiled code int and numpy's integers are one thing, which mypy cannot know.
# mypy: disable-error-code="arg-type, assignment, no-any-return, return-value"

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from omnireco._kernels.topk.compiling import lean, woven
from omnireco._kernels.topk.packing import TILE
from omnireco._kernels.topk.tile_product import bits_of, eight_sums, float_of, reach_count

__all__ = [
    "BLOOM",
    "Limits",
    "Reservoirs",
    "close_rows",
    "first_least",
    "is_listed",
    "may_be_listed",
    "open_rows",
    "reservoirs",
    "settle",
]

BLOOM = 16  # words of 64 bits: a filter of 1,024 bits answers most questions "is this item excluded?"
ONE = np.uint64(1)


class Limits(NamedTuple):
    """Exclusions and eligibility, as in Rules."""

    indptr: np.ndarray
    indices: np.ndarray
    masks: np.ndarray
    group: np.ndarray


class Reservoirs(NamedTuple):
    """What may still belong to the answers of b users, at most cap items each."""

    bounds: np.ndarray  # (2, b, cap) float32: low, high
    code: np.ndarray  # (b, cap) int32
    count: np.ndarray  # (b,) int64
    least: np.ndarray  # (b,) float64: k items have at least this canonical score
    bloom: np.ndarray  # (b, BLOOM) uint64
    ints: np.ndarray  # (cap + 16,) int32, scratch
    maxima: np.ndarray  # (64 * groups of tiles,) float32, scratch: at least 2 k
    keys: np.ndarray  # (2 cap,) uint64, scratch
    places: np.ndarray  # (8,) int64, scratch
    doubles: np.ndarray  # (d + 8,) float64, scratch


def reservoirs(b: int, k: int, d: int) -> Reservoirs:
    """Return empty memory for the reservoirs of b users."""
    cap = 3 * k + 50 + TILE  # room to let some pass before looking again, and for one more tile
    return Reservoirs(
        np.empty((2, b, cap), np.float32),
        np.empty((b, cap), np.int32),
        np.zeros(b, np.int64),
        np.empty(b),
        np.empty((b, BLOOM), np.uint64),
        np.empty(cap + 16, np.int32),  # also for the keys of the maxima: 2 k and a tile fit
        np.empty(-(-2 * k // TILE) * TILE, np.float32),
        np.empty(2 * cap, np.uint64),
        np.empty(8, np.int64),
        np.empty(d + 8),
    )


@lean
def _kth_largest(values: np.ndarray, n: int, k: int, ints: np.ndarray) -> float:
    """Return a number that at least k of the n values reach: their k-th largest, or a little less.

    Bisection on integers that order like the values; ``ints`` has room for n of them and 16 more.
    """
    low, high = np.int64(2**31 - 1), np.int64(-(2**31))
    for i in range(n):
        bits = bits_of(values[i])
        bits = np.int32(bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF)))  # orders like the float32
        ints[i] = bits
        low, high = min(low, np.int64(bits)), max(high, np.int64(bits))
    vectors = (n + 15) >> 4
    for i in range(n, vectors << 4):
        ints[i] = np.int32(-(2**31))
    while low < high:
        middle = (low + high + 1) >> 1
        reached = reach_count(ints, vectors, np.int32(middle))
        if reached >= k:
            low = middle
            if reached == k:
                break
        else:
            high = middle - 1
    bits = np.int32(low)
    return np.float64(float_of(np.int32(bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF)))))


@woven
def _canonical(
    query: np.ndarray, flat: np.ndarray, code: np.ndarray, first: int, n: int, bias: np.ndarray, low: np.ndarray,
    high: np.ndarray, places: np.ndarray, doubles: np.ndarray,
) -> None:  # fmt: skip
    """Replace bounds ``first`` to ``n`` by canonical scores: float64, in factor order, eight at a time."""
    d = query.size
    sums, asked = doubles[:8], doubles[8:]
    for j in range(d):
        asked[j] = query[j]
    for i in range(first, n, 8):
        for p in range(8):
            places[p], sums[p] = np.int64(code[min(i + p, n - 1)]) * d, 0.0
        eight_sums(flat, places, asked, d // 8, sums)
        for p in range(min(8, n - i)):
            total = sums[p]
            for j in range(d // 8 * 8, d):
                total += asked[j] * np.float64(flat[places[p] + j])
            if bias.size > 0:
                total += np.float64(bias[code[i + p]])
            low[i + p] = high[i + p] = np.float32(total) + np.float32(0.0)


@woven
def _sort_keys(keys: np.ndarray, n: int) -> int:
    """Sort the first n keys, all different; return from where on they stand in rising order.

    Counting the smaller ones is fastest for a few.
    """
    if n <= 256:
        half = keys.size // 2
        ranked = keys[half:]
        for i in range(n):
            rank = 0
            for j in range(n):
                rank += np.int64(keys[j] < keys[i])
            ranked[rank] = keys[i]
        return half
    gap = n // 2  # Shell's sort, for many: short, and compiled in no time
    while gap > 0:
        for i in range(gap, n):
            key, j = keys[i], i
            while j >= gap and keys[j - gap] > key:
                keys[j] = keys[j - gap]
                j -= gap
            keys[j] = key
        gap = 1 if gap == 2 else gap * 5 // 11
    return 0


@lean
def settle(u: int, k: int, state: Reservoirs, query: np.ndarray, flat: np.ndarray, bias: np.ndarray, most: int) -> int:
    """Drop from a reservoir what cannot belong to the k best; return how many stay.

    What stays gets its canonical score, in float64 and in factor order, eight at a time. When that are more than
    ``most``, only the k best of them stay, sorted by (score down, code up).
    """
    low, high, code = state.bounds[0, u], state.bounds[1, u], state.code[u]
    ints, keys = state.ints, state.keys
    n, least = state.count[u], state.least[u]
    while True:
        if n >= k:
            least = max(least, _kth_largest(low, n, k, ints))
        kept, exact = 0 * n, 0 * n
        for i in range(n):  # no branches: which stay is anyone's guess, and a wrong guess costs more than the work
            down, up, stays = low[i], high[i], np.int64(high[i] >= least)
            low[kept], high[kept], code[kept] = down, up, code[i]
            exact += stays & np.int64(exact == kept) & np.int64(down == up)
            kept += stays
        n = kept
        if exact == n:
            break
        _canonical(query, flat, code, exact, n, bias, low, high, state.places, state.doubles)
    state.least[u] = least
    if n > most:
        for i in range(n):
            bits = bits_of(low[i])
            down = np.int64(0x7FFFFFFF) - np.int64(np.int32(bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))))
            keys[i] = np.uint64((down << 32) | np.int64(code[i]))
        first = _sort_keys(keys, n)
        n = min(n, k)
        for i in range(n):
            key = keys[first + i]
            bits = np.int32(np.int64(0x7FFFFFFF) - np.int64(key >> np.uint64(32)))
            low[i] = high[i] = float_of(np.int32(bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))))
            code[i] = np.int32(key & np.uint64(0xFFFFFFFF))
    state.count[u] = n
    return n


@lean
def first_least(values: np.ndarray, n: int, k: int, maxima: np.ndarray, ints: np.ndarray) -> float:
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
    return _kth_largest(maxima, groups, k, ints)


@woven
def may_be_listed(code: int, bloom: np.ndarray) -> bool:
    """Return False when a user does not exclude the code: both bits are set for those that are."""
    one = bloom[(code >> 6) & (BLOOM - 1)] >> np.uint64(code & 63)
    two = bloom[(code >> 2) & (BLOOM - 1)] >> np.uint64((code >> 7) & 63)
    return bool(one & two & ONE)


@woven
def is_listed(code: int, indices: np.ndarray, low: int, high: int) -> bool:
    """Return whether the sorted ``indices[low:high]`` hold the code."""
    end = high
    while low < high:
        middle = (low + high) >> 1
        if indices[middle] < code:
            low = middle + 1
        else:
            high = middle
    return bool(low < end and indices[low] == code)


@woven
def open_rows(b: int, first_row: int, limits: Limits, state: Reservoirs) -> None:
    """Empty the reservoirs of the b users from ``first_row`` on, and note what they exclude."""
    bloom, indptr, indices = state.bloom, limits.indptr, limits.indices
    for u in range(b):
        state.count[u], state.least[u] = 0, -np.inf
        for i in range(BLOOM):
            bloom[u, i] = 0
        if indptr.size > 1:
            for p in range(indptr[first_row + u], indptr[first_row + u + 1]):
                code = indices[p]
                bloom[u, (code >> 6) & (BLOOM - 1)] |= ONE << np.uint64(code & 63)
                bloom[u, (code >> 2) & (BLOOM - 1)] |= ONE << np.uint64((code >> 7) & 63)


@woven
def close_rows(
    b: int, first_row: int, k: int, state: Reservoirs, queries: np.ndarray, flat: np.ndarray, bias: np.ndarray,
    codes: np.ndarray, scores: np.ndarray,
) -> None:  # fmt: skip
    """Write the answers of the users whose reservoirs are open."""
    for u in range(b):
        row = first_row + u
        kept = settle(u, k, state, queries[row], flat, bias, b * 0 - 1)
        for i in range(kept):
            codes[row, i], scores[row, i] = state.code[u, i], state.bounds[0, u, i]
        for i in range(kept, k):
            codes[row, i], scores[row, i] = -1, -np.inf
