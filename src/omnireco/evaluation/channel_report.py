"""How people use channels: who is where, who crosses, which journeys are completed, and when."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.checks import check_duration, check_flag, check_integer, check_known, check_names, count_of
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import html_table
from omnireco._core.parts import Parts
from omnireco._core.small import Whole
from omnireco._kernels.disclosure import hidden_cells
from omnireco._kernels.log.order import distinct
from omnireco.data.dataset import dataset_of
from omnireco.data.events import EventLog, require_events
from omnireco.data.frames.columns import instants_to_pandas, open_frame
from omnireco.data.parts import Frame
from omnireco.data.vocabulary import NONE, match
from omnireco.errors import DataWarning, ParameterError, SchemaError
from omnireco.evaluation.channel_journeys import crossings, few_hidden, hidden, journeys, times_between, walk

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RARE", "SEVERAL", "UNKNOWN", "ChannelReport", "channel_report"]

SEVERAL = "(several)"
"""What tables call the people seen on more than one channel."""

RARE = "(rare combinations)"
"""What tables call the combinations of channels that too few people have, together."""

UNKNOWN = "(unknown)"
"""What tables call the people who are in no segment."""

_Z = 1.959963984540054  # 97.5 % of the normal distribution
_MOST_PERIODS = 10_000
_MOST_CELLS = 2_000_000
_MOST_CHANNELS = 62  # one bit of an int64 per channel
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ChannelReport:
    """Tables about channels; made by :func:`channel_report`.

    Parameters
    ----------
    channels : pandas.DataFrame
        Per channel: ``people``, ``only_here`` (seen nowhere else), ``events``, ``completions``, ``value`` (of these),
        and their shares. Shares of people add up to more than 1 where people cross. The last row are the people on
        several channels.
    combinations : pandas.DataFrame
        The same per combination of channels, the commonest first; shares add up to 1.
    journeys : pandas.DataFrame
        Per channel on which journeys start: how many ``journeys``, how many are ``completed``, ``rate`` with a 95 %
        interval ``low`` to ``high``, how many are completed ``elsewhere`` (on another channel), and the median hours
        from the first touch to completion.
    crossings : pandas.DataFrame
        Per pair ``started_on``, ``completed_on``: journeys, their share of the journeys started there, median hours.
    times : pandas.DataFrame
        Time between channels: per ``from`` and ``to`` channel, how often the next thing a person did was on the other
        channel, how many ``people`` did so, and the hours between: quartiles.
    over_time : pandas.DataFrame
        Per period and channel: people, their share of the period's people, events, completions, value. ``whole`` is
        False for a last period that the log does not cover.
    segments : pandas.DataFrame
        The same per segment; empty where no segments were given.
    segments_over_time : pandas.DataFrame
        The same per period and segment: how expectations change, and for whom.
    n_people : int
        People in the report, each counted once.
    undecided : int
        Journeys left out because the log ends within the window after their last touch.
    unprompted : int
        Completions that no journey led to.
    k : int
        Smallest number of people behind a number that is shown: others are NaN, and so are those from which, with a
        total, a hidden one would follow.
    """

    channels: pd.DataFrame
    combinations: pd.DataFrame
    journeys: pd.DataFrame
    crossings: pd.DataFrame
    times: pd.DataFrame
    over_time: pd.DataFrame
    segments: pd.DataFrame
    segments_over_time: pd.DataFrame
    n_people: int
    undecided: int
    unprompted: int
    k: int = 5

    parts: ClassVar[Parts] = {
        **{
            name: Frame()
            for name in (
                *("channels", "combinations", "journeys", "crossings", "times", "over_time", "segments"),
                "segments_over_time",
            )
        },
        **{name: Whole() for name in ("n_people", "undecided", "unprompted", "k")},
    }

    def __repr__(self) -> str:
        several = float(self.channels["people"].iloc[-1]) / max(1, self.n_people)
        begun, done = float(self.journeys["journeys"].sum()), float(self.journeys["completed"].sum())
        elsewhere = float(self.journeys["elsewhere"].sum()) / max(1, done)
        crossing = "few" if np.isnan(several) else f"{several:.0%}"
        if self.journeys[["journeys", "completed", "elsewhere"]].isna().to_numpy().any():
            walked = f"journeys of fewer than {self.k} people hidden"
        else:
            walked = (
                f"{count_of(int(begun), 'journey')}, {done / max(1, begun):.0%} completed, {elsewhere:.0%} of these "
                "elsewhere"
            )
        return (
            f"ChannelReport({count_of(len(self.channels) - 1, 'channel')}, "
            f"{count_of(self.n_people, 'person', 'people')}, {crossing} on several; {walked})"
        )

    def _repr_html_(self) -> str:
        parts = [("Channels", self.channels), ("Combinations", self.combinations), ("Journeys", self.journeys)]
        parts += [("Crossings", self.crossings), ("Hours between channels", self.times)]
        tables = "".join(f"<h4>{name}</h4>{html_table(table)}" for name, table in parts)
        return f"<p>{escape(repr(self))}</p>{tables}"


@says_the_line("om.evaluation.channel_report(data, completes='purchase', window='7D')")
def channel_report(
    data: Any,
    *,
    completes: str | Iterable[str] = "purchase",
    starts: Iterable[str] | None = None,
    window: Any = "7D",
    same_item: bool = True,
    every: Any = "28D",
    segments: Any = None,
    k: int = 5,
) -> ChannelReport:
    """Describe how people use channels, alone and together.

    Reach, overlap, conversion and journeys per channel: who uses which, whether what is viewed on one is bought on
    another, and how long that takes.

    Parameters
    ----------
    data : Dataset, EventLog or frame
        Its events, of people and not of ids: give ``om.Dataset(log, identities=...)``, or every cookie is a person on
        one channel.
    completes : str or iterable of str
        The events that complete a journey; ``value`` is theirs.
    starts : iterable of str, optional
        The events that begin or continue one; every other event about an item by default.
    window : str or timedelta
        A journey goes on while one touch follows another within this long, and is completed by a completing event
        within this long after the last. Then the next begins.
    same_item : bool
        Whether a journey is about one item. False: any completing event completes it, as where the shop and the website
        know different ids.
    every : str or timedelta
        Length of the periods of ``over_time``.
    segments : frame, optional
        Columns ``user_id`` and ``segment`` (a string), one row per person.
    k : int
        Smallest number of people behind a number that is shown. 1 shows all: for yourself only.

    Returns
    -------
    ChannelReport

    Raises
    ------
    ParameterError, SchemaError, EmptyError
        When the log is empty, has no such event, or more than 62 channels; when a person has two segments.

    Notes
    -----
    A journey whose last touch lies within ``window`` of the log's end is left out, completed or not: the log cannot
    know yet, and counting only the quick ones would flatter. Intervals treat people, not journeys, as independent: the
    variance of the ratio sum(completed) / sum(started) over people, linearised (Cochran 1977, "Sampling Techniques",
    section 6.4). Descriptions, not causes: who crosses channels buys more, and may have bought as much without.
    Cost: a few sorts of the events.

    Examples
    --------
    >>> import omnireco as om
    >>> data = om.simulate(n_users=80, n_items=20, days=60, seed=1).dataset()
    >>> report = channel_report(data, window="14D")
    >>> float(report.combinations["share_of_people"].sum().round(6))
    1.0
    """
    log = dataset_of(data, "channel_report", ("events",)).part("events", "channel_report")
    require_events(log, "channel_report")
    span, period = check_duration(window, "window"), check_duration(every, "every")
    check_flag(same_item, "same_item")
    if len(log.channels) > _MOST_CHANNELS:
        raise ParameterError(
            f"channel_report: {len(log.channels)} channels are more than {_MOST_CHANNELS}. Are they campaigns? Select "
            "some: log.select(channels=[...])."
        )
    if taken := [name for name in (SEVERAL, RARE) if name in log.channels.ids.tolist()]:
        raise ParameterError(
            f"channel_report: a channel is called {taken[0]!r}, as a line of this report is. Rename it: "
            f"frame['channel'].replace({{{taken[0]!r}: 'several'}})."
        )
    ends = _events(
        log, (completes,) if isinstance(completes, str) else check_names(completes, "completes"), "completes"
    )
    begins = ~ends if starts is None else _events(log, check_names(starts, "starts"), "starts") & ~ends
    done = ends[log.event]
    worth = _worth(log, done)
    walked = walk(log, begins[log.event], done, span, same_item)
    check_integer(k, "k", low=1)
    parts = _split_people(log, segments)
    report = ChannelReport(
        channels=_channels(log, done, worth, k),
        combinations=_combinations(log, done, worth, k),
        journeys=journeys(log, walked, k),
        crossings=crossings(log, walked, k),
        times=few_hidden(times_between(log), k, ("from", "to")),
        over_time=_over_time(log, done, worth, period, k),
        segments=_segments(log, done, worth, parts, k),
        segments_over_time=_segments_over_time(log, done, worth, parts, period, k),
        n_people=log.n_users,
        undecided=walked.undecided,
        unprompted=walked.unprompted,
        k=k,
    )
    _log.info("described %r", report)
    return report


def _events(log: EventLog, names: tuple[str, ...], what: str) -> np.ndarray:
    """Return which event types are meant, bool of shape (n_event_types,)."""
    if not names:
        raise ParameterError(f"channel_report: {what} is empty. Write {what}=[{log.events.ids[0]!r}].")
    wanted = check_known(names, log.events.ids, f"channel_report: {what}", missing=None)
    return np.isin(np.arange(len(log.events)), log.events.codes(wanted))


# ---- people, events and value ---------------------------------------------------------------------------------


def _worth(log: EventLog, done: np.ndarray) -> np.ndarray:
    """Return what each event adds to sums of value; one whose value is missing adds nothing, and is counted aloud."""
    if log.value is None:
        return np.zeros(len(log))
    worth = np.where(done, log.value, 0.0)
    if lost := int(np.isnan(worth).sum()):
        warnings.warn(
            f"channel_report: value is missing in {lost:,} of {count_of(int(done.sum()), 'completed event')}. They "
            "count, and add nothing to sums of value: those are too low.",
            DataWarning,
            stacklevel=4,
        )
    return np.nan_to_num(worth)


def _presence(log: EventLog) -> np.ndarray:
    """Return who was seen where, bool of shape (n_users, n_channels)."""
    seen = np.zeros((log.n_users, len(log.channels)), np.bool_)
    seen[log.user, log.channel] = True
    return seen


def _of_groups(
    table: pd.DataFrame, k: int, sizes: tuple[int, ...], axes: tuple[int, ...], keep: tuple[str, ...]
) -> Any:
    """Return a table of groups x (channels, several) without what few people stand behind, or what totals would tell.

    Events of the channels add up over the ``axes`` of groups to numbers shown elsewhere; so do those of people on
    several channels, as they are counted.
    """
    people = table["people"].to_numpy().reshape(*sizes, -1)
    return hidden(table, hidden_cells(people, k, axes).ravel(), keep)


def _channels(log: EventLog, done: np.ndarray, worth: np.ndarray, k: int) -> pd.DataFrame:
    seen = _presence(log)
    table = _grouped(log, np.zeros(len(log), np.int64), 1, done, worth).drop(columns="group")
    alone = (seen & (seen.sum(axis=1) == 1)[:, None]).sum(axis=0)
    table.insert(2, "only_here", [*alone.tolist(), 0])
    table = _shares(table, log.n_users, len(log), done.sum(), worth.sum())
    # Events of the channels add up to all of them; those of the several do not add to these.
    people = table["people"].to_numpy()
    hide = np.append(hidden_cells(people[:-1], k, (0,)), hidden_cells(people[-1:], k))
    across = people[:-1] - alone  # on this channel and elsewhere too
    kinds, _, rare = _kinds(log, k)  # one channel alone is a combination too
    told = np.isin(np.int64(1) << np.arange(alone.size, dtype=np.int64), kinds[rare])
    few = (hidden_cells(alone, k, (0,)) | hidden_cells(across, k) | told) & ~hide[:-1]
    if few.any():
        table["only_here"] = table["only_here"].astype(np.float64).mask(np.append(few, False))
    return hidden(table, hide, ("channel",))


def _kinds(log: EventLog, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the combinations of channels as bits, each person's, and which are merged because they are rare.

    People per channel are known from another table. So of the rare ones together, those on each channel, and those not
    on it, are nobody or at least k people: else a rare combination would follow from them.
    """
    seen = _presence(log)
    kinds, which = np.unique(seen @ (np.int64(1) << np.arange(seen.shape[1], dtype=np.int64)), return_inverse=True)
    people = np.bincount(which, minlength=kinds.size)
    rare = hidden_cells(people, k, (0,))
    member = (kinds[:, None] >> np.arange(seen.shape[1], dtype=np.int64) & 1).astype(np.bool_)
    sides = np.concatenate([member, ~member], axis=1).T
    changed = bool(rare.any())
    while changed:
        changed = False
        for side in sides:
            left = np.flatnonzero(side & ~rare)
            if left.size and 0 < people[side & rare].sum() < k:
                rare[left[np.argmin(people[left])]] = changed = True
    return kinds, which, rare


