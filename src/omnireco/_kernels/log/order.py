"""The order of a log: by time, then by codes, so that the order of the caller's rows never matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from omnireco._core.compute import in_threads, pays, read_only

__all__ = ["distinct", "taken", "time_order"]

LARGE = 200_000  # rows from which compiled code pays for being loaded
_BUCKETS = 12  # bits: some thousand open pages at a time are what a CPU keeps in sight


def distinct(values: np.ndarray) -> np.ndarray:
    """Return the distinct integers, ascending: by sorting, since numpy's hash table degrades on pairs of codes."""
    ordered = np.sort(values, kind="stable")
    return ordered[np.r_[True, ordered[1:] != ordered[:-1]][: ordered.size]]


def time_order(
    at: np.ndarray, codes: Sequence[np.ndarray], extra: Sequence[np.ndarray] = (), *, threads: int | None = None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the rows by (time, codes, extra) and their times, or None when they are in that order already.

    Parameters
    ----------
    at : ndarray of shape (n,), int64
        UTC microseconds.
    codes : four arrays of shape (n,), int32
        User, item, channel, event: the first decides first.
    extra : arrays of shape (n,)
        Further columns for rows that agree in all this, the last one deciding first.

    Returns
    -------
    rows : ndarray of shape (n,), int32 or int64
    times : ndarray of shape (n,), int64
        ``at[rows]``, which is known without looking it up.
    """
    n = at.size
    if not pays(n, LARGE):
        return _lexsorted(at, codes, extra)
    loops = _kernels()

    at = read_only(at, np.int64)
    columns = [read_only(code, np.int32) for code in codes]
    kind = np.int32 if n < 2**31 else np.int64
    ordered = bool(loops.is_ascending(at))
    by_time = (np.arange(n, dtype=kind), at) if ordered else _by_time(at, kind, threads)
    if by_time is None:
        return _lexsorted(at, codes, extra)
    order, times = by_time
    open_runs = np.zeros(n, np.uint8)
    changed: list[int] = []
    in_threads(
        lambda start, stop: changed.append(loops.order_ties(order, times, *columns, start, stop, open_runs)),
        n,
        threads=threads,
    )
    moved = _close_runs(order, times, codes, extra, np.flatnonzero(open_runs))
    return None if ordered and not sum(changed) and not moved else (order, times)


def taken(values: np.ndarray, order: np.ndarray, *, threads: int | None = None) -> np.ndarray:
    """Return ``values[order]``."""
    if not pays(order.size, LARGE):
        return values[order]
    loops = _kernels()

    out = np.empty(order.size, values.dtype)
    values, order = read_only(values, values.dtype), read_only(order, order.dtype)
    in_threads(lambda start, stop: loops.gather(values, order, start, stop, out), order.size, threads=threads)
    return out


def _lexsorted(
    at: np.ndarray, codes: Sequence[np.ndarray], extra: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray] | None:
    order = np.lexsort([*extra, *reversed(codes), at])
    return None if bool((np.diff(order) == 1).all()) and order.size and order[0] == 0 else (order, at[order])


def _by_time(at: np.ndarray, kind: type, threads: int | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the rows by time, and their times; None when a time and a row do not fit one number."""
    loops = _kernels()

    n, low, high = at.size, int(at.min()), int(at.max())
    shift = max(0, (high - low).bit_length() - _BUCKETS)
    row_bits = (n - 1).bit_length()
    if shift + row_bits > 63:
        return None
    counts = np.zeros(((high - low) >> shift) + 1, np.int64)
    loops.count_buckets(at, low, shift, 0, n, counts)
    edges = np.r_[0, np.cumsum(counts)]
    packed = np.empty(n, np.int64)
    loops.scatter(at, low, shift, row_bits, 0, n, edges[:-1].copy(), packed)
    order: np.ndarray = np.empty(n, kind)

    def work(first: int, last: int) -> None:
        for bucket in range(first, last):
            packed[edges[bucket] : edges[bucket + 1]].sort()
        loops.unpack(packed, row_bits, low, shift, edges, first, last, order)

    in_threads(work, counts.size, threads=threads, least=16)
    return order, packed  # which holds the times now: memory that is new costs more than the work


def _close_runs(
    order: np.ndarray, times: np.ndarray, codes: Sequence[np.ndarray], extra: Sequence[np.ndarray], first: np.ndarray
) -> bool:
    """Sort the runs of equal time that begin at some places by all keys, in place; say whether anything moved."""
    if not first.size:
        return False
    inside = np.zeros(order.size, np.bool_)
    begins = np.zeros(order.size, np.bool_)
    begins[first] = True
    new_time = np.r_[True, times[1:] != times[:-1]]
    inside = begins[np.maximum.accumulate(np.where(new_time, np.arange(order.size), 0))]
    rows = order[inside]
    sorted_rows = rows[np.lexsort([*(e[rows] for e in extra), *(c[rows] for c in reversed(codes)), times[inside]])]
    order[inside] = sorted_rows
    return bool((rows != sorted_rows).any())


def _kernels() -> Any:
    """Return the compiled kernels; loading numba takes half a second, which short logs need not pay."""
    from omnireco._kernels.log import order_loops

    return order_loops
