"""Re-ranking: diversity, quotas, calibration and business rules.

Each function takes lists that are longer than wanted and returns lists of ``k``: ask for 50 to show 10. The price in
accuracy is a number, not a feeling::

    long = model.recommend(x, k=50)
    mixed = om.models.mmr(long, k=10, trade_off=0.8, similarity=knn)
    om.evaluate({"before": long.head(10), "after": mixed}, test, k=10, metrics=[om.ndcg]).differences("before")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_integer, check_k, check_kind, check_known, check_mapping, check_number, shown
from omnireco._core.compute import Progress, track
from omnireco._core.contract import says_the_line
from omnireco.data.catalog import Catalog
from omnireco.data.interactions import Interactions
from omnireco.data.recommendations import Recommendations
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import ParameterError, SchemaError
from omnireco.models.base import Model
from omnireco.models.matrix.linear import ItemModel

__all__ = [
    "avoid",
    "calibrated",
    "cut_lists",
    "mmr",
    "promoted",
    "quotas",
    "relevance_of",
    "similarity_places",
]


def mmr(
    lists: Recommendations, *, k: int, trade_off: float, similarity: ItemModel, progress: Progress = False
) -> Recommendations:
    """Pick items one by one, each as relevant and as unlike those already picked as can be.

    Parameters
    ----------
    lists : Recommendations
        Candidates, best first.
    k : int
        Items per list at most, 1 or more.
    trade_off : float
        1 keeps the order of the lists; 0 looks at variety alone.
    similarity : ItemModel
        Item similarity, such as ``ItemKNN().fit(x)``; scaled to at most 1.
    progress : bool or callable(done, total)
        A bar over the people.

    Returns
    -------
    Recommendations
        In the order of picking, with the scores of the lists.

    Notes
    -----
    Picks the largest ``trade_off * relevance - (1 - trade_off) * (largest similarity to a pick)``, relevance being
    the score scaled to [0, 1] inside each list. Ties go to the one ranked higher. Deterministic. O(people x
    candidates x k).

    References
    ----------
    Carbonell and Goldstein, "The use of MMR, diversity-based reranking", SIGIR 1998.

    Examples
    --------
    >>> from omnireco.models import EASE, ItemKNN
    >>> from omnireco.testing import small_matrix
    >>> x = small_matrix(seed=1)
    >>> mmr(EASE().fit(x).recommend(x, k=10), k=3, trade_off=0.5, similarity=ItemKNN().fit(x)).k
    3
    """
    k, trade_off = check_k(k), check_number(trade_off, "trade_off", low=0, high=1)
    place, most = similarity_places(lists, similarity, "mmr")
    relevance = relevance_of(lists)

    def gain(row: int, open_: np.ndarray, picked: list[int]) -> np.ndarray:
        value = trade_off * relevance[row, open_]
        if picked:
            alike = _block(similarity, place[lists.codes[row, picked]], place[lists.codes[row, open_]]) / most
            value = value - (1 - trade_off) * alike.max(axis=0)
        return value

    return _picked(lists, k, gain, track(range(lists.n_users), progress, label="mmr"))


def avoid(
    lists: Recommendations, disliked: Interactions, *, k: int, strength: float, similarity: ItemModel
) -> Recommendations:
    """Leave out what a person rejected, and penalize near duplicates.

    Near duplicates of a rejected item are unwanted too. Measured on public data, dislikes fed into a
    model with extra weight did nothing or harm; as a filter behind it they do what is meant.

    Parameters
    ----------
    lists : Recommendations
        Candidates, best first.
    disliked : Interactions
        What people rejected: every stored cell, whatever its sign. People who are not in it keep their order.
    k : int
        Items per list at most, 1 or more.
    strength : float
        How far the nearest duplicate of a dislike falls, as a share of the list's range of scores. 0 only excludes.
    similarity : ItemModel
        Item similarity, such as ``ItemKNN().fit(x)``; scaled to at most 1.

    Notes
    -----
    Orders by ``relevance - strength * (largest similarity to a dislike)``, relevance being the score scaled to [0, 1]
    inside each list; ties keep their order. Deterministic.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.models import ItemKNN
    >>> lists = Recommendations.from_frame(pd.DataFrame({"user_id": 1, "item_id": list("abc"), "score": [3.0, 2, 1]}))
    >>> no = Interactions.from_frame(pd.DataFrame({"user_id": [1], "item_id": ["a"]}))
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2], "item_id": list("abc")}))
    >>> avoid(lists, no, k=2, strength=1.0, similarity=ItemKNN().fit(x)).to_frame()["item_id"].tolist()
    ['c', 'b']
    """
    k, strength = check_k(k), check_number(strength, "strength", low=0)
    if not isinstance(disliked, Interactions):
        raise SchemaError(f"avoid: disliked must be Interactions. Got {type(disliked).__name__}.")
    place, most = similarity_places(lists, similarity, "avoid")
    in_model = similarity.items.codes(disliked.items.ids, missing="none")
    row_of = disliked.users.codes(lists.users.ids, missing="none")
    value, keep = relevance_of(lists), lists.codes != NONE
    for row in np.flatnonzero(row_of != NONE):
        there = np.flatnonzero(keep[row])
        start, stop = disliked.csr.indptr[row_of[row]], disliked.csr.indptr[row_of[row] + 1]
        against = in_model[disliked.csr.indices[start:stop]]
        against = against[against != NONE]
        shown = place[lists.codes[row, there]]
        if against.size and shown.size:
            value[row, there] -= strength * (_block(similarity, against, shown) / most).max(axis=0)
            keep[row, there] = ~np.isin(shown, against)
    return cut_lists(lists, np.argsort(np.where(keep, -value, np.inf), axis=1, kind="stable"), keep, k)


def calibrated(
    lists: Recommendations,
    histories: Interactions,
    catalog: Catalog,
    *,
    k: int,
    strength: float,
    progress: Progress = False,
) -> Recommendations:
    """Give every person the categories in the shares they chose them in.

    A person with seven comedies and three dramas should not be shown ten comedies. Accuracy alone does just that.

    Parameters
    ----------
    lists : Recommendations
        Candidates, best first.
    histories : Interactions
        The same people's past; without one, a list is only cut.
    catalog : Catalog
        With ``category``; an item without one counts for none.
    k : int
        Items per list at most, 1 or more.
    strength : float
        0 keeps the order of the lists, 1 looks at the shares alone.
    progress : bool or callable(done, total)
        A bar over the people.

    Notes
    -----
    Picks greedily the largest ``(1 - strength) * sum of relevance - strength * KL(shares of the past || shares of the
    list)``, the list's shares smoothed with 1 % of the past's. Deterministic.

    References
    ----------
    Steck, "Calibrated recommendations", RecSys 2018, equations 3 to 5.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.models import EASE
    >>> from omnireco.testing import small_matrix
    >>> x = small_matrix(seed=1)
    >>> kinds = pd.DataFrame({"item_id": x.items.ids, "category": ["a", "b", "c", "d", "e"] * 5})
    >>> long = EASE().fit(x).recommend(x, k=10)
    >>> calibrated(long, x, Catalog.from_frame(kinds), k=3, strength=0.5).k
    3
    """
    k, strength = check_k(k), check_number(strength, "strength", low=0, high=1)
    check_kind(lists, Recommendations, "calibrated: lists", "model.recommend(x, k=100)")
    check_kind(histories, Interactions, "calibrated: histories", "log.matrix()")
    category = _categories(catalog, lists.items.ids, "calibrated")
    n_kinds = int(category.max(initial=-1)) + 2  # the last one is for items without
    past_kind = _categories(catalog, histories.items.ids, "calibrated")
    known = past_kind[histories.csr.indices] != NONE
    row = np.repeat(np.arange(histories.n_users), np.diff(histories.csr.indptr))[known]
    n_past = max(n_kinds, int(past_kind.max(initial=-1)) + 1)
    wanted = sp.csr_matrix(
        (np.maximum(histories.csr.data[known], 0), (row, past_kind[histories.csr.indices][known])),
        (histories.n_users, n_past),
    ).toarray()
    position = match(histories.users, lists.users, ("histories", "lists"))
    relevance = relevance_of(lists)

    def gain(row: int, open_: np.ndarray, picked: list[int]) -> np.ndarray:
        value = (1 - strength) * relevance[row, open_]
        past = wanted[position[row]] if position[row] != NONE else np.zeros(n_past)
        if not past.sum():
            return value
        share = past / past.sum()
        counts = np.zeros(n_past)
        np.add.at(counts, [c for c in category[lists.codes[row, picked]] if c != NONE], 1.0)
        each = np.repeat(counts[None, :], open_.size, axis=0)
        kind = category[lists.codes[row, open_]]
        has = kind != NONE
        each[np.flatnonzero(has), kind[has]] += 1
        shown = 0.99 * each / (len(picked) + 1) + 0.01 * share[None, :]
        here = share > 0
        return value - strength * (share[here] * np.log(share[here] / shown[:, here])).sum(axis=1)

    return _picked(lists, k, gain, track(range(lists.n_users), progress, label="calibrated"))


@says_the_line("om.models.quotas(lists, catalog, k=5, max_per_category=2)")
def quotas(
    lists: Recommendations,
    catalog: Catalog,
    *,
    k: int,
    max_per_category: int | Mapping[str, int],
    missing: Literal["raise", "ignore"] = "raise",
) -> Recommendations:
    """Show at most so many items of one category.

    Parameters
    ----------
    lists : Recommendations
        Candidates, best first; their order stays.
    catalog : Catalog
        With ``category``; items without one are not limited.
    k : int
        Items per list at most, 1 or more.
    max_per_category : int or mapping of str to int
        The same limit for all categories, or limits for some.
    missing : {"raise", "ignore"}
        Whether a category that the catalogue does not have is an error, or is passed over.

    Examples
    --------
    >>> import pandas as pd
    >>> lists = Recommendations.from_frame(pd.DataFrame(
    ...     {"user_id": 1, "item_id": ["a1", "a2", "b1"], "rank": [1, 2, 3]}))
    >>> kinds = Catalog.from_frame(pd.DataFrame({"item_id": ["a1", "a2", "b1"], "category": ["a", "a", "b"]}))
    >>> quotas(lists, kinds, k=2, max_per_category=1).to_frame()["item_id"].tolist()
    ['a1', 'b1']
    """
    k = check_k(k)
    check_kind(lists, Recommendations, "quotas: lists", "model.recommend(x, k=100)")
    category = _categories(catalog, lists.items.ids, "quotas")
    names = [str(name) for name in catalog.category[0].ids] if catalog.category is not None else []
    if isinstance(max_per_category, Mapping):
        wanted = check_known(max_per_category, names, "quotas: max_per_category", missing=missing)
        limit = {
            names.index(name): check_integer(max_per_category[name], f"max_per_category[{shown(name)}]", low=0)
            for name in wanted
        }
    else:
        limit = dict.fromkeys(range(len(names)), check_integer(max_per_category, "max_per_category", low=0))
    kind = np.where(lists.codes == NONE, NONE, category[lists.codes])
    keep = lists.codes != NONE
    for code, n in limit.items():
        of_kind = kind == code
        keep &= ~of_kind | (np.cumsum(of_kind, axis=1) <= n)
    return cut_lists(lists, np.argsort(~keep, axis=1, kind="stable"), keep, k)


def promoted(
    lists: Recommendations,
    *,
    k: int,
    pin: Iterable[Any] = (),
    boost: Mapping[Any, float] | None = None,
    bury: Iterable[Any] = (),
    missing: Literal["raise", "ignore"] = "raise",
) -> Recommendations:
    """Apply promotions: pin, boost and bury items.

    Only items that stand in a person's list are moved: nobody is shown what they have, or what is not eligible for
    them. So make the lists long, or name pinned items with ``eligible=``.

    Parameters
    ----------
    lists : Recommendations
        Candidates, best first.
    k : int
        Items per list at most, 1 or more.
    pin : iterable of item ids
        Put first, in this order.
    boost : mapping of item id to int or float, optional
        Moved up by so many places (down when negative).
    bury : iterable of item ids
        Put last, in the order of the list.
    missing : {"raise", "ignore"}
        Whether an item that the lists do not know is an error, or is passed over.

    Raises
    ------
    ParameterError
        For an unknown item, or one that is pinned and buried at once.

    Examples
    --------
    >>> import pandas as pd
    >>> lists = Recommendations.from_frame(pd.DataFrame({"user_id": 1, "item_id": list("abc"), "rank": [1, 2, 3]}))
    >>> promoted(lists, k=3, pin=["c"], bury=["a"]).to_frame()["item_id"].tolist()
    ['c', 'b', 'a']
    """
    k = check_k(k)
    check_kind(lists, Recommendations, "promoted: lists", "model.recommend(x, k=100)")
    n_items = len(lists.items)
    place = np.repeat(np.arange(lists.k, dtype=np.float64)[None, :], lists.n_users, axis=0)
    shift = np.zeros(n_items)
    known, boost = dict.fromkeys(lists.items.ids), check_mapping(boost, "boost", "{'tea': 2.0}")
    pin, bury, lift = (
        list(check_known(names, known, f"promoted: {what}", missing=missing))
        for what, names in (("pin", pin), ("bury", bury), ("boost", boost))
    )
    shift[lists.items.codes(lift)] = [check_number(boost[item], f"boost[{shown(item)}]") for item in lift]
    moved = place - np.where(shift[lists.codes] > 0, shift[lists.codes] + 0.5, shift[lists.codes] - 0.5)
    place = np.where(shift[lists.codes] != 0, moved, place)
    first = np.full(n_items, np.nan)
    first[lists.items.codes(pin)] = np.arange(len(pin)) - 1e12
    place = np.where(np.isnan(first[lists.codes]), place, first[lists.codes])
    last = np.zeros(n_items, np.bool_)
    last[lists.items.codes(bury)] = True
    if pin and last[lists.items.codes(pin)].any():
        raise ParameterError("promoted: an item is pinned and buried at once. Decide for one of them.")
    place += np.where(last[lists.codes], 1e12, 0.0)
    keep = lists.codes != NONE
    place[~keep] = np.inf
    return cut_lists(lists, np.argsort(place, axis=1, kind="stable"), keep, k)


def similarity_places(lists: Recommendations, similarity: ItemModel, verb: str) -> tuple[np.ndarray, float]:
    """Return the code in ``similarity`` of each item of the lists, and its largest absolute weight."""
    check_kind(lists, Recommendations, f"{verb}: lists", "model.recommend(x, k=100)")
    if not isinstance(similarity, Model) or similarity._item_weights() is None:
        raise ParameterError(
            f"{verb}: similarity must be an ItemModel, such as ItemKNN().fit(x). Got {shown(similarity)}."
        )
    place = similarity.items.codes(lists.items.ids, missing="none")
    if (place == NONE).any():
        raise ParameterError(
            f"{verb}: similarity does not know {int((place == NONE).sum()):,} of {len(lists.items):,} items of the "
            "lists. Fit it on the same items."
        )
    weights = similarity.weights
    return place, float(np.abs(weights.data if sp.issparse(weights) else weights).max(initial=0.0)) or 1.0


def _block(similarity: ItemModel, some: np.ndarray, others: np.ndarray) -> np.ndarray:
    block = similarity.weights[some][:, others]
    return np.asarray(block.toarray() if sp.issparse(block) else block, np.float64)


def relevance_of(lists: Recommendations) -> np.ndarray:
    """Return scores scaled to [0, 1] inside each list, float64; 0 where a list has ended."""
    wide = lists.scores.astype(np.float64)
    there = lists.codes != NONE
    low = np.where(there, wide, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    high = np.where(there, wide, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    spread = np.where(high > low, high - low, 1.0)
    return np.where(there, np.where(there, wide, 0.0) - np.where(np.isfinite(low), low, 0.0), 0.0) / spread


def _picked(lists: Recommendations, k: int, gain: Any, rows: Iterable[int]) -> Recommendations:
    """Return lists picked greedily: gain(row, open places, picked places) is the marginal gain of each open place."""
    order = np.zeros((lists.n_users, lists.k), np.int64)
    keep = np.zeros(lists.codes.shape, np.bool_)
    for row in rows:
        open_ = np.flatnonzero(lists.codes[row] != NONE)
        picked: list[int] = []
        while open_.size and len(picked) < k:
            best = int(np.argmax(gain(row, open_, picked)))
            picked.append(int(open_[best]))
            open_ = np.delete(open_, best)
        keep[row, picked] = True
        rest = np.flatnonzero(~keep[row])
        order[row] = np.r_[np.array(picked, np.int64), rest]
    return cut_lists(lists, order, keep, k)


def cut_lists(lists: Recommendations, order: np.ndarray, keep: np.ndarray, k: int) -> Recommendations:
    """Return the first ``k`` of each list in another order of places; places not kept are empty."""
    kept = np.take_along_axis(keep, order, axis=1)[:, :k]
    codes = np.where(kept, np.take_along_axis(lists.codes, order, axis=1)[:, :k], NONE).astype(np.int32)
    scores = np.where(kept, np.take_along_axis(lists.scores, order, axis=1)[:, :k], -np.inf).astype(np.float32)
    short = max(0, k - codes.shape[1])
    codes = np.pad(codes, ((0, 0), (0, short)), constant_values=NONE)
    scores = np.pad(scores, ((0, 0), (0, short)), constant_values=-np.inf)
    return Recommendations(lists.users, lists.items, codes, scores)


def _categories(catalog: Catalog, ids: np.ndarray, verb: str) -> np.ndarray:
    """Return the category code of each id, -1 where it has none."""
    if not isinstance(catalog, Catalog) or catalog.category is None:
        raise SchemaError(f"{verb} needs a Catalog with a column 'category'.")
    row = match(catalog.items, Vocabulary(ids), ("catalog", "lists"), column="item_id")
    return np.where(row == NONE, NONE, catalog.category[1][row])
