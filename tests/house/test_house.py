"""The house keeps its own rules: no circles, imports go left, faces are whole, import is light, no machine is named."""

import ast
import importlib
import inspect
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
# Rooms from the ground up; what stands in one line may not import what stands in a later one, for types either.
# worlds lies below files: files knows every value that is saved, and a Reproduction is one of them.
ROOMS = [
    "errors _version _moved",  # _moved: what every room answers for a name that it does not have
    "_core",
    "_kernels",
    "data",
    "identity",
    "models",
    "timing",
    "choices",
    "journeys",
    "causal",
    "planning",
    "evaluation",
    "worlds",
    "files",
    "live",
]
LEVEL = {name: level for level, names in enumerate(ROOMS) for name in names.split()}
GARDEN = len(ROOMS)  # adapters, plotting, testing and the other sheds; the shop window __init__ sees all
HEAVY = {"pandas", "sklearn", "implicit", "numba", "matplotlib", "pyarrow", "pyspark", "polars", "narwhals", "tqdm"}
LATE = dict.fromkeys(
    (
        "omnireco._kernels.topk.tile_product",
        "omnireco._kernels.topk.compiling",
        "omnireco._core.simd",
        "omnireco._core.compiled",
    ),
    "numba",
) | {"omnireco.sklearn": "sklearn"}  # late, by kernels; and what has the classes of scikit-learn
ONLY_HERE = {"zoneinfo": "data/clock.py", "implicit": "models/matrix/trained_by_implicit.py"}
LARGEST_FOLDER = 16  # files in one folder, sub-folders and faces not counted
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
            inner = {f"{node.module}.{a.name}" for a in node.names} & set(MODULES)
            names = sorted(inner) + ([node.module] if len(inner) < len(node.names) else [])
        yield from ((name, node in tree.body, id(node) in typed) for name in names)


TREES = {module: ast.parse(file.read_text(encoding="utf-8")) for module, file in zip(MODULES, FILES, strict=True)}
GRAPH = {
    module: {name for name, _, _ in imports_of(tree) if name.split(".")[0] == "omnireco"}
    for module, tree in TREES.items()
}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_left(module):
    """Everywhere in a file: a lazy import is an import, and so is one for types."""
    for name in GRAPH[module]:
        assert name in MODULES, f"{module} imports {name}, which is no file"
        assert room_of(name) <= room_of(module), f"{module} may not import {name}"
        assert room_of(module) >= GARDEN or room_of(name) < GARDEN, f"no room imports the garden: {name}"
    if module.startswith("omnireco._kernels"):
        core = ("omnireco._core", "omnireco._kernels", "omnireco.errors")
        assert all(name.startswith(core) for name in GRAPH[module]), f"{module} is a kernel: arrays in, arrays out"


@pytest.mark.parametrize(("file", "module"), list(zip(FILES, MODULES, strict=True)), ids=MODULES)
def test_heavy_imports_wait(file, module):
    for name, at_top, typed in imports_of(TREES[module]):
        package = name.split(".")[0]
        assert ONLY_HERE.get(package, file.relative_to(SOURCE).as_posix()) == file.relative_to(SOURCE).as_posix()
        assert typed or not (at_top and package in HEAVY - {LATE.get(module)}), f"{module} loads {package}"


def circles_of(graph):
    """Yield every set of files that import each other, in a row: cut leaves until none is left."""
    left = {module: set(names) for module, names in graph.items()}
    while left:
        leaves = {module for module, names in left.items() if not names & set(left)}
        leaves |= set(left) - set().union(*left.values())
        if not leaves:
            break
        left = {module: names for module, names in left.items() if module not in leaves}
    while left:
        first = min(left)
        circle = reached_from(first, left) & {name for name in left if first in reached_from(name, left)}
        if circle:
            yield sorted(circle)
        left = {module: names - circle for module, names in left.items() if module not in circle | {first}}


def reached_from(module, graph):
    """Every file that is imported by a file, or by one that it imports."""
    seen, front = set(), [module]
    while front:
        new = (graph.get(front.pop(), set()) & set(graph)) - seen
        seen |= new
        front += new
    return seen


def test_no_circle_of_files():
    assert list(circles_of({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()})) == [["b", "c"]]
    assert list(circles_of(GRAPH)) == []


def test_folders_can_be_read_at_a_glance():
    files = [file.parent for file in FILES if file.name != "__init__.py"]
    sizes = {folder.relative_to(SOURCE).as_posix(): files.count(folder) for folder in set(files)}
    assert {folder: n for folder, n in sizes.items() if n > LARGEST_FOLDER} == {}


