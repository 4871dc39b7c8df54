"""Fold-in against a dense solver, row by row."""

import numpy as np
import pytest
import scipy.sparse as sp

from omnireco.models.fold_in import fold_in


@pytest.mark.parametrize("d", [1, 3, 8])
def test_each_row_solves_its_own_equations(d):
    draw = np.random.default_rng(d)
    factors = draw.normal(size=(20, d)).astype(np.float32)
    wide = factors.astype(np.float64)
    rows = sp.random(150, 20, 0.2, format="csr", rng=draw)
    weight, pull = 5 * rows.data, draw.normal(size=rows.nnz)
    arguments = (rows.indptr, rows.indices, weight, pull)
    options = {"factors": factors, "gram": wide.T @ wide, "regularization": 0.3}
    vectors = fold_in(*arguments, **options, threads=1)
    assert vectors.dtype == np.float32
    for row in range(150):
        cells = slice(rows.indptr[row], rows.indptr[row + 1])
        y = wide[rows.indices[cells]]
        left = wide.T @ wide + 0.3 * np.eye(d) + y.T @ (weight[cells, None] * y)
        assert vectors[row] == pytest.approx(np.linalg.solve(left, y.T @ pull[cells]), rel=1e-5, abs=1e-6)
    assert fold_in(*arguments, **options, threads=4).tobytes() == vectors.tobytes()


def test_nobody_and_nothing():
    options = {"factors": np.ones((2, 2), np.float32), "gram": np.eye(2), "regularization": 1.0}
    none = np.empty(0)
    assert fold_in(np.array([0]), none.astype(int), none, none, **options).shape == (0, 2)
    assert fold_in(np.array([0, 0]), none.astype(int), none, none, **options).tolist() == [[0, 0]]
