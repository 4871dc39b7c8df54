"""The demo, step by step: what it does, prints and writes."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from omnireco._core.checks import require
from omnireco._core.compute import ticker, track
from omnireco._core.written import without_formulas, write_text
from omnireco._demo.compare import TASKS, Comparison, choices, compare, cut_in_time, recommend
from omnireco._demo.findings import Findings
from omnireco._demo.inputs import Inputs
from omnireco._demo.story import write_report
from omnireco._demo.week import Hours, Week, learn_hours, plan_week, why_no_hours, why_no_plan
from omnireco._demo.words import counted
from omnireco._demo.worth import check_chances
from omnireco.errors import StorageError

__all__ = ["run_demo"]

Say = Callable[[str], object]
_Result = TypeVar("_Result")


def run_demo(
    read: Callable[[], Inputs], out: Path, *, seed: int, quick: bool, command: str, say: Say, progress: bool
) -> Findings:
    """Run every step, print what it found, and write the files.

    Parameters
    ----------
    read : callable
        Returns the inputs.
    out : Path
        The folder to write to; made where it does not exist.
    seed : int
    quick : bool
        Try one setting per algorithm instead of several.
    command : str
        The command line, for the report.
    say : callable(str)
        Receives the lines to print.
    progress : bool
        Show bars on long steps.
    """
    stages = _Stages(say)
    require("matplotlib", extra="demo", purpose="omnireco demo").use("Agg")
    _make_folder(out)
    say(f"{'stage':<9}{'what came out':<98}{'time':>7}")

    inputs = _wait("reading", read, progress)
    stages.done("data", _data_in_words(inputs), inputs.notes)

    cut = cut_in_time(inputs.recorded_data)
    comparisons, notes = compare(cut, choices(inputs.recorded, quick=quick), seed=seed, progress=progress)
    lists = {
        c.task.key: recommend(inputs.recorded_data, c.best, c.task, offered=inputs.offered)
        for c in track(comparisons, progress, label="recommending")
    }
    stages.done("lists", " ".join(_comparison_in_words(c) for c in comparisons), notes)

    no_hours = why_no_hours(inputs)
    audience = inputs.audience
    hours = check = None
    if audience is not None and no_hours is None:
        hours = _wait("learning hours", lambda: learn_hours(inputs, audience), progress)
    stages.done("hours", no_hours or _hours_in_words(hours))
    if audience is not None and no_hours is None and inputs.messages is not None:
        check = _wait("checking chances", lambda: check_chances(inputs, audience), progress)
        stages.done("check", "Too few answers to compare chances with." if check is None else f"{check.words}.")

    no_plan = why_no_plan(inputs)
    week = None
    if audience is not None and hours is not None and no_plan is None:
        week = _wait("planning", lambda: plan_week(inputs, audience, lists.get("new", lists["all"]), hours), progress)
    stages.done("plan", no_plan or _week_in_words(week))

    found = Findings(
        inputs, cut, comparisons, notes, lists, hours, no_hours, check, week, no_plan, stages.total, command
    )
    written = _wait("writing", lambda: _write(found, out), progress)
    stages.done("files", f"{', '.join(written)} in {out}")
    if inputs.simulated:
        say(f"{'':<9}Simulated, and called so everywhere: {', '.join(_simulated_channels(inputs))}.")
    elif inputs.made_up:
        say(f"{'':<9}{inputs.made_up.partition('. ')[0]}.")
    say(f"Done in {stages.total:.0f} s. Open {out / 'report.html'} in a browser.")
    return found


def _wait(label: str, step: Callable[[], _Result], progress: bool) -> _Result:
    """Run one step under a bar of one tick, so that the user sees what is running."""
    with ticker(1, progress, label=label) as tick:
        found = step()
        tick()
    return found


# one line per stage ---------------------------------------------------------------------------------


class _Stages:
    """Says one line per stage with its time, and below it what became of rows."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._began = self._last = time.perf_counter()

    @property
    def total(self) -> float:
        return time.perf_counter() - self._began

    def done(self, name: str, text: str, notes: Sequence[str] = ()) -> None:
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        first, *rest = textwrap.wrap(text, 96) or [""]
        self._say(f"{name:<9}{first:<98}{seconds:>5.1f} s")
        for line in rest:
            self._say(f"{'':<9}{line}")
        for note in notes:
            self._say(textwrap.fill(note, 107, initial_indent=" " * 9 + "- ", subsequent_indent=" " * 11))


def _data_in_words(inputs: Inputs) -> str:
    log = inputs.log
    sent = "" if inputs.messages is None else f", {counted(len(inputs.messages), 'message')}"
    channels = set(log.channels.ids) | set(() if inputs.messages is None else inputs.messages.channels.ids)
    return (
        f"{counted(len(log), 'event')} of {counted(log.n_users, 'person', 'people')} about "
        f"{counted(log.n_items, 'item')}{sent}, on {counted(len(channels), 'channel')}."
    )


def _comparison_in_words(comparison: Comparison) -> str:
    best = max((c for c in comparison.report.cells if c.metric == "ndcg"), key=lambda cell: cell.mean)
    what = "All items" if comparison.task.key == "all" else "New items"
    return f"{what}: {best.model} leads, NDCG@10 {best.mean:.3f} ({best.low:.3f} to {best.high:.3f})."


def _hours_in_words(hours: Hours | None) -> str:
    if hours is None:
        return ""
    known = "" if hours.assumed is None else f"; answers to {hours.channel} are not known, {hours.assumed:.0%} assumed"
    return (
        f"The peak of all people, {_hour(hours.population)}, is the best hour of {hours.peak_share:.0%} of them{known}."
    )


def _hour(curve: np.ndarray) -> str:
    best = int(np.argmax(curve))
    return f"{('Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun')[best // 24]} {best % 24:02d}:00"


def _week_in_words(week: Week | None) -> str:
    if week is None:
        return ""
    return (
        f"{counted(len(week.plan), 'message')} to {counted(week.n_people, 'person', 'people')} from {week.start}; "
        f"value {week.plan.value:,.1f} of at most {week.plan.bound:,.1f}, every rule kept."
    )


def _simulated_channels(inputs: Inputs) -> list[str]:
    sent = () if inputs.messages is None else inputs.messages.channels.ids
    return sorted({str(name) for name in (*inputs.log.channels.ids, *sent) if "(simulated)" in str(name)})


# writing --------------------------------------------------------------------------------------------


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"--out: cannot make the folder {str(out)!r}: {error.strerror}. Name another one.") from None


def _write(found: Findings, out: Path) -> list[str]:
    """Write the files; return their names, the report first."""
    written = [_write_recommendations(found, out)]
    if found.week is not None:
        frame = found.week.plan.to_frame()
        frame.to_parquet(out / "plan.parquet", index=False)
        write_text(out / "plan.csv", without_formulas(frame).to_csv(index=False, lineterminator="\n"), "demo")
        written = ["plan.csv", "plan.parquet", *written]
    write_text(out / "report.html", write_report(found), "demo")
    return ["report.html", *written]


def _write_recommendations(found: Findings, out: Path) -> str:
    import pandas as pd

    parts = [found.lists[task.key].to_frame().assign(list=task.key) for task in TASKS if task.key in found.lists]
    pd.concat(parts, ignore_index=True).to_parquet(out / "recommendations.parquet", index=False)
    return "recommendations.parquet"
