"""Rules: masks on designed instants, windows counted on paper, arguments that are refused."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from omnireco.data import Audience, Dataset, MessageLog, Vocabulary
from omnireco.errors import ParameterError
from omnireco.planning import (
    Budget,
    Candidates,
    Capacity,
    Consent,
    Constraint,
    Eligibility,
    FrequencyCap,
    OncePerItem,
    QuietHours,
    Reachable,
    plan,
)


def touches(times, *, zone="UTC", channel="push", item="tea", user=1, messages=None):
    """Touches of one person at given UTC times; consent and reachability as the frame says."""
    frame = pd.DataFrame(
        {
            "user_id": user,
            "item_id": item,
            "channel": channel,
            "send_at": pd.to_datetime(list(times), utc=True, format="ISO8601"),
            "value": 1.0,
        }
    )
    people = pd.DataFrame({"user_id": [1, 2], "timezone": zone, "consent_push": True, "consent_email": True})
    return Candidates.from_frame(frame, Dataset(messages=messages, audience=Audience.from_frame(people))).touches


def allowed(rule, times, **more):
    return rule.mask(touches(times, **more)).tolist()


def sums(rows, n):
    """Return each row as a tuple of touch positions."""
    return [tuple(rows.touch[rows.row == r].tolist()) for r in range(rows.limit.size)]


class TestQuietHours:
    def test_half_open_and_wrapping_midnight(self):
        times = ["2025-06-01 20:59:59.999999", "2025-06-01 21:00", "2025-06-02 00:00", "2025-06-02 07:59:59.999999"]
        assert allowed(QuietHours("21:00", "08:00"), [*times, "2025-06-02 08:00"]) == [True, False, False, False, True]

    def test_within_one_day(self):
        times = ["2025-06-01 11:59", "2025-06-01 12:00", "2025-06-01 13:59", "2025-06-01 14:00"]
        assert allowed(QuietHours("12:00", "14:00"), times) == [True, False, False, True]

    def test_until_midnight(self):
        times = ["2025-06-01 21:59", "2025-06-01 22:00", "2025-06-01 23:59", "2025-06-02 00:00"]
        for midnight in ("24:00", "00:00", dt.time(0)):
            assert allowed(QuietHours("22:00", midnight), times) == [True, False, False, True]

    def test_quarter_hour_zone(self):
        """Kathmandu is at +5:45: 15:15 UTC is 21:00 there, 02:15 UTC is 08:00."""
        times = ["2025-06-01 02:14", "2025-06-01 02:15", "2025-06-01 15:14", "2025-06-01 15:15"]
        assert allowed(QuietHours("21:00", "08:00"), times, zone="Asia/Kathmandu") == [False, True, True, False]

    def test_both_clock_changes_in_new_york(self):
        """08:00 is 13:00 UTC on 8 March, 12:00 UTC on the 9th; 12:00 UTC on 1 November, 13:00 UTC on the 2nd."""
        quiet = QuietHours("21:00", "08:00")
        spring = ["2025-03-08 12:59", "2025-03-08 13:00", "2025-03-09 11:59", "2025-03-09 12:00"]
        autumn = ["2025-11-01 11:59", "2025-11-01 12:00", "2025-11-02 12:59", "2025-11-02 13:00"]
        assert allowed(quiet, spring, zone="America/New_York") == [False, True, False, True]
        assert allowed(quiet, autumn, zone="America/New_York") == [False, True, False, True]

    def test_the_repeated_hour_is_quiet_twice(self):
        """01:30 comes at 05:30 and 06:30 UTC on 2 November 2025."""
        times = ["2025-11-02 04:59", "2025-11-02 05:30", "2025-11-02 06:30", "2025-11-02 07:00"]
        assert allowed(QuietHours("01:00", "02:00"), times, zone="America/New_York") == [True, False, False, True]

    def test_lord_howe_moves_by_half_an_hour(self):
        """+10:30 until 5 October 2025 02:00, then +11:00: 21:00 is 10:30 UTC before, 10:00 UTC after."""
        times = ["2025-10-04 10:29", "2025-10-04 10:30", "2025-10-05 09:59", "2025-10-05 10:00"]
        assert allowed(QuietHours("21:00", "08:00"), times, zone="Australia/Lord_Howe") == [True, False, True, False]

    def test_an_unknown_zone_fails_closed_on_the_channels_covered(self):
        noon = ["2025-06-01 12:00"]
        assert allowed(QuietHours("21:00", "08:00"), noon, zone=None) == [False]
        assert allowed(QuietHours("21:00", "08:00", channels="push"), noon, zone=None) == [False]
        assert allowed(QuietHours("21:00", "08:00", channels=["email"]), noon, zone=None) == [True]

    def test_before_1970(self):
        assert allowed(QuietHours("21:00", "08:00"), ["1960-06-01 12:00", "1960-06-01 22:00"]) == [True, False]

    @pytest.mark.parametrize(
        "wrong", ["9 pm", "21", "24:01", "25:00", "21:60", 21, None, "", dt.time(9, tzinfo=dt.UTC)]
    )
    def test_refuses_what_is_no_time_of_day(self, wrong):
        with pytest.raises(ParameterError, match=r"start must be a time of day.*Write '21:00'"):
            QuietHours(wrong, "08:00")
        with pytest.raises(ParameterError, match="end must be a time of day"):
            QuietHours("21:00", wrong)

    def test_refuses_an_ambiguous_day(self):
        with pytest.raises(ParameterError, match=r"start and end are both '08:00'.*leave the rule out"):
            QuietHours("08:00", "08:00")

    @pytest.mark.parametrize("wrong", [[], 3, [1], ["push", None]])
    def test_refuses_channels_without_names(self, wrong):
        with pytest.raises(ParameterError, match=r"channels must be names of channels.*Write channels="):
            QuietHours("21:00", "08:00", channels=wrong)


def test_consent_and_reachable_read_the_audience():
    t = touches(["2025-06-01", "2025-06-02"])
    assert Consent().mask(t).tolist() == Reachable().mask(t).tolist() == [True, True]
    assert (Consent().name, Reachable().name) == ("Consent", "Reachable")


class TestFrequencyCap:
    def test_two_touches_exactly_per_apart_share_no_window(self):
        t = touches(["2025-06-01 09:00", "2025-06-02 09:00"])
        assert FrequencyCap(1, per="24h").rows(t).limit.size == 0
        t = touches(["2025-06-01 09:00", "2025-06-02 08:59:59.999999"])
        assert sums(FrequencyCap(1, per="24h").rows(t), 2) == [(0, 1)]

    def test_windows_slide_over_midnight(self):
        """Hours 0, 10, 20, 30, 40 and windows of 24 h: {0,10,20}, {10,20,30}, {20,30,40}."""
        start = pd.Timestamp("2025-06-01 18:00", tz="UTC")
        t = touches([start + pd.Timedelta(hours=h) for h in (40, 0, 30, 10, 20)])
        assert sums(FrequencyCap(2, per="1D").rows(t), 5) == [(0, 1, 2), (1, 2, 3), (2, 3, 4)]

    def test_contained_windows_are_not_repeated(self):
        """Three touches at one instant and one an hour later are a single window."""
        t = touches(["2025-06-01 09:00"] * 3 + ["2025-06-01 10:00"])
        assert sums(FrequencyCap(1, per="2h").rows(t), 4) == [(0, 1, 2, 3)]

    def test_people_are_counted_apart(self):
        t = touches(["2025-06-01 09:00", "2025-06-01 09:00"], user=[1, 2])
        assert FrequencyCap(1, per="7D").rows(t).limit.size == 0

    def test_only_its_channels_count(self):
        t = touches(["2025-06-01 09:00", "2025-06-01 10:00", "2025-06-01 11:00"], channel=["push", "email", "push"])
        assert sums(FrequencyCap(1, per="7D", channels="push").rows(t), 3) == [(0, 2)]
        assert FrequencyCap(0, per="7D", channels="sms", missing="ignore").rows(t).limit.size == 0

    def test_without_per_it_is_the_whole_plan(self):
        t = touches(["2025-01-01", "2025-12-31"])
        assert sums(FrequencyCap(1).rows(t), 2) == [(0, 1)]

    def test_zero_sends_nothing(self):
        rows = FrequencyCap(0, per="1h").rows(touches(["2025-06-01", "2025-06-03"]))
        assert rows.limit.tolist() == [0.0, 0.0]

    def test_messages_already_sent_use_up_the_cap(self):
        """Two messages on 1 June; a cap of 2 per week is free again at the very instant a week later."""
        sent = pd.to_datetime(["2025-06-01 09:00", "2025-06-01 12:00", "2025-05-01"], utc=True, format="ISO8601")
        none = pd.Series(pd.NaT, index=range(3), dtype="datetime64[us, UTC]")
        past = MessageLog.from_frame(
            pd.DataFrame({"user_id": [1, 1, 2], "channel": "email", "sent_at": sent, "responded_at": none})
        )
        t = touches(["2025-06-08 08:59", "2025-06-08 09:00", "2025-06-08 11:59"], messages=past)
        rows = FrequencyCap(2, per="7D").rows(t)
        found = dict(zip(sums(rows, 3), rows.limit.tolist(), strict=True))
        assert found == {(0,): 0.0, (0, 1, 2): 1.0}
        assert FrequencyCap(2, per="7D", channels="push").rows(t).limit.tolist() == [2.0]
        assert FrequencyCap(3).rows(t).limit.size == 0

    @pytest.mark.parametrize("wrong", [-1, 1.5, True, "3"])
    def test_refuses_what_is_no_count(self, wrong):
        with pytest.raises(ParameterError, match="FrequencyCap: n must be an integer of at least 0"):
            FrequencyCap(wrong)

    @pytest.mark.parametrize("wrong", ["week", "0D", 7, "7 fortnights"])
    def test_refuses_what_is_no_duration(self, wrong):
        with pytest.raises(ParameterError, match="FrequencyCap: per"):
            FrequencyCap(3, per=wrong)


def test_windows_agree_with_a_plain_loop():
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(1, 30))
        hours = np.sort(rng.integers(0, 60, n))
        base = pd.Timestamp("2025-06-01", tz="UTC")
        t = touches([base + pd.Timedelta(hours=int(h)) for h in hours])
        cap, per = int(rng.integers(0, 4)), int(rng.integers(1, 30))
        rows = FrequencyCap(cap, per=f"{per}h").rows(t)
        windows = {tuple(np.flatnonzero((hours >= h) & (hours < h + per))) for h in hours}
        windows = {w for w in windows if len(w) > cap and not any(set(w) < set(o) for o in windows)}
        assert set(sums(rows, n)) == windows


def test_once_per_item_groups_person_and_item():
    t = touches(["2025-06-01", "2025-06-02", "2025-06-03"], item=["tea", "cup", "tea"])
    assert sums(OncePerItem().rows(t), 3) == [(0, 2)]


class TestBudget:
    @pytest.mark.parametrize(
        ("cost", "total", "affordable"), [(0.1, 0.3, 3), (0.01, 500, 50_000), (1, 0.99, 0), (3, 10, 3), (0.07, 2.1, 30)]
    )
    def test_pays_in_decimals(self, cost, total, affordable):
        rows = Budget("push", cost=cost, total=total).rows(touches(["2025-06-01"]))
        assert rows.limit.tolist() == [float(affordable)]
        assert rows.unit == cost

    def test_what_costs_nothing_has_no_row(self):
        assert Budget("push", cost=0, total=0).rows(touches(["2025-06-01"])).limit.size == 0

    def test_a_channel_that_no_touch_uses_costs_nothing(self):
        rows = Budget("letter", cost=1, total=5, missing="ignore").rows(touches(["2025-06-01"]))
        assert (rows.touch.size, rows.labels) == (0, ("letter",))

    @pytest.mark.parametrize("bad", [{"cost": -1, "total": 1}, {"cost": 1, "total": -1}, {"cost": "x", "total": 1}])
    def test_refuses_what_is_no_amount(self, bad):
        with pytest.raises(ParameterError, match=r"Budget: (cost|total) must be a number"):
            Budget("email", **bad)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_refuses_endless_amounts(self, bad):
        with pytest.raises(ParameterError, match="Budget: total must be a finite number"):
            Budget("email", cost=1, total=bad)

    def test_one_budget_pays_for_several_channels(self):
        t = touches(["2025-06-01 09:00"] * 3)
        rows = Budget(["push", "sms"], cost={"push": 0.02, "sms": 0.07}, total=0.1, missing="ignore").rows(t)
        assert rows.weight.tolist() == [2.0] * 3
        assert (rows.limit.tolist(), rows.unit) == ([10.0], 0.01)
        assert rows.labels == ("push + sms",)
        with pytest.raises(ParameterError, match=r"cost \(of every channel\): 'sms' is a name that nothing here has"):
            Budget(["push", "sms"], cost={"push": 1}, total=1)
        with pytest.raises(ParameterError, match=r"channel must be the name of one channel"):
            Budget(3, cost=1, total=1)


class TestCapacity:
    def test_cells_are_utc_and_half_open(self):
        t = touches(["2025-06-01 09:00", "2025-06-01 09:59:59", "2025-06-01 10:00", "1969-12-31 23:59"])
        rows = Capacity("push", per="1h", limit=1).rows(t)
        assert sums(rows, 4) == [(0,), (1, 2), (3,)]
        assert rows.labels == ("push 1969-12-31 23:00 UTC", "push 2025-06-01 09:00 UTC", "push 2025-06-01 10:00 UTC")

    @pytest.mark.parametrize("wrong", [-1, 0.5, None])
    def test_refuses_what_is_no_count(self, wrong):
        with pytest.raises(ParameterError, match="Capacity: limit must be an integer"):
            Capacity("push", limit=wrong)

    def test_refuses_what_is_no_duration_or_channel(self):
        with pytest.raises(ParameterError, match="Capacity: per"):
            Capacity("push", per="hourly", limit=1)
        with pytest.raises(ParameterError, match=r"Write Capacity\('email'"):
            Capacity(None, limit=1)


def test_masks_are_pure_shaped_and_monotone_when_stacked():
    rng = np.random.default_rng(3)
    times = pd.Timestamp("2025-03-08", tz="UTC") + pd.to_timedelta(rng.integers(0, 4_000, 300), unit="min")
    t = touches(times, zone="America/New_York", channel=rng.choice(["push", "email"], 300))
    rules = [Consent(), Reachable(), QuietHours("21:00", "08:00"), QuietHours("12:00", "13:00", channels="push")]
    stacked = np.ones(300, dtype=bool)
    for rule in rules:
        once, twice = rule.mask(t), rule.mask(t)
        assert once.shape == (300,)
        assert once.dtype == bool
        assert (once == twice).all()
        assert (rule.mask(t.take(stacked)) == once[stacked]).all()  # each touch on its own
        assert (stacked & once).sum() <= stacked.sum()
        stacked &= once


def test_rules_are_values():
    assert QuietHours("21:00", "08:00", channels="push") == QuietHours("21:00", "08:00", channels=["push"])
    assert hash(FrequencyCap(3, per="7D")) == hash(FrequencyCap(3, per="7D"))
    assert FrequencyCap(3, per="7D", channels="push").name == "FrequencyCap(3, per='7D', channels=['push'])"
    with pytest.raises(AttributeError):
        Budget("email", cost=1, total=1).total = 2


def test_touches_are_frozen_and_say_only_sizes():
    t = touches(["2025-06-01"])
    with pytest.raises(ValueError, match="read-only"):
        t.send_at[0] = 0
    assert repr(t) == "Touches(1 touch, 1 user, 1 channel)"
    assert repr(FrequencyCap(0).rows(t)) == "Rows(1 row, 1 entry)"
    assert isinstance(t.channels, Vocabulary)


def test_the_abstract_classes_ask_for_one_method():
    with pytest.raises(TypeError, match="mask"):
        Eligibility()
    with pytest.raises(TypeError, match="rows"):
        Constraint()


def test_a_cap_is_kept_by_the_planner_in_the_designed_week():
    """Seven daily touches, two per three days: sent on days 0, 1, 3, 4, 6 at equal values."""
    start = pd.Timestamp("2025-06-01", tz="UTC")
    frame = pd.DataFrame(
        {
            "user_id": 1,
            "item_id": range(7),
            "channel": "push",
            "send_at": [start + pd.Timedelta(days=d) for d in range(7)],
            "value": 1.0,
        }
    )
    assert plan(Candidates.from_frame(frame), constraints=[FrequencyCap(2, per="3D")]).value == 5.0
