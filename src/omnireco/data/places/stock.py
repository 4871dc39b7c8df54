"""What lies in which shop: pieces of each item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import count_of, name_rows
from omnireco._core.notebook import shown_rows
from omnireco._core.parts import Parts, coded, declare, numbers
from omnireco.data.frames.columns import open_frame
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["StockLevels"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StockLevels:
    """Pieces of each item in each shop.

    Parameters
    ----------
    items, stores : Vocabulary
        Ids of the items and of the shops, in the order of their codes.
    item, store : ndarray of shape (n,), int32
        In the order (item, store); a pair that is not listed has no pieces.
    pieces : ndarray of shape (n,), float64
        0 or more.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"item_id": ["shoe", "shoe"], "store_id": ["north", "south"], "pieces": [3, 0]})
    >>> StockLevels.from_frame(frame)
    StockLevels(1 item, 2 stores, 3 pieces)
    """

    items: Vocabulary
    stores: Vocabulary
    item: np.ndarray
    store: np.ndarray
    pieces: np.ndarray

    parts: ClassVar[Parts] = {
        "items": Ids(),
        "stores": Ids(),
        "item": coded("items", "n"),
        "store": coded("stores", "n"),
        "pieces": numbers("n", low=0.0),
    }

    def __post_init__(self) -> None:
        declare(self)

    @classmethod
    def from_frame(cls, frame: Any, *, columns: Mapping[str, str] | None = None) -> StockLevels:
        """Read a frame of pieces.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            ``item_id``, ``store_id`` and ``pieces``, one row for each item and store.
        columns : mapping of str to str, optional
            Our name to yours.

        Raises
        ------
        SchemaError
            When an item and store are listed twice, or pieces are missing, negative or no number.
        """
        where = "StockLevels.from_frame"
        opened = open_frame(frame, where, needed=("item_id", "store_id", "pieces"), columns=columns)
        items, item = opened.ids("item_id")
        stores, store = opened.ids("store_id")
        pieces = opened.numbers("pieces", "Leave out what has not been counted: it counts as none.")
        if (bad := pieces < 0).any():
            raise SchemaError(f"{where}: pieces are negative in {name_rows(bad)}. Write frame['pieces'].clip(lower=0).")
        order = np.lexsort((store, item))
        pair = item[order].astype(np.int64) * max(1, len(stores)) + store[order]
        if (again := np.diff(pair) == 0).any():
            repeated = np.zeros(item.size, np.bool_)
            repeated[order[1:][again]] = True
            raise SchemaError(
                f"{where}: an item and store are listed again in {name_rows(repeated)}. Add them up: "
                "frame.groupby(['item_id', 'store_id'], as_index=False)['pieces'].sum()."
            )
        return cls(items, stores, item[order], store[order], pieces[order])

    def of(self, items: Vocabulary, item: np.ndarray, stores: Vocabulary, store: np.ndarray) -> np.ndarray:
        """Return the pieces of items in stores, float64 of shape (n,); 0 where nothing is known of them."""
        own = match(self.items, items, ("the stock", "the touches"), column="item_id")
        shop = match(self.stores, stores, ("the stock", "the touches"), column="store_id")
        a = np.append(own, np.int32(NONE))[item].astype(np.int64)
        b = np.append(shop, np.int32(NONE))[store].astype(np.int64)
        if not self.item.size:
            return np.zeros(a.size)
        width = max(1, len(self.stores))
        keys = self.item.astype(np.int64) * width + self.store
        wanted = a * width + b
        spot = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
        return np.where((keys[spot] == wanted) & (a >= 0) & (b >= 0), self.pieces[spot], 0.0)

    def anywhere(self, items: Vocabulary, item: np.ndarray) -> np.ndarray:
        """Return the pieces of items in all stores together, float64 of shape (n,)."""
        total = np.bincount(self.item, weights=self.pieces, minlength=len(self.items))
        own = match(self.items, items, ("the stock", "the touches"), column="item_id")
        return np.append(total, 0.0)[np.append(own, np.int32(NONE))[item]]

    def __len__(self) -> int:
        return int(self.item.size)

    def __repr__(self) -> str:
        sizes = count_of(len(self.items), "item"), count_of(len(self.stores), "store")
        return f"StockLevels({', '.join(sizes)}, {self.pieces.sum():,.6g} pieces)"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_rows("n")

    def to_frame(self) -> pd.DataFrame:
        """Return ``item_id store_id pieces``."""
        import pandas as pd

        names = {"item_id": self.items.decode(self.item), "store_id": self.stores.decode(self.store)}
        return pd.DataFrame(names | {"pieces": self.pieces})
