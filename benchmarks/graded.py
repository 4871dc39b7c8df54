"""Likes, dislikes and grades on MovieLens-100K: tuned graded targets against tuned likes only, in pairs.

    OMNIRECO_DATA=/path/to/data python benchmarks/graded.py [--seeds 0 1 2] [--data RATINGS]

Ratings of 4 and 5 are likes, 1 and 2 dislikes. A random fifth of all ratings is the test, the truth its likes; items
rated in the training part are left out of every list. Both sides are tuned alike by om.learn_weights on four folds of
the training part, three to search on and one to accept on: the unobserved weight and the ridge of ALS with 32
factors; the graded side also how steeply targets rise and what a dislike weighs. Writes results/graded.json.
``--data`` puts your own ratings, from 1 to 5, in their place.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from _common import data_folder, header, headline, options, own_log, plainly, write

import omnireco as om

K, FOLDS = 10, 4
LIKES, DISLIKES = ["4", "5"], ["1", "2"]
ONLY_LIKES = om.Weights(events={"1": 0, "2": 0, "3": 0})
GRADES = om.Weights(targets={"1": 0.0, "2": 0.25, "3": 0.5, "4": 0.75, "5": 1.0})
ZERO_TARGET = om.Weights(targets={"1": 0.0, "2": 0.0, "4": 1.0, "5": 1.0}, events={"3": 0})


def read() -> pd.DataFrame:
    rows = pd.read_parquet(data_folder("movielens_100k") / "movielens_100k" / "ratings.parquet")
    event = rows["rating"].astype(int).astype(str)
    return rows[["user_id", "item_id", "timestamp"]].assign(channel="web", event=event)


def own(path: Path) -> pd.DataFrame:
    """Return one's own ratings, each a whole number from 1 to 5."""
    rows = own_log(path, needs=("user_id", "item_id", "rating"), times=("timestamp",))
    stars = pd.to_numeric(rows["rating"], errors="coerce")
    if n := int((~stars.isin([1, 2, 3, 4, 5])).sum()):
        raise SystemExit(f"{path.name}: {n:,} of {len(rows):,} values of rating are not 1, 2, 3, 4 or 5. Rescale them.")
    rows = rows[["user_id", "item_id", "timestamp"]].assign(channel="web", event=stars.astype(int).astype(str))
    return rows.drop_duplicates(["user_id", "item_id"], keep="last", ignore_index=True)


def lists(data: om.Dataset, estimator: Any, people: Any) -> om.Recommendations:
    """Return lists without what people rated in training, whatever it weighs."""
    seen = data.matrix().rows(people).csr
    names = data.events.items.ids
    had = [names[seen.indices[first:last]] for first, last in zip(seen.indptr[:-1], seen.indptr[1:], strict=True)]
    return estimator.fit(data).recommend(data.requests(people, exclude=had), k=K)


def dislike_share(found: om.Recommendations, test: pd.DataFrame) -> float:
    """Return the share of dislikes among the listed items that the test has a rating of."""
    rated = found.to_frame().merge(test)
    return float(rated["event"].isin(DISLIKES).mean())


def one_split(rows: pd.DataFrame, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    test_side = random.random(len(rows)) < 0.2
    train, test = rows[~test_side], rows[test_side]
    fold = random.integers(FOLDS, size=len(train))
    folds = [(om.EventLog.from_frame(train[fold != f]), om.EventLog.from_frame(train[fold == f])) for f in range(FOLDS)]
    data, truth = om.Dataset(om.EventLog.from_frame(train)), test[test["event"].isin(LIKES)]
    people = np.intersect1d(truth["user_id"], data.users.ids)
    found: dict[str, Any] = {}
    for name, start, events in (
        ("likes only", ONLY_LIKES, {}),
        ("dislikes, target 0", ZERO_TARGET, {"dislikes": DISLIKES}),
        ("graded", GRADES, {"dislikes": DISLIKES}),
    ):
        begin = perf_counter()
        search = om.evaluation.Search(channels=[], half_lives=[None], events=events, sweeps=2, n_bootstrap=200)
        als = om.ALS(factors=32, weights=start)
        learned = om.learn_weights(als, data, horizon=folds, target=LIKES, search=search)
        best = max(learned.trials, key=lambda trial: trial[1])
        weights = learned.found if events else start
        chosen = learned.estimator.replace(weights=weights)
        found[name] = lists(data, chosen, people)
        print(
            f"  seed {seed} {name}: {best[1]:.4f} in search, {len(learned.trials)} trials, "
            f"{perf_counter() - begin:.0f} s, {chosen}",
            flush=True,
        )
    report = om.evaluate(found, truth[["user_id", "item_id"]], k=K, metrics=[om.ndcg])
    shares = {name: dislike_share(recs, test) for name, recs in found.items()}
    values = {name: report.per_user(name, "ndcg").set_index("user_id")["value"] for name in found}
    return {"report": report, "shares": shares, "values": values}


def main() -> None:
    data = "user_id, item_id, timestamp and rating, 1 to 5"
    parser = options(__doc__, quick="one split, a quarter of the people", data=data)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    arguments = parser.parse_args()
    header(__doc__)
    if arguments.quick:
        arguments.seeds = arguments.seeds[:1]
    if arguments.data is not None:
        with plainly(arguments.data):
            compare(own(arguments.data), arguments, "own ratings")
        return
    rows = read()
    if arguments.quick:
        rows = rows[rows["user_id"].astype(int) % 4 == 0]
    compare(rows, arguments, "MovieLens-100K")


def compare(rows: pd.DataFrame, arguments: Any, name_of: str) -> None:
    """Print each split, and the mean over them."""
    runs: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        runs.append(one_split(rows, seed))
        report = runs[-1]["report"]
        print(report.to_frame().round(4).to_string(), runs[-1]["shares"])
        print(report.differences("likes only").round(4).to_string(), flush=True)
    out: dict[str, Any] = {}
    for name in runs[0]["values"]:
        mean = np.mean([run["values"][name].mean() for run in runs])
        gaps = pd.concat([run["values"][name] - run["values"]["likes only"] for run in runs], axis=1).mean(axis=1)
        draws = np.random.default_rng(0).choice(gaps.to_numpy(), (2000, len(gaps))).mean(axis=1)
        low, high = np.quantile(draws, [0.025, 0.975])
        share = np.mean([run["shares"][name] for run in runs])
        out[name] = {"ndcg": mean, "gain": gaps.mean(), "low": low, "high": high, "dislike share": share}
    splits = [run["report"].split for run in runs]
    print(f"\n{name_of}, likes of a random fifth, seeds {arguments.seeds}, splits {splits}")
    print(pd.DataFrame(out).T.round(4).to_string())
    for name, row in out.items():
        if name != "likes only":
            gap, theirs = [row["gain"], row["low"], row["high"]], out["likes only"]["ndcg"]
            headline(f"NDCG@{K}, {name}", row["ndcg"], beside="likes only", theirs=theirs, gap=gap)
    if not arguments.quick and arguments.data is None:
        write("graded", out)


if __name__ == "__main__":
    main()
