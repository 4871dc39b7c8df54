"""The next basket of groceries: The Complete Journey, repeats and new products apart.

    OMNIRECO_DATA=/path/to/data python benchmarks/next_basket.py [--quick]

Products bought at least 50 times before the cut. Everything before the cut is learned from; the truth is the first
basket of each household in the four weeks after it. Settings are chosen with the cut at 2017-10-01 and reported with
the cut at 2017-11-15. Recall@10 and NDCG@10 (ideal list of at most 10) of one list of 10 that may repeat; then the same
list's recall of what the household had before (repeat) and had not (explore); then recall of new products by a list of
new products alone. Intervals are paired with the decayed BuyAgain, by household, from 2,000 resamples. TIFU-KNN is
computed here as published (groups of baskets, plain mean of Euclidean neighbours). Writes results/next_basket.json.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
from _common import data_folder, header, headline, options, own_log, own_span, plainly, write

import omnireco as om

CHOOSE, REPORT, WITHIN, K, LEAST = "2017-10-01", "2017-11-15", "28D", 10, 50
Lists = tuple[np.ndarray, np.ndarray]


def read(folder: Path) -> pd.DataFrame:
    """Return one row per household, basket and product."""
    columns = ["household_id", "product_id", "transaction_timestamp"]
    rows = pd.read_parquet(folder / "complete_journey" / "transactions.parquet", columns=columns)
    rows.columns = ["user_id", "item_id", "timestamp"]
    return rows.drop_duplicates().assign(channel="store", event="purchase")


def cut_at(rows: pd.DataFrame, at: Any, within: Any = WITHIN, least: int = LEAST) -> tuple[om.Dataset, pd.DataFrame]:
    """Return what is known at a cut, and each household's next basket."""
    cut = pd.to_datetime(at, utc=True)
    before = rows[rows["timestamp"] < cut]
    often = before["item_id"].value_counts()
    rows = rows[rows["item_id"].isin(often.index[often >= least])]
    past = om.Dataset(om.EventLog.from_frame(rows)).before(cut)
    after = rows[(rows["timestamp"] >= cut) & (rows["timestamp"] < cut + pd.Timedelta(within))]
    after = after[after["user_id"].isin(past.events.users.ids)]
    first = after[after["timestamp"] == after.groupby("user_id")["timestamp"].transform("min")]
    return past, first[["user_id", "item_id"]].drop_duplicates()


