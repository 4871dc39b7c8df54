"""One request of a live service: a model, the person, and the quick way or that of a batch of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np

from omnireco._core.checks import check_known, count_of, from_microseconds, shown
from omnireco.data.audience import Audience
from omnireco.data.dataset import Dataset
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.places.amounts import UserAmounts
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.errors import IdKindError, SchemaError
from omnireco.live.events import Event
from omnireco.live.person import Person, log_of, messages_of, vocabulary
from omnireco.live.quick import Quick
from omnireco.live.snapshot import Snapshot, weights_of
from omnireco.planning.rules import (
    Affordable,
    Constraint,
    CoolDown,
    Eligibility,
    FrequencyCap,
    NotDisliked,
    Points,
    ServiceWindow,
)

__all__ = ["Ask", "Served", "audience_of", "limits_now", "rules_now"]

_NO_CODES = np.empty(0, np.int32)


class Ask(NamedTuple):
    """One request, which may be answered twice with other exclusions."""

    served: Served
    person: Person
    now: int
    channel: str | None
    basket: list[Any]
    eligible: Any
    exclude_seen: bool

    def best(self, k: int, barred: list[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Return at most k items and scores."""
        served = self.served
        if served.quick is not None and not self.basket:
            codes = served.known.codes(barred) if barred else _NO_CODES
            rules: dict[str, Any] = {"eligible": self.eligible, "exclude_seen": self.exclude_seen}
            quick = served.quick.best(self.person, self.now, k, codes, **rules)
            if quick is not None:
                return served.known.ids[quick[0]], quick[1]
        data = Dataset(self.person.log(self.now, self.served.names), end=from_microseconds(self.now))
        requests = data.requests(
            [self.person.user],
            channel=self.channel,
            given=[self.basket] if self.basket else None,
            exclude=[barred] if barred else None,
            new_users=True,
        )
        model = self.served.snapshot.model
        found = model.recommend(requests, k=k, eligible=self.eligible, exclude_seen=self.exclude_seen)
        held = found.codes[0] != NONE
        return found.items.ids[found.codes[0][held]], found.scores[0][held]


class Served:
    """A snapshot and what requests need of it at once; it is replaced whole."""

    __slots__ = ("by_value", "known", "names", "quick", "snapshot", "text")

    def __init__(self, snapshot: Snapshot) -> None:
        items: Vocabulary = snapshot.model.items
        self.snapshot, self.known, self.names = snapshot, items, snapshot.names
        self.quick = Quick.of(snapshot.model)
        self.by_value = [weights for weights in weights_of(snapshot.model) if weights.value is not None]
        self.text = items.ids.dtype == object if len(items) else None

    @classmethod
    def of(cls, snapshot: Any) -> Served:
        """Return a snapshot, or that of a model alone, ready to be asked."""
        return cls(snapshot if isinstance(snapshot, Snapshot) else Snapshot(snapshot))

    def knows(self, person: Person, now: int) -> bool:
        """Return whether there is an item in a person's past that the model knows."""
        return any(one.item in self.known for one in reversed(person.before(now)))

    def check(self, events: list[tuple[Any, Event]]) -> None:
        """Refuse events that no request could be answered with: items of another kind, or without a value."""
        if self.text is not None:
            items = [event.item for _, event in events if event.item is not None]
            if wrong := sum(isinstance(item, str) != self.text for item in items):
                have, cast = ("integers", "str") if self.text else ("texts", "int")
                raise IdKindError(
                    f"observe: {count_of(wrong, 'item id')} of {len(items):,} {'is' if wrong == 1 else 'are'} {have}, "
                    f"and those of the model are not: they can never match. Write 'item_id': {cast}(item)."
                )
        for rule in self.by_value:
            bare = [event.event for _, event in events if event.value is None and event.item is not None]
            if lost := [name for name in bare if (rule.events or {}).get(name, 1.0) != 0.0]:
                raise SchemaError(
                    f"observe: the model weighs events by value, and {count_of(len(lost), 'event')} of {len(events):,} "
                    f"({shown(lost[0])}) {'has' if len(lost) == 1 else 'have'} none. Write 'value': 1.0, or fit with "
                    f"Weights(events={{{shown(lost[0])}: 0}})."
                )


