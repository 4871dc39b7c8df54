"""Learned event weights on three real logs and seven simulated shops, on a later test: beside all ones and by hand.

    OMNIRECO_DATA=/path/to/data python benchmarks/learned_weights.py [--quick]

Each log is cut in time; learn_weights sees what is before the test alone, at its defaults: it picks half-lives, whether
lists may repeat, and whether the weights that it found may be used. Then each setting is fitted on everything before
the test and asked once, by the question that was inferred. Intervals of NDCG@10 are paired with all ones, by person,
from 2,000 resamples.

- films: MovieLens-100K, ratings of 1 to 5 stars as five types of event, 4 and 5 are the target; ItemKNN.
- groceries: The Complete Journey by product type, bought at the full price, on offer or with a coupon; BuyAgain.
- articles: DeskDrop, one day ahead; popularity that ages. Its test is that of deskdrop.py, every fourth day.
- shops: seven shops of _shops.py, simulated, with views, carts, favourites and purchases on two channels and a feed;
  purchases are the target; ItemKNN. By hand twice: without a half-life, and with one that suits the length of the log.

Writes results/learned_weights.json.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _common import data_folder, header, headline, options, own_log, own_span, plainly, write
from _shops import HAND as HAND_OF_SHOPS
from _shops import SHOPS
from deskdrop import HAND, REPORTED, TARGETS, K, asking, days_of, fresh, interval, read, run

import omnireco as om


def films(folder: Path) -> tuple[om.EventLog, dict[str, Any]]:
    """Return ratings as events, with what is asked of them."""
    rows = pd.read_parquet(folder / "movielens_100k" / "ratings.parquet")
    stars = "stars " + rows["rating"].astype(int).astype(str)
    log = om.EventLog.from_frame(rows[["user_id", "item_id", "timestamp"]].assign(channel="web", event=stars))
    hand = {"stars 1": 0.0, "stars 2": 0.0, "stars 3": 0.5, "stars 4": 1.0, "stars 5": 2.0}
    return log, {"estimator": om.ItemKNN(), "hand": hand, "target": ["stars 4", "stars 5"], "horizon": "21D"}


def groceries(folder: Path, households: int | None) -> tuple[om.EventLog, dict[str, Any]]:
    """Return purchases of product types: at the full price, on offer, and with a coupon."""
    place = folder / "complete_journey"
    columns = ["household_id", "product_id", "transaction_timestamp", "retail_disc", "coupon_disc"]
    rows = pd.read_parquet(place / "transactions.parquet", columns=columns)
    goods = pd.read_parquet(place / "products.parquet", columns=["product_id", "product_category", "product_type"])
    goods["item_id"] = goods["product_category"].astype(str) + " > " + goods["product_type"].astype(str)
    if households is not None:
        rows = rows[rows["household_id"].isin(np.sort(rows["household_id"].unique())[:households])]
    rows = rows.merge(goods[["product_id", "item_id"]].dropna(), on="product_id")
    paid = np.where(
        rows["coupon_disc"] > 0, "with a coupon", np.where(rows["retail_disc"] > 0, "on offer", "full price")
    )
    frame = rows.assign(event=paid, channel="store", user_id=rows["household_id"])
    frame = frame.rename(columns={"transaction_timestamp": "timestamp"}).drop_duplicates(
        ["user_id", "item_id", "timestamp"]
    )
    log = om.EventLog.from_frame(frame[["user_id", "item_id", "channel", "event", "timestamp"]])
    hand = {"full price": 1.0, "on offer": 0.7, "with a coupon": 0.5}
    return log, {"estimator": om.BuyAgain(), "hand": hand, "target": None, "horizon": "14D"}


def own(path: Path, target: str | None) -> tuple[om.EventLog, dict[str, Any]]:
    """Return one's own log: the last two weeks, or the last sixth of a short log, are the test."""
    frame = own_log(path, needs=("user_id", "item_id", "event"), times=("timestamp",), defaults={"channel": "all"})
    known = sorted(frame["event"].astype(str).unique())
    if target is not None and target not in known:
        raise SystemExit(f"{path.name} has no event {target}; it has {', '.join(known[:10])}.")
    log = om.EventLog.from_frame(frame[["user_id", "item_id", "channel", "event", "timestamp"]])
    _, horizon = own_span(frame, days=14, parts=6)
    how = {"estimator": om.ItemKNN(), "hand": {}, "target": None if target is None else [target], "horizon": horizon}
    return log, how


