"""Logged decisions: checked once, of arrays or of messages."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.causal import LoggedDecisions
from omnireco.errors import ParameterError, SchemaError

SENT = pd.Series(pd.date_range("2025-05-01", periods=4, freq="h", tz="UTC"))


def messages(**columns):
    frame = {"user_id": ["a", "b", "a", "b"], "channel": "web", "sent_at": SENT}
    frame |= {"responded_at": (SENT + pd.Timedelta("1h")).where([True, True, False, False])}
    return om.MessageLog.from_frame(pd.DataFrame(frame | columns))


def test_messages_by_hand():
    made = LoggedDecisions.of(
        messages(propensity=[0.5, 0.25, 1.0, 0.5], machine=[1.0, 0.0, 0.0, 0.0]), actions=range(4)
    )
    assert made.rewards.tolist() == [0.0, 1.0, 0.0, 0.0]  # a machine's answer is none
    assert made.propensity.tolist() == [0.5, 0.25, 1.0, 0.5]
    assert made.people.tolist() == ["a", "b", "a", "b"]
    assert made.actions.tolist() == [0, 1, 2, 3]
    assert made.n_machine == 1
    assert repr(made) == "LoggedDecisions(4 decisions of 2 people, 1 bot open left out)"
    assert LoggedDecisions.of(messages(), propensity=np.full(4, 0.5)).propensity.tolist() == [0.5] * 4


def test_decisions_about_nobody_in_particular_stand_alone():
    code, n = LoggedDecisions([1, 0, 1], [0.5, 0.5, 1.0]).clusters
    assert code.tolist() == [0, 1, 2]
    assert n == 3
    code, n = LoggedDecisions([1, 0, 1], [0.5, 0.5, 1.0], people=["b", "a", "b"]).clusters
    assert code.tolist() == [1, 0, 1]
    assert n == 2


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"propensity": [0.5, 1.5]}, ParameterError, r"propensity has 1 probability outside \(0, 1\]"),
        ({"propensity": [0.5]}, ParameterError, "one number per decision, 2"),
        ({"rewards": ["x", "y"]}, ParameterError, "rewards"),
        ({"actions": [0, -1]}, ParameterError, "integers from 0"),
        ({"actions": [0]}, ParameterError, "integers from 0"),
        ({"people": [1]}, ParameterError, "one entry per decision"),
        ({"people": [1, None]}, SchemaError, "people is missing"),
        ({"n_machine": -1}, ParameterError, "n_machine"),
    ],
)
def test_what_does_not_fit_is_refused(change, error, words):
    with pytest.raises(error, match=words):
        LoggedDecisions(**({"rewards": [1.0, 0.0], "propensity": [0.5, 0.5]} | change))


@pytest.mark.parametrize("people", [["1", 1], [1, True], ("a", 2)])
def test_people_of_several_kinds_are_never_one_person(people):
    with pytest.raises(om.errors.SchemaError, match="people holds values of several kinds"):
        LoggedDecisions([1.0, 0.0], [0.5, 0.5], people=people)
