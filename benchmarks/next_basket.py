"""The next basket under a published protocol: NextBasket beside TIFU-KNN, repeats and new products apart.

    OMNIRECO_DATA=/path/to/data python benchmarks/next_basket.py [--worlds] [--scale 20000]
    python benchmarks/next_basket.py --data FILE [--day] [--support 17]

The protocol of Li et al., "A next basket recommendation reality check" (TOIS 2023): people with 3 to 50 baskets,
products bought 17 times (3 on Ta-Feng) in all but the last baskets, each person's last basket is the test. NDCG's ideal
list runs over the whole basket there and here. They draw a fifth of the people five times; here everybody is asked, and
neighbours come from everybody's history. Settings are chosen inside the histories, on the last baskets of these:
TIFU-KNN's by coordinate descent over its paper's grid, NextBasket's by its own fit. Prints a fingerprint of the split.
Writes results/next_basket.json.

FILE has user_id and item_id (or product_id), and order_number or timestamp. Ta-Feng, Instacart and Dunnhumby: rows of
one order or, with --day, of one day are a basket. --worlds draws three shops; --scale measures a large one.
"""

from __future__ import annotations

import resource
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
from _baskets import Split, last_baskets, measure, tifu_lists, tifu_search, world
from _common import data_folder, header, headline, options, own_log, plainly, write

import omnireco as om

LISTED = 20
VALIDATED = 1_500  # people whose last history basket chooses the settings of the peers
TIFU = "TIFU-KNN, its grid"


def journey(folder: Path) -> pd.DataFrame:
    """Return one row per household, day and product of The Complete Journey."""
    columns = ["household_id", "product_id", "transaction_timestamp"]
    rows = pd.read_parquet(folder / "complete_journey" / "transactions.parquet", columns=columns)
    rows.columns = ["user_id", "item_id", "timestamp"]
    return baskets_of(rows, by_day=True)


def baskets_of(rows: pd.DataFrame, *, by_day: bool) -> pd.DataFrame:
    """Return rows with a basket column that orders a person's baskets, and a time for each."""
    if "order_number" in rows:
        basket = pd.to_numeric(rows["order_number"])
        weeks = pd.to_timedelta(7 * basket, unit="D")  # an order, not a time
        return rows.assign(basket=basket, timestamp=pd.Timestamp("2000-01-01", tz="UTC") + weeks)
    stamp = rows["timestamp"].dt.floor("D") if by_day else rows["timestamp"]
    return rows.assign(basket=stamp, timestamp=stamp)


def own(path: Path, *, by_day: bool) -> pd.DataFrame:
    """Return the rows of one's own file."""
    rows = own_log(path, needs=("user_id",))
    if "item_id" not in rows and "product_id" in rows:
        rows = rows.rename(columns={"product_id": "item_id"})
    elif "item_id" not in rows:
        rows = own_log(path)
    if "order_number" not in rows:
        rows = own_log(path, needs=("user_id",), times=("timestamp",)).assign(item_id=rows["item_id"])
    return baskets_of(rows, by_day=by_day)


def data_of(split: Split) -> om.Dataset:
    rows = split.history
    frame = {"user_id": rows["user"].to_numpy(), "item_id": rows["item"].to_numpy()}
    stamps = pd.to_datetime(rows["timestamp"].to_numpy(), utc=True)
    return om.Dataset(
        om.EventLog.from_frame(pd.DataFrame(frame).assign(channel="store", event="purchase", timestamp=stamps))
    )


def lists_of(estimator: Any, data: om.Dataset, people: np.ndarray) -> np.ndarray:
    """Return the codes of the products listed for people, -1 for none."""
    model = estimator.fit(data, threads=1)
    found = model.recommend(data.requests(people), k=LISTED, exclude_seen=False, threads=1)
    ids = np.asarray(found.items.ids).astype(np.int64)
    return np.where(found.codes >= 0, ids[found.codes], -1)


def buy_again(inner: Split) -> tuple[Any, int]:
    """Return the best decayed BuyAgain on a validation split, and how many were tried."""
    data = data_of(inner)
    decays = [
        om.Weights(step_half_life=s, half_life=d) for s in (None, 5.0, 10.0, 20.0, 40.0) for d in (None, "90D", "365D")
    ]
    tried = [om.BuyAgain(weights=w, prior_strength=p) for w in decays for p in (1.0, 10.0)]
    values = [measure(lists_of(one, data, inner.people), inner)["ndcg@10"].mean() for one in tried]
    return tried[int(np.argmax(values))], len(tried)


def interval(gaps: np.ndarray, seed: int = 0) -> list[float]:
    """Return a 95 % bootstrap interval of the mean over people."""
    gaps = gaps[np.isfinite(gaps)]
    draw = np.random.default_rng(seed).integers(0, gaps.size, (1000, gaps.size))
    return [float(one) for one in np.percentile(gaps[draw].mean(axis=1), [2.5, 97.5])]


