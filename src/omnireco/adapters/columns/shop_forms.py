"""The ordinary orders of Shopify and WooCommerce, as their interfaces and bulk exports write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from omnireco.adapters.columns.blocks import Piece, holding
from omnireco.adapters.columns.fields import (
    ABSENT,
    ID,
    LISTED,
    NUMBER,
    TEXT,
    TIME,
    TRUTH,
    Rows,
    coded,
    ids_of,
    mask_of,
    parents,
    spelled,
)
from omnireco.adapters.columns.orders import Form, Part, lines_in, unfilled
from omnireco.adapters.orders import (
    NO_ORDER,
    SHOPIFY_CHANNELS,
    SHOPIFY_NOT_PAID,
    SHOPIFY_PAID,
    WOO_CHANNELS,
    WOO_NOT_PAID,
    WOO_PAID,
)
from omnireco.adapters.values import Known, hashed_email
from omnireco.data.frames.answers import as_consent

__all__ = ["shopify_form", "woo_form"]

_GRAPHQL = ("createdAt", "processedAt", "displayFinancialStatus", "cancelledAt", "lineItems", "__parentId")
_REST = ("created_at", "processed_at", "updated_at", "financial_status", "display_financial_status", "line_items",
         "source_name", "contact_email", "location_id", "default_email_address", "product_id", "variant",
         "original_unit_price_set", "shop_money", "discounted_unit_price_set")  # fmt: skip
_ADDRESSES = Known(hashed_email)
_MANY = 1_000_000


def _address(column: Any) -> Any:
    """Return hashed addresses."""
    code, found = coded(column, _ADDRESSES.__getitem__)
    if len(_ADDRESSES) > _MANY:
        _ADDRESSES.clear()
    return spelled(code, found)


def _order_ids(rows: Rows, column: Any) -> Any:
    """Return ids of orders; a row without one, or with a placeholder, is odd."""
    import pyarrow as pa
    import pyarrow.compute as pc

    none = pc.is_in(pc.utf8_lower(column), value_set=pa.array(sorted(NO_ORDER)))
    rows.mark(mask_of(none) | mask_of(column.is_null()))
    return column


def _unfilled(rows: Rows, path: str) -> None:
    """Mark rows in which a list is not empty."""
    import pyarrow.compute as pc

    rows.mark(mask_of(pc.greater(pc.list_value_length(rows.column(path)).fill_null(0), 0)))


def _became(
    rows: Rows, path: str, rule: Callable[[str], tuple[str, str] | None], default: str, statuses: list[Any]
) -> np.ndarray:
    """Return codes of what becomes of orders by their status; one whose status a rule must judge is odd."""
    code, found = coded(rows.id(path), rule)
    found.append(rule(default))
    for one in found:
        if one is not None and one not in statuses:
            statuses.append(one)
    table = np.array([-1 if one is None else statuses.index(one) for one in found])
    became = table[code]
    rows.mark(became < 0)
    return np.maximum(became, 0)


def _part(
    rows: Rows,
    key: Any,
    customer: Any,
    address: Any,
    times: tuple[np.ndarray, np.ndarray],
    rest: tuple[np.ndarray, Any, Any],
    lines: tuple[np.ndarray, Any, np.ndarray],
    **more: Any,
) -> Part:
    import pyarrow.compute as pc

    user = pc.coalesce(customer, address)
    is_line = more.pop("is_line", np.zeros(len(rows), np.bool_))
    rows.mark(mask_of(user.is_null()) & ~is_line)
    return Part(key, user, customer, address, *times, *rest, lines, is_line, **more)


# WooCommerce ---------------------------------------------------------------------------------------------------------

_WOO_FIELDS = {
    **dict.fromkeys(["id", "customer_id", "line_items[]/product_id"], ID),
    **dict.fromkeys(["status", "created_via", "billing/email"], TEXT),
    **dict.fromkeys(["date_created_gmt", "date_modified_gmt"], TIME),
    "line_items[]/sku": ID,
    "line_items[]/total": NUMBER,
    "refunds": LISTED,
    **dict.fromkeys(["type", "refund_line_items"], ABSENT),
}


def _woo_status(text: str) -> tuple[str, str] | None:
    status = text.lower().replace(" ", "-").replace("_", "-").removeprefix("wc-")
    if status in WOO_NOT_PAID:
        return "ignored", f"status {status}"
    return ("event", "") if status in WOO_PAID and status != "refunded" else None


def _woo(rows: Rows, _: Piece, statuses: list[tuple[str, str]]) -> Part:
    import pyarrow as pa
    import pyarrow.compute as pc

    rows.absent("type", "refund_line_items")
    _unfilled(rows, "refunds")
    rows.mark(~rows.given("status"))
    became = _became(rows, "status", _woo_status, "completed", statuses)
    key, customer = _order_ids(rows, rows.id("id")), rows.person("customer_id")
    at = rows.instant("date_created_gmt", naive=True)
    stamp = rows.instant("date_modified_gmt", "date_created_gmt", naive=True)
    code, places = coded(rows.id("created_via"), lambda text: WOO_CHANNELS.get(text, "server"))
    channel = spelled(np.where(code < 0, len(places), code), [*places, "web"])
    lines = lines_in(rows, "line_items[]")
    item, worth = lines.id("product_id"), lines.number("total")
    none = pc.is_in(item, value_set=pa.array(sorted(NO_ORDER)))
    item = pc.coalesce(pc.if_else(none, pa.scalar(None, pa.string()), item), lines.id("sku"))
    lines.mark(np.isnan(worth) | mask_of(item.is_null()))
    store = pa.nulls(len(rows), pa.string())
    address = _address(rows.column("billing/email"))
    return _part(rows, key, customer, address, (at, stamp), (became, channel, store), (parents(lines), item, worth))


_WOO = Form(_WOO_FIELDS, _woo, foreign=(b'"__parentId"',))


def woo_form(_: list[Any]) -> Form:
    """Return the form of WooCommerce's orders."""
    return _WOO


