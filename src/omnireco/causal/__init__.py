"""What messages, channels and policies earned: uplift, holdouts, attribution, displacement and off-policy values."""

from omnireco._moved import explain_unknown_names
from omnireco.causal.logged import LoggedDecisions
from omnireco.causal.off_policy import OffPolicy, cross_fitted_rewards, off_policy
from omnireco.causal.uplift.budget import BudgetPath, budget_path
from omnireco.causal.uplift.curves import UpliftCurve, uplift_curve
from omnireco.causal.uplift.designs import complier_effect, cuped, policy_value
from omnireco.causal.uplift.effects import Effects
from omnireco.causal.uplift.experiment import Experiment
from omnireco.causal.uplift.increments import Increments
from omnireco.causal.uplift.model import UpliftModel
from omnireco.causal.uplift.uplift import Uplift

__all__ = [
    "BudgetPath",
    "Effects",
    "Experiment",
    "Increments",
    "LoggedDecisions",
    "OffPolicy",
    "Uplift",
    "UpliftCurve",
    "UpliftModel",
    "budget_path",
    "complier_effect",
    "cross_fitted_rewards",
    "cuped",
    "off_policy",
    "policy_value",
    "uplift_curve",
]

explain_unknown_names(__name__)
