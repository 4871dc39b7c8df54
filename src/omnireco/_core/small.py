"""Parts that lie in the JSON header: numbers, texts, settings, and values inside values."""

from __future__ import annotations

import dataclasses
import datetime as dt
import fractions
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

import numpy as np

from omnireco._core.form import Form, Unregistered, form_named, form_of, has_form
from omnireco._core.frozen import ReadOnly
from omnireco._core.parts import Cuts, Inseparable, Part, Parts, Scope, Sizes, demand, fit_size

__all__ = [
    "INSTANT",
    "Apart",
    "Each",
    "Flag",
    "Number",
    "Plain",
    "Settings",
    "Table",
    "Text",
    "Value",
    "Whole",
    "fits",
    "settings",
    "small_parts",
]

_MICROSECOND = dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Whole(Part):
    """An integer in a range."""

    low: int = 0
    high: int = (1 << 63) - 1

    def write(self, scope: Scope, name: str, value: Any) -> None:
        demand(not isinstance(value, (bool, np.bool_, float)), f"{scope.start}{name} is no integer")
        scope.fields[name] = int(value)
        self.read(scope, name)

    def read(self, scope: Scope, name: str) -> int:
        found: int = scope.field(name, int)
        demand(self.low <= found <= self.high, f"{scope.start}{name} lies outside {self.low} to {self.high}")
        return found


INSTANT = Whole(-62_135_596_800_000_000, 253_402_300_800_000_000)
"""UTC microseconds of the years 1 to 9999."""


@dataclass(frozen=True, slots=True)
class Number(Part):
    """A float in a range; infinite or NaN only where that is a number, and then written as a word."""

    low: float = -math.inf
    high: float = math.inf
    endless: bool = False
    missing: bool = False

    def write(self, scope: Scope, name: str, value: Any) -> None:
        number = float(value)
        scope.fields[name] = number if math.isfinite(number) else repr(number)
        self.read(scope, name)

    def read(self, scope: Scope, name: str) -> float:
        found, where = scope.fields.get(name), scope.start + name
        words = (["inf", "-inf"] if self.endless else []) + (["nan"] if self.missing else [])
        demand(type(found) in (int, float) or found in words, f"{where} is no number")
        number = float(typing.cast(Any, found))
        demand(math.isfinite(number) or type(found) is str, f"{where} is no number")
        demand(
            number != number or self.low <= number <= self.high, f"{where} lies outside {self.low:g} to {self.high:g}"
        )
        return number


@dataclass(frozen=True, slots=True)
class Flag(Part):
    """True or False."""

    def write(self, scope: Scope, name: str, value: Any) -> None:
        scope.fields[name] = bool(value)

    def read(self, scope: Scope, name: str) -> bool:
        return bool(scope.field(name, bool))


@dataclass(frozen=True, slots=True)
class Text(Part):
    """A text, or one of a few."""

    choices: tuple[str, ...] = ()

    def write(self, scope: Scope, name: str, value: Any) -> None:
        scope.fields[name] = str(value)
        self.read(scope, name)

    def read(self, scope: Scope, name: str) -> str:
        found: str = scope.field(name, str)
        demand(not self.choices or found in self.choices, f"{scope.start}{name} is none of {', '.join(self.choices)}")
        return found


