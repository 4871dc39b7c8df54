"""Points on a card: earned on any channel, spent on any, and never more than there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from omnireco._core.checks import check_kind, check_mapping, check_number
from omnireco._core.frozen import ReadOnly
from omnireco.data.asking.touches import Touches
from omnireco.data.places.amounts import UserAmounts
from omnireco.errors import ParameterError
from omnireco.planning.rows import Rows
from omnireco.planning.rules.base import Constraint, Eligibility
from omnireco.planning.rules.naming import names_of

__all__ = ["Affordable", "Points"]


@dataclass(frozen=True, slots=True, eq=False)
class Affordable(Eligibility):
    """A reward is offered only to somebody whose points pay for it, wherever they were earned.

    Parameters
    ----------
    balances : UserAmounts
        Points of each person: ``om.data.UserAmounts.from_events(data, per_value={"purchase": 1})``.
    rewards : mapping of id to float, optional
        What each reward takes, by ``offer_id`` where the touches have offers, else by ``item_id``. What is not named is
        no reward. By default the column ``points`` of the touches.
    near : float, default 0
        Points that may be missing: 20 also tells people who are that close.

    Notes
    -----
    Fails closed: somebody whose balance is not known has none.

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> cards = om.data.UserAmounts.from_frame(pd.DataFrame({"user_id": [1, 2], "amount": [120, 30]}))
    >>> Affordable(cards, rewards={"free latte": 100})
    Affordable(balances=UserAmounts(2 users, 150 in all), near=0.0)
    """

    balances: UserAmounts
    rewards: Mapping[Any, float] | None = field(default=None, kw_only=True, repr=False)
    near: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        _check(self, "Affordable")
        object.__setattr__(self, "near", check_number(self.near, "Affordable: near", low=0.0))

    def mask(self, touches: Touches) -> np.ndarray:
        """Return which touches offer no reward, or one that the person can pay."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        price = _prices(touches, self.rewards, "Affordable")
        held = self.balances.of(touches.users, missing=-np.inf)[touches.user]
        return np.asarray((price == 0) | (price <= held + self.near), np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Points(Constraint):
    """What is promised to a person takes no more points than they have, over all channels together.

    Parameters
    ----------
    balances : UserAmounts
        Points that each person has.
    rewards : mapping of id to float, optional
        See :class:`Affordable`.
    channels : str or iterable of str, optional
        Channels that count; all by default, as points can be used anywhere.

    Notes
    -----
    Each promise counts whole, not by its probability: everything promised could be redeemed. Somebody whose balance is
    not known, or below 0, is promised nothing.

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> cards = om.data.UserAmounts.from_frame(pd.DataFrame({"user_id": [1, 2], "amount": [120, 30]}))
    >>> Points(cards, rewards={"free latte": 100}).name
    'Points'
    """

    balances: UserAmounts
    rewards: Mapping[Any, float] | None = field(default=None, kw_only=True, repr=False)
    channels: str | Iterable[str] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check(self, "Points")
        object.__setattr__(self, "channels", names_of(self.channels, "Points"))

    def rows(self, touches: Touches) -> Rows:
        """Return one row for each person with a reward among their touches."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        price = _prices(touches, self.rewards, "Points")
        touch = np.flatnonzero(touches.on(self.channels, "Points: channels") & (price > 0))  # type: ignore[arg-type]
        people, row = np.unique(touches.user[touch], return_inverse=True)
        held = self.balances.of(touches.users, missing=0.0)[people]
        limit = np.maximum(held, 0.0)
        return Rows(row.astype(np.int64), touch, _finite(price[touch], limit[row]), limit)


def _check(rule: Any, where: str) -> None:
    check_kind(
        rule.balances, UserAmounts, f"{where}: balances", f"{where}(om.data.UserAmounts.from_events(data, each=...))"
    )
    if rule.rewards is not None:
        table = check_mapping(rule.rewards, f"{where}: rewards", "{'free latte': 100}")
        known = {key: check_number(points, f"{where}: rewards[{key!r}]", low=0.0) for key, points in table.items()}
        object.__setattr__(rule, "rewards", ReadOnly(known))


def _prices(touches: Touches, rewards: Mapping[Any, float] | None, where: str) -> np.ndarray:
    """Return what each touch takes from the card, float64 (n,); 0 for what is no reward."""
    if rewards is None:
        if "points" not in touches.numbers and len(touches):
            raise ParameterError(
                f"{where}: these touches have no column points. Name the rewards: {where}(balances, "
                "rewards={'free latte': 100})."
            )
        return np.nan_to_num(touches.number("points"), nan=0.0)
    known, code = touches.label("offer_id") if "offer_id" in touches.labels else (touches.items, touches.item)
    return np.array([*(float(rewards.get(key, 0.0)) for key in known.ids.tolist()), 0.0])[code]


def _finite(price: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Return prices as weights; a reward far beyond the card weighs just too much, whatever it takes."""
    with np.errstate(over="ignore"):
        return np.minimum(price, 2.0 * limit + 1.0)