def tifu_knn(past: om.Dataset, people: np.ndarray, rules: tuple[int, float, float, int, float]) -> Lists:
    """Return scores of everything for people, and what they had, as TIFU-KNN is published."""
    groups, within, between, neighbors, alpha = rules
    neighbors = min(neighbors, past.events.n_users - 2)
    log = past.events
    user, item, at = log.user, log.item, log.at
    order = np.lexsort([at, user])
    user, item, at = user[order], item[order], at[order]
    fresh = np.r_[True, (np.diff(user) != 0) | (np.diff(at) != 0)]
    basket = np.cumsum(fresh) - 1
    first = basket[np.r_[True, np.diff(user) != 0]][np.searchsorted(np.unique(user), user)]
    place, count = basket - first, np.bincount(user[fresh], minlength=log.n_users)[user]
    real = np.minimum(count, groups)
    size = count / real
    # the earlier groups have floor(size) baskets, the last ones one more
    small = np.floor(size).astype(np.int64)
    n_small = real - np.round((size - small) * real).astype(np.int64)
    early = place < n_small * small
    larger = np.where(size > small, small + 1, small)
    group = np.where(early, place // small, n_small + (place - n_small * small) // larger)
    group = np.minimum(group, real - 1)
    weight = within ** (count - 1 - place) * between ** (groups - 1 - group) / np.where(early, small, larger) / real
    rows = np.zeros((log.n_users, log.n_items))
    np.add.at(rows, (user, item), weight)
    asked = log.users.codes(people)
    square = (rows**2).sum(axis=1)
    far = square[asked][:, None] + square[None, :] - 2 * rows[asked] @ rows.T
    far[np.arange(asked.size), asked] = np.inf
    near = np.argpartition(far, neighbors, axis=1)[:, :neighbors]
    mean = np.array([rows[one].mean(axis=0) for one in near])
    return alpha * rows[asked] + (1 - alpha) * mean, rows[asked] > 0


def scores_of(estimator: Any) -> Callable[[om.Dataset, np.ndarray], Lists]:
    """Return a function to scores of everything for people, and what they had."""

    def ask(past: om.Dataset, people: np.ndarray) -> Lists:
        model = estimator.fit(past, threads=1)
        found = model.score(past.requests(people), past.events.items.ids)
        had = past.matrix(om.Weights(binary=True)).rows(people).csr.toarray() > 0
        return found, had

    return ask


@cache
def terms_of(estimator: Any, past: om.Dataset, people: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Return the three terms of NextBasket's score: personal frequency, neighbours and co-purchases."""
    model, items = estimator.fit(past, threads=1), past.events.items.ids
    asked = past.requests(np.array(people))
    own = replace(model, neighbors_weight=0.0, linear_weight=0.0).score(asked, items)
    near = replace(model, neighbors_weight=1.0, linear_weight=0.0).score(asked, items) - own
    return own, near, replace(model, neighbors_weight=0.0, linear_weight=1.0).score(asked, items) - own


def basket_of(estimator: Any) -> Callable[[om.Dataset, np.ndarray], Lists]:
    """Return as scores_of for NextBasket, fitted once for all factors."""

    def ask(past: om.Dataset, people: np.ndarray) -> Lists:
        own, near, together = terms_of(om.models.NextBasket(weights=estimator.weights), past, tuple(people.tolist()))
        had = past.matrix(om.Weights(binary=True)).rows(people).csr.toarray() > 0
        return own + estimator.neighbors_weight * near + estimator.linear_weight * together, had

    return ask


def asking(one: Any) -> Callable[[om.Dataset, np.ndarray], Lists]:
    """Return the function to scores of a setting."""
    if isinstance(one, tuple):
        return lambda past, people: tifu_knn(past, people, one)
    return basket_of(one) if isinstance(one, om.models.NextBasket) else scores_of(one)


def measure(ask: Callable[[om.Dataset, np.ndarray], Lists], past: om.Dataset, truth: pd.DataFrame) -> pd.DataFrame:
    """Return one row of measures per household; recall is missing where there was nothing to find."""
    people = np.sort(truth["user_id"].unique())
    scores, had = ask(past, people)
    wanted = np.zeros(scores.shape, np.bool_)
    wanted[np.searchsorted(people, truth["user_id"]), past.events.items.codes(truth["item_id"].to_numpy())] = True
    top = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    fresh = np.argsort(-np.where(had, -np.inf, scores), axis=1, kind="stable")[:, :K]
    hit = np.take_along_axis(wanted, top, axis=1)
    discount = 1 / np.log2(np.arange(K) + 2)
    n = wanted.sum(axis=1)
    ideal = np.cumsum(discount)[np.minimum(n, K) - 1]
    old, new = wanted & had, wanted & ~had
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "recall": hit.sum(axis=1) / n,
                "ndcg": (hit * discount).sum(axis=1) / ideal,
                "repeat": np.take_along_axis(old, top, axis=1).sum(axis=1) / old.sum(axis=1),
                "explore": np.take_along_axis(new, top, axis=1).sum(axis=1) / new.sum(axis=1),
                "explore_alone": np.take_along_axis(new, fresh, axis=1).sum(axis=1) / new.sum(axis=1),
                "repeats_listed": np.take_along_axis(had, top, axis=1).mean(axis=1),
            },
            index=people,
        )


def interval(gaps: np.ndarray, seed: int = 0) -> str:
    """Return a 95 % bootstrap interval of the mean over households."""
    gaps = gaps[np.isfinite(gaps)]
    draw = np.random.default_rng(seed).integers(0, gaps.size, (2000, gaps.size))
    return "{:+.4f} {:+.4f}".format(*np.percentile(gaps[draw].mean(axis=1), [2.5, 97.5]))


