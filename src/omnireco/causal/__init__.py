"""What another policy would have earned."""

from omnireco.causal.logged import LoggedDecisions
from omnireco.causal.off_policy import OffPolicy, cross_fitted_rewards, off_policy
from omnireco.causal.selecting import PolicyChoice, select_policy
from omnireco.causal.slates import LoggedSlates, off_policy_slates

__all__ = [
    "LoggedDecisions",
    "LoggedSlates",
    "OffPolicy",
    "PolicyChoice",
    "cross_fitted_rewards",
    "off_policy",
    "off_policy_slates",
    "select_policy",
]
