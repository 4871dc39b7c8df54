"""The parts of a plan over Spark: packed on the executors, kept by the cluster, known here by their rows and sizes."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.random import lot
from omnireco._kernels.packing.large import MOST_SHARED
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import EmptyError, ParameterError
from omnireco.planning.rules import Constraint
from omnireco.spark.blocks import Block, Row, Words, block_of, packed, touches_of, unpacked
from omnireco.spark.shipping import fetched, private

__all__ = ["Held", "Part", "Parts", "blocks_here", "compiled", "words_of"]

_WHERE = "om.spark.plan"
_LABELS = ("creative_id", "store_id", "offer_id", "kind", "campaign_id")


class Held(NamedTuple):
    """Who is held out, by lot: the share, the experiment, and the seed."""

    share: float
    experiment: str
    seed: int

    def of(self, ids: np.ndarray) -> np.ndarray:
        """Return which of some people are held out, bool (n,): the draw of ``om.causal.Holdout``."""
        return lot(self.seed, self.experiment, ids) < self.share


class Part(NamedTuple):
    """What is known here of a part: number, checksums of block and touches, bytes of the block, and what it holds."""

    number: int
    checksum: int
    stamp: int
    weight: int
    people: int
    touches: int
    size: float
    held: int
    rows: tuple[int, ...]

    @property
    def shared(self) -> np.ndarray:
        """Positions of its rows among those that the parts share."""
        return np.array(self.rows, np.int64)


class Parts(NamedTuple):
    """The parts, kept by the cluster as ``frame``, the rows that they share, and their blocks where they fit here."""

    frame: Any
    known: tuple[Part, ...]
    rows: tuple[Row, ...]
    here: Mapping[int, Block]

    @property
    def by_number(self) -> dict[int, Part]:
        """The parts by their numbers."""
        return {part.number: part for part in self.known}

    @property
    def limit(self) -> np.ndarray:
        """What each row of several people allows."""
        return np.array([row.limit for row in self.rows])

    @property
    def least(self) -> np.ndarray:
        """What each of these rows needs."""
        return np.array([row.least for row in self.rows])

    @property
    def people(self) -> np.ndarray:
        """How many people each part has, at least 1."""
        return np.array([max(part.people, 1) for part in self.known], np.float64)


def words_of(frame: Any, log: Any) -> tuple[Words, int]:
    """Return the names that all parts share, and about how many people there are (to 5 %): one job per frame."""
    from pyspark.sql import functions as f

    def known(table: Any, *names: str) -> tuple[dict[str, Vocabulary], int]:
        sets = [f.collect_set(name).alias(name) for name in names]
        found = fetched(table.agg(f.approx_count_distinct("user_id").alias("_people"), *sets))
        words = {}
        for name in names:
            cells = found.column(name).combine_chunks().flatten()
            words[name] = Vocabulary.encode(cells, name)[0] if len(cells) else Vocabulary(np.empty(0, object))
        return words, int(found.column("_people")[0].as_py())

    ours, people = known(frame, "item_id", "channel", *(name for name in _LABELS if name in frame.columns))
    items, channels = ours.pop("item_id"), ours.pop("channel")
    theirs = {} if log is None else known(log, *(name for name in ("channel", "kind") if name in log.columns))[0]
    of_log, kinds = ([str(one) for one in theirs[name].ids] if name in theirs else [] for name in ("channel", "kind"))
    named = tuple(dict.fromkeys([*map(str, channels.ids), *of_log]))
    return Words(items, channels, named, tuple(kinds), ours), people


def compiled(frame: Any, log: Any, words: Words, rules: Sequence[Constraint], n_parts: int, held: Held | None) -> Parts:
    """Return the parts as packing problems, kept by the cluster."""
    from pyspark import StorageLevel
    from pyspark.sql import functions as f

    part = f.pmod(f.xxhash64(f.col("user_id").cast("string")), f.lit(n_parts)).cast("int").alias("part")
    schema = (
        "part int, block binary, touches binary, checksum bigint, stamp bigint, weight bigint, people bigint, "
        "n bigint, size double, held bigint, "
        "rule array<int>, label array<string>, limit array<double>, least array<double>, unit array<double>, "
        "whole array<boolean>, most array<double>"
    )

    @private
    def compiling(table: Any, sent: Any) -> Iterator[Any]:
        yield _packed_part(table, sent, words, rules, held)

    n_tasks = _tasks(frame.sparkSession, n_parts)
    ours = frame.select("*", part).repartition(n_tasks, "part").groupBy("part")
    if log is None:
        packs = ours.applyInArrow(lambda table: next(compiling(table, None)), schema)
    else:
        theirs = log.select("*", part).repartition(n_tasks, "part").groupBy("part")
        packs = ours.cogroup(theirs).applyInArrow(lambda table, sent: next(compiling(table, sent)), schema)
    packs = packs.persist(StorageLevel.DISK_ONLY)
    found = fetched(packs.drop("block", "touches")).sort_by("part").to_pylist()
    if not sum(one["n"] for one in found):
        raise EmptyError(
            f"{_WHERE}: there are no touches. Make some: om.spark.candidates(lists, people, timing, slots)."
        )
    rows, known = _joined(found, rules)
    return Parts(packs, known, rows, {})


def _tasks(session: Any, n_parts: int) -> int:
    """Return how many tasks go over the parts: one costs some 70 ms of CPU, work or none, and Spark would make 200."""
    usual = int(session.conf.get("spark.sql.shuffle.partitions"))
    return min(n_parts, max(usual, 4 * int(session.sparkContext.defaultParallelism)))


def blocks_here(parts: Parts, most: int) -> dict[int, Block]:
    """Return the blocks of as many parts as have ``most`` bytes, at least one: all of them, or a sample of people."""
    chosen: dict[int, Part] = {}
    weight = 0
    for part in parts.known:
        if chosen and weight + part.weight > most:
            break
        chosen[part.number] = part
        weight += part.weight
    numbers = ", ".join(map(str, chosen))
    found = fetched(parts.frame.where(f"part in ({numbers})").select("part", "block"))
    blocks = dict(zip(found.column("part").to_pylist(), found.column("block"), strict=True))
    return {number: unpacked(blocks[number].as_py(), part.checksum) for number, part in chosen.items()}


def _packed_part(table: Any, sent: Any, words: Words, rules: Sequence[Constraint], held: Held | None) -> Any:
    """Return the one row of a part: its problem, its touches in the order of the problem, and its rows."""
    import pyarrow as pa

    if not table.num_rows:  # people who have messages and no touches
        return _schema().empty_table()
    number = table.column("part")[0].as_py()
    found = touches_of(table.drop_columns(["part"]), None if sent is None else sent.drop_columns(["part"]), words)
    ids = found.touches.users.ids
    out = None if held is None else held.of(ids)
    block, rows = block_of(found, rules, None if out is None else out[found.touches.user])
    data, checksum = packed(block)
    names = [name for name in table.column_names if name != "part"]
    kept = pa.Table.from_pandas(
        found.to_frame()[names], schema=pa.schema([table.schema.field(name) for name in names]), preserve_index=False
    )
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, kept.schema) as writer:
        writer.write_table(kept)
    line = {
        "part": number,
        "block": data,
        "touches": stream.getvalue(),
        "checksum": checksum,
        "stamp": zlib.crc32(stream.getvalue()),
        "weight": len(data),
        "people": int(block.people.cap.size),
        "n": len(found),
        "size": float(np.abs(block.people.value).sum()),
        "held": 0 if out is None else int(out.sum()),
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
            "stamp": pa.int64(),
            "weight": pa.int64(),
            "people": pa.int64(),
            "n": pa.int64(),
            "size": pa.float64(),
            "held": pa.int64(),
            "rule": pa.list_(pa.int32()),
            "label": pa.list_(pa.string()),
            **{name: numbers[name] for name in ("limit", "least", "unit")},
            "whole": pa.list_(pa.bool_()),
            "most": numbers["most"],
        }
    )


def _joined(found: list[dict[str, Any]], rules: Sequence[Constraint]) -> tuple[tuple[Row, ...], tuple[Part, ...]]:
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
    names = ("part", "checksum", "stamp", "weight", "people", "n", "size", "held")
    parts = tuple(
        Part._make([*(one[name] for name in names), tuple(order[key] for key in keys)])
        for one, keys in zip(found, mine, strict=True)
    )
    return tuple(rows[key] for key in sorted(rows)), parts
