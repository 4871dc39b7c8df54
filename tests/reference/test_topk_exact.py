"""The top-K kernels against a plain float64 loop, in every tier that this machine has."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from threadpoolctl import threadpool_info

from omnireco._kernels.topk import exact as engine
from omnireco._kernels.topk import tier_numpy as _topk_numpy
from omnireco._kernels.topk.by_norm import ByNorm
from omnireco._kernels.topk.inputs import as_rules, frozen, row_norms
from omnireco._kernels.topk.tiers import available

TIERS = available()


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


@pytest.mark.parametrize("part", range(10))
def test_a_thousand_hostile_cases_in_every_tier(part):
    for seed in range(part * 100, part * 100 + 100):
        queries, items, k, rules = random_case(seed)
        truth = brute_force(queries, items, k=k, **rules)
        for tier in TIERS:
            assert_same(run(tier, queries, items, k=k, **rules), truth, (tier, seed))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_hypothesis_finds_no_counterexample(data):
    d, n, m = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 4)), data.draw(st.integers(1, 200))
    number = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1.5, 1e-42, -1e-38, 1e18, -3e19, 1e-20, 0.1, 7.25])
    draw = st.integers(0, 2**32 - 1)
    pool = np.array(data.draw(st.lists(number, min_size=1, max_size=6)), np.float32)
    rng = np.random.default_rng(data.draw(draw))
    queries, items = rng.choice(pool, (n, d)), rng.choice(pool, (m, d))
    k = data.draw(st.integers(1, 220))
    eligible = rng.random(m) < 0.5 if data.draw(st.booleans()) else None
    bias = rng.choice(pool, m) if data.draw(st.booleans()) else None
    truth = brute_force(queries, items, k=k, eligible=eligible, bias=bias)
    for tier in TIERS:
        assert_same(run(tier, queries, items, k=k, eligible=eligible, bias=bias), truth, tier)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("d", "m"), [(1, 5000), (3, 5000), (257, 700), (1000, 300), (64, 1)])
def test_odd_numbers_of_factors(tier, d, m):
    rng = np.random.default_rng(d)
    queries = rng.standard_normal((7, d)).astype(np.float32)
    items = rng.standard_normal((m, d)).astype(np.float32)
    assert_same(run(tier, queries, items, k=20), brute_force(queries, items, k=20))


@pytest.mark.parametrize("tier", TIERS)
def test_thousands_of_ties_in_one_reservoir(tier):
    rng = np.random.default_rng(3)
    items = np.repeat(rng.standard_normal((3, 16)), 2000, axis=0).astype(np.float32)[rng.permutation(6000)]
    queries = rng.standard_normal((5, 16)).astype(np.float32)
    for k in (1, 10, 700):
        assert_same(run(tier, queries, items, k=k), brute_force(queries, items, k=k), k)


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(5)
    queries = rng.standard_normal((700, 24)).astype(np.float32)
    items = rng.standard_normal((3000, 24)).astype(np.float32)
    items[1500:] = items[:1500]
    seen = sparse.random(700, 3000, density=0.02, format="csr", random_state=1)
    return queries, items, seen


@pytest.mark.parametrize("tier", TIERS)
def test_threads_rows_and_batches_do_not_matter(tier, problem):
    queries, items, seen = problem
    whole = run("numpy", queries, items, k=15, exclude=seen, threads=1)
    for threads in (1, 2, 4, None):
        assert_same(run(tier, queries, items, k=15, exclude=seen, threads=threads), whole, threads)
    some = np.array([3, 699, 40, 41, 0])
    part = run(tier, queries[some], items, k=15, exclude=seen[some])
    assert_same(part, (whole[0][some], whole[1][some]))
    for row in some:
        one = run(tier, queries[[row]], engine.ItemIndex(items), k=15, exclude=seen[row])
        assert_same(one, (whole[0][[row]], whole[1][[row]]))
    first = run(tier, queries, items, k=5, exclude=seen)
    assert_same(first, (whole[0][:, :5], whole[1][:, :5]))


@pytest.mark.parametrize("blocks", [{"rows": 7, "chunk": 64}, {"rows": 100, "chunk": 640}])
@pytest.mark.parametrize("tier", [tier for tier in TIERS if not tier.startswith("int8")])
def test_block_sizes_do_not_matter(tier, blocks, problem):
    queries, items, seen = problem
    whole = run("numpy", queries, items, k=15, exclude=seen, threads=1)
    module = _topk_numpy
    if tier == "numba":
        from omnireco._kernels.topk import tier_numba as module
    error = _topk_numpy.product_error(
        24, np.linalg.norm(queries, axis=1), float(np.linalg.norm(items, axis=1).max()), 0.0
    )
    codes, scores = np.empty((700, 15), np.int32), np.empty((700, 15), np.float32)
    rules = as_rules(seen, None, 700, 3000)
    queries, items = frozen(queries), frozen(items)
    norms = row_norms(items, "items")
    order = np.argsort(-norms).astype(np.int32)
    sorted_items = ByNorm(frozen(items[order]), items, order, np.argsort(order).astype(np.int32), norms[order])
    asked = row_norms(queries, "queries")
    for ranked in (ByNorm.of(items, norms), sorted_items):
        module.worker(queries, ranked, asked, error, 15, rules, None, codes, scores, **blocks)(0, 700)
        assert_same((codes, scores), whole)


@pytest.mark.parametrize("tier", TIERS)
def test_two_python_threads_at_once(tier, problem):
    queries, items, seen = problem
    index = engine.ItemIndex(items)
    whole = run(tier, queries, index, k=15, exclude=seen, threads=1)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(run, tier, queries, index, k=15, exclude=seen, threads=threads) for threads in (2, 1, 2, 2)]
        for job in jobs:
            assert_same(job.result(), whole)


@pytest.mark.parametrize("tier", [tier for tier in TIERS if not tier.startswith("int8")])
def test_people_leave_when_the_items_that_are_left_are_too_short(tier, monkeypatch):
    rng = np.random.default_rng(9)
    items = rng.standard_normal((20_000, 16)) * np.geomspace(1, 1e-4, 20_000)[rng.permutation(20_000), None]
    queries = rng.standard_normal((40, 16)).astype(np.float32)
    index = engine.ItemIndex(items.astype(np.float32))
    assert index._by_norm().order.size
    products = []
    multiply = np.matmul
    monkeypatch.setattr(np, "matmul", lambda a, b, **out: products.append(b.shape[1]) or multiply(a, b, **out))
    eligible = rng.random(20_000) < 0.5
    answer = run(tier, queries, index, k=10, eligible=eligible, threads=1)
    assert sum(products) < 8000
    assert_same(answer, brute_force(queries, index.items, k=10, eligible=eligible))


def test_blas_gets_its_threads_back(problem):
    queries, items, _ = problem
    before = [pool["num_threads"] for pool in threadpool_info()]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: run("numpy", queries, items, k=3, threads=2), range(6)))
    assert [pool["num_threads"] for pool in threadpool_info()] == before


def sparse_truth(histories, weights, *, k, exclude=None, bias=None):
    """Sum every history in its stored order, in float64, and sort."""
    dense = weights.toarray() if sparse.issparse(weights) else weights
    n, m = histories.shape[0], dense.shape[1]
    scores = np.zeros((n, m))
    for u in range(n):
        for p in range(histories.indptr[u], histories.indptr[u + 1]):
            scores[u] += np.float64(histories.data[p]) * dense[histories.indices[p]].astype(np.float64)
    scores = scores if bias is None else scores + bias
    top = float(np.finfo(np.float32).max)
    block = np.clip(scores, -top, top).astype(np.float32) + np.float32(0)
    if exclude is not None:
        block[exclude.nonzero()] = -np.inf
    order = np.argsort(-block, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(block, order, axis=1)
    codes = np.full((n, k), -1, np.int32)
    out = np.full((n, k), -np.inf, np.float32)
    codes[:, : order.shape[1]] = np.where(best > -np.inf, order, -1)
    out[:, : order.shape[1]] = best
    return codes, out


@pytest.mark.parametrize("tier", [tier for tier in TIERS if not tier.startswith("int8")])
def test_histories_times_weights(tier):
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n, h, m = int(rng.integers(1, 30)), int(rng.integers(1, 40)), int(rng.choice([1, 65, 500, 2200]))
        histories = sparse.random(n, h, density=0.2, format="csr", random_state=seed, dtype=np.float32)
        order = np.concatenate([rng.permutation(np.arange(*p)) for p in pairwise(histories.indptr)] or [[]])
        histories.indices, histories.data = histories.indices[order], histories.data[order]
        histories.has_sorted_indices = False
        weights = rng.standard_normal((h, m)).astype(np.float32) * (rng.random((h, m)) < 0.3)
        weights = (weights * rng.choice([1, 1e30])).astype(np.float32)
        seen = sparse.random(n, m, density=0.2, format="csr", random_state=seed + 1)
        bias = rng.standard_normal(m).astype(np.float32) if seed % 3 == 0 else None
        k = int(rng.choice([1, 7, 90]))
        truth = sparse_truth(histories, weights, k=k, exclude=seen, bias=bias)
        for form in (weights, sparse.csr_matrix(weights)):
            for threads in (1, 2):
                answer = engine.rank_histories(histories, form, k, seen, None, bias, threads, tier)
                assert_same(answer, truth, seed)


READ_ONLY = """
import numpy as np
from omnireco._kernels.topk import exact as engine
answers = [engine._topk(np.ones((2, 3)), np.eye(3), 2, None, None, None, 1, "numba")[0].tolist()]
print(answers)
"""


def test_a_disk_that_cannot_be_written_only_costs_the_cache(tmp_path):
    """Without any folder to cache in, numba refuses to decorate: the kernels must do without."""
    blocked = tmp_path / "a-file"
    blocked.write_text("not a folder")
    package = Path(engine.__file__).parents[3]
    copy = tmp_path / "copy"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__", "*.nb?"))
    (copy / "omnireco" / "_kernels" / "topk" / "__pycache__").write_text("in the way of the cache folder")
    environment = os.environ | {
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(blocked),
        "XDG_CACHE_HOME": str(blocked),
    }
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "[[[0, 1], [0, 1]]]"


OTHER_CPU = """
import os, sys
import llvmlite.binding as llvm
wide = ("avx512", "avx10", "amx")
names = {n: on and not n.startswith(wide) for n, on in dict(llvm.get_host_cpu_features()).items()}
os.environ["NUMBA_CPU_NAME"] = "alderlake"
os.environ["NUMBA_CPU_FEATURES"] = ",".join(("+" if on else "-") + n for n, on in names.items())
sys.path.insert(0, sys.argv[1])
import test_topk_exact as tests
from omnireco._kernels.topk.tile_product import SHAPES
assert SHAPES["int8-vnni"].lanes == 8
for seed in range(200):
    queries, items, k, rules = tests.random_case(seed)
    answer = tests.run("int8-vnni", queries, items, k=k, **rules)
    tests.assert_same(answer, tests.brute_force(queries, items, k=k, **rules), seed)
"""


@pytest.mark.slow
@pytest.mark.skipif("OMNIRECO_SLOW_TESTS" not in os.environ, reason="compiles all kernels anew: half a minute")
@pytest.mark.skipif("int8-vnni" not in TIERS, reason="this CPU has no VNNI")
def test_avx_vnni_without_avx512(tmp_path):
    """The half-wide kernel, compiled as for a CPU that has no AVX-512."""
    pytest.importorskip("llvmlite")
    import llvmlite.binding as llvm

    if not llvm.get_host_cpu_features().get("avxvnni"):
        pytest.skip("this CPU has AVX-512 VNNI only")
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": str(Path(engine.__file__).parents[2]),
    }
    command = [sys.executable, "-c", OTHER_CPU, str(Path(__file__).parent)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
