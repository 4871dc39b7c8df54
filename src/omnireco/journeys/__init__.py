"""What follows a purchase, when it is due again, and what was left unfinished."""

from omnireco._moved import explain_unknown_names
from omnireco.journeys.follow_ups import FollowUps, FollowUpsModel
from omnireco.journeys.refills import RefillModel, Refills
from omnireco.journeys.unfinished import unfinished

__all__ = ["FollowUps", "FollowUpsModel", "RefillModel", "Refills", "unfinished"]

explain_unknown_names(__name__)
