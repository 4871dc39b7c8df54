# ruff: noqa: B027 - most kinds of parts have nothing to do for some of the verbs
"""What the parts of a value are, each in one description: checked, frozen, written, read, measured, and cut by rows.

A value declares ``parts``, a mapping from its fields to parts. From that alone its constructor checks and freezes
arrays (:func:`declare`, :func:`freeze`), a file is written and read (:meth:`Part.write`, :meth:`Part.read`), memory is
counted, and people are taken out of it. What is checked is the same everywhere: what can be built can be saved, what
can be saved can be loaded, and what compiled code will trust (types, shapes, ranges, order, finite numbers) holds for
an untrusted file too.

Dimensions have names. A vocabulary named ``users`` gives the length of ``users``; any other name is given its length by
the first array that has it, and later ones must agree. ``users?`` is that length or 0.
"""

from __future__ import annotations

import functools
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np

from omnireco.errors import ParameterError, SchemaError

__all__ = [
    "Array",
    "Cuts",
    "Damaged",
    "Inseparable",
    "Maybe",
    "Offsets",
    "Part",
    "Parts",
    "Record",
    "Scope",
    "coded",
    "counts",
    "declare",
    "demand",
    "fit_size",
    "flags",
    "freeze",
    "instants",
    "measure",
    "numbers",
    "probabilities",
    "read_parts",
    "some_of",
    "sound",
    "typed",
    "write_parts",
]

_Value = TypeVar("_Value")
NEVER = int(np.iinfo(np.int64).min)
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_800_000_000  # the years 1 to 9999
_WIDEST = 4096  # what an array without elements may say of a length that nothing else knows
_MOST = np.iinfo(np.int64).max
_SMALL = 64  # bytes of a number or a short text in Python, about

Shape = tuple[int | str, ...]
Sizes = dict[str, int]


class Damaged(ValueError):
    """What a file or a value is that it may not be."""


class Inseparable(ValueError):
    """A value holds people that cannot be cut out of it by rows; its text says what to do instead."""


def demand(ok: Any, what: str) -> None:
    """Raise what is wrong with a part, unless all is well."""
    if not ok:
        raise Damaged(what)


def fit_size(sizes: Sizes, name: str, length: int, where: str, *, known: bool = True) -> int:
    """Return the length of a dimension; the first to name it says it."""
    if name not in sizes:
        demand(known or length <= _WIDEST, f"{where} is {length:,} in an array without elements")
    return sizes.setdefault(name, length)


@dataclass(slots=True)
class Scope:
    """Where the parts of one value lie: arrays under a common beginning of names, fields, and lengths known so far."""

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    start: str = ""
    sizes: Sizes = field(default_factory=dict)
    depth: int = 0

    def within(self, name: str, fields: dict[str, Any], *, sizes: Sizes | None = None) -> Scope:
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
        return fit_size(self.sizes, name, length, self.start + name, known=known)


@dataclass(slots=True)
class Cuts:
    """Which rows of which dimensions stay when some people go."""

    asked: Any
    """Who goes: a function from a vocabulary to a mask over its ids."""
    stay: dict[str, np.ndarray] = field(default_factory=dict)
    sizes: Sizes = field(default_factory=dict)
    inner: dict[tuple[str, int], Any] = field(default_factory=dict)
    """Values inside the value, already without these people."""
    changed: bool = False

    def drop(self, dimension: str, gone: np.ndarray) -> None:
        """Let rows of a dimension go."""
        stays = self.stay.get(dimension)
        fresh = gone if stays is None else gone & stays
        if fresh.any():
            self.stay[dimension] = ~gone if stays is None else stays & ~gone
            self.changed = True

    def child(self) -> Cuts:
        """Return the cuts of a part with dimensions of its own besides these."""
        return Cuts(self.asked, dict(self.stay), dict(self.sizes))

    def settle(self, parts: Parts, values: Mapping[str, Any]) -> None:
        """Let go whatever hangs on what goes, until nothing more does."""
        measure(parts, values, self.sizes)
        self.let_hang(parts, values)
        before = dict(self.stay)
        for name, part in parts.items():
            part.prune(values[name], name, self, parts, values)
        if self.stay.keys() != before.keys() or self.changed:
            self.let_hang(parts, values)

    def let_hang(self, parts: Parts, values: Mapping[str, Any]) -> None:
        """Let go what names what goes."""
        self.changed = True
        while self.changed:
            self.changed = False
            for name, part in parts.items():
                part.hang(values[name], name, self)


