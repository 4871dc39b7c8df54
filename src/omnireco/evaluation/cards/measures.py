"""Measures of a scorecard: each a number, how many people stand behind it, or what is missing to measure it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.units import DAY_US, HOUR_US
from omnireco.data.asking.consent import open_to
from omnireco.data.dataset import Dataset
from omnireco.data.messages import NEVER
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.evaluation.channel_journeys import journeys_of

__all__ = ["GUIDE", "Measured", "Settings", "measured"]

_Z = 1.959963984540054
_KNOWN_EVENTS = 5
_SAME_PRICE = 0.005  # half a per cent: rounding of taxes and cents


class Settings(NamedTuple):
    """What a scorecard is asked with."""

    completes: tuple[str, ...]
    window: int
    priced: tuple[str, ...] | None
    out_of_stock: tuple[Vocabulary, np.ndarray, np.ndarray, np.ndarray] | None  # items, item, since, until
    identities: Any
    as_given: Any  # the events before ids became people
    past: Any = None  # of a period: the Dataset up to its end, with what was withdrawn before the period


class Measured(NamedTuple):
    """One number of the check-list."""

    key: str
    channel: str
    value: float
    people: int
    low: float = float("nan")
    high: float = float("nan")
    needs: str = ""
    few: int = -1  # people on the smaller side of a share, -1 where it has none or it is nobody

    def hidden(self, k: int) -> str:
        """Return why a number may not be shown where fewer than k people are nobody's business, or an empty text."""
        if self.needs:
            return ""
        if self.people < k:
            return "hidden"
        return f"hidden: fewer than {k} people make the difference" if 0 < self.few < k else ""


class Guide(NamedTuple):
    """What a measure is, when it is good, and what to do next."""

    label: str
    unit: str
    better: str  # "more", "less" or "" where neither is
    good: str
    next: str


_OWN = "better than your own last month (compare=)"
GUIDE: dict[str, Guide] = {
    "identified": Guide(
        "Events of identified people", "share", "more", _OWN,
        "Ask for the login or the card where most events are anonymous, and load the links into Identities.",
    ),
    "several_kinds": Guide(
        "People known by ids of two kinds or more", "share", "more", _OWN,
        "Link cards, e-mail addresses and cookies at the till and at the login.",
    ),
    "crossed": Guide(
        "Completed journeys that end on another channel", "share", "", "neither is better: serve both ends",
        "Give the channel where journeys end what was seen on the one where they begin.",
    ),
    "hand_over": Guide(
        "Hours from the last touch on one channel to the purchase on another", "hours", "less", _OWN,
        "Show a basket begun elsewhere at once; send what was viewed to the channel of the purchase.",
    ),
    "fresh": Guide(
        "Days since the last event per person", "days", "less", _OWN,
        "Load the channels with old events more often, or find out why people have left them.",
    ),
    "one_price": Guide(
        "Person and item pairs with different prices on different channels", "share", "less",
        "0, by definition of one offer", "Take prices for all channels from one source; list the items that differ.",
    ),
    "one_offer": Guide(
        "Person and item pairs with different offers on different channels", "share", "less",
        "0, by definition of one offer", "Decide the offer once per person and item, and let all channels read it.",
    ),
    "consent": Guide(
        "People who may be written to", "share", "more", _OWN,
        "Ask for consent at the moment of a purchase, for the channel the person uses.",
    ),
    "pressure": Guide(
        "Messages a week per person written to, the most written-to tenth at least", "messages", "less", _OWN,
        "Cap it in the plan: om.FrequencyCap(3, per='7D').",
    ),
    "after_opt_out": Guide(
        "Messages sent to people after they opted out of the channel", "share", "less",
        "0: consent may be withdrawn at any time (GDPR, article 7(3))",
        "Stop them today: send only what om.candidates lets through.",
    ),
    "opt_out": Guide(
        "Opt-outs per message", "share", "less", _OWN, "Send less, or at better hours, on the channel with the most.",
    ),
    "lag": Guide(
        "Hours from a person's last event to the message that could use it", "hours", "less", _OWN,
        "Plan daily rather than weekly, and load events before planning.",
    ),
    "stock_out": Guide(
        "Messages about an item that was out of stock", "share", "less", "0, by definition of an offer",
        "Leave out items without stock: candidates(..., eligibility=[...]).",
    ),
    "channel_known": Guide(
        "People whose preferred channel is known", "share", "more", _OWN,
        f"Fewer than {_KNOWN_EVENTS} events on their channels: use the preference of similar people until then.",
    ),
    "needs_known": Guide(
        "People whose needs are known", "share", "more", _OWN,
        f"Fewer than {_KNOWN_EVENTS} events about items: ask, or recommend by attributes until then.",
    ),
}  # fmt: skip


