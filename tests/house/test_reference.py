"""The reference shows every public name, and only names that exist."""

import importlib
import re
from pathlib import Path

import omnireco as om

ROOT = Path(__file__).parents[2]
PAGES = [page.read_text("utf-8") for page in (ROOT / "docs/reference").glob("*.md")]
SHOWN = re.findall(r"^::: (omnireco[\w.]*)", "\n".join(PAGES), re.MULTILINE)


def test_every_public_name_has_an_entry():
    names = {path.rsplit(".", 1)[-1] for path in SHOWN}
    assert not set(om.__all__) - {"__version__"} - names


def test_every_entry_exists():
    for path in SHOWN:
        module, _, name = path.rpartition(".")
        try:
            importlib.import_module(path)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), name), path


def test_the_navigation_names_every_page():
    nav = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert page.relative_to(ROOT / "docs").as_posix() in nav


def test_the_design_names_every_file():
    design = (ROOT / "docs/design.md").read_text("utf-8")
    names = {f.name for f in (ROOT / "src/omnireco").rglob("*.py") if f.parent.name not in {"topk", "_demo"}}
    assert sorted(name for name in names if name not in design) == []
