"""Switch, shrinkage, groups of actions, several loggers, and a frame of decisions."""

import numpy as np
import pandas as pd
import pytest

from omnireco.causal import LoggedDecisions, off_policy
from omnireco.causal.estimating import Target, mediation_gap
from omnireco.causal.shrinking import allowance, shrunken
from omnireco.errors import ParameterError, SchemaError

LOW, HIGH, REPLICATIONS = 0.92, 0.98, 400
ESTIMATORS = ["ips", "snips", "dr", "sndr", "switch_dr", "dros"]


def bandit(seed, kind="easy", *, n=2000, k=10):
    """Return a log of k actions, a policy, a poor reward model, and the expected value of the policy."""
    rng = np.random.default_rng(seed)
    world = np.random.default_rng(5)
    slope, other = world.normal(size=(5, k)) * 0.5, world.normal(size=(5, k))
    x, people = rng.normal(size=(n, 5)), None
    if kind == "people":  # who decide five times on average, and are alike each time
        people = np.minimum(np.repeat(np.arange(n), rng.geometric(0.2, n))[:n], n // 5)
        x = 0.8 * rng.normal(size=(n, 5))[people] + 0.6 * x
    mean = 1 / (1 + np.exp((4.5 if kind == "rare" else 1) - x @ slope))
    old = np.exp(-x @ slope if kind == "hostile" else 0.4 * x @ other)
    old = 0.8 * old / old.sum(1, keepdims=True) + 0.2 / k
    new = np.exp(x @ slope)
    new /= new.sum(1, keepdims=True)
    action, row = np.minimum((rng.random((n, 1)) > old.cumsum(1)).sum(1), k - 1), np.arange(n)
    reward = (rng.random(n) < mean[row, action]).astype(float)
    amount = rng.lognormal(3, 1, n) if kind == "money" else 1.0
    predicted = (np.full((n, k), 0.3) + 0.05 * x[:, :1]) * {"rare": 0.1, "money": 30}.get(kind, 1)
    logged = LoggedDecisions(reward * amount, old[row, action], actions=action, people=people)
    return logged, new, predicted, (new * mean).sum(1).mean() * (np.exp(3.5) if kind == "money" else 1)


@pytest.mark.parametrize("kind", ["easy", "hostile", "rare", "money", "people"])
def test_intervals_cover_a_known_value(kind):
    """95 % intervals hold the truth in 92 to 98 % of logs, give or take one standard error of 400 logs, on either side.

    The percentile bootstrap covered 90 to 94 % here, and missed up to nine times as often below the truth as above:
    where the few large weights are missing, both value and error are too small.
    """
    truth = bandit(10_000, kind, n=200_000)[3]
    below, above = np.zeros(len(ESTIMATORS)), np.zeros(len(ESTIMATORS))
    for seed in range(REPLICATIONS):
        logged, new, predicted, _ = bandit(seed, kind)
        found = off_policy(logged, new, predicted=predicted, estimators=ESTIMATORS, least_effective=1).table
        below += found["high"] < truth
        above += found["low"] > truth
    share = 1 - (below + above) / REPLICATIONS
    assert ((share >= LOW - 0.012) & (share <= HIGH + 0.007)).all(), dict(zip(ESTIMATORS, share, strict=True))
    assert (np.maximum(below, above) / REPLICATIONS <= 0.06).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_interval_of_hand_made_influences(estimator):
    """On alike weights and rewards of 0 and 1 every estimator is the mean: Student's interval, hardly skewed."""
    reward, half = np.tile([0.0, 1.0], 50), np.full(100, 0.5)
    logged = LoggedDecisions(reward, half, actions=np.zeros(100, int))
    one = np.column_stack([half, half])
    row = off_policy(logged, one, predicted=np.zeros((100, 2)), estimators=[estimator], least_effective=1).table.iloc[0]
    wide = 1.984217 * 0.5 / np.sqrt(99)  # of t with 99 degrees of freedom
    assert [row["low"], row["high"]] == pytest.approx([0.5 - wide, 0.5 + wide], rel=0.012)


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
    found = off_policy(logged, new, groups=group, least_effective=100).table.set_index("estimator")
    truth = new[0] @ by_group[group]
    assert found.loc["mips", "low"] <= truth <= found.loc["mips", "high"]
    width = found["high"] - found["low"]
    assert width["mips"] < 0.8 * width["ips"]


def test_groups_that_lose_the_effect_are_refused():
    rng, n = np.random.default_rng(1), 6000
    action = rng.integers(0, 4, n)
    reward = (rng.random(n) < np.array([0.1, 0.5, 0.1, 0.5])[action]).astype(float)
    logged = LoggedDecisions(reward, np.full(n, 0.25), actions=action, distribution=np.full((n, 4), 0.25))
    found = off_policy(logged, np.tile([0.0, 0.5, 0.0, 0.5], (n, 1)), groups=[0, 0, 1, 1])
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
    return (
        LoggedDecisions(reward, loggers[which, action], actions=action, by_logger=loggers[:, action].T, logger=which),
        np.tile([0.1, 0.1, 0.8], (n, 1)),
        0.1 * 0.1 + 0.1 * 0.2 + 0.8 * 0.4,
    )


def test_several_loggers_cover_and_the_mixture_is_narrower():
    hits, widths = np.zeros(3), np.zeros(3)
    for seed in range(120):
        logged, policy, truth = two_loggers(seed, n=1500)
        rows = off_policy(logged, policy, estimators=["ips", "weighted_ips"], least_effective=1).table
        mixed = off_policy(logged.balanced(), policy, estimators=["ips"], least_effective=1).table
        low, high = (np.r_[rows[end], mixed[end]] for end in ("low", "high"))
        hits += (low <= truth) & (truth <= high)
        widths += high - low
    assert (hits / 120 >= 0.88).all()
    assert widths[2] < 0.9 * widths[0]
    assert widths[1] < widths[0]


def test_a_logger_that_never_earned_has_no_precision():
    logged = LoggedDecisions([0.0, 0.0, 1.0, 0.0], np.full(4, 0.5), by_logger=np.full((4, 2), 0.5), logger=[0, 0, 1, 1])
    found = off_policy(logged, np.full(4, 0.5), estimators=["weighted_ips"], least_effective=1, k=1)
    assert np.isnan(found.table["value"][0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"by_logger": np.full((2, 2), 0.5)}, "belong together"),
        (
            {"by_logger": np.full((2, 2), 0.3), "logger": [0, 1]},
            "another probability of the logged choice than propensity in 2",
        ),
        ({"by_logger": np.full((2, 2), 0.5), "logger": [0, 2]}, "by_logger has 2 columns"),
        ({"by_logger": np.full((2, 2), 1.5), "logger": [0, 1]}, "outside"),
        ({"distribution": np.full((2, 2), 0.5)}, "give actions= from 0 to 1"),
        ({"distribution": np.full((2, 2), 0.4), "actions": [0, 1]}, "with the sum 1"),
        ({"distribution": [[0.4, 0.6], [0.5, 0.5]], "actions": [0, 1]}, "in 1 row"),
    ],
)
def test_what_the_logging_policies_say_must_agree(change, words):
    with pytest.raises(ParameterError, match=words):
        LoggedDecisions([1.0, 0.0], [0.5, 0.5], **change)


