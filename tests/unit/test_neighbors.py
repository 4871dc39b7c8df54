"""Neighbours among three people, by hand; more of them is in test_linear_family.py and test_similar_users.py."""

import numpy as np
import pytest
import scipy.sparse as sp

import omnireco as om

# 0 and 1 share one of three items; 2 shares nothing with anybody
X = om.Interactions.from_scipy(sp.csr_matrix(np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]], np.float32)))


def scores(**parameters):
    return om.models.UserKNN(neighbors=1, chosen="by person", **parameters).fit(X).score(X, [0, 1, 2, 3])


def test_the_nearest_person_answers_with_what_they_have():
    assert scores(similarity="jaccard")[0] == pytest.approx([1 / 3, 0, 1 / 3, 0])
    assert scores(similarity="cosine")[0] == pytest.approx([1 / 2, 0, 1 / 2, 0])
    assert scores(similarity="cosine", shrinkage=1.0)[0] == pytest.approx([1 / 3, 0, 1 / 3, 0])


def test_whoever_shares_nothing_hears_nothing():
    assert (scores(similarity="jaccard")[2] == 0).all()
