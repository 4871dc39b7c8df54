"""Displays and mailers joined to store visits: small tables in the form of the package, and a plain loop."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import omnireco as om
from omnireco.errors import ParameterError
from omnireco.worlds import datasets


def small_tables(monkeypatch):
    """Stand in for the package: 3 households, 2 stores, 3 weeks, 4 products of 3 types."""
    draw = np.random.default_rng(0)
    n = 40
    day = draw.integers(0, 21, n)
    tables = {
        "products": pd.DataFrame(
            {
                "product_id": [11, 12, 13, 14, 15],
                "department": "GROCERY",
                "brand": "National",
                "product_category": ["TEA", "TEA", "CUPS", "FUEL", "POTS"],
                "product_type": ["GREEN", "BLACK", "CUP", "FUEL", "POT"],
                "package_size": None,
            }
        ),
        "visits": pd.DataFrame(
            {
                "household_id": draw.integers(1, 4, n),
                "store_id": draw.choice([300, 400], n),
                "week": day // 7 + 1,
                "product_id": draw.choice([11, 12, 13, 14], n),
                "transaction_timestamp": pd.Timestamp("2017-01-01") + pd.to_timedelta(day * 24 + 12, "h"),
            }
        ),
        "promotions": pd.DataFrame(
            {
                "product_id": draw.choice([11, 12, 13, 14, 15, 99], 60),
                "store_id": draw.choice([300, 400, 500], 60),
                "week": draw.integers(1, 5, 60),
                "display_location": draw.choice(["0", "3"], 60),
                "mailer_location": draw.choice(["0", "A"], 60),
            }
        ),
    }
    monkeypatch.setattr(datasets, "_table", lambda name: tables[name].copy())
    batches = pa.Table.from_pandas(tables["promotions"]).to_batches(max_chunksize=7)
    monkeypatch.setattr(datasets, "_batches", lambda name: iter(batches))
    return tables


def test_exposures_are_those_of_a_plain_loop(monkeypatch):
    tables = small_tables(monkeypatch)
    log = datasets.complete_journey_promotions(item_level="product_type")
    names = {11: "TEA > GREEN", 12: "TEA > BLACK", 13: "CUPS > CUP"}  # fuel is no good, pots were never bought
    expected = set()
    for _, visit in tables["visits"].iterrows():
        same = tables["visits"].query("household_id == @visit.household_id and store_id == @visit.store_id")
        first = same[same["week"] == visit["week"]]["transaction_timestamp"].min()
        for _, shown in tables["promotions"].iterrows():
            here = shown["store_id"] == visit["store_id"] and shown["week"] == visit["week"]
            for channel in ("display", "mailer"):
                if here and shown["product_id"] in names and shown[f"{channel}_location"] != "0":
                    row = (visit["household_id"], names[shown["product_id"]], channel, first, visit["store_id"])
                    expected.add(row)
    frame = log.to_frame()
    found = list(
        zip(
            frame["user_id"],
            frame["item_id"],
            frame["channel"],
            frame["timestamp"].dt.tz_localize(None),
            frame["store_id"],
            strict=True,
        )
    )
    assert len(found) == len(expected)
    assert set(found) == expected
    assert set(frame["event"]) == {"exposure"}
    with pytest.raises(ParameterError, match="283 million events"):
        datasets.complete_journey_promotions(item_level="product")


def test_exposures_join_the_log(monkeypatch):
    small_tables(monkeypatch)
    shown = datasets.complete_journey_promotions(item_level="product_type")
    store = om.EventLog.from_frame(
        pd.DataFrame(
            {
                "user_id": [1, 9],
                "item_id": ["TEA > GREEN", "CUPS > CUP"],
                "channel": "store",
                "event": "purchase",
                "timestamp": pd.to_datetime(["2017-01-01", "2017-01-02"], utc=True),
                "value": [1.5, 2.0],
                "store_id": [300, 300],
                "session_id": [7, 8],
            }
        )
    )
    log = datasets._with_promotions(store, shown)
    assert len(log) == len(store) + len(shown)
    assert log.channels.ids.tolist() == ["display", "mailer", "store"]
    assert log.value.sum() == 3.5
    x = log.matrix(om.Weights(channels={"store": 10}))
    assert x.layers["store"].sum() == 20
    assert x.layers["display"].sum() + x.layers["mailer"].sum() == len(shown)
