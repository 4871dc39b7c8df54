"""What a touch is worth: what it earns, less what it costs, each term an input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from omnireco._core.checks import check_kind, check_known, check_mapping, check_number, count_of, name_rows, shown
from omnireco._core.contract import described
from omnireco._core.notebook import shown_html
from omnireco.data.asking.touches import Touches
from omnireco.data.catalog import Catalog
from omnireco.data.places.amounts import UserAmounts
from omnireco.data.vocabulary import Vocabulary, match
from omnireco.errors import ParameterError, SchemaError

__all__ = [
    "LABELS",
    "NUMBERS",
    "TERMS",
    "Tiring",
    "TouchValue",
    "bounds_of",
    "check_fatigue",
    "check_value",
    "in_range",
    "valued",
]

TERMS = ("increment", "margin", "channel_cost", "reward_cost", "fatigue_cost", "unsubscribe_cost")
"""The columns that a value is made of: increment times margin, less the four costs."""
LABELS = ("creative_id", "store_id", "offer_id", "kind", "campaign_id")
"""Further columns of a frame of touches, in the order in which they are read and shown."""
NUMBERS = (*TERMS, "complaint", "points")
"""The columns of a frame by which values are made or rules count."""
_SIGNED = ("increment", "margin")
_BY_CHANNEL = ("channel_cost", "unsubscribe_risk")


@runtime_checkable
class Tiring(Protocol):
    """A fatigue model: what :func:`candidates` needs of a fitted Fatigue, or of one of your own."""

    def factor(self, user_ids: Any, channel: str, at_us: Any) -> np.ndarray:
        """Return by how much earlier messages lower the response probability, float64 of shape (n, n_slots)."""

    def cost(self, user_ids: Any, channel: str) -> np.ndarray:
        """Return how many later responses one more message costs, float64 of shape (n,)."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TouchValue:
    """What the value of a touch is made of.

    ``value = increment x margin - channel cost - reward cost - fatigue cost - unsubscribe cost``, where the increment
    is what a message adds to the probability of a response (or the whole probability, where the timing knows no more),
    times the discount of the item's rank. Every term becomes a column of the candidates and of the plan.

    Parameters
    ----------
    margin : float, mapping of item to float, or None
        What a response earns. By default the margin of the catalogue, else 1. An item that a mapping does not name has
        no margin, and is left out.
    channel_cost : float, or mapping of channel to float, default 0
        Cost of one touch, whatever comes of it.
    reward_cost : float, or mapping of item to float, default 0
        What a reward costs when it is taken. It is paid on a response only, so its expected cost is response
        probability times this: also of those who would have come anyway. An item that a mapping does not name carries
        no reward.
    fatigue : Tiring, optional
        Of ``om.timing.Fatigue().fit(data)``: it lowers probability and increment by recent messages, and its cost in
        later responses, each at the margin of the person's best item, is subtracted. None costs nothing.
    unsubscribe_risk : float, or mapping of channel to float, default 0
        Probability that one touch ends the consent.
    lifetime_value : float, or UserAmounts, default 0
        What the consent of a person is worth. Somebody whom the amounts do not know has a worth that is not known:
        where there is a risk, they get no message.

    Raises
    ------
    ParameterError
        When a cost is negative or not finite, a risk no probability, or a channel no name; where it is used, when a
        mapping names nothing that is there.

    Examples
    --------
    >>> TouchValue(channel_cost={"sms": 0.07, "email": 0.001}, unsubscribe_risk=0.002, lifetime_value=30.0)
    TouchValue(channel_cost={'sms': 0.07, 'email': 0.001}, unsubscribe_risk=0.002, lifetime_value=30.0)
    """

    margin: float | Mapping[Any, float] | None = None
    channel_cost: float | Mapping[str, float] = 0.0
    reward_cost: float | Mapping[Any, float] = 0.0
    fatigue: Tiring | None = None
    unsubscribe_risk: float | Mapping[str, float] = 0.0
    lifetime_value: float | UserAmounts = 0.0

    def __post_init__(self) -> None:
        _check_amounts(self.margin, "margin", low=None)
        _check_amounts(self.channel_cost, "channel_cost")
        _check_amounts(self.reward_cost, "reward_cost")
        _check_amounts(self.unsubscribe_risk, "unsubscribe_risk", high=1.0)
        if isinstance(self.lifetime_value, UserAmounts):
            if (self.lifetime_value.amount < 0).any():
                raise ParameterError("TouchValue: lifetime_value holds negative amounts. Clip them at 0.")
        else:
            check_number(self.lifetime_value, "TouchValue: lifetime_value", low=0.0)
        check_fatigue(self.fatigue)

    def __repr__(self) -> str:
        return described(self)

    _repr_html_ = shown_html

    @property
    def known_margin(self) -> bool:
        """Whether margins are given here, and not those of the catalogue."""
        return self.margin is not None

    def margins(self, items: Vocabulary) -> np.ndarray:
        """Return the margin of each item, float64 of shape (n_items,); NaN where a mapping does not name it.

        Raises
        ------
        ParameterError
            When a mapping names none of the items.
        """
        check_kind(items, Vocabulary, "items", "candidates.touches.items")
        _check_named(self.margin, items, "margin")
        return _per_id(self.margin, items, np.nan)

    def rewards(self, items: Vocabulary) -> np.ndarray:
        """Return the cost of each item's reward when it is taken, float64 of shape (n_items,).

        Raises
        ------
        ParameterError
            When a mapping names none of the items.
        """
        check_kind(items, Vocabulary, "items", "candidates.touches.items")
        _check_named(self.reward_cost, items, "reward_cost")
        return _per_id(self.reward_cost, items, 0.0)

    def of_channels(self, channels: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
        """Return the cost of a touch and the risk of an unsubscription by channel, float64 of shape (n_channels,) each.

        Raises
        ------
        ParameterError
            When a mapping leaves out one of these channels: what is not named would be free.
        """
        check_kind(channels, Vocabulary, "channels", "candidates.touches.channels")
        found = []
        for name, table in (("channel_cost", self.channel_cost), ("unsubscribe_risk", self.unsubscribe_risk)):
            if isinstance(table, Mapping):
                check_known(channels.ids, list(table), f"TouchValue: {name} (of every channel)", missing=None)
            found.append(_per_id(table, channels, np.nan))
        return found[0], found[1]

    def lifetimes(self, users: Vocabulary) -> np.ndarray:
        """Return what the consent of each person is worth, float64 of shape (n_users,); NaN where it is not known."""
        check_kind(users, Vocabulary, "users", "candidates.touches.users")
        if isinstance(self.lifetime_value, UserAmounts):
            return self.lifetime_value.of(users)
        return np.full(len(users), float(self.lifetime_value))


def check_value(value: Any) -> None:
    """Refuse what is no TouchValue."""
    check_kind(value, TouchValue, "value", "value=om.planning.TouchValue(channel_cost={'sms': 0.07})", none=True)


def check_fatigue(fatigue: Any) -> None:
    """Refuse a fatigue model without its two verbs: an estimator that was not fitted, a class."""
    for verb in () if fatigue is None else ("factor", "cost"):
        if isinstance(fatigue, type) or not callable(getattr(fatigue, verb, None)):
            got = f"the class {fatigue.__name__}" if isinstance(fatigue, type) else type(fatigue).__name__
            raise ParameterError(
                f"fatigue must have a verb {verb}. Got {got}. Write fatigue=om.timing.Fatigue().fit(data): fit returns "
                "the model."
            )


def _check_amounts(table: Any, name: str, *, low: float | None = 0.0, high: float | None = None) -> None:
    where = f"TouchValue: {name}"
    if isinstance(table, Mapping):
        for key, number in check_mapping(table, where, "{'sms': 0.07}").items():
            check_number(number, f"{where}[{key!r}]", low=low, high=high)
            if name in _BY_CHANNEL and not isinstance(key, str):
                raise ParameterError(f"{where} must name channels. Got {shown(key)}. Write {{'sms': 0.07}}.")
    elif table is not None or name != "margin":
        check_number(table, where, low=low, high=high)


def _check_named(table: Any, known: Vocabulary, name: str) -> None:
    """Refuse a mapping that names none of the items: ids of another kind, or other words for them."""
    if isinstance(table, Mapping) and table and len(known) and not any(key in table for key in known.ids.tolist()):
        raise ParameterError(
            f"TouchValue: {name} names none of the {count_of(len(known), 'item')} that can be offered. Its keys must "
            "be ids as in item_id, of the same type."
        )


def _per_id(table: Any, known: Vocabulary, missing: float) -> np.ndarray:
    """Return one number for each id."""
    if not isinstance(table, Mapping):
        return np.full(len(known), missing if table is None else float(table))
    return np.array([float(table.get(key, missing)) for key in known.ids.tolist()], np.float64)


def bounds_of(name: str) -> dict[str, float]:
    """Return between which numbers a column by which rules count lies, as ``check_number`` takes it."""
    if name in ("probability", "complaint"):
        return {"low": 0.0, "high": 1.0}
    return {"low": 0.0} if name in NUMBERS and name not in _SIGNED else {}


def in_range(numbers: np.ndarray, name: str, where: str) -> np.ndarray:
    """Return a column by which rules count, where every number can be: a cost below 0 would pay for other touches."""
    bounds = bounds_of(name)
    wrong = (numbers < bounds.get("low", -np.inf)) | (numbers > bounds.get("high", np.inf))
    if wrong.any():
        what = "a probability, in [0, 1]" if "high" in bounds else "0 or more"
        raise SchemaError(
            f"{where}: {name} must be {what}; it is not in {name_rows(wrong)}. Leave it missing where it is not known."
        )
    return numbers


def valued(
    touches: Touches,
    probability: np.ndarray | None,
    given: Mapping[str, np.ndarray],
    worth: TouchValue,
    catalog: Catalog | None,
    has_value: bool,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the values of touches and every term of them; NaN where a term is not known.

    Raises
    ------
    ParameterError
        When values stand in the frame already, neither increments nor probabilities are there, or fatigue is a model.
    """
    where = "Candidates.from_frame"
    if has_value:
        raise ParameterError(f"{where}: the frame has a column value, and worth= makes one. Drop one of the two.")
    if worth.fatigue is not None:
        raise ParameterError(
            f"{where}: worth= has a fatigue model, which candidates(...) reads. Put its cost into the column "
            "fatigue_cost: model.cost(user_ids, channel)."
        )
    terms = dict(given)
    if "increment" not in terms and probability is None:
        raise ParameterError(f"{where}: worth= makes values of the column increment, or probability. Give one of them.")
    terms.setdefault("increment", probability)  # type: ignore[arg-type]
    answers = terms["increment"] if probability is None else probability
    if "margin" not in terms:
        if worth.known_margin:
            terms["margin"] = worth.margins(touches.items)[touches.item]
        elif catalog is not None and catalog.margin is not None:
            row = match(catalog.items, touches.items, ("the catalogue", "the touches"), column="item_id")
            terms["margin"] = np.append(catalog.margin, np.nan)[row][touches.item]
        else:
            terms["margin"] = np.ones(len(touches))
    cost, risk = worth.of_channels(touches.channels)
    terms.setdefault("channel_cost", cost[touches.channel])
    terms.setdefault("reward_cost", answers * worth.rewards(touches.items)[touches.item])
    terms.setdefault("fatigue_cost", np.zeros(len(touches)))
    if "unsubscribe_cost" not in terms:
        at_risk = risk[touches.channel]
        lifetime = worth.lifetimes(touches.users)[touches.user]
        terms["unsubscribe_cost"] = np.where(at_risk > 0, at_risk * lifetime, 0.0)
    costs = ("channel_cost", "reward_cost", "fatigue_cost", "unsubscribe_cost")
    with np.errstate(over="ignore", invalid="ignore"):  # an endless value is refused, or not sent
        value = terms["increment"] * terms["margin"] - sum(terms[name] for name in costs)
    return value, {name: terms[name] for name in (*TERMS, *(name for name in terms if name not in TERMS))}
