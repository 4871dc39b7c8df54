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
# mypy: disable-error-code="arg-type, assignment, no-any-return, return-value"

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from omnireco._kernels.topk.compiling import lean, woven
from omnireco._kernels.topk.packing import LANE_NORM, MOST_HALVES, TILE, Tiles
from omnireco._kernels.topk.reservoirs import (
    Limits,
    Reservoirs,
    close_rows,
    first_least,
    is_listed,
    may_be_listed,
    open_rows,
    reservoirs,
    settle,
)
from omnireco._kernels.topk.tile_product import (
    fetch_row,
    halved,
    lowest_bit,
    reach_mask,
    tile_hits,
    tile_hits_one,
)

__all__ = ["CHUNK", "Limits", "Reservoirs", "Work", "rank_tiles", "reservoirs", "scan_block", "score_histories", "work"]

STEPS = 32  # tiles per block: 2,048 items, which stay in the cache while all users pass
CHUNK = 240  # users whose reservoirs are open at once
ROUNDING = 2.0**-20  # float32 rounding of bounds and scores, with room to spare, relative to the norms
NONE, ALL = -(2.0**30), 2.0**30  # integer thresholds that everything and nothing exceeds
MOST = 3.4028234663852886e38  # the same for float32: its largest number
ONE = np.uint64(1)
TINY = 1e-43  # the same near zero, absolute
TINY_FLOAT = 1e-35  # the same where there is a bias


class Work(NamedTuple):
    """The quantised users, and what one tile takes from and gives to a group of them."""

    asked: np.ndarray  # (b, 4) float64: factor = scale * byte; 1 / scale; norm of (user - quantised user), and
    #                    rounding; at least the norm of the user and of the quantised user
    bytes: np.ndarray  # (b, s + parts) int32: four bytes each; then the start words of the AVX2 family
    words: np.ndarray  # (s*group,) int32: the bytes of the users of the group, side by side
    offsets: np.ndarray  # (parts*group,) int32: their start words
    near: np.ndarray  # (8,) float64: thresholds
    least: np.ndarray  # (8,) int32: thresholds in units of both scales
    asked_of: np.ndarray  # (3, 8) float64: the last three columns of ``asked``, of the group
    masks: np.ndarray  # (8,) uint64: which items exceeded the threshold
    sums: np.ndarray  # (group*64,) int32: integer products, written where something was hit
    lows: np.ndarray  # (group, first items) float32: lower bounds of the scores in the first tiles
    active: np.ndarray  # (b,) int64


