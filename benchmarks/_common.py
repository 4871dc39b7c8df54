"""What every benchmark shares: its options, one header about the machine, the reader's own log, where results go.

Scripts are run as ``python benchmarks/NAME.py``, so they say ``from _common import header, options, own_log, write``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["header", "machine", "options", "own_log", "write"]

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


def own_log(path: Path, *, needs: Sequence[str] = ("user_id", "item_id"), most: int | None = None) -> Any:
    """Return the frame of a CSV or parquet file that has these columns; ``most`` keeps the first rows."""
    import pandas as pd

    frame = pd.read_parquet(path) if path.suffix in {".parquet", ".pq"} else pd.read_csv(path)
    missing = [name for name in needs if name not in frame]
    if missing:
        have = ", ".join(map(str, frame.columns))
        raise SystemExit(f"{path.name} has no column {', '.join(missing)}; it has {have}. Rename them in the file.")
    return frame if most is None else frame.iloc[:most]


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
