"""One more touch beside those that a person gets already: rules asked of few touches, or of all with one more."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.checks import check_duration
from omnireco._kernels.packing import TOLERANCE
from omnireco.data.asking.touches import Touches, holidays_in
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.planning.rows import Rows
from omnireco.planning.rules import (
    Budget,
    Capacity,
    ComplaintRate,
    Constraint,
    FrequencyCap,
    OncePerItem,
    OneOffer,
    Points,
    Spend,
    Stock,
    Volume,
)
from omnireco.planning.rules.shops import stock_rows

__all__ = [
    "Known",
    "New",
    "Own",
    "joined",
    "keeps_offer",
    "keeps_quickly",
    "labels_of",
    "needs_everybody",
    "numbers_of",
    "over",
    "rows_of",
    "together",
    "with_new",
]

_LOCAL = (Budget, Capacity, ComplaintRate, FrequencyCap, OncePerItem, Points, Spend, Stock, Volume)


class New(NamedTuple):
    """An item that the plan does not know."""

    item_id: Any


class Own(NamedTuple):
    """What one person gets already, of the plan and of what was accepted since: arrays in the order of time."""

    item: list[Any]
    channel: list[int]
    send_at: list[int]
    labels: list[Mapping[str, Any]]
    numbers: list[Mapping[str, float]]


def with_new(items: Vocabulary, item: Sequence[Any]) -> tuple[Vocabulary, list[int]]:
    """Return items with those that the plan does not know behind them, and all as codes."""
    new = list(dict.fromkeys(one for one in item if isinstance(one, New)))
    if not new:
        return items, list(item)
    place = {one: len(items) + number for number, one in enumerate(new)}
    ids = np.array([one.item_id for one in new], items.ids.dtype if len(items) else None)
    return Vocabulary(np.concatenate([items.ids, ids])), [place[one] if isinstance(one, New) else one for one in item]


class Known(NamedTuple):
    """The words of one label in the plan."""

    ids: Vocabulary
    place: dict[Any, int]

    @classmethod
    def of(cls, ids: Vocabulary) -> Known:
        """Return the words with their codes."""
        return cls(ids, {one: code for code, one in enumerate(ids.ids.tolist())})


def labels_of(each: Sequence[Mapping[str, Any]], plan: Mapping[str, Known]) -> dict[str, tuple[Vocabulary, np.ndarray]]:
    """Return the labels of some touches, given one by one, as columns in the plan's words; -1 where one has none.

    A rule that names a kind or a campaign knows it from the plan, though this person's touches have another one.
    """
    found = {}
    for name in dict.fromkeys([*plan, *(name for one in each for name in one)]):
        known = plan.get(name, _NOTHING)
        given = [one.get(name) for one in each]
        new = list(dict.fromkeys(one for one in given if one is not None and one not in known.place))
        ids, place = known.ids, known.place
        if new:
            known.ids.codes(new, missing="none")  # ids of another kind are an error
            more = np.array(new, object if isinstance(new[0], str) else np.int64)
            ids = Vocabulary(np.concatenate([known.ids.ids, more]) if len(known.ids) else more)
            place = place | {one: len(known.ids) + number for number, one in enumerate(new)}
        found[name] = (ids, np.array([NONE if one is None else place[one] for one in given], np.int32))
    return found


_NOTHING = Known(Vocabulary(np.empty(0, object)), {})


def numbers_of(each: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    """Return the numbers of some touches, given one by one, as columns; NaN where one has none."""
    names = dict.fromkeys(name for one in each for name in one)
    return {name: np.array([one.get(name, np.nan) for one in each], np.float64) for name in names}


def joined(own: Own, more: Own | None) -> Own:
    """Return what somebody gets, of the plan and since."""
    both: Any = () if more is None else zip(own, more, strict=True)
    return own if more is None else Own(*(a + b for a, b in both))


def together(parts: Sequence[Touches], every: Touches) -> Touches:
    """Return all touches as one set, the last of one person's at the end: codes of the first part stay as they are."""
    sets = [*parts, every.take(np.array([len(every) - 1]))]
    users, user = _extended([one.users for one in sets], [one.user for one in sets])
    items, item = _extended([one.items for one in sets], [one.item for one in sets])
    names = dict.fromkeys(name for one in sets for name in one.labels)
    pairs = {name: [one.label(name) for one in sets] for name in names}
    labels = {name: _extended([known for known, _ in all_], [code for _, code in all_]) for name, all_ in pairs.items()}
    of_numbers = dict.fromkeys(name for one in sets for name in one.numbers)
    first, traits = sets[0], {}
    for name in sets[-1].traits:
        known = sets[-1].traits[name][0]
        codes = np.full(len(users), NONE, np.int32)
        for one in sets:
            if name in one.traits:
                place = users.codes(one.users.ids, missing="none")
                codes[place] = one.traits[name][1]
        traits[name] = (known, codes)
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in sets])
        for name in ("channel", "send_at", "local_at", "consent", "reachable")
    }
    return Touches(
        users=users,
        items=items,
        channels=sets[-1].channels,  # those of the plan, and behind them what it does not use
        user=user,
        item=item,
        **columns,
        past=first.past,
        named=first.named,
        labels=labels,
        holiday=holidays_in(sets),
        numbers={name: np.concatenate([one.number(name) for one in sets]) for name in of_numbers},
        traits=traits,
    )


