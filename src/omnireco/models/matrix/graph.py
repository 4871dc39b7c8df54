"""Random walks and graph filters; the result is item-to-item weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_flag, check_integer, check_number
from omnireco._core.compute import (
    Progress,
    in_parallel,
    one_blas_thread,
    require_memory,
    row_blocks,
    usable_threads,
)
from omnireco._core.contract import Estimator
from omnireco.data.weights import Weights, check_weights
from omnireco.models.base import count_users, training_matrix
from omnireco.models.matrix.linear import ItemModel
from omnireco.models.matrix.svd import ProjectionModel, right_singular_vectors
from omnireco.models.together.blended import BlendModel

__all__ = ["GFCF", "P3alpha", "RP3beta", "keep_largest"]

_BLOCK_BYTES = 16 << 20  # of a dense matrix that is made block by block


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class P3alpha(Estimator):
    """Score items by a random walk of three steps: person, item, another person, item.

    Sparse at every stage, so it serves catalogues whose square does not fit in memory.

    Parameters
    ----------
    neighbors : int
        Weights kept per item, both out of it and into it.
    alpha : float
        Power of the step probabilities: below 1 flattens them, 0 counts paths.
    normalize : bool
        Let the weights out of each item sum to 1.
    weights : Weights, optional
        Event weights for ``fit`` on events; the model weighs histories with the same.

    Notes
    -----
    ``W = B^alpha A^alpha`` without its diagonal, where A walks from person to item in proportion to the weight
    of the cell, and B from item to person evenly. Numbers below 0 are no paths: dislikes of others are
    ignored, and one in a history lowers its neighbours. Ties at the last neighbour
    go to the lower code. Deterministic; the time of the sparse product X'X.

    References
    ----------
    Cooper et al., "Random walks in recommender systems", WWW 2014; as in the code of Ferrari Dacrema et al.,
    "A troubling analysis of reproducibility and progress in recommender systems research", TOIS 2021.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.data import Interactions
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": list("ababa")}))
    >>> P3alpha().fit(x).recommend(x.rows([3]), k=1).to_frame()["item_id"].tolist()
    ['b']
    """

    neighbors: int = 200
    alpha: float = 1.0
    normalize: bool = True
    weights: Weights | None = None

    def __post_init__(self) -> None:
        check_weights(self.weights)
        _check_walk(self.neighbors, self.alpha, self.normalize)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> ItemModel:
        """Return the item-to-item model, with sparse weights."""
        x = training_matrix(self, data)
        weights = _walk(x.csr, self.neighbors, self.alpha, 0.0, normalize=self.normalize)
        return ItemModel(x.items, count_users(x), weights, x.weights)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RP3beta(Estimator):
    """Score items by a random walk of three steps with a popularity penalty.

    Parameters
    ----------
    neighbors : int
        Weights kept per item, both out of it and into it.
    alpha : float
        Power of the step probabilities.
    beta : float
        Power of the popularity that a walk's end is divided by; 0 is :class:`P3alpha`.
    normalize : bool
        Let the weights out of each item sum to 1.
    weights : Weights, optional
        Event weights for ``fit`` on events; the model weighs histories with the same.

    Notes
    -----
    The weights of :class:`P3alpha`, each divided by (people who chose the target)^beta; dislikes are no paths here
    either, and in a history they lower their neighbours. Deterministic.

    References
    ----------
    Paudel et al., "Updatable, accurate, diverse, and scalable recommendations for interactive applications",
    TiiS 2017, equation 6.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.data import Interactions
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": list("ababa")}))
    >>> RP3beta().fit(x).recommend(x.rows([3]), k=1).to_frame()["item_id"].tolist()
    ['b']
    """

    neighbors: int = 200
    alpha: float = 0.9
    beta: float = 0.6
    normalize: bool = True
    weights: Weights | None = None

    def __post_init__(self) -> None:
        check_weights(self.weights)
        _check_walk(self.neighbors, self.alpha, self.normalize)
        check_number(self.beta, "beta", low=0)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> ItemModel:
        """Return the item-to-item model, with sparse weights."""
        x = training_matrix(self, data)
        weights = _walk(x.csr, self.neighbors, self.alpha, self.beta, normalize=self.normalize)
        return ItemModel(x.items, count_users(x), weights, x.weights)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class GFCF(Estimator):
    """Smooth histories over the graph: one linear filter plus an ideal low-pass filter.

    Closed form, no epochs; level with trained graph networks on the public splits of LightGCN.

    Parameters
    ----------
    factors : int
        Singular vectors of the ideal low-pass filter.
    low_pass : float
        What that filter counts beside the linear one.
    dense : bool
        Whether the model holds the sum of both filters as one dense matrix, which ranks and explains fastest. Without,
        it is a blend of the sparse filter and the low-rank one, with the same scores: for catalogues whose square does
        not fit.
    memory : float, optional
        Memory limit in bytes; what the machine has free by default.
    weights : Weights, optional
        Event weights for ``fit`` on events; the model weighs histories with the same.

    Notes
    -----
    With ``R = Du^-1/2 X Di^-1/2`` and its leading right singular vectors V, the weights are ``R'R + low_pass Di^-1/2 V
    V' Di^1/2``. Numbers below 0 are no edges; in a history they lower their neighbours. Deterministic. O(items^2
    factors) time; 60 bytes a cell, 40 bytes x items x factors, and dense 4 bytes x items^2, else 24 bytes for each pair
    of items that somebody has together.

    References
    ----------
    Shen et al., "How powerful is graph convolution for recommendation?", CIKM 2021, algorithm 1.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.data import Interactions
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": list("ababa")}))
    >>> GFCF(factors=1).fit(x).recommend(x.rows([3]), k=1).to_frame()["item_id"].tolist()
    ['b']
    """

    factors: int = 256
    low_pass: float = 0.3
    dense: bool = True
    memory: float | None = None
    weights: Weights | None = None

    def __post_init__(self) -> None:
        check_weights(self.weights)
        check_integer(self.factors, "factors", low=1)
        check_number(self.low_pass, "low_pass", low=0)
        check_flag(self.dense, "dense")
        if self.memory is not None:
            check_number(self.memory, "memory", above=0)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> ItemModel | BlendModel:
        """Return the item-to-item model: one dense matrix, or a blend of its sparse and its low-rank part.

        Raises
        ------
        ParameterError
            When what it holds does not fit in memory.
        """
        x = training_matrix(self, data)
        liked = _positive(x.csr)
        per_user, per_item = (np.asarray(liked.sum(axis=axis)).ravel() for axis in (1, 0))
        user_scale, item_scale = _power(per_user, -0.5), _power(per_item, -0.5)
        normal = sp.csr_matrix(sp.diags(user_scale) @ liked @ sp.diags(item_scale))
        self._require_memory(normal)
        vectors = np.zeros((x.n_items, 1))
        if self.low_pass and normal.nnz:
            vectors = right_singular_vectors(normal, self.factors)[0]
        encode, decode = self.low_pass * item_scale[:, None] * vectors, np.sqrt(per_item)[:, None] * vectors
        if self.dense:
            return ItemModel(x.items, count_users(x), _filled(normal, encode, decode, threads), x.weights)
        near, popularity = sp.csr_matrix(normal.T @ normal, dtype=np.float32), count_users(x)
        near.sort_indices()
        parts = {
            "linear": ItemModel(x.items, popularity, near, x.weights),
            "low pass": ProjectionModel.from_arrays(
                encode, decode, items=x.items, popularity=popularity, event_weights=x.weights
            ),
        }
        return BlendModel.of(parts, scale="none")

    def _require_memory(self, normal: sp.csr_matrix) -> None:
        n = normal.shape[1]
        pairs = float((np.diff(normal.indptr).astype(np.float64) ** 2).sum())
        low_rank = 40 * n * min(n, self.factors)  # vectors, both maps, and what the solver keeps of twice as many
        cells = 60 * normal.nnz  # what is liked, scaled, and turned round
        require_memory(
            "GFCF.fit",
            low_rank + cells + (4 * n**2 + _BLOCK_BYTES if self.dense else 24 * min(pairs, float(n) ** 2)),
            f"{n:,} items squared" if self.dense else "the items that people have together",
            "Use GFCF(dense=False), whose two parts are sparse and of low rank" if self.dense else "Use RP3beta",
            limit=self.memory,
        )


def _filled(normal: sp.csr_matrix, encode: np.ndarray, decode: np.ndarray, threads: int | None) -> np.ndarray:
    """Return ``normal' normal + encode decode'`` as float32 (n_items, n_items), summed in float64 block by block."""
    columns, n = normal.T.tocsr(), normal.shape[1]
    weights = np.empty((n, n), np.float32)

    def fill(rows: slice) -> None:
        weights[rows] = (columns[rows] @ normal).toarray() + encode[rows] @ decode.T

    steps = [partial(fill, rows) for rows in row_blocks(n, 24 * n, memory=_BLOCK_BYTES // 4)]
    with one_blas_thread():
        in_parallel(steps, min(usable_threads(threads), 4))
    return weights


def keep_largest(matrix: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """Return a sparse matrix with at most the ``k`` largest cells of each row, in float32; ties to the lower column.

    Columns stand in order. A row takes some 20 us, however wide the matrix.
    """
    if not matrix.nnz or int(np.diff(matrix.indptr).max()) <= k:
        return matrix
    values, kept = matrix.data.astype(np.float32), np.ones(matrix.nnz, np.bool_)
    for row in np.flatnonzero(np.diff(matrix.indptr) > k).tolist():
        cells = slice(matrix.indptr[row], matrix.indptr[row + 1])
        mine = values[cells]
        least = np.partition(mine, mine.size - k)[mine.size - k]
        inside = mine > least
        inside[np.flatnonzero(mine == least)[: k - np.count_nonzero(inside)]] = True  # lower columns come first
        kept[cells] = inside
    indptr = np.append(0, np.cumsum(kept))[matrix.indptr]
    return sp.csr_matrix((matrix.data[kept], matrix.indices[kept], indptr), matrix.shape)


def _check_walk(neighbors: int, alpha: float, normalize: bool) -> None:
    check_integer(neighbors, "neighbors", low=1)
    check_number(alpha, "alpha", low=0)
    check_flag(normalize, "normalize")


def _walk(x: sp.csr_matrix, neighbors: int, alpha: float, beta: float, *, normalize: bool) -> sp.csr_matrix:
    """Return the weights (n_items, n_items) of a walk from the row's item to the column's item."""
    liked = _positive(x)
    reached = np.bincount(liked.indices, minlength=liked.shape[1])
    to_item, to_user = liked.copy(), liked.T.tocsr()
    to_item.data = (liked.data / np.repeat(np.asarray(liked.sum(axis=1)).ravel(), np.diff(liked.indptr))) ** alpha
    to_user.data = np.repeat(_power(reached, -1.0), np.diff(to_user.indptr)) ** alpha
    penalty = _power(reached, -beta)
    parts = []
    for rows in row_blocks(to_user.shape[0], 24 * to_user.shape[0]):
        block = sp.csr_matrix(to_user[rows] @ to_item)
        block.sort_indices()
        row = np.repeat(np.arange(rows.start, rows.stop), np.diff(block.indptr))
        block.data = np.where(block.indices == row, 0.0, block.data * penalty[block.indices])
        block.eliminate_zeros()
        parts.append(keep_largest(block, neighbors))
    weights = sp.csr_matrix(sp.vstack(parts))
    if normalize:
        sums = np.asarray(weights.sum(axis=1)).ravel()
        weights.data /= np.repeat(sums, np.diff(weights.indptr))
    weights = sp.csr_matrix(keep_largest(weights.T.tocsr(), neighbors).T.tocsr(), dtype=np.float32)
    weights.sort_indices()
    return weights


def _positive(x: sp.csr_matrix) -> sp.csr_matrix:
    """Return the cells above zero, float64: a dislike is no path."""
    liked = x.astype(np.float64)
    liked.data = np.maximum(liked.data, 0.0)
    liked.eliminate_zeros()
    return liked


def _power(values: np.ndarray, power: float) -> np.ndarray:
    """Return values ** power, and 0 where a value is 0."""
    wide = values.astype(np.float64)
    return np.where(wide > 0, np.where(wide > 0, wide, 1.0) ** power, 0.0)
