"""Lists for everybody, straight to a file."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import EmptyError, ParameterError, StorageError
from omnireco.files.export import recommend_to_parquet


@pytest.fixture(scope="module")
def x():
    return om.EventLog.from_frame(om.simulate(n_users=90, n_items=20, days=40, seed=3).events).matrix()


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_the_file_holds_what_recommend_says(x, block, tmp_path):
    model = om.ItemKNN(neighbors=5).fit(x)
    path = recommend_to_parquet(model, x, tmp_path / "lists.parquet", k=4, block=block)
    pd.testing.assert_frame_equal(pd.read_parquet(path), model.recommend(x, k=4).to_frame())
    assert [found.name for found in tmp_path.iterdir()] == ["lists.parquet"]


def test_groups_of_eligibility_are_cut_with_the_blocks(x, tmp_path):
    model = om.Popularity().fit(x)
    shops = np.array(["north", "south"])[np.arange(x.n_users) % 2]
    stock = (shops, {"north": x.items.ids[:5], "south": x.items.ids[5:]})
    path = recommend_to_parquet(model, x, tmp_path / "lists", k=4, block=13, exclude_seen=False, eligible=stock)
    expected = model.recommend(x, k=4, exclude_seen=False, eligible=stock).to_frame()
    pd.testing.assert_frame_equal(pd.read_parquet(path), expected)


def test_progress_counts_blocks(x, tmp_path):
    seen = []
    model = om.Popularity().fit(x)
    recommend_to_parquet(
        model, x, tmp_path / "l", k=2, block=30, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_failure_leaves_the_older_file(x, tmp_path):
    model = om.Popularity().fit(x)
    path = recommend_to_parquet(model, x, tmp_path / "lists", k=2)
    before = path.read_bytes()
    with pytest.raises(ParameterError, match="k must be"):
        recommend_to_parquet(model, x, path, k=0)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["lists"]


def test_what_cannot_be_written(x, tmp_path):
    model = om.Popularity().fit(x)
    with pytest.raises(StorageError, match="cannot write 'lists'"):
        recommend_to_parquet(model, x, tmp_path / "absent" / "lists", k=2)
    with pytest.raises(ParameterError, match="Got Popularity"):
        recommend_to_parquet(om.Popularity(), x, tmp_path / "lists", k=2)
    with pytest.raises(EmptyError, match="nobody asks"):
        recommend_to_parquet(model, x.take(np.empty(0, np.int64)), tmp_path / "lists", k=2)


def test_two_items_in_a_tuple_are_items_and_no_groups(x, tmp_path):
    model, two = om.Popularity().fit(x), tuple(x.items.ids[:2])
    path = recommend_to_parquet(model, x, tmp_path / "lists", k=2, exclude_seen=False, eligible=two, block=7)
    assert set(pd.read_parquet(path)["item_id"]) == set(two)


def test_things_of_another_type_are_refused(x, tmp_path):
    model = om.Popularity().fit(x)
    with pytest.raises(
        ParameterError, match=r"takes requests or Interactions, and a path. Got DataFrame and PosixPath"
    ):
        recommend_to_parquet(model, pd.DataFrame({"user_id": [1]}), tmp_path / "lists", k=2)
    with pytest.raises(ParameterError, match=r"Got Interactions and int: write recommend_to_parquet\(model, data"):
        recommend_to_parquet(model, x, 3, k=2)
    with pytest.raises(
        ParameterError, match=r"must hold one label for each of \d+ people, in the order of those who ask. Got 1"
    ):
        recommend_to_parquet(model, x, tmp_path / "lists", k=2, eligible=(["a"], {"a": x.items.ids[:3]}))


def test_requests_are_answered_block_by_block_as_at_once(tmp_path):
    data = om.simulate(n_users=40, n_items=30, seed=1).dataset()
    model, ids = om.EASE().fit(data), data.events.users.ids
    twice = np.concatenate([ids, ids[:5]])
    requests = data.requests(twice, exclude=[["i01"]] * len(twice))
    path = recommend_to_parquet(model, requests, tmp_path / "lists", k=3, block=7, exclude=["i02"])
    whole = model.recommend(requests, k=3, exclude=["i02"]).to_frame()
    pd.testing.assert_frame_equal(pd.read_parquet(path), whole)
    assert not set(whole["item_id"]) & {"i01", "i02"}
    assert whole["request_id"].nunique() == len(ids) + 5
