"""Triggered messages: yes or no from the plan's rules and prices, and never against a rule."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data import Audience, Dataset, MessageLog
from omnireco.errors import IdKindError, ParameterError
from omnireco.planning import Budget, Candidates, Capacity, Choices, Constraint, FrequencyCap, LivePlan, Rows, plan
from omnireco.planning.plans.one_more import keeps_quickly, over

START = pd.Timestamp("2025-06-01 09:00", tz="UTC")


def people(n=4, **more):
    frame = {"user_id": np.arange(n), "timezone": "Asia/Tokyo", "consent_push": True, "consent_sms": True}
    return Audience.from_frame(pd.DataFrame(frame | more))


def touches(n=3, channel="push", value=1.0):
    return pd.DataFrame(
        {"user_id": np.arange(n), "item_id": "tea", "channel": channel, "send_at": START, "value": value}
    )


LATER = START + pd.Timedelta("25h")


def asked(user=0, item="cup", channel="push", at=LATER, value=0.5, **more):
    return {"user_id": user, "item_id": item, "channel": channel, "send_at": at, "value": value} | more


def made(*rules, audience=None, eligibility=(), frame=None, messages=None, **more):
    data = Dataset(audience=people() if audience is None else audience, messages=messages)
    found = Candidates.from_frame(
        touches() if frame is None else frame, data, eligibility=eligibility, once_per_item=True
    )
    return plan(found, constraints=rules, **more)


def test_accepted_and_each_reason():
    best = made(
        FrequencyCap(2, per="7D"),
        FrequencyCap(1, per="24h"),
        eligibility=[om.QuietHours("21:00", "08:00")],
        audience=people(
            5, consent_push=[True, True, True, True, False], reachable_push=[True, True, False, True, True]
        ),
    )
    found = best.accept(asked(at="2025-06-03T09:00Z"))
    assert (found.accepted, bool(found), found.reason, found.value, found.reduced_value) == (
        True,
        True,
        "accepted",
        0.5,
        0.5,
    )
    reasons = {
        "FrequencyCap(1, per='24h')": asked(at=START + pd.Timedelta("23h59min")),
        "OncePerItem": asked(item="tea"),
        "QuietHours": asked(at="2025-06-03T13:00Z"),  # 22:00 in Tokyo
        "Consent": asked(4),
        "Reachable": asked(2),
        "not in the audience": asked(99),
        "no value": asked(value=-1),
    }
    assert {name: best.accept(one).reason for name, one in reasons.items()} == {name: name for name in reasons}
    assert not any(best.accept(one) for one in reasons.values())
    assert best.accept(asked(3, at=START)).accepted  # consents, and the plan gives them nothing
    assert repr(best.accept(asked(4))) == "Verdict(refused: Consent, value 0.5, reduced value 0.5)"


def test_messages_that_people_had_before_count():
    before = pd.DataFrame({"user_id": [0], "channel": ["push"], "sent_at": [START - pd.Timedelta("1h")]})
    log = MessageLog.from_frame(before.assign(responded_at=pd.Series([None], dtype="datetime64[us, UTC]")))
    best = made(FrequencyCap(2, per="7D"), messages=log)
    assert best.accept(asked(0)).reason == "FrequencyCap(2, per='7D')"
    assert best.accept(asked(1)).accepted
    gone = before.assign(unsubscribed_at=START - pd.Timedelta("30min"))
    gone["responded_at"] = pd.Series([None], dtype="datetime64[us, UTC]")
    assert made(messages=MessageLog.from_frame(gone)).accept(asked(0)).reason == "Consent"


def test_shared_limits_and_prices():
    frame = touches(4, "sms", [5.0, 4.0, 3.0, 2.0])
    best = made(Budget("sms", cost=0.5, total=1.0), frame=frame)
    found = best.accept(asked(channel="sms", value=10))
    assert (found.reason, found.left) == ("Budget('sms')", {"Budget('sms')": 0.0})
    assert 6.0 <= found.reduced_value <= 7.0  # one more place is worth between 3 and 4
    live = LivePlan(best, constraints=[Budget("sms", cost=0.5, total=2.0)])
    assert live.accept(asked(channel="sms", value=1.0)).reason == "worth less than its price"
    assert live.accept(asked(channel="sms", value=10, item="a")).left == {"Budget('sms')": 1.0}
    assert live.accept(asked(channel="sms", value=10, item="b")).accepted
    assert live.accept(asked(channel="sms", value=10, item="c")).reason == "Budget('sms')"
    assert len(live) == 2
    assert repr(live) == "LivePlan(2 planned, 2 accepted)"
    assert best.accept(asked(channel="sms", value=10)).left == {"Budget('sms')": 0.0}  # the plan did not change


def test_capacity_of_an_hour_that_the_plan_does_not_know():
    best = made(Capacity("push", per="1h", limit=3))
    assert best.accept(asked(3, at=START)).reason == "Capacity('push', per='1h')"
    live = LivePlan(best)
    later = START + pd.Timedelta("50h")
    answers = [live.accept(asked(3, item=f"i{n}", at=later)).accepted for n in range(5)]
    assert answers == [True] * 3 + [False] * 2
    assert live.accept(asked(3, item="i9", at=later)).left == {
        "Capacity('push', per='1h'), push 2025-06-03 11:00 UTC": 0.0
    }


def test_what_was_accepted_counts_for_its_person():
    live = LivePlan(made(FrequencyCap(2, per="7D")))
    assert [live.accept(asked(0, item=name)).reason for name in ("a", "b")] == ["accepted", "FrequencyCap(2, per='7D')"]
    assert live.accept(asked(3, item="new")).accepted
    assert live.accept(asked(3, item="new", at=START)).reason == "OncePerItem"


def test_held_out_people_get_nothing():
    best = made(audience=people(40), frame=touches(40), holdout=0.5)
    held = best.holdout.held
    assert [best.accept(asked(n)).reason for n in range(40)] == ["holdout" if one else "accepted" for one in held]
    drawn = om.causal.Holdout.draw(range(3), share=0.1)
    assert made(holdout=drawn).accept(asked(3)).reason == "not in the holdout"


def test_one_offer_per_person():
    class OneOffer(Constraint):
        def rows(self, touches):
            return Rows.none()

        def choices(self, touches):
            known, code = touches.labels["offer_id"]
            option = np.where(code < 0, -1, np.array([*map(hash, known.ids), -1])[code] % 2**40)
            return Choices(np.where(code < 0, -1, touches.user).astype(np.int64), option.astype(np.int64))

    found = Candidates.from_frame(touches().assign(offer_id="10 %"), Dataset(audience=people()))
    import dataclasses

    labelled = dataclasses.replace(found.touches, labels=found.labels)
    best = plan(dataclasses.replace(found, touches=labelled), constraints=[OneOffer()])
    assert best.accept(asked(offer_id="10 %")).accepted
    assert best.accept(asked(offer_id="20 %")).reason == "OneOffer"
    assert best.accept(asked()).accepted


def test_quick_answers_are_those_of_the_rows():
    rng = np.random.default_rng(0)
    differ = 0
    for _ in range(300):
        n, n_past = int(rng.integers(1, 7)), int(rng.integers(0, 5))
        at = START + pd.to_timedelta(rng.integers(0, 100, n), unit="h")
        frame = pd.DataFrame(
            {"user_id": 0, "item_id": rng.integers(0, 4, n), "channel": rng.choice(["push", "sms"], n)}
        )
        past = pd.DataFrame(
            {
                "user_id": 0,
                "channel": rng.choice(["push", "sms"], n_past),
                "sent_at": START + pd.to_timedelta(rng.integers(-60, 30, n_past), unit="h"),
            }
        )
        past["responded_at"] = pd.Series([None] * n_past, dtype="datetime64[us, UTC]")
        data = (
            Dataset(messages=MessageLog.from_frame(past), audience=people(1)) if n_past else Dataset(audience=people(1))
        )
        every = Candidates.from_frame(frame.assign(send_at=at, value=1.0), data).touches
        per = [None, "1h", "24h", "60h"][rng.integers(4)]
        for rule in (
            FrequencyCap(int(rng.integers(0, 5)), per=per, channels=[None, "push"][rng.integers(2)]),
            om.planning.OncePerItem(),
        ):
            for last in range(n):
                order = np.array([*(i for i in range(n) if i != last), last])
                turned = every.take(order)
                rows = rule.rows(turned)
                hit = np.flatnonzero(rows.touch == n - 1)
                full = not (hit.size and over(rows, hit))
                assert keeps_quickly(rule, turned) == full
                differ += not full
    assert differ > 300


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([1], "accept takes a mapping, one message. Got list. Write plan.accept"),
        ({"user_id": 0}, "missing item_id, channel, send_at, value"),
        (asked(channel="Push"), "channel"),
        (asked(at="2025-06-01 09:00"), "send_at"),
        (asked(value=np.nan), "value"),
        (asked() | {"price": 3}, "unknown names in the touch"),
    ],
)
def test_what_is_refused(wrong, words):
    with pytest.raises(ParameterError, match=words):
        made().accept(wrong)


def test_ids_of_another_kind_and_plans_without_rules(tmp_path):
    with pytest.raises(IdKindError):
        made().accept(asked("0"))
    with pytest.raises(ParameterError, match=r"LivePlan takes a Plan\. Got int"):
        LivePlan(3)
    with pytest.raises(ParameterError, match="no constraint of this plan differs from Budget"):
        LivePlan(made(), constraints=[Budget("sms", cost=1, total=3)])


def test_without_an_audience_only_people_of_the_plan_are_known():
    best = plan(Candidates.from_frame(touches()))
    assert best.accept(asked(0)).accepted
    assert best.accept(asked(77)).reason == "not in the audience"


def test_no_triggered_message_ever_breaks_a_rule():
    """A thousand random messages beside a plan: all that was planned and accepted keeps every row, compiled at once."""
    rng = np.random.default_rng(3)
    n, zones = 30, np.array(["Asia/Tokyo", "America/New_York", "Asia/Kathmandu", None], object)
    audience = pd.DataFrame(
        {
            "user_id": np.arange(n),
            "timezone": pd.array(zones[rng.integers(0, 4, n)], dtype="string"),
            "consent_push": rng.random(n) < 0.7,
            "consent_sms": rng.random(n) < 0.7,
        }
    )
    known, quiet = Audience.from_frame(audience), om.QuietHours("21:00", "08:00")

    def some(m):
        return pd.DataFrame(
            {
                "user_id": rng.integers(0, n, m),
                "item_id": rng.integers(0, 9, m),
                "channel": rng.choice(["push", "sms"], m),
                "send_at": START + pd.to_timedelta(rng.integers(0, 96, m), unit="h"),
                "value": rng.gamma(2, 1, m),
            }
        )

    rules = [
        FrequencyCap(3, per="48h"),
        FrequencyCap(1, per="3h"),
        Budget("sms", cost=0.3, total=9),
        Capacity("push", per="1h", limit=2),
    ]
    frame = some(200)
    first = plan(
        Candidates.from_frame(frame, Dataset(audience=known), eligibility=[quiet]),
        constraints=[*rules[:2], Budget("sms", cost=0.3, total=5), rules[3]],
    )
    live = LivePlan(first, constraints=[rules[2]])
    more = some(1000)
    answers = [live.accept(row) for row in more.to_dict("records")]
    yes = np.array([one.accepted for one in answers])
    assert 20 < yes.sum() < 500
    assert {one.reason for one in answers} >= {
        "accepted",
        "Consent",
        "QuietHours",
        "FrequencyCap(1, per='3h')",
        "Budget('sms')",
    }
    every = pd.concat([first.to_frame()[more.columns], more[yes]], ignore_index=True)
    read = Candidates.from_frame(every, Dataset(audience=known), eligibility=[quiet])
    assert len(read) == len(every)  # consent, zones and quiet hours took nothing away
    for rule in rules:
        rows = rule.rows(read.touches)
        used = np.bincount(rows.row, weights=rows.weight, minlength=rows.limit.size)
        assert (used <= rows.limit + 1e-9).all(), rule.name


def segments():
    frame = {"user_id": np.arange(6), "timezone": "UTC", "consent_push": True, "segment": list("aabbcc")}
    return Audience.from_frame(pd.DataFrame(frame), attributes=["segment"])


def test_the_offer_of_a_segment_is_that_of_its_other_people():
    offers = pd.DataFrame(
        {
            "user_id": [0, 2],
            "item_id": "tea",
            "channel": "push",
            "send_at": START,
            "value": 1.0,
            "offer_id": ["10 %", "20 %"],
        }
    )
    found = Candidates.from_frame(offers, Dataset(audience=segments()))
    best = plan(found, constraints=[om.planning.OneOffer("segment")])
    assert best.accept(asked(1, offer_id="10 %")).accepted
    assert best.accept(asked(1, offer_id="20 %")).reason == "OneOffer('segment')"
    assert best.accept(asked(3, offer_id="20 %")).accepted
    live = LivePlan(best)
    assert live.accept(asked(4, offer_id="20 %")).accepted  # the first of this segment decides
    assert live.accept(asked(5, offer_id="10 %")).reason == "OneOffer('segment')"
    assert live.accept(asked(5, offer_id="20 %")).accepted


def test_rules_that_see_everybody_see_what_was_accepted():
    frame = pd.DataFrame({"user_id": np.arange(6), "item_id": "tea", "channel": "push", "send_at": START, "value": 1.0})
    found = Candidates.from_frame(frame, Dataset(audience=segments()))
    best = plan(found, constraints=[om.planning.FairReach("segment", least=1.0)])
    assert len(best) == 6
    live = LivePlan(best)
    answers = [live.accept(asked(n % 2, item=f"i{n}")).reason for n in range(5)]  # more and more for a alone
    assert answers[0] == "accepted"  # a group may lack one message
    assert answers[-1] == "FairReach('segment', least=1)"

    class AtMost(Constraint):
        def rows(self, touches):
            one = np.zeros(len(touches), int)
            return Rows(one, np.arange(len(touches)), np.ones(len(touches)), np.array([8.0]), ("all",))

    live = LivePlan(plan(found, constraints=[AtMost()]))
    assert [live.accept(asked(n, item=f"i{n}")).accepted for n in range(4)] == [True, True, False, False]


def test_pieces_of_a_shop_are_promised_once():
    levels = om.data.StockLevels.from_frame(pd.DataFrame({"item_id": ["shoe"], "store_id": ["north"], "pieces": [2]}))
    frame = touches(1).assign(item_id="shoe", store_id="north", probability=1.0)
    best = plan(Candidates.from_frame(frame, Dataset(audience=people())), constraints=[om.planning.Stock(levels)])
    live = LivePlan(best)
    shoe = {"item": "shoe", "store_id": "north"}
    assert live.accept(asked(1, probability=0.5, **shoe)).left == {
        "Stock, shoe @ north": 1.0,
        "Stock, shoe @ any shop": 1.0,
    }
    assert live.accept(asked(2, probability=0.6, **shoe)).reason == "Stock"
    assert live.accept(asked(2, probability=0.5, **shoe)).accepted
    assert not live.accept(asked(3, **shoe))  # a probability that is not known takes a whole piece
    assert (
        live.accept(asked(3, item="shoe", probability=0.1)).reason == "Stock"
    )  # without a shop: of all, and none is left


def test_a_channel_that_the_plan_does_not_use_is_judged():
    """The plan sends pushes alone; people agreed to texts, and their budget is untouched."""
    best = made(Budget("sms", cost=1.0, total=1.0))
    assert set(best.to_frame()["channel"]) == {"push"}
    live = LivePlan(best)
    assert live.accept(asked(0, channel="sms")).left == {"Budget('sms')": 1.0}
    assert live.accept(asked(1, channel="sms")).reason == "Budget('sms')"
    no = made(audience=people(consent_sms=False))
    assert no.accept(asked(0, channel="sms")).reason == "Consent"
    with pytest.raises(ParameterError, match=r"accept: channel: 'fax' is a name that nothing here has[^=]*$"):
        best.accept(asked(0, channel="fax"))


def test_rules_of_kinds_and_campaigns_know_those_of_the_whole_plan():
    """A person without a nudge asked for news: the rule said that nothing here is called a nudge."""
    at = pd.Timestamp("2025-06-02 09:00", tz="UTC")
    frame = pd.DataFrame(
        {"user_id": [1, 2, 3], "item_id": "tea", "channel": "push", "send_at": at, "value": 1.0,
         "kind": ["nudge", "news", None], "campaign_id": ["spring", "easter", None]}
    )  # fmt: skip
    rules = [om.FrequencyCap(1, per="7D", kinds="nudge"), om.planning.Volume("spring", least=1, most=2)]
    made = om.plan(om.planning.Candidates.from_frame(frame), constraints=rules)
    assert len(made) == 3
    asked = {"item_id": "cup", "channel": "push", "send_at": at + pd.Timedelta("1D"), "value": 1.0}

    def reason(user, **more):
        return made.accept(asked | {"user_id": user} | more).reason

    assert reason(2, kind="news", campaign_id="easter") == "accepted"
    assert reason(2, kind="nudge", campaign_id="spring") == "accepted"
    assert reason(2, kind="another") == "accepted"
    assert reason(2) == "FrequencyCap(1, per='7D', kinds=['nudge'])" or reason(2) == "accepted"
    assert reason(1, kind="nudge").startswith("FrequencyCap")
    assert reason(1, kind="news") == "accepted"
    live = om.planning.LivePlan(made)
    assert live.accept(asked | {"user_id": 2, "kind": "news", "campaign_id": "spring"}).accepted
    assert live.accept(asked | {"user_id": 3, "kind": "news", "campaign_id": "spring"}).reason.startswith("Volume")
    with pytest.raises(IdKindError):
        made.accept(asked | {"user_id": 2, "kind": 3})
