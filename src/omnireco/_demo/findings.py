"""What the demo found: what its report is written from."""

from __future__ import annotations

from dataclasses import dataclass

from omnireco._demo.compare import Comparison, Cut
from omnireco._demo.inputs import Inputs
from omnireco._demo.week import Hours, Week
from omnireco._demo.worth import Check
from omnireco.data import Recommendations

__all__ = ["Findings"]


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything the demo found, for the report."""

    inputs: Inputs
    cut: Cut
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]
    lists: dict[str, Recommendations]
    hours: Hours | None
    no_hours: str | None
    check: Check | None
    week: Week | None
    no_plan: str | None
    seconds: float
    command: str
