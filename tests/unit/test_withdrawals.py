"""Consent asks every source: audience, message log, events; the newest instant decides, and in doubt it is no."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import IdKindError, ParameterError, SchemaError

EVEN = SimpleNamespace(slot_probability=lambda audience, rows, channel, at: np.full((len(rows), len(at)), 0.1))
SLOTS = om.slots("2025-02-23", days=1)


def at(*times):
    return pd.to_datetime(list(times), utc=True, format="ISO8601")


def people(**columns):
    return om.Audience.from_frame(
        pd.DataFrame({"user_id": ["u", "v"], "timezone": "UTC", "consent_push": True, "consent_email": True} | columns)
    )


def sent(left="2025-02-01 12:05", channel="push", user="u", **columns):
    frame = {"user_id": [user], "channel": [channel], "sent_at": at("2025-02-01 12:00"), "responded_at": at(None)}
    return om.MessageLog.from_frame(pd.DataFrame(frame | {"unsubscribed_at": at(left)} | columns))


def events(channel="email", when="2025-02-01 12:05", event="unsubscribed", user="u"):
    frame = {"user_id": [user], "item_id": ["x"], "channel": [channel], "event": [event], "timestamp": at(when)}
    return om.EventLog.from_frame(pd.DataFrame(frame))


OFFERS = pd.DataFrame(
    {
        "user_id": ["u", "u", "v"],
        "item_id": "tea",
        "channel": ["push", "email", "push"],
        "send_at": at("2025-02-23 12:00", "2025-02-23 18:00", "2025-02-23 12:00"),
        "value": 1.0,
    }
)
LISTS = om.Recommendations.from_frame(pd.DataFrame({"user_id": ["u", "v"], "item_id": "tea", "rank": 1}))


def by_frame(audience, messages=None, events=None, **logs):
    data = om.Dataset(events, audience=audience, messages=messages)
    return om.planning.Candidates.from_frame(OFFERS, data, **logs)


def by_lists(audience, messages=None, events=None, **logs):
    data = om.Dataset(events, audience=audience, messages=messages)
    return om.candidates(LISTS, data, EVEN, SLOTS, channels=["push", "email"], **logs)


def by_lists_per_channel(audience, messages=None, events=None, **logs):
    data = om.Dataset(events, audience=audience, messages=messages)
    return om.candidates({"push": LISTS, "email": LISTS}, data, EVEN, SLOTS, **logs)


def by_concat(audience, **logs):
    """Only one of the two sets was made with the log of what was withdrawn."""
    return om.planning.Candidates.concat([by_frame(audience), by_frame(audience, **logs)])


DOORS = [by_frame, by_lists, by_lists_per_channel, by_concat]


def of_u(found):
    frame = om.plan(found).touches.to_frame()
    return set(frame.loc[frame["user_id"] == "u", "channel"])


@pytest.mark.parametrize("make", DOORS)
class TestEveryDoor:
    @pytest.mark.parametrize("when", ["2025-02-01 12:05", "2025-02-23 12:00", "2025-03-30 09:00"])
    def test_who_unsubscribed_after_a_message_gets_nothing_there_whenever_it_was(self, make, when):
        found = make(people(), messages=sent(when))
        assert of_u(found) == {"email"}
        assert found.left_out["Consent"] > 0

    def test_others_keep_their_consent(self, make):
        assert set(make(people(), messages=sent()).to_frame()["user_id"]) == {"u", "v"}

    def test_an_unsubscription_that_a_machine_may_have_made_is_a_no(self, make):
        assert of_u(make(people(), messages=sent(machine=[1.0]))) == {"email"}

    def test_an_event_stops_its_channel(self, make):
        assert of_u(make(people(), withdrawals=events("email"))) == {"push"}
        assert of_u(make(people(), withdrawals=events("E-Mail"))) == {"push"}

    @pytest.mark.parametrize("channel", ["web", "all", "shop"])
    def test_an_event_on_no_channel_of_messages_stops_all(self, make, channel):
        assert of_u(make(people(), withdrawals=events(channel))) == set()

    @pytest.mark.parametrize(
        ("yes", "channels"),
        [
            ("2025-02-02", {"push", "email"}),  # newer than the unsubscription
            ("2025-02-01 12:05", {"email"}),  # equal: no wins
            ("2025-01-01", {"email"}),  # older
            (None, {"email"}),  # unknown
            ("2025-06-01", {"email"}),  # after the touch would leave
        ],
    )
    def test_the_newest_instant_decides(self, make, yes, channels):
        audience = people(consent_push_at=at(yes, yes))
        assert of_u(make(audience, messages=sent())) == channels

    def test_a_yes_elsewhere_undoes_nothing(self, make):
        audience = people(consent_email_at=at("2025-02-20", "2025-02-20"))
        assert of_u(make(audience, messages=sent())) == {"email"}

    def test_a_later_event_undoes_a_later_yes(self, make):
        audience = people(consent_email_at=at("2025-02-02", None))
        assert of_u(make(audience, messages=sent(channel="email"), withdrawals=events(when="2025-02-03"))) == {"push"}

    def test_ids_of_another_kind_are_refused(self, make):
        with pytest.raises(
            IdKindError,
            match="ids of (the message log|messages) are integers, those of (the candidates|audience) are str|audience are strings, those of messages",
        ):
            make(people(), messages=sent(user=1))
        with pytest.raises(IdKindError, match="ids of the withdrawals are integers"):
            make(people(), withdrawals=events(user=1))

    def test_one_channel_in_two_spellings_is_refused(self, make):
        with pytest.raises(
            SchemaError, match=r"channel is 'push' in the (touches|audience) and 'Push ' in the message log"
        ):
            make(people(), messages=sent(channel="Push "))

    def test_a_frame_for_a_log_is_refused_with_the_line_that_reads_it(self, make):
        with pytest.raises(SchemaError, match=r"messages must be a MessageLog. Got DataFrame.*from_frame\(frame\)"):
            make(people(), messages=OFFERS)
        with pytest.raises(ParameterError, match=r"withdrawals must be .*an EventLog. Got DataFrame.*log.select"):
            make(people(), withdrawals=OFFERS)


def test_a_yes_counts_from_its_instant_on():
    audience = people(consent_push_at=at("2025-02-23 12:00", None))
    found = by_lists(audience, messages=sent()).to_frame()
    mine = found[(found["user_id"] == "u") & (found["channel"] == "push")]
    assert mine["send_at"].min() == pd.Timestamp("2025-02-23 12:00", tz="UTC")


def test_without_an_audience_what_was_withdrawn_is_kept_all_the_same():
    found = om.planning.Candidates.from_frame(OFFERS, om.Dataset(messages=sent()))
    assert (of_u(found), found.left_out["Consent"]) == ({"email"}, 1)
    assert of_u(om.planning.Candidates.from_frame(OFFERS, withdrawals=events("web"))) == set()


def test_everything_is_accounted_for():
    found = by_lists(people(consent_push_at=at("2025-02-23 12:00", None)), messages=sent())
    assert sum(found.left_out.values()) + len(found) == 2 * 2 * 24


def test_a_log_without_unsubscriptions_takes_nothing_away():
    log = sent().to_frame().drop(columns="unsubscribed_at")
    assert of_u(by_frame(people(), messages=om.MessageLog.from_frame(log))) == {"push", "email"}


def test_the_planner_refuses_touches_without_consent():
    touches = by_frame(people(consent_push=False, consent_email=False)).touches
    whole = om.planning.Candidates.from_frame(OFFERS).touches
    no = type(whole)(
        whole.users,
        whole.items,
        whole.channels,
        whole.user,
        whole.item,
        whole.channel,
        whole.send_at,
        whole.local_at,
        ~whole.consent,
        whole.reachable,
        whole.past,
    )
    assert len(touches) == 0
    with pytest.raises(ParameterError, match=r"plan: 3 rows .* of the touches have no consent or no address"):
        om.plan(om.planning.Candidates(no, np.ones(3)))


class TestInstantsOfTheAudience:
    def test_they_make_the_round_trip(self, tmp_path):
        audience = people(consent_push_at=at("2025-02-02", None))
        om.save(audience, tmp_path / "people")
        for back in (om.load(tmp_path / "people"), om.Audience.from_frame(audience.to_frame())):
            assert back.consent_at.tolist() == audience.consent_at.tolist()
            assert back.to_frame().columns.tolist() == audience.to_frame().columns.tolist()

    def test_some_people_keep_theirs(self):
        audience = people(consent_push_at=at("2025-02-02", None)).rows(["v", "u"])
        assert audience.to_frame()["consent_push_at"].isna().tolist() == [True, False]

    def test_joined_rows_keep_the_oldest_and_unknown_is_older(self):
        ids = om.identity.Identities.from_links(
            pd.DataFrame({"id_a": ["u"], "kind_a": "x", "id_b": ["v"], "kind_b": "y"})
        )
        both = people(consent_push_at=at("2025-02-02", "2025-01-02"), consent_email_at=at("2025-02-02", None))
        joined = both.resolve(ids).to_frame()
        assert joined["consent_push_at"].tolist() == [pd.Timestamp("2025-01-02", tz="UTC")]
        assert joined["consent_email_at"].isna().tolist() == [True]

    def test_an_instant_needs_its_consent(self):
        with pytest.raises(SchemaError, match=r"consent_sms_at has no consent_sms beside it.*frame\['consent_sms'\]"):
            people(consent_sms_at=at("2025-02-02", None))

    def test_an_instant_needs_a_zone(self):
        with pytest.raises(SchemaError, match="consent_push_at has no time zone"):
            people(consent_push_at=pd.to_datetime(["2025-02-02", "2025-02-02"]))


@pytest.mark.parametrize("code", [-2, -9, 7])
def test_what_is_no_code_of_a_zone_is_an_unknown_zone(code):
    audience = om.Audience.from_frame(
        pd.DataFrame({"user_id": ["u", "v"], "timezone": [None, "Asia/Tokyo"], "consent_push": True})
    )
    odd = om.Audience(
        audience.users,
        audience.zones,
        np.array([code, 0], np.int32),
        audience.channels,
        audience.consent,
        audience.reachable,
        {},
    )
    rule = om.QuietHours("21:00", "08:00")
    for found in (
        om.candidates(LISTS, om.Dataset(audience=odd), EVEN, SLOTS, channels="push", eligibility=[rule]),
        om.planning.Candidates.from_frame(
            OFFERS[OFFERS["channel"] == "push"], om.Dataset(audience=odd), eligibility=[rule]
        ),
    ):
        assert "u" not in set(found.to_frame()["user_id"])


def test_who_leaves_a_channel_has_left_its_purposes_and_not_the_other_way_round():
    frame = {"user_id": ["u"], "timezone": "UTC", "consent_email": True, "consent_email_news": True}
    audience = om.Audience.from_frame(pd.DataFrame(frame))
    offers = OFFERS[:2].assign(channel=["email", "email_news"])
    for left, stays in (("email", set()), ("email_news", {"email"})):
        for messages, logs in ((sent(channel=left), {}), (None, {"withdrawals": events(left)})):
            data = om.Dataset(audience=audience, messages=messages)
            found = om.planning.Candidates.from_frame(offers, data, **logs)
            assert set(found.to_frame()["channel"]) == stays


@pytest.mark.parametrize("make", DOORS)
@pytest.mark.parametrize("named", ["unsubscribed", ["unsubscribed"], ("view", "unsubscribed")])
def test_withdrawals_by_the_name_of_the_events_are_those_of_the_log(make, named):
    """The data of each door gets the events too; by name and by log the same touches are left."""
    log = om.EventLog.from_frame(
        pd.concat([events("email").to_frame(), events("web", event="view", user="v").to_frame()], ignore_index=True)
    )
    by_name = make(people(), events=log, withdrawals=named)
    by_log = make(people(), withdrawals=log.select(events=[named] if isinstance(named, str) else list(named)))
    pd.testing.assert_frame_equal(by_name.to_frame(), by_log.to_frame())
    assert by_name.left_out == by_log.left_out
    assert of_u(by_name) == {"push"}


@pytest.mark.parametrize("make", DOORS)
def test_a_withdrawal_that_no_event_is_named_like_is_refused(make):
    with pytest.raises(ParameterError, match=r"unsubscribd.*Did you mean 'unsubscribed'"):
        make(people(), events=events(), withdrawals=["unsubscribd"])
    with pytest.raises(SchemaError, match="needs events, and this Dataset has none"):
        make(people(), withdrawals=["unsubscribed"])
    assert of_u(make(people(), events=events(), withdrawals=[])) == {"push", "email"}


@pytest.mark.parametrize("junk", [3, [1], {"a": 1}, b"x", object()])
def test_what_names_no_withdrawals_is_refused(junk):
    with pytest.raises(ParameterError, match="withdrawals must be names of events of the data, or an EventLog"):
        by_frame(people(), events=events(), withdrawals=junk)


class TestBestHours:
    """An hour is recommended to nobody who withdrew: the same sources are asked as for candidates."""

    MODEL = om.SendTime().fit(om.Dataset(events("app"), audience=people()))

    def best(self, channel="push", **parts):
        withdrawals = parts.pop("withdrawals", None)
        data = om.Dataset(**{"audience": people()} | parts)
        return self.MODEL.best(data, "2025-02-23", 1, channel=channel, withdrawals=withdrawals)["user_id"].tolist()

    def test_who_unsubscribed_after_a_message_gets_none(self):
        assert self.best() == ["u", "v"]
        assert self.best(messages=sent()) == ["v"]
        assert self.best("email", messages=sent()) == ["u", "v"]
        again = people(consent_push_at=at("2025-02-02", None))
        assert self.best(messages=sent(), audience=again) == ["u", "v"]  # agreed again
        assert self.best(messages=sent(), audience=people(consent_push_at=at("2025-03-02", None))) == ["v"]

    def test_events_that_withdraw(self):
        log = events("push")
        assert self.best(events=log) == ["u", "v"]
        assert self.best(events=log, withdrawals=["unsubscribed"]) == ["v"]
        assert self.best(withdrawals=log) == ["v"]
        with pytest.raises(ParameterError, match="unsubscribe"):
            self.best(events=log, withdrawals=["unsubscribe"])
        with pytest.raises(SchemaError, match="best needs events"):
            self.best(withdrawals=["unsubscribed"])

    def test_a_channel_in_two_spellings_is_refused(self):
        with pytest.raises(SchemaError, match="one channel in two spellings"):
            self.best(messages=sent(channel="Push"))


@pytest.mark.parametrize("door", [by_frame, by_lists])
def test_a_log_of_withdrawals_is_of_the_people_behind_its_ids(door):
    """A withdrawal under a cookie is that of its person: who is who holds for every log beside the data too."""
    link = pd.DataFrame({"kind_a": ["id"], "id_a": ["u"], "kind_b": ["cookie"], "id_b": ["c"]})
    identities = om.identity.Identities.from_links(link, trusted=["id"])
    data = om.Dataset(audience=people(), identities=identities)
    left = events("push", user="c")
    if door is by_frame:
        found = om.planning.Candidates.from_frame(OFFERS, data, withdrawals=left)
    else:
        found = om.candidates(LISTS, data, EVEN, SLOTS, channels=["push", "email"], withdrawals=left)
    frame = found.to_frame()
    assert set(frame.loc[frame["channel"] == "push", "user_id"]) == {"v"}
    assert set(frame.loc[frame["channel"] == "email", "user_id"]) <= {"u", "v"}
