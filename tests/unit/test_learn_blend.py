"""A blend learned where one member is right and the other wrong; more of it is in test_learn_weights.py."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco._core.contract import Estimator
from omnireco.errors import ParameterError

ITEMS = ["a", "b", "c"]


def matrix(rows):
    return om.Interactions.from_scipy(sp.csr_matrix(np.array(rows, np.float32)), items=ITEMS)


PAST, TRUTH = matrix([[0, 0, 1]] * 3), matrix([[1, 0, 0]] * 3)
RIGHT, WRONG = (om.Popularity().fit(matrix(rows)) for rows in ([[1, 1, 0], [1, 0, 1]], [[1, 1, 0], [0, 1, 1]]))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Ready(Estimator):
    """An estimator whose model is known: right and wrong learned from other people than those who ask."""

    model: Any

    def fit(self, data, *, threads=None, progress=False):
        return self.model


def learned(**options):
    blend = om.Blend(models={"wrong": Ready(model=WRONG), "right": Ready(model=RIGHT)}, scale="none")
    settings = {"k": 1, "metric": om.hit_rate, "grid": (0.0, 2.0), "sweeps": 1}
    return om.evaluation.learn_blend(blend, PAST, TRUTH, **(settings | options))


def test_what_adds_nothing_gets_no_weight():
    found = learned()
    assert dict(found.weights) == {"wrong": 0.0, "right": 1.0}
    # each alone, then right with twice wrong: a has 2 + 2 * 1, b has 1 + 2 * 2
    assert [(dict(weights), mean) for weights, mean in found.trials] == [
        ({"wrong": 1.0}, 0.0),
        ({"right": 1.0}, 1.0),
        ({"right": 1.0, "wrong": 2.0}, 0.0),
    ]
    assert found.model.recommend(PAST, k=1).to_frame()["item_id"].tolist() == ["a"] * 3
    assert repr(found) == "LearnedBlend({'wrong': 0.0, 'right': 1.0}, 1.0000 on validation, 3 trials)"


def test_a_small_weight_does_not_turn_the_order_and_gains_nothing():
    found = learned(grid=(0.5,))
    assert found.trials[-1][1] == 1.0  # a has 2.5, b has 2
    assert found.weights["wrong"] == 0.0


@pytest.mark.parametrize(
    ("options", "says"),
    [({"grid": 1.0}, "grid must be a list of weights"), ({"sweeps": 0}, "sweeps must be"), ({"people": 0}, "people")],
)
def test_refusals(options, says):
    with pytest.raises(ParameterError, match=says):
        learned(**options)
