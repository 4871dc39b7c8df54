"""Metrics of ranked lists: one function each, all of one value.

Every metric is a function of a :class:`RankedLists`: the lists of all evaluated people side by side,
what each of them hit, and how much there was to hit. It returns either

- **one value per user**, an array of shape (n_users,), NaN where the metric is not defined for that
  user (each docstring says when), or
- **one value for the catalogue**, a plain float (``coverage``).

A metric of your own is a function with the same argument and one of these two answers. A variant is a
``functools.partial``: ``partial(ndcg, ideal="all")``, which a report calls ``ndcg(ideal=all)``.

Conventions shared by all: a list is as long as ``k``; a place that was left empty (code -1) is a miss; an
item counts once; relevance is 0 or 1; a user's relevant items include those no model could have named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from omnireco._core.checks import check_choice, check_k, check_kind, count_of, shown
from omnireco._core.compute import row_blocks
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco.errors import ParameterError

__all__ = [
    "Metric",
    "RankedLists",
    "average_precision",
    "coverage",
    "diversity",
    "hit_rate",
    "mean_reciprocal_rank",
    "metric_name",
    "ndcg",
    "novelty",
    "precision",
    "recall",
]


@dataclass(frozen=True, slots=True, eq=False)
class RankedLists:
    """The lists of one model, best item first, laid beside what the same people really chose.

    ``evaluate`` builds one for each model; build one by hand to test a metric of your own.

    Parameters
    ----------
    codes : ndarray of shape (n_users, k), int32
        Items in the order of the list; -1 where the list has ended.
    hits : ndarray of shape (n_users, k), bool
        Whether that item is among the user's relevant items.
    n_relevant : ndarray of shape (n_users,), int64
        How many distinct relevant items the user has; items no model knows count too.
    in_catalog : ndarray of shape (n_items,), bool, optional
        Which items the catalogue holds: what ``coverage`` divides by.
    popularity : ndarray of shape (n_items,), int64, optional
        In the training data, how many different users each item has: what ``novelty`` looks at.
    n_train_users : int
        How many users the training data has.
    vectors : mapping of str to scipy.sparse.csr_matrix of shape (n_items, anything)
        What ``diversity`` compares items by, under the name its ``by=`` takes. Rows have length 1, or are
        empty where nothing is known of an item.

    Examples
    --------
    One user was shown items 4, 7 and 2 and chose 7 and 9:

    >>> import numpy as np
    >>> from omnireco.evaluation.metrics import RankedLists, recall
    >>> lists = RankedLists(np.array([[4, 7, 2]]), np.array([[False, True, False]]), np.array([2]))
    >>> recall(lists)
    array([0.5])
    """

    codes: np.ndarray
    hits: np.ndarray
    n_relevant: np.ndarray
    in_catalog: np.ndarray | None = None
    popularity: np.ndarray | None = None
    n_train_users: int = 0
    vectors: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or self.hits.shape != self.codes.shape:
            raise ParameterError(
                f"RankedLists needs codes and hits of one shape (n_users, k). Got {self.codes.shape} and "
                f"{self.hits.shape}. Write hits = is_relevant[:, :k] for codes[:, :k]."
            )
        if self.n_relevant.shape != self.codes.shape[:1]:
            raise ParameterError(
                f"RankedLists needs n_relevant of shape ({self.codes.shape[0]},), one number for each row "
                f"of codes. Got {self.n_relevant.shape}. Write n_relevant = is_relevant.sum(1)."
            )
        for name in ("codes", "hits", "n_relevant", "in_catalog", "popularity"):
            if (array := getattr(self, name)) is not None:
                array = array.view()
                array.setflags(write=False)
                object.__setattr__(self, name, array)
        object.__setattr__(self, "vectors", ReadOnly(self.vectors))

    def __repr__(self) -> str:
        return f"RankedLists({count_of(self.n_users, 'user')}, k={self.k})"

    _repr_html_ = shown_html

    @property
    def n_users(self) -> int:
        """Number of evaluated users."""
        return int(self.codes.shape[0])

    @property
    def k(self) -> int:
        """Length of the lists."""
        return int(self.codes.shape[1])

    def head(self, k: int) -> RankedLists:
        """Return the first ``k`` places of every list."""
        k = check_k(k)
        return replace(self, codes=self.codes[:, :k], hits=self.hits[:, :k])


Metric = Callable[[RankedLists], "np.ndarray | float"]


def ndcg(lists: RankedLists, *, ideal: Literal["list", "all"] = "list") -> np.ndarray:
    """Return the discounted gain of each list as a share of the best possible one.

    A hit at rank r has the gain 1 / log2(r + 1), so it matters where in the list the hits are.

    Parameters
    ----------
    lists : RankedLists
        One ranked list per user with a truth, and which of its items are relevant.
    ideal : {"list", "all"}
        What the best possible gain is. ``"list"``: as many hits as a list of k can hold,
        min(k, relevant items), the usual definition; a perfect list scores 1. ``"all"``: all relevant
        items of the user, as in some published tables; a list of k cannot score 1 for a user with more.

    Returns
    -------
    ndarray of shape (n_users,), float64
        In [0, 1]; NaN for a user without relevant items.

    References
    ----------
    Järvelin and Kekäläinen (2002), "Cumulated gain-based evaluation of IR techniques", TOIS 20(4).

    Examples
    --------
    >>> import numpy as np
    >>> lists = RankedLists(np.array([[4, 7]]), np.array([[True, False]]), np.array([3]))
    >>> ndcg(lists).round(4)                       # 1 / (1 + 0.6309)
    array([0.6131])
    >>> ndcg(lists, ideal="all").round(4)          # 1 / (1 + 0.6309 + 0.5)
    array([0.4693])
    """
    _check_lists(lists)
    check_choice(ideal, "ideal", ("list", "all"))
    most = int(lists.n_relevant.max(initial=0)) if ideal == "all" else 0
    discounts = 1.0 / np.log2(np.arange(2.0, max(lists.k, most) + 2.0))
    gain = np.zeros(lists.n_users)
    for rank in range(lists.k):  # adding in rank order makes a perfect list score exactly 1
        gain += lists.hits[:, rank] * discounts[rank]
    best = np.concatenate([[0.0], np.cumsum(discounts)])
    held = lists.n_relevant if ideal == "all" else np.minimum(lists.n_relevant, lists.k)
    return _share(gain, best[held])


def recall(lists: RankedLists, *, divide_by: Literal["relevant", "achievable"] = "relevant") -> np.ndarray:
    """Return the share of each user's relevant items that the list holds.

    Parameters
    ----------
    lists : RankedLists
        One ranked list per user with a truth, and which of its items are relevant.
    divide_by : {"relevant", "achievable"}
        ``"relevant"``: all relevant items of the user, so a list of 10 cannot reach 1 for one with 20.
        ``"achievable"``: min(k, relevant items), as in Liang et al. (2018).

    Returns
    -------
    ndarray of shape (n_users,), float64
        In [0, 1]; NaN for a user without relevant items.

    References
    ----------
    Liang et al. (2018), "Variational autoencoders for collaborative filtering", WWW (the second form).

    Examples
    --------
    >>> import numpy as np
    >>> lists = RankedLists(np.array([[4, 7]]), np.array([[True, False]]), np.array([4]))
    >>> recall(lists), recall(lists, divide_by="achievable")
    (array([0.25]), array([0.5]))
    """
    _check_lists(lists)
    return _share(lists.hits.sum(1), _denominator(lists, divide_by))


def precision(lists: RankedLists) -> np.ndarray:
    """Return the share of each list's k places that hold a relevant item.

    It divides by ``k`` even where a list ended early: an empty place is a miss.

    Parameters
    ----------
    lists : RankedLists
        One ranked list per user with a truth, and which of its items are relevant.

    Returns
    -------
    ndarray of shape (n_users,), float64
        In [0, 1]; NaN for a user without relevant items.

    Examples
    --------
    >>> import numpy as np
    >>> codes = np.array([[4, 7, -1, -1]])
    >>> precision(RankedLists(codes, codes == 4, np.array([4])))
    array([0.25])
    """
    _check_lists(lists)
    return _share(lists.hits.sum(1), np.where(lists.n_relevant > 0, lists.k, 0))


def mean_reciprocal_rank(lists: RankedLists) -> np.ndarray:
    """Return one over the rank of each list's first hit, and 0 where there is none.

    Parameters
    ----------
    lists : RankedLists
        One ranked list per user with a truth, and which of its items are relevant.

    Returns
    -------
    ndarray of shape (n_users,), float64
        In [0, 1]; NaN for a user without relevant items. The mean over users is the MRR.

    Examples
    --------
    >>> import numpy as np
    >>> mean_reciprocal_rank(RankedLists(np.array([[4, 7]]), np.array([[False, True]]), np.array([1])))
    array([0.5])
    """
    _check_lists(lists)
    first = lists.hits.argmax(1) + 1.0
    return _share(lists.hits.any(1) / first, lists.n_relevant > 0)


def hit_rate(lists: RankedLists) -> np.ndarray:
    """Return 1 for each list with at least one hit, else 0.

    Parameters
    ----------
    lists : RankedLists
        One ranked list per user with a truth, and which of its items are relevant.

    Returns
    -------
    ndarray of shape (n_users,), float64
        0 or 1; NaN for a user without relevant items.

    Examples
    --------
    >>> import numpy as np
    >>> hit_rate(RankedLists(np.array([[4, 7]]), np.array([[False, True]]), np.array([3])))
    array([1.])
    """
    _check_lists(lists)
    return _share(np.asarray(lists.hits.any(1)), lists.n_relevant > 0)


def average_precision(lists: RankedLists, *, divide_by: Literal["achievable", "relevant"] = "achievable") -> np.ndarray:
    """Return the precision at each hit's rank, summed and divided by the hits there could have been.

    Its mean over users is MAP@k.

    Parameters
    ----------
    lists : RankedLists
        One ranked list per user with a truth, and which of its items are relevant.
    divide_by : {"achievable", "relevant"}
        ``"achievable"``: min(k, relevant items of the user), so a perfect list scores 1. ``"relevant"``:
        all of them, as trec_eval and ranx do.

    Returns
    -------
    ndarray of shape (n_users,), float64
        In [0, 1]; NaN for a user without relevant items.

    Examples
    --------
    Hits at ranks 1 and 3 of three relevant items: (1/1 + 2/3) / 3.

    >>> import numpy as np
    >>> lists = RankedLists(np.array([[4, 7, 2]]), np.array([[True, False, True]]), np.array([3]))
    >>> average_precision(lists).round(4)
    array([0.5556])
    """
    _check_lists(lists)
    total, so_far = np.zeros(lists.n_users), np.zeros(lists.n_users)
    for rank in range(lists.k):
        hit = lists.hits[:, rank]
        so_far += hit
        total += hit * (so_far / (rank + 1))
    return _share(total, _denominator(lists, divide_by))


def coverage(lists: RankedLists) -> float:
    """Return the share of the catalogue that at least one user was recommended.

    A model that shows everybody the same ten items sells ten items. One value for all lists: a bootstrap
    over users would make it smaller on average (a resample has fewer different people), so reports give it no
    interval.

    Parameters
    ----------
    lists : RankedLists
        With ``in_catalog``. Listed items outside the catalogue do not count.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ParameterError
        When it is not known what the catalogue is.

    Examples
    --------
    >>> import numpy as np
    >>> codes = np.array([[0, 1], [1, -1]])
    >>> coverage(RankedLists(codes, codes == 1, np.ones(2, int), in_catalog=np.ones(8, bool)))
    0.25
    """
    _check_lists(lists)
    if lists.in_catalog is None or not lists.in_catalog.any():
        raise ParameterError(
            "coverage needs to know the catalogue, and lists given as frames do not contain it. "
            "Write evaluate(..., train=past), or train=om.Dataset(catalog=catalog)."
        )
    shown = np.zeros(lists.in_catalog.size + 1, np.bool_)  # one more for the code -1
    shown[lists.codes] = True
    return int((shown[:-1] & lists.in_catalog).sum()) / int(lists.in_catalog.sum())


def novelty(lists: RankedLists) -> np.ndarray:
    """Return how unexpected the items of each list are: their mean self-information, in bits.

    An item that a share p of the training users has scores -log2(p): 0 bits if everybody has it, 10
    bits if one user in 1,024 has. An item nobody has counts as if one user had it.

    Parameters
    ----------
    lists : RankedLists
        With ``popularity`` and ``n_train_users``.

    Returns
    -------
    ndarray of shape (n_users,), float64
        In [0, log2(n_train_users)]; the mean over the items shown, NaN for an empty list.

    Raises
    ------
    ParameterError
        When there is no training data to count in.

    References
    ----------
    Zhou et al. (2010), "Solving the apparent diversity-accuracy dilemma of recommender systems",
    PNAS 107(10).

    Examples
    --------
    >>> import numpy as np
    >>> codes = np.array([[0, 1]])
    >>> lists = RankedLists(
    ...     codes, codes == 0, np.array([1]), popularity=np.array([8, 2]), n_train_users=8
    ... )
    >>> novelty(lists)                             # (0 bits + 2 bits) / 2
    array([1.])
    """
    _check_lists(lists)
    if lists.popularity is None or lists.n_train_users < 1:
        raise ParameterError(
            "novelty needs the training data to know how popular items are. Write evaluate(..., train=train)."
        )
    bits = np.log2(lists.n_train_users) - np.log2(np.maximum(lists.popularity, 1))
    bits = np.append(bits, 0.0)  # the code -1 points here
    total, shown = np.zeros(lists.n_users), np.zeros(lists.n_users)
    for rank in range(lists.k):
        total += bits[lists.codes[:, rank]]
        shown += lists.codes[:, rank] >= 0
    return _share(total, shown)


def diversity(lists: RankedLists, *, by: str = "cooccurrence") -> np.ndarray:
    """Return how different the items within each list are from one another, over all pairs.

    Parameters
    ----------
    lists : RankedLists
        With ``vectors[by]``.
    by : str
        ``"cooccurrence"`` (needs training data): two items differ by 1 minus the cosine of their columns of
        training users, so 1 means that no user has both. ``"category"`` (needs a catalogue with
        categories): they differ by 1 if their categories differ, else 0.

    Returns
    -------
    ndarray of shape (n_users,), float64
        Mean over the pairs of items of which something is known (an item with training users, or with a
        category); in [0, 1]; NaN for a list with no such pair.

    Raises
    ------
    ParameterError
        When there is nothing to compare items by.

    Notes
    -----
    Two exact ways, and the cheaper one is taken. With short vectors (categories): for m vectors of length 1
    with sum s the mean cosine is (s's - m) / (m (m - 1)), so no pairs are needed. With long ones (many
    training users): cosines of the items shown, each computed once, are looked up pair by pair.

    References
    ----------
    Ziegler et al. (2005), "Improving recommendation lists through topic diversification", WWW.

    Examples
    --------
    Three items, the first two of one category: two of three pairs differ.

    >>> import numpy as np
    >>> from scipy.sparse import csr_matrix
    >>> lists = RankedLists(np.array([[0, 1, 2]]), np.zeros((1, 3), bool), np.array([1]),
    ...                     vectors={"category": csr_matrix([[1.0, 0], [1, 0], [0, 1]])})
    >>> diversity(lists, by="category").round(4)
    array([0.6667])
    """
    _check_lists(lists)
    if not isinstance(by, str) or by not in lists.vectors:
        fix = {
            "cooccurrence": (
                "Write evaluate(..., train=train), or partial(om.evaluation.diversity, by='category') with a catalog."
            ),
            "category": (
                "Write evaluate(..., train=om.Dataset(catalog=catalog)) with a catalogue that has a category column."
            ),
        }.get(shown(by).strip("'"), "Use 'cooccurrence' or 'category'.")
        raise ParameterError(f"diversity cannot compare items by {shown(by)}: nothing was given to do so. {fix}")
    return _mean_distance(lists.codes, lists.vectors[by])


def metric_name(metric: Metric) -> str:
    """Return what a report calls a metric: the function's name, and the options a ``partial`` changes.

    Parameters
    ----------
    metric : callable

    Returns
    -------
    str

    Raises
    ------
    ParameterError
        When a metric is not a function, or a ``partial`` holds positional arguments.

    >>> from functools import partial
    >>> metric_name(partial(ndcg, ideal="all"))
    'ndcg(ideal=all)'
    """
    import functools

    if isinstance(metric, functools.partial):
        if metric.args:
            raise ParameterError(
                f"a metric's options are given by name: {metric!r} has positional ones. "
                "Write functools.partial(om.ndcg, ideal='all')."
            )
        options = ", ".join(f"{name}={value}" for name, value in sorted(metric.keywords.items()))
        return f"{metric_name(metric.func)}({options})" if options else metric_name(metric.func)
    if not callable(metric):
        raise ParameterError(
            f"metrics must be functions such as om.ndcg. Got {shown(metric)} ({type(metric).__name__}). "
            "Write metrics=[om.ndcg, om.recall]."
        )
    return str(getattr(metric, "__name__", type(metric).__name__))


def _check_lists(lists: Any) -> None:
    check_kind(lists, RankedLists, "lists", "evaluate({'model': lists}, truth, k=10, metrics=[om.ndcg])")


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, NaN where the whole is 0."""
    answer = np.full(part.shape, np.nan)
    np.divide(part, whole, out=answer, where=whole > 0)
    return answer


