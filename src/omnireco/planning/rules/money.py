"""What messages and rewards may cost together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from omnireco._core.checks import check_choice, check_kind, check_known, check_mapping, check_number
from omnireco._core.frozen import ReadOnly
from omnireco.data.asking.touches import Touches
from omnireco.errors import ParameterError
from omnireco.planning.rows import Rows
from omnireco.planning.rules.base import Constraint
from omnireco.planning.rules.naming import MANY, MISSING, names_of, one_name

__all__ = ["Budget", "Spend"]


@dataclass(frozen=True, slots=True)
class Budget(Constraint):
    """What the touches of one or several channels cost together stays within ``total``.

    Parameters
    ----------
    channel : str or iterable of str
        Channels that are paid out of this budget.
    cost : float, or mapping of channel to float
        Cost of one touch, 0 or more; a mapping names every channel.
    total : float
        What may be spent, 0 or more, in the same currency.
    missing : {"raise", "ignore"}, default "raise"
        Whether a channel that neither the touches nor the audience nor the message log has is an error.

    Notes
    -----
    What can be paid is computed in decimals, as written: 0.3 pays three at 0.1.

    Examples
    --------
    >>> Budget("email", cost=0.01, total=500).name
    "Budget('email')"
    >>> Budget(["sms", "call"], cost={"sms": 0.07, "call": 4}, total=500).name
    "Budget(['sms', 'call'])"
    """

    channel: str | Iterable[str]
    cost: float | Mapping[str, float] = field(kw_only=True)
    total: float = field(kw_only=True)
    missing: str = field(default="raise", kw_only=True, repr=False)

    def __post_init__(self) -> None:
        check_choice(self.missing, "Budget: missing", MISSING)
        if not isinstance(self.channel, str):
            several = names_of(self.channel, "Budget") if isinstance(self.channel, Iterable) else None
            if several is None:
                one_name(self.channel, "Budget")
            object.__setattr__(self, "channel", tuple(dict.fromkeys(several or ())))
        if isinstance(self.cost, Mapping):
            check_mapping(self.cost, "Budget: cost", "{'sms': 0.07, 'call': 4}")
            check_known(self._channels, self.cost, "Budget: cost (of every channel)", missing=None)
            check_known(self.cost, self._channels, "Budget: channels of cost", missing=None)
            costs = {name: check_number(cost, f"Budget: cost[{name!r}]", low=0) for name, cost in self.cost.items()}
            object.__setattr__(self, "cost", ReadOnly(costs))
        else:
            object.__setattr__(self, "cost", check_number(self.cost, "Budget: cost", low=0))
        object.__setattr__(self, "total", check_number(self.total, "Budget: total", low=0))

    @property
    def _channels(self) -> tuple[str, ...]:
        return (self.channel,) if isinstance(self.channel, str) else tuple(self.channel)

    @property
    def costs(self) -> dict[str, float]:
        """What a touch costs, by channel."""
        return {name: self.cost[name] if isinstance(self.cost, Mapping) else self.cost for name in self._channels}

    @property
    def name(self) -> str:
        """What reports call this constraint."""
        return f"Budget({(self.channel if isinstance(self.channel, str) else list(self.channel))!r})"

    def rows(self, touches: Touches) -> Rows:
        """Return one row: the touches that can be paid."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        costs = self.costs
        mine = touches.on(self._channels, "Budget: channel", missing=self.missing)
        of_channel = np.array([costs.get(str(name), 0.0) for name in touches.channels.ids], np.float64)
        touch = np.flatnonzero(mine & np.append(of_channel > 0, False)[touches.channel])
        if not any(costs.values()):
            return Rows(touch[:0], touch[:0], np.empty(0), np.empty(0), ())
        unit = _unit([cost for cost in costs.values() if cost])
        weight = np.array([float(Decimal(repr(cost)) / unit) for cost in of_channel.tolist()], np.float64)
        limit = np.array([_affordable(self.total, float(unit))])
        label = self.channel if isinstance(self.channel, str) else " + ".join(self._channels)
        row = np.zeros(touch.size, np.int64)
        return Rows(row, touch, weight[touches.channel[touch]], limit, (label,), float(unit))


