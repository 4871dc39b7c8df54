"""What every benchmark shares: options, one header about the machine, the reader's own log, headline numbers, results.

Scripts are run as ``python benchmarks/NAME.py``, so they say ``from _common import header, headline, options, write``.
``tools/bench.py`` runs them all and prints their headline numbers on one page.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

__all__ = [
    "data_folder",
    "header",
    "headline",
    "headline_of",
    "left_out",
    "machine",
    "options",
    "own_log",
    "own_span",
    "plainly",
    "skip",
    "write",
]

COLLECTED = "OMNIRECO_BENCH"  # a file that gathers headline numbers, set by tools/bench.py
SKIPPED = 77  # the exit code of a script that cannot run here, as Automake has it
SETS = ("avx2", "fma", "avx512f", "avx512vnni", "avxvnni", "neon", "dotprod", "i8mm", "sve")
FOLDER = Path(__file__).parent / "results"


def options(doc: str, *, quick: str = "small sizes and few repeats", data: str = "") -> argparse.ArgumentParser:
    """Return a parser with ``--quick``, and with ``--data`` where a script says what it does with one's own log."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{quick}; no gates are printed")
    if data:
        parser.add_argument("--data", type=Path, metavar="FILE", help=f"your own log, CSV or parquet: {data}")
    return parser


def machine() -> dict[str, Any]:
    """Return what a time depends on: processor, instruction sets, cores, BLAS and its threads, the top-K tier."""
    import numpy as np
    from threadpoolctl import threadpool_info

    import omnireco as om
    from omnireco._core.compute import usable_threads
    from omnireco._kernels.topk.exact import tier

    np.ones((2, 2)) @ np.ones((2, 2))
    blas = [
        f"{one['internal_api']} {one['version']} ({one.get('architecture', '?')}, {one['num_threads']} threads)"
        for one in threadpool_info()
        if one["user_api"] == "blas"
    ]
    forced = [f"{name}={os.environ[name]}" for name in sorted(os.environ) if name.startswith("OPENBLAS_")]
    return {
        "processor": _processor(),
        "instruction_sets": _instruction_sets(),
        "threads": usable_threads(),
        "blas": "; ".join(sorted(set(blas))),
        "set_in_environment": forced,
        "tier": tier(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "omnireco": om.__version__,
    }


def header(title: str = "") -> dict[str, Any]:
    """Print the machine in three lines, the same in every benchmark, and return it for the file of results."""
    found = machine()
    sets = " ".join(found["instruction_sets"]) or "unknown"
    if title:
        print(title.strip().splitlines()[0])
    print(f"processor {found['processor']}; {found['threads']} threads; instruction sets: {sets}")
    print(f"top-K tier {found['tier']}; BLAS {found['blas']}")
    print(f"omnireco {found['omnireco']}; numpy {found['numpy']}; python {found['python']}")
    if any(one.startswith(("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")) for one in found["set_in_environment"]):
        print(
            f"WARNING: the environment holds BLAS back ({', '.join(found['set_in_environment'])}): unset it to measure"
        )
    print(flush=True)
    return found


def headline(
    what: str,
    ours: float,
    unit: str = "",
    *,
    beside: str = "",
    theirs: float | None = None,
    ratio: float | None = None,
    gap: Sequence[float] | None = None,
    goal: str = "",
) -> None:
    """Print one of the few numbers that a script is about, and hand it to the page of ``make bench``.

    ``ratio`` is how many times better than the peer, ``gap`` a difference with the ends of its interval; ``goal``
    (``">= 5"``, ``"<= 1000"``) is about the ratio, else the gap, else our own number.
    """
    line = {"what": what, "ours": ours, "unit": unit, "beside": beside, "theirs": theirs}
    line |= {"ratio": ratio, "gap": None if gap is None else [float(one) for one in gap], "goal": goal}
    _collect(line)
    parts = [f"{what}: {number(ours)} {unit}".rstrip()]
    if beside:
        parts.append(f"{beside} {'' if theirs is None else number(theirs)}".rstrip())
    if ratio is not None:
        parts.append(f"{ratio:.2f} times")
    if gap is not None:
        parts.append(interval_text(gap))
    print("headline " + ", ".join(parts) + (f" (goal {goal})" if goal else ""), flush=True)


def headline_of(report: Any, model: str, baseline: str, what: str, *, metric: str = "ndcg", goal: str = "") -> None:
    """Say as a headline what a model of a quality report earns, and its paired difference to another."""
    mean = report.to_frame().query("metric == @metric").set_index("model")["mean"]
    row = report.differences(baseline).query("metric == @metric and model == @model").iloc[0]
    gap = [row["difference"], row["low"], row["high"]]
    headline(what, mean[model], beside=baseline, theirs=mean[baseline], gap=gap, goal=goal)


def left_out(what: str, reason: object) -> None:
    """Print what is missing from this run and why, and hand it to the page of ``make bench``."""
    print(f"{what}: left out, {reason}", flush=True)
    _collect({"left out": what, "reason": str(reason)})


def skip(reason: str) -> NoReturn:
    """End a script that cannot run here."""
    print(f"skipped: {reason}", flush=True)
    raise SystemExit(SKIPPED)


def data_folder(*needs: str) -> Path:
    """Return the folder of real data, or end the script and say what is missing."""
    place = os.environ.get("OMNIRECO_DATA")
    if not place:
        skip(f"it needs real data: set OMNIRECO_DATA to the folder that holds {' and '.join(needs) or 'them'}")
    missing = [name for name in needs if not (Path(place) / name).exists()]
    if missing:
        skip(f"the folder in OMNIRECO_DATA has no {' and no '.join(missing)}")
    return Path(place)


def number(value: float) -> str:
    """Return a number as a reader wants it: three digits, or whole from a thousand on."""
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.3g}"


