"""Bot opens: mail proxies that load images, scanners that follow links.

A bot responds within seconds of delivery, whenever that is; a person when they next look. So opens near
delivery show when we send, not when people read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnireco._core.checks import check_numbers
from omnireco._core.notebook import shown_html
from omnireco.data.messages import NEVER, MessageLog

__all__ = ["Answers", "DelayMixture", "answers_of_people", "fit_delay_mixture", "judge_answers", "left_out"]

_SLOWEST = 60.0  # seconds: the median delay of a machine is shorter
_WIDEST = 1.2  # standard deviation of a machine's log delay
_FEWEST = 50  # answers to fit on
_BINS = 600
_FLAGGED = 0.5


@dataclass(frozen=True, slots=True)
class DelayMixture:
    """Delays of responses as a mixture: bots with a log-normal delay of seconds, people with a Weibull one.

    Attributes
    ----------
    share : float
        Share of bot opens in the responses; 0 when the delays do not show any.
    median, spread : float
        Median of a bot's delay, seconds, and standard deviation of its logarithm.
    scale, shape : float
        Of the Weibull delay of people, seconds and exponent.
    """

    share: float
    median: float
    spread: float
    scale: float
    shape: float

    _repr_html_ = shown_html

    def human(self, delay: np.ndarray) -> np.ndarray:
        """Return the probability that a response after so many seconds was a person's, float64 like ``delay``."""
        delay = np.asarray(delay, np.float64)
        if self.share <= 0:
            return np.ones(delay.shape)
        x = np.log(delay + 1.0)
        centre = np.log(self.median + 1.0)  # nobody is more human for answering even faster
        machine = np.log(self.share) + _log_machine(np.maximum(x, centre), centre, self.spread)
        person = np.log1p(-self.share) + _log_person(x, self.scale, self.shape)
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(machine - person, -700, 700))))


def fit_delay_mixture(delay: np.ndarray) -> DelayMixture:
    """Fit the mixture to response delays, by expectation maximization.

    Parameters
    ----------
    delay : ndarray of shape (m,)
        Seconds from delivery to the response, 0 or more.

    Returns
    -------
    DelayMixture
        With ``share`` 0 when there are fewer than 50 responses, when times were kept in whole minutes only, or when a
        second component does not explain the delays clearly better (Bayesian information criterion).

    Notes
    -----
    People's delays are Weibull in time: near delivery their density is smooth on the scale of minutes, whatever the
    hours do later. A peak within a minute that stands out of it is bots. Works on a histogram of 600 bins of the
    log delay, so cost does not depend on the number of responses beyond counting them.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> found = fit_delay_mixture(np.r_[random.lognormal(1.5, 0.5, 300), random.exponential(7200, 700)])
    >>> round(found.share, 1), (found.human(np.array([4.0, 600.0])) > 0.9).tolist()
    (0.3, [False, True])
    """
    delay = np.maximum(check_numbers(delay, "delay"), 0.0)
    nobody = DelayMixture(0.0, 5.0, 1.0, 7200.0, 1.0)
    if delay.size < _FEWEST or not np.any(delay % 60.0):
        return nobody
    x = np.log(delay + 1.0)
    edges = np.linspace(0.0, float(x.max()) + 1e-9, _BINS + 1)
    weight = np.histogram(x, edges)[0].astype(np.float64)
    x, weight = ((edges[1:] + edges[:-1]) / 2)[weight > 0], weight[weight > 0]
    total = weight.sum()
    alone = _fit_person(x, weight)
    single = float(weight @ _log_person(x, *alone))
    best, found = single, nobody
    for start in (2.0, 10.0, 30.0):
        state, score = _maximise(x, weight, start)
        if score > best:
            best, found = score, state
    if best - single < 1.5 * np.log(total) + 3.0:  # three more parameters
        return DelayMixture(0.0, 5.0, 1.0, *alone)
    return found


def _maximise(x: np.ndarray, weight: np.ndarray, median: float) -> tuple[DelayMixture, float]:
    """Run the expectation maximization from one bot delay."""
    total, score = weight.sum(), -np.inf
    centre, spread = np.log(median + 1.0), 0.7
    near = float(weight @ (x < np.log(_SLOWEST + 1.0))) / total
    share = min(max(near / 2, 0.01), 0.9)
    scale, shape = _fit_person(x, weight * (x > np.log(_SLOWEST + 1.0)) + 1e-9)
    for _ in range(200):
        machine = np.log(share) + _log_machine(x, centre, spread)
        person = np.log1p(-share) + _log_person(x, scale, shape)
        both = np.logaddexp(machine, person)
        before, score = score, float(weight @ both)
        if score - before < 1e-7 * abs(score):
            break
        r = np.exp(machine - both)
        mine = weight * r
        share = float(np.clip(mine.sum() / total, 1e-4, 1 - 1e-4))
        centre = float(np.clip(mine @ x / mine.sum(), 0.0, np.log(_SLOWEST + 1.0)))
        spread = float(np.clip(np.sqrt(mine @ (x - centre) ** 2 / mine.sum()), 0.15, _WIDEST))
        scale, shape = _fit_person(x, weight * (1.0 - r) + 1e-9)
    return DelayMixture(share, float(np.expm1(centre)), spread, scale, shape), score


def _log_machine(x: np.ndarray, centre: float, spread: float) -> np.ndarray:
    """Return the log density of ``x = log(delay + 1)`` of bots: a normal."""
    return np.asarray(-0.5 * ((x - centre) / spread) ** 2 - np.log(spread) - 0.5 * np.log(2 * np.pi))


