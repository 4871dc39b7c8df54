"""Shopify and WooCommerce: orders as their interfaces return them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnireco.adapters.columns.blocks import Doubtful, is_large
from omnireco.adapters.columns.orders import Form, add_orders
from omnireco.adapters.columns.shop_forms import shopify_form, woo_form
from omnireco.adapters.orders import (
    SHOPIFY_CHANNELS,
    SHOPIFY_NOT_PAID,
    SHOPIFY_PAID,
    WOO_CHANNELS,
    WOO_NOT_PAID,
    WOO_PAID,
    Line,
    Refund,
    amount,
    line_ids,
    newest,
    order_id,
    purchase_ids,
    returned,
)
from omnireco.adapters.records import (
    Adapted,
    Collector,
    Records,
    Unreadable,
    Wanted,
    collected,
    dig,
    finished,
    first_of,
    hashed_email,
    listed,
    mapping,
    read_records,
    without_collection,
)
from omnireco.adapters.segment import line
from omnireco.adapters.shopify_graphql import as_rest, bare_id, gathered, parent_of
from omnireco.adapters.values import as_id, as_number, as_person, filled
from omnireco.data.frames.answers import as_consent, is_missing
from omnireco.errors import SchemaError, StorageError

__all__ = ["shopify", "woocommerce"]

_WANTED_SHOPIFY = Wanted(
    "adapters.shopify",
    frozenset(
        [
            "line_items",
            "lineitems",
            "financial_status",
            "displayfinancialstatus",
            "processed_at",
            "created_at",
            "createdat",
            "__parentid",
        ]
    ),
    ("orders", "order", "data"),
)
_WANTED_WOO = Wanted(
    "adapters.woocommerce",
    frozenset(["line_items", "status", "date_created", "date_created_gmt", "customer_id", "billing"]),
    ("orders", "order", "data"),
)


def shopify(records: Records) -> Adapted:
    """Read Shopify orders (Admin REST ``orders.json``, GraphQL ``orders``, bulk exports, webhooks ``orders/*``).

    Parameters
    ----------
    records : list of dict, path or frame
        Orders as the shop's interface returns them, or the file that holds them.

    Returns
    -------
    Adapted
        A line of an order is a "purchase" of its ``product_id`` worth price x quantity. A person is the customer's id,
        or the hashed address of a guest. ``source_name`` gives the channel (web, store, app). Consents are those of
        ``email_marketing_consent`` and ``sms_marketing_consent``: only "subscribed" is a yes.
        The flags of older orders are heard too: ``accepts_marketing`` of the customer, or ``buyer_accepts_marketing``
        of the order where it is all there is.

        A refund is a "return" with a negative value at the time of the refund: the refunded lines, or the
        sum of a refund without lines, less shipping and tax (of no item, unless the order has one line); never more
        than was bought. Orders that were not paid (``financial_status`` pending, authorized, expired, voided), test and
        cancelled orders are ignored. Of an order that comes again, as webhooks do, the newest state counts
        (``updated_at``).

    Notes
    -----
    The ``event_id`` of a purchase names its order and item, so an order that is in two files is found by
    ``EventLog.check`` as "duplicate". A record that holds no lines is invalid.
    """
    return _read_all(records, _READ_SHOPIFY)


def woocommerce(records: Records) -> Adapted:
    """Read WooCommerce orders (REST ``wc/v3/orders``).

    Parameters
    ----------
    records : list of dict, path or frame
        Orders as the shop's interface returns them, or the file that holds them.

    Returns
    -------
    Adapted
        A line is a "purchase" of its ``product_id`` worth the line's ``total``. A person is ``customer_id``, or the
        hashed billing address of a guest (``customer_id`` 0). Times are ``date_created_gmt``. ``created_via`` gives the
        channel.

        A refund is a "return" with a negative value: every line of an order whose status is "refunded", and
        the ``refunds`` of others: their lines, or their ``total`` less the share of tax (of no item, unless the order
        has one line); never more than was bought. An order is paid when its status is processing, completed or
        refunded, in any case and with or without "wc-", or when a status of your own comes with a ``date_paid``. Orders
        on hold, pending, failed, cancelled, drafts and trash are ignored. Of an order that comes again, the newest
        state counts (``date_modified_gmt``).

    Notes
    -----
    The ``event_id`` of a purchase names its order and item, so an order that is in two files is found by
    ``EventLog.check`` as "duplicate". A record that holds no lines is invalid.
    """
    return _read_all(records, _READ_WOO)


_ReadOrder = Callable[[Collector, Mapping[str, Any], str | None, list[Mapping[str, Any]]], None]


@dataclass(frozen=True, slots=True)
class _Shop:
    """How a shop writes orders: ``parent`` names the order of a refund, ``times`` date a state."""

    wanted: Wanted
    parent: str
    times: tuple[str, ...]
    say_person: Callable[[Collector, Mapping[str, Any]], str | None]
    read_order: _ReadOrder
    form_of: Callable[[list[Any]], Form]
    as_orders: Callable[[list[Mapping[str, Any]], bool | None], list[Mapping[str, Any]]] = lambda records, _: records
    naive: bool = False


def _read_all(records: Records, shop: _Shop) -> Adapted:
    """Read orders: those of a large file as columns, and what these leave record by record."""
    with without_collection():
        if isinstance(records, (str, os.PathLike)) and is_large(path := Path(records)):
            with suppress(Doubtful, SchemaError, StorageError):
                return _as_columns(path, shop)
        orders = shop.as_orders(list(read_records(records, shop.wanted)), None)
        return finished(_read_orders(orders, shop))


def _as_columns(path: Path, shop: _Shop) -> Adapted:
    out = Collector(naive=shop.naive)
    add_orders(
        path,
        shop.wanted,
        shop.form_of,
        lambda one: _keys(one, shop),
        lambda values: list(read_records(values, shop.wanted)),
        lambda left, form: _read_orders(shop.as_orders(left, form.alone), shop),
        out,
    )
    return finished(out)


def _keys(record: Mapping[str, Any], shop: _Shop) -> Iterator[str | None]:
    """Yield every order that a record may be about."""
    for one in (record, *shop.as_orders([record], None)):
        for name in ("id", shop.parent, "__parentId"):
            yield order_id(one.get(name))
            yield order_id(bare_id(one.get(name)))


def _read_orders(records: list[Mapping[str, Any]], shop: _Shop) -> Collector:
    """Read the newest state of each order; refunds that came as records of their own go to their order."""
    out, parent = Collector(naive=shop.naive), shop.parent
    kinds = [_kind(record, parent) for record in records]
    orders = [record for record, kind in zip(records, kinds, strict=True) if kind == "order"]
    alone: dict[str | None, list[Mapping[str, Any]]] = {}
    for record, kind in zip(records, kinds, strict=True):
        if kind == "refund" and (number := order_id(record.get(parent))) is not None:
            alone.setdefault(number, []).append(record)
    states, last = iter(range(len(orders))), newest(orders, *shop.times, naive=shop.naive)
    each = iter(kinds)
    known = {order_id(order.get("id")) for order in orders}

    def read_one(out: Collector, record: Mapping[str, Any]) -> None:
        kind = next(each)
        out.record(kind)
        if kind != "order":
            of = parent_of(record) if kind == "part of an order" else order_id(record.get(parent))
            there = of is not None and of in known
            out.set(*(("event", "") if there else ("invalid", "its order is not among the records")))
            return
        position = next(states)
        user = shop.say_person(out, record)
        if position not in last:
            out.set("ignored", "an older state of an order that comes again")
        else:
            own = alone.get(order_id(record.get("id")), [])
            shop.read_order(out, record, user, _distinct([*listed(record.get("refunds"), "refunds"), *own]))

    return collected(out, records, read_one)


def _kind(record: Mapping[str, Any], parent: str) -> str:
    if "__parentId" in record:
        return "part of an order"
    return "refund" if _is_refund(record, parent) else "order"


def _is_refund(record: Mapping[str, Any], parent: str) -> bool:
    """Return whether a record is a refund rather than an order."""
    if record.get("type") == "shop_order_refund" or record.get("refund_line_items") is not None:
        return True
    return (
        bool(record.get(parent))
        and "status" not in record
        and (record.get("amount") is not None or "transactions" in record)
    )


def _distinct(refunds: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return refunds, each once: the fuller record of one id."""
    found: dict[Any, Mapping[str, Any]] = {}
    for position, refund in enumerate(refunds):
        key = order_id(refund.get("id")) or position
        found[key] = refund if key not in found or len(refund) > len(found[key]) else found[key]
    return list(found.values())


def _shopify_order(
    out: Collector, order: Mapping[str, Any], user: str | None, refunds: list[Mapping[str, Any]]
) -> None:
    status = (as_id(order.get("financial_status")) or "paid").lower().replace(" ", "_")
    unused = _shopify_unused(order, status)
    if unused is not None:
        out.set(*unused)
        return
    bought = listed(order.get("line_items"), "line_items")
    lines = _lines(bought, ("product_id", "sku"))
    at = first_of(order, "processed_at", "created_at")
    later = order.get("updated_at") or at
    number, place = order_id(order.get("id")), order.get("location_id")
    source = as_id(order.get("source_name")) or "web"
    where = SHOPIFY_CHANNELS.get(source, "web" if source.isdigit() else source)
    back = [_shopify_refund(order, bought, lines, refund, later) for refund in refunds]
    if status == "partially_refunded" and not back:
        back = [_difference(order, later)]
    whole = Refund("rest", later) if status == "refunded" else None
    _book(out, user, at, where, number, lines, returned(lines, back, whole=whole), store=place)


def _shopify_unused(order: Mapping[str, Any], status: str) -> tuple[str, str] | None:
    """Return why an order is no purchase, or None."""
    if str(order.get("test")).strip().lower() in {"true", "1", "yes"}:
        return "ignored", "a test order"
    if order.get("cancelled_at"):
        return "ignored", "cancelled"
    if status in SHOPIFY_NOT_PAID:
        return "ignored", f"not paid: {status}"
    return None if status in SHOPIFY_PAID else ("unknown", f"financial_status {status}")


def _shopify_person(order: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the customer and the hashed address: the first that is known is the person."""
    who = mapping(order.get("customer"), "customer")
    address = first_of(order, "email", "contact_email") or who.get("email")
    return as_person(who.get("id")), hashed_email(address)


def _say_shopify(out: Collector, order: Mapping[str, Any]) -> str | None:
    """Return the person of an order, and note their consents.

    Whether or not it was paid: a consent may be withdrawn in any order.
    """
    customer, address = _shopify_person(order)
    out.link(("customer", customer), ("email_sha256", address), first_of(order, "processed_at", "created_at"))
    user = customer or address
    if user is not None:
        out.user(user)
        stated = mapping(order.get("customer"), "customer")
        written = first_of(order, "updated_at", "processed_at", "created_at")
        for channel in ("email", "sms"):
            _consent(out, user, stated, channel, written)
        _accepts_marketing(out, user, order, stated, written)
    return user


def _lines(bought: list[Mapping[str, Any]], ids: tuple[str, ...]) -> list[Line]:
    if not bought:
        raise Unreadable("no line_items")
    return _readable([line(_priced(one), ids) for one in bought])


def _readable(lines: list[Line]) -> list[Line]:
    """Return lines of which every price can be read: what refunds leave of an order is a sum of its lines."""
    if any(value is not None and value != value for _, value in lines):
        raise Unreadable("a price or quantity is no number")
    return lines


def _priced(one: Mapping[str, Any]) -> Mapping[str, Any]:
    price = one.get("price")
    return one if price is not None else {**one, "price": dig(one, "price_set", "shop_money", "amount")}


def _book(
    out: Collector,
    user: str | None,
    at: Any,
    where: str,
    number: str | None,
    lines: list[Line],
    back: list[tuple[Refund, list[Line]]],
    *,
    store: Any = None,
) -> None:
    """Add a purchase and its refunds."""
    out.event(user, "purchase", at, where, lines, session=number, store=store, line_ids=purchase_ids(number, lines))
    for refund, taken in back if user is not None else []:
        names = line_ids(f"order {number}: {refund.name}", taken) if number is not None else None
        out.event(user, "return", refund.at, where, taken, session=number, line_ids=names)


def _shopify_refund(
    order: Mapping[str, Any], bought: list[Mapping[str, Any]], lines: list[Line], refund: Mapping[str, Any], later: Any
) -> Refund:
    by_id = {as_id(one.get("id")): one for one in bought if one.get("id") is not None}
    goods = []
    for one in listed(refund.get("refund_line_items"), "refund_line_items"):
        named = mapping(one.get("line_item"), "line_item")
        bought_as = by_id.get(as_id(named.get("id") or one.get("line_item_id")), {})
        of = {**bought_as, **{name: part for name, part in named.items() if part is not None}}
        item, value = line({**_priced(of), "quantity": one.get("quantity")}, ("product_id", "sku"), sign=-1)
        goods.append((item, value if value is not None else amount(one.get("subtotal"), "subtotal of a refund")))
    at = first_of(refund, "processed_at", "created_at") or later
    name = f"refund {as_id(refund.get('id')) or at}"
    return Refund(name, at, tuple(goods)) if goods else Refund(name, at, total=_shopify_sum(order, lines, refund))


def _shopify_sum(order: Mapping[str, Any], lines: list[Line], refund: Mapping[str, Any]) -> float:
    """Return the amount of a refund without lines: the money that was moved less shipping and tax."""
    moved = [
        _money(one, "amount")
        for one in listed(refund.get("transactions"), "transactions")
        if str(one.get("kind") or "refund").lower() == "refund"
        and str(one.get("status") or "success").lower() == "success"
    ]
    adjusted = listed(refund.get("order_adjustments"), "order_adjustments")
    shipping = [one for one in adjusted if one.get("kind") == "shipping_refund"]
    sent = sum(abs(_money(one, "amount")) + abs(_money(one, "tax_amount")) for one in shipping) or sum(
        _money(one, "subtotal_amount") + _money(one, "tax_amount")
        for one in listed(refund.get("refund_shipping_lines"), "refund_shipping_lines")
    )
    total = sum(abs(one) for one in moved) or abs(_money(refund, "total_refunded")) or abs(_money(refund, "amount"))
    if not total and not shipping:
        total = sum(abs(_money(one, "amount")) for one in adjusted)
    if not total and "transactions" not in refund and not adjusted:
        raise Unreadable("a refund without lines and amount")
    tax = 0.0 if order.get("taxes_included") in (True, "true") else _money(order, "total_tax")
    return max(_net(total - sent, lines, tax), 0.0)


def _money(record: Mapping[str, Any], name: str) -> float:
    """Return a sum of money of Shopify, plain or as a set of currencies; 0 where there is none."""
    found = record.get(name)
    found = dig(record, f"{name}_set", "shop_money", "amount") if found is None or isinstance(found, Mapping) else found
    return amount(found, name) or 0.0


def _net(total: float, lines: list[Line], tax: float) -> float:
    """Return the share of a sum that was paid for goods, where tax came on top of them."""
    goods = sum(value for _, value in lines if value is not None and value == value)
    return total * goods / (goods + tax) if goods > 0 and tax > 0 else total


def _difference(order: Mapping[str, Any], at: Any) -> Refund:
    """Return the refund of an order that has only its remaining price."""
    total = _money(order, "total_refunded") or _money(order, "total_price") - _money(order, "current_total_price")
    if total <= 0 or (order.get("current_total_price") is None and not _money(order, "total_refunded")):
        raise Unreadable("refunded in part, without an amount")
    return Refund("refund", at, total=total)


def _woo_order(out: Collector, order: Mapping[str, Any], user: str | None, refunds: list[Mapping[str, Any]]) -> None:
    status = (as_id(order.get("status")) or "completed").lower().replace(" ", "-").replace("_", "-").removeprefix("wc-")
    if status in WOO_NOT_PAID:
        out.set("ignored", f"status {status}")
        return
    if status not in WOO_PAID and not first_of(order, "date_paid_gmt", "date_paid"):
        out.set("unknown", f"status {status}, and no date of payment")
        return
    bought = listed(order.get("line_items"), "line_items")
    if not bought:
        raise Unreadable("no line_items")
    lines = _readable([_woo_line(one) for one in bought])
    at, number = first_of(order, "date_created_gmt", "date_paid_gmt"), order_id(order.get("id"))
    later = order.get("date_modified_gmt") or at
    where = WOO_CHANNELS.get(as_id(order.get("created_via")) or "checkout", "server")
    tax = amount(order.get("cart_tax"), "cart_tax") or 0.0
    back = [_woo_refund(lines, tax, refund, later) for refund in refunds]
    whole = Refund("rest", later) if status == "refunded" else None
    _book(out, user, at, where, number, lines, returned(lines, back, whole=whole))


def _woo_person(order: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the customer and the hashed address of a guest."""
    address = mapping(order.get("billing"), "billing").get("email")
    return as_person(order.get("customer_id")), hashed_email(address)


def _say_woo(out: Collector, order: Mapping[str, Any]) -> str | None:
    customer, address = _woo_person(order)
    out.link(("customer", customer), ("email_sha256", address), first_of(order, "date_created_gmt", "date_paid_gmt"))
    out.user(customer or address)
    return customer or address


def _woo_line(one: Mapping[str, Any]) -> Line:
    """Return (item, total) of a line; a product that was deleted has the id 0."""
    total = as_number(one.get("total"))
    item = order_id(one.get("product_id")) or as_id(one.get("sku"))
    return item, total if total is not None else line(one, ("product_id", "sku"))[1]


def _woo_refund(lines: list[Line], tax: float, refund: Mapping[str, Any], later: Any) -> Refund:
    at = refund.get("date_created_gmt") or later
    name = f"refund {as_id(refund.get('id')) or at}"
    goods = tuple(_woo_line(one) for one in listed(refund.get("line_items"), "line_items of a refund"))
    if goods:
        return Refund(name, at, goods)
    total = amount(first_of(refund, "total", "amount"), "total of a refund")
    if total is None:
        raise Unreadable("a refund without lines and amount")
    shipping = sum(
        abs(amount(one.get("total"), "shipping of a refund") or 0.0)
        for one in listed(refund.get("shipping_lines"), "shipping_lines")
    )
    return Refund(name, at, total=max(_net(abs(total) - shipping, lines, tax), 0.0))


def _consent(out: Collector, user: str, stated: Mapping[str, Any], channel: str, written: Any) -> None:
    """Note the consent in an order, dated when it was given, or else by the order."""
    name = f"{channel}_marketing_consent"
    if name in stated:
        at = filled(dig(stated, name, "consent_updated_at"), written)
        out.consent(user, f"consent_{channel}", at, dig(stated, name, "state"))


def _accepts_marketing(
    out: Collector, user: str, order: Mapping[str, Any], stated: Mapping[str, Any], written: Any
) -> None:
    """Note the flags of older orders: a refusal always counts, other flags only without a newer consent."""
    alone = is_missing(stated.get("email_marketing_consent"))
    flag, box = stated.get("accepts_marketing"), order.get("buyer_accepts_marketing")
    if not is_missing(flag) and (alone or not as_consent(flag)):
        out.consent(user, "consent_email", filled(stated.get("accepts_marketing_updated_at"), written), flag)
    elif alone and not is_missing(box):
        out.consent(user, "consent_email", written, box)


def _from_interface(records: list[Mapping[str, Any]], bulk: bool | None) -> list[Mapping[str, Any]]:
    """Return orders in the form of the REST interface, with the lines of a bulk export in them.

    ``bulk`` says that these records are some of a bulk export, or some of another file; None that they are all.
    """
    found = any("__parentId" in record for record in records)
    if bulk is False and found:
        raise Doubtful
    return [as_rest(record) for record in (gathered(records) if found or bulk else records)]


_READ_SHOPIFY = _Shop(
    _WANTED_SHOPIFY,
    "order_id",
    ("updated_at", "processed_at", "created_at"),
    _say_shopify,
    _shopify_order,
    shopify_form,
    _from_interface,
)
_READ_WOO = _Shop(
    _WANTED_WOO,
    "parent_id",
    ("date_modified_gmt", "date_created_gmt"),
    _say_woo,
    _woo_order,
    woo_form,
    naive=True,
)
