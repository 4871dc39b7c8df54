"""A search over hyper-parameters on windows inside the past, and whether what it found is better than the default."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_integer, check_k, count_of, require
from omnireco._core.compute import Progress, check_progress, in_parallel, ticker
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts
from omnireco._core.random import stream
from omnireco._core.small import Flag, Number, Plain, Text, Whole
from omnireco.data.dataset import Dataset
from omnireco.data.events import rows_of
from omnireco.data.interactions import Interactions
from omnireco.data.parts import Frame
from omnireco.data.vocabulary import Vocabulary, unite
from omnireco.errors import EmptyError, OmnirecoError, ParameterError
from omnireco.evaluation.metrics import Metric, ndcg
from omnireco.evaluation.trials.backtest import FEWEST, paired
from omnireco.evaluation.trials.judging import Score, check_estimator, judged
from omnireco.evaluation.trials.members import foretold, is_blend, lighter, repeats, spaces_of, weighed
from omnireco.evaluation.trials.prints import said
from omnireco.evaluation.trials.shares import Sides, check_size, cuts_of, is_wide, n_items, some_rows
from omnireco.evaluation.trials.space import Between, Trials, check_space, draw, small_space

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Tuned", "tune"]

_SHARES = (1 / 9, 1 / 3, 1.0)  # of the people, in successive halving
_KEEP = 3
_LEAST_PEOPLE = 30
_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Tuned:
    """What a search found, and how it compares with the default; made by :func:`tune`.

    Attributes
    ----------
    estimator : Estimator
        The one to use: the best one tried where its gain is significant, else the default.
    best, default : Estimator
        The best on the window that chose, and what the search began with.
    gained : bool
        Whether the interval of the gain lies above 0.
    gain, low, high : float
        Mean paired difference of ``best`` to ``default`` per person on a window that chose nothing, with a 95 %
        interval; 0 where the default was the best.
    metric : str
        Name of the metric that chose.
    trials : pandas.DataFrame
        ``trial share value n_people error`` and a column per parameter, in the order tried; trial 0 is the default.
        ``share`` of the people it was fitted and measured on; ``value`` on the window that chose, too good for the
        best.
    n_trials, n_people : int
        Settings tried, the default among them; people in the comparison.
    exclude_seen : bool
        Whether lists left out what people had before.
    """

    estimator: Any
    best: Any
    default: Any
    gained: bool
    gain: float
    low: float
    high: float
    metric: str
    trials: pd.DataFrame
    n_trials: int
    n_people: int
    exclude_seen: bool = True

    parts: ClassVar[Parts] = {
        **{name: Plain() for name in ("estimator", "best", "default")},
        "gained": Flag(),
        **dict.fromkeys(("gain", "low", "high"), Number(endless=True, missing=True)),
        "metric": Text(),
        "trials": Frame(("error",), ("value", "share")),
        "n_trials": Whole(),
        "n_people": Whole(),
        "exclude_seen": Flag(),
    }

    def __repr__(self) -> str:
        found = "a gain" if self.gained else "the default wins"
        return f"Tuned({found}, {self.gain:+.4f} {self.metric}, {count_of(self.n_trials, 'trial')}, {self.estimator!r})"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return the trials."""
        return self.trials.copy()

    @property
    def verdict(self) -> str:
        """What to use, in one sentence; numbers are rounded, and ``best`` has them whole."""
        tried = f"{count_of(self.n_trials, 'setting')} tried"
        many = f"{tried}, compared on data that chose nothing, of {self.n_people:,} people"
        many += "" if self.exclude_seen else ", with lists that may repeat"
        if self.best == self.default:
            return f"Keep the default: nothing tried was better even on the window that chose ({many})."
        size = f"{self.gain:+.4f} {self.metric} ({self.low:+.4f} to {self.high:+.4f})"
        if self.gained:
            return f"Use {_rounded(repr(self.best))}: {size} over the default ({many})."
        return f"Keep the default: the best setting differs by {size}, which is no certain gain ({many})."


def _rounded(text: str) -> str:
    """Return a text in which no number has more than four digits that say something."""
    return re.sub(r"\d+\.\d{4,}(?:e[+-]?\d+)?", lambda found: f"{float(found.group()):.4g}", text)


