"""EASE on a large catalogue: the inverse in blocks beside LAPACK, and a whole fit with its peak of memory.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/ease.py [--items 5000 10000 20000] [--threads 1 2]

Inverse: wall and CPU seconds on one square in float32, beside ``spotrf`` and ``spotri`` on as many threads of BLAS, and
whether the bytes agree with those of one thread. Fit: drawn interactions of Gowalla's shape at 40,981 items (29,858
people, 1,027,370 cells), scaled down for less, or your own log; the peak is that of resident memory, and what is stated
is what the fit asks for beforehand.
"""

from __future__ import annotations

import resource
from time import perf_counter, process_time
from typing import Any

import numpy as np
import scipy.sparse as sp
from _common import header, headline, options, own_log, write
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

import omnireco as om
from omnireco._core.compute import usable_threads
from omnireco._kernels.inverse import invert_in_place

PEOPLE, ITEMS, CELLS = 29_858, 40_981, 1_027_370


def drawn(n_items: int, seed: int = 0) -> om.Interactions:
    """Return cells of Gowalla's shape, at a smaller size in proportion; popular items are drawn more often."""
    rng = np.random.default_rng(seed)
    n_people, n = PEOPLE * n_items // ITEMS, CELLS * n_items // ITEMS
    cells = (np.ones(n, np.float32), (rng.integers(0, n_people, n), (rng.random(n) ** 2 * n_items).astype(np.int64)))
    matrix = sp.csr_matrix(cells, (n_people, n_items))
    matrix.data[:] = 1.0
    return om.Interactions.from_scipy(matrix)


def inverse(n: int, threads: list[int], peers: bool) -> list[dict[str, Any]]:
    draw = np.random.default_rng(0).random((n, 256), np.float32)
    gram = draw @ draw.T
    gram[np.diag_indices(n)] += 200.0
    rows, first = [], None
    for count in threads:
        square, wall, cpu = gram.copy(), perf_counter(), process_time()
        invert_in_place(square, count)
        row = {"items": n, "threads": count, "wall_s": perf_counter() - wall, "cpu_s": process_time() - cpu}
        row["gflops"] = 2 * n**3 / 2 / row["wall_s"] / 1e9
        digest = hash(square.tobytes()) if n <= 10_000 else float(np.triu(square).sum(dtype=np.float64))
        first = digest if first is None else first
        row["equal_to_one"] = digest == first
        del square
        if peers:
            other, wall, cpu = gram.copy(), perf_counter(), process_time()
            with threadpool_limits(limits=count, user_api="blas"):
                factor, _ = lapack.spotrf(other.T, lower=1, overwrite_a=1, clean=0)
                lapack.spotri(factor, lower=1, overwrite_c=1)
            row |= {"lapack_wall_s": perf_counter() - wall, "lapack_cpu_s": process_time() - cpu}
            row["times_lapack"] = row["lapack_wall_s"] / row["wall_s"]
            del other, factor
        rows.append(row)
        print(
            "  " + "  ".join(f"{k} {v:,.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()),
            flush=True,
        )
    return rows


def fit(x: om.Interactions, threads: int) -> dict[str, Any]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    wall, cpu = perf_counter(), process_time()
    model = om.EASE().fit(x, threads=threads)
    wall, cpu = perf_counter() - wall, process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    square = 4 * x.n_items**2 / 2**30
    print(
        f"  {x}: fit on {threads} threads {wall:,.1f} s, {cpu:,.1f} s CPU; peak {peak:.2f} GiB (before {before:.2f}), "
        f"one square in float32 {square:.2f} GiB; {model}",
        flush=True,
    )
    return {
        "items": x.n_items,
        "threads": threads,
        "wall_s": wall,
        "cpu_s": cpu,
        "peak_gib": peak,
        "square_gib": square,
    }


def main() -> None:
    parser = options(__doc__, quick="2,000 items only", data="columns user_id and item_id; EASE is fitted on it")
    parser.add_argument("--items", type=int, nargs="*", default=[5_000, 10_000, 20_000], help="sizes of the inverse")
    parser.add_argument("--threads", type=int, nargs="*", default=sorted({1, 2, usable_threads()}))
    parser.add_argument("--fit", type=int, default=20_000, help="items of the drawn fit; 40981 is Gowalla's size")
    parser.add_argument(
        "--no-lapack", action="store_true", help="leave the peer out, whose threads suffer beside others"
    )
    asked = parser.parse_args()
    found = header(__doc__)
    sizes, n_fit = ([2_000], 2_000) if asked.quick else (asked.items, asked.fit)
    rows = [row for n in sizes for row in inverse(n, asked.threads, not asked.no_lapack)]
    x = drawn(n_fit) if asked.data is None else om.Interactions.from_frame(own_log(asked.data), binary=True)
    fits = [fit(x, usable_threads())]
    for row in rows:
        if row["threads"] == max(asked.threads) and "times_lapack" in row:
            what, theirs = f"inverse of {row['items']:,} items, {row['threads']} threads", row["lapack_wall_s"]
            headline(what, row["wall_s"], "s", beside="LAPACK", theirs=theirs, ratio=row["times_lapack"])
    made = fits[0]
    headline(f"EASE fit, {made['items']:,} items", made["cpu_s"], "CPU s")
    square = made["square_gib"]
    headline(f"EASE fit, {made['items']:,} items: peak", made["peak_gib"], "GiB", beside="one square", theirs=square)
    if not asked.quick:
        write("ease", {"machine": found, "inverse": rows, "fit": fits})


if __name__ == "__main__":
    main()
