"""Small work runs without a compiler and gives what compiled code gives: to the bit where sums have one order."""

import numpy as np
import pytest
import scipy.sparse as sp

from omnireco._core.compute import always_compiled, compiled, pays, suited
from omnireco._kernels.als import least_squares
from omnireco._kernels.als.loss import Loss
from omnireco._kernels.log.union import capped_groups
from omnireco.data.asking import asof
from omnireco.models.matrix.linear import gram_matrix
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
