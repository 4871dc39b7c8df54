"""After the purchase: when it will be needed again, what goes with it, and what was left unfinished."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from omnireco._core.checks import (
    check_duration,
    check_flag,
    check_instant,
    check_integer,
    check_k,
    check_known,
    check_names,
    check_number,
    count_of,
)
from omnireco._core.compute import Progress
from omnireco._core.contract import Estimator
from omnireco._core.parts import Parts, coded, counts, declare, freeze, numbers
from omnireco._core.small import Each, Number, Text
from omnireco._core.units import DAY_US
from omnireco.data.events import EventLog, require_events
from omnireco.data.frames.columns import instants_to_pandas
from omnireco.data.parts import Ids
from omnireco.data.recommendations import Recommendations
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.errors import EmptyError, ParameterError
from omnireco.models.base import events_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FollowUps", "FollowUpsModel", "RefillModel", "Refills", "unfinished"]

_ROUNDS = 4
_LONGEST = 16.0  # log of days: 24,000 years
_LAST_DAY = 253_402_214_400_000_000  # 9999-12-31, in UTC microseconds: later dates are written as this one


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FollowUps(Estimator):
    """What people buy after something, more than they would anyway.

    After the tent comes the mat, not before; after the printer the ink. A similarity cannot tell the two directions
    apart. Here every person counts once per pair, and only purchases whose window has passed are counted.

    Parameters
    ----------
    within : str or timedelta
        How long after the first purchase of an item a follow-up counts.
    events : iterable of str, optional
        Types that are purchases; all by default.
    prior : float
        Imagined people per pair, at the rate of everybody: what a lift from few people is pulled by.
    most : int
        How many items of a person are looked at per item: those first bought next after it, strictly later.

    Notes
    -----
    With n(i) the people who bought i, at least ``within`` before the end of the log, a(i, j) those of them who first
    bought j within the window after, strictly, and r(j) the same share over all items i:
    ``lift = (a + prior) / (n r + prior)``, the posterior mean of a Gamma(prior, prior) factor on a Poisson count; its
    interval holds 90 %. Deterministic; cost O(first purchases x most).

    References
    ----------
    DuMouchel, "Bayesian data mining in large frequency tables", The American Statistician 1999.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.to_datetime(["2025-05-01", "2025-05-03", "2025-05-01", "2025-05-06", "2025-08-01"], utc=True)
    >>> log = EventLog.from_frame(pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "channel": "web", "event": "purchase",
    ...                                         "item_id": ["tent", "mat", "tent", "mat", "tea"], "timestamp": days}))
    >>> FollowUps(prior=0.5).fit(log).to_frame()[["item_id", "next_item_id", "people"]].values.tolist()
    [['tent', 'mat', 2]]
    """

    within: Any = "30D"
    events: Iterable[str] | None = None
    prior: float = 5.0
    most: int = 50

    def __post_init__(self) -> None:
        check_duration(self.within, "within")
        if self.events is not None:
            object.__setattr__(self, "events", check_names(self.events, "events"))
        check_number(self.prior, "prior", above=0)
        check_integer(self.most, "most", low=1)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> FollowUpsModel:
        """Count what came after what.

        Raises
        ------
        EmptyError
            When no purchase lies at least ``within`` before the end of the log.
        """
        from scipy.special import gammaincinv

        log = events_of(data, "FollowUps.fit")
        user, item, at = _purchases(log, self.events, "FollowUps.fit")
        window, m = check_duration(self.within, "within"), log.n_items
        _, first = np.unique(user.astype(np.int64) * m + item, return_index=True)  # rows are in order of time
        first = first[np.lexsort([item[first], at[first], user[first]])]
        user, item, at = user[first], item[first], at[first]
        open_until = at + window <= log.end_us
        if not open_until.any():
            raise EmptyError(
                f"FollowUps.fit: no purchase lies {self.within} before the end of the log, so nothing can have "
                "followed it for sure. Take a shorter window, or a longer log."
            )
        bought = np.bincount(item[open_until], minlength=m).astype(np.float64)
        found: list[np.ndarray] = []
        ends = np.flatnonzero(np.r_[(np.diff(user) != 0) | (np.diff(at) != 0), True]) + 1
        later = np.repeat(ends, np.diff(np.r_[0, ends]))  # one basket is one moment: where the next one begins
        source = np.flatnonzero(open_until)
        for step in range(self.most):
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
        shape, scale = people + self.prior, expected + self.prior
        low, high = (gammaincinv(shape, q) / scale for q in (0.05, 0.95))
        columns = source.astype(np.int32), after.astype(np.int32), people, shape / scale, low, high
        return FollowUpsModel(log.items, bought.astype(np.int64), *columns)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FollowUpsModel:
    """Which items follow which, how strongly and how surely.

    Parameters
    ----------
    items : Vocabulary
    bought : ndarray of shape (n_items,), int64
        People whose purchase of each was followed for the whole window.
    item, after : ndarray of shape (n,), int32
        Pairs that occurred.
    people : ndarray of shape (n,), int64
    lift, low, high : ndarray of shape (n,), float64
        Shrunk lift, and the ends of its 90 % interval.
    """

    items: Vocabulary
    bought: np.ndarray
    item: np.ndarray
    after: np.ndarray
    people: np.ndarray
    lift: np.ndarray
    low: np.ndarray
    high: np.ndarray

    parts: ClassVar[Parts] = {
        "items": Ids(),
        "bought": counts("items"),
        "item": coded("items", "pairs"),
        "after": coded("items", "pairs"),
        "people": counts("pairs"),
        **{name: numbers("pairs", low=0.0) for name in ("lift", "low", "high")},
    }

    def __post_init__(self) -> None:
        freeze(self)

    def __repr__(self) -> str:
        return f"FollowUpsModel({count_of(len(self.items), 'item')}, {count_of(self.item.size, 'pair')})"

    def recommend(self, items: Any, *, k: int, sure: bool = True) -> Recommendations:
        """Return what follows each of the given items.

        Parameters
        ----------
        items : array-like of item ids, unique
        k : int
        sure : bool
            Only pairs whose whole interval lies above 1.

        Returns
        -------
        Recommendations
            Its ``users`` are the items asked about; the scores are the lower ends of the lifts' intervals.
        """
        from omnireco.data.vocabulary import distinct_codes

        k, sure = check_k(k), check_flag(sure, "sure")
        asked = distinct_codes(self.items, items)
        codes = np.full((asked.size, k), NONE, np.int32)
        scores = np.full((asked.size, k), -np.inf, np.float32)
        order = np.lexsort([self.after, -self.low, self.item])
        start = np.searchsorted(self.item[order], np.arange(len(self.items) + 1))
        for row, code in enumerate(asked):
            mine = order[start[code] : start[code + 1]]
            best = mine[self.low[mine] > 1][:k] if sure else mine[:k]
            codes[row, : best.size], scores[row, : best.size] = self.after[best], self.low[best]
        return Recommendations(self.items.take(asked), self.items, codes, scores)

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas frame: item_id next_item_id people bought lift low high, surest lifts first."""
        import pandas as pd

        order = np.lexsort([self.after, self.item, -self.low])
        columns = {
            "item_id": self.items.decode(self.item[order]),
            "next_item_id": self.items.decode(self.after[order]),
            "people": self.people[order],
            "bought": self.bought[self.item[order]],
        }
        return pd.DataFrame(columns | {name: getattr(self, name)[order] for name in ("lift", "low", "high")})


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Refills(Estimator):
    """Learn when things are needed again, from the intervals at which people bought them.

    Parameters
    ----------
    events : iterable of str, optional
        Types that are purchases; all by default.
    prior : float
        Imagined intervals of an item at the rate of everybody.

    Notes
    -----
    The logarithm of an interval in days is Normal. Its mean is the item's, plus what is known of the person, plus
    what is known of this person with this item, each shrunk by the ratio of variances that the log shows. Open
    intervals count too: somebody who bought once and has not come back says that the interval is longer than that, or
    that they will not come back; the share of the latter is estimated along (a cure model, by EM). Deterministic;
    O(purchases).

    References
    ----------
    Boag, "Maximum likelihood estimates of the proportion of patients cured by cancer therapy", JRSS B 1949, for
    log-normal times of which some never end; shrinkage: Efron and Morris, JASA 1975.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.to_datetime(["2025-05-01", "2025-05-11", "2025-05-21", "2025-05-31"], utc=True)
    >>> log = EventLog.from_frame(pd.DataFrame({"user_id": 1, "item_id": "coffee", "channel": "web",
    ...                                         "event": "purchase", "timestamp": days}))
    >>> due = Refills().fit(log).due(log, at="2025-06-05")
    >>> due["due_at"].dt.date.astype(str).tolist()
    ['2025-06-10']
    """

    events: Iterable[str] | None = None
    prior: float = 3.0

    def __post_init__(self) -> None:
        if self.events is not None:
            object.__setattr__(self, "events", check_names(self.events, "events"))
        check_number(self.prior, "prior", above=0)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> RefillModel:
        """Return the model.

        Raises
        ------
        EmptyError
            When nobody bought anything twice.
        """
        log = events_of(data, "Refills.fit")
        user, item, at = _purchases(log, self.events, "Refills.fit")
        m = log.n_items
        key = user.astype(np.int64) * m + item
        order = np.lexsort([at, key])
        key, at = key[order], at[order]
        again = (key[1:] == key[:-1]) & (at[1:] > at[:-1])
        y = np.log(np.maximum(np.diff(at)[again] / DAY_US, 1 / 24))
        pair, place = np.unique(key[1:][again], return_inverse=True)
        if not y.size:
            raise EmptyError("Refills.fit: nobody bought anything twice, so no interval is known. Group items first.")
        n = np.bincount(place)
        mean = np.bincount(place, weights=y) / n
        within = float(((y - mean[place]) ** 2).sum() / max(1, y.size - pair.size)) if y.size > pair.size else 0.25
        within = max(within, 0.01)
        ends = np.flatnonzero(np.r_[key[1:] != key[:-1], True])
        open_item = (key[ends] % m).astype(np.int64)
        opened = np.log(np.maximum((log.end_us - at[ends]) / DAY_US, 1 / 24))
        mu, spread, returning = _item_means(y, (pair % m)[place], open_item, opened, m, self.prior, within)
        left = mean - mu[pair % m]
        between = max(float(np.average(left**2, weights=n) - within * pair.size / n.sum()), 1e-4)
        return RefillModel(log.items, mu, spread, float(within), between, returning, tuple(self.events or ()))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RefillModel:
    """When things are needed again.

    Parameters
    ----------
    items : Vocabulary
    mu : ndarray of shape (n_items,), float64
        Mean log interval in days.
    spread : ndarray of shape (n_items,), float64
        Standard deviation of one log interval of somebody unknown.
    within, between : float
        Variances of log intervals of one person and item, and of such pairs around the item's mean.
    returning : float
        Share of purchases that are followed by another one.
    events : tuple of str
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

    def due(self, log: EventLog, *, at: Any, confidence: float = 0.8, within: Any = "7D") -> pd.DataFrame:
        """Return when each person will need each of their items again.

        Parameters
        ----------
        log : EventLog
            Purchases up to now; only those before ``at`` count, and items the model does not know are left out.
        at : datetime, date or str
            Now: who has not bought again until now will do so later.
        confidence : float
            Probability that the next purchase falls between ``low_at`` and ``high_at``, if there is one.
        within : str or timedelta
            The window that ``chance`` speaks of.

        Returns
        -------
        pandas.DataFrame
            ``user_id item_id purchases last_at due_at low_at high_at chance``, the largest chances first: the median
            date, its interval, and the chance of a purchase within the window from now (never coming back included).
        """
        import pandas as pd

        now, ahead = check_instant(at, "at"), check_duration(within, "within") / DAY_US
        confidence = check_number(confidence, "confidence", above=0)
        if confidence >= 1:
            raise ParameterError(f"confidence must be between 0 and 1. Got {confidence:g}. Write confidence=0.8.")
        user, item, when = _purchases(log, self.events or None, "RefillModel.due")
        code = np.append(self.items.codes(log.items.ids, missing="none"), NONE)[item]
        held = (when < now) & (code != NONE)
        user, code, when = user[held], code[held], when[held]
        m = len(self.items)
        key = user.astype(np.int64) * m + code
        order = np.lexsort([when, key])
        key, when = key[order], when[order]
        fresh = np.r_[True, (np.diff(key) != 0) | (np.diff(when) > 0)][: key.size]
        key, when = key[fresh], when[fresh]
        pair, start, n = np.unique(key, return_index=True, return_counts=True)
        last = when[start + n - 1]
        who, what = pair // m, pair % m
        mean, sd = self._predict(key, when, pair, n, what, who)
        age = np.log(np.maximum((now - last) / DAY_US, 1 / 24))
        tails = [(1 - confidence) / 2, 0.5, (1 + confidence) / 2]
        low, middle, high = (_later(q, mean, sd, age) for q in tails)
        chance = self._chance(mean, sd, age, (now - last) / DAY_US + ahead)
        top = np.lexsort([what, who, -chance])
        dates = {
            name: instants_to_pandas(np.minimum(last[top] + np.round(days[top] * DAY_US).astype(np.int64), _LAST_DAY))
            for name, days in (("due_at", middle), ("low_at", low), ("high_at", high))
        }
        columns = {
            "user_id": log.users.decode(who[top]),
            "item_id": self.items.decode(what[top]),
            "purchases": n[top],
            "last_at": instants_to_pandas(last[top]),
        }
        return pd.DataFrame(columns | dates | {"chance": chance[top]})

    def recommend(self, log: EventLog, *, at: Any, k: int, within: Any = "7D") -> Recommendations:
        """Rank what each person is likely to need within a window, by the chance of it: ready for ``candidates``."""
        k = check_k(k)
        found = self.due(log, at=at, within=within)
        ranked = found.groupby("user_id", sort=False).head(k)[["user_id", "item_id", "chance"]]
        return Recommendations.from_frame(ranked.rename(columns={"chance": "score"}))

    def _predict(
        self, key: np.ndarray, when: np.ndarray, pair: np.ndarray, n: np.ndarray, what: np.ndarray, who: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the next log interval of each pair."""
        same = key[1:] == key[:-1]
        y = np.log(np.maximum(np.diff(when)[same] / DAY_US, 1 / 24))
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

    def _chance(self, mean: np.ndarray, sd: np.ndarray, age: np.ndarray, until: np.ndarray) -> np.ndarray:
        from scipy.special import ndtr

        waiting = np.maximum(ndtr(-(age - mean) / sd), 1e-300)
        later = ndtr(-(np.log(until) - mean) / sd)
        still = self.returning * waiting / (self.returning * waiting + 1.0 - self.returning)
        return np.clip(still * (1.0 - later / waiting), 0.0, 1.0)


