"""Pictures of what is expected: points and intervals are those of the values they are drawn from."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import EmptyError, ParameterError

matplotlib = pytest.importorskip("matplotlib", reason='matplotlib is not installed: pip install "omnireco[demo]"')

from omnireco import plotting  # noqa: E402


@pytest.fixture(autouse=True)
def quiet_canvas():
    matplotlib.use("Agg")
    yield
    from matplotlib import pyplot

    pyplot.close("all")


def points(ax):
    return [(line.get_xdata(), line.get_ydata()) for line in ax.lines if line.get_marker() == "o"]


def test_groups_of_equal_chance_stand_where_they_happened():
    ax = plotting.calibration([0.2] * 100 + [0.6] * 100, [1] * 30 + [0] * 70 + [1] * 60 + [0] * 40, n_bins=2)
    ((expected, observed),) = points(ax)
    np.testing.assert_allclose(expected, [0.2, 0.6])
    np.testing.assert_allclose(observed, [0.3, 0.6])
    ends = np.array([segment[:, 1] for segment in ax.collections[0].get_segments()])
    np.testing.assert_allclose(ends[0], [0.21895, 0.39585], atol=2e-5)  # Wilson, 30 of 100
    assert len(points(plotting.calibration([0.5], [1]))[0][0]) == 1  # fewer events than groups


def test_a_model_that_promises_too_much_lies_below_the_line():
    draw = np.random.default_rng(0)
    chance = draw.uniform(0.2, 0.8, 4000)
    happened = draw.random(4000) < chance / 2
    ax = plotting.calibration(chance, happened)
    ((expected, _),) = points(ax)
    highs = np.array([segment[1, 1] for segment in ax.collections[0].get_segments()])
    assert (highs < expected).all()


def test_what_is_no_chance_is_refused():
    with pytest.raises(ParameterError, match="calibration: a probability lies outside"):
        plotting.calibration([1.2], [1])
    with pytest.raises(ParameterError, match="calibration: 2 probabilities and 1 outcomes"):
        plotting.calibration([0.2, 0.3], [1])
    with pytest.raises(EmptyError, match="calibration: there is nothing to compare"):
        plotting.calibration([], [])
    with pytest.raises(ParameterError, match="n_bins"):
        plotting.calibration([0.2], [1], n_bins=0)


def test_fatigue_falls_by_its_coefficient():
    company = om.worlds.Company(messages_per_week=5, fatigue=0.3)
    model = om.timing.Fatigue().fit(om.simulate(n_users=100, days=40, seed=1, company=company).dataset())
    ax = plotting.fatigue(model, most=4)
    lines = [line for line in ax.lines if len(line.get_xdata()) > 2]
    assert [line.get_label().split(":")[0] for line in lines] == model.channels.ids.tolist()
    for line, steep in zip(lines, model.coefficient, strict=True):
        np.testing.assert_allclose(line.get_ydata()[-1], np.exp(-4 * steep))
    with pytest.raises(ParameterError, match="must be a FatigueModel"):
        plotting.fatigue(om.timing.Fatigue())
    at = pd.to_datetime(["2025-05-01"], utc=True)
    sent = pd.DataFrame({"user_id": ["a"], "channel": ["push"], "sent_at": at, "responded_at": at}).iloc[:0]
    nobody = om.timing.Fatigue().fit(om.MessageLog.from_frame(sent))
    assert plotting.fatigue(nobody).get_legend() is None


def test_headroom_is_coloured_where_it_is_proven():
    from omnireco.timing.headroom import Headroom

    def found(low, high, **more):
        return Headroom(
            skill=pd.DataFrame({"model": ["profile"], "nats": [0.25]}), lift=0.1, low=low, high=high,
            prior_strength=5.0, people=1234, sessions=5678, worthwhile=0.02, **more,
        )  # fmt: skip

    ax = plotting.headroom_lifts({"sure": found(0.05, 0.15), "unsure": found(-0.05, 0.25)})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["sure\n1,234 people", "unsure\n1,234 people"]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert dots[0].get_color() != dots[1].get_color()
    assert plotting.headroom_lifts(found(0.05, 0.15)).get_yticklabels()[0].get_text().startswith("activity")
    with pytest.raises(ParameterError, match="must be a Headroom"):
        plotting.headroom_lifts(found(0.05, 0.15).skill)


def test_policies_stand_at_their_lift_and_refused_ones_say_so():
    draw = np.random.default_rng(0)
    n = 3000
    action = draw.integers(0, 2, n)
    reward = (draw.random(n) < np.where(action == 1, 0.4, 0.2)).astype(float)
    logged = om.causal.LoggedDecisions(reward, np.full(n, 0.5), actions=action, people=np.arange(n))
    policies = {"one": np.tile([0.0, 1.0], (n, 1)), "zero": np.tile([1.0, 0.0], (n, 1))}
    found = om.causal.off_policy(logged, policies, estimators=["ips", "snips"])
    ax = plotting.policy_lifts(found)
    table = found.table.query("estimator == 'snips'")
    assert [label.get_text() for label in ax.get_yticklabels()] == table["policy"].tolist()
    np.testing.assert_allclose([float(x[0]) for x, _ in points(ax)], table["lift"])
    refused = om.causal.off_policy(logged, policies, estimators=["ips"], least_effective=n + 1)
    words = [text.get_text() for text in plotting.policy_lifts(refused).texts]
    assert len(words) == 2
    assert "does not support" in words[0]
    chosen = om.causal.select_policy(logged, policies, n_bootstrap=50)
    assert len(points(plotting.policy_lifts(chosen))) == 2
    with pytest.raises(ParameterError, match="OffPolicy"):
        plotting.policy_lifts(found.table)
