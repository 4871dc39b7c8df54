"""What follows what, on two items; more of it is in test_linear_family.py."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om

DAY = pd.date_range("2025-05-01", periods=2, tz="UTC")
LOG = om.EventLog.from_frame(
    pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": list("ababa"), "timestamp": [*DAY, *DAY, DAY[0]]}).assign(
        channel="web", event="buy"
    )
)


def test_two_people_who_went_from_a_to_b():
    # Z'Z = [[2, 0], [0, 0]], Z'Y = [[0, 2], [0, 0]]: the weight from a to b is 2 / (2 + 2)
    model = om.models.NextItem(regularization=2.0).fit(LOG)
    assert model.weights == pytest.approx(np.array([[0, 0.5], [0, 0]]))
    assert model.popularity.tolist() == [3, 2]


def test_whoever_has_a_is_offered_b():
    model = om.models.NextItem(regularization=2.0).fit(LOG)
    asked = LOG.matrix(om.Weights(step_half_life=2.0)).rows([3])
    found = model.recommend(asked, k=2).to_frame()
    assert found[["item_id", "score"]].to_numpy().tolist() == [["b", pytest.approx(0.5)]]
