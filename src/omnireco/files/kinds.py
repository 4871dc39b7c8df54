"""Every kind of value that has a file form."""

from __future__ import annotations

from functools import cache
from typing import Any

from omnireco.files import bandit, data, evaluation, models, planning, ranker, response
from omnireco.files.parts import demand

__all__ = ["form_named", "form_of", "forms"]


@cache
def forms() -> dict[str, Any]:
    """Return every form by the name that stands in a header."""
    every = [form for room in (data, models, ranker, response, bandit, planning, evaluation) for form in room.FORMS]
    return {form.name: form for form in every}


def form_of(kind: type) -> Any:
    """Return the form of a kind of value."""
    found = next((form for form in forms().values() if form.kind is kind), None)
    demand(found is not None, f"a {kind.__name__} has no file form")
    return found


def form_named(name: Any) -> Any:
    """Return the form that a header names."""
    demand(type(name) is str and name in forms(), "it holds a kind of value that this version does not know")
    return forms()[name]
