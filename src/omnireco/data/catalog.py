"""What can be offered: names, categories, prices and margins of items, and from when until when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_instant, check_window, count_of, name_rows
from omnireco._core.notebook import shown_rows
from omnireco._core.parts import NEVER, Maybe, Parts, declare, flags, instants, numbers
from omnireco.data.frames.columns import decode_optional, instants_to_pandas, open_frame
from omnireco.data.parts import Column, Ids
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Catalog"]

_WINDOW = ("valid_from", "valid_until")
_UNKNOWN = "Mark it as unknown: frame[{0!r}].replace([numpy.inf, -numpy.inf], numpy.nan)."


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Catalog:
    """Items with their attributes, one row each.

    Parameters
    ----------
    items : Vocabulary
        Ids, one for each row of the attributes.
    category, name : (Vocabulary, ndarray of shape (n_items,), int32) or None
        -1 where an item has none.
    price, margin : ndarray of shape (n_items,), float64, or None
        In one currency, per unit; NaN where it is not known.
    valid_from, valid_until : ndarray of shape (n_items,), int64, or None
        The item may be offered in [from, until), UTC microseconds; the least int64 where that end is open.
    hidden : ndarray of shape (n_items,), bool, or None
        Items that are not offered at all.

    Raises
    ------
    SchemaError
        When an array is of another type or length, ends before it begins, or holds instants in another unit.
    """

    items: Vocabulary
    category: tuple[Vocabulary, np.ndarray] | None = None
    name: tuple[Vocabulary, np.ndarray] | None = None
    price: np.ndarray | None = None
    margin: np.ndarray | None = None
    valid_from: np.ndarray | None = None
    valid_until: np.ndarray | None = None
    hidden: np.ndarray | None = None

    parts: ClassVar[Parts] = {
        "items": Ids(),
        "category": Maybe(Column("items")),
        "name": Maybe(Column("items")),
        "price": Maybe(numbers("items", missing=True)),
        "margin": Maybe(numbers("items", missing=True)),
        "valid_from": Maybe(instants("items", never=True)),
        "valid_until": Maybe(instants("items", never=True)),
        "hidden": Maybe(flags("items")),
    }

    def __post_init__(self) -> None:
        declare(self)
        check_window(self.valid_from, self.valid_until, NEVER, "Catalog")

    @classmethod
    def from_frame(cls, frame: Any, *, columns: Mapping[str, str] | None = None) -> Catalog:
        """Read a frame of items.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            ``item_id``, one row each, and optionally ``category``, ``name``, ``price`` and ``margin`` (numbers); all of
            them may be missing for some items. A missing margin is not 0: such an item is no candidate of a plan, which
            counts it in ``left_out``. ``valid_from`` and ``valid_until`` (with a time zone) say in which half-open time
            it may be offered (a missing end is open), and ``hidden`` whether it is held back (missing counts as
            hidden); :class:`omnireco.planning.Available` is the rule that reads them.
        columns : mapping of str to str, optional
            Our name to yours.

        Raises
        ------
        SchemaError
            When an item is listed twice, a price or margin is no finite number, or an item's validity ends before it
            begins.

        Examples
        --------
        >>> import pandas as pd
        >>> Catalog.from_frame(pd.DataFrame({"item_id": ["tea", "cup"], "price": [3.5, 9.0]}))
        Catalog(2 items, with price)
        """
        opened = open_frame(
            frame,
            "Catalog.from_frame",
            needed=("item_id",),
            optional=("category", "name", "price", "margin", *_WINDOW, "hidden"),
            columns=columns,
            answers=("hidden",),
        )
        items, item = opened.ids("item_id")
        if len(items) < item.size:
            repeated = np.ones(item.size, np.bool_)
            repeated[np.unique(item, return_index=True)[1]] = False
            raise SchemaError(
                f"Catalog.from_frame: item_id is listed again in {name_rows(repeated)}. "
                "Keep one row per item: frame.drop_duplicates('item_id')."
            )
        row = np.argsort(item)
        labels = {
            column: (known, codes[row])
            for column in ("category", "name")
            if column in opened
            for known, codes in [opened.ids(column, allow_missing=True)]
        }
        numbers = {
            name: values[row]
            for name in ("price", "margin")
            if (values := opened.numbers_if_any(name, _UNKNOWN.format(name), allow_missing=True)) is not None
        }
        begin, end = (opened.instants(name, none=NEVER) if name in opened else None for name in _WINDOW)
        check_window(begin, end, NEVER, "Catalog.from_frame")
        begin, end = (None if at is None else at[row] for at in (begin, end))
        hidden = None
        if "hidden" in opened:
            hidden = (opened.flags("hidden", missing=True) | opened.odd.get("hidden", np.False_))[row]
        return cls(
            items,
            labels.get("category"),
            labels.get("name"),
            numbers.get("price"),
            numbers.get("margin"),
            begin,
            end,
            hidden,
        )

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        facts = ("category", "name", "price", "margin", *_WINDOW, "hidden")
        known = [name for name in facts if getattr(self, name) is not None]
        return f"Catalog({count_of(len(self), 'item')}{', with ' + ', '.join(known) if known else ''})"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_rows("items")

    def offered(self, at: Any, *, items: Any = None) -> np.ndarray:
        """Return the ids of the items that may be offered at an instant, for ``eligible=`` of a list.

        Parameters
        ----------
        at : datetime, date or str
            The instant: an item counts in [valid_from, valid_until), where a missing end is open.
        items : Vocabulary or array-like of ids, optional
            Only these, such as ``model.items``; those that the catalogue does not know are not offered.

        Returns
        -------
        ndarray of ids
            In the order of the catalogue, or of ``items``, each once; hidden items never.

        Raises
        ------
        ParameterError
            When ``at`` is no instant, or a time without a zone.
        IdKindError
            When ``items`` are ids of another kind than the catalogue's.

        Notes
        -----
        Deterministic; O(items).

        Examples
        --------
        >>> import pandas as pd
        >>> goods = Catalog.from_frame(pd.DataFrame({"item_id": ["news", "book"],
        ...     "valid_until": [pd.Timestamp("2025-05-02", tz="UTC"), None]}))
        >>> goods.offered("2025-05-03").tolist()
        ['book']
        """
        moment = check_instant(at, "at")
        fine = np.ones(len(self.items), np.bool_) if self.hidden is None else ~self.hidden
        if self.valid_from is not None:
            fine = fine & (moment >= self.valid_from)
        if self.valid_until is not None:
            fine = fine & ((self.valid_until == NEVER) | (moment < self.valid_until))
        if items is None:
            return np.asarray(self.items.ids[fine])
        given = items if isinstance(items, Vocabulary) else Vocabulary.from_ids(items)
        return np.asarray(given.ids[np.append(fine, False)[self.items.codes(given.ids, missing="none")]])

    def to_frame(self) -> pd.DataFrame:
        """Return the items as a pandas frame, in the columns that :meth:`from_frame` takes."""
        import pandas as pd

        columns: dict[str, Any] = {"item_id": self.items.ids}
        for name, pair in (("category", self.category), ("name", self.name)):
            if pair is not None:
                columns[name] = decode_optional(*pair)
        numbers = {"price": self.price, "margin": self.margin}
        columns |= {name: values for name, values in numbers.items() if values is not None}
        for name, at in zip(_WINDOW, (self.valid_from, self.valid_until), strict=True):
            columns |= {} if at is None else {name: instants_to_pandas(at, none=NEVER)}
        columns |= {} if self.hidden is None else {"hidden": self.hidden}
        return pd.DataFrame(columns)
