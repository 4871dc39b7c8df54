"""A creative for each person and item, with the probability that it was chosen with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from omnireco._core.checks import count_of
from omnireco.data.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CreativeChoices"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CreativeChoices:
    """A creative for each person and item, and the probability that it was chosen with.

    Parameters
    ----------
    users, items, creatives : Vocabulary
    user, item, creative : ndarray of shape (n,), int32
        ``creative`` is -1 where the item has none that may be shown.
    propensity : ndarray of shape (n,), float64
        Store it with the message: replay starts from it.
    probability : ndarray of shape (n,), float64
        Chance of an answer that is believed, with this creative.
    """

    users: Vocabulary
    items: Vocabulary
    creatives: Vocabulary
    user: np.ndarray
    item: np.ndarray
    creative: np.ndarray
    propensity: np.ndarray
    probability: np.ndarray

    def __post_init__(self) -> None:
        for array in (self.user, self.item, self.creative, self.propensity, self.probability):
            array.setflags(write=False)

    def __len__(self) -> int:
        return int(self.user.size)

    def __repr__(self) -> str:
        return f"CreativeChoices({count_of(len(self), 'choice')}, {count_of(len(self.creatives), 'creative')})"

    def to_frame(self) -> pd.DataFrame:
        """Return ``user_id item_id creative_id propensity probability``, without items that have no creative."""
        import pandas as pd

        rows = np.flatnonzero(self.creative >= 0)
        return pd.DataFrame(
            {
                "user_id": self.users.decode(self.user[rows]),
                "item_id": self.items.decode(self.item[rows]),
                "creative_id": self.creatives.decode(self.creative[rows]),
                "propensity": self.propensity[rows],
                "probability": self.probability[rows],
            }
        )
