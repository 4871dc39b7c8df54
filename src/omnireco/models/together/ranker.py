"""Candidates of any models, ranked again by all that is known of the person, the item and the situation."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from omnireco._core.checks import (
    check_choice,
    check_duration,
    check_flag,
    check_instant,
    check_integer,
    check_known,
    check_names,
    count_of,
    from_microseconds,
    shown,
)
from omnireco._core.compute import Progress, row_blocks, track, usable_threads
from omnireco._core.contract import Estimator, says_the_line
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco._core.random import stream
from omnireco.data.asking.histories import data_of
from omnireco.data.asking.requests import Asked, Requests
from omnireco.data.catalog import Catalog
from omnireco.data.dataset import Dataset, dataset_of
from omnireco.data.events import EventLog, require_events
from omnireco.data.interactions import Interactions
from omnireco.data.recommendations import Recommendations
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.data.weights import Weights, check_names_of
from omnireco.errors import EmptyError, ParameterError, SchemaError
from omnireco.models.base import Model, Reader, _Eligible, events_of, weighed, weights_inside
from omnireco.models.together.calibration import Isotonic, calibration_error
from omnireco.models.together.features import Facts, Pasts, describe
from omnireco.models.together.population import Clocks, Population
from omnireco.models.together.scorers import Quadratic, Trees, fit_lambdamart, fit_lightgbm
from omnireco.models.together.validated import against_its_models, warn_if_unknown, warn_if_worse

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EventColumns", "Ranker", "RankerModel"]

_log = logging.getLogger(__name__)
_KINDS = ("logit", "lambdamart", "lightgbm")
_MOST_EVENT_TYPES = 6
_DISLIKES, _UNFINISHED = (
    ("dislike", "hide"),
    ("add_to_cart", "purchase"),
)  # these may be absent
_ENOUGH = 200  # choices that a channel needs for a curve of its own
_BYTES_PER_ROW = 1_000  # of a candidate while it is described


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Ranker(Estimator):
    """Rank the candidates of several models again, in the context of the request.

    A collaborative model knows what a person likes, not that it is Monday morning in the app, that the milk is due,
    or that the kettle is in the cart since Friday. Here fast models propose (``models``), and a second model that
    looks at each candidate closely decides: how often and how recently this person chose it, how this channel, hour
    or shop lifts it, what this session is about, what it costs.

    Parameters
    ----------
    models : mapping of str to estimator, or list of estimators
        Who proposes, unfitted: the ranker fits them, twice, on what it may know. Such as
        ``[EASE(), ALS(factors=64), BuyAgain()]``.
    context : iterable of str
        What is known of a situation: ``"channel"``, labels of the log (``"store_id"``, ``"device"``), attributes of
        the audience, and ``"hour"``, the local hour of the week.
    ranker : {"logit", "lambdamart", "lightgbm"}
        A conditional logit with all pairwise products: the baseline, quick to fit. Boosted trees from scikit-learn's
        parts: slower, and better where effects have thresholds. Or LightGBM's, where it is installed
        (``pip install "omnireco[lightgbm]"``; not needed any more once fitted).
    weights : Weights
        How pasts are weighed for the proposing models that have no weights of their own.
    events : iterable of str, optional
        Which types of event are choices, such as ``["purchase"]``; all by default.
    dislikes : iterable of str
        Event types of negative feedback. They are never choices, and never counted for an item.
    unfinished : (str, str), optional
        Begun and finished: what was put into the cart and not bought.
    n_candidates : int
        How many items are looked at per request.
    exclude_seen : bool
        Whether items of the person's past are left out. False where people come back for the same things.
    half_lives : (str, str)
        Half-lives of the counts, the shorter first.
    gap : str
        Choices with shorter pauses than this are one request.
    requests_from : str, timedelta, datetime or date
        Where the tables for learning end and the requests to learn from begin: a time before the end of the data
        (``"28D"``), or an instant.
    refresh : str or timedelta, optional
        How often the tables are learned again while the order is, such as ``"1D"``, as often as the model will be
        fitted again in use. By default they end at ``requests_from`` for all requests: where items live for days,
        none of what people chose later is known to them, and ``fit`` warns.
    timezone : str, optional
        One IANA zone for everybody's local hours, in place of the zones of the audience.
    n_requests : int
        At most so many requests are learned from, drawn at random.
    negatives : int
        How many candidates that were not chosen stand beside the chosen ones of a request while it learns.
    seed : int
        Of the random draws, 0 or more; the same seed gives the same result. 0 by default.
    missing : {"raise", "ignore"}
        Whether a type of event in ``dislikes`` or ``unfinished`` that the log does not have is an error, or is passed
        over, as the defaults of both are.

    Notes
    -----
    *What may be known.* With t the instant of ``requests_from``, ``fit`` learns all tables and proposing models on
    events before t; learns to rank on requests from t on, each described by tables that end at t and by its own
    person's events strictly before its own instant; and then learns tables and proposing models once more on all
    events, for use from their end on. An estimator that is already fitted is refused, since it may have seen what it
    is to rank.

    *Parts of the Dataset.* The audience gives zones, for ``"hour"``, and attributes that ``context`` names; the
    catalogue categories, prices and margins; ``facts`` are frames with key columns out of ``item_id``, ``user_id`` and
    the names of ``context``, and further columns of numbers (``item_id store_id week on_display``), which must have
    been known at the time of the requests, and are 0 where a row is missing; ``asked`` are requests and choices of your
    own, such as page views and what was clicked, of which those from t on are learned from; without them they are read
    from the events.

    *Probabilities.* The first four fifths (in time) of those requests teach the order; the last fifth teaches, by
    channel, calibration to probabilities (isotonic), with the out-of-sample error in ``model.calibration``, out of
    sample. Not beta calibration: it needs scores in (0, 1) and one family of curves; here lists of equal merit share a
    probability between them, whatever the shape, and every channel with a curve of its own has at least 200 choices,
    enough for pooled blocks.

    *Validation.* On that last fifth the ranker's order meets each proposing model's own, in pairs by person:
    ``model.validation``. Where a model alone is better beyond chance, ``fit`` warns (``DataWarning``) and names it.

    *The logit's penalty* is one of three, chosen on the last fifth (in time) of the requests that teach the order, by
    likelihood; then all of them teach it.

    *Freshness.* With ``refresh`` each request is described by tables that end at the last of the instants ``t, t +
    refresh, ...`` before it; everything else is as above. One more fit of the models for each.

    *Cost.* Two fits of the models, and features of ``n_requests * (negatives + chosen)`` rows. Some 70,000
    candidates per second are described and scored on one core; work goes in blocks of requests. Deterministic; the
    order is learned on one thread.

    References
    ----------
    Covington, Adams and Sargin, "Deep neural networks for YouTube recommendations", RecSys 2016, for two stages;
    McFadden, "Conditional logit analysis of qualitative choice behavior", 1974; Burges, "From RankNet to LambdaRank to
    LambdaMART", 2010.

    Examples
    --------
    >>> import omnireco as om
    >>> data = om.Dataset(om.EventLog.from_frame(om.simulate(n_users=80, n_items=30, days=120, seed=1).events))
    >>> ranker = om.Ranker(models=[om.EASE(), om.BuyAgain()], context=["channel"], exclude_seen=False, n_candidates=20)
    >>> model = ranker.fit(data)
    >>> model.recommend(data.requests(data.users.ids[:2], channel=["app", "email"]), k=3).codes.shape
    (2, 3)
    """

    models: Any
    context: Iterable[str] = ("channel",)
    ranker: Literal["logit", "lambdamart", "lightgbm"] = "logit"
    weights: Weights = field(default_factory=Weights)
    events: Iterable[str] | None = None
    dislikes: Iterable[str] = _DISLIKES
    unfinished: tuple[str, str] | None = _UNFINISHED
    n_candidates: int = 100
    exclude_seen: bool = True
    half_lives: tuple[str, str] = ("7D", "60D")
    gap: str = "30min"
    requests_from: Any = "28D"
    refresh: Any = None
    timezone: str | None = None
    n_requests: int = 10_000
    negatives: int = 50
    seed: int = 0
    missing: Literal["raise", "ignore"] = field(default="raise", kw_only=True, repr=False, compare=False)

    reads: ClassVar[tuple[str, ...]] = ("audience", "catalog")
    verbs: ClassVar[tuple[str, ...]] = ("recommend", "features", "calibration", "validation", "items")

    def __post_init__(self) -> None:
        object.__setattr__(self, "models", ReadOnly(_named(self.models)))
        object.__setattr__(self, "context", _distinct(check_names(self.context, "context"), "context"))
        check_choice(self.ranker, "ranker", _KINDS)
        if not isinstance(self.weights, Weights):
            raise ParameterError(
                f"weights must be a Weights. Got {shown(self.weights)}: write Weights(half_life='30D')."
            )
        if self.weights.targets is not None:
            raise ParameterError(
                "Ranker: Weights(targets=...) cannot be read as of the moment of a request: a later verdict would "
                "overrule what was known then. Leave targets out of weights=, and name negative feedback in "
                "Ranker(dislikes=['dislike', 'hide']): they are never choices, and the ranker counts them."
            )
        if self.events is not None:
            object.__setattr__(self, "events", check_names(self.events, "events"))
        object.__setattr__(self, "dislikes", check_names(self.dislikes, "dislikes"))
        if self.unfinished is not None and len(check_names(self.unfinished, "unfinished")) != 2:
            raise ParameterError(f"unfinished must be (begun, finished), two types. Got {shown(self.unfinished)}.")
        for name in ("n_candidates", "n_requests", "negatives"):
            check_integer(getattr(self, name), name, low=1)
        check_flag(self.exclude_seen, "exclude_seen")
        lives = check_names(self.half_lives, "half_lives")
        if len(lives) != 2 or check_duration(lives[0], "half_lives") > check_duration(lives[1], "half_lives"):
            raise ParameterError(f"half_lives must be two durations, the shorter first. Got {shown(self.half_lives)}.")
        check_duration(self.gap, "gap")
        if self.refresh is not None:
            check_duration(self.refresh, "refresh")
        _start_of(self.requests_from, 0)
        if isinstance(self.requests_from, dt.date):  # instants are kept as text, which a file can hold
            object.__setattr__(self, "requests_from", self.requests_from.isoformat())
        if self.timezone is not None:
            Clocks.of(None, self.timezone)
        check_integer(self.seed, "seed", low=0)
        check_choice(self.missing, "missing", ("raise", "ignore"))

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> RankerModel:
        """Return the ranker, learned from the requests of the last weeks.

        Parameters
        ----------
        data : Dataset, EventLog or frame of events
            All that may be known; its end is where the model is meant to be used from. See the notes for the parts
            that are read.
        threads : int, optional
            Handed to the proposing models; never changes the result.
        progress : bool or callable(done, total)
            True shows a bar; a function is called with the steps done and their number; False, the default, shows
            nothing.

        Returns
        -------
        RankerModel

        Raises
        ------
        EmptyError
            When nothing happened before ``requests_from``, or none of the choices after it was among the candidates.
        ParameterError
            When ``"hour"`` is in ``context`` without a clock to read it on.
        """
        known = dataset_of(data, "Ranker.fit", ("events",))
        log = events_of(known, "Ranker.fit")
        clocks = Clocks.of(known.audience, self.timezone)
        _need_clock(tuple(self.context), log, known.audience, self.timezone)
        self._check_names(log)
        past = log.before(from_microseconds(_start_of(self.requests_from, known.end_us)))
        if not len(past):
            raise EmptyError(
                f"Ranker.fit: nothing happened before requests_from={self.requests_from!r}, so there is nothing to "
                "propose from. Write a shorter time before the end, such as requests_from='7D'."
            )
        events = tuple(str(name) for name in log.events.ids if name not in self.dislikes)[:_MOST_EVENT_TYPES]
        plan = EventColumns(events, self._unfinished(events), tuple(self.dislikes))
        asked = self._asked(known, log, past)
        some = _drawn(asked.requests.at, self.n_requests, stream(self.seed, "ranker/requests"))
        cut = max(1, some.size - some.size // 5)
        times = np.take(asked.requests.at, some)
        folds: list[_Fold] = []
        xs: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        sizes: list[np.ndarray] = []
        for start, teach, later in self._folds(past.end_us, times, cut):
            learner = self._learn(
                log.before(from_microseconds(start)), clocks, known.catalog, plan, known.facts, threads
            )
            pasts, read = learner.index(log, clocks), [Facts.read(frame, learner.population) for frame in known.facts]
            for all_of, of_fold in zip(
                (xs, labels, sizes), self._examples(learner, pasts, asked, some[teach], clocks, read), strict=True
            ):
                all_of.extend(of_fold)
            if later.size:
                folds.append((learner, pasts, read, some[later]))
        if not xs:
            raise EmptyError(
                "Ranker.fit: none of the choices after at= was among the candidates. Propose more (n_candidates=), add "
                "a model that does (BuyAgain), or set exclude_seen=False where people come back for the same things."
            )
        x, label = np.concatenate(xs), np.concatenate(labels)
        indptr = np.r_[0, np.cumsum(np.concatenate(sizes))].astype(np.int64)
        del xs
        scorer = self._fit_scorer(x, label, indptr, progress)
        del x
        held = _held_out(folds, scorer, asked, clocks)
        curves, errors = _learn_curves(held)
        user = asked.requests.user[some[cut:]]
        gains = _validated(held, user, tuple(self.models))
        warn_if_worse(gains)
        if self.refresh is None:
            warn_if_unknown(asked.chosen, past)
        final = self._learn(log, clocks, known.catalog, plan, known.facts, threads)
        model = replace(final, scorer=scorer, curves=curves, calibration=ReadOnly(errors), validation=gains)
        _log.info("fitted %r on %d requests", model, indptr.size - 1)
        return model

    def _folds(self, begin: int, at: np.ndarray, cut: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield where tables end, and which of the requests after it teach the order and which are held out."""
        fold = np.zeros(at.size, np.int64)
        step = 0
        if self.refresh is not None:
            step = check_duration(self.refresh, "refresh")
            fold = (at - begin) // step
        for number in np.unique(fold).tolist():
            here = np.flatnonzero(fold == number)
            yield begin + number * step, here[here < cut], here[here >= cut]

    def _asked(self, data: Dataset, log: EventLog, past: EventLog) -> Asked:
        """Return the requests to learn from, those from the end of ``past`` on, read from the events alone."""
        if data.asked is not None:
            kept = np.flatnonzero(data.asked.requests.at >= past.end_us)
            if not kept.size:
                raise EmptyError(
                    f"Ranker.fit: none of {len(data.asked.requests):,} requests in Dataset(asked=...) lies at or after "
                    f"{past.end.isoformat()}, where learning begins. Move requests_from= back."
                )
            requests, chosen = data.asked.requests.take(kept), data.asked.chosen.take(kept)
        else:
            labels = [name for name in self.context if name == "channel" or name in log.labels]
            later = log.between(from_microseconds(past.end_us), max(log.end, from_microseconds(past.end_us + 1)))
            require_events(later, "Ranker.fit, the events from requests_from= on")
            choices = [name for name in self._choices(log) if name in later.events.ids.tolist()]
            requests, chosen = Requests.from_log(later, context=labels, events=choices, gap=self.gap)
        return Asked(replace(requests, given=None, exclude=None).on(Dataset(log)), chosen)

    def _choices(self, log: EventLog) -> list[str]:
        wanted = [str(name) for name in log.events.ids if name not in self.dislikes]
        if self.events is None:
            return wanted
        return list(check_known(self.events, log.events.ids, "Ranker: events", missing=None))

    def _check_names(self, log: EventLog) -> None:
        """Refuse names that the whole log does not have; the parts of it that models are fitted on may lack some."""
        known = log.events.ids
        for name, default in (("dislikes", _DISLIKES), ("unfinished", _UNFINISHED)):
            if (given := getattr(self, name)) is not None and tuple(given) != default:
                check_known(given, known, f"Ranker: {name}", missing=self.missing)
        for weights in (self.weights, *(one for model in self.models.values() for one in weights_inside(model))):
            check_names_of(weights, known, log.channels.ids)

    def _unfinished(self, events: tuple[str, ...]) -> tuple[str, str] | None:
        pair = self.unfinished
        return pair if pair is not None and len(events) > 1 and set(pair) <= set(events) else None

    def _learn(
        self,
        log: EventLog,
        clocks: Clocks,
        catalog: Catalog | None,
        plan: EventColumns,
        facts: Sequence[Any],
        threads: int | None = None,
    ) -> RankerModel:
        """Fit the proposing models and learn the tables on a log: what a ranker without an order is."""
        disliked = np.isin(log.event, log.events.codes(list(self.dislikes), missing="none"))
        wanted = self._choices(log) if self.events is None else list(self.events)
        chosen = np.isin(log.event, log.events.codes(wanted, missing="none"))
        usual = _without(self.weights, self.dislikes)
        x = log.matrix(usual)
        models = {name: _fitted(estimator, log, x, usual, threads) for name, estimator in self.models.items()}
        population = Population.learn(
            log,
            context=tuple(self.context),
            chosen=chosen & ~disliked,
            disliked=disliked,
            catalog=catalog,
            clocks=clocks,
            x=x,
        )
        return RankerModel(
            items=log.items,
            models=models,
            weights=tuple(usual if model.event_weights is None else model.event_weights for model in models.values()),
            population=population,
            columns=plan,
            n_candidates=self.n_candidates,
            exclude_seen=self.exclude_seen,
            timezone=self.timezone,
            half_lives=tuple(float(check_duration(life, "half_lives")) for life in self.half_lives),
            fact_names=tuple(Facts.read(frame, population).names for frame in facts),
            scorer=None,
            curves={},
            calibration={},
            validation={},
        )

    def _examples(
        self,
        learner: RankerModel,
        pasts: Pasts,
        asked: Asked,
        some: np.ndarray,
        clocks: Clocks,
        facts: Sequence[Facts],
    ) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
        """Return features, labels and list lengths, by block, of the requests whose candidates hold a choice."""
        draw = stream(self.seed, "ranker/examples")
        xs, labels, sizes = [], [], []
        for rows in row_blocks(some.size, _BYTES_PER_ROW * self.n_candidates):
            block = asked.requests.take(some[rows])
            listed = learner.propose(block, None)
            label = _is_chosen(asked, learner.items, some[rows], listed)
            keep = _sample(listed.row, label, self.negatives, draw)
            if keep.size:
                xs.append(learner.describe(pasts, block, listed.take(keep), clocks, facts)[0])
                labels.append(label[keep].astype(np.float64))
                sizes.append(np.unique(listed.row[keep], return_counts=True)[1])
        return xs, labels, sizes

    def _fit_scorer(self, x: np.ndarray, label: np.ndarray, indptr: np.ndarray, progress: Progress) -> Any:
        if self.ranker == "logit":
            return Quadratic.tuned(x, label, indptr)
        if self.ranker == "lambdamart":
            return fit_lambdamart(x, label, indptr, seed=self.seed, progress=progress)
        return fit_lightgbm(x, label, indptr, seed=self.seed)


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Which types of event a ranker counts one by one, which pair means begun and finished, and negative feedback."""

    events: tuple[str, ...]
    unfinished: tuple[str, str] | None
    dislikes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Listed:
    """Candidates of a block of requests, flat, by request: scores and ranks of each model."""

    row: np.ndarray
    item: np.ndarray
    rank: np.ndarray  # (n, n_models), from 1; one more than the list is long where a model did not propose it
    score: np.ndarray  # (n, n_models), in standard deviations of the request's list

    def take(self, rows: np.ndarray) -> _Listed:
        return _Listed(self.row[rows], self.item[rows], self.rank[rows], self.score[rows])


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RankerModel:
    """A fitted ranker: requests in, ranked lists with probabilities out.

    Made by ``Ranker(...).fit(data)``.

    Parameters
    ----------
    items : Vocabulary
        Ids of the items that it knows, in the order of their codes.
    models : mapping of str to Model
        Who proposes.
    weights : tuple of Weights
        Event weights of the histories of each model without its own.
    population : Population
        What is known of items and contexts at the end of the data: counts, categories, vectors.
    columns : which types of event become features
        Types of event that are choices, dislikes, begun and finished.
    n_candidates : int
        Items that are looked at per request.
    exclude_seen : bool
        Whether items of the person's past are left out.
    timezone : str or None
        One zone for everybody, in place of the zones of the audience.
    half_lives : (float, float)
        Microseconds.
    fact_names : tuple of tuple of str
        Names of the columns of each frame of facts that it was fitted with.
    scorer : Quadratic or Trees
        What gives the candidates their scores.
    curves : mapping of str to Isotonic
        From scores to probabilities, by channel; ``""`` for all others.
    calibration : mapping of str to (float, int)
        Expected calibration error out of sample and the number of candidates behind it, by channel.
    validation : mapping of str to (float, float, float, int)
        By proposing model: what the ranker's order gains over that model's own in NDCG@10 of the candidates, on
        requests that did not teach the order, its 95 % interval, and the people. Empty for fewer than 20 people.
    """

    items: Vocabulary
    models: Mapping[str, Model]
    weights: tuple[Weights, ...]
    population: Population
    columns: EventColumns
    n_candidates: int
    exclude_seen: bool
    timezone: str | None
    half_lives: tuple[float, ...]
    fact_names: tuple[tuple[str, ...], ...]
    scorer: Any
    curves: Mapping[str, Isotonic]
    calibration: Mapping[str, tuple[float, int]]
    validation: Mapping[str, tuple[float, float, float, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("models", "curves", "validation"):
            object.__setattr__(self, name, ReadOnly(getattr(self, name)))

    def __repr__(self) -> str:
        kind = {Quadratic: "logit", Trees: "trees"}.get(type(self.scorer), "unordered")
        return f"RankerModel({count_of(len(self.items), 'item')}, {kind} over {', '.join(self.models)})"

    _repr_html_ = shown_html

    @property
    def context(self) -> tuple[str, ...]:
        """The context columns of the model."""
        return tuple(known.name for known in self.population.fields)

    @says_the_line("model.recommend(data.requests(channel='app'), k=10)")
    def recommend(
        self,
        requests: Requests,
        *,
        k: int,
        eligible: Any = None,
        exclude: Any = None,
        exclude_seen: bool | None = None,
        threads: int | None = None,
        progress: Progress = False,
    ) -> Recommendations:
        """Rank items for requests.

        Parameters
        ----------
        requests : Requests
            Of a Dataset, with the labels that ``model.context`` names: ``data.requests(channel="app",
            context={"device": "phone"})``, or ``om.Requests.from_frame(frame, context=["channel"]).on(data)``. Only
            events of the Dataset strictly before a request's instant count for it; people who are not in it are new.
            Its audience, and ``facts`` of the columns that the ranker was fitted with, are read from it too.
        k : int
            At most ``n_candidates``.
        eligible, exclude : optional
            What may and what must not be shown, as in :meth:`Model.recommend`; groups have one label per request.
        exclude_seen : bool, optional
            As fitted by default.
        threads : int, optional
            Handed to the proposing models; never changes the result.
        progress : bool or callable(done, total)
            True shows a bar; a function is called with the steps done and their number; False, the default, shows
            nothing.

        Returns
        -------
        Recommendations
            Its ``users`` are the ids of the requests. The scores are probabilities, calibrated by channel, that the
            item is chosen at that request; they fall along the list.

        Raises
        ------
        SchemaError
            When the requests lack a context column, or the Dataset has other ``facts`` than at fit.
        ParameterError
            When ``k`` exceeds ``n_candidates``.
        """
        log, clocks, read = self._known(requests, "RankerModel.recommend")
        k = check_integer(k, "k", low=1, high=self.n_candidates)
        usable_threads(threads)
        seen = self.exclude_seen if exclude_seen is None else check_flag(exclude_seen, "exclude_seen")
        allowed = _Eligible.read(eligible, self.items, len(requests), exclude)
        pasts = self.index(log, clocks)
        codes = np.full((len(requests), k), NONE, np.int32)
        scores = np.full((len(requests), k), -np.inf, np.float32)
        blocks = list(row_blocks(len(requests), _BYTES_PER_ROW * self.n_candidates))
        for rows in track(blocks, progress, label="rank"):
            some = np.arange(rows.start, rows.stop)
            block = requests.take(some)
            listed = self.propose(block, allowed.given(some), exclude_seen=seen, threads=threads)
            x = self.describe(pasts, block, listed, clocks, read)[0]
            score = self.scorer(x)
            order = np.lexsort([listed.item, -score, listed.row])
            row = listed.row[order]
            place = np.arange(row.size) - np.searchsorted(row, row)
            top = place < k
            at = order[top]
            chance = _chances(self.curves, _channels(block), listed.row, _centred(listed.row, score))
            codes[rows.start + row[top], place[top]] = listed.item[at]
            scores[rows.start + row[top], place[top]] = chance[at]
        found = Recommendations(requests.ids, self.items, codes, scores, requests.key)
        _log.info("%r made by %r", found, self)
        return found

    @says_the_line("model.features(data.requests(channel='app'))")
    def features(self, requests: Requests) -> pd.DataFrame:
        """Return what the ranker looks at: one row per request and candidate, one column per feature.

        To read, to plot, or to train a ranker of your own on. Memory: about 8 bytes x rows x columns, so take some
        requests, not for all.

        Parameters
        ----------
        requests : Requests
            As in :meth:`recommend`.

        Returns
        -------
        pandas.DataFrame
            ``request_id`` (``user_id`` where each user has one request), ``item_id``, the features by name, ``score``
            last.
        """
        import pandas as pd

        log, clocks, read = self._known(requests, "RankerModel.features")
        listed = self.propose(requests, None)
        x, names = self.describe(self.index(log, clocks), requests, listed, clocks, read)
        ids = {requests.key: requests.ids.decode(listed.row), "item_id": self.items.decode(listed.item)}
        return pd.DataFrame(ids | {name: x[:, n] for n, name in enumerate(names)} | {"score": self.scorer(x)})

    def _known(self, requests: Requests, where: str) -> tuple[EventLog, Clocks, list[Facts]]:
        """Return the events, clocks and facts of the Dataset of requests."""
        data = data_of(requests, where)
        log = data.part("events", where)
        require_events(log, where)
        _need_clock(self.context, log, data.audience, self.timezone)
        return log, Clocks.of(data.audience, self.timezone), self._facts(data.facts)

    def index(self, log: EventLog, clocks: Clocks) -> Pasts:
        """Index a log of histories by the instants of requests."""
        plan, lives = self.columns, (self.half_lives[0], self.half_lives[1])
        return Pasts.of(
            log, self.population, events=plan.events, dislikes=plan.dislikes, clocks=clocks, half_lives=lives
        )

    def propose(
        self, requests: Requests, eligible: Any, *, exclude_seen: bool | None = None, threads: int | None = None
    ) -> _Listed:
        """Return the union of what the models propose, best ranks first, at most ``n_candidates`` per request."""
        seen = self.exclude_seen if exclude_seen is None else exclude_seen
        readers: list[Reader] = []
        codes, scores = [], []
        for model, weights in zip(self.models.values(), self.weights, strict=True):
            reader = next((one for one in readers if one.otherwise == weights), None)
            if reader is None:
                reader = Reader(requests, weights)
                readers.append(reader)
            asked: Any = reader
            found = model.recommend(asked, k=self.n_candidates, exclude_seen=seen, eligible=eligible, threads=threads)
            codes.append(found.codes)
            scores.append(_standard(found.scores))
        return _union(codes, scores, len(self.items), self.n_candidates)

    def describe(
        self, pasts: Pasts, requests: Requests, listed: _Listed, clocks: Clocks, facts: Sequence[Facts]
    ) -> tuple[np.ndarray, list[str]]:
        """Return features (n, p), float32, and their names."""
        columns = describe(
            pasts,
            requests,
            listed.row,
            listed.item.astype(np.int64),
            events=self.columns.events,
            unfinished=self.columns.unfinished,
            facts=facts,
            clocks=clocks,
        )
        proposed: dict[str, np.ndarray] = {}
        for n, name in enumerate(self.models):
            proposed[f"model/{name}/score"] = listed.score[:, n]
            proposed[f"model/{name}/rank"] = np.log2(1.0 + listed.rank[:, n])
        columns = proposed | columns
        x = np.empty((listed.row.size, len(columns)), np.float32)
        for n, values in enumerate(columns.values()):
            x[:, n] = values
        return x, list(columns)

    def _facts(self, facts: Sequence[Any]) -> list[Facts]:
        read = [Facts.read(frame, self.population) for frame in facts]
        if (given := tuple(frame.names for frame in read)) != self.fact_names:
            raise SchemaError(
                f"facts: the ranker was fitted with the columns {list(map(list, self.fact_names))} and is given "
                f"{list(map(list, given))}. Give the Dataset the same frames, in the same order: facts=[frame]."
            )
        return read


def _named(models: Any) -> dict[str, Any]:
    """Return estimators by name; fitted models are refused."""
    named = dict(models) if isinstance(models, Mapping) else None
    if named is None:
        listed = list(models) if isinstance(models, Iterable) and not isinstance(models, (str, bytes)) else [models]
        named = {}
        for estimator in listed:
            kind = type(estimator).__name__.lower()
            name, number = kind, 2
            while name in named:
                name, number = f"{kind}{number}", number + 1
            named[name] = estimator
    if not named:
        raise ParameterError("Ranker: models is empty. Give at least one estimator, such as [EASE(), BuyAgain()].")
    for name, estimator in named.items():
        if isinstance(estimator, (Model, type)) or not callable(getattr(estimator, "fit", None)):
            raise ParameterError(
                f"Ranker: models[{shown(name)}] must be an estimator, such as EASE(). Got "
                f"{type(estimator).__name__}. A "
                "fitted model may have seen what it is to rank, so the ranker fits the models itself."
            )
    return {str(name): estimator for name, estimator in named.items()}


def _distinct(names: tuple[str, ...], what: str) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ParameterError(f"{what} names a column twice: {', '.join(map(repr, names))}.")
    return names


def _fitted(estimator: Any, log: EventLog, x: Interactions, usual: Weights, threads: int | None) -> Model:
    """Return a proposing model: fitted on the events by weights of its own, or on the matrix of the ranker's."""
    if not isinstance(estimator, Estimator):  # a stranger's, of which only fit(x) is known
        fitted: Model = estimator.fit(x)
        return fitted
    found: Model = weighed(estimator, usual).fit(log, threads=threads)
    return found


