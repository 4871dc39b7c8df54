"""What an event is worth, and what a model counts in a blend: learned from data, accepted only when it pays."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from omnireco._checks import check_flag, check_integer, check_names, check_number
from omnireco._compute import Progress, ticker
from omnireco._frozen import ReadOnly
from omnireco._random import stream
from omnireco.data.events import EventLog, Split, require_events
from omnireco.data.interactions import Interactions
from omnireco.data.splits import split_rolling
from omnireco.data.vocabulary import NONE
from omnireco.data.weights import Weights
from omnireco.errors import EmptyError, ParameterError
from omnireco.evaluation.bootstrap import percentile_interval, resampled_means
from omnireco.evaluation.evaluate import find_hits
from omnireco.evaluation.metrics import Metric, RankedLists, metric_name, ndcg
from omnireco.models.base import Model
from omnireco.models.blend import BlendModel, Scale, all_scores, scaled
from omnireco.models.topk import select

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LearnedBlend", "LearnedWeights", "learn_blend", "learn_weights"]

_STEPS = (0.0, 0.25, 0.5, 2.0, 4.0)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LearnedWeights:
    """What :func:`learn_weights` found, and whether it may be used.

    Parameters
    ----------
    weights : Weights
        What to use: the found ones when ``accepted``, the start otherwise.
    start, found : Weights
        What was begun with, and the best of the search.
    accepted : bool
        Whether the interval of the gain on the last window, which the search never saw, lies above 0.
    gain, low, high : float
        Mean difference of the metric per person, found minus start, on the last window, and its interval.
    signal : tuple of (channel, gain, low, high)
        For each channel, what the found weights lose on the last window without it, in pairs. An interval that
        holds 0 says: no signal that this much data can show.
    trials : tuple of (name, mean)
        Every step of the search and the metric on the windows it looked at.
    metric : str
    n_people : int
        People the gain is measured on.
    """

    weights: Weights
    start: Weights
    found: Weights
    accepted: bool
    gain: float
    low: float
    high: float
    signal: tuple[tuple[str, float, float, float], ...]
    trials: tuple[tuple[str, float], ...]
    metric: str
    n_people: int

    def __repr__(self) -> str:
        verdict = "accepted" if self.accepted else "not accepted"
        return (
            f"LearnedWeights({verdict}: {self.metric} {self.gain:+.4f} [{self.low:+.4f}, {self.high:+.4f}] over "
            f"{self.n_people:,} people, {len(self.trials)} trials)"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per channel: channel, what it adds to the metric, low, high, and whether that is signal."""
        import pandas as pd

        frame = pd.DataFrame(list(self.signal), columns=["channel", "adds", "low", "high"])
        return frame.assign(signal=frame["low"] > 0)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LearnedBlend:
    """What :func:`learn_blend` found.

    Parameters
    ----------
    model : BlendModel
        Ready to use; refit its members on all data with ``BlendModel.of(refitted, weights=learned.weights)``.
    weights : mapping of str to float
    trials : tuple of (weights, mean)
        Every blend that was tried.
    """

    model: BlendModel
    weights: Mapping[str, float]
    trials: tuple[tuple[Mapping[str, float], float], ...]

    def __repr__(self) -> str:
        best = max(mean for _, mean in self.trials)
        return f"LearnedBlend({dict(self.weights)}, {best:.4f} on validation, {len(self.trials)} trials)"


