"""Reports: what a recommendation earned, measured honestly."""

from __future__ import annotations

from omnireco.evaluation.evaluate import evaluate
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

__all__ = [
    "RankedLists",
    "Report",
    "average_precision",
    "coverage",
    "diversity",
    "evaluate",
    "hit_rate",
    "mean_reciprocal_rank",
    "ndcg",
    "novelty",
    "precision",
    "recall",
]