# Shopify -------------------------------------------------------------------------------------------------------------

_CONSENTS = ("email", "sms")
_EMAIL = b'"email_marketing_consent"'
_EMPTY_SMS = _EMAIL + rb': ?\{[^{}]*\}, ?"sms_marketing_consent": ?null'  # so both are of one mapping
_FLAGS = ("customer/accepts_marketing", "buyer_accepts_marketing")
_SHOPIFY_FIELDS = {
    **dict.fromkeys(["id", "customer/id", "location_id", "line_items[]/product_id", "line_items[]/sku"], ID),
    **dict.fromkeys(["financial_status", "source_name", "email", "contact_email", "customer/email"], TEXT),
    **dict.fromkeys(["processed_at", "created_at", "updated_at"], TIME),
    **{f"customer/{name}_marketing_consent/state": TEXT for name in _CONSENTS},
    **{f"customer/{name}_marketing_consent/consent_updated_at": TIME for name in _CONSENTS},
    **dict.fromkeys([*_FLAGS, "test"], TRUTH),
    **dict.fromkeys(["line_items[]/price", "line_items[]/quantity"], NUMBER),
    "line_items[]/price_set/shop_money/amount": NUMBER,
    "refunds": LISTED,
    **dict.fromkeys(["cancelled_at", "order_id", "type", "refund_line_items"], ABSENT),
}


def _shopify_status(text: str) -> tuple[str, str] | None:
    status = text.lower().replace(" ", "_")
    if status in SHOPIFY_NOT_PAID:
        return "ignored", f"not paid: {status}"
    return ("event", "") if status in SHOPIFY_PAID and "refunded" not in status else None


def _shopify_place(text: str) -> str:
    return SHOPIFY_CHANNELS.get(text, "web" if text.isdigit() else text)


def _shopify_channel(rows: Rows, path: str) -> Any:
    code, places = coded(rows.id(path), _shopify_place)
    return spelled(np.where(code < 0, len(places), code), [*places, "web"])


