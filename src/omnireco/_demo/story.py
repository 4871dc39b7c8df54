"""The report in plain words: for somebody who decides on campaigns and never reads code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from omnireco import plotting
from omnireco._demo.compare import Comparison
from omnireco._demo.findings import Findings
from omnireco._demo.front import (
    PLAIN,
    in_one_sentence,
    mean_of,
    spread,
    task_of,
    when,
    write_channels,
    write_front,
    write_weeks,
)
from omnireco._demo.week import QUIET, Hours, in_words
from omnireco._demo.words import counted
from omnireco._report import Format, Page
from omnireco._versions import versions

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["in_one_sentence", "write_report"]


def write_report(found: Findings) -> str:
    """Return the report as one HTML page."""
    page = Page("Whom to write to this week, with what and when", f"{found.inputs.name}.")
    write_front(page, found)
    if found.week is not None:
        write_weeks(page, found)
    write_channels(page, found.inputs)
    _data(page, found)
    _offers(page, found)
    _hours(page, found.hours, found.no_hours)
    _week(page, found)
    _trust(page, found)
    _made(page, found)
    return page.html(footer="Made by omnireco, an open library. This file is complete: it loads nothing from anywhere.")


# sections -------------------------------------------------------------------------------------------


def _data(page: Page, found: Findings) -> None:
    log = found.inputs.log
    page.section("The data")
    page.text(
        f"From {log.start:%d %B %Y} to {log.end:%d %B %Y}, "
        f"{counted(log.n_users, 'person was', 'people were')} recorded in {counted(len(log), 'event')}. "
        "Events by channel and type:"
    )
    if found.inputs.notes:
        page.points(found.inputs.notes)
    summary = log.summary()
    table = summary.rename(columns={"share": "share of all", "users": "people"})
    formats = dict.fromkeys(("events", "people", "items"), "{:,}".format)
    formats |= {"share of all": "{:.1%}".format}
    if "value" in table:
        formats["value"] = "{:,.0f}".format
    page.table(table, formats)
    page.picture(
        plotting.events_per_channel(log),
        alt="Bars: number of events per channel and event type.",
        caption="Number of events per channel. The column 'people' counts each person once.",
    )


def _offers(page: Page, found: Findings) -> None:
    cut = found.cut
    page.section("What to offer")
    page.text(
        f"Five models recommended ten items to every person. Each was trained on the events before "
        f"{cut.train.end:%d %B %Y} and tested on what people chose in the "
        f"{counted(cut.days, 'day')} after it. "
        "Hyper-parameters were tuned on an earlier period, so the test set was never used to choose anything."
    )
    page.text(
        "The score is NDCG@10: 0 when none of the ten items was chosen, 1 for a perfect list. A hit near the top "
        "counts more. Grey bars are 95 % confidence intervals (bootstrap over people).",
        small=True,
    )
    for comparison in found.comparisons:
        page.heading(comparison.task.title)
        page.verdict(in_one_sentence(comparison))
        page.picture(
            plotting.comparison(comparison.report, "ndcg", title="Score of the ten items, higher is better"),
            alt="Points with intervals: the NDCG of each model.",
        )
        page.table(*_model_table(comparison), best=0)
        page.text(
            f"The baseline is '{PLAIN[comparison.baseline]}', the better of the two simple rules; the gain is the mean "
            f"paired difference over {counted(len(comparison.report.users), 'person', 'people')}. An interval that "
            "contains 0 is no significant difference.",
            small=True,
        )
    for note in found.notes:
        page.text(note, small=True)
    if "new" in found.lists:
        page.text(
            "Repeat purchases are easy to predict, and a reminder of what somebody would buy anyway has little "
            "incremental effect. The plan below therefore offers items that are new to the person: harder to predict, "
            "and worth more."
        )


def _hours(page: Page, hours: Hours | None, reason: str | None) -> None:
    page.section("When to write")
    if hours is None:
        page.warning(str(reason))
        return
    page.text(
        "Activity by hour of the week, in each person's local time. The profile of a person with a long history rests "
        "on that history; with a short one it is close to the average of similar people."
    )
    page.picture(
        plotting.week(hours.population),
        alt="Heat map of the week: days down, hours across; dark where people are active.",
        caption=f"Activity of all people; the peak is {when(hours.population)}. {spread(hours)}",
    )
    page.heading("Three people")
    page.text(
        f"Response probability of a message on {hours.channel}, by hour of sending. A message is often read some time "
        "after delivery, so the best hour to send lies before the hours in which the person is active."
    )
    if hours.assumed is not None:
        page.warning(
            f"The data has no messages on {hours.channel} with their hour, so an average response rate of "
            f"{hours.assumed:.0%} is assumed. Only the relative differences between hours are learned, from activity."
        )
    for words, curve in hours.examples:
        page.picture(
            plotting.send_curve(curve, quiet=QUIET, title=words),
            alt=f"Line over the week: response probability by hour of sending. {words}.",
        )


def _week(page: Page, found: Findings) -> None:
    page.section("One week of messages")
    week = found.week
    if week is None:
        page.warning(str(found.no_plan))
        return
    plan = week.plan
    frame = plan.to_frame()
    if found.inputs.made_up:
        page.warning(found.inputs.made_up)
    page.text(f"Seven days from {week.start}, on {' and '.join(week.channels)}, under these rules:")
    page.points(week.rules)
    if found.inputs.messages is not None:
        page.text("Recent messages count towards the frequency cap.")
    page.cards(
        {
            "messages": f"{len(plan):,}",
            "people": f"{week.n_people:,}",
            "responses expected": f"{float(np.nansum(frame['probability'])):,.0f}",
            "value of the plan": f"{plan.value:,.1f}",
            "upper bound": f"{plan.bound:,.1f}",
        }
    )
    page.text(
        "The value is the sum over all messages of the response probability times the value of a response"
        + (
            " (the item's margin)."
            if _has_margins(found)
            else " (equal for all items, as no margins are known), discounted by the rank of the item in the list."
        )
        + " No plan under these rules can exceed the upper bound."
    )
    if len(frame):
        local = frame["send_at_local"].dt.hour.to_numpy()
        zone = _home(found)
        page.picture(
            plotting.plan_per_day(frame, timezone=zone),
            alt="Bars: number of messages per day and channel.",
            caption=f"Days of {zone}, where most people live.",
        )
        page.picture(
            plotting.plan_per_hour(frame, local),
            alt="Bars: number of messages per local hour and channel.",
            caption="No messages in quiet hours.",
        )
    page.heading("What is offered most")
    page.table(*_offer_table(found, frame))
    page.heading("Shadow prices of the limits")
    page.table(*_price_table(plan.prices))
    page.text(
        "The shadow price is the value that one more unit would add: one more unit of money in a budget, or "
        "one more message in the tightest hour. A limit with a shadow price of 0 does not bind.",
        small=True,
    )
    page.heading("Why other messages are not sent")
    page.table(*_reasons(plan.left_out))
    page.text("Counted in possible messages: every combination of person, item, channel and hour.", small=True)


def _trust(page: Page, found: Findings) -> None:
    page.section("How far to trust this")
    own = [
        "An offline comparison shows which model predicts what people choose by themselves. It does not show the "
        "incremental effect of a message: only an A/B test with a control group can.",
        "Response probabilities rank people and hours. Before you budget with them, check their calibration on a small "
        "first mailing.",
        "The intervals cover the sampling of people in the same weeks, not differences between seasons.",
    ]
    if found.inputs.not_offered:
        own.append(f"Never offered here: {found.inputs.not_offered}.")
    made_up = [found.inputs.made_up] if found.inputs.made_up else []
    page.points([*found.inputs.caveats, *made_up, *own])


def _made(page: Page, found: Findings) -> None:
    page.section("How it was made")
    page.text(f"Command: {found.command}. It took {found.seconds:.0f} seconds.")
    page.text("Hyper-parameters, tuned on the validation period:")
    page.table(_settings(found))
    wanted = ("omnireco", "python", "numpy", "scipy", "pandas", "implicit", "matplotlib")
    known = versions()
    page.text("Versions: " + ", ".join(f"{name} {known[name]}" for name in wanted if name in known) + ".", small=True)


# tables and labels ----------------------------------------------------------------------------------


def _settings(found: Findings) -> pd.DataFrame:
    """Return one row per family and one column per task."""
    import pandas as pd

    columns = {task_of(c).rstrip(":"): {family: x.label for family, x in c.chosen.items()} for c in found.comparisons}
    table = pd.DataFrame(columns)
    table.insert(0, "model", table.index)
    return table


def _model_table(comparison: Comparison) -> tuple[pd.DataFrame, dict[str, Format]]:
    """Return one row per model, best first, and how to write its numbers."""
    import pandas as pd

    gains = comparison.differences
    gains = gains[gains["metric"] == "ndcg"].set_index("model")
    models = sorted(comparison.report.models, key=lambda model: -mean_of(comparison, model))
    rows = []
    for model in models:
        gain = (
            "baseline"
            if model == comparison.baseline
            else (f"{gains['difference'][model]:+.3f} ({gains['low'][model]:+.3f} to {gains['high'][model]:+.3f})")
        )
        rows.append(
            {
                "model": PLAIN[model],
                "NDCG@10": mean_of(comparison, model),
                "gain (95 % interval)": gain,
                "hit rate": mean_of(comparison, model, "hit_rate"),
                "catalogue coverage": mean_of(comparison, model, "coverage"),
            }
        )
    formats: dict[str, Format] = {
        "NDCG@10": "{:.3f}".format,
        "gain (95 % interval)": str,
        "hit rate": "{:.0%}".format,
        "catalogue coverage": "{:.1%}".format,
    }
    return pd.DataFrame(rows), formats


def _offer_table(found: Findings, frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Format]]:
    """Return the eight items with the most messages, by name where names are known."""
    counts = frame["item_id"].value_counts().rename("messages").reset_index().head(8)
    catalog = found.inputs.catalog
    if catalog is not None:
        known = catalog.to_frame().set_index("item_id").reindex(counts["item_id"])
        for place, column in enumerate(("name", "category")):
            if column in known:
                counts.insert(place, column, known[column].fillna("").to_numpy())
    shown = [name for name in ("name", "category", "messages") if name in counts]
    return counts[shown if "name" in shown else ["item_id", *shown]], {"messages": "{:,}".format}


def _price_table(prices: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Format]]:
    """Return one row per shared limit: the sum over its hours, and the highest shadow price."""
    shared = prices[prices["row"] != "each person"]
    table = shared.groupby("constraint", sort=False).agg(
        used=("used", "sum"), allowed=("limit", "sum"), price=("price", "max")
    )
    table = table.reset_index()
    table["constraint"] = [_limit_name(name) for name in table["constraint"]]
    table.columns = ["limit", "used", "allowed in all", "shadow price"]
    count, price = "{:,.6g}".format, "{:.4f}".format
    return table, {"used": count, "allowed in all": count, "shadow price": price}


def _limit_name(name: str) -> str:
    """Return a rule's name in words."""
    if name.startswith("FrequencyCap"):
        many, _, rest = name.removeprefix("FrequencyCap(").partition(", per='")
        length = in_words(rest.partition("'")[0])
        return f"{many} message{'' if many == '1' else 's'} to a person in {length}"
    if name.startswith("OncePerItem"):
        return "an item once per person"
    kind, _, rest = name.partition("(")
    channel = rest.split("'")[1] if "'" in rest else rest.rstrip(")")
    return f"{'budget' if kind == 'Budget' else 'messages an hour'} of {channel}"


def _reasons(left_out: dict[str, int]) -> tuple[pd.DataFrame, dict[str, Format]]:
    import pandas as pd

    words = {
        "Consent": "the person did not agree to the channel",
        "Reachable": "the person cannot be reached there",
        "no value": "its expected value is 0",
        "not among the best slots": "the person has better hours",
        "not chosen": "another message has a higher value",
        "not in the audience": "the person is not in the users file",
        "no margin": "the item has no margin",
    }
    rows = []
    for name, count in left_out.items():
        if count == 0:
            continue
        text = words.get(name)
        if text is None:
            text = (
                "quiet hours, or no known time zone" if name.startswith("QuietHours") else f"limit: {_limit_name(name)}"
            )
        rows.append({"reason": text, "messages": count})
    return pd.DataFrame(rows, columns=["reason", "messages"]), {"messages": "{:,}".format}


def _home(found: Findings) -> str:
    """Return the most frequent time zone."""
    audience = found.inputs.audience
    if audience is None or not (audience.zone >= 0).any():
        return "UTC"
    return str(audience.zones.ids[np.bincount(audience.zone[audience.zone >= 0]).argmax()])


def _has_margins(found: Findings) -> bool:
    return found.inputs.catalog is not None and found.inputs.catalog.margin is not None
