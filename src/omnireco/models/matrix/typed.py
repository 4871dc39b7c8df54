"""Several behaviours as inputs, one as the target: views, carts and visits as predictors of the next purchase."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import (
    check_choice,
    check_flag,
    check_integer,
    check_known,
    check_names,
    check_number,
    count_of,
    shown,
)
from omnireco._core.compute import Progress, require_memory
from omnireco._core.contract import Estimator
from omnireco._core.parts import Parts, numbers, sound
from omnireco._core.small import Each, Plain, Text, Whole
from omnireco._kernels.log.cells import Coded
from omnireco._kernels.log.order import distinct
from omnireco._kernels.topk.exact import rank_histories, select
from omnireco.data.events import EventLog, require_events
from omnireco.data.interactions import Interactions
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.data.weights import Weights, event_weights, person_steps
from omnireco.errors import EmptyError, ParameterError, SchemaError
from omnireco.models.base import Model, events_of
from omnireco.models.matrix.linear import fading
from omnireco.models.matrix.squares import gram_matrix, in_blocks, invert_ridge, is_single, mirrored, ridge_scratch

__all__ = ["TypedEASE", "TypedModel", "typed_inputs"]

By = Literal["event", "channel", "channel and event"]
_BY = ("event", "channel", "channel and event")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TypedEASE(Estimator):
    """Predict one behaviour from all of them by one ridge regression: each type of input has weights of its own.

    A view of a pan, a pan in the basket and a pan bought predict differently which pot is bought next; the weights
    are learned instead of set by hand. Every type (event, channel, or
    both) is a block of inputs beside the others, and the regression weighs them against one another.

    Parameters
    ----------
    target : iterable of str or str
        Types of event to predict.
    target_channels : iterable of str, optional
        Channels on which they count; all by default.
    by : {"event", "channel", "channel and event"}
        What makes inputs differ.
    regularization : float
        Ridge penalty on the weights, in units of squared cells.
    input_half_life : float, str or timedelta, optional
        Half-life of the inputs: a number counts the person's steps, ``"30D"`` is a time. None: they do not.
    context_steps : int
        Steps an example looks back.
    repeats : bool
        Whether an item's own past in the target behaviour may predict it. False, as in EASE, predicts only from other
        items; True where people buy the same things again (``recommend(..., exclude_seen=False)``).
    memory : float, optional
        Memory limit in bytes; what the machine has free by default.

    Notes
    -----
    For each step j in which a person shows the target behaviour, row z_j holds what they did in the ``context_steps``
    steps before it, one block of items per type, and y_j marks the target items of step j. Nothing at or after step j
    is in z_j, so no input can know its target. ``P = (Z'Z + regularization I)^-1``, ``B = P Z'Y``, and without
    ``repeats`` ``B_i -= P_D (P_DD)^-1 B_Di``, the exact solution with the weights from D, item i in the target's own
    blocks, held at 0. Scores are ``z B`` with z everything the person did, decayed towards the end of the log. A
    dislike is a type of event like any other: its coefficient is learned, with its sign. Deterministic. Time O((types x
    items)^3), memory 20 bytes x (types x items)^2.

    References
    ----------
    Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019, equations 6 to 8; inputs that are not
    the targets: Jeunen, Van Balen and Goethals, "Closed-form models for collaborative filtering with
    side-information", RecSys 2020, section 3.

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> days = pd.date_range("2025-05-01", periods=3, tz="UTC")
    >>> log = EventLog.from_frame(pd.DataFrame({
    ...     "user_id": [1, 1, 2, 2, 3], "item_id": ["pan", "pot", "pan", "pot", "pan"], "channel": "web",
    ...     "event": ["view", "purchase", "view", "purchase", "view"], "timestamp": days[[0, 1, 0, 1, 2]]}))
    >>> model = TypedEASE(target="purchase", regularization=1.0).fit(log)
    >>> model.recommend(om.Dataset(log).requests([3]), k=1).to_frame()["item_id"].tolist()
    ['pot']
    """

    target: Iterable[str] | str = "purchase"
    target_channels: Iterable[str] | None = None
    by: By = "event"
    regularization: float = 100.0
    input_half_life: Any = None
    context_steps: int = 20
    repeats: bool = False
    memory: float | None = None

    def __post_init__(self) -> None:
        target = (self.target,) if isinstance(self.target, str) else check_names(self.target, "target")
        object.__setattr__(self, "target", target)
        if self.target_channels is not None:
            object.__setattr__(self, "target_channels", check_names(self.target_channels, "target_channels"))
        check_choice(self.by, "by", _BY)
        check_number(self.regularization, "regularization", above=0)
        fading(self.input_half_life)
        check_integer(self.context_steps, "context_steps", low=1)
        check_flag(self.repeats, "repeats")
        if self.memory is not None:
            check_number(self.memory, "memory", above=0)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> TypedModel:
        """Return the model; use it with ``model.recommend(data.requests(), k=10)``.

        Raises
        ------
        EmptyError
            When there are no training examples: no target event after another event.
        ParameterError
            When ``target`` or ``target_channels`` do not occur, or (types x items)^2 does not fit in memory.
        """
        log = events_of(data, "TypedEASE.fit")
        aim = self._targets(log)
        names, kind = _types(log, self.by)
        n, n_types = log.n_items, len(names)
        inputs, targets = self._examples(log, kind, n_types, aim)
        if not inputs.nnz or not targets.nnz:
            raise EmptyError(
                f"TypedEASE.fit: none of {log.n_users:,} people did something before a step with {list(self.target)}. "
                "Check that timestamps differ, or use EASE, which needs no order."
            )
        self._require_memory(inputs, n)
        own = np.unique(kind[aim])
        weights = _typed_ridge(inputs, targets, self.regularization, () if self.repeats else own, threads)
        pair = distinct(log.user[aim].astype(np.int64) * n + log.item[aim])
        popularity = np.bincount(pair % n, minlength=n).astype(np.float32)
        return TypedModel.build(
            log.items,
            popularity,
            weights,
            types=names,
            target=int(own[0]),
            by=self.by,
            input_half_life=self.input_half_life,
        )

    def _targets(self, log: EventLog) -> np.ndarray:
        """Return which events are to be predicted, bool of shape (n,)."""
        aim = log.item != NONE
        for names, known, codes, what in (
            (self.target, log.events, log.event, "target"),
            (self.target_channels, log.channels, log.channel, "target_channels"),
        ):
            if names is None:
                continue
            wanted = check_known(names, known.ids, f"TypedEASE: {what}", missing=None)
            aim &= np.isin(codes, known.codes(wanted))
        return aim

    def _examples(
        self, log: EventLog, kind: np.ndarray, n_types: int, aim: np.ndarray
    ) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """Return inputs Z (examples, n_types * n_items) and targets Y (examples, n_items), one row per target step."""
        some = np.flatnonzero(log.item != NONE)
        user, item, at, block, aim = (a[some] for a in (log.user, log.item, log.at, kind, aim))
        step, last = person_steps(user, at)
        steps_of = np.zeros(log.n_users, np.int64)
        steps_of[user] = last + 1
        row = (np.cumsum(steps_of) - steps_of)[user] + step  # one per person and step
        instant = np.zeros(int(steps_of.sum()), np.int64)
        instant[row] = at
        example = np.full(instant.size, NONE, np.int64)  # only steps with a target become rows
        chosen = np.unique(row[aim])
        example[chosen] = np.arange(chosen.size)
        reach = np.minimum(
            self.context_steps, last - step
        )  # an event is seen by this many later steps, never by its own
        event = np.repeat(np.arange(user.size), reach)
        ahead = np.arange(event.size) - np.repeat(np.cumsum(reach) - reach, reach) + 1
        used = example[row[event] + ahead] != NONE
        event, ahead = event[used], ahead[used]
        steps, time_us = fading(self.input_half_life)
        value = np.ones(event.size)
        if steps is not None:
            value = np.exp2(-(ahead - 1) / steps)
        elif time_us is not None:
            value = np.exp2(-(instant[row[event] + ahead] - at[event]) / time_us)
        column = block[event].astype(np.int64) * log.n_items + item[event]
        inputs = sp.csr_matrix((value, (example[row[event] + ahead], column)), (chosen.size, n_types * log.n_items))
        inputs.eliminate_zeros()
        inputs.sort_indices()
        targets = sp.csr_matrix((np.ones(int(aim.sum())), (example[row[aim]], item[aim])), (chosen.size, log.n_items))
        targets.data[:] = 1.0  # an item taken twice at one instant is one target
        return inputs, targets

    def _require_memory(self, inputs: sp.csr_matrix, n_items: int) -> None:
        single, n = is_single(inputs, self.regularization), inputs.shape[1]
        require_memory(
            "TypedEASE.fit",
            (4 if single else 8) * n**2 + 4 * n * n_items + ridge_scratch(n, inputs.nnz, single=False),
            f"{n:,} inputs squared (types x items)",
            "Select fewer events or channels, or group products into categories",
            limit=self.memory,
        )


@dataclass(frozen=True, slots=True, eq=False)
class TypedModel(Model):
    """Item-to-item weights from several types of input: scores are the sum over types of ``history @ weights``.

    Parameters
    ----------
    items : Vocabulary
        Ids of the items that it knows, in the order of their codes.
    popularity : ndarray of shape (n_items,), float32
        How many people showed the target behaviour with each item: the ranking for people without a history.
    weights : ndarray of shape (n_types * n_items, n_items), float32
        ``weights[t * n_items + j, i]`` is what item j, met as type t, adds to the score of item i.
    types : tuple of str
        The blocks of inputs, in order.
    target : int
        The block of the target behaviour: what a history without types counts as.
    by, input_half_life
        See :class:`TypedEASE`: how :meth:`inputs` reads a log.
    """

    items: Vocabulary
    popularity: np.ndarray
    weights: np.ndarray
    types: tuple[str, ...]
    target: int
    by: By
    input_half_life: Any
    _wide: Vocabulary = field(repr=False)

    parts: ClassVar[Parts] = {
        "items": Ids(),
        "popularity": numbers("items", dtype=np.float32),
        "weights": numbers("inputs", "items", dtype=np.float32),
        "types": Each(Text()),
        "target": Whole(),
        "by": Text(("event", "channel", "channel and event")),
        "input_half_life": Plain(),
    }

    reads_layers: ClassVar[bool] = True

    @classmethod
    def build(
        cls,
        items: Vocabulary,
        popularity: np.ndarray,
        weights: np.ndarray,
        *,
        types: tuple[str, ...],
        target: int,
        by: By,
        input_half_life: Any,
    ) -> TypedModel:
        """Return the model of its parts: used by all constructors."""
        weights = sound(numbers("inputs", len(items), dtype=np.float32), weights, "TypedModel: weights")
        popularity = sound(numbers(len(items), dtype=np.float32), popularity, "TypedModel: popularity")
        if weights.shape != (len(types) * len(items), len(items)) or not 0 <= target < len(types):
            raise ParameterError(f"TypedModel: weights of shape {weights.shape} do not fit the types and items.")
        wide = Vocabulary(np.arange(len(weights), dtype=np.int64))
        return cls(items, popularity, weights, types, target, by, input_half_life, wide)

    def __repr__(self) -> str:
        return f"TypedModel({count_of(len(self.items), 'item')}, inputs: {', '.join(self.types)})"

    def inputs(self, data: Any) -> Interactions:
        """Return the histories the model reads: one layer per type, decayed towards the end of the events.

        ``log.before(cut)`` ends at the cut. Events without an item are left out, and so are items the model does not
        know.
        """
        log = events_of(data, "inputs")
        return typed_inputs(log, by=self.by, input_half_life=self.input_half_life).with_items(self.items)

    @property
    def event_weights(self) -> Weights:  # type: ignore[override]
        """Inputs at prediction: decayed, type by type."""
        return _fading(self.input_half_life)

    def _events_read(self, log: EventLog) -> EventLog:
        names, kind = _types(log, self.by)
        return replace(log, channels=Vocabulary(np.array(names, object)), channel=kind)

    def _align(self, histories: Interactions) -> Interactions:
        """Return histories with one column per type and item, in the order of the weights' rows."""
        known = Model._align(self, histories).without_targets()
        layers = dict(known.layers)
        if set(layers) == {"all"}:
            layers = {self.types[self.target]: layers["all"]}
        if "basket" in layers and "basket" not in self.types:  # what lies in the basket is as good as done
            basket, held = layers.pop("basket"), layers.get(self.types[self.target])
            layers[self.types[self.target]] = basket if held is None else sp.csr_matrix(held + basket)
        strange = [name for name, layer in layers.items() if name not in self.types and layer.nnz]
        if strange:
            raise SchemaError(
                f"histories have the types {', '.join(map(shown, strange))}, and the model was fitted on "
                f"{', '.join(map(repr, self.types))}. Build them with model.inputs(log), from a log "
                "that has only these."
            )
        nothing = sp.csr_matrix(known.shape, dtype=np.float32)
        wide = sp.csr_matrix(sp.hstack([layers.get(name, nothing) for name in self.types], format="csr"))
        wide.sort_indices()
        return Interactions(known.users, self._wide, wide, {"all": wide}, known.at_us)

    def _rank(
        self,
        histories: sp.csr_matrix,
        *,
        k: int,
        exclude: sp.csr_matrix | None,
        eligible: Any,
        threads: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        return rank_histories(histories, self.weights, k, exclude, eligible, None, threads)

    def _seen(self, cells: sp.csr_matrix) -> sp.csr_matrix:
        row = np.repeat(np.arange(cells.shape[0]), np.diff(cells.indptr))
        n = len(self.items)
        found = sp.csr_matrix((np.ones(cells.nnz, np.float32), (row, cells.indices % n)), (cells.shape[0], n))
        found.sum_duplicates()
        return found

    def _reading(self) -> str:
        return self.by

    def _score(self, histories: sp.csr_matrix, codes: np.ndarray) -> np.ndarray:
        return (histories.astype(np.float64) @ self.weights[:, codes].astype(np.float64)).astype(np.float32)

    def _similar(
        self, codes: np.ndarray, *, k: int, eligible: Any, threads: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        n = len(self.items)
        scores = np.array(self.weights[self.target * n : (self.target + 1) * n, codes].T)
        itself = sp.csr_matrix((np.ones(codes.size), (np.arange(codes.size), codes)), scores.shape)
        return select(scores, k=k, exclude=itself, eligible=eligible)


def typed_inputs(log: EventLog, *, by: By = "event", input_half_life: Any = None) -> Interactions:
    """Return users x items with one layer per type of behaviour instead of per channel.

    Parameters
    ----------
    log : EventLog
        Events without an item are left out.
    by : {"event", "channel", "channel and event"}
        What makes types differ; "channel and event" gives layers such as ``"app/view"``.
    input_half_life : float, str or timedelta, optional
        Half-life of events before the end of the log: a number counts the person's steps, ``"30D"`` is a time.

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog.from_frame(pd.DataFrame({
    ...     "user_id": [1, 1], "item_id": ["pan", "pan"], "channel": "web", "event": ["view", "purchase"],
    ...     "timestamp": pd.date_range("2025-05-01", periods=2, tz="UTC")}))
    >>> list(typed_inputs(log).layers)
    ['purchase', 'view']
    """
    require_events(log, "typed_inputs")
    check_choice(by, "by", _BY)
    names, kind = _types(log, by)
    weights = _fading(input_half_life)
    amount = event_weights(log, weights, log.end_us)
    some = np.flatnonzero(log.item != NONE)
    return Interactions.from_cells(
        log.users,
        log.items,
        Coded(log.user[some], log.item[some], kind[some], amount[some]),
        channels=Vocabulary(np.array(names, object)),
        at_us=log.end_us,
    )


def _fading(input_half_life: Any) -> Weights:
    steps, time_us = fading(input_half_life)
    return Weights(step_half_life=steps, half_life=None if time_us is None else input_half_life)


def _types(log: EventLog, by: By) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of the types that occur, and the code of each event's, int32 (n,)."""
    if by == "event":
        return tuple(map(str, log.events.ids)), log.event
    if by == "channel":
        return tuple(map(str, log.channels.ids)), log.channel
    n_events = len(log.events)
    pair = log.channel.astype(np.int64) * n_events + log.event
    occurring, code = np.unique(pair, return_inverse=True)
    names = [f"{log.channels.ids[p // n_events]}/{log.events.ids[p % n_events]}" for p in occurring]
    return tuple(names), code.astype(np.int32).reshape(-1)


def _typed_ridge(
    inputs: sp.csr_matrix, targets: sp.csr_matrix, regularization: float, held: Iterable[int], threads: int | None
) -> np.ndarray:
    """Return B (n_inputs, n_items), float32, with the weights of item i in each block of ``held`` at zero."""
    dtype = np.float32 if is_single(inputs, regularization) else np.float64
    gram = gram_matrix(inputs, dtype, threads=threads)
    inverse = mirrored(invert_ridge(gram, regularization, "TypedEASE.fit", threads=threads))
    follows = sp.csr_matrix((inputs.T @ targets).T, dtype=dtype)  # one row per target item
    follows.sort_indices()
    n_items = targets.shape[1]
    weights = np.empty((len(inverse), n_items), np.float32)
    own = np.array([block * n_items for block in held], np.int64)[None, :] + np.arange(n_items)[:, None]

    def fill(rows: slice) -> None:
        part = np.asarray(follows[rows] @ inverse, np.float64)  # (items, inputs)
        if own.size:
            at = own[rows]
            corner = inverse[at[:, :, None], at[:, None, :]].astype(np.float64)
            price = np.linalg.solve(corner, np.take_along_axis(part, at, axis=1)[:, :, None])[:, :, 0]
            for block in range(at.shape[1]):
                part -= price[:, block, None] * inverse[at[:, block]]
            np.put_along_axis(part, at, 0.0, axis=1)
        weights[:, rows] = part.T

    in_blocks(fill, n_items, threads)
    return weights
