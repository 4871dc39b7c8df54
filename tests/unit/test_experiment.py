"""Experiments: what is read, and what is refused."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.causal import Experiment
from omnireco.errors import EmptyError, ParameterError, SchemaError

FRAME = pd.DataFrame(
    {
        "who": [1, 1, 2, 3, 4, 5],
        "arm": ["a", "none", "b", "none", "a", "b"],
        "y": [1.0, 0.0, 0.0, 1.0, 1.0, 0.0],
        "age": [20.0, 30.0, np.nan, 40.0, 50.0, 60.0],
        "zone": ["x", "y", None, "x", "x", "y"],
        "p": [0.5, 0.25, 0.25, 0.25, 0.5, 0.25],
    }
)
EVEN = {"none": 0.25, "a": 0.5, "b": 0.25}


def read(frame=FRAME, **changes):
    given = {"treatment": "arm", "control": "none", "outcome": "y", "features": ["age", "zone"], "user": "who"}
    return Experiment.from_frame(frame, **given | changes)


def test_columns_become_numbers_and_gaps_are_marked():
    found = read(propensity=EVEN)
    assert found.arms == ("none", "a", "b")
    assert found.arm.tolist() == [1, 0, 2, 0, 1, 2]
    assert found.user.tolist() == [0, 0, 1, 2, 3, 4]
    assert om.causal.uplift.experiment.feature_names(found) == ("age", "age missing", "zone=x", "zone=y")
    assert found.x[2].tolist() == [40.0, 1.0, 0.0, 0.0]
    assert found.labels["zone"][0].ids.tolist() == ["(missing)", "x", "y"]
    assert found.propensity[0].tolist() == [0.25, 0.5, 0.25]
    assert found.binary
    assert repr(found) == "Experiment(6 rows of 5 people: 2 none, 2 a, 2 b; 2 features, propensities known)"
    assert not found.x.flags.writeable


def test_a_polars_frame_and_columns_of_propensities_read_alike():
    polars = pytest.importorskip("polars")
    frame = FRAME.assign(zero=0.25, half=0.5)
    columns = {"none": "zero", "a": "half", "b": "zero"}
    one, other = read(frame, propensity=columns), read(polars.from_pandas(frame), propensity=columns)
    assert (one.x == other.x).all()
    assert (one.propensity == other.propensity).all()
    assert one.users == other.users


def test_with_two_arms_the_probability_of_the_arm_given_is_enough():
    found = read(FRAME[FRAME["arm"] != "b"], propensity="p", features=[])
    assert found.propensity.tolist() == [[0.5, 0.5], [0.25, 0.75], [0.25, 0.75], [0.5, 0.5]]
    assert found.logged().propensity.tolist() == [0.5, 0.25, 0.25, 0.5]


def test_taken_rows_keep_what_they_are():
    found = read(propensity=EVEN, placebo="p").take(np.array([5, 0]))
    assert found.arm.tolist() == [2, 1]
    assert found.placebo.tolist() == [0.25, 0.5]
    assert found.labels["zone"][1].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"control": "nobody"}, ParameterError, "control is 'nobody', and no row has this arm"),
        ({"treatment": "arms"}, SchemaError, "has no column 'arms'; it has"),
        ({"outcome": "zone", "features": []}, SchemaError, "zone must hold numbers. Got texts"),
        ({"outcome": "age", "features": []}, SchemaError, "age is missing in .*No purchase is 0"),
        ({"features": ["y"]}, ParameterError, "which is the outcome. Features are what was known before"),
        ({"features": ["arm"]}, ParameterError, "which is the treatment"),
        ({"received": "p"}, SchemaError, "p must hold 0 and 1"),
        ({"propensity": "p"}, ParameterError, "with 3 arms the probability of the arm that was given is not enough"),
        ({"propensity": {"none": 1.0}}, ParameterError, "propensity must name every arm once"),
        ({"propensity": EVEN | {"b": 0.5}}, ParameterError, "propensities of all arms do not sum to 1"),
        ({"propensity": EVEN | {"b": -0.25, "a": 1.0}}, ParameterError, r"must be probabilities in \[0, 1\]"),
        ({"propensity": {"none": 0.0, "a": 0.5, "b": 0.5}}, ParameterError, "had a probability of 0 to get"),
        ({"propensity": 0.5}, ParameterError, "propensity must be a mapping of arms to probabilities"),
    ],
)
def test_what_is_wrong_is_named(changes, error, match):
    with pytest.raises(error, match=match):
        read(**changes)


def test_without_a_control_or_a_treatment_there_is_nothing_to_compare():
    with pytest.raises(EmptyError, match="every row is the control"):
        read(FRAME[FRAME["arm"] == "none"])
    with pytest.raises(EmptyError, match="there is no row"):
        read(FRAME.iloc[:0])
    with pytest.raises(SchemaError, match="arm is missing in "):
        read(FRAME.assign(arm=["a", None, "b", "none", "a", "b"]))


def test_an_id_is_no_feature_and_times_are_none():
    many = pd.DataFrame({"arm": ["a", "b"] * 150, "y": 1.0, "name": [f"n{one}" for one in range(300)]})
    with pytest.raises(SchemaError, match="name has 300 different texts, and 200 is the most"):
        Experiment.from_frame(many, treatment="arm", control="a", outcome="y", features=["name"])
    with pytest.raises(SchemaError, match=r"holds times\. Give a number that was known then"):
        read(FRAME.assign(age=pd.Timestamp("2025-01-01")))


def test_unknown_propensities_are_no_logged_decisions():
    with pytest.raises(ParameterError, match="the propensities of this experiment are not known"):
        read().logged()


def _small(**more):
    frame = pd.DataFrame({"arm": ["no", "yes"] * 20, "y": [0, 1, 1, 0] * 10, "x": range(40), "who": range(40)})
    return frame.assign(**more)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"groups": ["y"]}, "groups holds 'y', which is the outcome"),
        ({"groups": ["arm"]}, "groups holds 'arm', which is the treatment"),
        ({"features": ["who"], "user": "who"}, "features holds 'who', which is the user"),
        ({"outcome": "arm"}, "outcome and treatment are the same column"),
    ],
)
def test_one_column_has_one_role(given, match):
    asked = {"treatment": "arm", "control": "no", "outcome": "y"} | given
    with pytest.raises(ParameterError, match=match):
        Experiment.from_frame(_small(), **asked)


def test_ids_as_the_treatment_are_refused_and_not_named():
    with pytest.raises(SchemaError, match=r"40 different values in 40 rows\. Is it an id") as caught:
        Experiment.from_frame(_small(who=[f"secret{i}" for i in range(40)]), treatment="who", control="no", outcome="y")
    assert "secret" not in str(caught.value)


def test_an_empty_text_is_no_arm_and_numbers_among_gaps_are_numbers():
    frame = _small()
    frame.loc[3, "arm"] = " "
    with pytest.raises(SchemaError, match=r"arm is missing in 1 row \(position 3\)"):
        Experiment.from_frame(frame, treatment="arm", control="no", outcome="y")
    frame = _small().astype({"x": object, "y": object})
    frame.loc[3, "x"] = None
    assert Experiment.from_frame(frame, treatment="arm", control="no", outcome="y", features=["x"]).x.shape == (40, 2)
    frame.loc[3, "y"] = None
    with pytest.raises(SchemaError, match=r"y is missing in 1 row \(position 3\)"):
        Experiment.from_frame(frame, treatment="arm", control="no", outcome="y")


def test_arms_of_0_and_1_may_be_floats():
    made = Experiment.from_frame(_small(arm=[0.0, 1.0] * 20), treatment="arm", control=0, outcome="y")
    assert made.arms == ("0", "1")
