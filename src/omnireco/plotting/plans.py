"""Plots of plans: savings, load against capacity, reach, what another limit does, offers shown, one person's week."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco._core.checks import check_kind, count_of
from omnireco._core.units import DAY_US, HOUR_US
from omnireco.data.messages import NEVER
from omnireco.errors import ParameterError
from omnireco.planning import OfferAudit, Plan, Saved, WhatIf
from omnireco.plotting.style import ACCENT, INK, SERIES, SOFT, axes_of, clean, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["offers_shown", "person_week", "plan_load", "plan_reach", "plan_saved", "plan_why", "what_if"]

FAINT = "#e6eaed"
_MOST_DAYS = 31
_MOST_LETTERS = 34  # of an item beside its dot
_MOST_BARS = 24


def plan_saved(saved: Saved, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the share of the value that a plan keeps against the share of its messages that are dropped.

    Parameters
    ----------
    saved : Saved
        Of ``plan.saved(at=0.98)``.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The band is the interval over people alone; that values are estimates is not in it.
    """
    check_kind(saved, Saved, "saved", "plan.saved(at=0.98)")
    table = saved.curve
    ax = axes_of(ax, (7.2, 3.2))
    ax.fill_betweenx(100 * table["kept"], 100 * table["low"], 100 * table["high"], color=SOFT, alpha=0.5, lw=0)
    ax.plot(100 * table["share"], 100 * table["kept"], color=ACCENT, lw=1.8)
    share = 100 * saved.dropped / max(1, saved.sends)
    ax.scatter([share], [100 * saved.at], color=SERIES[1], s=50, zorder=3)
    text = f"{share:.0f} % of the messages for {100 * (1 - saved.at):.3g} % of the value"
    ax.annotate(text, (share, 100 * saved.at), xytext=(10, 4), textcoords="offset points", color=INK)
    ax.set_xlim(0, 100)
    ax.set_xlabel("messages dropped, %")
    ax.set_ylabel("value kept, %")
    title_of(ax, title, "What could be saved")
    return clean(ax)


