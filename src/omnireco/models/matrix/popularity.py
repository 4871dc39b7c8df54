"""The baselines every other model has to beat: what most people choose, and what this person chose before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_choice, check_number, count_of
from omnireco._core.compute import Progress, row_blocks
from omnireco._core.contract import Estimator
from omnireco._core.parts import Maybe, Parts, declare, numbers
from omnireco._core.small import Number, Value
from omnireco._kernels.topk.exact import select
from omnireco.data.parts import Ids
from omnireco.data.recommendations import to_float32
from omnireco.data.vocabulary import Vocabulary
from omnireco.data.weights import Weights, check_weights
from omnireco.errors import ParameterError
from omnireco.models.base import Model, count_users, training_matrix

__all__ = ["BuyAgain", "Popularity", "PopularityModel"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Popularity(Estimator):
    """Rank items by how many people chose them.

    The baseline of every table: strong where tastes agree, and the recommendation for new users.

    Parameters
    ----------
    by : {"users", "weight"}
        Count people, or sum the weights of the matrix (with a half-life in the weights: what is trending). People
        who dislike an item (a number below 0) are not counted; their weight is subtracted. What a person
        dislikes of their own changes nothing but that it is left out, as everything seen.
    weights : Weights, optional
        Event weights for ``fit`` on events; the model weighs histories with the same.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.data import Interactions
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 2, 2], "item_id": ["tea", "tea", "cup"]}))
    >>> Popularity().fit(x).recommend(x, k=2, exclude_seen=False).codes
    array([[1, 0],
           [1, 0]], dtype=int32)
    """

    by: Literal["users", "weight"] = "users"
    weights: Weights | None = None

    def __post_init__(self) -> None:
        check_weights(self.weights)
        check_choice(self.by, "by", ("users", "weight"))

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> PopularityModel:
        """Return the model; deterministic, O(cells)."""
        x = training_matrix(self, data)
        users = count_users(x)
        if self.by == "users":
            return PopularityModel(x.items, users, users, 0.0, x.weights)
        weight = np.bincount(x.csr.indices, weights=x.csr.data, minlength=x.n_items)
        return PopularityModel(x.items, users, to_float32(weight), 0.0, x.weights)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class BuyAgain(Estimator):
    """Rank what a person did before by how often, then everything else by popularity.

    Personal frequency is the baseline to beat wherever people come back for the same things, and in
    groceries it often wins. Scores are the posterior mean, up to each person's constant, of a multinomial
    with a Dirichlet prior on the popularity of items.

    Parameters
    ----------
    prior_strength : float
        Weight of popularity, in units of the matrix: how much history equals what everybody else does.
    weights : Weights, optional
        Event weights for ``fit`` on events; the model weighs histories with the same.

    Notes
    -----
    A return (a number below 0) counts against the item itself and has no effect on other items. ``score = history +
    prior_strength * share``, with ``share`` the item's share of all weight. Use ``recommend(x, k=10,
    exclude_seen=False)``: without seen items only the popularity order is left.

    References
    ----------
    Dirichlet-multinomial smoothing: Zhai and Lafferty, "A study of smoothing methods for language models",
    TOIS 2004, equation 7.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.data import Interactions
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["cup", "cup", "tea"]}))
    >>> BuyAgain().fit(x).recommend(x.rows([1]), k=2, exclude_seen=False).to_frame()["item_id"].tolist()
    ['cup', 'tea']
    """

    ranks_repeats: ClassVar[bool] = True

    prior_strength: float = 1.0
    weights: Weights | None = None

    def __post_init__(self) -> None:
        check_weights(self.weights)
        check_number(self.prior_strength, "prior_strength", low=0)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> PopularityModel:
        """Return the model; deterministic, O(cells)."""
        x = training_matrix(self, data)
        weight = np.maximum(np.bincount(x.csr.indices, weights=x.csr.data, minlength=x.n_items), 0)
        share = weight / weight.sum() if weight.sum() > 0 else weight
        return PopularityModel(
            x.items, count_users(x), (self.prior_strength * share).astype(np.float32), 1.0, x.weights
        )


@dataclass(frozen=True, slots=True, eq=False)
class PopularityModel(Model):
    """One score per item, plus a multiple of the person's own history.

    Parameters
    ----------
    items : Vocabulary
        Ids of the items that it knows, in the order of their codes.
    popularity : ndarray of shape (n_items,), float32
        How many people chose each item: the ranking for people without a history.
    vector : ndarray of shape (n_items,), float32
        Score of each item for everybody.
    personal : float
        What a person's own weight of an item counts; 0 for plain popularity.
    """

    items: Vocabulary
    popularity: np.ndarray
    vector: np.ndarray
    personal: float = 0.0
    event_weights: Weights | None = None

    parts: ClassVar[Parts] = {
        "items": Ids(),
        "popularity": numbers("items", dtype=np.float32),
        "vector": numbers("items", dtype=np.float32),
        "personal": Number(),
        "event_weights": Maybe(Value((Weights,))),
    }

    answers_everybody: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number(self.personal, "personal")
        declare(self)

    def __repr__(self) -> str:
        return f"PopularityModel({count_of(len(self.items), 'item')}, personal={self.personal:g})"

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
        for rows in row_blocks(n, 8 * len(self.items)):
            seen = None if exclude is None else exclude[rows]
            some = (eligible[0], eligible[1][rows]) if isinstance(eligible, tuple) else eligible
            codes[rows], scores[rows] = select(self._dense(histories[rows]), k=k, exclude=seen, eligible=some)
        return codes, scores

    def _score(self, histories: sp.csr_matrix, codes: np.ndarray) -> np.ndarray:
        return self._dense(histories)[:, codes]

    def _similar(
        self, codes: np.ndarray, *, k: int, eligible: Any, threads: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        raise ParameterError(
            "similar_items: popularity has no item similarities. "
            "Fit ItemKNN, EASE or ALS on the same matrix and use that model."
        )

    def _dense(self, histories: sp.csr_matrix) -> np.ndarray:
        scores = np.repeat(self.vector[None, :], histories.shape[0], axis=0)
        if self.personal:
            row = np.repeat(np.arange(histories.shape[0]), np.diff(histories.indptr))
            scores[row, histories.indices] += np.float32(self.personal) * histories.data
        return scores
