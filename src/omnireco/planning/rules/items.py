"""Whether an item can be offered: it is sold now, it lies in a shop, and the person has not turned it down."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from omnireco._core.checks import check_kind, check_known, check_number, check_one_or_more
from omnireco.data.asking.touches import Touches
from omnireco.data.catalog import Catalog
from omnireco.data.events import EventLog
from omnireco.data.messages import NEVER
from omnireco.data.places.stock import StockLevels
from omnireco.data.vocabulary import NONE, match
from omnireco.planning.rules.base import Eligibility
from omnireco.planning.rules.pauses import last_before

__all__ = ["Available", "InStock", "NotDisliked"]


@dataclass(frozen=True, slots=True, eq=False)
class Available(Eligibility):
    """An item is offered only while its catalogue says so: not hidden, and in [valid_from, valid_until) at sending.

    Parameters
    ----------
    catalog : Catalog
        With ``valid_from``, ``valid_until`` and ``hidden``; an end that is missing is open.

    Notes
    -----
    Fails closed: an item that is not in the catalogue is not offered.

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> goods = om.Catalog.from_frame(pd.DataFrame({"item_id": ["tea", "cup"], "hidden": [False, True]}))
    >>> Available(goods)
    Available(catalog=Catalog(2 items, with hidden))
    """

    catalog: Catalog

    def __post_init__(self) -> None:
        check_kind(self.catalog, Catalog, "Available: catalog", "Available(data.catalog)")

    def mask(self, touches: Touches) -> np.ndarray:
        """Return which touches offer what can be had when they leave."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        goods = self.catalog
        row = match(goods.items, touches.items, ("the catalogue", "the touches"), column="item_id")
        row = np.append(row, np.int32(NONE))[touches.item]
        fine = row != NONE
        if goods.hidden is not None:
            fine &= ~np.append(goods.hidden, True)[row]
        if goods.valid_from is not None:
            fine &= touches.send_at >= np.append(goods.valid_from, NEVER)[row]
        if goods.valid_until is not None:
            until = np.append(goods.valid_until, NEVER)[row]
            fine &= (until == NEVER) | (touches.send_at < until)
        return fine


@dataclass(frozen=True, slots=True, eq=False)
class InStock(Eligibility):
    """An item is offered only where there is a piece of it: in the shop that the touch names, else in any.

    Parameters
    ----------
    stock : StockLevels
        Pieces per item and shop.
    least : float, default 1
        Pieces that must be there.

    Notes
    -----
    Fails closed: what the stock does not list is not there. How many may be promised together says :class:`Stock`.

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> frame = pd.DataFrame({"item_id": ["shoe"], "store_id": ["north"], "pieces": [3]})
    >>> InStock(om.data.StockLevels.from_frame(frame))
    InStock(stock=StockLevels(1 item, 1 store, 3 pieces), least=1.0)
    """

    stock: StockLevels
    least: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        check_kind(self.stock, StockLevels, "InStock: stock", "InStock(om.data.StockLevels.from_frame(frame))")
        object.__setattr__(self, "least", check_number(self.least, "InStock: least", above=0.0))

    def mask(self, touches: Touches) -> np.ndarray:
        """Return which touches offer what lies in their shop."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        stores, store = touches.label("store_id")
        here = self.stock.of(touches.items, touches.item, stores, store)
        anywhere = self.stock.anywhere(touches.items, touches.item)
        return np.asarray(np.where(store == NONE, anywhere, here) >= self.least, np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class NotDisliked(Eligibility):
    """An item is not offered to somebody who has turned it down, until they take it back.

    Parameters
    ----------
    log : EventLog
        With the events that turn items down and take them back.
    events : str or iterable of str
        Types of event that turn an item down: ``["dislike", "hide"]``.
    undone : str or iterable of str, optional
        Types that take it back, when they are later: ``"like"``.

    Raises
    ------
    ParameterError
        When the log has no event of a type.

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> log = om.EventLog.from_frame(pd.DataFrame({"user_id": [1], "item_id": ["tea"], "channel": "app",
    ...     "event": "dislike", "timestamp": pd.to_datetime(["2025-05-30 10:00"], utc=True)}))
    >>> NotDisliked(log, events="dislike")
    NotDisliked(events=('dislike',), undone=None)
    """

    log: EventLog = field(repr=False)
    events: str | Iterable[str] = field(kw_only=True)
    undone: str | Iterable[str] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_kind(self.log, EventLog, "NotDisliked: log", "NotDisliked(data.events, events='dislike')")
        for name in ("events", "undone"):
            if getattr(self, name) is not None:
                names = check_one_or_more(getattr(self, name), f"NotDisliked: {name}")
                check_known(names, self.log.events.ids, f"NotDisliked: {name}", missing=None)
                object.__setattr__(self, name, names)

    def mask(self, touches: Touches) -> np.ndarray:
        """Return which touches offer an item that the person has not turned down."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        no = self._last(touches, self.events)
        return (no == NEVER) | ((self._last(touches, self.undone) > no) if self.undone is not None else False)

    def _last(self, touches: Touches, events: object) -> np.ndarray:
        log = self.log
        rows = np.flatnonzero(np.isin(log.event, log.events.codes(list(events))))  # type: ignore[call-overload]
        return last_before(touches, log.users, log.user[rows], log.at[rows], items=(log.items, log.item[rows]))
