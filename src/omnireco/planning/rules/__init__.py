"""May this touch be sent, and how many together: the two families of rules.

:class:`Eligibility` looks at touches one by one and gives a mask; :class:`Constraint` looks at all of
them and gives rows of a packing problem. Both are plain objects in a list. To write your own, inherit
from one of them and implement its single method (see their examples); the planner needs nothing else.
"""

from omnireco.planning.rows import Choices, Rows
from omnireco.planning.rules.base import Constraint, Eligibility
from omnireco.planning.rules.caps import FrequencyCap, OncePerItem
from omnireco.planning.rules.consent import Consent, Purpose, Reachable
from omnireco.planning.rules.items import Available, InStock, NotDisliked
from omnireco.planning.rules.money import Budget, Spend
from omnireco.planning.rules.offers import OneOffer, Promised
from omnireco.planning.rules.pauses import CoolDown, ServiceWindow
from omnireco.planning.rules.points import Affordable, Points
from omnireco.planning.rules.quiet import LegalHours, QuietHours
from omnireco.planning.rules.shops import OpeningHours, Stock
from omnireco.planning.rules.volume import Capacity, ComplaintRate, FairReach, Volume

__all__ = [
    "Affordable",
    "Available",
    "Budget",
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
    "NotDisliked",
    "OncePerItem",
    "OneOffer",
    "OpeningHours",
    "Points",
    "Promised",
    "Purpose",
    "QuietHours",
    "Reachable",
    "Rows",
    "ServiceWindow",
    "Spend",
    "Stock",
    "Volume",
]
