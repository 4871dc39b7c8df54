"""Reading of a user's frame: one column at a time, into arrays, with errors that say how to correct it.

The only importer of narwhals. A frame may be pandas, polars, pyarrow or any other eager frame;
it is never changed.
"""

from __future__ import annotations

import datetime as dt
import decimal
import numbers
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from omnireco._core.checks import check_columns, name_rows, shown
from omnireco._core.units import DAY_US
from omnireco.data.frames.answers import as_consent, is_missing
from omnireco.data.vocabulary import NONE, Vocabulary, is_long_text, is_text, kind_of, no_text
from omnireco.errors import DataWarning, ParameterError, SchemaError

__all__ = ["Frame", "decode_optional", "instants_to_arrow", "instants_to_pandas", "nulls", "open_frame", "stamps"]

# The instants that datetime can hold, years 1 to 9999, in microseconds; one less, since a log ends just after its last.
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_998
_EPOCH_END_US = 31 * DAY_US  # any unit taken for the next finer one ends in January 1970, until 2054
_TEXTS = 1000  # texts looked at for the advice of an error
_POINT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})*|\d+)(,\d+)?")
_THOUSANDS = re.compile(r"[+-]?(\d{1,3}(,\d{3})*|\d+)(\.\d+)?")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WITH_ZONE = re.compile(r"\d:\d{2}.*(Z|UTC|GMT|[+-]\d{2}(:?\d{2})?)\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Frame:
    """A user's frame, opened: columns by our names, each a pyarrow Array (long strings: chunks or views as they lie).

    ``odd`` masks the cells that a lenient reading rejected, by column; ``drops``: whether the caller has
    ``on_invalid="drop"``. None, NaN, NaT, pandas.NA and ``""`` are all missing, and a column that holds
    nothing else has the type null, whatever its type was.
    """

    where: str
    columns: Mapping[str, Any]
    n_rows: int
    others: tuple[str, ...]
    odd: Mapping[str, np.ndarray] = field(default_factory=dict)
    drops: bool = False

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def ids(self, name: str, *, allow_missing: bool = False, fix: str = "") -> tuple[Vocabulary, np.ndarray]:
        """Return a column of ids as (Vocabulary, int32 codes); ``fix`` adds to the advice for missing ones."""
        vocabulary, codes = Vocabulary.encode(self.columns[name], name, allow_missing=True)
        if not allow_missing and (missing := codes == NONE).any():
            raise SchemaError(f"{self.where}: {name} is missing in {name_rows(missing)}. {self._fill()}{fix}")
        return vocabulary, codes

    def names(self, name: str, *, allow_missing: bool = False) -> tuple[Vocabulary, np.ndarray]:
        """Return a column of strings (channels, events, zones) as (Vocabulary, int32 codes)."""
        vocabulary, codes = self.ids(name, allow_missing=allow_missing)
        if len(vocabulary) and vocabulary.ids.dtype != object:
            raise SchemaError(
                f"{self.where}: {name} must hold strings. Got integers. Cast them: frame[{name!r}].astype(str)."
            )
        return vocabulary, codes

    def instants(self, name: str, *, none: int | None = None) -> np.ndarray:
        """Return a column of aware times as UTC microseconds; ``none`` stands for a missing one."""
        import pyarrow.types as pt

        array = self.columns[name]
        if len(array) == 0 or (pt.is_null(array.type) and none is not None):
            return np.full(len(array), none or 0, np.int64)
        if pt.is_null(array.type):
            raise SchemaError(f"{self.where}: {name} is missing in all {len(array):,} rows. {self._fill()}")
        if not pt.is_timestamp(array.type):
            raise SchemaError(
                f"{self.where}: {name} must hold times with a time zone. Got {kind_of(array)}. {time_fix(name, array)}"
            )
        if array.type.tz is None:
            raise SchemaError(
                f"{self.where}: {name} has no time zone, so its {self.n_rows:,} times are no instants. Give the "
                f"zone: frame[{name!r}].dt.tz_localize('UTC'), or tz_localize('America/New_York') for a local clock."
            )
        at, missing, outside = stamps(array)
        if none is None and missing.any():
            raise SchemaError(f"{self.where}: {name} is missing in {name_rows(missing)}. {self._fill()}")
        if outside.any():
            raise SchemaError(
                f"{self.where}: {name} lies outside the years 1 to 9999 in {name_rows(outside)}. "
                "Was the unit of an integer time wrong? Try pd.to_datetime(..., unit='s', utc=True)."
            )
        self._warn_of_epoch(name, at[~missing] if array.null_count else at)
        if array.null_count:
            at[missing] = none or 0
        return at

    def numbers(self, name: str, fix: str = "Fill them in upstream.", *, allow_missing: bool = False) -> np.ndarray:
        """Return a column of finite numbers as float64; ``fix`` is the advice where one is missing or NaN."""
        import pyarrow as pa
        import pyarrow.types as pt

        array = self.columns[name]
        if len(array) == 0:
            return np.empty(0)
        if pt.is_null(array.type):
            raise SchemaError(f"{self.where}: {name} is missing in all {len(array):,} rows. {fix}")
        if not (pt.is_integer(array.type) or pt.is_floating(array.type) or pt.is_decimal(array.type)):
            raise SchemaError(
                f"{self.where}: {name} must hold numbers. Got {kind_of(array)}. {_amount_fix(name, array)}"
            )
        values = np.array(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
        bad = np.isinf(values) if allow_missing else ~np.isfinite(values)
        if bad.any():
            what = "infinite" if allow_missing else "missing or infinite"
            raise SchemaError(f"{self.where}: {name} is {what} in {name_rows(bad)}. {fix}")
        values[np.isnan(values)] = np.nan  # one NaN, whatever its bits
        return values

    def numbers_if_any(self, name: str, fix: str, *, allow_missing: bool = False) -> np.ndarray | None:
        """Return an optional column of numbers; None where it is absent, or missing for every row."""
        import pyarrow.types as pt

        if name not in self or (self.n_rows and pt.is_null(self.columns[name].type)):
            return None
        return self.numbers(name, fix, allow_missing=allow_missing)

    def numbers_or_nan(self, name: str) -> np.ndarray:
        """Return a column of numbers, NaN where one is missing; all NaN where all are."""
        found = self.numbers_if_any(name, "Leave it missing where it is not known.", allow_missing=True)
        return np.full(self.n_rows, np.nan) if found is None else found

    def shares(self, name: str) -> np.ndarray:
        """Return a column of probabilities (or of True and False) as float64; NaN where it is missing."""
        import pyarrow as pa
        import pyarrow.types as pt

        array = self.columns[name]
        if pt.is_null(array.type) or len(array) == 0:
            return np.full(len(array), np.nan)
        if is_text(array.type):
            array = self._booleans(name, array)
        if not (pt.is_boolean(array.type) or pt.is_integer(array.type) or pt.is_floating(array.type)):
            raise SchemaError(
                f"{self.where}: {name} must hold True and False, or probabilities. Got {kind_of(array)}. "
                f"Compare it: frame[{name!r}] == 'x', with the value that means true."
            )
        if pt.is_boolean(array.type):
            array = array.cast(pa.int8())
        values = np.array(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
        bad = (values < 0) | (values > 1)
        if bad.any():
            raise SchemaError(f"{self.where}: {name} must lie in [0, 1]; it does not in {name_rows(bad)}.")
        return values

    def _booleans(self, name: str, array: Any) -> Any:
        """Return texts as booleans; any other text is an error."""
        import pyarrow as pa

        cells = array.to_pylist()
        read = [None if is_missing(cell) else as_consent(cell) for cell in cells]
        unread = np.array([s is None and not is_missing(c) for s, c in zip(read, cells, strict=True)], np.bool_)
        if unread.any():
            raise SchemaError(
                f"{self.where}: {name} must hold True and False, or probabilities. Texts are neither true nor false in "
                f"{name_rows(unread)}. Compare it: frame[{name!r}] == 'x', with the value that means true; or make "
                f"numbers of it: pd.to_numeric(frame[{name!r}])."
            )
        return pa.array(read, pa.bool_())

    def flags(self, name: str, *, missing: bool) -> np.ndarray:
        """Return a column of booleans; ``missing`` is the value of an unknown one.

        Texts and mixed cells are read by their words (:func:`omnireco.data.frames.answers.as_consent`) when the frame
        is opened with ``answers``; what cannot be read is False, and masked in ``odd``.
        """
        import pyarrow as pa
        import pyarrow.types as pt

        array = self.columns[name]
        if pt.is_null(array.type) or len(array) == 0:
            return np.full(len(array), missing)
        if not pt.is_boolean(array.type):
            raise SchemaError(
                f"{self.where}: {name} must hold True and False. Got {kind_of(array)}. "
                f"Compare it: frame[{name!r}] == 'yes', with the value that means true."
            )
        return np.array(array.fill_null(pa.scalar(missing)).to_numpy(zero_copy_only=False), np.bool_)

    def _fill(self) -> str:
        """Return the advice for rows with a missing value."""
        if self.drops:
            return "Fill them in upstream, or pass on_invalid='drop', which lists every row that it leaves out."
        return "Fill them in upstream."

    def _warn_of_epoch(self, name: str, at: np.ndarray) -> None:
        """Warn where every time lies in January 1970: integers read with the wrong unit end there.

        Whole days since 1970 are not doubted: they encode an order without times.
        """
        if at.size and int(at.min()) >= 0 and int(at.max()) < _EPOCH_END_US and (at % DAY_US).any():
            warnings.warn(
                f"{self.where}: every {name} lies in January 1970, as times do that were read with the wrong unit. "
                f"Read the integers again with theirs: pd.to_datetime(frame[{name!r}], unit='s', utc=True), or 'ms'.",
                DataWarning,
                stacklevel=4,
            )


def _held(frame: Any) -> Any:
    """Return a frame that narwhals knows; what has only an Arrow stream is read into a table."""
    import narwhals as nw
    import pyarrow as pa

    if isinstance(nw.from_native(frame, pass_through=True), nw.DataFrame) or not hasattr(frame, "__arrow_c_stream__"):
        return frame
    try:
        return pa.table(frame)
    except pa.ArrowException as error:  # a stream of one column is no table
        raise TypeError from error


def open_frame(
    frame: Any,
    where: str,
    *,
    needed: Iterable[str],
    optional: Iterable[str] = (),
    prefixes: Iterable[str] = (),
    columns: Mapping[str, str] | None = None,
    lenient: Mapping[str, str] | None = None,
    answers: Iterable[str] = (),
    drops: bool = False,
) -> Frame:
    """Open any eager frame and read the named columns.

    Parameters
    ----------
    frame : pandas.DataFrame, polars.DataFrame, pyarrow.Table or any eager frame that narwhals knows
    where : str
        The calling method, for errors: ``"EventLog.from_frame"``.
    needed, optional : iterable of str
        Columns by our names. A missing needed one is a SchemaError.
    prefixes : iterable of str
        Every column that starts with one of these is read too, such as ``consent_``.
    columns : mapping of str to str, optional
        Our name to the caller's name, for columns that are called something else.
    lenient : mapping of str to {"id", "name", "instant", "number", "amount", "share"}, optional
        What a column should hold. In a column of mixed kinds the cells that do not fit are emptied and masked
        in ``Frame.odd``; without it, and where most cells do not fit, such a column is a SchemaError.
    answers : iterable of str
        Columns that start with one of these hold booleans, in any words: True and False where they can be read,
        missing where empty, and False, masked in ``Frame.odd``, where they cannot.
    drops : bool
        Whether the caller takes ``on_invalid="drop"``: then errors advise it.
    """
    import narwhals as nw
    import pyarrow as pa
    import pyarrow.types as pt

    try:
        table = nw.from_native(_held(nw.to_native(frame, pass_through=True)), eager_only=True)
    except TypeError:
        raise SchemaError(
            f"{where} takes a pandas, polars or pyarrow frame held in memory, or anything with an Arrow stream. Got "
            f"{type(frame).__name__}. Collect a lazy frame first (events: om.EventLog.scan(frame)); read a file with "
            "pandas.read_csv or read_parquet; build one from records with pandas.DataFrame(records)."
        ) from None
    except ValueError as error:
        raise SchemaError(f"{where} cannot read this frame: {error}") from None
    if columns is not None and not isinstance(columns, Mapping):
        raise ParameterError(
            f"{where}: columns= must map our name to yours, such as {{'user_id': 'household_id'}}. "
            f"Got {type(columns).__name__}."
        )
    renamed = {str(ours): str(theirs) for ours, theirs in ({} if columns is None else columns).items()}
    present = [str(name) for name in table.columns]
    if len(set(present)) < len(present):
        twice = sorted({name for name in present if present.count(name) > 1})
        raise SchemaError(f"{where}: the frame has several columns called {', '.join(map(repr, twice))}.")
    wanted = [*needed, *optional]
    stray = [name for name in renamed if name not in wanted and not name.startswith(tuple(prefixes) or ("\0",))]
    if stray:
        raise ParameterError(
            f"{where}: columns= maps our name to yours, and {shown(stray[0])} is not one of ours: "
            f"{', '.join(map(repr, wanted))}."
        )
    absent = [ours for ours, theirs in renamed.items() if theirs not in present]
    if absent:
        raise SchemaError(
            f"{where}: columns= maps {shown(absent[0])} to {shown(renamed[absent[0]])}, which the frame does not have; "
            "it has "
            f"{', '.join(map(repr, present)) or 'no columns'}."
        )
    source = {name: name for name in wanted if name in present}
    source |= {name: name for name in present if name.startswith(tuple(prefixes) or ("\0",))}
    source |= renamed
    check_columns([*renamed, *present], needed, where)
    _refuse_misspelt(sorted(set(present) - set(source.values())), source, wanted, tuple(prefixes), where)
    real = dict(zip(present, table.columns, strict=True))  # pandas also has columns named by numbers and tuples
    read, odd = {}, {}
    for ours, theirs in source.items():
        column, kind = table.get_column(real[theirs]), (lenient or {}).get(ours)
        dated = column.dtype == nw.Datetime or (ours.endswith("_at") and ours[:-3] in source)
        if ours.startswith(tuple(answers) or "\0") and not dated:
            read[ours], odd[ours] = _read_answers(column, ours, where)
            continue
        try:
            text = _long_text(column) if lenient is None else None
            read[ours] = _read(column, theirs, where) if text is None else text
            mixed = kind in {"id", "name"} and pt.is_binary(read[ours].type)  # texts among bytes
        except SchemaError:
            if kind is None:
                raise
            mixed = True
        if kind is not None and mixed:
            fitting = _read_what_fits(column, kind)
            if fitting is None:
                read[ours] = _read(column, theirs, where)  # its own error
            else:
                read[ours], odd[ours] = fitting
        if _all_missing(read[ours]):
            read[ours] = pa.nulls(len(read[ours]))
    others = tuple(name for name in present if name not in source.values())
    return Frame(where, read, len(table), others, odd, drops)


def _refuse_misspelt(
    unread: Iterable[str], source: Mapping[str, str], wanted: Iterable[str], prefixes: tuple[str, ...], where: str
) -> None:
    """Refuse columns that are one of ours but for capitals, blanks and hyphens: they would be ignored silently."""
    for theirs in unread:
        ours = re.sub(r"[\s_-]+", "_", _CAMEL.sub("_", theirs.strip())).casefold()
        if ours not in source and (ours in wanted or (prefixes and ours.startswith(prefixes))):
            raise SchemaError(
                f"{where}: the column {theirs!r} would not be read, since ours is called {ours!r}. Map it: "
                f"columns={{{ours!r}: {theirs!r}}}; or leave it out: frame.drop(columns={theirs!r})."
            )


def instants_to_pandas(at: np.ndarray, *, none: int | None = None) -> Any:
    """Return UTC microseconds as an aware pandas datetime array; ``none`` becomes NaT."""
    import pandas as pd

    stamps = np.array(at, np.int64).view("datetime64[us]")
    if none is not None:
        stamps[at == none] = np.datetime64("NaT")
    return pd.DatetimeIndex(stamps).tz_localize("UTC").array  # a Series takes four times as long


def instants_to_arrow(at: np.ndarray) -> Any:
    """Return UTC microseconds as a pyarrow timestamp array."""
    import pyarrow as pa

    return pa.array(np.asarray(at, np.int64), pa.timestamp("us", tz="UTC"))


def _joined(column: Any) -> Any:
    """Return a column as one array; empty batches of a stream are left out, which pyarrow cannot always join."""
    import pyarrow as pa

    native = column.to_native()
    if isinstance(native, pa.ChunkedArray):
        chunks = [chunk for chunk in native.chunks if len(chunk)]
        if chunks and len(chunks) < native.num_chunks:
            return pa.chunked_array(chunks).combine_chunks()
    return column.to_arrow()


def _read(column: Any, name: str, where: str) -> Any:
    import narwhals as nw
    import pyarrow as pa
    import pyarrow.types as pt

    try:
        array = _joined(column)
    except (pa.ArrowException, ArithmeticError, UnicodeError, TypeError, ValueError) as error:
        array = _read_with_gaps(column)
        if array is None:
            raise SchemaError(
                f"{where}: {name} holds values of several kinds, or of a kind no column has ({type(error).__name__}). "
                f"Make them one kind: frame[{name!r}].astype(str) for ids, pd.to_datetime(..., utc=True) for times."
            ) from None
    if column.dtype == nw.Object and pt.is_timestamp(array.type) and array.type.tz is not None:
        _refuse_naive(column, name, where)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _read_answers(column: Any, name: str, where: str) -> tuple[Any, np.ndarray]:
    """Return a column of booleans or their words as a pyarrow Array, and a mask of the cells that cannot be read."""
    import narwhals as nw
    import pyarrow as pa

    if column.dtype == nw.Boolean:
        array = column.to_arrow()
        array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
        return array, np.zeros(len(array), np.bool_)
    cells = column.to_list()
    read = _each_answer(cells)
    gaps = np.array([is_missing(cell) for cell in cells], np.bool_)
    odd = np.array([answer is None for answer in read], np.bool_)
    if odd.any() and (odd | gaps).all():
        raise SchemaError(
            f"{where}: {name} must hold True and False, or words for them. None can be read, in {name_rows(odd)}. "
            f"Compare it: frame[{name!r}] == 'x', with the value that means true."
        )
    yes = np.array([bool(answer) for answer in read], np.bool_)
    return (pa.nulls(len(cells)) if len(cells) and gaps.all() else pa.array(yes, mask=gaps)), odd


def _each_answer(cells: list[Any]) -> list[bool | None]:
    """Return each cell as a boolean, with each spelling read once where cells are hashable."""
    try:
        known = {cell: as_consent(cell) for cell in set(cells)}
    except TypeError:
        return [as_consent(cell) for cell in cells]
    return [known[cell] for cell in cells]


def _read_with_gaps(column: Any) -> Any:
    """Return a column of objects whose missing cells prevented conversion, such as ``""`` among integers; else None."""
    import pyarrow as pa

    cells = [None if is_missing(cell, blank=False) else cell for cell in column.to_list()]
    try:
        return pa.array(cells, from_pandas=True) if None in cells else None
    except (pa.ArrowException, ArithmeticError, UnicodeError, TypeError, ValueError):
        return None


def _all_missing(array: Any) -> bool:
    """Return whether a column holds nothing but missing cells; for most columns the first cell decides."""
    import pyarrow.compute as pc
    import pyarrow.types as pt

    if not len(array) or array.null_count == len(array):
        return bool(len(array))
    kind = array.type.value_type if pt.is_dictionary(array.type) else array.type
    if not (is_text(kind) or pt.is_floating(kind)) or not is_missing(array[0].as_py(), blank=False):
        return False
    array = array.cast(kind)
    gaps = no_text(array) if is_text(kind) else pc.is_null(array, nan_is_null=True)
    return bool(pc.all(gaps).as_py())


def _long_text(column: Any) -> Any:
    """Return a long column of strings as the chunks or views that it lies in, or None for any other column.

    One array of it would copy every string; codes are made chunk by chunk, and of views slice by slice.
    """
    import narwhals as nw
    import pyarrow as pa

    native = nw.to_native(column)
    if column.dtype != nw.String:
        return None
    if column.implementation.is_polars() and hasattr(native, "__arrow_c_stream__"):
        native = pa.chunked_array(native)
    return native if isinstance(native, pa.ChunkedArray) and is_long_text(native) else None


def _refuse_naive(column: Any, name: str, where: str) -> None:
    """Raise when naive times are mixed with aware ones: Arrow would silently take them for UTC."""
    naive = [isinstance(at, dt.datetime) and at == at and at.utcoffset() is None for at in column.to_list()]
    if any(naive):
        raise SchemaError(
            f"{where}: {name} has no time zone in {name_rows(np.array(naive))}, among times that have one. "
            f"Give those their zone, then convert all: pd.to_datetime(frame[{name!r}], utc=True)."
        )


def _read_what_fits(column: Any, kind: str) -> tuple[Any, np.ndarray] | None:
    """Return (array, mask of cells that do not fit) of a column of mixed kinds, or None where most do not fit.

    The one loop over Python objects: such a column holds nothing else.
    """
    import pyarrow as pa

    cells = column.to_list()
    present = ~np.array([is_missing(cell, blank=False) for cell in cells], np.bool_)
    best: tuple[list[Any], np.ndarray] | None = None
    for take in _TAKE[kind]:
        taken = [take(cell) if there else None for cell, there in zip(cells, present, strict=True)]
        fits = np.array([cell is not None for cell in taken], np.bool_)
        if best is None or fits.sum() > best[1].sum():
            best = taken, fits
    if best is None or 2 * best[1].sum() < present.sum():
        return None
    unit = (
        pa.timestamp("us", tz="UTC")
        if kind == "instant"
        else pa.float64()
        if kind in {"number", "amount", "share"}
        else None
    )
    return pa.array(best[0], unit), present & ~best[1]


def _text(cell: Any) -> str | None:
    if not isinstance(cell, str):
        return None
    try:
        cell.encode("utf-8")
    except UnicodeEncodeError:
        return None
    return str(cell)


def _whole(cell: Any) -> int | None:
    if isinstance(cell, (bool, np.bool_)):
        return None
    if isinstance(cell, (int, np.integer)):
        return int(cell) if -(2**63) <= int(cell) < 2**63 else None
    real = float(cell) if isinstance(cell, (float, np.floating)) else 0.5
    return int(real) if abs(real) < 2**53 and real.is_integer() else None


def _number(cell: Any) -> float | None:
    if isinstance(cell, (bool, np.bool_)) or not isinstance(cell, (numbers.Real, decimal.Decimal)):
        return None
    try:
        return float(cell)
    except (OverflowError, ValueError):
        return None


def _instant(cell: Any) -> int | None:
    if not isinstance(cell, dt.datetime) or cell.utcoffset() is None:
        return None
    at = (cell - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
    return at if _FIRST_US <= at <= _LAST_US else None


def _share(cell: Any) -> float | None:
    return float(cell) if isinstance(cell, (bool, np.bool_)) else _number(cell)


_TAKE: dict[str, tuple[Any, ...]] = {
    "id": (_text, _whole),
    "name": (_text,),
    "instant": (_instant,),
    "number": (_number,),
    "amount": (_number,),
    "share": (_share,),
}


def stamps(array: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (UTC microseconds, mask of missing ones, mask of those outside the years 1 to 9999) of a time column."""
    missing = nulls(array)
    at = _microseconds(array)
    if at.size and int(at.min()) >= _FIRST_US and int(at.max()) <= _LAST_US:
        return at, missing, np.zeros(at.size, np.bool_)
    return at, missing, ((at < _FIRST_US) | (at > _LAST_US)) & ~missing


def nulls(array: Any) -> np.ndarray:
    """Return a mask of the missing cells of a pyarrow Array."""
    if not array.null_count:
        return np.zeros(len(array), np.bool_)
    return np.asarray(array.is_null().to_numpy(zero_copy_only=False), np.bool_)


def _microseconds(array: Any) -> np.ndarray:
    """Return a timestamp array as int64 microseconds, rounded down; nulls give any number."""
    import pyarrow as pa

    whole = array.cast(pa.int64())
    raw = (whole.fill_null(0) if whole.null_count else whole).to_numpy(zero_copy_only=False)
    unit = array.type.unit
    if unit == "ns":
        return raw // 1_000
    scale = {"us": 1, "ms": 1_000, "s": 1_000_000}[unit]
    limit = _LAST_US // scale + 1
    return np.clip(raw, -limit, limit) * scale if scale > 1 else np.array(raw)


def _amount_fix(name: str, array: Any) -> str:
    """Return how to make numbers of a column that holds none, by what its cells look like."""
    import pyarrow.types as pt

    column = f"frame[{name!r}]"
    if pt.is_boolean(array.type):
        return f"Cast it: {column}.astype(float)."
    if pt.is_duration(array.type):
        return f"Convert it: {column}.dt.total_seconds()."
    texts = [text.strip() for text in array[:_TEXTS].to_pylist() if text] if is_text(array.type) else []
    plain, comma, thousands = (all(form.fullmatch(text) for text in texts) for form in (_POINT, _COMMA, _THOUSANDS))
    if plain:
        return f"Cast it: pd.to_numeric({column})."
    if comma and not thousands:
        return f"It has decimal commas: pd.to_numeric({column}.str.replace('.', '').str.replace(',', '.'))."
    if thousands and not comma:
        return f"It separates thousands: pd.to_numeric({column}.str.replace(',', ''))."
    return f"Not all of its texts are plain numbers: pd.to_numeric({column}, errors='coerce') makes those missing."


def time_fix(name: str, array: Any) -> str:
    """Return how to make instants of a column that holds none, by what its cells look like."""
    import pyarrow.types as pt

    kind, column = array.type, f"frame[{name!r}]"
    if pt.is_integer(kind) or pt.is_floating(kind):
        return _number_fix(column, array)
    if pt.is_date(kind):
        return f"A date is not an instant: pd.to_datetime({column}).dt.tz_localize('UTC')."
    if pt.is_dictionary(kind):
        return time_fix(name, array.cast(kind.value_type))
    if not is_text(kind):
        return f"Convert it: pd.to_datetime({column}, utc=True)."
    texts = [text for text in array[:_TEXTS].to_pylist() if text]
    if texts and all(text.strip().isdigit() for text in texts):
        return f"Its texts are integers: pd.to_numeric({column}) first."
    if texts and not all(_WITH_ZONE.search(text) for text in texts):
        return (
            "Its texts have no zone; give it: "
            f"pd.to_datetime({column}).dt.tz_localize('UTC'), or tz_localize('America/New_York') for a local clock."
        )
    return f"Convert it: pd.to_datetime({column}, utc=True)."


def _number_fix(column: str, array: Any) -> str:
    """Return the line that reads numbers as times: days as 20250501, or seconds to nanoseconds by their size."""
    import pyarrow as pa

    values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    size = float(np.nanmedian(np.abs(values)))
    if 19_000_101 <= size <= 21_001_231:
        return f"They look like days: pd.to_datetime({column}.astype(str), format='%Y%m%d').dt.tz_localize('UTC')."
    if size < 1e8:
        return f"Give their unit: pd.to_datetime({column}, unit='s', utc=True), or unit='D', 'ms', 'us', 'ns'."
    unit = next((unit for unit, limit in (("s", 1e11), ("ms", 1e14), ("us", 1e17)) if size < limit), "ns")
    return f"By their size the unit is {unit}: pd.to_datetime({column}, unit={unit!r}, utc=True)."


def decode_optional(vocabulary: Vocabulary, codes: np.ndarray) -> Any:
    """Return ids, with a missing value where the code is -1."""
    import pandas as pd

    if not (codes == NONE).any():
        return vocabulary.decode(codes)
    if vocabulary.ids.dtype == object or not len(vocabulary):
        ids = np.full(codes.size, None, object)
        ids[codes != NONE] = vocabulary.decode(codes[codes != NONE])
        return ids
    values = pd.array(np.zeros(codes.size, np.int64), dtype="Int64")
    values[codes != NONE] = vocabulary.decode(codes[codes != NONE])
    values[codes == NONE] = pd.NA
    return values