def _untested(rows: Rows) -> None:
    rows.mark(mask_of(rows.column("test").fill_null(False)))


def _rest(rows: Rows, piece: Piece, statuses: list[tuple[str, str]]) -> Part:
    import pyarrow.compute as pc

    rows.absent("cancelled_at", "order_id", "type", "refund_line_items")
    _untested(rows)
    _unfilled(rows, "refunds")
    became = _became(rows, "financial_status", _shopify_status, "paid", statuses)
    key, customer = _order_ids(rows, rows.id("id")), rows.person("customer/id")
    at = rows.instant("processed_at", "created_at")
    stamp = rows.instant("updated_at", "processed_at", "created_at")
    address = _address(rows.first_id("email", "contact_email", "customer/email"))
    lines = lines_in(rows, "line_items[]")
    item, price, quantity = lines.first_id("product_id", "sku"), lines.number("price"), lines.number("quantity")
    price = np.where(mask_of(lines.column("price").is_null()), lines.number("price_set/shop_money/amount"), price)
    lines.mark(np.isnan(price) | mask_of(item.is_null()))
    worth = price * np.where(np.isnan(quantity), 1.0, quantity)
    consents = tuple(_consent(rows, piece, name, stamp) for name in _CONSENTS)
    named, instant, given = consents[0]
    rows.mark(rows.given("customer/accepts_marketing"))
    box = rows.column("buyer_accepts_marketing")
    alone = ~rows.given("customer/email_marketing_consent") & mask_of(box.is_valid())
    said = np.where(mask_of(pc.fill_null(box, False)), 1, 0)
    consents = ((named, np.where(alone, stamp, instant), np.where(alone, said, given)), *consents[1:])
    parts = (parents(lines), item, worth)
    place = _shopify_channel(rows, "source_name")
    return _part(
        rows, key, customer, address, (at, stamp), (became, place, rows.id("location_id")), parts, consents=consents
    )


def _consent(rows: Rows, piece: Piece, channel: str, written: np.ndarray) -> tuple[str, np.ndarray, np.ndarray]:
    """Return the consents of customers; one that must be judged, or has a time that must, makes its row odd."""
    path = f"customer/{channel}_marketing_consent"
    there = rows.given(path)
    code, answers = coded(rows.id(f"{path}/state"), as_consent)
    table = np.array([*(-2 if one is None else int(one) for one in answers), -2])
    given = np.where(there, table[code], -1)
    rows.mark(given == -2)
    if (empty := unfilled(rows, piece, path, f'"{channel}_marketing_consent"'.encode())).any():
        beside = (holding(piece, _EMPTY_SMS) == 1) & (holding(piece, _EMAIL) == 1)
        beside &= rows.given("customer/email_marketing_consent") & (channel == "sms")
        rows.mark(empty & ~beside)
        given[empty & beside] = 2
    dated = there & rows.given(f"{path}/consent_updated_at")
    instant = written
    if dated.any():
        own = Rows(rows.array, np.zeros(len(rows), np.bool_))
        instant = np.where(dated, own.instant(f"{path}/consent_updated_at"), written)
        rows.mark(dated & own.odd)
    return f"consent_{channel}", instant, given


_SHOPIFY = Form(
    _SHOPIFY_FIELDS,
    _rest,
    foreign=tuple(f'"{name}"'.encode() for name in _GRAPHQL),
)

_AMOUNTS = tuple(f"{name}UnitPriceSet/shopMoney/amount" for name in ("original", "discounted"))
_BULK_ABSENT = (
    *("type", "refundLineItems", "financialStatus", "locationId", "contactEmail", "defaultEmailAddress"),
    *("acceptsMarketing", "buyerAcceptsMarketing", "orderId", "lineItem", "productId", "price", "priceSet"),
    *("originalUnitPrice", "variant", "cancelledAt"),
    *(f"customer/{name}" for name in ("defaultEmailAddress", "emailMarketingConsent", "smsMarketingConsent")),
    *(f"customer/{name}" for name in ("acceptsMarketing", "email_marketing_consent", "sms_marketing_consent")),
)
_BULK_FIELDS = {
    **dict.fromkeys(["id", "__parentId", "customer/id", "product/id"], TEXT),
    **dict.fromkeys(["displayFinancialStatus", "sourceName", "email", "customer/email"], TEXT),
    **dict.fromkeys(["processedAt", "createdAt", "updatedAt"], TIME),
    **dict.fromkeys(["quantity", *_AMOUNTS], NUMBER),
    **dict.fromkeys(["refunds", "lineItems"], LISTED),
    **dict.fromkeys(_BULK_ABSENT, ABSENT),
    "sku": ID,
    "test": TRUTH,
}


