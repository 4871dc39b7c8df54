"""What a plan shows of itself, as frames: one person, the load of channels, reach and frequency, offers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from omnireco._core.checks import check_duration, check_integer
from omnireco._core.units import DAY_US, HOUR_US
from omnireco._kernels.disclosure import hidden_cells
from omnireco.data.frames.columns import instants_to_pandas
from omnireco.data.vocabulary import NONE
from omnireco.errors import ParameterError, SchemaError
from omnireco.planning.candidates import Candidates, touch_frame
from omnireco.planning.rules import Capacity, Constraint

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Planned", "load_of", "of_person", "offer_audit", "offers_of", "reach_of", "summary_of"]


class Planned(Protocol):
    """What is read of a plan."""

    @property
    def touches(self) -> Candidates:
        """What was to choose from."""

    @property
    def reason(self) -> np.ndarray:
        """Per candidate, the position in ``reasons``: 0 is sent."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """The names of the reasons."""

    @property
    def reduced(self) -> np.ndarray | None:
        """Reduced value of each candidate."""

    @property
    def constraints(self) -> tuple[Constraint, ...] | None:
        """The constraints it was made under."""

    @property
    def costs(self) -> Any:
        """Cost of a touch by channel."""

    @property
    def rows(self) -> Iterable[Any]:
        """What constraints allow and use."""


def of_person(plan: Planned, user: Any) -> pd.DataFrame:
    """Return every candidate of one person, with the reason and the reduced value."""
    t = plan.touches.touches
    code = int(t.users.codes([user])[0])
    rows = np.flatnonzero(t.user == code)
    reason = np.array(plan.reasons, object)[plan.reason[rows]]
    reduced = np.full(rows.size, np.nan) if plan.reduced is None else plan.reduced[rows]
    return touch_frame(plan.touches, rows, reason=reason, reduced_value=reduced)


def summary_of(plan: Planned) -> pd.DataFrame:
    """Return one row per channel and UTC day of what is sent."""
    import pandas as pd

    sent = np.flatnonzero(plan.reason == 0)
    t = plan.touches.touches
    names = t.channels.decode(t.channel[sent])
    chance = plan.touches.probability
    frame = pd.DataFrame(
        {
            "channel": names,
            "day": (t.send_at[sent] // DAY_US * DAY_US).view("datetime64[us]"),
            "user": t.user[sent],
            "cost": np.array([plan.costs.get(name, np.nan) for name in names], np.float64),
            "expected_responses": np.full(sent.size, np.nan) if chance is None else chance[sent],
            "value": plan.touches.value[sent],
        }
    )
    groups = frame.groupby(["channel", "day"], sort=True)
    table = pd.DataFrame(
        {
            "sends": groups.size(),
            "users": groups["user"].nunique(),
            "cost": groups["cost"].sum(min_count=1),
            "expected_responses": groups["expected_responses"].agg(lambda chance: chance.sum(skipna=False)),
            "value": groups["value"].sum(),
        }
    )
    return table.reset_index()


def load_of(plan: Planned, per: Any) -> pd.DataFrame:
    """Return how many messages leave in each cell of time on each channel, beside the least capacity there."""
    import pandas as pd

    t = plan.touches.touches
    caps = [rule for rule in plan.constraints or () if isinstance(rule, Capacity)]
    length = None if per is None else check_duration(per, "per")
    parts = []
    for code, name in enumerate(map(str, t.channels.ids)):
        own = [rule for rule in caps if rule.channel == name]
        cell = length or min((check_duration(rule.per, "per") for rule in own), default=HOUR_US)
        same = [rule for rule in own if check_duration(rule.per, "per") == cell]
        at = t.send_at[(t.channel == code) & (plan.reason == 0)]
        cells, sends = np.unique(at // cell, return_counts=True)
        prices = {row.row: row.price for row in plan.rows if row.constraint in {rule.name for rule in same}}
        starts = pd.to_datetime(cells * cell, unit="us")
        parts.append(
            pd.DataFrame(
                {
                    "channel": name,
                    "start_at": instants_to_pandas(cells * cell),
                    "sends": sends,
                    "capacity": np.full(cells.size, min((rule.limit for rule in same), default=np.nan), np.float64),
                    "price": [prices.get(f"{name} {start:%Y-%m-%d %H:%M} UTC", np.nan) for start in starts],
                }
            )
        )
    parts = [part for part in parts if len(part)] or parts[:1]
    if not parts:
        return pd.DataFrame({name: [] for name in ("channel", "start_at", "sends", "capacity", "price")})
    return pd.concat(parts, ignore_index=True)


def reach_of(plan: Planned, k: int) -> pd.DataFrame:
    """Return how many people get how many messages, per channel and over all; no cell of fewer than ``k`` people."""
    import pandas as pd

    check_integer(k, "k", low=1)
    t = plan.touches.touches
    everybody = np.unique(t.user)
    groups = [("all", plan.reason == 0)]
    groups += [(str(name), (plan.reason == 0) & (t.channel == code)) for code, name in enumerate(t.channels.ids)]
    parts = []
    for name, mask in groups:
        had = np.bincount(np.bincount(t.user[mask], minlength=len(t.users))[everybody])
        hide = hidden_cells(had, k, axes=(0,))
        share = had / max(1, everybody.size)
        parts.append(
            pd.DataFrame(
                {
                    "channel": name,
                    "messages": np.arange(had.size),
                    "people": np.where(hide, np.nan, had),
                    "share": np.where(hide, np.nan, share),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def offers_of(plan: Planned, k: int) -> pd.DataFrame:
    """Return per item how many offers are sent, and how many people would see more than one of them."""
    import pandas as pd

    check_integer(k, "k", low=1)
    if "offer_id" not in plan.touches.labels:
        raise SchemaError(
            "offer_audit: the touches have no offer_id. Give the frame of Candidates.from_frame a column offer_id."
        )
    t = plan.touches.touches
    _, offer = plan.touches.labels["offer_id"]
    sent = np.flatnonzero((plan.reason == 0) & (offer != NONE))
    frame = pd.DataFrame({"item": t.item[sent], "user": t.user[sent], "offer": offer[sent], "channel": t.channel[sent]})
    groups = frame.groupby("item", sort=True)
    several = frame.groupby(["item", "user"])["offer"].nunique().gt(1).groupby("item").sum()
    found = pd.DataFrame(
        {
            "item_id": t.items.ids[np.array(list(groups.groups), np.int64)] if len(frame) else np.empty(0, object),
            "sends": groups.size().to_numpy(),
            "people": groups["user"].nunique().to_numpy(),
            "channels": groups["channel"].nunique().to_numpy(),
            "offers": groups["offer"].nunique().to_numpy(),
            "people_with_several": several.to_numpy(dtype=np.float64),
        }
    )
    few = found["people"].to_numpy() < k
    two = found["people_with_several"]
    return found.assign(
        sends=found["sends"].where(~few), people=found["people"].where(~few),
        people_with_several=two.where(~few & ((two == 0) | (two >= k))),
    )  # fmt: skip


def offer_audit(plan: Any, *, k: int = 5) -> pd.DataFrame:
    """Return which offers of each item a plan sends, and how many people would see more than one.

    Parameters
    ----------
    plan : Plan
        Of touches with an ``offer_id``.
    k : int
        Rows of fewer people show no counts, and fewer people with several offers are missing; none of them is a 0.

    Returns
    -------
    pandas.DataFrame
        ``item_id sends people channels offers people_with_several``, a row per item with an offer. Where offers are one
        and the same over all channels, the last column is 0.

    Raises
    ------
    ParameterError
        When it is no Plan.
    SchemaError
        When the touches have no ``offer_id``.

    Examples
    --------
    >>> import pandas as pd, omnireco as om
    >>> frame = pd.DataFrame({"user_id": [1, 1, 2], "item_id": "tea", "channel": ["push", "email", "push"],
    ...                       "offer_id": ["10 %", "20 %", "10 %"], "value": 1.0,
    ...                       "send_at": pd.to_datetime(["2025-06-01 09:00"] * 3, utc=True)})
    >>> audit = om.planning.offer_audit(om.plan(om.planning.Candidates.from_frame(frame)), k=1)
    >>> audit[["item_id", "offers", "people_with_several"]].values.tolist()
    [['tea', 2, 1.0]]
    """
    if not hasattr(plan, "with_limit") or isinstance(plan, type):
        raise ParameterError(
            f"offer_audit takes a Plan. Got {type(plan).__name__}. Write offer_audit(om.plan(touches))."
        )
    return offers_of(plan, k)
