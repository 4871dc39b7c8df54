"""How event type, channel, value and age become a weight, and the feedback of an event a target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from omnireco._core.checks import (
    check_choice,
    check_duration,
    check_flag,
    check_instant,
    check_kind,
    check_known,
    check_names,
    check_number,
    count_of,
    shown,
)
from omnireco._core.compute import in_threads, row_blocks
from omnireco._core.contract import described
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco.data.shapes import Events
from omnireco.data.vocabulary import NONE
from omnireco.errors import ParameterError, SchemaError

__all__ = [
    "Weights",
    "agree",
    "check_names_of",
    "check_weights",
    "event_targets",
    "event_weights",
    "person_steps",
    "weights_at",
    "weights_by_kind",
]


@dataclass(frozen=True, slots=True, repr=False)
class Weights:
    """The weight of an event in the user-item matrix.

    An event weighs ``events[type] * channels[channel] * f(value) * 2 ** (-age / half_life) *
    2 ** (-steps / step_half_life)``; the cell of a person and an item is the sum over their events, clipped to
    ``[-cap, cap]``.

    Parameters
    ----------
    events : mapping of str to float, optional
        Weight per event type. A type that is not listed weighs 1; weight 0 leaves a type out, and a
        negative weight is negative feedback (a return, a dislike).
    channels : mapping of str to float, optional
        Weight per channel, 1 where not listed.
    half_life : str or timedelta, optional
        Half-life of an event's weight, such as ``"30D"``. None: no time decay.
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
        Half-life in steps of the person: their last events predict the next ones best. A step is
        an instant at which the person did something that counts (with an item, and a weight other than 0), so
        the goods of one basket are one step; the last step weighs 1. A decay of 0.7 per step is a half-life
        of ``-1 / log2(0.7)``, about 1.94.
    targets : mapping of str to float, or to a mapping of value to float, optional
        Explicit feedback: the target of an event type, from 1 (liked) over 0 (not wanted) to -1 (disliked). A type
        that is not listed has target 1. For ratings give a target per value, interpolated
        linearly: ``{"rating": {1: 0, 5: 1}}``. The weight is then only the confidence of an event, and may not be
        negative; the target of a cell is the weighted mean of its events' targets, which for squared errors is
        the same as one error per event.
    verdicts : iterable of str, optional
        Event types with explicit feedback. The last one of a person on an item determines that cell: it
        alone gives weight and target, whatever was viewed or bought before or after. By default the types whose
        target is 0 or less and those graded by value; where likes can follow dislikes, name both.
    missing : {"raise", "ignore"}
        Whether a name that the log does not have, in any of the tables above, is an error: by default, since with
        a misspelt one the type would weigh 1. ``"ignore"`` for weights that are shared by logs of which some lack
        a type or a channel.

    Raises
    ------
    ParameterError
        When a weight is not finite, a duration has no unit, a target lies outside [-1, 1], or targets meet a
        negative weight. When a log is read by them: for names that it does not have.

    Notes
    -----
    Models that know targets (ALS) fit and place people by both numbers; all others read ``weight * target``. A cell
    whose target is 0 or less is never recommended to that person, not even with ``exclude_seen=False``.

    Examples
    --------
    >>> Weights(events={"view": 1, "purchase": 8}, half_life="30D").half_life
    '30D'
    >>> graded = Weights(targets={"like": 1, "dislike": 0, "rating": {1: 0, 5: 1}}, verdicts=["like", "dislike"])
    >>> graded.verdicts
    ('like', 'dislike')
    """

    events: Mapping[str, float] | None = None
    channels: Mapping[str, float] | None = None
    half_life: Any = None
    value: Literal["linear", "log"] | None = None
    cap: float | None = None
    deduplicate: Any = None
    binary: bool = field(default=False, kw_only=True)
    step_half_life: float | None = field(default=None, kw_only=True)
    targets: Mapping[str, float | Mapping[float, float]] | None = field(default=None, kw_only=True)
    verdicts: Iterable[str] | None = field(default=None, kw_only=True)
    missing: Literal["raise", "ignore"] = field(default="raise", kw_only=True, repr=False, compare=False)

    def __repr__(self) -> str:
        return described(self)

    _repr_html_ = shown_html

    def __post_init__(self) -> None:
        check_choice(self.missing, "missing", ("raise", "ignore"))
        for name in ("events", "channels"):
            table = getattr(self, name)
            if table is None:
                continue
            if not isinstance(table, Mapping):
                raise ParameterError(f"{name} must map names to weights, such as {{'view': 1}}. Got {shown(table)}.")
            checked = {str(key): check_number(weight, f"{name}[{shown(key)}]") for key, weight in table.items()}
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
        self._check_targets()

    def _check_targets(self) -> None:
        if self.targets is None:
            if self.verdicts is not None:
                raise ParameterError("verdicts need targets, and there are none. Give targets too.")
            return
        if not isinstance(self.targets, Mapping) or not self.targets:
            raise ParameterError(
                f"targets must map event types to numbers, such as {{'like': 1, 'dislike': 0}}. Got "
                f"{shown(self.targets)}."
            )
        checked = {str(name): _check_target(target, str(name)) for name, target in self.targets.items()}
        object.__setattr__(self, "targets", ReadOnly(checked))
        for table, name in ((self.events, "events"), (self.channels, "channels")):
            if below := [key for key, weight in (table or {}).items() if weight < 0]:
                raise ParameterError(
                    f"{name} gives {', '.join(map(repr, below))} a weight below 0, and there are targets: negative "
                    "feedback is given by the target. Write targets={'dislike': 0} and a weight above 0."
                )
        if self.verdicts is None:
            verdicts = tuple(n for n, target in checked.items() if isinstance(target, Mapping) or target <= 0)
        else:
            verdicts = check_names(self.verdicts, "verdicts")
        object.__setattr__(self, "verdicts", verdicts)


def agree(one: Weights | None, other: Weights | None) -> bool:
    """Return whether two weights give every event the same weight: ``"24h"`` is ``"1D"``, and 1 is the default."""
    if one is None or other is None:
        return False
    return one is other or one == other or _plain(one) == _plain(other)


def _plain(weights: Weights) -> tuple[Any, ...]:
    tables = [{k: v for k, v in (table or {}).items() if v != 1} for table in (weights.events, weights.channels)]
    spans = [
        None if span is None else check_duration(span, "span") for span in (weights.half_life, weights.deduplicate)
    ]
    steps = None if weights.step_half_life is None else float(weights.step_half_life)
    targets = None if weights.targets is None else dict(weights.targets)
    return (*tables, *spans, weights.value, weights.cap, weights.binary, steps, targets, weights.verdicts)


def check_names_of(weights: Weights, events: Iterable[str], channels: Iterable[str]) -> None:
    """Raise when weights name an event type or a channel that is not there, unless ``missing="ignore"``."""
    check_kind(weights, Weights, "weights", "Weights(half_life='30D')")
    for name, known in (("events", events), ("channels", channels), ("targets", events), ("verdicts", events)):
        check_known(getattr(weights, name) or (), known, f"Weights: {name}", missing=weights.missing)


def event_weights(log: Events, weights: Weights, at_us: int) -> np.ndarray:
    """Return the weight of each event of a log, float64 of shape (n,), on a clock at or after its end."""
    check_kind(weights, Weights, "weights", "Weights(half_life='30D')")
    if weights.value is not None and log.value is None:
        raise SchemaError(
            f"Weights(value={shown(weights.value)}) needs a value per event, and this log has none. Give the frame a "
            "'value' column, or map it: EventLog.from_frame(frame, columns={'value': 'price'})."
        )
    kinds = weights_by_kind(weights, log.events.ids, log.channels.ids).ravel()
    if weights.value is not None and log.value is not None:
        _check_known_values(log, kinds[log.event.astype(np.int64) * len(log.channels) + log.channel] != 0)
    half_life = None if weights.half_life is None else check_duration(weights.half_life, "half_life")
    amount = np.empty(len(log))

    def fill(start: int, stop: int) -> None:
        for block in row_blocks(stop - start, 64, memory=1 << 22):  # stays in the cache
            rows = slice(start + block.start, start + block.stop)
            part = kinds[log.event[rows].astype(np.int64) * len(log.channels) + log.channel[rows]]
            if weights.value is not None and log.value is not None:
                value = log.value[rows]
                value = np.nan_to_num(value)  # only of events that weigh nothing
                part *= value if weights.value == "linear" else np.sign(value) * np.log1p(np.abs(value))
            if half_life is not None:
                part *= np.exp2(-(at_us - log.at[rows]) / half_life)
            amount[rows] = part

    in_threads(fill, len(log))
    if weights.deduplicate is not None:
        amount[_repeats(log, check_duration(weights.deduplicate, "deduplicate"))] = 0.0
    if weights.targets is not None:
        if (below := int((amount < 0).sum())) > 0:
            raise SchemaError(
                f"Weights(targets=...): {below:,} of {len(log):,} events weigh less than 0, by a negative value. Say "
                "what a return means by targets={'return': 0}, and leave value out."
            )
        amount[_overruled(log, amount, tuple(weights.verdicts or ()))] = 0.0
    if weights.step_half_life is not None:
        counted = np.flatnonzero((amount != 0) & (log.item != NONE))
        step, last = person_steps(log.user[counted], log.at[counted])
        with np.errstate(over="ignore"):  # a tiny half-life leaves only the last step
            amount[counted] *= np.exp2(-(last - step) / weights.step_half_life)
    return amount


def _check_known_values(log: Events, needed: np.ndarray) -> None:
    """Refuse to weigh events about an item by a missing value."""
    if log.value is None or not (lost := np.isnan(log.value)).any():
        return
    lost = lost & needed & (log.item != NONE)
    if not (n := int(lost.sum())):
        return
    kinds = ", ".join(repr(str(log.events.ids[code])) for code in np.unique(log.event[lost])[:4])
    raise SchemaError(
        f"Weights by value: it is missing in {count_of(n, 'event')} of {len(log):,} ({kinds}). Weigh only events that "
        "have one: log.select(events=['purchase']), or Weights(events={'view': 0}); leave out those without: "
        "EventLog.from_frame(frame.dropna(subset=['value'])); or fill it: frame['value'].fillna(1)."
    )


def event_targets(log: Events, weights: Weights) -> np.ndarray | None:
    """Return the target of each event, float64 of shape (n,); None where weights have no targets."""
    if weights.targets is None:
        return None
    targets = np.ones(len(log))
    for code, name in enumerate(log.events.ids):
        target = weights.targets.get(str(name), 1.0)
        if not isinstance(target, Mapping):
            targets[log.event == code] = target
            continue
        if log.value is None:
            raise SchemaError(
                f"targets grades {shown(str(name))} by value, and this log has no values. Give the frame a "
                "'value' column, "
                "or map it: EventLog.from_frame(frame, columns={'value': 'rating'})."
            )
        here = log.event == code
        _check_known_values(log, here)
        targets[here] = np.interp(log.value[here], list(target), list(target.values()))
    return targets


def person_steps(user: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, per event, the number of its step (0 is the person's first) and that of the person's last step.

    A step is a distinct instant of a person. Both have the shape (n,), int64; any order of events.
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


def _check_target(target: Any, name: str) -> float | Mapping[float, float]:
    if not isinstance(target, Mapping):
        return check_number(target, f"targets[{shown(name)}]", low=-1, high=1)
    knots = {
        check_number(value, f"targets[{shown(name)}]"): check_number(
            t, f"targets[{shown(name)}][{shown(value)}]", low=-1, high=1
        )
        for value, t in target.items()
    }
    if not knots:
        raise ParameterError(f"targets[{shown(name)}] maps no value. Write {{1: 0, 5: 1}}: linear between.")
    return ReadOnly(dict(sorted(knots.items())))


def _overruled(log: Events, amount: np.ndarray, verdicts: tuple[str, ...]) -> np.ndarray:
    """Return a mask of the events on cells with explicit feedback, except the last one of each."""
    known = log.events.codes(verdicts, missing="none")
    explicit = np.isin(log.event, known[known != NONE]) & (amount > 0) & (log.item != NONE)
    if not explicit.any():
        return explicit
    cell = log.user.astype(np.int64) * max(1, log.n_items) + log.item
    settled, place = np.unique(cell[explicit], return_inverse=True)
    last = np.zeros(settled.size, np.int64)
    np.maximum.at(last, place, np.flatnonzero(explicit))
    overruled = np.isin(cell, settled) & (log.item != NONE)
    overruled[last] = False
    return overruled


def weights_by_kind(weights: Weights, events: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Return the weight of each type of event on each channel, float64 of shape (n_events, n_channels)."""
    return np.outer(_by_name(weights.events, events), _by_name(weights.channels, channels))


