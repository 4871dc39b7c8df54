"""Offers: price, reward, validity; and touches that carry them."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError, SchemaError
from omnireco.planning import Offers

AT = pd.Timestamp("2025-06-02 10:00", tz="UTC")
FRAME = pd.DataFrame(
    {
        "offer_id": ["plain", "tea half price", "over"],
        "item_id": [None, "tea", None],
        "price": [np.nan, 2.0, 1.0],
        "reward_cost": [0.0, 2.0, 0.0],
        "lift": [1.0, 2.0, 5.0],
        "valid_until": [pd.NaT, AT + pd.Timedelta("1D"), AT],
    }
)


def touches(**more):
    frame = pd.DataFrame(
        {"user_id": [1, 2], "item_id": ["tea", "cup"], "channel": "push", "send_at": AT, "value": [4.0, 3.0]}
    )
    return om.planning.Candidates.from_frame(frame.assign(probability=0.25, **more))


def test_each_touch_carries_what_is_valid_and_about_its_item():
    found = touches().with_offers(Offers.from_frame(FRAME)).to_frame()
    assert found[["item_id", "offer_id"]].values.tolist() == [
        ["tea", "plain"],
        ["tea", "tea half price"],
        ["cup", "plain"],
    ]
    half = found[found.offer_id == "tea half price"].iloc[0]
    assert (half["probability"], half["reward_cost"]) == (0.5, 1.0)  # twice as probable; half of them get 2
    assert half["value"] == pytest.approx(4.0 * 2 - 1.0)
    assert half["price"] == 2.0


def test_terms_grow_with_the_lift_and_costs_stay():
    worth = om.planning.TouchValue(margin=10.0, channel_cost=0.5)
    frame = touches().to_frame()[["user_id", "item_id", "channel", "send_at", "probability"]]
    found = om.planning.Candidates.from_frame(frame, worth=worth).with_offers(Offers.from_frame(FRAME)).to_frame()
    half = found[found.offer_id == "tea half price"].iloc[0]
    assert half["value"] == pytest.approx(0.5 * 10 - 0.5 - 0.5 * 2.0)
    costs = found[["channel_cost", "reward_cost", "fatigue_cost", "unsubscribe_cost"]].sum(axis=1)
    np.testing.assert_allclose(found["value"], found["increment"] * found["margin"] - costs)


def test_one_of_the_offers_is_sent_and_nothing_at_all_may_be_one():
    found = touches().with_offers(Offers.from_frame(FRAME), plain=True)
    assert found.to_frame()["offer_id"].isna().sum() == 2
    sent = om.plan(found).to_frame()
    assert sent["user_id"].tolist() == [1, 2]
    assert sent["offer_id"].tolist()[0] == "tea half price"


def test_the_frame_comes_back():
    offers = Offers.from_frame(FRAME)
    pd.testing.assert_frame_equal(Offers.from_frame(offers.to_frame()).to_frame(), offers.to_frame())


def test_a_reward_needs_a_probability():
    frame = touches().to_frame().drop(columns=["probability", "send_at_local"])
    with pytest.raises(ParameterError, match="a reward is paid on a response, and these touches have no probability"):
        om.planning.Candidates.from_frame(frame).with_offers(Offers.from_frame(FRAME))


@pytest.mark.parametrize(
    ("frame", "match"),
    [
        (pd.concat([FRAME, FRAME.iloc[[0]]]), "offer_id is listed again in 1 row"),
        (FRAME.assign(lift=-1.0), "lift is negative"),
        (FRAME.assign(reward_cost=np.nan), "reward_cost is missing"),
        (FRAME.assign(valid_from=AT + pd.Timedelta("9D")), "valid_until is not after valid_from in 2 rows"),
    ],
)
def test_refuses(frame, match):
    with pytest.raises(SchemaError, match=match):
        Offers.from_frame(frame)


class TestShops:
    SHOPS = om.data.Shops.from_frame(
        pd.DataFrame({"store_id": ["a", "b"], "timezone": "UTC", "latitude": [50.0, 50.1], "longitude": 8.0}),
        hours={"a": {"daily": "09:00-20:00"}, "b": {"daily": "09:00-20:00"}},
    )
    NEAR = SHOPS.near(pd.DataFrame({"user_id": [1, 2], "latitude": [50.0, 50.01], "longitude": 8.0}), k=2)

    def test_the_nearest_that_can_still_serve_is_named(self):
        frame = pd.DataFrame(
            {"user_id": [1, 2, 3], "item_id": "tea", "channel": "push", "send_at": AT, "value": [5.0, 4.0, 9.0]}
        )
        found = om.planning.Candidates.from_frame(frame.assign(probability=1.0)).with_shops(
            self.NEAR, eligibility=[om.planning.OpeningHours(self.SHOPS)], decay_km=30.0
        )
        assert found.left_out["no shop near"] == 1  # nobody knows where the third lives
        levels = pd.DataFrame({"item_id": "tea", "store_id": ["a", "b"], "pieces": [1, 5]})
        stock = om.planning.Stock(om.data.StockLevels.from_frame(levels))
        sent = om.plan(found, constraints=[stock]).to_frame()
        assert dict(sent[["user_id", "store_id"]].values.tolist()) == {1: "a", 2: "b"}
        assert om.plan(found).to_frame()["store_id"].tolist() == ["a", "a"]

    def test_other_channels_name_no_shop(self):
        frame = pd.DataFrame(
            {"user_id": [1, 1], "item_id": ["tea", "cup"], "channel": ["push", "email"], "send_at": AT, "value": 1.0}
        )
        found = om.planning.Candidates.from_frame(frame).with_shops(self.NEAR, channels="push").to_frame()
        assert found["store_id"].isna().tolist().count(True) == 1
        assert len(found) == 3


class TestColumns:
    def test_by_person_item_and_channel(self):
        frame = pd.DataFrame({"channel": ["push"], "complaint": [0.001], "campaign_id": [7]})
        found = touches().with_columns(frame).to_frame()
        assert found["complaint"].tolist() == [0.001, 0.001]
        assert found["campaign_id"].tolist() == [7, 7]
        some = touches().with_columns(pd.DataFrame({"user_id": [2], "kind": ["nudge"]})).to_frame()
        assert [one if isinstance(one, str) else None for one in some["kind"]] == [None, "nudge"]

    @pytest.mark.parametrize(
        ("frame", "match"),
        [
            (pd.DataFrame({"user_id": [1]}), "and a further column"),
            (pd.DataFrame({"kind": ["a"]}), "needs user_id, item_id or channel"),
            (pd.DataFrame({"user_id": [1, 1], "kind": ["a", "b"]}), "user_id are listed again in 1 row"),
            (pd.DataFrame({"user_id": [1], "value": [9.0]}), "value is what candidates are made of"),
            (pd.DataFrame({"user_id": ["1"], "kind": ["a"]}), "integers|strings|text"),
        ],
    )
    def test_refuses(self, frame, match):
        with pytest.raises(SchemaError, match=match):
            touches().with_columns(frame)


def test_sets_with_offers_are_joined_without_losing_one():
    offers = Offers.from_frame(FRAME)
    one = touches().with_offers(offers)
    more = touches(store_id="a")
    both = om.planning.Candidates.concat([one, more])
    assert len(both) == len(one) + len(more)
    assert len(om.planning.Candidates.concat([one, one])) == len(one)
    assert {"price", "points", "reward_cost"} <= set(both.to_frame().columns)


@pytest.mark.parametrize("at", [-1, 20_250_601, 1_748_736_000, 1_748_736_000_123])
@pytest.mark.parametrize("name", ["valid_from", "valid_until"])
def test_a_window_in_another_unit_is_refused(at, name):
    """A code, a date as a number, seconds and milliseconds were read as microseconds of January 1970."""
    offers = om.planning.Offers.from_frame(pd.DataFrame({"offer_id": ["a", "b"]}))
    goods = om.Catalog.from_frame(pd.DataFrame({"item_id": ["a", "b"]}))
    for value in (offers, goods):
        with pytest.raises(om.errors.SchemaError, match=f"{name} counts microseconds since 1970 in UTC, and is {at}"):
            dataclasses.replace(value, **{name: np.array([at, at])})
        for wrong in (at, np.int64(at), True, "2025-06-01"):
            with pytest.raises(om.errors.SchemaError, match=name):
                dataclasses.replace(value, **{name: wrong})
    ever = pd.Timestamp("1970-01-01", tz="Europe/Berlin")
    assert len(om.Catalog.from_frame(pd.DataFrame({"item_id": ["a"], "valid_from": [ever]}))) == 1


def test_a_decay_of_nothing_leaves_only_the_shop_next_door():
    shops = om.data.Shops.from_frame(
        pd.DataFrame({"store_id": ["a", "b"], "timezone": "UTC", "latitude": [52.5, 52.6], "longitude": 13.4})
    )
    nearby = shops.near(pd.DataFrame({"user_id": [1], "latitude": [52.5], "longitude": [13.4]}), k=2)
    tea = pd.DataFrame({"user_id": [1], "item_id": "tea", "channel": "push", "value": 2.0})
    tea["send_at"] = pd.Timestamp("2025-06-01 09:00", tz="UTC")
    found = om.planning.Candidates.from_frame(tea).with_shops(nearby, decay_km=5e-324)
    assert found.to_frame()[["store_id", "value"]].values.tolist() == [["a", 2.0], ["b", 0.0]]


def test_a_lift_may_differ_by_segment():
    """Each segment's touches get their own offers; joined, one plan keeps one offer per person."""
    at = pd.to_datetime("2025-06-01 09:00", utc=True)

    def touches(users, lift):
        rows = {"user_id": users, "item_id": "tea", "channel": "push", "value": 2.0, "probability": 0.2, "send_at": at}
        offers = pd.DataFrame({"offer_id": ["none", "cake"], "lift": [1.0, lift], "reward_cost": [0.0, 0.5]})
        found = om.planning.Candidates.from_frame(pd.DataFrame(rows))
        return found.with_offers(om.planning.Offers.from_frame(offers))

    both = om.planning.Candidates.concat([touches([1, 2], 1.02), touches([3, 4], 2.0)])
    sent = om.plan(both, constraints=[om.planning.OneOffer()]).to_frame().set_index("user_id")
    assert sent["offer_id"].to_dict() == {1: "none", 2: "none", 3: "cake", 4: "cake"}
    assert sent["value"].to_dict() == pytest.approx({1: 2.0, 2: 2.0, 3: 3.8, 4: 3.8})
