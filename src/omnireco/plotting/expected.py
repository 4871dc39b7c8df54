"""Plots of what is expected: calibration, fatigue, personal hours, and policies before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco._core.checks import check_integer, check_kind
from omnireco.causal.off_policy import OffPolicy
from omnireco.causal.selecting import PolicyChoice
from omnireco.models.together.calibration import check_outcomes
from omnireco.plotting.style import ACCENT, INK, SERIES, SOFT, axes_of, clean, title_of
from omnireco.timing.fatigue import FatigueModel
from omnireco.timing.headroom import Headroom

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["calibration", "fatigue", "headroom_lifts", "policy_lifts"]

_BEST_FIRST = ("sndr", "dr", "snips", "ips")


def calibration(
    probability: Any,
    outcome: Any,
    *,
    n_bins: int = 10,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw predicted beside observed frequency, in groups of equal size from the lowest to the highest.

    Points on the line are calibrated; a point below it was predicted too high.

    Parameters
    ----------
    probability : array-like of shape (n,)
        Predicted, in [0, 1], on events that the model did not learn from.
    outcome : array-like of shape (n,)
        Whether it happened: 0 or 1.
    n_bins : int
        Number of groups.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        With 95 % intervals (Wilson), which take the events for independent.

    Raises
    ------
    ParameterError, EmptyError
        For lengths that differ, probabilities outside [0, 1], or nothing at all.
    """
    chance, happened = check_outcomes(probability, outcome, "calibration")
    n_bins = check_integer(n_bins, "n_bins", low=1)
    ax = axes_of(ax, (4.6, 4.2))
    groups = np.array_split(np.argsort(chance, kind="stable"), min(n_bins, chance.size))
    expected, observed, size = (
        np.array([measure(group) for group in groups])
        for measure in (lambda group: chance[group].mean(), lambda group: happened[group].mean(), len)
    )
    low, high = _wilson(observed, size)
    most = 1.05 * max(expected.max(), high.max())
    ax.plot([0, most], [0, most], color=SOFT, linewidth=1)
    ax.vlines(expected, low, high, color=ACCENT, linewidth=1.5)
    ax.plot(expected, observed, "o", color=ACCENT, markersize=5)
    ax.set_xlim(0, most)
    ax.set_ylim(0, most)
    ax.set_xlabel("expected share")
    ax.set_ylabel("observed share")
    title_of(ax, title, "Probabilities: expected and observed")
    return clean(ax)