def compare(name: str, split: Split) -> list[dict[str, Any]]:
    """Print every row of one split, its setting, and its paired differences to TIFU-KNN."""
    share = split.truth.multiply(split.had).nnz / max(1, split.truth.nnz)
    print(
        f"\n{name}: {split.n_users:,} people, {split.n_items:,} products, {len(split.history):,} lines, "
        f"{split.truth.nnz:,} to find, {share:.1%} of them repeats; split {split.hash}",
        flush=True,
    )
    inner, data, found, settings, spent = split.inner(VALIDATED), data_of(split), {}, {}, {}
    start = process_time()
    rules, _, n = tifu_search(inner)
    found[TIFU], settings[TIFU] = measure(tifu_lists(split, rules), split), f"{rules}, of {n:,} tried"
    spent[TIFU] = process_time() - start
    start = process_time()
    again, n = buy_again(inner)
    spent["BuyAgain, its grid"] = process_time() - start
    settings["BuyAgain, its grid"] = f"{again!r}, of {n} tried"
    rows = {"Popularity": om.Popularity(), "BuyAgain": om.BuyAgain(), "BuyAgain, its grid": again}
    for row, estimator in {**rows, "NextBasket": om.models.NextBasket()}.items():
        start = process_time()
        found[row] = measure(lists_of(estimator, data, split.people), split)
        spent[row] = spent.get(row, 0.0) + process_time() - start
        settings.setdefault(row, repr(estimator.settled(data)))
    table = []
    for row, values in found.items():
        line: dict[str, Any] = {"set": name, "split": split.hash, "model": row, **values.mean().to_dict()}
        line |= {"people": split.people.size, "cpu_s": spent[row], "setting": settings[row]}
        for metric in ("ndcg@10", "recall@10", "explore@10"):
            line[f"{metric} over TIFU-KNN"] = interval((values[metric] - found[TIFU][metric]).to_numpy())
        table.append(line)
    shown = pd.DataFrame(table).set_index("model")
    columns = [one for one in shown if "@" in one and "over" not in one]
    print(shown[[*columns, "cpu_s"]].round(4).to_string())
    for line in table:
        low, high = line["ndcg@10 over TIFU-KNN"]
        print(f"  {line['model']}: {line['setting']}; NDCG@10 over TIFU-KNN {low:+.4f} to {high:+.4f}", flush=True)
    mine, theirs = (shown.loc[one, "ndcg@10"] for one in ("NextBasket", TIFU))
    gap = [mine - theirs, *shown.loc["NextBasket", "ndcg@10 over TIFU-KNN"]]
    headline(f"NDCG@10, {name}, NextBasket", mine, beside=TIFU, theirs=theirs, gap=gap, goal=">= 0")
    return table


def scale(n_people: int, n_items: int) -> dict[str, Any]:
    """Print CPU seconds and peak memory of NextBasket as it comes on a drawn shop of Instacart's shape."""
    split = last_baskets(world("repeat", n_people, n_items, mean=14.0), support=1)
    data = data_of(split)
    line: dict[str, Any] = {"people": split.n_users, "items": split.n_items, "lines": len(split.history)}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = process_time()
    settled = om.models.NextBasket().settled(data)
    line["search cpu s"] = process_time() - start
    start = process_time()
    model = settled.fit(data)
    line["fit cpu s"] = process_time() - start
    asked = split.people[:: max(1, split.people.size // 4096)]
    start = process_time()
    model.recommend(data.requests(asked), k=LISTED, exclude_seen=False)
    line["lists cpu s per 1,000"] = 1000 * (process_time() - start) / asked.size
    line |= {"GiB before": before, "GiB peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}
    line["setting"] = repr(settled)
    print(line, flush=True)
    return line


def main() -> None:
    parser = options(__doc__, quick="a fifth of the households", data="see above")
    parser.add_argument("--worlds", action="store_true", help="drawn shops: many repeats, few, and seasons")
    parser.add_argument("--scale", type=int, metavar="PEOPLE", help="seconds and memory of so many drawn people")
    parser.add_argument("--items", type=int, default=20_000, help="products of --scale")
    parser.add_argument("--support", type=int, default=17, help="purchases that a product needs; 3 on Ta-Feng")
    parser.add_argument("--day", action="store_true", help="what is bought on one day is a basket")
    asked = parser.parse_args()
    header(__doc__)
    if asked.scale:
        scale(asked.scale, asked.items)
        return
    if asked.worlds:
        kinds = ("repeat", "explore", "seasonal")
        rows = [line for kind in kinds for line in compare(kind, last_baskets(world(kind), support=5))]
        write("next_basket_worlds", {"rows": rows})
        return
    if asked.data is not None:
        with plainly(asked.data):
            split = last_baskets(own(asked.data, by_day=asked.day), support=asked.support)
            if split.people.size < 20:
                raise SystemExit(f"{asked.data.name}: {split.people.size} people have 3 to 50 baskets; 20 are needed.")
            compare(asked.data.name, split)
        return
    rows = journey(data_folder("complete_journey"))
    if asked.quick:
        rows = rows[rows["user_id"] % 5 == 0]
    table = compare("The Complete Journey", last_baskets(rows, support=asked.support))
    if not asked.quick:
        write("next_basket", {"rows": table})


if __name__ == "__main__":
    main()
