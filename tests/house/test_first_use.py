"""A newcomer's first minute loads no compiler: the seventeen lines of the README, in a fresh process."""

import json
import re
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
WAIT = {"numba", "llvmlite", "sklearn", "matplotlib", "pyarrow"}
PROBE = """
import json, sys

class Who:
    found = {}

    def find_spec(self, name, path=None, target=None):
        frame = sys._getframe(1)
        while frame.f_globals.get("__name__", "").startswith(("importlib", "_frozen_importlib")):
            frame = frame.f_back
        if name in WAIT:
            self.found.setdefault(name, frame.f_globals.get("__name__"))

WAIT = set(json.loads(sys.argv[2]))
sys.meta_path.insert(0, Who())
exec(sys.argv[1], {"__name__": "__page__"})
print(json.dumps([Who.found, sorted(WAIT & set(sys.modules)), sorted({m.split(".")[0] for m in sys.modules})]))
"""


def probe(code):
    """Return which module first asked for each package that should wait, and what was loaded in the end."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, code, json.dumps(sorted(WAIT))], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return json.loads(done.stdout.splitlines()[-1])


def test_the_seventeen_lines_load_no_compiler():
    """Where pyarrow is installed, pandas 3 loads it: a frame asks for it, and not this library."""
    page = (PROJECT / "README.md").read_text("utf-8")
    asked, loaded, _ = probe(re.search(r"```python\n(import omnireco as om\n.*?)```", page, re.DOTALL)[1])
    assert {name: who for name, who in asked.items() if who.startswith("omnireco")} == {}
    assert set(loaded) <= {"pyarrow"}


def test_the_import_alone_loads_nothing_large():
    asked, loaded, packages = probe("import omnireco as om; dir(om), om.__version__, om.errors")
    assert asked == {}
    assert loaded == []
    assert {"numpy", "scipy", "pandas"} & set(packages) == set()