class Part(ABC):
    """What a part is, in one description. What a kind of part has nothing to do for, it leaves as it stands here."""

    @abstractmethod
    def write(self, scope: Scope, name: str, value: Any) -> None:
        """Check a part and put it into its place."""

    @abstractmethod
    def read(self, scope: Scope, name: str) -> Any:
        """Take a part from its place and check it."""

    def keep(self, value: Any, name: str, where: str, sizes: Sizes) -> Any:
        """Return what a constructor was given as what the part is, checked and read-only."""
        return value

    def freeze(self, value: Any) -> None:
        """Make the arrays of a part read-only."""

    def measure(self, value: Any, name: str, sizes: Sizes) -> None:
        """Note the lengths of the dimensions that a part has."""

    def nbytes(self, value: Any) -> int:
        """Return the bytes that a part holds."""
        return _SMALL + sys.getsizeof(value, 0)

    def find_people(self, value: Any, name: str) -> Iterator[tuple[str, Any]]:
        """Give the vocabularies of people, by the names of their places."""
        return iter(())

    def hang(self, value: Any, name: str, cuts: Cuts) -> None:
        """Let rows go whose part names what goes."""

    def prune(self, value: Any, name: str, cuts: Cuts, parts: Parts, values: Mapping[str, Any]) -> None:
        """Let go ids that only the rows that go have named."""

    def used(self, value: Any, of: str, cuts: Cuts | None) -> np.ndarray | None:
        """Return the codes in a dimension that (remaining) rows name, or None."""
        return None

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        """Return the part without what goes."""
        return value


