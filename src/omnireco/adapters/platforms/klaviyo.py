"""Klaviyo: events of its API, with the metrics and profiles that come with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from omnireco._core.checks import check_mapping
from omnireco.adapters.columns.blocks import Doubtful, is_large
from omnireco.adapters.columns.fields import ABSENT, ID, LISTED, NUMBER, PART, TEXT, TIME, Rows, coded, mask_of, spelled
from omnireco.adapters.columns.road import (
    Columns,
    Found,
    events_of,
    first_known,
    lines_of,
    links_of,
    one_line,
    zones_of,
)
from omnireco.adapters.nesting import plain
from omnireco.adapters.orders import amount
from omnireco.adapters.quick import (
    Known,
    Odd,
    Zones,
    add_event,
    first_id,
    instant_of,
    number_of,
    part_of,
    persons,
    plain_names,
    usual,
)
from omnireco.adapters.records import (
    Adapted,
    Collector,
    Records,
    Refused,
    Source,
    Unreadable,
    Wanted,
    dig,
    first_of,
    hashed_email,
    listed,
    mapping,
    read_all,
    read_columns,
    read_records,
    without_collection,
)
from omnireco.adapters.values import as_id, as_person
from omnireco.data.frames.suspicion import is_return
from omnireco.errors import SchemaError, StorageError

__all__ = ["klaviyo"]

EVENTS = {
    "viewed product": "view",
    "added to cart": "add_to_cart",
    "started checkout": "begin_checkout",
    "checkout started": "begin_checkout",
    "ordered product": "purchase",
    "refunded order": "return",
    "cancelled order": "cancel",
    "active on site": "page",
}
TOUCHES = {
    "received email": ("email", "delivered"),
    "opened email": ("email", "open"),
    "clicked email": ("email", "click"),
    "bounced email": ("email", "bounce"),
    "marked email as spam": ("email", "unsubscribe"),
    "unsubscribed": ("email", "unsubscribe"),
    "unsubscribed from email marketing": ("email", "unsubscribe"),
    "received sms": ("sms", "delivered"),
    "clicked sms": ("sms", "click"),
    "unsubscribed from sms": ("sms", "unsubscribe"),
    "unsubscribed from sms marketing": ("sms", "unsubscribe"),
    "received push": ("push", "delivered"),
    "opened push": ("push", "open"),
    "bounced push": ("push", "bounce"),
}
IGNORED = {
    "placed order": "its products are recorded as Ordered Product",
    "fulfilled order": "repeats an order",
    "dropped email": "was never delivered",
    "failed to deliver sms": "was never delivered",
    "sent sms": "is written by the person",
    "merged profile": "joins profiles, without their ids",
}
CONSENTS = {
    "subscribed to email marketing": "consent_email",
    "subscribed to sms marketing": "consent_sms",
    "consented to receive sms": "consent_sms",
}
_ITEM = ("ProductID", "Product ID", "ProductId", "product_id", "SKU")
_ELSEWHERE = ("metric_name", "profile_id", "external_id", "datetime", "timestamp")  # where events have no pages
_INCLUDED = {
    **{f"included[]/{name}": ID for name in ("type", "id", "attributes/external_id")},
    **{f"included[]/attributes/{name}": TEXT for name in ("name", "email", "location/timezone")},
}
_FIELDS = {
    **{f"data[]/{name}": ID for name in ("id", "attributes/uuid", "relationships/profile/data/id")},
    "data[]/relationships/metric/data/id": TEXT,
    **{f"data[]/attributes/{name}": TIME for name in ("datetime", "timestamp")},
    **{f"data[]/attributes/event_properties/{name}": ID for name in _ITEM},
    "data[]/attributes/event_properties/$value": NUMBER,
    **{f"data[]/{name}": ABSENT for name in _ELSEWHERE},
    "data[]/event_properties": PART,
    "attributes": PART,
    "included": LISTED,
}
_WANTED = Wanted("adapters.klaviyo", frozenset(["included", "attributes", "event_properties"]), ("data", "events"))


def klaviyo(records: Records, *, events: Mapping[str, str] | None = None) -> Adapted:
    """Read events as Klaviyo's API returns them.

    Parameters
    ----------
    records : list of dict, path or frame
        Pages of ``GET /api/events?include=metric,profile`` with ``data`` and ``included``, or bare events that state
        their ``metric_name`` (and ``profile_id``, ``external_id``), as warehouses hold them.
    events : mapping of str to str, optional
        Your own metrics to names of ours; they come before the built-in ones: ``{"Placed Order": "purchase"}``.

    Returns
    -------
    Adapted
        A person is the profile's ``external_id``, or the profile's id where there is none; links join them (kinds
        "profile", "user") and addresses ("email_sha256"). Each received mail, text or push is a message; answers
        belong to the newest one before them with the same ``$message``, else ``Campaign Name``. "Ordered Product" is a
        purchase worth its ``$value``; "Placed Order" would count it twice and is ignored unless you map it.

    Raises
    ------
    SchemaError, StorageError
        When the records cannot be read at all.

    Notes
    -----
    Names by Klaviyo's "Get Events" (developers.klaviyo.com/en/reference/get_events) and its references of metrics of
    e-mail and SMS (help.klaviyo.com/hc/en-us/articles/360036974872 and 360035345572): "Received SMS" is a text that a
    person received, "Sent SMS" one that they wrote. "Subscribed to List" is no consent to a channel. An event whose
    metric is in no page is counted as unknown. A bounce makes unreachable unless it calls itself soft. A metric may be
    named by another page: where that is a later one, a large file is read twice; other pages are held in memory.

    Examples
    --------
    >>> from omnireco import adapters
    >>> adapters.klaviyo([{"metric_name": "Viewed Product", "external_id": "ann",
    ...     "attributes": {"datetime": "2025-05-01T08:00:00+00:00", "event_properties": {"ProductID": "tea"}}}])
    Adapted(1 record: 1 event, 0 messages, 0 users, 0 links; 0 records not used)
    """
    named = EVENTS | {
        str(name).lower(): ours
        for name, ours in check_mapping(events, "events", "{'Placed Order': 'purchase'}").items()
    }
    if isinstance(records, (str, os.PathLike)) and is_large(Path(records)):
        with suppress(Doubtful, SchemaError, StorageError), without_collection():
            try:
                return read_columns(Path(records), _source(named, _Known()))
            except _Late:
                return _read(records, named, _known(Path(records)))
    with without_collection():
        pages = list(read_records(records, _WANTED))
    return _read(pages, named, _included(pages))


def _read(records: Records, named: Mapping[str, str], known: Mapping[Any, Mapping[str, Any]]) -> Adapted:
    return read_all(records, _source(named, known))


def _source(named: Mapping[str, str], known: Mapping[Any, Mapping[str, Any]]) -> Source:
    once = isinstance(known, _Known)
    fields = {name: kind for name, kind in _FIELDS.items() if name != "included"} | _INCLUDED if once else _FIELDS
    return Source(
        _WANTED,
        Collector,
        lambda out: _quick(out, named, known),
        lambda _: Columns(fields, lambda rows, pages: _columns(rows, pages, named, known), "data[]", _parts),
        lambda out, one: _one(out, one, named, known),
        lambda pages: _events(_learnt(pages, known) if isinstance(known, _Known) else pages),
    )


class _Late(Exception):
    """A page says of a metric or profile what an event before it needed: the file must be read twice."""


class _Known(dict[Any, Mapping[str, Any]]):
    """What pages included so far of metrics and profiles, and what was asked for in vain."""

    def __init__(self) -> None:
        super().__init__()
        self.missed: set[Any] = set()

    def get(self, key: Any, default: Any = None) -> Any:
        """Return what is known, and remember what is not."""
        if key not in self:
            self.missed.add(key)
        return super().get(key, default)

    def learn(self, found: Mapping[Any, Mapping[str, Any]]) -> None:
        """Add what a page includes; ``_Late`` where an event before it may have been read otherwise."""
        for key, about in found.items():
            if key in self.missed or (key in self and _used(self[key]) != _used(about)):
                raise _Late
            self.setdefault(key, about)


def _used(about: Mapping[str, Any]) -> tuple[Any, ...]:
    return about.get("name"), about.get("external_id"), about.get("email"), dig(about, "location", "timezone")


def _learnt(pages: Iterable[Mapping[str, Any]], known: _Known) -> Iterator[Mapping[str, Any]]:
    for page in pages:
        known.learn(_included([page]))
        yield page


def _learn(pages: Rows, known: _Known) -> None:
    """Add what the pages of a table include; one that is odd is read by the rules."""
    usual = np.ones(len(pages), np.bool_)
    for row, line in enumerate(pages.column("included").to_pylist()):
        if line is None or not _is_usual(line):
            usual[row] = False
        elif not pages.odd[row]:
            known.learn(_included([{"included": plain(line)}]))
    pages.mark(~usual)


def _known(path: Path) -> dict[Any, Mapping[str, Any]]:
    """Return what the pages of a large file include of metrics and profiles, as :func:`_included` does."""
    known: dict[Any, Mapping[str, Any]] = {}
    for line in lines_of(path, _WANTED, _INCLUDED, "included", _is_usual):
        usual = isinstance(line, list)
        known |= _included([{"included": plain(line)}] if usual else list(read_records(line, _WANTED)))
    return known


def _is_usual(included: list[Any]) -> bool:
    return all(one and one["type"] and one["id"] for one in included)


def _parts(line: Any, n: int) -> list[Any]:
    found = list(_events([plain(line)]))
    if len(found) != n or any(isinstance(one, Refused) for one in found):
        raise Doubtful
    return found


def _columns(rows: Rows, pages: Rows, named: Mapping[str, str], known: Mapping[Any, Mapping[str, Any]]) -> Found:
    """Read usual events on items as columns."""
    pages.absent("attributes")
    pages.mark(~pages.given("included"))
    if isinstance(known, _Known):
        _learn(pages, known)
    rows.absent(*_ELSEWHERE, "event_properties")
    rows.mark(~rows.given("attributes"))
    titles, names = _titles(known), plain_names(named, lower=True)

    def ours_of(metric: str) -> str | None:
        title = titles[metric] if metric == metric.strip() else None
        ours = None if title is None else names[title]
        return None if ours in {"cancel", "page"} else ours

    code, metrics, ours = rows.titles("relationships/metric/data/id", Known(ours_of))
    own = rows.person("relationships/profile/data/id")
    at = rows.instant("attributes/datetime", "attributes/timestamp")
    worth = rows.number("attributes/event_properties/$value")
    item = rows.first_id(*(f"attributes/event_properties/{name}" for name in _ITEM))
    unique = rows.first_id("attributes/uuid", "id")
    external, address, zone = _about(own, known)
    user = first_known(rows, external, own)
    rows.mark(mask_of(own.is_null()))
    lines = one_line(item, worth, bare=False)
    events = events_of(rows, user, (code, ours), "unknown", at, lines, (None, None, unique))
    links = [links_of(("profile", own), ("user", external), at)]
    kind = spelled(mask_of(external.is_valid()).astype(int), ["profile", "user"])
    links.append(links_of((kind, user), ("email_sha256", address), at))
    where = [titles[metric] for metric in metrics]
    return Found((code, where), ("event", ""), events, tuple(links), None, zones_of(rows, zone, user, at))


def _titles(known: Mapping[Any, Mapping[str, Any]]) -> Known:
    return Known(lambda metric: as_id(known.get(("metric", metric), {}).get("name")))


def _profile(own: str, known: Mapping[Any, Mapping[str, Any]]) -> tuple[str | None, str | None, Any]:
    about = known.get(("profile", own), {})
    return as_person(about.get("external_id")), hashed_email(about.get("email")), dig(about, "location", "timezone")


def _about(own: Any, known: Mapping[Any, Mapping[str, Any]]) -> tuple[Any, Any, Any]:
    """Return the user, the hashed address and the zone of each profile, as far as pages include it."""
    code, people = coded(own, str)
    found = [(None, None, None) if known.get(("profile", one)) is None else _profile(one, known) for one in people]
    texts = ([str(part) if part is not None else None for part in parts] for parts in zip(*found, strict=True))
    external, address, zone = (spelled(code, part) for part in texts) if found else (spelled(code, []),) * 3
    return external, address, zone


def _quick(out: Collector, named: Mapping[str, str], known: Mapping[Any, Any]) -> Callable[[Any], bool]:
    """Return a reader of the usual event on an item of a page of the interface, which says whether it read it."""
    names, people, zones = plain_names(named, lower=True), persons(), Zones(out)
    shapes = usual(frozenset([*_ELSEWHERE, "event_properties"]))
    titles, profiles = _titles(known), Known(lambda own: _profile(own, known))

    def read(one: Any) -> bool:
        if type(one) is not dict or not shapes[tuple(one)]:
            return False
        try:
            about, related = part_of(one.get("attributes")), part_of(one.get("relationships"))
            metric = part_of(part_of(related.get("metric")).get("data")).get("id")
            title = titles[metric] if type(metric) is str and metric == metric.strip() else None
            ours = None if title is None else names[title]
            if ours is None or ours in {"cancel", "page"} or not about:
                return False
            own = people[part_of(part_of(related.get("profile")).get("data")).get("id")]
            if own is None:
                return False
            external, address, zone = profiles[own]
            at = about.get("datetime")
            at = instant_of(about.get("timestamp") if at is None else at)
            properties = part_of(about.get("event_properties"))
            line = (first_id(properties, *_ITEM), number_of(properties.get("$value")))
            unique = first_id(about, "uuid") or first_id(one, "id")
        except (Odd, TypeError):  # a value that cannot be a key of a mapping
            return False
        if zone is not None and not (type(zone) is str and zones.read[zone]):
            return False
        user = external or own
        add_event(out, str(title), ours, user, at, "unknown", [line], (None, None, unique))
        out.link(("profile", own), ("user", external), at)
        out.link(("user" if external else "profile", user), ("email_sha256", address), at)
        if zone is not None:
            zones.note(user, at, zone)
        return True

    return read


def _included(pages: list[Mapping[str, Any]]) -> dict[Any, Mapping[str, Any]]:
    """Return what the pages include of metrics and profiles, by kind and id; what cannot be read is left out."""
    known = {}
    for page in pages:
        with suppress(Unreadable):
            for one in listed(page.get("included"), "included"):
                with suppress(Unreadable):
                    known[as_id(one.get("type")), as_id(one.get("id"))] = mapping(one.get("attributes"), "attributes")
    return known


def _events(pages: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any] | Refused]:
    for page in pages:
        if "attributes" in page or "data" not in page:
            yield page
            continue
        try:
            yield from listed(page.get("data"), "data")
        except Unreadable as error:
            yield Refused(str(error))


def _one(out: Collector, one: Mapping[str, Any], named: Mapping[str, str], known: Mapping[Any, Any]) -> None:
    metric = known.get(("metric", as_id(dig(one, "relationships", "metric", "data", "id"))), {})
    title = as_id(one.get("metric_name")) or as_id(metric.get("name"))
    out.record(title)
    if title is None:
        out.set("unknown", "its metric has no name: ask with include=metric,profile")
        return
    about = mapping(one.get("attributes"), "attributes") or one
    properties = mapping(about.get("event_properties"), "event_properties")
    at = first_of(about, "datetime", "timestamp")
    own = as_person(one.get("profile_id"), dig(one, "relationships", "profile", "data", "id"))
    profile = known.get(("profile", own), {})
    external = as_person(one.get("external_id"), profile.get("external_id"))
    user = external or own
    out.link(("profile", own), ("user", external), at)
    out.link(("user" if external else "profile", user), ("email_sha256", hashed_email(profile.get("email"))), at)
    zone = dig(profile, "location", "timezone")
    if zone is not None:
        out.user(user, at=at, timezone=zone)
    name = title.lower()
    if name in named:
        unique = as_id(about.get("uuid")) or as_id(one.get("id"))
        ours = named[name]
        worth = amount(properties.get("$value"), "$value")
        if worth is not None and (is_return(ours) or ours == "cancel"):
            worth = -abs(worth)
        item = as_id(first_of(properties, *_ITEM))
        lines = [] if ours == "page" else [(item, worth)]
        out.event(user, ours, at, "web" if ours == "page" else "unknown", lines, event_id=unique)
    elif name in TOUCHES:
        _message(out, properties, user, at, *TOUCHES[name])
    elif name in CONSENTS:
        out.set(*(("identity",) if user is not None else ("invalid", "no user id")))
        out.consent(user, CONSENTS[name], at, True)
    elif name in IGNORED:
        out.set("ignored", IGNORED[name])
    else:
        out.withdrawal(user, title, at)


def _message(out: Collector, properties: Mapping[str, Any], user: str | None, at: Any, channel: str, kind: str) -> None:
    if kind == "bounce":
        out.set("ignored", "was never delivered")
        if "soft" in str(first_of(properties, "Bounce Type", "bounce_type", "type")).lower():
            return
    out.touch(
        user,
        channel,
        kind,
        at,
        first_of(properties, "$message", "Campaign Name"),
        creative=first_of(properties, "$variation", "$message"),
        user_agent=as_id(first_of(properties, "Client User Agent", "user_agent")),
        flag=first_of(properties, "machine_open", "Machine Open"),
    )
