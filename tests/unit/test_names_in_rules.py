"""A name that matches nothing would switch a rule off; an argument of another type says how to make the right one."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import DataWarning, IdKindError, ParameterError, SchemaError
from omnireco.planning import Capacity

EVEN = SimpleNamespace(slot_probability=lambda audience, rows, channel, at: np.full((len(rows), len(at)), 0.1))
SLOTS = om.slots("2025-06-01", days=1)
PEOPLE = pd.DataFrame({"user_id": [1, 2], "timezone": "UTC", "consent_push": True, "consent_sms": True})
AUDIENCE = om.Audience.from_frame(PEOPLE)
LISTS = om.Recommendations.from_frame(pd.DataFrame({"user_id": [1, 2], "item_id": "tea", "rank": 1}))
OFFERS = pd.DataFrame({"user_id": [1], "item_id": "tea", "channel": "push", "value": 1.0}).assign(
    send_at=pd.Timestamp("2025-06-01 12:00", tz="UTC")
)
RULES = {
    "QuietHours": lambda name, **more: om.QuietHours("21:00", "08:00", channels=name, **more),
    "FrequencyCap": lambda name, **more: om.FrequencyCap(0, per="7D", channels=name, **more),
    "Budget": lambda name, **more: om.Budget(name, cost=1, total=0, **more),
    "Capacity": lambda name, **more: Capacity(name, limit=0, **more),
}


def past(user=1, channel="letter"):
    stamps = {"sent_at": pd.to_datetime(["2025-05-31"], utc=True), "responded_at": pd.to_datetime([None], utc=True)}
    return om.MessageLog.from_frame(pd.DataFrame({"user_id": [user], "channel": channel} | stamps))


def planned(rule, offers=OFFERS, audience=AUDIENCE, messages=None):
    early = [rule] if isinstance(rule, om.QuietHours) else []
    late = [] if early else [rule]
    found = om.planning.Candidates.from_frame(
        offers, om.Dataset(messages=messages, audience=audience), eligibility=early
    )
    return om.plan(found, constraints=late)


PARTS, LIMITS = ("audience", "messages", "catalog"), ("n_items", "once_per_item", "min_interval")


def made(**more):
    """Candidates with some arguments changed: those of the Dataset and of PerPerson by their own names."""
    parts = {"audience": AUDIENCE} | {name: more.pop(name) for name in PARTS if name in more}
    arguments = {"recs": LISTS, "timing": EVEN, "slots": SLOTS, "channels": "push"} | more
    if limits := {name: arguments.pop(name) for name in LIMITS if name in arguments}:
        arguments["per_person"] = om.planning.PerPerson(**limits)
    return om.candidates(**({"data": om.Dataset(**parts)} | arguments))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["Push", "push ", "puhs", "pusch", "PUSH"])
def test_a_misspelt_channel_is_an_error_with_the_nearest(rule, name):
    with pytest.raises(
        ParameterError, match=rf"{rule}: channels?: {name!r}.*Did you mean 'push'.*Known: 'push', 'sms'"
    ):
        planned(RULES[rule](name))


@pytest.mark.parametrize("rule", RULES)
def test_a_channel_of_the_audience_or_of_the_history_is_known_though_no_touch_uses_it(rule):
    assert len(planned(RULES[rule]("sms"))) == 1
    assert len(planned(RULES[rule]("letter"), messages=past())) == 1


@pytest.mark.parametrize("rule", RULES)
def test_the_advice_to_ignore_what_is_missing_is_followed(rule):
    assert len(planned(RULES[rule]("letter", missing="ignore"))) == 1
    with pytest.raises(ParameterError, match=f"{rule}: missing must be one of 'raise', 'ignore'"):
        RULES[rule]("letter", missing="drop")


@pytest.mark.parametrize("rule", RULES)
def test_where_there_is_nothing_at_all_no_name_is_wrong(rule):
    rule = om.FrequencyCap(1, channels="push") if rule == "QuietHours" else RULES[rule]("push")
    assert len(planned(rule, OFFERS.iloc[:0], None)) == 0


def test_one_wrong_name_among_right_ones():
    with pytest.raises(ParameterError, match="'emial' is a name that nothing here has"):
        planned(om.FrequencyCap(1, per="7D", channels=["push", "emial"]))


def test_candidates_refuse_misspelt_rules_also_where_nobody_is_left():
    rule = om.QuietHours("21:00", "08:00", channels="Push")
    strangers = om.Recommendations.from_frame(pd.DataFrame({"user_id": [8, 9], "item_id": "tea", "rank": 1}))
    for recs in (LISTS, strangers):
        with pytest.raises(ParameterError, match="'Push' is a name that nothing here has"):
            made(recs=recs, eligibility=[rule])


def test_a_cap_over_two_channels_counts_the_history_of_the_one_that_no_touch_uses():
    cap = om.FrequencyCap(1, per="7D", channels=["push", "sms"])
    assert len(planned(cap, messages=past(channel="sms"))) == 0
    assert len(planned(cap, messages=past(channel="letter"))) == 1


def test_candidates_refuse_a_misspelt_channel():
    with pytest.raises(ParameterError, match=r"'Pusch', for which the audience has no consent.*Did you mean 'push'"):
        made(channels="Pusch")


class TestTablesOfIds:
    def test_history_of_another_kind(self):
        for make in (lambda: planned(om.FrequencyCap(1), messages=past("1")), lambda: made(messages=past("1"))):
            with pytest.raises(IdKindError, match=r"audience are integers, those of messages are strings"):
                make()

    def test_the_line_that_casts_leads_to_the_right_result(self):
        cast = OFFERS.copy()
        cast["user_id"] = cast["user_id"].astype(str)
        people = om.Audience.from_frame(PEOPLE.assign(user_id=["1", "2"]))
        assert len(planned(om.FrequencyCap(1, per="7D"), cast, people, past("1"))) == 0

    def test_a_catalogue_of_another_kind(self):
        catalog = om.Catalog.from_frame(pd.DataFrame({"item_id": [1], "margin": 2.0}))
        with pytest.raises(IdKindError, match=r"ids of the lists are strings.*frame\['item_id'\].astype\(str\)"):
            made(catalog=catalog)

    def test_an_audience_of_another_kind(self):
        with pytest.raises(IdKindError, match="ids of the candidates are integers, those of the audience are strings"):
            made(audience=om.Audience.from_frame(PEOPLE.assign(user_id=["1", "2"])))

    def test_hardly_anybody_in_the_audience_is_worth_a_warning(self):
        strangers = om.Audience.from_frame(
            pd.DataFrame({"user_id": range(1000, 1100), "timezone": "UTC"} | {"consent_push": True})
        )
        many = om.Recommendations.from_frame(pd.DataFrame({"user_id": range(50), "item_id": "tea", "rank": 1}))
        with pytest.warns(DataWarning, match=r"0 of 50 ids \(0%\) are both in the audience and in the candidates"):
            made(recs=many, audience=strangers)


MARKER = "anna@example.org"
JUNK = [None, 3, MARKER, [1], {"a": 1}, OFFERS, om.QuietHours, np.arange(3), float("nan"), b"x", object()]
NEEDED = ["recs", "data", "audience", "timing", "slots", "eligibility"]
OPTIONAL = ["messages", "catalog", "withdrawals", "value", "creatives", "per_person"]


@pytest.mark.parametrize("argument", [*NEEDED, *OPTIONAL])
@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: type(junk).__name__)
def test_candidates_refuse_things_of_another_type(argument, junk):
    if junk is None and argument not in NEEDED:
        assert len(made(**{argument: None}))
        return
    with pytest.raises((ParameterError, SchemaError)) as error:
        made(**{argument: junk})
    assert MARKER not in str(error.value)


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: type(junk).__name__)
def test_the_planner_refuses_things_of_another_type(junk):
    with pytest.raises(ParameterError, match=r"plan takes Candidates. Got"):
        om.plan(junk)
    with pytest.raises(ParameterError, match=r"constraints must (be a list of|hold) Constraint rules. Got") as error:
        om.plan(made(), constraints=junk)
    assert MARKER not in str(error.value)


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: type(junk).__name__)
def test_a_set_of_candidates_refuses_things_of_another_type(junk):
    with pytest.raises(ParameterError, match="touches must be a Touches"):
        om.planning.Candidates(junk, np.ones(1))
    with pytest.raises(ParameterError, match="Candidates: value must be a float64 array"):
        om.planning.Candidates(made().touches, junk)


def test_classes_for_rules_say_to_make_one():
    with pytest.raises(ParameterError, match=r"Got the class QuietHours: write QuietHours\(\.\.\.\)"):
        made(eligibility=[om.QuietHours])
    with pytest.raises(ParameterError, match=r"Got the class FrequencyCap: write FrequencyCap\(\.\.\.\)"):
        om.plan(made(), constraints=[om.FrequencyCap])
    with pytest.raises(
        ParameterError, match=r"eligibility must be a list of Eligibility rules. Got the class QuietHours"
    ):
        made(eligibility=om.QuietHours)


def test_estimators_that_were_not_fitted_are_refused():
    with pytest.raises(ParameterError, match=r"timing must have a verb slot_probability. Got SendTime.*fit returns"):
        made(timing=om.SendTime())
    with pytest.raises(ParameterError, match=r"fatigue must have a verb factor. Got Fatigue"):
        made(value=om.planning.TouchValue(fatigue=om.timing.Fatigue()))


@pytest.mark.parametrize("number", [np.nan, np.inf, -1.0])
def test_fatigue_that_is_no_number_is_refused(number):
    for factor, cost in ((number, 0.0), (1.0, number)):
        tired = SimpleNamespace(
            factor=lambda ids, channel, at, f=factor: np.full((len(ids), len(at)), f),
            cost=lambda ids, channel, c=cost: np.full(len(ids), c),
        )
        with pytest.raises(ParameterError, match=r"fatigue\.(factor|cost) must return numbers of 0 or more"):
            made(value=om.planning.TouchValue(fatigue=tired))


@pytest.mark.parametrize("gap", [{"push": "4h"}, "0h", 4, "soon"])
def test_gaps_that_are_none(gap):
    with pytest.raises(ParameterError, match="min_interval"):
        made(min_interval=gap)


def test_rules_that_return_other_things_are_refused():
    class Odd(om.planning.Constraint):
        def rows(self, touches):
            return None

    with pytest.raises(ParameterError, match=r"Odd.rows must return Rows. Got NoneType"):
        om.plan(made(), constraints=[Odd()])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_are_finite(value):
    with pytest.raises(ParameterError, match="Candidates: value is missing or infinite in 1 row"):
        om.planning.Candidates(om.planning.Candidates.from_frame(OFFERS).touches, np.array([value]))


@pytest.mark.parametrize("many", [2**31, 2**70])
def test_limits_beyond_every_count(many):
    whole = om.plan(made()).value
    assert om.plan(made(n_items=many), constraints=[om.FrequencyCap(many, per="7D")]).value == whole
    assert om.plan(made(), constraints=[Capacity("push", limit=many), om.FrequencyCap(many)]).value == whole
    assert om.plan(made(), constraints=[om.Budget("push", cost=1e-300, total=1e300)]).value == whole


def test_more_constraints_than_an_int8_counts():
    rules = [Capacity("push", per=f"{minutes}min", limit=0) for minutes in range(1, 201)]
    best = om.plan(made(), constraints=rules)
    assert len(best) == 0
    assert set(best.why_not()["reason"]) <= {rule.name for rule in rules}


@pytest.mark.parametrize("wrong", [MARKER, MARKER[:8]])
def test_a_time_of_day_that_is_a_name_is_not_repeated(wrong):
    with pytest.raises(ParameterError, match=r"start must be a time of day without a zone. Got a text of"):
        om.QuietHours(wrong, "08:00")


class TestAdviceIsFollowed:
    """What an error tells to write is written, and leads to the right result."""

    def test_a_consent_column_for_a_channel(self):
        with pytest.raises(ParameterError, match="add a column consent_email to the frame"):
            made(channels="email")
        asked = om.Audience.from_frame(PEOPLE.assign(consent_email=[True, False]))
        assert set(made(channels="email", audience=asked).to_frame()["user_id"]) == {1}

    def test_a_gap_per_channel_as_rules_of_the_planner(self):
        with pytest.raises(ParameterError, match=r"constraints=\[om.FrequencyCap\(1, per='1D', channels='push'\)\]"):
            made(min_interval={"push": "1D"})
        found = made(min_interval="4h", once_per_item=False)
        assert len(om.plan(found)) > 2
        sent = om.plan(found, constraints=[om.FrequencyCap(1, per="1D", channels="push")])
        assert sent.to_frame().groupby("user_id").size().tolist() == [1, 1]

    def test_rules_of_the_other_family_where_they_belong(self):
        night = om.QuietHours("00:00", "23:59")
        with pytest.raises(ParameterError, match=r"Give it to candidates\(..., eligibility=\[...\]\)"):
            om.plan(made(), constraints=[night])
        assert set(made(eligibility=[night]).to_frame()["send_at"].dt.hour) <= {23}

    def test_an_audience_for_rules_that_read_the_clock(self):
        night = om.QuietHours("00:00", "23:59")
        with pytest.raises(ParameterError, match=r"om.Dataset\(audience=people\)"):
            om.planning.Candidates.from_frame(OFFERS, eligibility=[night])
        assert len(om.planning.Candidates.from_frame(OFFERS, om.Dataset(audience=AUDIENCE), eligibility=[night])) == 0

    def test_the_renamed_channel_meets_its_history(self):
        with pytest.raises(om.errors.SchemaError, match=r"frame\['channel'\].replace\('Push', 'push'\)"):
            planned(om.FrequencyCap(1, per="7D"), messages=past(channel="Push"))
        history = past(channel="Push").to_frame()
        history["channel"] = history["channel"].replace("Push", "push")
        cap = om.FrequencyCap(1, per="7D", channels="push")
        assert len(planned(cap, messages=om.MessageLog.from_frame(history))) == 0
