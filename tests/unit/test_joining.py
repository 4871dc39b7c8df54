"""Sets of candidates joined: no rule, gap, history or consent of any of them is loosened."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import DataWarning, ParameterError, SchemaError

EVEN = SimpleNamespace(slot_probability=lambda audience, rows, channel, at: np.full((len(rows), len(at)), 0.1))
SLOTS = om.slots("2025-06-01", days=2)
PEOPLE = pd.DataFrame({"user_id": [1, 2], "timezone": "UTC", "consent_push": True, "consent_email": [True, False]})
AUDIENCE = om.Audience.from_frame(PEOPLE)
ITEMS = [f"i{n}" for n in range(20)]


def lists(items=ITEMS, users=(1, 2)):
    rows = [(user, item, rank) for user in users for rank, item in enumerate(items, 1)]
    return om.Recommendations.from_frame(pd.DataFrame(rows, columns=["user_id", "item_id", "rank"]))


def made(channels="push", audience=AUDIENCE, recs=None, messages=None, eligibility=(), **limits):
    per_person = om.planning.PerPerson(**({"n_items": 16} | limits))
    data = om.Dataset(audience=audience, messages=messages)
    recs = lists() if recs is None else recs
    return om.candidates(recs, data, EVEN, SLOTS, channels=channels, eligibility=eligibility, per_person=per_person)


def offers(**columns):
    frame = {"user_id": [1], "item_id": "tea", "channel": "push", "value": 0.5}
    return pd.DataFrame(frame | {"send_at": pd.to_datetime(["2025-06-01 12:00"], utc=True)} | columns)


def past(channel="push", sent_at="2025-05-31 23:00"):
    stamps = {"sent_at": pd.to_datetime([sent_at], utc=True), "responded_at": pd.to_datetime([None], utc=True)}
    return om.MessageLog.from_frame(pd.DataFrame({"user_id": [1], "channel": channel} | stamps))


def least_gap(best):
    sent = best.to_frame().sort_values(["user_id", "send_at"])
    return sent.groupby("user_id")["send_at"].diff().min()


def test_thirty_two_messages_in_two_days_are_not_sent():
    """One set per channel, 16 items each: the detour by frames sent all of them, every few minutes."""
    both = om.planning.Candidates.concat([made("push"), made("email")])
    best = om.plan(both)
    assert least_gap(best) >= pd.Timedelta("4h")
    assert not best.to_frame().duplicated(["user_id", "item_id"]).any()
    capped = om.plan(both, constraints=[om.FrequencyCap(2, per="7D")])
    assert capped.to_frame().groupby("user_id").size().max() == 2


def test_a_mapping_of_lists_is_the_sets_of_its_channels():
    recs = {"email": lists(ITEMS[:4]), "push": lists(ITEMS[2:8])}
    found = made(None, recs=recs, min_interval="20h")
    parts = [made(name, recs=recs[name], min_interval="20h") for name in recs]
    pd.testing.assert_frame_equal(found.to_frame(), om.planning.Candidates.concat(parts).to_frame())
    assert set(found.to_frame().groupby("channel")["item_id"].agg(set)["email"]) <= set(ITEMS[:4])
    assert least_gap(om.plan(found)) >= pd.Timedelta("20h")


def test_the_longest_gap_holds_and_each_rule_once():
    both = om.planning.Candidates.concat(
        [made(min_interval="4h"), made(min_interval="20h"), made(min_interval=None, once_per_item=False)]
    )
    assert [rule.name for rule in both.implied] == ["OncePerItem", "FrequencyCap(1, per='20h')"]


def test_rules_of_one_part_are_asked_of_all():
    quiet = om.QuietHours("00:00", "12:00")
    both = om.planning.Candidates.concat([made(eligibility=[quiet]), made("email"), made(eligibility=[quiet])])
    assert both.to_frame()["send_at_local"].dt.hour.min() == 12
    assert both.sources.rules == (quiet,)


def test_a_rule_names_the_channels_of_all_parts():
    both = om.planning.Candidates.concat([made("push"), made("email")])
    cap = om.FrequencyCap(1, per="7D", channels=["push", "email"])
    assert om.plan(both, constraints=[cap]).to_frame().groupby("user_id").size().tolist() == [1, 1]


def test_history_of_one_part_counts_for_all_and_once():
    log = past()
    cap = om.FrequencyCap(1, per="3D")
    for parts in ([made(messages=log), made("email")], [made(messages=log), made(messages=past())]):
        both = om.planning.Candidates.concat(parts)
        assert both.touches.past.user.size == 1
        assert set(om.plan(both, constraints=[cap]).to_frame()["user_id"]) <= {2}
    more = om.planning.Candidates.concat([made(messages=log), made(messages=past(sent_at="2025-05-30 08:00"))])
    assert more.touches.past.user.size == 2


def test_the_same_touch_twice_is_one_of_the_greater_value():
    low = om.planning.Candidates.from_frame(offers(value=0.2, creative_id="a"))
    high = om.planning.Candidates.from_frame(offers(creative_id="b", probability=0.3))
    for parts in ([low, high], [high, low]):
        both = om.planning.Candidates.concat(parts)
        assert both.to_frame()[["value", "creative_id", "probability"]].to_numpy().tolist() == [[0.5, "b", 0.3]]
        assert both.left_out["named twice"] == 1


def test_unknown_chances_and_labels_stay_unknown():
    both = om.planning.Candidates.concat(
        [
            om.planning.Candidates.from_frame(offers(probability=0.3, offer_id=7)),
            om.planning.Candidates.from_frame(offers(item_id="cup", user_id=5)),
        ]
    )
    frame = both.to_frame()
    assert frame["probability"].isna().tolist() == [False, True]
    assert frame["offer_id"].isna().tolist() == [False, True]
    assert om.plan(both).summary()["expected_responses"].isna().tolist() == [True]


def test_everything_is_accounted_for_and_the_order_of_parts_does_not_matter():
    parts = [
        made("push", eligibility=[om.QuietHours("21:00", "08:00")]),
        made("email"),
        made("push", recs=lists(["x"])),
    ]
    one, other = om.planning.Candidates.concat(parts), om.planning.Candidates.concat(parts[::-1])
    pd.testing.assert_frame_equal(one.to_frame(), other.to_frame())
    of_parts = sum(len(part) + sum(part.left_out.values()) for part in parts)
    assert len(one) + sum(one.left_out.values()) == of_parts


def test_empty_parts_and_one_part():
    nothing = om.planning.Candidates.from_frame(offers().iloc[:0])
    assert len(om.planning.Candidates.concat([nothing, nothing])) == 0
    assert om.planning.Candidates.concat([nothing, om.planning.Candidates.from_frame(offers())]).to_frame()[
        "item_id"
    ].tolist() == ["tea"]
    pd.testing.assert_frame_equal(om.planning.Candidates.concat([made()]).to_frame(), made().to_frame())


def test_the_same_audience_read_twice_is_one():
    assert len(om.planning.Candidates.concat([made(), made("email", om.Audience.from_frame(PEOPLE))]))


@pytest.mark.parametrize(
    "other",
    [
        PEOPLE.assign(consent_push=False),
        PEOPLE.assign(timezone="Asia/Tokyo"),
        PEOPLE.assign(user_id=[1, 3]),
        PEOPLE.assign(consent_push_at=pd.Timestamp("2025-01-01", tz="UTC")),
    ],
)
def test_sets_of_different_audiences_are_refused(other):
    with pytest.raises(ParameterError, match=r"different audiences.*the same Dataset.*audience="):
        om.planning.Candidates.concat([made(), made("email", om.Audience.from_frame(other))])


def test_a_set_without_an_audience_is_refused_beside_one_with():
    with pytest.raises(ParameterError, match=r"different audiences \(or one without\)"):
        om.planning.Candidates.concat([made(), om.planning.Candidates.from_frame(offers())])


def test_ids_of_different_kinds_are_refused():
    with pytest.raises(SchemaError, match="user_id are integers in one and strings in another"):
        om.planning.Candidates.concat(
            [om.planning.Candidates.from_frame(offers()), om.planning.Candidates.from_frame(offers(user_id="1"))]
        )


@pytest.mark.parametrize("wrong", [[], None, 3, "ab", [1], [None], [offers()], offers(), {"push": 1}])
def test_what_is_no_list_of_candidates_is_refused(wrong):
    with pytest.raises(
        ParameterError, match=r"Candidates.concat takes .*Write om.planning.Candidates.concat\(\[a, b\]\)"
    ):
        om.planning.Candidates.concat(wrong)
    with pytest.raises(ParameterError, match=r"takes a list of Candidates. Got Candidates"):
        om.planning.Candidates.concat(made())


def test_the_planner_says_how_to_plan_several_sets():
    with pytest.raises(ParameterError, match=r"plan\(om.planning.Candidates.concat\(\[a, b\]\)"):
        om.plan([made(), made("email")])


def test_the_detour_by_frames_is_warned_of_and_dropping_the_column_says_it_is_meant():
    frame = made().to_frame()
    with pytest.warns(DataWarning, match=r"A frame holds no rules.*om.planning.Candidates.concat"):
        om.planning.Candidates.from_frame(frame)
    assert len(om.planning.Candidates.from_frame(frame.drop(columns="send_at_local"))) == len(frame)


def test_a_loaded_plan_keeps_rules_gap_and_history(tmp_path):
    plan = om.plan(made())
    back = om.load(om.save(plan, tmp_path / "plan")).touches
    assert om.plan(back).to_frame().equals(plan.to_frame())
    assert om.plan(om.planning.Candidates.concat([back])).to_frame().equals(plan.to_frame())


def test_a_loaded_plan_whose_rule_no_file_holds_is_not_planned_again(tmp_path):
    class Never(om.planning.Eligibility):
        def mask(self, touches):
            return np.ones(len(touches), np.bool_)

    back = om.load(om.save(om.plan(made(eligibility=[Never()])), tmp_path / "plan")).touches
    for verb in (om.plan, lambda touches: om.planning.Candidates.concat([touches])):
        with pytest.raises(ParameterError, match="came without their rules, gap and history"):
            verb(back)


@pytest.mark.parametrize(
    ("recs", "channels", "match"),
    [
        ({"Push": lists()}, None, r"'Push', for which the audience has no consent.*Did you mean 'push'"),
        ({"push": lists(), "email": lists()}, ["push"], "channels names others than the mapping of lists"),
        ({}, None, "channels must be one or more names"),
        ({1: lists()}, None, "channels must be one or more names"),
        ({"push": offers()}, None, "recs must be a Recommendations. Got DataFrame"),
        (lists(), None, "channels must be one or more names"),
    ],
)
def test_mappings_of_other_things_are_refused(recs, channels, match):
    with pytest.raises(ParameterError, match=match):
        made(channels, recs=recs)
