"""New people and new items: attributes, segments and popularity on MovieLens-100K and Complete Journey.

    OMNIRECO_DATA=/path/to/data python benchmarks/cold.py

A fifth of the people is held out whole (seed 0): their lists come from what they are, their truth is all they did.
Then a fifth of the items is held out: people with a history are shown held-out items only, ordered by the vectors that
their attributes predict. Last, groceries that were really born in October 2017, week by week.
Settings are those of the docstrings; nothing was tuned.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from _common import header, headline, headline_of, left_out, options

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


def new_products(folder: Path) -> None:
    """Groceries that nobody had bought before October 2017: attributes, against what households buy of the kind.

    Each week of four, the new products of the month are ranked for the households that then buy one of them first.
    """
    place = folder / "complete_journey"
    columns = ["household_id", "product_id", "transaction_timestamp"]
    rows = pd.read_parquet(place / "transactions.parquet", columns=columns)
    rows = rows.set_axis(["user_id", "item_id", "timestamp"], axis=1)
    goods = pd.read_parquet(place / "products.parquet").rename(columns={"product_id": "item_id"})
    goods["kind"] = goods["product_category"].astype(str) + " > " + goods["product_type"].astype(str)
    begin, week = pd.Timestamp("2017-10-01", tz="UTC"), pd.Timedelta("7D")
    born = rows.groupby("item_id")["timestamp"].min()
    new = born[(born >= begin) & (born < begin + 4 * week)].index.to_numpy()
    past = rows[rows["timestamp"] < begin]
    counts = past.groupby("item_id")["user_id"].nunique()
    x = om.Interactions.from_frame(
        past[past["item_id"].isin(counts[counts >= 10].index)][["user_id", "item_id"]], binary=True
    )
    about = pd.concat(
        [pd.DataFrame({"user_id": goods["item_id"], "item_id": f"{name}=" + goods[name]}) for name in
         ("kind", "product_category", "department", "brand")]
    )  # fmt: skip
    about = about[about["user_id"].isin(x.items.ids) | about["user_id"].isin(new)]
    wider = om.models.add_new_items(om.ALS(factors=32).fit(x), om.Interactions.from_frame(about.dropna()))
    kind = goods.set_index("item_id")["kind"]
    sold = past.assign(kind=past["item_id"].map(kind))
    own = sold.groupby(["user_id", "kind"]).size().unstack(fill_value=0)
    everybody = sold.groupby("kind").size() / goods[goods["item_id"].isin(counts.index)].groupby("kind").size()
    parts: dict[str, list[pd.DataFrame]] = {"the first week": [], "the three after": []}
    random = np.random.default_rng(0)
    for number in range(4):
        at = begin + number * week
        later = rows[rows["item_id"].isin(new) & (rows["timestamp"] < at + week)].drop_duplicates(
            ["user_id", "item_id"]
        )
        truth = later[(later["timestamp"] >= at) & later["user_id"].isin(x.users.ids)]
        people = np.unique(truth["user_id"])
        shop = rows[rows["item_id"].isin(new) & (rows["timestamp"] < at)]
        age = (at - shop["timestamp"]).dt.total_seconds() / 86_400
        recent = (0.5 ** (age / 7)).groupby(shop["item_id"]).sum().reindex(new).fillna(0.0).to_numpy()
        personal = np.log1p(own.reindex(index=people, columns=kind.loc[new]).fillna(0).to_numpy())
        usual = everybody.reindex(kind.loc[new]).fillna(0).to_numpy()
        lists = wider.recommend(x.rows(people), k=len(new), eligible=new, exclude_seen=False)
        score = np.full((len(people), len(new)), -np.inf)
        place_of = pd.Series(np.arange(len(new)), index=new).reindex(lists.items.ids).fillna(-1).to_numpy().astype(int)
        place_in = np.where(lists.codes >= 0, place_of[lists.codes], -1)
        who, there = np.nonzero(place_in >= 0)
        score[who, place_in[who, there]] = lists.scores[who, there]
        tie = 1e-9 * random.random((len(people), len(new)))
        flat = np.ones((len(people), 1))
        scores = {
            "any order": tie,
            "how well its kind sells": flat * usual + tie,
            "what the household buys of its kind": personal + 1e-6 * usual + tie,
            "attributes (ALS, add_new_items)": score,
            "sales so far, half-life 7 days": flat * recent + 1e-6 * personal + tie,
            "sales so far, times of its kind": np.log1p(recent) * (0.1 + personal) + 1e-6 * personal + tie,
        }
        wanted = truth.groupby("user_id")["item_id"].apply(set)
        for name, value in scores.items():
            best = np.argsort(-value, axis=1, kind="stable")[:, :K]
            hit = np.array([[new[one] in wanted[user] for one in row] for user, row in zip(people, best, strict=True)])
            gain = 1.0 / np.log2(np.arange(K) + 2.0)
            ideal = np.cumsum(gain)[[min(len(wanted[user]), K) - 1 for user in people]]
            frame = pd.DataFrame({"user_id": people, "model": name, "value": (hit * gain).sum(1) / ideal})
            parts["the three after" if number else "the first week"].append(frame)
    print(f"\n{len(new)} products born in four weeks, {x}")
    for name, part in parts.items():
        wide = pd.concat(part).groupby(["model", "user_id"])["value"].mean().unstack("model")
        table = []
        for model in scores:
            gaps = (wide[model] - wide["what the household buys of its kind"]).to_numpy()
            draws = gaps[np.random.default_rng(0).integers(0, gaps.size, (2000, gaps.size))].mean(1)
            low, high = np.percentile(draws, [2.5, 97.5])
            table.append({"model": model, "ndcg": wide[model].mean(), "gap": gaps.mean(), "low": low, "high": high})
            if model.startswith("attributes"):
                title, other = f"NDCG@{K}, groceries born, {name}: attributes", "own kind"
                headline(title, table[-1]["ndcg"], beside=other, gap=[gaps.mean(), low, high])
        print(f"\n{name}, {len(wide)} households\n{pd.DataFrame(table).round(4).to_string(index=False)}", flush=True)


def main() -> None:
    asked = options(__doc__, quick="films only").parse_args()
    header(__doc__)
    if folder := os.environ.get("OMNIRECO_DATA"):
        x, about, goods = films(Path(folder))
        new_people("MovieLens-100K", x, about)
        new_items("MovieLens-100K", x, goods)
        if not asked.quick:
            new_products(Path(folder))
    else:
        left_out("MovieLens-100K", "OMNIRECO_DATA is not set")
    if not asked.quick:
        new_people("Complete Journey", *journey())


if __name__ == "__main__":
    main()
