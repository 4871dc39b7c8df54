"""Increments as a timing: candidates and plans whose values are what a message adds."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.causal import Increments
from omnireco.errors import ParameterError

PEOPLE = om.Audience.from_frame(
    pd.DataFrame({"user_id": [1, 2, 3], "timezone": "UTC", "consent_email": True, "consent_push": True})
)
LISTS = om.Recommendations.from_frame(pd.DataFrame({"user_id": [1, 2, 3], "item_id": "tea", "rank": 1}))
CHANCE = SimpleNamespace(
    slot_probability=lambda audience, rows, channel, at: np.tile(np.linspace(0.1, 0.3, len(at)), (len(rows), 1))
)
SLOTS = om.slots("2025-06-01", days=1, every="6h")


def increments(table=((0.2,), (-0.1,)), usual=(0.05,)):
    return Increments(om.data.Vocabulary.from_ids([1, 2]), ("email",), table, usual, CHANCE)


def candidates(timing, **more):
    return om.candidates(LISTS, om.Dataset(audience=PEOPLE), timing, SLOTS, **{"channels": ["email"]} | more)


def test_values_are_what_a_message_adds_and_probabilities_stay():
    found = candidates(increments())
    raw = candidates(CHANCE)
    assert (found.made_of, raw.made_of) == ("increments", "chances")
    frame = found.to_frame()
    assert set(frame["user_id"]) == {1, 3}  # 2 is put off
    assert frame[frame["user_id"] == 1]["value"].mean() == pytest.approx(0.2)
    assert frame[frame["user_id"] == 3]["value"].mean() == pytest.approx(0.05)  # unknown: the average
    assert set(frame["made_of"]) == {"increments"}
    assert frame["probability"].between(0.1, 0.3).all()
    assert "made_of" not in raw.to_frame()
    assert repr(found).endswith("; values of increments)")


def test_a_plan_says_what_it_is_made_of(tmp_path):
    plan = om.plan(candidates(increments()), constraints=[om.FrequencyCap(1, per="1D")])
    assert "of increments, bound" in repr(plan)
    assert "of chances, bound" in repr(om.plan(candidates(CHANCE)))
    assert set(plan.to_frame()["made_of"]) == {"increments"}
    assert om.load(om.save(plan, tmp_path / "plan")).touches.made_of == "increments"
    assert set(plan.to_frame()["user_id"]) == {1, 3}


def test_chances_and_increments_are_never_joined():
    one, other = candidates(increments()), candidates(CHANCE)
    with pytest.raises(ParameterError, match="values of some of these sets are made of chances, and of others"):
        om.planning.Candidates.concat([one, other])
    assert om.planning.Candidates.concat([one, one]).made_of == "increments"
    lists = om.candidates({"email": LISTS}, om.Dataset(audience=PEOPLE), increments(), SLOTS)
    assert lists.made_of == "increments"


def test_fatigue_lowers_increments_too():
    tired = SimpleNamespace(
        factor=lambda ids, channel, at: np.full((len(ids), len(at)), 0.5), cost=lambda ids, channel: np.zeros(len(ids))
    )
    assert candidates(increments(), value=om.planning.TouchValue(fatigue=tired)).value.sum() == pytest.approx(
        candidates(increments()).value.sum() / 2
    )


def test_what_is_wrong_is_named():
    with pytest.raises(ParameterError, match="Increments: channel"):
        candidates(increments(), channels=["push"])
    with pytest.raises(ParameterError, match="increment must be finite, one per person and channel"):
        increments(table=[[0.1]])
    with pytest.raises(ParameterError, match="timing must have a verb slot_probability"):
        Increments(om.data.Vocabulary.from_ids([1]), ("email",), [[0.1]], [0.1], "noon")
    bad = SimpleNamespace(
        slot_probability=CHANCE.slot_probability, slot_increment=lambda *given: np.full((3, 4), np.nan)
    )
    with pytest.raises(ParameterError, match=r"slot_increment must return a finite number"):
        candidates(bad)
    with pytest.raises(ParameterError, match="made_of must be one of"):
        om.planning.Candidates(candidates(CHANCE).touches, np.ones(len(candidates(CHANCE))), made_of="guesses")
