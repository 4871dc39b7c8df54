"""The reference shows every public name, and only names that exist."""

import importlib
import importlib.util
import json
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


def test_the_index_of_how_tos_has_the_groups_of_the_navigation():
    nav = (ROOT / "mkdocs.yml").read_text("utf-8")
    index = (ROOT / "docs/howto/index.md").read_text("utf-8")
    in_nav = re.findall(r"^      - ([A-Z][\w ]+):$|: howto/([\w-]+)\.md$", nav.split("- Explanation:")[0], re.MULTILINE)
    on_page = re.findall(r"^## (.+)$|^- \[.*?\]\(([\w-]+)\.md\)", index, re.MULTILINE)
    assert on_page == in_nav


def test_every_notebook_is_a_page_with_its_pictures():
    hooks = _hooks()
    nav = (ROOT / "mkdocs.yml").read_text("utf-8")
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"notebooks/{notebook.stem}.md" in nav
        page, pictures = hooks.notebook_page(json.loads(notebook.read_text("utf-8")), notebook.stem)
        assert page.startswith("# ")
        assert pictures
        assert all(f"]({name})" in page and data.startswith(b"\x89PNG") for name, data in pictures.items())
        assert "<style" not in page


def test_an_output_without_text_makes_no_block():
    cell = {"cell_type": "code", "source": ["1;"], "outputs": [{"output_type": "stream", "text": [" \n"]}]}
    page, pictures = _hooks().notebook_page({"cells": [cell]}, "one")
    assert "```text" not in page
    assert not pictures


def test_references_of_docstrings_become_links():
    hooks = _hooks()
    linked = hooks.on_page_content("see :func:<code>omnireco.evaluate</code> and :meth:<code>Model.recommend</code>")
    assert 'identifier="omnireco.evaluation.evaluate"' in linked
    assert 'identifier="omnireco.models.Model.recommend"' in linked
    assert hooks.on_page_content(":meth:<code>split</code>") == "<code>split</code>"
