"""What a notebook shows of a value: its repr, what it says in words, and the head of a table with rounded numbers.

A class says ``_repr_html_ = shown_html``, or ``shown_rows("n")`` where its table has a row for each entry of a long
dimension: that is cut to its first rows before anything is made into a table. Nobody's id is shown, since notebooks are
passed on: people are numbered. A value without a table shows its fields, arrays by their shapes.
"""

from __future__ import annotations

import datetime as dt
import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from html import escape
from typing import Any

import numpy as np

from omnireco._core.checks import count_of
from omnireco._core.form import form_of
from omnireco._core.parts import Cuts, measure

__all__ = ["html_table", "rounded", "shown_html", "shown_rows"]

FEW = 10
_WHO = {"user_id": "person", "person_id": "person", "similar_user_id": "person", "request_id": "request"}
_LONG = re.compile(r"(?<![\w.])-?\d+\.\d{4,}(?:e[+-]?\d+)?(?![\w.])")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LONGEST_US = 3 * 10**14  # almost ten years: longer is an instant
_LAST_US = 253 * 10**15  # within the year 9987
_LONGEST = 200  # letters of one cell


def shown_html(self: Any) -> str:
    """Return what a notebook shows of a value."""
    frame = _small_table(self)
    if frame is None:
        return _page(self, _field_table(self))
    return _page(self, html_table(frame))


def shown_rows(dimension: str) -> Callable[[Any], str]:
    """Return a ``_repr_html_`` for values whose table is as long as one of their dimensions.

    Parameters
    ----------
    dimension : str
        As in the declared parts. Only its first ten entries become a table.
    """

    def shown(self: Any) -> str:
        few, length = _cut(self, dimension)
        frame = few.to_frame()
        one_each = len(frame) == min(FEW, length)
        return _page(self, html_table(frame, of=length, noun="row" if one_each else dimension.rstrip("s")))

    return shown


def html_table(frame: Any, *, of: int | None = None, noun: str = "row") -> str:
    """Return the first ten rows of a frame as an HTML table: rounded, escaped, people numbered.

    Parameters
    ----------
    frame : DataFrame
    of : int, optional
        Of how many rows these are the first; those of the frame by default.
    noun : str
        What ``of`` counts, where it is not rows.
    """
    if type(frame.index).__name__ != "RangeIndex" or frame.index.name is not None:
        frame = frame.reset_index()
    length, few = len(frame) if of is None else of, frame.iloc[:FEW]
    columns = {name: few.iloc[:, place].tolist() for place, name in enumerate(map(_label, few.columns))}
    for name, noun_of in _WHO.items():
        if name in columns:
            numbers: dict[Any, int] = {}
            columns[name] = [f"{noun_of} {numbers.setdefault(who, len(numbers) + 1)}" for who in columns[name]]
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    bare = {name for name in columns if name == "id" or name.endswith("_id")}
    cells = [[_cell(value, bare=name in bare) for value in _days(column)] for name, column in columns.items()]
    rows = "".join(f"<tr>{''.join(row)}</tr>" for row in zip(*cells, strict=True))
    more = f"<p>... of {count_of(length, noun)}</p>" if max(length, len(frame)) > len(few) else ""
    return f'<table class="omnireco"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}'


def _days(column: list[Any]) -> list[Any]:
    """Return instants that are all midnights as days, everything else as it is."""
    times = [value for value in column if isinstance(value, dt.datetime) and type(value).__name__ != "NaTType"]
    if not times or any(value.time() != dt.time() for value in times):
        return column
    return [value.date() if any(value is time for time in times) else value for value in column]


def rounded(value: Any, *, bare: bool = False) -> str:
    """Return a number, time or text as a cell shows it; nothing for what is missing.

    Examples
    --------
    >>> rounded(0.123456), rounded(1234567.8), rounded(1234), rounded(float("nan")), rounded(1234, bare=True)
    ('0.1235', '1,234,568', '1,234', '', '1234')
    """
    if isinstance(value, np.generic):
        value = value.item() if not isinstance(value, (np.datetime64, np.timedelta64)) else str(value)
    if value is None or type(value).__name__ in ("NaTType", "NAType"):
        return ""
    if isinstance(value, (bool, str)):
        return str(value)
    if isinstance(value, int):
        return str(value) if bare else f"{value:,}"
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return _rounded_text(_described(value))


