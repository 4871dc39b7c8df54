"""The packing solver on problems that fit on paper."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import omnireco._kernels.packing.filling as filling_module
from omnireco._kernels.packing import dual_bound, fill, lagrange_prices, solve


def one_row(n):
    return sparse.csr_matrix(np.ones((1, n)))


def test_nothing_to_choose_from():
    found = solve(np.empty(0), sparse.csr_matrix((2, 0)), np.ones(2))
    assert (found.value, found.bound, found.gap, found.exact) == (0.0, 0.0, 0.0, True)
    assert found.price.tolist() == [0.0, 0.0]


def test_without_rows_everything_of_value_is_sent():
    found = solve(np.array([1.0, -1.0, 0.0, 2.0]), sparse.csr_matrix((0, 4)), np.empty(0))
    assert found.chosen.tolist() == [True, False, False, True]
    assert found.value == found.bound == 3.0


def test_all_values_negative_is_no_plan():
    found = solve(np.array([-1.0, -2.0]), one_row(2), np.ones(1))
    assert not found.chosen.any()
    assert (found.value, found.bound, found.gap) == (0.0, 0.0, 0.0)


def test_a_limit_of_zero_sends_nothing():
    found = solve(np.ones(3), one_row(3), np.zeros(1))
    assert not found.chosen.any()
    assert found.bound == 0.0


def test_a_touch_without_weight_passes_a_limit_of_zero():
    found = solve(np.array([1.0, 5.0]), sparse.csr_matrix(np.array([[0.0, 1.0]])), np.zeros(1))
    assert found.chosen.tolist() == [True, False]


def test_a_knapsack_that_greedy_loses():
    """By value per weight the first wins (1 at 1); the best plan is the second (10 at 10)."""
    found = solve(np.array([1.5, 10.0]), sparse.csr_matrix(np.array([[1.0, 10.0]])), np.array([10.0]))
    assert found.chosen.tolist() == [False, True]
    assert found.exact
    assert found.bound == pytest.approx(10.0)


def test_the_price_of_a_limit_is_what_one_more_unit_is_worth():
    """Values 4, 3, 2, 1 and room for two: one more place would be taken by the 2."""
    found = solve(np.array([4.0, 3.0, 2.0, 1.0]), one_row(4), np.array([2.0]))
    assert 2.0 <= found.price[0] <= 3.0  # any price between the third and the second clears the row
    more = solve(np.array([4.0, 3.0, 2.0, 1.0]), one_row(4), np.array([3.0]))
    assert more.value - found.value <= found.price[0] + 1e-12


def test_a_slack_row_has_no_price():
    found = solve(np.array([4.0, 3.0]), sparse.csr_matrix(np.array([[1.0, 1.0], [1.0, 1.0]])), np.array([1.0, 9.0]))
    assert found.price[1] == 0.0


def test_the_odd_cycle_is_solved_although_its_relaxation_is_not_whole():
    """Three touches, each pair in conflict: the linear program sends half of each, worth 1.5; a plan, 1."""
    pairs = sparse.csr_matrix(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]))
    found = solve(np.ones(3), pairs, np.ones(3))
    assert found.value == 1.0
    assert found.bound == pytest.approx(1.0)
    rough = solve(np.ones(3), pairs, np.ones(3), exact_touches=0, linear_touches=0)
    assert rough.value == 1.0
    assert rough.bound == pytest.approx(1.5, rel=1e-2)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_currency_does_not_matter(scale):
    rng = np.random.default_rng(4)
    value, rows = rng.gamma(1.0, 1.0, 60), (rng.random((9, 60)) < 0.3).astype(float)
    limit = np.full(9, 3.0)
    one = solve(value, sparse.csr_matrix(rows), limit)
    other = solve(value * scale, sparse.csr_matrix(rows), limit)
    assert (one.chosen == other.chosen).all()
    assert other.bound == pytest.approx(one.bound * scale)
    assert other.price == pytest.approx(one.price * scale, rel=1e-6, abs=1e-9 * scale)


def test_values_of_very_different_size():
    found = solve(np.array([1e12, 1.0, 1e-6]), one_row(3), np.array([2.0]))
    assert found.chosen.tolist() == [True, True, False]
    assert found.bound >= found.value


def test_the_bound_covers_the_rounding_of_its_own_sum():
    value = np.full(1_000, 0.1)
    price = np.array([0.1])
    assert dual_bound(value, one_row(1_000), np.array([500.0]), price) >= 50.0


def test_prices_of_one_row_are_its_marginal_value():
    value = np.arange(1.0, 101.0)
    price = lagrange_prices(value, one_row(100), np.array([10.0]))
    assert 90.0 <= price[0] <= 91.1  # the best ten are 91 to 100
    assert dual_bound(value, one_row(100), np.array([10.0]), price) == pytest.approx(955.0, rel=1e-3)


def test_the_compiled_loop_fills_as_the_plain_one(monkeypatch):
    rng = np.random.default_rng(0)
    matrix = sparse.csr_matrix(np.where(rng.random((30, 200)) < 0.1, rng.random((30, 200)), 0.0))
    limit = rng.random(30) * 2
    order = rng.permutation(200)
    plain = fill(order, matrix, limit, np.zeros(200, dtype=bool))
    monkeypatch.setattr(filling_module, "LARGE", 0)
    assert (fill(order, matrix, limit, np.zeros(200, dtype=bool)) == plain).all()
    assert (matrix @ plain <= limit * (1 + 1e-9)).all()


def test_touches_near_zero_of_a_large_problem_go_back_to_the_linear_program():
    """Equal values leave prices undecided: greedy alone loses, the vertex does not."""
    rng = np.random.default_rng(1)
    n, people = 3_000, 400
    user, hour = np.sort(rng.integers(0, people, n)), rng.integers(0, 50, n)
    rows = np.concatenate([user, people + hour])
    matrix = sparse.csr_matrix((np.ones(2 * n), (rows, np.tile(np.arange(n), 2))), shape=(people + 50, n))
    limit = np.concatenate([np.full(people, 1.0), np.full(50, 6.0)])
    found = solve(np.full(n, 0.1), matrix, limit, exact_touches=0, linear_touches=2_500)
    assert found.gap < 5e-3


def test_equal_arrays_give_equal_plans():
    rng = np.random.default_rng(2)
    value, rows = np.round(rng.random(500), 1), sparse.random(40, 500, 0.1, random_state=3, format="csr")
    rows.data[:] = 1.0
    one = solve(value, rows, np.full(40, 4.0), exact_touches=50, linear_touches=0)
    two = solve(value, rows, np.full(40, 4.0), exact_touches=50, linear_touches=0)
    assert (one.chosen == two.chosen).all()
    assert (one.bound, one.value) == (two.bound, two.value)
