"""The history of one person that takes one event at a time: what a live service keeps beside its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_duration, check_instant, check_number, count_of, shown
from omnireco._core.frozen import ReadOnly
from omnireco.data.interactions import Interactions
from omnireco.data.large.update import check_updates
from omnireco.data.recommendations import to_float32
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.data.weights import Weights
from omnireco.errors import ParameterError, SchemaError

__all__ = ["History"]

_Cells = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class History:
    """What one person did, weighed at a clock, over the items of a matrix or model; ``observe`` gives a later one.

    ``Interactions.updated`` builds the matrix of everybody anew; this is the same rule for one row. Nothing in it says
    whose history it is.

    Parameters
    ----------
    items : Vocabulary
        What has a column; other items are left out, as they are of any history that meets a model.
    weights : Weights
        What an event is worth: a kind that :meth:`Interactions.updated` takes.
    at_us : int
        The clock of the decay, UTC microseconds.
    cells : mapping of str to mapping of int to float
        For each channel, item codes and their weight at the clock ``since_us``.
    since_us : int
        Cells are kept on the clock of the first event and read on ``at_us``, so that an event ages none of them.

    Notes
    -----
    ``observe`` costs a copy of the cells of one channel, some 10 microseconds for a hundred items; ``csr`` costs one
    pass over all. The sums are those of :meth:`Interactions.updated` in float64, rounded once.
    """

    items: Vocabulary
    weights: Weights
    at_us: int
    cells: _Cells
    since_us: int

    @classmethod
    def of(cls, x: Interactions, user: Any) -> History:
        """Return the history of one person of a matrix that a log was built into.

        Raises
        ------
        UnknownIdError
            When the matrix does not know the person; ``History.empty(x)`` is the history of a stranger.
        ParameterError
            When the matrix does not know what its events were worth, or its weights need the old events.
        """
        row = int(x.users.codes([user])[0])
        cells = {name: _row(layer, row) for name, layer in x.layers.items()}
        start = cls.empty(x)
        return replace(start, cells=ReadOnly({name: ReadOnly(cells[name]) for name in cells}))

    @classmethod
    def empty(cls, x: Interactions) -> History:
        """Return the history of somebody who did nothing so far, on the clock of a matrix."""
        weights, at_us = check_updates(x, None)
        return cls(x.items, weights, at_us, ReadOnly({}), at_us)

    def __repr__(self) -> str:
        n = len({code for layer in self.cells.values() for code in layer})
        return f"History({count_of(n, 'item')} of {len(self.items):,}, {count_of(len(self.cells), 'channel')})"

    def observe(self, item: Any, *, at: Any, event: str, channel: str, value: float | None = None) -> History:
        """Return the history with one event more, on the later one of its clock and the event's instant.

        Parameters
        ----------
        item : id or None
            An item that is not known here has no column: only the clock moves. None for an event without one.
        at : datetime, date or str
            With a zone. It may lie before the clock: an event that came late has decayed already.
        event, channel : str
        value : float, optional
            Needed where weights go by value.

        Raises
        ------
        SchemaError
            When weights go by value and none is given.
        IdKindError
            When the item is an id of another kind.
        """
        for name, word in (("event", event), ("channel", channel)):
            if not isinstance(word, str) or not word:
                raise ParameterError(f"{name} must be the name of one, a str. Got {shown(word)}.")
        when = check_instant(at, "at")
        amount = self._worth(event, channel, value, bare=item is None)
        code = NONE if item is None else int(self.items.codes([item], missing="none")[0])
        clock = max(self.at_us, when)
        if code == NONE or amount == 0.0:
            return replace(self, at_us=clock)
        half_life, since, cells = self._half_life(), self.since_us, self.cells
        if half_life is not None and (clock - since) / half_life > _MOST_HALVINGS:  # before a factor overflows
            cells, since = self._on_clock(clock), clock
        grown = dict(cells.get(channel, {}))
        rise = 1.0 if half_life is None else 2.0 ** ((when - since) / half_life)
        grown[code] = grown.get(code, 0.0) + amount * rise
        return replace(self, at_us=clock, since_us=since, cells=ReadOnly({**cells, channel: ReadOnly(grown)}))

    @property
    def csr(self) -> sp.csr_matrix:
        """The row of the whole, float32 (1, n_items), with sorted indices and no stored zeros."""
        whole: dict[int, float] = {}
        for layer in self._on_clock(self.at_us).values():
            for code, amount in layer.items():
                whole[code] = whole.get(code, 0.0) + amount
        return self._matrix(whole)

    def to_interactions(self, user: Any) -> Interactions:
        """Return the matrix of one row, for the person whose history this is: what any model takes."""
        layers = {name: self._matrix(layer) for name, layer in self._on_clock(self.at_us).items()}
        users = Vocabulary.from_ids([user])
        return Interactions(users, self.items, self.csr, layers, self.at_us, weights=self.weights)

    def _half_life(self) -> int | None:
        return None if self.weights.half_life is None else check_duration(self.weights.half_life, "half_life")

    def _worth(self, event: str, channel: str, value: float | None, *, bare: bool) -> float:
        """Return what an event of now is worth."""
        rule = self.weights
        amount = (rule.events or {}).get(event, 1.0) * (rule.channels or {}).get(channel, 1.0)
        if rule.value is None or amount == 0.0 or bare:
            return amount
        if value is None or value != value:
            raise SchemaError(
                f"observe: Weights(value={rule.value!r}) needs a value, and this {event!r} has none. "
                "Write history.observe(item, at=at, event=event, channel=channel, value=1.0)."
            )
        size = check_number(value, "value")
        return float(amount * (size if rule.value == "linear" else np.sign(size) * np.log1p(abs(size))))

    def _on_clock(self, at_us: int) -> _Cells:
        half_life = self._half_life()
        if half_life is None or at_us == self.since_us:
            return self.cells
        factor = 2.0 ** (-(at_us - self.since_us) / half_life)
        aged = {name: {code: v * factor for code, v in layer.items()} for name, layer in self.cells.items()}
        return ReadOnly({name: ReadOnly(layer) for name, layer in aged.items()})

    def _matrix(self, cells: Mapping[int, float]) -> sp.csr_matrix:
        code = np.fromiter(cells, np.int32, len(cells))
        data = to_float32(np.fromiter(cells.values(), np.float64, len(cells)))
        order = np.argsort(code)
        order = order[data[order] != 0]
        return sp.csr_matrix((data[order], code[order], np.array([0, order.size], np.int32)), (1, len(self.items)))


_MOST_HALVINGS = 500.0  # of 1,022 that float64 knows


def _row(layer: sp.csr_matrix, row: int) -> dict[int, float]:
    part = slice(layer.indptr[row], layer.indptr[row + 1])
    return dict(zip(layer.indices[part].tolist(), layer.data[part].tolist(), strict=True))
