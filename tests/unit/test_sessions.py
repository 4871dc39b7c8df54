"""Sessions like this one, and the last minutes against the long run."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import EmptyError, OmnirecoError, ParameterError, SchemaError

START = pd.Timestamp("2025-03-01", tz="UTC")


def log_of(rows):
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "minute"])
    at = START + pd.to_timedelta(frame.pop("minute"), unit="min")
    return om.EventLog.from_frame(frame.assign(channel="web", event="view", timestamp=at))


def two_tastes(n=80, seed=0):
    """People like tents or teas, ten of each."""
    draw = np.random.default_rng(seed)
    rows = []
    for person in range(n):
        kind = "tent" if person % 2 else "tea"
        rows += [
            (person, f"{kind}{i}", int(m))
            for i, m in zip(draw.choice(10, 5, False), draw.integers(0, 60 * 24 * 20, 5), strict=True)
        ]
    return log_of(rows)


LOG = two_tastes()
DATA = om.Dataset(LOG)
MODELS = {"als": om.ALS(factors=4, seed=1).fit(LOG.matrix()), "ease": om.EASE(regularization=5.0).fit(LOG.matrix())}


def test_similar_sessions_speak_and_old_ones_fall_silent():
    rows = [
        (1, "pan", 0),
        (1, "lid", 5),
        (2, "pan", 60 * 24 * 90),
        (2, "pot", 60 * 24 * 90 + 5),
        (3, "cup", 60 * 24 * 91),
    ]
    log = log_of(rows)
    asked = om.Interactions.from_frame(pd.DataFrame({"user_id": ["me"], "item_id": ["pan"]}))
    model = om.models.SessionKNN(half_life="30D").fit(log)
    assert model.recommend(asked, k=2).to_frame()["item_id"].tolist() == ["pot", "lid"]
    score = model.score(asked, ["pot", "lid"])[0]
    assert score[1] / score[0] == pytest.approx(2.0**-3, rel=1e-3)
    flat = om.models.SessionKNN(half_life=None).fit(log).score(asked, ["pot", "lid"])[0]
    assert flat[0] == flat[1]
    assert om.models.SessionKNN().fit(log).people.shape[0] == 3


def test_a_pause_ends_a_session():
    log = log_of([(1, "pan", 0), (1, "lid", 29), (1, "cup", 59)])
    assert om.models.SessionKNN(gap="30min").fit(log).people.shape[0] == 2
    assert om.models.SessionKNN(gap="31min").fit(log).people.shape[0] == 1


def test_bad_sessions(tmp_path):
    with pytest.raises(ParameterError, match="neighbors"):
        om.models.SessionKNN(neighbors=0)
    with pytest.raises(EmptyError, match="no events"):
        om.models.SessionKNN().fit(LOG._rows(np.arange(0)))
    model = om.models.SessionKNN().fit(LOG)
    again = om.load(om.save(model, tmp_path / "sessions.omnireco"))
    x = model.inputs(LOG).take(np.arange(4))
    assert (again.recommend(x, k=3).codes == model.recommend(x, k=3).codes).all()


@pytest.mark.parametrize("name", MODELS)
def test_fresh_events_move_the_answer_and_fade(name):
    now = om.models.WhatNext(model=MODELS[name])
    tea = [f"tea{i}" for i in range(4)]
    long = ["5D"] * 4
    kinds = []
    for minutes in (0.1, 20, 600):
        items, scores = now.one(
            [*tea, "tent1", "tent2"], age=[*long, f"{minutes}min", f"{minutes + 1}min"], k=10, exclude_seen=True
        )
        assert (np.diff(scores) <= 0).all()
        kinds.append(np.mean([item.startswith("tent") for item in items[:4]]))
    assert kinds[0] >= kinds[-1]
    assert kinds[-1] < 1
    alone, _ = now.one(tea, age=long, k=3)
    assert all(item.startswith("tea") for item in alone)


@pytest.mark.parametrize("name", MODELS)
def test_one_person_gets_what_the_batch_gives(name):
    now = om.models.WhatNext(model=MODELS[name])
    at = pd.Timestamp(LOG.end) + pd.Timedelta("3min")
    batch = now.recommend(DATA.requests(at=at), k=5)
    frame = LOG.to_frame()
    for row in (0, 7, 33):
        mine = frame[frame["user_id"] == LOG.users.ids[row]]
        ages = [(at - t).to_pytimedelta() for t in mine["timestamp"]]
        items, scores = now.one(mine["item_id"].tolist(), age=ages, k=5)
        assert items.tolist() == batch.items.ids[batch.codes[row]].tolist()
        np.testing.assert_allclose(scores, batch.scores[row], rtol=1e-4, atol=1e-6)


def test_only_the_past_counts_and_strangers_get_the_popular():
    now = om.models.WhatNext(model=MODELS["als"])
    cold = now.recommend(DATA.requests(at=START), k=4)
    assert len({tuple(row) for row in cold.codes.tolist()}) == 1
    some = now.recommend(DATA.requests(), k=4, eligible=["tea1", "tent3"])
    assert set(some.to_frame()["item_id"]) == {"tea1", "tent3"}
    popular = [LOG.items.ids[code] for code in cold.codes[0]]
    assert now.one(["unknown"], age=[3], k=4)[0].tolist() == popular
    groups = ["tent" if person % 2 else "tea" for person in LOG.users.ids]
    options = {kind: [f"{kind}1", f"{kind}2"] for kind in ("tent", "tea")}
    for name, model in MODELS.items():
        for moment in (START, START + pd.Timedelta("5D"), LOG.end):  # nobody has a past, some have, all have
            frame = (
                om.models.WhatNext(model=model)
                .recommend(DATA.requests(at=moment), k=2, eligible=(groups, options))
                .to_frame()
            )
            kinds = frame["item_id"].str.rstrip("0123456789").tolist()
            assert kinds == [groups[row] for row in LOG.users.codes(frame["user_id"])], name
    with pytest.raises(ParameterError, match="mask of shape"):
        now.recommend(DATA.requests(), k=2, eligible=[True, False])
    assert now.one([], age=[], k=4)[0].tolist() == popular


def test_bad_input():
    with pytest.raises(ParameterError, match="fitted model"):
        om.models.WhatNext(model=om.ALS())
    now = om.models.WhatNext(model=MODELS["als"])
    with pytest.raises(SchemaError, match="one age per item"):
        now.one(["tea1"], age=[], k=1)
    with pytest.raises(ParameterError, match="age"):
        now.one(["tea1"], age=[-3], k=1)


@pytest.mark.parametrize("name", MODELS)
def test_what_was_just_seen_or_disliked_or_is_not_eligible_is_not_shown(name):
    now = om.models.WhatNext(model=MODELS[name])
    seen, disliked = ["tea1", "tea2"], ["tea3", "tent9"]
    items, _ = now.one(seen, age=["5s", "20s"], k=100, disliked=disliked)
    assert set(items) == set(LOG.items.ids) - {*seen, *disliked}
    items, _ = now.one(seen, age=["5s", "20s"], k=100, exclude_seen=False)
    assert set(seen) <= set(items)
    items, _ = now.one(seen, age=["5s", "20s"], k=5, eligible=["tea1", "tent3", "tent4"])
    assert set(items) == {"tent3", "tent4"}
    items, _ = now.one(["unknown"], age=[0], k=5, eligible=["tent3"], disliked=["unknown too"])
    assert items.tolist() == ["tent3"]
    only = now.one(disliked, age=["5s", "5s"], k=3, disliked=disliked)[0].tolist()  # nothing is left of the past
    assert only == now.one([], age=[], k=3, disliked=disliked)[0].tolist()


def test_an_item_disliked_in_the_log_never_comes_back():
    user, at = LOG.users.ids[0], pd.Timestamp(LOG.end) - pd.Timedelta("1min")
    no = {"user_id": user, "item_id": "tea5", "channel": "app", "event": "dislike", "timestamp": at}
    log = om.EventLog.from_frame(pd.concat([LOG.to_frame(), pd.DataFrame([no])], ignore_index=True))
    for exclude_seen in (True, False):
        lists = (
            om.models.WhatNext(model=MODELS["als"])
            .recommend(om.Dataset(log).requests(), k=30, exclude_seen=exclude_seen)
            .to_frame()
        )
        assert "tea5" not in set(lists.loc[lists["user_id"] == user, "item_id"])
    asked = om.Dataset(log).requests(at=at)
    early = om.models.WhatNext(model=MODELS["als"]).recommend(asked, k=30, exclude_seen=False).to_frame()
    assert "tea5" in set(early.loc[early["user_id"] == user, "item_id"])  # not said yet


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"items": "tea1"}, "items must be a list. Got one str"),
        ({"items": None}, "items must be a list. Got one NoneType"),
        ({"age": dt.timedelta(seconds=3)}, "age must be a list. Got one timedelta"),
        ({"age": [dt.datetime(2025, 1, 1, tzinfo=dt.UTC)]}, "must be a duration"),
        ({"age": [None]}, "must be a duration"),
        ({"age": [float("nan")]}, "0 seconds or more"),
        ({"disliked": "tea1"}, "disliked must be a list"),
        ({"exclude_seen": "yes"}, "exclude_seen must be True or False"),
        ({"k": 2**31}, "k must be an integer in the range"),
        ({"items": [1]}, "ids given are integers, those known here are strings"),
        ({"eligible": ["no such item"]}, "unknown here"),
    ],
)
def test_one_person_asked_about_in_a_wrong_way(arguments, message):
    with pytest.raises(OmnirecoError, match=message):
        om.models.WhatNext(model=MODELS["als"]).one(**({"items": ["tea1"], "age": ["5s"], "k": 3} | arguments))


@pytest.mark.parametrize("age", [dt.timedelta(0), pd.Timedelta(0), np.timedelta64(0, "s"), 0, np.float32(0), "1us"])
def test_now_is_an_age(age):
    items, _ = om.models.WhatNext(model=MODELS["als"]).one(["tea1"], age=[age], k=3)
    assert items.size == 3


@pytest.mark.parametrize("name", MODELS)
def test_requests_of_one_person_at_several_instants(name):
    now = om.models.WhatNext(model=MODELS[name])
    who, moments = LOG.users.ids[7], [START, START + pd.Timedelta("4D"), LOG.end]
    many = now.recommend(DATA.requests([who] * 3, at=moments), k=6)
    assert many.key == "request_id"
    for row, moment in enumerate(moments):
        alone = now.recommend(DATA.requests([who], at=moment), k=6)
        assert (alone.codes[0] == many.codes[row]).all()
        np.testing.assert_allclose(alone.scores[0], many.scores[row], rtol=1e-6)
        cut = now.recommend(om.Dataset(LOG).before(moment).requests([who], at=moment, new_users=True), k=6)
        assert (cut.codes == alone.codes).all()


@pytest.mark.parametrize("name", MODELS)
def test_a_basket_moves_the_answer_and_is_not_shown(name):
    now = om.models.WhatNext(model=MODELS[name])
    asked = DATA.requests([501, 502], new_users=True, given=[["tea1"], ["tent1"]], exclude=[["tea2"], []])
    recs = now.recommend(asked, k=9).to_frame()
    kinds = recs.groupby("user_id")["item_id"].apply(lambda items: items.str.rstrip("0123456789").mode()[0])
    assert kinds.tolist() == ["tea", "tent"]
    assert not {"tea1", "tea2"} & set(recs.loc[recs["user_id"] == 501, "item_id"])
    assert "tent1" not in set(recs.loc[recs["user_id"] == 502, "item_id"])


def test_what_next_names_the_new_line():
    now = om.models.WhatNext(model=MODELS["als"])
    with pytest.raises(
        TypeError, match=r"Write om.models.WhatNext\(model=als\).recommend\(data.requests\(at=now\), k=10\)"
    ):
        now.recommend(LOG, at=LOG.end, k=3)
    with pytest.raises(SchemaError, match=r"takes Requests. Got EventLog"):
        now.recommend(LOG, k=3)
    with pytest.raises(SchemaError, match="have no Dataset to read histories from"):
        now.recommend(om.Requests.from_log(LOG).requests, k=3)
    log = om.EventLog.from_frame(om.simulate(n_users=40, n_items=12, seed=1).events)
    with pytest.raises(ParameterError, match="reads events by type"):
        om.models.WhatNext(model=om.models.TypedEASE().fit(log))
