"""Explanations add up: over past items and channels they are the score."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco.errors import ParameterError, SchemaError
from omnireco.live import Live
from omnireco.models.lists.explain import explain


@pytest.fixture(scope="module")
def x():
    log = om.EventLog.from_frame(om.simulate(n_users=40, n_items=15, days=40, seed=4).events)
    return log.matrix(om.Weights(half_life="20D"))


@pytest.mark.parametrize(
    "estimator",
    [
        om.EASE(regularization=5.0),
        om.ItemKNN(neighbors=5),
        om.models.PureSVD(factors=3),
        om.ALS(factors=4, iterations=3),
        om.Blend(models={"ease": om.EASE(), "als": om.ALS(factors=3, iterations=2)}, weights={"als": 0.5}),
        om.Blend(models={"ease": om.EASE(), "svd": om.models.PureSVD(factors=3)}, scale="none"),
        om.models.CrossChannel(estimator=om.ItemKNN(neighbors=5), channel_weights={"store": 3.0}),
    ],
    ids=["ease", "knn", "svd", "als", "blend", "sum", "joined"],
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
    model = om.models.ItemModel(x.items, np.ones(2, np.float32), np.array([[0, 2], [1, 0]], np.float32))
    told = explain(model, x, model.recommend(x, k=2, exclude_seen=False)).by_channel().set_index("item_id")
    assert told.loc["b", ["store", "web", "score"]].tolist() == [6, 2, 8]
    assert told.loc["a", ["store", "web", "score"]].tolist() == [0, 1, 1]


def test_what_is_no_sum_is_not_explained(x):
    for estimator in (om.Popularity(), om.models.UserKNN(), om.Blend(models={"ease": om.EASE()}, scale="rank")):
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
    assert repr(told) == "Explanations(0 contributions, 1 user)"
    assert len(told.to_frame()) == len(told.by_channel()) == 0


def test_a_request_of_nobody_with_a_past_has_nothing_to_explain():
    """Their histories have no channel at all; this was an IndexError."""
    past = om.simulate(n_users=20, n_items=10, days=30, seed=1).dataset()
    model = om.ALS(factors=4, seed=0).fit(past)
    requests = Live(model).data_of(999_999, at=past.end).requests([999_999], new_users=True)
    assert len(explain(model, requests, model.recommend(requests, k=3)).to_frame()) == 0


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
    "estimator",
    [
        om.EASE(regularization=5.0),
        om.ALS(factors=4, iterations=3),
        om.models.CrossChannel(estimator=om.EASE(regularization=5.0), channel_weights={"store": 2.0}),
        om.models.CrossChannel(estimator=om.ALS(factors=4, iterations=3), saturation="binary"),
    ],
    ids=["ease", "als", "joined-ease", "joined-als"],
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


def test_events_share_what_their_channel_adds_to_the_joined_cell():
    """Three visits to the app count log 4, one to the store twice log 2: the store's part is a third, not a quarter."""
    frame = pd.DataFrame(
        {
            "user_id": [1, 1, 1, 1, 2, 2],
            "item_id": ["cup", "cup", "cup", "cup", "cup", "tea"],
            "channel": ["app", "app", "app", "store", "app", "app"],
            "event": "view",
            "timestamp": pd.to_datetime(["2025-05-01", "2025-06-07", "2025-06-08", "2025-06-08", *["2025-06-01"] * 2]),
        }
    )
    log = om.EventLog.from_frame(frame.assign(timestamp=frame["timestamp"].dt.tz_localize("UTC")))
    x = log.matrix(at="2025-06-10")
    model = om.models.CrossChannel(estimator=om.ItemKNN(), channel_weights={"store": 2.0}).fit(x)
    lists = model.recommend(x.rows([1]), k=1)
    score, app, store = lists.scores[0, 0], np.log(4), 2 * np.log(2)
    told = explain(model, x, lists, events=log, ages=["7D"]).to_frame().set_index(["channel", "age"])["contribution"]
    assert told["store", "under 7D"] == pytest.approx(score * store / (app + store))
    assert told["app", "under 7D"] == pytest.approx(score * app / (app + store) * 2 / 3)
    assert told["app", "over 7D"] == pytest.approx(score * app / (app + store) / 3)
    by_layer, by_event = (explain(model, x, lists, **more).by_channel() for more in ({}, {"events": log}))
    pd.testing.assert_frame_equal(by_layer, by_event)


