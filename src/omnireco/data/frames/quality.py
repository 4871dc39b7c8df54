"""Problems of the rows of a frame or a log: counted, located, and never dropped silently."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_choice, check_names, count_of, shown
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Array, Maybe, Parts, Record, freeze
from omnireco._core.small import Each, Text, Whole
from omnireco.data.frames.columns import Frame, nulls, stamps
from omnireco.data.vocabulary import is_text, no_text
from omnireco.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Finding", "QualityReport", "all_kept", "check_on_invalid", "finding", "note", "screen", "sift"]

_FIRST = 5  # row positions shown in tables; all of them are kept in Finding.rows


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """One problem of some rows.

    Parameters
    ----------
    problem : str
        Its short name: ``"missing"``, ``"not finite"``, ``"duplicate"``, ``"bot"`` and so on.
    column : str
        The column, by our name.
    rows : ndarray of shape (n,), int64
        All positions of the rows, ascending.
    what, fix : str
        The problem, and how to correct it upstream. Never an id.
    people : int or None
        How many people the rows belong to, where that is known.
    """

    problem: str
    column: str
    rows: np.ndarray
    what: str
    fix: str
    people: int | None = None

    parts: ClassVar[Parts] = {
        "problem": Text(),
        "column": Text(),
        "rows": Array(np.int64, ("rows",), 0, order="distinct"),
        "what": Text(),
        "fix": Text(),
        "people": Maybe(Whole()),
    }

    def __post_init__(self) -> None:
        freeze(self)

    @property
    def n_rows(self) -> int:
        """In how many rows."""
        return int(self.rows.size)

    def __repr__(self) -> str:
        return f"Finding({self.problem!r} in {self.column!r}, {count_of(self.n_rows, 'row')})"

    _repr_html_ = shown_html


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class QualityReport:
    """Problems of a frame or a log, in which rows, and how to correct them.

    Made by ``from_frame`` (``log.quality``) and by :meth:`EventLog.check`. Rows in are rows kept plus rows dropped.

    Parameters
    ----------
    where : str
        The method: ``"EventLog.from_frame"``, ``"EventLog.check"``.
    n_rows : int
        How many rows came in.
    findings : tuple of Finding
        A row may be in several.
    dropped : ndarray of shape (n_dropped,), int64
        Positions of the rows left out, ascending and distinct. Of ``from_frame`` they count the caller's rows from 0
        (``frame.iloc[report.dropped]``); of a check, the events of the log in their order of time.
    fingerprint : int or None
        Which log was checked: the report applies to no other.
    """

    where: str
    n_rows: int
    findings: tuple[Finding, ...]
    dropped: np.ndarray
    fingerprint: int | None = None

    parts: ClassVar[Parts] = {
        "where": Text(),
        "n_rows": Whole(),
        "findings": Each(Record(Finding)),
        "dropped": Array(np.int64, ("dropped",), 0, order="distinct"),
        "fingerprint": Maybe(Whole(-(1 << 63))),
    }

    def __post_init__(self) -> None:
        freeze(self)

    @property
    def n_dropped(self) -> int:
        """How many rows were left out."""
        return int(self.dropped.size)

    @property
    def n_kept(self) -> int:
        """How many rows were kept."""
        return self.n_rows - self.n_dropped

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def rows(self, problems: str | Iterable[str] | None = None) -> np.ndarray:
        """Return the distinct positions of the rows with some problems (all by default), ascending, int64.

        Raises
        ------
        ParameterError
            When a problem is not one of those that are checked.
        """
        wanted = self._wanted(problems)
        found = [one.rows for one in self.findings if one.problem in wanted]
        return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return one row per finding: problem, column, rows, people, first_rows, dropped, what, fix."""
        import pandas as pd

        return pd.DataFrame(
            {
                "problem": [one.problem for one in self.findings],
                "column": [one.column for one in self.findings],
                "rows": np.array([one.n_rows for one in self.findings], np.int64),
                "people": pd.array([one.people for one in self.findings], dtype="Int64"),
                "first_rows": [", ".join(map(str, one.rows[:_FIRST].tolist())) for one in self.findings],
                "dropped": np.array([np.isin(one.rows, self.dropped).sum() for one in self.findings], np.int64),
                "what": [one.what for one in self.findings],
                "fix": [one.fix for one in self.findings],
            }
        )

    def __repr__(self) -> str:
        counts = ", ".join(f"{one.column} {one.problem} {one.n_rows:,}" for one in self.findings)
        return (
            f"QualityReport({self.where}: {count_of(self.n_rows, 'row')}, "
            f"{self.n_dropped:,} dropped; {counts or 'nothing found'})"
        )

    def __str__(self) -> str:
        lines = [f"{self.where}: {count_of(self.n_rows, 'row')} in, {self.n_kept:,} kept, {self.n_dropped:,} dropped"]
        for one in self.findings:
            first = ", ".join(map(str, one.rows[:_FIRST].tolist())) + (", ..." if one.n_rows > _FIRST else "")
            places = f"position{'' if one.n_rows == 1 else 's'} {first}"
            lines.append(f"  {one.what}: {count_of(one.n_rows, 'row')} ({places}). {one.fix}")
        return "\n".join(lines if self.findings else [*lines, "  nothing found"])

    def _wanted(self, problems: str | Iterable[str] | None) -> set[str]:
        seen = {one.problem for one in self.findings}
        if problems is None:
            return seen
        wanted = {problems} if isinstance(problems, str) else set(check_names(problems, "QualityReport: problems"))
        if unknown := wanted - set(PROBLEMS):
            raise ParameterError(
                f"QualityReport: no problem is called {', '.join(sorted(map(shown, unknown)))}; there are "
                f"{', '.join(map(repr, PROBLEMS))}."
            )
        return wanted


