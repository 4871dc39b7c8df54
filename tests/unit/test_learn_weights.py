"""Learned weights and blends: planted signal is found, noise is refused, and the last window stays unseen."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco.errors import EmptyError, ParameterError
from omnireco.evaluation import Search


def world(noise_events, seed=0):
    """Purchases in the shop follow a person's taste (even or odd items); clicks on the web are drawn blindly."""
    random = np.random.default_rng(seed)
    rows = []
    for user in range(60):
        likes = np.arange(20)[np.arange(20) % 2 == user % 2]
        rows += [(user, item, "store", random.uniform(0, 80)) for item in random.choice(likes, 8, replace=False)]
        rows += [(user, item, "web", random.uniform(0, 80)) for item in random.integers(0, 20, noise_events)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "channel", "day"])
    stamps = pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(frame.pop("day"), unit="D").dt.floor("us")
    return om.EventLog.from_frame(frame.assign(event="purchase", timestamp=stamps))


SETTINGS = {"horizon": "15D", "target_channels": ["store"], "k": 5}
FEW = {"events": [], "half_lives": [None]}


def test_a_channel_of_noise_is_found_out():
    learned = om.learn_weights(
        om.ItemKNN(neighbors=5), world(25), exclude_seen=False, search=Search(**FEW, n_bootstrap=300), **SETTINGS
    )
    assert learned.accepted
    assert learned.low > 0
    factors = learned.weights.channels
    assert factors.get("web", 1.0) < factors.get("store", 1.0)
    table = learned.to_frame().set_index("channel")
    assert table.loc["store", "signal"]
    assert not table.loc["web", "signal"]
    assert "accepted: ndcg +" in repr(learned)


def test_no_gain_keeps_the_start():
    log, start = world(0), om.Weights(channels={"store": 2.0})
    learned = om.learn_weights(om.Popularity(weights=start), log, search=Search(**FEW, n_bootstrap=100), **SETTINGS)
    assert not learned.accepted
    assert learned.weights is start
    assert learned.estimator == om.Popularity(weights=start)
    assert learned.signal == ()
    assert learned.trials[0][0] == "start"


def test_learning_is_deterministic_and_reports_its_steps():
    seen = []
    settings = SETTINGS | {"progress": lambda done, total: seen.append((done, total))}
    search = Search(**FEW, channels=["web"], n_bootstrap=50)
    runs = [om.learn_weights(om.ItemKNN(), world(5), search=search, **settings) for _ in range(2)]
    assert runs[0].trials == runs[1].trials
    assert seen
    assert all(done <= total for done, total in seen)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"search": {"half_lives": [None]}}, r"search must be a Search. Got dict. Write om\.evaluation\.Search\("),
        (
            {"search": Search(channels=["kiosk"])},
            "channels: 'kiosk' is a name that nothing here has. Known: 'store', 'web'",
        ),
        ({"metric": lambda lists: 0.5}, "must give one value per person"),
    ],
)
def test_learn_weights_refuses(change, message):
    with pytest.raises(ParameterError, match=message):
        om.learn_weights(om.ItemKNN(), world(2), **(SETTINGS | {"search": Search(**FEW)} | change))


def test_a_window_without_truth_is_an_error():
    frame = pd.DataFrame({"user_id": range(6), "item_id": 1, "channel": "store", "event": "buy"})
    log = om.EventLog.from_frame(frame.assign(timestamp=pd.date_range("2025-01-01", periods=6, tz="UTC")))
    with pytest.raises(EmptyError, match="nobody with a history and something new"):
        om.learn_weights(om.ItemKNN(), log, horizon=om.Dataset(log).rolling(horizon="1D", n=2))


def parts(seed=1):
    random = np.random.default_rng(seed)
    liked = (np.arange(20)[None, :] % 2 == np.arange(60)[:, None] % 2) & (random.random((60, 20)) < 0.8)
    held = random.random((60, 20)) < 0.3
    return tuple(om.Interactions.from_scipy(sp.csr_matrix((liked & side).astype(np.float32))) for side in (~held, held))


