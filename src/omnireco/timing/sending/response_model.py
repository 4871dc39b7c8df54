"""The response probability of anybody, on any channel, at any hour, with its interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.checks import (
    check_choice,
    check_instant,
    check_kind,
    count_of,
    from_microseconds,
    plain,
    shown,
)
from omnireco._core.compute import row_blocks
from omnireco._core.contract import had_verbs, says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Array, Maybe, Parts, declare, flags, numbers, probabilities
from omnireco._core.remembered import remembered
from omnireco._core.small import Number, Value, Whole
from omnireco._core.units import HOUR_US, WEEK
from omnireco._kernels.week.curves import Channel as Settings
from omnireco._kernels.week.curves import People, best_slots, chances, in_blocks, log_in_time, scores, values
from omnireco._kernels.week.kinds import Follows
from omnireco._kernels.week.rates import LONGEST_HOURS
from omnireco.data.asking.consent import open_to
from omnireco.data.asking.touches import Touches, hours_of_touches
from omnireco.data.audience import Audience
from omnireco.data.clock import local_us, slots_by_zone
from omnireco.data.dataset import dataset_of
from omnireco.data.frames.columns import instants_to_pandas
from omnireco.data.messages import NEVER
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.errors import ParameterError, SchemaError
from omnireco.timing.activity import ActivityModel
from omnireco.timing.answers.held_out import KNOTS, corrected
from omnireco.timing.departures import (
    HIGHEST,
    departure_sd,
    known_kinds,
    mean_rate,
    relative_activity,
    settings,
    supported,
)
from omnireco.timing.explore import Exploration
from omnireco.timing.machines import left_out
from omnireco.timing.responses import ANSWERED, BASIS
from omnireco.timing.sending.asked import (
    allowed_slots,
    check_instants,
    check_rows,
    deviations_of,
    distinct_ids,
    hours_by_zone,
    slots_asked,
)

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["SendTimeModel"]

_FEW_HOURS = 2
_SLOPE_SD = 0.5  # before any message
_ASSUMED_SD = 1.0  # standard deviation of the log rate on a channel without messages


@had_verbs(
    interval="model.probability_interval(touches, confidence=0.95)",
    curve="model.hour_probability(user_ids, channel='email')",
)
@dataclass(frozen=True, slots=True, eq=False, repr=False, weakref_slot=True)
class SendTimeModel:
    """The response probability of any user, on any channel, at any hour; made by `SendTime.fit`.

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
    follows : ndarray of shape (n_channels, G, K)
        The probability that the rest of somebody of activity segment g is of kind k: the segments of activity and,
        where responses require them, everybody, and people of one hour of the day each.
    kinds : ndarray of shape (n_channels, n_people, K), float32
        The probability that each is of kind k, given their responses.
    everybody : ndarray of shape (n_channels, 168)
        Log relative value of each hour for an unknown user.
    log_rate, log_rate_sd : ndarray of shape (n_channels, 169)
        Log of the expected responses to a message to an unknown user at each hour, and its standard deviation;
        the last is without timing.
    tried : ndarray of shape (n_channels, 168), bool
        Hours in whose like enough was sent to know what they earn.
    curve_parameters : ndarray of shape (n_channels, 3)
        Slope of how far people depart from everybody, its standard deviation, and lift by activity.
    people : Vocabulary
        The people of the message log.
    factor, factor_sd : ndarray of shape (n_people, n_channels)
        Each person's ratio of observed to expected responses, shrunk to 1, and the relative standard deviation.
    correction : ndarray of shape (n_channels, 2, 14)
        Log rates and what messages left out correct them to; linear in between.
    message_kinds : Vocabulary
        The kinds of messages in the log: offer, service, nudge.
    kind_log_rate, kind_log_rate_sd : ndarray of shape (n_channels, n_message_kinds, 169)
        By how much the log rate of a kind departs from its channel's at each hour, and its standard deviation.
    basis : ndarray of shape (n_channels,), int8
        What the hours rest on: 0 assumed, 1 activity, 2 responses, 3 randomised responses.
    shared : ndarray of shape (n_channels,)
        How much of what the channel with the most responses says of hours, kinds of people and departures counts for
        this one, from 0 (nothing) to 1 (all), as its own messages left out decide.
    base_rate, default_tau : float
        What is assumed on a channel without messages.
    expiry : int or None
        Hours until an offer expires.
    n_messages, n_machine : int
        Messages, and bot opens, which are left out.
    """

    activity: ActivityModel
    rate: np.ndarray
    channels: Vocabulary
    tau: np.ndarray
    reading: np.ndarray
    own: np.ndarray
    follows: np.ndarray
    kinds: np.ndarray
    everybody: np.ndarray
    log_rate: np.ndarray
    log_rate_sd: np.ndarray
    tried: np.ndarray
    curve_parameters: np.ndarray
    people: Vocabulary
    factor: np.ndarray
    factor_sd: np.ndarray
    correction: np.ndarray
    message_kinds: Vocabulary
    kind_log_rate: np.ndarray
    kind_log_rate_sd: np.ndarray
    basis: np.ndarray
    shared: np.ndarray
    base_rate: float
    default_tau: float
    expiry: int | None
    n_messages: int
    n_machine: int

    parts: ClassVar[Parts] = {
        "activity": Value((ActivityModel,)),
        "rate": numbers("activity.users", low=0.0),
        "channels": Ids(text=True),
        "people": Ids(people=True),
        "tau": numbers("channels", low=1e-3, high=1e5),
        "reading": numbers("channels", 168, low=0.0),
        "own": probabilities("channels"),
        "follows": numbers("channels", "activity.segments", "weeks", low=0.0),
        "kinds": numbers("channels", "people", "weeks", dtype=np.float32, low=0.0),
        "everybody": numbers("channels", 168),
        "log_rate": numbers("channels", 168 + 1),
        "log_rate_sd": numbers("channels", 168 + 1, low=0.0),
        "tried": flags("channels", 168),
        "curve_parameters": numbers("channels", 3),
        "factor": numbers("people", "channels", low=0.0),
        "factor_sd": numbers("people", "channels", low=0.0),
        "correction": numbers("channels", 2, KNOTS),
        "message_kinds": Ids(text=True),
        "kind_log_rate": numbers("channels", "message_kinds", 168 + 1),
        "kind_log_rate_sd": numbers("channels", "message_kinds", 168 + 1, low=0.0),
        "basis": Array(np.int8, ("channels",), 0, 3),
        "shared": probabilities("channels"),
        "base_rate": Number(0.0, 1.0),
        "default_tau": Number(1e-3, LONGEST_HOURS),
        "expiry": Maybe(Whole(0, LONGEST_HOURS)),
        "n_messages": Whole(),
        "n_machine": Whole(),
    }

    def __post_init__(self) -> None:
        declare(self)

    def __repr__(self) -> str:
        decays = ", ".join(f"{name} {tau:.1f} h" for name, tau in zip(self.channels.ids, self.tau, strict=True))
        machines = left_out(self.n_machine)
        return (
            f"SendTimeModel({self.rests_on} {count_of(len(self.activity), 'user')}, "
            f"{count_of(self.n_messages, 'message')}{machines}, "
            f"effect decay: {decays or f'{self.default_tau:g} h assumed'})"
        )

    _repr_html_ = shown_html

    @property
    def rests_on(self) -> str:
        """What the hours of each channel rest on, in a sentence."""
        if not len(self.channels):
            return f"Hours rest on {'activity' if self.activity.history.any() else 'nothing: they are assumed'}."
        parts = [f"{name} on {self.basis_of(code)}" for code, name in enumerate(self.channels.ids)]
        return f"Hours rest for {'; for '.join(parts)}."

    def basis_of(self, code: int) -> str:
        """Return what a channel's hours rest on."""
        if self.basis[code] < ANSWERED:
            return BASIS[self.basis[code]] if self.basis[code] else "nothing: they are assumed"
        hours = np.flatnonzero(self.tried[code, :24])
        if not 0 < hours.size <= _FEW_HOURS:
            return BASIS[self.basis[code]]
        named = " and ".join(f"{hour}:00" for hour in hours.tolist())
        return f"{BASIS[self.basis[code]]}, enough of them for {named} only"

    def slot_probability(
        self,
        audience: Audience,
        rows: np.ndarray,
        channel: str,
        at_us: np.ndarray,
        *,
        kind: str | None = None,
        threads: int | None = None,
    ) -> np.ndarray:
        """Return the response probability for people times slots.

        Parameters
        ----------
        audience : Audience
            The people, with time zones, consents and attributes.
        rows : ndarray of int, shape (n_rows,)
            Rows of the audience.
        channel : str
            Of the message log or of the audience; without messages in the log ``base_rate`` and the default pull are
            assumed.
        at_us : ndarray of int64, shape (n_slots,)
            Instants, UTC microseconds.
        kind : str, optional
            Of message, such as ``"offer"``, of the message log. None: whatever was sent on the channel.
        threads : int, optional
            By default every usable core; never changes a result.

        Returns
        -------
        ndarray of shape (n_rows, n_slots), float64
            People without a zone have the same, timing-neutral, probability in all slots.

        Raises
        ------
        SchemaError
            When the audience, the rows or the instants are none.
        ParameterError
            When neither the message log nor the audience has the channel, or the log not the kind.

        Notes
        -----
        About 5 microseconds per person on one core, 10 where the model has up to 20,000 people and nothing is compiled.
        """
        self._check(audience, channel)
        rows = check_rows(rows, audience)
        clock = hours_by_zone(audience, check_instants(at_us, "at_us"))
        zone, more = audience.zone[rows], self._of_kind(channel, kind)[0]
        found = self._chances(audience.users.ids[rows], channel, zone, clock, threads=threads)
        return _times(found, more[clock][zone]) if more.any() else found

    @says_the_line("model.probability(om.data.Touches.of(data, users, channel='email', at='2025-06-01T09:00:00Z'))")
    def probability(self, touches: Touches, *, kind: str | None = None) -> np.ndarray:
        """Return the response probability of given touches, float64 (n,).

        Parameters
        ----------
        touches : Touches
            Who, on which channel, when: ``om.data.Touches.of(data, users, channel=, at=)``, or the ``touches`` of
            candidates. Unknown people have the population's probability, without timing where their zone is unknown; a
            channel without messages in the log that was learned from has ``base_rate`` and the default pull.
        kind : str, optional
            Of message, such as ``"offer"``, of the message log. None: whatever was sent on the channel.

        Raises
        ------
        SchemaError
            When the touches are none.
        IdKindError
            When the ids are integers and those that were learned from strings, or the other way round.

        Notes
        -----
        Deterministic; equal to :meth:`slot_probability` at the same instants.
        """
        return hours_of_touches(touches, lambda ids, name: self._curves(ids, name, kind), "SendTimeModel.probability")

    @says_the_line("model.probability_interval(touches, confidence=0.95)")
    def probability_interval(
        self, touches: Touches, *, confidence: float = 0.95, kind: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends of the interval of the probabilities that :meth:`probability` gives, two float64 arrays (n,).

        Wide where few messages were sent or unread: explore such hours. The interval
        covers the uncertainty of the population's hours, of the individual deviations (of their slope, of the person's
        activity and of the kind of people they are), and of the person's factor;
        on a channel without messages, that its rate is only assumed.

        Parameters
        ----------
        touches : Touches
            As for :meth:`probability`.
        confidence : float
            Coverage of the interval, in (0, 1).
        kind : str, optional
            As for :meth:`probability`.

        Raises
        ------
        SchemaError
            When the touches are none.
        """
        found = self._within(touches, deviations_of(confidence), kind, "SendTimeModel.probability_interval")
        return found[1], found[2]

    @says_the_line("model.table(touches, confidence=0.9)")
    def table(self, touches: Touches, *, confidence: float = 0.95, kind: str | None = None) -> pd.DataFrame:
        """Return given touches with the probability of a response and the ends of its interval.

        Parameters
        ----------
        touches : Touches
            As for :meth:`probability`.
        confidence : float
            Coverage of the interval, in (0, 1).
        kind : str, optional
            As for :meth:`probability`.

        Returns
        -------
        pandas.DataFrame
            One row per touch, in their order: ``user_id channel send_at send_at_local probability low high``;
            ``send_at`` aware (UTC), ``send_at_local`` the naive wall clock (missing without a zone). The numbers are
            those of :meth:`probability` and :meth:`probability_interval`.

        Raises
        ------
        SchemaError
            When the touches are none.
        ParameterError
            When ``confidence`` lies outside (0, 1), or the message log has no such kind.

        Examples
        --------
        >>> import omnireco as om
        >>> data = om.simulate(n_users=80, n_items=20, days=90, seed=1).dataset()
        >>> model = om.SendTime().fit(data)
        >>> evening = om.data.Touches.of(data, data.audience.users.ids[:3], channel="push", at="2025-04-14T18:00:00Z")
        >>> table = model.table(evening, confidence=0.9)
        >>> bool((table["low"] <= table["probability"]).all() and (table["probability"] <= table["high"]).all())
        True
        """
        import pandas as pd

        found = self._within(touches, deviations_of(confidence), kind, "SendTimeModel.table")
        return pd.DataFrame(
            {
                "user_id": touches.users.ids[touches.user],
                "channel": touches.channels.ids[touches.channel],
                "send_at": instants_to_pandas(touches.send_at),
                "send_at_local": touches.local_at.view("datetime64[us]"),  # NEVER is its missing value
                **dict(zip(("probability", "low", "high"), found, strict=True)),
            }
        )

    def _within(self, touches: Touches, z: float, kind: str | None, where: str) -> np.ndarray:
        """Return the probability of touches and the ends of its interval, (3, n)."""
        return hours_of_touches(touches, lambda ids, name: self._band(ids, name, z, kind), where, more=(3,))

    def _band(self, ids: np.ndarray, channel: str, z: float, kind: str | None) -> np.ndarray:
        """Return the probability per local hour of some people and the ends of its interval, (3, n, 169)."""
        code = self._code(channel)
        sd, slope, slope_sd, of_factor = np.full(WEEK + 1, _ASSUMED_SD), 1.0, _SLOPE_SD, np.zeros((len(ids), 1))
        rate, usual = np.full(WEEK + 1, np.log(-np.log1p(-self.base_rate))), np.zeros(WEEK + 1)
        people, shift, factor = self._people(ids, channel)
        if code != NONE:
            sd, rate, usual = self.log_rate_sd[code], self.log_rate[code], np.append(self.everybody[code], 0.0)
            slope, slope_sd, _ = self.curve_parameters[code].tolist()
            widest = self.factor_sd[:, code].max(initial=0.0)
            person = self.people.codes(ids, missing="none").astype(np.int64)
            of_factor = _of(person, self.factor_sd[:, code], widest)[:, None]
        of_channel = _settings(self, code)
        value = values(people, self.activity.cells, self.activity.tables(), of_channel)
        away = np.concatenate([value, np.zeros((len(ids), 1))], axis=1) - usual
        of_person = departure_sd(self.activity, of_channel._replace(slope=slope), people)
        more, more_sd = self._of_kind(channel, kind)
        spread = np.sqrt(sd**2 + more_sd**2 + of_factor**2 + (slope_sd * away) ** 2 + of_person**2)
        score = rate + slope * away + shift[:, None] + np.log(factor)[:, None]
        if code != NONE:
            score = corrected(score, self.correction[code])
        low, high = (
            np.minimum(-np.expm1(-np.exp(np.minimum(score + more + side * spread, 50.0))), HIGHEST) for side in (-z, z)
        )
        chance = self._probability_at(code, scores(value, of_channel), shift[:, None], factor[:, None])
        chance = _times(chance, more[None]) if more.any() else chance
        return np.stack([chance, np.minimum(low, chance), np.maximum(high, chance)])

    def _check(self, audience: Audience, channel: str) -> None:
        """Refuse what is no audience, and a channel that neither the message log nor the audience has."""
        if not isinstance(audience, Audience):
            raise SchemaError(
                f"audience must be an Audience. Got {type(audience).__name__}: write Audience.from_frame(frame)."
            )
        known = dict.fromkeys([*self.channels.ids, *audience.channels.ids])
        if not isinstance(channel, str):
            raise ParameterError(f"channel must be the name of a channel. Got {type(channel).__name__}.")
        if known and channel not in known:
            raise ParameterError(
                f"channel must be one of the message log or of the audience ({', '.join(map(repr, known))}). Got "
                f"{shown(channel)}: add a column consent_{plain(channel, 'email')} to the audience, where nothing was "
                "sent on it yet."
            )

    @says_the_line("model.hour_probability(user_ids, channel='email')")
    def hour_probability(self, user_ids: Any, channel: str | None = None, *, kind: str | None = None) -> np.ndarray:
        """Return each person's response probability per local hour of the week, float64 (n, 168), Monday 00:00 first.

        Parameters
        ----------
        user_ids : array-like of shape (n,)
            Ids; unknown people have the population's probabilities.
        channel : str, optional
            The mean over the channels of the message log by default.
        kind : str, optional
            Of message, such as ``"offer"``, of the message log. None: whatever was sent.

        Raises
        ------
        ParameterError
            When the message log does not have the channel.
        """
        if channel is not None and len(self.channels):
            check_choice(channel, "channel", tuple(self.channels.ids))
        names = [channel] if channel is not None else list(self.channels.ids) or [""]
        people, place = distinct_ids(user_ids)
        found = np.mean([self._curves(people, name, kind)[:, :WEEK] for name in names], axis=0)
        return np.asarray(found.reshape(-1, WEEK)[place])

    @says_the_line("model.best(data, '2025-06-01', 7, channel='email')")
    def best(
        self,
        data: Any,
        start: Any,
        days: int | None = None,
        *,
        channel: str,
        quiet_hours: Any = None,
        withdrawals: Any = None,
        kind: str | None = None,
        expires_at: Any = None,
        explore: Exploration | None = None,
        threads: int | None = None,
    ) -> pd.DataFrame:
        """Return everybody's best allowed slot on a channel, or one drawn around it.

        Parameters
        ----------
        data : Dataset
            With the ``audience``: only people with consent, from the first slot on, who can be reached on the channel
            are answered, and nobody who unsubscribed from it after one of its ``messages``, as in
            :func:`omnireco.candidates`.
        start, days
            Every hour of so many days, as in `omnireco.slots`; or, in one, other slots:
            ``om.slots("2025-06-01", days=7, every="15min")``.
        channel : str
            A channel of the audience.
        quiet_hours : pair of str, or bool ndarray of shape (168,), optional
            Local times between which nothing is sent, such as ``("21:00", "08:00")``, or a mask of silent hours
            of the local week. A mask *before* the choice: who is best reached at 23:00 gets the best evening slot,
            not 08:00. With quiet hours, people without a zone get no slot.
        withdrawals : iterable of str, or EventLog, optional
            Events by which people withdrew their consent: names of events of the data, such as ``["unsubscribed"]``, or
            a log of nothing else.
        kind : str, optional
            Of message, such as ``"offer"``, of the message log. None: whatever was sent on the channel.
        expires_at : date, aware datetime or ISO 8601 str, optional
            When the offer ends: no slot at or after it, and responses after it do not count, so a message goes out
            early enough to be read in time.
        explore : Exploration, optional
            How far to explore: slots are drawn, more widely for people of whom less is known, and ``propensity`` is the
            exact probability of each draw. Keep it in the message log: it is what `om.causal.off_policy` needs.
        threads : int, optional
            By default every usable core; never changes a result.

        Returns
        -------
        pandas.DataFrame
            ``user_id channel send_at send_at_local probability``; ``send_at`` aware (UTC), ``send_at_local`` the naive
            wall clock (missing without a zone). In order of ``user_id``; of equal slots the earliest. With ``explore``
            also ``propensity``.

        Raises
        ------
        SchemaError
            When the data has no audience.
        ParameterError
            When the audience has no consent column for the channel, or the quiet hours are empty.
        """
        import pandas as pd

        known = dataset_of(data, "best", ("audience",))
        audience = known.part("audience", "best")
        code = int(audience.channels.codes([channel], missing="none")[0]) if isinstance(channel, str) else NONE
        if code == NONE:
            raise ParameterError(
                f"best: the audience has no consent for {shown(channel)}; it knows "
                f"{', '.join(map(repr, audience.channels.ids)) or 'no channel'}. Add a column "
                f"consent_{plain(channel, 'email')}."
            )
        at, own_days = slots_by_zone(slots_asked(start, days), audience.zones)
        allowed = allowed_slots(audience, at, quiet_hours) & own_days
        end = None if expires_at is None else check_instant(expires_at, "expires_at")
        if end is not None:
            allowed = allowed & (at < end)
            if not (at < end).any():
                raise ParameterError(
                    f"expires_at must lie after the first slot. Got {shown(expires_at)}: choose an earlier start."
                )
        named = Vocabulary(np.array([channel], object))
        may = open_to(known, named, int(at[0]) if at.size else None, "best", withdrawals)[:, 0]
        rows = np.flatnonzero(may)
        rows = rows[allowed[audience.zone[rows]].any(axis=1)]
        ids, zone, clock = audience.users.ids[rows], audience.zone[rows], hours_by_zone(audience, at)
        left = None if end is None else np.maximum(-((at - end) // HOUR_US), 0)
        if explore is not None:
            check_kind(explore, Exploration, "best: explore", "om.timing.Exploration()")
            chosen, chance, propensity = self._drawn_slots(explore, ids, channel, zone, clock, at, allowed, kind, left)
        elif kind is None and end is None:
            chosen, chance = self._best_slots(ids, channel, zone, clock, allowed, threads)
        else:
            chosen, chance = self._best_of_kind(ids, channel, zone, clock, allowed, kind, left, threads)
        more = {} if explore is None else {"propensity": propensity}
        send_at = at[chosen]
        wall = np.where(zone >= 0, local_us(send_at, zone, audience.zones), NEVER)
        return pd.DataFrame(
            {
                "user_id": audience.users.ids[rows],
                "channel": channel,
                "send_at": instants_to_pandas(send_at),
                "send_at_local": wall.view("datetime64[us]"),  # NEVER is its missing value
                "probability": chance,
                **more,
            },
            copy=False,
        )

    def _drawn_slots(
        self,
        explore: Exploration,
        ids: np.ndarray,
        channel: str,
        zone: np.ndarray,
        clock: np.ndarray,
        at: np.ndarray,
        allowed: np.ndarray,
        kind: str | None,
        left: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a slot for each person, its probability of a response, and that with which it was drawn."""
        hours = clock[zone]
        value, low, high = (np.take_along_axis(curve, hours, axis=1) for curve in self._band(ids, channel, 1.0, kind))
        if left is not None:
            in_time = self._before(ids, channel, hours, left[None, :])
            value, low, high = (_times(part, in_time) for part in (value, low, high))
        first = from_microseconds(int(at[0])).isoformat() if at.size else ""
        found = explore.choose(
            value,
            (high - low) / 2.0,
            user_ids=ids,
            at_us=at,
            hours=np.where(hours == WEEK, NONE, hours % 24),
            date=f"{first}/{channel}",
            allowed=allowed[zone],
        )
        return found.slot, value[np.arange(len(ids)), found.slot], found.propensity

    def _curves(self, ids: np.ndarray, channel: str, kind: str | None = None) -> np.ndarray:
        """Return the probability per local hour of some people, (n, 169); the last column is without timing."""
        found = self._chances(ids, channel, np.zeros(len(ids), np.int32), np.arange(WEEK + 1)[None, :])
        more = self._of_kind(channel, kind)[0]
        return _times(found, more[None]) if more.any() else found

    def _of_kind(self, channel: str, kind: str | None) -> tuple[np.ndarray, np.ndarray]:
        """Return by how much the log rate of a kind departs from the channel's per hour, (169,), and its deviation."""
        code = self._code(channel)
        if kind is None:
            return np.zeros(WEEK + 1), np.zeros(WEEK + 1)
        check_choice(kind, "kind", tuple(self.message_kinds.ids))
        if code == NONE:
            return np.zeros(WEEK + 1), np.zeros(WEEK + 1)
        place = int(self.message_kinds.codes([kind])[0])
        return self.kind_log_rate[code, place], self.kind_log_rate_sd[code, place]

    def _before(self, ids: np.ndarray, channel: str, hour: np.ndarray, left: np.ndarray) -> np.ndarray:
        """Return the log of the share of the responses to a message that come within ``left`` hours, (n, S)."""
        known = self.activity.cells, self.activity.tables(), _settings(self, self._code(channel))
        return log_in_time(self._people(ids, channel)[0], *known, hour, left)

    def _chances(
        self, ids: np.ndarray, channel: str, zone: np.ndarray, clock: np.ndarray, *, threads: int | None = 1
    ) -> np.ndarray:
        """Return the probability of people at slots whose local hours are ``clock[zone]``, (n, n_slots)."""
        found = np.empty((len(ids), clock.shape[1]))
        code = self._code(channel)

        def fill(rows: slice, score: np.ndarray, shift: np.ndarray, factor: np.ndarray) -> None:
            at = np.take_along_axis(score, clock[zone[rows]], axis=1)
            found[rows] = self._probability_at(code, at, shift[:, None], factor[:, None])

        self._with_scores(fill, ids, channel, threads)
        return found

    def _probability_at(self, code: int, score: np.ndarray, shift: np.ndarray, factor: np.ndarray) -> np.ndarray:
        """Return probabilities from log rates, and what is the person's, after the correction of a channel."""
        if code == NONE or (self.correction[code, 0] == self.correction[code, 1]).all():
            return chances(score, shift, factor, HIGHEST)
        log_rate = corrected(score + (shift + np.log(np.maximum(factor, 1e-300))), self.correction[code])
        return chances(log_rate, np.zeros(1), np.ones(1), HIGHEST)

    def _best_slots(
        self,
        ids: np.ndarray,
        channel: str,
        zone: np.ndarray,
        clock: np.ndarray,
        allowed: np.ndarray,
        threads: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return each person's best allowed slot, the earliest of equal ones, and its probability."""
        slot, chance = np.empty(len(ids), np.int64), np.empty(len(ids))
        code = self._code(channel)

        def fill(rows: slice, score: np.ndarray, shift: np.ndarray, factor: np.ndarray) -> None:
            slot[rows], best = best_slots(score, zone[rows], clock, allowed)
            known = self._probability_at(code, np.maximum(best, -1e300), shift, factor)
            chance[rows] = np.where(slot[rows] >= 0, known, -1.0)

        self._with_scores(fill, ids, channel, threads)
        return slot, chance

    def _best_of_kind(
        self,
        ids: np.ndarray,
        channel: str,
        zone: np.ndarray,
        clock: np.ndarray,
        allowed: np.ndarray,
        kind: str | None,
        left: np.ndarray | None,
        threads: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the same for a kind of message, or an offer that ends ``left`` hours after each slot."""
        slot, chance = np.empty(len(ids), np.int64), np.empty(len(ids))
        more = self._of_kind(channel, kind)[0]
        for block in row_blocks(len(ids), 8 * 8 * max(clock.shape[1], WEEK)):
            hour = clock[zone[block]]
            scale = more[hour]
            if left is not None:
                scale = scale + self._before(ids[block], channel, hour, left[None, :])
            found = _times(self._chances(ids[block], channel, zone[block], clock, threads=threads), scale)
            found = np.where(allowed[zone[block]], found, -1.0)
            slot[block] = found.argmax(axis=1)
            chance[block] = found.max(axis=1)
        return slot, chance

    def _with_scores(
        self,
        use: Callable[[slice, np.ndarray, np.ndarray, np.ndarray], None],
        ids: np.ndarray,
        channel: str,
        threads: int | None,
    ) -> None:
        """Call ``use(rows, score, shift, factor)`` for blocks of people: log rates (n, 169), and what is their own."""
        people, shift, factor = self._people(ids, channel)
        cells, tables, of_channel = self.activity.cells, self.activity.tables(), _settings(self, self._code(channel))

        def work(rows: slice) -> None:
            score = scores(values(people.of(rows), cells, tables, of_channel), of_channel)
            use(rows, score, shift[rows], factor[rows])

        in_blocks(work, len(ids), threads)

    def _people(self, ids: np.ndarray, channel: str) -> tuple[People, np.ndarray, np.ndarray]:
        """Return some people as the curves read them, the shift of their log rates and the factor on their rates."""
        profile, code = self.activity, self._code(channel)
        user = profile.users.codes(ids, missing="none").astype(np.int64)
        mean = _mean_rate(self)
        rate, trust = _of(user, self.rate, mean), profile.trust_in(user)
        if code == NONE:
            kind = np.empty((0, self.kinds.shape[2]), np.float32)
            return People(user, trust, rate, np.full(user.size, NONE), kind), np.zeros(user.size), np.ones(user.size)
        person = self.people.codes(ids, missing="none").astype(np.int64)
        shift = float(self.curve_parameters[code, 2]) * relative_activity(rate, mean)
        factor = _of(person, self.factor[:, code], 1.0)
        return People(user, trust, rate, known_kinds(person, self.kinds[code]), self.kinds[code]), shift, factor

    def _code(self, channel: str) -> int:
        """Return the code of a channel of the message log, -1 for another."""
        return int(self.channels.codes([channel], missing="none")[0]) if len(self.channels) else NONE


@remembered
def _mean_rate(model: SendTimeModel) -> float:
    """Return the sessions a week of somebody unknown."""
    return mean_rate(model.rate)


@remembered
def _settings(model: SendTimeModel, code: int) -> Settings:
    """Return what a channel makes of profiles; -1 is one without messages."""
    profile = model.activity
    if code == NONE:
        assumed = settings(profile, model.default_tau, np.empty(0), None, model.expiry)
        usual = float(np.log(-np.log1p(-model.base_rate)))
        return assumed._replace(offset=np.full(WEEK + 1, usual), highest=HIGHEST)
    slope, slope_sd, _ = model.curve_parameters[code].tolist()
    follows = Follows(float(model.own[code]), model.follows[code])
    found = settings(profile, float(model.tau[code]), model.reading[code], follows, model.expiry)
    known = model.everybody[code], model.log_rate[code], model.log_rate_sd[code], model.tried[code]
    return supported(found, *known, slope, slope_sd)._replace(highest=HIGHEST)


def _of(code: np.ndarray, values: np.ndarray, unknown: float) -> np.ndarray:
    """Return values of people given by code; -1 is the unknown."""
    found = np.full(code.size, unknown)
    known = np.flatnonzero(code >= 0)
    found[known] = values[code[known]]
    return found


def _times(chance: np.ndarray, log_scale: np.ndarray) -> np.ndarray:
    """Return probabilities whose rates are multiplied."""
    return np.asarray(np.minimum(-np.expm1(np.log1p(-chance) * np.exp(log_scale)), HIGHEST))
