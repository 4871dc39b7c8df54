"""What can be offered: price, reward and validity of each offer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_window, count_of, name_rows
from omnireco._core.notebook import shown_rows
from omnireco._core.parts import NEVER, Parts, coded, declare, instants, numbers
from omnireco.data.frames.columns import decode_optional, instants_to_pandas, open_frame
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.errors import SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Offers"]

_NUMBERS = {"price": np.nan, "reward_cost": 0.0, "points": 0.0, "lift": 1.0}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Offers:
    """Offers that people may get: a price, what a reward costs, the points it takes, and from when until when.

    Parameters
    ----------
    offers, items : Vocabulary
        Ids of the offers, and of the items that they are about.
    item : ndarray of shape (n_offers,), int32
        The item that an offer is about; -1 for any.
    price : ndarray of shape (n_offers,), float64
        NaN where an offer names none.
    reward_cost, points : ndarray of shape (n_offers,), float64
        What the reward costs when it is taken, and the points that it takes from the card; 0 or more.
    lift : ndarray of shape (n_offers,), float64
        Response with the offer over response without it: 1.2 is a fifth more, for everybody. Where segments differ,
        give each segment's touches their own ``Offers`` and join them by :meth:`Candidates.concat`.
    valid_from, valid_until : ndarray of shape (n_offers,), int64
        In [from, until), UTC microseconds; the least int64 where an end is open.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"offer_id": ["plain", "10 % off"], "lift": [1.0, 1.3], "reward_cost": [0.0, 4.0]})
    >>> Offers.from_frame(frame)
    Offers(2 offers)
    """

    offers: Vocabulary
    items: Vocabulary
    item: np.ndarray
    price: np.ndarray
    reward_cost: np.ndarray
    points: np.ndarray
    lift: np.ndarray
    valid_from: np.ndarray
    valid_until: np.ndarray

    parts: ClassVar[Parts] = {
        "offers": Ids(),
        "items": Ids(),
        "item": coded("items", "offers", none=True),
        "price": numbers("offers", missing=True),
        "reward_cost": numbers("offers", low=0.0),
        "points": numbers("offers", low=0.0),
        "lift": numbers("offers", low=0.0),
        "valid_from": instants("offers", never=True),
        "valid_until": instants("offers", never=True),
    }

    def __post_init__(self) -> None:
        declare(self)
        check_window(self.valid_from, self.valid_until, NEVER, "Offers")

    @classmethod
    def from_frame(cls, frame: Any, *, columns: Mapping[str, str] | None = None) -> Offers:
        """Read a frame of offers.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            ``offer_id``, one row each; optionally ``item_id`` (missing: for any item), ``price`` (may be missing),
            ``reward_cost``, ``points`` (0 by default), ``lift`` (1), ``valid_from`` and ``valid_until`` (with a time
            zone; a missing end is open).
        columns : mapping of str to str, optional
            Our name to yours.

        Raises
        ------
        SchemaError
            When an offer is listed twice, a number is negative or missing, or an offer ends before it begins.
        """
        where, window = "Offers.from_frame", ("valid_from", "valid_until")
        optional = ("item_id", *_NUMBERS, *window)
        opened = open_frame(frame, where, needed=("offer_id",), optional=optional, columns=columns)
        offers, offer = opened.ids("offer_id")
        if len(offers) < offer.size:
            repeated = np.ones(offer.size, np.bool_)
            repeated[np.unique(offer, return_index=True)[1]] = False
            raise SchemaError(
                f"{where}: offer_id is listed again in {name_rows(repeated)}. An offer has one price: give another one "
                "its own id."
            )
        row, n = np.argsort(offer), offer.size
        items, item = Vocabulary(np.empty(0, object)), np.full(n, NONE, np.int32)
        if "item_id" in opened:
            items, item = opened.ids("item_id", allow_missing=True)
        known = {name: _numbers(opened, name, usual) for name, usual in _NUMBERS.items()}
        for name, values in known.items():
            if (bad := values < 0).any():
                raise SchemaError(f"{where}: {name} is negative in {name_rows(bad)}. It must be 0 or more.")
        begin, end = (opened.instants(name, none=NEVER) if name in opened else np.full(n, NEVER) for name in window)
        check_window(begin, end, NEVER, where)
        price, cost, points, lift = (known[name][row] for name in _NUMBERS)
        return cls(offers, items, item[row], price, cost, points, lift, begin[row], end[row])

    def __len__(self) -> int:
        return len(self.offers)

    def __repr__(self) -> str:
        return f"Offers({count_of(len(self), 'offer')})"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_rows("offers")

    def to_frame(self) -> pd.DataFrame:
        """Return one row per offer, in the columns that :meth:`from_frame` takes."""
        import pandas as pd

        return pd.DataFrame(
            {
                "offer_id": self.offers.ids,
                "item_id": decode_optional(self.items, self.item),
                **{name: getattr(self, name) for name in _NUMBERS},
                "valid_from": instants_to_pandas(self.valid_from, none=NEVER),
                "valid_until": instants_to_pandas(self.valid_until, none=NEVER),
            }
        )


def _numbers(opened: Any, name: str, usual: float) -> np.ndarray:
    """Return a column of numbers, or its default; only a price may be missing."""
    if name not in opened:
        return np.full(opened.n_rows, usual)
    found: np.ndarray = opened.numbers_or_nan(name) if name == "price" else opened.numbers(name)
    return found
