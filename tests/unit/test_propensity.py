"""Probabilities of the highest score where the textbook has them; every ratio of widths is in property/."""

import numpy as np
import pytest
from scipy.stats import norm

import omnireco as om
from omnireco.choices.propensity import best_rate_chances
from omnireco.errors import ParameterError


def test_two_arms_are_one_normal_integral():
    found = om.choices.thompson_propensities([[1.0, 0.0]], [[3.0, 4.0]])[0]
    assert found == pytest.approx([norm.cdf(1 / 5), norm.cdf(-1 / 5)], abs=1e-7)


def test_equal_arms_share_and_masked_ones_get_nothing():
    mean, width = np.zeros((2, 3)), np.ones((2, 3))
    eligible = [[True, True, True], [True, False, True]]
    found = om.choices.thompson_propensities(mean, width, eligible=eligible)
    assert found == pytest.approx(np.array([[1 / 3] * 3, [1 / 2, 0, 1 / 2]]), abs=1e-7)
    nobody = om.choices.thompson_propensities(mean[:1], width[:1], eligible=np.zeros((1, 3), bool))
    assert nobody.tolist() == [[0, 0, 0]]


def test_a_floor_is_mixed_in():
    found = om.choices.thompson_propensities([[1.0, 0.0]], [[0.0, 0.0]], floor=0.2)[0]
    assert found == pytest.approx([0.9, 0.1])


def test_two_rates_by_hand():
    # a uniform rate against one of density 2x: P(X > Y) = integral of x * 2x = 2/3
    found = best_rate_chances(np.array([[2.0, 1.0]]), np.array([[1.0, 1.0]]), np.ones((1, 2), bool))[0]
    assert found == pytest.approx([2 / 3, 1 / 3], abs=1e-6)


@pytest.mark.parametrize(
    ("mean", "width", "options", "says"),
    [
        ([[0.0, 1.0]], [[1.0]], {}, r"must share one shape \(n, k\)"),
        ([[0.0, np.inf]], [[1.0, 1.0]], {}, "means must be finite"),
        ([[0.0, 1.0]], [[1.0, -1.0]], {}, "0 or greater"),
        ([[0.0, 1e160]], [[1.0, 1.0]], {}, "Scale them down"),
        ([[0.0, 1.0]], [[1.0, 1.0]], {"floor": 2.0}, "floor must be"),
        ([[0.0, 1.0]], [[1.0, 1.0]], {"eligible": [[1, 0]]}, r"eligible \(bool\)"),
    ],
)
def test_refusals(mean, width, options, says):
    with pytest.raises(ParameterError, match=says):
        om.choices.thompson_propensities(mean, width, **options)