def plan_load(plan: Plan, channel: str, *, per: Any = None, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw how many messages of a channel leave in each cell of time, against its capacity.

    Parameters
    ----------
    plan : Plan
        Made by :func:`omnireco.plan`.
    channel : str
        The channel whose messages are counted.
    per : duration, optional
        As in ``plan.load``.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        Cells at their capacity are drawn in another colour.

    Raises
    ------
    ParameterError
        When the plan sends nothing on the channel.
    """
    check_kind(plan, Plan, "plan", "om.plan(touches, constraints=[...])")
    table = plan.load(per=per)
    table = table[table["channel"].astype(object) == channel] if isinstance(channel, str) else table[:0]
    if not len(table):
        used = ", ".join(sorted(set(plan.load()["channel"]))) or "none"
        raise ParameterError(f"plan_load: the plan sends nothing on this channel. It uses {used}.")
    at = table["start_at"].dt.tz_convert(None).to_numpy(dtype="datetime64[us]").astype(np.int64)
    width = int(np.diff(at).min()) if at.size > 1 else HOUR_US
    place = at / DAY_US
    full = (table["sends"] >= table["capacity"]).to_numpy()
    ax = axes_of(ax, (8.2, 2.9))
    for mask, color, label in ((~full, ACCENT, "messages"), (full, SERIES[1], "at capacity")):
        if mask.any():
            ax.bar(place[mask], table["sends"].to_numpy()[mask], width / DAY_US, align="edge", color=color, label=label)
    capacity = table["capacity"].to_numpy()
    if not np.isnan(capacity).all():
        ax.hlines(np.nanmin(capacity), place[0], place[-1] + width / DAY_US, color=INK, lw=1, ls="--", label="capacity")
    ax.xaxis.set_major_formatter(lambda day, _: f"{np.datetime64(int(np.floor(day)), 'D').item():%a %d}")
    ax.set_ylabel("messages")
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    title_of(ax, title, f"Load of {channel} (UTC)")
    return clean(ax)


def plan_reach(plan: Plan, *, k: int = 5, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw reach and frequency: how many people get how many messages.

    Parameters
    ----------
    plan : Plan
        Made by :func:`omnireco.plan`.
    k : int
        Cells of fewer people, and others from which they would follow, are drawn together as too few to show.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    check_kind(plan, Plan, "plan", "om.plan(touches, constraints=[...])")
    table = plan.reach(k=k)
    names = list(dict.fromkeys(table["channel"]))
    ax = axes_of(ax, (7.2, 0.55 * len(names) + 1.4))
    shades = [SOFT, *SERIES]
    left = np.zeros(len(names))
    for times in sorted(set(table["messages"])):
        rows = table[table["messages"] == times].set_index("channel")["share"]
        width = np.array([rows.get(name, 0.0) for name in names], np.float64)
        width = np.nan_to_num(width)
        label = "none" if times == 0 else str(times)
        ax.barh(names[::-1], width[::-1], left=left[::-1], height=0.6, color=shades[times % len(shades)], label=label)
        left += width
    if ((rest := 1.0 - left) > 1e-9).any():
        ax.barh(names[::-1], rest[::-1], left=left[::-1], height=0.6, color=FAINT, label="too few to show")
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), title="messages")
    title_of(ax, title, "Reach and frequency")
    return clean(ax, left=False)


def what_if(found: WhatIf, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the messages per channel before and after a limit was changed.

    Parameters
    ----------
    found : WhatIf
        Of ``plan.with_limit(...)``.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    check_kind(found, WhatIf, "found", "plan.with_limit(om.Budget('email', cost=0.01, total=500))")
    table = found.to_frame()
    table = table[(table["measure"] == "messages") & (table["channel"] != "all")].iloc[::-1]
    ax = axes_of(ax, (7.2, 0.62 * len(table) + 1.4))
    place = np.arange(len(table))
    for shift, column, color in ((0.19, "before", SOFT), (-0.19, "after", ACCENT)):
        bars = ax.barh(place + shift, table[column], color=color, height=0.36, label=column)
        ax.bar_label(bars, labels=[f" {count:,.0f}" for count in table[column]], color=INK, fontsize=9)
    ax.set_yticks(place, table["channel"])
    ax.set_xlim(0, 1.15 * max(float(table[["before", "after"]].max().max()), 1.0))
    ax.xaxis.set_visible(False)
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    title_of(ax, title, f"Messages: value {found.before.value:.4g} before, {found.after.value:.4g} after")
    return clean(ax, left=False, bottom=False)


def person_week(plan: Plan, user_id: Any, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw one person's days: what is sent, and what else could have been.

    Parameters
    ----------
    plan : Plan
        Made by :func:`omnireco.plan`.
    user_id : id
        It is not drawn: the picture names nobody.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        A row per day, by the hour on the person's own clock (UTC where their zone is unknown); messages that are sent
        are filled, and labelled with their item; the others are circles, larger for a higher value.

    Raises
    ------
    UnknownIdError
        When the person has no candidate.
    ParameterError
        When the candidates of the person lie more than 31 days apart.
    """
    check_kind(plan, Plan, "plan", "om.plan(touches, constraints=[...])")
    t = plan.touches.touches
    rows = np.flatnonzero(t.user == int(t.users.codes([user_id])[0]))
    if not rows.size:
        raise ParameterError("person_week: this person has no candidate in the plan. Take one of plan.to_frame().")
    local = bool((t.local_at[rows] != NEVER).all())
    at = t.local_at[rows] if local else t.send_at[rows]
    first, last = int(at.min() // DAY_US), int(at.max() // DAY_US)
    if last - first >= _MOST_DAYS:
        raise ParameterError(f"person_week draws at most {_MOST_DAYS} days. These are {last - first + 1}.")
    days = np.arange(first, last + 1)
    ax = axes_of(ax, (8.2, 0.5 * days.size + 1.2))
    hour, line = at % DAY_US / HOUR_US, last - at // DAY_US
    sent = plan.reason[rows] == 0
    size = 25 + 120 * np.clip(plan.touches.value[rows] / max(float(plan.touches.value[rows].max()), 1e-12), 0, 1)
    for code, name in enumerate(t.channels.ids):
        color, mine = SERIES[code % len(SERIES)], t.channel[rows] == code
        if not mine.any():
            continue
        other, own = mine & ~sent, mine & sent
        ax.scatter(hour[other], line[other], s=size[other], facecolors="none", edgecolors=color, alpha=0.45, lw=1)
        ax.scatter(hour[own], line[own], s=size[own], color=color, zorder=3, label=str(name) if own.any() else None)
        for x, y, item in zip(hour[own], line[own], t.items.ids[t.item[rows[own]]], strict=True):
            text = textwrap.shorten(str(item), _MOST_LETTERS, placeholder="...")
            ax.annotate(text, (x, y), xytext=(7, 7), textcoords="offset points", color=INK, fontsize=9)
    names = [f"{day:%a} {day.day} {day:%b}" for day in days.astype("datetime64[D]").tolist()]
    ax.set_yticks(np.arange(days.size)[::-1], names)
    ax.set_ylim(-0.6, days.size - 0.4)
    ax.set_xlim(0, 24)
    ax.set_xticks(range(0, 25, 3), [f"{h:02d}:00" for h in range(0, 25, 3)])
    ax.grid(axis="y", color=FAINT)
    ax.set_axisbelow(True)
    if sent.any():
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), title="sent")
    clock = "their own clock" if local else "UTC"
    title_of(ax, title, f"One person: {count_of(int(sent.sum()), 'message')} of {rows.size} possible ({clock})")
    return clean(ax, left=False)


