"""Would this person come back by themselves? The hazard of the next visit, apart from what messages caused."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import (
    check_duration,
    check_integer,
    check_known,
    check_names,
    check_number,
    shown,
)
from omnireco._core.compute import Progress, check_progress, usable_threads
from omnireco._core.contract import Estimator, says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts, declare, numbers
from omnireco._core.small import Each, Number, Text, Whole
from omnireco._core.units import DAY_US, HOUR_US, WEEK
from omnireco._kernels.week.returning import (
    EDGES,
    Hazard,
    States,
    clock,
    fit_hazard,
    return_chance,
    return_interval,
    states_of,
)
from omnireco.choices.people import labels_of
from omnireco.data.asking.histories import data_of, events_of_few, people_asking
from omnireco.data.asking.requests import Requests
from omnireco.data.dataset import dataset_of
from omnireco.data.events import EventLog, require_events
from omnireco.data.frames.columns import instants_to_pandas
from omnireco.data.parts import Frame, Ids
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import DataWarning, EmptyError, ParameterError
from omnireco.timing.sessions import caused_by_messages, session_starts

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Returns", "ReturnsModel"]

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())
_MOST_PEOPLE = 200_000  # of whom the few numbers of the hazard are learned
_USUAL_SD = 0.1  # of the log of how much more or less people come in one window than in another, before any data
_DRIFT = 1.5  # returns this many times the expected, or fewer, are said aloud
_LEAST = 5  # people in a cell of the calibration table
_K_EDGES = EDGES.size - 1


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Returns(Estimator):
    """Learn who comes back without a message, and when.

    A reminder to somebody who would have come tonight earns nothing. ``Returns`` learns the hazard of the next visit
    from visits that no message caused, so that :func:`nudges` can leave those people alone.

    Parameters
    ----------
    events : iterable of str, optional
        Types of event that are visits; all by default.
    session_gap : duration
        Events of one person closer than this are one visit. A visit that starts so soon after a message, or a response
        to one, is caused by it: it shows that the person is still there, and is no return by themselves.
    groups : str, optional
        Attribute of the audience (or ``name=value`` columns of ``attributes``): new users are like their group.
    prior_strength : float or None
        Visits of history that make half of a person's rate their own (the shape of the gamma prior). None: the value
        under which the log is most likely.
    horizon : duration
        The window in which the fit is checked: the last ``n_checks`` windows of this length are predicted from before
        them. How much they differ from one another widens every interval.
    n_checks : int
        0 for none.

    Raises
    ------
    ParameterError
        When a parameter lies outside its range.

    Examples
    --------
    >>> import omnireco as om
    >>> data = om.simulate(n_users=200, n_items=20, days=90, seed=1).dataset()
    >>> model = Returns(horizon="3D").fit(data)
    >>> found = model.returns(data.requests(), within="3D")
    >>> found.columns.tolist()
    ['user_id', 'visits', 'last_at', 'still_there', 'probability', 'low', 'high']
    >>> bool(found["probability"].between(found["low"], found["high"]).mean() > 0.9)
    True
    """

    needs: ClassVar[tuple[str, ...]] = ("events",)
    reads: ClassVar[tuple[str, ...]] = ("messages", "audience", "attributes")
    verbs: ClassVar[tuple[str, ...]] = ("returns", "to_frame")

    events: Iterable[str] | None = None
    session_gap: Any = "30min"
    groups: str | None = None
    prior_strength: float | None = None
    horizon: Any = "7D"
    n_checks: int = 4

    def __post_init__(self) -> None:
        if self.events is not None:
            object.__setattr__(self, "events", check_names(self.events, "events"))
            if not self.events:
                raise ParameterError("events is empty: no event would be a visit. Leave it out for all, or name some.")
        check_duration(self.session_gap, "session_gap")
        if self.groups is not None and not isinstance(self.groups, str):
            raise ParameterError(
                f"groups must be the name of an attribute, such as 'age_group'. Got {shown(self.groups)}."
            )
        if self.prior_strength is not None:
            check_number(self.prior_strength, "prior_strength", above=0.0, high=1e6)
        check_duration(self.horizon, "horizon")
        check_integer(self.n_checks, "n_checks", low=0, high=100)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> ReturnsModel:
        """Learn the hazard of the next visit.

        Parameters
        ----------
        data : Dataset, EventLog or frame of events
            With ``messages``, visits that they caused are kept apart; without, every visit counts as the person's own.
        threads, progress : optional
            Taken as by every estimator; one thread does it.

        Returns
        -------
        ReturnsModel

        Raises
        ------
        EmptyError
            When nobody came twice by themselves.

        Warns
        -----
        DataWarning
            When people came back 1.5 times as fast as expected, or as much slower, in one of the last windows: a
            season, a trend, or people who left. Intervals are then wide; ``model.calibration`` shows by how much.

        Notes
        -----
        r hours after a visit a person comes with hazard ``theta h(r)``; h is constant between 3, 6, 12, 24 ... hours,
        so bursts are seen as such; ``theta ~ Gamma(a, a / m)`` with the mean of their group; every visit is the last
        with probability p. Hours run faster at hours of the week (UTC) at which people come more. EM; everything has a
        closed form given h. With h constant this is the BG/NBD model. Deterministic; learned on at most 200,000 people,
        O(visits) a round.

        References
        ----------
        Fader, Hardie and Lee (2005), "Counting your customers" the easy way, Marketing Science 24, equations 2-6;
        Friedman (1982), Piecewise exponential models for survival data with covariates, Annals of Statistics 10.
        """
        known = dataset_of(data, "Returns.fit", self.needs)
        usable_threads(threads)
        check_progress(progress)
        log = known.part("events", "Returns.fit")
        require_events(log, "Returns.fit")
        gap, horizon = check_duration(self.session_gap, "session_gap"), check_duration(self.horizon, "horizon")
        visits = _visits(log, known, self.events, gap)
        group, names = _groups(known, log.users, self.groups, "Returns.fit")
        whole = _learn(visits, group, len(names) + 1, known.end_us, self.prior_strength)
        if whole is None:
            raise EmptyError(
                "Returns.fit: nobody came twice by themselves, so no hazard can be learned. Give a longer log, or "
                "leave "
                "messages out where responses are all there is."
            )
        hazard, week = whole
        checked = _check(visits, group, len(names) + 1, known.end_us, horizon, self.n_checks, self.prior_strength)
        model = ReturnsModel(
            hazard.rate,
            week,
            hazard.strength,
            hazard.leaving,
            names,
            hazard.groups,
            checked.log_sd,
            checked.table,
            checked.ratio,
            horizon,
            gap,
            tuple(self.events or ()),
            self.groups or "",
            int(visits.own.size - visits.own.sum()),
        )
        if checked.surprising:
            warnings.warn(
                f"Returns.fit: in one of the last {self.n_checks} windows people came back {checked.ratio:.2f} times "
                "as "
                "fast as expected from before them: a season, a trend, or people who left for good. Intervals are wide "
                "for it; look at model.calibration, and fit on a part of the log that resembles what comes next.",
                DataWarning,
                stacklevel=2,
            )
        _log.info("fit %r", model)
        return model


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ReturnsModel:
    """The hazard of the next visit; made by `Returns.fit`. Nobody is in it: histories are read from the requests.

    Attributes
    ----------
    hazard : ndarray of shape (11,)
        Visits per hour, by hours since the last visit (0, 3, 6, 12, ... 1,536), of somebody of an average rate.
    week : ndarray of shape (168,)
        How much more people come at each hour of the week, UTC, counted from Thursday 00:00 (1970 began so).
    prior_strength : float
        Visits of history that make half of a rate the person's own.
    leaving : float
        Probability that a visit is the last.
    groups : Vocabulary
        Names of the groups of people, in the order of ``group_rates``.
    group_rates : ndarray of shape (n_groups + 1,)
        Rates relative to everybody; the last for those without a group.
    log_sd : float
        Standard deviation, between windows, of the log of returns over the expected.
    calibration : pandas.DataFrame
        ``expected_low expected_high people expected observed low high``: of people with such a probability, how many
        came back in the windows that were predicted from before them, with a 95 % interval; cells of fewer than five
        people are joined.
    ratio : float
        How many times faster than expected people came in the window that differs most; NaN when none was checked.
    horizon_us, session_gap_us : int
        How far ahead it was checked, and the pause that ends a visit, microseconds.
    events : tuple of str
        The event types that are a visit; all where it is empty.
    by : str
        The attribute that names the groups, or an empty string.
    n_caused : int
        Visits that messages caused.
    """

    hazard: np.ndarray
    week: np.ndarray
    prior_strength: float
    leaving: float
    groups: Vocabulary
    group_rates: np.ndarray
    log_sd: float
    calibration: pd.DataFrame
    ratio: float
    horizon_us: int
    session_gap_us: int
    events: tuple[str, ...]
    by: str
    n_caused: int

    parts: ClassVar[Parts] = {
        "hazard": numbers(_K_EDGES, low=0.0),
        "week": numbers(WEEK, low=0.0),
        "prior_strength": Number(1e-9, 1e9),
        "leaving": Number(0.0, 1.0),
        "groups": Ids(text=True),
        "group_rates": numbers("rates", low=0.0),
        "log_sd": Number(0.0, 100.0),
        "calibration": Frame((), ("expected", "observed", "low", "high")),
        "ratio": Number(missing=True),
        "horizon_us": Whole(1),
        "session_gap_us": Whole(1),
        "events": Each(Text()),
        "by": Text(),
        "n_caused": Whole(),
    }

    def __post_init__(self) -> None:
        declare(self)

    def __repr__(self) -> str:
        checked = "not checked" if np.isnan(self.ratio) else f"{self.ratio:.2f} times as fast in the worst window"
        return (
            f"ReturnsModel(prior strength {self.prior_strength:.3g}, {100 * self.leaving:.1f} % of visits are the "
            "last, "
            f"{checked})"
        )

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return the hazard: ``hours_from hours_to visits_per_day`` as a pandas frame."""
        import pandas as pd

        return pd.DataFrame({"hours_from": EDGES[:-1], "hours_to": EDGES[1:], "visits_per_day": 24 * self.hazard})

    @property
    def verdict(self) -> str:
        """In words: whether the model predicted the last windows, and how much to trust it."""
        days = self.horizon_us / DAY_US
        if np.isnan(self.ratio):
            return "Not checked: the log is too short, or n_checks=0."
        return (
            f"In windows of {days:g} days, predicted from before them, people came back at most {self.ratio:.2f} "
            "times as "
            f"fast as expected; from one window to another the pace differs by a factor of {np.exp(self.log_sd):.2f} "
            "(one "
            "standard deviation)."
        )

    @says_the_line("model.returns(data.requests(at=now), within='7D')")
    def returns(self, requests: Requests, *, within: Any = "7D", confidence: float = 0.9) -> pd.DataFrame:
        """Return how probable it is that the users of the requests come back by themselves.

        Parameters
        ----------
        requests : Requests
            ``data.requests(at=now)``: only what happened strictly before each request's instant counts.
        within : str or timedelta
            The window, from the request on.
        confidence : float
            Of the interval, over what is not known: the person's rate, whether they have left, and how much this
            window differs from others.

        Returns
        -------
        pandas.DataFrame
            A row per request, in their order: ``user_id`` (``request_id`` where somebody asks more than once),
            ``visits``, ``last_at``, ``still_there`` (probability that the last visit was not their last),
            ``probability low high``. NaN for somebody without any visit: nothing is known of when they come.

        Raises
        ------
        SchemaError
            When the requests have no Dataset.
        """
        import pandas as pd

        ahead = check_duration(within, "within")
        confidence = check_number(confidence, "confidence", above=0.0)
        if confidence >= 1:
            raise ParameterError(f"confidence must be between 0 and 1. Got {confidence:g}. Write confidence=0.9.")
        states, last, group = self._states(requests)
        now = requests.at
        hours = clock(now + ahead, self.week) - clock(now, self.week)
        hazard = Hazard(self.hazard, self.prior_strength, self.group_rates, self.leaving)
        low, high = return_interval(hazard, states, group, hours, self.log_sd, confidence)
        chance = return_chance(hazard, states, group, hours)
        return pd.DataFrame(
            {
                requests.key: requests.ids.ids,
                "visits": states.visits,
                "last_at": instants_to_pandas(last, none=int(np.iinfo(np.int64).min)),
                "still_there": _still_there(hazard, states, group),
                "probability": chance,
                "low": np.fmin(low, chance),  # a long tail can carry the mean beyond a quantile
                "high": np.fmax(high, chance),
            }
        )

    def _states(self, requests: Requests) -> tuple[States, np.ndarray, np.ndarray]:
        """Return states, instant of the last visit and group of the users of the requests."""
        whole, person = people_asking(requests, "ReturnsModel.returns")
        log, code = events_of_few(whole, person)
        data: Any = data_of(requests, "ReturnsModel.returns")
        events = self.events or None
        if events is not None:
            check_known(events, whole.events.ids, "ReturnsModel.returns: events", missing=None)
        visits = _visits(log, data, events, self.session_gap_us)
        group = np.full(len(requests), len(self.groups), np.int64)
        if self.by:
            group = _groups(data, requests.users, self.by, "ReturnsModel.returns", self.groups)[0][requests.user]
        states, last = _states_at(visits, code, requests.at, self.week)
        return states, last, group


