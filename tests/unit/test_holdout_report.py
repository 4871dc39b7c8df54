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


MONEY = {
    "a tenth buys, sd 1": lambda rng, n: (rng.random(n) < 0.1) * rng.lognormal(0, 1, n),
    "a third buys, sd 1.5": lambda rng, n: (rng.random(n) < 0.3) * rng.lognormal(0, 1.5, n),
    "all buy, sd 2": lambda rng, n: rng.lognormal(0, 2, n),
    "a tenth buys, sd 2": lambda rng, n: (rng.random(n) < 0.1) * rng.lognormal(0, 2, n),
    "Pareto": lambda rng, n: (rng.random(n) < 0.3) * rng.pareto(2.2, n),
}
MEANS = (0.1 * np.exp(0.5), 0.3 * np.exp(1.125), np.exp(2), 0.1 * np.exp(2), 0.3 / 1.2)


@pytest.mark.parametrize("world", range(5))
@pytest.mark.parametrize("lift", [0.0, -0.4])
def test_heavy_tailed_money_is_covered_or_said(world, lift):
    """One in ten held out: Welch's interval covers 72 to 92 %; with the variance of both groups 90 % and more."""
    rng, draw, mean = np.random.default_rng(0), list(MONEY.values())[world], MEANS[world]
    inside, plain, skewed = [], [], []
    for _ in range(300):
        held = rng.random(2000) < 0.1
        y = np.where(held, draw(rng, 2000), draw(rng, 2000) * (1 + lift))
        found = compared(y, held, None, 0.95)
        inside.append(found["low"] <= lift * mean <= found["high"])
        skewed.append(found["skewed"])
        a, b = y[~held], y[held]
        half = 1.96 * np.sqrt(a.var() / a.size + b.var() / b.size)
        plain.append(abs(a.mean() - b.mean() - lift * mean) <= half)
    assert np.mean(inside) >= (0.96 if not lift else 0.86)
    assert np.mean(inside) > np.mean(plain)
    assert np.mean(skewed) > 0.95


def test_a_light_tail_and_equal_groups_keep_their_own_variance():
    rng = np.random.default_rng(1)
    held = rng.random(2000) < 0.1
    assert not compared(rng.normal(size=2000), held, None, 0.95)["skewed"]
    assert not compared(rng.lognormal(0, 2, 2000), np.arange(2000) % 2 == 0, None, 0.95)["skewed"]


def test_heavy_tailed_value_is_warned_of():
    rng = np.random.default_rng(2)
    n = 1500
    at = START + pd.to_timedelta(rng.random(n) * 55, unit="D")
    frame = pd.DataFrame(
        {"user_id": np.arange(n), "item_id": "a", "channel": "web", "event": "purchase", "timestamp": at}
    )
    data = om.Dataset(
        om.EventLog.from_frame(frame.assign(value=rng.lognormal(0, 2, n))), end=START + pd.Timedelta("56D")
    )
    with pytest.warns(om.errors.DataWarning, match="few people make most of the difference in value"):
        holdout_report(Holdout.draw(np.arange(n), share=0.1, seed=1), data, start="2025-05-29")


def test_segments_stand_below_everybody_and_few_are_hidden_with_another():
    drawn, data, _ = world(0.6, share=0.4)
    names = np.where(np.arange(2000) < 8, "board", np.where(np.arange(2000) % 2, "old", "young"))
    segments = pd.DataFrame({"user_id": np.arange(2000), "segment": names})
    report = holdout_report(drawn, data, start="2025-05-29", segments=segments)
    assert report.table["segment"].drop_duplicates().tolist() == ["everybody", "board", "old", "young"]
    assert report.verdict == holdout_report(drawn, data, start="2025-05-29").verdict
    by = report.table.set_index(["segment", "outcome"])
    assert by.loc["board"][["effect", "low", "treated", "n_treated"]].isna().all().all()
    assert by.loc[["old", "young"], "effect"].isna().groupby("segment").all().sum() == 1  # else the board would follow
    shown = "old" if not np.isnan(by.loc[("old", "value"), "effect"]) else "young"
    mine = np.flatnonzero(names == shown)
    alone = holdout_report(
        Holdout(drawn.users.take(mine), drawn.held[mine], drawn.share, drawn.experiment), data, start="2025-05-29"
    )
    columns = ["effect", "low", "high", "n_treated"]
    np.testing.assert_allclose(by.loc[shown][columns], alone.table[columns])
    with pytest.raises(om.errors.SchemaError, match="lists people twice"):
        holdout_report(drawn, data, start="2025-05-29", segments=pd.concat([segments, segments]))
    with pytest.raises(ParameterError, match="the name of all"):
        holdout_report(drawn, data, start="2025-05-29", segments=segments.assign(segment="everybody"))
    missing = holdout_report(drawn, data, start="2025-05-29", segments=segments[segments["user_id"] >= 1000])
    assert set(missing.table["segment"]) == {"everybody", "old", "young", "(unknown)"}


def test_a_holdout_is_a_lift_test():
    drawn, data, _ = world(0.6, share=0.4)
    report = holdout_report(drawn, data, start="2025-05-29")
    lift = report.lift_tests("email", spend=500.0, base_spend=100.0)
    row = report.table.set_index("outcome").loc["value"]
    assert lift.lift.tolist() == [row["total"]]
    np.testing.assert_allclose(2 * 1.959964 * lift.standard_error, row["total_high"] - row["total_low"], rtol=1e-6)
    frame = lift.to_frame()
    assert frame["start_at"][0] == pd.Timestamp("2025-05-29", tz="UTC")
    assert frame["end_at"][0] - frame["start_at"][0] == pd.Timedelta("28D")
    assert lift.to_robyn()["confidence"][0] > 0.99
    with pytest.raises(ParameterError, match="outcome must be one of"):
        report.lift_tests("email", spend=500.0, outcome="clicks")
    with pytest.raises(om.errors.SchemaError, match="spend must not be 0"):
        report.lift_tests("email", spend=0.0)
    lost = drawn.to_frame().drop(index=np.flatnonzero(drawn.held)[:300])
    with pytest.raises(ParameterError, match="the test says nothing"):
        holdout_report(Holdout.from_frame(lost, share=0.4), data, start="2025-05-29").lift_tests("email", spend=1.0)
    assert "influence each other" in report.caveat
    assert "influence each other" in report._repr_html_()


def test_people_who_influence_each_other_are_beyond_a_holdout_and_it_says_so():
    """A shared stock: what the treated buy is missing to the held out, so a test without any gain shows one."""
    rng = np.random.default_rng(0)
    n = 2000
    drawn = Holdout.draw(np.arange(n), share=0.5, seed=0)
    first = np.argsort(rng.random(n) + 0.5 * drawn.held)[:600]  # 600 pieces, with and without messages
    at = START + pd.to_timedelta(rng.random(600) * 20 + 30, unit="D")
    frame = pd.DataFrame({"user_id": first, "item_id": "a", "channel": "web", "event": "purchase", "timestamp": at})
    before = frame.assign(timestamp=at - pd.Timedelta("30D"), user_id=rng.permutation(n)[:600])
    data = om.Dataset(om.EventLog.from_frame(pd.concat([frame, before])), end=START + pd.Timedelta("56D"))
    report = holdout_report(drawn, data, start="2025-05-29", within="26D")
    assert report.table["low"][0] > 0  # the total is 600 whatever is sent: the true gain is 0
    assert "shared" in report.caveat
    assert "switchback" in report.caveat
