"""Small functions that turn bad input into good errors.

Each takes a value and the name the caller knows it by, and returns the value in the one form used
inside, or raises an error that says what is wrong, where, and how to fix it.
"""

from __future__ import annotations

import datetime as dt
import numbers
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence, Sized
from typing import Any, NoReturn

import numpy as np

from omnireco._core.units import DAY_US, HOUR_US, MINUTE_US
from omnireco.errors import MissingExtraError, NotFittedError, ParameterError, SchemaError

__all__ = [
    "MICROSECOND",
    "as_csr",
    "check_array",
    "check_choice",
    "check_columns",
    "check_duration",
    "check_flag",
    "check_instant",
    "check_instants",
    "check_integer",
    "check_k",
    "check_kind",
    "check_known",
    "check_mapping",
    "check_names",
    "check_number",
    "check_numbers",
    "check_time_of_day",
    "check_window",
    "count_of",
    "csr_fault",
    "from_microseconds",
    "name_rows",
    "no_such",
    "plain",
    "plain_name",
    "require",
    "shown",
    "unmasked",
]

MICROSECOND = 1
_SHORT = 64  # cells of one row
_UNITS_US = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "min": MINUTE_US,
    "h": HOUR_US,
    "d": DAY_US,
    "w": 7 * DAY_US,
}
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*$")
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")
_CLOCK = re.compile(r"^([01]?\d|2[0-4]):([0-5]\d)$")
_PLAIN = re.compile(
    r"[^\W\d]{0,20}"  # a word
    r"|[A-Z][A-Za-z_]{1,14}(/[A-Z][A-Za-z_]{1,20}){1,2}|(Etc/)?(UTC|GMT)[+-]\d{1,2}(:?\d{2})?"  # a zone
    r"|-?\d+(\.\d+)?\s?(us|ms|s|min|h|D|d|W|w)"  # a duration
    r"|\d{1,2}:\d{2}(:\d{2})?"  # a time of day
    r"|\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}(:?\d{2})?)?)?"
)
_LONGEST_US = 3_652_500 * _UNITS_US["d"]
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999  # what datetime can hold
_NO_NUMBERS = (bool, np.bool_, np.timedelta64)  # numpy counts the last among its integers
_LONGEST_LIST = 1_000_000
_NAMES_SHOWN, _NAMES_LISTED = 5, 20
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def shown(value: Any) -> str:
    """Return what an error may say of an argument: anything that could be somebody's id is described, not repeated.

    Numbers, booleans, None, times and plain words stand as they are; any other text by its length, and whatever
    holds values by its kind and size.

    Examples
    --------
    >>> shown("meann"), shown("30D"), shown(2.5), shown("ann@example.org"), shown(["ann", "bob"])
    ("'meann'", "'30D'", '2.5', 'a text of 15 characters', 'a list of length 2')
    """
    if isinstance(value, np.generic) and not isinstance(value, (np.datetime64, np.timedelta64)):
        value = value.item()
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**20 else "an integer of more than 20 digits"
    if isinstance(value, (dt.date, dt.time, dt.timedelta, np.datetime64, np.timedelta64)):
        return str(value)
    if isinstance(value, str):
        return (
            repr(value)
            if _PLAIN.fullmatch(value)
            else f"a text of {len(value):,} character{'' if len(value) == 1 else 's'}"
        )
    return _described(value)


def plain(value: Any, otherwise: str) -> str:
    """Return a plain word for a line of advice, or another one where it could be somebody's id."""
    return value if isinstance(value, str) and value and _PLAIN.fullmatch(value) else otherwise