def test_balanced_needs_the_loggers():
    with pytest.raises(ParameterError, match="by_logger is missing"):
        LoggedDecisions([1.0], [0.5]).balanced()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"estimators": ["mips"]}, "mips needs groups="),
        ({"estimators": ["weighted_ips"]}, "needs the logging policies"),
        ({"estimators": ["switch_dr"]}, "switch_dr needs predicted="),
        ({"groups": [0, 1]}, "needs the logging policy's probability of every action"),
    ],
)
def test_what_an_estimator_lacks_is_said(how, words):
    with pytest.raises(ParameterError, match=words):
        off_policy(LoggedDecisions(np.ones(3), np.full(3, 0.5), actions=[0, 1, 0]), np.full((3, 2), 0.5), **how)


@pytest.mark.parametrize(
    ("groups", "words"), [([0], "one per action"), ([0, 0.5], "one per action"), ([0, 5], "without gaps")]
)
def test_groups_are_one_per_action(groups, words):
    logged = LoggedDecisions(np.ones(2), np.full(2, 0.5), actions=[0, 1], distribution=np.full((2, 2), 0.5))
    with pytest.raises(ParameterError, match=words):
        off_policy(logged, np.full((2, 2), 0.5), groups=groups)


# ---- a frame ------------------------------------------------------------------------------------------------------


def test_a_frame_of_decisions():
    frame = pd.DataFrame(
        {
            "user_id": ["a", "b", "a"],
            "reward": [1.0, 0.0, 2.0],
            "propensity": [0.5, 0.25, 0.2],
            "action": ["y", "x", "y"],
            "logger": ["new", "old", "new"],
            "propensity_old": [0.1, 0.25, 0.3],
            "propensity_new": [0.5, 0.5, 0.2],
        }
    )
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
