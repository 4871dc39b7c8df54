"""A model card: what a model was fitted on, how it was measured, and where not to use it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_integer, check_kind, check_names, count_of, from_microseconds, shown
from omnireco._core.contract import says_the_line
from omnireco._core.parts import Parts
from omnireco._core.small import Each, Text, Whole
from omnireco._version import __version__
from omnireco.data.dataset import Dataset
from omnireco.data.events import EventLog
from omnireco.data.interactions import Interactions
from omnireco.data.parts import Frame
from omnireco.data.splits import fingerprint
from omnireco.errors import ParameterError
from omnireco.evaluation.report import Report
from omnireco.models.base import Model

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ModelCard", "card"]

_SCHEMA = 1  # of the JSON: its keys; one that is taken away or changes its meaning makes it 2
_COUNTS = {"people": "people", "items": "items", "items_known": "items that the model knows", "events": "events",
           "cells": "cells"}  # fmt: skip
_TEXTS = {"channels": "channels", "from": "from", "until": "until", "fingerprint": "fingerprint"}
_STYLE = (
    ":root{color-scheme:light dark}@media(prefers-color-scheme:dark){body{background:#14191d;color:#e3e9ed}"
    "td,th{border-color:#35414a}code{background:#222b31}}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}"
    "table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #dfe5e9;vertical-align:top}"
    "th{white-space:nowrap}.wide{overflow-x:auto}.wide td{overflow-wrap:normal}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "code{background:#f4f7f8;padding:0 .2rem}"
)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ModelCard:
    """What a model was fitted on, how it was measured, and where not to use it; made by :func:`card`.

    Attributes
    ----------
    title : str
        The name of the model in the report.
    recipe : str
        The model in one line; it shows no id.
    version : str
        The omnireco that wrote the card.
    facts : pandas.DataFrame
        ``fact value``, texts: counts, period and fingerprint of the data. Counts under ``k`` people are hidden.
    metrics : pandas.DataFrame
        ``model metric k mean low high n_users`` of the report, for this model and those beside it; NaN where fewer
        than ``k`` people stand behind it.
    limits : tuple of str
        Where not to use it: yours first, then what the data and the report show.
    split : str
        16 digits of what it was measured on, as :class:`Report` has them; empty without a report.
    k : int
        Smallest number of people behind a number that is shown.
    """

    title: str
    recipe: str
    version: str
    facts: pd.DataFrame
    metrics: pd.DataFrame
    limits: tuple[str, ...]
    split: str = ""
    k: int = 5

    parts: ClassVar[Parts] = {
        "title": Text(),
        "recipe": Text(),
        "version": Text(),
        "facts": Frame(("fact", "value")),
        "metrics": Frame(("model", "metric"), ("mean", "low", "high")),
        "limits": Each(Text()),
        "split": Text(),
        "k": Whole(),
    }

    def __repr__(self) -> str:
        measured = f"{count_of(len(self.metrics), 'number')}, split {self.split}" if self.split else "not measured"
        return f"ModelCard({self.title}: {measured}, {count_of(len(self.limits), 'limit')})"

    __arrow_c_stream__ = arrow_stream

    def to_frame(self) -> pd.DataFrame:
        """Return the metrics."""
        return self.metrics.copy()

    def to_json(self) -> str:
        """Return the card as JSON, sorted; every card has the same keys, and what is unknown or hidden is null.

        ``schema`` is 1 for as long as no key is taken away or changes its meaning.
        """
        rows = [
            {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in row.items()
            }
            for row in self.metrics.to_dict("records")
        ]
        facts = dict(zip(self.facts["fact"], self.facts["value"], strict=True))
        found = {
            "schema": _SCHEMA,
            "title": self.title,
            "model": self.recipe,
            "omnireco": self.version,
            "k": self.k,
            "data": {key: _number(facts.get(fact)) for key, fact in _COUNTS.items()}
            | {key: facts.get(fact) for key, fact in _TEXTS.items()},
            "split": self.split or None,
            "metrics": rows,
            "limits": list(self.limits),
        }
        return _utf8(json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False))

    def to_html(self) -> str:
        """Return the card as one page that needs no network; no ids, no scripts."""
        return _utf8(
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f"<title>Model card: {escape(self.title)}</title><style>{_STYLE}</style></head><body>{_body(self)}</body>"
            "</html>"
        )

    def _repr_html_(self) -> str:
        return _utf8(_body(self))


@says_the_line("om.evaluation.card(model, data=train, report=report, limits=['adults only'])")
def card(
    model: Model,
    *,
    data: Any,
    report: Report | None = None,
    title: str | None = None,
    limits: Iterable[str] = (),
    k: int = 5,
) -> ModelCard:
    """Write a model card: data, split, metrics with intervals, and limits.

    Parameters
    ----------
    model : Model
        What ``fit`` returned.
    data : EventLog, Dataset or Interactions
        What it was fitted on, not the log with the test side.
    report : Report, optional
        Of ``om.evaluate``. Models beside it stand on the card too: a number says little alone.
    title : str, optional
        Its name in the report; not needed where the report has one model.
    limits : iterable of str
        What you know: for whom it was made, what it must not be used for. Shown as they are, without markup.
    k : int
        Smallest number of people behind a number that is shown.

    Returns
    -------
    ModelCard
        With ``to_html`` and ``to_json``. Limits that are added by themselves: that it was not measured, or without
        intervals; sampled metrics; every model beside it from which the interval of the difference cannot tell it;
        people without a list; people who were measured and are not in the data; items of the data that the model does
        not know; and that items which came after the data are unknown to it.

    Raises
    ------
    ParameterError
        When an argument is of another kind, ``title`` is not in the report, or the model knows items that the data does
        not have, or people were measured whose ids are of another kind: then it was fitted on something else.

    Notes
    -----
    Deterministic, O(events) for the fingerprint. Reports means of people, never ids. What cannot be seen is
    stated by you: that the report's numbers are those of this model, and that the data end where the test side begins.
    After Mitchell et al. (2019), "Model Cards for Model Reporting", FAT*.

    Examples
    --------
    >>> import omnireco as om
    >>> world = om.simulate(n_users=60, n_items=20, days=60, seed=3)
    >>> train, test = om.EventLog.from_frame(world.events, itemless="keep").split("2025-02-15")
    >>> models = {"EASE": om.EASE().fit(train), "Popularity": om.Popularity().fit(train)}
    >>> lists = {name: model.recommend(om.Dataset(train).requests(), k=5) for name, model in models.items()}
    >>> report = om.evaluate(lists, test, k=5, metrics=[om.ndcg])
    >>> om.evaluation.card(models["EASE"], data=train, report=report, title="EASE").split == report.split
    True
    """
    check_kind(model, Model, "model", "om.EASE().fit(train)")
    check_kind(report, Report, "report", "om.evaluate(lists, test, k=10)", none=True)
    k = check_integer(k, "k", low=1)
    said = _said(limits)
    known: Any = data.events if isinstance(data, Dataset) else data
    check_kind(known, (EventLog, Interactions), "data", "om.evaluation.card(model, data=train)")
    lost = len(model.items) - int(np.isin(model.items.ids, known.items.ids).sum())
    if lost:
        raise ParameterError(
            f"card: the model knows {count_of(lost, 'item')} that the data does not have. Pass the data that it was "
            "fitted on: om.evaluation.card(model, data=train)."
        )
    if report is not None and _kind(report.users.ids) != _kind(known.users.ids) and len(known.users):
        raise ParameterError(
            f"card: the people measured have ids of another kind ({_kind(report.users.ids)}) than the data "
            f"({_kind(known.users.ids)}). Pass the data that it was fitted on: om.evaluation.card(model, data=train)."
        )
    name = _title(model, report, title)
    metrics = _metrics(report, k)
    found = _limits(name, model, report, known, k)
    split = "" if report is None else report.split
    return ModelCard(name, repr(model), __version__, _facts(model, known, k), metrics, (*said, *found), split, k)


def _said(limits: Any) -> tuple[str, ...]:
    found = check_names(limits, "limits")
    for one in found:
        if not isinstance(one, str) or not one.strip():
            raise ParameterError(f"limits must hold sentences, such as ['adults only']. Got {shown(one)} among them.")
    return tuple(map(str, found))


def _kind(ids: np.ndarray) -> str:
    return "numbers" if ids.dtype.kind in "iu" else "texts"


def _utf8(text: str) -> str:
    """Return a text that can be written: half a character, as JavaScript may hand over, is spelled out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _number(fact: str | None) -> int | None:
    """Return a count of the table of facts; None where it is hidden or is no fact of this data."""
    digits = (fact or "").replace(",", "")
    return int(digits) if digits.isascii() and digits.isdigit() else None


