"""What all plots look like: colours, axes and titles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omnireco._core.checks import check_kind, require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ACCENT", "INK", "SERIES", "SOFT", "axes_of", "clean", "shades", "title_of"]

INK, SOFT, ACCENT = "#1d2a35", "#a9b4bd", "#0b6e75"
SERIES = ("#0b6e75", "#e08e2b", "#5b6fb5", "#b0475c", "#7a8b3a", "#8a6d9e", "#4aa3c7")


def axes_of(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return the axes to draw into: those given, or those of a new figure."""
    pyplot = require("matplotlib.pyplot", extra="demo", purpose="omnireco.plotting")
    if ax is not None:
        check_kind(ax, pyplot.Axes, "ax", "figure, ax = pyplot.subplots()")
        return ax
    new: Axes = pyplot.subplots(figsize=size, layout="constrained")[1]
    return new


def clean(ax: Axes, *, left: bool = True, bottom: bool = True) -> Axes:
    """Remove the lines that carry no information."""
    for side, keep in (("top", False), ("right", False), ("left", left), ("bottom", bottom)):
        ax.spines[side].set_visible(keep)
        ax.spines[side].set_color(SOFT)
    ax.tick_params(colors=INK, length=0)
    return ax


def shades() -> Any:
    """Return the colours of a table of shares, from almost white to the accent."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("teal", ["#f4f7f8", ACCENT])


def title_of(ax: Axes, title: str | None, own: str) -> None:
    """Write the title over the left end of the axes: the plot's own, or the caller's, with ``{}`` for the own one."""
    check_kind(title, str, "title", "title='Week 12', or title='{} (simulated)'", none=True)
    text = own if title is None else title.replace("{}", own)
    ax.set_title(text, loc="left", color=INK, fontsize=11, fontweight="bold", pad=10)
