"""When people are active: a profile of 168 local hours per person, pooled person <- segment <- population.

The peak of a raw personal histogram predicts the next visit worse than no personalisation at all. So each
profile starts as the population's and is bent by the person's own sessions only as far as that has paid off
on the log itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from omnireco._core.checks import check_duration, check_integer, check_names, check_number, count_of, shown
from omnireco._core.compute import Progress, one_blas_thread, row_blocks, ticker
from omnireco._core.contract import Estimator
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Array, Maybe, Offsets, Parts, Record, coded, counts, declare, numbers, probabilities
from omnireco._core.random import stream
from omnireco._core.remembered import remembered
from omnireco._core.small import Number, Table, Whole
from omnireco._core.units import DAY_US, WEEK
from omnireco._kernels.week.curves import Cells, Tables, pooled, profiles, tables
from omnireco._kernels.week.pooling import (
    Base,
    Pooling,
    circular_kernel,
    fit_segments,
    given_segments,
    half_strength,
    memberships,
    population_profile,
)
from omnireco._kernels.week.strengths import (
    Sessions,
    decayed_counts,
    fit_channel_strength,
    fit_half_life,
    fit_pooling,
    trust_of,
)
from omnireco.data.audience import Audience
from omnireco.data.dataset import Dataset, dataset_of
from omnireco.data.events import EventLog
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.errors import ParameterError, SchemaError
from omnireco.timing.segments import (
    Groups,
    everybody,
    groups_of_attributes,
    groups_of_segments,
    people_of,
    segment_codes,
)
from omnireco.timing.sessions import NOT_COUNTED, Counted, check_holidays, count_sessions, local_quarters, timed_events

__all__ = ["ActivityModel", "ActivityProfile", "ChannelCells", "check_activity", "on_channel", "profiles_and_segments"]

_LOG = logging.getLogger(__name__)
_PEOPLE_FOR_STRENGTHS = 3_000
_PEOPLE_FOR_SEGMENTS = 8_000
_QUARTER_PRIOR = 100.0  # sessions' worth of everybody's quarters in each segment


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ActivityProfile(Estimator):
    """Hour-of-week profiles of people, from everything they did on any channel.

    Parameters
    ----------
    half_life : duration, "fit" or None
        Half-life of a session's weight. ``"fit"`` takes the one that predicts the later part of the log best;
        None forgets nothing. The population's profile never forgets: it would become that of a few busy people.
    session_gap : duration
        Events of one person closer than this are one session, counted once at its start.
    segments : int or str
        Segments of people (early birds, night owls, weekend people...), found by EM; 1 for none. The prior strength
        of the segment is learned, so a few too many do no harm. A name: the attribute of the audience that
        gives everybody's segment.
    covariates : tuple of str
        Attributes of the audience (country, platform, plan) that predict, by multinomial logit, the segment of a user
        without a history. Without any, they get the population's profile.
    channels : tuple of str
        Channels of the log that get a profile of their own, under the person's.
    prior_strength : float or None
        Sessions of history that make half of a profile the person's own. None: the value that predicts the log
        best. ``float("inf")`` gives everybody the profile of their segment.
    seed : int
        Of the sample of people that the strengths are fitted on (all people, when there are 3,000 or fewer).

    Raises
    ------
    ParameterError
        When a parameter lies outside its range.

    Examples
    --------
    >>> import omnireco as om
    >>> world = om.simulate(n_users=60, n_items=20, days=90, seed=1)
    >>> data = om.Dataset(om.EventLog.from_frame(world.events), messages=om.MessageLog.from_frame(world.messages),
    ...                   audience=om.Audience.from_frame(world.users))
    >>> model = ActivityProfile(half_life="60D").fit(data)
    >>> hours = model.hour_of_week(data.users.ids[:2])
    >>> hours.shape, hours.sum(axis=1).round(6).tolist()
    ((2, 168), [1.0, 1.0])
    """

    needs: ClassVar[tuple[str, ...]] = ("events", "audience")
    reads: ClassVar[tuple[str, ...]] = ("messages",)
    verbs: ClassVar[tuple[str, ...]] = (
        "hour_of_week",
        "population",
        "effective_sample_size",
        "standard_deviation",
        "best_hour",
        "quarter_of_week",
    )

    half_life: Any = "fit"
    session_gap: Any = "30min"
    segments: int | str = 8
    covariates: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    prior_strength: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.half_life is not None and not (isinstance(self.half_life, str) and self.half_life == "fit"):
            check_duration(self.half_life, "half_life")
        check_duration(self.session_gap, "session_gap")
        if not isinstance(self.segments, str):
            check_integer(self.segments, "segments", low=1, high=64)
        object.__setattr__(self, "covariates", check_names(self.covariates, "covariates"))
        object.__setattr__(self, "channels", check_names(self.channels, "channels"))
        if self.covariates and (isinstance(self.segments, str) or self.segments == 1):
            raise ParameterError(
                f"covariates tell apart segments that were found. Got segments={shown(self.segments)}: "
                "leave covariates out, or write segments=8."
            )
        if self.prior_strength is not None and not (
            isinstance(self.prior_strength, float) and self.prior_strength == float("inf")
        ):
            check_number(self.prior_strength, "prior_strength", above=0.0)
        check_integer(self.seed, "seed", low=0)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> ActivityModel:
        """Learn the profiles of the people of a log.

        Parameters
        ----------
        data : Dataset
            With ``events``: what people did, on any channel; a label ``utc_offset_min`` or ``timezone`` (see
            ``context=`` of ``EventLog.from_frame``) is the event's own clock, for people who travel. With ``audience``
            for their time zones: events of people whose zone is not known have no local hour and are left out, as are
            events that carry a date only (``log.timed``). With ``messages``, where they are there, sessions that start
            within ``session_gap`` after a message or its response are left out: they reflect the sender's schedule.
        threads : int, optional
            By default every usable core; never changes a result.
        progress : bool or callable(done, total)
            A bar over four steps: sessions, strengths, segments, profiles.

        Returns
        -------
        ActivityModel

        Raises
        ------
        SchemaError
            When the data has no events or no audience.
        ParameterError
            When the audience lacks an attribute, or the log a channel, that a parameter names.

        Warns
        -----
        DataWarning
            When the audience has public holidays, and people are active on these as on working days.

        Notes
        -----
        The strengths are those that predict the later blocks of this log from what came before (type-II maximum
        likelihood in blocks of time). Deterministic; the order of rows does not matter. Cost: one sort of the
        events by person, and a few seconds for the strengths.

        References
        ----------
        Minka, T. (2000), Estimating a Dirichlet distribution; MacKay, D. and Peto, L. (1995), A hierarchical
        Dirichlet language model (the chain of levels, from coarse to fine).
        """
        data = dataset_of(data, "ActivityProfile.fit", self.needs)
        with ticker(4, progress, label="activity") as tick:
            model = self._fitted(data, threads, tick)
        _LOG.info("fit %r", model)
        return model

    def _fitted(self, data: Dataset, threads: int | None, tick: Callable[[], object]) -> ActivityModel:
        where = "ActivityProfile.fit"
        log, audience = timed_events(data.part("events", where)), data.part("audience", where)
        gap = check_duration(self.session_gap, "session_gap")
        counted = count_sessions(log, audience, data.messages, gap, threads=threads)
        check_holidays(log, audience, counted)
        tick()
        history = counted.history
        rng = stream(self.seed, "activity/people")
        given, n_segments = None, self.segments
        if isinstance(self.segments, str):
            given, n_segments = segment_codes(log.users, audience, self.segments)
        assert not isinstance(n_segments, str)
        with one_blas_thread():
            _, rows, small = _sample(log, counted, history, given, _PEOPLE_FOR_STRENGTHS, rng)
            half_life = self._half_life(small, threads)
            fitted = fit_pooling(small, half_life, n_segments, threads=threads)
            pooling = (
                fitted.pooling if self.prior_strength is None else _with_prior(fitted.pooling, self.prior_strength)
            )
            tick()
            theta = population_profile(small.counts(), counted.total.astype(np.float64))
            people, several_rows, several = _sample(log, counted, history, given, _PEOPLE_FOR_SEGMENTS, rng)
            counts = decayed_counts(several, log.end_us, half_life)
            if several.segment is not None:
                base = given_segments(counts, theta, several.segment, n_segments)
            else:
                base = fit_segments(counts, theta, n_segments)
            member = memberships(counts, base)
            tick()
            quarters = _quarters(log, audience, several_rows, member[several.user])
            channels = {}
            for name in self.channels:
                code = _channel_code(log, name)
                inside = log.channel[rows] == code
                strength = fit_channel_strength(small, inside, half_life, pooling, base)
                channels[name] = ChannelCells(strength, *counted.of_channel(log, code).cells(log, half_life))
        cells = counted.cells(log, half_life, threads=threads)
        users, groups = log.users, everybody(base)
        if given is not None or self.covariates:
            users = people_of(log, audience)
            place = users.codes(log.users.ids)
            if given is not None:
                groups = groups_of_segments(base, segment_codes(users, audience, str(self.segments))[0])
            else:
                groups = groups_of_attributes(base, users, audience, self.covariates, place[people], member)
            history = _placed(history, place, len(users))
            cells = (_indptr_placed(cells[0], place, len(users)), *cells[1:])
            channels = {
                name: ChannelCells(
                    part.strength, _indptr_placed(part.indptr, place, len(users)), part.hour, part.weight
                )
                for name, part in channels.items()
            }
        tick()
        return ActivityModel(
            users=users,
            indptr=cells[0],
            hour=cells[1],
            weight=cells[2],
            history=history,
            base=base,
            groups=groups,
            pooling=pooling,
            trust=fitted.trust,
            quarters=quarters,
            channels=channels,
            half_life_us=half_life,
            n_caused=counted.n_caused,
            n_without_zone=counted.n_without_zone,
            gains=fitted.gains,
        )

    def _half_life(self, sessions: Sessions, threads: int | None) -> int | None:
        if self.half_life is None:
            return None
        if self.half_life == "fit":
            return fit_half_life(sessions, threads=threads)
        return check_duration(self.half_life, "half_life")


class ChannelCells(NamedTuple):
    """Decayed sessions on one channel, as rows of a sparse matrix, under the person's profile.

    ``strength`` is how many sessions on the channel weigh as much as all the person does elsewhere: the more, the
    more activity tells about this channel; infinite when the channel has no hours of its own.
    """

    strength: float
    indptr: np.ndarray
    hour: np.ndarray
    weight: np.ndarray


_GROUPS: Parts = {
    "prior": probabilities("groups", "segments"),
    "start": numbers("groups", 168, low=0.0),
    "group": coded("groups", "users?"),
}
_CHANNEL_CELLS: Parts = {
    "strength": Number(low=0.0, endless=True),
    "indptr": Offsets("users", "on_channel"),
    "hour": Array(np.uint8, ("on_channel",), 0, 168 - 1),
    "weight": numbers("on_channel", dtype=np.float32, low=0.0),
}


@dataclass(frozen=True, slots=True, eq=False, repr=False, weakref_slot=True)
class ActivityModel:
    """The hour-of-week profile of everybody; made by `ActivityProfile.fit`.

    Attributes
    ----------
    users : Vocabulary
        The people of the log.
    indptr, hour, weight : ndarrays
        Decayed sessions per person and local hour, as rows of a sparse matrix (n_users, 168).
    history : ndarray of shape (n_users,), int32
        Sessions per person, undecayed.
    base : Base
        The profiles of the population (``theta``) and of the segments (``phi``, with shares ``pi``).
    groups : Groups
        Prior segment probabilities by attributes or given segments.
    pooling : Pooling
        How strongly each level is pooled.
    quarters : ndarray of shape (G, 4)
        Shares of the quarters of an hour in each segment.
    channels : mapping of str to ChannelCells
        The sessions of single channels, where given, and how strongly the person's profile holds them.
    trust : ndarray of shape (4,)
        Share of the personal profile that paid off for 1-5, 6-20, 21-100 and more sessions of history.
    half_life_us : int or None
        The age at which a session weighs half, microseconds; None where all weigh the same.
    n_caused, n_without_zone : int
        Sessions left out because a message caused them, and people whose events have no local hour.
    gains : ndarray of shape (cells, 3)
        What the strengths were fitted on: sessions of history, weight, nats gained over the population.
    """

    users: Vocabulary
    indptr: np.ndarray
    hour: np.ndarray
    weight: np.ndarray
    history: np.ndarray
    base: Base
    groups: Groups
    pooling: Pooling
    trust: np.ndarray
    quarters: np.ndarray
    channels: Mapping[str, ChannelCells]
    half_life_us: int | None
    n_caused: int
    n_without_zone: int
    gains: np.ndarray = field(default_factory=lambda: np.empty((0, 3)))

    parts: ClassVar[Parts] = {
        "users": Ids(people=True),
        "indptr": Offsets("users", "cells"),
        "hour": Array(np.uint8, ("cells",), 0, 167),
        "weight": numbers("cells", dtype=np.float32, low=0.0),
        "history": counts("users", high=(1 << 31) - 1, dtype=np.int32),
        "base": Record(Base),
        "groups": Record(Groups, _GROUPS),
        "pooling": Record(Pooling),
        "trust": probabilities(4),
        "quarters": probabilities("segments", 4),
        "channels": Table(Record(ChannelCells, _CHANNEL_CELLS)),
        "half_life_us": Maybe(Whole(1)),
        "n_caused": Whole(),
        "n_without_zone": Whole(),
        "gains": numbers("gains", 3),
    }

    def __post_init__(self) -> None:
        declare(self)
        object.__setattr__(self, "channels", ReadOnly(self.channels))

    def __len__(self) -> int:
        return len(self.users)

    def __repr__(self) -> str:
        half_life = "none" if self.half_life_us is None else f"{self.half_life_us / DAY_US:g} days"
        left_out = f", {self.n_caused:,} caused by messages left out" if self.n_caused else ""
        lost = f", {self.n_without_zone:,} without a zone" if self.n_without_zone else ""
        return (
            f"ActivityModel({count_of(len(self), 'user')}{lost}, "
            f"{count_of(int(self.history.sum()), 'session')}{left_out}, "
            f"prior strength {self.prior_strength:.3g} sessions, half-life {half_life})"
        )

    _repr_html_ = shown_html

    @property
    def population(self) -> np.ndarray:
        """Profile of the population over the local week, float64 of shape (168,), summing to 1."""
        return self.base.theta

    @property
    def prior_strength(self) -> float:
        """Sessions of history that make half of a profile the person's own."""
        return half_strength(self.pooling)

    def hour_of_week(self, user_ids: Any, *, channel: str | None = None) -> np.ndarray:
        """Return the profile of each person: the probability of each local hour for the next session.

        Parameters
        ----------
        user_ids : array-like of shape (n,)
            Ids; people who are unknown, or have no session with a local hour, get the population's profile, or that
            of people with the same attributes.
        channel : str, optional
            One of the ``channels`` of the estimator: where the next session on that channel starts.

        Returns
        -------
        ndarray of shape (n, 168), float64
            Monday 00:00 local first; rows sum to 1, every hour is above 0.

        Examples
        --------
        >>> import omnireco as om
        >>> world = om.simulate(n_users=40, n_items=20, days=60, seed=1)
        >>> data = om.Dataset(om.EventLog.from_frame(world.events), audience=om.Audience.from_frame(world.users))
        >>> model = ActivityProfile().fit(data)
        >>> bool((model.hour_of_week([-5])[0] == model.population).all())
        True
        """
        user = self.users.codes(user_ids, missing="none")
        found = self.profiles(user)
        if channel is None:
            return found
        if not isinstance(channel, str) or channel not in self.channels:
            raise ParameterError(
                f"channel must be one that has profiles of its own ({', '.join(map(repr, self.channels)) or 'none'}). "
                f"Got {shown(channel)}: write ActivityProfile(channels=({shown(channel)},))."
            )
        strength, *cells = self.channels[channel]
        return on_channel(self, found, strength, _dense(user, *cells))

    def quarter_of_week(self, user_ids: Any) -> np.ndarray:
        """Return the profile of each person in quarters of an hour, (n, 672): finer to look at, not better known.

        Nobody has enough sessions for 672 numbers, so an hour is divided as the person's segment divides its hours.
        """
        user = self.users.codes(user_ids, missing="none")
        within = self.memberships(user) @ self.quarters
        return np.asarray((self.profiles(user)[:, :, None] * within[:, None, :]).reshape(len(user), 4 * WEEK))

    def memberships(self, user: np.ndarray) -> np.ndarray:
        """Return how probable each segment is for people given by code, (n, G)."""
        user = self._known_codes(user)
        group = np.where(user >= 0, self.groups.group[user], 0) if self.groups.group.size else np.zeros(user.size, int)
        return memberships(self.counts(user), self.base, self.groups.prior[group])

    def tables(self) -> Tables:
        """Return what the curves need of this model."""
        return _tables(self)

    @property
    def cells(self) -> Cells:
        """The decayed sessions of everybody."""
        return Cells(self.indptr, self.hour, self.weight)

    def profiles(self, user: np.ndarray, *, threads: int | None = 1) -> np.ndarray:
        """Return the profiles of people given by code, (n, 168); -1 gives the population's."""
        user = self._known_codes(user)
        return profiles(user, self.trust_in(user), self.cells, self.tables(), threads=threads)

    def _known_codes(self, user: Any) -> np.ndarray:
        """Return codes of people as int64; refuse what is no code, ids above all."""
        code = np.asarray(user)
        fine = code.ndim == 1 and (code.dtype.kind in "iu" or not code.size)
        if not fine or ((code < NONE) | (code >= len(self))).any():
            raise SchemaError(
                f"user must be codes of people, integers of shape (n,) from -1 to {len(self) - 1:,}. Got {code.dtype} "
                f"{code.shape}{' with others' if fine else ''}: write model.users.codes(user_ids, missing='none')."
            )
        return code.astype(np.int64)

    def trust_in(self, user: np.ndarray) -> np.ndarray:
        """Return the share of the personal profile of people given by code, float64 (n,); -1 without a history."""
        history, known = np.zeros(user.size, np.int64), np.flatnonzero(user >= 0)
        history[known] = self.history[user[known]]
        return np.where(history > 0, trust_of(history, self.trust), -1.0)

    def counts(self, user: np.ndarray) -> np.ndarray:
        """Return decayed sessions per local hour of people given by code, (n, 168); -1 has none."""
        return _dense(self._known_codes(user), self.indptr, self.hour, self.weight)

    def effective_sample_size(self, user_ids: Any) -> np.ndarray:
        """Return the effective number of sessions after decay, float64 (n,); 0 if unknown."""
        return self._effective(self.users.codes(user_ids, missing="none"))

    def _effective(self, user: np.ndarray) -> np.ndarray:
        """Return the effective sample size of people given by code."""
        sums = np.append(np.add.reduceat(np.append(self.weight, 0.0).astype(np.float64), self.indptr[:-1]), 0.0)
        sums[:-1][np.diff(self.indptr) == 0] = 0.0
        return np.asarray(sums[user])

    def standard_deviation(self, user_ids: Any) -> np.ndarray:
        """Return the posterior standard deviation of each hour's share, float64 (n, 168).

        That of a Dirichlet with the profile as its mean and ``prior_strength`` plus the person's effective sample
        size as its weight.
        """
        p = self.hour_of_week(user_ids)
        weight = (self.prior_strength + self.effective_sample_size(user_ids))[:, None]
        return np.asarray(np.sqrt(p * (1.0 - p) / (weight + 1.0)))

    def best_hour(self, user_ids: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return each person's most active local hour, int32 (n,), and its probability of being the best, float64 (n,).

        Most best hours have a probability below 0.1. The posterior of `standard_deviation` is a Dirichlet, and its
        shares are ordered as independent Gamma variables are, so the probability is one integral over the quantiles
        ``u`` of the best hour: the product of the other hours' probabilities to stay below. Evaluated by Gauss-Legendre
        quadrature, no draws; half a millisecond per person.

        Examples
        --------
        >>> import omnireco as om
        >>> world = om.simulate(n_users=40, n_items=20, days=60, seed=1)
        >>> data = om.Dataset(om.EventLog.from_frame(world.events), audience=om.Audience.from_frame(world.users))
        >>> hour, chance = ActivityProfile().fit(data).best_hour(data.users.ids)
        >>> hour.shape, bool((chance > 0).all() and (chance < 1).all())
        ((40,), True)
        """
        codes = self.users.codes(user_ids, missing="none")
        p = self.profiles(codes, threads=None)
        weight = np.minimum(self.prior_strength, 1e6) + self._effective(codes)
        best = p.argmax(axis=1).astype(np.int32)
        chance = np.empty(best.size)
        for rows in row_blocks(best.size, 40 * 8 * WEEK):
            chance[rows] = _chance_to_be_best(p[rows] * weight[rows, None], best[rows])
        return best, chance


def profiles_and_segments(model: ActivityModel, user: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return profiles (n, 168) and memberships (n, G) of people given by code, from one pass over their sessions."""
    user = model._known_codes(user)
    return pooled(user, model.trust_in(user), model.cells, model.tables())


def on_channel(model: ActivityModel, found: np.ndarray, strength: float, counts: np.ndarray) -> np.ndarray:
    """Return profiles (n, 168) of a channel, under those of the people, from decayed sessions there (n, 168)."""
    if np.isinf(strength):
        return found
    n = counts.sum(axis=1, keepdims=True)
    own = counts @ circular_kernel(WEEK, model.pooling.hour_width)
    return np.asarray((strength * found + own) / (strength + n))


@remembered
def _tables(model: ActivityModel) -> Tables:
    return tables(model.base, model.pooling, *model.groups)


def _chance_to_be_best(a: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Return the probability that Gamma variables with shapes a (n, 168) are largest in given columns.

    Quantiles ``u = 1 - v^3``: where the best is hardly known, only its highest quantiles beat 167 others.
    """
    from scipy.special import gammainc, gammaincinv

    node, weight = np.polynomial.legendre.leggauss(24)
    v = 0.5 * (1.0 + node)
    own = a[np.arange(best.size), best]
    height = gammaincinv(own[:, None], 1.0 - v**3)
    with np.errstate(divide="ignore"):
        below = np.log(gammainc(a[:, None, :], height[:, :, None])).sum(axis=2) - np.log1p(-(v**3))
    return np.asarray(np.exp(below) @ (0.5 * weight * 3.0 * v**2))


def check_activity(value: Any, name: str, *, none: bool = False) -> None:
    """Refuse what learns no profiles of activity: any other estimator, and a fitted model."""
    if (none and value is None) or (isinstance(value, Estimator) and "best_hour" in value.verbs):
        return
    raise ParameterError(
        f"{name} must be an ActivityProfile, to be fitted with the rest. Got {type(value).__name__}: write "
        "activity=om.timing.ActivityProfile(half_life='90D')."
    )


def _sample(
    log: EventLog,
    counted: Counted,
    history: np.ndarray,
    segment: np.ndarray | None,
    most: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, Sessions]:
    """Return at most ``most`` people, drawn when there are more, the events their sessions begin with, and these."""
    order = rng.permutation(log.n_users)
    people = np.flatnonzero(history)
    if people.size > most:
        people = np.sort(order[history[order] > 0][:most])
    code = np.full(log.n_users, NONE, np.int32)
    code[people] = np.arange(people.size, dtype=np.int32)
    rows = np.flatnonzero((code >= 0)[log.user] & (counted.hour != NOT_COUNTED))
    rows = rows[np.argsort(log.user[rows], kind="stable")]
    user, hour = code[log.user[rows]], counted.hour[rows].astype(np.int32)
    given = None if segment is None else segment[people]
    return people, rows, Sessions(user, hour, log.at[rows], int(people.size), given)


def _quarters(log: EventLog, audience: Audience, rows: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Return the shares of the quarters of an hour in each segment, (G, 4), pooled with those of everybody."""
    quarter = np.eye(4)[local_quarters(log, audience, rows)]
    whole = (quarter.sum(axis=0) + _QUARTER_PRIOR / 4) / (len(rows) + _QUARTER_PRIOR)
    found = member.T @ quarter + _QUARTER_PRIOR * whole
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _channel_code(log: EventLog, name: str) -> int:
    """Return the code of a channel of the log."""
    code = int(log.channels.codes([name], missing="none")[0])
    if code == NONE:
        raise ParameterError(
            f"channels must be channels of the log ({', '.join(map(repr, log.channels.ids)) or 'it has none'}). "
            f"Got {shown(name)}."
        )
    return code


def _placed(values: np.ndarray, place: np.ndarray, n: int) -> np.ndarray:
    """Return values of some people among zeros of all."""
    found = np.zeros(n, values.dtype)
    found[place] = values
    return found


def _indptr_placed(indptr: np.ndarray, place: np.ndarray, n: int) -> np.ndarray:
    """Return the row starts when rows without cells come in between; places ascend, so cells stay where they are."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(_placed(np.diff(indptr), place, n))])


def _dense(user: np.ndarray, indptr: np.ndarray, hour: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return rows of sparse sessions as (n, 168); -1 has none."""
    start = np.where(user >= 0, indptr[user], 0)
    size = np.where(user >= 0, indptr[user + 1] - indptr[user], 0)
    row = np.repeat(np.arange(user.size), size)
    cell = np.arange(row.size) - np.repeat(np.cumsum(size) - size, size) + np.repeat(start, size)
    found = np.zeros((user.size, WEEK))
    found[row, hour[cell]] = weight[cell]
    return found


def _with_prior(pooling: Pooling, prior_strength: float) -> Pooling:
    """Return the pooling with the half strength of the parameters."""
    if np.isinf(prior_strength):
        infinite = float("inf")
        return Pooling((pooling.strengths[0], infinite, infinite, infinite), pooling.hour_width, pooling.day_width)
    return pooling.with_half_strength(prior_strength)
