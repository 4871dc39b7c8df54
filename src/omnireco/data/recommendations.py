"""Ranked items per person: the result of every recommender, and of lists read from other libraries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_k, count_of, shown
from omnireco._core.notebook import html_table
from omnireco._core.parts import Parts, coded, freeze, numbers
from omnireco._core.small import Text
from omnireco.data.frames.columns import open_frame
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import NONE, Vocabulary, distinct_codes
from omnireco.errors import SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PEOPLE", "Recommendations", "to_float32"]

_KEYS = ("user_id", "request_id", "similar_to")
PEOPLE = "people"  # marks a vocabulary of items that are people


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Recommendations:
    """Ranked items per person, best first.

    Parameters
    ----------
    users, items : Vocabulary
        The people, in row order, and the catalogue behind the codes.
    codes : ndarray of shape (n_users, k), int32
        Item codes by (score down, code up). -1 pads the tail where fewer than k items are eligible: a list
        is never filled with a seen or ineligible item.
    scores : ndarray of shape (n_users, k), float32
        -inf where the code is -1.
    key : str
        What ``users`` are, the first column of frames: ``"user_id"``, ``"request_id"``, or ``"similar_to"`` where items
        are listed that resemble others.
    """

    users: Vocabulary
    items: Vocabulary
    codes: np.ndarray
    scores: np.ndarray
    key: str = "user_id"

    parts: ClassVar[Parts] = {
        "users": Ids(people=True),
        "items": Ids(),
        "codes": coded("items", "users", "k", none=True),
        "scores": numbers("users", "k", dtype=np.float32, endless=True),
        "key": Text(),
    }

    def __post_init__(self) -> None:
        if self.codes.shape != self.scores.shape or self.codes.ndim != 2 or len(self.codes) != len(self.users):
            raise SchemaError(
                f"Recommendations: codes {self.codes.shape} and scores {self.scores.shape} must both have the shape "
                f"(n_users, k), and there are {len(self.users):,} users."
            )
        if self.codes.size and not (self.codes.min() >= NONE and self.codes.max() < len(self.items)):
            raise SchemaError(
                f"Recommendations: codes run from {self.codes.min()} to {self.codes.max()}, and there are "
                f"{len(self.items):,} items. Pass the vocabulary that the codes were made with; -1 is no item."
            )
        if self.key not in _KEYS:
            raise SchemaError(
                f"Recommendations: key must be one of {', '.join(map(repr, _KEYS))}. Got {shown(self.key)}."
            )
        freeze(self)

    @classmethod
    def from_frame(cls, frame: Any, *, columns: Mapping[str, str] | None = None) -> Recommendations:
        """Read the lists of any library.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            ``user_id`` (or ``request_id``, or ``similar_to``, as :meth:`to_frame` writes them), ``item_id`` and one of
            ``rank`` (smallest first) or ``score`` (largest first; equal scores are ordered by item id).
        columns : mapping of str to str, optional
            Our name to yours.

        Raises
        ------
        SchemaError
            When an item occurs twice in one person's list.
        """
        where = "Recommendations.from_frame"
        opened = open_frame(frame, where, needed=("item_id",), optional=(*_KEYS, "rank", "score"), columns=columns)
        key = next((name for name in _KEYS if name in opened), None)
        if key is None:
            open_frame(frame, where, needed=("user_id", "item_id"), columns=columns)  # says what is missing
            raise SchemaError(f"{where} needs a column 'user_id'.")
        if "rank" not in opened and "score" not in opened:
            raise SchemaError("Recommendations.from_frame needs a column 'rank' or 'score' to order the lists by.")
        users, user = opened.ids(key)
        items, item = opened.ids("item_id")
        score = opened.numbers("score") if "score" in opened else -opened.numbers("rank")
        order_by = opened.numbers("rank") if "rank" in opened else -score
        order = np.lexsort([item, order_by, user])
        user, item, score = user[order], item[order], score[order]
        pair = np.sort(user.astype(np.int64) * max(1, len(items)) + item)
        if (twice := int((pair[1:] == pair[:-1]).sum())) > 0:
            raise SchemaError(
                f"Recommendations.from_frame: {twice:,} of {item.size:,} rows repeat an item in one person's list. "
                f"Keep the best of each: frame.drop_duplicates([{key!r}, 'item_id'])."
            )
        lengths = np.bincount(user, minlength=len(users))
        k = int(lengths.max()) if lengths.size else 0
        place = np.arange(user.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        codes = np.full((len(users), k), NONE, np.int32)
        scores = np.full((len(users), k), -np.inf, np.float32)
        codes[user, place], scores[user, place] = item, to_float32(score)
        return cls(users, items, codes, scores, key)

    def __len__(self) -> int:
        return len(self.users)

    def __repr__(self) -> str:
        return f"Recommendations({count_of(self.n_users, 'user')} x top {self.k}, {count_of(len(self.items), 'item')})"

    def _repr_html_(self) -> str:
        """Return the first lists as a table, for notebooks; people are numbered, since notebooks get shared."""
        row, place = np.nonzero(self.codes[:5, :5] != NONE)
        few = self.head(5).take(np.arange(min(5, len(self)))).to_frame()
        few.insert(0, "person", [f"person {number + 1}" for number in row])
        if PEOPLE in self.items._cache:
            few["item_id"] = [f"similar person {number + 1}" for number in place]
        length = int(np.count_nonzero(self.codes != NONE))
        return f"<p>{self!r}</p>{html_table(few.drop(columns=self.key), of=length)}"

    @property
    def n_users(self) -> int:
        """How many people."""
        return len(self.users)

    @property
    def k(self) -> int:
        """How many items a list has at most."""
        return int(self.codes.shape[1])

    def head(self, k: int) -> Recommendations:
        """Return the first ``k`` of every list."""
        k = check_k(k)
        return Recommendations(self.users, self.items, self.codes[:, :k].copy(), self.scores[:, :k].copy(), self.key)

    def rows(self, ids: Any) -> Recommendations:
        """Return the lists of some people, in the order given; unknown and repeated ids are errors."""
        return self.take(distinct_codes(self.users, ids))

    def take(self, codes: np.ndarray) -> Recommendations:
        """Return some rows by code, in the order given."""
        return Recommendations(self.users.take(codes), self.items, self.codes[codes], self.scores[codes], self.key)

    __arrow_c_stream__ = arrow_stream

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas frame: user_id (or what ``key`` says), item_id, rank (from 1), score; padding is dropped."""
        import pandas as pd

        return pd.DataFrame(self._columns())

    def to_arrow(self) -> Any:
        """Return a pyarrow Table: user_id (or what ``key`` says), item_id, rank (from 1), score; padding is dropped."""
        import pyarrow as pa

        return pa.table({name: pa.array(column) for name, column in self._columns().items()})

    def _columns(self) -> dict[str, np.ndarray]:
        row, place = np.nonzero(self.codes != NONE)
        return {
            self.key: self.users.decode(row),
            "item_id": self.items.decode(self.codes[row, place]),
            "rank": (place + 1).astype(np.int32),
            "score": self.scores[row, place],
        }


def to_float32(values: np.ndarray) -> np.ndarray:
    """Return float32; larger values are clipped to its largest number, since infinity means excluded."""
    most = np.finfo(np.float32).max
    return np.clip(values, -most, most).astype(np.float32)
