"""One person against all items: how long an answer takes, beside implicit, faiss, usearch and the product, with recall.

Run: env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/latency.py [--quick] [--json FILE]

CPU time of one call on one thread, in microseconds: the median over people. "cold": engines take turns, so each finds
the caches full of the others' items; "warm": each repeats by itself, as in a service that does nothing else. Every
person has 50 items that must not return (* searches without). The last rows are whole calls of a model.
"""

import os
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _common import header, headline, left_out, write
from _common import options as options_of
from scipy import sparse
from topk import factors, implicit_topk, instructions, read, searches, trained

from omnireco._kernels.topk import exact as engine
from omnireco._kernels.topk import tiers

GATES = {  # engine, items, kind, temperature: microseconds at most
    ("omnireco int8-vnni", 100_000, "iid", "warm"): 110.0,
    ("omnireco int8-avx2", 100_000, "iid", "warm"): 400.0,
    ("omnireco int8-avx2", 100_000, "iid", "cold"): 1200.0,
    ("model.recommend(rows)", 20_000, "iid", "warm"): 100.0,
    ("model.recommend(requests)", 20_000, "iid", "warm"): 100.0,
    ("frame of three rows, recommend", 20_000, "iid", "warm"): 500.0,
    ("frame of three events, log, requests, recommend", 20_000, "iid", "warm"): 500.0,
}


def engines(users, items, seen, k):
    """Return name -> callable(person) -> codes for everything that can be imported, and why others are missing."""
    index = engine.ItemIndex(items)
    indptr = np.array([0, seen.shape[1]])
    answers = {"sgemv alone": lambda u: items @ users[u]}
    for name in tiers.available():
        answers[f"omnireco {name}"] = lambda u, name=name: engine._topk(
            users[u : u + 1], index, k, (indptr, seen[u]), None, None, 1, name
        )[0][0]
    plain, missing = searches(items, k)
    answers |= {
        name: lambda u, search=search: np.asarray(search(users[u : u + 1])).ravel() for name, search in plain.items()
    }
    rows = [sparse.csr_matrix((np.ones(row.size, np.float32), row, [0, row.size]), (1, len(items))) for row in seen]
    try:
        implicit_topk(users[:1], items, k, rows[0])
        answers["implicit"] = lambda u: implicit_topk(users[u : u + 1], items, k, rows[u])[0]
    except ImportError as why:
        missing["implicit"] = str(why)
    return answers, missing


def clock(answers, calls):
    """Return {(name, temperature): microseconds of each call}."""
    times = {(name, heat): [] for name in answers for heat in ("cold", "warm")}
    for answer in answers.values():
        answer(0)
    for u in range(calls):
        for name, answer in answers.items():
            started = time.process_time_ns()
            answer(u)
            times[name, "cold"].append((time.process_time_ns() - started) / 1e3)
    for name, answer in answers.items():
        for u in range(calls):
            started = time.process_time_ns()
            answer(u)
            times[name, "warm"].append((time.process_time_ns() - started) / 1e3)
    return times


