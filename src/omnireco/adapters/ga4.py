"""Google Analytics 4: rows of the BigQuery export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from omnireco._core.checks import check_mapping
from omnireco.adapters.columns.fields import ID, NUMBER, TEXT, TIME, Rows, mask_of, spelled
from omnireco.adapters.columns.road import Columns, Found, events_of, first_known, links_of, several_lines
from omnireco.adapters.nesting import parsed
from omnireco.adapters.orders import Line, amount, order_id, purchase_ids, return_ids
from omnireco.adapters.quick import (
    Known,
    Odd,
    add_event,
    id_of,
    instant_of,
    number_of,
    part_of,
    persons,
    plain_names,
    usual,
)
from omnireco.adapters.records import Adapted, Collector, Records, Source, Wanted, dig, listed, read_all
from omnireco.adapters.segment import line
from omnireco.adapters.values import as_id, as_person
from omnireco.data.frames.suspicion import is_return

__all__ = ["ga4"]

EVENTS = {
    "view_item": "view",
    "select_item": "click",
    "view_item_list": "view_list",
    "add_to_cart": "add_to_cart",
    "remove_from_cart": "remove_from_cart",
    "view_cart": "view_cart",
    "begin_checkout": "begin_checkout",
    "add_shipping_info": "checkout_step",
    "add_payment_info": "checkout_step",
    "purchase": "purchase",
    "in_app_purchase": "purchase",
    "refund": "return",
    "add_to_wishlist": "add_to_wishlist",
    "view_promotion": "view_promotion",
    "select_promotion": "select_promotion",
    "search": "search",
    "view_search_results": "search",
    "share": "share",
    "page_view": "page",
    "screen_view": "screen",
    "session_start": "open_session",
}
IGNORED = {
    "first_visit first_open user_engagement scroll app_remove app_update app_clear_data os_update click file_download "
    "video_start video_progress video_complete form_start form_submit app_exception notification_receive "
    "notification_open notification_dismiss": "not about an item or a visit"
}
_IGNORED = {name: why for names, why in IGNORED.items() for name in names.split()}
_WANTED = Wanted(
    "adapters.ga4",
    frozenset(["event_name", "event_timestamp", "user_pseudo_id"]),
    ("events", "rows", "data", "records"),
)
_FIELDS = {
    **dict.fromkeys(["event_name", "platform", "items[]/item_id"], TEXT),
    "event_timestamp": TIME,
    **dict.fromkeys(["user_id", "user_pseudo_id", "items[]/location_id"], ID),
    **dict.fromkeys(["items[]/price", "items[]/quantity"], NUMBER),
    "event_params[]/key": TEXT,
    **dict.fromkeys(["event_params[]/value/int_value", "event_params[]/value/string_value"], ID),
    **dict.fromkeys(["event_params[]/value/double_value", "event_params[]/value/float_value"], NUMBER),
}
_TYPED = ("int_value", "string_value", "double_value", "float_value")
_CHANNELS = {"web": "web", "ios": "app", "android": "app"}


def ga4(records: Records, *, events: Mapping[str, str] | None = None) -> Adapted:
    """Read rows of the Google Analytics 4 export to BigQuery.

    Parameters
    ----------
    records : list of dict, path or frame
        Rows of ``events_YYYYMMDD`` with their nested ``items``; parquet read by pyarrow or pandas has this shape,
        and so have the lines of its JSON export.
    events : mapping of str to str, optional
        Your own events to names of ours; they come before the built-in ones.

    Returns
    -------
    Adapted
        A person is ``user_id``, or ``user_pseudo_id`` where there is none; links join the two (kinds "user", "pseudo").
        ``platform`` gives the channel: WEB is "web", IOS and ANDROID are "app". Each of ``items`` is one event worth
        price x quantity; its ``location_id`` is the store. A purchase or refund without items is worth its revenue.

    Notes
    -----
    Columns and events by Google's "BigQuery Export schema" (support.google.com/analytics/answer/7029846) and
    "Recommended events". ``event_timestamp`` counts microseconds UTC. The export has no id of an event: repeats are
    found by equality. Purchases and refunds are named by their ``transaction_id`` and item (a refund by its value too),
    so a thank-you page that was loaded twice is found by ``EventLog.check`` as "duplicate". ``items`` and
    ``event_params`` may be lists, arrays or JSON; a row in which they cannot be read is invalid.
    """
    named = EVENTS | dict(check_mapping(events, "events", "{'view_promotion': 'view'}"))
    return read_all(
        records,
        Source(
            _WANTED,
            Collector,
            lambda out: _quick(out, named),
            lambda _: Columns(_FIELDS, lambda rows, _: _columns(rows, named)),
            lambda out, row: _one(out, row, named),
        ),
    )


def _quick(out: Collector, named: Mapping[str, str]) -> Callable[[dict[str, Any]], bool]:
    """Return a reader of the usual row that is no order, which says whether it read it."""
    names, people, shapes = plain_names(named), persons(), usual(frozenset())

    def read(row: dict[str, Any]) -> bool:
        name: Any = row.get("event_name")
        ours = names[name] if type(name) is str else None
        if ours is None or not shapes[tuple(row)]:
            return False
        try:
            known, pseudo = people[row.get("user_id")], people[row.get("user_pseudo_id")]
            user, at, platform = known or pseudo, instant_of(row.get("event_timestamp")), row.get("platform")
            if user is None or type(platform) is not str:
                return False
            lines: list[Line] = []
            items, store = row.get("items"), None
            listing: list[Any] = [] if items is None else items if type(items) is list else [None]
            for item in listing:
                item_id = item.get("item_id") if type(item) is dict else None
                if type(item_id) is not str or not item_id.strip() or item_id == "(not set)":
                    return False
                price, quantity = number_of(item.get("price")), number_of(item.get("quantity"))
                worth = None if price is None else price * (1.0 if quantity is None else quantity)
                lines.append((item_id.strip(), worth))
                store = store or (id_of(item["location_id"]) if item.get("location_id") else None)
            session = _quick_session(row.get("event_params"))
        except (Odd, TypeError):  # a value that cannot be a key of a mapping
            return False
        channel = _CHANNELS.get(platform.strip().lower(), "unknown")
        add_event(out, name, ours, user, at, channel, lines, (session, store, None))
        out.link(("pseudo", pseudo), ("user", known), at)
        return True

    return read


def _columns(rows: Rows, named: Mapping[str, str]) -> Found:
    """Read usual rows that are no order as columns."""
    rows.absent()
    code, titles, ours = rows.titles("event_name", plain_names(named))
    known, pseudo = rows.person("user_id"), rows.person("user_pseudo_id")
    user, at = first_known(rows, known, pseudo), rows.instant("event_timestamp")
    place = spelled(*rows.names("platform", Known(lambda name: _CHANNELS.get(name.strip().lower(), "unknown"))))
    items = rows.within("items[]")
    item, price, quantity = items.id("item_id"), items.number("price"), items.number("quantity")
    items.mark(mask_of(item.is_null()) | items.equal("item_id", "(not set)"))
    items.blank("location_id")
    store = items.first(items.id("location_id"))
    lines = several_lines(items, item, price * np.where(np.isnan(quantity), 1.0, quantity))
    events = events_of(rows, user, (code, ours), place, at, lines, (_sessions(rows), store, None))
    return Found((code, titles), ("event", ""), events, (links_of(("pseudo", pseudo), ("user", known), at),))


def _sessions(rows: Rows) -> Any:
    """Return the session of each row among its event parameters."""
    pairs = rows.within("event_params[]")
    pairs.mark(~pairs.given("key"))
    named = pairs.where("key", "ga_session_id")
    for kind in ("double_value", "float_value"):
        named.absent(f"value/{kind}")
    return named.first(named.first_id("value/int_value", "value/string_value"))


def _quick_session(parameters: Any) -> str | None:
    """Return the session among the event parameters where these are a list of key and typed value."""
    if parameters is None:
        return None
    pairs: list[Any] = parameters if type(parameters) is list else [None]
    for one in pairs:
        if type(one) is not dict or type(one.get("key")) is not str:
            raise Odd
        if one["key"] == "ga_session_id":
            value = part_of(one.get("value"))
            parts = [part for kind in _TYPED if (part := value.get(kind)) is not None and str(part).strip()]
            return id_of(parts[0]) if parts else None
    return None


def _one(out: Collector, row: Mapping[str, Any], named: Mapping[str, str]) -> None:
    name, at = as_id(row.get("event_name")), row.get("event_timestamp")
    out.record(name)
    known, pseudo = as_person(row.get("user_id")), as_person(row.get("user_pseudo_id"))
    out.link(("pseudo", pseudo), ("user", known), at)
    if name is not None and name in named:
        ours, items = named[name], listed(row.get("items"), "items")
        lines, names = _lines(row, ours, items)
        out.event(
            known or pseudo,
            ours,
            at,
            _CHANNELS.get((as_id(row.get("platform")) or "").lower(), "unknown"),
            lines,
            session=_parameter(row, "ga_session_id"),
            store=next((item["location_id"] for item in items if item.get("location_id")), None),
            line_ids=names,
        )
    elif name in _IGNORED:
        out.set("ignored", _IGNORED[name])
    elif name is not None:
        out.withdrawal(known or pseudo, name, at)


def _lines(row: Mapping[str, Any], ours: str, items: list[Mapping[str, Any]]) -> tuple[list[Line], list[str] | None]:
    """Return the lines of a row, and their names where it is an order."""
    sign = -1 if is_return(ours) else 1
    lines = [line(_without_defaults(item), ("item_id", "item_name"), sign=sign) for item in items]
    if ours != "purchase" and sign > 0:
        return lines, None
    order = order_id(dig(row, "ecommerce", "transaction_id")) or order_id(_parameter(row, "transaction_id"))
    if not lines:
        total = "purchase_revenue" if sign > 0 else "refund_value"
        worth = amount(dig(row, "ecommerce", total), total) or amount(_parameter(row, "value"), "value")
        lines = [(None, None if worth is None else sign * abs(worth))]
    return lines, (purchase_ids if sign > 0 else return_ids)(order, lines)


def _without_defaults(item: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: part for name, part in item.items() if part != "(not set)"}


def _parameter(row: Mapping[str, Any], name: str) -> Any:
    """Return an event parameter: the export keeps a list of key and typed value, others a mapping or pairs."""
    found = parsed(row.get("event_params"))
    if isinstance(found, Mapping) and name in found:
        return _typed(found[name])
    if isinstance(found, list) and all(isinstance(one, list) and len(one) == 2 for one in found):  # a map of parquet
        return next((_typed(value) for key, value in found if key == name), None)
    return next((_typed(one.get("value")) for one in listed(found, "event_params") if one.get("key") == name), None)


def _typed(value: Any) -> Any:
    """Return the one filled field of a typed value."""
    value = parsed(value)
    if not isinstance(value, Mapping):
        return value
    return next((value[kind] for kind in _TYPED if value.get(kind) is not None), None)