def plan_why(plan: Plan, user_id: Any, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw why one person gets what: the value of each candidate, what its shadow prices leave of it, and the reason.

    Parameters
    ----------
    plan : Plan
    user_id : id
        It is not drawn: the picture names nobody.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        The rows of ``plan.why``, the most valuable 24: the value in grey, the reduced value over it (negative where
        others use the limits better), what is sent in another colour.

    Raises
    ------
    UnknownIdError
        When nobody has this id.
    ParameterError
        When the person has no candidate.
    """
    check_kind(plan, Plan, "plan", "om.plan(touches, constraints=[...])")
    table = plan.why(user_id)
    if not len(table):
        raise ParameterError("plan_why: this person has no candidate in the plan. Take one of plan.to_frame().")
    every, table = len(table), table.nlargest(_MOST_BARS, "value").iloc[::-1]
    ax = axes_of(ax, (8.2, 0.34 * len(table) + 1.3))
    place, sent = np.arange(len(table)), (table["reason"] == "sent").to_numpy()
    value = table["value"].to_numpy()
    reduced = np.nan_to_num(table["reduced_value"].to_numpy())
    ax.barh(place, value, color=SOFT, height=0.7, label="value")
    ax.barh(place, reduced, color=np.where(sent, SERIES[1], ACCENT).tolist(), height=0.32)
    for color, label, drawn in ((SERIES[1], "reduced value, sent", sent), (ACCENT, "reduced value", ~sent)):
        if drawn.any():
            ax.barh([0], [0], color=color, label=label)
    right = max(float(value.max()), float(reduced.max()), 0.0)
    for y, reason in zip(place, table["reason"], strict=True):
        ax.annotate(
            str(reason), (right, y), xytext=(6, 0), textcoords="offset points", va="center", color=INK, fontsize=8
        )
    when = table["send_at_local"].where(table["send_at_local"].notna(), table["send_at"].dt.tz_convert(None))
    names = zip(table["item_id"], table["channel"], when, strict=True)
    ax.set_yticks(place, [f"{item}, {channel}, {at:%a %H:%M}" for item, channel, at in names])
    ax.axvline(0.0, color=INK, lw=0.8)
    ax.set_xlabel("value")
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.75 / (0.34 * len(table) + 1.3)), ncols=3)
    more = "" if every == len(table) else f", the best {len(table)} of {every}"
    title_of(ax, title, f"Why: {count_of(int(sent.sum()), 'message')} sent{more}")
    return clean(ax, left=False)


def offers_shown(audit: OfferAudit, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw what was shown on each channel against what was promised.

    Parameters
    ----------
    audit : OfferAudit
        Of ``om.planning.consistency(ledger, shown)``.
    title : str, optional
        In place of the plot's own title, which ``{}`` stands for: ``"{} (simulated)"``.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        Shares of the showings of each channel by verdict; cells that are too small to show are left out together.

    Raises
    ------
    ParameterError
        When it is no audit, or nothing was shown.
    """
    check_kind(audit, OfferAudit, "audit", "om.planning.consistency(ledger, shown)")
    table = audit.to_frame()
    if not len(table):
        raise ParameterError("offers_shown: nothing was shown, so there is nothing to draw. Give showings.")
    total = table["shown"].to_numpy(np.float64)
    verdicts = list(table.columns[2:])
    ax = axes_of(ax, (7.6, 0.55 * len(table) + 1.4))
    left = np.zeros(len(table))
    colors = [ACCENT, SERIES[1], *SERIES[2:], INK]
    for color, name in zip(colors, verdicts, strict=False):
        width = np.nan_to_num(table[name].to_numpy(np.float64) / np.where(total > 0, total, np.nan))
        if width.any():
            ax.barh(table["channel"][::-1], width[::-1], left=left[::-1], height=0.6, color=color,
                    label=name.replace("_", " "))  # fmt: skip
        left += width
    rest = np.where(np.isnan(total), 1.0, 1.0 - left)
    if (rest > 1e-9).any():
        ax.barh(table["channel"][::-1], rest[::-1], left=left[::-1], height=0.6, color=FAINT, label="too few to show")
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    title_of(ax, title, "Offers shown against offers promised")
    return clean(ax, left=False)
