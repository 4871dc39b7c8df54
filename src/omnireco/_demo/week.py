"""When people can be reached, and one week of messages under every rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnireco._core.checks import check_duration, from_microseconds
from omnireco._core.units import DAY_US, HOUR_US, WEEK
from omnireco._demo.inputs import Inputs
from omnireco.data import Dataset, Recommendations
from omnireco.data.audience import Audience
from omnireco.data.clock import slots
from omnireco.data.messages import MessageLog
from omnireco.planning import Budget, Capacity, FrequencyCap, Plan, QuietHours, candidates, plan
from omnireco.timing import SendTime, SendTimeModel

__all__ = ["ALLOWED", "QUIET", "Hours", "Week", "in_words", "learn_hours", "plan_week", "why_no_hours", "why_no_plan"]

QUIET = (21, 8)
ALLOWED = np.array([QUIET[1] <= hour % 24 < QUIET[0] for hour in range(WEEK)])  # hours of the week in which to write
PER_PERSON = 2
EMAIL_COST = 0.02


@dataclass(frozen=True, slots=True)
class Hours:
    """Activity of people, and the response probability of messages by hour.

    Attributes
    ----------
    timing : SendTimeModel
    population : float64 array (168,)
    favourite : int64 array (n_people,)
        The local hour of the week in which each person is most active.
    examples : tuple of (str, float64 array (168,))
        A description of a person, and the response probability at each hour.
    channel : str
        The channel of those probabilities.
    assumed : float or None
        The response rate assumed, where the channel has no messages to learn it from.
    """

    timing: SendTimeModel
    population: np.ndarray
    favourite: np.ndarray
    examples: tuple[tuple[str, np.ndarray], ...]
    channel: str
    assumed: float | None

    @property
    def peak_share(self) -> float:
        """Return the share of people whose own best hour is that of all people together."""
        return float((self.favourite == int(self.population.argmax())).mean())


@dataclass(frozen=True, slots=True)
class Week:
    """A plan, and the rules it keeps."""

    plan: Plan
    channels: tuple[str, ...]
    rules: tuple[str, ...]
    start: str
    n_people: int


def why_no_hours(inputs: Inputs) -> str | None:
    """Return why local hours cannot be learned, or None where they can."""
    if not inputs.timed.timed.any():
        return "All events carry a date and no hour, so there are no hours to learn, no send times and no plan."
    if inputs.audience is None:
        return "There is no users file, so nobody's time zone is known: no local hours, no send times and no plan."
    if not (inputs.audience.zone >= 0).any():
        return "Nobody's time zone is known, so there are no local hours, no send times and no plan."
    if not np.isin(inputs.timed.users.ids, inputs.audience.users.ids).any():
        return "Nobody in the events is in the users file, so there are no local hours, no send times and no plan."
    return None


def why_no_plan(inputs: Inputs) -> str | None:
    """Return why nobody may be written to, or None where somebody may."""
    if (reason := why_no_hours(inputs)) is not None:
        return reason
    audience = inputs.audience
    if audience is None or not len(audience.channels):
        return (
            "The users file has no consent column, and without consent nobody is written to: no plan. "
            "Add columns consent_email, consent_push, ... of True and False."
        )
    if not audience.consent.any():
        return "Nobody has given consent on any channel, so nobody is written to: no plan."
    return None


def learn_hours(inputs: Inputs, audience: Audience) -> Hours:
    """Learn activity profiles on people's own clocks, and response probabilities by hour."""
    sent = _no_messages() if inputs.messages is None else inputs.messages
    timing = SendTime().fit(Dataset(inputs.timed, messages=sent, audience=audience))
    profile = timing.activity
    people = np.intersect1d(inputs.timed.users.ids, audience.users.ids)
    hours = profile.hour_of_week(people)
    channel = (*_channels(audience), "email")[0]
    examples = tuple(
        (words, timing.hour_probability([people[row]], channel)[0]) for words, row in _examples(inputs, people, hours)
    )
    assumed = None if channel in timing.channels else timing.base_rate
    return Hours(timing, profile.population, hours.argmax(axis=1), examples, channel, assumed)


