"""What a batch job hands to a live service: models and tables, as one value that is swapped whole."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from omnireco._core.checks import check_duration, check_instant, check_kind, from_microseconds, shown
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Maybe, Parts, Record
from omnireco._core.small import INSTANT, Apart, Value
from omnireco.data.audience import Audience
from omnireco.data.catalog import Catalog
from omnireco.data.vocabulary import Vocabulary
from omnireco.data.weights import Weights
from omnireco.errors import ParameterError, SchemaError, StorageError
from omnireco.files.io import load_mapped, save
from omnireco.files.registering import register
from omnireco.live.ready import Ready

__all__ = ["Snapshot"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Snapshot:
    """Models and tables that a live service answers with, as a batch job made them.

    Parameters
    ----------
    model : Model, WhatNext, or another object that ranks items
        Anything with ``recommend(requests, k=)`` and ``items``.
    timing : fitted SendTime or other Timing, optional
        For :meth:`Live.next_touch`, with the audience.
    fatigue : fitted Fatigue, optional
        What one more message costs in later responses, for the value of messages.
    audience : Audience, optional
        Zones and consents; newer consents come as events.
    catalog : Catalog, optional
        Prices, margins and categories of the items, for rules and values.
    known_until : datetime, date or str, optional
        The end of the data that the models were fitted on: what staleness is counted from.

    Raises
    ------
    SchemaError
        When the model cannot recommend, or a part is of another kind.

    Examples
    --------
    >>> import omnireco as om
    >>> data = om.simulate(n_users=60, n_items=20, days=60, seed=1).dataset()
    >>> om.live.Snapshot(om.ALS(factors=8).fit(data), known_until=data.end)
    Snapshot(FactorModel(20 items, 8 factors), known until 2025-03-06)
    """

    model: Any
    timing: Any = None
    fatigue: Any = None
    audience: Audience | None = None
    catalog: Catalog | None = None
    known_until: Any = None
    _ready: Ready | None = None

    parts: ClassVar[Parts] = {
        "model": Value(),
        "timing": Maybe(Value()),
        "fatigue": Maybe(Value()),
        "audience": Maybe(Value((Audience,))),
        "catalog": Maybe(Value((Catalog,))),
        "known_until": Maybe(INSTANT),
        "_ready": Maybe(Apart(Record(Ready))),
    }

    def __post_init__(self) -> None:
        model = self.model
        if not callable(getattr(model, "recommend", None)) or not isinstance(getattr(model, "items", None), Vocabulary):
            raise SchemaError(
                f"Snapshot: model must be fitted and recommend items. Got {type(model).__name__}: write "
                "om.live.Snapshot(om.ALS().fit(data))."
            )
        check_kind(self.audience, Audience, "audience", "om.Audience.from_frame(frame)", none=True)
        check_kind(self.catalog, Catalog, "catalog", "om.Catalog.from_frame(frame)", none=True)
        if self.known_until is not None and type(self.known_until) is not int:
            object.__setattr__(self, "known_until", check_instant(self.known_until, "known_until"))
        if self._ready is not None:
            object.__setattr__(self, "model", self._ready.put_into(model))

    def __repr__(self) -> str:
        until = "" if self.known_until is None else f", known until {from_microseconds(self.known_until).date()}"
        return f"Snapshot({self.model!r}{until})"

    _repr_html_ = shown_html

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the snapshot to a file, whole or not at all; one that exists is replaced, and who has it open keeps it.

        Raises
        ------
        ParameterError
            When a part is of a kind that has no file form.
        StorageError
            When the file cannot be written.
        """
        return save(replace(self, _ready=Ready.of(self.model)), path)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, schema: str | None = None, at: Any = None, max_age: Any = None
    ) -> Snapshot:
        """Open a file that :meth:`save` wrote, in place: every process that opens it shares one copy in memory.

        Parameters
        ----------
        path : str or path
            On a disk of this machine. It may be replaced while it is open, and must not be written into.
        schema : str, optional
            The :attr:`schema` that the service was built for.
        at : datetime, date or str, optional
            Now, for ``max_age``.
        max_age : str or timedelta, optional
            How long ago ``known_until`` may lie.

        Raises
        ------
        StorageError
            When there is no such file, it is damaged or holds something else, has another schema, or is too old.

        Notes
        -----
        Every checksum is compared, which reads the file once. Vocabularies of texts are made for each process.
        """
        found = load_mapped(path)
        name = Path(path).name
        if not isinstance(found, cls):
            raise StorageError(
                f"Snapshot.open: {name!r} holds a {type(found).__name__}. Write om.live.Snapshot(model).save(path)."
            )
        if schema is not None and not (isinstance(schema, str) and found.schema == schema):
            raise StorageError(
                f"Snapshot.open: {name!r} has the schema {found.schema}, and {shown(schema)} was asked for: its model "
                "is of another kind, its ids are, or it names other events or channels. Make the snapshot as before, "
                "or ask for the schema of this one: Snapshot.open(path).schema."
            )
        if max_age is not None:
            if at is None:
                raise ParameterError("Snapshot.open: max_age needs at=, now: the library reads no clock.")
            found.check_age(check_instant(at, "at"), check_duration(max_age, "max_age"))
        return found

    @property
    def schema(self) -> str:
        """A fingerprint of what a service relies on: kinds of models and ids, event types and channels; no numbers."""
        kinds = [type(part).__name__ for part in (self.model, self.timing, self.fatigue, self.audience, self.catalog)]
        ids = [
            str(self.model.items.ids.dtype),
            *([] if self.audience is None else [str(self.audience.users.ids.dtype)]),
        ]
        channels = [] if self.audience is None else [str(name) for name in self.audience.channels.ids]
        text = json.dumps([kinds, ids, channels, *self.names])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def check_age(self, now_us: int, most_us: int) -> None:
        """Refuse to answer from a snapshot that is too old, or of unknown age."""
        until = self.known_until
        if until is None:
            raise StorageError(
                "The snapshot does not say until when its data is known, so its age is not. Write "
                "om.live.Snapshot(model, known_until=data.end)."
            )
        if now_us - until > most_us:
            hours = (now_us - until) / 3_600_000_000
            raise StorageError(
                f"The snapshot is stale: its data ends at {from_microseconds(until).isoformat()}, {hours:,.1f} h ago, "
                f"and {most_us / 3_600_000_000:,.1f} h are allowed. Fit again, or allow more: max_age='7D'."
            )

    @property
    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The event types and channels that the weights of the model name."""
        found: tuple[set[str], set[str]] = set(), set()
        for weights in weights_of(self.model):
            for name in ("events", "targets", "verdicts"):
                found[0].update(getattr(weights, name) or ())
            found[1].update(weights.channels or ())
        return tuple(sorted(found[0])), tuple(sorted(found[1]))


def weights_of(model: Any) -> Iterable[Weights]:
    """Return every weighing of events that a model reads."""
    ask = getattr(model, "_all_weights", None)
    if ask is not None:
        return tuple(ask())
    inner = getattr(model, "model", None)
    return () if inner is None else weights_of(inner)


register(Snapshot, name="live-snapshot")
