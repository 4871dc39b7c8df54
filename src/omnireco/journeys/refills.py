"""When things are needed again, from the intervals at which people buy them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.checks import check_duration, check_flag, check_k, check_names, check_number, count_of
from omnireco._core.compute import Progress, check_progress, usable_threads
from omnireco._core.contract import Estimator, says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts, declare, numbers
from omnireco._core.small import Each, Number, Text
from omnireco.data.asking.requests import Requests
from omnireco.data.frames.columns import instants_to_pandas
from omnireco.data.parts import Ids
from omnireco.data.recommendations import Recommendations, to_float32
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.errors import EmptyError, ParameterError
from omnireco.journeys.purchases import purchases, purchases_before
from omnireco.models.base import _Eligible, events_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RefillModel", "Refills"]

_DAY = 86_400_000_000
_ROUNDS = 4
_LONGEST = 16.0  # log of days: 24,000 years
_LAST_DAY = 253_402_214_400_000_000  # 9999-12-31, in UTC microseconds: later dates are written as this one


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Refills(Estimator):
    """Learn when things are needed again, from the intervals at which people bought them.

    Parameters
    ----------
    events : iterable of str, optional
        Types that are purchases; all by default.
    prior_strength : float
        Imagined intervals of an item at the rate of everybody.

    Notes
    -----
    The logarithm of an interval in days is Normal. Its mean is the item's, plus what is known of the person, plus what
    is known of this person with this item, each shrunk by the ratio of variances that the log shows. Open intervals are
    right-censored: somebody who has not come back has a longer interval, or churned; the share of the latter is
    estimated along (a cure model, by EM). Deterministic; O(purchases).

    References
    ----------
    Boag, "Maximum likelihood estimates of the proportion of patients cured by cancer therapy", JRSS B 1949, for
    log-normal times of which some never end; shrinkage: Efron and Morris, JASA 1975.

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> days = pd.to_datetime(["2025-05-01", "2025-05-11", "2025-05-21", "2025-05-31"], utc=True)
    >>> log = om.EventLog.from_frame(pd.DataFrame({"user_id": 1, "item_id": "coffee", "channel": "web",
    ...                                         "event": "purchase", "timestamp": days}))
    >>> data = om.Dataset(log)
    >>> due = Refills().fit(data).due(data.requests(at="2025-06-05"))
    >>> due["due_at"].dt.date.astype(str).tolist()
    ['2025-06-10']
    """

    events: Iterable[str] | None = None
    prior_strength: float = 3.0

    verbs: ClassVar[tuple[str, ...]] = ("recommend", "due", "items")

    def __post_init__(self) -> None:
        if self.events is not None:
            object.__setattr__(self, "events", check_names(self.events, "events"))
        check_number(self.prior_strength, "prior_strength", above=0)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> RefillModel:
        """Return the model.

        Raises
        ------
        EmptyError
            When there are no repeat purchases.
        """
        log = events_of(data, "Refills.fit")
        user, item, at = purchases(log, self.events, "Refills.fit")
        m = log.n_items
        key = user.astype(np.int64) * m + item
        order = np.lexsort([at, key])
        key, at = key[order], at[order]
        again = (key[1:] == key[:-1]) & (at[1:] > at[:-1])
        y = np.log(np.maximum(np.diff(at)[again] / _DAY, 1 / 24))
        pair, place = np.unique(key[1:][again], return_inverse=True)
        if not y.size:
            raise EmptyError("Refills.fit: there are no repeat purchases, so no interval is known. Group items first.")
        n = np.bincount(place)
        mean = np.bincount(place, weights=y) / n
        within = float(((y - mean[place]) ** 2).sum() / max(1, y.size - pair.size)) if y.size > pair.size else 0.25
        within = max(within, 0.01)
        ends = np.flatnonzero(np.r_[key[1:] != key[:-1], True])
        open_item = (key[ends] % m).astype(np.int64)
        opened = np.log(np.maximum((log.end_us - at[ends]) / _DAY, 1 / 24))
        mu, spread, returning = _item_means(y, (pair % m)[place], open_item, opened, m, self.prior_strength, within)
        left = mean - mu[pair % m]
        between = max(float(np.average(left**2, weights=n) - within * pair.size / n.sum()), 1e-4)
        return RefillModel(log.items, mu, spread, float(within), between, returning, tuple(self.events or ()))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RefillModel:
    """When things are needed again.

    Parameters
    ----------
    items : Vocabulary
        Ids of the items that it knows, in the order of their codes.
    mu : ndarray of shape (n_items,), float64
        Mean log interval in days.
    spread : ndarray of shape (n_items,), float64
        Standard deviation of one log interval of somebody unknown.
    within, between : float
        Variances of log intervals of one person and item, and of such pairs around the item's mean.
    returning : float
        Share of purchases that are followed by another one.
    events : tuple of str
        The event types that it counts; all where it is empty.
    """

    items: Vocabulary
    mu: np.ndarray
    spread: np.ndarray
    within: float
    between: float
    returning: float
    events: tuple[str, ...]

    parts: ClassVar[Parts] = {
        "items": Ids(),
        "mu": numbers("items"),
        "spread": numbers("items", low=0.0),
        **{name: Number(1e-9, 1e9) for name in ("within", "between")},
        "returning": Number(0.0, 1.0),
        "events": Each(Text()),
    }

    def __post_init__(self) -> None:
        for name in ("within", "between"):  # they are divided by
            check_number(getattr(self, name), name, low=1e-9, high=1e9)
        declare(self)

    def __repr__(self) -> str:
        return f"RefillModel({count_of(len(self.items), 'item')}, typical {np.exp(np.median(self.mu)):.0f} days)"

    _repr_html_ = shown_html

    @says_the_line("model.due(data.requests(at=now))")
    def due(self, requests: Requests, *, confidence: float = 0.8, within: Any = "7D") -> pd.DataFrame:
        """Return when the users of the requests will need each of their items again.

        Parameters
        ----------
        requests : Requests
            ``data.requests(at=now)``: only purchases strictly before each request's instant count, and items the model
            does not know are left out. Who has not bought again until then will do so later.
        confidence : float
            Probability that the next purchase falls between ``low_at`` and ``high_at``, if there is one.
        within : str or timedelta
            The window of ``probability``.

        Returns
        -------
        pandas.DataFrame
            ``user_id item_id purchases last_at due_at low_at high_at probability`` (``request_id`` where somebody asks
            more than once), the largest probabilities first: the median date, its interval, and the probability of a
            purchase within the window from the request on (never coming back included).
        """
        import pandas as pd

        ahead = check_duration(within, "within") / _DAY
        confidence = check_number(confidence, "confidence", above=0)
        if confidence >= 1:
            raise ParameterError(f"confidence must be between 0 and 1. Got {confidence:g}. Write confidence=0.8.")
        who, what, n, last, mean, sd, probability = self._waiting(requests, ahead, "RefillModel.due")
        age = np.log(np.maximum((np.take(requests.at, who) - last) / _DAY, 1 / 24))
        tails = [(1 - confidence) / 2, 0.5, (1 + confidence) / 2]
        low, middle, high = (_later(q, mean, sd, age) for q in tails)
        top = np.lexsort([what, who, -probability])
        dates = {
            name: instants_to_pandas(np.minimum(last[top] + np.round(days[top] * _DAY).astype(np.int64), _LAST_DAY))
            for name, days in (("due_at", middle), ("low_at", low), ("high_at", high))
        }
        columns = {
            requests.key: requests.ids.decode(who[top]),
            "item_id": self.items.decode(what[top]),
            "purchases": n[top],
            "last_at": instants_to_pandas(last[top]),
        }
        return pd.DataFrame(columns | dates | {"probability": probability[top]})

    @says_the_line("model.recommend(data.requests(at=now), k=10)")
    def recommend(
        self,
        requests: Requests,
        *,
        k: int,
        within: Any = "7D",
        eligible: Any = None,
        exclude: Any = None,
        exclude_seen: bool = False,
        threads: int | None = None,
        progress: Progress = False,
    ) -> Recommendations:
        """Rank what the users are likely to need within a window, by its probability: ready for ``candidates``.

        Parameters
        ----------
        requests : Requests
            As in :meth:`due`.
        k : int
            Items per list at most, 1 or more.
        within : str or timedelta
            The window, from the request on.
        eligible, exclude : optional
            As in :meth:`omnireco.models.Model.recommend`.
        exclude_seen : bool
            Only False: what is needed again has been bought before.
        threads, progress : optional
            Taken as by every recommender; the probabilities are one step.

        Returns
        -------
        Recommendations
            The scores are the probabilities of a purchase; items nobody bought before are in no list.

        Raises
        ------
        ParameterError
            With ``exclude_seen=True``.
        """
        k = check_k(k)
        usable_threads(threads)
        check_progress(progress)
        if check_flag(exclude_seen, "exclude_seen"):
            raise ParameterError(
                "RefillModel.recommend: what is needed again has been bought before, so without seen items nothing is "
                "left. Leave exclude_seen out."
            )
        ahead = check_duration(within, "within") / _DAY
        row, item, _, _, _, _, probability = self._waiting(requests, ahead, "RefillModel.recommend")
        n, m = len(requests), max(1, len(self.items))
        wanted = _Eligible.read(eligible, self.items, n, exclude).cells(row, item)
        for name in ("given", "exclude"):
            if (held := getattr(requests, name)) is not None:
                others = held.matrix(self.items, f"{name}=").nonzero()
                wanted &= ~np.isin(row * m + item, others[0].astype(np.int64) * m + others[1])
        row, item, probability = row[wanted], item[wanted], probability[wanted]
        order = np.lexsort([item, -probability, row])
        row, item, probability = row[order], item[order], probability[order]
        place = np.arange(row.size) - np.searchsorted(row, row)
        top = place < k
        codes, scores = np.full((n, k), NONE, np.int32), np.full((n, k), -np.inf, np.float32)
        codes[row[top], place[top]], scores[row[top], place[top]] = item[top], to_float32(probability[top])
        return Recommendations(requests.ids, self.items, codes, scores, requests.key)

    def _waiting(self, requests: Requests, ahead: float, verb: str) -> tuple[np.ndarray, ...]:
        """Return who waits for what: request, item, purchases, last, mean and sd of the log interval, probability."""
        row, code, when = purchases_before(requests, self.items, self.events or None, verb)
        m = max(1, len(self.items))
        key = row * m + code
        order = np.argsort(key, kind="stable")  # rows of a request are in order of time
        key, when = key[order], when[order]
        fresh = np.r_[True, (np.diff(key) != 0) | (np.diff(when) > 0)][: key.size]
        key, when = key[fresh], when[fresh]
        pair, start, n = np.unique(key, return_index=True, return_counts=True)
        last = when[start + n - 1]
        who, what = pair // m, pair % m
        mean, sd = self._predict(key, when, pair, n, what, who)
        days = (np.take(requests.at, who) - last) / _DAY
        probability = self._probability(mean, sd, np.log(np.maximum(days, 1 / 24)), days + ahead)
        return who, what, n, last, mean, sd, probability

    def _predict(
        self, key: np.ndarray, when: np.ndarray, pair: np.ndarray, n: np.ndarray, what: np.ndarray, who: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the next log interval of each pair."""
        same = key[1:] == key[:-1]
        y = np.log(np.maximum(np.diff(when)[same] / _DAY, 1 / 24))
        place = np.searchsorted(pair, key[1:][same])
        gaps = n - 1.0
        left = np.bincount(place, weights=y - self.mu[what[place]], minlength=pair.size)
        # the person over all their items: each pair's mean deviates by between + within / gaps
        precision = np.where(gaps > 0, 1.0 / (self.between + self.within / np.maximum(gaps, 1)), 0.0)
        people = int(who.max(initial=-1)) + 1
        known = np.bincount(who, weights=precision, minlength=people)
        pull = np.bincount(who, weights=precision * left / np.maximum(gaps, 1), minlength=people)
        person = pull / (known + 2.0 / self.between)  # half of what separates pairs is taken to be the person's
        own = gaps / (gaps + self.within / self.between)
        shift = person[who] + own * (left / np.maximum(gaps, 1) - person[who])
        # an item's own spread is that of strangers; what is known of the pair takes its part away
        noise = np.maximum(self.spread[what] ** 2 - self.between, 0.25 * self.within)
        return self.mu[what] + shift, np.sqrt(noise + self.between * (1 - own))

    def _probability(self, mean: np.ndarray, sd: np.ndarray, age: np.ndarray, until: np.ndarray) -> np.ndarray:
        from scipy.special import ndtr

        waiting = np.maximum(ndtr(-(age - mean) / sd), 1e-300)
        later = ndtr(-(np.log(until) - mean) / sd)
        still = self.returning * waiting / (self.returning * waiting + 1.0 - self.returning)
        return np.clip(still * (1.0 - later / waiting), 0.0, 1.0)


