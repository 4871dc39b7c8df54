"""What can be offered."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import omnireco as om
from omnireco.data import Catalog
from omnireco.errors import SchemaError

FRAME = pd.DataFrame(
    {
        "item_id": ["tea", "cup", "pot"],
        "category": ["drinks", None, "ware"],
        "name": ["Green tea", "Cup", None],
        "price": [3, 9, 20],
        "margin": [1.5, 4.0, -2.0],
    }
)


def test_by_hand():
    catalog = Catalog.from_frame(FRAME)
    assert catalog.items.ids.tolist() == ["cup", "pot", "tea"]
    assert catalog.price.tolist() == [9, 20, 3]
    assert catalog.margin.tolist() == [4, -2, 1.5]
    assert catalog.category[1].tolist() == [-1, 1, 0]
    assert repr(catalog) == "Catalog(3 items, with category, name, price, margin)"
    assert repr(Catalog.from_frame(FRAME[["item_id"]])) == "Catalog(3 items)"
    assert len(catalog) == 3


def test_every_frame_and_back():
    expected = Catalog.from_frame(FRAME).to_frame()
    for table in (pl.from_pandas(FRAME), pa.Table.from_pandas(FRAME), expected, FRAME[::-1]):
        pd.testing.assert_frame_equal(Catalog.from_frame(table).to_frame(), expected)


def test_refused():
    with pytest.raises(SchemaError, match=r"item_id is listed again in 1 row \(position 3\)"):
        Catalog.from_frame(pd.concat([FRAME, FRAME[:1]]))
    with pytest.raises(SchemaError, match=r"price is infinite in 1 row \(position 1\).*replace\(\[numpy\.inf"):
        Catalog.from_frame(FRAME.assign(price=[1, float("inf"), 2]))
    with pytest.raises(SchemaError, match=r"Catalog\.from_frame needs the column 'item_id'"):
        Catalog.from_frame(FRAME.drop(columns="item_id"))


def test_what_is_not_known_of_some_items_does_not_refuse_the_others():
    catalog = Catalog.from_frame(FRAME.assign(price=[1, None, 2], margin=[None, None, 0.5]))
    assert np.isnan(catalog.price).tolist() == [True, False, False]
    assert np.isnan(catalog.margin).tolist() == [True, False, True]
    pd.testing.assert_frame_equal(Catalog.from_frame(catalog.to_frame()).to_frame(), catalog.to_frame())
    people = om.Audience.from_frame(pd.DataFrame({"user_id": ["a"], "timezone": "UTC", "consent_push": True}))
    lists = om.Recommendations.from_frame(
        pd.DataFrame({"user_id": "a", "item_id": FRAME["item_id"], "rank": [1, 2, 3]})
    )
    offers = om.candidates(
        lists,
        om.Dataset(audience=people, catalog=catalog),
        Always(),
        om.slots("2025-06-03", days=1, every="12h"),
        channels=["push"],
    )
    assert set(offers.to_frame()["item_id"]) == {"pot"}
    assert offers.left_out["no margin"] == 4


class Always:
    """A timing by which everybody answers."""

    def slot_probability(self, audience, rows, channel, at_us):
        return np.ones((len(rows), len(at_us)))