PROBLEMS = (
    "missing",
    "wrong kind",
    "out of range",
    "not finite",
    "no probability",
    "before sending",
    "no zone",
    "unreadable",
    "duplicate",
    "future",
    "epoch",
    "date only",
    "midnight",
    "round hour",
    "round minute",
    "placeholder",
    "bot",
    "return",
    "negative",
)
"""All checks: the first eight by ``from_frame``, the others by ``log.check``."""


def check_on_invalid(value: Any) -> bool:
    """Return whether invalid rows are dropped (``"drop"``) rather than an error (``"raise"``)."""
    return check_choice(value, "on_invalid", ("raise", "drop")) == "drop"


def finding(
    problem: str, column: str, where: np.ndarray, what: str, fix: str, people: int | None = None
) -> list[Finding]:
    """Return a list of one finding for a mask or positions, of none where they are empty."""
    rows = np.flatnonzero(where) if where.dtype == np.bool_ else where.astype(np.int64)
    return [Finding(problem, column, rows, what, fix, people)] if rows.size else []


def all_kept(where: str, n_rows: int, found: Iterable[Finding] = ()) -> QualityReport:
    """Return the report of rows that were all kept, with findings about them."""
    return QualityReport(where, n_rows, tuple(found), np.empty(0, np.int64))


def note(report: QualityReport, more: Iterable[Finding]) -> QualityReport:
    """Return the report with findings in rows that are kept; they count the rows still in the frame."""
    if not (more := tuple(more)):
        return report
    kept = np.setdiff1d(np.arange(report.n_rows), report.dropped, assume_unique=True)
    return replace(report, findings=(*report.findings, *(replace(one, rows=kept[one.rows]) for one in more)))


def sift(opened: Frame, kinds: Mapping[str, str], *, may_miss: Sequence[str] = ()) -> tuple[Frame, QualityReport]:
    """Return an opened frame without invalid rows, and the report of them.

    Parameters
    ----------
    opened : Frame
    kinds : mapping of str to {"id", "name", "instant", "number", "amount", "share"}
        The type of each column; an amount is a number that may be missing. A column wholly of another type is
        left as it is, and refused later.
    may_miss : sequence of str
        Columns in which a missing value is allowed.
    """
    found: list[Finding] = []
    columns = dict(opened.columns)
    for name in (name for name in kinds if name in opened):
        array, masks = _look(columns[name], kinds[name])
        columns[name] = array
        odd = opened.odd.get(name, np.zeros(opened.n_rows, np.bool_))
        for gap in {"missing", "not finite"} & set(masks):
            masks[gap] = masks[gap] & ~odd  # a cell that did not fit was emptied while reading
        if name in may_miss:
            masks.pop("missing", None)
        masks["wrong kind"] = masks.get("wrong kind", False) | odd
        for problem, mask in masks.items():
            found += finding(problem, name, mask, f"{name} {_WHAT[problem]}", _FIX[problem].format(name=repr(name)))
    report = all_kept(opened.where, opened.n_rows, found)
    return screen(replace(opened, columns=columns), report, ())


