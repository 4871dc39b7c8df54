"""Where a name went: what ``omnireco.<name>`` answers when the front does not have it."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from types import ModuleType
from typing import NoReturn

__all__ = ["ELSEWHERE", "explain_unknown_names", "new_lines", "no_such_name", "places", "raise_no_such_name"]

ELSEWHERE: dict[str, tuple[str, ...]] = {
    "datasets": ("worlds",),
    "export": ("files",),
    "io": ("files",),
    "linkage": ("identity",),
    "response": ("timing", "choices"),
}
"""What cannot be read from the faces: a module that is gone, or a name that has another one now, and where it is."""

_LIKE = 0.75  # how alike two names must be before one is offered for the other
_AS_LIKE = 0.1  # a second name is offered where it is hardly less alike


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


def no_such_name(name: str, *, importing: bool = False, room: str = "") -> str:
    """Return the message for a name that the front, or a package, does not have: its line, the nearest names, or none.

    Parameters
    ----------
    name : str
        What was asked for.
    importing : bool
        Whether by ``from omnireco import name``.
    room : str, optional
        The package that was asked, such as ``"models"``.
    """
    where = f"omnireco.{room}" if room else "omnireco"
    if lines := new_lines(name):
        if room:
            return f"{where} has no {name!r}. Write {_write(lines, importing)}."
        return f"omnireco.{name} is now {_either(lines, 'omnireco.')}: write {_write(lines, importing)}."
    known = places()
    if room:  # a name of the package itself, before those of others
        shown = getattr(importlib.import_module("omnireco"), room).__all__
        known = {one: known.get(one, f"{room}.{one}") for one in shown}
    spelled = {public.casefold(): public for public in known}
    near = difflib.get_close_matches(name.casefold(), spelled, n=2, cutoff=_LIKE)
    fact = f"{where} has no {name!r}"
    if not near:
        return f"{fact}. dir({where}) names what it has."
    likeness = [difflib.SequenceMatcher(None, like, name.casefold()).ratio() for like in near]
    near = [like for like, ratio in zip(near, likeness, strict=True) if ratio > likeness[0] - _AS_LIKE]
    return f"{fact}. Did you mean {_write(tuple(known[spelled[like]] for like in near), importing)}?"


def raise_no_such_name(name: str, *, room: str, caller: str) -> NoReturn:
    """Raise for a name that a package does not have; ``caller`` is the function that asked for it."""
    where = f"omnireco.{room}" if room else "omnireco"
    if name.startswith("_"):  # what tools ask every module for
        raise AttributeError(f"module {where!r} has no attribute {name!r}", name=name)
    # `from omnireco import name` asks here first, and would say "cannot import name" instead of an AttributeError.
    if caller == "_handle_fromlist" and not importlib.util.find_spec(f"{where}.{name}"):
        raise ImportError(no_such_name(name, importing=True, room=room), name=where)
    raise AttributeError(no_such_name(name, room=room), name=name)


def explain_unknown_names(package: str) -> None:
    """Let a package of the library, which calls this in its last line, answer for names that it does not have."""

    def __getattr__(name: str) -> NoReturn:
        raise_no_such_name(name, room=package.rpartition(".")[2], caller=sys._getframe(1).f_code.co_name)

    sys.modules[package].__dict__["__getattr__"] = __getattr__


def _write(lines: tuple[str, ...], importing: bool) -> str:
    return " or ".join(map(_import_of, lines)) if importing else _either(lines, "om.")


def _import_of(line: str) -> str:
    room, _, rest = line.partition(".")
    if rest and isinstance(getattr(importlib.import_module("omnireco"), room), ModuleType):
        return f"from omnireco.{room} import {rest.partition('.')[0]}"
    return f"from omnireco import {room}"


def _either(lines: tuple[str, ...], prefix: str) -> str:
    return " or ".join(prefix + line for line in lines)
