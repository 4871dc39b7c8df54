"""Every term of a value, by hand, and what is not known."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError, SchemaError
from omnireco.planning import TouchValue

AT = pd.Timestamp("2025-06-02 10:00", tz="UTC")
PEOPLE = om.Audience.from_frame(
    pd.DataFrame({"user_id": [1, 2], "timezone": "UTC", "consent_sms": True, "consent_email": True})
)
LISTS = om.Recommendations.from_frame(
    pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["tea", "cup", "tea"], "rank": [1, 2, 1]})
)
GOODS = om.Catalog.from_frame(pd.DataFrame({"item_id": ["tea", "cup"], "margin": [10.0, 4.0]}))


class Even:
    def slot_probability(self, audience, rows, channel, at_us):
        return np.full((len(rows), len(at_us)), 0.2)


class Adds(Even):
    def slot_increment(self, audience, rows, channel, at_us):
        return np.full((len(rows), len(at_us)), 0.05)


class Tired:
    def factor(self, user_ids, channel, at_us):
        return np.full((len(user_ids), len(at_us)), 0.5)

    def cost(self, user_ids, channel):
        return np.full(len(user_ids), 0.01)


def made(value=None, timing=None, channels=("sms", "email"), catalog=GOODS, n_items=3):
    data = om.Dataset(audience=PEOPLE, catalog=catalog)
    limits = om.planning.PerPerson(n_slots=1, n_items=n_items)
    week = om.slots("2025-06-02", days=1, every="12h")
    return om.candidates(LISTS, data, timing or Even(), week, channels=list(channels), value=value, per_person=limits)


def row(found, user=1, item="tea", channel="sms"):
    frame = found.to_frame()
    return frame[(frame.user_id == user) & (frame.item_id == item) & (frame.channel == channel)].iloc[0]


def test_every_term_is_a_column_and_they_make_the_value():
    worth = om.data.UserAmounts.from_frame(pd.DataFrame({"user_id": [1, 2], "amount": [50.0, 100.0]}))
    value = TouchValue(
        channel_cost={"sms": 0.07, "email": 0.01},
        reward_cost={"tea": 0.2},
        fatigue=Tired(),
        unsubscribe_risk={"sms": 0.001, "email": 0.0},
        lifetime_value=worth,
    )
    found = made(value, Adds())
    one = row(found)
    assert one["increment"] == pytest.approx(0.05 * 0.5)  # fatigue halves it
    assert one["margin"] == 10.0
    assert one["channel_cost"] == 0.07
    assert one["reward_cost"] == pytest.approx(0.2 * 0.5 * 0.2)  # paid to all who respond
    assert one["fatigue_cost"] == pytest.approx(0.01 * 10.0)
    assert one["unsubscribe_cost"] == pytest.approx(0.001 * 50.0)
    assert "cup" not in set(found.to_frame()["item_id"])  # 0.025 x 4 / log2(3), less costs, is below 0
    frame = found.to_frame()
    costs = frame[["channel_cost", "reward_cost", "fatigue_cost", "unsubscribe_cost"]].sum(axis=1)
    np.testing.assert_allclose(frame["value"], frame["increment"] * frame["margin"] - costs)
    assert (frame["value"] > 0).all()


def test_without_a_value_nothing_costs_anything():
    found = made()
    assert row(found)["value"] == pytest.approx(2.0)
    assert dict(found.terms) == {}
    assert dict(made(TouchValue()).terms)["channel_cost"].tolist() == [0.0] * len(found)
    assert made(TouchValue()).value.tolist() == found.value.tolist()
    assert made(timing=Adds()).touches.increment.max() == 0.05


def test_what_a_rule_counts_by_stands_on_the_touches():
    seen = {}

    class Looks(om.planning.Eligibility):
        def mask(self, touches):
            seen.update(value=touches.value, probability=touches.probability, increment=touches.increment)
            return np.ones(len(touches), np.bool_)

    data = om.Dataset(audience=PEOPLE, catalog=GOODS)
    om.candidates(LISTS, data, Adds(), om.slots("2025-06-02", days=1), channels="sms", eligibility=[Looks()])
    assert seen["value"].size == seen["probability"].size == seen["increment"].size > 0
    assert set(np.round(seen["probability"], 6)) == {0.2}
    found = made()
    assert found.touches.value is not None
    np.testing.assert_array_equal(found.touches.number("value"), found.value)
    assert np.isnan(found.touches.number("weather")).all()


def test_a_margin_of_ones_own_and_items_without_one():
    found = made(TouchValue(margin={"cup": 100.0}))
    assert set(found.to_frame()["item_id"]) == {"cup"}
    assert found.left_out["no margin"] > 0
    assert row(made(TouchValue(margin=3.0)))["margin"] == 3.0


def test_a_worth_that_is_not_known_is_no_message_where_there_is_a_risk():
    worth = om.data.UserAmounts.from_frame(pd.DataFrame({"user_id": [2], "amount": [1.0]}))
    found = made(TouchValue(unsubscribe_risk={"sms": 0.001, "email": 0.0}, lifetime_value=worth))
    assert {tuple(one) for one in found.to_frame()[["user_id", "channel"]].values} == {
        (1, "email"),
        (2, "email"),
        (2, "sms"),
    }
    assert found.left_out["no lifetime value"] > 0


def test_values_of_a_frame():
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": "tea", "channel": "sms", "send_at": AT})
    frame = frame.assign(probability=[0.2, 0.1], increment=[0.1, np.nan])
    found = om.planning.Candidates.from_frame(
        frame, om.Dataset(audience=PEOPLE, catalog=GOODS), worth=TouchValue(channel_cost=0.07, reward_cost=1.0)
    )
    assert found.value.tolist() == [pytest.approx(0.1 * 10 - 0.07 - 0.2)]
    assert found.left_out["no value known"] == 1
    again = om.planning.Candidates.from_frame(found.to_frame().drop(columns="send_at_local"))
    assert again.to_frame().columns.tolist() == found.to_frame().columns.tolist()
    with pytest.raises(ParameterError, match="the frame has a column value, and worth= makes one"):
        om.planning.Candidates.from_frame(frame.assign(value=1.0), worth=TouchValue())
    with pytest.raises(ParameterError, match="of the column increment, or probability"):
        om.planning.Candidates.from_frame(frame.drop(columns=["probability", "increment"]), worth=TouchValue())


def test_lists_of_their_own_length_and_creatives_of_their_own_by_channel():
    found = made(n_items={"sms": 1, "email": 2}).to_frame()
    assert found[found.channel == "sms"].groupby("user_id")["item_id"].nunique().max() == 1
    assert found[(found.channel == "email") & (found.user_id == 1)]["item_id"].nunique() == 2
    with pytest.raises(ParameterError, match=r"n_items, which must name every channel: 'email'"):
        made(n_items={"sms": 1})


def test_creatives_of_their_own_by_channel():
    def chosen(name):
        one = (
            om.data.Vocabulary.from_ids([1, 2]),
            om.data.Vocabulary.from_ids(["tea"]),
            om.data.Vocabulary.from_ids([name]),
        )
        codes = np.array([0, 1], np.int32), np.zeros(2, np.int32), np.zeros(2, np.int32)
        return om.choices.CreativeChoices(*one, *codes, np.full(2, 0.5), np.full(2, 0.5))

    data, day = om.Dataset(audience=PEOPLE, catalog=GOODS), om.slots("2025-06-02", days=1, every="12h")
    pictures = {"sms": chosen("a line"), "email": chosen("a picture")}
    found = om.candidates(LISTS, data, Even(), day, channels=["sms", "email"], creatives=pictures).to_frame()
    tea = found[found.item_id == "tea"]
    assert set(tea[tea.channel == "sms"]["creative_id"]) == {"a line"}
    assert set(tea[tea.channel == "email"]["creative_id"]) == {"a picture"}
    assert found[found.item_id == "cup"]["creative_id"].isna().all()
    with pytest.raises(ParameterError, match="creatives: channels: 'fax' is a name that nothing here has"):
        om.candidates(LISTS, data, Even(), day, channels="sms", creatives={"fax": chosen("a")})


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"channel_cost": -1}, "channel_cost must be a number 0 or greater|channel_cost"),
        ({"channel_cost": {"sms": np.nan}}, "channel_cost"),
        ({"unsubscribe_risk": 1.5}, "unsubscribe_risk"),
        ({"lifetime_value": "much"}, "lifetime_value"),
        ({"fatigue": 3}, "fatigue must have a verb factor"),
        ({"margin": "catalogue"}, "margin"),
    ],
)
def test_refuses(wrong, match):
    with pytest.raises(ParameterError, match=match):
        TouchValue(**wrong)


def test_a_channel_without_a_cost_is_not_free():
    with pytest.raises(ParameterError, match=r"channel_cost \(of every channel\): 'email' is a name"):
        made(TouchValue(channel_cost={"sms": 0.07}))


@pytest.mark.parametrize("name", ["channel_cost", "reward_cost", "unsubscribe_risk", "lifetime_value"])
@pytest.mark.parametrize("bad", [None, -1.0, -5e-324, np.nan, np.inf, True, "1", [0.1], np.array([0.1, 0.2]), int])
def test_a_term_is_one_number_that_can_be(name, bad):
    """None for a cost made every value unknown, and the plan empty, in silence."""
    with pytest.raises(ParameterError, match=f"TouchValue: {name} must be"):
        TouchValue(**{name: bad})
    if name != "lifetime_value":
        with pytest.raises(ParameterError, match=name):
            TouchValue(**{name: {"sms": bad}})


@pytest.mark.parametrize("risk", [1.0000001, {"sms": 0.1, "email": 2.0}, {1: 0.1}, {None: 0.1}])
def test_a_risk_is_a_probability_by_channel(risk):
    with pytest.raises(ParameterError, match="unsubscribe_risk"):
        TouchValue(unsubscribe_risk=risk)


@pytest.mark.parametrize("name", ["margin", "reward_cost"])
@pytest.mark.parametrize("keys", [{"tee": 1.0}, {1: 1.0, 2: 3.0}])
def test_a_mapping_that_names_no_item_is_refused(name, keys):
    """Rewards under other names would be free, and margins under other names nobody's."""
    with pytest.raises(ParameterError, match=f"{name} names none of the 2 items"):
        made(TouchValue(**{name: keys}))
    frame = pd.DataFrame({"user_id": [1], "item_id": "tea", "channel": "sms", "send_at": AT, "probability": 0.1})
    with pytest.raises(ParameterError, match=f"{name} names none of the 1 item "):
        om.planning.Candidates.from_frame(frame, worth=TouchValue(**{name: keys}))


