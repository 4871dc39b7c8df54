"""Adobe Experience Platform: XDM experience events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from omnireco._core.checks import check_mapping
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
)
from omnireco.adapters.records import (
    Adapted,
    Collector,
    Records,
    Wanted,
    dig,
    first_of,
    hashed_email,
    listed,
    mapping,
    read_each,
    read_records,
)
from omnireco.adapters.values import as_id, as_number, as_person, filled
from omnireco.data.frames.suspicion import is_return
from omnireco.errors import ParameterError

__all__ = ["adobe_xdm"]

EVENTS = {
    "commerce.productviews": "view",
    "commerce.productlistadds": "add_to_cart",
    "commerce.productlistremovals": "remove_from_cart",
    "commerce.productlistviews": "view_cart",
    "commerce.checkouts": "begin_checkout",
    "commerce.purchases": "purchase",
    "commerce.saveforlaters": "add_to_wishlist",
    "web.webpagedetails.pageviews": "page",
}
TOUCHES = {
    "directmarketing.emailsent": "sent",
    "directmarketing.emaildelivered": "delivered",
    "directmarketing.emailopened": "open",
    "directmarketing.emailclicked": "click",
    "directmarketing.emailbounced": "bounce",
    "directmarketing.emailunsubscribed": "unsubscribe",
}
IGNORED = {
    "commerce.productlistopens": "not about an item or a visit",
    "commerce.productlistreopens": "not about an item or a visit",
    "web.webinteraction.linkclicks": "not about an item or a visit",
    "directmarketing.emailbouncedsoft": "was never delivered",
}
_JOURNEY = ("_experience", "customerJourneyManagement")
_STATUS = {"sent": "sent", "delivered": "delivered", "bounce": "bounce", "out_of_band": "bounce"}
_ACTS = {"open": "open", "click": "click", "unsubscribe": "unsubscribe", "spam_complaint": "unsubscribe"}
_MAILS = {"email", "email_lc_sha256"}
_WANTED = Wanted(
    "adapters.adobe_xdm",
    frozenset(["eventtype", "identitymap", "xdm", "xdm:eventtype", "xdm:identitymap"]),
    ("events", "rows", "data", "records"),
)


def adobe_xdm(records: Records, *, namespace: str | None = None, events: Mapping[str, str] | None = None) -> Adapted:
    """Read experience events of Adobe's XDM.

    Parameters
    ----------
    records : list of dict, path or frame
        Events with ``eventType``, ``timestamp``, ``identityMap`` and ``productListItems``; also inside ``xdm``,
        and with names that begin with ``xdm:``.
    namespace : str, optional
        The namespace of ``identityMap`` that names the person, such as ``"CRMID"``; the primary identity where an event
        has none in it, or by default.
    events : mapping of str to str, optional
        Your own ``eventType`` to names of ours; they come before the built-in ones.

    Returns
    -------
    Adapted
        Links join all identities of an event; their kind is the namespace in lower case. Addresses are hashed
        ("email_sha256"). Each of ``productListItems`` is one event worth ``priceTotal``, which counts the quantity in.
        Mails of ``directMarketing`` and messages of Journey Optimizer (``message.feedback``, ``message.tracking``) are
        messages.

    Raises
    ------
    ParameterError
        When ``namespace`` is no text.
    SchemaError, StorageError
        When the records cannot be read at all.

    Notes
    -----
    Names by Adobe's "XDM ExperienceEvent class", appendix "Accepted values for eventType"
    (experienceleague.adobe.com/docs/experience-platform/xdm/classes/experienceevent), by the sample queries of Journey
    Optimizer's datasets (``messageExecutionID``, ``feedbackStatus``), and by its B2B edition's activities
    (``personKey.sourceKey``, ``directMarketing.mailingKey.sourceKey``), which are used where an event has no identity
    map. An event without an identity is invalid.

    Examples
    --------
    >>> from omnireco import adapters
    >>> adapters.adobe_xdm([{"eventType": "commerce.productViews", "timestamp": "2025-05-01T08:00:00Z",
    ...     "identityMap": {"CRMID": [{"id": "ann", "primary": True}]}, "productListItems": [{"SKU": "tea"}]}])
    Adapted(1 record: 1 event, 0 messages, 0 users, 0 links; 0 records not used)
    """
    if namespace is not None and (not isinstance(namespace, str) or not namespace.strip()):
        raise ParameterError(f"namespace must be a text such as 'CRMID'. Got {type(namespace).__name__}.")
    named = EVENTS | {
        str(name).lower(): ours
        for name, ours in check_mapping(events, "events", "{'commerce.backofficeOrderPlaced': 'purchase'}").items()
    }
    wanted = None if namespace is None else namespace.strip().lower()
    out = Collector()
    found = read_records(records, _WANTED, _quick(out, wanted, named))
    return read_each(out, found, lambda out, one: _one(out, one, wanted, named))


def _quick(out: Collector, wanted: str | None, named: Mapping[str, str]) -> Callable[[dict[str, Any]], bool]:
    """Return a reader of the usual event on goods or pages that is no order, which says whether it read it."""
    names, people = plain_names(named, lower=True), persons()
    spaces = Known(lambda space: None if space.lower() in _MAILS else space.lower() if type(space) is str else None)
    shapes = Known(lambda shape: all(type(n) is str and "." not in n and not n.startswith("xdm") for n in shape))

    def identities(record: dict[str, Any]) -> list[tuple[str, str]]:
        first: list[tuple[str, str]] = []
        others: list[tuple[str, str]] = []
        for space, stated in part_of(record.get("identityMap")).items():
            kind = spaces[space]
            if kind is None or type(stated) is not list:
                raise Odd
            for one in stated:
                if type(one) is not dict or not one:
                    raise Odd
                value = people[one.get("id")]
                if value is None:
                    continue
                leads = kind == wanted or one.get("primary") is True
                if leads and wanted is not None and kind != wanted:
                    leads = not any(k == wanted for k, _ in first)
                (first if leads else others).append((kind, value))
        return (first if wanted is None else sorted(first, key=lambda pair: pair[0] != wanted)) + others

    def read(record: dict[str, Any]) -> bool:
        name: Any = record.get("eventType")
        ours = names[name] if type(name) is str else None
        if ours is None or not shapes[tuple(record)]:
            return False
        try:
            at, unique = instant_of(record.get("timestamp")), id_of(record.get("_id"))
            web = "web" if record.get("web") is not None and part_of(record["web"]) is not None else None
            goods = record.get("productListItems")
            lines: list[Line] = []
            for one in [] if goods is None else goods if type(goods) is list else [None]:
                if type(one) is not dict or not one:
                    return False
                worth = number_of(one.get("priceTotal"))
                lines.append((id_of(one.get("SKU")) or id_of(one.get("_id")), None if worth is None else abs(worth)))
            ranked = identities(record)
        except (Odd, TypeError):  # a value that cannot be a key of a mapping
            return False
        if not ranked:
            return False
        channel = web or ("web" if ours == "page" else "unknown")
        add_event(out, name, ours, ranked[0][1], at, channel, lines, (None, None, unique))
        for other in ranked[1:]:
            out.link(ranked[0], other, at)
        return True

    return read


def _one(out: Collector, record: Mapping[str, Any], wanted: str | None, named: Mapping[str, str]) -> None:
    record = _without_prefix(mapping(record.get("xdm"), "xdm") or record)
    kind, at = as_id(record.get("eventType")), record.get("timestamp")
    out.record(kind)
    if kind is None:
        return
    name = kind.lower()
    user = _person(out, record, wanted, at)
    if name in named:
        ours = named[name]
        lines, names = _lines(record, ours)
        channel = "web" if dig(record, "web") is not None or ours == "page" else "unknown"
        out.event(user, ours, at, channel, lines, event_id=record.get("_id"), line_ids=names)
    elif name in IGNORED:
        out.set("ignored", IGNORED[name])
    elif name in TOUCHES:
        _touch(out, record, user, at, "email", TOUCHES[name])
    elif name in {"message.feedback", "message.tracking"}:
        _journey(out, record, user, at)
    elif name == "pushtracking.applicationopened":
        _touch(out, record, user, at, "push", "click")
    else:
        out.withdrawal(user, kind, at)


def _without_prefix(record: Mapping[str, Any]) -> Mapping[str, Any]:
    def bare(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(name).removeprefix("xdm:"): bare(part) for name, part in value.items()}
        return [bare(part) for part in value] if isinstance(value, list) else value

    return bare(record) if any(str(name).startswith("xdm:") for name in record) else record


def _person(out: Collector, record: Mapping[str, Any], wanted: str | None, at: Any) -> str | None:
    """Return the person of an event, and link all their identities."""
    primary: list[tuple[str, str]] = []
    others: list[tuple[str, str]] = []
    for space, identities in mapping(record.get("identityMap"), "identityMap").items():
        kind = str(space).lower()
        for one in listed(identities, "identityMap"):
            mail = kind in _MAILS
            value = hashed_email(one.get("id")) or as_person(one.get("id")) if mail else as_person(one.get("id"))
            if value is None or (mail and "@" in value):
                continue
            found = ("email_sha256" if mail else kind, value)
            named = kind == wanted or (one.get("primary") is True and not any(k == wanted for k, _ in primary))
            (primary if named else others).append(found)
    ranked = sorted(primary, key=lambda pair: pair[0] != wanted) + others
    if not ranked and (key := as_person(dig(record, "personKey", "sourceKey"), record.get("personID"))) is not None:
        return key
    for other in ranked[1:]:
        out.link(ranked[0], other, at)
    return ranked[0][1] if ranked else None


def _lines(record: Mapping[str, Any], ours: str) -> tuple[list[Line], list[str] | None]:
    sign = -1 if is_return(ours) else 1
    lines: list[Line] = []
    for one in listed(record.get("productListItems"), "productListItems"):
        worth = as_number(one.get("priceTotal"))
        lines.append((as_id(one.get("SKU")) or as_id(one.get("_id")), None if worth is None else sign * abs(worth)))
    if ours != "purchase" and sign > 0:
        return lines, None
    if not lines:
        worth = amount(dig(record, "commerce", "order", "priceTotal"), "priceTotal")
        lines = [(None, None if worth is None else sign * abs(worth))]
    order = order_id(dig(record, "commerce", "order", "purchaseID"))
    return lines, (purchase_ids if sign > 0 else return_ids)(order, lines)


def _touch(out: Collector, record: Mapping[str, Any], user: str | None, at: Any, channel: str, kind: str) -> None:
    if kind == "bounce":
        out.set("ignored", "was never delivered")
    execution = mapping(dig(record, *_JOURNEY, "messageExecution"), "messageExecution")
    message = first_of(execution, "messageExecutionID", "messageID")
    mailing = mapping(record.get("directMarketing"), "directMarketing")
    key = dig(mailing, "mailingKey", "sourceKey")
    campaign = first_of(execution, "campaignID") or filled(key, first_of(mailing, "mailingID", "campaignID"))
    agent = as_id(dig(record, "environment", "browserDetails", "userAgent"))
    out.touch(user, channel, kind, at, message or campaign, creative=campaign, user_agent=agent)


def _journey(out: Collector, record: Mapping[str, Any], user: str | None, at: Any) -> None:
    """Record a message of Journey Optimizer: its delivery or an answer to it."""
    status = (as_id(dig(record, *_JOURNEY, "messageDeliveryfeedback", "feedbackStatus")) or "").lower()
    act = (as_id(dig(record, *_JOURNEY, "messageInteraction", "interactionType")) or "").lower()
    place = as_id(dig(record, *_JOURNEY, "messageProfile", "channel", "_id")) or "email"
    kind = _STATUS.get(status) or _ACTS.get(act)
    if kind is None:
        out.set("ignored", "was never delivered, or is no answer")
    else:
        _touch(out, record, user, at, place.rstrip("/").rsplit("/", 1)[-1].lower(), kind)
