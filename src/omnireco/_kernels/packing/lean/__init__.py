"""Large problems without a matrix: touches with their shared rows side by side, caps of people as one number each."""

from omnireco._kernels.packing.lean.placing import Placed
from omnireco._kernels.packing.lean.solving import Explained, LeanSolution, explained, solve_people

__all__ = ["Explained", "LeanSolution", "Placed", "explained", "solve_people"]
