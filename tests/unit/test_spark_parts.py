"""What goes into a plan over partitions, without Spark: shares of limits, blocks as bytes, errors without people."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data import Vocabulary
from omnireco.errors import ParameterError, SchemaError
from omnireco.spark.blocks import Words, block_of, height_of, packed, taken_of, touches_of, unpacked
from omnireco.spark.pricing import more_for, shares
from omnireco.spark.shipping import private


def test_shares_of_a_tight_limit_follow_what_is_wanted_in_whole_touches():
    wanted = np.array([[6.0, 1.0], [3.0, 1.0], [3.0, 0.0]])
    found = shares(wanted, np.array([7.0, np.inf]), np.array([10.0, 10.0, 10.0]), np.array([True, True]))
    assert found[:, 0].tolist() == [3.0, 2.0, 2.0]  # 3.5, 1.75, 1.75: the largest remainders are rounded up
    assert np.isinf(found[:, 1]).all()


def test_what_is_left_goes_to_those_who_could_use_it():
    used, unmet = np.array([[2.0], [1.0]]), np.array([[0.0], [5.0]])
    found = more_for(used, unmet, np.array([6.0]), np.array([5.0, 5.0]), np.array([True]))
    assert found[:, 0].tolist() == [2.0, 4.0]
    assert more_for(used, 0 * unmet, np.array([5.0]), np.array([5.0, 5.0]), np.array([False])).sum() == 5.0


@pytest.fixture
def part():
    frame = pd.DataFrame(
        {
            "user_id": [1, 1, 2, 3],
            "item_id": ["tea", "cup", "tea", "cup"],
            "channel": ["sms", "push", "sms", "sms"],
            "send_at": pd.to_datetime(["2025-06-01 09:00"] * 4, utc=True),
            "value": [3.0, 2.0, 1.0, -1.0],
        }
    )
    words = Words(
        Vocabulary.from_ids(["cup", "drum", "tea"], "item_id"),
        Vocabulary.from_ids(["email", "push", "sms"], "channel"),
        ("email", "push", "sms"),
        (),
        {},
    )
    return touches_of(frame, None, words)


def test_a_part_speaks_the_words_of_all_parts(part):
    assert part.touches.items.ids.tolist() == ["cup", "drum", "tea"]
    assert sorted(part.to_frame()["item_id"]) == ["cup", "cup", "tea", "tea"]
    assert part.touches.on(["email"]).sum() == 0  # a channel that only another part has is no error


def test_a_block_is_worth_what_its_people_take_and_comes_back_from_bytes(part):
    block, rows = block_of(part, [om.FrequencyCap(1, per="24h"), om.Budget("sms", cost=1.0, total=1.0)])
    assert [row.label for row in rows] == ["sms"]
    data, checksum = packed(block)
    again = unpacked(data, checksum)
    for price, height in ((0.0, 4.0), (0.5, 3.0), (2.0, 2.0)):  # 3 + 1; 2.5 + 0.5; person 1 takes push instead
        assert height_of(again, np.array([price]), 0.0).height == pytest.approx(height)
    taken = taken_of(again, np.array([0.5]), np.array([1.0]), 1.0)
    assert taken.value == 3.0
    assert taken.used.tolist() == [1.0]
    assert taken.wanted.tolist() == [2.0]
    with pytest.raises(ParameterError, match="no longer what it was"):
        unpacked(data, checksum + 1)


def test_errors_of_executors_keep_ours_and_hide_what_others_say():
    def broken(batches):
        yield from batches
        raise KeyError("secret")

    def ours(batches):
        yield from batches
        raise SchemaError("a column is missing")

    with pytest.raises(RuntimeError, match="KeyError in a part of the frame") as caught:
        list(private(broken)([1]))
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__
    with pytest.raises(SchemaError, match="a column is missing"):
        list(private(ours)([1]))
