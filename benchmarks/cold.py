"""New people and new items: attributes, segments and popularity on MovieLens-100K and Complete Journey.

    OMNIRECO_DATA=/path/to/data python benchmarks/cold.py

A fifth of the people is held out whole (seed 0): their lists come from what they are, their truth is all they did.
Then a fifth of the items is held out: people with a history are shown held-out items only, ordered by the vectors that
their attributes predict. Settings are those of the docstrings; nothing was tuned.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from _common import header, headline_of, left_out, options

import omnireco as om

K = 10


def films(folder: Path) -> tuple[om.Interactions, om.Interactions, om.Interactions]:
    """Return who rated what, what people are, and what films are."""
    ratings, users, items = (
        pd.read_parquet(folder / "movielens_100k" / f"{name}.parquet") for name in ("ratings", "users", "items")
    )
    age = pd.cut(users["age"], [0, 18, 25, 35, 45, 55, 120]).astype(str)
    kinds = pd.concat(
        [
            pd.DataFrame({"user_id": users["user_id"], "item_id": name + "=" + value.astype(str)})
            for name, value in (("age", age), ("gender", users["gender"]), ("occupation", users["occupation"]))
        ]
    )
    year = (items["release_year"] // 5 * 5).astype("Int64").astype(str)
    genre = items.assign(item=items["genres"].str.split("|")).explode("item")
    goods = pd.concat(
        [
            pd.DataFrame({"user_id": genre["item_id"], "item_id": "genre=" + genre["item"].astype(str)}),
            pd.DataFrame({"user_id": items["item_id"], "item_id": "years=" + year}),
        ]
    )
    x = om.Interactions.from_frame(ratings[["user_id", "item_id"]], binary=True)
    return x, om.Interactions.from_frame(kinds), om.Interactions.from_frame(goods.dropna())


def journey() -> tuple[om.Interactions, om.Interactions]:
    whole = om.worlds.complete_journey(item_level="product_type")
    x = whole.log.select(channels=["store"]).matrix(om.Weights(binary=True))
    return x, om.models.people_attributes(whole.audience)


def as_events(x: om.Interactions, about: om.Interactions) -> om.Dataset:
    """Return pairs as events of one day, beside what people are."""
    pairs = x.to_frame()[["user_id", "item_id"]]
    stamps = {"channel": "web", "event": "rating", "timestamp": pd.Timestamp("2000-01-01", tz="UTC")}
    return om.Dataset(om.EventLog.from_frame(pairs.assign(**stamps)), attributes=about)


def new_people(name: str, x: om.Interactions, about: om.Interactions) -> None:
    known = np.isin(x.users.ids, about.users.ids[np.diff(about.csr.indptr) > 0])
    out = known & (np.random.default_rng(0).random(x.n_users) < 0.2)
    train, truth = x.take(np.flatnonzero(~out)), x.take(np.flatnonzero(out))
    als = om.ALS(factors=32).fit(train)
    asked, popular = about.rows(truth.users.ids), om.Popularity().fit(train)
    nobody = om.models.with_people(train, truth.users.ids)
    lists = {
        "popularity": popular.recommend(nobody, k=K),
        "segments": om.models.SegmentPopularity().fit(as_events(train, about)).recommend(asked, k=K),
        "attributes": om.models.learn_people(als, train, about).recommend(asked, k=K),
    }
    report = om.evaluate(lists, truth, k=K, metrics=[om.ndcg, om.recall])
    print(f"\n{name}: {truth.n_users} new people, {train}\n{report.to_frame().round(4).to_string(index=False)}")
    print(report.differences("popularity").round(4).to_string(index=False), flush=True)
    headline_of(report, "attributes", "popularity", f"NDCG@{K}, new people of {name}")


def new_items(name: str, x: om.Interactions, goods: om.Interactions) -> None:
    draw = np.random.default_rng(1)
    out = np.isin(x.items.ids, goods.users.ids) & (draw.random(x.n_items) < 0.2)
    kept, held = (om.data.Vocabulary(x.items.ids[mask]) for mask in (~out, out))
    train, truth = x.with_items(kept), x.with_items(held)
    wider = om.models.add_new_items(om.ALS(factors=32).fit(train), goods)
    histories = train.with_items(wider.items)
    shown = np.isin(wider.items.ids, held.ids)
    chance = om.models.FactorModel.from_arrays(draw.normal(size=wider.factors.shape), items=wider.items)
    lists = {
        "any order": chance.recommend(histories, k=K, eligible=shown),
        "attributes": wider.recommend(histories, k=K, eligible=shown),
    }
    report = om.evaluate(lists, truth, k=K, metrics=[om.ndcg, om.recall])
    print(f"\n{name}: {len(held)} new items\n{report.to_frame().round(4).to_string(index=False)}")
    print(report.differences("any order").round(4).to_string(index=False), flush=True)
    headline_of(report, "attributes", "any order", f"NDCG@{K}, new items of {name}")


def main() -> None:
    asked = options(__doc__, quick="films only").parse_args()
    header(__doc__)
    if folder := os.environ.get("OMNIRECO_DATA"):
        x, about, goods = films(Path(folder))
        new_people("MovieLens-100K", x, about)
        new_items("MovieLens-100K", x, goods)
    else:
        left_out("MovieLens-100K", "OMNIRECO_DATA is not set")
    if not asked.quick:
        new_people("Complete Journey", *journey())


if __name__ == "__main__":
    main()
