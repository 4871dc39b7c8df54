"""The touches that will be sent, with what they earn, a bound that no plan exceeds, and why not the others."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_integer, check_number, count_of, name_rows
from omnireco._core.compute import Progress, ticker
from omnireco._core.contract import says_the_line
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Array, Maybe, Parts, Record, freeze, numbers
from omnireco._core.small import Each, Flag, Number, Plain, Settings, Text, Value
from omnireco.causal.holdouts.holdout import Holdout
from omnireco.data.vocabulary import NONE, match
from omnireco.errors import ParameterError
from omnireco.planning.candidates import Candidates, check_complete, touch_frame
from omnireco.planning.inputs import check_constraints
from omnireco.planning.plans.exploring import Explored, Problem, Swaps, as_swaps, explored
from omnireco.planning.plans.saving import Saved, saved, that_may_go
from omnireco.planning.plans.tables import load_of, of_person, reach_of, summary_of
from omnireco.planning.plans.triggered import Verdict, verdict_of
from omnireco.planning.plans.whatif import WhatIf, exchanged
from omnireco.planning.rules import Budget, Constraint
from omnireco.planning.solving import solved

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Plan", "Price", "plan"]

SENT, NO_VALUE, NOT_CHOSEN, HELD_OUT, SWAPPED = "sent", "no value", "not chosen", "holdout", "exploration"
_ROUNDING = 1e-12  # of a sum in float64: a smaller gap is none
_MOST_IN_INT8 = 122  # constraints whose positions, beside the other reasons, an int8 holds
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
        Value of one more unit of the limit; the mean over the rows for ``"each person"``. Negative where a floor binds:
        what one unit less of it is worth.
    least : float
        The floor; 0 for none.
    """

    constraint: str
    row: str
    used: float
    limit: float
    price: float
    least: float = 0.0


