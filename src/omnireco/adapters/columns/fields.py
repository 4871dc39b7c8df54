"""Fields of records as columns: the rules of :mod:`omnireco.adapters.quick`, each for all rows of a table at once.

A field is declared by its path (``"properties/price"``, ``"items[]/item_id"``) and its kind. Where a value is not usual
its row is odd: Python reads that record.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco.adapters.values import Known, as_number, as_person, instants

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "ABSENT",
    "ID",
    "LISTED",
    "NUMBER",
    "PART",
    "TEXT",
    "TIME",
    "TRUTH",
    "Rows",
    "coded",
    "codes_of",
    "ids_of",
    "instants_of",
    "joined",
    "mask_of",
    "parents",
    "places",
    "schema_of",
    "spelled",
    "texts_of",
]

TEXT, ID, NUMBER, TIME = "text", "id", "number", "time"
ABSENT = "absent"  # a field that only the rules read: the row of one that is filled is odd
LISTED = "listed"  # the same, where it usually is a list of mappings
TRUTH = "truth"
PART = "part"  # a mapping of which it matters only whether it is there

_LARGE = 2**53
_EMULATED = 16  # length of an id that may be a placeholder though it has a digit, beside those of hashes
_HASHES = (32, 40, 64)
_PLAIN = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-2][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
    r"(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])$"
)
_FIRST, _LAST = 631_152_000, 4_102_444_800  # 1990 and 2100, in seconds
_ENOUGH = 20  # elements of a list in a sample
_SECOND = 1_000_000
_UNITS = (1, 1_000, 1_000_000, 1_000_000_000)  # counts of a second
_COUNT = "^[1-9][0-9]{8,17}$|^[1-4][0-9]{18}$"
_NAIVE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-2][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?$"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def schema_of(fields: Mapping[str, str], sample: Iterable[Any]) -> pa.Schema:
    """Return the types of declared fields; an id, time or number is of the type that most of a sample have."""
    import pyarrow as pa

    tree: dict[str, Any] = {}
    records = list(sample)
    for path in fields:
        names = [step.removesuffix("[]") for step in path.split("/")]
        tree |= {".".join(names[:n]): _type_of(ABSENT, []) for n in range(2, len(names) + 1)}
    for path, kind in fields.items():
        steps, at = path.split("/"), tree
        for step in steps[:-1]:
            at = at.setdefault(step, {})
        at[steps[-1]] = _type_of(kind, [one for record in records for one in _values(record, steps)])
    return pa.schema(list(_struct(tree)))


def _values(value: Any, steps: list[str]) -> Iterator[Any]:
    name = steps[0].removesuffix("[]")
    found = value.get(name) if type(value) is dict else None
    for part in found[:_ENOUGH] if steps[0].endswith("[]") and type(found) is list else [found]:
        if len(steps) > 1:
            yield from _values(part, steps[1:])
        else:
            yield part


def _type_of(kind: str, values: list[Any]) -> pa.DataType:
    import pyarrow as pa

    texts = sum(type(one) is str for one in values)
    whole = sum(type(one) is int for one in values)
    if kind == PART:
        return pa.struct([])
    if kind == TRUTH:
        return pa.bool_()
    if kind == LISTED:
        return pa.list_(pa.struct([]))
    if kind == NUMBER:
        return pa.string() if texts > sum(type(one) in (int, float) for one in values) else pa.float64()
    return pa.int64() if kind in (ID, TIME) and whole > texts else pa.string()


def _struct(tree: dict[str, Any]) -> Iterator[Any]:
    import pyarrow as pa

    for step, part in tree.items():
        kind = pa.struct(list(_struct(part))) if isinstance(part, dict) else part
        yield pa.field(step.removesuffix("[]"), pa.list_(kind) if step.endswith("[]") else kind)


class Rows:
    """Rows of a table, or of the lists in one of its columns, with what makes them odd.

    ``parent`` is the row of each element of a list, ``odd`` the marks of the rows that Python must read.
    """

    def __init__(self, array: Any, odd: np.ndarray, parent: np.ndarray | None = None) -> None:
        self.array, self.odd, self.parent = array, odd, parent

    @classmethod
    def of(cls, array: Any) -> Rows:
        """Return rows of which none is odd yet."""
        return cls(array, np.zeros(len(array), np.bool_))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.array)

    def mark(self, rows: np.ndarray) -> None:
        """Mark rows as odd, by a mask."""
        if self.parent is None:
            self.odd |= rows
        else:
            self.odd[self.parent[rows]] = True

    def column(self, path: str) -> pa.Array:
        """Return a field as it was parsed."""
        import pyarrow.compute as pc

        return pc.struct_field(self.array, path.split("/"))

    def given(self, path: str) -> np.ndarray:
        """Return where a field is filled."""
        return mask_of(self.column(path).is_valid())

    def texts(self, path: str) -> bool:
        """Return whether a field was parsed as texts."""
        import pyarrow as pa

        return bool(pa.types.is_string(self.column(path).type))

    def absent(self, *paths: str) -> None:
        """Mark rows in which a field is there that only the rules read, or one whose name joins others by points."""
        pointed = [one.name for one in self.array.type if "." in one.name]
        for path in [*paths, *pointed]:
            found = self.column(path)
            if found.null_count < len(found):
                self.mark(mask_of(found.is_valid()))

    def within(self, path: str) -> Rows:
        """Return the elements of a list, in order; a missing element makes its row odd."""
        import pyarrow.compute as pc

        found = self.column(path.removesuffix("[]"))
        flat, parent = found.flatten(), np.asarray(pc.list_parent_indices(found), np.int64)
        rows = Rows(flat, self.odd, parent if self.parent is None else self.parent[parent])
        if flat.null_count:
            rows.mark(mask_of(flat.is_null()))
        return rows

    def equal(self, path: str, text: str) -> np.ndarray:
        """Return where a field is a text."""
        import pyarrow.compute as pc

        return mask_of(pc.equal(self.column(path), text).fill_null(False))

    def where(self, path: str, text: str) -> Rows:
        """Return the first element of each row of which a field is a text; the others are not looked at."""
        at = np.flatnonzero(self.equal(path, text))
        parent = parents(self)[at]
        first = np.concatenate([[True], parent[1:] != parent[:-1]]) if at.size else np.zeros(0, np.bool_)
        return Rows(self.array.take(at[first]), self.odd, parent[first])

    def first(self, values: pa.Array) -> pa.Array:
        """Return the first filled of some values of elements for each row that holds them."""
        at = np.flatnonzero(mask_of(values.is_valid()))
        parent = parents(self)[at]
        first = np.concatenate([[True], parent[1:] != parent[:-1]]) if at.size else np.zeros(0, np.bool_)
        place = np.full(self.odd.size, -1, np.int64)
        place[parent[first]] = at[first]
        return values.take(places(place))

    def titles(self, path: str, rule: Mapping[Any, Any]) -> tuple[np.ndarray, list[str], list[Any]]:
        """Return codes of texts, the texts and the answers of a rule; odd where there is no text or no answer."""
        code, texts = coded(self.column(path), str)
        found = [rule[one] for one in texts]
        good = np.array([*(one is not None for one in found), False], np.bool_)
        if not good[code].all():
            self.mark(~good[code])
        return code, texts, found

    def names(self, path: str, rule: Mapping[Any, Any]) -> tuple[np.ndarray, list[Any]]:
        """Return codes of texts and the answers of a rule, odd where a text is missing or the answer None."""
        code, _, found = self.titles(path, rule)
        return code, found

    def person(self, path: str) -> pa.Array:
        """Return ids of persons as texts, missing where they are placeholders."""
        return ids_of(self.column(path), people=True)

    def id(self, path: str) -> pa.Array:
        """Return ids as texts."""
        return ids_of(self.column(path))

    def blank(self, path: str) -> None:
        """Mark rows in which an id is there, and is blank or the number 0."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self.column(path)
        if pa.types.is_integer(column.type):
            self.mark(mask_of(pc.equal(column, 0).fill_null(False)))
        elif column.null_count < len(column):
            self.mark(mask_of(column.is_valid()) & mask_of(self.id(path).is_null()))

    def first_id(self, *paths: str) -> pa.Array:
        """Return the first filled of some fields, as an id."""
        import pyarrow.compute as pc

        return pc.coalesce(*(self.id(path) for path in paths))

    def number(self, path: str) -> np.ndarray:
        """Return numbers, NaN where there is none; a row is odd where one is so large that a rule must judge it."""
        import pyarrow as pa

        column = self.column(path)
        if column.null_count == len(column):
            return np.full(len(column), np.nan)
        if pa.types.is_string(column.type):
            code, found = coded(column, _number)
            table = np.array([*(np.inf if one is None else one for one in found), np.nan], np.float64)
            values, given = table[code], code >= 0
        else:
            values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            given = mask_of(column.is_valid())
        bad = given & ~((np.abs(values) < _LARGE) & ~((values == 0) & np.signbit(values)))
        if bad.any():
            self.mark(bad)
        return values

    def instant(self, *paths: str, naive: bool = False) -> np.ndarray:
        """Return times in microseconds since 1970, of the first filled of some fields.

        A row is odd where there is none, or it is not of a usual form.
        """
        micro = np.full(len(self), -1, np.int64)
        left = np.ones(len(self), np.bool_)
        for path in paths:
            column = self.column(path)
            given = left & mask_of(column.is_valid())
            if given.any():
                micro = np.where(given, _micro(column, naive), micro)
            left &= ~given
        if (micro < 0).any():
            self.mark(micro < 0)
        return micro

    def last(self, path: str, text: str) -> np.ndarray:
        """Return the position of the last element of each row of which a field is a text, -1 where there is none."""
        at = np.flatnonzero(self.equal(path, text))
        place = np.full(self.odd.size, -1, np.int64)
        place[parents(self)[at]] = at  # of several the last is written last
        return place