def _rounded_text(text: str) -> str:
    return _LONG.sub(lambda found: f"{float(found[0]):.4g}", text)


def _title(value: Any) -> str:
    """Return the one line of a value; its kind, for one whose repr spells out arrays."""
    text = repr(value)
    return type(value).__name__ if "array(" in text or "\n" in text else text


def _described(value: Any) -> str:
    """Return what is said of a part of a value: its repr where it is ours, else its kind and size."""
    if isinstance(value, (dt.date, dt.time, dt.timedelta)):
        return str(value)
    if isinstance(value, np.ndarray):
        return f"{' x '.join(f'{length:,}' for length in value.shape)} {value.dtype}" if value.ndim else "1 number"
    if hasattr(value, "shape") and len(value.shape) == 2:
        rows, columns = value.shape
        return f"{type(value).__name__}, {rows:,} x {columns:,}"
    if isinstance(value, Mapping):
        if len(value) > FEW:
            return count_of(len(value), "entry", "entries")
        return ", ".join(f"{key}: {rounded(held)}" for key, held in value.items())
    if isinstance(value, (tuple, list, set, frozenset)) and not hasattr(value, "_fields"):
        return count_of(len(value), "entry", "entries") if len(value) > FEW else ", ".join(map(rounded, value))
    if type(value).__module__.startswith("omnireco"):
        return _title(value)
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    return type(value).__name__


def _page(value: Any, table: str) -> str:
    words = [
        getattr(value, name) for name in ("verdict", "caveat") if isinstance(getattr(type(value), name, 0), property)
    ]
    lines = [line for text in words if isinstance(text, str) for line in text.splitlines()]
    return "".join(f"<p>{escape(line)}</p>" for line in [_rounded_text(_title(value)), *lines]) + table


def _small_table(value: Any) -> Any:
    """Return the summary or the table of a value, or None for one that has neither."""
    for verb in ("summary", "to_frame"):
        make = getattr(type(value), verb, None)
        if make is None:
            continue
        asked = list(inspect.signature(make).parameters.values())[1:]
        if all(one.default is not one.empty or one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL) for one in asked):
            frame = make(value)
            if hasattr(frame, "iloc"):
                return frame.to_frame() if not hasattr(frame, "columns") else frame
    return None


def _field_table(value: Any) -> str:
    """Return the fields of a value that are there, a row each: parameters as they are, what was learned by its size."""
    held = {name: part for name, part in _fields(value).items() if part is not None}
    if not held:
        return ""
    rows = "".join(f"<tr><th>{escape(name)}</th>{_cell(part)}</tr>" for name, part in held.items())
    return f'<table class="omnireco"><tbody>{rows}</tbody></table>'


def _fields(value: Any) -> dict[str, Any]:
    names = [part.name for part in fields(value)] if is_dataclass(value) else list(getattr(value, "_fields", ()))
    return dict(_read(name, getattr(value, name)) for name in names if not name.startswith("_"))


def _read(name: str, value: Any) -> tuple[str, Any]:
    """Return a field as a reader takes it: whole microseconds as an instant or a length of time."""
    if not name.endswith("_us") or type(value) is not int or abs(value) > _LAST_US:
        return name, value
    name, length = name.removesuffix("_us"), dt.timedelta(microseconds=value)
    return name, _EPOCH + length if abs(value) >= _LONGEST_US else length


def _cell(value: Any, *, bare: bool = False) -> str:
    text = rounded(value, bare=bare)
    return f"<td>{escape(text if len(text) <= _LONGEST else text[: _LONGEST - 4] + ' ...')}</td>"


def _label(name: Any) -> str:
    return ", ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _nobody(vocabulary: Any) -> np.ndarray:
    return np.zeros(len(vocabulary), bool)


def _cut(value: Any, dimension: str) -> tuple[Any, int]:
    """Return a value with the first entries of a dimension alone, and how many it has."""
    form = form_of(type(value))
    known, cuts = form.held(value), Cuts(_nobody)
    measure(form.parts, known, cuts.sizes)
    length = cuts.sizes[dimension]
    if length <= FEW:
        return value, length
    cuts.drop(dimension, np.arange(length) >= FEW)
    cuts.let_hang(form.parts, known)
    fresh = {name: part.cut(known[name], name, cuts) for name, part in form.parts.items()}
    return (form.kind if form.build is None else form.build)(**fresh), length
