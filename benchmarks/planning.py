"""The planner under shared rows, beside HiGHS on the same problem in the same run: bound, plan, gap, seconds, memory.

    python benchmarks/planning.py [--quick] [--million] [--files] [--peers]

Touches of people on three channels over 107 hours; three budgets, 321 channel-hours of unequal capacity, at most 3 a
person (1 in the case of one and the same offer). ``--million`` adds a million people of 32 touches in memory: one line
of the kernel (prices, bound, plan), and one of ``om.plan()`` with its rules, reasons and reduced values. ``--files``
adds 100,000 people of 32 touches in parquet files, beside the same in memory. ``--peers`` adds HiGHS (``pip install
highspy``): interior point and simplex on the linear program, branch and bound on the whole, each on one thread and with
a limit of time. DuaLip is on no package index that pip reads, so it is not here. Seconds are of wall time and of CPU;
on a machine that others use, compare the latter.
"""

from __future__ import annotations

import pathlib
import resource
import tempfile
import time
from typing import Any

import numpy as np
from _common import header, headline, options, own_log, plainly, write
from scipy import sparse

import omnireco as om
from omnireco._kernels.packing import solve
from omnireco._kernels.packing.large import rough
from omnireco._kernels.packing.people import People
from omnireco.data.asking.touches import Past, Touches
from omnireco.data.vocabulary import Vocabulary
from omnireco.planning import Candidates

HOURS = 107
CHANNELS = ("email", "push", "sms")
START = 1_748_822_400_000_000  # 2025-06-02 00:00 UTC


