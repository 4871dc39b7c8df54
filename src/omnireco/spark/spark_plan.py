"""A plan for people who lie in partitions of Spark: one set of prices, a plan per part, one certificate for all."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from omnireco._core.checks import check_integer, count_of
from omnireco._kernels.packing.bounds import meant
from omnireco._kernels.packing.large import MOST_SHARED
from omnireco._kernels.packing.people import descended, newton_prices
from omnireco._kernels.packing.problem import TOLERANCE
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import EmptyError, InfeasibleError, ParameterError
from omnireco.planning.inputs import check_constraints
from omnireco.planning.plan import Price
from omnireco.planning.rules import Constraint
from omnireco.planning.rules.offers import OneOffer
from omnireco.spark.blocks import Row, Words, block_of, height_of, packed, taken_of, touches_of, unpacked
from omnireco.spark.pricing import ENOUGH, PASSES, Sums, more_for, shares
from omnireco.spark.shipping import columns_of, fetched, private, renamed, spark_frame
from omnireco.spark.touches import message_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SparkPlan", "plan"]

_WHERE = "om.spark.plan"
_PEOPLE = 20_000  # of a part
_ROUNDS = 4  # in which what is left of the limits goes to parts that could use it
_NEAR, _WIDE, _NARROW = 0.25, 0.5, 0.05  # of the mean value, as on one machine
_PUSHES = 6  # by which prices of floors are raised until they are met
_LABELS = ("creative_id", "store_id", "offer_id", "kind", "campaign_id")
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
        Jobs over everybody that the prices took.
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

    def __repr__(self) -> str:
        sent = count_of(self.n_touches, "touch", "touches")
        return (
            f"SparkPlan({sent} of {self.n_candidates:,} for {count_of(self.n_people, 'person', 'people')} in "
            f"{count_of(self.n_parts, 'part')}, value {self.value:.6g}, bound {self.bound:.6g}, gap "
            f"{self.optimality_gap:.2g})"
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


class _Part(NamedTuple):
    """What is known here of a part: its number, checksum, people, candidates, sizes of values, and its rows."""

    number: int
    checksum: int
    people: int
    touches: int
    size: float
    rows: tuple[int, ...]


class _Parts(NamedTuple):
    """The parts, kept by the cluster as ``frame``, and the rows that they share."""

    frame: Any
    known: tuple[_Part, ...]
    rows: tuple[Row, ...]

    @property
    def limit(self) -> np.ndarray:
        return np.array([row.limit for row in self.rows])

    @property
    def least(self) -> np.ndarray:
        return np.array([row.least for row in self.rows])

    @property
    def people(self) -> np.ndarray:
        return np.array([max(part.people, 1) for part in self.known], np.float64)


def plan(
    touches: Any,
    *,
    constraints: Iterable[Constraint] = (),
    messages: Any = None,
    columns: Mapping[str, str] | None = None,
    n_parts: int | None = None,
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
        By default one for 20,000 people.

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
    if n_parts is None:
        n_parts = max(1, -(-int(frame.select("user_id").distinct().count()) // _PEOPLE))
    n_parts = check_integer(n_parts, "n_parts", low=1)
    parts = _compiled(frame, log, _words(frame, log), rules, n_parts)
    return _solved(parts, rules, frame.schema)


def _supported(rules: tuple[Constraint, ...]) -> tuple[Constraint, ...]:
    """Refuse rules that need people of several parts together."""
    for rule in rules:
        if isinstance(rule, OneOffer) and rule.by != "user_id":
            raise ParameterError(
                f"{_WHERE}: {rule.name} gives the people of a segment one offer, and they lie in many parts. Use "
                "om.plan on one machine, or choose the segment's offer first and filter the touches."
            )
    return rules


def _words(frame: Any, log: Any) -> Words:
    """Return the names that all parts share."""

    def known(table: Any, name: str) -> Vocabulary:
        column = fetched(table.select(name).where(f"{name} is not null").distinct()).column(name)
        return Vocabulary.encode(column, name)[0] if len(column) else Vocabulary(np.empty(0, object))

    channels = known(frame, "channel")
    of_log = [] if log is None else [str(name) for name in known(log, "channel").ids]
    kinds = () if log is None or "kind" not in log.columns else tuple(map(str, known(log, "kind").ids))
    named = tuple(dict.fromkeys([*map(str, channels.ids), *of_log]))
    labels = {name: known(frame, name) for name in _LABELS if name in frame.columns}
    return Words(known(frame, "item_id"), channels, named, kinds, labels)


def _compiled(frame: Any, log: Any, words: Words, rules: Sequence[Constraint], n_parts: int) -> _Parts:
    """Return the parts as packing problems, kept by the cluster."""
    from pyspark import StorageLevel
    from pyspark.sql import functions as f

    part = f.pmod(f.xxhash64(f.col("user_id").cast("string")), f.lit(n_parts)).cast("int").alias("part")
    schema = (
        "part int, block binary, touches binary, checksum bigint, people bigint, n bigint, size double, "
        "rule array<int>, label array<string>, limit array<double>, least array<double>, unit array<double>, "
        "whole array<boolean>, most array<double>"
    )

    @private
    def compiling(table: Any, sent: Any) -> Iterator[Any]:
        yield _packed_part(table, sent, words, rules)

    ours = frame.select("*", part).groupBy("part")
    if log is None:
        packs = ours.applyInArrow(lambda table: next(compiling(table, None)), schema)
    else:
        theirs = log.select("*", part).groupBy("part")
        packs = ours.cogroup(theirs).applyInArrow(lambda table, sent: next(compiling(table, sent)), schema)
    packs = packs.persist(StorageLevel.DISK_ONLY)
    found = fetched(packs.drop("block", "touches")).sort_by("part").to_pylist()
    if not sum(one["n"] for one in found):
        raise EmptyError(
            f"{_WHERE}: there are no touches. Make some: om.spark.candidates(lists, people, timing, slots)."
        )
    rows, known = _joined(found, rules)
    return _Parts(packs, known, rows)


def _packed_part(table: Any, sent: Any, words: Words, rules: Sequence[Constraint]) -> Any:
    """Return the one row of a part: its problem, its touches in the order of the problem, and its rows."""
    import pyarrow as pa

    if not table.num_rows:  # people who have messages and no touches
        return _schema().empty_table()
    number = table.column("part")[0].as_py()
    found = touches_of(table.drop_columns(["part"]), None if sent is None else sent.drop_columns(["part"]), words)
    block, rows = block_of(found, rules)
    data, checksum = packed(block)
    names = [name for name in table.column_names if name != "part"]
    kept = pa.Table.from_pandas(
        found.to_frame()[names], schema=pa.schema([table.schema.field(name) for name in names]), preserve_index=False
    )
    out = io.BytesIO()
    with pa.ipc.new_stream(out, kept.schema) as writer:
        writer.write_table(kept)
    line = {
        "part": number,
        "block": data,
        "touches": out.getvalue(),
        "checksum": checksum,
        "people": int(block.people.cap.size),
        "n": len(found),
        "size": float(np.abs(block.people.value).sum()),
        "rule": [row.rule for row in rows],
        **{name: [getattr(row, name) for row in rows] for name in Row._fields[1:]},
    }
    return pa.Table.from_pylist([line], schema=_schema())


def _schema() -> Any:
    """Return the schema of a part."""
    import pyarrow as pa

    numbers = {name: pa.list_(pa.float64()) for name in ("limit", "least", "unit", "most")}
    return pa.schema(
        {
            "part": pa.int32(),
            "block": pa.binary(),
            "touches": pa.binary(),
            "checksum": pa.int64(),
            "people": pa.int64(),
            "n": pa.int64(),
            "size": pa.float64(),
            "rule": pa.list_(pa.int32()),
            "label": pa.list_(pa.string()),
            **{name: numbers[name] for name in ("limit", "least", "unit")},
            "whole": pa.list_(pa.bool_()),
            "most": numbers["most"],
        }
    )


def _joined(found: list[dict[str, Any]], rules: Sequence[Constraint]) -> tuple[tuple[Row, ...], tuple[_Part, ...]]:
    """Return the rows of all parts together, and which of them each part has."""
    rows: dict[tuple[int, str], Row] = {}
    mine = []
    for one in found:
        lines = zip(*(one[name] for name in Row._fields), strict=True)
        these = [Row(*line) for line in lines]
        keys = [(row.rule, row.label) for row in these]
        if len(set(keys)) < len(keys):
            twice = rules[next(key[0] for key in keys if keys.count(key) > 1)].name
            raise ParameterError(f"{_WHERE}: {twice} gives two rows one label. Give each row a label of its own.")
        for key, row in zip(keys, these, strict=True):
            known = rows.setdefault(key, row)
            if known[2:5] != row[2:5]:
                raise ParameterError(
                    f"{_WHERE}: the limit of {rules[row.rule].name}, {row.label}, differs from part to part, as it "
                    "follows from the touches. Give it as a number, or use om.plan on one machine."
                )
            most = row.most if known is row else known.most + row.most
            rows[key] = known._replace(whole=known.whole and row.whole, most=most)
        mine.append(keys)
    order = {key: at for at, key in enumerate(sorted(rows))}
    if len(order) > MOST_SHARED:
        raise ParameterError(
            f"{_WHERE}: {len(order):,} rows of several people; over partitions {MOST_SHARED:,} are priced. Use longer "
            "cells of time, or fewer shops."
        )
    parts = tuple(
        _Part(one["part"], one["checksum"], one["people"], one["n"], one["size"], tuple(order[key] for key in keys))
        for one, keys in zip(found, mine, strict=True)
    )
    return tuple(rows[key] for key in sorted(rows)), parts


def _solved(parts: _Parts, rules: Sequence[Constraint], schema: Any) -> SparkPlan:
    """Return the plan of all parts."""
    limit, least = parts.limit, parts.least
    n = sum(part.touches for part in parts.known)
    mean = sum(part.size for part in parts.known) / max(1, n) or 1.0
    _check_floors(parts, rules)
    if len(parts.rows):
        first = _first_prices(parts, limit, least)
        band = (_WIDE if first is None else _NARROW) * mean
        start = np.zeros(limit.size) if first is None else first
        done = descended(
            lambda price, width: _summed(parts, price, width)[0],
            *(limit, least, start, band),
            passes=PASSES,
            enough=ENOUGH,
        )
        price, passes = meant(done.price, limit, np.maximum(least, 0.0)), done.passes
    else:
        price, passes = np.zeros(0), 0
    sums, rounding = _summed(parts, price, 0.0)
    quota, at, found = _rounded(parts, price, _NEAR * mean, mean)
    value, n_sent = sum(one["value"] for one in found), sum(one["n"] for one in found)
    used = np.sum([one["used"] for one in found], axis=0) if len(parts.rows) else np.empty(0)
    touches = _sent(parts, at, quota, _NEAR * mean, schema)
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
    )


def _check_floors(parts: _Parts, rules: Sequence[Constraint]) -> None:
    """Refuse a floor above all touches that could count for it."""
    for row in parts.rows:
        if row.least * (1.0 - TOLERANCE) > row.most:
            raise InfeasibleError(
                f"{_WHERE}: {rules[row.rule].name}, {row.label}, asks for at least {row.least * row.unit:g}, and all "
                f"touches that may be sent add up to {row.most * row.unit:g}. Lower the floor, or give more touches "
                "that count for it."
            )


def _first_prices(parts: _Parts, limit: np.ndarray, least: np.ndarray) -> np.ndarray | None:
    """Return prices of the largest part under limits in proportion: a sample of everybody."""
    if len(parts.known) == 1:
        return None
    part = max(parts.known, key=lambda one: one.people)
    row = fetched(parts.frame.where(f"part = {part.number}").select("block")).column("block")[0].as_py()
    block = unpacked(row, part.checksum)
    share = part.people / max(1, sum(one.people for one in parts.known))
    mine = np.array(part.rows, np.int64)
    price = np.zeros(limit.size)
    if block.touch.size:
        price[mine] = newton_prices(block.people, limit[mine] * share, least[mine] * share, None, 1)[0]
    return price


def _summed(parts: _Parts, price: np.ndarray, band: float) -> tuple[Sums, float]:
    """Return the dual of everybody at some prices, and how far its sum may be rounded: one job.

    Each task adds its parts up in their order before anything is sent; tasks are added in the order of their first.
    """
    import pyarrow as pa

    n, known = price.size, {part.number: part for part in parts.known}
    schema = pa.schema(
        {"part": pa.int32(), "height": pa.float64(), "rounding": pa.float64(), "crowd": pa.float64()}
        | {"used": pa.binary(), "bend": pa.binary()}
    )

    @private
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        first, height, rounding, crowd = None, 0.0, 0.0, 0.0
        used, bend = np.zeros(n), np.zeros((n, n) if band > 0 else (0, 0))
        for batch in batches:
            for row in batch.to_pylist():
                part = known[row["part"]]
                mine = np.array(part.rows, np.int64)
                one = height_of(unpacked(row["block"], part.checksum), price[mine], band)
                first = part.number if first is None else first
                height, rounding, crowd = height + one.height, rounding + one.rounding, crowd + one.crowd
                used[mine] += one.used
                if band > 0:
                    bend[np.ix_(mine, mine)] += one.bend
        if first is not None:
            line: dict[str, Any] = {"part": first, "height": height, "rounding": rounding, "crowd": crowd}
            line |= {"used": used.tobytes(), "bend": bend.tobytes()}
            yield from pa.Table.from_pylist([line], schema=schema).to_batches()

    kinds = "part int, height double, rounding double, crowd double, used binary, bend binary"
    frame = parts.frame.select("part", "block").mapInArrow(run, kinds)
    found = fetched(frame).sort_by("part").to_pylist()
    used = np.sum([np.frombuffer(one["used"]) for one in found], axis=0)
    bend = np.sum([np.frombuffer(one["bend"]) for one in found], axis=0).reshape((n, n) if band > 0 else (0, 0))
    limit, least = parts.limit, parts.least
    paid = float(price[price > 0] @ limit[price > 0] + price[price < 0] @ least[price < 0])
    height, rounding, crowd = (sum(one[name] for one in found) for name in ("height", "rounding", "crowd"))
    rounding += (8 + len(parts.known) + n) * float(np.finfo(np.float64).eps) * (abs(height) + abs(paid))
    return Sums(height + paid, used, bend, crowd), rounding


def _rounded(
    parts: _Parts, price: np.ndarray, near: float, mean: float
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
    parts: _Parts, price: np.ndarray, near: float, limit: np.ndarray, least: np.ndarray, whole: np.ndarray
) -> tuple[dict[int, np.ndarray], list[dict[str, Any]]] | None:
    """Return the best shares of some rounds and what the parts send; None where no round meets the floors."""
    nothing = {part.number: np.full(len(part.rows), np.inf) for part in parts.known}
    lines = _taken(parts, price, nothing, near)
    quota = shares(np.array([one["wanted"] for one in lines]), limit, parts.people, whole)
    best: tuple[float, dict[int, np.ndarray], list[dict[str, Any]]] | None = None
    for _ in range(_ROUNDS if limit.size else 1):
        mine = {part.number: quota[i, list(part.rows)] for i, part in enumerate(parts.known)}
        lines = _taken(parts, price, mine, near)
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


def _taken(parts: _Parts, price: np.ndarray, quota: dict[int, np.ndarray], near: float) -> list[dict[str, Any]]:
    """Return what each part sends within its share, in the order of the parts: one job."""
    import pyarrow as pa

    n = price.size
    many = pa.list_(pa.float64())
    schema = pa.schema(
        {"part": pa.int32(), "value": pa.float64(), "n": pa.int64(), "used": many, "wanted": many, "unmet": many}
    )

    known = {part.number: part for part in parts.known}

    @private
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            for row in batch.to_pylist():
                part = known[row["part"]]
                mine = np.array(part.rows, np.int64)
                one = taken_of(unpacked(row["block"], part.checksum), price[mine], quota[part.number], near)
                line: dict[str, Any] = {"part": part.number, "value": one.value, "n": int(one.chosen.sum())}
                for name in ("used", "wanted", "unmet"):
                    wide = np.zeros(n)
                    wide[mine] = getattr(one, name)
                    line[name] = wide.tolist()
                yield from pa.Table.from_pylist([line], schema=schema).to_batches()

    kinds = "part int, value double, n bigint, used array<double>, wanted array<double>, unmet array<double>"
    found = fetched(parts.frame.select("part", "block").mapInArrow(run, kinds))
    return sorted(found.to_pylist(), key=lambda one: one["part"])


def _sent(parts: _Parts, price: np.ndarray, quota: dict[int, np.ndarray], near: float, schema: Any) -> Any:
    """Return the touches that the parts send, as a frame of Spark."""
    import pyarrow as pa

    known = {part.number: part for part in parts.known}

    @private
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            for row in batch.to_pylist():
                part = known[row["part"]]
                block = unpacked(row["block"], part.checksum)
                one = taken_of(block, price[np.array(part.rows, np.int64)], quota[part.number], near)
                table = pa.ipc.open_stream(row["touches"]).read_all()
                yield from table.take(pa.array(np.sort(block.touch[one.chosen]))).to_batches()

    return parts.frame.select("part", "block", "touches").mapInArrow(run, schema)
