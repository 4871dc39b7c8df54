"""One event and one list: observe plus recommend at 100,000 items x 64 factors, beside implicit in the same process.

Run: env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/live.py [--quick] [--json FILE]

CPU time of one thread. "warm": ways take turns in blocks of 250 requests, of which the first ten do not count;
"cold": at every request, so that each finds the caches full of the other's items. The event is observed and the next
list asked for, with the person's own items, a third of the catalogue that may not be shown, and two items more left
out. implicit answers the same request by ``recommend(recalculate_user=True, filter_already_liked_items=True,
filter_items=...)`` on the same factors with one thread and one BLAS thread; it is handed the matrix row, and is told
nothing of time. Its filter takes a list of items, so the ineligible third is such a list (``filters``), or is left out
(``none``), which is its best case.
"""

import datetime as dt
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy.sparse as sp
from _common import header, headline, left_out, write
from _common import options as options_of

import omnireco as om
from omnireco._kernels.topk import tiers
from omnireco.live import Live, MemoryStore, Rules, SQLiteStore

FACTORS, K = 64, 10
START = dt.datetime(2025, 5, 1, tzinfo=dt.UTC)


def peer(items):
    """Return implicit's model on the same factors."""
    from implicit.cpu.als import AlternatingLeastSquares

    found = AlternatingLeastSquares(factors=FACTORS, regularization=0.01, alpha=1.0, num_threads=1)
    found.item_factors, found.user_factors = items, np.zeros((1, FACTORS), np.float32)
    return found