def touches(n_people: int, per_person: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return values, the two shared rows of each touch with their weights, and the limits of the 324 rows."""
    rng = np.random.default_rng(seed)
    n = n_people * per_person
    channel = rng.integers(0, 3, n)
    usual = np.repeat((rng.normal(55, 18, n_people) % HOURS).astype(np.int64), per_person)
    hour = (usual + rng.integers(-12, 13, n)) % HOURS
    value = rng.beta(2, 20, n) * np.repeat(rng.lognormal(0, 0.5, n_people), per_person)
    row = np.stack([channel, 3 + channel * HOURS + hour], axis=1).astype(np.int16)
    country = np.repeat(rng.choice([0.53, 0.71, 1.0, 1.37, 2.29], n_people), per_person)
    weight = np.stack([country, np.ones(n)], axis=1)
    budgets = n_people * np.array([0.35, 0.3, 0.25])
    hours = rng.uniform(0.4, 1.6, 3 * HOURS) * n_people * 1.2 / (3 * HOURS)
    return value, row, weight, np.floor(np.maximum(np.concatenate([budgets, hours]), 1.0))


def as_matrix(
    row: np.ndarray, weight: np.ndarray, limit: np.ndarray, user: np.ndarray, cap: int
) -> tuple[Any, np.ndarray]:
    """Return all rows as a sparse matrix, the caps of people last, and their limits."""
    n, people = row.shape[0], int(user[-1]) + 1
    where = np.concatenate([row[:, 0].astype(np.int64), row[:, 1].astype(np.int64), limit.size + user])
    entry = (np.concatenate([weight[:, 0], weight[:, 1], np.ones(n)]), (where, np.tile(np.arange(n), 3)))
    return sparse.csr_matrix(entry, shape=(limit.size + people, n)), np.append(limit, np.full(people, float(cap)))


def timed(work: Any) -> tuple[Any, float, float]:
    """Return what a call gives, its seconds of wall time and its seconds of CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def highs(value: np.ndarray, matrix: Any, limit: np.ndarray, method: str, seconds: float) -> dict[str, Any]:
    """Return what HiGHS finds by one method, on one thread."""
    import highspy

    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = value.size, limit.size
    model.col_cost_, model.col_lower_, model.col_upper_ = -value, np.zeros(value.size), np.ones(value.size)
    model.row_lower_, model.row_upper_ = np.full(limit.size, -highspy.kHighsInf), limit
    rows = sparse.csr_matrix(matrix)
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_, model.a_matrix_.index_, model.a_matrix_.value_ = rows.indptr, rows.indices, rows.data
    if method == "mip":
        model.integrality_ = [highspy.HighsVarType.kInteger] * value.size
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("time_limit", float(seconds))
    solver.setOptionValue("mip_rel_gap", 1e-4)
    if method != "mip":
        solver.setOptionValue("solver", method)
        solver.setOptionValue("run_crossover", "off")
    solver.passModel(model)
    _, wall, cpu = timed(solver.run)
    info = solver.getInfo()
    found = {"value": -info.objective_function_value, "seconds": wall, "cpu": cpu}
    found["ended"] = solver.modelStatusToString(solver.getModelStatus())
    return found | ({"bound": -info.mip_dual_bound} if method == "mip" else {})


def line_of(name: str, found: Any, wall: float, cpu: float) -> dict[str, Any]:
    """Return one row of the table."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    gap = (found.bound - found.value) / found.bound
    return {
        "case": name,
        "value": found.value,
        "bound": found.bound,
        "gap_percent": 100 * gap,
        "seconds": wall,
        "cpu": cpu,
        "peak_gb": peak,
    }


def shared(n_people: int, per_person: int, peers: bool, seconds: float) -> list[dict[str, Any]]:
    """Return the rows of one size: ours, and HiGHS's."""
    value, row, weight, limit = touches(n_people, per_person)
    user = np.repeat(np.arange(n_people), per_person)
    matrix, limits = as_matrix(row, weight, limit, user, 3)
    name = f"{n_people:,} x {per_person}, {limit.size} shared rows"
    table = [line_of(name, *timed(lambda: solve(value, matrix, limits, block=user)))]
    first = solve(value, matrix, limits, block=user)
    table.append(
        line_of(
            f"{name}, from yesterday's prices",
            *timed(lambda: solve(value * 1.02, matrix, limits, block=user, prices=first.price)),
        )
    )
    methods = ("ipm", "simplex", "mip") if peers else ()
    return table + [{"case": f"{name}: highspy {m}"} | highs(value, matrix, limits, m, seconds) for m in methods]


def same_offer(n_people: int, per_person: int, segments: int, offers: int) -> dict[str, Any]:
    """Return the row of segments of which each gets one offer over all channels."""
    value, row, weight, limit = touches(n_people, per_person)
    user = np.repeat(np.arange(n_people), per_person)
    rng = np.random.default_rng(100)
    group, option = user % segments, rng.integers(0, offers, user.size)
    value = value * rng.lognormal(0.0, 0.5, (segments, offers))[group, option]
    matrix, limits = as_matrix(row, weight, limit, user, 1)
    name = f"one offer for each of {segments} segments of {offers}, {n_people:,} x {per_person}"
    return line_of(name, *timed(lambda: solve(value, matrix, limits, block=user, choices=[(group, option)])))


class _Answer:
    def __init__(self, value: float, bound: float) -> None:
        self.value, self.bound = value, bound


def million(n_people: int = 1_000_000, per_person: int = 32) -> dict[str, Any]:
    """Return the row of a million people, touches as they lie in memory."""
    value, row, weight, limit = touches(n_people, per_person)
    start = np.arange(n_people + 1, dtype=np.int64) * per_person
    people = People(start, value, row, weight, np.full(n_people, 3, np.int64))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found, wall, cpu = timed(lambda: rough(people, limit, np.full(limit.size, -np.inf), limit * 1e-9))
    sent = row[found.chosen].ravel().astype(np.int64)
    assert (np.bincount(sent, weight[found.chosen].ravel(), limit.size) <= limit * (1 + 1e-8)).all()
    assert np.add.reduceat(found.chosen, start[:-1]).max() <= 3
    answer = _Answer(float(value[found.chosen].sum()), found.bound)
    return line_of(f"{n_people:,} x {per_person}, {limit.size} shared rows", answer, wall, cpu) | {"before_gb": before}


def in_memory(n_people: int, per_person: int, seed: int = 0) -> Candidates:
    """Return touches as :func:`touches` makes them, as candidates in the order of time."""
    value, row, _, _ = touches(n_people, per_person, seed)
    hour = (row[:, 1].astype(np.int64) - 3) % HOURS
    order = np.argsort(hour, kind="stable")
    send_at = START + hour[order] * 3_600_000_000
    user = np.repeat(np.arange(n_people, dtype=np.int32), per_person)[order]
    item = np.random.default_rng(seed + 1).integers(0, 1000, user.size).astype(np.int32)
    codes, ones, nothing = (np.empty(0, np.int32), np.ones(user.size, np.bool_), np.empty(0, np.int64))
    names = (Vocabulary(np.arange(n_people)), Vocabulary(np.arange(1000)), Vocabulary(np.array(CHANNELS, object)))
    local = np.full(user.size, np.iinfo(np.int64).min)  # no zone is known
    channel, past = row[:, 0].astype(np.int32)[order], Past(codes, codes, nothing)
    made = Touches(*names, user, item, channel, send_at, local, ones, ones.copy(), past)
    return Candidates(made, value[order])


def rules(n_people: int) -> list[Any]:
    """Return 3 budgets, 321 channel-hours and a cap of 3 a person."""
    shares = zip(CHANNELS, (0.35, 0.30, 0.25), (0.01, 0.01, 0.07), (1.1, 0.9, 0.8), strict=True)
    found: list[Any] = [om.FrequencyCap(3, per=None)]
    for channel, share, cost, size in shares:
        most = max(1, int(1.2 * n_people / (3 * HOURS) * size))
        found.append(om.Budget(channel, cost=cost, total=cost * int(share * n_people)))
        found.append(om.Capacity(channel, per="1h", limit=most))
    return found


def planned(n_people: int = 1_000_000, per_person: int = 32) -> dict[str, Any]:
    """Return the row of ``om.plan()`` itself."""
    om.plan(in_memory(4_000, per_person), constraints=rules(4_000))  # compiled, once per machine
    found, used = in_memory(n_people, per_person), rules(n_people)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    made, wall, cpu = timed(lambda: om.plan(found, constraints=used))
    sent = found.touches.user[made.reason == 0]
    assert np.bincount(sent).max() <= 3
    assert all(row.used <= row.limit * (1 + 1e-9) for row in made.rows)
    shared = sum(row.row != "each person" for row in made.rows)
    return line_of(f"om.plan(), {n_people:,} x {per_person}, {shared} shared rows", made, wall, cpu) | {
        "before_gb": before
    }


def from_files(n_people: int = 100_000, per_person: int = 32) -> list[dict[str, Any]]:
    """Return the rows of touches in parquet files, and of the same touches in memory."""
    found, used = in_memory(n_people, per_person), rules(n_people)
    frame = found.to_frame().drop(columns=["send_at_local", "probability"]).sort_values("user_id", kind="stable")
    name = f"{n_people:,} x {per_person}"
    with tempfile.TemporaryDirectory() as folder:
        for part in range(4):
            rows = frame.iloc[len(frame) * part // 4 : len(frame) * (part + 1) // 4]
            rows.to_parquet(pathlib.Path(folder) / f"part-{part}.parquet", index=False)
        streamed, wall, cpu = timed(lambda: om.planning.plan_files(folder, constraints=used))
    table = [line_of(f"om.planning.plan_files(), {name}", streamed, wall, cpu)]
    made, wall, cpu = timed(lambda: om.plan(found, constraints=used))
    return [*table, line_of(f"om.plan(), {name}, the same touches", made, wall, cpu)]


def own(path: pathlib.Path) -> None:
    """Print the plan of one's own touches, and what goes out by falling value while it fits."""
    columns = ["user_id", "item_id", "channel", "send_at", "value"]
    frame = own_log(path, needs=columns, times=("send_at",))[columns]
    found = Candidates.from_frame(frame)
    shares = frame["channel"].value_counts()
    used: list[Any] = [om.FrequencyCap(3, per=None)]
    used += [om.Budget(name, cost=1.0, total=float(max(1, n // 3))) for name, n in shares.items()]
    om.plan(found, constraints=used)  # compiled, once per machine
    made, wall, cpu = timed(lambda: om.plan(found, constraints=used))
    print(f"{found}\n{made}")
    name = f"om.plan(), {len(found):,} touches of your own"
    line = line_of(name, made, wall, cpu)
    left = {str(key): int(n) // 3 or 1 for key, n in shares.items()}
    mine: dict[Any, int] = {}
    greedy = 0.0
    for user, channel, value in frame.sort_values("value", ascending=False)[["user_id", "channel", "value"]].to_numpy():
        if value > 0 and left[str(channel)] and mine.get(user, 0) < 3:
            left[str(channel)], mine[user], greedy = left[str(channel)] - 1, mine.get(user, 0) + 1, greedy + value
    headline(f"{name}: gap", line["gap_percent"], "%")
    headline(f"{name}: value", made.value, beside="by falling value", theirs=greedy, gap=[made.value - greedy])
    headline(name, cpu, "CPU s")


def main() -> None:
    """Print the table and write it as JSON."""
    parser = options(
        __doc__,
        quick="small sizes only",
        data="touches with user_id, item_id, channel, send_at and value; 3 a person, a third of each channel's",
    )
    parser.add_argument("--million", action="store_true", help="a million people of 32 touches too (some 4 GB)")
    parser.add_argument("--files", action="store_true", help="touches in parquet files, beside memory")
    parser.add_argument("--peers", action="store_true", help="HiGHS beside, by highspy")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for each run of HiGHS")
    parser.add_argument("--json", type=pathlib.Path, help="where to write the table")
    args = parser.parse_args()
    header(__doc__)
    if args.data is not None:
        with plainly(args.data):
            own(args.data)
        return
    touched = touches(200, 24)
    warm = np.repeat(np.arange(200), 24)
    solve(touched[0], *as_matrix(*touched[1:], warm, 3), block=warm, linear_touches=0)  # compiled, once per machine
    table: list[dict[str, Any]] = []

    def add(lines: list[dict[str, Any]]) -> None:
        for line in lines:
            print(", ".join(f"{k} {v:,.6g}" if isinstance(v, float) else f"{v}" for k, v in line.items()), flush=True)
            if "gap_percent" in line:
                headline(f"{line['case']}: gap", line["gap_percent"], "%")
            headline(line["case"], line["cpu"], "CPU s")
        table.extend(lines)

    add(shared(500 if args.quick else 2_000, 24, args.peers, args.limit))
    add([same_offer(300 if args.quick else 1_000, 16, 10, 4)])
    if not args.quick:
        add(shared(20_000, 24, args.peers, args.limit))
        add([same_offer(2_000, 24, 40, 5)])
    if args.million:
        add([million()])
        add([planned()])
    if args.files:
        add(from_files())
    if args.json or not args.quick:
        write("planning", table, path=args.json)


if __name__ == "__main__":
    main()
