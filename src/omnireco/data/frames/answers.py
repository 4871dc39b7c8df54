"""Booleans and consents, in the spellings of other systems."""

from __future__ import annotations

import decimal
import re
from functools import lru_cache
from typing import Any

import numpy as np

__all__ = ["as_consent", "is_missing"]

_YES = re.compile(
    "true|t|yes|y|on|1|1[.]0|(re)?subscribed|granted|given|accepted|allowed|agreed|confirmed|consented|opt(ed)?in"
)
_WITH_NAN = (float, complex, np.inexact, np.datetime64, np.timedelta64)
_NO = re.compile(
    "false|f|no|n|off|0|0[.]0|((un|not|never)subscribed?)|didnotsubscribe|denied|declined|rejected|refused|revoked|withdrawn"
    "|cancell?ed|blocked|disabled|pending|unconfirmed|notset|opt(ed)?out|invalid|redacted|never"
    "|none|null|nil|nan|nat|na|n/a|undefined|unknown"
)


def is_missing(value: Any, *, blank: bool = True) -> bool:
    """Return whether a value is missing: None, NaN, NaT, pandas.NA and ``""`` are one and the same.

    With ``blank`` so are texts of nothing but blanks, which an id may be.

    >>> [is_missing(value) for value in (None, float("nan"), "", " ", 0, "ann")]
    [True, True, True, True, False, False]
    """
    if value is None:
        return True
    if isinstance(value, str):
        return not (value.strip() if blank else value)
    if isinstance(value, (int, dict, list)):
        return False
    if type(value).__name__ in {"NAType", "NaTType"}:
        return True
    if isinstance(value, decimal.Decimal):
        return value.is_nan()
    return isinstance(value, _WITH_NAN) and bool(value != value)


def as_consent(value: Any) -> bool | None:
    """Return True for an explicit consent, False for a refusal or a missing value, None for what cannot be read.

    None counts as False too, but is reported. True is read from True, 1, and the words
    true, yes, y, t, on, subscribed, granted, given, accepted, allowed, agreed, confirmed, consented and opted in.

    >>> [as_consent(value) for value in ("Yes", "opted-in", 0, "UNSUBSCRIBED", None, "perhaps")]
    [True, True, False, False, False, None]
    """
    if is_missing(value):
        return False
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, float, decimal.Decimal, np.integer, np.floating)):
        return bool(value) if value in (0, 1) else None
    return _consent_by_word(value) if isinstance(value, str) else None


@lru_cache(maxsize=1024)
def _consent_by_word(text: str) -> bool | None:
    word = re.sub(r"[\s_-]+", "", text).casefold()
    return True if _YES.fullmatch(word) else False if _NO.fullmatch(word) else None
