"""What messages and channels earned: off-policy values, holdouts, switchbacks, attribution and displacement."""

from omnireco.causal.holdouts.holdout import Holdout
from omnireco.causal.holdouts.holdout_power import HoldoutSize, holdout_power
from omnireco.causal.holdouts.holdout_report import HoldoutReport, holdout_report
from omnireco.causal.holdouts.switchback import Switchback, SwitchbackReport, switchback
from omnireco.causal.logged import LoggedDecisions
from omnireco.causal.off_policy import OffPolicy, cross_fitted_rewards, off_policy
from omnireco.causal.paths.attribution import Attribution, attribution
from omnireco.causal.paths.lift_tests import LiftTests
from omnireco.causal.paths.paths import Paths
from omnireco.causal.substitution.contacts import ContactEffects, contact_effects
from omnireco.causal.substitution.first_use import Displacement, displacement

__all__ = [
    "Attribution",
    "ContactEffects",
    "Displacement",
    "Holdout",
    "HoldoutReport",
    "HoldoutSize",
    "LiftTests",
    "LoggedDecisions",
    "OffPolicy",
    "Paths",
    "Switchback",
    "SwitchbackReport",
    "attribution",
    "contact_effects",
    "cross_fitted_rewards",
    "displacement",
    "holdout_power",
    "holdout_report",
    "off_policy",
    "switchback",
]
