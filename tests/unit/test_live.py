"""One person at a time gives what the batch gives on the same log, in whatever order events came."""

import asyncio
import datetime as dt
import multiprocessing
import threading
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import omnireco as om
from omnireco.errors import IdKindError, ParameterError, SchemaError, StorageError
from omnireco.live import Live, MemoryStore, Rules, Snapshot, SQLiteStore

NOW = dt.datetime(2025, 3, 1, 12, tzinfo=dt.UTC)
WEIGHTS = om.Weights(events={"view": 1, "purchase": 8}, half_life="30D", missing="ignore")
OLD = om.live.Rules(repeat_after=None)


@cache
def world():
    return om.simulate(n_users=80, n_items=25, days=60, seed=5)


@cache
def data():
    return world().dataset()


ESTIMATORS = {
    "als": lambda: om.ALS(factors=8, iterations=3, seed=7, weights=WEIGHTS),
    "als targets": lambda: om.ALS(
        factors=8, iterations=3, weights=om.Weights(targets={"view": 0.5, "purchase": 1.0}, half_life="9D")
    ),
    "ease": lambda: om.EASE(weights=om.Weights(events={"view": 1, "purchase": 8}, value="log", half_life="30D")),
    "capped": lambda: om.EASE(weights=om.Weights(half_life="30D", cap=2.0)),
    "binary": lambda: om.EASE(weights=om.Weights(binary=True)),
    "steps": lambda: om.EASE(weights=om.Weights(step_half_life=2.0)),
    "deduplicated": lambda: om.EASE(weights=om.Weights(deduplicate="30min", half_life="30D")),
    "neighbours": lambda: om.ItemKNN(weights=WEIGHTS),
    "people": lambda: om.models.UserKNN(weights=WEIGHTS),
    "next": lambda: om.models.NextItem(),
    "sessions": lambda: om.models.SessionKNN(),
    "popular": lambda: om.models.Popularity(weights=WEIGHTS),
    "again": lambda: om.models.BuyAgain(weights=om.Weights(half_life="30D")),
    "channels": lambda: om.models.CrossChannel(estimator=om.EASE(weights=WEIGHTS)),
    "blend": lambda: om.models.Blend(models={"a": om.EASE(weights=WEIGHTS), "b": om.ItemKNN(weights=WEIGHTS)}),
    "typed": lambda: om.models.TypedEASE(target="purchase"),
}


@cache
def fitted(name):
    if name == "what next":
        return om.models.WhatNext(model=fitted("als"))
    past = data().before("2025-02-15")
    if name == "ranker":
        return om.Ranker(models={"als": om.ALS(factors=8, iterations=3, weights=WEIGHTS)}).fit(past)
    return ESTIMATORS[name]().fit(past)


def item_ids(lists, row=0):
    codes = lists.codes[row]
    return lists.items.ids[codes[codes >= 0]].tolist()


def events_of(user, until=None, log=None):
    frame = (data().events if log is None else log).to_frame()
    mine = frame[frame["user_id"] == user]
    mine = mine if until is None else mine[mine["timestamp"] < until]
    names = [name for name in ("user_id", "item_id", "channel", "event", "timestamp", "value") if name in mine]
    return mine[names].to_dict("records")


@cache
def served(name):
    live = Live(fitted(name), rules=OLD)
    live.backfill(data())
    return live


@pytest.mark.parametrize("name", [*ESTIMATORS, "what next", "ranker"])
def test_one_person_gets_what_the_batch_gives(name):
    live, model = served(name), fitted(name)
    draw = np.random.default_rng(3)
    channel = "web" if name == "ranker" else None  # it was fitted with the channel of requests
    for user in draw.choice(data().events.users.ids, 6, replace=False).tolist():
        for at in ("2025-02-20T08:30:00Z", "2025-03-01T12:00:00Z", "2025-05-01"):
            batch = model.recommend(data().before(at).requests([user], at=at, channel=channel, new_users=True), k=7)
            one = live.recommend(user, 7, at=at, channel=channel)
            assert one.items.tolist() == item_ids(batch), (name, at)
            assert one.scores.tobytes() == batch.scores[0][: len(one.scores)].tobytes()
            if "targets" in name:
                continue  # a batch refuses targets as of an instant inside its data
            other = model.recommend(data().requests([user], at=at, channel=channel), k=7)
            np.testing.assert_allclose(one.scores, other.scores[0][: len(one.scores)], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["als", "ease", "channels", "what next", "sessions"])
