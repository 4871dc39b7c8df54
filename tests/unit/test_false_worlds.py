"""Worlds in which an assumption is false, over several parts of causal: they refuse, warn, or widen."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.causal.holdouts.holdout_report import compared
from omnireco.causal.substitution.contacts import _weighted
from omnireco.errors import DataWarning, ParameterError, SchemaError

HALF = {"no": 0.5, "yes": 0.5}
START = pd.Timestamp("2025-01-01", tz="UTC")


def trial(n=1000, confounded=0.0, seed=0, **more):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    arm = np.where(rng.random(n) < 1 / (1 + np.exp(-confounded * x)), "yes", "no")
    frame = pd.DataFrame({"arm": arm, "x": x, "y": (rng.random(n) < 1 / (1 + np.exp(1 - x))).astype(int)}).assign(
        **more
    )
    return om.causal.Experiment.from_frame(
        frame, treatment="arm", control="no", outcome="y", features=["x"], propensity=HALF
    )


def test_a_confounded_treatment_that_is_called_randomised_is_noticed():
    with pytest.warns(DataWarning, match="x differs between yes and no by .* it decided who was treated"):
        model = om.causal.Uplift(folds=2).fit(trial(confounded=1.0))
    assert "Beware" in model.verdict


def test_lots_that_were_drawn_are_believed():
    for seed in range(5):
        assert "Beware" not in om.causal.Uplift(folds=2).fit(trial(seed=seed)).verdict


def test_an_outcome_that_hardly_anybody_has_is_said():
    with pytest.warns(DataWarning, match="hardly anybody differs in the outcome"):
        om.causal.Uplift(folds=2).fit(trial(y=0))


def test_a_hidden_group_does_not_follow_from_the_average():
    model = om.causal.Uplift(folds=2).fit(trial())
    table = model.group_effects(["rare"] * 3 + ["small"] * 100 + ["large"] * 897).table.set_index("group")
    assert table.loc[["rare", "small"], "effect"].isna().all()
    assert table.loc[["rare", "small"], "people"].tolist() == [0, 0]
    assert np.isfinite(table.loc["large", "effect"])


def test_a_policy_with_the_name_of_an_arm_is_refused():
    test = trial()
    with pytest.raises(ParameterError, match="a policy has the name of the arm 'no'"):
        om.causal.policy_value(test, {"no": np.tile([0.0, 1.0], (len(test), 1))})


def test_rare_outcomes_keep_their_coverage():
    """Of 100 people held out nobody bought: the interval must not call that certain."""
    inside = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        y, held = (rng.random(1000) < 0.01).astype(float), rng.random(1000) < 0.1
        found = compared(y, held, None, 0.95)
        _, low, high, _ = _weighted(y, ~held, np.full(1000, 0.9), np.arange(1000), 0.95)
        inside.append((found["low"] <= 0 <= found["high"], low <= 0 <= high))
    assert np.mean(inside, axis=0).min() >= 0.95


def log():
    rng = np.random.default_rng(0)
    at = START + pd.to_timedelta(rng.integers(0, 60 * 24, 2000), unit="h")
    return om.Dataset(
        pd.DataFrame(
            {
                "user_id": rng.integers(0, 300, 2000),
                "item_id": "a",
                "channel": "web",
                "event": rng.choice(["view", "purchase"], 2000),
                "timestamp": at,
            }
        )
    )


def test_a_window_before_the_data_is_refused():
    drawn = om.causal.Holdout.draw(np.arange(300), share=0.3)
    with pytest.raises(ParameterError, match="lies before the data"):
        om.causal.holdout_report(drawn, log(), start="2020-01-01")


def test_people_who_are_all_alike_give_no_interval():
    drawn = om.causal.Holdout.draw(np.arange(5000, 5300), share=0.3)
    with pytest.warns(match="ids of one kind"):
        report = om.causal.holdout_report(drawn, log(), start="2025-01-20", within="7D", before=None)
    assert np.isnan(report.table["low"]).all()
    assert report.verdict.startswith("no effect can be shown")


@pytest.mark.parametrize("given", ["abc", {"a": 1}, 5, None])
def test_a_holdout_is_drawn_of_lists(given):
    with pytest.raises(ParameterError, match="user_ids must be a list or array of ids"):
        om.causal.Holdout.draw(given, share=0.5)


def test_no_event_at_all_completes_nothing():
    data = log()
    with pytest.raises(ParameterError, match=r"completes names nothing\. Write completes='purchase'"):
        om.causal.Paths.of(data, completes=[])
    with pytest.raises(ParameterError, match="completes names nothing"):
        om.causal.holdout_report(om.causal.Holdout.draw(range(9), share=0.5), data, start="2025-01-09", completes=[])


def decisions(**more):
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "user_id": np.arange(300),
            "channel": "email",
            "decided_at": START + pd.Timedelta("20D"),
            "contacted": rng.random(300) < 0.5,
            "propensity": 0.5,
        }
    ).assign(**more)


def test_propensities_of_another_policy_are_noticed():
    with pytest.warns(DataWarning, match="they are of another policy"):
        om.causal.contact_effects(decisions(propensity=0.2), log())
    om.causal.contact_effects(decisions(), log())


def test_a_decision_counts_once():
    twice = pd.concat([decisions(), decisions().iloc[:2]])
    with pytest.raises(SchemaError, match=r"2 rows .* repeat a decision"):
        om.causal.contact_effects(twice, log())
    kept = twice.drop_duplicates(["user_id", "channel", "decided_at"])
    assert om.causal.contact_effects(kept, log()).table["decisions"].max() == 300


def test_negative_increments_are_left_alone_and_other_frames_keep_their_columns():
    import polars as pl

    data = log()
    model = om.journeys.Returns(horizon="3D").fit(data)
    asked = pl.DataFrame({"user_id": [1, 2], "item": ["x", "y"]})
    found = om.journeys.nudges(asked, model, data, effect=[-0.1, 0.2], completes=0.0)
    assert found[["user_id", "item", "nudge"]].to_numpy().tolist() == [[2, "y", True], [1, "x", False]]


def test_weights_that_do_not_average_one_are_said_aloud():
    """Halved propensities double an IPS value; a policy beyond the log loses what it would do there."""
    rng, n = np.random.default_rng(0), 4000
    table = np.tile([0.7, 0.2, 0.1], (n, 1))
    drawn = (rng.random(n)[:, None] < table.cumsum(axis=1)).argmax(axis=1)
    frame = pd.DataFrame(
        {"user_id": np.arange(n), "action": drawn, "propensity": table[np.arange(n), drawn] / 2, "reward": 1.0 * drawn}
    )
    target = np.tile([0.0, 0.0, 1.0], (n, 1))
    with pytest.warns(DataWarning, match=r"average [12]\.\d+ .* the logged propensities are wrong"):
        om.causal.off_policy(om.causal.LoggedDecisions.from_frame(frame), target, least_effective=100)
    right = frame.assign(propensity=frame["propensity"] * 2)
    om.causal.off_policy(om.causal.LoggedDecisions.from_frame(right), target, least_effective=100)
    beyond = np.tile([0.0, 0.5, 0.0, 0.5], (n, 1))
    with pytest.warns(DataWarning, match="the policy chooses what the log never does"):
        om.causal.off_policy(om.causal.LoggedDecisions.from_frame(right), beyond, least_effective=100)


def test_people_held_out_who_got_messages_are_said_aloud():
    drawn, events = om.causal.Holdout.draw(np.arange(300), share=0.3), log().events
    held = np.flatnonzero(drawn.held)

    def told(people, at):
        sent = pd.DataFrame({"user_id": people, "channel": "email", "sent_at": START + pd.Timedelta(at)}).assign(
            responded_at=pd.Series(pd.NaT, index=range(len(people)), dtype="datetime64[ns, UTC]")
        )
        data = om.Dataset(events, messages=om.MessageLog.from_frame(sent))
        om.causal.holdout_report(drawn, data, start="2025-01-20", within="7D")

    with pytest.warns(DataWarning, match=rf"20 of {held.size} people held out got messages"):
        told(held[:20], "20D")
    with pytest.warns(DataWarning, match=r"fewer than 5 of"):
        told(held[:2], "20D")
    told(np.flatnonzero(~drawn.held), "20D")
    told(held, "2D")  # before the test
    om.causal.holdout_report(drawn, om.Dataset(events), start="2025-01-20", within="7D")  # the advice


def test_a_scorecard_over_time_passes_over_a_month_without_events():
    from omnireco.errors import EmptyError

    rng = np.random.default_rng(0)
    day = np.r_[rng.integers(0, 30, 500), rng.integers(65, 95, 500)]
    frame = pd.DataFrame({"user_id": rng.integers(0, 80, 1000), "item_id": "a", "channel": "web", "event": "purchase"})
    data = om.Dataset(frame.assign(timestamp=START + pd.to_timedelta(day, unit="D")))
    with pytest.raises(EmptyError):
        data.rolling(horizon="30D", n=3)
    table = om.evaluation.scorecard(data, every="30D").over_time
    assert 0 < table["period_end"].nunique() < 3
    assert table["value"].notna().any()
