"""Sparse item models: EASE on few neighbours beside the whole square, and all of them at a million people.

    OMNIRECO_DATA=/path/to/data python benchmarks/sparse.py ml      # MovieLens-1M, split m1: quality
    python benchmarks/sparse.py products                            # Complete Journey, some 65,000 products: quality
    python benchmarks/sparse.py million [--people 1000000]          # drawn: seconds and peak memory, one process each
    python benchmarks/sparse.py own --data log.csv                  # seconds and peak memory on your own log

On products the truth is what households bought in the store in the four weeks after 2017-12-04 and never before. At a
million people 100,000 items and 10 million cells are drawn, popular items more often. Each estimator is fitted in a
process of its own and recommends 10 items to 10,000 people, which goes through the sparse tier: seconds are CPU
seconds, people per second are those of one CPU.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from _common import data_folder, header, headline, headline_of, left_out, options, own_log, write

import omnireco as om

ASKING = 10_000
MODELS = {
    "Popularity": om.Popularity(),
    "RP3beta": om.models.RP3beta(),
    "ItemKNN": om.ItemKNN(),
    "EASE(neighbors=50)": om.EASE(neighbors=50),
    "EASE(neighbors=100)": om.EASE(neighbors=100),
    "SLIM": om.models.SLIM(),
}


def fitted(rows: dict[str, Any], x: om.Interactions, k: int) -> dict[str, om.Recommendations]:
    """Fit and ask each estimator; print wall and CPU seconds, and the peak of memory so far."""
    lists = {}
    for name, estimator in rows.items():
        wall, cpu = perf_counter(), process_time()
        model = estimator.fit(x)
        wall, cpu = perf_counter() - wall, process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"  {name}: fit {wall:.1f} s, {cpu:.1f} s CPU; peak {peak:,.0f} MB", flush=True)
        lists[name] = model.recommend(x, k=k)
    return lists


def report(lists: dict[str, om.Recommendations], truth: Any, k: int, against: str) -> None:
    found = om.evaluate(lists, truth, k=k, metrics=[om.ndcg, om.recall])
    print(found.to_frame().round(4).to_string(index=False))
    print(found.differences(against).round(4).to_string(index=False), flush=True)
    for name in lists:
        if name != against:
            headline_of(found, name, against, f"NDCG@{k}, {name}")


def films(quick: bool) -> None:
    pairs = pd.read_parquet(data_folder("movielens_1m_m1") / "movielens_1m_m1" / "interactions.parquet")
    train, test = (pairs[pairs["split"] == side] for side in ("train", "test"))
    x = om.Interactions.from_frame(train[["user_id", "item_id"]], binary=True)
    rows = {"all": om.EASE()} | {f"{n} neighbors": om.EASE(neighbors=n) for n in ((50,) if quick else (50, 100))}
    report(fitted(rows, x, 20), test, 20, "all")


def products(quick: bool) -> None:
    level = "product_category" if quick else "product"
    log = om.worlds.complete_journey(item_level=level).log.select(channels=["store"])
    train, test = log.split("2017-12-04", horizon="28D")
    x = train.matrix(om.Weights(binary=True))
    print(f"{x}; its square: {4 * x.n_items**2 / 2**30:.0f} GiB in float32", flush=True)
    rows = {"popularity": om.Popularity(), "ease": om.EASE(neighbors=50, regularization=100), "als": om.ALS()}
    lists = fitted(rows, x, 10)
    had = x.to_frame()[["user_id", "item_id"]].assign(had=1)
    bought = test.to_frame()[["user_id", "item_id"]].dropna().drop_duplicates().merge(had, how="left")
    report(lists, bought[bought["had"].isna()], 10, "als")


def drawn(n_people: int) -> om.Interactions:
    """Return ten cells a person over a tenth as many items, at most 100,000."""
    rng = np.random.default_rng(0)
    n, n_items = 10 * n_people, min(100_000, n_people // 10)
    cells = (np.ones(n, np.float32), (rng.integers(0, n_people, n), (rng.random(n) ** 2 * n_items).astype(np.int64)))
    matrix = sp.csr_matrix(cells, (n_people, n_items))
    matrix.data[:] = 1.0
    return om.Interactions.from_scipy(matrix)


def measured(name: str, x: om.Interactions) -> dict[str, Any]:
    """Return what one estimator takes in this process, which nothing else has used."""
    small = drawn(2_000)
    MODELS[name].fit(small).recommend(small.take(np.arange(50)), k=10)  # loads and compiles
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    wall, cpu = perf_counter(), process_time()
    try:
        model = MODELS[name].fit(x)
    except om.errors.ParameterError as refused:
        return {"model": name, "refused": str(refused)}
    row = {"model": name, "fit_wall_s": perf_counter() - wall, "fit_cpu_s": process_time() - cpu}
    row |= {"peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "before_gib": before}
    some = x.take(np.arange(min(ASKING, x.n_users)))
    model.recommend(some, k=10)
    cpu = process_time()
    model.recommend(some, k=10)
    return row | {"people_per_cpu_s": some.n_users / (process_time() - cpu)}


def at_scale(asked: argparse.Namespace) -> None:
    found, people = header(__doc__), 20_000 if asked.quick else asked.people
    rows = []
    for name in asked.only or [name for name in MODELS if not (asked.quick and name == "SLIM")]:
        command = [sys.executable, __file__, asked.world, "--people", str(people), "--one", name]
        command += ["--data", str(asked.data)] if asked.data else []
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        lines = done.stdout.splitlines()
        rows.append(json.loads(lines[-1]) if done.returncode == 0 else {"model": name, "failed": done.returncode})
        print("  " + "  ".join(f"{k} {v:,.2f}" if isinstance(v, float) else f"{v}" for k, v in rows[-1].items()))
        sys.stdout.flush()
        if "fit_cpu_s" in rows[-1]:
            headline(f"{name}, {people:,} people: fit", rows[-1]["fit_cpu_s"], "CPU s")
            headline(f"{name}, {people:,} people: peak", rows[-1]["peak_gib"], "GiB")
        else:
            left_out(name, rows[-1].get("refused", "its process failed"))
    if not asked.quick:
        write("sparse", {"machine": found, "people": people, "rows": rows})


def main() -> None:
    parser = options(__doc__, quick="20,000 people, without SLIM", data="user_id and item_id, for own")
    parser.add_argument("world", nargs="?", choices=["ml", "products", "million", "own"], default="million")
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", choices=list(MODELS))
    parser.add_argument("--one", choices=list(MODELS), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.world == "own" and asked.data is None:
        parser.error("the world own needs --data FILE")
    if asked.one:
        own = asked.world == "own"
        x = om.Interactions.from_frame(own_log(asked.data), binary=True) if own else drawn(asked.people)
        print(json.dumps(measured(asked.one, x)))
    elif asked.world in ("ml", "products"):
        header(__doc__)
        (films if asked.world == "ml" else products)(asked.quick)
    else:
        at_scale(asked)


if __name__ == "__main__":
    main()
