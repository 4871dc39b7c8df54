"""Funnels with steps on different channels: how far people get, how long it takes, and where they are stuck now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_duration, check_instant, check_integer, check_known, count_of, shown
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts
from omnireco._core.small import Whole
from omnireco._core.units import HOUR_US
from omnireco._kernels.disclosure import hidden_groups
from omnireco._kernels.log.order import distinct
from omnireco.data.dataset import dataset_of
from omnireco.data.events import EventLog, require_events
from omnireco.data.frames.columns import instants_to_pandas
from omnireco.data.parts import Frame
from omnireco.data.vocabulary import NONE
from omnireco.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Funnel", "funnel"]

_LINE = "om.journeys.funnel(data, {'saw it': 'view', 'bought it in the shop': ('purchase', 'store')})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Funnel:
    """How far people get through steps on any channels; made by :func:`funnel`.

    Attributes
    ----------
    table : pandas.DataFrame
        A row per step: ``step``, ``people`` and ``attempts`` that reached it, ``share`` of the attempts that reached
        the step before with its 95 % interval ``low high``, ``share_of_start``, ``median_hours`` since the step
        before, ``stuck`` (people who are there now and still have time), ``lost`` (attempts whose time ran out there).
        NaN where fewer than ``k`` people are behind a number, or where one of these would follow from others.
    channels : pandas.DataFrame
        ``step channel attempts share median_hours``: on which channel each step was reached; cells of fewer than ``k``
        people are left out.
    waiting : pandas.DataFrame
        Who is stuck now: ``user_id step channel since_at hours``, those who wait longest first. For reminders
        (:func:`nudges`), not for a report.
    k : int
        Smallest number of people behind a number that is shown.
    """

    table: pd.DataFrame
    channels: pd.DataFrame
    waiting: pd.DataFrame
    k: int

    parts: ClassVar[Parts] = {
        "table": Frame(("step",), ("share", "low", "high", "share_of_start", "median_hours")),
        "channels": Frame(("step", "channel"), ("share", "median_hours")),
        "waiting": Frame(("step", "channel"), ("hours",), ("user_id",)),
        "k": Whole(1),
    }

    def __repr__(self) -> str:
        ends = self.table["share_of_start"].iloc[-1]
        share = "too few people" if np.isnan(ends) else f"{100 * ends:.1f} % reach the end"
        few = 0 < len(self.waiting) < self.k
        waiting = f"fewer than {self.k} people" if few else count_of(len(self.waiting), "person", "people")
        return f"Funnel({count_of(len(self.table), 'step')}, {share}, {waiting} waiting)"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return the table of steps."""
        return self.table.copy()


@says_the_line(_LINE)
def funnel(
    data: Any, steps: Mapping[str, Any], *, within: Any = "30D", at: Any = None, same_item: bool = False, k: int = 5
) -> Funnel:
    """Return how far people get through steps that may lie on different channels.

    Somebody reads an e-mail, looks at a shoe in the app, reserves it on the website and buys it in the shop. Each
    channel alone sees a visitor who left.

    Parameters
    ----------
    data : Dataset, EventLog or frame of events
        The events of everybody on all channels.
    steps : mapping of str to (str or tuple of (event, channel))
        The steps in order, by name: a type of event on any channel, or on one channel; a list of these is any of them.
    within : str or timedelta
        An attempt must reach its last step so soon after its first.
    at : datetime, date or str, optional
        Now; later events are not looked at. The end of the data by default.
    same_item : bool
        Whether an attempt is about one item.
    k : int
        Numbers with fewer people behind them are left out.

    Returns
    -------
    Funnel

    Raises
    ------
    ParameterError
        When there are fewer than two steps, or one names an event or channel that the data does not have.

    Notes
    -----
    An attempt begins with the first event of the first step that belongs to no earlier attempt, and takes for each step
    the first such event after that of the step before. The next attempt can begin once the last step is reached, or the
    time ran out. Attempts that still have time count where they are (``stuck``) and are left out of shares from there
    on, as they may still get further. Intervals are clustered by person. Deterministic; O(events log events).

    Examples
    --------
    >>> import omnireco as om
    >>> data = om.simulate(n_users=200, n_items=20, days=60, seed=1).dataset()
    >>> found = funnel(data, {"looked": "view", "put in the cart": "add_to_cart", "bought": "purchase"})
    >>> found.table["step"].tolist(), bool((found.table["share"] <= 1).all())
    (['looked', 'put in the cart', 'bought'], True)
    """
    known = dataset_of(data, "funnel", ("events",))
    log = known.part("events", "funnel")
    require_events(log, "funnel")
    span, k = check_duration(within, "within"), check_integer(k, "k", low=1)
    now = known.end_us if at is None else check_instant(at, "at")
    if not isinstance(same_item, (bool, np.bool_)):
        raise ParameterError(f"same_item must be True or False. Got {shown(same_item)}.")
    names, masks = _steps(log, steps)
    seen = log.at < now
    key = log.user.astype(np.int64)
    if same_item:
        seen = seen & (log.item != NONE)
        key = key * max(1, log.n_items) + log.item
    owner, reached = _attempts(log, [mask & seen for mask in masks], key, span)
    return _funnel(log, names, owner, reached, now, span, k)


