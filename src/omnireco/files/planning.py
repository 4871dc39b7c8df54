"""What could be sent, by which rules, and what will be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omnireco._core.form import Form, has_form
from omnireco._core.parts import demand
from omnireco._core.small import settings
from omnireco.data.asking.touches import Touches
from omnireco.planning.candidates import Candidates
from omnireco.planning.per_person import PerPerson
from omnireco.planning.plan import Plan, Price
from omnireco.planning.rules import (
    Budget,
    Capacity,
    Consent,
    FrequencyCap,
    OncePerItem,
    QuietHours,
    Reachable,
)
from omnireco.planning.sources import Sources

__all__ = ["FORMS"]


def _take_candidates(found: Candidates) -> dict[str, Any]:
    """Return the parts; with a rule without a file form the sources are kept as incomplete: nothing is loosened."""
    rules = found.sources.rules
    known = all(has_form(type(rule)) for rule in rules)
    sources = found.sources if known else Sources(complete=False)
    return {name: getattr(found, name) for name in Candidates.__dataclass_fields__} | {"sources": sources}


def _known_channels(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    touches = parts["touches"]
    names = max(len(touches.named), len(touches.channels))
    demand(touches.past.channel.max(initial=-1) < names, "an earlier message was sent on a channel without a name")


def _known_reasons(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    demand(parts["reason"].max(initial=0) < len(parts["reasons"]), "a reason has no name")


FORMS: tuple[Any, ...] = (
    Form(Touches, "touches"),
    Form(
        Candidates,
        "candidates",
        take=_take_candidates,
        check=_known_channels,
        lossy=True,
    ),
    Form(
        Plan,
        "plan",
        check=_known_reasons,
        refit="om.plan(om.files.erase(candidates, user_ids), constraints=...)",
    ),
    *settings(Budget, Capacity, Consent, FrequencyCap, OncePerItem, PerPerson, Price, QuietHours, Reachable),
)
