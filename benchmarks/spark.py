"""Spark in local mode: lists for everybody, as people grow tenfold; a plan over partitions beside one machine.

    python benchmarks/spark.py [--quick] [--people N ...] [--plans N ...] [--cores C]

People are made inside the partitions, ten events each over 1,000 items, so that nothing but the answering is measured:
read, weigh, rank 10 of 1,000 without what was seen (ALS of 64 factors), write to nowhere. CPU seconds are those of the
Python workers; memory is the highest resident set of any worker, the same whatever the people where it is flat. The
last line says what 50 million people would take at the rate of the largest size: an extrapolation. Then `om.spark.plan`
beside `om.plan` on the same touches: value, gap, wall seconds. Needs PySpark and Java.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from _common import header, headline, options, skip

import omnireco as om
from omnireco.spark.lists import answering
from omnireco.spark.shipping import private, ship

ITEMS, EVENTS, K, BATCH = 1_000, 10, 10, 10_000
CELLS = "user_id bigint, cells array<struct<item_id:bigint,channel:string,event:string,_worth:double>>"
SIZES = (50_000, 500_000, 5_000_000)


def made(batches: Iterator[Any]) -> Iterator[Any]:
    """Yield people with ten cells each, by their number alone: the same in every run and partition."""
    for batch in batches:
        user = batch.column(0).to_numpy()
        n = user.size
        mixed = (user[:, None] * 2_654_435_761 + np.arange(EVENTS) * 40_503) % (1 << 32)
        item = (np.square(mixed / 2.0**32) * ITEMS).astype(np.int64).ravel()  # skewed: a few goods have most
        words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(item.size, np.int32)), ["web"]).cast(pa.string())
        view = pa.DictionaryArray.from_arrays(pa.array(np.zeros(item.size, np.int32)), ["view"]).cast(pa.string())
        worth = pa.array(np.full(item.size, 1.0))
        cell = pa.StructArray.from_arrays(
            [pa.array(item), words, view, worth], names=["item_id", "channel", "event", "_worth"]
        )
        cells = pa.ListArray.from_arrays(pa.array(np.arange(0, (n + 1) * EVENTS, EVENTS, dtype=np.int32)), cell)
        yield pa.record_batch([pa.array(user), cells], names=["user_id", "cells"])


def measured(name: str) -> Any:
    """Return the answering of the library, with what it cost in the place of its lists."""
    answer = answering(name, {"k": K, "eligible": None, "exclude": None, "exclude_seen": True}, ("bigint", "bigint"))

    @private
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        import resource

        cpu, made_cpu, lines = time.process_time(), 0.0, 0

        def timed() -> Iterator[Any]:
            nonlocal made_cpu
            source = made(batches)
            while True:
                begun = time.process_time()
                one = next(source, None)
                made_cpu += time.process_time() - begun
                if one is None:
                    return
                yield one

        for found in answer(timed()):
            lines += found.num_rows
        used = time.process_time() - cpu - made_cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        yield pa.record_batch([[lines], [used], [peak], [os.getpid()]], names=["lines", "cpu", "peak", "pid"])

    return run


def session(cores: int) -> Any:
    """Return a local session."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(f"local[{cores}]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", str(BATCH))
    builder = builder.config("spark.ui.showConsoleProgress", "false").config("spark.sql.shuffle.partitions", "8")
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def peak_of(pid: int) -> float:
    """Return the highest resident set of a process so far, MB; NaN where the system does not say."""
    try:
        with open(f"/proc/{pid}/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return float("nan")


def lists(spark: Any, sizes: tuple[int, ...], cores: int) -> None:
    """Print what lists for everybody cost as people grow."""
    rng = np.random.default_rng(0)
    log = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(5_000), EVENTS),
            "item_id": (rng.random(5_000 * EVENTS) ** 2 * ITEMS).astype(np.int64),
            "channel": "web",
            "event": "view",
            "timestamp": pd.Timestamp("2025-01-01", tz="UTC"),
        }
    )
    model = om.ALS(weights=om.Weights()).fit(om.EventLog.from_frame(log))
    name = ship(model, spark.sparkContext)
    kinds = "lines bigint, cpu double, peak double, pid bigint"
    run = measured(name)
    spark.range(BATCH, numPartitions=cores).mapInArrow(run, kinds).collect()  # whoever is first opens and compiles
    names = ("people", "wall s", "CPU s", "people/s/core", "rows/s/core", "MB a worker", "MB of Java")
    print("\n" + "".join(f"{one:>14}" for one in names))
    java = int(spark._jvm.java.lang.ProcessHandle.current().pid())
    rate = 0.0
    for n in sizes:
        parts = max(cores, n // 125_000)
        begun = time.perf_counter()
        found = spark.range(n, numPartitions=parts).mapInArrow(run, kinds).toPandas()
        wall, cpu, rows = time.perf_counter() - begun, float(found["cpu"].sum()), int(found["lines"].sum())
        rate = n / cpu
        print(
            f"{n:>14,}{wall:>14.1f}{cpu:>14.1f}{rate:>14,.0f}{rows / cpu:>14,.0f}{found['peak'].max():>14,.0f}"
            f"{peak_of(java):>14,.0f}",
            flush=True,
        )
    headline(f"lists for {sizes[-1]:,} people", rate, "people/s/core")
    print(f"extrapolated: 50,000,000 people at {rate:,.0f} a second and core are {5e7 / rate / 3600:.2f} core hours")


def plans(spark: Any, sizes: tuple[int, ...]) -> None:
    """Print plans over partitions beside those of one machine."""
    names = ("people", "touches", "one: value", "gap", "s", "Spark: value", "gap", "s")
    print("\n" + "".join(f"{name:>13}" for name in names))
    for n in sizes:
        rng = np.random.default_rng(1)
        m = n * 12
        frame = pd.DataFrame(
            {
                "user_id": np.repeat(np.arange(n), 12),
                "item_id": rng.integers(0, 50, m),
                "channel": np.array(["push", "email", "sms"])[rng.integers(0, 3, m)],
                "send_at": pd.Timestamp("2025-06-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 48, m), unit="h"),
                "value": rng.lognormal(-2, 1, m),
            }
        )
        rules = [
            om.FrequencyCap(2, per="24h"),
            om.planning.OncePerItem(),
            om.Budget("sms", cost=0.05, total=0.005 * n),
            om.Capacity("push", per="1h", limit=max(1, n // 150)),
        ]
        begun = time.perf_counter()
        one = om.plan(om.planning.Candidates.from_frame(frame), constraints=rules)
        first = time.perf_counter() - begun
        table = spark.createDataFrame(pa.Table.from_pandas(frame, preserve_index=False))
        begun = time.perf_counter()
        many = om.spark.plan(table, constraints=rules, n_parts=max(2, n // 20_000))
        second = time.perf_counter() - begun
        print(
            f"{n:>13,}{m:>13,}{one.value:>13.2f}{one.optimality_gap:>13.1e}{first:>13.1f}"
            f"{many.value:>13.2f}{many.optimality_gap:>13.1e}{second:>13.1f}   {many.passes} passes",
            flush=True,
        )
        gap, one_gap = 100 * many.optimality_gap, 100 * one.optimality_gap
        headline(f"plan of {m:,} touches: gap", gap, "%", beside="one machine", theirs=one_gap)


def main() -> None:
    """Measure."""
    parser = options(__doc__ or "")
    parser.add_argument("--people", type=int, nargs="+", help="sizes of the lists; 50,000 to 5,000,000 by default")
    parser.add_argument("--plans", type=int, nargs="*", help="sizes of the plans; 5,000 and 50,000 by default")
    parser.add_argument("--cores", type=int, default=2)
    asked = parser.parse_args()
    if importlib.util.find_spec("pyspark") is None or shutil.which("java") is None:
        skip("this needs PySpark (pip install 'omnireco[spark]') and Java")
    header(__doc__ or "")
    spark = session(asked.cores)
    sizes = tuple(asked.people or (SIZES[:1] if asked.quick else SIZES))
    lists(spark, sizes, asked.cores)
    plans(spark, tuple((2_000,) if asked.quick else (5_000, 50_000)) if asked.plans is None else tuple(asked.plans))
    spark.stop()


if __name__ == "__main__":
    main()
