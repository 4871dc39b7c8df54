"""Fold-in against a dense solver, row by row."""

import numpy as np
import pytest
import scipy.sparse as sp

from omnireco._kernels.als.fold_in import Space, fold_in


@pytest.mark.parametrize("d", [1, 3, 8, 17, 64])
def test_each_row_solves_its_own_equations(d):
    draw = np.random.default_rng(d)
    factors = draw.normal(size=(20, d)).astype(np.float32)
    wide = factors.astype(np.float64)
    rows = sp.random(150, 20, 0.2, format="csr", random_state=draw)
    weight, pull, ridge = 5 * rows.data, draw.normal(size=rows.nnz), 0.1 + draw.random(150)
    arguments = (rows.indptr, rows.indices, weight, pull)
    options = {"space": Space.of(factors, 0.7), "ridge": ridge}
    vectors = fold_in(*arguments, **options, threads=1)
    assert vectors.dtype == np.float32
    for row in range(150):
        cells = slice(rows.indptr[row], rows.indptr[row + 1])
        y = wide[rows.indices[cells]]
        left = 0.7 * wide.T @ wide + ridge[row] * np.eye(d) + y.T @ (weight[cells, None] * y)
        assert vectors[row] == pytest.approx(np.linalg.solve(left, y.T @ pull[cells]), rel=1e-5, abs=1e-6)
    assert fold_in(*arguments, **options, threads=4).tobytes() == vectors.tobytes()


def test_nobody_and_nothing():
    space, none = Space.of(np.ones((2, 2), np.float32), 1.0), np.empty(0)
    assert fold_in(np.array([0]), none.astype(int), none, none, space=space, ridge=none).shape == (0, 2)
    alone = fold_in(np.array([0, 0]), none.astype(int), none, none, space=space, ridge=np.ones(1))
    assert alone.tolist() == [[0, 0]]


@pytest.mark.parametrize("n", [1, 7, 8, 9, 16, 17, 31, 32, 33, 64, 65, 150])
def test_short_and_long_histories_are_one_answer(n):
    """The two ways to solve meet at half as many cells as factors; each is exact, on both sides of it."""
    draw = np.random.default_rng(n)
    factors = draw.normal(size=(200, 64)).astype(np.float32)
    wide, cells = factors.astype(np.float64), np.sort(draw.choice(200, n, replace=False))
    weight, pull = 40 * draw.random(n) + 1e-6, draw.normal(size=n)
    for unobserved in (0.0, 1e-3, 1.0):
        vector = fold_in(
            np.array([0, n]), cells, weight, pull, space=Space.of(factors, unobserved), ridge=np.array([0.05])
        )[0]
        left = unobserved * wide.T @ wide + 0.05 * np.eye(64) + (wide[cells].T * weight) @ wide[cells]
        expected = np.linalg.solve(left, wide[cells].T @ pull)
        assert np.abs(vector - expected).max() <= 1e-5 * np.abs(expected).max()


def test_who_else_is_asked_about_changes_no_byte():
    draw = np.random.default_rng(3)
    rows = sp.random(300, 90, 0.3, format="csr", random_state=draw)
    space = Space.of(draw.normal(size=(90, 40)).astype(np.float32), 0.2)
    arrays, ridge = (rows.indptr, rows.indices, rows.data + 0.1, rows.data), np.full(300, 0.3)
    batch = fold_in(*arrays, space=space, ridge=ridge, threads=2)
    for row in range(0, 300, 7):
        part = slice(rows.indptr[row], rows.indptr[row + 1])
        one = (np.array([0, part.stop - part.start]), *(array[part] for array in arrays[1:]))
        assert fold_in(*one, space=space, ridge=ridge[:1]).tobytes() == batch[row].tobytes()