def test_what_is_asked_besides_matters_as_in_the_batch(name):
    live, model, at = served(name), fitted(name), "2025-03-01T12:00:00Z"
    user = int(data().events.users.ids[4])
    eligible = np.arange(len(model.items)) % 3 != 0
    for given_, exclude, some, channel in (
        (["i01", "i02"], [], None, None),
        ([], ["i03", "i04"], eligible, None),
        (["i05"], ["i03"], model.items.ids[:12].tolist(), "app"),
    ):
        requests = (
            data()
            .before(at)
            .requests(
                [user],
                at=at,
                channel=channel,
                given=[given_] if given_ else None,
                exclude=[exclude] if exclude else None,
            )
        )
        batch = model.recommend(requests, k=6, eligible=some)
        one = live.recommend(user, 6, at=at, channel=channel, given=given_, exclude=exclude, eligible=some)
        assert one.items.tolist() == item_ids(batch)
    again = model.recommend(data().before(at).requests([user], at=at), k=6, exclude_seen=False)
    assert live.recommend(user, 6, at=at, exclude_seen=False).items.tolist() == item_ids(again)


def one_event():
    seconds = st.integers(0, 86_400 * 30)
    return st.fixed_dictionaries(
        {
            "item_id": st.sampled_from([None, *(f"i{i:02d}" for i in range(1, 26)), "new item"]),
            "event": st.sampled_from(["view", "purchase", "add_to_cart"]),
            "channel": st.sampled_from(["web", "app", "store"]),
            "timestamp": seconds.map(lambda s: NOW - dt.timedelta(seconds=s)),
            "value": st.sampled_from([1.0, 2.5]),
        }
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(one_event(), min_size=1, max_size=25),
    st.sampled_from(["als", "ease", "what next", "typed", "ranker"]),
    st.randoms(),
)
def test_any_events_in_any_order_are_folded_as_a_log_of_them(events, name, order):
    """The batch reads the same events from a frame; one person has them one by one, late ones too, and some twice."""
    model, channel = fitted(name), "web" if name == "ranker" else None
    known = [{"user_id": "ann", "event_id": f"e{i}"} | one for i, one in enumerate(events)]
    live = Live(model, rules=OLD)
    told = [*known, *known[: len(known) // 3]]
    order.shuffle(told)
    for place, one in enumerate(told):
        live.observe(one)
        if place % 4 == 0:
            live.recommend("ann", 3, at=NOW, channel=channel)  # so that something is folded already
    frame = pd.DataFrame(known).drop(columns="event_id")
    log = om.EventLog.from_frame(frame, itemless="keep", timestamp="instant")
    extra = om.EventLog.from_frame(
        pd.DataFrame(
            {"user_id": "zoe", "item_id": "i01", "channel": "web", "timestamp": NOW - dt.timedelta(days=40),
             "event": ["view", "purchase"], "value": 1.0}
        )
    )  # fmt: skip
    whole = om.Dataset(om.EventLog.concat([log, extra]).before(NOW), end=NOW)
    batch = model.recommend(whole.requests(["ann"], channel=channel, new_users=True), k=6)
    one = live.recommend("ann", 6, at=NOW, channel=channel)
    assert one.items.tolist() == item_ids(batch)
    assert one.scores.tobytes() == batch.scores[0][: len(one.scores)].tobytes()


def event(name="view", item="i01", at=NOW, **more):
    return {"user_id": 7, "event": name, "channel": "web", "item_id": item, "timestamp": at} | more


def minutes(n):
    return NOW + dt.timedelta(minutes=n)


def test_strangers_get_what_most_people_choose_and_new_items_are_kept_until_a_model_knows_them():
    model = fitted("als")
    live = Live(model)
    stranger = live.recommend("nobody", 4, at=NOW)
    assert stranger.cold
    assert stranger.items.tolist() == item_ids(model.recommend(data().requests([-1], at=NOW, new_users=True), k=4))
    live.observe(event(item="i99 of tomorrow"))
    assert live.recommend(7, 4, at=minutes(1)).cold
    assert live.state(7, at=minutes(1)).waiting == 1
    later = om.models.FactorModel.from_arrays(
        np.eye(3), items=["i99 of tomorrow", "x", "y"], estimator=om.ALS(weights=WEIGHTS, unobserved_weight=0.01)
    )
    live.swap(later)
    answer = live.recommend(7, 4, at=minutes(1))
    assert not answer.cold
    assert "i99 of tomorrow" not in answer.items
    assert live.state(7, at=minutes(1)).waiting == 0


def test_a_dislike_is_never_shown_until_it_is_undone_or_a_like_follows():
    live = Live(fitted("als"), rules=Rules(repeat_after=None))
    best = live.recommend(7, 1, at=NOW).items[0]
    live.observe(event("dislike", best, event_id="d1"))
    assert best not in live.recommend(7, 25, at=minutes(1), exclude_seen=False).items
    assert live.state(7, at=minutes(1)).dislikes == (best,)
    live.observe(event("undo", None, minutes(2), refers_to="d1"))
    assert best in live.recommend(7, 25, at=minutes(3), exclude_seen=False).items
    assert live.recommend(7, 1, at=minutes(3)).cold  # it never happened
    live.observe(event("dislike", best, minutes(4)))
    live.observe(event("like", best, minutes(5)))
    assert live.state(7, at=minutes(6)).likes == (best,)
    assert live.state(7, at=minutes(4.5)).dislikes == (best,)


def test_an_undo_may_come_before_what_it_undoes():
    live = Live(fitted("als"))
    live.observe(event("undo", None, minutes(2), refers_to="late"))
    live.recommend(7, 1, at=minutes(3))
    live.observe(event("purchase", "i05", minutes(1), event_id="late"))
    assert live.state(7, at=minutes(3)).events == 0


def test_every_refresh_shows_something_new_and_the_oldest_again_when_all_were_shown():
    live = Live(fitted("als"))
    whole = live.recommend(7, 25, at=NOW).items.tolist()
    seen = []
    for turn in range(5):
        shown = live.recommend(7, 5, at=minutes(turn)).items.tolist()
        assert not set(shown) & set(seen)
        seen += shown
        live.observe([event("impression", item, minutes(turn + 0.5)) for item in shown])
    assert sorted(seen) == sorted(whole)
    assert len(live.recommend(7, 5, at=minutes(6)).items) == 5
    assert live.recommend(7, 5, at=minutes(60)).items.tolist() == whole[:5]


def test_sessions_points_and_messages():
    live = Live(fitted("als"), rules=Rules(points={"purchase": 2.0, "redeem": -1.0}, session="30min"))
    live.observe(event("view", "i01", NOW))
    live.observe(event("purchase", "i02", minutes(40), value=10.0))
    live.observe(event("redeem", None, minutes(50), value=5.0))
    live.observe(event("view", "i03", minutes(55)))
    live.observe(event("sent", "i04", minutes(56), channel="email", event_id="m1"))
    live.observe(event("response", None, minutes(57), channel="email", refers_to="m1"))
    state = live.state(7, at=minutes(58))
    assert state.session == ("i02", "i03")
    assert state.points == 15.0
    assert state.messages == 1
    assert live.state(7, at=minutes(100)).session == ()
    sent = live.data_of(7, at=minutes(58)).messages
    assert sent.responded.tolist() == [True]
    assert live.data_of(7, at=minutes(56.5)).messages.responded.tolist() == [False]


def test_resume_is_unfinished_of_the_batch():
    live = served("als")
    at = "2025-03-01T12:00:00Z"
    whole = om.journeys.unfinished(data(), at=at, idle="1us")
    assert len(whole) > 20
    for user in data().events.users.ids[:30].tolist():
        mine = whole[whole["user_id"] == user]
        found = live.resume(user, at=at)
        assert [one.item_id for one in found] == mine["item_id"].tolist()
        assert [one.touches for one in found] == mine["touches"].tolist()
        assert [one.begun_at for one in found] == mine["begun_at"].tolist()


def test_resume_says_where_to_go_on_whatever_the_device():
    live = Live(fitted("als"), rules=Rules(begun="play", finished="finish", position="watch"))
    live.observe([event("play", "i02", minutes(0), channel="phone"), event("play", "i05", minutes(1), channel="phone")])
    assert [one.position for one in live.resume(7, at=minutes(2))] == [None, None]
    live.observe(event("watch", "i02", minutes(3), channel="phone", value=0.6))
    live.observe(event("watch", "i02", minutes(4), channel="tv", value=0.35))  # they went back: the last one counts
    assert [(one.item_id, one.position) for one in live.resume(7, at=minutes(5))] == [("i02", 0.35), ("i05", None)]
    whole = om.journeys.unfinished(
        live.data_of(7, at=minutes(5)), begun="play", finished="finish", position="watch", idle="1us", missing="ignore"
    )
    assert whole["position"].tolist()[0] == 0.35
    live.observe(event("finish", "i02", minutes(6), channel="tv"))
    assert [one.item_id for one in live.resume(7, at=minutes(7))] == ["i05"]
    live.observe(event("dislike", "i05", minutes(8), channel="tv"))
    assert live.resume(7, at=minutes(9)) == ()  # nobody is led back to what they turned down
    with pytest.raises(ParameterError, match=r"position must be an event type\. Got 3"):
        Rules(position=3)


@cache
def touching():
    past = data().before("2025-02-15")
    timing = om.SendTime().fit(past)
    rules = Rules(
        repeat_after=None,
        channels=("email", "push"),
        eligibility=[om.QuietHours("21:00", "08:00")],
        constraints=[om.FrequencyCap(2, per="7D")],
    )
    live = Live(Snapshot(fitted("als"), timing=timing, audience=data().audience), rules=rules)
    live.backfill(data())
    return live, timing, rules


def test_the_next_touch_is_the_first_of_the_batch_plan():
    live, timing, rules = touching()
    at = "2025-03-01T12:00:00Z"
    known = data().before(at)
    known = om.Dataset(known.events, messages=known.messages, audience=data().audience, end=at)
    people = known.audience.users.ids[:25]
    recs = fitted("als").recommend(known.requests(people, new_users=True), k=3)
    found = om.candidates(
        recs, known, timing, om.slots(at, days=7), channels=["email", "push"], eligibility=rules.eligibility
    )
    plan = om.plan(found, constraints=rules.constraints).to_frame()
    some = 0
    for user in people.tolist():
        mine = plan[plan["user_id"] == user].sort_values("send_at", kind="stable")
        touch = live.next_touch(user, at)
        assert (touch is None) == (not len(mine))
        if touch is not None:
            some += 1
            first = mine.iloc[0]
            assert (touch.item_id, touch.channel, touch.send_at) == (
                first["item_id"],
                first["channel"],
                first["send_at"],
            )
            assert touch.value == pytest.approx(first["value"], rel=1e-9)
    assert some > 5


def test_consent_that_is_withdrawn_a_second_ago_stops_messages_and_the_newest_wins():
    live, _, _ = touching()
    at = "2025-03-01T12:00:00Z"
    user = next(u for u in data().audience.users.ids[:60].tolist() if live.next_touch(u, at) is not None)
    channel = live.next_touch(user, at).channel

    def consent(yes, when, event_id=None):
        return {"user_id": user, "event": "consent", "channel": channel, "timestamp": when, "consent": yes}

    live.observe(consent(False, "2025-03-01T11:59:59Z"))
    assert live.next_touch(user, at, channel) is None
    live.observe(consent(True, "2025-03-01T11:00:00Z"))  # older: it came late
    assert live.next_touch(user, at, channel) is None
    live.observe(consent(True, "2025-03-01T11:59:59Z"))  # at one instant no
    assert live.next_touch(user, at, channel) is None
    live.observe(consent(True, "2025-03-01T11:59:59.5Z"))
    assert live.next_touch(user, at, channel) is not None
    live.observe({"user_id": user, "event": "unsubscribed", "channel": channel, "timestamp": "2025-03-01T11:59:59.7Z"})
    assert live.next_touch(user, at, channel) is None


def test_a_purpose_without_consent_uses_nothing_of_the_person():
    rules = Rules(repeat_after=None, purposes={"recommend": "personalisation", "resume": "personalisation"})
    live = Live(fitted("als"), rules=rules)
    live.observe([event("purchase", "i02"), event("add_to_cart", "i03"), event("dislike", "i05")])
    stranger = live.recommend("nobody", 25, at=minutes(2)).items.tolist()
    assert live.recommend(7, 25, at=minutes(2)).items.tolist() == stranger
    assert live.resume(7, at=minutes(2)) == ()
    yes = event("consent", None, minutes(3), consent=True, purpose="personalisation")
    live.observe(yes)
    assert live.recommend(7, 25, at=minutes(4)).items.tolist() != stranger
    assert len(live.resume(7, at=minutes(4))) == 1
    live.observe(event("consent", None, minutes(5), consent=False, purpose="personalisation", channel="app"))
    assert live.recommend(7, 25, at=minutes(6)).items.tolist() == stranger


def test_the_same_event_twice_counts_once_and_without_an_id_twice():
    live = Live(fitted("als"))
    assert live.observe(event(event_id="a")) == (True,)
    assert live.observe([event(event_id="a"), event(event_id="b")]) == (False, True)
    assert live.observe(event()) == live.observe(event()) == (True,)
    assert live.state(7, at=minutes(1)).events == 4
    with pytest.raises(SchemaError, match="stands for another event already"):
        live.observe(event("purchase", event_id="a"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"itemid": "i01"}, "field of the event is unknown"),
        ({"user_id": None}, "no user_id"),
        ({"user_id": float("nan")}, "no user_id"),
        ({"user_id": ""}, "no user_id"),
        ({"user_id": 1.5}, "user_id must be an id"),
        ({"user_id": True}, "user_id must be an id"),
        ({"user_id": 2**63}, "user_id must be an id"),
        ({"user_id": "u" * 600}, "user_id must be an id"),
        ({"user_id": "\ud800"}, "half a character"),
        ({"item_id": ["i01"]}, "item_id must be an id"),
        ({"event": 3}, "event must be a text"),
        ({"channel": None}, "no channel"),
        ({"timestamp": None}, "no timestamp"),
        ({"timestamp": "2025-03-01T12:00:00"}, "no time zone"),
        ({"timestamp": "yesterday"}, "ISO 8601"),
        ({"timestamp": 1740830400}, "must be an instant"),
        ({"value": "3"}, "value must be a number"),
        ({"value": True}, "value must be a number"),
        ({"value": float("inf")}, "value must be finite"),
        ({"value": 10**400}, "value must be finite"),
        ({"consent": True}, "belongs to an event that gives"),
        ({"event": "consent"}, "belongs to an event that gives"),
        ({"event": "consent", "consent": "yes"}, "must be True or False"),
        ({"event": "undo"}, "needs refers_to"),
        ({"event": "response"}, "needs refers_to"),
        ({"event": "dislike", "item_id": None}, "needs an item_id"),
        ({"event": "impression", "item_id": pd.NA}, "needs an item_id"),
    ],
)
def test_events_that_are_none_are_refused_whole(change, words):
    live = Live(fitted("als"))
    with pytest.raises((SchemaError, ParameterError), match=words):
        live.observe([event(), event() | change])
    assert live.store.sizes() == (0, 0)