def _combinations(log: EventLog, done: np.ndarray, worth: np.ndarray, k: int) -> pd.DataFrame:
    import pandas as pd

    kinds, which, rare = _kinds(log, k)
    names = [
        " + ".join(name for bit, name in enumerate(log.channels.ids) if int(kind) >> bit & 1) for kind in kinds.tolist()
    ]
    many = [int(kind).bit_count() for kind in kinds.tolist()]
    if rare.any():  # into one row, of at least k people where there are so many
        place = np.where(rare, int((~rare).sum()), np.cumsum(~rare) - 1)
        which, kinds = place[which], np.append(kinds[~rare], 0)
        names = [name for name, gone in zip(names, rare, strict=True) if not gone] + [RARE]
        many = [n for n, gone in zip(many, rare, strict=True) if not gone] + [0]
    table = pd.DataFrame(
        {
            "channels": names,
            "n_channels": many,
            "people": np.bincount(which, minlength=kinds.size),
            "events": np.bincount(which[log.user], minlength=kinds.size),
            "completions": np.bincount(which[log.user], weights=done, minlength=kinds.size).astype(np.int64),
            "value": np.bincount(which[log.user], weights=worth, minlength=kinds.size),
        }
    )
    table = _shares(table, log.n_users, len(log), done.sum(), worth.sum())
    table = few_hidden(table, k, ("channels",)) if len(table) > 1 or log.n_users < k else table
    return table.sort_values(["people", "channels"], ascending=[False, True]).reset_index(drop=True)


