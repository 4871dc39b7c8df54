"""Snowplow: enriched events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from omnireco._core.checks import check_mapping
from omnireco.adapters.nesting import parsed
from omnireco.adapters.orders import Line, amount, order_id, purchase_ids, return_ids
from omnireco.adapters.records import (
    Adapted,
    Collector,
    Records,
    Wanted,
    dig,
    first_of,
    listed,
    mapping,
    read_each,
    read_records,
)
from omnireco.adapters.segment import line
from omnireco.adapters.values import as_id, as_person
from omnireco.data.frames.suspicion import is_return

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
_COMMERCE = "snowplowanalytics.snowplow.ecommerce"
_NAMES = "(?P<name>snowplow_ecommerce_action|product|transaction|refund)"
_COLUMN = re.compile(rf"(unstruct_event|contexts)_com_{_COMMERCE}_{_NAMES}(?P<version>_\d[_\d]*)?")
_SCHEMA = re.compile(rf"iglu:com\.{_COMMERCE}/{_NAMES}/jsonschema/")
_WANTED = Wanted(
    "adapters.snowplow",
    frozenset(["event", "event_name", "event_id", "derived_tstamp", "collector_tstamp", "domain_userid"]),
    ("events", "rows", "data", "records"),
)


def snowplow(records: Records, *, events: Mapping[str, str] | None = None) -> Adapted:
    """Read Snowplow's enriched events.

    Parameters
    ----------
    records : list of dict, path or frame
        Rows of ``atomic.events`` with self-describing data as columns (``unstruct_event_...``,
        ``contexts_..._product_1``; dicts, lists or their JSON), as the loaders and the analytics SDKs give them; also
        as ``unstruct_event`` and ``contexts`` with their schemas. The enriched TSV has no names: convert it by an SDK.
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
    (docs.snowplow.io). Page pings, link clicks and forms are ignored. Where an entity has a column per version of its
    schema, the filled ones are read, and of a product in two of them the newest. A transaction is named by its
    ``transaction_id`` and item (a refund by its value too), so a duplicate is found by ``EventLog.check`` as
    "duplicate"; without products it is worth its revenue.
    """
    named = EVENTS | dict(check_mapping(events, "events", "{'add_to_basket': 'add_to_cart'}"))
    return read_each(Collector(naive=True), read_records(records, _WANTED), lambda out, row: _one(out, row, named))


def _one(out: Collector, row: Mapping[str, Any], named: Mapping[str, str]) -> None:
    row = {name.lower(): part for name, part in row.items()}  # Snowflake writes its columns in capitals
    name = as_id(row.get("event_name")) or as_id(row.get("event"))
    out.record(name)
    entities = _entities(row)
    action = as_id(dig((entities.get("snowplow_ecommerce_action") or [{}])[0], "type"))
    if action:
        out.names[-1] = f"{name}: {action}"
    at = first_of(row, "derived_tstamp", "collector_tstamp")
    known, domain, network = (as_person(row.get(key)) for key in ("user_id", "domain_userid", "network_userid"))
    out.link(("domain", domain), ("user", known), at)
    out.link(("network", network), ("domain", domain), at)
    ours = ACTIONS.get(action or "") or named.get(name or "")
    if ours is not None:
        lines, names = _lines(ours, entities)
        platform = (as_id(row.get("platform")) or "unknown").lower()
        out.event(
            known or domain or network,
            ours,
            at,
            _CHANNELS.get(platform, platform),
            lines,
            event_id=row.get("event_id"),
            session=row.get("domain_sessionid"),
            line_ids=names,
        )
    elif name in _IGNORED:
        out.set("ignored", "not about an item or a visit")
    elif name is not None:
        out.withdrawal(known or domain or network, name, at)


def _lines(ours: str, entities: Mapping[str, list[Mapping[str, Any]]]) -> tuple[list[Line], list[str] | None]:
    """Return the lines of a row, and their names where it is an order."""
    sign = -1 if is_return(ours) else 1
    lines = [line(product, ("id", "sku"), sign=sign) for product in entities.get("product", [])]
    if ours != "purchase" and sign > 0:
        return lines, None
    order = (entities.get("transaction" if sign > 0 else "refund") or entities.get("transaction") or [{}])[0]
    number = order_id(order.get("transaction_id"))
    if not lines:
        name = "revenue" if sign > 0 else "refund_amount"
        worth = amount(order.get(name), name)
        lines = [(None, None if worth is None else sign * abs(worth))]
    return lines, (purchase_ids if sign > 0 else return_ids)(number, lines)


def _entities(row: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the e-commerce entities of a row by name, from columns or from self-describing JSON."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    columns = [(column, match) for column in row if (match := _COLUMN.fullmatch(column))]
    for column, match in sorted(columns, key=lambda pair: _version(pair[1]), reverse=True):
        _add(found, match["name"], [_inner(one) for one in listed(row[column], match["name"])])
    for column in ("unstruct_event", "contexts", "derived_contexts"):
        for one in _self_described(row.get(column), column):
            if match := _SCHEMA.match(str(one.get("schema"))):
                _add(found, match["name"], [mapping(one.get("data"), match["name"])])
    return found


def _add(found: dict[str, list[Mapping[str, Any]]], name: str, entities: list[Mapping[str, Any]]) -> None:
    """Add entities of one version of a schema; entities of a newer version are not added again."""
    known = {_identity(one) for one in found.get(name, [])}
    fresh = [one for one in entities if any(part is not None for part in one.values()) and _identity(one) not in known]
    if fresh:
        found.setdefault(name, []).extend(fresh)


def _identity(entity: Mapping[str, Any]) -> str:
    return str(next((entity[key] for key in ("id", "sku", "transaction_id", "type") if entity.get(key)), None))


def _version(match: re.Match[str]) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", match["version"] or ""))


def _inner(one: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the data of an entity that still carries its schema."""
    return mapping(one.get("data"), "data") if set(one) == {"schema", "data"} else one


def _self_described(cell: Any, name: str) -> list[Mapping[str, Any]]:
    """Return the (schema, data) that a cell of self-describing JSON holds, unpacked from its envelope."""
    whole = parsed(cell)
    if isinstance(whole, Mapping) and "data" in whole and not _SCHEMA.match(str(whole.get("schema"))):
        whole = parsed(whole["data"])
    return listed(whole, name)
