"""An order of touches and rows that knows no names: by what they are and what they meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from omnireco._kernels.packing.problem import Floats, Integers

__all__ = ["mixed", "nameless"]

Hashes: TypeAlias = NDArray[np.uint64]
_ROUNDS = 3  # a touch knows its rows, their touches, and the rows of these


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
) -> tuple[Integers, Integers]:
    """Return an order of touches and one of rows that do not change when people, items or rows are numbered anew.

    Each touch and each row gets a hash of what it is, then of what it meets, three times over (colour refinement). Two
    with the same hash stand in the order given; exchanging them changes no problem that is met in practice.
    """
    rows = sparse.csr_matrix(matrix)
    columns = sparse.csc_matrix(matrix)
    by_row, by_touch = _bits(rows.data), _bits(columns.data)
    touch = mixed(_bits(_relative(value)))
    own = mixed(_bits(limit) ^ mixed(_bits(least)))
    row = own
    for _ in range(_ROUNDS):
        row = mixed(own + _summed(mixed(touch[rows.indices] ^ by_row), rows.indptr))
        touch = mixed(touch + _summed(mixed(row[columns.indices] ^ by_touch), columns.indptr))
        for group, option in choices:
            touch = _offered(touch, group, option)
    return np.argsort(touch, kind="stable"), np.argsort(row, kind="stable")


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
