"""A search on a matrix: cells are held out, once to choose and once to compare."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco.errors import DataWarning, EmptyError, ParameterError, SchemaError
from omnireco.evaluation import Trials, small_space
from omnireco.evaluation.trials.members import foretold, lighter
from omnireco.evaluation.trials.shares import cuts_of

TASTES = 4


def drawn(n=160, n_items=80, seed=0):
    """Return people of four tastes, who choose mostly within one quarter of the items."""
    rng = np.random.default_rng(seed)
    taste = rng.integers(TASTES, size=n)
    near = np.arange(n_items)[None, :] % TASTES == taste[:, None]
    cells = rng.random((n, n_items)) < np.where(near, 0.35, 0.02)
    return om.Interactions.from_scipy(sp.csr_matrix(cells.astype(np.float32)))


X = drawn(400)


def test_the_two_parts_are_disjoint_and_the_past_has_neither():
    choose, compare = cuts_of(X, None, (), 0)
    pairs = [
        set(map(tuple, part.to_frame()[["user_id", "item_id"]].to_numpy())) for cut in (choose, compare) for part in cut
    ]
    past_one, first, past_two, second = pairs
    assert not first & second
    assert not past_one & (first | second)
    assert not past_two & second
    assert first <= past_two
    assert 0.05 < len(first) / X.nnz < 0.15


def test_a_gain_on_a_matrix_is_found_on_cells_that_chose_nothing():
    x, how = drawn(2000), {"k": 5, "trials": 2}
    found = om.tune(om.ItemKNN(neighbors=1), x, {"neighbors": [1, 20]}, **how)
    assert found.gained
    assert found.estimator == om.ItemKNN(neighbors=20)
    again = om.tune(om.ItemKNN(neighbors=1), x, {"neighbors": [1, 20]}, threads=1, **how)
    pd.testing.assert_frame_equal(found.trials, again.trials)
    wider = om.tune(om.ItemKNN(neighbors=1), x, {"neighbors": [1, 20]}, horizon=0.2, **how)
    assert wider.n_people >= found.n_people


def test_the_default_stays_where_nothing_can_be_learned():
    """Choices that depend on nothing: whatever the search prefers, it is no certain gain."""
    rng = np.random.default_rng(3)
    noise = om.Interactions.from_scipy(sp.csr_matrix((rng.random((200, 60)) < 0.1).astype(np.float32)))
    kept = [om.tune(om.EASE(), noise, k=5, trials=Trials(6, seed=seed)).estimator == om.EASE() for seed in range(3)]
    assert sum(kept) >= 2


def test_halving_takes_some_of_the_people():
    found = om.tune(om.EASE(), drawn(600), k=5, trials=Trials(9, method="halving"))
    assert found.trials["share"].min() < 1
    assert found.n_trials == 10


def test_a_blend_is_tuned_member_by_member_and_then_weighed():
    models = {"ease": om.EASE(), "popular": om.Popularity(), "near": om.ItemKNN(neighbors=1)}
    blend = om.Blend(models=models, weights={"popular": 5.0})
    found = om.tune(blend, X, k=5, trials=8)
    assert found.trials["member"].isin(["", "ease", "near"]).all()
    assert found.trials["member"].iloc[0] == found.trials["member"].iloc[-1] == ""
    assert found.gained
    members = found.best.get_params(deep=False)["models"]
    assert set(members) <= {"ease", "popular", "near"}
    assert all(found.best.weights.values())
    assert found.estimator.fit(X).recommend(X, k=3).k == 3


def test_a_blend_of_a_log_is_tuned_too():
    data = om.simulate(n_users=120, n_items=30, days=100, seed=4).dataset()
    blend = om.Blend(models={"ease": om.EASE(), "popular": om.Popularity()})
    found = om.tune(blend, data, horizon="14D", trials=3, k=5)
    assert found.n_trials == 6
    assert found.metric == "ndcg"


def test_the_default_blend_has_four_members_and_beats_popularity():
    blend = om.Blend()
    assert list(blend.models) == ["ease", "gfcf", "als", "users"]
    choose, _ = cuts_of(X, 0.2, (), 1)
    lists = {
        name: one.fit(choose.past).recommend(choose.past, k=5)
        for name, one in {"four": blend, "popular": om.Popularity()}.items()
    }
    table = (
        om.evaluate(lists, choose.later, k=5, metrics=[om.ndcg], n_bootstrap=0).to_frame().set_index("model")["mean"]
    )
    assert table["four"] > 1.3 * table["popular"]


def test_of_many_items_a_sparse_regression_is_tuned_and_said(monkeypatch):
    monkeypatch.setattr("omnireco.evaluation.trials.members._WHOLE", 5)
    with pytest.warns(DataWarning, match=r"takes minutes.*EASE\(neighbors=100\)"):
        found = om.tune(om.EASE(dropout=0.25), X, trials=2, k=5)
    assert found.default == om.EASE(dropout=0.25, neighbors=100)
    blend = om.Blend(models={"ease": om.EASE(), "popular": om.Popularity()})
    with pytest.warns(DataWarning, match="takes minutes"):
        assert om.tune(blend, X, trials=1, k=5).default.models["ease"].neighbors == 100
    for one in (om.EASE(neighbors=7), om.EASE(diagonal=0.5), om.ItemKNN()):  # asked for, or nothing to spare
        assert om.tune(one, X, trials=1, k=5).default == one
    whole = om.tune(om.EASE(), X, {"regularization": [100, 300]}, trials=1, k=5)  # as the advice has it
    assert whole.default == om.EASE()


def test_a_regression_is_not_tried_on_four_times_its_neighbors():
    assert small_space(om.EASE(neighbors=100), X)["neighbors"] == (50, 100, 200)
    assert small_space(om.ItemKNN(), X)["neighbors"] == (25, 50, 100, 200, 400)


def test_the_powers_of_walks_are_tried_and_those_of_similarities_are_not():
    walk = small_space(om.models.RP3beta(), X)
    assert walk["alpha"] == (0.9, 0.5, 0.7)
    assert walk["beta"] == (0.6, 0.3, 0.8)
    for one in (om.ItemKNN(), om.ALS()):
        assert not {"alpha", "beta"} & small_space(one, X).keys()


@pytest.mark.parametrize(
    ("data", "horizon", "words"),
    [
        (X, "14D", "a matrix has no times, so horizon is a share"),
        (X, 0.0, "horizon"),
        (X, 0.9, "horizon"),
        (om.simulate(n_users=40, n_items=9, days=60, seed=1).dataset(), None, "the length of a window of events"),
        (om.simulate(n_users=40, n_items=9, days=60, seed=1).dataset(), 0.1, "the length of a window of events"),
        (X.with_targets(X), None, "the matrix has targets"),
    ],
)
def test_a_horizon_that_does_not_fit_the_data_is_refused(data, horizon, words):
    with pytest.raises(ParameterError, match=words):
        om.tune(om.EASE(), data, horizon=horizon)


def test_what_cannot_be_held_out_is_refused():
    one = om.Interactions.from_scipy(sp.csr_matrix(np.eye(30, dtype=np.float32)))
    with pytest.raises(EmptyError, match="nobody has both a history and held-out cells"):
        om.tune(om.EASE(), one)
    with pytest.raises(ParameterError, match="SendTime learns from events"):
        om.tune(om.SendTime(), X, {"expiry": ["2D"]})
    with pytest.raises(SchemaError, match="tune takes a Dataset"):
        om.tune(om.EASE(), 3, horizon="14D")


def test_the_default_blend_reads_histories_out_of_events():
    data = om.simulate(n_users=60, n_items=20, days=60, seed=4).dataset()
    lists = om.Blend().fit(data).recommend(data.requests(), k=3)
    assert lists.k == 3
    sparse, dense = (om.models.GFCF(dense=how).fit(data).recommend(data.requests(), k=3) for how in (False, True))
    assert sparse.codes.tolist() == dense.codes.tolist()


def sequences(n=400, seed=0):
    """Return a log whose times are only an order: who took item i takes i + 1 next, mostly."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(n):
        item = int(rng.integers(20))
        for place in range(int(rng.integers(1, 9))):
            rows.append((user, item, place))
            item = (item + 1) % 20 if rng.random() < 0.8 else int(rng.integers(20))
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "position"]).drop_duplicates(["user_id", "item_id"])
    stamps = pd.to_datetime(frame["position"], unit="D", utc=True)
    return frame.assign(channel="web", event="review", timestamp=stamps).drop(columns="position")


