"""The house keeps its own rules: imports go left, ``__all__`` is true, import is light, nothing names a machine."""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import omnireco
from omnireco.data import Audience, Catalog, EventLog, Interactions, MessageLog

SOURCE = Path(omnireco.__file__).parent
PROJECT = Path(__file__).resolve().parents[2]
FILES = sorted(SOURCE.rglob("*.py"))
ROOMS = [
    "errors",
    "_checks _sound _random _frozen _compiled _compute _simd",
    "data",
    "models",
    "response",
    "planning",
    "evaluation",
]
LEVEL = {name: level for level, names in enumerate(ROOMS) for name in names.split()}
GARDEN = len(ROOMS)  # plotting, io, testing and the other sheds; the shop window __init__ sees all
HEAVY = {"pandas", "sklearn", "implicit", "numba", "matplotlib", "pyarrow", "pyspark", "polars", "narwhals", "tqdm"}
LATE = dict.fromkeys(
    ("omnireco._kernels.topk.vnni", "omnireco._core.simd", "omnireco._core.compiled"), "numba"
)  # late, by kernels
ONLY_HERE = {"zoneinfo": "data/clock.py", "implicit": "nowhere: it is the tests' referee"}
MODULES = [
    ".".join(("omnireco", *f.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__") for f in FILES
]


def room_of(module):
    """The level of ``omnireco.data.events`` and the like; unknown rooms are garden."""
    return LEVEL.get(module.split(".")[1], GARDEN) if "." in module else GARDEN + 1


def imports_of(tree):
    """Yield (module, whether at the top, whether for types only) of every import of a module."""
    typed = {
        id(n)
        for b in ast.walk(tree)
        if isinstance(b, ast.If) and "TYPE_CHECKING" in ast.dump(b.test)
        for n in ast.walk(b)
    }
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "write absolute imports"
            names = [f"omnireco.{a.name}" for a in node.names] if node.module == "omnireco" else [node.module]
        yield from ((name, node in tree.body, id(node) in typed) for name in names)


@pytest.mark.parametrize(("file", "module"), list(zip(FILES, MODULES, strict=True)), ids=MODULES)
def test_imports_go_left_and_heavy_ones_wait(file, module):
    for name, at_top, typed in imports_of(ast.parse(file.read_text(encoding="utf-8"))):
        if name.split(".")[0] == "omnireco":
            assert typed or room_of(name) <= room_of(module), f"{module} may not import {name}"
            assert room_of(module) >= GARDEN or room_of(name) < GARDEN, f"no room imports the garden: {name}"
        package = name.split(".")[0]
        assert ONLY_HERE.get(package, file.relative_to(SOURCE).as_posix()) == file.relative_to(SOURCE).as_posix()
        assert typed or not (at_top and package in HEAVY - {LATE.get(module)}), f"{module} loads {package}"


@pytest.mark.parametrize("module", MODULES)
def test_all_is_true(module):
    loaded = importlib.import_module(module)
    names = getattr(loaded, "__all__", None)
    if names is None:
        assert loaded.__file__.endswith("__init__.py") or "._" in module, f"{module} has no __all__"
        return
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(loaded, name)] == []
    defined = [
        node.name
        for node in ast.parse(Path(loaded.__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    assert set(names) - set(defined) <= set(dir(loaded))


def test_import_is_light():
    probe = (
        "import sys, time; start = time.perf_counter(); import omnireco; seconds = time.perf_counter() - start;"
        "import json; print(json.dumps([seconds, sorted({name.split('.')[0] for name in sys.modules})]))"
    )
    done = subprocess.run(  # run twice: the first pays for byte code
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=SOURCE.parent, env=os.environ
    )
    seconds, loaded = json.loads(done.stdout.splitlines()[-1])
    print(f"import omnireco: {seconds:.2f} s")
    assert done.stderr == ""
    assert HEAVY & set(loaded) == set()


def test_no_id_in_any_repr():
    stamp = pd.to_datetime(["2025-01-01"], utc=True)
    row = {"user_id": ["secret"], "item_id": ["hidden"], "channel": ["push"], "event": ["view"]}
    row |= {"timestamp": stamp, "sent_at": stamp, "responded_at": stamp, "timezone": ["Asia/Tokyo"]}
    frame = pd.DataFrame(row | {"consent_push": [True], "store_id": ["shop"]})
    values = [door.from_frame(frame) for door in (EventLog, MessageLog, Audience, Catalog, Interactions)]
    for value in [*values, *(value.users for value in values if hasattr(value, "users"))]:
        assert not re.search("secret|hidden|shop", repr(value))
        assert "\n" not in repr(value)


def tracked_files():
    """Every file that belongs to the project."""
    listed = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout, so what belongs to the project is not known")
    return [path for name in listed.stdout.splitlines() if (path := PROJECT / name).is_file()]


def test_no_file_holds_the_marks_of_an_unfinished_merge():
    mark = re.compile(rb"^(?:<{7} |>{7} |\|{7} |={7}$)", re.MULTILINE)
    assert [path.name for path in tracked_files() if mark.search(path.read_bytes())] == []


def test_nothing_names_a_machine():
    machine = re.compile(r"(?<![\w.])/(?:" + "|".join(["home", "root", "Users", "work", "mnt", "tmp"]) + r")/\w")
    found = []
    for path in tracked_files():
        if path.suffix in {".py", ".md", ".toml", ".yml", ".yaml", ".ipynb", ".cfg", ".txt", ".json", ""}:
            found += [
                f"{path.name}: {hit}" for hit in machine.findall(path.read_text(encoding="utf-8", errors="replace"))
            ]
    assert found == []


@pytest.mark.parametrize("script", sorted((PROJECT / "benchmarks").glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_a_benchmark_answers_help(script):
    """Every benchmark has a parser, so ``--help`` answers and nothing is measured."""
    assert "parse_args()" in script.read_text(encoding="utf-8")
