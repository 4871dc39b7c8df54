"""Pictures: each returns the axes it drew, with what it should say."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import MissingExtraError, ParameterError

matplotlib = pytest.importorskip("matplotlib", reason='matplotlib is not installed: pip install "omnireco[demo]"')

from omnireco import plotting  # noqa: E402


@pytest.fixture(autouse=True)
def quiet_canvas():
    matplotlib.use("Agg")
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.fixture(scope="module")
def world():
    return om.simulate(60, 20, days=30, seed=4)


@pytest.fixture(scope="module")
def report(world):
    log = om.EventLog.from_frame(world.events)
    x = log.matrix()
    lists = {"popular": om.Popularity().fit(x).recommend(x, k=5), "again": om.BuyAgain().fit(x).recommend(x, k=5)}
    return om.evaluate(lists, log, k=5, metrics=[om.ndcg, om.coverage], n_bootstrap=50)


def test_events_per_channel_has_a_bar_for_each_kind(world):
    log = om.EventLog.from_frame(world.events)
    ax = plotting.events_per_channel(log)
    assert len(ax.patches) == len(log.summary())
    assert any("people" in text.get_text() for text in ax.texts)


def test_week_draws_168_hours_of_one_or_many(world):
    one = plotting.week(world.truth.hours[0]).images[0].get_array()
    assert one.shape == (7, 24)
    many = plotting.week(world.truth.hours).images[0].get_array()
    np.testing.assert_allclose(many.sum(), 100.0)
    with pytest.raises(ParameterError, match="A week has 168 hours"):
        plotting.week(np.ones(24))


def test_comparison_is_ordered_and_says_the_values(report):
    ax = plotting.comparison(report, "ndcg")
    means = report.to_frame().query("metric == 'ndcg'").set_index("model")["mean"]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(means.sort_values().index)
    assert f"{means.max():.3f}" in [text.get_text() for text in ax.texts]
    plotting.comparison(report, "coverage", k=5)  # no interval
    with pytest.raises(ParameterError, match="metric must be one of"):
        plotting.comparison(report, "recall")
    with pytest.raises(ParameterError, match="k must be one of 5"):
        plotting.comparison(report, "ndcg", k=7)


@pytest.mark.parametrize(("quiet", "best"), [(None, "Tuesday 23:00"), ((21, 8), "Monday 09:00"), ((0, 24), None)])
def test_send_curve_marks_the_best_hour_that_is_allowed(quiet, best):
    curve = np.zeros(168)
    curve[24 + 23], curve[9] = 0.5, 0.3
    words = [text.get_text() for text in plotting.send_curve(curve, quiet=quiet).texts]
    assert words == ([] if best is None else [f"best: {best}"])


def test_plans_are_counted_by_day_and_by_local_hour():
    plan = pd.DataFrame(
        {
            "channel": ["email", "push", "email"],
            "send_at": pd.to_datetime(["2025-06-02T23:30:00Z", "2025-06-02T10:00:00Z", "2025-06-03T10:00:00Z"]),
        }
    )
    assert len(plotting.plan_per_day(plan).get_xticks()) == 2
    assert len(plotting.plan_per_day(plan, timezone="Asia/Tokyo").get_xticks()) == 2
    ax = plotting.plan_per_hour(plan, [1, 10, 10])
    assert [patch.get_height() for patch in ax.patches if patch.get_height()] == [1, 1, 1]


def test_prices_are_drawn_dearest_on_top():
    touches = om.planning.Candidates.from_frame(
        pd.DataFrame(
            {
                "user_id": [1, 2, 3],
                "item_id": "tea",
                "channel": ["email", "email", "push"],
                "send_at": pd.Timestamp("2025-06-02T10:00:00Z"),
                "value": [3.0, 2.0, 1.0],
            }
        )
    )
    plan = om.plan(touches, constraints=[om.Budget("email", cost=1, total=1), om.Capacity("push", limit=5)])
    ax = plotting.prices(plan)
    assert [label.get_text() for label in ax.get_yticklabels()][-1] == "Budget('email')"
    assert plotting.plan_per_day(plan).get_title(loc="left") == "Messages per day (UTC)"


def test_axes_given_are_the_axes_used(world):
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert plotting.week(world.truth.hours, ax=ax) is ax


def test_matplotlib_is_loaded_only_to_draw():
    code = "import sys, omnireco, omnireco.plotting; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingExtraError, match=r'pip install "omnireco\[demo\]"'):
        plotting.week(np.ones(168))


def test_shrinkage_has_a_point_and_an_interval_per_stratum():
    rows = [("a", "1-5", 3, -0.1, -0.3, 0.2), ("a", "all", 9, 0.1, 0.0, 0.2), ("b", "all", 9, 0.0, -0.1, 0.1)]
    table = pd.DataFrame(rows, columns=["model", "history", "people", "nats", "low", "high"])
    ax = plotting.shrinkage(table)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1-5\n3 people", "all\n9 people"]
    assert len(ax.containers) == 2
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"a", "b"}


def test_people_hours_names_nobody():
    rng = np.random.default_rng(0)
    profiles, counts = rng.dirichlet(np.ones(168), 3), rng.poisson(0.2, (3, 168))
    ax = plotting.people_hours(profiles, profiles.mean(axis=0), counts=counts)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["A", "B", "C"]
    assert ax.texts[0].get_text() == f"{counts[0].sum()} sessions"
    for wrong in (profiles[:0], np.ones((13, 168)), np.ones((2, 24))):
        with pytest.raises(ParameterError, match="1 to 12 rows of 168 hours"):
            plotting.people_hours(wrong, profiles[0])


def test_uplift_curves_and_budget_paths_are_drawn():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"arm": rng.choice(["a", "none"], 200), "y": rng.random(200)})
    test = om.causal.Experiment.from_frame(
        frame, treatment="arm", control="none", outcome="y", propensity={"a": 0.5, "none": 0.5}
    )
    curve = om.causal.uplift_curve(rng.random(200), test, n_bootstrap=9)
    ax = plotting.gain_curve({"one": curve, "other": curve})
    assert [text.get_text()[:5] for text in ax.get_legend().get_texts()] == ["one: ", "a ran", "other"]
    assert ax.lines[0].get_ydata()[-1] == curve.gain[-1]
    path = om.causal.budget_path(rng.random((200, 1)), test, costs={"a": 1.0}, n_bootstrap=9)
    assert plotting.budget_gains(path).lines[0].get_xdata()[-1] == path.budget[-1]
    with pytest.raises(ParameterError, match="curve must be a UpliftCurve"):
        plotting.gain_curve(path)
    with pytest.raises(ParameterError, match="path must be a BudgetPath"):
        plotting.budget_gains(curve)


def test_send_curve_draws_an_interval_whose_ends_come_together():
    curve = np.linspace(0.1, 0.2, 168)
    ax = plotting.send_curve(curve, low=curve / 2, high=curve * 2)
    assert ax.get_ylim()[1] >= 0.4
    with pytest.raises(om.errors.ParameterError, match=r"give both low and high, or none: send_curve\(curve, low=low"):
        plotting.send_curve(curve, low=curve)
    with pytest.raises(om.errors.ParameterError):
        plotting.send_curve(curve, low=curve[:24], high=curve)
