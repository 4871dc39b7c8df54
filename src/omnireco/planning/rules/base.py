"""May this touch be sent, and how many together: what every rule is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from omnireco._core.notebook import shown_html
from omnireco._kernels.packing.lean import Window
from omnireco.data.asking.touches import Touches
from omnireco.planning.rows import Choices, Rows

__all__ = ["Constraint", "Eligibility"]


class Eligibility(ABC):
    """May this one touch be sent? A mask, applied before any pruning.

    A rule must be pure (the same touches give the same answer), decide each touch independently, and
    return one bool per touch; rules are stacked with "and", so another rule never lets more through.

    Examples
    --------
    A rule of one's own: no message on Sundays, and none to people whose Sunday is not known.

    >>> class NotOnSundays(Eligibility):
    ...     needs_audience = True
    ...
    ...     def mask(self, touches):
    ...         day = touches.local_at // 86_400_000_000 + 3  # 1970-01-01 was a Thursday
    ...         return touches.zone_known & (day % 7 != 6)
    >>> NotOnSundays().name
    'NotOnSundays'
    """

    __slots__ = ()
    needs_audience: ClassVar[bool] = False
    """Whether the rule reads what only an Audience knows (zones, consent)."""

    _repr_html_ = shown_html

    @property
    def name(self) -> str:
        """What reports call this rule."""
        return type(self).__name__

    @abstractmethod
    def mask(self, touches: Touches) -> np.ndarray:
        """Return which touches may be sent, bool of shape (n,)."""


class Constraint(ABC):
    """How many touches together? Rows of a packing problem, which the planner solves without knowing their names.

    A row says "at most" (``limit``), "at least" (``least``), or both; :meth:`choices` says which touches are one offer.

    Examples
    --------
    A rule of one's own: at most ``n`` touches for each item.

    >>> import numpy as np
    >>> class Stock(Constraint):
    ...     def __init__(self, n):
    ...         self.n = n
    ...
    ...     def rows(self, touches):
    ...         return Rows(
    ...             row=touches.item,
    ...             touch=np.arange(len(touches)),
    ...             weight=np.ones(len(touches)),
    ...             limit=np.full(len(touches.items), float(self.n)),
    ...             labels=tuple(f"item {i}" for i in range(len(touches.items))),
    ...         )
    >>> Stock(5).name
    'Stock'
    """

    __slots__ = ()

    _repr_html_ = shown_html

    @property
    def name(self) -> str:
        """What reports call this constraint."""
        return type(self).__name__

    @abstractmethod
    def rows(self, touches: Touches) -> Rows:
        """Return this constraint as rows over the given touches."""

    def choices(self, touches: Touches) -> Choices | None:
        """Return which touches carry which offer of whom, where only one may be chosen; None, the default, for no such.

        A constraint that says only this returns ``Rows.none()`` from :meth:`rows`.
        """
        return None

    def _each_person(self, touches: Touches) -> np.ndarray | None:
        """Return how many touches each person may get, int64 (n_users,), where that is all this constraint says.

        The planner needs no rows then. None, the default, where there is more to it.
        """
        return None

    def _in_windows(self, touches: Touches) -> Window | None:
        """Return what this constraint counts of single people, where that is all it says; None where there is more.

        The planner makes the rows of very many people itself then, person by person.
        """
        return None
