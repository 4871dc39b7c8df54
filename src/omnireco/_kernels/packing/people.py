"""Prices of shared rows, with the touches of each person chosen exactly inside: a Newton method on the dual.

L(p) = sum over people of the best of their touches at prices p, + p.limit, is convex and has a kink wherever a person
changes their mind. Where people are many, how use bends with prices is a density: of those whose last touch taken and
first touch left are nearly equal. One pass gives L, its slope, and this matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from omnireco._core.compute import in_parallel, split_evenly
from omnireco._kernels.packing.people_loops import best_loop
from omnireco._kernels.packing.person_loops import person_loop
from omnireco._kernels.packing.problem import Floats, Integers

__all__ = [
    "Descent",
    "Own",
    "Passed",
    "People",
    "descended",
    "entries_of",
    "newton_prices",
    "pass_over",
    "sample_of",
    "stretches",
]

_CHUNKS = 8  # sums are taken by chunk and then over chunks, whatever the threads
_SAMPLE = 30_000  # people on whom prices are found first
_PASSES = (80, 40)  # most passes over the sample, and over everybody
_ENOUGH = (
    1e-6,
    1e-7,
)  # a fall of the bound, as a share of itself, that ends the search on the sample, and on everybody
_WIDE, _NARROW = 0.5, 0.05  # bands to begin with, in mean values: from nothing, and from prices that are known
_CROWD = 10.0  # people near a change of mind per row, below which the band is not narrowed
_SHORTEST = 0.02  # of a Newton step


class Own(NamedTuple):
    """Rows and offers of single people: entries of touch a are ``start[a]`` to ``start[a + 1]``.

    Rows are numbered from 0 within each person; the limits of person u are ``limit[first[u]]`` to
    ``limit[first[u + 1]]``. ``weight`` has shape (0,) where all are 1.
    ``option`` is the offer of each touch (-1: none), of which a person gets one; shape (0,) where there are none.
    ``cover`` is a row of each touch of which one touch is allowed (-1: none).
    """

    start: np.ndarray
    row: np.ndarray
    weight: Floats
    first: Integers
    limit: Floats
    option: Integers
    cover: np.ndarray


class People(NamedTuple):
    """Touches person by person: those of person u are ``start[u]`` to ``start[u + 1]``.

    ``row`` has the shared rows of each touch, shape (n, width), and the number of rows where there is none; ``weight``
    their weights, or shape (0, width) where all are 1; ``cap`` is how many touches a person may have, and ``own``
    what else
    holds within single people.
    """

    start: Integers
    value: Floats
    row: np.ndarray
    weight: Floats
    cap: Integers
    own: Own | None = None


class Passed(NamedTuple):
    """What one pass over everybody finds at some prices."""

    height: float
    used: Floats
    bend: Floats
    crowd: float


def pass_over(people: People, price: Floats, limit: Floats, least: Floats, band: float, threads: int | None) -> Passed:
    """Return L(price), the use of each row, and how it bends (nothing for a band of 0)."""
    rows = limit.size
    padded = np.append(price, 0.0)
    parts = split_evenly(people.cap.size, _CHUNKS)
    used = np.zeros((len(parts), rows + 1))
    bend = np.zeros((len(parts), rows + 1, rows + 1) if band > 0 else (len(parts), 0, 0))
    work: list[Callable[[], float]] = [
        _bound(part, people, padded, used[i], bend[i], band) for i, part in enumerate(parts)
    ]
    worth = sum(in_parallel(work, threads))
    use, curve = used.sum(axis=0)[:rows], bend.sum(axis=0)[:rows, :rows]
    paid = float(price[price > 0] @ limit[price > 0] + price[price < 0] @ least[price < 0])
    return Passed(worth + paid, use, curve, float(np.trace(curve)) * band if band > 0 else 0.0)


def _bound(part: slice, people: People, price: Floats, used: Floats, bend: Floats, band: float) -> Callable[[], float]:
    """Return the pass over one chunk as a function without arguments."""
    none = (np.empty(0, np.int64), np.empty(0), np.empty(0, np.bool_), np.zeros(1, np.int64))

    def run() -> float:
        if people.own is None:
            return float(best_loop(part.start, part.stop, *people[:5], price, used, bend, band))
        return float(person_loop(part.start, part.stop, *people[:5], *people.own, price, used, bend, band, 0.0, *none))

    return run


def sample_of(people: People, size: int) -> tuple[People, float]:
    """Return every so-many-th person, and which share of all they are."""
    step = max(1, people.cap.size // size)
    if step == 1:
        return people, 1.0
    chosen = np.arange(0, people.cap.size, step)
    length = people.start[chosen + 1] - people.start[chosen]
    start = np.concatenate([[0], np.cumsum(length)])
    touch = np.arange(start[-1]) + np.repeat(people.start[chosen] - start[:-1], length)
    weight = people.weight[touch] if people.weight.shape[0] else people.weight
    return (
        People(
            start,
            people.value[touch],
            people.row[touch],
            weight,
            people.cap[chosen],
            _own_of(people.own, touch, chosen),
        ),
        chosen.size / people.cap.size,
    )


def _own_of(own: Own | None, touch: Integers, people: Integers) -> Own | None:
    """Return the rows of some people."""
    if own is None:
        return None
    start, entry = stretches(own.start, touch)
    first, row = stretches(own.first, people)
    option = own.option[touch] if own.option.size else own.option
    weight = own.weight[entry] if own.weight.size else own.weight
    return Own(start, own.row[entry], weight, first, own.limit[row], option, own.cover[touch])


def entries_of(people: People, touch: Integers) -> tuple[Integers, Integers]:
    """Return which of some touches (their place among them) is in which row of single people, numbered through."""
    own = people.own
    if own is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    place, entry = stretches(own.start, touch)
    owner = np.searchsorted(people.start, touch, side="right") - 1
    size = np.diff(place)
    return np.repeat(np.arange(touch.size), size), np.repeat(own.first[owner], size) + own.row[entry]


def stretches(start: np.ndarray, chosen: Integers) -> tuple[Integers, Integers]:
    """Return where some stretches start when they stand side by side, and the positions that are in them."""
    size = (start[chosen + 1] - start[chosen]).astype(np.int64)
    place = np.concatenate([[0], np.cumsum(size)])
    return place, np.arange(place[-1]) + np.repeat(start[chosen] - place[:-1], size)


def newton_prices(
    people: People, limit: Floats, least: Floats, start: Floats | None = None, threads: int | None = None
) -> tuple[Floats, Floats]:
    """Return prices that make L nearly as low as it gets, and how use bends there.

    First on a sample of people under limits in proportion, unless ``start`` is given, then on everybody.
    """
    price = np.zeros(limit.size) if start is None else start
    if not limit.size:
        return price, np.zeros((0, 0))
    few, share = sample_of(people, _SAMPLE)
    band = (_WIDE if start is None else _NARROW) * float(
        np.abs(people.value[:: max(1, people.value.size // 100_000)]).mean()
    )
    if share < 1.0 and start is None:
        some, floor = limit * share, least * share
        found = descended(
            lambda at, width: pass_over(few, at, some, floor, width, threads),
            *(some, floor, price, band),
            passes=_PASSES[0],
            enough=_ENOUGH[0],
        )
        price, band = found.price, found.band
    found = descended(
        lambda at, width: pass_over(people, at, limit, least, width, threads),
        *(limit, least, price, band),
        passes=_PASSES[1 if share < 1.0 else 0],
        enough=_ENOUGH[1],
    )
    return found.price, found.now.bend


class Descent(NamedTuple):
    """The prices found, what people do at them, the band in which that was summed, and how many passes it took."""

    price: Floats
    now: Passed
    band: float
    passes: int


def descended(
    run: Callable[[Floats, float], Passed],
    limit: Floats,
    least: Floats,
    price: Floats,
    band: float,
    *,
    passes: int,
    enough: float,
) -> Descent:
    """Return prices that make L nearly as low as it gets, by damped Newton steps.

    ``run(price, band)`` is a pass over everybody: here, or in the parts of a cluster.
    """
    now = run(price, band)
    damping, still, count = 1e-3, 0, 1
    while count < passes and still < 2:
        step = _newton_step(now, price, limit, least, damping)
        length, better = 1.0, None
        while better is None and count < passes and length > _SHORTEST:
            trial = _on_its_side(price, price + length * step, limit, least, now.used)
            if (trial == price).all():
                return Descent(price, now, band, count)
            found = run(trial, band)
            count += 1
            if found.height < now.height:
                better = found
            else:
                length *= 0.3
        if better is None:
            if damping > 1e3:
                break
            damping *= 30.0
            still += 1 if damping > 1.0 else 0
            continue
        still = still + 1 if now.height - better.height <= enough * abs(now.height) else 0
        damping = max(damping * 0.3, 1e-6) if length == 1.0 else min(damping * 5.0, 1e3)
        if length == 1.0 and better.crowd > _CROWD * limit.size:
            band *= 0.7
        price, now = trial, better
    return Descent(price, now, band, count)


def _newton_step(now: Passed, price: Floats, limit: Floats, least: Floats, damping: float) -> Floats:
    """Return the step of the rows that are free to move."""
    up, down = limit - now.used, least - now.used  # slopes of L above and below a price of 0
    slope = np.where(
        price > 0, up, np.where(price < 0, down, np.where(up < 0, up, np.where(least > 0, np.maximum(down, 0.0), 0.0)))
    )
    slope = np.where(np.isfinite(slope), slope, 0.0)
    free = np.flatnonzero((price != 0) | (slope != 0))
    step = np.zeros(price.size)
    if free.size == 0:
        return step
    bend = now.bend[np.ix_(free, free)]
    own = np.diag(bend)
    usual = float(np.median(own[own > 0])) if (own > 0).any() else 1.0
    step[free] = -np.linalg.solve(bend + np.diag(damping * np.maximum(own, usual)), slope[free])
    return step


def _on_its_side(price: Floats, trial: Floats, limit: Floats, least: Floats, used: Floats) -> Floats:
    """Return the trial with each price on its side of 0; from 0 it leaves where its row asks it."""
    side = np.where(price != 0, np.sign(price), np.where(used > limit, 1.0, np.where(used < least, -1.0, 0.0)))
    return np.where(side > 0, np.maximum(trial, 0.0), np.where(side < 0, np.minimum(trial, 0.0), 0.0))
