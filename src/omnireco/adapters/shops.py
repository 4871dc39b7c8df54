"""Shopify and WooCommerce: orders as their interfaces return them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omnireco.adapters.records import (
    Adapted,
    Collector,
    Records,
    dig,
    hashed_email,
    mapping,
    read_records,
)
from omnireco.adapters.segment import line
from omnireco.adapters.values import as_id, as_number, as_person, filled

__all__ = ["shopify", "woocommerce"]

_SHOPIFY = {"web": "web", "pos": "store", "iphone": "app", "android": "app", "shopify_draft_order": "phone"}
_WOO = {"checkout": "web", "store-api": "web", "pos": "store", "pos-rest-api": "store", "admin": "phone"}
_NOT_PAID = {"pending", "failed", "cancelled", "checkout-draft", "trash", "auto-draft"}


def shopify(records: Records) -> Adapted:
    """Read Shopify orders (Admin REST ``orders.json``, webhooks ``orders/*``).

    Parameters
    ----------
    records : list of dict, path or frame

    Returns
    -------
    Adapted
        A line of an order is a "purchase" of its ``product_id`` worth price x quantity; a refunded line is a "return"
        with a negative value, at the time of the refund. A person is the customer's id, or the hashed address of a
        guest. ``source_name`` gives the channel (web, store, app). Consents are those of ``email_marketing_consent``
        and ``sms_marketing_consent``: only "subscribed" is a yes. Test and cancelled orders are ignored.
    """
    out = Collector()
    for order in read_records(records, "adapters.shopify"):
        out.record("order")
        customer = as_person(dig(order, "customer", "id"))
        address = hashed_email(order.get("email") or order.get("contact_email") or dig(order, "customer", "email"))
        user, at = customer or address, order.get("processed_at") or order.get("created_at")
        if order.get("test") is True or order.get("cancelled_at"):
            out.set("ignored", "a test order" if order.get("test") is True else "cancelled")
            continue
        source = as_id(order.get("source_name")) or "web"
        where = _SHOPIFY.get(source, "web" if source.isdigit() else source)
        lines = [line(one, ("product_id", "sku")) for one in _list(order.get("line_items"))]
        number, place = as_id(order.get("id")), order.get("location_id")
        out.event(user, "purchase", at, where, lines, event_id=number, session=number, store=place)
        for refund in _list(order.get("refunds")):
            back = [
                line({**mapping(one.get("line_item")), "quantity": one.get("quantity")}, ("product_id", "sku"), sign=-1)
                for one in _list(refund.get("refund_line_items"))
            ]
            if back and user is not None:
                stamp = refund.get("processed_at") or refund.get("created_at")
                out.event(
                    user, "return", stamp, where, back, event_id=f"refund {as_id(refund.get('id'))}", session=number
                )
        out.link(("customer", customer), ("email_sha256", address), at)
        if user is not None:
            out.user(user)
            for name in ("email", "sms"):
                _consent(out, user, order, name)
    return out.finish()


def woocommerce(records: Records) -> Adapted:
    """Read WooCommerce orders (REST ``wc/v3/orders``).

    Parameters
    ----------
    records : list of dict, path or frame

    Returns
    -------
    Adapted
        A line is a "purchase" of its ``product_id`` worth the line's ``total``; the lines of an order whose status is
        "refunded" are "returns" with a negative value as well. A person is ``customer_id``, or the hashed billing
        address of a guest (``customer_id`` 0). Times are ``date_created_gmt``. ``created_via`` gives the channel.
        Orders that were not paid (pending, failed, cancelled, drafts) are ignored.
    """
    out = Collector(naive=True)
    for order in read_records(records, "adapters.woocommerce"):
        out.record("order")
        status = as_id(order.get("status"))
        if status in _NOT_PAID:
            out.set("ignored", f"status {status}")
            continue
        customer = as_person(order.get("customer_id"))
        address = hashed_email(dig(order, "billing", "email"))
        at, number = order.get("date_created_gmt"), as_id(order.get("id"))
        where = _WOO.get(as_id(order.get("created_via")) or "checkout", "server")
        lines = [
            (as_id(one.get("product_id")) or as_id(one.get("sku")), as_number(one.get("total")))
            for one in _list(order.get("line_items"))
        ]
        user = customer or address
        out.event(user, "purchase", at, where, lines, event_id=number, session=number)
        if status == "refunded" and user is not None:
            back = [(item, None if value is None else -value) for item, value in lines]
            stamp = order.get("date_modified_gmt") or at
            out.event(user, "return", stamp, where, back, event_id=f"refund {number}", session=number)
        out.link(("customer", customer), ("email_sha256", address), at)
        out.user(user)
    return out.finish()


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, (list, tuple)) else []


def _consent(out: Collector, user: str, order: Mapping[str, Any], channel: str) -> None:
    """Note the consent that an order tells, from when it was given, or else from when the order was written."""
    said = dig(order, "customer", f"{channel}_marketing_consent")
    stated = mapping(dig(order, "customer"))
    if f"{channel}_marketing_consent" in stated:
        at = filled(
            dig(said, "consent_updated_at"), *(order.get(name) for name in ("updated_at", "processed_at", "created_at"))
        )
        out.user(user, at=at, **{f"consent_{channel}": dig(said, "state")})
