# ruff: noqa: D102 - Part says what each verb does
"""The parts of values that know of ids: vocabularies, columns of labels, and matrices between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import as_csr, csr_fault, shown
from omnireco._core.frozen import ReadOnly
from omnireco._core.parts import Array, Cuts, Damaged, Part, Parts, Scope, Sizes, coded, demand, fit_size, numbers
from omnireco._core.small import Plain
from omnireco._kernels.log.cells import raw_csr
from omnireco.data.vocabulary import Vocabulary

__all__ = ["Column", "Frame", "Ids", "Labels", "Matrix", "Square"]

_TEXT = 57  # bytes of a short string and of the pointer to it


@dataclass(frozen=True, slots=True)
class Ids(Part):
    """A vocabulary: distinct integers, or distinct strings as UTF-8 and where each ends. Its name is a dimension.

    Parameters
    ----------
    text : bool
        Whether the ids are names, never integers.
    people : bool
        Whether the ids are people's: they are what erasing looks for.
    """

    text: bool = False
    people: bool = False

    def write(self, scope: Scope, name: str, value: Any) -> None:
        self._check(value, name, scope.start + name, scope.sizes)
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
        self._check(vocabulary, name, scope.start + name, scope.sizes)
        return vocabulary

    def _check(self, vocabulary: Any, name: str, where: str, sizes: Sizes) -> None:
        demand(isinstance(vocabulary, Vocabulary), f"{where} is no vocabulary")
        ids = vocabulary.ids
        if ids.dtype == object:
            distinct = len(set(ids.tolist())) == ids.size
        else:
            demand(not (self.text and ids.size), f"{where} are integers and not names")
            distinct = bool((ids[:-1] < ids[1:]).all()) or np.unique(ids).size == ids.size
        demand(distinct, f"{where} holds an id twice")
        n = len(vocabulary)
        demand(n == fit_size(sizes, name, n, where), f"{where} has {n:,} ids, which does not fit")

    def keep(self, value: Any, name: str, where: str, sizes: Sizes) -> Any:
        """Return the vocabulary, which has checked itself where it was made; only its length is news."""
        demand(isinstance(value, Vocabulary), f"{where} must be a Vocabulary. Got {type(value).__name__}")
        n = len(value)
        demand(n == fit_size(sizes, name, n, where), f"{where} has {n:,} ids, which does not fit")
        return value

    def measure(self, value: Any, name: str, sizes: Sizes) -> None:
        sizes.setdefault(name, len(value))

    def nbytes(self, value: Any) -> int:
        held = int(value.ids.nbytes)
        return held + sum(_TEXT + len(text) for text in value.ids) if value.ids.dtype == object else held

    def find_people(self, value: Any, name: str) -> Iterator[tuple[str, Any]]:
        if self.people:
            yield name, value

    def hang(self, value: Any, name: str, cuts: Cuts) -> None:
        if self.people:
            cuts.drop(name, cuts.asked(value))

    def prune(self, value: Any, name: str, cuts: Cuts, parts: Parts, values: Mapping[str, Any]) -> None:
        """Let go ids of people that only rows that go have named: an address of somebody who goes."""
        if not self.people or not cuts.stay:
            return
        gone = np.zeros(len(value), np.bool_)
        for other, part in parts.items():
            before, after = (part.used(values[other], name, which) for which in (None, cuts))
            if before is not None and after is not None:
                gone[before] = True
                gone[after] = False
        cuts.drop(name, gone)

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        stays = cuts.stay.get(name)
        return value if stays is None else value.take(np.flatnonzero(stays))


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
        where = scope.start + name
        demand(sp.issparse(value) and value.format == "csr", f"{where} is no sparse matrix by rows")
        self._check(where, value.data, value.indices, value.indptr, value.shape, scope.sizes)
        for part in ("data", "indices", "indptr"):
            scope.put(f"{name}/{part}", getattr(value, part))
        scope.fields[name] = [int(length) for length in value.shape]

    def read(self, scope: Scope, name: str) -> sp.csr_matrix:
        data, indices, indptr = (scope.take(f"{name}/{part}") for part in ("data", "indices", "indptr"))
        shape = scope.field(name, list)
        demand(len(shape) == 2 and all(type(length) is int for length in shape), f"{scope.start}{name} has no shape")
        self._check(scope.start + name, data, indices, indptr, tuple(shape), scope.sizes)
        return raw_csr(data, indices, indptr, (shape[0], shape[1]))

    def _check(
        self, where: str, data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: Any, sizes: Sizes
    ) -> None:
        integers = {np.dtype(np.int32), np.dtype(np.int64)}
        demand(
            {indices.dtype, indptr.dtype} <= integers and data.dtype == np.float32, f"{where} has parts of another type"
        )
        demand(data.shape == indices.shape, f"{where} has parts of another shape")
        fault = csr_fault(indptr, indices, shape)
        demand(not fault, f"{where}: {fault}")
        demand(np.isfinite(data).all(), f"{where}/data is not finite")
        self._fit(where, shape, sizes)

    def _fit(self, where: str, shape: tuple[int, int], sizes: Sizes) -> None:
        known = (
            fit_size(sizes, self.rows, shape[0], where),
            fit_size(sizes, self.columns, shape[1], where, known=False),
        )
        if shape != known:
            raise Damaged(
                f"{where}: a matrix of shape {shape} does not fit {known[0]:,} {self.rows} x {known[1]:,} "
                f"{self.columns}. Pass matching vocabularies"
            )

    def keep(self, value: Any, name: str, where: str, sizes: Sizes) -> sp.csr_matrix:
        """Return the matrix itself when it is sound, or a sorted copy of its type."""
        demand(sp.issparse(value), f"{where} must be a scipy sparse matrix. Got {type(value).__name__}")
        self._fit(where, value.shape, sizes)
        found = value if _is_sound(value) else _sorted(as_csr(value, where))
        if found.nnz:
            demand(
                np.isfinite([found.data.min(), found.data.max()]).all(),
                f"{where} holds NaN or infinity. Leave such cells out before building the matrix",
            )
        self.freeze(found)
        return found

    def freeze(self, value: Any) -> None:
        for array in (value.data, value.indices, value.indptr):
            array.setflags(write=False)

    def measure(self, value: Any, name: str, sizes: Sizes) -> None:
        sizes.setdefault(self.rows, value.shape[0])
        sizes.setdefault(self.columns, value.shape[1])

    def nbytes(self, value: Any) -> int:
        return int(value.data.nbytes + value.indices.nbytes + value.indptr.nbytes)

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        rows, columns = cuts.stay.get(self.rows), cuts.stay.get(self.columns)
        if rows is not None:
            value = value[np.flatnonzero(rows)]
        return value if columns is None else value[:, np.flatnonzero(columns)]


def _is_sound(matrix: Any) -> bool:
    if matrix.format != "csr" or matrix.data.dtype != np.float32 or matrix.data.shape != matrix.indices.shape:
        return False
    return not csr_fault(matrix.indptr, matrix.indices, matrix.shape)


def _sorted(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Return a copy with sorted columns, each once, in float32."""
    copy = matrix.copy()
    copy.sum_duplicates()
    with np.errstate(over="ignore"):  # infinity is refused next
        return sp.csr_matrix(copy.astype(np.float32))


