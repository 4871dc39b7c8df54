"""No number about fewer than k people in any report: a law over every function of the rooms that report.

Three people are given to each, alone: it refuses, or shows no number of what they did. Cells inside larger reports, and
what follows from totals, are tested beside each report.
"""

import inspect

import numpy as np
import pandas as pd
import pytest

import omnireco as om

START = pd.Timestamp("2025-01-01", tz="UTC")
FEW = 3
REFUSED = (om.errors.EmptyError, om.errors.ParameterError)

# Functions that report nothing about what people did, or only to the caller who asks person by person.
EXEMPT = {
    "cross_fitted_rewards": "one prediction a decision, for another verb",
    "holdout_power": "sizes of a test that nobody has taken part in yet",
    "switchback": "blocks of time, drawn by lot",
    "unfinished": "one row a person, for reminders",
    "nudges": "one row a person, for reminders",
    "evaluate": "keeps a value per person for paired tests; a working value, no report about people",
    "small_space": "settings to try",
    "card": "counts, and a report of evaluate; fewer than k people are refused in test_model_card",
    "learn_weights": "weights of events, judged as by evaluate",
    "learn_blend": "weights of models, judged as by evaluate",
    "compare_channels": "the report of evaluate by channel",
    "cost_of": "prices of messages",
    **dict.fromkeys(
        ("average_precision", "coverage", "diversity", "hit_rate", "mean_reciprocal_rank", "ndcg", "novelty"),
        "a metric of ranked lists, for evaluate",
    ),
    **dict.fromkeys(
        ("precision", "recall"),
        "a metric of ranked lists, for evaluate",
    ),
}  # fmt: skip


def log_of(n, days=80, seed=0):
    rng = np.random.default_rng(seed)
    rows = 60 * n
    frame = pd.DataFrame(
        {
            "user_id": rng.integers(0, n, rows),
            "item_id": rng.integers(0, 9, rows),
            "channel": rng.choice(["web", "store", "app"], rows),
            "event": rng.choice(["view", "add_to_cart", "purchase"], rows, p=[0.6, 0.2, 0.2]),
            "value": rng.random(rows).round(3) + 0.5,
            "timestamp": START + pd.to_timedelta(rng.random(rows) * days, unit="D"),
        }
    )
    return om.EventLog.from_frame(frame)


def messages_of(n, rows=3000, seed=1):
    rng = np.random.default_rng(seed)
    at = START + pd.to_timedelta(np.sort(rng.random(rows) * 80), unit="D")
    frame = pd.DataFrame(
        {"user_id": rng.integers(0, n, rows), "channel": rng.choice(["email", "push"], rows), "sent_at": at}
    )  # fmt: skip
    frame["propensity"] = 0.5
    frame["responded_at"] = (frame["sent_at"] + pd.Timedelta("1h")).where(rng.random(rows) < 0.3)
    return om.MessageLog.from_frame(frame)


def data_of(n):
    return om.Dataset(log_of(n), messages=messages_of(n), end=START + pd.Timedelta(days=81))


def experiment_of(n, rows=400, seed=2):
    rng = np.random.default_rng(seed)
    who = np.arange(rows) % n
    arm = np.where(who % 2, "yes", "no")
    frame = pd.DataFrame(
        {"who": who, "arm": arm, "y": rng.random(rows), "x": rng.random(rows), "z": 1.0, "got": (arm == "yes") * 1}
    )
    return om.causal.Experiment.from_frame(
        frame, treatment="arm", control="no", outcome="y", received="got", placebo="x", features=["z"],
        propensity={"yes": 0.5, "no": 0.5}, user="who",
    )  # fmt: skip


def decisions_of(n, rows=3000):
    rng = np.random.default_rng(3)
    return om.causal.LoggedDecisions(rng.random(rows), np.full(rows, 0.5), people=np.arange(rows) % n)


def contacts_of(n, rows=300):
    rng = np.random.default_rng(4)
    at = START + pd.to_timedelta(np.arange(rows) * 6, unit="h")
    return pd.DataFrame(
        {"user_id": rng.integers(0, n, rows), "channel": "email", "decided_at": at, "contacted": rng.random(rows) < 0.5,
         "propensity": 0.5}
    )  # fmt: skip


def plan_of(n):
    frame = pd.DataFrame(
        {"user_id": np.arange(n), "item_id": "tea", "channel": "push", "value": 1.0, "send_at": "2025-11-01T00:00:00Z"}
    )
    return om.plan(om.planning.Candidates.from_frame(frame.assign(send_at=pd.to_datetime(frame["send_at"]))))


def explored_of(n):
    """A plan that explores, and what became of its messages."""
    frame = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(n), 40),
            "item_id": [f"i{at}" for at in range(40)] * n,
            "channel": "push",
            "value": 1.0,
        }
    )
    frame["send_at"] = pd.Timestamp("2025-11-01", tz="UTC") + pd.to_timedelta(np.tile(np.arange(40), n), unit="D")
    made = om.plan(om.planning.Candidates.from_frame(frame), constraints=[om.FrequencyCap(20)], explore=0.5)
    sent = made.to_frame().rename(columns={"send_at": "sent_at"})
    sent["responded_at"] = (sent["sent_at"] + pd.Timedelta("1h")).where(np.arange(len(sent)) % 3 == 0)
    return made, om.MessageLog.from_frame(sent[["user_id", "item_id", "channel", "sent_at", "responded_at"]])


