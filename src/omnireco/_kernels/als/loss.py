"""The loss of factor models, for the fit and for fold-in: weight, target and ridge of cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnireco._core.checks import check_flag, check_number

__all__ = ["Loss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Weight, target and ridge of every cell and row, by the parameters that :class:`ALS` documents.

    A cell with the number r has weight ``w = alpha |r|`` and target 1, or ``dislike`` where r is negative;
    when ``graded``, weight ``alpha`` and target r. All cells, touched or not, are fitted to 0 with
    ``unobserved_weight``; with ``confidence_weights`` touched cells are spared that pull, as in Hu, Koren and Volinsky.
    ``offset`` is taken off the weight: with 1 the confidence of a cell is ``alpha |r|`` in all, as in implicit.
    """

    regularization: float
    alpha: float
    unobserved_weight: float
    frequency_scaling: float
    confidence_weights: bool
    dislike: float
    graded: bool
    offset: float = 0.0

    def __post_init__(self) -> None:
        check_number(self.regularization, "regularization", above=0)
        check_number(self.alpha, "alpha", above=0)
        check_number(self.unobserved_weight, "unobserved_weight", low=0, high=1e9)
        check_number(self.frequency_scaling, "frequency_scaling", low=0)
        check_flag(self.confidence_weights, "confidence_weights")
        check_number(self.dislike, "dislike", low=-1, high=1)
        check_flag(self.graded, "graded")
        check_number(self.offset, "offset", low=0, high=max(0.0, self.unobserved_weight))

    def cells(
        self, numbers: np.ndarray, targets: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return weight, pull and target of cells, float64 of shape (nnz,).

        The loss of a cell is ``weight s^2 - 2 pull s + pull target`` with s its score, beside the
        ``unobserved_weight s^2`` that every cell has: pull is what stands on the right of the normal equations.
        """
        wide = numbers.astype(np.float64)
        weight = np.full(wide.size, float(self.alpha)) if self.graded else self.alpha * np.abs(wide)
        weight -= self.offset
        if targets is not None:
            target = targets.astype(np.float64)
        else:
            target = wide if self.graded else np.where(wide > 0, 1.0, float(self.dislike))
        pull = (weight + self.unobserved_weight if self.confidence_weights else weight) * target
        return weight, pull, target

    def ridge(self, counts: np.ndarray, n_others: int) -> np.ndarray:
        """Return the ridge of rows with ``counts`` (n,) cells each, float64, when the other side has ``n_others``."""
        size = counts.astype(np.float64) + self.unobserved_weight * n_others
        return np.asarray(self.regularization * size**self.frequency_scaling)
