"""Shopify's GraphQL interface: its orders, and the lines of its bulk exports, in the shape of the REST interface."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from omnireco.adapters.nesting import dig, listed

__all__ = ["as_rest", "bare_id", "gathered", "parent_of"]

_CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")
_GID = re.compile(r"gid://shopify/\w+/(\d+)(\?.*)?")
_MARKS = {"lineItems", "createdAt", "processedAt", "displayFinancialStatus", "cancelledAt"}


def gathered(records: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return records of a bulk export with the lines in their orders; a line stays a record that names its parent."""
    orders = {_key(record.get("id")): dict(record) for record in records if "__parentId" not in record}
    whole = [record if "__parentId" in record else orders[_key(record.get("id"))] for record in records]
    lines: dict[int, tuple[dict[str, Any], list[Any]]] = {}
    for record in records:
        order = orders.get(_key(record.get("__parentId")))
        if order is not None and parent_of(record) is not None:
            lines.setdefault(id(order), (order, list(order.get("lineItems") or [])))[1].append(record)
    for order, own in lines.values():
        order["lineItems"] = own
    return whole


def _key(name: Any) -> Any:
    """Return an id that can be a key: a list or a mapping by how it is written."""
    return repr(name) if isinstance(name, (list, dict)) else name


def parent_of(record: Mapping[str, Any]) -> str | None:
    """Return the number of the order of a line of a bulk export; None for what is no line."""
    found = _GID.fullmatch(str(record.get("__parentId"))) if "/LineItem/" in str(record.get("id")) else None
    return found[1] if found else None


def bare_id(value: Any) -> Any:
    """Return the number in a global id, and any other value as it is."""
    found = _GID.fullmatch(value) if isinstance(value, str) and value.startswith("gid:") else None
    return found[1] if found else value


def as_rest(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an order in the form of the REST interface."""
    if _MARKS.isdisjoint(record) or "__parentId" in record:
        return record
    order = _snake(record)
    order["financial_status"] = order.get("financial_status") or order.get("display_financial_status")
    order["line_items"] = _each(order.get("line_items"), _line)
    order["refunds"] = _each(order.get("refunds"), _refund)
    order["customer"] = _each(order.get("customer"), _customer)
    return order


def _snake(value: Any) -> Any:
    """Return a value with names in snake case, connections as lists, and ids as their numbers."""
    if isinstance(value, Mapping):
        if isinstance(value.get("edges"), list) or isinstance(value.get("nodes"), list):
            return [_snake(one) for one in listed(value, "edges")]
        return {_snake_name(name): _snake(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_snake(one) for one in value]
    return bare_id(value)


@lru_cache(maxsize=4096)  # an interface has few names of fields
def _snake_name(name: str) -> str:
    return _CAMEL.sub(r"_\1", name).lower()


def _each(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """Return a mapping, or the mappings of a list, changed; anything else as it is, for the reader to refuse."""
    if isinstance(value, list):
        return [_each(one, change) for one in value]
    return change(value) if isinstance(value, dict) else value


def _line(one: dict[str, Any]) -> dict[str, Any]:
    prices = [
        dig(one, name, "shop_money", "amount") for name in ("original_unit_price_set", "discounted_unit_price_set")
    ]
    price = next((price for price in prices if price is not None), one.get("original_unit_price"))
    product = dig(one, "product", "id") or dig(one, "variant", "product", "id")
    return {"product_id": product, "price": price} | {name: part for name, part in one.items() if part is not None}


def _refund(refund: dict[str, Any]) -> dict[str, Any]:
    goods = _each(refund.get("refund_line_items"), lambda one: {**one, "line_item": _line(one.get("line_item") or {})})
    return {**refund, "refund_line_items": goods}


def _customer(customer: dict[str, Any]) -> dict[str, Any]:
    email = customer.get("email") or dig(customer, "default_email_address", "email_address")
    consents = {
        name: {**consent, "state": consent.get("marketing_state")}
        for name in ("email_marketing_consent", "sms_marketing_consent")
        if isinstance(consent := customer.get(name), dict)
    }
    return {**customer, "email": email, **consents}