def _described(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind = type(value).__name__
    called = f"{'an' if kind[0] in 'AEIOaeio' else 'a'} {kind}"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"{called} of shape {shape}"
    return f"{called} of length {len(value):,}" if isinstance(value, Sized) else called


def _typed(value: Any) -> str:
    text, kind = shown(value), type(value).__name__
    return text if kind in text else f"{text} ({kind})"


def check_integer(value: Any, name: str, *, low: int | None = None, high: int | None = None) -> int:
    """Return ``value`` as an int inside [low, high]; booleans are not integers here."""
    if type(value) is int:  # nearly always, and the other questions take as long as all the rest
        number = value
    elif isinstance(value, _NO_NUMBERS) or not isinstance(value, numbers.Integral):
        raise ParameterError(f"{name} must be an integer{_range(low, high)}. Got {_typed(value)}.")
    else:
        number = int(value)
    if (low is not None and number < low) or (high is not None and number > high):
        raise ParameterError(f"{name} must be an integer{_range(low, high)}. Got {shown(number)}.")
    return number


def check_k(k: Any) -> int:
    """Return the length of a list as an int in [1, 1,000,000]; whoever wants more wants scores."""
    return check_integer(k, "k", low=1, high=_LONGEST_LIST)


def check_number(
    value: Any,
    name: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
) -> float:
    """Return ``value`` as a finite float inside [low, high] and greater than ``above``."""
    if isinstance(value, _NO_NUMBERS) or not isinstance(value, numbers.Real):
        raise ParameterError(f"{name} must be a number. Got {_typed(value)}.")
    number = _float(value)
    if not np.isfinite(number):
        raise ParameterError(f"{name} must be a finite number. Got {number}.")
    if above is not None and not number > above:
        raise ParameterError(f"{name} must be greater than {above:g}. Got {number:g}.")
    if (low is not None and number < low) or (high is not None and number > high):
        raise ParameterError(f"{name} must be a number{_range(low, high)}. Got {number:g}.")
    return number


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def check_numbers(values: Any, name: str, *, error: type[SchemaError | ParameterError] = ParameterError) -> np.ndarray:
    """Return an array-like of numbers as float64; texts and times are none, even where numpy could read them so."""
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O" and not any(isinstance(cell, (str, bytes)) for cell in array.ravel().tolist()):
            array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf":
        kind = {"U": "text", "S": "text", "M": "times", "m": "durations", "c": "complex numbers"}.get(array.dtype.kind)
        raise error(f"{name} must hold numbers, all rows as long as each other. Got {kind or 'other things'}.")
    return np.asarray(array, np.float64)


def check_flag(value: Any, name: str) -> bool:
    """Return ``value`` as a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise ParameterError(f"{name} must be True or False. Got {shown(value)}.")
    return bool(value)


def check_choice(value: Any, name: str, choices: Sequence[str]) -> str:
    """Return ``value`` when it is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise ParameterError(f"{name} must be one of {', '.join(map(repr, choices))}. Got {shown(value)}.")
    return str(value)


def check_names(value: Any, name: str) -> tuple[str, ...]:
    """Return a list of names as a tuple; one bare string would be read letter by letter."""
    if isinstance(value, (str, bytes)) or hasattr(value, "columns") or not isinstance(value, Iterable):
        raise ParameterError(
            f"{name} must be a list of names, such as [{plain(value, 'email')!r}]. Got {shown(value)}."
        )
    names: tuple[Any, ...] = tuple(value)
    for one in names:
        if isinstance(one, _NO_NUMBERS) or not isinstance(one, (str, numbers.Integral)):
            raise ParameterError(f"{name} must hold names, such as ['email']. Got {shown(one)} among them.")
    plainly: tuple[Any, ...] = tuple(one if isinstance(one, str) else int(one) for one in names)
    return plainly


def check_one_or_more(value: Any, name: str) -> tuple[str, ...]:
    """Return a name, or a list of them that is not empty, as a tuple."""
    names = (value,) if isinstance(value, str) else check_names(value, name)
    if not names:
        raise ParameterError(f"{name} names nothing. Write {name}='purchase'.")
    return names


def check_mapping(value: Any, name: str, example: str) -> Mapping[Any, Any]:
    """Return a mapping, empty for None; ``example`` is one, as it is written."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ParameterError(f"{name} must be a mapping, such as {example}. Got {shown(value)}.")
    return value


def check_kind(value: Any, kind: type | tuple[type, ...], name: str, fix: str, *, none: bool = False) -> None:
    """Refuse an argument of another type, with the line that makes one."""
    if isinstance(value, kind) or (none and value is None):
        return
    wanted = (kind[0] if isinstance(kind, tuple) else kind).__name__
    got = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
    raise ParameterError(f"{name} must be {'an' if wanted[0] in 'AEIO' else 'a'} {wanted}. Got {got}. Write {fix}.")


def check_known(
    names: Iterable[Any], known: Iterable[Any], where: str, *, missing: str | None = "raise"
) -> tuple[Any, ...]:
    """Return the names that are known; a name that matches nothing is an error, for it would switch a rule off.

    Parameters
    ----------
    names : iterable of str or int
        What the caller wrote: channels, events, kinds, items; never people.
    known : iterable of str or int
        What there is.
    where : str
        Begins the error: ``"Weights: events"``.
    missing : {"raise", "ignore"} or None
        ``"ignore"`` leaves unknown names out, for a caller who means it. None raises too, where the verb takes no
        ``missing=`` that the error could advise.

    Raises
    ------
    ParameterError
        For an unknown name: with the nearest known one, and the known ones when they are few.
    """
    if missing is not None:
        check_choice(missing, "missing", ("raise", "ignore"))
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise ParameterError(f"{where}: names must be a list. Got {shown(names)}: write a list of them.")
    names, here = tuple(names), dict.fromkeys(known)
    unknown = [name for name in names if not isinstance(name, Hashable) or name not in here]
    if not unknown or missing == "ignore":
        return tuple(name for name in names if isinstance(name, Hashable) and name in here)
    advice = "" if missing is None else " Where a name may be absent, write missing='ignore'."
    raise ParameterError(f"{where}: {_unknown_names(unknown, list(here))}{advice}")


def _unknown_names(unknown: Sequence[Any], known: Sequence[Any]) -> str:
    import difflib

    first = unknown[:_NAMES_SHOWN]
    one, folded = len(unknown) == 1, {str(name).casefold().strip(): name for name in known}
    near = [difflib.get_close_matches(str(name).casefold().strip(), folded, n=1, cutoff=0.6) for name in first]
    names = ", ".join(
        repr(name) if close and isinstance(name, str) else shown(name) for name, close in zip(first, near, strict=True)
    )
    names += ", ..." if len(unknown) > _NAMES_SHOWN else ""
    hint = f" Did you mean {folded[near[0][0]]!r}?" if near[0] else ""
    listed = ", ".join(map(repr, known[:_NAMES_LISTED])) + (", ..." if len(known) > _NAMES_LISTED else "")
    return (
        f"{names} {'is a name' if one else 'are names'} that nothing here has.{hint} Known: {listed or 'none at all'}."
    )


def check_duration(value: Any, name: str) -> int:
    """Return a duration in microseconds, from ``"30D"``, ``"90min"``, ``"1h"`` or a timedelta.

    Units: us, ms, s, min, h, D (24 hours) and W (7 days), upper or lower case.
    """
    if isinstance(value, np.timedelta64):
        number = int(value.astype("timedelta64[us]").astype(np.int64))
    elif isinstance(value, dt.timedelta):
        number = value // dt.timedelta(microseconds=1)
    elif isinstance(value, str) and (match := _DURATION.match(value)):
        unit = match[2].lower()
        if unit not in _UNITS_US:
            raise ParameterError(
                f"{name} has the unknown unit {shown(match[2])}. Use us, ms, s, min, h, D or W, as in '30D'."
            )
        number = round(min(float(match[1]) * _UNITS_US[unit], 2.0 * _LONGEST_US))
    else:
        raise ParameterError(
            f"{name} must be a duration such as '30D', '12h' or '90min', or a timedelta. Got {shown(value)}."
        )
    if number <= 0:
        raise ParameterError(f"{name} must be longer than zero. Got {shown(value)}.")
    if number > _LONGEST_US:
        raise ParameterError(f"{name} must be at most 10,000 years. Got {shown(value)}. Write None for no limit.")
    return number


def check_instant(value: Any, name: str) -> int:
    """Return an instant in UTC microseconds since 1970.

    Accepts an aware datetime (or pandas Timestamp), an ISO 8601 string with an offset or ``Z``, or a
    plain date (``"2025-06-01"`` or a ``datetime.date``), which means 00:00 UTC of that day.
    """
    if isinstance(value, str):
        text = value.strip()
        try:
            value = dt.datetime.fromisoformat(text)
        except ValueError:
            raise ParameterError(
                f"{name} is not an ISO 8601 date or time: {shown(value)}. "
                "Write '2025-06-01' (00:00 UTC) or '2025-06-01T12:00:00+02:00'."
            ) from None
        if _DATE.match(text):
            value = value.replace(tzinfo=dt.UTC)
    elif isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    if not isinstance(value, dt.datetime) or value != value:
        raise ParameterError(
            f"{name} must be an instant: an aware datetime, an ISO 8601 string with an offset, or a date. "
            f"Got {_typed(value)}."
        )
    if value.tzinfo is None or value.utcoffset() is None:
        raise ParameterError(
            f"{name} has no time zone: {value.isoformat()}. Write it with an offset, such as "
            f"'{value.isoformat()}+00:00', or give a plain date for 00:00 UTC."
        )
    at = int((value - _EPOCH) // dt.timedelta(microseconds=1))
    if not _FIRST_US <= at <= _LAST_US:
        raise ParameterError(f"{name} lies outside the years 1 to 9999 in UTC: {value.isoformat()}. Move it inside.")
    return at


def check_time_of_day(value: Any, name: str) -> int:
    """Return a local time, ``"21:00"`` or a ``datetime.time``, as microseconds after midnight; 24:00 is midnight."""
    if isinstance(value, dt.time) and value.tzinfo is None:
        return (dt.datetime.combine(dt.date.min, value) - dt.datetime.min) // dt.timedelta(microseconds=1)
    match = _CLOCK.match(value.strip()) if isinstance(value, str) else None
    minutes = 60 * int(match[1]) + int(match[2]) if match else 1441
    if minutes > 1440:
        raise ParameterError(
            f"{name} must be a time of day without a zone. Got {shown(value)}. "
            "Write '21:00', or datetime.time(21, 0): the clock is each person's own."
        )
    return minutes % 1440 * MINUTE_US


def check_array(values: Any, name: str, *, error: type[SchemaError | ParameterError] = ParameterError) -> np.ndarray:
    """Return an array of any dtype; rows of unequal length are none."""
    try:
        return np.asarray(values)
    except ValueError:
        raise error(f"{name} must be an array, all rows as long as each other. Got {shown(values)}.") from None


def check_instants(values: Any, name: str, *, n: int | None = None) -> np.ndarray:
    """Return UTC microseconds since 1970 as int64, inside the years 1 to 9999: one per person where ``n`` is given."""
    array = check_array(values, name)
    if array.dtype.kind not in "iu" or array.ndim > 1:
        raise ParameterError(f"{name} must be instants, integer microseconds since 1970 in UTC. Got {shown(values)}.")
    if n is not None and array.shape not in ((), (n,)):
        raise ParameterError(f"{name} must be one instant, or one per person ({n:,}). Got {shown(values)}.")
    if array.size and not (int(array.min()) >= _FIRST_US and int(array.max()) <= _LAST_US):
        raise ParameterError(f"{name} lies outside the years 1 to 9999. It counts microseconds since 1970 in UTC.")
    return array.astype(np.int64)


def check_window(begin: np.ndarray | None, end: np.ndarray | None, never: int, where: str) -> None:
    """Refuse windows of validity in other units than microseconds, or a code where an instant belongs; empty ones too.

    Seconds, milliseconds, days and -1, read as microseconds, all lie around the first of January 1970. Quarters of an
    hour are not doubted: they are how "since ever" is written on a clock of some zone.
    """
    for name, at in (("valid_from", begin), ("valid_until", end)):
        if at is not None and (odd := (at > -DAY_US) & (at < 31 * DAY_US) & (at % (15 * MINUTE_US) != 0)).any():
            raise SchemaError(
                f"{where}: {name} counts microseconds since 1970 in UTC, and is {int(at[odd][0])} in {name_rows(odd)}: "
                f"another unit, or a code. Read times with their unit, pd.to_datetime(frame['{name}'], unit='s', "
                "utc=True), and leave an end missing where it is open."
            )
    if begin is None or end is None:
        return
    if (wrong := (begin != never) & (end != never) & (end <= begin)).any():
        raise SchemaError(
            f"{where}: valid_until is not after valid_from in {name_rows(wrong)}. Leave an end missing where it is "
            "open."
        )


def from_microseconds(at: int) -> dt.datetime:
    """Return UTC microseconds since 1970 as an aware datetime, exactly."""
    if not _FIRST_US <= at <= _LAST_US:
        raise ParameterError("An instant lies outside the years 1 to 9999 in UTC. Move what is asked for inside.")
    return _EPOCH + dt.timedelta(microseconds=int(at))


def count_of(n: int, noun: str, nouns: str = "") -> str:
    """Return ``"1 user"`` or ``"1,234 users"``; ``nouns`` is the plural where it is more than an s."""
    return f"{n:,} {noun if n == 1 else nouns or noun + 's'}"


def plain_name(name: str) -> str:
    """Return a name as it is compared with another spelling of it: ``"E-Mail "`` is ``"email"``."""
    return "".join(letter for letter in name.casefold() if letter.isalnum()) or name


def name_rows(mask_or_positions: np.ndarray, *, most: int = 5) -> str:
    """Return ``"3 rows (positions 0, 4, 9)"`` for a mask or an array of row positions."""
    positions = np.asarray(mask_or_positions)
    if positions.dtype == np.bool_:
        positions = np.flatnonzero(positions)
    shown = ", ".join(str(int(p)) for p in positions[:most])
    more = ", ..." if positions.size > most else ""
    one = positions.size == 1
    return f"{positions.size} row{'' if one else 's'} (position{'' if one else 's'} {shown}{more})"


def as_csr(matrix: Any, name: str) -> Any:
    """Return a scipy sparse matrix by rows, checked before any of its compiled code walks it.

    Raises
    ------
    SchemaError
        When it points outside itself; rows and values may still be in any order and occur twice.
    """
    fault = ""
    if matrix.format in ("csr", "csc", "bsr"):
        block = matrix.blocksize if matrix.format == "bsr" else (1, 1)
        n, m = (length // side for length, side in zip(matrix.shape, block, strict=True))
        shape = (m, n) if matrix.format == "csc" else (n, m)
        fault = csr_fault(np.asarray(matrix.indptr), np.asarray(matrix.indices), shape, ordered=False)
        cells = matrix.data.shape[0] if matrix.data.ndim else -1
        fault = fault or ("" if cells == matrix.indices.size else f"data has {cells:,} numbers for as many indices")
    elif matrix.format == "coo":
        for place, length in zip((matrix.row, matrix.col), matrix.shape, strict=True):
            if place.size and (place.min() < 0 or place.max() >= length):
                fault = f"coordinates lie outside the shape {matrix.shape}"
    if fault:
        raise SchemaError(
            f"{name} is no sparse matrix: {fault}. Build it from its cells again: "
            "scipy.sparse.csr_matrix((data, (row, column)), shape=shape)."
        )
    return matrix.tocsr()


def unmasked(values: Any, name: str) -> Any:
    """Return an array without a mask; one that hides numbers is refused, for what lies under it would be read."""
    if isinstance(values, np.ma.MaskedArray):
        if np.ma.is_masked(values):
            raise ParameterError(f"{name} has masked numbers. Say what they are: {name}.filled(0).")
        return values.data
    return values


def csr_fault(indptr: np.ndarray, indices: np.ndarray, shape: tuple[int, int], *, ordered: bool = True) -> str:
    """Return why compiled code may not walk the rows of a sparse matrix without looking; nothing when it may.

    Parameters
    ----------
    indptr, indices : ndarray of int
        Where rows begin, and the columns of cells.
    shape : (int, int)
    ordered : bool
        Whether columns must rise inside each row: sorted, and none twice.
    """
    if shape[0] == 1 and indices.size <= _SHORT and indptr.shape == (2,) and indices.ndim == 1:
        cells = indices.tolist()  # of one person, numbers of Python are quicker to look through than arrays
        rise = not cells or (cells[0] >= 0 and cells[-1] < shape[1] and cells == sorted(set(cells)))
        if rise and indptr.tolist() == [0, len(cells)]:
            return ""
    if indptr.ndim != 1 or indices.ndim != 1 or indptr.size != shape[0] + 1:
        return f"indptr has {indptr.size:,} numbers, and {shape[0]:,} rows need one more than there are"
    if indptr[0] != 0 or (indptr[:-1] > indptr[1:]).any() or indptr[-1] != indices.size:
        return f"indptr does not rise from 0 to {indices.size:,}, the number of cells"
    if not indices.size:
        return ""
    if indices.min() < 0 or indices.max() >= shape[1]:
        outside = int(((indices < 0) | (indices >= shape[1])).sum())
        return f"{outside:,} of {indices.size:,} indices lie outside the {shape[1]:,} columns"
    if ordered:
        falls = indices[1:] <= indices[:-1]
        starts = indptr[1:-1]
        falls[starts[(starts > 0) & (starts < indices.size)] - 1] = False
        if falls.any():
            return "indices do not rise inside each row"
    return ""


def require(module: str, *, extra: str, purpose: str) -> Any:
    """Import an optional package, or say which extra brings it."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f'{purpose} needs the package {module.split(".")[0]!r}. Run: pip install "omnireco[{extra}]"'
        ) from error


