"""What one person may be offered: how many items and slots to choose from, and what keeps messages apart."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from omnireco._core.checks import check_flag, check_integer, check_known, check_mapping
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError
from omnireco.planning.inputs import gap_rule
from omnireco.planning.rules import Constraint, OncePerItem

__all__ = ["PerPerson"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PerPerson:
    """What one person may be offered, out of all that the rules allow.

    Parameters
    ----------
    n_items : int, or mapping of channel to int or to a mapping of device to int, default 3
        Items per person, from the top of the ranking; of a mapping, on each channel: an e-mail shows six, a push one. A
        channel may have a length for each device, ``{"email": {"phone": 3, "desktop": 6}, "push": 1}``; whose device is
        not known or not named gets the shortest.
    by : str, default "device"
        The attribute of the audience that such a length goes by.
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
        When a number is below 1, a channel's lengths name no device, or ``min_interval`` is no duration.

    Examples
    --------
    >>> import omnireco as om
    >>> [rule.name for rule in om.planning.PerPerson(n_items=1, min_interval="20h").implied]
    ['OncePerItem', "FrequencyCap(1, per='20h')"]
    """

    n_items: int | Mapping[str, int | Mapping[str, int]] = 3
    n_slots: int = 8
    once_per_item: bool = True
    min_interval: str | dt.timedelta | None = "4h"
    by: str = field(default="device", repr=False)

    _repr_html_ = shown_html

    def __post_init__(self) -> None:
        if isinstance(self.n_items, Mapping):
            for name, n in check_mapping(self.n_items, "n_items", "{'email': 6, 'push': 1}").items():
                if isinstance(n, Mapping):
                    if not n:
                        raise ParameterError(
                            f"n_items[{name!r}] names no device. Write {{'phone': 3, 'desktop': 6}}, or one number."
                        )
                    for device, most in check_mapping(n, f"n_items[{name!r}]", "{'phone': 3, 'desktop': 6}").items():
                        check_integer(most, f"n_items[{name!r}][{device!r}]", low=1)
                else:
                    check_integer(n, f"n_items[{name!r}]", low=1)
            lengths = {name: ReadOnly(n) if isinstance(n, Mapping) else n for name, n in self.n_items.items()}
            object.__setattr__(self, "n_items", ReadOnly(lengths))
        else:
            check_integer(self.n_items, "n_items", low=1)
        check_integer(self.n_slots, "n_slots", low=1)
        check_flag(self.once_per_item, "once_per_item")
        if not isinstance(self.by, str):
            raise ParameterError(f"by must be an attribute of the audience. Got {type(self.by).__name__}.")
        gap_rule(self.min_interval)

    def items_on(self, channel: str) -> int:
        """Return how many items a person may be offered on a channel, on the device that shows most.

        Raises
        ------
        ParameterError
            When ``n_items`` is a mapping that leaves the channel out.
        """
        n = self._on(channel)
        return max(n.values()) if isinstance(n, Mapping) else n

    def lengths_on(self, channel: str, traits: Mapping[str, tuple[Vocabulary, np.ndarray]]) -> np.ndarray | None:
        """Return how many items each person may be offered on a channel, int64 (n_users,); None where all the same.

        Raises
        ------
        ParameterError
            When lengths go by an attribute that the audience does not have, or one of its values that nobody has.
        """
        n = self._on(channel)
        if not isinstance(n, Mapping):
            return None
        check_known([self.by], traits, "PerPerson: by (an attribute of the audience)", missing=None)
        known, code = traits[self.by]
        names = known.ids.tolist()
        check_known(list(n), names, f"PerPerson: n_items[{channel!r}] (values of {self.by})", missing=None)
        shortest = min(n.values())
        return np.array([*(n.get(name, shortest) for name in names), shortest], np.int64)[code]  # the last is of -1

    def _on(self, channel: str) -> int | Mapping[str, int]:
        if not isinstance(self.n_items, Mapping):
            return self.n_items
        check_known([channel], self.n_items, "PerPerson: n_items, which must name every channel", missing=None)
        return self.n_items[channel]

    @property
    def implied(self) -> tuple[Constraint, ...]:
        """The constraints that the touches bring along; ``plan`` adds them to those it is given."""
        once: tuple[Constraint, ...] = (OncePerItem(),) if self.once_per_item else ()
        return (*once, *gap_rule(self.min_interval))
