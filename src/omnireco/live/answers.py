"""What a live service answers about one person: a list, a message, what was left unfinished, and what is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.checks import count_of
from omnireco._core.notebook import shown_html

__all__ = ["Answer", "Resumed", "State", "Touch"]


class Answer(NamedTuple):
    """A list for one person: item ids and scores, best first, and whether they are those of a stranger."""

    items: np.ndarray
    scores: np.ndarray
    cold: bool

    def __repr__(self) -> str:
        return f"Answer({count_of(len(self.items), 'item')}{', cold' if self.cold else ''})"

    def _repr_html_(self) -> str:
        return shown_html(self)


class Touch(NamedTuple):
    """The next message to one person."""

    item_id: Any
    channel: str
    send_at: Any
    value: float
    probability: float

    def _repr_html_(self) -> str:
        return shown_html(self)


class Resumed(NamedTuple):
    """What a person began and did not finish, wherever that was; the position is None where there is none."""

    item_id: Any
    channel: str
    begun_at: Any
    last_at: Any
    touches: int
    position: float | None = None

    def _repr_html_(self) -> str:
        return shown_html(self)


class State(NamedTuple):
    """What is known of one person at an instant, in numbers and items."""

    events: int
    session: tuple[Any, ...]
    likes: tuple[Any, ...]
    dislikes: tuple[Any, ...]
    points: float
    messages: int
    consents: Mapping[tuple[str, str | None], bool]
    waiting: int

    def __repr__(self) -> str:
        return f"State({count_of(self.events, 'event')}, {count_of(len(self.session), 'item')} in the session)"

    def _repr_html_(self) -> str:
        return shown_html(self)
