"""What the documentation build writes itself: the reference of each room, its links, the estimators, the notebooks."""

from __future__ import annotations

import base64
import importlib
import inspect
import json
import os
import re
import sys
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
_ROOM = re.compile(r"^<!-- room: (\w+) -->$", re.MULTILINE)
_TABLE = "<!-- estimators -->"
_ROLE = re.compile(r":(?:func|class|meth|mod|attr|data):(?:<code>([^<`]+)</code>|`([^<`]+)`)")  # as docstrings link
_NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
_WORKER = "assets/iframe-worker.js"  # the name that the theme's plugin "offline" looks for, or it asks another host
_FROM_A_FOLDER = """if (location.protocol === "file:") {
  const Served = Worker;
  window.Worker = function (_, options) {
    return new Served(URL.createObjectURL(new Blob([SOURCE], { type: "text/javascript" })), options);
  };
}
"""
_OUTPUT = re.compile(r"(?<=^```\n\n)```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_WIDEST = 100  # characters of an output that fit beside the contents
_WORDLESS = re.compile(r"–\s*<div class=\"doc-md-description\">\s*</div>")
_SYNONYM = re.compile(r"^\| ([^|]+) \| \[([^]]+)\]\(([^)#]+)[^)]*\) \|", re.MULTILINE)
_RANKS = {"howto/": 2.0, "reference/names": 0.05, "reference/": 0.2, "design": 0.1, "migration": 0.1, "versions": 0.1}
_ROOMS = (
    *("models", "data", "identity", "timing", "choices", "journeys", "causal", "planning", "evaluation"),
    *("files", "live"),
)


def on_config(config: Any) -> Any:
    """Say the version under every page; give the list of versions to a build of mike's; called by MkDocs once."""
    config["copyright"] = said_version((_NOTEBOOKS.parent / "CHANGELOG.md").read_text("utf-8"), _version())
    if os.environ.get("MIKE_DOCS_VERSION"):  # else nobody has written the list that the theme would fetch
        config["extra"]["version"] = {"provider": "mike", "default": "latest"}
    return config


def said_version(changelog: str, version: str) -> str:
    """Return what a page says of its version: between releases the sources know more than the number."""
    unreleased = re.search(r"^## Unreleased\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    later = unreleased is not None and unreleased.group(1).strip()
    return f"omnireco {version}" + (", and what is not released yet" if later else "")


def _version() -> str:
    return str(importlib.import_module("omnireco._version").__version__)


def on_files(files: Any, config: Any) -> Any:
    """Add each notebook as a page, with its outputs and pictures as they are stored; called by MkDocs once."""
    from mkdocs.structure.files import File

    for notebook in sorted(_NOTEBOOKS.glob("*.ipynb")):
        page, pictures = notebook_page(json.loads(notebook.read_text("utf-8")), notebook.stem)
        files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=page))
        for name, picture in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=picture))
    return files


def on_post_build(config: Any) -> None:
    """Write the search worker as a script too, as a browser starts none from a file; called by MkDocs."""
    site = Path(config.site_dir)
    source = json.dumps(next((site / "assets/javascripts/workers").glob("search.*.js")).read_text("utf-8"))
    (site / _WORKER).write_text(_FROM_A_FOLDER.replace("SOURCE", source), "utf-8")


