"""From prices to a whole plan, where people are many: the surest touches first, then what still fits, then a core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.compute import in_parallel, split_evenly
from omnireco._kernels.packing.people import Own, People
from omnireco._kernels.packing.people_loops import margin_loop
from omnireco._kernels.packing.person_loops import person_loop, take_loop
from omnireco._kernels.packing.problem import Bools, Floats, Integers

__all__ = ["Nearly", "nearly", "rounded"]

_CHUNKS = 8
_NO_CODES = np.empty(0, np.int64)
_NOTHING = Own(_NO_CODES, _NO_CODES, np.empty(0), _NO_CODES, np.empty(0), _NO_CODES, _NO_CODES)


class Nearly(NamedTuple):
    """The touches that people take at some prices or nearly take: which, whose, by how much, and whether taken."""

    touch: Integers
    owner: Integers
    margin: Floats
    taken: Bools


def nearly(people: People, price: Floats, near: float, threads: int | None) -> Nearly:
    """Return the touches that are taken, and those left by less than ``near``."""
    padded = np.append(price, 0.0)
    parts = split_evenly(people.cap.size, _CHUNKS)
    size = [int(people.start[part.stop] - people.start[part.start]) for part in parts]
    out = [(np.empty(n, np.int64), np.empty(n), np.empty(n, np.bool_)) for n in size]
    work: list[Callable[[], int]] = [
        _bound(part, people, padded, near, found) for part, found in zip(parts, out, strict=True)
    ]
    count = in_parallel(work, threads)
    touch, margin, taken = (
        np.concatenate([found[i][:n] for found, n in zip(out, count, strict=True)]) for i in range(3)
    )
    owner = np.searchsorted(people.start, touch, side="right") - 1
    return Nearly(touch, owner, margin, taken)


def _bound(part: slice, people: People, price: Floats, near: float, out: Any) -> Callable[[], int]:
    """Return the pass over one chunk as a function without arguments."""
    touch, margin, taken = out

    def run() -> int:
        if people.own is None:
            return int(margin_loop(part.start, part.stop, *people[:5], price, near, touch, margin, taken))
        used, bend, count = np.zeros(price.size), np.zeros((0, 0)), np.zeros(1, np.int64)
        person_loop(
            part.start, part.stop, *people[:5], *people.own, price, used, bend, 1.0, near, touch, margin, taken, count
        )
        return int(count[0])

    return run


def rounded(people: People, found: Nearly, limit: Floats, over: Floats) -> tuple[Bools, Floats, Integers]:
    """Return a plan that keeps every limit, the room that it leaves in each row, and each person's spare touches.

    Those taken by the greatest margin first: who would lose little by another touch gives way. Then the touches left,
    the nearest first, while they fit.
    """
    chosen = np.zeros(people.value.size, np.bool_)
    room = np.append(limit + over, np.inf)
    spare = np.minimum(people.cap, np.diff(people.start)).astype(np.int64)
    own = _NOTHING if people.own is None else people.own
    left = own.limit.copy()
    offer = np.full(0 if people.own is None else people.cap.size, -1, np.int64)
    for mine in (found.taken, ~found.taken & (people.value[found.touch] > 0)):
        at = np.flatnonzero(mine)
        at = at[np.argsort(-found.margin[at], kind="stable")]
        now = (found.touch[at], found.owner[at], people.row, people.weight, room, spare, chosen)
        take_loop(*now, own.start, own.row, own.weight, own.first, left, own.option, offer)
    return chosen, room[:-1], spare
