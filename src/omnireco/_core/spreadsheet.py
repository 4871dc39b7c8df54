"""Texts in a CSV that a spreadsheet must not run as formulas."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["without_formulas"]

_FORMULA = re.compile(r"['\s]*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r\n]")  # also their forms of full width


def without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame in which a spreadsheet takes no text for a formula; its numbers and times stay what they are.

    A text that begins with ``= + - @``, a tab or a line break, perhaps behind blanks or apostrophes, gets an apostrophe
    before it. To read such a file back, remove one apostrophe where what follows it begins so.

    >>> import pandas as pd
    >>> without_formulas(pd.DataFrame({"user_id": ["+4915112345", "ann"], "value": [-1.0, 2.0]})).values.tolist()
    [["'+4915112345", -1.0], ['ann', 2.0]]
    """
    texts = [name for name in frame.columns if frame[name].dtype.kind not in "biufcmM"]
    safe = frame.assign(**{name: frame[name].astype(object).map(_safe) for name in texts})
    return safe.rename(columns=_safe)


def _safe(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell
