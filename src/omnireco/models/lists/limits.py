"""Lists re-ordered for variety as a set, and under limits on what is popular and on how often an item is shown.

As in :mod:`omnireco.models.lists.diversify`, each function takes lists that are longer than wanted and returns lists of
``k``; :func:`omnireco.evaluation.cost_of` measures what each costs in accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from omnireco._core.checks import check_integer, check_k, check_kind, check_known, check_number, shown
from omnireco._core.compute import Progress, row_blocks, track
from omnireco._core.contract import says_the_line
from omnireco.data.recommendations import Recommendations
from omnireco.data.vocabulary import NONE, match
from omnireco.errors import ParameterError
from omnireco.models.base import Model
from omnireco.models.lists.diversify import cut_lists, relevance_of, similarity_places
from omnireco.models.matrix.linear import ItemModel

__all__ = ["dpp", "limit_exposure", "limit_popularity"]

_JITTER = 1e-10  # a set whose volume is below this share adds nothing new

_MANY = int(np.iinfo(np.int64).max)


def dpp(
    lists: Recommendations, *, k: int, trade_off: float, similarity: ItemModel, progress: Progress = False
) -> Recommendations:
    """Pick the items that are relevant and span the most: a determinantal point process, greedily.

    :func:`omnireco.models.mmr` compares an item with the one pick it resembles most; this measures the whole set, so
    three items that are each a little like the other two count as repeats too.

    Parameters
    ----------
    lists : Recommendations
        Candidates, best first.
    k : int
        Items per list at most, 1 or more.
    trade_off : float
        Between 0 and 1. 1 keeps the order of the lists; towards 0 variety alone decides.
    similarity : ItemModel
        Item similarity, such as ``ItemKNN().fit(x)``; made symmetric, scaled to at most 1.
    progress : bool or callable(done, total)
        A bar over blocks of people.

    Returns
    -------
    Recommendations
        In the order of picking, with the scores of the lists.

    Notes
    -----
    Greedy maximum a posteriori: each step picks the item that raises ``log det(L_S)`` most, ``L_ij = q_i S_ij q_j``,
    ``q_i = exp(relevance_i trade_off / (2 (1 - trade_off)))`` with relevance scaled to [0, 1] inside the list and S
    the similarities with ones on the diagonal. Where S is no kernel (few are: neighbours are cut off), what it lacks is
    added to its diagonal. When nothing adds volume any more, the rest follows in the order of the list. Ties go to
    the one ranked higher. Deterministic. Time O(people x candidates x k^2), memory O(people x candidates^2) by blocks.

    References
    ----------
    Chen, Zhang and Zhou, "Fast greedy MAP inference for determinantal point process to improve recommendation
    diversity", NeurIPS 2018, algorithm 1 and equation 13.

    Examples
    --------
    >>> from omnireco.models import EASE, ItemKNN
    >>> from omnireco.testing import small_matrix
    >>> x = small_matrix(seed=1)
    >>> dpp(EASE().fit(x).recommend(x, k=10), k=3, trade_off=0.5, similarity=ItemKNN().fit(x)).k
    3
    """
    k, trade_off = check_k(k), check_number(trade_off, "trade_off", low=0, high=1)
    place, most = similarity_places(lists, similarity, "dpp")
    there = lists.codes != NONE
    if trade_off == 1:
        order = np.repeat(np.arange(lists.k)[None, :], lists.n_users, axis=0)
        return cut_lists(lists, order, there, k)
    quality = relevance_of(lists) * (trade_off / (2 * (1 - trade_off)))  # log q
    order = np.empty((lists.n_users, lists.k), np.int64)
    blocks = list(row_blocks(lists.n_users, 24 * lists.k * (lists.k + k)))
    for rows in track(blocks, progress, label="dpp"):
        kernel = _kernels(similarity, place[lists.codes[rows]], there[rows]) / most
        order[rows] = _greedy(kernel, quality[rows], there[rows], min(k, lists.k))
    return cut_lists(lists, order, there, k)


@says_the_line("om.models.limit_popularity(lists, model, k=5, max_popular=2)")
def limit_popularity(
    lists: Recommendations, model: Model, *, k: int, max_popular: int, share: float = 0.5
) -> Recommendations:
    """Show at most so many of the items that everybody takes.

    Parameters
    ----------
    lists : Recommendations
        Candidates, best first; their order stays.
    model : Model
        Whose ``popularity`` counts, such as the model that made the lists.
    k : int
        Items per list at most, 1 or more.
    max_popular : int
        Popular items in a list of ``k``, at most.
    share : float
        The popular ones: the fewest items that together have this share of all popularity. Ties go to the lower code.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.models import Popularity
    >>> from omnireco.testing import small_matrix
    >>> x = small_matrix(seed=1)
    >>> model = Popularity().fit(x)
    >>> long = model.recommend(x, k=20)
    >>> int(limit_popularity(long, model, k=5, max_popular=0, share=0.3).codes[0, 0]) > int(long.codes[0, 0])
    True
    """
    k, max_popular = check_k(k), check_integer(max_popular, "max_popular", low=0)
    share = check_number(share, "share", low=0, high=1)
    if not isinstance(model, Model):
        raise ParameterError(f"limit_popularity: model must be a fitted model. Got {type(model).__name__}.")
    check_kind(lists, Recommendations, "limit_popularity: lists", "model.recommend(x, k=100)")
    place = match(model.items, lists.items, ("model", "lists"), column="item_id")
    order = np.argsort(-model.popularity.astype(np.float64), kind="stable")
    before = np.cumsum(model.popularity[order].astype(np.float64)) - model.popularity[order]
    head = np.zeros(len(model.items) + 1, np.bool_)  # the last place is for items that the model does not know
    head[order] = before < share * float(model.popularity.sum(dtype=np.float64))
    there = lists.codes != NONE
    popular = there & head[place[lists.codes]]
    keep = there & (~popular | (np.cumsum(popular, axis=1) <= max_popular))
    return cut_lists(lists, np.argsort(~keep, axis=1, kind="stable"), keep, k)


@says_the_line("om.models.limit_exposure(lists, k=5, max_per_item=40)")
def limit_exposure(
    lists: Recommendations,
    *,
    k: int,
    max_per_item: int | Mapping[Any, int],
    missing: Literal["raise", "ignore"] = "raise",
) -> Recommendations:
    """Show an item to at most so many people: what is scarce goes to those it suits best.

    Stock, appointments, or fairness to those who sell: a list per person cannot hold a limit over all people, this can.

    Parameters
    ----------
    lists : Recommendations
        Candidates, best first. Longer lists leave more to fall back on.
    k : int
        Items per list at most, 1 or more.
    max_per_item : int or mapping of item id to int
        People an item is shown to: the same limit for all items, or limits for some.
    missing : {"raise", "ignore"}
        Whether a limit for an item that the lists do not contain is an error or ignored.

    Raises
    ------
    ParameterError
        For a limit below 0, or of an unknown item.

    Returns
    -------
    Recommendations
        In the order of the lists; shorter where a person's candidates are used up.

    Notes
    -----
    Proposals and refusals (deferred acceptance): users propose to their best items, an item keeps the people in whose
    list it stands highest (then those to whom it means most, by the score scaled to [0, 1] inside the list, then the
    earlier row), and the refused ask for their next. The assignment is stable: nobody prefers an item that would prefer
    them too. Deterministic, whatever the order of asking; O(candidates log candidates).

    References
    ----------
    Gale and Shapley, "College admissions and the stability of marriage", American Mathematical Monthly 1962.

    Examples
    --------
    >>> import pandas as pd
    >>> lists = Recommendations.from_frame(pd.DataFrame({"user_id": [1, 1, 2, 2], "item_id": list("abab"),
    ...                                                  "score": [9.0, 1.0, 5.0, 4.0]}))
    >>> limit_exposure(lists, k=1, max_per_item={"a": 1}).to_frame()["item_id"].tolist()
    ['a', 'b']
    """
    k = check_k(k)
    check_kind(lists, Recommendations, "limit_exposure: lists", "model.recommend(x, k=100)")
    n_items = len(lists.items)
    room = np.full(n_items, _MANY)
    if isinstance(max_per_item, Mapping):
        known = check_known(max_per_item, lists.items.ids, "limit_exposure: max_per_item", missing=missing)
        room[lists.items.codes(known)] = [
            min(check_integer(max_per_item[item], f"max_per_item[{shown(item)}]", low=0), _MANY) for item in known
        ]
    else:
        room[:] = min(check_integer(max_per_item, "max_per_item", low=0), _MANY)
    there, relevance = lists.codes != NONE, relevance_of(lists)
    refused = np.zeros(there.shape, np.bool_)
    while True:
        open_ = there & ~refused
        proposals = open_ & (np.cumsum(open_, axis=1) <= k)
        row, place = np.nonzero(proposals)
        item = lists.codes[row, place]
        best_first = np.lexsort([row, -relevance[row, place], place, item])
        sorted_items = item[best_first]
        start = np.searchsorted(sorted_items, sorted_items)
        over = np.arange(item.size) - start >= room[sorted_items]
        if not over.any():
            return cut_lists(lists, np.argsort(~proposals, axis=1, kind="stable"), proposals, k)
        gone = best_first[over]
        refused[row[gone], place[gone]] = True


def _kernels(similarity: ItemModel, codes: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Return the similarity of the candidates of each row to one another, float64 (n, candidates, candidates)."""
    n, size = codes.shape
    weights = similarity.weights
    first, second = np.repeat(codes, size, axis=1).ravel(), np.tile(codes, (1, size)).ravel()
    found: Any = weights[first, second]  # a matrix of one row where weights are sparse
    block = np.asarray(found, np.float64).reshape(n, size, size)
    block = np.where(there[:, :, None] & there[:, None, :], block, 0.0)
    return (block + block.transpose(0, 2, 1)) / 2


