"""What the demo works on: The Complete Journey, or a folder of the user's own files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from omnireco._core.checks import check_choice, check_known, from_microseconds, name_rows
from omnireco._core.units import DAY_US
from omnireco._demo import cells
from omnireco._demo.around import EMAIL, LAWS, PUSH, around
from omnireco._demo.files import is_text
from omnireco._demo.tables import COLUMNS, NEEDED, Asked, Opened, Rows, open_file, read_rows
from omnireco._demo.words import counted
from omnireco.data.audience import Audience
from omnireco.data.catalog import Catalog
from omnireco.data.clock import is_zone
from omnireco.data.dataset import Dataset
from omnireco.data.events import EventLog
from omnireco.data.frames.quality import QualityReport
from omnireco.data.frames.suspicion import late_outliers
from omnireco.data.messages import MessageLog
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import EmptyError, OmnirecoError, ParameterError, SchemaError
from omnireco.worlds.datasets import PROVENANCE, ZONE, complete_journey, share_on_promotion

__all__ = ["Inputs", "read_folder", "read_journey"]

ENDINGS = (".parquet", ".csv", ".csv.gz")
_1971_US = 365 * DAY_US
_Noun = TypeVar("_Noun")

# Never recommended: the demo knows nobody's age or health.
NOT_OFFERED = (
    "BEERS/ALES",
    "CIGARETTES",
    "CIGARS",
    "DIETARY AID PRODUCTS",
    "DOMESTIC WINE",
    "FAMILY PLANNING",
    "IMPORTED WINE",
    "INFANT FORMULA",
    "LAXATIVES",
    "LIQUOR",
    "MISC WINE",
    "TOBACCO OTHER",
)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Data, with its caveats.

    Attributes
    ----------
    name : str
        Its title in the report.
    log : EventLog
    timed : EventLog
        The part of the log whose hours are known.
    recorded : EventLog
        The part of the log that was recorded, not simulated: models are fitted and tested on it.
    messages : MessageLog or None
        None also where the hours of sending are not known.
    audience : Audience or None
    catalog : Catalog or None
    caveats : tuple of str
        Sentences that are shown beside every result.
    not_offered : str
        Items that are never recommended, in words; empty where everything may be.
    offered : bool array over ``log.items``, or None
    made_up : str
        What was invented for illustration, in words; empty where nothing was.
    simulated : str
        Which channels are simulated, and by which laws; empty where none is.
    promoted : mapping of str to float
        Share of the purchases made from a display or out of the mailer, where that is known.
    notes : tuple of str
        What became of the rows of the files: left out, not counted, not matched.
    """

    name: str
    log: EventLog
    timed: EventLog
    recorded: EventLog
    messages: MessageLog | None
    audience: Audience | None
    catalog: Catalog | None
    caveats: tuple[str, ...] = ()
    not_offered: str = ""
    offered: np.ndarray | None = None
    made_up: str = ""
    simulated: str = ""
    promoted: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def data(self) -> Dataset:
        """Return all of it, to be cut in time once."""
        return Dataset(self.log, messages=self.messages, audience=self.audience, catalog=self.catalog)

    @property
    def recorded_data(self) -> Dataset:
        """Return what people were recorded to choose, to be cut in time once."""
        return Dataset(self.recorded, audience=self.audience, catalog=self.catalog)


def read_journey(*, seed: int) -> Inputs:
    """Return The Complete Journey, with assumed consents, channels simulated around it, and its caveats."""
    journey = complete_journey(item_level="product_type", assumed_consent={EMAIL: 0.6, PUSH: 0.4}, seed=seed)
    log, messages = around(journey.log, journey.audience, zone=ZONE, seed=seed)
    return Inputs(
        "The Complete Journey: one year of a US grocer, with web, app, e-mail and push simulated around it",
        log,
        log.select(channels=[name for name in log.channels.ids if name != "coupon"]),
        journey.log,
        messages,
        journey.audience,
        journey.catalog,
        (
            LAWS,
            PROVENANCE,
            "An item is a type of product, such as 'shredded cheese', not one product: 68,000 products are too "
            "many and too rarely bought to learn from 2,469 households.",
            "The file's clock is UTC and the stores' is America/New_York. Purchases carry a real hour; coupon "
            "redemptions and mailings carry a date only, so no hour was learned from them.",
            f"{len(journey.messages):,} mailed campaigns to {journey.messages.n_users:,} households are known, and "
            f"{int(journey.messages.responded.sum()):,} led to a redeemed coupon. They were paper mail, chosen by the "
            "retailer and not at random: they allow no conclusion about e-mail or push, nor about causal effects.",
        ),
        "alcohol, tobacco, infant formula and some health products",
        _offered(journey.log, journey.catalog),
        "Consents are made up. The data has none, so this demo draws them at random: 60 % of households for e-mail, "
        "40 % for push. The budget and the capacity of the plan are made up as well.",
        LAWS,
        share_on_promotion(),
    )


