"""Published tables on fixed splits: ours beside the published numbers, under the published protocol.

    OMNIRECO_DATA=/path/to/data python benchmarks/published.py [--tune] [--only movielens_100k_mcrec]

The tables, their sources and our settings stand in omnireco/worlds/published.py; om.worlds.reproduce runs them.
Settings of ALS were chosen with --tune, which sees the training side only: a fifth of the training pairs, drawn at
random, is held out, every setting of GRIDS is fitted to the rest, and the best by the first metric is printed. Writes
results/published.json.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _common import data_folder, header, headline, options, write

import omnireco as om
from omnireco.worlds.published import TABLES

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


def tune(folder: Path, name: str) -> None:
    """Print every setting of the grid on a held-out part of the training pairs, and the best."""
    pairs = pd.read_parquet(folder / name / "interactions.parquet").query("split == 'train'")
    held_out = np.random.default_rng(0).random(len(pairs)) < 0.2
    x = om.Interactions.from_frame(pairs.loc[~held_out, ["user_id", "item_id"]], binary=True)
    held, table, grid = pairs.loc[held_out, ["user_id", "item_id"]], TABLES[name], GRIDS[name]
    best: tuple[float, Any] = (-1.0, None)
    for setting in itertools.product(*grid.values()):
        estimator = om.ALS(**dict(zip(grid, setting, strict=True)))
        lists = {"m": estimator.fit(x).recommend(x, k=table.k)}
        metric = [next(iter(table.metrics.values()))]
        value = om.evaluate(lists, held, k=table.k, metrics=metric, n_bootstrap=0).cells[0].mean
        print(f"    {dict(zip(grid, setting, strict=True))}: {value:.4f}", flush=True)
        best = max(best, (value, estimator), key=lambda pair: pair[0])
    print(f"  best: {best[1]} with {best[0]:.4f} on the held-out pairs", flush=True)


def published(done: Any) -> None:
    """Say the last metric of each model that was published, as a headline."""
    frame, metric = done.to_frame(), done.columns[-1]
    theirs = frame[frame["by"] == "published"].set_index("model")[metric]
    for model, gap in done.gaps().set_index("model")[metric].items():
        headline(f"{metric}, {model}", theirs[model] + gap, beside="published", theirs=theirs[model], gap=[gap])


def main() -> None:
    parser = options(__doc__, quick="the smallest table only")
    parser.add_argument("--tune", action="store_true", help="try the settings of ALS anew, before the tables")
    parser.add_argument("--only", choices=list(TABLES))
    arguments = parser.parse_args()
    header(__doc__)
    folder = data_folder(*GRIDS)
    found = {}
    for name in [arguments.only] if arguments.only else list(GRIDS)[: 1 if arguments.quick else None]:
        if arguments.tune and name in GRIDS:
            tune(folder, name)
        done = om.worlds.reproduce(name, folder)
        print(f"\n{done}\n\nours minus published\n{done.gaps().round(4).to_string(index=False)}\n", flush=True)
        published(done)
        found[name] = done.to_frame().to_dict("records")
    if not arguments.quick:
        write("published", found)


if __name__ == "__main__":
    main()
