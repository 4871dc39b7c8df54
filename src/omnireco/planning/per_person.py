"""What one person may be offered: how many items and slots to choose from, and what keeps messages apart."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from omnireco._core.checks import check_flag, check_integer, check_known, check_mapping
from omnireco._core.frozen import ReadOnly
from omnireco.planning.inputs import gap_rule
from omnireco.planning.rules import Constraint, OncePerItem

__all__ = ["PerPerson"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PerPerson:
    """What one person may be offered, out of all that the rules allow.

    Parameters
    ----------
    n_items : int, or mapping of channel to int, default 3
        Items per person, from the top of the ranking; of a mapping, on each channel: an e-mail shows six, a push one.
    n_slots : int, default 8
        Slots per person, channel and item: the best slot of each day before the second best of any.
    once_per_item : bool, default True
        Whether the touches of a person and item are alternatives, of which ``plan`` sends one at most.
    min_interval : duration or None, default "4h"
        Least time between two touches of a person, on any channel: nobody is written to three times at the
        same moment because it is their best hour. None for no such rule.

    Raises
    ------
    ParameterError
        When a number is below 1, or ``min_interval`` is no duration.

    Examples
    --------
    >>> import omnireco as om
    >>> [rule.name for rule in om.planning.PerPerson(n_items=1, min_interval="20h").implied]
    ['OncePerItem', "FrequencyCap(1, per='20h')"]
    """

    n_items: int | Mapping[str, int] = 3
    n_slots: int = 8
    once_per_item: bool = True
    min_interval: str | dt.timedelta | None = "4h"

    def __post_init__(self) -> None:
        if isinstance(self.n_items, Mapping):
            for name, n in check_mapping(self.n_items, "n_items", "{'email': 6, 'push': 1}").items():
                check_integer(n, f"n_items[{name!r}]", low=1)
            object.__setattr__(self, "n_items", ReadOnly(self.n_items))
        else:
            check_integer(self.n_items, "n_items", low=1)
        check_integer(self.n_slots, "n_slots", low=1)
        check_flag(self.once_per_item, "once_per_item")
        gap_rule(self.min_interval)

    def items_on(self, channel: str) -> int:
        """Return how many items a person may be offered on a channel.

        Raises
        ------
        ParameterError
            When ``n_items`` is a mapping that leaves the channel out.
        """
        if not isinstance(self.n_items, Mapping):
            return self.n_items
        check_known([channel], self.n_items, "PerPerson: n_items, which must name every channel", missing=None)
        return self.n_items[channel]

    @property
    def implied(self) -> tuple[Constraint, ...]:
        """The constraints that the touches bring along; ``plan`` adds them to those it is given."""
        once: tuple[Constraint, ...] = (OncePerItem(),) if self.once_per_item else ()
        return (*once, *gap_rule(self.min_interval))
