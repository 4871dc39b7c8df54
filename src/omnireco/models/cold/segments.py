"""What people of a segment choose, shrunk towards everybody."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_known, check_names, check_number, count_of
from omnireco._core.compute import Progress, row_blocks
from omnireco._core.contract import Estimator
from omnireco._core.parts import Maybe, Parts, declare, numbers
from omnireco._core.small import Value
from omnireco._kernels.topk.exact import select
from omnireco.data.dataset import dataset_of
from omnireco.data.interactions import Interactions
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.data.weights import Weights, check_weights
from omnireco.errors import EmptyError, ParameterError
from omnireco.models.base import _Eligible, count_users, training_matrix
from omnireco.models.cold.attributes import AttributeRecommender, attributes_of

__all__ = ["SegmentModel", "SegmentPopularity"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SegmentPopularity(Estimator):
    """Rank items by how many people of a segment chose them, shrunk towards everybody where the segment is small.

    Parameters
    ----------
    prior_strength : float
        Strength of the share of everybody, in people (pseudo-counts): a segment of so many counts for one half.
    segments : iterable of str, optional
        Names of attributes whose values are segments, such as ``["age"]`` for the columns ``"age=35-44"`` of
        :func:`people_attributes`; all attributes of the data by default.
    weights : Weights, optional
        Event weights: a cell above 0 means that the user chose the item. Histories are weighed with the same.

    Notes
    -----
    ``score(g, i) = (n_gi + s n_i / n) / (n_g + s)`` with ``s = prior_strength``, the share of segment g that chose i,
    shrunk towards the share of all; somebody in several segments gets the mean of theirs. Deterministic, O(cells +
    segments x items).

    Examples
    --------
    >>> import pandas as pd
    >>> import omnireco as om
    >>> log = om.EventLog.from_frame(pd.DataFrame({"user_id": [1, 2, 3, 4], "item_id": ["tea", "tea", "drum", "tea"],
    ...     "channel": "web", "event": "view", "timestamp": pd.Timestamp("2025-05-01", tz="UTC")}))
    >>> people = om.Audience.from_frame(pd.DataFrame({"user_id": [1, 2, 3, 5], "timezone": "UTC",
    ...                                               "plan": ["a", "a", "b", "b"]}), attributes=["plan"])
    >>> data = om.Dataset(log, audience=people)
    >>> model = SegmentPopularity(prior_strength=0.5).fit(data)
    >>> model.recommend(data.requests([5]), k=1).to_frame()["item_id"].tolist()
    ['drum']
    """

    prior_strength: float = 20.0
    segments: Iterable[str] | None = None
    weights: Weights | None = None

    verbs: ClassVar[tuple[str, ...]] = ("recommend", "answers", "items")

    def __post_init__(self) -> None:
        check_number(self.prior_strength, "prior_strength", above=0)
        check_weights(self.weights)
        if self.segments is not None:
            object.__setattr__(self, "segments", check_names(self.segments, "segments"))

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> SegmentModel:
        """Return the model.

        Parameters
        ----------
        data : Dataset
            With events, and with attributes or an audience that has some.
        threads, progress : optional
            Taken as by every estimator; counting is one step.

        Raises
        ------
        EmptyError
            When nobody with events has a segment.
        """
        where = "SegmentPopularity.fit"
        known = dataset_of(data, where, ("events",))
        segments = self._columns(attributes_of(known, where))
        x = training_matrix(self, known)
        row = match(segments.users, x.users, ("segments", "events"))
        met = np.flatnonzero(row != NONE)
        member = sp.csr_matrix(segments.csr[row[met]] > 0, dtype=np.float64)
        if not member.nnz:
            raise EmptyError(f"{where}: nobody has both a history and a segment. Check that ids agree.")
        chose = sp.csr_matrix(x.csr[met] > 0, dtype=np.float64)
        counts = np.asarray((member.T @ chose).todense(), np.float64)
        size = np.asarray(member.sum(axis=0)).ravel()
        everybody = count_users(x)
        share = everybody.astype(np.float64) / max(1, int((np.diff(x.csr.indptr) > 0).sum()))
        scores = (counts + self.prior_strength * share[None, :]) / (size + self.prior_strength)[:, None]
        return SegmentModel(x.items, everybody, segments.items, scores.astype(np.float32), x.weights)

    def _columns(self, attributes: Interactions) -> Interactions:
        """Return the attributes that are segments."""
        if self.segments is None:
            return attributes
        labels = [str(label) for label in attributes.items.ids]
        names = dict.fromkeys(label.split("=", 1)[0] for label in labels)
        wanted = check_known(self.segments, names, "SegmentPopularity: segments", missing=None)
        kept = [code for code, label in enumerate(labels) if label.split("=", 1)[0] in wanted]
        return attributes.with_items(attributes.items.take(np.array(kept, np.int64)))


@dataclass(frozen=True, slots=True, eq=False)
class SegmentModel(AttributeRecommender):
    """What each segment chooses.

    Parameters
    ----------
    items : Vocabulary
        Ids of the items that it knows, in the order of their codes.
    popularity : ndarray of shape (n_items,), float32
        People who chose each item: the ranking for people without a segment.
    segments : Vocabulary
        Names of the segments, in the order of the rows of ``scores``.
    scores : ndarray of shape (n_segments, n_items), float32
        Shrunken share of the segment that chose the item.
    event_weights : Weights or None
        With what is seen what somebody has had; every event with an item by default.
    """

    items: Vocabulary
    popularity: np.ndarray
    segments: Vocabulary
    scores: np.ndarray
    event_weights: Weights | None = None

    parts: ClassVar[Parts] = {
        "items": Ids(),
        "popularity": numbers("items", dtype=np.float32),
        "segments": Ids(),
        "scores": numbers("segments", "items", dtype=np.float32),
        "event_weights": Maybe(Value((Weights,))),
    }

    def __post_init__(self) -> None:
        if self.scores.shape != (len(self.segments), len(self.items)):
            raise ParameterError(f"SegmentModel: scores of shape {self.scores.shape} do not fit segments and items.")
        declare(self)

    def __repr__(self) -> str:
        return f"SegmentModel({count_of(len(self.segments), 'segment')}, {count_of(len(self.items), 'item')})"

    def _known(self) -> Vocabulary:
        return self.segments

    def _rank(
        self,
        attributes: Interactions,
        *,
        k: int,
        exclude: sp.csr_matrix | None,
        allowed: _Eligible,
        threads: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        known = sp.csr_matrix(attributes.with_items(self.segments).csr > 0, dtype=np.float64)
        n = known.shape[0]
        codes, scores = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
        for rows in row_blocks(n, 12 * len(self.items)):
            some = known[rows]
            belongs = np.diff(some.indptr)[:, None]
            mean = np.asarray(some @ self.scores.astype(np.float64)) / np.maximum(belongs, 1)
            value = np.where(belongs > 0, mean, self.popularity[None, :]).astype(np.float32)
            seen = None if exclude is None else exclude[rows]
            codes[rows], scores[rows] = select(value, k=k, exclude=seen, eligible=allowed.rows(rows))
        return codes, scores