def _start_of(requests_from: Any, end_us: int) -> int:
    """Return the instant from which requests are learned from, UTC microseconds."""
    if isinstance(requests_from, dt.date):
        return check_instant(requests_from, "requests_from")
    try:
        return end_us - check_duration(requests_from, "requests_from")
    except ParameterError:
        try:
            return check_instant(requests_from, "requests_from")
        except ParameterError:
            raise ParameterError(
                "requests_from must be a time before the end of the data, such as '28D', or an instant, such as "
                f"'2025-05-01'. Got {shown(requests_from)}."
            ) from None


def _without(weights: Weights, dislikes: Iterable[str]) -> Weights:
    """Return the weights with 0 for dislikes that they do not name."""
    return replace(weights, events=dict.fromkeys(dislikes, 0.0) | dict(weights.events or {}), missing="ignore")


def _need_clock(context: tuple[str, ...], log: EventLog, audience: Any, timezone: Any) -> None:
    if "hour" in context and "hour" not in log.labels and audience is None and timezone is None:
        raise ParameterError(
            "Ranker: the context 'hour' is a local hour, and there is no clock to read it on. Give the Dataset an "
            "audience, om.Dataset(log, audience=people), or write Ranker(timezone='Europe/Paris')."
        )


def _drawn(at: np.ndarray, most: int, draw: np.random.Generator) -> np.ndarray:
    """Return positions of at most ``most`` requests, in order of time."""
    some = np.arange(at.size) if at.size <= most else np.sort(draw.choice(at.size, most, replace=False))
    return some[np.argsort(at[some], kind="stable")]


