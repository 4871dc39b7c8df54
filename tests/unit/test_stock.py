"""Pieces by item and shop; what is not listed is not there."""

import numpy as np
import pandas as pd
import pytest

from omnireco.data import StockLevels, Vocabulary
from omnireco.errors import SchemaError

FRAME = pd.DataFrame({"item_id": ["shoe", "hat", "shoe"], "store_id": ["south", "north", "north"], "pieces": [3, 1, 0]})


def test_pieces_of_a_shop_and_of_all():
    stock = StockLevels.from_frame(FRAME)
    items, stores = Vocabulary.from_ids(["hat", "scarf", "shoe"]), Vocabulary.from_ids(["east", "north", "south"])
    item, store = np.array([2, 2, 0, 1, 2, 0]), np.array([2, 1, 1, 1, 0, -1])
    assert stock.of(items, item, stores, store).tolist() == [3.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    assert stock.anywhere(items, np.array([0, 1, 2])).tolist() == [1.0, 0.0, 3.0]
    assert StockLevels.from_frame(FRAME.iloc[:0]).of(items, item, stores, store).tolist() == [0.0] * 6


def test_the_frame_comes_back():
    frame = StockLevels.from_frame(FRAME).to_frame()
    assert frame.values.tolist() == [["hat", "north", 1.0], ["shoe", "north", 0.0], ["shoe", "south", 3.0]]


@pytest.mark.parametrize(
    ("frame", "match"),
    [
        (pd.concat([FRAME, FRAME.iloc[[0]]]), "listed again in 1 row .position 3"),
        (FRAME.assign(pieces=[1, -2, 3]), "pieces are negative in 1 row .position 1"),
        (FRAME.assign(pieces=[1, np.nan, 3]), "pieces is missing or infinite in 1 row .position 1"),
        (FRAME.assign(pieces="many"), "pieces must hold numbers"),
    ],
)
def test_refuses(frame, match):
    with pytest.raises(SchemaError, match=match):
        StockLevels.from_frame(frame)
