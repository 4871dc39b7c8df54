"""Published tables on fixed splits, in one command: settings chosen inside train, then the test, once.

    OMNIRECO_DATA=/path/to/data python benchmarks/published.py [--only movielens_1m_m1] [--as-stated]

Tables, sources and published settings stand in omnireco/worlds/published.py; om.worlds.reproduce runs them. Rows with
a published setting keep it. All others are chosen here, and printed, on a part of the training side: a random tenth of
the pairs (a fifth of MCRec's), on which every setting of GRIDS is tried, then the weights of the blend
(om.evaluation.learn_blend); of the sequences the last but one item. Then each table is run on its test with what was
chosen. --as-stated leaves the search out and takes the settings that stand there. Writes results/published.json.
"""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _common import data_folder, header, headline, options, write

import omnireco as om
from omnireco.worlds.published import DECAYED, TABLES, Mix
from omnireco.worlds.reproduce import fit_sequences, read_sequences, sequence_gains

GRIDS: dict[str, dict[str, tuple[Any, dict[str, list[Any]]]]] = {
    "movielens_100k_mcrec": {
        "ALS": (
            om.ALS(),
            {
                "factors": [32, 64, 128],
                "unobserved_weight": [0.1, 0.2, 0.4],
                "regularization": [0.005, 0.01, 0.02, 0.03, 0.04],
            },
        ),
        "GFCF": (om.models.GFCF(), {"factors": [32, 64, 128], "low_pass": [0.1, 0.3, 1.0]}),
    },
    "movielens_1m_m1": {
        "EASE": (om.EASE(), {"regularization": [200, 500, 1000, 2000]}),
        "ALS": (
            om.ALS(),
            {"factors": [128, 256], "unobserved_weight": [0.1, 0.2, 0.4], "regularization": [0.005, 0.01, 0.02]},
        ),
        "GFCF": (om.models.GFCF(), {"factors": [64, 128], "low_pass": [0.3, 1.0]}),
        "UserKNN": (om.models.UserKNN(), {"neighbors": [100, 200]}),
    },
}
SHARES = {"movielens_100k_mcrec": 0.2, "movielens_1m_m1": 0.1}
BLENDED = ("movielens_1m_m1",)
GOALS = {
    ("movielens_1m_m1", "Blend", "recall@20"): 0.2874,
    ("movielens_1m_m1", "Blend", "ndcg@20"): 0.2746,
    ("amazon_toys_seq", "NextItem + 0.5 x EASE", "ndcg@10"): 0.0661,
}


def chosen(folder: Path, name: str) -> dict[str, Any]:
    """Return the rows of a table of pairs: published settings as they stand, all others by a part of train."""
    table, rows = TABLES[name], dict(TABLES[name].ours)
    pairs = pd.read_parquet(folder / name / "interactions.parquet").query("split == 'train'")
    held_out = np.random.default_rng(0).random(len(pairs)) < SHARES[name]
    x = om.Interactions.from_frame(pairs.loc[~held_out, ["user_id", "item_id"]], binary=True)
    held = pairs.loc[held_out, ["user_id", "item_id"]]
    held = held[held["item_id"].isin(x.items.ids) & held["user_id"].isin(x.users.ids)]
    members, metrics = {}, list(table.metrics.values())[-1:]
    for row, (start, grid) in GRIDS[name].items():
        tried = []
        for setting in itertools.product(*grid.values()):
            estimator = start.replace(**dict(zip(grid, setting, strict=True)))
            lists = {"m": estimator.fit(x).recommend(x, k=table.k)}
            value = om.evaluate(lists, held, k=table.k, metrics=metrics, n_bootstrap=0).cells[0].mean
            tried.append((float(value), estimator))
        value, best = max(tried, key=lambda pair: pair[0])
        worst = min(one for one, _ in tried)
        print(f"  {row}: {best} with {value:.4f} on held-out pairs, of {len(tried)} from {worst:.4f}", flush=True)
        members[row.lower()] = best
        rows[f"{row}, chosen" if row in rows and row in ("EASE",) else row] = best
    if name in BLENDED:
        later = om.Interactions.from_frame(held, binary=True).with_items(x.items)
        found = om.evaluation.learn_blend(om.Blend(models=members), x, later, k=table.k)
        print(f"  Blend: {found}", flush=True)
        rows["Blend"] = found.estimator
    return rows


def mixes(folder: Path, name: str, people: int = 3_000) -> None:
    """Print what mixes of the two models give on the last but one item of some people."""
    train, known, target = read_sequences(folder / name / "sequences.parquet", back=1)
    some = np.sort(np.random.default_rng(0).choice(known.n_users, people, replace=False))
    parts, histories = fit_sequences(TABLES[name], train)[0], known.matrix(DECAYED).take(some)
    for mix in (0.0, 0.25, 0.5, 1.0):
        value = sequence_gains(parts, Mix(1.0, mix), histories, target, k=10)[:, 1].mean()
        print(f"  last but one item of {people:,}, NextItem + {mix:g} x EASE: NDCG@10 {value:.4f}", flush=True)


def published(done: Any) -> None:
    """Say the last metric of each model that was published, and what has a goal, as headlines."""
    frame, metric = done.to_frame(), done.columns[-1]
    theirs = frame[frame["by"] == "published"].set_index("model")[metric]
    for model, gap in done.gaps().set_index("model")[metric].items():
        headline(f"{metric}, {model}", theirs[model] + gap, beside="published", theirs=theirs[model], gap=[gap])
    ours = frame[frame["by"] == "ours"].set_index("model")
    for (name, row, column), least in GOALS.items():
        if name == done.name and row in ours.index:
            headline(f"{column}, {name}, {row}", float(ours.loc[row, column]), goal=f">= {least}")


def main() -> None:
    parser = options(__doc__, quick="the smallest table only, as stated")
    parser.add_argument("--as-stated", action="store_true", help="no search: the settings that stand in the library")
    parser.add_argument("--only", choices=list(TABLES))
    asked = parser.parse_args()
    header(__doc__)
    warnings.simplefilter("ignore", om.errors.DataWarning)
    names = [asked.only] if asked.only else list(GRIDS)[:1] if asked.quick else list(TABLES)
    needed = [one if one != "movielens_100k_sar" else "movielens_100k" for one in names]
    folder, found = data_folder(*needed), {}
    for name in names:
        print(f"\n{name}", flush=True)
        models: Any = None
        if not (asked.as_stated or asked.quick):
            if name in GRIDS:
                models = chosen(folder, name)
            elif TABLES[name].kind == "sequence":
                mixes(folder, name)
        done = om.worlds.reproduce(name, folder, models=models)
        print(f"\n{done}\n\nours minus published\n{done.gaps().round(4).to_string(index=False)}\n", flush=True)
        published(done)
        found[name] = done.to_frame().to_dict("records")
        if not asked.quick:
            write("published", found)


if __name__ == "__main__":
    main()
