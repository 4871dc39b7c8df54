"""Plots of what messages and channels earned: drawn from the numbers of the report."""

import pytest

import omnireco as om


def test_journeys_and_what_channels_earned_are_drawn_as_they_are():
    data = om.simulate(n_users=300, n_items=20, days=90, seed=1).dataset()
    credit = om.causal.attribution(om.causal.Paths.of(data, window="7D"), models=["last", "linear"], n_bootstrap=5)
    ax = om.plotting.credit(credit)
    assert [text.get_text() for text in ax.get_yticklabels()] == credit.channels["channel"].tolist()
    assert "not causation" in ax.get_title(loc="left")
    funnel = om.journeys.funnel(data, {"looked": "view", "bought": "purchase"}, within="7D")
    assert "people" in om.plotting.funnel_steps(funnel).texts[0].get_text()
    study = om.causal.displacement(data, channel="web", on="store", period="14D")
    assert "first use of web" in om.plotting.first_use(study).get_xlabel()
    drawn = om.causal.Holdout.draw(data.users, share=0.4)
    report = om.causal.holdout_report(drawn, data.events, start="2025-02-15", within="14D")
    assert len(om.plotting.holdout_effects(report).get_yticklabels()) == len(report.table)
    model = om.journeys.Returns(horizon="3D").fit(data)
    assert om.plotting.return_calibration(model).get_xlabel() == "expected share"
    with pytest.raises(om.errors.ParameterError, match="must be a Funnel"):
        om.plotting.funnel_steps(funnel.table)


def test_a_step_whose_number_is_hidden_keeps_its_share():
    """A number is hidden too where a total less another one would be of few people: the step is not of few."""
    log = om.simulate(n_users=300, n_items=60, days=160, start="2025-01-06", seed=3).events
    steps = {"looked": "view", "in the cart": "add_to_cart", "bought in the shop": ("purchase", "store")}
    funnel = om.journeys.funnel(log, steps, within="14D")
    labels = [text.get_text() for text in om.plotting.funnel_steps(funnel).texts]
    assert funnel.table["people"].isna().tolist() == [False, True, False]
    assert labels[1].strip().endswith("%, people hidden")
