"""EASE on few neighbours: against all of them where both run, and on a catalogue whose square does not fit.

    OMNIRECO_DATA=/path/to/data python benchmarks/sparse.py ml      # MovieLens-1M, split m1
    python benchmarks/sparse.py products                            # Complete Journey, some 65,000 products

On products the truth is what households bought in the store in the four weeks after 2017-12-04 and never before.
"""

from __future__ import annotations

import argparse
import os
import resource
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import pandas as pd

import omnireco as om


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


def films() -> None:
    pairs = pd.read_parquet(Path(os.environ["OMNIRECO_DATA"]) / "movielens_1m_m1" / "interactions.parquet")
    train, test = (pairs[pairs["split"] == side] for side in ("train", "test"))
    x = om.Interactions.from_frame(train[["user_id", "item_id"]], binary=True)
    rows = {"all": om.EASE()} | {f"{n} neighbors": om.EASE(neighbors=n) for n in (50, 100)}
    report(fitted(rows, x, 20), test, 20, "all")


def products() -> None:
    log = om.worlds.complete_journey(item_level="product").log.select(channels=["store"])
    train, test = log.split("2017-12-04", horizon="28D")
    x = train.matrix(om.Weights(binary=True))
    print(f"{x}; its square: {4 * x.n_items**2 / 2**30:.0f} GiB in float32", flush=True)
    rows = {"popularity": om.Popularity(), "ease": om.EASE(neighbors=50, regularization=100), "als": om.ALS()}
    lists = fitted(rows, x, 10)
    had = x.to_frame()[["user_id", "item_id"]].assign(had=1)
    bought = test.to_frame()[["user_id", "item_id"]].dropna().drop_duplicates().merge(had, how="left")
    report(lists, bought[bought["had"].isna()], 10, "als")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=["ml", "products"])
    (films if parser.parse_args().data == "ml" else products)()