def test_the_last_steps_of_sequences_choose_and_compare():
    """A window of positions read as dates would ask only the longest sequences."""
    log = om.EventLog.from_frame(sequences())
    data = om.Dataset(log)
    choose, compare = cuts_of(data, "last", ("events",), 0)
    before, test = om.data.leave_last(log)
    assert len(compare.past.events) == len(before)
    assert len(compare.later.events) == len(test)
    assert len(choose.later.events) < len(test)  # whoever has two steps is asked for one
    blend = om.Blend(models={"next": om.models.NextItem(), "ease": om.EASE(input_half_life=2.0)})
    found = om.tune(blend, data, horizon="last", k=5, trials=4)
    alone = om.tune(om.EASE(), log, {"input_half_life": [0.5, 1.0]}, horizon="last", k=5)
    assert found.n_people == len(test.users)
    assert "next" in found.best.get_params(deep=False)["models"]
    assert alone.gained  # the last step says what is next
    mixed = om.EventLog.from_frame(sequences().sample(frac=1, random_state=1))
    assert (
        om.tune(blend, mixed, horizon="last", k=5, trials=4).trials["value"].tolist() == found.trials["value"].tolist()
    )


def test_last_steps_need_steps_and_a_model_of_items():
    frame = sequences()
    with pytest.raises(EmptyError, match="more than 2 steps"):
        om.tune(om.EASE(), om.EventLog.from_frame(frame.drop_duplicates("user_id")), horizon="last")
    data = om.simulate(n_users=40, n_items=10, days=40, seed=1).dataset()
    with pytest.raises(ParameterError, match="horizon='14D'"):
        om.tune(om.SendTime(), data, {"expiry": ["2D", "3D"]}, horizon="last")
    with pytest.raises(ParameterError, match="'last' where only"):
        om.tune(om.EASE(), om.EventLog.from_frame(frame), k=5)
    with pytest.raises(ParameterError, match=r"horizon=0\.1"):
        om.tune(om.EASE(), X, horizon="last")


