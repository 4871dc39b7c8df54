"""Large files of orders: the ordinary ones as columns, and all records of every other order by the rules.

What becomes of an order is decided by all records of it (its states, its refunds, its lines in a bulk export). So a
file is read to its end first, and an order of which one record is odd is left to the rules with all its records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from omnireco.adapters.columns.blocks import Doubtful, Piece, holding, lines_at, pieces
from omnireco.adapters.columns.fields import Rows, codes_of, mask_of, parents, spelled
from omnireco.adapters.columns.road import sampled
from omnireco.adapters.columns.tables import Chunk
from omnireco.adapters.files import Wanted, decoded
from omnireco.adapters.people import ZONE, Fact

__all__ = ["EVENT", "Form", "Part", "add_orders", "lines_in", "unfilled"]

EVENT = ("event", "")
_OLDER = ("ignored", "an older state of an order that comes again")
_MOST = 0.5  # the share of odd lines from which two roads cost more than one


@dataclass(slots=True)
class Part:
    """Orders (and, where ``is_line`` says so, lines of orders) of the rows of a table.

    ``key`` is the order of each row, ``stamp`` the time of its state, ``became`` codes of ``statuses``; ``lines`` are
    (row, item, worth), where a row that is a line names itself; ``consents`` are (name, instant, 1 for
    yes, 0 for no, 2 for a missing one, -1 for none).
    """

    key: Any
    user: Any
    customer: Any
    address: Any
    at: np.ndarray
    stamp: np.ndarray
    became: np.ndarray
    channel: Any
    store: Any
    lines: tuple[np.ndarray, Any, np.ndarray]
    is_line: np.ndarray
    consents: tuple[tuple[str, np.ndarray, np.ndarray], ...] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """How a source writes orders.

    ``foreign`` are names that, where a line holds them, leave it to the rules; ``stated`` names of fields by their
    paths, of which it matters whether they are there without a value. ``statuses`` maps codes to what became of a
    record, ``alone`` says that an order of which several records come is left to the rules.
    """

    fields: Mapping[str, str]
    read: Callable[[Rows, Piece, list[tuple[str, str]]], Part]
    foreign: tuple[bytes, ...] = ()
    stated: Mapping[str, bytes] = field(default_factory=dict)
    alone: bool = False


def lines_in(rows: Rows, path: str) -> Rows:
    """Return the lines within orders; an order without any is odd."""
    lines = rows.within(path)
    without = np.ones(len(rows), np.bool_)
    without[parents(lines)] = False
    rows.mark(without)
    return lines


def add_orders(
    path: Path,
    wanted: Wanted,
    form_of: Callable[[list[Any]], Form],
    keys_of: Callable[[Any], Iterator[str | None]],
    records_of: Callable[[Iterator[Any]], list[Any]],
    read_rest: Callable[[list[Any], Form], Any],
    out: Any,
) -> None:
    """Add the orders of a large file to a collector; ``read_rest`` returns a collector of what the rules read.

    Raises
    ------
    Doubtful
        When the file must be read record by record.
    """
    statuses: list[tuple[str, str]] = [EVENT, _OLDER]
    forms: list[Form] = []

    def schema_of(block: bytes, n: int) -> Any:
        def fields_of(sample: list[Any]) -> Mapping[str, str]:
            forms.append(form_of(sample))
            return forms[0].fields

        return sampled(block, n, fields_of)

    def parsed(line: bytes) -> list[Any]:
        return records_of(decoded(line.decode(), path.name, wanted))

    left: dict[int, list[Any]] = {}
    found: list[tuple[Part, np.ndarray, np.ndarray]] = []
    n = 0
    for piece in pieces(path, wanted.where, schema_of):
        rows = Rows.of(piece.rows)
        part = forms[0].read(rows, piece, statuses)
        _mark(rows, piece, forms[0])
        odd = np.ones(len(piece), np.bool_)
        odd[piece.parsed[~rows.odd]] = False
        left |= {n + line: parsed(piece.lines.one(line)) for line in np.flatnonzero(odd).tolist()}
        found.append((part, n + piece.parsed, ~rows.odd))
        n += len(piece)
        if len(left) > 1000 + _MOST * n:
            raise Doubtful
    if not found:
        raise Doubtful
    whole, number, ordinary = _united(found)
    keys = {key for each in left.values() for one in each for key in keys_of(one)}
    good, code = _settled(whole, ordinary, keys, forms[0])
    moved = number[ordinary & ~good]
    left |= {line: parsed(text) for line, text in lines_at(path, wanted.where, moved)}
    _assemble(out, whole, number, good, code, statuses, n, left, lambda rest: read_rest(rest, forms[0]))


def _mark(rows: Rows, piece: Piece, form: Form) -> None:
    """Mark rows whose bytes say that the rules must read them."""
    for name in form.foreign:
        if name in piece.lines.block:
            rows.mark(holding(piece, name) > 0)
    for path, name in form.stated.items():
        rows.mark(unfilled(rows, piece, path, name))


def unfilled(rows: Rows, piece: Piece, path: str, name: bytes) -> np.ndarray:
    """Return where a name stands in a line whose field of this name is not filled."""
    given = rows.given(path)
    if piece.lines.block.count(name) == given.sum():
        return np.zeros(len(rows), np.bool_)
    return (holding(piece, name) > 0) & ~given


def _united(found: list[tuple[Part, np.ndarray, np.ndarray]]) -> tuple[Part, np.ndarray, np.ndarray]:
    """Return the rows of all tables as those of one, their lines in the file, and which are ordinary."""
    import pyarrow as pa

    parts = [part for part, _, _ in found]
    starts = np.cumsum([0, *(part.at.size for part in parts)])

    def numbers(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    def texts(columns: list[Any]) -> Any:
        return pa.concat_arrays([one.cast(pa.string()) for one in columns])

    lines = (
        np.concatenate([part.lines[0] + start for part, start in zip(parts, starts, strict=False)]),
        texts([part.lines[1] for part in parts]),
        np.concatenate([part.lines[2] for part in parts]),
    )
    consents = tuple(
        (
            name,
            np.concatenate([part.consents[at][1] for part in parts]),
            np.concatenate([part.consents[at][2] for part in parts]),
        )
        for at, (name, _, _) in enumerate(parts[0].consents)
    )
    columns = {
        name: texts([getattr(part, name) for part in parts])
        for name in ("key", "user", "customer", "address", "channel", "store")
    }
    arrays = {name: numbers(name) for name in ("at", "stamp", "became", "is_line")}
    whole = Part(**columns, **arrays, lines=lines, consents=consents)
    return whole, np.concatenate([line for _, line, _ in found]), np.concatenate([good for _, _, good in found])


def _settled(whole: Part, good: np.ndarray, keys: set[str | None], form: Form) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of orders of which no record is odd, and the code of each row's order.

    The newest state of an order that comes again counts: the others become older ones.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    code, distinct = codes_of(whole.key)
    size = len(distinct)
    named = pa.array([key for key in keys if key is not None], pa.string())
    odd = np.append(mask_of(pc.is_in(distinct, value_set=named)), True)
    orders = np.flatnonzero(good & ~whole.is_line)
    times = np.bincount(code[orders], minlength=size)
    if form.alone:
        lines = np.bincount(code[good & whole.is_line], minlength=size)
        odd[:-1] |= (times != 1) | (lines == 0)
    good = good & ~odd[code]
    if (times > 1).any() and not form.alone:
        orders = np.flatnonzero(good & ~whole.is_line)
        order = orders[np.lexsort([whole.stamp[orders], code[orders]])]
        older = order[:-1][code[order[1:]] == code[order[:-1]]]
        whole.became[older] = 1
    return good, code


def _assemble(
    out: Any,
    whole: Part,
    number: np.ndarray,
    good: np.ndarray,
    code: np.ndarray,
    statuses: list[tuple[str, str]],
    n: int,
    left: dict[int, list[Any]],
    read_rest: Callable[[list[Any]], Any],
) -> None:
    """Add ordinary rows, and what the rules make of the others, each in its place."""
    size = np.ones(n, np.int64)
    lines = sorted(left)
    size[lines] = [len(left[line]) for line in lines]
    first = np.cumsum(size) - size
    rest = read_rest([one for line in lines for one in left[line]])
    at = [int(first[line]) + position for line in lines for position in range(len(left[line]))]
    record = first[number]
    names, became = np.full(int(size.sum()), "order", object), np.full(int(size.sum()), None, object)
    parts = np.flatnonzero(good & whole.is_line)
    names[record[parts]] = "part of an order"
    possible = np.full(len(statuses), None, object)
    possible[:] = statuses
    became[record[good]] = possible[whole.became[good]]
    for place, name, what in zip(at, rest.names, rest.became, strict=True):
        names[place], became[place] = name, what
    out.names.extend(names.tolist())
    out.became.extend(became.tolist())
    out.events.extend((at[row[0]], *row[1:]) for row in rest.events)
    out.unpriced.extend(rest.unpriced)
    out.links.extend((at[row[0]], *row[1:]) for row in rest.links)
    facts = [Fact(at[one.record], one.user, one.name, one.at, one.value) for one in rest.facts]
    out.facts.extend(sorted([*facts, *_facts(whole, record, good)], key=lambda fact: fact.record))
    _add_chunks(out, whole, record, good, code)


def _add_chunks(out: Any, whole: Part, record: np.ndarray, good: np.ndarray, code: np.ndarray) -> None:
    """Add the purchases and links of ordinary orders."""
    orders = good & ~whole.is_line
    linked = np.flatnonzero(orders & mask_of(whole.customer.is_valid()) & mask_of(whole.address.is_valid()))
    if linked.size:
        columns = {
            **{"id_a": whole.customer.take(linked), "kind_a": "customer"},
            **{"id_b": whole.address.take(linked), "kind_b": "email_sha256", "linked_at": whole.at[linked]},
        }
        out.link_chunks.append(Chunk(record[linked], columns))
    row, item, worth = whole.lines
    if whole.is_line.any():  # the order of each line: there is one
        of = np.full(int(code.max(initial=0)) + 1, -1, np.int64)
        of[code[orders]] = np.flatnonzero(orders)
        row = np.where(whole.is_line[row], of[code[row]], row)
    kept = np.flatnonzero((row >= 0) & orders[row] & (whole.became[row] == 0))
    kept = kept[np.argsort(row[kept], kind="stable")]
    row, item, worth = row[kept], item.take(kept), worth[kept]
    if not row.size:
        return
    texts = {name: getattr(whole, of) for name, of in (("user_id", "user"), ("channel", "channel"))}
    columns = {name: column.take(row) for name, column in texts.items()}
    session = whole.key.take(row)
    columns |= {"event": "purchase", "session_id": session, "store_id": whole.store.take(row)}
    columns |= {"timestamp": whole.at[row], "event_id": _line_names(session, row, item)}
    bare = np.zeros(row.size, np.bool_)
    out.event_chunks.append(Chunk(record[row], {**columns, "item_id": item, "value": worth, "bare": bare}))


def _line_names(order: Any, row: np.ndarray, item: Any) -> Any:
    """Return a name per line as ``line_ids`` of the rules does: a second line of one item gets a number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = pc.binary_join_element_wise(pc.binary_join_element_wise("order ", order, ""), item, "/")
    code, _ = codes_of(item)
    by = np.lexsort([code, row])
    again = (row[by][1:] == row[by][:-1]) & (code[by][1:] == code[by][:-1])
    if not again.any():
        return names
    start = np.concatenate([[True], ~again])
    begun = np.flatnonzero(start)[np.cumsum(start) - 1]
    rank = np.empty(row.size, np.int64)
    rank[by] = np.arange(row.size) - begun
    mask = rank > 0
    ends = spelled(np.where(mask, rank, 0), ["", *(f"#{one + 1}" for one in range(1, int(rank.max()) + 1))])
    return pc.binary_join_element_wise(names, ends.cast(pa.string()), "")


