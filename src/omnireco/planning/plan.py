"""The touches that will be sent, with what they earn, a bound that no plan exceeds, and why not the others."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.checks import check_number, count_of, name_rows
from omnireco._core.contract import says_the_line
from omnireco._core.frozen import ReadOnly
from omnireco._core.parts import Array, Maybe, Parts, freeze
from omnireco._core.small import Each, Flag, Number, Plain, Settings, Text, Value
from omnireco._core.units import DAY_US
from omnireco.causal.holdouts.holdout import Holdout
from omnireco.data.vocabulary import NONE, match
from omnireco.errors import ParameterError
from omnireco.planning.candidates import Candidates, check_complete, touch_frame
from omnireco.planning.inputs import check_constraints
from omnireco.planning.rules import Budget, Constraint
from omnireco.planning.solving import solved

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Plan", "Price", "plan"]

SENT, NO_VALUE, NOT_CHOSEN, HELD_OUT = "sent", "no value", "not chosen", "holdout"
_MOST_IN_INT8 = 124  # constraints whose positions, after three other reasons (and before the holdout), an int8 holds
_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Price:
    """What one constraint (or one row of it) allows and uses, and its shadow price.

    Attributes
    ----------
    constraint, row : str
        The constraint's name; the row's label, ``"each person"`` for all rows of single people together.
    used, limit : float
        In the constraint's units (money for a budget); sums for ``"each person"``.
    price : float
        Value of one more unit of the limit; the mean over the rows for ``"each person"``.
    """

    constraint: str
    row: str
    used: float
    limit: float
    price: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Plan:
    """Touches to send, their value, and a bound that no plan exceeds.

    Attributes
    ----------
    touches : Candidates
        What was to choose from.
    reason : int8 array (int32 above 124 constraints), shape (n,)
        Per candidate, the position in ``reasons``: 0 is sent.
    reasons : tuple of str
        ``"sent"``, ``"no value"``, ``"not chosen"``, then the names of the constraints, and ``"holdout"``.
    value : float
        Sum of the values of the touches sent.
    bound : float
        Upper bound of the value of any plan under these constraints.
    exact : bool
        Whether a search has proven the plan to be the best one, to within the solver's tolerance.
    costs : mapping of str to float
        Cost of a touch by channel, from the budgets.
    holdout : Holdout or None
        Who of these people gets nothing, by lot; for :func:`omnireco.causal.holdout_report`.
    """

    touches: Candidates
    reason: np.ndarray
    reasons: tuple[str, ...]
    value: float
    bound: float
    exact: bool
    costs: Mapping[str, float]
    rows: tuple[Price, ...]
    holdout: Holdout | None = None

    parts: ClassVar[Parts] = {
        "touches": Value((Candidates,)),
        "reason": Array(np.int8, ("touches.n",), 0),
        "reasons": Each(Text()),
        "value": Number(),
        "bound": Number(),
        "exact": Flag(),
        "costs": Plain(Mapping[str, float]),
        "rows": Each(Settings(Price)),
        "holdout": Maybe(Value((Holdout,))),
    }

    def __post_init__(self) -> None:
        freeze(self)
        object.__setattr__(self, "costs", ReadOnly(self.costs))

    def __len__(self) -> int:
        return int((self.reason == 0).sum())

    def __repr__(self) -> str:
        n = len(self)
        people = np.unique(self.touches.touches.user[self.reason == 0]).size
        made = "" if self.touches.made_of == "given" else f" of {self.touches.made_of}"
        return (
            f"Plan({n:,} touch{'' if n == 1 else 'es'} to {people:,} user{'' if people == 1 else 's'}, "
            f"value {self.value:.6g}{made}, bound {self.bound:.6g}, gap {self.optimality_gap:.2g}"
            f"{'' if self.holdout is None else f', {self.holdout.share:.3g} held out'})"
        )

    def _repr_html_(self) -> str:
        """Return the summary as a table, for notebooks."""
        table: str = self.summary().to_html(index=False)
        return f"<p>{self!r}</p>{table}"

    @property
    def optimality_gap(self) -> float:
        """By how much of the bound the plan could at most be better: (bound - value) / bound."""
        return (self.bound - self.value) / self.bound if self.bound > 0 else 0.0

    @property
    def prices(self) -> pd.DataFrame:
        """What each constraint allows and uses, and its shadow price, as a frame.

        Columns ``constraint``, ``row``, ``used``, ``limit``, ``price``; see :class:`Price`.
        """
        import pandas as pd

        names = ["constraint", "row", "used", "limit", "price"]
        return pd.DataFrame([[getattr(row, name) for name in names] for row in self.rows], columns=names)

    @property
    def left_out(self) -> dict[str, int]:
        """How many touches were not sent, by reason: the rules in order of application, then the planner's."""
        counts = np.bincount(self.reason, minlength=len(self.reasons))
        found = dict(self.touches.left_out)
        for name, count in zip(self.reasons[1:], counts[1:], strict=True):
            if count or name in found:
                found[name] = found.get(name, 0) + int(count)
        return found

    def to_frame(self) -> pd.DataFrame:
        """Return what to send, in the order (send_at, user), as a pandas frame.

        Columns ``user_id``, ``item_id``, ``channel``, ``send_at`` (UTC), ``send_at_local`` (the person's wall
        clock, NaT where the zone is unknown), ``creative_id`` (where given), ``probability``, ``value``, then
        ``made_of``, where values are made of increments, ``store_id`` and ``offer_id`` where given, and with a holdout
        ``propensity``: the probability with which the person was not held out, for the message log.
        ``plan.holdout.to_frame()`` has the people held out.
        """
        frame = touch_frame(self.touches, np.flatnonzero(self.reason == 0))
        return frame if self.holdout is None else frame.assign(propensity=1.0 - self.holdout.share)

    def to_arrow(self) -> Any:
        """Return what to send as a pyarrow Table, columns as in ``to_frame``."""
        import pyarrow as pa

        return pa.Table.from_pandas(self.to_frame(), preserve_index=False)

    def why_not(self) -> pd.DataFrame:
        """Return every candidate that is not sent and the reason, as a pandas frame.

        Columns as in ``to_frame``, and ``reason``: ``"no value"`` for a value of 0 or less, else the constraint
        that stands in its way; where several do, the one whose capacity is most expensive. ``"holdout"`` for people who
        are held out. Touches that a rule took
        away before the planner saw them are counted in ``left_out``.
        """
        rows = np.flatnonzero(self.reason != 0)
        reason = np.array(self.reasons, object)[self.reason[rows]]
        return touch_frame(self.touches, rows, reason=reason)

    def summary(self) -> pd.DataFrame:
        """Return one row per channel and UTC day of what is sent, as a pandas frame.

        Columns ``channel``, ``day``, ``sends``, ``users``, ``cost`` (NaN without a budget),
        ``expected_responses`` (NaN where a probability is not known), ``value``.
        """
        import pandas as pd

        sent = np.flatnonzero(self.reason == 0)
        t = self.touches.touches
        names = t.channels.decode(t.channel[sent])
        chance = self.touches.probability
        frame = pd.DataFrame(
            {
                "channel": names,
                "day": (t.send_at[sent] // DAY_US * DAY_US).view("datetime64[us]"),
                "user": t.user[sent],
                "cost": np.array([self.costs.get(name, np.nan) for name in names], np.float64),
                "expected_responses": np.full(sent.size, np.nan) if chance is None else chance[sent],
                "value": self.touches.value[sent],
            }
        )
        groups = frame.groupby(["channel", "day"], sort=True)
        table = pd.DataFrame(
            {
                "sends": groups.size(),
                "users": groups["user"].nunique(),
                "cost": groups["cost"].sum(min_count=1),
                "expected_responses": groups["expected_responses"].agg(lambda chance: chance.sum(skipna=False)),
                "value": groups["value"].sum(),
            }
        )
        return table.reset_index()


@says_the_line("om.plan(touches, constraints=[om.FrequencyCap(3, per='7D')])")
def plan(
    touches: Candidates,
    *,
    constraints: Iterable[Constraint] = (),
    holdout: float | Holdout | None = None,
    experiment: str = "holdout",
    seed: int = 0,
) -> Plan:
    """Return the touches to send: the greatest value under all constraints, with a proof of how good it is.

    Parameters
    ----------
    touches : Candidates
        From :func:`candidates` or ``Candidates.from_frame``.
    constraints : iterable of Constraint
        Frequency caps, budgets, capacities, or rules of one's own. Constraints that the touches imply (once per
        item) are added.
    holdout : float or Holdout, optional
        The share of people who get nothing, by lot, so that :func:`omnireco.causal.holdout_report` can say what the
        messages earned; or who was drawn before. None holds nobody out.
    experiment : str
        Name of the experiment. The same name, seed and share hold the same people out in every plan.
    seed : int
        Of the lot.

    Returns
    -------
    Plan
        Value and bound are those of the people who are not held out.

    Raises
    ------
    ParameterError
        When ``touches`` is not a Candidates or holds touches without consent or address, a rule is not a Constraint or
        names a channel that nothing has, two budgets of a channel differ in its cost, a constraint's rows are
        malformed, or a holdout does not know some of the people.

    Notes
    -----
    Only touches with a value above 0 are sent, and others where a floor needs them. Deterministic, and independent of
    the order of the caller's rows.
    Small problems are solved exactly by branch and bound; large ones to a gap that is reported: about 20 seconds
    for a million touches (see :mod:`omnireco._kernels.packing` and ``benchmarks/plan.py``).

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.planning.candidates import Candidates
    >>> from omnireco.planning.rules import FrequencyCap
    >>> frame = pd.DataFrame({"user_id": [1, 1], "item_id": ["tea", "cup"], "channel": ["push", "email"],
    ...                       "send_at": pd.to_datetime(["2025-06-01 09:00", "2025-06-01 18:00"], utc=True),
    ...                       "value": [0.5, 0.2]})
    >>> best = plan(Candidates.from_frame(frame), constraints=[FrequencyCap(1, per="7D")])
    >>> best.value, best.to_frame()["item_id"].tolist(), best.why_not()["reason"].tolist()
    (0.5, ['tea'], ["FrequencyCap(1, per='7D')"])
    """
    _check_candidates(touches)
    drawn = _drawn(touches, holdout, experiment, seed)
    out = None if drawn is None else _held(touches, drawn)
    used = (*touches.implied, *check_constraints(constraints))
    costs = _costs(used)
    answer = solved(touches, used, out=out)
    found = answer.found
    reason = (answer.block + 3).astype(np.int8 if len(used) <= _MOST_IN_INT8 else np.int32)
    reason[(answer.block < 0) & ~found.chosen] = 2
    reason[(touches.value <= 0) & ~found.chosen] = 1
    reason[found.chosen] = 0
    if out is not None:
        reason[out] = 3 + len(used)
    result = Plan(
        touches,
        reason,
        (SENT, NO_VALUE, NOT_CHOSEN, *(rule.name for rule in used), *([] if drawn is None else [HELD_OUT])),
        found.value,
        found.bound,
        found.exact,
        costs,
        tuple(Price(*line[:5]) for line in answer.prices(used)),
        drawn,
    )
    _log.info("plan: %d of %d touches, gap %.2g", len(result), len(touches), result.optimality_gap)
    return result


def _check_candidates(touches: Any) -> None:
    """Refuse what is no set of candidates, and touches that may not be sent."""
    if not isinstance(touches, Candidates):
        several = isinstance(touches, (list, tuple)) and all(isinstance(part, Candidates) for part in touches)
        fix = (
            "plan(om.planning.Candidates.concat([a, b]), ...)"
            if several
            else "plan(om.planning.Candidates.from_frame(frame), ...)"
        )
        raise ParameterError(
            f"plan takes Candidates. Got {type(touches).__name__}. Write {fix}, or make them with om.candidates(...)."
        )
    if not touches.sources.complete:
        check_complete(touches, "plan")
    closed = ~(touches.touches.consent & touches.touches.reachable)
    if closed.any():
        raise ParameterError(
            f"plan: {name_rows(closed)} of the touches have no consent or no address. Make them with "
            "om.planning.Candidates.from_frame(frame, om.Dataset(audience=people)), which leaves those out."
        )


def _drawn(touches: Candidates, holdout: Any, experiment: Any, seed: int) -> Holdout | None:
    """Return who of these people is held out."""
    if holdout is None or isinstance(holdout, Holdout):
        return holdout
    share = check_number(holdout, "holdout", above=0.0)
    return Holdout.draw(touches.touches.users, share=share, experiment=experiment, seed=seed)


def _held(touches: Candidates, drawn: Holdout) -> np.ndarray:
    """Return which touches are of people held out; somebody whom the lot does not know is an error."""
    row = match(drawn.users, touches.touches.users, ("holdout", "candidates"))
    if unknown := int((row[np.unique(touches.touches.user)] == NONE).sum()):
        raise ParameterError(
            f"plan: {count_of(unknown, 'person is', 'people are')} not in this holdout, so no lot says whether to "
            "write "
            "to them. Draw with everybody who may get a message, om.causal.Holdout.draw(data.users.ids, share=0.1), or "
            "write holdout=0.1: the same seed and experiment draw the same people again."
        )
    return np.asarray(np.append(drawn.held, False)[row][touches.touches.user])


def _costs(used: Iterable[Constraint]) -> dict[str, float]:
    """Return what a touch of each channel costs by its budgets; two that say different things are an error."""
    costs: dict[str, float] = {}
    for budget in (rule for rule in used if isinstance(rule, Budget)):
        for channel, cost in budget.costs.items():
            if costs.setdefault(channel, cost) != cost:
                raise ParameterError(
                    f"plan: a touch of {channel!r} costs {costs[channel]:g} in one budget and {cost:g} in another. "
                    f"Write one Budget({channel!r}, cost=..., total=...) with the whole cost; for a limit in another "
                    "unit write a Constraint of your own, or FrequencyCap and Capacity."
                )
    return costs
