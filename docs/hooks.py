"""What the documentation build writes itself: the reference of each room, and the table of estimators."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
_ROOM = re.compile(r"^<!-- room: (\w+) -->$", re.MULTILINE)
_TABLE = "<!-- estimators -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the markers of a page; called by MkDocs for every page."""
    markdown = _ROOM.sub(lambda found: room_entries(found.group(1)), markdown)
    if _TABLE in markdown:
        sys.path.insert(0, str(Path(__file__).resolve().parent))
        from estimators import table

        markdown = markdown.replace(_TABLE, table())
    return markdown


def room_entries(room: str) -> str:
    """Return one entry per name that a room shows, by file and in the order of its source."""
    face = importlib.import_module(f"omnireco.{room}")
    names = sorted(face.__all__, key=lambda name: _place(getattr(face, name)))
    return "\n\n".join(f"::: omnireco.{room}.{name}" for name in names)


def _place(value: Any) -> tuple[str, int]:
    module = getattr(value, "__module__", "")
    return module, inspect.getsourcelines(value)[1] if inspect.isclass(value) or inspect.isfunction(value) else 0
