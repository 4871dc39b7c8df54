"""A timing whose values are increments: what a message adds, by person, channel and hour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from omnireco._core.checks import check_known
from omnireco._core.frozen import locked
from omnireco._core.notebook import shown_html
from omnireco.data.vocabulary import Vocabulary, match
from omnireco.errors import ParameterError

__all__ = ["Increments"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Increments:
    """What a message adds to the chance of the outcome, as a Timing; made by ``UpliftModel.timing(timing, data)``.

    ``om.candidates(recs, data, increments, slots)`` then values touches by increments: who buys anyway is worth
    nothing, and who is put off is not written to. ``candidates.made_of`` and the repr of the plan say so.

    Attributes
    ----------
    users : Vocabulary
        Ids of the people whose increments are known.
    channels : tuple of str
        The arms.
    increment : ndarray of shape (n_users, n_channels)
        The effect of a message on each person.
    usual : ndarray of shape (n_channels,)
        The average effect: that of people who are not known.
    timing : Timing
        Response probabilities by hour, which spread the effect over the hours.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> import omnireco as om
    >>> even = SimpleNamespace(slot_probability=lambda audience, rows, channel, at: np.full((len(rows), len(at)), 0.1))
    >>> om.causal.Increments(om.data.Vocabulary.from_ids([1, 2]), ("email",), [[0.02], [-0.01]], [0.005], even)
    Increments(2 people, email)
    """

    users: Vocabulary
    channels: tuple[str, ...]
    increment: Any
    usual: Any
    timing: Any

    def __post_init__(self) -> None:
        table, usual = np.array(self.increment, np.float64), np.array(self.usual, np.float64)
        shape = (len(self.users), len(self.channels))
        if (
            table.shape != shape
            or usual.shape != shape[1:]
            or not (np.isfinite(table).all() and np.isfinite(usual).all())
        ):
            raise ParameterError(
                f"Increments: increment must be finite, one per person and channel, {shape}. Got the shape "
                f"{table.shape}. "
                "Write model.timing(om.SendTime().fit(data), data)."
            )
        if not callable(getattr(self.timing, "slot_probability", None)):
            raise ParameterError(
                f"Increments: timing must have a verb slot_probability. Got {type(self.timing).__name__}. Write "
                "model.timing(om.SendTime().fit(data), data)."
            )
        object.__setattr__(self, "increment", locked(table))
        object.__setattr__(self, "usual", locked(usual))

    def __repr__(self) -> str:
        return f"Increments({len(self.users):,} people, {', '.join(self.channels)})"

    _repr_html_ = shown_html

    def slot_probability(self, audience: Any, rows: np.ndarray, channel: str, at_us: np.ndarray) -> np.ndarray:
        """Return the response probability of the timing inside, float64 (n_rows, n_slots).

        Parameters
        ----------
        audience : Audience
            The people, with time zones, consents and attributes.
        rows : ndarray of int
            Rows of the audience.
        channel : str
            The channel of the message.
        at_us : ndarray of int64
            UTC microseconds.
        """
        return np.asarray(self.timing.slot_probability(audience, rows, channel, at_us))

    def slot_increment(self, audience: Any, rows: np.ndarray, channel: str, at_us: np.ndarray) -> np.ndarray:
        """Return what a message adds, float64 (n_rows, n_slots); negative where it takes away.

        The effect of each person, spread over the slots as the response probability is: its mean over the slots is the
        effect.

        Parameters
        ----------
        audience : Audience
            The people, with time zones, consents and attributes.
        rows : ndarray of int
            Rows of the audience.
        channel : str
            One of the arms.
        at_us : ndarray of int64
            UTC microseconds.

        Raises
        ------
        ParameterError
            When the effect of the channel was not learned.
        """
        check_known([channel], self.channels, "Increments: channel", missing=None)
        column = self.channels.index(channel)
        place = match(self.users, audience.users, ("the uplift model", "the audience"))[rows]
        effect = np.append(self.increment[:, column], self.usual[column])[place]
        chance = self.slot_probability(audience, rows, channel, at_us)
        mean = chance.mean(axis=1, keepdims=True) if chance.shape[1] else np.ones((chance.shape[0], 1))
        shape = np.divide(chance, mean, out=np.ones_like(chance), where=mean > 0)
        return np.asarray(effect[:, None] * shape)
