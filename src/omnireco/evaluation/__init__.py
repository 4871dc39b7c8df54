"""Reports: what a recommendation earned, measured honestly."""

from __future__ import annotations

from omnireco.evaluation.evaluate import evaluate
from omnireco.evaluation.headroom import Headroom, headroom
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
from omnireco.evaluation.report import Report
from omnireco.evaluation.timing import timing_skill

__all__ = [
    "Headroom",
    "RankedLists",
    "Report",
    "average_precision",
    "coverage",
    "diversity",
    "evaluate",
    "headroom",
    "hit_rate",
    "mean_reciprocal_rank",
    "ndcg",
    "novelty",
    "precision",
    "recall",
    "timing_skill",
]
