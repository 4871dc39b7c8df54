"""Learned weights and blends: planted signal is found, noise is refused, and the last window stays unseen."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco.errors import EmptyError, ParameterError


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


SETTINGS = {"horizon": "15D", "target_channels": ["store"], "events": [], "half_lives": [None], "windows": 3, "k": 5}


def test_a_channel_of_noise_is_found_out():
    learned = om.learn_weights(world(25), om.ItemKNN(neighbors=5), exclude_seen=False, n_bootstrap=300, **SETTINGS)
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
    learned = om.learn_weights(log, om.Popularity(), start=start, n_bootstrap=100, **SETTINGS)
    assert not learned.accepted
    assert learned.weights is start
    assert learned.signal == ()
    assert learned.trials[0][0] == "start"


def test_learning_is_deterministic_and_reports_its_steps():
    seen = []
    settings = SETTINGS | {"channels": ["web"], "progress": lambda done, total: seen.append((done, total))}
    runs = [om.learn_weights(world(5), om.ItemKNN(), n_bootstrap=50, **settings) for _ in range(2)]
    assert runs[0].trials == runs[1].trials
    assert seen
    assert all(done <= total for done, total in seen)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": 3}, "start must be a Weights"),
        ({"windows": 1}, "windows must be an integer of at least 2"),
        ({"channels": ["kiosk"]}, "channels: 'kiosk' is a name that nothing here has. Known: 'store', 'web'"),
        ({"metric": lambda lists: 0.5}, "must give one value per person"),
    ],
)
def test_learn_weights_refuses(change, message):
    with pytest.raises(ParameterError, match=message):
        om.learn_weights(world(2), om.ItemKNN(), **(SETTINGS | change))


def test_a_window_without_truth_is_an_error():
    frame = pd.DataFrame({"user_id": range(6), "item_id": 1, "channel": "store", "event": "buy"})
    log = om.EventLog.from_frame(frame.assign(timestamp=pd.date_range("2025-01-01", periods=6, tz="UTC")))
    with pytest.raises(EmptyError, match="nobody with a history and something new"):
        om.learn_weights(log, om.ItemKNN(), horizon="1D", windows=2)


def parts(seed=1):
    random = np.random.default_rng(seed)
    liked = (np.arange(20)[None, :] % 2 == np.arange(60)[:, None] % 2) & (random.random((60, 20)) < 0.8)
    held = random.random((60, 20)) < 0.3
    return tuple(om.Interactions.from_scipy(sp.csr_matrix((liked & side).astype(np.float32))) for side in (~held, held))


def test_a_blend_is_never_below_its_best_member_on_validation():
    x, truth = parts()
    models = {"knn": om.ItemKNN().fit(x), "popular": om.Popularity().fit(x)}
    learned = om.evaluation.learn_blend(models, x, truth, k=3)
    assert learned.weights["knn"] == 1.0
    assert dict(zip(learned.model.names, learned.model.weights, strict=True)) == learned.weights
    assert max(mean for _, mean in learned.trials) >= learned.trials[0][1]
    assert "on validation" in repr(learned)
    some = om.evaluation.learn_blend(models, x, truth, k=3, people=20, seed=2)
    assert some.trials == om.evaluation.learn_blend(models, x, truth, k=3, people=20, seed=2).trials


def test_learn_blend_needs_people_with_a_past_and_a_truth():
    x, truth = parts()
    strangers = om.Interactions.from_scipy(truth.csr, users=np.arange(100, 160))
    with pytest.raises(EmptyError, match="nobody of the truth has a history"):
        om.evaluation.learn_blend({"popular": om.Popularity().fit(x)}, x, strangers, k=3)


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


GRADED = {"horizon": "20D", "target": ["like"], "half_lives": [None], "k": 5, "n_bootstrap": 100}


def test_targets_slopes_and_parameters_are_searched_together():
    start = om.Weights(targets={"like": 1.0, "view": 0.5, "dislike": 1.0})
    estimator = om.ALS(factors=4, iterations=4)
    learned = om.learn_weights(
        graded_world(), estimator, start=start, targets=["dislike"], events={"against": ["dislike"]}, **GRADED
    )
    names = [name for name, _ in learned.trials]
    assert "targets ** 2" in names
    assert "targets[dislike]=0" in names
    assert "events[against] x 0" in names  # a target of 1 is no verdict
    assert names.count("unobserved_weight x 2") == 2  # once for the start, once for what was found
    assert learned.accepted
    assert learned.weights.targets["dislike"] < 1
    assert learned.estimator.factors == 4
    x = graded_world().matrix(learned.weights)
    assert learned.estimator.fit(x).recommend(x, k=3).k == 3
    assert len(learned.split) == 16
    assert "split" in learned._repr_html_()


def test_a_verdict_keeps_a_weight_and_parameters_can_be_named():
    start = om.Weights(targets={"dislike": 0})
    learned = om.learn_weights(
        graded_world(), om.ALS(factors=4, iterations=2), start=start, parameters={"factors": [2, 4]}, **GRADED
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
        om.learn_weights(log, om.ItemKNN(), splits=cuts, events=[])
    cuts = om.data.split_rolling(log, horizon="20D", n=3)
    again = om.learn_weights(log, om.ItemKNN(), splits=cuts, target=["like"], k=5, half_lives=[None], events=["view"])
    once = om.learn_weights(log, om.ItemKNN(), horizon="20D", target=["like"], k=5, half_lives=[None], events=["view"])
    assert again.trials == once.trials
    assert again.split == once.split == om.data.fingerprint(*cuts[-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"splits": []}, "either horizon='14D'"),
        ({"horizon": None, "splits": []}, "at least 2 pairs of logs"),
        ({"horizon": None, "splits": [(1, 2), (3, 4)]}, "at least 2 pairs of logs"),
        ({"slopes": [2.0]}, "slopes bend the targets of start, which has none"),
        ({"parameters": {"factors": [2]}}, "parameters names 'factors', and ItemKNN has 'bm25_b'|ItemKNN has"),
        ({"events": {"a": ["love"]}}, r"events\['a'\]: 'love' is a name"),
        ({"targets": ["love"]}, "targets: 'love' is a name"),
    ],
)
def test_learn_weights_refuses_odd_searches(change, message):
    with pytest.raises(ParameterError, match=message):
        om.learn_weights(graded_world(), om.ItemKNN(), **(GRADED | {"events": []} | change))


def test_the_truth_of_a_blend_is_a_matrix():
    x = om.Interactions.from_frame(pd.DataFrame({"user_id": [1, 2], "item_id": ["a", "b"]}))
    log = om.EventLog.from_frame(om.simulate(n_users=20, n_items=5, seed=1).events)
    with pytest.raises(ParameterError, match=r"truth must be an Interactions. Got EventLog. Write test\.matrix\(\)"):
        om.evaluation.learn_blend({"popular": om.Popularity().fit(x)}, x, log, k=3)
