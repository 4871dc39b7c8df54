"""Held out against treated: coverage in worlds with a known effect, and groups that are not those of the lot."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.causal import Holdout, holdout_report
from omnireco.causal.holdouts.holdout_report import compared
from omnireco.errors import EmptyError, ParameterError

START = pd.Timestamp("2025-05-01", tz="UTC")


def world(effect, n=2000, seed=0, share=0.3):
    """Poisson purchases of people of very different rates for 56 days; from day 28 on the treated buy more."""
    rng = np.random.default_rng(seed)
    drawn = Holdout.draw(np.arange(n), share=share, seed=seed)
    rate = rng.gamma(1.0, 0.06, n)
    rows = []
    for person in range(n):
        more = 1.0 if drawn.held[person] else 1.0 + effect
        for start, r in ((0, rate[person]), (28, rate[person] * more)):
            rows += [(person, start + day) for day in rng.uniform(0, 28, rng.poisson(28 * r))]
    frame = pd.DataFrame(rows, columns=["user_id", "day"])
    at = START + pd.to_timedelta(frame.pop("day"), unit="D").dt.floor("s")
    log = om.EventLog.from_frame(frame.assign(item_id="a", channel="web", event="purchase", value=2.0, timestamp=at))
    return drawn, om.Dataset(log, end=START + pd.Timedelta(days=56)), rate


def test_intervals_cover_the_truth_and_cuped_narrows_them():
    inside, widths = [], []
    for seed in range(40):
        drawn, data, _ = world(0.2, n=600, seed=seed)
        for before in ("fit", None):
            table = holdout_report(drawn, data, start="2025-05-29", before=before).table.set_index("outcome")
            row = table.loc["conversions"]
            inside.append(row["low"] <= 28 * 0.06 * 0.2 <= row["high"])
            widths.append(row["high"] - row["low"])
            assert bool(row["adjusted"]) == (before == "fit")
            np.testing.assert_allclose(table.loc["value", "effect"], 2 * row["effect"])
    assert np.mean(inside) >= 0.88
    assert np.mean(widths[::2]) < 0.85 * np.mean(widths[1::2])


def test_no_effect_is_no_effect_and_a_large_one_is_found():
    drawn, data, _ = world(0.0)
    assert holdout_report(drawn, data, start="2025-05-29").verdict.startswith("no effect shown")
    drawn, data, _ = world(0.6, share=0.4)
    report = holdout_report(drawn, data, start="2025-05-29")
    assert report.verdict.startswith("messages earn")
    row = report.table.set_index("outcome").loc["conversions"]
    assert row["lift_low"] < 0.6 < row["lift_high"]
    np.testing.assert_allclose(row["total"], row["effect"] * report.n_treated)


def test_the_difference_by_hand():
    y = np.array([1.0, 3.0, 0.0, 2.0, 1.0])
    held = np.array([False, False, True, True, True])
    found = compared(y, held, None, 0.95)
    assert (found["treated"], found["holdout"], found["effect"]) == (2.0, 1.0, 1.0)
    assert np.isnan(found["lift"])  # the mean of three people is not known to be above 0
    half = (found["high"] - found["low"]) / 2
    variance = 2 / 2 + 1 / 3
    freedom = variance**2 / (1.0**2 / 1 + (1 / 3) ** 2 / 2)
    from scipy.stats import t

    np.testing.assert_allclose(half, t.ppf(0.975, freedom) * np.sqrt(variance))


def test_groups_that_are_not_those_of_the_lot_give_no_verdict():
    drawn, data, _ = world(0.0)
    lost = drawn.to_frame()
    lost = lost[(lost["group"] == "treated") | (lost["user_id"] % 2 == 0)]  # half of the held out were forgotten
    report = holdout_report(Holdout.from_frame(lost, share=0.3), data, start="2025-05-29")
    assert report.ratio_p < 0.001
    assert report.verdict.startswith("No verdict")


def test_what_cannot_be_compared_is_refused():
    drawn, data, _ = world(0.0, n=300)
    with pytest.raises(ParameterError, match="after the data"):
        holdout_report(drawn, data, start="2025-06-20")
    with pytest.raises(EmptyError, match="fewer than k=5"):
        holdout_report(Holdout.draw(range(8), share=0.1), data, start="2025-05-29")
    with pytest.raises(ParameterError, match="Did you mean 'purchase'"):
        holdout_report(drawn, data, start="2025-05-29", completes="purchases")
    with pytest.raises(ParameterError, match="must be a Holdout"):
        holdout_report(drawn.to_frame(), data, start="2025-05-29")