def shop(n=150, seed=0):
    """Return a shop's log: people view anything, and buy again and again the few things they need."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(n):
        needs = rng.choice(60, 4, replace=False)
        for day in range(0, 60, 3):
            rows.append((user, int(rng.integers(60)), "view", day))
            rows.append((user, int(rng.choice(needs)), "purchase", day))
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "event", "day"])
    stamps = pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(frame["day"], unit="D")
    return om.EventLog.from_frame(frame.assign(channel="web", timestamp=stamps).drop(columns="day"))


def test_the_search_asks_as_people_choose():
    """Where people buy again, lists without what they had would be judged by a question that nobody asks."""
    log, bought = shop(), ["purchase"]
    space = {"neighbors_weight": [0.1, 10.0]}
    basket = om.models.NextBasket(weights=om.Weights(), neighbors=20, neighbors_weight=1.0, linear_weight=0.1)
    found = om.tune(basket, log, space, horizon="9D", trials=Trials(2, counts=bought), k=5)
    assert not found.exclude_seen
    assert "lists that may repeat" in found.verdict
    assert found.trials["value"].max() > 0.5
    told = om.tune(basket, log, space, horizon="9D", trials=Trials(2, counts="purchase", exclude_seen=True), k=5)
    assert told.exclude_seen
    assert told.trials["value"].max() < 0.2
    pairs = om.tune(
        om.Blend(models={"basket": basket, "ease": om.EASE()}), log, horizon="9D", trials=Trials(2, counts=bought), k=5
    )
    assert pairs.best.get_params(deep=False)["models"].keys() >= {"basket"}
    assert not pairs.exclude_seen


def test_what_counts_is_refused_where_it_says_nothing():
    with pytest.raises(ParameterError, match="neither types of event nor repeats"):
        om.tune(om.EASE(), X, trials=Trials(2, counts="purchase"))
    with pytest.raises(EmptyError, match="no event of 'buy'"):
        om.tune(om.EASE(), shop(60), horizon="9D", trials=Trials(2, counts="buy"))
    with pytest.raises(ParameterError, match="counts is empty"):
        Trials(2, counts=[])
    with pytest.raises(ParameterError, match="exclude_seen"):
        Trials(2, exclude_seen="no")


def test_long_searches_are_foretold():
    with pytest.warns(DataWarning, match=r"7 fits with a regression on all of 40,981 items take about 44 CPU minutes"):
        foretold(om.EASE(), 40_981, 7)
    with pytest.warns(DataWarning, match="CPU minutes"):
        foretold(om.Blend(), 40_981, 7)
    foretold(om.EASE(neighbors=100), 91_599, 100)
    foretold(om.EASE(), 3_000, 100)


def test_a_light_search_says_how_to_keep_the_whole_regression():
    with pytest.warns(DataWarning, match=r"replace\(models__ease__neighbors=None\)"):
        light = lighter(om.Blend(), 40_981)
    with pytest.warns(DataWarning, match=r"replace\(neighbors=None\)"):
        lighter(om.EASE(), 40_981)
    assert light.replace(models__ease__neighbors=None) == om.Blend()
