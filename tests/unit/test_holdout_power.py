"""Sizes of tests against textbook formulas, and against simulated tests."""

import numpy as np
import pytest

from omnireco.causal import holdout_power
from omnireco.errors import ParameterError


def test_even_groups_are_the_textbook():
    # (1.959964 + 0.841621)^2 (p1 q1 + p2 q2) / d^2 per group
    size = (1.9599639845 + 0.8416212336) ** 2 * (0.1 * 0.9 + 0.12 * 0.88) / 0.02**2
    found = holdout_power(0.1, lift=0.2, share=0.5)
    assert abs(found.people - 2 * size) < 2
    assert found.held_out == round(found.people / 2)


def test_one_question_is_the_inverse_of_the_other():
    for given in ({"share": 0.1}, {"share": 0.3, "sd": 4.0}, {"correlation": 0.5, "per_cluster": 3, "icc": 0.1}):
        asked = holdout_power(0.2, lift=0.07, **given)
        back = holdout_power(0.2, people=asked.people, **given)
        assert abs(back.lift / 0.07 - 1) < 1e-3
        assert abs(holdout_power(0.2, people=asked.people, lift=0.07, **given).power - 0.8) < 1e-3


def test_cuped_and_clusters_change_the_size_as_they_change_the_variance():
    plain = holdout_power(5.0, lift=0.1, sd=10.0).people
    assert abs(holdout_power(5.0, lift=0.1, sd=10.0, correlation=0.7).people / plain - 0.51) < 1e-3
    assert abs(holdout_power(5.0, lift=0.1, sd=10.0, per_cluster=11, icc=0.05).people / plain - 1.5) < 1e-3


def test_simulated_tests_find_the_effect_as_often_as_promised():
    n = holdout_power(0.3, lift=0.25, share=0.3)
    rng = np.random.default_rng(0)
    held, treated = n.held_out, n.people - n.held_out
    a, b = rng.binomial(treated, 0.375, 4000) / treated, rng.binomial(held, 0.3, 4000) / held
    error = np.sqrt(a * (1 - a) / treated + b * (1 - b) / held)
    assert abs((np.abs(a - b) > 1.96 * error).mean() - 0.8) < 0.03


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "give lift="),
        ({"lift": 0.0}, "lift of 0"),
        ({"lift": 0.1, "share": 1.0}, "share must be between"),
        ({"lift": 0.1, "power": 0.0}, "power must be between"),
        ({"lift": 0.1, "icc": 2.0}, "icc"),
        ({"people": 2}, "people"),
    ],
)
def test_what_makes_no_test_is_refused(given, words):
    with pytest.raises(ParameterError, match=words):
        holdout_power(0.1, **given)


@pytest.mark.parametrize(
    "case",
    [{"mean": 1e308, "sd": 1.0, "lift": 1e308}, {"mean": 0.05, "lift": 1e308}, {"mean": 0.05, "lift": 5e-324},
     {"mean": 0.05, "lift": 0.1, "sd": 1e308}, {"mean": 0.05, "lift": 0.1, "sd": 5e-324}, {"mean": 1.0, "lift": 0.1},
     {"mean": 5e-324, "people": 1000}, {"mean": 0.05, "people": 1000, "share": 5e-324}],
)  # fmt: skip
def test_numbers_from_which_no_size_follows_are_refused(case):
    """They ended as raw overflows, divisions by zero, or a lift of 1e297."""
    with pytest.raises(ParameterError):
        holdout_power(case.pop("mean"), **case)
