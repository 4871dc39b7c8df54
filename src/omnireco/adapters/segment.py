"""Segment's calls: track, identify, alias, page, screen; e-commerce v2, e-mail and push lifecycles."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from omnireco._core.checks import check_kind, check_mapping
from omnireco.adapters.columns.fields import ABSENT, ID, LISTED, NUMBER, PART, TEXT, TIME, Rows, spelled
from omnireco.adapters.columns.road import Columns, Found, events_of, first_known, links_of, one_line
from omnireco.adapters.orders import Line, amount, order_id, purchase_ids, return_ids
from omnireco.adapters.people import plain_words, stated_consents, withdrawn_channel
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
from omnireco.adapters.records import (
    Adapted,
    Collector,
    Records,
    Source,
    Unreadable,
    Wanted,
    dig,
    first_of,
    hashed_email,
    listed,
    mapping,
    read_all,
)
from omnireco.adapters.values import as_id, as_number, as_person, filled
from omnireco.data.frames.suspicion import is_return

__all__ = ["segment"]

EVENTS = {
    "product viewed": "view",
    "product clicked": "click",
    "product added": "add_to_cart",
    "wishlist product added to cart": "add_to_cart",
    "product removed": "remove_from_cart",
    "cart viewed": "view_cart",
    "checkout started": "begin_checkout",
    "checkout step viewed": "checkout_step",
    "checkout step completed": "checkout_step",
    "payment info entered": "checkout_step",
    "order completed": "purchase",
    "order refunded": "return",
    "order cancelled": "cancel",
    "product added to wishlist": "add_to_wishlist",
    "product removed from wishlist": "remove_from_wishlist",
    "product shared": "share",
    "cart shared": "share",
    "product reviewed": "review",
    "products searched": "search",
    "product list viewed": "view_list",
    "product list filtered": "view_list",
    "promotion viewed": "view_promotion",
    "promotion clicked": "select_promotion",
    "coupon applied": "coupon",
    "application opened": "open_app",
}
TOUCHES = {
    "email delivered": ("email", "delivered"),
    "email sent": ("email", "sent"),
    "email opened": ("email", "open"),
    "email link clicked": ("email", "click"),
    "email bounced": ("email", "bounce"),
    "unsubscribed": ("email", "unsubscribe"),
    "unsubscribe": ("email", "unsubscribe"),
    "email marked as spam": ("email", "unsubscribe"),
    "push notification received": ("push", "delivered"),
    "push notification delivered": ("push", "delivered"),
    "push notification bounced": ("push", "bounce"),
    "push notification opened": ("push", "open"),
    "push notification tapped": ("push", "click"),
    "sms delivered": ("sms", "delivered"),
    "sms link clicked": ("sms", "click"),
}
IGNORED = {
    "order updated": "repeats an order",
    "application installed": "not about an item or a visit",
    "application updated": "not about an item or a visit",
    "application backgrounded": "not about an item or a visit",
    "coupon entered": "not about an item or a visit",
    "coupon denied": "not about an item or a visit",
    "coupon removed": "not about an item or a visit",
}
_WANTED = Wanted(
    "adapters.segment",
    frozenset(
        ["event", "userid", "user_id", "anonymousid", "anonymous_id", "messageid", "message_id", "properties", "traits"]
    ),
    ("batch", "events", "rows", "data", "records"),
)
_TIMES = [
    *("timestamp", "originalTimestamp", "original_timestamp"),
    *("sentAt", "sent_at", "receivedAt", "received_at"),
]
_OTHER_SPELLINGS = ("user_id", "anonymous_id", "message_id", "traits")
_FIELDS = {
    **dict.fromkeys(["type", "event", "channel"], TEXT),
    "timestamp": TIME,
    **dict.fromkeys(["userId", "anonymousId", "messageId", "context/sessionId"], ID),
    **{f"properties/{name}": ID for name in ("product_id", "store_id", "session_id")},
    "properties/price": NUMBER,
    "properties/quantity": NUMBER,
    "properties/products": LISTED,
    **dict.fromkeys(["properties/sku", "user_id", "anonymous_id", "message_id"], ABSENT),
    "traits": PART,
}
_CHANNELS = {"browser": "web", "client": "web", "mobile": "app", "server": "server"}
_MAYBE_CONSENT = re.compile("consent|subscri|opt", re.IGNORECASE)
_APPS = ("ios", "android", "kotlin", "swift", "react-native", "flutter", "xamarin")


def segment(records: Records, *, events: Mapping[str, str] | None = None, channel: str = "unknown") -> Adapted:
    """Read Segment's calls (also RudderStack's, which share the convention).

    Parameters
    ----------
    records : list of dict, path or frame
        ``track``, ``identify``, ``alias``, ``page`` and ``screen`` calls, as a warehouse or webhook receives them.
    events : mapping of str to str, optional
        Your own track events to names of ours: ``{"Video Played": "view"}``. They come before the built-in ones.
    channel : str
        The channel of calls that do not tell theirs. ``channel``, the kind of call and the library's name do.

    Returns
    -------
    Adapted
        A person is ``userId``, or ``anonymousId`` where there is none; links join the two (kinds "user", "anonymous")
        and addresses ("email_sha256"). Each product of a list is one event, worth price x quantity. Times are
        ``timestamp``, which Segment corrects for the device's clock.

    Raises
    ------
    SchemaError, StorageError
        When the records cannot be read at all. One that cannot be used is counted instead.

    Notes
    -----
    The names are those of Segment's Spec: V2 Ecommerce Events, Email Events and Native Mobile Spec
    (twilio.com/docs/segment/connections/spec). Each delivery of a mail is a message; opens and clicks answer the newest
    one before them with the same ``email_id``, ``message_id`` or ``campaign_id``, or with none. Consents are the traits
    ``consent_<channel>``, in any spelling, from ``consent_<channel>_at`` or else the call on; traits such as
    ``unsubscribed`` and ``email_opt_out`` withdraw them, and so does every event that is called an unsubscription, an
    opt-out or a spam complaint. A bounce makes unreachable, unless it calls itself soft. "Order Updated" repeats an
    order and is ignored. Usual calls of a large file are read as columns, all others by one pass of Python.
    """
    check_kind(channel, str, "channel", "channel='web'")
    named = EVENTS | {
        str(name).lower(): ours for name, ours in check_mapping(events, "events", "{'Product Viewed': 'view'}").items()
    }
    return read_all(
        records,
        Source(
            _WANTED,
            Collector,
            lambda out: _quick(out, named),
            lambda _: Columns(_FIELDS, lambda calls, _: _columns(calls, named)),
            lambda out, call: _one(out, call, named, channel),
        ),
    )


def _quick(out: Collector, named: Mapping[str, str]) -> Callable[[dict[str, Any]], bool]:
    """Return a reader of the usual track call, about one product or none, which says whether it read it."""
    names, people = plain_names(named, lower=True), persons()
    shapes = usual(frozenset(_OTHER_SPELLINGS))

    def read(call: dict[str, Any]) -> bool:
        event, place = call.get("event"), call.get("channel")
        if call.get("type") != "track" or type(event) is not str or type(place) is not str or not place.strip():
            return False
        ours = names[event]
        if ours is None or not shapes[tuple(call)]:
            return False
        try:
            known, anonymous = people[call.get("userId")], people[call.get("anonymousId")]
            user, at = known or anonymous, instant_of(call.get("timestamp"))
            properties, context = part_of(call.get("properties")), part_of(call.get("context"))
            if user is None or properties.get("products") is not None or properties.get("sku") is not None:
                return False
            item = id_of(properties.get("product_id"))
            price, quantity = number_of(properties.get("price")), number_of(properties.get("quantity"))
            unique, store = id_of(call.get("messageId")), id_of(properties.get("store_id"))
            session = id_of(context.get("sessionId")) or id_of(properties.get("session_id"))
        except (Odd, TypeError):  # a value that cannot be a key of a mapping
            return False
        if item is None:
            lines: list[Line] = []
        else:
            lines = [(item, None if price is None else price * (1.0 if quantity is None else quantity))]
        if not properties.get("product_id") and properties.get("product_id") is not None:  # blank, or the number 0
            return False
        place = place.strip().lower()
        add_event(out, event, ours, user, at, _CHANNELS.get(place, place), lines, (session, store, unique))
        out.link(("anonymous", anonymous), ("user", known), at)
        return True

    return read


def _columns(calls: Rows, named: Mapping[str, str]) -> Found:
    """Read usual track calls, about one product or none, as columns."""
    calls.absent("properties/products", "properties/sku", *_OTHER_SPELLINGS)
    calls.mark(~calls.equal("type", "track"))
    code, titles, ours = calls.titles("event", plain_names(named, lower=True))
    place = spelled(*calls.names("channel", Known(_usual_place)))
    known, anonymous = calls.person("userId"), calls.person("anonymousId")
    at, item = calls.instant("timestamp"), calls.id("properties/product_id")
    calls.blank("properties/product_id")
    price, quantity = calls.number("properties/price"), calls.number("properties/quantity")
    user = first_known(calls, known, anonymous)
    lines = one_line(item, price * np.where(np.isnan(quantity), 1.0, quantity))
    session = calls.first_id("context/sessionId", "properties/session_id")
    unique, store = calls.id("messageId"), calls.id("properties/store_id")
    events = events_of(calls, user, (code, ours), place, at, lines, (session, store, unique))
    links = links_of(("anonymous", anonymous), ("user", known), at)
    return Found((code, titles), ("event", ""), events, (links,))


def _usual_place(text: str) -> str | None:
    place = text.strip().lower()
    return _CHANNELS.get(place, place) or None


def _one(out: Collector, call: Mapping[str, Any], named: Mapping[str, str], channel: str) -> None:
    kind = (as_id(call.get("type")) or ("track" if as_id(call.get("event")) else "")).lower() or None
    event = as_id(call.get("event"))
    out.record(event if kind == "track" else kind)
    known = as_person(call.get("userId"), call.get("user_id"))
    anonymous = as_person(call.get("anonymousId"), call.get("anonymous_id"))
    user = known or anonymous
    at = first_of(call, *_TIMES)
    properties = mapping(call.get("properties"))
    if user is None and kind in {"identify", "alias", "page", "screen"}:
        out.set("invalid", "no user id")
        return
    out.link(("anonymous", anonymous), ("user", known), at)
    if kind == "identify":
        _identify(out, call, user, at)
    elif kind == "alias":
        previous = as_person(call.get("previousId"), call.get("previous_id"))
        out.set(*(("identity",) if previous else ("invalid", "no previousId")))
        out.link(("anonymous", previous), ("user", user), at)
    elif kind in {"page", "screen"}:
        where = "app" if kind == "screen" else _channel(call, "web")
        unique = first_of(call, "messageId", "message_id")
        out.event(user, kind, at, where, [], event_id=unique, session=_session(call))
    elif kind == "track" and event is not None:
        name = event.lower()
        if name in named:
            lines, names = _lines(properties, named[name])
            out.event(
                user,
                named[name],
                at,
                _channel(call, channel),
                lines,
                event_id=first_of(call, "messageId", "message_id"),
                session=_session(call),
                store=properties.get("store_id"),
                line_ids=names,
            )
        elif (found := _touch(event, properties)) is not None:
            _message(out, call, user, at, *found)
        elif name in IGNORED:
            out.set("ignored", IGNORED[name])


def _identify(out: Collector, call: Mapping[str, Any], user: str | None, at: Any) -> None:
    """Record the traits of a person; where the two places for traits differ in a consent, both are recorded."""
    out.set("identity")
    try:
        traits, context = mapping(call.get("traits")), mapping(dig(call, "context", "traits"))
    except Unreadable:
        if user is not None and _MAYBE_CONSENT.search(str(call)):
            out.withdraw(user, "", at)
        raise
    address = hashed_email(first_of(traits, "email") or first_of(context, "email"))
    out.link(("user", user), ("email_sha256", address), at)
    zone = filled(traits.get("timezone"), context.get("timezone"), dig(call, "context", "timezone"))
    for part in (traits, context):
        out.user(user, at=at, timezone=zone)
        for name, since, value in stated_consents(part, at):
            out.consent(user, name, since, value)


def _touch(event: str, properties: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the channel of a messaging event and what happened, None for every other event."""
    words = plain_words(event)
    given = as_id(properties.get("channel"))
    if words in TOUCHES:
        channel, kind = TOUCHES[words]
        return (given.lower() if given and words.startswith("unsubscribe") else channel), kind
    withdrawn = withdrawn_channel(event, given.lower() if given else None)
    return None if withdrawn is None else (withdrawn, "unsubscribe")