def _over_time(log: EventLog, done: np.ndarray, worth: np.ndarray, period: int, k: int) -> pd.DataFrame:
    when, n = _periods(log, period)
    table = _grouped(log, when, n, done, worth)
    people = _distinct_people(log, when, n)
    start = log.start_us + table["group"].to_numpy() * period
    table.insert(0, "period_start", instants_to_pandas(start))
    table.insert(1, "whole", start + period <= log.end_us)
    table["share_of_people"] = table["people"] / np.maximum(1, people[table["group"]])
    return _of_groups(table.drop(columns="group"), k, (n,), (0,), ("period_start", "whole", "channel"))


def _periods(log: EventLog, period: int) -> tuple[np.ndarray, int]:
    """Return the period of each event, and how many there are."""
    n = int((log.end_us - 1 - log.start_us) // period) + 1
    if n > _MOST_PERIODS:
        raise ParameterError(
            f"channel_report: every= makes {n:,} periods, more than {_MOST_PERIODS:,}. Take longer ones."
        )
    return (log.at - log.start_us) // period, n


def _split_people(log: EventLog, segments: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the names of segments and each person's; None where there are none."""
    if segments is None:
        return None
    opened = open_frame(segments, "channel_report: segments", needed=("user_id", "segment"))
    users, user = opened.ids("user_id")
    known, segment = opened.names("segment", allow_missing=True)
    if len(users) < user.size:
        raise SchemaError(
            "channel_report: segments lists people twice. Keep one row each: frame.drop_duplicates('user_id')."
        )
    if UNKNOWN in known.ids.tolist():
        raise ParameterError(
            f"channel_report: a segment is called {UNKNOWN!r}, as those are who are in none. Leave these rows out."
        )
    row = match(log.users, users, ("events", "segments"))[user]
    code = np.full(log.n_users, len(known), np.int64)
    code[row[row != NONE]] = np.where(segment < 0, len(known), segment)[row != NONE]
    return np.append(known.ids.astype(object), UNKNOWN), code


def _segments(log: EventLog, done: np.ndarray, worth: np.ndarray, parts: Any, k: int) -> pd.DataFrame:
    names, code = (np.array(["everybody"], object), np.zeros(log.n_users, np.int64)) if parts is None else parts
    group = code[log.user]
    table = _grouped(log, group, names.size, done, worth)
    people = np.bincount(code, minlength=names.size)
    spent = np.bincount(group, weights=worth, minlength=names.size)
    which = table["group"].to_numpy()
    table.insert(0, "segment", names[which])
    table["share_of_people"] = table["people"] / np.maximum(1, people[which])
    table["share_of_value"] = np.divide(table["value"], spent[which], out=np.zeros(len(table)), where=spent[which] != 0)
    someone = (table.groupby("group")["people"].transform("sum") > 0).to_numpy()
    keep = ("segment", "channel")
    table = _of_groups(table.drop(columns="group"), k, (names.size,), (0,), keep)
    table = hidden(table, _of_few(code, k, names.size)[which], keep)
    table = table[someone].reset_index(drop=True)
    return table if parts is not None else table.iloc[:0]


def _segments_over_time(
    log: EventLog, done: np.ndarray, worth: np.ndarray, parts: Any, period: int, k: int
) -> pd.DataFrame:
    names, code = (np.array(["everybody"], object), np.zeros(log.n_users, np.int64)) if parts is None else parts
    when, n = _periods(log, period)
    cells = n * names.size * (len(log.channels) + 1)
    if parts is not None and cells > _MOST_CELLS:
        raise ParameterError(
            f"channel_report: periods x segments x channels are {cells:,} rows, more than {_MOST_CELLS:,}. Take longer "
            "periods, every=, or fewer segments."
        )
    group = when * names.size + code[log.user] if parts is not None else when * names.size
    table = _grouped(log, group, n * names.size, done, worth)
    people = _distinct_people(log, group, n * names.size)
    which = table["group"].to_numpy()
    start = log.start_us + which // names.size * period
    table.insert(0, "period_start", instants_to_pandas(start))
    table.insert(1, "whole", start + period <= log.end_us)
    table.insert(2, "segment", names[which % names.size])
    table["share_of_people"] = table["people"] / np.maximum(1, people[which])
    few = _of_few(code, k, names.size)[which % names.size]
    someone = (people[which] > 0) | few  # that a row is missing would tell when somebody was away
    keep = ("period_start", "whole", "segment", "channel")
    table = _of_groups(table.drop(columns="group"), k, (n, names.size), (0, 1), keep)
    table = hidden(table, few, keep)
    table = table[someone].reset_index(drop=True)
    return table if parts is not None else table.iloc[:0]


def _of_few(code: np.ndarray, k: int, n: int) -> np.ndarray:
    """Return which segments have fewer than k people: that they did nothing is about somebody too."""
    size = np.bincount(code, minlength=n)
    return np.asarray((size > 0) & (size < k))


def _grouped(log: EventLog, group: np.ndarray, n_groups: int, done: np.ndarray, worth: np.ndarray) -> pd.DataFrame:
    """Return people, events, completions and value per group and channel, then those on several channels, per group."""
    import pandas as pd

    c = len(log.channels)
    cell = group.astype(np.int64) * c + log.channel
    person = distinct(cell * log.n_users + log.user)
    here, whose = person // log.n_users, person % log.n_users
    where, times = np.unique((here // c) * log.n_users + whose, return_counts=True)
    crossing = where[times > 1]
    # which events belong to a person who crosses within the group
    own = group.astype(np.int64) * log.n_users + log.user
    at = np.minimum(np.searchsorted(crossing, own), max(0, crossing.size - 1))
    crosses = crossing[at] == own if crossing.size else np.zeros(len(log), np.bool_)
    parts = []
    for several, key, n in ((False, cell, n_groups * c), (True, group.astype(np.int64)[crosses], n_groups)):
        rows = crosses if several else slice(None)
        parts.append(
            pd.DataFrame(
                {
                    "group": np.arange(n) if several else np.arange(n) // c,
                    "channel": [SEVERAL] * n if several else np.tile(log.channels.ids, n_groups),
                    "people": np.bincount(crossing // log.n_users if several else here, minlength=n),
                    "events": np.bincount(key, minlength=n),
                    "completions": np.bincount(key, weights=done[rows], minlength=n).astype(np.int64),
                    "value": np.bincount(key, weights=worth[rows], minlength=n),
                }
            )
        )
    table = pd.concat(parts, ignore_index=True)
    return table.sort_values("group", kind="stable").reset_index(drop=True)


def _distinct_people(log: EventLog, group: np.ndarray, n_groups: int) -> np.ndarray:
    return np.bincount(distinct(group.astype(np.int64) * log.n_users + log.user) // log.n_users, minlength=n_groups)


def _shares(table: pd.DataFrame, people: int, events: int, completions: int, value: float) -> pd.DataFrame:
    for name, total in (("people", people), ("events", events), ("completions", completions), ("value", value)):
        table[f"share_of_{name}"] = table[name] / total if total else 0.0
    table["value_per_person"] = table["value"] / np.maximum(1, table["people"])
    return table
