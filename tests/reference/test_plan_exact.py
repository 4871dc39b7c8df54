"""Plans against scipy's HiGHS MILP and full enumeration, on constraint rows built by plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from omnireco._kernels.packing import dual_bound, lagrange_prices, solve
from omnireco.planning import Budget, Candidates, Capacity, FrequencyCap, plan

HOUR = 3_600_000_000


def case(seed, n=40, n_people=6):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "user_id": rng.integers(0, n_people, n),
            "item_id": rng.integers(0, 4, n),
            "channel": rng.choice(["push", "email"], n),
            "send_at": pd.Timestamp("2025-06-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 96, n), unit="h"),
            "value": np.round(rng.gamma(1.0, 1.0, n), 3) - 0.05,
        }
    )
    n_cap, hours = int(rng.integers(1, 4)), int(rng.choice([6, 24, 48]))
    cost, total, limit = 0.1, float(rng.choice([0.3, 0.5, 0.9])), int(rng.integers(1, 3))
    constraints = [
        FrequencyCap(n_cap, per=f"{hours}h"),
        Budget("email", cost=cost, total=total),
        Capacity("push", per="12h", limit=limit),
    ]
    rows, limits = [], []
    for user in frame["user_id"].unique():
        mine = frame[frame["user_id"] == user]
        for start in mine["send_at"]:  # every window that starts at a touch, the dominated ones too
            inside = (frame["user_id"] == user) & (frame["send_at"] >= start)
            inside &= frame["send_at"] < start + pd.Timedelta(hours=hours)
            rows.append(inside.to_numpy(float))
            limits.append(n_cap)
    rows.append((frame["channel"] == "email").to_numpy(float) * cost)
    limits.append(total)
    for cell in frame["send_at"].dt.floor("12h").unique():
        inside = (frame["channel"] == "push") & (frame["send_at"].dt.floor("12h") == cell)
        rows.append(inside.to_numpy(float))
        limits.append(limit)
    return frame, constraints, np.array(rows), np.array(limits, float)


def optimum(value, rows, limits):
    found = milp(
        -value,
        constraints=LinearConstraint(rows, -np.inf, limits + 1e-9),
        integrality=np.ones(value.size),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0},
    )
    assert found.status == 0
    return float(value @ np.round(found.x))


@pytest.mark.parametrize("seed", range(100))
def test_small_plans_are_the_best_there_are(seed):
    frame, constraints, rows, limits = case(seed)
    best = plan(Candidates.from_frame(frame), constraints=constraints)
    truth = optimum(frame["value"].to_numpy(), rows, limits)
    assert best.value == pytest.approx(truth, rel=1e-9)
    assert truth <= best.bound <= truth * (1 + 1e-8)
    assert best.exact


@pytest.mark.parametrize("seed", range(100))
def test_without_a_search_the_bound_still_holds_and_the_plan_is_near(seed):
    """The road of the large problems, forced on small ones: smoothed prices and a greedy plan only."""
    frame, _, rows, limits = case(seed)
    value = frame["value"].to_numpy()
    found = solve(value, sparse.csr_matrix(rows), limits, exact_touches=0, linear_touches=0)
    truth = optimum(value, rows, limits)
    assert found.bound >= truth * (1 - 1e-12)
    assert found.value <= truth * (1 + 1e-12)
    assert (rows @ found.chosen <= limits + 1e-9).all()
    assert found.value >= 0.9 * truth
    relaxed = -linprog(-value, A_ub=rows, b_ub=limits, bounds=(0, 1)).fun
    assert found.bound <= relaxed * 1.001


@pytest.mark.parametrize("seed", range(30))
def test_no_plan_beats_the_bound_in_full_enumeration(seed):
    rng = np.random.default_rng(seed)
    n, m = 10, 4
    value = np.round(rng.normal(0.5, 1.0, n), 2)
    rows = np.where(rng.random((m, n)) < 0.5, rng.random((m, n)), 0.0)
    limits = rng.random(m) * 2
    every = np.array(list(itertools.product([0.0, 1.0], repeat=n)))
    truth = (every @ value)[(every @ rows.T <= limits).all(axis=1)].max()
    for sizes in ({}, {"exact_touches": 0}, {"exact_touches": 0, "linear_touches": 0}, {"linear_touches": 0}):
        found = solve(value, sparse.csr_matrix(rows), limits, **sizes)
        assert found.value <= truth + 1e-12 <= found.bound + 1e-9
        assert (rows @ found.chosen <= limits * (1 + 1e-9)).all()
        if "exact_touches" not in sizes:
            assert found.value == pytest.approx(truth, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_any_prices_prove_a_bound(seed):
    frame, _, rows, limits = case(seed)
    value = frame["value"].to_numpy()
    matrix = sparse.csr_matrix(rows)
    truth = optimum(value, rows, limits)
    rng = np.random.default_rng(seed)
    for price in (np.zeros(limits.size), rng.gamma(1.0, 1.0, limits.size), 1e-9 * rng.random(limits.size)):
        assert dual_bound(value, matrix, limits, price) >= truth
    good = value > 0
    price = lagrange_prices(value[good], matrix[:, np.flatnonzero(good)], limits)
    assert dual_bound(value, matrix, limits, price) >= truth


def week(n_people, seed, *, equal=False):
    """A week of a whole audience: overlapping days and weeks per person, hours of capacity, one budget."""
    rng = np.random.default_rng(seed)
    n = n_people * 20
    usual = np.repeat(rng.integers(0, 24, n_people), 20)
    hour = (usual + rng.integers(-2, 3, n)) % 24 + 24 * rng.integers(0, 7, n)
    frame = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(n_people), 20),
            "item_id": rng.integers(0, 30, n),
            "channel": rng.choice(["push", "email"], n),
            "send_at": pd.Timestamp("2025-06-01", tz="UTC") + pd.to_timedelta(hour, unit="h"),
            "value": 0.1 if equal else rng.beta(2, 20, n) * np.repeat(rng.lognormal(0, 0.5, n_people), 20),
        }
    )
    constraints = [
        FrequencyCap(3, per="7D"),
        FrequencyCap(1, per="24h"),
        Budget("email", cost=0.01, total=n_people * 0.004),
        Capacity("push", per="1h", limit=max(1, n_people // 168)),
    ]
    return Candidates.from_frame(frame), constraints


@pytest.mark.parametrize("equal", [False, True])
def test_a_week_of_a_thousand_people_is_within_a_thousandth(equal):
    touches, constraints = week(1_000, 3, equal=equal)
    assert 0 <= plan(touches, constraints=constraints).optimality_gap < 1e-3


def test_a_large_week_takes_the_road_of_the_smoothed_dual():
    touches, constraints = week(6_000, 5)  # 120,000 touches: more than the simplex method gets
    best = plan(touches, constraints=constraints)
    assert not best.exact
    assert 0 <= best.optimality_gap < 1e-3