def _log_person(x: np.ndarray, scale: float, shape: float) -> np.ndarray:
    """Return the log density of ``x = log(delay + 1)`` of people: a Weibull delay."""
    z = shape * (x - np.log(scale))
    return np.asarray(np.log(shape) + z - np.exp(z))


def _fit_person(x: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return scale and shape of a weighted Weibull by maximum likelihood; the shape by bisection."""
    total = weight.sum()
    mean, top = float(weight @ x / total), float(x.max())

    def slope(shape: float) -> float:
        power = weight * np.exp(shape * (x - top))
        return float(power @ x / power.sum()) - 1.0 / shape - mean

    low, high = 0.15, 1.5
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    shape = (low + high) / 2
    scale = np.exp(top + np.log(float(weight @ np.exp(shape * (x - top))) / total) / shape)
    return float(scale), shape


def answers_of_people(messages: MessageLog, mine: np.ndarray | None = None) -> tuple[np.ndarray, int]:
    """Return when people responded, and how many bot opens were left out (of ``mine``, a mask over the messages).

    A response is a bot's if the log flags it (``machine`` of 0.5 or more); if missing, the response counts as human. A
    click after the flagged response is the person's: the flag is about the response, not about the message.

    Returns
    -------
    (ndarray of int64, shape (m,); int)
        UTC microseconds, `NEVER` where no person responded.
    """
    if messages.machine is None:
        return messages.responded_at, 0
    flagged = messages.responded & (messages.machine >= _FLAGGED)
    later = np.full(len(messages), NEVER)
    if messages.clicked_at is not None:
        later = np.where(messages.clicked_at > messages.responded_at, messages.clicked_at, NEVER)
    n_flagged = flagged.sum() if mine is None else flagged[mine].sum()
    return np.where(flagged, later, messages.responded_at), int(n_flagged)


def left_out(n_machine: int) -> str:
    """Return the number of bot opens for a model's repr; nothing where there were none."""
    return f", {n_machine:,} bot open{'' if n_machine == 1 else 's'} left out" if n_machine else ""


@dataclass(frozen=True, slots=True)
class Answers:
    """Which messages have a human response, and when each was censored.

    Attributes
    ----------
    at : ndarray of int64, shape (m,)
        When a person responded, UTC microseconds; `NEVER` where nobody is known to have.
    until : ndarray of int64
        When a message was censored before the end of the log, because a bot open hides a person's; `NEVER` elsewhere.
    human : ndarray of float64
        Probability that the response was a person's.
    click : ndarray of bool
    machine_share : ndarray of shape (C,)
        Share of bot opens in each channel's responses.
    """

    at: np.ndarray
    until: np.ndarray
    human: np.ndarray
    click: np.ndarray
    machine_share: np.ndarray


def judge_answers(messages: MessageLog, group: np.ndarray | None = None) -> Answers:
    """Return who responded: people, or bots.

    Parameters
    ----------
    messages : MessageLog
        Uses ``machine`` if known, else the delay mixture.
    group : ndarray of int, shape (m,), optional
        Kinds of mailboxes that may differ in their bots, such as the provider; delays are fitted per channel and
        group.

    Notes
    -----
    A click is a person's (weight 1) unless it is flagged. An open that is more probably a bot's is none; the
    message is then still unread: it stays at risk of a click where the log keeps clicks, and is no longer watched
    where it does not, because nobody would see the person's own open. On a channel with more than half of its opens
    from bots all opens are ignored.
    """
    n, n_channels = len(messages), len(messages.channels)
    responded = messages.responded
    clicked = np.zeros(n, np.bool_) if messages.clicked_at is None else messages.clicked_at != NEVER
    machine = np.full(n, np.nan) if messages.machine is None else messages.machine.copy()
    only_click = clicked & (messages.responded_at == (0 if messages.clicked_at is None else messages.clicked_at))
    machine[only_click & np.isnan(machine)] = 0.0
    unknown = responded & np.isnan(machine)
    delay = np.where(responded, messages.responded_at - messages.sent_at, 0) / 1e6
    kind = messages.channel.astype(np.int64) if group is None else messages.channel + np.int64(n_channels) * (group + 1)
    for code in np.unique(kind[unknown]).tolist():
        rows = np.flatnonzero(unknown & (kind == code))
        machine[rows] = 1.0 - fit_delay_mixture(delay[rows]).human(delay[rows])
    machine = np.where(responded, machine, 0.0)
    answered = np.bincount(messages.channel, weights=responded, minlength=n_channels)
    share = np.bincount(messages.channel, weights=machine, minlength=n_channels) / np.maximum(answered, 1.0)
    has_clicks = np.bincount(messages.channel, weights=clicked, minlength=n_channels) > 0
    believed = responded & (machine < 0.5) & (~only_click) & (share <= 0.5)[messages.channel]
    click = clicked & ~(only_click & (machine >= 0.5))
    at = np.where(believed, messages.responded_at, NEVER)
    if messages.clicked_at is not None:
        at = np.where(click & (at == NEVER), messages.clicked_at, at)
    hidden = responded & (at == NEVER) & ~has_clicks[messages.channel]
    human = np.where(at != NEVER, np.where(click, 1.0, 1.0 - machine), 0.0)
    return Answers(at, np.where(hidden, messages.responded_at, NEVER), human, click & (at != NEVER), share)
