"""Walks on two people and two items, step by step; more of them is in test_linear_family.py."""

import numpy as np
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco.models.matrix.graph import keep_largest

# person 0 has both items, person 1 only item 0
X = om.Interactions.from_scipy(sp.csr_matrix(np.array([[1, 1], [1, 0]], np.float32)))


def test_a_walk_of_three_steps_by_hand():
    # 0 -> person 0 (1/2) -> 1 (1/2); 1 -> person 0 (1) -> 0 (1/2)
    weights = om.models.P3alpha(alpha=1.0, neighbors=2, normalize=False).fit(X).weights.toarray()
    assert weights == pytest.approx(np.array([[0, 1 / 4], [1 / 2, 0]]))


def test_alpha_is_the_power_of_every_step():
    weights = om.models.P3alpha(alpha=2.0, neighbors=2, normalize=False).fit(X).weights.toarray()
    assert weights == pytest.approx(np.array([[0, 1 / 16], [1 / 4, 0]]))


def test_beta_divides_by_how_many_people_have_the_item():
    weights = om.models.RP3beta(alpha=1.0, beta=1.0, neighbors=2, normalize=False).fit(X).weights.toarray()
    assert weights == pytest.approx(np.array([[0, 1 / 4 / 1], [1 / 2 / 2, 0]]))


def test_a_filter_of_all_frequencies_gives_back_what_people_have():
    even = om.Interactions.from_scipy(sp.csr_matrix(np.eye(3, dtype=np.float32)))
    assert om.models.GFCF(factors=2, low_pass=0.0).fit(even).weights == pytest.approx(np.eye(3), abs=1e-6)


def test_the_largest_are_kept_and_nothing_is_made_up():
    rows = sp.csr_matrix(np.array([[0.0, 2.0, 1.0], [0.0, 0.0, 0.0]]))
    assert keep_largest(rows, 1).toarray().tolist() == [[0, 2, 0], [0, 0, 0]]
    assert keep_largest(rows, 9).toarray().tolist() == rows.toarray().tolist()
