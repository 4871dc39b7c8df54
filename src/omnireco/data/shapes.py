"""The shape of a log of events: what weighing, checking and counting read of one, whatever class holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from omnireco.data.vocabulary import Vocabulary

__all__ = ["Events"]


@runtime_checkable
class Events(Protocol):
    """Coded events in order of time, such as an `EventLog`; its docstring says what each part is."""

    def __len__(self) -> int:
        """How many events there are, n."""

    @property
    def users(self) -> Vocabulary:
        """The ids behind ``user``."""

    @property
    def items(self) -> Vocabulary:
        """The ids behind ``item``."""

    @property
    def channels(self) -> Vocabulary:
        """The names behind ``channel``."""

    @property
    def events(self) -> Vocabulary:
        """The names behind ``event``."""

    @property
    def n_users(self) -> int:
        """How many people occur."""

    @property
    def n_items(self) -> int:
        """How many items occur."""

    @property
    def user(self) -> np.ndarray:
        """One code per event, int32 of shape (n,)."""

    @property
    def item(self) -> np.ndarray:
        """One code per event, int32 of shape (n,); -1 for no item."""

    @property
    def channel(self) -> np.ndarray:
        """One code per event, int32 of shape (n,)."""

    @property
    def event(self) -> np.ndarray:
        """One code per event, int32 of shape (n,)."""

    @property
    def at(self) -> np.ndarray:
        """Instants, UTC microseconds, int64 of shape (n,), ascending."""

    @property
    def value(self) -> np.ndarray | None:
        """Amounts, float64 of shape (n,), NaN where missing; None where no event has one."""

    @property
    def labels(self) -> Mapping[str, tuple[Vocabulary, np.ndarray]]:
        """Further columns, each with its vocabulary."""

    @property
    def start_us(self) -> int:
        """Start of the observed window, UTC microseconds."""

    @property
    def end_us(self) -> int:
        """End of the observed window, exclusive."""

    @property
    def dated(self) -> np.ndarray | None:
        """Which events carry a date and no hour, bool of shape (n,); None where none does."""

    @property
    def dates_found(self) -> bool:
        """Whether ``dated`` was found by looking at all times."""

    @property
    def timed(self) -> np.ndarray:
        """Whether the hour of each event is known, bool of shape (n,)."""
