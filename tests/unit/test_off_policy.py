"""Values of other policies: against worlds whose truth is known."""

import functools

import numpy as np
import pytest

import omnireco as om

ACTIONS, DIMENSIONS = 4, 3


def world(seed, n=4000, *, hostile=1.0):
    """Return actions, rewards, propensities, a target policy and the true rewards of every action."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, DIMENSIONS))
    slope = np.random.default_rng(99).normal(size=(DIMENSIONS, ACTIONS))
    truth = 1 / (1 + np.exp(-(x @ slope - 0.5)))
    behaviour = np.exp(0.5 * hostile * x @ slope[:, ::-1])
    behaviour /= behaviour.sum(1, keepdims=True)
    target = np.exp(x @ slope)
    target /= target.sum(1, keepdims=True)
    action = (behaviour.cumsum(1) > rng.random((n, 1))).argmax(1)
    reward = (rng.random(n) < truth[np.arange(n), action]).astype(float)
    return action, reward, behaviour[np.arange(n), action], target, truth


def true_value():
    *_, target, truth = world(1234, 400_000)
    return (target * truth).sum(1).mean()


@functools.cache
def true_value_once():
    return true_value()


def test_estimators_are_unbiased_and_intervals_cover():
    value, replications = true_value(), 120
    found = {name: [] for name in ("ips", "snips", "dr", "sndr")}
    covered = dict.fromkeys(found, 0)
    for seed in range(replications):
        action, reward, logged, target, _ = world(seed, 1500)
        wrong = np.full((1500, ACTIONS), 0.3)  # a reward model that knows nothing: right propensities must save it
        result = om.causal.off_policy(
            om.causal.LoggedDecisions(reward, logged, actions=action),
            target,
            predicted=wrong,
            least_effective=50,
        )
        for row in result.table.itertuples():
            if row.estimator != "dm":
                found[row.estimator].append(row.value)
                covered[row.estimator] += row.low <= value <= row.high
    for name, values in found.items():
        error = np.std(values) / np.sqrt(replications)
        assert abs(np.mean(values) - value) < 4 * error, name
        assert 0.87 <= covered[name] / replications <= 1.0, name


def test_a_perfect_reward_model_is_right_with_wrong_propensities():
    action, reward, logged, target, truth = world(5, 20_000)
    half = om.causal.LoggedDecisions(reward, np.clip(logged * 0.5, 0.01, 1), actions=action)
    with pytest.warns(om.errors.DataWarning, match="propensities are wrong"):
        result = om.causal.off_policy(half, target, predicted=truth, estimators=["ips", "dr"])
    value = dict(zip(result.table["estimator"], result.table["value"], strict=True))
    assert abs(value["dr"] - true_value()) < 0.03 < abs(value["ips"] - true_value())
    assert "propensities look wrong" in result.verdict


def test_the_logging_policy_itself_earns_the_mean():
    _, reward, logged, *_ = world(3)
    result = om.causal.off_policy(om.causal.LoggedDecisions(reward, logged), logged)
    assert np.allclose(result.table["value"], reward.mean())
    assert np.allclose(result.table[["lift", "lift_low", "lift_high"]], 0, atol=1e-12)
    assert result.diagnostics["effective"][0] == pytest.approx(len(reward))


def test_too_few_effective_decisions_are_refused():
    action, reward, logged, target, _ = world(3, 300, hostile=6)
    result = om.causal.off_policy(
        om.causal.LoggedDecisions(reward, logged, actions=action), {"new": target, "same": np.eye(ACTIONS)[action]}
    )
    assert result.table["value"].isna().all()
    assert result.verdict.startswith("new: no value. The log holds")


def test_people_are_resampled_whole():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(40), 50)
    reward = (rng.random(40) < 0.5).astype(float)[person]  # everybody always or never answers
    half = np.full(person.size, 0.5)
    alone = om.causal.off_policy(om.causal.LoggedDecisions(reward, half), half).table.iloc[0]
    whole = om.causal.off_policy(
        om.causal.LoggedDecisions(reward, half, people=[f"p{i}" for i in person]), half
    ).table.iloc[0]
    assert whole["high"] - whole["low"] > 4 * (alone["high"] - alone["low"])


def test_dm_has_no_interval():
    action, reward, logged, target, truth = world(3)
    table = om.causal.off_policy(
        om.causal.LoggedDecisions(reward, logged, actions=action), target, predicted=truth, least_effective=100
    ).table.set_index("estimator")
    assert np.isnan(table.loc["dm", "low"])
    assert not np.isnan(table.loc["dr", "low"])


def test_clipping_is_reported():
    action, reward, logged, target, _ = world(3, hostile=3)
    result = om.causal.off_policy(
        om.causal.LoggedDecisions(reward, logged, actions=action), target, clip=2.0, least_effective=10
    )
    assert 0 < result.diagnostics["clipped"][0] < 1


def test_choices_without_support_are_counted():
    logged = np.full(2000, 1.0)
    decisions = om.causal.LoggedDecisions(logged, logged, actions=np.zeros(2000, int))
    with pytest.warns(om.errors.DataWarning, match="chooses what the log never does"):
        result = om.causal.off_policy(decisions, np.tile([0.75, 0.25], (2000, 1)))
    assert result.diagnostics["without_support"][0] == pytest.approx(0.25)
    assert "weights average 0.750" in result.verdict


def test_cross_fitted_rewards_never_see_their_person():
    rng = np.random.default_rng(1)
    person = np.repeat(np.arange(30), 10)
    noise = rng.normal(size=30)[person]
    x = np.eye(30)[person]  # the context is the person, so only a leak could foresee the noise
    found = om.causal.cross_fitted_rewards(
        om.causal.LoggedDecisions(noise, np.ones(300), actions=np.zeros(300, int), people=person), x
    )
    assert abs(np.corrcoef(found[:, 0], noise)[0, 1]) < 0.5


def test_cross_fitted_rewards_with_one_class():
    found = om.causal.cross_fitted_rewards(
        om.causal.LoggedDecisions(np.zeros(20), np.full(20, 0.5), actions=np.arange(20) % 2), np.ones((20, 1))
    )
    assert np.array_equal(found, np.zeros((20, 2)))


def test_all_rewards_equal_have_no_interval():
    """Two thousand messages without one response do not show that the response rate is 0."""
    half = np.full(2000, 0.5)
    result = om.causal.off_policy(om.causal.LoggedDecisions(np.zeros(2000), half), half)
    assert (result.table["value"] == 0).all()
    assert result.table[["low", "high", "lift_low", "lift_high"]].isna().all().all()
    assert "without an interval: all rewards are equal" in result.verdict


def test_one_person_has_no_interval():
    half = np.full(2000, 0.5)
    logged = om.causal.LoggedDecisions(np.arange(2000) % 2, half, people=["ann"] * 2000)
    assert om.causal.off_policy(logged, half, k=1).table[["low", "high"]].isna().all().all()


def test_a_value_about_few_people_is_refused():
    """Three people with thousands of decisions are effective, and still three people."""
    rng = np.random.default_rng(0)
    people, half = np.repeat(np.arange(40), 1000), np.full(40_000, 0.5)
    logged = om.causal.LoggedDecisions(rng.random(40_000), half, people=people)
    found = om.causal.off_policy(logged, {"three": half * (people < 3), "all": half})
    table = found.table.set_index("policy")
    assert table.loc["three", ["value", "low", "high", "lift"]].isna().all().all()
    assert table.loc["all", "value"].notna().all()
    assert "fewer than k=5 people" in found.verdict.splitlines()[0]
    with pytest.warns(om.errors.DataWarning, match="'target' average 0.0"):  # it is about three people only
        assert om.causal.off_policy(logged, half * (people < 3), k=3).table["value"].notna().all()
    chosen = om.causal.select_policy(logged, {"three": half * (people < 3)}, n_bootstrap=20)
    assert chosen.table["value"].isna().all()
    few = om.causal.LoggedDecisions(rng.random(3000), half[:3000], people=people[:3000])
    with pytest.raises(om.errors.EmptyError, match="about 3 people, and of fewer than k=5"):
        om.causal.off_policy(few, half[:3000])


def test_clipped_weights_bring_a_bias_that_the_interval_allows_for():
    hits = 0
    for seed in range(60):
        action, reward, logged, target, _ = world(seed, 1500)
        decisions = om.causal.LoggedDecisions(reward, logged, actions=action)
        row = om.causal.off_policy(decisions, target, estimators=["ips"], clip=1.5, least_effective=50).table.iloc[0]
        hits += row["low"] <= true_value_once() <= row["high"]
    assert hits >= 54


GOOD = {"rewards": [1.0, 0.0], "propensity": [0.5, 0.5], "policy": [0.5, 0.5]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"propensity": [0.5, 0.0]}, "outside"),
        ({"propensity": [0.5, np.nan]}, "missing or not finite"),
        ({"rewards": [np.inf, 0]}, "missing or not finite"),
        ({"policy": [0.5]}, "one number per decision"),
        ({"policy": [0.5, 1.5]}, "must be probabilities"),
        ({"policy": np.eye(2)}, "actions="),
        ({"policy": np.full((2, 2), 0.4), "actions": [0, 1]}, "do not sum to 1"),
        ({"policy": np.eye(2), "actions": [0, 2]}, "has 2 columns"),
        ({"actions": [0.5, 1.0]}, "integers"),
        ({"people": [1]}, "one entry per decision"),
        ({"estimators": ["dr"]}, "needs predicted"),
        ({"estimators": ["magic"]}, "must be some of"),
        ({"estimators": []}, "estimators is empty"),
        ({"policy": {"1": [0.5, 0.5], 1: [0.5, 0.5]}}, "two policies have one name"),
        ({"predicted": np.eye(2)}, "actions="),
        ({"predicted": np.eye(2), "actions": [0, 1]}, "every action"),
        ({"clip": 0.0}, "greater than 0"),
        ({"least_effective": 0}, "at least 1"),
    ],
)
def test_bad_input_is_named(change, words):
    with pytest.raises(om.errors.ParameterError, match=words):
        judged(**(GOOD | change))


def judged(policy, *, rewards, propensity, actions=None, people=None, **more):
    return om.causal.off_policy(om.causal.LoggedDecisions(rewards, propensity, actions, people), policy, **more)


def test_nothing_is_an_error():
    with pytest.raises(om.errors.EmptyError):
        om.causal.off_policy(om.causal.LoggedDecisions([], []), [])


def test_the_old_line_is_answered_with_the_new_one():
    half = np.full(4, 0.5)
    with pytest.raises(TypeError, match=r"Write om\.causal\.off_policy\(om\.causal\.LoggedDecisions\("):
        om.causal.off_policy(half, half, half, actions=[0, 1, 0, 1])
    with pytest.raises(TypeError, match=r"Write om\.causal\.cross_fitted_rewards\(om\.causal\.LoggedDecisions\("):
        om.causal.cross_fitted_rewards(half[:, None], [0, 1, 0, 1], half)
    with pytest.raises(om.errors.SchemaError, match=r"Write om\.causal\.LoggedDecisions\("):
        om.causal.off_policy(half, half)


def message_log(**columns):
    import pandas as pd

    sent = pd.Series(pd.date_range("2025-05-01", periods=60, freq="h", tz="UTC"))
    frame = {"user_id": np.arange(60) % 6, "channel": "web", "sent_at": sent}
    frame |= {"responded_at": (sent + pd.Timedelta("1h")).where(np.arange(60) % 3 == 0)}
    return om.MessageLog.from_frame(pd.DataFrame(frame | columns))


def test_messages_with_propensities_are_logged_decisions():
    log, half = message_log(propensity=0.5), np.full(60, 0.5)
    answered = (np.arange(60) % 3 == 0).astype(float)
    by_hand = om.causal.LoggedDecisions(answered, half, people=np.arange(60) % 6)
    tables = [
        om.causal.off_policy(logged, half, least_effective=5).table
        for logged in (by_hand, log, om.Dataset(messages=log), om.causal.LoggedDecisions.of(log))
    ]
    assert all(table.equals(tables[0]) for table in tables)
    assert repr(by_hand) == "LoggedDecisions(60 decisions of 6 people)"
    assert not by_hand.rewards.flags.writeable
    half[:] = 0.1  # what was given was copied
    assert by_hand.propensity[0] == 0.5
    with pytest.raises(om.errors.SchemaError, match="no propensity"):
        om.causal.off_policy(message_log(), half)
    with pytest.raises(om.errors.SchemaError, match="needs messages"):
        om.causal.off_policy(om.Dataset(), half)


@pytest.mark.parametrize("function", [om.causal.off_policy, om.causal.cross_fitted_rewards, om.causal.LoggedDecisions])
def test_signatures_stay_small(function):
    import inspect

    assert len(inspect.signature(function).parameters) <= 10
