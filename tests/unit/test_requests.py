"""Requests: who asks, when, where, with what in the basket; and everything that is refused."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import IdKindError, OmnirecoError, ParameterError, SchemaError, UnknownIdError

WORLD = om.simulate(n_users=60, n_items=20, days=60, seed=1)
DATA = om.Dataset(
    om.EventLog.from_frame(WORLD.events),
    messages=om.MessageLog.from_frame(WORLD.messages),
    audience=om.Audience.from_frame(WORLD.users),
)
IDS = DATA.users.ids
MODEL = om.ItemKNN().fit(DATA)


def test_everybody_asks_once_at_the_end():
    asked = DATA.requests()
    assert asked.key == "user_id"
    assert asked.users.ids.tolist() == DATA.events.users.ids.tolist()
    assert (asked.at == DATA.end_us).all()
    assert repr(asked) == "Requests(60 of 60 users)"


def test_somebody_who_asks_twice_is_told_apart_by_number():
    asked = DATA.requests([IDS[3], IDS[1], IDS[3]], at=["2025-02-01", "2025-02-02", "2025-02-03"])
    assert asked.key == "request_id"
    assert asked.ids.ids.tolist() == [0, 1, 2]
    assert asked.to_frame()["user_id"].tolist() == [IDS[3], IDS[1], IDS[3]]
    recs = MODEL.recommend(asked, k=4)
    assert list(recs.to_frame().columns) == ["request_id", "item_id", "rank", "score"]
    assert recs.rows([2, 0]).users.ids.tolist() == [2, 0]
    assert asked.take(np.array([2, 0])).to_frame()["request_id"].tolist() == [2, 0]


@pytest.mark.parametrize(
    "at",
    [
        "2025-02-01",
        dt.date(2025, 2, 1),
        pd.Timestamp("2025-02-01 09:00", tz="Asia/Tokyo"),
        ["2025-02-01", dt.date(2025, 2, 1)],
        pd.DatetimeIndex(["2025-02-01", "2025-02-01"], tz="UTC"),
        pd.Series(pd.DatetimeIndex(["2025-02-01", "2025-02-01"], tz="UTC"), index=[7, 9]),
    ],
)
def test_instants_in_any_form(at):
    assert DATA.requests(IDS[:2], at=at).at.tolist() == [1_738_368_000_000_000] * 2


@pytest.mark.parametrize("at", ["2020-01-01", "2025-02-01", "2030-01-01"])
def test_only_what_happened_strictly_before_counts(at):
    asked = DATA.requests(IDS[:9], at=at)
    recs = MODEL.recommend(asked, k=5)
    if at == "2020-01-01":
        assert len({tuple(row) for row in recs.codes.tolist()}) == 1  # nobody has a past: what is popular
    cut = DATA.before(at)
    same = MODEL.recommend(cut.requests(IDS[:9], new_users=True), k=5)
    assert (same.codes == recs.codes).all()
    instant = pd.Timestamp(int(np.take(DATA.events.at, 200)), unit="us", tz="UTC")
    who = (
        IDS[DATA.events.user[200]] if DATA.users == DATA.events.users else DATA.events.users.ids[DATA.events.user[200]]
    )
    at_it, after = (
        om.BuyAgain(prior=0.0).fit(DATA).score(DATA.requests([who], at=moment), MODEL.items.ids).sum()
        for moment in (instant, instant + pd.Timedelta("1us"))
    )
    assert at_it < after


def test_labels_are_one_for_all_or_one_per_request():
    asked = DATA.requests(IDS[:3], channel=["app", None, "web"], context={"device": "phone", "store": [4, 4, 5]})
    frame = asked.to_frame()
    assert frame["channel"].fillna("-").tolist() == ["app", "-", "web"]
    assert frame["device"].tolist() == ["phone"] * 3
    assert frame["store"].tolist() == [4, 4, 5]


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: DATA.requests(IDS[:2], at=["2025-01-01"]), ParameterError, "at has 1 instants for 2 requests"),
        (lambda: DATA.requests(IDS[:2], at=[None, "2025-01-01"]), ParameterError, "at must be an instant.*Got None"),
        (lambda: DATA.requests(at=pd.NaT), ParameterError, "at must be an instant.*Got NaT"),
        (lambda: DATA.requests(at=pd.Timestamp("2025-02-01")), ParameterError, "has no time zone"),
        (lambda: DATA.requests(at=5), ParameterError, "must be an instant.*Got 5"),
        (lambda: DATA.requests(IDS[0]), ParameterError, r"user_id must be a list or column.*write \[id\]"),
        (lambda: DATA.requests("ann"), ParameterError, r"write \[id\]"),
        (lambda: DATA.requests(WORLD.users), ParameterError, "not a whole frame"),
        (lambda: DATA.requests(["ann"]), IdKindError, "can never match"),
        (lambda: DATA.requests(["ann"], new_users=True), IdKindError, "can never match"),
        (lambda: DATA.requests([10**9]), UnknownIdError, "1 of 1 people are in no part of the data.*new_users=True"),
        (lambda: DATA.requests([IDS[0]], new_users="yes"), ParameterError, "new_users must be True or False"),
        (lambda: DATA.requests([None, IDS[0]]), SchemaError, "missing in 1 row"),
        (lambda: DATA.requests(IDS[:2], channel=["app"]), ParameterError, "channel has 1 values for 2 requests"),
        (lambda: DATA.requests(IDS[:2], channel=3), ParameterError, "channel must be a name, or one per request"),
        (lambda: DATA.requests(IDS[:2], channel={"app": 1}), ParameterError, "channel must be a name"),
        (
            lambda: DATA.requests(IDS[:2], channel="app", context={"channel": "web"}),
            ParameterError,
            "the channel is given twice",
        ),
        (lambda: DATA.requests(IDS[:2], context=["device"]), ParameterError, "context must be a mapping"),
        (lambda: DATA.requests(IDS[:2], given=[["i01"]]), ParameterError, "given has 1 sets of items for 2 requests"),
        (lambda: DATA.requests(IDS[:2], exclude=["i01", "i02"]), ParameterError, "exclude holds one str"),
        (lambda: MODEL.recommend(DATA.requests(IDS[:1], given=[[1]]), k=2), IdKindError, "can never match"),
        (lambda: om.Requests.from_log(DATA.events).requests.on(WORLD.events), SchemaError, "takes a Dataset"),
        (lambda: om.Requests.from_log(DATA.events).requests.on(om.Dataset), SchemaError, "takes a Dataset"),
        (
            lambda: MODEL.recommend(om.Requests.from_log(DATA.events).requests, k=3),
            SchemaError,
            r"do not know whose pasts to read.*requests.on\(data\)",
        ),
        (
            lambda: MODEL.recommend(om.Dataset(audience=DATA.audience).requests(at="2025-02-01"), k=3),
            SchemaError,
            r"recommend needs events.*om.Dataset\(log, audience=people\)",
        ),
    ],
)
def test_refused(call, error, says):
    with pytest.raises(error, match=says) as caught:
        call()
    assert isinstance(caught.value, OmnirecoError)
    assert not any(f"'{user}'" in str(caught.value) for user in IDS)


def test_strangers_baskets_and_unknown_items():
    asked = DATA.requests(
        [10**9, IDS[0]], new_users=True, given=[["i01", "i01"], ["never seen"]], exclude=[[], ["i02"]]
    )
    recs = MODEL.recommend(asked, k=20)
    shown = recs.to_frame().groupby("user_id")["item_id"].apply(set)
    assert "i01" not in shown[10**9]
    assert "i02" not in shown[IDS[0]]
    popular = MODEL.recommend(DATA.requests([10**9], new_users=True), k=20)
    assert (popular.codes[0] != recs.codes[0]).any()  # one thing is known of this stranger: the basket
    plain = MODEL.recommend(DATA.requests([IDS[0]]), k=20)
    kept = [item for item in plain.to_frame()["item_id"] if item != "i02"]
    assert recs.to_frame().query("user_id == @IDS[0]")["item_id"].tolist() == kept


def test_nobody_asks():
    recs = MODEL.recommend(DATA.requests([]), k=3)
    assert (len(recs), recs.k) == (0, 3)
    assert MODEL.score(DATA.requests([]), MODEL.items.ids).shape == (0, 20)


def test_requests_of_a_frame_are_asked_of_any_dataset():
    frame = pd.DataFrame(
        {"user_id": IDS[:2], "timestamp": pd.Timestamp("2025-02-01", tz="UTC"), "channel": ["app", None]}
    )
    asked = om.Requests.from_frame(frame, context=["channel"])
    by_hand = DATA.requests(IDS[:2], at="2025-02-01", channel=["app", None])
    assert (MODEL.recommend(asked.on(DATA), k=5).codes == MODEL.recommend(by_hand, k=5).codes).all()
    named = om.Requests.from_frame(frame.assign(request_id=["r1", "r2"]), context=["channel"]).on(DATA)
    assert MODEL.recommend(named, k=2).key == "request_id"


@pytest.mark.parametrize(
    "parts",
    [
        {"users": set(IDS[:2])},
        {"users": dict.fromkeys(IDS[:2])},
        {"at": {"2025-02-01", "2025-02-02"}},
        {"context": {"device": {"phone", "desk"}}},
        {"context": {"device": {"phone": 1, "desk": 2}}},
        {"given": {("i01",), ("i02",)}},
        {"exclude": frozenset([("i01",), ("i02",)])},
    ],
)
def test_what_has_no_order_belongs_to_no_request(parts):
    with pytest.raises(ParameterError, match=r"must stand in an order|must be a list of lists"):
        DATA.requests(**({"users": IDS[:2]} | parts))


STEPS = pd.DataFrame(
    {"user_id": [1] * 420 + [2] * 30, "item_id": [f"i{n:03d}" for n in (*range(420), *range(400, 430))],
     "channel": "web", "event": "view",
     "timestamp": pd.date_range("2024-01-01", periods=450, freq="1D", tz="UTC")}
)  # fmt: skip
FADING = {
    "steps": om.models.NextItem(),
    "days": om.ItemKNN(weights=om.Weights(half_life="1D")),
    "both in a blend": om.Blend(
        models={"knn": om.ItemKNN(weights=om.Weights(half_life="1D")), "next": om.models.NextItem()}
    ),
}


@pytest.mark.parametrize("name", FADING)
def test_what_has_faded_to_nothing_has_been_had_all_the_same(name):
    """149 half-lives make a weight of 0 in float32: the history forgot, and recommended again what was bought."""
    data = om.Dataset(om.EventLog.from_frame(STEPS, timestamp="instant"))
    model = FADING[name].fit(data)
    if name == "days":
        short = om.models.WhatNext(model=model, half_life="1D").recommend(data.requests([1]), k=430).to_frame()
        assert set(short["item_id"]) <= {f"i{n:03d}" for n in range(420, 430)}
    for at in (None, "2026-01-01"):
        lists = model.recommend(data.requests([1], at=at), k=len(model.items)).to_frame()
        assert set(lists["item_id"]) <= {f"i{n:03d}" for n in range(420, 430)}
        again = model.recommend(data.requests([1], at=at), k=len(model.items), exclude_seen=False)
        assert len(again.to_frame()) > 400