def _extended(known: Sequence[Vocabulary], codes: Sequence[np.ndarray]) -> tuple[Vocabulary, np.ndarray]:
    """Return one vocabulary that begins with the first, and all codes in it; -1 stays."""
    ids = [known[0].ids]
    for one in known[1:]:
        ids.append(one.ids[Vocabulary(np.concatenate(ids)).codes(one.ids, missing="none") == NONE])
    filled = [part for part in ids if part.size]
    whole = Vocabulary(np.concatenate(filled)) if filled else known[0]
    tables = [np.append(whole.codes(one.ids, missing="none"), np.int32(NONE)) for one in known]
    return whole, np.concatenate([t[c] for t, c in zip(tables, codes, strict=True)]).astype(np.int32)


def needs_everybody(rule: Constraint, rows: Rows, touches: Touches) -> bool:
    """Return whether a rule must see all touches to say what one of them uses, or which offer its group has."""
    if type(rule) is OneOffer:
        return rule.by != "user_id"
    if rule.choices(touches) is not None:
        return True
    return rows.labels is not None and bool(len(rows.labels)) and type(rule) not in _LOCAL


def rows_of(rule: Constraint, touches: Touches) -> Rows:
    """Return the rows of a rule as they would be beside any later message."""
    return stock_rows(rule, touches, totals=True) if type(rule) is Stock else rule.rows(touches)


def keeps_quickly(rule: Constraint, every: Touches) -> bool | None:
    """Return whether the last touch keeps a rule of single people; None for a rule that must be compiled to say so.

    What ``rows`` says of two rules that nearly every plan has, without the arrays: a tenth of the time for one person.
    """
    if type(rule) is OncePerItem:
        return bool((every.item[:-1] != every.item[-1]).all())
    if type(rule) is not FrequencyCap or rule.kinds is not None:
        return None
    channels: Any = rule.channels
    at: list[int] = every.send_at.tolist()
    new = at[-1]
    if channels is not None:
        mine = every.on(channels, "FrequencyCap: channels", missing=rule.missing)
        if not mine[-1]:
            return True
        at = every.send_at[mine].tolist()
    if rule.per is None:
        return len(at) <= rule.n
    length = check_duration(rule.per, "FrequencyCap: per")
    past = every.past.sent_at
    if past.size and channels is not None:
        past = past[every.past_on(channels, "FrequencyCap: channels", missing=rule.missing)]
    near = sorted(one for one in (*at, *past.tolist()) if new - length < one < new + length)
    starts = [one for one in near if one <= new]
    return all(bisect_left(near, start + length) - first <= rule.n for first, start in enumerate(starts))


def over(rows: Any, hit: np.ndarray) -> bool:
    """Return whether a row that the last touch uses is over its limit when all touches are sent."""
    used = np.bincount(rows.row, weights=rows.weight, minlength=rows.limit.size)
    mine = rows.row[hit]
    return bool((used[mine] > rows.limit[mine] * (1.0 + TOLERANCE)).any())


def keeps_offer(rule: Constraint, every: Touches) -> bool:
    """Return whether the last touch carries the offer that the others of its group do."""
    found = rule.choices(every)
    if found is None or found.group[-1] < 0:
        return True
    same = np.asarray(found.group) == found.group[-1]
    return bool((np.asarray(found.option)[same] == found.option[-1]).all())