def learn_weights(
    log: EventLog,
    estimator: Any,
    *,
    horizon: Any,
    start: Weights | None = None,
    target: Iterable[str] | None = None,
    target_channels: Iterable[str] | None = None,
    channels: Iterable[str] | None = None,
    events: Iterable[str] | None = None,
    half_lives: Sequence[Any] = (None, "7D", "30D", "90D", "365D"),
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
    event type. The last window takes no part in the search; there the found weights meet the start, person by
    person, and unless the interval of the gain lies above 0 the start stays. So a lucky search costs nothing but
    time, and "no gain" is an answer.

    Parameters
    ----------
    log : EventLog
        All of it lies before whatever you will report on.
    estimator : object with ``fit(x) -> Model``
        What the weights are for; they are not the same for every model.
    horizon : str or timedelta
        Length of a window, such as ``"14D"``.
    start : Weights, optional
        Weights to improve on, and to fall back to; every event counts 1 by default.
    target, target_channels : iterable of str, optional
        Event types, and channels, that count as truth, such as ``["purchase"]``; all by default.
    channels, events : iterable of str, optional
        Which to weigh; all that occur by default. An empty list searches none of them.
    half_lives : sequence
        Half-lives to try.
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

    Raises
    ------
    EmptyError
        When a window has nobody with a history and a truth.

    Notes
    -----
    Each trial fits the estimator once per search window: with c channels, e event types and h half-lives about
    ``sweeps * (5 (c + e) + h) * (windows - 1)`` fits. Factors tried are 0, 1/4, 1/2, 2 and 4 times the present one.
    People count who have a history before the window. Deterministic.

    References
    ----------
    Few parameters, accepted on held-out data: see the page on quality. Coordinate search: Hooke and Jeeves,
    "Direct search solution of numerical and statistical problems", JACM 1961.

    Examples
    --------
    >>> from omnireco.simulate import simulate
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
    windows, sweeps = check_integer(windows, "windows", low=2), check_integer(sweeps, "sweeps", low=1)
    k, exclude_seen = check_integer(k, "k", low=1), check_flag(exclude_seen, "exclude_seen")
    searched = {
        "channels": _known(channels, log.channels.ids, "channels"),
        "events": _known(events, log.events.ids, "events"),
    }
    truth = _known(target, log.events.ids, "target"), _known(target_channels, log.channels.ids, "target_channels")
    *search, last = [
        _Window.of(split, truth, exclude_seen=exclude_seen) for split in split_rolling(log, horizon=horizon, n=windows)
    ]

    def measure(weights: Weights, some: Iterable[_Window]) -> np.ndarray:
        return np.concatenate([window.measure(weights, estimator, metric, k) for window in some])

    n_steps = sweeps * (len(_STEPS) * sum(map(len, searched.values())) + len(half_lives)) + 2
    with ticker(n_steps + len(log.channels), progress, label="learn_weights") as tick:
        best = start
        trials = [("start", _mean(measure(start, search)))]
        highest = trials[0][1]
        for _ in range(sweeps):
            for moves in _moves(searched, half_lives):
                base = best
                for name, table, key, value in moves:
                    trial = _moved(base, table, key, value)
                    tick()
                    if trial == base:
                        continue
                    trials.append((name, _mean(measure(trial, search))))
                    if trials[-1][1] > highest:
                        best, highest = trial, trials[-1][1]
        before, after = measure(start, [last]), measure(best, [last])
        interval = partial(_interval, confidence=confidence, n_bootstrap=n_bootstrap, seed=seed)
        gain, low, high = interval(after - before)
        signal = []
        for channel in log.channels.ids if len(log.channels) > 1 else ():
            without = measure(_moved(best, "channels", str(channel), 0.0), [last])
            signal.append((str(channel), *interval(after - without)))
            tick()
    accepted = bool(low > 0)
    return LearnedWeights(
        best if accepted else start,
        start,
        best,
        accepted,
        gain,
        low,
        high,
        tuple(signal),
        tuple(trials),
        metric_name(metric),
        int((~np.isnan(after - before)).sum()),
    )


def learn_blend(
    models: Mapping[str, Model],
    histories: Interactions,
    truth: Interactions,
    *,
    k: int,
    metric: Metric = ndcg,
    scale: Scale = "deviation",
    exclude_seen: bool = True,
    grid: Sequence[float] = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0),
    sweeps: int = 2,
    people: int = 5000,
    seed: int = 0,
) -> LearnedBlend:
    """Find what each model should count in a blend, on a validation part.

    Parameters
    ----------
    models : mapping of str to Model
        Fitted without the truth.
    histories, truth : Interactions
        What people had, and what they chose next; people of the truth without a history here are left out.
    k : int
    metric : callable
        One value per person, to be as large as possible.
    scale : {"deviation", "rank", "none"}
        See :class:`omnireco.Blend`.
    exclude_seen : bool
    grid : sequence of float
        Weights to try for each model beside the best one, whose weight stays 1.
    sweeps : int
        How often to go over the models.
    people : int
        At most so many people, drawn by ``seed``: their scores of all items are held in memory.
    seed : int

    Returns
    -------
    LearnedBlend

    Notes
    -----
    Coordinate search from the best single model; a model that adds nothing gets weight 0. Report the blend on data
    that took no part here. Deterministic. Memory 4 bytes x people x items per model.

    Examples
    --------
    >>> from omnireco.models import EASE, Popularity
    >>> from omnireco.testing import small_matrix
    >>> x = small_matrix(seed=1)
    >>> models = {"ease": EASE().fit(x), "popular": Popularity().fit(x)}
    >>> learn_blend(models, x, x, k=5, exclude_seen=False).model
    BlendModel(25 items, ease x ..., popular x ..., scale='deviation')
    """
    k, sweeps = check_integer(k, "k", low=1), check_integer(sweeps, "sweeps", low=1)
    steps = [check_number(step, "grid") for step in grid]
    blend = BlendModel.of(models, scale=scale)
    asked, relevant = _people(blend, histories, truth, check_integer(people, "people", low=1), seed)
    seen = asked if exclude_seen else None
    scores = {name: scaled(all_scores(model, asked), scale).astype(np.float32) for name, model in models.items()}

    def measure(weights: Mapping[str, float]) -> float:
        total = sum(np.float32(weight) * scores[name] for name, weight in weights.items() if weight)
        codes, _ = select(np.ascontiguousarray(total), k=k, exclude=seen)
        return _mean(_values(metric, codes, relevant))

    trials: list[tuple[Mapping[str, float], float]] = [({name: 1.0}, measure({name: 1.0})) for name in models]
    best, highest = max(trials, key=lambda trial: trial[1])
    leader = next(iter(best))
    for _ in range(sweeps):
        for name, step in itertools.product([name for name in models if name != leader], steps):
            trial = {**best, name: step}
            if trial == best or (step == 0 and name not in best):
                continue
            trials.append((ReadOnly(trial), measure(trial)))
            if trials[-1][1] > highest:
                best, highest = trial, trials[-1][1]
    weights = ReadOnly({name: float(best.get(name, 0.0)) for name in models})
    return LearnedBlend(BlendModel.of(models, weights=weights, scale=scale), weights, tuple(trials))


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
        x = self.train.matrix(weights)
        if not x.nnz:
            values[people] = 0.0
            return values
        model = estimator.fit(x)
        codes = model.recommend(x.take(people), k=k, exclude_seen=False).codes if not self.exclude_seen else None
        if codes is None:  # seen is what was seen on any channel, whatever it weighs
            codes = _unseen(model, x.take(people), self.train.matrix().take(people), k)
        values[people] = _values(metric, codes, self.relevant[people])
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