@dataclass(frozen=True, slots=True)
class Each(Part):
    """Several parts of one kind, as a tuple."""

    part: Part
    size: str = ""

    def write(self, scope: Scope, name: str, value: Iterable[Any]) -> None:
        fields: dict[str, Any] = {}
        several = list(value)
        for position, one in enumerate(several):
            self.part.write(scope.within(name, fields, sizes=dict(scope.sizes)), str(position), one)
        scope.fields[name] = [len(several), fields]
        self._count(scope, name, len(several))

    def read(self, scope: Scope, name: str) -> tuple[Any, ...]:
        found = scope.field(name, list)
        demand([type(part) for part in found] == [int, dict], f"{scope.start}{name} is no list")
        n, fields = found
        demand(0 <= n <= len(fields) + len(scope.arrays), f"{scope.start}{name} is no list")
        self._count(scope, name, n)
        places = (scope.within(name, fields, sizes=dict(scope.sizes)) for _ in range(n))
        return tuple(self.part.read(place, str(position)) for position, place in enumerate(places))

    def keep(self, value: Any, name: str, where: str, sizes: Sizes) -> Any:
        if self.size:
            fit_size(sizes, self.size, len(value), where)
        kept = tuple(self.part.keep(one, str(at), f"{where}[{at}]", dict(sizes)) for at, one in enumerate(value))
        same = type(value) is tuple and all(a is b for a, b in zip(kept, value, strict=True))
        return value if same else kept

    def freeze(self, value: Any) -> None:
        for one in value:
            self.part.freeze(one)

    def measure(self, value: Any, name: str, sizes: Sizes) -> None:
        if self.size:
            sizes.setdefault(self.size, len(value))

    def nbytes(self, value: Any) -> int:
        return sum(self.part.nbytes(one) for one in value)

    def find_people(self, value: Any, name: str) -> Iterator[tuple[str, Any]]:
        for at, one in enumerate(value):
            yield from self.part.find_people(one, f"{name}[{at}]")

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        stays = cuts.stay.get(self.size)
        rest = value if stays is None else [one for one, stay in zip(value, stays, strict=True) if stay]
        fresh = tuple(_alone(self.part, one, cuts) for one in rest)
        same = len(fresh) == len(value) and all(a is b for a, b in zip(fresh, value, strict=True))
        return value if same else fresh

    def _count(self, scope: Scope, name: str, n: int) -> None:
        if self.size:
            demand(scope.size(self.size, n) == n, f"{scope.start}{name} has {n} parts, which does not fit")


def _alone(part: Part, value: Any, cuts: Cuts) -> Any:
    """Return one part of several without what goes, by dimensions of its own besides those outside."""
    own = cuts.child()
    own.settle({"": part}, {"": value})
    return part.cut(value, "", own)


@dataclass(frozen=True, slots=True)
class Apart(Part):
    """A part with dimensions of its own besides those outside: two of one class in one value do not share a length."""

    part: Part

    def write(self, scope: Scope, name: str, value: Any) -> None:
        Each(self.part).write(scope, name, (value,))

    def read(self, scope: Scope, name: str) -> Any:
        found = Each(self.part).read(scope, name)
        demand(len(found) == 1, f"{scope.start}{name} is not one")
        return found[0]

    def keep(self, value: Any, name: str, where: str, sizes: Sizes) -> Any:
        return self.part.keep(value, name, where, dict(sizes))

    def freeze(self, value: Any) -> None:
        self.part.freeze(value)

    def nbytes(self, value: Any) -> int:
        return self.part.nbytes(value)

    def find_people(self, value: Any, name: str) -> Iterator[tuple[str, Any]]:
        return self.part.find_people(value, name)

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        return _alone(self.part, value, cuts)


