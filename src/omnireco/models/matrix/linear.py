"""Item-to-item models: the score of an item is a weighted sum over the person's history."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_choice, check_duration, check_integer, check_number, count_of
from omnireco._core.compute import (
    Progress,
    available_memory,
    require_memory,
    row_blocks,
    split_evenly,
    usable_threads,
)
from omnireco._core.contract import Estimator
from omnireco._core.parts import Maybe, Parts, declare, numbers
from omnireco._core.small import Value
from omnireco._kernels.similarity import nearest, weigh
from omnireco._kernels.topk.exact import rank_histories, select
from omnireco.data.parts import Ids, Square
from omnireco.data.vocabulary import Vocabulary
from omnireco.data.weights import Weights, check_weights
from omnireco.errors import DataWarning, ParameterError
from omnireco.models.base import Model, count_users, training_matrix
from omnireco.models.matrix.scaling import ridge_of
from omnireco.models.matrix.squares import (
    BLOCK_ROWS,
    CELL_BYTES,
    gram_matrix,
    in_float32,
    invert_ridge,
    is_single,
    ridge_scratch,
)

__all__ = ["EASE", "ItemKNN", "ItemModel"]

_COSINES, _SCHEMES = ("cosine", "asymmetric"), ("bm25", "tfidf")
_WITHOUT_ROOM = 100  # neighbors, where the square of all items has no room


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class EASE(Estimator):
    """Learn item-to-item weights by one ridge regression in closed form.

    The strongest simple model on most public tables: no epochs, no sampling, no seed. Its cost is a matrix
    of items squared.

    Parameters
    ----------
    regularization : float, optional
        Ridge penalty on the weights, in units of squared cells: larger for longer histories and heavier cells. By
        default it follows the data: 5 times the mean squared length of a history, or of one of 8 cells where histories
        are shorter, which is within 2 % of the best on the public data here; ``settled(data)`` says the number. Choose
        it on a validation slice.
    neighbors : int, optional
        For catalogues whose square does not fit: each item is regressed on so many others alone, those that
        explain most of it one by one, and the weights are sparse. Where the square does fit, all items (None) are
        better on dense data: on films 100 neighbors cost 2 % of NDCG (see the page on quality). By default all where
        they fit in memory, else 100, with a DataWarning that says so.
    dropout : float
        Share of a history, from 0 to below 1, that is dropped at random when weights are learned, in closed form:
        the ridge of an item grows by ``dropout / (1 - dropout)`` times its square. Popular items then weigh less as
        evidence.
    diagonal : float
        The largest weight, from 0 to 1, of an item for itself. 0 is EASE; above 0 the weights of items that
        nothing else explains become smaller (RLAE; with dropout RDLAE).
    kept_weight : float
        With dropout: what errors in items that were kept weigh, against 1 for those that were dropped, from 0 to 1
        (EDLAE's emphasis with b > 0, DEQL). 0 and dropout is EDLAE.
    user_power : float
        When weights are learned, a person weighs the squared length of their history to minus this power, from 0 to
        1. 0 is EASE, where a person with 500 items counts for 250,000 pairs of items and one with ten for 100. 0.25
        to 0.75 gained 1 to 3 % of NDCG on films, groceries and articles, and lost as much where nearly all histories
        are short.
    input_half_life : float, str or timedelta, optional
        Half-life of the histories at prediction time: a number counts the person's steps, ``"30D"`` is a time. The
        model keeps it: ``model.recommend(data.requests(), k=10)``, or ``model.inputs(log)``. The last events predict
        the next one best, while what goes together is learned from all that was done, whenever it was.
    memory : float, optional
        Memory limit in bytes; what the machine has free by default.
    weights : Weights, optional
        Event weights for ``fit`` on events; the model weighs histories with the same.

    Notes
    -----
    ``G = X'X``, ``P = inv(G + regularization I)``, weights ``B = -P / diag(P)`` by column with a zero
    diagonal, scores ``X B``. Solved by Cholesky in place and kept in float32. The solution is computed in float32
    too where the condition number is surely below 500, which moves weights by about a millionth (from 16,384 items
    below 5,000, by 2e-5: no list was seen to change); otherwise in float64. Deterministic. Time
    O(items^3), and the inverse runs on every thread; memory 4 bytes x items^2 in float32, 8 in float64, and 8 KB (16
    in float64) an item, stated before it is used. 40,981 items took 374 CPU seconds and 6.6 GiB
    (AVX-512, two threads).

    A number below 0 is a target below 0: dislikes in the training set lower an item, and one in a history lowers
    similar items. Decaying inputs are for prediction, not for the fit: on sequences of purchases, weights learned
    from decayed rows were measured a quarter worse than weights learned from plain ones (see the page on quality). As
    in every EASE, an item explains what came before it as well as what came after; :class:`NextItem` and
    :class:`TypedEASE` look ahead only.

    With ``neighbors``, column j of B is the ridge regression of item j on a set S of items, ``(G_SS + regularization
    I)^-1 G_Sj``, exact for that set; with all items in S it is column j of EASE. S holds, of the items that somebody
    had together with j, those with the largest ``(G_ij - s_i s_j / n)^2 / (G_ii - s_i^2 / n + regularization)``, where
    s are the sums of columns and n counts the people who have anything: what i by itself explains of j beyond the
    means. Universal items are then no predictors of j, and negatively correlated ones are; ties go to the lower
    code. Items that nobody had together get no weight, where EASE gives most pairs a small negative one. Time
    O(items x neighbors^3), and for each item the people of its neighbours x what they share; memory 20 bytes x items x
    neighbors. Drawn at Gowalla's size (40,981 items) 100 neighbors took 8 CPU seconds, at Amazon-Book's (91,599 items,
    2.4 million cells) 21 CPU seconds and 0.6 GiB.

    With dropout p, ``Lambda = regularization I + p / (1 - p) diag(G)``, ``P = inv(G + Lambda)`` and ``B = -P /
    diag(P)`` off the diagonal. With a diagonal of at most xi, column j is ``e_j - P_j max(Lambda_jj, (1 - xi) /
    P_jj)``. With a kept weight b, q = 1 - p and ``c = b / (p + q b)``, the loss that dropout is expected to cost is
    smallest, up to the factor q for all scores, at ``B_jj = q d_j`` and ``B_ij = -P_ij / P_jj (1 - q c d_j)``, where
    ``d_j = c (G_jj - m_j) / q / (c G_jj / q + regularization - c^2 m_j)`` and ``m_j = G_jj / q + regularization - 1 /
    P_jj``.

    With ``user_power`` b, X'X becomes ``X' D X``, where D holds the squared length of each history to the power of
    -b, times what keeps the trace, so that the ridge means the same. (The power of item popularity that the paper has
    beside it gained nothing on the data here.)

    References
    ----------
    Power: Park, Yoon, Kim and Lee, "Why is normalization necessary for linear recommenders?", SIGIR 2025.
    Dropout: Steck, "Autoencoders that don't overfit towards the identity", NeurIPS 2020. Diagonal: Moon, Kim and Lee,
    "It's enough: relaxing diagonal constraints in linear autoencoders for recommendation", SIGIR 2023. The kept weight
    is the emphasis b of Steck's paper, which solves b = 0; closed forms for b above 0: Guo et al., "Generalizing
    linear autoencoder recommenders with decoupled expected quadratic loss", ICLR 2026.

    Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019, equations 6 to 8; a sparse approximation
    of the same inverse by small dense ones: Steck, "Markov random fields for collaborative filtering", NeurIPS 2019,
    section 3.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.data import Interactions
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": list("ababa")}))
    >>> EASE(regularization=1.0).fit(x).recommend(x.rows([3]), k=1).to_frame()["item_id"].tolist()
    ['b']
    """

    regularization: float | None = None
    neighbors: int | None = None
    dropout: float = 0.0
    diagonal: float = 0.0
    kept_weight: float = 0.0
    user_power: float = 0.0
    input_half_life: Any = None
    memory: float | None = None
    weights: Weights | None = None

    def __post_init__(self) -> None:
        check_weights(self.weights)
        if self.regularization is not None:
            check_number(self.regularization, "regularization", above=0)
        fading(self.input_half_life)
        check_number(self.dropout, "dropout", low=0, high=0.99)
        check_number(self.diagonal, "diagonal", low=0, high=1)
        check_number(self.kept_weight, "kept_weight", low=0, high=1)
        check_number(self.user_power, "user_power", low=0, high=1)
        if self.diagonal and self.kept_weight:
            raise ParameterError(
                "EASE: diagonal and kept_weight both say what an item weighs for itself. Leave one out."
            )
        if self.neighbors is not None:
            check_integer(self.neighbors, "neighbors", low=1)
            if self.diagonal or self.kept_weight:
                raise ParameterError(
                    "EASE(neighbors=...) holds every item's weight for itself at 0. Leave diagonal and kept_weight "
                    "out; dropout is possible."
                )
        if self.memory is not None:
            check_number(self.memory, "memory", above=0)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> ItemModel:
        """Return the item-to-item model.

        Parameters
        ----------
        data : Dataset, EventLog, EventScan or Interactions
            Events are weighed by ``weights``, by default each pair of person and item once
            (``Weights(binary=True)``); a matrix is taken as it is.
        threads : int, optional
            All usable cores by default; never changes the result.
        progress : bool or callable(done, total)
            A bar over blocks of 512 items.

        Raises
        ------
        ParameterError
            When items squared, or items x neighbors, do not fit in memory; the message has how much is needed. Without
            ``neighbors`` items squared are given up first, with a DataWarning.
        """
        x = training_matrix(self, data, otherwise=Weights(binary=True))
        ridge = ridge_of(x.csr) if self.regularization is None else self.regularization
        extra = self.dropout / (1 - self.dropout)
        cells = by_length(x.csr, self.user_power)
        if self.neighbors is not None:
            kept = min(self.neighbors, x.n_items)
            peak = 20 * x.n_items * kept + CELL_BYTES * x.csr.nnz
            require_memory("EASE.fit", peak, "items x neighbors", "Take fewer neighbors", limit=self.memory)
            weights = restricted_ridge(cells, ridge, kept, extra=extra, threads=threads)
            return ItemModel(x.items, count_users(x), weights, self._asked_with(x.weights))
        single = is_single(cells, ridge)
        size, free = 4 if single else 8, available_memory() if self.memory is None else self.memory
        peak = size * x.n_items**2 + ridge_scratch(x.n_items, x.csr.nnz, single=single)
        few = min(_WITHOUT_ROOM, x.n_items)
        room = free >= 20 * x.n_items * few + CELL_BYTES * x.csr.nnz
        if peak > free and room and x.n_items > _WITHOUT_ROOM and not (self.diagonal or self.kept_weight):
            warnings.warn(
                f"EASE.fit: {x.n_items:,} items squared need {peak / 2**30:,.1f} GiB, and {free / 2**30:,.1f} GiB are "
                f"free, so each item is regressed on {few} others alone. Write EASE(neighbors={few}) to ask for that, "
                f"or give the memory: at most {int((free / size) ** 0.5):,} items fit.",
                DataWarning,
                stacklevel=3,
            )
            return self.replace(neighbors=few, regularization=ridge).fit(x, threads=threads, progress=progress)
        require_memory(
            "EASE.fit",
            peak,
            f"{x.n_items:,} items squared",
            f"So at most {int((free / size) ** 0.5):,} items fit. Use EASE(neighbors=200), which needs items x "
            "neighbors only, or ItemKNN or ALS, or group products into categories",
            limit=free,
        )
        gram = gram_matrix(cells, np.float32 if single else np.float64, threads=threads)
        itself = (extra, self.diagonal, self.kept_weight)
        weights = _ridge_weights(gram, ridge, itself, threads=threads, progress=progress)
        return ItemModel(x.items, count_users(x), weights, self._asked_with(x.weights))

    def settled(self, data: Any) -> EASE:
        """Return the estimator with the ``regularization`` that fit would take for this data written out."""
        if self.regularization is not None:
            return self
        return self.replace(regularization=ridge_of(training_matrix(self, data, otherwise=Weights(binary=True)).csr))

    def _asked_with(self, weights: Weights | None) -> Weights | None:
        """Return the weights of histories at prediction: those of the fit, decayed by ``input_half_life``."""
        if self.input_half_life is None or weights is None:
            return weights
        steps, time_us = fading(self.input_half_life)
        half_life = None if time_us is None else self.input_half_life
        return replace(weights, binary=False, step_half_life=steps, half_life=half_life)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ItemKNN(Estimator):
    """Recommend the nearest neighbours of what a person already chose.

    Parameters
    ----------
    neighbors : int
        Items kept per item, those with the largest similarity.
    similarity : {"cosine", "asymmetric", "jaccard", "dice", "tversky", "bm25", "tfidf"}
        Similarity of two items; see Notes. Cosines read the numbers of the matrix, the other three only who
        chose what (cells above 0). "bm25" and "tfidf" are short for a cosine with that weighting, whose idf is
        ``log(1 + n_items / chosen)``.
    weighting : {"bm25", "tfidf"}, optional
        Weigh cells before a cosine as search engines weigh words: people count less the more they chose,
        by ``log(n_items / (1 + chosen))``, and with BM25 repeats, and busy items, count less.
    shrinkage : float
        Added to the denominator: pulls similarities that rest on few people towards zero.
    alpha : float
        Of the asymmetric cosine, the power of the length of the item that is scored: 0.5 is the cosine, larger values
        penalize popular items. Of Tversky, the weight of people who chose only the item that is scored.
    beta : float
        Of Tversky, the weight of people who chose only the neighbour. 0.5 and 0.5 is Dice, 1 and 1 Jaccard.
    k1, b : float
        BM25's saturation and length normalisation.
    weights : Weights, optional
        Event weights for ``fit`` on events; the model weighs histories with the same.

    Notes
    -----
    With x_i the column of the item that is scored, x_j that of a neighbour, n_i people who chose i, and n_ij both:

    - cosine: ``x_i . x_j / (|x_i| |x_j| + shrinkage)``
    - asymmetric: ``x_i . x_j / (|x_i|^(2 alpha) |x_j|^(2 - 2 alpha) + shrinkage)``
    - jaccard: ``n_ij / (n_i + n_j - n_ij + shrinkage)``
    - dice: ``n_ij / ((n_i + n_j) / 2 + shrinkage)``
    - tversky: ``n_ij / (n_ij + alpha (n_i - n_ij) + beta (n_j - n_ij) + shrinkage)``

    The score of item i is the sum over the history of weight x sim, over the ``neighbors`` of i. Ties in similarity
    go to the lower code. A dislike (a number below 0) makes a cosine smaller, and is no choice for the others; in a
    history it lowers similar items. Deterministic; time is that of the sparse product X'X, memory
    O(items x neighbors).

    References
    ----------
    Sarwar et al., "Item-based collaborative filtering", WWW 2001; shrinkage: Bell and Koren, ICDM 2007; asymmetric
    cosine: Aiolli, "Efficient top-N recommendation for very large scale binary rated datasets", RecSys 2013,
    section 3; Tversky, "Features of similarity", Psychological Review 1977; BM25: Robertson and Zaragoza, "The
    probabilistic relevance framework", 2009, equation 3.15.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.data import Interactions
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": list("ababa")}))
    >>> ItemKNN(neighbors=1).fit(x).similar_items(["a"], k=1).to_frame()["item_id"].tolist()
    ['b']
    """

    neighbors: int = 100
    similarity: Literal["cosine", "asymmetric", "jaccard", "dice", "tversky", "bm25", "tfidf"] = "cosine"
    weighting: Literal["bm25", "tfidf"] | None = None
    shrinkage: float = 0.0
    alpha: float = 0.5
    beta: float = 0.5
    k1: float = 1.2
    b: float = 0.75
    weights: Weights | None = None

    def __post_init__(self) -> None:
        check_weights(self.weights)
        check_integer(self.neighbors, "neighbors", low=1)
        check_choice(self.similarity, "similarity", (*_COSINES, "jaccard", "dice", "tversky", *_SCHEMES))
        if self.weighting is not None:
            check_choice(self.weighting, "weighting", _SCHEMES)
            if self.similarity not in _COSINES:
                raise ParameterError(
                    f"ItemKNN(similarity={self.similarity!r}, weighting={self.weighting!r}): weighting changes "
                    "numbers, and only the similarities 'cosine' and 'asymmetric' read them. Leave one out."
                )
        check_number(self.alpha, "alpha", low=0)
        check_number(self.beta, "beta", low=0)
        check_number(self.shrinkage, "shrinkage", low=0)
        check_number(self.k1, "k1", above=0, high=1e6)
        check_number(self.b, "b", low=0, high=1)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> ItemModel:
        """Return the item-to-item model, with sparse weights."""
        x = training_matrix(self, data)
        scheme = self.similarity if self.similarity in _SCHEMES else self.weighting
        kind = "cosine" if self.similarity in _SCHEMES else self.similarity
        smooth = self.weighting is None
        cells = x.csr if scheme is None else weigh(x.csr, scheme, smooth=smooth, k1=self.k1, b=self.b)
        near = nearest(
            cells,
            kind,
            neighbors=self.neighbors,
            shrinkage=self.shrinkage,
            alpha=self.alpha,
            beta=self.beta,
            threads=threads,
        )
        return ItemModel(x.items, count_users(x), near, x.weights)


@dataclass(frozen=True, slots=True, eq=False)
class ItemModel(Model):
    """Item-to-item weights: scores are ``history @ weights``.

    Parameters
    ----------
    items : Vocabulary
        Ids of the items that it knows, in the order of their codes.
    popularity : ndarray of shape (n_items,), float32
        How many people chose each item: the ranking for people without a history.
    weights : ndarray or csr_matrix of shape (n_items, n_items), float32
        ``weights[j, i]`` is what item j in a history adds to the score of item i.
    event_weights : Weights or None
        The event weights of histories; None where it was fitted on a matrix of unknown weights.
    """

    items: Vocabulary
    popularity: np.ndarray
    weights: Any
    event_weights: Weights | None = None

    parts: ClassVar[Parts] = {
        "items": Ids(),
        "popularity": numbers("items", dtype=np.float32),
        "weights": Square("items"),
        "event_weights": Maybe(Value((Weights,))),
    }

    def __post_init__(self) -> None:
        declare(self)

    def __repr__(self) -> str:
        kind = f"{self.weights.nnz:,} sparse" if sp.issparse(self.weights) else "dense"
        return f"ItemModel({count_of(len(self.items), 'item')}, {kind} weights)"

    def _rank(
        self,
        histories: sp.csr_matrix,
        *,
        k: int,
        exclude: sp.csr_matrix | None,
        eligible: Any,
        threads: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        return rank_histories(histories, self.weights, k, exclude, eligible, None, threads)

    def _score(self, histories: sp.csr_matrix, codes: np.ndarray) -> np.ndarray:
        chosen = self.weights[:, codes]
        product = histories.astype(np.float64) @ chosen.astype(np.float64)  # the sum that topk_sparse promises
        return (product.toarray() if sp.issparse(product) else product).astype(np.float32)

    def _score_all(self, histories: sp.csr_matrix, targets: sp.csr_matrix | None = None) -> np.ndarray:
        product = histories @ self.weights  # _score would copy the weights to pick columns
        return product.toarray() if sp.issparse(product) else np.asarray(product)

    def _item_weights(self) -> Any:
        return self.weights

    def _contributions(self, history: sp.csr_matrix, targets: np.ndarray | None, shown_items: np.ndarray) -> np.ndarray:
        weight = history.data.astype(np.float64) * (1.0 if targets is None else targets)
        block: Any = self.weights[history.indices][:, shown_items]
        return weight[:, None] * (block.toarray() if sp.issparse(block) else np.asarray(block)).astype(np.float64)

    def _similar(
        self, codes: np.ndarray, *, k: int, eligible: Any, threads: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        columns = self.weights[:, codes]  # column i holds what speaks for item i: its own neighbours
        scores = _dense_or_none(columns).T if sp.issparse(columns) else np.array(columns.T)
        itself = sp.csr_matrix((np.ones(codes.size), (np.arange(codes.size), codes)), scores.shape)
        return select(scores, k=k, exclude=itself, eligible=eligible)


def _dense_or_none(matrix: sp.csr_matrix) -> np.ndarray:
    """Return a dense array with -inf where nothing is stored: what was not kept is no neighbour."""
    cells = matrix.tocoo()
    dense = np.full(matrix.shape, -np.inf, np.float32)
    dense[cells.row, cells.col] = cells.data
    return dense


def fading(half_life: Any) -> tuple[float | None, int | None]:
    """Return the half-life of inputs in steps, or in microseconds."""
    if half_life is None:
        return None, None
    if isinstance(half_life, (int, float, np.integer, np.floating)):
        return check_number(half_life, "input_half_life", above=0), None
    return None, check_duration(half_life, "input_half_life")


def by_length(x: sp.csr_matrix, power: float) -> sp.csr_matrix:
    """Return rows scaled so that in X'X people weigh by (their squared length)^-power, float32.

    The trace of X'X stays what it was, so a ridge means the same.
    """
    if not power or not x.nnz:
        return x
    counts = np.diff(x.indptr)
    square = np.bincount(np.repeat(np.arange(x.shape[0]), counts), x.data.astype(np.float64) ** 2, minlength=x.shape[0])
    weight = np.where(square > 0, np.where(square > 0, square, 1.0) ** -power, 0.0)
    weight *= square.sum() / max(1e-300, float((weight * square).sum()))
    scaled = (x.data * np.repeat(np.sqrt(weight), counts)).astype(np.float32)
    return sp.csr_matrix((scaled, x.indices, x.indptr), x.shape)


def restricted_ridge(
    x: sp.csr_matrix, regularization: float, neighbors: int, *, extra: float = 0.0, threads: int | None = None
) -> sp.csr_matrix:
    """Return sparse weights, float32 (n_items, n_items): each column a ridge on at most ``neighbors`` items.

    ``extra`` times the square of an item is added to its ridge.
    """
    from omnireco._kernels.sparse_ridge import solve_items

    columns = x.tocsc()
    columns.sort_indices()
    n_items = x.shape[1]
    parts = (columns.indptr, columns.indices, columns.data, x.indptr, x.indices, x.data)
    wide = [part.astype(np.float64 if part.dtype.kind == "f" else np.int64) for part in parts]
    wide_data = x.data.astype(np.float64)
    total_of, squares = (np.bincount(x.indices, weights=wide_data**power, minlength=n_items) for power in (1, 2))
    n_people = max(1, int(np.count_nonzero(np.diff(x.indptr))))
    about = (total_of, np.maximum(0.0, squares - total_of**2 / n_people), float(n_people))
    ridge = regularization + extra * squares
    index, value = np.zeros((n_items, neighbors), np.int32), np.zeros((n_items, neighbors), np.float32)
    count = np.zeros(n_items, np.int64)

    def work(rows: slice) -> None:
        solve_items(*wide, *about, ridge, rows.start, rows.stop, neighbors, index, value, count)

    workers = usable_threads(threads)
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, split_evenly(n_items, 16 * workers)))
    filled = np.arange(neighbors)[None, :] < count[:, None]
    indptr = np.concatenate([[0], np.cumsum(count)])
    by_target = sp.csr_matrix((value[filled], index[filled], indptr), (n_items, n_items))
    weights = sp.csr_matrix(by_target.T.tocsr(), dtype=np.float32)
    weights.eliminate_zeros()
    weights.sort_indices()
    return weights


def _ridge_weights(
    gram: np.ndarray,
    regularization: float,
    itself: tuple[float, float, float],
    *,
    threads: int | None,
    progress: Progress,
) -> np.ndarray:
    """Return EASE's weights, float32 (n_items, n_items), from the upper triangle of X'X; ``gram`` is used up.

    ``itself`` are what of an item's square is added to its ridge, the largest weight of an item for itself, and the
    weight of what dropout kept.
    """
    extra, most, kept = itself
    square = np.diag(gram).astype(np.float64)
    ridge = regularization + extra * square
    inverse = invert_ridge(gram, ridge if extra else regularization, "EASE.fit", threads=threads, progress=progress)
    diagonal = np.diag(inverse).copy()
    own = np.zeros(len(diagonal))
    if most:
        held = np.maximum(ridge, (1.0 - most) / diagonal.astype(np.float64))
        own, diagonal = 1.0 - held * diagonal, (1.0 / held).astype(diagonal.dtype)
    elif kept:
        own, shrunk = _kept_weights(square, diagonal.astype(np.float64), regularization, extra, kept)
        diagonal = (diagonal / shrunk).astype(diagonal.dtype)
    for rows in row_blocks(len(inverse), 1, most=BLOCK_ROWS):  # each block of the upper triangle to both of its places
        block = np.triu(inverse[rows, rows], 1)
        right = inverse[rows, rows.stop :].copy()
        inverse[rows, rows] = (block + block.T) / -diagonal[rows]
        inverse[rows, rows.stop :] = right / -diagonal[rows.stop :]
        inverse[rows.stop :, rows] = right.T / -diagonal[rows]
    inverse[np.diag_indices_from(inverse)] = own
    return in_float32(inverse)


def _kept_weights(
    square: np.ndarray, diagonal: np.ndarray, regularization: float, extra: float, kept: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weight of each item for itself, and the factor of the others' weights for it, both (n_items,).

    ``square`` is the diagonal of X'X, ``diagonal`` that of the inverse, ``extra`` is p / (1 - p), and ``kept`` the
    weight of errors in what was kept, against 1 for what was dropped.
    """
    q = 1.0 / (1.0 + extra)
    c = kept / (1.0 - q + q * kept)
    explained = square / q + regularization - 1.0 / diagonal
    own = c * (square - explained) / q / (c * square / q + regularization - c**2 * explained)
    return q * own, np.maximum(1.0 - q * c * own, 1e-12)
