"""Rows of a packing problem: what a constraint compiles to, and which touches are one and the same offer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnireco._core.checks import count_of
from omnireco._core.notebook import shown_html

__all__ = ["Choices", "Rows"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Rows:
    """Rows of a packing problem: for each row, the weights of its sent touches stay between ``least`` and ``limit``.

    Parameters
    ----------
    row, touch : int64 arrays, shape (n_entries,)
        Entry ``i``: touch ``touch[i]`` uses row ``row[i]``.
    weight : float64 array, shape (n_entries,)
        How much of the row it uses. A touch may give room to others by a weight below 0: with weights
        ``complaint - 0.001`` and a limit of 0, complaints stay below one in a thousand.
    limit : float64 array, shape (n_rows,)
        0 or more; infinite for a row that only has a floor.
    labels : tuple of str, shape (n_rows,), optional
        What to call each row in ``Plan.prices``. None for rows of single people, which are summed up there.
    unit : float, default 1.0
        What one unit of weight is to the reader: 0.01 where a send weighs 1 and costs a cent.
    least : float64 array, shape (n_rows,), optional
        Floors: at least this much must be sent, 0 for none. A touch without value of its own may be sent to meet one.

    Examples
    --------
    At least two and at most five of the first ten touches:

    >>> ten = np.arange(10)
    >>> Rows(row=np.zeros(10, int), touch=ten, weight=np.ones(10), limit=np.array([5.0]), least=np.array([2.0]))
    Rows(1 row, 10 entries, 1 floor)
    """

    row: np.ndarray
    touch: np.ndarray
    weight: np.ndarray
    limit: np.ndarray
    labels: tuple[str, ...] | None = None
    unit: float = 1.0
    least: np.ndarray | None = None

    def __repr__(self) -> str:
        floors = 0 if self.least is None else int((np.asarray(self.least) > 0).sum())
        more = "" if not floors else f", {count_of(floors, 'floor')}"
        return f"Rows({count_of(self.limit.size, 'row')}, {count_of(self.row.size, 'entry', 'entries')}{more})"

    _repr_html_ = shown_html

    @classmethod
    def none(cls) -> Rows:
        """Return no rows at all: for a constraint that only says which touches are one and the same offer.

        Examples
        --------
        >>> Rows.none()
        Rows(0 rows, 0 entries)
        """
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0), ())


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Choices:
    """One and the same offer: of each group at most one option is in use among the touches that are sent.

    Parameters
    ----------
    group : int64 array, shape (n_touches,)
        Whose offer it is: a person, or a segment of people. -1 for a touch that carries none; it is never held back.
    option : int64 array, shape (n_touches,)
        Which offer the touch carries, 0 or more; what counts is equality within a group. -1 where ``group`` is.

    Examples
    --------
    Two people; the first may get offer 0 or offer 1, on any channel, but not both:

    >>> Choices(group=np.array([0, 0, 0, 1]), option=np.array([0, 1, 0, 1]))
    Choices(4 touches, 2 groups, 2 options)
    """

    group: np.ndarray
    option: np.ndarray

    def __repr__(self) -> str:
        mine = np.asarray(self.group) >= 0
        groups, options = np.unique(self.group[mine]).size, np.unique(self.option[mine]).size
        return (
            f"Choices({count_of(int(mine.size), 'touch', 'touches')}, {count_of(groups, 'group')}, "
            f"{count_of(options, 'option')})"
        )

    _repr_html_ = shown_html
