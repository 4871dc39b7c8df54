"""Ten small worlds of sending and answering whose truth is known, for `send_time.py` and for tests.

A world is a law (the chance of an answer by person, local hour of sending and day), a sender, and people who are active
at some hours. Nothing in a model may rest on how a world is named: each breaks one assumption that a model of send
times may make.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

import omnireco as om

START, DAYS = pd.Timestamp("2025-03-03", tz="UTC"), 60
HOURS = np.arange(24)
OFFICE = np.r_[np.repeat(np.arange(8, 18), 3), np.arange(6, 24)]
"""Hours at which people are active: from 6 to 24, in office hours above all."""

Law = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def away(a: Any, b: Any) -> np.ndarray:
    """Return the hours between two hours of the day."""
    return np.minimum((a - b) % 24, (b - a) % 24)


@dataclass
class ClockWorld:
    """What was sent, what came back, what people did, and the law behind it.

    Parameters
    ----------
    law : callable(user, hour, day) -> chance
    n_people, n : int
        People and messages.
    sent_at : ndarray of shape (24,)
        How often each hour is sent in.
    awake : ndarray
        Hours at which anybody is active; ``own_hour`` (n_people,) instead centres each person's activity, and
        ``often`` (n_people,) is how active each is.
    delay : float
        Mean minutes until an answer.
    policy : callable(rng, user) -> hour, propensity
        A sender that looks at the person; ``propensity_known`` says whether the log keeps its propensities.
    machines : bool
        Six of ten messages are opened by a machine within seconds; people show only as clicks.
    dates : bool
        The log has dates without an hour.
    """

    law: Law
    n_people: int = 120
    n: int = 8_000
    n_events: int = 6_000
    sent_at: np.ndarray = field(default_factory=lambda: np.ones(24))
    awake: np.ndarray = field(default_factory=lambda: OFFICE)
    own_hour: np.ndarray | None = None
    often: np.ndarray | None = None
    delay: float = 10.0
    policy: Callable[[np.random.Generator, np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None
    propensity_known: bool = True
    machines: bool = False
    dates: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.user, self.day = rng.integers(0, self.n_people, self.n), rng.integers(0, DAYS, self.n)
        self.hour, propensity = self._hours(rng, self.user)
        sent = START + pd.to_timedelta(self.day * 24 + self.hour, unit="h")
        self.answered = rng.random(self.n) < self.law(self.user, self.hour, self.day)
        late = pd.to_timedelta(rng.exponential(self.delay, self.n), unit="min")
        back = pd.Series(sent).add(late).where(self.answered)
        self.frame = pd.DataFrame({"user_id": self.user, "channel": "push", "sent_at": sent, "responded_at": back})
        if self.machines:
            opened = rng.random(self.n) < 0.6
            seconds = pd.to_timedelta(rng.exponential(5.0, self.n), unit="s")
            self.frame["clicked_at"] = self.frame["responded_at"]
            self.frame["responded_at"] = pd.Series(sent).add(seconds).where(opened, back)
            self.frame["machine"] = opened
        if self.dates:
            for column in ("sent_at", "responded_at"):
                self.frame[column] = self.frame[column].dt.floor("D")
        if propensity is not None and self.propensity_known:
            self.frame["propensity"] = propensity
        often = np.ones(self.n_people) if self.often is None else self.often
        who = rng.choice(self.n_people, self.n_events, p=often / often.sum())
        hour = rng.choice(self.awake, who.size)
        if self.own_hour is not None:
            hour = (self.own_hour[who] + rng.normal(0, 2, who.size).round().astype(int)) % 24
        minute = rng.integers(0, DAYS, who.size) * 1440 + hour * 60 + rng.integers(0, 60, who.size)
        at = START + pd.to_timedelta(minute, unit="min")
        self.events = pd.DataFrame({"user_id": who, "item_id": "x", "channel": "web", "event": "view", "timestamp": at})
        people = pd.DataFrame({"user_id": range(self.n_people), "timezone": "UTC", "consent_push": True})
        self.audience = om.Audience.from_frame(people)

    def _hours(self, rng: np.random.Generator, user: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Draw the hours of sending."""
        if self.policy is not None:
            return self.policy(rng, user)
        return rng.choice(24, user.size, p=self.sent_at / self.sent_at.sum()), None

    def data(self, *, messages: bool = True) -> om.Dataset:
        """Return what the company sees, with or without its messages."""
        log = om.EventLog.from_frame(self.events)
        sent = om.MessageLog.from_frame(self.frame) if messages else None
        return om.Dataset(log, messages=sent, audience=self.audience)

    def fit(self, recipe: om.SendTime | None = None, *, messages: bool = True) -> Any:
        """Fit a model of send times."""
        return (recipe or om.SendTime()).fit(self.data(messages=messages))

    def chances(self, model: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the chance of everybody at the hours of a Monday, (n_people, 24), and the ends of its interval."""
        day, n = om.slots("2025-06-02", days=1).at, self.n_people
        found = model.slot_probability(self.audience, np.arange(n), "push", day)
        users, when = np.repeat(np.arange(n), 24), pd.to_datetime(np.tile(day, n), unit="us", utc=True)
        touches = om.data.Touches.of(om.Dataset(audience=self.audience), users, channel="push", at=when)
        low, high = model.probability_interval(touches)
        return found, low.reshape(n, 24), high.reshape(n, 24)

    def truth(self) -> np.ndarray:
        """Return the true chance of everybody at each hour on the day after the log, (n_people, 24)."""
        user, hour = np.indices((self.n_people, 24))
        return self.law(user, hour, np.full(user.shape, DAYS))

    def next_messages(self, n: int = 50_000) -> tuple[np.ndarray, np.ndarray]:
        """Return person and hour of messages that the same sender sends after the log."""
        rng = np.random.default_rng(self.seed + 10_000)
        user = rng.integers(0, self.n_people, n)
        return user, self._hours(rng, user)[0]


def only(*hours: int) -> np.ndarray:
    """Return hours of sending."""
    return np.isin(HOURS, hours).astype(float)


def window(first: int, last: int, high: float = 0.20, low: float = 0.05) -> Law:
    """Return a law of hours from ``first`` to ``last`` that are answered more, whoever it is."""
    return lambda user, hour, day: np.where((hour >= first) & (hour <= last), high, low) + 0.0 * user


def around(own: np.ndarray, *, low: float = 0.03, rise: float = 0.25) -> Law:
    """Return a law by which everybody answers around an hour of their own."""
    return lambda user, hour, day: low + rise * np.exp(-0.5 * (away(hour, own[user]) / 2.0) ** 2) + 0.0 * day


def drifting(user: np.ndarray, hour: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Five good hours that move from noon to the evening; none is good for the first time on the day after the log."""
    return np.where(away(hour, 12 + 7.9 * day / DAYS) <= 2, 0.20, 0.05) + 0.0 * user


def favoured(eager: np.ndarray, *, rise: float = 0.0) -> Law:
    """Return a law by which the eager answer more, at any hour, and all a little more at noon."""
    bump = np.where(away(HOURS, 12) <= 2, 1.0 + rise, 1.0)
    return lambda user, hour, day: np.where(eager[user], 0.24, 0.06) * bump[hour] + 0.0 * day


def favour(eager: np.ndarray, rng: np.random.Generator, user: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The eager are written to in the evening, the others in the morning, but for a fifth at any hour."""
    first = np.where(eager[user], 18, 9)
    anywhere = rng.random(user.size) < 0.2
    hour = np.where(anywhere, rng.integers(0, 24, user.size), first + rng.integers(0, 4, user.size))
    return hour, 0.2 / 24 + 0.8 / 4 * ((hour >= first) & (hour < first + 4))


def _own(n: int, seed: int, stream: int) -> np.ndarray:
    return np.random.default_rng([seed, stream]).integers(0, 24, n)


def _favouring(n_people: int, n: int, seed: int) -> ClockWorld:
    eager = np.random.default_rng([seed, 3]).random(n_people) < 0.5
    law, often = favoured(eager, rise=0.5), np.where(eager, 3.0, 1.0)
    return ClockWorld(law, n_people, n, policy=partial(favour, eager), often=often, seed=seed)


def _drives(n_people: int, n: int, seed: int, **more: Any) -> ClockWorld:
    own = _own(n_people, seed, 1)
    return ClockWorld(around(own), n_people, n, own_hour=own, seed=seed, **more)


def _machines(n_people: int, n: int, seed: int) -> ClockWorld:
    own = _own(n_people, seed, 1)
    return ClockWorld(around(own, low=0.005, rise=0.06), n_people, n, own_hour=own, machines=True, seed=seed)


CLOCK_WORLDS: dict[str, Callable[[int, int, int], ClockWorld]] = {
    "activity drives reading": _drives,
    "nothing to do with activity": lambda p, n, seed: ClockWorld(window(18, 21), p, n, awake=HOURS, seed=seed),
    "against activity": lambda p, n, seed: ClockWorld(window(1, 4), p, n, seed=seed),
    "two hours of sending": lambda p, n, seed: ClockWorld(
        window(15, 23), p, n, sent_at=only(9, 19), delay=40.0, seed=seed
    ),
    "machines only": _machines,
    "dates only": partial(_drives, dates=True),
    "drifting habits": lambda p, n, seed: ClockWorld(drifting, p, n, seed=seed),
    "a strong common evening": lambda p, n, seed: ClockWorld(
        window(19, 21, 0.40, 0.02), p, n, own_hour=_own(p, seed, 2), seed=seed
    ),
    "own habits, none in common": lambda p, n, seed: ClockWorld(
        around(_own(p, seed, 1)), p, n, own_hour=_own(p, seed, 2), seed=seed
    ),
    "a sender that favoured the active": _favouring,
}
"""Name of a world: its maker from the number of people, the number of messages, and a seed."""


@dataclass(frozen=True)
class Judged:
    """How a model does in a world: true values of its hours and of others', its highest chance, its calibration.

    ``inside`` is the share of chances whose interval holds the truth, ``above`` of those whose interval lies above the
    truth's maximum; ``foreseen`` and ``true`` (5,) are mean chances of the sender's next messages, in fifths of what
    was foreseen.
    """

    value: float
    common: float
    activity: float
    oracle: float
    highest: float
    highest_low: float
    most: float
    above: float
    inside: float
    foreseen: np.ndarray
    true: np.ndarray

    @property
    def worst(self) -> float:
        """The largest relative error of a fifth."""
        return float(np.abs(self.foreseen / self.true - 1.0).max())


def judge(world: ClockWorld, recipe: om.SendTime | None = None) -> Judged:
    """Fit a model, and the rule that knows activity only, and hold both against the truth."""
    truth, every = world.truth(), np.arange(world.n_people)
    found, low, high = world.chances(world.fit(recipe))
    alone = world.chances(world.fit(recipe, messages=False))[0]
    user, hour = world.next_messages()
    foreseen, true = found[user, hour], truth[user, hour]
    if world.dates:  # no hour stands in the log: all that can be known is how much
        foreseen, true = found.mean(axis=1)[user], truth.mean(axis=1)[user]
    fifths = np.array_split(np.argsort(foreseen, kind="stable"), 5)
    top = np.unravel_index(found.argmax(), found.shape)
    return Judged(
        value=float(truth[every, found.argmax(axis=1)].mean()),
        common=float(truth.mean(axis=0).max()),
        activity=float(truth[every, alone.argmax(axis=1)].mean()),
        oracle=float(truth.max(axis=1).mean()),
        highest=float(found.max()),
        highest_low=float(low[top]),
        most=float(truth.max()),
        above=float((low > truth.max()).mean()),
        inside=float(((low <= truth) & (truth <= high)).mean()),
        foreseen=np.array([foreseen[rows].mean() for rows in fifths]),
        true=np.array([true[rows].mean() for rows in fifths]),
    )
