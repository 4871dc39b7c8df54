"""Matrix factorisation: every item a vector, every person the vector that explains their history."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_integer, check_kind, count_of, unmasked
from omnireco._core.compute import Progress, ticker, usable_threads
from omnireco._core.contract import Estimator, says_the_line
from omnireco._core.parts import Maybe, Parts, declare, numbers
from omnireco._core.random import stream
from omnireco._core.small import Settings, Value
from omnireco._kernels.als.fold_in import Space, fold_in
from omnireco._kernels.als.least_squares import diverged, full_loss, learn
from omnireco._kernels.als.loss import Loss
from omnireco._kernels.ordered_product import ordered_product
from omnireco._kernels.topk.exact import ItemIndex, topk
from omnireco.data.interactions import Interactions, targets_by_cell
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import Vocabulary
from omnireco.data.weights import Weights, check_weights
from omnireco.errors import ParameterError, SchemaError
from omnireco.models.base import Model, count_users, require_interactions, training_matrix
from omnireco.models.matrix.guests import check_guest
from omnireco.models.matrix.scaling import unobserved_weight_of

__all__ = ["ALS", "FactorModel", "check_width"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ALS(Estimator):
    """Factorise the matrix of implicit feedback by alternating least squares, with the full iALS loss.

    One of the strongest models there is when its loss is tuned, and the fastest to apply: a person is a vector,
    solved from their history, and an item's score is an inner product.

    Parameters
    ----------
    factors : int
        Length of the vectors.
    regularization : float
        Ridge penalty on the vectors, scaled by ``frequency_scaling``.
    alpha : float
        A cell of number r has weight ``alpha * |r|``.
    unobserved_weight : float, optional
        Weight of the unobserved cells (implicit negatives), which have target 0. The first hyper-parameter to tune,
        with ``regularization``. By default it follows the data: together the unobserved cells weigh 15 times what the
        observed ones do, and on dense data none weighs more than half of an observed one. ``settled(data)`` says the
        number.
    frequency_scaling : float
        The exponent nu: a row with n cells has the ridge ``regularization * (n + unobserved_weight * n_others)^nu``.
        1 keeps popular items and busy people as small as the rest; 0 is a plain ridge.
    confidence_weights : bool
        True: touched cells have confidence ``unobserved_weight + alpha |r|`` and are fitted to their target
        with that confidence, as in Hu, Koren and Volinsky and the library implicit. False: they are fitted to their
        target with ``alpha |r|`` and to 0 with ``unobserved_weight``, as in Rendle et al.
    dislike : float
        Target of cells with a negative number, in [-1, 1]; positive ones have the target 1.
    graded : bool
        True: the number of a cell is its target (0.25, 0.5, 1, -1; grades), and every cell weighs ``alpha``.
    iterations : int
        Sweeps over people and items.
    cg_steps : int
        Conjugate gradient steps per row and sweep. 2 come within about 0.01 % of the loss of exact solves; take 4
        when weights are a hundred times ``unobserved_weight`` and more.
    seed : int
        Of the starting vectors, normal with a deviation of ``0.1 / sqrt(factors)``.
    weights : Weights, optional
        Event weights for ``fit`` on events; the model weighs histories with the same.

    Notes
    -----
    Minimises, with s = x_u . y_i, ``sum_touched w_ui (t_ui - s_ui)^2 + unobserved_weight sum_all s_ui^2 + sum_u
    ridge_u |x_u|^2 + sum_i ridge_i |y_i|^2``. ``ALS(confidence_weights=True, unobserved_weight=1, frequency_scaling=0,
    regularization=0.01, iterations=15)`` is the loss and the defaults of the library implicit. Rows are solved
    by preconditioned conjugate gradients from where the last sweep left them. Deterministic for a seed on one
    machine, for any number of threads. Time O(cells x factors + rows x factors^2) per sweep, memory of the order of
    cells and factors. The defaults were chosen on held-out training cells of seven data sets, from 4 % of all cells
    observed down to 0.03 %. A fixed weight cannot serve both: 0.2, right for films, puts shops with 35,000 goods below
    popularity, as the sum over all goods drowns what a person chose.

    References
    ----------
    Rendle, Krichene, Zhang and Koren, "Revisiting the performance of iALS on item recommendation benchmarks",
    RecSys 2022, equations 1 to 6. Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets",
    ICDM 2008, equations 3 to 5. Conjugate gradients: Takacs, Pilaszy and Tikk, RecSys 2011.

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
    unobserved_weight: float | None = None
    frequency_scaling: float = 1.0
    confidence_weights: bool = False
    dislike: float = 0.0
    graded: bool = False
    iterations: int = 16
    cg_steps: int = 2
    seed: int = 0
    weights: Weights | None = None

    def __post_init__(self) -> None:
        check_weights(self.weights)
        check_integer(self.factors, "factors", low=1)
        check_integer(self.iterations, "iterations", low=1)
        check_integer(self.cg_steps, "cg_steps", low=1)
        check_integer(self.seed, "seed", low=0)
        self._loss()

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> FactorModel:
        """Return the factors of the items, ready to place anybody by their history.

        Parameters
        ----------
        data : Dataset, EventLog, EventScan or Interactions
            Events are weighed by ``weights``; a matrix is taken as it is. Targets are those of the matrix
            (``Weights(targets=...)``, or ``x.with_targets(targets)``); without them its numbers are the targets.
        threads : int, optional
            All usable cores by default; never changes the result.
        progress : bool or callable(done, total)
            A bar over sweeps.

        Raises
        ------
        EmptyError
            When the matrix has no cells.
        SchemaError
            When ``data`` is of another kind.
        ParameterError
            When the factors overflow, or the matrix has targets though ``graded`` means that its numbers are targets.
        """
        x = training_matrix(self, data, targets=True)
        loss, draw = self._loss(self._unobserved(x)), stream(self.seed, "als/init")
        users, items = (_normal(draw, n, self.factors) for n in x.shape)
        aligned = _align_targets(x, None, loss, "ALS.fit")
        with ticker(self.iterations, progress, label="als") as tick:
            _, items = learn(
                x.csr,
                aligned,
                loss,
                users,
                items,
                iterations=self.iterations,
                steps=self.cg_steps,
                threads=usable_threads(threads),
                tick=tick,
            )
        return FactorModel.build(items, items=x.items, popularity=count_users(x), loss=loss, event_weights=x.weights)

    def settled(self, data: Any) -> ALS:
        """Return the estimator with the ``unobserved_weight`` that fit would take for this data written out."""
        if self.unobserved_weight is not None:
            return self
        return self.replace(unobserved_weight=self._unobserved(training_matrix(self, data, targets=True)))

    def loss(self, x: Interactions, model: FactorModel, targets: Interactions | None = None) -> float:
        """Return the loss that fit lowers, at a model's items and the people placed exactly among them.

        Where ``unobserved_weight`` follows the data, it is the one that the model was fitted with.

        Raises
        ------
        UnknownIdError
            When ``x`` holds items that the model does not know.
        """
        check_kind(model, FactorModel, "ALS.loss: model", "ALS().fit(x)")
        known = model._align(require_interactions(x, "ALS.loss", targets=True))
        loss = self._loss(model.loss.unobserved_weight)
        aligned = _align_targets(known, targets, loss, "ALS.loss")
        same = FactorModel.build(model.factors, items=model.items, popularity=model.popularity, loss=loss)
        return full_loss(known.csr, aligned, loss, same._place(known.csr, None, aligned), model.factors)

    def _unobserved(self, x: Interactions) -> float:
        """Return the weight of the unobserved cells for a matrix."""
        if self.unobserved_weight is not None:
            return self.unobserved_weight
        weight, _, _ = self._loss().cells(x.csr.data, None if x.targets is None else x.targets.data)
        found = unobserved_weight_of(x.csr, weight)
        if found > 1e9:
            raise diverged("ALS.fit")
        return found

    def _loss(self, follows: float = 0.0) -> Loss:
        """Return the loss; ``follows`` is the weight of unobserved cells where that follows the data."""
        return Loss(
            regularization=self.regularization,
            alpha=self.alpha,
            unobserved_weight=follows if self.unobserved_weight is None else self.unobserved_weight,
            frequency_scaling=self.frequency_scaling,
            confidence_weights=self.confidence_weights,
            dislike=self.dislike,
            graded=self.graded,
        )


