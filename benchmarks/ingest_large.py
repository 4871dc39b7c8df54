"""A hundred million raw events in parquet to a decayed users x items matrix, without holding them.

    python benchmarks/ingest_large.py [--rows 100000000] [--folder DIR]

Writes parquet files of two million rows (string ids, as `benchmarks/ingest.py` draws them) to a temporary folder, which
is removed in the end; then a process of its own scans them with a progress bar and reports its peak of resident
memory. Writes results/ingest_large.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _common import header, headline, skip
from _common import options as options_of
from _common import write as write_result
from ingest import CHANNELS, DAY_US, DAYS, EVENTS, ITEMS, START_US, USERS, WEIGHTS

import omnireco as om

PART = 2_000_000


def write(folder: Path, rows: int) -> int:
    """Write the files; return their bytes."""
    names = {
        "user_id": pa.array([f"u{n:07d}" for n in range(USERS)]),
        "item_id": pa.array([f"sku-{n}" for n in range(ITEMS)]),
        "channel": pa.array(list(CHANNELS)),
        "event": pa.array(list(EVENTS)),
    }
    for number, first in enumerate(range(0, rows, PART)):
        n, draw = min(PART, rows - first), np.random.default_rng(number)
        codes = {
            "user_id": draw.integers(0, USERS, n, np.int32),
            "item_id": (draw.random(n) ** 2 * ITEMS).astype(np.int32),
            "channel": draw.integers(0, len(CHANNELS), n, np.int32),
            "event": draw.integers(0, len(EVENTS), n, np.int32),
        }
        table = {name: pa.DictionaryArray.from_arrays(pa.array(code), names[name]) for name, code in codes.items()}
        at = START_US + draw.integers(0, DAYS * DAY_US // 1000, n) * 1000
        table["timestamp"] = pa.array(at, pa.timestamp("us", "UTC"))
        pq.write_table(pa.table(table), folder / f"part-{number:04d}.parquet", store_schema=False)
    return sum(file.stat().st_size for file in folder.iterdir())


def measure(folder: str) -> None:
    """Scan, and print what it took as JSON; the bar goes to standard error."""
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, busy = perf_counter(), process_time()
    scan = om.EventLog.scan(folder)
    x = scan.matrix(WEIGHTS, progress=True)
    found = {
        "rows": len(scan),
        "seconds": perf_counter() - start,
        "cpu_seconds": process_time() - busy,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "before_gb": loaded / 1e6,
        "answer_gb": sum(m.data.nbytes + m.indices.nbytes + m.indptr.nbytes for m in (x.csr, *x.layers.values())) / 1e9,
        "matrix": repr(x),
    }
    print(json.dumps(found))


def main() -> None:
    parser = options_of(__doc__, quick="a million rows; nothing is written")
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--folder", help="where the temporary folder is made")
    parser.add_argument("--scan", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.scan:
        measure(options.scan)
        return
    header(__doc__)
    if options.quick:
        options.rows = 1_000_000
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        if shutil.disk_usage(folder).free < 40 * options.rows:
            skip(f"this needs some {40 * options.rows / 1e9:.0f} GB of disk. Pass --folder or fewer --rows.")
        start = perf_counter()
        size = write(folder, options.rows)
        print(f"wrote {options.rows:,} rows, {size / 1e9:.1f} GB, in {perf_counter() - start:.0f} s", flush=True)
        command = [sys.executable, __file__, "--scan", str(folder)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    finally:
        shutil.rmtree(folder)
    found = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{found['rows']:,} rows in {found['seconds']:.1f} s ({found['rows'] / found['seconds']:,.0f} rows/s, "
        f"{found['cpu_seconds']:.1f} s CPU); peak {found['peak_gb']:.1f} GB, of which the answer takes "
        f"{found['answer_gb']:.1f} GB\n{found['matrix']}"
    )
    what = f"{found['rows']:,} events of parquet files"
    headline(what, found["cpu_seconds"], "CPU s")
    headline(f"{what}: peak", found["peak_gb"], "GB", beside="the answer", theirs=found["answer_gb"])
    if not options.quick:
        write_result("ingest_large", found | {"parquet_bytes": size})


if __name__ == "__main__":
    main()
