"""What a bandit learns from: arms that were chosen, what was known then, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnireco._core.checks import check_names, check_numbers, count_of, name_rows
from omnireco._core.frozen import locked
from omnireco._core.notebook import shown_html
from omnireco.choices.inputs import MOST_REWARD, MOST_WEIGHT, matrix_of_numbers, numbers_or_flags, too_large
from omnireco.data.frames.columns import open_frame
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError, SchemaError

__all__ = ["Feedback"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Feedback:
    """Decisions of the past with their rewards: what :class:`omnireco.LinearBandit` is fitted on.

    Parameters
    ----------
    arms : array-like of int or str, shape (n,)
        The arm of each event.
    contexts : array-like of shape (n, d)
        What was known when it was chosen; scale it to about 1. Shape (n, 0) for a bandit without contexts.
    rewards : array-like of shape (n,)
        What each event earned; scale it to about 1.
    features : array-like of shape (n_arms, q), optional
        What is known of each arm of ``arm_ids``, or of the sorted ids in ``arms``.
    arm_ids : array-like, optional
        All arms in the order in which the model will have them, also those without an event; by default the sorted ids
        in ``arms``.
    weights : array-like of shape (n,), optional
        What an event counts; 1 by default.

    Raises
    ------
    SchemaError
        When shapes disagree, or a number is missing, not finite or too large (contexts and features above 1e6 in size,
        rewards above 1e15, weights above 1e12 or below 0).
    UnknownIdError
        When an arm is not one of ``arm_ids``.
    ParameterError
        When an arm is named twice in ``arm_ids``.

    Notes
    -----
    Arrays are copied and read-only. Feedback has no time: cut the log that it is made from.

    Examples
    --------
    >>> from omnireco.choices import Feedback
    >>> Feedback(["tea", "cup", "tea"], [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [1, 0, 1])
    Feedback(3 events, 2 arms, 2 features)
    """

    arms: Any
    contexts: Any
    rewards: Any
    features: Any = None
    arm_ids: Any = None
    weights: Any = None

    def __post_init__(self) -> None:
        contexts = matrix_of_numbers(self.contexts, "Feedback: contexts")
        known, code = Vocabulary.encode(self.arms, "Feedback: arms")
        order = known if self.arm_ids is None else _ordered(self.arm_ids)
        rows = order.codes(known.ids)[code] if len(known) else code
        rewards = check_numbers(self.rewards, "Feedback: rewards", error=SchemaError)
        weights = None
        if self.weights is not None:
            weights = check_numbers(self.weights, "Feedback: weights", error=SchemaError)
        n = len(contexts)
        if rows.shape != (n,) or rewards.shape != (n,) or (weights is not None and weights.shape != (n,)):
            raise SchemaError(
                f"Feedback: {n:,} contexts, {rows.size:,} arms and {rewards.size:,} rewards"
                f"{'' if weights is None else f' and {weights.size:,} weights'}. Give one each per event."
            )
        bad = ~np.isfinite(rewards)
        if weights is not None:
            bad |= ~(np.isfinite(weights) & (weights >= 0))
        if bad.any():
            raise SchemaError(f"Feedback: a reward or weight is missing, infinite or negative in {name_rows(bad)}.")
        if (large := np.abs(rewards) > MOST_REWARD).any():
            raise SchemaError(too_large("Feedback: a reward", MOST_REWARD, large))
        if weights is not None and (large := weights > MOST_WEIGHT).any():
            raise SchemaError(too_large("Feedback: a weight", MOST_WEIGHT, large))
        features = None if self.features is None else matrix_of_numbers(self.features, "Feedback: features")
        if features is not None and len(features) != len(order):
            raise SchemaError(
                f"Feedback: features must have one row per arm, {len(order):,}. Got {len(features):,}. The arms are "
                "those of arm_ids=, or the sorted ids in arms."
            )
        ids = order.ids[rows] if len(order) else np.empty(0, order.ids.dtype)
        for name, value in (
            ("arms", ids), ("contexts", contexts), ("rewards", rewards), ("features", features),
            ("arm_ids", order.ids), ("weights", weights),
        ):  # fmt: skip
            object.__setattr__(self, name, None if value is None else locked(value))

    def __len__(self) -> int:
        return int(self.rewards.size)

    def __repr__(self) -> str:
        size = f"{count_of(len(self), 'event')}, {count_of(len(self.arm_ids), 'arm')}"
        return f"Feedback({size}, {count_of(self.contexts.shape[1], 'feature')})"

    _repr_html_ = shown_html

    @classmethod
    def from_frame(cls, frame: Any, *, contexts: Iterable[str], features: Any = None, arm_ids: Any = None) -> Feedback:
        """Read a frame of one row per event.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            ``arm_id``, ``reward``, the columns of numbers that ``contexts`` names, and optionally ``weight``.
        contexts : iterable of str
            Columns that were known when the arm was chosen, in this order.
        features, arm_ids : optional
            As in :class:`Feedback`.

        Raises
        ------
        SchemaError
            When a column is missing or of the wrong kind.

        Examples
        --------
        >>> import pandas as pd
        >>> from omnireco.choices import Feedback
        >>> frame = pd.DataFrame({"arm_id": ["tea", "cup"], "reward": [1.0, 0.0], "evening": [True, False]})
        >>> Feedback.from_frame(frame, contexts=["evening"])
        Feedback(2 events, 2 arms, 1 feature)
        """
        names = check_names(contexts, "contexts")
        opened = open_frame(frame, "Feedback.from_frame", needed=("arm_id", "reward", *names), optional=("weight",))
        known, code = opened.ids("arm_id")
        table = [numbers_or_flags(opened, str(name)) for name in names]
        return cls(
            known.ids[code] if len(known) else known.ids,
            np.stack(table, axis=1) if table else np.empty((code.size, 0)),
            opened.numbers("reward"),
            features,
            arm_ids,
            opened.numbers("weight") if "weight" in opened else None,
        )


def _ordered(arm_ids: Any) -> Vocabulary:
    """Return the arms in the order given, each once."""
    known, code = Vocabulary.encode(arm_ids, "Feedback: arm_ids")
    if len(known) < code.size:
        raise ParameterError(f"Feedback: {code.size - len(known):,} arms are named twice in arm_ids. Name each once.")
    return Vocabulary(known.ids[code]) if len(known) else known
