"""An order of touches and rows that knows no names: by what they are and what they meet."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from omnireco._core.compute import compiled, in_parallel, pays, split_evenly
from omnireco._kernels.packing.problem import Floats, Integers

__all__ = ["in_groups", "mixed", "nameless", "ranked"]

Hashes: TypeAlias = NDArray[np.uint64]
_ROUNDS = 3  # a touch knows its rows, their touches, and the rows of these
_LARGE = 3_000_000  # entries of a matrix from which hashes are compiled
_STRETCHES = 16
_STEP, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_U27, _U30, _U31, _MINUS_ZERO = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(1 << 63)


def mixed(number: Any) -> Hashes:
    """Return numbers spread over 64 bits (splitmix64, Steele et al. 2014)."""
    z = np.asarray(number, np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def nameless(
    value: Floats,
    matrix: Any,
    limit: Floats,
    least: Floats,
    choices: Sequence[tuple[Integers, Integers]] = (),
    columns: Any = None,
) -> tuple[Integers, Integers]:
    """Return an order of touches and one of rows that do not change when people, items or rows are numbered anew.

    Each touch and each row gets a hash of what it is, then of what it meets, three times over (colour refinement). Two
    with the same hash stand in the order given; exchanging them changes no problem that is met in practice. Of a large
    problem one time is enough where no two touches are alike then. ``columns`` is the matrix as csc, where it is known.
    """
    rows = sparse.csr_matrix(matrix)
    columns = sparse.csc_matrix(matrix) if columns is None else columns
    met = _met_compiled if pays(rows.nnz, _LARGE) else _met
    touch = mixed(_bits(_relative(value)))
    own = mixed(_bits(limit) ^ mixed(_bits(least)))
    row = own
    for _ in range(_ROUNDS):
        row = met(rows, touch, own)
        touch = met(columns, row, touch)
        for group, option in choices:
            touch = _offered(touch, group, option)
        if rows.nnz >= _LARGE:
            order = ranked(touch)
            if (touch[order[1:]] != touch[order[:-1]]).all():
                return order, ranked(row)
    return ranked(touch), ranked(row)


def ranked(number: Any) -> Integers:
    """Return the order of numbers, equal ones as they stand: a stable sort, in half its time where few are equal."""
    order = np.argsort(number)
    placed = number[order]
    equal = np.flatnonzero(placed[1:] == placed[:-1])
    if equal.size > number.size // 8:
        return np.asarray(np.argsort(number, kind="stable"))
    if equal.size:
        places = np.union1d(equal, equal + 1)  # stretches of equal numbers, whole
        order[places] = order[places][np.lexsort((order[places], placed[places]))]
    return np.asarray(order)


def in_groups(group: Integers, n_groups: int) -> tuple[Integers, Integers]:
    """Return the positions of each group in turn, as they stand, and where each group starts, shape (n_groups + 1,)."""
    n = group.size
    one = sparse.csc_matrix((np.ones(n, np.int8), group, np.arange(n + 1)), shape=(n_groups, n)).tocsr()
    return one.indices.astype(np.int64), one.indptr.astype(np.int64)


def _met(matrix: Any, other: Hashes, own: Hashes) -> Hashes:
    """Return hashes that know what each row (of csr; column of csc) meets, and by which weights."""
    return mixed(own + _summed(mixed(other[matrix.indices] ^ _bits(matrix.data)), matrix.indptr))


def _met_compiled(matrix: Any, other: Hashes, own: Hashes) -> Hashes:
    """Return the same without the arrays between."""
    found = np.empty(own.size, np.uint64)
    bits = np.ascontiguousarray(matrix.data, np.float64).view(np.uint64)
    places = np.array([part.start for part in split_evenly(matrix.nnz, _STRETCHES)], np.int64)
    edges = [0, *np.searchsorted(matrix.indptr, places[1:]).tolist(), own.size]

    def stretch(first: int, last: int) -> Any:
        return lambda: _met_loop(first, last, matrix.indptr, matrix.indices, bits, other, own, found)

    in_parallel([stretch(min(a, own.size), min(b, own.size)) for a, b in itertools.pairwise(edges)])
    return found


@compiled
def _met_loop(first: int, last: int, start: Any, met: Any, bits: Any, other: Any, own: Any, out: Any) -> None:
    for i in range(first, last):
        total = np.uint64(0)
        for e in range(start[i], start[i + 1]):
            w = bits[e]
            if w == _MINUS_ZERO:
                w = np.uint64(0)
            z = (other[met[e]] ^ w) + _STEP
            z = (z ^ (z >> _U30)) * _FIRST
            z = (z ^ (z >> _U27)) * _SECOND
            total += z ^ (z >> _U31)
        z = (own[i] + total) + _STEP
        z = (z ^ (z >> _U30)) * _FIRST
        z = (z ^ (z >> _U27)) * _SECOND
        out[i] = z ^ (z >> _U31)


def _bits(number: Floats) -> Hashes:
    """Return the bits of floats; minus zero is zero."""
    return (np.ascontiguousarray(number, np.float64) + 0.0).view(np.uint64)


def _relative(value: Floats) -> Floats:
    """Return values as shares of the greatest, to 32 bits: the currency must not matter, nor its rounding."""
    share = value / max(float(np.abs(value).max(initial=0.0)), np.finfo(np.float64).tiny)
    mantissa, exponent = np.frexp(share)
    return np.ldexp(np.rint(mantissa * 2.0**32), exponent - 32)


def _summed(number: Hashes, start: Any) -> Hashes:
    """Return sums over stretches, in wrapping arithmetic, which knows no order."""
    total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(number, dtype=np.uint64)])
    return np.asarray(total[start[1:]] - total[start[:-1]])


def _offered(touch: Hashes, group: Integers, option: Integers) -> Hashes:
    """Return hashes that know who else carries the same offer, and the other offers of the group."""
    mine = np.flatnonzero(group >= 0)
    if not mine.size:
        return touch
    pairs, pair = np.unique(np.stack([group[mine], option[mine]], axis=1), axis=0, return_inverse=True)
    pair = np.ravel(pair)
    offer, whole = np.zeros(pairs.shape[0], np.uint64), np.zeros(int(pairs[:, 0].max()) + 1, np.uint64)
    np.add.at(offer, pair, mixed(touch[mine]))
    np.add.at(whole, pairs[:, 0], mixed(offer))
    known = touch.copy()
    known[mine] = mixed(touch[mine] + mixed(offer[pair]) + whole[pairs[pair, 0]])
    return known
