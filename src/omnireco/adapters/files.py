"""Files of records: format by content, encoding, and the position of the records in them."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from omnireco._core.checks import shown
from omnireco.adapters.nesting import Unreadable, listed, plain
from omnireco.errors import SchemaError, StorageError

__all__ = ["Wanted", "decoded", "open_content", "read_file", "unwrapped"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_TO_FRAME = "Read it yourself and pass the frame: {where}(pd.{reader}(path))."
_FOREIGN = (
    (b"PAR1", "parquet", "read_parquet"),
    (b"ARROW1", "an Arrow (feather) file", "read_feather"),
    (b"ORC", "ORC", "read_orc"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet", "read_excel"),
)
_PACKED = (
    (b"PK\x03\x04", "a zip archive (or a spreadsheet)", "Unpack it first: zipfile.ZipFile(path).extractall()"),
    (b"BZh", "packed by bzip2", "Unpack it first: bz2.open(path)"),
    (b"\xfd7zXZ", "packed by xz", "Unpack it first: lzma.open(path)"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", "Unpack it first: zstd -d"),
    (b"\x1f\x8b", "packed twice by gzip", "Unpack it first: gzip.open(path)"),
    (b"Obj\x01", "Avro", "Convert it to parquet or JSON lines first"),
    (b"SQLite", "an SQLite database", "Query it and pass the frame: pd.read_sql(...)"),
)
_BLANK = " \t\r\n\x1e\ufeff"  # between records; \x1e separates them in JSON text sequences
_DEPTH = 6
_DECODER = json.JSONDecoder()
_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The records of a reader: ``fields`` that only its records have, not wrappers, and names of lists of records."""

    where: str
    fields: frozenset[str]
    lists: tuple[str, ...]

    def is_record(self, value: Any) -> bool:
        """Return whether a mapping is a record rather than a wrapper around records."""
        if not isinstance(value, Mapping):
            return False
        return not self.fields.isdisjoint(value) or _is_named(self.fields, tuple(value))


@lru_cache(maxsize=4096)  # records of a source have few shapes
def _is_named(fields: frozenset[str], names: tuple[Any, ...]) -> bool:
    return any(str(name).lower() in fields for name in names)


def read_file(path: Path, wanted: Wanted) -> Iterator[Any]:
    """Yield the records of a file of JSON: lines, an array, one object, or a wrapper around one list of records."""
    try:
        with path.open("rb") as raw, _unpacked(raw) as content:
            _refuse_other_forms(content, path.name, wanted.where)
            with io.TextIOWrapper(content, encoding=_encoding(content)) as text:
                yield from _records(text, path.name, wanted)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise StorageError(f"{wanted.where}: {path.name!r} is cut off or damaged: {error}") from error
    except UnicodeError:
        raise StorageError(
            f"{wanted.where}: {path.name!r} is not UTF-8. Write it as UTF-8 first, from the encoding that it has: "
            "pathlib.Path('utf8.jsonl').write_text(path.read_text('latin-1'), 'utf-8')."
        ) from None
    except IsADirectoryError:
        raise StorageError(f"{wanted.where}: {path.name!r} is a folder. Name one file, or chain its files.") from None
    except (SchemaError, StorageError):
        raise
    except (OSError, ValueError) as error:
        raise StorageError(f"{wanted.where}: cannot read {path.name!r}: {error}") from error


@contextmanager
def open_content(raw: io.BufferedReader, name: str, where: str) -> Iterator[io.BufferedReader]:
    """Give the content of an open file that is UTF-8, decompressed; EOFError where it is of another encoding."""
    with _unpacked(raw) as content:
        _refuse_other_forms(content, name, where)
        if _encoding(content) not in {"utf-8", "utf-8-sig"}:
            raise EOFError(name)
        yield content


def decoded(line: str, name: str, wanted: Wanted) -> Iterator[Any]:
    """Yield the records of one line of JSON, as :func:`read_file` does."""
    for _, value in _decoded(line, 1, name, wanted.where):
        yield from unwrapped(value, wanted)


def _unpacked(raw: io.BufferedReader) -> io.BufferedReader:
    """Return the content of a file, decompressed where its first bytes are gzip's, whatever its name."""
    packed = raw.peek(2)[:2] == b"\x1f\x8b"
    return io.BufferedReader(gzip.GzipFile(fileobj=raw)) if packed else raw


def _encoding(content: Any) -> str:
    """Return the encoding by the byte-order mark, else by where the zeros stand; JSON is UTF-8 otherwise."""
    head = content.peek(4)[:4]
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    return marked or (json.detect_encoding(head) if b"\0" in head else "utf-8")


def _takes(where: str) -> str:
    return f"{where} takes JSON (lines, an array or one object; also packed by gzip), a frame or a list of dicts"


def _refuse_other_forms(content: Any, name: str, where: str) -> None:
    head = content.peek(8)[:8]
    for mark, what, reader in _FOREIGN:
        if head.startswith(mark):
            raise SchemaError(f"{_takes(where)}. {name!r} is {what}. " + _TO_FRAME.format(where=where, reader=reader))
    for mark, what, advice in _PACKED:
        if head.startswith(mark):
            raise SchemaError(f"{_takes(where)}. {name!r} is {what}. {advice}.")


def _records(text: IO[str], name: str, wanted: Wanted) -> Iterator[Any]:
    values = _values(text, name, wanted)
    first = next(values, None)
    if first is None:
        return
    second = next(values, None)
    if second is None:
        yield from _whole(first[1], name, wanted)
        return
    yield from unwrapped(first[1], wanted)
    yield from unwrapped(second[1], wanted)
    for _, value in values:
        yield from unwrapped(value, wanted)


