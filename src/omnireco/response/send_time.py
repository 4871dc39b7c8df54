"""What it is worth to send at an hour: from when people come to the chance that they answer.

A message sent at one hour is read at another. So the profile of activity is turned into the attention that a message
sent at each hour will get until its pull has faded, corrected by where answers really fell, and calibrated so
that the predicted answers agree with those of the log.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from omnireco._checks import check_duration, check_integer, check_number, no_such, shown
from omnireco._compute import in_threads, one_blas_thread, row_blocks
from omnireco._random import stream
from omnireco.data.audience import Audience
from omnireco.data.clock import hour_of_week, local_us, minute_of_day, slots, slots_by_zone
from omnireco.data.columns import instants_to_pandas
from omnireco.data.events import EventLog
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.errors import ParameterError, SchemaError
from omnireco.response.activity import ActivityModel, ActivityProfile
from omnireco.response.calibration import fit_curve, person_factors
from omnireco.response.delay import fit_reading, fit_tau
from omnireco.response.kinds import Evidence, Follows, evidence, fit_follows, kinds_of
from omnireco.response.profiles import WEEK

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SendTime", "SendTimeModel"]

_LOG = logging.getLogger(__name__)
_HOUR = 3_600_000_000
_WEEK_US = WEEK * _HOUR
_MESSAGES_TO_FIT_ON = 200_000
_HIGHEST = 0.99
_LEAST = 1024  # people to a thread


@dataclass(frozen=True, slots=True)
class SendTime:
    """The chance of an answer to a message, by person, channel and local hour of sending.

    Parameters
    ----------
    activity : ActivityProfile
        How profiles of activity are learned.
    base_rate : float
        Chance of an answer that is assumed on a channel without messages in the log, and the prior (worth 20
        messages) on one without both answers and silences.
    pull : duration
        Time after which a message's pull has fallen to 1/e, where the log has no answers to learn it from.
    life : duration, optional
        When an offer expires: attention and answers after it do not count. None: never.
    seed : int
        Of the sample of messages that delay and calibration are fitted on, when there are more than 200,000 a channel.

    Raises
    ------
    ParameterError
        When a parameter lies outside its range.

    Examples
    --------
    >>> import omnireco as om
    >>> world = om.simulate(n_users=80, n_items=20, days=90, seed=1)
    >>> log, audience = om.EventLog.from_frame(world.events), om.Audience.from_frame(world.users)
    >>> model = SendTime().fit(log, om.MessageLog.from_frame(world.messages), audience)
    >>> model.channels.ids.tolist()
    ['email', 'push']
    >>> best = model.best(audience, "2025-04-14", 1, channel="email", quiet_hours=("21:00", "08:00"))
    >>> best.columns.tolist()
    ['user_id', 'channel', 'send_at', 'send_at_local', 'probability']
    """

    activity: ActivityProfile = field(default_factory=ActivityProfile)
    base_rate: float = 0.05
    pull: Any = "6h"
    life: Any = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.activity, ActivityProfile):
            raise ParameterError(
                f"activity must be an ActivityProfile. Got {type(self.activity).__name__}: "
                "write SendTime(activity=ActivityProfile(half_life='90D'))."
            )
        check_number(self.base_rate, "base_rate", above=0.0, high=0.9)
        check_duration(self.pull, "pull")
        if self.life is not None and check_duration(self.life, "life") < _HOUR:
            raise ParameterError(f"life must be an hour or more. Got {shown(self.life)}.")
        check_integer(self.seed, "seed", low=0)

    def fit(
        self,
        log: EventLog,
        messages: MessageLog | None = None,
        audience: Audience | None = None,
        *,
        threads: int | None = None,
    ) -> SendTimeModel:
        """Learn from what people did and from how they answered.

        Parameters
        ----------
        log : EventLog
            For the profiles of activity.
        messages : MessageLog, optional
            What was sent and what came back; it may be empty. Without messages the chances rest on activity, the
            ``base_rate`` and the ``pull``.
        audience : Audience
            For time zones; always needed.
        threads : int, optional
            By default every usable core; never changes a result.

        Returns
        -------
        SendTimeModel

        Raises
        ------
        SchemaError
            When an argument is not the value it should be.

        Notes
        -----
        Per channel: (1) the e-folding time of a message's pull from the delays of the answers; (2) the ratio of answers
        seen to answers expected per hour, so the profile becomes one of reading, free of the sender's own timetable;
        (3) the share of reading that is as the person's own activity, and the kind of people whose week the rest
        follows, from their answers and silences; (4) a logistic curve in the log of the relative value, whose mean
        equals the observed rate; (5) a factor per person, shrunk to 1. The mean predicted chance over the messages of a
        channel equals the share of them that was answered. Deterministic; the order of rows does not matter.

        References
        ----------
        Spasojevic et al. (2015), When-To-Post on social networks, arXiv 1506.02089 (delay kernels).
        """
        if messages is not None and not isinstance(messages, MessageLog):
            raise SchemaError(
                f"SendTime.fit takes (log, messages, audience). Got {type(messages).__name__} for messages: "
                "write MessageLog.from_frame(frame), or messages=None."
            )
        if audience is None:
            raise SchemaError(
                "SendTime.fit needs the audience, for time zones: SendTime().fit(log, messages, audience)."
            )
        profile = self.activity.fit(log, audience, messages=messages, threads=threads)
        messages = _no_messages() if messages is None else messages
        rate = _weekly_rate(profile, log)
        life = None if self.life is None else check_duration(self.life, "life") // _HOUR
        found = [
            self._fit_channel(code, profile, rate, messages, audience, life, threads)
            for code in range(len(messages.channels))
        ]
        n_kinds, shape = len(profile.base.pi), (len(found), messages.n_users)
        model = SendTimeModel(
            activity=profile,
            rate=rate,
            channels=messages.channels,
            tau=np.array([part.tau for part in found]),
            reading=np.array([part.reading for part in found]).reshape(-1, WEEK),
            own=np.array([part.follows.own for part in found]),
            follows=np.array([part.follows.follows for part in found]).reshape(-1, n_kinds, n_kinds),
            kinds=np.array([part.kinds for part in found], np.float32).reshape(*shape, n_kinds),
            curve_parameters=np.array([part.parameters for part in found]).reshape(-1, 4),
            people=messages.users,
            factor=np.array([part.factor for part in found]).reshape(shape).T.copy(),
            base_rate=self.base_rate,
            default_tau=check_duration(self.pull, "pull") / _HOUR,
            life=life,
            n_messages=len(messages),
        )
        _LOG.info("fit %r", model)
        return model

    def __getattr__(self, name: str) -> NoReturn:
        """Say how to get a model, when one of its verbs is called on the parameters."""
        no_such(self, name, ("probability", "slot_probability", "curve", "best"))

    def _fit_channel(
        self,
        code: int,
        profile: ActivityModel,
        rate: np.ndarray,
        messages: MessageLog,
        audience: Audience,
        life: int | None,
        threads: int | None,
    ) -> _Channel:
        """Fit one channel: delay, reading hours, curve, people."""
        sent = _sent(messages, code, profile, audience, life)
        drawn = stream(self.seed, "send_time/messages", str(messages.channels.ids[code]))
        small = sent
        if sent.hour.size > _MESSAGES_TO_FIT_ON:
            keep = np.sort(drawn.permutation(sent.hour.size)[:_MESSAGES_TO_FIT_ON])
            small = _Sent(*(part[keep] for part in sent))
        with one_blas_thread():
            tau, reading = self._fit_delay(profile, small)
            follows, kinds = _fit_kinds(small, sent, profile, reading, tau, messages.n_users)
            channel = _settings(profile, tau, reading, follows, life)
            log_value = _log_value_at(
                small, profile, rate, channel, None, threads
            )  # own answers would tell on themselves
            log_activity = _log_activity(rate, small.profile)
            curve = fit_curve(log_value, log_activity, small.answered.astype(np.float64), base_rate=self.base_rate)
            log_value = _log_value_at(sent, profile, rate, channel, kinds, threads)
        expected = curve.chance(log_value, _log_activity(rate, sent.profile))
        factor, _ = person_factors(sent.person, expected, sent.answered, messages.n_users)
        scale = _scale(expected * factor[sent.person], float(sent.answered.sum()))
        return _Channel(tau, reading, follows, kinds, (curve.intercept, curve.slope, curve.lift, scale), factor)

    def _fit_delay(self, profile: ActivityModel, sent: _Sent) -> tuple[float, np.ndarray]:
        """Return how a channel's pull fades, and its reading hours relative to activity (168,), in turns."""
        tau = check_duration(self.pull, "pull") / _HOUR
        use = np.flatnonzero(sent.answered & (sent.hour >= 0))
        reading = np.ones(WEEK)
        if not use.size:
            return tau, reading
        people, person = np.unique(sent.profile[use], return_inverse=True)
        r, everybody = profile.profiles(people), np.ones((people.size, 1))
        start, delay = sent.hour[use], sent.delay[use]
        for _ in range(3):
            adjusted = r * reading
            adjusted /= adjusted.sum(axis=1, keepdims=True)
            tau = fit_tau(adjusted, person, start, delay, prior=tau)
            reading = fit_reading(r, everybody, person, start, (start + delay) % WEEK, tau)[0]
        return tau, reading


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SendTimeModel:
    """The chance of an answer for anybody, on any channel, at any hour; made by `SendTime.fit`.

    Attributes
    ----------
    activity : ActivityModel
        Profiles of activity.
    rate : ndarray of shape (n_users,), float64
        Sessions a week per person of ``activity.users``, shrunk to the mean.
    channels : Vocabulary
        The channels of the message log.
    tau : ndarray of shape (n_channels,)
        Hours after which a message's pull has fallen to 1/e.
    reading : ndarray of shape (n_channels, 168)
        Reading on the channel relative to activity, of everybody.
    own : ndarray of shape (n_channels,)
        Share of reading that is as the person's own activity; the rest follows the week of a kind of people.
    follows : ndarray of shape (n_channels, G, G)
        The chance that the rest of somebody of activity segment g is of kind k.
    kinds : ndarray of shape (n_channels, n_people, G), float32
        The chance that each is of kind k, given how they answered.
    curve_parameters : ndarray of shape (n_channels, 4)
        Intercept, slope, lift, scale of the calibration.
    people : Vocabulary
        The people of the message log.
    factor : ndarray of shape (n_people, n_channels)
        How much more than expected each answers, shrunk to 1.
    base_rate, default_tau : float
        What is assumed on a channel without messages.
    life : int or None
        Hours until an offer expires.
    n_messages : int
    """

    activity: ActivityModel
    rate: np.ndarray
    channels: Vocabulary
    tau: np.ndarray
    reading: np.ndarray
    own: np.ndarray
    follows: np.ndarray
    kinds: np.ndarray
    curve_parameters: np.ndarray
    people: Vocabulary
    factor: np.ndarray
    base_rate: float
    default_tau: float
    life: int | None
    n_messages: int

    def __post_init__(self) -> None:
        arrays = (
            self.rate,
            self.tau,
            self.reading,
            self.own,
            self.follows,
            self.kinds,
            self.curve_parameters,
            self.factor,
        )
        for array in arrays:
            array.setflags(write=False)

    def __repr__(self) -> str:
        pulls = ", ".join(f"{name} {tau:.1f} h" for name, tau in zip(self.channels.ids, self.tau, strict=True))
        return (
            f"SendTimeModel({len(self.activity):,} users, {self.n_messages:,} messages, "
            f"pull: {pulls or f'{self.default_tau:g} h assumed'})"
        )

    def slot_probability(
        self, audience: Audience, rows: np.ndarray, channel: str, at_us: np.ndarray, *, threads: int | None = None
    ) -> np.ndarray:
        """Return the chance of an answer for people times slots.

        Parameters
        ----------
        audience : Audience
        rows : ndarray of int, shape (n_rows,)
            Rows of the audience.
        channel : str
            Any name; on a channel without messages ``base_rate`` and the default pull are assumed.
        at_us : ndarray of int64, shape (n_slots,)
            Instants, UTC microseconds.
        threads : int, optional
            By default every usable core; never changes a result.

        Returns
        -------
        ndarray of shape (n_rows, n_slots), float64
            People without a zone have the same, timing-neutral, chance in all slots.

        Notes
        -----
        About 10 microseconds per person on one core.
        """
        rows, at_us = np.asarray(rows), np.asarray(at_us, np.int64)
        clock = _clock(audience, at_us)
        return self._chances(audience.users.ids[rows], channel, audience.zone[rows], clock, threads=threads)

    def probability(self, user_ids: Any, channel: str, send_at_us: Any, audience: Audience) -> np.ndarray:
        """Return the chance of an answer to given touches, float64 (n,).

        Parameters
        ----------
        user_ids : array-like of shape (n,)
            Ids; unknown people have the population's chance, without timing where the audience has no zone for them.
        channel : str
        send_at_us : array-like of int64, shape (n,)
            Instants, UTC microseconds.
        audience : Audience
        """
        at = np.asarray(send_at_us, np.int64)
        row = audience.users.codes(user_ids, missing="none")
        zone = np.append(audience.zone, np.int32(NONE))[row]
        hour = hour_of_week(at, zone, audience.zones)
        people, place = _distinct(user_ids)
        found = np.empty(at.size)
        order = np.argsort(place, kind="stable")
        for block in row_blocks(len(people), 24 * 8 * WEEK):
            low, high = np.searchsorted(place[order], [block.start, block.stop])
            some = order[low:high]
            curves = self._curves(people[block], channel)
            found[some] = curves[place[some] - block.start, np.where(hour[some] < 0, WEEK, hour[some])]
        return found

    def curve(self, user_id: Any, channel: str | None = None) -> np.ndarray:
        """Return one person's chance of an answer per local hour of the week, float64 (168,).

        The mean over the channels of the message log when no channel is named.
        """
        names = [channel] if channel is not None else list(self.channels.ids) or [""]
        return np.asarray(np.mean([self._curves(np.array([user_id]), name)[0, :WEEK] for name in names], axis=0))

    def best(
        self,
        audience: Audience,
        start: Any,
        days: int,
        *,
        channel: str,
        every: Any = "1h",
        quiet_hours: Any = None,
        threads: int | None = None,
    ) -> pd.DataFrame:
        """Return everybody's best allowed slot on a channel.

        Parameters
        ----------
        audience : Audience
            Only people with consent who can be reached on the channel are answered.
        start, days, every
            The slots, as in `omnireco.slots`.
        channel : str
            A channel of the audience.
        quiet_hours : pair of str, or bool ndarray of shape (168,), optional
            Local times between which nothing is sent, such as ``("21:00", "08:00")``, or a mask of silent hours
            of the local week. A mask *before* the choice: who is best reached at 23:00 gets the best evening slot,
            not 08:00. With quiet hours, people without a zone get no slot.
        threads : int, optional
            By default every usable core; never changes a result.

        Returns
        -------
        pandas.DataFrame
            ``user_id channel send_at send_at_local probability``; ``send_at`` aware (UTC), ``send_at_local`` the naive
            wall clock (missing without a zone). In order of ``user_id``; of equal slots the earliest.

        Raises
        ------
        ParameterError
            When the audience was never asked about the channel, or the quiet hours are none.
        """
        import pandas as pd

        code = int(audience.channels.codes([channel], missing="none")[0])
        if code == NONE:
            raise ParameterError(
                f"best: the audience has no consent for {shown(channel)}; it knows "
                f"{', '.join(map(repr, audience.channels.ids)) or 'no channel'}. Add a column consent_{channel}."
            )
        at, own_days = slots_by_zone(slots(start, days=days, every=every), audience.zones)
        allowed = _allowed(audience, at, quiet_hours) & own_days
        rows = np.flatnonzero(audience.consent[:, code] & audience.reachable[:, code])
        rows = rows[allowed[audience.zone[rows]].any(axis=1)]
        chosen, chance = self._best_slots(
            audience.users.ids[rows], channel, audience.zone[rows], _clock(audience, at), allowed, threads
        )
        send_at, zone = at[chosen], audience.zone[rows]
        wall = np.where(zone >= 0, local_us(send_at, zone, audience.zones), NEVER)
        return pd.DataFrame(
            {
                "user_id": audience.users.ids[rows],
                "channel": channel,
                "send_at": instants_to_pandas(send_at),
                "send_at_local": instants_to_pandas(wall, none=NEVER).tz_localize(None),
                "probability": chance,
            }
        )

    def _curves(self, ids: np.ndarray, channel: str) -> np.ndarray:
        """Return the chance per local hour of some people, (n, 169); the last column is without timing."""
        return self._chances(ids, channel, np.zeros(len(ids), np.int32), np.arange(WEEK + 1)[None, :])

    def _chances(
        self, ids: np.ndarray, channel: str, zone: np.ndarray, clock: np.ndarray, *, threads: int | None = 1
    ) -> np.ndarray:
        """Return the chance of people at slots whose local hours are ``clock[zone]``, (n, n_slots)."""
        from omnireco.response import _curves as kernels

        people, tables, settings = self._people(ids, channel)
        found = np.empty((len(ids), clock.shape[1]))
        in_threads(
            lambda start, stop: kernels.chances(*people, tables, settings, zone, clock, False, start, stop, found),
            len(ids),
            threads=threads,
            least=_LEAST,
        )
        return found

    def _best_slots(
        self,
        ids: np.ndarray,
        channel: str,
        zone: np.ndarray,
        clock: np.ndarray,
        allowed: np.ndarray,
        threads: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return each person's best allowed slot, the earliest of equal ones, and its chance."""
        from omnireco.response import _curves as kernels

        people, tables, settings = self._people(ids, channel)
        slot, chance = np.empty(len(ids), np.int64), np.empty(len(ids))
        in_threads(
            lambda start, stop: kernels.best_slots(
                *people, tables, settings, zone, clock, allowed, start, stop, slot, chance
            ),
            len(ids),
            threads=threads,
            least=_LEAST,
        )
        return slot, chance

    def _people(self, ids: np.ndarray, channel: str) -> tuple[tuple[np.ndarray, ...], Any, Any]:
        """Return what the kernels need of people on a channel: arrays per person, tables, settings."""
        profile = self.activity
        user = profile.users.codes(ids, missing="none").astype(np.int64)
        rate = np.append(self.rate, _mean_rate(self.rate))[user]
        code = int(self.channels.codes([channel], missing="none")[0]) if len(self.channels) else NONE
        if code == NONE:
            settings = _settings(profile, self.default_tau, np.empty(0), None, self.life)
            settings = settings._replace(intercept=float(np.log(self.base_rate / (1 - self.base_rate))))
            shift, factor, kind = (
                np.zeros(user.size),
                np.ones(user.size),
                np.empty((0, len(profile.base.pi)), np.float32),
            )
            person = np.full(user.size, -1)
        else:
            intercept, slope, lift, scale = self.curve_parameters[code].tolist()
            follows = Follows(float(self.own[code]), self.follows[code])
            settings = _settings(profile, float(self.tau[code]), self.reading[code], follows, self.life)
            settings = settings._replace(intercept=intercept, slope=slope, highest=_HIGHEST)
            person, kind = self.people.codes(ids, missing="none").astype(np.int64), self.kinds[code]
            shift = lift * _log_activity(self.rate, user)
            factor = scale * np.append(self.factor[:, code], 1.0)[person]
        cells = (profile.indptr, profile.hour, profile.weight)
        people = (user, profile.trust_in(user), rate, shift, factor, person, kind, *cells)
        return people, profile.tables(), settings


class _Sent(NamedTuple):
    """Messages of one channel: who, at which local hour (-1 unknown), answered, after how many hours."""

    person: np.ndarray
    profile: np.ndarray
    hour: np.ndarray
    answered: np.ndarray
    delay: np.ndarray


class _Channel(NamedTuple):
    """What was learned about one channel."""

    tau: float
    reading: np.ndarray
    follows: Follows
    kinds: np.ndarray
    parameters: tuple[float, float, float, float]
    factor: np.ndarray


def _sent(messages: MessageLog, code: int, profile: ActivityModel, audience: Audience, life: int | None) -> _Sent:
    """Return the messages of a channel on the clocks of their readers."""
    rows = np.flatnonzero(messages.channel == code)
    person, at, back = messages.user[rows], messages.sent_at[rows], messages.responded_at[rows]
    zone_of = np.append(audience.zone, np.int32(NONE))[audience.users.codes(messages.users.ids, missing="none")]
    answered = back != NEVER
    delay = np.where(answered, (np.where(answered, back, at)) // _HOUR - at // _HOUR, 0)
    if life is not None:
        answered = answered & (delay < life)
    code_of = profile.users.codes(messages.users.ids, missing="none")
    return _Sent(person, code_of[person], hour_of_week(at, zone_of[person], audience.zones), answered, delay)


def _weekly_rate(profile: ActivityModel, log: EventLog) -> np.ndarray:
    """Return sessions a week per person, shrunk to the mean with the weight of one week (Gamma-Poisson)."""
    weeks = max((log.end_us - log.start_us) / _WEEK_US, 1e-9)
    mean = float(profile.history.sum()) / max(1, len(profile)) / weeks
    if mean == 0:  # every session was caused by a message, or has no clock: all are as active as each other
        return np.ones(len(profile))
    return np.asarray((mean + profile.history) / (1.0 + weeks))


def _mean_rate(rate: np.ndarray) -> float:
    """Return the rate of somebody unknown."""
    return float(rate.mean()) if rate.size and rate.mean() > 0 else 1.0


def _log_activity(rate: np.ndarray, user: np.ndarray) -> np.ndarray:
    """Return the log of how much more active than average people are; 0 for the unknown (-1)."""
    mean = _mean_rate(rate)
    relative = np.append(np.maximum(rate, 1e-3 * mean) / mean, 1.0)
    return np.asarray(np.log(relative)[user])


def _fit_kinds(
    small: _Sent, sent: _Sent, profile: ActivityModel, reading: np.ndarray, tau: float, n_people: int
) -> tuple[Follows, np.ndarray]:
    """Return how reading follows activity, learned from a part of the messages, and the kinds of everybody from all."""
    n_kinds = len(profile.base.pi)
    unknown = np.zeros((n_people, n_kinds), np.float32)
    parts = [(found, member) for _, found, member in _blocks(small, profile, reading, tau)]
    pull = sum(float(found.own_pull.sum()) for found, _ in parts)
    answers = sum(float(found.answers.sum()) for found, _ in parts)
    if pull == 0 or answers == 0:
        return Follows(1.0, np.eye(n_kinds)), unknown
    found = _joined([part for part, _ in parts])
    member = np.concatenate([member for _, member in parts])
    rate, rows = answers / pull, np.arange(found.answers.size)
    _, strength = person_factors(rows, rate * found.own_pull, found.answers.astype(np.float64), rows.size)
    follows = fit_follows(found, member, rate, strength)
    if follows.own < 1.0:
        for people, found, member in _blocks(sent, profile, reading, tau):
            told = found.log_likelihood(follows.own, rate, strength)
            unknown[people] = kinds_of(told, member, follows.follows)
    return follows, unknown


def _blocks(
    sent: _Sent, profile: ActivityModel, reading: np.ndarray, tau: float
) -> Iterator[tuple[np.ndarray, Evidence, np.ndarray]]:
    """Yield people, what their messages say about their kinds, and their segments, some thousands at a time."""
    psi = _weeks(profile, reading)
    order = np.argsort(sent.person, kind="stable")
    people, first = np.unique(sent.person[order], return_index=True)
    edges = np.append(first, order.size)
    for block in row_blocks(people.size, 6 * 8 * WEEK):
        rows = order[edges[block.start] : edges[block.stop]]
        code = sent.profile[order[first[block]]]
        r = profile.profiles(code) * reading
        r /= r.sum(axis=1, keepdims=True)
        rows = rows[sent.hour[rows] >= 0]
        place = np.searchsorted(people[block], sent.person[rows])
        read = (sent.hour[rows] + sent.delay[rows]) % WEEK
        found = evidence(r, psi, place, sent.hour[rows], sent.answered[rows], read, tau)
        yield people[block], found, profile.memberships(code)


def _joined(parts: list[Evidence]) -> Evidence:
    """Return the evidence of several blocks of people as one."""
    start = np.cumsum([0, *(part.answers.size for part in parts)])
    return Evidence(
        row=np.concatenate([part.row + first for part, first in zip(parts, start[:-1], strict=True)]),
        own_read=np.concatenate([part.own_read for part in parts]),
        kind_read=np.concatenate([part.kind_read for part in parts]),
        own_pull=np.concatenate([part.own_pull for part in parts]),
        kind_pull=np.concatenate([part.kind_pull for part in parts]),
        answers=np.concatenate([part.answers for part in parts]),
    )


def _weeks(profile: ActivityModel, reading: np.ndarray) -> np.ndarray:
    """Return the reading weeks of the kinds of people, (G, 168)."""
    psi = profile.base.phi * reading if reading.size else np.array(profile.base.phi)
    return np.asarray(psi / psi.sum(axis=1, keepdims=True))


def _settings(
    profile: ActivityModel, tau: float, reading: np.ndarray, follows: Follows | None, life: int | None
) -> Any:
    """Return what the kernels need of a channel, with a curve that is the log of the relative value."""
    from omnireco.response import _curves as kernels

    follows = follows if follows is not None else Follows(1.0, np.eye(len(profile.base.pi)))
    rho = float(np.exp(-1.0 / tau))
    psi, table = _weeks(profile, reading), np.array(follows.follows)
    return kernels.Channel(np.array(reading), follows.own, table, psi, rho, life or 0, 0.0, 1.0, 1.0)


def _log_value_at(
    sent: _Sent, profile: ActivityModel, rate: np.ndarray, channel: Any, kinds: np.ndarray | None, threads: int | None
) -> np.ndarray:
    """Return the log relative value of the hour each message was sent at, (m,); 0 where no clock is known.

    Without ``kinds`` (n_people, G) people are of the kinds that follow their segments.
    """
    from omnireco.response import _curves as kernels

    order = np.argsort(sent.person, kind="stable")
    people, first = np.unique(sent.person[order], return_index=True)
    edges = np.append(first, order.size)
    found, hours = np.zeros(order.size), np.arange(WEEK + 1)[None, :]
    tables = profile.tables()
    table = np.empty((0, len(profile.base.pi)), np.float32) if kinds is None else kinds.astype(np.float32)
    for block in row_blocks(people.size, 8 * WEEK):
        rows = order[edges[block.start] : edges[block.stop]]
        who = sent.profile[order[first[block]]].astype(np.int64)
        even, value = np.zeros(who.size), np.empty((who.size, WEEK + 1))
        kind_row = np.full(who.size, -1) if kinds is None else people[block].astype(np.int64)
        rates = np.append(rate, _mean_rate(rate))[who]
        cells = (profile.indptr, profile.hour, profile.weight)
        person = (who, profile.trust_in(who), rates, even, even, kind_row, table, *cells, tables, channel)
        clock = even.astype(np.int32)
        in_threads(
            partial(kernels.chances, *person, clock, hours, True, out=value),
            who.size,
            threads=threads,
            least=_LEAST,
        )
        place = np.searchsorted(people[block], sent.person[rows])
        found[rows] = value[place, np.where(sent.hour[rows] < 0, WEEK, sent.hour[rows])]
    return found


def _no_messages() -> MessageLog:
    """Return a log of nothing."""
    nobody, none = Vocabulary(np.empty(0, np.int64)), np.empty(0, np.int32)
    never = np.empty(0, np.int64)
    channels = Vocabulary(np.empty(0, object))
    return MessageLog(nobody, channels, nobody, nobody, none, none, none, none, never, never, None, 0)


def _clock(audience: Audience, at_us: np.ndarray) -> np.ndarray:
    """Return the local hour of slots in each zone, (n_zones + 1, n_slots); the last row, 168, is an unknown zone."""
    zones = np.arange(len(audience.zones), dtype=np.int32)
    hour = hour_of_week(at_us[None, :], zones[:, None], audience.zones)
    return np.concatenate([hour, np.full((1, at_us.size), WEEK, np.int32)]).astype(np.int64)


def _scale(chance: np.ndarray, answers: float) -> float:
    """Return the factor that makes the sum of the chances, each at most 0.99, equal the answers."""
    scale = 1.0
    if not answers:
        return scale
    for _ in range(100):
        total = float(np.minimum(chance * scale, _HIGHEST).sum())
        if abs(total - answers) <= 1e-12 * answers or total <= 0:
            break
        scale *= answers / total
    return scale


def _distinct(ids: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct ids and the place of each row among them."""
    vocabulary = Vocabulary.from_ids(ids, "user_ids")
    return vocabulary.ids, vocabulary.codes(ids)


def _allowed(audience: Audience, at: np.ndarray, quiet_hours: Any) -> np.ndarray:
    """Return which slots are allowed in each zone, bool (n_zones + 1, n_slots); the last row is an unknown zone."""
    n_zones = len(audience.zones)
    allowed = np.ones((n_zones + 1, at.size), np.bool_)
    if quiet_hours is None:
        return allowed
    zone = np.arange(n_zones, dtype=np.int32)[:, None]
    if isinstance(quiet_hours, np.ndarray):
        if quiet_hours.shape != (WEEK,) or quiet_hours.dtype != np.bool_:
            raise ParameterError(
                f"quiet_hours as a mask must be bool of shape (168,). Got {quiet_hours.dtype} {quiet_hours.shape}."
            )
        allowed[:n_zones] = ~quiet_hours[hour_of_week(at[None, :], zone, audience.zones)]
    else:
        start, end = _quiet_minutes(quiet_hours)
        minute = minute_of_day(at[None, :], zone, audience.zones)
        silent = (minute >= start) & (minute < end) if start < end else (minute >= start) | (minute < end)
        allowed[:n_zones] = ~silent
    allowed[n_zones] = False
    return allowed


def _quiet_minutes(quiet_hours: Any) -> tuple[int, int]:
    """Return two local times as minutes of the day."""
    try:
        start, end = (dt.time.fromisoformat(text) for text in quiet_hours)
    except (TypeError, ValueError):
        raise ParameterError(
            f"quiet_hours must be two local times, such as ('21:00', '08:00'), or a bool mask. Got "
            f"{shown(quiet_hours)}."
        ) from None
    if start == end:
        raise ParameterError(f"quiet_hours must start and end at different times. Got {shown(quiet_hours)} twice.")
    return start.hour * 60 + start.minute, end.hour * 60 + end.minute