def test_a_loss_does_not_become_a_gain_by_fatigue():
    """Later responses at a negative margin are not saved by one more message."""
    assert len(made(TouchValue(margin=-1.0, fatigue=Tired()))) == 0


def test_costs_beyond_every_number_are_not_sent():
    value = TouchValue(channel_cost=1e308, unsubscribe_risk=1.0, lifetime_value=1e308)
    assert len(made(value)) == 0


@pytest.mark.parametrize(
    ("name", "bad"),
    [("channel_cost", -0.1), ("reward_cost", -1e308), ("fatigue_cost", -1.0), ("unsubscribe_cost", -1.0),
     ("points", -5.0), ("complaint", -0.1), ("complaint", 1.5)],
)  # fmt: skip
def test_a_column_that_would_pay_for_other_touches_is_refused(name, bad):
    """A complaint of -5 made room for any number of complaints, a cost of -1 a gain."""
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": "tea", "channel": "sms", "send_at": AT, "value": 1.0})
    with pytest.raises(SchemaError, match=f"{name} must be .* in 1 row"):
        om.planning.Candidates.from_frame(frame.assign(**{name: [0.1, bad]}))
    found = om.planning.Candidates.from_frame(frame)
    with pytest.raises(SchemaError, match=f"{name} must be .* in 1 row"):
        found.with_columns(pd.DataFrame({"user_id": [1, 2], name: [0.1, bad]}))
    asked = {"user_id": 1, "item_id": "cup", "channel": "sms", "send_at": AT, "value": 1.0, name: bad}
    with pytest.raises(ParameterError, match=f"{name} must be"):
        om.plan(found).accept(asked)


