"""Plots of effects: uplift curves, and what budgets earn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco._core.checks import check_kind
from omnireco.causal.uplift.budget import BudgetPath
from omnireco.causal.uplift.curves import UpliftCurve
from omnireco.plotting.style import INK, SERIES, SOFT, axes_of, clean, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["budget_gains", "gain_curve"]


def gain_curve(curve: Any, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the gain curve of a score with its interval, and the straight line of a random share.

    Parameters
    ----------
    curve : UpliftCurve, or mapping of str to UpliftCurve
        One, or several by name.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ParameterError
        When a curve is another thing.
    """
    curves = dict(curve) if isinstance(curve, Mapping) else {"": curve}
    for one in curves.values():
        check_kind(one, UpliftCurve, "curve", "om.causal.uplift_curve(scores, experiment)")
    ax = axes_of(ax, (7.2, 3.6))
    for at, (name, one) in enumerate(curves.items()):
        color = SERIES[at % len(SERIES)]
        label = f"{name or one.arm}: qini {one.value[0]:.3g} ({one.low[0]:.3g} to {one.high[0]:.3g})"
        ax.fill_between(one.share, one.gain_low, one.gain_high, color=color, alpha=0.15, lw=0)
        ax.plot(one.share, one.gain, color=color, lw=1.8, label=label)
        ax.plot([0, 1], [0, one.gain[-1]], color=SOFT, lw=1.2, ls="--", label="a random share" if at == 0 else None)
    ax.axhline(0.0, color=INK, lw=0.8)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.set_xlabel("share of the people who are treated")
    ax.set_ylabel("gain per person")
    ax.legend(frameon=False, loc="upper left", fontsize=9)
    title_of(ax, title, "Gain when those with the highest scores are treated")
    return clean(ax)


def budget_gains(path: BudgetPath, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the gain of every budget with its interval, beside the same arms without targeting.

    Parameters
    ----------
    path : BudgetPath
        Made by :func:`omnireco.causal.budget_path`.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ParameterError
        When the path is another thing.
    """
    check_kind(path, BudgetPath, "path", "om.causal.budget_path(rewards, experiment, costs={'email': 0.01})")
    ax = axes_of(ax, (7.2, 3.6))
    ax.fill_between(path.budget, path.low, path.high, color=SERIES[0], alpha=0.15, lw=0)
    ax.plot(path.budget, path.gain, color=SERIES[0], lw=1.8, label="the best arm for each person")
    ax.plot(path.budget, path.single, color=SERIES[1], lw=1.5, ls="--", label="without targeting")
    ax.axhline(0.0, color=INK, lw=0.8)
    ax.set_xlim(0, max(float(path.budget[-1]), float(np.finfo(float).tiny)) or 1.0)
    ax.set_xlabel("spent per person")
    ax.set_ylabel("gain per person")
    ax.legend(frameon=False, loc="upper left", fontsize=9)
    title_of(ax, title, "What each budget earns")
    return clean(ax)