def test_items_of_another_kind_can_never_match():
    with pytest.raises(IdKindError, match="'item_id': str"):
        Live(fitted("als")).observe(event(item=5))


@pytest.mark.parametrize("what", ["a text", b"bytes", 7, None, pd.DataFrame({"user_id": [1]})])
def test_what_is_no_event_is_refused(what):
    with pytest.raises(SchemaError, match="observe takes an event"):
        Live(fitted("als")).observe(what)
    with pytest.raises(SchemaError, match="an event is a mapping"):
        Live(fitted("als")).observe([what])


def test_arguments_are_checked():
    live = Live(fitted("als"))
    for call, words in (
        (lambda: Live("model"), "must be fitted and recommend"),
        (lambda: Live(fitted("als"), rules={}), "rules"),
        (lambda: Live(fitted("als"), store="events.db"), "store"),
        (lambda: Live(fitted("als"), key=b"short"), "16 to 64"),
        (lambda: live.recommend(7, 0, at=NOW), "k must"),
        (lambda: live.recommend(7, 3, at="2025-03-01 12:00"), "time zone"),
        (lambda: live.recommend(None, 3, at=NOW), "user must be an id"),
        (lambda: live.recommend(7, 3, at=NOW, exclude="i01"), "must be a list"),
        (lambda: live.recommend(7, 3, at=NOW, exclude_seen=1), "exclude_seen"),
        (lambda: live.next_touch(7, NOW), "no timing model"),
        (lambda: live.erase("ann"), "must be a list"),
        (lambda: Rules(roles={"x": "nothing"}), "no role"),
        (lambda: Rules(purposes={"observe": "x"}), "purposes must map"),
        (lambda: Rules(repeat_after="soon"), "repeat_after"),
        (lambda: Rules(most=0), "most"),
        (lambda: Rules(points={"a": float("nan")}), "points"),
        (lambda: Rules(begun=""), "begun"),
        (lambda: Rules(constraints=[3]), "constraints"),
    ):
        with pytest.raises((ParameterError, SchemaError), match=words):
            call()


