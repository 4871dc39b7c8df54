"""Small work runs without a compiler and gives what compiled code gives: to the bit where sums have one order."""

import numpy as np
import pytest
import scipy.sparse as sp

from omnireco._core.compute import always_compiled, compiled, pays, suited
from omnireco._kernels.als import least_squares
from omnireco._kernels.als.fold_in import Space, fold_in
from omnireco._kernels.als.loss import Loss
from omnireco._kernels.log.union import capped_groups
from omnireco.choices import LinearBandit, thompson_propensities
from omnireco.data.asking import asof
from omnireco.models.matrix.squares import gram_matrix
from omnireco.models.together import scorers

pytest.importorskip("numba")
DRAW = np.random.default_rng(0)


def cells(n=60, m=25, *, density=0.2, seed=0):
    x = sp.random(n, m, density=density, random_state=seed, dtype=np.float32, format="csr")
    x.data += 0.5
    x.sort_indices()
    return x


def test_the_work_alone_decides():
    assert not pays(9, 10)
    assert pays(10, 10)
    with always_compiled():
        assert pays(0, 10)
        with always_compiled():
            pass
        assert pays(0, 10)
    assert not pays(9, 10)


@compiled
def _twice(value):
    return 2 * value


@compiled
def _thrice(value):
    return _twice(value) + value


def test_few_steps_are_taken_by_python_and_so_are_those_of_the_kernels_within():
    assert suited(_thrice, 10)(7) == 21
    assert _thrice._dispatcher is _twice._dispatcher is None
    assert suited(_thrice, 10**9)(7) == 21
    assert _thrice._dispatcher is not None


@compiled
def _wrapped(value, factor):
    return value * factor


def test_what_is_asked_often_is_compiled_in_the_end():
    large = np.uint64(2**63)
    for _ in range(8):
        assert suited(_wrapped, 100.0, least=100.1)(large, np.uint64(2)) == 0  # nothing warns, as in compiled code
    assert _wrapped.taken == 800.0
    assert suited(_wrapped, 300.0, least=300.1) == _wrapped.interpreted
    assert suited(_wrapped, 1.0, least=100.0) is _wrapped


@pytest.mark.parametrize("rules", [{}, {"confidence_weights": True}, {"graded": True}], ids=str)
@pytest.mark.parametrize("width", [3, 16, 20])
def test_als(rules, width):
    x, options = cells(), {"confidence_weights": False, "graded": False} | rules
    x.data[x.indptr[7] : x.indptr[8]] = 0.0
    x.eliminate_zeros()
    loss = Loss(regularization=0.1, alpha=2.0, unobserved_weight=0.1, frequency_scaling=0.5, dislike=0.0, **options)
    users = DRAW.normal(size=(60, width)).astype(np.float32)
    items = DRAW.normal(size=(25, width)).astype(np.float32)

    def learn():
        return least_squares.learn(x, None, loss, users, items, iterations=3, threads=2)

    small = learn()
    with always_compiled():
        large = learn()
    assert not small[0][7].any()
    np.testing.assert_allclose(small[0] @ small[1].T, large[0] @ large[1].T, atol=2e-4)
    assert least_squares.full_loss(x, None, loss, *small) == pytest.approx(
        least_squares.full_loss(x, None, loss, *large), rel=1e-6
    )


