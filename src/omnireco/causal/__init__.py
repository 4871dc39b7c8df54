"""What another policy would have earned."""

from omnireco._moved import explain_unknown_names
from omnireco.causal.logged import LoggedDecisions
from omnireco.causal.off_policy import OffPolicy, cross_fitted_rewards, off_policy

__all__ = ["LoggedDecisions", "OffPolicy", "cross_fitted_rewards", "off_policy"]

explain_unknown_names(__name__)
