"""Fatigue: the cost of one more message in later responses, per channel.

Responsive people get more messages, so a comparison between people is confounded.
A person is only compared with themselves: were they less likely to respond after several recent messages?
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_duration, check_number, plain_name
from omnireco._core.compute import Progress, row_blocks, ticker, usable_threads
from omnireco._core.contract import Estimator, says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Offsets, Parts, counts, freeze, instants, numbers, probabilities
from omnireco._core.small import Number, Whole
from omnireco._core.units import DAY_US
from omnireco.data.asking.touches import Touches, check_touches
from omnireco.data.dataset import dataset_of
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError
from omnireco.timing.machines import answers_of_people, left_out

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Fatigue", "FatigueModel"]

_LOG = logging.getLogger(__name__)
_LATEST = 253_402_300_800_000_000  # the year 10000
_HALF_LIVES = tuple(DAY_US * 2**power // 2 for power in range(7))  # days: a half, 1, 2, 4, 8, 16, 32
_USUAL_HALF_LIFE = 4.0  # days: the median of the prior_sd, log-normal
_FACTOR = 2.0  # two thirds of the prior lie within this factor of it, 95 % within its square
_LIKE_THE_OTHERS = 0.05  # how far the coefficients of channels differ
_UNSUBSCRIBED = 20.0  # messages' worth of the mean over all channels, in each channel's rate of leaving


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Fatigue(Estimator):
    """The effect of recent messages on the response to the next, and on the unsubscription rate.

    Parameters
    ----------
    half_life : duration or "fit"
        Half-life of a message's fatigue. ``"fit"``: those from half a day to 32 days are tried, weighted by their
        likelihood. The prior is log-normal around 4 days (95 % between 1 and 16): with few responses the half-life
        stays near that.
    prior_sd : float
        Standard deviation of the coefficient before any data, around 0: the coefficient is shrunk to 0.

    Raises
    ------
    ParameterError
        When a parameter lies outside its range.

    Examples
    --------
    >>> import omnireco as om
    >>> company = om.worlds.Company(messages_per_week=5, fatigue=0.3)
    >>> world = om.simulate(n_users=1000, n_items=20, days=120, seed=1, company=company)
    >>> model = Fatigue(half_life="4D").fit(om.MessageLog.from_frame(world.messages))
    >>> model.to_frame().columns.tolist()
    ['channel', 'coefficient', 'low', 'high', 'unsubscribe', 'messages']
    >>> bool(model.low[0] > 0)
    True
    """

    needs: ClassVar[tuple[str, ...]] = ("messages",)
    verbs: ClassVar[tuple[str, ...]] = ("probability", "load", "factor", "cost", "to_frame")

    half_life: Any = "fit"
    prior_sd: float = 0.5

    def __post_init__(self) -> None:
        if not (isinstance(self.half_life, str) and self.half_life == "fit"):
            check_duration(self.half_life, "half_life")
        check_number(self.prior_sd, "prior_sd", above=0.0)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> FatigueModel:
        """Learn from what was sent and what came back.

        Parameters
        ----------
        data : Dataset or MessageLog
            With ``messages`` of all channels: fatigue is shared across channels. Bot opens (``machine``) are left out,
            and with ``unsubscribed_at`` the unsubscription probability is learned.
        threads : int, optional
            One thread does it; never changes a result.
        progress : bool or callable(done, total)
            A bar over half-lives.

        Returns
        -------
        FatigueModel

        Raises
        ------
        SchemaError
            When the data has no messages.

        Notes
        -----
        The fatigue of a person is ``f = sum over their messages of 2^(-age / half_life)``, and a response is
        ``exp(-coefficient f)`` times as likely as without. The likelihood is conditional on how often each person
        answered on each channel, ``prod exp(-c f_i) / sum_j exp(-c f_j)``: whatever is constant about a person
        (responsiveness, and how many messages they therefore get) cancels. Channels are shrunk to a common coefficient
        and that to 0. The messages of the first two half-lives only build up fatigue: what was sent before the log is
        not known. Intervals are of the sandwich form, by person. The unsubscription probability, ``exp(a_channel + b
        f)`` per message, compares people, as nobody leaves twice.

        With ``half_life="fit"`` the coefficients are means over the half-lives, by their posterior weights (likelihood
        by Laplace's approximation times prior_sd); the intervals include that the half-life is not known (law of total
        variance), and ``half_life_us`` is the geometric mean. Half-lives above a quarter of the log are left out.

        What this cannot see: a sender who writes more often just when somebody is about to buy (or in the Christmas
        season) hides fatigue; randomise the number of messages to be sure. Deterministic; cost: one sort and some
        twenty passes.

        References
        ----------
        Hausman, Hall and Griliches (1984), Econometric models for count data, Econometrica 52 (conditional likelihood
        with effects of persons); Liang and Zeger (1986), Biometrika 73 (the sandwich); Hoeting, Madigan, Raftery and
        Volinsky (1999), Bayesian model averaging, Statistical Science 14, equations 1-3.
        """
        messages = dataset_of(data, "Fatigue.fit", self.needs).part("messages", "Fatigue.fit")
        usable_threads(threads)
        answered_at, n_machine = answers_of_people(messages)
        human = (answered_at != NEVER).astype(np.float64)
        if messages.machine is not None:  # a click that came after a flagged open is the person's
            same = answered_at == messages.responded_at
            human *= np.where(same, 1.0 - np.nan_to_num(messages.machine, nan=0.0), 1.0)
        if messages.clicked_at is not None and messages.machine is None:
            human = (messages.clicked_at != NEVER).astype(np.float64)  # opens may be machines': clicks are not
        half_lives = _HALF_LIVES if self.half_life == "fit" else (check_duration(self.half_life, "half_life"),)
        span = int(messages.sent_at[-1] - messages.sent_at[0]) if len(messages) else 0
        useful = [half_life for half_life in half_lives if 4 * half_life <= span] or [half_lives[0]]
        instants, found = _instants_of(messages.user, messages.sent_at), []
        with ticker(len(useful), progress, label="fatigue") as tick:
            for half_life in useful:
                load = _loads(instants, half_life)
                found.append(_fit(messages, human, load, max(useful), self.prior_sd))
                tick()
        belief = _beliefs(np.array(useful), np.array([part[3] for part in found]))
        half_life = useful[0] if len(useful) == 1 else round(float(np.exp(belief @ np.log(useful))))
        common = float(belief @ [part[0] for part in found])
        coefficients = np.stack([part[1] for part in found])
        coefficient = belief @ coefficients
        errors = np.stack([part[2] for part in found])
        error = np.sqrt(belief @ (errors**2 + (coefficients - coefficient) ** 2))  # within and between half-lives
        load = _loads(instants, half_life)
        leaving, leaving_slope = _leaving(messages, load, self.prior_sd)
        n = np.bincount(messages.channel, minlength=len(messages.channels))
        model = FatigueModel(
            channels=messages.channels,
            coefficient=coefficient,
            low=coefficient - 1.96 * error,
            high=coefficient + 1.96 * error,
            common=common,
            half_life_us=half_life,
            unsubscribe=leaving,
            unsubscribe_slope=leaving_slope,
            answer_rate=(np.bincount(messages.channel, weights=human, minlength=n.size) + 1.0) / (n + 20.0),
            n_messages=n,
            users=messages.users,
            indptr=np.searchsorted(np.sort(messages.user), np.arange(len(messages.users) + 1)),
            sent_at=messages.sent_at[np.argsort(messages.user, kind="stable")],
            per_day=_per_day(messages),
            n_machine=n_machine,
        )
        _LOG.info("fit %r", model)
        return model


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FatigueModel:
    """What messages cost in later responses; made by `Fatigue.fit`.

    Attributes
    ----------
    channels : Vocabulary
        Names of the channels, in the order of their codes.
    coefficient, low, high : ndarray of shape (n_channels,)
        A response is ``exp(-coefficient)`` times as likely per fresh message; with a 95 % interval.
    common : float
        What is assumed on a channel without messages.
    half_life_us : int
        Half-life of a message's fatigue, microseconds.
    unsubscribe : ndarray of shape (n_channels,)
        Probability that a message without any before it leads to an unsubscription; 0 if not recorded.
    unsubscribe_slope : float
        That probability grows by ``exp(slope)`` per fresh message.
    answer_rate : ndarray of shape (n_channels,)
        Share of messages with a response.
    n_messages : ndarray of shape (n_channels,)
        Messages on each channel that it was learned from.
    users : Vocabulary
        Ids of the people in the message log.
    indptr, sent_at : ndarrays
        When each person was written to, UTC microseconds.
    per_day : ndarray of shape (n_users, n_channels)
        Messages a day, shrunk to the mean.
    n_machine : int
        Bot opens, which are left out.
    """

    channels: Vocabulary
    coefficient: np.ndarray
    low: np.ndarray
    high: np.ndarray
    common: float
    half_life_us: int
    unsubscribe: np.ndarray
    unsubscribe_slope: float
    answer_rate: np.ndarray
    n_messages: np.ndarray
    users: Vocabulary
    indptr: np.ndarray
    sent_at: np.ndarray
    per_day: np.ndarray = field(repr=False)
    n_machine: int = 0

    parts: ClassVar[Parts] = {
        "channels": Ids(text=True),
        **{name: numbers("channels") for name in ("coefficient", "low", "high")},
        "common": Number(),
        "half_life_us": Whole(1),
        "unsubscribe": probabilities("channels"),
        "unsubscribe_slope": Number(),
        "answer_rate": probabilities("channels"),
        "n_messages": counts("channels"),
        "users": Ids(people=True),
        "indptr": Offsets("users", "messages"),
        "sent_at": instants("messages"),
        "per_day": numbers("users", "channels", low=0.0),
        "n_machine": Whole(),
    }

    def __post_init__(self) -> None:
        freeze(self)

    def __repr__(self) -> str:
        found = ", ".join(
            f"{name} {c:.3f} ({low:.3f} to {high:.3f})"
            for name, c, low, high in zip(self.channels.ids, self.coefficient, self.low, self.high, strict=True)
        )
        machines = left_out(self.n_machine)
        return f"FatigueModel(half-life {self.half_life_us / DAY_US:.3g} days, {found or 'no messages'}{machines})"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return ``channel coefficient low high unsubscribe messages`` as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(
            {
                "channel": self.channels.ids,
                "coefficient": self.coefficient,
                "low": self.low,
                "high": self.high,
                "unsubscribe": self.unsubscribe,
                "messages": self.n_messages,
            }
        )

    @says_the_line("model.probability(om.data.Touches.of(data, users, channel='email', at='2025-06-01T09:00:00Z'))")
    def probability(self, touches: Touches) -> np.ndarray:
        """Return the response probability that a message would have, given the recent ones, float64 (n,).

        The response rate of the channel, times :meth:`factor`: what people had lately is all that
        is looked at, neither who they are nor the hour.

        Parameters
        ----------
        touches : Touches
            ``om.data.Touches.of(data, users, channel=, at=)``, or the ``touches`` of candidates. Unknown users had
            nothing lately; a channel without messages has the prior's share, 1 in 20.

        Raises
        ------
        SchemaError
            When the touches are none.
        ParameterError
            When a channel is another spelling of one of the message log.
        """
        check_touches(touches, "FatigueModel.probability")
        found = np.empty(len(touches))
        for code, name in enumerate(touches.channels.ids):
            mine = np.flatnonzero(touches.channel == code)
            place, ids = self._places(str(name)), touches.users.ids[touches.user[mine]]
            share = self.answer_rate[place[0]] if place.size else 1.0 / 20.0
            fresh = self._load_at(self.users.codes(ids, missing="none"), touches.send_at[mine])
            factor = np.exp(-self._coefficient(str(name)) * (fresh - self._usual(ids)))
            found[mine] = np.minimum(share * factor, 1.0)
        return found

    def _load_at(self, code: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Return the fatigue of people given by code, each at an instant of their own, (n,)."""
        found = np.empty(code.size)
        a_person = int(np.diff(self.indptr).max(initial=1))
        for block in row_blocks(code.size, 5 * 8 * a_person):
            row, sent = self._messages_of(code[block])
            when = at[block][row]
            age = np.maximum(when - sent, 0) / self.half_life_us
            found[block] = np.bincount(row, weights=(sent < when) * 0.5**age, minlength=code[block].size)
        return found

    def _messages_of(self, code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the place in ``code`` and the instant of each message that some people had; -1 had none."""
        start = np.where(code >= 0, self.indptr[code], 0)
        size = np.where(code >= 0, self.indptr[code + 1] - self.indptr[code], 0)
        row = np.repeat(np.arange(code.size), size)
        place = np.arange(row.size) - np.repeat(np.cumsum(size) - size, size) + np.repeat(start, size)
        return row, self.sent_at[place]

    def load(self, user_ids: Any, at_us: Any) -> np.ndarray:
        """Return everybody's fatigue at given instants: fresh messages' worth, float64 (n, s).

        Parameters
        ----------
        user_ids : array-like of shape (n,)
            Unknown users have none.
        at_us : array-like of int64, shape (s,)
            Instants, UTC microseconds; messages sent later do not count.

        Raises
        ------
        ParameterError
            When instants are not whole numbers of microseconds.
        """
        code = self.users.codes(user_ids, missing="none")
        at = _instants(at_us)
        row, sent = self._messages_of(code)
        found = np.empty((code.size, at.size))
        for slot, instant in enumerate(at.tolist()):
            age = np.maximum(instant - sent, 0) / self.half_life_us
            found[:, slot] = np.bincount(row, weights=(sent < instant) * 0.5**age, minlength=code.size)
        return found

    def factor(self, user_ids: Any, channel: str, at_us: Any) -> np.ndarray:
        """Return by how much fatigue lowers the response probability, relative to the person's average, float64 (n, s).

        The average person of the log had messages too; a probability learned from the log has their fatigue in it. So
        this is 1 for somebody whose fatigue is what their usual number of messages makes it. A channel without messages
        has the coefficient that is common to all.

        Raises
        ------
        ParameterError
            When the channel is another spelling of one of the message log, or instants are not whole numbers.
        """
        usual = self._usual(user_ids)[:, None]
        return np.asarray(np.exp(-self._coefficient(channel) * (self.load(user_ids, at_us) - usual)))

    def cost(self, user_ids: Any, channel: str, *, horizon: Any = "90D") -> np.ndarray:
        """Return how many later responses one more message costs, float64 (n,).

        ``sum over channels of coefficient x answers a day x half_life / ln 2``, for the fatigue it adds to all later
        messages, plus the added unsubscription probability times the responses of ``horizon``. To the first order: as
        if the person goes on being written to as before. Without messages on a channel the unsubscription probability
        is 0.
        """
        days = check_duration(horizon, "horizon") / DAY_US
        code = self.users.codes(user_ids, missing="none")
        mean = self.per_day.mean(axis=0, keepdims=True) if len(self.users) else np.zeros((1, len(self.channels)))
        answers = np.concatenate([self.per_day, mean])[code] * self.answer_rate
        reach = min(self.half_life_us / DAY_US / np.log(2.0), days)
        tired = answers @ np.maximum(self.coefficient, 0.0) * reach
        found = self._places(channel)
        leaving = np.zeros(code.size)
        if found.size:
            leaving = self.unsubscribe[found[0]] * np.exp(self.unsubscribe_slope * self._usual(user_ids))
        return np.asarray(tired + leaving * answers.sum(axis=1) * days)

    def _usual(self, user_ids: Any) -> np.ndarray:
        """Return the fatigue that each person's usual number of messages makes, (n,)."""
        code = self.users.codes(user_ids, missing="none")
        a_day = np.append(self.per_day.sum(axis=1), self.per_day.sum(axis=1).mean() if len(self.users) else 0.0)[code]
        return np.asarray(a_day * self.half_life_us / DAY_US / np.log(2.0))

    def _places(self, channel: str) -> np.ndarray:
        if not isinstance(channel, str):
            raise ParameterError(f"channel must be the name of a channel. Got {type(channel).__name__}.")
        spelt = [name for name in map(str, self.channels.ids) if plain_name(name) == plain_name(channel)]
        if spelt and channel not in spelt:
            raise ParameterError(
                f"channel is {channel!r}, and {spelt[0]!r} in the message log: one channel in two spellings, whose "
                "messages would tire nobody. Write one of them everywhere."
            )
        return np.flatnonzero(self.channels.ids == channel)

    def _coefficient(self, channel: str) -> float:
        """Return a channel's coefficient, the common one where it has none; never a gain from writing more."""
        found = self._places(channel)
        return max(float(self.coefficient[found[0]]) if found.size else self.common, 0.0)


def _instants(at_us: Any) -> np.ndarray:
    """Return instants as int64 (s,); what they hold is not named, for it may be ids in the wrong place."""
    try:
        at = np.atleast_1d(np.asarray(at_us))
    except ValueError:
        at = np.empty(0, object)
    whole = at.dtype.kind in "iu" or (at.size == 0 and at.dtype.kind == "f")
    if at.ndim != 1 or not whole or (np.abs(at.astype(np.float64)) > _LATEST).any():
        raise ParameterError(
            "at_us must hold instants in UTC microseconds, whole numbers of the years 1 to 9999, shape (s,). "
            "Write om.slots('2025-03-03', days=7).at, or [pandas.Timestamp('2025-03-03', tz='UTC').value // 1000]."
        )
    return at.astype(np.int64)


def _beliefs(half_lives: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """Return the posterior weights of half-lives that are evenly spaced in their logarithm, (H,)."""
    away = np.log(half_lives / (_USUAL_HALF_LIFE * DAY_US)) / np.log(_FACTOR)
    score = evidence - 0.5 * away**2
    weight = np.exp(score - score.max())
    return np.asarray(weight / weight.sum())


class _Instants(NamedTuple):
    """Instants at which people were written to, in order of person and time.

    ``order`` (m,) of the messages, and ``instant`` (m,) of each in that order; per instant (k,) its ``size`` in
    messages and the ``age`` of the one before it, endless for a person's first; per person, most instants first, the
    ``start`` and the ``length``.
    """

    order: np.ndarray
    instant: np.ndarray
    size: np.ndarray
    age: np.ndarray
    start: np.ndarray
    length: np.ndarray


def _instants_of(user: np.ndarray, at: np.ndarray) -> _Instants:
    """Return the instants of messages that are in order of time."""
    order = np.argsort(user, kind="stable")
    who, when = user[order], at[order]
    fresh = np.ones(who.size, np.bool_)
    fresh[1:] = (who[1:] != who[:-1]) | (when[1:] != when[:-1])
    first = np.flatnonzero(fresh)
    who, when = who[first], when[first]
    age = np.full(first.size, np.inf)
    age[1:] = np.where(who[1:] == who[:-1], when[1:] - when[:-1], np.inf)
    start = np.flatnonzero(np.isinf(age))
    length = np.diff(np.append(start, first.size))
    longest = np.argsort(-length, kind="stable")
    size = np.diff(np.append(first, user.size)).astype(np.float64)
    return _Instants(order, np.cumsum(fresh) - 1, size, age, start[longest], length[longest])


def _loads(instants: _Instants, half_life: int) -> np.ndarray:
    """Return the fatigue of each message's reader just before it, (m,): the sum of 2^(-age / half_life).

    Messages of one instant do not tire for each other. All people are walked side by side, the second instant of each,
    then the third: few steps, however many people.
    """
    kept, left = 0.5 ** (instants.age / half_life), np.zeros(instants.size.size)
    going = instants.start.size
    for step in range(1, int(instants.length.max(initial=0))):
        going = int(np.searchsorted(-instants.length[:going], -step))  # people with more instants than steps so far
        row = instants.start[:going] + step
        left[row] = (left[row - 1] + instants.size[row - 1]) * kept[row]
    found = np.empty(instants.order.size)
    found[instants.order] = left[instants.instant]
    return found


def _per_day(messages: MessageLog) -> np.ndarray:
    """Return messages a day per person and channel, shrunk to the mean with the weight of a week, (n, C)."""
    n, n_channels = len(messages.users), len(messages.channels)
    cell = messages.user.astype(np.int64) * n_channels + messages.channel
    count = np.bincount(cell, minlength=n * n_channels).reshape(n, n_channels)
    days = max((messages.end_us - int(messages.sent_at[0])) / DAY_US, 1.0) if len(messages) else 1.0
    mean = count.sum(axis=0) / max(n, 1) / days
    return np.asarray((7.0 * mean + count) / (7.0 + days))


def _fit(
    messages: MessageLog, human: np.ndarray, load: np.ndarray, longest: int, prior_sd: float
) -> tuple[float, np.ndarray, np.ndarray, float]:
    """Return the common coefficient, those of the channels, their errors, and the log of the marginal likelihood."""
    n_channels = len(messages.channels)
    # the same messages are judged whatever the half-life, else their likelihoods could not be compared
    rows = np.flatnonzero(messages.sent_at >= (messages.sent_at[0] if len(messages) else 0) + 2 * longest)
    strata = messages.user[rows].astype(np.int64) * max(n_channels, 1) + messages.channel[rows]
    order = np.argsort(strata, kind="stable")
    rows, strata = rows[order], strata[order]
    answered = np.bincount(strata, weights=human[rows], minlength=1)[strata] if rows.size else np.empty(0)
    rows, strata = rows[answered > 0], strata[answered > 0]
    if not rows.size:
        return 0.0, np.zeros(n_channels), np.full(n_channels, prior_sd), 0.0
    starts = np.flatnonzero(np.r_[True, strata[1:] != strata[:-1]])
    f, y = load[rows], human[rows]
    totals = np.add.reduceat(y, starts)
    channel, person = messages.channel[rows[starts]], messages.user[rows[starts]]

    def pieces(c: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Return per stratum the slope and curvature in its channel's coefficient, and the log likelihood."""
        size = np.diff(np.append(starts, f.size))
        weight = np.exp(-np.repeat(c[channel], size) * f)
        sum_w = np.add.reduceat(weight, starts)
        mean = np.add.reduceat(weight * f, starts) / sum_w
        square = np.add.reduceat(weight * f * f, starts) / sum_w
        slope = totals * mean - np.add.reduceat(y * f, starts)
        value = -np.repeat(c[channel], size) @ (y * f) - totals @ np.log(sum_w)
        return slope, totals * (square - mean**2), float(value)

    # parameters: the common coefficient, then each channel's distance from it
    x = np.zeros(n_channels + 1)
    weight = np.array([1.0 / prior_sd**2, *[1.0 / _LIKE_THE_OTHERS**2] * n_channels])
    inverse = np.eye(n_channels + 1)
    for _ in range(50):
        slope, curvature, _ = pieces(x[0] + x[1:])
        by_channel = np.bincount(channel, weights=slope, minlength=n_channels)
        curve = np.bincount(channel, weights=curvature, minlength=n_channels)
        gradient = np.append(by_channel.sum(), by_channel) - weight * x
        hessian = np.diag(np.append(curve.sum(), curve) + weight)
        hessian[0, 1:] = hessian[1:, 0] = curve
        inverse = np.linalg.inv(hessian)
        step = np.clip(inverse @ gradient, -1.0, 1.0)
        x += step
        if np.abs(step).max() < 1e-9:
            break
    c = x[0] + x[1:]
    slope, _, value = pieces(c)
    # the sandwich: slopes summed by person, as messages of one person are not independent
    by_person = np.zeros((len(messages.users), n_channels))
    np.add.at(by_person, (person, channel), slope)
    scores = np.concatenate([by_person.sum(axis=1, keepdims=True), by_person], axis=1)
    covariance = inverse @ (scores.T @ scores + np.diag(weight)) @ inverse
    pick = np.concatenate([np.ones((n_channels, 1)), np.eye(n_channels)], axis=1)
    error = np.sqrt(np.einsum("ij,jk,ik->i", pick, covariance, pick))
    evidence = value - 0.5 * float(weight @ x**2) + 0.5 * float(np.linalg.slogdet(inverse)[1])  # Laplace
    return float(x[0]), c, error, evidence


def _leaving(messages: MessageLog, load: np.ndarray, prior_sd: float) -> tuple[np.ndarray, float]:
    """Return the unsubscription probability per channel without fatigue, and its growth (shrunk Poisson regression)."""
    n_channels = len(messages.channels)
    if messages.unsubscribed_at is None or not len(messages):
        return np.zeros(n_channels), 0.0
    left = (messages.unsubscribed_at != NEVER).astype(np.float64)
    total = np.bincount(messages.channel, weights=left, minlength=n_channels)
    b, mean = 0.0, float(left.mean())
    for _ in range(60):
        risk = np.exp(b * load)
        exposed = np.bincount(messages.channel, weights=risk, minlength=n_channels)
        common = left.sum() / exposed.sum()
        rate = (total + _UNSUBSCRIBED * common) / (exposed + _UNSUBSCRIBED)
        expected = rate[messages.channel] * risk
        centred = load - np.average(load, weights=expected + 1e-300)
        slope = float((left - expected) @ centred) - b / prior_sd**2
        step = slope / (float(expected @ centred**2) + 1.0 / prior_sd**2)
        b += float(np.clip(step, -0.5, 0.5))
        if abs(step) < 1e-8:
            break
    return (np.asarray(rate), b) if mean > 0 else (np.zeros(n_channels), 0.0)