def _title(model: Model, report: Report | None, title: Any) -> str:
    if title is not None and (not isinstance(title, str) or not title.strip()):
        raise ParameterError(f"title must be the name of the model, such as 'EASE'. Got {shown(title)}.")
    if report is None:
        return title or type(model).__name__
    if title is None and len(report.models) == 1:
        return report.models[0]
    if title not in report.models:
        names = ", ".join(map(repr, report.models))
        raise ParameterError(f"card: title must say which model of the report it is: {names}. Got {shown(title)}.")
    return str(title)


def _facts(model: Model, known: EventLog | Interactions, k: int) -> pd.DataFrame:
    import pandas as pd

    few = len(known.users) < k
    facts = {"people": f"fewer than {k}" if few else f"{len(known.users):,}"}
    facts["items"] = f"{len(known.items):,}"
    facts["items that the model knows"] = f"{len(model.items):,}"
    if isinstance(known, EventLog):
        facts |= {"events": "hidden" if few else f"{len(known):,}", "channels": ", ".join(map(str, known.channels.ids))}
        if len(known) and not few:  # days: the instant of an event is one person's
            facts["from"], facts["until"] = (from_microseconds(int(one)).date().isoformat() for one in _ends(known))
    else:
        facts["cells"] = "hidden" if few else f"{known.csr.nnz:,}"
    facts["fingerprint"] = fingerprint(known)
    return pd.DataFrame({"fact": list(facts), "value": list(facts.values())})


