"""One file of the command line as a frame: columns found, cells parsed, dropped rows counted."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco._core.checks import name_rows
from omnireco._demo import cells
from omnireco._demo.files import read_table
from omnireco._demo.words import counted
from omnireco.data.frames.placeholders import is_placeholder
from omnireco.errors import EmptyError, SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "NEEDED", "Asked", "Opened", "Rows", "open_file", "read_rows"]

NEEDED = {
    "events": ("user_id", "item_id", "channel", "event", "timestamp"),
    "messages": ("user_id", "channel", "sent_at", "responded_at"),
    "users": ("user_id", "timezone"),
    "items": ("item_id",),
}
COLUMNS: dict[str, dict[str, str]] = {
    "events": {
        "user_id": "id",
        "item_id": "id",
        "channel": "name",
        "event": "name",
        "timestamp": "time",
        "value": "number",
        "store_id": "id",
        "session_id": "id",
        "event_id": "id",
    },
    "messages": {
        "user_id": "id",
        "channel": "name",
        "sent_at": "time",
        "responded_at": "time",
        "item_id": "id",
        "creative_id": "id",
        "propensity": "number",
        "machine": "share",
        "clicked_at": "time",
        "unsubscribed_at": "time",
    },
    "users": {"user_id": "id", "timezone": "zone"},
    "items": {"item_id": "id", "category": "name", "name": "name", "price": "number", "margin": "number"},
}
_SAFETY = ("unsubscribed_at", "machine")
_PREFIXES = ("consent_", "reachable_")
_MAY_MISS = {
    "events": ("item_id", "value", "store_id", "session_id", "event_id"),
    "messages": ("responded_at", "item_id", "creative_id", "machine", "clicked_at", "unsubscribed_at"),
    "users": ("timezone",),
    "items": ("category", "name"),
}
_WRITE = {
    "time": "Write times as 2025-06-01T12:00:00+02:00, or say how they are written: --time-format '%d/%m/%Y %H:%M'.",
    "number": "Write numbers with a point and nothing else: 1234.50; for 1234,50 say --decimal comma.",
    "share": "Write true, false, or a probability such as 0.9.",
    "id": "Write ids as whole numbers or texts.",
}
_EXAMPLES = {"channel": "channel=web", "event": "event=purchase"}


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of the command line about the files."""

    timezone: str | None = None
    time_format: str | None = None
    encoding: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False
    comma: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """A file with its columns by our names, not read yet."""

    file: Path
    table: str
    n_rows: int
    columns: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """A frame, and what became of the rows of its file.

    ``reasons`` counts the rows left out, each under the first reason that holds for it; ``notes`` are sentences about
    rows that were kept.
    """

    frame: pd.DataFrame
    n_rows: int
    reasons: Mapping[str, int]
    notes: tuple[str, ...] = ()

    def account(self, name: str) -> str | None:
        """Return what was left out of a file, in one sentence, or None."""
        if not self.reasons:
            return None
        left = sum(self.reasons.values())
        why = "; ".join(f"{n:,} where {reason}" for reason, n in self.reasons.items())
        return f"{name}: {counted(self.n_rows, 'row')} read, {self.n_rows - left:,} kept, {left:,} left out: {why}."


def open_file(file: Path, table: str, asked: Asked) -> Opened:
    """Open a file and find its columns.

    Raises
    ------
    SchemaError
        When it cannot be read, or lacks a column.
    """
    theirs = {ours: asked.columns.get(ours, ours) for ours in COLUMNS[table]}
    found = read_table(file, theirs.values(), asked.encoding)
    columns = {ours: found[name].combine_chunks() for ours, name in theirs.items() if name in found.column_names}
    if table == "users":
        known = {ours: asked.columns.get(ours, ours) for ours in (*asked.columns, *found.column_names)}
        columns |= {
            ours: found[name].combine_chunks()
            for ours, name in known.items()
            if ours.startswith(_PREFIXES) and name in found.column_names
        }
    _check_spelling(file, table, found.column_names, columns, asked)
    constants = asked.constants if table == "events" else {}
    for name, value in constants.items():
        if name in columns:
            raise SchemaError(
                f"{file.name} has a column for {name!r}, so --set {name}={value} would hide it. Leave it out."
            )
        columns[name] = _constant(value, len(found))
    missing = [name for name in NEEDED[table] if name not in columns]
    if missing:
        raise SchemaError(_what_is_missing(file, table, missing, found.column_names, asked))
    return Opened(file, table, len(found), columns)


