"""Simulated companies, public data sets, and published tables run again."""

from omnireco._moved import explain_unknown_names
from omnireco.worlds.datasets import (
    CompleteJourney,
    complete_journey,
    complete_journey_frames,
    complete_journey_promotions,
)
from omnireco.worlds.reproduce import Reproduction, reproduce
from omnireco.worlds.simulate import Company, World, simulate

__all__ = [
    "Company",
    "CompleteJourney",
    "Reproduction",
    "World",
    "complete_journey",
    "complete_journey_frames",
    "complete_journey_promotions",
    "reproduce",
    "simulate",
]

explain_unknown_names(__name__)