@dataclass(frozen=True, slots=True)
class Table(Part):
    """Several parts of one kind by name, as a mapping; every part has dimensions of its own besides those outside."""

    part: Part

    def write(self, scope: Scope, name: str, value: Mapping[str, Any]) -> None:
        fields: dict[str, Any] = {}
        for position, one in enumerate(value.values()):
            self.part.write(scope.within(name, fields, sizes=dict(scope.sizes)), str(position), one)
        scope.fields[name] = [list(value), fields]

    def read(self, scope: Scope, name: str) -> Mapping[str, Any]:
        found = scope.field(name, list)
        demand([type(part) for part in found] == [list, dict], f"{scope.start}{name} is no table")
        names, fields = found
        demand(
            all(type(key) is str for key in names) and len(set(names)) == len(names),
            f"{scope.start}{name} has no names",
        )
        places = (scope.within(name, fields, sizes=dict(scope.sizes)) for _ in names)
        pairs = enumerate(zip(names, places, strict=True))
        return ReadOnly({key: self.part.read(place, str(at)) for at, (key, place) in pairs})

    def keep(self, value: Any, name: str, where: str, sizes: Sizes) -> Any:
        kept = {key: self.part.keep(one, key, f"{where} {key!r}", dict(sizes)) for key, one in value.items()}
        return value if isinstance(value, ReadOnly) and all(kept[key] is value[key] for key in kept) else ReadOnly(kept)

    def freeze(self, value: Any) -> None:
        for one in value.values():
            self.part.freeze(one)

    def nbytes(self, value: Any) -> int:
        return sum(self.part.nbytes(one) for one in value.values())

    def find_people(self, value: Any, name: str) -> Iterator[tuple[str, Any]]:
        for key, one in value.items():
            yield from self.part.find_people(one, f"{name}[{key!r}]")

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        fresh = {key: _alone(self.part, one, cuts) for key, one in value.items()}
        return value if all(fresh[key] is value[key] for key in fresh) else ReadOnly(fresh)


@dataclass(frozen=True, slots=True)
class Value(Part):
    """A value that has a form of its own, of one of some kinds; its dimensions are known outside as ``name.users``."""

    kinds: tuple[type, ...] = ()

    def write(self, scope: Scope, name: str, value: Any) -> None:
        form = form_of(type(value))
        demand(not self.kinds or isinstance(value, self.kinds), f"{scope.start}{name} is a {type(value).__name__}")
        inner = scope.within(name, {})
        form.write(inner, value)
        scope.fields[name] = {"kind": form.name, "fields": inner.fields}
        self._tell(scope, name, inner)

    def read(self, scope: Scope, name: str) -> Any:
        found = scope.field(name, dict)
        demand(set(found) == {"kind", "fields"} and type(found["fields"]) is dict, f"{scope.start}{name} is no value")
        form = form_named(found["kind"])
        demand(not self.kinds or issubclass(form.kind, self.kinds), f"{scope.start}{name} is a {form.name}")
        inner = scope.within(name, found["fields"])
        value = form.read(inner)
        self._tell(scope, name, inner)
        return value

    @staticmethod
    def _tell(scope: Scope, name: str, inner: Scope) -> None:
        for dimension, length in inner.sizes.items():
            scope.size(f"{name}.{dimension}", length)

    def keep(self, value: Any, name: str, where: str, sizes: Sizes) -> Any:
        """Return the value, which has checked itself where it was made; only its lengths are news."""
        wanted = " or ".join(kind.__name__ for kind in self.kinds)
        demand(
            not self.kinds or isinstance(value, self.kinds), f"{where} must be a {wanted}. Got {type(value).__name__}"
        )
        self.measure(value, name, sizes)
        return value

    def measure(self, value: Any, name: str, sizes: Sizes) -> None:
        for dimension, length in _measured(value).items():
            sizes.setdefault(f"{name}.{dimension}", length)

    def nbytes(self, value: Any) -> int:
        return sum(form_of(type(value)).nbytes(value).values())

    def find_people(self, value: Any, name: str) -> Iterator[tuple[str, Any]]:
        return form_of(type(value)).find_people(value, f"{name}.")

    def hang(self, value: Any, name: str, cuts: Cuts) -> None:
        place = (name, id(value))
        if place not in cuts.inner:
            cuts.inner[place] = form_of(type(value)).without(value, cuts.asked)
            for dimension, stays in cuts.inner[place][1].items():
                cuts.drop(f"{name}.{dimension}", ~stays)

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        fresh, stay = cuts.inner.get((name, id(value)), (value, {}))
        for dimension, stays in cuts.stay.items():
            start, _, inner = dimension.partition(".")
            if inner and start == name and not (inner in stay and np.array_equal(stays, stay[inner])):
                raise Inseparable(f"{name} would lose rows of {inner} that are about nobody who goes")
        return fresh


