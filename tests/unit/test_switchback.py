"""Switchbacks: balanced pairs, a washout, and intervals that hold the truth."""

import warnings

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.causal import switchback
from omnireco.errors import DataWarning, EmptyError, ParameterError

START = pd.Timestamp("2025-06-01", tz="UTC")


def log_of(design, effect, seed, carry=0.0):
    """Purchases per hour with the hour of the day and a trend; more while messages are on, and some hours after."""
    rng = np.random.default_rng(seed)
    hours = np.arange(28 * 24)
    on = design.is_on((START + pd.to_timedelta(hours, unit="h")).as_unit("us").asi8)
    late = np.r_[False, on[:-1]]
    rate = 4 + 2 * np.sin(hours / 24 * 2 * np.pi) + hours / 400 + effect * on + carry * (late & ~on)
    n = rng.poisson(rate)
    at = START + pd.to_timedelta(np.repeat(hours, n) * 3600 + rng.integers(0, 3600, n.sum()), unit="s")
    frame = pd.DataFrame({"user_id": np.arange(n.sum()), "item_id": "a", "channel": "call", "event": "purchase"})
    return om.Dataset(om.EventLog.from_frame(frame.assign(timestamp=at)))


def test_each_pair_has_one_block_with_messages():
    design = switchback("2025-06-01", "2025-06-29", every="6h", washout="1h", seed=3)
    assert (design.on.reshape(-1, 2).sum(axis=1) == 1).all()
    assert 0.3 < design.on[::2].mean() < 0.7
    frame = design.to_frame()
    assert (frame["counted_from"] - frame["start_at"]).eq(pd.Timedelta(hours=1)).all()
    assert design.is_on("2025-06-01T07:00:00+00:00").tolist() == [bool(design.on[1])]
    with pytest.raises(ParameterError, match="1 instants lie outside"):
        design.is_on("2025-07-01")


@pytest.mark.filterwarnings("ignore:Switchback.report. what was sent")  # in one of 50 by chance
def test_intervals_hold_the_truth():
    inside = []
    for seed in range(60):
        design = switchback("2025-06-01", "2025-06-29", every="6h", washout="1h", seed=seed)
        row = design.report(log_of(design, 1.0, seed)).table.iloc[0]
        inside.append(row["low"] <= 1.0 <= row["high"])
    assert np.mean(inside) >= 0.85


def test_the_washout_takes_away_what_carries_over():
    short = switchback("2025-06-01", "2025-06-29", every="6h", washout="1us", seed=1)
    data = log_of(short, 0.0, 1, carry=20.0)
    with pytest.warns(DataWarning, match="still works in the counted time"):
        short.report(data)
    warnings.simplefilter("ignore", DataWarning)
    effects = [
        switchback("2025-06-01", "2025-06-29", every="6h", washout=wash, seed=1).report(data).table["effect"].iloc[0]
        for wash in ("1us", "2h")
    ]
    assert effects[0] < -0.7
    assert abs(effects[1]) < 0.6


def test_what_gives_no_honest_interval_is_refused():
    design = switchback("2025-06-01", "2025-06-29", every="3D", washout="1h")
    with pytest.raises(EmptyError, match="3 pairs of blocks"):
        design.report(log_of(switchback("2025-06-01", "2025-06-29"), 0.0, 0))
    for given, words in (
        ({"every": "30D"}, "makes 0 blocks"),
        ({"every": "1s"}, "more|blocks between"),
        ({"washout": "6h"}, "washout must be shorter"),
    ):
        with pytest.raises(ParameterError, match=words):
            switchback("2025-06-01", "2025-06-29", **given)
    fine = switchback("2025-06-01", "2025-06-29")
    with pytest.raises(ParameterError, match="'purchas'"):
        fine.report(log_of(fine, 0.0, 0), completes="purchas")


def slow_log(design, effect, seed, half_life):
    """Messages work on and on: what they add builds up while they are on, and fades with a half-life in hours."""
    rng = np.random.default_rng(seed)
    hours = np.arange(28 * 24)
    on = design.is_on((START + pd.to_timedelta(hours, unit="h")).as_unit("us").asi8)
    level, keep = np.zeros(hours.size), 0.5 ** (1 / half_life)
    for hour in hours:
        level[hour] = (1 - keep) * on[hour] + (keep * level[hour - 1] if hour else 0.0)
    n = rng.poisson(6 + 2 * np.sin(hours / 24 * 2 * np.pi) + effect * level)
    at = START + pd.to_timedelta(np.repeat(hours, n) * 3600 + rng.integers(0, 3600, n.sum()), unit="s")
    frame = pd.DataFrame({"user_id": np.arange(n.sum()), "item_id": "a", "channel": "call", "event": "purchase"})
    return om.Dataset(om.EventLog.from_frame(frame.assign(timestamp=at)))


def warned(design, data):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        design.report(data)
    return any("still works" in str(one.message) for one in seen)


def test_carry_over_longer_than_the_washout_is_noticed():
    """With a half-life of half a block the effect is understated by a third; with none there is hardly a warning."""
    slow, quick = [], []
    for seed in range(40):
        design = switchback("2025-06-01", "2025-06-29", every="6h", washout="1h", seed=seed)
        slow.append(warned(design, slow_log(design, 8.0, seed, 3.0)))
        quick.append(warned(design, log_of(design, 3.0, seed)))
    assert np.mean(slow) >= 0.9
    assert np.mean(quick) <= 0.1


def test_what_is_carried_over_is_measured():
    """The state of the block before adds 3 all through the next: the difference says so, and its interval holds it."""
    found = []
    for seed in range(30):
        design = switchback("2025-06-01", "2025-07-27", every="6h", washout="1h", seed=seed)
        rng = np.random.default_rng(seed)
        hours = np.arange(56 * 24)
        before = np.r_[False, design.on[:-1]][hours // 6]
        n = rng.poisson(6 + 5 * design.on[hours // 6] + 3 * before)
        at = START + pd.to_timedelta(np.repeat(hours, n) * 3600 + rng.integers(0, 3600, n.sum()), unit="s")
        frame = pd.DataFrame({"user_id": np.arange(n.sum()), "item_id": "a", "channel": "call", "event": "purchase"})
        with pytest.warns(DataWarning, match="longer washout"):
            row = design.report(om.EventLog.from_frame(frame.assign(timestamp=at))).table.iloc[0]
        found.append(row["carried_low"] <= 3 <= row["carried_high"])
        assert row["effect"] < 5
    assert np.mean(found) >= 0.85


def test_few_people_are_no_switchback():
    design = switchback("2025-06-01", "2025-06-29")
    data = log_of(design, 1.0, 0)
    few = data.events.to_frame().assign(user_id=lambda frame: frame["user_id"] % 3)
    with pytest.raises(EmptyError, match="fewer than k=5 people did 'purchase'"):
        design.report(om.EventLog.from_frame(few))
    assert design.report(om.EventLog.from_frame(few), k=1).pairs > 5