Parts = Mapping[str, Part]


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

    def keep(self, value: Any, name: str, where: str, sizes: Sizes) -> Any:
        return None if value is None else self.part.keep(value, name, where, sizes)

    def freeze(self, value: Any) -> None:
        if value is not None:
            self.part.freeze(value)

    def measure(self, value: Any, name: str, sizes: Sizes) -> None:
        if value is not None:
            self.part.measure(value, name, sizes)

    def nbytes(self, value: Any) -> int:
        return 0 if value is None else self.part.nbytes(value)

    def find_people(self, value: Any, name: str) -> Iterator[tuple[str, Any]]:
        return iter(()) if value is None else self.part.find_people(value, name)

    def hang(self, value: Any, name: str, cuts: Cuts) -> None:
        if value is not None:
            self.part.hang(value, name, cuts)

    def prune(self, value: Any, name: str, cuts: Cuts, parts: Parts, values: Mapping[str, Any]) -> None:
        if value is not None:
            self.part.prune(value, name, cuts, parts, values)

    def used(self, value: Any, of: str, cuts: Cuts | None) -> np.ndarray | None:
        return None if value is None else self.part.used(value, of, cuts)

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        return None if value is None else self.part.cut(value, name, cuts)


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
        Along the first axis: never falling, or always rising. Files are held to it, constructors are not: a log is
        built as its rows come, and sorted then.
    """

    dtype: Any
    shape: Shape
    low: float | None = None
    high: float | str | None = None
    gap: float | None = None
    endless: bool = False
    order: str = ""

    def write(self, scope: Scope, name: str, value: Any) -> None:
        self.check(value, scope.start + name, scope.sizes)
        scope.put(name, value)

    def read(self, scope: Scope, name: str) -> np.ndarray:
        array = scope.take(name)
        self.check(array, scope.start + name, scope.sizes)
        return array

    def keep(self, value: Any, name: str, where: str, sizes: Sizes) -> np.ndarray:
        array = typed(value, np.dtype(self.dtype), where)
        self.check(array, where, sizes, ordered=False)
        array.setflags(write=False)
        return array

    def freeze(self, value: Any) -> None:
        value.setflags(write=False)

    def check(self, array: np.ndarray, where: str, sizes: Sizes, *, ordered: bool = True) -> None:
        """Raise unless an array is what the part is."""
        wanted = np.dtype(self.dtype)
        if not isinstance(array, np.ndarray) or array.dtype != wanted:  # messages are made only when they are needed
            raise Damaged(f"{where} is not of type {wanted}")
        fits = array.ndim == len(self.shape)
        if fits:
            for length, size in zip(array.shape, self.shape, strict=True):
                fits &= length in _lengths(size, length, where, sizes, known=array.size > 0)
        if not fits:
            raise Damaged(f"{where} must have the shape ({self._spelled(sizes)}). Got {array.shape}")
        if array.size:
            self._check_numbers(array, where, sizes)
        if ordered and self.order and len(array) > 1:
            lower, upper = array[:-1], array[1:]
            demand((lower < upper if self.order == "distinct" else lower <= upper).all(), f"{where} is not in order")

    def _spelled(self, sizes: Sizes) -> str:
        known = [size if isinstance(size, int) else sizes.get(size.rstrip("?"), "n") for size in self.shape]
        return ", ".join(length if isinstance(length, str) else f"{length:,}" for length in known)

    def _check_numbers(self, array: np.ndarray, where: str, sizes: Sizes) -> None:
        if array.dtype == np.bool_:
            demand(array.view(np.uint8).max() <= 1, f"{where} holds what is neither true nor false")
            return
        least, most = self._ends(where, array)
        if array.dtype.kind == "f" and not self.endless:
            demand(np.isfinite([least, most]).all(), _not_finite(where))
        high = sizes[self.high] - 1 if isinstance(self.high, str) else self.high
        low, high = -np.inf if self.low is None else self.low, np.inf if high is None else high
        if not (low <= least and most <= high):
            raise Damaged(f"{where} must lie within {low:g} to {high:g}. Got {most if low <= least else least:g}")

    def _ends(self, where: str, array: np.ndarray) -> tuple[Any, Any]:
        """Return the least and the largest number, without those that mark a gap."""
        least, most = array.min(), array.max()
        if array.dtype.kind == "f" and np.isnan(least):
            demand(self.gap is not None and np.isnan(self.gap), _not_finite(where))
            there = array[~np.isnan(array)]
        elif self.gap is not None and least == self.gap:
            there = array[array != self.gap]
        else:
            return least, most
        return (there.min(), there.max()) if there.size else (self.low or 0, self.low or 0)

    def measure(self, value: Any, name: str, sizes: Sizes) -> None:
        for length, size in zip(value.shape, self.shape, strict=True):
            if isinstance(size, str) and not size.endswith("?"):
                sizes.setdefault(size, length)

    def nbytes(self, value: Any) -> int:
        return int(value.nbytes)

    def hang(self, value: Any, name: str, cuts: Cuts) -> None:
        stays = cuts.stay.get(self.high) if isinstance(self.high, str) else None
        if stays is None or not value.size:
            return
        gone = (value >= 0) & ~stays[value]
        rows, size = gone.any(axis=tuple(range(1, gone.ndim))), self.shape[0]
        if isinstance(size, str):
            cuts.drop(size.rstrip("?"), rows)
        elif rows.any():
            raise Inseparable(f"{name} has {size} rows, whoever is in them, and nobody can be taken out of it")

    def used(self, value: Any, of: str, cuts: Cuts | None) -> np.ndarray | None:
        if self.high != of:
            return None
        rows = value if cuts is None else self._rows(value, cuts)
        return np.unique(rows[rows >= 0])

    def _rows(self, value: np.ndarray, cuts: Cuts) -> np.ndarray:
        for axis, size in enumerate(self.shape):
            stays = cuts.stay.get(size.rstrip("?")) if isinstance(size, str) else None
            if stays is not None and value.shape[axis] == stays.size:
                value = np.compress(stays, value, axis=axis)
        return value

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        found = self._rows(value, cuts)
        stays = cuts.stay.get(self.high) if isinstance(self.high, str) else None
        if stays is not None and found.size:
            places = (np.cumsum(stays) - 1).astype(found.dtype)
            found = np.where(found >= 0, places[found], found)
        if found is not value:
            found = np.ascontiguousarray(found)
            found.setflags(write=False)
        return found


def _not_finite(where: str) -> str:
    return f"{where} holds NaN or infinity. Leave such rows out, or numpy.nan_to_num"


def _lengths(size: int | str, length: int, where: str, sizes: Sizes, *, known: bool) -> tuple[int, ...]:
    """Return the lengths that an axis may have."""
    if isinstance(size, int):
        return (size,)
    if size.endswith("?"):
        return (0, sizes.get(size[:-1], 0))
    return (fit_size(sizes, size, length, f"{where}: {size}", known=known),)


def typed(array: Any, wanted: np.dtype[Any], where: str) -> np.ndarray:
    """Return an array of a type: numbers become floats, integers stay exact, and nothing else becomes a number."""
    try:
        found = np.asarray(array)
    except (ValueError, TypeError):
        found = np.empty(0, object)
    fits = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}[wanted.kind]
    if found.size and found.dtype.kind not in fits:
        raise Damaged(f"{where} must be an array of {wanted}. Got {found.dtype} of {type(array).__name__}")
    if found.dtype == wanted:
        return found
    with np.errstate(over="ignore"):  # infinity is refused next
        cast = found.astype(wanted)
    if wanted.kind in "iu":
        demand((cast == found).all(), f"{where} does not fit into {wanted}: its numbers are too large")
    return cast


def numbers(*shape: int | str, low: float | None = None, high: float | None = None, dtype: Any = np.float64,
            missing: bool = False, endless: bool = False, order: str = "") -> Array:  # fmt: skip
    """Return a part of real numbers; NaN only where they may be missing, infinity only where it is a number."""
    return Array(dtype, shape, low, high, np.nan if missing else None, endless, order)


def probabilities(*shape: int | str, missing: bool = False) -> Array:
    """Return a part of probabilities."""
    return numbers(*shape, low=0.0, high=1.0, missing=missing)


def coded(of: str, *shape: int | str, none: bool = False, dtype: Any = np.int32, order: str = "") -> Array:
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
        self.check(value, scope.start + name, scope.sizes)
        scope.put(name, value)

    def read(self, scope: Scope, name: str) -> np.ndarray:
        array = scope.take(name)
        self.check(array, scope.start + name, scope.sizes)
        return array

    def keep(self, value: Any, name: str, where: str, sizes: Sizes) -> np.ndarray:
        array = typed(value, np.dtype(self.dtype), where)
        self.check(array, where, sizes)
        array.setflags(write=False)
        return array

    def freeze(self, value: Any) -> None:
        value.setflags(write=False)

    def check(self, array: np.ndarray, where: str, sizes: Sizes) -> None:
        """Raise unless an array is what the part is."""
        demand(array.dtype == self.dtype and array.ndim == 1 and array.size, f"{where} is no list of offsets")
        demand(
            array.size == fit_size(sizes, self.n, array.size - 1, where) + 1,
            f"{where} has {array.size:,} offsets, not one more than {self.n}",
        )
        demand(array[0] == 0 and (array[:-1] <= array[1:]).all(), f"{where} does not rise from 0")
        last = int(array[-1])
        demand(last == fit_size(sizes, self.of, last, where), f"{where} must rise from 0 to {sizes[self.of]:,}, the "
               f"number of {self.of}")  # fmt: skip

    def measure(self, value: Any, name: str, sizes: Sizes) -> None:
        sizes.setdefault(self.n, value.size - 1)
        sizes.setdefault(self.of, int(value[-1]))

    def nbytes(self, value: Any) -> int:
        return int(value.nbytes)

    def hang(self, value: Any, name: str, cuts: Cuts) -> None:
        stays = cuts.stay.get(self.n)
        if stays is not None:
            cuts.drop(self.of, np.repeat(~stays, np.diff(value)))

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        rows, cells = cuts.stay.get(self.n), cuts.stay.get(self.of)
        if rows is None and cells is None:
            return value
        ends = value if cells is None else np.concatenate([[0], np.cumsum(cells)])[value]
        lengths = np.diff(ends) if rows is None else np.diff(ends)[rows]
        found = np.concatenate([[0], np.cumsum(lengths)]).astype(self.dtype)
        found.setflags(write=False)
        return found


@dataclass(frozen=True, slots=True)
class Record(Part):
    """A small value that belongs to another one: its parts under its name, its dimensions shared."""

    kind: Any
    parts: Parts | None = None
    """Those of its class, by default."""

    @property
    def declared(self) -> Parts:
        return self.kind.parts if self.parts is None else self.parts

    def held(self, value: Any) -> dict[str, Any]:
        return {name: getattr(value, name) for name in self.declared}

    def write(self, scope: Scope, name: str, value: Any) -> None:
        inner = scope.within(name, {}, sizes=scope.sizes)
        write_parts(inner, self.declared, self.held(value))
        scope.fields[name] = inner.fields

    def read(self, scope: Scope, name: str) -> Any:
        inner = scope.within(name, scope.field(name, dict), sizes=scope.sizes)
        return self.kind(**read_parts(inner, self.declared))

    def keep(self, value: Any, name: str, where: str, sizes: Sizes) -> Any:
        changed = {}
        for inner, part in self.declared.items():
            held = getattr(value, inner)
            kept = part.keep(held, inner, f"{where}.{inner}", sizes)
            if kept is not held:
                changed[inner] = kept
        return _replaced(value, changed)

    def freeze(self, value: Any) -> None:
        for name, part in self.declared.items():
            part.freeze(getattr(value, name))

    def measure(self, value: Any, name: str, sizes: Sizes) -> None:
        measure(self.declared, self.held(value), sizes)

    def nbytes(self, value: Any) -> int:
        return sum(part.nbytes(getattr(value, name)) for name, part in self.declared.items())

    def find_people(self, value: Any, name: str) -> Iterator[tuple[str, Any]]:
        for inner, part in self.declared.items():
            yield from part.find_people(getattr(value, inner), f"{name}.{inner}")

    def hang(self, value: Any, name: str, cuts: Cuts) -> None:
        for inner, part in self.declared.items():
            part.hang(getattr(value, inner), inner, cuts)

    def prune(self, value: Any, name: str, cuts: Cuts, parts: Parts, values: Mapping[str, Any]) -> None:
        for inner, part in self.declared.items():
            part.prune(getattr(value, inner), inner, cuts, parts, values)

    def used(self, value: Any, of: str, cuts: Cuts | None) -> np.ndarray | None:
        found = [part.used(getattr(value, name), of, cuts) for name, part in self.declared.items()]
        there = [one for one in found if one is not None]
        return np.unique(np.concatenate(there)) if there else None

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        fresh = {inner: part.cut(getattr(value, inner), inner, cuts) for inner, part in self.declared.items()}
        changed = {inner: part for inner, part in fresh.items() if part is not getattr(value, inner)}
        return _replaced(value, changed)


def write_parts(scope: Scope, parts: Parts, values: Mapping[str, Any]) -> None:
    """Write every declared part of a value."""
    for name, part in parts.items():
        part.write(scope, name, values[name])


def read_parts(scope: Scope, parts: Parts) -> dict[str, Any]:
    """Read every declared part of a value, and refuse fields that nobody declared."""
    without = scope.fields.get("without", [])
    demand(isinstance(without, list) and all(type(name) is str for name in without), f"{scope.start}without is no list")
    strange = set(scope.fields) - set(parts) - {"without"}
    demand(not strange, f"it has fields that its kind has not: {', '.join(sorted(strange)[:3])}")
    return {name: part.read(scope, name) for name, part in parts.items()}


def measure(parts: Parts, values: Mapping[str, Any], sizes: Sizes) -> None:
    """Note the length of every dimension."""
    for name, part in parts.items():
        part.measure(values[name], name, sizes)


def sound(part: Part, value: Any, where: str, **sizes: int) -> Any:
    """Return what a part must be, checked and read-only, before there is a value to declare it of.

    Raises
    ------
    SchemaError
        What is wrong, beginning with ``where``.
    """
    try:
        return part.keep(value, where.rpartition(" ")[2], where, sizes)
    except Damaged as error:
        raise SchemaError(f"{error}.") from None


def _replaced(value: Any, changed: dict[str, Any]) -> Any:
    if not changed:
        return value
    named: Any = value
    return named._replace(**changed) if isinstance(value, tuple) else replace(value, **changed)


def declare(value: Any) -> None:
    """Check the declared parts of a frozen value where it is made, and put them in place, read-only.

    What comes out of ``fit`` is sound; what somebody builds from arrays of their own, field by field, passes here.

    Parameters
    ----------
    value : an object whose class has parts
        A frozen dataclass calls this in ``__post_init__``. Lists become arrays of the declared type.

    Raises
    ------
    SchemaError
        What is wrong, with the name of the field.

    Examples
    --------
    >>> import omnireco as om
    >>> from dataclasses import dataclass
    >>> from typing import Any
    >>> @dataclass(frozen=True)
    ... class Prices:
    ...     items: om.data.Vocabulary
    ...     price: Any
    ...     parts = {"items": om.files.Ids(), "price": om.files.numbers("items", low=0.0)}
    ...     def __post_init__(self):
    ...         om.files.declare(self)
    >>> Prices(om.data.Vocabulary.from_ids(["cup", "tea"]), [5, -3])
    Traceback (most recent call last):
    ...
    omnireco.errors.SchemaError: Prices: price must lie within 0 to inf. Got -3.
    """
    where = type(value).__name__
    parts: Parts | None = getattr(type(value), "parts", None)
    if parts is None:
        raise SchemaError(
            f"declare: a {where} has no parts. Give its class parts = {{name: Part}}, as the page on files does."
        )
    sizes: Sizes = {}
    try:
        for name, part in parts.items():
            held = getattr(value, name)
            kept = part.keep(held, name, f"{where}: {name}", sizes)
            if kept is not held:
                object.__setattr__(value, name, kept)
    except Damaged as error:
        raise SchemaError(f"{error}.") from None
    except KeyError as error:
        raise ParameterError(
            f"{where}: nothing gives the dimension {error} its length. Declare the vocabulary of that "
            "name before the codes into it."
        ) from None


def some_of(value: _Value, /, **changes: Any) -> _Value:
    """Return a copy of a frozen value with other parts that are rows of its own: they are sound, and not checked again.

    What a service asks of a large log for one person costs more to check than to answer.
    """
    kind: Any = type(value)
    made: _Value = object.__new__(kind)
    for name in _names_of(kind):
        object.__setattr__(made, name, changes.get(name, getattr(value, name)))
    freeze(made)
    return made


@functools.cache
def _names_of(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def freeze(value: Any) -> None:
    """Make the arrays of a value read-only, where its constructor checks them in words of its own."""
    for name, part in type(value).parts.items():
        part.freeze(getattr(value, name))
