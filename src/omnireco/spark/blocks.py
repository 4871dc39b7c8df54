"""The planning problem of a part of the people: compiled on an executor, packed into bytes, passed over at prices."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from omnireco._core.checks import count_of
from omnireco._kernels.packing.large import crowd_of, raised
from omnireco._kernels.packing.people import Own, People, pass_over
from omnireco._kernels.packing.problem import TOLERANCE, Problem
from omnireco._kernels.packing.rounding import nearly, rounded
from omnireco.data.asking.touches import Past
from omnireco.data.dataset import Dataset
from omnireco.data.messages import MessageLog
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.errors import DataWarning, ParameterError
from omnireco.planning.candidates import Candidates
from omnireco.planning.rules import Constraint
from omnireco.planning.solving.compiling import checked, least_of, offers_of
from omnireco.planning.solving.whole import matrix_of

__all__ = [
    "Block",
    "Height",
    "Row",
    "Taken",
    "Words",
    "block_of",
    "check_same",
    "height_of",
    "packed",
    "taken_of",
    "unpacked",
]


class Words(NamedTuple):
    """Names that all parts share, so that a rule makes the same rows in each."""

    items: Vocabulary
    channels: Vocabulary
    named: tuple[str, ...]
    kinds: tuple[str, ...]
    labels: dict[str, Vocabulary]


class Row(NamedTuple):
    """A row of several people: rule and label, limit, floor and unit; whether all weights are whole; and their sum."""

    rule: int
    label: str
    limit: float
    least: float
    unit: float
    whole: bool
    most: float


class Block(NamedTuple):
    """The people of a part: ``touch`` are positions among its candidates, in the order of the touches of ``people``."""

    people: People
    touch: np.ndarray


class Height(NamedTuple):
    """What a part adds to the dual at some prices: its height, by how much that may be rounded, use and bend."""

    height: float
    rounding: float
    used: np.ndarray
    bend: np.ndarray
    crowd: float


class Taken(NamedTuple):
    """What a part sends: the touches chosen, their value, what they use, what is taken and what is left by prices."""

    chosen: np.ndarray
    value: float
    used: np.ndarray
    wanted: np.ndarray
    unmet: np.ndarray


def touches_of(table: Any, messages: Any, words: Words) -> Candidates:
    """Return the candidates of a part, in the codes of all parts."""
    data = None
    if messages is not None and messages.num_rows:
        data = Dataset(messages=MessageLog.from_frame(messages))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # that few of these people have messages says nothing in a part
        found = Candidates.from_frame(table, data)
    t, past = found.touches, found.touches.past
    place = {name: code for code, name in enumerate(words.named)}
    channel = np.array([*(place.get(name, NONE) for name in t.named), NONE], np.int32)
    kinds = np.array([*(words.kinds.index(name) for name in past.kinds), NONE], np.int32)
    kind = kinds[np.asarray(past.kind)]
    labels = {
        name: (known, np.append(known.codes(own.ids), np.int32(NONE))[code].astype(np.int32))
        for name, known in words.labels.items()
        for own, code in [found.labels[name]]
    }
    coded = replace(
        t,
        items=words.items,
        item=words.items.codes(t.items.ids)[t.item].astype(np.int32),
        channels=words.channels,
        channel=words.channels.codes(t.channels.ids)[t.channel].astype(np.int32),
        named=words.named,
        past=Past(past.user, channel[past.channel], past.sent_at, words.kinds, kind),
    )
    return replace(found, touches=coded, labels=labels)


def block_of(found: Candidates, rules: Sequence[Constraint], out: np.ndarray | None = None) -> tuple[Block, list[Row]]:
    """Return the people of a part and its shared rows, all of which are kept, whether they bind here or not.

    ``out`` says which touches are of people held out: nothing is sent to these.
    """
    n = len(found)
    compiled = [checked(rule, rule.rows(found.touches), n) for rule in rules]
    offers = [one for rule in rules if (one := offers_of(rule, rule.choices(found.touches), n)) is not None]
    sizes = [int(np.asarray(rows.limit).size) for rows in compiled]
    parts = [matrix_of(rows, size, n) for rows, size in zip(compiled, sizes, strict=True)]
    matrix = sparse.vstack(parts, format="csr", dtype=np.float64) if parts else sparse.csr_matrix((0, n))
    limit = np.concatenate([np.empty(0), *(np.asarray(rows.limit, np.float64) for rows in compiled)])
    least = np.concatenate([np.empty(0), *(least_of(rows) for rows in compiled)])
    shared = np.concatenate(
        [np.empty(0, np.bool_), *(np.full(m, r.labels is not None) for m, r in zip(sizes, compiled, strict=True))]
    )
    owner = np.repeat(np.arange(len(rules)), sizes)
    _check_personal(rules, owner, matrix, least, shared, np.asarray(found.touches.user))
    entry = np.repeat(np.arange(limit.size), np.diff(matrix.indptr))
    useful = found.value > 0
    useful[matrix.indices[(matrix.data > 0) & (least[entry] > 0)]] = True
    useful[matrix.indices[(matrix.data > (limit * (1.0 + TOLERANCE))[entry]) & ~shared[entry]]] = False
    if out is not None:
        useful &= ~out
    touch = np.flatnonzero(useful)
    kept = matrix[:, touch]
    most = np.asarray(kept.maximum(0).sum(axis=1)).ravel()
    row = np.flatnonzero(shared | (most > limit * (1.0 + TOLERANCE)))
    small = kept[row]
    small.eliminate_zeros()
    small.sort_indices()
    rows = [
        Row(int(owner[r]), label, float(limit[r]), float(least[r]), unit, _whole(matrix, r), float(most[r]))
        for r, label, unit in _labelled(compiled, sizes)
    ]
    groups = tuple((np.asarray(one.group, np.int64)[touch], np.asarray(one.option, np.int64)[touch]) for one in offers)
    person = np.unique(np.asarray(found.touches.user)[touch], return_inverse=True)[1].astype(np.int64)
    problem = Problem(
        touch,
        row,
        found.value[touch],
        small,
        limit[row],
        np.where(least[row] > 0, least[row], -np.inf),
        tuple((_numbered(group), option) for group, option in groups if (group >= 0).any()),
        person,
    )
    if not touch.size:
        return _nobody(len(rows)), rows
    crowd = crowd_of(problem, shared=np.flatnonzero(shared[row]))
    if crowd is None:
        raise ParameterError(
            f"om.spark.plan: these constraints make {len(rows):,} rows of several people, touches that use more than 8 "
            "of them, two choices of offers, or offers that people share. Over partitions that cannot be priced: use "
            "om.plan on one machine, or fewer such constraints."
        )
    return Block(crowd.people, touch[crowd.order]), rows


def _labelled(compiled: Sequence[Any], sizes: Sequence[int]) -> list[tuple[int, str, float]]:
    """Return position, label and unit of each shared row."""
    first = np.cumsum([0, *sizes])
    return [
        (int(first[i]) + at, str(label), float(rows.unit))
        for i, rows in enumerate(compiled)
        if rows.labels is not None
        for at, label in enumerate(rows.labels)
    ]


def _whole(matrix: Any, row: int) -> bool:
    """Return whether all weights of a row are whole numbers."""
    weight = matrix.data[matrix.indptr[row] : matrix.indptr[row + 1]]
    return bool((weight == np.floor(weight)).all())


def _check_personal(
    rules: Sequence[Constraint], owner: Any, matrix: Any, least: Any, shared: Any, user: np.ndarray
) -> None:
    """Refuse rows without a label that are not of one person, or that the dual of a person does not know."""
    sizes = np.diff(matrix.indptr)
    who = user[matrix.indices]
    first = np.append(who, 0)[np.minimum(matrix.indptr[:-1], who.size)]
    entry = np.repeat(np.arange(sizes.size), sizes)
    wrong = np.zeros(sizes.size, np.bool_)
    wrong[entry[who != first[entry]]] = True
    wrong[entry[matrix.data < 0]] = True
    wrong |= least > 0
    wrong &= ~shared
    if wrong.any():
        name, n = rules[int(owner[np.flatnonzero(wrong)[0]])].name, count_of(int(wrong.sum()), "row")
        raise ParameterError(
            f"om.spark.plan: {name} has {n} without a label, as for single people, that hold several people, "
            "have a floor, or a weight below 0. Give such rows labels, Rows(..., labels=(...)), the same for the same "
            "row in every part: then they are priced for everybody together."
        )


def _numbered(group: np.ndarray) -> np.ndarray:
    """Return groups numbered from 0; -1 stays."""
    mine = group >= 0
    found = group.copy()
    found[mine] = np.unique(group[mine], return_inverse=True)[1]
    return found


def _nobody(n_rows: int) -> Block:
    """Return the block of no people."""
    none = np.empty(0, np.int64)
    row = np.empty((0, 1), np.int32 if n_rows < 2**31 else np.int64)
    return Block(People(np.zeros(1, np.int64), np.empty(0), row, np.empty((0, 1)), none, None), none)


def packed(block: Block) -> tuple[bytes, int]:
    """Return a block as bytes, and their checksum."""
    people = block.people
    arrays = {name: getattr(people, name) for name in People._fields if name != "own"} | {"touch": block.touch}
    if people.own is not None:
        arrays |= {f"own_{name}": getattr(people.own, name) for name in Own._fields}
    out = io.BytesIO()
    np.savez(out, **arrays)
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())
    return out.getvalue(), zlib.crc32(data)


def unpacked(data: bytes, checksum: int) -> Block:
    """Return a block of bytes; another one than was priced before is an error."""
    with np.load(io.BytesIO(data)) as file:
        arrays = {name: file[name] for name in file.files}
    check_same(zlib.crc32(b"".join(array.tobytes() for array in arrays.values())), checksum)
    own = Own(*(arrays[f"own_{name}"] for name in Own._fields)) if "own_start" in arrays else None
    fields = {name: arrays[name] for name in People._fields if name != "own"}
    return Block(People(**fields, own=own), arrays["touch"])


def check_same(checksum: int, known: int) -> None:
    """Refuse a part that is not what it was when it was priced."""
    if checksum != known:
        raise ParameterError(
            "om.spark.plan: a part of the touches is no longer what it was. Write them down first: "
            "touches.write.parquet(folder), then plan spark.read.parquet(folder)."
        )


def height_of(block: Block, price: np.ndarray, band: float) -> Height:
    """Return what the people of a part add to the dual at the prices of their rows."""
    n = price.size
    if not block.touch.size:
        return Height(0.0, 0.0, np.zeros(n), np.zeros((n, n)), 0.0)
    zero = np.zeros(n)
    found = pass_over(block.people, price, zero, zero, band, 1)
    bend = found.bend if band > 0 else np.zeros((n, n))
    rounding = raised(block.people, price, found.height) - found.height
    return Height(found.height, rounding, found.used, bend, found.crowd)


def taken_of(block: Block, price: np.ndarray, quota: np.ndarray, near: float) -> Taken:
    """Return the plan of a part by margins at prices, within its share of each limit."""
    people, n = block.people, price.size
    if not block.touch.size:
        return Taken(np.zeros(0, np.bool_), 0.0, np.zeros(n), np.zeros(n), np.zeros(n))
    found = nearly(people, price, near, 1)
    over = TOLERANCE * np.where(np.isfinite(quota), np.abs(quota), 0.0) / 2
    chosen, _, _ = rounded(people, found, quota, over)
    left = found.touch[~chosen[found.touch] & (found.taken | (people.value[found.touch] > 0))]
    parts = (np.flatnonzero(chosen), found.touch[found.taken], left)
    used, wanted, unmet = (_use(people, touch, n) for touch in parts)
    return Taken(chosen, float(people.value[chosen].sum()), used, wanted, unmet)


def _use(people: People, touch: np.ndarray, n: int) -> np.ndarray:
    """Return how much some touches use of each row."""
    row = people.row[touch]
    weight = people.weight[touch] if people.weight.shape[0] else np.ones(row.shape)
    return np.bincount(row.ravel(), weight.ravel(), n + 1)[:n]
