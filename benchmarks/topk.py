"""Exact top-K: every tier of this machine beside implicit, faiss, usearch, torch and the float32 product alone.

Run: env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/topk.py [--quick] [--sizes abc] [--data LOG]
     [--json FILE]

CPU time per user on one thread, engines interleaved in one process, medians, since other work on the machine moves wall
time more than the engine does. Absolute numbers belong to the machine; ratios travel. Lower tiers are forced. To see
the AVX2 tier as a processor without AVX-512 runs it, set NUMBA_CPU_NAME=znver3 and NUMBA_CPU_FEATURES to that
processor's.

Rows: K = 10 and K = 100 with 50 excluded items a person; K = 10 with 500; K = 10 with a tenth of the items eligible, in
four groups of people. Factors: "iid" Gaussian, the worst case for stopping early; "steep", a few strong directions and
norms that fall; "trained", by ALS on a log with popular items, or on yours (--data: parquet or CSV with user_id and
item_id). Peers without filters (*) are flattered: they answer without exclusions.
"""

import os
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _common import header, headline, left_out, own_log, plainly, write
from _common import options as options_of
from scipy import sparse
from threadpoolctl import threadpool_limits

from omnireco._kernels.topk import exact as engine
from omnireco._kernels.topk.tiers import available, tier

SIZES = {"a": (20_000, 64), "b": (50_000, 128), "c": (1_000_000, 64)}
USERS = {"a": 1_200, "b": 480, "c": 48, "data": 1_200}
FEW = 48  # people whom slow peers answer
CASES = {
    "K10": (10, 50, False),
    "K100": (100, 50, False),
    "K10, 500 excluded": (10, 500, False),
    "K10, groups": (10, 50, True),
}
GATES = {  # tier, size, case: times implicit at least, and of the float32 product at most
    ("int8-vnni", "a", "K10"): (6.0, 0.65),
    ("int8-vnni", "b", "K10"): (6.0, 0.45),
    ("int8-vnni", "c", "K10"): (10.0, 0.30),
    ("int8-avx2", "a", "K10"): (4.5, 0.9),
    ("int8-avx2", "b", "K10"): (4.5, 0.5),
    ("int8-avx2", "c", "K10"): (6.5, 0.4),
    ("int8-avx2", "a", "K100"): (5.0, None),
    ("int8-avx2", "b", "K100"): (3.5, None),
    ("int8-avx2", "c", "K100"): (5.0, None),
    ("numba", "a", "K10"): (2.0, None),
    ("numpy", "a", "K10"): (1.4, None),
}
TRAINED_GATES = {("int8-avx2", "a"): 12.0, ("int8-avx2", "b"): 7.0}


def factors(kind, n, m, d, rng):
    """Return float32 factors (n, d) and (m, d)."""
    if kind == "trained":
        return trained(n, d, synthetic_log(m, rng))
    users, items = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    if kind == "steep":
        strength = np.arange(1, d + 1) ** -0.75
        users, items = users * strength, items * strength * np.exp(0.6 * rng.standard_normal((m, 1)))
    return users.astype(np.float32), items.astype(np.float32)


def synthetic_log(m, rng, people=30_000, each=30):
    """Return a matrix of who had what: popular items, and tastes."""
    taste, kinds = rng.integers(0, 40, people), rng.integers(0, 40, m)
    popular = (rng.permutation(m) + 20.0) ** -0.8
    rows, columns = [], []
    for group in range(40):
        here = np.flatnonzero(taste == group)
        chance = popular * np.where(kinds == group, 20.0, 1.0)
        columns.append(rng.choice(m, here.size * each, p=chance / chance.sum()))
        rows.append(np.repeat(here, each))
    cells = np.ones(people * each, np.float32)
    return sparse.csr_matrix((cells, (np.concatenate(rows), np.concatenate(columns))), (people, m))


def trained(n, d, matrix):
    """Return factors of ALS, of n people and of all items."""
    import omnireco as om

    x = om.Interactions.from_scipy(matrix)
    model = om.ALS(factors=d, iterations=5, seed=1).fit(x, threads=1)
    return model.place(x, threads=1)[:n], model.factors


def read(path):
    """Return the matrix of a user's own log."""
    import omnireco as om

    with plainly(path):
        return om.Interactions.from_frame(own_log(path)[["user_id", "item_id"]]).csr


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


