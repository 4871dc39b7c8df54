"""Splits that cannot cheat: by time, again and again; the last steps of everybody; some people whole.

What they promise: the two sides share no event; ``train`` only knows ids that occur in it; equal times never
fall on two sides of one cut, so that the order of rows in a file decides nothing; and a split has a
:func:`fingerprint`, by which two reports can be seen to be about the same one.
"""

from __future__ import annotations

import hashlib

import numpy as np

from omnireco._core.checks import check_duration, check_integer, check_number, from_microseconds
from omnireco._core.contract import says_the_line
from omnireco._core.random import stream
from omnireco.data.events import EventLog, Split, require_events, rows_of
from omnireco.data.interactions import Interactions
from omnireco.data.vocabulary import NONE
from omnireco.data.weights import person_steps
from omnireco.errors import EmptyError, ParameterError

__all__ = ["fingerprint", "leave_last", "split_people", "split_rolling"]


@says_the_line("om.data.split_rolling(log, horizon='14D', n=3, embargo='1D')")
def split_rolling(log: EventLog, *, horizon: str, n: int = 3, embargo: str | None = None) -> tuple[Split, ...]:
    """Cut a log several times, each test window right after its train, the last one at the end of the log.

    What happens once in a real service happens ``n`` times here: learn from all that was known, be measured on
    what came next. Later cuts know more; no test window overlaps another.

    Parameters
    ----------
    log : EventLog
        The events to cut, in windows of time.
    horizon : str or timedelta
        Length of each test window, such as ``"14D"``.
    n : int
        How many.
    embargo : str or timedelta, optional
        Time left out between train and test, when what is learned today serves only from tomorrow on.

    Returns
    -------
    tuple of Split
        In order of time.

    Raises
    ------
    EmptyError
        When a train or test side has no event.

    Examples
    --------
    >>> from omnireco.worlds.simulate import simulate
    >>> log = EventLog.from_frame(simulate(n_users=50, n_items=20, days=60, seed=1).events)
    >>> [len(train) + len(test) <= len(log) for train, test in split_rolling(log, horizon="10D", n=2)]
    [True, True]
    """
    require_events(log, "split_rolling")
    length, n = check_duration(horizon, "horizon"), check_integer(n, "n", low=1, high=1_000)
    pause = 0 if embargo is None else check_duration(embargo, "embargo")
    splits = []
    for back in range(n, 0, -1):
        cut = log.end_us - back * length
        train = log.before(from_microseconds(cut - pause))
        test = log.between(from_microseconds(cut), from_microseconds(cut + length))
        if not len(train) or not len(test):
            side = "before" if not len(train) else "in the window after"
            raise EmptyError(
                f"split_rolling: no event lies {side} {from_microseconds(cut).isoformat()}, cut {n - back + 1} of {n}. "
                "Take a shorter horizon or fewer cuts."
            )
        splits.append(Split(train, test))
    return tuple(splits)


def leave_last(log: EventLog, *, steps: int = 1, skip: int = 0) -> Split:
    """Take the last steps of every person as the test, and what they did before as the train.

    The split of next-item tables. It is not a cut in time: what one person did last may lie before what
    another did first, so a model learns from the future of others. Use :meth:`EventLog.split` to say how a
    service would have done.

    Parameters
    ----------
    log : EventLog
        Events without an item stay in the train while they lie before the person's test.
    steps : int
        Steps per person in the test. A step is a distinct instant of the person: what was done at the same
        instant stays together, so ties cannot be broken.
    skip : int
        Steps left out after the test: ``steps=1, skip=1`` tests on the last but one, to choose parameters on.

    Returns
    -------
    Split
        People with too few steps to keep one for the train are in the train only, with all they did.

    Raises
    ------
    EmptyError
        When nobody has enough steps.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"user_id": [1, 1, 1, 2], "item_id": list("abca"), "channel": "web", "event": "view",
    ...                       "timestamp": pd.date_range("2025-05-01", periods=4, tz="UTC")})
    >>> train, test = leave_last(EventLog.from_frame(frame))
    >>> test.to_frame()["item_id"].tolist()
    ['c']
    """
    require_events(log, "leave_last")
    steps, skip = check_integer(steps, "steps", low=1), check_integer(skip, "skip", low=0)
    with_item = np.flatnonzero(log.item != NONE)
    step, last = person_steps(log.user[with_item], log.at[with_item])
    far = np.iinfo(np.int64).max
    start, stop = np.full(log.n_users, far), np.full(log.n_users, far)  # when each person's test begins and ends
    enough = last + 1 > steps + skip
    for edge, back in ((start, steps + skip - 1), (stop, skip - 1)):
        here = enough & (last - step == back)
        edge[log.user[with_item][here]] = log.at[with_item][here]
    if not enough.any():
        raise EmptyError(
            f"leave_last: none of {log.n_users:,} people has more than {steps + skip} steps. Take fewer steps, or keep "
            "people with longer histories."
        )
    before, inside = log.at < start[log.user], (log.at >= start[log.user]) & (log.at < stop[log.user])
    inside &= log.item != NONE
    return Split(_part(log, before), _part(log, inside))


