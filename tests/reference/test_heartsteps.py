"""The one real randomised notification log: chances learned on early days hold on later ones."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

import omnireco as om

DATA = os.environ.get("OMNIRECO_DATA")
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "heartsteps.py"


@pytest.fixture(scope="module")
def bench():
    if not DATA or not (Path(DATA) / "heartsteps_notifications").exists():
        pytest.skip("OMNIRECO_DATA has no heartsteps_notifications")
    spec = importlib.util.spec_from_file_location("heartsteps", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPT.parent))  # a script finds what stands beside it
        spec.loader.exec_module(module)
    return module


def test_chances_are_calibrated_and_small_samples_refused(bench):
    frame = bench.decisions(Path(DATA))
    early = frame[~frame["late"]]
    assert len(frame) == 4297
    assert abs(frame["send"].mean() - 0.595) < 0.001
    x = bench.features(frame, early, np.zeros(len(frame)))
    learn, test = (frame["send"] & ~frame["late"]).to_numpy(), (frame["send"] & frame["late"]).to_numpy()
    y, people = frame["answered"].to_numpy(float), frame["user_id"].to_numpy()
    p = bench.chance_of(x, bench.logistic(x[learn], y[learn]))
    table = bench.reliability(p[test], y[test], people[test])
    assert table["inside"].sum() >= 4
    assert ((y - p)[test] ** 2).mean() < 0.9 * ((y - y[learn].mean())[test] ** 2).mean()
    share = early[early["send"]]["slot"].value_counts(normalize=True).sort_index().to_numpy()
    slot = frame["slot"].to_numpy()[test] - 1
    one = np.zeros((test.sum(), 5))
    one[:, 2] = 1.0
    logged = om.causal.LoggedDecisions(y[test], share[slot], actions=slot, people=people[test])
    refused = om.causal.off_policy(logged, one)
    assert refused.table["value"].isna().all()
    assert "no value" in refused.verdict
    uniform = om.causal.off_policy(logged, np.full((test.sum(), 5), 0.2))
    assert abs(uniform.table["lift"]).max() < 0.01


def test_the_reading_clock_reads_it(bench):
    import pandas as pd

    frame = bench.decisions(Path(DATA))
    people = pd.DataFrame({"user_id": frame["user_id"].unique().astype("int64"), "timezone": "America/Detroit"})
    audience = om.Audience.from_frame(people.assign(consent_push=True))
    clock = om.timing.ReadingClock(segments=1).fit(om.Dataset(messages=bench.messages_of(frame), audience=audience))
    assert 0.1 < clock.tau[0] < 3.0  # suggestions are answered within the hour or not at all
    assert clock.machine_share[0] == 0.0  # whole minutes: no machine is claimed