@says_the_line("om.evaluation.tune(om.EASE(), past, {'regularization': [10, 100, 1000]}, horizon='14D')")
def tune(
    estimator: Any,
    data: Any,
    space: Mapping[str, Any] | None = None,
    *,
    horizon: Any = None,
    trials: int | Trials = 20,
    k: int = 10,
    metric: Metric = ndcg,
    score: Score | None = None,
    threads: int | None = None,
    progress: Progress = False,
) -> Tuned:
    """Search hyper-parameters inside the past, and say whether the best ones are better than the default.

    Of the data, the last window compares and the window before it chooses: fits see only what lies before. Give it the
    past of a cut (``past, later = data.split(...)``) and the test window cannot be touched.

    Parameters
    ----------
    estimator : Estimator
        The default: the search begins with it, and returns it where nothing is better.
    data : Dataset or Interactions
        What is known: **not** the window that you will report on. Of a matrix, which has no times, cells are held out.
    space : mapping of str to list or Between, optional
        What to try; by default a few steps around the default of what matters most,
        :func:`omnireco.evaluation.small_space`, of a blend those of each member and then the weights. By the names of
        ``estimator.get_params()``: ``{"regularization": om.evaluation.Between(1, 1e4, log=True), "weights__half_life":
        [None, "30D"]}``.
    horizon : str, timedelta or float
        Length of each of the two windows. Of a matrix the share of all cells, drawn at random, that each of two parts
        holds out; 0.1 by default. ``"last"``: the last step of each person compares and the last but one chooses
        (:func:`omnireco.data.leave_last`), for tables of sequences, whose times are only an order.
    trials : int or Trials
        How many settings to try besides the default, and how: ``Trials(30, method="halving", seed=7)``.
    k : int
        Length of the lists.
    metric : callable
        Higher is better. Not used for response models, which are judged by the log likelihood of the window's
        responses.
    score : callable, optional
        ``score(model, past, later)`` returns a frame with ``user_id`` and ``value``, higher is better: for estimators
        that neither recommend nor give probabilities, or another purpose.
    threads : int, optional
        Trials at a time; all usable cores by default. Changes no number.
    progress : bool or callable(done, total)
        True shows a bar; a function is called with the steps done and their number; False, the default, shows nothing.

    Returns
    -------
    Tuned

    Raises
    ------
    ParameterError
        For a parameter that the estimator does not have, an empty list, or an impossible default.
    EmptyError
        When the data is too short for two windows and a past, nobody has three steps (``"last"``), or a window has
        fewer than five people.
    MissingExtraError
        For ``"optuna"`` where it is not installed.

    Notes
    -----
    The best of many settings looks good on the window that chose it, by luck alone. So default and best are fitted
    again on all that lies before the last window and compared on it, once: the interval of that gain needs no
    correction for the number of trials. A setting that an estimator refuses counts as tried, with its error.
    Deterministic for a seed. Cost: n + 3 fits; with halving about a third of that. Of more than 8,192 items one fit at
    a time, on all threads. Lists of at most 5,000 people are judged on a matrix. Without a space, of more than 20,000
    items, ``EASE()`` (alone or in a blend) is tuned as ``EASE(neighbors=100)``, with a DataWarning: a fit of the whole
    takes minutes there. Its settings serve the whole one too: ``found.estimator.replace(neighbors=None)``, in a blend
    ``replace(models__ease__neighbors=None)``. Regressions on all items that will take more than 20 CPU minutes are said
    before the search begins, with a DataWarning.

    Without a space, a blend is tuned in two steps: every member alone, with ``trials`` divided among them, then the
    weights (:func:`omnireco.evaluation.learn_blend`) on the same window. A member of weight 0 is left out. In
    ``trials`` the column ``member`` says whose settings a row is about. ``tune(om.Blend(), x)`` is the shortest way to
    a strong list: see :class:`omnireco.Blend`.

    References
    ----------
    Bergstra and Bengio (2012), "Random Search for Hyper-Parameter Optimization"; Jamieson and Talwalkar (2016),
    "Non-stochastic Best Arm Identification and Hyperparameter Optimization".

    Examples
    --------
    >>> import omnireco as om
    >>> data = om.simulate(n_users=80, n_items=20, days=90, seed=1).dataset()
    >>> past, later = data.split("2025-03-15")
    >>> found = tune(om.EASE(), past, {"regularization": Between(1, 1000, log=True)}, horizon="14D", trials=4)
    >>> found.n_trials, found.estimator in (found.best, found.default)
    (5, True)
    """
    check_estimator(estimator, "tune", score=score)
    if not isinstance(trials, Trials):
        trials = Trials(check_integer(trials, "trials", low=1, high=100_000))
    k = check_k(k)
    check_progress(progress)
    known = estimator.get_params()
    grid = None if space is None else check_space(space, known)
    needs = ("events",) if "recommend" in getattr(estimator, "verbs", ("recommend",)) else ()
    choose, compare = cuts_of(data, horizon, needs, trials.seed)
    check_size(choose, estimator)
    trials = _asking(trials, choose, estimator)
    if grid is None and score is None:
        estimator = lighter(estimator, n_items(choose))
        known = estimator.get_params()
    parts = (
        spaces_of(estimator, choose.past, trials) if grid is None and score is None and is_blend(estimator) else None
    )
    if grid is None and parts is None:
        grid = check_space(small_space(estimator, choose.past), known)
    each = trials.n if parts is None else sum(1 + n for _, _, n in parts.values())
    rungs = {"halving": _rungs(each)}.get(trials.method, (each,))
    foretold(estimator, n_items(choose), 3 + sum(rungs))
    with ticker(1 + sum(rungs), progress, label="tune") as tick:
        run = _Runs(estimator, choose, k, metric, score, threads, tick, trials)
        if parts is not None:
            _members(run, parts, trials)
        else:
            _search(run, grid or {}, trials)
        run.rest(1 + sum(rungs))
    best = run.best()
    gain = low = high = people = 0.0
    if best != estimator:
        base, mine = (run.values(one, compare) for one in (estimator, best))
        _, (left, right) = unite([base.users, mine.users], "users")
        shared = np.intersect1d(left, right)
        pick = [mine.values[np.isin(right, shared)], base.values[np.isin(left, shared)]]
        _, _, _, gain, low, high, people = paired([pick[0]], [pick[1]], [shared], shared.size)
    gained = bool(low > 0)
    result = Tuned(
        best if gained else estimator, best, estimator, gained, gain, low, high, run.title, run.frame(list(grid or ())),
        len({row[0] for row in run.rows}), int(people) if best != estimator else run.n_people,
        bool(trials.exclude_seen),
    )  # fmt: skip
    _log.info("tuned %r", result)
    return result


