"""Plots of scorecards and backtests, which ``omnireco.plotting`` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco._core.checks import check_kind, require
from omnireco.evaluation.cards.scorecard import Scorecard
from omnireco.evaluation.trials.backtest import Backtest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["backtest", "scorecard"]

_INK, _SOFT, _NOW, _WORSE = "#1d2a35", "#a9b4bd", "#0b6e75", "#b0475c"


def scorecard(card: Scorecard, *, ax: Axes | None = None) -> Axes:
    """Draw the shares of a scorecard, now and before; grey where they are not measured.

    Parameters
    ----------
    card : Scorecard
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    check_kind(card, Scorecard, "card", "om.evaluation.scorecard(data)")
    table = card.table[card.table["unit"] == "share"].iloc[::-1].reset_index(drop=True)
    ax = _axes(ax, (8.5, 0.9 + 0.33 * len(table)))
    place = np.arange(len(table))
    known = table["value"].notna().to_numpy()
    worse = (table["trend"] == "worse").to_numpy()
    colors = np.where(worse, _WORSE, _NOW)
    ax.barh(place, table["value"].fillna(0.0), color=list(colors), height=0.55)
    was = table["before"].notna().to_numpy()
    ax.plot(table["before"][was], place[was], "|", color=_INK, markersize=12, markeredgewidth=2)
    for i in np.flatnonzero(~known):
        ax.text(0.01, float(i), str(table["status"][i]).split(":")[0], color=_SOFT, va="center", fontsize=9)
    names = [f"{m}{f' ({c})' if c else ''}" for m, c in zip(table["measure"], table["channel"], strict=True)]
    ax.set_yticks(place, names)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    return _finished(ax, "Scorecard: bars now, marks before")


def backtest(result: Backtest, *, metric: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the paired differences of a backtest to its baseline, with intervals.

    Parameters
    ----------
    result : Backtest
    metric : str, optional
        By default the first.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    check_kind(result, Backtest, "result", "om.evaluation.backtest(estimators, data, horizon='14D')")
    chosen = result.leaderboard["metric"].iloc[0] if metric is None else metric
    table = result.leaderboard[result.leaderboard["metric"] == chosen].iloc[::-1]
    ax = _axes(ax, (7.0, 1.0 + 0.4 * len(table)))
    place = np.arange(len(table))
    low, high = (table[name].to_numpy(np.float64) for name in ("difference_low", "difference_high"))
    middle = table["difference"].to_numpy(np.float64)
    ax.errorbar(middle, place, xerr=[middle - low, high - middle], fmt="o", color=_NOW, capsize=3)
    ax.axvline(0, color=_SOFT, linewidth=1)
    ax.set_yticks(place, table["model"])
    return _finished(ax, f"{chosen}: difference to {result.baseline}, over {result.n_cuts} cuts")


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    pyplot = require("matplotlib.pyplot", extra="demo", purpose="omnireco.plotting")
    if ax is not None:
        check_kind(ax, pyplot.Axes, "ax", "figure, ax = pyplot.subplots()")
        return ax
    new: Any = pyplot.subplots(figsize=size, layout="constrained")[1]
    made: Axes = new
    return made


def _finished(ax: Axes, title: str) -> Axes:
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.tick_params(colors=_INK, length=0)
    ax.set_title(title, loc="left", color=_INK, fontsize=11, fontweight="bold", pad=10)
    return ax
