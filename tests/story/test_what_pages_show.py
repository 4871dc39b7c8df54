"""What a page of the docs shows in a table of a few rows holds for all of them, to the last bit.

The pages show tables, not ``True``; the assertions behind them stand here, each with its page.
"""

import numpy as np
import pandas as pd
import pytest

import omnireco as om


@pytest.fixture(scope="module")
def data():
    return om.simulate(seed=0).dataset()


@pytest.fixture(scope="module")
def model(data):
    return om.ALS(factors=8, seed=7).fit(data)


def test_a_matrix_asks_as_requests_do(data, model):
    """explanation/models.md."""
    rows = data.matrix(model.event_weights)
    asked, by_row = (model.recommend(one, k=10).to_frame() for one in (data.requests(), rows))
    pd.testing.assert_frame_equal(asked, by_row)


def test_whoever_has_seen_all_gets_an_empty_list_and_no_padding():
    """explanation/models.md."""
    small = om.Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["tea", "cup", "tea"]}))
    recs = om.Popularity().fit(small).recommend(small, k=2)
    assert recs.codes.tolist() == [[-1, -1], [0, -1]]
    assert recs.to_frame()["user_id"].tolist() == [2]


def test_a_loaded_model_gives_the_lists_of_the_saved_one(data, model, tmp_path):
    """howto/save-and-load.md."""
    om.save(model, tmp_path / "als.omnireco")
    lists = [one.recommend(data.requests(), k=10).to_frame() for one in (model, om.load(tmp_path / "als.omnireco"))]
    pd.testing.assert_frame_equal(*lists)


def test_a_mask_and_ids_allow_the_same_items(data):
    """howto/eligible-items.md."""
    model, items = om.ItemKNN(neighbors=30).fit(data), om.simulate(seed=0).items
    cheap = items.loc[items["price"] < items["price"].median(), "item_id"]
    cheap = cheap[cheap.isin(model.items.ids)]
    ways = (cheap, np.isin(model.items.ids, cheap))
    lists = [model.recommend(data.requests(), k=5, eligible=way).to_frame() for way in ways]
    pd.testing.assert_frame_equal(*lists)
    assert set(lists[0]["item_id"]) <= set(cheap)


def test_layers_of_a_capped_cell_sum_to_the_whole(data):
    """explanation/behaviour-matrix.md."""
    capped = data.matrix(om.Weights(events={"purchase": 8}, half_life="30D", cap=7.0))
    assert capped.csr.max() == 7.0
    assert abs(sum(capped.layers.values()) - capped.csr).max() < 1e-4


def test_rows_kept_and_dropped_are_all_the_rows():
    """howto/data-quality.md."""
    times = pd.to_datetime(["2025-05-01", "2025-05-02", None], utc=True)
    raw = pd.DataFrame({"user_id": ["ann", None, "bob"], "item_id": "tea", "channel": "web", "event": "view"})
    log = om.EventLog.from_frame(raw.assign(timestamp=times), on_invalid="drop")
    assert log.quality.n_kept == len(log) == 1
    assert raw.iloc[log.quality.dropped].index.tolist() == [1, 2]


def test_propensities_of_thompson_sampling_are_chances_and_the_best_arm_has_the_largest():
    """explanation/bandits.md."""
    propensity = om.choices.thompson_propensities([[0.0, 0.0, 1.0]], [[1.0, 1.0, 1.0]])
    np.testing.assert_allclose(propensity.sum(axis=1), 1.0, rtol=1e-12)
    assert propensity.argmax() == 2
