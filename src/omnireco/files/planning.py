"""What could be sent, by which rules, and what will be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from omnireco._core.form import Form, has_form
from omnireco._core.parts import Array, Maybe, Record, chances, codes, demand, flags, instants, numbers
from omnireco._core.small import Each, Flag, Number, Plain, Settings, Text, Value, settings
from omnireco.data.audience import Audience
from omnireco.data.events import EventLog
from omnireco.data.messages import MessageLog
from omnireco.data.parts import Ids, Labels
from omnireco.planning.candidates import Candidates
from omnireco.planning.plan import Plan, Price
from omnireco.planning.rules import (
    Budget,
    Capacity,
    Consent,
    Constraint,
    Eligibility,
    FrequencyCap,
    OncePerItem,
    QuietHours,
    Reachable,
)
from omnireco.planning.sources import Sources
from omnireco.planning.touches import Past, Touches

__all__ = ["FORMS"]

_TOUCHES = {
    **{name: Ids() for name in ("users", "items")},
    "channels": Ids(text=True),
    "user": codes("users", "n"),
    "item": codes("items", "n"),
    "channel": codes("channels", "n"),
    "send_at": instants("n"),
    "local_at": instants("n", never=True),
    "consent": flags("n"),
    "reachable": flags("n"),
    "past": Record(
        Past,
        {"user": codes("users", "past"), "channel": Array(np.int32, ("past",), -1), "sent_at": instants("past")},
    ),
    "named": Each(Text()),
}


_SOURCES = {
    "audience": Maybe(Value((Audience,))),
    "messages": Each(Value((MessageLog,))),
    "withdrawals": Each(Value((EventLog,))),
    "rules": Each(Value((Eligibility,))),
    "complete": Flag(),
}


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
    Form(
        Candidates,
        "candidates",
        {
            "touches": Record(Touches, _TOUCHES),
            "value": numbers("n"),
            "probability": Maybe(chances("n")),
            "labels": Labels("n"),
            "left_out": Plain(Mapping[str, int]),
            "implied": Each(Value((Constraint,))),
            "sources": Record(Sources, _SOURCES),
        },
        take=_take_candidates,
        check=_known_channels,
    ),
    Form(
        Plan,
        "plan",
        {
            "touches": Value((Candidates,)),
            "reason": Array(np.int8, ("touches.n",), 0),
            "reasons": Each(Text()),
            "value": Number(),
            "bound": Number(),
            "exact": Flag(),
            "costs": Plain(Mapping[str, float]),
            "rows": Each(Settings(Price)),
        },
        check=_known_reasons,
    ),
    *settings(Budget, Capacity, Consent, FrequencyCap, OncePerItem, QuietHours, Reachable),
)