def work(b: int, k: int, d: int, tiles: Tiles, group: int) -> Work:
    """Return memory for the scan of b users."""
    steps, t = -(-d // 4), len(tiles.facts)
    parts = -(-steps // 16)
    head = min(t, max(STEPS, (2 * k + TILE) // (TILE // 4)))  # tiles for the first threshold
    return Work(
        np.empty((b, 4)),
        np.empty((b, steps + parts), np.int32),
        np.empty(steps * group, np.int32),
        np.empty(parts * group, np.int32),
        np.empty(8),
        np.empty(8, np.int32),
        np.empty((3, 8)),
        np.empty(8, np.uint64),
        np.empty(group * TILE, np.int32),
        np.empty((group, head * TILE), np.float32),
        np.empty(b, np.int64),
    )


@lean
def scan_block(
    block: np.ndarray, c: int, members: np.ndarray, first_item: int, order: np.ndarray, place_of: np.ndarray,
    error: np.ndarray, k: int, first_row: int, queries: np.ndarray, flat: np.ndarray, bias: np.ndarray,
    limits: Limits, state: Reservoirs, last: bool, codes: np.ndarray, scores: np.ndarray,
) -> None:  # fmt: skip
    """Take float32 products with the c items from ``first_item`` on into the reservoirs.

    ``block`` (p, width) holds them in its first c columns, a row for each of the ``members`` (p,) of the b users from
    ``first_row`` on who still look; width is a multiple of 64. ``error`` (b,) bounds the distance of product + bias
    from the canonical score. The call with ``first_item == 0`` opens the
    reservoirs, and the ``last`` writes the answers. ``order`` (m,) is the code at each place, ``place_of`` its inverse;
    both are empty when items come in the order of their codes.
    """
    b, width = error.size, block.shape[1]
    block_flat = block.reshape(block.size)
    lows, highs, found, count, least = state.bounds[0], state.bounds[1], state.code, state.count, state.least
    full, moved, bloom = found.shape[1] - TILE, order.size > 0, state.bloom
    indptr, indices, masks, groups = limits.indptr, limits.indices, limits.masks, limits.group
    masked, excludes = masks.shape[0] > 0, indptr.size > 1
    if first_item == 0:
        open_rows(b, first_row, limits, state)
    for at in range(members.size):
        u = members[at]
        row, mine = first_row + u, block[at]
        mask_row = groups[row] if groups.size > 0 else 0
        begin, end = (indptr[row], indptr[row + 1]) if excludes else (0, 0)
        if bias.size > 0:
            for i in range(c):
                mine[i] += bias[order[first_item + i] if moved else first_item + i]
        for i in range(c, width):
            mine[i] = -np.inf
        if first_item == 0:  # later, only what reaches the threshold is looked at
            if masked:
                for i in range(c):
                    if not masks[mask_row, order[i] if moved else i]:
                        mine[i] = -np.inf
            if excludes:
                for p in range(begin, end):
                    place = place_of[indices[p]] if moved else indices[p]
                    if place < c:
                        mine[place] = -np.inf
            kth = first_least(mine, c, k, state.maxima, state.ints)
            least[u] = max(least[u], kth - error[u] - 1e-6 * abs(kth))
        for first in range(0, c, TILE):
            near = least[u] - error[u]
            lowest = np.float32(max(near - 1e-6 * abs(near), -MOST))
            mask = reach_mask(block_flat, at * width + first, lowest)
            if mask == 0:
                continue
            n = count[u]
            while mask != 0:
                i = first + lowest_bit(mask)
                mask &= mask - ONE
                code = np.int64(order[first_item + i]) if moved else first_item + i
                if first_item > 0:
                    if masked and not masks[mask_row, code]:
                        continue
                    if may_be_listed(code, bloom[u]) and is_listed(code, indices, begin, end):
                        continue
                score = np.float64(mine[i])
                lows[u, n], highs[u, n], found[u, n] = score - error[u], score + error[u], code
                n += 1
            count[u] = n
            if n > full:
                settle(u, k, state, queries[row], flat, bias, full)
    if last:
        close_rows(b, first_row, k, state, queries, flat, bias, codes, scores)


@woven
def _quantise(query: np.ndarray, steps: int, halves: bool, asked: np.ndarray, words: np.ndarray, norm: float) -> None:
    """Quantise one user to bytes 1..255 (VNNI), or -90..90 and start words (AVX2)."""
    d, largest = query.size, 0.0
    for j in range(d):
        largest = max(largest, abs(np.float64(query[j])))
    scale = largest / (MOST_HALVES if halves else 127.0)
    if halves:
        one = two = 0.0  # squares of both lanes
        for j in range(d):
            square = np.float64(query[j]) ** 2
            if j & 63 == 0:
                one = two = 0.0
            one, two = (one, two + square) if j & 2 else (one + square, two)
            scale = max(scale, np.sqrt(max(one, two)) * (1.0 + 1e-9) / LANE_NORM)
    inverse, off, lanes = 1.0 / scale, 0.0, np.uint32(0)
    for s in range(steps):
        word = np.uint32(0)
        for j in range(4 * s, 4 * s + 4):
            byte = 0.0
            if j < d:
                value = np.float64(query[j])
                byte = np.rint(value * inverse)
                away = value - byte * scale
                off += away * away
            number = np.int64(byte)
            if halves:
                start = np.uint32((-90 * number) & 0xFFFF)
                if j & 2:
                    lanes = (lanes + (start << np.uint32(16))) & np.uint32(0xFFFFFFFF)
                else:
                    lanes = (lanes & np.uint32(0xFFFF0000)) | ((lanes + start) & np.uint32(0xFFFF))
            else:
                number += 128
            word |= np.uint32(number & 255) << np.uint32(8 * (j & 3))
        words[s] = np.int32(word)
        if s & 15 == 15 or s == steps - 1:
            words[steps + s // 16] = np.int32(lanes)
            lanes = np.uint32(0)
    # |q.x - q^.x^| <= |q - q^| |x| + |q^| |x - x^|, and rounding in proportion to |q| |x|
    asked[0], asked[1] = scale, inverse
    asked[2] = np.sqrt(off) * (1.0 + 1e-9) + ROUNDING * norm
    asked[3] = (norm + np.sqrt(off)) * (1.0 + 1e-9)


@lean
def rank_tiles(
    tiles: Tiles, flat: np.ndarray, queries: np.ndarray, norms: np.ndarray, k: int, limits: Limits, bias: np.ndarray,
    tile_bias: np.ndarray, state: Reservoirs, work: Work, codes: np.ndarray, scores: np.ndarray, first_row: int,
    last_row: int,
) -> None:  # fmt: skip
    """Rank rows ``first_row`` to ``last_row`` of queries (n, d) into codes and scores (n, k).

    ``flat`` are the items (m*d,). ``bias`` (m,) and ``tile_bias`` (t + 1,), the largest of each tile and the largest of
    all, are both empty when there is none.
    """
    biased, slack, most_bias = bias.size > 0, TINY, 0.0
    t, steps, halves = tiles.facts.shape[0], (queries.shape[1] + 3) // 4, halved(tiles.packed)
    if biased:
        most_bias = tile_bias[t]
        for i in range(bias.size):
            slack = max(slack, ROUNDING * abs(np.float64(bias[i])) + TINY_FLOAT)
    group = work.sums.size // TILE
    head = work.lows.shape[1] // TILE
    asked, active, least = work.asked, work.active, state.least
    for row in range(first_row, last_row, active.size):
        b = min(active.size, last_row - row)
        open_rows(b, row, limits, state)
        for u in range(b):
            _quantise(queries[row + u], steps, halves, asked[u], work.bytes[u], norms[row + u])
            active[u] = u
        n_active, first = b, 0 * t
        while first < t:  # block by block, until nobody can find anything better
            last = min(first + STEPS if first > 0 else head, t)
            reach, still = tiles.facts[first, 3] * (1.0 + 1e-5), 0
            for i in range(n_active):
                u = active[i]
                active[still] = u
                still += np.int64(asked[u, 3] * reach + most_bias + slack >= least[u])
            n_active = still
            for start in range(0, n_active, group):
                _scan_group(
                    tiles, first, last, flat, queries, active[start : min(start + group, n_active)], k, limits, bias,
                    tile_bias, slack, row, state, work,
                )  # fmt: skip
            first = last if n_active > 0 else t
        close_rows(b, row, k, state, queries, flat, bias, codes, scores)


@woven
def _scan_group(
    tiles: Tiles, first: int, last: int, flat: np.ndarray, queries: np.ndarray, members: np.ndarray, k: int,
    limits: Limits, bias: np.ndarray, tile_bias: np.ndarray, slack: float, first_row: int, state: Reservoirs,
    work: Work,
) -> None:  # fmt: skip
    """Hold one group of users against tiles ``first`` to ``last``; take the hits into their reservoirs.

    The call with ``first == 0`` keeps the scores of all its tiles, for a first threshold.
    """
    # every array gets a name of its own here: numba counts references each time a tuple is opened
    packed, start, order, facts = tiles.packed, tiles.start, tiles.order, tiles.facts
    words, offsets, near, least_int, masks, sums = (
        work.words,
        work.offsets,
        work.near,
        work.least,
        work.masks,
        work.sums,
    )
    asked, lows, bounds, codes = work.asked, work.lows, state.bounds, state.code
    count, least, bloom, full = state.count, state.least, state.bloom, state.code.shape[1] - TILE
    indptr, indices, masks_of, groups, place_of = limits.indptr, limits.indices, limits.masks, limits.group, tiles.place
    excludes, masked, grouped = indptr.size > 1, masks_of.shape[0] > 0, groups.size > 0
    group, d, biased, n_members = sums.size // TILE, queries.shape[1], bias.size > 0, members.size
    steps = (d + 3) // 4
    inverses, aways, sizes = work.asked_of[0], work.asked_of[1], work.asked_of[2]
    for v in range(8):
        near[v], inverses[v], aways[v], sizes[v] = np.inf, 1.0, 0.0, 0.0
    head, n_head = first == 0, last * TILE
    for v in range(group):
        u = members[min(v, n_members - 1)]
        for s in range(steps):
            words[s * group + v] = work.bytes[u, s]
        for part in range((steps + 15) // 16):
            offsets[part * group + v] = work.bytes[u, steps + part]
        near[v] = -np.inf if head else least[u] - slack if v < n_members else np.inf
        inverses[v], aways[v], sizes[v] = asked[u, 1], asked[u, 2], asked[u, 3]
    for tile in range(first, last):
        size, norm, off = facts[tile, 0], facts[tile, 1], facts[tile, 2]
        inverse, most = 1.0 / size, tile_bias[tile] if biased else 0.0
        for v in range(8):  # a whole register, though groups are smaller
            far = near[v] - (aways[v] * norm + sizes[v] * off) - most
            least_int[v] = np.int32(min(max(far * (inverses[v] * inverse) - 2.0, NONE), ALL))
        at, place = tile * steps * (4 * TILE), tile * TILE
        if group > 1:
            hit = tile_hits(packed, at, start, place, words, offsets, steps, least_int, masks, sums)
        else:
            hit = tile_hits_one(packed, at, start, place, words, offsets, steps, least_int, masks, sums)
        if hit == 0:
            continue
        for v in range(n_members):
            u = members[v]
            unit, away = asked[u, 0] * size, asked[u, 2] * norm + asked[u, 3] * off + slack
            if head:
                for i in range(TILE):
                    lows[v, place + i] = sums[v * TILE + i] * unit - away
                if biased:
                    for i in range(TILE):
                        lows[v, place + i] += bias[max(order[place + i], 0)]
                continue
            mask = masks[v]
            if mask == 0:
                continue
            row, n = first_row + u, count[u]
            mask_row = groups[row] if grouped else 0
            begin, end = (indptr[row], indptr[row + 1]) if excludes else (0, 0)
            while mask != 0:
                bit = lowest_bit(mask)
                mask &= mask - ONE
                code = np.int64(order[place + bit])
                if code < 0:
                    continue
                score = sums[v * TILE + bit] * unit
                if biased:
                    score += bias[code]
                    if score + away < least[u]:
                        continue
                if masked and not masks_of[mask_row, code]:
                    continue
                if may_be_listed(code, bloom[u]) and is_listed(code, indices, begin, end):
                    continue
                bounds[0, u, n], bounds[1, u, n], codes[u, n] = score - away, score + away, code
                fetch_row(flat, code * d)
                n += 1
            count[u] = n
            if n > full:
                settle(u, k, state, queries[row], flat, bias, full)
                near[v] = least[u] - slack
    if not head:
        return
    for v in range(n_members):
        u = members[v]
        row, mine = first_row + u, lows[v]
        if excludes:
            for p in range(indptr[row], indptr[row + 1]):
                if place_of[indices[p]] < n_head:
                    mine[place_of[indices[p]]] = -np.inf
        if masked:
            mask_row = groups[row] if grouped else 0
            for i in range(n_head):
                if order[i] >= 0 and not masks_of[mask_row, order[i]]:
                    mine[i] = -np.inf
        for i in range(max(0, n_head - TILE), n_head):
            if order[i] < 0:
                mine[i] = -np.inf
        least[u] = max(least[u], first_least(mine, n_head, k, state.maxima, state.ints))
        for tile in range(last):
            band = 2.0 * (asked[u, 2] * facts[tile, 1] + asked[u, 3] * facts[tile, 2] + slack)
            far = least[u] - band
            mask = reach_mask(mine, tile * TILE, np.float32(max(far - ROUNDING * abs(far), -MOST)))
            n = count[u]
            while mask != 0:
                i = tile * TILE + lowest_bit(mask)
                mask &= mask - ONE
                bounds[0, u, n], bounds[1, u, n], codes[u, n] = mine[i], mine[i] + band, order[i]
                fetch_row(flat, np.int64(order[i]) * d)
                n += 1
            count[u] = n
            if n > full:
                settle(u, k, state, queries[row], flat, bias, full)


@lean
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