@pytest.mark.parametrize("array", [[1, 2], np.ones(1), np.array(["a", "b"]), np.array([np.inf, 1.0]), None])
def test_terms_are_one_number_per_touch(array):
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": "tea", "channel": "sms", "send_at": AT, "value": 1.0})
    found = om.planning.Candidates.from_frame(frame)
    with pytest.raises(ParameterError, match="margin must be a float64 array, one finite or missing number per touch"):
        om.planning.Candidates(found.touches, np.ones(2), terms={"margin": array})


def test_probabilities_and_labels_are_checked_where_candidates_are_made():
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": "tea", "channel": "sms", "send_at": AT, "value": 1.0})
    touches = om.planning.Candidates.from_frame(frame).touches
    with pytest.raises(ParameterError, match="probability must lie in"):
        om.planning.Candidates(touches, np.ones(2), np.array([2.0, -1.0]))
    kinds = om.data.Vocabulary.from_ids(["nudge"])
    for code in (np.zeros(1, np.int32), np.full(2, 7, np.int32), np.full(2, -2, np.int32), [0, 0]):
        with pytest.raises(ParameterError, match="kind must be one code per touch"):
            om.planning.Candidates(touches, np.ones(2), labels={"kind": (kinds, code)})


def test_every_term_is_in_the_tables_of_the_plan():
    plan = om.plan(made(TouchValue(channel_cost=0.01, reward_cost=0.1, unsubscribe_risk=0.001, lifetime_value=5.0)))
    tables = plan.to_frame(), plan.why(1), plan.why_not()
    costs = ["channel_cost", "reward_cost", "fatigue_cost", "unsubscribe_cost"]
    for table in tables:
        assert {"increment", "margin", *costs} <= set(table)
        np.testing.assert_allclose(table["increment"] * table["margin"] - table[costs].sum(axis=1), table["value"])
