"""The planner beside scipy's HiGHS on the same problem in the same process: value, bound, gap, seconds.

    python benchmarks/plan.py [--quick]

A week of 20 touches per person on two channels; at most 3 in any 7 days and 1 in any 24 hours per person, a budget
for e-mail, and a capacity for each hour of push. HiGHS gets the whole integer program with the same relative gap to
reach as the planner reported, and is left out where it would take many minutes. Seconds are of wall time and of CPU.
"""

from __future__ import annotations

import pathlib
import resource
import time

import numpy as np
import pandas as pd
from _common import header, headline, options, write
from scipy.optimize import Bounds, LinearConstraint, milp

import omnireco as om
from omnireco._kernels.packing import solve


def week(n_people: int, seed: int = 0) -> tuple[om.planning.Candidates, list[om.planning.Constraint]]:
    """Return the candidates and constraints of one week."""
    rng = np.random.default_rng(seed)
    n = n_people * 20
    hour = (np.repeat(rng.integers(0, 24, n_people), 20) + rng.integers(-2, 3, n)) % 24 + 24 * rng.integers(0, 7, n)
    frame = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(n_people), 20),
            "item_id": rng.integers(0, 1_000, n),
            "channel": np.array(["push", "email"], object)[rng.integers(0, 2, n)],
            "send_at": pd.Timestamp("2025-06-01", tz="UTC") + pd.to_timedelta(hour, unit="h"),
            "value": rng.beta(2, 20, n) * np.repeat(rng.lognormal(0, 0.5, n_people), 20),
        }
    )
    constraints = [
        om.FrequencyCap(3, per="7D"),
        om.FrequencyCap(1, per="24h"),
        om.Budget("email", cost=0.01, total=n_people * 0.004),
        om.Capacity("push", per="1h", limit=max(1, n_people // 168)),
    ]
    return om.planning.Candidates.from_frame(frame), constraints


def problem(touches: om.planning.Candidates, constraints: list[om.planning.Constraint]):
    """Return the same problem as arrays: values, matrix and limits."""
    from scipy import sparse

    parts = [rule.rows(touches.touches) for rule in constraints]
    matrices = [sparse.csr_matrix((r.weight, (r.row, r.touch)), shape=(r.limit.size, len(touches))) for r in parts]
    return touches.value, sparse.vstack(matrices).tocsr(), np.concatenate([r.limit for r in parts])


def timed(work):
    """Return what a call gives, its seconds of wall time and its seconds of CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Print the table and write it as JSON."""
    parser = options(__doc__, quick="small sizes only")
    parser.add_argument("--json", type=pathlib.Path, help="where to write the table")
    args = parser.parse_args()
    header(__doc__)
    table = []
    for n_people in (100, 500) if args.quick else (100, 1_000, 5_000, 50_000):
        touches, constraints = week(n_people)
        value, matrix, limit = problem(touches, constraints)
        best, seconds, cpu = timed(lambda t=touches, c=constraints: om.plan(t, constraints=c))
        only, _, solve_cpu = timed(lambda v=value, m=matrix, b=limit: solve(v, m, b))
        assert only.value == best.value
        line = {
            "touches": len(touches),
            "rows": limit.size,
            "value": best.value,
            "bound": best.bound,
            "gap": best.optimality_gap,
            "seconds": seconds,
            "cpu": cpu,
            "solve_cpu": solve_cpu,
        }
        if n_people <= 1_000:
            limits = LinearConstraint(matrix, -np.inf, limit)
            rule = {"mip_rel_gap": max(best.optimality_gap, 1e-9), "time_limit": 600}
            peer, wall, peer_cpu = timed(
                lambda v=value, c=limits, o=rule: milp(
                    -v, constraints=c, integrality=np.ones(v.size), bounds=Bounds(0, 1), options=o
                )
            )
            line |= {"highs_value": -peer.fun, "highs_seconds": wall, "highs_cpu": peer_cpu}
            line["cpu_ratio_highs_to_plan"] = peer_cpu / cpu
        line["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        table.append(line)
        print(", ".join(f"{k} {v:,.6g}" for k, v in line.items()), flush=True)
        what = f"plan of {len(touches):,} touches"
        if "highs_cpu" in line:
            ratio, theirs = line["cpu_ratio_highs_to_plan"], line["highs_cpu"]
            headline(what, cpu, "CPU s", beside="HiGHS", theirs=theirs, ratio=ratio)
        else:
            headline(what, cpu, "CPU s")
        headline(f"{what}: gap", 100 * line["gap"], "%")
    if args.json or not args.quick:
        write("plan", table, path=args.json)


if __name__ == "__main__":
    main()
