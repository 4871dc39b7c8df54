"""What to offer, how to show it, where and when to send it: cross-channel recommendations, measured honestly.

>>> import omnireco as om
>>> world = om.simulate(n_users=60, n_items=20, days=60, seed=1)
>>> log = om.EventLog.from_frame(world.events)
>>> model = om.ItemKNN(neighbors=10).fit(log.matrix())
>>> model.recommend(log.matrix(), k=3).k
3
"""

import logging
from typing import TYPE_CHECKING, Any

from omnireco import (
    adapters,
    causal,
    choices,
    data,
    errors,
    evaluation,
    files,
    identity,
    journeys,
    models,
    planning,
    timing,
    worlds,
)
from omnireco._version import __version__
from omnireco._versions import show_versions
from omnireco.choices import LinearBandit
from omnireco.data import (
    Audience,
    Catalog,
    Dataset,
    EventLog,
    Interactions,
    MessageLog,
    Recommendations,
    Requests,
    Weights,
    slots,
)
from omnireco.evaluation import coverage, evaluate, hit_rate, learn_weights, ndcg, precision, recall
from omnireco.files import load, save
from omnireco.models import ALS, EASE, Blend, BuyAgain, ItemKNN, Popularity, Ranker
from omnireco.planning import Budget, Capacity, FrequencyCap, QuietHours, candidates, plan
from omnireco.timing import SendTime
from omnireco.worlds import simulate

logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "ALS",
    "EASE",
    "Audience",
    "Blend",
    "Budget",
    "BuyAgain",
    "Capacity",
    "Catalog",
    "Dataset",
    "EventLog",
    "FrequencyCap",
    "Interactions",
    "ItemKNN",
    "LinearBandit",
    "MessageLog",
    "Popularity",
    "QuietHours",
    "Ranker",
    "Recommendations",
    "Requests",
    "SendTime",
    "Weights",
    "__version__",
    "adapters",
    "candidates",
    "causal",
    "choices",
    "coverage",
    "data",
    "errors",
    "evaluate",
    "evaluation",
    "files",
    "hit_rate",
    "identity",
    "journeys",
    "learn_weights",
    "load",
    "models",
    "ndcg",
    "plan",
    "planning",
    "precision",
    "recall",
    "save",
    "show_versions",
    "simulate",
    "slots",
    "timing",
    "worlds",
]

_ON_REQUEST = ("plotting", "testing")  # modules that few need: imported when somebody writes om.plotting


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from omnireco import plotting as plotting
    from omnireco import testing as testing
else:  # a type checker that saw this function would believe in every name

    def __getattr__(name: str) -> Any:
        """Import a module on request; say where a name went that stood here once, or which name is near."""
        import importlib.util
        import sys

        if name in _ON_REQUEST:
            return importlib.import_module(f"omnireco.{name}")
        if name.startswith("_"):  # what tools ask every module for
            raise AttributeError(f"module 'omnireco' has no attribute {name!r}", name=name)
        from omnireco._moved import no_such_name

        # `from omnireco import name` asks here first, and would say "cannot import name" instead of an AttributeError.
        if sys._getframe(1).f_code.co_name == "_handle_fromlist" and not importlib.util.find_spec(f"omnireco.{name}"):
            raise ImportError(no_such_name(name, importing=True), name="omnireco")
        raise AttributeError(no_such_name(name), name=name)
