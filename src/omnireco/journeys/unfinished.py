"""What people began and did not finish: carts that were not bought, films, forms that were not sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from omnireco._core.checks import (
    check_duration,
    check_instant,
    check_known,
    check_number,
    check_one_or_more,
    shown,
)
from omnireco._core.contract import says_the_line
from omnireco.data.dataset import dataset_of
from omnireco.data.events import EventLog, require_events
from omnireco.data.frames.columns import decode_optional, instants_to_pandas
from omnireco.data.vocabulary import NONE
from omnireco.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["unfinished"]

_NEVER = int(np.iinfo(np.int64).min)


@says_the_line("om.journeys.unfinished(data, at=now)")
def unfinished(
    data: Any,
    *,
    at: Any = None,
    begun: str | Iterable[str] = "add_to_cart",
    finished: str | Iterable[str] = "purchase",
    within: Any = "30D",
    idle: Any = "1h",
    position: str | Iterable[str] | None = None,
    between: tuple[float, float] | None = None,
    device: str | None = None,
    missing: Literal["raise", "ignore"] = "raise",
) -> pd.DataFrame:
    """Return what people began and did not finish: carts that were not bought, films, forms that were not sent.

    Parameters
    ----------
    data : Dataset, EventLog or frame of events
        Beginnings and ends, on all channels.
    at : datetime, date or str, optional
        Now; later events are not looked at. The end of the data by default.
    begun, finished : str or iterable of str
        Types of event, one or several: any of them begins, any of them finishes, on whichever channel.
    within : str or timedelta
        Older beginnings are forgotten.
    idle : str or timedelta
        Those who touched the item so recently are still at it.
    position : str or iterable of str, optional
        Types of event whose ``value`` says how far somebody got: seconds, pages, or a share of the whole.
    between : (float, float), optional
        Only those whose furthest position since the beginning lies in [low, high): ``(0.05, 0.9)`` of a film. Whoever
        has no position is left out.
    device : str, optional
        The label of the log that names the device (``EventLog.from_frame(frame, context=["device"])``).
    missing : {"raise", "ignore"}
        Whether a log without any event of a type of ``finished`` is an error, or one in which nothing was finished.

    Returns
    -------
    pandas.DataFrame
        ``user_id item_id channel begun_at last_at touches``, the latest first: where and when the item was last
        begun, when it was last touched by any event, and how often since. With ``position``: ``position`` (the last
        one) and ``progress`` (the furthest), NaN where there is none; with ``device``: ``device``, the last one that is
        known. This is what a message needs to resume it: ``candidates.with_columns(found[["user_id", "item_id",
        "position", "device"]])`` carries it into the plan.

    Raises
    ------
    ParameterError
        When the log has no event of a type of ``begun``, ``position`` or ``finished``, or no such label or values.

    Notes
    -----
    One sort; an item finished at the same instant as it was begun is finished. An event that finishes and names no item
    finishes all that the person has begun by then: in doubt nobody is reminded of what they have bought. Deterministic.

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> times = pd.to_datetime(["2025-05-01 10:00", "2025-05-01 10:05", "2025-05-01 10:09"], utc=True)
    >>> log = om.EventLog.from_frame(pd.DataFrame({"user_id": 1, "item_id": ["pan", "lid", "lid"], "channel": "web",
    ...     "event": ["add_to_cart", "add_to_cart", "purchase"], "timestamp": times}))
    >>> unfinished(om.Dataset(log), at="2025-05-02")["item_id"].tolist()
    ['pan']
    """
    import pandas as pd

    known = dataset_of(data, "unfinished", ("events",))
    log = known.part("events", "unfinished")
    require_events(log, "unfinished")
    now = known.end_us if at is None else check_instant(at, "at")
    oldest, pause = check_duration(within, "within"), check_duration(idle, "idle")
    begins, ends = check_one_or_more(begun, "begun"), check_one_or_more(finished, "finished")
    check_known(begins, log.events.ids, "unfinished: begun", missing=None)
    check_known(ends, log.events.ids, "unfinished: finished", missing=missing)
    steps = _steps(log, position, between, device)
    m = max(1, log.n_items)
    rows = np.flatnonzero((log.item != NONE) & (log.at < now))
    pair, place = np.unique(log.user[rows].astype(np.int64) * m + log.item[rows], return_inverse=True)
    event, when = log.event[rows], np.take(log.at, rows)
    is_start, is_end = (np.isin(event, log.events.codes(names, missing="none")) for names in (begins, ends))
    start, done, touched = (np.full(pair.size, _NEVER) for _ in range(3))
    for target, mask in ((start, is_start), (done, is_end), (touched, event >= 0)):
        np.maximum.at(target, place[mask], when[mask])
    done = np.maximum(done, _all_done(log, ends, now)[pair // m])
    where = np.full(pair.size, NONE)
    last_begun = np.flatnonzero(is_start & (when == start[place]))
    where[place[last_begun]] = log.channel[rows][last_begun]
    since = when >= start[place]
    touches = np.bincount(place[since], minlength=pair.size)
    more = _resume(log, rows, place, since, steps, device, pair.size)
    left = (start != _NEVER) & (start > done) & (start >= now - oldest) & (touched <= now - pause)
    if between is not None:
        furthest = more["progress"]
        left &= (furthest >= between[0]) & (furthest < between[1])
    keep = np.flatnonzero(left)
    keep = keep[np.lexsort([pair[keep], -touched[keep]])]
    found = pd.DataFrame(
        {
            "user_id": log.users.decode(pair[keep] // m),
            "item_id": log.items.decode(pair[keep] % m),
            "channel": log.channels.decode(where[keep]),
            "begun_at": instants_to_pandas(start[keep]),
            "last_at": instants_to_pandas(touched[keep]),
            "touches": touches[keep],
        }
    )
    for name in ("position", "progress"):
        if name in more:
            found[name] = more[name][keep]
    if device is not None:
        found["device"] = decode_optional(log.labels[device][0], more["device"][keep])
    return found


def _steps(log: EventLog, position: Any, between: Any, device: Any) -> tuple[str, ...]:
    """Return the types of event that say how far somebody got; refuse what the log does not have."""
    if device is not None:
        check_known([device], log.labels, "unfinished: device (a label of the log)", missing=None)
    if between is not None:
        pair = tuple(between) if isinstance(between, (tuple, list)) else ()
        if len(pair) != 2 or position is None:
            raise ParameterError(
                f"between must be two positions, and needs position=. Got {shown(between)}. Write position='watch', "
                "between=(0.05, 0.9)."
            )
        check_number(pair[1], "between[1]", above=check_number(pair[0], "between[0]"))
    if position is None:
        return ()
    names = check_one_or_more(position, "position")
    check_known(names, log.events.ids, "unfinished: position", missing=None)
    if log.value is None:
        raise ParameterError(
            "position names events whose value says how far somebody got, and no event of this log has a value. Give "
            "EventLog.from_frame the column value."
        )
    return names


def _all_done(log: EventLog, ends: tuple[str, ...], now: int) -> np.ndarray:
    """Return when each person last finished something that names no item, int64 (n_users,)."""
    done = np.full(log.n_users, _NEVER)
    ending = np.isin(log.event, log.events.codes(ends, missing="none"))
    rows = np.flatnonzero((log.item == NONE) & (log.at < now) & ending)
    np.maximum.at(done, log.user[rows], np.take(log.at, rows))
    return done


def _resume(
    log: EventLog,
    rows: np.ndarray,
    place: np.ndarray,
    since: np.ndarray,
    steps: tuple[str, ...],
    device: str | None,
    n: int,
) -> dict[str, np.ndarray]:
    """Return the last and the furthest position, and the last device, of each pair since it was begun."""
    found: dict[str, np.ndarray] = {}
    if steps and log.value is not None:
        value = log.value[rows]
        mine = np.flatnonzero(since & np.isin(log.event[rows], log.events.codes(steps)) & ~np.isnan(value))
        last, furthest = np.full(n, np.nan), np.full(n, -np.inf)
        last[place[mine]] = value[mine]  # a log is in the order of time: the last one stays
        np.maximum.at(furthest, place[mine], value[mine])
        found |= {"position": last, "progress": np.where(np.isneginf(furthest), np.nan, furthest)}
    if device is not None:
        code = log.labels[device][1][rows]
        mine = np.flatnonzero(since & (code >= 0))
        held = np.full(n, NONE, np.int32)
        held[place[mine]] = code[mine]
        found["device"] = held
    return found
