"""Compiled sorting of long logs by time: a radix pass into buckets of time, then each bucket by itself.

A row becomes one number, (time within its bucket, row): it is scattered to its bucket, and every bucket is sorted as
plain integers, which is what CPUs sort fastest. Rows of equal time are then put in order by their codes.
"""

# mypy: ignore-errors
# Compiled: numba is untyped.
from __future__ import annotations

import numpy as np

from omnireco._core.compute import compiled

FEW = 48  # rows of one instant that are sorted by insertion; more go to a lexsort


@compiled
def is_ascending(at):
    """Return whether times never fall."""
    for i in range(1, at.size):  # noqa: SIM110  numba knows no all()
        if at[i] < at[i - 1]:
            return False
    return True


@compiled
def count_buckets(at, low, shift, start, stop, counts):
    """Count the rows of a range per bucket ``(at - low) >> shift``."""
    for row in range(start, stop):
        counts[(at[row] - low) >> shift] += 1


@compiled
def scatter(at, low, shift, row_bits, start, stop, places, packed):
    """Write (time within the bucket, row) of a range of rows to its bucket; ``places`` move on."""
    inside = (np.int64(1) << shift) - 1
    for row in range(start, stop):
        since = at[row] - low
        bucket = since >> shift
        packed[places[bucket]] = ((since & inside) << row_bits) | row
        places[bucket] += 1


@compiled
def unpack(packed, row_bits, low, shift, edges, first, last, order):
    """Unpack the rows of a range of buckets; their times take the place of what was packed."""
    mask = (np.int64(1) << row_bits) - 1
    for bucket in range(first, last):
        begin = low + (bucket << shift)
        for i in range(edges[bucket], edges[bucket + 1]):
            order[i] = packed[i] & mask
            packed[i] = begin + (packed[i] >> row_bits)


@compiled
def _comes_after(a, b, user, item, channel, event):
    """Return whether row a belongs behind row b of the same instant: 1, 0, or -1 for no difference."""
    if user[a] != user[b]:
        return 1 if user[a] > user[b] else 0
    if item[a] != item[b]:
        return 1 if item[a] > item[b] else 0
    if channel[a] != channel[b]:
        return 1 if channel[a] > channel[b] else 0
    if event[a] != event[b]:
        return 1 if event[a] > event[b] else 0
    return -1


@compiled
def order_ties(order, times, user, item, channel, event, start, stop, open_runs):
    """Sort runs of equal time that begin in a range of places, by (user, item, channel, event), in place.

    ``open_runs`` gets a 1 at the first place of every run that is too long, or whose rows the four codes do not
    tell apart. Returns how many places changed.
    """
    n = order.size
    changed = 0
    i = start
    while i < stop and i > 0 and times[i] == times[i - 1]:
        i += 1  # this run began before the range
    while i < stop:
        j = i + 1
        while j < n and times[j] == times[i]:
            j += 1
        if j - i > FEW:
            open_runs[i] = 1
        elif j - i > 1:
            for k in range(i + 1, j):
                row = order[k]
                m = k
                while m > i:
                    after = _comes_after(order[m - 1], row, user, item, channel, event)
                    if after != 1:
                        if after == -1:
                            open_runs[i] = 1
                        break
                    order[m] = order[m - 1]
                    m -= 1
                order[m] = row
                changed += m != k
        i = j
    return changed


@compiled
def gather(values, order, start, stop, out):
    """Write ``values[order]`` for a range of places."""
    for i in range(start, stop):
        out[i] = values[order[i]]
