"""Lists of several places: intervals on known values, and a cascade that does not hold."""

import numpy as np
import pytest

from omnireco.causal import LoggedSlates, off_policy_slates
from omnireco.errors import EmptyError, ParameterError


def slates(seed, *, cascade=True, n=3000):
    """Two places of two items: with a cascade, the second place earns by both items, the first by its own alone."""
    rng = np.random.default_rng(seed)
    items = rng.integers(0, 2, (n, 2))
    top = 0.1 + 0.3 * items[:, 0] + (0.0 if cascade else 0.4 * items[:, 1])
    low = 0.1 + 0.2 * items[:, 1] * items[:, 0]
    reward = (rng.random((n, 2)) < np.column_stack([top, low])).astype(float)
    policy = np.where(items == 1, 0.9, 0.1)
    q = np.column_stack([0.2 + 0.3 * items[:, 0], 0.1 + 0.1 * items[:, 1]])
    v = np.column_stack([np.full(n, 0.2 + 0.3 * 0.9), np.full(n, 0.1 + 0.1 * 0.9)])
    truth = 0.1 + 0.3 * 0.9 + (0 if cascade else 0.4 * 0.9) + 0.1 + 0.2 * 0.81
    return LoggedSlates(reward, np.full((n, 2), 0.5)), policy, q, v, truth


def test_lists_cover_a_known_value_and_the_model_helps():
    hits, widths, reps = np.zeros(3), np.zeros(3), 150
    for seed in range(reps):
        logged, policy, q, v, truth = slates(seed, n=1500)
        found = off_policy_slates(logged, policy, predicted=q, expected=v, least_effective=1).table
        hits += (found["low"] <= truth) & (truth <= found["high"])
        widths += found["high"] - found["low"]
    assert found["estimator"].tolist() == ["sips", "rips", "cascade_dr"]
    assert (hits / reps >= 0.89).all()
    assert widths[2] < widths[1] < widths[0]


def test_a_cascade_that_does_not_hold_is_refused():
    logged, policy, q, v, truth = slates(0, cascade=False, n=20_000)
    found = off_policy_slates(logged, policy, predicted=q, expected=v)
    table = found.table.set_index("estimator")
    assert table.loc["sips", "low"] <= truth <= table.loc["sips", "high"]
    assert np.isnan(table.loc[["rips", "cascade_dr"], "value"]).all()
    assert abs(found.diagnostics["mips_gap"][0]) > 3


def test_lists_without_support_have_no_value():
    logged, policy, *_ = slates(0, n=200)
    found = off_policy_slates(logged, policy)
    assert np.isnan(found.table["value"]).all()
    assert "effective decisions" in found.verdict


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"policy": np.full((4, 3), 0.5)}, "must agree"),
        ({"policy": np.full((4, 2), 1.5)}, "outside"),
        ({"predicted": np.ones((4, 2))}, "belong together"),
        ({"estimators": ["cascade_dr"]}, "cascade_dr needs"),
        ({"estimators": ["dr"]}, "some of sips"),
        ({"place_weights": [1.0]}, "2 finite numbers"),
        ({"place_weights": ["x", "y"]}, "place_weights"),
    ],
)
def test_lists_that_do_not_fit_are_refused(how, words):
    logged = LoggedSlates(np.ones((4, 2)), np.full((4, 2), 0.5))
    with pytest.raises(ParameterError, match=words):
        off_policy_slates(logged, **({"policy": np.full((4, 2), 0.5)} | how))


def test_logged_lists_are_checked():
    with pytest.raises(ParameterError, match=r"1 probability outside \(0, 1\]"):
        LoggedSlates([[1.0, 0.0]], [[0.5, 0.0]])
    with pytest.raises(ParameterError, match="one entry per decision"):
        LoggedSlates([[1.0]], [[0.5]], people=["a", "b"])
    with pytest.raises(EmptyError, match="no list"):
        off_policy_slates(LoggedSlates(np.ones((0, 2)), np.ones((0, 2))), np.ones((0, 2)))
    with pytest.raises(ParameterError, match="takes LoggedSlates"):
        off_policy_slates([1], [1])
    assert LoggedSlates([[1.0], [0.0]], [[0.5], [0.5]], people=["a", "a"]).clusters[1] == 1