def test_a_bot_costs_no_more_than_the_newest_of_its_events():
    live = Live(fitted("als"), rules=Rules(most=10, repeat_after=None))
    live.observe([event(item=f"i{i % 20 + 1:02d}", at=minutes(i)) for i in range(100)])
    assert live.state(7, at=minutes(200)).events == 10
    live.observe(event(item="i21", at=minutes(150)))
    assert live.state(7, at=minutes(200)).events == 10
    live.observe(event(item="i22", at=minutes(151)))
    live.observe(event(item="i23", at=minutes(-1)))  # older than all that is read
    known = live._people["i:7"]
    again = Live(fitted("als"), rules=live.rules, store=live.store)
    assert again.state(7, at=minutes(200)) == live.state(7, at=minutes(200))
    assert known.version == live.store.version("i:7")
    assert again._people["i:7"].events == known.events


def test_nothing_names_a_person(caplog):
    live = Live(fitted("als"))
    with caplog.at_level("DEBUG"):
        live.observe(event(user_id="zz-SECRET-777", event_id="zz-SECRET-777"))
        live.recommend("zz-SECRET-777", 3, at=minutes(1))
        said = [
            repr(live),
            repr(live.state("zz-SECRET-777", at=minutes(1))),
            repr(live.data_of("zz-SECRET-777", at=minutes(1))),
        ]
        said += [repr(one) for one in live._people.values()] + [repr(live._people[next(iter(live._people))].events)]
        for wrong in ({"item_id": 5}, {"timestamp": "x"}, {"value": "zz-SECRET-777"}, {"zz-SECRET-777": 1}):
            with pytest.raises((SchemaError, ParameterError)) as error:
                live.observe(event(user_id="zz-SECRET-777") | wrong)
            said.append(str(error.value))
        live.erase(["zz-SECRET-777"])
    assert not any("SECRET" in text for text in [*said, caplog.text])


