"""Item-to-item models, by hand; the formulas on drawn data are in reference/test_published.py."""

import numpy as np
import pytest
import scipy.sparse as sp

from omnireco.data import Interactions
from omnireco.errors import ParameterError
from omnireco.models.linear import EASE, ItemKNN

# a and b go together twice, b and c once, d is alone
X = Interactions.from_scipy(
    sp.csr_matrix(np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1.0]])),
    items=list("abcd"),
)


def test_cosine_by_hand():
    model = ItemKNN(neighbors=10).fit(X)
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = 2 / np.sqrt(2 * 3)
    expected[1, 2] = expected[2, 1] = 1 / np.sqrt(3 * 1)
    assert model.weights.toarray() == pytest.approx(expected)
    assert model.score(X, ["a", "c"])[0].tolist() == pytest.approx([2 / 6**0.5, 1 / 3**0.5])
    assert repr(model) == "ItemModel(4 items, 4 sparse weights)"


def test_shrinkage_pulls_towards_zero():
    weights = ItemKNN(shrinkage=1.0).fit(X).weights
    assert weights[0, 1] == pytest.approx(2 / (6**0.5 + 1))


def test_similar_items_are_an_items_own_nearest_and_nothing_pads_them():
    model = ItemKNN(neighbors=1).fit(X)  # b keeps only a, but c keeps b
    similar = model.similar_items(["c", "b", "d"], k=3)
    assert similar.codes.tolist() == [[1, -1, -1], [0, -1, -1], [-1, -1, -1]]
    assert similar.users.ids.tolist() == ["c", "b", "d"]
    ease = EASE(regularization=1.0).fit(X).similar_items(["c"], k=4)
    assert ease.codes[0].tolist()[0] == 1
    assert 2 not in ease.codes


def test_ease_by_hand():
    two = Interactions.from_scipy(sp.csr_matrix(np.array([[1.0, 1], [1, 1], [1, 0]])))
    weights = EASE(regularization=1.0).fit(two).weights  # G = [[3, 2], [2, 2]]
    assert weights == pytest.approx(np.array([[0, 2 / (3 + 1)], [2 / (2 + 1), 0]]))


def test_ease_refuses_what_does_not_fit_in_memory():
    with pytest.raises(ParameterError, match=r"EASE.fit needs 0.0 GiB for 4 items squared.* at most 2 items fit"):
        EASE(memory=30).fit(X)
    assert EASE(memory=64).fit(X).weights.shape == (4, 4)
    with pytest.raises(ParameterError, match=r"not positive definite at regularization 1e-300. Raise it"):
        EASE(regularization=1e-300).fit(Interactions.from_scipy(sp.csr_matrix(np.full((2, 3), 1e19))))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: EASE(regularization=0), "regularization must be greater than 0"),
        (lambda: EASE(memory=0), "memory must be greater than 0"),
        (lambda: ItemKNN(neighbors=0), "neighbors must be an integer of at least 1"),
        (lambda: ItemKNN(similarity="jaccard"), "similarity must be one of 'cosine', 'bm25', 'tfidf'"),
        (lambda: ItemKNN(shrinkage=-1), "shrinkage must be a number of at least 0"),
        (lambda: ItemKNN(k1=0), "k1 must be greater than 0"),
        (lambda: ItemKNN(b=2), r"b must be a number in the range \[0, 1\]"),
    ],
)
def test_parameters(make, match):
    with pytest.raises(ParameterError, match=match):
        make()


@pytest.mark.parametrize("similarity", ["cosine", "bm25", "tfidf"])
@pytest.mark.parametrize("weight", [1e-30, -1.0, -1e15, 3e38])
def test_odd_weights_warn_of_nothing(similarity, weight):
    odd = Interactions.from_scipy(X.csr * np.float32(weight), items=list("abcd"))
    recs = ItemKNN(similarity=similarity).fit(odd).recommend(odd, k=2)
    assert np.isfinite(recs.scores[recs.codes >= 0]).all()
