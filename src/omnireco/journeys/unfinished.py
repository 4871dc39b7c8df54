"""What people began and did not finish: carts that were not bought, forms that were not sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from omnireco._core.checks import check_duration, check_instant, check_known
from omnireco._core.contract import says_the_line
from omnireco.data.dataset import dataset_of
from omnireco.data.events import require_events
from omnireco.data.frames.columns import instants_to_pandas
from omnireco.data.vocabulary import NONE

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["unfinished"]


@says_the_line("om.journeys.unfinished(data, at=now)")
def unfinished(
    data: Any,
    *,
    at: Any = None,
    begun: str = "add_to_cart",
    finished: str = "purchase",
    within: Any = "30D",
    idle: Any = "1h",
    missing: Literal["raise", "ignore"] = "raise",
) -> pd.DataFrame:
    """Return what people began and did not finish: carts that were not bought, forms that were not sent.

    Parameters
    ----------
    data : Dataset, EventLog or frame of events
    at : datetime, date or str, optional
        Now; later events are not looked at. The end of the data by default.
    begun, finished : str
        Types of event.
    within : str or timedelta
        Older beginnings are forgotten.
    idle : str or timedelta
        Those who touched the item so recently are still at it.
    missing : {"raise", "ignore"}
        Whether a log without any event of the type ``finished`` is an error, or one in which nothing was finished.

    Returns
    -------
    pandas.DataFrame
        ``user_id item_id channel begun_at last_at touches``, the latest first: where and when the item was last
        begun, when it was last touched by any event, and how often since.

    Raises
    ------
    ParameterError
        When the log has no event of the type ``begun``, or ``finished``.

    Notes
    -----
    One sort; an item finished at the same instant as it was begun is finished. Deterministic.

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
    check_known([begun], log.events.ids, "unfinished: begun", missing=None)
    check_known([finished], log.events.ids, "unfinished: finished", missing=missing)
    kinds = log.events.codes([begun, finished], missing="none")
    m = max(1, log.n_items)
    rows = np.flatnonzero((log.item != NONE) & (log.at < now))
    pair, place = np.unique(log.user[rows].astype(np.int64) * m + log.item[rows], return_inverse=True)
    never = np.iinfo(np.int64).min
    event, when = log.event[rows], np.take(log.at, rows)
    start, done, touched = (np.full(pair.size, never) for _ in range(3))
    for target, mask in ((start, event == kinds[0]), (done, event == kinds[1]), (touched, event >= 0)):
        np.maximum.at(target, place[mask], when[mask])
    where = np.full(pair.size, NONE)
    last_begun = np.flatnonzero((event == kinds[0]) & (when == start[place]))
    where[place[last_begun]] = log.channel[rows][last_begun]
    touches = np.bincount(place[when >= start[place]], minlength=pair.size)
    left = np.flatnonzero((start != never) & (start > done) & (start >= now - oldest) & (touched <= now - pause))
    left = left[np.lexsort([pair[left], -touched[left]])]
    return pd.DataFrame(
        {
            "user_id": log.users.decode(pair[left] // m),
            "item_id": log.items.decode(pair[left] % m),
            "channel": log.channels.decode(where[left]),
            "begun_at": instants_to_pandas(start[left]),
            "last_at": instants_to_pandas(touched[left]),
            "touches": touches[left],
        }
    )
