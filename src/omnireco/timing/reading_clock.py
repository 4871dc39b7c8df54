"""Reading hours: responses per hour at risk, unbiased by the sender's schedule.

Responses counted by hour show when messages leave as much as when they are read: who always gets mail at nine responds
at nine. Responses of an hour are divided by the messages unread in that hour.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from omnireco._core.checks import check_duration, check_integer, check_number, count_of, shown
from omnireco._core.compute import Progress, one_blas_thread, row_blocks, ticker, usable_threads
from omnireco._core.contract import Estimator, had_verbs, says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Maybe, Offsets, Parts, Record, declare, numbers, probabilities
from omnireco._core.random import stream
from omnireco._core.small import Number, Value, Whole
from omnireco._core.units import EPOCH_HOUR, HOUR_US, WEEK
from omnireco._kernels.week.delay import reading_after
from omnireco._kernels.week.rates import (
    Habits,
    Spells,
    appetites,
    expected_counts,
    fit_base,
    fit_habits,
    fit_open_weight,
    habit_curves,
    seen_counts,
)
from omnireco.data.asking.touches import Touches, hours_of_touches
from omnireco.data.audience import Audience
from omnireco.data.clock import local_us
from omnireco.data.dataset import Dataset, dataset_of
from omnireco.data.holidays import hour_of_week
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import DataWarning, ParameterError, SchemaError
from omnireco.timing.activity import ActivityModel, ActivityProfile, check_activity
from omnireco.timing.machines import Answers, answers_of_people, judge_answers, left_out
from omnireco.timing.responses import answers_are_dates

__all__ = ["ReadingClock", "ReadingModel"]

_LOG = logging.getLogger(__name__)
_PEOPLE_TO_FIT_ON = 4_000
_LONG = 1e9  # hours: no expiry


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ReadingClock(Estimator):
    """The response rate of messages by person and local hour, unbiased by the hours of sending.

    Parameters
    ----------
    expiry : duration, optional
        When an offer expires: what comes later is not counted. None: never.
    segments : int
        Segments of readers, found by EM where they predict later responses; 1 for none.
    open_weight : float or "fit"
        Weight of a human open relative to a click, in [0, 1]. ``"fit"``: the weight that predicts later clicks
        best, 0.3 where there are too few clicks to tell; 1 where the log keeps no clicks at all.
    activity : ActivityProfile, optional
        How profiles are learned of what people do on their own; how far reading follows them is learned from later
        answers. With it, ``fit`` needs ``events`` too.
    provider : str, optional
        An attribute of the audience, such as the mailbox provider: bot opens are then distinguished per channel
        *and* provider.
    seed : int
        Of the sample of people that the strengths are fitted on, when there are more than 4,000.

    Raises
    ------
    ParameterError
        When a parameter lies outside its range.

    Examples
    --------
    >>> import omnireco as om
    >>> world = om.simulate(n_users=200, n_items=20, days=120, seed=1, company=om.worlds.Company(messages_per_week=4))
    >>> data = om.Dataset(messages=om.MessageLog.from_frame(world.messages),
    ...                   audience=om.Audience.from_frame(world.users))
    >>> model = ReadingClock().fit(data)
    >>> model.rates(data.messages.users.ids[:2]).shape
    (2, 168)
    """

    needs: ClassVar[tuple[str, ...]] = ("messages", "audience")
    verbs: ClassVar[tuple[str, ...]] = (
        "probability",
        "slot_probability",
        "hour_probability",
        "rates",
        "hour_of_week",
        "standard_deviation",
        "effective_sample_size",
        "exposure",
    )

    expiry: Any = None
    segments: int = 6
    open_weight: Any = "fit"
    activity: ActivityProfile | None = None
    provider: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.expiry is not None and check_duration(self.expiry, "expiry") < HOUR_US:
            raise ParameterError(f"expiry must be an hour or more. Got {shown(self.expiry)}.")
        check_integer(self.segments, "segments", low=1, high=64)
        if not (isinstance(self.open_weight, str) and self.open_weight == "fit"):
            check_number(self.open_weight, "open_weight", low=0.0, high=1.0)
        check_integer(self.seed, "seed", low=0)
        check_activity(self.activity, "activity", none=True)
        if self.provider is not None and not isinstance(self.provider, str):
            raise ParameterError(
                f"provider must be the name of an attribute of the audience, or None. Got {shown(self.provider)}."
            )

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> ReadingModel:
        """Learn from what was sent and what came back.

        Parameters
        ----------
        data : Dataset
            With ``messages`` and their responses: ``machine`` and ``clicked_at`` are used where the log has them. With
            ``audience`` for time zones: messages to people whose zone is not known are left out. With ``events`` where
            ``activity`` is learned too.
        threads : int, optional
            By default every usable core; never changes a result.
        progress : bool or callable(done, total)
            A bar over five steps: activity, responses, the weight of opens, population rates, habits.

        Returns
        -------
        ReadingModel

        Raises
        ------
        SchemaError
            When the data has no messages or no audience, or no events where ``activity`` is learned.
        ParameterError
            When the audience does not have the attribute ``provider``.

        Warns
        -----
        DataWarning
            When all responses on a channel are at midnight: they carry dates, and its messages are left out.

        Notes
        -----
        A message of age ``d`` that was not read yet is read in local hour ``b`` at the rate ``lambda_u[b] exp(-d /
        tau)``: a piecewise-exponential survival model. Its likelihood, ``sum log rate at each response - sum integral
        of the rate until the response or the end``, needs no message to be "done", so young messages do not bias it,
        and no assumption on when messages were sent, as long as that did not depend on the moment's interest. ``tau``
        and the population's rate per channel are by maximum likelihood with a Gamma factor per person integrated out.
        Each person's curve is the population's bent by segment, by activity, by part of the week, hour of the day and
        hour of the week, each the posterior mean of a Gamma factor ``(k + responses) / (k + expected responses)`` over
        a circular kernel; strengths ``k`` by the likelihood of later messages.

        Bot opens do not count (`omnireco.timing.machines`). A channel on which bots gave more than
        half of the opens is fitted on its clicks alone. Deterministic; the order of rows does not matter. One pass of
        some 40 hours per message and fit step: a million messages take about ten seconds.

        References
        ----------
        Friedman (1982), Piecewise exponential models for survival data with covariates, Annals of Statistics 10;
        Clayton (1978), a Gamma factor per person (frailty), Biometrika 65.
        """
        needs = self.needs if self.activity is None else ("events", *self.needs)
        data = dataset_of(data, "ReadingClock.fit", needs)
        usable_threads(threads)
        with ticker(5, progress, label="reading clock") as tick:
            activity = None if self.activity is None else self.activity.fit(data, threads=threads)
            tick()
            model = self._fitted(data, activity, tick)
        _LOG.info("fit %r", model)
        return model

    def _fitted(self, data: Dataset, activity: ActivityModel | None, tick: Callable[[], object]) -> ReadingModel:
        messages, audience = (data.part(name, "ReadingClock.fit") for name in self.needs)
        answers = judge_answers(messages, _providers(self.provider, audience, messages))
        expiry = _LONG if self.expiry is None else check_duration(self.expiry, "expiry") / HOUR_US
        spells = _spells(messages, answers, audience, expiry)
        spells = spells.of(np.argsort(spells.row, kind="stable"))
        n_channels = len(messages.channels)
        people, small = _sample(spells, len(messages.users), stream(self.seed, "reading/people"))
        tick()
        with one_blas_thread():
            weight = self.open_weight
            if weight == "fit":
                weight = fit_open_weight(small, people.size, n_channels)
            small, spells = small.weighed(weight), spells.weighed(weight)
            tick()
            shape = None if activity is None else WEEK * activity.population
            tau, base, appetite = fit_base(small, people.size, n_channels, shape)
            tick()
            tilt = _tilt(activity, messages.users.ids[people])
            habits = fit_habits(small, people.size, tau, base, appetite, self.segments, tilt)
            tick()
        human = np.bincount(spells.channel, weights=spells.human, minlength=n_channels)
        counted = np.bincount(spells.channel, weights=spells.weight, minlength=n_channels)
        return ReadingModel(
            users=messages.users,
            channels=messages.channels,
            tau=tau,
            base=base,
            level=np.where(counted > 0, human / np.maximum(counted, 1e-300), 1.0),
            habits=habits,
            spells=spells,
            indptr=np.searchsorted(spells.row, np.arange(len(messages.users) + 1)),
            activity=activity,
            open_weight=float(weight),
            machine_share=answers.machine_share,
            n_machine=answers_of_people(messages)[1],
        )


@had_verbs(chance="model.probability(touches)")
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ReadingModel:
    """When everybody reads what they are sent; made by `ReadingClock.fit`.

    Attributes
    ----------
    users, channels : Vocabulary
        Of the message log.
    tau : ndarray of shape (n_channels,)
        Hours after which a message's pull has fallen to 1/e.
    base : ndarray of shape (n_channels, 168)
        Weighted responses per hour at full pull by the average person, in each local hour of the week.
    level : ndarray of shape (n_channels,)
        Responses by people per weighted response.
    habits : Habits
        How curves of people are bent.
    spells : Spells
        The messages, by person; ``indptr`` (n_users + 1,) has where each begins.
    activity : ActivityModel or None
        Activity profiles of people, where they were learned too.
    open_weight : float
        What an open counts next to a click.
    machine_share : ndarray of shape (n_channels,)
        Share of bot opens in the responses, flagged or found by their delay.
    n_machine : int
        Responses flagged as bot opens, which are left out.
    """

    users: Vocabulary
    channels: Vocabulary
    tau: np.ndarray
    base: np.ndarray
    level: np.ndarray
    habits: Habits
    spells: Spells
    indptr: np.ndarray
    activity: ActivityModel | None
    open_weight: float
    machine_share: np.ndarray
    n_machine: int = 0

    parts: ClassVar[Parts] = {
        "users": Ids(people=True),
        "channels": Ids(text=True),
        "tau": numbers("channels", low=1e-3, high=1e5),
        "base": numbers("channels", 168, low=0.0),
        "level": numbers("channels", low=0.0),
        "habits": Record(Habits),
        "indptr": Offsets("users", "messages"),
        "spells": Record(Spells),
        "activity": Maybe(Value((ActivityModel,))),
        "open_weight": Number(low=0.0),
        "machine_share": probabilities("channels", missing=True),
        "n_machine": Whole(),
    }

    def __post_init__(self) -> None:
        declare(self)

    def __len__(self) -> int:
        return len(self.users)

    def __repr__(self) -> str:
        decays = ", ".join(f"{name} {tau:.1f} h" for name, tau in zip(self.channels.ids, self.tau, strict=True))
        answers = count_of(round(float(self.spells.human.sum())), "response")
        return (
            f"ReadingModel({count_of(len(self), 'user')}, {count_of(self.spells.row.size, 'message')}, "
            f"{answers} by people, effect decay: {decays or 'unknown'}{left_out(self.n_machine)})"
        )

    _repr_html_ = shown_html

    def rates(self, user_ids: Any, channel: str | None = None) -> np.ndarray:
        """Return each person's response rate of a fresh message, per local hour.

        Parameters
        ----------
        user_ids : array-like of shape (n,)
            Ids; people who were never written to have the population's rates (bent by their activity, where known).
        channel : str, optional
            A channel of the log; the mean over all its messages by default.

        Returns
        -------
        ndarray of shape (n, 168), float64
            Responses per hour at full pull, Monday 00:00 local first, above 0.

        Raises
        ------
        ParameterError
            When the log has no such channel.
        """
        codes, ids = self.users.codes(user_ids, missing="none"), _array(user_ids)
        share = self._channel_weights(channel)
        found = np.empty((codes.size, WEEK))
        for rows in row_blocks(codes.size, 20 * 8 * WEEK):
            curve, _, appetite = self._curves(codes[rows], ids[rows])
            found[rows] = curve * ((appetite * self.level * share) @ self.base)
        return found

    def hour_of_week(self, user_ids: Any, channel: str | None = None) -> np.ndarray:
        """Return each person's reading profile: shares of the local hours, float64 (n, 168), rows summing to 1."""
        rates = self.rates(user_ids, channel)
        return np.asarray(rates / rates.sum(axis=1, keepdims=True))

    def standard_deviation(self, user_ids: Any, channel: str | None = None) -> np.ndarray:
        """Return the posterior standard deviation of `rates`, float64 (n, 168).

        Each level of the curve, and the person's appetite, is a Gamma factor with a relative variance of
        1 / (strength + answers); those of a product add up.
        """
        codes, ids = self.users.codes(user_ids, missing="none"), _array(user_ids)
        found = self.rates(user_ids, channel)
        share = self._channel_weights(channel)
        appetite = 1.0 / (float(share @ self.habits.appetite) + self.effective_sample_size(user_ids))
        for rows in row_blocks(codes.size, 20 * 8 * WEEK):
            found[rows] *= np.sqrt(self._curves(codes[rows], ids[rows])[1] + appetite[rows, None])
        return found

    def effective_sample_size(self, user_ids: Any) -> np.ndarray:
        """Return the number of clicks that each person's responses weigh, float64 (n,); 0 if unknown."""
        codes = self.users.codes(user_ids, missing="none")
        worth = np.bincount(self.spells.row, weights=self.spells.weight, minlength=len(self.users))
        return np.asarray(np.append(worth, 0.0)[codes])

    def exposure(self, user_ids: Any) -> np.ndarray:
        """Return the hours at risk, weighted by pull, per person and local hour, float64 (n, 168)."""
        codes = self.users.codes(user_ids, missing="none")
        found = np.empty((codes.size, WEEK))
        flat = np.ones((len(self.channels), WEEK))
        for rows in row_blocks(codes.size, 4 * 8 * WEEK):
            found[rows] = expected_counts(self._spells_of(codes[rows]), codes[rows].size, self.tau, flat)
        return found

    @says_the_line("model.probability(om.data.Touches.of(data, users, channel='email', at='2025-06-01T09:00:00Z'))")
    def probability(self, touches: Touches) -> np.ndarray:
        """Return the probability that given touches ever get a response, float64 (n,).

        Parameters
        ----------
        touches : Touches
            Who, on which channel, when: ``om.data.Touches.of(data, users, channel=, at=)``, or the ``touches`` of
            candidates. People without a zone have the mean over their hours.

        Raises
        ------
        SchemaError
            When the touches are none.
        ParameterError
            When the message log does not have a channel.
        """
        return hours_of_touches(
            touches, lambda ids, name: _with_mean(self.hour_probability(ids, name)), "ReadingModel.probability"
        )

    @says_the_line("model.hour_probability(user_ids, channel='email')")
    def hour_probability(self, user_ids: Any, channel: str) -> np.ndarray:
        """Return the probability that a message ever gets a response, by local hour of sending, float64 (n, 168).

        ``1 - exp(-sum_j rate[h + j] tau (1 - exp(-1/tau)) exp(-j/tau))``.
        """
        tau = float(self._channel_weights(channel) @ self.tau)
        return np.asarray(-np.expm1(-reading_after(self.rates(user_ids, channel), tau) * -tau * np.expm1(-1.0 / tau)))

    def slot_probability(self, audience: Audience, rows: np.ndarray, channel: str, at_us: np.ndarray) -> np.ndarray:
        """Return the response probability for people times slots, float64 (n_rows, n_slots): a Timing for `candidates`.

        People without a zone have the mean over their hours in all slots.
        """
        if not isinstance(audience, Audience):
            raise SchemaError(f"slot_probability takes an Audience first. Got {type(audience).__name__}.")
        rows, at_us = np.asarray(rows), np.asarray(at_us)
        if rows.dtype.kind not in "iu" or at_us.dtype.kind not in "iu" or rows.ndim != 1 or at_us.ndim != 1:
            if rows.size and at_us.size:
                raise ParameterError(
                    "rows must be positions in the audience and at_us UTC microseconds: whole numbers."
                )
            rows, at_us = rows.astype(np.int64), at_us.astype(np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= len(audience.users)):
            raise ParameterError(f"rows must be positions in the audience, 0 to {len(audience.users) - 1:,}.")
        zones = np.arange(len(audience.zones), dtype=np.int32)
        hour = hour_of_week(at_us[None, :], zones[:, None], audience.zones, audience.holidays)
        hour = np.concatenate([hour, np.full((1, at_us.size), WEEK, np.int32)])
        found = np.empty((rows.size, at_us.size))
        for block in row_blocks(rows.size, 24 * 8 * WEEK):
            chance = _with_mean(self.hour_probability(audience.users.ids[rows[block]], channel))
            found[block] = np.take_along_axis(chance, hour[audience.zone[rows[block]]], axis=1)
        return found

    def _channel_weights(self, channel: str | None) -> np.ndarray:
        """Return how much each channel counts, (C,), summing to 1."""
        if channel is None:
            sent = np.bincount(self.spells.channel, minlength=len(self.channels)) + 1e-9
            return np.asarray(sent / sent.sum())
        if not isinstance(channel, str):
            raise ParameterError(f"channel must be the name of a channel. Got {type(channel).__name__}.")
        if channel not in self.channels:
            raise ParameterError(
                f"channel must be one of the message log: {', '.join(map(repr, self.channels.ids)) or 'it has none'}. "
                f"Got {shown(channel)}."
            )
        return np.asarray(self.channels.ids == channel, np.float64)

    def _spells_of(self, codes: np.ndarray) -> Spells:
        """Return the messages of some people, numbered by their place in ``codes``; -1 has none."""
        start = np.where(codes >= 0, self.indptr[codes], 0)
        size = np.where(codes >= 0, self.indptr[codes + 1] - self.indptr[codes], 0)
        row = np.repeat(np.arange(codes.size, dtype=np.int32), size)
        place = np.arange(row.size) - np.repeat(np.cumsum(size) - size, size) + np.repeat(start, size)
        return replace(self.spells.of(place), row=row)

    def _curves(self, codes: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return factors of hours and their relative variances, (n, 168), and appetites (n, C)."""
        spells, n = self._spells_of(codes), codes.size
        with one_blas_thread():
            appetite = appetites(spells, n, self.tau, self.base, self.habits.appetite)
            gain = appetite[spells.row, spells.channel]
            expected = expected_counts(spells, n, self.tau, self.base, gain)
            curve, variance = habit_curves(seen_counts(spells, n), expected, self.habits, _tilt(self.activity, ids))
        return curve, variance, appetite


def _with_mean(chance: np.ndarray) -> np.ndarray:
    """Return probabilities by hour, and their mean for people without a clock, (n, 169)."""
    return np.concatenate([chance, chance.mean(axis=1, keepdims=True)], axis=1)


def _array(ids: Any) -> np.ndarray:
    """Return ids as an array that can be cut into blocks."""
    if isinstance(ids, (Set, Mapping)):
        raise ParameterError(f"user_ids must be a list or column, in an order. Got {shown(ids)}: write list(ids).")
    return np.asarray(ids, object) if isinstance(ids, (list, tuple)) else np.asarray(ids)


def _tilt(activity: ActivityModel | None, ids: np.ndarray) -> np.ndarray | None:
    """Return each person's activity relative to the population's, (n, 168)."""
    return None if activity is None else activity.hour_of_week(ids) / activity.population


def _providers(provider: str | None, audience: Audience, messages: MessageLog) -> np.ndarray | None:
    """Return the code of each message's mailbox provider."""
    if provider is None:
        return None
    if provider not in audience.attributes:
        raise ParameterError(
            f"provider={shown(provider)} is not an attribute of the audience. Read it with "
            f"Audience.from_frame(people, attributes=[{shown(provider)}])."
        )
    row = match(audience.users, messages.users, ("the audience", "the message log"))
    codes = np.append(audience.attributes[provider][1], np.int32(NONE))[row]
    return np.asarray(codes[messages.user])


def _spells(messages: MessageLog, answers: Answers, audience: Audience, expiry: float) -> Spells:
    """Return the messages to people with a clock, as the time they lay unread."""
    zone_of = np.append(audience.zone, np.int32(NONE))[
        match(audience.users, messages.users, ("the audience", "the message log"))
    ]
    rows = np.flatnonzero((zone_of[messages.user] != NONE) & ~_without_hours(messages, answers.at))
    user, at = messages.user[rows], messages.sent_at[rows]
    start = ((local_us(at, zone_of[user], audience.zones) / HOUR_US) + EPOCH_HOUR) % WEEK
    end = np.where(answers.at[rows] != NEVER, answers.at[rows], answers.until[rows])
    stop = np.where(end != NEVER, end, messages.end_us) - at
    stop = np.maximum(stop / HOUR_US, 1e-6)
    human = np.where(stop <= expiry, answers.human[rows], 0.0)
    return Spells(
        row=user.astype(np.int32),
        channel=messages.channel[rows].astype(np.int32),
        start=start,
        stop=np.minimum(stop, expiry),
        at=at,
        human=human,
        click=answers.click[rows] & (human > 0),
        weight=human,
    )


def _without_hours(messages: MessageLog, at: np.ndarray) -> np.ndarray:
    """Return which messages are of a channel whose responses carry dates and no hours, and warn of them."""
    answered = at != NEVER
    channels = range(len(messages.channels))
    dates = [c for c in channels if answers_are_dates(at[answered & (messages.channel == c)])]
    if dates:
        warnings.warn(
            f"ReadingClock: all responses on {', '.join(map(repr, messages.channels.ids[dates]))} are at midnight, so "
            "they carry dates and no hours, and none is learned from them. Join the real times of opens and clicks.",
            DataWarning,
            stacklevel=6,
        )
    return np.isin(messages.channel, dates)


def _sample(spells: Spells, n_people: int, rng: np.random.Generator) -> tuple[np.ndarray, Spells]:
    """Return the codes of at most 4,000 people, and their messages numbered by their place among these."""
    people = np.arange(n_people)
    if n_people > _PEOPLE_TO_FIT_ON:
        people = np.sort(rng.permutation(n_people)[:_PEOPLE_TO_FIT_ON])
    place = np.full(n_people, NONE, np.int32)
    place[people] = np.arange(people.size, dtype=np.int32)
    keep = np.flatnonzero(place[spells.row] >= 0)
    return people, replace(spells.of(keep), row=place[spells.row[keep]])
