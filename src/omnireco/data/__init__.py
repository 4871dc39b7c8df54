"""What is known: events, messages, people, items; its weights, requests and splits."""

from omnireco._moved import explain_unknown_names
from omnireco.data.asking.requests import Asked, Requests
from omnireco.data.asking.touches import Touches
from omnireco.data.audience import Audience
from omnireco.data.catalog import Catalog
from omnireco.data.clock import Slots, slots
from omnireco.data.dataset import Cut, Dataset
from omnireco.data.events import EventLog, Split
from omnireco.data.frames.quality import QualityReport
from omnireco.data.holidays import Holidays
from omnireco.data.interactions import Interactions
from omnireco.data.large.lazy import LazyEvents
from omnireco.data.large.scan import EventScan
from omnireco.data.messages import MessageLog
from omnireco.data.places.amounts import UserAmounts
from omnireco.data.places.distances import DistanceDecay
from omnireco.data.places.stock import StockLevels
from omnireco.data.places.stores import Nearby, Shops
from omnireco.data.recommendations import Recommendations
from omnireco.data.resolving import ResolveReport
from omnireco.data.splits import fingerprint, leave_last, split_people, split_rolling
from omnireco.data.vocabulary import Vocabulary
from omnireco.data.weights import Weights

__all__ = [
    "Asked",
    "Audience",
    "Catalog",
    "Cut",
    "Dataset",
    "DistanceDecay",
    "EventLog",
    "EventScan",
    "Holidays",
    "Interactions",
    "LazyEvents",
    "MessageLog",
    "Nearby",
    "QualityReport",
    "Recommendations",
    "Requests",
    "ResolveReport",
    "Shops",
    "Slots",
    "Split",
    "StockLevels",
    "Touches",
    "UserAmounts",
    "Vocabulary",
    "Weights",
    "fingerprint",
    "leave_last",
    "slots",
    "split_people",
    "split_rolling",
]

explain_unknown_names(__name__)
