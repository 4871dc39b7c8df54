"""Chances and what happened: errors and curves worked out on paper."""

import numpy as np
import pytest

import omnireco as om
from omnireco.models.together.calibration import Isotonic


def test_the_error_is_the_mean_distance_of_the_groups():
    stated, happened = [0.9, 0.8, 0.2, 0.1], [1, 0, 1, 0]
    assert om.models.calibration_error(stated, happened, n_bins=2) == pytest.approx(0.35)  # 0.85 and 0.15 against 0.5
    assert om.models.calibration_error(stated, happened, n_bins=1) == pytest.approx(0.0)
    assert om.models.calibration_error(stated, happened, n_bins=4) == pytest.approx((0.1 + 0.8 + 0.8 + 0.1) / 4)


def test_the_order_of_rows_does_not_matter():
    chance, outcome = np.array([0.9, 0.8, 0.2, 0.1]), np.array([1, 0, 1, 0])
    turned = om.models.calibration_error(chance[::-1], outcome[::-1], n_bins=2)
    assert turned == pytest.approx(om.models.calibration_error(chance, outcome, n_bins=2))


def test_two_blocks_by_hand():
    score = np.arange(100.0)
    curve = Isotonic.fit(score, score >= 50)
    # two groups of 50, each with 5 imaginary rows at the overall rate 1/2
    assert curve.score == pytest.approx([24.5, 74.5])
    assert curve.probability == pytest.approx([2.5 / 55, 52.5 / 55])
    assert curve(np.array([49.5])) == pytest.approx([0.5])


def test_a_handful_of_rows_is_their_rate_and_keeps_order():
    curve = Isotonic.fit(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0, 0, 0, 1]))
    found = curve(np.array([1.0, 1.5, 2.0]))
    assert found == pytest.approx([0.25] * 3, rel=2e-3)
    assert (np.diff(found) > 0).all()
    assert found[1] == pytest.approx(0.25)


def test_a_chance_is_at_most_one():
    score = np.arange(200.0)
    assert Isotonic.fit(score, np.ones(200))(np.array([-1e9, 1e9])).max() <= 1.0