def test_a_blend_is_never_below_its_best_member_on_validation():
    x, truth = parts()
    models = om.Blend(models={"knn": om.ItemKNN(), "popular": om.Popularity()})
    learned = om.evaluation.learn_blend(models, x, truth, k=3)
    assert learned.weights["knn"] == 1.0
    assert learned.estimator == models.replace(weights=dict(learned.weights))
    again = learned.estimator.fit(x).recommend(x, k=3)
    assert (again.codes == learned.model.recommend(x, k=3).codes).all()
    assert dict(zip(learned.model.names, learned.model.weights, strict=True)) == learned.weights
    assert max(mean for _, mean in learned.trials) >= learned.trials[0][1]
    assert "on validation" in repr(learned)
    some = om.evaluation.learn_blend(models, x, truth, k=3, people=20, seed=2)
    assert some.trials == om.evaluation.learn_blend(models, x, truth, k=3, people=20, seed=2).trials


def test_learn_blend_needs_people_with_a_past_and_a_truth():
    x, truth = parts()
    strangers = om.Interactions.from_scipy(truth.csr, users=np.arange(100, 160))
    with pytest.raises(EmptyError, match="nobody of the truth has a history"):
        om.evaluation.learn_blend(om.Blend(models={"popular": om.Popularity()}), x, strangers, k=3)


def graded_world(seed=0):
    """People like items of their parity and dislike the others; a view says nothing. Both are rated all the time."""
    random = np.random.default_rng(seed)
    rows = []
    for user in range(60):
        for item in random.permutation(24)[:14]:
            liked = item % 2 == user % 2
            rows.append((user, item, "like" if liked else "dislike" if random.random() < 0.8 else "view"))
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "event"]).assign(channel="app")
    days = pd.to_timedelta(random.uniform(0, 80, len(frame)), unit="D").floor("us")
    return om.EventLog.from_frame(frame.assign(timestamp=pd.Timestamp("2025-01-01", tz="UTC") + days))


GRADED = {"horizon": "20D", "target": ["like"], "k": 5}
ONE_LIFE = {"half_lives": [None], "n_bootstrap": 100}


def test_targets_slopes_and_parameters_are_searched_together():
    start = om.Weights(targets={"like": 1.0, "view": 0.5, "dislike": 1.0})
    estimator = om.ALS(factors=4, iterations=4, weights=start)
    search = Search(targets=["dislike"], events={"against": ["dislike"]}, **ONE_LIFE)
    learned = om.learn_weights(estimator, graded_world(), search=search, **GRADED)
    names = [name for name, _ in learned.trials]
    assert "targets ** 2" in names
    assert "targets[dislike]=0" in names
    assert "events[against] x 0" in names  # a target of 1 is no verdict
    assert names.count("unobserved_weight x 2") >= 2  # for the start, and for what was found
    assert learned.accepted
    assert learned.weights.targets["dislike"] < 1
    assert learned.estimator.factors == 4
    assert learned.estimator.weights == learned.weights
    assert learned.start_estimator.weights == learned.start == start
    data = om.Dataset(graded_world())
    assert learned.estimator.fit(data).recommend(data.requests(), k=3).k == 3
    assert len(learned.split) == 16
    assert "split" in learned._repr_html_()


def test_a_verdict_keeps_a_weight_and_parameters_can_be_named():
    start = om.Weights(targets={"dislike": 0})
    learned = om.learn_weights(
        om.ALS(factors=4, iterations=2, weights=start),
        graded_world(),
        search=Search(parameters={"factors": [2, 4]}, **ONE_LIFE),
        **GRADED,
    )
    names = [name for name, _ in learned.trials]
    assert "events[dislike] x 0" not in names
    assert "events[dislike] x 4" in names
    assert "factors=2" in names
    assert "unobserved_weight x 2" not in names


def test_own_splits_take_the_place_of_windows():
    log = graded_world()
    cuts = [om.data.split_people(log, share=0.3, seed=seed) for seed in range(2)]
    with pytest.raises(EmptyError, match="nobody with a history"):  # people of a person split have no past
        om.learn_weights(om.ItemKNN(), log, horizon=cuts, search=Search(events=[]))
    cuts = om.data.split_rolling(log, horizon="20D", n=3)
    few = Search(half_lives=[None], events=["view"])
    again, once, whole = (
        om.learn_weights(om.ItemKNN(), log, horizon=windows, target=["like"], k=5, search=few)
        for windows in (cuts, "20D", om.Dataset(log).rolling(horizon="20D", n=3))
    )
    assert again.trials == once.trials == whole.trials
    assert again.split == once.split == whole.split == om.data.fingerprint(*cuts[-1])


