"""What follows a purchase, what is due again, what was left unfinished, and who comes back by themselves."""

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