def fatigue(model: FatigueModel, *, most: int = 6, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw how the response probability falls with the messages that somebody has in fresh memory, per channel.

    Parameters
    ----------
    model : FatigueModel
    most : int
        Up to how many fresh messages.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        Relative to nobody having written, with 95 % intervals.

    Raises
    ------
    ParameterError
        When the model is another thing.
    """
    check_kind(model, FatigueModel, "model", "om.timing.Fatigue().fit(data)")
    fresh = np.linspace(0, check_integer(most, "most", low=1), 61)
    ax = axes_of(ax, (7.2, 3.6))
    for at, name in enumerate(model.channels.ids.tolist()):
        color = SERIES[at % len(SERIES)]
        steep, low, high = (float(one[at]) for one in (model.coefficient, model.low, model.high))
        ax.fill_between(fresh, np.exp(-high * fresh), np.exp(-low * fresh), color=color, alpha=0.15, lw=0)
        label = f"{name}: x {np.exp(-steep):.2f} per message ({np.exp(-high):.2f} to {np.exp(-low):.2f})"
        ax.plot(fresh, np.exp(-steep * fresh), color=color, lw=1.8, label=label)
    ax.axhline(1.0, color=SOFT, lw=1)
    ax.set_xlim(0, most)
    ax.set_ylim(0, None)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    days = model.half_life_us / 86_400e6
    ax.set_xlabel(f"fresh messages before it (half-life {days:.1f} days)")
    ax.set_ylabel("relative response rate")
    if len(model.channels):
        ax.legend(frameon=False, fontsize=9)
    title_of(ax, title, "Responses after several messages")
    return clean(ax)


def headroom_lifts(report: Any, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw what sending at everybody's own hour could add to the best common hour, beside what is worth the effort.

    Parameters
    ----------
    report : Headroom, or mapping of str to Headroom
        One, or several by name, such as those of several channels.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        With 95 % intervals; coloured where the whole interval is beyond what is worthwhile.

    Raises
    ------
    ParameterError
        When a report is another thing.
    """
    reports = dict(report) if isinstance(report, Mapping) else {"": report}
    for one in reports.values():
        check_kind(one, Headroom, "report", "om.timing.headroom(data)")
    names = [f"{name or one.channel or 'activity'}\n{one.people:,} people" for name, one in reports.items()]
    ax = axes_of(ax, (7.2, 0.7 * max(1, len(names)) + 1.2))
    place = np.arange(len(names))[::-1]
    ax.axvline(0, color=SOFT, linewidth=1)
    for at, one in zip(place, reports.values(), strict=True):
        color = ACCENT if one.low >= one.worthwhile else SOFT
        ax.hlines(at, one.low, one.high, color=color, linewidth=2)
        ax.plot(one.lift, at, "o", color=color)
        if np.isfinite(one.lift):
            ax.text(one.lift, at + 0.12, f"{one.lift:+.1%}", color=INK, fontsize=9, ha="center")
        ax.vlines(one.worthwhile, at - 0.35, at + 0.35, color=INK, linewidth=1, linestyle=":")
    ax.set_yticks(place, names)
    ax.set_ylim(-0.6, max(1, len(names)) - 0.4)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:+.0%}")
    ax.set_xlabel("over the best common hour (dotted: worth the effort)")
    title_of(ax, title, "What personal hours could add")
    return clean(ax, left=False)


def policy_lifts(
    result: OffPolicy | PolicyChoice,
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw what each policy would have earned over the one that made the log, with intervals; refused ones say so.

    Of a result made with ``against=`` the paired differences to that policy are drawn.

    Parameters
    ----------
    result : OffPolicy or PolicyChoice
        Of several estimators the first of sndr, dr, snips and ips is drawn, else the first there is.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ParameterError
        When the result is another thing.
    """
    check_kind(result, (OffPolicy, PolicyChoice), "result", "om.causal.off_policy(logged, policies)")
    table = result.table
    if "estimator" in table:
        there = [name for name in _BEST_FIRST if name in set(table["estimator"])] or [table["estimator"].iloc[0]]
        table = table[table["estimator"] == there[0]]
    against = result.against if isinstance(result, OffPolicy) else ""
    if against:
        table = table[table["policy"].astype(str) != against]
        table = table.assign(**{f"lift{end}": table[f"difference{end}"] for end in ("", "_low", "_high")})
    ax = axes_of(ax, (7.2, 0.5 * max(1, len(table)) + 1.2))
    place = np.arange(len(table))[::-1]
    ax.axvline(0, color=INK, linewidth=0.8)
    for at, row in zip(place, table.to_dict("records"), strict=True):
        if np.isnan(row["lift"]):
            ax.text(
                0,
                at,
                "  no value: the log does not support it" if not against else "  no difference",
                color=INK,
                fontsize=9,
                va="center",
            )
            continue
        sure = row["lift_low"] > 0 or row["lift_high"] < 0
        color = SOFT if not sure else ACCENT if row["lift"] > 0 else SERIES[3]
        ax.hlines(at, row["lift_low"], row["lift_high"], color=color, linewidth=2)
        ax.plot(row["lift"], at, "o", color=color)
    ax.set_yticks(place, table["policy"].astype(str))
    ax.set_ylim(-0.6, max(1, len(table)) - 0.4)
    ax.set_xlabel(f"reward per decision, over {against or 'the log'}")
    title_of(ax, title, f"Policies against {against or 'the one that made the log'}")
    return clean(ax, left=False)


def _wilson(share: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % interval of Wilson (1927) for shares of ``n``."""
    z = 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return np.clip(middle - half, 0.0, 1.0), np.clip(middle + half, 0.0, 1.0)
