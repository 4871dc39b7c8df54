"""Tuning of event weights and targets on validation windows, accepted only if significantly better."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import (
    check_array,
    check_flag,
    check_k,
    check_kind,
    check_known,
    check_names,
    count_of,
    shown,
)
from omnireco._core.compute import Progress, ticker
from omnireco._core.contract import Estimator, says_the_line
from omnireco._core.notebook import html_table
from omnireco._kernels.bootstrap import percentile_interval, resampled_means
from omnireco.data.asking.item_sets import ItemSets
from omnireco.data.asking.requests import Requests
from omnireco.data.dataset import Dataset, dataset_of
from omnireco.data.events import EventLog
from omnireco.data.splits import fingerprint
from omnireco.data.vocabulary import NONE, match, unite
from omnireco.data.weights import Weights, check_names_of
from omnireco.errors import EmptyError, ParameterError
from omnireco.evaluation.hits import find_hits
from omnireco.evaluation.metrics import Metric, RankedLists, metric_name, ndcg
from omnireco.evaluation.moves import (
    Move,
    Setting,
    factor_moves,
    half_life_moves,
    joint_moves,
    level_moves,
    rarity_moves,
    scaled_weights,
    start_of,
    target_moves,
    tuning_moves,
    weight_names,
)
from omnireco.evaluation.search import Search, half_lives_of
from omnireco.models.base import events_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LearnedWeights", "learn_weights", "mean_of", "values_of"]

_KEPT = 3  # of so many windows, one is kept from the search
_OFTEN = 0.2  # of what people choose they had before, from which lists may repeat


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LearnedWeights:
    """What :func:`learn_weights` found, and whether it may be used.

    Parameters
    ----------
    weights : Weights
        What to use: the found ones when ``accepted``, the start otherwise.
    estimator : estimator
        What to fit, ``learned.estimator.fit(data)``: it has these weights, and its parameters tuned for them.
    start, found : Weights
        What was begun with, and the best of the search.
    start_estimator : estimator
        The estimator with the start and its parameters tuned for it: the baseline of the found weights.
    accepted : bool
        Whether the interval of the gain on the last window, which the search never saw, lies above 0.
    gain, low, high : float
        Mean difference of the metric per person, found minus start, on the last window, and its interval. Each side
        has its own tuned parameters. Where these end at the edge of what was tried (compare ``start_estimator`` and
        ``estimator``), a part of the gain is tuning: give wider ``parameters`` before reading it as what weights add.
    signal : tuple of (channel, gain, low, high)
        For each channel, what the found weights lose on the last window without it, in pairs. An interval that
        contains 0 is not significant.
    trials : tuple of (name, mean)
        Every step of the search and the metric on the windows it looked at.
    metric : str
        Name of the metric that chose.
    n_people : int
        People the gain is measured on.
    split : str
        Fingerprint of the last window's two sides.
    exclude_seen : bool
        The question it was judged by: whether lists left out what people had before.
    repeats : float
        Of what people chose on the windows of the search, the share that they had had before.
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
    exclude_seen: bool = True
    repeats: float = float("nan")

    def __repr__(self) -> str:
        verdict = "accepted" if self.accepted else "not accepted"
        return (
            f"LearnedWeights({verdict}: {self.metric} {self.gain:+.4f} [{self.low:+.4f}, {self.high:+.4f}] over "
            f"{count_of(self.n_people, 'person', 'people')}, {count_of(len(self.trials), 'trial')}; {self.question})"
        )

    @property
    def question(self) -> str:
        """The question that the weights were judged by, in a few words."""
        lists = "seen items left out" if self.exclude_seen else "lists may repeat"
        return lists if np.isnan(self.repeats) else f"{lists}, {self.repeats:.0%} of choices were of seen items"

    def _repr_html_(self) -> str:
        from html import escape

        text = f"<p>{escape(repr(self))}; split {self.split}.</p><p>{escape(repr(self.weights))}</p>"
        return text + (html_table(self.to_frame()) if self.signal else "")

    __arrow_c_stream__ = arrow_stream

    def to_frame(self) -> pd.DataFrame:
        """Return one row per channel: channel, what it adds to the metric, low, high, and whether that is signal."""
        import pandas as pd

        frame = pd.DataFrame(list(self.signal), columns=["channel", "adds", "low", "high"])
        return frame.assign(signal=frame["low"] > 0)


