"""Plots of scorecards and backtests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from omnireco._core.checks import check_choice, check_kind
from omnireco.evaluation.cards.scorecard import Scorecard
from omnireco.evaluation.trials.backtest import Backtest
from omnireco.plotting.style import ACCENT, INK, SERIES, SOFT, axes_of, clean, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["backtest", "scorecard"]

_WORSE = SERIES[3]


def scorecard(card: Scorecard, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the shares of a scorecard, now and before; grey where they are not measured.

    Parameters
    ----------
    card : Scorecard
        Made by :func:`omnireco.evaluation.scorecard`.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    check_kind(card, Scorecard, "card", "om.evaluation.scorecard(data)")
    table = card.table[card.table["unit"] == "share"].iloc[::-1].reset_index(drop=True)
    ax = axes_of(ax, (8.5, 0.9 + 0.33 * len(table)))
    place = np.arange(len(table))
    known = table["value"].notna().to_numpy()
    worse = (table["trend"] == "worse").to_numpy()
    colors = np.where(worse, _WORSE, ACCENT)
    ax.barh(place, table["value"].fillna(0.0), color=list(colors), height=0.55)
    was = table["before"].notna().to_numpy()
    ax.plot(table["before"][was], place[was], "|", color=INK, markersize=12, markeredgewidth=2)
    for i in np.flatnonzero(~known):
        ax.text(0.01, float(i), str(table["status"][i]).split(":")[0], color=SOFT, va="center", fontsize=9)
    names = [f"{m}{f' ({c})' if c else ''}" for m, c in zip(table["measure"], table["channel"], strict=True)]
    ax.set_yticks(place, names)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    return _finished(ax, title, "Scorecard: bars now, marks before")


def backtest(result: Backtest, *, metric: str | None = None, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the paired differences of a backtest to its baseline, with intervals.

    Parameters
    ----------
    result : Backtest
        Made by :func:`omnireco.backtest`.
    metric : str, optional
        By default the first.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    check_kind(result, Backtest, "result", "om.evaluation.backtest(estimators, data, horizon='14D')")
    known = result.leaderboard["metric"].unique().tolist()
    chosen = known[0] if metric is None else check_choice(metric, "metric", known)
    table = result.leaderboard[result.leaderboard["metric"] == chosen].iloc[::-1]
    ax = axes_of(ax, (7.0, 1.0 + 0.4 * len(table)))
    place = np.arange(len(table))
    low, high = (table[name].to_numpy(np.float64) for name in ("difference_low", "difference_high"))
    middle = table["difference"].to_numpy(np.float64)
    ax.errorbar(middle, place, xerr=np.stack([middle - low, high - middle]), fmt="o", color=ACCENT, capsize=3)
    ax.axvline(0, color=SOFT, linewidth=1)
    ax.set_yticks(place, table["model"])
    return _finished(ax, title, f"{chosen}: difference to {result.baseline}, over {result.n_cuts} cuts")


def _finished(ax: Axes, title: str | None, own: str) -> Axes:
    """Remove what carries no information, and write the title."""
    title_of(clean(ax, left=False), title, own)
    return ax
