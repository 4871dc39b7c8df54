"""What follows a purchase, when it is due again, and what was left unfinished."""

from omnireco._moved import explain_unknown_names
from omnireco.journeys.follow_ups import FollowUps, FollowUpsModel
from omnireco.journeys.funnel import Funnel, funnel
from omnireco.journeys.nudges import nudges
from omnireco.journeys.refills import RefillModel, Refills
from omnireco.journeys.returns import Returns, ReturnsModel
from omnireco.journeys.unfinished import unfinished

__all__ = [
    "FollowUps",
    "FollowUpsModel",
    "Funnel",
    "RefillModel",
    "Refills",
    "Returns",
    "ReturnsModel",
    "funnel",
    "nudges",
    "unfinished",
]

explain_unknown_names(__name__)