_CODES = coded("ids", "n", none=True)


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

    def keep(self, value: Any, name: str, where: str, sizes: Sizes) -> ReadOnly[str, tuple[Vocabulary, np.ndarray]]:
        return ReadOnly({label: self._kept(column, f"{where} {label!r}", sizes) for label, column in value.items()})

    def _kept(self, column: tuple[Vocabulary, np.ndarray], where: str, sizes: Sizes) -> tuple[Vocabulary, np.ndarray]:
        known, found = column
        return known, Array(np.int32, (self.n,), -1, len(known) - 1).keep(found, "codes", where, sizes)

    def freeze(self, value: Any) -> None:
        for _, found in value.values():
            found.setflags(write=False)

    def measure(self, value: Any, name: str, sizes: Sizes) -> None:
        for _, found in value.values():
            sizes.setdefault(self.n, found.size)

    def nbytes(self, value: Any) -> int:
        return sum(Ids().nbytes(known) + int(found.nbytes) for known, found in value.values())

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        stays = cuts.stay.get(self.n)
        if stays is None or not value:
            return value
        return ReadOnly({label: _cut_column(column, stays) for label, column in value.items()})


def _cut_column(column: tuple[Vocabulary, np.ndarray], stays: np.ndarray) -> tuple[Vocabulary, np.ndarray]:
    """Return a column of the rows that stay; labels that only the others had go with them."""
    known, found = column
    rest = found[stays]
    named = np.ones(len(known), np.bool_)
    named[found[found >= 0]] = False
    named[rest[rest >= 0]] = True
    places = np.append(np.cumsum(named) - 1, -1)
    fresh = places[rest].astype(np.int32)
    fresh.setflags(write=False)
    return known.take(np.flatnonzero(named)), fresh


