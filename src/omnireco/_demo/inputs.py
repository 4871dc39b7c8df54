"""What the demo works on: The Complete Journey, or a folder of the user's own files."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco.data.audience import Audience
from omnireco.data.catalog import Catalog
from omnireco.data.clock import is_zone
from omnireco.data.events import EventLog
from omnireco.data.messages import MessageLog
from omnireco.datasets import PROVENANCE, complete_journey
from omnireco.errors import OmnirecoError, ParameterError, SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Inputs", "read_folder", "read_journey"]

ENDINGS = (".parquet", ".csv", ".csv.gz")
NEEDED = {
    "events": ("user_id", "item_id", "channel", "event", "timestamp"),
    "messages": ("user_id", "channel", "sent_at", "responded_at"),
    "users": ("user_id", "timezone"),
    "items": ("item_id",),
}
TIMES = {"events": ("timestamp",), "messages": ("sent_at", "responded_at"), "users": (), "items": ()}

# Nobody is offered these by a demo that knows nobody's age or health.
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
    """Data and what must be said about it.

    Attributes
    ----------
    name : str
        What to call it in the report.
    log : EventLog
    timed : EventLog
        The part of the log whose hours are real.
    messages : MessageLog or None
        None also where the hours of sending are not known.
    audience : Audience or None
    catalog : Catalog or None
    caveats : tuple of str
        Sentences that belong beside every result.
    not_offered : str
        Items that are never recommended, in words; empty where everything may be.
    offered : bool array over ``log.items``, or None
    made_up : str
        What was invented for illustration, in words; empty where nothing was.
    """

    name: str
    log: EventLog
    timed: EventLog
    messages: MessageLog | None
    audience: Audience | None
    catalog: Catalog | None
    caveats: tuple[str, ...] = ()
    not_offered: str = ""
    offered: np.ndarray | None = None
    made_up: str = ""


def read_journey(*, seed: int) -> Inputs:
    """Return The Complete Journey, with assumed consents, and its caveats."""
    journey = complete_journey(level="product_type", assumed_consent={"email": 0.6, "push": 0.4}, seed=seed)
    return Inputs(
        "The Complete Journey: one year of a US grocer",
        journey.log,
        journey.log.select(channels=["store"]),
        None,
        journey.audience,
        journey.catalog,
        (
            PROVENANCE,
            "An item is a type of product, such as 'shredded cheese', not one product: 68,000 products are too "
            "many and too rarely bought to learn from 2,469 households.",
            "The file's clock is UTC and the stores' is America/New_York. Purchases carry a real hour; coupon "
            "redemptions and mailings carry a date only, so no hour was learned from them.",
            f"{len(journey.messages):,} mailed campaigns to {journey.messages.n_users:,} households are known, and "
            f"{int(journey.messages.responded.sum()):,} led to a redeemed coupon. They were paper mail, chosen by the "
            "retailer and not at random: they say nothing about e-mail or push, and nothing about cause.",
        ),
        "alcohol, tobacco, infant formula and some health products",
        _offered(journey.log, journey.catalog),
        "Consents are made up. The data has none, so this demo draws them at random: 60 % of households for e-mail, "
        "40 % for push. The two channels, the budget and the capacity of the plan are made up as well.",
    )


def _offered(log: EventLog, catalog: Catalog) -> np.ndarray:
    """Return which items of a log may be offered to anybody, bool (n_items,)."""
    items = catalog.to_frame().set_index("item_id")
    return ~items["category"].isin(NOT_OFFERED).reindex(log.items.ids, fill_value=False).to_numpy(dtype=np.bool_)


def read_folder(path: Path, *, timezone: str | None = None) -> Inputs:
    """Read ``events`` and, where they exist, ``messages``, ``users`` and ``items`` from a folder.

    Parameters
    ----------
    path : Path
        A folder, or the events file itself; files end in .parquet, .csv or .csv.gz.
    timezone : str, optional
        The IANA zone in which times without an offset are to be read.

    Raises
    ------
    ParameterError
        If the path or the events file does not exist, or the zone is not an IANA zone.
    SchemaError
        If a file cannot be read or lacks a column.
    """
    if timezone is not None and not is_zone(timezone):
        raise ParameterError(f"--timezone must be an IANA zone such as 'UTC' or 'Europe/Berlin'. Got {timezone!r}.")
    folder, files = _find(Path(path))
    events = _open(files["events"], "events", timezone)
    log = _door(files["events"], lambda: EventLog.from_frame(events, itemless="keep"))
    messages = audience = catalog = None
    if "messages" in files:
        frame = _open(files["messages"], "messages", timezone)
        messages = _door(files["messages"], lambda: MessageLog.from_frame(frame))
    if "users" in files:
        people = _open(files["users"], "users", timezone)
        audience = _door(files["users"], lambda: Audience.from_frame(people))
    if "items" in files:
        goods = _open(files["items"], "items", timezone)
        catalog = _door(files["items"], lambda: Catalog.from_frame(goods))
    made_up = (
        "What a message costs, the budget and the capacity of the plan are examples that this demo chose by the number "
        "of consents. Put your own into a script: om.plan(touches, constraints=[om.Budget(...), ...])."
    )
    name = f"Your data in {folder.name!r}"
    return Inputs(name, log, log, messages, audience, catalog, made_up="" if audience is None else made_up)


# files ----------------------------------------------------------------------------------------------


def _find(path: Path) -> tuple[Path, dict[str, Path]]:
    """Return the folder and the file of each table that is there."""
    if not path.exists():
        raise ParameterError(f"--data: there is no file or folder {str(path)!r}. Check the path.")
    folder = path if path.is_dir() else path.parent
    files = {name: _file(folder, name) for name in NEEDED}
    if path.is_file():
        files["events"] = path
    found = {name: file for name, file in files.items() if file is not None}
    if "events" not in found:
        present = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
        raise ParameterError(
            f"--data: no events file in {str(folder)!r}, which holds {present}. Put a file called "
            "events.parquet, events.csv or events.csv.gz there; `omnireco demo --help` lists its columns."
        )
    return folder, found


def _file(folder: Path, name: str) -> Path | None:
    return next((folder / (name + ending) for ending in ENDINGS if (folder / (name + ending)).is_file()), None)


def _open(file: Path, table: str, timezone: str | None) -> pd.DataFrame:
    """Read a file, check its columns, and give its times a zone."""
    import pandas as pd

    try:
        frame = pd.read_parquet(file) if file.suffix == ".parquet" else _read_csv(file)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SchemaError(f"{file.name} cannot be read: {reason}. Save it again as parquet or CSV.") from None
    _check_columns(file, frame.columns, NEEDED[table])
    for column in TIMES[table]:
        frame[column] = _instants(frame[column], file, column, timezone)
    return frame


def _read_csv(file: Path) -> pd.DataFrame:
    """Read a CSV so that integer ids with gaps (12.0 as some write them) stay integers; empty columns have no kind."""
    import pandas as pd

    frame = pd.read_csv(file, dtype_backend="numpy_nullable")
    for name in frame.columns[frame.isna().all()]:
        frame[name] = pd.Series(None, index=frame.index, dtype=object)
    for name in frame.columns[[str(kind) == "Float64" for kind in frame.dtypes]]:
        if str(name).endswith("_id") and bool((frame[name].dropna() % 1 == 0).all()):
            frame[name] = frame[name].astype("Int64")
    return frame


def _check_columns(file: Path, present: Iterable[Any], needed: Iterable[str]) -> None:
    names = [str(name) for name in present]
    missing = [name for name in needed if name not in names]
    if not missing:
        return
    near = {name: difflib.get_close_matches(name, names, n=1, cutoff=0.5) for name in missing}
    hints = [f"rename {found[0]!r} to {name!r} in the file" for name, found in near.items() if found]
    raise SchemaError(
        f"{file.name} needs the column{'s' if len(missing) > 1 else ''} {', '.join(map(repr, missing))}; it has "
        f"{', '.join(map(repr, names)) or 'no columns'}. {'; '.join(hints).capitalize() or 'Add it to the file'}. "
        "`omnireco demo --help` lists all columns."
    )


def _instants(column: pd.Series, file: Path, name: str, timezone: str | None) -> pd.Series:
    """Return times with a zone: their own offset, or the zone the user named; never a guess."""
    import pandas as pd

    if getattr(column.dtype, "tz", None) is not None:
        return column
    if column.isna().all():
        return pd.to_datetime(column, utc=True)
    if not pd.api.types.is_datetime64_dtype(column):
        text = column.astype("string")
        offset = text.str.contains(r"(?:Z|UTC|[+-]\d{2}:?\d{2})\s*$").astype("boolean")
        try:
            if bool(offset.all()):
                return pd.to_datetime(text, utc=True, format="ISO8601")
            if not bool(offset.any()):
                column = pd.to_datetime(text, format="ISO8601")
        except ValueError:
            raise SchemaError(
                f"{file.name}: {name} holds values that are no ISO 8601 times, such as 2025-06-01T12:00:00+02:00. "
                "Write them so."
            ) from None
        if bool(offset.any()):
            raise SchemaError(
                f"{file.name}: {name} has an offset in {int(offset.sum()):,} rows and none in "
                f"{int((~offset).sum()):,}. Write all of them with an offset, or none."
            )
    if timezone is None:
        raise SchemaError(
            f"{file.name}: {name} has no time zone, so its times name no instant. Say which clock it is: "
            "--timezone UTC, or --timezone Europe/Berlin for a local clock."
        )
    # An hour that a clock change repeats is read as its second, winter-time pass; one it skips moves forward.
    return column.dt.tz_localize(timezone, ambiguous=np.zeros(len(column), np.bool_), nonexistent="shift_forward")


def _door(file: Path, read: Any) -> Any:
    """Open a door, and name the file in its errors."""
    try:
        return read()
    except OmnirecoError as error:
        raise type(error)(f"{file.name}: {error}") from None
