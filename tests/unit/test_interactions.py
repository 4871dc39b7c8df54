"""The behaviour matrix, by hand."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp

from omnireco.data import Interactions, Vocabulary
from omnireco.errors import ParameterError, SchemaError, UnknownIdError

PAIRS = pd.DataFrame(
    {
        "user_id": ["eve", "ann", "bob", "ann", "ann"],
        "item_id": [9, 5, 5, 7, 5],
        "weight": [1.0, 2.0, 0.0, 4.0, 0.5],
        "channel": ["app", "web", "web", "app", "app"],
    }
)


def test_pairs_are_summed_and_zeros_leave_no_cell():
    x = Interactions.from_frame(PAIRS)
    assert x.users.ids.tolist() == ["ann", "bob", "eve"]
    assert x.csr.toarray().tolist() == [[2.5, 4, 0], [0, 0, 0], [0, 0, 1]]
    assert x.layers["app"].toarray().tolist() == [[0.5, 4, 0], [0, 0, 0], [0, 0, 1]]
    assert x.layers["web"].toarray().tolist() == [[2, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert (x.n_users, x.n_items, x.nnz, x.shape) == (3, 3, 3, (3, 3))
    assert repr(x) == "Interactions(3 users x 3 items, 3 cells, 2 layers)"
    assert x.csr.dtype == np.float32


def test_binary_and_bare_pairs():
    x = Interactions.from_frame(PAIRS, binary=True)
    assert x.csr.toarray().tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert x.layers["app"].toarray()[0] == pytest.approx([0.2, 1, 0])
    bare = Interactions.from_frame(PAIRS[["user_id", "item_id"]])
    assert bare.csr.toarray().tolist() == [[2, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert list(bare.layers) == ["all"]
    assert bare.layers["all"] is bare.csr
    with pytest.raises(ParameterError, match=r"binary must be True or False. Got 1"):
        Interactions.from_frame(PAIRS, binary=1)
    tiny = Interactions.from_frame(PAIRS.assign(weight=[1e-320, 1e-60, 1, 1, 0]), binary=True)
    assert tiny.csr.toarray().tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_every_frame_and_back():
    expected = Interactions.from_frame(PAIRS).to_frame()
    for table in (pl.from_pandas(PAIRS), pa.Table.from_pandas(PAIRS), PAIRS[::-1], expected):
        pd.testing.assert_frame_equal(Interactions.from_frame(table).to_frame(), expected)


def test_sums_beyond_float32_are_refused():
    with pytest.raises(SchemaError, match=r"exceeds 3.4e38"):
        Interactions.from_frame(PAIRS.assign(weight=1e38 * 3.0))


def test_rows_in_the_order_given():
    x = Interactions.from_frame(PAIRS)
    some = x.rows(["eve", "ann"])
    assert some.users.ids.tolist() == ["eve", "ann"]
    assert some.csr.toarray().tolist() == [[0, 0, 1], [2.5, 4, 0]]
    assert some.layers["web"].toarray().tolist() == [[0, 0, 0], [2, 0, 0]]
    assert x.rows(["bob"]).nnz == 0
    assert x.rows([]).shape == (0, 3)
    with pytest.raises(UnknownIdError, match=r"1 of 2 ids are unknown here: 1 row \(position 1\)"):
        x.rows(["ann", "zoe"])
    with pytest.raises(ParameterError, match="1 of 2 ids are named twice"):
        x.rows(["ann", "ann"])
    with pytest.raises(ParameterError, match=r"not one str: write \[id\]"):
        x.rows("ann")


def test_other_catalogues():
    x = Interactions.from_frame(PAIRS)
    moved = x.with_items(Vocabulary.from_ids([9, 5, 1]))
    assert moved.csr.toarray().tolist() == [[0, 2.5, 0], [0, 0, 0], [0, 0, 1]]
    assert moved.layers["app"].toarray().tolist() == [[0, 0.5, 0], [0, 0, 0], [0, 0, 1]]
    assert moved.csr.has_sorted_indices
    assert x.with_items(Vocabulary.from_ids([5, 7, 9])) is x
    with pytest.raises(ParameterError, match=r"with_items takes a Vocabulary, such as model.items. Got list"):
        x.with_items([5])


def test_from_scipy_is_a_copy_with_ids():
    matrix = sp.coo_matrix(([1.0, 2.0, 0.0, -3.0], ([0, 0, 1, 1], [1, 1, 0, 1])), (2, 2))
    x = Interactions.from_scipy(matrix, users=["b", "a"], items=[3, 1])
    assert x.csr.toarray().tolist() == [[0, 3], [0, -3]]
    assert x.nnz == 2
    assert x.rows(["a"]).to_frame().to_numpy().tolist() == [["a", 1, -3.0]]
    copy = x.to_scipy()
    copy.data[:] = 7
    assert x.csr.max() == 3
    with pytest.raises(ValueError, match="read-only"):
        x.csr.data[0] = 1
    assert Interactions.from_scipy(sp.csc_array(np.eye(2))).users.ids.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("matrix", "ids", "match"),
    [
        (np.eye(2), {}, r"takes a sparse matrix. Got ndarray: write scipy.sparse.csr_matrix\(array\)"),
        (sp.csr_matrix([[np.nan]]), {}, r"holds NaN or infinite weights.*nan_to_num"),
        (sp.csr_matrix([[1e300]]), {}, "holds NaN or infinite weights"),
        (sp.coo_matrix((np.float32([3e38, 3e38]), ([0, 0], [0, 0]))), {}, "holds NaN or infinite weights"),
        (sp.csr_matrix([[1j]]), {}, "takes real numbers. Got complex128: write matrix.real"),
        (sp.eye(2), {"users": ["a"]}, r"does not fit 1 users x 2 items. Pass matching vocabularies"),
        (sp.eye(2), {"users": ["a", "a"]}, "1 of 2 users are named twice"),
    ],
)
def test_from_scipy_refuses(matrix, ids, match):
    with pytest.raises(SchemaError, match=match):
        Interactions.from_scipy(matrix, **ids)
    with pytest.raises(ParameterError, match="users must be a list or column, not one str"):
        Interactions.from_scipy(sp.eye(2), users="ab")


@pytest.mark.parametrize("codes", [[-1], [3], [0.5], [True, False, True]])
def test_codes_that_are_no_rows_are_refused(codes):
    x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 2, 3], "item_id": list("aba")}))
    with pytest.raises(ParameterError, match=r"take: codes must be integers from 0 to 2.*x\.rows\(ids\)"):
        x.take(codes)
    assert x.take([]).n_users == 0
