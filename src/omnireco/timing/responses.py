"""Messages as a channel's model reads them: human responses, local hours and weights."""

from __future__ import annotations

from functools import partial

import numpy as np

from omnireco._core.compute import in_parallel
from omnireco._core.units import HOUR_US, WEEK
from omnireco.data.audience import Audience
from omnireco.data.frames.dates import are_midnights
from omnireco.data.holidays import hour_of_week
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.vocabulary import NONE
from omnireco.timing.activity import ActivityModel
from omnireco.timing.departures import Sent
from omnireco.timing.forgetting import recency

__all__ = ["ANSWERED", "BASIS", "basis_of", "sent_on"]

BASIS = ("assumed", "activity", "answers", "randomised answers")
"""What the hours of a channel may rest on."""
_ASSUMED, _ACTIVITY, ANSWERED, _RANDOMISED = range(4)
_CHUNK = 1 << 16  # messages at a time: what is between the steps stays in the cache
_MIDNIGHTS = 10  # answers, all of them at midnight, that are dates
_ANSWERS = 10  # answers, with a local hour, from which hours are said to rest on them


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
    if messages.propensity is not None and n:
        weight = recent * _weights(messages.propensity[rows], hour)
    age, watched = watched, watched if expiry is None else np.minimum(watched, expiry)
    return Sent(person, code, hour, answered, delay, watched, weight, recent, age)


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


def basis_of(sent: Sent, messages: MessageLog, rows: np.ndarray, profile: ActivityModel) -> int:
    """Return what the hours of a channel rest on."""
    if int((sent.answered & (sent.hour >= 0)).sum()) < _ANSWERS:
        return _ACTIVITY if profile.history.any() else _ASSUMED
    if messages.propensity is None:
        return ANSWERED
    chosen = messages.propensity[rows]
    return _RANDOMISED if np.isfinite(chosen).all() and (chosen < 1.0).any() else ANSWERED