def plan_week(inputs: Inputs, audience: Audience, recs: Recommendations, hours: Hours) -> Week:
    """Plan seven days of people's own calendars: at most two messages a person, on at most two channels."""
    channels = _channels(audience)
    # the first day that lies ahead in every time zone: in UTC+14 it begins 14 hours before that of UTC
    first = from_microseconds(-(-(inputs.log.end_us + 14 * HOUR_US) // DAY_US) * DAY_US).date()
    quiet = QuietHours(f"{QUIET[0]:02d}:00", f"{QUIET[1]:02d}:00")
    touches = candidates(
        recs,
        Dataset(inputs.log, messages=inputs.messages, audience=audience, catalog=inputs.catalog),
        hours.timing,
        slots(first, days=7, every="1h"),
        channels=channels,
        eligibility=[quiet],
    )
    limits = [FrequencyCap(PER_PERSON, per="7D"), *_limits(audience, channels)]
    found = plan(touches, constraints=limits)
    n_people = int(np.unique(touches.touches.user[found.reason == 0]).size)
    return Week(found, channels, _rules_in_words([*limits, *touches.implied]), f"{first:%A %d %B %Y}", n_people)


# steps ----------------------------------------------------------------------------------------------


def _channels(audience: Audience) -> tuple[str, ...]:
    """Return the two channels with most consents."""
    given = audience.consent.sum(axis=0)
    order = sorted(range(len(given)), key=lambda code: (-int(given[code]), code))
    return tuple(str(audience.channels.ids[code]) for code in order[:2] if given[code])


def _no_messages() -> MessageLog:
    """Return a log of messages in which there is none."""
    import pandas as pd

    nobody = pd.Series(dtype="int64")
    never = pd.Series(dtype="datetime64[us, UTC]")
    return MessageLog.from_frame(
        pd.DataFrame({"user_id": nobody, "channel": nobody.astype(str), "sent_at": never, "responded_at": never})
    )


def _limits(audience: Audience, channels: Sequence[str]) -> list[Budget | Capacity]:
    """Return a budget on the first channel and a capacity on the second, small enough to bind."""
    given = audience.consent.sum(axis=0)
    consent = {str(name): int(n) for name, n in zip(audience.channels.ids, given, strict=True)}
    total = EMAIL_COST * max(1, round(0.75 * consent[channels[0]]))
    limits: list[Budget | Capacity] = [Budget(channels[0], cost=EMAIL_COST, total=round(total, 2))]
    if len(channels) > 1:
        limits.append(Capacity(channels[1], per="1h", limit=max(1, math.ceil(consent[channels[1]] / 40))))
    return limits


def _rules_in_words(limits: Sequence[Any]) -> tuple[str, ...]:
    """Return the rules in plain words."""
    words = [
        "Only people who agreed to the channel, and can be reached there.",
        f"Nothing between {QUIET[0]}:00 and {QUIET[1]:02d}:00 on the person's own clock; "
        "nothing at all to people whose time zone is not known.",
        "An item is offered to a person once, on whichever channel and hour is best.",
    ]
    for rule in limits:
        if isinstance(rule, FrequencyCap):
            many = f"{rule.n} message{'' if rule.n == 1 else 's'}"
            words.append(f"At most {many} to a person in any {in_words(rule.per)}, over all channels together.")
        elif isinstance(rule, Budget):
            words.append(f"{rule.channel}: {rule.cost:.2f} a message, at most {rule.total:,.2f} in all.")
        elif isinstance(rule, Capacity):
            words.append(f"{rule.channel}: at most {rule.limit:,} messages in any hour.")
    return tuple(words)


def in_words(per: Any) -> str:
    """Return a duration in words: ``"7D"`` is 7 days, ``"4h"`` is 4 hours."""
    hours = check_duration(per, "per") / HOUR_US
    number, unit = (hours / 24, "day") if hours % 24 == 0 else (hours, "hour")
    return f"{number:g} {unit}{'' if number == 1 else 's'}"


def _examples(inputs: Inputs, people: np.ndarray, hours: np.ndarray) -> list[tuple[str, int]]:
    """Return three people worth showing, in words: never by their ids."""
    log = inputs.timed
    counts = np.bincount(log.user, minlength=log.n_users)[log.users.codes(people)]
    often = np.flatnonzero(counts >= np.quantile(counts, 0.75))
    peak = hours.max(axis=1)
    early = hours.reshape(-1, 7, 24)[:, :, 6:12].sum(axis=(1, 2))
    late = hours.reshape(-1, 7, 24)[:, :, 18:24].sum(axis=(1, 2))
    return [
        ("A person with regular habits", int(often[peak[often].argmax()])),
        ("A morning person", int(often[early[often].argmax()])),
        ("An evening person", int(often[late[often].argmax()])),
    ]
