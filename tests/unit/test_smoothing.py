"""Smooth rates on the circle, and how fast answers grow old."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnireco._kernels.week.smoothing import FEW_WAYS, smooth_rates
from omnireco.timing.forgetting import recency

HOUR = np.arange(168) % 24
EVENING = (HOUR >= 18) & (HOUR <= 21)


def planted(at_risk, seed=0):
    rate = np.where(EVENING, 0.2, 0.05)
    return rate, np.random.default_rng(seed).poisson(at_risk * rate).astype(float)


def test_finds_a_planted_evening_and_knows_how_well():
    rate, seen = planted(np.full(168, 100.0))
    found = smooth_rates(seen, np.full(168, 100.0))
    mean, variance = found.moments()
    assert np.exp(mean)[EVENING].mean() / np.exp(mean)[~EVENING].mean() == pytest.approx(4.0, rel=0.15)
    inside = np.abs(mean - np.log(rate)) < 1.96 * np.sqrt(variance)
    assert inside.mean() > 0.9
    assert found.weight.sum() == pytest.approx(1.0)


def test_few_answers_keep_the_given_shape_and_many_leave_it():
    shape = np.log(np.where(HOUR < 6, 0.2, 0.05))  # activity says the night
    few = smooth_rates(planted(np.full(168, 0.01))[1], np.full(168, 0.01), shape)
    many = smooth_rates(planted(np.full(168, 100.0))[1], np.full(168, 100.0), shape)
    assert few.log_rate[HOUR < 6].min() > few.log_rate[HOUR >= 6].max()
    assert many.log_rate[EVENING].min() > many.log_rate[HOUR < 6].max()


def test_where_nothing_lay_at_risk_little_is_known():
    at_risk = np.where((HOUR == 9) | (HOUR == 19), 300.0, 0.0)
    mean, variance = smooth_rates(planted(at_risk)[1], at_risk).moments()
    assert np.sqrt(variance[2]) > 4 * np.sqrt(variance[9])
    assert mean[9] < mean[2] < mean[19]


def test_no_answer_and_no_time_at_risk_leave_what_is_assumed():
    found = smooth_rates(np.zeros(168), np.zeros(168), prior_rate=0.05)
    np.testing.assert_allclose(np.exp(found.log_rate), 0.05)
    silent = smooth_rates(np.zeros(168), np.full(168, 1e4))
    assert np.isfinite(silent.log_rate).all()
    assert np.exp(silent.log_rate).max() < 1e-4


def test_a_kernel_of_one_hour_changes_nothing():
    found = smooth_rates(planted(np.full(168, 50.0))[1], np.full(168, 50.0), ways=FEW_WAYS)
    for plain, through in zip(found.moments(), found.moments(np.eye(168)), strict=True):
        np.testing.assert_allclose(plain, through)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 167), st.floats(0.0, 1e5), st.floats(0.0, 1.0), st.integers(0, 9))
def test_turning_the_week_turns_the_curve_and_nothing_is_infinite(turn, most, empty, seed):
    rng = np.random.default_rng(seed)
    at_risk = most * rng.random(168) * (rng.random(168) > empty)
    seen = rng.poisson(np.minimum(at_risk, 1e4) * rng.random(168) * 2.0).astype(float)
    mean, variance = smooth_rates(seen, at_risk, ways=FEW_WAYS).moments()
    assert np.isfinite(mean).all()
    assert (np.isfinite(variance) & (variance > 0)).all()
    turned = smooth_rates(np.roll(seen, turn), np.roll(at_risk, turn), ways=FEW_WAYS)
    np.testing.assert_allclose(turned.log_rate, np.roll(mean, turn), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("moves", [False, True])
def test_old_answers_are_forgotten_only_where_hours_move(moves):
    rng = np.random.default_rng(3)
    at = np.sort(rng.integers(0, 10**9, 30_000))
    hour, share = rng.integers(0, 168, at.size), at / at.max()
    best = 8 + 10 * share if moves else 18.0
    answered = rng.random(at.size) < np.where(np.abs(hour % 24 - best) <= 2, 0.3, 0.05)
    weight = recency(at, hour, answered)
    assert ((weight > 0) & (weight <= 1)).all()
    assert (weight[0] < 0.3) == moves
    assert weight[-1] == pytest.approx(1.0, abs=1e-3)


def test_too_few_answers_forget_nothing():
    at = np.arange(50)
    assert (recency(at, at % 168, at % 2 == 0) == 1.0).all()
    assert recency(at[:0], at[:0], at[:0] > 0).size == 0
