"""Everybody for every item: the exact top-K engine beside its peers, interleaved in one process.

Run: env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/topk.py [--quick] [--json FILE]

Times are CPU time per user on one thread (medians of interleaved repetitions), since other work on the
machine moves wall time more than the engine does. Absolute numbers belong to the machine; ratios travel.
"""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from omnireco._kernels.topk import exact as engine

SIZES = {"a": (20_000, 20_000, 64), "b": (100_000, 50_000, 128), "c": (10_000, 1_000_000, 64)}
USERS = {"a": 2_400, "b": 960, "c": 96}
GATES = {  # times implicit, and times the float32 product alone: section 5 of the methods file
    ("a", 10): (6.0, 0.65),
    ("b", 10): (6.0, 0.45),
    ("c", 10): (10.0, 0.30),
    ("a", 100): (5.0, None),
    ("b", 100): (3.5, None),
}
STRETCH = {("a", 10): 10.0, ("b", 100): 6.0}
TIER_GATES = {"numba": (2.0, 3.0), "numpy": (1.4, 1.7)}


def factors(kind, n, m, d, rng):
    """Gaussian factors, or factors shaped like trained ones: few strong directions, popular items long."""
    users, items = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    if kind == "trained-like":
        strength = np.arange(1, d + 1) ** -0.75
        users, items = users * strength, items * strength
        items *= (rng.permutation(m)[:, None] + 10.0) ** -0.5
    return users.astype(np.float32), items.astype(np.float32)


def gemm(users, items, block=(504, 1024)):
    """Multiply all blocks and forget them: the floor of any design that starts with the product."""
    out = np.empty(block, np.float32)
    for u in range(0, len(users), block[0]):
        for i in range(0, len(items), block[1]):
            a, b = users[u : u + block[0]], items[i : i + block[1]]
            np.matmul(a, b.T, out=out[: len(a), : len(b)])


def argpartition(users, items, k, seen):
    """What many a notebook does: product, mask, argpartition, sort."""
    for first in range(0, len(users), 256):
        scores = users[first : first + 256] @ items.T
        part = seen[first : first + 256]
        scores[np.repeat(np.arange(len(scores)), np.diff(part.indptr)), part.indices] = -np.inf
        top = np.argpartition(-scores, k, axis=1)[:, :k]
        np.take_along_axis(top, np.argsort(-np.take_along_axis(scores, top, 1), 1, kind="stable"), 1)


def peers(users, items, k, seen):
    """Return name -> callable for everything that can be imported."""
    runs = {
        "GEMM alone": lambda: gemm(users, items),
        "numpy argpartition": lambda: argpartition(users, items, k, seen),
    }
    try:
        from implicit.cpu.topk import topk as implicit_topk

        runs["implicit"] = lambda: implicit_topk(items, users, k, filter_query_items=seen, num_threads=1)
    except ImportError:
        pass
    try:
        import faiss

        faiss.omp_set_num_threads(1)
        flat = faiss.IndexFlatIP(items.shape[1])
        flat.add(items)
        runs["faiss flat (no filter)"] = lambda: flat.search(users, k)
    except ImportError:
        pass
    try:
        import torch

        torch.set_num_threads(1)
        left, right = torch.from_numpy(users.copy()), torch.from_numpy(items.copy())

        def torch_topk():
            for first in range(0, len(users), 256):
                torch.topk(left[first : first + 256] @ right.T, k)

        runs["torch mm + topk (no filter)"] = torch_topk
    except ImportError:
        pass
    return runs


