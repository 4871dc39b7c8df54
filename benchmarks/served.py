"""Models that implicit trained, served by FactorModel.from_implicit beside implicit's own recommend.

Run: env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/served.py [--quick] [--data LOG] [--json FILE]

The same factors, the same matrix, seen items filtered, one thread, CPU time, interleaved in one process, medians. Every
tier of this machine is forced in turn, so that the ratio of a processor without VNNI or AVX-512 is seen too.

Rows: ALS for everybody with histories read anew (implicit: recalculate_user=True), where lists are the same but for
rounding; ALS for one person; BPR and logistic factors for everybody from implicit's own user vectors, by
om.models.topk, where lists are the same too. What is timed is the whole verb: placing, filters, ids.
"""

import os
import sys
import time
import warnings

from topk import read, synthetic_log  # first: it sets BLAS to one thread

# isort: split
import numpy as np
from _common import header, headline, options, write
from threadpoolctl import threadpool_limits

import omnireco as om
from omnireco._kernels.topk.tiers import available

SIZES = {"a": (20_000, 64), "b": (50_000, 128)}
PEOPLE, BLOCK, SINGLE = 10_000, 1_000, 60
GATE = {"ALS, everybody": 1.5, "BPR, own vectors": 4.0, "ALS, one person": 1.5}  # times implicit, of the best tier


def trained(matrix, d):
    """Return name -> a fitted model of implicit, on one thread."""
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.cpu.bpr import BayesianPersonalizedRanking
    from implicit.cpu.lmf import LogisticMatrixFactorization

    same = {"factors": d, "num_threads": 1, "random_state": 1}
    found = {
        "ALS": AlternatingLeastSquares(iterations=4, **same),
        "BPR": BayesianPersonalizedRanking(iterations=8, **same),
        "logistic": LogisticMatrixFactorization(iterations=4, **same),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model in found.values():
            model.fit(matrix, show_progress=False)
    return found


def problems(x, peers):
    """Yield case, theirs(), ours(), how many people one call answers, and whether codes may be compared."""
    rows = x.to_scipy()
    some = np.arange(min(BLOCK, x.n_users))
    histories, their_rows = x.rows(x.users.ids[some].tolist()), rows[some]
    als = om.models.FactorModel.from_implicit(peers["ALS"], x)

    def theirs_of(model, **how):
        return lambda: model.recommend(some, their_rows, N=10, **how)[0]

    yield (
        "ALS, everybody", theirs_of(peers["ALS"], recalculate_user=True),
        lambda: als.recommend(histories, k=10, threads=1).codes, len(some),
    )  # fmt: skip
    for name in ("BPR", "logistic"):
        index = om.models.ItemIndex(np.asarray(peers[name].item_factors))
        vectors = np.ascontiguousarray(peers[name].user_factors[some])
        yield (
            f"{name}, own vectors", theirs_of(peers[name]),
            lambda index=index, vectors=vectors: om.models.topk(vectors, index, k=10, exclude=their_rows, threads=1)[0],
            len(some),
        )  # fmt: skip
    singles = [(int(one), rows[one], x.rows([x.users.ids[one]])) for one in range(min(SINGLE, x.n_users))]
    yield (
        "ALS, one person",
        lambda: np.concatenate(
            [peers["ALS"].recommend(one, row, N=10, recalculate_user=True)[0] for one, row, _ in singles]
        ),
        lambda: np.concatenate([als.recommend(history, k=10, threads=1).codes[0] for _, _, history in singles]),
        len(singles),
    )  # fmt: skip


def measure(size, x, d, repeats):
    """Return one row per case and tier: CPU time of both, the ratio, and the share of equal places of the lists."""
    rows = []
    for case, theirs, ours, people in problems(x, trained(x.to_scipy(), d)):
        runs = {"implicit": theirs} | dict.fromkeys(available(), ours)
        times = {name: [] for name in runs}
        same = {}
        with threadpool_limits(1):
            wanted = theirs()
            for _ in range(repeats):
                for name, run in runs.items():
                    if name != "implicit":
                        os.environ["OMNIRECO_TOPK_TIER"] = name
                        if name not in same:  # compile outside the clock
                            same[name] = float((run() == wanted).mean())
                    started = time.process_time()
                    run()
                    times[name].append((time.process_time() - started) / people)
                    os.environ.pop("OMNIRECO_TOPK_TIER", None)
        base = float(np.median(times["implicit"]))
        for name in available():
            mine = float(np.median(times[name]))
            rows.append({"size": size, "case": case, "tier": name, "us_per_person": 1e6 * mine,
                         "implicit_us": 1e6 * base, "times_implicit": base / mine, "same": same[name]})  # fmt: skip
            told = f"{1e6 * mine:9.1f} {1e6 * base:9.1f} {base / mine:7.2f} {same[name]:8.4f}"
            print(f"{size:5} {case:22} {name:11} {told}", flush=True)
    return rows


def main():
    parser = options(__doc__, quick="a fifth of the items, two repeats", data="user_id and item_id; models train on it")
    parser.add_argument("--sizes", default="a", help="a: 20k x 64, b: 50k x 128")
    parser.add_argument("--json", default="benchmarks/results/served.json")
    given = parser.parse_args()
    about = header(__doc__)
    print(f"{'size':5} {'case':22} {'tier':11} {'us':>9} {'implicit':>9} {'ratio':>7} {'same':>8}")
    rows = []
    for size in ["data"] if given.data else given.sizes:
        m, d = SIZES.get(size, (0, 64))
        m, people = (m // 5, PEOPLE // 5) if given.quick else (m, PEOPLE)
        matrix = read(given.data) if given.data else synthetic_log(m, np.random.default_rng(7), people=people)
        rows += measure(size, om.Interactions.from_scipy(matrix), min(d, *matrix.shape), 2 if given.quick else 7)
    for row in rows:
        if row["tier"] == available()[0]:
            goal = "" if given.quick or given.data or row["case"] not in GATE else f">= {GATE[row['case']]:g}"
            headline(f"{row['case']} ({row['size']}) trained by implicit", row["us_per_person"], "us a person",
                     beside="implicit", theirs=row["implicit_us"], ratio=row["times_implicit"], goal=goal)  # fmt: skip
    if not given.quick:
        write("served", {"machine": about, "rows": rows}, path=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