@pytest.mark.parametrize(
    ("change", "search", "message"),
    [
        ({"horizon": []}, {}, "at least 2 cuts"),
        ({"horizon": [(1, 2), (3, 4)]}, {}, "at least 2 cuts"),
        ({"horizon": [1, 2]}, {}, "at least 2 cuts"),
        ({"horizon": np.array([1, 2])}, {}, "at least 2 cuts"),
        ({"horizon": np.array(5)}, {}, "at least 2 cuts"),
        ({"horizon": [graded_world()] * 2}, {}, "at least 2 cuts"),
        ({"horizon": [(graded_world(), graded_world())]}, {}, "Got 1 cut: the last"),
        ({"horizon": [(log := graded_world(), log)] * 2}, {}, "one side twice"),
        ({"horizon": b"14D"}, {}, "horizon"),
        ({"horizon": bytearray(b"14D")}, {}, "horizon"),
        ({"horizon": memoryview(b"14D")}, {}, "horizon"),
        ({}, {"slopes": [2.0]}, "slopes bend the targets of the estimator's weights, which have none"),
        ({}, {"parameters": {"factors": [2]}}, "parameters names 'factors', and ItemKNN has 'bm25_b'|ItemKNN has"),
        ({}, {"events": {"a": ["love"]}}, r"events\['a'\]: 'love' is a name"),
        ({}, {"targets": ["love"]}, "targets: 'love' is a name"),
    ],
)
def test_learn_weights_refuses_odd_searches(change, search, message):
    with pytest.raises(ParameterError, match=message):
        om.learn_weights(
            om.ItemKNN(), graded_world(), search=Search(**(ONE_LIFE | {"events": []} | search)), **(GRADED | change)
        )


@pytest.mark.parametrize(
    "estimator",
    [
        om.models.NextItem(regularization=5.0),
        om.models.SessionKNN(),
        om.Blend(models={"knn": om.ItemKNN(), "popular": om.Popularity()}),
        om.models.CrossChannel(estimator=om.ItemKNN()),
        om.BuyAgain(),
        om.EASE(),
    ],
    ids=lambda estimator: repr(estimator)[:40],
)
def test_every_estimator_of_the_contract_is_driven(estimator):
    log = graded_world()
    search = Search(half_lives=[None], events=["view"], parameters={}, n_bootstrap=20)
    learned = om.learn_weights(estimator, log, horizon="20D", target=["like"], k=5, search=search)
    assert [name for name, _ in learned.trials] == ["start", *(f"events[view] x {s:g}" for s in (0, 0.25, 0.5, 2, 4))]
    assert learned.estimator.fit(om.Dataset(log)).recommend(om.Dataset(log).requests(), k=3).k == 3
    held = [value for name, value in learned.estimator.get_params().items() if isinstance(value, om.Weights)]
    assert held
    assert all(value == learned.weights for value in held)


def test_an_estimator_without_weights_has_only_its_parameters_tuned():
    log, typed = graded_world(), om.models.TypedEASE(target="like", regularization=5.0)
    learned = om.learn_weights(typed, log, horizon="20D", target=["like"], k=5, search=Search(n_bootstrap=20))
    assert {name.split(" ")[0] for name, _ in learned.trials} == {"start", "regularization"}
    assert learned.signal == ()
    assert learned.weights == om.Weights()
    with pytest.raises(
        ParameterError, match=r"TypedEASE has no weights of events, so Search\(events=\.\.\.\) has nothing"
    ):
        om.learn_weights(typed, log, horizon="20D", search=Search(events=["view"]))


def test_members_with_other_weights_are_not_one_start():
    both = om.Blend(models={"a": om.ItemKNN(weights=om.Weights(half_life="7D")), "b": om.ItemKNN()})
    with pytest.raises(ParameterError, match=r"members of Blend have different ones.*models__a__weights"):
        om.learn_weights(both, graded_world(), horizon="20D")


def test_old_lines_are_errors_that_say_the_new_ones():
    log = graded_world()
    with pytest.raises(TypeError, match=r"'half_lives'. Write om\.learn_weights\(om\.EASE\(\), past, horizon="):
        om.learn_weights(om.ItemKNN(), log, horizon="20D", half_lives=[None])
    with pytest.raises(ParameterError, match=r"estimator must be an estimator, such as EASE\(\)"):
        om.learn_weights(log, om.ItemKNN(), horizon="20D")
    x, truth = parts()
    with pytest.raises(TypeError, match=r"'scale'. Write om\.evaluation\.learn_blend\(om\.Blend\("):
        om.evaluation.learn_blend(om.Blend(models={"a": om.EASE()}), x, truth, k=3, scale="rank")
    with pytest.raises(ParameterError, match="learn_blend takes a blend of estimators"):
        om.evaluation.learn_blend({"popular": om.Popularity().fit(x)}, x, truth, k=3)


