"""Google Analytics 4: rows of the BigQuery export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omnireco.adapters.records import Adapted, Collector, Records, dig, read_records
from omnireco.adapters.segment import line
from omnireco.adapters.values import as_id, as_person

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
    "notification_open notification_dismiss": "says nothing of an item or a visit"
}
_IGNORED = {name: why for names, why in IGNORED.items() for name in names.split()}
_CHANNELS = {"web": "web", "ios": "app", "android": "app"}


def ga4(records: Records, *, events: Mapping[str, str] | None = None) -> Adapted:
    """Read rows of the Google Analytics 4 export to BigQuery.

    Parameters
    ----------
    records : list of dict, path or frame
        Rows of ``events_YYYYMMDD`` with their nested ``items``; parquet read by pyarrow or pandas has this shape.
    events : mapping of str to str, optional
        Your own events to names of ours; they come before the built-in ones.

    Returns
    -------
    Adapted
        A person is ``user_id``, or ``user_pseudo_id`` where there is none; links join the two (kinds "user", "pseudo").
        ``platform`` gives the channel: WEB is "web", IOS and ANDROID are "app". Each of ``items`` is one event worth
        price x quantity; its ``location_id`` is the store.

    Notes
    -----
    Columns and events by Google's "BigQuery Export schema" (support.google.com/analytics/answer/7029846) and
    "Recommended events". ``event_timestamp`` counts microseconds UTC. The export has no id of an event: repeats are
    found by equality.
    """
    named = EVENTS | dict(events or {})
    out = Collector()
    for row in read_records(records, "adapters.ga4"):
        name = as_id(row.get("event_name"))
        out.record(name)
        at = row.get("event_timestamp")
        at = int(at) if isinstance(at, str) and at.isdigit() else at
        known, pseudo = as_person(row.get("user_id")), as_person(row.get("user_pseudo_id"))
        out.link(("pseudo", pseudo), ("user", known), at)
        if name in named:
            items = row.get("items")
            items = [item for item in items if isinstance(item, Mapping)] if isinstance(items, (list, tuple)) else []
            sign = -1 if named[name] == "return" else 1
            out.event(
                known or pseudo,
                named[name],
                at,
                _CHANNELS.get((as_id(row.get("platform")) or "").lower(), "unknown"),
                [line(item, ("item_id", "item_name"), sign=sign) for item in items],
                session=_parameter(row, "ga_session_id"),
                store=next((item.get("location_id") for item in items if item.get("location_id")), None),
            )
        elif name in _IGNORED:
            out.set("ignored", _IGNORED[name])
    return out.finish()


def _parameter(row: Mapping[str, Any], name: str) -> Any:
    """Return an event parameter; the export keeps them as a list of key and typed value."""
    found = row.get("event_params")
    for one in found if isinstance(found, (list, tuple)) else []:
        if isinstance(one, Mapping) and one.get("key") == name:
            value = one.get("value")
            return (dig(value, "int_value") or dig(value, "string_value")) if isinstance(value, Mapping) else value
    return None
