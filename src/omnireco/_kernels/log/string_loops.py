"""Compiled coding of long string columns: every row is read once, straight from the Arrow buffers.

A string of at most 127 bytes is held as ``words`` 64-bit words: its bytes, zeros behind them, and its length in the
last byte. Two strings are equal exactly when their words are, and words compared as big-endian numbers are in the
order of the bytes. A hash table with open addressing keeps per slot 32 bits of the hash and the code, in one word;
the words of code ``c`` stand at ``keys[c * words]``. Rows go through in small groups: first all hashes, which asks
for the cache lines, then all look-ups.
"""

# mypy: ignore-errors
# Compiled: numba is untyped.
from __future__ import annotations

import numpy as np

from omnireco._core.compute import compiled
from omnireco._core.simd import load_word, prefetch

_GROUP = 32
_MIX = np.uint64(0x9E3779B97F4A7C15)
_TAG = np.uint64(0xFFFFFFFF00000000)
_CODE = np.uint64(0x00000000FFFFFFFF)
_ONE, _ZERO, _HALF, _BYTE, _TOP = np.uint64(1), np.uint64(0), np.uint64(32), np.uint64(8), np.uint64(56)


@compiled
def longest(offsets, start, stop):
    """Return the length of the longest string of a range of rows."""
    most = np.int64(0)
    for row in range(start, stop):
        most = max(most, np.int64(offsets[row + 1]) - np.int64(offsets[row]))
    return most


@compiled
def _masks():
    """Return the word that keeps 0, 1, ... 8 bytes."""
    masks = np.zeros(9, np.uint64)
    for n in range(1, 9):
        masks[n] = ~np.uint64(0) >> np.uint64(64 - 8 * n)
    return masks


@compiled
def _last_word(data, position, left):
    """Return up to 8 bytes where fewer than 8 may be left in the buffer: nothing behind it is read."""
    word = np.uint64(0)
    for i in range(min(left, 8)):
        word |= np.uint64(data[position + i]) << np.uint64(8 * i)
    return word


@compiled
def table_of(keys, n, words, size):
    """Return a hash table of a size for the first n keys."""
    slots = np.zeros(size, np.uint64)
    mask = np.uint64(size - 1)
    for code in range(n):
        mixed = np.uint64(0)
        for w in range(words):
            mixed = (mixed ^ keys[code * words + w]) * _MIX
            mixed ^= mixed >> _HALF
        slot = mixed & mask
        while slots[slot] != _ZERO:
            slot = (slot + _ONE) & mask
        slots[slot] = (mixed & _TAG) | np.uint64(code + 1)
    return slots


@compiled
def _grow(slots, keys, n, words):
    """Return a table of four times the size, and room for its keys."""
    size = 4 * slots.size
    room = np.empty(size // 2 * words, np.uint64)
    for i in range(n * words):  # a slice would take a second longer to compile
        room[i] = keys[i]
    return table_of(keys, n, words, size), room


@compiled
def distinct_strings(data, offsets, valid, start, stop, words, codes, slots, keys, n):
    """Write the code of each row of a range, by first occurrence; return the table, the keys and their number.

    data (bytes) uint8; offsets (rows + 1); valid (rows) bool, or empty when nothing is missing; codes (rows) int32,
    -1 for missing. The table may know n strings already; it is filled further.
    """
    group = np.empty(_GROUP * words, np.uint64)
    hashes = np.empty(_GROUP, np.uint64)
    masks = _masks()
    for first in range(start, stop, _GROUP):
        size = min(_GROUP, stop - first)
        while 2 * (n + _GROUP) > slots.size:
            slots, keys = _grow(slots, keys, n, words)
        mask = np.uint64(slots.size - 1)
        for i in range(size):
            position = np.int64(offsets[first + i])
            length = np.int64(offsets[first + i + 1]) - position
            mixed = np.uint64(0)
            inside = position + 8 * words <= data.size
            for w in range(words):
                left = length - 8 * w
                if inside:  # no branch on the length: lengths are as good as random
                    word = load_word(data, position + 8 * w) & masks[min(max(left, 0), 8)]
                else:
                    word = _last_word(data, position + 8 * w, left)
                if w == words - 1:
                    word |= np.uint64(length) << _TOP
                group[i * words + w] = word
                mixed = (mixed ^ word) * _MIX
                mixed ^= mixed >> _HALF
            hashes[i] = mixed
            prefetch(slots, np.int64(mixed & mask))
        for i in range(size):
            held = slots[hashes[i] & mask]
            if held != _ZERO:
                prefetch(keys, (np.int64(held & _CODE) - 1) * words)
        for i in range(size):
            row = first + i
            if valid.size and not valid[row]:
                codes[row] = -1
                continue
            mixed = hashes[i]
            tag = mixed & _TAG
            slot = mixed & mask
            while True:
                held = slots[slot]
                if held == _ZERO:
                    slots[slot] = tag | np.uint64(n + 1)
                    for w in range(words):
                        keys[n * words + w] = group[i * words + w]
                    codes[row] = n
                    n += 1
                    break
                if held & _TAG == tag:
                    code = np.int64(held & _CODE) - 1
                    same = True
                    for w in range(words):
                        same &= keys[code * words + w] == group[i * words + w]
                    if same:
                        codes[row] = code
                        break
                slot = (slot + _ONE) & mask
    return slots, keys, n


@compiled
def distinct_words(rows, words, codes, slots, keys, n):
    """Write the code of each key, by first occurrence; return the table, the keys and their number."""
    n_rows = rows.size // words
    hashes = np.empty(_GROUP, np.uint64)
    for first in range(0, n_rows, _GROUP):
        size = min(_GROUP, n_rows - first)
        while 2 * (n + _GROUP) > slots.size:
            slots, keys = _grow(slots, keys, n, words)
        mask = np.uint64(slots.size - 1)
        for i in range(size):
            mixed = np.uint64(0)
            for w in range(words):
                mixed = (mixed ^ rows[(first + i) * words + w]) * _MIX
                mixed ^= mixed >> _HALF
            hashes[i] = mixed
            prefetch(slots, np.int64(mixed & mask))
        for i in range(size):
            held = slots[hashes[i] & mask]
            if held != _ZERO:
                prefetch(keys, (np.int64(held & _CODE) - 1) * words)
        for i in range(size):
            row = first + i
            tag = hashes[i] & _TAG
            slot = hashes[i] & mask
            while True:
                held = slots[slot]
                if held == _ZERO:
                    slots[slot] = tag | np.uint64(n + 1)
                    for w in range(words):
                        keys[n * words + w] = rows[row * words + w]
                    codes[row] = n
                    n += 1
                    break
                if held & _TAG == tag:
                    code = np.int64(held & _CODE) - 1
                    same = True
                    for w in range(words):
                        same &= keys[code * words + w] == rows[row * words + w]
                    if same:
                        codes[row] = code
                        break
                slot = (slot + _ONE) & mask
    return slots, keys, n


@compiled
def translate(codes, table, start, stop):
    """Replace codes of a range of rows in place: ``table[code]``; a missing one stays missing."""
    for row in range(start, stop):
        if codes[row] >= 0:
            codes[row] = table[codes[row]]
