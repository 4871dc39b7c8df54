"""Reports: what a recommendation earned, with intervals."""

from omnireco._moved import explain_unknown_names
from omnireco.evaluation.cards.model_card import ModelCard, card
from omnireco.evaluation.cards.scorecard import Scorecard, scorecard
from omnireco.evaluation.channel_report import ChannelReport, channel_report
from omnireco.evaluation.compare_channels import ChannelComparison, compare_channels
from omnireco.evaluation.costs import cost_of
from omnireco.evaluation.evaluate import evaluate
from omnireco.evaluation.explored_value import explored_value
from omnireco.evaluation.learn_blend import LearnedBlend, learn_blend
from omnireco.evaluation.learn_weights import LearnedWeights, learn_weights
from omnireco.evaluation.metrics import (
    RankedLists,
    average_precision,
    coverage,
    diversity,
    hit_rate,
    mean_reciprocal_rank,
    ndcg,
    novelty,
    precision,
    recall,
)
from omnireco.evaluation.plan_value import plan_value
from omnireco.evaluation.report import Report
from omnireco.evaluation.sampled import SampledNegatives
from omnireco.evaluation.search import Search
from omnireco.evaluation.trials.backtest import Backtest, backtest
from omnireco.evaluation.trials.space import Between, Trials, small_space
from omnireco.evaluation.trials.tune import Tuned, tune

__all__ = [
    "Backtest",
    "Between",
    "ChannelComparison",
    "ChannelReport",
    "LearnedBlend",
    "LearnedWeights",
    "ModelCard",
    "RankedLists",
    "Report",
    "SampledNegatives",
    "Scorecard",
    "Search",
    "Trials",
    "Tuned",
    "average_precision",
    "backtest",
    "card",
    "channel_report",
    "compare_channels",
    "cost_of",
    "coverage",
    "diversity",
    "evaluate",
    "explored_value",
    "hit_rate",
    "learn_blend",
    "learn_weights",
    "mean_reciprocal_rank",
    "ndcg",
    "novelty",
    "plan_value",
    "precision",
    "recall",
    "scorecard",
    "small_space",
    "tune",
]

explain_unknown_names(__name__)
