"""Fingerprints of data and estimators: equal where everything that a fit reads is equal."""

from __future__ import annotations

import builtins
import dis
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from omnireco._core.parts import Scope, write_parts
from omnireco._core.small import Value
from omnireco._version import __version__
from omnireco.data.dataset import Dataset
from omnireco.errors import ParameterError

__all__ = ["print_of", "said", "said_function"]

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
    return str(list(table.columns)).encode() + table.to_csv(index=False, lineterminator="\n").encode()


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


def said_function(value: Any, where: str) -> str:
    """Return a text that says a function whole: its code, its defaults, and all that it reads from outside.

    A function of this package is said by its name, one of an installed package by name and version.

    Raises
    ------
    ParameterError
        When it reads something that cannot be said: an object with a state, a module of the caller's own, or a function
        that is not written in Python.
    """
    return _function(value, where, ())


def _function(value: Any, where: str, around: tuple[Any, ...]) -> str:
    if isinstance(value, partial):
        rest = said([list(value.args), dict(value.keywords)], where)
        return f"partial({_function(value.func, where, around)},{rest})"
    if (known := _installed(getattr(value, "__module__", None))) and hasattr(value, "__qualname__"):
        return f"{known}.{value.__module__}.{value.__qualname__}"
    if not isinstance(value, FunctionType):
        raise _unsaid(where, type(value).__name__)
    if value in around:
        return "itself"
    inside = (*around, value)
    held = [said([list(value.__defaults__ or ()), dict(value.__kwdefaults__ or {})], where)]
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        held.append(f"{name}={_outside(cell.cell_contents, where, inside)}")
    for name in sorted(set(_globals_of(value.__code__))):
        if name in value.__globals__:
            held.append(f"{name}={_outside(value.__globals__[name], where, inside)}")
        elif not hasattr(builtins, name):
            held.append(f"{name}={_module(name, where)}")
    return f"function({_code(value.__code__)},{','.join(held)})"


def _outside(value: Any, where: str, around: tuple[Any, ...]) -> str:
    """Return a text of what a function reads from outside."""
    if isinstance(value, ModuleType):
        return _module(value.__name__, where)
    if callable(value) and not is_dataclass(value):
        return _function(value, where, around)
    return said(value, where)


def _globals_of(code: CodeType) -> Iterator[str]:
    """Give the names that a code, and those inside it, load from outside or import."""
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "IMPORT_NAME"):
            yield str(step.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals_of(constant)


def _code(code: CodeType) -> str:
    digest = hashlib.sha256(code.co_code + repr((code.co_names, code.co_varnames, code.co_freevars)).encode())
    for constant in code.co_consts:
        if isinstance(constant, frozenset):  # whose order differs from process to process
            constant = sorted(map(repr, constant))
        digest.update((_code(constant) if isinstance(constant, CodeType) else repr(constant)).encode())
    return digest.hexdigest()[:32]


def _module(name: str, where: str) -> str:
    if known := _installed(name):
        return f"{known}.{name}"
    raise _unsaid(where, f"the module {name}, which may change")


def _installed(name: Any) -> str:
    """Return package and version where a module is of this package, of Python, or installed; else an empty text."""
    top = str(name).partition(".")[0]
    if top == "omnireco" or top in sys.stdlib_module_names - {"__main__"}:
        return f"{top} {__version__ if top == 'omnireco' else sys.version_info[:3]}"
    module = sys.modules.get(top)
    place = str(getattr(module, "__file__", None) or "")
    if "site-packages" in place or "dist-packages" in place:
        return f"{top} {getattr(module, '__version__', '')}"
    return ""


def _unsaid(where: str, what: str) -> ParameterError:
    return ParameterError(
        f"backtest: {where} reads {what}, which has no text that says it whole, so finished cells could be taken for "
        "those of another. Leave out folder=, or write a function that reads numbers, texts and functions like itself."
    )
