"""SLIM on two items, where its optimum is a line of arithmetic; more of it is in test_linear_family.py."""

import numpy as np
import pytest
import scipy.sparse as sp

import omnireco as om

# three people have item 0, two of them item 1 as well: 0'0 = 3, 1'1 = 2, 0'1 = 2
X = om.Interactions.from_scipy(sp.csr_matrix(np.array([[1, 1], [1, 1], [1, 0]], np.float32)))


def weights(**parameters):
    return om.models.SLIM(tolerance=1e-9, **parameters).fit(X).weights.toarray()


def test_two_items_by_hand():
    # minimise (x_i - w x_j)^2 / 2 + ridge w^2 / 2 + lasso w: w = (i'j - lasso) / (j'j + ridge)
    found = weights(regularization=1.0, sparsity=1.0)
    assert found == pytest.approx(np.array([[0, (2 - 1) / (3 + 1)], [(2 - 1) / (2 + 1), 0]]))


def test_a_penalty_as_large_as_the_product_leaves_nothing():
    assert (weights(regularization=1.0, sparsity=2.0) == 0).all()


def test_without_a_penalty_it_is_the_regression():
    assert weights(regularization=1e-6, sparsity=0.0)[0, 1] == pytest.approx(2 / 3, abs=1e-5)