def measure(m, kind, k, calls, own=None):
    """Time every engine, on factors of one kind or of a log; return rows of results."""
    rng = np.random.default_rng(11)
    users, items = factors(kind, calls, m, 64, rng) if own is None else trained(calls, min(64, *own.shape), own)
    calls = len(users)
    seen = np.sort(rng.integers(0, m, (calls, min(50, m // 3))), axis=1).astype(np.int32)
    answers, missing = engines(users, items, seen, k)
    best = tiers.available()[0]
    excluded = (np.arange(calls + 1) * seen.shape[1], seen.ravel())
    filtered = engine._topk(users, items, k, excluded, None, None, None, best)[0]
    free = engine._topk(users, items, k, None, None, None, None, best)[0]
    rows = []
    times = clock(answers, calls)
    for (name, heat), numbers in times.items():
        truth = free if name.endswith("*") else filtered
        recall = (
            1.0
            if name == "sgemv alone"
            else np.mean([np.isin(truth[u], answers[name](u)).mean() for u in range(min(20, calls))])
        )
        base = np.median(times["implicit", heat]) if ("implicit", heat) in times else np.nan
        rows.append(
            {
                "items": m, "kind": kind, "engine": name, "heat": heat, "p50_us": float(np.median(numbers)),
                "p99_us": float(np.percentile(numbers, 99)), "recall": float(recall),
                "times_implicit": float(base / np.median(numbers)),
            }
        )  # fmt: skip
    return rows, missing


def whole_calls(m, calls):
    """Time a model's answer for one person: from a row, from requests, and from a frame of a visitor's three events."""
    import pandas as pd

    import omnireco as om

    rng = np.random.default_rng(3)
    _, items = factors("iid", 1, m, 64, rng)
    ids, n = np.array([f"i{i:06d}" for i in range(m)], object), 200_000
    events = pd.DataFrame(
        {
            "user_id": [f"u{i:05d}" for i in rng.integers(0, 5000, n)], "item_id": ids[rng.integers(0, m, n)],
            "channel": "web", "event": "view",
            "timestamp": pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 8_000_000, n), "s"),
        }
    )  # fmt: skip
    data = om.Dataset(om.EventLog.from_frame(events))
    weighed = om.ALS(weights=om.Weights(half_life="30D"), unobserved_weight=0.01)
    known = data.events.items
    model = om.models.FactorModel.from_arrays(items[: len(known)], items=known, estimator=weighed)
    who = data.events.users.ids[7]
    x, requests = model.inputs(data), data.requests([who])
    visit = pd.DataFrame({"user_id": ["a visitor"] * 3, "item_id": known.ids[:3], "weight": [1.0, 2.0, 1.0]})
    events = pd.DataFrame(
        {
            "user_id": "a visitor", "item_id": known.ids[:3], "channel": "web", "event": "view",
            "timestamp": pd.Timestamp("2025-05-01 08:00", tz="UTC") + pd.to_timedelta([0, 1, 3], "min"),
        }
    )  # fmt: skip
    tiers._done_in_numpy = tiers.WORTH_COMPILING  # as in a service that has run for a while
    answers = {
        "model.recommend(rows)": lambda _: model.recommend(x.rows([who]), k=10),
        "model.recommend(requests)": lambda _: model.recommend(requests, k=10),
        "frame of three rows, recommend": lambda _: model.recommend(om.Interactions.from_frame(visit), k=10),
        "frame of three events, log, requests, recommend": lambda _: model.recommend(
            om.Dataset(om.EventLog.from_frame(events)).requests(), k=10
        ),
    }
    return [
        {
            "items": m, "kind": "iid", "engine": name, "heat": heat, "p50_us": float(np.median(numbers)),
            "p99_us": float(np.percentile(numbers, 99)), "recall": 1.0, "times_implicit": float("nan"),
        }
        for (name, heat), numbers in clock(answers, calls).items()
        if heat == "warm"
    ]  # fmt: skip


def verdicts(rows):
    """Say for each gate whether it was reached."""
    found = {(r["engine"], r["items"], r["kind"], r["heat"]): r["p50_us"] for r in rows}
    return [
        f"{'reached' if found[key] <= gate else 'MISSED':8} {' '.join(map(str, key)):58} {found[key]:8.0f} us  "
        f"(gate <= {gate:.0f})"
        for key, gate in GATES.items()
        if key in found
    ]


def main():
    parser = options_of(
        __doc__, quick="up to 100k items, few calls", data="user_id and item_id; the factors are trained on it"
    )
    parser.add_argument("--json", default="benchmarks/results/latency.json")
    options = parser.parse_args()
    rows, found = [], header(__doc__)
    own = None if options.data is None else read(options.data)
    sizes = ((20_000, "iid"), (20_000, "steep"), (100_000, "iid"), (100_000, "steep"))
    sizes += () if options.quick else ((1_000_000, "iid"), (1_000_000, "steep"))
    print(f"tier {tiers.tier()}; K = 10, 64 factors, 50 items excluded; CPU microseconds of one call")
    print(instructions())
    print(f"{'items':>9} {'factors':8} {'engine':32} {'heat':5} {'p50':>9} {'p99':>9} {'recall':>7} {'x implicit':>10}")
    named = set()
    for m, kind in sizes if own is None else ((own.shape[1], "own"),):
        calls = 30 if options.quick else 100 if m < 1_000_000 else 20
        part, missing = measure(m, kind, 10, calls, own)
        if m == 20_000 and kind == "iid":
            part += whole_calls(m, 30 if options.quick else 200)
        for name in sorted(set(missing) - named):
            left_out(name, missing[name])
        named |= set(missing)
        for row in part:
            rows.append(row)
            print(
                f"{m:9d} {kind:8} {row['engine']:32} {row['heat']:5} {row['p50_us']:9.1f} {row['p99_us']:9.1f} "
                f"{row['recall']:7.3f} {row['times_implicit']:10.2f}",
                flush=True,
            )
    lines = [] if options.quick or own is not None else verdicts(rows)
    print("\n".join(["", *lines]))
    told(rows)
    if not options.quick:
        write("latency", {"machine": found, "rows": rows, "gates": lines}, path=options.json)
    return 0


def told(rows):
    """Say the headline numbers: the best tier beside implicit, and whole calls."""
    engine_of = f"omnireco {tiers.available()[0]}"
    numbers = {(r["engine"], r["items"], r["kind"], r["heat"]): r for r in rows}
    for (name, items, kind, heat), row in numbers.items():
        goal = GATES.get((name, items, kind, heat))
        goal = "" if goal is None else f"<= {goal:g}"
        if name == engine_of and heat == "warm" and kind != "steep":
            base = numbers.get(("implicit", items, kind, heat))
            what = f"one person, {items:,} items, {name.removeprefix('omnireco ')}"
            if base is None:
                headline(what, row["p50_us"], "us", goal=goal)
            else:
                ratio = row["times_implicit"]
                headline(what, row["p50_us"], "us", beside="implicit", theirs=base["p50_us"], ratio=ratio)
        elif name.startswith(("model", "frame")):
            headline(f"{name}, {items:,} items", row["p50_us"], "us", goal=goal)


if __name__ == "__main__":
    sys.exit(main())
