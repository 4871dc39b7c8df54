"""Plots of journeys and of what channels earned; shown by :mod:`omnireco.plotting`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from omnireco._core.checks import check_kind
from omnireco.causal.holdouts.holdout_report import HoldoutReport
from omnireco.causal.paths.attribution import Attribution
from omnireco.causal.substitution.first_use import Displacement
from omnireco.journeys.funnel import Funnel
from omnireco.journeys.returns import ReturnsModel
from omnireco.plotting.style import ACCENT, INK, SERIES, SOFT, axes_of, clean, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["credit", "first_use", "funnel_steps", "holdout_effects", "return_calibration"]


def credit(report: Attribution, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw how much credit each model gives to each channel, with intervals.

    Parameters
    ----------
    report : Attribution
        Made by :func:`omnireco.causal.attribution`.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    check_kind(report, Attribution, "report", "om.causal.attribution(om.causal.Paths.of(data))")
    names, models = report.channels["channel"].tolist(), list(dict.fromkeys(report.table["model"]))
    ax = axes_of(ax, (8.2, 0.16 * len(names) * len(models) + 1.6))
    height = 0.8 / len(models)
    place = np.arange(len(names))[::-1]
    for number, model in enumerate(models):
        table = report.table[report.table["model"] == model]
        at = place + 0.4 - height * (number + 0.5)
        color = SERIES[number % len(SERIES)]
        ax.barh(at, table["conversions"], height=0.9 * height, color=color, label=model, alpha=0.9)
        known = table["low"].notna().to_numpy()
        ax.hlines(at[known], table["low"][known], table["high"][known], color=INK, linewidth=1)
    ax.set_yticks(place, names)
    ax.set_xlabel("conversions")
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    title_of(ax, title, "Credit by model (not causation)")
    return clean(ax, left=False)


def first_use(report: Displacement, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the event study: what differs before first use, and what changes after it, with the joint band.

    Parameters
    ----------
    report : Displacement
        Made by :func:`omnireco.causal.displacement`.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    check_kind(report, Displacement, "report", "om.causal.displacement(data, channel='web', on='store')")
    ax = axes_of(ax, (7.2, 3.4))
    table = report.table
    color = SERIES[3] if report.refused else ACCENT
    ax.axhline(0, color=SOFT, linewidth=1)
    ax.axvline(-0.5, color=SOFT, linewidth=1, linestyle=":")
    ax.fill_between(table["period"], table["band_low"], table["band_high"], color=color, alpha=0.15, linewidth=0)
    ax.vlines(table["period"], table["low"], table["high"], color=color, linewidth=1.5)
    ax.plot(table["period"], table["effect"], "o", color=color, markersize=4)
    ax.set_xlabel(f"periods since the first use of {report.channel}")
    ax.set_ylabel(f"change of {report.outcome}")
    title_of(ax, title, "Before and after the first use" + (": refused" if report.refused else ""))
    return clean(ax)


def funnel_steps(funnel: Funnel, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the share of attempts that reach each step, and where people are stuck now.

    Parameters
    ----------
    funnel : Funnel
        Made by :func:`omnireco.journeys.funnel`.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    check_kind(funnel, Funnel, "funnel", "om.journeys.funnel(data, {'looked': 'view', 'bought': 'purchase'})")
    table = funnel.table
    ax = axes_of(ax, (7.2, 0.6 * len(table) + 1.0))
    place = np.arange(len(table))[::-1]
    bars = ax.barh(place, table["share_of_start"].fillna(0.0), color=ACCENT, height=0.6)
    words = []
    for row in table.to_dict("records"):
        if np.isnan(row["people"]):
            known = "" if np.isnan(row["share_of_start"]) else f" {row['share_of_start']:.0%},"
            words.append(f"{known} people hidden")
            continue
        hours = "" if np.isnan(row["median_hours"]) else f", {row['median_hours']:,.1f} h"
        stuck = f", {row['stuck']:,.0f} stuck now" if row["stuck"] > 0 else ""
        words.append(f" {row['share_of_start']:.0%}: {row['people']:,.0f} people{hours}{stuck}")
    ax.bar_label(bars, labels=words, color=INK, fontsize=9)
    ax.set_yticks(place, table["step"])
    ax.set_xlim(0, 1.6)
    ax.xaxis.set_visible(False)
    title_of(ax, title, "How far people get")
    return clean(ax, left=False, bottom=False)


def holdout_effects(report: HoldoutReport, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw what messages changed of each outcome, relative to people held out, with intervals.

    Parameters
    ----------
    report : HoldoutReport
        Made by :func:`omnireco.causal.holdout_report`.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    check_kind(report, HoldoutReport, "report", "om.causal.holdout_report(plan.holdout, data, start='2025-06-01')")
    table = report.table.dropna(subset=["lift"])
    ax = axes_of(ax, (7.2, 0.5 * max(1, len(table)) + 1.2))
    place = np.arange(len(table))[::-1]
    ax.axvline(0, color=SOFT, linewidth=1)
    ax.hlines(place, 100 * table["lift_low"], 100 * table["lift_high"], color=ACCENT, linewidth=2)
    ax.plot(100 * table["lift"], place, "o", color=ACCENT)
    ax.set_yticks(place, table["outcome"])
    ax.set_ylim(-0.6, max(1, len(table)) - 0.4)
    ax.set_xlabel("percent")
    title_of(ax, title, "Relative to people held out")
    return clean(ax, left=False)


def return_calibration(model: ReturnsModel, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw how many people came back of those who were expected to, in windows predicted from before them.

    Parameters
    ----------
    model : ReturnsModel
        Made by :meth:`omnireco.journeys.Returns.fit`.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    check_kind(model, ReturnsModel, "model", "om.journeys.Returns().fit(data)")
    ax = axes_of(ax, (4.6, 4.2))
    table = model.calibration
    ax.plot([0, 1], [0, 1], color=SOFT, linewidth=1)
    ax.vlines(table["expected"], table["low"], table["high"], color=ACCENT, linewidth=1.5)
    ax.plot(table["expected"], table["observed"], "o", color=ACCENT, markersize=5)
    ax.set_xlabel("expected share")
    ax.set_ylabel("observed share")
    title_of(ax, title, "Returns: expected and observed")
    return clean(ax)
