"""Singular vectors: PureSVD, and the model of any low-rank linear scorer."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_integer, check_numbers, count_of
from omnireco._core.compute import Progress, one_blas_thread
from omnireco._core.contract import Estimator
from omnireco._core.parts import Maybe, Parts, declare, numbers
from omnireco._core.small import Value
from omnireco._kernels.ordered_product import ordered_product
from omnireco._kernels.topk.exact import ItemIndex, topk
from omnireco.data.interactions import Interactions
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import Vocabulary
from omnireco.data.weights import Weights, check_weights
from omnireco.errors import DataWarning, ParameterError
from omnireco.models.base import Model, count_users, training_matrix
from omnireco.models.matrix.factors import check_width

__all__ = ["ProjectionModel", "PureSVD", "right_singular_vectors"]

_WIDE = 4096  # items from which the smaller Gram matrix, that of few people, is decomposed
_DENSE = 200  # items up to which the Gram matrix is decomposed whole
_LITTLE = 0.15  # of the squares of the matrix, below which the factors were measured beside popularity, or worse
_NOISE = 1e-10  # singular values below this share of the largest are rounding


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PureSVD(Estimator):
    """Project histories on the leading singular vectors of the matrix, where a blank counts as zero.

    The simplest factor model: no loss to tune but the number of factors, no seed, and a person's vector is a
    sum over their history. A strong baseline where tastes fall into few groups.

    Parameters
    ----------
    factors : int
        How many singular vectors; the one parameter. Between 10 and 60 on public data of films.
    weights : Weights, optional
        Event weights for ``fit`` on events; the model weighs histories with the same.

    Notes
    -----
    ``X = U S V'``, scores ``history V V'``. Numbers below 0 count as such, in the matrix and in a history.
    Deterministic: Lanczos iterations to machine precision from a fixed
    start, O(cells x factors); where many factors of few items are wanted, the Gram matrix is decomposed
    whole. Fewer factors are kept when the matrix has a smaller rank. Where the factors carry less than 15 % of the
    squares of the matrix, as on a shop of many goods and short histories, fit warns (DataWarning): there they were
    measured beside popularity, or below.

    References
    ----------
    Cremonesi, Koren and Turrin, "Performance of recommender algorithms on top-N recommendation tasks",
    RecSys 2010, section 3.3.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.data import Interactions
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": list("ababa")}))
    >>> PureSVD(factors=1).fit(x).recommend(x.rows([3]), k=1).to_frame()["item_id"].tolist()
    ['b']
    """

    factors: int = 32
    weights: Weights | None = None

    def __post_init__(self) -> None:
        check_weights(self.weights)
        check_integer(self.factors, "factors", low=1)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> ProjectionModel:
        """Return the projection."""
        x = training_matrix(self, data)
        wide, values = right_singular_vectors(x.csr, self.factors)
        carried = float((values**2).sum() / max(1e-300, (x.csr.data.astype(np.float64) ** 2).sum()))
        if carried < _LITTLE and 4 * self.factors < min(x.shape):
            warnings.warn(
                f"PureSVD.fit: {count_of(self.factors, 'factor')} carry {carried:.0%} of what people chose, and the "
                f"lists may be no better than popularity. Take PureSVD(factors={4 * self.factors}), or a model that "
                "scales with sparse data: om.EASE(neighbors=100), om.ItemKNN() or om.ALS().",
                DataWarning,
                stacklevel=3,
            )
        vectors = wide.astype(np.float32)
        return ProjectionModel.from_arrays(
            vectors, vectors, items=x.items, popularity=count_users(x), event_weights=x.weights
        )


@dataclass(frozen=True, slots=True, eq=False)
class ProjectionModel(Model):
    """Item-to-item weights of low rank: a person's vector is a sum over their history.

    Parameters
    ----------
    items : Vocabulary
        Ids of the items that it knows, in the order of their codes.
    popularity : ndarray of shape (n_items,), float32
        How many people chose each item: the ranking for people without a history.
    encode : ndarray of shape (n_items, d), float32
        What a history item adds to the person's vector, per unit of weight.
    decode : ndarray of shape (n_items, d), float32
        The score of an item is the inner product of its row with the person's vector.
    """

    items: Vocabulary
    popularity: np.ndarray
    encode: np.ndarray
    decode: np.ndarray
    _index: ItemIndex
    event_weights: Weights | None = None

    parts: ClassVar[Parts] = {
        "items": Ids(),
        "popularity": numbers("items", dtype=np.float32),
        "encode": numbers("items", "d", dtype=np.float32),
        "decode": numbers("items", "d", dtype=np.float32),
        "event_weights": Maybe(Value((Weights,))),
    }

    def __post_init__(self) -> None:
        declare(self)

    @classmethod
    def from_arrays(
        cls,
        encode: np.ndarray,
        decode: np.ndarray,
        *,
        items: Vocabulary,
        popularity: np.ndarray,
        event_weights: Weights | None = None,
    ) -> ProjectionModel:
        """Build the model from its two maps, kept as float32.

        Raises
        ------
        ParameterError
            When the shapes disagree, or a number is not finite.
        """
        encode, decode, popularity = (
            np.array(check_numbers(a, name), np.float32, order="C")
            for a, name in ((encode, "encode"), (decode, "decode"), (popularity, "popularity"))
        )
        items = items if isinstance(items, Vocabulary) else Vocabulary.from_ids(items)
        n = len(items)
        if encode.ndim != 2 or encode.shape != decode.shape or len(encode) != n or popularity.shape != (n,):
            raise ParameterError(
                f"ProjectionModel: encode {encode.shape} and decode {decode.shape} must have the shape (n_items, d), "
                f"popularity {popularity.shape} the shape (n_items,), and there are {n:,} items."
            )
        check_width(n, encode.shape[1])
        if not all(np.isfinite(array).all() for array in (encode, decode, popularity)):
            raise ParameterError("ProjectionModel: encode, decode and popularity must be finite. Scale them down.")
        return cls(items, popularity, encode, decode, ItemIndex(decode), event_weights)

    def __repr__(self) -> str:
        return f"ProjectionModel({count_of(len(self.items), 'item')}, {count_of(self.encode.shape[1], 'factor')})"

    def place(self, histories: Interactions) -> np.ndarray:
        """Return the vector of each person, float32 of shape (n_users, d)."""
        return self._place(self._align(histories).csr)

    def _place(self, histories: sp.csr_matrix) -> np.ndarray:
        return (histories.astype(np.float64) @ self.encode.astype(np.float64)).astype(np.float32)

    def _rank(
        self,
        histories: sp.csr_matrix,
        *,
        k: int,
        exclude: sp.csr_matrix | None,
        eligible: object,
        threads: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        vectors = self._place(histories)
        return topk(vectors, self._index, k=k, exclude=exclude, eligible=eligible, threads=threads)

    def _score(self, histories: sp.csr_matrix, codes: np.ndarray) -> np.ndarray:
        return ordered_product(self._place(histories), self.decode[codes]).astype(np.float32)

    def _contributions(self, history: sp.csr_matrix, targets: np.ndarray | None, shown_items: np.ndarray) -> np.ndarray:
        past, weight = history.indices, history.data.astype(np.float64) * (1.0 if targets is None else targets)
        sides = self.encode[past].astype(np.float64) @ self.decode[shown_items].astype(np.float64).T
        return np.asarray(weight[:, None] * sides)

    def _similar(
        self, codes: np.ndarray, *, k: int, eligible: Any, threads: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        wide = self.decode.astype(np.float64)
        length = np.sqrt((wide**2).sum(axis=1, keepdims=True))
        unit = (wide / np.where(length > 0, length, 1.0)).astype(np.float32)
        itself = sp.csr_matrix((np.ones(codes.size), (np.arange(codes.size), codes)), (codes.size, len(unit)))
        return topk(unit[codes], unit, k=k, exclude=itself, eligible=eligible, threads=threads)


def right_singular_vectors(x: sp.csr_matrix, factors: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the leading right singular vectors and values of a sparse matrix.

    Parameters
    ----------
    x : csr_matrix of shape (n, m)
    factors : int
        At most; directions whose singular value is rounding are left out (one is always kept).

    Returns
    -------
    vectors : ndarray of shape (m, d), float64
        Each with its largest entry positive, so that signs do not depend on the solver.
    values : ndarray of shape (d,), float64
        Falling.
    """
    wide, n_items = x.astype(np.float64), x.shape[1]
    # One order of summation, whatever else the process does. LAPACK's eigenvectors differ in their last digits between
    # one thread and two (3,000 items: 2e-14), and two spent six times the processor time of one, so it has one.
    with one_blas_thread():
        if n_items > _WIDE and factors >= min(x.shape) // 3:
            squares, people = _leading_eigenvectors((wide @ wide.T).toarray(), min(factors, x.shape[0]))
            values = np.sqrt(np.maximum(squares, 0.0))
            vectors = np.asarray(wide.T @ people) / np.where(values > 0, values, 1.0)
        elif n_items <= _DENSE or factors >= min(x.shape) // 3:
            squares, vectors = _leading_eigenvectors((wide.T @ wide).toarray(), min(factors, n_items))
            values = np.sqrt(np.maximum(squares, 0.0))
        else:
            from scipy.sparse.linalg import svds

            start = np.ones(min(x.shape))
            _, values, rows = svds(wide, k=factors, v0=start, return_singular_vectors="vh")
            order = np.argsort(-values, kind="stable")
            values, vectors = values[order], rows[order].T
    keep = values > _NOISE**0.5 * values[0]
    keep[0] = True
    vectors, values = vectors[:, keep], values[keep]
    sign = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return vectors * np.where(sign == 0, 1.0, sign), values


def _leading_eigenvectors(gram: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``n`` largest eigenvalues, falling, and their vectors as columns."""
    from scipy.linalg import eigh

    size = len(gram)
    values, vectors = eigh(gram, subset_by_index=(size - n, size - 1), overwrite_a=True)
    return values[::-1], vectors[:, ::-1]