def _metrics(report: Report | None, k: int) -> pd.DataFrame:
    import pandas as pd

    names = ["model", "metric", "k", "mean", "low", "high", "n_users"]
    if report is None:
        empty = {name: pd.Series(dtype="float64" if name in names[3:6] else "int64") for name in names}
        return pd.DataFrame(empty | {name: pd.Series(dtype=object) for name in names[:2]})[names]
    table = report.to_frame()[names].reset_index(drop=True)
    table.attrs = {}
    few = table["n_users"] < k
    table[["mean", "low", "high"]] = table[["mean", "low", "high"]].mask(few)
    return table.assign(n_users=table["n_users"].mask(few, 0))


def _limits(name: str, model: Model, report: Report | None, known: EventLog | Interactions, k: int) -> list[str]:
    found = []
    if report is None:
        found.append("It was not measured: no report was given.")
    else:
        if not report.n_bootstrap:
            found.append("Its numbers have no intervals, so that no difference can be distinguished from chance.")
        if report.negatives is not None:
            found.append(f"Metrics are sampled, with {report.negatives:,} random items: compare them with no others.")
        if len(report.users) < 100:
            found.append("It was measured on fewer than 100 people.")
        if report.n_without_list.get(name, 0) >= k:
            silent = count_of(report.n_without_list[name], "person", "people")
            found.append(f"{silent} of those measured got no list and count as 0.")
        found.extend(
            f"{row.metric}@{row.k}: not distinguishable from {row.baseline} by {report.confidence:.0%} intervals "
            f"({row.difference:+.4f}, {row.low:+.4f} to {row.high:+.4f})."
            if row.low <= 0 <= row.high
            else f"{row.metric}@{row.k}: worse than {row.baseline} ({row.difference:+.4f}, {row.low:+.4f} to "
            f"{row.high:+.4f})."
            for row in _others(name, report, k)
        )
    if report is not None:
        strange = len(report.users) - int(np.isin(report.users.ids, known.users.ids).sum())
        if strange >= k:
            found.append(
                f"{strange:,} of {count_of(len(report.users), 'person', 'people')} measured are not in the data: they "
                "are new, or it was fitted on something else."
            )
    unknown = len(known.items) - len(model.items)
    if unknown > 0:
        found.append(f"{count_of(unknown, 'item')} of the data {'is' if unknown == 1 else 'are'} unknown to it.")
    if isinstance(known, EventLog) and len(known) and len(known.users) >= k:
        found.append(f"Items that came after {from_microseconds(_ends(known)[1]):%Y-%m-%d} are unknown to it.")
    return found


def _ends(log: EventLog) -> tuple[int, int]:
    """Return the first and the last instant of a log, in microseconds."""
    times = np.asarray(log.at)
    return int(times[0]), int(times[-1])


def _others(name: str, report: Report, k: int) -> list[Any]:
    """Return (this model minus another one) where it is not better for sure."""
    others = [one for one in report.models if one != name]
    rows: list[Any] = [row for other in others for row in report.differences(other).itertuples()]
    rows = [row for row in rows if row.model == name]
    return [row for row in rows if row.n_users >= k and row.low <= 0]


def _body(one: ModelCard) -> str:
    facts = "".join(f"<tr><td>{escape(f)}</td><td>{escape(v)}</td></tr>" for f, v in one.facts.to_numpy().tolist())
    lines = []
    for row in one.metrics.to_dict("records"):
        number = "too few people" if row["mean"] != row["mean"] else f"{row['mean']:.4f}"
        bounds = "" if row["low"] != row["low"] else f"{row['low']:.4f} to {row['high']:.4f}"
        lines.append(
            f"<tr><td>{escape(str(row['model']))}</td><td>{escape(str(row['metric']))}@{row['k']}</td>"
            f"<td class=n>{number}</td><td class=n>{bounds}</td><td class=n>{row['n_users']:,}</td></tr>"
        )
    head = "<tr><th>Model</th><th>Metric</th><th class=n>Mean</th><th class=n>Interval</th><th class=n>People</th></tr>"
    measured = (
        f"<p>Split <code>{escape(one.split)}</code></p>"
        f"<div class=wide><table class=omnireco>{head}{''.join(lines)}</table></div>"
        if lines
        else ""
    )
    limits = "".join(f"<li>{escape(limit)}</li>" for limit in one.limits)
    return (
        f"<h1>{escape(one.title)}</h1><p><code>{escape(one.recipe)}</code>, omnireco {escape(one.version)}. No number "
        f"is about fewer than {one.k} people.</p><h2>Data</h2><table class=omnireco>{facts}</table><h2>Metrics</h2>"
        f"{measured or '<p>Not measured.</p>'}<h2>Limits</h2><ul>{limits}</ul>"
    )