def _measured(value: Any) -> Sizes:
    declared = getattr(type(value), "parts", None)
    if isinstance(declared, Mapping) and not has_form(type(value)):  # no room of files is imported for a measure
        return Form(type(value), "").measure(value)
    try:
        return form_of(type(value)).measure(value)
    except Unregistered:  # a value may hold what cannot be saved
        return {}


@dataclass(frozen=True, slots=True)
class Plain(Part):
    """Anything small: None, numbers, texts, durations, tuples, lists and mappings of them, and values with a form."""

    hint: Any = Any

    def write(self, scope: Scope, name: str, value: Any) -> None:
        inner = scope.within(name, {})
        scope.fields[name] = _encoded(value, inner, "0")

    def read(self, scope: Scope, name: str) -> Any:
        demand(name in scope.fields, f"{scope.start}{name} is not there")
        found = _decoded(scope.fields[name], scope.within(name, {}), "0")
        demand(fits(found, self.hint), f"{scope.start}{name} is not what its kind has there")
        return found

    def nbytes(self, value: Any) -> int:
        return 64 + sum(sum(form_of(type(one)).nbytes(one).values()) for _, one in _values_in(value, ""))

    def find_people(self, value: Any, name: str) -> Iterator[tuple[str, Any]]:
        for inner, one in _values_in(value, name):
            yield from form_of(type(one)).find_people(one, f"{inner}.")

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        return _plain_cut(value, cuts)


