"""What could be sent, by which rules, and what will be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from omnireco._forms.form import Form, settings
from omnireco._forms.parts import Array, Ids, Labels, Maybe, Record, chances, codes, demand, flags, instants, numbers
from omnireco._forms.small import Each, Flag, Number, Plain, Settings, Text, Value
from omnireco.planning.candidates import Candidates
from omnireco.planning.plan import Plan, Price
from omnireco.planning.rules import (
    Budget,
    Capacity,
    Consent,
    Constraint,
    FrequencyCap,
    OncePerItem,
    Past,
    QuietHours,
    Reachable,
    Touches,
)

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
        {"user": codes("users", "past"), "channel": codes("channels", "past", none=True), "sent_at": instants("past")},
    ),
}


def _known_reasons(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    demand(parts["reason"].max(initial=0) < len(parts["reasons"]), "a reason has no name")


FORMS = (
    Form(
        "candidates",
        Candidates,
        {
            "touches": Record(Touches, _TOUCHES),
            "value": numbers("n"),
            "probability": Maybe(chances("n")),
            "labels": Labels("n"),
            "left_out": Plain(Mapping[str, int]),
            "implied": Each(Value((Constraint,))),
        },
    ),
    Form(
        "plan",
        Plan,
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