class _Visits(NamedTuple):
    """Visits in order of (user, time), and whether each was the person's own."""

    user: np.ndarray
    when: np.ndarray
    own: np.ndarray
    n_users: int
    masked: float

    def before(self, cut: int) -> _Visits:
        rows = self.when < cut
        return _Visits(self.user[rows], self.when[rows], self.own[rows], self.n_users, self.masked)


class _Checked(NamedTuple):
    """What the check of a fit found."""

    table: Any
    ratio: float
    log_sd: float
    surprising: bool


def _visits(log: EventLog, data: Any, events: Iterable[str] | None, gap_us: int) -> _Visits:
    rows = np.arange(len(log))
    if events is not None:
        wanted = check_known(events, log.events.ids, "Returns.fit: events", missing=None)
        rows = np.flatnonzero(np.isin(log.event, log.events.codes(wanted)))
    user, at = log.user[rows], np.take(log.at, rows)
    starts = session_starts(user, at, gap_us)
    user, at = user[starts], at[starts]
    own = np.ones(user.size, np.bool_)
    if data.messages is not None and len(data.messages):
        own = ~caused_by_messages(user, at, data.messages, log.users, gap_us)
    return _Visits(user, at, own, log.n_users, gap_us / HOUR_US)


def _groups(
    data: Any, users: Vocabulary, by: str | None, where: str, names: Vocabulary | None = None
) -> tuple[np.ndarray, Vocabulary]:
    """Return the group of each user (the last for none), and the names of the groups."""
    if by is None:
        return np.zeros(len(users), np.int64) + (0 if names is None else len(names)), Vocabulary(np.empty(0, object))
    people, values, code = labels_of(data, by, where)
    words = Vocabulary(np.array([str(one) for one in values.ids], object))
    if names is None:
        names = words
    else:
        code = np.append(names.codes(words.ids, missing="none"), NONE)[code].astype(np.int64)
    row = match(people, users, ("audience", "events"))
    group = np.append(code, NONE)[row]
    return np.where(group == NONE, len(names), group), names