def no_such(estimator: object, name: str, verbs: Sequence[str], fit: str = "fit(...)") -> NoReturn:
    """Raise for a missing attribute; for a verb of the model, say how to get one (use in ``__getattr__``)."""
    kind = type(estimator).__name__
    if name in verbs:
        raise NotFittedError(
            f"{kind} holds parameters only and has no {name}: fit returns the model. "
            f"Write model = {kind}(...).{fit}, then model.{name}."
        )
    raise AttributeError(f"{kind!r} object has no attribute {name!r}")


def check_columns(present: Iterable[str], needed: Iterable[str], where: str) -> None:
    """Raise a SchemaError that names every missing column, near misses and the way to map names."""
    import difflib

    present, needed = [str(name) for name in present], list(needed)
    missing = [name for name in needed if name not in present]
    if not missing:
        return
    hints = []
    for name in missing:
        free = {column.casefold(): column for column in present if column not in needed}  # what is ours is taken
        near = difflib.get_close_matches(str(name), list(free), n=1, cutoff=0.5)
        ours = name if shown(name) == repr(name) else "..."
        hints.append(f'columns={{"{ours}": "{free[near[0]] if near else "your_column"}"}}')
    plural = "s" if len(missing) > 1 else ""
    raise SchemaError(
        f"{where} needs the column{plural} {', '.join(map(shown, missing))}; the frame has "
        f"{', '.join(map(repr, present)) or 'no columns'}. If a column has another name, map it: "
        f"from_frame(frame, {hints[0]})."
    )


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" in the range [{_bound(low)}, {_bound(high)}]"
    if low is not None:
        return f" of at least {_bound(low)}"
    if high is not None:
        return f" of at most {_bound(high)}"
    return ""


def _bound(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"
