"""Hostile zones, consents and clocks at a small size: what the benchmark does for a million, and that it can see."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def million():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location("plan_million", BENCHMARKS / "plan_million.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return module


@pytest.mark.parametrize("seed", range(6))
def test_no_violation_of_anything(million, seed):
    made = million.world(500, seed)
    plan, limit, total = million.planned(made, seed)
    held = plan.holdout.users.ids[plan.holdout.held]
    found = million.violations(made, plan.to_frame(), limit, total, held)
    assert set(found.values()) == {0}, found
    every, _ = million.triggered(made, plan, limit, total, 200, seed)
    assert len(every) > len(plan)
    found = million.violations(made, every, limit, total, held)
    assert set(found.values()) == {0}, found


def test_the_check_sees_every_kind_of_violation(million):
    """Everything that could be sent is sent: each rule that the plan keeps is broken, and counted."""
    made = million.world(500, 0)
    plan, limit, total = million.planned(made, 0)
    held = plan.holdout.users.ids[plan.holdout.held]
    copies = pd.concat([made.touches, made.touches], ignore_index=True)
    assert min(million.violations(made, copies, limit, total, held).values()) > 0
    assert len(plan) < len(made.touches) / 2
    assert np.isin(plan.to_frame()["user_id"], made.people["user_id"]).all()