def _moves(
    searched: Mapping[str, tuple[str, ...]], half_lives: Sequence[Any]
) -> Iterator[list[tuple[str, str, str, Any]]]:
    """Yield, number by number, the values to try: (name, table, key, value)."""
    yield [(f"half_life={value}", "half_life", "", value) for value in half_lives]
    for table, keys in searched.items():
        for key in keys:
            yield [(f"{table}[{key}] x {step:g}", table, key, step) for step in _STEPS]


def _moved(weights: Weights, table: str, key: str, value: Any) -> Weights:
    """Return weights with one number changed: a half-life set, a factor multiplied."""
    if table == "half_life":
        return replace(weights, half_life=value)
    present = dict(getattr(weights, table) or {})
    changed = {**present, key: present.get(key, 1.0) * value}
    return replace(weights, channels=changed) if table == "channels" else replace(weights, events=changed)


def _known(names: Iterable[str] | None, all_names: np.ndarray, what: str) -> tuple[str, ...]:
    if names is None:
        return tuple(str(name) for name in all_names)
    asked = check_names(names, what)
    if absent := [name for name in asked if name not in set(all_names)]:
        raise ParameterError(
            f"learn_weights: {what} names {', '.join(map(repr, absent))}, and the log has "
            f"{', '.join(map(repr, all_names))}."
        )
    return asked


def _people(
    blend: BlendModel, histories: Interactions, truth: Interactions, people: int, seed: int
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Return histories and truth (n, n_items) of the people who have both, at most ``people`` of them."""
    known = blend._align(histories).csr
    row = truth.users.codes(histories.users.ids, missing="none")
    chosen = truth.with_items(blend.items).csr
    both = (row != NONE) & (np.diff(known.indptr) > 0)
    both[both] = np.diff(chosen.indptr)[row[both]] > 0
    keep = np.flatnonzero(both)
    if not keep.size:
        raise EmptyError("learn_blend: nobody of the truth has a history. Check that user ids agree.")
    if keep.size > people:
        keep = np.sort(stream(seed, "evaluation/blend").choice(keep, people, replace=False))
    relevant = sp.csr_matrix(chosen[row[keep]])
    return sp.csr_matrix(known[keep]), relevant


def _values(metric: Metric, codes: np.ndarray, relevant: sp.csr_matrix) -> np.ndarray:
    lists = RankedLists(codes, find_hits(codes, relevant), np.diff(relevant.indptr).astype(np.int64))
    values = np.asarray(metric(lists))
    if values.shape != (len(codes),):
        raise ParameterError(f"the metric {metric_name(metric)!r} must give one value per person, such as om.ndcg.")
    return values.astype(np.float64)


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")


def _interval(gaps: np.ndarray, *, confidence: float, n_bootstrap: int, seed: int) -> tuple[float, float, float]:
    kept = gaps[~np.isnan(gaps)]
    draws = resampled_means(kept[:, None], n_draws=n_bootstrap, seed=seed)
    low, high = percentile_interval(draws, confidence)
    return float(kept.mean()), float(low[0]), float(high[0])
