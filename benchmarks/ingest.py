"""From a frame of raw events to a decayed users x items matrix: omnireco beside pandas, polars and duckdb recipes.

    python benchmarks/ingest.py [--rows 20000000] [--repeats 3] [--order shuffled|time] [--only METHOD...] [--quick]

String ids (500,000 people, 100,000 items), 5 channels, 6 event types, timestamps of half a year in milliseconds. Each
library starts from its own frame in memory, which is not counted, and ends at the same scipy CSR in float32, its rows
and columns in order of the ids, which is checked. The recipes make one matrix; omnireco also keeps the coded, sorted
log and one layer per channel. Times: rounds in which every method runs once, one process, medians; ratios are medians
of the rounds' ratios. Memory: the peak of resident memory above the frame, each method in a process of its own.
Writes results/ingest.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp
from _common import header, headline, left_out, write
from _common import options as options_of

import omnireco as om

USERS, ITEMS, DAYS = 500_000, 100_000, 180
CHANNELS = {"web": 1.0, "app": 1.0, "store": 2.0, "email": 0.5, "call_centre": 1.0}
EVENTS = {"view": 1.0, "search": 0.5, "add_to_cart": 4.0, "purchase": 8.0, "return": -4.0, "wishlist": 2.0}
HALF_LIFE_DAYS = 30
START_US, DAY_US = 1_735_689_600_000_000, 86_400_000_000
WEIGHTS = om.Weights(events=EVENTS, channels=CHANNELS, half_life=f"{HALF_LIFE_DAYS}D")
Result = tuple[sp.csr_matrix, list[str], list[str]]


def raw_events(rows: int, *, ordered: bool = False, seed: int = 0) -> pa.Table:
    """Return raw events as an Arrow table of plain strings; popular items are chosen more often."""
    draw = np.random.default_rng(seed)
    at = START_US + draw.integers(0, DAYS * DAY_US // 1000, rows) * 1000
    columns = {
        "user_id": (draw.integers(0, USERS, rows, np.int32), [f"u{n:07d}" for n in range(USERS)]),
        "item_id": ((draw.random(rows) ** 2 * ITEMS).astype(np.int32), [f"sku-{n}" for n in range(ITEMS)]),
        "channel": (draw.integers(0, len(CHANNELS), rows, np.int32), list(CHANNELS)),
        "event": (draw.integers(0, len(EVENTS), rows, np.int32), list(EVENTS)),
    }
    table: dict[str, Any] = {}
    for name, (codes, names) in columns.items():
        table[name] = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(names)).cast(pa.large_string())
    table["timestamp"] = pa.array(np.sort(at) if ordered else at, pa.timestamp("us", "UTC"))
    return pa.table(table)


# the methods: each is (how its own frame is made, how the frame becomes a matrix) ----------------------------


def with_omnireco(frame: pd.DataFrame) -> Result:
    """The main way: a log that everything else can be built from, then the matrix."""
    x = om.EventLog.from_frame(frame).matrix(WEIGHTS)
    return x.csr, x.users.ids, x.items.ids


def with_pandas(frame: pd.DataFrame) -> Result:
    """Factorize, weigh, coo to csr: the fastest straightforward pandas that we know."""
    user, users = pd.factorize(frame["user_id"], sort=True)
    item, items = pd.factorize(frame["item_id"], sort=True)
    event, events = pd.factorize(frame["event"])
    channel, channels = pd.factorize(frame["channel"])
    weight = np.array([EVENTS[e] for e in events])[event] * np.array([CHANNELS[c] for c in channels])[channel]
    age = (frame["timestamp"].max() - frame["timestamp"]).dt.total_seconds().to_numpy() / 86400
    weight *= np.exp2(-age / HALF_LIFE_DAYS)
    matrix = sp.coo_matrix((weight.astype(np.float32), (user, item)), (len(users), len(items))).tocsr()
    matrix.sort_indices()
    return matrix, users, items


def with_pandas_groupby(frame: pd.DataFrame) -> Result:
    """Group by the strings themselves: what most notebooks do."""
    age = (frame["timestamp"].max() - frame["timestamp"]).dt.total_seconds() / 86400
    weight = frame["event"].map(EVENTS) * frame["channel"].map(CHANNELS) * np.exp2(-age / HALF_LIFE_DAYS)
    cells = frame.assign(weight=weight).groupby(["user_id", "item_id"])["weight"].sum()
    users, items = cells.index.levels
    codes = tuple(np.asarray(code, np.int32) for code in cells.index.codes)
    matrix = sp.coo_matrix((cells.to_numpy(np.float32), codes), (len(users), len(items))).tocsr()
    matrix.sort_indices()
    return matrix, users, items


def with_polars(frame: Any) -> Result:
    """Dense ranks as codes, weights by expression, coo to csr: faster than a polars group_by of the cells."""
    import polars as pl

    users = frame.select(pl.col("user_id").unique().sort()).with_row_index("user")
    items = frame.select(pl.col("item_id").unique().sort()).with_row_index("item")
    age = (pl.col("timestamp").max() - pl.col("timestamp")).dt.total_microseconds() / (HALF_LIFE_DAYS * DAY_US)
    weight = pl.col("event").replace_strict(EVENTS) * pl.col("channel").replace_strict(CHANNELS) * (2.0 ** (-age))
    coded = (
        frame.lazy()
        .join(users.lazy(), on="user_id")
        .join(items.lazy(), on="item_id")
        .select("user", "item", weight.cast(pl.Float32).alias("weight"))
        .collect()
    )
    shape = (len(users), len(items))
    codes = (coded["user"].to_numpy().view(np.int32), coded["item"].to_numpy().view(np.int32))
    matrix = sp.coo_matrix((coded["weight"].to_numpy(), codes), shape).tocsr()
    matrix.sort_indices()
    return matrix, users["user_id"].to_list(), items["item_id"].to_list()


def with_polars_enum(frame: Any) -> Result:
    """Enums of the sorted distinct ids as codes, coo to csr."""
    import polars as pl

    codes, names = [], []
    for name in ("user_id", "item_id"):
        ids = frame[name].unique().sort()
        codes.append(frame[name].cast(pl.Enum(ids)).to_physical().to_numpy().view(np.int32))
        names.append(ids.to_list())
    age = (pl.col("timestamp").max() - pl.col("timestamp")).dt.total_microseconds() / (HALF_LIFE_DAYS * DAY_US)
    weight = pl.col("event").replace_strict(EVENTS) * pl.col("channel").replace_strict(CHANNELS) * (2.0 ** (-age))
    weights = frame.select(weight.cast(pl.Float32).alias("weight"))["weight"].to_numpy()
    matrix = sp.coo_matrix((weights, tuple(codes)), (len(names[0]), len(names[1]))).tocsr()
    matrix.sort_indices()
    return matrix, names[0], names[1]


def with_duckdb(table: pa.Table) -> Result:
    """One query that codes, weighs, sums and sorts; the answer is the CSR's arrays."""
    import duckdb

    def cases(column: str, weights: dict[str, float]) -> str:
        return f"CASE {column} " + " ".join(f"WHEN '{k}' THEN {v}::DOUBLE" for k, v in weights.items()) + " END"

    connection = duckdb.connect()
    connection.register("events", table)
    connection.execute("SET TimeZone = 'UTC'")
    for name, code in (("user_id", "user_code"), ("item_id", "item_code")):
        connection.execute(
            f"CREATE TEMP TABLE {code}s AS SELECT {name}, (row_number() OVER (ORDER BY {name}) - 1)::INTEGER AS {code} "
            f"FROM (SELECT DISTINCT {name} FROM events)"
        )
    found = connection.execute(
        f"""
        WITH last AS (SELECT max(timestamp) AS at FROM events)
        SELECT user_code, item_code, sum({cases("event", EVENTS)} * {cases("channel", CHANNELS)}
            * pow(2, -(epoch_us(last.at) - epoch_us(timestamp)) / {HALF_LIFE_DAYS * DAY_US}::DOUBLE))::FLOAT AS weight
        FROM events JOIN user_codes USING (user_id) JOIN item_codes USING (item_id), last
        GROUP BY user_code, item_code
        """
    ).fetchnumpy()
    users, items = (
        connection.execute(f"SELECT {name} FROM {code}s ORDER BY {code}").fetchnumpy()[name].tolist()
        for name, code in (("user_id", "user_code"), ("item_id", "item_code"))
    )
    cells = (found["weight"], (found["user_code"], found["item_code"]))
    matrix = sp.coo_matrix(cells, (len(users), len(items))).tocsr()
    matrix.sort_indices()
    connection.close()
    return matrix, users, items


