"""Learning: ALS beside the library implicit, EASE beside numpy.linalg.inv, and fold-in by rate and latency.

    OMNIRECO_DATA=/path/to/data python benchmarks/fit.py [--quick] [--repeats 3]

Peers run interleaved in one process on equal threads, BLAS on one thread; the numbers are medians of CPU seconds (of
all threads, so that a busy machine matters less) and of wall-clock seconds, and the ratio is the median of the
rounds' ratios. Equal quality is shown beside the time: the same loss from the same start, and recall on held-out
cells. ML-1M is read from OMNIRECO_DATA and left out without it; the large matrix is drawn here, with the size and
the long tail of ML-20M. Writes results/fit.json.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from _common import header, headline, left_out, options, own_log, write
from threadpoolctl import threadpool_limits

import omnireco as om
from omnireco._core.compute import usable_threads
from omnireco._kernels.als.least_squares import full_loss, learn
from omnireco.models.matrix.linear import _ridge_weights
from omnireco.models.matrix.squares import gram_matrix, is_single

CLASSIC = {"confidence_weights": True, "unobserved_weight": 1.0, "frequency_scaling": 0.0, "regularization": 0.01}


def movielens(folder: str) -> sp.csr_matrix:
    pairs = pd.read_parquet(Path(folder) / "movielens_1m_m1" / "interactions.parquet")
    return om.Interactions.from_frame(pairs[["user_id", "item_id"]], binary=True).to_scipy()


def power_law(n_users: int, n_items: int, mean: int, topics: int = 60, seed: int = 0) -> sp.csr_matrix:
    """Return a binary matrix: popularity falls as 1 / rank^0.9, and each person has three topics of their own."""
    draw = np.random.default_rng(seed)
    lengths = np.clip(draw.lognormal(np.log(mean) - 0.5, 1.1, n_users), 5, n_items // 8).astype(np.int64)
    user = np.repeat(np.arange(n_users), lengths)
    topic = np.sort(draw.integers(0, topics, n_items))
    mass = np.cumsum(draw.permutation(1 / np.arange(1, n_items + 1) ** 0.9))
    edges = np.searchsorted(topic, np.arange(topics + 1))
    low, high = np.r_[0.0, mass][edges[:-1]], np.r_[0.0, mass][edges[1:]]
    chosen = draw.integers(0, topics, (n_users, 3))[user, draw.integers(0, 3, user.size)]
    anywhere = draw.random(user.size) < 0.3
    start, stop = np.where(anywhere, 0, low[chosen]), np.where(anywhere, mass[-1], high[chosen])
    item = np.minimum(np.searchsorted(mass, start + (stop - start) * draw.random(user.size)), n_items - 1)
    matrix = sp.csr_matrix((np.ones(user.size, np.float32), (user, item)), (n_users, n_items))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def hold_out(matrix: sp.csr_matrix, share: float = 0.1) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    held = np.random.default_rng(1).random(matrix.nnz) < share
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    train, test = (
        sp.csr_matrix((matrix.data[part], (row[part], matrix.indices[part])), matrix.shape) for part in (~held, held)
    )
    return train, test


def recall(users: np.ndarray, items: np.ndarray, train: sp.csr_matrix, test: sp.csr_matrix, k: int = 20) -> float:
    """Return the mean share of held-out items found in the top k, over at most 5,000 people."""
    some = np.flatnonzero(np.diff(test.indptr))[:5000]
    codes, _ = om.models.topk(users[some], items, k=k, exclude=train[some])
    hits = [
        np.isin(test.indices[test.indptr[u] : test.indptr[u + 1]], c).mean() for u, c in zip(some, codes, strict=True)
    ]
    return float(np.mean(hits))


def timed(action: Callable[[], Any]) -> tuple[Any, float, float]:
    cpu, wall = process_time(), perf_counter()
    result = action()
    return result, process_time() - cpu, perf_counter() - wall


def bench_als(name: str, matrix: sp.csr_matrix, factors: int, sweeps: int, repeats: int) -> dict[str, Any]:
    from implicit.cpu.als import AlternatingLeastSquares

    train, test = hold_out(matrix)
    loss, threads = om.ALS(factors=factors, **CLASSIC)._loss(), usable_threads()
    draw = np.random.default_rng(0)
    start = [(draw.random((n, factors)) * 0.01).astype(np.float32) for n in train.shape]
    confidence = train.copy()
    confidence.data = 1 + train.data

    def peer() -> tuple[np.ndarray, np.ndarray]:
        learner = AlternatingLeastSquares(
            factors=factors, regularization=0.01, iterations=sweeps, num_threads=threads, random_state=0
        )
        learner.user_factors, learner.item_factors = (side.copy() for side in start)
        learner.fit(confidence, show_progress=False)
        return learner.user_factors, learner.item_factors

    def ours() -> tuple[np.ndarray, np.ndarray]:
        return learn(train, None, loss, *start, iterations=sweeps, threads=threads)

    learn(train[:50], None, loss, start[0][:50], start[1], iterations=1, threads=threads)  # compile
    rounds, found = [], {}
    with threadpool_limits(1):
        for _ in range(repeats):
            times = []
            for who, action in (("ours", ours), ("implicit", peer)):
                found[who], cpu, wall = timed(action)
                times += [cpu, wall]
            rounds.append(times)
    ours_cpu, _, peer_cpu, _ = np.median(rounds, axis=0)
    ratio = float(np.median([r[2] / r[0] for r in rounds]))
    return {
        "what": f"ALS {factors} x {sweeps} sweeps, {name}",
        "cells": int(train.nnz),
        "ours cpu s": ours_cpu,
        "peer cpu s": peer_cpu,
        "ratio cpu": ratio,
        "ratio wall": float(np.median([r[3] / r[1] for r in rounds])),
        "loss ours": full_loss(train, None, loss, *found["ours"]),
        "loss peer": full_loss(train, None, loss, *found["implicit"]),
        "recall ours": recall(*found["ours"], train, test),
        "recall peer": recall(*found["implicit"], train, test),
    }


def bench_ease(name: str, matrix: sp.csr_matrix, regularization: float, repeats: int) -> dict[str, Any]:
    """EASE from its Gram matrix, beside numpy.linalg.inv with all the threads it likes; and the whole fit."""
    wide = matrix.astype(np.float64)
    gram = (wide.T @ wide).toarray()

    def peer() -> np.ndarray:
        inverse = np.linalg.inv(gram + regularization * np.eye(len(gram)))
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0)
        return weights

    x = om.Interactions.from_scipy(matrix)
    om.EASE(regularization=regularization).fit(x)
    upper = gram_matrix(x.csr, np.float32 if is_single(x.csr, regularization) else np.float64)
    plain: dict[str, Any] = {"itself": (0.0, 0.0, 0.0), "threads": None, "progress": False}
    rounds = []
    for _ in range(repeats):
        mine, cpu, wall = timed(lambda: _ridge_weights(upper.copy(), regularization, **plain))
        their, peer_cpu, peer_wall = timed(peer)
        _, whole, _ = timed(lambda: om.EASE(regularization=regularization).fit(x))
        rounds.append([cpu, wall, peer_cpu, peer_wall, whole])
    cpu, _, peer_cpu, _, whole = np.median(rounds, axis=0)
    return {
        "what": f"EASE {matrix.shape[1]:,} items, {name}",
        "cells": int(matrix.nnz),
        "ours cpu s": cpu,
        "peer cpu s": peer_cpu,
        "ratio cpu": float(np.median([r[2] / r[0] for r in rounds])),
        "ratio wall": float(np.median([r[3] / r[1] for r in rounds])),
        "fit cpu s": whole,
        "largest difference of weights": float(np.abs(mine - their).max()),
    }


def bench_fold_in(factors: int, events: int, n_people: int, repeats: int) -> dict[str, Any]:
    """Rate of a batch, and latency of one person, through the public verbs; beside implicit's recalculate_user."""
    from implicit.cpu.als import AlternatingLeastSquares

    draw = np.random.default_rng(0)
    n_items = 20_000
    items = draw.normal(0, 0.2, (n_items, factors)).astype(np.float32)
    model = om.models.FactorModel.from_arrays(items)
    indices = np.sort(draw.integers(0, n_items, (n_people, events)), axis=1).ravel()
    cells = sp.csr_matrix(
        (np.ones(indices.size, np.float32), indices, np.arange(n_people + 1) * events), (n_people, n_items)
    )
    x = om.Interactions.from_scipy(cells)
    model.place(x.take(np.arange(200)))
    batch = [timed(lambda: model.place(x))[1:] for _ in range(repeats)]
    cpu, wall = np.median(batch, axis=0)
    with threadpool_limits(1):
        peer = AlternatingLeastSquares(factors=factors, regularization=0.01, num_threads=1)
        peer.item_factors = items
        confidence = x.csr.copy()
        confidence.data = 1 + confidence.data
        peer.recalculate_user(0, confidence[0])
        one, theirs = [], []
        for person in range(1000):
            row, alone = confidence[person], x.take(np.array([person]))
            one.append(timed(lambda alone=alone: model.place(alone))[2])
            theirs.append(timed(lambda person=person, row=row: peer.recalculate_user(person, row))[2])
    assert np.abs(peer.recalculate_user(999, row) - model.place(alone)[0]).max() < 1e-3
    return {
        "what": f"fold-in, {factors} factors, {events} events",
        "people per s": n_people / wall,
        "cpu us per person": 1e6 * cpu / n_people,
        "people per s of 2 free cores": 2 * n_people / cpu,
        "one person p50 us": 1e6 * float(np.median(one)),
        "one person p99 us": 1e6 * float(np.quantile(one, 0.99)),
        "implicit p50 us": 1e6 * float(np.median(theirs)),
    }


