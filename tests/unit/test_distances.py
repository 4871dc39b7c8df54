"""How far people go to a shop, in worlds where that is known, and in worlds where distance does nothing."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import DataWarning, EmptyError, ParameterError, SchemaError


def nearby(seed, n=300, n_stores=6, k=3):
    rng = np.random.default_rng(seed)
    places = {"latitude": rng.uniform(52.4, 52.6, n_stores), "longitude": rng.uniform(13.2, 13.6, n_stores)}
    shops = om.data.Shops.from_frame(
        pd.DataFrame({"store_id": [f"s{i}" for i in range(n_stores)], "timezone": "UTC", **places})
    )
    homes = {"latitude": rng.uniform(52.4, 52.6, n), "longitude": rng.uniform(13.2, 13.6, n)}
    return shops.near(pd.DataFrame({"user_id": np.arange(n), **homes}), k=k), rng


def visits_of(near, rng, decay_km, *, each=3, habit=0.0):
    """Visits by the law of the estimator; shops differ, and with ``habit`` people have favourites of their own."""
    level = rng.normal(0, 0.5, len(near.stores))
    score = level[near.store] - near.distance / decay_km + habit * rng.normal(size=near.store.shape)
    chance = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    who = np.repeat(np.arange(len(near.users)), each)
    pick = (chance[who].cumsum(axis=1) > rng.random((who.size, 1))).argmax(axis=1)
    return pd.DataFrame({"user_id": who, "store_id": near.stores.ids[near.store[who, pick]]})


@pytest.mark.parametrize("habit", [0.0, 0.7])
def test_intervals_hold_the_true_decay(habit):
    """Where people have favourites the slope over all is a little flatter, and their visits are not independent."""
    hits, found = 0, []
    for seed in range(60):
        near, rng = nearby(seed)
        one = near.decay(visits_of(near, rng, 6.0, habit=habit))
        hits += one.low <= 6.0 <= one.high
        found.append(one.decay_km)
    assert hits >= (45 if habit else 53)
    assert np.median(found) == pytest.approx(6.0, rel=0.15 if habit else 0.05)


def test_two_shops_by_hand():
    """One in four goes 2 km farther: the odds are 3 to 1, and the decay is 2 / log 3."""
    shops = om.data.Shops.from_frame(
        pd.DataFrame({"store_id": ["a", "b"], "timezone": "UTC", "latitude": [0.0, 0.1], "longitude": 0.0})
    )
    homes = pd.DataFrame({"user_id": range(400), "latitude": [0.04, 0.06] * 200, "longitude": 0.0})
    near = shops.near(homes, k=2)
    farther = np.arange(400) // 2 % 4 == 0
    went = near.stores.ids[np.where(farther, near.store[:, 1], near.store[:, 0])]
    found = near.decay(pd.DataFrame({"user_id": near.users.ids, "store_id": went}))
    apart = near.distance[0, 1] - near.distance[0, 0]
    assert found.decay_km == pytest.approx(apart / np.log(3))
    error = np.sqrt(1 / (400 * 0.25 * 0.75)) / apart  # of a logit, per km
    assert found.low == pytest.approx(1 / (np.log(3) / apart + 1.96 * error), rel=0.01)
    assert repr(found).startswith("DistanceDecay(2.0 km (1.7 to 2.6), 400 visits of 400 people)")
    again = near.decay(pd.DataFrame({"user_id": near.users.ids, "store_id": went}).sample(frac=1.0, random_state=1))
    assert again.to_frame().equals(found.to_frame())


def test_distance_without_an_effect_is_refused():
    refused = 0
    for seed in range(40):
        near, rng = nearby(seed)
        try:
            near.decay(visits_of(near, rng, 1e9))
        except ParameterError:
            refused += 1
    assert refused >= 37  # 97.5 % of such worlds
    near, rng = nearby(0)
    away = visits_of(near, rng, -4.0)  # people go to the farther one
    with pytest.raises(
        ParameterError, match=r"no effect of distance is shown: visits change by -.* Leave decay_km= out, or give more"
    ):
        near.decay(away)


def test_too_few_people_are_refused():
    near, rng = nearby(0, n=29)
    few = visits_of(near, rng, 3.0, each=50)
    with pytest.raises(EmptyError, match=r"visits of 29 people .* least_people=30"):
        near.decay(few)
    assert near.decay(few, least_people=20).people == 29
    one, rng = nearby(0, k=1)
    with pytest.raises(EmptyError, match=r"visits of 0 people with two or more shops near"):
        one.decay(visits_of(one, rng, 3.0))


def test_visits_to_other_shops_are_counted_and_too_many_warned_of():
    near, rng = nearby(1, k=2)
    wide, _ = nearby(1, k=6)
    far = visits_of(wide, rng, 30.0)
    with pytest.warns(DataWarning, match=r"to none of the 2 nearest shops of a person"):
        found = near.decay(far, least_people=5)
    assert found.elsewhere + found.visits == len(far)
    strangers = pd.DataFrame({"user_id": [10_000], "store_id": ["s0"]})
    mostly = visits_of(near, rng, 4.0)
    assert near.decay(pd.concat([mostly, strangers])).elsewhere == 1


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"visits": pd.DataFrame({"user_id": [1]})}, SchemaError, "store_id"),
        ({"confidence": 1.0}, ParameterError, "confidence"),
        ({"least_people": 2}, ParameterError, "at least 5"),
    ],
)
def test_wrong_questions(how, error, words):
    near, rng = nearby(0, n=50)
    with pytest.raises(error, match=words):
        near.decay(**({"visits": visits_of(near, rng, 4.0)} | how))


def test_the_plan_takes_the_estimate():
    near, rng = nearby(2)
    found = near.decay(visits_of(near, rng, 5.0))
    at = pd.Timestamp("2025-06-01 09:00", tz="UTC")
    rows = {"user_id": range(5), "item_id": "tea", "channel": "push", "value": 1.0, "send_at": at}
    touches = om.planning.Candidates.from_frame(pd.DataFrame(rows)).with_shops(near, decay_km=found.decay_km)
    assert len(touches) == 15
