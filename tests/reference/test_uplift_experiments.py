"""Published effects of real experiments, computed again."""

import os
from pathlib import Path

import pandas as pd
import pytest

import omnireco as om

FOLDER = Path(os.environ.get("OMNIRECO_DATA", ""))
HILLSTROM, NEW_HAVEN = FOLDER / "hillstrom_email/hillstrom.parquet", FOLDER / "newhaven_channels/newhaven.parquet"


@pytest.mark.skipif(not HILLSTROM.is_file(), reason="OMNIRECO_DATA does not name a folder with hillstrom_email")
def test_the_arm_effects_of_hillstrom_are_the_published_ones():
    frame = pd.read_parquet(HILLSTROM)
    even = dict.fromkeys(frame["segment"].unique(), 1 / 3)
    for outcome, published in {"visit": (0.0766, 0.0452), "spend": (0.770, 0.424)}.items():
        test = om.causal.Experiment.from_frame(
            frame, treatment="segment", control="No E-Mail", outcome=outcome, propensity=even, features=["recency"]
        )
        table = om.causal.Uplift(folds=2).fit(test).average().table
        for row, effect in zip(table.to_dict("records"), published, strict=True):
            assert row["low"] < effect < row["high"]
            assert row["effect"] == pytest.approx(effect, rel=0.03)


@pytest.mark.skipif(not NEW_HAVEN.is_file(), reason="OMNIRECO_DATA does not name a folder with newhaven_channels")
def test_being_reached_in_person_raises_turnout_by_more_than_being_assigned():
    frame = pd.read_parquet(NEW_HAVEN)
    frame = frame[frame["phone_rand"] == 0].astype({"inperson_rand": str})
    shares = frame["inperson_rand"].value_counts(normalize=True).to_dict()
    test = om.causal.Experiment.from_frame(
        frame, treatment="inperson_rand", control="0", outcome="turnout_98", received="inperson", propensity=shares
    )
    row = om.causal.complier_effect(test).table.iloc[0]
    assert row["assigned"] == pytest.approx(0.4138 - 0.3754, abs=1e-4)
    assert row["reached"] == pytest.approx(0.273, abs=0.01)
    assert 0 < row["low"] < row["effect"] == pytest.approx(row["assigned"] / row["reached"])
