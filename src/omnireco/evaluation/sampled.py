"""Sampled metrics: lists cut down to what was chosen and some random other items, for comparison with old papers only.

They need ``sampled=True``, and marked wherever they are shown, because they can put models in
another order than the ranking of all items does: Krichene and Rendle (2020), "On sampled metrics for item
recommendation", KDD.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_integer, shown
from omnireco._core.notebook import shown_html
from omnireco._core.random import stream
from omnireco.data.vocabulary import NONE
from omnireco.errors import ParameterError
from omnireco.evaluation.hits import find_hits

__all__ = ["SampledNegatives", "check_negatives", "cut_to_candidates", "draw_candidates"]


@dataclass(frozen=True, slots=True)
class SampledNegatives:
    """Rank what was chosen among so many random items only: for ``om.evaluate(..., negatives=...)``.

    Not for new work. Such sampled metrics can put models in another order than all items do; they serve to compare
    with an older paper that samples.

    Parameters
    ----------
    n : int
        Random items per person, beside those that were chosen.

    Raises
    ------
    ParameterError
        When ``n`` is no integer of at least 1.

    References
    ----------
    Krichene and Rendle (2020), "On sampled metrics for item recommendation", KDD.

    Examples
    --------
    >>> SampledNegatives(100)
    SampledNegatives(n=100)
    """

    n: int

    _repr_html_ = shown_html

    def __post_init__(self) -> None:
        check_integer(self.n, "negatives", low=1)


def check_negatives(negatives: Any) -> None:
    """Refuse to draw negatives without the explicit word."""
    if negatives is None or isinstance(negatives, SampledNegatives):
        return
    raise ParameterError(
        f"negatives={shown(negatives)} would rank the truth among a few random items only. Such sampled metrics can "
        "put models in another order than all items do (Krichene and Rendle, KDD 2020): leave negatives out. To stand "
        "beside an old paper that samples, say that you know: evaluate(..., "
        "negatives=om.evaluation.SampledNegatives(100))."
    )


def draw_candidates(
    relevant: sp.csr_matrix, seen: sp.csr_matrix | None, pool: np.ndarray, *, negatives: int, seed: int
) -> sp.csr_matrix:
    """Return what each person's list is cut down to: the relevant items, and others drawn evenly.

    Parameters
    ----------
    relevant : csr_matrix of shape (n, n_items)
    seen : csr_matrix of shape (n, n_items), optional
        Never drawn.
    pool : ndarray of shape (n_items,), bool
        What may be drawn.
    negatives : int
        How many per person; fewer where the pool is smaller.
    seed : int
    """
    n, n_items = relevant.shape
    draw = stream(seed, "evaluate/sampled")
    found = []
    for row in range(n):
        free = pool.copy()
        free[relevant.indices[relevant.indptr[row] : relevant.indptr[row + 1]]] = False
        if seen is not None:
            free[seen.indices[seen.indptr[row] : seen.indptr[row + 1]]] = False
        others = np.flatnonzero(free)
        found.append(draw.choice(others, min(negatives, others.size), replace=False))
    drawn = np.repeat(np.arange(n), [part.size for part in found])
    cells = np.ones(drawn.size), (drawn, np.concatenate(found) if found else drawn)
    whole = sp.csr_matrix(relevant + sp.csr_matrix(cells, (n, n_items)))
    whole.sum_duplicates()
    return whole


def cut_to_candidates(codes: np.ndarray, candidates: sp.csr_matrix, k: int, name: str) -> np.ndarray:
    """Return lists (n, k) of the candidates only, in the order of lists (n, any); -1 behind the last.

    Raises
    ------
    ParameterError
        When a list is too short to say in which order it would have put its candidates.
    """
    there = find_hits(codes, candidates)
    missing = np.diff(candidates.indptr) - there.sum(axis=1)
    cut_short = (codes[:, -1] != NONE) & (missing > 0) & (there.sum(axis=1) < k)
    if cut_short.any():
        raise ParameterError(
            f"the lists of {shown(name)} are too short for sampled metrics: for {int(cut_short.sum()):,} of "
            f"{len(codes):,} "
            "users they end before their candidates do. Rank everything: model.recommend(past.requests(), k=n_items)."
        )
    order = np.argsort(~there, axis=1, kind="stable")[:, :k]
    kept = np.where(np.take_along_axis(there, order, axis=1), np.take_along_axis(codes, order, axis=1), NONE)
    return np.pad(kept, ((0, 0), (0, max(0, k - kept.shape[1]))), constant_values=NONE).astype(np.int32)