def test_a_blend_is_learned_on_the_sides_of_one_cut():
    past, later = om.simulate(n_users=80, n_items=20, days=60, seed=1).dataset().split("2025-02-20")
    blend = om.Blend(models={"ease": om.EASE(weights=om.Weights()), "popular": om.Popularity()}, scale="rank")
    learned = om.evaluation.learn_blend(blend, past, later, k=5, exclude_seen=False)
    x = past.matrix(om.Weights())
    by_hand = om.evaluation.learn_blend(blend, x, later.events.matrix(), k=5, exclude_seen=False)
    assert learned.trials == by_hand.trials
    assert learned.model.scale == "rank"


def test_the_truth_of_a_blend_is_what_came_later():
    x = om.Interactions.from_frame(pd.DataFrame({"user_id": [1, 2], "item_id": ["a", "b"]}))
    with pytest.raises(ParameterError, match="learn_blend: later must be a Dataset, an EventLog, an Interactions or a"):
        om.evaluation.learn_blend(om.Blend(models={"popular": om.Popularity()}), x, {"als": x}, k=3)


def shop_log(n_users=250, n_items=150, days=10, seed=0):
    """People look around, put what they want in the cart, buy it within a day or two, and buy their staples again."""
    random, rows = np.random.default_rng(seed), []
    for user in range(n_users):
        own = np.arange(n_items)[np.arange(n_items) % 5 == random.integers(0, 5)]
        staples = random.choice(own, 3, replace=False)
        for start in np.sort(random.uniform(0, days, random.integers(4, 12))):
            looked = [*random.integers(0, n_items, 3), *random.choice(own, 3)]
            rows += [(user, item, "view", start + 0.002 * step) for step, item in enumerate(looked)]
            if random.random() < 0.5:
                want = random.choice(own)
                rows += [(user, want, "view", start + 0.02), (user, want, "cart", start + 0.021)]
                if random.random() < 0.2:
                    rows.append((user, want, "favourite", start + 0.022))
                if random.random() < 0.6:
                    rows.append((user, want, "purchase", start + 0.02 + random.exponential(0.7)))
            if random.random() < 0.4:
                rows.append((user, random.choice(staples), "purchase", start + 0.025))
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "event", "day"]).query("day < @days")
    stamps = pd.Timestamp("2025-03-03", tz="UTC") + pd.to_timedelta(frame.pop("day"), unit="D").dt.floor("us")
    return om.EventLog.from_frame(frame.assign(timestamp=stamps, channel="web"))


def test_where_people_buy_again_the_search_judges_by_lists_that_may_repeat():
    past, later = om.Dataset(shop_log(seed=1)).rolling(horizon="1D", n=1)[0]
    bought, settings = later.events.select(events=["purchase"]), {"horizon": "1D", "target": ["purchase"]}

    def worth(estimator):
        lists = {"list": estimator.fit(past).recommend(past.requests(), k=10, exclude_seen=False)}
        return om.evaluate(lists, bought, k=10, metrics=[om.ndcg], n_bootstrap=0).cells[0].mean

    by_itself = om.learn_weights(om.ItemKNN(), past, **settings)
    assert not by_itself.exclude_seen
    assert 0.6 < by_itself.repeats < 0.85
    assert "lists may repeat, 74% of choices were of seen items" in repr(by_itself)
    assert by_itself.trials == om.learn_weights(om.ItemKNN(), past, exclude_seen=False, **settings).trials
    assert by_itself.accepted
    assert worth(by_itself.estimator) > 1.2 * worth(om.ItemKNN())
    other = om.learn_weights(om.ItemKNN(), past, exclude_seen=True, **settings)
    assert "seen items left out" in other.question
    assert other.n_people < by_itself.n_people / 2  # most of what they bought is left out of the question


