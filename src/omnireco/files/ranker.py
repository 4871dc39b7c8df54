"""The ranker: models, what a log says of items, and what turns features into scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from omnireco._core.form import Form
from omnireco._core.parts import Maybe, Part, Record, Scope, demand
from omnireco._core.small import Each, Flag, Number, Plain, Settings, Table, Text, Value, Whole
from omnireco.data.parts import Ids
from omnireco.data.weights import Weights
from omnireco.models.base import Model
from omnireco.models.together.calibration import Isotonic
from omnireco.models.together.population import Field, Population
from omnireco.models.together.ranker import EventColumns, RankerModel
from omnireco.models.together.scorers import Quadratic, Trees

__all__ = ["FORMS"]

_SINGLE = np.float32
_LOGIT = Record(Quadratic)
_TREES = Record(Trees)


class _Scorer(Part):
    """A logit or trees; the field says which."""

    kinds: Mapping[str, tuple[type, Record]] = {"logit": (Quadratic, _LOGIT), "trees": (Trees, _TREES)}

    def write(self, scope: Scope, name: str, value: Any) -> None:
        word = next((word for word, (kind, _) in self.kinds.items() if type(value) is kind), None)
        demand(word is not None, f"{name} is a {type(value).__name__}")
        self.kinds[str(word)][1].write(scope, name, value)
        scope.fields[name] = {"kind": word, "fields": scope.fields[name]}
        _check_trees(value)

    def nbytes(self, value: Any) -> int:
        return Record(type(value)).nbytes(value)

    def read(self, scope: Scope, name: str) -> Any:
        found = scope.field(name, dict)
        demand(set(found) == {"kind", "fields"} and found["kind"] in self.kinds, f"{name} is of no known kind")
        scope.fields[name] = found["fields"]
        scorer = self.kinds[found["kind"]][1].read(scope, name)
        _check_trees(scorer)
        return scorer


def _check_trees(scorer: Any) -> None:
    """Raise unless every walk from a root comes to a leaf: children stand behind their parents."""
    if isinstance(scorer, Trees):
        inner = np.flatnonzero(scorer.feature >= 0)
        demand((scorer.left[inner] > inner).all() and (scorer.right[inner] > inner).all(), "a tree does not end")
    else:
        demand((scorer.scale > 0).all(), "a feature is scaled by nothing")


def _take(model: RankerModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in RankerModel.__dataclass_fields__}


def _build(items: Any, population: Any, weights: Any, **rest: Any) -> RankerModel:
    known = population if isinstance(population, Population) else Population(items=items, **population)
    return RankerModel(items=items, population=known, weights=tuple(weights), **rest)


def _check(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    known = parts["population"]
    for field in known["fields"] if isinstance(known, dict) else known.fields:
        last = len(field.values) * sizes["items"] if isinstance(field, Field) else 0
        demand(not field.key.size or field.key[-1] < last, "a cell lies behind the last of its table")
    columns = parts["columns"]
    demand(set(columns.unfinished or ()) <= set(columns.events), "what is left unfinished is no type of event")
    demand("" in parts["curves"] and all(curve.score.size for curve in parts["curves"].values()), "a curve is empty")
    demand(len(parts["weights"]) == len(parts["models"]) and len(parts["half_lives"]) == 2, "parts are missing")
    demand(all(model.items == parts["items"] for model in parts["models"].values()), "a model knows other items")


FORMS = (
    Form(
        RankerModel,
        "ranker model",
        {
            "items": Ids(),
            "models": Table(Value((Model,))),
            "weights": Each(Settings(Weights)),
            "population": Record(dict, Population.parts),
            "columns": Settings(EventColumns),
            "n_candidates": Whole(1, 1 << 24),
            "exclude_seen": Flag(),
            "timezone": Maybe(Text()),
            "half_lives": Each(Number(low=1e-3, endless=True)),
            "fact_names": Each(Each(Text())),
            "scorer": _Scorer(),
            "curves": Table(Record(Isotonic)),
            "calibration": Plain(Mapping[str, tuple[float, int]]),
            "validation": Plain(Mapping[str, tuple[float, float, float, int]]),
        },
        take=_take,
        build=_build,
        check=_check,
    ),
)
