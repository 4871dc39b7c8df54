"""Published tables on fixed splits: ours beside the published numbers, under the published protocol.

    OMNIRECO_DATA=/path/to/data python benchmarks/published.py [--tune] [--only movielens_100k_mcrec]

All items but the person's training items are ranked; relevance is binary. Settings stand in TABLES and were chosen
with --tune, which sees the training side only: a fifth of each person's training items, drawn at random, is
held out, every setting of GRIDS is fitted to the rest, and the best by the first metric is refitted to all of it. A
new model is one more line in TABLES (and in GRIDS, if it has something to tune). Writes results/published.json.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

import omnireco as om

METRICS = {
    "movielens_100k_mcrec": (10, [om.precision, om.recall, functools.partial(om.ndcg, ideal="all")]),
    "movielens_1m_m1": (20, [om.recall, om.ndcg]),
}
PUBLISHED = {
    "movielens_100k_mcrec": {
        "TopPopular": (0.1907, 0.1180, 0.1361),
        "P3alpha": (0.3305, 0.2081, 0.2554),
        "UserKNN": (0.3430, 0.2225, 0.2687),
        "RP3beta": (0.3435, 0.2191, 0.2588),
        "PureSVD": (0.3545, 0.2247, 0.2719),
        "iALS": (0.3596, 0.2283, 0.2759),
        "EASE": (0.3739, 0.2430, 0.2905),
        "SLIM": (0.3770, 0.2441, 0.2957),
    },
    "movielens_1m_m1": {
        "LightGCN": (0.2576, 0.2427),
        "UltraGCN": (0.2787, 0.2642),
        "SimpleX": (0.2802, 0.2670),
    },
}
N_ML100K = 943  # people: scikit-learn's elastic net, which the published SLIM is, scales its penalties by them
BLEND_ML1M = {  # found by om.learn_blend on a tenth of the training cells, drawn with seed 0
    "ease": 0.25,
    "gfcf": 0.25,
    "userknn": 0.1,
    "als": 1.0,
}
TABLES: dict[str, dict[str, Any]] = {
    "movielens_100k_mcrec": {
        "Popularity": om.Popularity(),
        "EASE": om.EASE(regularization=458),
        "PureSVD": om.PureSVD(factors=13),
        "P3alpha": om.P3alpha(neighbors=197, alpha=0.0),
        "RP3beta": om.RP3beta(neighbors=324, alpha=0.8593, beta=0.6574),
        "UserKNN": om.UserKNN(neighbors=128, similarity="jaccard"),
        "GFCF": om.GFCF(factors=64, low_pass=0.3),
        "SLIM": om.SLIM(
            regularization=N_ML100K * 0.2225 * (1 - 1.13e-4),
            sparsity=N_ML100K * 0.2225 * 1.13e-4,
            neighbors=605,
            tolerance=1e-4,
        ),
        "ALS": om.ALS(factors=64, unobserved_weight=0.2, regularization=0.02),
    },
    "movielens_1m_m1": {
        "Popularity": om.Popularity(),
        "EASE": om.EASE(regularization=1000),
        "Blend": om.Blend(
            models={
                "ease": om.EASE(regularization=500),
                "gfcf": om.GFCF(factors=64, low_pass=1.0),
                "userknn": om.UserKNN(neighbors=200),
                "als": om.ALS(factors=256, unobserved_weight=0.2, regularization=0.01),
            },
            weights=BLEND_ML1M,
        ),
        "ALS": om.ALS(factors=256, unobserved_weight=0.2, regularization=0.01),
    },
}
GRIDS: dict[str, dict[str, list[Any]]] = {
    "movielens_100k_mcrec": {
        "factors": [32, 64, 128],
        "unobserved_weight": [0.1, 0.2, 0.4],
        "regularization": [0.005, 0.01, 0.02, 0.03, 0.04],
    },
    "movielens_1m_m1": {
        "factors": [64, 128, 256],
        "unobserved_weight": [0.1, 0.2, 0.4],
        "regularization": [0.01, 0.015, 0.02, 0.03],
    },
}


def read(folder: Path, name: str) -> tuple[om.Interactions, pd.DataFrame]:
    """Return the training matrix and the test pairs of a fixed split."""
    pairs = pd.read_parquet(folder / name / "interactions.parquet")
    train, test = (pairs.loc[pairs["split"] == side, ["user_id", "item_id"]] for side in ("train", "test"))
    return om.Interactions.from_frame(train, binary=True), test


def measure(model: Any, x: om.Interactions, test: pd.DataFrame, name: str) -> list[float]:
    k, metrics = METRICS[name]
    return (
        om.evaluate({"m": model.recommend(x, k=k)}, test, k=k, metrics=metrics, n_bootstrap=0)
        .to_frame()["mean"]
        .tolist()
    )


def hold_out(x: om.Interactions, share: float = 0.2) -> tuple[om.Interactions, pd.DataFrame]:
    """Return a training matrix without, and a frame of, a random share of its cells."""
    frame = x.to_frame()[["user_id", "item_id"]]
    held = np.random.default_rng(0).random(len(frame)) < share
    return om.Interactions.from_frame(frame[~held], binary=True), frame[held]


def tune(x: om.Interactions, name: str) -> om.ALS:
    """Return the setting of the grid that is best on a held-out part of the training cells."""
    inner, held = hold_out(x)
    grid, best = GRIDS[name], (-1.0, om.ALS())
    for setting in itertools.product(*grid.values()):
        estimator = om.ALS(**dict(zip(grid, setting, strict=True)))
        value = measure(estimator.fit(inner), inner, held, name)[0]
        print(f"    {dict(zip(grid, setting, strict=True))}: {value:.4f}", flush=True)
        best = max(best, (value, estimator), key=lambda pair: pair[0])
    print(f"  chosen: {best[1]} with {best[0]:.4f} on validation")
    return best[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tune", action="store_true", help="choose the settings of ALS anew")
    parser.add_argument("--only", choices=list(TABLES))
    arguments = parser.parse_args()
    if not (folder := os.environ.get("OMNIRECO_DATA")):
        sys.exit("Set OMNIRECO_DATA to the folder that holds " + " and ".join(TABLES))
    found = {}
    for name in [arguments.only] if arguments.only else list(TABLES):
        x, test = read(Path(folder), name)
        models = dict(TABLES[name])
        if arguments.tune:
            models["ALS"] = tune(x, name)
        rows = {model: (*values, "", "published") for model, values in PUBLISHED[name].items()}
        for model, estimator in models.items():
            start = perf_counter()
            fitted = estimator.fit(x)
            seconds = perf_counter() - start
            rows[f"ours: {model}"] = (*measure(fitted, x, test, name), round(seconds, 2), repr(estimator))
        k, metrics = METRICS[name]
        columns = [f"{getattr(m, 'func', m).__name__}@{k}" for m in metrics]
        table = pd.DataFrame.from_dict(rows, orient="index", columns=[*columns, "fit s", "setting"])
        print(f"\n{name}: {x}\n{table.round(4).to_string()}\n", flush=True)
        found[name] = {model: list(values) for model, values in rows.items()}
    target = Path(__file__).parent / "results"
    target.mkdir(exist_ok=True)
    (target / "published.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
