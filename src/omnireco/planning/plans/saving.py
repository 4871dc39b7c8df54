"""How many messages of a plan could be saved, for how much of its value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_integer, check_number
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts
from omnireco._core.random import stream
from omnireco._core.small import Number, Whole
from omnireco.data.asking.touches import Touches
from omnireco.data.parts import Frame
from omnireco.errors import ParameterError
from omnireco.planning.rules import Constraint

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Saved", "saved", "that_may_go"]

_GRID = np.concatenate([np.linspace(0.5, 0.95, 10), np.linspace(0.96, 1.0, 5)])


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Saved:
    """How many messages of a plan can be dropped while it keeps a share of its value.

    Attributes
    ----------
    at : float
        Share of the value that is kept.
    sends, dropped : int
        Messages of the plan, and how many of them can go.
    low, high : float
        Interval of ``dropped`` as a share of ``sends``, over people: how much it would be for others drawn like these.
        Not in it is that the values are estimates: what a model predicts is more alike, or less, than what is true.
    curve : pandas.DataFrame
        ``kept dropped share low high``: share of the value kept, messages that can go, their share, and its interval.
    confidence : float
        Of the interval, such as 0.95.
    """

    at: float
    sends: int
    dropped: int
    low: float
    high: float
    curve: pd.DataFrame
    confidence: float = 0.95

    parts: ClassVar[Parts] = {
        "at": Number(0.0, 1.0),
        "sends": Whole(),
        "dropped": Whole(),
        "low": Number(0.0, 1.0, missing=True),
        "high": Number(0.0, 1.0, missing=True),
        "curve": Frame((), ("kept", "share", "low", "high")),
        "confidence": Number(0.0, 1.0),
    }

    def __repr__(self) -> str:
        share = self.dropped / self.sends if self.sends else 0.0
        return (
            f"Saved({self.dropped:,} of {self.sends:,} messages ({share:.1%}, {self.low:.1%} to {self.high:.1%} over "
            f"people) can go for {self.at:.4g} of the value)"
        )

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return the curve."""
        return self.curve.copy()


def that_may_go(touches: Touches, rows: Iterable[Any], rules: Iterable[Constraint] | None) -> np.ndarray:
    """Return which touches no floor needs, bool of shape (n,)."""
    free = np.ones(len(touches), np.bool_)
    if not any(row.least for row in rows):
        return free
    if rules is None:
        raise ParameterError(
            "saved: this plan has floors, and came without its constraints, so what a floor needs is not known. Plan "
            "again: om.plan(touches, constraints=[...])."
        )
    for rule in rules:
        made = rule.rows(touches)
        if made.least is not None:
            free[made.touch[made.least[made.row] > 0]] = False
    return free


def saved(
    value: np.ndarray, user: np.ndarray, at: float, *, kept: int, fixed: float, confidence: float, draws: int, seed: int
) -> Saved:
    """Return how many of the messages with these values can go, beside ``kept`` ones that stay, worth ``fixed``.

    The least valuable go first. Intervals: people are resampled with replacement (percentiles), and in each sample the
    least valuable go first again.
    """
    import pandas as pd

    check_number(at, "at", low=0.0, high=1.0)
    check_number(confidence, "confidence", above=0.0, high=0.999)
    check_integer(draws, "draws", low=20, high=100_000)
    order = np.argsort(value, kind="stable")
    value, person = value[order], np.unique(user[order], return_inverse=True)[1]
    levels = np.unique(np.append(_GRID, at))
    whole = _dropped(value, np.ones(value.size), levels, fixed)
    n_people = int(person.max(initial=-1)) + 1
    rng = stream(check_integer(seed, "seed", low=0), "plan/saved")
    found = np.full((draws, levels.size), np.nan)
    for draw in range(draws if n_people > 1 else 0):
        weight = np.bincount(rng.integers(0, n_people, n_people), minlength=n_people)[person].astype(np.float64)
        found[draw] = _dropped(value, weight, levels, fixed) / (weight.sum() + kept)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(found, [tail, 1.0 - tail], axis=0)
    n = value.size + kept
    curve = pd.DataFrame(
        {"kept": levels, "dropped": whole.astype(np.int64), "share": whole / max(1, n), "low": low, "high": high}
    )
    spot = int(np.searchsorted(levels, at))
    return Saved(float(at), n, int(whole[spot]), float(low[spot]), float(high[spot]), curve, confidence)


def _dropped(value: np.ndarray, weight: np.ndarray, levels: np.ndarray, fixed: float) -> np.ndarray:
    """Return the weight of the messages that can go, from the front, for each share of the value that is kept."""
    if not value.size:
        return np.zeros(levels.size)
    lost, gone = np.cumsum(weight * value), np.cumsum(weight)
    at = np.searchsorted(lost, (1.0 - levels) * max(lost[-1] + fixed, 0.0) * (1.0 + 1e-12), side="right")
    return np.append(0.0, gone)[at]
