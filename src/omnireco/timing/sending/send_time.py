"""Response probability by person and hour of sending, with intervals.

Responses per hour at risk of the population are learned from the message log, with individual deviations as far as a
person's activity and responses predict responses. With few messages the hours of activity carry the probabilities, with
many the responses do; there is no extrapolation beyond the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from omnireco._core.checks import (
    check_choice,
    check_duration,
    check_integer,
    check_number,
    shown,
)
from omnireco._core.compute import Progress, one_blas_thread, ticker
from omnireco._core.contract import Estimator
from omnireco._core.random import stream
from omnireco._core.units import HOUR_US, WEEK, WEEK_US
from omnireco.data.dataset import Dataset, dataset_of
from omnireco.data.events import EventLog
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.vocabulary import Vocabulary, match
from omnireco.errors import ParameterError
from omnireco.timing.activity import ActivityModel, ActivityProfile, check_activity
from omnireco.timing.answering import Channel, Lent, fit_channel
from omnireco.timing.answers.counted import ANSWERS, answers_by_kind
from omnireco.timing.answers.held_out import KNOTS
from omnireco.timing.answers.kinds import hours_of_kinds
from omnireco.timing.departures import (
    Sent,
    by_person,
)
from omnireco.timing.responses import basis_of, sent_on, warn_of_contradicted
from omnireco.timing.sending.response_model import SendTimeModel

__all__ = ["SendTime"]

_LOG = logging.getLogger(__name__)
_MESSAGES_TO_FIT_ON = 200_000


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SendTime(Estimator):
    """The response probability of a message, by person, channel and local hour of sending.

    Parameters
    ----------
    activity : ActivityProfile
        How profiles of activity are learned.
    base_rate : float
        Prior response rate on a channel without messages in the log, and the prior (of 20 messages)
        on one where all or none had a response.
    effect_decay : duration
        Effect decay: time constant of a message, where the log has no responses to learn it from.
    expiry : duration, optional
        When an offer expires: attention and responses after it do not count. None: never.
    answers : {"auto", "responses", "clicks", "purchases"}
        What counts as a response. ``"auto"``: any that is no bot's, and clicks alone on channels most of whose
        responses are bots'. ``"purchases"``: an event ``"purchase"`` within three days, credited to the last message.
    seed : int
        Of the sample of people whose messages delay and calibration are fitted on, when there are more than 200,000
        messages a channel.

    Raises
    ------
    ParameterError
        When a parameter lies outside its range.

    Examples
    --------
    >>> import omnireco as om
    >>> world = om.simulate(n_users=80, n_items=20, days=90, seed=1)
    >>> data = om.Dataset(om.EventLog.from_frame(world.events), messages=om.MessageLog.from_frame(world.messages),
    ...                   audience=om.Audience.from_frame(world.users))
    >>> model = SendTime().fit(data)
    >>> model.channels.ids.tolist()
    ['email', 'push']
    >>> best = model.best(data, "2025-04-14", 1, channel="email", quiet_hours=("21:00", "08:00"))
    >>> best.columns.tolist()
    ['user_id', 'channel', 'send_at', 'send_at_local', 'probability']
    >>> touches = om.data.Touches.of(data, best["user_id"], channel="email", at=best["send_at"])
    >>> bool((model.probability(touches) == best["probability"]).all())
    True
    """

    needs: ClassVar[tuple[str, ...]] = ("events", "audience")
    reads: ClassVar[tuple[str, ...]] = ("messages",)
    verbs: ClassVar[tuple[str, ...]] = (
        "probability",
        "probability_interval",
        "slot_probability",
        "hour_probability",
        "best",
    )

    activity: ActivityProfile = field(default_factory=ActivityProfile)
    base_rate: float = 0.05
    effect_decay: Any = "6h"
    expiry: Any = None
    answers: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        check_activity(self.activity, "activity")
        check_number(self.base_rate, "base_rate", above=0.0, high=0.9)
        check_duration(self.effect_decay, "effect_decay")
        if self.expiry is not None and check_duration(self.expiry, "expiry") < HOUR_US:
            raise ParameterError(f"expiry must be an hour or more. Got {shown(self.expiry)}.")
        check_choice(self.answers, "answers", ANSWERS)
        check_integer(self.seed, "seed", low=0)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> SendTimeModel:
        """Fit on events and messages.

        Parameters
        ----------
        data : Dataset
            With ``events`` for the profiles of activity, ``audience`` for time zones, and ``messages`` (what was sent
            and what came back; there may be none of them). Without messages the probabilities rest on activity, the
            ``base_rate`` and the ``effect_decay``.
        threads : int, optional
            By default every usable core; never changes a result.
        progress : bool or callable(done, total)
            A bar over activity and channels.

        Returns
        -------
        SendTimeModel

        Raises
        ------
        SchemaError
            When the data has no events or no audience, or what ``answers`` names is not in it.

        Warns
        -----
        DataWarning
            When the propensities of a channel are not those of its messages.

        Notes
        -----
        Per channel, with the probability ``1 - exp(-rate)``: (1) the effect decay of a message (an e-folding time),
        from the response delays; (2) the population's response rate per hour at risk, unbiased by the sender's
        schedule: a smooth curve on the circle that starts from the hours of activity and deviates as messages with and
        without a response require, averaged over ways of smoothing by their evidence; (3) how far reading follows the
        person's own activity, and the kind of people whose week the rest follows, evaluated on held-out people; (4) a
        slope in [0, 1.5] of the individual deviations, 0 where activity is uninformative about responses; (5) the
        effect of the hour of sending; (6) a factor per person, shrunk to 1; (7) a monotone correction of what is
        predicted for messages left out. The probabilities of a channel's messages add up to its responses.

        Responses flagged as bot opens (``machine`` of 0.5 or more) are left out, unless the person clicked later.
        Propensities weigh messages by their inverse within each hour of sending; those that contradict themselves (too
        few messages drawn against the odds) are left out, with a ``DataWarning``. Somebody with over 5 % of a channel's
        messages counts for everybody's hours as four people do at most. An hour of the day counts as tried
        when five responses were expected of the messages sent in it; the excess of another hour over the usual rate is
        shrunk by its uncertainty, and what exceeds the best hour tried has hardly any weight. Messages decay with a
        half-life when that predicts the last quarter of the channel's responses better. Response times that are all
        midnight are dates: they inform the rate, and no hour. Deterministic; the order of rows does not matter.

        References
        ----------
        Spasojevic et al. (2015), When-To-Post on social networks, arXiv 1506.02089 (delay kernels); Friedman (1982),
        Piecewise exponential models for survival data with covariates, Annals of Statistics 10 (time at risk).
        """
        data = dataset_of(data, "SendTime.fit", self.needs)
        data.part("events", "SendTime.fit"), data.part("audience", "SendTime.fit")
        n_channels = 0 if data.messages is None else len(data.messages.channels)
        with ticker(1 + n_channels, progress, label="send time") as tick:
            profile = self.activity.fit(data, threads=threads)
            tick()
            return self._given(profile, data, threads, tick)

    def _given(
        self, profile: ActivityModel, data: Dataset, threads: int | None, tick: Callable[[], object]
    ) -> SendTimeModel:
        """Fit the channels of data whose activity is known already."""
        events, audience = data.part("events", "SendTime.fit"), data.part("audience", "SendTime.fit")
        messages = _no_messages() if data.messages is None else data.messages
        match(audience.users, messages.users, ("the audience", "the message log"))
        answered_at, n_machine = answers_by_kind(messages, events, self.answers)
        rate = _weekly_rate(profile, events)
        expiry = None if self.expiry is None else check_duration(self.expiry, "expiry") // HOUR_US
        fitted: dict[int, tuple[Channel, int, tuple[np.ndarray, np.ndarray]]] = {}
        lent = None
        for code in _by_answers(messages, answered_at):
            rows = np.flatnonzero(messages.channel == code)
            rows = rows[by_person(messages.user[rows])]
            sent = sent_on(messages, rows, answered_at[rows], profile, audience, expiry, threads)
            basis = basis_of(sent, messages, rows, profile)
            kind = None if messages.kind is None else messages.kind[rows]
            name = str(messages.channels.ids[code])
            warn_of_contradicted(messages, rows, name)
            del rows  # as long as the messages
            part = self._fit_channel(name, sent, profile, rate, messages, lent, threads)
            of_kinds = _hours_of_kinds(part, sent, kind, messages)
            part = part._replace(log_expected=np.empty(0))  # as long as the messages
            fitted[code], lent = (part, basis, of_kinds), lent if lent is not None else part.lends
            tick()
        ordered = [fitted[code] for code in range(len(fitted))]
        found, by_kind = [part for part, _, _ in ordered], [of_kinds for _, _, of_kinds in ordered]
        n_segments, shape = len(profile.base.pi), (len(found), messages.n_users)
        n_kinds = max((part.follows.follows.shape[1] for part in found), default=n_segments)
        model = SendTimeModel(
            activity=profile,
            rate=rate,
            channels=messages.channels,
            tau=np.array([part.tau for part in found]),
            reading=np.array([part.reading for part in found]).reshape(-1, WEEK),
            own=np.array([part.follows.own for part in found]),
            follows=np.array([_wide(part.follows.follows, n_kinds) for part in found]).reshape(-1, n_segments, n_kinds),
            kinds=np.array([_wide(part.kinds, n_kinds) for part in found], np.float32).reshape(*shape, n_kinds),
            everybody=np.array([part.everybody for part in found]).reshape(-1, WEEK),
            log_rate=np.array([part.log_rate for part in found]).reshape(-1, WEEK + 1),
            log_rate_sd=np.array([part.log_rate_sd for part in found]).reshape(-1, WEEK + 1),
            tried=np.array([part.tried for part in found], np.bool_).reshape(-1, WEEK),
            curve_parameters=np.array([_parameters(part) for part in found]).reshape(-1, 3),
            people=messages.users,
            factor=np.array([part.factor for part in found]).reshape(shape).T.copy(),
            factor_sd=np.array([part.factor_sd for part in found]).reshape(shape).T.copy(),
            correction=np.array([part.correction for part in found]).reshape(-1, 2, KNOTS),
            message_kinds=_kinds_of(messages),
            kind_log_rate=np.array([mean for mean, _ in by_kind]).reshape(
                len(found), len(_kinds_of(messages)), WEEK + 1
            ),
            kind_log_rate_sd=np.array([sd for _, sd in by_kind]).reshape(
                len(found), len(_kinds_of(messages)), WEEK + 1
            ),
            basis=np.array([what for _, what, _ in ordered], np.int8),
            shared=np.array([part.shared for part in found]),
            base_rate=self.base_rate,
            default_tau=check_duration(self.effect_decay, "effect_decay") / HOUR_US,
            expiry=expiry,
            n_messages=len(messages),
            n_machine=n_machine,
        )
        _LOG.info("fit %r", model)
        return model

    def _fit_channel(
        self,
        name: str,
        sent: Sent,
        profile: ActivityModel,
        rate: np.ndarray,
        messages: MessageLog,
        lent: Lent | None,
        threads: int | None,
    ) -> Channel:
        """Fit one channel, everybody's hours on all messages of a sample of its people when there are many."""
        small = sent
        if sent.hour.size > _MESSAGES_TO_FIT_ON:
            drawn = stream(self.seed, "send_time/messages", name).permutation(messages.n_users)
            count = np.bincount(sent.person, minlength=messages.n_users)[drawn]
            fits = np.cumsum(count) <= max(_MESSAGES_TO_FIT_ON, int(count[np.argmax(count > 0)]))
            some = np.zeros(messages.n_users, np.bool_)
            some[drawn[fits]] = True
            small = sent.of(np.flatnonzero(some[sent.person]))
        expiry = None if self.expiry is None else check_duration(self.expiry, "expiry") // HOUR_US
        with one_blas_thread():
            return fit_channel(
                sent,
                small,
                profile,
                rate,
                messages.n_users,
                effect_decay=check_duration(self.effect_decay, "effect_decay") / HOUR_US,
                base_rate=self.base_rate,
                expiry=expiry,
                threads=threads,
                lent=lent,
            )