def _denominator(lists: RankedLists, divide_by: str) -> np.ndarray:
    check_choice(divide_by, "divide_by", ("relevant", "achievable"))
    return np.minimum(lists.n_relevant, lists.k) if divide_by == "achievable" else lists.n_relevant


def _mean_distance(codes: np.ndarray, vectors: Any) -> np.ndarray:
    """Return 1 - the mean cosine over the pairs of each row; (n, k) codes, (n_items, d) unit vectors."""
    known = np.append(np.diff(vectors.indptr) > 0, False)[codes]
    size = known.sum(1)
    shown = np.unique(codes[known])
    vectors = vectors[shown]
    position = np.searchsorted(shown, codes).astype(np.int64)
    times_shown = np.bincount(position[known], minlength=shown.size)
    cost_of_sums = int(times_shown @ np.diff(vectors.indptr))
    # Measured: a term of a sum takes about twice as long as a term of a cosine.
    cost_of_pairs = int((np.bincount(vectors.indices) ** 2).sum()) + int((size**2).sum())
    cosines = _cosines_by_sums if 2 * cost_of_sums <= cost_of_pairs else _cosines_by_pairs
    distance = 1.0 - _share(cosines(position, known, vectors) - size, size * (size - 1.0))
    return np.clip(distance, 0.0, 1.0)  # rounding only: vectors without negative parts have cosines in [0, 1]


