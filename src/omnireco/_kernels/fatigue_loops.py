"""The compiled sum of decayed earlier messages."""

from __future__ import annotations

import numpy as np

from omnireco._core.compute import compiled

__all__ = ["add_up"]


@compiled
def add_up(user: np.ndarray, at: np.ndarray, half_life: float, out: np.ndarray) -> None:
    """Fill ``out`` (m,) with ``sum 2^(-age / half_life)`` over a person's strictly earlier messages.

    Rows are in order of (user, time). Messages of the same instant do not tire for each other.
    """
    left = 0.0
    for i in range(user.size):
        if i == 0 or user[i] != user[i - 1]:
            left, waiting = 0.0, 0.0
        elif at[i] == at[i - 1]:
            waiting += 1.0
        else:
            left = (left + waiting) * 0.5 ** ((at[i] - at[i - 1]) / half_life)
            waiting = 0.0
        if i == 0 or user[i] != user[i - 1] or at[i] != at[i - 1]:
            waiting = 1.0
        out[i] = left
