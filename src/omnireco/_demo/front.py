"""The first page of the report, for somebody who decides on campaigns: whom, with what, when, where, and how sure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from omnireco import plotting
from omnireco._demo.compare import SIMPLE, Comparison
from omnireco._demo.findings import Findings
from omnireco._demo.inputs import Inputs
from omnireco._demo.week import Hours, Week
from omnireco._demo.words import counted
from omnireco._demo.worth import COMMON_HOUR, at_one_hour, groups
from omnireco._report import Format, Page
from omnireco.evaluation import channel_report
from omnireco.plotting import results

if TYPE_CHECKING:
    import pandas as pd

    from omnireco.data.catalog import Catalog

__all__ = [
    "PLAIN",
    "how_good",
    "in_one_sentence",
    "mean_of",
    "spread",
    "task_of",
    "when",
    "write_channels",
    "write_front",
    "write_weeks",
]

PLAIN = {
    "Popularity": "What most people choose (Popularity)",
    "BuyAgain": "What this person chose most often (BuyAgain)",
    "ItemKNN": "Things that go together (ItemKNN)",
    "EASE": "Things that go together, refined (EASE)",
    "ALS": "Shared tastes (ALS)",
}


def in_one_sentence(comparison: Comparison) -> str:
    """Return the result of the comparison in one sentence."""
    table = comparison.differences
    table = table[(table["metric"] == "ndcg") & ~table["model"].isin(SIMPLE)].sort_values("difference")
    simple = PLAIN[comparison.baseline]
    if not len(table):
        return f"Only simple models could run; '{simple}' is the better one."
    best = table.iloc[-1]
    name = PLAIN[str(best["model"])]
    base = mean_of(comparison, comparison.baseline)
    percent = 100 * float(best["difference"]) / base if base else 0.0
    if best["low"] > 0:
        return f"'{name}' beats the simple rule '{simple}' by {percent:.0f} % (significant at 95 %)."
    if best["high"] < 0:
        return (
            f"The simple rule '{simple}' wins: the best learned model, '{name}', is {-percent:.0f} % behind "
            "(significant at 95 %)."
        )
    return f"'{name}' and the simple rule '{simple}' do not differ significantly ({percent:+.0f} %)."


def write_front(page: Page, found: Findings) -> None:
    """Write page 0: the week, its worth, how sure, and what to do before any of it is believed."""
    page.section("In short")
    week = found.week
    if week is None:
        page.warning(str(found.no_plan))
        page.points([f"{task_of(c)} {in_one_sentence(c)}" for c in found.comparisons])
        return
    plan = week.plan
    answers = float(np.nansum(plan.to_frame()["probability"]))
    page.text(
        f"In the seven days from {week.start}, write to {counted(week.n_people, 'person', 'people')}, "
        f"at most twice each, on {' and '.join(week.channels)}:"
    )
    page.table(*_whom(week, found.inputs.catalog))
    page.cards(
        {
            "messages": f"{len(plan):,}",
            "people": f"{week.n_people:,}",
            "answers expected": f"{answers:,.0f}",
            "of the best possible value": _share(plan.value, plan.bound),
        }
    )
    page.heading("What it is worth, and how sure that is")
    page.points([*_worth(found, answers), *[f"{task_of(c)} {in_one_sentence(c)}" for c in found.comparisons]])
    if found.inputs.simulated:
        page.warning("Before you use a number from this page:", found.inputs.simulated, found.inputs.made_up)
    elif found.inputs.made_up:
        page.warning("Before you use a number from this page:", found.inputs.made_up)


def write_weeks(page: Page, found: Findings) -> None:
    """Write the weeks of two people, who are not named."""
    week, log = found.week, found.inputs.log
    if week is None:
        return
    t = week.plan.touches.touches
    sent = np.flatnonzero(week.plan.reason == 0)
    many = np.bincount(t.user[sent], minlength=len(t.users))
    often = np.bincount(log.user, minlength=log.n_users)[np.maximum(log.users.codes(t.users.ids), 0)]
    early = np.full(len(t.users), 24.0)
    np.minimum.at(early, t.user[sent], t.local_at[sent] / 3.6e9 % 24)
    late = np.where(early == 24.0, -1.0, early)
    full = (many == many.max()) & (often >= np.median(often[many > 0]))
    if full.sum() < 2:
        full = many > 0
    shown = dict.fromkeys((int(np.where(full, early, 25.0).argmin()), int(np.where(full, late, -1.0).argmax())))
    page.section("Two people's weeks")
    page.text(
        "Filled: sent. Circles: what could have been sent at that hour and was not, larger where it is worth more. "
        "Every hour is on the person's own clock."
    )
    for words, person in zip(("Somebody who reads early in the day", "Somebody who reads late"), shown, strict=False):
        page.heading(words)
        page.picture(
            plotting.person_week(week.plan, t.users.ids[person]),
            alt=f"{words}: messages of a week by day and hour.",
        )


def write_channels(page: Page, inputs: Inputs) -> None:
    """Write who is on which channel, and which journeys cross from one to another."""
    log = inputs.log
    if log.n_users < 5:
        return
    page.section("Channels and journeys")
    buys = "purchase" in log.events
    report = channel_report(log, completes="purchase" if buys else list(log.events.ids)[-1])
    several = report.channels.iloc[-1]
    page.text(
        f"{several['share_of_people']:.0%} of people use several channels"
        + (f", and they spend {several['share_of_value']:.0%} of the money." if several["share_of_value"] > 0 else ".")
    )
    page.picture(
        plotting.channel_combinations(report, top=6),
        alt="Bars: share of people and of value per combination of channels.",
    )
    journeys = report.journeys[report.journeys["journeys"] >= 50].sort_values("journeys", ascending=False)
    journeys = journeys[np.isfinite(journeys["rate"])]
    if len(journeys):
        page.heading("Where journeys begin, and where they end")
        table = journeys[["started_on", "journeys", "rate", "low", "high", "median_hours"]].copy()
        table.insert(3, "completed elsewhere", (journeys["elsewhere"] / journeys["completed"].clip(lower=1)).to_numpy())
        table.columns = [
            "started on",
            "journeys",
            "completed",
            "of these on another channel",
            "low",
            "high",
            "median hours",
        ]
        share = "{:.1%}".format
        page.table(
            table,
            {
                "journeys": "{:,.0f}".format,
                "completed": share,
                "of these on another channel": "{:.0%}".format,
                "low": share,
                "high": share,
                "median hours": "{:.0f}".format,
            },
        )
        page.text(
            "A journey is what a person does about one item, until a purchase or seven quiet days; low and high are a "
            "95 % interval of the share that is completed. That one follows another does not show that it caused it.",
            small=True,
        )
    if inputs.promoted:
        page.text(
            "Of the lines on the receipts, "
            + " and ".join(
                f"{share:.0%} were {'on a display' if name == 'display' else 'in the mailer'}"
                for name, share in inputs.promoted.items()
            )
            + " of that store in that week (recorded). Who saw them is not known."
        )
    if inputs.simulated:
        page.text(inputs.simulated, small=True)


# parts ----------------------------------------------------------------------------------------------


def _whom(week: Week, catalog: Catalog | None) -> tuple[pd.DataFrame, dict[str, Format]]:
    """Return the groups of the week, and how to write their numbers."""
    names = {}
    if catalog is not None and "name" in (items := catalog.to_frame()):
        names = dict(zip(items["item_id"], items["name"].fillna(items["item_id"]), strict=True))
    table = groups(week.plan, names)
    table["answers expected"] = [
        f"{row.answers:,.0f} ({row.low:,.0f} to {row.high:,.0f})" for row in table.itertuples(index=False)
    ]
    count = "{:,}".format
    shown = table[["channel", "when", "messages", "people", "offered most", "answers expected"]]
    return shown, {"messages": count, "people": count, "answers expected": str}


def _worth(found: Findings, answers: float) -> list[str]:
    """Return what the plan is worth, in sentences."""
    week, hours = found.week, found.hours
    if week is None or hours is None:
        return []
    said = [f"The plan keeps every rule, and {how_good(week)}."]
    if hours.assumed is None:
        same = at_one_hour(week.plan, hours.timing, found.inputs.data)
        said.append(
            f"The hour: sent at {COMMON_HOUR}:00 to everybody, the same messages would expect {same:,.0f} answers "
            f"instead of {answers:,.0f}, by the same model."
        )
    if found.check is not None:
        said.append(f"How sure: {found.check.words}, with a model fitted before them.")
    elif hours.assumed is not None:
        said.append(
            f"How sure: not at all about the level. The answers to {hours.channel} are not known, so a rate of "
            f"{hours.assumed:.0%} is assumed; only the differences between hours are learned, from activity."
        )
    said.append(f"People are most active on {when(hours.population)}, each on their own clock. {spread(hours)}")
    return said


def _share(value: float, bound: float) -> str:
    return "100 %" if bound <= 0 else f"{np.floor(10_000 * value / bound + 1e-6) / 100:.4g} %"


def task_of(comparison: Comparison) -> str:
    return "All items:" if comparison.task.key == "all" else "Items new to the person:"


def mean_of(comparison: Comparison, model: str, metric: str = "ndcg") -> float:
    return next(c.mean for c in comparison.report.cells if c.model == model and c.metric == metric)


def when(population: np.ndarray) -> str:
    best = int(np.argmax(population))
    return f"{results.DAYS[best // 24]} from {best % 24}:00"


def spread(hours: Hours) -> str:
    share, distinct = hours.peak_share, len(np.unique(hours.favourite))
    return f"It is the best hour for {share:.0%} of people; the best hours of all people cover {distinct} of 168."


def how_good(week: Week) -> str:
    gap = week.plan.optimality_gap
    if gap < 0.0005:
        return "is proven optimal"
    return f"its optimality gap is at most {100 * gap:.1f} %"