def _offered(log: EventLog, catalog: Catalog) -> np.ndarray:
    """Return which items of a log may be offered to anybody, bool (n_items,)."""
    items = catalog.to_frame().set_index("item_id")
    return ~items["category"].isin(NOT_OFFERED).reindex(log.items.ids, fill_value=False).to_numpy(dtype=np.bool_)


def read_folder(
    path: Path,
    *,
    timezone: str | None = None,
    columns: Mapping[str, str] | None = None,
    constants: Mapping[str, str] | None = None,
    time_format: str | None = None,
    encoding: str | None = None,
    decimal: str = "point",
    on_invalid: str = "raise",
) -> Inputs:
    """Read ``events`` and, where they exist, ``messages``, ``users`` and ``items`` from a folder.

    Parameters
    ----------
    path : Path
        A folder, or the events file itself; files end in .parquet, .csv or .csv.gz.
    timezone : str, optional
        The IANA zone in which times without an offset are to be read. Times with an offset keep it.
    columns : mapping of str to str, optional
        Our name to the files'.
    constants : mapping of str to str, optional
        Columns of the events that are the same in every row, such as ``{"channel": "web"}``.
    time_format : str, optional
        A pattern of strptime, the unit of times counted since 1970: s, ms or us, or excel, the days of a spreadsheet.
        ISO 8601 by default.
    encoding : str, optional
        Of CSV files that are not UTF-8 and have no byte-order mark.
    decimal : {"point", "comma"}
        How numbers are written in CSV files.
    on_invalid : {"raise", "drop"}
        Whether a row that cannot be read is an error, or is left out and counted in ``notes``.

    Raises
    ------
    ParameterError
        If the path or the events file does not exist, the zone is not an IANA zone, or a column is not one of ours.
    SchemaError
        If a file cannot be read, lacks a column, or holds a row that cannot be read.
    EmptyError
        If no row of a file is left.

    Notes
    -----
    Everything in a CSV is text as it is written. Ids are whole numbers where every file of the folder stores them as
    such, which only parquet can; else they are texts in all files. An event with a negative value, or called return,
    refund, cancel or chargeback, is a return: it is left out of the matrix, and counted.
    """
    if timezone is not None and not is_zone(timezone):
        raise ParameterError(f"--timezone must be an IANA zone such as 'UTC' or 'Europe/Berlin'. Got {timezone!r}.")
    drop = check_choice(on_invalid, "--on-invalid", ("raise", "drop")) == "drop"
    comma = check_choice(decimal, "--decimal", ("point", "comma")) == "comma"
    asked = Asked(timezone, time_format, encoding, columns or {}, constants or {}, drop, comma)
    _check_names(asked)
    folder, files = _find(Path(path))
    opened = {name: open_file(file, name, asked) for name, file in files.items()}
    _check_used(asked, opened)
    as_text = _kinds(opened)
    read = {name: read_rows(one, asked, as_text) for name, one in opened.items()}
    read["events"] = _without_outliers(read["events"], files["events"], drop)
    log, taken_back = _without_returns(_build(files, "events", read, lambda f: EventLog.from_frame(f, itemless="keep")))
    messages = None
    if "messages" in read:
        how: Literal["raise", "drop"] = "drop" if drop else "raise"
        messages = _build(files, "messages", read, lambda f: MessageLog.from_frame(f, on_invalid=how))
    audience = _build(files, "users", read, Audience.from_frame) if "users" in read else None
    catalog = _build(files, "items", read, Catalog.from_frame) if "items" in read else None
    made_up = (
        "The cost of a message, the budget and the capacity of the plan are examples, set from the number "
        "of consents. Put your own into a script: om.plan(touches, constraints=[om.Budget(...), ...])."
    )
    notes = [note for name in read for note in (read[name].account(files[name].name), *read[name].notes) if note]
    notes += [*_not_read(folder, files), *taken_back, *_dates(log)]
    if messages is not None and messages.quality is not None and messages.quality.findings:
        notes.append(f"{files['messages'].name}: of the rows kept so far, {_dropped(messages.quality)}.")
    if audience is not None:
        notes += _matched("people", log.users, audience.users, files["users"])
    if catalog is not None:
        notes += _matched("items", log.items, catalog.items, files["items"])
    name = f"Your data in {folder.name!r}"
    made_up = "" if audience is None else made_up
    found = Inputs(name, log, log, log, messages, audience, catalog, made_up=made_up, notes=tuple(notes))
    _check_one_end(found, files)
    return found