def _asking(trials: Trials, cut: Sides, estimator: Any) -> Trials:
    """Return the trials with what is asked settled: whether lists may repeat what people had."""
    if not isinstance(cut.past, Interactions):
        return trials if trials.exclude_seen is not None else replace(trials, exclude_seen=not repeats(estimator))
    if trials.counts is not None or trials.exclude_seen is False:
        raise ParameterError(
            "tune: a matrix has neither types of event nor repeats, so Trials(counts=..., exclude_seen=False) says "
            "nothing about it. Give the Dataset, or leave them out."
        )
    return replace(trials, exclude_seen=True)


def _search(run: _Runs, grid: Mapping[str, Between | tuple[Any, ...]], trials: Trials) -> None:
    if trials.method == "optuna":
        _optuna(run, grid, trials.n, trials.seed)
    elif trials.method == "halving":
        _halving(run, grid, trials.n, trials.seed)
    else:
        run.all([(run.next(), setting) for setting in _distinct(run.default, grid, trials.n, trials.seed)])


def _members(run: _Runs, parts: Mapping[str, tuple[Any, Mapping[str, Any], int]], trials: Trials) -> None:
    """Tune every member by itself, then the weights of all, as one more trial of the blend."""
    tuned = {}
    for name, (member, space, n) in parts.items():
        own = _Runs(member, run.cut, run.k, run.metric, run.score, run.threads, run.told, trials)
        _search(own, check_space(space, member.get_params()), replace(trials, n=n))
        tuned[name] = own.best()
        for _, share, value, n_people, error, setting in own.rows:
            run.note_of(name, share, value, n_people, error, setting)
    best, value = weighed(
        run.default, tuned, run.cut, k=run.k, metric=run.metric, seed=trials.seed, counts=trials.counts,
        exclude_seen=bool(trials.exclude_seen),
    )  # fmt: skip
    number = run.next()
    run.settings[number] = best
    run._note(number, 1.0, value, run.n_people, "", best.get_params(deep=False))


_FAILURES = (OmnirecoError, ArithmeticError, MemoryError, RuntimeError, ValueError)
"""What a trial may fail by, without an end to the others."""


