"""What could be sent, by which rules, and what will be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from omnireco._core.form import Form, has_form
from omnireco._core.parts import demand
from omnireco._core.small import settings
from omnireco.data.asking.touches import Touches
from omnireco.planning.candidates import Candidates
from omnireco.planning.offers.book import Offers
from omnireco.planning.offers.consistency import OfferAudit
from omnireco.planning.offers.ledger import OfferLedger
from omnireco.planning.per_person import PerPerson
from omnireco.planning.plan import Plan, Price
from omnireco.planning.plans.exploring import Swaps
from omnireco.planning.plans.saving import Saved
from omnireco.planning.rules import (
    Affordable,
    Available,
    Budget,
    Capacity,
    ComplaintRate,
    Consent,
    CoolDown,
    FairReach,
    FrequencyCap,
    InStock,
    LegalHours,
    NotDisliked,
    OncePerItem,
    OneOffer,
    OpeningHours,
    Points,
    Promised,
    Purpose,
    QuietHours,
    Reachable,
    ServiceWindow,
    Spend,
    Stock,
    Volume,
)
from omnireco.planning.sources import Sources
from omnireco.planning.touch_value import TouchValue

__all__ = ["FORMS"]


def _take_candidates(found: Candidates) -> dict[str, Any]:
    """Return the parts; with a rule without a file form the sources are kept as incomplete: nothing is loosened."""
    rules = found.sources.rules
    known = all(has_form(type(rule)) for rule in rules)
    sources = found.sources if known else Sources(complete=False)
    touches = replace(found.touches, numbers={}, labels={})  # they stand beside the touches: written once
    parts = {name: getattr(found, name) for name in Candidates.__dataclass_fields__}
    return parts | {"sources": sources, "touches": touches}


def _take_plan(found: Plan) -> dict[str, Any]:
    """Return the parts; with a constraint without a file form there are none, for some would be a looser plan."""
    parts = {name: getattr(found, name) for name in Plan.parts}
    known = found.constraints is not None and all(has_form(type(rule)) for rule in found.constraints)
    return parts if known else parts | {"constraints": None}


def _known_channels(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    touches = parts["touches"]
    names = max(len(touches.named), len(touches.channels))
    demand(touches.past.channel.max(initial=-1) < names, "an earlier message was sent on a channel without a name")


def _known_reasons(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    demand(parts["reason"].max(initial=0) < len(parts["reasons"]), "a reason has no name")


def _names_people(ledger: OfferLedger) -> bool:
    return ledger.by == "user_id"


FORMS: tuple[Any, ...] = (
    Form(Touches, "touches"),
    Form(
        Candidates,
        "candidates",
        take=_take_candidates,
        check=_known_channels,
        lossy=True,
    ),
    Form(
        Plan,
        "plan",
        take=_take_plan,
        check=_known_reasons,
        lossy=True,
        refit="om.plan(om.files.erase(candidates, user_ids), constraints=...)",
    ),
    Form(Swaps, "swaps"),
    Form(Saved, "saved messages"),
    Form(Offers, "offers"),
    Form(OfferLedger, "offer ledger", of_people=_names_people),
    Form(OfferAudit, "offer audit"),
    *settings(
        Affordable,
        Available,
        Budget,
        Capacity,
        ComplaintRate,
        Consent,
        CoolDown,
        FairReach,
        FrequencyCap,
        InStock,
        LegalHours,
        NotDisliked,
        OncePerItem,
        OneOffer,
        OpeningHours,
        Points,
        Promised,
        Purpose,
        QuietHours,
        Reachable,
        ServiceWindow,
        Spend,
        Stock,
        TouchValue,
        Volume,
        PerPerson,
        Price,
    ),
)
