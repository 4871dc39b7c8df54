"""Simulated companies, public data sets, and published tables run again."""

from omnireco.worlds.datasets import (
    CompleteJourney,
    complete_journey,
    complete_journey_frames,
    complete_journey_promotions,
)
from omnireco.worlds.reproduce import Reproduction, reproduce
from omnireco.worlds.simulate import World, simulate

__all__ = [
    "CompleteJourney",
    "Reproduction",
    "World",
    "complete_journey",
    "complete_journey_frames",
    "complete_journey_promotions",
    "reproduce",
    "simulate",
]