class _Runs:
    """What was tried so far on the window that chooses."""

    def __init__(
        self, default: Any, cut: Sides, k: int, metric: Metric, score: Score | None, threads: int | None, tick: Any,
        trials: Trials,
    ) -> None:  # fmt: skip
        self.default, self.cut, self.k, self.metric, self.score = default, cut, k, metric, score
        self.threads, self.tick, self.wide, self.trials = threads, tick, is_wide(cut), trials
        self.ticks: list[None] = []
        self.rows: list[tuple[int, float, float, int, str, Mapping[str, Any]]] = []
        self.settings: list[Any] = [default]
        self.alone: dict[int, str] = {}
        found = self.values(default, cut)
        if len(found.users) < FEWEST:
            raise EmptyError(
                f"tune: fewer than k={FEWEST} people are in the window that chooses, and of so few nothing is said. "
                "Give a longer horizon, or more people."
            )
        self.title, self.n_people = found.title, len(found.users)
        self._note(0, 1.0, float(np.nanmean(found.values)), len(found.users), "", {})
        self.told()

    def values(self, estimator: Any, cut: Sides, threads: int | None = None) -> Any:
        if self.wide:
            threads = None
        model = estimator.fit(cut.past) if threads is None else estimator.fit(cut.past, threads=threads)
        return judged(
            model, cut, k=self.k, metrics=[self.metric], counts=self.trials.counts, where="tune", score=self.score,
            exclude_seen=bool(self.trials.exclude_seen),
        )[0][0]  # fmt: skip

    def told(self) -> None:
        """Say that one more fit is done."""
        self.ticks.append(None)  # from any thread
        self.tick()

    def rest(self, total: int) -> None:
        """Say that fits which were not needed are done: fewer settings, or too few people for a rung."""
        while len(self.ticks) < total:
            self.told()

    def next(self) -> int:
        """Return the number of a new trial."""
        self.settings.append(None)
        return len(self.settings) - 1

    def all(
        self, asked: Sequence[tuple[int, Mapping[str, Any]]], *, cut: Sides | None = None, share: float = 1.0
    ) -> list[float]:
        """Fit and judge settings by their numbers, some at a time, noted in their order; -inf where one is refused."""

        def one(setting: Mapping[str, Any]) -> tuple[Any, float, int, str]:
            estimator = None
            try:
                estimator = self.default.replace(**setting)
                found = self.values(estimator, cut or self.cut, 1 if len(asked) > 1 else None)
            except _FAILURES as error:
                return estimator, float("nan"), 0, type(error).__name__
            finally:
                self.told()
            return estimator, float(np.nanmean(found.values)), len(found.users), ""

        done = in_parallel([partial(one, setting) for _, setting in asked], 1 if self.wide else self.threads)
        for (number, setting), (estimator, value, n, error) in zip(asked, done, strict=True):
            if estimator is not None:
                self.settings[number] = estimator
            self._note(number, share, value, n, error, setting)
        return [value if np.isfinite(value) else float("-inf") for _, value, _, _ in done]

    def _note(self, trial: int, share: float, value: float, n: int, error: str, setting: Mapping[str, Any]) -> None:
        self.rows.append((trial, share, value, n, error, dict(setting)))

    def note_of(self, member: str, share: float, value: float, n: int, error: str, setting: Mapping[str, Any]) -> None:
        """Note a setting of one member alone, which is no candidate for the whole."""
        number = self.next()
        self.alone[number] = member
        self._note(number, share, value, n, error, {f"models__{member}__{one}": setting[one] for one in setting})

    def best(self) -> Any:
        """Return the best setting of those that were judged on everybody; the earliest of equals."""
        whole = [row for row in self.rows if row[1] == 1.0 and np.isfinite(row[2]) and row[0] not in self.alone]
        return self.settings[max(whole, key=lambda row: (row[2], -row[0]))[0]]

    def frame(self, names: list[str]) -> pd.DataFrame:
        import pandas as pd

        default = self.default.get_params()
        columns: dict[str, Any] = {
            "trial": [row[0] for row in self.rows], "share": [row[1] for row in self.rows],
            "value": [row[2] for row in self.rows], "n_people": [row[3] for row in self.rows],
            "error": [row[4] for row in self.rows],
        }  # fmt: skip
        if self.alone:
            columns["member"] = [self.alone.get(row[0], "") for row in self.rows]
            names = sorted({one for row in self.rows for one in row[5]} - {"models"})
        for name in names:
            columns[name] = [_plain(row[5].get(name, default[name])) for row in self.rows]
        return pd.DataFrame(columns)


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, bool)) or value is None else repr(value)