def _week_of(visits: _Visits) -> np.ndarray:
    """Return how much more people come at each hour of the week, mean 1; even where the log is short."""
    at = visits.when[visits.own]
    if not at.size or int(at.max()) - int(at.min()) < 14 * DAY_US:
        return np.ones(WEEK)
    count = np.bincount(at // HOUR_US % WEEK, minlength=WEEK)
    rate = (count + 5.0) / (at.size / WEEK + 5.0)
    return np.asarray(rate / rate.mean())


def _learn(
    visits: _Visits, group: np.ndarray, n_groups: int, end_us: int, strength: float | None
) -> tuple[Hazard, np.ndarray] | None:
    week = _week_of(visits)
    step = -(-visits.n_users // _MOST_PEOPLE)
    if step > 1:
        some = visits.user % step == 0
        visits = _Visits(
            visits.user[some] // step, visits.when[some], visits.own[some], -(-visits.n_users // step), visits.masked
        )
        group = group[::step]
    now = np.full(visits.n_users, clock(np.array([end_us]), week)[0])
    states = states_of(visits.user, clock(visits.when, week), visits.own, now, visits.masked)
    if not states.ended.sum():
        return None
    return fit_hazard(states, group, n_groups, strength), week


def _states_at(visits: _Visits, code: np.ndarray, at: np.ndarray, week: np.ndarray) -> tuple[States, np.ndarray]:
    """Return the state of each request's person at its instant, and the instant of the last visit before it."""
    start, stop = (np.searchsorted(visits.user, np.maximum(code, 0), side=side) for side in ("left", "right"))
    length = np.where(code == NONE, 0, stop - start)
    owner = np.repeat(np.arange(code.size), length)
    place = np.repeat(start, length) + np.arange(owner.size) - np.repeat(np.cumsum(length) - length, length)
    known = visits.when[place] < at[owner]
    owner, place = owner[known], place[known]
    last = np.full(code.size, np.iinfo(np.int64).min)
    last[owner] = visits.when[place]  # rows of an owner are in order of time: the last one stays
    return states_of(owner, clock(visits.when[place], week), visits.own[place], clock(at, week), visits.masked), last


def _still_there(hazard: Hazard, states: States, group: np.ndarray) -> np.ndarray:
    upto = hazard.strength / hazard.groups[group] + states.closed @ hazard.rate
    waited = np.clip(np.nan_to_num(states.since)[:, None] - EDGES[:-1], 0.0, np.diff(EDGES)) @ hazard.rate
    silent = np.exp((hazard.strength + states.own) * np.log(upto / (upto + waited)))
    stays = (1 - hazard.leaving) * silent / ((1 - hazard.leaving) * silent + hazard.leaving)
    return np.where(np.isfinite(states.since), stays, np.nan)


def _check(
    visits: _Visits, group: np.ndarray, n_groups: int, end_us: int, horizon: int, n: int, strength: float | None
) -> _Checked:
    """Predict the last windows from before the first of them."""
    cut = end_us - n * horizon
    early = visits.before(cut)
    first = int(visits.when.min()) if visits.when.size else end_us
    found = None
    if n and cut - first >= 2 * horizon:
        found = _learn(early, group, n_groups, cut, strength)
    if found is None:
        return _Checked(_calibration(np.empty(0), np.empty(0)), float("nan"), _USUAL_SD, False)
    hazard, week = found
    chances, outcomes, factors, noise = [], [], [], []
    for turn in range(n):
        now = cut + turn * horizon
        people = np.arange(visits.n_users)
        states, _ = _states_at(visits, people, np.full(people.size, now), week)
        hours = np.full(people.size, np.diff(clock(np.array([now, now + horizon]), week))[0])
        chance = return_chance(hazard, states, group, hours)
        came = np.zeros(people.size, np.bool_)
        came[visits.user[visits.own & (visits.when >= now) & (visits.when < now + horizon)]] = True
        known = np.isfinite(chance)
        chance, came = chance[known], came[known]
        faster, spread = _how_much_faster(np.clip(chance, 1e-9, 1 - 1e-9), int(came.sum()))
        factors.append(faster)
        noise.append(spread)
        chances.append(chance)
        outcomes.append(came)
    chance, came = np.concatenate(chances), np.concatenate(outcomes)
    excess = np.maximum(np.array(factors) ** 2 - np.array(noise), 0.0)
    log_sd = float(np.sqrt((_USUAL_SD**2 + excess.sum()) / (1 + n)))
    worst = int(np.argmax(np.abs(factors)))
    far = abs(factors[worst])
    drifts = far > np.log(_DRIFT) and far > 4 * np.sqrt(noise[worst]) and chance.sum() >= 20
    return _Checked(_calibration(chance, came), float(np.exp(factors[worst])), log_sd, bool(drifts))


def _how_much_faster(chance: np.ndarray, came: int) -> tuple[float, float]:
    """Return the log of the factor on everybody's hazard that explains how many came, and its variance."""
    passed = -np.log1p(-chance)
    low, high = -6.0, 6.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if -np.expm1(-passed * np.exp(middle)).sum() < came + 1e-9 else (low, middle)
    slope = float((passed * (1 - chance)).sum())
    return (low + high) / 2, float((chance * (1 - chance)).sum()) / max(slope, 1e-9) ** 2 + 1e-12


def _calibration(chance: np.ndarray, came: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    place = np.minimum((chance * 10).astype(np.int64), 9)
    rows, start = [], 0
    for upto in range(1, 11):
        inside = (place >= start) & (place < upto)
        people, left = int(inside.sum()), int((place >= upto).sum())
        if people < _LEAST or 0 < left < _LEAST:  # joined with the next
            continue
        share = float(came[inside].mean())
        z2 = 1.96**2 / people
        middle, half = (
            (share + z2 / 2) / (1 + z2),
            1.96 * np.sqrt(share * (1 - share) / people + z2 / 4 / people) / (1 + z2),
        )
        rows.append((start / 10, upto / 10, people, float(chance[inside].mean()), share, middle - half, middle + half))
        start = upto
    names = ["expected_low", "expected_high", "people", "expected", "observed", "low", "high"]
    return pd.DataFrame(rows, columns=names).astype(dict.fromkeys(names, np.float64) | {"people": np.int64})
