"""An order of touches and rows that knows no names: the same by numpy and compiled, and however things are numbered."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from omnireco._core.compute import always_compiled
from omnireco._kernels.packing import order as order_module
from omnireco._kernels.packing.order import in_groups, nameless, ranked


def problem(seed, n=60, rows=12, ties=False):
    draw = np.random.default_rng(seed)
    value = draw.integers(1, 4, n).astype(float) if ties else draw.random(n)
    matrix = sparse.random(rows, n, 0.2, format="csr", random_state=seed)
    matrix.data[:] = draw.choice([1.0, 0.5, -0.0], matrix.nnz)
    return value, matrix, draw.integers(1, 5, rows).astype(float), np.zeros(rows)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_compiled_hashes_are_those_of_numpy(seed, ties):
    one = problem(seed, ties=ties)
    plain = nameless(*one)
    with always_compiled():
        fast = nameless(*one)
    assert [a.tolist() for a in plain] == [b.tolist() for b in fast]


@pytest.mark.parametrize("large", [1, 10**9])
@pytest.mark.parametrize("seed", range(5))
def test_numbering_anew_changes_nothing(seed, large, monkeypatch):
    """Also where touches differ after one turn, which is all that large problems take."""
    monkeypatch.setattr(order_module, "_LARGE", large)
    value, matrix, limit, least = problem(seed)
    draw = np.random.default_rng(seed)
    t, r = draw.permutation(value.size), draw.permutation(limit.size)
    touch, row = nameless(value, matrix, limit, least)
    touch_b, row_b = nameless(value[t], matrix[r][:, t], limit[r], least[r])
    assert (value[touch] == value[t][touch_b]).all()
    a, b = matrix[row][:, touch], matrix[r][:, t][row_b][:, touch_b]
    assert abs(a - b).sum() == 0
    assert (limit[row] == limit[r][row_b]).all()


@pytest.mark.parametrize("kinds", [2, 50, 10**6])
def test_ranks_are_those_of_a_stable_sort(kinds):
    number = np.random.default_rng(kinds).integers(0, kinds, 1000).astype(np.uint64)
    assert ranked(number).tolist() == np.argsort(number, kind="stable").tolist()
    assert ranked(number[:0]).size == 0


def test_groups_keep_their_order():
    order, start = in_groups(np.array([2, 0, 2, 1, 0]), 4)
    assert order.tolist() == [1, 4, 3, 0, 2]
    assert start.tolist() == [0, 2, 3, 5, 5]