def _greedy(kernel: np.ndarray, log_quality: np.ndarray, there: np.ndarray, k: int) -> np.ndarray:
    """Return places in the order of picking, the rest behind them in the order of the list: (n, candidates)."""
    n, size = log_quality.shape
    diagonal = np.arange(size)
    kernel = kernel.copy()
    kernel[:, diagonal, diagonal] = 1.0
    lowest = np.linalg.eigvalsh(kernel)[:, 0]
    lack = np.maximum(_JITTER - lowest, 0.0)  # what the diagonal needs for the kernel to have no negative volume
    kernel[:, diagonal, diagonal] += lack[:, None]
    kernel /= (1 + lack)[:, None, None]
    basis = np.zeros((n, k, size))
    left = np.ones((n, size))  # what each item adds to the volume of those picked
    rank = np.full((n, size), size, np.int64)
    every = np.arange(n)
    for step in range(k):
        gain = np.log(np.maximum(left, _JITTER)) + 2 * log_quality
        gain[~there | (rank < size) | (left <= 2 * _JITTER)] = -np.inf
        best = gain.argmax(axis=1)
        can = gain[every, best] > -np.inf
        if not can.any():
            break
        row, pick = every[can], best[can]
        rank[row, pick] = step
        known = basis[row, :step, :]
        projected = np.einsum("ns,nsc->nc", known[np.arange(row.size), :, pick], known)
        new = (kernel[row, pick] - projected) / np.sqrt(left[row, pick])[:, None]
        basis[row, step] = new
        left[row] = np.maximum(left[row] - new**2, 0.0)
    return np.argsort(rank, axis=1, kind="stable")
