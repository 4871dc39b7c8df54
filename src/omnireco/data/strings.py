"""Long string columns to codes, straight from Arrow's buffers: no Python object per row, no copy of the column."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from omnireco._compute import in_threads, read_only, split_evenly, usable_threads

__all__ = ["encode_long"]

_LONGEST = 127  # bytes of an id; a longer one sends the column to Arrow's own hash


def encode_long(array: Any, *, threads: int | None = None) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the sorted distinct strings of a pyarrow string array and the int32 code of each row, -1 for null.

    Each thread codes one range of rows with a hash table of its own; then the few distinct strings are joined,
    sorted by their bytes, and the codes renamed in place. Gives None where a string is longer than 127 bytes, or
    the machine stores numbers big end first.
    """
    _strings = _kernels()

    n = len(array)
    data, offsets, valid = _buffers(array)
    longest = max((_strings.longest(offsets, part.start, part.stop) for part in split_evenly(n, 1)), default=0)
    if longest > _LONGEST or sys.byteorder != "little":
        return None
    words = int(longest) // 8 + 1
    codes = np.empty(n, np.int32)
    parts = split_evenly(n, usable_threads(threads))
    with ThreadPoolExecutor(len(parts)) as pool:
        jobs = [
            pool.submit(_strings.distinct_strings, data, offsets, valid, part.start, part.stop, words, codes)
            for part in parts
        ]
        found = [job.result() for job in jobs]
    sizes = [keys.size // words for keys in found]
    code_of_key = np.empty(sum(sizes), np.int32)
    keys = _strings.distinct_words(np.concatenate(found), words, code_of_key).reshape(-1, words)
    order = _order_of(keys)
    rank = np.empty(order.size, np.int32)
    rank[order] = np.arange(order.size, dtype=np.int32)
    table = rank[code_of_key]
    first = 0
    for part, size in zip(parts, sizes, strict=True):
        own = table[first : first + size]
        in_threads(partial(_rename, codes[part], own), part.stop - part.start)
        first += size
    return _strings_of(keys[order]), codes


def _rename(codes: np.ndarray, table: np.ndarray, start: int, stop: int) -> None:
    _kernels().translate(codes, table, start, stop)


def _buffers(array: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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


def _order_of(keys: np.ndarray) -> np.ndarray:
    """Return the rows of keys of shape (n, words) in the order of their bytes."""
    first = keys[:, 0].byteswap()
    order = np.argsort(first)
    sorted_first = first[order]
    if keys.shape[1] > 1 and bool((sorted_first[1:] == sorted_first[:-1]).any()):
        order = np.lexsort([keys[:, w].byteswap() for w in reversed(range(keys.shape[1]))])
    return order


def _strings_of(keys: np.ndarray) -> np.ndarray:
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
    from omnireco.data import _strings

    return _strings
