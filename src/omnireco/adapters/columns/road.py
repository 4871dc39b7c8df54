"""The road of a large file: its ordinary records as columns, all others by the rules, in the order of the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from omnireco.adapters.columns.blocks import Doubtful, Piece, pieces
from omnireco.adapters.columns.fields import Rows, coded, mask_of, parents, schema_of, spelled
from omnireco.adapters.columns.tables import Chunk
from omnireco.adapters.files import Wanted, decoded
from omnireco.adapters.values import Known
from omnireco.data.frames.zone_names import one_name

__all__ = [
    "Chunk",
    "Columns",
    "Element",
    "Found",
    "events_of",
    "first_known",
    "lines_of",
    "links_of",
    "one_line",
    "records_left",
    "sampled",
    "several_lines",
    "zones_of",
]

_SAMPLE = 100


@dataclass(slots=True)
class Found:
    """What a declaration makes of the rows of a table: names of records, and chunks by the row of the table."""

    names: tuple[np.ndarray, list[Any]]
    became: tuple[str, str]
    events: Chunk | None = None
    links: tuple[Chunk, ...] = ()
    touches: Chunk | None = None
    zones: Chunk | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """The ordinary records of a source: ``fields`` by path and kind, and ``read``, which marks the others as odd.

    A record is a line, or where ``elements`` is given an element of lists in it; ``read`` gets both. ``parts`` returns
    these elements of the line that Python parsed, or raises ``Doubtful`` where they are not of the number that it gets.
    """

    fields: Mapping[str, str]
    read: Callable[[Rows, Rows], Found]
    elements: str | None = None
    parts: Callable[[Any, int], list[Any]] = lambda line, n: []


@dataclass(frozen=True, slots=True)
class Element:
    """A record within a line, as the rules take it."""

    record: Any


def first_known(rows: Rows, *people: Any) -> Any:
    """Return the first known id of each row, which is odd where there is none."""
    import pyarrow.compute as pc

    user = pc.coalesce(*people)
    if user.null_count:
        rows.mark(mask_of(user.is_null()))
    return user


def events_of(
    rows: Rows,
    user: Any,
    event: tuple[np.ndarray, list[Any]],
    channel: Any,
    at: np.ndarray,
    lines: Lines,
    ids: tuple[Any, Any, Any],
) -> Chunk:
    """Return the events of rows, as ``add_event`` of :mod:`omnireco.adapters.quick` makes them; ``ids`` as there."""
    session, store, unique = ids
    row, item, value, bare = lines
    texts = {"user_id": user, "channel": channel, "event": spelled(*event), "session_id": session, "store_id": store}
    columns = {**texts, "timestamp": at, "event_id": unique}
    if row is not None:
        columns = {name: _taken(part, row) for name, part in columns.items()}
    return Chunk(
        np.arange(len(rows)) if row is None else row, {**columns, "item_id": item, "value": value, "bare": bare}
    )


def _taken(part: Any, row: np.ndarray) -> Any:
    return part if part is None or isinstance(part, str) else part.take(row)


Lines = tuple[Any, Any, np.ndarray, np.ndarray]
"""The row of each line (None where each row has one), its item, its worth (0 where it is bare), and which are bare."""


def one_line(item: Any, worth: np.ndarray, *, bare: bool = True) -> Lines:
    """Return one line of each row; with ``bare`` one without an item is about no item, and worth 0."""
    without = mask_of(item.is_null()) if bare else np.zeros(len(item), np.bool_)
    return None, item, np.where(without, 0.0, worth), without


def several_lines(elements: Rows, item: Any, worth: np.ndarray) -> Lines:
    """Return a line of each element of a list, in the order of the rows; a row without any has one about no item."""
    import pyarrow as pa

    own = parents(elements)
    without = np.setdiff1d(np.arange(elements.odd.size), own)
    row = np.concatenate([own, without])
    if not without.size:
        return row, item, worth, np.zeros(row.size, np.bool_)
    order = np.argsort(row, kind="stable")
    items = pa.concat_arrays([item, pa.nulls(without.size, pa.string())]).take(order)
    bare = np.concatenate([np.zeros(len(item), np.bool_), np.ones(without.size, np.bool_)])[order]
    return row[order], items, np.concatenate([worth, np.zeros(without.size)])[order], bare


def links_of(one: tuple[str, Any], other: tuple[str, Any], at: np.ndarray) -> Chunk:
    """Return links of (kind, id) where both are known."""
    columns = {"id_a": one[1], "kind_a": one[0], "id_b": other[1], "kind_b": other[0], "linked_at": at}
    both = mask_of(one[1].is_valid()) & mask_of(other[1].is_valid())
    chunk = Chunk(np.arange(at.size), columns)
    return chunk if both.all() else chunk.rows(both)


_ZONES = Known(lambda zone: True if one_name(zone) is not None else None)


def zones_of(rows: Rows, column: Any, user: Any, at: np.ndarray) -> Chunk:
    """Return the zones of persons from an instant on; a row is odd where a zone is there and is none."""
    given = mask_of(column.is_valid())
    code, found = coded(column, _ZONES.__getitem__)
    good = np.array([*(one is not None for one in found), True], np.bool_)[code]
    rows.mark(~good)
    return Chunk(np.arange(len(rows)), {"user_id": user, "timezone": column, "at": at}).rows(given & good)


def records_left(path: Path, wanted: Wanted, out: Any, columns: Columns) -> Iterator[Any]:
    """Add the ordinary records of a file to a collector, and yield the others, each when it is their turn."""
    begun = False
    for piece in pieces(path, wanted.where, lambda block, n: sampled(block, n, lambda _: columns.fields)):
        yield from _left(piece, path.name, wanted, out, columns)
        begun = True
    if not begun:
        raise Doubtful


def lines_of(
    path: Path, wanted: Wanted, fields: Mapping[str, str], name: str, usual: Callable[[Any], bool]
) -> Iterator[Any]:
    """Yield one list of each line as Python holds it, or an iterator of the line's records where it is not usual."""
    for piece in pieces(path, wanted.where, lambda block, n: sampled(block, n, lambda _: fields)):
        found = dict(zip(piece.parsed.tolist(), piece.table[name].to_pylist(), strict=True))
        for line in range(len(piece)):
            if (field := found.get(line)) is not None and usual(field):
                yield field
            else:
                yield decoded(piece.lines.one(line).decode(), path.name, wanted)


