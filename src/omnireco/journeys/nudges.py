"""Nudges worth sending: people who would finish by themselves are left alone."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco._core.checks import (
    check_duration,
    check_instant,
    check_kind,
    check_number,
    check_numbers,
    from_microseconds,
)
from omnireco._core.contract import says_the_line
from omnireco.data.dataset import dataset_of
from omnireco.data.frames.columns import open_frame
from omnireco.errors import ParameterError
from omnireco.journeys.returns import ReturnsModel

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["nudges"]


@says_the_line("om.journeys.nudges(om.journeys.unfinished(data), om.journeys.Returns().fit(data), data)")
def nudges(
    unfinished: Any,
    model: ReturnsModel,
    data: Any,
    *,
    at: Any = None,
    within: Any = "3D",
    effect: Any = 0.1,
    completes: float | None = None,
    margin: Any = 1.0,
    cost: float = 0.0,
) -> pd.DataFrame:
    """Return what a reminder to each person earns, net of those who would have come back by themselves.

    Parameters
    ----------
    unfinished : frame
        With ``user_id``, such as :func:`unfinished` returns: carts, forms, films.
    model : ReturnsModel
        Of :class:`Returns`.
    data : Dataset
        The histories of these people.
    at : datetime, date or str, optional
        Now; the end of the data by default.
    within : str or timedelta
        Until when the activity would have to be finished.
    effect : float, array-like of shape (n,), or a fitted :class:`omnireco.causal.Uplift` of one arm
        Probability that a reminder makes somebody finish who would not have otherwise: measured with a holdout, or a
        row each. Increments (they may be negative) are net of those who finish anyway already: a model gives them for
        the rows of ``unfinished``, with the column ``returns`` among its features where it was learned with it; of
        increments in an array say so, ``completes=0``, or returns are taken off twice.
    completes : float, optional
        Probability that somebody who comes back by themselves finishes: 1 by default, 0 with a model.
    margin : float, or array-like of shape (n,)
        What a finished activity earns.
    cost : float
        Of a reminder, the trouble it gives included.

    Returns
    -------
    pandas.DataFrame
        The rows of ``unfinished`` with ``returns`` (probability that the person comes back by themselves within the
        window), ``returns_low returns_high``, ``value`` (net, expected) and ``nudge`` (whether it is above 0), the
        greatest values first. Where nothing is known of a person, ``returns`` is missing and the value is that without
        a return: they are reached.

    Raises
    ------
    ParameterError
        When a probability lies outside [0, 1] (an effect outside [-1, 1]), an array has not one number per row, or a
        model has several arms or is given with ``completes``.

    Notes
    -----
    ``value = effect (1 - completes P(return)) margin - cost``: a reminder gains nothing from those who finish
    anyway, and a negative effect is never worth it.
    Deterministic; O(n).

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> data = om.simulate(n_users=200, n_items=20, days=90, seed=1).dataset()
    >>> open = om.journeys.unfinished(data, begun="add_to_cart", within="7D")
    >>> model = om.journeys.Returns(horizon="3D").fit(data)
    >>> found = nudges(open, model, data, effect=0.2, margin=10, cost=0.5)
    >>> bool(found.loc[found["nudge"], "returns"].mean() < found.loc[~found["nudge"], "returns"].mean())
    True
    """
    import narwhals as nw
    import pandas as pd

    check_kind(model, ReturnsModel, "nudges: model", "om.journeys.Returns().fit(data)")
    known = dataset_of(data, "nudges", ("events",))
    now = known.end_us if at is None else check_instant(at, "at")
    ahead = check_duration(within, "within")
    opened = open_frame(unfinished, "nudges: unfinished", needed=("user_id",))
    users, user = opened.ids("user_id")
    n = user.size
    learned = getattr(effect, "increments", None)
    gain = np.zeros(n) if callable(learned) else _per_row(effect, "effect", n, low=-1.0, high=1.0)
    earned = _per_row(margin, "margin", n)
    if completes is not None and callable(learned):
        raise ParameterError(
            "nudges: effect is a model, whose increments are net of those who finish anyway. Leave completes= out."
        )
    finish = check_number(1.0 if completes is None else completes, "completes", low=0.0, high=1.0)
    cost = check_number(cost, "cost", low=0.0)
    frame = (
        unfinished if isinstance(unfinished, pd.DataFrame) else nw.from_native(unfinished, eager_only=True).to_pandas()
    )
    found: dict[str, np.ndarray] = dict.fromkeys(("probability", "low", "high"), np.full(len(users), np.nan))
    if len(users):
        requests = known.requests(users.ids, at=from_microseconds(now), new_users=True)
        table = model.returns(requests, within=dt.timedelta(microseconds=ahead))
        found = {name: table[name].to_numpy() for name in found}
    returns = found["probability"][user]
    if callable(learned) and n:
        rows = frame.assign(returns=np.nan_to_num(returns, nan=0.0))
        gain, finish = _of_model(learned(rows, data=known), n), 0.0
    value = gain * (1.0 - finish * np.nan_to_num(returns, nan=0.0)) * earned - cost
    made = frame.assign(
        returns=returns,
        returns_low=found["low"][user],
        returns_high=found["high"][user],
        value=value,
        nudge=value > 0,
    )
    return made.iloc[np.argsort(-value, kind="stable")].reset_index(drop=True)


def _of_model(found: Any, n: int) -> np.ndarray:
    """Return the increments of a model of one arm."""
    table = np.asarray(found, np.float64).reshape(n, -1)
    if table.shape[1] != 1:
        raise ParameterError(
            f"nudges: effect is a model of {table.shape[1]} arms, and a reminder is one. Fit it with one arm, or give "
            "the increments of one: effect=model.increments(rows)[:, 0], completes=0."
        )
    return table[:, 0]


def _per_row(value: Any, name: str, n: int, *, low: float = 0.0, high: float | None = None) -> np.ndarray:
    """Return one number for all rows, or one per row, float64 (n,), within limits."""
    given = check_numbers(value, name)
    if given.shape not in ((), (n,)):
        raise ParameterError(f"{name} must be one number, or one per row ({n:,}). Got the shape {given.shape}.")
    wrong = ~np.isfinite(given) | (given < low) | (given > (np.inf if high is None else high))
    if wrong.any():
        limits = "0 or greater" if high is None else f"between {low:g} and {high:g}"
        raise ParameterError(f"{name} must be finite and {limits}; {int(wrong.sum()):,} are not.")
    return np.broadcast_to(given, (n,))
