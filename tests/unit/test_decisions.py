"""What was chosen: one row per choice in a frame, none for an empty slot."""

import numpy as np
import pytest

from omnireco.choices import CreativeChoices, Decisions
from omnireco.data import Vocabulary


def test_decisions_by_hand():
    made = Decisions(
        Vocabulary.from_ids(["cup", "tea"]),
        np.array([[1, 0], [-1, -1]], np.int32),
        np.array([[0.75, 1.0], [0.0, 0.0]]),
        np.array([[0.5, 0.25], [-np.inf, -np.inf]], np.float32),
        np.array([7, 8]),
    )
    assert made.arm_ids.tolist() == ["tea", None]
    assert made.to_frame().to_numpy().tolist() == [[7, 1, "tea", 0.75, 0.5], [7, 2, "cup", 1.0, 0.25]]
    assert repr(made) == "Decisions(2 of 2 of 2 arms)"
    with pytest.raises(ValueError, match="read-only"):
        made.arm[0, 0] = 0


def test_creative_choices_by_hand():
    users, items, creatives = (Vocabulary.from_ids(ids) for ids in (["ann", "bob"], ["film"], ["calm", "loud"]))
    made = CreativeChoices(
        users, items, creatives, np.array([0, 1], np.int32), np.zeros(2, np.int32), np.array([1, -1], np.int32),
        np.array([0.75, 0.0]), np.array([0.25, np.nan]),
    )  # fmt: skip
    assert made.to_frame().to_numpy().tolist() == [["ann", "film", "loud", 0.75, 0.25]]
    assert repr(made) == "CreativeChoices(2 choices, 2 creatives)"
    assert len(made) == 2
