"""Candidates: rules before pruning, values on paper, doors that refuse."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from omnireco.data import Audience, Catalog, Dataset, MessageLog, Recommendations, slots
from omnireco.errors import ParameterError, SchemaError
from omnireco.planning import (
    Candidates,
    Consent,
    Eligibility,
    FrequencyCap,
    OncePerItem,
    PerPerson,
    QuietHours,
    Reachable,
    candidates,
    plan,
)
from omnireco.planning.choosing import _best_slots


class Even:
    """A timing that answers with one chance everywhere."""

    def __init__(self, chance=0.1):
        self.chance = chance

    def slot_probability(self, audience, rows, channel, at_us):
        return np.full((len(rows), len(at_us)), self.chance)


class Peak:
    """A timing with one best UTC hour, less by a hundredth for each hour away from it."""

    def __init__(self, hour):
        self.hour = hour

    def slot_probability(self, audience, rows, channel, at_us):
        away = np.abs(at_us // 3_600_000_000 % 24 - self.hour)
        return np.tile(0.5 - 0.01 * away, (len(rows), 1))


def people(**columns):
    return Audience.from_frame(
        pd.DataFrame({"user_id": [1, 2, 3], "timezone": "UTC", "consent_push": True, "consent_email": True} | columns)
    )


def ranked(users=(1, 2, 3), items=("tea", "cup", "pot")):
    frame = pd.DataFrame(
        [(u, i, r) for u in users for r, i in enumerate(items, 1)], columns=["user_id", "item_id", "rank"]
    )
    return Recommendations.from_frame(frame)


def frame(**columns):
    return pd.DataFrame(
        {
            "user_id": [1, 2],
            "item_id": ["tea", "cup"],
            "channel": ["push", "email"],
            "send_at": pd.to_datetime(["2025-06-01 09:00", "2025-06-01 18:00"], utc=True),
            "value": [0.5, 0.25],
        }
        | columns
    )


DAY = slots("2025-06-01", days=1)
WEEK = slots("2025-06-01", days=7)


class TestCandidates:
    def test_values_on_paper(self):
        """Chance 0.1, margins 8 and 4, discounts 1 and 1 / log2(3)."""
        catalog = Catalog.from_frame(pd.DataFrame({"item_id": ["cup", "tea"], "margin": [4.0, 8.0]}))
        recs = ranked(users=[1], items=["tea", "cup"])
        found = candidates(
            recs,
            Dataset(audience=people(), catalog=catalog),
            Even(0.1),
            DAY,
            channels="push",
            per_person=PerPerson(n_slots=1),
        ).to_frame()
        values = found.set_index("item_id")["value"]
        assert values["tea"] == pytest.approx(0.8)
        assert values["cup"] == pytest.approx(0.4 / np.log2(3))
        assert found["probability"].tolist() == [0.1, 0.1]

    def test_an_answer_without_margins_is_worth_one(self):
        catalog = Catalog.from_frame(pd.DataFrame({"item_id": ["cup"], "price": [4.0]}))
        found = candidates(
            ranked([1], ["tea"]),
            Dataset(audience=people(), catalog=catalog),
            Even(),
            DAY,
            channels="push",
            per_person=PerPerson(n_slots=1),
        )
        assert found.value.tolist() == [0.1]

    def test_an_item_without_a_margin_is_left_out_and_counted(self):
        catalog = Catalog.from_frame(pd.DataFrame({"item_id": ["tea"], "margin": [8.0]}))
        recs = ranked([1], ["tea", "cup"])
        found = candidates(
            recs,
            Dataset(audience=people(), catalog=catalog),
            Even(),
            DAY,
            channels="push",
            per_person=PerPerson(n_slots=1),
        )
        assert found.to_frame()["item_id"].tolist() == ["tea"]
        assert found.left_out["no margin"] == 24

    def test_rules_come_before_pruning(self):
        """The peak is at 23:00, which is quiet: the best allowed slot is 20:00, not nothing."""
        found = candidates(
            ranked([1], ["tea"]),
            Dataset(audience=people()),
            Peak(23),
            DAY,
            channels="push",
            eligibility=[QuietHours("21:00", "08:00")],
            per_person=PerPerson(n_slots=1),
        )
        assert found.to_frame()["send_at"].tolist() == [pd.Timestamp("2025-06-01 20:00", tz="UTC")]
        assert found.left_out["QuietHours"] == 11

    def test_without_consent_never_a_message_whether_listed_or_not(self):
        audience = people(consent_push=[True, False, None], reachable_email=[False, True, True])
        for listed in ([], [Consent(), Reachable()], Consent()):
            found = candidates(
                ranked(), Dataset(audience=audience), Even(), DAY, channels=["push", "email"], eligibility=listed
            )
            sent = set(found.to_frame()[["user_id", "channel"]].itertuples(index=False, name=None))
            assert sent == {(1, "push"), (2, "email"), (3, "email")}
            assert found.left_out["Consent"] == 2 * 3 * 24
            assert found.left_out["Reachable"] == 1 * 3 * 24

    def test_people_outside_the_audience_get_nothing_and_are_counted(self):
        found = candidates(ranked([1, 7]), Dataset(audience=people()), Even(), DAY, channels="push")
        assert set(found.to_frame()["user_id"]) == {1}
        assert found.left_out["not in the audience"] == 3 * 24

    def test_everything_is_accounted_for(self):
        audience = people(timezone=["UTC", None, "Asia/Kathmandu"], consent_push=[True, True, False])
        rules = [QuietHours("21:00", "08:00", channels="push")]
        found = candidates(
            ranked([1, 2, 3, 4]),
            Dataset(audience=audience),
            Peak(12),
            WEEK,
            channels=["push", "email"],
            eligibility=rules,
        )
        assert sum(found.left_out.values()) + len(found) == 4 * 3 * 2 * 168

    def test_the_best_of_each_day_before_the_second_best_of_any(self):
        found = candidates(
            ranked([1], ["tea"]),
            Dataset(audience=people()),
            Peak(9),
            WEEK,
            channels="push",
            per_person=PerPerson(n_slots=8),
        ).to_frame()
        hours = found["send_at"].dt.hour.tolist()
        assert found["send_at"].dt.day.nunique() == 7
        assert sorted(hours) == [8] + [9] * 7

    def test_a_chance_of_zero_is_no_candidate(self):
        found = candidates(ranked([1]), Dataset(audience=people()), Even(0.0), DAY, channels="push")
        assert len(found) == 0
        assert found.left_out["no value"] == 3 * 24
        assert plan(found).value == 0.0

    def test_a_person_with_fewer_items_gets_those(self):
        lists = pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["tea", "cup", "pot"], "rank": [1, 2, 1]})
        found = candidates(
            Recommendations.from_frame(lists),
            Dataset(audience=people()),
            Even(),
            DAY,
            channels="push",
            per_person=PerPerson(n_slots=1),
        )
        assert found.to_frame().groupby("user_id")["item_id"].nunique().to_dict() == {1: 2, 2: 1}

    def test_touches_of_a_person_and_item_are_alternatives(self):
        found = candidates(ranked([1]), Dataset(audience=people()), Even(), WEEK, channels=["push", "email"])
        assert found.implied == (OncePerItem(), FrequencyCap(1, per="4h"))
        assert plan(found).to_frame()["item_id"].tolist().count("tea") == 1
        free = candidates(
            ranked([1]),
            Dataset(audience=people()),
            Even(),
            WEEK,
            channels=["push", "email"],
            per_person=PerPerson(once_per_item=False, min_interval=None),
        )
        assert len(plan(free)) == len(free)

    def test_hours_lie_between_two_messages_to_a_person(self):
        found = candidates(
            ranked([1]),
            Dataset(audience=people()),
            Even(),
            DAY,
            channels=["push", "email"],
            per_person=PerPerson(once_per_item=False),
        )
        sent = plan(found).to_frame()["send_at"]
        assert len(sent) > 1
        assert sent.sort_values().diff().dropna().min() >= pd.Timedelta("4h")

    def test_messages_of_the_past_count(self):
        past = pd.DataFrame(
            {
                "user_id": [1, 9],
                "channel": ["letter", "push"],
                "sent_at": pd.to_datetime(["2025-05-31 23:00", "2025-05-31"], utc=True, format="ISO8601"),
                "responded_at": pd.Series(pd.NaT, index=[0, 1], dtype="datetime64[us, UTC]"),
            }
        )
        found = candidates(
            ranked([1, 2]),
            Dataset(messages=MessageLog.from_frame(past), audience=people()),
            Even(),
            DAY,
            channels="push",
        )
        assert plan(found, constraints=[FrequencyCap(1, per="2D")]).to_frame()["user_id"].tolist() == [2]

    def test_blocks_and_the_order_of_people_do_not_matter(self, monkeypatch):
        audience, recs = people(timezone=["UTC", "Asia/Tokyo", None]), ranked()
        one = candidates(recs, Dataset(audience=audience), Peak(9), WEEK, channels=["push", "email"])
        module = sys.modules[candidates.__module__]
        monkeypatch.setattr(module, "row_blocks", lambda n, size: (slice(i, i + 1) for i in range(n)))
        other = candidates(recs.rows([3, 1, 2]), Dataset(audience=audience), Peak(9), WEEK, channels=["email", "push"])
        pd.testing.assert_frame_equal(one.to_frame(), other.to_frame())
        assert dict(one.left_out) == dict(other.left_out)

    def test_a_rule_of_ones_own(self):
        class OnlyTea(Eligibility):
            def mask(self, touches):
                return touches.items.ids[touches.item] == "tea"

        found = candidates(
            ranked([1]), Dataset(audience=people()), Even(), DAY, channels="push", eligibility=[OnlyTea()]
        )
        assert set(found.to_frame()["item_id"]) == {"tea"}
        assert found.left_out["OnlyTea"] == 48

    @pytest.mark.parametrize("answer", [np.ones(3, dtype=bool), True, np.ones(72)])
    def test_a_rule_that_does_not_answer_for_each_touch(self, answer):
        class Wrong(Eligibility):
            def mask(self, touches):
                return answer

        with pytest.raises(ParameterError, match=r"Wrong.mask must return one bool per touch, shape \(72,\)"):
            candidates(ranked([1]), Dataset(audience=people()), Even(), DAY, channels="push", eligibility=[Wrong()])

    def test_refuses_channels_without_consent(self):
        with pytest.raises(ParameterError, match=r"'sms', for which the audience has no consent.*consent_sms"):
            candidates(ranked(), Dataset(audience=people()), Even(), DAY, channels=["push", "sms"])
        for wrong in ([], [3]):
            with pytest.raises(ParameterError, match="channels must be one or more names"):
                candidates(ranked(), Dataset(audience=people()), Even(), DAY, channels=wrong)

    def test_refuses_rules_of_the_other_family(self):
        with pytest.raises(ParameterError, match=r"limits touches together.*plan\(touches, constraints="):
            candidates(
                ranked(), Dataset(audience=people()), Even(), DAY, channels="push", eligibility=[FrequencyCap(1)]
            )
        with pytest.raises(ParameterError, match="must hold Eligibility rules"):
            candidates(ranked(), Dataset(audience=people()), Even(), DAY, channels="push", eligibility=["quiet"])

    @pytest.mark.parametrize("wrong", [-0.1, np.nan, np.inf])
    def test_refuses_what_is_no_chance(self, wrong):
        with pytest.raises(ParameterError, match=r"slot_probability must return a probability in \[0, 1\]"):
            candidates(ranked(), Dataset(audience=people()), Even(wrong), DAY, channels="push")

    def test_refuses_scores_for_chances(self):
        with pytest.raises(ParameterError, match="not a score"):
            candidates(ranked(), Dataset(audience=people()), Even(3.0), DAY, channels="push")

    def test_refuses_ids_of_another_kind(self):
        with pytest.raises(
            SchemaError, match=r"ids of the candidates are strings, those of the audience are integers.*astype\(str\)"
        ):
            candidates(ranked(["1", "2"]), Dataset(audience=people()), Even(), DAY, channels="push")

    @pytest.mark.parametrize("name", ["n_items", "n_slots"])
    def test_refuses_counts_below_one(self, name):
        with pytest.raises(ParameterError, match=f"{name} must be an integer of at least 1"):
            PerPerson(**{name: 0})

    def test_lists_of_requests_are_no_lists_of_people(self):
        """Numbers of requests would be taken for the ids of other people."""
        lists = replace(ranked([1, 2]), key="request_id")
        with pytest.raises(ParameterError, match=r"one list per person .user_id.. These are named by request_id"):
            candidates(lists, Dataset(audience=people()), Even(), DAY, channels="push")
        with pytest.raises(ParameterError, match="named by similar_to"):
            candidates({"push": replace(lists, key="similar_to")}, Dataset(audience=people()), Even(), DAY)

    def test_an_audience_where_the_data_stands_says_the_new_line(self):
        with pytest.raises(TypeError, match=r"Got an Audience. Write om.candidates\(recs, data, timing, om.slots"):
            candidates(ranked(), people(), Even(), DAY, channels="push")
        with pytest.raises(TypeError, match=r"Write om.candidates\(recs, data, timing, om.slots"):
            candidates(ranked(), Dataset(audience=people()), Even(), DAY, channels="push", messages=None)
        with pytest.raises(SchemaError, match=r"candidates needs audience.*om.Dataset\(audience=people\)"):
            candidates(ranked(), Dataset(), Even(), DAY, channels="push")


class Evenings:
    """A timing that is best on the first evening and the second morning of New York, which are one day in UTC."""

    def slot_probability(self, audience, rows, channel, at_us):
        wanted = pd.to_datetime(["2025-06-03 21:00", "2025-06-04 10:00"]).tz_localize("America/New_York")
        first, second = (at.value // 1000 for at in wanted)
        return np.tile(0.1 + 0.8 * (at_us == first) + 0.7 * (at_us == second), (len(rows), 1))


def test_the_best_slot_of_each_day_is_of_each_persons_own_day():
    here = people(timezone="America/New_York")
    found = candidates(
        ranked(items=("tea",)),
        Dataset(audience=here),
        Evenings(),
        slots("2025-06-03", days=2),
        channels="push",
        per_person=PerPerson(n_slots=2),
    )
    local = found.to_frame()["send_at_local"].astype(str)
    assert sorted(set(local)) == ["2025-06-03 21:00:00", "2025-06-04 10:00:00"]
    since = candidates(
        ranked(items=("tea",)),
        Dataset(audience=here),
        Evenings(),
        slots("2025-06-03T04:00Z", days=2),
        channels="push",
        per_person=PerPerson(n_slots=2),
    )
    assert since.to_frame()["send_at"].tolist() == found.to_frame()["send_at"].tolist()


def test_best_slots_agree_with_a_plain_loop():
    rng = np.random.default_rng(0)
    for _ in range(200):
        n_slots = int(rng.integers(1, 12))
        day = np.sort(rng.integers(0, 4, n_slots))
        value = np.where(rng.random(n_slots) < 0.3, -np.inf, np.round(rng.random(n_slots), 1))
        keep = int(rng.integers(1, 6))
        turns = {}
        order = []
        for s in sorted(range(n_slots), key=lambda s: (-value[s], s)):
            if np.isfinite(value[s]):
                turns[day[s]] = turns.get(day[s], -1) + 1
                order.append((turns[day[s]], len(order), s))
        expected = {s for _, _, s in sorted(order)[:keep]}
        assert set(np.flatnonzero(_best_slots(value[None], day[None], keep)[0])) == expected


class TestFromFrame:
    @pytest.mark.parametrize("kind", [pd.DataFrame, pl.from_pandas, pa.Table.from_pandas])
    def test_every_kind_of_frame(self, kind):
        found = Candidates.from_frame(kind(frame(probability=[0.5, 1.0], creative_id=["a", None])))
        back = found.to_frame()
        assert back.columns.tolist() == [
            *["user_id", "item_id", "channel", "send_at", "send_at_local", "creative_id", "probability", "value"]
        ]
        assert back["value"].tolist() == [0.5, 0.25]
        assert back["creative_id"].isna().tolist() == [False, True]
        assert back["send_at_local"].isna().all()
        assert repr(found) == "Candidates(2 touches, 2 users, 2 items, 2 channels)"

    def test_the_frame_is_untouched_and_columns_are_mapped(self):
        mine = frame().rename(columns={"user_id": "who"})
        before = mine.copy(deep=True)
        found = Candidates.from_frame(mine, columns={"user_id": "who"})
        pd.testing.assert_frame_equal(mine, before)
        with pytest.raises(ValueError, match="read-only"):
            found.value[0] = 9.0

    def test_the_audience_is_enforced(self):
        audience = people(consent_push=[False, True, True], timezone=["UTC", "Asia/Kathmandu", None])
        found = Candidates.from_frame(frame(), Dataset(audience=audience))
        assert found.to_frame()["send_at_local"].tolist() == [pd.Timestamp("2025-06-01 23:45")]
        assert dict(found.left_out) == {"not in the audience": 0, "Consent": 1, "Reachable": 0}

    def test_a_channel_nobody_was_asked_about_has_no_consent(self):
        found = Candidates.from_frame(frame(channel="fax"), Dataset(audience=people()))
        assert (len(found), found.left_out["Consent"]) == (0, 2)

    def test_strangers_get_nothing(self):
        found = Candidates.from_frame(frame(user_id=[1, 99]), Dataset(audience=people()))
        assert (len(found), found.left_out["not in the audience"]) == (1, 1)

    def test_an_empty_audience(self):
        nobody = Audience.from_frame(
            pd.DataFrame({"user_id": pd.Series([], dtype="int64"), "timezone": pd.Series([], dtype="str")})
        )
        found = Candidates.from_frame(frame(), Dataset(audience=nobody))
        assert (len(found), found.left_out["not in the audience"]) == (0, 2)

    def test_an_audience_where_the_data_stands_says_the_new_line(self):
        with pytest.raises(TypeError, match=r"Write om.planning.Candidates.from_frame\(frame, om.Dataset\(audience="):
            Candidates.from_frame(frame(), people())
        with pytest.raises(TypeError, match=r"Write om.planning.Candidates.from_frame\(frame, om.Dataset\("):
            Candidates.from_frame(frame(), audience=people())

    def test_zones_cannot_be_read_without_an_audience(self):
        with pytest.raises(ParameterError, match=r"QuietHours reads people's zones.*om.Dataset\(audience=people\)"):
            Candidates.from_frame(frame(), eligibility=[QuietHours("21:00", "08:00")])

    def test_a_rule_that_needs_no_audience_runs_without_one(self):
        class OnlyTea(Eligibility):
            def mask(self, touches):
                return touches.items.ids[touches.item] == "tea"

        found = Candidates.from_frame(frame(), eligibility=[OnlyTea()])
        assert (len(found), dict(found.left_out)) == (1, {"OnlyTea": 1})

    def test_naive_times_are_refused_with_the_fix(self):
        with pytest.raises(SchemaError, match=r"send_at has no time zone.*tz_localize\('UTC'\)"):
            Candidates.from_frame(frame(send_at=pd.to_datetime(["2025-06-01 09:00", "2025-06-01 18:00"])))

    @pytest.mark.parametrize("wrong", [np.nan, np.inf])
    def test_values_are_finite(self, wrong):
        with pytest.raises(SchemaError, match="value is missing or infinite in 1 row"):
            Candidates.from_frame(frame(value=[0.5, wrong]))

    @pytest.mark.parametrize("wrong", [-0.1, 1.1])
    def test_probabilities_are(self, wrong):
        with pytest.raises(SchemaError, match=r"probability must lie in \[0, 1\].*1 row"):
            Candidates.from_frame(frame(probability=[0.5, wrong]))

    def test_a_missing_column_is_named(self):
        with pytest.raises(SchemaError, match="needs the column 'send_at'"):
            Candidates.from_frame(frame().drop(columns="send_at"))

    def test_no_rows_at_all(self):
        found = Candidates.from_frame(frame().iloc[:0])
        assert repr(found) == "Candidates(0 touches, 0 users, 0 items, 0 channels)"
        assert len(found.to_frame()) == 0
        best = plan(found, constraints=[FrequencyCap(1, per="7D")])
        assert (best.value, best.bound, best.optimality_gap, len(best.to_frame()), len(best.summary())) == (
            0.0,
            0.0,
            0.0,
            0,
            0,
        )

    def test_alternatives_on_request(self):
        assert Candidates.from_frame(frame()).implied == ()
        assert Candidates.from_frame(frame(), once_per_item=True).implied == (OncePerItem(),)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo", "Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"])
def test_a_plan_from_tuesday_begins_on_tuesday_wherever_people_live(zone):
    people = Audience.from_frame(pd.DataFrame({"user_id": [1], "timezone": zone, "consent_push": True}))
    recs = Recommendations.from_frame(pd.DataFrame({"user_id": [1], "item_id": ["tea"], "rank": [1]}))
    even = SimpleNamespace(slot_probability=lambda audience, rows, channel, at: np.full((len(rows), len(at)), 0.1))
    found = candidates(
        recs,
        Dataset(audience=people),
        even,
        slots("2025-06-03", days=2),
        channels="push",
        per_person=PerPerson(n_slots=1000),
    )
    local = found.to_frame()["send_at_local"]
    assert len(local) == 48
    assert (local.min(), local.max()) == (pd.Timestamp("2025-06-03 00:00"), pd.Timestamp("2025-06-04 23:00"))


def test_joined_sets_keep_the_order_of_their_columns():
    frame = pd.DataFrame(
        {
            "user_id": [1, 2],
            "item_id": ["tea", "cup"],
            "channel": "push",
            "send_at": pd.to_datetime(["2025-06-01 09:00"] * 2, utc=True),
            "value": [0.5, 0.2],
            "store_id": ["a", "b"],
            "offer_id": ["o", "p"],
            "campaign_id": ["k", "l"],
            "points": [1.0, 2.0],
            "increment": [0.1, 0.2],
        }
    )
    one = Candidates.from_frame(frame)
    pd.testing.assert_frame_equal(Candidates.concat([one, one]).to_frame(), one.to_frame())
    other = Candidates.from_frame(frame.drop(columns=["store_id", "points"]).assign(user_id=[3, 4]))
    several = [list(Candidates.concat(pair).to_frame().columns) for pair in ([one, other], [other, one])]
    assert several == [list(one.to_frame().columns)] * 2
