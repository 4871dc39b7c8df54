"""Snowplow: enriched events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from omnireco.adapters.records import Adapted, Collector, Records, dig, read_records
from omnireco.adapters.segment import line
from omnireco.adapters.values import as_id, as_person

__all__ = ["snowplow"]

ACTIONS = {
    "product_view": "view",
    "list_view": "view_list",
    "list_click": "click",
    "add_to_cart": "add_to_cart",
    "remove_from_cart": "remove_from_cart",
    "checkout_step": "checkout_step",
    "transaction": "purchase",
    "refund": "return",
    "promo_view": "view_promotion",
    "promo_click": "select_promotion",
}
EVENTS = {"page_view": "page", "screen_view": "screen"}
_IGNORED = {"page_ping", "link_click", "focus_form", "change_form", "submit_form", "application_background"}
_CHANNELS = {"web": "web", "mob": "app", "app": "app", "tv": "tv", "pc": "desktop", "cnsl": "console", "iot": "iot"}
_ACTION = "snowplow_ecommerce_action"
_PRODUCT = "com_snowplowanalytics_snowplow_ecommerce_product"


def snowplow(records: Records, *, events: Mapping[str, str] | None = None) -> Adapted:
    """Read Snowplow's enriched events.

    Parameters
    ----------
    records : list of dict, path or frame
        Rows of ``atomic.events`` with self-describing data as columns (``unstruct_event_...``,
        ``contexts_..._product_1``; dicts, lists or their JSON), as the loaders and the analytics SDKs give them.
    events : mapping of str to str, optional
        Your own ``event_name`` to names of ours; products are read from the product entities of such an event too.

    Returns
    -------
    Adapted
        A person is ``user_id``, else ``domain_userid``, else ``network_userid``; links join them. Times are
        ``derived_tstamp``, which corrects the device's clock, else ``collector_tstamp``; times without a zone are UTC,
        as the atomic table defines. ``platform`` gives the channel. ``event_id`` is kept, so repeats can be dropped.

    Notes
    -----
    Fields by Snowplow's "Atomic event properties", actions by its "Ecommerce events and entities"
    (docs.snowplow.io). Page pings, link clicks and forms are ignored.
    """
    named = EVENTS | dict(events or {})
    out = Collector(naive=True)
    for row in read_records(records, "adapters.snowplow"):
        action, products = _ecommerce(row)
        name = as_id(row.get("event_name")) or as_id(row.get("event"))
        out.record(f"{name}: {action}" if action else name)
        at = row.get("derived_tstamp") or row.get("collector_tstamp")
        known, domain, network = (as_person(row.get(key)) for key in ("user_id", "domain_userid", "network_userid"))
        out.link(("domain", domain), ("user", known), at)
        out.link(("network", network), ("domain", domain), at)
        ours = ACTIONS.get(action or "") or named.get(name or "")
        if ours is not None:
            sign = -1 if ours == "return" else 1
            out.event(
                known or domain or network,
                ours,
                at,
                _CHANNELS.get(as_id(row.get("platform")) or "", as_id(row.get("platform")) or "unknown"),
                [line(product, ("id", "sku"), sign=sign) for product in products],
                event_id=row.get("event_id"),
                session=row.get("domain_sessionid"),
            )
        elif name in _IGNORED:
            out.set("ignored", "says nothing of an item or a visit")
    return out.finish()


def _ecommerce(row: Mapping[str, Any]) -> tuple[str | None, list[Any]]:
    """Return the type of the e-commerce action of a row, and its product entities."""
    action, products = None, []
    for column, cell in row.items():
        if cell is None:
            continue
        if _ACTION in column:
            action = as_id(dig(_parsed(cell), "type"))
        elif _PRODUCT in column:
            found = _parsed(cell)
            products = [part for part in (found if isinstance(found, (list, tuple)) else [found]) if part]
    return action, products


def _parsed(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    try:
        return json.loads(cell)
    except ValueError:
        return None
