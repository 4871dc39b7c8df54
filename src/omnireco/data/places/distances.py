"""How far people go to a shop: the distance over which a visit becomes e times less likely, from past visits."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_integer, check_number, count_of
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts
from omnireco._core.small import Number, Whole
from omnireco.data.frames.columns import open_frame
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import DataWarning, EmptyError, ParameterError, SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DistanceDecay", "decay_of"]

_MOST_STORES = 2000
_STEPS, _CLOSE, _LEAN = 100, 1e-10, 0.25  # of Newton; a shop's level is N(0, 1 / _LEAN) in log-odds


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DistanceDecay:
    """The kilometres over which a visit becomes e times less likely; made by :meth:`Nearby.decay`.

    Attributes
    ----------
    decay_km, low, high : float
        The estimate and its interval; what ``Candidates.with_shops(decay_km=)`` takes.
    visits, people : int
        Visits to one of a person's nearest shops, and the people who made them.
    elsewhere : int
        Visits to other shops, which are left out.
    confidence : float
        Confidence of the interval, between 0 and 1, such as 0.95.
    """

    decay_km: float
    low: float
    high: float
    visits: int
    people: int
    elsewhere: int
    confidence: float = 0.95

    parts: ClassVar[Parts] = {
        **{name: Number(0.0) for name in ("decay_km", "low", "high")},
        **{name: Whole() for name in ("visits", "people", "elsewhere")},
        "confidence": Number(0.0, 1.0),
    }

    def __repr__(self) -> str:
        return (
            f"DistanceDecay({self.decay_km:.1f} km ({self.low:.1f} to {self.high:.1f}), "
            f"{count_of(self.visits, 'visit')} of {count_of(self.people, 'person', 'people')})"
        )

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return one row: ``decay_km low high visits people elsewhere``."""
        import pandas as pd

        names = ("decay_km", "low", "high", "visits", "people", "elsewhere")
        return pd.DataFrame({name: [getattr(self, name)] for name in names})


def decay_of(
    users: Vocabulary,
    stores: Vocabulary,
    store: np.ndarray,
    distance: np.ndarray,
    visits: Any,
    *,
    confidence: float,
    least_people: int,
) -> DistanceDecay:
    """Return what :meth:`Nearby.decay` returns."""
    from scipy.special import ndtri

    where = "Nearby.decay"
    check_number(confidence, "confidence", above=0.0, high=0.999)
    check_integer(least_people, "least_people", low=5)
    opened = open_frame(visits, where, needed=("user_id", "store_id"))
    people, person = opened.ids("user_id")
    shops, shop = opened.ids("store_id", allow_missing=True)
    who = match(users, people, ("the homes", "the visits"))[person]
    row = np.append(match(stores, shops, ("the shops", "the visits"), column="store_id"), NONE)[shop]
    known = np.flatnonzero((who != NONE) & (row != NONE))
    place = (store[who[known]] == row[known, None]) & np.isfinite(distance[who[known]])
    inside = place.any(axis=1)
    counts = np.zeros(store.shape)
    np.add.at(counts, (who[known[inside]], place[inside].argmax(axis=1)), 1.0)
    elsewhere = int(shop.size - inside.sum())
    choosing = (counts.sum(axis=1) > 0) & ((store != NONE).sum(axis=1) > 1)
    counts, codes, km = counts[choosing], store[choosing], np.where(store[choosing] == NONE, 0.0, distance[choosing])
    if len(counts) < least_people:
        raise EmptyError(
            f"{where}: visits of {count_of(len(counts), 'person', 'people')} with two or more shops near, and "
            f"least_people={least_people} is the minimum. Give more visits, or more shops each: shops.near(homes, k=5)."
        )
    used = np.unique(codes[codes != NONE])
    if used.size > _MOST_STORES:
        raise SchemaError(
            f"{where}: {used.size:,} shops, and at most {_MOST_STORES:,} are taken. Give the visits of one region."
        )
    if elsewhere > shop.size / 2:
        warnings.warn(
            f"{where}: {elsewhere:,} of {shop.size:,} visits are to none of the {store.shape[1]} nearest shops of a "
            "person, and left out: how far people go is underestimated. Give more: shops.near(homes, k=10).",
            DataWarning,
            stacklevel=3,
        )
    slope, error = _slope(counts, codes, km, used)
    z = float(ndtri((1 + confidence) / 2))
    if not slope - z * error > 0:
        raise ParameterError(
            f"{where}: no effect of distance is shown: visits change by {slope:+.3f} +- {z * error:.3f} in log-odds "
            f"per km nearer, over {count_of(len(counts), 'person', 'people')}. Leave decay_km= out, or give more."
        )
    return DistanceDecay(
        1 / slope,
        1 / (slope + z * error),
        1 / (slope - z * error),
        int(counts.sum()),
        len(counts),
        elsewhere,
        confidence,
    )


def _slope(counts: np.ndarray, codes: np.ndarray, km: np.ndarray, used: np.ndarray) -> tuple[float, float]:
    """Return the log-odds per km and its standard error over people, of a choice among each person's shops.

    Conditional logit, by Newton's method: counts, codes and km are (n, k); the first weight is of distance, the others
    are levels of shops.
    """
    n, k = counts.shape
    there = codes != NONE
    column = np.where(there, np.searchsorted(used, codes), 0) + 1
    total, width = counts.sum(axis=1), used.size + 1
    weights, ridge = np.zeros(width), np.r_[0.0, np.full(used.size, _LEAN)]
    flat = (np.repeat(np.arange(n), k), column.ravel())
    for _ in range(_STEPS):
        score = np.where(there, weights[column] - weights[0] * km, -np.inf)
        p = np.exp(score - score.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        apart = counts - total[:, None] * p
        gradient = np.bincount(flat[1], weights=apart.ravel(), minlength=width)
        gradient[0] = -(apart * km).sum()
        gradient -= ridge * weights
        hessian = _information(p, total, km, column, width) + np.diag(ridge)
        step = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        size = float(np.abs(step).max())
        weights = weights + step * min(1.0, 2.0 / max(size, 1e-300))
        if size < _CLOSE:
            break
    # Of the weight of distance alone: what each person's own score moves it by, which allows for people's habits.
    bread = np.linalg.lstsq(hessian, np.eye(width)[0], rcond=None)[0]
    moved = -(apart * km).sum(axis=1) * bread[0] + (apart * bread[column]).sum(axis=1)
    return float(weights[0]), float(np.sqrt((moved**2).sum() * n / max(1, n - 1)))


def _information(p: np.ndarray, total: np.ndarray, km: np.ndarray, column: np.ndarray, width: int) -> np.ndarray:
    """Return the negative second derivative of the log-likelihood, (width, width)."""
    found = np.zeros((width, width))
    k = p.shape[1]
    mean_km = (p * km).sum(axis=1)
    found[0, 0] = (total * ((p * km**2).sum(axis=1) - mean_km**2)).sum()
    cross = total[:, None] * p * (mean_km[:, None] - km)
    found[0] += np.bincount(column.ravel(), weights=cross.ravel(), minlength=width)
    found[1:, 0] = found[0, 1:]
    for one in range(k):
        for other in range(k):
            cell = total * ((p[:, one] if one == other else 0.0) - p[:, one] * p[:, other])
            np.add.at(found, (column[:, one], column[:, other]), cell)
    return found
