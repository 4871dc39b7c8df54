"""What the week is worth and how sure that is: chances against later answers, the same week at one hour, groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from omnireco._core.checks import from_microseconds
from omnireco._core.units import DAY_US, HOUR_US
from omnireco._demo.inputs import Inputs
from omnireco.data import Dataset
from omnireco.data.asking.touches import Touches
from omnireco.data.audience import Audience
from omnireco.data.frames.columns import instants_to_pandas
from omnireco.timing import SendTime, SendTimeModel

if TYPE_CHECKING:
    import pandas as pd

    from omnireco.planning import Plan

__all__ = ["COMMON_HOUR", "Check", "at_one_hour", "check_chances", "groups"]

COMMON_HOUR = 10
_Z = 1.959963984540054
_FEWEST = 50  # answers before the cut and after it: below, a ratio says nothing
_K = 5
_PARTS = ((0, "night"), (6, "morning"), (12, "afternoon"), (17, "evening"), (21, "late evening"))


@dataclass(frozen=True, slots=True)
class Check:
    """Answers that came in the last days, per answer expected from what was known before; 95 % interval over people."""

    days: int
    messages: int
    expected: float
    came: int
    low: float
    high: float

    @property
    def ratio(self) -> float:
        """Return answers per answer expected."""
        return self.came / self.expected

    @property
    def words(self) -> str:
        """Return it in one sentence."""
        return (
            f"In the last {self.days} days, {self.came:,} answers came where {self.expected:,.0f} were expected: "
            f"{self.ratio:.2f} per answer expected (95 % interval {self.low:.2f} to {self.high:.2f})"
        )


def check_chances(inputs: Inputs, audience: Audience) -> Check | None:
    """Fit on what came before the last days, and count the answers to the messages of these days.

    The last two days are left out, for answers to them may still come. None where there are too few messages.
    """
    sent = inputs.messages
    if sent is None or int(sent.responded.sum()) < 2 * _FEWEST:
        return None
    days = int(min(28, (inputs.timed.end_us - inputs.timed.start_us) // DAY_US // 6))
    if days < 4:
        return None
    cut = inputs.timed.end_us // DAY_US * DAY_US - days * DAY_US
    past, later = Dataset(inputs.timed, messages=sent, audience=audience).split(
        from_microseconds(cut), horizon=f"{days}D"
    )
    asked = later.messages
    if asked is None or past.messages is None or int(past.messages.responded.sum()) < _FEWEST:
        return None
    known = np.isin(asked.channels.ids, past.messages.channels.ids)[asked.channel]
    rows = np.flatnonzero((asked.sent_at < inputs.timed.end_us - 2 * DAY_US) & known)
    if int(asked.responded[rows].sum()) < _FEWEST:
        return None
    people = asked.users.ids[asked.user[rows]]
    touches = Touches.of(
        past,
        people,
        channel=asked.channels.ids[asked.channel[rows]],
        at=instants_to_pandas(asked.sent_at[rows]),
        new_users=True,
    )
    chance = SendTime().fit(past).probability(touches)
    clear = np.isfinite(chance)
    came, chance, user = asked.responded[rows][clear], chance[clear], asked.user[rows][clear]
    expected = float(chance.sum())
    excess = np.bincount(user, weights=came - chance)
    excess = excess[np.bincount(user) > 0]
    error = _Z * float(np.sqrt(excess.size * excess.var()))
    total = int(came.sum())
    return Check(days, int(came.size), expected, total, (total - error) / expected, (total + error) / expected)


def at_one_hour(plan: Plan, timing: SendTimeModel, data: Dataset) -> float:
    """Return the answers expected where the same messages of the plan leave at 10:00 of the same days."""
    t = plan.touches.touches
    rows = np.flatnonzero((plan.reason == 0) & t.zone_known)
    moved = t.send_at[rows] - t.local_at[rows] % DAY_US + COMMON_HOUR * HOUR_US
    touches = Touches.of(
        data,
        t.users.ids[t.user[rows]],
        channel=t.channels.ids[t.channel[rows]],
        at=instants_to_pandas(moved),
        new_users=True,
    )
    return float(np.nansum(timing.probability(touches)))


def groups(plan: Plan, names: dict[object, str]) -> pd.DataFrame:
    """Return whom to write to, as one row per channel and part of the day: never fewer than five people in a row.

    Columns ``channel``, ``when``, ``messages``, ``people``, ``offered most``, ``answers`` with ``low`` and ``high``
    (95 %, by chance alone), and ``value``.
    """
    import pandas as pd

    t, known = plan.touches.touches, plan.touches.probability
    rows = np.flatnonzero((plan.reason == 0) & t.zone_known)
    chance = np.full(rows.size, np.nan) if known is None else known[rows]
    frame = pd.DataFrame(
        {
            "channel": t.channels.ids[t.channel[rows]],
            "part": np.searchsorted([hour for hour, _ in _PARTS], t.local_at[rows] // HOUR_US % 24, side="right") - 1,
            "user": t.user[rows],
            "item": t.item[rows],
            "chance": chance,
            "value": plan.touches.value[rows],
        }
    )
    found = []
    for channel, part in frame[["channel", "part"]].drop_duplicates().itertuples(index=False):
        group = frame[(frame["channel"] == channel) & (frame["part"] == part)]
        if group["user"].nunique() < _K:
            continue
        spread = _Z * float(np.sqrt((group["chance"] * (1 - group["chance"])).sum()))
        answers = float(group["chance"].sum())
        most = t.items.ids[group["item"].value_counts(sort=True).index[0]]
        found.append(
            {
                "channel": channel,
                "when": _PARTS[int(part)][1],
                "messages": len(group),
                "people": group["user"].nunique(),
                "offered most": names.get(most, str(most)),
                "answers": answers,
                "low": max(answers - spread, 0.0),
                "high": answers + spread,
                "value": float(group["value"].sum()),
            }
        )
    columns = ["channel", "when", "messages", "people", "offered most", "answers", "low", "high", "value"]
    return pd.DataFrame(found, columns=columns).sort_values("messages", ascending=False, ignore_index=True)
