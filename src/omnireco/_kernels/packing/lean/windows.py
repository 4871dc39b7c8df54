"""Rows of single people that count messages: in windows of time, of one item, or over the whole plan.

They are made person by person from what the touches say, and kept as a few small numbers a touch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.compute import in_parallel, split_evenly
from omnireco._kernels.packing.lean.window_loops import hash_people_loop, rows_loop, size_loop
from omnireco._kernels.packing.order import Hashes
from omnireco._kernels.packing.people import Own
from omnireco._kernels.packing.problem import Integers

__all__ = ["Window", "Windows", "hashed_people", "own_rows", "windows_of"]

_CHUNKS = 32
_NONE = np.empty(0, np.int64)


class Window(NamedTuple):
    """One rule: of the touches of a person with the same key, at most ``most`` in any ``length`` of time.

    ``key`` is an int32 array, shape (n,), below 0 for a touch that does not count; None for one key of all. ``length``
    is in the unit of the instants, and below 0 for the whole plan. ``past_user`` and ``past_at`` are messages of the
    past that count as those of key 0.
    """

    key: np.ndarray | None
    most: int | Integers
    length: int = -1
    past_user: np.ndarray = _NONE
    past_at: np.ndarray = _NONE


class Windows(NamedTuple):
    """Several rules side by side, for the compiled passes; the events of the past stand person by person.

    ``most`` has shape (rules, 1), or (rules, n_users) where it differs between people; ``past`` (rules, n_users + 1),
    or (0, 0) for no past.
    """

    at: np.ndarray
    key: np.ndarray
    which: Integers
    most: Integers
    length: Integers
    past: np.ndarray
    past_at: np.ndarray


def windows_of(at: np.ndarray, rules: Sequence[Window], n_users: int) -> Windows:
    """Return rules side by side; one key alone is not copied."""
    keys: list[np.ndarray] = []
    which = np.full(len(rules), -1, np.int64)
    for i, rule in enumerate(rules):
        if rule.key is not None:
            which[i] = len(keys)
            keys.append(np.asarray(rule.key, np.int32))
    key = keys[0][None, :] if len(keys) == 1 else np.array(keys, np.int32).reshape(len(keys), len(at))
    wide = max((np.size(rule.most) for rule in rules), default=1)
    most = np.array([np.broadcast_to(rule.most, wide) for rule in rules], np.int64).reshape(len(rules), wide)
    past, past_at, n = np.zeros((0, 0), np.int64), [np.empty(0, np.int64)], 0
    if any(rule.past_user.size for rule in rules):
        past = np.zeros((len(rules), n_users + 1), np.int64)
        for i, rule in enumerate(rules):
            order = np.lexsort((rule.past_at, rule.past_user))
            count = np.bincount(rule.past_user, minlength=n_users)
            past[i] = n + np.concatenate([[0], np.cumsum(count)])
            past_at.append(np.asarray(rule.past_at, np.int64)[order])
            n += order.size
    length = np.array([rule.length for rule in rules], np.int64)
    return Windows(np.asarray(at, np.int64), np.ascontiguousarray(key), which, most, length, past,
                   np.concatenate(past_at))  # fmt: skip


def hashed_people(
    windows: Windows, start: np.ndarray, order: np.ndarray, user: Integers, hashes: Hashes, person: Hashes,
    threads: int | None,
) -> None:  # fmt: skip
    """Let the hashes of touches and people know their rows; the touches of ``user[i]`` are from ``start[i]`` on."""
    _over_people(hash_people_loop, user.size, threads, start, order, user, *windows, hashes, person)


def own_rows(windows: Windows, start: np.ndarray, order: np.ndarray, user: Integers, threads: int | None) -> Own | None:
    """Return the rows of people whose touches stand in ``order``; None where nobody has one."""
    size, rows = np.zeros(order.size, np.int32), np.zeros(user.size, np.int64)
    _over_people(size_loop, user.size, threads, start, order, user, *windows, size, rows)
    if not rows.any():
        return None
    total = int(size.sum(dtype=np.int64))
    entry = np.zeros(order.size + 1, np.int32 if total < np.iinfo(np.int32).max else np.int64)
    np.cumsum(size, out=entry[1:])
    del size
    first = np.concatenate([[0], np.cumsum(rows)])
    kind = np.int16 if int(rows.max()) < np.iinfo(np.int16).max else np.int32
    row, cover, limit = np.empty(total, kind), np.full(order.size, -1, kind), np.empty(int(first[-1]))
    _over_people(rows_loop, user.size, threads, start, order, user, *windows, entry, first, row, cover, limit)
    return Own(entry, row, np.empty(0), first, limit, _NONE, cover)


def _over_people(loop: Any, n: int, threads: int | None, *fixed: Any) -> None:
    in_parallel([partial(loop, part.start, part.stop, *fixed) for part in split_evenly(n, _CHUNKS)], threads)
