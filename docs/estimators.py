"""The table of estimators: each is fitted on a small simulated company, and the model is asked what it can do."""

from __future__ import annotations

import importlib
import inspect
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import omnireco as om
from omnireco._core.contract import Estimator
from omnireco.testing import small_matrix

__all__ = ["estimators", "rows", "table"]

_ROOMS = ("models", "timing", "choices", "journeys")
_HEAD = (
    "estimator",
    "needs",
    "a matrix will do",
    "the model answers",
    "new people",
    "filters",
    "save",
    "explain",
    "tune",
)


def estimators() -> dict[str, type[Estimator]]:
    """Return every estimator that a room shows, by the name a user writes."""
    found = {}
    for room in _ROOMS:
        face = importlib.import_module(f"omnireco.{room}")
        for name in face.__all__:
            value = getattr(face, name)
            if inspect.isclass(value) and issubclass(value, Estimator) and not inspect.isabstract(value):
                found[f"om.{name}" if name in om.__all__ else f"om.{room}.{name}"] = value
    return found


def made(kind: type[Estimator]) -> Estimator:
    """Return an estimator that is quick to fit: the defaults, and what has none."""
    known: dict[str, Any] = {"models": {"ease": om.EASE(), "popular": om.Popularity()}, "target": "purchase"}
    small = {"iterations": 3, "factors": 4, "n_candidates": 10, "requests_from": "14D"}
    names = set(inspect.signature(kind).parameters)
    return kind(**{name: value for name, value in (known | small).items() if name in names})


@cache
def world() -> om.Dataset:
    """Return a small company, whole."""
    made = om.simulate(n_users=60, n_items=15, days=60, seed=3)
    audience = om.Audience.from_frame(made.users, attributes=["age_group"])
    return om.Dataset(
        om.EventLog.from_frame(made.events),
        messages=om.MessageLog.from_frame(made.messages),
        audience=audience,
        catalog=om.Catalog.from_frame(made.items),
        attributes=om.models.people_attributes(audience),
    )


def rows() -> list[tuple[str, ...]]:
    """Return one row of cells per estimator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [_row(name, kind) for name, kind in estimators().items()]


def table() -> str:
    """Return the table in Markdown, with a line under it for every "no"."""
    lines = [f"| {' | '.join(_HEAD)} |", f"|{'---|' * len(_HEAD)}"]
    lines += [f"| {' | '.join(cells)} |" for cells in rows()]
    return "\n".join([*lines, "", _NOTES])


_NOTES = """- *needs*: the parts of a Dataset that `fit` reads.
- *the model answers*: the verb of its contract; `recommend(requests, k=)` gives lists, `probability(touches)` chances.
- *new people*: whether somebody without any event gets an answer.
- *filters*: what can be kept out of lists; a model that gives no lists has none ("no lists").
- *explain*: `om.models.explain` says what each past item added; it reads linear models and factors. "no lists" or "not
  additive": there is no sum of past items to split.
- *tune*: how many parameters `replace` and `get_params` reach; `om.learn_weights` takes every estimator that gives lists."""


def _row(name: str, kind: type[Estimator]) -> tuple[str, ...]:
    estimator = made(kind)
    model = _fitted(estimator)
    lists = hasattr(model, "recommend")
    return (
        f"`{name}`",
        ", ".join(kind.needs) or "feedback",
        "yes" if _takes_matrix(estimator) else "no, order or messages count",
        _answers(model, kind),
        _new_people(model) if lists else "no lists",
        _filters(model) if lists else "no lists",
        "yes" if _is_saved(model) else "no",
        _explained(model) if lists else "no lists",
        f"{len(estimator.get_params(deep=False))} parameters",
    )


def _fitted(estimator: Estimator) -> Any:
    if not estimator.needs:
        draw = np.random.default_rng(1)
        return estimator.fit(
            om.choices.Feedback(draw.integers(0, 3, 90), draw.normal(size=(90, 2)), draw.normal(size=90))
        )
    return estimator.fit(world())


def _takes_matrix(estimator: Estimator) -> bool:
    try:
        estimator.fit(small_matrix())
    except Exception:  # noqa: BLE001 - whatever it says, it does not take one
        return False
    return True


def _answers(model: Any, kind: type[Estimator]) -> str:
    found = [f"`{verb}`" for verb in ("recommend", "probability") if hasattr(model, verb)]
    return ", ".join(found) or f"`{kind.verbs[0]}`"


def _new_people(model: Any) -> str:
    stranger = world().requests([-1], new_users=True)
    try:
        return "yes" if model.recommend(stranger, k=2).codes.shape == (1, 2) else "no"
    except Exception as error:  # noqa: BLE001 - the cell says what it is
        return f"no: {type(error).__name__}"


def _filters(model: Any) -> str:
    names = inspect.signature(model.recommend).parameters
    return ", ".join(name for name in ("eligible", "exclude", "exclude_seen") if name in names) or "none"


def _is_saved(model: Any) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        om.save(model, Path(folder) / "model")
        return type(om.load(Path(folder) / "model")) is type(model)


def _explained(model: Any) -> str:
    data = world()
    try:
        lists = model.recommend(data.requests(data.events.users.ids[:2]), k=2)
        om.models.explain(model, model.inputs(data), lists)
    except Exception:  # noqa: BLE001 - what it cannot explain
        return "not additive"
    return "yes"
