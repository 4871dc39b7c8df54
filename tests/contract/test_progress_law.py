"""Verbs that take seconds at a usual size say how far they are, and answer the same whether or not anybody listens."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path

import pytest

import omnireco as om
from omnireco.errors import ParameterError

_SPEC = importlib.util.spec_from_file_location("verbs", Path(__file__).parent / "verbs.py")
verbs = importlib.util.module_from_spec(_SPEC)
sys.modules["verbs"] = verbs  # its dataclasses look for it
_SPEC.loader.exec_module(verbs)

SLOW = ("attribution", "backtest", "calibrated", "candidates", "cross_fitted_rewards", "dpp", "evaluate", "explain",
        "headroom", "learn_blend", "mmr", "plan", "simulate")  # fmt: skip


def test_every_slow_verb_has_progress():
    lacking = [name for name in SLOW if "progress" not in inspect.signature(verbs.names()[name]).parameters]
    assert lacking == []


@pytest.mark.parametrize("name", SLOW)
def test_steps_are_counted_to_the_end_and_change_nothing(name):
    heard = []
    verb = verbs.verb(name)
    answer = verb(progress=lambda done, total: heard.append((done, total)))
    assert heard, f"{name} said nothing"
    done, totals = [one for one, _ in heard], {total for _, total in heard}
    assert done == list(range(1, len(done) + 1))
    assert len(totals) == 1
    assert done[-1] <= totals.pop()
    assert repr(answer) == repr(verb())


@pytest.mark.parametrize("name", SLOW)
def test_what_is_no_progress_is_refused(name):
    with pytest.raises(ParameterError, match="progress must be True, False or a callable"):
        verbs.verb(name)(progress="yes")


def test_a_plan_counts_three_parts():
    data = om.simulate(n_users=40, n_items=10, days=30, seed=1).dataset()
    heard = []
    recs = om.Popularity().fit(data).recommend(data.requests(), k=2)
    timing = om.SendTime().fit(data)
    found = om.candidates(recs, data, timing, om.slots(data.end, days=1), channels=["push", "email"])
    om.plan(found, progress=lambda done, total: heard.append((done, total)))
    assert heard == [(1, 3), (2, 3), (3, 3)]
