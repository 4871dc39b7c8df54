"""Plans: which touch, to whom, on which channel, when; under rules and limits."""

from omnireco._moved import explain_unknown_names
from omnireco.planning.candidates import Candidates, Timing, Tiring, candidates
from omnireco.planning.per_person import PerPerson
from omnireco.planning.plan import Plan, plan
from omnireco.planning.plans.exploring import Swaps
from omnireco.planning.plans.saving import Saved
from omnireco.planning.plans.tables import offer_audit
from omnireco.planning.plans.triggered import LivePlan, Verdict
from omnireco.planning.plans.whatif import WhatIf
from omnireco.planning.rows import Choices, Rows
from omnireco.planning.rules import (
    Budget,
    Capacity,
    Consent,
    Constraint,
    Eligibility,
    FrequencyCap,
    OncePerItem,
    QuietHours,
    Reachable,
)

__all__ = [
    "Budget",
    "Candidates",
    "Capacity",
    "Choices",
    "Consent",
    "Constraint",
    "Eligibility",
    "FrequencyCap",
    "LivePlan",
    "OncePerItem",
    "PerPerson",
    "Plan",
    "QuietHours",
    "Reachable",
    "Rows",
    "Saved",
    "Swaps",
    "Timing",
    "Tiring",
    "Verdict",
    "WhatIf",
    "candidates",
    "offer_audit",
    "plan",
]

explain_unknown_names(__name__)