def split_people(log: EventLog, *, share: float, seed: int = 0) -> Split:
    """Put some people wholly into the test, to see how a model serves those it has never met.

    Parameters
    ----------
    log : EventLog
        The events to divide, whole histories person by person.
    share : float
        Part of the people in the test, between 0 and 1.
    seed : int
        Of the draw, which depends on nothing but the ids: a person stays on their side when others come or go.

    Returns
    -------
    Split
        Hold out some of each test person's events as their truth with :func:`leave_last` or ``test.split(at)``.

    Raises
    ------
    EmptyError
        When one side is empty.

    Examples
    --------
    >>> from omnireco.worlds.simulate import simulate
    >>> log = EventLog.from_frame(simulate(n_users=50, n_items=20, seed=1).events)
    >>> train, test = split_people(log, share=0.2, seed=7)
    >>> len(train) + len(test) == len(log)
    True
    """
    require_events(log, "split_people")
    share, seed = check_number(share, "share", above=0), check_integer(seed, "seed", low=0)
    if share >= 1:
        raise ParameterError(f"share must be between 0 and 1. Got {share:g}. Write share=0.2.")
    salt = stream(seed, "splits/people").bytes(16)
    drawn = np.array([_unit(salt, person) for person in log.users.ids])
    aside = (drawn < share)[log.user]
    if aside.all() or not aside.any():
        raise EmptyError(
            f"split_people: a share of {share:g} of {log.n_users:,} people leaves one side empty. Change share or seed."
        )
    return Split(_part(log, ~aside), _part(log, aside))


def fingerprint(*parts: EventLog | Interactions) -> str:
    """Return 16 hexadecimal digits that say which data this is: equal for equal parts, whoever made them.

    Print it beside every number, so that two numbers can be seen to be from the same split.

    Parameters
    ----------
    *parts : EventLog or Interactions
        Usually ``fingerprint(train, test)`` or ``fingerprint(*split)``.

    Notes
    -----
    SHA-256 over ids, codes, times and values in their sorted order; reveals no id. O(events).

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"user_id": [1, 2], "item_id": ["a", "b"]})
    >>> x, y = (Interactions.from_frame(part) for part in (frame, frame.iloc[::-1]))
    >>> fingerprint(x) == fingerprint(y)
    True
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, EventLog):
            vocabularies = [part.users, part.items, part.channels, part.events]
            arrays = [part.user, part.item, part.channel, part.event, part.at, part.value]
        elif isinstance(part, Interactions):
            vocabularies = [part.users, part.items]
            arrays = [part.csr.indptr.astype(np.int64), part.csr.indices.astype(np.int32), part.csr.data]
            arrays += [] if part.targets is None else [part.targets.data]
        else:
            raise ParameterError(f"fingerprint takes EventLog or Interactions. Got {type(part).__name__}.")
        digest.update(type(part).__name__.encode())
        for vocabulary in vocabularies:
            digest.update(vocabulary.fingerprint.encode())
        for array in arrays:
            digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _part(log: EventLog, keep: np.ndarray) -> EventLog:
    return rows_of(log, np.flatnonzero(keep))


def _unit(salt: bytes, person: object) -> float:
    """Return a number in [0, 1) that belongs to an id under a salt."""
    text = str(person).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, key=salt, digest_size=8).digest(), "big") / 2.0**64
