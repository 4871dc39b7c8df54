"""Touches that could be sent: every allowed channel and slot of the best items, cut down to the best few.

Rules come first, pruning second: pruning first would keep a 23:00 that quiet hours then remove,
and the person gets nothing.
"""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from omnireco._core.checks import check_choice, check_flag, check_kind, name_rows
from omnireco._core.compute import row_blocks
from omnireco._core.contract import says_the_line
from omnireco._core.frozen import ReadOnly
from omnireco._core.parts import Maybe, Parts, Record, freeze, numbers, probabilities
from omnireco._core.small import Each, Plain, Text, Value
from omnireco._core.units import DAY_US
from omnireco.data.asking.touches import Touches, free_days, holidays_in
from omnireco.data.clock import Slots, local_us, slots_by_zone
from omnireco.data.frames.columns import decode_optional, instants_to_pandas, open_frame
from omnireco.data.messages import NEVER
from omnireco.data.parts import Labels
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import DataWarning, ParameterError, SchemaError
from omnireco.planning.inputs import (
    allowed,
    check_channels,
    check_rules,
    check_slots,
    check_verb,
    given_data,
    sources_of,
)
from omnireco.planning.joining import joined
from omnireco.planning.per_person import PerPerson
from omnireco.planning.rules import Consent, Constraint, Eligibility, OncePerItem, Reachable
from omnireco.planning.sources import (
    FORBIDDEN,
    Sources,
    audience_rows,
    channel_names,
    consent_since,
    past_messages,
)

if TYPE_CHECKING:
    import pandas as pd

    from omnireco.choices.decisions import CreativeChoices
    from omnireco.data.audience import Audience
    from omnireco.data.catalog import Catalog
    from omnireco.data.dataset import Dataset
    from omnireco.data.events import EventLog
    from omnireco.data.recommendations import Recommendations

__all__ = ["Candidates", "Timing", "Tiring", "candidates"]

_LINE = "om.candidates(recs, data, timing, om.slots('2025-06-01', days=7), channels=['push', 'email'])"
MADE_OF = ("chances", "increments", "given")
_LABELS = ("creative_id", "store_id", "offer_id")
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


