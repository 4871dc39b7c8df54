"""Large files of JSON lines, block by block: columns of the lines that fit a schema, and the other lines as they are.

pyarrow's parser is more lenient than Python's in some ways (it takes ``Inf``, two values on a line, a value on two
lines) and knows other types. What it parses is used only where both agree: a line that may be read in two ways is given
to Python, and a file about which more than a line is in doubt is read by Python from its beginning.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco.adapters.files import open_content

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Doubtful", "Piece", "holding", "is_large", "lines_at", "pieces"]

_LARGE = 4_000_000  # bytes: below, Python has read a file before pyarrow is imported
_PACKED = 8  # JSON lines shrink about this much by gzip
_BLOCK = 8 << 20
_LONGEST = 1 << 30
_ODD = 0.1  # the share of lines that do not parse from which a block is left to Python
_DEEP = 400  # levels of nesting, from which Python may refuse
_DIGITS = 2048  # a number of over 4,300 digits, which Python refuses, fills half of this before a multiple of it
_ROW = re.compile(r"in row (\d+)")


class Doubtful(Exception):
    """A file is not one that columns can be trusted with: Python reads it from its beginning."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some lines: ``table`` has a row of each of ``parsed`` (positions), and ``line`` returns the bytes of any."""

    table: pa.Table
    parsed: np.ndarray
    lines: _Lines

    @property
    def rows(self) -> pa.StructArray:
        """The rows of the table; older versions of pyarrow make none of an empty table."""
        import pyarrow as pa

        if not self.table.num_rows:
            return pa.array([], pa.struct(list(self.table.schema)))
        return self.table.to_struct_array().combine_chunks()

    def __len__(self) -> int:
        """Return the number of lines, blank ones aside."""
        return len(self.lines)


class _Lines:
    """The lines of a block of bytes, each of which ends with a line feed."""

    def __init__(self, block: bytes) -> None:
        self.block, self.data = block, np.frombuffer(block, np.uint8)
        self.ends = np.flatnonzero(self.data == ord("\n")) + 1
        self.starts = np.concatenate([[0], self.ends[:-1]])[: self.ends.size]

    @property
    def objects(self) -> np.ndarray:
        """Which lines begin and end as an object does."""
        return (self.data[self.starts] == ord("{")) & (self.data[np.maximum(self.ends - 2, 0)] == ord("}"))

    def __len__(self) -> int:
        return self.ends.size

    def one(self, at: int) -> bytes:
        """Return one line."""
        return self.block[self.starts[at] : self.ends[at]]

    def some(self, start: int, stop: int) -> memoryview:
        """Return consecutive lines, at least one."""
        return memoryview(self.block)[self.starts[start] : self.ends[stop - 1]]

    def at(self, byte: int) -> int:
        """Return the line that holds a byte."""
        return int(np.searchsorted(self.ends, byte, side="right"))


def is_large(path: Path) -> bool:
    """Return whether a file is so large that reading it as columns pays."""
    try:
        size = path.stat().st_size
        if size * _PACKED < _LARGE:
            return False
        with path.open("rb") as file:
            return size >= (_LARGE // _PACKED if file.read(2) == b"\x1f\x8b" else _LARGE)
    except (OSError, ValueError):  # the rules say what is wrong with it
        return False


def pieces(path: Path, where: str, schema_of: Any) -> Iterator[Piece]:
    """Yield the lines of a file; ``schema_of`` returns a schema of some first lines.

    Raises
    ------
    Doubtful
        When the file is no UTF-8, damaged, or not one value after the other.
    """
    schema = None
    try:
        with path.open("rb") as raw, open_content(raw, path.name, where) as content:
            for lines in _blocks(content):
                if schema is None:
                    schema = schema_of(lines.block, len(lines))
                yield _piece(lines, schema)
    except (OSError, EOFError, UnicodeError, zlib.error) as error:
        raise Doubtful from error


def lines_at(path: Path, where: str, numbers: np.ndarray) -> Iterator[tuple[int, bytes]]:
    """Yield some lines of a file that was read before, by their numbers, ascending."""
    if not numbers.size:
        return
    n = 0
    with path.open("rb") as raw, open_content(raw, path.name, where) as content:
        for lines in _blocks(content):
            start, stop = np.searchsorted(numbers, [n, n + len(lines)])
            yield from ((line, lines.one(line - n)) for line in numbers[start:stop].tolist())
            n += len(lines)


def holding(piece: Piece, pattern: bytes) -> np.ndarray:
    """Return how often each parsed line of a piece holds what a pattern describes."""
    lines = piece.lines
    at = [match.start() for match in re.finditer(pattern, lines.block)]
    return np.bincount(np.searchsorted(lines.ends, at, side="right"), minlength=len(lines))[piece.parsed]


def _blocks(content: Any) -> Iterator[_Lines]:
    """Yield whole lines, none of them blank."""
    rest, first = b"", True
    while True:
        read = content.read(_BLOCK)
        if first and read.startswith(b"\xef\xbb\xbf"):
            read = read[3:]
        first = False
        block = rest + read
        if len(block) > _LONGEST:
            raise Doubtful
        cut = block.rfind(b"\n") + 1 if read else len(block)
        block, rest = block[:cut], block[cut:]
        if block and len(usable := _usable(block)):
            yield usable
        if not read:
            return


def _usable(block: bytes) -> _Lines:
    """Return the lines of a block that are not blank, without the blanks around them where some have any."""
    if not block.isascii():
        block.decode()
    if b"\0" in block:
        raise Doubtful
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
        if b"\r" in block:  # Python ends a line there
            raise Doubtful
    lines = _Lines(block if block.endswith(b"\n") else block + b"\n")
    if lines.objects.all():
        return lines
    kept = [line for line in (one.strip(b" \t") for one in block.split(b"\n")) if line]
    return _Lines(b"\n".join([*kept, b""]))


def _piece(lines: _Lines, schema: pa.Schema) -> Piece:
    import pyarrow as pa

    left = _objects(lines, schema.names)
    tables, parsed, failed = [], [], 0
    runs = _runs(np.flatnonzero(left))[::-1]
    most = 4 + int(_ODD * len(lines))
    while runs:
        start, stop = runs.pop()
        found = _parsed(lines.some(start, stop), stop - start, schema)
        if isinstance(found, int):
            failed += 1
            if failed > most:
                return Piece(schema.empty_table(), np.zeros(0, np.int64), lines)
            if found >= 0:
                split = [(start, start + found), (start + found + 1, stop)]
            else:
                middle = (start + stop) // 2
                split = [(start, middle), (middle, stop)] if stop - start > 1 else []
            runs += [run for run in reversed(split) if run[0] < run[1]]
        else:
            tables.append(found)
            parsed.append(np.arange(start, stop))
    if not tables:
        return Piece(schema.empty_table(), np.zeros(0, np.int64), lines)
    return Piece(pa.concat_tables(tables).combine_chunks(), np.concatenate(parsed), lines)


def _runs(rows: np.ndarray) -> list[tuple[int, int]]:
    """Return (start, stop) of each run of consecutive numbers."""
    if not rows.size:
        return []
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(rows, breaks)]


