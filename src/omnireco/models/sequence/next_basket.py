"""The next basket: what a person buys again, what people like them buy, and what goes with it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
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
from omnireco.models.sequence.basket_search import held_out, search

__all__ = ["NextBasket", "NextBasketModel"]

_HARDLY = 0.01  # share of repeats below which personal frequency is the wrong model
_ENOUGH = 100  # repeats that could have been, from which the share says something
_DEFAULT = Weights(step_half_life=20.0, half_life="90D")  # these three where there is too little to search on
_NEIGHBORS, _WEIGHT = 100, 0.3
_SQUARE = 10_000  # items up to which all are regressed on all: beyond, this one term would cost more than all others


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NextBasket(Estimator):
    """Rank what a person buys next: mostly what they bought before, then what people like them buy.

    For groceries and other goods that people buy again and again. Personal frequency with a decay does most of the
    work, neighbours and co-purchases rank what is new to the person. Ask it with ``exclude_seen=False``; with seen
    items left out only the last two rank.

    What is not given is found at fit: some people's last baskets are held out, and ranked by a small grid of decays,
    numbers of neighbours and weights. ``settled(data)`` says what it would be.

    Parameters
    ----------
    neighbors : int, optional
        Most similar people by cosine of the decayed histories; 30, 100 or 300 by the search.
    neighbors_weight : float, optional
        What the mean of the neighbours counts against personal frequency, which counts 1; found by the search.
    linear_weight : float, optional
        What co-purchases count: the history times the item-to-item weights of ``linear``; found by the search.
    linear : Estimator, optional
        Of item-to-item weights, ``EASE`` or ``ItemKNN``; fitted on who bought what at all. By default ``EASE()``, above
        10,000 items ``EASE(neighbors=100)``.
    weights : Weights, optional
        Event weights; by default ``Weights(step_half_life=..., half_life=...)``, both found by the search: a basket is
        a step of the person. The model weighs histories with the same.

    Notes
    -----
    With c the decayed history of a person, m the mean sum of such histories, and p = c scaled to a sum of 1: ``score =
    c / m + neighbors_weight * sum of s_v p_v / sum of s_v + linear_weight * p B`` over the nearest people v by cosine
    s_v. So who has bought little is ranked by others, and who has bought much by what they bought. Somebody with
    exactly the same items has nothing to add and is no neighbour. TIFU-KNN decays by basket within groups of baskets
    and by group, and takes the plain mean of the nearest people by Euclidean distance; here the second decay is by
    calendar time, which needs no number of groups and means the same for people who shop often and seldom. A return (a
    number below 0) counts against the item itself.

    The search holds out the last basket of at most 800 people, among at most 20,000, and takes the setting with the
    highest NDCG@10 of lists that may repeat: of half-lives in steps (5 to 40, none) and days (30 to 365, none), one
    after the other, with all numbers of neighbours and weights from 0.03 to 10. A matrix has no baskets, and fewer than
    50 people with two of them are too few to choose by: then 100 neighbours, weights of 0.3 and
    ``Weights(step_half_life=20, half_life="90D")``. Deterministic. Fit costs that of ``linear`` twice, and keeps
    everybody's rows, without their ids; a ranking compares each history with all people.

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

    ranks_repeats: ClassVar[bool] = True

    neighbors: int | None = None
    neighbors_weight: float | None = None
    linear_weight: float | None = None
    linear: Estimator | None = None
    weights: Weights | None = None

    def __post_init__(self) -> None:
        check_weights(self.weights)
        if self.neighbors is not None:
            check_integer(self.neighbors, "neighbors", low=1)
        for name in ("neighbors_weight", "linear_weight"):
            if getattr(self, name) is not None:
                check_number(getattr(self, name), name, low=0)
        if self.linear is not None and not isinstance(self.linear, Estimator):
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
        chosen = self._settled(data, threads)
        x = training_matrix(chosen, data, otherwise=_DEFAULT)
        if isinstance(data, Dataset | EventLog) and x.weights is not None:
            _check_repeats(events_of(data, "NextBasket.fit"), x.weights)
        return chosen._of_matrix(x, chosen._weights_of(x, threads, progress))

    def settled(self, data: Any) -> NextBasket:
        """Return the estimator with what fit would find for this data written out."""
        return self._settled(data, None)

    def _settled(self, data: Any, threads: int | None) -> NextBasket:
        asked = {name: getattr(self, name) for name in ("neighbors", "neighbors_weight", "linear_weight")}
        events = isinstance(data, Dataset | EventLog)
        weights = _DEFAULT if events and self.weights is None else self.weights
        given = {"neighbors": _NEIGHBORS, "neighbors_weight": _WEIGHT, "linear_weight": _WEIGHT}
        given |= {name: value for name, value in asked.items() if value is not None}
        few = self.replace(weights=weights, **given)
        if not events or few == self:
            return few
        held = held_out(events_of(data, "NextBasket.fit"), weights or _DEFAULT)
        if held is None:
            return few
        together = few._weights_of(held.past.matrix(Weights(binary=True)), threads, False)

        def terms(one: Weights, people: np.ndarray, counts: Sequence[int]) -> tuple[Any, Sequence[Any], Any]:
            x = held.past.matrix(one)
            return few.replace(neighbors=max(counts))._of_matrix(x, together)._terms(x.csr[people], counts)

        found = search(held, terms, weights=self.weights, **asked)
        return self.replace(
            weights=found.weights,
            neighbors=found.neighbors,
            neighbors_weight=found.neighbors_weight,
            linear_weight=found.linear_weight,
        )

    def _weights_of(self, x: Interactions, threads: int | None, progress: Progress) -> Any:
        """Return the item-to-item weights of co-purchases."""
        linear = self.linear
        if linear is None:
            linear = EASE() if x.n_items <= _SQUARE else EASE(neighbors=_NEIGHBORS)
        bought = sp.csr_matrix((np.sign(x.csr.data), x.csr.indices, x.csr.indptr), x.csr.shape, dtype=np.float32)
        together = linear.fit(
            Interactions(x.users, x.items, bought, {"all": bought}), threads=threads, progress=progress
        )
        item_weights = together._item_weights()
        if item_weights is None:
            raise ParameterError(
                f"NextBasket.fit: {shown(linear)} learns no item-to-item weights. Write "
                "NextBasket(linear=EASE(neighbors=100))."
            )
        return item_weights

    def _of_matrix(self, x: Interactions, item_weights: Any) -> NextBasketModel:
        """Return the model of settled parameters."""
        size = np.asarray(abs(x.csr).sum(axis=1), np.float64).ravel()
        mean = float(size[size > 0].mean()) if (size > 0).any() else 1.0
        factors = float(self.neighbors_weight or 0.0), float(self.linear_weight or 0.0)
        rows = sp.csr_matrix(_shares(x.csr), dtype=np.float32)
        neighbors = self.neighbors or _NEIGHBORS
        return NextBasketModel(x.items, count_users(x), rows, item_weights, neighbors, *factors, mean, x.weights)


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
    size : float
        The mean sum of a history, by which histories are divided.
    """

    items: Vocabulary
    popularity: np.ndarray
    people: sp.csr_matrix
    weights: Any
    neighbors: int
    neighbors_weight: float
    linear_weight: float
    size: float
    event_weights: Weights | None = None

    parts: ClassVar[Parts] = {
        "items": Ids(),
        "popularity": numbers("items", dtype=np.float32),
        "people": Matrix("people", "items"),
        "weights": Square("items"),
        "neighbors": Whole(1),
        "neighbors_weight": Number(low=0.0),
        "linear_weight": Number(low=0.0),
        "size": Number(low=0.0),
        "event_weights": Maybe(Value((Weights,))),
    }

    def __post_init__(self) -> None:
        check_integer(self.neighbors, "neighbors", low=1)
        check_number(self.neighbors_weight, "neighbors_weight", low=0)
        check_number(self.linear_weight, "linear_weight", low=0)
        check_number(self.size, "size", above=0)
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
        n = histories.shape[0]
        codes, scores = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
        near = self._near(histories)
        for rows in row_blocks(n, 40 * len(self.items)):
            seen = None if exclude is None else exclude[rows]
            some = (eligible[0], eligible[1][rows]) if isinstance(eligible, tuple) else eligible
            found = self._of_near(histories[rows], near[rows])
            codes[rows], scores[rows] = select(found, k=k, exclude=seen, eligible=some)
        return codes, scores

    def _score(self, histories: sp.csr_matrix, codes: np.ndarray) -> np.ndarray:
        scores, near = np.empty((histories.shape[0], codes.size), np.float32), self._near(histories)
        for rows in row_blocks(histories.shape[0], 40 * len(self.items)):
            scores[rows] = self._of_near(histories[rows], near[rows])[:, codes]
        return scores

    def _similar(
        self, codes: np.ndarray, *, k: int, eligible: Any, threads: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        return ItemModel(self.items, self.popularity, self.weights)._similar(
            codes, k=k, eligible=eligible, threads=threads
        )

    def _of_near(self, histories: sp.csr_matrix, near: sp.csr_matrix) -> np.ndarray:
        """Return the score of every item, float32 (n, n_items); each row depends on its own history only."""
        total = (histories.astype(np.float64) / self.size).toarray()
        if self.linear_weight:
            total += self.linear_weight * self._together(histories)
        if self.neighbors_weight:
            total += self.neighbors_weight * self._mean(near).toarray()
        return to_float32(total)

    def _terms(self, histories: sp.csr_matrix, counts: Sequence[int]) -> tuple[Any, Sequence[Any], Any]:
        """Return the three terms of the score, the second one for each number of neighbours, none of them weighed."""
        near = self._near(histories)
        means = [self._mean(near if n >= self.neighbors else _nearest(near, n)) for n in counts]
        return histories.astype(np.float64) / self.size, means, self._together(histories)

    def _together(self, histories: sp.csr_matrix) -> np.ndarray:
        """Return the shares of histories times the weights of items, float32 (n, n_items)."""
        product = _shares(histories).astype(np.float32) @ self.weights
        return np.asarray(product.toarray() if sp.issparse(product) else product)

    def _near(self, histories: sp.csr_matrix) -> sp.csr_matrix:
        """Return the similarities of each history's neighbours, (n, n_people)."""
        crowd = NeighborModel(self.items, self.popularity, self.people, self.neighbors, "cosine", 0.0)
        blocks = row_blocks(histories.shape[0], 24 * self.people.shape[0], most=4096)
        return sp.vstack([crowd._near(histories[rows]) for rows in blocks], format="csr")

    def _mean(self, near: sp.csr_matrix) -> sp.csr_matrix:
        """Return the mean row of each person's neighbours, weighed by similarity, float64 (n, n_items)."""
        heard = np.asarray(near.sum(axis=1)).ravel()
        scale = np.repeat(1.0 / np.where(heard > 0, heard, 1.0), np.diff(near.indptr))
        return sp.csr_matrix((near.data * scale, near.indices, near.indptr), near.shape) @ self.people.astype(
            np.float64
        )


def _nearest(near: sp.csr_matrix, n: int) -> sp.csr_matrix:
    """Return the n largest of each row, of equals the lower code."""
    row = np.repeat(np.arange(near.shape[0]), np.diff(near.indptr))
    order = np.lexsort([near.indices, -near.data, row])
    place = np.arange(order.size) - np.repeat(near.indptr[:-1], np.diff(near.indptr))
    keep = np.sort(order[place < n])
    return sp.csr_matrix((near.data[keep], (row[keep], near.indices[keep])), near.shape)


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