class Tiring(Protocol):
    """A fatigue model: what :func:`candidates` needs of a fitted Fatigue, or of one of your own."""

    def factor(self, user_ids: Any, channel: str, at_us: Any) -> np.ndarray:
        """Return by how much earlier messages lower the response probability, float64 of shape (n, n_slots)."""

    def cost(self, user_ids: Any, channel: str) -> np.ndarray:
        """Return how many later responses one more message costs, float64 of shape (n,)."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Candidates:
    """Touches that may be sent, each with a value; the input of ``plan``.

    Parameters
    ----------
    touches : Touches
        Who, what, where, when; in the order (send_at, user, channel, item, ...), whatever the caller's was.
    value : float64 array, shape (n,)
        Value of sending each, in the caller's currency.
    probability : float64 array, shape (n,), or None
        Response probability; NaN where it is not known.
    labels : mapping of str to (Vocabulary, int32 array of shape (n,))
        ``creative_id``, ``store_id``, ``offer_id`` where given; -1 where missing.
    left_out : mapping of str to int
        How many touches each rule took away, in order of application.
    implied : tuple of Constraint
        Constraints that these touches bring along; ``plan`` adds them to those it is given.
    sources : Sources
        The audience, the logs and the rules that they were made under; :meth:`concat` applies them again.
    made_of : {"chances", "increments", "given"}
        What values are made of: the chance of a response, whoever would have come anyway; what the message adds; or
        numbers of one's own.

    Raises
    ------
    ParameterError
        When an array has not one number per touch, or a value is not finite.
    """

    touches: Touches
    value: np.ndarray
    probability: np.ndarray | None = None
    labels: Mapping[str, tuple[Vocabulary, np.ndarray]] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    implied: tuple[Constraint, ...] = ()
    sources: Sources = field(default_factory=Sources)
    made_of: str = "given"

    parts: ClassVar[Parts] = {
        "touches": Record(Touches),
        "value": numbers("n"),
        "probability": Maybe(probabilities("n")),
        "labels": Labels("n"),
        "left_out": Plain(Mapping[str, int]),
        "implied": Each(Value((Constraint,))),
        "sources": Record(Sources),
        "made_of": Text(MADE_OF),
    }

    def __post_init__(self) -> None:
        check_kind(self.touches, Touches, "touches", "om.planning.Candidates.from_frame(frame)")
        _check_numbers(self.touches, self.value, self.probability)
        check_choice(self.made_of, "made_of", MADE_OF)
        freeze(self)
        object.__setattr__(self, "labels", ReadOnly(self.labels))
        object.__setattr__(self, "left_out", ReadOnly(self.left_out))

    @classmethod
    @says_the_line("om.planning.Candidates.from_frame(frame, om.Dataset(messages=sent, audience=people))")
    def from_frame(
        cls,
        frame: Any,
        data: Dataset | None = None,
        *,
        columns: Mapping[str, str] | None = None,
        eligibility: Iterable[Eligibility] = (),
        once_per_item: bool = False,
        withdrawals: str | Iterable[str] | EventLog | None = None,
    ) -> Candidates:
        """Read touches with values of one's own.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            ``user_id``, ``item_id``, ``channel``, ``send_at`` (with a time zone) and ``value``; optionally
            ``probability``, ``creative_id``, ``store_id`` and ``offer_id``.
        data : Dataset, optional
            With an ``audience``, consent and reachability are enforced and people who are not in it get nothing.
            Without it the rows are taken as allowed, and local times stay unknown. ``messages`` are what people had
            before: frequency caps count them, and who unsubscribed has no consent on that channel.
        columns : mapping of str to str, optional
            Our name to yours.
        eligibility : iterable of Eligibility
            Further rules, such as quiet hours.
        once_per_item : bool, default False
            Whether the touches of a person and item are alternatives, of which one at most is sent.
        withdrawals : str, iterable of str or EventLog, optional
            Events that withdraw consent, each of them: their names in the data, ``["unsubscribed"]``, or a log of
            them alone. See :class:`Consent`.

        Returns
        -------
        Candidates

        Raises
        ------
        SchemaError
            When a column is missing or of the wrong kind, a time has no zone, a value is not finite, a
            probability lies outside [0, 1], ids are integers here and strings in the audience or a log, or a channel
            is spelt in two ways.
        ParameterError
            When a rule needs the audience and there is none, or names a channel that nothing has, or a withdrawal an
            event that the data does not have.
        TypeError
            When an audience stands where the Dataset goes.

        Warns
        -----
        DataWarning
            When the frame came from ``to_frame``, which cannot hold rules, gaps and history; and when hardly any of
            these people are in the audience or the message log.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"user_id": [1, 1], "item_id": ["tea", "cup"], "channel": ["push", "email"],
        ...                       "send_at": pd.to_datetime(["2025-06-01 09:00", "2025-06-01 18:00"], utc=True),
        ...                       "value": [0.5, 0.2]})
        >>> Candidates.from_frame(frame)
        Candidates(2 touches, 1 user, 2 items, 2 channels)
        """
        where = "Candidates.from_frame"
        rules = check_rules(eligibility)
        if data is not None:
            data = given_data(data, (), where, f"om.planning.{where}(frame, om.Dataset(audience=people))")
        sources = sources_of(data, withdrawals, rules, where)
        audience = sources.audience
        if audience is None:
            _refuse_blind(rules, where)
        opened = open_frame(
            frame,
            where,
            needed=("user_id", "item_id", "channel", "send_at", "value"),
            optional=("probability", *_LABELS),
            columns=columns,
        )
        users, user = opened.ids("user_id")
        items, item = opened.ids("item_id")
        channels, channel = opened.names("channel")
        value = opened.numbers("value")
        probability = opened.numbers("probability") if "probability" in opened else None
        if probability is not None and (bad := (probability < 0) | (probability > 1)).any():
            raise SchemaError(
                f"{where}: probability must lie in [0, 1]; it does not in {name_rows(bad)}. "
                "Leave the column out when it is not known."
            )
        labels = {name: opened.ids(name, allow_missing=True) for name in _LABELS if name in opened}
        if "send_at_local" in opened.others:
            _warn_of_a_detour(where)
        touches = _with_sources(users, items, channels, user, item, channel, opened.instants("send_at"), sources)
        kept = np.arange(len(touches))
        left_out: dict[str, int] = {}
        if audience is not None:
            known = audience_rows(audience, users)[user] >= 0
            kept = np.flatnonzero(known)
            left_out["not in the audience"] = int(known.size - kept.size)
        all_rules = (*((Consent(), Reachable()) if sources.know_consent else ()), *rules)
        kept = kept[allowed(touches.take(kept), all_rules, left_out)]
        implied = (OncePerItem(),) if check_flag(once_per_item, "once_per_item") else ()
        return in_order(touches, value, probability, labels, left_out, implied, kept, sources)

    @classmethod
    def concat(cls, parts: Iterable[Candidates]) -> Candidates:
        """Join sets of candidates, so that one plan keeps the rules of all of them.

        No rule is lost. Every rule, history and withdrawal of any part applies to all touches; implied constraints
        (once per item, gap) hold for all, and of two gaps the longer one. The same person, item, channel and instant
        twice is one touch: that of the greater value, as the planner would choose.

        Parameters
        ----------
        parts : iterable of Candidates
            Made under one audience, or all without.

        Returns
        -------
        Candidates
            The same whatever the order of the parts. A probability that only some parts know is NaN in the others;
            ``.left_out`` sums those of the parts, and counts ``"named twice"``.

        Raises
        ------
        ParameterError
            When there is no part, one is no Candidates, they were made under different audiences, or values of some are
            made of chances and of others of increments: such values cannot be compared.
        SchemaError
            When ids are integers in one and strings in another.

        Examples
        --------
        >>> import pandas as pd, omnireco as om
        >>> tea = pd.DataFrame({"user_id": [1], "item_id": ["tea"], "channel": ["push"], "value": [0.5],
        ...                     "send_at": pd.to_datetime(["2025-06-01 09:00"], utc=True)})
        >>> a = om.planning.Candidates.from_frame(tea, once_per_item=True)
        >>> b = om.planning.Candidates.from_frame(tea.assign(channel="email"))
        >>> om.planning.Candidates.concat([a, b]), om.planning.Candidates.concat([a, b]).implied
        (Candidates(2 touches, 1 user, 1 item, 2 channels), (OncePerItem(),))
        """
        sets = _check_parts(parts)
        return replace(in_order(*joined(sets)), made_of=_joined_kind(sets))

    def __len__(self) -> int:
        return len(self.touches)

    def __repr__(self) -> str:
        t = self.touches
        counts = [
            (len(self), "touch", "touches"),
            (np.unique(t.user).size, "user", "users"),
            (np.unique(t.item).size, "item", "items"),
            (np.unique(t.channel).size, "channel", "channels"),
        ]
        made = f"; values of {self.made_of}" if self.made_of != "given" else ""
        return f"Candidates({', '.join(f'{n:,} {one if n == 1 else many}' for n, one, many in counts)}{made})"

    def to_frame(self) -> pd.DataFrame:
        """Return the touches as a pandas frame with the columns that from_frame takes, and ``send_at_local``.

        A frame cannot hold rules, gaps and history: to join sets use :meth:`concat`, not frames.
        """
        return touch_frame(self, np.arange(len(self)))


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
    fatigue: Tiring | None = None,
    creatives: CreativeChoices | None = None,
    withdrawals: str | Iterable[str] | EventLog | None = None,
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
    fatigue : fitted Fatigue, optional
        Recent messages then lower the response probability, and the cost in later responses, each at the value of
        the person's best item, is subtracted from the value. Touches with a negative value are not sent.
    creatives : CreativeChoices, optional
        A creative per person and item, from ``CreativeModel.choose``; it becomes the ``creative_id`` of the touches.
    withdrawals : str, iterable of str or EventLog, optional
        Events that withdraw consent, each of them: their names in the data, ``["unsubscribed"]``, or a log of them
        alone. See :class:`Consent`.

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
            fatigue=fatigue,
            creatives=creatives,
            withdrawals=next(iter(sources.withdrawals), None),
        )
        names = _channels_of_lists(recs, channels, audience)
        return Candidates.concat([one(recs[name], channels=name) for name in names])
    _check_models(recs, fatigue, creatives)
    names = check_channels(channels, audience)
    n_items = min(limits.n_items, recs.k)
    users, ranked = Vocabulary.encode(recs.users.ids, "user_id")
    codes = np.asarray(recs.codes)[np.argsort(ranked), :n_items]
    known = Vocabulary(np.array(names, object))
    empty = _no_touches(users, recs.items, known, sources)
    left_out: dict[str, int] = dict.fromkeys(["not in the audience", "no margin", "Consent", "Reachable"], 0)
    left_out |= dict.fromkeys([rule.name for rule in rules], 0)
    left_out |= {"no value": 0, "not among the best slots": 0}
    since = consent_since(users, known, sources)
    worth = _worth(recs.items, data.catalog)
    offers = _Offers(audience, timing, slots, empty, rules, worth, limits.n_slots, left_out, fatigue, since)
    row = audience_rows(audience, users)
    left_out["not in the audience"] = int((codes[row < 0] != NONE).sum()) * len(names) * len(slots)
    member = np.flatnonzero(row >= 0)
    blocks = list(row_blocks(member.size, n_items * len(slots) * 96)) or [slice(0)]  # rules are asked of nobody too
    parts = [
        offers.block(member[block], row[member[block]], codes[member[block]], code)
        for block in blocks
        for code in range(len(known))
    ]
    touches, value, probability = _join(offers.empty, parts)
    labels = {} if creatives is None else {"creative_id": _creatives_of(touches, creatives)}
    found = in_order(touches, value, probability, labels, left_out, limits.implied, np.arange(len(touches)), sources)
    found = replace(found, made_of="increments" if _adds(timing) else "chances")
    _log.info("candidates: %d touches for %d people", len(found), len(users))
    return found


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
    fatigue: Tiring | None
    since: np.ndarray

    def block(
        self, user: np.ndarray, row: np.ndarray, codes: np.ndarray, channel: int
    ) -> tuple[Touches, np.ndarray, np.ndarray]:
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
        if self.fatigue is not None and row.size:
            ids = self.audience.users.ids[row]
            factor = _check_fatigue(self.fatigue.factor(ids, name, at), "factor", (row.size, at.size))
            same = added is chance
            chance = np.minimum(chance * factor, 1.0)
            added = chance if same else added * factor
            cost = _check_fatigue(self.fatigue.cost(ids, name), "cost", (row.size,)) * np.nanmax(worth, axis=1)
        person, rank = np.nonzero(has_item)
        zone = _known_zone(self.audience, row)
        clock = _local_table(self.audience, at)[zone]
        free = free_days(self.audience, clock, zone[:, None])
        flat = np.arange(person.size * at.size)
        pair, slot = flat // max(1, at.size), flat % max(1, at.size)
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
        )
        value = (added[person] * worth[person, rank][:, None] - cost[person][:, None]).ravel()
        own_days = np.flatnonzero(opens[person].ravel())
        kept = own_days[allowed(whole.take(own_days), (Consent(), *self.rules), self.left_out)]
        good = kept[value[kept] > 0]
        self._count("no value", kept.size - good.size)
        table = np.full(flat.size, -np.inf)
        table[good] = value[good]
        best = _best_slots(table.reshape(person.size, at.size), self._days(at, clock[person]), self.n_slots)
        chosen = np.flatnonzero(best.ravel())
        self._count("not among the best slots", good.size - chosen.size)
        return whole.take(chosen), value[chosen], chance[person].ravel()[chosen]

    def _slots_of(self, row: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the instants, which are slots for whom, bool (n_people, n), and how many each person has."""
        at, inside = slots_by_zone(self.slots, self.audience.zones)
        opens = inside[_known_zone(self.audience, row)]
        return at, opens, opens.sum(axis=1)

    def _days(self, at: np.ndarray, clock: np.ndarray) -> np.ndarray:
        """Return the day of each slot, (n, s): of the person's own calendar, or 24 hours from the first slot."""
        since = (at - self.slots.first_us) // DAY_US
        own = np.where(clock == NEVER, since[None, :], (clock - self.slots.first_us) // DAY_US)
        return own if self.slots.local_days else np.broadcast_to(since, clock.shape)

    def _count(self, reason: str, n: int) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + n


def check_complete(found: Candidates, where: str) -> None:
    """Refuse candidates that came without what they were made from: their rules would be lost."""
    lost = not found.sources.complete or (found.touches.past.user.size > 0 and not found.sources.messages)
    if lost:
        raise ParameterError(
            f"{where}: these candidates came without their rules, gap and history, as those of a plan from a file do. "
            "Make them again with om.candidates(...) or om.planning.Candidates.from_frame(...)."
        )


def _check_parts(sets: Any) -> tuple[Candidates, ...]:
    fix = "Write om.planning.Candidates.concat([a, b])."
    if isinstance(sets, (Candidates, str, bytes)) or not isinstance(sets, Iterable):
        raise ParameterError(f"Candidates.concat takes a list of Candidates. Got {type(sets).__name__}. {fix}")
    parts = tuple(sets)
    for part in parts:
        if isinstance(part, Candidates):
            check_complete(part, "Candidates.concat")
    wrong = [type(part).__name__ for part in parts if not isinstance(part, Candidates)]
    if wrong or not parts:
        raise ParameterError(
            f"Candidates.concat takes Candidates, one or more. Got {wrong[0] if wrong else 'none'}. {fix}"
        )
    return parts


def touch_frame(found: Candidates, rows: np.ndarray, **more: np.ndarray) -> pd.DataFrame:
    """Return some touches as a pandas frame, in the order of ``rows``, with further columns at the end."""
    import pandas as pd

    t = found.touches
    local = t.local_at[rows].view("datetime64[us]").copy()
    local[t.local_at[rows] == NEVER] = np.datetime64("NaT")
    columns: dict[str, Any] = {
        "user_id": t.users.decode(t.user[rows]),
        "item_id": t.items.decode(t.item[rows]),
        "channel": t.channels.decode(t.channel[rows]),
        "send_at": instants_to_pandas(t.send_at[rows]),
        "send_at_local": local,
    }
    labels = {name: decode_optional(known, codes[rows]) for name, (known, codes) in found.labels.items()}
    if "creative_id" in labels:
        columns["creative_id"] = labels.pop("creative_id")
    columns["probability"] = np.full(rows.size, np.nan) if found.probability is None else found.probability[rows]
    columns["value"] = found.value[rows]
    if found.made_of == "increments":
        columns["made_of"] = np.full(rows.size, found.made_of, object)
    return pd.DataFrame(columns | labels | more)


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


def _refuse_blind(rules: Iterable[Eligibility], where: str) -> None:
    """Refuse rules that read an audience when there is none."""
    for rule in rules:
        if rule.needs_audience:
            raise ParameterError(
                f"{where}: {rule.name} reads people's zones or consents, and there is no audience. "
                f"Write {where}(frame, om.Dataset(audience=people), eligibility=[...])."
            )


def _channels_of_lists(recs: Mapping[str, Any], channels: Any, audience: Audience) -> tuple[str, ...]:
    """Return the channels of a mapping of lists; those named beside it must be the same."""
    names = check_channels(list(recs), audience)
    if channels is not None and set(check_channels(channels, audience)) != set(names):
        raise ParameterError(
            f"channels names others than the mapping of lists, which has {', '.join(map(repr, names))}. "
            "Leave channels out: the keys of the mapping name them."
        )
    return names


def _check_models(recs: Any, fatigue: Any, creatives: Any) -> None:
    """Refuse lists, fatigue and creatives of another type, with the line that makes them."""
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
    check_kind(
        creatives, CreativeChoices, "creatives", "creatives=om.choices.Creatives().fit(...).choose(...)", none=True
    )
    for verb in () if fatigue is None else ("factor", "cost"):
        check_verb(fatigue, verb, "fatigue", "fatigue=om.timing.Fatigue().fit(data)")


def _check_numbers(touches: Touches, value: Any, probability: Any) -> None:
    """Refuse values and probabilities that are not one number per touch; a probability may be unknown."""
    for name, array in (("value", value), ("probability", probability)):
        if name == "probability" and array is None:
            continue
        if not isinstance(array, np.ndarray) or array.shape != (len(touches),) or array.dtype.kind != "f":
            raise ParameterError(
                f"Candidates: {name} must be a float64 array, one per touch ({len(touches):,}). Got "
                f"{type(array).__name__}. Write np.asarray({name}, float), or read a frame with Candidates.from_frame."
            )
        if (bad := ~np.isfinite(array) & ~(np.isnan(array) & (name == "probability"))).any():
            raise ParameterError(f"Candidates: {name} is missing or infinite in {name_rows(bad)}. Leave those out.")


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


def _warn_of_a_detour(where: str) -> None:
    """Say that the frame came from a set of candidates or a plan, whose rules it cannot hold."""
    warnings.warn(
        f"{where}: the frame has send_at_local, as to_frame writes it. A frame holds no rules: gap, once per item, "
        "quiet hours and history are lost here. Join sets with om.planning.Candidates.concat([a, b]); where only the "
        "rows are meant, frame.drop(columns='send_at_local').",
        DataWarning,
        stacklevel=4,
    )


def _with_sources(
    users: Vocabulary,
    items: Vocabulary,
    channels: Vocabulary,
    user: np.ndarray,
    item: np.ndarray,
    channel: np.ndarray,
    send_at: np.ndarray,
    sources: Sources,
) -> Touches:
    """Return touches with zone, consent and reachability of the sources; without an audience no zone is known."""
    named, audience = channel_names(channels, sources), sources.audience
    consent = send_at >= consent_since(users, channels, sources)[user, channel]
    reachable, local, free = np.ones(user.size, np.bool_), np.full(user.size, NEVER), None
    if audience is not None:
        row = audience_rows(audience, users)[user]
        column = audience.channels.codes(channels.ids, missing="none")[channel]
        known = np.flatnonzero((row >= 0) & (column >= 0))
        reachable = np.zeros(user.size, np.bool_)
        reachable[known] = audience.reachable[row[known], column[known]]
        zone = _known_zone(audience, row)
        local = np.where(zone >= 0, local_us(send_at, zone, audience.zones), NEVER)
        free = free_days(audience, local, zone)
    past = past_messages(users, named, sources.messages)
    parts = (user, item, channel, send_at, local, consent, reachable, past, named)
    return Touches(users, items, channels, *parts, holiday=free)


def _no_touches(users: Vocabulary, items: Vocabulary, channels: Vocabulary, sources: Sources) -> Touches:
    codes, times = np.empty(0, np.int32), np.empty(0, np.int64)
    return _with_sources(users, items, channels, codes, codes, codes, times, sources)


def _known_zone(audience: Audience, row: np.ndarray) -> np.ndarray:
    """Return the zone of some rows (-1 for unknown users); what is no code of a zone is unknown, never another's."""
    zone = np.append(audience.zone, np.int32(NONE))[row]
    return np.where((row >= 0) & (zone >= 0) & (zone < len(audience.zones)), zone, np.int32(NONE)).astype(np.int32)


def _local_table(audience: Audience, at: np.ndarray) -> np.ndarray:
    """Return the local time of each slot in each zone, (n_zones + 1, n_slots); the last row is "unknown"."""
    zone = np.arange(len(audience.zones), dtype=np.int32)[:, None]
    known = local_us(at[None, :], zone, audience.zones) if zone.size else np.empty((0, at.size), np.int64)
    return np.concatenate([known, np.full((1, at.size), NEVER)])


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


def _joined_kind(sets: Iterable[Candidates]) -> str:
    """Return what the values of several sets are made of; chances and increments cannot be compared."""
    kinds = {part.made_of for part in sets}
    if {"chances", "increments"} <= kinds:
        raise ParameterError(
            "Candidates.concat: values of some of these sets are made of chances, and of others of increments, so a "
            "plan "
            "would prefer the former whatever they add. Make all with one timing: om.candidates(recs, data, "
            "model.timing(send_time, data), slots)."
        )
    return kinds.pop() if len(kinds) == 1 else "given"


def _worth(items: Vocabulary, catalog: Catalog | None) -> np.ndarray:
    """Return the value of a response per item: its margin when the catalogue has margins, else 1."""
    if catalog is None or catalog.margin is None:
        return np.ones(max(1, len(items)))
    row = match(catalog.items, items, ("the catalogue", "the lists"), column="item_id")
    return np.append(catalog.margin, np.nan)[row]


def _join(
    empty: Touches, parts: list[tuple[Touches, np.ndarray, np.ndarray]]
) -> tuple[Touches, np.ndarray, np.ndarray]:
    """Return the blocks as one."""
    blocks = [empty, *(part[0] for part in parts)]
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
    )
    none = np.empty(0)
    return joined, np.concatenate([none, *(p[1] for p in parts)]), np.concatenate([none, *(p[2] for p in parts)])


def in_order(
    touches: Touches,
    value: np.ndarray,
    probability: np.ndarray | None,
    labels: Mapping[str, tuple[Vocabulary, np.ndarray]],
    left_out: Mapping[str, int],
    implied: tuple[Constraint, ...],
    kept: np.ndarray,
    sources: Sources,
) -> Candidates:
    """Return the kept touches in an order that does not depend on the caller's rows."""
    keys = [value if probability is None else probability, value, *(codes for _, codes in labels.values())]
    keys += [touches.item, touches.channel, touches.user, touches.send_at]
    order = kept[np.lexsort([key[kept] for key in keys])]
    return Candidates(
        touches.take(order),
        value[order],
        None if probability is None else probability[order],
        {name: (known, codes[order]) for name, (known, codes) in labels.items()},
        left_out,
        implied,
        sources,
    )