def _values_in(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Give the values with a form inside something small."""
    if isinstance(value, Mapping):
        for at, (key, one) in enumerate(value.items()):
            yield from _values_in(key, f"{name}[{at}]")
            yield from _values_in(one, f"{name}[{at}]")
    elif isinstance(value, (tuple, list, set, frozenset)):
        for at, one in enumerate(value):
            yield from _values_in(one, f"{name}[{at}]")
    elif dataclasses.is_dataclass(value):
        yield name, value


def _plain_cut(value: Any, cuts: Cuts) -> Any:
    """Return something small, its values without the people who go; the same where nothing changes."""
    if isinstance(value, Mapping):
        fresh = {key: _plain_cut(one, cuts) for key, one in value.items()}
        return value if all(fresh[key] is value[key] for key in fresh) else ReadOnly(fresh)
    if isinstance(value, (tuple, list)):
        rest = [_plain_cut(one, cuts) for one in value]
        return value if all(a is b for a, b in zip(rest, value, strict=True)) else type(value)(rest)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return form_of(type(value)).without(value, cuts.asked)[0]
    return value


def _encoded(value: Any, scope: Scope, place: str) -> Any:
    """Return what JSON holds of a value: itself, or an object whose one key says how to read the rest."""
    if isinstance(value, np.generic) and not isinstance(value, np.timedelta64):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (float, fractions.Fraction)):
        value = float(value)
        return value if math.isfinite(value) else {"number": repr(value)}
    if isinstance(value, (dt.timedelta, np.timedelta64)):
        length = value if isinstance(value, dt.timedelta) else value.astype("timedelta64[us]").item()
        return {"microseconds": length // _MICROSECOND}
    if isinstance(value, dt.time):
        return {"time": value.isoformat()}
    if isinstance(value, Mapping):
        pairs = enumerate(value.items())
        return {
            "map": [
                [_encoded(part, scope, f"{place}/{at}/{side}") for side, part in enumerate(pair)] for at, pair in pairs
            ]
        }
    for kind, word in ((list, "list"), (tuple, "tuple"), ((set, frozenset), "set")):
        if isinstance(value, kind):
            several = sorted(value) if word == "set" else value
            return {word: [_encoded(part, scope, f"{place}/{at}") for at, part in enumerate(several)]}
    fields: dict[str, Any] = {}
    inner = scope.within(place, fields)
    Value().write(inner, "of", value)
    return {"value": fields["of"]}


def _decoded(found: Any, scope: Scope, place: str) -> Any:
    if found is None or type(found) in (bool, int, str):
        return found
    if type(found) is float:
        demand(math.isfinite(found), "a number is infinite")
        return found
    demand(type(found) is dict and len(found) == 1, "a field is of no known kind")
    word, inside = next(iter(found.items()))
    if word == "value":
        return Value().read(scope.within(place, {"of": inside}), "of")
    if word == "number" and inside in ("inf", "-inf", "nan"):
        return float(inside)
    if word == "microseconds" and type(inside) is int:
        return dt.timedelta(microseconds=inside)
    if word == "time" and type(inside) is str:
        return dt.time.fromisoformat(inside)
    demand(type(inside) is list, f"a field is of no known kind: {word}")
    if word == "map":
        demand(all(type(pair) is list and len(pair) == 2 for pair in inside), "a field is no mapping")
        pairs = [
            [_decoded(part, scope, f"{place}/{at}/{side}") for side, part in enumerate(pair)]
            for at, pair in enumerate(inside)
        ]
        table = dict(pairs)
        demand(len(table) == len(pairs), "a mapping names a key twice")
        return ReadOnly(table)
    several = [_decoded(part, scope, f"{place}/{at}") for at, part in enumerate(inside)]
    makers: dict[str, Callable[[list[Any]], Any]] = {"list": list, "tuple": tuple, "set": frozenset}
    demand(word in makers, f"a field is of no known kind: {word}")
    return makers[word](several)


@cache
def small_parts(kind: type) -> Parts:
    """Return the parts of a dataclass whose fields are small; its annotations say what each may be."""
    hints = typing.get_type_hints(kind)
    return {one.name: Plain(hints[one.name]) for one in dataclasses.fields(kind) if one.init}


def settings(*kinds: type, name: str = "") -> tuple[Form, ...]:
    """Return the forms of kinds that hold nothing but settings, and check them themselves."""
    return tuple(Form(kind, name or kind.__name__, given=partial(small_parts, kind)) for kind in kinds)


class Settings(Part):
    """All fields of a dataclass whose fields are small."""

    def __init__(self, kind: type) -> None:
        (self._form,) = settings(kind)

    def write(self, scope: Scope, name: str, value: Any) -> None:
        inner = scope.within(name, {})
        self._form.write(inner, value)
        scope.fields[name] = inner.fields

    def read(self, scope: Scope, name: str) -> Any:
        return self._form.read(scope.within(name, scope.field(name, dict)))

    def nbytes(self, value: Any) -> int:
        return sum(self._form.nbytes(value).values())

    def find_people(self, value: Any, name: str) -> Iterator[tuple[str, Any]]:
        return self._form.find_people(value, f"{name}.")

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        return self._form.without(value, cuts.asked)[0]


def fits(value: Any, hint: Any) -> bool:
    """Return whether a value is what an annotation says; what the annotation cannot say, it does not refuse."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, (typing.TypeVar, str)):
        return True
    if hint is None or hint is type(None):
        return value is None
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in inside)
    if origin is Literal:
        return value in inside and type(value) in {type(one) for one in inside}
    if origin is None:
        return _is(value, hint)
    if not isinstance(value, origin) or isinstance(value, str):
        return False
    if issubclass(origin, Mapping):
        return all(fits(key, inside[0]) and fits(one, inside[1]) for key, one in value.items())
    if origin is tuple and inside[-1] is not ...:
        return len(value) == len(inside) and all(map(fits, value, inside))
    return all(fits(one, inside[0]) for one in value)


def _is(value: Any, kind: Any) -> bool:
    if kind in (int, float):  # a bool is no number, an int is one
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return not isinstance(kind, type) or isinstance(value, kind)
