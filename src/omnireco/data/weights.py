"""How event, channel, value and age turn into a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from omnireco._checks import check_choice, check_duration, check_flag, check_number
from omnireco._compute import in_threads, row_blocks
from omnireco._frozen import ReadOnly
from omnireco.data.vocabulary import NONE
from omnireco.errors import ParameterError, SchemaError

if TYPE_CHECKING:
    from omnireco.data.events import EventLog

__all__ = ["Weights", "event_weights", "person_steps"]


@dataclass(frozen=True, slots=True)
class Weights:
    """What one event adds to a cell of the behaviour matrix.

    An event weighs ``events[type] * channels[channel] * f(value) * 2 ** (-age / half_life) *
    2 ** (-steps / step_half_life)``; the cell of a person and an item is the sum over their events, held inside
    ``[-cap, cap]``.

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
    step_half_life : float, optional
        How many steps of the person halve an event: what they did last says most of what comes next. A step is
        an instant at which the person did something that counts (with an item, and a weight other than 0), so
        the goods of one basket are one step; the last step weighs 1. A decay of 0.7 per step is a half-life
        of ``-1 / log2(0.7)``, about 1.94.

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
    step_half_life: float | None = field(default=None, kw_only=True)

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
        if self.step_half_life is not None:
            check_number(self.step_half_life, "step_half_life", above=0)


def event_weights(log: EventLog, weights: Weights, at_us: int) -> np.ndarray:
    """Return the weight of each event of a log, float64 of shape (n,), on a clock at or after its end."""
    if weights.value is not None and log.value is None:
        raise SchemaError(
            f"Weights(value={weights.value!r}) needs a value per event, and this log has none. Give the frame a "
            "'value' column, or map it: EventLog.from_frame(frame, columns={'value': 'price'})."
        )
    kinds = np.outer(_by_name(weights.events, log.events.ids), _by_name(weights.channels, log.channels.ids)).ravel()
    half_life = None if weights.half_life is None else check_duration(weights.half_life, "half_life")
    amount = np.empty(len(log))

    def fill(start: int, stop: int) -> None:
        for block in row_blocks(stop - start, 64, memory=1 << 22):  # stays in the cache
            rows = slice(start + block.start, start + block.stop)
            part = kinds[log.event[rows].astype(np.int64) * len(log.channels) + log.channel[rows]]
            if weights.value is not None and log.value is not None:
                value = log.value[rows]
                part *= value if weights.value == "linear" else np.sign(value) * np.log1p(np.abs(value))
            if half_life is not None:
                part *= np.exp2(-(at_us - log.at[rows]) / half_life)
            amount[rows] = part

    in_threads(fill, len(log))
    if weights.deduplicate is not None:
        amount[_repeats(log, check_duration(weights.deduplicate, "deduplicate"))] = 0.0
    if weights.step_half_life is not None:
        counted = np.flatnonzero((amount != 0) & (log.item != NONE))
        step, last = person_steps(log.user[counted], log.at[counted])
        amount[counted] *= np.exp2(-(last - step) / weights.step_half_life)
    return amount


def person_steps(user: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, per event, the number of its step (0 is the person's first) and that of the person's last step.

    A step is a distinct instant of a person. Each answer has the shape (n,), int64; any order of events.
    """
    order = np.lexsort([at, user])
    person, when = user[order], at[order]
    first = np.r_[True, person[1:] != person[:-1]][: order.size]
    fresh = first | np.r_[True, when[1:] != when[:-1]][: order.size]
    count = np.cumsum(fresh)
    start = np.flatnonzero(first)
    lengths = np.diff(np.r_[start, order.size])
    step, last = np.empty(order.size, np.int64), np.empty(order.size, np.int64)
    step[order] = count - np.repeat(count[start], lengths)
    last[order] = np.repeat(count[np.cumsum(lengths) - 1] - count[start], lengths)
    return step, last


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