# rules ----------------------------------------------------------------------------------------------


def _check_names(asked: Asked) -> None:
    """Refuse names that are none of our columns: they would be without effect."""
    known = dict.fromkeys(name for columns in COLUMNS.values() for name in columns)
    free = [name for name in asked.columns if not name.startswith(("consent_", "reachable_"))]
    check_known(free, known, "--columns maps our name to yours", missing=None)
    check_known(asked.constants, ("channel", "event", "store_id"), "--set", missing=None)


def _check_used(asked: Asked, opened: Mapping[str, Opened]) -> None:
    unused = [ours for ours in asked.columns if not any(ours in one.columns for one in opened.values())]
    if unused:
        unknown = ", ".join(f"{ours}={asked.columns[ours]}" for ours in unused)
        raise ParameterError(f"--columns {unknown}: no file has such a column. Write its name as in the file.")


def _kinds(opened: Mapping[str, Opened]) -> dict[str, bool]:
    """Return which ids are texts: all of them, unless every file that has them stores whole numbers."""
    names = dict.fromkeys(name for one in opened.values() for name, kind in COLUMNS[one.table].items() if kind == "id")
    stored = {name: [one for one in opened.values() if name in one.columns] for name in names}
    return {
        name: not all(not is_text(one.file) and cells.are_integers(one.columns[name]) for one in those)
        for name, those in stored.items()
    }


def _check_one_end(inputs: Inputs, files: Mapping[str, Path]) -> None:
    """Refuse messages that reach a day and more past the last event: what came back would not be in the events."""
    try:
        _ = inputs.data
    except ParameterError as error:
        late = 0 if inputs.messages is None else int((inputs.messages.sent_at >= inputs.log.end_us).sum())
        raise SchemaError(
            f"{files['messages'].name}: {counted(late, 'message')} reach past the last event, on "
            f"{inputs.log.end:%Y-%m-%d}. Export both files up to the same day, or leave later messages out."
        ) from error


def _without_outliers(rows: Rows, file: Path, drop: bool) -> Rows:
    """Leave out events with a wrong clock: a few that lie long after all others, or before 1971."""
    at = rows.frame["timestamp"].to_numpy(dtype="datetime64[us]").astype(np.int64)
    order = np.argsort(at, kind="stable")
    n_late, n_early = late_outliers(at[order]), int((at < _1971_US).sum())
    late, early = np.sort(order[at.size - n_late :]), np.sort(order[:n_early])
    if n_early == at.size or not n_late + n_early:
        return rows
    reasons = dict(rows.reasons)
    if n_late:
        last, first = from_microseconds(at[order[-n_late - 1]]), from_microseconds(at[order[-n_late]])
        gap = (first - last).days
        long = f"{gap // 365} years" if gap >= 730 else f"{gap} day{'' if gap == 1 else 's'}"
        reason = f"the time lies {long} or more after all others, which end on {last:%Y-%m-%d}: a clock in the future"
        _refuse_outliers(file, reason, late, drop)
        reasons[reason] = n_late
    if n_early:
        reason = "the time lies before 1971: an empty field, or a clock that was never set"
        _refuse_outliers(file, reason, early, drop)
        reasons[reason] = n_early
    kept = np.sort(order[n_early : at.size - n_late])
    return Rows(rows.frame.iloc[kept].reset_index(drop=True), rows.n_rows, reasons, rows.notes)


