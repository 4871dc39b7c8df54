"""Two hundred small problems of every kind of row and their mixtures, beside HiGHS and full enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from omnireco._kernels.packing import InConflict, solve


def mixture(seed, n=45, people=9):
    """Caps, windows, one per item, capacities, a weighted budget, floors, a rate, offers of people or of segments."""
    rng = np.random.default_rng(seed)
    user = np.sort(rng.integers(0, people, n))
    value = np.round(rng.gamma(1.0, 1.0, n), 3) - 0.1
    hour, item, channel = rng.integers(0, 12, n), rng.integers(0, 4, n), rng.integers(0, 3, n)
    rows, limit, least = [], [], []

    def row(inside, high, low=0.0):
        rows.append(inside.astype(float))
        limit.append(float(high))
        least.append(float(low))

    kinds = rng.random(8) < 0.6
    for u in range(people):
        mine = user == u
        if kinds[0]:
            row(mine, rng.integers(1, 4))
        if kinds[1]:
            for h in range(0, 12, 2):
                row(mine & (hour >= h) & (hour < h + 4), 1)
        if kinds[2]:
            for i in range(4):
                row(mine & (item == i), 1)
    if kinds[3]:
        for h, c in itertools.product(range(12), range(3)):
            row((hour == h) & (channel == c), 1)
    if kinds[4]:
        row(np.where(channel == 0, np.round(rng.random(n), 2), 0.0), 2.0)
    if kinds[5]:
        inside = item == 1
        row(inside, np.inf if rng.random() < 0.5 else 8, min(inside.sum(), rng.integers(1, 4)))
    if kinds[6]:
        row(rng.random(n) - 0.4, 0.5)
    choices = []
    if kinds[7]:
        group = user if rng.random() < 0.5 else user % 3
        choices.append((np.where(rng.random(n) < 0.2, -1, group), rng.integers(0, 3, n)))
        if rng.random() < 0.3:
            choices.append((np.where(channel == 0, user, -1), item))
    if not rows:
        row(np.ones(n), 5)
    return value, np.array(rows), np.array(limit), np.array(least), choices, user


def whole_program(value, rows, limit, least, choices, *, integral):
    """The same problem for HiGHS, built on its own: a binary per offer. Worth of the best plan, or None."""
    n = value.size
    offers = sorted({(c, g, o) for c, (gs, os) in enumerate(choices) for g, o in zip(gs, os, strict=True) if g >= 0})
    at = {offer: n + i for i, offer in enumerate(offers)}
    wide = [np.concatenate([r, np.zeros(len(offers))]) for r in rows]
    high, low = list(limit), [f if f > 0 else -np.inf for f in least]
    for c, (gs, os) in enumerate(choices):
        for a in np.flatnonzero(np.asarray(gs) >= 0):
            tie = np.zeros(n + len(offers))
            tie[a], tie[at[c, gs[a], os[a]]] = 1.0, -1.0
            wide.append(tie)
            high.append(0.0)
            low.append(-np.inf)
    for c, g in sorted({(c, g) for c, g, _ in offers}):
        one = np.zeros(n + len(offers))
        one[[at[offer] for offer in offers if offer[:2] == (c, g)]] = 1.0
        wide.append(one)
        high.append(1.0)
        low.append(-np.inf)
    needed = (
        (np.asarray(rows)[np.asarray(least) > 0] > 0).any(axis=0)
        if (np.asarray(least) > 0).any()
        else np.zeros(n, bool)
    )
    top = np.concatenate([(value > 0) | needed, np.ones(len(offers))]).astype(float)
    cost = -np.concatenate([value, np.zeros(len(offers))])
    matrix, high, low = np.array(wide), np.array(high), np.array(low)
    if integral:
        found = milp(cost, constraints=LinearConstraint(matrix, low, high), integrality=np.ones(cost.size),
                     bounds=Bounds(0, top), options={"mip_rel_gap": 0.0})  # fmt: skip
        return None if found.x is None else -float(found.fun)
    up, down = np.isfinite(high), np.isfinite(low)
    found = linprog(cost, A_ub=np.vstack([matrix[up], -matrix[down]]), b_ub=np.concatenate([high[up], -low[down]]),
                    bounds=np.stack([np.zeros(cost.size), top], axis=1))  # fmt: skip
    return None if found.x is None else -float(found.fun)


def kept(chosen, rows, limit, least, choices):
    used = rows @ chosen
    assert (used <= limit + 1e-9).all()
    assert (used >= np.where(least > 0, least, -np.inf) - 1e-9).all()
    for group, option in choices:
        for g in np.unique(group[chosen & (group >= 0)]):
            assert np.unique(option[chosen & (group == g)]).size == 1


SIZES = ({}, {"exact_touches": 12}, {"linear_touches": 0, "exact_touches": 12}, {"linear_touches": 0})


@pytest.mark.parametrize("seed", range(200))
def test_a_mixture_is_solved_as_by_the_whole_program(seed):
    value, rows, limit, least, choices, user = mixture(seed)
    truth = whole_program(value, rows, limit, least, choices, integral=True)
    matrix = sparse.csr_matrix(rows)
    for sizes in SIZES:
        if truth is None:
            with pytest.raises(InConflict):
                solve(value, matrix, limit, least=least, choices=choices, block=user, **sizes)
            continue
        found = solve(value, matrix, limit, least=least, choices=choices, block=user, **sizes)
        kept(found.chosen, rows, limit, least, choices)
        assert found.value == pytest.approx(value[found.chosen].sum())
        assert found.bound >= truth - 1e-9
        assert found.value <= truth + 1e-9
        if "exact_touches" not in sizes:
            assert found.value == pytest.approx(truth, rel=1e-7, abs=1e-9)
        if not sizes:
            relaxed = whole_program(value, rows, limit, least, choices, integral=False)
            assert found.bound <= relaxed + 1e-6 * max(1.0, abs(relaxed))


@pytest.mark.parametrize("seed", range(40))
def test_no_plan_in_full_enumeration_is_better(seed):
    value, rows, limit, least, choices, user = mixture(seed, n=11, people=4)
    every = np.array(list(itertools.product([False, True], repeat=11)))
    needed = (rows[least > 0] > 0).any(axis=0) if (least > 0).any() else np.zeros(11, bool)
    fine = ((every @ rows.T <= limit + 1e-12) & (every @ rows.T >= np.where(least > 0, least, -np.inf) - 1e-12)).all(
        axis=1
    )
    fine &= ~(every & ~((value > 0) | needed)).any(axis=1)
    for group, option in choices:
        for a, b in itertools.combinations(range(11), 2):
            if group[a] >= 0 and group[a] == group[b] and option[a] != option[b]:
                fine &= ~(every[:, a] & every[:, b])
    if not fine.any():
        with pytest.raises(InConflict):
            solve(value, sparse.csr_matrix(rows), limit, least=least, choices=choices, block=user)
        return
    truth = (every[fine] @ value).max()
    found = solve(value, sparse.csr_matrix(rows), limit, least=least, choices=choices, block=user)
    assert found.value == pytest.approx(truth, abs=1e-12)
    assert found.bound >= truth - 1e-12


@pytest.mark.parametrize("seed", range(30))
def test_renaming_people_and_rows_changes_nothing(seed):
    value, rows, limit, least, choices, user = mixture(seed)
    value = value + np.random.default_rng(seed).random(value.size) * 1e-3  # nobody is anybody's twin
    rng = np.random.default_rng(seed + 1)
    touch, row, name = rng.permutation(value.size), rng.permutation(limit.size), rng.permutation(user.max() + 1)
    moved = [(np.where(group < 0, -1, group * 7 + 3)[touch], (option * 5 % 11)[touch]) for group, option in choices]
    for sizes in SIZES:
        try:
            one = solve(value, sparse.csr_matrix(rows), limit, least=least, choices=choices, block=user, **sizes)
        except InConflict:
            continue
        other = solve(value[touch], sparse.csr_matrix(rows[row][:, touch]), limit[row], least=least[row],
                      choices=moved, block=name[user][touch], **sizes)  # fmt: skip
        assert (one.chosen[touch] == other.chosen).all()
        assert one.reduced[touch] == pytest.approx(other.reduced, abs=1e-9)  # two rows may be one and the same
        assert one.bound == pytest.approx(other.bound, rel=1e-12)


@pytest.mark.parametrize("seed", range(30))
def test_a_looser_limit_never_lowers_the_value(seed):
    value, rows, limit, least, choices, user = mixture(seed)
    try:
        one = solve(value, sparse.csr_matrix(rows), limit, least=least, choices=choices, block=user)
    except InConflict:
        return
    rng = np.random.default_rng(seed)
    wider = limit + np.where(rng.random(limit.size) < 0.3, 1.0, 0.0)
    lower = np.maximum(least - np.where(rng.random(limit.size) < 0.3, 1.0, 0.0), 0.0)
    for sizes in SIZES[1:]:  # without a proof too: the plan at hand is given
        other = solve(value, sparse.csr_matrix(rows), wider, least=lower, choices=choices, block=user,
                      start=one.chosen, **sizes)  # fmt: skip
        assert other.value >= one.value - 1e-12
    assert solve(value, sparse.csr_matrix(rows), wider, least=lower, choices=choices).value >= one.value - 1e-9
