"""What a batch job hands to a live service: models and tables, as one value that is swapped whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from omnireco._core.checks import check_instant, check_kind, from_microseconds
from omnireco._core.parts import Maybe, Parts
from omnireco._core.small import INSTANT, Value
from omnireco.data.audience import Audience
from omnireco.data.catalog import Catalog
from omnireco.data.vocabulary import Vocabulary
from omnireco.data.weights import Weights
from omnireco.errors import SchemaError

__all__ = ["Snapshot"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Snapshot:
    """Models and tables that a live service answers with, as a batch job made them.

    Parameters
    ----------
    model : Model, WhatNext or any other with ``recommend(requests, k=)`` and ``items``
    timing : fitted SendTime or other Timing, optional
        For :meth:`Live.next_touch`, with the audience.
    fatigue : fitted Fatigue, optional
    audience : Audience, optional
        Zones and consents; newer consents come as events.
    catalog : Catalog, optional
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
    Snapshot(FactorModel(20 items, 8 factors), known until 2025-03-02)
    """

    model: Any
    timing: Any = None
    fatigue: Any = None
    audience: Audience | None = None
    catalog: Catalog | None = None
    known_until: Any = None

    parts: ClassVar[Parts] = {
        "model": Value(),
        "timing": Maybe(Value()),
        "fatigue": Maybe(Value()),
        "audience": Maybe(Value((Audience,))),
        "catalog": Maybe(Value((Catalog,))),
        "known_until": Maybe(INSTANT),
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

    def __repr__(self) -> str:
        until = "" if self.known_until is None else f", known until {from_microseconds(self.known_until).date()}"
        return f"Snapshot({self.model!r}{until})"

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

