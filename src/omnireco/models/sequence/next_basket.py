"""The next basket: what a person buys again, what people like them buy, and what goes with it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_integer, check_number, count_of, shown
from omnireco._core.compute import Progress, row_blocks
from omnireco._core.contract import Estimator
from omnireco._core.parts import Maybe, Parts, declare, numbers
from omnireco._core.small import Number, Value, Whole
from omnireco._kernels.log.order import distinct
from omnireco._kernels.topk.exact import select
from omnireco.data.dataset import Dataset
from omnireco.data.events import EventLog
from omnireco.data.interactions import Interactions
from omnireco.data.parts import Ids, Matrix, Square
from omnireco.data.recommendations import to_float32
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.data.weights import Weights, check_weights, event_weights, person_steps
from omnireco.errors import DataWarning, ParameterError
from omnireco.models.base import Model, count_users, events_of, training_matrix
from omnireco.models.matrix.linear import EASE, ItemModel
from omnireco.models.matrix.neighbors import NeighborModel

__all__ = ["NextBasket", "NextBasketModel"]

_HARDLY = 0.01  # share of repeats below which personal frequency is the wrong model
_ENOUGH = 100  # repeats that could have been, from which the share says something


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NextBasket(Estimator):
    """Rank what a person buys next: mostly what they bought before, then what people like them buy.

    For groceries and other goods that people buy again and again. Personal frequency with a decay does most of the
    work, neighbours and co-purchases rank what is new to the person. Ask it with ``exclude_seen=False``; with seen
    items left out only the last two rank.

    Parameters
    ----------
    neighbors : int
        Most similar people by cosine of the decayed histories.
    neighbors_weight : float
        What the mean of the neighbours counts against personal frequency, which counts 1.
    linear_weight : float
        What co-purchases count: the history times the item-to-item weights of ``linear``.
    linear : Estimator
        Of item-to-item weights, ``EASE`` or ``ItemKNN``; fitted on who bought what at all. ``EASE(neighbors=100)`` for
        catalogues whose square does not fit.
    weights : Weights, optional
        Event weights; by default ``Weights(step_half_life=20, half_life="90D")``: a basket is a step of the person, and
        both decays count. The model weighs histories with the same.

    Notes
    -----
    With p the decayed history of a person scaled to a sum of 1: ``score = p + neighbors_weight * sum of s_v p_v / sum
    of s_v + linear_weight * p B`` over the nearest people v by cosine s_v. Somebody with exactly the same items has
    nothing to add and is no neighbour. TIFU-KNN decays by basket within groups of baskets and by group, and takes the
    plain mean of the nearest people by Euclidean distance; here the second decay is by calendar time, which needs no
    number of groups and means the same for people who shop often and seldom. A return (a number below 0) counts
    against the item itself. Deterministic. Fit costs that of ``linear`` and keeps everybody's rows, without their
    ids; a ranking compares each history with all people.

    Warns
    -----
    DataWarning
        When people hardly ever buy an item again (below 1 % of what they buy): then repeats are the wrong list.

    References
    ----------
    Hu, He, Gao and Zhang, "Modeling personalized item frequency information for next-basket recommendation"
    (TIFU-KNN), SIGIR 2020. Repeat and explore apart: Li et al., "A next basket recommendation reality check", TOIS
    2023.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.data import EventLog
    >>> days = pd.date_range("2025-05-01", periods=3, freq="7D", tz="UTC")
    >>> log = EventLog.from_frame(pd.DataFrame({
    ...     "user_id": [1, 1, 1, 2, 2, 3], "item_id": ["milk", "tea", "milk", "milk", "jam", "jam"],
    ...     "channel": "store", "event": "purchase", "timestamp": [*days, *days[:2], days[0]]}))
    >>> model = NextBasket().fit(log)
    >>> model.recommend(model.inputs(log).rows([1]), k=3, exclude_seen=False).to_frame()["item_id"].tolist()
    ['milk', 'tea', 'jam']
    """

    neighbors: int = 100
    neighbors_weight: float = 0.3
    linear_weight: float = 0.3
    linear: Estimator = field(default_factory=EASE)
    weights: Weights | None = None

    def __post_init__(self) -> None:
        check_weights(self.weights)
        check_integer(self.neighbors, "neighbors", low=1)
        check_number(self.neighbors_weight, "neighbors_weight", low=0)
        check_number(self.linear_weight, "linear_weight", low=0)
        if not isinstance(self.linear, Estimator):
            raise ParameterError(
                f"linear must be an estimator of item-to-item weights. Got {shown(self.linear)}: write "
                "NextBasket(linear=EASE(neighbors=100))."
            )

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> NextBasketModel:
        """Return the model; it keeps people's rows, without ids.

        Raises
        ------
        ParameterError
            When ``linear`` learns no item-to-item weights, or they do not fit in memory.
        """
        x = training_matrix(self, data, otherwise=Weights(step_half_life=20.0, half_life="90D"))
        if isinstance(data, Dataset | EventLog) and x.weights is not None:
            _check_repeats(events_of(data, "NextBasket.fit"), x.weights)
        bought = sp.csr_matrix((np.sign(x.csr.data), x.csr.indices, x.csr.indptr), x.csr.shape, dtype=np.float32)
        together = self.linear.fit(
            Interactions(x.users, x.items, bought, {"all": bought}), threads=threads, progress=progress
        )
        item_weights = together._item_weights()
        if item_weights is None:
            raise ParameterError(
                f"NextBasket.fit: {shown(self.linear)} learns no item-to-item weights. Write "
                "NextBasket(linear=EASE(neighbors=100))."
            )
        factors = float(self.neighbors_weight), float(self.linear_weight)
        rows = sp.csr_matrix(_shares(x.csr), dtype=np.float32)
        return NextBasketModel(x.items, count_users(x), rows, item_weights, self.neighbors, *factors, x.weights)


@dataclass(frozen=True, slots=True, eq=False)
class NextBasketModel(Model):
    """People's rows and item-to-item weights: personal frequency, neighbours and co-purchases in one score.

    Parameters
    ----------
    items : Vocabulary
        Ids of the items that it knows, in the order of their codes.
    popularity : ndarray of shape (n_items,), float32
        How many people chose each item: the ranking for people without a history.
    people : csr_matrix of shape (n_people, n_items), float32
        Decayed histories, each scaled to a sum of 1, without ids.
    weights : ndarray or csr_matrix of shape (n_items, n_items), float32
        ``weights[j, i]`` is what item j in a history adds to item i.
    neighbors, neighbors_weight, linear_weight
        See :class:`NextBasket`.
    """

    items: Vocabulary
    popularity: np.ndarray
    people: sp.csr_matrix
    weights: Any
    neighbors: int
    neighbors_weight: float
    linear_weight: float
    event_weights: Weights | None = None

    parts: ClassVar[Parts] = {
        "items": Ids(),
        "popularity": numbers("items", dtype=np.float32),
        "people": Matrix("people", "items"),
        "weights": Square("items"),
        "neighbors": Whole(1),
        "neighbors_weight": Number(low=0.0),
        "linear_weight": Number(low=0.0),
        "event_weights": Maybe(Value((Weights,))),
    }

    def __post_init__(self) -> None:
        check_integer(self.neighbors, "neighbors", low=1)
        check_number(self.neighbors_weight, "neighbors_weight", low=0)
        check_number(self.linear_weight, "linear_weight", low=0)
        declare(self)

    def __repr__(self) -> str:
        people = count_of(self.people.shape[0], "person", "people")
        return f"NextBasketModel({count_of(len(self.items), 'item')}, {people})"

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
        return ItemModel(self.items, self.popularity, self.weights)._similar(
            codes, k=k, eligible=eligible, threads=threads
        )

    def _all(self, histories: sp.csr_matrix) -> np.ndarray:
        """Return the score of every item, float32 (n, n_items); each row depends on its own history only."""
        own = _shares(histories)
        total = own.toarray()
        if self.linear_weight:
            for rows in row_blocks(own.shape[0], 24 * len(self.items)):
                product = own[rows].astype(np.float32) @ self.weights
                total[rows] += self.linear_weight * (product.toarray() if sp.issparse(product) else product)
        if self.neighbors_weight:
            total += self.neighbors_weight * self._of_neighbours(histories)
        return to_float32(total)

    def _of_neighbours(self, histories: sp.csr_matrix) -> np.ndarray:
        """Return the mean row of each person's neighbours, weighed by similarity, float64 (n, n_items)."""
        crowd = NeighborModel(self.items, self.popularity, self.people, self.neighbors, "cosine", 0.0)
        mean = np.zeros(histories.shape)
        people = self.people.astype(np.float64)
        for rows in row_blocks(histories.shape[0], 24 * self.people.shape[0] + 8 * len(self.items)):
            near = crowd._near(histories[rows])
            heard = np.asarray(near.sum(axis=1)).ravel()
            mean[rows] = (near @ people).toarray() / np.where(heard > 0, heard, 1.0)[:, None]
        return mean


