"""Cells of the command line's files, read as the type of their column: ids, names, times, numbers, flags.

Every function takes a pyarrow column, of texts or of stored values, and returns a pandas column and a mask of the cells
of another type: those are never treated as missing, and never guessed.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco._core.checks import name_rows
from omnireco._core.units import SECOND_US
from omnireco.errors import SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MISSING", "UNITS", "are_integers", "flags", "ids", "instants", "numbers", "shares", "texts", "zones"]

MISSING = frozenset({"", "na", "n/a", "nan", "nat", "null", "none", "\\n", "<na>"})
"""Words that stand for a missing time, number, zone or consent, in any case; as an id or a name they are themselves."""

UNITS = {"s": SECOND_US, "ms": 1_000, "us": 1}
EXCEL = "excel"
_EXCEL_DAYS = 25_569  # days of a spreadsheet, which counts from 1899-12-30, up to 1970
_YES, _NO = frozenset({"true", "t", "yes", "y", "1", "1.0"}), frozenset({"false", "f", "no", "n", "0", "0.0"})
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?\s*(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?",
    re.IGNORECASE,
)
_NEVER = np.iinfo(np.int64).min
_EARLIEST_US, _LATEST_US = 31_536_000_000_000, 7_258_118_400_000_000  # 1971 and 2200: what counted units may mean


def texts(column: Any) -> tuple[pd.Series, np.ndarray]:
    """Return texts as they are written; only an empty cell is missing. Lists, records and booleans are invalid."""
    import pandas as pd
    import pyarrow.types as pt

    words = _plain(column)
    words[[word == "" for word in words]] = None
    no_words = pt.is_nested(column.type) or pt.is_boolean(column.type)
    odd = np.array([no_words and word is not None for word in words], np.bool_)
    return pd.Series(words, dtype=object), odd


def zones(column: Any) -> tuple[pd.Series, np.ndarray]:
    """Return names of time zones; an empty cell and the words of `MISSING` are missing."""
    words, odd = texts(column)
    gone = words.str.strip().str.casefold().isin(MISSING).to_numpy(dtype=bool)
    return words.where(~gone, None), odd


def are_integers(column: Any) -> bool:
    """Return whether a column stores whole numbers: as integers, or as floats because some are missing."""
    import pyarrow.types as pt

    if pt.is_uint64(column.type) and len(column) and (column.fill_null(0).to_numpy() > np.iinfo(np.int64).max).any():
        return False  # larger than any code of ours: read as text
    return bool(pt.is_integer(column.type) or pt.is_floating(column.type) or pt.is_decimal(column.type))


def ids(column: Any, *, as_text: bool) -> tuple[pd.Series, np.ndarray]:
    """Return ids: texts as written, or whole numbers as stored (12.0 beside gaps is 12); as texts where asked."""
    import pandas as pd
    import pyarrow as pa

    if not are_integers(column):
        return texts(column)
    odd = np.zeros(len(column), np.bool_)
    if not pa.types.is_integer(column.type):
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        missing = np.isnan(values)
        odd = ~missing & ((values != np.floor(values)) | (np.abs(values) >= 2**53))
        column = pa.array(np.where(missing | odd, 0, values).astype(np.int64), mask=missing | odd)
    if as_text:
        return texts(column)[0], odd
    return pd.Series(column.cast(pa.int64()).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)), odd


def numbers(column: Any, *, comma: bool = False) -> tuple[pd.Series, np.ndarray]:
    """Return numbers as they are stored, or written with a decimal point: 12.50, -3, 1e3; with ``comma`` 12,50."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.types as pt

    kind = column.type
    if pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind):
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return pd.Series(values), np.isinf(values)
    words, row = _distinct(column)
    if comma:  # a point would be a mark of thousands or another file's decimal point: neither is guessed
        words = np.array(["a point" if "." in word else word.replace(",", ".") for word in words], object)
    read = np.array([float(word) if _NUMBER.fullmatch(word) else np.nan for word in words])
    odd = ~np.isfinite(read) & ~_absent(words)
    read[odd] = np.nan
    return pd.Series(read[row]), odd[row]


