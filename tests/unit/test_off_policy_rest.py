"""Switch, shrinkage, groups of actions, several loggers, slates, and the choice among policies."""

import numpy as np
import pandas as pd
import pytest

from omnireco.causal import LoggedDecisions, LoggedSlates, off_policy, off_policy_slates, select_policy
from omnireco.causal.estimating import Target, mediation_gap
from omnireco.causal.shrinking import allowance, shrunken
from omnireco.errors import EmptyError, ParameterError, SchemaError

LOW, HIGH = 0.92, 0.98


def bandit(seed, *, n=2000, k=10, hostile=False, width=1.0):
    """A log of k actions, the logging and target policies, a poor reward model and the expected rewards."""
    rng = np.random.default_rng(seed)
    world = np.random.default_rng(5)
    slope, other = world.normal(size=(5, k)) * 0.5, world.normal(size=(5, k))
    x = rng.normal(size=(n, 5))
    mean = 1 / (1 + np.exp(1 - x @ slope))
    old = np.exp(-x @ slope if hostile else 0.4 * x @ other)
    old = 0.8 * old / old.sum(1, keepdims=True) + 0.2 / k
    new = np.exp(width * x @ slope)
    new /= new.sum(1, keepdims=True)
    action = np.minimum((rng.random((n, 1)) > old.cumsum(1)).sum(1), k - 1)
    reward = (rng.random(n) < mean[np.arange(n), action]).astype(float)
    predicted = np.full((n, k), 0.3) + 0.05 * x[:, :1]
    return old, new, action, reward, predicted, mean


def truth_of(**how):
    _, new, *_, mean = bandit(99, **(how | {"n": 200_000}))
    return (new * mean).sum(1).mean()


@pytest.mark.parametrize("how", [{}, {"hostile": True}], ids=["easy", "hostile"])
def test_intervals_cover_a_known_value(how):
    """95 % intervals hold the truth in 92 to 98 % of logs, give or take what 300 logs can tell (2.5 points)."""
    truth, reps = truth_of(**how), 300
    wanted = ["ips", "snips", "dr", "sndr", "switch_dr", "dros"]
    hits = np.zeros(len(wanted))
    for seed in range(reps):
        old, new, action, reward, predicted, _ = bandit(seed, **how)
        logged = LoggedDecisions(reward, old[np.arange(reward.size), action], actions=action)
        found = off_policy(
            logged, new, predicted=predicted, estimators=wanted, least_effective=1, n_bootstrap=200, seed=seed
        ).table
        hits += (found["low"] <= truth) & (truth <= found["high"])
    assert ((hits / reps >= LOW - 0.025) & (hits / reps <= HIGH + 0.02)).all(), dict(zip(wanted, hits / reps, strict=True))


def test_changed_weights_by_hand():
    w = np.array([0.0, 1.0, 4.0])
    assert shrunken(w, "switch_dr", 2.0).tolist() == [0.0, 1.0, 0.0]
    assert shrunken(w, "dros", 4.0).tolist() == [0.0, 0.8, 0.8]
    assert shrunken(w, "dros", np.inf).tolist() == w.tolist()
    assert shrunken(w, "dros", 0.0).tolist() == [0.0, 0.0, 0.0]


def test_an_interval_grows_with_the_bias_that_may_be_left():
    assert allowance(0.0, 0.95) == pytest.approx(1.0)
    assert allowance(1.0, 0.95) * 1.959964 == pytest.approx(2.65, abs=0.01)  # Armstrong and Kolesar, table 1: cv at 1
    assert 1 < allowance(0.5, 0.95) < allowance(0.5001, 0.95)


def test_groups_that_carry_the_effect_need_smaller_weights():
    """50 actions in 5 groups that earn by group alone: mips covers, with a narrower interval than ips."""
    rng, k = np.random.default_rng(0), 50
    group, n = np.arange(50) % 5, 4000
    by_group = np.array([0.05, 0.1, 0.15, 0.2, 0.4])
    preference = np.where(group == 4, 8.0, 1.0) * np.linspace(0.1, 3, k) ** 2
    new = np.tile(preference / preference.sum(), (n, 1))
    old = np.full((n, k), 1 / k)
    action = rng.integers(0, k, n)
    reward = (rng.random(n) < by_group[group[action]]).astype(float)
    logged = LoggedDecisions(reward, np.full(n, 1 / k), actions=action, distribution=old)
    found = off_policy(logged, new, groups=group, least_effective=100, n_bootstrap=200).table.set_index("estimator")
    truth = new[0] @ by_group[group]
    assert found.loc["mips", "low"] <= truth <= found.loc["mips", "high"]
    width = found["high"] - found["low"]
    assert width["mips"] < 0.8 * width["ips"]


