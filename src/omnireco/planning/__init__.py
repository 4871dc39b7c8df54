"""Plans: which touch, to whom, on which channel, when; under rules and limits."""

from omnireco._moved import explain_unknown_names
from omnireco.planning.candidates import Candidates
from omnireco.planning.choosing import Timing, candidates
from omnireco.planning.offers.book import Offers
from omnireco.planning.offers.consistency import OfferAudit, consistency
from omnireco.planning.offers.ledger import OfferLedger
from omnireco.planning.per_person import PerPerson
from omnireco.planning.plan import Plan, plan
from omnireco.planning.plans.exploring import Swaps
from omnireco.planning.plans.from_files import plan_files
from omnireco.planning.plans.saving import Saved
from omnireco.planning.plans.tables import offer_audit
from omnireco.planning.plans.triggered import LivePlan, Verdict
from omnireco.planning.plans.whatif import WhatIf
from omnireco.planning.rows import Choices, Rows
from omnireco.planning.rules import (
    Affordable,
    Available,
    Budget,
    Capacity,
    ComplaintRate,
    Consent,
    Constraint,
    CoolDown,
    Eligibility,
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
from omnireco.planning.touch_value import Tiring, TouchValue

__all__ = [
    "Affordable",
    "Available",
    "Budget",
    "Candidates",
    "Capacity",
    "Choices",
    "ComplaintRate",
    "Consent",
    "Constraint",
    "CoolDown",
    "Eligibility",
    "FairReach",
    "FrequencyCap",
    "InStock",
    "LegalHours",
    "LivePlan",
    "NotDisliked",
    "OfferAudit",
    "OfferLedger",
    "Offers",
    "OncePerItem",
    "OneOffer",
    "OpeningHours",
    "PerPerson",
    "Plan",
    "Points",
    "Promised",
    "Purpose",
    "QuietHours",
    "Reachable",
    "Rows",
    "Saved",
    "ServiceWindow",
    "Spend",
    "Stock",
    "Swaps",
    "Timing",
    "Tiring",
    "TouchValue",
    "Verdict",
    "Volume",
    "WhatIf",
    "candidates",
    "consistency",
    "offer_audit",
    "plan",
    "plan_files",
]

explain_unknown_names(__name__)