_IMPLICIT = ALS(confidence_weights=True, unobserved_weight=1.0, frequency_scaling=0.0, regularization=0.01)


_RIDGE = ALS(unobserved_weight=0.003, regularization=10.0, frequency_scaling=0.0)._loss()
_PLACED_BY = {  # what a history is placed by among the item vectors of implicit's models
    "AlternatingLeastSquares": replace(_IMPLICIT._loss(), offset=1.0),
    "BayesianPersonalizedRanking": _RIDGE,
    "LogisticMatrixFactorization": replace(_RIDGE, unobserved_weight=1.0),
}


def _normal(draw: np.random.Generator, n: int, factors: int) -> np.ndarray:
    return draw.standard_normal((n, factors), np.float32) * np.float32(0.1 / factors**0.5)


@dataclass(frozen=True, slots=True, eq=False)
class FactorModel(Model):
    """Item vectors and the loss that places a person among them.

    A person's vector is solved from their history (fold-in), for people the model was fitted on and for
    new ones alike; the score of an item is the inner product with its vector.

    Parameters
    ----------
    items : Vocabulary
        Ids of the items that it knows, in the order of their codes.
    popularity : ndarray of shape (n_items,), float32
        How many people chose each item: the ranking for people without a history.
    factors : ndarray of shape (n_items, d), float32
        The vector of each item.
    loss : Loss
        What histories are placed by; see :class:`ALS`.
    event_weights : Weights or None
        The event weights of histories; None where it was fitted on a matrix of unknown weights.
    """

    items: Vocabulary
    popularity: np.ndarray
    factors: np.ndarray
    loss: Loss
    _index: ItemIndex
    _space: Space
    event_weights: Weights | None = None

    takes_targets: ClassVar[bool] = True

    parts: ClassVar[Parts] = {
        "items": Ids(),
        "popularity": numbers("items", dtype=np.float32),
        "factors": numbers("items", "d", dtype=np.float32),
        "loss": Settings(Loss),
        "event_weights": Maybe(Value((Weights,))),
    }

    def __post_init__(self) -> None:
        declare(self)

    @classmethod
    @says_the_line(
        "om.models.FactorModel.from_arrays(factors, items=ids, estimator=om.ALS(alpha=40.0, unobserved_weight=1.0))"
    )
    def from_arrays(
        cls,
        factors: Any,
        *,
        items: Any = None,
        popularity: Any = None,
        estimator: ALS | None = None,
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
        estimator : ALS, optional
            The parameters that the factors were learned with: the loss that histories are placed by, and the weights
            of events that the model is asked with. The default is the loss of Hu, Koren and Volinsky and of most
            libraries (implicit adds no 1 to a cell's confidence: take its models by :meth:`from_implicit`):
            ``ALS(confidence_weights=True, unobserved_weight=1.0, frequency_scaling=0.0, regularization=0.01)``. Its
            ``unobserved_weight`` must be a number: there is no data here that it could follow.

        Raises
        ------
        ParameterError
            When the factors are not finite, the parts do not agree in length, items are named twice, or the
            estimator's ``unobserved_weight`` is None.

        Examples
        --------
        >>> model = FactorModel.from_arrays([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], items=["tea", "cup", "drum"])
        >>> model.similar_items(["tea"], k=1).to_frame()["item_id"].tolist()
        ['cup']
        """
        known = _IMPLICIT if estimator is None else estimator
        check_kind(known, ALS, "estimator", "estimator=om.ALS(unobserved_weight=1.0, alpha=40.0)")
        if known.unobserved_weight is None:
            raise ParameterError(
                "from_arrays: the estimator's unobserved_weight follows the data it is fitted on, and here is none. "
                "Say which one the factors were learned with: estimator.replace(unobserved_weight=1.0)."
            )
        loss = known._loss()
        return cls.build(factors, items=items, popularity=popularity, loss=loss, event_weights=known.weights)

    @classmethod
    def from_implicit(cls, model: Any, x: Interactions) -> FactorModel:
        """Serve a model that the library implicit has trained, with the filters, ids and speed of this one.

        Parameters
        ----------
        model : implicit's AlternatingLeastSquares, BayesianPersonalizedRanking or LogisticMatrixFactorization
            Fitted on ``x.to_scipy()``. One of a GPU is taken by ``model.to_cpu()``.
        x : Interactions
            What it was fitted on: it names the items and their popularity, and the weights that histories are read by.

        Returns
        -------
        FactorModel
            Of an ALS model: people are placed by its own loss, so lists equal those of
            ``model.recommend(..., recalculate_user=True)``, but for rounding. Of the two others, which cannot place a
            new history themselves: people are placed by a ridge regression in the space of their items (see `BPR`).

        Raises
        ------
        SchemaError
            When ``model`` is of another kind, or was fitted on another number of items or people.
        ParameterError
            When it is not fitted, or its factors are not finite.

        Warns
        -----
        DataWarning
            When it scores what people have in ``x`` no higher than what others have: then it was fitted on another
            matrix, such as one of items by people.

        Notes
        -----
        In implicit a cell has the confidence ``alpha * r``, with no 1 added. A cell below ``1 / alpha`` then counts as
        less sure than one that nobody touched; this is kept.

        Examples
        --------
        >>> import pandas as pd
        >>> from omnireco.data import Interactions
        >>> from implicit.cpu.bpr import BayesianPersonalizedRanking
        >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": list("ababa")}))
        >>> peer = BayesianPersonalizedRanking(factors=4, random_state=1)
        >>> peer.fit(x.to_scipy(), show_progress=False)
        >>> FactorModel.from_implicit(peer, x).recommend(x.rows([3]), k=1).to_frame()["item_id"].tolist()
        ['b']
        """
        x = require_interactions(x, "FactorModel.from_implicit")
        kind = type(model).__name__
        if kind not in _PLACED_BY or not hasattr(model, "item_factors"):
            raise SchemaError(
                f"from_implicit takes a fitted model of implicit: {', '.join(_PLACED_BY)}. Got {kind}. Other factors: "
                "FactorModel.from_arrays(factors, items=ids)."
            )
        if model.item_factors is None:
            raise ParameterError("from_implicit: the model is not fitted. model.fit(x.to_scipy()) first.")
        factors = np.asarray(getattr(model.item_factors, "to_numpy", lambda: model.item_factors)())
        if len(factors) != x.n_items:
            raise SchemaError(
                f"from_implicit: the model has {len(factors):,} items and x has {x.n_items:,}. Give the matrix that "
                "the model was fitted on: model.fit(x.to_scipy())."
            )
        check_guest(model, factors, x)
        loss = _PLACED_BY[kind]
        if kind == "AlternatingLeastSquares":
            loss = replace(loss, regularization=float(model.regularization), alpha=float(model.alpha))
        return cls.build(factors, items=x.items, popularity=count_users(x), loss=loss, event_weights=x.weights)

    @classmethod
    def build(
        cls, factors: Any, *, items: Any, popularity: Any, loss: Loss, event_weights: Weights | None = None
    ) -> FactorModel:
        """Return the model of factors (n_items, d) and a loss."""
        array = _numbers(factors, "factors")
        if array.ndim != 2 or not array.shape[1] or not np.isfinite(array).all():
            raise ParameterError(
                f"factors must be a (n_items, d) array of finite numbers. Got shape {array.shape}"
                f"{'' if np.isfinite(array).all() else ' with NaN or infinity: did the training diverge?'}"
            )
        if items is None:
            items = np.arange(array.shape[0])
        check_width(*array.shape)
        vocabulary = items if isinstance(items, Vocabulary) else _vocabulary(items)
        counts = np.zeros(len(array), np.float32) if popularity is None else _numbers(popularity, "popularity")
        if len(vocabulary) != len(array) or counts.shape != (len(array),):
            raise ParameterError(
                f"from_arrays: {len(array):,} rows of factors, {len(vocabulary):,} items and popularity of shape "
                f"{counts.shape} must agree."
            )
        if not np.isfinite(counts).all():
            raise ParameterError("popularity must be finite. Got NaN or infinity: numpy.nan_to_num(popularity).")
        return cls(
            vocabulary, counts, array, loss, ItemIndex(array), Space.of(array, loss.unobserved_weight), event_weights
        )

    def __repr__(self) -> str:
        return f"FactorModel({count_of(len(self.items), 'item')}, {count_of(self.factors.shape[1], 'factor')})"

    def place(
        self, histories: Interactions, targets: Interactions | None = None, *, threads: int | None = None
    ) -> np.ndarray:
        """Return the vector of each person, float32 of shape (n_users, d), solved exactly from their history.

        Parameters
        ----------
        histories : Interactions
            One row of the user-item matrix per person.
        targets : Interactions, optional
            Target of each cell, as :meth:`ALS.fit` takes them; ``histories.targets`` by default.
        threads : int, optional
            All usable cores by default; never changes the result, nor does the batch.

        Raises
        ------
        UnknownIdError
            When the histories hold items that the model does not know.
        SchemaError
            When ``targets`` has other people or items, or a target for a cell that has no weight.
        """
        known = self._align(histories)
        return self._place(known.csr, threads, _align_targets(known, targets, self.loss, "place"))

    def _place(self, histories: sp.csr_matrix, threads: int | None, targets: np.ndarray | None = None) -> np.ndarray:
        if targets is None and not histories.data.all():  # a cell of 0 says nothing
            histories = histories.copy()
            histories.eliminate_zeros()
        weight, pull, _ = self.loss.cells(histories.data, targets)
        vectors = fold_in(
            histories.indptr,
            histories.indices,
            weight,
            pull,
            space=self._space,
            ridge=self.loss.ridge(np.diff(histories.indptr), len(self.items)),
            threads=threads,
        )
        if not np.isfinite(vectors).all():
            raise diverged("recommend")
        return vectors

    def _rank(
        self,
        histories: sp.csr_matrix,
        *,
        k: int,
        exclude: sp.csr_matrix | None,
        eligible: Any,
        threads: int | None,
        targets: sp.csr_matrix | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        vectors = self._place(histories, threads, None if targets is None else targets.data)
        return topk(vectors, self._index, k=k, exclude=exclude, eligible=eligible, threads=threads)

    def _score(self, histories: sp.csr_matrix, codes: np.ndarray, targets: sp.csr_matrix | None = None) -> np.ndarray:
        vectors = self._place(histories, None, None if targets is None else targets.data)
        return ordered_product(vectors, self.factors[codes]).astype(np.float32)

    def _factorised(self) -> FactorModel:
        return self

    def _contributions(self, history: sp.csr_matrix, targets: np.ndarray | None, shown_items: np.ndarray) -> np.ndarray:
        weight, pull, _ = self.loss.cells(history.data, targets)
        ridge = self.loss.ridge(np.array([history.nnz]), len(self.items))[0]
        wide = self.factors.astype(np.float64)
        past = wide[history.indices]
        own = ridge * np.eye(wide.shape[1])
        normal = self.loss.unobserved_weight * (wide.T @ wide) + own + (past.T * weight) @ past
        return np.asarray(pull[:, None] * (past @ np.linalg.solve(normal, wide[shown_items].T)))

    def _similar(
        self, codes: np.ndarray, *, k: int, eligible: Any, threads: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        unit = _unit(self.factors)
        itself = sp.csr_matrix((np.ones(codes.size), (np.arange(codes.size), codes)), (codes.size, len(unit)))
        return topk(unit[codes], unit, k=k, exclude=itself, eligible=eligible, threads=threads)

    def _similar_rows(
        self,
        histories: sp.csr_matrix,
        rows: np.ndarray,
        *,
        k: int,
        exclude: sp.csr_matrix,
        eligible: np.ndarray,
        threads: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        unit = _unit(self._place(histories, threads))
        return topk(unit[rows], unit, k=k, exclude=exclude, eligible=eligible, threads=threads)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (n, d) of length 1, float32; those of length 0 stay."""
    wide = vectors.astype(np.float64)
    length = np.sqrt((wide**2).sum(axis=1, keepdims=True))
    return np.where(length > 0, wide / np.where(length > 0, length, 1.0), 0.0).astype(np.float32)


def check_width(n_items: int, d: int) -> None:
    """Refuse factors far wider than items: a person is placed by a matrix of factors squared."""
    most = max(4096, 4 * n_items)
    if d > most:
        raise ParameterError(
            f"{d:,} factors of {n_items:,} items: at most {most:,} are taken. Pass factors.T if they lie the other way."
        )


def _numbers(values: Any, name: str) -> np.ndarray:
    """Return a C-contiguous float32 copy of an array of numbers."""
    kind = type(values).__name__
    if callable(getattr(values, "detach", None)) and callable(getattr(values, "cpu", None)):
        values = values.detach().cpu()  # a tensor of torch: a parameter that learns, or one on a GPU
    try:
        given = np.asarray(unmasked(values, name))
        if given.dtype.kind not in "biuf" and given.size:
            raise TypeError
        if given.dtype == np.float32 and _is_settled(given):
            return given
        with np.errstate(over="ignore"):
            return np.array(given, np.float32, order="C")
    except ParameterError:
        raise
    except (TypeError, ValueError):
        raise ParameterError(f"{name} must be real numbers in rows of equal length. Got another {kind}.") from None


def _is_settled(array: np.ndarray) -> bool:
    """Return whether nobody can write to an array, as to one in a mapped file: it need not be copied."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable or not base.flags.c_contiguous:
            return False
        base = base.base
    return base is not None and memoryview(base).readonly


def _align_targets(x: Interactions, targets: Interactions | None, loss: Loss, verb: str) -> np.ndarray | None:
    """Return the target of each cell of ``x`` (nnz,), 0 where ``targets`` has no cell; None without targets."""
    if loss.graded and (targets is not None or x.targets is not None):
        raise ParameterError(
            f"{verb}: graded=True means that the numbers of x are targets, and targets are given too. Leave one out."
        )
    if targets is None:
        return None if x.targets is None else x.targets.data
    if x.targets is not None:
        raise ParameterError(f"{verb}: x has targets of its own, and others are given too. Leave one out.")
    if not isinstance(targets, Interactions) or targets.users != x.users:
        raise SchemaError(
            f"{verb}: targets must be Interactions over the same {x.n_users:,} people as x. Build both from one log, "
            "or select them: targets.rows(x.users.ids)."
        )
    numbers, stray = targets_by_cell(x, targets)
    if stray:
        raise SchemaError(
            f"{verb}: {stray:,} of {targets.nnz:,} targets have no cell in x, so no weight. Give each a weight in x, "
            "or leave it out."
        )
    return numbers


def _vocabulary(items: Any) -> Vocabulary:
    vocabulary, codes = Vocabulary.encode(items, "items")
    if len(vocabulary) < codes.size:
        raise ParameterError(f"from_arrays: {codes.size - len(vocabulary):,} of {codes.size:,} items are named twice.")
    return vocabulary.take(codes)