def test_groups_that_lose_the_effect_are_refused():
    rng, n = np.random.default_rng(1), 6000
    action = rng.integers(0, 4, n)
    reward = (rng.random(n) < np.array([0.1, 0.5, 0.1, 0.5])[action]).astype(float)
    logged = LoggedDecisions(reward, np.full(n, 0.25), actions=action, distribution=np.full((n, 4), 0.25))
    found = off_policy(logged, np.tile([0.0, 0.5, 0.0, 0.5], (n, 1)), groups=[0, 0, 1, 1], n_bootstrap=50)
    table = found.table.set_index("estimator")
    assert np.isnan(table.loc["mips", "value"])
    assert table.loc["ips", "value"] == pytest.approx(0.5, abs=0.03)
    assert abs(found.diagnostics["mips_gap"][0]) > 3
    assert "groups= loses an effect" in found.verdict


def test_no_groups_no_gap():
    assert np.isnan(mediation_gap(Target(np.ones(2), None, None, None), np.ones(2), np.arange(2), 2)).all()


def two_loggers(seed, n=3000):
    rng = np.random.default_rng(seed)
    loggers = np.array([[0.7, 0.2, 0.1], [0.05, 0.05, 0.9]])
    which = (np.arange(n) % 3 == 0).astype(int)
    action = np.array([rng.choice(3, p=loggers[one]) for one in which])
    reward = (rng.random(n) < np.array([0.1, 0.2, 0.4])[action]).astype(float)
    return LoggedDecisions(
        reward, loggers[which, action], actions=action, by_logger=loggers[:, action].T, logger=which
    ), np.tile([0.1, 0.1, 0.8], (n, 1)), 0.1 * 0.1 + 0.1 * 0.2 + 0.8 * 0.4  # fmt: skip


def test_several_loggers_cover_and_the_mixture_is_narrower():
    hits, widths = np.zeros(3), np.zeros(3)
    for seed in range(120):
        logged, policy, truth = two_loggers(seed, n=1500)
        rows = off_policy(logged, policy, estimators=["ips", "weighted_ips"], least_effective=1, n_bootstrap=200).table
        mixed = off_policy(logged.balanced(), policy, estimators=["ips"], least_effective=1, n_bootstrap=200).table
        low, high = (np.r_[rows[end], mixed[end]] for end in ("low", "high"))
        hits += (low <= truth) & (truth <= high)
        widths += high - low
    assert (hits / 120 >= 0.88).all()
    assert widths[2] < 0.9 * widths[0]
    assert widths[1] < widths[0]


def test_a_logger_that_never_earned_has_no_precision():
    logged = LoggedDecisions(
        [0.0, 0.0, 1.0, 0.0], np.full(4, 0.5), by_logger=np.full((4, 2), 0.5), logger=[0, 0, 1, 1]
    )
    found = off_policy(logged, np.full(4, 0.5), estimators=["weighted_ips"], least_effective=1, n_bootstrap=5)
    assert np.isnan(found.table["value"][0])


@pytest.mark.parametrize(("change", "words"), [
    ({"by_logger": np.full((2, 2), 0.5)}, "belong together"),
    ({"by_logger": np.full((2, 2), 0.3), "logger": [0, 1]}, "another probability of the logged choice than propensity in 2"),
    ({"by_logger": np.full((2, 2), 0.5), "logger": [0, 2]}, "by_logger has 2 columns"),
    ({"by_logger": np.full((2, 2), 1.5), "logger": [0, 1]}, "outside"),
    ({"distribution": np.full((2, 2), 0.5)}, "give actions= from 0 to 1"),
    ({"distribution": np.full((2, 2), 0.4), "actions": [0, 1]}, "with the sum 1"),
    ({"distribution": [[0.4, 0.6], [0.5, 0.5]], "actions": [0, 1]}, "in 1 row"),
])  # fmt: skip
def test_what_the_logging_policies_say_must_agree(change, words):
    with pytest.raises(ParameterError, match=words):
        LoggedDecisions([1.0, 0.0], [0.5, 0.5], **change)


def test_balanced_needs_the_loggers():
    with pytest.raises(ParameterError, match="by_logger is missing"):
        LoggedDecisions([1.0], [0.5]).balanced()


@pytest.mark.parametrize(("how", "words"), [
    ({"estimators": ["mips"]}, "mips needs groups="),
    ({"estimators": ["weighted_ips"]}, "needs the logging policies"),
    ({"estimators": ["switch_dr"]}, "switch_dr needs predicted="),
    ({"groups": [0, 1]}, "needs the logging policy's probability of every action"),
])  # fmt: skip
def test_what_an_estimator_lacks_is_said(how, words):
    with pytest.raises(ParameterError, match=words):
        off_policy(LoggedDecisions(np.ones(3), np.full(3, 0.5), actions=[0, 1, 0]), np.full((3, 2), 0.5), **how)


