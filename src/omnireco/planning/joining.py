"""Sets of candidates joined so that no rule of any of them is loosened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from omnireco._core.checks import check_duration
from omnireco.data.asking.touches import Touches, holidays_in, traits_of
from omnireco.data.audience import Audience
from omnireco.data.vocabulary import NONE, Vocabulary, unite
from omnireco.errors import ParameterError
from omnireco.planning.inputs import allowed
from omnireco.planning.rules import Consent, Constraint, FrequencyCap, Reachable
from omnireco.planning.sources import Sources, channel_names, consent_since, past_messages
from omnireco.planning.touch_value import LABELS, NUMBERS

__all__ = ["Joined", "joined"]


class Valued(Protocol):
    """Touches with values, and all they were made under: what is read of a set of candidates."""

    def __len__(self) -> int:
        """How many touches there are, n."""

    @property
    def touches(self) -> Touches:
        """Who, what, where, when."""

    @property
    def value(self) -> np.ndarray:
        """Value of sending each, float64 of shape (n,)."""

    @property
    def probability(self) -> np.ndarray | None:
        """Probability of a response, float64 of shape (n,)."""

    @property
    def labels(self) -> Mapping[str, tuple[Vocabulary, np.ndarray]]:
        """Further columns, each with its vocabulary."""

    @property
    def terms(self) -> Mapping[str, np.ndarray]:
        """What values are made of, float64 of shape (n,) each."""

    @property
    def left_out(self) -> Mapping[str, int]:
        """How many touches each rule took away."""

    @property
    def implied(self) -> tuple[Constraint, ...]:
        """Constraints that the touches bring along."""

    @property
    def sources(self) -> Sources:
        """The audience, the logs and the rules that they were made under."""


class Joined(NamedTuple):
    """The parts of several sets of candidates as one; ``kept`` are the positions that pass every rule of all."""

    touches: Touches
    value: np.ndarray
    probability: np.ndarray | None
    labels: dict[str, tuple[Vocabulary, np.ndarray]]
    left_out: dict[str, int]
    implied: tuple[Constraint, ...]
    kept: np.ndarray
    sources: Sources
    terms: dict[str, np.ndarray]


def joined(parts: Sequence[Valued]) -> Joined:
    """Return several sets of candidates as one; see :meth:`Candidates.concat`."""
    sources = _joined_sources(parts)
    touches = _joined_touches([part.touches for part in parts], sources)
    value = np.concatenate([part.value for part in parts])
    probability = _joined_probability(parts)
    labels, terms = _joined_labels(parts), _joined_terms(parts)
    numbers = {"value": value, **({} if probability is None else {"probability": probability}), **terms}
    touches = replace(touches, numbers=numbers, labels=labels)
    left_out = _summed([part.left_out for part in parts])
    kept = allowed(touches, (Consent(), Reachable(), *sources.rules), left_out)
    few = touches.take(kept)
    once = kept[_best_of_equals(few, value[kept], None if probability is None else probability[kept])]
    left_out["named twice"] = left_out.get("named twice", 0) + int(kept.size - once.size)
    implied = _strictest([rule for part in parts for rule in part.implied])
    return Joined(touches, value, probability, labels, left_out, implied, once, sources, terms)


def _joined_sources(parts: Sequence[Valued]) -> Sources:
    """Return the one audience, and the logs and rules of all; refuse sets made under different audiences."""
    sources = [part.sources for part in parts]
    first = sources[0].audience
    if not all(_same_people(first, one.audience) for one in sources[1:]):
        raise ParameterError(
            "Candidates.concat: these sets were made under different audiences (or one without), so what one of them "
            "forbids the other may allow. Make all of them with the same Dataset, such as om.Dataset(audience="
            "om.Audience.from_frame(pandas.concat([people_a, people_b])))."
        )
    return Sources(
        first,
        _distinct([log for one in sources for log in one.messages]),
        _distinct([log for one in sources for log in one.withdrawals]),
        _without_repeats([rule for one in sources for rule in one.rules]),
    )


def _same_people(one: Audience | None, other: Audience | None) -> bool:
    """Return whether two audiences are equal on the same people."""
    if one is other:
        return True
    if one is None or other is None or one.users != other.users or one.channels != other.channels:
        return False
    facts = [(people.zone, people.consent, people.reachable, _dates(people)) for people in (one, other)]
    return one.zones == other.zones and all(np.array_equal(a, b) for a, b in zip(*facts, strict=True))


def _dates(audience: Audience) -> np.ndarray:
    return np.empty(0) if audience.consent_at is None else audience.consent_at


def _distinct(logs: Sequence[Any]) -> tuple[Any, ...]:
    """Return each log once."""
    return tuple({id(log): log for log in logs}.values())


def _without_repeats(rules: Sequence[Any]) -> tuple[Any, ...]:
    """Return each rule once, in the order of their first."""
    kept: list[Any] = []
    for rule in rules:
        if rule not in kept:
            kept.append(rule)
    return tuple(kept)


def _joined_touches(parts: Sequence[Touches], sources: Sources) -> Touches:
    """Return the touches of all, in one set of codes; consent is read from all sources again."""
    users, user_codes = unite([part.users for part in parts], "user_id")
    items, item_codes = unite([part.items for part in parts], "item_id")
    channels, channel_codes = unite([part.channels for part in parts], "channel")
    user, item, channel = (
        np.concatenate([new[getattr(part, name)] for new, part in zip(codes, parts, strict=True)]).astype(np.int32)
        for name, codes in (("user", user_codes), ("item", item_codes), ("channel", channel_codes))
    )
    send_at, local_at, consent, reachable = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("send_at", "local_at", "consent", "reachable")
    )
    named = channel_names(channels, sources)
    consent &= send_at >= consent_since(users, channels, sources)[user, channel]
    past = past_messages(users, named, sources.messages)
    parts_of = (user, item, channel, send_at, local_at, consent, reachable, past, named)
    traits = traits_of(users, sources.audience)
    return Touches(users, items, channels, *parts_of, holiday=holidays_in(parts), traits=traits)


def _joined_probability(parts: Sequence[Valued]) -> np.ndarray | None:
    """Return the probabilities of all, NaN where a part has none; None where no part has any."""
    if all(part.probability is None for part in parts):
        return None
    return np.concatenate(
        [np.full(len(part), np.nan) if part.probability is None else part.probability for part in parts]
    )


def _joined_terms(parts: Sequence[Valued]) -> dict[str, np.ndarray]:
    """Return the terms of all values, NaN where a part has none."""
    names = _names([tuple(part.terms) for part in parts], NUMBERS)
    nothing = {id(part): np.full(len(part), np.nan) for part in parts}
    return {name: np.concatenate([part.terms.get(name, nothing[id(part)]) for part in parts]) for name in names}


def _joined_labels(parts: Sequence[Valued]) -> dict[str, tuple[Vocabulary, np.ndarray]]:
    """Return the labels of all, -1 where a part has none."""
    names = _names([tuple(part.labels) for part in parts], LABELS)
    return {name: _joined_label(parts, name) for name in names}


def _names(columns: Sequence[tuple[str, ...]], known: Sequence[str]) -> Sequence[str]:
    """Return the columns of all parts: as they stand where all have the same, else those known first, then by name."""
    if len(set(columns)) == 1:
        return columns[0]
    place = {name: i for i, name in enumerate(known)}
    return sorted({name for part in columns for name in part}, key=lambda name: (place.get(name, len(place)), name))


def _joined_label(parts: Sequence[Valued], name: str) -> tuple[Vocabulary, np.ndarray]:
    nothing = Vocabulary(np.empty(0, object))
    pairs = [part.labels.get(name, (nothing, np.full(len(part), NONE, np.int32))) for part in parts]
    known, codes = unite([vocabulary for vocabulary, _ in pairs], name)
    moved = [np.append(new, np.int32(NONE))[old] for new, (_, old) in zip(codes, pairs, strict=True)]
    return known, np.concatenate(moved).astype(np.int32)


def _summed(counts: Sequence[Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in counts:
        for reason, n in part.items():
            found[reason] = found.get(reason, 0) + n
    return found


def _best_of_equals(touches: Touches, value: np.ndarray, probability: np.ndarray | None) -> np.ndarray:
    """Return the position of the best touch of each person, item, channel, instant, offer and shop."""
    chance = np.zeros(value.size) if probability is None else np.nan_to_num(probability, nan=-1.0)
    keys = [touches.send_at, touches.channel, touches.item, touches.user]
    keys += [touches.labels[name][1] for name in ("offer_id", "store_id") if name in touches.labels]
    order = np.lexsort([-chance, -value, *keys])
    same = np.ones(max(order.size - 1, 0), np.bool_)
    for key in keys:
        same &= np.diff(key[order]) == 0
    return np.sort(order[np.concatenate([np.ones(min(order.size, 1), np.bool_), ~same])])


def _strictest(rules: Sequence[Constraint]) -> tuple[Constraint, ...]:
    """Return each implied rule once, without the gaps that a longer one contains."""
    kept = _without_repeats(rules)
    return tuple(rule for rule in kept if not any(_contains(other, rule) for other in kept if other is not rule))


def _contains(strict: Constraint, loose: Constraint) -> bool:
    """Return whether one frequency cap forbids all that another forbids, and more."""
    if type(strict) is not FrequencyCap or type(loose) is not FrequencyCap or strict == loose:
        return False
    if strict.per is None or loose.per is None or strict.channels != loose.channels:
        return False
    longer = check_duration(strict.per, "per"), check_duration(loose.per, "per")
    return strict.n <= loose.n and longer[0] >= longer[1] and (strict.n < loose.n or longer[0] > longer[1])
