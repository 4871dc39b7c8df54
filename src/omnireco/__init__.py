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

from omnireco import errors
from omnireco._version import __version__

if TYPE_CHECKING:  # what a type checker sees, name by name; a test compares it with the table below
    from omnireco import (
        adapters,
        causal,
        choices,
        data,
        evaluation,
        files,
        identity,
        journeys,
        live,
        models,
        planning,
        timing,
        worlds,
    )
    from omnireco import plotting as plotting
    from omnireco import sklearn as sklearn
    from omnireco import spark as spark
    from omnireco import testing as testing
    from omnireco._versions import show_versions
    from omnireco._warm_up import warm_up
    from omnireco.causal import Uplift, attribution, displacement
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
    from omnireco.evaluation import (
        backtest,
        coverage,
        evaluate,
        hit_rate,
        learn_weights,
        ndcg,
        precision,
        recall,
        scorecard,
        tune,
    )
    from omnireco.files import load, save
    from omnireco.journeys import Returns, funnel
    from omnireco.live import Live
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
    "Live",
    "MessageLog",
    "Popularity",
    "QuietHours",
    "Ranker",
    "Recommendations",
    "Requests",
    "Returns",
    "SendTime",
    "Uplift",
    "Weights",
    "__version__",
    "adapters",
    "attribution",
    "backtest",
    "candidates",
    "causal",
    "choices",
    "coverage",
    "data",
    "displacement",
    "errors",
    "evaluate",
    "evaluation",
    "files",
    "funnel",
    "hit_rate",
    "identity",
    "journeys",
    "learn_weights",
    "live",
    "load",
    "models",
    "ndcg",
    "plan",
    "planning",
    "precision",
    "recall",
    "save",
    "scorecard",
    "show_versions",
    "simulate",
    "slots",
    "timing",
    "tune",
    "warm_up",
    "worlds",
]

_HOMES = {  # which file or room has a name of the front: imported when the name is first asked for
    "_versions": "show_versions",
    "_warm_up": "warm_up",
    "causal": "Uplift attribution displacement",
    "choices": "LinearBandit",
    "data": "Audience Catalog Dataset EventLog Interactions MessageLog Recommendations Requests Weights slots",
    "evaluation": "backtest coverage evaluate hit_rate learn_weights ndcg precision recall scorecard tune",
    "files": "load save",
    "journeys": "Returns funnel",
    "live": "Live",
    "models": "ALS EASE Blend BuyAgain ItemKNN Popularity Ranker",
    "planning": "Budget Capacity FrequencyCap QuietHours candidates plan",
    "timing": "SendTime",
    "worlds": "simulate",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}
_UNLISTED = {"plotting", "sklearn", "spark", "testing"}  # reached as om.plotting, and not shown
_MODULES = {name for name in __all__ if name.islower() and name not in _HOME_OF} | _UNLISTED


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # a type checker that saw this function would believe in every name

    def __getattr__(name: str) -> Any:
        """Import a room, or the home of a name, on request; say where an old name went, or which name is near."""
        import importlib
        import sys

        if name in _MODULES:
            return importlib.import_module(f"omnireco.{name}")
        if name in _HOME_OF:
            value = getattr(importlib.import_module(f"omnireco.{_HOME_OF[name]}"), name)
            globals()[name] = value  # asked for once
            return value
        raising = importlib.import_module("omnireco._moved").raise_no_such_name
        return raising(name, room="", caller=sys._getframe(1).f_code.co_name)
