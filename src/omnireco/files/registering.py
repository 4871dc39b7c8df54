"""Classes of one's own, made known so that their values can be saved and loaded."""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from omnireco._core.checks import shown
from omnireco._core.form import Form, add_form, all_forms
from omnireco._core.parts import Part, Parts
from omnireco._core.small import Plain
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError
from omnireco.files.kinds import FORMS

__all__ = ["register"]

_Kind = TypeVar("_Kind", bound=type)
_OURS = frozenset(form.name for form in FORMS)


def register(cls: _Kind, *, parts: Mapping[str, Part] | None = None, name: str | None = None) -> _Kind:
    """Let values of a class of your own be saved, loaded, measured and erased, alone and inside other values.

    Parameters
    ----------
    cls : type
        A frozen dataclass, such as a model that you have written. It is built by its constructor from its fields.
    parts : mapping of str to Part, optional
        What each field is: ``Ids()`` for a vocabulary (``Ids(people=True)`` where its ids are people's),
        ``numbers(...)`` and ``coded(...)`` for arrays, ``Matrix(rows, columns)`` for a sparse matrix, ``Value()`` for a
        value inside. The ``parts`` of the class by default. Vocabularies need none, nor do fields that are small
        (numbers, texts, flags, None, tuples and mappings of them): their annotations say what they are.
    name : str, optional
        The name in the file; the name of the class by default. Needed when two classes share theirs.

    Returns
    -------
    type
        The class, so that ``register`` can stand above it.

    Raises
    ------
    ParameterError
        When the class is no frozen dataclass, a field has no part, a part no field, or the name is taken.

    Notes
    -----
    Every process that loads such a file must have registered the class: a file names its kind, and no name in a file
    ever leads to an import. What a file claims is checked against the parts before the constructor sees it. Nothing is
    kept but what ``parts`` and the fields say.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import omnireco as om
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, eq=False)
    ... class Prices:
    ...     items: om.data.Vocabulary
    ...     price: np.ndarray
    ...     currency: str = "EUR"
    >>> _ = om.files.register(Prices, parts={"items": om.files.Ids(), "price": om.files.numbers("items", low=0.0)})
    >>> prices = Prices(om.data.Vocabulary.from_ids(["cup", "tea"]), np.array([5.0, 3.0]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     om.load(om.save(prices, folder + "/prices.omnireco")).price.tolist()
    [5.0, 3.0]
    """
    if not isinstance(cls, type) or not dataclasses.is_dataclass(cls) or not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise ParameterError(
            f"register takes a class that is a frozen dataclass. Got {shown(cls)}: write @dataclass(frozen=True) above "
            "it."
        )
    kind: type = cls
    if any(form.kind is kind for form in FORMS):
        raise ParameterError(f"register: {kind.__name__} is one of omnireco's own, which can be saved as they are.")
    known = kind.__name__ if name is None else name
    if not isinstance(known, str) or not known.replace("_", "a").replace(".", "a").replace("-", "a").isalnum():
        raise ParameterError(f"register: name must be a short text of letters, digits and '._-'. Got {shown(name)}.")
    taken = all_forms().get(known)
    if taken is not None and kind.__module__ != taken.kind.__module__ and _same_file(kind, taken.kind):
        return cls
    if known in _OURS or (taken is not None and _path(taken.kind) != _path(kind)):
        raise ParameterError(
            f"register: the name {known!r} belongs to another class. Give this one its own: "
            f"om.files.register({kind.__name__}, name='my-{known}')."
        )
    add_form(Form(kind, known, given=_complete(kind, parts)))
    return cls


def _path(kind: type) -> tuple[str, str]:
    return kind.__module__, kind.__qualname__


def _same_file(kind: type, other: type) -> bool:
    """Return whether two classes are one, whose file was loaded under two names of a module."""
    files = [getattr(sys.modules.get(one.__module__), "__file__", None) for one in (kind, other)]
    return files[0] is not None and files[0] == files[1] and kind.__qualname__ == other.__qualname__


def _complete(kind: type, parts: Mapping[str, Part] | None) -> Parts:
    """Return a part for every field, in an order in which vocabularies stand first."""
    given = dict(getattr(kind, "parts", {}) if parts is None else parts)
    wrong = [part for part in given.values() if not isinstance(part, Part)]
    if wrong:
        raise ParameterError(
            "register: parts must hold parts, such as om.files.Ids() and om.files.numbers('items'). Got "
            f"{type(wrong[0]).__name__}."
        )
    hints = _hints(kind)
    fields = [one.name for one in dataclasses.fields(kind) if one.init]
    strange = [name for name in given if name not in fields]
    if strange:
        raise ParameterError(
            f"register: {kind.__name__} has no field {shown(strange[0])}. Its fields: {', '.join(fields)}."
        )
    vocabularies = {name: Ids(people=name == "users") for name in fields if hints[name] is Vocabulary}
    rest = [name for name in fields if name not in given and name not in vocabularies]
    large = [name for name in rest if not _is_small(hints[name])]
    if large:
        raise ParameterError(
            f"register: nothing says what {', '.join(large)} of {kind.__name__} may be. Add it: parts={{{large[0]!r}: "
            "om.files.numbers('items')}, om.files.Matrix('users', 'items'), om.files.Value() for a value inside."
        )
    return vocabularies | given | {name: Plain(hints[name]) for name in rest}


def _hints(kind: type) -> dict[str, Any]:
    """Return what annotations say; nothing where a name in one is known to type checkers alone."""
    found: dict[str, Any] = {}
    for one in dataclasses.fields(kind):
        held = types.SimpleNamespace(__annotations__={one.name: one.type}, __module__=kind.__module__)
        space = vars(sys.modules[kind.__module__]) if kind.__module__ in sys.modules else {}
        try:
            found |= typing.get_type_hints(held, space)
        except (NameError, AttributeError, TypeError):
            found[one.name] = object
    return found


def _is_small(hint: Any) -> bool:
    """Return whether an annotation names nothing but numbers, texts, flags, None, and tuples and mappings of them."""
    if hint in (bool, int, float, str, None, type(None), typing.Literal):
        return True
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return True
    if origin in (typing.Union, types.UnionType, tuple) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return all(one is ... or _is_small(one) for one in inside)
    return False