def measured(data: Dataset, how: Settings) -> list[Measured]:
    """Return every measure of the check-list, in its order; those that cannot be measured say what they need."""
    made: list[Measured] = []
    for part in (_identity, _crossing, _fresh, _one_offer, _consent, _pressure, _opt_outs, _lag, _stock, _known):
        made += part(data, how)
    place = {key: i for i, key in enumerate(GUIDE)}
    return sorted(made, key=lambda one: (place[one.key], one.channel))


def _missing(key: str, needs: str) -> Measured:
    return Measured(key, "", float("nan"), 0, needs=needs)


def _share(key: str, yes: int, n: int, channel: str = "") -> Measured:
    """Return a share of people with Wilson's interval."""
    if not n:
        return Measured(key, channel, float("nan"), 0, needs="anything to count")
    share, z = yes / n, _Z
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Measured(
        key,
        channel,
        share,
        n,
        max(0.0, centre - half),
        min(1.0, centre + half),
        few=_few(yes, n - yes) if 0 < yes < n else -1,
    )


def _part(key: str, yes: np.ndarray, person: np.ndarray, channel: str = "") -> Measured:
    """Return a share of rows, such as messages, with the person of each row; without an interval."""
    if not yes.size:
        return Measured(key, channel, float("nan"), 0, needs="anything to count")
    people = np.unique(person).size
    some, others = (np.unique(person[side]).size for side in (yes, ~yes))
    sides = (some, others, people - some, people - others) if some and others else ()
    return Measured(key, channel, float(yes.mean()), people, few=_few(*sides))


def _few(*sides: int) -> int:
    """Return how many people the smallest side of a share has that is not empty; -1 where there is none."""
    return min((side for side in sides if side), default=-1)


def _no(part: Any) -> bool:
    return part is None or not len(part)


# ---- who people are -----------------------------------------------------------------------------------------------


