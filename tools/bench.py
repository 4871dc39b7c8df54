"""Run the benchmarks and print their headline numbers on one page; write the page of results for the docs.

    python tools/bench.py [--quick] [NAME ...]                 # all of them, or some; `make bench` runs all
    python tools/bench.py --page docs/explanation/speed.md     # nothing runs: the page of the last results, quick ones
                                                               # where a script has no others

Each script runs in a process of its own; all it prints is kept in ``benchmarks/results/NAME.txt``. Headline numbers are
kept in ``benchmarks/results/bench.json`` with date and machine (``bench-quick.json`` with ``--quick``), script by
script, so that some can be run again. Exits with 1 when a script failed; one that cannot run here is named and does not
count as failed.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks"
for held_back in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # they hold BLAS back: ratios would be another machine's
    os.environ.pop(held_back, None)
sys.path[:0] = [str(ROOT / "src"), str(FOLDER)]

import _common  # noqa: E402 - found beside the scripts

Record = dict[str, Any]
COLUMNS = ("script", "what", "ours", "beside", "against it", "goal", "s wall / CPU")
WIDTHS = (17, 56, 18, 32, 27, 12, 12)
SIGNS = {">=": lambda a, b: a >= b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, "<": lambda a, b: a < b}
BEGIN, END = "<!-- results: written by tools/bench.py --page -->", "<!-- end of results -->"
INTRODUCTION = f"""# Speed, measured

Headline numbers of the scripts in `benchmarks/`. **Ratios travel, seconds
do not**: a ratio is to the named peer in the same process, in turns; above 1 omnireco is the faster one. Quality is on
[another page](measured.md). `make bench` prints the same table for your machine, and
`python tools/bench.py --page docs/explanation/speed.md` writes it into this page.

