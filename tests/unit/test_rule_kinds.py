"""The rules and limits of business: each on designed touches, by hand, and closed where a fact is missing."""

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError
from omnireco.planning import (
    Affordable,
    Available,
    ComplaintRate,
    CoolDown,
    FairReach,
    FrequencyCap,
    InStock,
    LegalHours,
    NotDisliked,
    OneOffer,
    OpeningHours,
    Points,
    Purpose,
    ServiceWindow,
    Spend,
    Stock,
    Volume,
)

MONDAY = pd.Timestamp("2025-06-02", tz="UTC")


def at(day=0, time="10:00"):
    return MONDAY + pd.Timedelta(days=day) + pd.Timedelta(f"{time}:00")


def rows(**columns):
    """Touches of one column each; what is not said is the same for all."""
    n = max(len(one) for one in columns.values() if isinstance(one, list))
    usual = {"user_id": [f"u{i}" for i in range(n)], "item_id": "tea", "channel": "push", "send_at": at(), "value": 1.0}
    return pd.DataFrame(usual | columns)


def found(audience=None, **columns):
    data = None if audience is None else om.Dataset(audience=audience)
    return om.planning.Candidates.from_frame(rows(**columns), data)


def mask(rule, audience=None, **columns):
    """Return who may be written to, in the order of the people's names."""
    made = found(audience, **columns)
    users = made.touches.users.decode(made.touches.user)
    return [bool(fine) for _, fine in sorted(zip(users, rule.mask(made.touches), strict=True))]


def people(zones, **more):
    n = len(zones)
    frame = {"user_id": [f"u{i}" for i in range(n)], "timezone": zones, "consent_push": True, "consent_call": True}
    return om.Audience.from_frame(pd.DataFrame(frame | more), attributes=[k for k in more if "consent" not in k])


def log(*events, value=None):
    """A log of (person, item, event, channel, instant)."""
    frame = pd.DataFrame(events, columns=["user_id", "item_id", "event", "channel", "timestamp"])
    return om.EventLog.from_frame(frame if value is None else frame.assign(value=value), itemless="keep")


# rules --------------------------------------------------------------------------------------------------------------


class TestLegalHours:
    LAW: ClassVar = {"FR": {"mon-fri": ["10:00-13:00", "14:00-20:00"]}, "US": {"daily": "08:00-21:00"}}
    ZONES: ClassVar = ["Europe/Paris", "America/New_York", "Asia/Tokyo", None]

    @pytest.mark.parametrize(
        ("when", "allowed"),
        [
            (at(0, "07:59"), [False, False, False, False]),  # 09:59 in Paris, 03:59 in New York
            (at(0, "08:00"), [True, False, False, False]),
            (at(0, "11:00"), [False, False, False, False]),  # 13:00 is over
            (at(0, "12:00"), [True, True, False, False]),  # 14:00, 08:00
            (at(5, "08:30"), [False, False, False, False]),  # Saturday
        ],
    )
    def test_the_law_of_the_place_on_its_own_clock(self, when, allowed):
        assert mask(LegalHours(self.LAW), people(self.ZONES), send_at=[when] * 4) == allowed

    def test_other_channels_and_other_places(self):
        assert (
            mask(LegalHours(self.LAW, channels="call"), people(self.ZONES), send_at=[at(0, "03:00")] * 4) == [True] * 4
        )
        open_ = LegalHours(self.LAW, elsewhere="allow")
        assert mask(open_, people(self.ZONES), send_at=[at(0, "03:00")] * 4) == [False, False, True, False]

    def test_a_zone_goes_before_its_country(self):
        law = {"US": {"daily": "08:00-21:00"}, "America/New_York": {"daily": "00:00-02:00"}}
        zones = ["America/New_York", "America/Chicago"]
        assert mask(LegalHours(law), people(zones), send_at=[at(0, "13:30")] * 2) == [False, True]

    def test_holidays_are_closed_and_must_be_known(self):
        free = om.data.Holidays.from_dates({"Europe/Paris": ["2025-06-02"]})
        noon = {"send_at": [at(0, "12:00")] * 2}
        zones = ["Europe/Paris", "America/New_York"]
        assert mask(LegalHours(self.LAW, holidays=free), people(zones), **noon) == [False, True]
        named = {"FR": {"mon-fri": "10:00-20:00", "holiday": "14:00-15:00"}}
        assert mask(LegalHours(named, holidays=free), people(zones), **noon) == [True, False]
        with pytest.raises(ParameterError, match="this law names holidays, and nobody says which days they are"):
            mask(LegalHours(named), people(zones), **noon)

    @pytest.mark.parametrize("law", [{"XX": {"mon": "09:00-10:00"}}, {"FRA": {"mon": "09:00-10:00"}}, {3: {}}])
    def test_refuses_places(self, law):
        with pytest.raises(ParameterError, match="is no country by its two letters"):
            LegalHours(law)

    def test_two_letters_are_a_country_also_where_a_zone_has_that_name(self):
        """``GB`` and ``NZ`` are links in the zone database: taken for zones, their laws were nobody's."""
        people_ = people(["Europe/London", "Pacific/Auckland", "GB", "Pacific/Chatham"])
        noon, night = at(0, "12:00"), at(0, "00:30")
        law = {"GB": {"daily": "09:00-20:00"}, "NZ": {"daily": "00:00-24:00"}}
        for elsewhere in ("deny", "allow"):
            rule = LegalHours(law, elsewhere=elsewhere)
            assert mask(rule, people_, send_at=[noon] * 4) == [True] * 4
            assert mask(rule, people_, send_at=[night] * 4) == [False, True, False, True]

    def test_a_zone_is_one_place_however_it_is_written(self):
        law = {"Asia/Calcutta": {"daily": "09:00-12:00"}}
        assert mask(LegalHours(law, elsewhere="allow"), people(["Asia/Kolkata"]), send_at=[at(0, "12:00")]) == [False]
        for twice in ("Asia/Calcutta", "Asia/Kolkata"), ("GB", "gb"):
            with pytest.raises(ParameterError, match="are one place, with a law each"):
                LegalHours({name: {"daily": "09:00-12:00"} for name in twice})


