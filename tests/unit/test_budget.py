"""Budget paths: the optimum of the linear program at every budget, shares, and what targeting is worth."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from omnireco._kernels.hull import hull_steps
from omnireco.causal import Experiment, budget_path
from omnireco.errors import EmptyError, ParameterError


def trial(n, k, seed=0):
    rng = np.random.default_rng(seed)
    names = ["none", *(f"a{at}" for at in range(k))]
    frame = pd.DataFrame({"arm": [*names, *rng.choice(names, n - k - 1)], "y": rng.normal(size=n)})
    return Experiment.from_frame(
        frame, treatment="arm", control="none", outcome="y", propensity=dict.fromkeys(names, 1 / (k + 1))
    )


def optimum(reward, cost, budget):
    """The linear program, by HiGHS."""
    n, k = reward.shape
    one_arm = csr_matrix((np.ones(n * k), (np.repeat(np.arange(n), k), np.arange(n * k))))
    rows = np.concatenate([one_arm.toarray(), cost.reshape(1, -1)])
    found = linprog(-reward.ravel(), A_ub=rows, b_ub=[*np.ones(n), budget], bounds=(0, None), method="highs")
    return -found.fun


@pytest.mark.parametrize("seed", range(6))
def test_the_path_is_the_optimum_of_the_linear_program_at_every_budget(seed):
    rng = np.random.default_rng(seed)
    n, k = 40, 4
    reward, cost = rng.normal(size=(n, k)), rng.random((n, k)) + 0.05
    if seed == 1:  # ties in cost, in reward and in slope, and arms that are free
        reward, cost = np.round(reward), np.round(cost * 2)
    if seed == 2:
        cost = np.ones((n, k)) * [0.5, 1.0, 1.0, 2.0]
    path = budget_path(reward, trial(n, k), costs=cost, n_bootstrap=9, k=1)
    for budget in [*np.linspace(0, 1.2 * float(path.budget[-1]), 13), 0.003]:
        assert path.at(budget)["predicted"] * n == pytest.approx(optimum(reward, cost, budget * n), abs=1e-8)
    assert (path.price[1:] <= path.price[:-1]).all()


def test_at_a_price_everybody_has_the_arm_that_pays_most():
    rng = np.random.default_rng(9)
    n, k = 300, 3
    reward, cost = rng.normal(size=(n, k)), rng.random((n, k)) + 0.1
    path = budget_path(reward, trial(n, k), costs=cost, n_bootstrap=9, k=1)
    at = len(path.budget) // 2
    price = (path.price[at] + path.price[at + 1]) / 2
    gain = np.column_stack([np.zeros(n), reward - price * cost])
    arm = gain.argmax(axis=1)
    shares = np.bincount(arm, minlength=k + 1)[1:] / n
    assert path.share[at] == pytest.approx(shares)
    spent = np.column_stack([np.zeros(n), cost])[np.arange(n), arm].mean()
    assert path.budget[at] == pytest.approx(spent)


def test_steps_of_a_hull_by_hand():
    """Arms (cost, reward): (1, 2), (2, 3), (3, 3.2), (2.5, 1): the last lies under the hull."""
    steps = hull_steps(np.array([[2.0, 3.0, 3.2, 1.0]]), np.array([[1.0, 2.0, 3.0, 2.5]]))
    assert steps.before.tolist() == [-1, 0, 1]
    assert steps.after.tolist() == [0, 1, 2]
    assert steps.slope == pytest.approx([2.0, 1.0, 0.2])


def test_known_worlds_gain_what_they_should_and_targeting_pays_where_people_differ():
    rng = np.random.default_rng(0)
    n = 30_000
    arm, taste = rng.choice(["none", "a", "b"], n), rng.integers(0, 2, n)
    y = rng.normal(size=n) + 1.0 * (arm == "a") * (taste == 0) + 1.0 * (arm == "b") * (taste == 1)
    even = dict.fromkeys(["none", "a", "b"], 1 / 3)
    test = Experiment.from_frame(
        pd.DataFrame({"arm": arm, "y": y}), treatment="arm", control="none", outcome="y", propensity=even
    )
    known = np.column_stack([taste == 0, taste == 1]).astype(float)
    path = budget_path(known, test, costs={"a": 1.0, "b": 1.0})
    whole = path.at(1.0)
    assert whole["low"] < 1.0 < whole["high"]
    assert path.at(0.5)["gain"] == pytest.approx(0.5, abs=0.05)
    assert path.at(0.5)["lift"] == pytest.approx(0.25, abs=0.05)
    assert path.at(0.5)["lift_low"] > 0
    same = budget_path(np.ones((n, 2)) * [0.5, 0.4], test, costs={"a": 1.0, "b": 1.0})
    assert same.at(0.7)["lift"] == pytest.approx(0.0, abs=1e-9)
    assert list(path.to_frame()) == [
        *("budget", "price", "predicted", "gain", "low", "high", "single", "lift", "lift_low", "lift_high")
    ]


def test_nothing_worth_doing_is_an_empty_path():
    path = budget_path(-np.ones((50, 2)), trial(50, 2), costs={"a0": 1.0, "a1": 2.0}, n_bootstrap=9)
    assert path.budget.tolist() == [0.0]
    assert path.at(3.0)["gain"] == 0.0


def test_thousands_of_steps_are_drawn_at_a_thousand_points_each_an_optimum():
    rng = np.random.default_rng(3)
    reward, cost = rng.random((3000, 3)), rng.random((3000, 3)) + 0.1
    path = budget_path(reward, trial(3000, 3), costs=cost, n_bootstrap=9)
    assert len(path.budget) <= 1001
    gain = np.column_stack([np.zeros(3000), reward - path.price[400] * cost])
    assert path.predicted[400] == pytest.approx(
        np.column_stack([np.zeros(3000), reward])[np.arange(3000), gain.argmax(axis=1)].mean(), abs=1e-3
    )


@pytest.mark.parametrize(
    ("rewards", "costs", "match"),
    [
        (np.ones((50, 3)), {"a0": 1.0, "a1": 1.0}, "rewards has 3 columns for 2 arms"),
        (np.ones((50, 2)), {"a0": 1.0}, "costs has none for 'a1'"),
        (np.ones((50, 2)), {"a0": 1.0, "a1": -1.0}, "costs"),
        (np.ones((50, 2)), {"a0": 1.0, "mail": 1.0}, "costs"),
        (np.ones((50, 2)), -np.ones((50, 2)), "costs must be 0 or more"),
        (np.ones((50, 2)) * np.nan, {"a0": 1.0, "a1": 1.0}, "rewards holds 100 numbers"),
    ],
)
def test_what_is_wrong_is_named(rewards, costs, match):
    with pytest.raises(ParameterError, match=match):
        budget_path(rewards, trial(50, 2), costs=costs)


def test_no_step_of_a_path_is_about_fewer_than_k_people():
    rng = np.random.default_rng(1)
    n, q = 90, 2
    reward, cost = rng.normal(size=(n, q)) + 1, rng.random((n, q)) + 0.05
    path = budget_path(reward, trial(n, q), costs=cost, n_bootstrap=9)
    moved = np.abs(np.diff(path.share, axis=0)).sum(axis=1) * n
    assert path.budget.size > 5
    assert (np.diff(path.budget) > 0).all()
    assert path.budget.size <= 1 + 2 * n / 5
    assert moved.max() >= 1
    assert budget_path(reward, trial(n, q), costs=cost, n_bootstrap=9, k=1).budget.size > path.budget.size
    with pytest.raises(EmptyError, match="of fewer than k=80"):
        budget_path(reward, trial(n, q), costs=cost, n_bootstrap=9, k=80)


def test_what_is_nothing_but_rounding_is_zero():
    """One arm that is best for all: targeting adds exactly nothing, and nothing is printed as 1e-17."""
    path = budget_path(np.full((600, 1), 0.1), trial(600, 1), costs={"a0": 0.3}, n_bootstrap=20)
    assert (path.lift == 0).all()
    assert "e-1" not in repr(path)
    assert repr(path).endswith("+0 (+0 to +0) on one arm for all)")
