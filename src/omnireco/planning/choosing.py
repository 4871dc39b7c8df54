"""Which touches are worth planning: what every rule allows, cut down to the best few.

Rules come first, pruning second: pruning first would keep a 23:00 that quiet hours then remove,
and the person gets nothing.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from omnireco._core.checks import check_kind, check_known
from omnireco._core.compute import Progress, row_blocks, track
from omnireco._core.contract import says_the_line
from omnireco._core.units import DAY_US
from omnireco.data.asking.touches import Touches, free_days, holidays_in
from omnireco.data.clock import Slots, local_us, slots_by_zone
from omnireco.data.messages import NEVER
from omnireco.data.vocabulary import NONE, Vocabulary, match, unite
from omnireco.errors import ParameterError
from omnireco.planning.assembling import known_zone, no_touches
from omnireco.planning.candidates import Candidates, in_order
from omnireco.planning.inputs import (
    allowed,
    check_channels,
    check_rules,
    check_slots,
    check_verb,
    given_data,
    sources_of,
)
from omnireco.planning.per_person import PerPerson
from omnireco.planning.rules import Consent, Eligibility
from omnireco.planning.sources import FORBIDDEN, audience_rows, consent_since
from omnireco.planning.touch_value import TouchValue, check_value

if TYPE_CHECKING:
    from omnireco.choices.decisions import CreativeChoices
    from omnireco.data.audience import Audience
    from omnireco.data.catalog import Catalog
    from omnireco.data.dataset import Dataset
    from omnireco.data.events import EventLog
    from omnireco.data.recommendations import Recommendations

__all__ = ["Timing", "candidates"]

_LINE = "om.candidates(recs, data, timing, om.slots('2025-06-01', days=7), channels=['push', 'email'])"
_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


class Timing(Protocol):
    """A response model by hour: what :func:`candidates` needs of a fitted SendTime, or of one of your own.

    One verb, a table of people times slots: candidates evaluate thousands of slots of each person, and a table shares
    what is known of a person among them. Where ``probability(touches)`` exists too, both agree.
    """

    def slot_probability(self, audience: Audience, rows: np.ndarray, channel: str, at_us: np.ndarray) -> np.ndarray:
        """Return the response probability, float64 of shape (n_rows, n_slots), each in [0, 1].

        ``rows`` are rows of the audience, ``at_us`` instants in UTC microseconds.
        """


@says_the_line(_LINE)
def candidates(
    recs: Recommendations | Mapping[str, Recommendations],
    data: Dataset,
    timing: Timing,
    slots: Slots,
    *,
    channels: str | Iterable[str] | None = None,
    eligibility: Iterable[Eligibility] = (),
    per_person: PerPerson | None = None,
    value: TouchValue | None = None,
    creatives: CreativeChoices | Mapping[str, CreativeChoices] | None = None,
    withdrawals: str | Iterable[str] | EventLog | None = None,
    progress: Progress = False,
) -> Candidates:
    """Return the touches worth planning: allowed by every rule, then the best few per person.

    Parameters
    ----------
    recs : Recommendations, or mapping of str to Recommendations
        Ranked items per person, or such lists for each channel: ``{"email": lists_a, "push": lists_b}``. People who are
        not in the audience get nothing.
    data : Dataset
        With the ``audience``: zones and consents; consent and reachability are always enforced, listed or not.
        ``messages`` are what people had before: frequency caps count them, and who unsubscribed has no consent on that
        channel. With margins in the ``catalog``, values are money, and items without a margin are left out; else a
        response has the value 1.
    timing : fitted SendTime, or any Timing
        The response probability by person, channel and instant: ``slot_probability(audience, rows, channel, at_us)``.
        Of
        ``om.causal.Uplift``, ``model.timing(send_time, data)``: values are then what a message adds (``.made_of``).
    slots : Slots
        The instants at which a message may leave; whole days are those of each person's own calendar.
    channels : str or iterable of str
        Channels to use; may be left out where ``recs`` names them.
    eligibility : iterable of Eligibility
        Further rules, such as quiet hours; applied before any pruning.
    per_person : PerPerson, optional
        What one person may be offered: by default 3 items, 8 slots for each on a channel, every item once, and 4 hours
        between two messages. ``om.planning.PerPerson(n_items=1, min_interval="20h")``.
    value : TouchValue, optional
        What a touch costs beside what it earns: the channel, the reward, fatigue, the risk of an unsubscription. Each
        term becomes a column (``.terms``). Touches with a negative value are not sent. By default nothing costs
        anything.
    creatives : CreativeChoices, or mapping of str to CreativeChoices, optional
        A creative per person and item, from ``CreativeModel.choose``, for all channels or for each: it becomes the
        ``creative_id`` of the touches.
    withdrawals : str, iterable of str or EventLog, optional
        Events that withdraw consent, each of them: their names in the data, ``["unsubscribed"]``, or a log of them
        alone. See :class:`Consent`.
    progress : bool or callable(done, total)
        A bar over the blocks of people on each channel; over the channels, where each has its own lists.

    Returns
    -------
    Candidates
        ``.left_out`` has the number of touches each rule removed.

    Raises
    ------
    ParameterError
        When a channel has no consent column, the arguments are of another type or out of range, a rule names a channel
        that nothing has or does not return one bool per touch, or the timing no chance between 0 and 1 for each person
        and slot.
    SchemaError
        When the data has no audience, ids are integers in one table and strings in another, or a channel is spelt in
        two ways.
    TypeError
        When an audience stands where the Dataset goes.

    Warns
    -----
    DataWarning
        When hardly any of the people or items are in the audience, the message log, the catalogue or the creatives.

    Notes
    -----
    The value of a touch is its response probability (with ``slot_increment``: what the message adds) times the worth
    of the item (its margin, else 1) times the discount of its rank, 1 / log2(1 + rank): an item ranked third has half
    the response probability of the first, as NDCG has it. Deterministic; people are worked through in blocks of at
    most 128 MB.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from types import SimpleNamespace
    >>> from omnireco.data import Audience, Dataset, Recommendations, slots
    >>> people = Audience.from_frame(pd.DataFrame({"user_id": [1, 2], "timezone": "UTC",
    ...                                            "consent_push": [True, False]}))
    >>> recs = Recommendations.from_frame(pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["tea", "cup", "cup"],
    ...                                                 "rank": [1, 2, 1]}))
    >>> even = SimpleNamespace(slot_probability=lambda audience, rows, channel, at: np.full((len(rows), len(at)), 0.1))
    >>> found = candidates(recs, Dataset(audience=people), even, slots("2025-06-01", days=2), channels=["push"],
    ...                    per_person=PerPerson(n_slots=2))
    >>> found, found.left_out["Consent"]
    (Candidates(4 touches, 1 user, 2 items, 1 channel; values of chances), 48)
    """
    rules = check_rules(eligibility)
    data = given_data(data, ("audience",), "candidates", _LINE)
    audience, limits = data.part("audience", "candidates"), PerPerson() if per_person is None else per_person
    check_slots(slots)
    check_kind(limits, PerPerson, "per_person", "per_person=om.planning.PerPerson(n_items=3, min_interval='4h')")
    check_verb(timing, "slot_probability", "timing", "timing=om.SendTime().fit(data)")
    sources = sources_of(data, withdrawals, rules, "candidates")
    if isinstance(recs, Mapping):
        one = functools.partial(
            candidates,
            data=data,
            timing=timing,
            slots=slots,
            eligibility=rules,
            per_person=limits,
            value=value,
            creatives=creatives,
            withdrawals=next(iter(sources.withdrawals), None),
        )
        names = _channels_of_lists(recs, channels, audience)
        named = track(tuple(names), progress, label="candidates")
        return Candidates.concat([one(recs[name], channels=name) for name in named])
    _check_models(recs, value, creatives, audience)
    names = check_channels(channels, audience)
    n_items = min(max(limits.items_on(name) for name in names), recs.k)
    users, ranked = Vocabulary.encode(recs.users.ids, "user_id")
    codes = np.asarray(recs.codes)[np.argsort(ranked), :n_items]
    known = Vocabulary(np.array(names, object))
    empty = no_touches(users, recs.items, known, sources)
    left_out: dict[str, int] = dict.fromkeys(["not in the audience", "no margin", "Consent", "Reachable"], 0)
    left_out |= dict.fromkeys([rule.name for rule in rules], 0)
    left_out |= {"no lifetime value": 0} if value is not None else {}
    left_out |= {"no value": 0, "not among the best slots": 0}
    since = consent_since(users, known, sources)
    worth = _worth(recs.items, data.catalog, value)
    costs = None if value is None else _Costs.of(value, users, recs.items, known)
    offers = _Offers(audience, timing, slots, empty, rules, worth, limits.n_slots, left_out, costs, since)
    row = audience_rows(audience, users)
    left_out["not in the audience"] = int((codes[row < 0] != NONE).sum()) * len(names) * len(slots)
    member = np.flatnonzero(row >= 0)
    shown = {name: limits.lengths_on(name, empty.traits) for name in names}
    blocks = list(row_blocks(member.size, n_items * len(slots) * 96)) or [slice(0)]  # rules are asked of nobody too
    cells = list(itertools.product(blocks, enumerate(names)))
    parts = [
        offers.block(
            member[block], row[member[block]], _top(codes, member[block], limits.items_on(name), shown[name]), code
        )
        for block, (code, name) in track(cells, progress, label="candidates")
    ]
    touches, worth_of, probability, terms = _join(offers.empty, parts)
    labels = {} if creatives is None else {"creative_id": _creative_label(touches, creatives)}
    everything = np.arange(len(touches))
    found = in_order(touches, worth_of, probability, labels, left_out, limits.implied, everything, sources, terms)
    found = replace(found, made_of="increments" if _adds(timing) else "chances")
    _log.info("candidates: %d touches for %d people", len(found), len(users))
    return found


def _top(codes: np.ndarray, member: np.ndarray, most: int, lengths: np.ndarray | None) -> np.ndarray:
    """Return the items that some people may be offered on a channel: of each as many as their device shows."""
    top = codes[member, :most]
    return top if lengths is None else np.where(np.arange(top.shape[1]) < lengths[member][:, None], top, NONE)


@dataclass(frozen=True, slots=True)
class _Offers:
    """What every block of people has in common."""

    audience: Any
    timing: Timing
    slots: Slots
    empty: Touches
    rules: tuple[Eligibility, ...]
    worth: np.ndarray
    n_slots: int
    left_out: dict[str, int]
    costs: _Costs | None
    since: np.ndarray

    def block(self, user: np.ndarray, row: np.ndarray, codes: np.ndarray, channel: int) -> Touches:
        """Return the best touches of some people on one channel, with values and probabilities."""
        name = str(self.empty.channels.ids[channel])
        at, opens, n_slots = self._slots_of(row)
        column = int(np.flatnonzero(self.audience.channels.ids == name)[0])
        discount = 1.0 / np.log2(np.arange(codes.shape[1]) + 2.0)
        worth = np.where(codes == NONE, np.nan, self.worth[codes]) * discount
        self._count("no margin", int(((np.isnan(worth) & (codes != NONE)).sum(axis=1) * n_slots).sum()))
        has_item = ~np.isnan(worth)
        offered = has_item.sum(axis=1) * n_slots
        since, reachable = self.since[user, channel], self.audience.reachable[row, column]
        consent = since < FORBIDDEN
        self._count("Consent", int(offered[~consent].sum()))
        self._count("Reachable", int(offered[consent & ~reachable].sum()))
        open_to = np.flatnonzero(consent & reachable & has_item.any(axis=1))
        user, row, codes, worth, has_item = (a[open_to] for a in (user, row, codes, worth, has_item))
        since, opens = since[open_to], opens[open_to]
        chance, cost = _chances(self.timing, self.audience, row, name, at), np.zeros(row.size)
        added = _increments(self.timing, self.audience, row, name, at) if _adds(self.timing) else chance
        tiring = None if self.costs is None else self.costs.value.fatigue
        if tiring is not None and row.size:
            ids = self.audience.users.ids[row]
            factor = _check_fatigue(tiring.factor(ids, name, at), "factor", (row.size, at.size))
            same = added is chance
            chance = np.minimum(chance * factor, 1.0)
            added = chance if same else added * factor
            cost = _check_fatigue(tiring.cost(ids, name), "cost", (row.size,)) * np.nanmax(worth, axis=1).clip(min=0.0)
        person, rank = np.nonzero(has_item)
        zone = known_zone(self.audience, row)
        clock = _local_table(self.audience, at)[zone]
        free = free_days(self.audience, clock, zone[:, None])
        flat = np.arange(person.size * at.size)
        pair, slot = flat // max(1, at.size), flat % max(1, at.size)
        value = (added[person] * worth[person, rank][:, None] - cost[person][:, None]).ravel()
        terms: dict[str, np.ndarray] = {}
        if _adds(self.timing) or self.costs is not None:
            terms["increment"] = (added[person] * discount[rank][:, None]).ravel()
        if self.costs is not None:
            answers = (chance[person] * discount[rank][:, None]).ravel()
            item = codes[person, rank]
            terms |= self.costs.terms(user[person][pair], item[pair], channel, answers)
            terms |= {"margin": self.worth[item][pair], "fatigue_cost": cost[person][pair]}
            with np.errstate(over="ignore", invalid="ignore"):  # costs beyond every number: not sent
                value = value - terms["channel_cost"] - terms["reward_cost"] - terms["unsubscribe_cost"]
        numbers = {"value": value, "probability": chance[person].ravel(), **terms}
        whole = Touches(
            self.empty.users,
            self.empty.items,
            self.empty.channels,
            user[person][pair].astype(np.int32),
            codes[person, rank][pair].astype(np.int32),
            np.full(flat.size, channel, np.int32),
            at[slot],
            clock[person].ravel(),
            (at[None, :] >= since[person][:, None]).ravel(),
            np.ones(flat.size, np.bool_),
            self.empty.past,
            self.empty.named,
            holiday=None if free is None else free[person].ravel(),
            numbers=numbers,
            traits=self.empty.traits,
        )
        own_days = np.flatnonzero(opens[person].ravel())
        kept = own_days[allowed(whole.take(own_days), (Consent(), *self.rules), self.left_out)]
        good = kept[value[kept] > 0]
        unknown = int(np.isnan(value[kept]).sum())
        if self.costs is not None:
            self._count("no lifetime value", unknown)
        self._count("no value", kept.size - good.size - unknown)
        table = np.full(flat.size, -np.inf)
        table[good] = value[good]
        best = _best_slots(table.reshape(person.size, at.size), self._days(at, clock[person]), self.n_slots)
        chosen = np.flatnonzero(best.ravel())
        self._count("not among the best slots", good.size - chosen.size)
        return whole.take(chosen)

    def _slots_of(self, row: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the instants, which are slots for whom, bool (n_people, n), and how many each person has."""
        at, inside = slots_by_zone(self.slots, self.audience.zones)
        opens = inside[known_zone(self.audience, row)]
        return at, opens, opens.sum(axis=1)

    def _days(self, at: np.ndarray, clock: np.ndarray) -> np.ndarray:
        """Return the day of each slot, (n, s): of the person's own calendar, or 24 hours from the first slot."""
        since = (at - self.slots.first_us) // DAY_US
        own = np.where(clock == NEVER, since[None, :], (clock - self.slots.first_us) // DAY_US)
        return own if self.slots.local_days else np.broadcast_to(since, clock.shape)

    def _count(self, reason: str, n: int) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + n


def _best_slots(value: np.ndarray, day: np.ndarray, keep: int) -> np.ndarray:
    """Return which slots of each row to keep, bool (n, s): the best of each day first; -inf never.

    ``day`` has the shape (n, s). Ties go to the earlier slot.
    """
    order = np.argsort(-value, axis=1, kind="stable")
    days = np.take_along_axis(day, order, axis=1)
    by_day = np.argsort(days, axis=1, kind="stable")
    days = np.take_along_axis(days, by_day, axis=1)
    place = np.broadcast_to(np.arange(value.shape[1]), value.shape)
    fresh = np.ones(value.shape, np.bool_)
    fresh[:, 1:] = days[:, 1:] != days[:, :-1]
    turn = np.empty_like(order)
    np.put_along_axis(turn, by_day, place - np.maximum.accumulate(np.where(fresh, place, 0), axis=1), axis=1)
    ranked = np.take_along_axis(value, order, axis=1)
    turn[np.isneginf(ranked)] = value.shape[1]  # never before an allowed slot, whatever its day
    first = np.argsort(turn, axis=1, kind="stable")[:, :keep]
    mask = np.zeros(value.shape, np.bool_)
    np.put_along_axis(mask, np.take_along_axis(order, first, axis=1), True, axis=1)
    return mask & ~np.isneginf(value)


def _channels_of_lists(recs: Mapping[str, Any], channels: Any, audience: Audience) -> tuple[str, ...]:
    """Return the channels of a mapping of lists; those named beside it must be the same."""
    names = check_channels(list(recs), audience)
    if channels is not None and set(check_channels(channels, audience)) != set(names):
        raise ParameterError(
            f"channels names others than the mapping of lists, which has {', '.join(map(repr, names))}. "
            "Leave channels out: the keys of the mapping name them."
        )
    return names


def _check_models(recs: Any, value: Any, creatives: Any, audience: Audience) -> None:
    """Refuse lists, values and creatives of another type, with the line that makes them."""
    from omnireco.choices.decisions import CreativeChoices
    from omnireco.data.recommendations import Recommendations

    check_kind(
        recs,
        Recommendations,
        "recs",
        "recs=model.recommend(data.requests(), k=10), or om.Recommendations.from_frame(frame)",
    )
    if recs.key != "user_id":
        raise ParameterError(
            f"recs must hold one list per person (user_id). These are named by {recs.key}, and would be taken for "
            "other people's. Ask once for everybody: recs=model.recommend(data.requests(), k=10)."
        )
    several = creatives if isinstance(creatives, Mapping) else {None: creatives}
    for one in several.values():
        check_kind(
            one, CreativeChoices, "creatives", "creatives=om.choices.Creatives().fit(...).choose(...)", none=True
        )
    if isinstance(creatives, Mapping):
        check_known(creatives, audience.channels.ids, "creatives: channels", missing=None)
    check_value(value)


def _check_fatigue(answer: Any, verb: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the result of a fatigue model, when it is one finite number per person (and slot), 0 or more."""
    found = np.asarray(answer, np.float64)
    if found.shape != shape or not (np.isfinite(found) & (found >= 0)).all():
        raise ParameterError(
            f"fatigue.{verb} must return numbers of 0 or more of shape {shape}. Got shape {found.shape}"
            f"{'' if found.shape != shape else ', with missing, endless or negative ones'}. Fit one with "
            "om.timing.Fatigue().fit(data)."
        )
    return found


def _chances(timing: Timing, audience: Audience, row: np.ndarray, channel: str, at: np.ndarray) -> np.ndarray:
    """Return the timing's probabilities, checked: one between 0 and 1 for each person and slot."""
    if row.size == 0:
        return np.empty((0, at.size))
    chance = np.asarray(timing.slot_probability(audience, row, channel, at), np.float64)
    if chance.shape != (row.size, at.size) or not (np.isfinite(chance).all() and (chance >= 0).all()):
        raise ParameterError(
            f"timing.slot_probability must return a probability in [0, 1] for each of {row.size} people and {at.size} "
            f"slots. Got shape {chance.shape}{'' if np.isfinite(chance).all() else ', with missing values'}. "
            "Fit one with om.SendTime().fit(data)."
        )
    if (chance > 1).any():
        raise ParameterError(
            f"timing.slot_probability returned probabilities above 1 (up to {chance.max():g}). It must be in "
            "[0, 1], not a score: divide it, or fit om.SendTime()."
        )
    return chance


def _adds(timing: Any) -> bool:
    """Return whether values are to be made of what a message adds."""
    return callable(getattr(timing, "slot_increment", None))


def _increments(timing: Any, audience: Audience, row: np.ndarray, channel: str, at: np.ndarray) -> np.ndarray:
    """Return what a message adds, checked: a finite number for each person and slot."""
    if row.size == 0:
        return np.empty((0, at.size))
    added = np.asarray(timing.slot_increment(audience, row, channel, at), np.float64)
    if added.shape != (row.size, at.size) or not np.isfinite(added).all():
        raise ParameterError(
            f"timing.slot_increment must return a finite number for each of {row.size} people and {at.size} slots. Got "
            f"shape {added.shape}{'' if np.isfinite(added).all() else ', with missing values'}. Make one with "
            "om.causal.Uplift(target='purchase').fit(data).timing(send_time, data)."
        )
    return added


def _worth(items: Vocabulary, catalog: Catalog | None, value: TouchValue | None) -> np.ndarray:
    """Return the value of a response per item: its margin when the catalogue has margins, else 1."""
    if value is not None and value.known_margin:
        return np.append(value.margins(items), np.nan)
    if catalog is None or catalog.margin is None:
        return np.ones(max(1, len(items)))
    row = match(catalog.items, items, ("the catalogue", "the lists"), column="item_id")
    return np.append(catalog.margin, np.nan)[row]


@dataclass(frozen=True, slots=True)
class _Costs:
    """What touches cost, by person, item and channel."""

    value: TouchValue
    lifetime: np.ndarray
    reward: np.ndarray
    channel: np.ndarray
    risk: np.ndarray

    @classmethod
    def of(cls, value: TouchValue, users: Vocabulary, items: Vocabulary, channels: Vocabulary) -> _Costs:
        """Return the costs in the codes of these people, items and channels."""
        return cls(value, value.lifetimes(users), value.rewards(items), *value.of_channels(channels))

    def terms(self, user: np.ndarray, item: np.ndarray, channel: int, answers: np.ndarray) -> dict[str, np.ndarray]:
        """Return the costs of some touches of one channel; a reward is paid on a response only."""
        risk = self.risk[channel]
        return {
            "channel_cost": np.full(user.size, self.channel[channel]),
            "reward_cost": answers * self.reward[item],
            "unsubscribe_cost": risk * self.lifetime[user] if risk else np.zeros(user.size),
        }


def _join(empty: Touches, parts: list[Touches]) -> tuple[Touches, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return the blocks as one, with values, probabilities and the terms of the values."""
    blocks = [empty, *parts]
    joined = Touches(
        empty.users,
        empty.items,
        empty.channels,
        np.concatenate([block.user for block in blocks]),
        np.concatenate([block.item for block in blocks]),
        np.concatenate([block.channel for block in blocks]),
        np.concatenate([block.send_at for block in blocks]),
        np.concatenate([block.local_at for block in blocks]),
        np.concatenate([block.consent for block in blocks]),
        np.concatenate([block.reachable for block in blocks]),
        empty.past,
        empty.named,
        holiday=holidays_in(blocks),
        traits=empty.traits,
    )
    names = [] if not parts else list(parts[0].numbers)
    numbers = {name: np.concatenate([np.empty(0), *(part.numbers[name] for part in parts)]) for name in names}
    return joined, numbers.pop("value"), numbers.pop("probability"), numbers


def _creative_label(touches: Touches, chosen: Any) -> tuple[Vocabulary, np.ndarray]:
    """Return the creative of each touch, of one set of choices or of those of its channel; -1 for none."""
    if not isinstance(chosen, Mapping):
        return _creatives_of(touches, chosen)
    names = [name for name in touches.channels.ids if chosen.get(name) is not None]
    if not names:
        return Vocabulary(np.empty(0, object)), np.full(len(touches), NONE, np.int32)
    known, codes = unite([chosen[name].creatives for name in names], "creative_id")
    label = np.full(len(touches), NONE, np.int32)
    for name, new in zip(names, codes, strict=True):
        rows = np.flatnonzero(touches.channel == touches.channels.codes([name])[0])
        label[rows] = np.append(new, np.int32(NONE))[_creatives_of(touches.take(rows), chosen[name])[1]]
    return known, label


def _creatives_of(touches: Touches, chosen: CreativeChoices) -> tuple[Vocabulary, np.ndarray]:
    """Return the creative chosen for the person and item of each touch, -1 for none."""
    user = match(chosen.users, touches.users, ("the creatives", "the lists"))[touches.user].astype(np.int64)
    item = match(chosen.items, touches.items, ("the creatives", "the lists"), column="item_id")[touches.item].astype(
        np.int64
    )
    if not len(chosen):
        return chosen.creatives, np.full(len(touches), NONE, np.int32)
    keys = chosen.user.astype(np.int64) * len(chosen.items) + chosen.item
    wanted = user * len(chosen.items) + item
    spot = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
    same = (keys[spot] == wanted) & (user >= 0) & (item >= 0)
    return chosen.creatives, np.where(same, chosen.creative[spot], NONE).astype(np.int32)


def _local_table(audience: Audience, at: np.ndarray) -> np.ndarray:
    """Return the local time of each slot in each zone, (n_zones + 1, n_slots); the last row is "unknown"."""
    zone = np.arange(len(audience.zones), dtype=np.int32)[:, None]
    known = local_us(at[None, :], zone, audience.zones) if zone.size else np.empty((0, at.size), np.int64)
    return np.concatenate([known, np.full((1, at.size), NEVER)])