@dataclass(frozen=True, slots=True, eq=False, repr=False, weakref_slot=True)
class Plan:
    """Touches to send, their value, and a bound that no plan exceeds.

    Attributes
    ----------
    touches : Candidates
        What was to choose from.
    reason : int8 array (int32 above 124 constraints), shape (n,)
        Per candidate, the position in ``reasons``: 0 is sent.
    reasons : tuple of str
        ``"sent"``, ``"no value"``, ``"not chosen"``, then the names of the constraints, ``"holdout"``, and
        ``"exploration"`` for planned touches in whose place another one is sent.
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
    reduced : float64 array, shape (n,), or None
        Reduced value of each candidate: its value less the shadow prices of all that it uses.
    constraints : tuple of Constraint, or None
        What the plan was made under, those that the touches brought along first.
    exploration : Explored or None
        Which touches were alternatives of which, and the propensity of each.
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
    reduced: np.ndarray | None = None
    constraints: tuple[Constraint, ...] | None = None
    exploration: Explored | None = None

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
        "reduced": Maybe(numbers("touches.n")),
        "constraints": Maybe(Each(Value((Constraint,)))),
        "exploration": Maybe(Record(Explored)),
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
        gap = self.optimality_gap if self.optimality_gap > _ROUNDING else 0.0
        return (
            f"Plan({n:,} touch{'' if n == 1 else 'es'} to {people:,} user{'' if people == 1 else 's'}, "
            f"value {self.value:.6g}{made}, bound {self.bound:.6g}, gap {gap:.2g}"
            f"{'' if self.holdout is None else f', {self.holdout.share:.3g} held out'}"
            f"{'' if self.exploration is None else f', {self.exploration.swaps.share:.3g} explored'})"
        )

    @property
    def optimality_gap(self) -> float:
        """By how much of the bound the plan could at most be better: (bound - value) / bound."""
        return (self.bound - self.value) / self.bound if self.bound > 0 else 0.0

    @property
    def prices(self) -> pd.DataFrame:
        """What each constraint allows and uses, and its shadow price, as a frame.

        Columns ``constraint``, ``row``, ``used``, ``limit``, ``price``, and ``least`` where there are floors; see
        :class:`Price`.
        """
        import pandas as pd

        floors = ["least"] if any(row.least for row in self.rows) else []
        names = ["constraint", "row", "used", "limit", "price", *floors]
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

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return what to send, in the order (send_at, user), as a pandas frame.

        Columns ``user_id``, ``item_id``, ``channel``, ``send_at`` (UTC), ``send_at_local`` (the person's wall
        clock, NaT where the zone is unknown), ``creative_id`` (where given), ``probability``, ``value``, then
        ``made_of``, where values are made of increments, ``store_id`` and ``offer_id`` where given. With a holdout or
        exploration ``propensity``: the exact probability with which the touch is sent, for the message log; with
        exploration ``explored``: whether it stands in the place of a better one.
        ``plan.holdout.to_frame()`` has the people held out.
        """
        rows = np.flatnonzero(self.reason == 0)
        frame = touch_frame(self.touches, rows)
        chance = np.full(rows.size, 1.0 if self.holdout is None else 1.0 - self.holdout.share)
        if self.exploration is not None:
            chance *= self.exploration.propensity[rows]
            return frame.assign(propensity=chance, explored=~self.exploration.planned[rows])
        return frame if self.holdout is None else frame.assign(propensity=chance)

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
        return summary_of(self)

    def why(self, user_id: Any) -> pd.DataFrame:
        """Return every candidate of one person: sent, or the reason why not, and its reduced value.

        Parameters
        ----------
        user_id : id
            Id of the person.

        Returns
        -------
        pandas.DataFrame
            Columns as in ``to_frame``, ``reason`` (``"sent"``, else as in :meth:`why_not`), and ``reduced_value``: the
            value less the shadow prices of all that the touch uses; NaN in a plan without them.

        Raises
        ------
        UnknownIdError
            When the person has no candidate.
        """
        return of_person(self, user_id)

    def load(self, *, per: Any = None) -> pd.DataFrame:
        """Return how many messages leave in each cell of time, per channel, beside the capacity.

        Parameters
        ----------
        per : duration, optional
            Length of a cell; by default that of the channel's shortest Capacity, else an hour.

        Returns
        -------
        pandas.DataFrame
            ``channel start_at sends capacity price``: UTC starts of the cells with a message; the least capacity of
            cells of this length and its shadow price, NaN where there is none.
        """
        return load_of(self, per)

    def reach(self, *, k: int = 5) -> pd.DataFrame:
        """Return reach and frequency: how many people get how many messages, per channel and over all.

        Parameters
        ----------
        k : int
            Cells of fewer people are NaN, and with them the next smallest, so that none follows from a total.

        Returns
        -------
        pandas.DataFrame
            ``channel messages people share``: ``"all"`` first; the share is of people who have candidates.
        """
        return reach_of(self, k)

    def saved(self, at: float = 0.98, *, confidence: float = 0.95, draws: int = 200, seed: int = 0) -> Saved:
        """Return how many messages could be dropped while the plan keeps a share of its value.

        The last messages of a plan earn least; each still costs attention.

        Parameters
        ----------
        at : float
            Share of the value that is kept.
        confidence : float
            Of the interval, over people; see the notes.
        draws, seed : int
            Of the bootstrap of people.

        Returns
        -------
        Saved
            The number, its interval, and the whole curve.

        Notes
        -----
        By the values of the plan: where they are chances instead of increments, messages to people who would come
        anyway count. The interval is over people alone: who they happen to be. How well the values are known is not in
        it, and cannot be read off a plan; hold people out (``holdout=``) and measure it. Messages that a floor needs
        stay. Deterministic; ``draws`` passes over the messages.
        """
        rows = np.flatnonzero(self.reason == 0)
        rows = rows[that_may_go(self.touches.touches, self.rows, self.constraints)[rows]]
        kept = len(self) - rows.size
        fixed = self.value - float(self.touches.value[rows].sum())
        user = self.touches.touches.user[rows]
        return saved(
            self.touches.value[rows], user, at, kept=kept, fixed=fixed, confidence=confidence, draws=draws, seed=seed
        )

    def accept(self, touch: Mapping[str, Any]) -> Verdict:
        """Return whether one more message, triggered by what a person just did, may be sent beside the plan.

        Parameters
        ----------
        touch : mapping
            ``user_id item_id channel send_at value``, and where given ``creative_id store_id offer_id``.

        Returns
        -------
        Verdict
            Yes where every rule and limit is kept, what the plan gives this person included, and where the value is
            above the shadow prices of what it uses.

        Raises
        ------
        ParameterError
            When the touch lacks something, or the plan came without its rules.

        Notes
        -----
        The first call lays the plan out by person; each further one takes some tenths of a millisecond. The plan does
        not change: two calls do not know of each other. :class:`LivePlan` counts what it accepted.

        Examples
        --------
        >>> import pandas as pd, omnireco as om
        >>> frame = pd.DataFrame({"user_id": [1, 2], "item_id": "tea", "channel": "push", "value": [0.5, 0.2],
        ...                       "send_at": pd.to_datetime(["2025-06-01 09:00"] * 2, utc=True)})
        >>> made = om.plan(om.planning.Candidates.from_frame(frame), constraints=[om.FrequencyCap(1, per="24h")])
        >>> asked = {"user_id": 1, "item_id": "cup", "channel": "push", "send_at": "2025-06-01T18:00Z", "value": 0.3}
        >>> made.accept(asked).reason, made.accept(asked | {"send_at": "2025-06-03T18:00Z"}).reason
        ("FrequencyCap(1, per='24h')", 'accepted')
        """
        return verdict_of(self, touch)

    def with_limit(self, rule: Constraint | None, *, instead_of: str | None = None) -> WhatIf:
        """Return what another limit would do: the same candidates, planned again.

        Parameters
        ----------
        rule : Constraint or None
            The constraint as it would be; None takes one away.
        instead_of : str, optional
            Name of the constraint that it replaces, as in ``plan.prices``; by default the one that differs from it in
            the limit alone.

        Returns
        -------
        WhatIf
            Both plans and a table. Same holdout, same exploration; the search begins with this plan and its prices.

        Raises
        ------
        ParameterError
            When it is not clear which constraint is meant, or the plan came without its rules.

        Examples
        --------
        >>> import pandas as pd, omnireco as om
        >>> frame = pd.DataFrame({"user_id": [1, 2], "item_id": "tea", "channel": "sms", "value": [0.5, 0.2],
        ...                       "send_at": pd.to_datetime(["2025-06-01 09:00"] * 2, utc=True)})
        >>> made = om.plan(om.planning.Candidates.from_frame(frame), constraints=[om.Budget("sms", cost=1, total=1)])
        >>> made.with_limit(om.Budget("sms", cost=1, total=2))
        WhatIf(Budget('sms') -> another limit: value 0.5 -> 0.7, 1 -> 2 messages)
        """
        check_complete(self.touches, "with_limit")
        if self.constraints is None:
            raise ParameterError(
                "with_limit: this plan came without its constraints, as one from a file with rules of one's own does. "
                "Plan again: om.plan(touches, constraints=[...])."
            )
        if rule is not None:
            (rule,) = check_constraints([rule])
        rules, changed = exchanged(self.constraints, rule, instead_of)
        drawn = self.exploration
        chosen = self.reason == 0 if drawn is None else drawn.planned
        swaps, seed = (None, 0) if drawn is None else (drawn.swaps, drawn.seed)
        after = _made(self.touches, rules, self.holdout, swaps, seed, warm=self.rows, start=chosen)
        return WhatIf(self, after, changed, "nothing" if rule is None else rule.name)


