"""What must hold on every system: paths, encodings, zones, line ends; and what an installer reads."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import pandas as pd
import pytest

import omnireco as om
from omnireco import adapters

SOURCE = Path(om.__file__).parent
ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(SOURCE.rglob("*.py"))
POSIX = {"fcntl", "resource", "pwd", "grp", "termios"}


def trees():
    return [(path, ast.parse(path.read_text("utf-8"))) for path in FILES]


def test_text_is_read_and_written_with_a_stated_encoding():
    """Windows would take its own code page."""
    found = []
    for path, tree in trees():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            stated = any(one.arg == "encoding" for one in call.keywords)
            if name == "read_text" and not (stated or call.args):
                found.append((path.name, call.lineno))
            if name == "write_text" and not (stated or len(call.args) > 1):
                found.append((path.name, call.lineno))
            modes = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            if name == "fdopen" and not stated and not any("b" in mode for mode in modes):
                found.append((path.name, call.lineno))
    assert found == []


def test_no_place_of_one_system_is_written_down():
    found = [
        (path.name, node.lineno, node.value)
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.match(r"(/(usr|tmp|var|home|etc|proc)\b|[A-Za-z]:\\)", node.value)
    ]
    assert [one for one in found if not one[2].startswith("/proc")] == []


def test_modules_of_posix_are_imported_only_where_they_may_be_missing():
    for path, tree in trees():
        for node in tree.body:
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert POSIX.isdisjoint(names), path.name


def run(code, **environment):
    here = {**os.environ, "PYTHONPATH": str(SOURCE.parent), **environment}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=here, capture_output=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-2000:]
    return done.stdout.decode("utf-8").split()


ZONES = """
import omnireco as om, pandas as pd
world = om.simulate(n_users=20, n_items=10, days=20, seed=3)
people = om.Audience.from_frame(world.users, attributes=["age_group"])
slots = om.slots("2025-03-30", days=2)
print(om.data.clock.is_zone("Europe/Berlin"), len(people))
at = pd.to_datetime(["2025-03-30 00:59:59", "2025-03-30 01:00:00"]).astype("datetime64[us]").astype("int64").to_numpy()
names = om.data.Vocabulary.from_ids(["Europe/Berlin"])
print(*(om.data.clock.utc_offset(at, at * 0, names) // 3_600_000_000))
"""


def test_zones_without_those_of_the_system():
    """As on Windows: the package ``tzdata`` is all there is."""
    pytest.importorskip("tzdata", reason="the package tzdata, which Windows installs, is not here")
    assert run(ZONES, PYTHONTZPATH="") == run(ZONES)


def test_without_any_zones_the_error_says_what_to_install():
    code = """
import sys
sys.modules["tzdata"] = None
import omnireco as om
try:
    om.data.clock.country_zones("DE")
except om.errors.ParameterError as error:
    print("pip-install-tzdata" if "pip install tzdata" in str(error) else error)
"""
    assert run(code, PYTHONTZPATH="") == ["pip-install-tzdata"]


def test_files_are_the_same_under_a_code_page(tmp_path):
    """A system whose own encoding is not UTF-8 reads, writes and shows what all others do."""
    rows = [{"type": "track", "event": "Product Viewed", "userId": "Zoë", "timestamp": "2025-05-01T08:00:00Z",
             "channel": "browser", "properties": {"product_id": "Tee für Ännchen"}}]  # fmt: skip
    path = tmp_path / "orders of today.jsonl"
    path.write_bytes("".join(json.dumps(one, ensure_ascii=False) + "\r\n" for one in rows).encode("utf-8"))
    code = f"""
import omnireco as om
from pathlib import Path
path = Path({str(path)!a})
log = om.EventLog.from_frame(om.adapters.segment(path).events)
om.save(log, path.with_suffix(".omni"))
print(ascii(om.load(path.with_suffix(".omni")).items.ids.tolist()[0]).replace(" ", "_"))
"""
    same = {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "utf-8"}
    assert run(code, **same) == run(code) == [ascii("Tee für Ännchen").replace(" ", "_")]


def test_csv_of_windows_is_the_same_log(tmp_path):
    world = om.simulate(n_users=20, n_items=10, days=20, seed=3)
    logs = []
    for name, end, encoding in (("a.csv", "\n", "utf-8"), ("b.csv", "\r\n", "utf-8-sig")):
        world.events.to_csv(tmp_path / name, index=False, lineterminator=end, encoding=encoding)
        frame = pd.read_csv(tmp_path / name, parse_dates=["timestamp"], encoding=encoding)
        logs.append(om.EventLog.from_frame(frame, itemless="keep"))
    assert om.data.fingerprint(logs[0]) == om.data.fingerprint(logs[1])


def test_names_of_files_are_names_on_windows_too(tmp_path):
    world = om.simulate(n_users=20, n_items=10, days=20, seed=3)
    log = om.EventLog.from_frame(world.events, itemless="keep")
    om.save(log, tmp_path / "log.omni")
    read = adapters.segment([])
    assert read.n_records == 0
    for path in tmp_path.rglob("*"):
        assert not re.search(r'[<>:"\\|?*]|[. ]$', path.name), path.name


def strictest(lines):
    """Return one bound a package: a recipe for all systems knows no condition, so of several it takes the highest."""
    bounds = {}
    for line in lines:
        name, bound = re.fullmatch(r"([\w-]+)>=([\d.]+)(?:;.*)?", line).groups()
        bounds.setdefault(name, []).append(bound)
    names = {"tzdata": "python-tzdata"}  # as conda calls it
    return {
        f"{names.get(name, name)} >={max(every, key=lambda one: [int(part) for part in one.split('.')])}"
        for name, every in bounds.items()
    }


def test_the_recipe_of_conda_needs_what_the_wheel_needs():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    project = pyproject["project"]
    recipe = (ROOT / "conda" / "meta.yaml").read_text("utf-8")
    parts = {name: re.search(rf"^  {name}:\n((?:    - .+\n)+)", recipe, re.MULTILINE)[1] for name in ("host", "run")}
    found = {
        name: {re.sub(r"\s+#.*", "", line).removeprefix("    - ") for line in part.splitlines()}
        for name, part in parts.items()
    }
    assert found["run"] == strictest(project["dependencies"]) | {f"python {project['requires-python']}"}
    assert found["host"] == {"pip", "hatchling >=1.24", f"python {project['requires-python']}"}
    assert pyproject["build-system"]["requires"] == ["hatchling>=1.24"]
    assert f'version = "{project["version"]}"' in recipe


def test_the_extra_for_everything_names_every_extra_for_users():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = re.search(r"omnireco\[(.*)\]", extras["all"][0])[1].split(",")
    assert set(named) == set(extras) - {"all", "test", "docs", "dev"}


def test_the_mlflow_example_runs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a guest's own warnings are not ours to fix
        mlflow = pytest.importorskip("mlflow", reason="MLflow is a guest of examples/, not a dependency")
        import mlflow_pyfunc

        found = mlflow_pyfunc.main(tmp_path)
        (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
        again = mlflow.pyfunc.load_model(str(tmp_path / "pyfunc"))
        strangers = again.predict(pd.DataFrame({"user_id": [-1, -1]}), params={"k": 3})
    assert found.columns.tolist() == ["user_id", "item_id", "rank", "score"]
    assert (found.groupby("user_id").size() == 5).all()
    assert len(strangers) == 3
    assert 0 < run.data.metrics["ndcg_at_10"] < 1
    card = next((tmp_path / "runs").rglob("card.html"))
    assert run.data.params["split"] in card.read_text("utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("card.html", "log.omni", "model.omni", "pyfunc", "runs", "runs.db"),
    ]
    (carried,) = (tmp_path / "pyfunc").rglob("card.html")
    assert run.data.params["split"] in carried.read_text("utf-8")
