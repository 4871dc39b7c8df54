"""People like you: scores from the histories of the most similar people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_choice, check_integer, check_number, count_of
from omnireco._core.compute import Progress, in_threads, pays, read_only, row_blocks
from omnireco._core.contract import Estimator
from omnireco._core.parts import Maybe, Parts, declare, numbers
from omnireco._core.small import Number, Text, Value, Whole
from omnireco._kernels.topk.exact import select
from omnireco.data.parts import Ids, Matrix
from omnireco.data.vocabulary import Vocabulary
from omnireco.data.weights import Weights, check_weights
from omnireco.errors import ParameterError
from omnireco.models.base import Model, count_users, training_matrix

__all__ = ["NeighborModel", "UserKNN"]

_PAIRS = 1e7  # of people compared from which compiled code pays; a dense product of fewer is quick
_ROWS = 256  # that a thread takes at least
_STEPS_AN_HOUR = 2e11  # of one core
_MOST_STEPS = 4e11
Similarity = Literal["cosine", "jaccard"]
Chosen = Literal["by them", "by person"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class UserKNN(Estimator):
    """Recommend what the most similar people chose.

    Suited to short-lived items, since nothing is learned per item. It answers with the
    histories of the people it was fitted on, so it keeps them: the fitted model, and its file, hold everybody's
    rows (without their ids).

    Parameters
    ----------
    neighbors : int
        Neighbours per user.
    similarity : {"cosine", "jaccard"}
        Of two histories: cosine of the weights, or items in common by items in all.
    shrinkage : float
        Added to the denominator: pulls similarities that rest on few items towards zero.
    chosen : {"by them", "by person"}
        Which neighbours count: the users who have the user among their own ``neighbors`` most similar people, which
        limits hubs; or the ``neighbors`` people
        most similar to the person.
    weights : Weights, optional
        Event weights for ``fit`` on events; the model weighs histories with the same.

    Notes
    -----
    ``score(u, i) = sum of sim(u, v) x(v, i)`` over the neighbours v. Somebody whose history holds exactly the
    same items has nothing to add and is never a neighbour: so a person is not their own neighbour, whether they were
    there at fit time or not. Dislikes (numbers below 0): of neighbours they count against the item; a person who
    disliked what another liked is unlike them by cosine, and only similar users are neighbours. Jaccard reads which
    items have a number, not its sign. Equal similarities at the last place all count "by them", and go to the lower
    code "by person". Deterministic. A ranking visits, for each item of the history, the people who have it; fit does
    so for everybody "by them" (the sum over items of people squared), and is refused where that would take hours; it
    costs nothing "by person". The published code that this follows
    (Ferrari Dacrema et al., TOIS 2021) chooses "by them", for it keeps the largest cells of each column.

    References
    ----------
    Herlocker et al., "An algorithmic framework for performing collaborative filtering", SIGIR 1999.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.data import Interactions
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": list("ababa")}))
    >>> UserKNN(neighbors=2).fit(x).recommend(x.rows([3]), k=1).to_frame()["item_id"].tolist()
    ['b']
    """

    neighbors: int = 100
    similarity: Similarity = "cosine"
    shrinkage: float = 0.0
    chosen: Chosen = "by them"
    weights: Weights | None = None

    def __post_init__(self) -> None:
        check_weights(self.weights)
        check_integer(self.neighbors, "neighbors", low=1)
        check_choice(self.similarity, "similarity", ("cosine", "jaccard"))
        check_number(self.shrinkage, "shrinkage", low=0)
        check_choice(self.chosen, "chosen", ("by them", "by person"))

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> NeighborModel:
        """Return the model, which keeps the rows of ``x``.

        Raises
        ------
        ParameterError
            When comparing everybody with everybody who shares an item would take hours: the message has the estimate.
        """
        x = training_matrix(self, data)
        rules = self.neighbors, self.similarity, float(self.shrinkage)
        return NeighborModel(x.items, count_users(x), x.csr, *rules, self._reach(x.csr), x.weights)

    def _reach(self, x: sp.csr_matrix) -> np.ndarray | None:
        """Return for each person the similarity of their last neighbour, float32 (n,); 0 where all are near."""
        if self.chosen == "by person":
            return None
        n = x.shape[0]
        reach = np.zeros(n, np.float32)
        if self.neighbors >= n:
            return reach
        _check_steps(x)
        if pays(float(n) * n, _PAIRS):
            from omnireco._kernels.nearest import reach_rows

            parts = _parts(x, x, self.similarity, self.shrinkage)
            in_threads(lambda a, b: reach_rows(a, b, *parts, self.neighbors, reach), n, least=_ROWS)
            return reach
        wide = x.astype(np.float64)
        for rows in row_blocks(n, 24 * n):
            close = _similarities(wide[rows], wide, self.similarity, self.shrinkage, leave_out_equals=True)
            reach[rows] = np.maximum(np.partition(close, n - self.neighbors, axis=1)[:, n - self.neighbors], 0)
        return reach


@dataclass(frozen=True, slots=True, eq=False)
class NeighborModel(Model):
    """The histories of many people, searched for those most similar to a new one.

    Parameters
    ----------
    items : Vocabulary
        Ids of the items that it knows, in the order of their codes.
    popularity : ndarray of shape (n_items,), float32
        How many people chose each item: the ranking for people without a history.
    people : csr_matrix of shape (n_people, n_items), float32
        Histories, without ids.
    neighbors, similarity, shrinkage
        See :class:`UserKNN`.
    reach : ndarray of shape (n_people,), float32, or None
        Minimum similarity of a neighbour, per user; None for the most similar ``neighbors``.
    """

    items: Vocabulary
    popularity: np.ndarray
    people: sp.csr_matrix
    neighbors: int
    similarity: Similarity
    shrinkage: float
    reach: np.ndarray | None = None
    event_weights: Weights | None = None

    parts: ClassVar[Parts] = {
        "items": Ids(),
        "popularity": numbers("items", dtype=np.float32),
        "people": Matrix("people", "items"),
        "neighbors": Whole(1),
        "similarity": Text(("cosine", "jaccard")),
        "shrinkage": Number(low=0.0),
        "reach": Maybe(numbers("people", dtype=np.float32)),
        "event_weights": Maybe(Value((Weights,))),
    }

    def __post_init__(self) -> None:
        check_integer(self.neighbors, "neighbors", low=1)
        check_choice(self.similarity, "similarity", ("cosine", "jaccard"))
        check_number(self.shrinkage, "shrinkage", low=0)
        declare(self)

    def __repr__(self) -> str:
        return (
            f"NeighborModel({count_of(len(self.items), 'item')}, {count_of(self.people.shape[0], 'person', 'people')})"
        )

    def _rank(
        self,
        histories: sp.csr_matrix,
        *,
        k: int,
        exclude: sp.csr_matrix | None,
        eligible: Any,
        threads: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        return select(self._all(histories), k=k, exclude=exclude, eligible=eligible)

    def _score(self, histories: sp.csr_matrix, codes: np.ndarray) -> np.ndarray:
        return self._all(histories)[:, codes]

    def _similar(
        self, codes: np.ndarray, *, k: int, eligible: Any, threads: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        columns = self.people.astype(np.float64).T.tocsr()  # one row per item: the people who chose it
        scores = _similarities(columns[codes], columns, self.similarity, self.shrinkage)
        itself = sp.csr_matrix((np.ones(codes.size), (np.arange(codes.size), codes)), scores.shape)
        return select(scores, k=k, exclude=itself, eligible=eligible)

    def _all(self, histories: sp.csr_matrix) -> np.ndarray:
        """Return the score of every item, float32 (n, n_items); each row depends on its own history only."""
        n, n_people = histories.shape[0], self.people.shape[0]
        people = self.people.astype(np.float64)
        answer = np.empty((n, len(self.items)), np.float32)
        for rows in row_blocks(n, 24 * n_people + 8 * len(self.items)):
            answer[rows] = (self._near(histories[rows]) @ people).toarray()
        return answer

    def _near(self, histories: sp.csr_matrix) -> sp.csr_matrix:
        """Return the similarities (n, n_people) of those who count; compiled for many, and the same to the bit."""
        many = pays(float(histories.shape[0]) * self.people.shape[0], _PAIRS)
        return self._near_of_many(histories) if many else self._near_of_few(histories)

    def _near_of_many(self, histories: sp.csr_matrix) -> sp.csr_matrix:
        """Return what :meth:`_near_of_few` does, compiled: it visits only people who share an item."""
        from omnireco._kernels.nearest import near_rows

        n, reach = histories.shape[0], np.empty(0, np.float32) if self.reach is None else self.reach
        parts = _parts(histories, self.people, self.similarity, self.shrinkage)
        found: dict[int, Any] = {}

        def work(start: int, stop: int) -> None:
            found[start] = near_rows(start, stop, *parts, self.neighbors, reach)

        in_threads(work, n, least=_ROWS)
        counts, codes, values = (np.concatenate(part) for part in zip(*(found[a] for a in sorted(found)), strict=True))
        indptr = np.concatenate([[0], np.cumsum(counts)])
        return sp.csr_matrix((values.astype(np.float64), codes, indptr), (n, self.people.shape[0]))

    def _near_of_few(self, histories: sp.csr_matrix) -> sp.csr_matrix:
        """Return the similarities (n, n_people) of those who count, with sorted indices, float64."""
        wide, people = histories.astype(np.float64), self.people.astype(np.float64)
        close = _similarities(wide, people, self.similarity, self.shrinkage, leave_out_equals=True)
        if self.reach is not None:
            row, person = np.nonzero((close >= self.reach[None, :]) & (close > 0))
            value = close[row, person]
        else:
            code, found = select(close, k=min(self.neighbors, close.shape[1]))
            row, place = np.nonzero((code >= 0) & (found > 0))
            person, value = code[row, place], found[row, place]
        near = sp.csr_matrix((value.astype(np.float64), (row, person)), close.shape)
        near.sort_indices()
        return near


def _check_steps(x: sp.csr_matrix) -> None:
    """Refuse a comparison of everybody with everybody who shares an item when it would take hours."""
    steps = float((np.bincount(x.indices, minlength=x.shape[1]).astype(np.float64) ** 2).sum())
    if steps > _MOST_STEPS:
        raise ParameterError(
            f"UserKNN.fit compares {x.shape[0]:,} people with everybody who shares an item: {steps:.1e} comparisons, "
            f"some {steps / _STEPS_AN_HOUR:,.0f} hours on one core. Use UserKNN(chosen='by person'), whose fit "
            "compares nobody, or ItemKNN or EASE; or fit on fewer people: x.take(rows)."
        )


def _parts(some: sp.csr_matrix, others: sp.csr_matrix, similarity: Similarity, shrinkage: float) -> tuple[Any, ...]:
    """Return the input of the compiled search: query rows, rows to find by column, and the rules."""
    columns = others.tocsc()
    columns.sort_indices()
    lengths, other_lengths = (_lengths(matrix.astype(np.float64)) for matrix in (some, others))
    sizes = np.diff(others.indptr).astype(np.float64)
    ask = (*_arrays(some), lengths)
    find = (*_arrays(columns), other_lengths, sizes)
    return ask, find, (similarity == "jaccard", float(shrinkage), True)


def _arrays(matrix: sp.spmatrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (indptr, indices, data), read-only and of one type, so that numba compiles once."""
    return (
        read_only(matrix.indptr, np.int64),
        read_only(matrix.indices, np.int32),
        read_only(matrix.data, np.float32),
    )


