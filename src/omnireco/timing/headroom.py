"""Potential uplift of personal send times, with an interval, before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.checks import (
    check_choice,
    check_duration,
    check_instant,
    check_integer,
    check_number,
    count_of,
    from_microseconds,
)
from omnireco._core.compute import Progress, check_progress, track
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import html_table
from omnireco._core.parts import Maybe, Parts
from omnireco._core.random import stream
from omnireco._core.small import Number, Text, Whole
from omnireco._core.units import HOUR_US, WEEK
from omnireco._kernels.week.delay import reading_after, send_value
from omnireco.data.audience import Audience
from omnireco.data.dataset import Dataset, dataset_of
from omnireco.data.events import EventLog, require_events
from omnireco.data.messages import NEVER
from omnireco.data.parts import Frame
from omnireco.errors import EmptyError
from omnireco.timing.activity import ActivityModel, ActivityProfile, check_activity
from omnireco.timing.machines import answers_of_people
from omnireco.timing.sending.send_time import SendTime
from omnireco.timing.sessions import local_hours, session_starts
from omnireco.timing.skill import timing_skill

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Headroom", "headroom"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Headroom:
    """What personal timing could earn with an audience.

    Attributes
    ----------
    skill : pandas.DataFrame
        As `timing_skill` gives it: nats per later session over the population's week, by history.
    lift, low, high : float
        Attention, or on a ``channel`` responses, that messages at each person's own hour of the day would have got
        after the cut, relative to the one hour that is best for all, with a 95 % interval over people.
    prior_strength : float
        Sessions of history that make half of a profile the person's own.
    people, sessions : int
        People evaluated, and their later sessions; on a channel, later messages.
    worthwhile : float
        The smallest worthwhile lift.
    channel : str or None
        The channel whose responses were evaluated; None for attention, which takes messages to be read as people are
        active.
    """

    skill: pd.DataFrame
    lift: float
    low: float
    high: float
    prior_strength: float
    people: int
    sessions: int
    worthwhile: float
    channel: str | None = None

    parts: ClassVar[Parts] = {
        "skill": Frame(),
        **dict.fromkeys(("lift", "low", "high", "prior_strength"), Number(endless=True, missing=True)),
        **{name: Whole() for name in ("people", "sessions")},
        "worthwhile": Number(endless=True, missing=True),
        "channel": Maybe(Text()),
    }

    def __repr__(self) -> str:
        people = count_of(self.people, "person", "people")
        return f"Headroom(lift {self.lift:+.1%} ({self.low:+.1%} to {self.high:+.1%}), {people})"

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p><p>{escape(self.verdict)}</p>{html_table(self.skill)}"

    @property
    def verdict(self) -> str:
        """What to do, in words."""
        what, of = ("attention", "sessions") if self.channel is None else (f"{self.channel} responses", "messages")
        facts = (
            f"At their own hour messages would have got {self.lift:+.1%} {what} "
            f"({self.low:+.1%} to {self.high:+.1%}) against the best common hour: {self.people:,} people, "
            f"{self.sessions:,} later {of}."
        )
        if self.low >= self.worthwhile:
            return f"Personal timing can help here. {facts} Prove it with explored sends."
        if self.high < self.worthwhile:
            return f"Do not bother: send at the best common hour. {facts}"
        return f"Not proven, so do not bother yet: collect more, or test a part. {facts}"


@says_the_line("om.timing.headroom(om.Dataset(log, messages=sent, audience=people))")
def headroom(
    data: Any,
    *,
    channel: str | None = None,
    activity: ActivityProfile | None = None,
    at: Any = None,
    effect_decay: Any = "6h",
    worthwhile: float = 0.02,
    n_bootstrap: int = 1000,
    seed: int = 0,
    progress: Progress = False,
) -> Headroom:
    """Tell whether there is personal timing signal in a log, and what it could earn.

    Profiles are learned before a cut and evaluated on a test period after it. The verdict may be "not worthwhile".

    Parameters
    ----------
    data : Dataset
        With ``events`` and ``audience``; where it has ``messages``, sessions that they caused are left out of learning.
    channel : str, optional
        A channel of the ``messages``: evaluate responses to its messages, as `SendTime` learns them, instead of
        attention. What people do need not say when they answer.
    activity : ActivityProfile, optional
        How profiles are learned.
    at : datetime, date or str, optional
        The cut; by default the instant before which 80 % of the events lie, on a channel 60 % of its messages.
    effect_decay : duration
        Effect decay: time constant of a message.
    worthwhile : float
        The smallest relative lift worth the trouble.
    n_bootstrap, seed : int
        Resamples of people for the interval.
    progress : bool or callable(done, total)
        A bar over the resamples.

    Returns
    -------
    Headroom

    Raises
    ------
    EmptyError
        When the log is empty, nobody with a history came back after the cut, or the channel has no response on
        either side of it.
    SchemaError
        When the data has no events or no audience; on a channel, no messages.
    ParameterError
        When the message log does not have the channel.

    Notes
    -----
    Attention is later sessions weighted by the effect decay after the chosen hour: what mail is read like if it is read
    like everything else. It is an upper limit of the lift in responses, not a forecast, and says nothing where people
    answer at other hours than they are active.

    On a channel the hours come from a `SendTime` fitted before the cut, and their value from another one fitted on
    events and messages after it, so neither flatters the other: hours chosen by chance earn nothing. The interval adds
    the second model's uncertainty about each hour to that over people. The second model pools people, so the lift is
    rather too small.

    Examples
    --------
    >>> import omnireco as om
    >>> world = om.simulate(n_users=120, n_items=20, days=120, seed=1, company=om.worlds.Company(sessions_per_week=5))
    >>> data = om.Dataset(om.EventLog.from_frame(world.events), audience=om.Audience.from_frame(world.users))
    >>> headroom(data).verdict.split(".")[0]
    'Personal timing can help here'
    """
    check_progress(progress)
    tau = check_duration(effect_decay, "effect_decay") / HOUR_US
    check_number(worthwhile, "worthwhile", low=0.0), check_integer(n_bootstrap, "n_bootstrap", low=1, high=1_000_000)
    data = dataset_of(data, "headroom", ("events", "audience") + (() if channel is None else ("messages",)))
    log, audience = (data.part(name, "headroom") for name in ("events", "audience"))
    require_events(log, "headroom")
    check_activity(activity, "headroom: activity", none=True)
    profile = activity if activity is not None else ActivityProfile()
    if channel is not None:
        check_choice(channel, "channel", tuple(data.part("messages", "headroom").channels.ids))
    cut = from_microseconds(_cut(data, channel) if at is None else check_instant(at, "at"))
    past, test = data.split(cut)
    model = profile.fit(past)
    later = _later(
        test.part("events", "headroom"),
        past.part("events", "headroom"),
        audience,
        check_duration(profile.session_gap, "session_gap"),
    )
    came = (later.sum(axis=1) > 0) & (model.history > 0)
    if not came.any():
        dates = int((~log.timed).sum())
        why = f" {dates:,} of {len(log):,} events carry a date and no hour: join the real times." if dates else ""
        raise EmptyError(f"headroom: nobody with a history came back after the cut. Move it with at=, or wait.{why}")
    users, later = np.flatnonzero(came), later[came]
    profiles = model.profiles(users)
    skill = timing_skill(
        {"profile": profiles}, model.population, later, model.history[came], n_bootstrap=n_bootstrap, seed=seed
    )
    by_hour = send_value(profiles, tau).reshape(-1, 7, 24).sum(axis=1)
    own = by_hour.argmax(axis=1)
    common = int(send_value(model.population[None], tau).reshape(7, 24).sum(axis=0).argmax())
    attention = reading_after(later, tau).reshape(-1, 7, 24).sum(axis=1)
    mine, shared = attention[np.arange(own.size), own], attention[:, common]
    n_people, n_later = int(came.sum()), int(later.sum())
    hours, doubt = np.stack([own, np.full_like(own, common)]), np.zeros(24)
    if channel is not None:
        mine, shared, hours, doubt, n_later = _responses(
            past, test, channel, SendTime(activity=profile, seed=seed), model
        )
        n_people = mine.size
    random = stream(seed, "headroom/bootstrap")
    lifts = []
    for _ in track(range(n_bootstrap), progress, label="headroom"):  # one at a time: people are many
        rows = random.integers(0, n_people, n_people)
        factor = np.ones(24) if channel is None else np.exp(doubt * random.normal(size=24) - doubt**2 / 2)
        ours, theirs = mine[rows] * factor[hours[0, rows]], shared[rows] * factor[hours[1, rows]]
        lifts.append(ours.sum() / theirs.sum() - 1.0)
    low, high = np.quantile(lifts, [0.025, 0.975])
    return Headroom(
        skill=skill,
        lift=float(mine.sum() / shared.sum() - 1.0),
        low=float(low),
        high=float(high),
        prior_strength=model.prior_strength,
        people=n_people,
        sessions=n_later,
        worthwhile=worthwhile,
        channel=channel,
    )


def _cut(data: Dataset, channel: str | None) -> int:
    """Return the instant before which 80 % of the events lie, or 60 % of the messages of a channel."""
    if channel is None:
        return int(np.quantile(data.part("events", "headroom").at, 0.8))
    sent = data.part("messages", "headroom")
    return int(np.quantile(sent.sent_at[sent.channels.ids[sent.channel] == channel], 0.6))


def _responses(
    past: Dataset, test: Dataset, channel: str, estimator: SendTime, activity: ActivityModel
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Return what later messages earn at each person's own and at the common hour of the past, as learned apart.

    Two arrays of chances (n,); the two hours of each, (2, n); the standard deviation of the log chance of each hour of
    the day, (24,); and how many later messages there are.
    """
    learned = []
    for part, where in ((past, "before"), (test, "after")):
        sent = part.messages
        inside = np.zeros(0, np.bool_) if sent is None else sent.channels.ids[sent.channel] == channel
        if sent is None or not (inside & (answers_of_people(sent)[0] != NEVER)).any():
            raise EmptyError(
                f"headroom: no message on {channel!r} {where} the cut has a response. Move the cut with at=, or leave "
                "out channel= to evaluate attention."
            )
        model = estimator._given(activity, part, None, lambda: None) if part is past else estimator.fit(part)
        learned.append((model, int(inside.sum()), sent.users.ids[np.unique(sent.user[inside])]))
    (first, _, people), (second, n_later, _) = learned
    chosen, earned = (
        model.hour_probability(people, channel).reshape(-1, 7, 24).mean(axis=1) for model in (first, second)
    )
    own, common = chosen.argmax(axis=1), int(chosen.mean(axis=0).argmax())
    code = int(second.channels.codes([channel])[0])
    doubt = np.sqrt((second.log_rate_sd[code, :WEEK] ** 2).reshape(7, 24).mean(axis=0))
    rows = np.arange(own.size)
    return earned[rows, own], earned[:, common], np.stack([own, np.full_like(own, common)]), doubt, n_later


def _later(test: EventLog, train: EventLog, audience: Audience, gap_us: int) -> np.ndarray:
    """Return later sessions per person of the training log and local hour of the week."""
    rows = session_starts(test.user, test.at, gap_us)
    hours = local_hours(test, audience, rows)
    user = train.users.codes(test.users.ids, missing="none")[test.user[rows]]
    keep = (hours >= 0) & (user >= 0)
    cells = np.bincount(user[keep].astype(np.int64) * WEEK + hours[keep], minlength=train.n_users * WEEK)
    return np.asarray(cells.reshape(train.n_users, WEEK), np.float64)
