"""Values as other systems write them: ids, people, numbers and times."""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import re
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco._core.units import SECOND_US
from omnireco.data.frames.answers import is_missing
from omnireco.data.frames.placeholders import is_placeholder

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Known", "as_id", "as_number", "as_person", "filled", "hashed_email", "instants", "time_fault"]

_ZONED = re.compile(r"(Z|[+-]\d{2}:?\d{2}|[+-]\d{2})$")
_UTC = re.compile(r"\s*(Z|UTC|GMT)$", re.IGNORECASE)
_OFFSET = re.compile(r"\s+([+-]\d{2}(:?\d{2})?)$")
_NUMERIC = re.compile(r"[+-]?\d+(\.\d*)?")
_PLAIN = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")  # as most write it
_ZONELESS = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d", re.ASCII)
_DIGITS = re.compile(r"-?\d{1,15}(\.\d{1,9})?", re.ASCII)
_NANO = re.compile(r"\d{19}", re.ASCII)  # nanoseconds of our century, as a text
_YEAR = re.compile(r"\s*\d{4}-?\d\d-?\d\d")
_FIRST, _LAST = dt.datetime(1990, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
_FIRST_US, _LAST_US = (int(at.timestamp()) * SECOND_US for at in (_FIRST, _LAST))
_UNITS = (SECOND_US, 1_000, 1)  # microseconds of a second, a millisecond, a microsecond; nanoseconds are divided
_EXACT = 2**53
_MANY = 1000  # times of one form, from which reading them at once pays

# The currencies that are traded most, by their ISO 4217 codes and by the signs before or after an amount.
_MONEY = (
    "AED|ARS|AUD|BGN|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EGP|EUR|GBP|HKD|HUF|IDR|ILS|INR|JPY|KRW|MAD|MXN|MYR|NGN|NOK|NZD"
    r"|PEN|PHP|PKR|PLN|RON|RSD|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR|(?:US|R|AU?|CA?|NZ|HK|S)?\$"
    r"|[€£¥₹₽₩₺₫₴₪฿₦₱]|zł|kr\.?|Kč|Ft|Fr\.|Rs\.?|lei"
)
_AMOUNT = re.compile(
    rf"(?P<a>[+-]?)\s*(?:(?:{_MONEY})\s*(?P<b>[+-]?)\s*)?(?P<digits>\d[\d.,' ]*|\.\d+)(?:[.,][-–])?\s*(?:{_MONEY})?",
    re.IGNORECASE,
)
_WHOLE = re.compile(r"\d+|\d{1,3}(?:(?P<sep>[., '])\d{3})(?:(?P=sep)\d{3})*")


class Known(dict[Any, Any]):
    """Answers of a rule, each asked once: a log has few names, and each person many records."""

    def __init__(self, rule: Callable[[Any], Any]) -> None:
        super().__init__()
        self.rule = rule

    def __missing__(self, value: Any) -> Any:
        """Ask the rule."""
        found = self[value] = self.rule(value)
        return found


def filled(*values: Any) -> Any:
    """Return the first value that is not missing, or None."""
    for value in values:
        if not is_missing(value):
            return value
    return None


def as_id(value: Any) -> str | None:
    """Return an id as text: 36 and 36.0 are "36"; what is missing, true or false, or holds others is None.

    A float of 2**53 or more has lost digits, and is the id of several: None too.
    """
    if isinstance(value, str):
        return value.strip() or None
    if type(value) is int:
        return str(value)
    if is_missing(value) or isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, (float, np.floating, decimal.Decimal)):
        number = float(value)
        if not np.isfinite(number) or (abs(number) >= _EXACT and not isinstance(value, decimal.Decimal)):
            return None
        if value == int(value):
            value = int(value)
    if isinstance(value, (int, float, np.integer, np.floating, decimal.Decimal, uuid.UUID)):
        return str(value)
    return None


def as_person(*values: Any) -> str | None:
    """Return the first of some values that is a real id: not missing, and no placeholder such as "null".

    See :func:`omnireco.data.frames.placeholders.is_placeholder`.
    """
    return next((name for name in map(as_id, values) if name is not None and not is_placeholder(name)), None)


def hashed_email(address: Any) -> str | None:
    """Return the SHA-256 of an address, trimmed and in lower case: the form in which systems exchange addresses.

    None where it is no address, or a placeholder such as ``test@test.com``.

    >>> hashed_email(" Ann@Example.org ") == hashed_email("ann@example.org")
    True
    """
    text = as_id(address)
    if text is None or "@" not in text or is_placeholder(text):
        return None
    return hashlib.sha256(text.lower().encode("utf-8", "surrogatepass")).hexdigest()