def _by_name(table: Mapping[str, float] | None, names: np.ndarray) -> np.ndarray:
    return np.array([1.0 if table is None else table.get(name, 1.0) for name in names], np.float64)


def _repeats(log: Events, window: int) -> np.ndarray:
    """Return a mask of events that follow the same user, item, channel and event within a window."""
    order = np.lexsort([log.at, log.event, log.channel, log.item, log.user])
    same = np.ones(max(0, order.size - 1), np.bool_)
    for codes in (log.user, log.item, log.channel, log.event):
        same &= codes[order][1:] == codes[order][:-1]
    same &= np.diff(log.at[order]) < window
    repeated = np.zeros(order.size, np.bool_)
    repeated[order[1:][same]] = True
    return repeated


def check_weights(weights: Any) -> None:
    """Refuse what is neither Weights nor None where an estimator is made."""
    check_kind(weights, Weights, "weights", "om.Weights(half_life='30D')", none=True)


def weights_at(log: Events, weights: Weights | None, at: Any) -> tuple[Weights, int]:
    """Return the weights of a log's events, checked by its names, and the instant that they count from, in UTC us."""
    weights = Weights() if weights is None else weights
    if not isinstance(weights, Weights):
        raise ParameterError(f"weights must be a Weights. Got {type(weights).__name__}: write Weights(events=...).")
    check_names_of(weights, log.events.ids, log.channels.ids)
    clock = log.end_us if at is None else check_instant(at, "at")
    if len(log.at) and clock < int(log.at[-1]):
        raise ParameterError(
            "matrix: at lies before the last event, whose weight would exceed 1. "
            "Cut first: log.before(at).matrix(weights)."
        )
    return weights, clock