@says_the_line(
    "om.learn_weights(om.EASE(), past, horizon='14D', search=om.evaluation.Search(half_lives=[None, '30D']))"
)
def learn_weights(
    estimator: Estimator,
    data: Any,
    *,
    horizon: Any,
    target: Iterable[str] | None = None,
    target_channels: Iterable[str] | None = None,
    k: int = 10,
    metric: Metric = ndcg,
    exclude_seen: bool | None = None,
    search: Search | None = None,
    progress: Progress = False,
) -> LearnedWeights:
    """Tune event weights, such as that of a view relative to a purchase.

    A few numbers are searched, one at a time, on rolling windows: the half-life, a factor per channel, a factor per
    event type (and, from weights set by hand, all ones), how steeply targets rise, and with them the estimator's own
    parameters. A step is taken where its gain exceeds the gain's standard error. The last window, or of six and more
    the last third, takes no part in the search; there the found weights meet the start, person by person, and unless
    the interval of the gain lies above 0 the start stays. Overfitting of the search is rejected, and "no gain" is a
    valid result.

    Parameters
    ----------
    estimator : estimator
        What the weights are for; they are not the same for every model. The search begins with its ``weights`` and
        falls back to them; where it has none, with every event counting 1. Of a blend all members get the same
        weights. One that weighs types of events by itself, such as :class:`omnireco.models.TypedEASE`, has only its
        parameters tuned.
    data : Dataset or EventLog
        All of it lies before whatever you will report on.
    horizon : str or timedelta, or sequence of Cut
        Length of each of three windows at the end, such as ``"14D"``. Or windows of your own, at least two, such as
        ``data.rolling(horizon="14D", n=5)`` or folds: all but the last, or the last third of six and more, are
        searched on. Where items live for days take many short windows, ``data.rolling(horizon="1D", n=60)``. See that
        no train side knows its own test.
    target, target_channels : iterable of str, optional
        Event types, and channels, that count as truth, such as ``["purchase"]``; all by default. Name the wanted
        ones when some events are dislikes.
    k : int
        Places of each list that the metric looks at; 10 by default.
    metric : callable
        One value per person.
    exclude_seen : bool, optional
        Whether lists leave out what people had before; then such items do not count as truth either. Say it as you will
        ask ``recommend``: weights that are right for one question can be wrong for the other. By default lists
        may repeat where at least a fifth of what people chose on the windows of the search they had had before;
        ``learned.question`` says which it was.
    search : Search, optional
        What is tried, and how sure a gain must be: :class:`omnireco.evaluation.Search`.
    progress : bool or callable(done, total)
        True shows a bar; a function is called with the steps done and their number; False, the default, shows nothing.

    Returns
    -------
    LearnedWeights
        ``learned.estimator.fit(data)`` is its model.

    Raises
    ------
    EmptyError
        When a window has nobody with a history and a truth.
    ParameterError
        When a name does not occur in the events, the estimator has no such parameter, or it has no weights to search.

    Notes
    -----
    The estimator comes first, as what is worked on; the data second, as in ``fit``. Each trial fits the estimator once
    per search window: with c channels, e event types, h half-lives and p parameters about
    ``(sweeps (5 (c + e) + h + 8 p) + 4 p) (windows - 1)`` fits. Factors tried are 0, 1/4, 1/2, 2 and 4
    times the present one; the types of ``Weights.verdicts`` keep a factor above 0, or what people rejected would be
    forgotten. People count who have a history before the window. Deterministic.

    Keep the numbers few. On public ratings nine free ones, learned on one window, were worse than three on the next.

    References
    ----------
    Few parameters, accepted on held-out data: see the page on quality. Coordinate search: Hooke and Jeeves,
    "Direct search solution of numerical and statistical problems", JACM 1961.

    Examples
    --------
    >>> import omnireco as om
    >>> data = om.simulate(n_users=80, n_items=20, days=60, seed=1).dataset()
    >>> few = om.evaluation.Search(events=[], half_lives=[None, "30D"])
    >>> learned = learn_weights(om.ItemKNN(), data, horizon="10D", k=5, search=few)
    >>> learned.weights in (learned.start, learned.found), learned.estimator.weights == learned.weights
    (True, True)
    """
    if not isinstance(estimator, Estimator):
        raise ParameterError(f"learn_weights: estimator must be an estimator, such as EASE(). Got {shown(estimator)}.")
    check_kind(search, Search, "learn_weights: search", "om.evaluation.Search(half_lives=[None, '30D'])", none=True)
    search = Search() if search is None else search
    known, log = dataset_of(data, "learn_weights", ("events",)), events_of(data, "learn_weights")
    start = start_of(estimator)
    check_names_of(start, log.events.ids, log.channels.ids)
    k = check_k(k)
    if exclude_seen is not None:
        check_flag(exclude_seen, "exclude_seen")
    truth = _known(target, log.events.ids, "target"), _known(target_channels, log.channels.ids, "target_channels")
    _weighing(estimator, search, start, log, [None])  # names are refused before any window is read
    cuts = _cuts(known, horizon)
    searched = cuts[: -max(1, len(cuts) // _KEPT)]
    repeats = _repeats(searched, truth)
    if exclude_seen is None:
        exclude_seen = repeats < _OFTEN and not _serves_repeating(
            searched, truth, Setting(start, estimator), metric, k, repeats
        )
    windows = _windows(cuts, truth, exclude_seen=exclude_seen)
    n_kept = max(1, len(windows) // _KEPT)
    cuts = tuple((window.past, window.later) for window in windows)
    seen, last = windows[:-n_kept], _Kept(windows[-n_kept:], metric, k)
    weighing = _weighing(estimator, search, start, log, half_lives_of(seen[0].train, _shortest(cuts)), truth[0])
    tuning = tuning_moves(estimator, search.parameters, seen[-1].past)
    climb = _Climb(seen, metric, k)
    channels = tuple(map(str, log.channels.ids)) if len(log.channels) > 1 and weight_names(estimator) else ()
    n_moves = (2 * search.sweeps + 1) * sum(map(len, tuning)) + search.sweeps * sum(map(len, weighing))
    with ticker(n_moves + len(log.channels) + 1, progress, label="learn_weights") as tick:
        begun = climb.begin(Setting(start, estimator))
        tick()
        begun = best = climb.over(begun, tuning, tick)
        for _ in range(search.sweeps):
            best = climb.over(best, [*weighing, *tuning], tick)
        for _ in range(search.sweeps):  # as much for the start, so that tuning is no gain of the weights
            begun = climb.over(begun, tuning, tick)
        if best.estimator != begun.estimator and best.weights != begun.weights:
            begun = climb.over(begun, [[("start, tuned as found", _with_estimator(best.estimator))]], tick)
        if climb.value(begun) > climb.value(best):
            best = begun
        before = last.values(begun)
        after = before if best == begun else last.values(best)
        gain, low, high = _interval(after - before, search)
        signal = []
        for channel in channels:
            without = replace(best, weights=scaled_weights(best.weights, "channels", (channel,), 0.0))
            signal.append((channel, *_interval(after - last.values(without), search)))
            tick()
    accepted = bool(low > 0)
    chosen = best if accepted else begun
    return LearnedWeights(
        weights=chosen.weights,
        estimator=chosen.ready(),
        start=start,
        start_estimator=begun.ready(),
        found=best.weights,
        accepted=accepted,
        gain=gain,
        low=low,
        high=high,
        signal=tuple(signal),
        trials=tuple(climb.trials),
        metric=metric_name(metric),
        n_people=int((~np.isnan(after - before)).sum()),
        exclude_seen=exclude_seen,
        repeats=repeats,
        split=fingerprint(*(events_of(side, "learn_weights") for cut in cuts[-n_kept:] for side in cut)),
    )


@dataclass(slots=True)
class _Climb:
    """A search from one setting to better ones, on some windows; every trial is kept."""

    windows: Sequence[_Window]
    metric: Metric
    k: int
    trials: list[tuple[str, float]] = field(default_factory=list)
    tried: list[tuple[Setting, np.ndarray]] = field(default_factory=list)  # and what each was worth to each person

    def begin(self, setting: Setting) -> Setting:
        """Measure where the search begins; an estimator that cannot be fitted there is an error."""
        self.values("start", setting, strict=True)
        return setting

    def value(self, setting: Setting) -> float:
        """Return the mean of a setting."""
        return mean_of(self.values("", setting))

    def over(self, best: Setting, moves: Iterable[list[Move]], tick: Any) -> Setting:
        """Go over groups of moves; the best of each is taken where its gain exceeds the standard error of the gain."""
        for group in moves:
            found = base = best
            for name, move in group:
                tick()
                if (trial := move(base)) == base:
                    continue
                if mean_of(self.values(name, trial)) > self.value(found):
                    found = trial
            if found != base and _is_clear(self.values("", found) - self.values("", base)):
                best = found
        return best

    def values(self, name: str, setting: Setting, *, strict: bool = False) -> np.ndarray:
        """Return the metric of a setting per person and window, measured once."""
        for known, values in self.tried:
            if known == setting:
                return values
        found = [window.measure(setting, self.metric, self.k, strict=strict) for window in self.windows]
        values = np.concatenate(found)
        self.trials.append((name, mean_of(values)))
        self.tried.append((setting, values))
        return values


def _is_clear(gaps: np.ndarray) -> bool:
    """Return whether the mean of paired differences exceeds its standard error."""
    known = gaps[~np.isnan(gaps)]
    return bool(known.size > 1 and known.mean() > known.std(ddof=1) / known.size**0.5)


@dataclass(frozen=True, slots=True)
class _Window:
    """One cut: what was known, and what people with a history chose next."""

    past: Dataset
    later: Dataset
    train: EventLog  # the events of the past
    requests: Requests  # those who have a truth
    rows: np.ndarray  # their rows among the people of the past
    relevant: sp.csr_matrix  # (n_asked, n_items and what nobody knew)
    exclude_seen: bool

    @classmethod
    def of(
        cls, past: Dataset, later: Dataset, truth: tuple[tuple[str, ...], tuple[str, ...]], *, exclude_seen: bool
    ) -> _Window:
        """Read the truth over the ids of the past; items that it does not know count as missed."""
        train = events_of(past, "learn_weights")
        relevant = _truth(train, events_of(later, "learn_weights"), *truth)
        had = train.matrix().csr
        if exclude_seen:
            pattern = sp.csr_matrix((np.ones(had.nnz), had.indices, had.indptr), had.shape)
            pattern.resize(relevant.shape)
            relevant = sp.csr_matrix(relevant - relevant.multiply(pattern))
            relevant.eliminate_zeros()
        if not relevant.nnz:
            raise EmptyError(
                "learn_weights: a window has nobody with a history and something new to find. Take a longer "
                "horizon, fewer windows, exclude_seen=False, or check target."
            )
        rows = np.flatnonzero(np.diff(relevant.indptr))
        asked = cls(past, later, train, past.requests(train.users.ids[rows]), rows, relevant[rows], False)
        return asked.without_seen() if exclude_seen else asked

    def without_seen(self) -> _Window:
        """Return the window with lists that leave out what people had; its truth stays."""
        own = self.train.matrix().csr[self.rows]
        barred = ItemSets(self.train.items, own.indptr.astype(np.int64), own.indices.astype(np.int32))
        requests = self.past.requests(self.train.users.ids[self.rows], exclude=barred)
        return replace(self, requests=requests, exclude_seen=True)

    def measure(self, setting: Setting, metric: Metric, k: int, *, strict: bool = False) -> np.ndarray:
        """Return the metric of each person who has a truth; 0 where nothing can be said."""
        try:
            model = setting.ready(partial_log=True).fit(self.past)
        except EmptyError:  # weights that leave nothing to learn from
            if strict:
                raise
            return np.zeros(self.rows.size)
        # what was seen on any channel is excluded by the requests, whatever it weighs
        lists = model.recommend(self.requests, k=k, exclude_seen=self.exclude_seen)
        place = match(self.train.items, lists.items, ("the past", "the lists"), column="item_id")
        codes = np.append(place, NONE)[lists.codes].astype(np.int32)
        return values_of(metric, codes, self.relevant)


def _windows(
    cuts: Sequence[tuple[Dataset, Dataset]], truth: tuple[tuple[str, ...], tuple[str, ...]], *, exclude_seen: bool
) -> list[_Window]:
    """Return the windows; of more than three, such as days, those with nobody to judge are passed over."""
    found: list[_Window] = []
    for number, (past, later) in enumerate(cuts, 1):
        try:
            found.append(_Window.of(past, later, truth, exclude_seen=exclude_seen))
        except EmptyError:
            if len(cuts) <= _KEPT or (number == len(cuts) and len(found) < 2):
                raise
    return found


@dataclass(frozen=True, slots=True)
class _Kept:
    """The windows that take no part in the search: what a setting is worth to each person there."""

    windows: Sequence[_Window]
    metric: Metric
    k: int

    def values(self, setting: Setting) -> np.ndarray:
        """Return the metric per person, the mean over the windows in which they have a truth; NaN where in none."""
        found = [window.measure(setting, self.metric, self.k) for window in self.windows]
        if len(found) == 1:
            return found[0]
        _, codes = unite([window.train.users for window in self.windows], "users")
        place = np.concatenate([code[window.rows] for code, window in zip(codes, self.windows, strict=True)])
        value = np.concatenate(found)
        there = ~np.isnan(value)
        total, n = (np.bincount(place[there], weights=each[there]) for each in (value, there))
        return np.where(n > 0, total / np.where(n > 0, n, 1), np.nan)


def _truth(train: EventLog, test: EventLog, events: tuple[str, ...], channels: tuple[str, ...]) -> sp.csr_matrix:
    """Return what people of the train chose later, (n_users, n_items + columns for items it does not know)."""
    counts = np.isin(test.events.ids, events)[test.event] & np.isin(test.channels.ids, channels)[test.channel]
    counts &= test.item != NONE
    user = train.users.codes(test.users.ids, missing="none")[test.user[counts]]
    item = train.items.codes(test.items.ids, missing="none")[test.item[counts]]
    item = np.where(item == NONE, train.n_items + test.item[counts], item)  # columns behind the catalogue
    known = user != NONE
    shape = (train.n_users, train.n_items + test.n_items)
    relevant = sp.csr_matrix((np.ones(int(known.sum())), (user[known], item[known])), shape)
    relevant.data[:] = 1.0
    return relevant


def _with_estimator(estimator: Estimator) -> Callable[[Setting], Setting]:
    return lambda setting: replace(setting, estimator=estimator)


def _repeats(cuts: Sequence[tuple[Dataset, Dataset]], truth: tuple[tuple[str, ...], tuple[str, ...]]) -> float:
    """Return the share of what people with a history chose that they had had before; 0 where they chose nothing."""
    chosen = again = 0
    for past, later in cuts:
        train = events_of(past, "learn_weights")
        relevant, had = _truth(train, events_of(later, "learn_weights"), *truth), train.matrix().csr
        old = sp.csr_matrix((np.ones(had.nnz), had.indices, had.indptr), had.shape)
        old.resize(relevant.shape)
        chosen, again = chosen + relevant.nnz, again + relevant.multiply(old).nnz
    return again / chosen if chosen else 0.0


def _serves_repeating(
    cuts: Sequence[tuple[Dataset, Dataset]],
    truth: tuple[tuple[str, ...], tuple[str, ...]],
    setting: Setting,
    metric: Metric,
    k: int,
    repeats: float,
) -> bool:
    """Return whether lists that may repeat find more of all that people chose than lists without what they had.

    A tenth of the choices can be most of what any list finds.
    """
    if not repeats:
        return False
    asked = _windows(cuts, truth, exclude_seen=False)
    gaps = [window.measure(setting, metric, k) - window.without_seen().measure(setting, metric, k) for window in asked]
    return _is_clear(np.concatenate(gaps))


def _weighing(
    estimator: Estimator,
    search: Search,
    start: Weights,
    log: EventLog,
    half_lives: Sequence[str | None],
    target: Iterable[str] = (),
) -> list[list[Move]]:
    """Return the moves of the weights; none for an estimator that has no weights."""
    if not weight_names(estimator):
        if search.weighs:
            raise ParameterError(
                f"{type(estimator).__name__} has no weights of events, so Search({search.weighs[0]}=...) has nothing "
                "to change. Tune its parameters: Search(parameters={...})."
            )
        return []
    few = search.channels is None and len(log.channels) == 1
    channels = () if few else _known(search.channels, log.channels.ids, "channels")
    graded = _known(search.targets, log.events.ids, "targets")
    groups = _groups(search.events, log.events.ids)
    lives = half_life_moves(half_lives if search.half_lives is None else search.half_lives)
    return [
        *(level_moves(start) if search.events is None and search.channels is None else []),
        *(joint_moves(lives, rarity_moves(start, log, target)) if search.events is None else lives),
        *target_moves(graded, search.slopes, start),  # what an event says, before how much it counts
        *(factor_moves("channels", name, (name,), start) for name in channels),
        *(factor_moves("events", name, types, start) for name, types in groups.items()),
        *lives,  # how fast events fade depends on which of them count
    ]


def _groups(events: Any, ids: np.ndarray) -> dict[str, tuple[str, ...]]:
    """Return the event types that share a factor, by the name of the group."""
    if isinstance(events, Mapping):
        return {str(name): _known(types, ids, f"events[{shown(name)}]") for name, types in events.items()}
    return {name: (name,) for name in _known(events, ids, "events")}


def _cuts(data: Dataset, horizon: Any) -> tuple[tuple[Dataset, Dataset], ...]:
    if not isinstance(horizon, Iterable) or isinstance(horizon, (str, bytes, bytearray, memoryview, Dataset, EventLog)):
        return data.rolling(horizon=horizon)  # which refuses what is no duration
    given = tuple(horizon) if getattr(horizon, "ndim", 1) else ()
    if len(given) < 2 or not all(map(_is_cut, given)):
        raise ParameterError(
            f"horizon must be a duration, or at least 2 cuts (past, later). Got {_got(given, horizon)}: the last one "
            "is kept from the search, to accept or refuse what it found. Write data.rolling(horizon='14D', n=3)."
        )
    if any(past is later for past, later in given):
        raise ParameterError(
            "horizon: a cut has one side twice, so its truth is known beforehand. Write "
            "data.rolling(horizon='14D', n=3)."
        )
    past, later = (tuple(dataset_of(cut[side], "learn_weights", ("events",)) for cut in given) for side in (0, 1))
    return tuple(zip(past, later, strict=True))


def _is_cut(cut: Any) -> bool:
    """Return whether a value is a past and what came later."""
    return isinstance(cut, Sequence) and len(cut) == 2 and all(isinstance(s, (Dataset, EventLog)) for s in cut)


def _shortest(cuts: Sequence[tuple[Dataset, Dataset]]) -> int | None:
    """Return the length of the shortest window, in microseconds; None where they do not follow one another."""
    lengths = [later.end_us - past.end_us for past, later in cuts]
    return min((length for length in lengths if length > 0), default=None)


def _got(given: tuple[Any, ...], horizon: Any) -> str:
    """Return what was given for the cuts, in words."""
    return count_of(len(given), "cut") if given and all(map(_is_cut, given)) else f"{shown(horizon)}"


def _known(names: Iterable[str] | None, all_names: np.ndarray, what: str) -> tuple[str, ...]:
    if names is None:
        return tuple(str(name) for name in all_names)
    wanted = check_names(names, what)
    return check_known(wanted, all_names, f"learn_weights: {what}", missing=None)


def values_of(metric: Metric, codes: np.ndarray, relevant: sp.csr_matrix) -> np.ndarray:
    """Return the metric of lists (n, k) for relevant items (n, n_items), one float64 per row."""
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


def _interval(gaps: np.ndarray, search: Search) -> tuple[float, float, float]:
    kept = gaps[~np.isnan(gaps)]
    draws = resampled_means(kept[:, None], n_draws=search.n_bootstrap, seed=search.seed)
    low, high = percentile_interval(draws, search.confidence)
    return float(kept.mean()), float(low[0]), float(high[0])
