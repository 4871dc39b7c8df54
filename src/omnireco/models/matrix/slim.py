"""SLIM: sparse item-to-item weights by one elastic net per item."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_flag, check_integer, check_number
from omnireco._core.compute import Progress, require_memory, track, usable_threads
from omnireco._core.contract import Estimator
from omnireco.data.weights import Weights, check_weights
from omnireco.models.base import count_users, training_matrix
from omnireco.models.matrix.graph import keep_largest
from omnireco.models.matrix.linear import ItemModel
from omnireco.models.matrix.squares import gram_matrix, mirrored, ridge_scratch

__all__ = ["SLIM"]

_COLUMNS = 64  # columns per task: enough to outweigh the start of one


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SLIM(Estimator):
    """Learn sparse, non-negative item-to-item weights, one elastic net per item.

    At the top of most tables of small and middle-sized data, a little above EASE where items are many and
    people few, because a weight must earn its place and may not be negative. Explanations stay short.

    Parameters
    ----------
    regularization : float
        Ridge penalty, in units of squared cells, as in EASE.
    sparsity : float
        Penalty on absolute weights, in the same units: a pair whose product with what is left unexplained stays
        below it gets no weight.
    neighbors : int, optional
        Weights kept per item, the largest; all by default.
    nonnegative : bool
        Allow no weight below zero.
    iterations : int
        Sweeps over the weights of one item, at most; a hundred stop many columns of public data before they settle.
    tolerance : float
        Stop when no weight moved more than this share of the largest. At 1e-4 lists are those of the exact solution.
    memory : float, optional
        Memory limit in bytes; what the machine has free by default.
    weights : Weights, optional
        Event weights for ``fit`` on events; the model weighs histories with the same.

    Notes
    -----
    Column j minimises ``1/2 |x_j - X w|^2 + regularization/2 |w|^2 + sparsity |w|_1`` with ``w_j = 0``, by cyclic
    coordinate descent on the Gram matrix over an active set: passes over the items that may be nonzero until they
    settle, then one over all. scikit-learn's ``ElasticNet(alpha, l1_ratio)`` on n people is
    ``regularization = n alpha (1 - l1_ratio)``, ``sparsity = n alpha l1_ratio``. Each column is its own problem, so
    threads change nothing. A number below 0 is a target below 0; without ``nonnegative`` it can also give a pair a
    weight below 0, which else is 0. In a history it lowers similar items. Deterministic.
    Time O(items^2 x sweeps x items that move); memory 12 bytes x items^2.

    References
    ----------
    Ning and Karypis, "SLIM: sparse linear methods for top-N recommender systems", ICDM 2011, equation 4;
    coordinate descent: Friedman, Hastie and Tibshirani, JSS 2010, section 2.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.data import Interactions
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": list("ababa")}))
    >>> SLIM(regularization=1.0, sparsity=0.1).fit(x).recommend(x.rows([3]), k=1).to_frame()["item_id"].tolist()
    ['b']
    """

    regularization: float = 200.0
    sparsity: float = 0.1
    neighbors: int | None = None
    nonnegative: bool = True
    iterations: int = 1000
    tolerance: float = 1e-3
    memory: float | None = None
    weights: Weights | None = None

    def __post_init__(self) -> None:
        check_weights(self.weights)
        check_number(self.regularization, "regularization", low=0)
        check_number(self.sparsity, "sparsity", low=0)
        if self.neighbors is not None:
            check_integer(self.neighbors, "neighbors", low=1)
        check_flag(self.nonnegative, "nonnegative")
        check_integer(self.iterations, "iterations", low=1)
        check_number(self.tolerance, "tolerance", above=0)
        if self.memory is not None:
            check_number(self.memory, "memory", above=0)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> ItemModel:
        """Return the item-to-item model, with sparse weights.

        Parameters
        ----------
        data : Dataset, EventLog, EventScan or Interactions
            Events are weighed by ``weights``; a matrix is taken as it is.
        threads : int, optional
            All usable cores by default; never changes the result.
        progress : bool or callable(done, total)
            A bar over blocks of items.

        Raises
        ------
        ParameterError
            When items squared do not fit in memory.
        """
        x = training_matrix(self, data)
        workers = usable_threads(threads)
        require_memory(
            "SLIM.fit",
            8 * x.n_items**2 + ridge_scratch(x.n_items, x.csr.nnz, single=False) + 8 * workers * _COLUMNS * x.n_items,
            f"{x.n_items:,} items squared",
            "Use RP3beta or ItemKNN, which are sparse, or keep the most popular items",
            limit=self.memory,
        )
        gram = mirrored(gram_matrix(x.csr, np.float64, threads=threads))
        blocks = [(a, min(a + _COLUMNS, x.n_items)) for a in range(0, x.n_items, _COLUMNS)]
        with ThreadPoolExecutor(workers) as pool:
            jobs = [pool.submit(self._columns, gram, *block) for block in blocks]
            parts = [job.result() for job in track(jobs, progress, label="slim")]
        del gram  # what comes now, of sparse weights, takes its place: nobody knows beforehand how many there are
        weights = sp.csr_matrix(sp.vstack(parts))  # one row per target item
        if self.neighbors is not None:
            weights = keep_largest(weights, self.neighbors)
        weights = sp.csr_matrix(weights.T.tocsr(), dtype=np.float32)
        weights.sort_indices()
        return ItemModel(x.items, count_users(x), weights, x.weights)

    def _columns(self, gram: np.ndarray, start: int, stop: int) -> sp.csr_matrix:
        """Return the weights into items [start, stop), one row per item."""
        from omnireco._kernels.elastic_net import descend

        found = np.zeros((stop - start, len(gram)))
        descend(  # type: ignore[no-untyped-call]
            gram,
            start,
            stop,
            self.regularization,
            self.sparsity,
            self.nonnegative,
            self.iterations,
            self.tolerance,
            found,
        )
        return sp.csr_matrix(found)