def compare(name: str, log: om.EventLog, how: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of one log: the last window is the test, and what is before it is learned from."""
    past, later = om.Dataset(log).rolling(horizon=how["horizon"], n=1)[0]
    start = how["estimator"]
    found = om.learn_weights(start, past, horizon=how["horizon"], target=how["target"])
    print(f"{name}: {past.events}\n  {found}\n  found {found.found}", flush=True)
    rows = {"all ones": found.start_estimator}
    if how["hand"]:
        rows["by hand"] = replace(start, weights=om.Weights(events=how["hand"]))
    if how.get("life"):
        rows["by hand, fading"] = replace(start, weights=om.Weights(events=how["hand"], half_life=how["life"]))
        others = {name: 0.0 for name in how["hand"] if name not in how["target"]}
        rows["the target alone"] = replace(start, weights=om.Weights(events=others))
    rows["learn_weights"] = found.estimator
    truth = later.events.select(events=how["target"]) if how["target"] else later.events
    lists = {
        key: one.fit(past, threads=1).recommend(past.requests(), k=K, exclude_seen=found.exclude_seen)
        for key, one in rows.items()
    }
    report = om.evaluate(lists, truth, k=K, metrics=[om.ndcg], n_bootstrap=2000)
    table = report.to_frame().set_index("model")["mean"]
    gaps = report.differences("all ones").set_index("model")
    for other in [key for key in rows if key not in ("all ones", "learn_weights")]:
        line = report.differences(other).set_index("model").loc["learn_weights"]
        print(
            f"  learned less {other}: {line['difference']:+.4f} [{line['low']:+.4f}, {line['high']:+.4f}]", flush=True
        )
    return [line_of(name, key, table[key], gaps.loc[key] if key in gaps.index else None, found) for key in rows]


def line_of(name: str, key: str, mean: float, gap: Any, found: Any) -> dict[str, Any]:
    """Return one row of the table."""
    line: dict[str, Any] = {"log": name, "weights": key, "ndcg": float(mean)}
    if gap is not None:
        line |= {"gap": float(gap["difference"]), "interval": f"{gap['low']:+.4f} {gap['high']:+.4f}"}
    if key == "learn_weights":
        line |= {"accepted": found.accepted, "question": found.question, "found": str(found.found)}
        line["validation"] = f"{found.gain:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
    return line


def articles(folder: Path, step: int) -> list[dict[str, Any]]:
    """Return the rows of DeskDrop, one day ahead."""
    frame = read(folder)
    log = om.EventLog.from_frame(frame.assign(timestamp=frame["timestamp"].dt.tz_localize("UTC")))
    past = om.Dataset(log).before(pd.Timestamp(REPORTED[0], tz="UTC"))
    days = days_of(frame, *REPORTED, step=step)
    start = fresh(om.Weights(half_life="12h"))
    found = om.learn_weights(start, past, horizon=past.rolling(horizon="1D", n=60), target=TARGETS)
    print(f"articles: {past.events}\n  {found}\n  found {found.found}", flush=True)
    rows = {"all ones": start, "by hand": fresh(om.Weights(events=HAND, half_life="12h"))}
    rows["learn_weights"] = found.estimator
    values = {key: run(asking(lambda _, one=one: one), log, days)[0] for key, one in rows.items()}
    table = []
    for key, one in values.items():
        gaps = (one - values["all ones"]).to_numpy()
        low, high = interval(gaps)
        gap = None if key == "all ones" else {"difference": gaps.mean(), "low": low, "high": high}
        table.append(line_of("articles", key, one.mean(), gap, found))
    return table


def shops(quick: bool) -> list[dict[str, Any]]:
    """Return the rows of the simulated shops."""
    table = []
    for name, (shop, horizon) in list(SHOPS.items())[: 1 if quick else None]:
        how = {"estimator": om.ItemKNN(), "hand": HAND_OF_SHOPS, "target": ["purchase"], "horizon": horizon}
        how["life"] = "2D" if shop.days < 100 else "30D"
        table += compare(name, shop.log(), how)
    return table


def owned(arguments: Any) -> list[dict[str, Any]]:
    """Return the rows of one's own log."""
    with plainly(arguments.data):
        return compare("own", *own(arguments.data, arguments.target))


def main() -> None:
    parser = options(
        __doc__,
        quick="200 households, and every twentieth day of the articles",
        data="user_id, item_id, event and timestamp; instead of the three",
    )
    parser.add_argument("--target", metavar="EVENT", help="with --data: the event that counts, such as purchase")
    names = ("films", "groceries", "articles", "shops")
    parser.add_argument("--logs", nargs="+", default=names, choices=names)
    arguments = parser.parse_args()
    header(__doc__)
    quick = arguments.quick
    if arguments.data is not None:
        arguments.logs, folder = ["own"], arguments.data.parent
    else:
        folder = data_folder("movielens_100k", "complete_journey", "deskdrop_articles")
    sets = {
        "own": lambda: owned(arguments),
        "films": lambda: compare("films", *films(folder)),
        "groceries": lambda: compare("groceries", *groceries(folder, 200 if quick else None)),
        "articles": lambda: articles(folder, 20 if quick else 4),
        "shops": lambda: shops(quick),
    }
    table: list[dict[str, Any]] = []
    for name in arguments.logs:
        table += sets[name]()
        shown = pd.DataFrame(table).drop(columns="found", errors="ignore").round(4)
        print("\n" + shown.to_string(index=False), flush=True)
        for row in table:
            if "gap" in row and (row["log"] == name or (name == "shops" and row["log"] in SHOPS)):
                gap, what = [row["gap"], *map(float, row["interval"].split())], f"NDCG@{K}, {name}, {row['weights']}"
                headline(what, row["ndcg"], beside="all ones", theirs=row["ndcg"] - row["gap"], gap=gap)
        if not quick and arguments.data is None:
            write("learned_weights", {"rows": table})


if __name__ == "__main__":
    main()
