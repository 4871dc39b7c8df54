"""Export of plans to sending tools."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco._core.checks import check_choice, check_columns, check_instant, from_microseconds, shown
from omnireco._core.written import without_formulas, write_text
from omnireco.errors import ParameterError
from omnireco.planning.plan import Plan

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DECISION", "to_cloudevents", "to_crm_csv", "to_send_minutes"]

DECISION = "omnireco.decision.v1"
_MINUTE = "send_minute_"


def to_cloudevents(
    plan: Plan, path: str | os.PathLike[str] | None = None, *, source: str = "/omnireco", at: Any = None
) -> list[dict[str, Any]]:
    """Return a plan as CloudEvents of the type ``omnireco.decision.v1``, one per touch.

    Parameters
    ----------
    plan : Plan
        What will be sent.
    path : str or path, optional
        Also write them there, one JSON object per line.
    source : str
        The ``source`` of the envelopes: who decided.
    at : datetime, date or str, optional
        When it was decided: the envelopes' ``time``, which is left out where it is not given.

    Returns
    -------
    list of dict
        ``subject`` is the user id; ``data`` holds the columns of ``plan.to_frame()``. The ``id`` is a hash of what was
        decided, so writing a plan twice gives the same ids, and a queue that delivers twice can tell.

    Examples
    --------
    >>> import pandas as pd, omnireco as om
    >>> touches = om.planning.Candidates.from_frame(pd.DataFrame({
    ...     "user_id": ["ann"], "item_id": ["tea"], "channel": ["email"],
    ...     "send_at": pd.to_datetime(["2025-06-01 09:00"], utc=True), "value": [1.0]}))
    >>> event = om.adapters.to_cloudevents(om.plan(touches))[0]
    >>> event["type"], event["subject"], event["data"]["send_at"]
    ('omnireco.decision.v1', 'ann', '2025-06-01T09:00:00+00:00')
    """
    stamp = None if at is None else from_microseconds(check_instant(at, "at")).isoformat()
    events = []
    for row in _frame(plan, "to_cloudevents").to_dict("records"):
        data = {name: _plain(value) for name, value in row.items()}
        unique = "\0".join(str(data.get(name)) for name in ("user_id", "item_id", "channel", "send_at"))
        envelope = {
            "specversion": "1.0",
            "id": hashlib.sha256(f"{source}\0{unique}".encode()).hexdigest()[:32],
            "source": source,
            "type": DECISION,
            "subject": str(data["user_id"]),
            "datacontenttype": "application/json",
            "data": data,
        }
        events.append(envelope if stamp is None else envelope | {"time": stamp})
    if path is not None:
        lines = (json.dumps(event, ensure_ascii=False) + "\n" for event in events)
        _write(path, "".join(lines), "to_cloudevents")
    return events


def to_crm_csv(plan: Plan, path: str | os.PathLike[str], *, formulas: str = "escape") -> Path:
    r"""Write a plan as the CSV that campaign tools import: one row per touch, times spelled in ISO 8601.

    Columns ``user_id channel send_at send_at_local send_minute item_id`` and what else the plan holds; ``send_minute``
    counts the minutes since midnight on the person's wall clock, empty where their zone is unknown. UTF-8, RFC 4180.

    Parameters
    ----------
    plan : Plan
        What will be sent.
    path : str or path
        Written under a temporary name and renamed: a reader never sees half of it.
    formulas : {"escape", "keep"}
        A spreadsheet runs a text that begins with ``= + - @``, a tab or a line break as a formula, and takes the plus
        from ``+4915112345``. "escape" writes an apostrophe before such texts (an id, a name of a column), which a
        spreadsheet shows as a text. Numbers stay numbers. "keep" writes them as they are, for tools that look ids up.

    Returns
    -------
    Path

    Raises
    ------
    ParameterError
        When it is no plan, ``formulas`` is neither, or the file cannot be written.

    Notes
    -----
    Escaped ids come back by removing one apostrophe: ``ids.str.replace(r"^'(?=['\s]*[=+\-@\t\r\n])", "", regex=True)``.
    """
    check_choice(formulas, "formulas", ("escape", "keep"))
    frame = _frame(plan, "to_crm_csv")
    frame["send_minute"] = _minutes(frame)
    for name in ("send_at", "send_at_local"):
        frame[name] = [None if value != value else _plain(value) for value in frame[name]]
    first = ["user_id", "channel", "send_at", "send_at_local", "send_minute", "item_id"]
    frame = frame[[*first, *(name for name in frame if name not in first)]]
    frame = without_formulas(frame) if formulas == "escape" else frame
    return _write(path, frame.to_csv(index=False, lineterminator="\r\n"), "to_crm_csv")


def to_send_minutes(source: Any) -> pd.DataFrame:
    """Return each person's best minute of the day on each channel, as properties of the person.

    Campaign tools store a send time as minutes since local midnight per user and channel, so that a campaign made
    tomorrow can use it.

    Parameters
    ----------
    source : Plan or frame
        A plan; or what ``SendTimeModel.best`` returns, frames of several channels concatenated: ``user_id``,
        ``channel``, ``send_at_local`` and ``probability``.

    Returns
    -------
    pandas.DataFrame
        One row per person in the order of ids: ``user_id`` and an integer column ``send_minute_<channel>`` per channel,
        missing where nothing is known. Of several touches the most probable gives the minute, then the earliest.

    Examples
    --------
    >>> import pandas as pd, omnireco as om
    >>> best = pd.DataFrame({"user_id": ["ann", "ann", "bob"], "channel": ["email", "push", "email"],
    ...     "send_at_local": pd.to_datetime(["2025-06-01 18:40", "2025-06-01 08:00", "2025-06-02 07:15"]),
    ...     "probability": [0.2, 0.1, 0.3]})
    >>> om.adapters.to_send_minutes(best).values.tolist()
    [['ann', 1120, 480], ['bob', 435, <NA>]]
    """
    frame = _frame(source, "to_send_minutes") if isinstance(source, Plan) else source
    if not hasattr(frame, "columns"):
        raise ParameterError(f"to_send_minutes takes a Plan or a frame. Got {type(source).__name__}.")
    check_columns(frame.columns, ["user_id", "channel", "send_at_local"], "to_send_minutes")
    frame = frame.assign(minute=_minutes(frame))
    order = ["user_id", "channel", "send_at_local"]
    if "probability" in frame:
        frame = frame.assign(less=-frame["probability"].astype("float64"))
        order = ["user_id", "channel", "less", "send_at_local"]
    best = frame[frame["minute"].notna()].sort_values(order).drop_duplicates(["user_id", "channel"])
    wide = best.pivot_table(index="user_id", columns="channel", values="minute", aggfunc="first", observed=True)
    wide = wide.astype("Int64").add_prefix(_MINUTE)
    wide.columns.name = None
    return wide.reset_index()


def _frame(plan: Any, verb: str) -> pd.DataFrame:
    if not isinstance(plan, Plan):
        raise ParameterError(f"{verb} takes a Plan. Got {type(plan).__name__}: write om.plan(touches, constraints).")
    return plan.to_frame()


def _minutes(frame: pd.DataFrame) -> pd.Series:
    local = frame["send_at_local"]
    return (local.dt.hour * 60 + local.dt.minute).astype("Int64")


def _plain(value: Any) -> Any:
    """Return a cell as JSON holds it."""
    if value is None or value != value or type(value).__name__ in {"NaTType", "NAType"}:
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, np.generic):
        return value.item()
    return value


def _write(path: Any, text: str, where: str) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise ParameterError(f"path must be the path of a file, such as 'plan.csv'. Got {shown(path)}.")
    return write_text(Path(path), text, where)