{BEGIN}
{END}
"""


def scripts() -> list[str]:
    """Return the names of the benchmarks, in order."""
    return sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))


def run(name: str, *, quick: bool, timeout: float | None) -> Record:
    """Run one script; return its state, its seconds and its headline numbers."""
    _common.FOLDER.mkdir(exist_ok=True)
    output = _common.FOLDER / f"{name}.txt"
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    with tempfile.TemporaryDirectory() as folder:
        gathered = Path(folder) / "headlines"
        environment = os.environ | {"PYTHONPATH": path, _common.COLLECTED: str(gathered), "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, str(FOLDER / f"{name}.py"), *["--quick"] * quick]
        start, used, code = time.perf_counter(), os.times(), None
        with open(output, "w", encoding="utf-8") as file:
            child = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, env=environment, cwd=ROOT, start_new_session=True
            )
            try:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = child.wait(timeout)
            finally:
                if code is None:  # it and what it started
                    os.killpg(child.pid, signal.SIGKILL)
                    child.wait()
        seconds, spent = time.perf_counter() - start, os.times()
        cpu = spent.children_user + spent.children_system - used.children_user - used.children_system
        lines = [json.loads(line) for line in gathered.read_text("utf-8").splitlines()] if gathered.exists() else []
    state = {0: "done", _common.SKIPPED: "skipped", None: "failed"}.get(code, "failed")
    reason = f"stopped after {timeout:.0f} s" if code is None else _last_line(output) if code else ""
    return {
        "state": state,
        "reason": reason.removeprefix("skipped: "),
        "seconds": seconds,
        "cpu": cpu,
        "quick": quick,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "headlines": [line for line in lines if "what" in line],
        "left out": [line for line in lines if "left out" in line],
    }


def _last_line(output: Path) -> str:
    lines = [line.strip() for line in output.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"


def rows_of(name: str, record: Record) -> list[tuple[str, ...]]:
    """Return the lines of one script as cells of text."""
    seconds = f"{record['seconds']:.0f} / {record['cpu']:.0f}"
    found = []
    for number, line in enumerate(record["headlines"]):
        theirs = "" if line["theirs"] is None else " " + _common.number(line["theirs"])
        against = [f"{line['ratio']:.2f} x"] if line["ratio"] is not None else []
        against += [_common.interval_text(line["gap"])] if line["gap"] is not None else []
        found.append(
            (
                "" if number else name,
                line["what"],
                f"{_common.number(line['ours'])} {line['unit']}".strip(),
                f"{line['beside']}{theirs}",
                ", ".join(against),
                judged(line, quick=record["quick"]),
                "" if number else seconds,
            )
        )
    if record["state"] != "done" or not found:
        reason = f"{record['state']}: {record['reason']}" if record["reason"] else record["state"]
        found.append((name if not found else "", reason, "", "", "", "", seconds if not found else ""))
    return found + [
        ("", f"left out: {one['left out']} ({one['reason']})", "", "", "", "", "") for one in record["left out"]
    ]


def judged(line: Record, *, quick: bool) -> str:
    """Return the goal, and whether it was reached; small sizes are not judged."""
    if not line["goal"] or quick:
        return line["goal"]
    sign, limit = line["goal"].split()
    value = line["ratio"] if line["ratio"] is not None else line["gap"][0] if line["gap"] else line["ours"]
    return f"{line['goal']} {'yes' if SIGNS[sign](value, float(limit)) else 'NO'}"


def printed(cells: tuple[str, ...]) -> str:
    """Return one line of the page on a terminal."""
    if not any(cells[2:6]):  # a reason may be long
        return f"{cells[0]:{WIDTHS[0]}} {cells[1]}{f'  ({cells[6]} s)' if cells[6] else ''}"
    short = (cell if len(cell) <= width else f"{cell[: width - 1]}…" for cell, width in zip(cells, WIDTHS, strict=True))
    return " ".join(f"{cell:{width}}" for cell, width in zip(short, WIDTHS, strict=True)).rstrip()


def head_of(machine: Record) -> str:
    """Return processor, tier, threads and versions in one line."""
    return (
        f"{machine['processor']}, {machine['threads']} threads, tier {machine['tier']}; "
        f"omnireco {machine['omnireco']}, numpy {machine['numpy']}, python {machine['python']}"
    )


def page(results: Record) -> str:
    """Return the part of the docs page between its two marks: a table for every date and machine, newest first."""
    groups: dict[tuple[str, str, bool], list[str]] = {}
    for name, record in results.items():
        if record["state"] == "done" and record["headlines"]:
            groups.setdefault((record["date"], record["machine"], record["quick"]), []).append(name)
    parts = []
    for date, machine, quick in sorted(groups, reverse=True):
        small = " Small sizes (`--quick`): good for a look, not for a comparison." if quick else ""
        parts.append(f"## {date}\n\n{machine}.{small}\n")
        parts.append("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
        for name in groups[date, machine, quick]:
            lines = rows_of(name, results[name] | {"left out": []})
            parts[-1] += "".join("\n| " + " | ".join(_escaped(cell) for cell in cells) + " |" for cells in lines)
        parts[-1] += "\n"
    return "\n".join(parts)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")


def kept(*, quick: bool) -> Path:
    """Return the file of headline numbers."""
    return _common.FOLDER / ("bench-quick.json" if quick else "bench.json")


def stored(*, quick: bool) -> Record:
    """Return the results that are kept of scripts that ended well."""
    store = kept(quick=quick)
    found: Record = json.loads(store.read_text("utf-8")) if store.exists() else {}
    return {name: record for name, record in found.items() if record["state"] == "done"}


def write_page(target: Path, results: Record) -> None:
    """Put the tables between the two marks of the page; make the page where there is none."""
    text = target.read_text(encoding="utf-8") if target.exists() else INTRODUCTION
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{target.name} has no line {BEGIN} and {END}: the tables belong between them.")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    target.write_text(f"{before}{BEGIN}\n\n{page(results)}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Run scripts, or write the page of what was run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run: all by default")
    parser.add_argument("--quick", action="store_true", help="small sizes; goals are shown and not judged")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="stop a script after so long")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write stored results into this page; run nothing")
    asked = parser.parse_args()
    names = [name.removesuffix(".py").rpartition("/")[2] for name in asked.names] or scripts()
    if unknown := sorted(set(names) - set(scripts())):
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(scripts())}")
    if asked.page:
        found = stored(quick=True) | ({} if asked.quick else stored(quick=False))
        if not found:
            parser.error(f"there are no results yet in {_common.FOLDER.relative_to(ROOT)}: run without --page first")
        write_page(asked.page, {name: found[name] for name in names if name in found})
        return
    store, results = kept(quick=asked.quick), stored(quick=asked.quick)
    machine = head_of(_common.machine())
    print(f"{dt.datetime.now(dt.UTC):%Y-%m-%d}; {machine}")
    print(f"full output: {_common.FOLDER.relative_to(ROOT)}/NAME.txt; a ratio above 1: omnireco is the faster one\n")
    print(printed(COLUMNS), flush=True)
    states: dict[str, list[str]] = {"done": [], "skipped": [], "failed": []}
    for name in names:
        record = run(name, quick=asked.quick, timeout=asked.timeout) | {"machine": machine}
        states[record["state"]].append(name)
        print("\n".join(map(printed, rows_of(name, record))), flush=True)
        if record["state"] == "done" or name not in results:
            results[name] = record
        store.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print("\n" + "; ".join(f"{state}: {len(found)}" for state, found in states.items()))
    for state in ("skipped", "failed"):
        if states[state]:
            print(f"{state}: {', '.join(states[state])}")
    sys.exit(bool(states["failed"]))


if __name__ == "__main__":
    main()
