"""What depends on a shop: whether it is open when the message leaves, and how many pieces may be promised from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from scipy.special import gammaincinv

from omnireco._core.checks import check_duration, check_kind, check_number, check_numbers
from omnireco.data.asking.touches import Touches
from omnireco.data.places.stock import StockLevels
from omnireco.data.places.stores import Shops
from omnireco.data.vocabulary import NONE, match
from omnireco.planning.rows import Rows
from omnireco.planning.rules.base import Constraint, Eligibility
from omnireco.planning.rules.naming import names_of

__all__ = ["OpeningHours", "Stock", "stock_rows"]


@dataclass(frozen=True, slots=True, eq=False)
class OpeningHours(Eligibility):
    """A message about a shop leaves only while the shop is open, on the shop's own clock.

    Parameters
    ----------
    shops : Shops
        Shops with their hours and time zones.
    channels : str or iterable of str, optional
        Channels that name a shop; all by default.
    left : duration, default "1min"
        How long the shop must stay open after the message: ``"2h"`` leaves time to go there.

    Notes
    -----
    Fails closed: on these channels a touch that names no shop, or one without known hours, is not sent.

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> shops = om.data.Shops.from_frame(pd.DataFrame({"store_id": ["north"], "timezone": ["Europe/Berlin"]}),
    ...                                  hours={"north": {"mon-sat": "09:00-20:00"}})
    >>> OpeningHours(shops, left="2h")
    OpeningHours(shops=Shops(1 store, 1 with opening hours), channels=None, left='2h')
    """

    shops: Shops
    channels: str | Iterable[str] | None = field(default=None, kw_only=True)
    left: str = field(default="1min", kw_only=True)

    def __post_init__(self) -> None:
        check_kind(self.shops, Shops, "OpeningHours: shops", "OpeningHours(om.data.Shops.from_frame(frame, hours=...))")
        check_duration(self.left, "OpeningHours: left")
        object.__setattr__(self, "channels", names_of(self.channels, "OpeningHours"))

    def mask(self, touches: Touches) -> np.ndarray:
        """Return which touches name a shop that stays open long enough."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        fine = ~touches.on(self.channels, "OpeningHours: channels")  # type: ignore[arg-type]
        stores, store = touches.label("store_id")
        known = match(self.shops.stores, stores, ("the shops", "the touches"), column="store_id")
        rows = np.flatnonzero(~fine)
        place = np.append(known, np.int32(NONE))[store[rows]]
        minutes = self.shops.minutes_open(place, touches.send_at[rows])
        fine[rows] = minutes * 60e6 >= check_duration(self.left, "OpeningHours: left")
        return fine


@dataclass(frozen=True, slots=True, eq=False)
class Stock(Constraint):
    """What is promised from a shop stays within its pieces: a row for each item and shop.

    Parameters
    ----------
    stock : StockLevels
        Pieces per item and shop.
    certainty : float, optional
        In [0.5, 0.999999]: the probability with which the pieces of a row suffice. By default they suffice on average
        only, which they fail to do in about half of all tight rows.
    channels : str or iterable of str, optional
        Channels that promise pieces; all by default.

    Notes
    -----
    A touch takes as many pieces as people are expected to come for: its response probability; one that is not known
    takes a whole piece. A touch that names no shop draws on all shops together, and then a row for each such item holds
    the sum over all shops too.

    With ``certainty`` the expected pick-ups of a row stay below the mean ``m`` at which a Poisson number exceeds the
    pieces with probability 1 - certainty. Pick-ups that are independent of each other, whatever their probabilities,
    exceed ``pieces >= m`` no more often than that: Hoeffding (1956, theorem 5) for the binomial, Anderson and Samuels
    (1967) for the Poisson law above it. Where they depend on each other, as on a rainy day, this does not hold.

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> levels = om.data.StockLevels.from_frame(pd.DataFrame({"item_id": ["shoe"], "store_id": ["a"], "pieces": [9]}))
    >>> Stock(levels, certainty=0.95).name, float(Stock(levels, certainty=0.95).promised(9.0).round(2))
    ('Stock(certainty=0.95)', 5.43)
    """

    stock: StockLevels = field(repr=False)
    certainty: float | None = field(default=None, kw_only=True)
    channels: str | Iterable[str] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_kind(self.stock, StockLevels, "Stock: stock", "Stock(om.data.StockLevels.from_frame(frame))")
        if self.certainty is not None:
            sure = check_number(self.certainty, "Stock: certainty", low=0.5, high=0.999999)
            object.__setattr__(self, "certainty", sure)
        object.__setattr__(self, "channels", names_of(self.channels, "Stock"))

    @property
    def name(self) -> str:
        """What reports call this constraint."""
        return "Stock" if self.certainty is None else f"Stock(certainty={self.certainty:g})"

    def promised(self, pieces: np.ndarray | float) -> np.ndarray:
        """Return how many pick-ups may be expected of so many pieces, float64."""
        whole = np.floor(check_numbers(pieces, "pieces"))
        if self.certainty is None:
            return np.asarray(whole)
        return np.where(whole > 0, np.minimum(gammaincinv(whole + 1.0, 1.0 - self.certainty), whole), 0.0)

    def rows(self, touches: Touches) -> Rows:
        """Return one row for each item and shop, and for each item that some touch promises without a shop."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        return stock_rows(self, touches)


def stock_rows(rule: Stock, touches: Touches, *, totals: bool = False) -> Rows:
    """Return the rows of a stock; with ``totals`` the sum over all shops of every item, not only of those that need it.

    A message that comes later may name no shop, and then it must be known what the shops have promised together.
    """
    touch = np.flatnonzero(touches.on(rule.channels, "Stock: channels") & (touches.item >= 0))  # type: ignore[arg-type]
    stores, store = touches.label("store_id")
    item, store = touches.item[touch], store[touch]
    chance = touches.number("probability")[touch]
    takes = np.where(np.isnan(chance), 1.0, chance)
    width = len(stores) + 1
    key = item.astype(np.int64) * width + store + 1
    free = totals | np.isin(item, np.unique(item[store == NONE]))  # promised without a shop: the sum over all shops
    keys = np.concatenate([key[store != NONE], item[free].astype(np.int64) * width])
    entry = np.concatenate([touch[store != NONE], touch[free]])
    weight = np.concatenate([takes[store != NONE], takes[free]])
    pairs, row = np.unique(keys, return_inverse=True)
    goods, shop = pairs // width, pairs % width - 1
    here = rule.stock.of(touches.items, goods, stores, shop)
    pieces = np.where(shop == NONE, rule.stock.anywhere(touches.items, goods), here)
    names = touches.items.ids[goods] if goods.size else []
    places = ["any shop" if one == NONE else stores.ids[one] for one in shop]
    labels = tuple(f"{one} @ {place}" for one, place in zip(names, places, strict=True))
    return Rows(row.astype(np.int64), entry, weight, rule.promised(pieces), labels)