def _steps(log: EventLog, steps: Any) -> tuple[list[str], list[np.ndarray]]:
    """Return the names of the steps and which events each is, bool (n_events,)."""
    if not isinstance(steps, Mapping) or len(steps) < 2 or not all(isinstance(name, str) for name in steps):
        raise ParameterError(
            f"funnel: steps must be a mapping with two names or more. Got {shown(steps)}. Write "
            f"steps={{'looked': 'view', "
            "'bought in the shop': ('purchase', 'store')}."
        )
    return list(steps), [_events_of(log, name, what) for name, what in steps.items()]


def _events_of(log: EventLog, name: str, what: Any) -> np.ndarray:
    if isinstance(what, list) and what:
        return np.asarray(np.any([_events_of(log, name, one) for one in what], axis=0))
    event, channel = (
        (what, None) if isinstance(what, str) else what if isinstance(what, tuple) and len(what) == 2 else (None, 0)
    )
    if not isinstance(event, str) or not (channel is None or isinstance(channel, str)):
        raise ParameterError(
            f"funnel: the step {name!r} must be an event, a pair (event, channel), or a list of these. Got "
            f"{shown(what)}. "
            "Write 'view' or ('view', 'app')."
        )
    check_known([event], log.events.ids, f"funnel: the event of {name!r}", missing=None)
    mask = log.event == log.events.codes([event])[0]
    if channel is not None:
        check_known([channel], log.channels.ids, f"funnel: the channel of {name!r}", missing=None)
        mask = mask & (log.channel == log.channels.codes([channel])[0])
    return np.asarray(mask)


