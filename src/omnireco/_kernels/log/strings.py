"""Long string columns to codes, straight from Arrow's buffers: no Python object per row, no copy of the column."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from omnireco._core.compute import in_threads, read_only, split_evenly, usable_threads

__all__ = ["Coder", "buffers", "encode_long", "order_of", "strings_of", "words_for"]

_WORDS = 16  # an id of more than 127 bytes sends the column to Arrow's own hash
_SLICE = 1 << 18  # rows of string views laid out at a time


def encode_long(array: Any, *, threads: int | None = None) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the sorted distinct strings of a pyarrow string column and the int32 code of each row, -1 for null.

    Each thread codes one range of rows with a hash table of its own; then the few distinct strings are joined,
    sorted by their bytes, and the codes renamed in place. An Array and a ChunkedArray are read where they lie;
    string views are laid out a slice at a time. Gives None where a string is longer than 127 bytes, or the
    machine stores numbers big end first.
    """
    if sys.byteorder != "little":
        return None
    codes = np.empty(len(array), np.int32)
    parts = split_evenly(len(array), usable_threads(threads))
    coders = [Coder(1) for _ in parts]
    with ThreadPoolExecutor(len(parts)) as pool:
        jobs = [
            pool.submit(_code_rows, coder, array, part.start, part.stop, codes)
            for coder, part in zip(coders, parts, strict=True)
        ]
        if not all(job.result() for job in jobs):
            return None
    words = max(coder.words for coder in coders)
    for coder in coders:
        if coder.words < words:
            coder.widen(words)
    sizes = [coder.n for coder in coders]
    joined = coders[0]  # its own codes stay, the others' are looked up in it
    code_of_key = np.empty(sum(sizes), np.int32)
    code_of_key[: joined.n] = np.arange(joined.n, dtype=np.int32)
    first = joined.n
    for coder in coders[1:]:
        joined.code_words(coder.known, code_of_key[first : first + coder.n])
        first += coder.n
    keys = joined.known.reshape(-1, words)
    order = order_of(keys)
    rank = np.empty(order.size, np.int32)
    rank[order] = np.arange(order.size, dtype=np.int32)
    table = rank[code_of_key]
    first = 0
    for part, size in zip(parts, sizes, strict=True):
        own = table[first : first + size]
        in_threads(partial(_rename, codes[part], own), part.stop - part.start)
        first += size
    return strings_of(keys[order]), codes


def _code_rows(coder: Coder, array: Any, start: int, stop: int, codes: np.ndarray) -> bool:
    """Write the codes of a range of rows; False where a string is too long for it."""
    for first, piece in _pieces(array, start, stop):
        data, offsets, valid = buffers(piece)
        words = words_for(offsets)
        if words > _WORDS:
            return False
        if words > coder.words:
            coder.widen(words)
        coder.code_strings(data, offsets, valid, 0, len(piece), codes[first : first + len(piece)])
    return True


def _pieces(array: Any, start: int, stop: int) -> Iterator[tuple[int, Any]]:
    """Yield (first row, string array) of a range of rows: whole chunks, or slices of views, which must be copied."""
    import pyarrow as pa
    import pyarrow.types as pt

    views, first = pt.is_string_view(array.type), 0
    for chunk in array.chunks if isinstance(array, pa.ChunkedArray) else [array]:
        low, high = max(start, first), min(stop, first + len(chunk))
        for row in range(low, high, _SLICE if views else max(1, high - low)):
            piece = chunk.slice(row - first, min(_SLICE, high - row) if views else high - row)
            yield row, piece.cast(pa.large_string()) if views else piece
        first += len(chunk)


