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
        import importlib
        import sys

        if name in _ON_REQUEST:
            return importlib.import_module(f"omnireco.{name}")
        raising = importlib.import_module("omnireco._moved").raise_no_such_name
        return raising(name, room="", caller=sys._getframe(1).f_code.co_name)

    def _explaining(room: str) -> Any:
        """Return what a package answers for a name that it does not have."""

        def __getattr__(name: str) -> Any:
            import importlib
            import sys

            raising = importlib.import_module("omnireco._moved").raise_no_such_name
            return raising(name, room=room, caller=sys._getframe(1).f_code.co_name)

        return __getattr__

    for _room in (
        adapters,
        causal,
        choices,
        data,
        evaluation,
        files,
        identity,
        journeys,
        models,
        planning,
        timing,
        worlds,
    ):
        _room.__getattr__ = _explaining(_room.__name__.rpartition(".")[2])
    del _room
