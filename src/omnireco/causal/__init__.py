"""What messages, channels and policies earned: uplift, holdouts, attribution, displacement and off-policy values."""

from omnireco._moved import explain_unknown_names
from omnireco.causal.holdouts.holdout import Holdout
from omnireco.causal.holdouts.holdout_power import HoldoutSize, holdout_power
from omnireco.causal.holdouts.holdout_report import HoldoutReport, holdout_report
from omnireco.causal.holdouts.switchback import Switchback, SwitchbackReport, switchback
from omnireco.causal.logged import LoggedDecisions
from omnireco.causal.off_policy import OffPolicy, off_policy
from omnireco.causal.paths.attribution import Attribution, attribution
from omnireco.causal.paths.lift_tests import LiftTests
from omnireco.causal.paths.paths import Paths
from omnireco.causal.rewards import cross_fitted_rewards
from omnireco.causal.selecting import PolicyChoice, select_policy
from omnireco.causal.slates import LoggedSlates, off_policy_slates
from omnireco.causal.substitution.contacts import ContactEffects, contact_effects
from omnireco.causal.substitution.first_use import Displacement, displacement
from omnireco.causal.uplift.budget import BudgetPath, budget_path
from omnireco.causal.uplift.curves import UpliftCurve, uplift_curve
from omnireco.causal.uplift.designs import complier_effect, cuped, policy_value
from omnireco.causal.uplift.effects import Effects
from omnireco.causal.uplift.experiment import Experiment
from omnireco.causal.uplift.increments import Increments
from omnireco.causal.uplift.model import UpliftModel
from omnireco.causal.uplift.uplift import Uplift

__all__ = [
    "Attribution",
    "BudgetPath",
    "ContactEffects",
    "Displacement",
    "Effects",
    "Experiment",
    "Holdout",
    "HoldoutReport",
    "HoldoutSize",
    "Increments",
    "LiftTests",
    "LoggedDecisions",
    "LoggedSlates",
    "OffPolicy",
    "Paths",
    "PolicyChoice",
    "Switchback",
    "SwitchbackReport",
    "Uplift",
    "UpliftCurve",
    "UpliftModel",
    "attribution",
    "budget_path",
    "complier_effect",
    "contact_effects",
    "cross_fitted_rewards",
    "cuped",
    "displacement",
    "holdout_power",
    "holdout_report",
    "off_policy",
    "off_policy_slates",
    "policy_value",
    "select_policy",
    "switchback",
    "uplift_curve",
]

explain_unknown_names(__name__)
