"""What an event is worth and what it says: learned from data, accepted only when it pays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import (
    check_array,
    check_flag,
    check_integer,
    check_k,
    check_known,
    check_names,
    check_number,
    count_of,
    shown,
)
from omnireco._core.compute import Progress, ticker
from omnireco._kernels.bootstrap import percentile_interval, resampled_means
from omnireco.data.events import EventLog, Split, require_events
from omnireco.data.interactions import Interactions
from omnireco.data.splits import fingerprint, split_rolling
from omnireco.data.vocabulary import NONE
from omnireco.data.weights import Weights, check_names_of
from omnireco.errors import EmptyError, ParameterError
from omnireco.evaluation.hits import find_hits
from omnireco.evaluation.metrics import Metric, RankedLists, metric_name, ndcg
from omnireco.evaluation.moves import (
    Move,
    Setting,
    factor_moves,
    half_life_moves,
    scaled_weights,
    target_moves,
    tuning_moves,
)
from omnireco.models.base import Model

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LearnedWeights", "learn_weights", "mean_of", "values_of"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LearnedWeights:
    """What :func:`learn_weights` found, and whether it may be used.

    Parameters
    ----------
    weights : Weights
        What to use: the found ones when ``accepted``, the start otherwise.
    estimator : object
        What to fit on their matrix: the estimator with its parameters tuned for these weights.
    start, found : Weights
        What was begun with, and the best of the search.
    start_estimator : object
        The estimator with its parameters tuned for the start: what the found weights were held against.
    accepted : bool
        Whether the interval of the gain on the last window, which the search never saw, lies above 0.
    gain, low, high : float
        Mean difference of the metric per person, found minus start, on the last window, and its interval. Each side
        has its own tuned parameters. Where these end at the edge of what was tried (compare ``start_estimator`` and
        ``estimator``), a part of the gain is tuning: give wider ``parameters`` before reading it as what weights add.
    signal : tuple of (channel, gain, low, high)
        For each channel, what the found weights lose on the last window without it, in pairs. An interval that
        holds 0 says: no signal that this much data can show.
    trials : tuple of (name, mean)
        Every step of the search and the metric on the windows it looked at.
    metric : str
    n_people : int
        People the gain is measured on.
    split : str
        Fingerprint of the last window's two sides.
    """

    weights: Weights
    estimator: Any
    start: Weights
    start_estimator: Any
    found: Weights
    accepted: bool
    gain: float
    low: float
    high: float
    signal: tuple[tuple[str, float, float, float], ...]
    trials: tuple[tuple[str, float], ...]
    metric: str
    n_people: int
    split: str

    def __repr__(self) -> str:
        verdict = "accepted" if self.accepted else "not accepted"
        return (
            f"LearnedWeights({verdict}: {self.metric} {self.gain:+.4f} [{self.low:+.4f}, {self.high:+.4f}] over "
            f"{count_of(self.n_people, 'person', 'people')}, {count_of(len(self.trials), 'trial')})"
        )

    def _repr_html_(self) -> str:
        from html import escape

        told = f"<p>{escape(repr(self))}; split {self.split}.</p><p>{escape(repr(self.weights))}</p>"
        return told + (self.to_frame().to_html(index=False) if self.signal else "")

    def to_frame(self) -> pd.DataFrame:
        """Return one row per channel: channel, what it adds to the metric, low, high, and whether that is signal."""
        import pandas as pd

        frame = pd.DataFrame(list(self.signal), columns=["channel", "adds", "low", "high"])
        return frame.assign(signal=frame["low"] > 0)


def learn_weights(
    log: EventLog,
    estimator: Any,
    *,
    horizon: Any = None,
    splits: Sequence[Split] | None = None,
    start: Weights | None = None,
    target: Iterable[str] | None = None,
    target_channels: Iterable[str] | None = None,
    channels: Iterable[str] | None = None,
    events: Iterable[str] | Mapping[str, Iterable[str]] | None = None,
    half_lives: Sequence[Any] = (None, "7D", "30D", "90D", "365D"),
    slopes: Sequence[float] | None = None,
    targets: Iterable[str] = (),
    parameters: Mapping[str, Sequence[Any]] | None = None,
    windows: int = 3,
    k: int = 10,
    metric: Metric = ndcg,
    exclude_seen: bool = True,
    sweeps: int = 1,
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
    seed: int = 0,
    progress: Progress = False,
) -> LearnedWeights:
    """Learn from data what a view on the phone is worth beside a purchase in the shop.

    A few numbers are searched, one at a time, on rolling windows: the half-life, a factor per channel, a factor per
    event type, how steeply targets rise, and with them the estimator's own parameters. The last window takes no part
    in the search; there the found weights meet the start, person by person, and unless the interval of the gain
    lies above 0 the start stays. So a lucky search costs nothing but time, and "no gain" is an answer.

    Parameters
    ----------
    log : EventLog
        All of it lies before whatever you will report on.
    estimator : object with ``fit(x) -> Model``
        What the weights are for; they are not the same for every model.
    horizon : str or timedelta
        Length of a window, such as ``"14D"``.
    splits : sequence of Split, optional
        Your own windows instead of ``horizon`` and ``windows``, at least 2, such as folds: all but the last are
        searched on. See that no train side knows its own test.
    start : Weights, optional
        Weights to improve on, and to fall back to; every event counts 1 by default.
    target, target_channels : iterable of str, optional
        Event types, and channels, that count as truth, such as ``["purchase"]``; all by default. Name the wanted
        ones when some events are dislikes.
    channels : iterable of str, optional
        Which to weigh; all that occur by default, none where there is only one. An empty list searches none of them.
    events : iterable of str, or mapping of str to iterable of str, optional
        Types to weigh one by one, or groups of types that share one factor: ``{"against": ["hide", "dislike"]}``.
        All that occur, one by one, by default; an empty list searches none of them.
    half_lives : sequence
        Half-lives to try.
    slopes : sequence of float, optional
        Powers of the start's targets to try: 2 makes 0, 1/2, 1 into 0, 1/4, 1, and what stands between counts less.
        By default 1/4, 1/2, 2 and 4 where the start has targets between 0 and 1, else none.
    targets : iterable of str
        Types whose own target is searched, among 0, 1/4, 1/2, 3/4 and 1.
    parameters : mapping of str to sequence, optional
        The estimator's parameters to tune along, and the values to try. By default its ``unobserved_weight`` and
        ``regularization``, where it has them, at 1/4, 1/2, 2 and 4 times the present value: heavier cells ask for
        more of both, and a gain of theirs is no gain of the weights. They are tuned for the start too, but once, and
        for the found again in every sweep; values given here are one grid for both. Empty: none.
    windows : int
        How many, at least 2: all but the last are searched on.
    k : int
    metric : callable
        One value per person.
    exclude_seen : bool
        Whether lists leave out what people had before; then such items do not count as truth either.
    sweeps : int
        How often to go over all numbers.
    confidence : float
    n_bootstrap, seed : int
        Of the interval over people.
    progress : bool or callable(done, total)

    Returns
    -------
    LearnedWeights
        ``learned.estimator.fit(log.matrix(learned.weights))`` is the model it speaks of.

    Raises
    ------
    EmptyError
        When a window has nobody with a history and a truth.
    ParameterError
        When a name does not occur in the log, or the estimator has no such parameter.

    Notes
    -----
    Each trial fits the estimator once per search window: with c channels, e event types, h half-lives and p
    parameters about ``(sweeps (5 (c + e) + h + 4 p) + 4 p) (windows - 1)`` fits. Factors tried are 0, 1/4, 1/2, 2 and 4
    times the present one; the types of ``Weights.verdicts`` keep a factor above 0, or what people rejected would be
    forgotten. People count who have a history before the window. Deterministic.

    Keep the numbers few. On public ratings nine free ones, learned on one window, were worse than three on the next.

    References
    ----------
    Few parameters, accepted on held-out data: see the page on quality. Coordinate search: Hooke and Jeeves,
    "Direct search solution of numerical and statistical problems", JACM 1961.

    Examples
    --------
    >>> from omnireco.worlds.simulate import simulate
    >>> from omnireco.models import ItemKNN
    >>> log = EventLog.from_frame(simulate(n_users=80, n_items=20, days=60, seed=1).events)
    >>> learned = learn_weights(log, ItemKNN(), horizon="10D", windows=2, events=[], half_lives=[None, "30D"], k=5)
    >>> learned.weights in (learned.start, learned.found)
    True
    """
    require_events(log, "learn_weights")
    start = Weights() if start is None else start
    if not isinstance(start, Weights):
        raise ParameterError(f"start must be a Weights. Got {type(start).__name__}: write Weights(events=...).")
    check_names_of(start, log.events.ids, log.channels.ids)
    if not callable(getattr(estimator, "fit", None)) or isinstance(estimator, type):
        raise ParameterError(f"learn_weights: estimator must be an estimator, such as EASE(). Got {shown(estimator)}.")
    confidence = check_number(confidence, "confidence", above=0, high=0.9999)
    n_bootstrap = check_integer(n_bootstrap, "n_bootstrap", low=1, high=1_000_000)
    windows, sweeps = check_integer(windows, "windows", low=2), check_integer(sweeps, "sweeps", low=1, high=100)
    k, exclude_seen = check_k(k), check_flag(exclude_seen, "exclude_seen")
    channels = () if channels is None and len(log.channels) == 1 else _known(channels, log.channels.ids, "channels")
    groups = _groups(events, log.events.ids)
    graded = _known(targets, log.events.ids, "targets")
    tuning = tuning_moves(estimator, parameters)
    weighing = [
        *half_life_moves(half_lives),
        *target_moves(graded, slopes, start),  # what an event says, before how much it counts
        *(factor_moves("channels", name, (name,), start) for name in channels),
        *(factor_moves("events", name, types, start) for name, types in groups.items()),
    ]
    truth = _known(target, log.events.ids, "target"), _known(target_channels, log.channels.ids, "target_channels")
    cuts = _cuts(log, horizon, windows, splits)
    *search, last = [_Window.of(split, truth, exclude_seen=exclude_seen) for split in cuts]

    def measure(setting: Setting, some: Iterable[_Window]) -> np.ndarray:
        return np.concatenate([window.measure(setting.weights, setting.estimator, metric, k) for window in some])

    trials: list[tuple[str, float]] = []

    def climb(best: Setting, highest: float, moves: Iterable[list[Move]]) -> tuple[Setting, float]:
        """Go over groups of moves; each starts from the best so far."""
        for group in moves:
            base = best
            for name, move in group:
                tick()
                if (trial := move(base)) == base:
                    continue
                trials.append((name, mean_of(measure(trial, search))))
                if trials[-1][1] > highest:
                    best, highest = trial, trials[-1][1]
        return best, highest

    n_moves = (sweeps + 1) * sum(map(len, tuning)) + sweeps * sum(map(len, weighing))
    with ticker(n_moves + len(log.channels) + 1, progress, label="learn_weights") as tick:
        begun = Setting(start, estimator)
        trials.append(("start", mean_of(measure(begun, search))))
        tick()
        begun, highest = climb(begun, trials[0][1], tuning)
        best = begun
        for _ in range(sweeps):
            best, highest = climb(best, highest, [*weighing, *tuning])
        before, after = measure(begun, [last]), measure(best, [last])
        interval = partial(_interval, confidence=confidence, n_bootstrap=n_bootstrap, seed=seed)
        gain, low, high = interval(after - before)
        signal = []
        for channel in log.channels.ids if len(log.channels) > 1 else ():
            without = replace(best, weights=scaled_weights(best.weights, "channels", (str(channel),), 0.0))
            signal.append((str(channel), *interval(after - measure(without, [last]))))
            tick()
    accepted = bool(low > 0)
    return LearnedWeights(
        weights=best.weights if accepted else start,
        estimator=best.estimator if accepted else begun.estimator,
        start=start,
        start_estimator=begun.estimator,
        found=best.weights,
        accepted=accepted,
        gain=gain,
        low=low,
        high=high,
        signal=tuple(signal),
        trials=tuple(trials),
        metric=metric_name(metric),
        n_people=int((~np.isnan(after - before)).sum()),
        split=fingerprint(*cuts[-1]),
    )


@dataclass(frozen=True, slots=True)
class _Window:
    """One cut of the log: what was known, and what people with a history chose next."""

    train: EventLog
    relevant: sp.csr_matrix
    exclude_seen: bool

    @classmethod
    def of(cls, split: Split, truth: tuple[tuple[str, ...], tuple[str, ...]], *, exclude_seen: bool) -> _Window:
        """Read the truth over the ids of the train; items the train does not know count as missed."""
        train, test = split
        events, channels = truth
        counts = np.isin(test.events.ids, events)[test.event] & np.isin(test.channels.ids, channels)[test.channel]
        counts &= test.item != NONE
        user = train.users.codes(test.users.ids, missing="none")[test.user[counts]]
        item = train.items.codes(test.items.ids, missing="none")[test.item[counts]]
        item = np.where(item == NONE, train.n_items + test.item[counts], item)  # columns behind the catalogue
        known = user != NONE
        shape = (train.n_users, train.n_items + test.n_items)
        relevant = sp.csr_matrix((np.ones(int(known.sum())), (user[known], item[known])), shape)
        relevant.data[:] = 1.0
        if exclude_seen:
            had = train.matrix().csr
            had = sp.csr_matrix((np.ones(had.nnz), had.indices, had.indptr), had.shape)
            had.resize(shape)
            relevant = sp.csr_matrix(relevant - relevant.multiply(had))
            relevant.eliminate_zeros()
        if not relevant.nnz:
            raise EmptyError(
                "learn_weights: a window has nobody with a history and something new to find. Take a longer "
                "horizon, fewer windows, exclude_seen=False, or check target."
            )
        return cls(train, relevant, exclude_seen)

    def measure(self, weights: Weights, estimator: Any, metric: Metric, k: int) -> np.ndarray:
        """Return the metric per person of the train, NaN for those without truth; 0 where nothing can be said."""
        people = np.flatnonzero(np.diff(self.relevant.indptr))
        values = np.full(self.train.n_users, np.nan)
        x = self.train.matrix(replace(weights, missing="ignore"))  # the log has all names, this part of it may not
        if not x.without_targets().nnz:
            values[people] = 0.0
            return values
        model = estimator.fit(x)
        codes = model.recommend(x.take(people), k=k, exclude_seen=False).codes if not self.exclude_seen else None
        if codes is None:  # seen is what was seen on any channel, whatever it weighs
            codes = _unseen(model, x.take(people), self.train.matrix().take(people), k)
        values[people] = values_of(metric, codes, self.relevant[people])
        return values


def _unseen(model: Model, x: Interactions, seen: Interactions, k: int) -> np.ndarray:
    """Return lists (n, k) without what people had, where a weight of 0 may hide a part of it from the model."""
    if x.nnz == seen.nnz:
        return model.recommend(x, k=k).codes
    most = int(np.diff(seen.csr.indptr).max(initial=0))
    ranked = model.recommend(x, k=min(len(model.items), k + most), exclude_seen=False).codes
    had = find_hits(ranked, sp.csr_matrix(seen.csr))
    order = np.argsort(had | (ranked == NONE), axis=1, kind="stable")[:, :k]
    codes = np.where(np.take_along_axis(had, order, axis=1), NONE, np.take_along_axis(ranked, order, axis=1))
    short = k - codes.shape[1]
    return np.pad(codes, ((0, 0), (0, max(0, short))), constant_values=NONE).astype(np.int32)


def _groups(events: Iterable[str] | Mapping[str, Iterable[str]] | None, ids: np.ndarray) -> dict[str, tuple[str, ...]]:
    """Return the event types that share a factor, by the name of the group."""
    if isinstance(events, Mapping):
        return {str(name): _known(types, ids, f"events[{shown(name)}]") for name, types in events.items()}
    return {name: (name,) for name in _known(events, ids, "events")}


def _cuts(log: EventLog, horizon: Any, windows: int, splits: Sequence[Split] | None) -> tuple[Split, ...]:
    if (horizon is None) == (splits is None):
        raise ParameterError(
            "learn_weights takes either horizon='14D', for windows at the end of the log, or splits=[...] of your own."
        )
    if splits is None:
        return split_rolling(log, horizon=horizon, n=windows)
    given = tuple(splits)
    if len(given) < 2 or not all(len(cut) == 2 and all(isinstance(side, EventLog) for side in cut) for cut in given):
        raise ParameterError(
            f"splits must be at least 2 pairs of logs (train, test). Got {len(given)}: the last one is kept from the "
            "search, to accept or refuse what it found. Write om.data.split_rolling(log, horizon='14D', n=3)."
        )
    return tuple(Split(*cut) for cut in given)


def _known(names: Iterable[str] | None, all_names: np.ndarray, what: str) -> tuple[str, ...]:
    if names is None:
        return tuple(str(name) for name in all_names)
    asked = check_names(names, what)
    return check_known(asked, all_names, f"learn_weights: {what}", missing=None)


def values_of(metric: Metric, codes: np.ndarray, relevant: sp.csr_matrix) -> np.ndarray:
    """Return the metric of lists (n, k) held against relevant items (n, n_items), one float64 per row."""
    lists = RankedLists(codes, find_hits(codes, relevant), np.diff(relevant.indptr).astype(np.int64))
    if not callable(metric):
        raise ParameterError(f"metric must be a function, such as om.ndcg. Got {shown(metric)}.")
    values = check_array(metric(lists), "what the metric returns")
    if values.dtype.kind not in "biuf" or values.shape != (len(codes),):
        raise ParameterError(f"the metric {metric_name(metric)!r} must give one value per person, such as om.ndcg.")
    return values.astype(np.float64)


def mean_of(values: np.ndarray) -> float:
    """Return the mean of the defined values; NaN when there is none."""
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")


def _interval(gaps: np.ndarray, *, confidence: float, n_bootstrap: int, seed: int) -> tuple[float, float, float]:
    kept = gaps[~np.isnan(gaps)]
    draws = resampled_means(kept[:, None], n_draws=n_bootstrap, seed=seed)
    low, high = percentile_interval(draws, confidence)
    return float(kept.mean()), float(low[0]), float(high[0])
