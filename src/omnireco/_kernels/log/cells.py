"""Coded events summed into cells of users x items, in all and per channel: arrays in, CSR out."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from omnireco._core.compute import pays, read_only, usable_threads
from omnireco.errors import SchemaError

__all__ = ["Coded", "merge_cells", "raw_csr", "sum_cells"]

LARGE = 200_000  # events from which compiled code pays for being loaded
_LEAST = float(np.finfo(np.float32).smallest_subnormal)
_BLOCK = 1 << 20  # events of a block at least, and one sixteenth of all


class Coded(NamedTuple):
    """Events as arrays of shape (n,): codes of users, items (-1: none) and channels, and weights.

    Without ``channel`` there is one channel, without ``weight`` every event weighs 1.
    """

    user: np.ndarray
    item: np.ndarray
    channel: np.ndarray | None
    weight: np.ndarray | None


def sum_cells(
    parts: Sequence[Coded],
    shape: tuple[int, int],
    n_channels: int = 0,
    *,
    cap: float | None = None,
    binary: bool = False,
    threads: int | None = None,
) -> tuple[sp.csr_matrix, list[sp.csr_matrix]]:
    """Sum events into one matrix and one layer per channel.

    Parameters
    ----------
    parts : sequence of Coded
        Events in several pieces, as they were read.
    shape : (n_users, n_items)
    n_channels : int
        How many layers; with 0 there is only the whole.
    cap : float, optional
        Largest absolute value of a cell; the layers of a capped cell shrink alike.
    binary : bool
        Every cell above 0 becomes 1, shared among its layers in proportion; the others are left out.
    threads : int, optional

    Returns
    -------
    (csr_matrix, list of csr_matrix)
        float32, int32 indices, sorted, without stored zeros.

    Raises
    ------
    SchemaError
        When a sum is beyond float32.

    Notes
    -----
    Weights are added in float64 in ascending order, so the order of events and parts never matters. Memory beside
    the answer: 24 bytes per event of the blocks in work (one sixteenth of the events per thread).
    """
    if n_channels == 1 and cap is None and not binary:  # the layer is the whole
        whole, _ = sum_cells(parts, shape, threads=threads)
        return whole, [whole]
    n = sum(part.user.size for part in parts)
    if pays(n, LARGE):
        plan = _plan(parts, shape, n_channels)
        if plan is not None:
            return _sum_large(parts, shape, n_channels, plan, cap, binary, usable_threads(threads))
    return _sum_small(parts, shape, n_channels, cap, binary)


def merge_cells(parts: Sequence[Coded], shape: tuple[int, int], n_channels: int) -> Coded:
    """Sum events per (user, item, channel) in float64: what a long scan holds instead of every event.

    The order of users is kept in no way; events of no item are gone.
    """
    plan = _plan(parts, shape, n_channels)
    if plan is None:  # the codes of one event do not fit a number: only join
        return Coded(*(column.copy() for column in _joined(parts)))
    kernels, arrays, total = _kernels(), [_compiled_form(part) for part in parts], int(plan.events.sum())
    out = [np.empty(total, kind) for kind in (np.int32, np.int32, np.int32, np.float64)]
    most, end = int(plan.events.max(initial=0)), 0
    keys, weights, ordered = np.empty(most, np.int64), np.empty(most), np.empty(most)
    for block, events in enumerate(plan.events.tolist()):
        low, high, n = int(plan.edges[block]), int(plan.edges[block + 1]), 0
        bits = (plan.item_bits, plan.channel_bits, int(events).bit_length())
        for part in arrays:
            n = kernels.pack(*part, low, high, *bits, n, keys, weights)
        keys[:n].sort()
        kernels.by_key(keys[:n], weights, bits[2], ordered)
        end += kernels.merge_block(keys[:n], ordered, *bits, low, *(array[end:] for array in out))
    return Coded(*(array[:end] if end > 0.7 * total else array[:end].copy() for array in out))


def raw_csr(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    """Return a CSR of arrays that are known to be sorted and without duplicates; nothing is copied or checked."""
    matrix = sp.csr_matrix((data, indices, indptr), shape, copy=False)
    matrix.has_sorted_indices = True
    matrix.has_canonical_format = True
    return matrix


# long logs: block by block, compiled ------------------------------------------------------------------------


class _Plan(NamedTuple):
    """Blocks of users: their edges, how many events each holds, and the bits that item and channel need."""

    edges: np.ndarray
    events: np.ndarray
    item_bits: int
    channel_bits: int


def _plan(parts: Sequence[Coded], shape: tuple[int, int], n_channels: int) -> _Plan | None:
    """Return blocks of which every event fits one 63-bit number, or None when one person alone is too much."""
    loops = _kernels()

    counts = np.zeros(shape[0], np.int64)
    for user, item, _, _ in map(_compiled_form, parts):
        loops.count_users(user, item, counts)
    before = np.r_[0, np.cumsum(counts)]
    item_bits, channel_bits = int(max(shape[1] - 1, 1)).bit_length(), int(max(n_channels - 1, 0)).bit_length()
    target = max(_BLOCK, -(-int(before[-1]) // 16))
    while True:
        edges = [0]
        while edges[-1] < shape[0]:
            edges.append(max(edges[-1] + 1, int(np.searchsorted(before, before[edges[-1]] + target, "right")) - 1))
        users, events = np.diff(edges), np.diff(before[edges])
        bits = [int(u - 1).bit_length() + int(e).bit_length() for u, e in zip(users, events, strict=True)]
        if max(bits, default=0) + item_bits + channel_bits <= 63:
            return _Plan(np.array(edges), events, item_bits, channel_bits)
        if target < 1024:
            return None
        target //= 2


def _sum_large(
    parts: Sequence[Coded],
    shape: tuple[int, int],
    n_channels: int,
    plan: _Plan,
    cap: float | None,
    binary: bool,
    threads: int,
) -> tuple[sp.csr_matrix, list[sp.csr_matrix]]:
    loops = _kernels()

    n_blocks, total = len(plan.events), int(plan.events.sum())
    arrays = [_compiled_form(part if n_channels else part._replace(channel=None)) for part in parts]
    starts = np.r_[0, np.cumsum(plan.events)][:-1]
    indptr = np.zeros(shape[0] + 1, np.int32 if total < 2**31 else np.int64)
    indices, data = np.empty(total, np.int32), np.empty(total, np.float32)  # untouched memory costs nothing
    per_channel = np.zeros((n_blocks, n_channels), np.int64)
    if n_channels:
        block_of_user = np.repeat(np.arange(n_blocks, dtype=np.int32), np.diff(plan.edges))
        for user, item, channel, _ in arrays:
            loops.count_channels(user, item, channel, block_of_user, per_channel)
    offsets = np.cumsum(np.r_[0, per_channel.T.ravel()])[:-1].reshape(n_channels, n_blocks)
    layer_indptr = np.zeros((n_channels, shape[0] + 1), indptr.dtype)
    room = total if n_channels else 0
    layer_indices, layer_data = np.empty(room, np.int32), np.empty(room, np.float32)
    cells, layer_cells = np.zeros(n_blocks, np.int64), np.zeros((n_channels, n_blocks), np.int64)
    finite = np.ones(n_blocks, np.bool_)

    def work(worker: int) -> None:
        most = int(plan.events.max(initial=0))
        keys, weights, ordered = np.empty(most, np.int64), np.empty(most), np.empty(most)
        for block in range(worker, n_blocks, threads):
            low, high = int(plan.edges[block]), int(plan.edges[block + 1])
            place_bits, n = int(plan.events[block]).bit_length(), 0
            for part in arrays:
                n = loops.pack(*part, low, high, plan.item_bits, plan.channel_bits, place_bits, n, keys, weights)
            keys[:n].sort()
            loops.by_key(keys[:n], weights, place_bits, ordered)
            own, own_layers = np.zeros(high - low + 1, np.int64), np.zeros((n_channels, high - low + 1), np.int64)
            start = int(starts[block])
            cells[block], finite[block] = loops.sum_block(
                keys[:n],
                ordered,
                plan.item_bits,
                plan.channel_bits,
                place_bits,
                0.0 if cap is None else float(cap),
                binary,
                high - low,
                own,
                indices[start : start + n],
                data[start : start + n],
                own_layers,
                np.ascontiguousarray(offsets[:, block]),
                layer_indices,
                layer_data,
            )
            layer_cells[:, block] = own_layers[:, -1]
            indptr[low + 1 : high + 1] = own[1:] - own[:-1]
            layer_indptr[:, low + 1 : high + 1] = own_layers[:, 1:] - own_layers[:, :-1]

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, worker) for worker in range(threads)]:
            done.result()
    if not finite.all():
        _refuse_large()
    np.cumsum(indptr, out=indptr)
    np.cumsum(layer_indptr, axis=1, out=layer_indptr)
    whole = raw_csr(_packed(data, starts, cells), _packed(indices, starts, cells), indptr, shape)
    layers = []
    for code in range(n_channels):
        first, last = int(offsets[code, 0]), int(offsets[code, 0] + per_channel[:, code].sum())
        edges, held = offsets[code] - first, layer_cells[code]
        found, column = (_packed(array[first:last], edges, held) for array in (layer_data, layer_indices))
        layers.append(raw_csr(found, column, layer_indptr[code], shape))
    return whole, layers


def _compiled_form(part: Coded) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return read-only views of one kind, so that every kernel is compiled once."""
    channel = np.empty(0, np.int32) if part.channel is None else part.channel
    weight = np.empty(0) if part.weight is None else part.weight
    return (
        read_only(part.user, np.int32),
        read_only(part.item, np.int32),
        read_only(channel, np.int32),
        read_only(weight, np.float64),
    )


