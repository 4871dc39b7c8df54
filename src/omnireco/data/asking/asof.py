"""Point-in-time features: counts of the past as of an instant, strictly before it.

A feature of a request at time t may use only what happened before t. Every result here is a sum over events with
``at < t``, strictly, so neither the event to be predicted nor the rest of its basket can leak into it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from omnireco._core.checks import check_duration
from omnireco._core.compute import compiled, pays
from omnireco._kernels.log.cells import Coded
from omnireco.data.events import EventLog
from omnireco.data.interactions import Interactions
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.data.weights import Weights, event_weights, person_steps
from omnireco.errors import ParameterError

__all__ = ["AsOf", "histories_at"]

_LONG = 20_000  # events of one key from which compiled code pays


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AsOf:
    """Decayed sums per key of a log's events, for look-up as of any instant.

    Parameters
    ----------
    clock : ndarray of shape (n_log,), int64
        Times of all events of the log, ascending; positions in it stand for times.
    keys : ndarray of shape (n_keys,), int64, sorted
    place : ndarray of shape (n,), int64, sorted
        ``key number * (n_log + 1) + event number`` of the events that count.
    at : ndarray of shape (n,), int64
    number : ndarray of shape (n,), int64
        How many events of the key there are up to and with each.
    total : ndarray of shape (n, h), float64
        Decayed weight of the key just after each event.
    half_lives : ndarray of shape (h,), float64
        Microseconds; infinity for plain sums.
    """

    clock: np.ndarray
    keys: np.ndarray
    place: np.ndarray
    at: np.ndarray
    number: np.ndarray
    total: np.ndarray
    half_lives: np.ndarray

    @classmethod
    def of(
        cls,
        clock: np.ndarray,
        rows: np.ndarray,
        key: np.ndarray,
        half_lives: Sequence[float],
        weight: np.ndarray | None = None,
    ) -> AsOf:
        """Sum events by key.

        Parameters
        ----------
        clock : ndarray of shape (n_log,), int64
            Times of a log, ascending.
        rows : ndarray of shape (n,), int64
            Events of the log that are summed.
        key : ndarray of shape (n,), int64
            The key of each.
        half_lives : sequence of float
        weight : ndarray of shape (n,), optional
            1 each by default.
        """
        keys, number = np.unique(key, return_inverse=True)
        place = number.astype(np.int64) * (clock.size + 1) + rows
        order = np.argsort(place)
        at = clock[rows[order]]
        first = np.r_[True, np.diff(number[order]) != 0][: order.size]
        begin = np.flatnonzero(first)
        count = np.arange(1, order.size + 1) - np.repeat(begin, np.diff(np.r_[begin, order.size]))
        amount = np.ones(order.size) if weight is None else np.asarray(weight, np.float64)[order]
        lives = np.asarray(half_lives, np.float64)
        total = np.empty((order.size, lives.size))
        if order.size:
            since = np.where(first, 0, np.diff(at, prepend=at[0]))
            kept = np.exp2(-since[:, None] / lives)
            if pays(int(count.max()), _LONG):
                _accumulate(first, kept, amount, total)
            else:
                _accumulate_together(count, kept, amount, total)
        return cls(clock, keys, place[order], at, count, total, lives)

    def ask(self, key: np.ndarray, at_us: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (count, age, sums) of each key strictly before an instant.

        Parameters
        ----------
        key, at_us : ndarray of shape (q,), int64
            A key below 0 has no events.

        Returns
        -------
        count : ndarray of shape (q,), int64
        age : ndarray of shape (q,), float64
            Microseconds since the last event; infinity where there is none.
        sums : ndarray of shape (q, h), float64
            Decayed to that instant.
        """
        count, age = np.zeros(key.size, np.int64), np.full(key.size, np.inf)
        sums = np.zeros((key.size, self.half_lives.size))
        if not self.keys.size or not key.size:
            return count, age, sums
        number = np.minimum(np.searchsorted(self.keys, key), self.keys.size - 1)
        known = np.flatnonzero((self.keys[number] == key) & (key >= 0))
        start = number[known].astype(np.int64) * (self.clock.size + 1)
        last = np.searchsorted(self.place, start + np.searchsorted(self.clock, at_us[known])) - 1
        found = (last >= 0) & (self.place[np.maximum(last, 0)] >= start)
        known, last = known[found], last[found]
        count[known] = self.number[last]
        age[known] = at_us[known] - self.at[last]
        sums[known] = self.total[last] * np.exp2(-age[known, None] / self.half_lives)
        return count, age, sums