def _is_chosen(asked: Asked, items: Vocabulary, rows: np.ndarray, listed: _Listed) -> np.ndarray:
    """Return whether each candidate was chosen at its request, bool of shape (n,)."""
    chosen = asked.chosen.with_items(items).csr[rows]
    m = max(1, len(items))
    key = np.repeat(np.arange(rows.size), np.diff(chosen.indptr)) * m + chosen.indices
    return np.isin(listed.row * m + listed.item, key[chosen.data > 0])


def _sample(row: np.ndarray, label: np.ndarray, negatives: int, draw: np.random.Generator) -> np.ndarray:
    """Return the rows to learn from: all choices, and at most so many others, of requests that have both."""
    n = int(row.max(initial=-1)) + 1
    taken, size = np.bincount(row[label], minlength=n), np.bincount(row, minlength=n)
    useful = ((taken > 0) & (taken < size))[row]
    lot = np.where(label, -1.0, draw.random(row.size))
    order = np.lexsort([lot, row])
    place = np.arange(row.size) - np.searchsorted(row[order], row[order])
    keep = np.zeros(row.size, np.bool_)
    keep[order] = place < taken[row[order]] + negatives
    return np.flatnonzero(keep & useful)


def _standard(scores: np.ndarray) -> np.ndarray:
    """Return each list's scores in standard deviations, 0 at its mean; NaN where there is no item."""
    wide = np.where(np.isfinite(scores), scores, np.nan).astype(np.float64)
    held = np.isfinite(wide).sum(1, keepdims=True)
    mean = np.nansum(wide, 1, keepdims=True) / np.maximum(held, 1)
    spread = np.sqrt(np.nansum((wide - mean) ** 2, 1, keepdims=True) / np.maximum(held, 1))
    return (wide - mean) / np.where(spread > 0, spread, 1.0)


