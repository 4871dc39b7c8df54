"""Messages as a channel's model reads them: human responses, local hours and weights."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np

from omnireco._core.compute import in_parallel
from omnireco._core.units import HOUR_US, WEEK
from omnireco.data.audience import Audience
from omnireco.data.frames.dates import are_midnights
from omnireco.data.holidays import hour_of_week
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.vocabulary import NONE
from omnireco.errors import DataWarning
from omnireco.timing.activity import ActivityModel
from omnireco.timing.departures import Sent
from omnireco.timing.forgetting import recency

__all__ = ["ANSWERED", "BASIS", "basis_of", "sent_on", "warn_of_contradicted"]

BASIS = ("assumed", "activity", "answers", "randomised answers")
"""What the hours of a channel may rest on."""
_ASSUMED, _ACTIVITY, ANSWERED, _RANDOMISED = range(4)
_CHUNK = 1 << 16  # messages at a time: what is between the steps stays in the cache
_MIDNIGHTS = 10  # answers, all of them at midnight, that are dates
_ANSWERS = 10  # answers, with a local hour, from which hours are said to rest on them
_MOST = 0.05  # share of a channel's messages above which one person may hold too many of them
_TIMES = 4.0  # the mean number of messages a person, above which such a person counts for no more
_DEVIATIONS = 4.0  # by which there are fewer messages against the odds than their propensities say


def answers_are_dates(at: np.ndarray) -> bool:
    """Return whether instants of responses, of a channel, are dates: ten or more, and all midnight in one zone."""
    return at.size >= _MIDNIGHTS and are_midnights(at)


def sent_on(
    messages: MessageLog,
    rows: np.ndarray,
    back: np.ndarray,
    profile: ActivityModel,
    audience: Audience,
    expiry: int | None,
    threads: int | None = 1,
) -> Sent:
    """Return the messages of a channel on the clocks of their readers."""
    zone_of = np.append(audience.zone, np.int32(NONE))[audience.users.codes(messages.users.ids, missing="none")]
    code_of = profile.users.codes(messages.users.ids, missing="none")
    n = rows.size
    person, code, hour = np.empty(n, messages.user.dtype), np.empty(n, code_of.dtype), np.empty(n, np.int32)
    at, (delay, watched) = np.empty(n, np.int64), np.empty((2, n), np.int32)
    answered = back != NEVER

    def read(first: int, last: int) -> None:
        part = slice(first, last)
        person[part], at[part] = messages.user[rows[part]], messages.sent_at[rows[part]]
        code[part] = code_of[person[part]]
        hour[part] = hour_of_week(at[part], zone_of[person[part]], audience.zones, audience.holidays)
        begun = at[part] // HOUR_US
        delay[part] = np.where(answered[part], back[part] // HOUR_US - begun, 0)
        watched[part] = np.maximum(messages.end_us - 1 - at[part], 0) // HOUR_US + 1
        if expiry is not None:
            answered[part] &= delay[part] < expiry
            delay[part] *= answered[part]

    in_parallel([partial(read, first, min(first + _CHUNK, n)) for first in range(0, n, _CHUNK)], threads)
    if answers_are_dates(back[answered]):
        hour[:] = NONE
    recent = recency(at, hour, answered)
    weight = recent
    if messages.propensity is not None and n and not contradicted(messages.propensity[rows]):
        weight = recent * _weights(messages.propensity[rows], hour)
    weight = weight * _alike(person)
    age, watched = watched, watched if expiry is None else np.minimum(watched, expiry)
    return Sent(person, code, hour, answered, delay, watched, weight, recent, age)


def _alike(person: np.ndarray) -> np.ndarray | float:
    """Return the weight of each message by how many its reader has: everybody's hours are not those of one person."""
    count = np.bincount(person) if person.size else np.zeros(1)
    most = max(_TIMES * person.size / max(int((count > 0).sum()), 1), _MOST * person.size)
    if count.max() <= most:
        return 1.0
    return np.asarray(np.minimum(1.0, most / np.maximum(count, 1))[person])


def expected_against(chosen: np.ndarray) -> float:
    """Return how many messages must have been drawn against the odds, by those drawn with them."""
    with_odds = chosen[chosen > 0.5]
    return float(((1.0 - with_odds) / with_odds).sum())


def contradicted(chosen: np.ndarray) -> bool:
    """Return whether propensities, of what was chosen, cannot be those of the choices.

    Where an option of probability ``p > 1/2`` was drawn, others were drawn ``(1 - p) / p`` times as often, at odds
    below 1/2: their expected number is known without knowing the options.
    """
    known = chosen[np.isfinite(chosen)]
    against = (1.0 - known[known > 0.5]) / known[known > 0.5]
    variance = float(against.sum() + against @ against)
    return bool((known <= 0.5).sum() < against.sum() - _DEVIATIONS * np.sqrt(variance))


def _weights(chosen: np.ndarray, hour: np.ndarray) -> np.ndarray:
    """Return inverse propensities relative to their mean in each hour of sending, worth as many as they weigh.

    This removes the selection by the policy in each hour.
    """
    inverse = np.where(np.isfinite(chosen), 1.0 / chosen, 1.0)
    place = np.where(hour < 0, WEEK, hour)
    count = np.maximum(np.bincount(place, minlength=WEEK + 1), 1)
    mean = np.bincount(place, weights=inverse, minlength=WEEK + 1) / count
    weight = np.clip(inverse / mean[place], 0.1, 10.0)
    return np.asarray(weight * weight.sum() / (weight**2).sum())


def warn_of_contradicted(messages: MessageLog, rows: np.ndarray, channel: str) -> None:
    """Warn where propensities of a channel cannot be those of its messages."""
    if messages.propensity is not None and contradicted(messages.propensity[rows]):
        chosen = messages.propensity[rows]
        warnings.warn(
            f"SendTime: propensities on {channel!r} are not those of its messages: by those above 0.5, at least "
            f"{expected_against(chosen):,.0f} messages were drawn with 0.5 or less, and {(chosen <= 0.5).sum():,} are "
            "in the log. They are left out. Log the probability of what was drawn, as best(..., explore=) gives it, or "
            "drop the column: frame.drop(columns='propensity').",
            DataWarning,
            stacklevel=4,
        )


def basis_of(sent: Sent, messages: MessageLog, rows: np.ndarray, profile: ActivityModel) -> int:
    """Return what the hours of a channel rest on."""
    if int((sent.answered & (sent.hour >= 0)).sum()) < _ANSWERS:
        return _ACTIVITY if profile.history.any() else _ASSUMED
    if messages.propensity is None:
        return ANSWERED
    chosen = messages.propensity[rows]
    drawn = sent.answered & (sent.hour >= 0) & (chosen <= 0.5)  # answers that a sender who never draws had not got
    often = np.isfinite(chosen).all() and (chosen < 1.0).mean() >= 0.5
    if not often or int(drawn.sum()) < _ANSWERS or contradicted(chosen):
        return ANSWERED
    return _RANDOMISED