def polars_frame(table: pa.Table) -> Any:
    import polars as pl

    return pl.from_arrow(table)


def pandas_frame(table: pa.Table) -> pd.DataFrame:
    """Return what pandas users have: string columns of pandas 3 share Arrow's buffers."""
    return table.to_pandas()


METHODS: dict[str, tuple[str, Callable[[pa.Table], Any], Callable[[Any], Result]]] = {
    "omnireco": ("omnireco", pandas_frame, with_omnireco),
    "omnireco, polars frame": ("polars", polars_frame, with_omnireco),
    "pandas": ("pandas", pandas_frame, with_pandas),
    "pandas, groupby": ("pandas", pandas_frame, with_pandas_groupby),
    "polars, joins": ("polars", polars_frame, with_polars),
    "polars, enums": ("polars", polars_frame, with_polars_enum),
    "duckdb": ("duckdb", lambda table: table, with_duckdb),
}


# measuring ------------------------------------------------------------------------------------------------


def resident() -> int:
    """Return the resident memory of this process, bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Peak:
    """The largest resident memory while a block runs, seen every two milliseconds."""

    def __enter__(self) -> Peak:
        self.before = self.most = resident()
        self.running = True
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while self.running:
            self.most = max(self.most, resident())
            time.sleep(0.002)

    def __exit__(self, *error: object) -> None:
        self.running = False
        self.thread.join()

    @property
    def added_mb(self) -> float:
        return (self.most - self.before) / 1e6


def measure_memory(name: str, options: argparse.Namespace) -> float:
    """Return the peak above the frame of one method in a process of its own."""
    command = [sys.executable, __file__, "--rows", str(options.rows), "--order", options.order, "--memory-of", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def memory_of(name: str, options: argparse.Namespace) -> None:
    _, frame_of, method = METHODS[name]
    method(frame_of(raw_events(300_000)))  # loads, compiles, and starts threads
    frame = frame_of(raw_events(options.rows, ordered=options.order == "time"))
    pa.default_memory_pool().release_unused()
    with Peak() as peak:
        method(frame)
    print(f"{peak.added_mb:.0f}")


def main() -> None:
    parser = options_of(__doc__, quick="a million rows, one repeat")
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--order", choices=["shuffled", "time"], default="shuffled", help="of the raw rows")
    parser.add_argument("--only", nargs="+", choices=METHODS, help="these methods, and omnireco")
    parser.add_argument("--memory-of", choices=METHODS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        memory_of(options.memory_of, options)
        return
    header(__doc__)
    if options.quick:
        options.rows, options.repeats = 1_000_000, 1
    methods = {}
    for name, (package, frame_of, method) in METHODS.items():
        if options.only and name not in {"omnireco", *options.only}:
            continue
        try:
            __import__(package)
        except ImportError:
            left_out(name, f"{package} is not installed (pip install {package})")
            continue
        methods[name] = (frame_of, method)
    table = raw_events(options.rows, ordered=options.order == "time")
    small = raw_events(300_000)
    frames = {}
    for name, (frame_of, method) in methods.items():
        method(frame_of(small))
        frames[name] = frame_of(table)
    wall: dict[str, list[float]] = {name: [] for name in methods}
    cpu: dict[str, list[float]] = {name: [] for name in methods}
    expected: Result | None = None
    for _ in range(options.repeats):
        for name, (_, method) in methods.items():
            start, busy = perf_counter(), process_time()
            matrix, users, items = method(frames[name])
            wall[name].append(perf_counter() - start)
            cpu[name].append(process_time() - busy)
            if expected is None:
                expected = matrix, list(users), list(items)
            check(expected, matrix, users, items, name)
            del matrix
    del frames, table
    memory = {name: measure_memory(name, options) for name in methods}

    print(f"{options.rows:,} rows, {options.order}, {os.cpu_count()} cores; times and ratios are medians")
    print(f"{'':24}{'seconds':>9}{'CPU s':>8}{'rows/s':>13}{'peak MB':>9}{'time / ours':>13}{'memory / ours':>15}")
    rows = {}
    for name in methods:
        ratio = float(np.median(np.array(wall[name]) / np.array(wall["omnireco"])))
        rows[name] = {
            "seconds": float(np.median(wall[name])),
            "cpu_seconds": float(np.median(cpu[name])),
            "peak_mb": memory[name],
            "time_ratio": ratio,
            "cpu_ratio": float(np.median(np.array(cpu[name]) / np.array(cpu["omnireco"]))),
        }
        seconds = rows[name]["seconds"]
        print(
            f"{name:24}{seconds:9.2f}{rows[name]['cpu_seconds']:8.2f}{options.rows / seconds:13,.0f}"
            f"{memory[name]:9.0f}{ratio:13.2f}{memory[name] / memory['omnireco']:15.2f}"
        )
    ours = rows["omnireco"]
    for name in methods:
        if name != "omnireco":
            theirs, ratio, what = (
                rows[name]["cpu_seconds"],
                rows[name]["cpu_ratio"],
                f"{options.rows:,} events to a matrix",
            )
            headline(what, ours["cpu_seconds"], "CPU s", beside=name, theirs=theirs, ratio=ratio)
    headline(f"{options.rows:,} events to a matrix: peak", ours["peak_mb"], "MB")
    if options.quick:
        return
    write("ingest", {"rows": options.rows, "order": options.order, "methods": rows, "omnireco": om.__version__})


def check(expected: Result, matrix: sp.csr_matrix, users: Any, items: Any, name: str) -> None:
    """Fail when a method's matrix is another one: its ids, its cells, its numbers to float32."""
    reference, known_users, known_items = expected
    assert list(users) == known_users, name
    assert list(items) == known_items, name
    gap = abs(reference - matrix)
    scale = float(abs(reference.data).max())
    assert gap.max() < 1e-5 * scale, f"{name}: cells differ by {gap.max()}"


if __name__ == "__main__":
    main()