@pytest.mark.parametrize(("groups", "words"), [([0], "one per action"), ([0, 0.5], "one per action"), ([0, 5], "without gaps")])
def test_groups_are_one_per_action(groups, words):
    logged = LoggedDecisions(np.ones(2), np.full(2, 0.5), actions=[0, 1], distribution=np.full((2, 2), 0.5))
    with pytest.raises(ParameterError, match=words):
        off_policy(logged, np.full((2, 2), 0.5), groups=groups)


# ---- a frame ------------------------------------------------------------------------------------------------------


def test_a_frame_of_decisions():
    frame = pd.DataFrame({
        "user_id": ["a", "b", "a"], "reward": [1.0, 0.0, 2.0], "propensity": [0.5, 0.25, 0.2], "action": ["y", "x", "y"],
        "logger": ["new", "old", "new"], "propensity_old": [0.1, 0.25, 0.3], "propensity_new": [0.5, 0.5, 0.2],
    })  # fmt: skip
    made = LoggedDecisions.from_frame(frame)
    assert made.actions.tolist() == [1, 0, 1]
    assert made.people.tolist() == ["a", "b", "a"]
    assert made.logger.tolist() == [0, 1, 0]  # new before old
    assert made.by_logger.tolist() == [[0.5, 0.1], [0.5, 0.25], [0.2, 0.3]]
    assert made.balanced().propensity == pytest.approx([2 / 3 * 0.5 + 1 / 3 * 0.1, 2 / 3 * 0.5 + 1 / 3 * 0.25, 0.7 / 3])
    shuffled = LoggedDecisions.from_frame(frame.iloc[::-1])
    assert shuffled.actions.tolist() == made.actions[::-1].tolist()
    assert LoggedDecisions.from_frame(frame.assign(action=[4, 0, 4])).actions.tolist() == [4, 0, 4]


def test_a_frame_without_what_several_loggers_need_is_refused():
    frame = pd.DataFrame({"reward": [1.0, 0.0], "propensity": [0.5, 0.5], "logger": ["a", "b"]})
    with pytest.raises(SchemaError, match="propensity_a, propensity_b"):
        LoggedDecisions.from_frame(frame)
    assert LoggedDecisions.from_frame(frame.drop(columns="logger")).logger is None
    with pytest.raises(SchemaError, match="reward"):
        LoggedDecisions.from_frame(frame.drop(columns="reward"))
    with pytest.raises(SchemaError, match="propensity"):
        LoggedDecisions.from_frame(frame.assign(propensity=[0.5, None]))


# ---- the choice among policies ------------------------------------------------------------------------------------


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
        alone += bool((off_policy(logged, policies, estimators=["snips"], least_effective=100, n_bootstrap=200).table["lift_low"] > 0).any())
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


# ---- slates -------------------------------------------------------------------------------------------------------


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
        found = off_policy_slates(logged, policy, predicted=q, expected=v, least_effective=1, n_bootstrap=200).table
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


@pytest.mark.parametrize(("how", "words"), [
    ({"policy": np.full((4, 3), 0.5)}, "must agree"), ({"policy": np.full((4, 2), 1.5)}, "outside"),
    ({"predicted": np.ones((4, 2))}, "belong together"), ({"estimators": ["cascade_dr"]}, "cascade_dr needs"),
    ({"estimators": ["dr"]}, "some of sips"), ({"place_weights": [1.0]}, "2 finite numbers"),
])  # fmt: skip
def test_lists_that_do_not_fit_are_refused(how, words):
    logged = LoggedSlates(np.ones((4, 2)), np.full((4, 2), 0.5))
    with pytest.raises(ParameterError, match=words):
        off_policy_slates(logged, **({"policy": np.full((4, 2), 0.5)} | how))


def test_logged_lists_are_checked():
    with pytest.raises(ParameterError, match=r"1 probability outside \(0, 1\]"):
        LoggedSlates([[1.0, 0.0]], [[0.5, 0.0]])
    with pytest.raises(ParameterError, match="one entry per list"):
        LoggedSlates([[1.0]], [[0.5]], people=["a", "b"])
    with pytest.raises(EmptyError, match="no list"):
        off_policy_slates(LoggedSlates(np.ones((0, 2)), np.ones((0, 2))), np.ones((0, 2)))
    with pytest.raises(ParameterError, match="takes LoggedSlates"):
        off_policy_slates([1], [1])
    assert LoggedSlates([[1.0], [0.0]], [[0.5], [0.5]], people=["a", "a"]).clusters[1] == 1
