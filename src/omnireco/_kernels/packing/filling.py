"""Take touches in an order while they fit: limits, and one option per group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from omnireco._core.compute import compiled, suited
from omnireco._kernels.packing.problem import TOLERANCE, Bools, Floats, Integers

__all__ = ["LARGE", "fill"]

LARGE = 200_000  # entries of A from which compiled code pays for the greedy loop


def fill(
    order: Integers,
    matrix: Any,
    limit: Floats,
    chosen: Bools,
    choices: Sequence[tuple[Integers, Integers]] = (),
    *,
    over: Floats | None = None,
) -> Bools:
    """Return ``chosen`` with every touch added, in ``order``, that still fits all its rows and is of its groups' offer.

    A touch with a weight below 0 gives room to those after it. Cost: one pass over the entries of ``matrix``; compiled
    when there are many. ``over`` is by how much each limit may be passed: rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> one = sparse.csr_matrix(np.ones((1, 3)))
    >>> fill(np.array([2, 0, 1]), one, np.array([2.0]), np.zeros(3, dtype=bool)).tolist()
    [True, False, True]
    """
    columns = sparse.csc_matrix(matrix)
    room = limit + (TOLERANCE * limit if over is None else over) - matrix @ chosen.astype(np.float64)
    taken = chosen.copy()
    group, option, offer = _state(choices, chosen)
    suited(_fill_loop, columns.nnz, least=LARGE)(
        np.asarray(order, dtype=np.int64),
        columns.indptr.astype(np.int64),
        columns.indices.astype(np.int64),
        columns.data,
        room,
        taken,
        group,
        option,
        offer,
    )
    return taken


def _state(choices: Sequence[tuple[Integers, Integers]], chosen: Bools) -> tuple[Integers, Integers, Integers]:
    """Return group and option of each touch in each choice, groups numbered through, and what groups have chosen."""
    groups, options, at = [], [], 0
    for group, option in choices:
        groups.append(np.where(group >= 0, group + at, -1))
        options.append(option)
        at += int(group.max(initial=-1)) + 1
    shape = (len(groups), chosen.size)
    group = np.array(groups, np.int64).reshape(shape)
    option = np.array(options, np.int64).reshape(shape)
    offer = np.full(at, -1, np.int64)
    for code, which in zip(group, option, strict=True):
        mine = chosen & (code >= 0)
        offer[code[mine]] = which[mine]
    return group, option, offer


@compiled
def _fill_loop(
    order: Any, start: Any, row: Any, weight: Any, room: Any, taken: Any, group: Any, option: Any, offer: Any
) -> None:
    """Take touches in order while they fit; ``room``, ``taken`` and ``offer`` change in place."""
    for a in order:
        if taken[a]:
            continue
        fits = True
        for i in range(start[a], start[a + 1]):
            if weight[i] > 0 and weight[i] > room[row[i]]:
                fits = False
                break
        for c in range(group.shape[0]):
            g = group[c, a]
            if g >= 0 and offer[g] >= 0 and offer[g] != option[c, a]:
                fits = False
        if fits:
            taken[a] = True
            for i in range(start[a], start[a + 1]):
                room[row[i]] -= weight[i]
            for c in range(group.shape[0]):
                if group[c, a] >= 0:
                    offer[group[c, a]] = option[c, a]
