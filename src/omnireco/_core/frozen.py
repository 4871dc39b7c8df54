"""A mapping that does not change, for values that hold one."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

import numpy as np

__all__ = ["ReadOnly", "locked"]

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class ReadOnly(dict[_Key, _Value]):
    """A dict that refuses to be changed.

    Unlike a mapping proxy it can be copied, sent to another process and read in a repr.

    Examples
    --------
    >>> weights = ReadOnly({"view": 1.0})
    >>> weights["view"], weights
    (1.0, {'view': 1.0})
    >>> weights["view"] = 2.0
    Traceback (most recent call last):
    ...
    TypeError: this mapping is part of a frozen value: make a new value instead of changing it
    """

    __slots__ = ()

    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("this mapping is part of a frozen value: make a new value instead of changing it")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return ReadOnly, (dict(self),)

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))


def locked(array: np.ndarray) -> np.ndarray:
    """Return a copy that cannot be written to."""
    copy = np.array(array)
    copy.setflags(write=False)
    return copy