def _attempts(log: EventLog, masks: list[np.ndarray], key: np.ndarray, span: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the key of each attempt and the row of the event that reached each step (-1: none), (n, n_steps)."""
    n, when = len(log) + 1, log.at
    rows = [np.flatnonzero(mask) for mask in masks]
    ordered = [np.sort(key[row] * n + row) for row in rows]  # rows are in order of time
    owners = distinct(key[rows[0]])
    cursor = np.zeros(owners.size, np.int64)
    found_key, found = [np.empty(0, np.int64)], [np.empty((0, len(masks)), np.int64)]
    while owners.size:
        first = _next(ordered[0], owners, cursor, n)
        some = first != NONE
        owners, first = owners[some], first[some]
        if not owners.size:
            break
        reached = np.full((owners.size, len(masks)), NONE, np.int64)
        reached[:, 0] = first
        last = when[first] + span
        for step in range(1, len(masks)):
            before = reached[:, step - 1]
            row = _next(ordered[step], owners, before + 1, n)
            inside = (before != NONE) & (row != NONE) & (when[row] <= last)
            reached[:, step] = np.where(inside, row, NONE)
        found_key.append(owners)
        found.append(reached)
        # the next attempt begins after the last step, or when the time of this one is over
        over = np.searchsorted(when, last, side="right")
        cursor = np.where(reached[:, -1] != NONE, reached[:, -1] + 1, over)
    return np.concatenate(found_key), np.concatenate(found)


def _next(ordered: np.ndarray, owners: np.ndarray, cursor: np.ndarray, n: int) -> np.ndarray:
    """Return each owner's first row from the cursor on, or -1."""
    if not ordered.size:
        return np.full(owners.size, NONE, np.int64)
    place = np.searchsorted(ordered, owners * n + np.maximum(cursor, 0))
    value = ordered[np.minimum(place, ordered.size - 1)]
    return np.where((place < ordered.size) & (value // n == owners), value % n, NONE)


def _funnel(
    log: EventLog, names: list[str], owner: np.ndarray, reached: np.ndarray, now: int, span: int, k: int
) -> Funnel:
    import pandas as pd

    when, steps = log.at, len(names)
    user = log.user[reached[:, 0]] if len(reached) else np.empty(0, np.int32)
    start = when[reached[:, 0]] if len(reached) else np.empty(0, np.int64)
    depth = (reached != NONE).sum(axis=1) - 1
    open_ = (start + span > now) & (depth < steps - 1)
    told = _told(user.astype(np.int64), depth, open_, steps, k)
    rows, channels = [], []
    for step, name in enumerate(names):
        here = depth >= step
        hours = np.full(int(here.sum()), np.nan)
        share, low, high = 1.0 if told.reach[step] else np.nan, np.nan, np.nan
        if step:
            hours = (when[reached[here, step]] - when[reached[here, step - 1]]) / HOUR_US
            decided = (depth >= step - 1) & ~(open_ & (depth == step - 1))
            share, low, high = _share(user[decided], here[decided]) if told.share(step) else (np.nan,) * 3
        begun = ~open_ | here
        ends_here = depth == step
        rows.append(
            {
                "step": name,
                "people": distinct(user[here]).size if told.people[step] else np.nan,
                "attempts": int(here.sum()) if told.reach[step] else np.nan,
                "share": share,
                "low": low,
                "high": high,
                "share_of_start": here.sum() / begun.sum() if told.of_start(step) and begun.any() else np.nan,
                "median_hours": float(np.median(hours)) if told.reach[step] and step and hours.size else np.nan,
                "stuck": distinct(user[open_ & ends_here]).size if told.stuck[step] else np.nan,
                "lost": int((~open_ & ends_here).sum()) if told.lost[step] and step < steps - 1 else np.nan,
            }
        )
        if step == steps - 1:
            rows[-1]["lost"] = 0.0
        cell = log.channel[reached[here, step]].astype(np.int64)
        few = hidden_groups(cell, user[here].astype(np.int64), len(log.channels), k)
        for code, channel in enumerate(log.channels.ids if told.reach[step] else ()):
            mine = np.zeros(here.size, np.bool_)
            mine[here] = cell == code
            if mine.any() and not few[code]:
                took = (when[reached[mine, step]] - when[reached[mine, step - 1]]) / HOUR_US if step else np.empty(0)
                middle = float(np.median(took)) if took.size else np.nan
                channels.append((name, channel, int(mine.sum()), mine.sum() / here.sum(), middle))
    waiting = np.flatnonzero(open_)
    last = reached[waiting, depth[waiting]]
    since = when[last] if waiting.size else np.empty(0, np.int64)
    order = np.lexsort([user[waiting], since])
    counts = dict.fromkeys(("people", "attempts", "stuck", "lost"), np.float64)
    return Funnel(
        pd.DataFrame(rows).astype(counts | {"median_hours": np.float64}),
        pd.DataFrame(channels, columns=["step", "channel", "attempts", "share", "median_hours"]).astype(
            {"step": object, "channel": object, "attempts": np.int64, "share": np.float64, "median_hours": np.float64}
        ),
        pd.DataFrame(
            {
                "user_id": log.users.decode(user[waiting][order]),
                "step": np.array(names, object)[depth[waiting][order]],
                "channel": log.channels.decode(log.channel[last][order]),
                "since_at": instants_to_pandas(since[order]),
                "hours": (now - since[order]) / HOUR_US,
            }
        ),
        k,
    )


class _Told(NamedTuple):
    """Which numbers of a funnel are about enough people: of each step, bool (n_steps,)."""

    people: np.ndarray
    reach: np.ndarray
    stuck: np.ndarray
    lost: np.ndarray

    def share(self, step: int) -> bool:
        """Whether the share of those before, with what it tells of the lost and the stuck, may be shown."""
        return bool(self.reach[step] and self.reach[step - 1] and self.stuck[step - 1] and self.lost[step - 1])

    def of_start(self, step: int) -> bool:
        """Whether the share of all attempts may be shown, from which the stuck before it follow."""
        return bool(self.reach[step] and self.reach[0] and self.stuck[:step].all())


def _told(user: np.ndarray, depth: np.ndarray, open_: np.ndarray, steps: int, k: int) -> _Told:
    """Return which numbers to show, so that none is about few people, nor the difference of any two.

    What lies between two steps that are shown are the attempts, and the people, that ended there: nobody, or at least
    ``k`` people. Of those that ended there, stuck and lost are shown where both are nobody or as many.
    """
    furthest = np.full(int(user.max(initial=-1)) + 1, -1, np.int64)
    np.maximum.at(furthest, user, depth)
    everybody = np.flatnonzero(furthest >= 0)
    by_people = _runs(everybody, furthest[everybody], steps, k)
    runs = _runs(user, depth, steps, k)
    enough = not 0 < everybody.size < k
    people, reach = (np.isin(np.arange(steps), [run[0] for run in one]) & enough for one in (by_people, runs))
    stuck, lost = np.ones(steps, np.bool_), np.ones(steps, np.bool_)
    for run in runs:
        inside = np.flatnonzero(np.isin(depth, run))
        few = hidden_groups(depth[inside] * 2 + open_[inside], user[inside], 2 * steps, k).reshape(steps, 2)
        lost &= ~few[:, 0]
        stuck &= ~few[:, 1]
    return _Told(people, reach, stuck, lost)


def _runs(user: np.ndarray, depth: np.ndarray, steps: int, k: int) -> list[list[int]]:
    """Return neighbouring steps in runs of which at least ``k`` people, or nobody, ended inside each."""
    pairs = distinct(user * steps + depth)
    runs = [[step] for step in range(steps)]
    while len(runs) > 1:
        sizes = [distinct(pairs[np.isin(pairs % steps, run)] // steps).size for run in runs]
        small = [at for at, size in enumerate(sizes) if 0 < size < k]
        if not small:
            break
        at = small[0]
        other = at + 1 if at == 0 or (at + 1 < len(runs) and sizes[at + 1] <= sizes[at - 1]) else at - 1
        at, other = sorted((at, other))
        runs[at : other + 1] = [runs[at] + runs[other]]
    return runs


def _share(user: np.ndarray, reached: np.ndarray) -> tuple[float, float, float]:
    """Return a share of attempts with a 95 % interval, clustered by person."""
    if not reached.size:
        return float("nan"), float("nan"), float("nan")
    share = float(reached.mean())
    people, code = np.unique(user, return_inverse=True)
    residual = np.bincount(code, weights=reached - share, minlength=people.size)
    m = people.size
    error = np.sqrt((residual**2).sum() * m / max(1, m - 1)) / reached.size
    z2 = 1.96**2 / m
    if not error:  # all or none: as Wilson's for people
        return share, max(0.0, share - z2 / (1 + z2)), min(1.0, share + z2 / (1 + z2))
    return share, max(0.0, share - 1.96 * error), min(1.0, share + 1.96 * error)