def _packed(array: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Close the gaps between blocks, in place; copy what is left only when most of the room was not needed."""
    end = 0
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        if start != end:
            array[end : end + length] = array[start : start + length]
        end += length
    return array[:end] if end > 0.7 * array.size else array[:end].copy()


# short ones: plain numpy ------------------------------------------------------------------------------------


def _joined(parts: Sequence[Coded]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return all parts as one, without events of no item and each with a channel and a weight; do not write to them."""
    columns: list[list[np.ndarray]] = [[np.empty(0, np.int32)] for _ in range(3)] + [[np.empty(0)]]
    for part in parts:
        own_channel = np.zeros(part.user.size, np.int32) if part.channel is None else part.channel
        own_weight = np.ones(part.user.size) if part.weight is None else part.weight
        for column, values in zip(columns, (part.user, part.item, own_channel, own_weight), strict=True):
            column.append(values)
    if len(parts) == 1:  # the history of one person: what is taken apart here counts
        user, item, channel, weight = (column[1] for column in columns)
        if item.size and item.min() >= 0:
            return user, item, channel, weight.astype(np.float64, copy=False)
    else:
        user, item, channel, weight = (np.concatenate(column) for column in columns)
    keep = np.flatnonzero(item >= 0)
    return user[keep], item[keep], channel[keep], weight[keep]


def _sum_small(
    parts: Sequence[Coded], shape: tuple[int, int], n_channels: int, cap: float | None, binary: bool
) -> tuple[sp.csr_matrix, list[sp.csr_matrix]]:
    user, item, channel, weight = _joined(parts)
    key = user.astype(np.int64) * max(1, shape[1]) + item
    cells, sums = _sum_keys(key, weight)
    kept = np.abs(sums) >= _LEAST  # float32 has no other cells
    if not kept.all():
        cells, sums = cells[kept], sums[kept]
    if cap is None and not binary:
        whole = _single(cells, sums, shape)
        each = [_sum_keys(key[rows], weight[rows]) for rows in _by_channel(channel, n_channels)]
        return whole, [_single(*layer, shape) for layer in each]
    final = (sums > 0).astype(np.float64) if binary else sums
    if cap is not None:
        final = np.clip(final, -cap, cap)
    ratio, layers = np.append(final / sums, 0.0), []
    for rows in _by_channel(channel, n_channels):
        own, part = _sum_keys(key[rows], weight[rows])
        place = np.searchsorted(cells, own)
        held = place < cells.size
        held[held] = cells[place[held]] == own[held]
        layers.append(_single(own, part * ratio[np.where(held, place, cells.size)], shape))
    return _single(cells, final, shape), layers


def _by_channel(channel: np.ndarray, n_channels: int) -> list[np.ndarray]:
    return [np.flatnonzero(channel == code) for code in range(n_channels)]


def _sum_keys(key: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct keys, ascending, and the sum of each in float64, whatever the order of rows; no sums of 0."""
    if not key.size:
        return key, weight
    constant = bool((weight == weight[0]).all())
    order = np.argsort(key, kind="stable") if constant else np.lexsort([weight, key])
    key, weight = key[order], weight[order]
    fresh = np.empty(key.size, np.bool_)
    fresh[0] = True
    np.not_equal(key[1:], key[:-1], out=fresh[1:])
    first = np.flatnonzero(fresh)
    key, sums = key[first], np.add.reduceat(weight, first)
    kept = sums != 0
    return (key, sums) if kept.all() else (key[kept], sums[kept])


def _single(cells: np.ndarray, sums: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    """Return the matrix of cells by their keys, ascending, in float32, without those that round to zero."""
    with np.errstate(over="ignore", under="ignore"):
        data = sums.astype(np.float32)
    if data.size and not np.isfinite(data).all():
        _refuse_large()
    if not data.all():
        kept = np.flatnonzero(data)
        cells, data = cells[kept], data[kept]
    width = max(1, shape[1])
    kind = np.int32 if max(*shape, cells.size) < 2**31 else np.int64
    indptr = np.zeros(shape[0] + 1, kind)
    if shape[0] == 1:
        indptr[1], column = cells.size, cells
    else:
        np.cumsum(np.bincount(cells // width, minlength=shape[0]), out=indptr[1:])
        column = cells % width
    return raw_csr(data, column.astype(kind), indptr, shape)


def _refuse_large() -> Any:
    raise SchemaError(
        "Interactions: a summed weight exceeds 3.4e38, the largest float32. "
        "Scale the weights down, or hold them: Weights(cap=1000)."
    )


def _kernels() -> Any:
    """Return the compiled kernels; loading numba takes half a second, which short logs need not pay."""
    from omnireco._kernels.log import cell_loops

    return cell_loops
