"""Messages as a channel's model reads them: human responses, local hours and weights."""

from __future__ import annotations

import numpy as np

from omnireco._core.units import HOUR_US, WEEK
from omnireco.data.audience import Audience
from omnireco.data.clock import hour_of_week
from omnireco.data.frames.dates import are_midnights
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.vocabulary import NONE
from omnireco.timing.activity import ActivityModel
from omnireco.timing.departures import Sent
from omnireco.timing.forgetting import recency

__all__ = ["ANSWERED", "BASIS", "basis_of", "sent_on"]

BASIS = ("assumed", "activity", "answers", "randomised answers")
"""What the hours of a channel may rest on."""
_ASSUMED, _ACTIVITY, ANSWERED, _RANDOMISED = range(4)
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
) -> Sent:
    """Return the messages of a channel on the clocks of their readers."""
    person, at = messages.user[rows], messages.sent_at[rows]
    zone_of = np.append(audience.zone, np.int32(NONE))[audience.users.codes(messages.users.ids, missing="none")]
    answered = back != NEVER
    delay = np.where(answered, np.where(answered, back, at) // HOUR_US - at // HOUR_US, 0)
    watched = np.maximum(messages.end_us - 1 - at, 0) // HOUR_US + 1
    if expiry is not None:
        answered, watched = answered & (delay < expiry), np.minimum(watched, expiry)
    code_of = profile.users.codes(messages.users.ids, missing="none")
    hour = hour_of_week(at, zone_of[person], audience.zones)
    if answers_are_dates(back[answered]):
        hour = np.full_like(hour, NONE)
    recent = recency(at, hour, answered)
    weight = _weights(messages.propensity, rows, hour) * recent
    return Sent(person, code_of[person], hour, answered, np.where(answered, delay, 0), watched, weight, recent)


def _weights(propensity: np.ndarray | None, rows: np.ndarray, hour: np.ndarray) -> np.ndarray:
    """Return inverse propensities relative to their mean in each hour of sending, worth as many as they weigh.

    This removes the selection by the policy in each hour.
    """
    if propensity is None or not rows.size:
        return np.ones(rows.size)
    chosen = propensity[rows]
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