FACES = [name for name in " ".join([*ROOMS, "adapters"]).split() if name[0] != "_" and name != "errors"]
GUESTS = {
    ("models", "ItemIndex"),
    ("models", "topk"),
    ("models", "Estimator"),
}  # kernels that users may call, shown where they look for them
PARTS = ("omnireco._core.parts", "omnireco._core.small", "omnireco.data.parts")  # what ``files`` shows for ``register``


def for_users(module):
    """The classes and functions of a file that users need, by name.

    The rule: what is listed in its file's ``__all__`` and has a section "Examples" in its docstring is for users.
    Helpers that other files of the house share are listed there too; they show what they do in a bare ``>>>``, or not
    at all, and a file of nothing but helpers has no effect on the face.
    """
    loaded = importlib.import_module(module)
    own = {name: getattr(loaded, name) for name in getattr(loaded, "__all__", ())}
    own = {name: one for name, one in own.items() if isinstance(one, type) or inspect.isroutine(one)}
    return {name for name, one in own.items() if re.search(r"^ *Examples\n *-{8}$", one.__doc__ or "", re.MULTILINE)}


@pytest.mark.parametrize("room", FACES)
def test_a_face_shows_its_room_and_all_of_it(room):
    face = importlib.import_module(f"omnireco.{room}")
    assert face.__all__ == list(dict.fromkeys(face.__all__))
    shown = {name for name in face.__all__ if (room, name) not in GUESTS}
    homes = {name: getattr(face, name).__module__ for name in shown}
    homes = {name: home for name, home in homes.items() if not (room == "files" and home in PARTS)}
    assert {name: home for name, home in homes.items() if not home.startswith(f"omnireco.{room}.")} == {}
    needed = {name for module in MODULES if module.startswith(f"omnireco.{room}.") for name in for_users(module)}
    assert needed - set(face.__all__) == set()


def test_the_table_of_the_front_is_what_type_checkers_see():
    seen = {}
    for node in ast.walk(TREES["omnireco"]):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("omnireco."):
            seen |= {alias.name: node.module.removeprefix("omnireco.") for alias in node.names}
    seen.pop("__version__")
    assert seen == omnireco._HOME_OF
    assert set(seen) | omnireco._MODULES - omnireco._UNLISTED | {"__version__"} == set(omnireco.__all__)


def test_the_front_door_is_narrow_and_every_name_has_a_room():
    assert dir(omnireco) == sorted(omnireco.__all__)
    assert len(omnireco.__all__) <= 62
    own = {"__version__", "show_versions", "warm_up", "errors", *FACES}
    shown = {name for room in FACES for name in importlib.import_module(f"omnireco.{room}").__all__}
    assert set(omnireco.__all__) - own - shown == set()


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


BENCHMARKS = sorted((PROJECT / "benchmarks").glob("[a-z]*.py"))


def benchmark(script, *options):
    done = subprocess.run(
        [sys.executable, str(script), *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(PROJECT / "src")},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_answers_help(script):
    """Nothing is measured, and a reader learns what it shows and how to have a quick look."""
    shown = benchmark(script, "--help")
    assert "usage:" in shown
    assert "--quick" in shown


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ease", "plan"])
def test_a_quick_look_prints_the_machine_and_no_gates(name):
    shown = benchmark(PROJECT / "benchmarks" / f"{name}.py", "--quick")
    assert "processor" in shown
    assert "instruction sets:" in shown
    assert "top-K tier" in shown
    assert "gate" not in shown


BENCHMARK_ROWS = re.compile(r"^\| `(\w+)\.py` \|(.*)\|$", re.MULTILINE)


def test_every_benchmark_has_one_row_in_the_readme_and_every_row_its_script():
    text = (PROJECT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    parts = text.partition("## What each shows")[2].split("\n### ")[1:]
    named = [[name for name, _ in BENCHMARK_ROWS.findall(part)] for part in parts]
    assert all(names == sorted(names) for names in named), "the rows of a group are in the order of their names"
    assert sorted(name for names in named for name in names) == [path.stem for path in BENCHMARKS]


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_says_its_headline_numbers_and_its_row_whether_it_takes_a_log(script):
    code = script.read_text(encoding="utf-8")
    assert re.search(r"\bheadline(_of)?\(", code), "nothing of it is on the page of make bench"
    assert 'sys.exit(f"Set' not in code, "say data_folder(...), so that it is skipped and has not failed"
    rows = dict(BENCHMARK_ROWS.findall((PROJECT / "benchmarks" / "README.md").read_text(encoding="utf-8")))
    takes = re.search(r"options(_of)?\([^)]*\bdata=", code) is not None
    assert takes == bool(rows[script.stem].split("|")[-1].strip()), "the column 'own log' and --data differ"