@pytest.mark.parametrize(
    "wrap", [lambda base: base, lambda base: om.models.CrossChannel(estimator=base)], ids=["plain", "joined"]
)
def test_what_cancels_out_over_channels_adds_nothing(wrap):
    """Person 1 liked a in the app and disliked it in the store, and liked and disliked d in one place: no cells."""
    people = [(1, "a", "app", "like"), (1, "a", "store", "dislike"), (1, "b", "app", "like"), (1, "c", "app", "like")]
    people += [(1, "d", "app", "like"), (1, "d", "app", "dislike"), (2, "b", "app", "like"), (2, "c", "store", "like")]
    people += [(3, "a", "app", "like"), (3, "c", "app", "like"), (3, "d", "app", "like")]
    frame = pd.DataFrame(people, columns=["user_id", "item_id", "channel", "event"])
    frame["timestamp"] = pd.Timestamp("2025-05-01", tz="UTC") + pd.to_timedelta(np.arange(len(frame)), unit="h")
    log, weights = om.EventLog.from_frame(frame), om.Weights(events={"dislike": -1.0})
    x = log.matrix(weights)
    model = wrap(om.EASE(regularization=1.0)).fit(x)
    lists = model.recommend(x, k=4, exclude_seen=False)
    for more in ({}, {"events": log, "weights": weights}):
        told = explain(model, x, lists, **more).to_frame()
        own = told[told["user_id"] == 1]
        assert set(own["because_item_id"]) == {"b", "c"}
        assert set(own["channel"]) == {"app"}
        score = lists.to_frame().set_index(["user_id", "item_id"])["score"]
        total = told.groupby(["user_id", "item_id"])["contribution"].sum().reindex(score.index)
        assert total.to_numpy() == pytest.approx(score.to_numpy(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("base", [om.EASE(regularization=5.0), om.ALS(factors=3, iterations=2)], ids=["ease", "als"])
def test_the_list_of_one_channel_is_explained_but_for_the_channel(base, x):
    model = om.models.CrossChannel(estimator=base, prior_strength=1.0).fit(x).on("store")
    lists = model.recommend(x, k=3)
    with pytest.raises(ParameterError, match=r"'store' also holds .* explain\(model\.on\(None\), x, lists\)"):
        explain(model, x, lists)
    told = explain(model.on(None), x, lists).by_channel()
    item = told["item_id"].iloc[0]
    some = told[told["item_id"] == item]
    wanted = model.on(None).score(x.rows(some["user_id"]), [item])[:, 0]
    assert some["score"].to_numpy() == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    flat = om.models.CrossChannel(estimator=base, lift=0).fit(x).on("store")  # nothing is added
    assert explain(flat, x, flat.recommend(x, k=1)).contribution.size


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
    bare = om.EASE().fit(om.Interactions.from_scipy(x.csr, users=x.users, items=x.items))
    other = log.matrix(om.Weights(events={"view": 0})).with_items(x.items)
    with pytest.raises(ParameterError, match="not those of the histories"):
        explain(bare, other, lists, events=log)
    with pytest.raises(ParameterError, match="the histories were made with Weights"):
        explain(model, log.matrix(om.Weights(events={"view": 0})), lists, events=log)
    before = log.before("2025-02-20").matrix().with_items(model.items)
    told = explain(model, before, model.recommend(before, k=2), events=log)  # what came after the clock is no past
    assert told.contribution.size


def test_requests_are_explained_as_their_histories_are():
    data = om.simulate(n_users=40, n_items=12, days=60, seed=1).dataset()
    model = om.EASE(weights=om.Weights(half_life="30D")).fit(data)
    requests = data.requests(data.events.users.ids[:3], given=[["i01"], [], []])
    lists = model.recommend(requests, k=2)
    parts = om.models.explain(model, requests, lists).to_frame()
    total = parts.groupby(["user_id", "item_id"])["contribution"].sum()
    shown = lists.to_frame().set_index(["user_id", "item_id"])["score"]
    assert np.allclose(total.reindex(shown.index), shown, rtol=1e-5)
    plain = data.requests(data.events.users.ids[:3])
    by_rows = om.models.explain(model, model.inputs(data), model.recommend(plain, k=2)).to_frame()
    assert om.models.explain(model, plain, model.recommend(plain, k=2)).to_frame().equals(by_rows)
