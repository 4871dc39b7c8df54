"""Fingerprints of data and estimators: equal where everything that a fit reads is equal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from omnireco._core.parts import Scope, write_parts
from omnireco._core.small import Value
from omnireco._version import __version__
from omnireco.data.dataset import Dataset
from omnireco.errors import ParameterError

__all__ = ["print_of", "said"]

_PARTS = ("events", "messages", "audience", "catalog", "attributes", "identities")


def print_of(data: Dataset) -> str:
    """Return 16 hexadecimal digits of everything that a Dataset knows."""
    digest = hashlib.sha256(f"{__version__} {data.end_us}".encode())
    for name in _PARTS:
        value = getattr(data, name)
        digest.update(name.encode() + (b"-" if value is None else b"+"))
        if value is not None and hasattr(value, "parts"):
            _add(digest, value)
    for frame in (*data.facts, *([] if data.creatives is None else [data.creatives])):
        digest.update(_frame_bytes(frame))
    if data.asked is not None:
        requests, chosen = data.asked.requests, data.asked.chosen
        for array in (requests.user, requests.at, chosen.csr.indptr, chosen.csr.indices, chosen.csr.data):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _add(digest: Any, value: Any) -> None:
    """Add the parts of a value, and of the values in it, whose forms no file need have been asked for."""
    parts, scope = type(value).parts, Scope()
    inner = [name for name, part in parts.items() if isinstance(getattr(part, "part", part), Value)]
    own = {name: part for name, part in parts.items() if name not in inner}
    write_parts(scope, own, {name: getattr(value, name) for name in own})
    digest.update(json.dumps(scope.fields, sort_keys=True, default=repr).encode())
    for key in sorted(scope.arrays):
        digest.update(key.encode() + str(scope.arrays[key].dtype).encode())
        digest.update(np.ascontiguousarray(scope.arrays[key]).tobytes())
    for name in inner:
        held = getattr(value, name)
        digest.update(f"{name} {type(held).__name__}".encode())
        if held is not None:
            _add(digest, held)


def _frame_bytes(frame: Any) -> bytes:
    import narwhals as nw

    table = nw.from_native(frame, eager_only=True).to_pandas()
    return str(list(table.columns)).encode() + table.to_csv(index=False).encode()


def said(value: Any, where: str = "the estimator") -> str:
    """Return a text that says a value whole, so that equal texts mean equal values.

    Raises
    ------
    ParameterError
        For an object that cannot be said, such as a function: its text could stand for another one tomorrow.
    """
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return repr(value)
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, np.ndarray) and value.dtype != object:
        return f"array({value.dtype},{value.shape},{hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()})"
    if isinstance(value, Mapping):
        return "{" + ",".join(sorted(f"{said(key)}:{said(one, where)}" for key, one in value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}(" + ",".join(said(one, where) for one in value) + ")"
    if isinstance(value, (set, frozenset)):
        return "{" + ",".join(sorted(said(one, where) for one in value)) + "}"
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if is_dataclass(value) and not isinstance(value, type):
        return name + "(" + ",".join(f"{f.name}={said(getattr(value, f.name), where)}" for f in fields(value)) + ")"
    if type(value).__module__ == "datetime":
        return repr(value)
    if callable(getattr(value, "get_params", None)) and not isinstance(value, type):
        return name + said(value.get_params(deep=False), where)
    raise ParameterError(
        f"backtest: {where} holds {type(value).__name__}, which has no text that says it whole, so finished cells "
        "could be taken for those of another. Leave out folder=."
    )
