"""Triggered messages: whether one more may be sent now, by the rules and the shadow prices of a plan."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from omnireco._core.checks import check_instant, check_known, check_number
from omnireco._core.notebook import shown_html
from omnireco._core.remembered import remembered
from omnireco._kernels.packing import TOLERANCE
from omnireco.causal.holdouts.holdout import Holdout
from omnireco.data.asking.touches import Past, Touches, free_days, traits_of
from omnireco.data.audience import Audience
from omnireco.data.clock import local_us
from omnireco.data.messages import NEVER
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import ParameterError
from omnireco.planning.candidates import Candidates, check_complete
from omnireco.planning.inputs import check_constraints
from omnireco.planning.plans.one_more import (
    Known,
    New,
    Own,
    joined,
    keeps_offer,
    keeps_quickly,
    labels_of,
    needs_everybody,
    numbers_of,
    over,
    rows_of,
    together,
    with_new,
)
from omnireco.planning.plans.whatif import same_limit
from omnireco.planning.rows import Rows
from omnireco.planning.rules import Constraint
from omnireco.planning.sources import channel_names, consent_since, past_messages
from omnireco.planning.touch_value import NUMBERS, bounds_of

__all__ = ["LivePlan", "Verdict", "verdict_of"]

_NEEDED = ("user_id", "item_id", "channel", "send_at", "value")
_LABELS = ("creative_id", "store_id", "offer_id", "kind", "campaign_id")
_NUMBERS = ("probability", *NUMBERS)
_EXAMPLE = (
    "plan.accept({'user_id': 7, 'item_id': 'tea', 'channel': 'push', 'send_at': '2025-06-01T18:00Z', 'value': 0.4})"
)
ACCEPTED, STRANGER, UNKNOWN_LOT, HELD_OUT, NO_VALUE, TOO_DEAR = (
    "accepted",
    "not in the audience",
    "not in the holdout",
    "holdout",
    "no value",
    "worth less than its price",
)


class Planned(Protocol):
    """What is read of a plan."""

    @property
    def touches(self) -> Candidates:
        """What was to choose from."""

    @property
    def reason(self) -> np.ndarray:
        """Per candidate, the position in ``reasons``: 0 is sent."""

    @property
    def constraints(self) -> tuple[Constraint, ...] | None:
        """The constraints it was made under."""

    @property
    def rows(self) -> Iterable[Any]:
        """What constraints allow and use, with their prices."""

    @property
    def holdout(self) -> Holdout | None:
        """Who gets nothing, by lot."""


@dataclass(frozen=True, slots=True, repr=False)
class Verdict:
    """Whether a triggered message may be sent, and why.

    Attributes
    ----------
    accepted : bool
        Whether it may be sent.
    reason : str
        ``"accepted"``; else the first thing in its way: ``"not in the audience"``, ``"holdout"``, the name of a rule or
        constraint, ``"no value"``, or ``"worth less than its price"``.
    value : float
        What it is worth by itself.
    reduced_value : float
        Its value less the shadow prices of the shared limits that it uses: what it earns beyond what it takes from
        others.
    left : mapping of str to float
        What is left of each shared limit that it uses, before it, in units of the limit: ``{"Budget('email')": 3.2}``.
    """

    accepted: bool
    reason: str
    value: float
    reduced_value: float
    left: Mapping[str, float]

    def __bool__(self) -> bool:
        return self.accepted

    def __repr__(self) -> str:
        word = "accepted" if self.accepted else f"refused: {self.reason}"
        return f"Verdict({word}, value {self.value:.4g}, reduced value {self.reduced_value:.4g})"

    _repr_html_ = shown_html


class _Row(NamedTuple):
    """A shared row: what the plan uses of it, its limit, and the price of a unit, in the units of its weights."""

    used: float
    limit: float
    price: float


class _Asked(NamedTuple):
    """One message that is asked about, in codes."""

    user: int
    item: Any
    channel: int
    send_at: int
    labels: Mapping[str, Any]
    numbers: Mapping[str, float]


class _Gate:
    """All that a plan has to say to one more message, laid out so that one person is found at once."""

    def __init__(self, plan: Planned, rules: Sequence[Constraint]) -> None:
        touches = plan.touches
        t, sources = touches.touches, touches.sources
        self.rules, self.eligibility, self.audience = tuple(rules), sources.rules, sources.audience
        self.users = t.users if self.audience is None else self.audience.users
        self.items, self.channels = t.items, _with_those_of(self.audience, t.channels)
        self.named = channel_names(self.channels, sources)
        self.known = t.named or self.named
        self.since = consent_since(self.users, self.channels, sources)
        self.column = None if self.audience is None else self.audience.channels.codes(self.channels.ids, missing="none")
        past = past_messages(self.users, self.known, sources.messages)
        order = np.lexsort((past.sent_at, past.user))
        kind = np.asarray(past.kind)[order]
        self.past = Past(past.user[order], past.channel[order], past.sent_at[order], past.kinds, kind)
        self.past_start = np.searchsorted(self.past.user, np.arange(len(self.users) + 1))
        self.held = _held(plan.holdout, self.users)
        self._keep(touches, np.flatnonzero(plan.reason == 0))
        self.traits = traits_of(self.users, self.audience)
        self.whole, self.is_sent = t, plan.reason == 0
        self.price = {(row.constraint, row.row): row.price for row in plan.rows}
        compiled = [rows_of(rule, t) for rule in self.rules]
        self.shared = self._shared_rows(compiled)
        self.entire = [needs_everybody(rule, rows, t) for rule, rows in zip(self.rules, compiled, strict=True)]

    def _keep(self, touches: Candidates, sent: np.ndarray) -> None:
        t = touches.touches
        user = match(self.users, t.users, ("the audience", "the plan"))[t.user[sent]]
        order = np.lexsort((sent, user))
        self.sent = sent[order]
        self.start = np.searchsorted(user[order], np.arange(len(self.users) + 1))
        self.sent_at, self.item, self.channel = (a[self.sent] for a in (t.send_at, t.item, t.channel))
        self.labels = {name: (known, codes[self.sent]) for name, (known, codes) in t.labels.items()}
        self.words = {name: Known.of(known) for name, (known, _) in t.labels.items()}
        self.numbers = {name: known[self.sent] for name, known in t.numbers.items()}

    def own(self, user: int) -> Own:
        """Return what the plan gives this person."""
        rows = range(int(self.start[user]), int(self.start[user + 1]))
        labels: list[Mapping[str, Any]] = [
            {name: known.ids[codes[i]] for name, (known, codes) in self.labels.items() if codes[i] != NONE}
            for i in rows
        ]
        part = slice(rows.start, rows.stop)
        numbers: list[Mapping[str, float]] = [
            {name: float(known[i]) for name, known in self.numbers.items()} for i in rows
        ]
        times = self.sent_at[part].tolist()
        return Own(self.item[part].tolist(), self.channel[part].tolist(), times, labels, numbers)

    def asked(self, touch: Any) -> _Asked | None:
        """Return what is asked about in codes, None for somebody who is not known."""
        if not isinstance(touch, Mapping):
            raise ParameterError(f"accept takes a mapping, one message. Got {type(touch).__name__}. Write {_EXAMPLE}.")
        missing = [name for name in _NEEDED if name not in touch]
        of_labels, of_numbers = {*_LABELS, *self.labels}, {*_NUMBERS, *self.numbers}
        strange = [name for name in touch if name not in _NEEDED and name not in of_labels | of_numbers]
        if missing or strange:
            raise ParameterError(
                f"accept: {'missing ' + ', '.join(missing) if missing else 'unknown names in the touch'}. "
                f"Write {_EXAMPLE}."
            )
        check_known((touch["channel"],), tuple(map(str, self.channels.ids)), "accept: channel", missing=None)
        at, value = check_instant(touch["send_at"], "send_at"), check_number(touch["value"], "value")
        code = int(self.users.codes([touch["user_id"]], missing="none")[0])
        item = touch["item_id"]
        known = int(self.items.codes([item], missing="none")[0])
        channel = int(self.channels.codes([touch["channel"]])[0])
        given = {name: one for name, one in touch.items() if name not in _NEEDED and one is not None}
        labels = {name: one for name, one in given.items() if name in of_labels}
        numbers = {
            name: check_number(one, name, **bounds_of(name)) for name, one in given.items() if name in of_numbers
        }
        if code < 0:
            return None
        return _Asked(code, New(item) if known < 0 else known, channel, at, labels, {"value": value} | numbers)

    def touches(self, asked: _Asked, own: Own) -> Touches:
        """Return what the person gets already, and last the message asked about, as touches of one person."""
        items, item = with_new(self.items, [*own.item, asked.item])
        n = len(item)
        at = np.array([*own.send_at, asked.send_at], np.int64)
        channel = np.array([*own.channel, asked.channel], np.int32)
        local, reachable, free = np.full(n, NEVER), np.ones(n, np.bool_), None
        if self.audience is not None:
            zone = np.full(n, self.audience.zone[asked.user], np.int32)
            known = 0 <= int(zone[0]) < len(self.audience.zones)
            if known:
                local = local_us(at, zone, self.audience.zones)
            free = free_days(self.audience, local, zone)
            reachable = self._reachable(asked.user, channel)
        mine = slice(int(self.past_start[asked.user]), int(self.past_start[asked.user + 1]))
        had = self.past.channel[mine]
        nobody = np.zeros(had.size, np.int32)
        past = Past(nobody, had, self.past.sent_at[mine], self.past.kinds, np.asarray(self.past.kind)[mine])
        consent = at >= self.since[asked.user, channel]
        one = Vocabulary(self.users.ids[asked.user : asked.user + 1])
        codes = (np.zeros(n, np.int32), np.array(item, np.int32), channel, at, local, consent, reachable, past)
        traits = {name: (known, of[asked.user : asked.user + 1]) for name, (known, of) in self.traits.items()}
        return Touches(
            *(one, items, self.channels, *codes),
            named=self.known,
            labels=labels_of([*own.labels, asked.labels], self.words),
            holiday=free,
            numbers=numbers_of([*own.numbers, asked.numbers]),
            traits=traits,
        )

    def _reachable(self, user: int, channel: np.ndarray) -> np.ndarray:
        column: Any = self.column
        at = column[channel]
        reachable: Any = self.audience.reachable  # type: ignore[union-attr]
        return np.asarray((at >= 0) & reachable[user, at])

    def judge(self, touch: Any, more: Mapping[int, Own], used: Mapping[tuple[int, str], float]) -> _Judged:
        """Return the verdict on a message, and what it would take; ``more`` is what was accepted since."""
        asked = self.asked(touch)
        if asked is None:
            value = check_number(touch["value"], "value")
            return _Judged(None, Verdict(False, STRANGER, value, value, {}), [])
        own = joined(self.own(asked.user), more.get(asked.user))
        every, value = self.touches(asked, own), asked.numbers["value"]
        refused = self._of_person(asked, every)
        refused += [] if value > 0 else [NO_VALUE]
        left: dict[str, float] = {}
        takes: list[tuple[tuple[int, str], float]] = []
        cost = 0.0
        for number, rule in enumerate(self.rules):
            quick = keeps_quickly(rule, every)
            if quick is None and self.entire[number]:
                quick, more_cost = self._among_all(rule, asked, every, more)
                cost += more_cost
            elif quick is None:
                quick, of_rule = self._of_rows(number, rule, every, used, left)
                takes += of_rule
                cost += sum(weight * self.shared[row].price for row, weight in of_rule if row in self.shared)
            refused += [] if quick else [rule.name]
        reduced = value - cost
        if not reduced > 0:
            refused.append(TOO_DEAR)
        reason = refused[0] if refused else ACCEPTED
        return _Judged(asked, Verdict(not refused, reason, value, reduced, left), takes)

    def _of_person(self, asked: _Asked, every: Touches) -> list[str]:
        """Return what forbids this one message: lots, consent, address, and the rules of single touches."""
        lot = 0 if self.held is None else int(self.held[asked.user])
        refused = [] if lot == 0 else [HELD_OUT if lot > 0 else UNKNOWN_LOT]
        single = every.take(np.array([len(every) - 1]))
        refused += [] if single.consent[0] else ["Consent"]
        refused += [] if single.reachable[0] else ["Reachable"]
        return refused + [rule.name for rule in self.eligibility if not bool(rule.mask(single)[0])]

    def _of_rows(
        self,
        number: int,
        rule: Constraint,
        every: Touches,
        used: Mapping[tuple[int, str], float],
        left: dict[str, float],
    ) -> tuple[bool, list[tuple[tuple[int, str], float]]]:
        """Return whether the message keeps a rule that looks at touches one by one, and what it takes of its rows."""
        rows, last = rows_of(rule, every), len(every) - 1
        hit = np.flatnonzero(rows.touch == last)
        fine = keeps_offer(rule, every)
        if rows.labels is None:
            return fine and not over(rows, hit), []
        takes = []
        for entry in hit.tolist():
            at = int(rows.row[entry])
            label, weight = rows.labels[at], float(rows.weight[entry])
            row = self.shared.get((number, label), _Row(0.0, float(rows.limit[at]), 0.0))
            already = row.used + used.get((number, label), 0.0)
            if np.isfinite(row.limit):
                left[rule.name if label in rule.name else f"{rule.name}, {label}"] = (row.limit - already) * rows.unit
            takes.append(((number, label), weight))
            fine &= weight <= 0 or already + weight <= row.limit * (1.0 + TOLERANCE)
        return fine, takes

    def _among_all(
        self, rule: Constraint, asked: _Asked, every: Touches, more: Mapping[int, Own]
    ) -> tuple[bool, float]:
        """Return whether the message keeps a rule that must see everybody, and what its rows cost."""
        whole = together([self.whole, *(self._accepted(user, own) for user, own in sorted(more.items()))], every)
        sent = np.ones(len(whole), np.bool_)
        sent[: self.is_sent.size] = self.is_sent
        rows, last = rule.rows(whole), len(whole) - 1
        hit = np.flatnonzero(rows.touch == last)
        weight = np.where(sent[rows.touch], rows.weight, 0.0)
        amount = np.bincount(rows.row, weights=weight, minlength=rows.limit.size)[rows.row[hit]]
        worse = rows.weight[hit] > 0
        fine = not (worse & ~(amount <= rows.limit[rows.row[hit]] * (1.0 + TOLERANCE) + TOLERANCE)).any()
        labels = [None if rows.labels is None else rows.labels[int(at)] for at in rows.row[hit]]
        price = [self.price.get((rule.name, str(label)), 0.0) * rows.unit for label in labels]
        offers = rule.choices(whole)
        if offers is not None and offers.group[last] >= 0:
            same = sent & (np.asarray(offers.group) == offers.group[last])
            fine &= bool((np.asarray(offers.option)[same] == offers.option[last]).all())
        return fine, float(np.dot(rows.weight[hit], price)) if labels else 0.0

    def _accepted(self, user: int, own: Own) -> Touches:
        """Return what was accepted of one person, as touches."""
        columns: list[list[Any]] = list(own)
        head = Own(*(column[:-1] for column in columns))
        asked = _Asked(user, *(column[-1] for column in columns))
        return self.touches(asked, head)

    def _shared_rows(self, compiled: Sequence[Rows]) -> dict[tuple[int, str], _Row]:
        """Return use, limit and price of every row that people share, by rule and label."""
        sent, found = self.is_sent.astype(np.float64), {}
        for number, (rule, rows) in enumerate(zip(self.rules, compiled, strict=True)):
            if rows.labels is None:
                continue
            used = np.bincount(rows.row, weights=rows.weight * sent[rows.touch], minlength=rows.limit.size)
            for label, u, b in zip(rows.labels, used.tolist(), np.asarray(rows.limit).tolist(), strict=True):
                found[number, label] = _Row(u, b, self.price.get((rule.name, label), 0.0) * rows.unit)
        return found


def _with_those_of(audience: Audience | None, channels: Vocabulary) -> Vocabulary:
    """Return the channels of the plan, and behind them those that people agreed to and the plan does not use."""
    if audience is None:
        return channels
    known = set(channels.ids.tolist())
    more = np.array([name for name in audience.channels.ids.tolist() if name not in known], object)
    return Vocabulary(np.concatenate([channels.ids, more])) if more.size else channels


class _Judged(NamedTuple):
    asked: _Asked | None
    verdict: Verdict
    takes: list[tuple[tuple[int, str], float]]


def _held(holdout: Holdout | None, users: Vocabulary) -> np.ndarray | None:
    """Return per person 1 for held out, 0 for treated, -1 for whom the lot does not know; None without a holdout."""
    if holdout is None:
        return None
    row = match(holdout.users, users, ("holdout", "plan"))
    return np.where(row < 0, -1, np.append(holdout.held, False)[row].astype(np.int64))


@remembered
def _gate(plan: Planned) -> _Gate:
    return _Gate(plan, _rules_of(plan))


def _rules_of(plan: Planned) -> tuple[Constraint, ...]:
    check_complete(plan.touches, "accept")
    if plan.constraints is None:
        raise ParameterError(
            "accept: this plan came without its constraints, as one from a file with rules of one's own does. Plan "
            "again: om.plan(touches, constraints=[...])."
        )
    return plan.constraints


def verdict_of(plan: Planned, touch: Any) -> Verdict:
    """Return the verdict on one message beside a plan, which stays as it is."""
    return _gate(plan).judge(touch, {}, {}).verdict


class LivePlan:
    """A plan at work: it answers triggered messages one by one, and counts those that it accepts.

    Parameters
    ----------
    plan : Plan
        The batch plan, whose shadow prices and limits it works with.
    constraints : iterable of Constraint, optional
        Limits that take the place of those of the plan which differ from them in the limit alone: plan with a part of
        the budget, and give the whole of it here, so that triggered messages have the rest.

    Notes
    -----
    Safe for threads. A process has its own counts: run one per budget, or split the budget among them.

    Examples
    --------
    >>> import pandas as pd, omnireco as om
    >>> frame = pd.DataFrame({"user_id": [1, 2, 3], "item_id": "tea", "channel": "sms", "value": [3.0, 2.0, 1.0],
    ...                       "send_at": pd.to_datetime(["2025-06-01 09:00"] * 3, utc=True)})
    >>> made = om.plan(om.planning.Candidates.from_frame(frame), constraints=[om.Budget("sms", cost=1, total=2)])
    >>> live = om.planning.LivePlan(made, constraints=[om.Budget("sms", cost=1, total=3)])
    >>> asked = {"user_id": 3, "item_id": "cup", "channel": "sms", "send_at": "2025-06-02T09:00Z", "value": 5.0}
    >>> [live.accept(asked).reason, live.accept(asked).reason]
    ['accepted', "Budget('sms')"]
    """

    __slots__ = ("_accepted", "_gate", "_lock", "_more", "_used")

    def __init__(self, plan: Any, constraints: Iterable[Constraint] = ()) -> None:
        if not hasattr(plan, "with_limit") or isinstance(plan, type):
            raise ParameterError(f"LivePlan takes a Plan. Got {type(plan).__name__}. Write LivePlan(om.plan(touches)).")
        rules = list(_rules_of(plan))
        for new in check_constraints(constraints):
            rules[same_limit(rules, new, "LivePlan")] = new
        self._gate = _Gate(plan, rules)
        self._lock, self._accepted = threading.Lock(), 0
        self._more: dict[int, Own] = {}
        self._used: dict[tuple[int, str], float] = {}

    def __repr__(self) -> str:
        return f"LivePlan({self._gate.sent.size:,} planned, {self._accepted:,} accepted)"

    _repr_html_ = shown_html

    def __len__(self) -> int:
        return self._accepted

    def accept(self, touch: Mapping[str, Any]) -> Verdict:
        """Return whether a message may be sent, and count it if so; see :meth:`Plan.accept`.

        Parameters
        ----------
        touch : mapping
            ``user_id item_id channel send_at value``, and where given ``creative_id store_id offer_id``.

        Returns
        -------
        Verdict
        """
        with self._lock:
            found = self._gate.judge(touch, self._more, self._used)
            if found.asked is not None and found.verdict.accepted:
                one = found.asked
                own = self._more.setdefault(one.user, Own([], [], [], [], []))
                added: Any = zip(own, one[1:], strict=True)
                for column, new in added:
                    column.append(new)
                for row, weight in found.takes:
                    self._used[row] = self._used.get(row, 0.0) + weight
                self._accepted += 1
            return found.verdict
