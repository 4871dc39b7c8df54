"""Plans: values, reasons, prices and frames on problems that fit on paper."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from omnireco.data import Audience, Dataset
from omnireco.errors import ParameterError
from omnireco.planning import (
    Budget,
    Candidates,
    Capacity,
    Constraint,
    FrequencyCap,
    OncePerItem,
    QuietHours,
    Rows,
    plan,
)


def frame(value=(5.0, 4.0, 3.0, 2.0), user=(1, 1, 2, 2), channel="email", hour=(9, 10, 9, 10), **more):
    start = pd.Timestamp("2025-06-01", tz="UTC")
    return pd.DataFrame(
        {
            "user_id": list(user),
            "item_id": [f"i{n}" for n in range(len(value))],
            "channel": channel,
            "send_at": [start + pd.Timedelta(hours=h) for h in hour],
            "value": list(value),
        }
        | more
    )


def make(*constraints, audience=None, **more):
    return plan(Candidates.from_frame(frame(**more), Dataset(audience=audience)), constraints=constraints)


def test_without_constraints_all_of_value_is_sent():
    best = make(value=(5.0, 0.0, -3.0, 2.0))
    assert (best.value, best.bound, best.optimality_gap, best.exact) == (7.0, 7.0, 0.0, True)
    assert best.to_frame()["value"].tolist() == [5.0, 2.0]
    assert best.why_not()["reason"].tolist() == ["no value", "no value"]
    assert best.left_out == {"no value": 2}


def test_one_touch():
    best = make(FrequencyCap(1, per="7D"), value=(1.5,), user=(1,), hour=(9,))
    assert (best.value, best.optimality_gap, len(best)) == (1.5, 0.0, 1)
    assert repr(best) == "Plan(1 touch to 1 user, value 1.5, bound 1.5, gap 0)"


def test_all_values_negative():
    best = make(Budget("email", cost=1, total=9), value=(-1.0, -1.0, -2.0, -1.0))
    assert (best.value, best.bound, best.optimality_gap, len(best)) == (0.0, 0.0, 0.0, 0)


@pytest.mark.parametrize(
    "nothing",
    [FrequencyCap(0, per="7D"), FrequencyCap(0), Budget("email", cost=1, total=0), Capacity("email", limit=0)],
)
def test_limits_of_zero_send_nothing_and_say_why(nothing):
    best = make(nothing)
    assert (best.value, best.bound, len(best)) == (0.0, 0.0, 0)
    assert set(best.why_not()["reason"]) == {nothing.name}


def test_the_cap_keeps_the_best_of_each_person():
    best = make(FrequencyCap(1, per="7D"))
    assert best.value == 8.0
    assert best.to_frame()["value"].tolist() == [5.0, 3.0]
    assert best.left_out == {"FrequencyCap(1, per='7D')": 2}


def test_the_budget_takes_the_best_of_all():
    best = make(Budget("email", cost=0.5, total=1.2))
    assert sorted(best.to_frame()["value"]) == [4.0, 5.0]
    assert best.prices.to_dict("records") == [
        {
            "constraint": "Budget('email')",
            "row": "email",
            "used": 1.0,
            "limit": 1.0,
            "price": pytest.approx(7.0, abs=1.0),
        }
    ]  # one more touch is worth between 3 and 4, and costs a half


def test_prices_of_people_are_summed_up():
    best = make(FrequencyCap(1, per="7D"), Capacity("email", per="1h", limit=1))
    prices = best.prices
    assert prices["row"].tolist() == ["each person", "email 2025-06-01 09:00 UTC", "email 2025-06-01 10:00 UTC"]
    assert prices["used"].tolist() == [2.0, 1.0, 1.0]
    assert best.value == 7.0  # 5 and 2, or 4 and 3
    assert (prices["price"] >= 0).all()


def test_the_dearest_of_several_reasons_is_named():
    """The 49 is barred by both; a place in the budget is worth 3 at most, one of person 1's at least 46."""
    best = make(FrequencyCap(1, per="7D"), Budget("email", cost=1, total=2), value=(50.0, 49.0, 3.0, 2.0))
    reason = best.why_not().set_index("value")["reason"]
    assert reason[49.0] == "FrequencyCap(1, per='7D')"


def test_plans_are_ordered_by_time_then_person_and_show_every_label():
    more = {"store_id": ["s", None, "s", "t"], "offer_id": [1, 2, 3, 4], "creative_id": list("abcd")}
    sent = make(user=(2, 1, 1, 3), hour=(9, 10, 9, 9), probability=[0.1, 0.2, 0.3, 0.4], **more).to_frame()
    assert sent["user_id"].tolist() == [1, 2, 3, 1]
    assert sent.columns.tolist() == [
        *["user_id", "item_id", "channel", "send_at", "send_at_local", "creative_id", "probability", "value"],
        *["store_id", "offer_id"],
    ]
    assert sent["creative_id"].tolist() == ["c", "a", "d", "b"]
    assert str(sent["send_at"].dtype).endswith("UTC]")


def test_local_times_are_the_persons_own_and_missing_without_a_zone():
    audience = Audience.from_frame(
        pd.DataFrame({"user_id": [1, 2], "timezone": ["Asia/Kathmandu", None], "consent_email": True})
    )
    sent = make(audience=audience).to_frame()
    assert sent.loc[sent["user_id"] == 1, "send_at_local"].tolist() == [
        pd.Timestamp("2025-06-01 14:45"),
        pd.Timestamp("2025-06-01 15:45"),
    ]
    assert sent.loc[sent["user_id"] == 2, "send_at_local"].isna().all()


