"""A frame of a few rows is read as the general reader reads it, or left to it."""

import numpy as np
import pandas as pd
import pytest

from omnireco.data import interactions
from omnireco.data.frames.few_rows import few_pairs
from omnireco.data.interactions import Interactions
from omnireco.errors import SchemaError


def pairs(**columns):
    return pd.DataFrame({"user_id": ["ann", "bob", "ann"], "item_id": ["tea", "cup", "tea"]} | columns)


@pytest.mark.parametrize(
    "frame",
    [
        pairs(),
        pairs(weight=[1.0, 0.5, 2.0]),
        pairs(weight=[1, 2, 3]),
        pairs(user_id=[7, -3, 7]),
        pairs(item_id=pd.Categorical(["tea", "cup", "tea"])),
        pairs(item_id=pd.array(["tea", "cup", "tea"], "string")),
    ],
)
@pytest.mark.parametrize("binary", [False, True])
def test_plain_pairs_are_read_alike(frame, binary, monkeypatch):
    assert few_pairs(frame) is not None
    few = Interactions.from_frame(frame, binary=binary)
    monkeypatch.setattr(interactions, "few_pairs", lambda frame: None)
    whole = Interactions.from_frame(frame, binary=binary)
    assert few.users == whole.users
    assert few.items == whole.items
    assert few.users.ids.dtype == whole.users.ids.dtype
    assert list(few.layers) == list(whole.layers)
    for name in ("data", "indices", "indptr"):
        one, other = getattr(few.csr, name), getattr(whole.csr, name)
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize(
    "frame",
    [
        pairs(user_id=["ann", None, "ann"]),
        pairs(user_id=["ann", "", "ann"]),
        pairs(user_id=["ann", 3, "ann"]),
        pairs(user_id=["ann", "\u00e9", "ann"]),
        pairs(user_id=[1.0, 2.0, 1.0]),
        pairs(user_id=[True, False, True]),
        pairs(weight=[1.0, np.nan, 1.0]),
        pairs(weight=[1.0, np.inf, 1.0]),
        pairs(weight=[1.0, -1.0, 1.0]),
        pairs(weight=[1.0, 0.0, 1.0]),
        pairs(weight=["1", "2", "3"]),
        pairs(target=[1.0, 0.0, 1.0]),
        pairs(channel="web"),
        pairs(weihgt=1.0),
        pairs().rename(columns={"user_id": "User"}),
        pairs()[["user_id", "user_id", "item_id"]],
        pairs().head(0),
        pd.concat([pairs()] * 22),
        {"user_id": ["ann"], "item_id": ["tea"]},
    ],
)
def test_everything_else_is_left_to_the_general_reader(frame):
    assert few_pairs(frame) is None


def test_the_frame_is_left_as_it_was_and_errors_stay():
    frame = pairs(weight=[1.0, 0.5, 2.0])
    before = frame.copy()
    x = Interactions.from_frame(frame)
    frame.loc[0, "weight"] = 99.0
    assert x.csr.sum() == 3.5
    assert before.loc[0, "weight"] == 1.0
    with pytest.raises(SchemaError, match="missing"):
        Interactions.from_frame(pairs(user_id=["ann", None, "ann"]))