def _union(codes: list[np.ndarray], scores: list[np.ndarray], n_items: int, most: int) -> _Listed:
    """Join the lists of several models: per request the items of best rank, over all models, sorted by code."""
    n, k = codes[0].shape
    m = max(1, n_items)
    place = np.tile(np.arange(1, k + 1), n)
    parts = []
    for listed in codes:
        flat = listed.ravel()
        held = np.flatnonzero(flat != NONE)
        parts.append((held // k * m + flat[held], held))
    key = np.concatenate([key for key, _ in parts])
    rank = np.concatenate([place[held] for _, held in parts])
    order = np.lexsort([rank, key])
    first = order[np.r_[True, np.diff(key[order]) != 0][: order.size]]
    best = first[np.lexsort([key[first], rank[first], key[first] // m])]
    row = key[best] // m
    kept = np.sort(key[best[np.arange(row.size) - np.searchsorted(row, row) < most]])
    row, ranks = kept // m, np.full((kept.size, len(codes)), k + 1.0)
    z = np.empty((kept.size, len(codes)))
    for number, ((own, held), given) in enumerate(zip(parts, scores, strict=True)):
        lowest = np.nan_to_num(np.nanmin(np.where(np.isnan(given), np.inf, given), axis=1), posinf=0.0)
        z[:, number] = lowest[row]
        at = np.minimum(np.searchsorted(kept, own), max(0, kept.size - 1))
        hit = np.flatnonzero(kept[at] == own) if kept.size else np.empty(0, np.int64)
        ranks[at[hit], number] = place[held[hit]]
        z[at[hit], number] = given.ravel()[held[hit]]
    return _Listed(row, (kept % m).astype(np.int64), ranks, z)


def _centred(row: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return scores less the log of the sum of exponentials of their request: comparable between requests."""
    if not row.size:
        return score
    starts = np.flatnonzero(np.r_[True, np.diff(row) != 0])
    lengths = np.diff(np.r_[starts, row.size])
    top = np.repeat(np.maximum.reduceat(score, starts), lengths)
    return score - top - np.repeat(np.log(np.add.reduceat(np.exp(score - top), starts)), lengths)


def _channels(requests: Requests) -> np.ndarray:
    """Return the channel of each request, "" where none is given."""
    if "channel" not in requests.labels:
        return np.full(len(requests), "", object)
    known, code = requests.labels["channel"]
    return np.append(known.ids.astype(object), "")[code]


def _chances(curves: Mapping[str, Isotonic], channel: np.ndarray, row: np.ndarray, centred: np.ndarray) -> np.ndarray:
    """Return the probability of each candidate by its channel's curve, or that of all."""
    of_row = channel[row]
    chance = curves[""](centred)
    for name in set(curves) - {""}:
        here = of_row == name
        chance[here] = curves[name](centred[here])
    return chance


_Fold = tuple[RankerModel, Pasts, Sequence[Facts], np.ndarray]  # tables, and the requests held out after them


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """Full lists of requests that did not teach the order, flat, by request."""

    row: np.ndarray
    score: np.ndarray
    label: np.ndarray
    channel: np.ndarray
    rank: np.ndarray  # (n, n_models)


def _held_out(folds: Sequence[_Fold], scorer: Any, asked: Asked, clocks: Clocks) -> _Held | None:
    """Return the candidates of later requests with their scores; None where none of them was chosen."""
    parts, begin = [], 0
    for learner, pasts, facts, some in folds:
        for rows in row_blocks(some.size, _BYTES_PER_ROW * learner.n_candidates):
            block = asked.requests.take(some[rows])
            listed = learner.propose(block, None)
            score = scorer(learner.describe(pasts, block, listed, clocks, facts)[0])
            label = _is_chosen(asked, learner.items, some[rows], listed)
            row, channel = listed.row + begin + rows.start, _channels(block)[listed.row]
            parts.append((row, _centred(listed.row, score), label, channel, listed.rank))
        begin += some.size
    if not any(part[2].any() for part in parts):
        return None
    return _Held(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _validated(held: _Held | None, user: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
    if held is None:
        return {}
    return against_its_models(held.row, held.label, held.score, held.rank, user, names)


def _learn_curves(held: _Held | None) -> tuple[dict[str, Isotonic], dict[str, tuple[float, int]]]:
    """Learn curves on full lists of later requests, and measure each half of the requests by the other half's curve."""
    if held is None:
        flat = Isotonic(np.array([-1.0, 0.0]), np.array([0.0, 0.5]))
        return {"": flat}, {}
    row, score, label, channel = held.row, held.score, held.label, held.channel
    groups = {"": np.ones(row.size, np.bool_)}
    groups |= {str(name): channel == name for name in sorted(set(channel.tolist()) - {""})}
    curves: dict[str, Isotonic] = {}
    errors: dict[str, tuple[float, int]] = {}
    for name, here in groups.items():
        if name and label[here].sum() < _ENOUGH:
            continue
        curves[name] = Isotonic.fit(score[here], label[here])
        odd = here & (row % 2 == 1)
        chance = np.empty(row.size)
        for one, other in ((odd, here & ~odd), (here & ~odd, odd)):
            if one.any() and other.any():
                chance[other] = Isotonic.fit(score[one], label[one])(score[other])
        if odd.any() and (here & ~odd).any():
            errors[name] = (calibration_error(chance[here], label[here]), int(here.sum()))
    return curves, errors
