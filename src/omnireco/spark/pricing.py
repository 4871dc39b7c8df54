"""Prices of shared rows for people who lie in many parts: one sum over the parts for each step of the dual."""

from __future__ import annotations

import numpy as np

from omnireco._kernels.packing.people import Passed as Sums

__all__ = ["ENOUGH", "PASSES", "Sums", "more_for", "shares"]

PASSES, ENOUGH = 25, 1e-6  # each pass is one job of the cluster


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
