"""Plots of how people use channels: shares, combinations, journeys, times between channels, and channels over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco._core.checks import check_choice, check_integer, check_kind
from omnireco.evaluation.channel_report import ChannelReport
from omnireco.plotting.style import ACCENT, INK, SERIES, SOFT, axes_of, clean, shades, title_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["channel_combinations", "channel_journeys", "channel_shares", "channel_times", "channels_over_time"]


def channel_shares(report: ChannelReport, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw each channel's share of people and of value, and those of the people on several channels.

    Parameters
    ----------
    report : ChannelReport
        Made by :func:`omnireco.evaluation.channel_report`.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    _check_report(report)
    return _pairs_of_bars(report.channels, "channel", "Share of people and of value by channel", title, ax)


def channel_combinations(
    report: ChannelReport, *, top: int = 8, title: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the commonest combinations of channels: share of people and of value. Shares add up to 1.

    Parameters
    ----------
    report : ChannelReport
        Made by :func:`omnireco.evaluation.channel_report`.
    top : int
        How many to show; the others are drawn together.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    import pandas as pd

    _check_report(report)
    top = check_integer(top, "top", low=1)
    table = report.combinations[["channels", "share_of_people", "share_of_value"]]
    if len(table) > top:
        rest = table.iloc[top:][["share_of_people", "share_of_value"]].sum()
        other = pd.DataFrame(
            {"channels": [f"{len(table) - top} others"], **{name: [rest[name]] for name in rest.index}}
        )
        table = pd.concat([table.iloc[:top], other])
    return _pairs_of_bars(table, "channels", "Combinations of channels", title, ax)


def channel_journeys(report: ChannelReport, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw where journeys are completed, by where they start: shares of the journeys started there.

    Parameters
    ----------
    report : ChannelReport
        Made by :func:`omnireco.evaluation.channel_report`.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    _check_report(report)
    begun = report.journeys["journeys"] > 0
    starts = report.journeys["started_on"][begun]
    share = report.crossings.pivot_table(index="started_on", columns="completed_on", values="share", observed=True)
    share = share.loc[starts, share.columns[share.max() > 0]]
    ax = axes_of(ax, (1.4 * share.shape[1] + 2.6, 0.6 * share.shape[0] + 1.6))
    cells = share.to_numpy()
    if not cells.size:
        title_of(ax, title, "No journey was completed")
        ax.set_axis_off()
        return ax
    most = float(np.nanmax(cells))
    ax.imshow(cells, cmap=shades(), vmin=0, vmax=most, aspect="auto")
    for row in range(share.shape[0]):
        for column in range(share.shape[1]):
            color = "white" if cells[row, column] > 0.6 * most else INK
            found = f"{cells[row, column]:.1%}" if np.isfinite(cells[row, column]) else "hidden"
            ax.text(column, row, found, ha="center", va="center", color=color)
    ax.set_xticks(range(share.shape[1]), share.columns)
    rates = report.journeys.set_index("started_on").loc[starts]
    ax.set_yticks(range(share.shape[0]), [f"{name} ({n:,})" for name, n in zip(starts, rates["journeys"], strict=True)])
    ax.set_xlabel("completed on")
    ax.set_ylabel("started on (journeys)")
    title_of(ax, title, "Where journeys are completed")
    ax.tick_params(length=0)
    return clean(ax, left=False, bottom=False)


def channel_times(report: ChannelReport, *, top: int = 12, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the hours between one channel and the next: the middle half of all moves, and the median.

    Parameters
    ----------
    report : ChannelReport
        Made by :func:`omnireco.evaluation.channel_report`.
    top : int
        How many pairs of channels to show, the commonest.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    _check_report(report)
    top = check_integer(top, "top", low=1)
    table = report.times[report.times["moves"] > 0].nlargest(top, "moves").sort_values("hours_50", ascending=False)
    ax = axes_of(ax, (7.2, 0.38 * len(table) + 1.4))
    place = np.arange(len(table))
    ax.hlines(place, table["hours_25"], table["hours_75"], color=SOFT, linewidth=6)
    ax.plot(table["hours_50"], place, "o", color=ACCENT)
    ax.set_yticks(
        place, [f"{a} to {b} ({n:,})" for a, b, n in zip(table["from"], table["to"], table["moves"], strict=True)]
    )
    ax.set_xlim(0, max(1.0, 1.05 * table["hours_75"].max()) if len(table) else 1.0)
    ax.set_xlabel("hours")
    title_of(ax, title, "Hours until the next channel")
    return clean(ax, left=False)


def channels_over_time(
    report: ChannelReport, *, measure: str = "share_of_people", title: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw each channel over time, and people on several; a last period that is not complete is left out.

    Parameters
    ----------
    report : ChannelReport
        Made by :func:`omnireco.evaluation.channel_report`.
    measure : {"share_of_people", "people", "events", "completions", "value"}
        What is drawn of each channel and period; shares of people by default.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    _check_report(report)
    check_choice(measure, "measure", ("share_of_people", "people", "events", "completions", "value"))
    table = report.over_time[report.over_time["whole"]]
    ax = axes_of(ax, (7.2, 3.6))
    for code, name in enumerate(table["channel"].unique()):
        rows, several = table[table["channel"] == name], str(name).startswith("(")
        color, style = (INK, "--") if several else (SERIES[code % len(SERIES)], "-" if code < len(SERIES) else ":")
        ax.plot(rows["period_start"], rows[measure], style, color=color, linewidth=1.8, label=name)
    ax.set_ylim(bottom=0)
    if measure == "share_of_people":
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    if len(table):
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    ax.figure.autofmt_xdate(rotation=30)
    title_of(ax, title, f"Channels over time: {measure.replace('_', ' ')}")
    return clean(ax)


def _check_report(report: Any) -> None:
    check_kind(report, ChannelReport, "report", "om.evaluation.channel_report(log)")


def _pairs_of_bars(table: pd.DataFrame, name: str, own: str, title: str | None, ax: Axes | None) -> Axes:
    table = table.iloc[::-1]
    ax = axes_of(ax, (7.2, 0.62 * len(table) + 1.4))
    place = np.arange(len(table))
    both = ((0.19, "share_of_people", ACCENT, "people"), (-0.19, "share_of_value", SERIES[1], "value"))
    worthless = not table["share_of_value"].any()  # no event has a value: half of the bars would say 0.0 %
    for shift, column, color, label in both[: 1 if worthless else 2]:
        bars = ax.barh(place + (0 if worthless else shift), table[column], color=color, height=0.36, label=label)
        ax.bar_label(bars, labels=[f" {share:.1%}" for share in table[column]], color=INK, fontsize=9)
    ax.set_yticks(place, table[name])
    ax.set_xlim(0, 1.25 * max(table["share_of_people"].max(), table["share_of_value"].max(), 1e-9))
    ax.xaxis.set_visible(False)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9, title="share of")
    title_of(ax, title, own.replace(" and of value", "") if worthless else own)
    return clean(ax, left=False, bottom=False)
