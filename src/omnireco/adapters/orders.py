"""Shared by readers of orders: event ids that reveal repeated orders, states of orders, and refunds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from omnireco.adapters.nesting import Unreadable
from omnireco.adapters.values import as_id, as_number, instants

__all__ = [
    "NO_ORDER",
    "SHOPIFY_CHANNELS",
    "SHOPIFY_NOT_PAID",
    "SHOPIFY_PAID",
    "WOO_CHANNELS",
    "WOO_NOT_PAID",
    "WOO_PAID",
    "Line",
    "Refund",
    "amount",
    "line_ids",
    "newest",
    "order_id",
    "purchase_ids",
    "return_ids",
    "returned",
]

Line = tuple[str | None, float | None]
"""An item and the amount paid for it."""

NO_ORDER = frozenset(
    {
        *("0", "-1", "-", "null", "none", "nil", "nan", "n/a", "na", "undefined", "unknown", "(none)", "(null)"),
        *("(not set)", "not set", "[object object]"),
    }
)
_CENT = 0.005

SHOPIFY_CHANNELS = {"web": "web", "pos": "store", "iphone": "app", "android": "app", "shopify_draft_order": "phone"}
SHOPIFY_PAID = {"paid", "partially_paid", "partially_refunded", "refunded"}
SHOPIFY_NOT_PAID = {"pending", "authorized", "expired", "voided", "unpaid"}
WOO_CHANNELS = {"checkout": "web", "store-api": "web", "pos": "store", "pos-rest-api": "store", "admin": "phone"}
WOO_PAID = {"processing", "completed", "refunded", "partially-refunded"}
WOO_NOT_PAID = {"pending", "pending-payment", "on-hold", "failed", "cancelled", "canceled"} | {
    *("checkout-draft", "auto-draft", "draft", "trash", "new"),
}


def order_id(value: Any) -> str | None:
    """Return the id of an order; None for placeholders such as "(not set)"."""
    text = as_id(value)
    return None if text is None or text.lower() in NO_ORDER else text


def amount(value: Any, name: str) -> float | None:
    """Return a sum of money, None where it is missing; one that cannot be read makes the record invalid."""
    found = as_number(value)
    if found is not None and found != found:
        raise Unreadable(f"{name} is no number")
    return found


def purchase_ids(order: str | None, lines: list[Line]) -> list[str] | None:
    """Return an ``event_id`` per line of an order, the same for every record of that order."""
    return line_ids(f"order {order}", lines) if order is not None else None


def return_ids(order: str | None, lines: list[Line]) -> list[str] | None:
    """Return an ``event_id`` per returned line, where refunds have no id: equal returns are one return."""
    return line_ids(f"return {order}", [(f"{item or ''}/{value}", None) for item, value in lines]) if order else None


def line_ids(name: str, lines: list[Line]) -> list[str]:
    """Return a name per line by its item; a second line of one item gets a number."""
    seen: Counter[str] = Counter()
    names = []
    for item, _ in lines or [(None, None)]:
        seen[item or ""] += 1
        again = f"#{seen[item or '']}" if seen[item or ""] > 1 else ""
        names.append(f"{name}/{item or ''}{again}")
    return names


def newest(orders: Iterable[Mapping[str, Any]], *fields: str, naive: bool = False) -> set[int]:
    """Return the positions of the newest state of each order: by the first filled of some fields, then by position.

    A webhook sends an order again at every change. An order without an id is a state of its own.
    """
    orders = list(orders)
    stamps = [next((order[name] for name in fields if order.get(name) is not None), None) for order in orders]
    at = instants(stamps, naive=naive)
    last: dict[str, int] = {}
    alone = set()
    for position, order in enumerate(orders):
        name = order_id(order.get("id"))
        if name is None:
            alone.add(position)
        elif name not in last or not at[position] < at[last[name]]:  # NaT is never less: position decides
            last[name] = position
    return alone | set(last.values())


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund: of lines where they are listed (``goods``), else a sum (``total``)."""

    name: str
    at: Any
    goods: tuple[Line, ...] = ()
    total: float = 0.0


def returned(
    lines: list[Line], refunds: list[Refund], *, whole: Refund | None = None
) -> list[tuple[Refund, list[Line]]]:
    """Return each refund as lines of negative value; together never more than was bought.

    Parameters
    ----------
    lines : list of (item, value)
        What was bought.
    refunds : list of Refund
        In the order of time. A sum that covers all that is left takes back every line; one that is smaller belongs to
        the item of an order of one line, else to no item.
    whole : Refund, optional
        Given where the order is refunded as a whole: takes back what the others left.
    """
    left = {at: _worth(value) for at, (_, value) in enumerate(lines)}
    taken = []
    for refund in refunds:
        back = _goods(lines, left, refund.goods) if refund.goods else _sum(lines, left, refund.total)
        taken.append((refund, back))
    if whole is not None:
        taken.append((whole, _rest(lines, left)))
    return [(refund, back) for refund, back in taken if back]


def _worth(value: float | None) -> float:
    """Return the value of a line; 0 where its price is missing or cannot be read."""
    return abs(value) if value is not None and value == value else 0.0


def _goods(lines: list[Line], left: dict[int, float], goods: tuple[Line, ...]) -> list[Line]:
    """Refund the lines that a refund lists, as far as they were not refunded before."""
    back: list[Line] = []
    for item, value in goods:
        wanted, took = _worth(value), 0.0
        bought_at = [at for at, (bought, _) in enumerate(lines) if bought == item]
        there = [at for at in bought_at if at in left]
        for at in there:
            part = min(left[at], wanted - took)
            took += part
            left[at] -= part
            if left[at] <= _CENT:
                del left[at]
        if there or not bought_at:
            back.append((item, 0.0 - (took if bought_at else wanted)))
    return back


def _sum(lines: list[Line], left: dict[int, float], total: float) -> list[Line]:
    rest = sum(left.values())
    if total <= _CENT or rest <= _CENT:
        return []
    if total >= rest - _CENT:
        return _rest(lines, left)
    for at in left:
        left[at] *= 1 - total / rest
    return [(lines[0][0] if len(lines) == 1 else None, -total)]


def _rest(lines: list[Line], left: dict[int, float]) -> list[Line]:
    back: list[Line] = [(lines[at][0], 0.0 - rest) for at, rest in left.items()]
    left.clear()
    return back
