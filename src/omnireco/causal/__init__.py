"""What another policy would have earned."""

from omnireco.causal.off_policy import OffPolicy, cross_fitted_rewards, off_policy

__all__ = ["OffPolicy", "cross_fitted_rewards", "off_policy"]
