"""What goes with a purchase, afterwards: pairs of items in the order in which people buy them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import (
    check_duration,
    check_flag,
    check_integer,
    check_k,
    check_names,
    check_number,
    count_of,
)
from omnireco._core.compute import Progress, check_progress, usable_threads
from omnireco._core.contract import Estimator, says_the_line
from omnireco._core.notebook import shown_rows
from omnireco._core.parts import Parts, coded, counts, freeze, numbers
from omnireco._core.small import Each, Text
from omnireco.data.asking.histories import data_of
from omnireco.data.asking.requests import Requests
from omnireco.data.parts import Ids
from omnireco.data.recommendations import Recommendations
from omnireco.data.vocabulary import NONE, Vocabulary, distinct_codes
from omnireco.errors import EmptyError
from omnireco.journeys.purchases import purchases, purchases_before
from omnireco.models.base import _Eligible, events_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FollowUps", "FollowUpsModel"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FollowUps(Estimator):
    """What people buy after something, more than they would anyway.

    The direction matters: the mat after the tent, the ink after the printer. A similarity cannot tell the two
    directions apart. Here every person counts once per pair, and only purchases whose window has passed are counted.

    Parameters
    ----------
    within : str or timedelta
        How long after the first purchase of an item a follow-up counts.
    events : iterable of str, optional
        Types that are purchases; all by default.
    prior_strength : float
        Prior strength of the lift, in people (a pseudo-count).
    max_next_items : int
        How many items of a person are looked at per item: those first bought next after it, strictly later.

    Notes
    -----
    With n(i) the people who bought i, at least ``within`` before the end of the log, a(i, j) those of them who first
    bought j within the window after, strictly, and r(j) the same share over all items i:
    ``lift = (a + s) / (n r + s)`` with ``s = prior_strength``, the posterior mean of a Gamma(s, s) factor on a
    Poisson count; its
    interval holds 90 %. Deterministic; cost O(first purchases x max_next_items).

    References
    ----------
    DuMouchel, "Bayesian data mining in large frequency tables", The American Statistician 1999.

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> days = pd.to_datetime(["2025-05-01", "2025-05-03", "2025-05-01", "2025-05-06", "2025-08-01"], utc=True)
    >>> log = om.EventLog.from_frame(pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "channel": "web", "event": "purchase",
    ...                                         "item_id": ["tent", "mat", "tent", "mat", "tea"], "timestamp": days}))
    >>> FollowUps(prior_strength=0.5).fit(log).to_frame()[["item_id", "next_item_id", "people"]].values.tolist()
    [['tent', 'mat', 2]]
    """

    within: Any = "30D"
    events: Iterable[str] | None = None
    prior_strength: float = 5.0
    max_next_items: int = 50

    verbs: ClassVar[tuple[str, ...]] = ("recommend", "after", "to_frame", "items")

    def __post_init__(self) -> None:
        check_duration(self.within, "within")
        if self.events is not None:
            object.__setattr__(self, "events", check_names(self.events, "events"))
        check_number(self.prior_strength, "prior_strength", above=0)
        check_integer(self.max_next_items, "max_next_items", low=1)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> FollowUpsModel:
        """Count what came after what.

        Raises
        ------
        EmptyError
            When no purchase lies at least ``within`` before the end of the log.
        """
        from scipy.special import gammaincinv

        log = events_of(data, "FollowUps.fit")
        user, item, at = purchases(log, self.events, "FollowUps.fit")
        window, m = check_duration(self.within, "within"), log.n_items
        _, first = np.unique(user.astype(np.int64) * m + item, return_index=True)  # rows are in order of time
        first = first[np.lexsort([item[first], at[first], user[first]])]
        user, item, at = user[first], item[first], at[first]
        open_until = at + window <= log.end_us
        if not open_until.any():
            raise EmptyError(
                f"FollowUps.fit: no purchase lies {self.within} before the end of the log, so nothing can have "
                "followed it for significant_only. Take a shorter window, or a longer log."
            )
        bought = np.bincount(item[open_until], minlength=m).astype(np.float64)
        found: list[np.ndarray] = []
        ends = np.flatnonzero(np.r_[(np.diff(user) != 0) | (np.diff(at) != 0), True]) + 1
        later = np.repeat(ends, np.diff(np.r_[0, ends]))  # one basket is one moment: where the next one begins
        source = np.flatnonzero(open_until)
        for step in range(self.max_next_items):
            source = source[later[source] + step < item.size]
            follower = later[source] + step
            near = (user[follower] == user[source]) & (at[follower] - at[source] <= window)
            source = source[near]
            if not source.size:
                break
            found.append(item[source].astype(np.int64) * m + item[follower[near]])
        key, people = np.unique(np.concatenate(found) if found else np.empty(0, np.int64), return_counts=True)
        source, after = key // m, key % m
        rate = np.bincount(after, weights=people, minlength=m) / bought.sum()
        expected = bought[source] * rate[after]
        shape, scale = people + self.prior_strength, expected + self.prior_strength
        low, high = (gammaincinv(shape, q) / scale for q in (0.05, 0.95))
        columns = source.astype(np.int32), after.astype(np.int32), people, shape / scale, low, high
        return FollowUpsModel(log.items, bought.astype(np.int64), *columns, tuple(self.events or ()))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FollowUpsModel:
    """Which items follow which, how strongly and how surely.

    Parameters
    ----------
    items : Vocabulary
        Ids of the items that it knows, in the order of their codes.
    bought : ndarray of shape (n_items,), int64
        People whose purchase of each was followed for the whole window.
    item, following : ndarray of shape (n,), int32
        Pairs that occurred: the second was bought after the first.
    people : ndarray of shape (n,), int64
        People who bought both items of the pair, in this order.
    lift, low, high : ndarray of shape (n,), float64
        Shrunk lift, and the ends of its 90 % interval.
    events : tuple of str
        Which types are purchases; all where it is empty.
    """

    items: Vocabulary
    bought: np.ndarray
    item: np.ndarray
    following: np.ndarray
    people: np.ndarray
    lift: np.ndarray
    low: np.ndarray
    high: np.ndarray
    events: tuple[str, ...] = ()

    parts: ClassVar[Parts] = {
        "items": Ids(),
        "bought": counts("items"),
        "item": coded("items", "pairs"),
        "following": coded("items", "pairs"),
        "people": counts("pairs"),
        **{name: numbers("pairs", low=0.0) for name in ("lift", "low", "high")},
        "events": Each(Text()),
    }

    def __post_init__(self) -> None:
        freeze(self)

    def __repr__(self) -> str:
        return f"FollowUpsModel({count_of(len(self.items), 'item')}, {count_of(self.item.size, 'pair')})"

    @says_the_line("model.recommend(data.requests(), k=10), or model.after(items, k=10)")
    def recommend(
        self,
        requests: Requests,
        *,
        k: int,
        significant_only: bool = True,
        eligible: Any = None,
        exclude: Any = None,
        exclude_seen: bool = True,
        threads: int | None = None,
        progress: Progress = False,
    ) -> Recommendations:
        """Rank what follows the items in the basket of each request, or its person's last purchase.

        Parameters
        ----------
        requests : Requests
            Of a Dataset. Where a request has a basket (``given=``), its items are followed; elsewhere those that the
            person bought last, strictly before the request: one basket where several share the instant.
        k : int
            Items per list at most, 1 or more.
        significant_only : bool
            Only pairs whose whole interval lies above 1.
        eligible, exclude : optional
            As in :meth:`omnireco.models.Model.recommend`.
        exclude_seen : bool
            Leave out what the person bought before.
        threads, progress : optional
            Taken as by every recommender; looking pairs up is one step.

        Returns
        -------
        Recommendations
            The score of an item is the largest lower end of a lift's interval over the items that it follows. Who has
            neither a basket nor a purchase gets an empty list.
        """
        k, significant_only, exclude_seen = (
            check_k(k),
            check_flag(significant_only, "significant_only"),
            check_flag(exclude_seen, "exclude_seen"),
        )
        usable_threads(threads)
        check_progress(progress)
        data_of(requests, "FollowUpsModel.recommend")
        n, m = len(requests), max(1, len(self.items))
        allowed = _Eligible.read(eligible, self.items, n, exclude)
        row, bought, at = purchases_before(requests, self.items, self.events or None, "FollowUpsModel.recommend")
        basket = np.empty(0, np.int64), np.empty(0, np.int64)
        barred = [row * m + bought] if exclude_seen else []
        if requests.given is not None:
            basket = requests.given.matrix(self.items, "given=").nonzero()
            barred.append(basket[0].astype(np.int64) * m + basket[1])
        if requests.exclude is not None:
            others = requests.exclude.matrix(self.items, "exclude=").nonzero()
            barred.append(others[0].astype(np.int64) * m + others[1])
        newest = np.full(n, np.iinfo(np.int64).min)
        np.maximum.at(newest, row, at)
        filled = np.zeros(n, np.bool_)
        if requests.given is not None:
            filled = np.diff(requests.given.indptr) > 0
        last = (at == newest[row]) & ~filled[row]
        source = np.unique(np.r_[row[last] * m + bought[last], basket[0].astype(np.int64) * m + basket[1]])
        row, source = source // m, source % m
        order = np.lexsort([self.following, -self.low, self.item])
        start = np.searchsorted(self.item[order], np.arange(len(self.items) + 1))
        length = (start[1:] - start[:-1])[source]
        place = (
            np.repeat(start[source], length) + np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        )
        row, pair = np.repeat(row, length), order[place]
        if significant_only:
            row, pair = row[self.low[pair] > 1], pair[self.low[pair] > 1]
        key = row * m + self.following[pair]
        keep = allowed.cells(row, self.following[pair]) & ~np.isin(
            key, np.concatenate([np.empty(0, np.int64), *barred])
        )
        row, pair, key = row[keep], pair[keep], key[keep]
        best = np.lexsort([-self.low[pair], key])
        best = best[np.r_[True, np.diff(key[best]) != 0][: best.size]]
        best = best[np.lexsort([self.following[pair[best]], -self.low[pair[best]], row[best]])]
        row, pair = row[best], pair[best]
        place = np.arange(row.size) - np.searchsorted(row, row)
        top = place < k
        codes, scores = np.full((n, k), NONE, np.int32), np.full((n, k), -np.inf, np.float32)
        codes[row[top], place[top]] = self.following[pair[top]]
        scores[row[top], place[top]] = self.low[pair[top]]
        return Recommendations(requests.ids, self.items, codes, scores, requests.key)

    @says_the_line("model.after(items, k=5, significant_only=True)")
    def after(self, items: Any, *, k: int, significant_only: bool = True) -> Recommendations:
        """Return what follows each of the given items.

        Parameters
        ----------
        items : array-like of item ids, unique
            The items that are asked about.
        k : int
            Items per list at most, 1 or more.
        significant_only : bool
            Only pairs whose whole interval lies above 1.

        Returns
        -------
        Recommendations
            Its ``users`` are the query items; the scores are the lower ends of the lifts' intervals.
        """
        k, significant_only = check_k(k), check_flag(significant_only, "significant_only")
        queries = distinct_codes(self.items, items)
        codes = np.full((queries.size, k), NONE, np.int32)
        scores = np.full((queries.size, k), -np.inf, np.float32)
        order = np.lexsort([self.following, -self.low, self.item])
        start = np.searchsorted(self.item[order], np.arange(len(self.items) + 1))
        for row, code in enumerate(queries):
            mine = order[start[code] : start[code + 1]]
            best = mine[self.low[mine] > 1][:k] if significant_only else mine[:k]
            codes[row, : best.size], scores[row, : best.size] = self.following[best], self.low[best]
        return Recommendations(self.items.take(queries), self.items, codes, scores, "similar_to")

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_rows("pairs")

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas frame: item_id next_item_id people bought lift low high, surest lifts first."""
        import pandas as pd

        order = np.lexsort([self.following, self.item, -self.low])
        columns = {
            "item_id": self.items.decode(self.item[order]),
            "next_item_id": self.items.decode(self.following[order]),
            "people": self.people[order],
            "bought": self.bought[self.item[order]],
        }
        return pd.DataFrame(columns | {name: getattr(self, name)[order] for name in ("lift", "low", "high")})