def _identity(data: Dataset, how: Settings) -> Iterator[Measured]:
    if how.identities is None or _no(how.as_given):
        line = "om.Dataset(log, identities=links)"
        yield _missing("identified", line)
        yield _missing("several_kinds", line)
        return
    known, log = how.identities, how.as_given
    person = np.unique(known.person)
    at = np.unique(known.person[:, None] * len(known.kinds) + known.node_kind[:, None])
    kinds = np.bincount(at.ravel() // max(1, len(known.kinds)), minlength=int(person.max(initial=-1)) + 1)
    linked = known.ids.codes(known.ids.ids[np.unique(known.node_id)], missing="none")
    there = np.isin(match(known.ids, log.users, ("identities", "events")), linked)
    identified = _part("identified", there[log.user], log.user)
    yield identified._replace(people=int(there.sum()))
    yield _share("several_kinds", int((kinds[person] > 1).sum()), person.size)


# ---- journeys -----------------------------------------------------------------------------------------------------


def _crossing(data: Dataset, how: Settings) -> Iterator[Measured]:
    log = data.events
    done = None if _no(log) else np.isin(log.events.ids.astype(str), how.completes)  # type: ignore[union-attr]
    if log is None or done is None or not done.any():
        line = f"events that complete journeys, completes={list(how.completes)!r}"
        yield _missing("crossed", line)
        yield _missing("hand_over", line)
        return
    walked = journeys_of(log, ~done, done, how.window, same_item=True)
    ended = walked.end != NONE
    moved = ended & (walked.end != walked.start)
    yield _part("crossed", moved[ended], walked.user[ended])
    if moved.any():
        yield Measured("hand_over", "", float(np.median(walked.hours[moved])), np.unique(walked.user[moved]).size)
    else:
        yield _missing("hand_over", "journeys that end on another channel")


def _fresh(data: Dataset, how: Settings) -> Iterator[Measured]:
    log = data.events
    if _no(log) or log is None:
        yield _missing("fresh", "om.Dataset(log)")
        return
    for code, channel in enumerate(log.channels.ids):
        here = np.flatnonzero(log.channel == code)
        last = np.full(log.n_users, NEVER)
        np.maximum.at(last, log.user[here], log.at[here])
        seen = last != NEVER
        if seen.any():
            days = (data.end_us - last[seen]) / DAY_US
            yield Measured("fresh", str(channel), float(np.median(days)), int(seen.sum()))


# ---- one offer ----------------------------------------------------------------------------------------------------


def _one_offer(data: Dataset, how: Settings) -> Iterator[Measured]:
    log = data.events
    if log is None or log.value is None or how.priced is None:
        yield _missing("one_price", "events whose value is a unit price, priced=['purchase']")
    else:
        rows = np.flatnonzero(
            np.isin(log.events.ids.astype(str), how.priced)[log.event] & (log.item != NONE) & ~np.isnan(log.value)
        )
        spread = _spread(log, rows, log.value[rows])
        yield _differing("one_price", spread, log.n_items)
    if log is None or "offer_id" not in log.labels:
        yield _missing("one_offer", "a column offer_id, EventLog.from_frame(frame, context=['offer_id'])")
    else:
        codes = log.labels["offer_id"][1]
        rows = np.flatnonzero((codes >= 0) & (log.item != NONE))
        yield _differing("one_offer", _spread(log, rows, codes[rows].astype(np.float64), exact=True), log.n_items)


def _spread(log: Any, rows: np.ndarray, what: np.ndarray, *, exact: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return the (user, item) pairs that were seen on several channels within a day, and whether they differed."""
    day = log.at[rows] // DAY_US
    key = (log.user[rows].astype(np.int64) * max(1, log.n_items) + log.item[rows]) * (int(day.max(initial=0)) + 1) + day
    _, group = np.unique(key, return_inverse=True)
    n = int(group.max(initial=-1)) + 1
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(low, group, what)
    np.maximum.at(high, group, what)
    first, last = np.full(n, 1 << 30), np.full(n, -1)
    np.minimum.at(first, group, log.channel[rows])
    np.maximum.at(last, group, log.channel[rows])
    several = first < last
    # Different on one channel alone says nothing; the lowest and the highest must lie on different channels.
    inside = np.zeros(n, np.bool_)
    order = np.lexsort([log.channel[rows], group])
    g, c, w = group[order], log.channel[rows][order], what[order]
    same = (g[1:] == g[:-1]) & (c[1:] != c[:-1]) if g.size else np.zeros(0, np.bool_)
    apart = np.abs(w[1:] - w[:-1]) > (0 if exact else _SAME_PRICE * np.maximum(np.abs(w[1:]), np.abs(w[:-1])))
    inside[g[1:][same & apart]] = True
    pair = np.full(n, -1, np.int64)
    pair[group] = log.user[rows].astype(np.int64) * max(1, log.n_items) + log.item[rows]
    whole, place = np.unique(pair[several], return_inverse=True)
    differs = np.zeros(whole.size, np.bool_)
    np.logical_or.at(differs, place, inside[several])
    return whole, differs


def _differing(key: str, spread: tuple[np.ndarray, np.ndarray], n_items: int) -> Measured:
    pairs, differs = spread
    if not pairs.size:
        return _missing(key, "people who met one item on two channels on one day")
    return _part(key, differs, pairs // max(1, n_items))


# ---- messages -----------------------------------------------------------------------------------------------------


def _consent(data: Dataset, how: Settings) -> Iterator[Measured]:
    people = data.audience
    if people is None or not len(people) or not len(people.channels):
        yield _missing("consent", "om.Dataset(log, audience=people)")
        return
    may = open_to(data if how.past is None else how.past, people.channels, data.end_us or None, "scorecard")
    yield _share("consent", int(may.any(axis=1).sum()), people.n_users)
    for code, channel in enumerate(people.channels.ids):
        yield _share("consent", int(may[:, code].sum()), people.n_users, str(channel))


def _pressure(data: Dataset, how: Settings) -> Iterator[Measured]:
    sent = data.messages
    if sent is None or not len(sent):
        yield _missing("pressure", "om.Dataset(log, messages=sent)")
        return
    weeks = max(1.0, (int(sent.sent_at[-1]) - int(sent.sent_at[0])) / (7 * DAY_US))
    each = np.bincount(sent.user, minlength=sent.n_users) / weeks
    yield Measured("pressure", "", float(np.quantile(each[each > 0], 0.9)), int((each > 0).sum()))


def _opt_outs(data: Dataset, how: Settings) -> Iterator[Measured]:
    sent = data.messages
    if sent is None or not len(sent) or sent.unsubscribed_at is None:
        line = "messages with a column unsubscribed_at"
        yield _missing("after_opt_out", line)
        yield _missing("opt_out", line)
        return
    gone = sent.unsubscribed_at != NEVER
    log = sent if how.past is None else how.past.messages
    key = log.user.astype(np.int64) * len(log.channels) + log.channel
    first = np.full(log.n_users * len(log.channels), np.iinfo(np.int64).max)
    left_at = sent.unsubscribed_at if how.past is None else how.past.messages.unsubscribed_at
    left = left_at != NEVER
    np.minimum.at(first, key[left], left_at[left])
    late = (log.sent_at > first[key])[len(log) - len(sent) :]  # a period's messages are the last of those to its end
    yield _part("after_opt_out", late, sent.user)
    for code, channel in enumerate(sent.channels.ids):
        here = sent.channel == code
        yield _part("opt_out", gone[here], sent.user[here], str(channel))


def _lag(data: Dataset, how: Settings) -> Iterator[Measured]:
    log, sent = data.events, data.messages
    if log is None or sent is None or not len(log) or not len(sent):
        yield _missing("lag", "om.Dataset(log, messages=sent)")
        return
    user = match(log.users, sent.users, ("events", "messages"))[sent.user]
    order = np.lexsort([log.at, log.user])
    keyed = log.user[order].astype(np.int64)
    at = log.at[order]
    start = np.searchsorted(keyed, np.arange(log.n_users))
    stop = np.searchsorted(keyed, np.arange(log.n_users), side="right")
    rows = np.flatnonzero(user != NONE)
    last = np.array(
        [
            np.searchsorted(at[start[u] : stop[u]], t) + start[u] - 1
            for u, t in zip(user[rows], sent.sent_at[rows], strict=True)
        ],
        np.int64,
    )
    has = last >= start[user[rows]] if rows.size else np.zeros(0, np.bool_)
    if not has.any():
        yield _missing("lag", "events before the messages")
        return
    hours = (sent.sent_at[rows][has] - at[last[has]]) / HOUR_US
    yield Measured("lag", "", float(np.median(hours)), np.unique(user[rows][has]).size)


def _stock(data: Dataset, how: Settings) -> Iterator[Measured]:
    sent = data.messages
    if sent is None or how.out_of_stock is None or not (sent.item != NONE).any():
        yield _missing("stock_out", "messages with items, and stock_outs= with item_id, since and until")
        return
    items, item, since, until = how.out_of_stock
    code = np.append(match(items, sent.items, ("stock_outs", "messages"), column="item_id"), NONE)[sent.item]
    out = np.zeros(len(sent), np.bool_)
    for which in np.unique(item):
        mine = np.flatnonzero(code == which)
        for a, b in zip(since[item == which], until[item == which], strict=True):
            out[mine] |= (sent.sent_at[mine] >= a) & (sent.sent_at[mine] < b)
    about = sent.item != NONE
    yield _part("stock_out", out[about], sent.user[about])


def _known(data: Dataset, how: Settings) -> Iterator[Measured]:
    log = data.events
    if log is None or not len(log):
        yield _missing("channel_known", "om.Dataset(log)")
        yield _missing("needs_known", "om.Dataset(log)")
        return
    everybody = data.users
    n = len(everybody)
    events = np.bincount(log.user, minlength=log.n_users)
    about = np.bincount(log.user[log.item != NONE], minlength=log.n_users)
    yield _share("channel_known", int((events >= _KNOWN_EVENTS).sum()), n)
    yield _share("needs_known", int((about >= _KNOWN_EVENTS).sum()), n)