def audience_of(audience: Audience | None, person: Person, now: int, ahead: int = 0) -> Audience | None:
    """Return one row of the audience, with the newest consents; somebody unknown has no zone.

    ``ahead`` is how far the clocks of devices may be: see :meth:`Person.consents`.
    """
    if audience is None:
        return None
    row = int(audience.users.codes([person.user], missing="none")[0])
    n = len(audience.channels)
    consent, reachable = np.zeros((1, n), np.bool_), np.zeros((1, n), np.bool_)
    given_at = np.full((1, n), NEVER)
    zone = np.full(1, NONE, np.int32)
    attributes = {name: (known, np.full(1, NONE, np.int32)) for name, (known, _) in audience.attributes.items()}
    if row != NONE:
        consent, reachable, zone = (getattr(audience, name)[[row]].copy() for name in ("consent", "reachable", "zone"))
        attributes = {name: (known, codes[[row]]) for name, (known, codes) in audience.attributes.items()}
        if audience.consent_at is not None:
            given_at = audience.consent_at[[row]].copy()
    columns = {str(name): place for place, name in enumerate(audience.channels.ids)}
    for (channel, purpose), (at, yes) in person.consents(now, ahead).items():
        place = columns.get(channel)
        if purpose is None and place is not None and at >= given_at[0, place]:
            older = given_at[0, place] == at and not consent[0, place]
            consent[0, place], given_at[0, place] = yes and not older, at
    # a withdrawal where nobody is written to, such as on a web page, may mean any channel: it closes all
    closed = max((at for channel, at in person.withdrawals(now, ahead) if channel not in columns), default=NEVER)
    consent &= given_at > closed if closed != NEVER else True
    return Audience(
        vocabulary([person.user]),
        audience.zones,
        zone,
        audience.channels,
        consent,
        reachable,
        attributes,
        given_at,
        None,
        audience.holidays,
    )


def rules_now(rules: Iterable[Eligibility], person: Person, now: int, rates: Mapping[str, float]) -> list[Eligibility]:
    """Return rules of single messages with what the person has done until now in place of what they came with.

    ``rates`` are the points per event type; without any, balances stay as they are.
    """
    found = []
    for rule in rules:
        if isinstance(rule, CoolDown) and isinstance(rule.log, MessageLog):
            sent = messages_of(person.user, person.messages(now), now, none=True)
            rule = replace(rule, log=cast(MessageLog, sent))
        elif isinstance(rule, (CoolDown, ServiceWindow, NotDisliked)):
            kinds = [*(rule.events or ()), *((rule.undone or ()) if isinstance(rule, NotDisliked) else ())]
            rule = replace(rule, log=log_of(person.user, person.before(now), (kinds, ())))
        elif isinstance(rule, Affordable) and rates:
            rule = replace(rule, balances=_balance(person, now, rates))
        found.append(rule)
    return found


def limits_now(
    rules: Iterable[Constraint], person: Person, now: int, rates: Mapping[str, float], channels: Vocabulary
) -> list[Constraint]:
    """Return rules of messages together, as :func:`rules_now` does those of single ones.

    A kind of message that this person never had is no error; a channel that nobody has is.
    """
    found = []
    for rule in rules:
        if isinstance(rule, Points) and rates:
            rule = replace(rule, balances=_balance(person, now, rates))
        elif isinstance(rule, FrequencyCap) and rule.kinds is not None:
            check_known(rule.channels or (), [*channels.ids], "FrequencyCap: channels", missing=rule.missing)
            rule = replace(rule, missing="ignore")
        found.append(rule)
    return found


def _balance(person: Person, now: int, rates: Mapping[str, float]) -> UserAmounts:
    return UserAmounts(vocabulary([person.user]), np.array([person.points(now, rates)]))
