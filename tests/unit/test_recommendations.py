"""Lists: what they refuse, what they show, and how numbers become theirs; reading and parts are in test_base.py."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data.recommendations import to_float32
from omnireco.errors import SchemaError

FRAME = pd.DataFrame({"user_id": ["ann", "ann", "bob"], "item_id": ["cup", "tea", "tea"], "score": [1.0, 2.0, 3.0]})
LISTS = om.Recommendations.from_frame(FRAME)


def test_three_rows_are_two_lists():
    assert LISTS.codes.tolist() == [[1, 0], [1, -1]]
    assert LISTS.scores.tolist() == [[2, 1], [3, -np.inf]]
    assert repr(LISTS) == "Recommendations(2 users x top 2, 2 items)"
    assert (len(LISTS), LISTS.n_users, LISTS.k) == (2, 2, 2)
    back = LISTS.to_frame()
    assert back.to_numpy().tolist() == [["ann", "tea", 1, 2.0], ["ann", "cup", 2, 1.0], ["bob", "tea", 1, 3.0]]
    assert LISTS.to_arrow().to_pylist() == back.to_dict("records")


def test_reading_back_what_was_written_changes_nothing():
    again = om.Recommendations.from_frame(LISTS.to_frame())
    assert (again.codes == LISTS.codes).all()
    assert (again.scores == LISTS.scores).all()


def test_a_rank_goes_before_a_score():
    turned = om.Recommendations.from_frame(FRAME.assign(rank=[1, 2, 1]))
    assert turned.to_frame()["item_id"].tolist() == ["cup", "tea", "tea"]
    assert turned.scores[0].tolist() == [1, 2]


def test_columns_of_another_name():
    other = FRAME.rename(columns={"user_id": "who", "score": "s"})
    found = om.Recommendations.from_frame(other, columns={"user_id": "who", "score": "s"})
    assert (found.codes == LISTS.codes).all()


def test_nobody_has_no_list():
    empty = om.Recommendations.from_frame(FRAME.head(0))
    assert (len(empty), empty.k) == (0, 0)
    assert len(empty.to_frame()) == 0
    assert len(LISTS.take(np.array([], np.int64))) == 0


@pytest.mark.parametrize("code", [-2, 2])
def test_codes_point_into_the_items(code):
    with pytest.raises(SchemaError, match=r"codes run from .* and there are 2 items"):
        om.Recommendations(LISTS.users, LISTS.items, np.array([[code], [0]], np.int32), np.ones((2, 1), np.float32))


def test_a_list_for_each_person():
    with pytest.raises(SchemaError, match="there are 2 users"):
        om.Recommendations(LISTS.users, LISTS.items, np.zeros((3, 1), np.int32), np.ones((3, 1), np.float32))


def test_a_page_shows_no_ids_of_people():
    page = LISTS._repr_html_()
    assert "person 2" in page
    assert "ann" not in page
    assert "bob" not in page


def test_arrays_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        LISTS.codes[0] = 0


def test_a_number_too_large_stops_at_the_largest():
    most = np.finfo(np.float32).max
    assert to_float32(np.array([1e300, -1e300, 0.5])).tolist() == [most, -most, 0.5]
