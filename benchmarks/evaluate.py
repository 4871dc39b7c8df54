"""Seconds from ranked lists and truth, both frames, to means: omnireco beside a pandas recipe and ranx.

    python benchmarks/evaluate.py [--quick] [--repeats 5]

Same process, interleaved, best of the repeats; the first round warms everybody up (ranx compiles) and is not
counted. The means must agree to 1e-9, or the script fails. Writes results/evaluate.json.
"""

from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from _common import header, headline, left_out, own_log, plainly, write
from _common import options as options_of

import omnireco as om

NAMES = ["ndcg", "recall", "precision", "mrr", "map"]
METRICS = [
    om.ndcg,
    om.recall,
    om.precision,
    om.evaluation.mean_reciprocal_rank,
    partial(om.evaluation.average_precision, divide_by="relevant"),
]


def make_world(n_users: int, n_items: int, k: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return lists of k items for each user and 5 to 25 relevant items, about a tenth of them listed."""
    random = np.random.default_rng(seed)
    listed = random.integers(0, n_items, (n_users, 2 * k))
    rows = []
    for user in range(n_users):
        items = pd.unique(listed[user])[:k]
        rows.append(np.column_stack([np.full(items.size, user), items, np.arange(1, items.size + 1)]))
    lists = pd.DataFrame(np.concatenate(rows), columns=["user_id", "item_id", "rank"])
    size = random.integers(5, 26, n_users)
    chosen = pd.DataFrame(
        {"user_id": np.repeat(np.arange(n_users), size), "item_id": random.integers(0, n_items, size.sum())}
    )
    known = lists.sample(frac=0.1, random_state=1)[["user_id", "item_id"]]
    return lists, pd.concat([chosen, known]).drop_duplicates().reset_index(drop=True)


def own(path: Path, k: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return lists of what is popular and the pairs held out of one's own log, ids as codes."""
    pairs = own_log(path)[["user_id", "item_id"]].drop_duplicates()
    pairs = pairs.apply(lambda column: pd.factorize(column)[0])
    held = np.random.default_rng(0).random(len(pairs)) < 0.2
    with plainly(path):
        x = om.Interactions.from_frame(pairs[~held], binary=True)
        lists = om.Popularity().fit(x).recommend(x, k=k).to_frame()[["user_id", "item_id", "rank"]]
    truth = pairs[held & pairs["user_id"].isin(lists["user_id"])]
    if truth.empty:
        raise SystemExit(f"{path.name}: nobody has a pair to hold out and another to learn from.")
    return lists[lists["user_id"].isin(truth["user_id"])], truth.reset_index(drop=True)


def with_omnireco(
    lists: pd.DataFrame | om.Recommendations, truth: pd.DataFrame, k: int, n_bootstrap: int = 0
) -> list[float]:
    report = om.evaluate({"m": lists}, truth, k=k, metrics=METRICS, n_bootstrap=n_bootstrap)
    return report.to_frame()["mean"].tolist()


def with_pandas(lists: pd.DataFrame, truth: pd.DataFrame, k: int) -> list[float]:
    """Join, then group by user: what a notebook does."""
    relevant = truth.groupby("user_id").size()
    hits = lists[lists["rank"] <= k].merge(truth, on=["user_id", "item_id"]).sort_values(["user_id", "rank"])
    hits["gain"] = 1 / np.log2(hits["rank"] + 1)
    hits["precision"] = (hits.groupby("user_id").cumcount() + 1) / hits["rank"]
    found = hits.groupby("user_id").agg(
        n=("rank", "size"), first=("rank", "min"), gain=("gain", "sum"), precision=("precision", "sum")
    )
    found = found.reindex(relevant.index)
    best = np.concatenate([[0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
    ndcg = found["gain"].fillna(0) / best[np.minimum(relevant, k)]
    columns = [
        ndcg,
        found["n"].fillna(0) / relevant,
        found["n"].fillna(0) / k,
        (1 / found["first"]).fillna(0),
        found["precision"].fillna(0) / relevant,
    ]
    return [float(column.mean()) for column in columns]


def with_ranx(lists: pd.DataFrame, truth: pd.DataFrame, k: int) -> list[float]:
    import ranx

    text = {"user_id": object, "item_id": object}  # ranx does not know the string columns of pandas 3
    relevant = truth.astype(str).astype(text).assign(score=1)
    scored = lists.astype(str).astype(text).assign(score=-lists["rank"].astype(float))
    qrels = ranx.Qrels.from_df(relevant, "user_id", "item_id", "score")
    run = ranx.Run.from_df(scored, "user_id", "item_id", "score")
    found = ranx.evaluate(qrels, run, [f"{name}@{k}" for name in NAMES], make_comparable=True)
    return [float(found[f"{name}@{k}"]) for name in NAMES]


def peak_mb(run: Callable[[], object]) -> float:
    """Peak of memory allocated through Python and NumPy while it runs."""
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def main() -> None:
    data = "user_id and item_id; a fifth of the pairs is the truth, and the lists are what is popular"
    parser = options_of(__doc__, quick="2,000 users, two repeats", data=data)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    found = header(__doc__)
    n_users, n_items, k = (2_000, 1_000, 10) if options.quick else (20_000, 5_000, 20)
    repeats = 2 if options.quick else options.repeats
    if options.data is None:
        lists, truth = make_world(n_users, n_items, k)
    else:
        lists, truth = own(options.data, k)
        n_users = truth["user_id"].nunique()
    recommended = om.Recommendations.from_frame(lists)  # what a model of ours hands over: no frame to sort

    runs: dict[str, Callable[[], list[float]]] = {
        "omnireco": lambda: with_omnireco(lists, truth, k),
        "omnireco, own lists": lambda: with_omnireco(recommended, truth, k),
        "omnireco + intervals": lambda: with_omnireco(lists, truth, k, 1000),
        "pandas recipe": lambda: with_pandas(lists, truth, k),
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ranx  # noqa: F401
        runs["ranx"] = lambda: with_ranx(lists, truth, k)
    except ImportError:
        left_out("ranx", "it is not installed (pip install ranx)")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        means = {name: run() for name, run in runs.items()}
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(repeats):
            for name, run in runs.items():
                start = perf_counter()
                run()
                seconds[name].append(perf_counter() - start)
        memory = {name: peak_mb(run) for name, run in runs.items()}
    for name, found in means.items():
        np.testing.assert_allclose(found, means["omnireco"], rtol=0, atol=1e-9, err_msg=name)

    print(f"{n_users:,} users, {len(lists):,} listed items, {len(truth):,} relevant pairs, k={k}, 5 metrics, 1 model")
    print(f"{'':22}{'seconds':>9}{'users/s':>11}{'peak MB':>9}{'time / omnireco':>17}")
    best = {name: min(times) for name, times in seconds.items()}
    for name in runs:
        ratio = best[name] / best["omnireco"]
        print(f"{name:22}{best[name]:9.3f}{n_users / best[name]:11,.0f}{memory[name]:9.0f}{ratio:17.2f}")
    print("means agree to 1e-9: " + ", ".join(f"{n} {v:.4f}" for n, v in zip(NAMES, means["omnireco"], strict=True)))
    for name in runs:
        if not name.startswith("omnireco"):
            ours, theirs, what = best["omnireco"], best[name], f"five metrics of {n_users:,} lists"
            headline(what, ours, "s", beside=name, theirs=theirs, ratio=theirs / ours)
    headline(f"the same with intervals, {n_users:,} lists", best["omnireco + intervals"], "s")
    result = {
        "n_users": n_users,
        "k": k,
        "seconds": best,
        "peak_mb": memory,
        "means": dict(zip(NAMES, means["omnireco"], strict=True)),
        "machine": found,
    }
    if not options.quick and options.data is None:
        write("evaluate", result)


if __name__ == "__main__":
    main()