def _facts(whole: Part, record: np.ndarray, good: np.ndarray) -> Iterator[Fact]:
    """Yield who ordered, and of each person's consents the newest yes and the newest no."""
    rows = np.flatnonzero(good & ~whole.is_line)
    code, distinct = codes_of(whole.user.take(rows))
    names = distinct.to_pylist()
    _, first = np.unique(code, return_index=True)
    for at in first.tolist():
        yield Fact(int(record[rows[at]]), names[code[at]], ZONE, None, None)
    for name, instant, given in whole.consents:
        there = np.flatnonzero(given[rows] >= 0)
        if not there.size:
            continue
        key = 3 * code[there] + given[rows[there]]
        _, begun, group = np.unique(key, return_index=True, return_inverse=True)
        group, stamps = group.reshape(-1), instant[rows[there]]
        newest = np.full(begun.size, np.iinfo(np.int64).min)
        np.maximum.at(newest, group, stamps)
        kept, when = begun, newest
        if (missing := key % 3 == 2).any():  # each of the newest instant is noted where a person once agreed
            again = np.flatnonzero(missing & (stamps == newest[group]))
            kept, when = (
                np.concatenate([begun, again]),
                np.concatenate([np.where(missing[begun], stamps[begun], newest), stamps[again]]),
            )
            kept, unique = np.unique(kept, return_index=True)
            when = when[unique]
        for at, stamp in zip(kept.tolist(), when.tolist(), strict=True):
            row = there[at]
            yield Fact(int(record[rows[row]]), names[code[row]], name, stamp, (False, True, None)[key[at] % 3])
