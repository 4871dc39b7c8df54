"""The demo, step by step: what it does, prints and writes."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from omnireco._core.checks import require
from omnireco._core.compute import ticker, track
from omnireco._core.spreadsheet import without_formulas
from omnireco._demo.compare import TASKS, Comparison, Cut, choices, compare, cut_in_time, recommend
from omnireco._demo.findings import Findings
from omnireco._demo.inputs import Inputs
from omnireco._demo.story import in_one_sentence, write_report
from omnireco._demo.week import ALLOWED, Hours, Week, learn_hours, plan_week, why_no_hours, why_no_plan
from omnireco._demo.words import counted
from omnireco.data.weights import Weights
from omnireco.errors import StorageError

if TYPE_CHECKING:
    import pandas as pd

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
    began = time.perf_counter()
    require("matplotlib", extra="demo", purpose="omnireco demo").use("Agg")
    _make_folder(out)

    say(_title("1. The data"))
    inputs = _wait("reading", read, progress)
    _print_data(inputs, say)

    say(_title("2. The user-item matrix"))
    say(f"   {inputs.log.matrix(Weights(half_life='90D'))!r}, with a half-life of 90 days")

    say(_title("3. What to offer: models compared on a test set"))
    cut = cut_in_time(inputs.data)
    _print_cut(cut, say)
    comparisons, notes = compare(cut, choices(inputs.log, quick=quick), seed=seed, progress=progress)
    _print_comparisons(comparisons, notes, say)
    lists = {
        c.task.key: recommend(inputs.data, c.best, c.task, offered=inputs.offered)
        for c in track(comparisons, progress, label="recommending")
    }

    say(_title("4. When to write: hours on people's own clocks"))
    no_hours = why_no_hours(inputs)
    audience = inputs.audience
    hours = None
    if audience is not None and no_hours is None:
        hours = _wait("learning hours", lambda: learn_hours(inputs, audience), progress)
    _print_hours(hours, no_hours, say)

    say(_title("5. One week of messages"))
    no_plan = why_no_plan(inputs)
    week = None
    if audience is not None and hours is not None and no_plan is None:
        week = _wait("planning", lambda: plan_week(inputs, audience, lists.get("new", lists["all"]), hours), progress)
    _print_week(week, no_plan, say)

    say(_title("6. Files"))
    seconds = time.perf_counter() - began
    found = Findings(inputs, cut, comparisons, notes, lists, hours, no_hours, week, no_plan, seconds, command)
    for path, what in _wait("writing", lambda: _write(found, out), progress):
        say(f"   {path}  {what}")
    _print_caveats(inputs, say)
    say(f"\nDone in {time.perf_counter() - began:.0f} s. Open {out / 'report.html'} in a browser.")
    return found


def _wait(label: str, step: Callable[[], _Result], progress: bool) -> _Result:
    """Run one step under a bar of one tick, so that the user sees what is running."""
    with ticker(1, progress, label=label) as tick:
        found = step()
        tick()
    return found


# printing -------------------------------------------------------------------------------------------


def _title(text: str) -> str:
    return f"\n{text}\n{'-' * len(text)}"


def _table(frame: pd.DataFrame) -> str:
    """Return a frame as indented text."""
    text: str = frame.to_string(index=False)
    return "\n".join("   " + line for line in text.splitlines())


def _print_data(inputs: Inputs, say: Say) -> None:
    say(f"   {inputs.name}")
    for value in (inputs.log, inputs.messages, inputs.audience, inputs.catalog):
        if value is not None:
            say(f"   {value!r}")
    for note in inputs.notes:
        say(textwrap.fill(note, 110, initial_indent="   - ", subsequent_indent="     "))
    summary = inputs.log.summary()
    summary["share"] = summary["share"].map("{:.1%}".format)
    for name in ("events", "users", "items"):
        summary[name] = summary[name].map("{:,}".format)
    if "value" in summary:
        summary["value"] = summary["value"].map("{:,.0f}".format)
    say(_table(summary))


def _print_cut(cut: Cut, say: Say) -> None:
    begin = cut.inner.part("events", "demo").start
    say(
        f"   Training from {begin:%d %b %Y}; validation: the {counted(cut.days, 'day')} from "
        f"{cut.inner.end:%d %b %Y};\n   then training on both; test: the {counted(cut.days, 'day')} from "
        f"{cut.train.end:%d %b %Y}. Metric: NDCG@10."
    )


def _print_comparisons(comparisons: tuple[Comparison, ...], notes: tuple[str, ...], say: Say) -> None:
    for note in notes:
        say(f"   {note}")
    for comparison in comparisons:
        say(f"\n   {comparison.task.title}")
        say(_table(_means(comparison)))
        say("   Paired difference in NDCG to the baseline, the better simple model:")
        say(_table(_differences(comparison)))
        say(f"   {in_one_sentence(comparison)}")


def _means(comparison: Comparison) -> pd.DataFrame:
    """Return one row per model, best first: the mean with its interval, and the tuned hyper-parameters."""
    table = comparison.report.to_frame()
    wide = table.pivot(index="model", columns="metric", values="mean")[["ndcg", "recall", "hit_rate", "coverage"]]
    ends = table[table["metric"] == "ndcg"].set_index("model")
    wide.insert(1, "95% interval", [f"{ends['low'][m]:.3f} to {ends['high'][m]:.3f}" for m in wide.index])
    wide["setting"] = [comparison.chosen[model].label for model in wide.index]
    return wide.sort_values("ndcg", ascending=False).reset_index().round(3)


def _differences(comparison: Comparison) -> pd.DataFrame:
    table = comparison.differences
    table = table[table["metric"] == "ndcg"][["model", "baseline", "difference", "low", "high", "n_users"]]
    return table.sort_values("difference", ascending=False).round(4)


def _print_hours(hours: Hours | None, reason: str | None, say: Say) -> None:
    if hours is None:
        say(f"   {reason}")
        return
    share = float((hours.favourite == int(hours.population.argmax())).mean())
    say(f"   {hours.timing.activity!r}")
    say(f"   {hours.timing!r}")
    say(f"   Peak hour of all people: {_hour(hours.population)}, the best hour for {share:.0%} of them")
    if hours.assumed is not None:
        say(f"   No messages on {hours.channel} in the data; assumed: an average response rate of {hours.assumed:.0%}")
    for words, curve in hours.examples:
        times = curve[ALLOWED].max() / max(curve.mean(), 1e-12)
        best = np.where(ALLOWED, curve, -np.inf)
        say(f"   {words}: best hour to send on {hours.channel} {_hour(best)}, {times:.1f} x the average hour")


def _hour(curve: np.ndarray) -> str:
    best = int(np.argmax(curve))
    return f"{('Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun')[best // 24]} {best % 24:02d}:00"


def _print_week(week: Week | None, reason: str | None, say: Say) -> None:
    if week is None:
        say(f"   {reason}")
        return
    for rule in week.rules:
        say(f"   - {rule}")
    plan = week.plan
    totals = plan.summary().groupby("channel")[["sends", "cost", "expected_responses", "value"]].sum(min_count=1)
    say(f"   {plan!r}")
    say(_table(totals.round(2).reset_index()))
    say(f"   Value {plan.value:,.2f}; upper bound {plan.bound:,.2f}.")


def _print_caveats(inputs: Inputs, say: Say) -> None:
    caveats = [*inputs.caveats, inputs.made_up] if inputs.made_up else list(inputs.caveats)
    if caveats:
        say(_title("Caveats"))
    for caveat in caveats:
        say(textwrap.fill(caveat, 110, initial_indent="   - ", subsequent_indent="     "))


# writing --------------------------------------------------------------------------------------------


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"--out: cannot make the folder {str(out)!r}: {error.strerror}. Name another one.") from None


def _write(found: Findings, out: Path) -> list[tuple[Path, str]]:
    """Write the files; return each with a description."""
    written = [_write_recommendations(found, out)]
    if found.week is not None:
        frame = found.week.plan.to_frame()
        frame.to_parquet(out / "plan.parquet", index=False)
        without_formulas(frame).to_csv(out / "plan.csv", index=False)
        written += [
            (out / "plan.parquet", f"{counted(len(frame), 'message')}: who, what, where and when"),
            (out / "plan.csv", "the same for a spreadsheet"),
        ]
    (out / "report.html").write_text(write_report(found), encoding="utf-8")
    written.append((out / "report.html", "all of this as a report, with figures"))
    return written


def _write_recommendations(found: Findings, out: Path) -> tuple[Path, str]:
    import pandas as pd

    parts = [found.lists[task.key].to_frame().assign(list=task.key) for task in TASKS if task.key in found.lists]
    frame = pd.concat(parts, ignore_index=True)
    frame.to_parquet(out / "recommendations.parquet", index=False)
    people = found.lists["all"].n_users
    return (
        out / "recommendations.parquet",
        f"{counted(people, 'person', 'people')}, the best 10 of all items and of items new to them",
    )
