"""What was measured: reports, comparisons, and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnireco.causal.off_policy import ESTIMATORS, OffPolicy
from omnireco.evaluation.channel_report import ChannelReport
from omnireco.evaluation.compare_channels import ChannelComparison
from omnireco.evaluation.learn_blend import LearnedBlend
from omnireco.evaluation.learn_weights import LearnedWeights
from omnireco.evaluation.report import Cell, Report
from omnireco.evaluation.sampled import SampledNegatives
from omnireco.evaluation.search import Search
from omnireco.files.form import Form, settings
from omnireco.files.parts import Ids, Maybe, Part, Record, Scope, demand, numbers
from omnireco.files.small import Each, Number, Plain, Table, Text, Value, Whole
from omnireco.timing.headroom import Headroom
from omnireco.worlds.reproduce import Reproduction

__all__ = ["FORMS"]

_NUMBERS = tuple[float, ...]
_ROW = tuple[str, str, _NUMBERS, _NUMBERS, _NUMBERS, float, str]
_NUMBER = Number(endless=True, missing=True)
_SHARE = Number(0.0, 1.0)
_CELL = {
    "model": Text(),
    "metric": Text(),
    "k": Whole(1),
    **dict.fromkeys(("mean", "low", "high"), _NUMBER),
    "n_users": Whole(),
    "values": Maybe(numbers("users", missing=True, endless=True)),
}


@dataclass(frozen=True, slots=True)
class _Frame(Part):
    """A small pandas frame with plain columns: numbers and truths as they are, instants with their zone, and words.

    Columns that are named here, of words and of numbers, are those that its kind reads.
    """

    words: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()

    def write(self, scope: Scope, name: str, value: Any) -> None:
        demand(list(value.index) == list(range(len(value))), f"{name} has an index of its own")
        names = [str(column) for column in value.columns]
        columns = [_packed(value.iloc[:, at]) for at in range(len(names))]
        Plain().write(scope, name, (len(value), tuple(zip(names, columns, strict=True))))

    def read(self, scope: Scope, name: str) -> Any:
        import pandas as pd

        n, columns = Plain(tuple[int, tuple[tuple[str, tuple[str, tuple[Any, ...]]], ...]]).read(scope, name)
        frame = {column: _unpacked(kind, values) for column, (kind, values) in columns}
        demand(all(len(values) == n for values in frame.values()) and len(frame) == len(columns), f"{name} is not even")
        made = pd.DataFrame(frame, columns=[column for column, _ in columns], index=pd.RangeIndex(n))
        for column in (*self.words, *self.numbers):
            known = made[column].dtype == np.float64 if column in self.numbers else _are_words(made, column)
            demand(known, f"{name} has another column {column}")
        return made


def _are_words(frame: Any, column: str) -> bool:
    return all(isinstance(one, str) for one in frame[column])


def _packed(column: Any) -> tuple[str, tuple[Any, ...]]:
    import pandas as pd

    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return str(column.dtype), tuple(None if at is pd.NaT else at.isoformat() for at in column)
    kind = str(column.dtype)
    return kind, tuple(None if kind == "str" and one is not one else one for one in column)


def _unpacked(kind: str, values: tuple[Any, ...]) -> Any:
    import pandas as pd

    words = ("object", "str", "string", "bool", "float64", "float32", "int64", "int32", "int8")
    demand(kind in words or kind.startswith("datetime64["), f"a column is of no known kind: {kind}")
    if kind.startswith("datetime64["):
        dtype: Any = kind
        return pd.Series(pd.to_datetime(list(values), utc=True, format="ISO8601")).astype(dtype)
    return pd.Series(list(values), dtype=kind)


def _distinct_cells(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    names = [(cell.model, cell.metric, cell.k) for cell in parts["cells"]]
    models, metrics, ks = (len(set(column)) for column in zip(*names, strict=True)) if names else (0, 0, 0)
    demand(
        len(set(names)) == len(names) == models * metrics * ks, "a report has not one cell for each model, metric and k"
    )


def _estimated(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    table, checks = parts["table"], parts["diagnostics"]
    demand(set(table["estimator"]) <= set(ESTIMATORS), "an estimate has another name than any of ours")
    demand(set(checks["policy"][checks["refused"] == ""]) <= set(table["policy"]), "a policy has no estimate")


def _plain_rows(table: Reproduction) -> tuple[Any, ...]:
    return tuple(
        tuple(tuple(part.tolist()) if isinstance(part, np.ndarray) else part for part in row) for row in table.rows
    )


def _rows_of(rows: Any) -> tuple[Any, ...]:
    made = []
    for model, by, values, low, high, seconds, setting in rows:
        made.append((model, by, *(np.array(part, np.float64) for part in (values, low, high)), float(seconds), setting))
    return tuple(made)


def _even_rows(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    wide = [len(part) for row in parts["rows"] for part in row[2:5]]
    demand(set(wide) <= {sizes["columns"]}, "rows do not fit the columns")


FORMS = (
    Form(
        "report",
        Report,
        {
            "users": Ids(),
            "cells": Each(Record(Cell, _CELL)),
            "confidence": _SHARE,
            "n_bootstrap": Whole(0, 1 << 24),
            "seed": Whole(),
            **{name: Plain(Mapping[str, int]) for name in ("n_without_list", "n_without_truth")},
            "split": Text(),
            "negatives": Maybe(Whole()),
        },
        check=_distinct_cells,
    ),
    Form("channel comparison", ChannelComparison, {"reports": Table(Value((Report,)))}),
    Form(
        "channel report",
        ChannelReport,
        {
            **{
                name: _Frame()
                for name in ("channels", "combinations", "journeys", "crossings", "times", "over_time", "segments")
            },
            **{name: Whole() for name in ("n_people", "undecided", "unprompted")},
        },
    ),
    Form(
        "off-policy estimate",
        OffPolicy,
        {
            "table": _Frame(("policy", "estimator"), ("value", "lift", "lift_low", "lift_high")),
            "diagnostics": _Frame(("policy", "refused"), ("effective", "mean_weight", "mean_weight_se")),
            "logged": _NUMBER,
            **{name: Whole() for name in ("rows", "people", "n_machine")},
            "confidence": _SHARE,
        },
        check=_estimated,
    ),
    Form(
        "headroom",
        Headroom,
        {
            "skill": _Frame(),
            **dict.fromkeys(("lift", "low", "high", "prior_strength"), _NUMBER),
            **{name: Whole() for name in ("people", "sessions")},
            "worthwhile": _NUMBER,
        },
    ),
    Form(
        "reproduction",
        Reproduction,
        {
            **{name: Text() for name in ("name", "source", "protocol", "split")},
            "columns": Each(Text(), "columns"),
            "rows": Plain(tuple[_ROW, ...]),
            "n_people": Whole(),
        },
        take=lambda table: (
            {name: getattr(table, name) for name in Reproduction.__dataclass_fields__} | {"rows": _plain_rows(table)}
        ),
        build=lambda rows, **rest: Reproduction(rows=_rows_of(rows), **rest),
        check=_even_rows,
    ),
    *settings(LearnedBlend, LearnedWeights, SampledNegatives, Search),
)
