"""The best arm of many units under every budget: upper hulls of reward against cost, and their steps in one order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Steps", "hull_steps"]

_ROWS = 1 << 17  # units of one block: a few arrays of 10 columns stay near the cache


class Steps(NamedTuple):
    """Steps along the hulls of all units, the most worthwhile first."""

    unit: np.ndarray
    before: np.ndarray
    after: np.ndarray
    slope: np.ndarray


def hull_steps(reward: np.ndarray, cost: np.ndarray) -> Steps:
    """Return the steps of all units by reward per cost, falling.

    Parameters
    ----------
    reward : float64 array, shape (n, k)
        Of every arm, above no arm at all (reward 0 and cost 0).
    cost : float64 array, shape (n, k) or (1, k)
        0 or more.

    Returns
    -------
    Steps
        ``before`` and ``after`` are arms, -1 for none. A unit's own steps stand in their order, as the slopes of a hull
        fall. Steps of one slope are in the order of units.

    Notes
    -----
    From where a unit stands, the next corner of its hull is the arm of the greatest slope; of equal slopes the dearest.
    At most k rounds over the units that still move.

    References
    ----------
    Sinha and Zoltners (1979), "The multiple-choice knapsack problem", section 2; Sverdrup, Wu, Athey and Wager (2024),
    "Qini curves for multi-armed treatment rules".
    """
    n, k = reward.shape
    parts: list[tuple[np.ndarray, ...]] = []
    for start in range(0, n, _ROWS):
        r = reward[start : start + _ROWS]
        c = (
            np.broadcast_to(cost, reward.shape)[start : start + _ROWS]
            if cost.shape[0] == 1
            else cost[start : start + _ROWS]
        )
        unit = np.arange(r.shape[0])
        arm, at_r, at_c = np.full(unit.size, -1), np.zeros(unit.size), np.zeros(unit.size)
        for _ in range(k):
            gain, price = r[unit] - at_r[:, None], c[unit] - at_c[:, None]
            with np.errstate(divide="ignore", invalid="ignore"):
                slope = np.where((gain > 0) & (price >= 0), gain / price, -1.0)
            top = slope.max(axis=1)
            dear = np.where(
                slope >= top[:, None], np.where(np.isinf(slope), gain, price), -1.0
            )  # free: the best of them
            chosen = dear.argmax(axis=1)
            moves = np.flatnonzero(top > 0)
            if not moves.size:
                break
            unit, chosen = unit[moves], chosen[moves]
            parts.append((unit + start, arm[moves], chosen, top[moves]))
            arm, at_r, at_c = chosen, r[unit, chosen], c[unit, chosen]
    if not parts:
        none = np.empty(0, np.int64)
        return Steps(none, none, none, np.empty(0))
    unit, before, after, slope = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort([unit, -slope])
    return Steps(unit[order], before[order], after[order], slope[order])
