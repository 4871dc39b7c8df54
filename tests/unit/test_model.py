"""The uplift model: groups, advice, policies, balance, files."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.causal import Experiment, Uplift
from omnireco.errors import ParameterError, SchemaError


def trial(n=6000, seed=0):
    """Mail helps the young (+1), harms the old (-1), and does nothing for the others."""
    rng = np.random.default_rng(seed)
    age = rng.choice(["old", "other", "young"], n)
    arm = rng.choice(["mail", "none"], n)
    effect = np.select([age == "young", age == "old"], [1.0, -1.0], 0.0)
    frame = pd.DataFrame({"age": age, "arm": arm, "y": effect * (arm == "mail") + rng.normal(size=n)})
    return Experiment.from_frame(
        frame, treatment="arm", control="none", outcome="y", features=["age"], propensity={"mail": 0.5, "none": 0.5}
    )


@pytest.fixture(scope="module")
def model():
    return Uplift(folds=2).fit(trial())


def test_groups_have_their_effects(model):
    table = model.group_effects("age").table.set_index("group")
    for group, effect in {"old": -1.0, "other": 0.0, "young": 1.0}.items():
        assert table.loc[group, "low"] < effect < table.loc[group, "high"]


def test_a_group_of_few_people_is_withheld(model):
    by = np.where(np.arange(6000) < 4, "few", "many")
    table = model.group_effects(by).table.set_index("group")
    assert np.isnan(table.loc["few", "effect"])
    assert table.loc["few", ["rows", "people"]].tolist() == [0, 0]
    assert np.isfinite(model.group_effects(by, k=2).table["effect"]).all()


def test_advice_says_whom_to_write_to_leave_alone_and_who_is_harmed(model):
    advice = model.advice(costs={"mail": 0.2})
    age = model.experiment.labels["age"][0].ids[model.experiment.labels["age"][1]]
    by = pd.crosstab(age, advice["advice"], normalize="index")
    assert by.loc["young", "write"] > 0.99
    assert by.loc["old", "harmed"] > 0.99
    assert by.loc["other", "leave alone"] > 0.8


def test_the_policy_and_the_increments_choose_the_young(model):
    age = model.experiment.labels["age"][0].ids[model.experiment.labels["age"][1]]
    assert model.policy(costs={"mail": 0.3})[:, 1].tolist() == (age == "young").tolist()
    assert model.calibration[0] > 0.9


def test_differences_that_others_do_not_confirm_are_not_decided_on():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"arm": rng.choice(["mail", "none"], 1500), "y": rng.normal(size=1500)})
    frame = frame.assign(**{f"noise{at}": rng.normal(size=1500) for at in range(12)})
    noise = Uplift(folds=2).fit(
        Experiment.from_frame(
            frame, treatment="arm", control="none", outcome="y", features=[f"noise{at}" for at in range(12)],
            propensity={"mail": 0.5, "none": 0.5},
        )
    )  # fmt: skip
    assert noise.increment.std() < 0.3 * noise.own.std()


def test_balance_says_what_differs_before_and_after():
    rng = np.random.default_rng(2)
    x = rng.normal(size=4000)
    arm = np.where(rng.random(4000) < 1 / (1 + np.exp(-x)), "mail", "none")
    frame = pd.DataFrame({"x": x, "arm": arm, "y": x})
    model = Uplift(folds=2).fit(
        Experiment.from_frame(frame, treatment="arm", control="none", outcome="y", features=["x"])
    )
    row = model.balance().iloc[0]
    assert row["before"] > 0.5
    assert abs(row["after"]) < 0.1


def test_a_loaded_linear_model_answers_for_new_people_and_others_say_why_not(model, tmp_path):
    people = pd.DataFrame({"age": ["young", "old"]})
    loaded = om.load(om.save(model, tmp_path / "linear"))
    pd.testing.assert_frame_equal(loaded.effect(people), model.effect(people))
    trees = om.load(om.save(Uplift(learner="t", folds=2).fit(trial(600)), tmp_path / "t"))
    with pytest.raises(ParameterError, match="Python objects, which no file holds"):
        trees.effect(people)
    assert len(trees.effect()) == 600


def test_what_was_never_seen_is_refused(model):
    with pytest.raises(SchemaError, match="age holds a text in 1 row that was not there"):
        model.effect(pd.DataFrame({"age": ["young", "middle"]}))
    with pytest.raises(SchemaError, match="has no column 'age'"):
        model.effect(pd.DataFrame({"ages": ["young"]}))
    with pytest.raises(SchemaError, match="age held texts when the effects were learned"):
        model.effect(pd.DataFrame({"age": [3.0]}))
    with pytest.raises(ParameterError, match="cannot read a Dataset"):
        model.effect(om.Dataset())
    with pytest.raises(ParameterError, match="costs"):
        model.advice(costs={"male": 1.0})
    with pytest.raises(ParameterError, match="group_effects: by has 2 labels for 6,000 rows"):
        model.group_effects(["a", "b"])
    with pytest.raises(ParameterError, match="has no outcome from before the treatment"):
        model.placebo()


def test_people_can_be_taken_out_of_it(model):
    rest = om.files.erase(model, model.experiment.users.ids[:10])
    assert len(rest.experiment) == len(rest.own) == 5990