def _shares(histories: sp.csr_matrix) -> sp.csr_matrix:
    """Return rows scaled to a sum of absolute numbers of 1, float64."""
    wide = histories.astype(np.float64)
    size = np.asarray(abs(wide).sum(axis=1)).ravel()
    scale = np.repeat(1.0 / np.where(size > 0, size, 1.0), np.diff(wide.indptr))
    return sp.csr_matrix((wide.data * scale, wide.indices, wide.indptr), wide.shape)


def _check_repeats(log: EventLog, weights: Weights) -> None:
    """Warn where people hardly ever come back for the same item."""
    amount = event_weights(log, weights, log.end_us)
    rows = np.flatnonzero((log.item != NONE) & (amount > 0))
    if not rows.size:
        return
    step, _ = person_steps(log.user[rows], log.at[rows])
    bought = log.user[rows].astype(np.int64) * log.n_items + log.item[rows]
    pairs = distinct(bought)
    chances = int((step > 0).sum())
    again = distinct(bought * (int(step.max()) + 1) + step).size - pairs.size
    if chances >= _ENOUGH and again < _HARDLY * chances:
        warnings.warn(
            f"NextBasket.fit: {again:,} of {chances:,} events are repeats of an item that the person had before. It "
            "ranks repeats first: use EASE or NextItem, or ask with exclude_seen=True.",
            DataWarning,
            stacklevel=3,
        )
