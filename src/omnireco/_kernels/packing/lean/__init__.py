"""Large problems without a matrix: touches with their shared rows side by side, caps of people as one number each."""

from omnireco._kernels.packing.lean.placing import Placed
from omnireco._kernels.packing.lean.solving import (
    Explained,
    LeanSolution,
    explained,
    explained_people,
    ordered,
    person_prices,
    priced_people,
    solve_people,
    used_by,
)
from omnireco._kernels.packing.lean.windows import Window, Windows, windows_of

__all__ = [
    "Explained",
    "LeanSolution",
    "Placed",
    "Window",
    "Windows",
    "explained",
    "explained_people",
    "ordered",
    "person_prices",
    "priced_people",
    "solve_people",
    "used_by",
    "windows_of",
]