class TestPauses:
    LOG = log(
        ("u0", "tea", "purchase", "shop", at(-7)),
        ("u1", "tea", "purchase", "shop", at(-7, "10:01")),
        ("u2", "cup", "complaint", "call", at(-1)),
        ("u3", None, "complaint", "call", at(-1)),
        ("u4", "tea", "view", "web", at(-1)),
        ("u5", "tea", "purchase", "web", at(1)),  # after the touch
    )

    def test_left_alone_for_a_week_half_open(self):
        rule = CoolDown("7D", self.LOG, events=["purchase", "complaint"])
        assert mask(rule, value=[1.0] * 7) == [True, False, False, False, True, True, True]

    def test_by_item(self):
        rule = CoolDown("7D", self.LOG, events=["purchase", "complaint"], by="item")
        assert mask(rule, value=[1.0] * 7) == [True, False, True, False, True, True, True]

    def test_after_an_answer(self):
        sent = pd.DataFrame({"user_id": ["u0", "u1"], "channel": "push", "item_id": "tea", "sent_at": at(-2)})
        sent["responded_at"] = [at(-1), pd.NaT]
        rule = CoolDown("2D", om.MessageLog.from_frame(sent))
        assert mask(rule, value=[1.0] * 3) == [False, True, True]

    def test_a_chat_answers_within_a_day(self):
        wrote = log(
            ("u0", None, "message_in", "chat", at(-1)),  # exactly a day: too late
            ("u1", None, "message_in", "chat", at(-1, "10:01")),
            ("u2", None, "message_in", "web", at(-1, "23:00")),
            ("u3", None, "typed", "chat", at(-1, "23:00")),
            ("u4", None, "message_in", "chat", at(0, "11:00")),  # after the touch
        )
        rule = ServiceWindow(wrote, events="message_in", channels="chat")
        assert mask(rule, channel=["chat"] * 6) == [False, True, False, False, False, False]
        assert mask(rule, channel=["chat", "push", "push"]) == [False, True, True]

    @pytest.mark.parametrize("wrong", [{"events": "buy"}, {}, {"events": "view", "by": "category"}])
    def test_refuses(self, wrong):
        with pytest.raises(ParameterError):
            CoolDown("7D", self.LOG, **wrong)