def test_a_restart_answers_as_before(tmp_path):
    first = Live(fitted("als"), store=SQLiteStore(tmp_path / "events.db"))
    first.observe([event(item="i04"), event("dislike", "i06")])
    before = first.recommend(7, 8, at=minutes(1))
    first.close()
    again = Live(fitted("als"), store=SQLiteStore(tmp_path / "events.db")).recommend(7, 8, at=minutes(1))
    assert again.items.tolist() == before.items.tolist()
    assert again.scores.tobytes() == before.scores.tobytes()


def test_two_workers_of_one_store_know_what_the_other_was_told(tmp_path):
    one, other = (Live(fitted("als"), store=SQLiteStore(tmp_path / "events.db")) for _ in range(2))
    one.observe(event(item="i04"))
    assert other.state(7, at=minutes(9)).events == 1
    other.observe(event(item="i05", at=minutes(1)))
    assert one.state(7, at=minutes(9)).events == 2
    one.erase([7])
    assert other.state(7, at=minutes(9)).events == 0


def test_a_snapshot_that_is_too_old_is_an_error():
    live = Live(Snapshot(fitted("als"), known_until="2025-02-15"), rules=Rules(max_age="7D"))
    assert len(live.recommend(7, 3, at="2025-02-20").items) == 3
    with pytest.raises(StorageError, match="stale"):
        live.recommend(7, 3, at="2025-03-20")
    with pytest.raises(StorageError, match="does not say until when"):
        Live(fitted("als"), rules=Rules(max_age="7D")).recommend(7, 3, at=NOW)


