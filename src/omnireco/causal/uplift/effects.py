"""Effects with their intervals: one row per arm, and per group where asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_integer, check_number, count_of
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts
from omnireco._core.small import Number, Text, Whole
from omnireco.data.parts import Frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Effects"]

LEAST_PEOPLE = 5


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Effects:
    """What arms do, with intervals.

    Attributes
    ----------
    what : str
        What the effects are, such as ``"difference to no message"``.
    table : pandas.DataFrame
        ``arm group effect low high rows people``; further columns where the verb that made it says so. Effect and
        interval are NaN in a group of fewer than k people, whose counts are 0.
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    rows : int
        Rows that were looked at.
    """

    what: str
    table: pd.DataFrame
    confidence: float
    rows: int

    parts: ClassVar[Parts] = {
        "what": Text(),
        "table": Frame(("arm", "group"), ("effect", "low", "high")),
        "confidence": Number(0.0, 1.0),
        "rows": Whole(),
    }

    def __repr__(self) -> str:
        return f"Effects({self.what}: {count_of(len(self.table), 'line')}, {count_of(self.rows, 'row')})"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table.copy()


def z_of(confidence: float) -> float:
    """Return the half width of a normal interval, in standard errors."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + check_number(confidence, "confidence", above=0, high=0.999999) / 2))


def clustered_mean(values: np.ndarray, user: np.ndarray) -> tuple[float, float, int]:
    """Return the mean over rows, its standard error over people, and how many people there are."""
    _, person = np.unique(user, return_inverse=True)
    n_people = int(person.max(initial=-1)) + 1
    mean = float(values.mean())
    sums = np.bincount(person, weights=values - mean, minlength=n_people)
    error = float(np.sqrt((sums**2).sum() * n_people / max(n_people - 1, 1)) / values.size)
    return mean, error, n_people


def line(arm: str, group: str, values: np.ndarray, user: np.ndarray, z: float, k: int) -> dict[str, Any]:
    """Return one line of a table: a mean over rows with its interval; withheld with fewer than k people."""
    people = int(np.unique(user).size)
    if people < max(k, 2):
        nothing = dict.fromkeys(("effect", "low", "high"), np.nan)
        return {"arm": arm, "group": group, **nothing, "rows": 0, "people": 0}
    mean, error, _ = clustered_mean(values, user)
    ends = {"effect": mean, "low": mean - z * error, "high": mean + z * error}
    return {"arm": arm, "group": group, **ends, "rows": int(values.size), "people": people}


def check_least(k: Any) -> int:
    """Return the least number of people in a cell of a report."""
    return check_integer(k, "k", low=1)
