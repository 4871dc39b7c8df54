"""Explanations that add up: what each thing in a person's past says for each thing they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from omnireco.data.interactions import Interactions
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.errors import ParameterError, SchemaError
from omnireco.models.base import Model, Recommendations
from omnireco.models.blend import BlendModel, all_scores
from omnireco.models.factors import FactorModel
from omnireco.models.linear import ItemModel
from omnireco.models.svd import ProjectionModel

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Explanations", "explain"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Explanations:
    """The exact parts of scores: one row per person, item shown, past item and channel.

    Parameters
    ----------
    users, items : Vocabulary
    channels : tuple of str
        Layers of the histories.
    user, item, because, channel : ndarray of shape (n,), int32
        Codes of the person, the item shown, the item of the past, and the channel it was met on.
    contribution : ndarray of shape (n,), float64
        What it adds to the score; negative when it speaks against the item.
    """

    users: Vocabulary
    items: Vocabulary
    channels: tuple[str, ...]
    user: np.ndarray
    item: np.ndarray
    because: np.ndarray
    channel: np.ndarray
    contribution: np.ndarray

    def __post_init__(self) -> None:
        for array in (self.user, self.item, self.because, self.channel, self.contribution):
            array.setflags(write=False)

    def __repr__(self) -> str:
        return f"Explanations({self.contribution.size:,} contributions, {len(self.users):,} users)"

    def to_frame(self) -> pd.DataFrame:
        """Return user_id, item_id, because_item_id, channel, contribution: largest first for each item shown."""
        import pandas as pd

        order = np.lexsort([self.channel, self.because, -self.contribution, self.item, self.user])
        return pd.DataFrame(
            {
                "user_id": self.users.decode(self.user[order]),
                "item_id": self.items.decode(self.item[order]),
                "because_item_id": self.items.decode(self.because[order]),
                "channel": np.array(self.channels, object)[self.channel[order]],
                "contribution": self.contribution[order],
            }
        )

    def by_channel(self) -> pd.DataFrame:
        """Return user_id, item_id and one column per channel with what it adds to the score, and their sum, score."""
        import pandas as pd

        pair = self.user.astype(np.int64) * max(1, len(self.items)) + self.item
        shown, row = np.unique(pair, return_inverse=True)
        table = np.zeros((shown.size, len(self.channels)))
        np.add.at(table, (row, self.channel), self.contribution)
        frame = pd.DataFrame(table, columns=list(self.channels))
        frame.insert(0, "item_id", self.items.decode(shown % max(1, len(self.items))))
        frame.insert(0, "user_id", self.users.decode(shown // max(1, len(self.items))))
        return frame.assign(score=table.sum(axis=1))


def explain(model: Model, histories: Interactions, lists: Recommendations) -> Explanations:
    """Take the score of everything shown apart into what each item of the past, on each channel, adds.

    Not a story told afterwards: the parts are those the score was computed from, and their sum is the score.

    Parameters
    ----------
    model : ItemModel, ProjectionModel, FactorModel, or a blend of them
        The one that made the lists.
    histories : Interactions
        What it was asked with; its layers are the channels.
    lists : Recommendations
        Of people in ``histories``; those without a history have nothing to explain.

    Returns
    -------
    Explanations

    Raises
    ------
    ParameterError
        When the score of the model is no sum over the past (popularity, neighbours, ranks).

    Notes
    -----
    Linear models: ``weight of the past item x its weight for the item shown``. Factor models: with
    ``A = gram + ridge I + sum w y y'`` of the person, ``pull_j y_j' A^-1 y_i``, exact for this history (another history
    has another A). A channel's part of a cell is its share of the cell's weight. Sums agree with ``model.score`` to
    float32 rounding. Meant for some people at a time: O(people x (d^3 + past x shown x d)).

    References
    ----------
    Factor models: Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008,
    section 5.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.models import EASE
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": list("ababa"),
    ...                                           "channel": ["web", "store", "web", "web", "store"]}))
    >>> model = EASE(regularization=1.0).fit(x)
    >>> told = explain(model, x, model.recommend(x.rows([3]), k=1))
    >>> told.to_frame()[["item_id", "because_item_id", "channel"]].to_numpy().tolist()
    [['b', 'a', 'store']]
    """
    if not isinstance(lists, Recommendations):
        raise SchemaError(f"explain takes the lists of model.recommend. Got {type(lists).__name__}.")
    if lists.items != model.items:
        raise ParameterError("explain: the lists are over other items than the model. Explain the model's own lists.")
    known = model._align(histories)
    position = known.users.codes(lists.users.ids)
    layers = list(known.layers.items())
    found: list[tuple[np.ndarray, ...]] = []
    for row, person in enumerate(position):
        start, stop = known.csr.indptr[person], known.csr.indptr[person + 1]
        shown = lists.codes[row][lists.codes[row] != NONE]
        if start == stop or not shown.size:
            continue
        history, aims = known.csr[[person]], None if known.targets is None else known.targets[[person]].data
        parts = _parts(model, history, aims, shown)  # (past, shown)
        for channel, (_, layer) in enumerate(layers):
            own = np.asarray(layer[[person]][:, history.indices].toarray()).ravel()
            share = own.astype(np.float64) / history.data
            past, place = np.nonzero(np.repeat(share[:, None] != 0, shown.size, axis=1))
            value = parts[past, place] * share[past]
            size = np.full(value.size, 1, np.int32)
            found.append((size * row, shown[place], history.indices[past], size * channel, value))
    columns = [np.concatenate(part) for part in zip(*found, strict=True)] if found else [np.empty(0)] * 5
    codes = [column.astype(np.int32) for column in columns[:4]]
    user, item, because, on = codes
    names = tuple(name for name, _ in layers)
    return Explanations(lists.users, model.items, names, user, item, because, on, columns[4].astype(np.float64))


def _parts(model: Model, history: sp.csr_matrix, aims: np.ndarray | None, shown: np.ndarray) -> np.ndarray:
    """Return what each item of one history, with its targets if it has some, adds to each item shown (past, shown)."""
    past, weight = history.indices, history.data.astype(np.float64) * (1.0 if aims is None else aims)
    if isinstance(model, ItemModel):
        block: Any = model.weights[past][:, shown]
        return weight[:, None] * (block.toarray() if sp.issparse(block) else np.asarray(block)).astype(np.float64)
    if isinstance(model, ProjectionModel):
        return weight[:, None] * (model.encode[past].astype(np.float64) @ model.decode[shown].astype(np.float64).T)
    if isinstance(model, FactorModel):
        return _factor_parts(model, history, aims, shown)
    if isinstance(model, BlendModel) and model.scale != "rank":
        total = np.zeros((past.size, shown.size))
        for member, factor in zip(model.models, model.weights, strict=True):
            if not factor:
                continue
            if model.scale == "deviation":
                asked = None if aims is None else sp.csr_matrix((aims, past, history.indptr), history.shape)
                factor /= float(all_scores(member, history, asked).astype(np.float64).std()) or 1.0
            total += factor * _parts(member, history, aims, shown)
        return total
    raise ParameterError(
        f"explain: the score of a {type(model).__name__} is no sum over what a person did. Explain ItemKNN, EASE, "
        "SLIM, RP3beta, NextItem, PureSVD or ALS, or a Blend of them whose scale is not 'rank'."
    )


def _factor_parts(model: FactorModel, history: sp.csr_matrix, aims: np.ndarray | None, shown: np.ndarray) -> np.ndarray:
    weight, pull, _ = model.loss.cells(history.data, aims)
    ridge = model.loss.ridge(np.array([history.nnz]), len(model.items))[0]
    wide = model.factors.astype(np.float64)
    past = wide[history.indices]
    normal = model.loss.unobserved_weight * (wide.T @ wide) + ridge * np.eye(wide.shape[1]) + (past.T * weight) @ past
    return pull[:, None] * (past @ np.linalg.solve(normal, wide[shown].T))