def _check_spelling(file: Path, table: str, present: list[str], columns: Mapping[str, Any], asked: Asked) -> None:
    """Refuse a misspelt column about consent: ignoring it would send messages without consent."""
    free = [name for name in present if name not in {asked.columns.get(ours, ours) for ours in columns}]
    for name in free:
        ours = re.sub(r"[\s-]+", "_", name.strip().casefold())
        if ours not in columns and (
            ours.startswith(_PREFIXES) if table == "users" else table == "messages" and ours in _SAFETY
        ):
            raise SchemaError(
                f"{file.name} has a column {name!r}, which is not read under that name. Rename it to {ours!r} in the "
                f"file, or map it: --columns '{ours}={name}'."
            )
    for name in columns:
        if name.startswith("consent_") and name.endswith("_at") and name.removesuffix("_at") not in columns:
            raise SchemaError(
                f"{file.name} has {name!r} and no {name.removesuffix('_at')!r} beside it. The instant alone is no "
                "consent: add the column of true and false."
            )


def _constant(value: str, n: int) -> Any:
    import pyarrow as pa

    return pa.array([value] * n, pa.large_string())


def _what_is_missing(file: Path, table: str, missing: list[str], present: list[str], asked: Asked) -> str:
    lost = [name for name in missing if name in asked.columns]
    if lost:
        unknown = ", ".join(f"{name}={asked.columns[name]}" for name in lost)
        return (
            f"{file.name} has no column for --columns {unknown}; it has "
            f"{', '.join(map(repr, present)) or 'no columns'}. Write its name as in the file."
        )
    free = {name.casefold().strip().replace(" ", "_"): name for name in present if name not in COLUMNS[table]}
    near = {name: difflib.get_close_matches(name, list(free), n=1, cutoff=0.6) for name in missing}
    hints = {name: free[found[0]] for name, found in near.items() if found}
    renames = "; ".join(f"rename {theirs!r} to {ours!r} in the file" for ours, theirs in hints.items())
    mapped = ",".join(f"{ours}={theirs}" for ours, theirs in hints.items())
    settable = [name for name in missing if name in ("channel", "event") and name not in hints and table == "events"]
    return (
        f"{file.name} needs the column{'s' if len(missing) > 1 else ''} {', '.join(map(repr, missing))}; it has "
        f"{', '.join(map(repr, present)) or 'no columns'}. "
        + (
            f"{renames[0].upper()}{renames[1:]}, or map it: --columns '{mapped}'."
            if renames
            else f"Map it: --columns {missing[0]}=NAME."
        )
        + (f" Where it is the same in every row: --set {_EXAMPLES[settable[0]]}." if settable else "")
        + " `omnireco demo --help` lists all columns."
    )


def read_rows(opened: Opened, asked: Asked, as_text: Mapping[str, bool]) -> Rows:
    """Read the cells of a file; an invalid row is an error, or is left out and counted.

    Parameters
    ----------
    opened : Opened
    asked : Asked
        ``drop`` leaves rows out.
    as_text : mapping of str to bool
        Which ids are texts in every file of the folder.

    Raises
    ------
    SchemaError
        When a cell that is needed is missing or of another kind, and rows are not to be left out.
    """
    import pandas as pd

    frame, notes = pd.DataFrame(index=pd.RangeIndex(opened.n_rows)), []
    left = _LeftOut(opened, asked.drop)
    for name, column in opened.columns.items():
        kind = COLUMNS[opened.table].get(name) or _kind_of_flag(name, opened.columns)
        read, odd = _reader(kind, opened.file, name, asked, as_text.get(name, not cells.are_integers(column)))(column)
        optional = name not in NEEDED[opened.table] and kind not in ("flag", "since")
        if optional and opened.n_rows and read.isna().all() and not odd.any():
            continue  # an empty column counts as absent
        if kind == "since":
            notes += _no_instant(opened, name, odd)
        elif kind == "flag":
            notes += _no_consent(opened, name, odd)
        else:
            left.add(f"{name} holds values that are no {_a(kind, asked)}", odd, _WRITE.get(kind, ""))
        frame[name] = read
        gaps = read.isna().to_numpy() & ~odd
        if kind not in ("flag", "since", "zone") and name not in _MAY_MISS[opened.table]:
            left.add(f"{name} is missing", gaps, "Fill it.")
        if name == "value" and gaps.any():
            notes.append(
                f"{opened.file.name}: value is missing in {counted(int(gaps.sum()), 'row')}, left out of sums."
            )
    if "user_id" in frame and frame["user_id"].dtype == object:
        nobody = np.array([_stands_for_nobody(one) for one in frame["user_id"]], np.bool_)
        what = "user_id holds a word that stands for nobody (such as null or unknown)"
        if asked.drop:
            left.add(what, nobody, "")
        elif nobody.any():
            notes.append(
                f"{opened.file.name}: {what} in {counted(int(nobody.sum()), 'row')}, which count as people. "
                "--on-invalid drop leaves them out."
            )
    key = {"users": "user_id", "items": "item_id"}.get(opened.table)
    if key is not None:
        again = frame[key].duplicated(keep=False if key == "user_id" else "first") & frame[key].notna()
        left.add(f"{key} is listed more than once", again.to_numpy(), f"Keep one row for each {key}.")
    return left.result(frame, notes)