class TestItems:
    def test_only_while_the_catalogue_says_so(self):
        goods = om.Catalog.from_frame(
            pd.DataFrame(
                {
                    "item_id": ["now", "ended", "later", "hidden", "unsure", "open"],
                    "valid_from": [at(-1), at(-9), at(0, "10:01"), pd.NaT, pd.NaT, pd.NaT],
                    "valid_until": [at(0, "10:01"), at(), pd.NaT, pd.NaT, pd.NaT, pd.NaT],
                    "hidden": [False, False, False, True, None, False],
                }
            )
        )
        items = ["now", "ended", "later", "hidden", "unsure", "open", "unheard of"]
        assert mask(Available(goods), item_id=items) == [True, False, False, False, False, True, False]
        again = om.Catalog.from_frame(goods.to_frame())
        assert mask(Available(again), item_id=items) == [True, False, False, False, False, True, False]

    def test_a_piece_must_be_there(self):
        stock = om.data.StockLevels.from_frame(
            pd.DataFrame({"item_id": ["tea", "tea", "cup"], "store_id": ["a", "b", "a"], "pieces": [1, 0, 0]})
        )
        columns = {"item_id": ["tea", "tea", "tea", "cup", "hat"], "store_id": ["a", "b", None, None, None]}
        assert mask(InStock(stock), **columns) == [True, False, True, False, False]

    def test_what_was_turned_down_is_not_offered_until_it_is_taken_back(self):
        said = log(
            ("u0", "tea", "dislike", "app", at(-3)),
            ("u1", "cup", "dislike", "app", at(-3)),
            ("u2", "tea", "dislike", "app", at(-3)),
            ("u2", "tea", "like", "app", at(-2)),
            ("u3", "tea", "like", "app", at(-3)),
            ("u3", "tea", "dislike", "app", at(-2)),
        )
        assert mask(NotDisliked(said, events="dislike", undone="like"), value=[1.0] * 4) == [False, True, True, False]
        assert mask(NotDisliked(said, events="dislike"), value=[1.0] * 4) == [False, True, False, False]


def test_a_shop_must_be_open_long_enough():
    shops = om.data.Shops.from_frame(
        pd.DataFrame({"store_id": ["a", "b"], "timezone": ["Europe/Berlin", None]}),
        hours={"a": {"mon": "09:00-13:00"}, "b": {"daily": "00:00-24:00"}},
    )
    stores = {"store_id": ["a", "b", None, "c"]}
    assert mask(OpeningHours(shops), **stores) == [True, False, False, False]  # 12:00 in Berlin
    assert mask(OpeningHours(shops, left="60min"), **stores) == [True, False, False, False]
    assert mask(OpeningHours(shops, left="61min"), **stores) == [False, False, False, False]
    assert mask(OpeningHours(shops, channels="call", left="61min"), channel=["push", "call"], store_id=["a", "a"]) == [
        True,
        False,
    ]


def test_a_purpose_needs_its_own_consent_on_the_channel():
    folk = people(["UTC"] * 3, consent_push_news=[True, False, None])
    assert mask(Purpose("news", folk), folk, value=[1.0] * 3) == [True, False, False]
    assert mask(Purpose("news", folk), folk, channel=["push", "call", "push"]) == [True, False, False]
    assert mask(Purpose("news", folk, channels="push"), folk, channel=["push", "call", "push"]) == [True, True, False]
    with pytest.raises(ParameterError, match="the audience has no consent of 'sale'"):
        Purpose("sale", folk)


class TestPoints:
    CARDS = om.data.UserAmounts.from_frame(pd.DataFrame({"user_id": ["u0", "u1", "u2"], "amount": [120, 90, -5]}))

    def test_a_reward_must_be_affordable(self):
        rule = Affordable(self.CARDS, rewards={"latte": 100})
        assert mask(rule, item_id=["latte"] * 4) == [True, False, False, False]
        assert mask(rule, item_id=["tea"] * 4) == [True] * 4
        assert mask(Affordable(self.CARDS, rewards={"latte": 100}, near=10), item_id=["latte"] * 4)[1]

    def test_all_promises_together_are_paid_from_one_card_on_any_channel(self):
        columns = {"user_id": ["u0", "u0", "u0", "u1"], "item_id": ["latte", "cake", "tea", "latte"]}
        touches = found(**columns, channel=["push", "mail", "mail", "push"], value=[3.0, 2.0, 1.0, 1.0])
        rule = Points(self.CARDS, rewards={"latte": 100, "cake": 30})
        sent = om.plan(touches, constraints=[rule]).to_frame()
        assert sorted(sent[["user_id", "item_id"]].values.tolist()) == [["u0", "latte"], ["u0", "tea"]]

    def test_without_points_it_says_so(self):
        with pytest.raises(ParameterError, match="these touches have no column points"):
            mask(Affordable(self.CARDS), value=[1.0])


