"""First use: what a newcomer waits for. The seventeen lines of the README by verb, and what import costs by package.

Run: env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/first_use.py [--quick] [--compile] [--json FILE]

Every row is measured in fresh processes, in seconds of CPU (of all threads, so that a busy machine matters less);
medians of three rounds, one with --quick. "First" has an empty cache of compiled code, "second" the cache that the
first left. The peer of an import is `import pandas`, in a process of its own. --compile shows what large work has
compiled when it is first done on a machine: all that `omnireco warm-up` compiles, by kernel file.
"""

import ast
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from _common import header, headline, write
from _common import options as options_of

ROOT = Path(__file__).resolve().parents[1]
GOALS = {"first": 4.0, "second": 2.5, "import": 0.5, "compile": 15.0}
COMPILERS = ("numba", "llvmlite")
NOT_YET = (*COMPILERS, "sklearn", "matplotlib")
CHILD = """
import ast, contextlib, io, json, sys, time
rows, names = [], {}
for line in json.loads(sys.argv[1]):
    code, before = compile(line, "README.md", "exec"), set(sys.modules)
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code, names)
    rows.append((line, time.process_time() - start, sorted({m.split(".")[0] for m in set(sys.modules) - before})))
print(json.dumps({"rows": rows, "whole": time.process_time()}))
"""
WARM = """
import json, omnireco._warm_up as w
print(json.dumps(w.warm_up()))
"""


def lines():
    """Return the statements of the README's first block."""
    code = re.search(r"```python\n(import omnireco as om\n.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[
        1
    ]
    return [ast.get_source_segment(code, node) for node in ast.parse(code).body]


def child(code, cache, *arguments, **more):
    """Run code in a fresh process; return its standard output and error."""
    env = os.environ | {"NUMBA_CACHE_DIR": str(cache)} | more
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=env, capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout, done.stderr


def import_seconds(module):
    """Return the CPU seconds of a process that imports a module, beyond one that imports nothing."""
    code = "import time, sys\nif sys.argv[1]: __import__(sys.argv[1])\nprint(time.process_time())"
    with tempfile.TemporaryDirectory() as cache:
        return float(child(code, cache, module)[0]) - float(child(code, cache, "")[0])


def packages():
    """Return seconds of wall clock of imports by package, most expensive first, with PYTHONPROFILEIMPORTTIME."""
    with tempfile.TemporaryDirectory() as cache:
        lines_of = child(CHILD, cache, json.dumps(lines()), PYTHONPROFILEIMPORTTIME="1")[1].splitlines()
    spent = {}
    for line in lines_of:
        if found := re.match(r"import time: +(\d+) \| +\d+ \| +(\S+)", line):
            name = found[2].split(".")[0]
            spent[name] = spent.get(name, 0.0) + int(found[1]) / 1e6
    return sorted(spent.items(), key=lambda one: -one[1])


def first_use(rounds):
    """Return rows (statement, first, second, what it loaded that should wait), and the seconds of whole processes."""
    runs = {"first": [], "second": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            for name in runs:
                runs[name].append(json.loads(child(CHILD, cache, json.dumps(lines()))[0]))
    middle = {
        name: [statistics.median(run["rows"][at][1] for run in found) for at in range(len(found[0]["rows"]))]
        for name, found in runs.items()
    }
    loads = [sorted(set(new) & set(NOT_YET)) for _, _, new in runs["first"][0]["rows"]]
    whole = {name: statistics.median(run["whole"] for run in found) for name, found in runs.items()}
    return list(zip(lines(), middle["first"], middle["second"], loads, strict=True)), whole


def main():
    parser = options_of(__doc__, quick="one round")
    parser.add_argument("--compile", action="store_true", help="what large work has compiled, by kernel file")
    parser.add_argument("--json", default="benchmarks/results/first_use.json")
    options = parser.parse_args()
    header(__doc__)
    rounds = 1 if options.quick else 3
    child("import omnireco; import omnireco.files", tempfile.gettempdir())  # byte code is there from now on
    imports = {
        name: statistics.median(import_seconds(name) for _ in range(rounds))
        for name in ("omnireco", "omnireco.data", "omnireco.models", "omnireco.files", "pandas", "numpy")
    }
    print(f"{'import':<18} {'CPU s':>6} {'times pandas':>13}")
    for name, seconds in imports.items():
        print(f"{name:<18} {seconds:>6.2f} {seconds / imports['pandas']:>13.2f}")
    rows, whole = first_use(rounds)
    print(f"\n{'the seventeen lines':<64} {'first':>6} {'second':>6}  loads")
    for line, first, second, loads in rows:
        print(f"{line.splitlines()[0][:64]:<64} {first:>6.2f} {second:>6.2f}  {' '.join(loads)}")
    print(f"{'the whole process':<64} {whole['first']:>6.2f} {whole['second']:>6.2f}")
    spent = packages()
    print("\nimports of the seventeen lines by package, wall-clock s: ", end="")
    print(", ".join(f"{name} {seconds:.2f}" for name, seconds in spent[:10]))
    compiled = {}
    if options.compile:
        with tempfile.TemporaryDirectory() as cache:
            for kernel, seconds in json.loads(child(WARM, cache)[0]).items():
                file = kernel.rpartition(".")[0]
                compiled[file] = compiled.get(file, 0.0) + seconds
        print(f"\n{'kernel file':<28} {'CPU s to compile':>16}")
        for file, seconds in sorted(compiled.items(), key=lambda one: -one[1]):
            print(f"{file:<28} {seconds:>16.1f}")
        print(f"{'in all':<28} {sum(compiled.values()):>16.1f}")
    if not options.quick:
        found = {"first": whole["first"], "second": whole["second"], "import": imports["omnireco"]}
        found |= {"compile": sum(compiled.values())} if compiled else {}
        print()
        for name, seconds in found.items():
            print(f"{name:<8} {seconds:>6.2f} s, goal {GOALS[name]:>4} s: {'yes' if seconds <= GOALS[name] else 'NO'}")
    headline("the README's lines, empty cache", whole["first"], "CPU s", goal=f"<= {GOALS['first']}")
    headline("the same, second process", whole["second"], "CPU s", goal=f"<= {GOALS['second']}")
    headline("import omnireco", imports["omnireco"], "CPU s", goal=f"<= {GOALS['import']}")
    if options.quick:
        return
    kept = {"imports": imports, "lines": rows, "whole": whole, "packages": spent}
    write("first_use", kept | {"compiled": compiled}, path=options.json)


if __name__ == "__main__":
    main()
