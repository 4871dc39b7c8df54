"""The check-list of a working omnichannel strategy: what is so, what is good, and what to do next."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_duration, check_integer, check_kind, check_names, count_of, from_microseconds
from omnireco._core.contract import says_the_line
from omnireco._core.parts import Parts
from omnireco._core.small import Text, Whole
from omnireco._kernels.disclosure import hidden_cells
from omnireco.data.dataset import Dataset, dataset_of
from omnireco.data.events import rows_of
from omnireco.data.frames.columns import open_frame
from omnireco.data.parts import Frame
from omnireco.data.vocabulary import Vocabulary, match
from omnireco.errors import EmptyError, ParameterError, SchemaError
from omnireco.evaluation.cards.measures import GUIDE, Measured, Settings, measured
from omnireco.evaluation.cards.periods import incomparable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Scorecard", "scorecard"]

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())
_MOST_PERIODS = 120
_COLUMNS = (
    "key",
    "channel",
    "measure",
    "value",
    "low",
    "high",
    "unit",
    "n_people",
    "before",
    "trend",
    "good",
    "next",
    "status",
)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Scorecard:
    """A check-list with numbers; made by :func:`scorecard`.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per measure (and channel): ``key channel measure value low high unit n_people before trend good next
        status``. ``value`` is NaN where it is not measured, and ``status`` says what it needs (``"not measured: needs
        ..."``) or that too few people stand behind it (``"hidden"``) or on one side of a share (``"hidden: fewer than 5
        people make the difference"``); else ``"measured"``. ``trend`` is ``better``,
        ``worse``, ``same`` or empty, against ``before``, the value of the earlier data.
    segments : pandas.DataFrame
        ``segment key channel value n_people``; empty without segments.
    over_time : pandas.DataFrame
        ``period_end key channel value n_people``; empty without ``every``.
    until : str
        Until when everything was known.
    k : int
        Smallest number of people behind a number that is shown.
    """

    table: pd.DataFrame
    segments: pd.DataFrame
    over_time: pd.DataFrame
    until: str
    k: int = 5

    parts: ClassVar[Parts] = {
        "table": Frame(("key", "channel", "measure", "status"), ("value", "n_people")),
        "segments": Frame(),
        "over_time": Frame(),
        "until": Text(),
        "k": Whole(),
    }

    def __repr__(self) -> str:
        status = self.table["status"]
        keys = self.table["key"].nunique()
        unknown = self.table[status.str.startswith("not measured")]["key"].nunique()
        worse = int((self.table["trend"] == "worse").sum())
        return f"Scorecard({count_of(keys, 'measure')}, {unknown} not measured, {worse} worse, until {self.until})"

    __arrow_c_stream__ = arrow_stream

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table.copy()

    @property
    def todo(self) -> pd.DataFrame:
        """What to do next: what breaks a rule first, then what became worse, then what is not measured."""
        table = self.table
        zero, few = table["good"].str.startswith("0"), table["status"].str.startswith("hidden:")
        order = np.select(
            [
                zero & ((table["value"] > 0) | few),
                table["trend"] == "worse",
                table["status"].str.startswith("not measured"),
            ],
            [0, 1, 2],
            3,
        )
        found = table.assign(order=order)[order < 3].sort_values("order", kind="stable")
        steps = np.where(
            found["order"] == 2,
            found["status"].str.replace("not measured: needs ", "Measure it: ", regex=False),
            found["next"],
        )
        return found.assign(next=steps)[["measure", "channel", "value", "unit", "good", "next"]].reset_index(drop=True)

    def to_html(self) -> str:
        """Return a page that a manager can read: numbers, what is good, what to do next. No ids, no scripts."""
        return _page(self)

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>{_rows(self)}"


@says_the_line("om.evaluation.scorecard(data, compare=past, completes='purchase')")
def scorecard(
    data: Any,
    *,
    compare: Any = None,
    completes: str | Iterable[str] = "purchase",
    window: Any = "7D",
    priced: Any = None,
    stock_outs: Any = None,
    segments: Any = None,
    every: Any = None,
    k: int = 5,
) -> Scorecard:
    """Measure whether channels work together: identity, journeys, freshness, offers, consent, pressure, stock.

    Whether an omnichannel strategy works is mostly asked in words. Here each point of the check-list is a number, or
    says what it needs to become one; nothing that is not known is shown as 0.

    Parameters
    ----------
    data : Dataset
        As much as there is: events, messages, audience, identities.
    compare : Dataset, optional
        Earlier data: what is good is, for most measures, better than that. Either the state of then,
        ``data.before("2025-06-01")``, beside which a change looks smaller, as most days are in both; or an earlier
        period of equal length, ``earlier, later = (later for _, later in data.rolling(horizon="28D", n=2))``.
    completes : str or iterable of str
        The events that complete a journey.
    window : str or timedelta
        As in :func:`channel_report`.
    priced : str or iterable of str, optional
        The events whose ``value`` is the price of one unit, to find different prices for one item.
    stock_outs : frame, optional
        ``item_id``, ``since``, ``until`` (instants; a missing ``until`` means still): when an item was out of stock.
    segments : frame, optional
        Columns ``user_id`` and ``segment``, one row per person.
    every : str or timedelta, optional
        Length of the periods of ``over_time``, counted back from the end. One without any event has no row.
    k : int
        Smallest number of people behind a number that is shown, and on either side of a share: 1 of 300 would single
        somebody out, 0 of 300 does not.

    Returns
    -------
    Scorecard

    Raises
    ------
    SchemaError, ParameterError
        When frames lack a column, a person has two segments, or an event named does not exist; when ``compare`` ends no
        earlier than the data, begins on another day and overlaps it, or is about other people.

    Warns
    -----
    DataWarning
        When two periods differ in length by more than a tenth: measures that grow with the length (``several_kinds``,
        ``fresh``, ``one_price``, ``one_offer``, ``channel_known``, ``needs_known``) have no trend. When fewer than half
        of the people of the smaller side are in both.

    Notes
    -----
    ``identified``: events whose id has a link. ``hand_over``: median hours of journeys completed on another channel.
    ``fresh``: median days from a person's last event on the channel to the end. ``one_price`` and ``one_offer``: of the
    (person, item) pairs seen on two channels within one UTC day, those whose price differs by more than half a per
    cent, or whose ``offer_id`` differs. ``consent`` follows withdrawals as the planner does. ``pressure``: 90th
    percentile of messages per week over people who got any. ``lag``: median hours from the last event before a message
    to it. ``channel_known``, ``needs_known``: 5 events or more (about items), of everybody known. Shares of people have
    Wilson's 95 % interval; the others none. Descriptions, not causes. Deterministic. Cost: some sorts of events and
    messages.

    Examples
    --------
    >>> import omnireco as om
    >>> data = om.simulate(n_users=80, n_items=20, days=60, seed=1).dataset()
    >>> card = scorecard(data)
    >>> card.table.set_index("key").loc["identified", "status"]
    'not measured: needs om.Dataset(log, identities=links)'
    """
    import pandas as pd

    whole = dataset_of(data, "scorecard", ())
    check_integer(k, "k", low=1)
    how = _settings(whole, completes, window, priced, stock_outs)
    found = measured(whole, how)
    before, untold = None, tuple[str, ...]()
    if compare is not None:
        check_kind(compare, Dataset, "compare", "compare=data.before('2025-06-01')")
        if compare.end_us >= whole.end_us:
            raise ParameterError(
                "scorecard: compare= must end before the data. Write compare=data.before('2025-06-01')."
            )
        untold = incomparable(whole, compare)
        before = {
            (one.key, one.channel): one
            for one in measured(compare, _settings(compare, completes, window, priced, stock_outs, lenient=True))
        }
    rows = [_row(one, before, k, trend=one.key not in untold) for one in found]
    card = Scorecard(
        pd.DataFrame(rows, columns=list(_COLUMNS)),
        _by_segment(whole, how, segments, k),
        _over_time(whole, how, every, k),
        whole.end.date().isoformat() if whole.end_us else "",
        k,
    )
    _log.info("scored %r", card)
    return card


def _settings(
    data: Dataset, completes: Any, window: Any, priced: Any, stock_outs: Any, *, lenient: bool = False
) -> Settings:
    ends = (completes,) if isinstance(completes, str) else check_names(completes, "completes")
    prices = None if priced is None else (priced,) if isinstance(priced, str) else check_names(priced, "priced")
    if data.events is not None and not lenient:
        for name, value in (
            ("priced", prices or ()),
            ("completes", () if isinstance(completes, str) and completes == "purchase" else ends),
        ):
            strange = [one for one in value if one not in set(map(str, data.events.events.ids))]
            if strange:
                raise ParameterError(
                    f"scorecard: {name} names {count_of(len(strange), 'event')} that the log does not have; it has "
                    f"{', '.join(map(repr, map(str, data.events.events.ids)))}."
                )
    as_given = None if data.identities is None else (data._as_given or (data.events,))[0]
    return Settings(
        tuple(ends), check_duration(window, "window"), prices, _stock(stock_outs), data.identities, as_given
    )


def _stock(frame: Any) -> Any:
    if frame is None:
        return None
    opened = open_frame(frame, "scorecard: stock_outs", needed=("item_id", "since", "until"))
    items, item = opened.ids("item_id")
    since, until = opened.instants("since"), opened.instants("until", none=int(np.iinfo(np.int64).max))
    if bad := int((until <= since).sum()):
        raise SchemaError(f"scorecard: stock_outs ends before it begins in {count_of(bad, 'row')}.")
    return items, item, since, until


def _row(one: Measured, before: Any, k: int, *, trend: bool) -> tuple[Any, ...]:
    guide = GUIDE[one.key]
    hidden = one.hidden(k)
    status = f"not measured: needs {one.needs}" if one.needs else hidden or "measured"
    value, low, high = (np.nan,) * 3 if hidden or one.needs else (one.value, one.low, one.high)
    earlier = None if before is None else before.get((one.key, one.channel))
    was = np.nan if earlier is None or earlier.needs or earlier.hidden(k) else earlier.value
    people = np.nan if hidden or one.needs else float(one.people)
    return (
        one.key, one.channel, guide.label, value, low, high, guide.unit, people, was,
        _trend(value, was, guide.better if trend else ""), guide.good, guide.next, status,
    )  # fmt: skip


def _trend(value: float, was: float, better: str) -> str:
    if np.isnan(value) or np.isnan(was) or not better:
        return ""
    if np.isclose(value, was, rtol=1e-3, atol=1e-6):
        return "same"
    return "better" if (value > was) == (better == "more") else "worse"


def _by_segment(data: Dataset, how: Settings, segments: Any, k: int) -> pd.DataFrame:
    import pandas as pd

    columns = ["segment", "key", "channel", "value", "n_people"]
    if segments is None:
        return pd.DataFrame(columns=columns)
    opened = open_frame(segments, "scorecard: segments", needed=("user_id", "segment"))
    users, user = opened.ids("user_id")
    if len(users) < user.size:
        raise SchemaError(
            "scorecard: segments lists people twice. Keep one row each: frame.drop_duplicates('user_id')."
        )
    names, code = opened.names("segment", allow_missing=True)
    of = np.full(len(users), len(names), np.int64)
    of[user] = np.where(code < 0, len(names), code)
    labels = [*map(str, names.ids), "(unknown)"]
    rows = []
    for place, label in enumerate(labels):
        # Links say who people are; which of them belong to a segment is not known before they are resolved.
        own = how._replace(identities=None, as_given=None)
        part = _people(data, users, of, place, len(names))
        if part is None:
            continue
        rows += [
            (label, one.key, one.channel, one.value, one.people, one.few)
            for one in measured(part, own)
            if not one.needs
        ]
    return _unless_few(pd.DataFrame(rows, columns=[*columns, "few"]), k, "segment")


def _people(data: Dataset, users: Vocabulary, of: np.ndarray, place: int, unknown: int) -> Dataset | None:
    """Return the part of a Dataset about the people of one segment; None where there are none."""

    def mine(known: Vocabulary) -> np.ndarray:
        row = match(users, known, ("segments", "data"))
        mask: np.ndarray = np.append(of, unknown)[row] == place
        return mask

    events, messages, audience = data.events, data.messages, data.audience
    if events is not None:
        events = rows_of(events, np.flatnonzero(mine(events.users)[events.user]))
        events = replace(events, end_us=data.end_us)  # what is known of the others ends no earlier
    if messages is not None:
        messages = messages._rows(np.flatnonzero(mine(messages.users)[messages.user]))
    if audience is not None:
        chosen = audience.users.ids[mine(audience.users)]
        audience = audience.rows(chosen) if chosen.size else None
    if all(part is None or not len(part) for part in (events, messages, audience)):
        return None
    return Dataset(events, messages=messages, audience=audience, end=data.end)


def _over_time(data: Dataset, how: Settings, every: Any, k: int) -> pd.DataFrame:
    import pandas as pd

    columns = ["period_end", "key", "channel", "value", "n_people"]
    if every is None:
        return pd.DataFrame(columns=columns)
    length = check_duration(every, "every")
    start = data.end_us if data.events is None or not len(data.events) else int(data.events.at.min())
    n = int((data.end_us - start) // length)
    if not 0 < n <= _MOST_PERIODS:
        raise ParameterError(
            f"scorecard: every= makes {n:,} whole periods of the data, and 1 to {_MOST_PERIODS} are possible. Take "
            f"{'shorter' if n < 1 else 'longer'} ones."
        )
    rows = []
    plain = _resolved(data)
    for back in range(n, 0, -1):
        try:
            cut = plain.split(from_microseconds(data.end_us - back * length), horizon=every)
        except EmptyError:  # nothing happened in it
            continue
        past = plain.before(cut.later.end)
        own = how._replace(identities=None, as_given=None, past=past)
        rows += [
            (cut.later.end, one.key, one.channel, one.value, one.people, one.few)
            for one in measured(cut.later, own)
            if not one.needs
        ]
    return _unless_few(pd.DataFrame(rows, columns=[*columns, "few"]), k, "period_end")


def _resolved(data: Dataset) -> Dataset:
    """Return the same people without the links that made them: a window of theirs needs no second resolution."""
    if data.identities is None:
        return data
    events = None if data.events is None else replace(data.events, end_us=data.end_us)
    return Dataset(events, messages=data.messages, audience=data.audience, end=data.end)


def _unless_few(table: pd.DataFrame, k: int, over: str) -> pd.DataFrame:
    """Return a table without values of few people, and without those from which, with the whole, they would follow."""
    if table.empty:
        return table.drop(columns="few")
    table = table.reset_index(drop=True)
    few = table.pop("few").to_numpy(np.int64)
    behind = np.where((few > 0) & (few < k), few, table["n_people"].to_numpy(np.int64))
    hide = np.zeros(len(table), np.bool_)
    for rows in table.groupby(["key", "channel"], sort=False).indices.values():
        hide[rows] = hidden_cells(behind[rows], k, (0,))
    table["value"] = table["value"].astype(np.float64).mask(hide)
    table["n_people"] = table["n_people"].astype(np.float64).mask(hide)
    return table.sort_values(["key", "channel", over], kind="stable").reset_index(drop=True)


# ---- a page -------------------------------------------------------------------------------------------------------

_STYLE = """body{font:16px/1.5 system-ui,sans-serif;color:#1d2a35;max-width:1000px;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.45em .6em;border-bottom:1px solid #dfe5e9;
vertical-align:top}td.n{text-align:right;white-space:nowrap}.bar{background:#0b6e75;height:.6em;border-radius:.3em}
.rail{background:#eef2f4;width:8em;border-radius:.3em;margin-left:auto}.worse{color:#b0475c}.better{color:#0b6e75}
.soft{color:#5c6b77}th.n{text-align:right}.wide{overflow-x:auto}td{overflow-wrap:anywhere}.wide td{overflow-wrap:normal}
@media(max-width:640px){body{margin:1em auto}.card tr{display:block;border-bottom:1px solid #dfe5e9;padding:.5em 0}
.card tr:first-child{display:none}.card td{display:block;border:0;padding:.1em 0;text-align:left}
.card td:empty{display:none}
.card td[data-label]::before{content:attr(data-label) ": ";color:#5c6b77}.rail{margin:.2em 0}.wide table{width:auto}}"""


def _page(card: Scorecard) -> str:
    todo = "".join(
        f"<li><b>{escape(str(row.measure))}{f' ({escape(str(row.channel))})' if row.channel else ''}</b>: "
        f"{escape(str(row.next))}</li>"
        for row in card.todo.itertuples()
    )
    more = ""
    for title, table, over in (("By segment", card.segments, "segment"), ("Over time", card.over_time, "period_end")):
        if len(table):
            more += f"<h2>{title}</h2>{_pivot(table, over, card.k)}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><title>Scorecard</title>'
        f"<style>{_STYLE}</style></head><body><h1>Do our channels work together?</h1>"
        f"<p>Known until {escape(card.until)}. No number is about fewer than {card.k} people; what is not known is not "
        f"shown as 0.</p>{_rows(card)}<h2>What to do next</h2><ol>{todo}</ol>{more}</body></html>"
    )


def _rows(card: Scorecard) -> str:
    lines = []
    table: list[Any] = list(card.table.itertuples())
    for row in table:
        known = not np.isnan(row.value)
        bar = ""
        if known and row.unit == "share":
            bar = f'<div class="rail"><div class="bar" style="width:{min(100.0, 100 * row.value):.0f}%"></div></div>'
        was = "" if np.isnan(row.before) else _text(row.before, row.unit)
        trend = f' <span class="{row.trend}">{row.trend}</span>' if row.trend and was else ""
        what = _text(row.value, row.unit) if known else ""
        note = "" if row.status == "measured" else f'<br><span class="soft">{escape(str(row.status))}</span>'
        lines.append(
            f"<tr><td>{escape(str(row.measure))}{note}</td>{_cell('Channel', escape(str(row.channel)))}"
            f"{_cell('Now', what + trend + bar, ' class=n')}{_cell('Before', was, ' class=n')}"
            f"{_cell('Good', escape(str(row.good)))}</tr>"
        )
    head = "<tr><th>Measure</th><th>Channel</th><th class=n>Now</th><th class=n>Before</th><th>Good</th></tr>"
    return f'<table class="omnireco card">{head}{"".join(lines)}</table>'


def _cell(label: str, text: str, more: str = "") -> str:
    """Return a cell that says its column where a narrow screen has no room for columns; nothing where it is empty."""
    return f'<td{more} data-label="{label}">{text}</td>' if text else f"<td{more}></td>"


def _pivot(table: pd.DataFrame, over: str, k: int) -> str:
    labels = list(dict.fromkeys(table[over]))
    names = [str(label.date()) if hasattr(label, "date") else str(label) for label in labels]
    head = (
        "<tr><th>Measure</th><th>Channel</th>" + "".join(f"<th class=n>{escape(name)}</th>" for name in names) + "</tr>"
    )
    lines = []
    for (key, channel), part in table.groupby(["key", "channel"], sort=False):
        of = dict(zip(part[over], part["value"], strict=True))
        unit = GUIDE[str(key)].unit
        cells = [
            ("" if label not in of else f"hidden (k={k})" if np.isnan(of[label]) else _text(of[label], unit))
            for label in labels
        ]
        lines.append(
            f"<tr><td>{escape(GUIDE[str(key)].label)}</td><td>{escape(str(channel))}</td>"
            + "".join(f"<td class=n>{cell}</td>" for cell in cells)
            + "</tr>"
        )
    return f'<div class="wide"><table>{head}{"".join(lines)}</table></div>'


def _text(value: float, unit: str) -> str:
    return f"{value:.1%}" if unit == "share" else f"{value:,.1f} {unit}"
