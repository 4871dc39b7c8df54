"""A plan for people who lie in partitions of Spark: one set of prices, a plan per part, one certificate for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco._core.checks import check_integer, check_number, count_of, shown
from omnireco._kernels.packing.bounds import meant
from omnireco._kernels.packing.people import descended
from omnireco._kernels.packing.problem import TOLERANCE
from omnireco.causal.holdouts.holdout import HELD, TREATED, Holdout
from omnireco.errors import InfeasibleError, ParameterError
from omnireco.planning.inputs import check_constraints
from omnireco.planning.plan import Price
from omnireco.planning.rules import Constraint
from omnireco.planning.rules.offers import OneOffer
from omnireco.spark.parts import Held, Parts, blocks_here, compiled, words_of
from omnireco.spark.passes import first_prices, sent, summed, taken
from omnireco.spark.pricing import ENOUGH, PASSES, more_for, shares
from omnireco.spark.shipping import check_same_ids, columns_of, private, renamed, spark_frame
from omnireco.spark.touches import message_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SparkPlan", "plan"]

_WHERE = "om.spark.plan"
_PEOPLE = 20_000  # of a part
_HERE = 1 << 28  # bytes of parts (some 6 million touches) that are priced here, as a job costs more than their sums
_ROUNDS = 4  # in which what is left of the limits goes to parts that could use it
_NEAR, _WIDE, _NARROW = 0.25, 0.5, 0.05  # of the mean value, as on one machine
_PUSHES = 6  # by which prices of floors are raised until they are met
_COLUMNS = {
    "user_id": "id",
    "item_id": "id",
    "channel": "text",
    "send_at": "instant",
    "value": "number",
    "probability": "number?",
    "creative_id": "id?",
    "store_id": "id?",
    "offer_id": "id?",
    "kind": "text?",
    "campaign_id": "id?",
    **dict.fromkeys(
        ("increment", "margin", "channel_cost", "reward_cost", "fatigue_cost", "unsubscribe_cost", "complaint"),
        "number?",
    ),
    "points": "number?",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SparkPlan:
    """A plan for people in Spark: what to send as a DataFrame, its value, and a bound that no plan exceeds.

    Attributes
    ----------
    touches : pyspark.sql.DataFrame
        The touches to send, with the columns that were given; nothing runs until it is asked, and each time the same.
    value : float
        Sum of their values.
    bound : float
        Upper bound of the value of any plan under these constraints, of all people together.
    rows : tuple of Price
        What each row of several people allows and uses, over all parts, and its shadow price.
    n_touches, n_candidates, n_people, n_parts : int
        Touches sent, candidates, people with candidates, and parts.
    passes : int
        Passes over everybody that the prices took: jobs, where the parts do not fit on this machine.
    holdout : pyspark.sql.DataFrame or None
        ``user_id group propensity`` of everybody with candidates, as ``Holdout.to_frame`` has them. None holds nobody
        out.
    n_held : int
        People held out.
    """

    touches: Any
    value: float
    bound: float
    rows: tuple[Price, ...]
    n_touches: int
    n_candidates: int
    n_people: int
    n_parts: int
    passes: int
    holdout: Any = None
    n_held: int = 0

    def __repr__(self) -> str:
        sent = count_of(self.n_touches, "touch", "touches")
        return (
            f"SparkPlan({sent} of {self.n_candidates:,} for {count_of(self.n_people, 'person', 'people')} in "
            f"{count_of(self.n_parts, 'part')}, value {self.value:.6g}, bound {self.bound:.6g}, gap "
            f"{self.optimality_gap:.2g}{f', {self.n_held:,} held out' if self.holdout is not None else ''})"
        )

    @property
    def optimality_gap(self) -> float:
        """By how much of the bound the plan could at most be better: (bound - value) / bound."""
        return (self.bound - self.value) / self.bound if self.bound > 0 else 0.0

    @property
    def prices(self) -> pd.DataFrame:
        """What each row of several people allows and uses, and its shadow price; columns as in ``Plan.prices``."""
        import pandas as pd

        names = ["constraint", "row", "used", "limit", "price", "least"]
        return pd.DataFrame([[getattr(row, name) for name in names] for row in self.rows], columns=names)


def plan(
    touches: Any,
    *,
    constraints: Iterable[Constraint] = (),
    messages: Any = None,
    columns: Mapping[str, str] | None = None,
    n_parts: int | None = None,
    holdout: float | None = None,
    explore: None = None,
    experiment: str = "holdout",
    seed: int = 0,
) -> SparkPlan:
    """Return the touches to send to people in Spark: one set of prices for all, a plan per part, one certificate.

    Parameters
    ----------
    touches : pyspark.sql.DataFrame
        ``user_id item_id channel send_at value``, and the further columns that ``Candidates.from_frame`` knows, such as
        those of :func:`candidates`: touches that may be sent, as far as their people are asked. Written down, not
        computed anew for each job: ``spark.read.parquet(folder)``.
    constraints : iterable of Constraint
        Rules of single people (caps, gaps, one item once, one offer for each person) and of all together (budgets,
        capacities, volumes with their floors, rates). A frame has no rules of its own: give ``OncePerItem()`` and the
        gap too. A rule of your own must give a row of several people the same label in every part, and rows of single
        people none.
    messages : pyspark.sql.DataFrame, optional
        What people had before, with the columns of ``MessageLog.from_frame``: frequency caps count them.
    columns : mapping of str to str, optional
        Our name to yours.
    n_parts : int, optional
        By default one for about 20,000 people.
    holdout : float, optional
        The share of people who get nothing, by lot: the same people as in ``om.plan(..., holdout=)`` and
        ``om.causal.Holdout.draw`` with this experiment and seed, whatever the partitions.
    explore : None
        Not over partitions: which swaps fit into a limit that people of several parts share is no matter of one person.
    experiment, seed : str, int
        Of the lots, as in :func:`omnireco.plan`.

    Returns
    -------
    SparkPlan

    Raises
    ------
    SchemaError
        When a column is missing or of the wrong kind.
    EmptyError
        When there are no touches.
    ParameterError
        When a rule needs more than a part of the people: an offer that a segment shares, an attribute of the audience,
        limits that follow from all touches; more than 3,000 rows of several people, or more than 8 of one touch; and
        when the touches change between two jobs.
    InfeasibleError
        When no plan was found that meets the floors. (One machine proves that there is none.)

    Notes
    -----
    People are dealt to parts by the hash of their id. Each part becomes the packing problem of :func:`omnireco.plan`,
    once, and stays with the cluster (``DISK_ONLY``; ``spark.catalog.clearCache()`` lets go of it once the
    touches are written). Prices begin from one part, a sample of everybody, and each damped
    Newton step is one job: broadcast the prices, solve each person exactly inside, sum height, use and bend of the
    dual. Then each part rounds within its share of each limit, and what is left goes to those who could use it, four
    times over. The bound is the dual at the final prices, over everybody; value and use are those of the plan, summed:
    every limit of all people is kept, to a rounding of 1e-9.

    The plan differs a little from that of one machine, which searches the least decided touches once more; both lie
    within their gaps of the same best plan. Deterministic: a part that is computed again gives the same. Memory of an
    executor: one part; here: rows squared for each task, and ``n_parts`` times rows.

    References
    ----------
    M. L. Fisher, "The Lagrangian relaxation method for solving integer programming problems", Management Science 27
    (1981). R. Basu et al., "ECLIPSE: An extreme-scale linear program solver for web-applications", ICML 2020.
    """
    frame = renamed(spark_frame(touches, _WHERE, "touches", "om.plan(touches, constraints=[...])"), columns)
    rules = _supported(check_constraints(constraints))
    kinds = columns_of(frame, _WHERE, **_COLUMNS)
    frame = frame.select(*(name for name in _COLUMNS if name in kinds))
    log = None
    if messages is not None:
        log = spark_frame(messages, _WHERE, "messages", "om.plan(touches, constraints=[...])")
        log = message_columns(log, f"{_WHERE}: messages")
        check_same_ids(kinds["user_id"], dict(log.dtypes)["user_id"], _WHERE, ("touches", "messages"))
    if n_parts is not None:
        n_parts = check_integer(n_parts, "n_parts", low=1)
    held = _held(holdout, experiment, seed)
    _check_explore(explore)
    words, people = words_of(frame, log)
    parts = compiled(frame, log, words, rules, n_parts or max(1, -(-people // _PEOPLE)), held)
    return _solved(parts, rules, frame, held)


def _held(holdout: Any, experiment: Any, seed: Any) -> Held | None:
    """Return the lot by which people are held out, checked as that of one machine."""
    if isinstance(holdout, Holdout):
        raise ParameterError(
            f"{_WHERE}: holdout is a Holdout, whose list of people does not go to the parts. Draw the same people by "
            f"its share, experiment and seed: om.spark.plan(touches, holdout={holdout.share:g}, "
            f"experiment={shown(holdout.experiment)}, seed={holdout.seed}). Filter the touches where it was drawn "
            "elsewhere."
        )
    if holdout is None:
        return None
    share = check_number(holdout, "holdout", above=0.0)
    drawn = Holdout.draw([0], share=share, experiment=experiment, seed=seed)  # which refuses what is no lot
    return Held(drawn.share, drawn.experiment, drawn.seed)


def _check_explore(explore: Any) -> None:
    """Refuse exploration: its swaps take room in limits that people of several parts share."""
    if explore is not None:
        raise ParameterError(
            f"{_WHERE}: a plan over partitions is not explored, as a swap takes room in limits that people of several "
            "parts share. Explore a sample of people on one machine: "
            'om.plan(om.planning.Candidates.from_frame(touches.where("xxhash64(user_id) % 100 = 0").toArrow()), '
            "explore=0.05), under limits in proportion."
        )


def _supported(rules: tuple[Constraint, ...]) -> tuple[Constraint, ...]:
    """Refuse rules that need people of several parts together."""
    for rule in rules:
        if isinstance(rule, OneOffer) and rule.by != "user_id":
            raise ParameterError(
                f"{_WHERE}: {rule.name} gives the people of a segment one offer, and they lie in many parts. Use "
                "om.plan on one machine, or choose the segment's offer first and filter the touches."
            )
    return rules


def _solved(parts: Parts, rules: Sequence[Constraint], frame: Any, held: Held | None) -> SparkPlan:
    """Return the plan of all parts."""
    limit, least = parts.limit, parts.least
    n = sum(part.touches for part in parts.known)
    mean = sum(part.size for part in parts.known) / max(1, n) or 1.0
    _check_floors(parts, rules)
    blocks = blocks_here(parts, _HERE)
    if len(blocks) == len(parts.known):
        parts = parts._replace(here=blocks)
    if len(parts.rows):
        first = first_prices(parts, blocks, _WIDE * mean)
        band = (_WIDE if first is None else _NARROW) * mean
        start = np.zeros(limit.size) if first is None else first
        done = descended(
            lambda price, width: summed(parts, price, width)[0],
            *(limit, least, start, band),
            passes=PASSES,
            enough=ENOUGH,
        )
        price, passes = meant(done.price, limit, np.maximum(least, 0.0)), done.passes
    else:
        price, passes = np.zeros(0), 0
    sums, rounding = summed(parts, price, 0.0)
    quota, at, found = _rounded(parts, price, _NEAR * mean, mean)
    value, n_sent = sum(one["value"] for one in found), sum(one["n"] for one in found)
    used = np.sum([one["used"] for one in found], axis=0) if len(parts.rows) else np.empty(0)
    schema, chance = _schema_of(frame, held), None if held is None else 1.0 - held.share
    touches = sent(parts, at, quota, _NEAR * mean, found, schema, chance)
    return SparkPlan(
        touches,
        float(value),
        max(float(sums.height + rounding), float(value)),
        tuple(
            Price(
                rules[row.rule].name,
                row.label,
                float(u * row.unit),
                float(row.limit * row.unit),
                float(p / row.unit) if row.unit else float(p),
                float(row.least * row.unit),
            )
            for row, u, p in zip(parts.rows, used, price, strict=True)
        ),
        int(n_sent),
        n,
        sum(part.people for part in parts.known),
        len(parts.known),
        passes + 1,
        None if held is None else _lots(frame, held),
        sum(part.held for part in parts.known),
    )


def _schema_of(frame: Any, held: Held | None) -> Any:
    """Return the columns of what is sent."""
    from pyspark.sql.types import DoubleType, StructType

    fields = StructType(list(frame.schema.fields))
    return fields if held is None else fields.add("propensity", DoubleType())


def _lots(frame: Any, held: Held) -> Any:
    """Return the group of everybody with candidates, and its chance, as ``Holdout.to_frame`` has them."""
    import pyarrow as pa

    @private
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            ids = batch.column("user_id")
            out = held.of(np.array(ids.to_pylist(), object if pa.types.is_string(ids.type) else np.int64))
            group, chance = np.where(out, HELD, TREATED), np.where(out, held.share, 1.0 - held.share)
            columns = [ids, pa.array(group.tolist(), pa.string()), pa.array(chance)]
            yield pa.record_batch(columns, names=["user_id", "group", "propensity"])

    kind = frame.schema["user_id"].dataType.simpleString()
    people = frame.select("user_id").distinct()
    return people.mapInArrow(run, f"user_id {kind}, group string, propensity double")


def _check_floors(parts: Parts, rules: Sequence[Constraint]) -> None:
    """Refuse a floor above all touches that could count for it."""
    for row in parts.rows:
        if row.least * (1.0 - TOLERANCE) > row.most:
            raise InfeasibleError(
                f"{_WHERE}: {rules[row.rule].name}, {row.label}, asks for at least {row.least * row.unit:g}, and all "
                f"touches that may be sent add up to {row.most * row.unit:g}. Lower the floor, or give more touches "
                "that count for it."
            )


def _rounded(
    parts: Parts, price: np.ndarray, near: float, mean: float
) -> tuple[dict[int, np.ndarray], np.ndarray, list[dict[str, Any]]]:
    """Return the share of each part in each limit, the prices it rounds by, and what that gives.

    Where floors are missed, their prices are pushed until they are met.
    """
    limit, least = parts.limit, parts.least
    whole = np.array([row.whole for row in parts.rows], np.bool_)
    at, push = price, 0.02 * mean
    for _ in range(_PUSHES):
        found = _in_rounds(parts, at, near, limit, least, whole)
        if found is not None:
            quota, lines = found
            return quota, at, lines
        at = np.where(least > 0, at - push, at)
        push *= 2.0
    raise InfeasibleError(
        f"{_WHERE}: no plan over partitions was found that meets all floors and rates. Loosen them, raise the "
        "limits that stand against them, or plan on one machine, where the rows in conflict are named: "
        "om.plan(touches, constraints=[...])."
    )


def _in_rounds(
    parts: Parts, price: np.ndarray, near: float, limit: np.ndarray, least: np.ndarray, whole: np.ndarray
) -> tuple[dict[int, np.ndarray], list[dict[str, Any]]] | None:
    """Return the best shares of some rounds and what the parts send; None where no round meets the floors."""
    nothing = {part.number: np.full(len(part.rows), np.inf) for part in parts.known}
    lines = taken(parts, price, nothing, near)
    quota = shares(np.array([one["wanted"] for one in lines]), limit, parts.people, whole)
    best: tuple[float, dict[int, np.ndarray], list[dict[str, Any]]] | None = None
    for _ in range(_ROUNDS if limit.size else 1):
        mine = {part.number: quota[i, list(part.rows)] for i, part in enumerate(parts.known)}
        lines = taken(parts, price, mine, near)
        used = np.array([one["used"] for one in lines])
        total, value = used.sum(axis=0), sum(one["value"] for one in lines)
        kept = bool((total <= limit * (1.0 + TOLERANCE) + 1e-12).all() and (total >= least * (1.0 - TOLERANCE)).all())
        gained = best is None or value > best[0] * (1.0 + 1e-5)
        if kept and (best is None or value > best[0]):
            best = (value, mine, lines)
        if not gained:
            break
        quota = more_for(used, np.array([one["unmet"] for one in lines]), limit, parts.people, whole)
    return None if best is None else best[1:]
