"""What another policy would have earned."""

from omnireco.causal.logged import LoggedDecisions
from omnireco.causal.off_policy import OffPolicy, cross_fitted_rewards, off_policy

__all__ = ["LoggedDecisions", "OffPolicy", "cross_fitted_rewards", "off_policy"]