def rows_of() -> dict[str, list[Any]]:
    """Return the settings of each row."""
    decays = [
        None,
        om.Weights(step_half_life=20.0, half_life="90D"),
        om.Weights(step_half_life=40.0),
        om.Weights(half_life="90D"),
    ]
    basket, ease = om.models.NextBasket, om.EASE()
    return {
        "Popularity": [om.Popularity()],
        "BuyAgain": [om.BuyAgain()],
        "BuyAgain, decayed": [om.BuyAgain(weights=w, prior_strength=s) for w in decays[1:] for s in (1.0, 10.0)],
        "EASE": [ease],
        "TIFU-KNN, as published": [
            (groups, within, between, 300, alpha)
            for groups, within, between in ((7, 0.9, 0.7), (7, 1.0, 0.8), (3, 0.95, 0.8), (7, 0.98, 0.9))
            for alpha in (0.7, 0.9)
        ],
        "NextBasket as it comes": [basket()],
        "NextBasket": [
            basket(weights=w, neighbors_weight=n, linear_weight=b)
            for w, n, b in itertools.product(decays[1:], (0.1, 0.3, 1.0), (0.1, 0.3, 1.0))
        ],
    }


BASE = "BuyAgain, decayed"


def main() -> None:
    data = "user_id, item_id and timestamp, rows of one instant are a basket; the last four weeks are the test"
    arguments = options(__doc__, quick="every fifth household", data=data).parse_args()
    header(__doc__)
    if arguments.data is not None:
        with plainly(arguments.data):
            compare(*own(arguments.data), keep=False)
        return
    rows = read(data_folder("complete_journey"))
    if arguments.quick:
        rows = rows[rows["user_id"] % 5 == 0]
    compare(cut_at(rows, CHOOSE), cut_at(rows, REPORT), keep=not arguments.quick)


def own(path: Path) -> tuple[tuple[om.Dataset, pd.DataFrame], ...]:
    """Return the two cuts of one's own log, a test of four weeks after each, or a quarter of a short log."""
    frame = own_log(path, times=("timestamp",))[["user_id", "item_id", "timestamp"]]
    rows = frame.drop_duplicates().assign(channel="all", event="purchase")
    last, within = own_span(rows, days=28)
    cuts = tuple(cut_at(rows, last - n * within, within, least=2) for n in (2, 1))
    if any(truth.empty for _, truth in cuts):
        raise SystemExit(f"{path.name}: nobody of before a cut comes back in {within}: a longer log is needed.")
    return cuts


def compare(chosen: tuple[om.Dataset, pd.DataFrame], reported: tuple[om.Dataset, pd.DataFrame], *, keep: bool) -> None:
    """Choose each row's setting at the first cut, and print what it earns at the second."""
    (early, early_truth), (past, truth) = chosen, reported
    print(f"{past.events!r}; {len(truth):,} products in {truth['user_id'].nunique():,} baskets", flush=True)
    values, table = {}, []
    for name, settings in rows_of().items():
        asks = [asking(one) for one in settings]
        means = [0.0] if len(asks) == 1 else [float(measure(ask, early, early_truth)["ndcg"].mean()) for ask in asks]
        best, spent = int(np.argmax(means)), process_time()
        values[name] = found = measure(asks[best], past, truth)
        row: dict[str, Any] = {"model": name, **found.mean(), "seconds": process_time() - spent}
        row["setting"] = str(settings[best])
        if BASE in values and name != BASE:
            for measured in ("ndcg", "recall", "explore_alone"):
                row[f"{measured} over {BASE}"] = interval((found[measured] - values[BASE][measured]).to_numpy())
        table.append(row)
        print({key: round(v, 4) if isinstance(v, float) else v for key, v in row.items()}, flush=True)
        print("   chosen of " + " ".join(f"{mean:.4f}" for mean in means), flush=True)
        if name in ("TIFU-KNN, as published", "NextBasket"):
            base = next(one for one in table if one["model"] == BASE)
            gap = [row["ndcg"] - base["ndcg"], *map(float, row[f"ndcg over {BASE}"].split())]
            headline(f"NDCG@{K}, {name}", row["ndcg"], beside=BASE, theirs=base["ndcg"], gap=gap)
        if keep:
            write("next_basket", {"rows": table})


if __name__ == "__main__":
    main()