def test_requests_run_on_while_snapshots_are_swapped_and_events_come():
    models = [fitted("als"), fitted("neighbours")]
    live = Live(models[0], rules=OLD)
    live.observe([event(item=f"i{i:02d}", at=minutes(-i)) for i in range(1, 9)])
    wanted = set()
    for model in models:
        live.swap(model)
        wanted.add(tuple(live.recommend(7, 5, at=minutes(1)).items))
    wrong, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            if tuple(live.recommend(7, 5, at=minutes(1)).items) not in wanted:
                wrong.append(1)

    def tell():
        n = 0
        while not stop.is_set():
            n += 1
            live.observe(event(item="i03", at=minutes(100), event_id=f"t{n}"))

    threads = [threading.Thread(target=work) for work in (ask, ask, tell)]
    for one in threads:
        one.start()
    for turn in range(60):
        live.swap(models[turn % 2])
        live.recommend(8, 3, at=minutes(1))
    stop.set()
    for one in threads:
        one.join()
    assert not wrong


def test_asyncio_serves_from_threads():
    live = Live(fitted("als"), rules=OLD)

    async def serve():
        await asyncio.gather(
            *(asyncio.to_thread(live.observe, event(item=f"i{i:02d}", user_id=i)) for i in range(1, 20))
        )
        return await asyncio.gather(*(asyncio.to_thread(live.recommend, i, 3, at=minutes(1)) for i in range(1, 20)))

    answers = asyncio.run(serve())
    assert all(not one.cold for one in answers)
    assert answers[2].items.tolist() == live.recommend(3, 3, at=minutes(1)).items.tolist()


