"""People like given people: by hand on five users, and the same rules for every model."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco import ALS, EASE, Interactions, ItemKNN, Popularity
from omnireco.errors import ParameterError, UnknownIdError
from omnireco.models import FactorModel

PAIRS = pd.DataFrame(
    {
        "user_id": ["ann", "ann", "bob", "bob", "cat", "dan", "dan", "dan"],
        "item_id": ["tea", "cup", "tea", "cup", "drum", "tea", "cup", "drum"],
    }
)


@pytest.fixture
def x():
    return Interactions.from_frame(PAIRS)


@pytest.mark.parametrize("estimator", [Popularity(), ItemKNN(neighbors=2), EASE(regularization=1.0)])
def test_the_cosine_of_histories_by_hand(x, estimator):
    found = estimator.fit(x).similar_users(x, ["ann", "cat"], k=3)
    ann = found.rows(["ann"]).to_frame()
    assert ann["item_id"].tolist() == ["bob", "dan", "cat"]
    np.testing.assert_allclose(ann["score"], [1.0, 2 / np.sqrt(6), 0.0], rtol=1e-6)
    assert found.rows(["cat"]).to_frame()["item_id"].tolist()[0] == "dan"


def test_factor_models_compare_the_vectors_of_people(x):
    model = ALS(factors=2, seed=1).fit(x)
    vectors = model.place(x).astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    found = model.similar_users(x, x.users.ids, k=3)
    np.testing.assert_allclose(found.scores, -np.sort(-cosine, axis=1)[:, :3], rtol=1e-5)
    assert found.rows(["ann"]).to_frame()["item_id"].tolist()[0] == "bob"


def test_people_without_a_history_are_like_nobody():
    matrix = Interactions.from_frame(PAIRS)
    empty = Interactions.from_scipy(
        matrix.to_scipy().multiply(np.array([[1], [0], [1], [1]])), users=matrix.users, items=matrix.items
    )
    for model in (ItemKNN(neighbors=2).fit(matrix), FactorModel.from_arrays(np.eye(3), items=matrix.items)):
        found = model.similar_users(empty, ["ann", "bob"], k=3)
        assert found.rows(["bob"]).to_frame().empty
        assert "bob" not in found.to_frame()["item_id"].tolist()


def test_who_and_how_many(x):
    model = ItemKNN(neighbors=2).fit(x)
    with pytest.raises(UnknownIdError, match="1 of 1 ids are unknown"):
        model.similar_users(x, ["zoe"], k=1)
    with pytest.raises(ParameterError, match="k must be"):
        model.similar_users(x, ["ann"], k=0)


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"similarity": "jaccard", "neighbors": 7},
        {"chosen": "by person", "neighbors": 5},
        {"shrinkage": 2.0, "neighbors": 20},
        {"chosen": "by person", "similarity": "jaccard", "neighbors": 3},
    ],
)
def test_the_compiled_search_of_many_people_gives_what_the_dense_one_gives(rules, monkeypatch):
    cells = sp.random(300, 40, 0.1, format="csr", random_state=1, dtype=np.float32)
    cells.data[:] = np.round(4 * cells.data) - 1  # dislikes and zeros, too
    x = om.Interactions.from_scipy(sp.vstack([cells, cells[:5]], format="csr"))
    few = om.models.UserKNN(**rules).fit(x)
    expected = few.score(x, x.items.ids)
    monkeypatch.setattr("omnireco.models.matrix.neighbors._PAIRS", 0)
    many = om.models.UserKNN(**rules).fit(x)
    assert (many.score(x, x.items.ids) == expected).all()
    assert (few.reach is None) == (many.reach is None)
    assert few.reach is None or (few.reach == many.reach).all()


def test_a_comparison_of_hours_is_refused_with_what_it_costs(monkeypatch):
    x = om.Interactions.from_scipy(sp.csr_matrix(np.ones((30, 4))))
    monkeypatch.setattr("omnireco.models.matrix.neighbors._MOST_STEPS", 3000)
    message = r"compares 30 people .*: 3\.6e\+03 comparisons, .* hours on one core\. Use UserKNN\(chosen='by person'\)"
    with pytest.raises(ParameterError, match=message):
        om.models.UserKNN(neighbors=3).fit(x)
    assert om.models.UserKNN(neighbors=3, chosen="by person").fit(x).reach is None