def main() -> None:
    parser = options(
        __doc__, quick="small sizes and few sweeps", data="user_id and item_id; ALS and EASE learn from it"
    )
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    machine = header(__doc__)
    quick = arguments.quick
    repeats = 1 if quick else arguments.repeats
    matrices, rows = {}, []
    if arguments.data is not None:
        own = om.Interactions.from_frame(own_log(arguments.data)[["user_id", "item_id"]], binary=True)
        matrices["own"] = (own.to_scipy(), 3 if quick else 15)
    elif folder := os.environ.get("OMNIRECO_DATA"):
        matrices["ML-1M"] = (movielens(folder), 3 if quick else 15)
    else:
        left_out("MovieLens-1M", "OMNIRECO_DATA is not set")
    large = power_law(8_000, 2_000, 80) if quick else power_law(140_000, 20_000, 100)
    matrices["power law"] = (large, 2 if quick else 8)
    for name, (matrix, _) in matrices.items():
        if min(matrix.shape) < 5_000:
            rows.append(bench_ease(name, hold_out(matrix)[0], 1000.0, repeats))
            print(_line(rows[-1]), flush=True)
    for factors in (64, 128):
        for events in (20,) if quick else (5, 20, 100):
            rows.append(bench_fold_in(factors, events, 2_000 if quick else 20_000, repeats))
            print(_line(rows[-1]), flush=True)
    for name, (matrix, sweeps) in matrices.items():
        for factors in (64, 128):
            rows.append(bench_als(name, matrix, factors, sweeps, repeats))
            print(_line(rows[-1]), flush=True)
    for row in rows:
        if "peer cpu s" in row:
            peer = "numpy.linalg.inv" if row["what"].startswith("EASE") else "implicit"
            ours, theirs = row["ours cpu s"], row["peer cpu s"]
            headline(row["what"], ours, "CPU s", beside=peer, theirs=theirs, ratio=row["ratio cpu"])
        else:
            ours, theirs, what = row["one person p50 us"], row["implicit p50 us"], f"{row['what']}, one person"
            headline(what, ours, "us", beside="implicit", theirs=theirs, ratio=theirs / ours)
    if not quick:
        write("fit", {"machine": machine, "rows": rows})


def _line(row: dict[str, Any]) -> str:
    parts = [f"{name} {value:,.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()]
    return " | ".join(parts).removeprefix("what ")


if __name__ == "__main__":
    main()
