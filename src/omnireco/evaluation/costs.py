"""What a rule that re-orders lists costs in accuracy, and what it moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco._core.checks import check_k
from omnireco._core.contract import says_the_line
from omnireco.data.recommendations import Recommendations
from omnireco.data.vocabulary import NONE, match
from omnireco.errors import ParameterError
from omnireco.evaluation.evaluate import evaluate
from omnireco.evaluation.metrics import Metric, ndcg

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cost_of"]


@says_the_line("om.evaluation.cost_of(after, before, later, k=10)")
def cost_of(
    after: Recommendations | Mapping[str, Recommendations],
    before: Recommendations,
    truth: Any,
    *,
    k: int,
    metrics: Sequence[Metric] = (ndcg,),
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what re-ordered lists cost in accuracy, person by person, and how much of the lists they changed.

    Variety, quotas, limits and promotions cost accuracy; this measures the cost. A difference below 0 is a loss, and
    where its interval contains 0 it is not significant.

    Parameters
    ----------
    after : Recommendations or mapping of str to Recommendations
        What :func:`omnireco.models.mmr`, :func:`omnireco.models.dpp`, :func:`omnireco.models.quotas` and the like
        returned.
    before : Recommendations
        The lists they were made from; their first ``k`` are the baseline.
    truth : Dataset, EventLog, Interactions, Asked or frame
        As in :func:`omnireco.evaluate`.
    k, metrics, confidence, n_bootstrap, seed
        As in :func:`omnireco.evaluate`; metrics with a value per person have intervals.

    Returns
    -------
    pandas.DataFrame
        ``model metric k before after difference low high n_users``, and ``changed``: the share of shown places whose
        item was not in the first ``k`` before.

    Examples
    --------
    >>> from omnireco.models import EASE, ItemKNN
    >>> from omnireco.models.lists.diversify import mmr
    >>> from omnireco.testing import small_matrix
    >>> x = small_matrix(seed=1)
    >>> long = EASE().fit(x).recommend(x, k=10, exclude_seen=False)
    >>> mixed = mmr(long, k=3, trade_off=0.5, similarity=ItemKNN().fit(x))
    >>> cost_of(mixed, long, x, k=3).columns.tolist()
    ['model', 'metric', 'k', 'before', 'after', 'difference', 'low', 'high', 'n_users', 'changed']
    """
    k = check_k(k)
    named: Any = {"after": after} if isinstance(after, Recommendations) else after
    if not isinstance(named, Mapping) or not all(isinstance(r, Recommendations) for r in (before, *named.values())):
        raise ParameterError("cost_of takes lists: cost_of(om.models.mmr(long, ...), long, truth, k=10).")
    if "before" in named or not named:
        raise ParameterError("cost_of: give at least one list after, under another name than 'before'.")
    short = before.head(k)
    report = evaluate(
        {"before": short, **named},
        truth,
        k=k,
        metrics=metrics,
        confidence=confidence,
        n_bootstrap=n_bootstrap,
        seed=seed,
    )
    means = report.to_frame().set_index(["model", "metric"])["mean"]
    table = report.differences("before")
    table.insert(3, "before", [means["before", metric] for metric in table["metric"]])
    table.insert(4, "after", [means[pair] for pair in zip(table["model"], table["metric"], strict=True)])
    moved = {name: _changed(short, lists.head(k)) for name, lists in named.items()}
    return table.drop(columns=["baseline", "p"], errors="ignore").assign(
        k=k, changed=[moved[name] for name in table["model"]]
    )[["model", "metric", "k", "before", "after", "difference", "low", "high", "n_users", "changed"]]


def _changed(before: Recommendations, after: Recommendations) -> float:
    """Return the share of places shown after whose item that person was not shown before."""
    row = match(before.users, after.users, ("before", "after"))
    item = match(before.items, after.items, ("before", "after"), column="item_id")[after.codes]
    shown = after.codes != NONE
    width = np.int64(len(before.items) + 1)
    was = (np.arange(len(before.users))[:, None] * width + before.codes)[before.codes != NONE]
    now = row[:, None] * width + item
    fresh = shown & ((row == NONE)[:, None] | (item == NONE) | ~np.isin(now, was))
    return float(fresh.sum() / max(1, shown.sum()))
