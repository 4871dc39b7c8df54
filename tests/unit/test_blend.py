"""Blends: what a scale does to a row, and sums by hand; more of them is in test_linear_family.py."""

import numpy as np
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco.models.together.blended import scaled


@pytest.mark.parametrize(
    ("row", "scale", "expected"),
    [
        ([1.0, 3.0], "none", [1, 3]),
        ([1.0, 5.0], "deviation", [0.5, 2.5]),  # their standard deviation is 2
        ([4.0, 4.0], "deviation", [4, 4]),  # no deviation, nothing to divide by
        ([1.0, 3.0], "rank", [1 / 62, 1 / 61]),
        ([2.0, 2.0], "rank", [1 / 61, 1 / 62]),  # ties by code
    ],
)
def test_a_row_on_each_scale(row, scale, expected):
    assert scaled(np.array([row], np.float32), scale)[0] == pytest.approx(expected)


def popular(counts):
    """A model whose score of an item is how many people have it."""
    rows = np.array([[place < count for count in counts] for place in range(max(counts))], np.float32)
    return om.Popularity().fit(om.Interactions.from_scipy(sp.csr_matrix(rows), items=["a", "b", "c"]))


def test_a_weight_turns_the_order():
    models = {"one": popular([3, 1, 1]), "other": popular([1, 2, 1])}
    somebody = om.Interactions.from_scipy(sp.csr_matrix(np.array([[0, 0, 1]], np.float32)), items=["a", "b", "c"])
    for weight, first, sums in [(1.0, "a", [4, 3]), (3.0, "b", [6, 7])]:
        model = om.models.BlendModel.of(models, weights={"other": weight}, scale="none")
        assert model.score(somebody, ["a", "b"])[0] == pytest.approx(sums)
        assert model.recommend(somebody, k=1).to_frame()["item_id"].tolist() == [first]
