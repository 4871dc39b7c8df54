"""Plots of results: functions that take a result and return matplotlib Axes.

Each takes ``ax=`` to draw into and makes its own figure otherwise. matplotlib comes with
``omnireco[demo]`` and is loaded only when a plot is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco._core.checks import (
    check_choice,
    check_columns,
    check_integer,
    check_k,
    check_kind,
    check_numbers,
    shown,
)
from omnireco._core.units import WEEK
from omnireco.data.events import EventLog
from omnireco.errors import ParameterError
from omnireco.evaluation.report import Report
from omnireco.identity.zones import check_zone_names
from omnireco.planning import Plan
from omnireco.plotting.style import ACCENT, INK, SERIES, SOFT, axes_of, clean, title_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


__all__ = [
    "comparison",
    "events_per_channel",
    "people_hours",
    "plan_per_day",
    "plan_per_hour",
    "prices",
    "send_curve",
    "shrinkage",
    "week",
]

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def events_per_channel(log: EventLog, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw how many events each channel and event type has, and how many people.

    Parameters
    ----------
    log : EventLog
        The events to count.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    check_kind(log, EventLog, "log", "EventLog.from_frame(frame)")
    table = log.summary().sort_values("events", kind="stable")
    ax = axes_of(ax, (7.2, 0.55 * len(table) + 1.0))
    names = table["channel"] + ": " + table["event"]
    bars = ax.barh(names, table["events"], color=ACCENT, height=0.6)
    labels = [f" {events:,} by {users:,} people" for events, users in zip(table["events"], table["users"], strict=True)]
    ax.bar_label(bars, labels=labels, color=INK, fontsize=9)
    ax.set_xlim(0, 1.35 * table["events"].max())
    title_of(ax, title, "Events per channel")
    ax.xaxis.set_visible(False)
    return clean(ax, left=False, bottom=False)


def week(profile: Any, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw a week of 168 local hours as a heat map, Monday on top.

    Parameters
    ----------
    profile : array-like of shape (168,) or (n, 168)
        Shares per hour of the week, Monday 00:00 first; the mean of several rows is drawn.
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
        If the profile does not have 168 hours.
    """
    values = _hours(profile)
    ax = axes_of(ax, (8.2, 3.1))
    image = ax.imshow(100 * values.reshape(7, 24), aspect="auto", cmap="YlGnBu", vmin=0)
    ax.set_yticks(range(7), DAYS)
    ax.set_xticks(range(0, 24, 3), [f"{hour:02d}:00" for hour in range(0, 24, 3)])
    title_of(ax, title, "Activity by local hour of the week")
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02)
    bar.set_label("% of the week")
    bar.outline.set_visible(False)
    ax.tick_params(length=0)
    return clean(ax, left=False, bottom=False)


