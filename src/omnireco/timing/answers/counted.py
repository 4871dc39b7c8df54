"""What counts as an answer of a person to a message: any response, a click, or a purchase."""

from __future__ import annotations

import numpy as np

from omnireco._core.checks import shown
from omnireco._core.units import DAY_US
from omnireco.data.events import EventLog
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.vocabulary import match
from omnireco.errors import SchemaError
from omnireco.timing.machines import answers_of_people

__all__ = ["ANSWERS", "answers_by_kind"]

ANSWERS = ("auto", "responses", "clicks", "purchases")
_FLAGGED, _MOST = 0.5, 0.5  # share of a channel's responses that are bots', beyond which only clicks count
_WITHIN = 3 * DAY_US  # after its message, for a purchase to be credited to it


def answers_by_kind(messages: MessageLog, events: EventLog, answers: str) -> tuple[np.ndarray, int]:
    """Return when people answered, UTC microseconds (m,), and how many bot opens were left out; `NEVER` for nobody.

    Parameters
    ----------
    answers : {"auto", "responses", "clicks", "purchases"}
        ``"responses"``: the first response that is no bot's, or else the click. ``"auto"``: the same, but clicks alone
        on channels most of whose responses are bots', where the log keeps clicks. ``"purchases"``: the first event
        ``"purchase"`` of the person, credited to the last message before it, within three days.

    Raises
    ------
    SchemaError
        When the log has no ``clicked_at``, or the events no purchase.
    """
    at, n_machine = answers_of_people(messages)
    if answers == "responses" or (answers == "auto" and (messages.clicked_at is None or messages.machine is None)):
        return at, n_machine
    if answers == "purchases":
        return _purchases(messages, events), n_machine
    if messages.clicked_at is None:
        raise SchemaError(
            f"answers={shown(answers)}: the message log has no clicked_at. Add the column, or write "
            "SendTime(answers='responses')."
        )
    clicks = np.where(_flagged_click(messages), NEVER, messages.clicked_at)
    if answers == "clicks":
        return clicks, n_machine
    n = len(messages.channels)
    flagged = messages.responded & _is_flagged(messages)
    share = np.bincount(messages.channel, weights=flagged, minlength=n) / np.maximum(
        np.bincount(messages.channel, weights=messages.responded, minlength=n), 1.0
    )
    return np.where((share > _MOST)[messages.channel], clicks, at), n_machine


def _flagged_click(messages: MessageLog) -> np.ndarray:
    """Return which messages have a click that is itself flagged: nobody opened before it."""
    return np.asarray(_is_flagged(messages) & (messages.clicked_at == messages.responded_at))


def _is_flagged(messages: MessageLog) -> np.ndarray:
    """Return which responses the log calls a bot's."""
    if messages.machine is None:
        return np.zeros(len(messages), np.bool_)
    return np.asarray(messages.machine >= _FLAGGED)


def _purchases(messages: MessageLog, events: EventLog) -> np.ndarray:
    """Return the first purchase after each message and before the person's next one, within three days."""
    code = int(events.events.codes(["purchase"], missing="none")[0]) if len(events.events) else -1
    rows = np.flatnonzero(events.event == code)
    if code < 0 or not rows.size:
        raise SchemaError(
            "answers='purchases': no event of the log is called 'purchase'. Name them so, or write "
            "SendTime(answers='responses')."
        )
    found = np.full(len(messages), NEVER)
    user = match(messages.users, events.users, ("the message log", "the events"))[events.user[rows]]
    at = events.at[rows]
    known = (user >= 0) & (at < messages.end_us)
    user, at = user[known], at[known]
    order = np.lexsort([messages.sent_at, messages.user])
    sent_to, sent_at = messages.user[order].astype(np.int64), messages.sent_at[order]
    # of rows in order of (person, instant), messages before purchases of the same instant
    who = np.concatenate([sent_to, user])
    when = np.concatenate([sent_at, at])
    is_purchase = np.arange(when.size) >= order.size
    place = np.concatenate([order, np.full(user.size, -1)])
    together = np.lexsort([is_purchase, when, who])
    who, when, is_purchase, place = who[together], when[together], is_purchase[together], place[together]
    last = np.maximum.accumulate(np.where(is_purchase, -1, np.arange(who.size)))
    bought = np.flatnonzero(is_purchase & (last >= 0))
    before = last[bought]
    fits = (who[before] == who[bought]) & (when[bought] - when[before] <= _WITHIN)
    bought, before = bought[fits][::-1], before[fits][::-1]  # the first of several is written last
    found[place[before]] = when[bought]
    return found