_WHAT = {
    "missing": "is missing",
    "wrong kind": "holds a value of another type than its column",
    "out of range": "lies outside the years 1 to 9999",
    "not finite": "is missing or infinite",
    "no probability": "lies outside [0, 1]",
}
_FIX = {
    "missing": "Fill it in upstream.",
    "wrong kind": (
        "Make the column one type: ids all strings or all integers, times pd.to_datetime(frame[{name}], utc=True)."
    ),
    "out of range": "Was the unit of an integer time wrong? pd.to_datetime(frame[{name}], unit='s', utc=True).",
    "not finite": "Fill it in upstream; leave the column out if it is not known.",
    "no probability": "Divide a percentage by 100: frame[{name}] / 100.",
}


def screen(opened: Frame, report: QualityReport, more: Iterable[Finding]) -> tuple[Frame, QualityReport]:
    """Return a frame without the rows of all findings; those of ``more`` count the rows still in the frame."""
    import pyarrow as pa

    kept = np.setdiff1d(np.arange(report.n_rows), report.dropped, assume_unique=True)
    placed = tuple(replace(one, rows=kept[one.rows]) for one in more)
    report = replace(report, findings=(*report.findings, *placed))
    dropped = report.rows()
    if dropped.size == report.n_dropped:
        return opened, report
    still = ~np.isin(kept, dropped)
    columns = {name: array.filter(pa.array(still)) for name, array in opened.columns.items()}
    return replace(opened, columns=columns, n_rows=int(still.sum()), odd={}), replace(report, dropped=dropped)


def _look(array: Any, kind: str) -> tuple[Any, dict[str, np.ndarray]]:
    """Return a column, with floats that should be ids as integers, and the masks of its problems."""
    import pyarrow as pa
    import pyarrow.types as pt

    if len(array) == 0:
        return array, {}
    if pt.is_null(array.type):
        return array, {"missing": np.ones(len(array), np.bool_)}
    if kind == "instant":
        if not pt.is_timestamp(array.type) or array.type.tz is None:
            return array, {}
        _, missing, outside = stamps(array)
        return array, {"missing": missing, "out of range": outside}
    if kind in ("number", "amount"):
        if not (pt.is_integer(array.type) or pt.is_floating(array.type) or pt.is_decimal(array.type)):
            return array, {}
        values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return array, {"not finite": np.isinf(values) if kind == "amount" else ~np.isfinite(values)}
    if kind == "share":
        if not (pt.is_integer(array.type) or pt.is_floating(array.type)):
            return array, {}
        values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return array, {"no probability": (values < 0) | (values > 1)}
    if pt.is_dictionary(array.type):
        entry = array.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
        return array, {"missing": np.append(_gaps(array.dictionary), True)[entry]}
    if kind == "id" and pt.is_floating(array.type):
        return _whole_ids(array)
    if pt.is_uint64(array.type):
        values = array.fill_null(0).to_numpy(zero_copy_only=False)
        large = values > np.iinfo(np.int64).max
        if 2 * large.sum() <= large.size:
            clean = pa.array(np.where(large, 0, values).astype(np.int64), mask=nulls(array))
            return clean, {"missing": nulls(array), "wrong kind": large}
    return array, {"missing": _gaps(array)}


def _gaps(array: Any) -> np.ndarray:
    """Return a mask of the missing cells of a column of ids: the empty text is one."""
    if not is_text(array.type):
        return nulls(array)
    return np.asarray(no_text(array).to_numpy(zero_copy_only=False), np.bool_)


def _whole_ids(array: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """Return integer ids that missing cells had turned into floats."""
    import pyarrow as pa

    values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    missing = np.isnan(values)
    with np.errstate(invalid="ignore"):
        broken = ~missing & ~((np.abs(values) < 2**53) & (values == np.floor(values)))
    if 2 * broken.sum() > (~missing).sum():
        return array, {}
    whole = np.where(missing | broken, 0, values).astype(np.int64)
    return pa.array(whole, mask=missing | broken), {"missing": missing, "wrong kind": broken}
