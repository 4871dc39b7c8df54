"""How one kind of value is taken apart and put together again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from omnireco.files.parts import Part, Scope, read_parts, write_parts
from omnireco.files.small import Settings

__all__ = ["Form", "settings"]

Parts = Mapping[str, Part]


@dataclass(frozen=True, slots=True)
class Form:
    """The parts of a kind of value.

    Parameters
    ----------
    name : str
        The kind in a file's header.
    kind : type
    parts : mapping of str to Part
        In an order in which vocabularies stand before the codes that point into them. For most kinds these are the
        fields of the class, and a new field is one more line.
    take : callable, optional
        From a value to its parts by name; its attributes by default.
    build : callable, optional
        From parts by name to the value; the class by default.
    check : callable(parts, sizes), optional
        Raises where parts do not fit together in a way that no single part can see.
    """

    name: str
    kind: type
    parts: Parts
    take: Callable[[Any], Mapping[str, Any]] | None = None
    build: Callable[..., Any] | None = None
    check: Callable[[Mapping[str, Any], Mapping[str, int]], None] | None = None

    def write(self, scope: Scope, value: Any) -> None:
        """Check a value and write its parts."""
        known = {name: getattr(value, name) for name in self.parts} if self.take is None else self.take(value)
        write_parts(scope, self.parts, known)
        if self.check is not None:
            self.check(known, scope.sizes)

    def read(self, scope: Scope) -> Any:
        """Return the value of checked parts."""
        known = read_parts(scope, self.parts)
        if self.check is not None:
            self.check(known, scope.sizes)
        return (self.kind if self.build is None else self.build)(**known)


@dataclass(frozen=True, slots=True)
class _SettingsForm:
    """The form of a kind whose fields are all small, and which checks them itself."""

    name: str
    kind: type

    def write(self, scope: Scope, value: Any) -> None:
        Settings(self.kind).write_fields(scope, value)

    def read(self, scope: Scope) -> Any:
        return Settings(self.kind).read_fields(scope)


def settings(*kinds: type) -> tuple[_SettingsForm, ...]:
    """Return the forms of kinds that hold nothing but settings; their names are those of the classes."""
    return tuple(_SettingsForm(kind.__name__, kind) for kind in kinds)