def notebook_page(notebook: dict[str, Any], stem: str) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown, and its pictures by file name."""
    blocks: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code":
            blocks.append(source)
            continue
        blocks.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {"text/plain": output.get("text", "")})
            if "image/png" in data:
                name = f"{stem}-{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode("".join(data["image/png"]))
                blocks.append(f"![Picture {len(pictures)} of this notebook]({name})")
            elif "text/html" in data:
                blocks.append(f'<div class="notebook-output">{_plain("".join(data["text/html"]))}</div>')
            elif text := "".join(data["text/plain"]).rstrip():
                blocks.append(f"```text\n{text}\n```")
    note = f"Written by `notebooks/{stem}.py`, which the tests run."
    return "\n\n".join([*blocks, note]) + "\n", pictures


def _plain(html: str) -> str:
    """Return the HTML of an output without the styles of its own, on lines that Markdown leaves alone."""
    return re.sub(r"\s*\n\s*", " ", re.sub(r"<style.*?</style>", "", html, flags=re.DOTALL))


def broken(output: str) -> str:
    """Return an output with its long lines broken between words: all of them are sentences, no table is so wide."""
    lines = (
        textwrap.wrap(line, _WIDEST, subsequent_indent="    ", break_long_words=False) for line in output.splitlines()
    )
    return "".join(f"{line}\n" for parts in lines for line in parts or [""])


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the markers of a page, and break sentences that outputs print in one line; called for every page."""
    markdown = _OUTPUT.sub(lambda found: f"```text\n{broken(found.group(1))}```", markdown)
    markdown = _ROOM.sub(lambda found: room_entries(found.group(1)), markdown)
    if _TABLE in markdown:
        sys.path.insert(0, str(Path(__file__).resolve().parent))
        from estimators import table

        markdown = markdown.replace(_TABLE, table())
    return markdown


def on_page_content(html: str, page: Any = None, **_: Any) -> str:
    """Turn the references of docstrings, ``:func:`omnireco.evaluate```, into links; called by MkDocs for every page.

    A type that needs no further word ("Returns: Plan") loses its dash. The search is told what a page is found by.
    """
    if page is not None:
        page.meta["tags"] = words_for(page.file.src_uri)
        page.meta["search"] = {"boost": _rank(page.file.src_uri), **page.meta.get("search", {})}
    return _ROLE.sub(lambda found: _link(found.group(1) or found.group(2)), _WORDLESS.sub("", html))


@cache
def _synonyms() -> dict[str, list[str]]:
    """Return the words of the glossary's last table by the page that each row sends a reader to."""
    found: dict[str, list[str]] = {}
    for elsewhere, here, page in _SYNONYM.findall((Path(__file__).parent / "glossary.md").read_text("utf-8")):
        found.setdefault(page, []).extend(f"{elsewhere}, {here}".split(", "))
    return found


def words_for(page: str) -> list[str]:
    """Return the words that the search finds a page by, besides those on it; hidden in the list of hits."""
    return _synonyms().get(page, [])


def _rank(page: str) -> float:
    """Return what a hit counts: a page that says how, before the one that lists every name."""
    return next((rank for start, rank in _RANKS.items() if page.startswith(start)), 1.0)


def _link(written: str) -> str:
    name = written.lstrip("~!")
    shown = f"<code>{name.replace('omnireco.', 'om.')}</code>"
    entry = _entry(name.removeprefix("omnireco."))
    return f'<autoref identifier="{entry}" optional>{shown}</autoref>' if entry else shown


def _entry(name: str) -> str | None:
    """Return the anchor of a name in the reference: under its room, wherever else it is shown."""
    first = name.split(".")[0]
    if first in (*_ROOMS, "worlds", "adapters", "errors", "plotting", "testing"):
        return f"omnireco.{name}"
    return f"omnireco.{_homes()[first]}.{name}" if first in _homes() else None


@cache
def _homes() -> dict[str, str]:
    rooms = (*_ROOMS, "worlds", "adapters")
    return {name: room for room in reversed(rooms) for name in importlib.import_module(f"omnireco.{room}").__all__}


def room_entries(room: str) -> str:
    """Return one entry per name that a room shows, by file and in the order of its source."""
    face = importlib.import_module(f"omnireco.{room}")
    names = sorted(face.__all__, key=lambda name: _place(getattr(face, name)))
    return "\n\n".join(f"::: omnireco.{room}.{name}" for name in names)


def _place(value: Any) -> tuple[str, int]:
    module = getattr(value, "__module__", "")
    return module, inspect.getsourcelines(value)[1] if inspect.isclass(value) or inspect.isfunction(value) else 0
