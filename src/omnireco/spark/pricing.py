"""Prices of shared rows for people who lie in many parts: one sum over the parts for each step of the dual."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from omnireco._kernels.packing.people import Passed as Sums
from omnireco._kernels.packing.people import newton_step, on_its_side

__all__ = ["Sums", "descended", "more_for", "shares"]

_PASSES, _ENOUGH, _STILL = 25, 1e-6, 2
_CROWD = 10.0  # people near a change of mind per row, below which the band is not narrowed
_SHORTEST = 0.02  # of a Newton step


class Descent(NamedTuple):
    """The prices found, the sums over the parts at them, and how many passes that took."""

    price: np.ndarray
    sums: Sums
    passes: int


def descended(
    run: Callable[[np.ndarray, float], Sums],
    limit: np.ndarray,
    least: np.ndarray,
    price: np.ndarray,
    band: float,
) -> Descent:
    """Return prices that make the dual nearly as low as it gets, by damped Newton steps.

    ``run(price, band)`` sums height, use and bend over all parts; each call is one job of the cluster.
    """
    now, count = run(price, band), 1
    damping, still = 1e-3, 0
    while count < _PASSES and still < _STILL and damping <= 1e3:
        step = newton_step(now, price, limit, least, damping)
        length, better = 1.0, None
        while better is None and count < _PASSES and length > _SHORTEST:
            trial = on_its_side(price, price + length * step, limit, least, now.used)
            if (trial == price).all():
                return Descent(price, now, count)
            found = run(trial, band)
            count += 1
            if found.height < now.height:
                better = found
            else:
                length *= 0.3
        if better is None:
            damping *= 30.0
            still += 1 if damping > 1.0 else 0
            continue
        still = still + 1 if now.height - better.height <= _ENOUGH * abs(now.height) else 0
        damping = max(damping * 0.3, 1e-6) if length == 1.0 else min(damping * 5.0, 1e3)
        if length == 1.0 and better.crowd > _CROWD * limit.size:
            band *= 0.7
        price, now = trial, better
    return Descent(price, now, count)


def shares(wanted: np.ndarray, limit: np.ndarray, people: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return how much of each limit each part may use, (n_parts, n_rows): what it wants, or its share of that.

    What nobody wants is shared by the people of the parts. Limits of whole touches are shared in whole touches.
    """
    total = wanted.sum(axis=0)
    room = np.where(np.isfinite(limit), limit, total)
    tight = total > room
    with np.errstate(divide="ignore", invalid="ignore"):
        fair = np.where(tight & (total > 0), room / total, 1.0)
    found = np.maximum(wanted, 0.0) * np.where(total > 0, fair, 0.0)
    spare = np.maximum(room - found.sum(axis=0), 0.0)
    found = found + spare * (people / people.sum())[:, None]
    found[:, ~np.isfinite(limit)] = np.inf
    return _in_whole(found, limit, whole)


def more_for(
    used: np.ndarray, unmet: np.ndarray, limit: np.ndarray, people: np.ndarray, whole: np.ndarray
) -> np.ndarray:
    """Return what each part may use when what is left of each limit goes to those who could use it."""
    left = np.maximum(np.where(np.isfinite(limit), limit, 0.0) - used.sum(axis=0), 0.0)
    want = np.maximum(unmet, 0.0)
    total = want.sum(axis=0)
    share = np.where(total > 0, want / np.where(total > 0, total, 1.0), (people / people.sum())[:, None])
    found = used + left * share
    found[:, ~np.isfinite(limit)] = np.inf
    return _in_whole(found, limit, whole)


def _in_whole(found: np.ndarray, limit: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return shares of limits in whole touches by largest remainder; of equal ones the first part's."""
    for r in np.flatnonzero(whole & np.isfinite(limit)):
        floor = np.floor(found[:, r] + 1e-9)
        left = int(np.floor(limit[r] * (1.0 + 1e-9)) - floor.sum())
        order = np.argsort(-(found[:, r] - floor), kind="stable")
        floor[order[: max(left, 0) % (order.size + 1)]] += 1.0
        found[:, r] = floor
    return found
