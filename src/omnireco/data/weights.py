"""How event, channel, value and age turn into a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from omnireco._checks import check_choice, check_duration, check_flag, check_number
from omnireco._frozen import ReadOnly
from omnireco.errors import ParameterError, SchemaError

if TYPE_CHECKING:
    from omnireco.data.events import EventLog

__all__ = ["Weights", "event_weights"]


@dataclass(frozen=True, slots=True)
class Weights:
    """What one event adds to a cell of the behaviour matrix.

    An event weighs ``events[type] * channels[channel] * f(value) * 2 ** (-age / half_life)``; the cell of a
    person and an item is the sum over their events, held inside ``[-cap, cap]``.

    Parameters
    ----------
    events : mapping of str to float, optional
        Weight per event type. A type that is not listed weighs 1; weight 0 leaves a type out, and a
        negative weight speaks against the item (a return, a dislike).
    channels : mapping of str to float, optional
        Weight per channel, 1 where not listed.
    half_life : str or timedelta, optional
        Age at which an event counts half, such as ``"30D"``. None: events do not age.
    value : {None, "linear", "log"}
        Multiply by the event's value, or by log(1 + value); a negative value keeps its sign.
    cap : float, optional
        Largest absolute value of a cell.
    deduplicate : str or timedelta, optional
        Repeats of the same user, item, channel and event type within this long of the previous one count
        once, such as ``"30min"`` for reloads of one page.
    binary : bool
        Every cell above 0 becomes 1, and the others (returns, dislikes) are left out.

    Raises
    ------
    ParameterError
        When a weight is not finite, or a duration has no unit.

    Examples
    --------
    >>> Weights(events={"view": 1, "purchase": 8}, half_life="30D").half_life
    '30D'
    """

    events: Mapping[str, float] | None = None
    channels: Mapping[str, float] | None = None
    half_life: Any = None
    value: Literal["linear", "log"] | None = None
    cap: float | None = None
    deduplicate: Any = None
    binary: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("events", "channels"):
            table = getattr(self, name)
            if table is None:
                continue
            if not isinstance(table, Mapping):
                raise ParameterError(f"{name} must map names to weights, such as {{'view': 1}}. Got {table!r}.")
            checked = {str(key): check_number(weight, f"{name}[{key!r}]") for key, weight in table.items()}
            object.__setattr__(self, name, ReadOnly(checked))
        if self.half_life is not None:
            check_duration(self.half_life, "half_life")
        if self.value is not None:
            check_choice(self.value, "value", ("linear", "log"))
        if self.cap is not None:
            check_number(self.cap, "cap", above=0)
        if self.deduplicate is not None:
            check_duration(self.deduplicate, "deduplicate")
        check_flag(self.binary, "binary")


def event_weights(log: EventLog, weights: Weights, at_us: int) -> np.ndarray:
    """Return the weight of each event of a log, float64 of shape (n,), on a clock at or after its end."""
    amount = _by_name(weights.events, log.events.ids)[log.event]
    amount = amount * _by_name(weights.channels, log.channels.ids)[log.channel]
    if weights.value is not None:
        if log.value is None:
            raise SchemaError(
                f"Weights(value={weights.value!r}) needs a value per event, and this log has none. Give the frame a "
                "'value' column, or map it: EventLog.from_frame(frame, columns={'value': 'price'})."
            )
        amount *= log.value if weights.value == "linear" else np.sign(log.value) * np.log1p(np.abs(log.value))
    if weights.half_life is not None:
        half_life = check_duration(weights.half_life, "half_life")
        amount *= np.exp2(-(at_us - log.at) / half_life)
    if weights.deduplicate is not None:
        amount[_repeats(log, check_duration(weights.deduplicate, "deduplicate"))] = 0.0
    return amount


def _by_name(table: Mapping[str, float] | None, names: np.ndarray) -> np.ndarray:
    return np.array([1.0 if table is None else table.get(name, 1.0) for name in names], np.float64)


def _repeats(log: EventLog, window: int) -> np.ndarray:
    """Return a mask of events that follow the same user, item, channel and event within a window."""
    order = np.lexsort([log.at, log.event, log.channel, log.item, log.user])
    same = np.ones(max(0, order.size - 1), np.bool_)
    for codes in (log.user, log.item, log.channel, log.event):
        same &= codes[order][1:] == codes[order][:-1]
    same &= np.diff(log.at[order]) < window
    repeated = np.zeros(order.size, np.bool_)
    repeated[order[1:][same]] = True
    return repeated
