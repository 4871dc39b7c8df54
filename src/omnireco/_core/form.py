"""How one kind of value is taken apart and put together again, and which kinds there are in this process."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnireco._core.parts import (
    Cuts,
    Damaged,
    Inseparable,
    Parts,
    Scope,
    Sizes,
    demand,
    measure,
    read_parts,
    write_parts,
)

__all__ = [
    "Form",
    "Unknown",
    "Unregistered",
    "add_form",
    "all_forms",
    "form_named",
    "form_of",
    "has_form",
]


class Unregistered(Damaged):
    """A value of a class that nothing has registered."""


class Unknown(Damaged):
    """A file holds a kind that nothing has registered; its text is the name."""


@dataclass(frozen=True, slots=True)
class Form:
    """The parts of a kind of value.

    Parameters
    ----------
    kind : type
    name : str
        The kind in a file's header.
    given : mapping of str to Part, or callable
        In an order in which vocabularies stand before the codes that point into them; those that the class declares by
        default. A callable is asked when they are needed first.
    take : callable, optional
        From a value to its parts by name; its attributes by default.
    build : callable, optional
        From parts by name to the value; the class by default.
    check : callable(parts, sizes), optional
        Raises where parts do not fit together in a way that no single part can see.
    refit : str
        The line that makes the value again, for one that people cannot be cut out of by rows.
    blind : bool
        Whether the value holds people without their ids: nobody can know who is in it.
    of_people : callable, optional
        Whether the ids of a value of this kind are ids of people: lists may be keyed by requests or items.
    lossy : bool
        Whether ``take`` may leave something out of a file: who is in a value is then asked of its attributes.
    """

    kind: type
    name: str
    given: Parts | Callable[[], Parts] | None = None
    take: Callable[[Any], Mapping[str, Any]] | None = None
    build: Callable[..., Any] | None = None
    check: Callable[[Mapping[str, Any], Mapping[str, int]], None] | None = None
    refit: str = ""
    blind: bool = False
    lossy: bool = False
    of_people: Callable[[Any], bool] | None = None

    @property
    def parts(self) -> Parts:
        """The parts by name."""
        if self.given is None:
            declared: Parts = self.kind.parts  # type: ignore[attr-defined]
            return declared
        return self.given() if callable(self.given) else self.given

    def held(self, value: Any) -> Mapping[str, Any]:
        """Return the parts of a value by name."""
        if self.take is None or self.lossy:
            return {name: getattr(value, name) for name in self.parts}
        return self.take(value)

    def write(self, scope: Scope, value: Any) -> None:
        """Check a value and write its parts."""
        known = self.held(value) if self.take is None else self.take(value)
        write_parts(scope, self.parts, known)
        if self.check is not None:
            self.check(known, scope.sizes)

    def read(self, scope: Scope) -> Any:
        """Return the value of checked parts."""
        known = read_parts(scope, self.parts)
        if self.check is not None:
            self.check(known, scope.sizes)
        if self.build is not None:
            return self.build(**known)
        for name, part in self.parts.items():
            part.freeze(known[name])
        return self.kind(**known)

    def measure(self, value: Any) -> Sizes:
        """Return the lengths of the dimensions of a value."""
        sizes: Sizes = {}
        measure(self.parts, self.held(value), sizes)
        return sizes

    def nbytes(self, value: Any) -> dict[str, int]:
        """Return the bytes that each part holds."""
        known = self.held(value)
        return {name: part.nbytes(known[name]) for name, part in self.parts.items()}

    def find_people(self, value: Any, start: str = "") -> Iterator[tuple[str, Any]]:
        """Give the vocabularies of people, by the names of their places."""
        known = self.held(value)
        if self.of_people is not None and not self.of_people(value):
            return
        for name, part in self.parts.items():
            yield from part.find_people(known[name], start + name)

    def without(self, value: Any, asked: Callable[[Any], np.ndarray]) -> tuple[Any, dict[str, np.ndarray]]:
        """Return the value without some people, and which rows of each dimension stayed."""
        known, cuts = self.held(value), Cuts(asked)
        if self.of_people is not None and not self.of_people(value):
            return value, {}
        if self.blind:
            raise Inseparable(self._refusal("without their ids"))
        cuts.settle(self.parts, known)
        fresh = {name: part.cut(known[name], name, cuts) for name, part in self.parts.items()}
        if all(fresh[name] is known[name] for name in fresh):
            return value, {}
        if self.refit:
            raise Inseparable(self._refusal("in numbers made of all of them"))
        return (self.kind if self.build is None else self.build)(**fresh), cuts.stay

    def _refusal(self, how: str) -> str:
        return (
            f"a {self.kind.__name__} holds people {how}, and nobody can be taken out of it. Make it again: {self.refit}"
        )


_KINDS: dict[type, Form] = {}
_NAMES: dict[str, Form] = {}
_REGISTERING = ("omnireco.files.kinds", "omnireco.live")  # these make omnireco's own kinds known


def add_form(form: Form) -> None:
    """Let values of a kind be saved and loaded in this process."""
    older = _NAMES.get(form.name)
    if older is not None:
        _KINDS.pop(older.kind, None)
    _KINDS[form.kind] = _NAMES[form.name] = form


def all_forms() -> dict[str, Form]:
    """Return every form of this process by its name."""
    return dict(_NAMES)


def form_of(kind: type) -> Form:
    """Return the form of a kind of value."""
    if kind not in _KINDS and kind.__module__.startswith("omnireco."):
        _know_our_own()
    if kind not in _KINDS:
        raise Unregistered(kind.__name__)
    return _KINDS[kind]


def has_form(kind: type) -> bool:
    """Return whether values of a kind can be saved in this process."""
    return kind in _KINDS


def form_named(name: Any) -> Form:
    """Return the form that a header names."""
    demand(type(name) is str, "it holds a kind of value without a name")
    if name not in _NAMES:
        _know_our_own()
    if name not in _NAMES:
        raise Unknown(name)
    return _NAMES[name]


def _know_our_own() -> None:
    """Import what registers omnireco's own kinds: nobody need have asked for a file before a value is measured."""
    for module in _REGISTERING:
        importlib.import_module(module)
