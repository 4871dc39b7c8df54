"""PureSVD of a matrix of rank one, whose only direction is known; more of it is in test_linear_family.py."""

import numpy as np
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco.models.matrix.svd import right_singular_vectors

# the second person has twice what the first has: the one direction is (3, 4) / 5
X = om.Interactions.from_scipy(sp.csr_matrix(np.array([[3, 4], [6, 8]], np.float32)))


def test_scores_are_histories_laid_on_the_one_direction():
    model = om.models.PureSVD(factors=1).fit(X)
    assert model.score(X, [0, 1]) == pytest.approx(np.array([[3, 4], [6, 8]]), rel=1e-5)
    new = om.Interactions.from_scipy(sp.csr_matrix(np.array([[1, 0]], np.float32)))
    assert model.score(new, [0, 1])[0] == pytest.approx([0.36, 0.48], rel=1e-5)


def test_the_singular_value_is_the_length_of_the_matrix():
    vectors, values = right_singular_vectors(X.csr.astype(np.float64), 2)
    assert values == pytest.approx([np.sqrt(9 + 16 + 36 + 64)])
    assert np.abs(vectors[:, 0]) == pytest.approx([0.6, 0.8])