@dataclass(frozen=True, slots=True)
class Column(Part):
    """One column of ids: a vocabulary and a code per row, -1 where there is none."""

    n: str

    def write(self, scope: Scope, name: str, value: tuple[Vocabulary, np.ndarray]) -> None:
        Labels(self.n).write(scope, name, {name: value})

    def read(self, scope: Scope, name: str) -> tuple[Vocabulary, np.ndarray]:
        found = Labels(self.n).read(scope, name)
        demand(list(found) == [name], f"{name} is not one column")
        return found[name]

    def freeze(self, value: Any) -> None:
        value[1].setflags(write=False)

    def measure(self, value: Any, name: str, sizes: Sizes) -> None:
        sizes.setdefault(self.n, value[1].size)

    def nbytes(self, value: Any) -> int:
        return Labels(self.n).nbytes({"": value})

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        stays = cuts.stay.get(self.n)
        return value if stays is None else _cut_column(value, stays)


@dataclass(frozen=True, slots=True)
class Square(Part):
    """Numbers between a dimension and itself, all of them or a sparse matrix of the largest; float32 and finite."""

    n: str

    def _of(self, sparse: bool) -> Part:
        return Matrix(self.n, self.n) if sparse else numbers(self.n, self.n, dtype=np.float32)

    def write(self, scope: Scope, name: str, value: Any) -> None:
        self._of(sp.issparse(value)).write(scope, name, value)

    def read(self, scope: Scope, name: str) -> Any:
        return self._of(not scope.has(name)).read(scope, name)

    def keep(self, value: Any, name: str, where: str, sizes: Sizes) -> Any:
        return self._of(sp.issparse(value)).keep(value, name, where, sizes)

    def freeze(self, value: Any) -> None:
        self._of(sp.issparse(value)).freeze(value)

    def measure(self, value: Any, name: str, sizes: Sizes) -> None:
        sizes.setdefault(self.n, value.shape[0])

    def nbytes(self, value: Any) -> int:
        return self._of(sp.issparse(value)).nbytes(value)

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        return self._of(sp.issparse(value)).cut(value, name, cuts)


