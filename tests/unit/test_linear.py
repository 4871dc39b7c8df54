"""Item-to-item models, by hand; the formulas on drawn data are in reference/test_published.py."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from omnireco.data import EventLog, Interactions, Weights
from omnireco.errors import DataWarning, ParameterError
from omnireco.models.matrix.linear import EASE, ItemKNN
from omnireco.models.matrix.squares import is_single
from omnireco.testing import small_matrix

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
    assert EASE(memory=100_000).fit(X).weights.shape == (4, 4)
    with pytest.raises(ParameterError, match=r"not positive definite at regularization 1e-300. Raise it"):
        EASE(regularization=1e-300).fit(Interactions.from_scipy(sp.csr_matrix(np.full((2, 3), 1e19))))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: EASE(regularization=0), "regularization must be greater than 0"),
        (lambda: EASE(memory=0), "memory must be greater than 0"),
        (lambda: ItemKNN(neighbors=0), "neighbors must be an integer of at least 1"),
        (lambda: ItemKNN(similarity="pearson"), "similarity must be one of 'cosine', 'asymmetric', 'jaccard'"),
        (lambda: ItemKNN(weighting="idf"), "weighting must be one of 'bm25', 'tfidf'"),
        (lambda: ItemKNN(similarity="dice", weighting="bm25"), "only the similarities 'cosine' and 'asymmetric'"),
        (lambda: ItemKNN(alpha=-1), "alpha must be a number of at least 0"),
        (lambda: EASE(neighbors=0), "neighbors must be an integer of at least 1"),
        (lambda: ItemKNN(shrinkage=-1), "shrinkage must be a number of at least 0"),
        (lambda: ItemKNN(k1=0), "k1 must be greater than 0"),
        (lambda: ItemKNN(b=2), r"b must be a number in the range \[0, 1\]"),
    ],
)
def test_parameters(make, match):
    with pytest.raises(ParameterError, match=match):
        make()


@pytest.mark.parametrize("similarity", ["cosine", "bm25", "tfidf", "asymmetric", "jaccard", "dice", "tversky"])
@pytest.mark.parametrize("weight", [1e-30, -1.0, -1e15, 3e38])
def test_odd_weights_warn_of_nothing(similarity, weight):
    odd = Interactions.from_scipy(X.csr * np.float32(weight), items=list("abcd"))
    recs = ItemKNN(similarity=similarity).fit(odd).recommend(odd, k=2)
    assert np.isfinite(recs.scores[recs.codes >= 0]).all()


@pytest.mark.parametrize("n_kept", [3, 7, 25])
def test_sparse_ease_solves_each_column_on_the_items_that_explain_most(n_kept):
    x = small_matrix(seed=3)
    weights = EASE(regularization=3.0, neighbors=n_kept).fit(x).weights.toarray()
    dense = x.csr.toarray().astype(np.float64)
    gram, total = dense.T @ dense, dense.sum(axis=0)
    n_people = (dense != 0).any(axis=1).sum()
    variance = np.diag(gram) - total**2 / n_people
    for item in range(x.n_items):
        gain = (gram[:, item] - total * total[item] / n_people) ** 2 / (variance + 3.0)
        gain[(np.abs(dense).T @ np.abs(dense[:, item]) == 0) | (np.arange(x.n_items) == item)] = -1.0
        kept = np.lexsort([np.arange(gain.size), -gain])[:n_kept]
        kept = np.sort(kept[gain[kept] >= 0])
        expected = np.zeros(x.n_items)
        expected[kept] = np.linalg.solve(gram[np.ix_(kept, kept)] + 3.0 * np.eye(kept.size), gram[kept, item])
        assert weights[:, item] == pytest.approx(expected, abs=1e-5)


def test_sparse_ease_on_all_items_is_ease_where_every_pair_meets():
    full = Interactions.from_scipy(sp.csr_matrix(np.random.default_rng(0).integers(1, 4, (30, 8)).astype(float)))
    dense, sparse = (EASE(regularization=5.0, neighbors=n).fit(full).weights for n in (None, 7))
    assert sparse.toarray() == pytest.approx(dense, abs=1e-5)
    assert (np.diff(EASE(neighbors=2).fit(full).weights.tocsc().indptr) == 2).all()


def test_sparse_ease_looks_past_what_everybody_has():
    """Item 0 is everybody's and tells nothing; 1 and 2 go together; 3 is kept away from 1: both say something of 1."""
    rows = np.array([[1, 1, 1, 0, 0]] * 6 + [[1, 0, 0, 1, 0]] * 5 + [[1, 1, 0, 1, 1], [0, 0, 0, 0, 0]], np.float64)
    weights = EASE(regularization=1.0, neighbors=2).fit(Interactions.from_scipy(sp.csr_matrix(rows))).weights.toarray()
    assert np.flatnonzero(weights[:, 1]).tolist() == [2, 3]
    assert weights[2, 1] > 0.5 > weights[3, 1]
    fewer = EASE(regularization=1.0, neighbors=2).fit(Interactions.from_scipy(sp.csr_matrix(rows[:-1])))
    assert (fewer.weights.toarray() == weights).all()  # somebody without a past changes nothing


