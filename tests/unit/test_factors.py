"""ALS and factor models; agreement with implicit is in reference/test_published.py."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from omnireco.data import Interactions
from omnireco.errors import ParameterError
from omnireco.models.matrix.factors import ALS, FactorModel
from omnireco.testing import small_matrix

CORNERS = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.0, 0.0]]


def test_a_person_is_placed_by_the_normal_equations():
    learned = ALS(regularization=0.5, alpha=2.0, confidence_weights=True, unobserved_weight=1.0, frequency_scaling=0.0)
    model = FactorModel.from_arrays(CORNERS, items=list("abcd"), estimator=learned)
    history = Interactions.from_scipy(sp.csr_matrix(np.array([[3.0, 0, -1.0, 0]])), items=list("abcd"))
    y = np.array(CORNERS)
    confidence = 1 + 2.0 * np.array([3.0, 0, 1.0, 0])
    vector = np.linalg.solve(y.T @ (confidence[:, None] * y) + 0.5 * np.eye(2), y.T @ (confidence * [1, 0, 0, 0]))
    assert model.place(history)[0] == pytest.approx(vector, rel=1e-6)
    assert model.score(history, list("abcd"))[0] == pytest.approx(y @ vector, rel=1e-6)


def test_similar_items_by_angle():
    model = FactorModel.from_arrays(CORNERS, items=list("abcd"))
    similar = model.similar_items(["a", "d"], k=4)
    assert similar.codes.tolist() == [[1, 2, 3, -1], [0, 1, 2, -1]]
    assert similar.scores[0, :3] == pytest.approx([0.8, 0, 0])
    assert repr(model) == "FactorModel(4 items, 2 factors)"


def test_from_arrays_copies():
    array = np.array(CORNERS, np.float32)
    model = FactorModel.from_arrays(array)
    array[:] = 9
    assert model.factors.max() == 1
    assert model.items.ids.tolist() == [0, 1, 2, 3]
    assert FactorModel.from_arrays(pd.DataFrame(CORNERS)).factors.shape == (4, 2)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"factors": [1.0, 2.0]}, r"factors must be a \(n_items, d\) array of finite numbers. Got shape \(2,\)"),
        ({"factors": np.zeros((3, 0))}, r"Got shape \(3, 0\)"),
        ({"factors": [[np.nan]]}, "NaN or infinity: did the training diverge"),
        ({"factors": [[1e300]]}, "NaN or infinity: did the training diverge"),
        ({"factors": [[1], [1, 2]]}, "factors must be real numbers in rows of equal length"),
        ({"factors": [["a"]]}, "factors must be real numbers in rows of equal length"),
        ({"factors": CORNERS, "items": ["a"]}, "4 rows of factors, 1 items and popularity"),
        ({"factors": CORNERS, "items": list("aabc")}, "1 of 4 items are named twice"),
        ({"factors": CORNERS, "popularity": [1, 2]}, r"popularity of shape \(2,\) must agree"),
        ({"factors": CORNERS, "popularity": [1, 2, 3, np.nan]}, "popularity must be finite"),
        ({"factors": CORNERS, "popularity": list("abcd")}, "popularity must be real numbers"),
        ({"factors": CORNERS, "estimator": 2.0}, r"estimator must be an ALS.*om\.ALS\("),
    ],
)
def test_from_arrays_refuses(arguments, match):
    with pytest.raises(ParameterError, match=match):
        FactorModel.from_arrays(**arguments)


def test_arrays_without_an_estimator_have_the_loss_of_implicit():
    usual = ALS(regularization=0.01, alpha=1.0, confidence_weights=True, unobserved_weight=1.0, frequency_scaling=0.0)
    assert FactorModel.from_arrays(CORNERS).loss == FactorModel.from_arrays(CORNERS, estimator=usual).loss
    with pytest.raises(TypeError, match=r"Write om.models.FactorModel.from_arrays\(factors, items=ids, est"):
        FactorModel.from_arrays(CORNERS, alpha=2.0)


@pytest.mark.parametrize(
    ("name", "value"), [("factors", 0), ("regularization", 0), ("alpha", 0), ("iterations", 0), ("seed", -1)]
)
def test_parameters(name, value):
    with pytest.raises(ParameterError, match=f"{name} must be"):
        ALS(**{name: value})


def test_the_seed_and_nothing_else_decides():
    x = small_matrix(seed=1)
    one, same, other = (ALS(factors=3, iterations=2, seed=seed).fit(x).factors for seed in (1, 1, 2))
    assert one.tobytes() == same.tobytes()
    assert one.tobytes() != other.tobytes()


def test_progress_counts_sweeps():
    seen = []
    ALS(factors=2, iterations=3).fit(small_matrix(), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_weights_too_large_for_least_squares():
    x = small_matrix()
    huge = Interactions.from_scipy(x.csr * np.float32(1e37))
    with pytest.raises(ParameterError, match="weights are too large for a least-squares problem"):
        ALS(factors=4).fit(huge).recommend(huge, k=1)
    model = FactorModel.from_arrays(np.random.default_rng(0).normal(size=(x.n_items, 4)))
    with pytest.raises(ParameterError, match=r"recommend: the weights are too large.*Weights\(value='log', cap=100\)"):
        model.recommend(huge, k=1)
