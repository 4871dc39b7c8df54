"""The value of an explored plan from its log: by hand, covered, matched in time, and where it is refused."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import DataWarning, EmptyError, ParameterError, SchemaError
from omnireco.evaluation import explored_value

START = pd.Timestamp("2025-06-01 09:00", tz="UTC")


def made(n=1500, seed=0, **more):
    frame = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(n), 2),
            "item_id": ["a", "b"] * n,
            "channel": "push",
            "send_at": START,
            "value": [0.3, 0.2] * n,
        }
    )
    more = {"explore": 0.1} | more
    return om.plan(om.planning.Candidates.from_frame(frame), constraints=[om.FrequencyCap(1)], seed=seed, **more)


def log(plan, rng, late="5min"):
    sent = plan.to_frame().rename(columns={"send_at": "sent_at"})
    sent["sent_at"] += pd.Timedelta(late)
    read = rng.random(len(sent)) < np.where(sent["item_id"] == "a", 0.3, 0.1)
    sent["responded_at"] = (sent["sent_at"] + pd.Timedelta("1h")).where(read)
    return om.MessageLog.from_frame(sent[["user_id", "item_id", "channel", "sent_at", "responded_at", "propensity"]])


def test_by_hand():
    plan, rng = made(100, explore=0.3), np.random.default_rng(0)
    sent = log(plan, rng)
    found = explored_value(plan, sent, least_effective=10)
    answered = (sent.responded_at > 0)[np.argsort(sent.user)]  # one message each
    frame = plan.to_frame().sort_values("user_id")
    weight = np.where(frame["explored"], 0.0, 1 / 0.7)
    assert found.table["value"][0] == pytest.approx((weight * answered).mean())
    assert found.rows == 100


@pytest.mark.parametrize("holdout", [None, 0.2])
def test_it_covers_and_says_what_exploration_costs(holdout):
    rng, hits, lifts = np.random.default_rng(1), 0, []
    for seed in range(80):
        plan = made(seed=seed, holdout=holdout)
        found = explored_value(plan, log(plan, rng)).table.set_index("estimator").loc["snips"]
        hits += found["low"] <= 0.3 <= found["high"]
        lifts.append(found["lift"])
    assert hits >= 71
    assert np.mean(lifts) == pytest.approx(0.02, abs=0.004)  # one in ten earns 0.1 instead of 0.3


def test_messages_are_matched_in_time_and_once():
    plan, rng = made(300), np.random.default_rng(2)
    sent = log(plan, rng)
    with pytest.raises(EmptyError, match="none of 300 messages is one of the plan's 300 touches"):
        explored_value(plan, log(plan, rng, late="3h"))
    twice = pd.concat(
        [sent.to_frame(), sent.to_frame().assign(sent_at=lambda one: one["sent_at"] + pd.Timedelta("9min"))]
    )
    both = om.MessageLog.from_frame(twice)
    assert explored_value(plan, both).rows == 300
    assert explored_value(plan, both).table["value"][0] == explored_value(plan, sent).table["value"][0]


def test_a_part_of_the_log_warns():
    plan, rng = made(600), np.random.default_rng(2)
    part = om.MessageLog.from_frame(log(plan, rng).to_frame().iloc[:200])
    with pytest.warns(DataWarning, match="200 of the plan's 600 touches are in the log"):
        explored_value(plan, part)


def test_what_is_refused():
    rng = np.random.default_rng(0)
    plan = made(50)
    with pytest.raises(ParameterError, match="this plan was not explored"):
        explored_value(made(50, explore=None), log(plan, rng))
    with pytest.raises(ParameterError, match="plan must be"):
        explored_value(3, log(plan, rng))
    with pytest.raises(SchemaError):
        explored_value(plan, om.Dataset())
    assert "refused" in explored_value(plan, log(plan, rng)).diagnostics
    assert explored_value(plan, log(plan, rng), least_effective=1000).table["value"].isna().all()
