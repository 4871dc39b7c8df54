"""What was chosen, arms or creatives, and the probability that it was chosen with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import count_of
from omnireco._core.notebook import shown_rows
from omnireco._core.parts import Array, Parts, coded, freeze, numbers, probabilities
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CreativeChoices", "Decisions"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Decisions:
    """Chosen arms, and the probability that each was chosen with.

    Parameters
    ----------
    arms : Vocabulary
        The arms behind the codes.
    arm : ndarray of shape (n, k), int32
        Chosen arms, first slot first; -1 where none was eligible.
    propensity : ndarray of shape (n, k), float64
        Probability of the arm in its slot, given the slots before; NaN where it was not computed.
    score : ndarray of shape (n, k), float32
        Expected reward of the chosen arm; -inf where there is none.
    ids : ndarray of shape (n,), int64
        Names of the decisions, by which rewards come back.
    """

    arms: Vocabulary
    arm: np.ndarray
    propensity: np.ndarray
    score: np.ndarray
    ids: np.ndarray

    parts: ClassVar[Parts] = {
        "arms": Ids(),
        "ids": Array(np.int64, ("n",), 0),
        "arm": coded("arms", "n", "k", none=True),
        "propensity": numbers("n", "k", low=0.0, high=1.0 + 1e-9, missing=True),
        "score": numbers("n", "k", dtype=np.float32, endless=True),
    }

    def __post_init__(self) -> None:
        freeze(self)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Decisions({len(self):,} of {self.arm.shape[1]} of {count_of(len(self.arms), 'arm')})"

    @property
    def arm_ids(self) -> np.ndarray:
        """Ids of the arms in the first slot, (n,); None where none was eligible."""
        first = self.arm[:, 0]
        if (first >= 0).all():
            return self.arms.decode(first)
        found = np.full(len(self), None, object)
        found[first >= 0] = self.arms.decode(first[first >= 0])
        return found

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_rows("n")

    def to_frame(self) -> pd.DataFrame:
        """Return one row per decision and slot: ``decision_id rank arm_id propensity score``, without empty slots."""
        import pandas as pd

        row, slot = np.nonzero(self.arm >= 0)
        return pd.DataFrame(
            {
                "decision_id": self.ids[row],
                "rank": slot + 1,
                "arm_id": self.arms.decode(self.arm[row, slot]),
                "propensity": self.propensity[row, slot],
                "score": self.score[row, slot],
            }
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CreativeChoices:
    """A creative for each person and item, and the probability that it was chosen with.

    Parameters
    ----------
    users, items, creatives : Vocabulary
        Ids behind the codes: people, items, creatives.
    user, item, creative : ndarray of shape (n,), int32
        ``creative`` is -1 where the item has none that may be shown.
    propensity : ndarray of shape (n,), float64
        Store it with the message: replay starts from it.
    probability : ndarray of shape (n,), float64
        Estimated response probability, with this creative.
    """

    users: Vocabulary
    items: Vocabulary
    creatives: Vocabulary
    user: np.ndarray
    item: np.ndarray
    creative: np.ndarray
    propensity: np.ndarray
    probability: np.ndarray

    parts: ClassVar[Parts] = {
        "users": Ids(people=True),
        "items": Ids(),
        "creatives": Ids(),
        "user": coded("users", "n"),
        "item": coded("items", "n"),
        "creative": coded("creatives", "n", none=True),
        "propensity": probabilities("n", missing=True),
        "probability": probabilities("n", missing=True),
    }

    def __post_init__(self) -> None:
        freeze(self)

    def __len__(self) -> int:
        return int(self.user.size)

    def __repr__(self) -> str:
        return f"CreativeChoices({count_of(len(self), 'choice')}, {count_of(len(self.creatives), 'creative')})"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_rows("n")

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