# limits -------------------------------------------------------------------------------------------------------------


class TestSpend:
    def test_expected_rewards_stay_within_the_total(self):
        touches = found(value=[5.0, 4.0, 3.0], probability=[0.5, 0.5, 0.1])
        sent = om.plan(touches, constraints=[Spend(2.0, reward={"tea": 4.0})]).to_frame()
        assert sent["value"].tolist() == [5.0]
        wide = om.plan(touches, constraints=[Spend(2.4, reward={"tea": 4.0})]).to_frame()
        assert sorted(wide["value"]) == [3.0, 5.0]

    def test_a_cost_that_is_not_known_is_not_spent(self):
        touches = found(value=[5.0, 4.0], reward_cost=[np.nan, 1.0])
        best = om.plan(touches, constraints=[Spend(1000)])
        assert best.to_frame()["value"].tolist() == [4.0]
        assert best.why_not()["reason"].tolist() == ["Spend(1000)"]
        with pytest.raises(ParameterError, match="these touches have no column reward_cost"):
            om.plan(found(value=[1.0]), constraints=[Spend(9)])


class TestStock:
    LEVELS = om.data.StockLevels.from_frame(
        pd.DataFrame({"item_id": ["tea", "tea"], "store_id": ["a", "b"], "pieces": [2, 1]})
    )

    def test_expected_pick_ups_of_an_item_and_shop(self):
        touches = found(value=[4.0, 3.0, 2.0, 1.0], probability=[1.0, 1.0, 1.0, 1.0], store_id=["a", "a", "a", "b"])
        assert om.plan(touches, constraints=[Stock(self.LEVELS)]).to_frame()["value"].tolist() == [4.0, 3.0, 1.0]

    def test_who_names_no_shop_draws_on_all(self):
        touches = found(value=[4.0, 3.0, 2.0, 1.0], store_id=["a", None, None, "b"])
        assert sorted(om.plan(touches, constraints=[Stock(self.LEVELS)]).to_frame()["value"]) == [2.0, 3.0, 4.0]

    def test_what_is_not_listed_is_not_there(self):
        touches = found(value=[4.0, 3.0], item_id=["hat", "tea"], store_id=["a", "c"])
        assert om.plan(touches, constraints=[Stock(self.LEVELS)]).to_frame().empty

    def test_pieces_suffice_with_the_certainty_that_was_asked(self):
        """Pick-ups of many people, each with a chance of their own: simulated, sold out no more often than said."""
        rule, draw = Stock(self.LEVELS, certainty=0.95), np.random.default_rng(0)
        for pieces in (1, 3, 10, 40):
            chance = draw.uniform(0.02, 0.6, 2000)
            chance = chance[np.cumsum(chance) <= rule.promised(pieces)]
            came = (draw.random((20_000, chance.size)) < chance).sum(axis=1)
            assert (came > pieces).mean() <= 0.05
        assert rule.promised([0.0, 0.5]).tolist() == [0.0, 0.0]