def _in_child(live, queue):
    live.observe(event(item="i05", at=minutes(1)))
    queue.put((live.state(7, at=minutes(9)).events, live.recommend(7, 3, at=minutes(9)).items.tolist()))


def _in_new_process(folder, queue):
    _in_child(Live(Snapshot.open(folder + "/snap.omnireco"), store=SQLiteStore(folder + "/events.db")), queue)


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_workers_that_are_forked_or_started_anew_answer_alike(tmp_path, way, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2])  # where a new process finds this file
    if way not in multiprocessing.get_all_start_methods():
        pytest.skip("no such way to start a process here")
    Snapshot(fitted("als")).save(tmp_path / "snap.omnireco")
    live = Live(Snapshot.open(tmp_path / "snap.omnireco"), store=SQLiteStore(tmp_path / "events.db"))
    live.observe(event(item="i04"))
    live.recommend(7, 3, at=minutes(9))
    context = multiprocessing.get_context(way)
    queue = context.Queue()
    target, first = (_in_child, live) if way == "fork" else (_in_new_process, str(tmp_path))
    child = context.Process(target=target, args=(first, queue))
    child.start()
    events, items = queue.get(timeout=60)
    child.join(60)
    assert events == 2
    assert items == live.recommend(7, 3, at=minutes(9)).items.tolist()


def test_the_memory_of_strangers_is_bounded():
    live = Live(fitted("als"), store=MemoryStore())
    for user in range(50):
        live.recommend(user, 1, at=NOW)
    assert not live._people


def test_a_backfill_adds_nothing_the_second_time_and_refuses_roles():
    live = Live(fitted("als"))
    assert live.backfill(data()) > 1000
    assert live.backfill(data()) == 0
    with pytest.raises(ParameterError, match="which the rules read as"):
        Live(fitted("als"), rules=Rules(roles={"view": "impression"})).backfill(data())


def test_forgetting_by_age_keeps_consents():
    live = Live(fitted("als"))
    live.observe(
        [event(item="i04", at=minutes(-9)), event(item="i05"), event("consent", None, minutes(-9), consent=True)]
    )
    assert live.expire(minutes(-1)) == 1
    state = live.state(7, at=minutes(1))
    assert state.events == 1
    assert state.consents == {("web", None): True}