def faiss_searches(items, k, faiss):
    """Return name -> search(users) of the faiss indices; codes in the first place of what they return."""
    faiss.omp_set_num_threads(1)
    d = items.shape[1]
    found = {"faiss flat*": faiss.IndexFlatIP(d)}
    if hasattr(faiss, "IndexFlatIPPanorama"):
        found["faiss Panorama*"] = faiss.IndexFlatIPPanorama(d, 8)
    coarse = faiss.IndexScalarQuantizer(d, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    coarse.train(items)
    found["faiss SQ8 + refine*"] = faiss.IndexRefineFlat(coarse)
    found["faiss SQ8 + refine*"].k_factor = 4
    for index in found.values():
        index.add(items)
    return {name: lambda users, index=index: index.search(users, k)[1] for name, index in found.items()}


def searches(items, k):
    """Return name -> search(users) -> codes of libraries that filter nothing, and name -> why one is missing."""
    found, missing = {}, {}
    try:
        import faiss

        found |= faiss_searches(items, k, faiss)
    except ImportError as why:
        missing["faiss"] = str(why)
    try:
        from usearch.index import MetricKind
        from usearch.index import search as usearch

        found["usearch exact*"] = lambda users: usearch(items, users, k, MetricKind.IP, exact=True, threads=1).keys
    except ImportError as why:
        missing["usearch"] = str(why)
    try:
        import torch

        torch.set_num_threads(1)
        right = torch.from_numpy(items.copy())

        def torch_topk(users):
            left = torch.from_numpy(users.copy())
            return np.concatenate(
                [torch.topk(left[at : at + 256] @ right.T, k).indices.numpy() for at in range(0, len(left), 256)]
            )

        found["torch mm + topk*"] = torch_topk
    except ImportError as why:
        missing["torch"] = str(why)
    return found, missing


def implicit_topk(users, items, k, seen):
    """Return codes of implicit, seen items filtered."""
    from implicit.cpu.topk import topk

    return topk(items, users, k, filter_query_items=seen, num_threads=1)[0]


def measure(size, case, kind, users, items, repetitions):
    """Time every engine on one problem; return rows of results."""
    k, excluded, grouped = CASES[case]
    n, m = len(users), len(items)
    rng = np.random.default_rng(7)
    if k > m // 3:  # one's own catalogue may be small
        k = max(1, m // 3)
        case = f"K{k}{case[case.find(',') :] if ',' in case else ''}"
    excluded = min(excluded, m // 3)
    seen = sparse.csr_matrix(
        (np.ones(n * excluded, np.float32), rng.integers(0, m, n * excluded), np.arange(n + 1) * excluded), shape=(n, m)
    )
    seen.sum_duplicates()
    eligible = (rng.random((4, m)) < 0.1, rng.integers(0, 4, n)) if grouped else None
    index = engine.ItemIndex(items)
    people = {}
    runs = {
        f"omnireco {name}": lambda name=name: engine._topk(users, index, k, seen, eligible, None, 1, name)
        for name in available()
    }
    runs |= {
        "GEMM alone": lambda: gemm(users, items),
        "numpy argpartition": lambda: argpartition(users, items, k, seen),
    }
    plain, missing = ({}, {}) if grouped or excluded > 50 else searches(items, k)
    recall = {}
    for name, search in plain.items():
        few = users if name.startswith("torch") else users[:FEW]
        people[name] = len(few)
        runs[name] = lambda search=search, few=few: search(few)
        truth = engine._topk(users[:FEW], index, k, None, None, None, 1, available()[0])[0]
        got = np.asarray(search(users[:FEW]))
        recall[name] = np.mean([np.isin(a, b).mean() for a, b in zip(truth, got, strict=True)])
    try:
        implicit_topk(users[:2], items, k, seen[:2])
        runs["implicit"] = lambda: implicit_topk(users, items, k, seen)
    except ImportError as why:
        missing["implicit"] = str(why)
    times = {name: [] for name in runs}
    with threadpool_limits(1):
        for name in available():  # compile and fill caches outside the clock
            engine._topk(users[:50], index, k, seen[:50], None, None, 1, name)
        for _ in range(repetitions):
            for name, run in runs.items():
                started = time.process_time()
                run()
                times[name].append((time.process_time() - started) / people.get(name, n))
    base = np.median(times["implicit"]) if "implicit" in times else np.nan
    floor = np.median(times["GEMM alone"])
    rows = [
        {
            "size": size, "users": n, "items": m, "factors": items.shape[1], "case": case, "kind": kind, "engine": name,
            "us_per_user": 1e6 * float(np.median(seconds)), "times_implicit": float(base / np.median(seconds)),
            "of_gemm": float(np.median(seconds) / floor), "recall": float(recall.get(name, 1.0)),
        }
        for name, seconds in times.items()
    ]  # fmt: skip
    return rows, missing


def verdicts(rows):
    """Say for each gate whether it was reached."""
    found = {(r["engine"], r["size"], r["case"], r["kind"]): r for r in rows}
    lines = []
    for (name, size, case), (times, of_gemm) in GATES.items():
        row = found.get((f"omnireco {name}", size, case, "iid"))
        if row is not None:
            lines.append(_verdict(f"{name} ({size}) {case} iid, times implicit", row["times_implicit"], times))
            if of_gemm is not None:
                lines.append(_verdict(f"{name} ({size}) {case} iid, of the GEMM", row["of_gemm"], of_gemm, below=True))
    for (name, size), times in TRAINED_GATES.items():
        row = found.get((f"omnireco {name}", size, "K10", "trained"))
        if row is not None:
            lines.append(_verdict(f"{name} ({size}) K10 trained, times implicit", row["times_implicit"], times))
    return lines


def _verdict(what, value, gate, *, below=False):
    reached = value <= gate if below else value >= gate
    return f"{'reached' if reached else 'MISSED':8} {what:48} {value:7.2f}  (gate {'<=' if below else '>='} {gate})"


def instructions():
    """Return what this processor has of what the tiers use, and what the kernels are compiled for."""
    try:
        import llvmlite.binding as llvm
    except ImportError:
        return "no llvmlite"
    known = ("avx2", "fma", "avx512f", "avx512bw", "avx512vnni", "avxvnni", "neon", "dotprod", "i8mm")
    host = llvm.get_host_cpu_features()
    return f"{llvm.get_host_cpu_name()}: {' '.join(name for name in known if host.get(name))}; compiled for " + (
        os.environ.get("NUMBA_CPU_NAME") or "this processor"
    )


def problems(options):
    """Yield (size, kind, users, items)."""
    if options.data:
        matrix = read(options.data)
        yield "data", "trained", *trained(USERS["data"], min(64, *matrix.shape), matrix)
        return
    for size in options.sizes:
        m, d = SIZES[size]
        m, n = (m // 5, USERS[size] // 4) if options.quick else (m, USERS[size])
        for kind in ("iid", "steep", "trained"):
            if size == "c" and kind == "trained":
                continue
            yield size, kind, *factors(kind, n, m, d, np.random.default_rng(7))


def main():
    parser = options_of(
        __doc__, quick="small problems, two repetitions", data="user_id and item_id; the factors are trained on it"
    )
    parser.add_argument("--sizes", default="abc", help="a: 20k x 64, b: 50k x 128, c: 1M x 64")
    parser.add_argument("--json", default="benchmarks/results/topk.json")
    options = parser.parse_args()
    rows, machine = [], header(__doc__)
    print(instructions())
    head = f"{'size':5} {'case':18} {'factors':8} {'engine':22} {'us/user':>9} {'x implicit':>10} {'of GEMM':>8}"
    print(f"{head} {'recall':>7}   (*: no exclusions)")
    named = set()
    for size, kind, users, items in problems(options):
        for case in CASES:
            if case.startswith("K10,") and kind == "steep":
                continue
            repetitions = 2 if options.quick or size == "c" else 3
            found, missing = measure(size, case, kind, users, items, repetitions)
            for name in sorted(set(missing) - named):
                left_out(name, missing[name])
            named |= set(missing)
            for row in found:
                rows.append(row)
                print(
                    f"{size:5} {case:18} {kind:8} {row['engine']:22} {row['us_per_user']:9.1f} "
                    f"{row['times_implicit']:10.2f} {row['of_gemm']:8.2f} {row['recall']:7.3f}",
                    flush=True,
                )
    lines = [] if options.quick or options.data else verdicts(rows)
    print("\n".join(["", *lines]))
    told(rows)
    if not options.quick:
        write("topk", {"machine": machine, "tier": tier(), "rows": rows, "gates": lines}, path=options.json)
    return 0


def told(rows):
    """Say the headline numbers: the best tier beside implicit and beside the product alone."""
    best = available()[0]
    found = {(r["engine"], r["size"], r["case"], r["kind"]): r for r in rows}
    for (name, size, case, kind), row in found.items():
        if name != f"omnireco {best}" or kind == "steep" or "," in case:
            continue
        times, of_gemm = GATES.get((best, size, case), (None, None)) if kind == "iid" else (None, None)
        times = TRAINED_GATES.get((best, size), times) if kind == "trained" and case == "K10" else times
        what, base = f"top-{case[1:]} ({size}) {kind}", found.get(("implicit", size, case, kind))
        if base is not None:
            theirs, goal = base["us_per_user"], "" if times is None else f">= {times:g}"
            ratio, ours = row["times_implicit"], row["us_per_user"]
            headline(what, ours, "us a person", beside="implicit", theirs=theirs, ratio=ratio, goal=goal)
        if of_gemm is not None:
            floor, ratio = found["GEMM alone", size, case, kind]["us_per_user"], 1 / row["of_gemm"]
            goal, ours = f">= {1 / of_gemm:.2f}", row["us_per_user"]
            headline(what, ours, "us a person", beside="the product alone", theirs=floor, ratio=ratio, goal=goal)


if __name__ == "__main__":
    sys.exit(main())
