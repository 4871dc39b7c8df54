"""The next message to one person under rules that look at what the person did, and at what a message is worth."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError, SchemaError
from omnireco.live import Live, Rules, Snapshot

AT = "2025-03-01T12:00:00Z"
WEIGHTS = om.Weights(events={"view": 1, "purchase": 8}, half_life="30D", missing="ignore")


@cache
def world():
    whole = om.simulate(n_users=60, n_items=25, days=60, seed=5).dataset()
    past = whole.before("2025-02-15")
    model = om.ALS(factors=8, iterations=3, seed=7, weights=WEIGHTS).fit(past)
    return whole, model, om.SendTime().fit(past), om.timing.Fatigue().fit(past)


def told_since():
    """Things that nobody knew when the models and the rules were made."""
    whole = world()[0]
    people = whole.audience.users.ids[:40].tolist()
    items = world()[1].items.ids
    rows = []
    for place, user in enumerate(people):
        at = pd.Timestamp(AT) - pd.Timedelta(hours=1 + place)
        kind = ("purchase", "dislike", "message_in", "view", "like")[place % 5]
        rows.append(
            {"user_id": user, "item_id": items[place % len(items)], "channel": "push", "event": kind, "timestamp": at}
        )
    return people, pd.DataFrame(rows)


def batch_plan(rules, value, log, people, exclude):
    whole, model, timing, _ = world()
    known = whole.before(AT)
    known = om.Dataset(log, messages=known.messages, audience=whole.audience, end=AT)
    recs = model.recommend(known.requests(people, exclude=exclude, new_users=True), k=3)
    found = om.candidates(
        recs, known, timing, om.slots(AT, days=7), channels=["email", "push"], eligibility=rules, value=value
    )
    return om.plan(found, constraints=[om.FrequencyCap(1, per="7D")]).to_frame(), found.to_frame()


@pytest.mark.parametrize("name", ["cool down", "by item", "responses", "chat", "disliked"])
@pytest.mark.parametrize("cost", [False, True])
def test_rules_that_read_a_log_read_what_was_done_a_second_ago(name, cost):
    whole, model, timing, fatigue = world()
    people, since = told_since()
    known = whole.before(AT)
    old = known.events.to_frame()
    columns = ["user_id", "item_id", "channel", "event", "timestamp"]
    log = om.EventLog.from_frame(pd.concat([old[columns], since]), itemless="keep")

    def rule(events):
        return {
            "cool down": lambda: om.planning.CoolDown("36h", events, events=["purchase", "dislike"]),
            "by item": lambda: om.planning.CoolDown("36h", events, events="purchase", by="item"),
            "responses": lambda: om.planning.CoolDown("36h", known.messages),
            "chat": lambda: om.planning.ServiceWindow(events, events="message_in", channels="push"),
            "disliked": lambda: om.planning.NotDisliked(events, events="dislike", undone="like"),
        }[name]()

    kinds = ["purchase", "dislike", "like", "message_in"]
    one = {"user_id": -5, "item_id": "i01", "channel": "push", "timestamp": pd.Timestamp("2025-01-02", tz="UTC")}
    few = om.EventLog.from_frame(pd.DataFrame(one | {"event": kinds}))
    value = om.planning.TouchValue(channel_cost={"email": 0.05, "push": 0.3}) if cost else None
    rules = Rules(
        channels=["email", "push"],
        eligibility=[rule(few)],
        constraints=[om.FrequencyCap(1, per="7D")],
        value=value,
    )
    live = Live(Snapshot(model, timing=timing, audience=whole.audience, fatigue=fatigue if cost else None), rules=rules)
    live.backfill(known)
    live.observe(since.to_dict("records"))
    down = since[since["event"] == "dislike"]
    exclude = [down.loc[down["user_id"] == user, "item_id"].tolist() for user in people]
    full = om.planning.TouchValue(channel_cost={"email": 0.05, "push": 0.3}, fatigue=fatigue) if cost else None
    plan, allowed = batch_plan([rule(log)], full, log, people, exclude)
    some = 0
    for user in people:
        mine = plan[plan["user_id"] == user].sort_values("send_at", kind="stable")
        touch = live.next_touch(user, AT)
        assert (touch is None) == (not len(mine))
        if touch is not None:
            some += 1
            first = mine.iloc[0]
            assert (touch.item_id, touch.channel) == (first["item_id"], first["channel"])
            assert touch.value == pytest.approx(first["value"], rel=1e-9)
            same = allowed[(allowed["user_id"] == user) & (allowed["send_at"] == touch.send_at)]  # equal slots may tie
            assert touch.value in same.loc[same["item_id"] == touch.item_id, "value"].round(15).tolist() or (
                same["value"].sub(touch.value).abs().min() < 1e-12
            )
    assert some > 3


def kinded():
    """The data until AT, whose messages have kinds, some of them unknown."""
    known = world()[0].before(AT)
    frame = known.messages.to_frame()
    frame["kind"] = [("offer", "nudge", None)[place % 3] for place in range(len(frame))]
    return om.Dataset(known.events, messages=om.MessageLog.from_frame(frame), audience=world()[0].audience, end=AT)


ONE = om.FrequencyCap(1, per="7D")  # several messages of one plan may change places at the same value
SHOPS = om.data.Shops.from_frame(
    pd.DataFrame({"store_id": ["north"], "timezone": ["Europe/Berlin"]}), hours={"north": {"mon-sat": "09:00-20:00"}}
)


@pytest.mark.parametrize(
    ("eligibility", "constraints"),
    [
        ((), [om.FrequencyCap(1, per="14D", kinds="offer"), ONE]),
        ((), [om.FrequencyCap(2, per="21D", kinds=["nudge", "offer"], channels="email"), ONE]),
        ((), [om.FrequencyCap(0, kinds="service", missing="ignore")]),
        ([om.planning.OpeningHours(SHOPS, channels="push")], [ONE]),
        (
            [om.QuietHours("20:00", "11:00"), om.planning.Consent(), om.planning.Reachable()],
            [om.planning.OneOffer(), ONE],
        ),
        ([om.QuietHours("12:00", "18:00", channels="email")], [om.planning.OncePerItem(), ONE]),
    ],
    ids=["one kind", "two kinds", "a kind nobody had", "shops", "quiet", "quiet on e-mail"],
)
def test_other_rules_answer_one_person_as_the_batch(eligibility, constraints):
    whole, model, timing, _ = world()
    known, people = kinded(), whole.audience.users.ids.tolist()
    rules = Rules(channels=["email", "push"], eligibility=eligibility, constraints=constraints)
    live = Live(Snapshot(model, timing=timing, audience=whole.audience), rules=rules)
    live.backfill(known)
    recs = model.recommend(known.requests(people, new_users=True), k=3)
    found = om.candidates(
        recs, known, timing, om.slots(AT, days=7), channels=["email", "push"], eligibility=eligibility
    )
    planned = om.plan(found, constraints=constraints).to_frame()
    some = 0
    for user in people:
        mine = planned[planned["user_id"] == user].sort_values("send_at", kind="stable")
        touch = live.next_touch(user, AT)
        assert (touch is None) == (not len(mine))
        if touch is not None:
            some += 1
            assert (touch.item_id, touch.channel, touch.send_at) == tuple(
                mine.iloc[0][["item_id", "channel", "send_at"]]
            )
            assert touch.value == pytest.approx(mine.iloc[0]["value"], rel=1e-9)
    assert some > 3 or constraints[0].n == 0


@pytest.mark.parametrize("together", [False, True])
def test_points_are_those_of_a_second_ago(together):
    whole, model, timing, _ = world()
    user = next(u for u in whole.audience.users.ids.tolist() if plain_touch(u) is not None)
    price = dict.fromkeys(model.items.ids.tolist(), 100.0)
    nobody = om.data.UserAmounts.from_frame(pd.DataFrame({"user_id": [user], "amount": [1e6]}))
    one = {"rewards": price}
    kept = {
        "eligibility": () if together else [om.planning.Affordable(nobody, **one)],
        "constraints": [om.planning.Points(nobody, **one)] if together else (),
    }
    live = Live(
        Snapshot(model, timing=timing, audience=whole.audience),
        rules=Rules(points={"earn": 1.0, "redeem": -1.0}, **kept),
    )
    assert live.next_touch(user, AT) is None  # nothing was earned here yet

    def told(kind, value, minute):
        at = pd.Timestamp(AT) - pd.Timedelta(minutes=minute)
        live.observe({"user_id": user, "event": kind, "channel": "web", "value": value, "timestamp": at})

    told("earn", 100.0, 9)
    assert live.next_touch(user, AT) is not None
    told("redeem", 1.0, 5)
    assert live.next_touch(user, AT) is None
    told("earn", 1.0, 1)
    assert live.next_touch(user, AT) is not None
    stale = Live(Snapshot(model, timing=timing, audience=whole.audience), rules=Rules(**kept))
    assert stale.next_touch(user, AT) is not None  # without points in the rules, those that the rule came with


def plain_touch(user):
    whole, model, timing, _ = world()
    return Live(Snapshot(model, timing=timing, audience=whole.audience)).next_touch(user, AT)


def test_a_message_sent_a_second_ago_counts_by_its_kind():
    whole, model, timing, _ = world()
    cap = [om.FrequencyCap(1, per="30D", kinds="offer")]
    user = next(u for u in whole.audience.users.ids.tolist() if plain_touch(u) is not None)
    for kind, allowed in (("service", True), ("offer", False), (None, False)):
        live = Live(Snapshot(model, timing=timing, audience=whole.audience), rules=Rules(constraints=cap))
        assert live.next_touch(user, AT) is not None
        sent = {"user_id": user, "event": "sent", "channel": "email", "timestamp": "2025-03-01T11:59:59Z", "kind": kind}
        live.observe(sent)
        assert (live.next_touch(user, AT) is not None) is allowed
    rules = Rules(constraints=[om.FrequencyCap(1, kinds="offer", channels="emial")])
    misspelt = Live(Snapshot(model, timing=timing, audience=whole.audience), rules=rules)
    with pytest.raises(ParameterError, match="emial"):
        misspelt.next_touch(user, AT)
    with pytest.raises(SchemaError, match="belongs to a message that was sent"):
        live.observe(sent | {"event": "view", "kind": "offer"})


def test_a_withdrawal_where_nobody_is_written_to_closes_every_channel():
    whole, model, timing, _ = world()
    user = next(u for u in whole.audience.users.ids.tolist() if plain_touch(u) is not None)
    live = Live(Snapshot(model, timing=timing, audience=whole.audience))
    no = {"user_id": user, "event": "unsubscribed", "channel": "a page", "timestamp": "2025-03-01T11:00:00Z"}
    live.observe(no)
    assert live.next_touch(user, AT) is None
    assert not live.data_of(user, at=AT).audience.consent.any()
    yes = {"user_id": user, "event": "consent", "channel": "email", "consent": True}
    live.observe(yes | {"timestamp": "2025-03-01T11:00:00Z"})  # at one instant no
    assert live.next_touch(user, AT) is None
    live.observe(yes | {"timestamp": "2025-03-01T11:30:00Z"})
    found = live.data_of(user, at=AT).audience
    assert [str(name) for name in found.channels.ids[found.consent[0]]] == ["email"]
    live.observe(no | {"event": "consent", "consent": True, "timestamp": "2025-03-01T11:40:00Z"})
    assert live.data_of(user, at=AT).audience.consent.sum() == 1  # a yes there opens nothing


def test_what_is_disliked_is_not_offered_until_that_is_undone():
    whole, model, timing, _ = world()
    live = Live(Snapshot(model, timing=timing, audience=whole.audience))
    user = next(u for u in whole.audience.users.ids.tolist() if live.next_touch(u, AT) is not None)
    first = live.next_touch(user, AT)
    no = {"user_id": user, "event": "hide", "channel": "app", "item_id": first.item_id, "event_id": "h"}
    live.observe(no | {"timestamp": "2025-03-01T11:00:00Z"})
    other = live.next_touch(user, AT)
    assert other is None or other.item_id != first.item_id
    live.observe(
        {"user_id": user, "event": "undo", "channel": "app", "timestamp": "2025-03-01T11:30:00Z", "refers_to": "h"}
    )
    assert live.next_touch(user, AT).item_id == first.item_id


def test_what_a_message_is_worth_is_checked():
    for wrong in ({"value": 3}, {"per_person": 2}):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            Rules(**wrong)
    assert np.isfinite(om.planning.TouchValue().of_channels(world()[0].audience.channels)[0]).all()