@compiled
def _accumulate(first: np.ndarray, kept: np.ndarray, amount: np.ndarray, total: np.ndarray) -> None:
    """Fill total (n, h): a running sum of amount (n,) that restarts where ``first``, of which ``kept`` (n, h) stays."""
    for i in range(first.size):
        for h in range(kept.shape[1]):
            before = 0.0 if first[i] else total[i - 1, h] * kept[i, h]
            total[i, h] = before + amount[i]


def _accumulate_together(count: np.ndarray, kept: np.ndarray, amount: np.ndarray, total: np.ndarray) -> None:
    """Do what :func:`_accumulate` does, to the bit: the events that are the nth of their key, all keys side by side."""
    order = np.argsort(count, kind="stable")
    edges = np.flatnonzero(np.diff(count[order], prepend=0, append=0))
    total[:] = amount[:, None]
    for start, stop in itertools.pairwise(edges[1:]):
        rows = order[start:stop]
        total[rows] += total[rows - 1] * kept[rows]


def histories_at(
    log: EventLog, weights: Weights, user: np.ndarray, at_us: np.ndarray, *, layers: bool = False
) -> Interactions:
    """Return one history per request: the events of its person strictly before its instant.

    Parameters
    ----------
    log : EventLog
    weights : Weights
        Decay is measured to each request's own instant.
    user : ndarray of shape (q,), int32
        Codes into ``log.users``; -1 for somebody without a past.
    at_us : ndarray of shape (q,), int64
    layers : bool
        Whether to keep one layer per channel.

    Returns
    -------
    Interactions
        Row r belongs to request r; its ``users`` are the numbers 0 to q - 1.
    """
    if weights.targets is not None:
        raise ParameterError(
            "histories as of an instant cannot be made with Weights(targets=...): a later verdict would replace what "
            "was known then. Leave targets out; give dislikes by dislikes=."
        )
    order = np.lexsort([np.arange(len(log)), log.user])
    n = len(log) + 1
    place = log.user[order].astype(np.int64) * n + order
    begin = np.searchsorted(place, np.maximum(user, 0).astype(np.int64) * n)
    stop = np.searchsorted(place, np.maximum(user, 0).astype(np.int64) * n + np.searchsorted(log.at, at_us))
    length = np.where(user >= 0, stop - begin, 0)
    request = np.repeat(np.arange(user.size), length)
    event = order[np.repeat(begin - (np.cumsum(length) - length), length) + np.arange(request.size)]
    base = event_weights(log, replace(weights, half_life=None, step_half_life=None), log.end_us)
    amount = base[event]
    keep = (amount != 0) & (log.item[event] != NONE)
    request, event, amount = request[keep], event[keep], amount[keep]
    if weights.half_life is not None:
        amount = amount * np.exp2(-(at_us[request] - log.at[event]) / check_duration(weights.half_life, "half_life"))
    if weights.step_half_life is not None and event.size:
        step, last = person_steps(request, log.at[event])
        amount = amount * np.exp2(-(last - step) / weights.step_half_life)
    return Interactions.from_cells(
        Vocabulary(np.arange(user.size, dtype=np.int64)),
        log.items,
        Coded(request, log.item[event], log.channel[event] if layers else None, amount),
        channels=log.channels if layers else None,
        cap=weights.cap,
        binary=weights.binary,
    )