def interval_text(gap: Sequence[float]) -> str:
    """Return a difference and, where there are three numbers, the ends of its interval."""
    ends = f" [{gap[1]:+.4f}, {gap[2]:+.4f}]" if len(gap) == 3 else ""
    return f"{gap[0]:+.4f}{ends}"


def _collect(line: dict[str, Any]) -> None:
    if place := os.environ.get(COLLECTED):
        with open(place, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=float) + "\n")


def own_log(
    path: Path,
    *,
    needs: Sequence[str] = ("user_id", "item_id"),
    times: Sequence[str] = (),
    defaults: dict[str, Any] | None = None,
    most: int | None = None,
) -> Any:
    """Return the frame of a CSV or parquet file that has these columns; ``most`` keeps the first rows.

    ``times`` are read as instants (UTC where no offset is written); ``defaults`` fill columns that are not there.
    """
    import pandas as pd

    if not path.is_file():
        raise SystemExit(f"There is no file {path}. Pass --data a CSV or a parquet file.")
    parquet = path.suffix in {".parquet", ".pq"}
    try:
        frame = pd.read_parquet(path) if parquet else pd.read_csv(path, sep=_separator(path))
    except (ValueError, OSError) as error:
        kind = "parquet" if parquet else "CSV"
        raise SystemExit(f"{path.name} could not be read as {kind}: {str(error).splitlines()[0]}") from None
    missing = [name for name in dict.fromkeys((*needs, *times)) if name not in frame]
    if missing:
        have = ", ".join(map(str, frame.columns))
        raise SystemExit(f"{path.name} has no column {', '.join(missing)}; it has {have}. Rename them in the file.")
    if frame.empty:
        raise SystemExit(f"{path.name} has no rows under its header.")
    for name in times:
        frame[name] = _instants(frame[name], path.name, blanks=name not in needs)
    for name in needs:
        if n := int(frame[name].isna().sum()):
            raise SystemExit(f"{path.name}: {n:,} of {len(frame):,} rows have no {name}. Leave these rows out.")
    for name, value in (defaults or {}).items():
        if name not in frame:
            frame[name] = value
    return frame if most is None else frame.iloc[:most]


def own_span(frame: Any, *, days: float, parts: int = 4) -> tuple[Any, Any]:
    """Return the last instant of a log and a horizon of some days, less where the log is short."""
    import pandas as pd

    last, length = frame["timestamp"].max(), frame["timestamp"].max() - frame["timestamp"].min()
    if length <= pd.Timedelta("1h"):
        raise SystemExit("The log holds less than an hour: there is nothing to hold out. Pass a longer one.")
    return last, min(pd.Timedelta(days=days), length / parts).floor("s")


@contextmanager
def plainly(path: Path) -> Iterator[None]:
    """Say in plain words what the library refuses in the reader's own file."""
    import omnireco as om

    try:
        yield
    except om.errors.OmnirecoError as error:
        raise SystemExit(f"{path.name}: {error}") from None


def _separator(path: Path) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        first = file.readline()
    return max(",;\t|", key=first.count)


def _instants(column: Any, file: str, *, blanks: bool) -> Any:
    import numpy as np
    import pandas as pd

    if column.dtype.kind in "iufb" and column.notna().any():  # a number could be seconds, days or 20250301
        found = pd.Series(pd.NaT, column.index)
    else:
        found = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    wrong = np.flatnonzero(found.isna() & ~(column.isna() & blanks))
    if wrong.size:
        raise SystemExit(
            f"{file}: {wrong.size:,} of {len(column):,} values of {column.name} are no times, the first in line "
            f"{2 + int(wrong[0])}. Write them as 2025-03-01 14:05:00+00:00."
        )
    return found


def write(name: str, result: Any, *, path: Path | str | None = None, default: Callable[[Any], Any] = str) -> Path:
    """Write a result as JSON, to ``results/NAME.json`` beside the scripts unless a path is given."""
    target = FOLDER / f"{name}.json" if path is None else Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=1, default=default) + "\n", encoding="utf-8")
    return target


def _processor() -> str:
    """Return the name on the processor: Linux and macOS keep it in different places, and platform knows neither."""
    readers: list[Callable[[], str]] = [_from_cpuinfo, _from_sysctl, platform.processor, platform.machine]
    return next((name for name in (read() for read in readers) if name), "unknown")


def _from_cpuinfo() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def _from_sysctl() -> str:
    try:
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return asked.stdout.strip()


def _instruction_sets() -> list[str]:
    from llvmlite import binding

    has = binding.get_host_cpu_features()
    return [name for name in SETS if has.get(name)]