def added_memory(run):
    """Return by how many MB a call lifts the resident memory of the process at its peak (Linux only)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before = _status("VmRSS")
        run()
        return (_status("VmHWM") - before) / 1024
    except OSError:
        return float("nan")


def _status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def measure(size, k, kind, repetitions, quick):
    """Time every engine on one problem; return rows of results."""
    _, m, d = SIZES[size]
    n = USERS[size] // (4 if quick else 1)
    m = m // (5 if quick else 1)
    rng = np.random.default_rng(7)
    users, items = factors(kind, n, m, d, rng)
    seen = sparse.csr_matrix(
        (np.ones(n * 50, np.float32), rng.integers(0, m, n * 50), np.arange(n + 1) * 50), shape=(n, m)
    )
    seen.sum_duplicates()
    started = time.process_time()
    index = engine.ItemIndex(items)
    built = time.process_time() - started
    runs = {
        f"omnireco {tier}": lambda tier=tier: engine._topk(users, index, k, seen, None, None, 1, tier)
        for tier in engine._available()
    }
    runs |= peers(users, items, k, seen)
    for tier in engine._available():  # compile and fill caches outside the clock
        engine._topk(users[:50], index, k, seen[:50], None, None, 1, tier)
    times = {name: [] for name in runs}
    with threadpool_limits(1):
        for _ in range(repetitions):
            for name, run in runs.items():
                started = time.process_time()
                run()
                times[name].append(time.process_time() - started)
        memory = {name: added_memory(run) for name, run in runs.items()}
    base = np.median(times["implicit"]) if "implicit" in times else np.nan
    floor = np.median(times["GEMM alone"])
    return [
        {
            "size": size,
            "users": n,
            "items": m,
            "factors": d,
            "k": k,
            "kind": kind,
            "engine": name,
            "us_per_user": 1e6 * float(np.median(seconds)) / n,
            "users_per_second": n / float(np.median(seconds)),
            "times_implicit": float(base / np.median(seconds)),
            "of_gemm": float(np.median(seconds) / floor),
            "added_mb": memory[name],
            "index_seconds": built,
        }
        for name, seconds in times.items()
    ]


def verdicts(rows):
    """Say for each gate whether it was reached."""
    found = {(r["size"], r["k"], r["kind"], r["engine"]): r for r in rows}
    best = f"omnireco {engine.tier()}"
    lines = []
    for (size, k), (times, of_gemm) in GATES.items():
        row = found.get((size, k, "iid", best))
        if row is None:
            continue
        name = f"({size}) K={k} iid, times implicit"
        lines.append(_verdict(name, row["times_implicit"], times))
        if (size, k) in STRETCH:
            lines.append(_verdict(f"{name}, stretch", row["times_implicit"], STRETCH[size, k]))
        if of_gemm is not None:
            lines.append(_verdict(f"({size}) K={k} iid, of the GEMM", row["of_gemm"], of_gemm, below=True))
    for tier, (gate, stretch) in TIER_GATES.items():
        row = found.get(("a", 10, "iid", f"omnireco {tier}"))
        if row is not None:
            name = f"(a) K=10 iid, tier {tier}, times implicit"
            lines.append(_verdict(name, row["times_implicit"], gate))
            lines.append(_verdict(f"{name}, stretch", row["times_implicit"], stretch))
    return lines


def _verdict(what, value, gate, *, below=False):
    reached = value <= gate if below else value >= gate
    sign = "<=" if below else ">="
    return f"{'reached' if reached else 'MISSED':8} {what:48} {value:7.2f}  (gate {sign} {gate})"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small problems, two repetitions")
    parser.add_argument("--sizes", default="abc")
    parser.add_argument("--json", default="benchmarks/results/topk.json")
    options = parser.parse_args()
    rows = []
    names = f"numpy {np.__version__}; python {platform.python_version()}; {os.cpu_count()} cores"
    print(f"tier {engine.tier()}; {names}")
    print(
        f"{'size':4} {'K':>4} {'factors':13} {'engine':28} {'us/user':>9} {'users/s':>9} {'x implicit':>10} "
        f"{'of GEMM':>8} {'MB':>7}"
    )
    for size in options.sizes:
        for kind in ("iid", "trained-like"):
            for k in (10, 100):
                if size == "c" and k == 100:
                    continue
                repetitions = 2 if options.quick or size == "c" else 3
                for row in measure(size, k, kind, repetitions, options.quick):
                    rows.append(row)
                    print(
                        f"{size:4} {k:4d} {kind:13} {row['engine']:28} {row['us_per_user']:9.1f} "
                        f"{row['users_per_second']:9.0f} {row['times_implicit']:10.2f} {row['of_gemm']:8.2f} "
                        f"{row['added_mb']:7.1f}",
                        flush=True,
                    )
    print()
    lines = verdicts(rows)
    print("\n".join(lines))
    path = Path(options.json)
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {"quick": options.quick, "tier": engine.tier(), "rows": rows, "gates": lines}
    path.write_text(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