def test_lists_may_repeat_also_where_repeats_are_few_but_all_that_can_be_found():
    random, rows = np.random.default_rng(3), []
    for user in range(300):
        bought = random.permutation(400)[:40]
        again = np.where(random.random(40) < 0.12, random.permutation(bought), bought)
        rows += [(user, item, day) for item, day in zip(again, np.sort(random.uniform(0, 60, 40)), strict=True)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "day"])
    stamps = pd.Timestamp("2025-03-03", tz="UTC") + pd.to_timedelta(frame.pop("day"), unit="D").dt.floor("us")
    log = om.EventLog.from_frame(frame.assign(timestamp=stamps, channel="web", event="purchase"))
    few = Search(half_lives=[None], events=[], n_bootstrap=50)
    learned = om.learn_weights(om.BuyAgain(), log, horizon="7D", search=few)
    assert 0.02 < learned.repeats < 0.2
    assert not learned.exclude_seen
    assert om.learn_weights(om.Popularity(), world(1), horizon="10D", target=["purchase"], search=few).exclude_seen


def test_rare_types_may_count_more_in_one_step():
    log = shop_log(n_users=80)
    (group,) = om.evaluation.moves.rarity_moves(om.Weights(), log)
    begin = om.evaluation.moves.Setting(om.Weights(), om.ItemKNN())
    root, whole = (move(begin).weights.events for _, move in group)
    assert root["view"] == whole["view"] == 1.0
    assert 1 < root["purchase"] < whole["purchase"] < whole["favourite"]
    assert whole["purchase"] == pytest.approx(root["purchase"] ** 2, rel=0.1)
    for start in (
        om.Weights(events={"view": 0.0}),
        om.Weights(events={"view": -1.0}),
        om.Weights(targets={"view": 0.5}),
    ):
        assert om.evaluation.moves.rarity_moves(start, log) == []
    (with_target,) = om.evaluation.moves.rarity_moves(om.Weights(), log, ["purchase"])
    name, alone = with_target[-1]
    assert name == "the target alone"
    assert alone(begin).weights.events == {"cart": 0.0, "favourite": 0.0, "view": 0.0}
    one = om.EventLog.from_frame(log.to_frame().query("event == 'view'"))
    assert om.evaluation.moves.rarity_moves(om.Weights(), one) == []


def test_half_lives_follow_the_length_of_the_log():
    lives = om.evaluation.search.half_lives_of
    assert lives(shop_log(n_users=20)) == (None, "1h", "4h", "12h", "2D", "7D")  # ten days
    assert lives(world(1)) == (None, "4h", "12h", "2D", "7D", "30D")  # eighty
    day = 86_400_000_000
    assert lives(world(1), 20 * day) == lives(world(1))  # windows of 20 days ask for no shorter ones
    assert lives(world(1), day // 4) == (None, "4h", "12h", "2D", "7D", "30D")
    assert lives(world(1), day // 12) == (None, "1h", "4h", "12h", "2D", "7D", "30D")  # items that live for hours
    tried = [name for name, _ in om.learn_weights(om.ItemKNN(), shop_log(n_users=80), horizon="1D").trials]
    assert "half_life=4h" in tried
    assert "half_life=30D" not in tried


def test_the_start_is_tuned_as_often_as_what_was_found():
    learned = om.learn_weights(
        om.EASE(), shop_log(n_users=80), horizon="1D", target=["purchase"], search=Search(half_lives=[None, "1D"])
    )
    names = [name for name, _ in learned.trials]
    first = names.index("regularization x 4")
    assert names[0] == "start"
    assert learned.start_estimator.regularization is None or learned.start_estimator.regularization > 0
    assert len(names) == len(learned.trials) > 20
    assert first < names.index("half_life=1D")


def test_weights_by_hand_that_are_worse_than_none_are_given_up_at_once():
    by_hand = om.Weights(channels={"store": 0.02, "web": 50.0})  # upside down, and far from all ones in single steps
    learned = om.learn_weights(
        om.ItemKNN(neighbors=5, weights=by_hand),
        world(25),
        exclude_seen=False,
        search=Search(half_lives=[None], n_bootstrap=300),
        **SETTINGS,
    )
    names = dict(learned.trials)
    assert names["all ones"] > names["start"]
    assert learned.accepted
    assert max(names.values()) >= names["all ones"]
    level = om.learn_weights(om.ItemKNN(neighbors=5), world(25), exclude_seen=False, search=Search(**FEW), **SETTINGS)
    assert "all ones" not in dict(level.trials)
    for start in (om.Weights(channels={"web": -1.0}), om.Weights(events={"purchase": 1.0}), om.Weights()):
        assert om.evaluation.moves.level_moves(start) == []
    without = om.learn_weights(
        om.ItemKNN(weights=by_hand), world(3), exclude_seen=False, search=Search(**FEW, n_bootstrap=20), **SETTINGS
    )
    assert "all ones" not in dict(without.trials)  # who keeps the events fixed keeps them
