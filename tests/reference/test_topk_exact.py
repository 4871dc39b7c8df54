"""The top-K kernels against a plain float64 loop, in every tier that this machine has."""

import numpy as np
import pytest

from omnireco.models import topk as engine

TIERS = engine._available()


def brute_force(queries, items, *, k, exclude=None, eligible=None, bias=None):
    """Score every pair in float64, factor by factor, and sort."""
    n, m = queries.shape[0], items.shape[0]
    codes, scores = np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
    top = float(np.finfo(np.float32).max)
    for u in range(n):
        total = np.zeros(m)
        for j in range(items.shape[1]):
            total = total + np.float64(queries[u, j]) * items[:, j].astype(np.float64)
        if bias is not None:
            total = total + bias
        score = np.clip(total, -top, top).astype(np.float32) + np.float32(0)
        allowed = np.ones(m, bool)
        if exclude is not None:
            allowed[exclude[1][exclude[0][u] : exclude[0][u + 1]]] = False
        if eligible is not None:
            masks, group = eligible if isinstance(eligible, tuple) else (eligible[None], np.zeros(n, int))
            allowed &= masks[group[u]]
        item = np.flatnonzero(allowed)
        best = item[np.lexsort((item, -score[item]))][:k]
        codes[u, : best.size], scores[u, : best.size] = best, score[best]
    return codes, scores


def random_case(seed):
    """A hostile problem: shape, scale, duplicates, zeros, exclusions, eligibility and bias at random."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 24)), int(rng.choice([1, 2, 63, 64, 65, 300, 1000, 2500]))
    d = int(rng.choice([1, 2, 3, 8, 17, 64, 257]))
    k = int(rng.choice([1, 2, 10, 33, 100]))
    queries, items = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    kind = rng.integers(0, 9)
    if kind == 1:
        items *= np.exp(3 * rng.standard_normal((m, 1)))
    elif kind == 2:
        items = items[rng.integers(0, max(1, m // 5), m)]
    elif kind == 3:
        queries, items = np.round(queries), np.round(items)
    elif kind == 4:
        queries, items = queries * 1e-30, items * 10.0 ** rng.integers(-15, 1)
    elif kind == 5:
        queries, items = queries * 1e20, items * 10.0 ** rng.integers(10, 19, (m, 1))
    elif kind == 6:
        items = np.abs(items) + 30
        queries = np.abs(queries) + 30
    elif kind == 7:
        queries[rng.random(n) < 0.5] = 0
        items[rng.random(m) < 0.5] = 0
    elif kind == 8:
        queries, items = queries * (rng.random((n, d)) < 0.1), items * (rng.random((m, d)) < 0.1)
    rules = {}
    if rng.random() < 0.7:
        share = rng.choice([0.01, 0.3, 0.9, 1.0])
        seen = [np.flatnonzero(rng.random(m) < share) for _ in range(n)]
        rules["exclude"] = (
            np.concatenate([[0], np.cumsum([s.size for s in seen])]),
            np.concatenate(seen),
        )
    draw = rng.random()
    if draw < 0.3:
        rules["eligible"] = rng.random(m) < rng.choice([0.02, 0.5])
    elif draw < 0.5:
        rules["eligible"] = (rng.random((3, m)) < 0.5, rng.integers(0, 3, n))
    if rng.random() < 0.4:
        rules["bias"] = (rng.standard_normal(m) * rng.choice([0.1, 1, 50])).astype(np.float32)
    return queries.astype(np.float32), items.astype(np.float32), k, rules


def run(tier, queries, items, *, k, exclude=None, eligible=None, bias=None, threads=None):
    return engine._topk(queries, items, k, exclude, eligible, bias, threads, tier)


def assert_same(answer, truth, note=""):
    assert np.array_equal(answer[0], truth[0]), note
    assert answer[1].tobytes() == truth[1].tobytes(), note


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("part", range(4))
def test_hundreds_of_hostile_cases(tier, part):
    for seed in range(part * 100, part * 100 + 100):
        queries, items, k, rules = random_case(seed)
        assert_same(run(tier, queries, items, k=k, **rules), brute_force(queries, items, k=k, **rules), seed)