def _cosines_by_sums(position: np.ndarray, known: np.ndarray, vectors: Any) -> np.ndarray:
    """Return the cosines of all ordered pairs of each row's items, summed: the squared length of their sum."""
    from scipy.sparse import csr_matrix

    answer = np.zeros(position.shape[0])
    longest = int(np.diff(vectors.indptr).max(initial=0))
    for rows in row_blocks(position.shape[0], 24 * position.shape[1] * max(1, longest)):
        row, rank = np.nonzero(known[rows])
        ones = np.ones(row.size), (row, position[rows][row, rank])
        total = csr_matrix(ones, shape=(known[rows].shape[0], vectors.shape[0])) @ vectors
        owner = np.repeat(np.arange(total.shape[0]), np.diff(total.indptr))
        answer[rows] = np.bincount(owner, total.data**2, minlength=total.shape[0])
    return answer


def _cosines_by_pairs(position: np.ndarray, known: np.ndarray, vectors: Any) -> np.ndarray:
    """Return the same sums as `_cosines_by_sums`, from the cosine of each pair of items."""
    answer = np.zeros(position.shape[0])
    column = np.where(known, position, vectors.shape[0])  # one column more, of zeros, for what is not known
    order = np.argsort(column, axis=None, kind="stable")
    ordered = column.ravel()[order]
    other = vectors.T.tocsr()
    for items in row_blocks(vectors.shape[0], 32 * (vectors.shape[0] + 1)):
        cosine = np.zeros((items.stop - items.start, vectors.shape[0] + 1))
        cosine[:, :-1] = (vectors[items] @ other).toarray()
        places = order[slice(*np.searchsorted(ordered, [items.start, items.stop]))]
        row = places // position.shape[1]
        item = column.ravel()[places] - items.start
        for rank in range(position.shape[1]):
            answer += np.bincount(row, cosine[item, column[row, rank]], minlength=answer.size)
    return answer