def test_reasons_of_rules_and_planner_stand_together():
    audience = Audience.from_frame(pd.DataFrame({"user_id": [1, 2], "timezone": "UTC", "consent_email": [True, False]}))
    found = Candidates.from_frame(frame(), Dataset(audience=audience), eligibility=[QuietHours("10:00", "11:00")])
    assert plan(found, constraints=[FrequencyCap(0)]).left_out == {
        "not in the audience": 0,
        "Consent": 2,
        "Reachable": 0,
        "QuietHours": 1,
        "FrequencyCap(0, per=None)": 1,
    }


def test_summary_counts_channels_and_days():
    best = make(
        Budget("email", cost=0.5, total=10),
        channel=["email", "email", "push", "email"],
        hour=(9, 10, 9, 33),
        probability=[0.5, 0.25, 0.1, 0.2],
    )
    table = best.summary()
    assert table[["channel", "sends", "users", "value"]].to_numpy().tolist() == [
        ["email", 2, 1, 9.0],
        ["email", 1, 1, 2.0],
        ["push", 1, 1, 3.0],
    ]
    assert table["expected_responses"].tolist() == pytest.approx([0.75, 0.2, 0.1])
    assert table["cost"].tolist()[:2] == [1.0, 0.5]
    assert np.isnan(table["cost"].tolist()[2])
    assert "<table" in best._repr_html_()


def test_arrow_has_the_same_columns():
    best = make()
    assert best.to_arrow().column_names == best.to_frame().columns.tolist()
    assert best.to_arrow().num_rows == 4


def test_implied_constraints_are_added():
    same = frame()
    same["item_id"] = "tea"
    assert plan(Candidates.from_frame(same, once_per_item=True)).value == 8.0
    assert plan(Candidates.from_frame(same), constraints=[OncePerItem()]).value == 8.0
    assert plan(Candidates.from_frame(same)).value == 14.0


def test_equal_touches_stay_apart_and_cost_twice():
    twice = pd.concat([frame(), frame()])
    assert plan(Candidates.from_frame(twice)).value == 28.0


class Stock(Constraint):
    """A constraint of a user's own: weights and limits as given."""

    def __init__(self, **rows):
        self.given = rows

    def rows(self, touches):
        n = len(touches)
        default = {"row": np.zeros(n, int), "touch": np.arange(n), "weight": np.ones(n), "limit": np.array([2.0])}
        return Rows(**(default | self.given))


def test_a_constraint_of_ones_own():
    assert make(Stock()).value == 9.0
    assert make(Stock(weight=np.array([2.0, 1.0, 1.0, 1.0]))).value == 7.0
    assert make(Stock(labels=("shelf",))).prices["row"].tolist() == ["shelf"]


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ({"weight": -np.ones(4)}, "no weight of a row is above 0"),
        ({"weight": np.full(4, np.nan)}, "a weight is missing or not finite"),
        ({"weight": np.ones(3)}, "row, touch and weight differ in length"),
        ({"limit": np.array([-1.0])}, "a limit is negative or missing"),
        ({"limit": np.array([np.inf])}, "a limit is infinite where there is no floor either"),
        ({"least": np.array([-1.0])}, "a floor is negative or not finite"),
        ({"least": np.array([np.inf])}, "a floor is negative or not finite"),
        ({"least": np.array([1e9])}, "a floor is above its limit"),
        ({"least": np.ones(2)}, "least and limit differ in shape"),
        ({"limit": np.ones((1, 1))}, "limit is not one-dimensional"),
        ({"row": np.array([0, 0, 0, 1])}, "row points outside limit"),
        ({"touch": np.array([0, 1, 2, 4])}, "touch points outside the touches"),
        ({"labels": ("a", "b")}, "there is not one label per limit"),
    ],
)
def test_malformed_rows_are_refused(bad, what):
    with pytest.raises(ParameterError, match=rf"Stock.rows does not describe a packing problem over 4.*{what}"):
        make(Stock(**bad))


def test_what_is_not_candidates_is_refused_with_the_way_to_make_them():
    with pytest.raises(ParameterError, match=r"plan takes Candidates. Got DataFrame.*Candidates.from_frame\(frame\)"):
        plan(frame())


def test_rules_of_the_other_family_are_sent_there():
    with pytest.raises(ParameterError, match=r"QuietHours, which looks at one touch.*eligibility="):
        make(QuietHours("21:00", "08:00"))
    with pytest.raises(ParameterError, match=r"constraints must hold Constraint rules. Got str"):
        make("cap")


def test_one_constraint_need_not_stand_in_a_list():
    assert plan(Candidates.from_frame(frame()), constraints=FrequencyCap(1, per="7D")).value == 8.0


def test_messages_hold_no_ids():
    secret = frame(user=("anna@example.org",) * 4)
    best = plan(Candidates.from_frame(secret), constraints=[FrequencyCap(1, per="7D")])
    assert "anna" not in repr(best) + repr(best.touches) + repr(best.touches.touches) + best.prices.to_string()


def test_plans_are_frozen():
    best = make()
    with pytest.raises(AttributeError):
        best.value = 1.0
    with pytest.raises(ValueError, match="read-only"):
        best.reason[0] = 0