def unfinished(
    log: EventLog,
    *,
    at: Any,
    begun: str = "add_to_cart",
    finished: str = "purchase",
    within: Any = "30D",
    idle: Any = "1h",
    missing: Literal["raise", "ignore"] = "raise",
) -> pd.DataFrame:
    """Return what people began and did not finish: carts that were not bought, forms that were not sent.

    Parameters
    ----------
    log : EventLog
    at : datetime, date or str
        Now; later events are not looked at.
    begun, finished : str
        Types of event.
    within : str or timedelta
        Older beginnings are forgotten.
    idle : str or timedelta
        Those who touched the item so recently are still at it.
    missing : {"raise", "ignore"}
        Whether a log without any event of the type ``finished`` is an error, or one in which nothing was finished.

    Returns
    -------
    pandas.DataFrame
        ``user_id item_id channel begun_at last_at touches``, the latest first: where and when the item was last
        begun, when it was last touched by any event, and how often since.

    Raises
    ------
    ParameterError
        When the log has no event of the type ``begun``, or ``finished``.

    Notes
    -----
    One sort; an item finished at the same instant as it was begun is finished. Deterministic.

    Examples
    --------
    >>> import pandas as pd
    >>> times = pd.to_datetime(["2025-05-01 10:00", "2025-05-01 10:05", "2025-05-01 10:09"], utc=True)
    >>> log = EventLog.from_frame(pd.DataFrame({"user_id": 1, "item_id": ["pan", "lid", "lid"], "channel": "web",
    ...     "event": ["add_to_cart", "add_to_cart", "purchase"], "timestamp": times}))
    >>> unfinished(log, at="2025-05-02")["item_id"].tolist()
    ['pan']
    """
    import pandas as pd

    require_events(log, "unfinished")
    now, oldest, pause = check_instant(at, "at"), check_duration(within, "within"), check_duration(idle, "idle")
    check_known([begun], log.events.ids, "unfinished: begun", missing=None)
    check_known([finished], log.events.ids, "unfinished: finished", missing=missing)
    kinds = log.events.codes([begun, finished], missing="none")
    m = max(1, log.n_items)
    rows = np.flatnonzero((log.item != NONE) & (log.at < now))
    pair, place = np.unique(log.user[rows].astype(np.int64) * m + log.item[rows], return_inverse=True)
    never = np.iinfo(np.int64).min
    event, when = log.event[rows], np.take(log.at, rows)
    start, done, touched = (np.full(pair.size, never) for _ in range(3))
    for target, mask in ((start, event == kinds[0]), (done, event == kinds[1]), (touched, event >= 0)):
        np.maximum.at(target, place[mask], when[mask])
    where = np.full(pair.size, NONE)
    last_begun = np.flatnonzero((event == kinds[0]) & (when == start[place]))
    where[place[last_begun]] = log.channel[rows][last_begun]
    touches = np.bincount(place[when >= start[place]], minlength=pair.size)
    left = np.flatnonzero((start != never) & (start > done) & (start >= now - oldest) & (touched <= now - pause))
    left = left[np.lexsort([pair[left], -touched[left]])]
    return pd.DataFrame(
        {
            "user_id": log.users.decode(pair[left] // m),
            "item_id": log.items.decode(pair[left] % m),
            "channel": log.channels.decode(where[left]),
            "begun_at": instants_to_pandas(start[left]),
            "last_at": instants_to_pandas(touched[left]),
            "touches": touches[left],
        }
    )


def _purchases(log: EventLog, events: Iterable[str] | None, verb: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return user, item and time of each purchase, in order of time."""
    require_events(log, verb)
    rows = log.item != NONE
    if events is not None:
        wanted = check_known(events, log.events.ids, f"{verb}: events", missing=None)
        rows = rows & np.isin(log.event, log.events.codes(wanted))
    kept = np.flatnonzero(rows)
    return log.user[kept], log.item[kept], np.take(log.at, kept)


def _item_means(
    y: np.ndarray,
    item: np.ndarray,
    open_item: np.ndarray,
    opened: np.ndarray,
    m: int,
    prior: float,
    within: float,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return mean and spread of log intervals per item, and the share of purchases that are followed by another.

    EM over open intervals: with the chance that somebody is still to come back, their interval is that of a Normal
    above what has passed.
    """
    from scipy.special import log_ndtr

    count = np.bincount(item, minlength=m).astype(np.float64)
    centre, returning = float(y.mean()), y.size / (y.size + opened.size)
    mu = (np.bincount(item, weights=y, minlength=m) + prior * centre) / (count + prior)
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
        mu = (total + prior * centre) / (weight + prior)
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