def measure(n_items, history, calls, folder, chosen=None):
    """Return rows of CPU microseconds, one per way; of one chosen tier of the top-K kernel, where there is one."""
    if chosen is not None:
        os.environ["OMNIRECO_TOPK_TIER"] = chosen
    draw = np.random.default_rng(0)
    factors = (draw.standard_normal((n_items, FACTORS)) / 8).astype(np.float32)
    ids = np.array([f"i{n:06d}" for n in range(n_items)], object)
    weights = om.Weights(events={"view": 1.0, "purchase": 8.0}, half_life="30D")
    model = om.models.FactorModel.from_arrays(
        factors, items=ids, estimator=om.ALS(weights=weights, unobserved_weight=0.01)
    )
    tiers._done_in_numpy = tiers.WORTH_COMPILING  # as in a service that has run for a while
    lives = {
        "memory": Live(model, store=MemoryStore(), rules=Rules()),
        "sqlite": Live(model, store=SQLiteStore(Path(folder) / "events.db")),
        "sqlite, pseudonyms": Live(
            model, store=SQLiteStore(Path(folder) / "keyed.db"), key=b"32 bytes that stay with the code"
        ),
    }
    if chosen is not None:
        lives = {f"memory, {chosen}": lives["memory"]}
    try:
        other = peer(factors)
    except ImportError as why:
        other = None
        left_out("implicit", why)
    people, now = [f"u{n}" for n in range(200)], START + dt.timedelta(days=90)
    held = {}
    for user in people:
        code = draw.choice(n_items, history, replace=False)
        held[user] = code.tolist()
        told = [
            {"user_id": user, "event": "view", "channel": "web", "item_id": ids[one], "event_id": f"{n}",
             "timestamp": START + dt.timedelta(seconds=int(draw.integers(0, 7_000_000)))}
            for n, one in enumerate(code)
        ]  # fmt: skip
        for live in lives.values():
            live.observe(told)
    eligible = np.arange(n_items) % 3 != 0
    first = []  # the first list of somebody whose events are in the store and not yet in this process
    for user in people:
        for name, live in lives.items():
            begin = time.thread_time_ns()
            live.recommend(user, K, at=now, eligible=eligible)
            if name == "sqlite":
                first.append((time.thread_time_ns() - begin) / 1e3)
    barred = np.flatnonzero(~eligible)
    ways = {f"omnireco {name}": _ours(live, eligible, ids) for name, live in lives.items()}
    if other is not None:
        ways |= {
            f"implicit {name}": _theirs(other, held, n_items, out)
            for name, out in (("none", None), ("filters", barred))
        }
    times = {(name, heat): [] for name in ways for heat in ("warm", "cold")}
    number = 0
    for heat, block in (("warm", min(250, calls)), ("cold", 1)):
        for _ in range(calls // block):
            requests = []
            for _ in range(block):
                number += 1
                who, code, out = (
                    people[draw.integers(len(people))],
                    int(draw.integers(n_items)),
                    draw.integers(0, n_items, 2),
                )
                requests.append((who, code, out.tolist(), now + dt.timedelta(seconds=number), f"call {number}"))
            for name, way in ways.items():
                for place, one in enumerate(requests):
                    begin = time.thread_time_ns()
                    way(*one)
                    if place >= 10 or block == 1:
                        times[name, heat].append((time.thread_time_ns() - begin) / 1e3)
    if chosen is None:
        times["omnireco sqlite, first list", "warm"] = first[10:]
        times["omnireco a stranger", "warm"] = _strangers(lives["sqlite"], eligible, now, calls)
    os.environ.pop("OMNIRECO_TOPK_TIER", None)
    return [
        {"items": n_items, "history": history, "way": name, "heat": heat, "p50_us": float(np.percentile(numbers, 50)),
         "p99_us": float(np.percentile(numbers, 99)), "calls": len(numbers)}
        for (name, heat), numbers in times.items()
        if numbers
    ]  # fmt: skip


def _strangers(live, eligible, now, calls):
    """Return the microseconds of lists for people of whom nothing is known."""
    found = []
    for number in range(min(calls, 500)):
        begin = time.thread_time_ns()
        live.recommend(f"stranger {number}", K, at=now, eligible=eligible)
        found.append((time.thread_time_ns() - begin) / 1e3)
    return found[10:]


def _ours(live, eligible, ids):
    """Return a request of ours: the event, then the list."""

    def answer(user, code, out, at, name):
        live.observe(
            {
                "user_id": user,
                "event": "view",
                "channel": "web",
                "item_id": ids[code],
                "timestamp": at,
                "event_id": name,
            }
        )
        after = at + dt.timedelta(milliseconds=5)
        return live.recommend(user, K, at=after, eligible=eligible, exclude=[ids[one] for one in out])

    return answer


def _theirs(model, held, n_items, barred):
    """Return a request of implicit's: the row of what the person had, and the list."""

    def answer(user, code, out, at, name):
        cells = held[user] = sorted({*held[user], code})
        row = sp.csr_matrix((np.ones(len(cells), np.float32), cells, [0, len(cells)]), (1, n_items))
        never = out if barred is None else np.append(barred, out)
        return model.recommend(0, row, N=K, recalculate_user=True, filter_already_liked_items=True, filter_items=never)

    return answer


def opening(n_items, folder):
    """Return what opening a snapshot costs a worker: seconds, and memory of its own beside what workers share."""
    draw = np.random.default_rng(0)
    factors = (draw.standard_normal((n_items, FACTORS)) / 8).astype(np.float32)
    ids = np.array([f"i{n:06d}" for n in range(n_items)], object)
    model = om.models.FactorModel.from_arrays(
        factors, items=ids, estimator=om.ALS(weights=om.Weights(), unobserved_weight=0.01)
    )
    path = om.live.Snapshot(model).save(Path(folder) / "snapshot")
    children, found = [], []
    for _ in range(3):
        inside, outside = os.pipe()
        back, go = os.pipe()
        child = os.fork()
        if child == 0:
            begin = time.perf_counter()
            live = Live(om.live.Snapshot.open(path))
            live.recommend("u", K, at=START)
            live.observe({"user_id": "u", "event": "view", "channel": "w", "item_id": "i000003", "timestamp": START})
            live.recommend("u", K, at=START + dt.timedelta(seconds=1))
            os.write(outside, b"%f" % (time.perf_counter() - begin))
            os.read(back, 1)
            os._exit(0)
        children.append((child, go))
        found.append(float(os.read(inside, 100)))
    mapped = [_mapped(child, str(path)) for child, _ in children]
    for child, go in children:
        os.write(go, b"x")
        os.waitpid(child, 0)
    return {"bytes": path.stat().st_size, "seconds": found, "resident": mapped[0][0], "proportional": mapped[0][1]}


def _mapped(child, path):
    """Return (resident, proportional) MB of a mapped file in a process."""
    inside, sizes = False, {"Rss:": 0, "Pss:": 0}
    for line in Path(f"/proc/{child}/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0] and ":" not in words[0]:
            inside = line.endswith(path)
        elif inside and words[0] in sizes:
            sizes[words[0]] += int(words[1])
    return sizes["Rss:"] / 1024, sizes["Pss:"] / 1024


def main():
    parser = options_of(__doc__, quick="20,000 items, few calls")
    parser.add_argument("--json", default="benchmarks/results/live.json")
    options = parser.parse_args()
    n_items, calls = (20_000, 100) if options.quick else (100_000, 2000)
    rows, found = [], header(__doc__)
    print(f"tier {tiers.tier()}; K = {K}, {FACTORS} factors; CPU microseconds of observe + recommend")
    print(f"{'items':>8} {'history':>7}  {'way':32} {'heat':5} {'p50':>9} {'p99':>9}")
    with tempfile.TemporaryDirectory() as folder:
        tasks = [
            (20, None),
            (60, None),
            (300, None),
            *((20, name) for name in tiers.available() if name != tiers.tier()),
        ]
        for history, chosen in tasks:
            place = Path(folder) / f"{history} {chosen}"
            place.mkdir()
            fewer = 4 if history == 300 or chosen is not None else 1
            part = measure(n_items, history, calls // fewer, place, chosen)
            rows += part
            for row in part:
                named = f"{row['items']:8d} {row['history']:7d}  {row['way']:32} {row['heat']:5}"
                print(f"{named} {row['p50_us']:9.1f} {row['p99_us']:9.1f}", flush=True)
        opened = opening(n_items, folder) if Path("/proc/self/smaps").exists() else None
    if opened:
        print(
            f"a snapshot of {opened['bytes'] / 2**20:.0f} MB opened by three workers: "
            f"{np.median(opened['seconds']):.2f} s to the first list; {opened['resident']:.0f} MB mapped in each, "
            f"{opened['proportional']:.0f} MB per worker"
        )
    lines = []
    for history in (20, 60, 300):
        mine = {(row["way"], row["heat"]): row for row in rows[::-1] if row["history"] == history}
        if ("implicit none", "warm") not in mine:
            continue
        for way in ("omnireco memory", "omnireco sqlite"):
            ours, theirs = mine[way, "warm"], mine["implicit filters", "warm"]
            ratios = [theirs[name] / ours[name] for name in ("p50_us", "p99_us")]
            good = ours["p99_us"] < 1000 and ratios[1] >= 5
            what = f"{way.removeprefix('omnireco ')}, history of {history}"
            headline(f"{what}: p99", ours["p99_us"], "us", goal="< 1000")
            for at, ratio in zip(("p50", "p99"), ratios, strict=True):
                mine_us, their_us, goal = ours[f"{at}_us"], theirs[f"{at}_us"], ">= 5"
                headline(f"{what}: {at}", mine_us, "us", beside="implicit", theirs=their_us, ratio=ratio, goal=goal)
            lines.append(
                f"{'reached' if good else 'MISSED':8} {way:16} history {history:4d}: p99 {ours['p99_us']:6.0f} us "
                f"(< 1000); implicit / ours at p50 {ratios[0]:.1f}, at p99 {ratios[1]:.1f} (>= 5)"
            )
    if not options.quick:
        print("\n".join(["", *lines]))
        write("live", {"machine": found, "rows": rows, "opening": opened, "gates": lines}, path=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
