"""What comes next: one ridge regression from decayed histories to the next item."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_duration, check_integer, check_known, check_names, check_number, shown
from omnireco._core.compute import Progress, require_memory
from omnireco._core.contract import Estimator
from omnireco._kernels.log.order import distinct
from omnireco.data.events import EventLog
from omnireco.data.vocabulary import NONE
from omnireco.data.weights import Weights, check_names_of, event_targets, event_weights, person_steps
from omnireco.errors import EmptyError, ParameterError
from omnireco.models.base import events_of
from omnireco.models.matrix.linear import ItemModel
from omnireco.models.matrix.squares import gram_matrix, in_blocks, invert_ridge, is_single, mirrored, ridge_scratch

__all__ = ["NextItem"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NextItem(Estimator):
    """Predict the next item from what came just before it, in closed form.

    EASE models co-occurrence; this models transitions. Every step of every person is an example: what they
    did up to then, the latest counting most, against what they did next. On sparse shopping sequences it
    beats trained transformers at the top of the list (see the page on quality); on dense data, such as films
    rated by the hundred, they win. No epochs, no seed, minutes on two cores for 12,000 items.

    Parameters
    ----------
    regularization : float
        Ridge penalty on the weights, in units of squared cells.
    weights : Weights
        Event weights of the inputs: by type, channel and ``step_half_life``, at fit and prediction.
    context_steps : int
        Steps an example looks back.
    interval_half_life : str or timedelta, optional
        Real time in the examples: an input also weighs ``2 ** (-(time until the next step) / interval_half_life)``, so
        what happened minutes before counts more than what happened a month before. By default only steps count.
    interval_floor : float
        The least that this factor becomes, from 0 to 1: at 1 time does not matter.
    trend_power : float
        Trend normalisation: inputs and targets of an example are divided by (events of that item in the
        ``trend_window`` up to then) to this power, and the weights multiplied back by what is popular at the end of the
        log. 0, the default, leaves it out; 0.5 is strong.
    trend_window : str or timedelta
        How far back an item's popularity counts.
    events : iterable of str, optional
        Types of event to predict, such as ``["purchase"]``, from inputs of every type; all by default.
    memory : float, optional
        Memory limit in bytes; what the machine has free by default.

    Notes
    -----
    For each step j of a person, row z_j holds the items of the ``context_steps`` steps before it, each weighing
    ``weight * 2 ** (-(steps before j - 1) / step_half_life)``, and y_j marks the items of step j. The weights are
    ``B = (Z'Z + regularization I)^-1 Z'Y``, the scores ``history B``. Steps are distinct instants: the goods of one
    basket never predict one another, and the order of equal times does not matter. Weights by age in
    days (``half_life``) and by cap are no part of an example. Deterministic. Time O(items^3), memory 20 bytes x
    items^2: fine to about 20,000 items.

    Intervals and trend are learned from; at prediction a history is weighed by ``weights``, whose ``half_life`` may say
    what its age means. With ``trend_power`` b, and c(i, t) the events of item i in the window up to t, at least 1:
    ``z`` and ``y`` are divided by ``c(i, t) ** b``, and ``B`` becomes ``C^-b B C^b`` with C the counts at the end of
    the log.

    References
    ----------
    In the line of SLIST: Choi et al., "Session-aware linear item-item models for session-based recommendation",
    WWW 2021, section 4.2 (SLIT), with examples per step and an exponential decay by step: it is of SLIST's family.
    Intervals with a floor, and the idea of a trend normalisation: TALE, Park et al., "Temporal linear item-item model
    for sequential recommendation", WSDM 2025; multiplying the trend of today back is ours. Its published code differs:
    every earlier item is an input, weighed at the fit by ``1 + exp(-time / tau)``, plus c = 0.4 where that exponential
    is below c, and by no step; a history by ``exp(-steps before the last / 2)``, a half-life of 1.39 steps; and it has
    no trend. An input of long ago thus weighs 0.7 of one of a moment ago: ``interval_floor=0.7`` is near.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.data import EventLog, Weights
    >>> days = pd.date_range("2025-05-01", periods=3, tz="UTC")
    >>> log = EventLog.from_frame(pd.DataFrame({
    ...     "user_id": [1, 1, 1, 2, 2, 3], "item_id": ["pan", "pot", "lid", "pan", "pot", "pan"],
    ...     "channel": "web", "event": "purchase", "timestamp": [*days, *days[:2], days[0]]}))
    >>> model = NextItem(regularization=1.0).fit(log)
    >>> model.recommend(model.inputs(log).rows([3]), k=1).to_frame()["item_id"].tolist()
    ['pot']
    """

    regularization: float = 100.0
    weights: Weights = field(default_factory=lambda: Weights(step_half_life=2.0))
    context_steps: int = 20
    interval_half_life: Any = None
    interval_floor: float = 0.0
    trend_power: float = 0.0
    trend_window: Any = "30D"
    events: Iterable[str] | None = None
    memory: float | None = None

    def __post_init__(self) -> None:
        check_number(self.regularization, "regularization", above=0)
        if not isinstance(self.weights, Weights):
            raise ParameterError(
                f"weights must be a Weights. Got {shown(self.weights)}: write Weights(step_half_life=2)."
            )
        check_integer(self.context_steps, "context_steps", low=1)
        if self.interval_half_life is not None:
            check_duration(self.interval_half_life, "interval_half_life")
        check_number(self.interval_floor, "interval_floor", low=0, high=1)
        check_number(self.trend_power, "trend_power", low=0, high=1)
        check_duration(self.trend_window, "trend_window")
        if self.events is not None:
            object.__setattr__(self, "events", check_names(self.events, "events"))
        if self.memory is not None:
            check_number(self.memory, "memory", above=0)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> ItemModel:
        """Return the item-to-item model; ``weights[j, i]`` is the weight of j in the history for i as the next item.

        Raises
        ------
        EmptyError
            When nobody has two steps.
        ParameterError
            When items squared do not fit in memory, or ``events`` names a type that the log does not have.
        """
        log = events_of(data, "NextItem.fit")
        check_names_of(self.weights, log.events.ids, log.channels.ids)
        past, following = self._examples(log)
        if not past.nnz or not following.nnz:
            raise EmptyError(
                f"NextItem.fit: none of {log.n_users:,} people did one thing after another. Use EASE, which needs no "
                "order, or check that timestamps differ."
            )
        n, single = log.n_items, is_single(past, self.regularization)
        peak = (8 if single else 12) * n**2 + ridge_scratch(n, past.nnz, single=single)
        require_memory(
            "NextItem.fit",
            peak,
            f"{n:,} items squared",
            "Keep the most popular items, or group products into categories",
            limit=self.memory,
        )
        weights = _ridge(past, following, self.regularization, threads)
        if self.trend_power:
            today = _recent(log, check_duration(self.trend_window, "trend_window"))[1] ** self.trend_power
            weights *= (today[None, :] / today[:, None]).astype(np.float32)
        with_item = np.flatnonzero(log.item != NONE)
        pair = distinct(log.user[with_item].astype(np.int64) * log.n_items + log.item[with_item])
        popularity = np.bincount(pair % log.n_items, minlength=log.n_items).astype(np.float32)
        return ItemModel(log.items, popularity, weights, self.weights)

    def _examples(self, log: EventLog) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """Return inputs Z and targets Y, each (steps of all people, n_items): row by row what came before, and next."""
        amount = event_weights(log, replace(self.weights, step_half_life=None, half_life=None), log.end_us)
        target = event_targets(log, self.weights)
        amount = amount if target is None else amount * target
        target = self._targets(log)
        counted = np.flatnonzero((log.item != NONE) & ((amount != 0) | target))
        user, item, amount = log.user[counted], log.item[counted], amount[counted]
        step, last = person_steps(user, log.at[counted])
        steps_of = np.zeros(log.n_users, np.int64)
        steps_of[user] = last + 1
        base = np.cumsum(steps_of) - steps_of
        shape = (int(steps_of.sum()), log.n_items)
        reach = np.minimum(self.context_steps, last - step)  # an event is seen by this many later steps
        event = np.repeat(np.arange(user.size), reach)
        lag = np.arange(event.size) - np.repeat(np.cumsum(reach) - reach, reach)  # 0 for the step right after
        half_life = self.weights.step_half_life
        value = amount[event] if half_life is None else amount[event] * np.exp2(-lag / half_life)
        row = base[user[event]] + step[event] + 1 + lag
        if self.interval_half_life is not None:
            instant = np.zeros(shape[0], np.int64)
            instant[base[user] + step] = log.at[counted]
            fade = np.exp2(-(instant[row] - log.at[counted][event]) / self._interval())
            value = value * np.maximum(fade, self.interval_floor)
        trend = np.ones(counted.size)
        if self.trend_power:
            trend = _recent(log, check_duration(self.trend_window, "trend_window"))[0][counted] ** -self.trend_power
            value = value * trend[event]
        past = sp.csr_matrix((value, (row, item[event])), shape)
        past.eliminate_zeros()
        aim = target[counted]
        place = (base[user] + step)[aim]
        _, once = np.unique(place * log.n_items + item[aim], return_index=True)
        following = sp.csr_matrix((trend[aim][once], (place[once], item[aim][once])), shape)
        return past, following  # an item taken twice at one instant is one target

    def _interval(self) -> int:
        return check_duration(self.interval_half_life, "interval_half_life")

    def _targets(self, log: EventLog) -> np.ndarray:
        """Return which events are to be predicted, bool of shape (n,)."""
        if self.events is None:
            return np.ones(len(log), np.bool_)
        wanted = check_known(self.events, log.events.ids, "NextItem: events", missing=None)
        return np.isin(log.event, log.events.codes(wanted))


def _recent(log: EventLog, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the events of the same item in the window up to each event, and per item at the end; at least 1, float64.

    Events at one instant all count for one another, so their order does not matter. Time is counted in seconds, so that
    items after one another fit on one line.
    """
    window = max(window // 1_000_000, 1)
    some = np.flatnonzero(log.item != NONE)
    order = some[np.lexsort([log.at[some], log.item[some]])]
    item, at = log.item[order].astype(np.int64), log.at[order].astype(np.int64) // 1_000_000
    start, end = int(at.min(initial=0)), int(log.end_us) // 1_000_000
    span = end - start + 2 * window + 2  # of one item on a line that holds all, one after another
    line = item * span + (at - start) + window
    count = np.searchsorted(line, line, side="right") - np.searchsorted(line, line - window, side="left")
    found = np.ones(len(log))
    found[order] = count
    ends = np.arange(log.n_items, dtype=np.int64) * span + (end - start) + window
    today = np.searchsorted(line, ends, side="right") - np.searchsorted(line, ends - window, side="left")
    return found, np.maximum(today, 1).astype(np.float64)


def _ridge(inputs: sp.csr_matrix, targets: sp.csr_matrix, regularization: float, threads: int | None) -> np.ndarray:
    """Return (Z'Z + regularization I)^-1 Z'Y, float32 (n_items, n_items); float64 inside where it must be."""
    dtype = np.float32 if is_single(inputs, regularization) else np.float64
    gram = gram_matrix(inputs, dtype, threads=threads)
    inverse = mirrored(invert_ridge(gram, regularization, "NextItem.fit", threads=threads))
    follows = sp.csr_matrix((inputs.T @ targets).T, dtype=dtype)  # one row per target item
    follows.sort_indices()
    weights = np.empty(inverse.shape, np.float32)

    def fill(rows: slice) -> None:
        weights[:, rows] = (follows[rows] @ inverse).T

    in_blocks(fill, len(inverse), threads)
    return weights