REPORTS = {
    "attribution": lambda n: om.causal.attribution(data_of(n), n_bootstrap=5),
    "budget_path": lambda n: om.causal.budget_path(
        np.linspace(-1, 1, 400)[:, None], experiment_of(n), costs={"yes": 0.1}, n_bootstrap=9
    ),
    "complier_effect": lambda n: om.causal.complier_effect(experiment_of(n)),
    "contact_effects": lambda n: om.causal.contact_effects(contacts_of(n), data_of(n), within="3D"),
    "cuped": lambda n: om.causal.cuped(experiment_of(n)),
    "displacement": lambda n: om.causal.displacement(
        om.simulate(n_users=5 * n, n_items=20, days=90, seed=1).dataset().split("2025-03-30").past if n > FEW
        else data_of(n), channel="web", on="store", period="14D"
    ),
    "holdout_report": lambda n: om.causal.holdout_report(
        om.causal.Holdout.draw(range(n), share=0.5), data_of(n), start="2025-02-15", within="14D"
    ),
    "off_policy": lambda n: om.causal.off_policy(decisions_of(n), np.full(3000, 0.5)),
    "off_policy_slates": lambda n: om.causal.off_policy_slates(
        om.causal.LoggedSlates(np.ones((3000, 2)), np.full((3000, 2), 0.5), people=np.arange(3000) % n),
        np.full((3000, 2), 0.5),
    ),
    "policy_value": lambda n: om.causal.policy_value(
        experiment_of(n), {"half": np.full((400, 2), 0.5)}, n_bootstrap=9
    ),
    "select_policy": lambda n: om.causal.select_policy(decisions_of(n), {"a": np.full(3000, 0.5)}, n_bootstrap=9),
    "uplift_curve": lambda n: om.causal.uplift_curve(np.arange(400.0), experiment_of(n), n_bootstrap=9),
    "backtest": lambda n: om.evaluation.backtest({"p": om.Popularity()}, data_of(n), horizon="14D", n=2, k=3),
    "channel_report": lambda n: om.evaluation.channel_report(data_of(n)),
    "explored_value": lambda n: om.evaluation.explored_value(*explored_of(n), least_effective=1),
    "plan_value": lambda n: om.evaluation.plan_value(plan_of(n), messages_of(n), least_effective=1),
    "scorecard": lambda n: om.evaluation.scorecard(data_of(n)),
    "tune": lambda n: om.evaluation.tune(
        om.ItemKNN(neighbors=2), data_of(n), {"neighbors": [3]}, horizon="14D", trials=1
    ),
    "funnel": lambda n: om.journeys.funnel(data_of(n), {"looked": "view", "bought": "purchase"}, within="14D"),
}  # fmt: skip

# Columns and fields that count people or are settings; a count of people is checked by itself.
COUNTS = {"people", "n_users", "n_people", "n_cuts", "k", "trial", "share_tried", "n_channels", "rows", "n"}


def functions():
    rooms = (om.causal, om.evaluation, om.journeys)
    return {name for room in rooms for name in room.__all__ if inspect.isfunction(getattr(room, name))}


def frames(value):
    for name in getattr(type(value), "parts", {}):
        one = getattr(value, name)
        if isinstance(one, pd.DataFrame):
            yield name, one
        elif isinstance(one, np.ndarray):
            yield name, pd.DataFrame(one.reshape(len(one), -1) if one.ndim else one.reshape(1, 1))


def test_every_function_that_reports_is_tried():
    assert functions() == set(REPORTS) | set(EXEMPT)


def asked(name):
    """Return what a report says of three people, or why it says nothing."""
    try:
        return REPORTS[name](FEW), ""
    except REFUSED as error:
        return None, str(error)


@pytest.mark.filterwarnings("ignore::omnireco.errors.DataWarning")
@pytest.mark.parametrize("name", list(REPORTS))
def test_of_three_people_nothing_is_said(name):
    found, said = asked(name)
    if found is None:
        assert any(word in said for word in ("k=5", "few", "k people")), said
        return
    for place, table in frames(found):
        if place in {"waiting", "combinations"}:
            assert place == "waiting" or table["events"].isna().all()
            continue
        for column in table.select_dtypes("number").columns.difference(list(COUNTS)):
            left = table[column].dropna()
            assert (left == 0).all(), f"{place}.{column}: {left.tolist()[:5]}"


@pytest.mark.filterwarnings("ignore::omnireco.errors.DataWarning")
@pytest.mark.parametrize("name", list(REPORTS))
def test_of_many_people_something_is_said(name):
    """The law would hold for a report that always refuses."""
    found = REPORTS[name](60)
    assert any(table.select_dtypes("number").notna().to_numpy().any() for _, table in frames(found))