def _values(text: IO[str], name: str, wanted: Wanted) -> Iterator[tuple[int, Any]]:
    """Yield (line, value) of each JSON value; where the first does not end on its line, the file is read at once."""
    begun = False
    for number, line in enumerate(text, start=1):
        if not line.strip(_BLANK):
            continue
        if not begun:
            _refuse_tables(line, name, wanted.where)
            if _ends_later(line):
                yield from _decoded(line + text.read(), number, name, wanted.where)
                return
        begun = True
        yield from _decoded(line, number, name, wanted.where)


def _refuse_tables(line: str, name: str, where: str) -> None:
    """Refuse a file that does not begin as JSON, with the way to pass a table."""
    if line.strip(_BLANK)[0] in "{[":
        return
    if not any(sign in line for sign in "\t,;"):
        raise SchemaError(f"{_takes(where)}. {name!r} does not begin as JSON. Export it as JSON.")
    form = "like a tab-separated table" if "\t" in line else "like CSV"
    reader = "read_csv(path, sep='\\t', dtype=str)" if "\t" in line else "read_csv(path, dtype=str)"
    raise SchemaError(
        f"{_takes(where)}. {name!r} does not begin as JSON and looks {form}. Map its columns yourself: "
        f"om.EventLog.from_frame(pd.{reader}.rename(columns={{...}})); or export it as JSON."
    )


def _ends_later(line: str) -> bool:
    """Return whether the value that begins on this line goes on after it."""
    try:
        _DECODER.raw_decode(line.lstrip(_BLANK))
    except (ValueError, RecursionError):
        return True
    return False


def _decoded(text: str, number: int, name: str, where: str) -> Iterator[tuple[int, Any]]:
    """Yield the JSON values that follow each other in a text which begins on the line of this number."""
    text = text.rstrip(_BLANK)  # else what is missing at its end would be missed on the next line
    at = 0
    while True:
        while at < len(text) and text[at] in _BLANK:
            at += 1
        if at == len(text):
            return
        try:
            value, end = _DECODER.raw_decode(text, at)
        except json.JSONDecodeError as error:
            line = number + text.count("\n", 0, error.pos)
            raise SchemaError(
                f"{where}: line {line:,} of {name!r} is not JSON: {error.msg} at character "
                f"{error.pos - text.rfind(chr(10), 0, error.pos):,}. Is the file cut off, or is there a comma too many?"
            ) from None
        except (ValueError, RecursionError) as error:
            raise SchemaError(
                f"{where}: line {number + text.count(chr(10), 0, at):,} of {name!r} holds JSON that is too deep or too "
                f"large to read ({type(error).__name__})."
            ) from None
        yield number + text.count("\n", 0, at), value
        at = end


def unwrapped(value: Any, wanted: Wanted) -> Iterator[Any]:
    """Yield the records of one value: itself, the parts of an array, or of the one list that fits in a wrapper."""
    if isinstance(value, list):
        for part in value:
            yield from unwrapped(part, wanted) if isinstance(part, Mapping) else [part]
        return
    wrapper = isinstance(value, Mapping) and not wanted.is_record(value)
    found = _fitting(_lists(value, wanted), wanted) if wrapper else []
    if len(found) != 1:
        yield value
        return
    for part in found[0]:
        yield from unwrapped(part, wanted)


def _whole(value: Any, name: str, wanted: Wanted) -> Iterator[Any]:
    """Yield the records of a file that holds one value, and refuse one in which their position is ambiguous."""
    lists = [] if not isinstance(value, Mapping) or wanted.is_record(value) else _lists(value, wanted)
    found = _fitting(lists, wanted)
    if len(found) != 1 and any(part for _, part in lists):
        listing = ", ".join(f"{'.'.join(path)!r} ({len(part):,})" for path, part in lists)
        keys = "".join(f"[{shown(key)}]" for key in lists[0][0])
        if found:
            advice = (
                f"Several of its lists could be the records; pick one: {wanted.where}(json.load(open(path)){keys})."
            )
        else:
            advice = f"None of its lists holds records with a field such as {_some(wanted)}: is it of another source?"
        raise SchemaError(f"{wanted.where}: {name!r} holds one object. Lists found in it: {listing}. {advice}")
    if lists and not found:
        return
    yield from unwrapped(value, wanted)


def _fitting(lists: list[tuple[_Path, list[Any]]], wanted: Wanted) -> list[list[Any]]:
    """Return the lists that hold records by their fields; where none or several do, those of a known name."""
    holding = [(path, part) for path, part in lists if any(wanted.is_record(one) for one in part)]
    named = [part for path, part in holding or lists if path[-1] in wanted.lists]
    return named if len(holding) != 1 and named else [part for _, part in holding]


def _some(wanted: Wanted) -> str:
    return ", ".join(sorted(wanted.fields)[:3])


def _lists(value: Mapping[str, Any], wanted: Wanted, path: _Path = ()) -> list[tuple[_Path, list[Any]]]:
    """Return (path, list) of the lists of mappings in a wrapper, without looking into records."""
    found: list[tuple[_Path, list[Any]]] = []
    for name, part in value.items():
        here = (*path, str(name))
        if isinstance(part, list) or _is_connection(part):
            rows = _parts(part)
            found += [(here, rows)] if rows is not None else []
        elif wanted.is_record(part):
            found.append((here, [part]))
        elif isinstance(part, Mapping) and len(path) < _DEPTH:
            found += _lists(part, wanted, here)
    return found


def _is_connection(part: Any) -> bool:
    return isinstance(part, Mapping) and (isinstance(part.get("edges"), list) or isinstance(part.get("nodes"), list))


def _parts(part: Any) -> list[Any] | None:
    try:
        return list(listed(plain(part), "list"))
    except Unreadable:
        return None