class Coder:
    """A growing table of distinct strings, or of distinct 64-bit numbers; codes count by first occurrence.

    Parameters
    ----------
    words : int
        Words of 64 bits per key.
    room : int
        How many keys are expected.
    """

    def __init__(self, words: int, room: int = 0) -> None:
        size = max(12, int(2 * room).bit_length())
        self.words, self.n = words, 0
        self.slots, self.keys = np.zeros(1 << size, np.uint64), np.empty((1 << size) // 2 * words, np.uint64)

    @property
    def known(self) -> np.ndarray:
        """The words of the keys so far, in order of their codes."""
        return self.keys[: self.n * self.words]

    def code_strings(
        self, data: np.ndarray, offsets: np.ndarray, valid: np.ndarray, start: int, stop: int, codes: np.ndarray
    ) -> None:
        """Write the codes of a range of strings, which must fit the words."""
        self.slots, self.keys, self.n = _kernels().distinct_strings(
            data, offsets, valid, start, stop, self.words, codes, self.slots, self.keys, self.n
        )

    def code_words(self, rows: np.ndarray, codes: np.ndarray) -> None:
        """Write the codes of keys given by their words."""
        self.slots, self.keys, self.n = _kernels().distinct_words(
            read_only(rows, np.uint64), self.words, codes, self.slots, self.keys, self.n
        )

    def widen(self, words: int) -> None:
        """Make room for longer strings: the length moves to the last byte of the wider key."""
        wide = np.zeros((self.n, words), np.uint64)
        wide[:, : self.words] = self.known.reshape(self.n, self.words)
        top = np.uint64(56)
        length = wide[:, self.words - 1] >> top
        wide[:, self.words - 1] &= ~(np.uint64(255) << top)
        wide[:, -1] |= length << top
        self.words, self.keys = words, np.empty(self.slots.size // 2 * words, np.uint64)
        self.keys[: wide.size] = wide.ravel()
        self.slots = _kernels().table_of(self.keys, self.n, words, self.slots.size)


def _rename(codes: np.ndarray, table: np.ndarray, start: int, stop: int) -> None:
    _kernels().translate(codes, table, start, stop)


def words_for(offsets: np.ndarray) -> int:
    """Return how many words the longest string of a column needs: its bytes, and one for its length."""
    return int(_kernels().longest(offsets, 0, offsets.size - 1)) // 8 + 1


def buffers(array: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the bytes, offsets and validity of a string array as read-only numpy arrays."""
    import pyarrow.types as pt

    _, places, content = array.buffers()
    kind = np.dtype(np.int64 if pt.is_large_string(array.type) else np.int32)
    offsets = np.frombuffer(places, kind, len(array) + 1, array.offset * kind.itemsize)
    data = np.empty(0, np.uint8) if content is None else np.frombuffer(content, np.uint8)
    valid = np.empty(0, np.bool_)
    if array.null_count:
        valid = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), np.bool_)
    return read_only(data, np.uint8), read_only(offsets, kind), read_only(valid, np.bool_)


def order_of(keys: np.ndarray) -> np.ndarray:
    """Return the rows of keys of shape (n, words) in the order of their bytes."""
    first = keys[:, 0].byteswap()
    order = np.argsort(first)
    sorted_first = first[order]
    if keys.shape[1] > 1 and bool((sorted_first[1:] == sorted_first[:-1]).any()):
        order = np.lexsort([keys[:, w].byteswap() for w in reversed(range(keys.shape[1]))])
    return order


def strings_of(keys: np.ndarray) -> np.ndarray:
    """Return keys of shape (n, words) as Python strings."""
    import pyarrow as pa

    content = np.ascontiguousarray(keys).view(np.uint8).reshape(len(keys), 8 * keys.shape[1])
    length = content[:, -1].astype(np.int64)
    inside = np.arange(content.shape[1]) < length[:, None]
    offsets = np.zeros(len(keys) + 1, np.int64)
    np.cumsum(length, out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(content[inside])]
    strings = pa.Array.from_buffers(pa.large_string(), len(keys), buffers)
    return np.asarray(strings.to_numpy(zero_copy_only=False), object)


def _kernels() -> Any:
    """Return the compiled kernels; loading numba takes half a second, which short logs need not pay."""
    from omnireco._kernels.log import string_loops

    return string_loops
