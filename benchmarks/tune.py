"""The fast road of om.tune beside a wide grid, and the blend of four: quality of what a search of 20 trials finds.

    OMNIRECO_DATA=/path/to/data python benchmarks/tune.py [--only deskdrop] [--quick]

A fifth of the cells of each set is the test and seen by nobody. Inside the rest, ``om.tune`` holds out two tenths; the
wide grid (60 settings and more of each model) is judged on the first of them too, and its best by that part is what
tune is compared with, on the test. Seconds are CPU seconds of a whole search. Writes results/tune.json.
"""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from _common import data_folder, header, headline, options, own_log, plainly, write

import omnireco as om

SETS = {
    "deskdrop": ("deskdrop_articles/events.parquet", "item_id", 3_000),
    "films": ("movielens_100k/ratings.parquet", "item_id", 2_000),
    "groceries": ("complete_journey/transactions.parquet", "product_id", 3_000),
    "toys": ("amazon_toys_seq/sequences.parquet", "item_id", 12_000),
}
GRIDS: dict[str, dict[str, list[Any]]] = {
    "EASE": {
        "regularization": [3, 10, 30, 100, 200, 300, 500, 700, 1000, 1500, 3000, 10_000],
        "dropout": [0.0, 0.2, 0.33, 0.5, 0.66],
    },
    "ALS": {
        "factors": [32, 64, 128],
        "regularization": [0.003, 0.01, 0.03, 0.1],
        "unobserved_weight": [0.01, 0.03, 0.1, 0.3, 1.0],
    },
    "ItemKNN": {
        "neighbors": [10, 20, 50, 100, 200, 400, 1000],
        "shrinkage": [0.0, 5.0, 20.0, 100.0, 500.0],
        "similarity": ["cosine", "asymmetric"],
    },
}
STARTS = {"EASE": om.EASE(), "ALS": om.ALS(), "ItemKNN": om.ItemKNN()}
K = 20


def halves(name: str, own: Path | None = None) -> tuple[om.Interactions, om.Interactions]:
    """Return training and test cells, one in five of all pairs, of the most popular items."""
    file, item, most = SETS.get(name, ("", "item_id", 3_000))
    frame = own_log(own) if own is not None else pd.read_parquet(data_folder(file) / file)
    person = "household_id" if "household_id" in frame else "user_id"
    pairs = frame[[person, item]].dropna().drop_duplicates()
    pairs = pairs[pairs[item].isin(pairs[item].value_counts().index[:most])]
    user, code = pd.factorize(pairs[person], sort=True)[0], pd.factorize(pairs[item], sort=True)[0]
    matrix = sp.csr_matrix((np.ones(len(pairs), np.float32), (user, code)))
    out = np.random.default_rng(0).random(matrix.nnz) < 0.2
    cells = matrix.tocoo()
    train, test = (
        sp.csr_matrix((np.ones(int(side.sum()), np.float32), (cells.row[side], cells.col[side])), matrix.shape)
        for side in (~out, out)
    )
    return om.Interactions.from_scipy(train), om.Interactions.from_scipy(test)


def value(estimator: Any, train: om.Interactions, test: om.Interactions) -> float:
    lists = {"m": estimator.fit(train).recommend(train, k=K)}
    return float(om.evaluate(lists, test, k=K, metrics=[om.ndcg], n_bootstrap=0).cells[0].mean)


def wide(kind: str, train: om.Interactions, test: om.Interactions) -> tuple[Any, float, int]:
    """Return the best setting of the wide grid by the part that chooses, its value on the test, and the trials."""
    from omnireco.evaluation.trials.shares import cuts_of

    choose, _ = cuts_of(train, None, (), 0)
    tried = []
    for setting in itertools.product(*GRIDS[kind].values()):
        estimator = STARTS[kind].replace(**dict(zip(GRIDS[kind], setting, strict=True)))
        lists = {"m": estimator.fit(choose.past).recommend(choose.past.rows(choose.later.users.ids), k=K)}
        found = om.evaluate(lists, choose.later, k=K, metrics=[om.ndcg], n_bootstrap=0).cells[0].mean
        tried.append((found, estimator))
    best = max(tried, key=lambda pair: pair[0])[1]
    return best, value(best, train, test), len(tried)


def say(row: dict[str, Any]) -> None:
    print("  " + "  ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)


def table(name: str, kinds: list[str], own: Path | None = None) -> list[dict[str, Any]]:
    train, test = halves(name, own)
    print(f"\n{name}: {train}", flush=True)
    rows = []
    rows.append({"set": name, "model": "Popularity", "default": value(om.Popularity(), train, test)})
    for kind in kinds:
        cpu = process_time()
        fast = om.tune(STARTS[kind], train, k=K)
        cpu = process_time() - cpu
        start = process_time()
        best, reached, n = wide(kind, train, test)
        row = {"set": name, "model": kind, "default": value(STARTS[kind], train, test)}
        row |= {"tune": value(fast.best, train, test), "chosen": value(fast.estimator, train, test), "tune_s": cpu}
        row |= {"grid": reached, "grid_trials": n, "grid_s": process_time() - start, "best": repr(best)}
        row["tune_of_grid"] = row["tune"] / row["grid"]
        rows.append(row)
        print(
            "  " + "  ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True
        )
    cpu = process_time()
    fast = om.tune(om.Blend(), train, k=K)
    row = {
        "set": name,
        "model": "Blend",
        "default": value(om.Blend(), train, test),
        "tune": value(fast.best, train, test),
    }
    row |= {"chosen": value(fast.estimator, train, test), "tune_s": process_time() - cpu, "best": repr(fast.best)}
    rows.append(row)
    say(row)
    for one in rows:
        if "tune_of_grid" in one:
            what, gap = f"NDCG@{K}, {name}, {one['model']}: tune", [one["tune"] - one["grid"]]
            headline(what, one["tune"], beside=f"grid of {one['grid_trials']}", theirs=one["grid"], gap=gap)
            what, ratio = f"{name}, {one['model']}: the search", one["grid_s"] / one["tune_s"]
            headline(what, one["tune_s"], "CPU s", beside="the grid", theirs=one["grid_s"], ratio=ratio)
    headline(f"NDCG@{K}, {name}, Blend: tune", row["tune"], beside="default", theirs=row["default"])
    return rows


def main() -> None:
    parser = options(__doc__, quick="DeskDrop, ItemKNN on a narrow grid, and the blend", data="user_id and item_id")
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=["deskdrop", "films", "groceries"])
    parser.add_argument("--models", nargs="+", choices=list(GRIDS), default=list(GRIDS))
    asked = parser.parse_args()
    found = header(__doc__)
    warnings.simplefilter("ignore", om.errors.DataWarning)
    names, kinds = (["deskdrop"], ["ItemKNN"]) if asked.quick else (asked.only, asked.models)
    if asked.quick:  # every third value of each parameter
        GRIDS["ItemKNN"] = {name: values[::3] for name, values in GRIDS["ItemKNN"].items()}
    if asked.data is not None:
        with plainly(asked.data):
            table("own", kinds, asked.data)
        return
    rows = [row for name in names for row in table(name, kinds)]
    if not asked.quick:
        write("tune", {"machine": found, "rows": rows})


if __name__ == "__main__":
    main()
