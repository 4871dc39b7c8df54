"""Two policies compared on one log: the difference of their values, from the same rows."""

import numpy as np
import pytest

import omnireco as om
from omnireco.causal import LoggedDecisions, LoggedSlates, off_policy, off_policy_slates
from omnireco.errors import DataWarning, ParameterError

K = 4
ALL = ["ips", "snips", "dm", "dr", "sndr", "switch_dr", "dros"]
SURE = [name for name in ALL if name != "dm"]


def world(seed, n=1500, people=None):
    """Return a log, two policies that mostly agree, a poor reward model, and the true difference of their values."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    slope = np.random.default_rng(99).normal(size=(3, K))
    truth = 1 / (1 + np.exp(0.5 - x @ slope))
    behaviour = np.exp(0.4 * x @ slope[:, ::-1])
    behaviour /= behaviour.sum(1, keepdims=True)
    new = np.exp(x @ slope)
    new /= new.sum(1, keepdims=True)
    other = np.where(x[:, :1] > 0.8, np.roll(new, 1, axis=1), new)
    action = np.minimum((behaviour.cumsum(1) < rng.random((n, 1))).sum(1), K - 1)
    row = np.arange(n)
    reward = (rng.random(n) < truth[row, action]).astype(float)
    who = None if people is None else row % people
    logged = LoggedDecisions(reward, behaviour[row, action], actions=action, people=who)
    return logged, {"new": new, "other": other}, np.full((n, K), 0.3), float(((new - other) * truth).sum(1).mean())


@pytest.mark.parametrize("clip", [None, 2.0])
def test_a_difference_is_that_of_the_separate_values(clip):
    logged, policies, foreseen, _ = world(0, people=300)
    how = {"predicted": foreseen, "estimators": ALL, "least_effective": 50, "clip": clip}
    found = off_policy(logged, policies, against="other", **how).table
    alone = [off_policy(logged, one, **how).table["value"].to_numpy() for one in policies.values()]
    assert np.allclose(found["difference"][: len(ALL)], alone[0] - alone[1], atol=1e-12)
    plain = off_policy(logged, policies, **how).table
    assert found[plain.columns].equals(plain)  # all else stays as it was
    turned = off_policy(logged, policies, against="new", **how).table
    mirrored = turned[turned["policy"] == "other"]
    assert np.allclose(mirrored["difference"], -found["difference"][: len(ALL)], atol=1e-12)
    assert np.allclose(
        mirrored[["difference_high", "difference_low"]],
        -found.loc[: len(ALL) - 1, ["difference_low", "difference_high"]],
        equal_nan=True,
    )
    itself = found[(found["policy"] == "other") & (found["estimator"] != "dm")]
    assert (itself[["difference", "difference_low", "difference_high"]] == 0).all().all()


def test_a_policy_of_its_own_may_be_named_or_not():
    logged, policies, *_ = world(0)
    named = off_policy(logged, policies, against="other", least_effective=50)
    for against in (policies["other"], {"before": policies["other"]}):
        found = off_policy(logged, policies["new"], against=against, least_effective=50)
        assert np.allclose(found.table["difference"], named.table["difference"])
    assert found.against == "before"
    assert "target against before: " in found.verdict


def test_the_interval_is_narrower_than_that_of_two_logs_where_policies_agree():
    logged, policies, foreseen, _ = world(1)
    table = off_policy(
        logged, policies, predicted=foreseen, estimators=SURE, against="other", least_effective=50
    ).table.set_index(["policy", "estimator"])
    width, paired = table["high"] - table["low"], table["difference_high"] - table["difference_low"]
    for name in SURE:
        assert paired["new", name] < 0.8 * np.hypot(width["new", name], width["other", name]), name


def test_every_person_is_left_out_once():
    """The jackknife by hand, for a small log and self-normalised weights."""
    rng = np.random.default_rng(3)
    reward, who = rng.random(60), np.arange(60) % 12
    one, two = rng.random(60), rng.random(60)
    logged = LoggedDecisions(reward, np.full(60, 0.5), people=who)
    found = off_policy(logged, {"a": one, "b": two}, estimators=["snips"], against="b", least_effective=1).table.iloc[0]

    def apart(kept):
        return (one * reward)[kept].sum() / one[kept].sum() - (two * reward)[kept].sum() / two[kept].sum()

    whole = apart(who >= 0)
    influence = 12 * (whole - np.array([apart(who != i) for i in range(12)]))
    low, high = om.causal.estimating.ends(whole, influence, 0.95)
    assert found["difference"] == pytest.approx(whole)
    assert (found["difference_low"], found["difference_high"]) == pytest.approx((low, high))


def test_intervals_of_differences_cover():
    """With unclipped, clipped, shrunken and switched weights; 150 logs, of which 95 % would be 142."""
    logs, truth = 150, np.mean([world(10_000 + i, 60_000)[3] for i in range(4)])
    hits, clipped = dict.fromkeys(SURE, 0), 0
    for seed in range(logs):
        logged, policies, foreseen, _ = world(seed, 1000, people=500 if seed % 2 else None)
        how = {"against": "other", "least_effective": 20}
        table = off_policy(logged, policies, predicted=foreseen, estimators=SURE, **how).table
        for row in table[: len(SURE)].itertuples():
            hits[row.estimator] += row.difference_low <= truth <= row.difference_high
        cut = off_policy(logged, policies, estimators=["ips"], clip=2.0, **how).table.iloc[0]
        clipped += cut["difference_low"] <= truth <= cut["difference_high"]
    assert min(hits.values()) >= 0.9 * logs, hits
    assert clipped >= 0.9 * logs


def test_equal_policies_are_seldom_called_different():
    """Two policies that earn alike and choose otherwise."""
    called = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        n = 1000
        action = rng.integers(0, 2, n)
        logged = LoggedDecisions(rng.random(n) < 0.2, np.full(n, 0.5), actions=action)
        found = off_policy(logged, np.tile([1.0, 0.0], (n, 1)), against=np.tile([0.0, 1.0], (n, 1)), least_effective=50)
        row = found.table[found.table["estimator"] == "snips"].iloc[0]
        called += row["difference_low"] > 0 or row["difference_high"] < 0
    assert called <= 11


def test_groups_and_loggers_have_differences_too():
    rng = np.random.default_rng(0)
    n = 4000
    share = np.tile([0.4, 0.3, 0.2, 0.1], (n, 1))
    action = rng.choice(4, n, p=share[0])
    reward = (rng.random(n) < np.array([0.1, 0.1, 0.3, 0.3])[action]).astype(float)
    logged = LoggedDecisions(
        reward,
        share[0][action],
        actions=action,
        distribution=share,
        by_logger=np.column_stack([share[0][action]] * 2),
        logger=np.arange(n) % 2,
    )
    policies = {"a": np.tile([0.0, 0.0, 0.5, 0.5], (n, 1)), "b": np.tile([0.5, 0.5, 0.0, 0.0], (n, 1))}
    found = off_policy(
        logged, policies, estimators=["mips", "weighted_ips"], groups=[0, 0, 1, 1], against="b", least_effective=100
    ).table
    assert (abs(found["difference"][:2] - 0.2) < 0.06).all()
    assert (found["difference_low"][:2] > 0.1).all()


def test_what_has_no_value_has_no_difference():
    logged, policies, *_ = world(0)
    never = np.zeros(len(logged))
    with pytest.warns(DataWarning, match="'half' average 0.5"):  # wrong weights are named, whichever side has them
        off_policy(logged, logged.propensity, against={"half": logged.propensity * 0.5}, least_effective=20)
    found = off_policy(logged, {"new": policies["new"], "never": never}, against="never", least_effective=50)
    assert found.table["difference"].isna().all()
    assert "new against never: no difference, because one of the two has no value." in found.verdict
    equal = LoggedDecisions(np.zeros(2000), np.full(2000, 0.5))
    half = np.full(2000, 0.5)
    found = off_policy(equal, half, against={"less": half * (np.arange(2000) % 2) * 2})
    assert found.table["difference_low"].isna().all()
    assert "target against less: +0 by snips, without an interval." in found.verdict


def test_a_difference_about_few_people_is_refused():
    """Two policies that differ for three people: their difference would tell what these three did."""
    rng = np.random.default_rng(0)
    people, half = np.arange(4000) % 100, np.full(4000, 0.5)
    logged = LoggedDecisions(rng.random(4000), half, people=people)
    three = np.where(people < 3, 0.25, 0.5)
    found = off_policy(logged, {"now": half, "three": three}, against="now")
    assert found.table["difference"][2:].isna().all()
    assert found.diagnostics["differing"][1] == pytest.approx(0.03)
    assert "three against now: no difference. The two differ in decisions about fewer than k=5 people" in found.verdict
    assert off_policy(logged, {"now": half, "three": three}, against="now", k=3).table["difference"].notna().all()


@pytest.mark.parametrize(
    ("against", "words"),
    [
        ("nobody", "against='nobody' names none of policy"),
        (7, "against=7 names none of policy"),
        ({"a": [0.5, 0.5], "b": [0.5, 0.5]}, "against holds 2 policies"),
        ({}, "against holds 0 policies"),
        ({"new": [0.5, 0.5]}, "against and policy both hold 'new'"),
        ([0.5], "'other' must have one number per decision"),
        ([0.5, 1.5], "must be probabilities"),
        ([0.5, np.nan], "missing or not finite"),
        (np.eye(2), "actions="),
    ],
)
def test_bad_references_are_named(against, words):
    logged = LoggedDecisions([1.0, 0.0], [0.5, 0.5])
    with pytest.raises(ParameterError, match=words):
        off_policy(logged, {"new": [0.5, 0.5]}, against=against)


def test_a_name_needs_policies_with_names():
    with pytest.raises(ParameterError, match="names none of policy"):
        off_policy(LoggedDecisions([1.0, 0.0], [0.5, 0.5]), [0.5, 0.5], against="target")


def lists(seed, n=1500):
    rng = np.random.default_rng(seed)
    items = rng.integers(0, 2, (n, 2))
    chance = np.column_stack([0.1 + 0.3 * items[:, 0], 0.1 + 0.2 * items[:, 1] * items[:, 0]])
    logged = LoggedSlates((rng.random((n, 2)) < chance).astype(float), np.full((n, 2), 0.5))
    one, two = np.where(items == 1, 0.9, 0.1), np.where(items == 1, [0.9, 0.6], [0.1, 0.4])
    q = np.column_stack([0.2 + 0.3 * items[:, 0], 0.1 + 0.1 * items[:, 1]])
    return logged, one, two, q


def test_lists_of_two_policies_are_compared():
    """They differ at the second place: 0.2 x 0.9 x (0.9 - 0.6)."""
    truth, hits, logs = 0.2 * 0.9 * 0.3, np.zeros(3), 100
    for seed in range(logs):
        logged, one, two, q = lists(seed)
        expected = [np.column_stack([np.full(1500, 0.47), np.full(1500, 0.1 + 0.1 * p)]) for p in (0.9, 0.6)]
        other = {"policy": two, "predicted": q, "expected": expected[1]}
        found = off_policy_slates(
            logged, one, predicted=q, expected=expected[0], against=other, least_effective=1
        ).table  # fmt: skip
        hits += ((found["difference_low"] <= truth) & (truth <= found["difference_high"]))[:3]
    assert found["estimator"].tolist()[:3] == ["sips", "rips", "cascade_dr"]
    assert (hits / logs >= 0.88).all()
    alone = [off_policy_slates(logged, policy, least_effective=1).table["value"] for policy in (one, two)]
    assert np.allclose(found["difference"][:2], alone[0] - alone[1])
    verdict = off_policy_slates(logged, one, against=two, least_effective=1).verdict
    assert "target against other: better, +0.0" in verdict


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"against": np.full((4, 3), 0.5)}, "against has the shape"),
        ({"against": np.full((4, 2), 1.5)}, "against holds numbers outside"),
        ({"against": {"policy": np.full((4, 2), 0.5), "predicted": 1}}, "against must hold policy. It has 2 keys"),
        (
            {"against": np.full((4, 2), 0.5), "predicted": np.ones((4, 2)), "expected": np.ones((4, 2))},
            "against= needs a model of its own",
        ),
    ],
)
def test_bad_references_of_lists_are_named(how, words):
    logged = LoggedSlates(np.ones((4, 2)), np.full((4, 2), 0.5))
    with pytest.raises(ParameterError, match=words):
        off_policy_slates(logged, np.full((4, 2), 0.5), k=1, **how)


def test_lists_that_differ_for_few_people_have_no_difference():
    people = np.arange(3000) % 50
    logged = LoggedSlates(np.random.default_rng(0).random((3000, 2)), np.full((3000, 2), 0.5), people=people)
    half = np.full((3000, 2), 0.5)
    found = off_policy_slates(logged, half, against=np.where(people[:, None] < 3, 0.4, half))
    assert found.table["difference"][:2].isna().all()
    assert "no difference. The two differ" in found.verdict
