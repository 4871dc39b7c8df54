"""The choice among policies: intervals that allow for having looked at all of them."""

import numpy as np
import pytest

from omnireco.causal import LoggedDecisions, off_policy, select_policy
from omnireco.errors import ParameterError


def test_the_best_of_equal_policies_is_seldom_called_better():
    """Twenty policies that all earn what the log earns: one is called better in about 2.5 % of logs, not in 40 %."""
    called, alone, reps = 0, 0, 40
    for seed in range(reps):
        rng = np.random.default_rng(seed)
        n = 1500
        action, reward = rng.integers(0, 2, n), (rng.random(n) < 0.2).astype(float)
        logged = LoggedDecisions(reward, np.full(n, 0.5), actions=action)
        policies = {f"p{i}": rng.integers(0, 2, n) * 1.0 for i in range(20)}
        policies = {name: np.column_stack([1 - one, one]) for name, one in policies.items()}
        found = select_policy(logged, policies, least_effective=100, n_bootstrap=200, seed=seed)
        called += bool(found.best)
        alone += bool(
            (off_policy(logged, policies, estimators=["snips"], least_effective=100).table["lift_low"] > 0).any()
        )
    assert called <= 4
    assert alone > 8


def test_the_better_policy_is_found_and_an_unsupported_one_takes_no_part():
    rng, n = np.random.default_rng(0), 6000
    action = rng.integers(0, 3, n)
    reward = (rng.random(n) < np.array([0.1, 0.2, 0.3])[action]).astype(float)
    logged = LoggedDecisions(reward, np.full(n, 1 / 3), actions=action)
    one = np.eye(3)
    found = select_policy(logged, {"a": np.tile(one[0], (n, 1)), "c": np.tile(one[2], (n, 1)), "none": np.zeros(n)})
    assert found.best == "c"
    assert found.critical > 1.97
    assert found.table.set_index("policy").loc["none", "refused"] != ""
    assert "Use c: +0.09" in found.verdict
    assert "Keep the policy" in select_policy(logged, {"a": np.tile(one[0], (n, 1))}).verdict
    single = select_policy(logged, {"c": np.tile(one[2], (n, 1))})
    plain = off_policy(logged, {"c": np.tile(one[2], (n, 1))}, estimators=["snips"]).table.iloc[0]
    assert single.table["lift_low"][0] == pytest.approx(plain["lift_low"], abs=0.004)


def test_what_cannot_be_chosen_by_is_refused():
    logged = LoggedDecisions(np.ones(3), np.full(3, 0.5), actions=[0, 1, 0])
    with pytest.raises(ParameterError, match="no interval to choose by"):
        select_policy(logged, {"a": np.full((3, 2), 0.5)}, predicted=np.ones((3, 2)), estimator="dm")
    with pytest.raises(ParameterError, match="policies"):
        select_policy(logged, np.full(3, 0.5))
