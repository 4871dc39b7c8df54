"""Items as bytes for the int8 tier: which share a scale, how they lie in memory, and what rounding costs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["LANE_NORM", "MOST_HALVES", "TILE", "Tiles", "pack", "pack_some"]

TILE = 64
_LIKE_SCALES = 2048  # items of about equal norm, among which neighbours are chosen to share a scale
_AT_ONCE = 64  # tiles
MOST_HALVES = 90.0  # largest byte of the AVX2 family: 2 x 90 x (90 + 90) is still no int16 that saturates
LANE_NORM = 181.0 - 0.5 * 32.0**0.5  # 181^2 < 2^15, and rounding adds up to 0.5 to each of the 32 bytes of a lane
_SLACK = 1.0 + 1e-9


class Tiles(NamedTuple):
    """Quantised items: t tiles of 64, in an order of falling norm; d padded to 4 s factors.

    The type of ``packed`` says for which instructions: int8 for VNNI, uint8 (byte + 90) for AVX2.
    """

    packed: np.ndarray  # (t*s*256,): [tile][step][item][4 factors]
    start: np.ndarray  # (t*64,) int32, VNNI: -128 * sum of the item's bytes; -2**30 where there is no item
    order: np.ndarray  # (t*64,) int32: the original code, -1 where there is no item
    place: np.ndarray  # (m,) int32: where in the order a code is
    facts: np.ndarray  # (t, 4) float64: scale (factor = scale * byte), largest norm of an item, largest norm of (item -
    #                    quantised item), largest norm in this tile or any later one


def pack(items: np.ndarray, norms: np.ndarray, *, halves: bool) -> Tiles:
    """Return items (m, d) float32 with ``norms`` (m,), rounded up, quantised for VNNI or (halves) for AVX2."""
    m, d = items.shape
    t, steps = -(-m // TILE), -(-d // 4)
    scales = np.empty(m)
    for first in range(0, m, _AT_ONCE * TILE):
        some = slice(first, first + _AT_ONCE * TILE)
        scales[some] = _scales(items[some], halves)
    order = np.full(t * TILE, -1, np.int32)
    by_norm = np.argsort(-norms, kind="stable")
    order[:m] = by_norm[np.lexsort((-scales[by_norm], np.arange(m) // _LIKE_SCALES))]
    place = np.empty(m, np.int32)
    place[order[:m]] = np.arange(m, dtype=np.int32)
    size = t * steps * 4 * TILE
    spare = np.zeros(size + 64, np.uint8 if halves else np.int8)
    packed = spare[-spare.ctypes.data % 64 :][:size]  # whole cache lines: vectors that straddle two are slower
    tiled = packed.reshape(t, steps, TILE, 4)
    start = np.full(0 if halves else t * TILE, -(1 << 30), np.int32)
    facts = np.zeros((t, 4))
    for first in range(0, t, _AT_ONCE):
        part = slice(first, min(first + _AT_ONCE, t))
        code = order[part.start * TILE : part.stop * TILE].reshape(-1, TILE)
        wide = np.zeros((*code.shape, 4 * steps))
        wide[code >= 0, :d] = items[code[code >= 0]]
        scale = np.where(code >= 0, scales[code], 0.0).max(axis=1)
        scale[scale == 0.0] = 1.0
        norm = np.where(code >= 0, norms[code], 0.0)
        byte = np.rint(wide * (1.0 / scale)[:, None, None])
        wide -= byte * scale[:, None, None]
        error = np.sqrt(np.einsum("tij,tij->ti", wide, wide)) * _SLACK + 1e-12 * norm
        facts[part, 0], facts[part, 1], facts[part, 2] = scale, norm.max(axis=1), error.max(axis=1)
        if not halves:
            sums = start[part.start * TILE : part.stop * TILE].reshape(-1, TILE)
            sums[code >= 0] = -128.0 * byte.sum(axis=2)[code >= 0]
        byte += MOST_HALVES if halves else 0.0
        tiled[part] = byte.reshape(*code.shape, steps, 4).transpose(0, 2, 1, 3)
    facts[:, 3] = np.maximum.accumulate(facts[::-1, 1])[::-1]
    return Tiles(packed, start, order, place, facts)


def pack_some(items: np.ndarray, norms: np.ndarray, some: np.ndarray, *, halves: bool, like: Tiles) -> Tiles:
    """Return some of the items, ascending codes (int32), as tiles in the codes of all.

    The others have a place behind the last. Arrays are as writeable as those of ``like``: kernels are compiled for one
    kind.
    """
    tiles = pack(items[some], norms[some], halves=halves)
    order = np.where(tiles.order >= 0, some[tiles.order], np.int32(-1)).astype(np.int32)
    place = np.full(len(items), order.size, np.int32)
    place[some] = tiles.place
    found = tiles._replace(order=order, place=place)
    for array, other in zip(found, like, strict=True):
        array.setflags(write=other.flags.writeable)
    return found


def _scales(rows: np.ndarray, halves: bool) -> np.ndarray:
    """Return the smallest scale (b,) at which all bytes of a row (b, d) fit; 0 for rows of zeros."""
    largest = np.abs(rows).max(axis=1).astype(np.float64)
    if not halves:
        return largest / 127.0
    d = rows.shape[1]
    squares = np.zeros((len(rows), -(-d // 64) * 64))
    np.square(rows, out=squares[:, :d], dtype=np.float64)
    lanes = squares.reshape(len(rows), -1, 16, 2, 2).sum(axis=(2, 4)).max(axis=(1, 2))
    return np.maximum(largest / MOST_HALVES, np.sqrt(lanes) * _SLACK / LANE_NORM)