def comparison(
    report: Report, metric: str, *, k: int | None = None, title: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the mean of a metric for every model, best on top, with its interval.

    Parameters
    ----------
    report : Report
        Of :func:`omnireco.evaluate`.
    metric : str
        Such as ``"ndcg"``.
    k : int, optional
        Length of list; the first of the report by default.
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
        If the report has no such metric or k.
    """
    check_kind(report, Report, "report", "om.evaluate(lists, truth, k=10, metrics=[om.ndcg])")
    k = report.k[0] if k is None else check_k(k)
    check_choice(metric, "metric", report.metrics)
    table = report.to_frame()
    table = table[(table["metric"] == metric) & (table["k"] == k)].sort_values("mean", kind="stable")
    if not len(table):
        raise ParameterError(f"k must be one of {', '.join(map(str, report.k))} in this report. Got {k}.")
    ax = axes_of(ax, (7.2, 0.5 * len(table) + 1.2))
    mean, low, high = (table[name].to_numpy(dtype=np.float64) for name in ("mean", "low", "high"))
    place = np.arange(len(table))
    colors = [ACCENT if row == len(table) - 1 else INK for row in place]
    ax.hlines(place, np.where(np.isnan(low), mean, low), np.where(np.isnan(high), mean, high), color=SOFT, lw=6)
    ax.scatter(mean, place, color=colors, s=55, zorder=3)
    reach = np.nanmax(np.where(np.isnan(high), mean, high))
    for row, value, right in zip(place, mean, np.where(np.isnan(high), mean, high), strict=True):
        ax.annotate(f"{value:.3f}", (right, row), xytext=(8, 0), textcoords="offset points", va="center", color=INK)
    ax.set_yticks(place, table["model"])
    ax.set_ylim(-0.6, len(table) - 0.4)
    ax.set_xlim(0, 1.15 * reach if reach > 0 else 1)
    title_of(ax, title, f"{metric} of the best {k}, higher is better")
    ax.grid(axis="x", color="#e6eaed")
    ax.set_axisbelow(True)
    return clean(ax, left=False)


def send_curve(
    curve: Any,
    *,
    low: Any = None,
    high: Any = None,
    quiet: tuple[int, int] | None = None,
    title: str | None = None,
    label: str = "response probability",
    ax: Axes | None = None,
) -> Axes:
    """Draw the response probability by local hour of sending, with the best allowed hour marked.

    Parameters
    ----------
    curve : array-like of shape (168,)
        Monday 00:00 local first.
    low, high : array-like of shape (168,), optional
        The ends of its interval, both or none: ``model.table(touches)`` has them.
    quiet : (int, int), optional
        Local hours from which and until which nothing may be sent, such as ``(21, 8)``; drawn grey.
    title, label : str
        The title, and the label of the vertical axis.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ParameterError
        If the curve, or an end of its interval, does not have 168 hours, or one end is missing.
    """
    values = _hours(curve)
    if (low is None) != (high is None):
        raise ParameterError("send_curve: give both low and high, or none: send_curve(curve, low=low, high=high).")
    ends = None if low is None else (_hours(low), _hours(high))
    ax = axes_of(ax, (8.2, 2.9))
    hours = np.arange(WEEK)
    silent = np.zeros(WEEK, np.bool_) if quiet is None else _silent(hours % 24, *_quiet(quiet))
    ax.fill_between(hours + 0.5, *((values,) if ends is None else ends), color=ACCENT, alpha=0.15, lw=0)
    ax.plot(hours + 0.5, values, color=ACCENT, lw=1.8)
    highest = float((values if ends is None else ends[1]).max())
    top = 1.18 * highest if highest > 0 else 1.0
    for hour in hours[silent]:
        ax.axvspan(hour, hour + 1, color="#eceff1", lw=0, zorder=0)
    if not silent.all():
        best = int(np.flatnonzero(~silent)[values[~silent].argmax()])
        ax.scatter([best + 0.5], [values[best]], color=SERIES[1], s=50, zorder=3)
        side = ("left", 7) if best < 140 else ("right", -7)
        ax.annotate(
            f"best: {DAYS[best // 24]} {best % 24:02d}:00",
            (best + 0.5, values[best]),
            xytext=(side[1], 6),
            textcoords="offset points",
            ha=side[0],
            color=INK,
        )
    ax.set_xlim(0, WEEK)
    ax.set_ylim(0, top)
    ax.set_xticks(np.arange(7) * 24 + 12, DAYS)
    for edge in range(24, WEEK, 24):
        ax.axvline(edge, color="#d5dbe0", lw=0.8)
    ax.tick_params(length=0)
    ax.set_ylabel(label)
    title_of(
        ax, title, "Response probability by hour of sending" + ("   (grey: quiet hours)" if quiet is not None else "")
    )
    return clean(ax)


def shrinkage(skill: Any, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the log-likelihood gain of profiles over the population's, by length of history.

    Parameters
    ----------
    skill : pandas.DataFrame or Headroom
        As `timing_skill` gives it, or the report of `headroom`; one line per model.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        Points with their 95 % intervals over people; below the line a profile predicts worse than the population's.
    """
    table = getattr(skill, "skill", skill)
    check_columns(getattr(table, "columns", ()), ["history", "model", "people", "nats", "low", "high"], "shrinkage")
    ax = axes_of(ax, (7.2, 3.4))
    groups = list(dict.fromkeys(table["history"]))
    names = list(dict.fromkeys(table["model"]))
    for i, (name, rows) in enumerate(table.groupby("model", sort=False)):
        place = np.array([groups.index(group) for group in rows["history"]]) + 0.16 * (i - (len(names) - 1) / 2)
        reach = np.stack([rows["nats"] - rows["low"], rows["high"] - rows["nats"]])
        ax.errorbar(place, rows["nats"], np.maximum(reach, 0.0), fmt="o", color=SERIES[i % 6], capsize=3, label=name)
    ax.axhline(0.0, color=INK, lw=0.8)
    people = table[table["model"] == names[0]].set_index("history")["people"]
    ax.set_xticks(range(len(groups)), [f"{group}\n{people.get(group, 0):,} people" for group in groups])
    ax.set_xlim(-0.5, len(groups) - 0.5)
    ax.set_xlabel("sessions of history")
    ax.set_ylabel("nats per later session")
    if len(names) > 1:
        ax.legend(frameon=False)
    title_of(ax, title, "Gain of personal profiles over the population's")
    return clean(ax)


def people_hours(
    profiles: Any,
    population: Any,
    *,
    counts: Any = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the activity of a few people by hour of the day, against the population's.

    No ids: people are the rows given, named A, B, C...

    Parameters
    ----------
    profiles : array-like of shape (n, 168)
        At most 12 people.
    population : array-like of shape (168,)
        Profile of everybody: the share of each local hour of the week, Monday 00:00 first.
    counts : array-like of shape (n, 168), optional
        Their sessions, drawn as bars: the distance from bars to profile is the shrinkage.
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
        If there are no people, more than 12, or not 168 hours.
    """
    rows = check_numbers(profiles, "profiles")
    if rows.ndim != 2 or rows.shape[1] != WEEK or not 1 <= len(rows) <= 12:
        raise ParameterError(
            f"people_hours draws 1 to 12 rows of 168 hours. Got the shape {rows.shape}: take a few people."
        )
    ax = axes_of(ax, (7.2, 0.7 * len(rows) + 1.0))
    by_hour = rows.reshape(-1, 7, 24).sum(axis=1)
    everybody = _hours(population).reshape(7, 24).sum(axis=0)
    seen = None if counts is None else check_numbers(counts, "counts")
    if seen is not None and seen.shape != rows.shape:
        raise ParameterError(f"counts must have the shape {rows.shape} of the profiles. Got {seen.shape}.")
    seen = None if seen is None else seen.reshape(-1, 7, 24).sum(axis=1)
    share = None if seen is None else seen / np.maximum(seen.sum(axis=1, keepdims=True), 1e-12)
    height = 1.25 * max(float(by_hour.max()), float(everybody.max()))
    edges = np.arange(25)
    for i, line in enumerate(by_hour):
        floor = float(len(rows) - 1 - i)
        if share is not None and seen is not None:
            ax.bar(edges[:-1] + 0.5, np.minimum(share[i] / height, 0.95), 0.8, bottom=floor, color=SOFT, alpha=0.55)
            ax.text(24.2, floor + 0.3, f"{seen[i].sum():.0f} sessions", color=INK, fontsize=9, va="center")
        ax.stairs(everybody / height + floor, edges, baseline=None, color=SOFT, lw=1.5)
        ax.stairs(line / height + floor, edges, baseline=None, color=ACCENT, lw=1.8)
        ax.axhline(floor, color="#d5dbe0", lw=0.8)
    ax.set_yticks(np.arange(len(rows))[::-1] + 0.3, [chr(65 + i) for i in range(len(rows))])
    ax.set_xticks(range(0, 25, 3), [f"{hour:02d}:00" for hour in range(0, 25, 3)])
    ax.set_xlim(0, 24)
    ax.set_ylim(-0.02, len(rows))
    ax.tick_params(length=0)
    title_of(ax, title, "Activity of some people, and of all (grey)")
    return clean(ax, left=False, bottom=False)


def plan_per_day(plan: Any, *, timezone: str = "UTC", title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw how many messages of a plan leave per day, stacked by channel.

    Parameters
    ----------
    plan : Plan or pandas.DataFrame
        A plan, or its frame with ``channel`` and ``send_at``.
    timezone : str
        The calendar by which days are counted.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    table, timezone = _plan_frame(plan), check_zone_names((timezone,), "timezone")[0]
    days = table["send_at"].dt.tz_convert(timezone).dt.tz_localize(None).dt.normalize()
    counts = table.groupby([days.rename("day"), "channel"]).size().unstack("channel", fill_value=0)
    ax = axes_of(ax, (7.2, 3.0))
    _stack(ax, np.arange(len(counts)), counts)
    ax.set_xticks(range(len(counts)), [f"{day:%a}\n{day.day} {day:%b}" for day in counts.index])
    title_of(ax, title, f"Messages per day ({timezone})")
    return clean(ax)


def plan_per_hour(
    plan: Any, hour: Sequence[int] | np.ndarray, *, title: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the messages of a plan by local hour.

    Parameters
    ----------
    plan : Plan or pandas.DataFrame
        A plan, or its frame with ``channel`` and ``send_at``.
    hour : array-like of int, shape (n,)
        The local hour of the day of every message, 0 to 23.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    import pandas as pd

    table = _plan_frame(plan)
    hours = check_numbers(hour, "hour")
    if hours.shape != (len(table),):
        raise ParameterError(f"hour must be one hour per message of the plan, {len(table):,}. Got {shown(hour)}.")
    counts = pd.crosstab(hours, table["channel"].to_numpy()).reindex(range(24), fill_value=0)
    ax = axes_of(ax, (7.2, 3.0))
    _stack(ax, np.arange(24), counts)
    ax.set_xticks(range(0, 24, 3), [f"{h:02d}:00" for h in range(0, 24, 3)])
    ax.set_xlim(-0.6, 23.6)
    title_of(ax, title, "Messages per hour, on each person's own clock")
    return clean(ax)


def prices(plan: Plan, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the shadow prices of a plan: what one more unit of each limit would add to its value, highest on top.

    Units are each constraint's own: one unit of money for a budget, one message for a cap or a capacity (in its
    tightest hour). So compare a bar with what that unit costs, not with its neighbour.

    Parameters
    ----------
    plan : Plan
        Made by :func:`omnireco.plan`.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    check_kind(plan, Plan, "prices: plan", "om.plan(touches, constraints=rules)")
    dearest = plan.prices.groupby("constraint", sort=False)["price"].max()
    names = sorted(dearest.index, key=lambda name: (dearest[name], name))
    ax = axes_of(ax, (7.2, 0.5 * max(1, len(names)) + 1.1))
    values = [float(dearest[name]) for name in names]
    bars = ax.barh(names, values, color=SERIES[1], height=0.55)
    ax.bar_label(bars, labels=[f" {value:.3g}" for value in values], color=INK)
    ax.set_xlim(0, 1.2 * max([*values, 1e-12]))
    ax.xaxis.set_visible(False)
    title_of(ax, title, "Shadow prices: value of one more unit of each limit")
    return clean(ax, left=False, bottom=False)


# small things ---------------------------------------------------------------------------------------


def _quiet(quiet: Any) -> tuple[int, int]:
    if not isinstance(quiet, (tuple, list)) or len(quiet) != 2:
        raise ParameterError(f"quiet must be two hours of the day, such as (21, 8). Got {shown(quiet)}.")
    start, end = (check_integer(hour, "quiet", low=0, high=24) for hour in quiet)
    return start, end


def _hours(profile: Any) -> np.ndarray:
    values = check_numbers(profile, "profile")
    if values.shape[-1:] != (WEEK,) or values.ndim > 2:
        raise ParameterError(
            f"A week has 168 hours, Monday 00:00 first. Got an array of shape {values.shape}. "
            "Pass model.hour_of_week(user_ids), or one row of it."
        )
    return np.asarray(values.mean(axis=0) if values.ndim == 2 else values)


def _silent(hour: np.ndarray, start: int, end: int) -> np.ndarray:
    """Return which hours of the day are quiet; the quiet time may run over midnight."""
    if start <= end:
        return np.asarray((hour >= start) & (hour < end))
    return np.asarray((hour >= start) | (hour < end))


def _plan_frame(plan: Any) -> pd.DataFrame:
    """Return the frame of a plan, or the frame that was given."""
    frame: pd.DataFrame = plan.to_frame() if isinstance(plan, Plan) else plan
    if not isinstance(getattr(frame, "columns", None), Iterable):
        raise ParameterError(f"A plot of a plan takes a Plan, or plan.to_frame(). Got {shown(plan)}.")
    check_columns(frame.columns, ["channel", "send_at"], "A plot of a plan")
    return frame


def _stack(ax: Axes, place: np.ndarray, counts: pd.DataFrame) -> None:
    """Draw columns of counts, one colour per channel."""
    bottom = np.zeros(len(counts))
    for number, channel in enumerate(counts.columns):
        height = counts[channel].to_numpy(dtype=np.float64)
        ax.bar(place, height, bottom=bottom, color=SERIES[number % len(SERIES)], width=0.7, label=str(channel))
        bottom += height
    ax.set_ylabel("messages")
    if len(counts.columns):
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
