"""The parts that values are made of. Each says once what it is: that writes it, reads it, and checks a file's claims.

A part is checked before it is written and after it is read, by the same lines: what can be saved can be loaded, and
what compiled code will trust (types, shapes, ranges, order, finite numbers) holds for a stranger's file too.

Dimensions have names. A vocabulary named ``users`` gives the length of ``users``; any other name is given its length
by the first array that has it, and later ones must agree.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import csr_fault
from omnireco._kernels.log.cells import raw_csr
from omnireco.data.messages import NEVER
from omnireco.data.vocabulary import Vocabulary
from omnireco.files.archive import Damaged

__all__ = [
    "Array",
    "Ids",
    "Labels",
    "Matrix",
    "Maybe",
    "Offsets",
    "Part",
    "Record",
    "Scope",
    "chances",
    "codes",
    "counts",
    "demand",
    "flags",
    "instants",
    "numbers",
]

_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_800_000_000  # the years 1 to 9999
_WIDEST = 4096  # what an array without elements may say of a length that nothing else knows
_MOST = np.iinfo(np.int64).max

Shape = tuple[int | str, ...]


def demand(ok: Any, what: str) -> None:
    """Raise what is wrong with a part, unless all is well."""
    if not ok:
        raise Damaged(what)


@dataclass(slots=True)
class Scope:
    """Where the parts of one value lie: arrays under a common beginning of names, fields, and lengths known so far."""

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    start: str = ""
    sizes: dict[str, int] = field(default_factory=dict)
    depth: int = 0

    def within(self, name: str, fields: dict[str, Any], *, sizes: dict[str, int] | None = None) -> Scope:
        """Return the place of a value inside this one."""
        demand(self.depth < 48, "values lie inside one another without end")
        return Scope(self.arrays, fields, f"{self.start}{name}/", {} if sizes is None else sizes, self.depth + 1)

    def has(self, name: str) -> bool:
        return self.start + name in self.arrays

    def put(self, name: str, array: np.ndarray) -> None:
        self.arrays[self.start + name] = np.ascontiguousarray(array)

    def take(self, name: str) -> np.ndarray:
        """Return an array of a file, once: what is left over in the end belongs to nobody."""
        demand(self.has(name), f"{self.start}{name} is not there")
        return self.arrays.pop(self.start + name)

    def field(self, name: str, kind: type) -> Any:
        """Return a small field of a kind; a bool is no number."""
        found = self.fields.get(name)
        demand(type(found) is kind, f"{self.start}{name} is no {kind.__name__}")
        return found

    def size(self, name: str, length: int, *, known: bool = True) -> int:
        """Return the length of a dimension; the first to name it says it."""
        if name not in self.sizes:
            demand(known or length <= _WIDEST, f"{self.start}{name} is {length:,} in an array without elements")
        return self.sizes.setdefault(name, length)


class Part(ABC):
    """What a part is, as one rule for writing, reading and checking."""

    @abstractmethod
    def write(self, scope: Scope, name: str, value: Any) -> None:
        """Check a part and put it into its place."""

    @abstractmethod
    def read(self, scope: Scope, name: str) -> Any:
        """Take a part from its place and check it."""


@dataclass(frozen=True, slots=True)
class Maybe(Part):
    """A part that may be None; the field ``without`` names those that are."""

    part: Part

    def write(self, scope: Scope, name: str, value: Any) -> None:
        if value is None:
            scope.fields.setdefault("without", []).append(name)
        else:
            self.part.write(scope, name, value)

    def read(self, scope: Scope, name: str) -> Any:
        return None if name in scope.fields.get("without", ()) else self.part.read(scope, name)


@dataclass(frozen=True, slots=True)
class Array(Part):
    """Numbers of one type and shape, in a range, finite unless said otherwise.

    Parameters
    ----------
    dtype, shape
        Lengths are numbers, or names of dimensions.
    low, high
        The range, both ends inside; ``high`` may be the name of a dimension, whose last code is then the end.
    gap
        One number that may stand outside the range: the mark of what is missing. NaN for a float that may be missing.
    endless
        Whether infinity is a number here.
    order : {"", "rising", "distinct"}
        Along the first axis: never falling, or always rising.
    """

    dtype: Any
    shape: Shape
    low: float | None = None
    high: float | str | None = None
    gap: float | None = None
    endless: bool = False
    order: str = ""

    def write(self, scope: Scope, name: str, value: Any) -> None:
        self.check(scope, name, value)
        scope.put(name, value)

    def read(self, scope: Scope, name: str) -> np.ndarray:
        array = scope.take(name)
        self.check(scope, name, array)
        return array

    def check(self, scope: Scope, name: str, array: np.ndarray) -> None:
        where = scope.start + name
        wanted = np.dtype(self.dtype)
        demand(isinstance(array, np.ndarray) and array.dtype == wanted, f"{where} is not of type {wanted}")
        demand(array.ndim == len(self.shape), f"{where} has {array.ndim} dimensions, not {len(self.shape)}")
        for length, size in zip(array.shape, self.shape, strict=True):
            known = size if isinstance(size, int) else scope.size(size, length, known=array.size > 0)
            demand(length == known, f"{where} has the shape {array.shape}, which does not fit ({self._spelled()})")
        if array.size:
            self._check_numbers(scope, where, array)

    def _spelled(self) -> str:
        return ", ".join(map(str, self.shape))

    def _check_numbers(self, scope: Scope, where: str, array: np.ndarray) -> None:
        if array.dtype == np.bool_:
            demand(array.view(np.uint8).max() <= 1, f"{where} holds what is neither true nor false")
            return
        least, most = self._ends(where, array)
        if array.dtype.kind == "f" and not self.endless:
            demand(np.isfinite([least, most]).all(), f"{where} holds an infinite number")
        high = scope.sizes[self.high] - 1 if isinstance(self.high, str) else self.high
        demand(self.low is None or least >= self.low, f"{where} holds {least}, less than {self.low}")
        demand(high is None or most <= high, f"{where} holds {most}, more than {high}")
        if self.order and len(array) > 1:
            lower, upper = array[:-1], array[1:]
            ok = (lower < upper) if self.order == "distinct" else (lower <= upper)
            demand(ok.all(), f"{where} is not in order")

    def _ends(self, where: str, array: np.ndarray) -> tuple[Any, Any]:
        """Return the least and the largest number, without those that mark a gap."""
        least, most = array.min(), array.max()
        if array.dtype.kind == "f" and np.isnan(least):
            demand(self.gap is not None and np.isnan(self.gap), f"{where} holds NaN")
            there = array[~np.isnan(array)]
        elif self.gap is not None and least == self.gap:
            there = array[array != self.gap]
        else:
            return least, most
        return (there.min(), there.max()) if there.size else (self.low or 0, self.low or 0)


def numbers(*shape: int | str, low: float | None = None, high: float | None = None, dtype: Any = np.float64,
            missing: bool = False, endless: bool = False, order: str = "") -> Array:  # fmt: skip
    """Return a part of real numbers; NaN only where they may be missing, infinity only where it is a number."""
    return Array(dtype, shape, low, high, np.nan if missing else None, endless, order)


def chances(*shape: int | str, missing: bool = False) -> Array:
    """Return a part of probabilities."""
    return numbers(*shape, low=0.0, high=1.0, missing=missing)


def codes(of: str, *shape: int | str, none: bool = False, dtype: Any = np.int32, order: str = "") -> Array:
    """Return a part of positions in a dimension, such as a vocabulary; -1 only where there may be none."""
    return Array(dtype, shape, -1 if none else 0, of, order=order)


def counts(*shape: int | str, high: float = _MOST, dtype: Any = np.int64) -> Array:
    """Return a part of whole numbers from 0."""
    return Array(dtype, shape, 0, high)


def flags(*shape: int | str) -> Array:
    """Return a part of truths."""
    return Array(np.bool_, shape)


def instants(*shape: int | str, never: bool = False, order: str = "") -> Array:
    """Return a part of UTC microseconds of the years 1 to 9999; the mark for never only where it may stand."""
    return Array(np.int64, shape, _FIRST_US, _LAST_US, NEVER if never else None, order=order)


@dataclass(frozen=True, slots=True)
class Offsets(Part):
    """Where each of ``n`` rows begins and ends among the cells of another dimension: (n + 1,), from 0 to all."""

    n: str
    of: str
    dtype: Any = np.int64

    def write(self, scope: Scope, name: str, value: Any) -> None:
        self._check(scope, name, value)
        scope.put(name, value)

    def read(self, scope: Scope, name: str) -> np.ndarray:
        array = scope.take(name)
        self._check(scope, name, array)
        return array

    def _check(self, scope: Scope, name: str, array: np.ndarray) -> None:
        where = scope.start + name
        demand(array.dtype == self.dtype and array.ndim == 1 and array.size, f"{where} is no list of offsets")
        demand(
            array.size == scope.size(self.n, array.size - 1) + 1,
            f"{where} has {array.size:,} offsets, not one more than {self.n}",
        )
        demand(array[0] == 0 and (array[:-1] <= array[1:]).all(), f"{where} does not rise from 0")
        demand(array[-1] == scope.size(self.of, int(array[-1])), f"{where} does not end at the last of its cells")


@dataclass(frozen=True, slots=True)
class Ids(Part):
    """A vocabulary: distinct integers, or distinct strings as UTF-8 and where each ends. Its name is a dimension."""

    text: bool = False

    def write(self, scope: Scope, name: str, value: Any) -> None:
        demand(isinstance(value, Vocabulary), f"{scope.start}{name} is no vocabulary")
        self._check(scope, name, value)
        if value.ids.dtype != object:
            scope.put(name, value.ids)
            return
        encoded = [text.encode() for text in value.ids]
        scope.put(name + "/text", np.frombuffer(b"".join(encoded), np.uint8))
        scope.put(name + "/ends", np.cumsum([len(text) for text in encoded], dtype=np.int64))

    def read(self, scope: Scope, name: str) -> Vocabulary:
        if scope.has(name):
            found = scope.take(name)
            demand(found.dtype == np.int64 and found.ndim == 1, f"{scope.start}{name} is no list of ids")
        else:
            found = _strings(scope, name)
        vocabulary = Vocabulary(found)
        self._check(scope, name, vocabulary)
        return vocabulary

    def _check(self, scope: Scope, name: str, vocabulary: Vocabulary) -> None:
        where, ids = scope.start + name, vocabulary.ids
        if ids.dtype == object:
            distinct = len(set(ids.tolist())) == ids.size
        else:
            demand(not (self.text and ids.size), f"{where} are integers and not names")
            distinct = bool((ids[:-1] < ids[1:]).all()) or np.unique(ids).size == ids.size
        demand(distinct, f"{where} holds an id twice")
        demand(
            len(vocabulary) == scope.size(name, len(vocabulary)),
            f"{where} has {len(vocabulary):,} ids, which does not fit",
        )


def _strings(scope: Scope, name: str) -> np.ndarray:
    """Return strings from their text and ends."""
    ends, text = scope.take(name + "/ends"), scope.take(name + "/text")
    where = scope.start + name
    demand(
        ends.dtype == np.int64 and text.dtype == np.uint8 and ends.ndim == text.ndim == 1,
        f"{where} is no list of strings",
    )
    starts = np.concatenate([[0], ends])
    demand(
        (starts[:-1] <= starts[1:]).all() and starts[-1] == text.size,
        f"{where}/ends does not rise to the end of the text",
    )
    whole = text.tobytes()
    pairs = zip(starts[:-1].tolist(), ends.tolist(), strict=True)
    ids = np.empty(ends.size, object)
    if whole.isascii():
        known = whole.decode("ascii")
        ids[:] = [known[a:b] for a, b in pairs]
    else:
        ids[:] = [whole[a:b].decode() for a, b in pairs]
    return ids


@dataclass(frozen=True, slots=True)
class Matrix(Part):
    """A sparse matrix by rows: float32 numbers, columns rising inside each row."""

    rows: str
    columns: str

    def write(self, scope: Scope, name: str, value: Any) -> None:
        demand(sp.issparse(value) and value.format == "csr", f"{scope.start}{name} is no sparse matrix by rows")
        self._check(scope, name, value.data, value.indices, value.indptr, value.shape)
        for part in ("data", "indices", "indptr"):
            scope.put(f"{name}/{part}", getattr(value, part))
        scope.fields[name] = [int(length) for length in value.shape]

    def read(self, scope: Scope, name: str) -> sp.csr_matrix:
        data, indices, indptr = (scope.take(f"{name}/{part}") for part in ("data", "indices", "indptr"))
        shape = scope.field(name, list)
        demand(len(shape) == 2 and all(type(length) is int for length in shape), f"{scope.start}{name} has no shape")
        self._check(scope, name, data, indices, indptr, tuple(shape))
        return raw_csr(data, indices, indptr, (shape[0], shape[1]))

    def _check(
        self, scope: Scope, name: str, data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: Any
    ) -> None:
        where, integers = scope.start + name, {np.dtype(np.int32), np.dtype(np.int64)}
        demand(
            {indices.dtype, indptr.dtype} <= integers and data.dtype == np.float32, f"{where} has parts of another type"
        )
        demand(data.shape == indices.shape, f"{where} has parts of another shape")
        fault = csr_fault(indptr, indices, shape)
        demand(not fault, f"{where}: {fault}")
        demand(np.isfinite(data).all(), f"{where}/data is not finite")
        known = (scope.size(self.rows, shape[0]), scope.size(self.columns, shape[1], known=False))
        demand(shape == known, f"{where} has the shape {shape}, which does not fit {known}")


@dataclass(frozen=True, slots=True)
class Labels(Part):
    """Named columns of ids: a vocabulary and a code per row each, -1 where there is none."""

    n: str

    def write(self, scope: Scope, name: str, value: Mapping[str, tuple[Vocabulary, np.ndarray]]) -> None:
        scope.fields[name] = list(value)
        for position, (vocabulary, found) in enumerate(value.values()):
            column = scope.within(f"{name}/{position}", {})
            Ids().write(column, "ids", vocabulary)
            _CODES.write(column, "codes", found)
            self._fit(scope, column)

    def read(self, scope: Scope, name: str) -> dict[str, tuple[Vocabulary, np.ndarray]]:
        labels = scope.field(name, list)
        demand(all(type(label) is str for label in labels), f"{scope.start}{name} are no names")
        demand(len(set(labels)) == len(labels), f"{scope.start}{name} holds a name twice")
        return {label: self._column(scope, f"{name}/{position}") for position, label in enumerate(labels)}

    def _column(self, scope: Scope, name: str) -> tuple[Vocabulary, np.ndarray]:
        column = scope.within(name, {})
        found = Ids().read(column, "ids"), _CODES.read(column, "codes")
        self._fit(scope, column)
        return found

    def _fit(self, scope: Scope, column: Scope) -> None:
        n = column.sizes["n"]
        demand(n == scope.size(self.n, n), f"{column.start}codes has {n:,} rows, which does not fit")


_CODES = codes("ids", "n", none=True)


@dataclass(frozen=True, slots=True)
class Record(Part):
    """A small value that belongs to another one: its parts under its name, its dimensions shared."""

    kind: Callable[..., Any]
    parts: Mapping[str, Part]

    def write(self, scope: Scope, name: str, value: Any) -> None:
        inner = scope.within(name, {}, sizes=scope.sizes)
        write_parts(inner, self.parts, {part: getattr(value, part) for part in self.parts})
        scope.fields[name] = inner.fields

    def read(self, scope: Scope, name: str) -> Any:
        return self.kind(**read_parts(scope.within(name, scope.field(name, dict), sizes=scope.sizes), self.parts))


def write_parts(scope: Scope, parts: Mapping[str, Part], values: Mapping[str, Any]) -> None:
    """Write every declared part of a value."""
    for name, part in parts.items():
        part.write(scope, name, values[name])


def read_parts(scope: Scope, parts: Mapping[str, Part]) -> dict[str, Any]:
    """Read every declared part of a value, and refuse fields that nobody declared."""
    without = scope.fields.get("without", [])
    demand(isinstance(without, list) and all(type(name) is str for name in without), f"{scope.start}without is no list")
    strange = set(scope.fields) - set(parts) - {"without"}
    demand(not strange, f"it has fields that its kind has not: {', '.join(sorted(strange)[:3])}")
    return {name: part.read(scope, name) for name, part in parts.items()}
