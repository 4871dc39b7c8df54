"""Matrix factorisation: every item a vector, every person the vector that explains their history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import scipy.sparse as sp

from omnireco._checks import check_integer, check_number
from omnireco._compute import Progress, one_blas_thread, ticker, usable_threads
from omnireco._random import stream
from omnireco.data.interactions import Interactions
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError
from omnireco.models.base import Model, count_users, explain_unfitted, require_interactions
from omnireco.models.fold_in import fold_in
from omnireco.models.topk import ItemIndex, topk

__all__ = ["ALS", "FactorModel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ALS:
    """Factorise the matrix of implicit feedback by alternating least squares.

    Parameters
    ----------
    factors : int
        Length of the vectors.
    regularization : float
        Ridge penalty on every vector.
    alpha : float
        A cell of weight r is believed with confidence ``1 + alpha * |r|``; cells nobody touched with 1.
    iterations : int
        Sweeps over people and items.
    seed : int
        Of the starting vectors.

    Notes
    -----
    Minimises ``sum c_ui (p_ui - x_u . y_i)^2 + regularization (sum |x_u|^2 + sum |y_i|^2)`` over all cells, with
    p = 1 where the weight is positive and 0 elsewhere. Deterministic for a seed, for any number of threads:
    each row's solve is independent of the others. Time O(cells x factors + rows x factors^2) per sweep.

    References
    ----------
    Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008, equations 3
    to 5; conjugate gradient: Takacs, Pilaszy and Tikk, RecSys 2011. Learned by the library implicit.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.data import Interactions
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": list("ababa")}))
    >>> ALS(factors=2, seed=7).fit(x).recommend(x.rows([3]), k=1).to_frame()["item_id"].tolist()
    ['b']
    """

    factors: int = 64
    regularization: float = 0.01
    alpha: float = 1.0
    iterations: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        check_integer(self.factors, "factors", low=1)
        check_number(self.regularization, "regularization", above=0)
        check_number(self.alpha, "alpha", above=0)
        check_integer(self.iterations, "iterations", low=1)
        check_integer(self.seed, "seed", low=0)

    def fit(self, x: Interactions, *, threads: int | None = None, progress: Progress = False) -> FactorModel:
        """Return the factors of the items, ready to place anybody by their history.

        Parameters
        ----------
        x : Interactions
        threads : int, optional
            All usable cores by default; never changes the answer.
        progress : bool or callable(done, total)
            A bar over sweeps.
        """
        x = require_interactions(x, "ALS.fit")
        confidence = x.to_scipy()
        confidence.data = np.sign(confidence.data) * (1 + self.alpha * np.abs(confidence.data))
        item_factors = self._learn(confidence, usable_threads(threads), progress)
        return FactorModel.from_arrays(
            item_factors,
            items=x.items,
            popularity=count_users(x),
            regularization=self.regularization,
            alpha=self.alpha,
        )

    def _learn(self, confidence: sp.csr_matrix, threads: int, progress: Progress) -> np.ndarray:
        """Return the item factors, float32 (n_items, factors), from confidences (n_users, n_items)."""
        from implicit.cpu.als import AlternatingLeastSquares
        from implicit.recommender_base import ModelFitError

        draw = stream(self.seed, "als/init")
        with one_blas_thread(), ticker(self.iterations, progress, label="als") as tick:
            learner = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularization,
                iterations=self.iterations,
                num_threads=threads,
            )
            learner.user_factors = _small(draw, confidence.shape[0], self.factors)
            learner.item_factors = _small(draw, confidence.shape[1], self.factors)
            try:
                learner.fit(confidence, show_progress=False, callback=lambda *_: tick())
            except ModelFitError:
                raise _diverged("ALS.fit") from None
        return np.array(learner.item_factors, np.float32)

    def __getattr__(self, name: str) -> NoReturn:
        explain_unfitted(self, name)


def _small(draw: np.random.Generator, n: int, factors: int) -> np.ndarray:
    return draw.random((n, factors), np.float32) * np.float32(0.01)


@dataclass(frozen=True, slots=True, eq=False)
class FactorModel(Model):
    """Item vectors and the loss that places a person among them.

    A person's vector is solved from their history (fold-in), for people the model was fitted on and for
    new ones alike; the score of an item is the inner product with its vector.

    Parameters
    ----------
    items : Vocabulary
    popularity : ndarray of shape (n_items,), float32
        How many people chose each item: the ranking for people without a history.
    factors : ndarray of shape (n_items, d), float32
    regularization, alpha : float
        Of the loss that histories are placed by; see :class:`ALS`.
    """

    items: Vocabulary
    popularity: np.ndarray
    factors: np.ndarray
    regularization: float
    alpha: float
    _index: ItemIndex
    _gram: np.ndarray

    @classmethod
    def from_arrays(
        cls,
        factors: Any,
        *,
        items: Any = None,
        popularity: Any = None,
        regularization: float = 0.01,
        alpha: float = 1.0,
    ) -> FactorModel:
        """Serve item factors learned anywhere (Spark, torch) with the same engine.

        Parameters
        ----------
        factors : array-like of shape (n_items, d)
            Finite numbers, kept as float32.
        items : array-like of ids or Vocabulary, optional
            One per row; row numbers by default.
        popularity : array-like of shape (n_items,), optional
            Ranking for people without a history; all equal by default, which ranks by code.
        regularization, alpha : float
            Of the loss that histories are placed by; use those the factors were learned with.

        Examples
        --------
        >>> model = FactorModel.from_arrays([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], items=["tea", "cup", "drum"])
        >>> model.similar_items(["tea"], k=1).to_frame()["item_id"].tolist()
        ['cup']
        """
        array = _numbers(factors, "factors")
        if array.ndim != 2 or not array.shape[1] or not np.isfinite(array).all():
            raise ParameterError(
                f"factors must be a (n_items, d) array of finite numbers. Got shape {array.shape}"
                f"{'' if np.isfinite(array).all() else ' with NaN or infinity: did the training diverge?'}"
            )
        if items is None:
            items = np.arange(array.shape[0])
        vocabulary = items if isinstance(items, Vocabulary) else _vocabulary(items)
        counts = np.zeros(len(array), np.float32) if popularity is None else _numbers(popularity, "popularity")
        if len(vocabulary) != len(array) or counts.shape != (len(array),):
            raise ParameterError(
                f"from_arrays: {len(array):,} rows of factors, {len(vocabulary):,} items and popularity of shape "
                f"{counts.shape} must agree."
            )
        if not np.isfinite(counts).all():
            raise ParameterError("popularity must be finite. Got NaN or infinity: numpy.nan_to_num(popularity).")
        array.setflags(write=False)
        counts.setflags(write=False)
        wide = array.astype(np.float64)
        with one_blas_thread():  # one order of summation, whatever else the process does
            gram = wide.T @ wide
        check_number(regularization, "regularization", above=0)
        check_number(alpha, "alpha", above=0)
        return cls(vocabulary, counts, array, float(regularization), float(alpha), ItemIndex(array), gram)

    def __repr__(self) -> str:
        return f"FactorModel({len(self.items):,} items, {self.factors.shape[1]} factors)"

    def place(self, histories: Interactions, *, threads: int | None = None) -> np.ndarray:
        """Return the vector of each person, float32 of shape (n_users, d), solved from their history."""
        return self._place(self._align(histories).csr, threads)

    def _place(self, histories: sp.csr_matrix, threads: int | None) -> np.ndarray:
        vectors = fold_in(
            histories.indptr,
            histories.indices,
            self.alpha * np.abs(histories.data).astype(np.float64),
            np.where(histories.data > 0, 1 + self.alpha * histories.data.astype(np.float64), 0.0),
            factors=self.factors,
            gram=self._gram,
            regularization=self.regularization,
            threads=threads,
        )
        if not np.isfinite(vectors).all():
            raise _diverged("recommend")
        return vectors

    def _rank(
        self,
        histories: sp.csr_matrix,
        *,
        k: int,
        exclude: sp.csr_matrix | None,
        eligible: Any,
        threads: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        vectors = self._place(histories, threads)
        return topk(vectors, self._index, k=k, exclude=exclude, eligible=eligible, threads=threads)

    def _score(self, histories: sp.csr_matrix, codes: np.ndarray) -> np.ndarray:
        vectors = self._place(histories, None).astype(np.float64)
        scores = np.zeros((vectors.shape[0], codes.size))
        for factor in range(vectors.shape[1]):  # the order of summation that topk promises
            scores += vectors[:, factor, None] * self.factors[codes, factor].astype(np.float64)
        return scores.astype(np.float32)

    def _similar(self, codes: np.ndarray, *, k: int) -> tuple[np.ndarray, np.ndarray]:
        wide = self.factors.astype(np.float64)
        length = np.sqrt((wide**2).sum(axis=1, keepdims=True))
        unit = np.where(length > 0, wide / np.where(length > 0, length, 1.0), 0.0).astype(np.float32)
        itself = sp.csr_matrix((np.ones(codes.size), (np.arange(codes.size), codes)), (codes.size, len(unit)))
        return topk(unit[codes], unit, k=k, exclude=itself)


def _diverged(verb: str) -> ParameterError:
    return ParameterError(
        f"{verb}: the weights are too large for a least-squares problem, whose solution is not a number. Scale them "
        "down or hold them, Weights(value='log', cap=100), or raise regularization."
    )


def _numbers(values: Any, name: str) -> np.ndarray:
    """Return a C-contiguous float32 copy of an array of numbers."""
    try:
        with np.errstate(over="ignore"):
            return np.array(values, np.float32, order="C")
    except (TypeError, ValueError):
        kind = type(values).__name__
        raise ParameterError(f"{name} must be numbers in rows of equal length. Got another {kind}.") from None


def _vocabulary(items: Any) -> Vocabulary:
    vocabulary, codes = Vocabulary.encode(items, "items")
    if len(vocabulary) < codes.size:
        raise ParameterError(f"from_arrays: {codes.size - len(vocabulary):,} of {codes.size:,} items are named twice.")
    return vocabulary.take(codes)