def _numbers(rows: Rows, path: str, kind: str) -> Any:
    """Return the numbers of Shopify's global ids; a row with one of another form is odd."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = rows.column(path)
    known = pc.match_substring_regex(column, f"^gid://shopify/{kind}/[0-9]+$").fill_null(True)
    rows.mark(~mask_of(known))
    found = pc.replace_substring_regex(column, "^.*/", "")
    return pc.if_else(known, found, pa.scalar(None, pa.string()))


def _bulk(rows: Rows, _: Piece, statuses: list[tuple[str, str]]) -> Part:
    import pyarrow as pa
    import pyarrow.compute as pc

    rows.absent(*_BULK_ABSENT)
    for name in ("refunds", "lineItems"):
        rows.mark(rows.given(name))
    is_line = rows.given("__parentId")
    rows.mark(~rows.given("id"))
    own, parent = _numbers(rows, "id", "(Order|LineItem)"), _numbers(rows, "__parentId", "Order")
    line_id = mask_of(pc.starts_with(rows.column("id"), "gid://shopify/LineItem/").fill_null(False))
    rows.mark(line_id != is_line)
    key = _order_ids(rows, pc.if_else(pa.array(is_line), parent, own))
    _untested(rows)
    became = np.where(is_line, 0, _became(rows, "displayFinancialStatus", _shopify_status, "paid", statuses))
    customer = ids_of(_numbers(rows, "customer/id", "[A-Za-z]+"), people=True)
    address = _address(rows.first_id("email", "customer/email"))
    nothing = pa.scalar(None, pa.string())
    customer, address = (pc.if_else(pa.array(is_line), nothing, one) for one in (customer, address))
    orders = Rows(rows.array, np.zeros(len(rows), np.bool_))
    at = orders.instant("processedAt", "createdAt")
    stamp = orders.instant("updatedAt", "processedAt", "createdAt")
    rows.mark(orders.odd & ~is_line)
    lines = Rows(rows.array, np.zeros(len(rows), np.bool_))
    price, quantity = lines.number(_AMOUNTS[0]), lines.number("quantity")
    price = np.where(mask_of(lines.column(_AMOUNTS[0]).is_null()), lines.number(_AMOUNTS[1]), price)
    item = pc.coalesce(_numbers(lines, "product/id", "[A-Za-z]+"), lines.id("sku"))
    lines.mark(np.isnan(price) | mask_of(item.is_null()))
    rows.mark(lines.odd & is_line)
    worth = price * np.where(np.isnan(quantity), 1.0, quantity)
    row = np.flatnonzero(is_line)
    place = _shopify_channel(rows, "sourceName")
    store = pa.nulls(len(rows), pa.string())
    parts = (row, item.take(pa.array(row)), worth[row])
    return _part(rows, key, customer, address, (at, stamp), (became, place, store), parts, is_line=is_line)


_BULK = Form(
    _BULK_FIELDS,
    _bulk,
    foreign=tuple(f'"{name}"'.encode() for name in _REST),
    stated={"__parentId": b'"__parentId"'},
    alone=True,
)


def shopify_form(sample: list[Any]) -> Form:
    """Return the form in which most of some orders are: of the bulk exports or of the REST interface."""
    bulk = sum(type(one) is dict and not one.keys().isdisjoint(_GRAPHQL) for one in sample)
    return _BULK if 2 * bulk > len(sample) else _SHOPIFY
