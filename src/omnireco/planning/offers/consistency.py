"""Did everybody see one and the same offer? What was really shown, against the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_integer, check_kind, check_number, count_of
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Array, Parts, declare
from omnireco._core.small import Plain
from omnireco._kernels.disclosure import hidden_cells
from omnireco.data.audience import Audience
from omnireco.data.frames.columns import open_frame
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.planning.offers.ledger import OfferLedger

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["VERDICTS", "OfferAudit", "consistency"]

VERDICTS = ("as promised", "other offer", "other price", "expired", "nothing promised")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OfferAudit:
    """What was shown on each channel, against what was promised.

    Attributes
    ----------
    channels : Vocabulary
        Channels on which offers were shown, in the order of the rows of ``counts``.
    counts : int64 array, shape (n_channels, 5)
        Showings by verdict: ``as promised``, ``other offer``, ``other price``, ``expired`` (the promise was over or had
        not begun) and ``nothing promised``.
    verdict : int8 array, shape (n,)
        The verdict of each row of the frame.
    saw_two : int
        People who saw two offers, or two prices of one, while one promise was in force.
    people : int
        People who were shown anything.
    k : int
        Cells of :meth:`to_frame` under ``k`` showings are missing, and others from which they would follow.

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> offers = om.planning.Offers.from_frame(pd.DataFrame({"offer_id": ["a", "b"], "price": [9.0, 8.0]}))
    >>> ledger = om.planning.OfferLedger.from_frame(pd.DataFrame({"user_id": [1, 2], "offer_id": ["a", "b"]}), offers,
    ...                                             start="2025-06-01")
    >>> shown = pd.DataFrame({"user_id": [1, 1, 2], "channel": ["web", "call", "web"], "offer_id": ["a", "b", "b"],
    ...                       "shown_at": pd.Timestamp("2025-06-03", tz="UTC"), "price": [9.0, 8.0, 8.0]})
    >>> om.planning.consistency(ledger, shown)
    OfferAudit(3 shown to 2 people, 66.7 % as promised, 1 person saw two offers)
    """

    channels: Vocabulary
    counts: np.ndarray
    verdict: np.ndarray
    saw_two: int
    people: int
    k: int = 5

    parts: ClassVar[Parts] = {
        "channels": Ids(text=True),
        "counts": Array(np.int64, ("channels", len(VERDICTS)), 0),
        "verdict": Array(np.int8, ("n",), 0, len(VERDICTS) - 1),
        **dict.fromkeys(("saw_two", "people", "k"), Plain(int)),
    }

    def __post_init__(self) -> None:
        declare(self)

    def __repr__(self) -> str:
        n = int(self.counts.sum())
        right = f"{self.counts[:, 0].sum() / n:.1%}".replace("%", " %") if n else "none"
        two = f"{self.saw_two:,} {'person' if self.saw_two == 1 else 'people'} saw two offers"
        return f"OfferAudit({n:,} shown to {count_of(self.people, 'person', 'people')}, {right} as promised, {two})"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return one row per channel: ``channel shown``, and a column for each verdict.

        Cells of fewer than ``k`` showings are missing, and with them the next smallest, so that none follows from the
        total of the channel.
        """
        import pandas as pd

        total = self.counts.sum(axis=1)
        shown = np.where(hidden_cells(self.counts, self.k, axes=(1,)), np.nan, self.counts)
        table = {name.replace(" ", "_"): shown[:, column] for column, name in enumerate(VERDICTS)}
        few = (total > 0) & (total < self.k)
        return pd.DataFrame({"channel": self.channels.ids, "shown": np.where(few, np.nan, total)} | table)


def consistency(
    ledger: OfferLedger,
    shown: Any,
    *,
    audience: Audience | None = None,
    tolerance: float = 0.005,
    k: int = 5,
    columns: Mapping[str, str] | None = None,
) -> OfferAudit:
    """Return whether everybody was shown the offer and price that the ledger promises, on every channel.

    Parameters
    ----------
    ledger : OfferLedger
        Who is promised which offer, at which price.
    shown : frame
        One row per showing, from the logs of all channels: ``user_id``, ``channel``, ``shown_at`` (with a time zone),
        ``offer_id`` and optionally ``price``. A missing offer, or price, where one is promised is another one.
    audience : Audience, optional
        Whose attribute says the segment of each person; needed for a ledger of segments.
    tolerance : float
        By how much a price may differ: half a cent is rounding.
    k : int
        Cells of the report under ``k`` showings stay empty.
    columns : mapping of str to str, optional
        Our name to yours.

    Returns
    -------
    OfferAudit

    Raises
    ------
    SchemaError
        When a column is missing, or ids are integers here and strings in the ledger.

    Notes
    -----
    One search for each showing; O(n log n). Deterministic.
    """
    check_kind(
        ledger, OfferLedger, "consistency: ledger", "om.planning.OfferLedger.of(plan, offers, start='2025-06-01')"
    )
    check_integer(k, "k", low=1)
    check_number(tolerance, "tolerance", low=0.0)
    needed = ("user_id", "channel", "shown_at", "offer_id")
    opened = open_frame(shown, "consistency: shown", needed=needed, optional=("price",), columns=columns)
    users, user = opened.ids("user_id")
    channels, channel = opened.names("channel")
    offers, offer = opened.ids("offer_id", allow_missing=True)
    at = opened.instants("shown_at")
    whom, who = ledger.whose(users, user, audience)
    line = ledger.line(whom, who, at)
    own = np.append(match(ledger.offers, offers, ("the ledger", "the showings"), column="offer_id"), np.int32(NONE))[
        offer
    ]
    promised = line >= 0
    known = (
        np.append(match(ledger.whom, whom, ("the ledger", "the showings"), column=ledger.by), np.int32(NONE))[who] >= 0
    )
    verdict = np.where(promised, 0, np.where(known, 3, 4))
    verdict[promised & (own != np.append(ledger.offer, np.int32(NONE))[line])] = 1
    if "price" in opened:
        price = opened.numbers_or_nan("price")
        wanted = np.append(ledger.price, np.nan)[line]
        off = ~np.isnan(wanted) & ~(np.abs(price - wanted) <= tolerance)
        verdict[promised & (verdict == 0) & off] = 2
    else:
        price = np.zeros(user.size)
    table = np.zeros((len(channels), len(VERDICTS)), np.int64)
    np.add.at(table, (channel, verdict), 1)
    seen = np.unique(
        np.column_stack(
            [user[promised], line[promised], offer[promised], np.round(np.nan_to_num(price[promised], nan=-1.0), 2)]
        ),
        axis=0,
    )
    pair, times = np.unique(seen[:, :2], axis=0, return_counts=True)
    two = int(np.unique(pair[times > 1, 0]).size)
    return OfferAudit(channels, table, verdict.astype(np.int8), two, int(np.unique(user).size), k)
