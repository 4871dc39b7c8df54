"""The file form of a plan."""

from __future__ import annotations

import numpy as np

from omnireco._forms.parts import Reader, Writer
from omnireco.planning.candidates import Candidates
from omnireco.planning.plan import Plan, Price
from omnireco.planning.sources import Sources
from omnireco.planning.touches import Past, Touches

__all__ = [
    "pack_plan",
    "unpack_plan",
]


def pack_plan(plan: Plan, out: Writer) -> None:
    """Take a plan apart: what is sent, what is not and why; not the rules, gap and past: it cannot be planned again."""
    touches, found = plan.touches.touches, plan.touches
    for name in ("users", "items", "channels"):
        out.vocabulary(name, getattr(touches, name))
    for name in ("user", "item", "channel", "send_at", "local_at", "consent", "reachable"):
        out.array(name, getattr(touches, name))
    out.array("touch_value", found.value)
    out.array("probability", found.probability)
    out.array("reason", plan.reason)
    out.labels("labels", found.labels)
    out.fields |= {"left_out": list(found.left_out.items()), "reasons": list(plan.reasons)}
    out.fields |= {"value": plan.value, "bound": plan.bound, "exact": plan.exact, "costs": dict(plan.costs)}
    out.fields["rows"] = [[row.constraint, row.row, row.used, row.limit, row.price] for row in plan.rows]


def unpack_plan(parts: Reader) -> Plan:
    known = parts.parts(
        ("users", "items", "channels"),
        ("user", "item", "channel", "send_at", "local_at", "consent", "reachable"),
    )
    nothing = np.empty(0, np.int32)
    touches = Touches(**known, past=Past(nothing, nothing, np.empty(0, np.int64)))
    fields = parts.fields
    found = Candidates(
        touches,
        parts.array("touch_value"),
        parts.optional("probability"),
        parts.labels("labels"),
        dict(fields["left_out"]),
        sources=Sources(complete=False),
    )
    return Plan(
        found,
        parts.array("reason"),
        tuple(fields["reasons"]),
        float(fields["value"]),
        float(fields["bound"]),
        bool(fields["exact"]),
        fields["costs"],
        tuple(Price(*row) for row in fields["rows"]),
    )
