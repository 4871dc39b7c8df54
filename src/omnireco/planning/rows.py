"""Rows of a packing problem: what a constraint compiles to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnireco._core.checks import count_of

__all__ = ["Rows"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Rows:
    """Rows of a packing problem: for each row, the weights of its sent touches may not exceed its limit.

    Parameters
    ----------
    row, touch : int64 arrays, shape (n_entries,)
        Entry ``i``: touch ``touch[i]`` uses row ``row[i]``.
    weight : float64 array, shape (n_entries,)
        How much of the row it uses; 0 or more.
    limit : float64 array, shape (n_rows,)
        0 or more.
    labels : tuple of str, shape (n_rows,), optional
        What to call each row in ``Plan.prices``. None for rows of single people, which are summed up there.
    unit : float, default 1.0
        What one unit of weight is to the reader: 0.01 where a send weighs 1 and costs a cent.
    """

    row: np.ndarray
    touch: np.ndarray
    weight: np.ndarray
    limit: np.ndarray
    labels: tuple[str, ...] | None = None
    unit: float = 1.0

    def __repr__(self) -> str:
        return f"Rows({count_of(self.limit.size, 'row')}, {count_of(self.row.size, 'entry', 'entries')})"
