"""Where a name went: what ``omnireco.<name>`` answers when the front does not have it."""

from __future__ import annotations

import difflib
import importlib
from types import ModuleType

__all__ = ["ELSEWHERE", "new_lines", "no_such_name", "places"]

ELSEWHERE: dict[str, tuple[str, ...]] = {
    "datasets": ("worlds",),
    "export": ("files",),
    "io": ("files",),
    "linkage": ("identity",),
    "response": ("timing", "choices"),
}
"""What cannot be read from the faces: a module that is gone, or a name that has another one now, and where it is."""

_LIKE = 0.75  # how alike two names must be before one is offered for the other


def places() -> dict[str, str]:
    """Return every public name, and how it is written after ``om.``: the front, its packages, and what these show."""
    front = importlib.import_module("omnireco")
    found = {name: name for name in front.__all__ if not name.startswith("_")}
    for room in list(found):
        value = getattr(front, room)
        if isinstance(value, ModuleType):
            found.update({name: f"{room}.{name}" for name in value.__all__ if name not in front.__all__})
    return found


def new_lines(name: str) -> tuple[str, ...]:
    """Return how a name that is not at the front is written after ``om.``; nothing where nobody knows it."""
    if name in ELSEWHERE:
        return ELSEWHERE[name]
    place = places().get(name)
    return () if place is None else (place,)


def no_such_name(name: str, *, importing: bool = False) -> str:
    """Return the message for a name that the front does not have: its new line, the nearest names, or the bare fact."""
    if lines := new_lines(name):
        return f"omnireco.{name} is now {_either(lines, 'omnireco.')}: write {_write(lines, importing)}."
    known = places()
    spelled = {public.casefold(): public for public in known}
    near = difflib.get_close_matches(name.casefold(), spelled, n=2, cutoff=_LIKE)
    fact = f"omnireco has no {name!r}"
    if not near:
        return f"{fact}. dir(omnireco) names what it has."
    return f"{fact}. Did you mean {_write(tuple(known[spelled[like]] for like in near), importing)}?"


def _write(lines: tuple[str, ...], importing: bool) -> str:
    return " or ".join(map(_import_of, lines)) if importing else _either(lines, "om.")


def _import_of(line: str) -> str:
    room, _, rest = line.partition(".")
    if rest and isinstance(getattr(importlib.import_module("omnireco"), room), ModuleType):
        return f"from omnireco.{room} import {rest.partition('.')[0]}"
    return f"from omnireco import {room}"


def _either(lines: tuple[str, ...], prefix: str) -> str:
    return " or ".join(prefix + line for line in lines)
