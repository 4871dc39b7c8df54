"""Purchases of people: which events they are, and those before an instant."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from omnireco._core.checks import check_known
from omnireco.data.asking.histories import events_of_few, people_asking
from omnireco.data.asking.requests import Requests
from omnireco.data.events import EventLog, require_events
from omnireco.data.vocabulary import NONE, Vocabulary

__all__ = ["purchases", "purchases_before"]


def purchases(log: EventLog, events: Iterable[str] | None, verb: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return user, item and time of each purchase, in order of time."""
    require_events(log, verb)
    rows = log.item != NONE
    if events is not None:
        wanted = check_known(events, log.events.ids, f"{verb}: events", missing=None)
        rows = rows & np.isin(log.event, log.events.codes(wanted))
    kept = np.flatnonzero(rows)
    return log.user[kept], log.item[kept], np.take(log.at, kept)


def purchases_before(
    requests: Requests, items: Vocabulary, events: Iterable[str] | None, verb: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return request, item (code in ``items``) and time of each purchase strictly before its request, in their order.

    Items that are not in ``items`` are left out.
    """
    log, person = people_asking(requests, verb)
    part, code = events_of_few(log, person)
    if len(part):  # without an event of theirs the whole log says whether the names are known
        log, person = part, code
    user, item, at = purchases(log, events, verb)
    item = np.append(items.codes(log.items.ids, missing="none"), NONE)[item]
    held = item != NONE
    user, item, at = user[held], item[held], at[held]
    order = np.argsort(user, kind="stable")  # rows are in order of time
    user, item, at = user[order], item[order], at[order]
    start, stop = (np.searchsorted(user, np.maximum(person, 0), side=side) for side in ("left", "right"))
    length = np.where(person == NONE, 0, stop - start)
    request = np.repeat(np.arange(person.size), length)
    place = np.repeat(start, length) + np.arange(request.size) - np.repeat(np.cumsum(length) - length, length)
    known = at[place] < requests.at[request]
    return request[known], item[place[known]], at[place[known]]
