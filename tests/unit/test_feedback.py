"""Feedback: checked once, copied, and the same whichever way it is given."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from omnireco.choices import Feedback
from omnireco.errors import ParameterError, SchemaError, UnknownIdError


def test_arms_are_sorted_or_in_the_order_given():
    plain = Feedback(["tea", "cup", "tea"], np.zeros((3, 1)), [1, 0, 1])
    assert plain.arm_ids.tolist() == ["cup", "tea"]
    assert plain.arms.tolist() == ["tea", "cup", "tea"]
    given = replace(plain, arm_ids=["tea", "pot", "cup"])
    assert given.arm_ids.tolist() == ["tea", "pot", "cup"]
    assert repr(given) == "Feedback(3 events, 3 arms, 1 feature)"
    assert len(given) == 3


def test_arrays_are_copied_and_read_only():
    x, reward = np.zeros((2, 1)), np.ones(2)
    made = Feedback([1, 2], x, reward, weights=reward)
    x[:], reward[:] = 9.0, 9.0
    assert made.contexts.tolist() == [[0.0], [0.0]]
    assert made.rewards.tolist() == made.weights.tolist() == [1.0, 1.0]
    assert not any(array.flags.writeable for array in (made.arms, made.contexts, made.rewards, made.arm_ids))


def test_a_frame_is_read_by_name():
    frame = pd.DataFrame({"reward": [1, 0], "b": [True, False], "arm_id": ["y", "x"], "a": [0.5, 2], "weight": [1, 3]})
    made = Feedback.from_frame(frame, contexts=["a", "b"], arm_ids=["y", "x"])
    assert made.contexts.tolist() == [[0.5, 1.0], [2.0, 0.0]]
    assert made.arm_ids.tolist() == ["y", "x"]
    assert made.weights.tolist() == [1.0, 3.0]
    assert Feedback.from_frame(frame, contexts=[]).contexts.shape == (2, 0)
    with pytest.raises(SchemaError, match="no_such"):
        Feedback.from_frame(frame, contexts=["no_such"])
    with pytest.raises(ParameterError, match="contexts must be a list"):
        Feedback.from_frame(frame, contexts="a")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"rewards": [1.0]}, SchemaError, "2 contexts, 2 arms and 1 rewards. Give one each"),
        ({"weights": [1.0]}, SchemaError, "and 1 weights"),
        ({"rewards": [1.0, np.nan]}, SchemaError, "missing, infinite or negative in 1 row"),
        ({"weights": [1.0, -1.0]}, SchemaError, "missing, infinite or negative in 1 row"),
        ({"rewards": [1.0, 1e16]}, SchemaError, r"a reward is larger than 1e\+15"),
        ({"weights": [1.0, 1e13]}, SchemaError, r"a weight is larger than 1e\+12"),
        ({"contexts": [[1e7], [0.0]]}, SchemaError, r"contexts is larger than 1e\+06"),
        ({"contexts": [[np.nan], [0.0]]}, SchemaError, "contexts is missing or infinite"),
        ({"contexts": [1.0, 2.0]}, SchemaError, "contexts must have the shape"),
        ({"features": [[1.0]]}, SchemaError, r"one row per arm, 2\. Got 1"),
        ({"arm_ids": ["a"]}, UnknownIdError, "1 of 2"),
        ({"arm_ids": ["a", "b", "a"]}, ParameterError, "1 arms are named twice"),
    ],
)
def test_what_does_not_fit_is_refused(change, error, words):
    with pytest.raises(error, match=words):
        Feedback(**({"arms": ["a", "b"], "contexts": [[0.0], [1.0]], "rewards": [1.0, 0.0]} | change))


def test_nothing_is_feedback_too():
    assert len(Feedback([], np.empty((0, 2)), [], arm_ids=["a"])) == 0