def flags(column: Any) -> tuple[pd.Series, np.ndarray]:
    """Return yes, no, or missing: true, t, yes, y and 1, or false, f, no, n and 0, in any case."""
    import pandas as pd

    words, row = _distinct(column)
    folded = [word.strip().casefold() for word in words]
    value = np.array([True if word in _YES else False if word in _NO else None for word in folded], object)
    odd = np.array([word not in _YES | _NO for word in folded], np.bool_) & ~_absent(words)
    return pd.Series(pd.array(value[row], dtype="boolean")), odd[row]


def shares(column: Any, *, comma: bool = False) -> tuple[pd.Series, np.ndarray]:
    """Return probabilities: numbers, or yes for 1 and no for 0."""
    yes, odd = flags(column)
    if not odd.any():
        return yes.astype("Float64").astype(float), odd
    read, wrong = numbers(column, comma=comma)
    return read.where(~wrong, yes.astype("Float64").astype(float)), wrong & odd


def instants(column: Any, *, form: str | None, timezone: str | None, where: str) -> tuple[pd.Series, np.ndarray]:
    """Return times with their zone: their own offset, or the zone given for those without; nothing is guessed.

    Parameters
    ----------
    column : pyarrow column
    form : str, optional
        The format of the times: a unit since 1970 (s, ms, us), ``"excel"``, or a pattern of strptime. ISO 8601 by
        default.
    timezone : str, optional
        For a column in which no time has an offset.
    where : str
        The column, for errors: ``"events.csv: timestamp"``.

    Raises
    ------
    SchemaError
        When times have no offset and no zone is named, when only some have one, or when whole numbers have no unit.
    """
    import pandas as pd
    import pyarrow.types as pt

    kind = column.type
    if pt.is_timestamp(kind):
        stored = pd.Series(column.to_pandas())
        odd = np.zeros(len(stored), np.bool_)
        return (stored if kind.tz is not None else _on_clock(stored, timezone, where)), odd
    words, row = _distinct(column)
    absent = _absent(words)
    if form is None and (pt.is_integer(kind) or _are_counts(words[~absent])):
        raise SchemaError(
            f"{where} holds numbers without a unit. Give it: --time-format s, or ms, or us, since 1970. "
            "For days such as 20250601: --time-format %Y%m%d; for those of a spreadsheet, such as 45809.5: "
            "--time-format excel."
        )
    at, zoned = _instants_of(words, form)
    odd, aware = (at == _NEVER) & ~absent, zoned[row]
    known = ~(absent | odd)[row]
    some, all_of_them = bool((aware & known).any()), bool((aware | ~known).all())
    if some and not all_of_them:
        n, without = int((aware & known).sum()), ~aware & known
        raise SchemaError(
            f"{where} has an offset in {n:,} row{'' if n == 1 else 's'} and none in {name_rows(without)}. Write all of "
            "them with an offset, or none."
        )
    at[absent | odd] = _NEVER
    stamps = pd.Series(at[row].view("datetime64[us]"))
    if some or not known.any():
        return stamps.dt.tz_localize("UTC"), odd[row]
    return _on_clock(stamps, timezone, where), odd[row]


def _on_clock(stamps: pd.Series, timezone: str | None, where: str) -> pd.Series:
    if timezone is None:
        raise SchemaError(
            f"{where} has no time zone, so its times are no instants. Give the zone: --timezone UTC, or "
            "--timezone Europe/Berlin for a local clock."
        )
    # An hour that a clock change repeats is read as its second, winter-time pass; one it skips moves forward.
    return stamps.dt.tz_localize(timezone, ambiguous=np.zeros(len(stamps), np.bool_), nonexistent="shift_forward")