def _parsed(text: memoryview, n: int, schema: pa.Schema) -> pa.Table | int:
    """Return the columns of some lines, else the row that cannot be parsed, -1 where that is not known."""
    import pyarrow as pa
    from pyarrow import json

    try:
        table = json.read_json(
            pa.BufferReader(text),
            read_options=json.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except pa.ArrowInvalid as error:
        found = _ROW.search(str(error))
        row = -1 if found is None else int(found[1])
        return row if row < n else -1
    return table if table.num_rows == n else -1


def _objects(lines: _Lines, names: list[str]) -> np.ndarray:
    """Return the lines that are objects, and in no way such that the two parsers may differ."""
    data, good = lines.data, lines.objects
    good[[lines.at(at) for at in _pointed(lines, names)]] = False
    for at in _infinite(data):
        before = lines.block[max(at - 64, 0) : at]
        bare = before.removesuffix(b"-").rstrip()
        if not bare or bare[-1:] in b":,[":
            good[lines.at(at)] = False
    for row in np.flatnonzero(lines.ends - lines.starts > 2 * _DEEP).tolist():
        start, stop = int(lines.starts[row]), int(lines.ends[row])
        if lines.block.count(b"{", start, stop) + lines.block.count(b"[", start, stop) >= _DEEP:
            good[row] &= _depth(data[start:stop]) < _DEEP
        if stop - start > _DIGITS and _may_hold_a_long_number(data[start:stop]):
            good[row] = False
    return good


def _pointed(lines: _Lines, names: list[str]) -> Iterator[int]:
    """Yield where a text begins as a name that joins one of these to others by a point, such as ``"properties.x"``."""
    points = np.flatnonzero(lines.data == ord("."))
    points = points[lines.data[points - 1] > ord("9")]  # no number
    for name in names:
        text = f'"{name}.'.encode()
        at = points - len(text) + 1
        at = at[at >= 0]
        at = at[(lines.data[at] == text[0]) & (lines.data[at + 1] == text[1]) & (lines.data[at + 2] == text[2])]
        yield from (one for one in at.tolist() if lines.block.startswith(text, one))


def _infinite(data: np.ndarray) -> list[int]:
    """Return where there stands ``Inf`` or ``-NaN``: numbers for pyarrow, though not for Python."""
    capital = np.flatnonzero(data[:-4] == ord("I"))
    capital = capital[
        (data[capital + 1] == ord("n")) & (data[capital + 2] == ord("f")) & (data[capital + 3] != ord("i"))
    ]
    negative = np.flatnonzero(data[1:-4] == ord("N")) + 1
    negative = negative[(data[negative - 1] == ord("-")) & (data[negative + 1] == ord("a"))]
    return [*capital.tolist(), *negative.tolist()]


def _depth(line: np.ndarray) -> int:
    opened = (line == ord("{")) | (line == ord("["))
    closed = (line == ord("}")) | (line == ord("]"))
    return int(np.cumsum(opened.astype(np.int32) - closed).max())


def _may_hold_a_long_number(line: np.ndarray) -> bool:
    """Return whether a line may hold a number of more digits than Python reads."""
    spots = np.arange(_DIGITS - 1, line.size, _DIGITS)
    return any(_is_digit(line[at - _DIGITS // 2 : at]).all() for at in spots[_is_digit(line[spots])])


def _is_digit(text: np.ndarray) -> np.ndarray:
    return (text >= ord("0")) & (text <= ord("9"))
