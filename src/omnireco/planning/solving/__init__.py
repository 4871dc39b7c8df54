"""Candidates and constraints as one packing problem, with a matrix or, for very many people, without."""

from omnireco.planning.solving.whole import Solved, solved

__all__ = ["Solved", "solved"]
