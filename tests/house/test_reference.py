"""The reference shows every public name, and only names that exist."""

import importlib
import importlib.util
import inspect
import json
import re
from pathlib import Path

import pytest

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
        assert len(pictures) == notebook.read_text("utf-8").count('"image/png"')
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


def test_the_search_finds_pages_by_the_words_of_the_glossary():
    hooks = _hooks()
    assert {"A/B test", "control group", "holdout"} <= set(hooks.words_for("howto/holdout.md"))
    assert hooks.words_for("design.md") == []
    assert not [page for page in hooks._synonyms() if not (ROOT / "docs" / page).is_file()]


def test_a_page_that_says_how_is_found_before_one_that_lists_names():
    ranks = [
        _hooks()._rank(page) for page in ("howto/holdout.md", "tutorial.md", "reference/data.md", "reference/names.md")
    ]
    assert ranks == sorted(ranks, reverse=True)
    assert len(set(ranks)) == 4


_SECTION = re.compile(
    r"^(?:Parameters|Other Parameters|Attributes)\n-+\n(.*?)(?=^[A-Z][\w ]*\n-{3,}\n|\Z)", re.M | re.S
)
_MORE = ("omnireco.testing", "omnireco.sklearn", "omnireco.spark")


def public_docstrings():
    """Yield (name, docstring) of every module, class, method and function that a user meets."""
    seen = set()
    for module in (om, *(importlib.import_module(name) for name in (*(f"omnireco.{r}" for r in _rooms()), *_MORE))):
        yield module.__name__, inspect.getdoc(module) or ""
        own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        for name in getattr(module, "__all__", None) or [name for name in own if not name.startswith("_")]:
            value = getattr(module, name)
            if id(value) in seen or not (inspect.isclass(value) or inspect.isroutine(value)):
                continue
            seen.add(id(value))
            yield f"{module.__name__}.{name}", inspect.cleandoc(value.__doc__ or "")
            for verb, member in vars(value).items() if inspect.isclass(value) else ():
                member = getattr(member, "__func__", getattr(member, "fget", member))
                if not verb.startswith("_") and inspect.isroutine(member):
                    yield f"{module.__name__}.{name}.{verb}", inspect.cleandoc(member.__doc__ or "")


def entries(docstring):
    """Yield (the line ``name : type``, its description) of the parameters and attributes of a docstring."""
    for body in _SECTION.findall(docstring):
        lines = body.rstrip().split("\n")
        heads = [n for n, line in enumerate(lines) if line and not line.startswith(" ")]
        for head, end in zip(heads, [*heads[1:], len(lines)], strict=True):
            yield lines[head], " ".join(lines[head + 1 : end]).strip()


def test_entries_are_read_as_they_are_written():
    docstring = "One.\n\nParameters\n----------\na, b : int\n    Two.\nc : str\n\nReturns\n-------\nint"
    assert list(entries(docstring)) == [("a, b : int", "Two."), ("c : str", "")]
    assert not list(entries("Parameters of a model.\n\nReturns\n-------\nint"))


def test_every_parameter_and_attribute_has_a_description():
    found = [(name, entry) for name, doc in public_docstrings() for entry in entries(doc)]
    assert len(found) > 1500
    wordless = [f"{name}: {line}" for name, (line, text) in found if not text]
    assert not wordless, "\n".join(wordless)


def test_no_type_of_a_reference_entry_has_marks():
    """A type is shown as it stands: neither backticks nor roles become anything there."""
    marked = [f"{name}: {line}" for name, doc in public_docstrings() for line, _ in entries(doc) if "``" in line]
    assert not marked, "\n".join(marked)


def test_every_role_of_a_docstring_becomes_a_link_to_an_entry():
    hooks = _hooks()
    shown = set(_shown())
    rooms = {f"omnireco.{room}" for room in _rooms()} | {"omnireco.testing", "omnireco.sklearn"}
    lost = []
    for name, doc in public_docstrings():
        prose = re.sub(r"``.*?``", "", doc)
        roles = re.findall(r":\w+:`", prose)
        links = hooks._ROLE.findall(prose)
        if len(roles) != len(links):
            lost.append(f"{name}: {roles}")
        for inside, outside in links:
            entry = hooks._entry((inside or outside).lstrip("~!").removeprefix("omnireco."))
            known = entry and any(entry == path or entry.startswith(f"{path}.") for path in shown | rooms)
            if "." in (inside or outside) and not known:
                lost.append(f"{name}: {inside or outside}")
    assert not lost, "\n".join(lost)


def test_the_built_site_shows_no_marks():
    """Where the site has been built (``make docs``), no page shows a role or backticks as they were written."""
    pages = sorted((ROOT / "site").rglob("*.html"))
    if not pages:
        pytest.skip("no site has been built")
    for page in pages:
        text = re.sub(r"<(script|style|pre)\b.*?</\1>|<[^>]+>", "", page.read_text("utf-8"), flags=re.DOTALL)
        assert not re.findall(r":(?:class|func|meth|mod|attr|data|exc):|``", text), page.name


@pytest.mark.parametrize(
    ("changelog", "said"),
    [
        ("# Changes\n\n## Unreleased\n\n## 0.2.0 - 2026-01-01\n\n### Added\n- a\n", "omnireco 0.2.0"),
        ("## Unreleased\n\n### Added\n- b\n\n## 0.2.0 - 2026-01-01\n", "omnireco 0.2.0, and what is not released yet"),
        ("## Unreleased\n- b\n", "omnireco 0.2.0, and what is not released yet"),
        ("", "omnireco 0.2.0"),
    ],
)
def test_a_page_says_its_version(changelog, said):
    assert _hooks().said_version(changelog, "0.2.0") == said


@pytest.mark.parametrize("version", ["", '{"version": "0.1", "title": "0.1", "aliases": []}'])
def test_only_a_site_of_several_versions_asks_for_their_list(version, monkeypatch):
    """A theme told of versions would ask for a file that a folder, or a site of one version, does not have."""
    monkeypatch.setenv("MIKE_DOCS_VERSION", version)
    made = _hooks().on_config({"extra": {}})
    assert made["copyright"].startswith(f"omnireco {om.__version__}")
    assert ("version" in made["extra"]) == bool(version)


def test_a_printed_sentence_is_broken_between_words_and_nothing_else_of_a_page_changes():
    hooks = _hooks()
    sentence = "Not proven: " + "collect more, or test a part; " * 8
    table = "   rank  score\n0     1   0.33\n\n1     2   0.30"
    formula = "a" * 99 + " formula = b"
    code = f"```python\nprint(verdict)\n```\n\n```text\n{sentence}\n{table}\n```\n\n"
    page = f"{code}In words:\n\n```text\n{formula}\n```\n"
    shown = hooks.on_page_markdown(page)
    lines = shown.split("```text\n")[1].splitlines()
    assert max(map(len, lines)) <= 100
    assert " ".join(line.strip() for line in lines if line.strip()).startswith(sentence.strip())
    assert table in shown
    assert formula in shown  # no output of a block of code
    for printed in (ROOT / "docs").rglob("*.md"):  # what is broken is prose: no table of any page is so wide
        for block in hooks._OUTPUT.findall(printed.read_text("utf-8")):
            assert not [line for line in block.splitlines() if len(line) > 100 and re.search(r"\S   +\S", line[20:])]