def _instants_of(words: np.ndarray, form: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return (microseconds, _NEVER where unreadable; whether the text has an offset) of distinct texts."""
    if form is None:
        read = [_iso(word) for word in words]
    elif form in UNITS:
        read = [_counted(word, UNITS[form]) for word in words]
    elif form == EXCEL:
        read = [_spreadsheet(word) for word in words]
    else:
        read = [_patterned(word, form) for word in words]
    at = np.array([one[0] for one in read], np.int64)
    return at, np.array([one[1] for one in read], np.bool_)


def _iso(word: str) -> tuple[int, bool]:
    """Return an ISO 8601 time: T or a space, 0 to 9 digits of a second, Z, UTC, +02, +0200, +02:00 or nothing."""
    found = _TIME.fullmatch(word.strip())
    if found is None:
        return _NEVER, False
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    numbers = (int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    return _micros(numbers, int((fraction or "0").ljust(6, "0")[:6]), zone), zone is not None


def _micros(numbers: tuple[int, ...], fraction: int, zone: str | None) -> int:
    try:
        year, month, day, hour, minute, second = numbers
        at = dt.datetime(year, month, day, hour, minute, second, tzinfo=dt.UTC)
    except ValueError:
        return _NEVER
    offset = 0
    if zone is not None and zone[0] in "+-":
        digits = zone[1:].replace(":", "").ljust(4, "0")
        hours, minutes = int(digits[:2]), int(digits[2:])
        if hours > 15 or minutes > 59:
            return _NEVER
        offset = (1 if zone[0] == "+" else -1) * (60 * hours + minutes)
    seconds = (at - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(seconds=1)
    return (seconds - 60 * offset) * SECOND_US + fraction


def _counted(word: str, unit_us: int) -> tuple[int, bool]:
    """Return a time counted since 1970: outside 1971 to 2200 the unit is wrong."""
    if not _NUMBER.fullmatch(word.strip()):
        return _NEVER, True
    whole, _, part = word.strip().partition(".")
    digits = len(str(unit_us)) - 1
    if not whole.lstrip("+").isdigit() or (part and not part.isdigit()):
        return _NEVER, True
    at = int(whole) * unit_us + int(part.ljust(digits, "0")[:digits] or "0")
    return (at if _EARLIEST_US <= at < _LATEST_US else _NEVER), True


def _spreadsheet(word: str) -> tuple[int, bool]:
    """Return a day count of a spreadsheet, on the clock of the sheet, to the second: 1971 to 2200."""
    text = word.strip().replace(",", ".")
    if not _NUMBER.fullmatch(text):
        return _NEVER, False
    days = float(text) - _EXCEL_DAYS
    if not 365 <= days < 84_006:
        return _NEVER, False
    return round(days * 86_400) * SECOND_US, False


def _patterned(word: str, form: str) -> tuple[int, bool]:
    try:
        at = dt.datetime.strptime(word.strip(), form)
    except ValueError:
        return _NEVER, "%z" in form
    zoned = at.tzinfo is not None
    at = at if zoned else at.replace(tzinfo=dt.UTC)
    return (at - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1), zoned


def _are_counts(words: np.ndarray) -> bool:
    plain = (word.strip().lstrip("+-").replace(",", ".").replace(".", "", 1) for word in words)
    return bool(words.size) and all(word.isdigit() for word in plain)


def _absent(words: np.ndarray) -> np.ndarray:
    return np.array([word.strip().casefold() in MISSING for word in words], np.bool_)


def _distinct(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct words of a column and which of them each row holds; a missing cell is the word ""."""
    import pandas as pd

    words = _plain(column)
    words[[word is None for word in words]] = ""
    row, known = pd.factorize(words)
    return np.asarray(known, object), row


def _plain(column: Any) -> np.ndarray:
    """Return a column of any kind as words, None where it is missing."""
    import pyarrow as pa
    import pyarrow.types as pt

    if pt.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pt.is_string(column.type) or pt.is_large_string(column.type)):
        try:
            column = column.cast(pa.large_string())
        except (pa.ArrowException, ValueError):
            column = pa.array([None if cell is None else str(cell) for cell in column.to_pylist()], pa.large_string())
    return np.array(column.to_numpy(zero_copy_only=False), object)