def _stands_for_nobody(one: Any) -> bool:
    """Return whether a text is a placeholder; a whole number is not: many number their people from 0."""
    return isinstance(one, str) and not one.strip().isdigit() and is_placeholder(one)


def _reader(
    kind: str, file: Path, name: str, asked: Asked, as_text: bool
) -> Callable[[Any], tuple[pd.Series, np.ndarray]]:
    where = f"{file.name}: {name}"
    if kind in ("time", "since"):
        return lambda column: cells.instants(column, form=asked.time_format, timezone=asked.timezone, where=where)
    if kind == "id":
        return lambda column: cells.ids(column, as_text=as_text)
    if kind in ("number", "share"):
        read = cells.numbers if kind == "number" else cells.shares
        return lambda column: read(column, comma=asked.comma)
    return {"name": cells.texts, "zone": cells.zones, "flag": cells.flags}[kind]


def _a(kind: str, asked: Asked) -> str:
    if kind == "time":
        return "ISO 8601 times" if asked.time_format is None else f"times of --time-format {asked.time_format!r}"
    return {"number": "numbers", "share": "probabilities, nor true or false", "name": "texts"}.get(kind, "ids")


def _kind_of_flag(name: str, columns: Mapping[str, Any]) -> str:
    """Return "since" for ``consent_<channel>_at`` beside ``consent_<channel>``: the instant of that consent."""
    return "since" if name.endswith("_at") and name.removesuffix("_at") in columns else "flag"


def _no_instant(opened: Opened, name: str, odd: np.ndarray) -> list[str]:
    if not odd.any():
        return []
    n = counted(int(odd.sum()), "row")
    return [f"{opened.file.name}: {name} is no time in {n}: without one, consent overrides no unsubscription."]


def _no_consent(opened: Opened, name: str, odd: np.ndarray) -> list[str]:
    if not odd.any():
        return []
    n = counted(int(odd.sum()), "row")
    return [f"{opened.file.name}: {name} is neither true nor false in {n}: taken for false. Write true or false."]


@dataclass(slots=True)
class _LeftOut:
    """The rows that are left out so far: an error at the first one, unless they may be."""

    opened: Opened
    may: bool
    reasons: dict[str, int] = field(default_factory=dict)
    mask: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.mask = np.zeros(self.opened.n_rows, np.bool_)

    def add(self, reason: str, rows: np.ndarray, fix: str) -> None:
        if not rows.any():
            return
        if not self.may:
            all_of_them = len(rows) > 1 and bool(rows.all())  # then nothing would be left
            where = f"all {len(rows):,} rows" if all_of_them else name_rows(rows)
            leave = "" if all_of_them else "Or leave such rows out, counted: --on-invalid drop."
            raise SchemaError(" ".join(filter(None, [f"{self.opened.file.name}: {reason} in {where}.", fix, leave])))
        fresh = rows & ~self.mask
        if fresh.any():
            self.reasons[reason] = int(fresh.sum())
        self.mask |= rows

    def result(self, frame: pd.DataFrame, notes: Iterable[str]) -> Rows:
        kept = frame[~self.mask].reset_index(drop=True)
        rows = Rows(kept, self.opened.n_rows, self.reasons, tuple(notes))
        if self.opened.n_rows and not len(kept):
            raise EmptyError(f"{rows.account(self.opened.file.name)} Nothing is left: correct the file.")
        return rows