def _similarities(
    some: sp.csr_matrix,
    others: sp.csr_matrix,
    similarity: Similarity,
    shrinkage: float,
    *,
    leave_out_equals: bool = False,
) -> np.ndarray:
    """Return similarities of rows, float32 (n, m); 0 where nothing is shared, -inf for left-out equals."""
    common = _shared(_ones(some), _ones(others))
    sizes, other_sizes = np.diff(some.indptr), np.diff(others.indptr)
    if similarity == "jaccard":
        product, scale = common, sizes[:, None] + other_sizes[None, :] - common
    else:
        product = _shared(some, others)
        scale = _lengths(some)[:, None] * _lengths(others)[None, :]
    scale = scale + shrinkage
    answer = np.divide(product, scale, out=np.zeros(scale.shape), where=scale > 0).astype(np.float32)
    if leave_out_equals:
        answer[(common == sizes[:, None]) & (common == other_sizes[None, :])] = -np.inf
    return answer


def _shared(some: sp.csr_matrix, others: sp.csr_matrix) -> np.ndarray:
    return np.asarray((some @ others.T).toarray(), np.float64)


def _ones(matrix: sp.csr_matrix) -> sp.csr_matrix:
    return sp.csr_matrix((np.ones(matrix.nnz), matrix.indices, matrix.indptr), matrix.shape)


def _lengths(matrix: sp.csr_matrix) -> np.ndarray:
    return np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1))).ravel()
