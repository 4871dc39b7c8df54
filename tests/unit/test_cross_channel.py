"""Joined channels: numbers by hand, planted truth, and every refusal."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._kernels.topk.exact import tier
from omnireco.errors import EmptyError, ParameterError

PAIRS = pd.DataFrame(
    {
        "user_id": [1, 1, 1, 2, 2, 3, 4],
        "item_id": ["a", "a", "b", "a", "c", "b", "c"],
        "channel": ["app", "store", "app", "app", "store", "app", "store"],
        "weight": [3.0, 1.0, 1.0, 1.0, -2.0, 1.0, 1.0],
    }
)
X = om.Interactions.from_frame(PAIRS)
DATA = om.Dataset(om.EventLog.from_frame(om.simulate(n_users=20, n_items=6, days=20, seed=2).events))


@pytest.mark.parametrize(
    ("saturation", "cell", "against"),
    [("none", 3 + 2 * 1, -4), ("log", np.log(4) + 2 * np.log(2), -2 * np.log(3)), ("binary", 3, -2)],
)
def test_cells_are_weighed_by_channel_before_they_are_added(saturation, cell, against):
    joined = om.models.join_channels(X, channel_weights={"store": 2}, saturation=saturation)
    dense = joined.csr.toarray()
    assert dense[0, 0] == pytest.approx(cell)
    assert dense[1, 2] == pytest.approx(against)
    assert sum(layer.toarray() for layer in joined.layers.values()) == pytest.approx(dense)


def test_without_saturation_and_weights_it_is_the_pooled_matrix():
    assert (om.models.join_channels(X, saturation="none").csr != X.csr).nnz == 0


def test_log_lift_by_hand():
    model = om.models.CrossChannel(estimator=om.Popularity(), prior_strength=2.0).fit(X)
    # app: a 2, b 2; store: a 1, c 1 (a cell below 0 is nobody's choice)
    assert model.people.tolist() == [[2, 2, 0], [1, 0, 1]]
    expected = np.array([[4 * 3, 4 * 2, 4 * 1], [2 * 3, 2 * 2, 2 * 1]]) / 6
    assert model.lifts == pytest.approx(np.log((model.people + 2) / (expected + 2)), rel=1e-6)


@pytest.mark.parametrize("estimator", [om.ALS(factors=3, seed=1), om.EASE(regularization=1.0), om.models.UserKNN()])
def test_the_score_on_a_channel_is_the_score_plus_lift_in_deviations(estimator):
    x = worlds()
    model = om.models.CrossChannel(estimator=estimator, lift=0.7, prior_strength=3.0).fit(x)
    plain = model.score(x, model.items.ids).astype(np.float64)
    there = model.on("app").score(x, model.items.ids)
    row = model.channels.index("app")
    assert there == pytest.approx(plain + 0.7 * plain.std(axis=1, keepdims=True) * model.lifts[row], rel=1e-4, abs=1e-5)
    data = om.Dataset(om.EventLog.from_frame(om.simulate(n_users=60, n_items=15, days=40, seed=2).events))
    weighed = om.models.CrossChannel(
        estimator=estimator.replace(weights=om.Weights()), lift=0.7, prior_strength=3.0
    ).fit(data)
    for asked, one in ((data.requests(channel="app"), weighed.on("app")), (data.requests(), weighed)):
        same = weighed.recommend(asked, k=4)
        assert (same.codes == one.recommend(x, k=4).codes).all()
        assert (weighed.score(asked, model.items.ids) == one.score(x, model.items.ids)).all()


def worlds():
    log = om.EventLog.from_frame(om.simulate(n_users=60, n_items=15, days=40, seed=2).events)
    return log.matrix(om.Weights())


def test_a_lift_of_nothing_gives_every_channel_the_same_list():
    x = worlds()
    model = om.models.CrossChannel(estimator=om.ALS(factors=3), lift=0.0).fit(x)
    one, two = (model.on(channel).recommend(x, k=5) for channel in model.channels[:2])
    assert (one.codes == two.codes).all()
    assert (one.scores == two.scores).all()


def test_planted_habits_of_a_channel_are_found():
    """Two tastes, and each channel sells half of the goods of both: taste says which, the channel which half."""
    draw = np.random.default_rng(0)
    rows = []
    for user in range(120):
        taste = user % 2
        for channel, half in (("app", 0), ("store", 1)):
            goods = 10 * taste + 5 * half + draw.choice(5, 3, replace=False)
            rows += [(user, int(item), channel) for item in goods]
    x = om.Interactions.from_frame(pd.DataFrame(rows, columns=["user_id", "item_id", "channel"]))
    model = om.models.CrossChannel(
        estimator=om.ALS(factors=4, unobserved_weight=0.2), lift=1.0, prior_strength=5.0
    ).fit(x)
    for channel, half in (("app", 0), ("store", 1)):
        best = model.on(channel).recommend(x, k=2).codes
        taste = (np.arange(120) % 2)[:, None]
        assert ((best // 5) == 2 * taste + half).mean() > 0.95


def test_somebody_known_on_one_channel_is_placed_on_another():
    x = worlds()
    model = om.models.CrossChannel(estimator=om.ALS(factors=4, seed=3)).fit(x)
    only_app = dataclasses.replace(x, csr=x.layers["app"], layers={"app": x.layers["app"]})
    warm = np.flatnonzero(np.diff(only_app.csr.indptr))
    lists = model.on("store").recommend(only_app.take(warm), k=3)
    popular = model.on("store").popularity.argsort()[::-1][:3]
    assert (lists.codes != popular).any()


def test_a_person_without_a_history_gets_what_is_chosen_on_the_channel():
    model = om.models.CrossChannel(estimator=om.ALS(factors=2)).fit(X)
    nobody = dataclasses.replace(X.take(np.array([0])), csr=X.csr[:1] * 0, layers={})
    assert model.on("store").recommend(nobody, k=1).codes[0, 0] == 0
    assert model.on("app").popularity.tolist() == [2, 2, 0]
    assert model.on(None).popularity.tolist() == model.base.popularity.tolist()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: om.models.CrossChannel(estimator=om.ALS), "takes an estimator"),
        (lambda: om.models.CrossChannel(channel_weights={"app": 0}), "weights\\['app'\\] must be greater than 0"),
        (lambda: om.models.CrossChannel(channel_weights=["app"]), "channel_weights must map channels"),
        (lambda: om.models.CrossChannel(saturation="sqrt"), "saturation must be one of"),
        (lambda: om.models.CrossChannel(lift=-1), "lift"),
        (lambda: om.models.CrossChannel(prior_strength=0), "prior_strength"),
        (
            lambda: om.models.CrossChannel(estimator=om.Popularity()).fit(X).on("fax"),
            "fitted on: 'app', 'store'. Got 'fax'",
        ),
        (
            lambda: (
                om.models.CrossChannel(estimator=om.Popularity(weights=om.Weights()))
                .fit(DATA)
                .recommend(DATA.requests(channel="fax"), k=1)
            ),
            "Got 'fax'",
        ),
    ],
)
def test_refusals(call, says):
    with pytest.raises(ParameterError, match=says):
        call()


def test_what_cancels_out_is_no_matrix():
    both = om.Interactions.from_frame(
        pd.DataFrame({"user_id": [1, 1], "item_id": "a", "channel": ["x", "y"], "weight": [2.0, -1.0]})
    )
    with pytest.raises(EmptyError, match="cancel to 0"):
        om.models.CrossChannel(estimator=om.Popularity(), saturation="binary").fit(both)


def test_the_tier_changes_nothing(monkeypatch):
    x = worlds()
    model = om.models.CrossChannel(estimator=om.ALS(factors=5)).fit(x).on("app")
    fast = model.recommend(x, k=6)
    monkeypatch.setenv("OMNIRECO_TOPK", "numpy")
    slow = model.recommend(x, k=6)
    assert tier() is not None
    assert (fast.codes == slow.codes).all()


def frame(rows):
    return pd.DataFrame(rows, columns=["user_id", "item_id", "channel", "timestamp"]).assign(event="view")


def test_a_comparison_leaves_out_what_was_seen_on_any_channel():
    day = pd.date_range("2025-01-01", periods=40, tz="UTC")
    rows = [(u, (u + j) % 6, "app", day[j]) for u in range(12) for j in range(3)]
    rows += [(u, (u + 3) % 6, "store", day[5]) for u in range(12)]
    rows += [(u, (u + j) % 6, "store", day[38]) for u in range(12) for j in (0, 3, 4)]  # 0 and 3 are known to them
    rows += [(99, 0, "store", day[38])]  # without a history
    log = om.EventLog.from_frame(frame(rows))
    compared = om.evaluation.compare_channels(
        om.models.CrossChannel(estimator=om.ItemKNN()), *om.Dataset(log).rolling(horizon="7D", n=1)[0], k=2
    )
    assert list(compared.reports) == ["store"]
    report = compared.reports["store"]
    assert len(report.users) == 12
    assert set(report.n_without_list.values()) == {0}
    table = compared.to_frame().set_index("model")
    assert table["mean"]["only store"] == pytest.approx(table["mean"].max())  # two goods are left, both are shown
    assert np.isnan(table["gain"]["pooled"])
    assert "each against one pooled matrix" in str(compared)
    assert "app" not in repr(compared)
    assert "<table" in compared._repr_html_()


def test_one_channel_has_nothing_to_gain():
    day = pd.date_range("2025-01-01", periods=30, tz="UTC")
    rows = [(u, (u * 3 + j) % 7, "web", day[j * 3]) for u in range(20) for j in range(10)]
    log = om.EventLog.from_frame(frame(rows))
    table = om.evaluation.compare_channels(
        om.models.CrossChannel(estimator=om.EASE(regularization=1.0)),
        *om.data.split_rolling(log, horizon="9D", n=1)[0],
        k=3,
        exclude_seen=False,
    ).to_frame()
    assert (table["gain"].dropna() == 0).all()


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (
            {"cross": om.models.CrossChannel(channel_weights={"fax": 2})},
            ParameterError,
            "'fax' is a name that nothing here has",
        ),
        ({"cross": om.ALS()}, ParameterError, "takes om.models.CrossChannel"),
        ({"cut": "2025-01-02 23:59:59+00:00"}, EmptyError, "nobody with a history"),
    ],
)
def test_comparison_refuses(change, error, says):
    day = pd.date_range("2025-01-01", periods=3, tz="UTC")
    log = om.EventLog.from_frame(frame([(1, 1, "app", day[0]), (2, 1, "store", day[2])]))
    past, later = om.Dataset(log).split(change.get("cut", "2025-01-02"))
    with pytest.raises(error, match=says):
        om.evaluation.compare_channels(change.get("cross", om.models.CrossChannel()), past, later)


def test_the_old_comparison_says_the_new_line():
    log = om.EventLog.from_frame(om.simulate(n_users=20, n_items=5, days=30, seed=2).events)
    with pytest.raises(
        TypeError, match=r"Write om.evaluation.compare_channels\(om\.models\.CrossChannel\(\), \*data\.rolling\("
    ):
        om.evaluation.compare_channels(log, om.models.CrossChannel(), horizon="7D")


def test_what_was_selected_later_is_what_channels_are_judged_by():
    past, later = om.simulate(n_users=60, n_items=15, days=40, seed=2).dataset().split("2025-02-05")
    cross = om.models.CrossChannel(estimator=om.ItemKNN())
    bought = later.events.select(events=["purchase"], channels=["app", "store"])
    compared = om.evaluation.compare_channels(cross, past, bought, k=3, n_bootstrap=20)
    assert list(compared.reports) == ["app", "store"]
    weighed = cross.replace(estimator__weights=om.Weights(half_life="7D"))
    faded = om.evaluation.compare_channels(weighed, past, bought, k=3, n_bootstrap=20)
    assert not faded.to_frame().equals(compared.to_frame())


def test_each_request_is_ranked_for_its_own_channel_also_in_a_blend():
    cross = om.models.CrossChannel(estimator=om.ALS(factors=3), lift=2.0, prior_strength=1.0)
    model = om.Blend(models={"cross": cross, "knn": om.ItemKNN()}, weights={"knn": 0.1}).fit(DATA)
    who = DATA.users.ids[3]
    asked = DATA.requests([who] * 3, channel=["app", None, "store"])
    mixed, scores = model.recommend(asked, k=4), model.score(asked, model.items.ids)
    for row, channel in enumerate(["app", None, "store"]):
        one = DATA.requests([who], channel=channel)
        alone = model.recommend(one, k=4)
        assert (mixed.codes[row] == alone.codes[0]).all()
        assert (mixed.scores[row] == alone.scores[0]).all()
        assert (scores[row] == model.score(one, model.items.ids)[0]).all()
    assert (mixed.scores[0] != mixed.scores[1]).any()
    groups = (["a", "b", "a"], {"a": model.items.ids[:2], "b": model.items.ids[2:]})
    some = model.recommend(asked, k=4, eligible=groups)
    assert [
        set(row[row >= 0].tolist()) <= set(may)
        for row, may in zip(some.codes, [{0, 1}, {2, 3, 4, 5}, {0, 1}], strict=True)
    ] == [True] * 3


def test_old_names_of_channel_weights():
    with pytest.raises(TypeError, match=r"no parameter 'weights'. Write CrossChannel.*channel_weights"):
        om.models.CrossChannel(weights={"app": 2.0})
    with pytest.raises(TypeError, match=r"takes its parameters by name. Write CrossChannel\(estimator=...\)"):
        om.models.CrossChannel(om.ALS())
