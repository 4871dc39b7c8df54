"""Doors: the only place that reads a user's frame."""

from omnireco.data.audience import Audience
from omnireco.data.catalog import Catalog
from omnireco.data.clock import Slots, slots
from omnireco.data.events import EventLog
from omnireco.data.interactions import Interactions
from omnireco.data.messages import MessageLog
from omnireco.data.vocabulary import Vocabulary
from omnireco.data.weights import Weights

__all__ = [
    "Audience",
    "Catalog",
    "EventLog",
    "Interactions",
    "MessageLog",
    "Slots",
    "Vocabulary",
    "Weights",
    "slots",
]
