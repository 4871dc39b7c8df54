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
import pandas as pd

import omnireco as om
from omnireco._core.contract import Estimator
from omnireco.testing import small_matrix

__all__ = ["HEAD", "REASONS", "estimators", "rows", "table"]

_ROOMS = ("models", "timing", "choices", "journeys", "causal")
HEAD = ("estimator", "needs", "a matrix will do", "the model", "new people", "filters", "saved", "explained", "tuned")

REASONS = {
    "no: order": "it learns from what came when, by whom or in which situation, which a matrix does not keep",
    "no: messages": "it learns from instants of messages or events, in local time",
    "no: rewards": "it learns from rewards of decisions, as they come: `om.choices.Feedback`",
    "no lists": "it gives chances, hours or decisions, so there is no list to filter or to explain",
    "no history": "with no purchase and no basket there is nothing that could follow or be due; the list is empty",
    "no: popularity": "the score is a count of people, the same for everybody, or the person's own count of the item",
    "no: neighbours": "the score is a sum over similar people or sessions, not over the person's own past",
    "no: products": "the score multiplies or compares features or types of the past, so it has no share per item",
    "no: journeys": "`to_frame()` of what follows, and `due(requests)` of refills, show what a list rests on",
}
"""What each kind of "no" in the table means."""

_NOTES = {
    "needs": "the parts of a Dataset that `fit` cannot do without; *feedback* is no Dataset but decisions and rewards",
    "a matrix will do": "`fit` also takes an `Interactions`, and the model answers its rows: "
    "`recommend(x.rows(ids), k=10)`",
    "the model": "the verb of its contract: `recommend(requests, k=)` gives lists, `probability(touches)` chances; "
    "others answer their own question",
    "new people": "whether somebody without any event, asked with `new_users=True`, gets a list",
    "filters": "`eligible=`, `exclude=` and `exclude_seen=` of `recommend`; each request may exclude items too",
    "saved": "`om.save` writes the fitted model and `om.load` reads it",
    "explained": "`om.models.explain` splits a score into what each past item added",
    "tuned": "`replace` and `get_params` reach every parameter, so any search can drive it; *event weights* says that "
    "`om.learn_weights` finds the weights of channels and events too",
}


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
    small = {"iterations": 3, "factors": 4, "n_candidates": 10, "requests_from": "14D", "least": 5}
    if kind is om.Blend:
        known["models"] = {"ease": om.EASE(), "als": om.ALS(factors=4)}
    names = set(inspect.signature(kind).parameters)
    return kind(**{name: value for name, value in (known | small).items() if name in names})


@cache
def world() -> om.Dataset:
    """Return a small company, whole."""
    company = om.simulate(n_users=60, n_items=15, days=60, seed=3)
    audience = om.Audience.from_frame(company.users, attributes=["age_group"])
    art = company.items[["item_id"]].merge(pd.DataFrame({"loud": [0.0, 1.0]}), how="cross")
    art["creative_id"] = art["item_id"] + np.where(art["loud"] > 0, " loud", " calm")
    loud = np.arange(len(company.messages)) % 2
    sent = company.messages.assign(creative_id=company.messages["item_id"] + np.where(loud > 0, " loud", " calm"))
    return om.Dataset(
        om.EventLog.from_frame(company.events),
        messages=om.MessageLog.from_frame(sent),
        audience=audience,
        catalog=om.Catalog.from_frame(company.items),
        attributes=om.models.people_attributes(audience),
        creatives=art,
    )


@cache
def rows() -> tuple[tuple[str, ...], ...]:
    """Return one row of cells per estimator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tuple(_row(name, kind) for name, kind in estimators().items())


def table() -> str:
    """Return the table in Markdown, with what its columns and each kind of "no" mean under it."""
    found = rows()
    lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}", *(f"| {' | '.join(cells)} |" for cells in found), ""]
    lines += [f"- **{column}**: {note}." for column, note in _NOTES.items()]
    used = {cell for cells in found for cell in cells}
    lines += ["", 'And what a "no" means:', ""]
    return "\n".join([*lines, *(f"- *{cell}*: {why}." for cell, why in REASONS.items() if cell in used)])


def _row(name: str, kind: type[Estimator]) -> tuple[str, ...]:
    estimator = made(kind)
    model = _fitted(estimator)
    lists = hasattr(model, "recommend")
    return (
        f"[`{name}`]({kind.__module__.split('.')[1]}.md#omnireco.{kind.__module__.split('.')[1]}.{kind.__name__})",
        ", ".join(kind.needs) or "feedback",
        _takes_matrix(estimator, model),
        _answers(model, kind),
        _new_people(model) if lists else "no lists",
        _filters(model) if lists else "no lists",
        "yes" if _is_saved(model) else "no",
        _explained(model) if lists else "no lists",
        _tuned(estimator, model),
    )


def _fitted(estimator: Estimator) -> Any:
    if not estimator.needs:
        draw = np.random.default_rng(1)
        return estimator.fit(
            om.choices.Feedback(draw.integers(0, 3, 90), draw.normal(size=(90, 2)), draw.normal(size=90))
        )
    return estimator.fit(world())


def _takes_matrix(estimator: Estimator, model: Any) -> str:
    x = small_matrix()
    try:
        fitted = estimator.fit(x)
    except om.errors.OmnirecoError:
        return "no: order" if hasattr(model, "recommend") else "no: messages" if estimator.needs else "no: rewards"
    return "yes" if len(fitted.recommend(x.rows(x.users.ids[:1]), k=2)) == 1 else ""


def _answers(model: Any, kind: type[Estimator]) -> str:
    found = [f"`{verb}`" for verb in ("recommend", "probability") if hasattr(model, verb)]
    return ", ".join(found) or f"`{kind.verbs[0]}`"


def _new_people(model: Any) -> str:
    stranger = world().requests([-1], channel="app", new_users=True)
    return "yes" if len(model.recommend(stranger, k=2).to_frame()) == 2 else "no history"


def _filters(model: Any) -> str:
    names = inspect.signature(model.recommend).parameters
    found = [name for name in ("eligible", "exclude", "exclude_seen") if name in names]
    return "all three" if len(found) == 3 else ", ".join(found)


def _is_saved(model: Any) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        om.save(model, Path(folder) / "model")
        return type(om.load(Path(folder) / "model")) is type(model)


def _explained(model: Any) -> str:
    data = world()
    lists = model.recommend(data.requests(data.events.users.ids[:2], channel="app"), k=2)
    if not isinstance(model, om.models.Model):
        kinds = {om.models.SegmentModel: "no: popularity", om.models.RankerModel: "no: products"}
        return kinds.get(type(model), "no: journeys")
    whole = model.on(None) if isinstance(model, om.models.ChannelModel) else model
    histories = data.matrix() if model.event_weights is None else model.inputs(data)
    try:
        om.models.explain(whole, histories, lists)
    except om.errors.ParameterError:
        kinds = {om.models.PopularityModel: "no: popularity", om.models.NeighborModel: "no: neighbours"}
        kinds[om.models.NextBasketModel] = "no: neighbours"
        return kinds.get(type(model), "no: products")
    return "yes"


def _tuned(estimator: Estimator, model: Any) -> str:
    weighed = any(isinstance(value, om.Weights) or name.endswith("weights") for name, value in _all(estimator))
    return "parameters, event weights" if weighed and hasattr(model, "recommend") else "parameters"


def _all(estimator: Estimator) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in estimator.get_params().items() if name != "channel_weights"]