def _message(out: Collector, call: Mapping[str, Any], user: str | None, at: Any, channel: str, kind: str) -> None:
    properties = mapping(call.get("properties"))
    if kind == "bounce":
        out.set("ignored", "was never delivered")
        if _is_soft(properties):
            return
    out.touch(
        user,
        channel,
        kind,
        at,
        filled(first_of(properties, "email_id", "message_id", "campaign_id"), dig(properties, "campaign", "name")),
        item=properties.get("product_id"),
        creative=first_of(properties, "creative_id", "campaign_id"),
        user_agent=as_id(dig(call, "context", "userAgent")) or as_id(properties.get("user_agent")),
        flag=properties.get("machine_open", properties.get("sg_machine_open")),
    )


def _is_soft(properties: Mapping[str, Any]) -> bool:
    """Return whether a bounce is soft: a full mailbox, a busy server."""
    text = " ".join(str(properties.get(name, "")) for name in ("bounce_type", "type", "bounce_class", "classification"))
    return re.search(r"soft|transient|temporary|block|defer", text, re.IGNORECASE) is not None


def _lines(properties: Mapping[str, Any], event: str) -> tuple[list[Line], list[str] | None]:
    """Return (item, value) of each product, and a name per line where they are an order or a refund."""
    products = listed(properties.get("products"), "products")
    if not products and (properties.get("product_id") or properties.get("sku")):
        products = [properties]
    sign = -1 if is_return(event) else 1
    lines = [line(product, ("product_id", "sku"), sign=sign) for product in products]
    if event != "purchase" and sign > 0:
        return lines, None
    order = order_id(properties.get("order_id"))
    if not lines:
        lines = [_total(properties, sign)]
    return lines, (purchase_ids if sign > 0 else return_ids)(order, lines)