@says_the_line("om.plan(touches, constraints=[om.FrequencyCap(3, per='7D')])")
def plan(
    touches: Candidates,
    *,
    constraints: Iterable[Constraint] = (),
    holdout: float | Holdout | None = None,
    explore: float | Swaps | None = None,
    experiment: str = "holdout",
    seed: int = 0,
    progress: Progress = False,
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
    explore : float or Swaps, optional
        The share of people, by lot, who get a feasible alternative in place of one planned touch, so that what else
        there is can be learned and :func:`omnireco.causal.off_policy` can value other plans; or the whole scheme. Every
        limit is kept, and the frame has the exact propensity of each touch.
    experiment : str
        Name of the experiment. The same name, seed and share hold the same people out in every plan.
    seed : int
        Of the lots. Who is explored differs from one first instant of the candidates to another, too.
    progress : bool or callable(done, total)
        A bar over the three parts: constraints written out, solved, reasons found.

    Returns
    -------
    Plan
        Value and bound are those of the people who are not held out. With exploration the value is that of what is
        sent, and the bound that of the best plan: the gap has the price of exploration in it.

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
    Small problems are solved exactly by branch and bound; large ones to a gap that is reported. A million people of 32
    touches under 324 budgets and hours and a cap take some 12 seconds of CPU, on all cores, and 3 GB, the touches
    included; with windows shorter than the plan, floors or offers some 20 seconds for a million touches (see
    ``benchmarks/planning.py``). Touches that do not fit in memory: :func:`omnireco.planning.plan_files`.

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
    swaps = as_swaps(explore, len(touches))
    used = (*touches.implied, *check_constraints(constraints))
    with ticker(3, progress, label="plan") as tick:
        return _made(touches, used, drawn, swaps, check_integer(seed, "seed", low=0), tick=tick)


def _made(
    touches: Candidates,
    used: tuple[Constraint, ...],
    drawn: Holdout | None,
    swaps: Swaps | None,
    seed: int,
    *,
    warm: Iterable[Price] = (),
    start: np.ndarray | None = None,
    tick: Callable[[], object] = lambda: None,
) -> Plan:
    """Return the plan under some constraints, those that the touches imply included."""
    out = None if drawn is None else _held(touches, drawn)
    costs = costs_of(used)
    done = solved(touches, used, out=out, warm=warm, start=start, matrix_needed=swaps is not None, tick=tick)
    found = done.found
    reason = np.where(done.block >= 0, done.block + 3, 2).astype(np.int8 if len(used) <= _MOST_IN_INT8 else np.int32)
    reason[touches.value <= 0] = 1
    reason[found.chosen] = 0
    reasons = [SENT, NO_VALUE, NOT_CHOSEN, *(rule.name for rule in used)]
    if out is not None:
        reason[out] = len(reasons)
        reasons.append(HELD_OUT)
    value, trial = found.value, None
    if swaps is not None:
        groups = [one for rule in used if (one := rule.choices(touches.touches)) is not None]
        problem = Problem(done.matrix, done.limit, done.least, groups)
        sent, trial = explored(touches, found.chosen, found.reduced, problem, swaps, out=out, seed=seed)
        reason[found.chosen & ~sent] = len(reasons)
        reason[sent] = 0
        reasons.append(SWAPPED)
        value = math.fsum(touches.value[sent])
    result = Plan(
        touches,
        reason,
        tuple(reasons),
        value,
        found.bound,
        bool(found.exact and value == found.value),
        costs,
        tuple(Price(*line) for line in done.prices(used)),
        drawn,
        found.reduced,
        used,
        trial,
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


def costs_of(used: Iterable[Constraint]) -> dict[str, float]:
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