def _distinct(estimator: Any, grid: Mapping[str, Between | tuple[Any, ...]], n: int, seed: int) -> list[dict[str, Any]]:
    """Return n random settings, none twice and not the default, or all there are."""
    random, found, seen = stream(seed, "tune/random"), [], set()
    default = estimator.get_params()
    seen.add(_key({name: default[name] for name in grid}))
    for _ in range(20 * n):
        setting = draw(grid, random)
        key = _key(setting)
        if key not in seen:
            seen.add(key)
            found.append(setting)
        if len(found) == n:
            break
    return found


def _key(setting: Mapping[str, Any]) -> str:
    try:
        return said(setting)
    except OmnirecoError:
        return repr(setting)


def _halving(run: _Runs, grid: Mapping[str, Between | tuple[Any, ...]], n_trials: int, seed: int) -> None:
    """Fit all on few people, and the best third of them on three times as many, until it is everybody."""
    alive = [(run.next(), setting) for setting in _distinct(run.default, grid, n_trials, seed)]
    for share in _SHARES:
        cut = run.cut if share == 1.0 else _some_people(run.cut, share, seed)
        if cut is None:
            continue
        values = run.all(alive, cut=cut, share=share)
        order = sorted(range(len(alive)), key=lambda i: (-values[i], alive[i][0]))
        if share < 1.0:
            alive = [alive[i] for i in sorted(order[: -(-len(alive) // _KEEP)])]


def _rungs(n: int) -> tuple[int, ...]:
    """Return how many settings each round of halving fits, at most."""
    sizes = [n]
    for _ in _SHARES[1:]:
        sizes.append(-(-sizes[-1] // _KEEP))
    return tuple(sizes)


def _some_people(cut: Sides, share: float, seed: int) -> Sides | None:
    """Return both sides of a cut with some of the people, who depend on nothing but ids; None for too few."""
    sides = []
    if not isinstance(cut.past, Dataset):
        return some_rows(cut, lambda users: _aside(users, share, seed), _LEAST_PEOPLE)
    for side in cut:
        events = side.events
        if events is None:
            return None
        keep = _aside(events.users, share, seed)
        if keep.sum() < _LEAST_PEOPLE:
            return None
        kept = replace(rows_of(events, np.flatnonzero(keep[events.user])), end_us=side.end_us)
        messages = side.messages
        if messages is not None:
            messages = messages._rows(np.flatnonzero(_aside(messages.users, share, seed)[messages.user]))
        if not len(kept):
            return None
        sides.append(
            Dataset(
                kept, messages=messages, audience=side.audience, catalog=side.catalog, attributes=side.attributes,
                facts=side.facts, creatives=side.creatives, end=side.end,
            )
        )  # fmt: skip
    return Sides(*sides)


def _aside(users: Vocabulary, share: float, seed: int) -> np.ndarray:
    salt = stream(seed, "tune/people").bytes(16)
    drawn = [
        int.from_bytes(
            hashlib.blake2b(str(one).encode("utf-8", "surrogatepass"), key=salt, digest_size=8).digest(), "big"
        )
        for one in users.ids
    ]
    return np.array(drawn, np.float64) / 2.0**64 < share


def _optuna(run: _Runs, grid: Mapping[str, Between | tuple[Any, ...]], n_trials: int, seed: int) -> None:
    """Let Optuna's sampler of Parzen estimators say what to try next."""
    optuna = require("optuna", extra="tune", purpose="method='optuna'")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    for _ in range(n_trials):
        trial = study.ask()
        setting: dict[str, Any] = {}
        for name, values in grid.items():
            if isinstance(values, tuple):
                setting[name] = values[trial.suggest_categorical(name, list(range(len(values))))]
            elif values.whole:
                setting[name] = trial.suggest_int(name, int(values.low), int(values.high), log=values.log)
            else:
                setting[name] = trial.suggest_float(name, values.low, values.high, log=values.log)
        (value,) = run.all([(run.next(), setting)])
        if np.isfinite(value):
            study.tell(trial, value)
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