def _kinds_of(messages: MessageLog) -> Vocabulary:
    """Return the kinds of messages that a log knows."""
    return Vocabulary(np.empty(0, object)) if messages.kinds is None else messages.kinds


def _by_answers(messages: MessageLog, answered_at: np.ndarray) -> list[int]:
    """Return the codes of the channels, first that with the most responses: it lends to the others."""
    answers = np.bincount(messages.channel[answered_at != NEVER], minlength=len(messages.channels))
    return [int(code) for code in np.lexsort([messages.channels.ids.astype(str), -answers])]


def _hours_of_kinds(
    part: Channel, sent: Sent, kind: np.ndarray | None, messages: MessageLog
) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much each kind of message departs from its channel, (n_message_kinds, 169), and how well known."""
    n_kinds = len(_kinds_of(messages))
    if kind is None or not n_kinds:
        return np.zeros((0, WEEK + 1)), np.zeros((0, WEEK + 1))
    return hours_of_kinds(kind, n_kinds, sent.hour, sent.answered, np.exp(part.log_expected), sent.weight)


def _wide(table: np.ndarray, n_kinds: int) -> np.ndarray:
    """Return a table of kinds, (n, k), with kinds that nobody is of, (n, n_kinds)."""
    return table if table.shape[1] == n_kinds else np.pad(table, ((0, 0), (0, n_kinds - table.shape[1])))


def _parameters(part: Channel) -> tuple[float, float, float]:
    """Return the numbers of a channel's curve that predictions need; its level is in the log rates."""
    return part.curve.slope, part.curve.slope_sd, part.curve.lift


def _weekly_rate(profile: ActivityModel, log: EventLog) -> np.ndarray:
    """Return sessions a week per person, shrunk to the mean with the weight of one week (Gamma-Poisson)."""
    weeks = max((log.end_us - log.start_us) / WEEK_US, 1e-9)
    mean = float(profile.history.sum()) / max(1, len(profile)) / weeks
    if mean == 0:  # every session was caused by a message, or has no clock: all are as active as each other
        return np.ones(len(profile))
    return np.asarray((mean + profile.history) / (1.0 + weeks))


def _no_messages() -> MessageLog:
    """Return a log of nothing."""
    nobody, none = Vocabulary(np.empty(0, np.int64)), np.empty(0, np.int32)
    never = np.empty(0, np.int64)
    channels = Vocabulary(np.empty(0, object))
    return MessageLog(nobody, channels, nobody, nobody, none, none, none, none, never, never, None, 0)
