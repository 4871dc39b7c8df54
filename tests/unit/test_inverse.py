"""The inverse in its own place: right, in blocks of any number, and equal on any number of threads."""

import numpy as np
import pytest

from omnireco._kernels.inverse import BLOCK, invert_in_place
from omnireco.models.matrix.squares import in_float32


def definite(n, dtype=np.float64, ridge=1.0):
    x = np.random.default_rng(n).standard_normal((n + 3, n))
    return (x.T @ x / n + ridge * np.eye(n)).astype(dtype)


@pytest.mark.parametrize("n", [1, 2, 3, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 77])
@pytest.mark.parametrize(("dtype", "error"), [(np.float64, 1e-12), (np.float32, 2e-6)])
def test_the_upper_triangle_becomes_that_of_the_inverse(n, dtype, error):
    whole = definite(n, dtype)
    square = np.triu(whole)  # what is below the diagonal is never read
    assert invert_in_place(square, 1)
    expected = np.linalg.inv(whole.astype(np.float64))
    assert np.abs(np.triu(square - expected)).max() <= error


def test_the_bytes_do_not_depend_on_the_number_of_threads():
    n = 2 * BLOCK + 300
    one, three = definite(n, np.float32), definite(n, np.float32)
    assert invert_in_place(one, 1)
    assert invert_in_place(three, 3)
    assert np.triu(one).tobytes() == np.triu(three).tobytes()


def test_a_matrix_that_is_not_positive_definite_is_noticed_in_any_block():
    for at in (0, BLOCK + 5):
        square = np.eye(BLOCK + 20)
        square[at, at] = -1.0
        assert not invert_in_place(square, 2)


def test_an_ill_conditioned_matrix_is_inverted_as_well_as_lapack_does():
    n = BLOCK + 200
    q = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0]
    whole = (q * np.geomspace(1e-8, 1.0, n)) @ q.T
    whole = (whole + whole.T) / 2
    square = whole.copy()
    assert invert_in_place(square, 1)
    mine = np.triu(square) + np.triu(square, 1).T
    residual, theirs = (np.abs(whole @ p - np.eye(n)).max() for p in (mine, np.linalg.inv(whole)))
    assert residual < 50 * theirs


@pytest.mark.parametrize("n", [1, 2, 5, 33])
def test_a_square_becomes_float32_where_it_is(n):
    whole = np.random.default_rng(n).random((n, n))
    narrow = in_float32(whole.copy())
    assert narrow.dtype == np.float32
    assert np.array_equal(narrow, whole.astype(np.float32))
