"""Compiled sums of coded events into cells: one block of people at a time, however the events are ordered.

For a block every event becomes one number, (person, item, channel, place): sorting plain integers brings the
events of a cell together, and one walk sums them. Nothing of the size of the log is copied.
"""

# mypy: ignore-errors
# Compiled: numba is untyped.
from __future__ import annotations

import numpy as np

from omnireco._core.compute import compiled

_TINY = 1.401298464324817e-45  # the smallest float32 above 0


@compiled
def count_users(user, item, counts):
    """Add the events with an item to the count of their user."""
    for row in range(user.size):
        if item[row] >= 0:
            counts[user[row]] += 1


@compiled
def count_channels(user, item, channel, block_of_user, counts):
    """Add the events with an item to the count of (block of users, channel)."""
    for row in range(user.size):
        if item[row] >= 0:
            counts[block_of_user[user[row]], channel[row]] += 1


@compiled
def pack(user, item, channel, weight, low, high, item_bits, channel_bits, place_bits, n, keys, weights):
    """Append the events of users low to high (exclusive) to keys and weights, from place n on; return the new n.

    An empty ``channel`` means that there is one; an empty ``weight`` that every event weighs 1.
    """
    for row in range(user.size):
        who = user[row]
        if who >= low and who < high and item[row] >= 0:
            key = (np.int64(who - low) << item_bits) | np.int64(item[row])
            key <<= channel_bits
            if channel.size:
                key |= np.int64(channel[row])
            keys[n] = (key << place_bits) | n
            weights[n] = weight[row] if weight.size else 1.0
            n += 1
    return n


@compiled
def by_key(keys, weights, place_bits, ordered):
    """Write the weight of every key: a loop of its own, so that the CPU fetches many at once."""
    mask = (np.int64(1) << place_bits) - 1
    for i in range(keys.size):
        ordered[i] = weights[keys[i] & mask]


@compiled
def _sum_ascending(weights, i, j):
    """Return the sum of weights i to j, smallest first: the same for any order of events. Sorts them in place.

    Shell's sort, with gaps that shrink to a third: numba's own takes two seconds to compile.
    """
    gap = 1
    while 9 * gap < j - i:
        gap = 3 * gap + 1
    while gap > 0:
        for k in range(i + gap, j):
            value = weights[k]
            m = k
            while m >= i + gap and weights[m - gap] > value:
                weights[m] = weights[m - gap]
                m -= gap
            weights[m] = value
        gap //= 3
    total = 0.0
    for k in range(i, j):
        total += weights[k]
    return total


@compiled
def sum_block(keys, weights, item_bits, channel_bits, place_bits, cap, binary,
              n_users, indptr, indices, data, layer_indptr, layer_places, layer_indices, layer_data):  # fmt: skip
    """Sum the sorted keys of a block of users, and their weights, into rows of the whole and of every layer.

    indptr (n_users + 1) gets the number of cells before each user of the block, 0 first; indices and data from 0 on.
    layer_indptr (n_channels, n_users + 1) likewise; the cells of layer c are written from layer_places[c] on.
    ``cap`` of 0 means none. Returns the number of cells, and whether a number was beyond float32.
    """
    n = keys.size
    n_layers = layer_places.size
    item_mask = (np.int64(1) << item_bits) - 1
    channel_mask = (np.int64(1) << channel_bits) - 1
    sums, names = np.empty(max(n_layers, 1)), np.empty(max(n_layers, 1), np.int64)
    filled = np.zeros(max(n_layers, 1), np.int64)
    cells, finite = 0, True
    user = 0
    i = 0
    while i < n:
        cell = keys[i] >> (place_bits + channel_bits)
        item = cell & item_mask
        who = cell >> item_bits
        while user < who:
            user += 1
            indptr[user] = cells
            for c in range(n_layers):
                layer_indptr[c, user] = filled[c]
        total, parts = 0.0, 0
        while i < n and keys[i] >> (place_bits + channel_bits) == cell:
            name = keys[i] >> place_bits
            j = i + 1
            while j < n and keys[j] >> place_bits == name:
                j += 1
            sums[parts] = weights[i] if j == i + 1 else _sum_ascending(weights, i, j)
            names[parts] = name & channel_mask
            total += sums[parts]
            parts += 1
            i = j
        final = total if abs(total) >= _TINY else 0.0
        if binary:
            final = 1.0 if final > 0 else 0.0
        if cap > 0:
            final = min(max(final, -cap), cap)
        ratio = 1.0
        if binary or cap > 0:
            ratio = final / total if final != 0 else 0.0
        single = np.float32(final)
        if single != 0:
            finite &= np.isfinite(single)
            indices[cells] = item
            data[cells] = single
            cells += 1
        for k in range(parts if n_layers else 0):
            c = names[k]
            single = np.float32(sums[k] * ratio)
            if single != 0:
                finite &= np.isfinite(single)
                layer_indices[layer_places[c] + filled[c]] = item
                layer_data[layer_places[c] + filled[c]] = single
                filled[c] += 1
    while user < n_users:
        user += 1
        indptr[user] = cells
        for c in range(n_layers):
            layer_indptr[c, user] = filled[c]
    return cells, finite


@compiled
def merge_block(keys, weights, item_bits, channel_bits, place_bits, low, user, item, channel, weight):
    """Write one event per (user, item, channel) of the sorted keys of a block of users; return how many."""
    item_mask = (np.int64(1) << item_bits) - 1
    channel_mask = (np.int64(1) << channel_bits) - 1
    n = keys.size
    cells = 0
    i = 0
    while i < n:
        name = keys[i] >> place_bits
        j = i + 1
        while j < n and keys[j] >> place_bits == name:
            j += 1
        total = weights[i] if j == i + 1 else _sum_ascending(weights, i, j)
        cell = name >> channel_bits
        user[cells] = low + (cell >> item_bits)
        item[cells] = cell & item_mask
        channel[cells] = name & channel_mask
        weight[cells] = total
        cells += 1
        i = j
    return cells