@dataclass(frozen=True, slots=True)
class Spend(Constraint):
    """What rewards are expected to cost together stays within ``total``: a reward is paid on a response only.

    Parameters
    ----------
    total : float
        What may be spent, 0 or more.
    reward : mapping of id to float, optional
        What each reward costs when it is taken, by ``offer_id`` where the touches have offers, else by ``item_id``;
        those that are not named cost nothing. By default the column ``reward_cost`` of the touches, which is expected
        already (:class:`TouchValue`).
    channels : str or iterable of str, optional
        Channels that count; all by default.

    Notes
    -----
    The weight of a touch is its response probability times the cost of its reward. A touch whose expected cost is not
    known is not sent. The limit holds on average; what is spent scatters around it.

    Raises
    ------
    ParameterError
        From :meth:`rows`, when the touches have neither a column ``reward_cost`` nor probabilities.

    Examples
    --------
    >>> Spend(200, reward={"voucher": 5.0}).name
    'Spend(200)'
    """

    total: float
    reward: Mapping[Any, float] | None = field(default=None, kw_only=True)
    channels: str | Iterable[str] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", check_number(self.total, "Spend: total", low=0))
        object.__setattr__(self, "channels", names_of(self.channels, "Spend"))
        if self.reward is not None:
            table = check_mapping(self.reward, "Spend: reward", "{'voucher': 5.0}")
            known = {key: check_number(cost, f"Spend: reward[{key!r}]", low=0) for key, cost in table.items()}
            object.__setattr__(self, "reward", ReadOnly(known))

    @property
    def name(self) -> str:
        """What reports call this constraint."""
        return f"Spend({self.total:g})"

    def rows(self, touches: Touches) -> Rows:
        """Return one row: what the rewards of the touches are expected to cost."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        expected = self._expected(touches)
        unknown = np.isnan(expected)
        touch = np.flatnonzero(touches.on(self.channels, "Spend: channels") & (unknown | (expected > 0)))  # type: ignore[arg-type]
        too_much = min(2.0 * self.total + 1.0, float(np.finfo(np.float64).max))
        weight = np.where(unknown, too_much, expected)[touch]
        return Rows(np.zeros(touch.size, np.int64), touch, weight, np.array([self.total]), ("rewards",))

    def _expected(self, touches: Touches) -> np.ndarray:
        if self.reward is None:
            if "reward_cost" not in touches.numbers and len(touches):
                raise ParameterError(
                    "Spend: these touches have no column reward_cost. Give om.candidates(..., value=om.planning."
                    "TouchValue(reward_cost={'voucher': 5.0})), or Spend(total, reward={'voucher': 5.0})."
                )
            return touches.number("reward_cost")
        known, code = touches.label("offer_id") if "offer_id" in touches.labels else (touches.items, touches.item)
        cost = np.array([float(self.reward.get(key, 0.0)) for key in known.ids.tolist()] + [0.0])[code]
        return np.where(cost > 0, touches.number("probability") * cost, 0.0)


def _unit(costs: list[float]) -> Decimal:
    """Return the largest amount of which every cost is a whole multiple, in decimals as written."""
    exact = [Decimal(repr(cost)) for cost in costs]
    if len(set(exact)) == 1:
        return exact[0]
    places = max(0, *(-int(cost.as_tuple().exponent) for cost in exact))
    whole = [int(cost.scaleb(places)) for cost in exact]
    return Decimal(math.gcd(*whole)).scaleb(-places)


def _affordable(total: float, cost: float) -> float:
    """Return how many touches can be paid, in decimals as written; beyond any count in floats."""
    if total / MANY > cost:
        return float(MANY)
    return float(Decimal(repr(total)) // Decimal(repr(cost)))
