"""Every list model at the size of a public log of places: quality, CPU seconds and peak memory, one process each.

    python benchmarks/places.py [--people 29858] [--items 40981] [--only ALS ItemKNN] [--quick]

The log is drawn, for Gowalla's own may not be at hand: people and places have a position in one of many towns, places
a popularity with a heavy tail and a kind, people a taste for kinds, some trips to other towns, and a tenth of visits to
places that everybody knows. Sizes, lengths of histories and the order of models are Gowalla's; the numbers are not. A
fifth of each person's places is the test. Seconds are CPU seconds of the fit, memory is the peak of the fit.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import numpy as np
import scipy.sparse as sp
from _common import header, headline, left_out, options, write

import omnireco as om

KINDS, TRIPS, KNOWN, NEAR, TASTE = 24, 0.25, 0.10, 3.2, 1.1
K = 20
LIGHT = om.EASE(neighbors=100, dropout=0.25, user_power=0.5)
MODELS = {
    "Popularity": om.Popularity(),
    "ItemKNN": om.ItemKNN(),
    "RP3beta": om.models.RP3beta(),
    "ALS": om.ALS(),
    "ALS(factors=128)": om.ALS(factors=128),
    "UserKNN": om.models.UserKNN(),
    "EASE(neighbors=100)": om.EASE(neighbors=100),
    "EASE(neighbors=100, dropout=0.25, user_power=0.5)": LIGHT,
    "Blend of that EASE, ALS, UserKNN": om.Blend(
        models={"ease": LIGHT, "als": om.ALS(factors=128), "users": om.models.UserKNN()}
    ),
    "GFCF(dense=False)": om.models.GFCF(dense=False),
    "EASE": om.EASE(),
    "Blend": om.Blend(),
}


def drawn(n_users: int, n_items: int, seed: int = 0) -> sp.csr_matrix:
    """Return visits (n_users, n_items) of people who live somewhere; 37 a person on average, ten at least."""
    rng = np.random.default_rng(seed)
    n_towns = max(4, n_items // 300)
    size = np.arange(1, n_towns + 1) ** -0.9
    size /= size.sum()
    town, home = np.sort(rng.choice(n_towns, n_items, p=size)), rng.choice(n_towns, n_users, p=size)
    place, person = rng.normal(size=(n_items, 2)), rng.normal(size=(n_users, 2))
    kind, taste = rng.integers(0, KINDS, n_items), np.exp(TASTE * rng.normal(size=(n_users, KINDS)))
    popular = np.exp(0.8 * rng.normal(size=n_items)) * (rng.pareto(2.2, n_items) + 1)
    length = np.exp(0.95 * rng.normal(size=n_users))
    length = np.minimum(np.round(10 + length / length.mean() * 27.5), n_items // 4).astype(int)
    first = np.searchsorted(town, np.arange(n_towns + 1))
    known = np.argsort(-popular)[: max(20, n_items // 100)]
    rows, columns = [], []
    for user in range(n_users):
        visits = rng.multinomial(length[user], [1 - TRIPS - KNOWN, TRIPS * 0.7, TRIPS * 0.3, KNOWN])
        mine = [rng.choice(known, min(visits[3], known.size), replace=False, p=popular[known] / popular[known].sum())]
        for number, one in enumerate((home[user], *rng.choice(n_towns, 2, p=size))):
            here = slice(first[one], first[one + 1])
            n = min(int(visits[number]), here.stop - here.start)
            if n:
                stay = person[user] if number == 0 else rng.normal(size=2)
                far = np.sqrt(((place[here] - stay) ** 2).sum(1)) * np.sqrt(here.stop - here.start) / 12
                liking = np.log(popular[here] * taste[user, kind[here]]) - far / NEAR
                mine.append(here.start + np.argsort(-liking - rng.gumbel(size=liking.size), kind="stable")[:n])
        chosen = np.unique(np.concatenate(mine))
        rows.append(np.full(chosen.size, user))
        columns.append(chosen)
    ones = np.ones(sum(map(len, rows)), np.float32)
    return sp.csr_matrix((ones, (np.concatenate(rows), np.concatenate(columns))), (n_users, n_items))


def halves(x: sp.csr_matrix, seed: int = 0) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Return training and test cells, a fifth of each person's."""
    lengths = np.diff(x.indptr)
    person = np.repeat(np.arange(x.shape[0]), lengths)
    order = np.lexsort((np.random.default_rng(seed).random(x.nnz), person))
    out = np.zeros(x.nnz, np.bool_)
    out[order] = np.arange(x.nnz) - np.repeat(x.indptr[:-1], lengths) < np.repeat(lengths // 5, lengths)
    cells = x.tocoo()
    return tuple(
        sp.csr_matrix((np.ones(int(side.sum()), np.float32), (cells.row[side], cells.col[side])), x.shape)
        for side in (~out, out)
    )


def one(name: str, folder: Path, people: int = 5_000) -> dict[str, Any]:
    """Fit one model in this process and ask it for people drawn."""
    train, test = (sp.load_npz(folder / f"{side}.npz") for side in ("train", "test"))
    x, later = (om.Interactions.from_scipy(side) for side in (train, test))
    asked = np.sort(np.random.default_rng(1).choice(train.shape[0], min(people, train.shape[0]), replace=False))
    cpu = process_time()
    model = MODELS[name].fit(x)
    row = {"model": name, "cpu_s": process_time() - cpu}
    row["gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    lists = {"m": model.recommend(x.take(asked), k=K)}
    report = om.evaluate(lists, later.take(asked), k=K, metrics=[om.recall, om.ndcg], n_bootstrap=0)
    return row | dict(zip(("recall", "ndcg"), (float(cell.mean) for cell in report.cells), strict=True))


def main() -> None:
    parser = options(__doc__, quick="600 people, 500 places, four models")
    parser.add_argument("--people", type=int, default=29_858)
    parser.add_argument("--items", type=int, default=40_981)
    parser.add_argument("--only", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--one", nargs=2, help="a model and a folder: fit it in this process")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one(asked.one[0], Path(asked.one[1]))))
        return
    found, rows = header(__doc__), []
    names = ["Popularity", "ItemKNN", "ALS", "EASE(neighbors=100)"] if asked.quick else asked.only
    x = drawn(600, 500) if asked.quick else drawn(asked.people, asked.items)
    with TemporaryDirectory() as folder:
        for side, cells in zip(("train", "test"), halves(x), strict=True):
            sp.save_npz(Path(folder) / f"{side}.npz", cells)
        print(f"{x.shape[0]:,} people, {x.shape[1]:,} places, {x.nnz:,} cells")
        for name in names:
            call = [sys.executable, __file__, "--one", name, folder]
            answer = subprocess.run(call, capture_output=True, text=True, check=False)
            if answer.returncode:
                left_out(name, answer.stderr.strip().splitlines()[-1])
                continue
            rows.append(json.loads(answer.stdout.strip().splitlines()[-1]))
            print(
                "  " + "  ".join(f"{k} {v:.4f}" if isinstance(v, float) else v for k, v in rows[-1].items()), flush=True
            )
    for row in rows:
        headline(f"NDCG@{K}, {x.shape[1]:,} places, {row['model']}", row["ndcg"])
        headline(f"fit, {x.shape[1]:,} places, {row['model']}", row["cpu_s"], "CPU s")
    if not asked.quick:
        write("places", {"machine": found, "rows": rows})


if __name__ == "__main__":
    main()
