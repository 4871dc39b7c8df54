"""Touches that could be sent: every allowed channel and slot of the best items, cut down to the best few.

Rules come first, pruning second: whoever prunes first keeps the 23:00 that quiet hours then take away,
and the person gets nothing.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from omnireco._checks import check_flag, check_integer, name_rows
from omnireco._compute import row_blocks
from omnireco._frozen import ReadOnly
from omnireco.data.clock import Slots, local_us
from omnireco.data.columns import decode_optional, instants_to_pandas, open_frame
from omnireco.data.messages import NEVER
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import ParameterError, SchemaError
from omnireco.planning.rules import (
    Consent,
    Constraint,
    Eligibility,
    FrequencyCap,
    OncePerItem,
    Past,
    Reachable,
    Touches,
)

if TYPE_CHECKING:
    import pandas as pd

    from omnireco.data.audience import Audience
    from omnireco.data.catalog import Catalog
    from omnireco.data.messages import MessageLog
    from omnireco.models.base import Recommendations
    from omnireco.response.creatives import CreativeChoices

__all__ = ["Candidates", "Timing", "Tiring", "candidates"]

_LABELS = ("creative_id", "store_id", "offer_id")
_DAY = 86_400_000_000
_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


class Timing(Protocol):
    """A model of when people answer, such as a fitted SendTime."""

    def slot_probability(self, audience: Audience, rows: np.ndarray, channel: str, at_us: np.ndarray) -> np.ndarray:
        """Return the chance of an answer, float64 of shape (n_rows, n_slots).

        ``rows`` are rows of the audience, ``at_us`` instants in UTC microseconds.
        """


class Tiring(Protocol):
    """A model of how messages tire people, such as a fitted Fatigue."""

    def factor(self, user_ids: Any, channel: str, at_us: Any) -> np.ndarray:
        """Return by how much earlier messages lower the chance of an answer, float64 of shape (n, n_slots)."""

    def cost(self, user_ids: Any, channel: str) -> np.ndarray:
        """Return how many later answers one more message costs, float64 of shape (n,)."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Candidates:
    """Touches that may be sent, each with a value; the input of ``plan``.

    Parameters
    ----------
    touches : Touches
        Who, what, where, when; in the order (send_at, user, channel, item, ...), whatever the caller's was.
    value : float64 array, shape (n,)
        What sending each is worth, in the caller's currency.
    probability : float64 array, shape (n,), or None
        Chance of an answer.
    labels : mapping of str to (Vocabulary, int32 array of shape (n,))
        ``creative_id``, ``store_id``, ``offer_id`` where given; -1 where missing.
    left_out : mapping of str to int
        How many touches each rule took away, in the order in which they were asked.
    implied : tuple of Constraint
        Constraints that these touches bring along; ``plan`` adds them to those it is given.
    """

    touches: Touches
    value: np.ndarray
    probability: np.ndarray | None = None
    labels: Mapping[str, tuple[Vocabulary, np.ndarray]] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    implied: tuple[Constraint, ...] = ()

    def __post_init__(self) -> None:
        arrays = [self.value, *(codes for _, codes in self.labels.values())]
        for array in arrays if self.probability is None else [*arrays, self.probability]:
            array.setflags(write=False)
        object.__setattr__(self, "labels", ReadOnly(self.labels))
        object.__setattr__(self, "left_out", ReadOnly(self.left_out))

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        columns: Mapping[str, str] | None = None,
        audience: Audience | None = None,
        eligibility: Iterable[Eligibility] = (),
        messages: MessageLog | None = None,
        once_per_item: bool = False,
    ) -> Candidates:
        """Read touches with values of one's own.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            ``user_id``, ``item_id``, ``channel``, ``send_at`` (with a time zone) and ``value``; optionally
            ``probability``, ``creative_id``, ``store_id`` and ``offer_id``.
        columns : mapping of str to str, optional
            Our name to yours.
        audience : Audience, optional
            With it, consent and reachability are enforced and people who are not in it get nothing. Without
            it the rows are taken as allowed, and local times stay unknown.
        eligibility : iterable of Eligibility
            Further rules, such as quiet hours.
        messages : MessageLog, optional
            What people had before; frequency caps count it.
        once_per_item : bool, default False
            Whether the touches of a person and item are alternatives, of which one at most is sent.

        Returns
        -------
        Candidates

        Raises
        ------
        SchemaError
            When a column is missing or of the wrong kind, a time has no zone, a value is not finite, or a
            probability lies outside [0, 1].
        ParameterError
            When a rule needs the audience and there is none.

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
        rules = _rules(eligibility)
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
        past = _past(messages, users, channels)
        touches = _with_audience(
            users, items, channels, user, item, channel, opened.instants("send_at"), audience, past
        )
        kept = np.arange(len(touches))
        left_out: dict[str, int] = {}
        if audience is not None:
            known = _audience_rows(audience, users)[user] >= 0
            kept = np.flatnonzero(known)
            left_out["not in the audience"] = int(known.size - kept.size)
            kept = kept[_allowed(touches.take(kept), (Consent(), Reachable(), *rules), left_out)]
        elif rules:
            kept = kept[_allowed(touches, rules, left_out)]
        implied = (OncePerItem(),) if check_flag(once_per_item, "once_per_item") else ()
        return _in_order(touches, value, probability, labels, left_out, implied, kept)

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
        return f"Candidates({', '.join(f'{n:,} {one if n == 1 else many}' for n, one, many in counts)})"

    def to_frame(self) -> pd.DataFrame:
        """Return the touches as a pandas frame with the column names of the door, and ``send_at_local``."""
        return touch_frame(self, np.arange(len(self)))


def candidates(
    recs: Recommendations,
    audience: Audience,
    timing: Timing,
    slots: Slots,
    *,
    channels: str | Iterable[str],
    eligibility: Iterable[Eligibility] = (),
    messages: MessageLog | None = None,
    catalog: Catalog | None = None,
    n_items: int = 3,
    n_slots: int = 8,
    once_per_item: bool = True,
    gap: str | dt.timedelta | None = "4h",
    fatigue: Tiring | None = None,
    creatives: CreativeChoices | None = None,
) -> Candidates:
    """Return the touches worth planning: allowed by every rule, then the best few per person.

    Parameters
    ----------
    recs : Recommendations
        Ranked items per person. People who are not in the audience get nothing.
    audience : Audience
        Zones and consents. Consent and reachability are always enforced, listed or not.
    timing : fitted SendTime, or any Timing
        The chance of an answer by person, channel and instant.
    slots : Slots
        The instants at which a message may leave.
    channels : str or iterable of str
        Channels to use.
    eligibility : iterable of Eligibility
        Further rules, such as quiet hours; applied before any pruning.
    messages : MessageLog, optional
        What people had before; frequency caps count it.
    catalog : Catalog, optional
        With margins, values are money; else an answer is worth 1. Items without a margin are left out.
    n_items : int, default 3
        Items per person, from the top of the ranking.
    n_slots : int, default 8
        Slots per person, channel and item: the best slot of each day before the second best of any.
    once_per_item : bool, default True
        Whether the touches of a person and item are alternatives, of which ``plan`` sends one at most.
    gap : duration or None, default "4h"
        Least time between two touches of a person, on any channel: nobody is written to three times at the
        same moment because it is their best hour. None for no such rule.
    fatigue : fitted Fatigue, optional
        With it a chance is lowered by the messages somebody just had, and the later answers that one more message
        costs are taken off its value, each worth what the person's best item is worth. What then is worth less than
        nothing is not sent.
    creatives : CreativeChoices, optional
        A creative per person and item, from ``CreativeModel.choose``; it becomes the ``creative_id`` of the touches.

    Returns
    -------
    Candidates
        ``.left_out`` says how many touches each rule took away.

    Raises
    ------
    ParameterError
        When a channel has no consent column, the arguments are out of range, a rule does not return one bool
        per touch, or the timing no chance between 0 and 1 for each person and slot.

    Notes
    -----
    The value of a touch is its chance of an answer times the worth of the item (its margin, else 1) times the
    discount of its rank, 1 / log2(1 + rank): an item ranked third is answered half as gladly as the first,
    as NDCG has it. Deterministic; people are worked through in blocks of at most 128 MB.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from types import SimpleNamespace
    >>> from omnireco.data import Audience, slots
    >>> from omnireco.models import Recommendations
    >>> people = Audience.from_frame(pd.DataFrame({"user_id": [1, 2], "timezone": "UTC",
    ...                                            "consent_push": [True, False]}))
    >>> recs = Recommendations.from_frame(pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["tea", "cup", "cup"],
    ...                                                 "rank": [1, 2, 1]}))
    >>> even = SimpleNamespace(slot_probability=lambda audience, rows, channel, at: np.full((len(rows), len(at)), 0.1))
    >>> found = candidates(recs, people, even, slots("2025-06-01", days=2), channels=["push"], n_slots=2)
    >>> found, found.left_out["Consent"]
    (Candidates(4 touches, 1 user, 2 items, 1 channel), 48)
    """
    names = _channel_names(channels, audience)
    rules = _rules(eligibility)
    n_items, n_slots = check_integer(n_items, "n_items", low=1), check_integer(n_slots, "n_slots", low=1)
    users, ranked = Vocabulary.encode(recs.users.ids, "user_id")
    codes = np.asarray(recs.codes)[np.argsort(ranked), :n_items]
    known = Vocabulary(np.array(sorted(names), object))
    left_out: dict[str, int] = dict.fromkeys(["not in the audience", "no margin", "Consent", "Reachable"], 0)
    left_out |= dict.fromkeys([rule.name for rule in rules], 0)
    left_out |= {"no value": 0, "not among the best slots": 0}
    offers = _Offers(
        audience,
        timing,
        slots,
        _no_touches(users, recs.items, known, _past(messages, users, known)),
        rules,
        _worth(recs.items, catalog),
        n_slots,
        left_out,
        fatigue,
    )
    row = _audience_rows(audience, users)
    left_out["not in the audience"] = int((codes[row < 0] != NONE).sum()) * len(names) * len(slots)
    parts = [
        offers.block(member[block], row[member[block]], codes[member[block]], code)
        for member in [np.flatnonzero(row >= 0)]
        for block in row_blocks(member.size, n_items * len(slots) * 96)
        for code in range(len(known))
    ]
    touches, value, probability = _join(offers.empty, parts)
    implied: tuple[Constraint, ...] = (OncePerItem(),) if check_flag(once_per_item, "once_per_item") else ()
    if gap is not None:
        implied = (*implied, FrequencyCap(1, per=gap))
    labels = {} if creatives is None else {"creative_id": _creatives_of(touches, creatives)}
    found = _in_order(touches, value, probability, labels, left_out, implied, np.arange(len(touches)))
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

    def block(
        self, user: np.ndarray, row: np.ndarray, codes: np.ndarray, channel: int
    ) -> tuple[Touches, np.ndarray, np.ndarray]:
        """Return the best touches of some people on one channel, with values and chances."""
        at, name = self.slots.at, str(self.empty.channels.ids[channel])
        asked = int(np.flatnonzero(self.audience.channels.ids == name)[0])
        discount = 1.0 / np.log2(np.arange(codes.shape[1]) + 2.0)
        worth = np.where(codes == NONE, np.nan, self.worth[codes]) * discount
        self._count("no margin", int((np.isnan(worth) & (codes != NONE)).sum()) * at.size)
        has_item = ~np.isnan(worth)
        consent, reachable = self.audience.consent[row, asked], self.audience.reachable[row, asked]
        self._count("Consent", int(has_item[~consent].sum()) * at.size)
        self._count("Reachable", int(has_item[consent & ~reachable].sum()) * at.size)
        open_to = np.flatnonzero(consent & reachable & has_item.any(axis=1))
        user, row, codes, worth, has_item = (a[open_to] for a in (user, row, codes, worth, has_item))
        chance, cost = _chances(self.timing, self.audience, row, name, at), np.zeros(row.size)
        if self.fatigue is not None and row.size:
            ids = self.audience.users.ids[row]
            chance = np.minimum(chance * self.fatigue.factor(ids, name, at), 1.0)
            cost = self.fatigue.cost(ids, name) * np.nanmax(worth, axis=1)
        person, rank = np.nonzero(has_item)
        clock = _local_table(self.audience, at)[self.audience.zone[row]]
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
            np.ones(flat.size, np.bool_),
            np.ones(flat.size, np.bool_),
            self.empty.past,
        )
        value = (chance[person] * worth[person, rank][:, None] - cost[person][:, None]).ravel()
        kept = _allowed(whole, self.rules, self.left_out)
        good = kept[value[kept] > 0]
        self._count("no value", kept.size - good.size)
        table = np.full(flat.size, -np.inf)
        table[good] = value[good]
        best = _best_slots(table.reshape(person.size, at.size), (at - at.min(initial=0)) // _DAY, self.n_slots)
        chosen = np.flatnonzero(best.ravel())
        self._count("not among the best slots", good.size - chosen.size)
        return whole.take(chosen), value[chosen], chance[person].ravel()[chosen]

    def _count(self, reason: str, n: int) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + n


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
    return pd.DataFrame(columns | labels | more)


def _creatives_of(touches: Touches, chosen: CreativeChoices) -> tuple[Vocabulary, np.ndarray]:
    """Return the creative chosen for the person and item of each touch, -1 for none."""
    user = chosen.users.codes(touches.users.ids, missing="none")[touches.user].astype(np.int64)
    item = chosen.items.codes(touches.items.ids, missing="none")[touches.item].astype(np.int64)
    if not len(chosen):
        return chosen.creatives, np.full(len(touches), NONE, np.int32)
    keys = chosen.user.astype(np.int64) * len(chosen.items) + chosen.item
    wanted = user * len(chosen.items) + item
    spot = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
    same = (keys[spot] == wanted) & (user >= 0) & (item >= 0)
    return chosen.creatives, np.where(same, chosen.creative[spot], NONE).astype(np.int32)


def _best_slots(value: np.ndarray, day: np.ndarray, keep: int) -> np.ndarray:
    """Return which slots of each row to keep, bool (n, s): the best of each day first; -inf never.

    Ties go to the earlier slot.
    """
    order = np.argsort(-value, axis=1, kind="stable")
    by_day = np.argsort(day[order], axis=1, kind="stable")
    sorted_day = np.sort(day)
    position = np.arange(day.size) - np.searchsorted(sorted_day, sorted_day)
    turn = np.empty_like(order)
    np.put_along_axis(turn, by_day, np.broadcast_to(position, order.shape), axis=1)
    ranked = np.take_along_axis(value, order, axis=1)
    turn[np.isneginf(ranked)] = day.size  # never before an allowed slot, whatever its day
    first = np.argsort(turn, axis=1, kind="stable")[:, :keep]
    mask = np.zeros(value.shape, np.bool_)
    np.put_along_axis(mask, np.take_along_axis(order, first, axis=1), True, axis=1)
    return mask & ~np.isneginf(value)


def _allowed(touches: Touches, rules: Iterable[Eligibility], left_out: dict[str, int]) -> np.ndarray:
    """Return the positions that pass every rule, and count what each took away."""
    kept = np.arange(len(touches))
    for rule in rules:
        mask = np.asarray(rule.mask(touches))
        if mask.dtype != np.bool_ or mask.shape != (len(touches),):
            raise ParameterError(
                f"{rule.name}.mask must return one bool per touch, shape ({len(touches)},). "
                f"Got {mask.dtype} of shape {mask.shape}. Compare arrays of the touches: touches.channel == 0."
            )
        left_out[rule.name] = left_out.get(rule.name, 0) + int((~mask).sum())
        kept, touches = kept[mask], touches.take(mask)
    return kept


def _rules(eligibility: Any) -> tuple[Eligibility, ...]:
    """Return the rules beyond consent and reachability, which are always in force."""
    rules = (eligibility,) if isinstance(eligibility, Eligibility) else tuple(eligibility)
    for rule in rules:
        if isinstance(rule, Constraint):
            raise ParameterError(
                f"eligibility holds {rule.name}, which limits touches together. "
                "Give it to the planner: plan(touches, constraints=[...])."
            )
        if not isinstance(rule, Eligibility):
            raise ParameterError(
                f"eligibility must hold Eligibility rules. Got {rule!r} ({type(rule).__name__}). "
                "Write eligibility=[om.QuietHours('21:00', '08:00')]."
            )
    return tuple(rule for rule in rules if not isinstance(rule, (Consent, Reachable)))


def _refuse_blind(rules: Iterable[Eligibility], where: str) -> None:
    """Refuse rules that read an audience when there is none."""
    for rule in rules:
        if rule.needs_audience:
            raise ParameterError(
                f"{where}: {rule.name} reads people's zones or consents, and there is no audience. "
                f"Write {where}(frame, audience=om.Audience.from_frame(people), eligibility=[...])."
            )


def _channel_names(channels: Any, audience: Audience) -> tuple[str, ...]:
    """Return the channels to use, each of which the audience must have been asked about."""
    names = (channels,) if isinstance(channels, str) else tuple(channels)
    if not names or not all(isinstance(name, str) for name in names):
        raise ParameterError(f"channels must be one or more names. Got {channels!r}. Write channels=['push', 'email'].")
    unasked = sorted({name for name in names if name not in audience.channels})
    if unasked:
        raise ParameterError(
            f"channels holds {', '.join(map(repr, unasked))}, for which the audience has no consent; it has "
            f"{', '.join(map(repr, audience.channels.ids)) or 'none'}. Without consent no message: add a column "
            f"consent_{unasked[0]} to the frame of Audience.from_frame."
        )
    return tuple(sorted(set(names)))


def _audience_rows(audience: Audience, users: Vocabulary) -> np.ndarray:
    """Return each person's row in the audience, -1 for strangers; ids of another kind are an error."""
    return match(audience.users, users, ("audience", "candidates"))


