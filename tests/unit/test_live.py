"""A bandit at work: one event or many, and its copies, are one state."""

import numpy as np
import pytest

import omnireco as om
from omnireco.errors import SchemaError


def started():
    return om.LinearBandit(shared=False).start(["a", "b"], n_features=1)


def test_one_event_at_a_time_is_all_at_once():
    one, many = started(), started()
    x = np.array([[1.0], [2.0], [-1.0]])
    for arm, context, reward in zip(["a", "b", "a"], x, [1.0, 0.0, 2.0], strict=True):
        one.update(arm, context, reward)
    many.update(["a", "b", "a"], x, [1.0, 0.0, 2.0])
    np.testing.assert_allclose(one.expected(x), many.expected(x), rtol=1e-12)
    np.testing.assert_allclose(one.propensity(x), many.propensity(x), rtol=1e-9)
    np.testing.assert_allclose(one.propensity(x).sum(axis=1), 1.0, atol=1e-6)


def test_a_copy_learns_by_itself():
    live = started()
    copy = live.copy()
    copy.update("a", np.array([1.0]), 5.0)
    assert live.expected([[1.0]])[0, 0] == 0.0
    assert copy.expected([[1.0]])[0, 0] > 1.0


def test_a_ridge_regression_by_hand():
    live = om.LinearBandit(shared=False, intercept=False).start(["a"], n_features=1)
    live.update(["a", "a"], [[1.0], [2.0]], [1.0, 3.0])
    assert live.expected([[1.0]])[0, 0] == pytest.approx(7.0 / 6.0)  # (1 + 6) / (1 + 4 + prior precision 1)
    assert live.widths([[1.0]])[0, 0] == pytest.approx(live.noise / np.sqrt(6.0))


def test_the_old_name_of_the_propensity_is_gone():
    live = started()
    assert not hasattr(live, "probabilities")
    with pytest.raises(SchemaError, match="1 columns"):
        live.propensity(np.zeros((1, 3)))