def parents(elements: Rows) -> np.ndarray:
    """Return the row of each element of lists."""
    if elements.parent is None:
        raise ValueError("these rows are no elements of lists")
    return elements.parent


def _micro(column: pa.Array, naive: bool) -> np.ndarray:
    import pyarrow as pa

    return _counted(column) if pa.types.is_integer(column.type) else _written(column, naive)


def mask_of(found: pa.Array) -> np.ndarray:
    """Return a mask as numpy has it."""
    return np.asarray(found.to_numpy(zero_copy_only=False), np.bool_)


def codes_of(column: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Return the code of each text, int64 and -1 where it is missing, and the distinct texts."""
    encoded = column.dictionary_encode()
    return encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary


def coded(column: pa.Array, rule: Callable[[str], Any]) -> tuple[np.ndarray, list[Any]]:
    """Return the code of each text, -1 where it is missing, and what a rule makes of each distinct one."""
    code, texts = codes_of(column)
    return code, [rule(one) for one in texts.to_pylist()]


def joined(one: pa.Array, other: pa.Array) -> pa.Array:
    """Return the elements of two arrays of one type."""
    import pyarrow as pa

    return pa.concat_arrays([one, other.cast(one.type)])


def places(place: np.ndarray) -> pa.Array:
    """Return positions of which -1 is none."""
    import pyarrow as pa

    return pa.array(place, mask=place < 0)


def spelled(code: np.ndarray, names: list[Any]) -> pa.Array:
    """Return the name of each code, missing where it is -1."""
    import pyarrow as pa

    return pa.array([*names, None], pa.string()).take(pa.array(np.where(code < 0, len(names), code)))


def _number(text: str) -> float | None:
    found = as_number(text)
    return None if found is None or found != found else found


def _clean(column: pa.Array) -> np.ndarray:
    """Return which texts neither are empty nor begin or end with a blank, or with what is not ASCII."""
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    data = np.frombuffer(column.buffers()[2] or b"\0", np.uint8)
    start, last = offsets[:-1], offsets[1:] - 1
    filled = last >= start
    if data.size == 0:
        return filled
    first, final = (data[np.clip(at, 0, data.size - 1)] for at in (start, last))
    return np.asarray(filled & (first > 32) & (first < 127) & (final > 32) & (final < 127))


def ids_of(column: pa.Array, *, people: bool = False) -> pa.Array:
    """Return ids as texts without blanks around them; of ``people``, without placeholders."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count == len(column):
        return pa.nulls(len(column), pa.string())
    if pa.types.is_integer(column.type):
        column = column.cast(pa.string())
        if not people:
            return column
    usual = _clean(column) | mask_of(column.is_null())
    if people:
        length = np.asarray(pc.binary_length(column).fill_null(_EMULATED + 1).to_numpy(zero_copy_only=False), np.int64)
        counted = mask_of(pc.match_substring_regex(column, "[1-9]").fill_null(True))
        usual &= counted & (length > 4) & (length != _EMULATED) & ~np.isin(length, _HASHES)
    if usual.all():
        return column
    rule = _PEOPLE if people else _IDS
    code, found = coded(column.filter(pa.array(~usual)), rule.__getitem__)
    if people and len(rule) > 1_000_000:
        rule.clear()
    return pc.replace_with_mask(column, pa.array(~usual), spelled(code, found))


_PEOPLE = Known(as_person)
_IDS = Known(lambda text: text.strip() or None)


def _counted(column: pa.Array) -> np.ndarray:
    """Return the microseconds of counts, by the one unit that puts them between 1990 and 2100; -1 for others."""
    counts = column.fill_null(-1).to_numpy(zero_copy_only=False)
    micro = np.full(counts.size, -1, np.int64)
    for per_second in _UNITS:
        of = (counts >= _FIRST * per_second) & (counts < _LAST * per_second)
        if of.any():
            micro[of] = counts[of] * (_SECOND // per_second) if per_second <= _SECOND else counts[of] // 1000
    return micro


def _written(column: pa.Array, naive: bool) -> np.ndarray:
    """Return the microseconds of times as texts, -1 for those that are not as most write them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pc.all(pc.match_substring_regex(column, _COUNT).fill_null(False)).as_py():
        return _counted(column.cast(pa.int64()))
    usual = pc.match_substring_regex(column, _NAIVE if naive else _PLAIN).fill_null(False)
    chosen = column if pc.all(usual).as_py() else pc.if_else(usual, column, pa.scalar(None, pa.string()))
    try:
        at = chosen.cast(pa.timestamp("us") if naive else pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:  # a date that the calendar does not have
        return _by_rule(column, usual, naive)
    micro = at.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    return np.where((micro >= _FIRST * _SECOND) & (micro < _LAST * _SECOND), micro, -1)


def _by_rule(column: pa.Array, usual: pa.Array, naive: bool) -> np.ndarray:
    rows = np.flatnonzero(mask_of(usual))
    code, texts = coded(column.take(rows), str)
    since = (instants(texts, naive=naive) - _EPOCH) // np.timedelta64(1, "us")
    micro = np.full(len(column), -1, np.int64)
    micro[rows] = since.fillna(-1).to_numpy(np.int64)[code]
    return micro


def texts_of(column: Any) -> pa.Array | None:
    """Return a column of pandas as Arrow's texts; None where it holds anything else."""
    import pyarrow as pa

    try:
        found = pa.array(column, pa.string(), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, UnicodeEncodeError):
        return None
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def instants_of(column: pa.Array) -> Any:
    """Return naive times as :func:`omnireco.adapters.values.instants` does, the usual ones all at once."""
    import pandas as pd

    if column.null_count == len(column):
        return instants(column.to_pylist()[:1]).repeat(len(column)).reset_index(drop=True)
    micro = _written(column, True)
    odd = np.flatnonzero((micro < 0) & mask_of(column.is_valid()))
    if not (micro >= 0).any():
        return instants(column.to_pylist(), naive=True)
    if odd.size > len(column) // 10:
        return instants(column.to_pylist(), naive=True)
    at = np.where(micro >= 0, micro, np.iinfo(np.int64).min).view("datetime64[us]")
    rows = np.append(odd, np.argmax(micro >= 0))  # beside the odd ones one that tells the unit, which pandas chooses
    read = instants(column.take(rows).to_pylist(), naive=True).dt.tz_localize(None).to_numpy()
    at = at.astype(read.dtype)
    at[rows] = read
    return pd.Series(at).dt.tz_localize("UTC")
