"""A plan under one budget, with one message a person at most, is a point of the multi-armed Qini path."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from omnireco._core.compute import always_compiled
from omnireco.causal import Experiment, budget_path
from omnireco.planning import Budget, Candidates, FrequencyCap, plan
from omnireco.planning.solving import whole

ARMS = ("call", "mail", "push")  # in the order of their names, as an experiment has them


def world(seed):
    """Return rewards (n, 3), costs, and the path of all budgets; the outcomes of the experiment play no part."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 80))
    rewards = rng.gamma(1.0, 1.0, (n, 3)) * [1.5, 1.0, 0.6] - 0.2
    costs = dict(zip(ARMS, rng.choice([0.05, 0.1, 0.25, 0.4, 1.0], 3), strict=True))
    arm = np.array(["none", *ARMS])[np.concatenate([np.arange(4), rng.integers(0, 4, n - 4)])]
    frame = pd.DataFrame({"arm": arm, "spend": rng.normal(size=n)})
    test = Experiment.from_frame(
        frame, treatment="arm", control="none", outcome="spend", propensity=dict.fromkeys(["none", *ARMS], 0.25)
    )
    return rewards, costs, budget_path(rewards, test, costs=costs, n_bootstrap=1, k=1)


def planned(rewards, costs, total):
    n = rewards.shape[0]
    frame = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(n), 3),
            "item_id": 0,
            "channel": np.tile(np.array(ARMS, object), n),
            "send_at": pd.Timestamp("2025-06-02", tz="UTC"),
            "value": rewards.ravel(),
        }
    )
    rules = [FrequencyCap(1, per=None), Budget(list(ARMS), cost=costs, total=total)]
    return plan(Candidates.from_frame(frame), constraints=rules)


@pytest.mark.parametrize("seed", range(12))
def test_at_each_point_of_the_path_the_plan_earns_what_the_path_promises(seed):
    rewards, costs, path = world(seed)
    n = rewards.shape[0]
    assert path.arms == ("none", *ARMS) or path.arms == ARMS
    for at in np.unique(np.linspace(0, path.budget.size - 1, 9).astype(int)):
        found = planned(rewards, costs, round(n * path.budget[at], 6))  # a budget counts in decimals as written
        assert found.value == pytest.approx(n * path.predicted[at], rel=1e-8, abs=1e-9)
        assert found.bound == pytest.approx(found.value, rel=1e-8, abs=1e-9)
        sent = found.to_frame()["channel"].value_counts()
        spent = sum(costs[name] * count for name, count in sent.items())
        assert spent <= n * path.budget[at] * (1 + 1e-9)
        (price,) = (row.price for row in found.rows if row.constraint.startswith("Budget"))
        left = path.price[at + 1] if at + 1 < path.price.size else 0.0  # what the next unit of money would earn
        if at > 0:
            assert left - 1e-6 <= price <= path.price[at] + 1e-6


@pytest.mark.parametrize("seed", range(12))
def test_between_two_points_the_path_lies_between_the_plan_and_its_bound_without_branching(seed, monkeypatch):
    rewards, costs, path = world(100 + seed)
    n = rewards.shape[0]
    for share in np.random.default_rng(seed).random(4):
        unit = math.gcd(*(round(100 * cost) for cost in costs.values()))  # a budget pays whole multiples of it
        total = unit * int(100 * n * path.budget[-1] * share / unit) / 100
        promised = n * path.at(total / n)["predicted"]
        found = planned(rewards, costs, total)
        assert found.value <= promised * (1 + 1e-9) + 1e-9
        assert found.bound <= promised * (1 + 1e-9) + 1e-9
        monkeypatch.setattr(whole, "LINEAR_TOUCHES", 0)
        with always_compiled():
            large = planned(rewards, costs, total)
        monkeypatch.undo()
        assert large.value <= found.bound * (1 + 1e-9)
        assert large.bound >= promised * (1 - 1e-9)  # the dual of the same program: never below it
        assert large.bound == pytest.approx(promised, rel=2e-2)
