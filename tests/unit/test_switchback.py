"""Switchbacks: balanced pairs, a washout, and intervals that hold the truth."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.causal import switchback
from omnireco.errors import EmptyError, ParameterError

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


def test_intervals_hold_the_truth():
    inside = []
    for seed in range(60):
        design = switchback("2025-06-01", "2025-06-29", every="6h", washout="1h", seed=seed)
        row = design.report(log_of(design, 1.0, seed)).table.iloc[0]
        inside.append(row["low"] <= 1.0 <= row["high"])
    assert np.mean(inside) >= 0.85


def test_the_washout_takes_away_what_carries_over():
    short = switchback("2025-06-01", "2025-06-29", every="6h", washout="1us", seed=1)
    effects = [
        switchback("2025-06-01", "2025-06-29", every="6h", washout=wash, seed=1)
        .report(log_of(short, 0.0, 1, carry=20.0))
        .table["effect"]
        .iloc[0]
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
