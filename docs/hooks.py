"""What the documentation build writes itself: the reference of each room, its links, and the table of estimators."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
_ROOM = re.compile(r"^<!-- room: (\w+) -->$", re.MULTILINE)
_TABLE = "<!-- estimators -->"
_ROLE = re.compile(r":(?:func|class|meth|mod|attr|data):(?:<code>([^<`]+)</code>|`([^<`]+)`)")  # as docstrings link
_ROOMS = ("models", "data", "identity", "timing", "choices", "journeys", "causal", "planning", "evaluation", "files")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the markers of a page; called by MkDocs for every page."""
    markdown = _ROOM.sub(lambda found: room_entries(found.group(1)), markdown)
    if _TABLE in markdown:
        sys.path.insert(0, str(Path(__file__).resolve().parent))
        from estimators import table

        markdown = markdown.replace(_TABLE, table())
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """Turn the references of docstrings, ``:func:`omnireco.evaluate```, into links; called by MkDocs for every page."""
    return _ROLE.sub(lambda found: _link(found.group(1) or found.group(2)), html)


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
