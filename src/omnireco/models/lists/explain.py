"""Explanations that add up: the contribution of each past item, by channel and age, to a score."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import scipy.sparse as sp

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_duration, check_kind, count_of, shown
from omnireco._core.compute import Progress, track
from omnireco._core.notebook import shown_rows
from omnireco._core.parts import Array, Parts, coded, freeze, numbers
from omnireco._core.small import Each, Text
from omnireco.data.asking.histories import histories_of
from omnireco.data.asking.requests import Requests
from omnireco.data.events import EventLog
from omnireco.data.interactions import Interactions
from omnireco.data.parts import Ids
from omnireco.data.recommendations import Recommendations
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.data.weights import Weights, check_names_of, event_targets, event_weights
from omnireco.errors import ParameterError, SchemaError
from omnireco.models.base import Model

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Explanations", "explain"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Explanations:
    """The exact parts of scores: one row per person, item shown, past item and channel.

    Parameters
    ----------
    users, items : Vocabulary
        Ids of the people explained, and of all items.
    channels : tuple of str
        Layers of the histories.
    user, item, because, channel : ndarray of shape (n,), int32
        Codes of the person, the item shown, the item of the past, and the channel it was met on.
    contribution : ndarray of shape (n,), float64
        What it adds to the score; negative when it lowers the item.
    ages : tuple of str
        Names of the ranges of age, youngest first; empty when no events were given.
    age : ndarray of shape (n,), int32
        Which of them.
    """

    users: Vocabulary
    items: Vocabulary
    channels: tuple[str, ...]
    user: np.ndarray
    item: np.ndarray
    because: np.ndarray
    channel: np.ndarray
    contribution: np.ndarray
    ages: tuple[str, ...]
    age: np.ndarray

    parts: ClassVar[Parts] = {
        "users": Ids(people=True),
        "items": Ids(),
        **{name: Each(Text(), name) for name in ("channels", "ages")},
        "user": coded("users", "n"),
        "item": coded("items", "n"),
        "because": coded("items", "n"),
        "channel": coded("channels", "n"),
        "contribution": numbers("n"),
        "age": Array(np.int32, ("n",), -1),
    }

    def __post_init__(self) -> None:
        freeze(self)

    def __repr__(self) -> str:
        return f"Explanations({count_of(self.contribution.size, 'contribution')}, {count_of(len(self.users), 'user')})"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_rows("n")

    def to_frame(self) -> pd.DataFrame:
        """Return user_id, item_id, because_item_id, channel, age, contribution: largest first for each item shown.

        ``age`` is there when events were given.
        """
        import pandas as pd

        order = np.lexsort([self.age, self.channel, self.because, -self.contribution, self.item, self.user])
        frame = pd.DataFrame(
            {
                "user_id": self.users.decode(self.user[order]),
                "item_id": self.items.decode(self.item[order]),
                "because_item_id": self.items.decode(self.because[order]),
                "channel": np.array(self.channels, object)[self.channel[order]],
                "contribution": self.contribution[order],
            }
        )
        if self.ages:
            frame.insert(4, "age", np.array(self.ages, object)[self.age[order]])
        return frame

    def by_channel(self) -> pd.DataFrame:
        """Return user_id, item_id and one column per channel with what it adds to the score, and their sum, score."""
        return self._summed(self.channel, self.channels)

    def by_age(self) -> pd.DataFrame:
        """Return user_id, item_id and one column per range of age with what it adds, and their sum, score.

        Raises
        ------
        ParameterError
            When :func:`explain` was given no events.
        """
        if not self.ages:
            raise ParameterError(
                "by_age: a matrix does not know when things happened. Give the events too: "
                "explain(model, x, lists, events=log, weights=weights)."
            )
        return self._summed(self.age, self.ages)

    def _summed(self, group: np.ndarray, names: tuple[str, ...]) -> pd.DataFrame:
        import pandas as pd

        pair = self.user.astype(np.int64) * max(1, len(self.items)) + self.item
        shown, row = np.unique(pair, return_inverse=True)
        table = np.zeros((shown.size, len(names)))
        np.add.at(table, (row, group), self.contribution)
        frame = pd.DataFrame(table, columns=list(names))
        frame.insert(0, "item_id", self.items.decode(shown % max(1, len(self.items))))
        frame.insert(0, "user_id", self.users.decode(shown // max(1, len(self.items))))
        return frame.assign(score=table.sum(axis=1))


def explain(
    model: Model,
    histories: Interactions | Requests,
    lists: Recommendations,
    *,
    events: EventLog | None = None,
    weights: Weights | None = None,
    ages: Iterable[Any] = ("1D", "7D", "30D", "90D", "365D"),
    progress: Progress = False,
) -> Explanations:
    """Take the score of everything shown apart into what each item of the past, on each channel, adds.

    Exact, not post hoc: the contributions are the terms of the score, and their sum is the score.

    Parameters
    ----------
    model : ItemModel, ProjectionModel, FactorModel, a blend of them, or ChannelModel for all channels
        The one that made the lists.
    histories : Interactions or Requests
        The requests that the lists were made for, or the histories; their layers are the channels.
    lists : Recommendations
        Of people in ``histories``; those without a history have nothing to explain.
    events, weights : EventLog and Weights, optional
        What the histories were built from, ``events.matrix(weights)``: then contributions are split by age too.
    ages : iterable of str or timedelta
        Where the ranges of age end, rising; the last range is open.
    progress : bool or callable(done, total)
        A bar over the people.

    Returns
    -------
    Explanations

    Raises
    ------
    ParameterError
        When the score of the model is no sum over the history (popularity, neighbours, ranks, the list of one channel),
        ages do not rise, or the events are not those of the histories.

    Notes
    -----
    Linear models: ``weight of the past item x its weight for the item shown``. Factor models: with
    ``A = gram + ridge I + sum w y y'`` of the person, ``pull_j y_j' A^-1 y_i``, exact for this history (another history
    has another A). A channel's part of a cell is its share of the cell's weight, an event's its share of the weight
    times the target. :class:`CrossChannel` joins channels after weights and saturation: a channel's part is what it
    adds to the joined cell, and its events share that part by their weight. Ages count back from the clock of the
    histories. Sums agree with ``model.score`` to float32 rounding. Meant for some people at a time:
    O(people x (d^3 + past x shown x d)).

    References
    ----------
    Factor models: Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008,
    section 5.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.models import EASE
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": list("ababa"),
    ...                                           "channel": ["web", "store", "web", "web", "store"]}))
    >>> model = EASE(regularization=1.0).fit(x)
    >>> explanations = explain(model, x, model.recommend(x.rows([3]), k=1))
    >>> explanations.to_frame()[["item_id", "because_item_id", "channel"]].to_numpy().tolist()
    [['b', 'a', 'store']]
    """
    if not isinstance(lists, Recommendations):
        raise SchemaError(f"explain takes the lists of model.recommend. Got {type(lists).__name__}.")
    check_kind(model, Model, "explain: model", "EASE().fit(x)")
    check_kind(events, EventLog, "explain: events", "EventLog.from_frame(frame)", none=True)
    if lists.items != model.items:
        raise ParameterError("explain: the lists are over other items than the model. Explain the model's own lists.")
    if isinstance(histories, Requests):
        weights_read = model._asked_with("explain")
        histories = histories_of(histories, weights_read, model.items, "explain", model._events_read)
    known = model._align(histories)
    model, joined = model._explained()
    position = known.users.codes(lists.users.ids)
    pieces = _layer_pieces(known, position)
    names: tuple[str, ...] = ()
    if events is not None:
        names, edges = _age_ranges(ages)
        pieces = _event_pieces(known, position, events, Weights() if weights is None else weights, edges, joined)
    row, cell, channel, age, share = pieces
    found: list[tuple[np.ndarray, ...]] = []
    edge = np.searchsorted(row, np.arange(position.size + 1))
    for person in track(range(position.size), progress, label="explain"):
        start, stop = known.csr.indptr[position[person]], known.csr.indptr[position[person] + 1]
        shown = lists.codes[person][lists.codes[person] != NONE]
        own = slice(edge[person], edge[person + 1])
        if start == stop or not shown.size:
            continue
        history = known.csr[[position[person]]]
        targets = None if known.targets is None else known.targets[[position[person]]].data
        parts = model._contributions(history, targets, shown)  # (past, shown)
        past = cell[own] - start
        value = parts[past] * share[own][:, None]
        because = np.repeat(history.indices[past], shown.size)
        labels = (np.repeat(part[own], shown.size) for part in (channel, age))
        found.append((np.full(value.size, person), np.tile(shown, past.size), because, *labels, value.ravel()))
    columns = [np.concatenate(part) for part in zip(*found, strict=True)] if found else [np.empty(0)] * 6
    user, item, because, on, old = (column.astype(np.int32) for column in columns[:5])
    layers, value = tuple(known.layers), columns[5].astype(np.float64)
    return Explanations(lists.users, model.items, layers, user, item, because, on, value, names, old)


_Pieces = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _layer_pieces(known: Interactions, position: np.ndarray) -> _Pieces:
    """Return (row of the list, cell of the matrix, channel, age, share of the cell), by row: one piece per channel."""
    some = known.take(position)
    lengths = np.diff(some.csr.indptr)
    row = np.repeat(np.arange(position.size), lengths)
    cell = (
        np.arange(row.size) - np.repeat(some.csr.indptr[:-1], lengths) + np.repeat(known.csr.indptr[position], lengths)
    )
    key = _cell_keys(some.csr)
    found = []
    for code, layer in enumerate(some.layers.values()):
        place, there = _found(key, _cell_keys(layer))
        place = place[there]  # what cancels out over the channels is no cell, and adds nothing
        share = layer.data[there].astype(np.float64) / some.csr.data[place]
        found.append((row[place], cell[place], np.full(place.size, code), np.zeros(place.size, np.int64), share))
    if not found:  # nobody has a history, so there is no channel
        none = np.empty(0, np.int64)
        return none, none, none, none, np.empty(0)
    pieces = [np.concatenate(part) for part in zip(*found, strict=True)]
    order = np.lexsort([pieces[2], pieces[1], pieces[0]])
    return (pieces[0][order], pieces[1][order], pieces[2][order], pieces[3][order], pieces[4][order])


def _event_pieces(
    known: Interactions, position: np.ndarray, events: EventLog, weights: Weights, edges: np.ndarray, joined: bool
) -> _Pieces:
    """Return the pieces of cells by event: what each adds to the cell, grouped by channel and range of age."""
    clock = known.at_us if known.at_us is not None else events.end_us
    check_names_of(weights, events.events.ids, events.channels.ids)
    counts, target = event_weights(events, weights, clock), event_targets(events, weights)
    pull = counts if target is None else counts * target
    names = {name: code for code, name in enumerate(known.layers)}
    channel = np.array([names.get(str(name), NONE) for name in events.channels.ids], np.int64)[events.channel]
    row_of = np.full(known.n_users, NONE, np.int64)
    row_of[position] = np.arange(position.size)
    user = np.append(known.users.codes(events.users.ids, missing="none"), NONE)[events.user]
    item = np.append(known.items.codes(events.items.ids, missing="none"), NONE)[events.item]
    row = np.where(user == NONE, NONE, row_of[user])
    since = clock - events.at
    keep = np.flatnonzero((row != NONE) & (item != NONE) & (counts != 0) & (since > 0) & (channel != NONE))
    row, item, channel, pull = row[keep], item[keep], channel[keep], pull[keep]
    age = np.searchsorted(edges, since[keep], side="right")
    width = np.int64(max(1, known.n_items))
    some = known.take(position)
    key = _cell_keys(some.csr)
    asked_for = row * width + item
    place, there = _found(key, asked_for)
    met = np.zeros(key.size, np.bool_)
    met[place[there]] = True
    lost = _lost(some, asked_for[~there], counts[keep[~there]])
    if key.size and (lost or not met.all()):
        raise ParameterError(
            f"explain: the events are not those of the histories: {int((~met).sum()):,} of {met.size:,} cells of the "
            f"users of the lists have no event, and {lost:,} cells have events only. Give the log and the weights that "
            "made them: events.matrix(weights)."
        )
    keep, row, channel, age, place, pull = (part[there] for part in (keep, row, channel, age, place, pull))
    if joined:  # the channel's part of the cell, over the weight of its events
        part = np.zeros((len(names), key.size))
        for code, layer in enumerate(some.layers.values()):
            at, there = _found(key, _cell_keys(layer))
            part[code, at[there]] = layer.data[there]
        slot = channel * key.size + place
        size = np.bincount(slot, weights=counts[keep], minlength=part.size)[slot]
        pull = pull * np.divide(part.ravel()[slot], size, out=np.zeros(size.size), where=size != 0)
    total = np.bincount(place, weights=pull, minlength=key.size)
    shift = known.csr.indptr[position] - some.csr.indptr[:-1]
    cell = place + shift[row]
    share = np.divide(pull, total[place], out=np.zeros(pull.size), where=total[place] != 0)
    order = np.lexsort([age, channel, cell, row])
    row, cell, channel, age, share = row[order], cell[order], channel[order], age[order], share[order]
    fresh = np.ones(row.size, np.bool_)
    fresh[1:] = (np.diff(cell) != 0) | (np.diff(channel) != 0) | (np.diff(age) != 0) | (np.diff(row) != 0)
    first = np.flatnonzero(fresh)
    summed = np.add.reduceat(share, first) if first.size else share
    return row[first], cell[first], channel[first], age[first], summed


def _cell_keys(cells: sp.csr_matrix) -> np.ndarray:
    """Return row x columns + column of each cell, rising."""
    row = np.repeat(np.arange(cells.shape[0], dtype=np.int64), np.diff(cells.indptr))
    return row * max(1, cells.shape[1]) + cells.indices


def _found(key: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where wanted keys stand among rising ones, and which of them do stand there."""
    place = np.searchsorted(key, wanted)
    there = np.zeros(wanted.size, np.bool_)
    inside = np.flatnonzero(place < key.size)
    there[inside] = key[place[inside]] == wanted[inside]
    return place, there


def _lost(some: Interactions, wanted: np.ndarray, amount: np.ndarray) -> int:
    """Return how many cells of events are in no layer and do not cancel out: the histories were not made of them."""
    for layer in some.layers.values():
        new = ~_found(_cell_keys(layer), wanted)[1]
        wanted, amount = wanted[new], amount[new]
    cell, which = np.unique(wanted, return_inverse=True)
    net, size = (np.bincount(which, weights=part, minlength=cell.size) for part in (amount, np.abs(amount)))
    return int((np.abs(net) > 1e-6 * size).sum())


def _age_ranges(ages: Iterable[Any]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of the ranges of age and where they end, in microseconds."""
    listed = list(ages) if isinstance(ages, Iterable) and not isinstance(ages, (str, bytes)) else [ages]
    edges = np.array([check_duration(age, "ages") for age in listed], np.int64)
    if not edges.size or (np.diff(edges) <= 0).any():
        raise ParameterError(f"ages must rise, such as ('7D', '30D'). Got {shown(listed)}.")
    text = [str(age) for age in listed]
    between = [f"{low} to {high}" for low, high in itertools.pairwise(text)]
    return (f"under {text[0]}", *between, f"over {text[-1]}"), edges
