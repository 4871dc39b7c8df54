"""What all models share: lists, eligibility, unknown items; the laws are in contract/test_model_laws.py."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp

from omnireco.data import Interactions
from omnireco.data.recommendations import Recommendations
from omnireco.errors import ParameterError, SchemaError, UnknownIdError
from omnireco.models.matrix.popularity import Popularity

# Popularity of a..e: 4 3 2 1 0 people; the last person has no history.
SEEN = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]], float)
X = Interactions.from_scipy(sp.csr_matrix(SEEN), users=[10, 20, 30, 40, 50], items=list("abcde"))
MODEL = Popularity().fit(X)


def lists(recs):
    return ["".join(recs.items.ids[c] if c >= 0 else "-" for c in row) for row in recs.codes]


def test_five_people_by_hand():
    recs = MODEL.recommend(X, k=3)
    assert lists(recs) == ["e--", "de-", "cde", "bcd", "abc"]
    assert recs.scores[1].tolist() == [1, 0, -np.inf]
    assert lists(MODEL.recommend(X, k=2, exclude_seen=False)) == ["ab"] * 5
    assert MODEL.score(X, ["e", "a"]).tolist() == [[0, 4]] * 5
    assert repr(recs) == "Recommendations(5 users x top 3, 5 items)"


MASK = np.array([False, True, False, True, True])


@pytest.mark.parametrize(
    "eligible",
    [
        MASK,
        MASK.tolist(),
        pd.Series(MASK),
        pd.Series(MASK).astype("boolean").replace({False: pd.NA}),
        pl.Series(MASK),
        ["e", "b", "d"],
        {"e", "b", "d"},
        pd.Index(["d", "b", "e"]),
    ],
)
def test_eligible_in_every_form(eligible):
    assert lists(MODEL.recommend(X, k=3, eligible=eligible)) == ["e--", "de-", "de-", "bde", "bde"]


def test_eligible_per_group_and_nothing_eligible():
    groups = (["north", "south", "north", "south", "north"], {"south": ["d"], "north": MASK, "west": []})
    assert lists(MODEL.recommend(X, k=2, eligible=groups)) == ["e-", "d-", "de", "d-", "bd"]
    assert lists(MODEL.recommend(X, k=2, eligible=[])) == ["--"] * 5
    assert MODEL.recommend(X.rows([]), k=2, eligible=([], {})).n_users == 0


@pytest.mark.parametrize(
    ("eligible", "error", "match"),
    [
        ("a", ParameterError, "eligible must be item ids or a bool array over model.items. Got 'a'"),
        (5, ParameterError, "eligible must be item ids or a bool array"),
        (np.ones(3, bool), ParameterError, r"a mask of shape \(3,\), and the model has 5 items"),
        (["z"], UnknownIdError, "1 of 1 ids are unknown"),
        (([1, 2], {1: ["a"], 2: ["b"]}), ParameterError, "groups has 2 labels for 5 rows of histories"),
        (([1] * 5, {2: ["b"]}), ParameterError, "5 of 5 people have a group that options lacks"),
        (([1] * 5, {1: None}), ParameterError, "option 0 of eligible must be item ids"),
        ((5, {1: ["a"]}), ParameterError, "groups must be a list of labels"),
        (([[1]] * 5, {1: ["a"]}), ParameterError, "groups must be a list of labels"),
    ],
)
def test_eligible_refused(eligible, error, match):
    with pytest.raises(error, match=match):
        MODEL.recommend(X, k=1, eligible=eligible)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"k": 0}, "k must be an integer in the range .1, 1,000,000.. Got 0"),
        ({"k": True}, "k must be an integer"),
        ({"k": 1, "exclude_seen": 1}, "exclude_seen must be True or False"),
        ({"k": 1, "threads": 0}, "threads must be an integer of at least 1"),
        ({"k": 1, "progress": "yes"}, "progress must be True, False or a callable"),
    ],
)
def test_options_refused(options, match):
    with pytest.raises(ParameterError, match=match):
        MODEL.recommend(X, **options)


def test_histories_refused():
    with pytest.raises(
        SchemaError, match=r"recommend takes Requests or Interactions. Got DataFrame: write data.requests\(\)"
    ):
        MODEL.recommend(X.to_frame(), k=1)
    other = Interactions.from_scipy(X.csr, items=list("abcdz"))
    assert lists(MODEL.recommend(other, k=1)) == ["e", "d", "c", "b", "a"]  # nobody chose z
    known = Interactions.from_scipy(sp.csr_matrix(SEEN[:, ::-1]), items=list("zdcba"))
    with pytest.raises(UnknownIdError, match=r"recommend: .* 1 item .*histories.with_items\(model.items\)") as caught:
        MODEL.recommend(Interactions.from_scipy(sp.csr_matrix(np.eye(5)), items=list("zdcba")), k=1)
    assert "'z'" not in str(caught.value)
    assert MODEL.score(known.with_items(MODEL.items), ["a"]).shape == (5, 1)
    with pytest.raises(ParameterError, match=r"write \[id\]"):
        MODEL.score(X, "a")


def test_lists_of_another_library():
    frame = pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["x", "y", "x"], "score": [0.5, 0.9, 1e300]})
    recs = Recommendations.from_frame(frame)
    assert lists(recs) == ["yx", "x-"]
    assert np.isfinite(recs.scores[1, 0])
    assert recs.scores[1, 1] == -np.inf
    ranked = Recommendations.from_frame(frame.assign(rank=[1, 2, 1]))
    assert lists(ranked) == ["xy", "x-"]
    assert lists(Recommendations.from_frame(frame[["user_id", "item_id"]].assign(rank=[9, 3, 0]))) == ["yx", "x-"]
    assert lists(Recommendations.from_frame(frame.assign(score=1.0))) == ["xy", "x-"]
    for table in (pl.from_pandas(frame), frame[::-1]):
        assert lists(Recommendations.from_frame(table)) == ["yx", "x-"]


def test_lists_refused():
    frame = pd.DataFrame({"user_id": [1, 1], "item_id": ["x", "x"]})
    with pytest.raises(SchemaError, match="needs a column 'rank' or 'score' to order the lists by"):
        Recommendations.from_frame(frame)
    with pytest.raises(SchemaError, match="1 of 2 rows repeat an item in one person's list"):
        Recommendations.from_frame(frame.assign(score=[1, 2]))
    with pytest.raises(SchemaError, match=r"codes \(5, 2\) and scores \(5, 3\) must both have the shape"):
        Recommendations(X.users, X.items, np.zeros((5, 2), np.int32), np.zeros((5, 3), np.float32))


def test_parts_of_lists():
    recs = MODEL.recommend(X, k=3)
    assert lists(recs.head(1)) == ["e", "d", "c", "b", "a"]
    assert recs.head(9).k == 3
    assert lists(recs.rows([40, 10])) == ["bcd", "e--"]
    assert recs.to_frame().columns.tolist() == ["user_id", "item_id", "rank", "score"]
    assert len(recs.to_frame()) == 12
    assert recs.to_arrow().to_pandas().equals(recs.to_frame().astype({"item_id": "str"}))
    assert "<table" in recs._repr_html_()
    assert not recs.codes.flags.writeable
    with pytest.raises(ParameterError, match="k must be an integer in the range"):
        recs.head(0)
    with pytest.raises(UnknownIdError, match="unknown here"):
        recs.rows([11])
    with pytest.raises(ParameterError, match="named twice"):
        recs.rows([10, 10])


def test_progress_counts_blocks():
    seen = []
    MODEL.recommend(X, k=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 1)]


@pytest.mark.parametrize("key", ["user_id", "request_id", "similar_to"])
def test_lists_say_what_their_first_column_is_and_are_read_back(key):
    plain = MODEL.recommend(X, k=3)
    lists = Recommendations(plain.users, plain.items, plain.codes.copy(), plain.scores.copy(), key)
    frame = lists.to_frame()
    assert frame.columns[0] == key
    again = Recommendations.from_frame(frame)
    assert again.key == key
    pd.testing.assert_frame_equal(again.to_frame(), frame)
    for part in (lists.head(2), lists.take(np.array([1, 0])), lists.rows(lists.users.ids[:1])):
        assert part.key == key
    with pytest.raises(SchemaError, match=r"key must be one of 'user_id', 'request_id', 'similar_to'\. Got 'item'"):
        Recommendations(plain.users, plain.items, plain.codes.copy(), plain.scores.copy(), "item")
    with pytest.raises(SchemaError, match="user_id"):
        Recommendations.from_frame(frame.drop(columns=key))