@dataclass(frozen=True, slots=True)
class Frame(Part):
    """A small frame with plain columns: numbers and truths as they are, instants with their zone, and words.

    Frames of other libraries, categories and nullable columns are written, and come back, as plain pandas.

    Columns that are named here, of words and of numbers, are those that its kind reads; in those of ``people``, where
    there are such, are ids of people.
    """

    words: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    people: tuple[str, ...] = ()

    def write(self, scope: Scope, name: str, value: Any) -> None:
        value = _plain(value, name)
        names = [str(column) for column in value.columns]
        demand(len(set(names)) == len(names), f"{name} has two columns of one name")
        columns = [_packed(value.iloc[:, at]) for at in range(len(names))]
        Plain().write(scope, name, (len(value), tuple(zip(names, columns, strict=True))))

    def nbytes(self, value: Any) -> int:
        return int(_plain(value, "frame").memory_usage(deep=True).sum())

    def find_people(self, value: Any, name: str) -> Iterator[tuple[str, Any]]:
        value = _plain(value, name)
        for column in self._named(value):
            yield f"{name}.{column}", Vocabulary.encode(value[column], column, allow_missing=True)[0]

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        plain = _plain(value, name)
        gone = np.zeros(len(plain), np.bool_)
        for column in self._named(plain):
            known, found = Vocabulary.encode(plain[column], column, allow_missing=True)
            gone |= np.append(cuts.asked(known), False)[found]  # -1 is nobody
        return plain[~gone].reset_index(drop=True) if gone.any() else value

    def _named(self, value: Any) -> list[str]:
        return [column for column in self.people if column in value.columns]

    def read(self, scope: Scope, name: str) -> Any:
        import pandas as pd

        n, columns = Plain(tuple[int, tuple[tuple[str, tuple[str, tuple[Any, ...]]], ...]]).read(scope, name)
        frame = {column: _unpacked(kind, values) for column, (kind, values) in columns}
        demand(all(len(values) == n for values in frame.values()) and len(frame) == len(columns), f"{name} is not even")
        made = pd.DataFrame(frame, columns=[column for column, _ in columns], index=pd.RangeIndex(n))
        for column in (*self.words, *self.numbers):
            known = made[column].dtype == np.float64 if column in self.numbers else _are_words(made, column)
            demand(known, f"{name} has another column {column}")
        return made


_NUMBERS = ("bool", "float64", "float32", "int64", "int32", "int8")
_KEPT = ("object", "str", "string", *_NUMBERS)


def _plain(frame: Any, name: str) -> Any:
    """Return a frame of any library as pandas, rows numbered, every column of a kind that a file keeps."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        import pyarrow as pa

        to_arrow = getattr(frame, "to_arrow", None)  # polars, which older pyarrow does not read itself
        frame = (pa.table(frame) if to_arrow is None else to_arrow()).to_pandas()
    if not isinstance(frame.index, pd.RangeIndex) or (len(frame) and frame.index[-1] != len(frame) - 1):
        frame = frame.reset_index(drop=True)
    kinds = [str(kind) for kind in frame.dtypes]
    if all(kind in _KEPT for kind in kinds):
        return frame
    columns = [_plain_column(frame.iloc[:, at], f"{name}: column {shown(str(one))}") for at, one in enumerate(frame)]
    made = pd.concat(columns, axis=1) if columns else frame
    made.columns = frame.columns
    return made


def _plain_column(column: Any, where: str) -> Any:
    import pandas as pd

    kind, holes = column.dtype, bool(column.isna().any())
    if str(kind) in _KEPT or isinstance(kind, pd.DatetimeTZDtype):
        return column
    demand(not pd.api.types.is_datetime64_any_dtype(kind), f"{where} has no time zone. Localize it: tz_localize('UTC')")
    if pd.api.types.is_bool_dtype(kind):
        return column.astype(object).where(column.notna(), None) if holes else column.astype("bool")
    if pd.api.types.is_numeric_dtype(kind):
        whole = pd.api.types.is_integer_dtype(kind) and not holes
        return pd.Series(column.to_numpy("int64" if whole else "float64", **({} if whole else {"na_value": np.nan})))
    demand(isinstance(kind, pd.CategoricalDtype) or pd.api.types.is_string_dtype(kind), f"{where} is of kind {kind}")
    return column.astype(object).where(column.notna(), None)


def _are_words(frame: Any, column: str) -> bool:
    return all(isinstance(one, str) for one in frame[column])


def _packed(column: Any) -> tuple[str, tuple[Any, ...]]:
    import pandas as pd

    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return str(column.dtype), tuple(None if at is pd.NaT else at.isoformat() for at in column)
    kind = str(column.dtype)
    return kind, tuple(None if kind == "str" and one is not one else one for one in column)


def _unpacked(kind: str, values: tuple[Any, ...]) -> Any:
    import pandas as pd

    demand(kind in _KEPT or kind.startswith("datetime64["), f"a column is of no known kind: {kind}")
    if kind.startswith("datetime64["):
        dtype: Any = kind
        return pd.Series(pd.to_datetime(list(values), utc=True, format="ISO8601")).astype(dtype)
    return pd.Series(list(values), dtype=kind)