def _refuse_outliers(file: Path, reason: str, rows: np.ndarray, drop: bool) -> None:
    if not drop:
        raise SchemaError(
            f"{file.name}: {reason}, in {name_rows(rows)}. Correct the clock, or leave such rows out, counted: "
            "--on-invalid drop."
        )


def _without_returns(log: EventLog) -> tuple[EventLog, list[str]]:
    """Leave out returns, which are no sign of interest, and report how many there were."""
    report = log.check(sleepless=None)
    rows = report.rows(["return", "negative"])
    if not rows.size:
        return log, []
    if rows.size == len(log):
        raise EmptyError("events: every event has a negative value or is called a return. Is the sign of value right?")
    note = (
        f"{counted(rows.size, 'event')} of {len(log):,} are returns (a negative value, or called return, "
        "refund, cancel or chargeback): left out. The purchases before them still count."
    )
    return log.without(report, ["return", "negative"]), [note]


def _dates(log: EventLog) -> list[str]:
    n = int((~log.timed).sum())
    if not n:
        return []
    return [
        f"{counted(n, 'event')} of {len(log):,} carr{'ies' if n == 1 else 'y'} a date and no hour (midnight in every "
        "row of the kind): no hour is learned from them."
    ]


def _dropped(report: QualityReport) -> str:
    """Return the dropped rows of a report, in words."""
    why = "; ".join(f"{one.what} in {counted(one.n_rows, 'row')}" for one in report.findings)
    return f"{report.n_dropped:,} of {report.n_rows:,} left out: {why}"


def _matched(what: str, here: Vocabulary, there: Vocabulary, file: Path) -> list[str]:
    """Report how many of the people or items of the events another file has, where it is not all of them."""
    found = int(np.isin(here.ids, there.ids).sum())
    return [] if found == len(here) else [f"{found:,} of {len(here):,} {what} of the events are in {file.name}."]


# files ----------------------------------------------------------------------------------------------


def _find(path: Path) -> tuple[Path, dict[str, Path]]:
    """Return the folder and the file of each table that is there."""
    if not path.exists():
        raise ParameterError(f"--data: there is no file or folder {str(path)!r}. Check the path.")
    if not path.is_dir() and not path.is_file():
        raise ParameterError(
            f"--data: {str(path)!r} is neither a file nor a folder, but a device or a pipe. Save it first."
        )
    folder = path if path.is_dir() else path.parent
    files = {name: _file(folder, name) for name in NEEDED}
    if path.is_file():
        files["events"] = path
    found = {name: file for name, file in files.items() if file is not None}
    if "events" not in found:
        if (parts := folder / "events.parquet").is_dir():
            raise ParameterError(
                f"--data: {str(parts)!r} is a folder of part files. Write them as one file, or read them in a script: "
                "om.EventLog.scan(folder).log()."
            )
        present = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
        raise ParameterError(
            f"--data: no events file in {str(folder)!r}, which holds {present}. Put a file called "
            "events.parquet, events.csv or events.csv.gz there; `omnireco demo --help` lists its columns."
        )
    return folder, found


def _file(folder: Path, name: str) -> Path | None:
    return next((folder / (name + ending) for ending in ENDINGS if (folder / (name + ending)).is_file()), None)


def _not_read(folder: Path, files: Mapping[str, Path]) -> list[str]:
    """Name files that lie beside one of the same table and are not read."""
    others = [folder / (name + ending) for name in files for ending in ENDINGS]
    return [
        f"{other.name} was not read: {files[other.name.split('.')[0]].name} is there too."
        for other in others
        if other.is_file() and other not in files.values()
    ]


def _build(files: Mapping[str, Path], name: str, read: Mapping[str, Rows], build: Callable[[Any], _Noun]) -> _Noun:
    """Build a value from a file, and name the file in its errors."""
    try:
        return build(read[name].frame)
    except OmnirecoError as error:
        raise type(error)(f"{files[name].name}: {error}") from None
