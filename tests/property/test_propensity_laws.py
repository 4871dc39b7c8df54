"""Propensities, for every ratio of widths: not normalised, they sum to 1, and are what the textbook's integral says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

import omnireco as om
from omnireco._kernels.choice import highest
from omnireco.choices.propensity import best_rate_chances, tables


def integral(mean, width):
    """P(highest) by Gauss and Legendre between all that any arm could change at: slow, and without any trick."""
    low = (mean - 9 * width).max()
    edges = np.unique(np.append((mean[:, None] + width[:, None] * np.linspace(-9, 9, 37)).ravel(), low))
    edges = edges[edges >= low]
    x, w = np.polynomial.legendre.leggauss(24)
    gap = np.diff(edges)
    t = ((edges[:-1, None] + gap[:, None] * (x + 1) / 2).ravel()[:, None] - mean) / width
    log_phi = special.log_ndtr(t)
    density = np.exp(log_phi.sum(axis=1, keepdims=True) - log_phi - t**2 / 2) / width / np.sqrt(2 * np.pi)
    return (density * (gap[:, None] * w / 2).ravel()[:, None]).sum(axis=0)


@settings(max_examples=150, deadline=None)
@given(
    n_arms=st.integers(2, 30), span=st.integers(0, 8), apart=st.sampled_from([0.0, 1e-6, 0.3, 2.0, 12.0]),
    common=st.booleans(), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_any_ratio_of_widths(n_arms, span, apart, common, seed):
    rng = np.random.default_rng(seed)
    width = 10.0 ** rng.uniform(-span, 0, n_arms)
    mean = apart * rng.normal(size=n_arms) * (1.0 if common else width)
    found = om.choices.thompson_propensities(mean[None], width[None])[0]
    assert found.sum() == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(found, integral(mean, width), atol=1e-7)


@settings(max_examples=60, deadline=None)
@given(
    n_arms=st.integers(2, 12),
    n_sure=st.integers(1, 6),
    span=st.sampled_from([0, 3, 8, 100]),
    seed=st.integers(0, 2**31),
)
def test_sure_arms_take_what_the_others_leave(n_arms, n_sure, span, seed):
    rng = np.random.default_rng(seed)
    n_sure = min(n_sure, n_arms - 1)
    width = 10.0 ** rng.uniform(-span, 0, n_arms)
    width[:n_sure] = 0.0
    mean = rng.normal(size=n_arms).round(1)
    found = om.choices.thompson_propensities(mean[None], width[None])[0]
    best = mean[:n_sure].argmax()
    below = special.ndtr((mean[best] - mean[n_sure:]) / width[n_sure:]).prod()
    assert found[best] == pytest.approx(below, abs=1e-8)
    assert found.sum() == pytest.approx(1.0, abs=1e-6)
    assert found[:n_sure].sum() == found[best]


@pytest.mark.parametrize("n_arms", [2, 10, 100, 1000])
@pytest.mark.parametrize("span", [0, 1, 8])
def test_many_arms(n_arms, span):
    rng = np.random.default_rng(n_arms)
    equal = om.choices.thompson_propensities(np.zeros((1, n_arms)), np.full((1, n_arms), 10.0**-span))
    np.testing.assert_allclose(equal, 1 / n_arms, rtol=1e-6)
    width = 10.0 ** rng.uniform(-span, 0, (1, n_arms))
    assert om.choices.thompson_propensities(rng.normal(size=(1, n_arms)) * width, width).sum() == pytest.approx(
        1, abs=1e-6
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 400)), min_size=2, max_size=2))
def test_the_better_of_two_rates_in_closed_form(pair):
    (a, b), (c, d) = pair
    i = np.arange(a)  # P(Beta(a, b) > Beta(c, d)), a whole
    terms = special.betaln(c + i, b + d) - np.log(b + i) - special.betaln(1 + i, b) - special.betaln(c, d)
    found = best_rate_chances(np.array([[a, c]], float), np.array([[b, d]], float), np.ones((1, 2), bool))[0]
    np.testing.assert_allclose(found, [np.exp(terms).sum(), 1 - np.exp(terms).sum()], atol=1e-7)


@settings(max_examples=100, deadline=None)
@given(n=st.integers(2, 8), low=st.integers(-6, 0), high=st.integers(0, 5), seed=st.integers(0, 2**31))
def test_rates_of_any_evidence_sum_to_one(n, low, high, seed):
    rng = np.random.default_rng(seed)
    a, b = 10.0 ** rng.uniform(low, high, (2, 3, n))
    allowed = rng.random((3, n)) < 0.8
    found = best_rate_chances(a, b, allowed)
    np.testing.assert_allclose(found.sum(axis=1), allowed.any(axis=1), atol=1e-6)
    assert (found[~allowed] == 0).all()


@settings(max_examples=60, deadline=None)
@given(
    n_arms=st.integers(130, 600), slim=st.sampled_from([1.0, 0.8, 0.5, 0.26, 0.01]),
    apart=st.sampled_from([0.0, 0.1, 0.3, 1.0, 3.0]), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_one_arm_among_hundreds_is_what_all_of_them_say(n_arms, slim, apart, seed):
    rng = np.random.default_rng(seed)
    width, mean = rng.uniform(slim, 1.0, (3, n_arms)), apart * rng.normal(size=(3, n_arms))
    chosen, everywhere = (mean + width * rng.normal(size=mean.shape)).argmax(axis=1), np.ones((1, 1), np.bool_)
    chosen[0] = rng.integers(n_arms)
    found = np.empty(3)
    highest.chances_of(mean, width, everywhere, True, chosen, 0.0, *tables()[1:], found)
    expected = om.choices.thompson_propensities(mean, width)[np.arange(3), chosen]
    np.testing.assert_allclose(found, expected, atol=4e-8)


def test_chances_of_all_arms_asked_one_by_one_sum_to_one():
    rng = np.random.default_rng(4)
    mean, width = np.repeat(0.3 * rng.normal(size=(2, 1, 400)), 400, axis=1), np.repeat(
        rng.uniform([[[0.8]], [[0.3]]], 1.0, (2, 1, 400)), 400, axis=1
    )  # fmt: skip
    for m, w in zip(mean, width, strict=True):
        found = np.empty(400)
        highest.chances_of(m, w, np.ones((1, 1), np.bool_), True, np.arange(400), 0.0, *tables()[1:], found)
        assert found.sum() == pytest.approx(1.0, abs=3e-7)


def test_python_and_compiled_code_agree_to_the_bit_among_hundreds():
    rng = np.random.default_rng(8)
    mean, width = 0.3 * rng.normal(size=(4, 200)), rng.uniform(0.5, 1.0, (4, 200))
    both = np.empty((2, 4))
    for run, out in zip((highest.chances_of, highest.chances_of.interpreted), both, strict=True):
        run(mean, width, np.ones((1, 1), np.bool_), True, np.arange(4) * 7, 0.0, *tables()[1:], out)
    np.testing.assert_array_equal(*both)