def sampled(block: bytes, n: int, fields_of: Callable[[list[Any]], Mapping[str, str]]) -> Any:
    """Return a schema of the first lines; they must be such that one value after the other can be read."""
    try:
        sample = [json.loads(line) for line in block.split(b"\n", _SAMPLE)[: min(_SAMPLE, n)]]
    except (ValueError, RecursionError):
        raise Doubtful from None
    if n < 2 or not all(type(one) is dict for one in sample[:2]):
        raise Doubtful
    return schema_of(fields_of(sample), sample)


def _left(piece: Piece, name: str, wanted: Wanted, out: Any, columns: Columns) -> Iterator[Any]:
    """Add the ordinary records of some lines, and yield the others: whole lines, or elements of the lists in them."""
    lines = Rows.of(piece.rows)
    rows, row = (lines, np.arange(len(lines))) if columns.elements is None else _elements(lines, columns.elements)
    found = columns.read(rows, lines)
    line_of = piece.parsed[row]
    left = np.ones(len(piece), np.bool_)
    left[piece.parsed[~lines.odd]] = False
    stops = [(line, -1) for line in np.flatnonzero(left).tolist()]
    if rows is not lines:
        odd = np.flatnonzero(rows.odd & ~left[line_of])
        stops = sorted([*stops, *zip(line_of[odd].tolist(), odd.tolist(), strict=True)])
    record = np.full(len(rows), -1, np.int64)
    code, texts = found.names
    titles = np.array([*texts, None], object)[code]
    starts, ends = (np.searchsorted(line_of, np.arange(len(piece)), side) for side in ("left", "right"))
    at, there = 0, -1
    parts: list[Any] = []
    for line, element in [*stops, (len(piece), -1)]:
        until = element if element >= 0 else len(rows) if line == len(piece) else int(starts[line])
        if until > at:
            record[at:until] = len(out.names) + np.arange(until - at)
            out.names.extend(titles[at:until].tolist())
            out.became.extend(repeat(found.became, until - at))
        if line == len(piece):
            break
        if element < 0:
            yield from decoded(piece.lines.one(line).decode(), name, wanted)
            at = int(ends[line])
            continue
        if line != there:
            there, parts = line, columns.parts(json.loads(piece.lines.one(line)), int(ends[line] - starts[line]))
        yield Element(parts[element - int(starts[line])])
        at = element + 1
    _keep(out, found, record)


def _elements(lines: Rows, path: str) -> tuple[Rows, np.ndarray]:
    """Return the elements of lists in lists, whose oddness is their own, and the line of each."""
    rows = lines
    for step in path.split("/"):
        rows.mark(~rows.given(step.removesuffix("[]")))
        rows = rows.within(step)
    return Rows.of(rows.array), parents(rows)


def _keep(out: Any, found: Found, record: np.ndarray) -> None:
    """Add the chunks of ordinary rows, whose rows now have the numbers of their records."""
    places = (
        (out.event_chunks, [found.events]),
        (out.link_chunks, found.links),
        (out.touch_chunks, [found.touches]),
        (out.zone_chunks, [found.zones]),
    )
    for chunks, own in places:
        for chunk in own:
            if chunk is None:
                continue
            number = record[chunk.record]
            kept = number >= 0
            numbered = Chunk(number, chunk.columns)
            chunk = numbered if kept.all() else numbered.rows(kept)
            if len(chunk):
                chunks.append(chunk)