def _total(properties: Mapping[str, Any], sign: int) -> Line:
    """Return the worth of an order that does not list its products."""
    worth = amount(first_of(properties, "revenue", "value", "total"), "the total of an order")
    return None, None if worth is None else sign * abs(worth)


def line(product: Any, ids: tuple[str, ...], *, sign: int = 1) -> tuple[str | None, float | None]:
    """Return (item, price x quantity) of a product; a return has a negative value."""
    if not isinstance(product, (dict, Mapping)):
        return None, None
    item = next((found for name in ids if (found := as_id(product.get(name))) is not None), None)
    price, quantity = as_number(product.get("price")), as_number(product.get("quantity"))
    return item, None if price is None else sign * price * (1.0 if quantity is None else quantity)


def _channel(call: Mapping[str, Any], default: str) -> str:
    given = as_id(call.get("channel"))
    if given is not None:
        return _CHANNELS.get(given.lower(), given.lower())
    library = (as_id(dig(call, "context", "library", "name")) or "").lower()
    if any(name in library for name in _APPS):
        return "app"
    return "web" if library.startswith(("analytics.js", "analytics-next", "@segment/analytics-next")) else default


def _session(call: Mapping[str, Any]) -> Any:
    return filled(dig(call, "context", "sessionId"), dig(call, "properties", "session_id"))
