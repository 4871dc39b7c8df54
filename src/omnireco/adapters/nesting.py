"""Records as plain JSON values, whatever library made them, and access to their nested parts."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["Unreadable", "dig", "listed", "mapping", "plain"]

_SHELLS = (
    {"node"},
    {"node", "cursor"},
    {"element"},
    {"item"},
    {"array_element"},
)  # what an interface or a file format puts around a part
_CALLS = ("as_py", "to_pylist", "to_list", "asDict", "_asdict")  # pyarrow, pandas, polars, Spark, named tuples


class Unreadable(ValueError):
    """A field of a record cannot be read: the whole record is counted as invalid."""


def plain(value: Any) -> Any:
    """Return a value as JSON holds it: dicts, lists, texts, numbers; every way to write "missing" is None.

    Arrays, tuples and scalars of numpy, pandas and pyarrow become lists and plain numbers. Times stay what they are.
    """
    kind = type(value)
    if kind is dict:  # as json made it: most values are leaves, and each call costs more than what it does
        found = {}
        for name, part in value.items():
            of = type(part)
            if of is str:
                part = None if not part or part.isspace() else part
            elif of is not int and of is not bool and part is not None:
                part = plain(part)
            found[name if type(name) is str else str(name)] = part
        return found
    if isinstance(value, str):
        return value if value.strip() else None
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if value == value else None
    if kind is list:
        return [plain(part) for part in value]
    if isinstance(value, (dict, Mapping)):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, dt.date):
        return None if type(value).__name__ == "NaTType" else value
    for call in _CALLS:
        if callable(unpack := getattr(value, call, None)):
            return plain(unpack())
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _of_numpy(value)
    if isinstance(value, (bytes, bytearray)):
        return plain(value.decode("utf-8", "replace"))
    return None if type(value).__name__ == "NAType" or value != value else value


def _of_numpy(value: Any) -> Any:
    if value.dtype.kind == "M":  # numpy would give nanoseconds as bare integers
        import pandas as pd

        if value.ndim:
            return [_of_numpy(part) for part in value]
        return plain(pd.Timestamp(value))
    return plain(value.tolist())


def parsed(value: Any) -> Any:
    """Return the content of a JSON text, where a text stands for a list or a mapping; anything else as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return plain(json.loads(value))
    except (ValueError, RecursionError):
        return value


def mapping(value: Any, name: str = "a nested field") -> Mapping[str, Any]:
    """Return a nested mapping, also from its JSON; an empty one where there is none.

    PHP writes an empty mapping as ``[]``, and some loaders put a single one in a list.
    """
    found = parsed(value)
    if isinstance(found, list) and len(found) < 2:
        found = parsed(found[0]) if found else None
    if found is None:
        return {}
    if not isinstance(found, (dict, Mapping)):
        raise Unreadable(f"{name} cannot be read")
    return found


def listed(value: Any, name: str) -> list[Mapping[str, Any]]:
    """Return a nested list of mappings, also from its JSON, from one mapping alone, or from a wrapper around it."""
    found = parsed(value)
    if isinstance(found, Mapping):
        found = _list_of(found, name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise Unreadable(f"{name} cannot be read")
    parts = [_bare(parsed(part)) for part in found if part is not None]
    if not all(isinstance(part, (dict, Mapping)) for part in parts):
        raise Unreadable(f"{name} cannot be read")
    return [part for part in parts if part]


def _list_of(found: Mapping[str, Any], name: str) -> Any:
    """Return the list that a mapping stands for: a connection of GraphQL, a column of parquet, an array of PHP."""
    for key in ("edges", "nodes", "list", "bag"):
        if isinstance(found.get(key), list):
            return found[key]
    parts = [part for part in found.values() if part is not None]
    if parts and all(isinstance(part, Mapping) for part in parts) and all(key.isdigit() for key in found):
        return parts
    if parts and all(isinstance(part, list) for part in parts):  # columns instead of rows
        return _rows_of_columns(found, name)
    return [found] if parts else None


def _rows_of_columns(found: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    columns = {key: part for key, part in found.items() if part is not None}
    if len({len(part) for part in columns.values()}) != 1:
        raise Unreadable(f"{name} cannot be read")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _bare(part: Any) -> Any:
    """Return an element of a list without the wrapper of an interface or a file format."""
    if (
        isinstance(part, (dict, Mapping))
        and len(part) < 3
        and (set(part) in _SHELLS or set(part) == {"node", "cursor"})
    ):
        inner = parsed(part["node"] if "node" in part else next(iter(part.values())))
        return inner if isinstance(inner, Mapping) else part
    return part


def dig(record: Any, *path: str) -> Any:
    """Return a nested value, or None where the path ends early."""
    for name in path:
        record = parsed(record)
        if not isinstance(record, (dict, Mapping)):
            return None
        record = record.get(name)
    return record
