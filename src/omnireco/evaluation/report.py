"""What an evaluation found: means with intervals, paired differences, and the values behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_choice, check_integer, count_of, shown
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Maybe, Parts, Record, numbers
from omnireco._core.small import Each, Number, Plain, Text, Whole
from omnireco._kernels.bootstrap import chance_of_sign, percentile_interval, resampled_means
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError
from omnireco.evaluation.metrics import Metric, metric_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cell", "Report"]


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One number of a report: a model, a metric, a k, and the mean with its interval.

    Parameters
    ----------
    model, metric : str
    k : int
    mean : float
        Over the users for whom the metric is defined; the value itself for a metric of the catalogue.
    low, high : float
        Ends of the interval; NaN for a metric of the catalogue, for fewer than two users, or without
        a bootstrap.
    n_users : int
        Users the mean is over.
    values : ndarray of shape (n_users of the report,), float64, or None
        One value per user, NaN where undefined; None for a metric of the catalogue.
    """

    model: str
    metric: str
    k: int
    mean: float
    low: float
    high: float
    n_users: int
    values: np.ndarray | None

    parts: ClassVar[Parts] = {
        "model": Text(),
        "metric": Text(),
        "k": Whole(1),
        **dict.fromkeys(("mean", "low", "high"), Number(endless=True, missing=True)),
        "n_users": Whole(),
        "values": Maybe(numbers("users", missing=True, endless=True)),
    }

    _repr_html_ = shown_html


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Report:
    """Metrics with intervals, for several models on the same users.

    Made by :func:`omnireco.evaluate`.

    Parameters
    ----------
    users : Vocabulary
        The evaluated users: those with something in the truth.
    cells : tuple of Cell
        By model, then metric, then k, each in the order given.
    confidence : float
        Probability the intervals are made for.
    n_bootstrap, seed : int
        Number of resamples, and where they come from.
    n_without_list : mapping of str to int
        For each model, evaluated users to whom it showed nothing. They score 0.
    n_without_truth : mapping of str to int
        For each model, users who have a list but nothing in the truth. They are left out.
    split : str
        16 hexadecimal digits of the truth, and of ``train`` where it was given: two reports with the same digits
        were evaluated on the same pairs. Reveals no id.
    negatives : int or None
        Random items that lists were cut down to, beside the truth, where metrics are sampled; else None. Then the
        name of every metric says so, and no number may be compared with one over all items.
    """

    users: Vocabulary
    cells: tuple[Cell, ...]
    confidence: float
    n_bootstrap: int
    seed: int
    n_without_list: Mapping[str, int]
    n_without_truth: Mapping[str, int]
    split: str = ""
    negatives: int | None = None

    parts: ClassVar[Parts] = {
        "users": Ids(people=True),
        "cells": Each(Record(Cell)),
        "confidence": Number(0.0, 1.0),
        "n_bootstrap": Whole(0, 1 << 24),
        "seed": Whole(),
        **{name: Plain(Mapping[str, int]) for name in ("n_without_list", "n_without_truth")},
        "split": Text(),
        "negatives": Maybe(Whole()),
    }

    def __post_init__(self) -> None:
        for name in ("n_without_list", "n_without_truth"):
            object.__setattr__(self, name, ReadOnly(getattr(self, name)))
        if self.negatives is not None:
            mark = f" (sampled, {self.negatives} negatives)"
            marked = [c if c.metric.endswith(mark) else replace(c, metric=c.metric + mark) for c in self.cells]
            object.__setattr__(self, "cells", tuple(marked))

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, in the order given."""
        return tuple(dict.fromkeys(cell.model for cell in self.cells))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, in the order given."""
        return tuple(dict.fromkeys(cell.metric for cell in self.cells))

    @property
    def k(self) -> tuple[int, ...]:
        """Lengths of list that were evaluated."""
        return tuple(dict.fromkeys(cell.k for cell in self.cells))

    def __repr__(self) -> str:
        counted = f"{count_of(len(self.models), 'model')}, {count_of(len(self.metrics), 'metric')}"
        users = count_of(len(self.users), "user")
        settings = f"{counted}, k={', '.join(map(str, self.k))}, {users}, split {self.split or 'unknown'}"
        return f"Report({settings}{'' if self.negatives is None else f', SAMPLED: {self.negatives} negatives'})"

    def _repr_html_(self) -> str:
        """Return a table with a row per model and a column per metric and k."""
        from html import escape

        of = {(cell.model, cell.metric, cell.k): cell for cell in self.cells}
        columns = [(metric, k) for metric in self.metrics for k in self.k]
        head = "".join(f"<th>{escape(metric)} @{k}</th>" for metric, k in columns)
        rows = "".join(
            f"<tr><th>{escape(model)}</th>"
            + "".join(f"<td>{_with_interval(of[model, metric, k])}</td>" for metric, k in columns)
            + "</tr>"
            for model in self.models
        )
        return (
            f'<table class="omnireco"><thead><tr><th>model</th>{head}</tr></thead><tbody>{rows}</tbody></table>'
            f"<p>Means over {count_of(len(self.users), 'user')} with {self.confidence:.0%} intervals; "
            f"split {self.split or 'unknown'}.{self._warning()}</p>"
        )

    def _warning(self) -> str:
        if self.negatives is None:
            return ""
        return (
            f" <b>Sampled metrics</b>: lists hold only the truth and {self.negatives} random items, which can put "
            "models in another order than all items do (Krichene and Rendle, KDD 2020)."
        )

    __arrow_c_stream__ = arrow_stream

    def to_frame(self) -> pd.DataFrame:
        """Return one row per model, metric and k.

        Returns
        -------
        pandas.DataFrame
            Columns ``model metric k mean low high n_users``; ``frame.attrs["split"]`` is the fingerprint.
        """
        import pandas as pd

        names = ["model", "metric", "k", "mean", "low", "high", "n_users"]
        frame = pd.DataFrame([[getattr(cell, name) for name in names] for cell in self.cells], columns=names)
        frame.attrs["split"] = self.split
        return frame

    def differences(self, baseline: str) -> pd.DataFrame:
        """Return how much better each other model is than ``baseline``, user by user.

        People differ far more from one another than models do on one person. Comparing the same people
        removes what they have in common, so these intervals are much narrower than those of two means
        looked at side by side: two overlapping intervals do not imply that two models are equal.

        Parameters
        ----------
        baseline : str
            The model to subtract.

        Returns
        -------
        pandas.DataFrame
            Columns ``model baseline metric k difference low high p n_users``. ``p`` is two-sided, from the
            same resamples as the interval; with b resamples it is never below 2 / (b + 1). Both are NaN for
            a metric of the catalogue. Only users for whom both values are defined are compared.

        Raises
        ------
        ParameterError
            When there is no such model, or no other one.

        Notes
        -----
        No correction is made for looking at many rows: with 20 rows, expect one p below 0.05 by chance.
        """
        import pandas as pd

        if not isinstance(baseline, str) or baseline not in self.models or len(self.models) < 2:
            raise ParameterError(
                f"differences needs a baseline and at least one other model. Got {shown(baseline)}; the report "
                f"has {', '.join(map(repr, self.models))}. Evaluate two models together: "
                "evaluate({'a': ..., 'b': ...}, truth, ...)."
            )
        of = {(cell.metric, cell.k): cell for cell in self.cells if cell.model == baseline}
        others = [cell for cell in self.cells if cell.model != baseline]
        pairs = [(cell, of[cell.metric, cell.k]) for cell in others]
        gaps = [None if a.values is None or b.values is None else a.values - b.values for a, b in pairs]
        means, low, high, p, n = summarise(
            gaps, confidence=self.confidence, n_bootstrap=self.n_bootstrap, seed=self.seed
        )
        whole = np.array([a.mean - b.mean for a, b in pairs])
        per_user = np.array([gap is not None for gap in gaps])
        return pd.DataFrame(
            {
                "model": [cell.model for cell in others],
                "baseline": baseline,
                "metric": [cell.metric for cell in others],
                "k": [cell.k for cell in others],
                "difference": np.where(per_user, means, whole),
                "low": low,
                "high": high,
                "p": p,
                "n_users": np.where(per_user, n, len(self.users)),
            }
        )

    def per_user(self, model: str, metric: str | Metric, k: int | None = None) -> pd.DataFrame:
        """Return the value of a metric for each user.

        Parameters
        ----------
        model : str
            Name of the model, as ``to_frame`` shows it.
        metric : str or callable
            A name as ``to_frame`` shows it, or the function that was given.
        k : int, optional
            May be left out when the report has only one.

        Returns
        -------
        pandas.DataFrame
            Columns ``user_id value``, one row per evaluated user in order of id; NaN where undefined.

        Raises
        ------
        ParameterError
            When the report has no such cell, or the metric is one of the catalogue.
        """
        import pandas as pd

        if not isinstance(metric, str) and not callable(metric):
            raise ParameterError(f"metric must be a name or a function, such as om.ndcg. Got {shown(metric)}.")
        name = metric if isinstance(metric, str) else metric_name(metric)
        if self.negatives is not None and name not in self.metrics:
            name += f" (sampled, {self.negatives} negatives)"
        if k is None and len(self.k) > 1:
            raise ParameterError(
                f"k must be given: the report has k = {', '.join(map(str, self.k))}. "
                f"Write report.per_user({shown(model)}, {shown(name)}, {self.k[0]})."
            )
        k = self.k[0] if k is None else k
        check_choice(model, "model", self.models)
        k = check_integer(k, "k")
        cell = next((c for c in self.cells if (c.model, c.metric, c.k) == (model, name, k)), None)
        if cell is None:
            raise ParameterError(
                f"the report has no {shown(name)} of {shown(model)} at k={k}. It has models "
                f"{', '.join(map(repr, self.models))}, metrics {', '.join(map(repr, self.metrics))} "
                f"and k = {', '.join(map(str, self.k))}."
            )
        if cell.values is None:
            raise ParameterError(
                f"{shown(name)} is one number for the whole catalogue and has no value per user. Read it with "
                "to_frame()."
            )
        return pd.DataFrame({"user_id": self.users.ids, "value": cell.values})