def as_number(value: Any) -> float | None:
    """Return a number, None where it is missing, and NaN where it cannot be read.

    Texts may name a currency before or after. Of ``.`` and ``,`` the one that stands last is the decimal sign, and the
    other one groups digits in threes, as blanks and apostrophes do. A lone point is a decimal sign, as in JSON; a lone
    comma is one too unless three digits follow: ``"1,234"`` may be either, and is not read. A sign that occurs several
    times groups.

    >>> [as_number(text) for text in ("12,50", "1.234,50", "1,234.50", "EUR 3.00", "1'234.50", "1.234.567", "4.500")]
    [12.5, 1234.5, 1234.5, 3.0, 1234.5, 1234567.0, 4.5]
    >>> [as_number(text) for text in ("1,234", "free", "")]
    [nan, nan, None]
    """
    if is_missing(value):
        return None
    if isinstance(value, str):
        return float(value) if _DIGITS.fullmatch(value) else _read_amount(value)
    if isinstance(value, (int, float, decimal.Decimal, np.integer, np.floating)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            return np.nan
        return number if np.isfinite(number) else np.nan
    return np.nan


def _read_amount(text: str) -> float | None:
    plain = re.sub(r"[\s\u00a0\u202f\u2009]", " ", text).replace("\u2019", "'").replace("\u2212", "-").strip()
    if plain.lower() in {"nan", "null", "none", "na", "n/a"}:
        return None
    try:
        if "_" not in plain and plain.isascii() and not plain.lower().lstrip("+-").startswith("inf"):
            return float(plain)
    except ValueError:
        pass
    found = _AMOUNT.fullmatch(plain)
    digits = None if found is None else _plain_digits(found["digits"].strip())
    if found is None or digits is None or (found["a"] and found["b"]):
        return np.nan
    return -float(digits) if "-" in (found["a"], found["b"]) else float(digits)


def _plain_digits(digits: str) -> str | None:
    """Return digits with a point for the decimal sign and no groups, None where that is ambiguous."""
    last = max(digits.rfind("."), digits.rfind(","))
    sign = digits[last] if last >= 0 else ""
    whole, fraction = (digits[:last], digits[last + 1 :]) if last >= 0 else (digits, "")
    if sign and sign in whole:  # it occurs several times: it groups, and there is no fraction
        whole, fraction, sign = digits, "", ""
    elif sign and len(fraction) == 3 and re.fullmatch(r"[1-9]\d{0,2}", whole):
        return None  # "1,234": a thousand, or one and a bit; bare numbers with a point never come here
    grouped = _WHOLE.fullmatch(whole or "0")
    if grouped is None or (sign and grouped["sep"] == sign) or (fraction and not fraction.isdigit()):
        return None
    return re.sub(r"\D", "", whole or "0") + "." + (fraction or "0")


def instants(values: Iterable[Any], *, naive: bool = False) -> pd.Series:
    """Return times as an aware pandas Series, NaT where one cannot be read or has no zone.

    A number, or a text of digits, counts seconds, milliseconds, microseconds or nanoseconds since 1970: whichever puts
    it between 1990 and 2100, which no two of them do. A time outside these years is an empty field or a broken clock,
    and is not read, however it is written.
    """
    import pandas as pd

    values = list(values)
    if len(values) > _MANY:
        kinds = set(map(type, values))
        if kinds == {int} and (counted := _counted(values)) is not None:
            return counted
        if kinds == {str} and all(map(_NANO.fullmatch, values)) and (counted := _counted(values, 1000)) is not None:
            return counted
    texts = [_iso(value, naive) for value in values]
    at = pd.Series(pd.to_datetime(pd.Series(texts, dtype=object), utc=True, format="ISO8601", errors="coerce"))
    at = at if at.dt.tz is not None else at.dt.tz_localize("UTC")  # older pandas forgets the zone where all are NaT
    return at.where((at >= _FIRST) & (at < _LAST))


def _counted(values: list[Any], divisor: int = 1) -> pd.Series | None:
    """Return the instants of many whole counts, read at once; None where one is not of an instant that is read."""
    import pandas as pd

    try:
        counts = np.array(values, np.int64) // divisor
    except (OverflowError, ValueError):
        return None
    micro = np.full(counts.size, -1, np.int64)
    for factor, over in ((SECOND_US, 1), (1_000, 1), (1, 1), (1, 1000)):
        low, high = -(-_FIRST_US * over // factor), _LAST_US * over // factor
        of = (counts >= low) & (counts < high)
        micro[of] = counts[of] * factor // over
    return None if (micro < 0).any() else pd.Series(pd.to_datetime(micro, unit="us", utc=True))


def time_fault(value: Any) -> str:
    """Return why a time was not read."""
    if is_missing(value):
        return "no time"
    dated = _counts(value) or isinstance(value, dt.datetime) or _YEAR.match(str(value))
    return (
        "no time between 1990 and 2100" if dated and (_counts(value) or _iso(value, False)) else "no time with a zone"
    )


def _iso(value: Any, naive: bool) -> str | None:
    """Return a time as an ISO text with a zone."""
    if isinstance(value, str):
        if _PLAIN.fullmatch(value):
            return value
        if _ZONELESS.fullmatch(value):
            return f"{value}Z" if naive else None
    if is_missing(value) or isinstance(value, (bool, np.bool_)):
        return None
    if _counts(value):
        return _since_1970(value)
    if isinstance(value, str):
        text = _OFFSET.sub(r"\1", _UTC.sub("Z", value.strip().upper()))
        return text if _ZONED.search(text[10:]) else f"{text}Z" if naive and len(text) > 10 else None
    if isinstance(value, np.datetime64):
        return f"{np.datetime_as_string(value, 'us')}Z" if naive else None
    if isinstance(value, dt.datetime):
        if value.utcoffset() is None:
            return f"{value.isoformat()}Z" if naive else None
        return value.isoformat()
    return None


def _counts(value: Any) -> bool:
    """Return whether a value is a number, or the text of one."""
    if isinstance(value, str):
        return _NUMERIC.fullmatch(value.strip()) is not None
    return isinstance(value, (int, float, decimal.Decimal, np.integer, np.floating)) and not isinstance(value, bool)


def _since_1970(value: Any) -> str | None:
    """Return the instant of a count, by the one unit that puts it between 1990 and 2100."""
    try:
        count = value if isinstance(value, int) else decimal.Decimal(str(value).strip())
        for factor in (*_UNITS, decimal.Decimal("0.001")):
            micro = count * factor
            if _FIRST_US <= micro < _LAST_US:
                return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=int(micro))).isoformat()
    except (ArithmeticError, ValueError):
        pass
    return None
