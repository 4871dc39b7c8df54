"""What another limit would do to a plan: before and after."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_choice
from omnireco._core.notebook import shown_html
from omnireco.errors import ParameterError
from omnireco.planning.rules import Constraint

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WhatIf", "exchanged", "same_limit"]

_LIMITS = ("n", "limit", "total")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WhatIf:
    """A plan before and after one limit was changed.

    Attributes
    ----------
    before, after : Plan
        The plan as it is, and the plan of the same candidates under the other limit.
    changed, to : str
        The constraint that was changed, and what stands in its place; ``"nothing"`` where it was taken away.
    """

    before: Any
    after: Any
    changed: str
    to: str

    def __repr__(self) -> str:
        to = "another limit" if self.to == self.changed else self.to
        return (
            f"WhatIf({self.changed} -> {to}: value {self.before.value:.6g} -> {self.after.value:.6g}, "
            f"{len(self.before):,} -> {len(self.after):,} messages)"
        )

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return ``measure channel before after change``: value, bound, people, and messages and value per channel.

        ``channel`` is ``"all"`` for what concerns all of them. ``"messages moved"`` counts the messages of the plan
        after that are not in the plan before.
        """
        import pandas as pd

        plans = (self.before, self.after)
        sent = [np.asarray(plan.reason == 0) for plan in plans]
        touches = self.before.touches
        rows: list[tuple[Any, ...]] = [
            ("value", "all", self.before.value, self.after.value),
            ("bound", "all", self.before.bound, self.after.bound),
        ]
        people = [np.unique(touches.touches.user[mask]).size for mask in sent]
        rows += [("people", "all", *people), ("messages", "all", *(int(mask.sum()) for mask in sent))]
        rows += [("messages moved", "all", 0, int((sent[1] & ~sent[0]).sum()))]
        for code, name in enumerate(touches.touches.channels.ids):
            mine = [mask & (touches.touches.channel == code) for mask in sent]
            rows.append(("messages", str(name), *(int(mask.sum()) for mask in mine)))
            rows.append(("value", str(name), *(float(touches.value[mask].sum()) for mask in mine)))
        frame = pd.DataFrame(rows, columns=["measure", "channel", "before", "after"])
        return frame.assign(change=frame["after"] - frame["before"])


def exchanged(
    rules: Sequence[Constraint], new: Constraint | None, instead_of: str | None
) -> tuple[tuple[Constraint, ...], str]:
    """Return the constraints with one in the place of another, and the name of that one.

    Raises
    ------
    ParameterError
        When no constraint, or more than one, is meant.
    """
    names = [rule.name for rule in rules]
    if instead_of is not None:
        at = names.index(check_choice(instead_of, "instead_of", tuple(names)))
    elif new is None:
        raise ParameterError(
            "with_limit: name the constraint that is taken away: with_limit(None, instead_of="
            f"{names[0] if names else ''!r})."
        )
    else:
        at = same_limit(rules, new, "with_limit")
    return (*rules[:at], *([] if new is None else [new]), *rules[at + 1 :]), names[at]


def same_limit(rules: Sequence[Constraint], new: Constraint, where: str) -> int:
    """Return the position of the one constraint that differs from another in its limit alone.

    Raises
    ------
    ParameterError
        When there is none, or more than one.
    """
    at = [number for number, rule in enumerate(rules) if _alike(rule, new)]
    if len(at) != 1:
        names = ", ".join(rule.name for rule in rules) or "no constraints"
        more = "" if where != "with_limit" else " Name the one that changes: with_limit(rule, instead_of=name)."
        raise ParameterError(
            f"{where}: {'no constraint' if not at else f'{len(at)} constraints'} of this plan differ"
            f"{'s' if not at else ''} from {new.name} in the limit alone. It has {names}.{more}"
        )
    return at[0]


def _alike(rule: Any, new: Any) -> bool:
    """Return whether two constraints are of one kind and differ in their limits alone."""
    if type(rule) is not type(new) or not dataclasses.is_dataclass(rule):
        return type(rule) is type(new) and rule.name == new.name
    fields = [one.name for one in dataclasses.fields(rule) if one.name not in _LIMITS]
    return all(getattr(rule, name) == getattr(new, name) for name in fields)