def test_als_in_blocks_is_als_in_one(monkeypatch):
    x = cells()
    loss = Loss(
        regularization=0.1,
        alpha=2.0,
        unobserved_weight=0.1,
        frequency_scaling=0.5,
        dislike=0.0,
        confidence_weights=False,
        graded=False,
    )
    users, items = (DRAW.normal(size=(n, 8)).astype(np.float32) for n in x.shape)
    whole = least_squares.learn(x, None, loss, users, items, iterations=2, threads=1)
    monkeypatch.setattr(least_squares, "_CELLS", 7)
    parts = least_squares.learn(x, None, loss, users, items, iterations=2, threads=3)
    assert all(np.array_equal(one, other) for one, other in zip(whole, parts, strict=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gram_matrix_to_the_bit(dtype):
    x = cells(300, 40)
    x.data *= np.where(DRAW.random(x.nnz) < 0.3, -1, 1).astype(np.float32)
    small = gram_matrix(x, dtype)
    with always_compiled():
        large = gram_matrix(x, dtype)
    assert small.dtype == large.dtype == dtype
    assert np.array_equal(np.triu(small), np.triu(large))


def test_groups_with_a_cap():
    a, b = DRAW.integers(0, 50, 200), DRAW.integers(0, 50, 200)
    level = np.sort(DRAW.integers(0, 9, 200).astype(np.float64))[::-1].copy()
    small = suited(capped_groups, 1)(a, b, level, 50, 12)
    assert np.array_equal(small, capped_groups(a, b, level, 50, 12))


def test_decayed_sums_to_the_bit():
    clock = np.sort(DRAW.integers(0, 10**6, 500))
    given = clock, np.arange(500), DRAW.integers(0, 9, 500), [1e5, 3e4, np.inf], DRAW.random(500)
    small = asof.AsOf.of(*given)
    with always_compiled():
        large = asof.AsOf.of(*given)
    assert np.array_equal(small.total, large.total)


def test_trees_to_the_bit():
    x = DRAW.normal(size=(400, 5)).astype(np.float32)
    label = (x[:, 0] + DRAW.normal(size=400) > 1).astype(np.float64)
    trees = scorers.fit_lambdamart(x, label, np.arange(0, 401, 20), seed=0)
    small = trees(x)
    assert np.ptp(small) > 0
    with always_compiled():
        assert np.array_equal(small, trees(x))
    assert scorers.Trees.of([scorers._stump()])(x).tolist() == [0.0] * 400
    assert trees(x[:0]).shape == (0,)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("policy", ["thompson", "linucb", "epsilon_greedy", "softmax", "squarecb"])
def test_bandits_to_the_bit(policy, k):
    def run():
        draw = np.random.default_rng(0)
        live = LinearBandit(policy=policy, discount=0.99).start([f"a{n}" for n in range(12)], n_features=4)
        found = []
        for _ in range(3):
            x = draw.normal(size=(10, 4))
            chosen = live.decide(x, k=k)
            live.reward(chosen.ids, draw.random((10, k)) if k > 1 else draw.random(10))
            live.update("a1", x[0], 0.5)
            found += [chosen.arm, chosen.propensity, chosen.score, live.propensity(x), live.widths(x)]
        return found

    small = run()
    with always_compiled():
        large = run()
    assert all(np.array_equal(one, other) for one, other in zip(small, large, strict=True))


def test_propensities_to_the_bit():
    mean, width = DRAW.normal(size=(2, 8, 6))
    width = np.abs(width) * 10.0 ** DRAW.integers(-9, 3, (8, 6))
    width[0, 2] = width[1] = 0.0
    small = thompson_propensities(mean, width)
    with always_compiled():
        large = thompson_propensities(mean, width)
    assert np.array_equal(small, large)
    np.testing.assert_allclose(small.sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("width", [4, 16, 40])
def test_fold_in(width):
    """numpy and kernel give the same float32 vectors; alone and together to the bit."""
    x = cells(60, 25, density=0.4)
    x.data[x.indptr[7] : x.indptr[8]] = 0.0
    x.eliminate_zeros()
    space = Space.of(DRAW.normal(size=(25, width)).astype(np.float32), 0.1)
    weight, ridge = x.data.astype(np.float64), 0.5 + DRAW.random(60)
    small = fold_in(x.indptr, x.indices, weight, 2 * weight, space=space, ridge=ridge, threads=2)
    with always_compiled():
        large = fold_in(x.indptr, x.indices, weight, 2 * weight, space=space, ridge=ridge)
    np.testing.assert_allclose(small, large, rtol=2e-7, atol=1e-9)
    assert not small[7].any()
    for row in range(60):
        part = slice(x.indptr[row], x.indptr[row + 1])
        given = x.indptr[row : row + 2] - x.indptr[row], x.indices[part], weight[part], 2 * weight[part]
        assert np.array_equal(fold_in(*given, space=space, ridge=ridge[row : row + 1])[0], small[row])