def _past(messages: MessageLog | None, users: Vocabulary, channels: Vocabulary) -> Past:
    """Return the messages these people had, in the codes of the touches."""
    if messages is None:
        return Past(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))
    user = match(users, messages.users, ("candidates", "messages"))[messages.user]
    channel = channels.codes(messages.channels.ids, missing="none")[messages.channel]
    mine = user != NONE
    return Past(user[mine], channel[mine], messages.sent_at[mine])


def _with_audience(
    users: Vocabulary,
    items: Vocabulary,
    channels: Vocabulary,
    user: np.ndarray,
    item: np.ndarray,
    channel: np.ndarray,
    send_at: np.ndarray,
    audience: Audience | None,
    past: Past,
) -> Touches:
    """Return touches with what the audience says of each; without one all is allowed and no zone is known."""
    consent, reachable = np.ones(user.size, np.bool_), np.ones(user.size, np.bool_)
    local = np.full(user.size, NEVER)
    if audience is not None:
        row = _audience_rows(audience, users)[user]
        column = audience.channels.codes(channels.ids, missing="none")[channel]
        known = np.flatnonzero((row >= 0) & (column >= 0))
        consent, reachable = np.zeros(user.size, np.bool_), np.zeros(user.size, np.bool_)
        consent[known] = audience.consent[row[known], column[known]]
        reachable[known] = audience.reachable[row[known], column[known]]
        zone = np.where(row >= 0, audience.zone[row] if len(audience.zone) else NONE, NONE)
        local = np.where(zone >= 0, local_us(send_at, zone, audience.zones), NEVER)
    return Touches(users, items, channels, user, item, channel, send_at, local, consent, reachable, past)


