"""Explanations add up: over past items and channels they are the score."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco.errors import ParameterError, SchemaError
from omnireco.models.explain import explain


@pytest.fixture(scope="module")
def x():
    log = om.EventLog.from_frame(om.simulate(n_users=40, n_items=15, days=40, seed=4).events)
    return log.matrix(om.Weights(half_life="20D"))


@pytest.mark.parametrize(
    "estimator",
    [
        om.EASE(regularization=5.0),
        om.ItemKNN(neighbors=5),
        om.PureSVD(factors=3),
        om.ALS(factors=4, iterations=3),
        om.Blend(models={"ease": om.EASE(), "als": om.ALS(factors=3, iterations=2)}, weights={"als": 0.5}),
        om.Blend(models={"ease": om.EASE(), "svd": om.PureSVD(factors=3)}, scale="none"),
    ],
    ids=["ease", "knn", "svd", "als", "blend", "sum"],
)
def test_contributions_sum_to_the_score(estimator, x):
    model = estimator.fit(x)
    lists = model.recommend(x, k=4)
    told = explain(model, x, lists)
    shown = lists.to_frame().merge(told.by_channel(), on=["user_id", "item_id"], suffixes=("", "_told"))
    assert len(shown) == (lists.codes >= 0).sum()
    assert shown["score_told"].to_numpy() == pytest.approx(shown["score"].to_numpy(), rel=1e-4, abs=1e-5)
    again = told.to_frame().groupby(["user_id", "item_id"])["contribution"].sum()
    assert again.to_numpy() == pytest.approx(
        shown.set_index(["user_id", "item_id"])["score_told"].sort_index().to_numpy()
    )
    assert told.channels == tuple(x.layers)


def test_a_channel_gets_its_share_of_the_cell():
    frame = pd.DataFrame(
        {"user_id": 1, "item_id": ["a", "a", "b"], "channel": ["web", "store", "web"], "weight": [1.0, 3, 1]}
    )
    x = om.Interactions.from_frame(frame)
    model = om.ItemModel(x.items, np.ones(2, np.float32), np.array([[0, 2], [1, 0]], np.float32))
    told = explain(model, x, model.recommend(x, k=2, exclude_seen=False)).by_channel().set_index("item_id")
    assert told.loc["b", ["store", "web", "score"]].tolist() == [6, 2, 8]
    assert told.loc["a", ["store", "web", "score"]].tolist() == [0, 1, 1]


def test_what_is_no_sum_is_not_explained(x):
    for estimator in (om.Popularity(), om.UserKNN(), om.Blend(models={"ease": om.EASE()}, scale="rank")):
        model = estimator.fit(x)
        with pytest.raises(ParameterError, match="is no sum over what a person did"):
            explain(model, x, model.recommend(x, k=2))
    ease = om.EASE().fit(x)
    with pytest.raises(SchemaError, match=r"takes the lists of model\.recommend"):
        explain(ease, x, None)
    other = om.Popularity().fit(om.Interactions.from_frame(pd.DataFrame({"user_id": [1], "item_id": [1]})))
    with pytest.raises(ParameterError, match="over other items"):
        explain(
            ease, x, other.recommend(om.Interactions.from_frame(pd.DataFrame({"user_id": [1], "item_id": [1]})), k=1)
        )


def test_a_person_without_a_past_has_nothing_to_explain(x):
    nothing = sp.csr_matrix((1, x.n_items), dtype=np.float32)
    cold = om.Interactions.from_scipy(nothing, items=x.items)
    model = om.EASE().fit(x)
    told = explain(model, cold, model.recommend(cold, k=2))
    assert repr(told) == "Explanations(0 contributions, 1 users)"
    assert len(told.to_frame()) == len(told.by_channel()) == 0


def log_of(n=40):
    return om.EventLog.from_frame(om.simulate(n_users=n, n_items=15, days=60, seed=4).events)


@pytest.mark.parametrize(
    "weights",
    [
        om.Weights(half_life="20D", events={"purchase": 4}),
        om.Weights(cap=2.0),
        om.Weights(binary=True),
        om.Weights(half_life="20D", targets={"view": 0.25, "add_to_cart": 0.5}),
        om.Weights(events={"view": 0}, deduplicate="1h", step_half_life=5.0),
    ],
    ids=["faded", "capped", "binary", "graded", "steps"],
)
@pytest.mark.parametrize(
    "estimator", [om.EASE(regularization=5.0), om.ALS(factors=4, iterations=3)], ids=["ease", "als"]
)
def test_contributions_by_channel_and_age_sum_to_the_score(weights, estimator):
    log = log_of()
    x = log.matrix(weights)
    model = estimator.fit(x)
    lists = model.recommend(x.rows(x.users.ids[::3]), k=4)
    told = explain(model, x, lists, events=log, weights=weights, ages=["7D", "30D"])
    assert told.ages == ("under 7D", "7D to 30D", "over 30D")
    scores = lists.to_frame().set_index(["user_id", "item_id"])["score"]
    for table in (told.by_age(), told.by_channel()):
        total = table.set_index(["user_id", "item_id"])["score"].reindex(scores.index, fill_value=0.0)
        assert total.to_numpy() == pytest.approx(scores.to_numpy(), rel=1e-4, abs=1e-5)
    plain = explain(model, x, lists).to_frame().groupby(["user_id", "item_id", "because_item_id"])["contribution"].sum()
    aged = told.to_frame().groupby(["user_id", "item_id", "because_item_id"])["contribution"].sum()
    assert aged.to_numpy() == pytest.approx(plain.to_numpy(), rel=1e-6, abs=1e-9)


def test_ages_by_hand():
    """A view of 40 days and a purchase of 2 days ago, both of the same cup: each tells its own part."""
    frame = pd.DataFrame(
        {
            "user_id": [1, 1, 2, 2, 3],
            "item_id": ["cup", "cup", "cup", "tea", "tea"],
            "channel": ["web", "store", "web", "web", "web"],
            "event": ["view", "purchase", "view", "view", "view"],
            "timestamp": pd.to_datetime(
                ["2025-05-01", "2025-06-08", "2025-06-01", "2025-06-01", "2025-06-09"], utc=True
            ),
        }
    )
    log, weights = om.EventLog.from_frame(frame), om.Weights(events={"purchase": 3})
    x = log.matrix(weights, at="2025-06-10")
    model = om.ItemKNN().fit(x)
    lists = model.recommend(x.rows([1]), k=1)
    told = explain(model, x, lists, events=log, weights=weights, ages=["7D", "30D"])
    table = told.to_frame()
    assert table[["channel", "age"]].to_numpy().tolist() == [["store", "under 7D"], ["web", "over 30D"]]
    assert table["contribution"].tolist() == pytest.approx([0.75 * lists.scores[0, 0], 0.25 * lists.scores[0, 0]])


def test_explaining_ages_refuses():
    log = log_of()
    x = log.matrix()
    model = om.EASE().fit(x)
    lists = model.recommend(x, k=2)
    with pytest.raises(ParameterError, match="a matrix does not know when"):
        explain(model, x, lists).by_age()
    with pytest.raises(ParameterError, match="ages must rise"):
        explain(model, x, lists, events=log, ages=["30D", "7D"])
    with pytest.raises(ParameterError, match="not those of the histories"):
        explain(model, x, lists, events=log.select(channels=["store"]))
    with pytest.raises(ParameterError, match="not those of the histories"):
        explain(model, log.matrix(om.Weights(events={"view": 0})), lists, events=log)
    before = log.before("2025-02-20").matrix().with_items(model.items)
    told = explain(model, before, model.recommend(before, k=2), events=log)  # what came after the clock is no past
    assert told.contribution.size
