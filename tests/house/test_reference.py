"""The reference shows every public name, and only names that exist."""

import importlib
import importlib.util
import re
from pathlib import Path

import omnireco as om

ROOT = Path(__file__).parents[2]


def _hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs/hooks.py")
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    return hooks


def _shown():
    hooks = _hooks()
    pages = [
        page.read_text("utf-8").replace("<!-- estimators -->", "") for page in (ROOT / "docs/reference").glob("*.md")
    ]
    return re.findall(r"^::: (omnireco[\w.]*)", "\n".join(map(hooks.on_page_markdown, pages)), re.MULTILINE)


def test_every_public_name_has_an_entry():
    names = {path.rsplit(".", 1)[-1] for path in _shown()}
    assert not set(om.__all__) - {"__version__"} - names - set(_rooms())


def test_every_room_has_a_page():
    marked = {
        name
        for page in (ROOT / "docs/reference").glob("*.md")
        for name in re.findall(r"<!-- room: (\w+) -->", page.read_text("utf-8"))
    }
    assert set(_rooms()) - marked == {"errors"}


def _rooms():
    return [name for name in om.__all__ if getattr(getattr(om, name), "__name__", "") == f"omnireco.{name}"]


def test_every_entry_exists():
    for path in _shown():
        module, _, name = path.rpartition(".")
        try:
            importlib.import_module(path)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), name), path


def test_the_navigation_names_every_page():
    nav = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert page.relative_to(ROOT / "docs").as_posix() in nav