def _local_table(audience: Audience, at: np.ndarray) -> np.ndarray:
    """Return the local time of each slot in each zone, (n_zones + 1, n_slots); the last row is "unknown"."""
    zone = np.arange(len(audience.zones), dtype=np.int32)[:, None]
    known = local_us(at[None, :], zone, audience.zones) if zone.size else np.empty((0, at.size), np.int64)
    return np.concatenate([known, np.full((1, at.size), NEVER)])


def _chances(timing: Timing, audience: Audience, row: np.ndarray, channel: str, at: np.ndarray) -> np.ndarray:
    """Return the timing's chances, checked: one between 0 and 1 for each person and slot."""
    if row.size == 0:
        return np.empty((0, at.size))
    chance = np.asarray(timing.slot_probability(audience, row, channel, at), np.float64)
    if chance.shape != (row.size, at.size) or not (np.isfinite(chance).all() and (chance >= 0).all()):
        raise ParameterError(
            f"timing.slot_probability must return a chance in [0, 1] for each of {row.size} people and {at.size} "
            f"slots. Got shape {chance.shape}{'' if np.isfinite(chance).all() else ', with missing values'}. "
            "Fit one with om.SendTime().fit(log, messages, audience)."
        )
    if (chance > 1).any():
        raise ParameterError(
            f"timing.slot_probability returned chances above 1 (up to {chance.max():g}). It must return a chance in "
            "[0, 1], not a score: divide it, or fit om.SendTime()."
        )
    return chance


def _worth(items: Vocabulary, catalog: Catalog | None) -> np.ndarray:
    """Return what an answer is worth per item: its margin when the catalogue has margins, else 1."""
    if catalog is None or catalog.margin is None:
        return np.ones(max(1, len(items)))
    row = match(catalog.items, items, ("catalog", "candidates"))
    return np.append(catalog.margin, np.nan)[row]


def _no_touches(users: Vocabulary, items: Vocabulary, channels: Vocabulary, past: Past) -> Touches:
    codes, times, flags = np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.bool_)
    return Touches(users, items, channels, codes, codes, codes, times, times, flags, flags, past)


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
    )
    none = np.empty(0)
    return joined, np.concatenate([none, *(p[1] for p in parts)]), np.concatenate([none, *(p[2] for p in parts)])


def _in_order(
    touches: Touches,
    value: np.ndarray,
    probability: np.ndarray | None,
    labels: Mapping[str, tuple[Vocabulary, np.ndarray]],
    left_out: Mapping[str, int],
    implied: tuple[Constraint, ...],
    kept: np.ndarray,
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
    )
