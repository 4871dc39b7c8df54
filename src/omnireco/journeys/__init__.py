"""What follows a purchase, when it is due again, and what was left unfinished."""

from omnireco.journeys.after import FollowUps, FollowUpsModel, RefillModel, Refills, unfinished

__all__ = ["FollowUps", "FollowUpsModel", "RefillModel", "Refills", "unfinished"]
