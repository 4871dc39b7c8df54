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


def test_what_is_offered_at_an_instant():
    days = pd.to_datetime(["2025-05-01", "2025-05-02", "2025-05-03"], utc=True)
    goods = Catalog.from_frame(
        pd.DataFrame(
            {
                "item_id": ["a", "b", "c", "d", "e"],
                "valid_from": [days[0], days[1], None, None, None],
                "valid_until": [days[2], None, days[1], None, None],
                "hidden": [False, False, False, True, None],
            }
        )
    )
    for at, ids in (
        ("2025-04-30", ["c"]),
        ("2025-05-01", ["a", "c"]),
        ("2025-05-02", ["a", "b"]),
        (days[2], ["b"]),
        ("2025-05-02T01:00:00+02:00", ["a", "c"]),  # an hour before midnight in UTC
    ):
        assert goods.offered(at).tolist() == ids
    assert goods.offered("2025-05-01", items=["c", "x", "b", "c"]).tolist() == ["c"]
    assert goods.offered("2025-05-01", items=om.data.Vocabulary.from_ids(["x", "a"])).tolist() == ["a"]
    assert goods.offered("2025-05-01", items=[]).tolist() == []
    assert Catalog.from_frame(FRAME).offered("2025-05-01").tolist() == ["cup", "pot", "tea"]
    assert Catalog.from_frame(FRAME[:0]).offered("2025-05-01", items=["tea"]).tolist() == []


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"at": "2025-05-01 10:00"}, "no time zone|zone"),
        ({"at": None}, "must be an instant"),
        ({"at": "soon"}, "not an ISO 8601"),
        ({"at": "2025-05-01", "items": [1, 2]}, "text|integers|kind"),
        ({"at": "2025-05-01", "items": "tea"}, "items|list"),
        ({"at": "2025-05-01", "items": 3}, "items|list|ids"),
    ],
)
def test_offered_refuses(how, message):
    with pytest.raises(om.errors.OmnirecoError, match=message):
        Catalog.from_frame(FRAME).offered(**how)


def test_what_is_offered_is_eligible():
    data = om.simulate(n_users=40, n_items=20, days=30, seed=1).dataset()
    ids = data.events.items.ids
    goods = Catalog.from_frame(pd.DataFrame({"item_id": [*ids[:5], "unborn"], "hidden": [True] + [False] * 5}))
    model = om.Popularity().fit(data)
    lists = model.recommend(
        data.requests(), k=10, exclude_seen=False, eligible=goods.offered("2025-06-01", items=model.items)
    )
    assert set(lists.to_frame()["item_id"]) == set(ids[1:5])