def _item_means(
    y: np.ndarray,
    item: np.ndarray,
    open_item: np.ndarray,
    opened: np.ndarray,
    m: int,
    prior_strength: float,
    within: float,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return mean and spread of log intervals per item, and the share of purchases that are followed by another.

    EM over open intervals: with the probability that somebody is still to come back, their interval is that of a Normal
    above what has passed.
    """
    from scipy.special import log_ndtr

    count = np.bincount(item, minlength=m).astype(np.float64)
    centre, returning = float(y.mean()), y.size / (y.size + opened.size)
    mu = (np.bincount(item, weights=y, minlength=m) + prior_strength * centre) / (count + prior_strength)
    spread = np.full(m, np.sqrt(max(within, float(((y - mu[item]) ** 2).mean()))))
    for _ in range(_ROUNDS):
        z = (opened - mu[open_item]) / spread[open_item]
        waiting = np.exp(log_ndtr(-z))
        still = returning * waiting / (returning * waiting + 1.0 - returning)
        hazard = np.exp(-0.5 * z**2 - log_ndtr(-z)) / np.sqrt(2 * np.pi)
        value = mu[open_item] + spread[open_item] * hazard
        square = spread[open_item] ** 2 * (1.0 + z * hazard - hazard**2)
        weight = count + np.bincount(open_item, weights=still, minlength=m)
        total = np.bincount(item, weights=y, minlength=m)
        total += np.bincount(open_item, weights=still * value, minlength=m)
        centre = float(total.sum() / weight.sum())
        mu = (total + prior_strength * centre) / (weight + prior_strength)
        off = np.bincount(item, weights=(y - mu[item]) ** 2, minlength=m)
        off += np.bincount(open_item, weights=still * (square + (value - mu[open_item]) ** 2), minlength=m)
        common = float(off.sum() / weight.sum())
        spread = np.sqrt((off + 10.0 * common) / (weight + 10.0))
        returning = float(np.clip((y.size + still.sum()) / (y.size + opened.size), 0.01, 0.999))
    return mu, spread, returning


def _later(q: float, mean: np.ndarray, sd: np.ndarray, age: np.ndarray) -> np.ndarray:
    """Return the q-quantile, in days, of a log-normal interval that has already lasted exp(age) days."""
    from scipy.special import ndtr, ndtri

    waiting = np.maximum(ndtr(-(age - mean) / sd), 1e-12)
    z = -ndtri((1.0 - q) * waiting)
    return np.exp(np.minimum(np.maximum(mean + sd * z, age), _LONGEST))
