"""Baskets and exclusions: one set of items per request."""

import numpy as np
import pandas as pd
import pytest

from omnireco.data import Vocabulary
from omnireco.data.asking.item_sets import ItemSets
from omnireco.errors import IdKindError, OmnirecoError, ParameterError

GOODS = Vocabulary.from_ids(["cup", "pot", "tea"])


def test_sets_are_coded_once_and_read_over_any_catalogue():
    sets = ItemSets.read(
        [["tea", "cup", "tea"], [], ("pot",), np.array(["zebra"]), pd.Series(["tea"], index=[9])], 5, "given"
    )
    dense = sets.matrix(GOODS, "given=").toarray()
    assert dense.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert len(sets) == 5
    assert repr(sets) == "ItemSets(6 items in 5 sets)"
    assert (sets.take(np.array([2, 0, 0])).matrix(GOODS, "").toarray() == dense[[2, 0, 0]]).all()
    assert ItemSets.read(sets, 5, "given") is sets
    assert ItemSets.read(None, 5, "given") is None
    assert ItemSets.read([[], []], 2, "given").matrix(GOODS, "").nnz == 0


@pytest.mark.parametrize(
    ("sets", "error", "says"),
    [
        ([["tea"]], ParameterError, "given has 1 sets of items for 2 requests"),
        (["tea", "cup"], ParameterError, "holds one str in place of a list"),
        ([None, ["tea"]], ParameterError, "holds one NoneType in place of a list"),
        ([3, ["tea"]], ParameterError, "holds one int in place of a list"),
        ("tea", ParameterError, "must be a list of lists of item ids. Got str"),
        ({"a": ["tea"]}, ParameterError, "must be a list of lists of item ids. Got dict"),
        (7, ParameterError, "must be a list of lists of item ids. Got int"),
        ([["tea", None], []], OmnirecoError, "missing"),
        (ItemSets.read([["tea"]], 1, "given"), ParameterError, "1 sets of items for 2 requests"),
    ],
)
def test_refused(sets, error, says):
    with pytest.raises(error, match=says):
        ItemSets.read(sets, 2, "given")


def test_ids_of_another_kind():
    with pytest.raises(IdKindError, match="The ids of given= are integers, those of the model are strings"):
        ItemSets.read([[1]], 1, "given").matrix(GOODS, "given=")
