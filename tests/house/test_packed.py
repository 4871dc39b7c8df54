"""What is handed out: the check of wheels sees what is missing and what does not belong there."""

import importlib.util
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def packed():
    spec = importlib.util.spec_from_file_location("packed", ROOT / "tools/packed.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def built(folder, **changed):
    """Write a wheel of a package of three files; names to None leave one out."""
    source = folder / "src" / "omnireco"
    (source / "data").mkdir(parents=True, exist_ok=True)
    for name in ("__init__.py", "py.typed", "data/events.py"):
        (source / name).write_bytes(b"")
    files = {f"omnireco/{name}": "" for name in ("__init__.py", "py.typed", "data/events.py")}
    metadata = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    files |= {f"omnireco-0.1.0.dist-info/{name}": "" for name in metadata} | changed.get("files", {})
    wheel = folder / "omnireco-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            if text is not None:
                archive.writestr(name, text)
    return wheel, source


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("omnireco/data/events.py", None, ["missing: omnireco/data/events.py"]),
        ("tests/test_a.py", "", ["not of the package: tests/test_a.py"]),
        ("omnireco/__pycache__/a.pyc", "", ["not of the package: omnireco/__pycache__/a.pyc"]),
        ("omnireco/log.csv", "", ["not of the package: omnireco/log.csv"]),
        ("omnireco-0.1.0.dist-info/licenses/LICENSE", None, ["metadata differ: licenses/LICENSE"]),
        ("omnireco/py.typed", None, ["missing: omnireco/py.typed", "no py.typed: type checkers would see nothing"]),
        ("omnireco/__init__.py", "#" * 100_001, ["100,001 bytes, which looks like data: omnireco/__init__.py"]),
    ],
)
def test_a_fault_is_said(packed, tmp_path, name, text, said):
    assert packed.faults(*built(tmp_path, files={name: text})) == said


def test_a_whole_wheel_has_none(packed, tmp_path):
    wheel, source = built(tmp_path)
    assert packed.faults(wheel, source) == []
    assert packed.same(wheel, wheel)