def summarise(
    columns: list[np.ndarray | None], *, confidence: float, n_bootstrap: int, seed: int
) -> tuple[np.ndarray, ...]:
    """Return (mean, low, high, p, n) of columns of values per user; all NaN and 0 for a None.

    Each result has one number per column. A column with fewer than two defined values has a mean only.
    """
    q = len(columns)
    mean, low, high, p = (np.full(q, np.nan) for _ in range(4))
    n = np.zeros(q, np.int64)
    drawn: dict[int, np.ndarray] = {}
    for at, column in enumerate(columns):
        if column is not None and (kept := column[~np.isnan(column)]).size:
            n[at], mean[at] = kept.size, kept.mean()
            if kept.size >= 2:
                drawn[at] = column
    if n_bootstrap and drawn:
        draws = resampled_means(np.column_stack(list(drawn.values())), n_draws=n_bootstrap, seed=seed)
        low[list(drawn)], high[list(drawn)] = percentile_interval(draws, confidence)
        p[list(drawn)] = chance_of_sign(draws)
    return mean, low, high, p, n


def _with_interval(cell: Cell) -> str:
    interval: Any = "" if np.isnan(cell.low) else f" <small>[{cell.low:.4f}, {cell.high:.4f}]</small>"
    return f"{cell.mean:.4f}{interval}"
