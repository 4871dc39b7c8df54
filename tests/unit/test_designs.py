"""CUPED, compliers and policies: known answers, and how often intervals hold."""

import numpy as np
import pandas as pd
import pytest

from omnireco.causal import Experiment, Uplift, complier_effect, cuped, off_policy, policy_value
from omnireco.errors import ParameterError

EVEN = {"yes": 0.5, "no": 0.5}


def read(frame, **more):
    given = {"treatment": "arm", "control": "no", "outcome": "y", "propensity": EVEN}
    return Experiment.from_frame(frame, **given | more)


def test_cuped_takes_out_the_variance_of_what_came_before_and_moves_nothing():
    ratios, moved, inside = [], [], 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        before, arm = rng.normal(size=500), rng.choice(["yes", "no"], 500)
        y = 0.8 * before + 0.6 * rng.normal(size=500) + 0.3 * (arm == "yes")
        row = cuped(read(pd.DataFrame({"arm": arm, "y": y, "b": before}), placebo="b")).table.iloc[0]
        within = np.corrcoef(*(part - np.where(arm == "yes", part[arm == "yes"].mean(), part[arm == "no"].mean())
                               for part in (y, before)))[0, 1]  # fmt: skip
        ratios.append(row["variance_ratio"] - (1 - within**2))
        moved.append(row["effect"] - row["unadjusted"])
        inside += row["low"] <= 0.3 <= row["high"]
    assert np.abs(ratios).max() < 0.01
    assert abs(np.mean(moved)) < 4 * np.std(moved) / 10
    assert inside >= 88
    width = [row["high"] - row["low"], row["high_unadjusted"] - row["low_unadjusted"]]
    assert (width[0] / width[1]) ** 2 == pytest.approx(row["variance_ratio"], rel=0.15)


def test_cuped_needs_a_draw_and_something_from_before():
    frame = pd.DataFrame({"arm": ["yes", "no"] * 5, "y": 1.0})
    with pytest.raises(ParameterError, match="the experiment has no outcome from before"):
        cuped(read(frame))
    with pytest.raises(ParameterError, match="propensities of this experiment are not known"):
        cuped(read(frame, propensity=None), before=np.ones(10))


def test_the_effect_on_compliers_where_those_reached_differ():
    """People at home vote more anyway: comparing reached with not reached says 0.3, the truth is 0.2."""
    inside = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        home, arm = rng.random(4000) < 0.3, rng.choice(["yes", "no"], 4000)
        got = (arm == "yes") & home
        y = (rng.random(4000) < 0.4 + 0.1 * home + 0.2 * got).astype(float)
        row = complier_effect(read(pd.DataFrame({"arm": arm, "y": y, "got": got}), received="got")).table.iloc[0]
        inside += row["low"] <= 0.2 <= row["high"]
    assert inside >= 89
    assert y[got].mean() - y[~got].mean() > 0.25
    assert row["assigned"] == pytest.approx(row["effect"] * row["reached"])


def test_an_assignment_that_reached_hardly_anybody_has_an_endless_interval():
    rng = np.random.default_rng(0)
    arm = rng.choice(["yes", "no"], 400)
    frame = pd.DataFrame({"arm": arm, "y": rng.normal(size=400), "got": rng.random(400) < 0.5})
    row = complier_effect(read(frame, received="got")).table.iloc[0]
    assert row["strength"] < 10
    assert not np.isfinite(row["high"] - row["low"])
    with pytest.raises(ParameterError, match="changed nobody's treatment"):
        complier_effect(read(frame.assign(got=0), received="got"))
    with pytest.raises(ParameterError, match="not known who received"):
        complier_effect(read(frame))


def test_the_value_of_a_policy_is_that_of_off_policy_and_its_difference_is_paired():
    rng = np.random.default_rng(1)
    likes, arm = rng.integers(0, 2, 5000), rng.choice(["yes", "no"], 5000)
    y = rng.normal(size=5000) + np.where(likes == 1, 1.0, -1.0) * (arm == "yes")
    test = read(pd.DataFrame({"arm": arm, "y": y, "likes": likes}), features=["likes"])
    model = Uplift(folds=2).fit(test)
    found = policy_value(test, {"own": model.policy()}, against="yes", predicted=model.outcomes).table.iloc[0]
    other = off_policy(test.logged(), model.policy(), predicted=model.outcomes).table
    assert found["value"] == pytest.approx(other.set_index("estimator").loc["dr", "value"])
    assert found["low"] < 0.5 < found["high"]
    assert found["high"] - found["low"] < found["value_high"] - found["value_low"] + 0.03


@pytest.mark.parametrize(
    ("policy", "more", "match"),
    [
        (np.ones((4, 2)), {}, "rows must be probabilities that sum to 1"),
        (np.ones((4, 3)) / 3, {}, "has 3 columns for 2 arms"),
        (np.eye(2)[[0, 1, 0, 1]], {"against": "all"}, "against must be one of 'policy', 'no', 'yes'"),
    ],
)
def test_what_is_wrong_with_a_policy_is_named(policy, more, match):
    with pytest.raises(ParameterError, match=match):
        policy_value(read(pd.DataFrame({"arm": ["yes", "no"] * 2, "y": 1.0})), policy, **more)