class TestFloors:
    def test_a_campaign_gets_its_volume_though_it_earns_less(self):
        touches = found(value=[5.0, 4.0, 1.0, 0.5], campaign_id=["a", "a", "spring", "spring"])
        one_day = om.Capacity("push", per="1D", limit=2)
        best = om.plan(touches, constraints=[one_day, Volume("spring", least=1)])
        assert best.to_frame()["value"].tolist() == [5.0, 1.0]
        assert om.plan(touches, constraints=[Volume("a", least=0, most=1)]).value == pytest.approx(6.5)
        with pytest.raises(ParameterError, match="'sprung' is a name that nothing here has"):
            om.plan(touches, constraints=[Volume("sprung", least=1)])

    def test_complaints_stay_below_their_share(self):
        touches = found(value=[3.0, 2.0, 1.0], complaint=[0.003, np.nan, 0.0])
        best = om.plan(touches, constraints=[ComplaintRate(0.0015)])
        assert best.to_frame()["value"].tolist() == [3.0, 1.0]  # 0.003 and 0 are 0.0015 each
        assert om.plan(touches, constraints=[ComplaintRate(0.001)]).to_frame()["value"].tolist() == [1.0]

    def test_groups_get_their_share(self):
        folk = people(["UTC"] * 40, region=["n"] * 20 + ["s"] * 20)
        touches = found(folk, value=[float(30 - i) for i in range(20)] + [1.0] * 20)
        day = om.Capacity("push", per="1D", limit=20)
        south = {f"u{i}" for i in range(20, 40)}
        reach = [
            int(om.plan(touches, constraints=[day, *more]).to_frame()["user_id"].isin(south).sum())
            for more in ([], [FairReach("region", least=0.5)], [FairReach("region", least=1.0)])
        ]
        assert reach == [0, 4, 9]  # a half of 10, and 10, less the one message that a group may lack
        with pytest.raises(ParameterError, match="'city' is a name that nothing here has"):
            om.plan(touches, constraints=[FairReach("city", least=0.5)])


def test_a_cap_on_one_kind_counts_what_was_sent_and_what_is_not_known():
    sent = pd.DataFrame({"user_id": ["u0", "u1", "u2"], "channel": "push", "sent_at": at(-1), "item_id": "tea"})
    sent["responded_at"], sent["kind"] = pd.NaT, ["nudge", "service", None]
    sent["responded_at"] = pd.to_datetime(sent["responded_at"], utc=True)
    data = om.Dataset(messages=om.MessageLog.from_frame(sent))
    frame = rows(kind=["nudge"] * 4)
    touches = om.planning.Candidates.from_frame(frame, data)
    best = om.plan(touches, constraints=[FrequencyCap(1, per="7D", kinds="nudge")])
    assert best.to_frame()["user_id"].tolist() == ["u1", "u3"]
    other = om.planning.Candidates.from_frame(frame.assign(kind=["news", None, "news", "news"]), data)
    assert len(om.plan(other, constraints=[FrequencyCap(0, kinds="nudge")])) == 3
    with pytest.raises(ParameterError, match="kinds: 'nugde' is a name that nothing here has"):
        om.plan(touches, constraints=[FrequencyCap(1, kinds="nugde")])


def test_one_offer_for_each_person_and_for_each_segment():
    offers = om.planning.Offers.from_frame(pd.DataFrame({"offer_id": ["x", "y"]}))
    folk = people(["UTC"] * 4, segment=["gold", "gold", "blue", "blue"])
    made = found(
        folk, user_id=["u0", "u0", "u1", "u2", "u3"], channel=["push", "call", "push", "push", "push"], value=[1.0] * 5
    )
    touches = made.with_offers(offers)
    assert len(touches) == 10
    for by in ("user_id", "segment"):
        sent = om.plan(touches, constraints=[OneOffer(by)]).to_frame()
        assert sent.groupby(["user_id", "channel"]).size().max() == 1
        group = sent["user_id"] if by == "user_id" else sent["user_id"].map({"u0": 0, "u1": 0, "u2": 1, "u3": 1})
        assert sent.groupby(group)["offer_id"].nunique().max() == 1


def test_complaints_below_the_share_limit_nothing():
    """A company of which nobody complains was refused: no weight above 0."""
    frame = pd.DataFrame(
        {"user_id": [1, 2], "item_id": "tea", "channel": "email", "value": 1.0, "complaint": [0.0, 0.0005]}
    ).assign(send_at=pd.Timestamp("2025-06-02 09:00", tz="UTC"))
    best = om.plan(om.planning.Candidates.from_frame(frame), constraints=[om.planning.ComplaintRate()])
    assert len(best) == 2
    assert best.left_out == {}


def test_reach_is_fair_where_there_is_one_group():
    people = pd.DataFrame({"user_id": [1, 2], "timezone": "UTC", "consent_email": True, "region": "north"})
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": "tea", "channel": "email", "value": 1.0}).assign(
        send_at=pd.Timestamp("2025-06-02 09:00", tz="UTC")
    )
    touches = om.planning.Candidates.from_frame(
        frame, om.Dataset(audience=om.Audience.from_frame(people, attributes=["region"]))
    )
    assert len(om.plan(touches, constraints=[om.planning.FairReach("region", least=0.8)])) == 2
