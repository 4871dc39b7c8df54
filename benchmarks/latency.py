"""One person against all items: how long an answer takes, beside implicit, faiss and hnswlib with recall.

Run: env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/latency.py [--quick] [--json FILE]

CPU time of one call on one thread, in microseconds: p50 and p99 over people, engines interleaved. Filtered:
every person has 50 items that must not return.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from topk import factors

from omnireco._kernels.topk import exact as engine

GATE_US, GATE_TIMES = 110.0, 8.0


def engines(users, items, seen, k):
    """Return name -> callable(person) -> codes for everything that can be imported."""
    index = engine.ItemIndex(items)
    indptr = np.array([0, seen.shape[1]])
    answers = {}
    for tier in engine._available():
        answers[f"omnireco {tier}"] = lambda u, tier=tier: engine._topk(
            users[u : u + 1], index, k, (indptr, seen[u]), None, None, 1, tier
        )[0][0]
    try:
        from implicit.cpu.topk import topk as implicit_topk
        from scipy import sparse

        rows = [
            sparse.csr_matrix((np.ones(seen.shape[1], np.float32), row, indptr), shape=(1, len(items))) for row in seen
        ]
        answers["implicit"] = lambda u: implicit_topk(
            items, users[u : u + 1], k, filter_query_items=rows[u], num_threads=1
        )[0][0]
    except ImportError:
        pass
    try:
        import faiss

        faiss.omp_set_num_threads(1)
        flat = faiss.IndexFlatIP(items.shape[1])
        flat.add(items)

        def faiss_answer(u):
            return _drop(flat.search(users[u : u + 1], k + 50)[1][0], seen[u], k)

        answers["faiss flat, over-fetch"] = faiss_answer
    except ImportError:
        pass
    try:
        import hnswlib

        graph = hnswlib.Index(space="ip", dim=items.shape[1])
        graph.init_index(max_elements=len(items), ef_construction=200, M=16)
        graph.add_items(items)
        graph.set_num_threads(1)
        graph.set_ef(200)
        answers["hnswlib ef 200, over-fetch"] = lambda u: _drop(
            graph.knn_query(users[u : u + 1], k=k + 50)[0][0], seen[u], k
        )
    except ImportError:
        pass
    return answers


def _drop(codes, seen, k):
    return codes[~np.isin(codes, seen)][:k]


def measure(m, kind, k, calls):
    """Time every engine, one person at a time, interleaved."""
    rng = np.random.default_rng(11)
    users, items = factors(kind, calls, m, 64, rng)
    seen = np.sort(rng.integers(0, m, (calls, 50)), axis=1).astype(np.int32)
    answers = engines(users, items, seen, k)
    truth, _ = engine._topk(users, items, k, (np.arange(calls + 1) * 50, seen.ravel()), None, None, None, engine.tier())
    times, found = {name: [] for name in answers}, dict.fromkeys(answers, 0)
    for answer in answers.values():
        answer(0)
        answer(1)
    for u in range(calls):
        for name, answer in answers.items():
            started = time.process_time_ns()
            codes = answer(u)
            times[name].append((time.process_time_ns() - started) / 1e3)
            found[name] += len(np.intersect1d(codes, truth[u]))
    return [
        {
            "items": m,
            "kind": kind,
            "k": k,
            "engine": name,
            "p50_us": float(np.percentile(t, 50)),
            "p99_us": float(np.percentile(t, 99)),
            "best_us": float(np.min(t)),
            "recall": found[name] / (calls * k),
        }
        for name, t in times.items()
    ]


def _verdict(what, value, gate, reached):
    return f"{'reached' if reached else 'MISSED':8} {what:32} {value:8.1f}  (gate {gate})"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100k items only, few calls")
    parser.add_argument("--json", default="benchmarks/results/latency.json")
    options = parser.parse_args()
    rows = []
    print(f"tier {engine.tier()}; K = 10, 64 factors, 50 items excluded; CPU microseconds of one call")
    print(
        f"{'items':>9} {'factors':13} {'engine':28} {'p50':>9} {'p99':>9} {'best':>9} {'recall':>7} {'x implicit':>10}"
    )
    for m in (100_000,) if options.quick else (100_000, 1_000_000):
        for kind in ("iid", "trained-like"):
            part = measure(m, kind, 10, 60 if options.quick else 200 if m < 1_000_000 else 40)
            base = next((r["p50_us"] for r in part if r["engine"] == "implicit"), np.nan)
            for row in part:
                row["times_implicit"] = base / row["p50_us"]
                rows.append(row)
                print(
                    f"{m:9d} {kind:13} {row['engine']:28} {row['p50_us']:9.1f} {row['p99_us']:9.1f} "
                    f"{row['best_us']:9.1f} {row['recall']:7.3f} {row['times_implicit']:10.2f}",
                    flush=True,
                )
    best = f"omnireco {engine.tier()}"
    mine = next(r for r in rows if r["engine"] == best and r["kind"] == "iid")
    lines = [
        _verdict("100k items iid, p50 us", mine["p50_us"], GATE_US, mine["p50_us"] <= GATE_US),
        _verdict(
            "100k items iid, times implicit", mine["times_implicit"], GATE_TIMES,
            mine["times_implicit"] >= GATE_TIMES,
        ),
    ]  # fmt: skip
    print("\n".join(lines))
    path = Path(options.json)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"quick": options.quick, "rows": rows, "gates": lines}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
