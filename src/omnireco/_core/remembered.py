"""What is computed once of a frozen value, and kept as long as the value lives."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

__all__ = ["remembered"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def remembered(make: _Function) -> _Function:
    """Call a function of a value (and of hashable arguments) once for each; the value must allow weak references.

    For what is small beside the value, and would otherwise be made again for each person that a service asks about.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, eq=False)
    ... class Model:
    ...     rates: tuple
    >>> calls = []
    >>> @remembered
    ... def mean(model):
    ...     calls.append(1)
    ...     return sum(model.rates) / len(model.rates)
    >>> model = Model((1.0, 2.0))
    >>> mean(model), mean(model), len(calls)
    (1.5, 1.5, 1)
    """
    known: WeakKeyDictionary[Any, dict[tuple[Any, ...], Any]] = WeakKeyDictionary()

    @functools.wraps(make)
    def found(value: Any, *key: Any) -> Any:
        of_value = known.setdefault(value, {})
        if key not in of_value:
            of_value[key] = make(value, *key)
        return of_value[key]

    return cast(_Function, found)
