"""A number for each person: points on a card, or what a customer is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import (
    check_instant,
    check_kind,
    check_known,
    check_mapping,
    check_number,
    count_of,
    name_rows,
)
from omnireco._core.notebook import shown_rows
from omnireco._core.parts import Parts, declare, numbers
from omnireco.data.dataset import dataset_of
from omnireco.data.frames.columns import open_frame
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import Vocabulary, match
from omnireco.errors import ParameterError, SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["UserAmounts"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UserAmounts:
    """A number for each person: points on a card, or what a customer is worth over the years.

    Parameters
    ----------
    users : Vocabulary
        Ids of the people, in the order of their codes.
    amount : ndarray of shape (n_users,), float64
        What each person has, in the unit of the caller (points, money).

    Examples
    --------
    >>> import pandas as pd
    >>> UserAmounts.from_frame(pd.DataFrame({"user_id": [1, 2], "amount": [120, 30]}))
    UserAmounts(2 users, 150 in all)
    """

    users: Vocabulary
    amount: np.ndarray

    parts: ClassVar[Parts] = {"users": Ids(people=True), "amount": numbers("users")}

    def __post_init__(self) -> None:
        declare(self)

    @classmethod
    def from_frame(cls, frame: Any, *, columns: Mapping[str, str] | None = None) -> UserAmounts:
        """Read a frame of people and numbers.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            ``user_id``, one row each, and ``amount``.
        columns : mapping of str to str, optional
            Our name to yours.

        Raises
        ------
        SchemaError
            When a person is listed twice, or an amount is missing or no number.
        """
        opened = open_frame(frame, "UserAmounts.from_frame", needed=("user_id", "amount"), columns=columns)
        users, user = opened.ids("user_id")
        if len(users) < user.size:
            repeated = np.ones(user.size, np.bool_)
            repeated[np.unique(user, return_index=True)[1]] = False
            raise SchemaError(
                f"UserAmounts.from_frame: user_id is listed again in {name_rows(repeated)}. "
                "Add up what belongs to one person: frame.groupby('user_id', as_index=False)['amount'].sum()."
            )
        amount = opened.numbers("amount", "Leave people out whose amount is not known.")
        return cls(users, amount[np.argsort(user)])

    @classmethod
    def from_events(
        cls,
        data: Any,
        *,
        each: Mapping[str, float] | None = None,
        per_value: Mapping[str, float] | None = None,
        at: Any = None,
    ) -> UserAmounts:
        """Return balances that people have earned and spent on any channel.

        Parameters
        ----------
        data : Dataset, EventLog or frame of events
            The events that earn and spend, of the whole history.
        each : mapping of str to float, optional
            Points for each event of a type; negative ones are spent: ``{"visit": 5, "redeem": -100}``.
        per_value : mapping of str to float, optional
            Points for each unit of an event's ``value``: ``{"purchase": 1.0}``.
        at : datetime, date or str, optional
            Only events before it count; the end of the data by default.

        Raises
        ------
        ParameterError
            When the log has no event of a type, or neither mapping names one.
        SchemaError
            When an event that counts by its value has none.

        Notes
        -----
        A balance below 0 stays below 0: the log is not whole, and such a person can afford nothing. O(n events).

        Examples
        --------
        >>> import pandas as pd, omnireco as om
        >>> log = om.EventLog.from_frame(pd.DataFrame({"user_id": [1, 1, 2], "item_id": "tea",
        ...     "event": ["purchase", "redeem", "purchase"], "channel": ["shop", "app", "web"], "value": [4.0, 0.0, 9],
        ...     "timestamp": pd.to_datetime(["2025-05-01 10:00", "2025-05-02 10:05", "2025-05-02 10:09"], utc=True)}))
        >>> om.data.UserAmounts.from_events(log, per_value={"purchase": 10}, each={"redeem": -25}).amount.tolist()
        [15.0, 90.0]
        """
        known = dataset_of(data, "UserAmounts.from_events", ("events",))
        log = known.part("events", "UserAmounts.from_events")
        cut = known.end_us if at is None else check_instant(at, "at")
        tables = {
            name: check_mapping({} if table is None else table, name, "{'purchase': 1.0}")
            for name, table in (("each", each), ("per_value", per_value))
        }
        if not (tables["each"] or tables["per_value"]):
            raise ParameterError(
                "UserAmounts.from_events: nothing says what an event is worth. Write each={'redeem': -100}, or "
                "per_value={'purchase': 1.0}."
            )
        rates = {}
        for name, table in tables.items():
            check_known(list(table), log.events.ids, f"UserAmounts.from_events: {name}", missing=None)
            rates[name] = np.array(
                [check_number(table.get(event, 0.0), f"{name}[{event!r}]") for event in log.events.ids], np.float64
            )
        points = rates["each"][log.event]
        rate = rates["per_value"][log.event]
        counted = (rate != 0) & (log.at < cut)
        value = np.full(log.event.size, np.nan) if log.value is None else log.value
        if (bad := counted & np.isnan(value)).any():
            raise SchemaError(
                f"UserAmounts.from_events: {count_of(int(bad.sum()), 'event')} of {int(counted.sum()):,} that count by "
                "their value have none, so balances would be too low or too high. Give the column value, or points for "
                "each event: each={'purchase': 5}."
            )
        points = np.where(log.at < cut, points + np.where(counted, rate * np.nan_to_num(value), 0.0), 0.0)
        return cls(log.users, np.bincount(log.user, weights=points, minlength=log.n_users).astype(np.float64))

    def of(self, users: Vocabulary, *, missing: float = np.nan) -> np.ndarray:
        """Return the amounts of some people, float64 of shape (n_users,); ``missing`` for those who are not here."""
        check_kind(users, Vocabulary, "users", "data.audience.users")
        missing = missing if isinstance(missing, float) else check_number(missing, "missing")
        row = match(self.users, users, ("the amounts", "the touches"))
        return np.append(self.amount, missing)[row]

    def __len__(self) -> int:
        return len(self.users)

    def __repr__(self) -> str:
        return f"UserAmounts({count_of(len(self), 'user')}, {self.amount.sum():,.6g} in all)"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_rows("users")

    def to_frame(self) -> pd.DataFrame:
        """Return ``user_id amount``."""
        import pandas as pd

        return pd.DataFrame({"user_id": self.users.ids, "amount": self.amount})