def test_sparse_ease_says_what_it_needs():
    with pytest.raises(ParameterError, match=r"needs 0.0 GiB for items x neighbors, .* Take fewer neighbors"):
        EASE(neighbors=3, memory=30).fit(X)


SETS = np.array([[1, 1, 0], [2, 1, 1], [1, 0, 0], [1, -1, 3]], np.float64)  # items: 4, 2 and 2 people; a dislike
BY_HAND = {
    "cosine": (1 + 2 - 1) / (np.sqrt(7 * 3) + 1),
    "asymmetric": (1 + 2 - 1) / (7**0.2 * 3**0.8 + 1),
    "jaccard": 2 / (4 + 2 - 2 + 1),
    "dice": 2 / (3 + 1),
    "tversky": 2 / (2 + 0.2 * 2 + 0.5 * 0 + 1),
}


@pytest.mark.parametrize("similarity", BY_HAND)
def test_similarities_by_hand(similarity):
    """Item 0 is scored, item 1 is the neighbour."""
    x = Interactions.from_scipy(sp.csr_matrix(SETS))
    weights = ItemKNN(similarity=similarity, shrinkage=1.0, alpha=0.2).fit(x).weights
    assert weights[1, 0] == pytest.approx(BY_HAND[similarity], rel=1e-6)


def test_families_of_similarities_meet_where_they_should():
    x = small_matrix(seed=4)

    def weights(**options):
        return ItemKNN(shrinkage=0.0, **options).fit(x).weights.toarray()

    assert weights(similarity="tversky", alpha=0.5, beta=0.5) == pytest.approx(weights(similarity="dice"))
    assert weights(similarity="tversky", alpha=1.0, beta=1.0) == pytest.approx(weights(similarity="jaccard"))
    assert weights(similarity="asymmetric") == pytest.approx(weights(similarity="cosine"))


def test_classic_weighting_leaves_out_who_chose_nearly_everything():
    rows = np.zeros((5, 8))
    rows[0] = 1  # log(8 / 9) < 0
    rows[1:, :2] = 1
    rows[2, 3] = 1
    weights = ItemKNN(weighting="tfidf").fit(Interactions.from_scipy(sp.csr_matrix(rows))).weights
    assert weights[5, 6] == 0
    assert weights[0, 1] > 0


def test_inputs_fade_and_weights_do_not():
    frame = pd.DataFrame({"user_id": [1, 1, 1, 2, 2], "item_id": list("aabac"), "channel": "web", "event": "view"})
    frame["timestamp"] = pd.date_range("2025-05-01", periods=5, tz="UTC")
    log = EventLog.from_frame(frame)
    ease = EASE(regularization=1.0, input_half_life=1.0)
    assert ease.fit(log).inputs(log).csr.toarray().tolist() == [[0.25 + 0.5, 1.0, 0.0], [0.5, 0.0, 1.0]]
    days = EASE(input_half_life="1D").fit(log).inputs(log.before("2025-05-04")).csr.toarray()
    assert days == pytest.approx(np.array([[2.0**-3 + 2.0**-2, 2.0**-1]]))
    plain = Interactions.from_frame(frame[["user_id", "item_id"]], binary=True)
    assert (ease.fit(log).weights == EASE(regularization=1.0).fit(plain).weights).all()
    assert EASE(weights=Weights()).fit(log).inputs(log).csr.toarray().tolist() == [[2, 1, 0], [1, 0, 1]]
    assert EASE().fit(log).inputs(log).csr.toarray().tolist() == [[1, 1, 0], [1, 0, 1]]
    with pytest.raises(ParameterError, match="input_half_life must be greater than 0"):
        EASE(input_half_life=-1)
    with pytest.raises(ParameterError, match="input_half_life must be a duration"):
        EASE(input_half_life="soon")


def test_without_room_for_the_square_ease_takes_few_neighbors_and_says_so():
    rng = np.random.default_rng(0)
    x = Interactions.from_scipy(sp.csr_matrix((rng.random((60, 400)) < 0.03).astype(np.float32)))
    room = 20 * 400 * 100 + 40 * x.nnz + 1
    with pytest.warns(DataWarning, match=r"400 items squared need .* Write EASE\(neighbors=100\)"):
        model = EASE(memory=room, regularization=3.0).fit(x)
    asked = EASE(neighbors=100, regularization=3.0).fit(x)
    assert (model.weights != asked.weights).nnz == 0
    with pytest.raises(ParameterError, match="400 items squared"):  # weights of an item for itself need all items
        EASE(memory=room, diagonal=0.2).fit(x)
    with pytest.raises(ParameterError, match="400 items squared"):
        EASE(memory=1000).fit(x)


def test_the_bound_of_the_condition_number_holds_and_is_tight():
    """Busy items make row sums large; the largest eigenvalue is far below, and float32 is enough."""
    rng = np.random.default_rng(1)
    x = sp.csr_matrix((rng.random((300, 200)) < rng.random(200) ** 4 * 0.5).astype(np.float32))
    gram = (x.T @ x).toarray()
    largest = float(np.linalg.eigvalsh(gram).max())
    assert gram.sum(axis=1).max() > 1.3 * largest
    assert is_single(x, 1.05 * largest / 500)
    assert not is_single(x, 0.99 * largest / 500)
    assert is_single(sp.csr_matrix((3, 4)), 1.0)
